//! What was decided about a call, by whom, and by which rule.
//!
//! The order of the steps matters: authentication, authorization, admission, then the rest.
//! Messages are the apiserver's; only what stands in its own words is read from them.

use std::borrow::Cow;

use common::event::{Decision, DecisionSource};
use memchr::memmem;

use super::call::{Call, Notes, Stage, Text};
use super::{goquote, walk};
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::json::Scanner;

/// A decision.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    pub(super) decision: Decision,
    source: Option<DecisionSource>,
    reason: Option<&'a [u8]>,
    policy: Option<Policy<'a>>,
}

/// The rule that decided.
#[derive(Debug, PartialEq, Eq)]
struct Policy<'a> {
    kind: &'static str,
    rule: &'a [u8],
    name: Text<'a>,
    namespace: Text<'a>,
}

/// Where RBAC says that a user may not hand out more than it has.
const ESCALATION: &[u8] = b"is attempting to grant RBAC permissions not currently held";

/// Decides a call that has ended.
pub(super) fn decide<'a>(call: &'a Call<'_>) -> Verdict<'a> {
    let code = call.answer.code.unwrap_or(0);
    let message = call.answer.message.as_deref().unwrap_or_default();
    let said = call.answer.message.as_deref().or(call.answer.reason.as_deref());
    let noted = call.notes.reason.as_deref();
    let note = call.notes.decision.as_deref();
    let verdict = |decision, source, reason, policy| Verdict { decision, source, reason, policy };
    let deny = |source, reason, policy| verdict(Decision::Deny, Some(source), reason, policy);
    if code == 401 {
        return deny(DecisionSource::K8sAuthn, said, None);
    }
    if note == Some(b"forbid") {
        return deny(DecisionSource::K8sRbac, noted.or(said), None);
    }
    if code == 403 && memmem::find(message, ESCALATION).is_some() {
        return deny(DecisionSource::K8sRbac, said, None);
    }
    if (400..500).contains(&code)
        && let Some(policy) = webhook_denial(message).or_else(|| admission_policy(message))
    {
        return deny(DecisionSource::K8sAdmission, said, Some(policy));
    }
    if code == 403 && note == Some(b"allow") {
        return deny(DecisionSource::K8sAdmission, said, pod_security(message));
    }
    if code == 403 {
        return deny(DecisionSource::K8sRbac, noted.or(said), None);
    }
    if code >= 500
        && let Some(policy) = webhook_failure(message)
    {
        return verdict(Decision::Error, Some(DecisionSource::K8sAdmission), said, Some(policy));
    }
    if code >= 400 || call.stage == Stage::Panic {
        return verdict(Decision::Error, Some(DecisionSource::App), said, None);
    }
    if (100..400).contains(&code) || note == Some(b"allow") {
        let policy = noted.and_then(binding);
        let source = if policy.is_some() { DecisionSource::K8sRbac } else { DecisionSource::None };
        return verdict(Decision::Allow, Some(source), noted, policy);
    }
    verdict(Decision::Unknown, None, said, None)
}

/// Writes a decision's columns.
pub(super) fn fill(event: &mut Event, verdict: &Verdict<'_>) {
    event.text(f::DECISION, verdict.decision.as_str().as_bytes());
    if let Some(source) = verdict.source {
        event.text(f::DECISION_SOURCE, source.as_str().as_bytes());
    }
    if let Some(reason) = verdict.reason {
        event.text(f::DECISION_REASON, reason);
    }
    if let Some(policy) = &verdict.policy {
        event.text(f::POLICY_RULE, policy.rule);
        event.text(f::POLICY_KIND, policy.kind.as_bytes());
        if let Some(name) = &policy.name {
            event.text(f::POLICY_NAME, name);
        }
        if let Some(namespace) = &policy.namespace {
            event.text(f::POLICY_NAMESPACE, namespace);
        }
    }
}

/// Writes what rules in audit mode would have decided of an allowed call.
pub(super) fn shadow(event: &mut Event, notes: &Notes<'_>) {
    let pod = notes.pod_security.as_deref().and_then(|text| quoted_behind(text, POD_SECURITY));
    let admission = || notes.validation_failure.as_deref().and_then(failed_policy);
    let Some(rule) = pod.map(|rule| Cow::Borrowed(rule.0)).or_else(admission) else { return };
    event.text(f::SHADOW_DECISION, Decision::Deny.as_str().as_bytes());
    event.text(f::SHADOW_POLICY_RULE, &rule);
}

/// `policy` of the first item of the JSON list that admission policies leave in an annotation.
fn failed_policy(list: &[u8]) -> Text<'static> {
    let first = walk::elements(list).next()?;
    let mut scanner = Scanner::new(&["policy"]);
    scanner.scan(first, false).ok()?;
    let policy = scanner.slot(0).text(first).filter(|text| !walk::is_absent(text))?;
    Some(Cow::Owned(policy.into_owned()))
}

fn named<'a>(kind: &'static str, name: &'a [u8]) -> Policy<'a> {
    Policy { kind, rule: name, name: Some(Cow::Borrowed(name)), namespace: None }
}

const POD_SECURITY: &[u8] = b"PodSecurity \"";

/// The text between the first `begin`, which ends in a quote, and the next quote; and what
/// follows that.
fn quoted_behind<'a>(text: &'a [u8], begin: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let behind = text.get(memmem::find(text, begin)? + begin.len()..)?;
    let (inside, rest) = behind.split_at_checked(memchr::memchr(b'"', behind)?)?;
    Some((inside, rest.get(1..)?))
}

/// `admission webhook "<name>" denied the request`
fn webhook_denial(message: &[u8]) -> Option<Policy<'_>> {
    let mut rest = message;
    loop {
        let (name, behind) = quoted_behind(rest, b"admission webhook \"")?;
        if behind.starts_with(b" denied the request") {
            return Some(named("AdmissionWebhook", name));
        }
        rest = behind;
    }
}

/// `failed calling webhook "<name>"`
fn webhook_failure(message: &[u8]) -> Option<Policy<'_>> {
    let (name, _) = quoted_behind(message, b"failed calling webhook \"")?;
    Some(named("AdmissionWebhook", name))
}

/// `ValidatingAdmissionPolicy '<name>' … denied request`
fn admission_policy(message: &[u8]) -> Option<Policy<'_>> {
    const BEGIN: &[u8] = b"ValidatingAdmissionPolicy '";
    let behind = message.get(memmem::find(message, BEGIN)? + BEGIN.len()..)?;
    let (name, rest) = behind.split_at_checked(memchr::memchr(b'\'', behind)?)?;
    memmem::find(rest, b"denied request")?;
    Some(named("ValidatingAdmissionPolicy", name))
}

/// `violates PodSecurity "<level>:<version>"`
fn pod_security(message: &[u8]) -> Option<Policy<'_>> {
    let (rule, _) = quoted_behind(message, b"violates PodSecurity \"")?;
    let level = rule.split(|&byte| byte == b':').next()?;
    Some(Policy { rule, ..named("PodSecurity", level) })
}

/// `allowed by ClusterRoleBinding "<name>" …` or `allowed by RoleBinding "<name>/<namespace>" …`
fn binding(reason: &[u8]) -> Option<Policy<'_>> {
    const BEGIN: &[u8] = b"allowed by ";
    memmem::find_iter(reason, BEGIN).find_map(|at| {
        let rule = reason.get(at + BEGIN.len()..)?;
        let of = |begin: &[u8]| rule.strip_prefix(begin).filter(|rest| rest.starts_with(b"\""));
        if let Some(quoted) = of(b"ClusterRoleBinding ") {
            let name = goquote::split(quoted).map(|(inside, _)| goquote::unquote(inside));
            return Some(Policy { kind: "ClusterRoleBinding", rule, name, namespace: None });
        }
        let quoted = of(b"RoleBinding ")?;
        let whole = goquote::split(quoted).map(|(inside, _)| goquote::unquote(inside));
        let (name, namespace) = whole.map_or((None, None), split_namespace);
        Some(Policy { kind: "RoleBinding", rule, name, namespace })
    })
}

/// `<name>/<namespace>`, split at the last slash.
fn split_namespace(whole: Cow<'_, [u8]>) -> (Text<'_>, Text<'_>) {
    let Some(slash) = memchr::memrchr(b'/', &whole) else { return (Some(whole), None) };
    match whole {
        Cow::Borrowed(text) => {
            (text.get(..slash).map(Cow::Borrowed), text.get(slash + 1..).map(Cow::Borrowed))
        }
        Cow::Owned(mut text) => {
            let namespace = text.split_off(slash + 1);
            text.truncate(slash);
            (Some(Cow::Owned(text)), Some(Cow::Owned(namespace)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webhook_that_denied_is_found_behind_others() {
        let message =
            br#"admission webhook "a" said so; admission webhook "b" denied the request: no"#;
        assert_eq!(webhook_denial(message), Some(named("AdmissionWebhook", b"b")));
        for other in ["", "admission webhook \"", "admission webhook \"a\" allowed the request"] {
            assert_eq!(webhook_denial(other.as_bytes()), None, "{other}");
        }
        assert_eq!(admission_policy(b"denied request ValidatingAdmissionPolicy 'x' no"), None);
    }

    #[test]
    fn a_binding_that_is_not_closed_has_no_name() {
        let policy = binding(b"RBAC: allowed by RoleBinding \"a/b").unwrap();
        assert_eq!((policy.kind, policy.name, policy.namespace), ("RoleBinding", None, None));
        let policy = binding(br#"allowed by RoleBinding "a\"/b/c" of"#).unwrap();
        assert_eq!(policy.name.as_deref(), Some(&b"a\"/b"[..]));
        assert_eq!(policy.namespace.as_deref(), Some(&b"c"[..]));
        assert!(binding(b"allowed by RoleBinding x, allowed by magic").is_none());
    }
}
