-- question: Do the records say who, what, when, with what outcome, from where and on what?
-- name: pci_dss_10_2_2
-- control: PCI DSS 4.0.1, 10.2.2
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source what share of its records has each detail: user or workload that was
-- authenticated, kind of event, the record's own time, outcome, origin, place, and the service,
-- path or object it was about. A name that nothing verified is counted apart.
-- It does not show whether a detail is true: a source can only record what it was told. A low
-- identity_percent means that the source logs no identities (Istio's default format has none);
-- docs/sources.md says how to switch them on. Records that were not understood at all are in the
-- question quarantine_summary.
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
