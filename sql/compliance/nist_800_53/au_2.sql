-- question: Which types of events does each source record?
-- name: nist_800_53_au_2
-- control: NIST SP 800-53 Rev. 5, AU-2
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 9 columns of every event
--
-- It shows for each source the types of events in its records, and what decided them, with how many
-- there are: what the system logs in fact, to be compared with the types that you have selected to
-- be logged.
-- It does not show types that could be logged and did not happen, nor the rationale of the
-- selection.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    event_kind,
    COALESCE(decision_source, '(none)') AS decided_by,
    COUNT(*) AS events,
    SUM(CASE WHEN decision = 'allow' THEN 1 ELSE 0 END) AS allowed,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    SUM(CASE WHEN decision = 'error' THEN 1 ELSE 0 END) AS failed,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM mesh_events
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3, 4, 5
ORDER BY cluster, source_format, reporter, event_kind, decided_by
LIMIT $limit_rows
