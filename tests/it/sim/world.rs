//! One seed: sources, functions, sealers and readers over one bucket, all of them on one thread,
//! and whatever may happen to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use archive::memory::{Action, Bucket, Place, Request};
use archive::sample;
use archive::verify::{Severity, VerifyOptions, verify};
use archive::{Archive, ArchiveError, CommitPut, Mode, Reader, Snapshot, StoreOptions};
use common::Sha256Digest;
use common::layout::{CHECKPOINT_KEY, DATA_PREFIX};
use maintain_fn::{Known, SealError, SealOptions, SealReport, seal_again};
use tlog::note::{Algorithm, SeedSigner};
use tlog::policy::Policy;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::compact::choose;
use super::gate::{Gate, Rates};
use super::oracle::Oracle;
use super::readback::Readback;
use super::source::{Batch, Source};
use super::unit::{Invocation, START_MICROS, Unit, ingest};

/// What became of a seed.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What must never happen, and did.
    pub(super) wrong: Option<String>,
    /// Every request and what became of it, in order.
    pub(super) trace: String,
    /// How often what happened.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Outcome {
    pub(super) fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.trace.as_bytes())
    }
}

/// Steps after which everything must have come to an end by itself.
const STEPS_MAX: u64 = 50_000;

/// Plays a seed.
pub(super) fn play(seed: u64) -> Outcome {
    let idle = Arc::new(Notify::new());
    let parked = Arc::clone(&idle);
    // Everything waits exactly when the only thread has nothing to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || parked.notify_one())
        .build()
        .unwrap();
    archive::background::here::want(true);
    let outcome = runtime.block_on(World::new(seed).run(&idle));
    archive::background::here::want(false);
    outcome
}

/// How wild a seed is: each is wild in its own way, since a run in which everything goes wrong
/// gets nowhere.
#[derive(Debug)]
struct Plan {
    rates: Rates,
    /// In a thousand steps.
    crashes: usize,
    functions_max: usize,
    sealers: usize,
    readers: usize,
    seals: usize,
    reads: usize,
    twice: usize,
    /// Steps until nothing goes wrong any more.
    wild_steps: u64,
    is_signed: bool,
    /// Whether files are merged and taken out; only where nothing is signed, since nobody may sign
    /// that yet.
    compactions: usize,
}

impl Plan {
    fn new(chance: &mut Chance) -> Self {
        let rates = Rates {
            read_lost: chance.one_of(&[0, 0, 10, 40]),
            request_lost: chance.one_of(&[0, 30, 100]),
            reply_lost: chance.one_of(&[0, 30, 150]),
            late: chance.one_of(&[0, 60, 200]),
            conflict: chance.one_of(&[0, 30]),
            landing: chance.one_of(&[5, 20, 100]),
        };
        let is_signed = chance.permille(200);
        Self {
            rates,
            is_signed,
            compactions: if is_signed { 0 } else { chance.one_of(&[0, 0, 20]) },
            crashes: chance.one_of(&[0, 5, 20]),
            functions_max: chance.within(1, 4),
            sealers: chance.within(1, 3),
            readers: chance.within(1, 3),
            seals: chance.one_of(&[10, 40, 120]),
            reads: chance.one_of(&[20, 60]),
            twice: chance.one_of(&[0, 100]),
            wild_steps: chance.within(80, 350) as u64,
        }
    }
}

/// An invocation that runs.
#[derive(Debug)]
struct Flight {
    task: JoinHandle<bool>,
    batch: Batch,
    /// The step at which it is given up.
    deadline: u64,
}

/// A process that seals again and again, or reads; what it has learnt goes with it.
#[derive(Debug)]
struct Process<T> {
    task: Option<JoinHandle<()>>,
    /// How many tasks it has run: each has its own name at the gate.
    runs: usize,
    memory: T,
}

impl<T> Process<T> {
    const fn new(memory: T) -> Self {
        Self { task: None, runs: 0, memory }
    }
}

/// What a sealing process remembers.
type Sealing = Arc<tokio::sync::Mutex<Known>>;

/// What a reading process remembers: the reader with its cache, and its last snapshot.
type Reading = (Reader, Arc<Mutex<Option<Snapshot>>>);

struct World {
    bucket: Bucket,
    gate: Gate,
    chance: Chance,
    plan: Plan,
    signer: Option<Arc<SeedSigner>>,
    units: Arc<Vec<Unit>>,
    oracle: Oracle,
    readback: Readback,
    sources: Vec<Source>,
    flights: Vec<Flight>,
    invocations: u64,
    sealers: Vec<Process<Sealing>>,
    readers: Vec<Process<Reading>>,
    compactor: Process<()>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let plan = Plan::new(&mut chance);
        let bucket = Bucket::default();
        let gate = Gate::new(bucket.clone(), Chance::new(seed, 2), plan.rates);
        let signer = plan.is_signed.then(|| Arc::new(key()));
        let (units, sources) = units(&mut chance);
        let units = Arc::new(units);
        Self {
            bucket,
            gate,
            chance,
            plan,
            signer,
            oracle: Oracle::new(Arc::clone(&units)),
            units,
            readback: Readback::default(),
            sources,
            flights: Vec::new(),
            invocations: 0,
            sealers: Vec::new(),
            readers: Vec::new(),
            compactor: Process::new(()),
        }
    }

    async fn run(mut self, idle: &Notify) -> Outcome {
        sample::create_in(&self.bucket).await.unwrap();
        for _ in 0..self.plan.sealers {
            self.sealers.push(Process::new(Sealing::default()));
        }
        for n in 0..self.plan.readers {
            let reader = self.reader(&format!("reader {n}"));
            self.readers.push(Process::new((reader, Arc::default())));
        }
        let mut is_wild = true;
        loop {
            idle.notified().await;
            self.gate.step();
            idle.notified().await;
            let step = self.gate.step_number();
            if is_wild && step > self.plan.wild_steps {
                is_wild = false;
                self.gate.heal();
            }
            self.collect(is_wild);
            self.crash(is_wild);
            self.send();
            self.seal();
            self.read();
            self.compact(is_wild);
            if self.oracle.verdict().is_some() || (!is_wild && self.is_quiet()) {
                break;
            }
            if step > STEPS_MAX {
                self.oracle.broken(format!("no end after {STEPS_MAX} steps"));
            }
        }
        if self.oracle.verdict().is_none() {
            self.end().await;
        }
        let (trace, seen) = (self.gate.trace(), self.gate.seen());
        Outcome { wrong: self.oracle.verdict(), trace, seen }
    }

    fn archive(&self, actor: &str) -> Archive {
        self.bucket.archive(self.gate.line(actor), &options())
    }

    fn reader(&self, actor: &str) -> Reader {
        trusting(self.archive(actor).reader(), self.signer.as_deref())
    }

    fn is_quiet(&self) -> bool {
        self.sources.iter().all(Source::is_done) && self.flights.is_empty()
    }

    /// Takes the answers of invocations that ended, and gives up those that take too long.
    fn collect(&mut self, is_wild: bool) {
        let step = self.gate.step_number();
        for flight in std::mem::take(&mut self.flights) {
            let is_late = step > flight.deadline;
            if !flight.task.is_finished() && !is_late {
                self.flights.push(flight);
                continue;
            }
            if !flight.task.is_finished() {
                flight.task.abort();
                self.gate.note("invocation given up", "");
                self.ended(flight.batch, false);
                continue;
            }
            let answer = futures::FutureExt::now_or_never(flight.task);
            let success = match answer {
                Some(Ok(success)) => success,
                other => {
                    self.oracle.broken(format!("a function ended with {other:?}"));
                    false
                }
            };
            // The answer may get lost between function and service, too.
            let heard = success && !(is_wild && self.chance.permille(50));
            self.ended(flight.batch, heard);
        }
    }

    fn ended(&mut self, batch: Batch, heard_success: bool) {
        let source = batch.source;
        self.sources[source].ended(batch, heard_success, &mut self.chance);
    }

    /// Stops something, wherever it is.
    fn crash(&mut self, is_wild: bool) {
        if !is_wild || !self.chance.permille(self.plan.crashes) {
            return;
        }
        match self.chance.below(4) {
            0 | 1 if !self.flights.is_empty() => {
                let index = self.chance.below(self.flights.len());
                let flight = self.flights.swap_remove(index);
                flight.task.abort();
                self.gate.note("crash of a function", "");
                self.ended(flight.batch, false);
            }
            2 => {
                let index = self.chance.below(self.sealers.len());
                let process = &mut self.sealers[index];
                if let Some(task) = process.task.take() {
                    task.abort();
                    process.memory = Sealing::default();
                    self.gate.note("crash of a sealer", "");
                }
            }
            3 => {
                // A query that is cancelled: the process lives on with what it has learnt.
                let index = self.chance.below(self.readers.len());
                if let Some(task) = self.readers[index].task.take() {
                    task.abort();
                    self.gate.note("query cancelled", "");
                }
            }
            _ => {}
        }
    }

    /// Hands batches to functions.
    fn send(&mut self) {
        if self.flights.len() >= self.plan.functions_max || !self.chance.permille(300) {
            return;
        }
        let source = self.chance.below(self.sources.len());
        let Some(batch) = self.sources[source].next(&mut self.chance) else { return };
        if self.chance.permille(self.plan.twice) {
            // Two functions on one delivery at once.
            self.gate.note("two functions on one delivery", "");
            self.invoke(Batch { is_spurious: true, ..batch.clone() });
        }
        self.invoke(batch);
    }

    fn invoke(&mut self, batch: Batch) {
        self.invocations += 1;
        let actor = format!("function {}", self.invocations);
        self.gate.note("invocation", &format!("{actor} with {:?}", batch.deliveries));
        let step = self.gate.step_number();
        // One of three functions: the same units may come with the same bytes, or with others.
        let release = self.chance.below(3);
        let now_micros = START_MICROS + i64::try_from(release).unwrap() * 1_000_000;
        let invocation = Invocation { now_micros, drawn: release as u64, release };
        let deadline = step + self.chance.one_of(&[40, 150, 600]);
        let task = tokio::spawn(function(
            self.archive(&actor),
            Arc::clone(&self.units),
            batch.deliveries.clone(),
            invocation,
            self.oracle.clone(),
        ));
        self.flights.push(Flight { task, batch, deadline });
    }

    fn seal(&mut self) {
        for index in 0..self.sealers.len() {
            let process = &self.sealers[index];
            let is_running = process.task.as_ref().is_some_and(|task| !task.is_finished());
            if is_running || !self.chance.permille(self.plan.seals) {
                continue;
            }
            let actor = format!("sealer {index}.{}", process.runs);
            let is_warm = self.chance.permille(750);
            let memory = if is_warm { Arc::clone(&process.memory) } else { Sealing::default() };
            let options = SealOptions {
                rounds_max: self.chance.one_of(&[1, 2, 1000]),
                manifests_per_commit_max: self.chance.one_of(&[1, 2, 4]),
                delta_checkpoint_every: self.chance.one_of(&[0, 2, 5]),
                heartbeat_after: None,
                ..SealOptions::default()
            };
            let (archive, signer) = (self.archive(&actor), self.signer.clone());
            let (oracle, gate) = (self.oracle.clone(), self.gate.clone());
            let now = START_MICROS + i64::try_from(self.gate.step_number()).unwrap() * 1_000;
            let task = tokio::spawn(async move {
                let mut known = memory.lock().await;
                let signer = signer.as_deref().map(|signer| signer as &dyn maintain_fn::Signer);
                let sealed = seal_again(&archive.sealer(), signer, &mut known, now, options).await;
                judge_seal(&oracle, &gate, &actor, sealed);
            });
            let process = &mut self.sealers[index];
            (process.task, process.runs) = (Some(task), process.runs + 1);
        }
    }

    fn read(&mut self) {
        for index in 0..self.readers.len() {
            let process = &mut self.readers[index];
            let is_running = process.task.as_ref().is_some_and(|task| !task.is_finished());
            if is_running || !self.chance.permille(self.plan.reads) {
                continue;
            }
            process.runs += 1;
            if self.chance.permille(150) {
                let actor = format!("reader {index}");
                process.memory = (
                    trusting(
                        self.bucket.archive(self.gate.line(&actor), &options()).reader(),
                        self.signer.as_deref(),
                    ),
                    Arc::default(),
                );
            }
            let mode = if self.chance.permille(600) { Mode::Fresh } else { Mode::Strict };
            let (reader, last) = process.memory.clone();
            let (bucket, readback) = (self.bucket.clone(), self.readback.clone());
            let (oracle, gate) = (self.oracle.clone(), self.gate.clone());
            process.task = Some(tokio::spawn(async move {
                let begun = oracle.begin(mode);
                let has_begun = bucket.get(Place::Archive, CHECKPOINT_KEY).is_some();
                let previous = last.lock().unwrap().clone();
                match reader.snapshot_from(previous.as_ref(), mode).await {
                    Err(ArchiveError::Store { .. }) => gate.note("answer: the store failed", ""),
                    // Nothing is signed yet, and this reader trusts nothing else.
                    Err(ArchiveError::Strict { .. }) if !has_begun => {}
                    Err(wrong) => oracle.broken(format!("{mode:?}: {wrong}")),
                    Ok(snapshot) => {
                        match readback.names(&bucket, &snapshot) {
                            Ok(names) => oracle.judge(&begun, &names),
                            Err(wrong) => oracle.broken(format!("{mode:?}: {wrong}")),
                        }
                        let of_mode =
                            if mode == Mode::Fresh { "answer: fresh" } else { "answer: strict" };
                        gate.note(of_mode, &format!("version {}", snapshot.version));
                        *last.lock().unwrap() = Some(snapshot);
                    }
                }
            }));
        }
    }

    /// Merges files of a date, or takes them out of the table.
    fn compact(&mut self, is_wild: bool) {
        let is_running = self.compactor.task.as_ref().is_some_and(|task| !task.is_finished());
        if is_running || !is_wild || !self.chance.permille(self.plan.compactions) {
            return;
        }
        let actor = format!("compactor {}", self.compactor.runs);
        self.compactor.runs += 1;
        let (archive, bucket) = (self.archive(&actor), self.bucket.clone());
        let (oracle, gate, readback) =
            (self.oracle.clone(), self.gate.clone(), self.readback.clone());
        let (first, is_loss) = (self.chance.permille(500), self.chance.permille(300));
        self.compactor.task = Some(tokio::spawn(async move {
            let done = async {
                let Some(chosen) = choose(&archive, first).await? else { return Ok(()) };
                if !is_loss {
                    if chosen.compact(&archive).await? == CommitPut::Won {
                        gate.note("compaction", &actor);
                    }
                    return Ok(());
                }
                let names = readback.names_of(&bucket, &chosen.files);
                oracle.expiring(&names);
                if chosen.expire(&archive).await? == CommitPut::Won {
                    oracle.expired(&names);
                    gate.note("expiry", &actor);
                }
                Ok(())
            };
            match done.await {
                Ok(()) | Err(ArchiveError::Store { .. } | ArchiveError::Unknown { .. }) => {}
                Err(wrong) => oracle.broken(format!("{actor}: {wrong}")),
            }
        }));
    }

    /// Everything was delivered and acknowledged. Seals what is left, lets what is late land, and
    /// holds the archive against what was sent.
    async fn end(&mut self) {
        for task in self.sealers.iter_mut().filter_map(|process| process.task.take()) {
            task.abort();
        }
        for task in self.readers.iter_mut().filter_map(|process| process.task.take()) {
            task.abort();
        }
        if let Some(task) = self.compactor.task.take() {
            task.abort();
        }
        tokio::task::yield_now().await;
        let archive = self.bucket.archive(Arc::new(self.bucket.clone()), &options());
        let reader = trusting(archive.reader(), self.signer.as_deref());
        self.seal_all(&archive).await;
        self.judge_end(&reader).await;
        if self.gate.late() > 0 {
            self.gate.note("late when all was done", &self.gate.late().to_string());
            self.gate.land_all();
            self.judge_fresh(&reader).await;
            self.seal_all(&archive).await;
            self.judge_end(&reader).await;
        }
        if self.compactor.runs > 0 {
            self.gone_and_delivered_again(&archive, &reader).await;
            return;
        }
        let policy = self.signer.as_deref().map(|key| Policy::of_log(key.public().clone()));
        let options = VerifyOptions { policy, ..VerifyOptions::default() };
        match verify(&reader, options, &|_| {}).await {
            Err(wrong) => self.oracle.broken(format!("verify: {wrong}")),
            Ok(report) => {
                let tampering = report.findings.iter().find(|f| f.severity == Severity::Tampering);
                if let Some(found) = tampering {
                    self.oracle.broken(format!("verify: {found}"));
                }
            }
        }
    }

    /// The files that are no part of the table are deleted, and all that was ever sent comes again.
    async fn gone_and_delivered_again(&self, archive: &Archive, reader: &Reader) {
        let snapshot = reader.snapshot(Mode::Strict).await.unwrap();
        let live: Vec<&str> = snapshot.files.iter().map(|file| file.entry.path.as_str()).collect();
        let dead = self.bucket.keys(Place::Archive, DATA_PREFIX);
        for key in dead.into_iter().filter(|key| !live.contains(&key.as_str())) {
            let request = Request { place: Place::Archive, key, action: Action::Delete };
            let _ = self.bucket.answer(&request);
        }
        for (drawn, units) in self.units.chunks(3).enumerate() {
            let units: Vec<&Unit> = units.iter().collect();
            let now_micros = START_MICROS + 1_000_000;
            let invocation = Invocation { now_micros, drawn: drawn as u64, release: 2 };
            ingest(archive, &units, invocation).await.unwrap();
        }
        self.judge_fresh(reader).await;
        self.seal_all(archive).await;
        self.judge_end(reader).await;
    }

    async fn seal_all(&self, archive: &Archive) {
        let signer = self.signer.as_deref().map(|signer| signer as &dyn maintain_fn::Signer);
        let now = START_MICROS + 3_600_000_000;
        let mut known = Known::default();
        let sealed =
            seal_again(&archive.sealer(), signer, &mut known, now, SealOptions::default()).await;
        if !matches!(&sealed, Ok(report) if report.is_complete) {
            self.oracle.broken(format!("the last seal: {sealed:?}"));
        }
        judge_seal(&self.oracle, &self.gate, "last sealer", sealed);
        let waiting = self.bucket.keys(Place::Work, "inbox/");
        if !waiting.is_empty() {
            self.oracle.broken(format!("left in the inbox: {waiting:?}"));
        }
    }

    async fn judge_fresh(&self, reader: &Reader) -> Vec<String> {
        let begun = self.oracle.begin(Mode::Fresh);
        let snapshot = reader.snapshot(Mode::Fresh).await.unwrap();
        let names = self.readback.names(&self.bucket, &snapshot).unwrap();
        self.oracle.judge(&begun, &names);
        names
    }

    async fn judge_end(&self, reader: &Reader) {
        let fresh = self.judge_fresh(reader).await;
        let snapshot = reader.snapshot(Mode::Strict).await.unwrap();
        let strict = self.readback.names(&self.bucket, &snapshot).unwrap();
        self.oracle.judge_end(&fresh);
        self.oracle.judge_end(&strict);
    }
}

/// One invocation: the deliveries of a batch, one after the other.
async fn function(
    archive: Archive,
    units: Arc<Vec<Unit>>,
    deliveries: Vec<Vec<usize>>,
    invocation: Invocation,
    oracle: Oracle,
) -> bool {
    for delivery in deliveries {
        let parts: Vec<&Unit> = delivery.iter().map(|unit| &units[*unit]).collect();
        if ingest(&archive, &parts, invocation).await.is_err() {
            return false;
        }
        oracle.acknowledge(&delivery);
    }
    true
}

/// A seal may fail with the store. It may not find anything wrong, since nothing is.
fn judge_seal(oracle: &Oracle, gate: &Gate, actor: &str, sealed: Result<SealReport, SealError>) {
    match sealed {
        Ok(report) => {
            if !report.manifests_refused.is_empty() || report.ledger_damage.is_some() {
                oracle.broken(format!("{actor}: {report:?}"));
            }
            if report.races_lost > 0 {
                gate.note("race of sealers", actor);
            }
            if report.manifests_mixed > 0 {
                gate.note("manifest of which some units were held", actor);
            }
            if report.manifests_dropped > 0 {
                gate.note("manifest of which all units were held", actor);
            }
        }
        Err(SealError::Archive(ArchiveError::Store { .. } | ArchiveError::Unknown { .. })) => {
            gate.note("seal: the store failed", actor);
        }
        Err(wrong) => oracle.broken(format!("{actor}: {wrong}")),
    }
}

/// The units of a seed, and the sources that have them.
fn units(chance: &mut Chance) -> (Vec<Unit>, Vec<Source>) {
    let days = ["2026-11-02T10:15:30.123Z", "2026-11-02T11:15:30Z", "2026-11-01T23:59:59.999Z"];
    let (mut units, mut sources) = (Vec::new(), Vec::new());
    for index in 0..chance.within(1, 3) {
        let first = units.len();
        for _ in 0..chance.within(1, 6) {
            // Unit 5 is the same in every seed: two records of two days, say.
            let mut of_unit = Chance::new(units.len() as u64, 3);
            let times: Vec<&str> =
                (0..of_unit.one_of(&[0, 1, 1, 1, 2])).map(|_| of_unit.one_of(&days)).collect();
            let rejects = usize::from(times.is_empty() || of_unit.permille(200));
            units.push(Unit::new(&format!("u{}", units.len()), &times, rejects));
        }
        sources.push(Source::new(index, (first..units.len()).collect(), chance));
    }
    (units, sources)
}

fn key() -> SeedSigner {
    SeedSigner::new("archive.example/mesh/sample", Algorithm::Ed25519, [7; 32]).unwrap()
}

fn trusting(reader: Reader, signer: Option<&SeedSigner>) -> Reader {
    match signer {
        Some(signer) => reader.trusting(Policy::of_log(signer.public().clone())),
        None => reader,
    }
}

/// Little patience, so that what is late is late, and no pauses: there is no time to pass.
fn options() -> StoreOptions {
    StoreOptions { put_attempts_max: Some(3), put_pause_millis: Some(0), ..StoreOptions::default() }
}
