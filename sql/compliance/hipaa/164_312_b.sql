-- question: What do the records of each source say about activity?
-- name: hipaa_164_312_b
-- control: HIPAA Security Rule, 45 CFR 164.312(b)
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source that records activity how many records it delivered and what share of
-- them names who, what, when, outcome, origin and target: the mechanism that records. The questions
-- of this collection are the means to examine.
-- It does not show which systems hold electronic protected health information, nor that all of them
-- are sources: services_without_capture lists services that are called and write no records of
-- their own.
SELECT
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    SUM(events) AS records,
    ROUND(100 * CAST(SUM(by_certificate + by_token + by_control_plane) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS identity_percent,
    ROUND(100 * CAST(SUM(claimed_only) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS claimed_only_percent,
    ROUND(100 * CAST(SUM(with_type) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS type_percent,
    ROUND(100 * CAST(SUM(with_own_time) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS own_time_percent,
    ROUND(100 * CAST(SUM(with_outcome) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS outcome_percent,
    ROUND(100 * CAST(SUM(with_origin) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS origin_percent,
    ROUND(100 * CAST(SUM(with_place) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS place_percent,
    ROUND(100 * CAST(SUM(with_target) AS DOUBLE) / CAST(SUM(events) AS DOUBLE), 2) AS target_percent,
    SUM(not_fully_parsed) AS not_fully_parsed
FROM mesh_capture
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY cluster, source_format, reporter
LIMIT $limit_rows
