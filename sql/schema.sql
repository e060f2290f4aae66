-- Generated from common/src/schema.rs; a test fails if this file and that one differ.
-- One row is one audit event. event_date is the UTC date of event_time (partition).
CREATE TABLE mesh_events (
    segment VARCHAR NOT NULL, -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
    segment_row BIGINT NOT NULL, -- Arrival order in the segment, from 0
    event_time TIMESTAMP WITH TIME ZONE NOT NULL, -- When it happened; for Envoy the start of the request
    event_time_source VARCHAR NOT NULL, -- How the time was obtained: payload, cri, shipper, transport, ingest
    observed_time TIMESTAMP WITH TIME ZONE, -- When a collector first saw it
    ingest_time TIMESTAMP WITH TIME ZONE NOT NULL, -- When Meshledger received the delivery
    mesh VARCHAR NOT NULL, -- istio, envoy, linkerd, consul, kubernetes, hoop, other
    source_format VARCHAR NOT NULL, -- The format it was parsed as, for example envoy_json
    record_shape VARCHAR, -- The key set the original record is rebuilt from: default, extended, full, sparse
    event_kind VARCHAR NOT NULL, -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
    ocsf_class_uid INTEGER, -- OCSF class
    ocsf_activity_id INTEGER, -- OCSF activity
    severity_id INTEGER, -- OCSF severity: 1 informational to 5 critical
    decision VARCHAR NOT NULL, -- allow, deny, error, unknown
    decision_source VARCHAR, -- Who decided: none, rbac, jwt, ext_authz, ext_authz_error, rate_limit, mtls, csrf, proxy, …
    decision_reason VARCHAR, -- The source's own words for the decision
    shadow_decision VARCHAR, -- What a rule in dry run would have decided: allow, deny
    policy_rule VARCHAR, -- The deciding rule's id, verbatim
    policy_kind VARCHAR, -- Kind of the policy, for example AuthorizationPolicy
    policy_namespace VARCHAR, -- Namespace part of policy_rule
    policy_name VARCHAR, -- Name part of policy_rule
    policy_rule_index INTEGER, -- Rule index inside the policy
    shadow_policy_rule VARCHAR, -- The dry-run rule's id
    principal VARCHAR, -- Best answer to "who"
    principal_type VARCHAR, -- user, service_account, workload, token, machine, anonymous
    principal_source VARCHAR, -- Where the principal was taken from: jwt, k8s_user, mtls, header, acl_token, session, unverified
    user_name VARCHAR, -- User name
    user_email VARCHAR, -- User e-mail
    user_uid VARCHAR, -- User id
    user_groups VARCHAR[], -- Groups of the user
    impersonated_user VARCHAR, -- User acted as
    jwt_issuer VARCHAR, -- Token issuer
    jwt_subject VARCHAR, -- Token subject
    credential_id VARCHAR, -- Id of the credential, never the secret
    session_id VARCHAR, -- Session
    src_identity VARCHAR, -- Caller's SPIFFE or DNS identity
    dst_identity VARCHAR, -- Callee's SPIFFE or DNS identity
    src_ip VARCHAR, -- Caller's address
    src_port INTEGER, -- Caller's port
    src_workload VARCHAR, -- Caller's workload
    src_namespace VARCHAR, -- Caller's namespace
    src_service VARCHAR, -- Caller's service
    src_cluster VARCHAR, -- Caller's cluster
    dst_ip VARCHAR, -- Callee's address
    dst_port INTEGER, -- Callee's port
    dst_workload VARCHAR, -- Callee's workload
    dst_namespace VARCHAR, -- Callee's namespace
    dst_service VARCHAR, -- Callee's service, as host name where known
    dst_cluster VARCHAR, -- Callee's cluster
    reporter VARCHAR, -- Which side wrote the record: source, destination, gateway, control_plane
    direction VARCHAR, -- inbound or outbound, seen from the reporter
    k8s_cluster VARCHAR, -- Cluster of the emitter
    k8s_namespace VARCHAR, -- Namespace of the emitter
    k8s_pod VARCHAR, -- Pod of the emitter
    k8s_container VARCHAR, -- Container of the emitter
    k8s_node VARCHAR, -- Node of the emitter
    cloud_account VARCHAR, -- Cloud account
    cloud_region VARCHAR, -- Cloud region
    http_method VARCHAR, -- HTTP method
    url_path VARCHAR, -- Path without query
    url_query VARCHAR, -- Query without the question mark
    http_host VARCHAR, -- Authority of the request
    http_status INTEGER, -- HTTP status; NULL where none was sent
    grpc_status INTEGER, -- gRPC status, 0 to 16
    network_protocol VARCHAR, -- http/1.1, http/2, http/3, tcp, …
    user_agent VARCHAR, -- User agent; client-supplied
    x_forwarded_for VARCHAR, -- Forwarded-for header; client-supplied
    request_bytes BIGINT, -- Request body, bytes
    response_bytes BIGINT, -- Response body, bytes
    duration_us BIGINT, -- Whole request or connection, microseconds
    upstream_duration_us BIGINT, -- Time spent upstream, microseconds
    route_name VARCHAR, -- Route
    upstream_cluster VARCHAR, -- Envoy's upstream cluster, verbatim
    upstream_host VARCHAR, -- Chosen upstream endpoint, verbatim
    response_flags VARCHAR[], -- Envoy response flags; empty list if none
    tls_version VARCHAR, -- Negotiated TLS version, lower case
    tls_cipher VARCHAR, -- Negotiated cipher
    tls_sni VARCHAR, -- Server name the client asked for
    mtls BOOLEAN, -- The peer was authenticated by certificate
    tls_failure BOOLEAN NOT NULL, -- A TLS handshake failed
    tls_failure_side VARCHAR, -- downstream or upstream
    tls_failure_reason VARCHAR, -- Normalised cause
    tls_failure_detail VARCHAR, -- Raw cause
    peer_cert_sha256 VARCHAR, -- Fingerprint of the peer's certificate
    peer_cert_serial VARCHAR, -- Serial of the peer's certificate
    peer_cert_not_after TIMESTAMP WITH TIME ZONE, -- End of the peer's certificate
    trace_id VARCHAR, -- W3C trace id, 32 hex digits
    span_id VARCHAR, -- Span id, 16 hex digits
    request_id VARCHAR, -- Request id, as the mesh passes it on
    correlation_id VARCHAR, -- Further correlation id, for example Envoy's stream id
    connection_id VARCHAR, -- Connection id
    change_op VARCHAR, -- create, update, patch, delete, deletecollection
    resource_group VARCHAR, -- API group of the changed resource
    resource_type VARCHAR, -- Type of the changed resource, plural
    resource_api_version VARCHAR, -- API version of the changed resource
    resource_namespace VARCHAR, -- Namespace of the changed resource
    resource_name VARCHAR, -- Name of the changed resource
    resource_uid VARCHAR, -- Uid of the changed resource
    resource_version VARCHAR, -- Version of the changed resource
    change_before VARCHAR, -- JSON text before the change
    change_after VARCHAR, -- JSON text after the change
    change_patch VARCHAR, -- JSON text of the patch
    change_content VARCHAR, -- full, after_only, patch_only, none, redacted, truncated
    change_applied BOOLEAN, -- The change took effect
    statement VARCHAR, -- Database statement or command
    attributes VARCHAR, -- JSON object with every field no column holds exactly; NULL if none
    raw VARCHAR, -- The record's text, where columns and attributes can not rebuild it
    parse_status VARCHAR NOT NULL, -- ok, partial, ambiguous
    parse_error VARCHAR, -- What was not understood
    transport VARCHAR NOT NULL, -- file, stdin, otlp_http, kinesis, firehose, sqs_s3, cwl, url, kafka
    transport_ref VARCHAR, -- Where in the transport: file name, object, shard
    schema_version INTEGER NOT NULL, -- Version of this table, 1
    upstream_local_address VARCHAR, -- Envoy's own end of the upstream connection, verbatim
    downstream_local_address VARCHAR, -- Address the caller connected to, verbatim, where dst_ip and dst_port are another
    event_date DATE NOT NULL -- UTC date of event_time; the partition
);
