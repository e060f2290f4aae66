//! The one gate that every request of every actor passes, one at a time, in an order and with
//! faults that the seed decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use archive::memory::{Answer, Bucket, Line, NoAnswer, Request};
use common::Sha256Digest;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::chance::Chance;

/// How often, in a thousand requests of its kind, something happens to one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    /// A read that fails.
    pub(super) read_lost: usize,
    /// A write that never arrives.
    pub(super) request_lost: usize,
    /// A write that is done, and nobody is told.
    pub(super) reply_lost: usize,
    /// A write whose sender gives up, and that is done some time later.
    pub(super) late: usize,
    /// A write that is answered 409 and not done.
    pub(super) conflict: usize,
    /// A late write that lands now, looked at every step.
    pub(super) landing: usize,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    RequestLost,
    ReplyLost,
    Late,
    Conflict,
}

/// A request that waits at the gate.
#[derive(Debug)]
struct Waiting {
    actor: String,
    request: Request,
    /// Tells apart what is equal otherwise.
    arrival: u64,
    reply: oneshot::Sender<Result<Answer, NoAnswer>>,
}

impl Waiting {
    /// The order in which waiting requests are numbered: none of it depends on who came first,
    /// unless one actor asks the same twice.
    fn order(&self) -> (&str, &str, &str, u64) {
        (&self.actor, self.request.verb(), &self.request.key, self.arrival)
    }
}

/// How patient the seed is with an actor.
#[derive(Debug, Clone, Copy)]
struct Mood {
    /// How many lots it has when the next request is drawn.
    weight: usize,
    /// The step until which it is stopped, as a process may be.
    frozen_until: u64,
}

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    chance: Chance,
    rates: Rates,
    waiting: Vec<Waiting>,
    late: Vec<Request>,
    moods: BTreeMap<String, Mood>,
    arrivals: u64,
    step: u64,
    trace: String,
    seen: BTreeMap<&'static str, u64>,
}

/// The gate; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Mutex<Inner>>);

impl Gate {
    pub(super) fn new(bucket: Bucket, chance: Chance, rates: Rates) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            bucket,
            chance,
            rates,
            waiting: Vec::new(),
            late: Vec::new(),
            moods: BTreeMap::new(),
            arrivals: 0,
            step: 0,
            trace: String::new(),
            seen: BTreeMap::new(),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// An actor's way to the bucket.
    pub(super) fn line(&self, actor: &str) -> Arc<dyn Line> {
        Arc::new(Lane { gate: self.clone(), actor: actor.to_owned() })
    }

    /// Notes something that happened, for who reads the trace.
    pub(super) fn note(&self, kind: &'static str, what: &str) {
        let mut inner = self.inner();
        *inner.seen.entry(kind).or_default() += 1;
        let step = inner.step;
        writeln!(inner.trace, "{step:5} {kind} {what}").unwrap();
    }

    pub(super) fn step_number(&self) -> u64 {
        self.inner().step
    }

    /// From now on nothing goes wrong any more, though what is late may still land.
    pub(super) fn heal(&self) {
        let mut inner = self.inner();
        inner.rates = Rates { landing: 100, ..Rates::default() };
        inner.moods.clear();
    }

    pub(super) fn late(&self) -> usize {
        self.inner().late.len()
    }

    /// Everything late lands.
    pub(super) fn land_all(&self) {
        let mut inner = self.inner();
        while !inner.late.is_empty() {
            inner.land();
        }
    }

    /// Lets one request through, or a late write land. Called when every actor waits: for this
    /// gate, or for another that does.
    pub(super) fn step(&self) {
        let mut inner = self.inner();
        inner.step += 1;
        inner.bury();
        let landing = inner.rates.landing;
        if !inner.late.is_empty() && inner.chance.permille(landing) {
            inner.land();
            return;
        }
        let Some(index) = inner.draw() else { return };
        let waiting = inner.waiting.swap_remove(index);
        let fate = inner.fate(&waiting.request);
        let answer = match fate {
            Fate::Answered => Ok(inner.carry_out(&waiting.actor, &waiting.request, fate)),
            Fate::ReplyLost => {
                let _ = inner.carry_out(&waiting.actor, &waiting.request, fate);
                Err(NoAnswer::TimedOut)
            }
            Fate::RequestLost | Fate::Late | Fate::Conflict => {
                inner.line(&waiting.actor, &waiting.request, &format!("{fate:?}"));
                if fate == Fate::Late {
                    inner.late.push(waiting.request);
                }
                let conflict = fate == Fate::Conflict;
                Err(if conflict { NoAnswer::Conflict } else { NoAnswer::TimedOut })
            }
        };
        // Nobody listens any more if the actor was stopped meanwhile.
        let _ = waiting.reply.send(answer);
    }

    pub(super) fn trace(&self) -> String {
        self.inner().trace.clone()
    }

    pub(super) fn seen(&self) -> BTreeMap<&'static str, u64> {
        self.inner().seen.clone()
    }
}

impl Inner {
    /// Requests of actors that were stopped: a write may still be on its way, and land.
    fn bury(&mut self) {
        if !self.waiting.iter().any(|waiting| waiting.reply.is_closed()) {
            return;
        }
        let all = std::mem::take(&mut self.waiting);
        let (mut dead, alive): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|waiting| waiting.reply.is_closed());
        self.waiting = alive;
        dead.sort_by(|a, b| a.order().cmp(&b.order()));
        for Waiting { actor, request, .. } in dead {
            if request.is_write() && self.rates.late > 0 && self.chance.permille(500) {
                self.count("write of a stopped actor that lands later");
                self.line(&actor, &request, "stopped, still on its way");
                self.late.push(request);
            }
        }
    }

    fn land(&mut self) {
        let index = self.chance.below(self.late.len());
        let request = self.late.remove(index);
        let answer = self.bucket.answer(&request);
        self.count(if answer == Answer::Done { "late write done" } else { "late write refused" });
        self.line("late", &request, &shown(&request, &answer));
    }

    /// Which of the waiting requests is next.
    fn draw(&mut self) -> Option<usize> {
        self.waiting.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut lots: Vec<(usize, usize)> = Vec::new();
        for index in 0..self.waiting.len() {
            let mood = self.mood(self.waiting[index].actor.clone());
            if mood.frozen_until <= self.step {
                lots.push((index, mood.weight));
            }
        }
        let all: usize = lots.iter().map(|(_, weight)| weight).sum();
        if all == 0 {
            // Everybody is frozen: time passes.
            return None;
        }
        let mut lot = self.chance.below(all);
        for (index, weight) in lots {
            match lot.checked_sub(weight) {
                Some(left) => lot = left,
                None => return Some(index),
            }
        }
        None
    }

    fn mood(&mut self, actor: String) -> Mood {
        let (chance, step) = (&mut self.chance, self.step);
        let mood = self
            .moods
            .entry(actor)
            .or_insert_with(|| Mood { weight: chance.one_of(&[1, 3, 9]), frozen_until: 0 });
        if self.rates.late > 0 && mood.frozen_until <= step && chance.permille(4) {
            mood.frozen_until = step + chance.within(5, 60) as u64;
            *self.seen.entry("freeze").or_default() += 1;
        }
        *mood
    }

    fn fate(&mut self, request: &Request) -> Fate {
        let rates = self.rates;
        if !request.is_write() {
            let lost = self.chance.permille(rates.read_lost);
            return if lost { Fate::RequestLost } else { Fate::Answered };
        }
        let mut drawn = self.chance.below(1000);
        for (often, fate) in [
            (rates.request_lost, Fate::RequestLost),
            (rates.reply_lost, Fate::ReplyLost),
            (rates.late, Fate::Late),
            (rates.conflict, Fate::Conflict),
        ] {
            match drawn.checked_sub(often) {
                Some(left) => drawn = left,
                None => return fate,
            }
        }
        Fate::Answered
    }

    fn carry_out(&mut self, actor: &str, request: &Request, fate: Fate) -> Answer {
        let answer = self.bucket.answer(request);
        let said = if fate == Fate::ReplyLost {
            "done, ReplyLost".into()
        } else {
            shown(request, &answer)
        };
        self.line(actor, request, &said);
        answer
    }

    fn line(&mut self, actor: &str, request: &Request, became: &str) {
        let kind = match (became, request.is_write()) {
            ("RequestLost", true) => "write: request lost",
            ("RequestLost", false) => "read: failed",
            ("done, ReplyLost", _) => "write: reply lost",
            ("Late", _) => "write: delayed past its sender's patience",
            ("Conflict", _) => "write: 409, nothing stored",
            _ => "requests without a fault",
        };
        self.count(kind);
        let (step, verb) = (self.step, request.verb());
        let (place, key) = (request.place, &request.key);
        writeln!(self.trace, "{step:5} {actor} {verb} {place:?} {key}: {became}").unwrap();
    }

    fn count(&mut self, kind: &'static str) {
        *self.seen.entry(kind).or_default() += 1;
    }
}

/// An answer in a few words, the same in every run of a seed.
fn shown(request: &Request, answer: &Answer) -> String {
    match answer {
        Answer::Object(None) => "absent".to_owned(),
        Answer::Part { bytes, of } => format!("{} of {of} bytes", bytes.len()),
        // Its name says what it is.
        Answer::Object(Some(bytes)) if request.key.ends_with(".parquet") => {
            format!("{} bytes", bytes.len())
        }
        Answer::Object(Some(bytes)) => {
            let digest = Sha256Digest::of(bytes).to_hex();
            format!("{} bytes, {}", bytes.len(), &digest[..8])
        }
        Answer::Listed(listed) => format!("{} objects", listed.len()),
        Answer::Done => "done".to_owned(),
        Answer::ConditionFailed => "412".to_owned(),
    }
}

/// One actor's way to the gate.
#[derive(Debug)]
struct Lane {
    gate: Gate,
    actor: String,
}

impl Line for Lane {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        let (reply, answer) = oneshot::channel();
        let mut inner = self.gate.inner();
        inner.arrivals += 1;
        let arrival = inner.arrivals;
        inner.waiting.push(Waiting { actor: self.actor.clone(), request, arrival, reply });
        Box::pin(async move { answer.await.unwrap_or(Err(NoAnswer::TimedOut)) })
    }
}
