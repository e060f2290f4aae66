-- question: Which components generate audit records, and which are only talked about?
-- name: nist_800_53_au_12
-- control: NIST SP 800-53 Rev. 5, AU-12
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 2000  -- most rows returned
-- cost: the partitions between since and until, 13 columns of every event
--
-- It shows each service, in each cluster, that appears in the records: how many records its own
-- side wrote, how many its callers wrote about it, and when first and last. Services without
-- records of their own come first. Control planes stand under their own name.
-- It does not show a component that nobody captured called. That a service has records does not
-- mean that all its pods do.
WITH seen AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip,
            CASE WHEN reporter = 'control_plane' THEN mesh || ' API' END, '(not named)') AS component,
        k8s_cluster,
        CASE WHEN reporter IN ('source', 'gateway') AND mesh <> 'hoop' THEN 0 ELSE 1 END AS own,
        event_time
    FROM mesh_events
    WHERE event_kind <> 'log'
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
)
SELECT
    component,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    CASE WHEN MAX(own) = 1 THEN 'yes' ELSE 'no' END AS generates_records,
    SUM(own) AS own_records,
    COUNT(*) - SUM(own) AS records_of_callers,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM seen
GROUP BY 1, 2
ORDER BY generates_records, component, cluster
LIMIT $limit_rows
