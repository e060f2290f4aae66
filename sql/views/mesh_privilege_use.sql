-- view: mesh_privilege_use
-- question: Who used, or tried to use, a privilege that goes past the mesh's own rules?
-- row: one use of a privilege, allowed or not
-- cost: the columns asked for, of files with calls to a control plane or sessions: event_kind has statistics, and so have the dates, principal, user_name, resource_type, resource_namespace and resource_name
-- column: privilege  -- exec, debug container, tunnel, secret read, secret change, role change, token issued, certificate approved, admission change, session, impersonation, cluster admin
-- column: who  -- the one who acted: the real user, also where it acted as another
-- column: who_is  -- user, service_account, workload, token, machine, anonymous; NULL where it acted as another
-- column: acted_as  -- the user it acted as, if any
-- column: verb  -- what was asked for: the change, else the HTTP method, else the kind of event
-- column: target  -- type and namespace/name of the object, or the connection of a session
-- column: allowed_by  -- the role binding that allowed it, where the record says so
--
-- An event with several privileges has the first of this list: an exec by a cluster admin is an
-- exec. exec: pods/exec and pods/attach. tunnel: port-forward, and proxying through pods, services
-- or nodes. secret read: get, list and watch. role change: roles and bindings of Kubernetes,
-- policies, tokens and roles of Consul's ACLs. admission change: what decides which objects get in.
-- session: a session through hoop.dev, a row for each record of it. cluster admin: any other call
-- that the role cluster-admin or the group system:masters allowed to a user or service account.
--
-- Attempts are here with their decision. Kubernetes logs what its audit policy asks for: without a
-- rule for secrets and pods/exec nothing of them is here. What was typed in a session is in no
-- audit log; the first command of an exec is in url_query.
WITH calls AS (
    SELECT
        *,
        CASE
            WHEN mesh = 'kubernetes' AND resource_type IN ('pods/exec', 'pods/attach') THEN 'exec'
            WHEN mesh = 'kubernetes' AND resource_type = 'pods/ephemeralcontainers' THEN 'debug container'
            WHEN mesh = 'kubernetes'
                AND resource_type IN ('pods/portforward', 'pods/proxy', 'services/proxy', 'nodes/proxy')
                THEN 'tunnel'
            WHEN mesh = 'kubernetes' AND resource_type = 'secrets' AND http_method = 'GET' THEN 'secret read'
            WHEN mesh = 'kubernetes' AND resource_type = 'secrets' THEN 'secret change'
            WHEN mesh = 'kubernetes' AND http_method <> 'GET'
                AND resource_type IN ('roles', 'rolebindings', 'clusterroles', 'clusterrolebindings')
                THEN 'role change'
            WHEN mesh = 'consul' AND event_kind = 'policy_change' AND starts_with(resource_type, 'acl')
                THEN 'role change'
            WHEN mesh = 'kubernetes' AND resource_type = 'serviceaccounts/token' THEN 'token issued'
            WHEN mesh = 'kubernetes' AND resource_type = 'certificatesigningrequests/approval'
                THEN 'certificate approved'
            WHEN mesh = 'kubernetes' AND http_method <> 'GET'
                AND resource_type IN ('mutatingwebhookconfigurations', 'validatingwebhookconfigurations',
                    'mutatingadmissionpolicies', 'mutatingadmissionpolicybindings',
                    'validatingadmissionpolicies', 'validatingadmissionpolicybindings')
                THEN 'admission change'
            WHEN event_kind = 'session' THEN 'session'
            WHEN impersonated_user IS NOT NULL THEN 'impersonation'
            WHEN mesh = 'kubernetes' AND principal_type IN ('user', 'service_account')
                AND (policy_rule LIKE '%" of ClusterRole "cluster-admin" to %'
                    OR array_has(user_groups, 'system:masters'))
                THEN 'cluster admin'
        END AS privilege
    FROM mesh_events
    WHERE event_kind IN ('api_call', 'policy_change', 'session')
)
SELECT
    event_time,
    event_date,
    privilege,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, src_ip, '(unknown)') AS who,
    impersonated_user AS acted_as,
    principal,
    CASE WHEN impersonated_user IS NULL THEN principal_type END AS who_is,
    user_name,
    src_ip,
    user_agent,
    COALESCE(change_op, http_method, event_kind) AS verb,
    CASE
        WHEN resource_type IS NOT NULL
            THEN resource_type || ' ' || COALESCE(resource_namespace || '/', '') || COALESCE(resource_name, '(all)')
        ELSE COALESCE(dst_service, url_path, '(not named)')
    END AS target,
    resource_group,
    resource_type,
    resource_namespace,
    resource_name,
    url_query,
    decision,
    decision_reason,
    CASE WHEN decision = 'allow' THEN policy_rule END AS allowed_by,
    http_status,
    change_applied,
    event_kind,
    k8s_cluster,
    mesh,
    source_format,
    request_id,
    session_id,
    segment,
    segment_row
FROM calls
WHERE privilege IS NOT NULL
