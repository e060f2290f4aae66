-- question: Whose security events deserve a closer look?
-- name: soc2_cc7_3
-- control: SOC 2, CC7.3 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: min_events integer = 1  -- callers with fewer events are left out
-- param: limit_rows integer = 200  -- most rows returned
-- cost: the partitions between since and until, four times: denials, TLS failures, policy changes, calls to control planes; about 20 columns of the files with any
--
-- It shows each caller with denials, failed handshakes, policy changes or uses of privileges, with
-- how many of each: those with events of several kinds come first, then those with most.
-- It does not show an evaluation, which is a person's; identity_activity shows all that a caller
-- did. An address or name that many share is one line.
WITH events AS (
    SELECT
        who,
        SUM(CASE WHEN kind = 'denial' THEN 1 ELSE 0 END) AS denials,
        SUM(CASE WHEN kind = 'tls failure' THEN 1 ELSE 0 END) AS tls_failures,
        SUM(CASE WHEN kind = 'policy change' THEN 1 ELSE 0 END) AS policy_changes,
        SUM(CASE WHEN kind = 'privilege use' THEN 1 ELSE 0 END) AS privilege_uses,
        COUNT(DISTINCT kind) AS kinds,
        COUNT(*) AS all_events,
        COUNT(DISTINCT target) AS targets,
        COUNT(DISTINCT src_ip) AS addresses,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen
    FROM mesh_security_events
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY who
)
SELECT who, denials, tls_failures, policy_changes, privilege_uses, targets, addresses, first_seen, last_seen
FROM events
WHERE all_events >= $min_events
ORDER BY kinds DESC, all_events DESC, who
LIMIT $limit_rows
