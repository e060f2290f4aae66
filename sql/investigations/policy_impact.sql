-- question: After which policy changes did denials begin?
-- name: policy_impact
-- param: since timestamp = NULL  -- first moment of a change, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment of a change, exclusive; NULL is the end
-- param: window_minutes integer = 30  -- how far before and after a change denials are compared
-- param: min_denials integer = 3  -- fewest denials after a change that count
-- param: namespace text = NULL  -- only changes of objects in this namespace
-- param: name text = NULL  -- only changes of objects with this name
-- param: root_namespace text = 'istio-system'  -- objects here, and those without a namespace, apply to the whole mesh
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the policy changes between since and until, 16 columns of the files with any; and the denials from a day before since to a day after until (more if window_minutes is more), 20 columns of the files with any
--
-- A line is a change that took effect and denials that began within window_minutes after it: at
-- least min_denials, and three times those of the same time before. Denials are put together by
-- what decided, policy, service and cluster, and are held against a change of their cluster where
--   names it        the denial names the object that was changed
--   same namespace  the denial names no policy, and is of the object's namespace
--   mesh-wide       the denial names no policy, and the object is of root_namespace or of none
--   same cluster    the denial names neither policy nor namespace
-- A denial that names another policy is never held against a change. An AuthorizationPolicy that
-- allows too little makes denials that name no policy; one that denies is named.
-- Evidence, not cause: candidates counts the changes that the same beginning is held against, and
-- the one with the smallest seconds_after came last before it. Proxies take a new policy within
-- seconds; clocks of control plane and proxies may differ by more. Copies of a change are one.
-- An archive without a control plane's audit log has no changes, so no line: see denial_onset.
WITH changes AS (
    SELECT
        event_time AS change_time,
        k8s_cluster AS change_cluster,
        COALESCE(CASE WHEN impersonated_user IS NOT NULL THEN user_name END, principal, user_name, '(unknown)')
            AS changed_by,
        impersonated_user AS acting_as,
        change_op,
        resource_type,
        resource_namespace,
        resource_name,
        request_id,
        segment,
        segment_row,
        CAST(FLOOR(date_part('epoch', event_time) / ($window_minutes * 60)) AS BIGINT) AS step,
        ROW_NUMBER() OVER (
            PARTITION BY k8s_cluster, resource_group, resource_type, resource_namespace, resource_name,
                event_time, change_op, request_id
            ORDER BY segment, segment_row
        ) AS copy
    FROM mesh_events
    WHERE event_kind = 'policy_change'
        AND COALESCE(change_applied, TRUE)
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($namespace IS NULL OR resource_namespace = $namespace)
        AND ($name IS NULL OR resource_name = $name)
),
denials AS (
    SELECT
        event_time AS denial_time,
        k8s_cluster AS denial_cluster,
        decided_by,
        policy,
        policy_namespace,
        policy_name,
        service,
        service_namespace,
        caller,
        url_path,
        CAST(FLOOR(date_part('epoch', event_time) / ($window_minutes * 60)) AS BIGINT) AS step
    FROM mesh_denials
    WHERE ($since IS NULL
            OR event_date >= CAST($since AS DATE) - CAST(FLOOR($window_minutes / 1440) + 1 AS INTEGER))
        AND ($until IS NULL
            OR event_date <= CAST($until AS DATE) + CAST(FLOOR($window_minutes / 1440) + 1 AS INTEGER))
),
nearby AS (
    SELECT
        c.*,
        d.*,
        CASE
            WHEN d.policy_name = c.resource_name
                AND COALESCE(d.policy_namespace = c.resource_namespace, TRUE) THEN 'names it'
            WHEN d.policy_name IS NOT NULL THEN NULL
            WHEN d.service_namespace = c.resource_namespace THEN 'same namespace'
            WHEN COALESCE(c.resource_namespace, $root_namespace) = $root_namespace THEN 'mesh-wide'
            WHEN d.service_namespace IS NULL THEN 'same cluster'
        END AS link
    FROM (
        SELECT c.* EXCLUDE (copy, step), c.step + o.away AS step
        FROM changes AS c
        CROSS JOIN (VALUES (-1), (0), (1)) AS o (away)
        WHERE c.copy = 1
    ) AS c
    JOIN (SELECT * EXCLUDE (step), step AS denial_step FROM denials) AS d ON d.denial_step = c.step
    WHERE COALESCE(d.denial_cluster = c.change_cluster, TRUE)
        AND d.denial_time >= c.change_time - CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
        AND d.denial_time < c.change_time + CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
),
compared AS (
    SELECT
        change_time,
        change_cluster,
        changed_by,
        acting_as,
        change_op,
        resource_type,
        resource_namespace,
        resource_name,
        request_id,
        segment,
        segment_row,
        link,
        decided_by,
        policy,
        service,
        denial_cluster,
        SUM(CASE WHEN denial_time < change_time THEN 1 ELSE 0 END) AS denials_before,
        SUM(CASE WHEN denial_time >= change_time THEN 1 ELSE 0 END) AS denials_after,
        MIN(CASE WHEN denial_time >= change_time THEN denial_time END) AS first_denial,
        MAX(CASE WHEN denial_time >= change_time THEN denial_time END) AS last_denial,
        COUNT(DISTINCT CASE WHEN denial_time >= change_time THEN caller END) AS callers,
        MIN(CASE WHEN denial_time >= change_time THEN caller END) AS one_caller,
        MIN(CASE WHEN denial_time >= change_time THEN url_path END) AS one_path
    FROM nearby
    WHERE link IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
),
began AS (
    SELECT
        *,
        COUNT(*) OVER (PARTITION BY decided_by, policy, service, denial_cluster, first_denial) AS candidates
    FROM compared
    WHERE denials_after >= $min_denials AND denials_after >= 3 * denials_before
)
SELECT
    change_time,
    changed_by,
    acting_as,
    change_op,
    COALESCE(resource_type, '(unknown)') || ' ' || COALESCE(resource_namespace || '/', '')
        || COALESCE(resource_name, '(all)') AS changed,
    change_cluster AS cluster,
    link,
    policy,
    decided_by,
    service,
    denials_before,
    denials_after,
    first_denial,
    ROUND(CAST(date_part('epoch', first_denial) - date_part('epoch', change_time) AS DOUBLE), 3) AS seconds_after,
    last_denial,
    callers,
    one_caller,
    one_path,
    candidates,
    request_id AS change_request_id,
    segment,
    segment_row
FROM began
ORDER BY
    CASE link WHEN 'names it' THEN 0 WHEN 'same namespace' THEN 1 WHEN 'mesh-wide' THEN 2 ELSE 3 END,
    denials_after DESC, change_time, segment, segment_row, policy, decided_by, service, denial_cluster
LIMIT $limit_rows
