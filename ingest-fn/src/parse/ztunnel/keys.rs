//! The keys of ztunnel's lines.

use super::values::keys;

keys! { NAMES:
    SRC_ADDR = "src.addr",
    SRC_WORKLOAD = "src.workload",
    SRC_NAMESPACE = "src.namespace",
    SRC_IDENTITY = "src.identity",
    SRC_CLUSTER = "src.cluster",
    DST_ADDR = "dst.addr",
    DST_HBONE_ADDR = "dst.hbone_addr",
    DST_SERVICE = "dst.service",
    DST_WORKLOAD = "dst.workload",
    DST_NAMESPACE = "dst.namespace",
    DST_IDENTITY = "dst.identity",
    DST_CLUSTER = "dst.cluster",
    DIRECTION = "direction",
    BYTES_SENT = "bytes_sent",
    BYTES_RECV = "bytes_recv",
    DURATION = "duration",
    ERROR = "error",
    POLICY = "policy",
    LEVEL = "level",
    TIME = "time",
    SCOPE = "scope",
    MESSAGE = "message",
    INBOUND = "inbound",
    OUTBOUND = "outbound",
    PROXY = "proxy",
}

/// The keys before this one are fields; in the plain form they stand behind the message.
pub(super) const FIELDS: usize = LEVEL;

/// Keys of a span.
pub(super) mod span {
    use crate::parse::ztunnel::values::keys;

    keys! { NAMES:
        ID = "id",
        PEER = "peer",
        WL = "wl",
    }
}
