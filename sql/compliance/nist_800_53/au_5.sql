-- question: When did audit logging fail at a source?
-- name: nist_800_53_au_5
-- control: NIST SP 800-53 Rev. 5, AU-5
-- param: since timestamp = NULL  -- first moment, cut to its minute; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, rounded up to a minute; NULL is the end
-- param: min_gap_minutes integer = 60  -- shortest silence to report
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 6 columns of every event
--
-- It shows each time that a source (cluster, format and side) delivered nothing for at least
-- min_gap_minutes while it was known, and whether it still does not.
-- It does not show why, nor whom was alerted and what was done. Silence can be the lack of traffic.
-- A source that never came is not known here; heartbeats of `serve` tell a silent archive from a
-- dead one.
WITH minutes AS (
    SELECT
        COALESCE(k8s_cluster, '(not named)') AS source_cluster,
        source_format,
        COALESCE(reporter, '(not said)') AS reporter,
        minute,
        last_event,
        LEAD(minute) OVER later AS next_minute,
        LEAD(first_event) OVER later AS next_event,
        MAX(minute) OVER () AS final_minute
    FROM mesh_capture_minutes
    WHERE ($since IS NULL OR last_event >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR first_event < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    WINDOW later AS (PARTITION BY k8s_cluster, source_format, reporter ORDER BY minute)
)
SELECT
    source_cluster AS cluster,
    source_format,
    reporter,
    last_event AS silent_from,
    next_event AS silent_until,
    COALESCE(next_minute - 1, final_minute) - minute AS silent_minutes,
    CASE WHEN next_minute IS NULL THEN 'yes' ELSE 'no' END AS still_silent
FROM minutes
WHERE COALESCE(next_minute - 1, final_minute) - minute >= $min_gap_minutes
ORDER BY silent_from, source_cluster, source_format, reporter
LIMIT $limit_rows
