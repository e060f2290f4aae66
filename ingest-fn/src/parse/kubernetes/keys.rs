//! The keys of audit events and of what managed clusters put around them.

/// Top-level keys: of an event, of an event list, of a CloudWatch Logs payload, of Azure's and of
/// Google's log entries.
pub(super) mod top {
    crate::parse::json::keys! {
        KIND = "kind",
        API_VERSION = "apiVersion",
        LEVEL = "level",
        AUDIT_ID = "auditID",
        STAGE = "stage",
        REQUEST_URI = "requestURI",
        VERB = "verb",
        USER = "user",
        IMPERSONATED_USER = "impersonatedUser",
        AUTHENTICATION_METADATA = "authenticationMetadata",
        SOURCE_IPS = "sourceIPs",
        USER_AGENT = "userAgent",
        OBJECT_REF = "objectRef",
        RESPONSE_STATUS = "responseStatus",
        REQUEST_OBJECT = "requestObject",
        RESPONSE_OBJECT = "responseObject",
        REQUEST_RECEIVED = "requestReceivedTimestamp",
        STAGE_TIMESTAMP = "stageTimestamp",
        ANNOTATIONS = "annotations",
        TIMESTAMP = "timestamp",
        METADATA = "metadata",
        ITEMS = "items",
        MESSAGE_TYPE = "messageType",
        OWNER = "owner",
        LOG_GROUP = "logGroup",
        LOG_STREAM = "logStream",
        SUBSCRIPTION_FILTERS = "subscriptionFilters",
        LOG_EVENTS = "logEvents",
        OPERATION_NAME = "operationName",
        CATEGORY = "category",
        PROPERTIES = "properties",
        TIME = "time",
        RESOURCE_ID = "resourceId",
        PROTO_PAYLOAD = "protoPayload",
        INSERT_ID = "insertId",
        LABELS = "labels",
        LOG_NAME = "logName",
        OPERATION = "operation",
        RECEIVE_TIMESTAMP = "receiveTimestamp",
        RESOURCE = "resource",
    }
}

/// Keys of `user` and `impersonatedUser`.
pub(super) mod user {
    crate::parse::json::keys! {
        USERNAME = "username",
        UID = "uid",
        GROUPS = "groups",
        EXTRA = "extra",
    }
}

/// Keys of `objectRef`.
pub(super) mod object_ref {
    crate::parse::json::keys! {
        RESOURCE = "resource",
        NAMESPACE = "namespace",
        NAME = "name",
        UID = "uid",
        API_GROUP = "apiGroup",
        API_VERSION = "apiVersion",
        RESOURCE_VERSION = "resourceVersion",
        SUBRESOURCE = "subresource",
    }
}

/// Keys of `responseStatus`, and of the status in Google's entries.
pub(super) mod status {
    crate::parse::json::keys! {
        METADATA = "metadata",
        STATUS = "status",
        MESSAGE = "message",
        REASON = "reason",
        DETAILS = "details",
        CODE = "code",
    }
}

/// Annotations that are read; Google writes them as labels of the entry.
pub(super) mod notes {
    crate::parse::json::keys! {
        DECISION = "authorization.k8s.io/decision",
        REASON = "authorization.k8s.io/reason",
        TRUNCATED = "audit.k8s.io/truncated",
        POD_SECURITY = "pod-security.kubernetes.io/audit-violations",
        VALIDATION_FAILURE = "validation.policy.admission.k8s.io/validation_failure",
    }
}

/// Keys of one entry of `logEvents`.
pub(super) mod log_event {
    crate::parse::json::keys! {
        ID = "id",
        TIMESTAMP = "timestamp",
        MESSAGE = "message",
    }
}

/// Keys of `properties` in Azure's entries.
pub(super) mod properties {
    crate::parse::json::keys! {
        LOG = "log",
        POD = "pod",
        STREAM = "stream",
    }
}

/// Keys of `protoPayload` in Google's entries.
pub(super) mod payload {
    crate::parse::json::keys! {
        TYPE = "@type",
        AUTHENTICATION_INFO = "authenticationInfo",
        METHOD_NAME = "methodName",
        REQUEST_METADATA = "requestMetadata",
        RESOURCE_NAME = "resourceName",
        SERVICE_NAME = "serviceName",
        STATUS = "status",
        REQUEST = "request",
        RESPONSE = "response",
    }
}
