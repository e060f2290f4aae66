-- question: Which privileged functions were used, by whom?
-- name: nist_800_53_ac_6_9
-- control: NIST SP 800-53 Rev. 5, AC-6(9)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: who text = NULL  -- only this user, service account or token
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until: policy changes, and calls to control planes and sessions; twice about 20 columns of the files with any
--
-- It shows each use of a privilege: shells, tunnels and debug containers in pods, secrets read or
-- changed, roles and admission changed, tokens issued, certificates approved, calls as another
-- user, sessions of a gateway, and other calls that cluster-admin allowed; allowed or not.
-- It does not show what was typed in a session, nor privileged functions of operating systems and
-- applications.
SELECT
    MIN(event_time) AS event_time,
    who,
    MAX(CASE WHEN kind = 'privilege use' THEN what END) AS privilege,
    MAX(CASE WHEN kind = 'policy change' THEN what END) AS policy_change,
    target,
    MIN(decision) AS decision,
    MIN(src_ip) AS src_ip,
    MIN(k8s_cluster) AS cluster,
    MIN(mesh) AS source,
    MIN(request_id) AS request_id,
    segment,
    segment_row
FROM mesh_security_events
WHERE kind = 'privilege use'
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($who IS NULL OR who = $who)
GROUP BY segment, segment_row, who, target
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
