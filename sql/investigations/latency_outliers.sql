-- question: Which requests took far longer than their kind usually does?
-- name: latency_outliers
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: service text = NULL  -- only requests to this service
-- param: factor integer = 5  -- how many times the median of its kind a request must take
-- param: min_ms integer = 100  -- milliseconds a request must take at least
-- param: min_requests integer = 20  -- kinds with fewer requests have no usual duration
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, twice: 7 columns of every request, with 8 bytes a request held for exact percentiles; then 20 columns of the pages with slow ones, which statistics on duration_us find
--
-- The kind of a request is its service and method, on one side: the callee's where the service has
-- records of its own in the period, else its callers'. usual_ms is the median of the kind in the
-- period, p95_ms its 95th percentile. upstream_ms is what the service itself took, so the rest was
-- spent in the proxy or on the way. Streams and long polls last by nature: compare usual_ms.
-- request_trail with the request_id shows where the time went.
WITH kinds AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS kind_service,
        COALESCE(http_method, '(none)') AS kind_method,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS kind_side,
        COUNT(*) AS requests,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS median_us,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS p95_us,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE event_kind = 'http_request'
        AND duration_us IS NOT NULL
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
    GROUP BY 1, 2, 3
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY kind_service) AS callee_logged
    FROM kinds
),
slow AS (
    SELECT
        event_time,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        COALESCE(http_method, '(none)') AS method,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS seen_by,
        url_path AS path,
        COALESCE(src_identity, principal, src_workload, src_ip, '(unknown)') AS caller,
        duration_us,
        upstream_duration_us,
        http_status AS status,
        grpc_status,
        array_to_string(response_flags, ',') AS flags,
        decision,
        k8s_cluster AS cluster,
        request_id,
        trace_id,
        segment,
        segment_row
    FROM mesh_events
    WHERE event_kind = 'http_request'
        AND duration_us >= $min_ms * 1000
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
)
SELECT
    s.event_time,
    s.service,
    s.method,
    s.path,
    s.caller,
    ROUND(CAST(s.duration_us AS DOUBLE) / 1000, 2) AS duration_ms,
    ROUND(CAST(s.upstream_duration_us AS DOUBLE) / 1000, 2) AS upstream_ms,
    ROUND(k.median_us / 1000, 2) AS usual_ms,
    ROUND(k.p95_us / 1000, 2) AS p95_ms,
    k.requests AS of_requests,
    s.seen_by,
    s.status,
    s.grpc_status,
    s.flags,
    s.decision,
    s.cluster,
    s.request_id,
    s.trace_id,
    s.segment,
    s.segment_row
FROM slow AS s
JOIN sided AS k ON k.kind_service = s.service AND k.kind_method = s.method AND k.kind_side = s.seen_by
WHERE (k.kind_side = 'callee' OR k.callee_logged = 0)
    AND k.requests >= $min_requests
    AND s.duration_us >= $factor * k.median_us
ORDER BY s.duration_us DESC, s.event_time, s.segment, s.segment_row
LIMIT $limit_rows
