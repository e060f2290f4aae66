-- question: Which months of audit logs are there to be searched?
-- name: pci_dss_10_5_1
-- control: PCI DSS 4.0.1, 10.5.1
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 400  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each month on how many days there are records, and how many. All of them are
-- available for analysis at once, since this query just read them: there is no colder store behind
-- it. The requirement asks for twelve months, the latest three at once; days_before_the_newest says
-- how far back each line reaches.
-- It does not show months before the archive began, nor that a day without records had any to keep.
-- Records removed by a retention order are gone from here; the order itself stays in the ledger.
WITH days AS (
    SELECT
        event_date,
        CAST(date_trunc('month', event_date) AS DATE) AS month_of,
        SUM(events) AS records,
        COUNT(DISTINCT source_format) AS formats,
        MIN(first_event) AS first_event,
        MAX(last_event) AS last_event
    FROM mesh_capture
    WHERE ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY event_date
)
SELECT
    month_of,
    COUNT(*) AS days_with_records,
    SUM(records) AS records,
    MAX(formats) AS most_formats_on_a_day,
    MIN(first_event) AS first_event,
    MAX(last_event) AS last_event,
    CAST((MAX(date_part('epoch', MAX(event_date))) OVER () - date_part('epoch', MIN(event_date))) / 86400 AS BIGINT) AS days_before_the_newest
FROM days
GROUP BY month_of
ORDER BY month_of
LIMIT $limit_rows
