//! Top-level keys of envelopes, by which a JSON record's is told.

/// The keys, by the indexes below.
pub(crate) const NAMES: &[&str] = &[
    "log",
    "message",
    "stream",
    "time",
    "timestamp",
    "@timestamp",
    "date",
    "logtag",
    "_p",
    "_partial",
    "kubernetes",
    "attrs",
    "source_type",
    "messageType",
    "owner",
    "logGroup",
    "logEvents",
    "awslogs",
    "requestId",
    "records",
    "resourceLogs",
];

const _: () = assert!(NAMES.len() <= crate::parse::json::KEYS_MAX);

const fn key(name: &str) -> usize {
    let mut index = 0;
    while index < NAMES.len() {
        if same(NAMES[index].as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    // Out of range, so that the assertion at its constant fails.
    NAMES.len()
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

macro_rules! indexes {
    ($($constant:ident = $name:literal,)+) => {
        $(
            pub(crate) const $constant: usize = key($name);
            const _: () = assert!($constant < NAMES.len(), "no such key");
        )+
    };
}

indexes! {
    LOG = "log",
    MESSAGE = "message",
    STREAM = "stream",
    TIME = "time",
    TIMESTAMP = "timestamp",
    AT_TIMESTAMP = "@timestamp",
    DATE = "date",
    LOGTAG = "logtag",
    P = "_p",
    PARTIAL = "_partial",
    KUBERNETES = "kubernetes",
    ATTRS = "attrs",
    SOURCE_TYPE = "source_type",
    MESSAGE_TYPE = "messageType",
    OWNER = "owner",
    LOG_GROUP = "logGroup",
    LOG_EVENTS = "logEvents",
    AWSLOGS = "awslogs",
    REQUEST_ID = "requestId",
    RECORDS = "records",
    RESOURCE_LOGS = "resourceLogs",
}
