-- question: Which policies began or stopped to deny, all of a sudden?
-- name: denial_onset
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: min_denials integer = 5  -- fewest denials in five minutes that count as sharp
-- param: factor integer = 5  -- how many times the busiest five minutes of the hour before (or after) it must reach
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until; twice event_time of all events, and 16 columns of the denials, which statistics on decision find
--
-- Denials are counted in steps of five minutes. One begins where a step has at least min_denials
-- and factor times the busiest step of the hour before it; one stops where the same holds against
-- the hour after it. The very first and last step of the period are left out: there the data
-- begins or ends, not the denying. Only the proxy that decides logs a denial, so all sides count.
WITH steps AS (
    SELECT
        policy,
        decided_by,
        service,
        CAST(FLOOR(date_part('epoch', event_time) / 300) AS BIGINT) AS step,
        COUNT(*) AS denials,
        COUNT(DISTINCT caller) AS callers,
        MIN(event_time) AS first_denial,
        MAX(event_time) AS last_denial
    FROM mesh_denials
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY policy, decided_by, service, step
),
compared AS (
    SELECT
        *,
        COALESCE(MAX(denials) OVER (PARTITION BY policy, decided_by, service ORDER BY step
            RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING), 0) AS hour_before,
        COALESCE(MAX(denials) OVER (PARTITION BY policy, decided_by, service ORDER BY step
            RANGE BETWEEN 1 FOLLOWING AND 12 FOLLOWING), 0) AS hour_after
    FROM steps
),
ends AS (
    SELECT
        CAST(FLOOR(date_part('epoch', MIN(event_time)) / 300) AS BIGINT) AS first_step,
        CAST(FLOOR(date_part('epoch', MAX(event_time)) / 300) AS BIGINT) AS last_step
    FROM mesh_events
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
),
changes AS (
    SELECT first_denial AS at_time, 'began' AS change, policy, decided_by, service, denials AS in_five_minutes,
        hour_before AS busiest_before, NULL AS busiest_after, callers
    FROM compared
    CROSS JOIN ends
    WHERE denials >= $min_denials AND denials >= $factor * hour_before AND step > first_step
    UNION ALL
    SELECT last_denial, 'stopped', policy, decided_by, service, denials, NULL, hour_after, callers
    FROM compared
    CROSS JOIN ends
    WHERE denials >= $min_denials AND denials >= $factor * hour_after AND step < last_step
)
SELECT at_time, change, policy, decided_by, service, in_five_minutes, busiest_before, busiest_after, callers
FROM changes
ORDER BY at_time, change, policy, decided_by, service
LIMIT $limit_rows
