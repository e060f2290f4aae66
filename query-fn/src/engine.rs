//! From a request to an answer.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use archive::snapshot::{Mode, Snapshot};
use archive::{ArchiveError, Reader};
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::access::{Access, AccessPolicy, Grant};
use crate::alike;
use crate::answer::{Answer, Run, out_of_time};
use crate::catalog::Shared;
use crate::checked;
use crate::error::{Code, QueryError};
use crate::estimate::{self, Estimate, Reads};
use crate::footers::{Footers, Readers};
use crate::gate::{Gate, Slot};
use crate::guard::{self, Room, Stop};
use crate::meter::{Allowance, Meter, Metered};
use crate::pinned::Pinned;
use crate::plan;
use crate::prices::Prices;
use crate::receipt::{Asked, Evidence, SnapshotCost};
use crate::repeat::{self, Repeatable};
use crate::request::{Limits, Request, TimeLimit};
use crate::scans::Scans;
use crate::sql_views;
use crate::workers::Workers;

/// Answers queries over one archive. It may answer many at once; they share its memory.
pub struct Engine {
    reader: Reader,
    core: Core,
    latest: Mutex<Latest>,
    access: Option<Arc<Access>>,
    caller: Option<String>,
}

/// The latest snapshots: the next one reads only what the log has gained since.
#[derive(Default)]
struct Latest {
    fresh: Option<Arc<Snapshot>>,
    /// What it found to be authentic a fresh one does not know.
    strict: Option<Arc<Snapshot>>,
}

impl Latest {
    /// What the next snapshot of a mode may build on.
    fn known(&self, mode: Mode) -> Option<Arc<Snapshot>> {
        let authentic = self.strict.as_ref().filter(|known| known.sealed_through().is_some());
        let longest = [&self.fresh, &self.strict].into_iter().flatten();
        let longest = longest.max_by_key(|known| known.log.next_version());
        let known = if mode == Mode::Strict { authentic.or(longest) } else { longest };
        known.cloned()
    }

    /// Keeps a snapshot, unless a later one is kept.
    fn keep(&mut self, snapshot: &Arc<Snapshot>) {
        let place = match snapshot.mode {
            Mode::Fresh => &mut self.fresh,
            Mode::Strict => &mut self.strict,
        };
        if place.as_ref().is_none_or(|kept| kept.version <= snapshot.version) {
            *place = Some(Arc::clone(snapshot));
        }
    }
}

/// What answers over a given snapshot and store.
struct Core {
    limits: Limits,
    /// Whether strict queries hash each file before they use a part of it.
    hash_files: bool,
    shared: Shared,
    footers: Footers,
    workers: Arc<Workers>,
    gate: Gate,
    prices: Prices,
}

/// What a query is asked of.
struct Source {
    snapshot: Arc<Snapshot>,
    cost: SnapshotCost,
    store: Arc<dyn ObjectStore>,
    grant: Arc<Grant>,
    slot: Slot,
}

impl Engine {
    /// An engine within limits. Nothing is read yet.
    ///
    /// # Errors
    /// If the folder to spill to can not be used.
    pub fn new(reader: Reader, limits: Limits) -> Result<Self, QueryError> {
        let core = Core::new(limits, Prices::of(reader.store().url()))?;
        Ok(Self { reader, core, latest: Mutex::default(), access: None, caller: None })
    }

    /// An engine over the same archive, which trusts the same policy, within other limits.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn limited(&self, limits: Limits) -> Result<Self, QueryError> {
        let mut core = Core::new(limits, self.core.prices.clone())?;
        core.hash_files = self.core.hash_files;
        let (access, caller) = (self.access.clone(), self.caller.clone());
        Ok(Self { reader: self.reader.clone(), core, latest: Mutex::default(), access, caller })
    }

    /// The same engine, whose strict queries read each file whole and hash it before they use a
    /// part of it, if so asked.
    #[must_use]
    pub fn hashing_files(mut self, hash_files: bool) -> Self {
        self.core.hash_files = hash_files;
        self
    }

    /// The same engine, whose estimates know that a Lambda function pays for computing.
    #[must_use]
    pub fn billed_as_function(mut self) -> Self {
        self.core.prices = self.core.prices.with_lambda();
        self
    }

    /// The same engine, which shows each caller what a policy allows.
    ///
    /// # Errors
    /// If the policy does not fit the tables.
    pub fn guarded_by(mut self, policy: AccessPolicy) -> Result<Self, QueryError> {
        self.access = Some(Arc::new(self.core.shared.access(policy)?));
        Ok(self)
    }

    /// The same engine, for which this caller asks, if a request names no other.
    #[must_use]
    pub fn asked_by(mut self, caller: Option<String>) -> Self {
        self.caller = caller;
        self
    }

    /// URL of the archive.
    pub fn archive_url(&self) -> &str {
        self.reader.store().url()
    }

    /// The limits this engine keeps.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// Plans a query over a snapshot of now and starts it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Code`] lists them. No answer is ever cut short: what can not be answered within the
    /// limits is an error, from here or from the answer's batches.
    pub async fn query(&self, request: &Request) -> Result<Answer, QueryError> {
        self.query_as(request, self.caller.as_deref()).await
    }

    /// As [`Engine::query`], for a caller.
    ///
    /// # Errors
    /// As [`Engine::query`]; `ACCESS` for what the access policy does not let the caller ask.
    pub async fn query_as(
        &self,
        request: &Request,
        caller: Option<&str>,
    ) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let grant = self.grant(request, caller)?;
        let (statement, source) = self.begin(request, grant, started).await?;
        self.core.answer(request, statement, source, started).await
    }

    /// What a query would cost, without running it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Engine::query`], which would not answer it either; `LIMIT_BYTES`, `LIMIT_REQUESTS` or
    /// `LIMIT_COST` if it would cost more than the request's caps.
    pub async fn estimate(&self, request: &Request) -> Result<Estimate, QueryError> {
        self.estimate_as(request, self.caller.as_deref()).await
    }

    /// As [`Engine::estimate`], for a caller.
    ///
    /// # Errors
    /// As [`Engine::estimate`]; `ACCESS` if the access policy keeps something from the caller.
    pub async fn estimate_as(
        &self,
        request: &Request,
        caller: Option<&str>,
    ) -> Result<Estimate, QueryError> {
        let started = Instant::now();
        let grant = self.grant(request, caller)?;
        grant.check_estimate()?;
        let (statement, source) = self.begin(request, grant, started).await?;
        self.core.estimate(request, statement, source, started).await
    }

    /// What a caller may see, if the request is one that they may ask.
    fn grant(&self, request: &Request, caller: Option<&str>) -> Result<Arc<Grant>, QueryError> {
        let grant = match &self.access {
            Some(access) => access.grant(caller)?,
            None => Arc::new(Grant::everything()),
        };
        grant.check_request(request)?;
        Ok(grant)
    }

    /// Waits for a place, and reads the log.
    async fn begin(
        &self,
        request: &Request,
        grant: Arc<Grant>,
        started: Instant,
    ) -> Result<(Statement, Source), QueryError> {
        let statement = self.core.parse(request)?;
        let limit = self.core.limits.time_limit(&request.bounds);
        let slot = self.core.enter(limit).await?;
        let snapshot = self.snapshot(request.mode, request.as_of);
        let (snapshot, cost) = in_time(limit, started, snapshot).await??;
        let store = self.reader.store().reader()?;
        Ok((statement, Source { snapshot, cost, store, grant, slot }))
    }

    /// Reads the log now, so that the first query need not.
    ///
    /// # Errors
    /// If the archive can not be read.
    pub async fn warm(&self) -> Result<(), QueryError> {
        self.snapshot(Mode::Fresh, None).await.map(|_| ())
    }

    /// Bytes of memory that what is known of Parquet files takes.
    pub fn footer_bytes(&self) -> usize {
        self.core.footers.bytes()
    }

    /// The seat it reads from.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) async fn snapshot(
        &self,
        mode: Mode,
        as_of: Option<u64>,
    ) -> Result<(Arc<Snapshot>, SnapshotCost), QueryError> {
        let used = || [self.reader.store().usage(), self.reader.work().usage()];
        let before = used();
        let known = self.latest.lock().unwrap_or_else(PoisonError::into_inner).known(mode);
        let snapshot = match as_of {
            Some(version) => self.reader.snapshot_at(known.as_deref(), mode, version).await,
            None => self.reader.snapshot_from(known.as_deref(), mode).await,
        };
        let snapshot = Arc::new(snapshot.map_err(no_version)?);
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).keep(&snapshot);
        let mut cost = SnapshotCost::default();
        for (now, before) in used().iter().zip(&before) {
            let used = now.since(before);
            cost.requests = cost.requests.saturating_add(used.requests());
            cost.bytes = cost.bytes.saturating_add(used.bytes_read);
        }
        Ok((snapshot, cost))
    }
}

/// A version that is not there was asked for wrongly; all else is the archive's trouble.
fn no_version(error: ArchiveError) -> QueryError {
    match error {
        ArchiveError::NoVersion { .. } => QueryError::new(Code::Parameter, error.to_string()),
        other => other.into(),
    }
}

impl Core {
    fn new(limits: Limits, prices: Prices) -> Result<Self, QueryError> {
        let shared = Shared::new(&limits).map_err(|e| QueryError::from_engine(&e))?;
        let workers = Arc::new(Workers::new(limits.threads)?);
        let footers = Footers::new(limits.footer_bytes_max, workers.handle());
        let gate = Gate::new(limits.queries_max, limits.queries_waiting_max);
        Ok(Self { limits, hash_files: false, shared, footers, workers, gate, prices })
    }

    /// Waits until a query may run.
    async fn enter(&self, limit: TimeLimit) -> Result<Slot, QueryError> {
        let entered = tokio::time::timeout(limit.time, self.gate.enter()).await;
        entered.unwrap_or_else(|_| Err(self.gate.late(limit.time)))
    }

    fn parse(&self, request: &Request) -> Result<Statement, QueryError> {
        plan::parse(&request.sql, self.limits.sql_bytes_max)
    }

    /// Plans a query and starts it, unless it is known to cost more than it may.
    async fn answer(
        &self,
        request: &Request,
        statement: Statement,
        source: Source,
        started: Instant,
    ) -> Result<Answer, QueryError> {
        let mut prepared = self.prepare(request, statement, source, false, started).await?;
        if request.caps.are_set() {
            let reads = prepared.reads(started).await?;
            self.estimated(request, &prepared, &reads, started)?;
            prepared.run.opened = reads.opened;
        }
        let Prepared { evidence, run, limits, limit, .. } = prepared;
        let left = limit.time.saturating_sub(started.elapsed());
        Answer::start(evidence, run, &limits, started, (limit, left))
    }

    /// Plans a query, and says what it would cost.
    async fn estimate(
        &self,
        request: &Request,
        statement: Statement,
        source: Source,
        started: Instant,
    ) -> Result<Estimate, QueryError> {
        let prepared = self.prepare(request, statement, source, true, started).await?;
        let reads = prepared.reads(started).await?;
        self.estimated(request, &prepared, &reads, started)
    }

    /// What a query would cost, if it may cost that much.
    fn estimated(
        &self,
        request: &Request,
        prepared: &Prepared,
        reads: &Reads,
        started: Instant,
    ) -> Result<Estimate, QueryError> {
        let took = started.elapsed();
        let estimate = Estimate::of(&prepared.evidence, reads, &self.prices, took);
        estimate.check(&request.caps)?;
        Ok(estimate)
    }

    async fn prepare(
        &self,
        request: &Request,
        statement: Statement,
        source: Source,
        only_estimated: bool,
        started: Instant,
    ) -> Result<Prepared, QueryError> {
        let Source { snapshot, cost: snapshot_cost, store, grant, slot } = source;
        if request.repeatable {
            must_be_signed(&snapshot)?;
        }
        let limits = self.limits.within(&request.bounds);
        let limit = self.limits.time_limit(&request.bounds);
        let meter = Meter::new(Allowance::of(&limits, &request.caps, &self.prices));
        let metered = Metered { inner: store, meter: Arc::clone(&meter) };
        let store: Arc<dyn ObjectStore> = match snapshot.mode {
            Mode::Fresh => Arc::new(metered),
            Mode::Strict => Arc::new(Pinned::new(Arc::new(metered), &snapshot, self.hash_files)),
        };
        let explain = request.explain_pruning;
        let (is_explain, plan_only) = match &statement {
            Statement::Explain(explain) => (true, !explain.options.analyze),
            _ => (false, false),
        };
        // What a query would cost is asked before anything is spent on it.
        let plan_only = plan_only || only_estimated || request.caps.are_set();
        let scans = Scans::new(explain || is_explain).planned_only(plan_only);
        let files_hashed = self.hash_files && snapshot.mode == Mode::Strict;
        let readers = self.footers.readers(&snapshot, files_hashed, &store);
        let session = self
            .shared
            .session(&snapshot, store, &scans, &readers, &grant)
            .map_err(|e| QueryError::from_engine(&e))?;
        let restricted = grant.is_restricted();
        let stop = Stop::default();
        let stops = stop.on_drop();
        let room = Room { memory_bytes: limits.held_bytes_max(), threads: limits.threads };
        let bounds = (room, stop);
        let planning = physical_plan(session, statement, request.clone(), grant, bounds);
        let Planned { plan, context, is_ordered } =
            in_time(limit, started, on_deep_stack(planning, slot.clone())).await??;
        let asked = match is_ordered {
            Some(is_ordered) => Asked::Repeatable(Box::new(request.clone()), is_ordered),
            None if request.digested => Asked::Digest,
            None => Asked::Rows,
        };
        let evidence = Evidence {
            snapshot,
            snapshot_cost,
            scans,
            meter,
            plan,
            files_hashed,
            explain,
            asked,
            restricted,
        };
        let workers = Arc::clone(&self.workers);
        let run = Run { context, workers, stops, slot, opened: Vec::new() };
        Ok(Prepared { evidence, run, readers, limits, limit })
    }
}

/// A query that is planned.
struct Prepared {
    evidence: Evidence,
    run: Run,
    readers: Readers,
    limits: Limits,
    limit: TimeLimit,
}

impl Prepared {
    /// What it is going to read, if nothing in a file can be skipped.
    async fn reads(&self, started: Instant) -> Result<Reads, QueryError> {
        let Evidence { plan, snapshot, files_hashed, meter, .. } = &self.evidence;
        let reads = estimate::reads(plan, snapshot, &self.readers, *files_hashed);
        let reads = in_time(self.limit, started, reads).await?;
        reads.map_err(|error| meter.refusal().unwrap_or(error))
    }
}

async fn in_time<T>(
    limit: TimeLimit,
    started: Instant,
    work: impl Future<Output = T>,
) -> Result<T, QueryError> {
    let left = limit.time.saturating_sub(started.elapsed());
    tokio::time::timeout(left, work).await.map_err(|_| out_of_time(limit))
}

/// Runs planning on a thread of its own. Planning walks syntax trees by recursion and does not
/// yield: there it has the stack it needs, can not hold up the time limit, and a panic in it ends
/// the query, not the program. When the caller no longer waits, the thread ends by itself, at once if
/// it waits for the store, and keeps the query's place until then.
async fn on_deep_stack<F>(planning: F, slot: Slot) -> Result<Planned, QueryError>
where
    F: Future<Output = Result<Planned, QueryError>> + Send + 'static,
{
    let (mut sender, receiver) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("meshledger-plan".to_owned())
        .stack_size(PLAN_STACK_BYTES)
        .spawn(move || {
            let planned = runtime.block_on(async {
                tokio::select! {
                    planned = planning => Some(planned),
                    () = sender.closed() => None,
                }
            });
            if let Some(planned) = planned {
                // Nobody may be waiting any more.
                let _ = sender.send(planned);
            }
            drop(slot);
        })
        .map_err(|e| {
            let text = format!("could not start a thread to plan the query: {e}; try again");
            QueryError::new(Code::Execution, text)
        })?;
    receiver.await.map_err(|_| {
        let text = "the planner failed inside; this is a defect, report it";
        QueryError::new(Code::Internal, text)
    })?
}

/// Stack for planning; memory is taken only as far as it is used.
const PLAN_STACK_BYTES: usize = 64 * 1024 * 1024;

/// A plan that can run.
struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// Of a repeatable plan: whether the query orders its rows.
    is_ordered: Option<bool>,
}

/// Turns a statement into a plan that can run, refusing what is no query on the way.
async fn physical_plan(
    session: SessionContext,
    statement: Statement,
    request: Request,
    grant: Arc<Grant>,
    (room, stop): (Room, Stop),
) -> Result<Planned, QueryError> {
    let planning = |e| QueryError::from_engine(&e);
    sql_views::register(&session, &statement).await.map_err(planning)?;
    let asks_for_order = repeat::asks_for_order(&statement);
    let state = session.state();
    let logical = state.statement_to_plan(statement).await.map_err(planning)?;
    plan::check(&logical)?;
    grant.check(&logical)?;
    let logical = plan::bind(logical, &request)?;
    let logical = plan::keep_unknown(logical).map_err(planning)?;
    // Before the optimizer, which computes what is constant.
    let (logical, calls) = guard::guarded(logical, room, &stop)?;
    let (logical, is_ordered) = if request.repeatable {
        let Repeatable { plan, is_ordered } = repeat::repeatable(&state, logical, asks_for_order)?;
        (plan, Some(is_ordered))
    } else {
        (state.optimize(&logical).map_err(planning)?, None)
    };
    // The optimizer has run, and must not undo what was settled after it.
    let logical = checked::keep_days(logical).map_err(planning)?;
    let logical = guard::stoppable_joins(logical, &stop).map_err(planning)?;
    let rows = guard::batch_rows(&logical, calls, room).map_err(planning)?;
    let config = state.config().clone().with_batch_size(rows);
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    let planner = Arc::clone(state.query_planner());
    let physical = planner.create_physical_plan(&logical, &state).await.map_err(planning)?;
    let physical = alike::looked_at_once(physical).map_err(planning)?;
    let plan = guard::guarded_plan(physical, room, &stop).map_err(planning)?;
    Ok(Planned { plan, context: state.task_ctx(), is_ordered })
}

/// An answer that is to be had again rests on what is signed.
fn must_be_signed(snapshot: &Snapshot) -> Result<(), QueryError> {
    let missing = match (snapshot.mode, snapshot.sealed_through()) {
        (Mode::Fresh, _) => "mode strict",
        (Mode::Strict, None) => "an archive with a signed ledger (`meshledger init --ledger`)",
        (Mode::Strict, Some(_)) => return Ok(()),
    };
    let text = format!("the answer could not be had again: expected {missing}");
    Err(QueryError::new(Code::Refused, text))
}

#[cfg(test)]
mod tests;
