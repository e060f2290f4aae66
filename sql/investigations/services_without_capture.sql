-- question: Which services are called, but write no records of their own?
-- name: services_without_capture
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: min_calls integer = 1  -- services with fewer calls are left out
-- param: limit_rows integer = 100  -- most rows returned
-- cost: the partitions between since and until, 14 columns of every request and connection
--
-- Their callers' proxies saw calls that arrived (decision allow), while no record of the service's
-- own side came in the whole period: no sidecar or ambient capture, logging switched off, a
-- collector that leaves the namespace out, or a service outside the mesh. Denials there, and who
-- called from outside the mesh, are then not in the archive. Of a service with some captured pods
-- nothing is here: compare the clusters and pods that busiest_services and capture_gaps show.
WITH seen AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip) AS service,
        COALESCE(dst_namespace, CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
        CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END AS from_destination,
        CASE WHEN reporter IN ('source', 'gateway') AND decision = 'allow' THEN 1 ELSE 0 END AS arrived,
        COALESCE(src_identity, principal, src_workload, src_ip) AS caller,
        dst_ip,
        k8s_cluster,
        event_time
    FROM mesh_events
    WHERE event_kind IN ('http_request', 'tcp_connection', 'tls_handshake', 'authz_decision')
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
)
SELECT
    service,
    MIN(service_namespace) AS service_namespace,
    SUM(arrived) AS calls,
    COUNT(DISTINCT caller) AS callers,
    MIN(caller) AS one_caller,
    COUNT(DISTINCT dst_ip) AS addresses,
    COUNT(DISTINCT k8s_cluster) AS clusters,
    MIN(k8s_cluster) AS one_cluster,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM seen
WHERE service IS NOT NULL
GROUP BY service
HAVING MAX(from_destination) = 0 AND SUM(arrived) >= $min_calls
ORDER BY calls DESC, service
LIMIT $limit_rows
