//! Istio's naming grammars inside Envoy fields: upstream clusters, SNI, policy ids, SPIFFE ids.
//! Source: istio/istio pilot/pkg, as collected in the format reference.

/// An upstream cluster in Istio's form `<direction>|<port>|<subset>|<host>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster<'a> {
    /// `inbound` or `outbound`; `None` for the named pass-through and black-hole clusters.
    pub direction: Option<Direction>,
    /// The host, where the form has one and it is not empty.
    pub host: Option<&'a [u8]>,
}

/// Which side wrote the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The callee's proxy.
    Inbound,
    /// The caller's proxy.
    Outbound,
}

impl Direction {
    /// The text of column `direction`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// The text of column `reporter`.
    pub const fn reporter(self) -> &'static str {
        match self {
            Self::Inbound => "destination",
            Self::Outbound => "source",
        }
    }
}

/// Reads an upstream cluster; `None` if it is not named in Istio's way.
pub fn cluster(name: &[u8]) -> Option<Cluster<'_>> {
    let named = name == b"PassthroughCluster"
        || name == b"BlackHoleCluster"
        || name.starts_with(b"InboundPassthroughCluster");
    if named {
        return Some(Cluster { direction: None, host: None });
    }
    let (direction, rest) = if let Some(rest) = name.strip_prefix(b"inbound|") {
        (Direction::Inbound, rest)
    } else {
        (Direction::Outbound, name.strip_prefix(b"outbound|")?)
    };
    let mut parts = rest.splitn(3, |&b| b == b'|');
    let port = parts.next()?;
    let _subset = parts.next()?;
    let host = parts.next()?;
    if port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(Cluster { direction: Some(direction), host: (!host.is_empty()).then_some(host) })
}

/// The host of an SNI in Istio's form `outbound_.<port>_.<subset>_.<host>`.
pub fn sni_host(sni: &[u8]) -> Option<&[u8]> {
    let rest = sni.strip_prefix(b"outbound_.")?;
    let port_end = memchr::memmem::find(rest, b"_.")?;
    let rest = &rest[port_end + 2..];
    let subset_end = memchr::memmem::find(rest, b"_.")?;
    let host = &rest[subset_end + 2..];
    (!host.is_empty()).then_some(host)
}

/// Namespace of `<service>.<namespace>.svc.<domain>`.
pub fn service_namespace(host: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find(host, b".svc.")?;
    let mut labels = host.split(|&b| b == b'.');
    labels.next()?;
    labels.next().filter(|label| !label.is_empty())
}

/// A policy id `ns[<namespace>]-policy[<name>]-rule[<index>]`, with or without the marks of a
/// CUSTOM action around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyId<'a> {
    /// Namespace of the AuthorizationPolicy.
    pub namespace: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// The rule's index.
    pub rule_index: i32,
}

/// Splits a policy id; `None` if it is not of Istio's form.
pub fn policy_id(id: &[u8]) -> Option<PolicyId<'_>> {
    let core = match id.strip_prefix(b"istio-ext-authz-") {
        None => id,
        Some(rest) if rest.starts_with(b"ns[") => rest,
        Some(rest) => &rest[memchr::memmem::find(rest, b"-ns[")? + 1..],
    };
    let core = core.strip_suffix(b"-deny-due-to-bad-CUSTOM-action").unwrap_or(core);
    let (namespace, rest) = bracketed(core.strip_prefix(b"ns[")?)?;
    let (name, rest) = bracketed(rest.strip_prefix(b"-policy[")?)?;
    let (index, rest) = bracketed(rest.strip_prefix(b"-rule[")?)?;
    if !rest.is_empty() || !index.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let rule_index = std::str::from_utf8(index).ok()?.parse().ok()?;
    Some(PolicyId { namespace, name, rule_index })
}

/// Text up to `]`, not empty, and what follows it.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b']', text).filter(|&end| end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

/// Namespace and service account of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
pub fn spiffe_workload(id: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = id.strip_prefix(b"spiffe://")?;
    let path = &rest[memchr::memchr(b'/', rest)?..];
    let path = path.strip_prefix(b"/ns/")?;
    let slash = memchr::memchr(b'/', path).filter(|&at| at > 0)?;
    let account = path[slash..].strip_prefix(b"/sa/")?;
    let is_one_name = !account.is_empty() && !account.contains(&b'/');
    is_one_name.then_some((&path[..slash], account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_by_the_grammar() {
        let outbound = cluster(b"outbound|9080|v1|reviews.shop.svc.cluster.local").unwrap();
        assert_eq!(outbound.direction, Some(Direction::Outbound));
        assert_eq!(outbound.host, Some(&b"reviews.shop.svc.cluster.local"[..]));
        let inbound = cluster(b"inbound|9080||").unwrap();
        assert_eq!((inbound.direction, inbound.host), (Some(Direction::Inbound), None));
        assert_eq!(cluster(b"BlackHoleCluster").unwrap().direction, None);
        for other in [&b"app"[..], b"inbound|http||", b"outbound|80", b""] {
            assert_eq!(cluster(other), None);
        }
    }

    #[test]
    fn policy_ids_by_the_grammar() {
        let plain = policy_id(b"ns[shop]-policy[deny-admin]-rule[2]").unwrap();
        assert_eq!(plain, PolicyId { namespace: b"shop", name: b"deny-admin", rule_index: 2 });
        let custom =
            policy_id(b"istio-ext-authz-opa-ns[a]-policy[b]-rule[0]-deny-due-to-bad-CUSTOM-action");
        assert_eq!(custom, Some(PolicyId { namespace: b"a", name: b"b", rule_index: 0 }));
        assert!(policy_id(b"istio-ext-authz-ns[a]-policy[b]-rule[0]").is_some());
        for other in [&b"none"[..], b"ns[]-policy[b]-rule[0]", b"ns[a]-policy[b]-rule[x]", b"y"] {
            assert_eq!(policy_id(other), None);
        }
    }

    #[test]
    fn hosts_and_identities() {
        assert_eq!(
            sni_host(b"outbound_.9080_._.reviews.shop.svc.cluster.local"),
            Some(&b"reviews.shop.svc.cluster.local"[..])
        );
        assert_eq!(sni_host(b"example.com"), None);
        assert_eq!(service_namespace(b"reviews.shop.svc.cluster.local"), Some(&b"shop"[..]));
        assert_eq!(service_namespace(b"api.example.com"), None);
        assert_eq!(
            spiffe_workload(b"spiffe://td/ns/shop/sa/web"),
            Some((&b"shop"[..], &b"web"[..]))
        );
        assert_eq!(spiffe_workload(b"spiffe://td/other"), None);
    }
}
