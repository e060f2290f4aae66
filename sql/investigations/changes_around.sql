-- question: What changed around this time?
-- name: changes_around
-- param: at timestamp  -- the moment to look around
-- param: window_minutes integer = 30  -- how far to look back and ahead
-- param: min_events integer = 3  -- fewest denials, TLS failures or decisions in a window that count as a change
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the one or two partitions around at, once for each of five kinds of evidence, 9 to 14 columns; event_time has statistics down to pages
--
-- Compares the window before `at` with the window after it: what the data plane shows (policies that
-- begin or stop to decide, denials and TLS failures that begin, stop, or change threefold, callers
-- that are new to a service), with the policy changes that a control plane recorded, where its
-- audit log is archived. Evidence, not cause: things that changed together.
-- New means not in the window before; new_edges looks back further. An event counts where it
-- began, so a long connection belongs to its first moment. Denials count on every side, since only
-- the proxy that decides logs them; calls count on the callee's side where it has one; TLS failures
-- name the side that saw them, since both may.
WITH nearby AS (
    SELECT
        CASE WHEN event_time < $at THEN 0 ELSE 1 END AS is_after,
        event_time,
        event_kind,
        decision,
        COALESCE(dst_service, dst_workload, dst_identity, http_host, '(not named)') AS service,
        COALESCE(src_identity, principal, src_workload,
            CASE WHEN x_forwarded_for IS NOT NULL THEN '(forwarded for others)' ELSE src_ip END) AS caller,
        CASE
            WHEN decision_source IN ('rate_limit', 'jwt', 'csrf', 'mtls', 'proxy')
                THEN NULL
            WHEN policy_name IS NOT NULL AND COALESCE(policy_namespace, '') <> ''
                THEN policy_namespace || '/' || policy_name
            ELSE COALESCE(policy_name, policy_rule)
        END AS policy,
        COALESCE(decision_source, 'not said') || ': ' || COALESCE(decision_reason, 'no rule named') AS no_policy,
        tls_failure,
        COALESCE(tls_failure_reason, '(not said)') AS tls_reason,
        CASE WHEN reporter IN ('source', 'gateway') THEN 1 ELSE 0 END AS caller_side,
        CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END AS from_destination
    FROM mesh_events
    WHERE event_time >= $at - CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
        AND event_time < $at + CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
        AND event_date >= CAST($at - CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL) AS DATE)
        AND event_date <= CAST($at + CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL) AS DATE)
),
signals AS (
    SELECT 'denials' AS kind, COALESCE(policy, '(' || no_policy || ')') AS subject, service,
        is_after, event_time, 0 AS caller_side, 1 AS from_destination
    FROM nearby
    WHERE decision = 'deny'
    UNION ALL
    SELECT 'TLS failures', tls_reason || CASE WHEN caller_side = 1 THEN ', seen by the client' ELSE ', seen by the server' END,
        service, is_after, event_time, 0, 1
    FROM nearby
    WHERE tls_failure
    UNION ALL
    SELECT 'allowed by policy', policy, service, is_after, event_time, 0, 1
    FROM nearby
    WHERE decision = 'allow' AND policy IS NOT NULL
    UNION ALL
    SELECT 'calls', caller, service, is_after, event_time, caller_side, from_destination
    FROM nearby
    WHERE caller IS NOT NULL AND NOT tls_failure AND event_kind IN ('http_request', 'tcp_connection')
),
counted AS (
    SELECT
        kind,
        subject,
        service,
        caller_side,
        MAX(MAX(from_destination)) OVER (PARTITION BY kind, service) AS callee_logged,
        SUM(CASE WHEN is_after = 0 THEN 1 ELSE 0 END) AS before_at,
        SUM(CASE WHEN is_after = 1 THEN 1 ELSE 0 END) AS after_at,
        MAX(CASE WHEN is_after = 0 THEN event_time END) AS last_before,
        MIN(CASE WHEN is_after = 1 THEN event_time END) AS first_after
    FROM signals
    GROUP BY kind, subject, service, caller_side
),
changes AS (
    SELECT
        CASE
            WHEN kind = 'calls' THEN 'new caller'
            WHEN before_at = 0 THEN kind || ' began'
            WHEN after_at = 0 THEN kind || ' stopped'
            WHEN after_at > before_at THEN kind || ' rose'
            ELSE kind || ' fell'
        END AS change,
        CASE kind WHEN 'denials' THEN 1 WHEN 'TLS failures' THEN 2 WHEN 'allowed by policy' THEN 3 ELSE 4 END AS place,
        subject,
        service,
        before_at,
        after_at,
        last_before,
        first_after
    FROM counted
    WHERE (kind = 'calls' AND before_at = 0 AND (caller_side = 0 OR callee_logged = 0))
        OR (kind = 'allowed by policy'
            AND (before_at = 0 OR after_at = 0)
            AND before_at + after_at >= $min_events)
        OR (kind IN ('denials', 'TLS failures')
            AND GREATEST(before_at, after_at) >= $min_events
            AND GREATEST(before_at, after_at) >= 3 * LEAST(before_at, after_at))
    UNION ALL
    SELECT
        'policy ' || COALESCE(change_op, 'change'),
        0,
        COALESCE(resource_namespace || '/', '') || COALESCE(resource_name, '(unnamed)'),
        COALESCE(resource_type, '(unknown)') || COALESCE(' by ' || COALESCE(impersonated_user, principal, user_name), ''),
        CASE WHEN event_time < $at THEN 1 ELSE 0 END,
        CASE WHEN event_time < $at THEN 0 ELSE 1 END,
        CASE WHEN event_time < $at THEN event_time END,
        CASE WHEN event_time >= $at THEN event_time END
    FROM mesh_events
    WHERE event_kind = 'policy_change'
        AND COALESCE(change_applied, TRUE)
        AND event_time >= $at - CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
        AND event_time < $at + CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL)
        AND event_date >= CAST($at - CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL) AS DATE)
        AND event_date <= CAST($at + CAST(CAST($window_minutes AS VARCHAR) || ' minutes' AS INTERVAL) AS DATE)
)
SELECT change, subject, service, before_at, after_at, last_before, first_after
FROM changes
ORDER BY place, ABS(after_at - before_at) DESC, COALESCE(first_after, last_before), subject, service
LIMIT $limit_rows
