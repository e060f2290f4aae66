-- question: Who was denied, and by which policy?
-- name: denied_by_policy
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: policy text = NULL  -- only this policy: its name, namespace/name, or the whole rule id
-- param: service text = NULL  -- only denials by this service
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, twice, 18 columns; decision = 'deny' has statistics, so files without denials are skipped
--
-- Every side counts: only the proxy that decided logs a denial. Its peer logs the same request as
-- allowed, with the status it was handed (403), so nothing is counted twice.
-- Where no rule denied (no policy allows it, a bad token, a rate limit, plain text), the reason
-- stands in parentheses, even if the record names the rule that had allowed the request before.
-- The caller is the principal, or the workload, or, in Istio's default format, which
-- names nobody, the address. The view mesh_denials has each denial.
WITH denials AS (
    SELECT decided_by, policy, service, caller, url_path, k8s_cluster, event_time
    FROM mesh_denials
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ($policy IS NULL OR policy_name = $policy OR policy_rule = $policy OR policy = $policy)
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
),
by_policy AS (
    SELECT
        decided_by,
        policy,
        service,
        COUNT(*) AS denials,
        COUNT(DISTINCT caller) AS callers,
        COUNT(DISTINCT url_path) AS paths,
        COUNT(DISTINCT k8s_cluster) AS clusters,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen
    FROM denials
    GROUP BY decided_by, policy, service
),
by_caller AS (
    SELECT
        decided_by,
        policy,
        service,
        caller,
        COUNT(*) AS denials,
        ROW_NUMBER() OVER (PARTITION BY decided_by, policy, service ORDER BY COUNT(*) DESC, caller) AS place
    FROM denials
    GROUP BY decided_by, policy, service, caller
)
SELECT
    p.policy,
    p.decided_by,
    p.service,
    p.denials,
    p.callers,
    c.caller AS most_denied_caller,
    c.denials AS of_that_caller,
    p.paths,
    p.clusters,
    p.first_seen,
    p.last_seen
FROM by_policy AS p
JOIN by_caller AS c
    ON c.decided_by = p.decided_by AND c.policy = p.policy AND c.service = p.service AND c.place = 1
ORDER BY p.denials DESC, p.policy, p.decided_by, p.service
LIMIT $limit_rows
