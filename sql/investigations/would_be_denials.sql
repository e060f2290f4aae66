-- question: What would a policy in dry run have denied?
-- name: would_be_denials
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: service text = NULL  -- only calls to this service
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 14 columns; shadow_decision has no statistics in the log, so only pages and row groups prune
--
-- All sides count: only the proxy that evaluates the dry-run rule records its verdict. It is in the
-- record only if the access log carries the RBAC filter's metadata (extended format), so no rows
-- may mean that nothing would be denied, or that nothing was recorded.
-- let_through is what enforcing the rule would newly break; the rest was denied or failed anyway.
SELECT
    CASE WHEN dry_run_rule = '(none)' THEN '(no rule named: no allow rule would match)' ELSE dry_run_rule END AS dry_run_rule,
    service,
    COUNT(*) AS would_be_denied,
    SUM(CASE WHEN let_through THEN 1 ELSE 0 END) AS let_through,
    COUNT(DISTINCT caller) AS callers,
    MIN(caller) AS one_caller,
    COUNT(DISTINCT url_path) AS paths,
    MIN(url_path) AS one_path,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen
FROM mesh_would_be_denials
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
GROUP BY 1, 2
ORDER BY let_through DESC, would_be_denied DESC, dry_run_rule, service
LIMIT $limit_rows
