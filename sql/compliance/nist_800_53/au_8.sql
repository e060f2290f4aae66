-- question: Are the time stamps of the records the sources' own, and do they agree?
-- name: nist_800_53_au_8
-- control: NIST SP 800-53 Rev. 5, AU-8
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source how many records have no time stamp of their own, how far its clock was
-- ahead of ours at most, and how late records came at most. All times are kept in UTC, to the
-- microsecond where the source has it; Istio's default format has milliseconds.
-- It does not show a clock that is behind, which can not be told from a slow way, nor by what the
-- clocks are synchronised.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    SUM(events) AS records,
    SUM(events) - SUM(with_own_time) AS without_own_time,
    MAX(ahead_seconds_max) AS ahead_seconds_max,
    MAX(lag_seconds_max) AS lag_seconds_max,
    MIN(first_event) AS first_event,
    MAX(last_event) AS last_event
FROM mesh_capture
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY cluster, source_format, reporter
LIMIT $limit_rows
