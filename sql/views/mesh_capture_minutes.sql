-- view: mesh_capture_minutes
-- question: In which minutes did each source deliver events?
-- row: one source in one UTC minute in which it has events: cluster, format and side
-- cost: 6 columns of every event of the dates asked for; event_date, k8s_cluster, source_format and reporter go through to the files
-- column: minute  -- minutes since 1970-01-01 UTC
-- column: events  -- events that began in it
-- column: first_event  -- the earliest event_time
-- column: last_event  -- the latest event_time
--
-- A minute without a row is silence. Records of failed handshakes are left out, since their
-- absence is good news. The question capture_gaps puts silent minutes together.
SELECT
    event_date,
    k8s_cluster,
    source_format,
    reporter,
    CAST(FLOOR(date_part('epoch', event_time) / 60) AS BIGINT) AS minute,
    COUNT(*) AS events,
    MIN(event_time) AS first_event,
    MAX(event_time) AS last_event
FROM mesh_events
WHERE event_kind <> 'tls_handshake'
GROUP BY 1, 2, 3, 4, 5
