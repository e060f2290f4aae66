-- question: What came in from outside, and what of it was refused?
-- name: soc2_cc6_6
-- control: SOC 2, CC6.6 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 14 columns of every request and connection
--
-- It shows for each service the requests that carry a forwarded-for header or were reported by a
-- gateway, as those from outside do: how many, from how many addresses, and how many were refused
-- or failed. One side is counted, the service's own where it has records.
-- It does not show traffic that comes in without such a header or gateway, what a firewall or load
-- balancer dropped before, nor whether an address is an attacker's. The header is the client's word
-- unless your edge sets it.
WITH calls AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS counted_at,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination,
        COUNT(*) AS requests,
        SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
        SUM(CASE WHEN decision = 'error' THEN 1 ELSE 0 END) AS failed,
        SUM(CASE WHEN principal_source = 'jwt' THEN 1 ELSE 0 END) AS with_accepted_token,
        COUNT(DISTINCT COALESCE(x_forwarded_for, src_ip)) AS origins,
        COUNT(DISTINCT url_path) AS paths,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection')
        AND (x_forwarded_for IS NOT NULL OR reporter = 'gateway')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY 1, 2
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM calls
)
SELECT
    service, counted_at, requests, denied, failed, with_accepted_token, origins, paths, first_seen, last_seen
FROM sided
WHERE counted_at = 'callee' OR callee_logged = 0
ORDER BY requests DESC, service
LIMIT $limit_rows
