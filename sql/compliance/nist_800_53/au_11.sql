-- question: For how long are audit records retained?
-- name: nist_800_53_au_11
-- control: NIST SP 800-53 Rev. 5, AU-11
-- param: since timestamp = NULL  -- first day of the period; NULL is the beginning
-- param: until timestamp = NULL  -- last day of the period, inclusive; NULL is the end
-- param: limit_rows integer = 400  -- most rows returned
-- cost: the partitions between since and until, 25 columns of every event
--
-- It shows for each month on how many days there are records, how many, and how far back that is.
-- It does not show the period that your organisation has set, nor that a day without records had
-- any to keep. Records leave only by a signed retention order, which the ledger keeps.
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
