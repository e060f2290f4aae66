-- question: What does each source deliver, how late, and how much do its records say?
-- name: capture_by_source
-- param: since timestamp = NULL  -- first day, inclusive, of which the time of day is left out; NULL is the beginning
-- param: until timestamp = NULL  -- last day, inclusive, of which the time of day is left out; NULL is the end
-- param: cluster text = NULL  -- only this cluster
-- param: limit_rows integer = 100  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- A source is a cluster, a format, a side and a transport. The percentages say how many of its
-- records answer each question; identity_percent leaves out claims that nothing verified.
-- silent_days counts days between the source's first and last without a record. What is not in a
-- source's format can not be there: docs/sources.md says what each one lacks. See capture_gaps for
-- minutes, and services_without_capture for services whose own proxies log nothing.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    mesh,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    transport,
    SUM(events) AS events,
    COUNT(*) AS days,
    CAST((date_part('epoch', MAX(event_date)) - date_part('epoch', MIN(event_date))) / 86400 AS BIGINT) + 1 - COUNT(*) AS silent_days,
    MIN(first_event) AS first_event,
    MAX(last_event) AS last_event,
    MAX(last_received) AS last_received,
    ROUND(SUM(lag_seconds_avg * events) / SUM(events), 1) AS lag_seconds_avg,
    MAX(lag_seconds_max) AS lag_seconds_max,
    MAX(ahead_seconds_max) AS ahead_seconds_max,
    ROUND(100 * CAST(SUM(with_own_time) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 1) AS own_time_percent,
    ROUND(100 * CAST(SUM(with_origin) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 1) AS origin_percent,
    ROUND(100 * CAST(SUM(with_outcome) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 1) AS outcome_percent,
    ROUND(100 * CAST(SUM(by_certificate + by_token + by_control_plane) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 1) AS identity_percent,
    ROUND(100 * CAST(SUM(with_target) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 1) AS target_percent,
    SUM(not_fully_parsed) AS not_fully_parsed
FROM mesh_capture
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($cluster IS NULL OR k8s_cluster = $cluster)
GROUP BY 1, 2, 3, 4, 5
ORDER BY cluster, mesh, source_format, reporter, transport
LIMIT $limit_rows
