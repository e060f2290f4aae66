-- question: Who was active in the systems with health information?
-- name: hipaa_164_308_a_1_ii_d
-- control: HIPAA Security Rule, 45 CFR 164.308(a)(1)(ii)(D)
-- param: namespace text = NULL  -- the namespace in scope; this or service is required
-- param: service text = NULL  -- the service or workload in scope
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- one_of: namespace, service
-- cost: the partitions between since and until, 22 columns of every request, connection, session and statement; dst_service and dst_namespace have statistics, but of several columns that may match any one keeps the file
--
-- It shows, for the namespace or service that you name as holding electronic protected health
-- information, each user and workload that reached it or was refused, with what they did and when
-- first and last: the access report of a regular review. Incidents to review beside it are in
-- soc2_cc7_3 and the questions of this collection.
-- It does not show whose health information was read: that is in the application's own log. It does
-- not show that a review took place.
WITH access AS (
    SELECT
        COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS who,
        COALESCE(principal_type, CASE WHEN COALESCE(src_identity, src_workload) IS NOT NULL THEN 'workload' ELSE 'not known' END)
            AS who_is,
        CASE
            WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
            WHEN COALESCE(principal, src_identity, src_workload) IS NULL THEN 'address only'
            ELSE 'yes'
        END AS identified,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(not named)') AS service,
        COALESCE(http_method, event_kind) AS did,
        CASE WHEN reporter = 'source' THEN 'caller' ELSE 'callee' END AS seen_by,
        CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END AS from_destination,
        decision,
        url_path,
        src_ip,
        event_time
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection', 'session', 'statement')
        AND ($namespace IS NULL OR dst_namespace = $namespace OR (reporter = 'destination' AND k8s_namespace = $namespace))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM access
)
SELECT
    who,
    who_is,
    identified,
    service,
    did,
    SUM(CASE WHEN decision = 'allow' THEN 1 ELSE 0 END) AS allowed,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    SUM(CASE WHEN decision IN ('error', 'unknown') THEN 1 ELSE 0 END) AS failed_or_not_said,
    COUNT(DISTINCT url_path) AS paths,
    MIN(url_path) AS one_path,
    COUNT(DISTINCT src_ip) AS addresses,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM sided
WHERE seen_by = 'callee' OR callee_logged = 0 OR decision = 'deny'
GROUP BY who, who_is, identified, service, did
ORDER BY CASE WHEN who_is = 'user' THEN 0 ELSE 1 END, who, identified, service, did, who_is
LIMIT $limit_rows
