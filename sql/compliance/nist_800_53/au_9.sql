-- question: Which records does the archive hold of each day, to be held against what verify proves?
-- name: nist_800_53_au_9
-- control: NIST SP 800-53 Rev. 5, AU-9 and AU-9(3)
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 4000  -- most rows returned
-- cost: the partitions between since and until, 6 columns of every event
--
-- It shows how many records and segments the archive holds of each day. Run it with --strict and
-- keep the receipt: the answer then rests on sealed commits alone, and names the signed checkpoint.
-- It does not show that they were protected: the signed ledger (AU-9(3)) is checked by `meshledger
-- verify`, write-once storage (AU-9(1)) is the object lock of the bucket, a store apart from the
-- audited system (AU-9(2)) is where the bucket lies. Who may read and delete is in the policies of
-- the roles.
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
