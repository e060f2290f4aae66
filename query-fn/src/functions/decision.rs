//! What was decided, and how bad it is, in words and in the numbers of others.

use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};
use datafusion::scalar::ScalarValue;

use super::scalar::{Body, Definition, Kind, Takes};

const SEVERITY: Takes = Takes::Exactly(&[("severity_id", Kind::Integer)]);

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "is_denied",
        takes: Takes::Exactly(&[("decision", Kind::Text)]),
        body: Body::Boolean(|row| Some(row.text(0)? == DENY)),
        says: "Whether it was denied: decision = 'deny'",
        rewrite: Some(|args| match args {
            [decision] => Some(decision.clone().eq(deny())),
            _ => None,
        }),
    },
    Definition {
        name: "would_be_denied",
        takes: Takes::Exactly(&[("decision", Kind::Text), ("shadow_decision", Kind::Text)]),
        body: Body::Boolean(|row| {
            let by_shadow = row.text(1) == Some(DENY);
            // As SQL has it: false, whatever the other side, if one side is false.
            match row.text(0) {
                Some(decision) => Some(decision != DENY && by_shadow),
                None => (!by_shadow).then_some(false),
            }
        }),
        says: "Whether a rule in dry run would deny what was not denied; without such a rule, false",
        rewrite: Some(|args| match args {
            [decision, shadow] => {
                let is = Operator::IsNotDistinctFrom;
                let by_shadow = binary_expr(shadow.clone(), is, deny());
                Some(decision.clone().not_eq(deny()).and(by_shadow))
            }
            _ => None,
        }),
    },
    Definition {
        name: "http_status_class",
        takes: Takes::Exactly(&[("http_status", Kind::Integer)]),
        body: Body::Text(|row| Some(http_status_class(row.integer(0)?)?.into())),
        says: "Class of an HTTP status: 1xx, 2xx, 3xx, 4xx or 5xx",
        rewrite: None,
    },
    Definition {
        name: "grpc_status_name",
        takes: Takes::Exactly(&[("grpc_status", Kind::Integer)]),
        body: Body::Text(|row| {
            let status = usize::try_from(row.integer(0)?).ok()?;
            Some((*GRPC_STATUS_NAMES.get(status)?).into())
        }),
        says: "Name of a gRPC status, as gRPC has it",
        rewrite: None,
    },
    Definition {
        name: "severity_name",
        takes: SEVERITY,
        body: Body::Text(|row| Some(severity(row.integer(0)?)?.0.into())),
        says: "Caption of an OCSF severity",
        rewrite: None,
    },
    Definition {
        name: "otel_severity_number",
        takes: SEVERITY,
        body: Body::Integer(|row| Some(severity(row.integer(0)?)?.1)),
        says: "OpenTelemetry SeverityNumber for an OCSF severity",
        rewrite: None,
    },
];

/// Value of `decision` and `shadow_decision`.
const DENY: &str = "deny";

fn deny() -> Expr {
    lit(ScalarValue::Utf8View(Some(DENY.to_owned())))
}

fn http_status_class(status: i64) -> Option<&'static str> {
    match status {
        100..=199 => Some("1xx"),
        200..=299 => Some("2xx"),
        300..=399 => Some("3xx"),
        400..=499 => Some("4xx"),
        500..=599 => Some("5xx"),
        _ => None,
    }
}

/// OCSF's caption, and OpenTelemetry's number. Ingest reads OpenTelemetry's INFO as 1, WARN as 2,
/// ERROR as 3 and FATAL as 4; these are the first numbers of those ranges, so that a record's
/// severity comes back, and those above FATAL for what OCSF has above that.
fn severity(id: i64) -> Option<(&'static str, i64)> {
    match id {
        0 => Some(("Unknown", 0)),
        1 => Some(("Informational", 9)),
        2 => Some(("Low", 13)),
        3 => Some(("Medium", 17)),
        4 => Some(("High", 21)),
        5 => Some(("Critical", 22)),
        6 => Some(("Fatal", 23)),
        99 => Some(("Other", 0)),
        _ => None,
    }
}

const GRPC_STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
