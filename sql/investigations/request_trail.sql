-- question: Where did one request go, across services, namespaces and clusters, and what happened to it?
-- name: request_trail
-- param: request_id text = NULL  -- the request's id; this or trace_id is required
-- param: trace_id text = NULL  -- the W3C trace id, 32 lower-case hex digits
-- one_of: request_id, trace_id
-- param: since timestamp = NULL  -- first moment, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- last moment, exclusive; NULL is the end
-- param: limit_rows integer = 500  -- most rows returned
-- cost: without since every partition's statistics are consulted; request_id and trace_id have statistics, and random ids prune badly by them, so give since and until when known; 30 columns of the matching pages
--
-- Every record is shown, the caller's proxy and the callee's alike: where the two disagree is the
-- answer. Order is by start of each record; clocks of different machines may differ by more than
-- a hop takes. A request id is what the mesh passes on: it is client-supplied where the edge
-- trusts its callers, and then proves nothing. TCP connections carry no request id.
SELECT
    event_time,
    ROUND(CAST(date_part('epoch', event_time) - date_part('epoch', MIN(event_time) OVER ()) AS DOUBLE) * 1000, 3) AS after_ms,
    k8s_cluster AS cluster,
    reporter,
    COALESCE(src_identity, principal, src_workload, src_ip) AS caller,
    src_namespace AS caller_namespace,
    COALESCE(dst_service, dst_workload, http_host, dst_ip) AS service,
    COALESCE(dst_namespace, resource_namespace) AS service_namespace,
    http_method AS method,
    url_path AS path,
    decision,
    CASE
        WHEN decision = 'error' OR decision_source IN ('rate_limit', 'jwt', 'csrf', 'mtls', 'proxy')
            THEN decision_reason
        ELSE COALESCE(policy_rule, CASE WHEN decision <> 'allow' THEN decision_reason END)
    END AS policy_or_reason,
    http_status AS status,
    grpc_status,
    array_to_string(response_flags, ',') AS flags,
    tls_failure_reason AS tls_failure,
    CAST(duration_us AS DOUBLE) / 1000 AS duration_ms,
    k8s_pod AS pod,
    trace_id,
    segment,
    segment_row
FROM mesh_events
WHERE (($request_id IS NOT NULL AND request_id = $request_id)
        OR ($trace_id IS NOT NULL AND trace_id = $trace_id))
    AND ($since IS NULL OR event_time >= $since)
    AND ($since IS NULL OR event_date >= CAST($since AS DATE))
    AND ($until IS NULL OR event_time < $until)
    AND ($until IS NULL OR event_date <= CAST($until AS DATE))
ORDER BY event_time, CASE reporter WHEN 'gateway' THEN 0 WHEN 'source' THEN 1 ELSE 2 END, segment, segment_row
LIMIT $limit_rows
