-- question: Which services fail or answer slowly?
-- name: error_hotspots
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: min_requests integer = 20  -- services with fewer requests are left out
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 12 columns of every request; durations are held in memory, 8 bytes a request, for exact percentiles
--
-- An error is a decision error, an HTTP status from 500, or a gRPC status 2, 4, 13, 14 or 15. A
-- denial is no error. Requests, errors and durations are counted on one side, the callee's where
-- it has any record, else the callers'. A request that never arrived (no healthy host, a failed
-- handshake) is known only to callers: their error rate stands beside, and the higher of the two
-- decides the order. Never add the two up.
WITH requests AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        CASE WHEN reporter IN ('source', 'gateway') THEN 1 ELSE 0 END AS caller_side,
        CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN 1 ELSE 0 END AS is_error,
        CASE WHEN decision = 'deny' THEN 1 ELSE 0 END AS is_denial,
        duration_us
    FROM mesh_events
    WHERE event_kind = 'http_request'
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
),
sides AS (
    SELECT
        service,
        caller_side,
        COUNT(*) AS requests,
        SUM(is_error) AS errors,
        SUM(is_denial) AS denials,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS p50_us,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(duration_us AS DOUBLE)) AS p95_us
    FROM requests
    GROUP BY service, caller_side
),
paired AS (
    SELECT
        *,
        MIN(caller_side) OVER (PARTITION BY service) AS side_counted,
        SUM(CASE WHEN caller_side = 1 THEN requests ELSE 0 END) OVER (PARTITION BY service) AS caller_requests,
        SUM(CASE WHEN caller_side = 1 THEN errors ELSE 0 END) OVER (PARTITION BY service) AS caller_errors
    FROM sides
),
rated AS (
    SELECT
        service,
        CASE WHEN caller_side = 0 THEN 'callee' ELSE 'caller' END AS counted_at,
        requests,
        errors,
        ROUND(100 * CAST(errors AS DOUBLE) / CAST(requests AS DOUBLE), 2) AS error_percent,
        denials,
        ROUND(p50_us / 1000, 2) AS p50_ms,
        ROUND(p95_us / 1000, 2) AS p95_ms,
        CASE WHEN caller_requests > 0 THEN caller_errors END AS errors_seen_by_callers,
        CASE WHEN caller_requests > 0
            THEN ROUND(100 * CAST(caller_errors AS DOUBLE) / CAST(caller_requests AS DOUBLE), 2)
        END AS caller_error_percent,
        GREATEST(requests, caller_requests) AS most_requests
    FROM paired
    WHERE caller_side = side_counted
)
SELECT
    service,
    counted_at,
    requests,
    errors,
    error_percent,
    errors_seen_by_callers,
    caller_error_percent,
    denials,
    p50_ms,
    p95_ms
FROM rated
WHERE most_requests >= $min_requests
ORDER BY GREATEST(error_percent, COALESCE(caller_error_percent, 0)) DESC, p95_ms DESC, service
LIMIT $limit_rows
