//! Who called: the authenticated user, and whom it impersonated.

use std::borrow::Cow;

use super::call::{Text, set};
use super::{legacy, walk};
use crate::parse::event::{Event, Row};
use crate::parse::fields as f;

/// The caller.
#[derive(Debug, Default)]
pub(super) struct User<'a> {
    pub(super) name: Text<'a>,
    pub(super) uid: Text<'a>,
    pub(super) groups: Groups<'a>,
    /// Name of the impersonated user.
    pub(super) impersonated: Text<'a>,
    /// Id of the credential, never the credential.
    pub(super) credential: Text<'a>,
}

/// A user's groups.
#[derive(Debug, Default)]
pub(super) enum Groups<'a> {
    /// Not logged.
    #[default]
    None,
    /// JSON text, a list where all is well.
    Json(&'a [u8]),
    /// Strings in Go's quotes, with commas between.
    Quoted(&'a [u8]),
}

const SERVICE_ACCOUNT: &[u8] = b"system:serviceaccount:";

/// Writes the columns of a caller.
pub(super) fn fill(event: &mut Event, user: &User<'_>) {
    set(event, f::USER_NAME, &user.name);
    set(event, f::USER_UID, &user.uid);
    set(event, f::CREDENTIAL_ID, &user.credential);
    set(event, f::IMPERSONATED_USER, &user.impersonated);
    groups(event, &user.groups);
    if let Some(principal) = user.impersonated.as_deref().or(user.name.as_deref()) {
        event.text(f::PRINCIPAL, principal);
        event.text(f::PRINCIPAL_TYPE, principal_type(principal).as_bytes());
        event.text(f::PRINCIPAL_SOURCE, b"k8s_user");
    }
    let Some(name) = user.name.as_deref() else { return };
    if is_email(name) {
        event.text(f::USER_EMAIL, name);
    }
    if let Some((namespace, account)) = service_account(name) {
        event.text(f::SRC_NAMESPACE, namespace);
        event.text(f::SRC_WORKLOAD, account);
    }
}

fn groups(event: &mut Event, groups: &Groups<'_>) {
    match *groups {
        Groups::None => {}
        Groups::Json(list) => {
            list_of(event, list, || walk::elements(list).filter_map(walk::text));
        }
        Groups::Quoted(list) => list_of(event, list, || legacy::groups(list)),
    }
}

/// Writes the texts of a list. Without escapes in it there is nothing to decode, so nothing to
/// allocate.
fn list_of<'a, I>(event: &mut Event, list: &[u8], texts: impl Fn() -> I)
where
    I: Iterator<Item = Cow<'a, [u8]>>,
{
    if memchr::memchr(b'\\', list).is_none() {
        let borrowed = || {
            texts().filter_map(|text| match text {
                Cow::Borrowed(text) => Some(text),
                Cow::Owned(_) => None,
            })
        };
        if borrowed().next().is_some() {
            event.list(f::USER_GROUPS, borrowed());
        }
        return;
    }
    let decoded: Vec<Cow<'a, [u8]>> = texts().collect();
    if !decoded.is_empty() {
        event.list(f::USER_GROUPS, decoded.iter().map(|text| &**text));
    }
}

fn principal_type(name: &[u8]) -> &'static str {
    if name.starts_with(SERVICE_ACCOUNT) {
        "service_account"
    } else if name == b"system:anonymous" {
        "anonymous"
    } else if name.starts_with(b"spiffe://") {
        "workload"
    } else if name.starts_with(b"system:") {
        "machine"
    } else {
        "user"
    }
}

/// Namespace and name of `system:serviceaccount:<namespace>:<name>`.
fn service_account(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = name.strip_prefix(SERVICE_ACCOUNT)?.split(|&byte| byte == b':');
    let (namespace, account) = (parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && !namespace.is_empty() && !account.is_empty();
    whole.then_some((namespace, account))
}

/// Whether a name is of the form `x@y`. A role ARN that contains an address is not.
fn is_email(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let Some((left, right)) = text.split_once('@') else { return false };
    !left.is_empty()
        && !right.is_empty()
        && !right.contains('@')
        && !text.contains(|c: char| c.is_whitespace() || c == '/' || c == ':')
}

/// The credential's id in the JSON text of `extra`: the token's, else EKS's access key id.
pub(super) fn credential(extra: &[u8]) -> Text<'_> {
    let (mut token, mut access_key) = (None, None);
    for (key, value) in walk::members(extra) {
        let first = || walk::elements(value).next().and_then(walk::text);
        match walk::string(key).as_deref() {
            Some(b"authentication.kubernetes.io/credential-id") => token = first(),
            Some(b"accessKeyId") => access_key = first(),
            _ => {}
        }
    }
    token.or(access_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_principals() {
        for (name, expected) in [
            ("system:serviceaccount:a:b", "service_account"),
            ("system:anonymous", "anonymous"),
            ("system:node:n", "machine"),
            ("spiffe://td/ns/a/sa/b", "workload"),
            ("systemic", "user"),
        ] {
            assert_eq!(principal_type(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn addresses_and_accounts_are_recognised_whole() {
        for (name, expected) in [
            ("alice@example.com", true),
            ("@example.com", false),
            ("alice@", false),
            ("a@b@c", false),
            ("a b@c", false),
            ("arn:aws:sts::1:assumed-role/r/a@b", false),
        ] {
            assert_eq!(is_email(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(service_account(b"system:serviceaccount:a:b"), Some((&b"a"[..], &b"b"[..])));
        for other in ["system:serviceaccount:a", "system:serviceaccount::b", "a:b"] {
            assert_eq!(service_account(other.as_bytes()), None, "{other}");
        }
        assert!(service_account(b"system:serviceaccount:a:b:c").is_none());
    }
}
