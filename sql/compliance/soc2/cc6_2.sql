-- question: Which credentials and accounts were issued and removed?
-- name: soc2_cc6_2
-- control: SOC 2, CC6.2 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: the partitions between since and until, 19 columns of the files with calls to a control plane; resource_type has statistics
--
-- It shows who created and deleted service accounts, had tokens issued, approved certificates, and
-- created, changed or deleted Consul's tokens and auth methods, and whether that was allowed.
-- It does not show the authorisation that went before (a ticket, a manager), nor accounts of people
-- in an identity provider, which is where most of this criterion is met.
SELECT
    event_time,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)') AS who,
    impersonated_user AS acted_as,
    CASE
        WHEN resource_type = 'serviceaccounts/token' THEN 'token issued'
        WHEN resource_type = 'certificatesigningrequests/approval' THEN 'certificate approved'
        WHEN http_method = 'POST' OR change_op = 'create' THEN 'created'
        WHEN http_method = 'DELETE' THEN 'removed'
        ELSE 'changed'
    END AS what,
    resource_type,
    resource_namespace,
    resource_name,
    decision,
    http_status,
    src_ip,
    k8s_cluster AS cluster,
    request_id,
    segment,
    segment_row
FROM mesh_events
WHERE event_kind IN ('api_call', 'policy_change')
    AND http_method <> 'GET'
    AND resource_type IN ('serviceaccounts', 'serviceaccounts/token', 'certificatesigningrequests/approval',
        'acl-tokens', 'acl-auth-methods')
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
