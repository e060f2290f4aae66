-- question: Which services began or stopped to fail, all of a sudden?
-- name: error_onset
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: service text = NULL  -- only this service
-- param: min_errors integer = 5  -- fewest errors in five minutes that count as sharp
-- param: factor integer = 5  -- how many times the busiest five minutes of the hour before (or after) it must reach
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until: 12 columns of every request and connection, and event_time once more
--
-- An error is a decision error, an HTTP status from 500, or a gRPC status 2, 4, 13, 14 or 15; a
-- denial is none. Errors are counted in steps of five minutes, by service and by who saw them: what
-- never arrived (no healthy host, a failed handshake) only callers see, what the service answered
-- itself both do, so never add the two up. They begin where a step has at least min_errors and
-- factor times the busiest step of the hour before it, and stop where the same holds against the
-- hour after it. The very first and last step of the period are left out: there the data begins or
-- ends, not the failing. calls is what came in those five minutes, so a rise of both is load.
WITH steps AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS seen_by,
        CAST(FLOOR(date_part('epoch', event_time) / 300) AS BIGINT) AS step,
        COUNT(*) AS calls,
        SUM(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN 1 ELSE 0 END) AS errors,
        MIN(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN event_time END) AS first_error,
        MAX(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN event_time END) AS last_error,
        MIN(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN COALESCE(tls_failure_reason, decision_reason) END) AS one_reason
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
    GROUP BY 1, 2, 3
),
compared AS (
    SELECT
        *,
        COALESCE(MAX(errors) OVER (PARTITION BY service, seen_by ORDER BY step
            RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING), 0) AS hour_before,
        COALESCE(MAX(errors) OVER (PARTITION BY service, seen_by ORDER BY step
            RANGE BETWEEN 1 FOLLOWING AND 12 FOLLOWING), 0) AS hour_after,
        MIN(step) OVER () AS first_step,
        MAX(step) OVER () AS last_step
    FROM steps
),
changes AS (
    SELECT first_error AS at_time, 'began' AS change, service, seen_by, errors AS in_five_minutes, calls,
        hour_before AS busiest_before, NULL AS busiest_after, one_reason
    FROM compared
    WHERE errors >= $min_errors AND errors >= $factor * hour_before AND step > first_step
    UNION ALL
    SELECT last_error, 'stopped', service, seen_by, errors, calls, NULL, hour_after, one_reason
    FROM compared
    WHERE errors >= $min_errors AND errors >= $factor * hour_after AND step < last_step
)
SELECT at_time, change, service, seen_by, in_five_minutes, calls, busiest_before, busiest_after, one_reason
FROM changes
ORDER BY at_time, change, service, seen_by
LIMIT $limit_rows
