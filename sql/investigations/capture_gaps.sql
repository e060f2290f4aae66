-- question: When did a source deliver nothing?
-- name: capture_gaps
-- param: since timestamp = NULL  -- first moment, cut to its minute; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, rounded up to a minute; NULL is the end
-- param: cluster text = NULL  -- only this cluster
-- param: min_gap_minutes integer = 1  -- shortest run of empty minutes to show
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 6 columns of every event
--
-- Per source, that is cluster, format and reporting side: whole UTC minutes without an event between
-- its first and its last, and, as still_silent, the minutes from its last event to the last of all
-- sources in the period. A gap is silence, not proof of loss: compare events_per_minute, the average
-- over the minutes that have events; quiet sources have gaps by nature. Records of failed
-- handshakes are left out, since their absence is good news. What a source sent late is there by its
-- event_time, so a gap can close later. A source that never sent anything cannot be known here.
WITH minutes AS (
    SELECT
        COALESCE(k8s_cluster, '(not named)') AS cluster,
        source_format,
        COALESCE(reporter, '(not said)') AS reporter,
        minute,
        events,
        first_event,
        last_event
    FROM mesh_capture_minutes
    WHERE ($since IS NULL OR last_event >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR first_event < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($cluster IS NULL OR k8s_cluster = $cluster)
),
steps AS (
    SELECT
        cluster,
        source_format,
        reporter,
        minute,
        last_event,
        LEAD(minute) OVER (PARTITION BY cluster, source_format, reporter ORDER BY minute) AS next_minute,
        LEAD(first_event) OVER (PARTITION BY cluster, source_format, reporter ORDER BY minute) AS next_event,
        MAX(minute) OVER () AS final_minute,
        AVG(CAST(events AS DOUBLE)) OVER (PARTITION BY cluster, source_format, reporter) AS events_per_minute
    FROM minutes
)
SELECT
    cluster,
    source_format,
    reporter,
    CASE WHEN next_minute IS NULL THEN 'yes' ELSE 'no' END AS still_silent,
    COALESCE(next_minute - 1, final_minute) - minute AS empty_minutes,
    last_event AS last_event_before,
    next_event AS first_event_after,
    ROUND(events_per_minute, 1) AS events_per_minute
FROM steps
WHERE COALESCE(next_minute - 1, final_minute) - minute >= $min_gap_minutes
ORDER BY empty_minutes DESC, cluster, source_format, reporter, last_event_before
LIMIT $limit_rows
