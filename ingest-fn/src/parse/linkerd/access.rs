//! The access log: one line an inbound request, as JSON or in Apache's form.
//!
//! The line does not say who answered, application or proxy, so it decides little.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource, EventKind};

use super::identity::set_caller;
use super::keys as k;
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::istio;
use crate::parse::json::{Kind, Scanner};
use crate::parse::leftovers::Direct;
use crate::parse::ocsf::http_activity;
use crate::parse::ztunnel::values::{
    address, is_absent, is_hex, text, text_or_number, whole_number,
};

/// Keys whose values a column may hold exactly.
pub(super) const DIRECT: &[Direct] = &[
    (k::CLIENT_ID, f::SRC_IDENTITY),
    (k::HOST, f::HTTP_HOST),
    (k::METHOD, f::HTTP_METHOD),
    (k::STATUS, f::HTTP_STATUS),
    (k::TRACE_ID, f::TRACE_ID),
    (k::URI, f::URL_PATH),
    (k::USER_AGENT, f::USER_AGENT),
];

/// What a line says. Absent values are `None`.
#[derive(Debug, Default)]
pub(super) struct Access<'a> {
    pub(super) client_addr: Option<Cow<'a, [u8]>>,
    pub(super) client_id: Option<Cow<'a, [u8]>>,
    /// The line says whether there is an identity.
    pub(super) has_client_id: bool,
    pub(super) host: Option<Cow<'a, [u8]>>,
    pub(super) method: Option<Cow<'a, [u8]>>,
    pub(super) uri: Option<Cow<'a, [u8]>>,
    pub(super) version: Option<Cow<'a, [u8]>>,
    /// A status, digits or not.
    pub(super) status: Option<Cow<'a, [u8]>>,
    pub(super) request_bytes: Option<Cow<'a, [u8]>>,
    pub(super) response_bytes: Option<Cow<'a, [u8]>>,
    pub(super) total_ns: Option<Cow<'a, [u8]>>,
    pub(super) trace_id: Option<Cow<'a, [u8]>>,
    pub(super) user_agent: Option<Cow<'a, [u8]>>,
}

impl<'a> Access<'a> {
    /// The line of the record scanned last.
    pub(super) fn of_json(scanner: &Scanner, record: &'a [u8]) -> Self {
        let value = |key: usize| text(scanner.slot(key), record);
        let number = |key: usize| text_or_number(scanner.slot(key), record);
        Self {
            client_addr: value(k::CLIENT_ADDR),
            client_id: value(k::CLIENT_ID),
            has_client_id: scanner.slot(k::CLIENT_ID).kind != Kind::Missing,
            host: value(k::HOST),
            method: value(k::METHOD),
            uri: value(k::URI),
            version: value(k::VERSION),
            status: number(k::STATUS),
            request_bytes: number(k::REQUEST_BYTES),
            response_bytes: number(k::RESPONSE_BYTES),
            total_ns: number(k::TOTAL_NS),
            trace_id: value(k::TRACE_ID),
            user_agent: value(k::USER_AGENT),
        }
    }

    /// Writes every column that the line itself gives, times and formats aside.
    pub(super) fn fill(&self, event: &mut Event) {
        event.text(f::DIRECTION, b"inbound");
        event.text(f::REPORTER, b"destination");
        if let Some((ip, port)) = self.client_addr.as_deref().and_then(address) {
            event.text(f::SRC_IP, &ip);
            event.int32(f::SRC_PORT, i32::from(port));
        }
        if let Some(identity) = &self.client_id {
            set_caller(identity, event);
        }
        if self.has_client_id {
            event.bool(f::MTLS, self.client_id.is_some());
        }
        self.request(event);
        self.traffic(event);
        self.trace(event);
        self.verdict(event);
    }

    fn request(&self, event: &mut Event) {
        let method = self.method.as_deref();
        if let Some(method) = method {
            event.text(f::HTTP_METHOD, method);
        }
        let target = self.uri.as_deref().map(|uri| Target::of(uri, method)).unwrap_or_default();
        if let Some(path) = target.path {
            event.text(f::URL_PATH, path);
        }
        if let Some(query) = target.query {
            event.text(f::URL_QUERY, query);
        }
        if let Some(host) = self.host.as_deref().or(target.host) {
            event.text(f::HTTP_HOST, host);
            let service = without_port(host);
            if !service.is_empty() {
                event.text(f::DST_SERVICE, service);
            }
            if let Some(namespace) = istio::service_namespace(service) {
                event.text(f::DST_NAMESPACE, namespace);
            }
        }
        if let Some(version) = &self.version {
            event.text(f::NETWORK_PROTOCOL, &protocol(version));
        }
        if let Some(agent) = &self.user_agent {
            event.text(f::USER_AGENT, agent);
        }
    }

    fn traffic(&self, event: &mut Event) {
        let sizes =
            [(f::REQUEST_BYTES, &self.request_bytes), (f::RESPONSE_BYTES, &self.response_bytes)];
        for (column, value) in sizes {
            if let Some(bytes) = value.as_deref().and_then(whole_number) {
                event.int64(column, bytes);
            }
        }
        if let Some(nanos) = self.total_ns.as_deref().and_then(whole_number) {
            event.int64(f::DURATION_US, nanos / 1000);
        }
    }

    /// The id is the first header that the proxy found, so its form tells what it is.
    fn trace(&self, event: &mut Event) {
        let Some(id) = self.trace_id.as_deref() else { return };
        if is_hex(id, 32) {
            event.text(f::TRACE_ID, &id.to_ascii_lowercase());
        } else if is_hex(id, 16) {
            let mut padded = [b'0'; 32];
            for (digit, from) in padded.iter_mut().skip(16).zip(id) {
                *digit = from.to_ascii_lowercase();
            }
            event.text(f::TRACE_ID, &padded);
        } else {
            event.text(f::REQUEST_ID, id);
        }
    }

    fn verdict(&self, event: &mut Event) {
        let status = self.status.as_deref().and_then(whole_number);
        if let Some(status) = status.and_then(|status| i32::try_from(status).ok()) {
            event.int32(f::HTTP_STATUS, status);
        }
        let method = self.method.as_deref();
        let http2 = self.version.as_deref().is_some_and(|version| &*protocol(version) == b"http/2");
        // gRPC answers a denial with status 200.
        let maybe_grpc = status == Some(200) && method == Some(b"POST") && http2;
        let (decision, source) = match status {
            None if self.status.is_none() => (Decision::Error, Some(DecisionSource::Proxy)),
            Some(100..=399) if !maybe_grpc => (Decision::Allow, Some(DecisionSource::None)),
            _ => (Decision::Unknown, None),
        };
        event.text(f::EVENT_KIND, EventKind::HttpRequest.as_str().as_bytes());
        event.text(f::DECISION, decision.as_str().as_bytes());
        if let Some(source) = source {
            event.text(f::DECISION_SOURCE, source.as_str().as_bytes());
        }
        event.bool(f::TLS_FAILURE, false);
        event.int32(f::OCSF_CLASS_UID, 4002);
        event.int32(f::OCSF_ACTIVITY_ID, http_activity(method));
        let severity = match decision {
            Decision::Error => 2,
            Decision::Unknown if status.is_some_and(|status| status >= 400) => 2,
            _ => 1,
        };
        event.int32(f::SEVERITY_ID, severity);
    }
}

fn protocol(version: &[u8]) -> Cow<'static, [u8]> {
    match version {
        b"HTTP/1.1" => Cow::Borrowed(b"http/1.1"),
        b"HTTP/2.0" => Cow::Borrowed(b"http/2"),
        b"HTTP/3.0" => Cow::Borrowed(b"http/3"),
        other => Cow::Owned(other.to_ascii_lowercase()),
    }
}

/// Where a request goes, by its uri.
#[derive(Debug, Clone, Copy, Default)]
struct Target<'a> {
    host: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    fn of(uri: &'a [u8], method: Option<&[u8]>) -> Self {
        let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
        let absolute = after_scheme(uri);
        let is_connect = method == Some(b"CONNECT");
        let rest = absolute.unwrap_or(uri);
        let authority_length = match absolute.is_some() || is_connect {
            true => rest.iter().position(ends).unwrap_or(rest.len()),
            false => 0,
        };
        let (authority, rest) = rest.split_at(authority_length);
        // Who stands before the `@` may be followed by a password.
        let host = authority.rsplit(|&byte| byte == b'@').next().filter(|host| !host.is_empty());
        if is_connect {
            return Self { host, path: None, query: None };
        }
        let question = memchr::memchr(b'?', rest);
        let (path, query) = rest.split_at(question.unwrap_or(rest.len()));
        let path = if path.is_empty() { b"/" } else { path };
        Self { host, path: Some(path), query: query.strip_prefix(b"?") }
    }
}

/// What follows `<scheme>://`.
fn after_scheme(uri: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = uri.split_at_checked(memchr::memchr(b':', uri)?)?;
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_scheme =
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(letters);
    rest.strip_prefix(b"://").filter(|_| is_scheme)
}

/// The host without its port. Text with several colons is no `host:port` and stays whole.
fn without_port(text: &[u8]) -> &[u8] {
    let Some((host, port)) =
        memchr::memrchr(b':', text).and_then(|colon| text.split_at_checked(colon))
    else {
        return text;
    };
    let is_port = port.iter().skip(1).all(u8::is_ascii_digit);
    let bracketed = host.starts_with(b"[") && host.ends_with(b"]");
    if is_port && (bracketed || !host.contains(&b':')) { host } else { text }
}

/// The parts of a line in Apache's form:
/// `<address> <id> - [<time>] "<method> <uri> <version>" <status>`.
#[derive(Debug, Clone, Copy)]
pub(in crate::parse) struct Apache<'a> {
    client: &'a [u8],
    id: &'a [u8],
    pub(super) time: &'a [u8],
    /// What stands between the first and the last quote. Quotes inside it are not escaped.
    request: &'a [u8],
    /// What follows the last quote.
    status: &'a [u8],
}

impl<'a> Apache<'a> {
    /// Splits a line; `None` if it is not of the form.
    pub(super) fn split(record: &'a [u8]) -> Option<Self> {
        let (client, rest) = record.split_at_checked(memchr::memchr(b' ', record)?)?;
        address(client)?;
        let rest = rest.strip_prefix(b" ")?;
        let (id, rest) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
        let rest = rest.strip_prefix(b" - [").filter(|_| !id.is_empty())?;
        let (time, rest) = rest.split_at_checked(memchr::memchr(b']', rest)?)?;
        let request = rest.strip_prefix(b"] \"")?;
        let (request, rest) = request.split_at_checked(memchr::memrchr(b'"', request)?)?;
        Some(Self { client, id, time, request, status: rest.strip_prefix(b"\"")? })
    }

    /// The line, and whether all of it was understood.
    pub(super) fn read(&self) -> (Access<'a>, bool) {
        let some = |text: &'a [u8]| (!is_absent(text)).then_some(Cow::Borrowed(text));
        let mut access = Access {
            client_addr: some(self.client),
            client_id: some(self.id),
            has_client_id: true,
            ..Access::default()
        };
        let mut whole = true;
        let first = memchr::memchr(b' ', self.request);
        let last = memchr::memrchr(b' ', self.request);
        match (first, last) {
            (Some(first), Some(last)) if first < last => {
                access.uri = self.request.get(first + 1..last).and_then(some);
                access.version = self.request.get(last + 1..).and_then(some);
            }
            _ => whole = false,
        }
        access.method = self.request.get(..first.unwrap_or(self.request.len())).and_then(some);
        if !self.status.is_empty() {
            let status = self.status.strip_prefix(b" ").filter(|text| whole_number(text).is_some());
            whole &= status.is_some();
            // What is no status is not the same as none.
            access.status = Some(Cow::Borrowed(status.unwrap_or(self.status)));
        }
        (access, whole)
    }
}
