-- question: What is there to review for each day?
-- name: pci_dss_10_4_1
-- control: PCI DSS 4.0.1, 10.4.1 and 10.4.1.1
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 4000  -- most rows returned
-- cost: the partitions between since and until, four times: denials, TLS failures, policy changes, calls to control planes; about 20 columns of the files with any
--
-- It shows for each day and cluster how many denials, failed handshakes, policy changes and uses of
-- privileges there were, by how many callers and on how many targets: the sheet from which a daily
-- review starts. A day without a line had none of a kind, or no capture: see pci_dss_10_7_2.
-- denial_onset, error_onset, new_edges and policy_impact find what is unusual.
-- It does not show that somebody reviewed it. Keep the answers with a signature and a date, or let
-- a scheduled run of this report open a ticket.
SELECT
    event_date,
    COALESCE(k8s_cluster, '(not named)') AS cluster,
    kind,
    COUNT(*) AS events,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    COUNT(DISTINCT who) AS who_count,
    COUNT(DISTINCT target) AS targets,
    COUNT(DISTINCT what) AS whats,
    MIN(what) AS one_what,
    MIN(who) AS one_who,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM mesh_security_events
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
GROUP BY 1, 2, 3
ORDER BY event_date, cluster, kind
LIMIT $limit_rows
