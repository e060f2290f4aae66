//! OpenTelemetry logs (OTLP): export requests, log record by log record.
//! Source: opentelemetry-proto, logs.proto and the JSON mapping of specification.md.
//!
//! Here are only the parts of a request. What a log record's body is, and what becomes of it, is
//! for the dispatcher to say.

pub(crate) mod protobuf;
pub(crate) mod values;

use std::borrow::Cow;

use super::event::{Event, Row};
use super::fields as f;
use super::json::escapes::text_of;
use super::list::{fields, is_empty};
use super::quote::push_field;
use crate::reject::{Reason, Reject};
use common::event::{Decision, EventKind};
use common::limits::RECORD_FIELDS_MAX;
use values::{pairs, push_object, push_value};

/// Text of column `source_format` for a log record of no other format.
pub const SOURCE_FORMAT: &str = "otlp_log";

/// Text of column `source_format` for the debug text of an access log service receiver.
pub const ALS_FORMAT: &str = "envoy_als";

/// Text of column `source_format` for a record that Envoy itself sent.
pub const ENVOY_FORMAT: &str = "envoy_otlp";

/// Attributes of the emitter and the columns they fill.
const EMITTER: &[(&str, usize)] = &[
    ("k8s.cluster.name", f::K8S_CLUSTER),
    ("k8s.namespace.name", f::K8S_NAMESPACE),
    ("k8s.pod.name", f::K8S_POD),
    ("k8s.container.name", f::K8S_CONTAINER),
    ("k8s.node.name", f::K8S_NODE),
    ("cloud.account.id", f::CLOUD_ACCOUNT),
    ("cloud.region", f::CLOUD_REGION),
];

/// Attributes by which a collector says that it read a line from a file.
const FILE_MARKS: &[&str] = &["log.file.path", "log.file.name", "log.iostream"];

/// What `parse_error` says of a record with a text that is no UTF-8.
const NOT_UTF8: &str = "a text was no UTF-8 and is read as Latin-1";

/// Names and values, as plain JSON.
pub(crate) type Pairs = Vec<(String, Vec<u8>)>;

/// One level of a request: the list below it, and what else stands there.
#[derive(Debug)]
pub(crate) struct Level<'a> {
    /// The list; empty text if it has no elements.
    pub(crate) list: &'a [u8],
    /// What the level says of all below it: a resource or a scope, as it stands.
    pub(crate) about: Option<&'a [u8]>,
    /// Everything before the list's first element, for a request of one log record; empty if
    /// there is none.
    pub(crate) head: Vec<u8>,
}

/// The levels of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LevelKind {
    Request,
    Resource,
    Scope,
}

/// What a log record carries.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// Nothing.
    None,
    /// A text.
    Text(Cow<'a, [u8]>),
    /// A list of names and values, as a JSON object.
    Object(Vec<u8>),
    /// Another value, as plain JSON.
    Other(Vec<u8>),
}

/// A log record.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) time_micros: Option<i64>,
    pub(crate) observed_micros: Option<i64>,
    pub(crate) body: Body<'a>,
    pub(crate) labels: Pairs,
    pub(crate) trace_id: Option<Vec<u8>>,
    pub(crate) span_id: Option<Vec<u8>>,
    severity: i32,
    /// A text in it, or around it, was no UTF-8.
    not_utf8: bool,
    /// The fields but body and attributes, as the inside of a JSON object.
    fields: Vec<u8>,
}

/// Reads one level of a request that a scanner has checked.
///
/// # Errors
/// If it is no JSON object, or has something else in place of the list.
pub(crate) fn level(kind: LevelKind, text: &[u8]) -> Result<Level<'_>, Reject> {
    let (list_name, about_name) = match kind {
        LevelKind::Request => ("\"resourceLogs\"", ""),
        LevelKind::Resource => ("\"scopeLogs\"", "\"resource\""),
        LevelKind::Scope => ("\"logRecords\"", "\"scope\""),
    };
    is_object(text)?;
    let (mut list, mut about, mut others) = (&b"null"[..], None, Vec::new());
    for (name, value) in fields(text) {
        if name == list_name.as_bytes() {
            list = value;
            continue;
        }
        if name == about_name.as_bytes() {
            about = Some(value).filter(|value| value.starts_with(b"{"));
        }
        others.push((name, value));
    }
    if !list.starts_with(b"[") && list != b"null" {
        let detail = format!("expected a list in {list_name}, found another value");
        return Err(Reject::new(Reason::UnknownFormat, detail));
    }
    if is_empty(list) {
        return Ok(Level { list: b"", about: None, head: Vec::new() });
    }
    let rest = text.len().saturating_sub(list.len());
    let mut head = Vec::with_capacity(rest + list_name.len() + 4);
    head.push(b'{');
    for (name, value) in others {
        push_verbatim(&mut head, name, value);
    }
    push_verbatim(&mut head, list_name.as_bytes(), b"[");
    Ok(Level { list, about, head })
}

/// Attributes of a resource.
///
/// # Errors
/// If there are too many.
pub(crate) fn attributes(holder: &[u8]) -> Result<Pairs, Reject> {
    let list = fields(holder).filter(|(name, _)| *name == b"\"attributes\"").last();
    list.map_or(Ok(Vec::new()), |(_, list)| bounded_pairs(list))
}

/// Reads a log record that a scanner has checked.
///
/// # Errors
/// If it is no JSON object, or has too many attributes.
pub(crate) fn read(text: &[u8]) -> Result<Record<'_>, Reject> {
    is_object(text)?;
    let mut record = Record {
        time_micros: None,
        observed_micros: None,
        body: Body::None,
        labels: Vec::new(),
        trace_id: None,
        span_id: None,
        severity: 1,
        not_utf8: false,
        fields: Vec::with_capacity(128),
    };
    let (mut number, mut name_of_severity) = (&b""[..], &b""[..]);
    for (name, value) in fields(text) {
        match name {
            b"\"body\"" => record.body = body(value),
            b"\"attributes\"" => record.labels = bounded_pairs(value)?,
            _ => push_verbatim(&mut record.fields, name, value),
        }
        match name {
            b"\"timeUnixNano\"" => record.time_micros = micros(value),
            b"\"observedTimeUnixNano\"" => record.observed_micros = micros(value),
            b"\"traceId\"" => record.trace_id = id(value, 32),
            b"\"spanId\"" => record.span_id = id(value, 16),
            b"\"severityNumber\"" => number = value,
            b"\"severityText\"" => name_of_severity = value,
            b"\"notUtf8\"" => record.not_utf8 = value == b"true",
            _ => {}
        }
    }
    record.severity = severity(number, name_of_severity);
    Ok(record)
}

fn is_object(text: &[u8]) -> Result<(), Reject> {
    if text.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    Err(Reject::new(Reason::UnknownFormat, "expected an object in a list, found another value"))
}

fn push_verbatim(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    out.extend_from_slice(name);
    out.push(b':');
    out.extend_from_slice(value);
}

fn body(value: &[u8]) -> Body<'_> {
    // Of several kinds, against the rules, the first counts; other fields are not known yet.
    let kind = fields(value).find(|(name, _)| values::is_kind(name));
    let Some((kind, inside)) = kind else { return Body::None };
    if kind == b"\"stringValue\""
        && let Some(text) = string(inside)
    {
        return Body::Text(text);
    }
    let mut plain = Vec::new();
    push_value(value, &mut plain);
    match &plain[..] {
        b"null" => Body::None,
        _ if kind == b"\"kvlistValue\"" => Body::Object(plain),
        _ => Body::Other(plain),
    }
}

/// A JSON string's content.
fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    text_of(value).map(Cow::Owned)
}

/// A trace or span id in lower case: so many hex digits, not all zero.
fn id(value: &[u8], length: usize) -> Option<Vec<u8>> {
    let id = string(value)?.to_ascii_lowercase();
    let is_id = id.len() == length
        && id.iter().all(u8::is_ascii_hexdigit)
        && id.iter().any(|&digit| digit != b'0');
    is_id.then_some(id)
}

impl Record<'_> {
    /// Whether the record has an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.labels.iter().any(|(label, _)| label == name)
    }

    /// Whether a collector read the body from a file.
    pub(crate) fn is_from_file(&self) -> bool {
        FILE_MARKS.iter().any(|mark| self.has(mark))
    }

    /// The attributes as one JSON object.
    pub(crate) fn object(&self) -> Vec<u8> {
        let length = self.labels.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut object = Vec::with_capacity(length);
        push_object(&self.labels, &mut object);
        object
    }

    /// Columns of the emitter, of the resource, else of the record; and what is wrong with the
    /// record where nothing else is.
    pub(crate) fn emitter(&self, resource: &[(String, Vec<u8>)]) -> Vec<(usize, String)> {
        let mut columns = Vec::new();
        for (name, column) in EMITTER {
            let found =
                [resource, &self.labels[..]].into_iter().find_map(|pairs| text(pairs, name));
            columns.extend(found.map(|text| (*column, text)));
        }
        // After the others, so that it counts only where they are silent.
        let node = text(resource, "node_name");
        if let Some((pod, namespace)) = node.as_deref().and_then(pod_of_node) {
            columns.push((f::K8S_POD, pod.to_owned()));
            columns.push((f::K8S_NAMESPACE, namespace.to_owned()));
        }
        if self.not_utf8 {
            columns.push((f::PARSE_ERROR, NOT_UTF8.to_owned()));
        }
        columns
    }

    /// What no column holds, for `attributes`: `about` is the inside of an object about resource
    /// and scope.
    pub(crate) fn attributes(&self, about: &[u8]) -> Vec<u8> {
        let labels = if self.labels.is_empty() { Vec::new() } else { self.object() };
        let length = about.len() + labels.len() + self.fields.len() + 32;
        let mut all = Vec::with_capacity(length);
        all.push(b'{');
        all.extend_from_slice(about);
        if !labels.is_empty() {
            push_field(&mut all, "attributes", &labels);
        }
        if !self.fields.is_empty() {
            if all.len() > 1 {
                all.push(b',');
            }
            all.extend_from_slice(&self.fields);
        }
        all.push(b'}');
        all
    }

    /// Fills the columns of a log record of no other format, its time aside.
    pub(crate) fn fill(&self, event: &mut Event) {
        let is_als = matches!(self.body, Body::Text(_))
            && self.has("api_version")
            && text(&self.labels, "log_type").is_some_and(|kind| matches!(&*kind, "http" | "tcp"));
        if is_als {
            event.text(f::MESH, b"envoy");
            event.text(f::SOURCE_FORMAT, ALS_FORMAT.as_bytes());
            event.text(f::PARSE_STATUS, b"partial");
            event.text(f::PARSE_ERROR, b"debug text of a receiver, which is kept and not read");
        }
        event.text(f::MESH, b"other");
        event.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
        event.text(f::PARSE_STATUS, b"ok");
        event.text(f::EVENT_KIND, EventKind::Log.as_str().as_bytes());
        event.int32(f::OCSF_CLASS_UID, 0);
        event.int32(f::OCSF_ACTIVITY_ID, 99);
        event.int32(f::SEVERITY_ID, self.severity);
        event.text(f::DECISION, Decision::Unknown.as_str().as_bytes());
        event.bool(f::TLS_FAILURE, false);
    }

    /// The body as plain JSON.
    pub(crate) fn body_json(&self) -> Option<Vec<u8>> {
        match &self.body {
            Body::None => None,
            Body::Text(text) => {
                let mut out = Vec::new();
                super::quote::push_string(&mut out, text);
                Some(out)
            }
            Body::Object(value) | Body::Other(value) => Some(value.clone()),
        }
    }
}

/// Attributes, as many as a record may have fields.
fn bounded_pairs(list: &[u8]) -> Result<Pairs, Reject> {
    let pairs = pairs(list, RECORD_FIELDS_MAX + 1);
    if pairs.len() > RECORD_FIELDS_MAX {
        let detail = format!("expected at most {RECORD_FIELDS_MAX} attributes, found more");
        return Err(Reject::new(Reason::TooManyFields, detail));
    }
    Ok(pairs)
}

/// A text attribute that is not empty.
fn text(pairs: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let (_, value) = pairs.iter().find(|(label, _)| label == name)?;
    serde_json::from_slice::<String>(value).ok().filter(|text| !text.is_empty())
}

/// Digits, bare or quoted.
fn digits(value: &[u8]) -> Option<&str> {
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    std::str::from_utf8(quoted.unwrap_or(value)).ok()
}

/// Microseconds of nanoseconds since 1970; 0 means that there is no time.
fn micros(value: &[u8]) -> Option<i64> {
    let nanos = digits(value)?.parse::<i64>().ok()?;
    (nanos > 0).then_some(nanos / 1000)
}

/// Column `severity_id` of the data model's severity: by number, else by text.
fn severity(number: &[u8], name: &[u8]) -> i32 {
    let number = digits(number).and_then(|text| text.parse::<u8>().ok());
    match number {
        Some(1..=12) => return 1,
        Some(13..=16) => return 2,
        Some(17..=20) => return 3,
        Some(21..=24) => return 4,
        _ => {}
    }
    match string(name).map(|name| name.to_ascii_lowercase()).as_deref() {
        Some(b"warn" | b"warning") => 2,
        Some(b"error" | b"err") => 3,
        Some(b"fatal" | b"critical") => 4,
        _ => 1,
    }
}

/// Pod and namespace of Istio's node name `<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>`.
fn pod_of_node(node: &str) -> Option<(&str, &str)> {
    let mut parts = node.split('~').skip(2);
    let (pod, domain) = (parts.next()?, parts.next()?);
    let (namespace, rest) = domain.split_once('.')?;
    let pod = pod.strip_suffix(namespace)?.strip_suffix('.')?;
    let is_node = rest.starts_with("svc.") && parts.next().is_none();
    (is_node && !pod.is_empty() && !namespace.is_empty()).then_some((pod, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_level_holds_all_but_its_list() {
        let text = br#"{"scopeLogs":[{"a":1},{}],"resource":{"attributes":[]},"schemaUrl":"u"}"#;
        let found = level(LevelKind::Resource, text).unwrap();
        assert_eq!(found.list, br#"[{"a":1},{}]"#);
        assert_eq!(found.about, Some(&br#"{"attributes":[]}"#[..]));
        let head = br#"{"resource":{"attributes":[]},"schemaUrl":"u","scopeLogs":["#;
        assert_eq!(found.head, head);
        for none in ["{}", r#"{"scopeLogs":null}"#, r#"{"scopeLogs":[]}"#] {
            assert!(level(LevelKind::Resource, none.as_bytes()).unwrap().list.is_empty());
        }
        for wrong in ["[]", "7", r#"{"scopeLogs":{}}"#, r#"{"scopeLogs":"x"}"#] {
            assert!(level(LevelKind::Resource, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_utf8_is_told() {
        let told = |text: &str| read(text.as_bytes()).unwrap().emitter(&[]);
        assert_eq!(told(r#"{"notUtf8":true}"#), [(f::PARSE_ERROR, NOT_UTF8.to_owned())]);
        assert!([r#"{"notUtf8":false}"#, "{}"].into_iter().all(|text| told(text).is_empty()));
    }

    #[test]
    fn a_body_is_its_first_known_kind() {
        let check = |text: &str, expected: &str| {
            let record = format!("{{\"body\":{text}}}");
            let found = read(record.as_bytes()).unwrap().body_json().unwrap_or_default();
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{text}");
        };
        check(r#"{"future":1,"stringValue":"a\n"}"#, r#""a\n""#);
        check(r#"{"intValue":"7","stringValue":"a"}"#, "7");
        check(r#"{"kvlistValue":{}}"#, "{}");
        check("{}", "");
        check("7", "");
    }

    #[test]
    fn pods_by_the_node_name() {
        let node = "sidecar~10.1.2.3~reviews-v1-5c9f.shop~shop.svc.cluster.local";
        assert_eq!(pod_of_node(node), Some(("reviews-v1-5c9f", "shop")));
        for other in ["", "a~b~c.d~e.svc.x", "a~b~.shop~shop.svc.x", "a~b~c.shop~shop.x", "a~b"] {
            assert_eq!(pod_of_node(other), None, "{other}");
        }
    }
}
