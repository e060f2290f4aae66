//! Who calls whom, how long it takes, how it ends: one journey is everything that one request of
//! a customer causes. Also the traffic that no request causes: connections to databases, and
//! knocks at listeners.

use crate::catalogue::{BROWSERS, LIBRARIES, Role, Wire};
use crate::load::cluster_load;
use crate::plan::{Call, Grpc, Jwt, Outcome, Plan, RouteIndex, Rule, Side, Tls};
use crate::random::{Random, uuid};
use crate::topology::{PodIndex, Service, ServiceIndex, Topology};

/// Deepest chain of calls.
const DEPTH_MAX: u32 = 6;
/// How long a proxy waits for an answer.
const TIMEOUT_MICROS: u32 = 15_000_000;
/// Longest connection to a database: its length must fit in 32 bits.
const CONNECTION_MICROS_MAX: u32 = 3_600_000_000;

/// Draws journeys and puts their records into `out`.
pub(crate) struct Planner<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) random: &'a mut Random,
    pub(crate) out: &'a mut Vec<Plan>,
    /// Whether listeners log failed handshakes.
    pub(crate) listeners: bool,
    /// Nothing starts before this.
    pub(crate) epoch_micros: i64,
}

/// What all calls of a journey share.
#[derive(Clone, Copy)]
pub(crate) struct Journey {
    pub(crate) request_id: u128,
    agent: u32,
    visitor: u32,
    user: u32,
}

/// Where a journey goes after the next call.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// Wherever the call graph leads, so many calls deep.
    Free(u32),
    /// Along these services, and the last call ends so.
    Fixed(&'a [ServiceIndex], Outcome),
}

impl Planner<'_> {
    /// The next piece of ordinary traffic, beginning at about `start`.
    pub(crate) fn ordinary(&mut self, start: i64) {
        match self.random.below(1_000) {
            0..4 => self.knock(start),
            4..140 => self.connection(start),
            _ => {
                let edges = &self.topology.edges;
                // The first edge, the web shop, has half of the customers.
                let draw = self.random.below(2 * u32::try_from(edges.len()).unwrap_or(1)) as usize;
                let edge = edges.get(draw).copied().unwrap_or(self.topology.cast.frontend);
                let journey = self.journey(edge, None);
                let cluster = self.cluster(start);
                let depth = 2 + self.random.below(DEPTH_MAX - 1);
                let gateway = self.pod(self.topology.ingress, cluster);
                self.call(&journey, gateway, edge, start, Way::Free(depth));
            }
        }
    }

    /// Draws a customer; the request id is given for journeys that will be looked for.
    pub(crate) fn journey(&mut self, edge: ServiceIndex, request_id: Option<u128>) -> Journey {
        let browsers = u32::try_from(BROWSERS.len()).unwrap_or(1);
        let partner = self.topology.services[edge as usize].name == "partner-api";
        let agent = if partner {
            browsers + self.random.below(u32::try_from(LIBRARIES.len()).unwrap_or(1))
        } else if self.random.below(500) == 0 {
            browsers - 1
        } else {
            self.random.below(browsers - 1)
        };
        // Customers come from a few networks, and come back.
        let network =
            [0x5B0C_0000, 0x4E2F_0000, 0xB9C6_0000, 0x6D40_0000][self.random.below(4) as usize];
        let visitor = network | self.random.below(40) << 8 | self.random.below(254);
        let user = if self.random.below(100) < 65 { 1 + self.random.below(60_000) } else { 0 };
        let request_id = request_id.unwrap_or_else(|| uuid(self.random.u128()));
        Journey { request_id, agent, visitor, user }
    }

    /// A cluster, by how busy its customers are at the moment.
    pub(crate) fn cluster(&mut self, micros: i64) -> u32 {
        let count = u32::try_from(self.topology.clusters.len()).unwrap_or(1);
        let whole: u64 = (0..count).map(|cluster| cluster_load(cluster, micros)).sum();
        let mut draw = u64::from(self.random.below(u32::try_from(whole).unwrap_or(u32::MAX)));
        for cluster in 0..count {
            let load = cluster_load(cluster, micros);
            if draw < load {
                return cluster;
            }
            draw -= load;
        }
        0
    }

    /// A pod of a service in a cluster, or elsewhere if it does not run there.
    pub(crate) fn pod(&mut self, service: ServiceIndex, cluster: u32) -> PodIndex {
        let pods = &self.topology.services[service as usize].pods;
        let here = &pods[cluster as usize];
        let range = if here.is_empty() {
            pods.iter().find(|p| !p.is_empty()).unwrap_or(here)
        } else {
            here
        };
        range.start + self.random.below(range.end - range.start)
    }

    /// Plans one call and all that it causes. Returns when the caller has its answer, and which.
    pub(crate) fn call(
        &mut self,
        journey: &Journey,
        from: PodIndex,
        service: ServiceIndex,
        start: i64,
        way: Way<'_>,
    ) -> (i64, u16) {
        let topology = self.topology;
        let called = &topology.services[service as usize];
        let to = self.target(from, service, way);
        let outcome = self.outcome(topology.pods[from as usize].service == topology.ingress, way);
        let far = topology.pods[from as usize].cluster != topology.pods[to as usize].cluster;
        let net =
            150 + self.random.below(500) + if far { 38_000 + self.random.below(9_000) } else { 0 };
        let mut call = self.blank(journey, from, to, start, called);
        call.outcome = outcome;
        call.server_start = start + i64::from(net);
        match outcome {
            Outcome::Served => self.serve(journey, &mut call, called, way),
            _ => self.fail(&mut call, called),
        }
        call.client_micros = call.client_micros.max(call.server_micros.saturating_add(2 * net));
        self.log(call);
        (
            start + i64::from(call.client_micros),
            if call.grpc == Grpc::Ok { call.status } else { 500 },
        )
    }

    fn target(&mut self, from: PodIndex, service: ServiceIndex, way: Way<'_>) -> PodIndex {
        let cluster = self.topology.pods[from as usize].cluster;
        let clusters = u32::try_from(self.topology.clusters.len()).unwrap_or(1);
        // Now and then the balancer prefers another cluster's pods; never in a counted journey.
        let spill = matches!(way, Way::Free(_)) && self.random.below(70) == 0;
        let cluster = if spill { self.random.below(clusters) } else { cluster };
        self.pod(service, cluster)
    }

    fn outcome(&mut self, at_edge: bool, way: Way<'_>) -> Outcome {
        if let Way::Fixed(rest, last) = way {
            return if rest.is_empty() { last } else { Outcome::Served };
        }
        match (self.random.below(100_000), at_edge) {
            (0..50, _) => Outcome::Refused,
            (50..80, _) => Outcome::NoHost,
            (80..130, _) => Outcome::Timeout,
            (130..190, _) => Outcome::Reset,
            (190..194, false) => Outcome::Tls(Tls::Plaintext),
            (200..280, false) => Outcome::Denied(Rule::None),
            (280..310, false) => Outcome::Denied(Rule::Service),
            (200..320, true) => Outcome::Gone,
            (320..700, true) => Outcome::Jwt(Jwt::Expired),
            (700..820, true) => Outcome::Jwt(Jwt::Missing),
            (820..1_000, true) => Outcome::RateLimited,
            _ => Outcome::Served,
        }
    }

    /// A call without its outcome.
    pub(crate) fn blank(
        &mut self,
        journey: &Journey,
        from: PodIndex,
        to: PodIndex,
        start: i64,
        called: &Service,
    ) -> Call {
        let route = self.random.below(u32::try_from(called.routes.len()).unwrap_or(0));
        let method = called.routes.get(route as usize).map_or("", |r| r.method);
        let with_body = matches!(method, "POST" | "PUT" | "PATCH");
        Call {
            from,
            to,
            client_start: start,
            client_micros: 0,
            server_start: start,
            server_micros: 0,
            request_id: journey.request_id,
            path_seed: self.random.u64(),
            route: RouteIndex::Own(route),
            outcome: Outcome::Served,
            status: 200,
            grpc: Grpc::Ok,
            bytes_in: if with_body { self.random.spread(520, 250) } else { 0 },
            bytes_out: 0,
            agent: journey.agent,
            visitor: journey.visitor,
            user: journey.user,
        }
    }

    /// The application works, calls others, and answers.
    fn serve(&mut self, journey: &Journey, call: &mut Call, called: &Service, way: Way<'_>) {
        let own = self.random.spread(called.latency_micros, 170);
        let mut now = call.server_start + i64::from(own / 2);
        let mut worst = 0;
        let mut visit = |planner: &mut Self, service, way| {
            let (end, status) = planner.call(journey, call.to, service, now, way);
            now = end + 40;
            worst = worst.max(status);
        };
        match way {
            Way::Fixed([next, rest @ ..], last) => visit(self, *next, Way::Fixed(rest, last)),
            Way::Free(depth) if depth > 1 && !called.callees.is_empty() => {
                let most = if called.role == Role::Edge { 3 } else { 2 };
                let calls = u32::from(called.role == Role::Edge) + self.random.below(most);
                for _ in 0..calls {
                    let choice =
                        self.random.below(u32::try_from(called.callees.len()).unwrap_or(0));
                    visit(self, called.callees[choice as usize], Way::Free(depth - 1));
                }
            }
            Way::Free(_) | Way::Fixed([], _) => {}
        }
        now += i64::from(own / 2);
        call.server_micros = u32::try_from(now - call.server_start).unwrap_or(u32::MAX);
        let broken = worst >= 500 && (matches!(way, Way::Fixed(..)) || self.random.below(100) < 70);
        self.answer(call, called, broken, matches!(way, Way::Free(_)));
    }

    /// Status and size of an application's answer.
    fn answer(&mut self, call: &mut Call, called: &Service, broken: bool, may_fail: bool) {
        let draw = if may_fail { self.random.below(10_000) } else { u32::MAX };
        if called.wire == Wire::Grpc {
            call.grpc = match draw {
                _ if broken => Grpc::Unavailable,
                0..140 => Grpc::NotFound,
                140..190 => Grpc::InvalidArgument,
                190..200 => Grpc::Unavailable,
                _ => Grpc::Ok,
            };
            call.bytes_out =
                if call.grpc == Grpc::Ok { self.random.spread(called.body_bytes, 200) } else { 0 };
            return;
        }
        let RouteIndex::Own(route) = call.route else { return };
        let method = called.routes.get(route as usize).map_or("GET", |r| r.method);
        call.status = match (draw, method) {
            _ if broken => 503,
            (0..170, "GET") | (0..20, _) => 404,
            (170..210, _) => 400,
            (210..250, _) => 401,
            (250..275, "POST" | "PUT") => 409,
            (275..330, "POST" | "PUT" | "PATCH") => 422,
            (330..350, _) => 500,
            (350..360, _) => 503,
            (360..760, "GET") => 304,
            (_, "POST") if call.path_seed & 1 == 0 => 201,
            (_, "DELETE") => 204,
            _ => 200,
        };
        call.bytes_out = match (call.status, method) {
            (204 | 304, _) | (_, "HEAD") => 0,
            (200 | 201, _) => self.random.spread(called.body_bytes, 230),
            _ => 60 + self.random.below(120),
        };
    }

    /// A proxy ends the call, or the application never answers.
    pub(crate) fn fail(&mut self, call: &mut Call, called: &Service) {
        let grpc = called.wire == Wire::Grpc;
        let quick = self.random.below(900);
        (call.status, call.grpc, call.bytes_out, call.server_micros) = match call.outcome {
            Outcome::Denied(_) if grpc => (200, Grpc::PermissionDenied, 0, quick),
            Outcome::Denied(_) => (403, Grpc::Ok, 19, quick),
            Outcome::Jwt(_) => (401, Grpc::Ok, 14, quick),
            Outcome::RateLimited => (429, Grpc::Ok, 18, quick),
            Outcome::Timeout => (504, Grpc::DeadlineExceeded, 24, TIMEOUT_MICROS),
            Outcome::Gone => (0, Grpc::Ok, 0, self.random.spread(900_000, 300)),
            Outcome::Reset => {
                (503, Grpc::Unavailable, 95, self.random.spread(called.latency_micros, 200))
            }
            Outcome::NoHost => (503, Grpc::Unavailable, 19, 0),
            // Never connected: what there is of a duration is the attempt's.
            _ => (503, Grpc::Unavailable, 98, 800 + self.random.spread(1_500, 200)),
        };
        if !grpc {
            call.grpc = Grpc::Ok;
        }
    }

    /// One record for each proxy that saw the call.
    fn log(&mut self, call: Call) {
        self.out.push(Plan { side: Side::Client, call });
        match call.outcome {
            Outcome::NoHost | Outcome::Refused | Outcome::Tls(Tls::Plaintext) => {}
            Outcome::Tls(_) if self.listeners => self.out.push(Plan { side: Side::Listener, call }),
            Outcome::Tls(_) => {}
            _ => self.out.push(Plan { side: Side::Server, call }),
        }
    }

    /// A connection to a database, logged when it ends.
    pub(crate) fn connection(&mut self, end: i64) {
        let topology = self.topology;
        let draw = self.random.below(u32::try_from(topology.connections.len()).unwrap_or(0));
        let Some(&(client, store)) = topology.connections.get(draw as usize) else { return };
        let cluster = self.cluster(end);
        let (from, to) = (self.pod(client, cluster), self.pod(store, cluster));
        let micros = self.random.spread(45_000_000, 400).min(CONNECTION_MICROS_MAX);
        let start = (end - i64::from(micros)).max(self.epoch_micros);
        let denied = self.random.chance(2_500);
        let journey = Journey { request_id: 0, agent: 0, visitor: 0, user: 0 };
        let mut call = self.blank(&journey, from, to, start, &topology.services[store as usize]);
        call.status = 0;
        call.server_start = start + 180;
        if denied {
            call.outcome = Outcome::Denied(Rule::None);
            call.bytes_in = 80;
            (call.client_start, call.server_start) = (end, end + 180);
            call.client_micros = 900;
        } else {
            call.client_micros = u32::try_from(end - start).unwrap_or(0) + 400;
            call.server_micros = call.client_micros - 220;
            call.bytes_in = self.random.spread(48_000, 420);
            call.bytes_out = self.random.spread(310_000, 420);
        }
        self.out.push(Plan { side: Side::Client, call });
        self.out.push(Plan { side: Side::Server, call });
    }

    /// Somebody outside the mesh tries a port that takes mutual TLS only.
    pub(crate) fn knock(&mut self, start: i64) {
        let topology = self.topology;
        let count = u32::try_from(topology.services.len()).unwrap_or(1);
        let (service, cluster) = (self.random.below(count - 1), self.cluster(start));
        let to = self.pod(service, cluster);
        let journey = Journey { request_id: 0, agent: 0, visitor: 0, user: 0 };
        let mut call = self.blank(&journey, to, to, start, &topology.services[service as usize]);
        call.outcome = match self.random.below(10) {
            0..2 if self.listeners => Outcome::Tls(Tls::NoCertificate),
            2 if self.listeners => Outcome::Tls(Tls::OldVersion),
            _ => Outcome::NoFilterChain,
        };
        call.status = 0;
        (call.bytes_in, call.bytes_out) = (0, 0);
        call.server_micros = self.random.below(2_500);
        // A node's address, not a pod's.
        call.visitor = 10 << 24
            | topology.pods[to as usize].cluster << 20
            | 0xD_0000
            | self.random.below(0x400);
        self.out.push(Plan { side: Side::Listener, call });
    }
}
