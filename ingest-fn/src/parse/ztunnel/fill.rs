//! One line of ztunnel to columns, whichever form it had.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource, EventKind};

use super::keys as k;
use super::values::{self, address, host_port, is_hex, whole_number};
use super::verdict::{Facts, Message, Policy, Verdict, What, decide, what};
use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::istio::{self, Direction};
use crate::parse::leftovers::Direct;

/// Keys of an access line that a column may hold exactly. Of other lines none is held: their
/// columns are filled from elsewhere.
pub(super) const ACCESS: &[Direct] = &[
    (k::SRC_WORKLOAD, f::SRC_WORKLOAD),
    (k::SRC_NAMESPACE, f::SRC_NAMESPACE),
    (k::SRC_IDENTITY, f::SRC_IDENTITY),
    (k::SRC_CLUSTER, f::SRC_CLUSTER),
    (k::DST_SERVICE, f::DST_SERVICE),
    (k::DST_WORKLOAD, f::DST_WORKLOAD),
    (k::DST_NAMESPACE, f::DST_NAMESPACE),
    (k::DST_IDENTITY, f::DST_IDENTITY),
    (k::DST_CLUSTER, f::DST_CLUSTER),
    (k::DIRECTION, f::DIRECTION),
    (k::ERROR, f::DECISION_REASON),
];

/// What a line says. Absent values are `None`.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) source_format: &'static str,
    pub(super) time: (i64, &'static str),
    pub(super) level: Cow<'a, [u8]>,
    /// The program's scope, with `ztunnel::` if it was there.
    pub(super) scope: Cow<'a, [u8]>,
    pub(super) message: Cow<'a, [u8]>,
    /// By their keys.
    pub(super) fields: [Option<Cow<'a, [u8]>>; k::FIELDS],
    /// Spans `inbound` and `outbound`; the first that is there counts.
    pub(super) connection: Option<(Direction, Span<'a>)>,
    /// `wl` of span `proxy`.
    pub(super) proxied: Option<Cow<'a, [u8]>>,
    /// The line was not read to its end.
    pub(super) partial: bool,
}

/// The span of a connection.
#[derive(Debug, Default)]
pub(super) struct Span<'a> {
    pub(super) id: Option<Cow<'a, [u8]>>,
    pub(super) peer: Option<Cow<'a, [u8]>>,
}

/// What OCSF and severity follow from.
struct Outcome {
    kind: EventKind,
    decision: Decision,
    opened: bool,
    tls: bool,
}

impl Line<'_> {
    fn field(&self, key: usize) -> Option<&[u8]> {
        self.fields.get(key)?.as_deref()
    }

    /// What kind of line it is.
    pub(super) fn what(&self) -> What {
        what(self.scope.strip_prefix(b"ztunnel::").unwrap_or(&self.scope), &self.message)
    }

    /// The keys whose values a column may hold exactly.
    pub(super) fn direct(&self) -> &'static [Direct] {
        match self.what() {
            What::Access(_) => ACCESS,
            What::State { .. } | What::Log => &[],
        }
    }

    /// Writes every column but `attributes`, `raw` and the parse status.
    pub(super) fn fill(&self, event: &mut Event, context: &Context<'_>) {
        let (micros, source) = self.time;
        event.int64(f::EVENT_TIME, micros);
        event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
        event.text(f::MESH, b"istio");
        event.text(f::SOURCE_FORMAT, self.source_format.as_bytes());
        let outcome = match self.what() {
            What::Access(message) => self.access(message, event),
            What::State { decision, dry_run } => self.state(decision, dry_run, event),
            What::Log => Outcome {
                kind: EventKind::Log,
                decision: Decision::Unknown,
                opened: false,
                tls: false,
            },
        };
        event.text(f::DECISION, outcome.decision.as_str().as_bytes());
        event.bool(f::TLS_FAILURE, outcome.tls);
        self.classes(&outcome, event);
        values::envelope(event, context);
    }

    fn access(&self, message: Message, event: &mut Event) -> Outcome {
        let direction = match self.field(k::DIRECTION) {
            Some(b"inbound") => Some(Direction::Inbound),
            Some(b"outbound") => Some(Direction::Outbound),
            _ => None,
        };
        set_direction(direction, event);
        self.source(event);
        self.destination(event);
        self.traffic(direction, event);
        let facts =
            Facts { message, direction, error: self.field(k::ERROR), partial: self.partial };
        let verdict = decide(&facts);
        if let Some(source) = verdict.source {
            event.text(f::DECISION_SOURCE, source.as_str().as_bytes());
            if let Some(error) = facts.error {
                event.text(f::DECISION_REASON, error);
            }
        }
        if let Some(rule) = verdict.rule {
            set_rule(rule, event);
        }
        let side = direction.map(|direction| match direction {
            Direction::Inbound => "downstream",
            Direction::Outbound => "upstream",
        });
        if let Some(reason) = verdict.tls {
            if let Some(side) = side {
                event.text(f::TLS_FAILURE_SIDE, side.as_bytes());
            }
            event.text(f::TLS_FAILURE_REASON, reason.as_str().as_bytes());
            event.text(f::TLS_FAILURE_DETAIL, facts.error.unwrap_or_default());
        }
        let refused_caller = verdict.tls.is_some() && direction == Some(Direction::Inbound);
        self.principal(refused_caller, event);
        if let Some(mtls) = self.mtls(&facts, &verdict) {
            event.bool(f::MTLS, mtls);
        }
        let kind = if refused_caller { EventKind::TlsHandshake } else { EventKind::TcpConnection };
        Outcome {
            kind,
            decision: verdict.decision,
            opened: message == Message::Opened,
            tls: verdict.tls.is_some(),
        }
    }

    fn source(&self, event: &mut Event) {
        if let Some((ip, port)) = self.field(k::SRC_ADDR).and_then(address) {
            event.text(f::SRC_IP, &ip);
            event.int32(f::SRC_PORT, i32::from(port));
        }
        let identity = self.field(k::SRC_IDENTITY);
        let account = identity.and_then(istio::spiffe_workload);
        let namespace = account.map(|(namespace, _)| namespace);
        let columns = [
            (f::SRC_IDENTITY, identity),
            (f::SRC_NAMESPACE, self.field(k::SRC_NAMESPACE).or(namespace)),
            (f::SRC_WORKLOAD, self.field(k::SRC_WORKLOAD).or(account.map(|(_, name)| name))),
            (f::SRC_CLUSTER, self.field(k::SRC_CLUSTER)),
        ];
        set_texts(&columns, event);
    }

    fn destination(&self, event: &mut Event) {
        let hbone = self.field(k::DST_HBONE_ADDR);
        let protocol: &[u8] = if hbone.is_some() { b"hbone" } else { b"tcp" };
        event.text(f::NETWORK_PROTOCOL, protocol);
        // `dst.addr` of a tunnel is where the tunnel ends.
        let end = hbone.or(self.field(k::DST_ADDR));
        let mut name = None;
        if let Some((ip, port)) = end.and_then(address) {
            event.text(f::DST_IP, &ip);
            event.int32(f::DST_PORT, i32::from(port));
        } else if let Some((host, port)) = end.and_then(host_port).filter(|(host, _)| is_name(host))
        {
            event.int32(f::DST_PORT, i32::from(port));
            name = Some(host);
        }
        let service = self.field(k::DST_SERVICE).or(name);
        let identity = self.field(k::DST_IDENTITY);
        let account = identity.and_then(istio::spiffe_workload);
        let namespace =
            service.and_then(istio::service_namespace).or(account.map(|(namespace, _)| namespace));
        let columns = [
            (f::DST_IDENTITY, identity),
            (f::DST_SERVICE, service),
            (f::DST_NAMESPACE, self.field(k::DST_NAMESPACE).or(namespace)),
            (f::DST_WORKLOAD, self.field(k::DST_WORKLOAD).or(account.map(|(_, name)| name))),
            (f::DST_CLUSTER, self.field(k::DST_CLUSTER)),
        ];
        set_texts(&columns, event);
    }

    /// Bytes and duration. Sent and received are seen from the reporter.
    fn traffic(&self, direction: Option<Direction>, event: &mut Event) {
        let columns = match direction {
            Some(Direction::Inbound) => [f::RESPONSE_BYTES, f::REQUEST_BYTES],
            Some(Direction::Outbound) => [f::REQUEST_BYTES, f::RESPONSE_BYTES],
            None => return self.duration(event),
        };
        for (key, column) in [k::BYTES_SENT, k::BYTES_RECV].into_iter().zip(columns) {
            if let Some(bytes) = self.field(key).and_then(whole_number) {
                event.int64(column, bytes);
            }
        }
        self.duration(event);
    }

    fn duration(&self, event: &mut Event) {
        let millis = self.field(k::DURATION).and_then(|text| text.strip_suffix(b"ms"));
        let micros = millis.and_then(whole_number).and_then(|millis| millis.checked_mul(1000));
        if let Some(micros) = micros {
            event.int64(f::DURATION_US, micros);
        }
    }

    fn principal(&self, refused_caller: bool, event: &mut Event) {
        let Some(identity) = self.field(k::SRC_IDENTITY) else { return };
        event.text(f::PRINCIPAL, identity);
        event.text(f::PRINCIPAL_TYPE, b"workload");
        // A peer whose handshake failed said who it is, and nobody checked.
        let source: &[u8] = if refused_caller { b"unverified" } else { b"mtls" };
        event.text(f::PRINCIPAL_SOURCE, source);
    }

    /// Whether both ends were authenticated; `None` where nobody knows.
    fn mtls(&self, facts: &Facts<'_>, verdict: &Verdict<'_>) -> Option<bool> {
        let identified =
            self.field(k::SRC_IDENTITY).is_some() || self.field(k::DST_IDENTITY).is_some();
        let outbound = facts.direction == Some(Direction::Outbound);
        let handshake_unknown = |error: &[u8]| outbound && !error.starts_with(b"http status:");
        match facts.error {
            _ if verdict.tls.is_some() => Some(false),
            _ if facts.message == Message::Failed => None,
            Some(error) if handshake_unknown(error) => None,
            // What is missing may be the identities.
            None if facts.partial && !identified => None,
            _ => Some(identified),
        }
    }

    fn state(&self, decision: Decision, dry_run: bool, event: &mut Event) -> Outcome {
        event.text(f::DECISION_REASON, &self.message);
        let rule = self.field(k::POLICY);
        let mut outcome =
            Outcome { kind: EventKind::AuthzDecision, decision, opened: false, tls: false };
        if dry_run {
            event.text(f::SHADOW_DECISION, decision.as_str().as_bytes());
            set_texts(&[(f::SHADOW_POLICY_RULE, rule)], event);
            outcome.decision = Decision::Unknown;
        } else {
            event.text(f::DECISION_SOURCE, DecisionSource::Rbac.as_str().as_bytes());
            if let Some(rule) = rule {
                set_rule(rule, event);
            }
        }
        let Some((direction, span)) = &self.connection else { return outcome };
        set_direction(Some(*direction), event);
        if let Some((ip, port)) = span.peer.as_deref().and_then(address) {
            event.text(f::SRC_IP, &ip);
            event.int32(f::SRC_PORT, i32::from(port));
        }
        if let Some(id) = span.id.as_deref().filter(|id| is_hex(id, 32)) {
            event.text(f::TRACE_ID, &id.to_ascii_lowercase());
        }
        let (namespace_column, workload_column) = match direction {
            Direction::Inbound => (f::DST_NAMESPACE, f::DST_WORKLOAD),
            Direction::Outbound => (f::SRC_NAMESPACE, f::SRC_WORKLOAD),
        };
        let proxied = self.proxied.as_deref().and_then(|text| {
            let (namespace, name) = text.split_at_checked(memchr::memchr(b'/', text)?)?;
            let name = name.get(1..)?;
            (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
        });
        if let Some((namespace, name)) = proxied {
            event.text(namespace_column, namespace);
            event.text(workload_column, name);
        }
        outcome
    }

    fn classes(&self, outcome: &Outcome, event: &mut Event) {
        let (class, activity) = match (outcome.kind, outcome.decision) {
            (EventKind::Log, _) => (0, 99),
            (_, Decision::Deny) => (4001, 5),
            (EventKind::TlsHandshake, _) => (4001, 4),
            (_, Decision::Allow) => (4001, 6),
            (_, Decision::Error) => (4001, 4),
            (_, Decision::Unknown) if outcome.opened => (4001, 1),
            (_, Decision::Unknown) => (4001, 99),
        };
        event.text(f::EVENT_KIND, outcome.kind.as_str().as_bytes());
        event.int32(f::OCSF_CLASS_UID, class);
        event.int32(f::OCSF_ACTIVITY_ID, activity);
        let severity = match outcome.decision {
            _ if outcome.tls => 3,
            Decision::Deny => 3,
            Decision::Allow => 1,
            Decision::Error => 2,
            Decision::Unknown => {
                if matches!(&*self.level, b"warn" | b"error") {
                    2
                } else {
                    1
                }
            }
        };
        event.int32(f::SEVERITY_ID, severity);
    }
}

fn set_direction(direction: Option<Direction>, event: &mut Event) {
    if let Some(direction) = direction {
        event.text(f::DIRECTION, direction.as_str().as_bytes());
        event.text(f::REPORTER, direction.reporter().as_bytes());
    }
}

fn set_rule(rule: &[u8], event: &mut Event) {
    let policy = Policy::of(rule);
    event.text(f::POLICY_RULE, rule);
    event.text(f::POLICY_KIND, policy.kind.as_bytes());
    set_texts(&[(f::POLICY_NAMESPACE, policy.namespace), (f::POLICY_NAME, policy.name)], event);
}

fn set_texts(columns: &[(usize, Option<&[u8]>)], event: &mut Event) {
    for (column, value) in columns {
        if let Some(value) = value {
            event.text(*column, value);
        }
    }
}

/// Whether a host is a name: what an address would be with a wrong number is none.
fn is_name(host: &[u8]) -> bool {
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    host.iter().all(letters) && host.iter().any(u8::is_ascii_alphabetic)
}
