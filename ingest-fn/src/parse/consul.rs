//! Consul Enterprise audit logs: one JSON object for each stage of an HTTP API call.
//!
//! Source of the format: HashiCorp's documentation "Audit Logging"; our rules are those of
//! `tests/data/consul/README.md`. The log has no request body, so a change says who and which
//! endpoint, never what. Envoy's access logs under Consul are read by [`super::envoy`].

mod change;
#[cfg(test)]
mod tests;
pub(in crate::parse) mod values;

use common::event::{Decision, DecisionSource, EventKind};
use memchr::memmem::Finder;

use super::event::{Context, Event, Events, Row};
use super::fields as f;
use super::json::{Scanner, Seen};
use super::leftovers::{self, Direct};
use crate::reject::{Reason, Reject};
use change::Resource;
use values::{Object, put};

/// Text of column `source_format`.
pub const SOURCE_FORMAT: &str = "consul_audit_v1";

/// Top-level keys that columns hold: none, since everything of interest lies in `payload`, which
/// `attributes` keeps as it stands.
pub const DIRECT: &[Direct] = &[];

/// The accessor of calls without a token.
const ANONYMOUS: &[u8] = b"00000000-0000-0000-0000-000000000002";

mod top {
    super::values::keys! {
        CREATED_AT = "created_at",
        EVENT_TYPE = "event_type",
        PAYLOAD = "payload",
    }
}

mod payload {
    super::values::keys! {
        AUTH = "auth",
        ID = "id",
        REQUEST = "request",
        RESPONSE = "response",
        STAGE = "stage",
        TIMESTAMP = "timestamp",
        TYPE = "type",
    }
}

mod auth {
    super::values::keys! {
        ACCESSOR_ID = "accessor_id",
        DESCRIPTION = "description",
    }
}

mod request {
    super::values::keys! {
        ENDPOINT = "endpoint",
        HOST = "host",
        OPERATION = "operation",
        REMOTE_ADDR = "remote_addr",
        USER_AGENT = "user_agent",
    }
}

mod response {
    super::values::keys! {
        ERROR = "error",
        STATUS = "status",
    }
}

/// Parses audit records, one at a time.
#[derive(Debug)]
pub struct ConsulParser {
    mark: Finder<'static>,
    top: Scanner,
    payload: Scanner,
    auth: Scanner,
    request: Scanner,
    response: Scanner,
    /// The payload of the record detected last is scanned.
    is_payload_scanned: bool,
}

impl Default for ConsulParser {
    fn default() -> Self {
        Self::new()
    }
}

impl ConsulParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self {
            mark: Finder::new("\"HTTPEvent\""),
            top: Scanner::new(top::NAMES),
            payload: Scanner::new(payload::NAMES),
            auth: Scanner::new(auth::NAMES),
            request: Scanner::new(request::NAMES),
            response: Scanner::new(response::NAMES),
            is_payload_scanned: false,
        }
    }

    /// Whether a record is an audit event: `event_type` is `audit`, `payload.type` `HTTPEvent`.
    /// Records without that word are not scanned.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        self.is_payload_scanned = false;
        if record.trim_ascii_start().first() != Some(&b'{') || self.mark.find(record).is_none() {
            return false;
        }
        let Ok(top) = Object::scan(&mut self.top, record, Seen::default()) else { return false };
        Object::nested(&mut self.payload, top.object(top::PAYLOAD), Seen::default())
            .is_ok_and(|payload| is_audit(&top, &payload))
    }

    /// The scanner of records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.top
    }

    /// As [`Self::detects`], of the record scanned last.
    pub(in crate::parse) fn detects_scanned(&mut self, record: &[u8], seen: Seen<'_>) -> bool {
        let top = Object { scanner: &self.top, text: record };
        self.is_payload_scanned = self.mark.find(record).is_some()
            && Object::nested(&mut self.payload, top.object(top::PAYLOAD), seen)
                .is_ok_and(|payload| is_audit(&top, &payload));
        self.is_payload_scanned
    }

    /// Appends the record's event.
    ///
    /// # Errors
    /// A reject, and no event, if the record is no JSON object, no audit event (unless the source
    /// is configured to have this format) or has no time.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.is_payload_scanned = false;
        if let Err(reject) = self.top.scan(record, context.seen()) {
            return Err(if context.forced { guess(reject) } else { reject });
        }
        self.parse_scanned(record, context, events)
    }

    /// As [`Self::parse`], of a record that was just scanned.
    ///
    /// # Errors
    /// The same, broken JSON aside.
    pub(in crate::parse) fn parse_scanned(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let seen = context.seen();
        let top = Object { scanner: &self.top, text: record };
        let payload = top.object(top::PAYLOAD);
        let payload = if std::mem::take(&mut self.is_payload_scanned) {
            Object { scanner: &self.payload, text: payload.unwrap_or(b"{}") }
        } else {
            Object::nested(&mut self.payload, payload, seen).map_err(guess)?
        };
        if !context.forced && !is_audit(&top, &payload) {
            let detail = "expected event_type audit and payload.type HTTPEvent, found others";
            return Err(Reject::new(Reason::UnknownFormat, detail));
        }
        let inside = |scanner, key| Object::nested(scanner, payload.object(key), seen);
        let call = Call {
            top,
            payload,
            auth: inside(&mut self.auth, payload::AUTH).map_err(guess)?,
            request: inside(&mut self.request, payload::REQUEST).map_err(guess)?,
            response: inside(&mut self.response, payload::RESPONSE).map_err(guess)?,
        };
        let time_micros = payload
            .time(payload::TIMESTAMP)
            .or_else(|| top.time(top::CREATED_AT))
            .ok_or_else(|| values::no_time("payload.timestamp or created_at", SOURCE_FORMAT))?;
        let event = events.begin();
        event.int64(f::EVENT_TIME, time_micros);
        call.fill(event);
        for (column, value) in &context.envelope.columns {
            event.text(*column, value.as_bytes());
        }
        leftovers::finish(event, top.scanner, record, DIRECT, context);
        Ok(())
    }
}

fn guess(reject: Reject) -> Reject {
    Reject { format_guess: Some(SOURCE_FORMAT), ..reject }
}

fn is_audit(top: &Object<'_, '_>, payload: &Object<'_, '_>) -> bool {
    top.text(top::EVENT_TYPE).as_deref() == Some(b"audit")
        && payload.text(payload::TYPE).as_deref() == Some(b"HTTPEvent")
}

/// One record: the call it tells of, at one stage.
#[derive(Clone, Copy)]
struct Call<'s, 'a> {
    top: Object<'s, 'a>,
    payload: Object<'s, 'a>,
    auth: Object<'s, 'a>,
    request: Object<'s, 'a>,
    response: Object<'s, 'a>,
}

impl Call<'_, '_> {
    fn fill(&self, event: &mut Event) {
        event.text(f::EVENT_TIME_SOURCE, b"payload");
        event.text(f::MESH, b"consul");
        event.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
        event.text(f::REPORTER, b"control_plane");
        event.bool(f::TLS_FAILURE, false);
        put(event, f::REQUEST_ID, self.payload.text(payload::ID).as_deref());
        self.who(event);
        self.what(event);
        let all = [self.top, self.payload, self.auth, self.request, self.response];
        if all.iter().any(Object::repeated) {
            values::put_ambiguous(event, values::REPEATED);
        }
    }

    /// The token, by its accessor: never its secret.
    fn who(&self, event: &mut Event) {
        let accessor = self.auth.text(auth::ACCESSOR_ID);
        match accessor.as_deref().filter(|accessor| *accessor != ANONYMOUS) {
            Some(accessor) => {
                event.text(f::PRINCIPAL, accessor);
                event.text(f::PRINCIPAL_TYPE, b"token");
                event.text(f::PRINCIPAL_SOURCE, b"acl_token");
                event.text(f::CREDENTIAL_ID, accessor);
            }
            None => event.text(f::PRINCIPAL_TYPE, b"anonymous"),
        }
        put(event, f::USER_NAME, self.auth.text(auth::DESCRIPTION).as_deref());
        let remote = self.request.text(request::REMOTE_ADDR);
        let peer = remote.as_deref().and_then(values::peer);
        if let Some(peer) = peer.filter(|peer| peer.port.is_some()) {
            peer.put_caller(event);
        }
        put(event, f::USER_AGENT, self.request.text(request::USER_AGENT).as_deref());
    }

    /// Request, answer and, of a change, what is changed.
    fn what(&self, event: &mut Event) {
        let method = self.request.text(request::OPERATION).map(values::upper);
        let method = method.as_deref();
        let endpoint = self.request.text(request::ENDPOINT);
        put(event, f::HTTP_METHOD, method);
        put(event, f::HTTP_HOST, self.request.text(request::HOST).as_deref());
        let mut resource = None;
        if let Some(endpoint) = endpoint.as_deref() {
            values::put_target(event, endpoint);
            let (path, query) = values::split_target(endpoint);
            resource = change::resource(method.unwrap_or_default(), path, query);
        }
        if let Some(resource) = &resource {
            put_resource(event, resource);
        }
        let status = self.response.whole(response::STATUS);
        let status = status.and_then(|status| i32::try_from(status).ok()).filter(|&s| s != 0);
        if let Some(status) = status {
            event.int32(f::HTTP_STATUS, status);
        }
        put(event, f::DECISION_REASON, self.response.text(response::ERROR).as_deref());
        // Both stages are kept, and only the second is counted.
        if self.payload.text(payload::STAGE).as_deref() != Some(b"OperationComplete") {
            values::put_class(event, EventKind::Log, 0, 99);
            return values::put_decision(event, Decision::Unknown, None);
        }
        match &resource {
            Some(resource) => put_change(event, resource, method.unwrap_or_default(), status),
            None => values::put_class(event, EventKind::ApiCall, 6003, activity(method)),
        }
        let (decision, source) = decide(status);
        values::put_decision(event, decision, source);
    }
}

fn put_resource(event: &mut Event, resource: &Resource<'_>) {
    event.text(f::RESOURCE_TYPE, &resource.kind);
    put(event, f::RESOURCE_NAMESPACE, resource.namespace.as_deref());
    put(event, f::RESOURCE_NAME, resource.name.as_deref());
    put(event, f::RESOURCE_UID, resource.uid);
}

fn put_change(event: &mut Event, resource: &Resource<'_>, method: &[u8], status: Option<i32>) {
    let operation = resource.operation(method);
    let activity = match operation {
        "create" => 1,
        "update" => 3,
        _ => 4,
    };
    values::put_class(event, EventKind::PolicyChange, 6003, activity);
    event.text(f::CHANGE_OP, operation.as_bytes());
    event.text(f::CHANGE_CONTENT, b"none");
    if let Some(status) = status {
        event.bool(f::CHANGE_APPLIED, (200..300).contains(&status));
    }
    // They switch the proxies' access logs.
    if *resource.kind == *b"proxy-defaults" {
        event.int32(f::SEVERITY_ID, 4);
    }
}

/// The OCSF activity of a call that changes no policy.
fn activity(method: Option<&[u8]>) -> i32 {
    match method {
        Some(b"POST") => 1,
        Some(b"GET" | b"HEAD" | b"OPTIONS") => 2,
        Some(b"PUT" | b"PATCH") => 3,
        Some(b"DELETE") => 4,
        _ => 99,
    }
}

fn decide(status: Option<i32>) -> (Decision, Option<DecisionSource>) {
    match status {
        Some(200..400) => (Decision::Allow, Some(DecisionSource::None)),
        Some(403) => (Decision::Deny, Some(DecisionSource::Acl)),
        Some(400..600) => (Decision::Error, Some(DecisionSource::App)),
        _ => (Decision::Unknown, None),
    }
}
