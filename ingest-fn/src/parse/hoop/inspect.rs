//! Lines of hoopinspect, which reads the protocols inside of sessions: statements and verdicts.

use common::event::{Decision, DecisionSource, EventKind};

use super::{address, finish, put_principal, put_session};
use crate::parse::consul::values::{self, Object, put};
use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::Scanner;
use crate::parse::leftovers::Direct;
use crate::reject::Reject;

/// The kinds of line.
pub(super) const KINDS: &[&[u8]] =
    &[b"session_start", b"session_end", b"statement", b"violation", b"masked", b"error"];

/// Keys of a line.
pub(super) mod row {
    crate::parse::consul::values::keys! {
        ALLOWED = "allowed",
        CONNECTION = "connection",
        DURATION_NS = "duration_ns",
        ERROR = "error",
        HTTP = "http",
        KIND = "kind",
        MESSAGE = "message",
        OPERATION = "operation",
        PRINCIPAL = "principal",
        PROTOCOL = "protocol",
        RULE = "rule",
        SESSION_ID = "session_id",
        STATEMENT = "statement",
        TIMESTAMP = "timestamp",
    }
}

/// Keys of `http`: a guess, since no such line was seen.
mod http {
    crate::parse::consul::values::keys! {
        HOST = "host",
        METHOD = "method",
        PATH = "path",
        STATUS = "status",
    }
}

/// Values that columns may hold exactly.
pub(super) const DIRECT: &[Direct] = &[
    (row::CONNECTION, f::DST_SERVICE),
    (row::MESSAGE, f::DECISION_REASON),
    (row::PRINCIPAL, f::PRINCIPAL),
    (row::PROTOCOL, f::NETWORK_PROTOCOL),
    (row::RULE, f::POLICY_RULE),
    (row::SESSION_ID, f::SESSION_ID),
    (row::STATEMENT, f::STATEMENT),
];

/// Reads hoopinspect lines.
#[derive(Debug)]
pub(super) struct Inspect {
    row: Scanner,
    http: Scanner,
}

impl Inspect {
    pub(super) fn new() -> Self {
        Self { row: Scanner::new(row::NAMES), http: Scanner::new(http::NAMES) }
    }

    pub(super) fn fill(
        &mut self,
        text: &[u8],
        context: &Context<'_>,
        event: &mut Event,
    ) -> Result<(), Reject> {
        let row = Object::scan(&mut self.row, text, context.seen())?;
        let http = Object::nested(&mut self.http, row.object(row::HTTP), context.seen())?;
        let time_micros = row
            .time(row::TIMESTAMP)
            .ok_or_else(|| values::no_time("timestamp", super::HoopFormat::Inspect.as_str()))?;
        event.int64(f::EVENT_TIME, time_micros);
        event.text(f::EVENT_TIME_SOURCE, b"payload");
        let principal = row.text(row::PRINCIPAL);
        put_principal(event, principal.as_deref(), false);
        put(event, f::USER_EMAIL, address(principal.as_deref()));
        put(event, f::SESSION_ID, row.text(row::SESSION_ID).as_deref());
        put(event, f::DST_SERVICE, row.text(row::CONNECTION).as_deref());
        let protocol = row.text(row::PROTOCOL).map(values::lower);
        put(event, f::NETWORK_PROTOCOL, protocol.as_deref());
        put(event, f::STATEMENT, row.text(row::STATEMENT).as_deref());
        let duration_ns = row.whole(row::DURATION_NS).filter(|&nanos| nanos >= 0);
        if let Some(nanos) = duration_ns {
            event.int64(f::DURATION_US, nanos / 1000);
        }
        put_http(event, &http);
        match row.text(row::KIND).as_deref() {
            Some(b"session_start") => {
                put_session(event, 1);
                values::put_decision(event, Decision::Allow, Some(DecisionSource::None));
            }
            Some(b"session_end") => {
                put_session(event, 2);
                values::put_decision(event, Decision::Unknown, None);
            }
            Some(b"statement") => statement(event, &row, false),
            Some(b"violation") => statement(event, &row, true),
            Some(b"error") => {
                values::put_class(event, EventKind::Log, 0, 99);
                values::put_decision(event, Decision::Error, Some(DecisionSource::Proxy));
                put(event, f::DECISION_REASON, row.text(row::ERROR).as_deref());
            }
            _ => {
                values::put_class(event, EventKind::Log, 0, 99);
                values::put_decision(event, Decision::Unknown, None);
            }
        }
        finish(event, &row, &[http], DIRECT, context);
        Ok(())
    }
}

fn put_http(event: &mut Event, http: &Object<'_, '_>) {
    put(event, f::HTTP_METHOD, http.text(http::METHOD).map(values::upper).as_deref());
    put(event, f::HTTP_HOST, http.text(http::HOST).as_deref());
    if let Some(target) = http.text(http::PATH) {
        values::put_target(event, &target);
    }
    let status = http.whole(http::STATUS).and_then(|status| i32::try_from(status).ok());
    if let Some(status) = status.filter(|&status| status != 0) {
        event.int32(f::HTTP_STATUS, status);
    }
}

/// A statement, or what the program calls one that broke a rule.
fn statement(event: &mut Event, row: &Object<'_, '_>, is_violation: bool) {
    let operation = row.text(row::OPERATION).map(values::upper);
    values::put_class(event, EventKind::Statement, 6005, activity(operation.as_deref()));
    let decision = match row.boolean(row::ALLOWED) {
        Some(true) if is_violation => {
            values::put_ambiguous(event, b"a violation that says it was allowed");
            Decision::Deny
        }
        Some(true) => Decision::Allow,
        Some(false) => Decision::Deny,
        None => Decision::Unknown,
    };
    let rule = row.text(row::RULE);
    let source = match decision {
        Decision::Deny => Some(DecisionSource::Guardrail),
        _ if rule.is_some() => Some(DecisionSource::Guardrail),
        Decision::Allow => Some(DecisionSource::None),
        Decision::Error | Decision::Unknown => None,
    };
    values::put_decision(event, decision, source);
    put(event, f::DECISION_REASON, row.text(row::MESSAGE).as_deref());
    if let Some(rule) = rule {
        event.text(f::POLICY_RULE, &rule);
        event.text(f::POLICY_NAME, &rule);
        event.text(f::POLICY_KIND, b"guardrail");
    }
}

/// The OCSF activity of a statement.
fn activity(operation: Option<&[u8]>) -> i32 {
    match operation {
        None | Some(b"SELECT" | b"SHOW" | b"EXPLAIN" | b"DESCRIBE" | b"FIND" | b"GET") => 4,
        Some(b"UPDATE" | b"ALTER") => 2,
        Some(b"INSERT" | b"MERGE" | b"UPSERT" | b"COPY") => 5,
        Some(b"CREATE") => 6,
        Some(b"DELETE" | b"TRUNCATE" | b"DROP") => 7,
        Some(_) => 99,
    }
}
