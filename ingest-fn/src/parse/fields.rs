//! Columns of `mesh_events` by name, resolved while compiling.

use common::schema::COLUMNS;

const fn column(name: &str) -> usize {
    let mut index = 0;
    while index < COLUMNS.len() {
        if same(COLUMNS[index].name.as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    // Out of range, so that the constant below does not compile.
    COLUMNS.len()
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

macro_rules! columns {
    ($($constant:ident = $name:literal,)+) => {
        $(
            #[doc = concat!("Index of column `", $name, "`.")]
            pub const $constant: usize = column($name);
            const _: () = assert!($constant < COLUMNS.len(), "no such column");
        )+
    };
}

columns! {
    SEGMENT = "segment",
    SEGMENT_ROW = "segment_row",
    EVENT_TIME = "event_time",
    EVENT_TIME_SOURCE = "event_time_source",
    OBSERVED_TIME = "observed_time",
    INGEST_TIME = "ingest_time",
    MESH = "mesh",
    SOURCE_FORMAT = "source_format",
    RECORD_SHAPE = "record_shape",
    EVENT_KIND = "event_kind",
    OCSF_CLASS_UID = "ocsf_class_uid",
    OCSF_ACTIVITY_ID = "ocsf_activity_id",
    SEVERITY_ID = "severity_id",
    DECISION = "decision",
    DECISION_SOURCE = "decision_source",
    DECISION_REASON = "decision_reason",
    SHADOW_DECISION = "shadow_decision",
    POLICY_RULE = "policy_rule",
    POLICY_KIND = "policy_kind",
    POLICY_NAMESPACE = "policy_namespace",
    POLICY_NAME = "policy_name",
    POLICY_RULE_INDEX = "policy_rule_index",
    SHADOW_POLICY_RULE = "shadow_policy_rule",
    PRINCIPAL = "principal",
    PRINCIPAL_TYPE = "principal_type",
    PRINCIPAL_SOURCE = "principal_source",
    USER_NAME = "user_name",
    USER_EMAIL = "user_email",
    USER_UID = "user_uid",
    USER_GROUPS = "user_groups",
    IMPERSONATED_USER = "impersonated_user",
    JWT_ISSUER = "jwt_issuer",
    JWT_SUBJECT = "jwt_subject",
    CREDENTIAL_ID = "credential_id",
    SESSION_ID = "session_id",
    SRC_IDENTITY = "src_identity",
    DST_IDENTITY = "dst_identity",
    SRC_IP = "src_ip",
    SRC_PORT = "src_port",
    SRC_WORKLOAD = "src_workload",
    SRC_NAMESPACE = "src_namespace",
    SRC_SERVICE = "src_service",
    SRC_CLUSTER = "src_cluster",
    DST_IP = "dst_ip",
    DST_PORT = "dst_port",
    DST_WORKLOAD = "dst_workload",
    DST_NAMESPACE = "dst_namespace",
    DST_SERVICE = "dst_service",
    DST_CLUSTER = "dst_cluster",
    REPORTER = "reporter",
    DIRECTION = "direction",
    K8S_CLUSTER = "k8s_cluster",
    K8S_NAMESPACE = "k8s_namespace",
    K8S_POD = "k8s_pod",
    K8S_CONTAINER = "k8s_container",
    K8S_NODE = "k8s_node",
    CLOUD_ACCOUNT = "cloud_account",
    CLOUD_REGION = "cloud_region",
    HTTP_METHOD = "http_method",
    URL_PATH = "url_path",
    URL_QUERY = "url_query",
    HTTP_HOST = "http_host",
    HTTP_STATUS = "http_status",
    GRPC_STATUS = "grpc_status",
    NETWORK_PROTOCOL = "network_protocol",
    USER_AGENT = "user_agent",
    X_FORWARDED_FOR = "x_forwarded_for",
    REQUEST_BYTES = "request_bytes",
    RESPONSE_BYTES = "response_bytes",
    DURATION_US = "duration_us",
    UPSTREAM_DURATION_US = "upstream_duration_us",
    ROUTE_NAME = "route_name",
    UPSTREAM_CLUSTER = "upstream_cluster",
    UPSTREAM_HOST = "upstream_host",
    RESPONSE_FLAGS = "response_flags",
    TLS_VERSION = "tls_version",
    TLS_CIPHER = "tls_cipher",
    TLS_SNI = "tls_sni",
    MTLS = "mtls",
    TLS_FAILURE = "tls_failure",
    TLS_FAILURE_SIDE = "tls_failure_side",
    TLS_FAILURE_REASON = "tls_failure_reason",
    TLS_FAILURE_DETAIL = "tls_failure_detail",
    PEER_CERT_SHA256 = "peer_cert_sha256",
    PEER_CERT_SERIAL = "peer_cert_serial",
    PEER_CERT_NOT_AFTER = "peer_cert_not_after",
    TRACE_ID = "trace_id",
    SPAN_ID = "span_id",
    REQUEST_ID = "request_id",
    CORRELATION_ID = "correlation_id",
    CONNECTION_ID = "connection_id",
    CHANGE_OP = "change_op",
    RESOURCE_GROUP = "resource_group",
    RESOURCE_TYPE = "resource_type",
    RESOURCE_API_VERSION = "resource_api_version",
    RESOURCE_NAMESPACE = "resource_namespace",
    RESOURCE_NAME = "resource_name",
    RESOURCE_UID = "resource_uid",
    RESOURCE_VERSION = "resource_version",
    CHANGE_BEFORE = "change_before",
    CHANGE_AFTER = "change_after",
    CHANGE_PATCH = "change_patch",
    CHANGE_CONTENT = "change_content",
    CHANGE_APPLIED = "change_applied",
    STATEMENT = "statement",
    ATTRIBUTES = "attributes",
    RAW = "raw",
    PARSE_STATUS = "parse_status",
    PARSE_ERROR = "parse_error",
    TRANSPORT = "transport",
    TRANSPORT_REF = "transport_ref",
    SCHEMA_VERSION = "schema_version",
    UPSTREAM_LOCAL_ADDRESS = "upstream_local_address",
    DOWNSTREAM_LOCAL_ADDRESS = "downstream_local_address",
}
