//! The keys of Linkerd's JSON lines, and of the fields of its plain ones.

use crate::parse::ztunnel::values::keys;

keys! { NAMES:
    CLIENT_ADDR = "client.addr",
    CLIENT_ID = "client.id",
    HOST = "host",
    METHOD = "method",
    PROCESSING_NS = "processing_ns",
    REQUEST_BYTES = "request_bytes",
    RESPONSE_BYTES = "response_bytes",
    STATUS = "status",
    TIMESTAMP = "timestamp",
    TOTAL_NS = "total_ns",
    TRACE_ID = "trace_id",
    URI = "uri",
    USER_AGENT = "user_agent",
    VERSION = "version",
    LEVEL = "level",
    FIELDS = "fields",
    TARGET = "target",
    SPANS = "spans",
    THREAD_ID = "threadId",
}

/// Fields of the proxy log.
pub(super) mod field {
    use crate::parse::ztunnel::values::keys;

    keys! { NAMES:
        SERVER_GROUP = "server.group",
        SERVER_KIND = "server.kind",
        SERVER_NAME = "server.name",
        SERVER_ADDR = "server.addr",
        ROUTE_GROUP = "route.group",
        ROUTE_KIND = "route.kind",
        ROUTE_NAME = "route.name",
        AUTHZ_GROUP = "authz.group",
        AUTHZ_KIND = "authz.kind",
        AUTHZ_NAME = "authz.name",
        CLIENT_TLS = "client.tls",
        CLIENT_IP = "client.ip",
        CLIENT_ADDR = "client.addr",
        SERVER = "server",
        TLS = "tls",
        CLIENT = "client",
        ERROR = "error",
        ERROR_SOURCES = "error.sources",
        REASON = "reason",
        REASON_SOURCES = "reason.sources",
        PATH = "path",
        ADDR = "addr",
        PERMIT = "permit",
        TIMEOUT = "timeout",
        ID = "id",
        GRPC_STATUS = "grpc.status",
        GRPC_MESSAGE = "grpc.message",
        MESSAGE = "message",
    }

    /// The keys before this one stand behind the message in the plain form.
    pub(in crate::parse::linkerd) const COUNT: usize = MESSAGE;
}

/// Keys of a span.
pub(super) mod span {
    use crate::parse::ztunnel::values::keys;

    keys! { NAMES:
        NAME = "name",
        CLIENT_ADDR = "client.addr",
        SERVER_ADDR = "server.addr",
        ADDR = "addr",
        PORT = "port",
    }
}
