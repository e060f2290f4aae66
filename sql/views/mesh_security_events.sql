-- view: mesh_security_events
-- question: What happened that somebody should look at?
-- row: one denial, failed TLS handshake, policy change or use of a privilege
-- cost: four scans, each skipping the files that statistics exclude: denials, TLS failures, policy changes, calls to control planes; the dates go through to all four
-- column: kind  -- denial, tls failure, policy change, privilege use
-- column: what  -- the policy that denied, the cause of the failure, the change, or the privilege
-- column: who  -- who asked or acted
-- column: target  -- the service, or type and namespace/name of the object
--
-- One event may be of two kinds, and is then two rows: a change of a role is a policy change and
-- the use of a privilege, a refused exec is a denial and the use of a privilege. To count events,
-- count distinct (segment, segment_row).
SELECT
    event_time,
    event_date,
    'denial' AS kind,
    policy AS what,
    caller AS who,
    CASE
        WHEN resource_type IS NOT NULL
            THEN resource_type || ' ' || COALESCE(resource_namespace || '/', '') || COALESCE(resource_name, '(all)')
        ELSE service
    END AS target,
    'deny' AS decision,
    src_ip,
    k8s_cluster,
    mesh,
    request_id,
    segment,
    segment_row
FROM mesh_denials
UNION ALL
SELECT
    event_time,
    event_date,
    'tls failure',
    reason,
    caller,
    service,
    decision,
    src_ip,
    k8s_cluster,
    mesh,
    request_id,
    segment,
    segment_row
FROM mesh_tls_failures
UNION ALL
SELECT
    event_time,
    event_date,
    'policy change',
    COALESCE(change_op, 'change'),
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)'),
    COALESCE(resource_type, '(unknown)') || ' ' || COALESCE(resource_namespace || '/', '') || COALESCE(resource_name, '(all)'),
    decision,
    src_ip,
    k8s_cluster,
    mesh,
    request_id,
    segment,
    segment_row
FROM mesh_events
WHERE event_kind = 'policy_change'
UNION ALL
SELECT
    event_time,
    event_date,
    'privilege use',
    privilege,
    who,
    target,
    decision,
    src_ip,
    k8s_cluster,
    mesh,
    request_id,
    segment,
    segment_row
FROM mesh_privilege_use
