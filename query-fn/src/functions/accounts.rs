//! Parts of the names by which people and workloads are known.

use super::scalar::{Body, Definition, Kind, Takes};
use super::spiffe::SpiffeId;

const IDENTITY: Takes = Takes::Exactly(&[("identity", Kind::Text)]);
const EMAIL: Takes = Takes::Exactly(&[("email", Kind::Text)]);

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "k8s_service_account_namespace",
        takes: IDENTITY,
        body: Body::Text(|row| Some(service_account(row.text(0)?)?.0.into())),
        says: "Namespace of a Kubernetes service account: of a user name, a SPIFFE id or a Linkerd identity",
        rewrite: None,
    },
    Definition {
        name: "k8s_service_account_name",
        takes: IDENTITY,
        body: Body::Text(|row| Some(service_account(row.text(0)?)?.1.into())),
        says: "Name of a Kubernetes service account: of a user name, a SPIFFE id or a Linkerd identity",
        rewrite: None,
    },
    Definition {
        name: "email_local_part",
        takes: EMAIL,
        body: Body::Text(|row| Some(email(row.text(0)?)?.0.into())),
        says: "What stands before the @ of an e-mail address",
        rewrite: None,
    },
    Definition {
        name: "email_domain",
        takes: EMAIL,
        body: Body::Text(|row| Some(email(row.text(0)?)?.1.to_ascii_lowercase().into())),
        says: "Domain of an e-mail address, in lower case",
        rewrite: None,
    },
];

/// Namespace and name of a service account. Kubernetes, Istio and Linkerd each write it otherwise:
/// `system:serviceaccount:shop:web`, `spiffe://DOMAIN/ns/shop/sa/web`,
/// `web.shop.serviceaccount.identity.CONTROL-PLANE.DOMAIN`.
fn service_account(text: &str) -> Option<(&str, &str)> {
    let (namespace, name) = if let Some(rest) = text.strip_prefix("system:serviceaccount:") {
        rest.split_once(':')?
    } else if let Some(id) = SpiffeId::parse(text) {
        id.path.strip_prefix("/ns/")?.split_once("/sa/")?
    } else {
        let (account, place) = text.split_once(".serviceaccount.identity.")?;
        if !is_dns(place) {
            return None;
        }
        // A namespace has no dot; an account's name may.
        let (name, namespace) = account.rsplit_once('.')?;
        (namespace, name)
    };
    (is_dns(namespace) && !namespace.contains('.') && is_dns(name)).then_some((namespace, name))
}

/// Whether a text is of the letters that Kubernetes allows in names.
fn is_dns(text: &str) -> bool {
    let is_name = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_name)
}

/// Both sides of the one `@`.
fn email(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.split_once('@')?;
    let is_odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '<' | '>' | '"');
    let is_part = |part: &str| !part.is_empty() && !part.contains(is_odd);
    (is_part(local) && is_part(domain)).then_some((local, domain))
}

/// Longest name of an object of Kubernetes, and of a host.
const NAME_BYTES_MAX: usize = 253;
