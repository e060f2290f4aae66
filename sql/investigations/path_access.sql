-- question: Who called this path?
-- name: path_access
-- param: path text  -- the path without query; a trailing * makes it a prefix; nothing else is a wildcard
-- param: service text = NULL  -- only calls to this service
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 15 columns; url_path has statistics, which help where files are sorted or the path is rare
--
-- Counts are of requests: the callee's records, since the caller's proxy logs the same request.
-- The caller's records stand in for services whose own proxy logged none, and are shown beside
-- them where they saw something else than success, as for a request that never arrived.
-- The caller is the principal (a user where a token names one), else workload, else address.
WITH calls AS (
    SELECT
        COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS caller,
        COALESCE(dst_service, dst_workload, http_host, dst_ip, '(unknown)') AS service,
        http_method AS method,
        decision,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS seen_by,
        COUNT(*) AS requests,
        COUNT(DISTINCT url_path) AS paths,
        MIN(url_path) AS one_path,
        MIN(http_status) AS lowest_status,
        MAX(http_status) AS highest_status,
        COUNT(DISTINCT src_ip) AS addresses,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE ((RIGHT($path, 1) <> '*' AND url_path = $path)
            OR (RIGHT($path, 1) = '*' AND starts_with(url_path, LEFT($path, LENGTH($path) - 1))))
        AND ($service IS NULL OR dst_service = $service OR dst_workload = $service)
        AND ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
    GROUP BY 1, 2, 3, 4, 5
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY service) AS callee_logged
    FROM calls
)
SELECT
    caller,
    service,
    method,
    decision,
    seen_by,
    requests,
    paths,
    one_path,
    lowest_status,
    highest_status,
    addresses,
    first_seen,
    last_seen
FROM sided
WHERE seen_by = 'callee' OR callee_logged = 0 OR decision <> 'allow'
ORDER BY requests DESC, caller, service, method, decision, seen_by
LIMIT $limit_rows
