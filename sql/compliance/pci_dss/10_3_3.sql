-- question: How soon after an event was its record in the archive?
-- name: pci_dss_10_3_3
-- control: PCI DSS 4.0.1, 10.3.3
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each source and day how long it took from the event to its receipt here, on average
-- and at most: how promptly records left the component that wrote them. A record of a connection is
-- written at its end and counted from its beginning, so durations are in the longest lag.
-- It does not show where the archive lies, who may change it there, or whether it has a copy: that
-- is the configuration of the bucket. What is meant by promptly, your policy says.
SELECT
    event_date,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    mesh,
    source_format,
    COALESCE(reporter, '(not said)') AS reporter,
    transport,
    events AS records,
    lag_seconds_avg,
    lag_seconds_max,
    last_event,
    last_received
FROM mesh_capture
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_date, cluster, mesh, source_format, reporter, transport
LIMIT $limit_rows
