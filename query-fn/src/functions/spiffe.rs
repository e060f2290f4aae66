//! Parts of SPIFFE ids: `spiffe://trust-domain/path`, as SPIFFE's own document has them.

use super::scalar::{Body, Definition, Kind, Takes};

const ID: Takes = Takes::Exactly(&[("id", Kind::Text)]);

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "spiffe_trust_domain",
        takes: ID,
        body: Body::Text(|row| Some(SpiffeId::parse(row.text(0)?)?.trust_domain.into())),
        says: "Trust domain of a SPIFFE id",
        rewrite: None,
    },
    Definition {
        name: "spiffe_path",
        takes: ID,
        body: Body::Text(|row| Some(SpiffeId::parse(row.text(0)?)?.path.into())),
        says: "Path of a SPIFFE id with its leading slash; empty if it has none",
        rewrite: None,
    },
    Definition {
        name: "spiffe_namespace",
        takes: ID,
        body: Body::Text(|row| Some(SpiffeId::parse(row.text(0)?)?.value_of("ns")?.into())),
        says: "Namespace of a SPIFFE id with a path of the form /ns/NAMESPACE/…",
        rewrite: None,
    },
    Definition {
        name: "spiffe_service_account",
        takes: ID,
        body: Body::Text(|row| Some(SpiffeId::parse(row.text(0)?)?.value_of("sa")?.into())),
        says: "Service account of a SPIFFE id with a path of the form /ns/NAMESPACE/sa/ACCOUNT",
        rewrite: None,
    },
    Definition {
        name: "spiffe_service",
        takes: ID,
        body: Body::Text(|row| Some(SpiffeId::parse(row.text(0)?)?.value_of("svc")?.into())),
        says: "Service of a SPIFFE id with a path of the form /ns/NAMESPACE/dc/DATACENTER/svc/SERVICE",
        rewrite: None,
    },
];

/// A valid SPIFFE id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpiffeId<'a> {
    pub(super) trust_domain: &'a str,
    /// Empty, or segments with a slash before each.
    pub(super) path: &'a str,
}

impl<'a> SpiffeId<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > ID_BYTES_MAX {
            return None;
        }
        let rest = text.strip_prefix("spiffe://")?;
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let domain_byte = |byte: u8| byte.is_ascii_lowercase() || is_shared(byte);
        let domain_ok = (1..=TRUST_DOMAIN_BYTES_MAX).contains(&trust_domain.len())
            && trust_domain.bytes().all(domain_byte);
        let segment_ok = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|byte| byte.is_ascii_alphabetic() || is_shared(byte))
        };
        let path_ok = path.is_empty() || path[1..].split('/').all(segment_ok);
        (domain_ok && path_ok).then_some(Self { trust_domain, path })
    }

    /// The value of a key, where the path is keys and values in turn: of `/ns/shop/sa/web`, key
    /// `sa` has the value `web`.
    fn value_of(&self, key: &str) -> Option<&'a str> {
        let mut segments = self.path.strip_prefix('/')?.split('/');
        let mut found = None;
        while let Some(name) = segments.next() {
            let value = segments.next()?;
            if name == key && found.is_none() {
                found = Some(value);
            }
        }
        found
    }
}

/// Bytes that trust domains and path segments may both have.
fn is_shared(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

/// Longest id, as SPIFFE says.
const ID_BYTES_MAX: usize = 2048;

/// Longest trust domain, as SPIFFE says.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
