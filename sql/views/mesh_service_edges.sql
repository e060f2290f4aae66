-- view: mesh_service_edges
-- question: Which workloads call which services, how much, and how often in vain?
-- row: one edge from a caller to a service on one UTC day; all numbers but the last two can be added up
-- cost: 19 columns of every request and connection of the dates asked for; event_date goes through to the files; clusters and names choose among what is counted, since which side is counted is decided over all of them
-- column: caller  -- workload identity, else principal, workload, address; (forwarded for others) where the address is some customer's
-- column: caller_namespace  -- its namespace, where known
-- column: service  -- service, else workload, host, address
-- column: service_namespace  -- its namespace, where known
-- column: counted_at  -- callee, or caller for services without records of their own on that day
-- column: requests  -- requests
-- column: connections  -- TCP connections
-- column: denied  -- of both, those that were denied
-- column: errors  -- of both, those with decision error, an HTTP status from 500, or gRPC status 2, 4, 13, 14 or 15
-- column: request_bytes  -- bytes from caller to service
-- column: response_bytes  -- bytes from service to caller
-- column: duration_us_sum  -- durations, microseconds; divide by requests and connections for the mean
-- column: duration_us_max  -- the longest, microseconds
-- column: first_seen  -- first of that day
-- column: last_seen  -- last of that day
--
-- Both proxies log a request, so one side is counted: the callee's where the service has records of
-- its own on that day, else its callers'. What never arrived (no healthy host, a failed handshake)
-- only the caller knows, and is not here where the callee is counted: see mesh_tls_failures and the
-- question error_hotspots. An event counts on the day it began.
WITH edges AS (
    SELECT
        event_date,
        k8s_cluster,
        COALESCE(src_identity, principal, src_workload,
            CASE WHEN x_forwarded_for IS NOT NULL THEN '(forwarded for others)' ELSE src_ip END, '(unknown)') AS caller,
        src_namespace AS caller_namespace,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        COALESCE(dst_namespace, CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS counted_at,
        SUM(CASE WHEN event_kind = 'http_request' THEN 1 ELSE 0 END) AS requests,
        SUM(CASE WHEN event_kind = 'tcp_connection' THEN 1 ELSE 0 END) AS connections,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        SUM(CASE WHEN decision = 'error' OR http_status >= 500 OR grpc_status IN (2, 4, 13, 14, 15)
            THEN 1 ELSE 0 END) AS errors,
        SUM(request_bytes) AS request_bytes,
        SUM(response_bytes) AS response_bytes,
        SUM(duration_us) AS duration_us_sum,
        MAX(duration_us) AS duration_us_max,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
    GROUP BY 1, 2, 3, 4, 5, 6, 7
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY event_date, service) AS callee_logged
    FROM edges
)
SELECT * EXCLUDE (from_destination, callee_logged)
FROM sided
WHERE counted_at = 'callee' OR callee_logged = 0
