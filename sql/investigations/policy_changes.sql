-- question: Who changed which policy, and what was there before and after?
-- name: policy_changes
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: cluster text = NULL  -- only objects of this cluster
-- param: namespace text = NULL  -- only objects of this namespace
-- param: type text = NULL  -- only objects of this type, plural as in authorizationpolicies
-- param: name text = NULL  -- only objects of this name
-- param: changed_by text = NULL  -- only changes by this user, service account or token
-- param: limit_rows integer = 50  -- most rows returned
-- cost: every policy change of all days, 30 columns of the files with any, since what was there before may be of any day; cluster, namespace, type and name skip files, since and until choose rows
--
-- The newest come first. Requests that took no effect (applied is no) were refused or a dry run:
-- object_after is then what was asked for. before_known says how far object_before can be trusted;
-- the view mesh_policy_changes says what each word means.
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
    object_after,
    patch,
    decision,
    decision_reason,
    src_ip,
    user_agent,
    copies,
    request_id,
    segment,
    segment_row
FROM mesh_policy_changes
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($cluster IS NULL OR k8s_cluster = $cluster)
    AND ($namespace IS NULL OR resource_namespace = $namespace)
    AND ($type IS NULL OR resource_type = $type)
    AND ($name IS NULL OR resource_name = $name)
    AND ($changed_by IS NULL OR changed_by = $changed_by OR acting_as = $changed_by)
ORDER BY event_time DESC, segment, segment_row
LIMIT $limit_rows
