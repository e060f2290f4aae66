-- question: Which users and workloads reached which services, how often, and with what outcome?
-- name: access_by_principal
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: principal text = NULL  -- only this user, workload or token; a trailing * makes it a prefix
-- param: service text = NULL  -- only this service or workload
-- param: namespace text = NULL  -- only services of this namespace
-- param: limit_rows integer = 100  -- most rows returned
-- cost: the partitions between since and until, 23 columns of every request, connection, call to a control plane, session and statement; principal, dst_service and dst_namespace have statistics, but of several columns that may match any one keeps the file
--
-- For a review of who has access: every pair of principal and service that was seen, with when it
-- was last used. The principal is a user where a token or a control plane names one, else the
-- workload's identity, else workload, else address. Requests and connections are counted on one
-- side, the callee's where it has records of its own in the period; denials on every side, since
-- only who decides logs them.
-- What is allowed and was never used is not here: only policies say that. identity_activity shows
-- one principal in detail.
WITH access AS (
    SELECT
        COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS who,
        CASE
            WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
            WHEN COALESCE(principal, src_identity, src_workload) IS NULL THEN 'address only'
            ELSE 'yes'
        END AS identified,
        COALESCE(dst_service, dst_workload, http_host, dst_ip,
            CASE WHEN reporter = 'control_plane' THEN mesh || ' API' END, '(not named)') AS service,
        COALESCE(dst_namespace, resource_namespace,
            CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
        CASE WHEN reporter IN ('source', 'gateway') AND mesh <> 'hoop' THEN 'caller' ELSE 'callee' END AS seen_by,
        decision,
        http_method,
        url_path,
        src_ip,
        k8s_cluster,
        event_time,
        CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END AS from_destination
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection', 'api_call', 'policy_change', 'session', 'statement')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($principal IS NULL
            OR (RIGHT($principal, 1) <> '*' AND (principal = $principal OR src_identity = $principal
                OR src_workload = $principal OR user_name = $principal OR src_ip = $principal))
            OR (RIGHT($principal, 1) = '*' AND (
                starts_with(principal, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_identity, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_workload, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(user_name, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_ip, LEFT($principal, LENGTH($principal) - 1)))))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
        AND ($namespace IS NULL OR dst_namespace = $namespace OR resource_namespace = $namespace
            OR (reporter = 'destination' AND k8s_namespace = $namespace))
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM access
)
SELECT
    who,
    identified,
    service,
    service_namespace,
    COUNT(*) AS events,
    SUM(CASE WHEN decision = 'allow' THEN 1 ELSE 0 END) AS allowed,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    SUM(CASE WHEN decision = 'error' THEN 1 ELSE 0 END) AS errors,
    COUNT(DISTINCT http_method) AS methods,
    COUNT(DISTINCT url_path) AS paths,
    MIN(url_path) AS one_path,
    COUNT(DISTINCT src_ip) AS addresses,
    COUNT(DISTINCT k8s_cluster) AS clusters,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM sided
WHERE seen_by = 'callee' OR callee_logged = 0 OR decision = 'deny'
GROUP BY who, identified, service, service_namespace
ORDER BY events DESC, who, identified, service, service_namespace
LIMIT $limit_rows
