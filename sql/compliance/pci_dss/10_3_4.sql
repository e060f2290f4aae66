-- question: Which records does the archive hold of each day, to be held against what verify proves?
-- name: pci_dss_10_3_4
-- control: PCI DSS 4.0.1, 10.3.2 and 10.3.4
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 4000  -- most rows returned
-- cost: the partitions between since and until, 6 columns of every event
--
-- It shows how many records and segments the archive holds of each day. Run it with --strict and
-- keep the receipt: the answer then rests on sealed commits alone, and names the signed checkpoint.
-- It does not show that nothing was changed, and no query could. That is what `meshledger verify
-- --policy FILE` checks, against keys from outside the archive; run it on a schedule with an alarm
-- on its exit code, and hand in its report beside this table. Prevention is the object lock of the
-- bucket.
SELECT
    event_date,
    COUNT(*) AS records,
    COUNT(DISTINCT segment) AS segments,
    MIN(segment) AS first_segment,
    MAX(segment) AS last_segment,
    MIN(event_time) AS first_event,
    MAX(event_time) AS last_event,
    MIN(ingest_time) AS first_received,
    MAX(ingest_time) AS last_received
FROM mesh_events
WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY event_date
ORDER BY event_date
LIMIT $limit_rows
