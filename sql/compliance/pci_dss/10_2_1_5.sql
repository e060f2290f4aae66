-- question: Which accounts, credentials and privileges were created, changed or removed?
-- name: pci_dss_10_2_1_5
-- control: PCI DSS 4.0.1, 10.2.1.5
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 21 columns of the files with calls to a control plane; resource_type has statistics
--
-- It shows requests that change who may authenticate and with what rights: service accounts and
-- their tokens, secrets, certificate requests approved, roles and their bindings, what tokens and
-- certificates the mesh accepts (RequestAuthentication, PeerAuthentication, JWT providers), and
-- Consul's tokens, policies and roles. Refused requests are here with their decision.
-- It does not show accounts of an identity provider, of a cloud or of an application, which are
-- created elsewhere, nor people added to a group that a binding names.
SELECT
    event_time,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)') AS who,
    impersonated_user AS acted_as,
    COALESCE(change_op, http_method) AS verb,
    resource_type,
    resource_namespace,
    resource_name,
    decision,
    change_applied,
    change_content,
    src_ip,
    k8s_cluster AS cluster,
    request_id,
    segment,
    segment_row
FROM mesh_events
WHERE event_kind IN ('api_call', 'policy_change')
    AND http_method <> 'GET'
    AND resource_type IN ('serviceaccounts', 'serviceaccounts/token', 'secrets', 'certificatesigningrequests/approval',
        'roles', 'rolebindings', 'clusterroles', 'clusterrolebindings', 'requestauthentications',
        'peerauthentications', 'jwtproviders', 'acl-tokens', 'acl-policies', 'acl-roles', 'acl-auth-methods',
        'acl-binding-rules')
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
