//! The mesh: services, pods, addresses, identities, policies. Built once from the seed; every
//! text that a record can contain is rendered here, so that writing a record only copies.

use crate::catalogue::{
    CAST, CONNECTIONS, COUNTRIES, EXTRA_NAMES, EXTRA_ROUTES, NAMESPACES, Role, Spec, WORDS, Wire,
};
use crate::config::{Config, SERVICES_MIN};
use crate::random::{Random, low16, low32, mix};
use crate::write;

/// Index of a service in [`Topology::services`].
pub(crate) type ServiceIndex = u32;
/// Index of a pod in [`Topology::pods`].
pub(crate) type PodIndex = u32;

pub(crate) struct Topology {
    pub(crate) clusters: Vec<String>,
    pub(crate) services: Vec<Service>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) edges: Vec<ServiceIndex>,
    /// Client and store.
    pub(crate) connections: Vec<(ServiceIndex, ServiceIndex)>,
    pub(crate) ingress: ServiceIndex,
    /// Address of each cluster's east-west gateway, as other clusters reach it.
    pub(crate) eastwest: Vec<u32>,
    /// Pod that holds the stolen identity, in each of the clusters where it is used.
    pub(crate) thieves: Vec<PodIndex>,
    pub(crate) cast: Named,
    /// What refuses the stolen identity in payments.
    pub(crate) payments_viewer: Denial,
    /// The policy that was a mistake.
    pub(crate) frontend_allow: Denial,
    /// What the stolen identity asks of payments, and of users.
    pub(crate) export: Route,
    pub(crate) cards: Route,
}

/// The services that incidents name.
pub(crate) struct Named {
    pub(crate) frontend: ServiceIndex,
    pub(crate) catalog: ServiceIndex,
    pub(crate) pricing: ServiceIndex,
    pub(crate) orders: ServiceIndex,
    pub(crate) shipping: ServiceIndex,
    pub(crate) payments: ServiceIndex,
    pub(crate) users: ServiceIndex,
    pub(crate) recommendations: ServiceIndex,
}

pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) role: Role,
    pub(crate) wire: Wire,
    pub(crate) port: u16,
    pub(crate) latency_micros: u32,
    pub(crate) body_bytes: u32,
    pub(crate) callees: Vec<ServiceIndex>,
    pub(crate) routes: Vec<Route>,
    /// Address of the Kubernetes service.
    pub(crate) address: u32,
    pub(crate) authority: String,
    /// Host name under which customers reach it, for services at the edge.
    pub(crate) public_host: &'static str,
    pub(crate) outbound_cluster: String,
    pub(crate) inbound_cluster: String,
    pub(crate) server_name: String,
    /// Policies that allow its callers.
    pub(crate) allow_policies: [String; 3],
    /// Policy that denies in ordinary traffic.
    pub(crate) deny: Denial,
    /// Its pods in each cluster; empty where it does not run.
    pub(crate) pods: Vec<std::ops::Range<PodIndex>>,
    /// What its code calls itself.
    pub(crate) library: u32,
}

/// A policy that denies, and how Envoy writes that it did.
pub(crate) struct Denial {
    pub(crate) policy: String,
    pub(crate) details: String,
}

pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: u32,
    pub(crate) cluster: u32,
    pub(crate) service: ServiceIndex,
    pub(crate) identity: String,
}

/// A method and a path with holes.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) parts: Vec<Part>,
}

pub(crate) enum Part {
    Text(String),
    Number(u32),
    Hex,
    Uuid,
    OneOf(&'static [&'static str]),
}

impl Denial {
    pub(crate) fn new(policy: String) -> Self {
        let details = format!("rbac_access_denied_matched_policy[{policy}]");
        Denial { policy, details }
    }
}

impl Route {
    fn new(method: &'static str, template: &str, service: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, (hole, after))) =
            rest.split_once('{').and_then(|(text, tail)| Some((text, tail.split_once('}')?)))
        {
            parts.push(Part::Text(text.to_owned()));
            parts.push(match hole {
                "num" => Part::Number(90_000),
                "small" => Part::Number(40),
                "hex" => Part::Hex,
                "uuid" => Part::Uuid,
                "word" => Part::OneOf(&WORDS),
                "cc" => Part::OneOf(&COUNTRIES),
                _ => Part::Text(service.to_owned()),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Route { method, parts }
    }

    /// The path that a seed stands for; both sides of a call get the same.
    pub(crate) fn render(&self, seed: u64, out: &mut Vec<u8>) {
        out.clear();
        let mut draw = seed;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Number(bound) => write::number(out, u64::from(low32(draw >> 16) % bound) + 1),
                Part::Hex => write::hex64(out, draw),
                Part::Uuid => {
                    let bits = u128::from(draw) << 64 | u128::from(mix(draw, 7));
                    write::uuid(out, crate::random::uuid(bits));
                }
                Part::OneOf(list) => {
                    out.extend_from_slice(list[low16(draw >> 5) as usize % list.len()].as_bytes())
                }
            }
            draw = mix(draw, 1);
        }
    }
}

impl Topology {
    /// `config` must have passed its check.
    pub(crate) fn new(config: &Config) -> Self {
        let clusters: Vec<String> = (0..config.clusters).map(cluster_name).collect();
        let mut services: Vec<Service> = (0..config.services).map(|k| service(k, config)).collect();
        let ingress = count(services.len());
        services.push(gateway());
        link(&mut services);
        let cast = named(&services);
        let policy = |service: ServiceIndex, name: &str| {
            let namespace = &services[service as usize].namespace;
            Denial::new(format!("ns[{namespace}]-policy[{name}]-rule[0]"))
        };
        let mut topology = Topology {
            payments_viewer: policy(cast.payments, "payments-viewer"),
            frontend_allow: policy(cast.catalog, "frontend-allow"),
            export: Route::new("GET", "/admin/export?table=cards&format=csv&cursor={hex}", ""),
            cards: Route::new("GET", "/users/{num}/cards", ""),
            edges: indexes(&services, |s| s.role == Role::Edge),
            connections: connections(&services),
            eastwest: (0..config.clusters).map(|c| address(c, 0xE_000A)).collect(),
            cast,
            pods: Vec::new(),
            thieves: Vec::new(),
            clusters,
            services,
            ingress,
        };
        topology.place(config);
        topology
    }

    pub(crate) fn service(&self, pod: PodIndex) -> &Service {
        &self.services[self.pods[pod as usize].service as usize]
    }

    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    pub(crate) fn identity(&self, service: ServiceIndex, cluster: u32) -> String {
        let Service { name, namespace, .. } = &self.services[service as usize];
        let account =
            if service == self.ingress { "istio-ingressgateway-service-account" } else { name };
        let cluster = &self.clusters[cluster as usize];
        format!("spiffe://{cluster}.example/ns/{namespace}/sa/{account}")
    }

    fn place(&mut self, config: &Config) {
        let mut random = Random::new(config.seed, 1);
        for cluster in 0..config.clusters {
            // An odd factor permutes the 16 bits: addresses look scattered and never repeat.
            let (factor, shift) = (random.below(30_000) * 2 + 1, random.below(60_000));
            let mut placed = 0;
            for service in 0..count(self.services.len()) {
                let first = count(self.pods.len());
                let replicas = self.replicas(service, cluster, config, &mut random);
                for _ in 0..replicas {
                    let slot = factor.wrapping_mul(placed).wrapping_add(shift) & 0xFFFF;
                    self.add_pod(service, cluster, address(cluster, slot), random.u64());
                    placed += 1;
                }
                let pods = first..count(self.pods.len());
                self.services[service as usize].pods.push(pods);
            }
        }
        for cluster in 0..config.clusters.min(2) {
            let pod = count(self.pods.len());
            self.add_pod(
                self.cast.recommendations,
                cluster,
                address(cluster, 0xF_FA00 + 17 + random.below(200)),
                random.u64(),
            );
            self.pods[pod as usize].identity = self.identity(self.cast.recommendations, 0);
            self.thieves.push(pod);
        }
    }

    /// Pods of a service in a cluster. Some services beyond the incidents' run in one only.
    fn replicas(
        &self,
        service: ServiceIndex,
        cluster: u32,
        config: &Config,
        random: &mut Random,
    ) -> u32 {
        let Service { role, .. } = &self.services[service as usize];
        let drawn = match role {
            Role::Edge => 3 + random.below(3),
            Role::Inner => 2 + random.below(3),
            Role::Store => 1,
        };
        let movable = service >= SERVICES_MIN && *role == Role::Inner && service != self.ingress;
        let home = low32(mix(config.seed, u64::from(service)));
        let single = movable && home.is_multiple_of(5);
        if single && (home / 5) % config.clusters != cluster { 0 } else { drawn }
    }

    fn add_pod(&mut self, service: ServiceIndex, cluster: u32, address: u32, bits: u64) {
        let name = match self.services[service as usize].role {
            Role::Store => format!("{}-0", self.services[service as usize].name),
            _ => pod_name(&self.services[service as usize].name, service, cluster, bits),
        };
        let identity = self.identity(service, cluster);
        self.pods.push(Pod { name, address, cluster, service, identity });
    }
}

fn service(k: u32, config: &Config) -> Service {
    let Some(spec) = CAST.get(k as usize) else { return extra(k, config) };
    let namespace = namespace(k, Some(spec.namespace), config);
    let routes =
        spec.routes.iter().map(|(method, path)| Route::new(method, path, spec.name)).collect();
    build(spec.name.to_owned(), namespace, spec, routes, k)
}

/// A service beyond the cast: it calls nobody, and [`link`] gives it callers.
fn extra(k: u32, config: &Config) -> Service {
    let number = k as usize - CAST.len();
    let name =
        format!("{}-{}", EXTRA_NAMES[number % EXTRA_NAMES.len()], number / EXTRA_NAMES.len() + 1);
    let namespace = namespace(k, None, config);
    let routes =
        EXTRA_ROUTES.iter().map(|(method, path)| Route::new(method, path, &name)).collect();
    build(name, namespace, &EXTRA_SPEC, routes, k)
}

/// Services of the incidents keep their namespace as long as it exists; others fill the rest.
fn namespace(k: u32, wanted: Option<u32>, config: &Config) -> String {
    let count = config.namespaces;
    let index = match wanted {
        Some(index) if k < SERVICES_MIN || count <= 8 => index % count,
        _ => k % count,
    };
    match NAMESPACES.get(index as usize) {
        Some(name) => (*name).to_owned(),
        None => format!("team-{:02}", index + 1),
    }
}

fn build(name: String, namespace: String, spec: &Spec, routes: Vec<Route>, k: u32) -> Service {
    let port = spec.port;
    let host = format!("{name}.{namespace}.svc.cluster.local");
    let policy =
        |suffix: &str, rule: u32| format!("ns[{namespace}]-policy[{name}-{suffix}]-rule[{rule}]");
    Service {
        role: spec.role,
        wire: spec.wire,
        port,
        latency_micros: spec.latency_micros,
        body_bytes: spec.body_bytes,
        callees: Vec::new(),
        routes,
        address: 172 << 24 | 20 << 16 | (low32(mix(k.into(), 3)) & 0xFF00) | (k % 250 + 2),
        authority: format!("{host}:{port}"),
        public_host: match name.as_str() {
            "frontend" => "www.shop.example",
            "mobile-api" => "m.shop.example",
            _ => "partners.shop.example",
        },
        outbound_cluster: format!("outbound|{port}||{host}"),
        inbound_cluster: format!("inbound|{port}||"),
        server_name: format!("outbound_.{port}_._.{host}"),
        allow_policies: [policy("callers", 0), policy("callers", 1), policy("callers", 2)],
        deny: Denial::new(policy("deny-internal", 0)),
        pods: Vec::new(),
        library: low32(mix(k.into(), 11)),
        name,
        namespace,
    }
}

fn gateway() -> Service {
    build(
        "istio-ingressgateway".to_owned(),
        "istio-system".to_owned(),
        &EXTRA_SPEC,
        Vec::new(),
        249,
    )
}

/// Resolves names to indexes; callees that a smaller mesh does not have are left out.
fn link(services: &mut [Service]) {
    for (k, spec) in CAST.iter().enumerate().take(services.len() - 1) {
        services[k].callees = spec.callees.iter().filter_map(|name| find(services, name)).collect();
    }
    let extras = count(CAST.len())..count(services.len() - 1);
    for k in extras {
        // Spread over the services that already call somebody, each extra with one caller.
        let callers = indexes(&services[..CAST.len()], |s| {
            !s.callees.is_empty() && s.name != "recommendations"
        });
        let caller = callers[k as usize % callers.len()];
        services[caller as usize].callees.push(k);
    }
}

fn connections(services: &[Service]) -> Vec<(ServiceIndex, ServiceIndex)> {
    CONNECTIONS
        .iter()
        .filter_map(|(from, to)| Some((find(services, from)?, find(services, to)?)))
        .collect()
}

fn named(services: &[Service]) -> Named {
    // All of them are among the first sixteen, which every mesh has.
    let get = |name| find(services, name).unwrap_or(0);
    Named {
        frontend: get("frontend"),
        catalog: get("catalog"),
        pricing: get("pricing"),
        orders: get("orders"),
        shipping: get("shipping"),
        payments: get("payments"),
        users: get("users"),
        recommendations: get("recommendations"),
    }
}

fn find(services: &[Service], name: &str) -> Option<ServiceIndex> {
    services.iter().position(|s| s.name == name).map(count)
}

fn indexes(services: &[Service], want: impl Fn(&Service) -> bool) -> Vec<ServiceIndex> {
    (0..count(services.len())).filter(|&k| want(&services[k as usize])).collect()
}

fn cluster_name(cluster: u32) -> String {
    const REGIONS: [&str; 4] = ["eu", "us", "ap", "sa"];
    format!("prod-{}-{}", REGIONS[cluster as usize % 4], cluster / 4 + 1)
}

/// A pod name as a deployment gives it: the same hash for all pods of one, then five letters.
fn pod_name(service: &str, index: ServiceIndex, cluster: u32, bits: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter = |bits: u64, k: u32| {
        char::from(LETTERS[low32((bits >> (6 * k)) & 63) as usize % LETTERS.len()])
    };
    let release = mix(u64::from(index) << 8 | u64::from(cluster), 5);
    let release: String = (0..9).map(|k| letter(release, k)).collect();
    let own: String = (0..5).map(|k| letter(bits, k)).collect();
    format!("{service}-{release}-{own}")
}

/// An address in a cluster's sixteenth of 10.0.0.0/8.
fn address(cluster: u32, slot: u32) -> u32 {
    10 << 24 | cluster << 20 | slot
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

const EXTRA_SPEC: Spec = Spec {
    name: "",
    namespace: 0,
    role: Role::Inner,
    wire: Wire::Http,
    port: 8080,
    latency_micros: 6_000,
    body_bytes: 1_200,
    callees: &[],
    routes: &[],
};
