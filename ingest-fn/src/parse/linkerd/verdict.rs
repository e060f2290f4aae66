//! What a line of the proxy log says was decided: the rules of the fixtures, as pure functions of
//! a line.

use common::event::{Decision, DecisionSource, TlsFailureReason};

use crate::parse::ztunnel::values::contains;

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A policy decided.
    Verdict {
        decision: Decision,
        /// About a request, not a connection.
        http: bool,
    },
    /// A request failed.
    Request { protocol: Option<&'static str> },
    /// A connection failed, or ended.
    Connection(Connection),
    /// Anything else.
    Log,
}

/// The lines about connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// `Server failed to become ready`
    NotReady,
    /// `Failed to connect`, of the client's side.
    NotConnected,
    /// `Connection closed`, of the server's side.
    Closed,
}

impl Connection {
    /// Whose TLS failure such a line may report, as column `tls_failure_side` has it.
    pub(super) const fn tls_side(self) -> Option<&'static str> {
        match self {
            Self::NotReady => None,
            Self::NotConnected => Some("upstream"),
            Self::Closed => Some("downstream"),
        }
    }
}

/// Tells a line's kind from its target and message.
pub(super) fn what(target: &[u8], message: &[u8]) -> What {
    if contains(target, b"::policy::") {
        let http = target.ends_with(b"::http");
        match message {
            b"Request denied"
            | b"Connection denied"
            | b"Connection terminated due to policy change" => {
                return What::Verdict { decision: Decision::Deny, http };
            }
            b"Request allowed"
            | b"Connection allowed"
            | b"Request authorized"
            | b"Connection authorized" => {
                return What::Verdict { decision: Decision::Allow, http };
            }
            _ => {}
        }
    }
    match message {
        b"HTTP/1.1 request failed" => What::Request { protocol: Some("http/1.1") },
        b"HTTP/2.0 request failed" | b"gRPC request failed" => {
            What::Request { protocol: Some("http/2") }
        }
        b"Remote proxy error" => What::Request { protocol: None },
        b"Server failed to become ready" => What::Connection(Connection::NotReady),
        b"Failed to connect" => What::Connection(Connection::NotConnected),
        b"Connection closed" => What::Connection(Connection::Closed),
        _ => What::Log,
    }
}

/// The outcome of a request or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub(super) decision: Decision,
    pub(super) source: Option<DecisionSource>,
    /// `<kind>/<name>`
    pub(super) rule: Option<&'a [u8]>,
    pub(super) tls: Option<TlsFailureReason>,
}

const UNAUTHORIZED: &[u8] = b"unauthorized connection on ";

/// Decides about a request or connection from what its line gives as the cause.
pub(super) fn decide(cause: Option<&[u8]>, connection: Option<Connection>) -> Verdict<'_> {
    use DecisionSource as Source;
    let verdict =
        |decision, source| Verdict { decision, source: Some(source), rule: None, tls: None };
    let Some(cause) = cause else {
        if connection == Some(Connection::Closed) {
            // What became of its requests is not said.
            let source = None;
            return Verdict { source, ..verdict(Decision::Unknown, Source::None) };
        }
        return verdict(Decision::Error, Source::Proxy);
    };
    if contains(cause, b"unauthorized request on route") {
        return verdict(Decision::Deny, Source::Rbac);
    }
    let at = memchr::memmem::find(cause, UNAUTHORIZED);
    if let Some(rule) = at.and_then(|at| cause.get(at + UNAUTHORIZED.len()..)) {
        let rule = rule.split(|&byte| byte == b' ').next().filter(|rule| !rule.is_empty());
        return Verdict { rule, ..verdict(Decision::Deny, Source::Rbac) };
    }
    if contains(cause, b"rate limit exceeded") {
        return verdict(Decision::Deny, Source::RateLimit);
    }
    if contains(cause, b"request redirected to") {
        return verdict(Decision::Allow, Source::None);
    }
    let tls = connection.and_then(Connection::tls_side).and_then(|_| tls_failure(cause));
    match tls {
        Some(_) => Verdict { tls, ..verdict(Decision::Error, Source::Mtls) },
        None => verdict(Decision::Error, Source::Proxy),
    }
}

/// The cause of a TLS failure: the first whose mark the text contains; `None` if it is none.
fn tls_failure(text: &[u8]) -> Option<TlsFailureReason> {
    use TlsFailureReason as Reason;
    const MARKS: [(TlsFailureReason, &[&[u8]]); 10] = [
        (Reason::DetectTimeout, &[b"TLS detection timed out"]),
        (Reason::NoClientCert, &[b"peer sent no certificates"]),
        (Reason::SanMismatch, &[b"NotValidForName", b"not valid for name"]),
        (Reason::UnknownCa, &[b"UnknownIssuer", b"UnknownCA"]),
        (Reason::CertExpired, &[b"Expired", b"NotValidYet"]),
        (Reason::CertRevoked, &[b"Revoked"]),
        (Reason::PlaintextOnTlsPort, &[b"InvalidContentType", b"received corrupt message"]),
        (Reason::VersionMismatch, &[b"ProtocolVersion", b"peer is incompatible"]),
        (
            Reason::CertVerifyFailed,
            &[b"invalid peer certificate", b"BadCertificate", b"CertificateUnknown"],
        ),
        (Reason::Other, &[b"tls handshake", b"received fatal alert"]),
    ];
    MARKS
        .iter()
        .find(|(_, marks)| marks.iter().any(|mark| contains(text, mark)))
        .map(|(reason, _)| *reason)
}
