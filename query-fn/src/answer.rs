//! An answer as a stream of batches, within limits, and its receipt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execute_stream;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::digest::{Digested, RowsDigest};
use crate::error::{Code, QueryError};
use crate::fetch::OpenFile;
use crate::gate::Slot;
use crate::guard::StopOnDrop;
use crate::receipt::{Asked, Evidence, Progress, Receipt};
use crate::request::{Limits, TimeLimit};
use crate::statement::{About, Known, StatedResult, Statement};
use crate::workers::Workers;

/// Batches of one answer. Dropping it cancels the query.
pub struct Answer {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    producer: Task,
    /// Keeps the threads while the plan runs, even when the engine is gone.
    _workers: Arc<Workers>,
    /// What computes a batch stops in the middle of it when nobody waits any more.
    stops: StopOnDrop,
    evidence: Evidence,
    limits: Limits,
    /// Of an answer that can be had again.
    digest: Digest,
    time: TimeLimit,
    time_left: Duration,
    started: Instant,
    elapsed: Duration,
    rows: u64,
    state: State,
}

/// What a plan needs to run.
pub(crate) struct Run {
    pub(crate) context: Arc<TaskContext>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) stops: StopOnDrop,
    pub(crate) slot: Slot,
    /// Files that were opened to know what it costs, whose ends need not be read again.
    pub(crate) opened: Vec<Arc<OpenFile>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

/// The digest of the rows.
enum Digest {
    /// Nobody asked for it.
    None,
    /// Of the rows so far.
    Begun(RowsDigest),
    /// Of all rows.
    Done(Digested),
}

/// The task that runs the plan; aborted when dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// Starts a planned query. `time` has a limit and what planning left of it.
    pub(crate) fn start(
        evidence: Evidence,
        run: Run,
        limits: &Limits,
        started: Instant,
        (time, time_left): (TimeLimit, Duration),
    ) -> Result<Self, QueryError> {
        let Run { context, workers, stops, slot, opened } = run;
        // Operators spawn tasks as they start, and those belong to the same threads.
        let handle = workers.handle();
        let entered = handle.enter();
        let stream = execute_stream(Arc::clone(&evidence.plan), context)
            .map_err(|e| QueryError::from_engine(&e))?;
        drop(entered);
        let schema = stream.schema();
        let digest = match &evidence.asked {
            Asked::Repeatable(_, is_ordered) => {
                Digest::Begun(RowsDigest::new(&schema, *is_ordered)?)
            }
            // A type without an encoding is no reason to withhold rows that need no digest.
            Asked::Digest => RowsDigest::new(&schema, false).map_or(Digest::None, Digest::Begun),
            Asked::Rows => Digest::None,
        };
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        // The plan runs in a task of its own: a step that does not yield can then not keep the
        // caller from seeing the time limit, and a panic ends the query, not the program.
        let producer = Task(handle.spawn(produce((slot, opened), stream, sender)));
        Ok(Self {
            schema,
            batches,
            producer,
            _workers: workers,
            stops,
            evidence,
            limits: limits.clone(),
            digest,
            time,
            time_left,
            started,
            elapsed: started.elapsed(),
            rows: 0,
            state: State::Open,
        })
    }

    /// Columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// The next batch; `None` after the last. After an error nothing follows, and what came
    /// before it is no answer.
    ///
    /// # Errors
    /// If a limit is hit, the archive can not be read, or a value can not be computed.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if self.state != State::Open {
            return None;
        }
        // Whoever waits for something else beside the answer, a signal perhaps, sees it between any
        // two batches, also while there is always a next one.
        tokio::task::yield_now().await;
        let waited = Instant::now();
        let received = tokio::time::timeout(self.time_left, self.batches.recv()).await;
        self.time_left = self.time_left.saturating_sub(waited.elapsed());
        self.elapsed = self.started.elapsed();
        let checked = match received {
            Err(_) => Err(out_of_time(self.time)),
            Ok(Some(Ok(batch))) => self.count(batch).map(Some),
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => self.end().await.map(|()| None),
        };
        match checked.map_err(|error| self.sharpen(error)) {
            Ok(Some(batch)) => Some(Ok(batch)),
            Ok(None) => {
                self.state = State::Complete;
                None
            }
            Err(error) => {
                self.state = State::Failed;
                self.stops.raise();
                self.producer.0.abort();
                Some(Err(error))
            }
        }
    }

    /// The rest of the answer as a stream.
    pub fn stream(&mut self) -> impl Stream<Item = Result<RecordBatch, QueryError>> + Send + '_ {
        stream::unfold(self, |answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        })
        .boxed()
    }

    /// All batches at once.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn collect(&mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }

    /// What the answer rests on; final once the last batch was read.
    pub fn receipt(&self) -> Receipt {
        self.evidence.receipt(self.progress())
    }

    /// The receipt with what an access policy keeps from the caller.
    pub(crate) fn whole_receipt(&self) -> Receipt {
        self.evidence.whole_receipt(self.progress())
    }

    fn progress(&self) -> Progress {
        Progress {
            complete: self.state == State::Complete,
            rows_returned: self.rows,
            elapsed_micros: u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// What was asked, of what, and what came of it; none before the last batch was read, and of
    /// an answer that was not asked to be repeatable.
    pub fn statement(&self, about: About) -> Option<Statement> {
        let Asked::Repeatable(request, _) = &self.evidence.asked else { return None };
        let digested = self.digest()?;
        let snapshot = &self.evidence.snapshot;
        let known = Known {
            request,
            limits: &self.limits,
            table_id: &snapshot.table_id,
            version: snapshot.version,
            through: snapshot.sealed_through()?,
            files_hashed: self.evidence.files_hashed,
            result: StatedResult::of(&self.schema, digested),
        };
        Some(Statement::of(known, about))
    }

    /// The digest of its rows; none before the last batch was read, of an answer that was asked to
    /// be neither repeatable nor digested, and of columns whose type has no encoding.
    pub const fn digest(&self) -> Option<Digested> {
        match self.digest {
            Digest::Done(digested) => Some(digested),
            Digest::None | Digest::Begun(_) => None,
        }
    }

    fn count(&mut self, batch: RecordBatch) -> Result<RecordBatch, QueryError> {
        if let Digest::Begun(digest) = &mut self.digest {
            digest.add(&batch)?;
        }
        let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        match self.limits.rows_max {
            Some(max) if self.rows.saturating_add(rows) > max => Err(QueryError::new(
                Code::LimitRows,
                format!(
                    "the answer has more than {max} rows; add a LIMIT or a narrower WHERE, \
                     aggregate, or raise the row limit"
                ),
            )),
            _ => {
                self.rows = self.rows.saturating_add(rows);
                Ok(batch)
            }
        }
    }

    /// Makes sure that the end is the end and not a task that died or a read that was refused.
    async fn end(&mut self) -> Result<(), QueryError> {
        if let Err(error) = (&mut self.producer.0).await {
            let text = format!("the engine failed inside: {error}; this is a defect, report it");
            return Err(QueryError::new(Code::Internal, text));
        }
        if let Some(refused) = self.evidence.meter.refusal() {
            return Err(refused);
        }
        self.digest = match std::mem::replace(&mut self.digest, Digest::None) {
            Digest::Begun(digest) => Digest::Done(digest.finish()?),
            other => other,
        };
        Ok(())
    }

    /// Says the true reason if reads were refused, whatever error that ended in.
    fn sharpen(&self, error: QueryError) -> QueryError {
        if error.code() == Code::LimitMemory && self.limits.spill.is_none() {
            let text = "or let sorting and grouping spill to a folder (`meshledger query --spill`)";
            return QueryError::new(Code::LimitMemory, format!("{}; {text}", error.text()));
        }
        self.evidence.meter.refusal().unwrap_or(error)
    }
}

/// The error of a query that took too long.
pub(crate) fn out_of_time(limit: TimeLimit) -> QueryError {
    let seconds = limit.time.as_secs_f64();
    let text = if limit.by_deadline {
        format!(
            "the query was cancelled after {seconds} s, because the function that answers it has \
             to end then; narrow event_date or event_time, or give the function more time"
        )
    } else {
        format!(
            "the query took longer than {seconds} s; narrow event_date or event_time, or raise the \
             time limit"
        )
    };
    QueryError::new(Code::LimitTime, text)
}

/// What it holds is given up last.
async fn produce(
    _held: (Slot, Vec<Arc<OpenFile>>),
    mut stream: SendableRecordBatchStream,
    sender: mpsc::Sender<Result<RecordBatch, QueryError>>,
) {
    while let Some(item) = stream.next().await {
        let item = item.map_err(|e| QueryError::from_engine(&e));
        let failed = item.is_err();
        if sender.send(item).await.is_err() || failed {
            return;
        }
    }
}

/// Batches computed before the caller asks for them.
const BATCHES_AHEAD: usize = 2;
