//! What the mesh decided about a request, and who: the decision table of the format reference
//! (section 2.8, first match wins), as a pure function of a record's fields.

use common::event::{Decision, DecisionSource, TlsFailureReason};
use memchr::memmem::find;

use crate::parse::tls;

/// The fields the verdict depends on; `None` is "absent" in any spelling.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    pub(super) details: Option<&'a [u8]>,
    pub(super) termination: Option<&'a [u8]>,
    pub(super) flags: Option<&'a [u8]>,
    pub(super) upstream_failure: Option<&'a [u8]>,
    pub(super) downstream_failure: Option<&'a [u8]>,
    pub(super) upstream_host: Option<&'a [u8]>,
    /// Method, path or protocol is there.
    pub(super) is_http: bool,
    /// The record is of a connection's end and its format has no upstream host.
    pub(super) ended_without_host: bool,
    /// The record is a listener's, of a connection and not of a request.
    pub(super) is_listener: bool,
    /// The HTTP status; 0 is none.
    pub(super) status: Option<i32>,
    /// The gRPC status, where it is not OK: such an answer has the HTTP status 200.
    pub(super) grpc_failed: bool,
    pub(super) ext_authz_policy: Option<&'a [u8]>,
    pub(super) enforced_result: Option<&'a [u8]>,
    pub(super) enforced_policy: Option<&'a [u8]>,
    pub(super) missing: Missing,
}

/// What a record's layout does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Missing {
    /// It says all there is.
    #[default]
    Nothing,
    /// It has no details, as Envoy's own text format.
    Details,
    /// What stands behind the point to which the line could be read.
    Rest,
}

/// A TLS failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TlsFailure<'a> {
    pub(super) side: &'static str,
    pub(super) reason: TlsFailureReason,
    pub(super) detail: &'a [u8],
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub(super) decision: Decision,
    pub(super) source: DecisionSource,
    pub(super) policy: Option<&'a [u8]>,
    pub(super) tls: Option<TlsFailure<'a>>,
}

const RBAC_DENIED: &[u8] = b"rbac_access_denied_matched_policy[";

/// Decides.
pub(super) fn decide<'a>(facts: &Facts<'a>) -> Verdict<'a> {
    let verdict = by_table(facts);
    if facts.missing == Missing::Nothing {
        return verdict;
    }
    // Without details and flags, "error" only says that nothing was found.
    let silent =
        verdict.source == DecisionSource::Proxy && facts.details.is_none() && facts.flags.is_none();
    match facts.missing {
        _ if !silent => verdict,
        Missing::Details if facts.upstream_host.is_some() => {
            Verdict { decision: Decision::Allow, source: DecisionSource::None, ..verdict }
        }
        _ => Verdict { decision: Decision::Unknown, source: DecisionSource::None, ..verdict },
    }
}

fn by_table<'a>(facts: &Facts<'a>) -> Verdict<'a> {
    let verdict = |decision, source| Verdict { decision, source, policy: None, tls: None };
    let deny = |source| verdict(Decision::Deny, source);
    let details = facts.details.unwrap_or_default();
    if let Some(policy) = [facts.details, facts.termination].into_iter().find_map(rbac_denial) {
        let policy = policy
            .or_else(|| facts.enforced_policy.filter(|_| facts.enforced_result == Some(b"denied")));
        return Verdict { policy, ..deny(DecisionSource::Rbac) };
    }
    if details.starts_with(b"jwt_authn_access_denied") {
        return deny(DecisionSource::Jwt);
    }
    // Before the flag: a failed authorisation service sets it too.
    if details == b"ext_authz_error" {
        return Verdict { policy: facts.ext_authz_policy, ..deny(DecisionSource::ExtAuthzError) };
    }
    if details == b"ext_authz_denied" || has_flag(facts.flags, b"UAEX") {
        return Verdict { policy: facts.ext_authz_policy, ..deny(DecisionSource::ExtAuthz) };
    }
    if details.ends_with(b"rate_limited") || has_flag(facts.flags, b"RL") {
        return deny(DecisionSource::RateLimit);
    }
    if let Some(tls) = tls_failure(facts) {
        let refused = tls.reason == TlsFailureReason::NoFilterChain;
        let decision = if refused { Decision::Deny } else { Decision::Error };
        return Verdict { tls: Some(tls), ..verdict(decision, DecisionSource::Mtls) };
    }
    if details == b"csrf_origin_mismatch" {
        return deny(DecisionSource::Csrf);
    }
    let connection_ok = !facts.is_http
        && (facts.upstream_host.is_some() || facts.ended_without_host)
        && facts.flags.is_none();
    if details == b"via_upstream" || connection_ok || let_in(facts) || answered(facts) {
        return match facts.enforced_policy.filter(|_| facts.enforced_result == Some(b"allowed")) {
            Some(policy) => {
                Verdict { policy: Some(policy), ..verdict(Decision::Allow, DecisionSource::Rbac) }
            }
            None => verdict(Decision::Allow, DecisionSource::None),
        };
    }
    verdict(Decision::Error, DecisionSource::Proxy)
}

/// A listener's line of a connection that nothing was wrong with: it was let in, and what was
/// asked on it has lines of its own.
fn let_in(facts: &Facts<'_>) -> bool {
    facts.is_listener
        && facts.details.is_none()
        && facts.termination.is_none()
        && facts.flags.is_none()
        && facts.missing == Missing::Nothing
}

/// Envoy answered by a route's configuration, as with a redirect, and the answer is no error.
fn answered(facts: &Facts<'_>) -> bool {
    facts.details == Some(b"direct_response")
        && facts.status.is_some_and(|status| (200..400).contains(&status))
        && !facts.grpc_failed
}

/// `Some` if the text is an RBAC denial; inside, the policy id unless it is `none`. An id may
/// contain brackets, so it ends at the last one.
fn rbac_denial(text: Option<&[u8]>) -> Option<Option<&[u8]>> {
    let id = text?.strip_prefix(RBAC_DENIED)?;
    let id = id.strip_suffix(b"]").unwrap_or(id);
    Some((id != b"none").then_some(id))
}

fn has_flag(flags: Option<&[u8]>, flag: &[u8]) -> bool {
    flags.is_some_and(|flags| flags.split(|&b| b == b',').any(|one| one == flag))
}

fn tls_failure<'a>(facts: &Facts<'a>) -> Option<TlsFailure<'a>> {
    if let Some(details) = facts.details.filter(|d| find(d, b"filter_chain_not_found").is_some()) {
        let reason = TlsFailureReason::NoFilterChain;
        return Some(TlsFailure { side: "downstream", reason, detail: details });
    }
    let failure = |side, detail| TlsFailure { side, reason: tls::classify(detail), detail };
    if let Some(detail) = facts.downstream_failure.filter(|text| tls::is_failure(text)) {
        return Some(failure("downstream", detail));
    }
    let upstream = match facts.upstream_failure {
        Some(text) => Some(text).filter(|text| tls::is_failure(text)),
        None => facts.details.and_then(tls::in_details),
    };
    upstream.map(|detail| failure("upstream", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: &Facts<'_>, decision: Decision, source: DecisionSource, policy: Option<&str>) {
        let verdict = decide(facts);
        assert_eq!((verdict.decision, verdict.source), (decision, source), "{facts:?}");
        assert_eq!(verdict.policy, policy.map(str::as_bytes), "{facts:?}");
    }

    fn details(text: &str) -> Facts<'_> {
        Facts { details: Some(text.as_bytes()), is_http: true, ..Facts::default() }
    }

    #[test]
    fn each_row_of_the_decision_table() {
        use Decision::{Allow, Deny, Error};
        use DecisionSource as S;
        let rbac = "rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[0]]";
        check(&details(rbac), Deny, S::Rbac, Some("ns[shop]-policy[p]-rule[0]"));
        check(&details("rbac_access_denied_matched_policy[none]"), Deny, S::Rbac, None);
        check(&details("jwt_authn_access_denied{Jwt_is_expired}"), Deny, S::Jwt, None);
        check(&details("ext_authz_denied"), Deny, S::ExtAuthz, None);
        let uaex = Facts { flags: Some(b"UAEX"), ..details("via_upstream") };
        check(&uaex, Deny, S::ExtAuthz, None);
        let failed = Facts { flags: Some(b"UAEX"), ..details("ext_authz_error") };
        check(&failed, Deny, S::ExtAuthzError, None);
        check(&details("local_rate_limited"), Deny, S::RateLimit, None);
        let limited = Facts { flags: Some(b"UF,RL"), ..details("x") };
        check(&limited, Deny, S::RateLimit, None);
        check(&details("filter_chain_not_found"), Deny, S::Mtls, None);
        check(&details("csrf_origin_mismatch"), Deny, S::Csrf, None);
        check(&details("via_upstream"), Allow, S::None, None);
        let named = Facts {
            enforced_result: Some(b"allowed"),
            enforced_policy: Some(b"p"),
            ..details("via_upstream")
        };
        check(&named, Allow, S::Rbac, Some("p"));
        check(&details("route_not_found"), Error, S::Proxy, None);
        check(&Facts::default(), Error, S::Proxy, None);
        let tcp = Facts { upstream_host: Some(b"10.0.0.1:5432"), ..Facts::default() };
        check(&tcp, Allow, S::None, None);
        let tcp_denied =
            Facts { termination: Some(b"rbac_access_denied_matched_policy[none]"), ..tcp };
        check(&tcp_denied, Deny, S::Rbac, None);
        check(&Facts { flags: Some(b"UF"), ..tcp }, Error, S::Proxy, None);
    }

    #[test]
    fn a_listener_line_without_a_fault_is_a_connection_let_in() {
        use Decision::{Allow, Deny, Error, Unknown};
        use DecisionSource as S;
        let healthy = Facts { is_listener: true, is_http: true, ..Facts::default() };
        check(&healthy, Allow, S::None, None);
        let inspected = Facts { downstream_failure: Some(b"TLS_error|error:1:x"), ..healthy };
        check(&inspected, Allow, S::None, None);
        let failed = Facts { downstream_failure: Some(b"TLS_error:|1:x"), ..healthy };
        check(&failed, Error, S::Mtls, None);
        check(&details_of(healthy, "filter_chain_not_found"), Deny, S::Mtls, None);
        check(&details_of(healthy, "x"), Error, S::Proxy, None);
        check(&Facts { flags: Some(b"DT"), ..healthy }, Error, S::Proxy, None);
        check(&Facts { termination: Some(b"idle_timeout"), ..healthy }, Error, S::Proxy, None);
        check(&Facts { missing: Missing::Details, ..healthy }, Unknown, S::None, None);
    }

    fn details_of<'a>(facts: Facts<'a>, text: &'a str) -> Facts<'a> {
        Facts { details: Some(text.as_bytes()), ..facts }
    }

    #[test]
    fn an_answer_by_configuration_is_an_error_by_its_status() {
        use Decision::{Allow, Error};
        use DecisionSource as S;
        for (status, grpc_failed, decision, source) in [
            (Some(200), false, Allow, S::None),
            (Some(301), false, Allow, S::None),
            (Some(399), false, Allow, S::None),
            (Some(200), true, Error, S::Proxy),
            (Some(403), false, Error, S::Proxy),
            (Some(418), false, Error, S::Proxy),
            (Some(100), false, Error, S::Proxy),
            (None, false, Error, S::Proxy),
        ] {
            let facts = Facts { status, grpc_failed, ..details("direct_response") };
            check(&facts, decision, source, None);
        }
        let other = Facts { status: Some(200), ..details("route_not_found") };
        check(&other, Error, S::Proxy, None);
    }

    #[test]
    fn tls_failures_by_side_and_the_inspector_is_none() {
        let real = b"TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
        let down = Facts { downstream_failure: Some(real), ..Facts::default() };
        let tls = decide(&down).tls.unwrap();
        assert_eq!((tls.side, tls.reason), ("downstream", TlsFailureReason::PlaintextOnTlsPort));
        let inspector = b"TLS_error|error:1000009c:SSL routines";
        let spurious = Facts { downstream_failure: Some(inspector), ..details("via_upstream") };
        assert_eq!(decide(&spurious).tls, None);
        let inside = format!(
            "upstream_reset_before_response_started{{remote_connection_failure|{}}}",
            "TLS_error:|1:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"
        );
        let facts = details(&inside);
        let tls = decide(&facts).tls.unwrap();
        assert_eq!((tls.side, tls.reason), ("upstream", TlsFailureReason::CertVerifyFailed));
        assert_eq!(decide(&facts).decision, Decision::Error);
        let refused = Facts { upstream_failure: Some(b"delayed_connect_error"), ..details("x") };
        assert_eq!(decide(&refused).tls, None);
    }
}
