//! What is hidden in a stream, with the counts that a query must find.
//!
//! Not derived from generated records: the counts follow from the plan, and a test compares them
//! with what a scan of the JSON finds.

use crate::config::Config;
use crate::load::Curve;
use crate::record::{EXPIRED_DOWNSTREAM, EXPIRED_UPSTREAM};
use crate::scenes::{self, Action, Scene};
use crate::topology::{ServiceIndex, Topology};
use crate::write;

/// Something that went wrong in the mesh, and how to recognise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Which of the three.
    pub kind: IncidentKind,
    /// Its name, in words with underscores.
    pub name: &'static str,
    /// What happened, in sentences.
    pub description: String,
    /// No record of it has an earlier `start_time`.
    pub start_micros: i64,
    /// Every record of it has an earlier `start_time`.
    pub end_micros: i64,
    /// SPIFFE id of the calling workload; in extended records it is `downstream_peer_uri_san`.
    /// One for each cluster in which the caller has its own.
    pub principals: Vec<String>,
    /// Addresses of the pods behind a stolen identity; empty in the other incidents.
    pub source_addresses: Vec<String>,
    /// Clusters in which it happened.
    pub clusters: Vec<String>,
    /// Called services, as `name.namespace`.
    pub services: Vec<String>,
    /// Ids of the policies that denied, as Envoy writes them.
    pub policies: Vec<String>,
    /// Texts of TLS failures: the client's `upstream_transport_failure_reason`, then, if
    /// listeners log it, the server's `downstream_transport_failure_reason`.
    pub failure_reasons: Vec<String>,
    /// Request ids in order of time, at most [`Incident::REQUEST_IDS_MAX`] of them.
    pub request_ids: Vec<String>,
    /// How many records a query must find, by what it looks for.
    pub expected: Vec<Count>,
}

/// The three incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentKind {
    /// A workload's identity is used from a pod that is not the workload's.
    StolenIdentity,
    /// A policy denies what it was meant to allow.
    PolicyMistake,
    /// A server's certificate expires.
    CertificateExpiry,
}

/// A number of records, in the whole stream, that answer to a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// A short name, the same for every configuration.
    pub name: &'static str,
    /// Which records are counted, by keys of the raw JSON.
    pub of: String,
    /// How many there are.
    pub count: u64,
}

impl Incident {
    /// Most request ids that are listed. Every theft is: it has fewer.
    pub const REQUEST_IDS_MAX: usize = 1_000;

    /// The expected count of that name.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.expected.iter().find(|count| count.name == name).map(|count| count.count)
    }
}

/// What is hidden in the stream of a configuration; nothing if the configuration is one that
/// [`crate::Generator::new`] refuses, since it has no stream.
pub fn incidents(config: &Config) -> Vec<Incident> {
    if config.check().is_err() {
        return Vec::new();
    }
    describe(config, &Curve::new(config), &Topology::new(config))
}

pub(crate) fn describe(config: &Config, curve: &Curve, topology: &Topology) -> Vec<Incident> {
    let report = Report { config, curve, topology, scenes: scenes::scenes(config, curve) };
    vec![report.stolen_identity(), report.policy_mistake(), report.certificate_expiry()]
}

/// Longest time from a journey's beginning to the beginning of its last call.
const JOURNEY_MICROS_MAX: i64 = 10_000_000;

struct Report<'a> {
    config: &'a Config,
    curve: &'a Curve,
    topology: &'a Topology,
    scenes: Vec<Scene>,
}

impl Report<'_> {
    fn stolen_identity(&self) -> Incident {
        let cast = &self.topology.cast;
        let (denied, allowed) = (self.of(Action::TheftDenied), self.of(Action::TheftAllowed));
        let principal = self.topology.identity(cast.recommendations, 0);
        let addresses: Vec<String> = self
            .topology
            .thieves
            .iter()
            .map(|&pod| dotted(self.topology.pods[pod as usize].address))
            .collect();
        let at = |service| self.service(service);
        let (payments, users) = (at(cast.payments), at(cast.users));
        let attempts = |scenes: &[Scene], wanted: bool| {
            let hit = |scene: &&Scene, n| scene.attempt(self.topology, n).payments == wanted;
            scenes
                .iter()
                .map(|scene| count((0..scene.count).filter(|&n| hit(&scene, n)).count()))
                .sum()
        };
        let whose = "inbound records with downstream_remote_address at one of source_addresses";
        let expected = vec![
            self.expect("all", whose.into(), sum(&denied) + sum(&allowed)),
            self.expect("denied", format!("{whose}, refused by RBAC"), sum(&denied)),
            self.expect(
                "denied_payments",
                format!("{whose}, refused by the policy"),
                attempts(&denied, true),
            ),
            self.expect(
                "denied_users",
                format!("{whose}, refused with [none]"),
                attempts(&denied, false),
            ),
            self.expect("allowed", format!("{whose}, via_upstream with 200"), sum(&allowed)),
            self.expect(
                "allowed_payments",
                format!("{whose}, 200, path /admin/export"),
                attempts(&allowed, true),
            ),
            self.expect(
                "allowed_users",
                format!("{whose}, 200, path /users/<id>/cards"),
                attempts(&allowed, false),
            ),
        ];
        let description = format!(
            "For some hours of the night, {principal} calls {payments} and {users}, which the service never \
             calls, from pods that are not its own ({}), in every one of the clusters named. First it \
             is refused, later let in: /admin/export of payments and /users/<id>/cards leave the mesh. \
             The pods have no sidecar, so each call has one record only, the called one's.",
            addresses.join(", "),
        );
        Incident {
            kind: IncidentKind::StolenIdentity,
            name: "stolen_identity",
            description,
            principals: vec![principal],
            source_addresses: addresses,
            services: vec![payments, users],
            policies: vec![self.topology.payments_viewer.policy.clone()],
            expected,
            ..self.blank(IncidentKind::StolenIdentity, &[denied, allowed].concat())
        }
    }

    fn policy_mistake(&self) -> Incident {
        let cast = &self.topology.cast;
        let scenes = self.of(Action::BrowseDenied);
        let policy = self.topology.frontend_allow.policy.clone();
        let details = &self.topology.frontend_allow.details;
        let (frontend, catalog) = (self.service(cast.frontend), self.service(cast.catalog));
        let expected = vec![
            self.expect("denied", format!("inbound records with response_code_details {details}"), sum(&scenes)),
            self.expect(
                "refused_callers",
                format!("outbound records to {catalog}, 403 via_upstream, with the request id of a denied record"),
                sum(&scenes),
            ),
        ];
        let description = format!(
            "A rollout brings {policy}, meant to allow {frontend} to call {catalog}, as a DENY policy. \
             Every such call is refused until it is taken back; before and after, none is.",
        );
        Incident {
            kind: IncidentKind::PolicyMistake,
            name: "policy_mistake",
            description,
            principals: self.identities(cast.frontend),
            services: vec![catalog],
            policies: vec![policy],
            expected,
            ..self.blank(IncidentKind::PolicyMistake, &scenes)
        }
    }

    fn certificate_expiry(&self) -> Incident {
        let cast = &self.topology.cast;
        let scenes = self.of(Action::OrderFailing);
        let (orders, shipping) = (self.service(cast.orders), self.service(cast.shipping));
        let listeners = self.config.format.listeners();
        let listened = if listeners { sum(&scenes) } else { 0 };
        let expected = vec![
            self.expect(
                "failed",
                "outbound records, flag UF, with the first failure reason".into(),
                sum(&scenes),
            ),
            self.expect(
                "handshakes",
                "listener records, code 0, with the second failure reason".into(),
                listened,
            ),
        ];
        let mut failure_reasons = vec![EXPIRED_UPSTREAM.to_owned()];
        if listeners {
            failure_reasons.push(EXPIRED_DOWNSTREAM.to_owned());
        }
        let description = format!(
            "In {} the certificate of {shipping} expires. Every call from {orders} ends in 503 UF, \
             since its proxy rejects the certificate, until a new one is issued. Other clusters are \
             not touched.",
            self.topology.clusters[0],
        );
        Incident {
            kind: IncidentKind::CertificateExpiry,
            name: "certificate_expiry",
            description,
            principals: vec![self.topology.identity(cast.orders, 0)],
            services: vec![shipping],
            failure_reasons,
            expected,
            ..self.blank(IncidentKind::CertificateExpiry, &scenes)
        }
    }

    /// Times, clusters and request ids of an incident's scenes.
    fn blank(&self, kind: IncidentKind, scenes: &[Scene]) -> Incident {
        let start_micros = scenes.iter().map(|scene| scene.from_micros).min().unwrap_or(0);
        let end_micros =
            scenes.iter().map(|scene| scene.to_micros).max().unwrap_or(0) + JOURNEY_MICROS_MAX;
        let everywhere = scenes.iter().any(|scene| scene.cluster.is_none());
        let named = |cluster: &u32| {
            everywhere || scenes.iter().any(|scene| scene.cluster == Some(*cluster))
        };
        let clusters = (0..self.config.clusters).filter(named);
        Incident {
            kind,
            name: "",
            description: String::new(),
            start_micros,
            end_micros,
            principals: Vec::new(),
            source_addresses: Vec::new(),
            clusters: clusters
                .map(|cluster| self.topology.clusters[cluster as usize].clone())
                .collect(),
            services: Vec::new(),
            policies: Vec::new(),
            failure_reasons: Vec::new(),
            request_ids: self.request_ids(scenes),
            expected: Vec::new(),
        }
    }

    fn request_ids(&self, scenes: &[Scene]) -> Vec<String> {
        let seed = self.config.seed;
        let most = count(Incident::REQUEST_IDS_MAX);
        let mut ids: Vec<(i64, u128)> = scenes
            .iter()
            .flat_map(|scene| (0..scene.count.min(most)).map(move |n| (scene, n)))
            .map(|(scene, n)| (scene.time(self.curve, seed, n), scene.request_id(seed, n)))
            .collect();
        ids.sort_unstable();
        ids.truncate(Incident::REQUEST_IDS_MAX);
        ids.into_iter().map(|(_, id)| text(|out| write::uuid(out, id))).collect()
    }

    fn of(&self, action: Action) -> Vec<Scene> {
        self.scenes.iter().filter(|scene| scene.action == action).copied().collect()
    }

    fn service(&self, service: ServiceIndex) -> String {
        let service = &self.topology.services[service as usize];
        format!("{}.{}", service.name, service.namespace)
    }

    fn identities(&self, service: ServiceIndex) -> Vec<String> {
        (0..self.config.clusters).map(|cluster| self.topology.identity(service, cluster)).collect()
    }

    fn expect(&self, name: &'static str, of: String, count: u64) -> Count {
        Count { name, of, count }
    }
}

fn sum(scenes: &[Scene]) -> u64 {
    scenes.iter().map(|scene| scene.count).sum()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn dotted(address: u32) -> String {
    text(|out| write::ip(out, address))
}

fn text(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}
