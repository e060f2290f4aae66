-- question: When did a cluster's proxies log nothing?
-- name: capture_gaps
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: min_gap_minutes integer = 1  -- shortest run of empty minutes to show
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 5 columns of every event
--
-- Per cluster and reporting side: whole UTC minutes without an event between its first and its last,
-- and, as still_silent, the minutes from its last event to the last of the whole archive in the
-- period. A gap is silence, not proof of loss: compare events_per_minute, the average over the
-- minutes that have events; quiet sources have gaps by nature. Records of failed handshakes are left
-- out, since their absence is good news. What a source sent late is there by
-- its event_time, so a gap can close later. A source that never sent anything cannot be known here.
WITH minutes AS (
    SELECT
        COALESCE(k8s_cluster, '(not named)') AS cluster,
        COALESCE(reporter, '(not said)') AS reporter,
        CAST(FLOOR(date_part('epoch', event_time) / 60) AS BIGINT) AS minute,
        COUNT(*) AS events,
        MIN(event_time) AS first_event,
        MAX(event_time) AS last_event
    FROM mesh_events
    WHERE event_kind <> 'tls_handshake'
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY 1, 2, 3
),
steps AS (
    SELECT
        cluster,
        reporter,
        minute,
        last_event,
        LEAD(minute) OVER (PARTITION BY cluster, reporter ORDER BY minute) AS next_minute,
        LEAD(first_event) OVER (PARTITION BY cluster, reporter ORDER BY minute) AS next_event,
        MAX(minute) OVER () AS final_minute,
        AVG(CAST(events AS DOUBLE)) OVER (PARTITION BY cluster, reporter) AS events_per_minute
    FROM minutes
)
SELECT
    cluster,
    reporter,
    CASE WHEN next_minute IS NULL THEN 'yes' ELSE 'no' END AS still_silent,
    COALESCE(next_minute - 1, final_minute) - minute AS empty_minutes,
    last_event AS last_event_before,
    next_event AS first_event_after,
    ROUND(events_per_minute, 1) AS events_per_minute
FROM steps
WHERE COALESCE(next_minute - 1, final_minute) - minute >= $min_gap_minutes
ORDER BY empty_minutes DESC, cluster, reporter, last_event_before
LIMIT $limit_rows
