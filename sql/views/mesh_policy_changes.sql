-- view: mesh_policy_changes
-- question: Who changed which policy object, when, how, and what was there before?
-- row: one change of a policy object, or one request for a change that did not take effect
-- cost: 33 columns of the policy changes of all days, since what was there before may be of any; event_kind has statistics, and so have k8s_cluster, resource_type, resource_namespace and resource_name, which skip files
-- column: changed_by  -- who changed it, as the control plane knows them: the real user, also where it acted as another
-- column: changed_by_type  -- user, service_account, workload, token, machine, anonymous; NULL where it acted as another
-- column: acting_as  -- the user it acted as, if any
-- column: before_known  -- how far object_before can be trusted: recorded, complete, absent, outdated, patch, unknown
-- column: object_before  -- JSON text of the object, or of the last patch to it, before the change
-- column: before_time  -- event_time of the change that left object_before
-- column: patch  -- JSON text of the patch
-- column: object_after  -- JSON text of the object after the change, or as it was asked for
-- column: copies  -- how often the archive holds this change
--
-- A control plane's audit log has what a change made (`object_after`) or asked for (`patch`), and
-- hardly ever what was there before. So `object_before` is what the archive knows of the same
-- object: cluster, group, type, namespace and name; without a name, its uid. `before_known` says
-- how far it can be trusted:
--
--   recorded  the event itself holds it
--   complete  the whole object, as the last change before left it
--   absent    there was no object: this change created it, or the last one deleted it
--   outdated  a whole object, but later changes did what the archive does not know
--   patch     no whole object is known, only the last patch to it
--   unknown   nothing
--
-- It knows what is archived: where audit events are missing, a change between two of them is, too.
-- The object is as the audit log has it: as it was sent at level Request, as it was stored at
-- level RequestResponse. A deletecollection names no object, so it ends none here.
-- Changes that did not take effect (`change_applied` false) are rows, and change nothing for those
-- after them; where that is not known, what follows is outdated. A request that was delivered
-- several times is one row, with its number of `copies`.
WITH seen AS (
    SELECT
        *,
        CASE
            WHEN resource_name IS NULL
                THEN COALESCE(resource_uid, segment || '/' || CAST(segment_row AS VARCHAR))
        END AS unnamed,
        COALESCE(request_id, segment || '/' || CAST(segment_row AS VARCHAR)) AS request
    FROM mesh_events
    WHERE event_kind = 'policy_change'
),
counted AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY k8s_cluster, resource_group, resource_type, resource_namespace, resource_name,
                unnamed, request, event_time, change_op
            ORDER BY segment, segment_row
        ) AS copy,
        COUNT(*) OVER (
            PARTITION BY k8s_cluster, resource_group, resource_type, resource_namespace, resource_name,
                unnamed, request, event_time, change_op
        ) AS copies
    FROM seen
),
left_behind AS (
    SELECT
        *,
        CASE
            WHEN change_applied IS NULL THEN 'changed'
            WHEN NOT change_applied THEN NULL
            WHEN change_op = 'delete' THEN 'absent'
            WHEN change_after IS NOT NULL THEN 'complete'
            ELSE 'changed'
        END AS state,
        -- An empty text ends what was known.
        CASE
            WHEN NOT COALESCE(change_applied, FALSE) THEN NULL
            WHEN change_op = 'delete' THEN ''
            WHEN change_op = 'create' THEN COALESCE(change_after, '')
            ELSE change_after
        END AS object,
        CASE
            WHEN NOT COALESCE(change_applied, FALSE) THEN NULL
            WHEN change_op IN ('create', 'delete') OR change_after IS NOT NULL THEN ''
            ELSE change_patch
        END AS last_patch
    FROM counted
    WHERE copy = 1
),
chained AS (
    SELECT
        *,
        LAST_VALUE(state IGNORE NULLS) OVER earlier AS state_before,
        LAST_VALUE(object IGNORE NULLS) OVER earlier AS known_object,
        LAST_VALUE(CASE WHEN object IS NOT NULL THEN event_time END IGNORE NULLS) OVER earlier AS object_time,
        LAST_VALUE(last_patch IGNORE NULLS) OVER earlier AS known_patch,
        LAST_VALUE(CASE WHEN last_patch IS NOT NULL THEN event_time END IGNORE NULLS) OVER earlier AS patch_time
    FROM left_behind
    WINDOW earlier AS (
        PARTITION BY k8s_cluster, resource_group, resource_type, resource_namespace, resource_name, unnamed
        ORDER BY event_time, segment, segment_row
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
judged AS (
    SELECT
        *,
        CASE
            WHEN change_before IS NOT NULL THEN 'recorded'
            WHEN change_op = 'create' AND change_applied THEN 'absent'
            WHEN state_before IN ('complete', 'absent') THEN state_before
            WHEN known_object <> '' THEN 'outdated'
            WHEN known_patch <> '' THEN 'patch'
            ELSE 'unknown'
        END AS before_known
    FROM chained
)
SELECT
    event_time,
    event_date,
    COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name) AS changed_by,
    CASE WHEN impersonated_user IS NULL THEN principal_type END AS changed_by_type,
    impersonated_user AS acting_as,
    src_ip,
    user_agent,
    mesh,
    k8s_cluster,
    resource_group,
    resource_type,
    resource_api_version,
    resource_namespace,
    resource_name,
    resource_uid,
    resource_version,
    change_op,
    change_applied,
    decision,
    decision_reason,
    change_content,
    before_known,
    CASE before_known
        WHEN 'recorded' THEN change_before
        WHEN 'complete' THEN known_object
        WHEN 'outdated' THEN known_object
        WHEN 'patch' THEN known_patch
    END AS object_before,
    CASE before_known
        WHEN 'recorded' THEN event_time
        WHEN 'complete' THEN object_time
        WHEN 'outdated' THEN object_time
        WHEN 'patch' THEN patch_time
    END AS before_time,
    change_patch AS patch,
    change_after AS object_after,
    request_id,
    copies,
    source_format,
    segment,
    segment_row
FROM judged
