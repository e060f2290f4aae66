-- question: Which services get the most traffic?
-- name: busiest_services
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: limit_rows integer = 20  -- most rows returned
-- cost: the partitions between since and until, 16 columns of every request and connection
--
-- Each request is logged by both proxies and counted once: on the callee's side where the service
-- has any record of its own in the period, else on its callers' side; counted_at says which.
-- A connection counts as one, whatever it carried, at the moment it began.
WITH sides AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        CASE WHEN reporter IN ('source', 'gateway') THEN 1 ELSE 0 END AS caller_side,
        SUM(CASE WHEN event_kind = 'http_request' THEN 1 ELSE 0 END) AS requests,
        SUM(CASE WHEN event_kind = 'tcp_connection' THEN 1 ELSE 0 END) AS connections,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        COUNT(DISTINCT COALESCE(src_identity, principal, src_workload, src_ip)) AS callers,
        COUNT(DISTINCT k8s_cluster) AS clusters,
        SUM(request_bytes) AS request_bytes,
        SUM(response_bytes) AS response_bytes,
        MAX(event_time) AS last_seen
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY 1, 2
),
chosen AS (
    SELECT *, MIN(caller_side) OVER (PARTITION BY service) AS side_counted
    FROM sides
)
SELECT
    service,
    CASE WHEN caller_side = 0 THEN 'callee' ELSE 'caller' END AS counted_at,
    requests,
    connections,
    denied,
    callers,
    clusters,
    request_bytes,
    response_bytes,
    last_seen
FROM chosen
WHERE caller_side = side_counted
ORDER BY requests + connections DESC, service
LIMIT $limit_rows
