-- view: mesh_would_be_denials
-- question: What would policies in dry run have denied?
-- row: one request, connection or call that a rule in dry run would have denied
-- cost: the columns asked for, of every file of the dates asked for: shadow_decision has no statistics in the log, only in the files, where it skips row groups and pages
-- column: dry_run_rule  -- the rule that would have denied; (none) where no allow rule would have matched
-- column: let_through  -- whether it was allowed, so that enforcing the rule breaks it
-- column: caller  -- who asked: principal, else workload identity, workload, address
-- column: service  -- what was asked: service, else workload, identity, host; an API for requests to a control plane
-- column: service_namespace  -- its namespace; of a request to a control plane that of the object
--
-- All sides count: only who evaluates the dry-run rule records its verdict. Envoy's is in the record
-- only if the access log carries the RBAC filter's metadata (extended format), so no rows may mean
-- that nothing would be denied, or that nothing was recorded.
SELECT
    event_time,
    event_date,
    COALESCE(shadow_policy_rule, '(none)') AS dry_run_rule,
    decision = 'allow' AS let_through,
    decision,
    COALESCE(principal, src_identity, src_workload, src_ip, '(unknown)') AS caller,
    principal,
    principal_type,
    src_identity,
    src_namespace,
    src_ip,
    COALESCE(dst_service, dst_workload, dst_identity, http_host,
        CASE WHEN reporter = 'control_plane' THEN mesh || ' API' END, '(not named)') AS service,
    COALESCE(dst_namespace, resource_namespace,
        CASE WHEN reporter = 'destination' THEN k8s_namespace END) AS service_namespace,
    dst_service,
    dst_namespace,
    dst_workload,
    event_kind,
    http_method,
    url_path,
    http_status,
    resource_type,
    resource_namespace,
    resource_name,
    k8s_cluster,
    reporter,
    mesh,
    source_format,
    request_id,
    trace_id,
    segment,
    segment_row
FROM mesh_events
WHERE shadow_decision = 'deny'
