-- question: Which changes were made to policies, by whom, from what to what?
-- name: soc2_cc8_1
-- control: SOC 2, CC8.1 (Trust Services Criteria 2017, points of focus revised 2022)
-- param: since timestamp = NULL  -- first moment of the period, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of the period, exclusive; NULL is the end
-- param: namespace text = NULL  -- only objects of this namespace
-- param: limit_rows integer = 1000  -- most rows returned
-- cost: every policy change of all days, 30 columns of the files with any, since what was there before may be of any day
--
-- It shows each change of a policy object in order of time, with who made it, whether it took
-- effect, and the object before and after as far as the archive knows them. Compare it with the
-- changes that were approved: what is here and not there was not.
-- It does not show approval, testing or review, nor changes of applications and infrastructure that
-- are no policy.
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
    AND ($namespace IS NULL OR resource_namespace = $namespace)
ORDER BY event_time, segment, segment_row
LIMIT $limit_rows
