-- Generated: the tables from common/src/schema.rs, the views from the engine; a test fails if this
-- file and those differ. Times are UTC, in microseconds; names that end in _us are microseconds,
-- in _bytes bytes; all else is counted, or a word of those listed. NULL is not known or not said.

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

-- One row is one record that was not understood.
CREATE TABLE mesh_quarantine (
    delivery VARCHAR NOT NULL, -- Delivery the record came in
    unit VARCHAR NOT NULL, -- Unit it came in
    unit_index INTEGER NOT NULL, -- Position of the unit in its delivery, from 0
    offset_bytes BIGINT NOT NULL, -- Where the record begins in the decoded file or stream, bytes
    length_bytes BIGINT NOT NULL, -- Length of the record, bytes
    reason VARCHAR NOT NULL, -- Why it was not understood: a stable word
    detail VARCHAR, -- What was expected and found, for people; never the record
    format_guess VARCHAR, -- The format it looks like
    transport_ref VARCHAR, -- Where in the transport: file name, object, shard
    ingest_time TIMESTAMP WITH TIME ZONE NOT NULL, -- When Meshledger received the delivery
    record BLOB NOT NULL -- The record as kept, after redaction
);

-- Views, as comments; their SQL is in sql/views.
--
-- mesh_capture: a row is one source on one UTC day: cluster, format, side and transport
--     event_date DATE -- UTC date of event_time
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     transport VARCHAR -- file, stdin, otlp_http, kinesis, firehose, sqs_s3, cwl, url, kafka
--     events BIGINT -- records understood, copies included
--     with_type BIGINT -- of them, those that say what kind of event it was
--     with_own_time BIGINT -- those whose time is the record's own, not a shipper's or our own
--     with_place BIGINT -- those that say where: cluster, or the callee's name or address
--     with_origin BIGINT -- those that say from where: the caller's address, workload or identity
--     with_outcome BIGINT -- those that say how it was decided or ended
--     with_target BIGINT -- those that name what was asked for: path, object, statement, service or port
--     by_certificate BIGINT -- those whose caller is known by a certificate that verified
--     by_token BIGINT -- those whose caller is known by a token that was accepted: a JWT, a token of Consul
--     by_control_plane BIGINT -- those whose caller a control plane or gateway authenticated itself
--     claimed_only BIGINT -- those whose caller is named by nothing but its own word
--     by_nobody BIGINT -- those that name no caller, an anonymous one, or only an address
--     not_fully_parsed BIGINT -- those of which something was not understood, or ambiguous
--     first_event TIMESTAMP WITH TIME ZONE -- earliest event_time
--     last_event TIMESTAMP WITH TIME ZONE -- latest event_time
--     first_received TIMESTAMP WITH TIME ZONE -- earliest ingest_time
--     last_received TIMESTAMP WITH TIME ZONE -- latest ingest_time
--     lag_seconds_avg DOUBLE -- mean of ingest_time minus event_time
--     lag_seconds_max DOUBLE -- the longest; of a long connection, its duration is in it
--     ahead_seconds_max DOUBLE -- how far an event's clock was ahead of ours at most; NULL if none was
--
-- mesh_capture_minutes: a row is one source in one UTC minute in which it has events: cluster, format and side
--     event_date DATE -- UTC date of event_time
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     minute BIGINT -- minutes since 1970-01-01 UTC
--     events BIGINT -- events that began in it
--     first_event TIMESTAMP WITH TIME ZONE -- the earliest event_time
--     last_event TIMESTAMP WITH TIME ZONE -- the latest event_time
--
-- mesh_denials: a row is one denial, as the proxy or control plane that decided it wrote it
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     decided_by VARCHAR -- what decided: rbac, jwt, ext_authz, rate_limit, mtls, csrf, k8s_rbac, k8s_admission, k8s_authn, acl, guardrail, review, app
--     policy VARCHAR -- namespace/name of the policy that denied; where none did, the reason in parentheses
--     decision_reason VARCHAR -- The source's own words for the decision
--     policy_rule VARCHAR -- The deciding rule's id, verbatim
--     policy_kind VARCHAR -- Kind of the policy, for example AuthorizationPolicy
--     policy_namespace VARCHAR -- Namespace part of policy_rule
--     policy_name VARCHAR -- Name part of policy_rule
--     caller VARCHAR -- who asked: principal, else workload identity, workload, address
--     identified VARCHAR -- yes; claimed, where nothing but the caller's word names it; address only
--     principal VARCHAR -- Best answer to "who"
--     principal_type VARCHAR -- user, service_account, workload, token, machine, anonymous
--     user_name VARCHAR -- User name
--     impersonated_user VARCHAR -- User acted as
--     src_identity VARCHAR -- Caller's SPIFFE or DNS identity
--     src_namespace VARCHAR -- Caller's namespace
--     src_workload VARCHAR -- Caller's workload
--     src_ip VARCHAR -- Caller's address
--     service VARCHAR -- what was asked: service, else workload, identity, host; an API for requests to a control plane
--     service_namespace VARCHAR -- its namespace; of a request to a control plane that of the object
--     dst_service VARCHAR -- Callee's service, as host name where known
--     dst_namespace VARCHAR -- Callee's namespace
--     dst_workload VARCHAR -- Callee's workload
--     event_kind VARCHAR -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
--     http_method VARCHAR -- HTTP method
--     http_host VARCHAR -- Authority of the request
--     url_path VARCHAR -- Path without query
--     http_status INTEGER -- HTTP status; NULL where none was sent
--     grpc_status INTEGER -- gRPC status, 0 to 16
--     change_op VARCHAR -- create, update, patch, delete, deletecollection
--     resource_type VARCHAR -- Type of the changed resource, plural
--     resource_namespace VARCHAR -- Namespace of the changed resource
--     resource_name VARCHAR -- Name of the changed resource
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     trace_id VARCHAR -- W3C trace id, 32 hex digits
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- mesh_events_distinct: a row is one record of a source; its columns are those of mesh_events, and the number of its copies
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_time_source VARCHAR -- How the time was obtained: payload, cri, shipper, transport, ingest
--     observed_time TIMESTAMP WITH TIME ZONE -- When a collector first saw it
--     ingest_time TIMESTAMP WITH TIME ZONE -- When Meshledger received the delivery
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     record_shape VARCHAR -- The key set the original record is rebuilt from: default, extended, full, sparse
--     event_kind VARCHAR -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
--     ocsf_class_uid INTEGER -- OCSF class
--     ocsf_activity_id INTEGER -- OCSF activity
--     severity_id INTEGER -- OCSF severity: 1 informational to 5 critical
--     decision VARCHAR -- allow, deny, error, unknown
--     decision_source VARCHAR -- Who decided: none, rbac, jwt, ext_authz, ext_authz_error, rate_limit, mtls, csrf, proxy, …
--     decision_reason VARCHAR -- The source's own words for the decision
--     shadow_decision VARCHAR -- What a rule in dry run would have decided: allow, deny
--     policy_rule VARCHAR -- The deciding rule's id, verbatim
--     policy_kind VARCHAR -- Kind of the policy, for example AuthorizationPolicy
--     policy_namespace VARCHAR -- Namespace part of policy_rule
--     policy_name VARCHAR -- Name part of policy_rule
--     policy_rule_index INTEGER -- Rule index inside the policy
--     shadow_policy_rule VARCHAR -- The dry-run rule's id
--     principal VARCHAR -- Best answer to "who"
--     principal_type VARCHAR -- user, service_account, workload, token, machine, anonymous
--     principal_source VARCHAR -- Where the principal was taken from: jwt, k8s_user, mtls, header, acl_token, session, unverified
--     user_name VARCHAR -- User name
--     user_email VARCHAR -- User e-mail
--     user_uid VARCHAR -- User id
--     user_groups VARCHAR[] -- Groups of the user
--     impersonated_user VARCHAR -- User acted as
--     jwt_issuer VARCHAR -- Token issuer
--     jwt_subject VARCHAR -- Token subject
--     credential_id VARCHAR -- Id of the credential, never the secret
--     session_id VARCHAR -- Session
--     src_identity VARCHAR -- Caller's SPIFFE or DNS identity
--     dst_identity VARCHAR -- Callee's SPIFFE or DNS identity
--     src_ip VARCHAR -- Caller's address
--     src_port INTEGER -- Caller's port
--     src_workload VARCHAR -- Caller's workload
--     src_namespace VARCHAR -- Caller's namespace
--     src_service VARCHAR -- Caller's service
--     src_cluster VARCHAR -- Caller's cluster
--     dst_ip VARCHAR -- Callee's address
--     dst_port INTEGER -- Callee's port
--     dst_workload VARCHAR -- Callee's workload
--     dst_namespace VARCHAR -- Callee's namespace
--     dst_service VARCHAR -- Callee's service, as host name where known
--     dst_cluster VARCHAR -- Callee's cluster
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     direction VARCHAR -- inbound or outbound, seen from the reporter
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     k8s_namespace VARCHAR -- Namespace of the emitter
--     k8s_pod VARCHAR -- Pod of the emitter
--     k8s_container VARCHAR -- Container of the emitter
--     k8s_node VARCHAR -- Node of the emitter
--     cloud_account VARCHAR -- Cloud account
--     cloud_region VARCHAR -- Cloud region
--     http_method VARCHAR -- HTTP method
--     url_path VARCHAR -- Path without query
--     url_query VARCHAR -- Query without the question mark
--     http_host VARCHAR -- Authority of the request
--     http_status INTEGER -- HTTP status; NULL where none was sent
--     grpc_status INTEGER -- gRPC status, 0 to 16
--     network_protocol VARCHAR -- http/1.1, http/2, http/3, tcp, …
--     user_agent VARCHAR -- User agent; client-supplied
--     x_forwarded_for VARCHAR -- Forwarded-for header; client-supplied
--     request_bytes BIGINT -- Request body, bytes
--     response_bytes BIGINT -- Response body, bytes
--     duration_us BIGINT -- Whole request or connection, microseconds
--     upstream_duration_us BIGINT -- Time spent upstream, microseconds
--     route_name VARCHAR -- Route
--     upstream_cluster VARCHAR -- Envoy's upstream cluster, verbatim
--     upstream_host VARCHAR -- Chosen upstream endpoint, verbatim
--     response_flags VARCHAR[] -- Envoy response flags; empty list if none
--     tls_version VARCHAR -- Negotiated TLS version, lower case
--     tls_cipher VARCHAR -- Negotiated cipher
--     tls_sni VARCHAR -- Server name the client asked for
--     mtls BOOLEAN -- The peer was authenticated by certificate
--     tls_failure BOOLEAN -- A TLS handshake failed
--     tls_failure_side VARCHAR -- downstream or upstream
--     tls_failure_reason VARCHAR -- Normalised cause
--     tls_failure_detail VARCHAR -- Raw cause
--     peer_cert_sha256 VARCHAR -- Fingerprint of the peer's certificate
--     peer_cert_serial VARCHAR -- Serial of the peer's certificate
--     peer_cert_not_after TIMESTAMP WITH TIME ZONE -- End of the peer's certificate
--     trace_id VARCHAR -- W3C trace id, 32 hex digits
--     span_id VARCHAR -- Span id, 16 hex digits
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     correlation_id VARCHAR -- Further correlation id, for example Envoy's stream id
--     connection_id VARCHAR -- Connection id
--     change_op VARCHAR -- create, update, patch, delete, deletecollection
--     resource_group VARCHAR -- API group of the changed resource
--     resource_type VARCHAR -- Type of the changed resource, plural
--     resource_api_version VARCHAR -- API version of the changed resource
--     resource_namespace VARCHAR -- Namespace of the changed resource
--     resource_name VARCHAR -- Name of the changed resource
--     resource_uid VARCHAR -- Uid of the changed resource
--     resource_version VARCHAR -- Version of the changed resource
--     change_before VARCHAR -- JSON text before the change
--     change_after VARCHAR -- JSON text after the change
--     change_patch VARCHAR -- JSON text of the patch
--     change_content VARCHAR -- full, after_only, patch_only, none, redacted, truncated
--     change_applied BOOLEAN -- The change took effect
--     statement VARCHAR -- Database statement or command
--     attributes VARCHAR -- JSON object with every field no column holds exactly; NULL if none
--     raw VARCHAR -- The record's text, where columns and attributes can not rebuild it
--     parse_status VARCHAR -- ok, partial, ambiguous
--     parse_error VARCHAR -- What was not understood
--     transport VARCHAR -- file, stdin, otlp_http, kinesis, firehose, sqs_s3, cwl, url, kafka
--     transport_ref VARCHAR -- Where in the transport: file name, object, shard
--     schema_version INTEGER -- Version of this table, 1
--     upstream_local_address VARCHAR -- Envoy's own end of the upstream connection, verbatim
--     downstream_local_address VARCHAR -- Address the caller connected to, verbatim, where dst_ip and dst_port are another
--     event_date DATE -- UTC date of event_time
--     copies BIGINT -- how often the archive holds this record
--
-- mesh_policy_changes: a row is one change of a policy object, or one request for a change that did not take effect
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     changed_by VARCHAR -- who changed it, as the control plane knows them: the real user, also where it acted as another
--     changed_by_type VARCHAR -- user, service_account, workload, token, machine, anonymous; NULL where it acted as another
--     acting_as VARCHAR -- the user it acted as, if any
--     src_ip VARCHAR -- Caller's address
--     user_agent VARCHAR -- User agent; client-supplied
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     resource_group VARCHAR -- API group of the changed resource
--     resource_type VARCHAR -- Type of the changed resource, plural
--     resource_api_version VARCHAR -- API version of the changed resource
--     resource_namespace VARCHAR -- Namespace of the changed resource
--     resource_name VARCHAR -- Name of the changed resource
--     resource_uid VARCHAR -- Uid of the changed resource
--     resource_version VARCHAR -- Version of the changed resource
--     change_op VARCHAR -- create, update, patch, delete, deletecollection
--     change_applied BOOLEAN -- The change took effect
--     decision VARCHAR -- allow, deny, error, unknown
--     decision_reason VARCHAR -- The source's own words for the decision
--     change_content VARCHAR -- full, after_only, patch_only, none, redacted, truncated
--     before_known VARCHAR -- how far object_before can be trusted: recorded, complete, absent, outdated, patch, unknown
--     object_before VARCHAR -- JSON text of the object, or of the last patch to it, before the change
--     before_time TIMESTAMP WITH TIME ZONE -- event_time of the change that left object_before
--     patch VARCHAR -- JSON text of the patch
--     object_after VARCHAR -- JSON text of the object after the change, or as it was asked for
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     copies BIGINT -- how often the archive holds this change
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- mesh_privilege_use: a row is one use of a privilege, allowed or not
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     privilege VARCHAR -- exec, debug container, tunnel, secret read, secret change, role change, token issued, certificate approved, admission change, session, impersonation, cluster admin
--     who VARCHAR -- the one who acted: the real user, also where it acted as another
--     acted_as VARCHAR -- the user it acted as, if any
--     principal VARCHAR -- Best answer to "who"
--     who_is VARCHAR -- user, service_account, workload, token, machine, anonymous; NULL where it acted as another
--     user_name VARCHAR -- User name
--     src_ip VARCHAR -- Caller's address
--     user_agent VARCHAR -- User agent; client-supplied
--     verb VARCHAR -- what was asked for: the change, else the HTTP method, else the kind of event
--     target VARCHAR -- type and namespace/name of the object, or the connection of a session
--     resource_group VARCHAR -- API group of the changed resource
--     resource_type VARCHAR -- Type of the changed resource, plural
--     resource_namespace VARCHAR -- Namespace of the changed resource
--     resource_name VARCHAR -- Name of the changed resource
--     url_query VARCHAR -- Query without the question mark
--     decision VARCHAR -- allow, deny, error, unknown
--     decision_reason VARCHAR -- The source's own words for the decision
--     allowed_by VARCHAR -- the role binding that allowed it, where the record says so
--     http_status INTEGER -- HTTP status; NULL where none was sent
--     change_applied BOOLEAN -- The change took effect
--     event_kind VARCHAR -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     session_id VARCHAR -- Session
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- mesh_service_authentication: a row is one service on one UTC day, in one cluster, with one TLS version; all numbers can be added up
--     event_date DATE -- UTC date of event_time
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     service VARCHAR -- service, else workload, host, address
--     service_namespace VARCHAR -- its namespace, where known
--     tls_version VARCHAR -- Negotiated TLS version, lower case
--     counted_at VARCHAR -- callee, or caller for services without records of their own on that day
--     calls BIGINT -- requests and connections
--     denied BIGINT -- of them, those that were denied
--     by_certificate BIGINT -- those whose caller is known by a certificate that verified, and by nothing better
--     by_token BIGINT -- those whose caller is known by a token that was accepted
--     claimed_only BIGINT -- those whose caller is named by nothing but its own word
--     by_nobody BIGINT -- those that name no caller, or only an address
--     mutual_tls BIGINT -- those on a connection whose peer was authenticated by certificate
--     no_mutual_tls BIGINT -- those on a connection whose peer was not
--     mutual_tls_not_said BIGINT -- those whose record does not say
--
-- mesh_service_edges: a row is one edge from a caller to a service on one UTC day; all numbers but the last two can be added up
--     event_date DATE -- UTC date of event_time
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     caller VARCHAR -- workload identity, else principal, workload, address; (forwarded for others) where the address is some customer's
--     caller_namespace VARCHAR -- its namespace, where known
--     service VARCHAR -- service, else workload, host, address
--     service_namespace VARCHAR -- its namespace, where known
--     counted_at VARCHAR -- callee, or caller for services without records of their own on that day
--     requests BIGINT -- requests
--     connections BIGINT -- TCP connections
--     denied BIGINT -- of both, those that were denied
--     errors BIGINT -- of both, those with decision error, an HTTP status from 500, or gRPC status 2, 4, 13, 14 or 15
--     request_bytes BIGINT -- bytes from caller to service
--     response_bytes BIGINT -- bytes from service to caller
--     duration_us_sum BIGINT -- durations, microseconds; divide by requests and connections for the mean
--     duration_us_max BIGINT -- the longest, microseconds
--     first_seen TIMESTAMP WITH TIME ZONE -- first of that day
--     last_seen TIMESTAMP WITH TIME ZONE -- last of that day
--
-- mesh_tls_failures: a row is one record of a failed handshake, of the client's side or the server's
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     seen_by VARCHAR -- client or server: whose proxy wrote the record
--     reason VARCHAR -- the normalised cause; (not said) where the record has none
--     tls_failure_reason VARCHAR -- Normalised cause
--     tls_failure_detail VARCHAR -- Raw cause
--     decision VARCHAR -- allow, deny, error, unknown
--     caller VARCHAR -- the client: workload identity, else principal, workload, service, address
--     identified VARCHAR -- yes; claimed, where the peer's certificate did not verify; address only
--     principal VARCHAR -- Best answer to "who"
--     src_identity VARCHAR -- Caller's SPIFFE or DNS identity
--     src_namespace VARCHAR -- Caller's namespace
--     src_ip VARCHAR -- Caller's address
--     service VARCHAR -- the server: service, else workload, identity, host, address
--     dst_service VARCHAR -- Callee's service, as host name where known
--     dst_workload VARCHAR -- Callee's workload
--     dst_identity VARCHAR -- Callee's SPIFFE or DNS identity
--     dst_namespace VARCHAR -- Callee's namespace
--     dst_ip VARCHAR -- Callee's address
--     dst_port INTEGER -- Callee's port
--     tls_version VARCHAR -- Negotiated TLS version, lower case
--     tls_sni VARCHAR -- Server name the client asked for
--     peer_cert_sha256 VARCHAR -- Fingerprint of the peer's certificate
--     peer_cert_serial VARCHAR -- Serial of the peer's certificate
--     peer_cert_not_after TIMESTAMP WITH TIME ZONE -- End of the peer's certificate
--     certificate_ended BOOLEAN -- whether the certificate shown had ended then; NULL if none was shown
--     event_kind VARCHAR -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     k8s_namespace VARCHAR -- Namespace of the emitter
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     trace_id VARCHAR -- W3C trace id, 32 hex digits
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- mesh_would_be_denials: a row is one request, connection or call that a rule in dry run would have denied
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     dry_run_rule VARCHAR -- the rule that would have denied; (none) where no allow rule would have matched
--     let_through BOOLEAN -- whether it was allowed, so that enforcing the rule breaks it
--     decision VARCHAR -- allow, deny, error, unknown
--     caller VARCHAR -- who asked: principal, else workload identity, workload, address
--     principal VARCHAR -- Best answer to "who"
--     principal_type VARCHAR -- user, service_account, workload, token, machine, anonymous
--     src_identity VARCHAR -- Caller's SPIFFE or DNS identity
--     src_namespace VARCHAR -- Caller's namespace
--     src_ip VARCHAR -- Caller's address
--     service VARCHAR -- what was asked: service, else workload, identity, host; an API for requests to a control plane
--     service_namespace VARCHAR -- its namespace; of a request to a control plane that of the object
--     dst_service VARCHAR -- Callee's service, as host name where known
--     dst_namespace VARCHAR -- Callee's namespace
--     dst_workload VARCHAR -- Callee's workload
--     event_kind VARCHAR -- http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown
--     http_method VARCHAR -- HTTP method
--     url_path VARCHAR -- Path without query
--     http_status INTEGER -- HTTP status; NULL where none was sent
--     resource_type VARCHAR -- Type of the changed resource, plural
--     resource_namespace VARCHAR -- Namespace of the changed resource
--     resource_name VARCHAR -- Name of the changed resource
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     reporter VARCHAR -- Which side wrote the record: source, destination, gateway, control_plane
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     source_format VARCHAR -- The format it was parsed as, for example envoy_json
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     trace_id VARCHAR -- W3C trace id, 32 hex digits
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- mesh_security_events: a row is one denial, failed TLS handshake, policy change or use of a privilege
--     event_time TIMESTAMP WITH TIME ZONE -- When it happened; for Envoy the start of the request
--     event_date DATE -- UTC date of event_time
--     kind VARCHAR -- denial, tls failure, policy change, privilege use
--     what VARCHAR -- the policy that denied, the cause of the failure, the change, or the privilege
--     who VARCHAR -- who asked or acted
--     target VARCHAR -- the service, or type and namespace/name of the object
--     decision VARCHAR -- allow, deny, error, unknown
--     src_ip VARCHAR -- Caller's address
--     k8s_cluster VARCHAR -- Cluster of the emitter
--     mesh VARCHAR -- istio, envoy, linkerd, consul, kubernetes, hoop, other
--     request_id VARCHAR -- Request id, as the mesh passes it on
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
--
-- query_trail: a row is one query that was asked of this archive: who, what, what was read, what came of it
--     asked_at TIMESTAMP WITH TIME ZONE -- when the question came
--     event_date DATE -- UTC date of event_time
--     who VARCHAR -- who asked; NULL where nobody was authenticated
--     sql VARCHAR -- the text, which may be cut or redacted; NULL where the request was none
--     sql_sha256 VARCHAR -- SHA-256 of the text that was sent, whole and unredacted, in hex
--     question VARCHAR -- name of the stored question, if one was asked for
--     mode VARCHAR -- fresh, sealed or strict
--     dry_run BOOLEAN -- whether it was asked what the query would cost, and not for its rows
--     version BIGINT -- version of the archive that answered
--     files BIGINT -- files read
--     bytes BIGINT -- bytes read
--     rows_returned BIGINT -- rows of the answer
--     result_digest VARCHAR -- digest of the answer's rows (docs/receipts.md), where one was made
--     outcome VARCHAR -- ok, or the code of the error
--     error_code VARCHAR -- the code of the error; NULL where the outcome is ok
--     elapsed_us BIGINT -- microseconds from question to answer
--     query_id VARCHAR -- id of the query, as its receipt and the logs have it
--     transport VARCHAR -- file, stdin, otlp_http, kinesis, firehose, sqs_s3, cwl, url, kafka
--     transport_ref VARCHAR -- Where in the transport: file name, object, shard
--     segment VARCHAR -- Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever
--     segment_row BIGINT -- Arrival order in the segment, from 0
