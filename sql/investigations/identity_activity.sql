-- question: What did this identity do?
-- name: identity_activity
-- param: principal text  -- SPIFFE id, workload, user, token subject or address; a trailing * makes it a prefix
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: limit_rows integer = 50  -- most rows returned
-- cost: the partitions between since and until, 29 columns; principal, src_identity, src_service, user_name and src_ip have statistics, but any one column that may match keeps the file
--
-- Denials come first, then what began last: behaviour that is new stands above the routine.
-- Both proxies log a request. Lines seen by the caller's proxy are shown only for services that
-- have no line of their own, or where the caller's proxy saw something else than success (a
-- connection that failed never reaches the callee; a timeout may stand in both views).
-- identified says claimed where nothing but the caller's word names it: a certificate that did not
-- verify, a header.
-- An address is whoever held it at that time.
WITH activity AS (
    SELECT
        COALESCE(dst_service, dst_workload, http_host, dst_ip,
            resource_type || ' ' || COALESCE(resource_name, ''), '(unknown)') AS target,
        COALESCE(http_method, change_op, event_kind) AS did,
        decision,
        CASE
            WHEN decision = 'error' OR decision_source IN ('rate_limit', 'jwt', 'csrf', 'mtls', 'proxy')
                THEN decision_reason
            ELSE COALESCE(policy_rule, CASE WHEN decision <> 'allow' THEN decision_reason END)
        END AS policy_or_reason,
        CASE WHEN reporter IN ('source', 'gateway') THEN 'caller' ELSE 'callee' END AS seen_by,
        CASE
            WHEN principal_source IN ('unverified', 'header') THEN 'claimed'
            WHEN COALESCE(principal, src_identity, src_workload) IS NULL THEN 'address only'
            ELSE 'yes'
        END AS identified,
        COUNT(*) AS events,
        COUNT(DISTINCT url_path) AS paths,
        MIN(url_path) AS one_path,
        COUNT(DISTINCT src_ip) AS addresses,
        MIN(src_ip) AS one_address,
        COUNT(DISTINCT k8s_cluster) AS clusters,
        SUM(response_bytes) AS response_bytes,
        MIN(event_time) AS first_seen,
        MAX(event_time) AS last_seen,
        MAX(CASE WHEN reporter = 'destination' THEN 1 ELSE 0 END) AS from_destination
    FROM mesh_events
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_time < $until)
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
        AND ((RIGHT($principal, 1) <> '*' AND (
                principal = $principal OR src_identity = $principal OR src_workload = $principal
                OR src_service = $principal OR user_name = $principal OR user_email = $principal
                OR impersonated_user = $principal OR jwt_subject = $principal OR src_ip = $principal))
            OR (RIGHT($principal, 1) = '*' AND (
                starts_with(principal, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_identity, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_workload, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_service, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(user_name, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(user_email, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(impersonated_user, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(jwt_subject, LEFT($principal, LENGTH($principal) - 1))
                OR starts_with(src_ip, LEFT($principal, LENGTH($principal) - 1)))))
    GROUP BY 1, 2, 3, 4, 5, 6
),
sided AS (
    SELECT *, MAX(from_destination) OVER (PARTITION BY target) AS callee_logged
    FROM activity
)
SELECT
    target,
    did,
    decision,
    policy_or_reason,
    seen_by,
    identified,
    events,
    paths,
    one_path,
    addresses,
    one_address,
    clusters,
    response_bytes,
    first_seen,
    last_seen
FROM sided
WHERE seen_by = 'callee' OR callee_logged = 0 OR decision <> 'allow'
ORDER BY CASE WHEN decision = 'deny' THEN 0 ELSE 1 END, first_seen DESC, target, did, decision, policy_or_reason, seen_by, identified
LIMIT $limit_rows
