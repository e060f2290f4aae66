//! The proxy log: verdicts, failed requests and connections, and everything else, from either
//! form to columns.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource, EventKind};

use super::identity::{self, Tls};
use super::keys::{field as k, span as s};
use super::verdict::{Connection, Verdict, What, decide, what};
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::istio::Direction;
use crate::parse::json::{Scanner, Seen};
use crate::parse::ztunnel::values::{
    Spans, address, ip, outside, span_field, text, text_or_number, whole_number,
};

/// What a line says. Absent values are `None`.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) level: Option<Cow<'a, [u8]>>,
    pub(super) target: Option<Cow<'a, [u8]>>,
    pub(super) message: Option<Cow<'a, [u8]>>,
    /// By their keys.
    pub(super) fields: [Option<Cow<'a, [u8]>>; k::COUNT],
    pub(super) around: Around<'a>,
}

/// What the spans around a line say. Of several spans of one name the first counts.
#[derive(Debug, Default)]
pub(super) struct Around<'a> {
    seen: bool,
    direction: Option<Direction>,
    /// `client.addr` of a span `rescue` or `accept`.
    client: Option<Cow<'a, [u8]>>,
    /// `server.addr` of a span `accept`.
    server: Option<Cow<'a, [u8]>>,
    /// `addr` of a span `forward`.
    forward: Option<Cow<'a, [u8]>>,
    /// `addr` of a span `proxy`.
    proxy: Option<Cow<'a, [u8]>>,
    /// `port` of a span `server`.
    port: Option<u16>,
}

impl<'a> Around<'a> {
    /// Reads the array of spans of a JSON line, which is valid JSON.
    pub(super) fn of_json(array: &'a [u8], scanner: &mut Scanner, seen: Seen<'_>) -> Self {
        let mut around = Self::default();
        let inside = array.strip_prefix(b"[").and_then(|inside| inside.strip_suffix(b"]"));
        let mut rest = inside.unwrap_or_default();
        while !rest.trim_ascii().is_empty() {
            let comma = outside(rest, b',', |_| true);
            let Some((span, after)) = rest.split_at_checked(comma) else { break };
            if scanner.scan(span, seen).is_ok() {
                // The name comes last; a field of that name may stand before it.
                let name = text(scanner.slot(s::NAME), span);
                around.add(name.as_deref().unwrap_or_default(), |key| {
                    text_or_number(scanner.slot(key), span)
                });
            }
            rest = after.strip_prefix(b",").unwrap_or(after);
        }
        around
    }

    /// Reads the spans of a plain line.
    pub(super) fn of_text(spans: &'a [u8]) -> Self {
        let mut around = Self::default();
        for (name, body) in Spans::of(spans) {
            around.add(name, |key| span_field(body, s::NAMES.get(key)?.as_bytes()));
        }
        around
    }

    fn add(&mut self, name: &[u8], value: impl Fn(usize) -> Option<Cow<'a, [u8]>>) {
        if !self.seen {
            self.direction = match name {
                b"inbound" => Some(Direction::Inbound),
                b"outbound" => Some(Direction::Outbound),
                _ => None,
            };
            self.seen = true;
        }
        let first = |slot: &mut Option<Cow<'a, [u8]>>, key: usize| {
            if slot.is_none() {
                *slot = value(key);
            }
        };
        match name {
            b"rescue" => first(&mut self.client, s::CLIENT_ADDR),
            b"accept" => {
                first(&mut self.client, s::CLIENT_ADDR);
                first(&mut self.server, s::SERVER_ADDR);
            }
            b"forward" => first(&mut self.forward, s::ADDR),
            b"proxy" => first(&mut self.proxy, s::ADDR),
            b"server" => {
                let number = || u16::try_from(whole_number(&value(s::PORT)?)?).ok();
                self.port = self.port.or_else(number);
            }
            _ => {}
        }
    }
}

/// What OCSF and severity follow from.
struct Outcome {
    kind: EventKind,
    decision: Decision,
    /// About a request, not a connection.
    http: bool,
    /// A connection ended as it should.
    closed: bool,
    tls: bool,
}

impl Line<'_> {
    fn field(&self, key: usize) -> Option<&[u8]> {
        self.fields.get(key)?.as_deref()
    }

    /// The line's own words for what went wrong.
    fn cause(&self) -> Option<&[u8]> {
        self.field(k::ERROR).or(self.field(k::REASON))
    }

    /// Writes every column that the line itself gives, times and formats aside.
    pub(super) fn fill(&self, event: &mut Event) {
        if let Some(direction) = self.around.direction {
            event.text(f::DIRECTION, direction.as_str().as_bytes());
            event.text(f::REPORTER, direction.reporter().as_bytes());
        }
        self.source(event);
        self.destination(event);
        let target = self.target.as_deref().unwrap_or_default();
        let message = self.message.as_deref().unwrap_or_default();
        let outcome = match what(target, message) {
            What::Verdict { decision, http } => self.verdict(decision, http, event),
            What::Request { protocol } => self.request(protocol, event),
            What::Connection(connection) => self.connection(connection, event),
            What::Log => Outcome {
                kind: EventKind::Log,
                decision: Decision::Unknown,
                http: false,
                closed: false,
                tls: false,
            },
        };
        event.text(f::DECISION, outcome.decision.as_str().as_bytes());
        event.bool(f::TLS_FAILURE, outcome.tls);
        if outcome.tls {
            // A failed handshake authenticated nobody.
            event.bool(f::MTLS, false);
        } else {
            self.caller(event);
        }
        self.classes(&outcome, event);
    }

    /// `client <address>: server: <address>: ` at the begin of the error.
    fn named_in_error(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        let Some(rest) = self.field(k::ERROR).and_then(|error| error.strip_prefix(b"client "))
        else {
            return (None, None);
        };
        let up_to_colon = |text| {
            let (address, rest) =
                <[u8]>::split_at_checked(text, memchr::memmem::find(text, b": ")?)?;
            Some((address, rest.strip_prefix(b": ")?))
        };
        let Some((client, rest)) = up_to_colon(rest) else { return (None, None) };
        let server = rest.strip_prefix(b"server: ").and_then(up_to_colon);
        (Some(client), server.map(|(server, _)| server))
    }

    fn source(&self, event: &mut Event) {
        let candidates = [
            self.field(k::CLIENT_ADDR),
            self.field(k::CLIENT),
            self.around.client.as_deref(),
            self.named_in_error().0,
        ];
        if let Some((ip, port)) = candidates.into_iter().flatten().find_map(address) {
            event.text(f::SRC_IP, &ip);
            event.int32(f::SRC_PORT, i32::from(port));
        } else if let Some(ip) = self.field(k::CLIENT_IP).and_then(ip) {
            event.text(f::SRC_IP, &ip);
        }
    }

    fn destination(&self, event: &mut Event) {
        let around = &self.around;
        let outbound = around.direction == Some(Direction::Outbound);
        let candidates = [
            self.field(k::SERVER_ADDR),
            self.named_in_error().1,
            around.server.as_deref(),
            around.forward.as_deref().filter(|_| outbound),
            around.proxy.as_deref().filter(|_| outbound),
        ];
        if let Some((ip, port)) = candidates.into_iter().flatten().find_map(address) {
            event.text(f::DST_IP, &ip);
            event.int32(f::DST_PORT, i32::from(port));
        } else if let Some(port) = around.port
            && around.direction == Some(Direction::Inbound)
        {
            event.int32(f::DST_PORT, i32::from(port));
        }
    }

    fn caller(&self, event: &mut Event) {
        let Some(state) = self.field(k::CLIENT_TLS).or(self.field(k::TLS)) else { return };
        let state = identity::tls(state);
        event.bool(f::MTLS, matches!(state, Tls::Client(_)));
        match state {
            Tls::Client(identity) => identity::set_caller(&identity, event),
            Tls::Passthrough(name) => event.text(f::TLS_SNI, &name),
            Tls::Anonymous => {}
        }
    }

    fn verdict(&self, decision: Decision, http: bool, event: &mut Event) -> Outcome {
        event.text(f::DECISION_SOURCE, DecisionSource::Rbac.as_str().as_bytes());
        if let Some(message) = &self.message {
            event.text(f::DECISION_REASON, message);
        }
        self.policy(event);
        Outcome { kind: EventKind::AuthzDecision, decision, http, closed: false, tls: false }
    }

    /// Server, route and authorization that a verdict names, as far as it does.
    fn policy(&self, event: &mut Event) {
        let pair = |kind: usize, name: usize| self.field(kind).zip(self.field(name));
        // Before 2.12 the server stood in one field, `<kind>:<name>`.
        let old = || {
            let text = self.field(k::SERVER)?;
            let (kind, name) = text.split_at_checked(memchr::memchr(b':', text)?)?;
            Some((kind, name.strip_prefix(b":")?))
        };
        let server = pair(k::SERVER_KIND, k::SERVER_NAME).or_else(old);
        let route = pair(k::ROUTE_KIND, k::ROUTE_NAME);
        let authz = pair(k::AUTHZ_KIND, k::AUTHZ_NAME);
        let join = |objects: &[Option<(&[u8], &[u8])>]| {
            let parts = objects.iter().flatten().flat_map(|&(kind, name)| [kind, name]);
            parts.collect::<Vec<_>>().join(&b'/')
        };
        let rule = join(&[server, route, authz]);
        if rule.is_empty() {
            return;
        }
        event.text(f::POLICY_RULE, &rule);
        let own_route = route.filter(|(kind, _)| *kind != b"default");
        if let Some((kind, name)) = authz.or(own_route).or(server) {
            event.text(f::POLICY_KIND, kind);
            event.text(f::POLICY_NAME, name);
        }
        if authz == Some((b"default", b"audit")) {
            event.text(f::SHADOW_DECISION, Decision::Deny.as_str().as_bytes());
            let shadow = join(&[server, route]);
            if !shadow.is_empty() {
                event.text(f::SHADOW_POLICY_RULE, &shadow);
            }
        }
    }

    fn request(&self, protocol: Option<&'static str>, event: &mut Event) -> Outcome {
        let verdict = decide(self.cause(), None);
        self.decided(&verdict, event);
        if let Some(protocol) = protocol {
            event.text(f::NETWORK_PROTOCOL, protocol.as_bytes());
            if let Some(path) = self.field(k::PATH) {
                let (path, query) = path.split_at(memchr::memchr(b'?', path).unwrap_or(path.len()));
                event.text(f::URL_PATH, path);
                if let Some(query) = query.strip_prefix(b"?") {
                    event.text(f::URL_QUERY, query);
                }
            }
        }
        let kind = EventKind::HttpRequest;
        Outcome { kind, decision: verdict.decision, http: true, closed: false, tls: false }
    }

    fn connection(&self, connection: Connection, event: &mut Event) -> Outcome {
        let cause = self.cause();
        let verdict = decide(cause, Some(connection));
        self.decided(&verdict, event);
        event.text(f::NETWORK_PROTOCOL, b"tcp");
        let mut kind = EventKind::TcpConnection;
        if let (Some(reason), Some(side)) = (verdict.tls, connection.tls_side()) {
            event.text(f::TLS_FAILURE_SIDE, side.as_bytes());
            event.text(f::TLS_FAILURE_REASON, reason.as_str().as_bytes());
            event.text(f::TLS_FAILURE_DETAIL, cause.unwrap_or_default());
            if side == "downstream" {
                kind = EventKind::TlsHandshake;
            }
        }
        Outcome {
            kind,
            decision: verdict.decision,
            http: false,
            closed: connection == Connection::Closed && cause.is_none(),
            tls: verdict.tls.is_some(),
        }
    }

    fn decided(&self, verdict: &Verdict<'_>, event: &mut Event) {
        if let Some(source) = verdict.source {
            event.text(f::DECISION_SOURCE, source.as_str().as_bytes());
        }
        if let Some(cause) = self.cause() {
            event.text(f::DECISION_REASON, cause);
        }
        let Some(rule) = verdict.rule else { return };
        event.text(f::POLICY_RULE, rule);
        let slash = memchr::memchr(b'/', rule);
        if let Some((kind, name)) = slash.and_then(|at| rule.split_at_checked(at)) {
            event.text(f::POLICY_KIND, kind);
            event.text(f::POLICY_NAME, name.strip_prefix(b"/").unwrap_or(name));
        }
    }

    fn classes(&self, outcome: &Outcome, event: &mut Event) {
        let (class, activity) = match (outcome.kind, outcome.decision) {
            (EventKind::Log, _) => (0, 99),
            // The method is not in the line.
            _ if outcome.http => (4002, 99),
            (_, Decision::Deny) => (4001, 5),
            (_, Decision::Allow) => (4001, 6),
            _ if outcome.closed => (4001, 2),
            _ => (4001, 4),
        };
        event.text(f::EVENT_KIND, outcome.kind.as_str().as_bytes());
        event.int32(f::OCSF_CLASS_UID, class);
        event.int32(f::OCSF_ACTIVITY_ID, activity);
        let alarming = matches!(self.level.as_deref(), Some(b"WARN" | b"ERROR"));
        let severity = match outcome.decision {
            _ if outcome.tls => 3,
            Decision::Deny => 3,
            Decision::Error => 2,
            Decision::Unknown if alarming => 2,
            Decision::Allow | Decision::Unknown => 1,
        };
        event.int32(f::SEVERITY_ID, severity);
    }
}
