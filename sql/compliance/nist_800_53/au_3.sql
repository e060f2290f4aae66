-- question: Do the records say what, when, where, from where, with what outcome and who?
-- name: nist_800_53_au_3
-- control: NIST SP 800-53 Rev. 5, AU-3
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source what share of its records establishes the type of event, its time, its
-- place, its source, its outcome, and the identity of the subject, and the object it was about. An
-- identity that nothing verified is counted apart.
-- It does not show whether what a record says is true, nor fields that your organisation adds to
-- this list.
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
