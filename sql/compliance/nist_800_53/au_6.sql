-- question: What is there to review, week by week?
-- name: nist_800_53_au_6
-- control: NIST SP 800-53 Rev. 5, AU-6
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 4000  -- most rows returned
-- cost: the partitions between since and until, four times: denials, TLS failures, policy changes, calls to control planes; about 20 columns of the files with any
--
-- It shows for each week and cluster the denials, failed handshakes, policy changes and uses of
-- privileges, by how many callers and on how many targets. A week begins on Monday, UTC.
-- It does not show that somebody reviewed, analysed and reported, nor what is unusual for your
-- organisation.
SELECT
    CAST(date_trunc('week', event_date) AS DATE) AS week_of,
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
ORDER BY week_of, cluster, kind
LIMIT $limit_rows
