-- question: What did people with administrative access do?
-- name: pci_dss_10_2_1_2
-- control: PCI DSS 4.0.1, 10.2.1.2
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: who text = NULL  -- only this user, service account or token
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until: policy changes, and calls to control planes and sessions; twice about 20 columns of the files with any
--
-- It shows each change of a policy, a role or admission, each shell, tunnel and debug container in
-- a pod, each secret read or changed, each call as another user, each session of a gateway and each
-- other call that cluster-admin allowed: who, what, on which object, from where, and whether it was
-- allowed. Whoever acted as another stands here under the real name.
-- It does not show what was typed in a shell or a session, what an administrator did outside
-- Kubernetes, Consul and hoop.dev, nor what the audit policy leaves out: the view
-- mesh_privilege_use says what it needs. Controllers are here too; who is an individual, you know.
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
WHERE kind IN ('policy change', 'privilege use')
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($who IS NULL OR who = $who)
GROUP BY segment, segment_row, who, target
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
