//! Which of Consul's HTTP endpoints change policy, and what they change.
//!
//! Source: the endpoints of Consul's API documentation, as the rules 8 to 10 of
//! `tests/data/consul/README.md` list them.

use std::borrow::Cow;

use super::values::{is_absent, is_uuid};

/// What a call to a policy endpoint changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub(super) kind: Cow<'a, [u8]>,
    pub(super) namespace: Option<Cow<'a, [u8]>>,
    pub(super) name: Option<Cow<'a, [u8]>>,
    pub(super) uid: Option<&'a [u8]>,
    /// What a PUT does.
    put: &'static str,
}

impl Resource<'_> {
    /// The text of column `change_op`, for a method that [`resource`] took.
    pub(super) fn operation(&self, method: &[u8]) -> &'static str {
        match method {
            b"DELETE" => "delete",
            b"POST" => "create",
            _ => self.put,
        }
    }
}

/// The resource of a call; `None` if it changes no policy.
pub(super) fn resource<'a>(
    method: &[u8],
    path: &'a [u8],
    query: Option<&'a [u8]>,
) -> Option<Resource<'a>> {
    if !matches!(method, b"POST" | b"PUT" | b"DELETE") {
        return None;
    }
    let path = path.strip_prefix(b"/v1/")?;
    if path == b"connect/intentions/exact" {
        return Some(exact(query));
    }
    let (kind, id, put) = endpoint(path)?;
    let uid = id.filter(|id| is_uuid(id));
    let name = id.filter(|_| uid.is_none()).map(Cow::Borrowed);
    let namespace = query.and_then(|query| parameter(query, b"ns"));
    Some(Resource { kind: Cow::Borrowed(kind), namespace, name, uid, put })
}

/// An intention named by its two ends; it belongs to the one that is called.
fn exact(query: Option<&[u8]>) -> Resource<'_> {
    let destination = query.and_then(|query| parameter(query, b"destination"));
    let (namespace, name) = match destination {
        None => (None, None),
        Some(whole) => match memchr::memrchr(b'/', &whole) {
            None => (None, Some(whole)),
            Some(at) => {
                let piece = |piece: Option<&[u8]>| {
                    piece.filter(|piece| !is_absent(piece)).map(|piece| Cow::Owned(piece.to_vec()))
                };
                (piece(whole.get(..at)), piece(whole.get(at + 1..)))
            }
        },
    };
    let kind = Cow::Borrowed(&b"service-intentions"[..]);
    Resource { kind, namespace, name, uid: None, put: "update" }
}

/// Kind, id and meaning of PUT.
type Endpoint<'a> = (&'a [u8], Option<&'a [u8]>, &'static str);

/// What a path below `/v1/` is about.
fn endpoint(path: &[u8]) -> Option<Endpoint<'_>> {
    let id = |text: &'static [u8]| path.strip_prefix(text).filter(|id| !id.is_empty());
    if path == b"connect/intentions" {
        return Some((b"service-intentions", None, "update"));
    }
    if let Some(id) = id(b"connect/intentions/") {
        return is_uuid(id).then_some((b"service-intentions", Some(id), "update"));
    }
    if path == b"connect/ca/configuration" {
        return Some((b"ca-configuration", None, "update"));
    }
    if path == b"config" {
        return Some((b"config-entries", None, "update"));
    }
    if let Some(entry) = id(b"config/") {
        let (kind, name) = entry.split_at_checked(memchr::memchr(b'/', entry)?)?;
        let name = name.get(1..).filter(|name| !name.is_empty())?;
        return (!kind.is_empty()).then_some((kind, Some(name), "update"));
    }
    if let Some(call) = id(b"acl/") {
        return acl(call);
    }
    match id(b"peering/").map(first_segment) {
        Some((b"token" | b"establish", _)) => Some((b"peerings", None, "update")),
        Some((name, _)) if !name.is_empty() => Some((b"peerings", Some(name), "update")),
        _ => None,
    }
}

/// As [`endpoint`], of a path below `/v1/acl/`.
fn acl(path: &[u8]) -> Option<Endpoint<'_>> {
    let (call, rest) = first_segment(path);
    let kind: &[u8] = match call {
        b"" | b"login" | b"logout" | b"authorize" => return None,
        b"bootstrap" => return Some((b"acl-tokens", None, "create")),
        _ if call.starts_with(b"policy") => b"acl-policies",
        _ if call.starts_with(b"token") => b"acl-tokens",
        _ if call.starts_with(b"role") => b"acl-roles",
        _ if call.starts_with(b"auth-method") => b"acl-auth-methods",
        _ if call.starts_with(b"binding-rule") => b"acl-binding-rules",
        _ => b"acl",
    };
    let id = Some(first_segment(rest).0).filter(|id| !id.is_empty());
    let creates = id.is_none() || path.ends_with(b"/clone");
    Some((kind, id, if creates { "create" } else { "update" }))
}

/// A path up to its first slash, and what follows that.
fn first_segment(path: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b'/', path).unwrap_or(path.len());
    let (first, rest) = path.split_at_checked(at).unwrap_or((path, b""));
    (first, rest.strip_prefix(b"/").unwrap_or(rest))
}

/// The value of a query's first parameter of a name, percent-decoded; `None` if it is absent.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let value =
        query.split(|&b| b == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))?;
    Some(percent_decoded(value)).filter(|value| !is_absent(value))
}

/// A text with its percent-encoded bytes decoded; as it stands, if that gives no UTF-8.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match byte {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "e9ebc19f-d481-42b1-4871-4d298d3acd5c";

    fn show(method: &str, endpoint: &str) -> Option<String> {
        let (path, query) = super::super::values::split_target(endpoint.as_bytes());
        let found = resource(method.as_bytes(), path, query)?;
        let text = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            None => "-".to_owned(),
        };
        Some(format!(
            "{} {} {} {} {}",
            found.operation(method.as_bytes()),
            text(Some(&found.kind)),
            text(found.namespace.as_deref()),
            text(found.name.as_deref()),
            text(found.uid),
        ))
    }

    #[test]
    fn each_row_of_the_table_of_endpoints() {
        let check = |method: &str, endpoint: &str, expected: &str| {
            assert_eq!(show(method, endpoint).as_deref(), Some(expected), "{method} {endpoint}");
        };
        let with = |begin: &str, end: &str| format!("{begin}{ID}{end}");
        check("POST", "/v1/connect/intentions", "create service-intentions - - -");
        check(
            "PUT",
            &with("/v1/connect/intentions/", ""),
            &with("update service-intentions - - ", ""),
        );
        check(
            "PUT",
            "/v1/connect/intentions/exact?destination=a%2Fb",
            "update service-intentions a b -",
        );
        check(
            "DELETE",
            "/v1/connect/intentions/exact?destination=p%2fa%2Fb",
            "delete service-intentions p/a b -",
        );
        check(
            "PUT",
            "/v1/connect/intentions/exact?ns=x&destination=b",
            "update service-intentions - b -",
        );
        check(
            "PUT",
            "/v1/connect/intentions/exact?destination=%ff",
            "update service-intentions - %ff -",
        );
        check("PUT", "/v1/config?ns=prod", "update config-entries prod - -");
        check("DELETE", "/v1/config/service-intentions/db", "delete service-intentions - db -");
        check("PUT", "/v1/acl/bootstrap", "create acl-tokens - - -");
        check("PUT", "/v1/acl/token", "create acl-tokens - - -");
        check("PUT", &with("/v1/acl/token/", "/clone"), &with("create acl-tokens - - ", ""));
        check("PUT", &with("/v1/acl/token/", ""), &with("update acl-tokens - - ", ""));
        check("PUT", "/v1/acl/binding-rule", "create acl-binding-rules - - -");
        check("POST", "/v1/acl/rules/translate", "create acl - translate -");
        check("PUT", "/v1/connect/ca/configuration", "update ca-configuration - - -");
        check("POST", "/v1/peering/token", "create peerings - - -");
        check("DELETE", "/v1/peering/cluster-02", "delete peerings - cluster-02 -");
    }

    #[test]
    fn what_is_no_policy_endpoint() {
        for (method, endpoint) in [
            ("GET", "/v1/acl/policy"),
            ("PATCH", "/v1/acl/policy"),
            ("POST", "/v1/acl/login"),
            ("POST", "/v1/acl/logout"),
            ("POST", "/v1/acl/authorize"),
            ("POST", "/v1/acl/"),
            ("PUT", "/v1/acl"),
            ("PUT", "/v1/connect/intentions/match"),
            ("PUT", "/v1/config/service-intentions"),
            ("PUT", "/v1/kv/v1/acl/policy"),
            ("PUT", "/V1/acl/policy"),
            ("PUT", "/v1/peering"),
            ("PUT", ""),
        ] {
            assert_eq!(show(method, endpoint), None, "{method} {endpoint}");
        }
    }
}
