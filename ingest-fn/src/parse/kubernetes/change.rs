//! What a call changed: operation, content before and after as far as the record has it, and
//! whether it took effect.

use super::call::{Call, Object, split_uri};
use super::canon::Canon;
use super::policy;
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;

/// A change of mesh policy, made or tried.
#[derive(Debug)]
pub(super) struct Change {
    op: &'static str,
    /// The caller asked that nothing be kept.
    pub(super) dry_run: bool,
}

/// The change of policy that a call is; `None` for every other call.
pub(super) fn of(call: &Call<'_>) -> Option<Change> {
    const OPS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
    let verb = call.verb.as_deref()?;
    let op = OPS.into_iter().find(|op| op.as_bytes() == verb)?;
    if call.resource.subresource.is_some() || !policy::is_policy(call) {
        return None;
    }
    Some(Change { op, dry_run: is_dry_run(call, op) })
}

/// Whether nothing was to be kept. Options in the body of a deletion stand for its query, which
/// the apiserver then does not read (handlers/delete.go); so a query can not hide a deletion.
fn is_dry_run(call: &Call<'_>, op: &str) -> bool {
    if op.starts_with("delete")
        && let Some(options) = call.request.as_ref().filter(|object| is_delete_options(object))
    {
        return options.dry_run;
    }
    let query = call.uri.as_deref().and_then(|uri| split_uri(uri).1).unwrap_or_default();
    query.split(|&byte| byte == b'&').any(asks_for_dry_run)
}

fn is_delete_options(object: &Object<'_>) -> bool {
    object.kind.as_deref() == Some(b"DeleteOptions")
}

/// Whether a parameter is `dryRun` with a value. What Go's net/url drops, with a `;` or a broken
/// escape, is no parameter: the apiserver made the change.
fn asks_for_dry_run(parameter: &[u8]) -> bool {
    if parameter.contains(&b';') || !has_whole_escapes(parameter) {
        return false;
    }
    let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
    let (name, value) = parameter.split_at(equals);
    value.len() > 1 && decodes_to(name, b"dryRun")
}

fn has_whole_escapes(text: &[u8]) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', text).all(|at| is_hex(text.get(at + 1)) && is_hex(text.get(at + 2)))
}

/// Whether percent-encoded text, whose escapes are whole, means `plain`.
fn decodes_to(mut text: &[u8], plain: &[u8]) -> bool {
    for &expected in plain {
        let (byte, rest) = match text {
            [b'%', high, low, rest @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                (u8::from_str_radix(digits, 16).ok(), rest)
            }
            [byte, rest @ ..] => (Some(*byte), rest),
            [] => return false,
        };
        if byte != Some(expected) {
            return false;
        }
        text = rest;
    }
    text.is_empty()
}

/// Writes the columns of a change.
pub(super) fn fill(event: &mut Event, call: &Call<'_>, change: &Change, canon: &mut Canon) {
    event.text(f::CHANGE_OP, change.op.as_bytes());
    let code = call.answer.code.filter(|&code| code != 0);
    if change.dry_run {
        event.bool(f::CHANGE_APPLIED, false);
    } else if let Some(code) = code {
        event.bool(f::CHANGE_APPLIED, (200..300).contains(&code));
    }
    let request = call.request.as_ref().map(|object| object.text);
    let response = call.response.as_ref().map(|object| object.text);
    let (before, after, patch) = match change.op {
        "create" | "update" => (None, response.or(request), None),
        "patch" => (None, response, request),
        _ => (response, None, None),
    };
    let has_content = before.or(after).or(patch).is_some();
    // Secrets are keys: the columns say that they changed, and no more.
    let secret = call.resource.is("", "secrets");
    if !secret {
        for (column, object) in
            [(f::CHANGE_BEFORE, before), (f::CHANGE_AFTER, after), (f::CHANGE_PATCH, patch)]
        {
            if let Some(text) = object.and_then(|object| canon.text(object)) {
                event.text(column, text);
            }
        }
    }
    let content = if call.notes.truncated {
        "truncated"
    } else if secret && has_content {
        "redacted"
    } else if before.is_some() {
        "full"
    } else if after.is_some() {
        "after_only"
    } else if patch.is_some() {
        "patch_only"
    } else {
        "none"
    };
    event.text(f::CHANGE_CONTENT, content.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn dry_runs_are_what_the_apiserver_takes_for_them() {
        for (query, expected) in [
            ("dryRun=All", true),
            ("pretty=1&dryRun=All", true),
            ("dr%79Run=All", true),
            ("dryRun=", false),
            ("dryRun", false),
            ("x=dryRun=All", false),
            ("dryRun%3DAll", false),
            ("dryrun=All", false),
            // Dropped by the apiserver, so the change was made.
            ("dryRun=All;", false),
            ("dryRun=%zz", false),
        ] {
            let call = Call {
                uri: Some(Cow::Owned(format!("/x?{query}").into_bytes())),
                ..Call::default()
            };
            assert_eq!(is_dry_run(&call, "patch"), expected, "{query}");
        }
    }

    #[test]
    fn options_in_the_body_of_a_deletion_stand_for_its_query() {
        for (body, expected) in [
            (r#"{"kind":"DeleteOptions","dryRun":["All"]}"#, true),
            (r#"{"kind":"DeleteOptions"}"#, false),
            (r#"{"kind":"DeleteOptions","dryRun":[]}"#, false),
        ] {
            let call = Call {
                uri: Some(Cow::Borrowed(if expected { &b"/x"[..] } else { b"/x?dryRun=All" })),
                request: Some(Object::of(body.as_bytes())),
                ..Call::default()
            };
            assert_eq!(is_dry_run(&call, "delete"), expected, "{body}");
        }
    }
}
