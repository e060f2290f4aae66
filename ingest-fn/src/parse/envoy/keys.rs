//! The keys of Envoy's JSON access logs: Istio's default set and the extended set we recommend.

crate::parse::json::keys! {
    AUTHORITY = "authority",
    BYTES_RECEIVED = "bytes_received",
    BYTES_SENT = "bytes_sent",
    CONNECTION_TERMINATION_DETAILS = "connection_termination_details",
    DOWNSTREAM_LOCAL_ADDRESS = "downstream_local_address",
    DOWNSTREAM_REMOTE_ADDRESS = "downstream_remote_address",
    DURATION = "duration",
    METHOD = "method",
    PATH = "path",
    PROTOCOL = "protocol",
    REQUEST_ID = "request_id",
    REQUESTED_SERVER_NAME = "requested_server_name",
    RESPONSE_CODE = "response_code",
    RESPONSE_CODE_DETAILS = "response_code_details",
    RESPONSE_FLAGS = "response_flags",
    ROUTE_NAME = "route_name",
    START_TIME = "start_time",
    UPSTREAM_CLUSTER = "upstream_cluster",
    UPSTREAM_HOST = "upstream_host",
    UPSTREAM_LOCAL_ADDRESS = "upstream_local_address",
    UPSTREAM_SERVICE_TIME = "upstream_service_time",
    UPSTREAM_TRANSPORT_FAILURE_REASON = "upstream_transport_failure_reason",
    USER_AGENT = "user_agent",
    X_FORWARDED_FOR = "x_forwarded_for",
    ACCESS_LOG_TYPE = "access_log_type",
    CONNECTION_ID = "connection_id",
    DOWNSTREAM_LOCAL_URI_SAN = "downstream_local_uri_san",
    DOWNSTREAM_PEER_CERT_V_END = "downstream_peer_cert_v_end",
    DOWNSTREAM_PEER_FINGERPRINT_256 = "downstream_peer_fingerprint_256",
    DOWNSTREAM_PEER_SERIAL = "downstream_peer_serial",
    DOWNSTREAM_PEER_SUBJECT = "downstream_peer_subject",
    DOWNSTREAM_PEER_URI_SAN = "downstream_peer_uri_san",
    DOWNSTREAM_TLS_CIPHER = "downstream_tls_cipher",
    DOWNSTREAM_TLS_VERSION = "downstream_tls_version",
    DOWNSTREAM_TRANSPORT_FAILURE_REASON = "downstream_transport_failure_reason",
    FILTER_CHAIN = "filter_chain",
    GRPC_STATUS = "grpc_status",
    JWT_PAYLOAD = "jwt_payload",
    JWT_SUB = "jwt_sub",
    KIND = "kind",
    LISTENER = "listener",
    NET_RBAC_META = "net_rbac_meta",
    NODE = "node",
    PATH_NQ = "path_nq",
    RBAC_META = "rbac_meta",
    RESPONSE_FLAGS_LONG = "response_flags_long",
    START_US = "start_us",
    STREAM_ID = "stream_id",
    TRACE_ID = "trace_id",
    TRACEPARENT = "traceparent",
    UPSTREAM_PEER_URI_SAN = "upstream_peer_uri_san",
    UPSTREAM_TLS_VERSION = "upstream_tls_version",
    XFCC = "xfcc",
}

/// Keys of the dynamic metadata of Envoy's RBAC filter.
pub(super) mod rbac {
    crate::parse::json::keys! {
        ENFORCED_POLICY_ID = "enforced_effective_policy_id",
        ENFORCED_RESULT = "enforced_engine_result",
        DENY_SHADOW_POLICY_ID = "istio_dry_run_deny_shadow_effective_policy_id",
        DENY_SHADOW_RESULT = "istio_dry_run_deny_shadow_engine_result",
        ALLOW_SHADOW_POLICY_ID = "istio_dry_run_allow_shadow_effective_policy_id",
        ALLOW_SHADOW_RESULT = "istio_dry_run_allow_shadow_engine_result",
        EXT_AUTHZ_POLICY_ID = "istio_ext_authz_shadow_effective_policy_id",
    }
}

/// Claims read from a verified token.
pub(super) mod jwt {
    crate::parse::json::keys! {
        ISSUER = "iss",
        SUBJECT = "sub",
        GROUPS = "groups",
    }
}

const fn mask(keys: &[usize]) -> u64 {
    let mut bits = 0;
    let mut i = 0;
    while i < keys.len() {
        bits |= 1 << keys[i];
        i += 1;
    }
    bits
}

/// Istio's default 24 keys.
pub(super) const DEFAULT_KEYS: u64 = (1 << ACCESS_LOG_TYPE) - 1;

/// Default keys that the extended set leaves out.
const NOT_EXTENDED: u64 = mask(&[
    AUTHORITY,
    BYTES_SENT,
    DOWNSTREAM_LOCAL_ADDRESS,
    DOWNSTREAM_REMOTE_ADDRESS,
    PATH,
    REQUEST_ID,
    ROUTE_NAME,
    START_TIME,
    UPSTREAM_CLUSTER,
    UPSTREAM_HOST,
    UPSTREAM_LOCAL_ADDRESS,
    UPSTREAM_SERVICE_TIME,
    USER_AGENT,
    X_FORWARDED_FOR,
]);

/// Keys whose values are of a kind of requests: who calls whom, how, and what comes of it. Few
/// combinations of them make up most of the traffic.
pub(super) const OF_KIND: &[usize] = &[
    AUTHORITY,
    CONNECTION_TERMINATION_DETAILS,
    DOWNSTREAM_LOCAL_ADDRESS,
    METHOD,
    PROTOCOL,
    REQUESTED_SERVER_NAME,
    RESPONSE_CODE,
    RESPONSE_CODE_DETAILS,
    RESPONSE_FLAGS,
    ROUTE_NAME,
    UPSTREAM_CLUSTER,
    UPSTREAM_HOST,
    UPSTREAM_TRANSPORT_FAILURE_REASON,
    ACCESS_LOG_TYPE,
    DOWNSTREAM_LOCAL_URI_SAN,
    DOWNSTREAM_PEER_CERT_V_END,
    DOWNSTREAM_PEER_FINGERPRINT_256,
    DOWNSTREAM_PEER_SERIAL,
    DOWNSTREAM_PEER_SUBJECT,
    DOWNSTREAM_PEER_URI_SAN,
    DOWNSTREAM_TLS_CIPHER,
    DOWNSTREAM_TLS_VERSION,
    DOWNSTREAM_TRANSPORT_FAILURE_REASON,
    FILTER_CHAIN,
    GRPC_STATUS,
    KIND,
    LISTENER,
    NET_RBAC_META,
    NODE,
    RBAC_META,
    RESPONSE_FLAGS_LONG,
    UPSTREAM_PEER_URI_SAN,
    UPSTREAM_TLS_VERSION,
];

/// [`OF_KIND`] as bits.
pub(super) const OF_KIND_MASK: u64 = mask(OF_KIND);

/// How many of [`OF_KIND`] are among the default keys; they come first.
pub(super) const DEFAULT_OF_KIND: usize = (OF_KIND_MASK & DEFAULT_KEYS).count_ones() as usize;

/// Every key known here.
pub(super) const FULL_KEYS: u64 = (1 << NAMES.len()) - 1;

/// The 39 keys of the extended set alone.
pub(super) const EXTENDED_KEYS: u64 = FULL_KEYS & !NOT_EXTENDED;

const _: () = assert!(DEFAULT_KEYS.count_ones() == 24 && EXTENDED_KEYS.count_ones() == 39);

/// The key set a record has, from which it can be rebuilt. Keys unknown here do not matter, since
/// `attributes` holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The 24 default keys, all present.
    Default,
    /// The 39 extended keys, all present.
    Extended,
    /// Default and extended keys, all present.
    Full,
    /// Any other set: the record's text is kept.
    Sparse,
}

impl Shape {
    /// The shape of a record with these keys present.
    pub(super) const fn of(present: u64) -> Self {
        match present {
            DEFAULT_KEYS => Self::Default,
            EXTENDED_KEYS => Self::Extended,
            FULL_KEYS => Self::Full,
            _ => Self::Sparse,
        }
    }

    /// The text of column `record_shape`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Extended => "extended",
            Self::Full => "full",
            Self::Sparse => "sparse",
        }
    }
}
