-- question: Which roles and permissions changed, from what to what?
-- name: soc2_cc6_3
-- control: SOC 2, CC6.3 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: every policy change of all days, 30 columns of the files with any, since what was there before may be of any day
--
-- It shows each change of a role or a binding of Kubernetes, of an authorization policy of a mesh,
-- and of Consul's ACLs and intentions, with the object before and after as far as the archive knows
-- them.
-- It does not show whether the change was approved or is least privilege, nor rights that never
-- changed in the archive's time. Without the level RequestResponse in the audit policy there is no
-- content, and before_known says so.
SELECT
    event_time,
    changed_by,
    acting_as,
    change_op,
    CASE WHEN change_applied THEN 'yes' WHEN NOT change_applied THEN 'no' ELSE 'not known' END AS applied,
    resource_type,
    resource_namespace,
    resource_name,
    k8s_cluster AS cluster,
    before_known,
    object_before,
    COALESCE(object_after, patch) AS object_after,
    decision,
    src_ip,
    request_id,
    segment,
    segment_row
FROM mesh_policy_changes
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND resource_type IN ('roles', 'rolebindings', 'clusterroles', 'clusterrolebindings', 'authorizationpolicies',
        'requestauthentications', 'serverauthorizations', 'networkauthentications', 'meshtlsauthentications',
        'serviceintentions', 'service-intentions', 'trafficpermissions', 'acl-policies', 'acl-roles', 'acl-tokens',
        'acl-binding-rules')
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
