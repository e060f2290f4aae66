-- question: Which services call which, how much, how fast, and how often in vain?
-- name: service_graph
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: namespace text = NULL  -- only edges with an end in this namespace
-- param: cluster text = NULL  -- only records of this cluster
-- param: min_calls integer = 1  -- edges with fewer requests and connections are left out
-- param: limit_rows integer = 200  -- most rows returned
-- cost: the partitions between since and until, 21 columns of every request and connection; durations are held in memory, 8 bytes a request, for exact percentiles
--
-- An edge is a calling workload (identity, else principal, workload, address) and a service. It is
-- counted on one side: the callee's where the service has records of its own in the period, else
-- its callers'. With Istio's default format callers are addresses; requests with a forwarded-for
-- header, whose address is that of some customer, are taken as one caller. What never arrived is
-- counted where callers are counted only: see error_hotspots. Percentiles are of requests and
-- connections alike. Whole days are also in the view mesh_service_edges, in numbers that add up.
WITH calls AS (
    SELECT
        COALESCE(src_identity, principal, src_workload,
            CASE WHEN x_forwarded_for IS NOT NULL THEN '(forwarded for others)' ELSE src_ip END, '(unknown)') AS caller,
        src_namespace AS caller_namespace,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        COALESCE(dst_namespace, CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
        k8s_cluster,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS counted_at,
        SUM(CASE WHEN event_kind = 'http_request' THEN 1 ELSE 0 END) AS requests,
        SUM(CASE WHEN event_kind = 'tcp_connection' THEN 1 ELSE 0 END) AS connections,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        SUM(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN 1 ELSE 0 END) AS errors,
        SUM(request_bytes) AS request_bytes,
        SUM(response_bytes) AS response_bytes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS p50_us,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS p95_us,
        MAX(CASE WHEN mtls THEN 1 ELSE 0 END) AS some_mtls,
        MIN(CASE WHEN mtls THEN 1 WHEN NOT mtls THEN 0 END) AS all_mtls,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($cluster IS NULL OR k8s_cluster = $cluster)
    GROUP BY 1, 2, 3, 4, 5, 6
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM calls
)
SELECT
    caller,
    caller_namespace,
    service,
    service_namespace,
    k8s_cluster AS cluster,
    counted_at,
    requests,
    connections,
    denied,
    errors,
    ROUND(100 * CAST(errors AS DOUBLE) / CAST(requests + connections AS DOUBLE), 2) AS error_percent,
    request_bytes,
    response_bytes,
    ROUND(p50_us / 1000, 2) AS p50_ms,
    ROUND(p95_us / 1000, 2) AS p95_ms,
    CASE WHEN all_mtls = 1 THEN 'yes' WHEN some_mtls = 1 THEN 'partly' WHEN all_mtls = 0 THEN 'no' ELSE 'not said' END AS mtls,
    first_seen,
    last_seen
FROM sided
WHERE (counted_at = 'callee' OR callee_logged = 0)
    AND ($namespace IS NULL OR caller_namespace = $namespace OR service_namespace = $namespace)
    AND requests + connections >= $min_calls
ORDER BY requests + connections DESC, caller, caller_namespace, service, service_namespace, k8s_cluster
LIMIT $limit_rows
