-- question: Which security events were there, day by day?
-- name: soc2_cc7_2
-- control: SOC 2, CC7.2 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 4000  -- most rows returned
-- cost: the partitions between since and until, four times: denials, TLS failures, policy changes, calls to control planes; about 20 columns of the files with any
--
-- It shows for each day and cluster the denials, failed handshakes, policy changes and uses of
-- privileges that monitoring saw.
-- It does not show that they were looked at, nor anomalies in what was allowed: new_edges,
-- latency_outliers and access_by_principal are the questions for that.
SELECT
    event_date,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    kind,
    COUNT(*) AS events,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    COUNT(DISTINCT who) AS who_count,
    COUNT(DISTINCT target) AS targets,
    COUNT(DISTINCT what) AS whats,
    MIN(what) AS one_what,
    MIN(who) AS one_who,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM mesh_security_events
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY event_date, cluster, kind
LIMIT $limit_rows
