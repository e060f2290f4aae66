//! What ztunnel decided about a connection: the error table of the format reference (section 3,
//! first match wins), as a pure function of a line.

use common::event::{Decision, DecisionSource, TlsFailureReason};

use super::values::contains;
use crate::parse::istio::Direction;

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A connection began, or ended.
    Access(Message),
    /// A policy decided.
    State {
        /// What it decided.
        decision: Decision,
        /// It only said what it would have decided.
        dry_run: bool,
    },
    /// Anything else.
    Log,
}

/// The messages of access lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// `connection complete`
    Complete,
    /// `connection failed`, before its context was known.
    Failed,
    /// `connection opened`, before the verdict.
    Opened,
}

impl Message {
    pub(super) const ALL: [(Self, &'static [u8]); 3] = [
        (Self::Complete, b"connection complete"),
        (Self::Failed, b"connection failed"),
        (Self::Opened, b"connection opened"),
    ];
}

/// Tells a line's kind from its scope, without `ztunnel::`, and its message.
pub(super) fn what(scope: &[u8], message: &[u8]) -> What {
    match scope {
        b"access" => Message::ALL
            .into_iter()
            .find(|(_, text)| *text == message)
            .map_or(What::Log, |(message, _)| What::Access(message)),
        b"state" => {
            let core = message.strip_prefix(b"dry-run: ");
            let dry_run = core.is_some();
            match core.unwrap_or(message) {
                b"deny policy match"
                | b"no allow policies matched"
                | b"no allow policies match" => What::State { decision: Decision::Deny, dry_run },
                b"allow policy match" | b"no allow policies, allow" => {
                    What::State { decision: Decision::Allow, dry_run }
                }
                _ => What::Log,
            }
        }
        _ => What::Log,
    }
}

/// What the verdict on a connection depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) message: Message,
    pub(super) direction: Option<Direction>,
    pub(super) error: Option<&'a [u8]>,
    /// The line was not read to its end.
    pub(super) partial: bool,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub(super) decision: Decision,
    pub(super) source: Option<DecisionSource>,
    pub(super) rule: Option<&'a [u8]>,
    pub(super) tls: Option<TlsFailureReason>,
}

const REJECTED: &[u8] = b"connection closed due to policy rejection";
const POLICY_CHANGED: &[u8] = b"connection closed due to policy change";
const REVOKED: &[u8] = b"connection closed: peer certificate revoked by CRL";
const NETWORK_POLICY: &[u8] = b"connection timed out, maybe a NetworkPolicy is blocking";

/// Decides about a connection.
pub(super) fn decide<'a>(facts: &Facts<'a>) -> Verdict<'a> {
    use DecisionSource as Source;
    let verdict =
        |decision, source| Verdict { decision, source: Some(source), rule: None, tls: None };
    let unknown = Verdict { decision: Decision::Unknown, source: None, rule: None, tls: None };
    let error = match facts.error {
        _ if facts.message == Message::Opened => return unknown,
        // The error may be what is missing.
        None if facts.partial => return unknown,
        None => return verdict(Decision::Allow, Source::None),
        Some(error) => error,
    };
    if let Some(cause) = error.strip_prefix(REJECTED) {
        let rule = cause.strip_prefix(b": explicitly denied by: ").filter(|rule| !rule.is_empty());
        let refused = rule.is_some_and(|rule| Policy::of(rule).kind == PEER_AUTHENTICATION);
        let tls = refused.then_some(TlsFailureReason::PlaintextRefused);
        return Verdict { rule, tls, ..verdict(Decision::Deny, Source::Rbac) };
    }
    if error.starts_with(POLICY_CHANGED) || refused_remotely(error, facts.direction) {
        return verdict(Decision::Deny, Source::Rbac);
    }
    if error.starts_with(REVOKED) {
        return Verdict { tls: Some(reason(error)), ..verdict(Decision::Deny, Source::Mtls) };
    }
    if TLS_MARKS.iter().any(|mark| contains(error, mark)) {
        return Verdict { tls: Some(reason(error)), ..verdict(Decision::Error, Source::Mtls) };
    }
    if error.starts_with(b"identity error:") {
        return verdict(Decision::Error, Source::Mtls);
    }
    if error.starts_with(NETWORK_POLICY) {
        return verdict(Decision::Error, Source::NetworkPolicy);
    }
    verdict(Decision::Error, Source::Proxy)
}

/// Whether the other side's ztunnel refused: it answers a denial with 401, and a failure to
/// connect with 503.
fn refused_remotely(error: &[u8], direction: Option<Direction>) -> bool {
    let rest = error.strip_prefix(b"http status: 401");
    direction == Some(Direction::Outbound)
        && rest.is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_digit))
}

/// An error that contains one of these is a TLS failure.
const TLS_MARKS: [&[u8]; 7] = [
    b"identity verification error:",
    b"tls error:",
    b"tls handshake error:",
    b"ssl error:",
    b"invalid peer certificate",
    b"received fatal alert",
    b"received corrupt message",
];

/// The cause of a TLS failure: the first whose mark the error contains.
fn reason(error: &[u8]) -> TlsFailureReason {
    use TlsFailureReason as Reason;
    const MARKS: [(TlsFailureReason, &[&[u8]]); 8] = [
        (Reason::SanMismatch, &[b"identity verification error:", b"NotValidForName"]),
        (Reason::NoClientCert, &[b"NoCertificatesPresented"]),
        (Reason::UnknownCa, &[b"UnknownIssuer", b"UnknownCA"]),
        (Reason::CertExpired, &[b"Expired", b"NotValidYet"]),
        (Reason::CertRevoked, &[b"Revoked", b"revoked by CRL"]),
        (
            Reason::PlaintextOnTlsPort,
            &[b"InvalidContentType", b"HTTP_REQUEST", b"WRONG_VERSION_NUMBER"],
        ),
        (
            Reason::VersionMismatch,
            &[b"PeerIncompatible", b"ProtocolVersion", b"UNSUPPORTED_PROTOCOL"],
        ),
        (
            Reason::CertVerifyFailed,
            &[
                b"InvalidCertificate",
                b"BadCertificate",
                b"CertificateUnknown",
                b"invalid peer certificate",
            ],
        ),
    ];
    MARKS
        .iter()
        .find(|(_, marks)| marks.iter().any(|mark| contains(error, mark)))
        .map_or(Reason::Other, |(reason, _)| *reason)
}

/// A rule `<namespace>/<name>`, split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy<'a> {
    pub(super) kind: &'static str,
    pub(super) namespace: Option<&'a [u8]>,
    pub(super) name: Option<&'a [u8]>,
}

const PEER_AUTHENTICATION: &str = "PeerAuthentication";

impl<'a> Policy<'a> {
    /// Splits a rule. istiod turns each PeerAuthentication into a rule whose name says so, and
    /// strict mutual TLS for the whole mesh into one of a fixed name.
    pub(super) fn of(rule: &'a [u8]) -> Self {
        let slash = memchr::memchr(b'/', rule);
        let Some((namespace, name)) = slash.and_then(|at| rule.split_at_checked(at)) else {
            return Self { kind: "AuthorizationPolicy", namespace: None, name: None };
        };
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let (kind, name) = match name.strip_prefix(b"converted_peer_authentication_") {
            Some(name) => (PEER_AUTHENTICATION, name),
            None if name == b"istio_converted_static_strict" => (PEER_AUTHENTICATION, name),
            None => ("AuthorizationPolicy", name),
        };
        let some = |text: &'a [u8]| (!text.is_empty()).then_some(text);
        Self { kind, namespace: some(namespace), name: some(name) }
    }
}
