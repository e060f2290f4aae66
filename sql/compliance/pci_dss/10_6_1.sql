-- question: Do the clocks of the sources agree with the archive's?
-- name: pci_dss_10_6_1
-- control: PCI DSS 4.0.1, 10.6.1
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source how far its clock was ahead of ours at most, how late its records came
-- at most, and how many have no time of their own. A clock that is ahead by more than the way takes
-- is wrong; events more than 24 hours ahead are not archived as events but in quarantine.
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
