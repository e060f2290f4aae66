//! One call of the Kubernetes API, whatever form it was logged in, and its way into a row.

use std::borrow::Cow;
use std::net::IpAddr;

use common::event::{Decision, EventKind};

use super::canon::Canon;
use super::verdict::{self, Verdict};
use super::{change, policy, walk, who};
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::ztunnel::values::is_ipv4;

/// A text of the record, or of what was decoded from it.
pub(super) type Text<'a> = Option<Cow<'a, [u8]>>;

/// OCSF class "API Activity".
const API_ACTIVITY: i32 = 6003;
/// OCSF activity "Other".
const OTHER: i32 = 99;

/// How far the call was when the event was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Received, being answered, or a stage not known here: another event will tell the end.
    #[default]
    Before,
    /// Answered.
    Complete,
    /// The apiserver panicked.
    Panic,
}

impl Stage {
    /// Reads the text of field `stage`.
    pub(super) fn of(text: Option<&[u8]>) -> Self {
        match text {
            Some(b"ResponseComplete") => Self::Complete,
            Some(b"Panic") => Self::Panic,
            _ => Self::Before,
        }
    }
}

/// What a call is about.
#[derive(Debug, Default)]
pub(super) struct Resource<'a> {
    /// API group; the core group has none.
    pub(super) group: Text<'a>,
    pub(super) version: Text<'a>,
    /// The plural, as `pods`.
    pub(super) resource: Text<'a>,
    pub(super) subresource: Text<'a>,
    pub(super) namespace: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) uid: Text<'a>,
    pub(super) resource_version: Text<'a>,
}

impl Resource<'_> {
    /// Whether this is `resource` of `group`; the core group is the empty text.
    pub(super) fn is(&self, group: &str, resource: &str) -> bool {
        self.group.as_deref().unwrap_or_default() == group.as_bytes()
            && self.resource.as_deref() == Some(resource.as_bytes())
    }
}

/// What the apiserver answered.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    /// HTTP status, or what stands for it.
    pub(super) code: Option<i64>,
    /// The code is an HTTP status that was logged.
    pub(super) is_http: bool,
    pub(super) message: Text<'a>,
    pub(super) reason: Text<'a>,
}

/// Annotations of an event.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    /// `allow` or `forbid`, by the authorizer.
    pub(super) decision: Text<'a>,
    pub(super) reason: Text<'a>,
    /// Objects were left out for their size.
    pub(super) truncated: bool,
    /// What pod security would have denied.
    pub(super) pod_security: Text<'a>,
    /// What admission policies would have denied: JSON.
    pub(super) validation_failure: Text<'a>,
}

/// One call.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) stage: Stage,
    pub(super) verb: Text<'a>,
    pub(super) uri: Text<'a>,
    pub(super) user: who::User<'a>,
    pub(super) source_ip: Text<'a>,
    pub(super) user_agent: Text<'a>,
    pub(super) request_id: Text<'a>,
    pub(super) duration_us: Option<i64>,
    pub(super) answer: Answer<'a>,
    pub(super) notes: Notes<'a>,
    pub(super) resource: Resource<'a>,
    /// JSON text of the request's object, options or patch.
    pub(super) request: Option<Object<'a>>,
    /// JSON text of the answer's object, unless it is a `Status`.
    pub(super) response: Option<Object<'a>>,
}

/// An object of the API in a record, as far as every call needs it.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    /// Its JSON text: an object, or of a JSON patch a list.
    pub(super) text: &'a [u8],
    pub(super) kind: Text<'a>,
    /// JSON text of `metadata`.
    metadata: &'a [u8],
    /// It is options that ask for a dry run.
    pub(super) dry_run: bool,
}

impl<'a> Object<'a> {
    /// Reads what every call needs of an object's JSON text.
    pub(super) fn of(text: &'a [u8]) -> Self {
        let mut object = Self { text, ..Self::default() };
        for (key, value) in walk::members(text) {
            match walk::string(key).as_deref() {
                Some(b"kind") => object.kind = walk::text(value),
                Some(b"metadata") => object.metadata = value,
                Some(b"dryRun") => object.dry_run = walk::elements(value).next().is_some(),
                _ => {}
            }
        }
        object
    }

    /// Whether it only says how the call ended.
    pub(super) fn is_status(&self) -> bool {
        self.kind.as_deref() == Some(b"Status")
    }
}

impl<'a> Resource<'a> {
    /// The same, with texts of its own.
    pub(super) fn into_owned(self) -> Resource<'static> {
        let own = |text: Text<'a>| -> Text<'static> { text.map(|text| text.into_owned().into()) };
        Resource {
            group: own(self.group),
            version: own(self.version),
            resource: own(self.resource),
            subresource: own(self.subresource),
            namespace: own(self.namespace),
            name: own(self.name),
            uid: own(self.uid),
            resource_version: own(self.resource_version),
        }
    }

    /// Fills what the reference leaves open from the objects: a generated name, the uid, the
    /// version after the call.
    pub(super) fn complete(&mut self, request: Option<&Object<'a>>, response: Option<&Object<'a>>) {
        let (mut name, mut uid, mut version) = (None, None, None);
        for (key, value) in walk::members(response.map_or(&b""[..], |object| object.metadata)) {
            match walk::string(key).as_deref() {
                Some(b"name") => name = walk::text(value),
                Some(b"uid") => uid = walk::text(value),
                Some(b"resourceVersion") => version = walk::text(value),
                _ => {}
            }
        }
        if version.is_some() {
            self.resource_version = version;
        }
        self.uid = self.uid.take().or(uid);
        self.name = self.name.take().or(name);
        if self.name.is_none() {
            let metadata = request.map_or(&b""[..], |object| object.metadata);
            self.name = walk::member(metadata, "name").and_then(walk::text);
        }
    }
}

/// Writes every column of a call but time, envelope and bookkeeping.
pub(super) fn fill(event: &mut Event, call: &Call<'_>, source_format: &str, canon: &mut Canon) {
    fixed(event, source_format);
    who::fill(event, &call.user);
    request(event, call);
    resource(event, &call.resource);
    if call.stage == Stage::Before {
        kind(event, EventKind::Log, 0, OTHER);
        event.int32(f::SEVERITY_ID, 1);
        event.text(f::DECISION, Decision::Unknown.as_str().as_bytes());
        return;
    }
    let verdict = verdict::decide(call);
    let change = change::of(call);
    let event_kind = match &change {
        Some(change) if !change.dry_run => EventKind::PolicyChange,
        _ => EventKind::ApiCall,
    };
    kind(event, event_kind, API_ACTIVITY, activity(call.verb.as_deref().unwrap_or_default()));
    let silences =
        event_kind == EventKind::PolicyChange && policy::switches_logging(&call.resource);
    event.int32(f::SEVERITY_ID, if silences { 4 } else { severity(&verdict) });
    verdict::fill(event, &verdict);
    if verdict.decision == Decision::Allow {
        verdict::shadow(event, &call.notes);
    }
    if let Some(duration) = call.duration_us {
        event.int64(f::DURATION_US, duration);
    }
    if let Some(change) = change {
        change::fill(event, call, &change, canon);
    }
}

/// Columns that are the same for every event of this source.
pub(super) fn fixed(event: &mut Event, source_format: &str) {
    event.text(f::MESH, b"kubernetes");
    event.text(f::SOURCE_FORMAT, source_format.as_bytes());
    event.text(f::REPORTER, b"control_plane");
    event.bool(f::TLS_FAILURE, false);
}

/// Writes the event's kind and OCSF class and activity.
pub(super) fn kind(event: &mut Event, kind: EventKind, class: i32, activity: i32) {
    event.text(f::EVENT_KIND, kind.as_str().as_bytes());
    event.int32(f::OCSF_CLASS_UID, class);
    event.int32(f::OCSF_ACTIVITY_ID, activity);
}

fn activity(verb: &[u8]) -> i32 {
    match verb {
        b"create" | b"post" => 1,
        b"get" | b"list" | b"watch" | b"head" | b"options" => 2,
        b"update" | b"patch" | b"put" => 3,
        b"delete" | b"deletecollection" => 4,
        _ => OTHER,
    }
}

fn severity(verdict: &Verdict<'_>) -> i32 {
    match verdict.decision {
        Decision::Deny => 3,
        Decision::Error => 2,
        Decision::Allow | Decision::Unknown => 1,
    }
}

/// Sets a text column where there is a text.
pub(super) fn set(event: &mut Event, column: usize, text: &Text<'_>) {
    if let Some(text) = text {
        event.text(column, text);
    }
}

fn request(event: &mut Event, call: &Call<'_>) {
    set(event, f::REQUEST_ID, &call.request_id);
    set(event, f::USER_AGENT, &call.user_agent);
    if let Some(ip) = call.source_ip.as_deref().and_then(canonical_ip) {
        event.text(f::SRC_IP, &ip);
    }
    if let Some(method) = call.verb.as_deref().and_then(method) {
        event.text(f::HTTP_METHOD, method.as_bytes());
    }
    if let Some(uri) = call.uri.as_deref() {
        let (path, query) = split_uri(uri);
        event.text(f::URL_PATH, path);
        if let Some(query) = query {
            event.text(f::URL_QUERY, query);
        }
    }
    let code = call.answer.code.filter(|&code| call.answer.is_http && code != 0);
    if let Some(code) = code.and_then(|code| i32::try_from(code).ok()) {
        event.int32(f::HTTP_STATUS, code);
    }
}

/// Path and query of a URI, split at the first `?`.
pub(super) fn split_uri(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', uri).and_then(|at| uri.split_at_checked(at)) {
        Some((path, query)) => (path, query.strip_prefix(b"?")),
        None => (uri, None),
    }
}

/// The HTTP method of a verb.
fn method(verb: &[u8]) -> Option<&'static str> {
    const METHODS: [&str; 9] =
        ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    match verb {
        b"create" => Some("POST"),
        b"update" => Some("PUT"),
        b"deletecollection" => Some("DELETE"),
        b"list" | b"watch" => Some("GET"),
        _ => METHODS.into_iter().find(|method| method.as_bytes().eq_ignore_ascii_case(verb)),
    }
}

/// An address as RFC 5952 writes it, an IPv4 address in IPv6 clothes as IPv4.
fn canonical_ip(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_ipv4(text) {
        return Some(Cow::Borrowed(text));
    }
    match std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok()? {
        // Rust reads no other spelling of an IPv4 address than the canonical one.
        IpAddr::V4(_) => Some(Cow::Borrowed(text)),
        v6 @ IpAddr::V6(_) => Some(Cow::Owned(v6.to_canonical().to_string().into_bytes())),
    }
}

fn resource(event: &mut Event, resource: &Resource<'_>) {
    set(event, f::RESOURCE_GROUP, &resource.group);
    set(event, f::RESOURCE_API_VERSION, &resource.version);
    set(event, f::RESOURCE_NAMESPACE, &resource.namespace);
    set(event, f::RESOURCE_NAME, &resource.name);
    set(event, f::RESOURCE_UID, &resource.uid);
    set(event, f::RESOURCE_VERSION, &resource.resource_version);
    match (&resource.resource, &resource.subresource) {
        (Some(kind), Some(sub)) => {
            event.text(f::RESOURCE_TYPE, &[&**kind, &b"/"[..], &**sub].concat());
        }
        (kind, _) => set(event, f::RESOURCE_TYPE, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_verbs() {
        for (verb, expected) in [
            ("create", Some("POST")),
            ("update", Some("PUT")),
            ("patch", Some("PATCH")),
            ("deletecollection", Some("DELETE")),
            ("watch", Some("GET")),
            ("post", Some("POST")),
            ("options", Some("OPTIONS")),
            ("proxy", None),
            ("", None),
        ] {
            assert_eq!(method(verb.as_bytes()), expected, "{verb}");
        }
    }

    #[test]
    fn addresses_are_canonical_or_nothing() {
        for (text, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("2001:DB8:0::7", Some("2001:db8::7")),
            ("010.0.0.1", None),
            ("fe80::1%eth0", None),
            ("web-1", None),
        ] {
            let found = canonical_ip(text.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
