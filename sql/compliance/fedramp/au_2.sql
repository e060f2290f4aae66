-- question: Which of the event types that FedRAMP names are in the archive?
-- name: fedramp_au_2
-- control: FedRAMP Rev. 5 baselines, AU-2
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 100  -- most rows returned
-- cost: the partitions between since and until, 15 columns of every event
--
-- It shows the event types that the Rev. 5 baselines assign to AU-2, those of web applications
-- included, with how many events of each are in the archive, allowed or not, and by how many
-- sources. A line with 0 is a type that nothing delivered in the period.
-- It does not show account logon at an identity provider, process tracking or system events of
-- machines, which a mesh does not see; the lines say so. FedRAMP is replacing these assignments by
-- its consolidated rules of 2026: check which apply to you.
WITH types AS (
    SELECT *
    FROM (VALUES
        (1, 'account logon', 'tokens, certificates and credentials checked; no logon at an identity provider'),
        (2, 'account management', 'service accounts, tokens and ACLs of control planes'),
        (3, 'object access', 'reads through a control plane, and requests to services'),
        (4, 'policy change', 'mesh, network and admission policies'),
        (5, 'privilege functions', 'see the view mesh_privilege_use'),
        (6, 'process tracking', 'not seen by a mesh: take it from the hosts'),
        (7, 'system events', 'logs of proxies and control planes, and failed handshakes; none of hosts'),
        (8, 'web: administrator activity', 'calls of people to a control plane that change something'),
        (9, 'web: authentication checks', 'requests with a token, a certificate or credentials checked'),
        (10, 'web: authorization checks', 'requests decided by a policy or a role'),
        (11, 'web: data deletions', 'requests with DELETE'),
        (12, 'web: data access', 'requests with GET, HEAD or OPTIONS'),
        (13, 'web: data changes', 'requests with POST, PUT or PATCH'),
        (14, 'web: permission changes', 'roles, bindings, authorization policies, ACLs')
    ) AS t (place, event_type, seen_as)
),
events AS (
    SELECT
        t.place,
        e.decision,
        e.source_format,
        e.event_time
    FROM (
        SELECT
            event_kind,
            decision,
            decision_source,
            source_format,
            event_time,
            http_method,
            resource_type,
            tls_failure,
            policy_rule,
            CASE WHEN principal_type = 'user' THEN 1 ELSE 0 END AS by_person,
            CASE WHEN principal_type = 'anonymous' THEN 0
                WHEN principal_source IN ('jwt', 'mtls', 'k8s_user', 'acl_token', 'session') THEN 1 ELSE 0 END AS checked,
            CASE WHEN impersonated_user IS NULL THEN 0 ELSE 1 END AS impersonated
        FROM mesh_events
        WHERE ($since IS NULL OR event_time >= $since)
            AND ($since IS NULL OR event_date >= CAST($since AS DATE))
            AND ($until IS NULL OR event_time < $until)
            AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    ) AS e
    JOIN types AS t
        ON (t.place = 1 AND (e.checked = 1 OR e.decision_source IN ('jwt', 'mtls', 'k8s_authn')))
        OR (t.place = 2 AND e.http_method <> 'GET' AND e.resource_type IN ('serviceaccounts', 'serviceaccounts/token',
            'certificatesigningrequests/approval', 'acl-tokens', 'acl-auth-methods', 'acl-roles'))
        OR (t.place = 3 AND (e.event_kind IN ('http_request', 'tcp_connection', 'statement')
            OR (e.event_kind = 'api_call' AND e.http_method = 'GET')))
        OR (t.place = 4 AND e.event_kind = 'policy_change')
        OR (t.place = 5 AND e.event_kind IN ('api_call', 'policy_change', 'session')
            AND (e.impersonated = 1 OR e.event_kind = 'session' OR e.resource_type IN ('pods/exec', 'pods/attach',
                'pods/ephemeralcontainers', 'pods/portforward', 'pods/proxy', 'services/proxy', 'nodes/proxy', 'secrets',
                'serviceaccounts/token', 'certificatesigningrequests/approval')))
        OR (t.place = 7 AND (e.event_kind = 'log' OR e.tls_failure))
        OR (t.place = 8 AND e.event_kind IN ('api_call', 'policy_change') AND e.by_person = 1 AND e.http_method <> 'GET')
        OR (t.place = 9 AND e.event_kind IN ('http_request', 'api_call', 'policy_change') AND e.checked = 1)
        OR (t.place = 10 AND e.event_kind IN ('http_request', 'authz_decision', 'api_call', 'policy_change')
            AND (e.policy_rule IS NOT NULL OR e.decision_source IN ('rbac', 'ext_authz', 'k8s_rbac', 'acl')))
        OR (t.place = 11 AND e.event_kind = 'http_request' AND e.http_method = 'DELETE')
        OR (t.place = 12 AND e.event_kind = 'http_request' AND e.http_method IN ('GET', 'HEAD', 'OPTIONS'))
        OR (t.place = 13 AND e.event_kind = 'http_request' AND e.http_method IN ('POST', 'PUT', 'PATCH'))
        OR (t.place = 14 AND e.event_kind = 'policy_change' AND e.resource_type IN ('roles', 'rolebindings',
            'clusterroles', 'clusterrolebindings', 'authorizationpolicies', 'serviceintentions', 'service-intentions',
            'acl-policies', 'acl-roles', 'acl-binding-rules'))
)
SELECT
    t.event_type,
    t.seen_as,
    COUNT(e.event_time) AS events,
    SUM(CASE WHEN e.decision = 'allow' THEN 1 ELSE 0 END) AS allowed,
    SUM(CASE WHEN e.decision = 'deny' THEN 1 ELSE 0 END) AS denied,
    COUNT(DISTINCT e.source_format) AS formats,
    MIN(e.event_time) AS first_seen,
    MAX(e.event_time) AS last_seen
FROM types AS t
LEFT JOIN events AS e ON e.place = t.place
GROUP BY t.place, t.event_type, t.seen_as
ORDER BY t.place
LIMIT $limit_rows
