-- view: mesh_events_distinct
-- question: What happened, each record once, however often its sender sent it?
-- row: one record of a source; its columns are those of mesh_events, and the number of its copies
-- cost: what the same query of mesh_events reads, and the 50 columns of the key; every record asked for is held in memory or spilled, so give event_time or event_date, and name the columns you want
-- column: copies  -- how often the archive holds this record
--
-- An archive holds a unit once, however often it is delivered. A sender that repeats a record in
-- another unit (a retried batch, a shipper that lost its place, a webhook that got no answer) makes
-- a second row, which the archive can not know for a copy. This view folds such rows by the
-- record's natural key.
--
-- The key is the record's own id (the audit id of Kubernetes and its stage, the ids of Consul and
-- hoop.dev, Envoy's request id with pod and start), and always also time, source, both ends, what
-- was asked, outcome and size: an id that a client may choose can not make two events one. A record
-- without an id (TCP connections, ztunnel, Linkerd, plain logs) is folded only with one of the same
-- microsecond that also has the same reason, statement, attributes and text.
--
-- Folded in error: two requests with one request id, in the same millisecond, on one connection,
-- alike in path, query, status, duration and bytes, if the format has neither stream id nor
-- microseconds (Istio's default). The extended format has both.
-- Not folded: copies whose time is not their own (event_time_source transport or ingest); copies
-- that another way here gave another pod, namespace or cluster; of records without an id also
-- those with other words around them (a shipper's envelope); one event that several formats
-- report; and what two proxies say of one request: those are two records.
--
-- Every column of the key is one of GROUP BY, so a filter on it goes through to the files: dates,
-- times, ids, names, decisions. A filter on any other column chooses among what is left after
-- folding. segment and segment_row name one of the copies, the one whose segment sorts first, and
-- attributes, raw, parse_error, transport and transport_ref are that copy's; ingest_time is when the
-- first was received. All other columns are alike in all copies, except what a shipper adds
-- (container, node, cloud, observed_time): of that the smallest value is shown.
WITH received AS (
    -- 45 characters that sort as segment and row do.
    SELECT *, segment || '/' || LPAD(CAST(segment_row AS VARCHAR), 12, '0') AS place
    FROM mesh_events
)
SELECT
    LEFT(MIN(place), 32) AS segment,
    CAST(SUBSTR(MIN(place), 34) AS BIGINT) AS segment_row,
    event_time,
    MIN(event_time_source) AS event_time_source,
    MIN(observed_time) AS observed_time,
    MIN(ingest_time) AS ingest_time,
    mesh,
    source_format,
    MIN(record_shape) AS record_shape,
    event_kind,
    MIN(ocsf_class_uid) AS ocsf_class_uid,
    MIN(ocsf_activity_id) AS ocsf_activity_id,
    severity_id,
    decision,
    decision_source,
    MIN(decision_reason) AS decision_reason,
    MIN(shadow_decision) AS shadow_decision,
    policy_rule,
    MIN(policy_kind) AS policy_kind,
    policy_namespace,
    policy_name,
    MIN(policy_rule_index) AS policy_rule_index,
    MIN(shadow_policy_rule) AS shadow_policy_rule,
    principal,
    MIN(principal_type) AS principal_type,
    MIN(principal_source) AS principal_source,
    user_name,
    MIN(user_email) AS user_email,
    MIN(user_uid) AS user_uid,
    MIN(user_groups) AS user_groups,
    MIN(impersonated_user) AS impersonated_user,
    MIN(jwt_issuer) AS jwt_issuer,
    MIN(jwt_subject) AS jwt_subject,
    MIN(credential_id) AS credential_id,
    session_id,
    src_identity,
    dst_identity,
    src_ip,
    src_port,
    MIN(src_workload) AS src_workload,
    src_namespace,
    src_service,
    MIN(src_cluster) AS src_cluster,
    dst_ip,
    dst_port,
    MIN(dst_workload) AS dst_workload,
    dst_namespace,
    dst_service,
    MIN(dst_cluster) AS dst_cluster,
    reporter,
    MIN(direction) AS direction,
    k8s_cluster,
    k8s_namespace,
    k8s_pod,
    MIN(k8s_container) AS k8s_container,
    MIN(k8s_node) AS k8s_node,
    MIN(cloud_account) AS cloud_account,
    MIN(cloud_region) AS cloud_region,
    http_method,
    url_path,
    url_query,
    http_host,
    http_status,
    grpc_status,
    MIN(network_protocol) AS network_protocol,
    MIN(user_agent) AS user_agent,
    MIN(x_forwarded_for) AS x_forwarded_for,
    request_bytes,
    response_bytes,
    duration_us,
    MIN(upstream_duration_us) AS upstream_duration_us,
    MIN(route_name) AS route_name,
    MIN(upstream_cluster) AS upstream_cluster,
    upstream_host,
    MIN(response_flags) AS response_flags,
    MIN(tls_version) AS tls_version,
    MIN(tls_cipher) AS tls_cipher,
    MIN(tls_sni) AS tls_sni,
    BOOL_AND(mtls) AS mtls,
    tls_failure,
    MIN(tls_failure_side) AS tls_failure_side,
    tls_failure_reason,
    MIN(tls_failure_detail) AS tls_failure_detail,
    MIN(peer_cert_sha256) AS peer_cert_sha256,
    MIN(peer_cert_serial) AS peer_cert_serial,
    MIN(peer_cert_not_after) AS peer_cert_not_after,
    trace_id,
    span_id,
    request_id,
    correlation_id,
    connection_id,
    change_op,
    MIN(resource_group) AS resource_group,
    resource_type,
    MIN(resource_api_version) AS resource_api_version,
    resource_namespace,
    resource_name,
    MIN(resource_uid) AS resource_uid,
    MIN(resource_version) AS resource_version,
    MIN(change_before) AS change_before,
    MIN(change_after) AS change_after,
    MIN(change_patch) AS change_patch,
    MIN(change_content) AS change_content,
    BOOL_AND(change_applied) AS change_applied,
    MIN(statement) AS statement,
    NULLIF(SUBSTR(MIN(place || COALESCE(attributes, '')), 46), '') AS attributes,
    NULLIF(SUBSTR(MIN(place || COALESCE(raw, '')), 46), '') AS raw,
    parse_status,
    NULLIF(SUBSTR(MIN(place || COALESCE(parse_error, '')), 46), '') AS parse_error,
    NULLIF(SUBSTR(MIN(place || COALESCE(transport, '')), 46), '') AS transport,
    NULLIF(SUBSTR(MIN(place || COALESCE(transport_ref, '')), 46), '') AS transport_ref,
    MIN(schema_version) AS schema_version,
    MIN(upstream_local_address) AS upstream_local_address,
    MIN(downstream_local_address) AS downstream_local_address,
    event_date,
    COUNT(*) AS copies
FROM received
GROUP BY
    event_date, event_time, mesh, source_format, event_kind, reporter, k8s_cluster, k8s_namespace, k8s_pod,
    request_id, trace_id, span_id, correlation_id, connection_id, session_id, decision, decision_source,
    policy_rule, policy_namespace, policy_name, severity_id, parse_status, principal, user_name,
    src_identity, src_ip, src_port, src_namespace, src_service, dst_identity, dst_ip, dst_port,
    dst_namespace, dst_service, upstream_host, http_method, http_host, url_path, url_query, http_status,
    grpc_status, duration_us, request_bytes, response_bytes, tls_failure, tls_failure_reason, change_op,
    resource_type, resource_namespace, resource_name,
    CASE WHEN request_id IS NULL THEN attributes END,
    CASE WHEN request_id IS NULL THEN raw END,
    CASE WHEN request_id IS NULL THEN statement END,
    CASE WHEN request_id IS NULL THEN decision_reason END
