//! Who called: Linkerd's identities, and Rust's debug text of a connection's TLS state.

use std::borrow::Cow;

use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::istio;
use crate::parse::ztunnel::values::{is_absent, outside, unquote, whole_number};

/// What the debug text of a TLS state says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls<'a> {
    /// Mutual TLS; the client's identity.
    Client(Cow<'a, [u8]>),
    /// TLS that passes through, and the server name it asks for.
    Passthrough(Cow<'a, [u8]>),
    /// Nobody was authenticated.
    Anonymous,
}

/// Reads the debug text of a TLS state.
pub(super) fn tls(text: &[u8]) -> Tls<'_> {
    if let Some(id) = text.strip_prefix(b"Some(Established { client_id: Some(ClientId(") {
        let identity = match id.strip_prefix(b"Uri(Url { ") {
            Some(url) => uri(url).map(Cow::Owned),
            // Before identities could be URIs, the name stood alone.
            None => id.strip_prefix(b"Dns(").unwrap_or(id).strip_prefix(b"Name(").and_then(quoted),
        };
        return identity.filter(|id| !is_absent(id)).map_or(Tls::Anonymous, Tls::Client);
    }
    let sni = text.strip_prefix(b"Some(Passthru { sni: ").and_then(|sni| {
        let names = sni.split_at_checked(memchr::memmem::find(sni, b"Name(\"")?)?.1;
        quoted(names.strip_prefix(b"Name(")?)
    });
    sni.filter(|sni| !is_absent(sni)).map_or(Tls::Anonymous, Tls::Passthrough)
}

fn quoted(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    unquote(text).map(|(value, _)| value)
}

/// Puts a URI together from the members of its debug text.
fn uri(members: &[u8]) -> Option<Vec<u8>> {
    let scheme = member(members, b"scheme: ").and_then(quoted)?;
    let host = match member(members, b"host: ")? {
        none if none.starts_with(b"None") => Cow::Borrowed(&b""[..]),
        some => quoted(some.strip_prefix(b"Some(Domain(")?)?,
    };
    let path = member(members, b"path: ").and_then(quoted)?;
    let mut uri = [&scheme[..], b"://", &host].concat();
    let port = member(members, b"port: ").and_then(|port| port.strip_prefix(b"Some("));
    if let Some(port) = port {
        let digits = port.split(|&byte| byte == b')').next()?;
        whole_number(digits)?;
        uri.push(b':');
        uri.extend_from_slice(digits);
    }
    uri.extend_from_slice(&path);
    Some(uri)
}

/// What follows a member's name and colon, looked for outside quotes.
fn member<'a>(members: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = members;
    loop {
        if let Some(value) = rest.strip_prefix(name) {
            return Some(value);
        }
        let comma = outside(rest, b',', |rest| rest.starts_with(b", "));
        rest = rest.split_at_checked(comma)?.1.strip_prefix(b", ")?;
    }
}

/// Writes the caller whose certificate was verified.
pub(super) fn set_caller(identity: &[u8], event: &mut Event) {
    event.text(f::SRC_IDENTITY, identity);
    event.text(f::PRINCIPAL, identity);
    event.text(f::PRINCIPAL_TYPE, b"workload");
    event.text(f::PRINCIPAL_SOURCE, b"mtls");
    let account = istio::spiffe_workload(identity).or_else(|| dns_workload(identity));
    if let Some((namespace, account)) = account {
        event.text(f::SRC_NAMESPACE, namespace);
        event.text(f::SRC_WORKLOAD, account);
    }
}

/// Namespace and service account of `<account>.<namespace>.serviceaccount.identity.…`.
fn dns_workload(identity: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut labels = identity.splitn(3, |&byte| byte == b'.');
    let (account, namespace, rest) = (labels.next()?, labels.next()?, labels.next()?);
    let named = !account.is_empty() && !namespace.is_empty();
    (named && rest.starts_with(b"serviceaccount.identity.")).then_some((namespace, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_put_together() {
        let state = |members: &str| {
            format!(
                "Some(Established {{ client_id: Some(ClientId(Uri(Url {{ {members} }}))), x }})"
            )
        };
        let check = |members: &str, expected: Option<&str>| {
            let text = state(members);
            let expected = expected
                .map_or(Tls::Anonymous, |uri| Tls::Client(Cow::Owned(uri.as_bytes().to_vec())));
            assert_eq!(tls(text.as_bytes()), expected, "{text}");
        };
        let with_port = r#"scheme: "spiffe", host: Some(Domain("td")), port: Some(80), path: "/a""#;
        check(with_port, Some("spiffe://td:80/a"));
        let forged =
            r#"scheme: "s", password: Some(", path: \"/b\""), host: None, port: None, path: "/a""#;
        check(forged, Some("s:///a"));
        check(r#"scheme: "s", host: Some(Ipv4(1.2.3.4)), path: "/a""#, None);
        check("", None);
    }

    #[test]
    fn names_are_read_in_the_old_form_too() {
        let name = |text: &'static str| Tls::Client(Cow::Borrowed(text.as_bytes()));
        let begin = "Some(Established { client_id: Some(ClientId(";
        for form in ["Dns(Name(\"a.b\")))), x })", "Name(\"a.b\"))), x })"] {
            assert_eq!(tls(format!("{begin}{form}").as_bytes()), name("a.b"));
        }
        assert_eq!(tls(b"None(NoClientHello)"), Tls::Anonymous);
        assert_eq!(tls(b"Some(Established { client_id: None, x })"), Tls::Anonymous);
    }
}
