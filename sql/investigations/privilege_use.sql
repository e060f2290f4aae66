-- question: Who used which privilege: shells in pods, secrets read, roles changed, acting as others?
-- name: privilege_use
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: privilege text = NULL  -- only this privilege
-- values: privilege: exec, debug container, tunnel, secret read, secret change, role change, token issued, certificate approved, admission change, session, impersonation, cluster admin
-- param: who text = NULL  -- only this user, service account or token, also where it acted as another
-- param: namespace text = NULL  -- only objects of this namespace
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 24 columns of the files with calls to a control plane or sessions
--
-- People come before machines, for controllers read secrets all day. The view mesh_privilege_use
-- has each event, and says what each privilege means. No rows may mean that nobody used one, or
-- that the audit policy does not log it: see capture_by_source.
SELECT
    privilege,
    who,
    who_is,
    COUNT(DISTINCT acted_as) AS acted_as_others,
    MIN(acted_as) AS acted_as_one,
    resource_namespace AS namespace,
    COUNT(*) AS uses,
    SUM(CASE WHEN decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    COUNT(DISTINCT target) AS targets,
    MIN(target) AS one_target,
    COUNT(DISTINCT src_ip) AS addresses,
    MIN(src_ip) AS one_address,
    MIN(allowed_by) AS one_binding,
    COUNT(DISTINCT k8s_cluster) AS clusters,
    MIN(k8s_cluster) AS one_cluster,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM mesh_privilege_use
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($privilege IS NULL OR privilege = $privilege)
    AND ($who IS NULL OR who = $who OR user_name = $who OR acted_as = $who)
    AND ($namespace IS NULL OR resource_namespace = $namespace)
GROUP BY privilege, who, who_is, resource_namespace
ORDER BY
    CASE WHEN who_is IN ('service_account', 'machine', 'workload') THEN 1 ELSE 0 END,
    privilege, uses DESC, who, namespace, who_is
LIMIT $limit_rows
