//! Merges ordinary traffic and scenes into one stream, in the order in which proxies log.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::config::{Config, TrafficError};
use crate::format;
use crate::incidents::{self, Incident};
use crate::journey::{Planner, Way};
use crate::load::{Curve, part};
use crate::plan::{Plan, RouteIndex, Side};
use crate::random::Random;
use crate::scenes::{self, Action, Scene};
use crate::topology::Topology;

/// Proxies of different pods reach the archive's sender this much apart at most.
const DISORDER_MICROS: u32 = 400_000;
/// Spread of an ordinary journey around its place on the load curve.
const JITTER_MICROS: u32 = 50_000;

/// The archive-wide stream of records of one [`Config`].
///
/// Memory is bounded by the records under way at one moment of the simulated time.
pub struct Generator {
    config: Config,
    topology: Topology,
    curve: Curve,
    acts: Vec<Act>,
    ordinary: Ordinary,
    next: Option<(i64, Source)>,
    /// When each waiting record is logged, its number, and its place in `waiting`.
    queue: BinaryHeap<Reverse<(i64, u64, usize)>>,
    waiting: Vec<Plan>,
    free: Vec<usize>,
    logged: u64,
    staged: Vec<Plan>,
    path: Vec<u8>,
}

/// A scene being played.
struct Act {
    scene: Scene,
    random: Random,
    played: u64,
    next_micros: i64,
}

/// Ordinary traffic: what of it was planned, and where on the load curve that is.
struct Ordinary {
    random: Random,
    planned: u64,
    total: u64,
    step: usize,
    next_micros: i64,
}

#[derive(Clone, Copy)]
enum Source {
    Ordinary,
    Act(usize),
}

impl Generator {
    /// Builds the mesh and plans its incidents.
    ///
    /// # Errors
    /// Refuses a configuration outside its limits, naming the field.
    pub fn new(config: Config) -> Result<Generator, TrafficError> {
        config.check()?;
        let curve = Curve::new(&config);
        let scenes = scenes::scenes(&config, &curve);
        let of_scenes: u64 = scenes.iter().map(|scene| scene.count * scene.records).sum();
        let ordinary = Ordinary {
            random: Random::new(config.seed, 2),
            planned: 0,
            // The least number of events leaves room: a test holds it to that.
            total: config.events.saturating_sub(of_scenes),
            step: 0,
            next_micros: config.start_micros,
        };
        let acts = scenes.into_iter().filter(|scene| scene.count > 0).map(|scene| Act {
            random: Random::new(config.seed, scene.stream()),
            played: 0,
            next_micros: scene.time(&curve, config.seed, 0),
            scene,
        });
        let mut generator = Generator {
            acts: acts.collect(),
            topology: Topology::new(&config),
            curve,
            ordinary,
            next: None,
            queue: BinaryHeap::new(),
            waiting: Vec::new(),
            free: Vec::new(),
            logged: 0,
            staged: Vec::new(),
            path: Vec::new(),
            config,
        };
        generator.find_next();
        Ok(generator)
    }

    /// Cluster names in order: `prod-eu-1`, `prod-us-1`, and so on.
    pub fn clusters(&self) -> &[String] {
        &self.topology.clusters
    }

    /// What is hidden in this stream; the same as [`crate::incidents`] of its configuration.
    pub fn incidents(&self) -> Vec<Incident> {
        incidents::describe(&self.config, &self.curve, &self.topology)
    }

    /// Appends the next record as one JSON line, with its line feed, and returns the index of
    /// the cluster whose proxy wrote it; `None`, and nothing appended, at the end.
    ///
    /// Lines come in the order of the requests' ends, except for disorder below half a second.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        loop {
            let horizon = self.next.map_or(i64::MAX, |(micros, _)| micros);
            if let Some(Reverse((micros, _, slot))) = self.queue.peek().copied()
                && micros <= horizon
            {
                self.queue.pop();
                self.free.push(slot);
                let plan = self.waiting[slot];
                let pod = if plan.side == Side::Client { plan.call.from } else { plan.call.to };
                format::line(&self.topology, &plan, self.config.format, &mut self.path, out);
                return Some(self.topology.pods[pod as usize].cluster as usize);
            }
            let (micros, source) = self.next?;
            match source {
                Source::Ordinary => self.plan_ordinary(micros),
                Source::Act(index) => self.plan_act(index, micros),
            }
            self.enqueue();
            self.find_next();
        }
    }

    fn find_next(&mut self) {
        let ordinary = (self.ordinary.planned < self.ordinary.total)
            .then_some((self.ordinary.next_micros, Source::Ordinary));
        let acts = self.acts.iter().enumerate().filter(|(_, act)| act.played < act.scene.count);
        let acts = acts.map(|(index, act)| (act.next_micros, Source::Act(index)));
        self.next = ordinary.into_iter().chain(acts).min_by_key(|&(micros, _)| micros);
    }

    fn plan_ordinary(&mut self, micros: i64) {
        let Ordinary { random, planned, total, step, next_micros } = &mut self.ordinary;
        let left = usize::try_from(*total - *planned).unwrap_or(usize::MAX);
        let start = micros + i64::from(random.below(JITTER_MICROS));
        let mut planner = Planner {
            topology: &self.topology,
            random,
            out: &mut self.staged,
            listeners: self.config.format.listeners(),
            epoch_micros: self.config.start_micros,
        };
        planner.ordinary(start);
        if planner.out.len() > left {
            // The last journey must fit: fill up with pairs, then with one.
            planner.out.clear();
            if left >= 2 { planner.connection(start) } else { planner.knock(start) }
        }
        *planned += u64::try_from(self.staged.len()).unwrap_or(0);
        let whole = self.curve.mass(self.curve.span().1);
        *next_micros = self.curve.time_from(step, part(whole, *planned, *total));
    }

    fn plan_act(&mut self, index: usize, micros: i64) {
        let act = &mut self.acts[index];
        let scene = act.scene;
        let request_id = scene.request_id(self.config.seed, act.played);
        let topology = &self.topology;
        let mut planner = Planner {
            topology,
            random: &mut act.random,
            out: &mut self.staged,
            listeners: self.config.format.listeners(),
            epoch_micros: self.config.start_micros,
        };
        if matches!(scene.action, Action::TheftDenied | Action::TheftAllowed) {
            steal(&mut planner, &scene, act.played, request_id, micros);
        } else {
            let cluster = scene.cluster.unwrap_or_else(|| planner.cluster(micros));
            let (services, count, last) = scene.way(topology);
            let journey = planner.journey(services[0], Some(request_id));
            let gateway = planner.pod(topology.ingress, cluster);
            planner.call(
                &journey,
                gateway,
                services[0],
                micros,
                Way::Fixed(&services[1..count], last),
            );
        }
        act.played += 1;
        act.next_micros = scene.time(&self.curve, self.config.seed, act.played);
    }

    fn enqueue(&mut self) {
        for plan in self.staged.drain(..) {
            // Disorder without a draw: the call's own random bits, different on each side.
            let bits =
                crate::random::mix(plan.call.path_seed, u64::from(plan.side == Side::Client));
            let late = crate::random::scale(crate::random::low32(bits), DISORDER_MICROS);
            let slot = match self.free.pop() {
                Some(slot) => {
                    self.waiting[slot] = plan;
                    slot
                }
                None => {
                    self.waiting.push(plan);
                    self.waiting.len() - 1
                }
            };
            self.queue.push(Reverse((plan.end_micros() + i64::from(late), self.logged, slot)));
            self.logged += 1;
        }
    }
}

/// One attempt with the stolen identity. Its pod has no sidecar: only the called one's logs it.
fn steal(planner: &mut Planner<'_>, scene: &Scene, n: u64, request_id: u128, start: i64) {
    let topology = planner.topology;
    let attempt = scene.attempt(topology, n);
    let cluster = scene.cluster.unwrap_or(0);
    let called = &topology.services[attempt.service as usize];
    let from = topology.thieves[cluster as usize % topology.thieves.len()];
    let to = planner.pod(attempt.service, cluster);
    let journey = planner.journey(attempt.service, Some(request_id));
    let mut call = planner.blank(&journey, from, to, start, called);
    call.route = attempt.route;
    call.outcome = attempt.outcome;
    call.user = 0;
    call.bytes_in = 0;
    if scene.action == Action::TheftDenied {
        planner.fail(&mut call, called);
    } else {
        call.server_micros =
            planner.random.spread(if attempt.payments { 900_000 } else { 20_000 }, 150);
        call.bytes_out =
            planner.random.spread(if attempt.payments { 4_000_000 } else { 2_400 }, 120);
    }
    debug_assert!(matches!(call.route, RouteIndex::Export | RouteIndex::Cards));
    planner.out.push(Plan { side: Side::Server, call });
}
