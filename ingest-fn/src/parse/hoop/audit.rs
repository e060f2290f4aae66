//! Rows of the security audit log: who changed what in hoop.dev itself.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource, EventKind};

use super::{canonical, finish, put_principal};
use crate::parse::consul::values::{self, Object, put};
use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::Scanner;
use crate::parse::leftovers::Direct;
use crate::reject::Reject;

/// Keys of a row.
pub(super) mod row {
    crate::parse::consul::values::keys! {
        ACTION = "action",
        ACTOR_EMAIL = "actor_email",
        ACTOR_NAME = "actor_name",
        ACTOR_SUBJECT = "actor_subject",
        CLIENT_IP = "client_ip",
        CREATED_AT = "created_at",
        ERROR_MESSAGE = "error_message",
        HTTP_METHOD = "http_method",
        HTTP_PATH = "http_path",
        HTTP_STATUS = "http_status",
        ID = "id",
        OUTCOME = "outcome",
        PAYLOAD = "request_payload_redacted",
        RESOURCE_ID = "resource_id",
        RESOURCE_NAME = "resource_name",
        RESOURCE_TYPE = "resource_type",
    }
}

mod payload {
    crate::parse::consul::values::keys! {
        NAME = "name",
    }
}

/// Values that columns may hold exactly.
pub(super) const DIRECT: &[Direct] = &[
    (row::ACTION, f::CHANGE_OP),
    (row::ACTOR_EMAIL, f::USER_EMAIL),
    (row::ACTOR_NAME, f::USER_NAME),
    (row::ACTOR_SUBJECT, f::USER_UID),
    (row::CLIENT_IP, f::SRC_IP),
    (row::ERROR_MESSAGE, f::DECISION_REASON),
    (row::HTTP_METHOD, f::HTTP_METHOD),
    (row::HTTP_STATUS, f::HTTP_STATUS),
    (row::ID, f::REQUEST_ID),
    (row::OUTCOME, f::CHANGE_APPLIED),
    (row::RESOURCE_TYPE, f::RESOURCE_TYPE),
];

/// Reads audit rows.
#[derive(Debug)]
pub(super) struct Audit {
    row: Scanner,
    payload: Scanner,
}

impl Audit {
    pub(super) fn new() -> Self {
        Self { row: Scanner::new(row::NAMES), payload: Scanner::new(payload::NAMES) }
    }

    pub(super) fn fill(
        &mut self,
        text: &[u8],
        context: &Context<'_>,
        event: &mut Event,
    ) -> Result<(), Reject> {
        let row = Object::scan(&mut self.row, text, context.seen())?;
        let content = row.object(row::PAYLOAD);
        let payload = Object::nested(&mut self.payload, content, context.seen())?;
        let time_micros = row
            .time(row::CREATED_AT)
            .ok_or_else(|| values::no_time("created_at", super::HoopFormat::Audit.as_str()))?;
        event.int64(f::EVENT_TIME, time_micros);
        event.text(f::EVENT_TIME_SOURCE, b"payload");
        put(event, f::REQUEST_ID, row.text(row::ID).as_deref());
        who(event, &row);
        resource(event, &row, &payload);
        change(event, &row, content);
        decision(event, &row);
        finish(event, &row, &[], DIRECT, context);
        Ok(())
    }
}

fn who(event: &mut Event, row: &Object<'_, '_>) {
    let email = row.text(row::ACTOR_EMAIL);
    let subject = row.text(row::ACTOR_SUBJECT);
    put_principal(event, email.as_deref().or(subject.as_deref()), false);
    put(event, f::USER_EMAIL, email.as_deref());
    put(event, f::USER_NAME, row.text(row::ACTOR_NAME).as_deref());
    put(event, f::USER_UID, subject.as_deref());
    if let Some(peer) = row.text(row::CLIENT_IP).as_deref().and_then(values::peer) {
        peer.put_caller(event);
    }
}

/// What was changed: by its own fields where a version sends them, else as path and payload say.
fn resource(event: &mut Event, row: &Object<'_, '_>, payload: &Object<'_, '_>) {
    put(event, f::HTTP_METHOD, row.text(row::HTTP_METHOD).map(values::upper).as_deref());
    put(event, f::RESOURCE_TYPE, row.text(row::RESOURCE_TYPE).as_deref());
    let target = row.text(row::HTTP_PATH).unwrap_or(Cow::Borrowed(b""));
    let (path, _) = values::split_target(&target);
    if !target.is_empty() {
        values::put_target(event, &target);
    }
    put(event, f::RESOURCE_UID, row.text(row::RESOURCE_ID).as_deref());
    let ids = path.rsplit(|&b| b == b'/').find(|segment| values::is_uuid(segment));
    put(event, f::RESOURCE_UID, ids);
    put(event, f::RESOURCE_NAME, row.text(row::RESOURCE_NAME).as_deref());
    put(event, f::RESOURCE_NAME, payload.text(payload::NAME).as_deref());
    put(event, f::RESOURCE_NAME, named_by(path));
}

/// The segment after `/api/<collection>/`, if it is no id.
fn named_by(path: &[u8]) -> Option<&[u8]> {
    let mut segments = path.strip_prefix(b"/api/")?.split(|&b| b == b'/');
    segments.next()?;
    segments.next().filter(|name| !values::is_absent(name) && !values::is_uuid(name))
}

fn change(event: &mut Event, row: &Object<'_, '_>, content: Option<&[u8]>) {
    let action = row.text(row::ACTION);
    let operation = match action.as_deref() {
        Some(b"revoke") => Some(&b"delete"[..]),
        other => other,
    };
    let activity = match operation {
        Some(b"create") => 1,
        Some(b"update") => 3,
        Some(b"delete") => 4,
        _ => 99,
    };
    values::put_class(event, EventKind::PolicyChange, 6003, activity);
    put(event, f::CHANGE_OP, operation);
    match content.filter(|_| operation != Some(b"delete")) {
        Some(content) => {
            event.text(f::CHANGE_AFTER, &canonical::canonical(content));
            event.text(f::CHANGE_CONTENT, b"redacted");
        }
        None => event.text(f::CHANGE_CONTENT, b"none"),
    }
    if let Some(outcome) = row.boolean(row::OUTCOME) {
        event.bool(f::CHANGE_APPLIED, outcome);
    }
}

fn decision(event: &mut Event, row: &Object<'_, '_>) {
    let status = row.whole(row::HTTP_STATUS).and_then(|status| i32::try_from(status).ok());
    let status = status.filter(|&status| status != 0);
    if let Some(status) = status {
        event.int32(f::HTTP_STATUS, status);
    }
    let (decision, source) = match (row.boolean(row::OUTCOME), status) {
        (Some(true), _) => (Decision::Allow, Some(DecisionSource::None)),
        (Some(false), Some(401 | 403)) => (Decision::Deny, Some(DecisionSource::App)),
        (Some(false), _) => (Decision::Error, Some(DecisionSource::App)),
        (None, _) => (Decision::Unknown, None),
    };
    values::put_decision(event, decision, source);
    put(event, f::DECISION_REASON, row.text(row::ERROR_MESSAGE).as_deref());
}
