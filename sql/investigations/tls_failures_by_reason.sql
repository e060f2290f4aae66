-- question: Which TLS handshakes failed, and why?
-- name: tls_failures_by_reason
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: service text = NULL  -- only failures of connections to this service
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 16 columns; tls_failure has statistics, so files without a failure are skipped
--
-- Do not add up lines of different seen_by: the same handshake can be in both. The client's proxy
-- reports failures towards its upstream; with Istio's default format that is the only report, apart
-- from plain text that no filter chain took. The server's listener reports handshakes only with the
-- extended log format.
-- services counts those that are named; a handshake that failed early names nobody.
-- One record of the client's proxy is one request, which may have tried several handshakes.
SELECT
    reason,
    seen_by,
    COUNT(*) AS failures,
    COUNT(DISTINCT CASE WHEN caller <> '(unknown)' THEN caller END) AS callers,
    COUNT(DISTINCT COALESCE(dst_service, dst_workload, dst_identity)) AS services,
    MIN(COALESCE(dst_service, dst_workload, dst_identity)) AS one_service,
    COUNT(DISTINCT k8s_cluster) AS clusters,
    MIN(event_time) AS first_seen,
    MAX(event_time) AS last_seen,
    MIN(tls_failure_detail) AS one_detail
FROM mesh_tls_failures
WHERE ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
GROUP BY reason, seen_by
ORDER BY failures DESC, reason, seen_by
LIMIT $limit_rows
