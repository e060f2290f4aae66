//! Consul's naming grammars inside Envoy fields: clusters, SNI, RBAC ids, SPIFFE ids.
//! Source: hashicorp/consul agent/xds, as collected in the format reference (section 5.2); the
//! grammar of names is from memory of it, and was not compared with a running Consul.

use crate::parse::istio::Direction;

/// Column `mesh` of records with Consul's marks.
pub(super) const MESH: &str = "consul";

/// Column `policy_kind` of the rules that Consul makes of intentions.
pub(super) const POLICY_KIND: &[u8] = b"service-intentions";

/// Whether a cluster name or SNI is Consul's: its trust domains end so.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.ends_with(b".consul")
}

/// Which side wrote a record with this upstream cluster, if the name is Consul's.
pub(super) fn direction(cluster: &[u8]) -> Option<Direction> {
    if is_name(cluster) {
        Some(Direction::Outbound)
    } else {
        (cluster == b"local_app").then_some(Direction::Inbound)
    }
}

/// A service as Consul names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service<'a> {
    pub(super) name: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) datacenter: &'a [u8],
}

/// Reads `[<subset>.]<service>.<namespace>.<datacenter>.internal.<trust domain>`, or
/// `[<subset>.]<service>.<namespace>.<partition>.<datacenter>.internal-v1.<trust domain>`.
pub(super) fn service(name: &[u8]) -> Option<Service<'_>> {
    /// Labels before the trust domain: at most subset, service, namespace, partition, datacenter
    /// and the mark.
    const LABELS_MAX: usize = 6;
    // Istio names a host in its own way around it.
    if !is_name(name) || memchr::memchr(b'|', name).is_some() {
        return None;
    }
    let mut labels = [&b""[..]; LABELS_MAX];
    for (place, label) in labels.iter_mut().zip(name.split(|&b| b == b'.')) {
        if label.is_empty() {
            return None;
        }
        *place = label;
    }
    match labels {
        [name, namespace, datacenter, b"internal", ..]
        | [_, name, namespace, datacenter, b"internal", _]
        | [name, namespace, _, datacenter, b"internal-v1", _]
        | [_, name, namespace, _, datacenter, b"internal-v1"] => {
            Some(Service { name, namespace, datacenter })
        }
        _ => None,
    }
}

/// Whether an RBAC policy id is one that Consul makes of intentions; inside, the number of a
/// layer 7 rule. The id does not name the intention.
pub(super) fn intention(id: &[u8]) -> Option<Option<i32>> {
    match id.strip_prefix(b"consul-intentions-layer")? {
        b"4" => Some(None),
        rest => {
            let digits = rest.strip_prefix(b"7-")?;
            let whole = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let index = whole.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()?;
            Some(Some(index))
        }
    }
}

/// Service, namespace and datacenter of
/// `spiffe://<trust domain>/[ap/<partition>/]ns/<namespace>/dc/<datacenter>/svc/<service>`.
pub(super) fn spiffe_service(id: &[u8]) -> Option<Service<'_>> {
    let rest = id.strip_prefix(b"spiffe://")?;
    let mut parts = rest.split(|&b| b == b'/');
    let _trust_domain = parts.next().filter(|domain| !domain.is_empty())?;
    let mut mark = parts.next()?;
    if mark == b"ap" {
        parts.next().filter(|partition| !partition.is_empty())?;
        mark = parts.next()?;
    }
    let namespace = parts.next().filter(|_| mark == b"ns")?;
    let datacenter = parts.next().filter(|mark| *mark == b"dc").and_then(|_| parts.next())?;
    let name = parts.next().filter(|mark| *mark == b"svc").and_then(|_| parts.next())?;
    let whole = parts.next().is_none() && ![namespace, datacenter, name].contains(&&b""[..]);
    whole.then_some(Service { name, namespace, datacenter })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::envoy::tests::check_rebuild;

    fn show(service: Option<Service<'_>>) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        service.map(|s| [s.name, s.namespace, s.datacenter].map(text).join(" "))
    }

    #[test]
    fn names_by_the_grammar() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(show(service(name.as_bytes())).as_deref(), expected, "{name}");
        };
        check("db.prod.dc2.internal.7e1c.consul", Some("db prod dc2"));
        check("v2.db.prod.dc2.internal.7e1c.consul", Some("db prod dc2"));
        check("db.prod.team.dc2.internal-v1.7e1c.consul", Some("db prod dc2"));
        check("v2.db.prod.team.dc2.internal-v1.7e1c.consul", Some("db prod dc2"));
        for other in [
            "",
            "db",
            "local_app",
            "db.virtual.consul",
            "db..dc2.internal.7e1c.consul",
            "prod.dc2.internal.7e1c.consul",
            "a.b.c.d.e.f.g.internal.consul",
            "db.prod.dc2.internal.7e1c",
            "outbound|80||db.prod.dc2.internal.x.consul",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn sides_ids_and_identities() {
        assert_eq!(direction(b"local_app"), Some(Direction::Inbound));
        assert_eq!(direction(b"x.consul"), Some(Direction::Outbound));
        assert_eq!(direction(b"local_app2"), None);
        assert_eq!(intention(b"consul-intentions-layer4"), Some(None));
        assert_eq!(intention(b"consul-intentions-layer7-12"), Some(Some(12)));
        for id in [
            "none",
            "consul-intentions-layer7",
            "consul-intentions-layer7-",
            "consul-intentions-layer7-+1",
            "consul-intentions-layer7-99999999999",
            "consul-intentions-layer45",
        ] {
            assert_eq!(intention(id.as_bytes()), None, "{id}");
        }
        let check = |id: &str, expected: Option<&str>| {
            assert_eq!(show(spiffe_service(id.as_bytes())).as_deref(), expected, "{id}");
        };
        check("spiffe://t.consul/ns/prod/dc/dc1/svc/web", Some("web prod dc1"));
        check("spiffe://t.consul/ap/a/ns/prod/dc/dc1/svc/web", Some("web prod dc1"));
        for other in [
            "spiffe://t/ns/shop/sa/web",
            "spiffe://t/ns/prod/dc/dc1/svc/",
            "spiffe://t/ns/prod/dc/dc1/svc/web/x",
            "spiffe://t/ap/ns/prod/dc/dc1/svc/web",
            "spiffe:///ns/prod/dc/dc1/svc/web",
            "spiffe://t/agent/client/dc/dc1/id/x",
            "",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn records_under_consul_come_back() {
        let cases = include_str!("../../../../tests/data/consul/cases.jsonl");
        let records: Vec<String> = cases
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|case| case["record"].as_str().unwrap().to_owned())
            .filter(|record| record.contains("\"upstream_cluster\""))
            .collect();
        assert_eq!(records.len(), 10);
        for record in &records {
            check_rebuild(&[record], record.contains("consul_extra"));
        }
    }
}
