//! Senders that repeat what they do not know to have arrived, each as its service does.

use std::collections::BTreeSet;

use super::chance::Chance;

/// What one invocation is to archive: one delivery after the other, each a list of units.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) source: usize,
    pub(super) deliveries: Vec<Vec<usize>>,
    /// Sent although all of it was acknowledged before.
    pub(super) is_spurious: bool,
}

/// How a service hands out its units.
#[derive(Debug, Clone, Copy)]
enum Service {
    /// A Kinesis shard: in order, in several lanes at once (`ParallelizationFactor`), each of which
    /// goes on only from what it knows to have arrived, with batches of any length.
    Shard { lanes: usize },
    /// SQS: any units, in any order.
    Queue,
    /// An object in several parts, in order, cut into deliveries; acknowledged as a whole.
    Object { parts_per_delivery: usize },
    /// Bodies that are posted one by one.
    Posts,
}

#[derive(Debug)]
pub(super) struct Source {
    index: usize,
    service: Service,
    units: Vec<usize>,
    /// Units of which the sender knows that they arrived.
    arrived: BTreeSet<usize>,
    /// Units that are with a function.
    sent: Vec<usize>,
    /// Batches that failed and may come back as they were.
    failed: Vec<Batch>,
}

impl Source {
    pub(super) fn new(index: usize, units: Vec<usize>, chance: &mut Chance) -> Self {
        let service = match chance.below(4) {
            0 => Service::Shard { lanes: chance.within(1, 3) },
            1 => Service::Queue,
            2 => Service::Object { parts_per_delivery: chance.within(1, 3) },
            _ => Service::Posts,
        };
        let (arrived, sent, failed) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { index, service, units, arrived, sent, failed }
    }

    pub(super) fn is_done(&self) -> bool {
        self.sent.is_empty() && self.arrived.len() == self.units.len()
    }

    /// What the service hands out next, if anything.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Option<Batch> {
        if !self.failed.is_empty() && chance.permille(400) {
            // The same batch again, perhaps while parts of it are on their way in others.
            let batch = self.failed.swap_remove(chance.below(self.failed.len()));
            self.take(&batch);
            return Some(batch);
        }
        if !self.arrived.is_empty() && chance.permille(60) {
            let mut batch = self.batch(self.again(chance));
            batch.is_spurious = true;
            return Some(batch);
        }
        let units = self.fresh(chance)?;
        let batch = self.batch(self.cut(units));
        self.take(&batch);
        Some(batch)
    }

    /// Units that are to be sent, or sent again with other neighbours.
    fn fresh(&mut self, chance: &mut Chance) -> Option<Vec<usize>> {
        let is_open = |unit: &&usize| !self.arrived.contains(unit) && !self.sent.contains(unit);
        let open: Vec<usize> = self.units.iter().filter(is_open).copied().collect();
        match &mut self.service {
            Service::Shard { lanes } => {
                if self.sent.is_empty() && chance.permille(150) {
                    *lanes = chance.within(1, 3);
                }
                let (lanes, lane) = (*lanes, chance.below(*lanes));
                let of_lane = |unit: &usize| {
                    self.units.iter().position(|u| u == unit).unwrap() % lanes == lane
                };
                if self.sent.iter().any(of_lane) {
                    return None;
                }
                let lane: Vec<usize> = open.into_iter().filter(of_lane).collect();
                let count = lane.len().min(chance.within(1, 4));
                (count > 0).then(|| lane[..count].to_vec())
            }
            Service::Queue => {
                // A message whose time of invisibility is over is handed out again.
                let again = chance.permille(100);
                let mut open = if again { self.left() } else { open };
                chance.shuffle(&mut open);
                open.truncate(chance.within(1, 4));
                (!open.is_empty()).then_some(open)
            }
            Service::Object { .. } => (open.len() == self.units.len()).then_some(open),
            Service::Posts => open.first().map(|unit| vec![*unit]),
        }
    }

    fn left(&self) -> Vec<usize> {
        self.units.iter().filter(|unit| !self.arrived.contains(unit)).copied().collect()
    }

    /// Units that arrived, as a service may send them again all the same.
    fn again(&self, chance: &mut Chance) -> Vec<Vec<usize>> {
        let first = chance.below(self.units.len());
        let last = chance.within(first, self.units.len() - 1);
        let units = &self.units[first..=last];
        let arrived = units.iter().filter(|unit| self.arrived.contains(unit));
        self.cut(arrived.copied().collect())
    }

    /// Units as deliveries.
    fn cut(&self, units: Vec<usize>) -> Vec<Vec<usize>> {
        match self.service {
            Service::Object { parts_per_delivery } => {
                units.chunks(parts_per_delivery).map(<[usize]>::to_vec).collect()
            }
            _ if units.is_empty() => Vec::new(),
            _ => vec![units],
        }
    }

    fn batch(&self, deliveries: Vec<Vec<usize>>) -> Batch {
        Batch { source: self.index, deliveries, is_spurious: false }
    }

    fn take(&mut self, batch: &Batch) {
        self.sent.extend(batch.deliveries.iter().flatten());
    }

    /// An invocation ended, and the service heard that all went well, or did not.
    pub(super) fn ended(&mut self, batch: Batch, heard_success: bool, chance: &mut Chance) {
        if batch.is_spurious {
            return;
        }
        for unit in batch.deliveries.iter().flatten() {
            if let Some(place) = self.sent.iter().position(|sent| sent == unit) {
                self.sent.swap_remove(place);
            }
        }
        if heard_success {
            self.arrived.extend(batch.deliveries.iter().flatten());
        } else if chance.permille(600) {
            self.failed.push(batch);
        }
        // What arrived meanwhile in other company is not sent again on purpose.
        let arrived = &self.arrived;
        self.failed.retain(|batch| batch.deliveries.iter().flatten().any(|u| !arrived.contains(u)));
    }
}
