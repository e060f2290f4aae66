//! When the incidents happen, and the ordinary traffic of the same pairs of services before and
//! after. A scene has a fixed number of journeys of a fixed number of records each, so that what
//! a query must find is known without generating anything.

use crate::config::Config;
use crate::load::{Curve, cluster_load, part};
use crate::plan::{Outcome, RouteIndex, Rule, Tls};
use crate::random::{low16, mix, uuid};
use crate::topology::{ServiceIndex, Topology};

/// What a scene's journeys do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The stolen identity is refused.
    TheftDenied,
    /// The stolen identity is let in.
    TheftAllowed,
    /// A customer looks at a product: frontend, catalog, pricing.
    Browse,
    /// The same, refused by the policy that was a mistake.
    BrowseDenied,
    /// A customer orders: frontend, orders, shipping.
    Order,
    /// The same, with shipping's certificate expired.
    OrderFailing,
}

/// So many journeys of one kind, spread over a stretch of time by its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) action: Action,
    /// Where it happens; anywhere if not given.
    pub(crate) cluster: Option<u32>,
    /// Records of one journey.
    pub(crate) records: u64,
    pub(crate) count: u64,
    pub(crate) from_micros: i64,
    pub(crate) to_micros: i64,
    id: u64,
    mass: (u64, u64),
}

/// Where and how the stolen identity tries to get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) service: ServiceIndex,
    pub(crate) route: RouteIndex,
    pub(crate) outcome: Outcome,
    pub(crate) payments: bool,
}

impl Scene {
    /// When its nth journey begins. Never decreases.
    pub(crate) fn time(&self, curve: &Curve, seed: u64, n: u64) -> i64 {
        let jitter = u64::from(low16(self.hash(seed, n))) & 1023;
        let mass =
            self.mass.0 + part(self.mass.1 - self.mass.0, n * 1024 + jitter, self.count * 1024);
        curve.time(mass).clamp(self.from_micros, self.to_micros)
    }

    /// The request id of its nth journey.
    pub(crate) fn request_id(&self, seed: u64, n: u64) -> u128 {
        let hash = self.hash(seed, n);
        uuid(u128::from(mix(hash, 1)) << 64 | u128::from(mix(hash, 2)))
    }

    /// The services its journeys pass, from the gateway on, and how the last call ends.
    pub(crate) fn way(&self, topology: &Topology) -> ([ServiceIndex; 3], usize, Outcome) {
        let cast = &topology.cast;
        match self.action {
            Action::BrowseDenied => {
                ([cast.frontend, cast.catalog, 0], 2, Outcome::Denied(Rule::FrontendAllow))
            }
            Action::Order => ([cast.frontend, cast.orders, cast.shipping], 3, Outcome::Served),
            Action::OrderFailing => {
                ([cast.frontend, cast.orders, cast.shipping], 3, Outcome::Tls(Tls::Expired))
            }
            _ => ([cast.frontend, cast.catalog, cast.pricing], 3, Outcome::Served),
        }
    }

    /// The nth attempt of a theft.
    pub(crate) fn attempt(&self, topology: &Topology, n: u64) -> Attempt {
        let payments = n % 5 < 3;
        let (service, route, rule) = if payments {
            (topology.cast.payments, RouteIndex::Export, Rule::PaymentsViewer)
        } else {
            (topology.cast.users, RouteIndex::Cards, Rule::None)
        };
        let denied = self.action == Action::TheftDenied;
        let outcome = if denied { Outcome::Denied(rule) } else { Outcome::Served };
        Attempt { service, route, outcome, payments }
    }

    /// The number of its random stream; streams below 100 are the generator's own.
    pub(crate) fn stream(&self) -> u64 {
        100 + self.id
    }

    fn hash(&self, seed: u64, n: u64) -> u64 {
        mix(mix(seed, self.stream()), n)
    }
}

const MINUTE_MICROS: i64 = 60_000_000;

/// Night of the incident day: first refused, then let in.
const THEFT_MINUTES: (i64, i64, i64) = (133, 221, 390);
/// A quarter of an hour in the morning.
const POLICY_MINUTES: (i64, i64) = (642, 657);
/// From two in the afternoon until a fix.
const EXPIRY_MINUTES: (i64, i64) = (840, 985);

/// All scenes of a configuration that passed its check.
pub(crate) fn scenes(config: &Config, curve: &Curve) -> Vec<Scene> {
    let mut stage = Stage { config, curve, scenes: Vec::new() };
    stage.theft();
    stage.policy_mistake();
    stage.certificate_expiry();
    stage.scenes
}

struct Stage<'a> {
    config: &'a Config,
    curve: &'a Curve,
    scenes: Vec<Scene>,
}

impl Stage<'_> {
    fn theft(&mut self) {
        let denied = (self.config.events / 1_500).clamp(12, 260);
        let allowed = (denied / 6).max(2);
        let clusters = u64::from(self.config.clusters.min(2));
        let (from, turn, to) = THEFT_MINUTES;
        for cluster in 0..self.config.clusters.min(2) {
            // What does not divide evenly goes to the first.
            let share =
                |count: u64| count / clusters + if cluster == 0 { count % clusters } else { 0 };
            let (from, turn, to) = (self.minute(from), self.minute(turn), self.minute(to));
            self.add(Action::TheftDenied, Some(cluster), 1, share(denied), (from, turn));
            self.add(Action::TheftAllowed, Some(cluster), 1, share(allowed), (turn, to));
        }
    }

    fn policy_mistake(&mut self) {
        let total = self.config.events * 8 / 100 / 6;
        let (start, end) = self.curve.span();
        let (from, to) = (self.minute(POLICY_MINUTES.0), self.minute(POLICY_MINUTES.1));
        self.add(Action::Browse, None, 6, self.share(total, start, from), (start, from));
        self.add(Action::BrowseDenied, None, 4, self.share(total, from, to).max(8), (from, to));
        self.add(Action::Browse, None, 6, self.share(total, to, end), (to, end));
    }

    fn certificate_expiry(&mut self) {
        let total = self.config.events * 5 / 100 / 6;
        let (start, end) = self.curve.span();
        let (from, to) = (self.minute(EXPIRY_MINUTES.0), self.minute(EXPIRY_MINUTES.1));
        self.add(Action::Order, None, 6, self.share(total, start, from), (start, from));
        let during = self.share(total, from, to);
        let middle = from + (to - from) / 2;
        let loads: Vec<u64> = (0..self.config.clusters).map(|c| cluster_load(c, middle)).collect();
        let sum = loads.iter().sum();
        for (cluster, load) in (0..).zip(loads) {
            let count = part(during, load, sum);
            if cluster == 0 {
                let records = if self.config.format.listeners() { 6 } else { 5 };
                self.add(Action::OrderFailing, Some(0), records, count.max(6), (from, to));
            } else {
                self.add(Action::Order, Some(cluster), 6, count, (from, to));
            }
        }
        self.add(Action::Order, None, 6, self.share(total, to, end), (to, end));
    }

    fn minute(&self, minutes: i64) -> i64 {
        self.config.incident_day_micros() + minutes * MINUTE_MICROS
    }

    /// The part of a count that falls into a stretch of time.
    fn share(&self, count: u64, from: i64, to: i64) -> u64 {
        let whole = self.curve.mass(self.curve.span().1);
        part(count, self.curve.mass(to) - self.curve.mass(from), whole)
    }

    fn add(
        &mut self,
        action: Action,
        cluster: Option<u32>,
        records: u64,
        count: u64,
        (from, to): (i64, i64),
    ) {
        let id = u64::try_from(self.scenes.len()).unwrap_or(0);
        let mass = (self.curve.mass(from), self.curve.mass(to));
        self.scenes.push(Scene {
            action,
            cluster,
            records,
            count,
            from_micros: from,
            to_micros: to,
            id,
            mass,
        });
    }
}
