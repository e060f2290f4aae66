//! The query function: a request comes as JSON, an answer goes back with its receipt.
//!
//! Three hosts share it: a Lambda function, the HTTP server of `serve`, and `invoke`. They give
//! bytes, a time that is left and a name that was never used; they get bytes. What an answer
//! looks like is in docs/query-api.md.
//!
//! An answer is whole in memory, or whole in the place of results, before its first byte is
//! given to the host: so an error is never told in the middle of one.

mod ask;
mod deliver;
mod encode;
mod event;
mod failure;
mod reply;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use archive::Results;
use common::Sha256Digest;

use self::ask::Ask;
use self::deliver::{Done, Outlet};
use self::encode::Encoder;
use self::event::Event;
pub use self::event::{HttpRequest, REQUEST_BYTES_MAX};
pub use self::failure::{Failure, status};
pub use self::reply::{HttpAnswer, Reply};
use self::reply::{Told, Way};
use crate::answer::out_of_time;
use crate::digest::Digested;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::questions::Questions;
use crate::receipt::Receipt;
use crate::request::{Bounds, Request, TimeLimit};
use crate::statement::About;
use crate::trail::{Asked, Entry, Trail};

/// The query function of one archive. It may answer many at once.
pub struct Service {
    engine: Engine,
    questions: Questions,
    results: Option<Results>,
    settings: Settings,
    trail: Option<Trail>,
}

/// How answers leave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How answers over HTTP reach their reader.
    pub transport: Transport,
    /// Most bytes that are handed over, counted as the transport counts them. What is longer
    /// goes to the place of results.
    pub inline_bytes_max: usize,
    /// Most bytes of one result there.
    pub result_bytes_max: u64,
    /// How long the URL of a result lasts; at most seven days.
    pub url_lasts: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transport: Transport::Buffered,
            inline_bytes_max: INLINE_BYTES_MAX,
            result_bytes_max: RESULT_BYTES_MAX,
            url_lasts: URL_LASTS,
        }
    }
}

/// How an answer over HTTP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Inside of a JSON object, as Lambda wants it unless it streams: that object is counted.
    Buffered,
    /// As it is: the body is counted.
    Streamed,
}

/// What a host knows of one call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Time until the host ends the function.
    pub time_left: Duration,
    /// The wall clock, in microseconds since 1970 UTC.
    pub now_micros: i64,
    /// Names the result, if there is one: of `A-Z a-z 0-9 _ -`, at most 128; never the same for
    /// two calls, and hard to guess.
    pub id: String,
    /// Who asks, if the host knows. A request that came through a gateway is of whom that names,
    /// and of nobody else.
    pub caller: Option<String>,
}

impl Service {
    /// A query function.
    pub fn new(
        engine: Engine,
        questions: Questions,
        results: Option<Results>,
        settings: Settings,
    ) -> Self {
        let url_lasts = settings.url_lasts.min(URL_LASTS_MAX);
        let settings = Settings { url_lasts, ..settings };
        Self { engine, questions, results, settings, trail: None }
    }

    /// The same function, which tells a trail of each query.
    #[must_use]
    pub fn trailed(mut self, trail: Option<Trail>) -> Self {
        self.trail = trail;
        self
    }

    /// Why the last entry of the trail was lost; told once.
    pub fn trail_trouble(&self) -> Option<String> {
        self.trail.as_ref().and_then(Trail::trouble)
    }

    /// Entries of the trail that were lost since the function began.
    pub fn trail_lost(&self) -> u64 {
        self.trail.as_ref().map_or(0, Trail::lost)
    }

    /// The engine that answers.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers an event of Lambda: a request as it is, or one that came through a Function URL
    /// or an API Gateway. Must be called within a tokio runtime.
    pub async fn answer(&self, event: &[u8], call: Call) -> Reply {
        match Event::read(event) {
            Ok(Event::Direct(bytes)) => Reply::of(self.ask(bytes, &call, Way::Direct).await),
            Ok(Event::Http(request)) => {
                let way = self.way();
                let call = Call { caller: request.caller.clone(), ..call };
                let answered = match HttpRequest::of(&request) {
                    Ok(request) => self.over_http(&request, &call, way).await,
                    Err(refused) => Err(refused),
                };
                Reply::Http(HttpAnswer::of(answered))
            }
            Err(refused) => Reply::Http(HttpAnswer::of(Err(refused))),
        }
    }

    /// Answers a request of an HTTP server. Must be called within a tokio runtime.
    pub async fn http(&self, request: HttpRequest<'_>, call: Call) -> HttpAnswer {
        HttpAnswer::of(self.over_http(&request, &call, self.way()).await)
    }

    const fn way(&self) -> Way {
        match self.settings.transport {
            Transport::Buffered => Way::Buffered,
            Transport::Streamed => Way::Streamed,
        }
    }

    async fn over_http(
        &self,
        request: &HttpRequest<'_>,
        call: &Call,
        way: Way,
    ) -> Result<Told, Failure> {
        request.check()?;
        self.ask(request.body, call, way).await
    }

    async fn ask(&self, bytes: &[u8], call: &Call, way: Way) -> Result<Told, Failure> {
        let started = Instant::now();
        let ask = Ask::parse(bytes, &self.questions);
        let mut read = None;
        let answered = match &ask {
            Ok(ask) if ask.dry_run => self.estimated(ask, call).await,
            Ok(ask) => self.asked(ask, call, way, &mut read).await,
            Err(refused) => Err(refused.clone()),
        };
        // Before the first byte of the answer is given away.
        self.tell((started, call), ask.ok().as_ref(), read.as_ref(), &answered).await?;
        answered
    }

    /// Puts an entry on the trail, if there is one.
    async fn tell(
        &self,
        (started, call): (Instant, &Call),
        ask: Option<&Ask>,
        read: Option<&(Receipt, Option<Digested>)>,
        answered: &Result<Told, Failure>,
    ) -> Result<(), Failure> {
        let Some(trail) = &self.trail else { return Ok(()) };
        let elapsed = started.elapsed();
        // The call's own name is that of its result, which is for who asked.
        let id = Sha256Digest::of(call.id.as_bytes()).to_hex();
        let question = ask.and_then(|ask| ask.question.as_deref());
        let digest = read.and_then(|(_, digest)| digest.map(|digest| digest.root.to_hex()));
        let entry = Entry {
            id: &id,
            time_micros: call.now_micros,
            who: call.caller.as_deref(),
            asked: ask.map(|ask| Asked { request: &ask.request, question, dry_run: ask.dry_run }),
            receipt: read.map(|(receipt, _)| receipt),
            result_digest: digest.as_deref(),
            outcome: answered.as_ref().err().map_or("ok", |failure| failure.code),
            elapsed_micros: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        };
        let left = call.time_left.saturating_sub(elapsed);
        let left = left.saturating_sub(margin(call.time_left) / 4).min(TRAIL_TIME_MAX);
        let told = match tokio::time::timeout(left, trail.put(&entry)).await {
            Ok(told) => told,
            Err(_) => trail.lose(&format!("no answer within {} s", left.as_secs_f64())),
        };
        told.map_err(|why| Failure::trail(&why))
    }

    /// What a query would cost.
    async fn estimated(&self, ask: &Ask, call: &Call) -> Result<Told, Failure> {
        let left = call.time_left.saturating_sub(margin(call.time_left));
        let bounds = Bounds { deadline: Some(left), ..ask.request.bounds };
        let request = Request { bounds, ..ask.request.clone() };
        let estimate = self.engine.estimate_as(&request, call.caller.as_deref()).await?;
        Ok(Told::Estimate(Box::new(estimate)))
    }

    async fn asked(
        &self,
        ask: &Ask,
        call: &Call,
        way: Way,
        read: &mut Option<(Receipt, Option<Digested>)>,
    ) -> Result<Told, Failure> {
        let margin = margin(call.time_left);
        let left = call.time_left.saturating_sub(margin);
        let mut outlet = Outlet::new(self, ask, call, way)?;
        let bounds = Bounds { deadline: Some(left), ..ask.request.bounds };
        let digested = self.trail.is_some();
        let request = Request { bounds, digested, ..ask.request.clone() };
        let run = self.run((&request, call), ask, &mut outlet, read);
        let ended = tokio::time::timeout(left, run).await;
        let failure = match ended {
            Ok(Ok(done)) => return Ok(Told::Answer(Box::new(done))),
            Ok(Err(failure)) => failure,
            Err(_) => out_of_time(TimeLimit { time: left, by_deadline: true }).into(),
        };
        // What is left of an upload must not cost the answer.
        if tokio::time::timeout(margin / 2, outlet.give_up()).await.is_err() {
            tracing::warn!(id = call.id, "parts of a result could not be given up in time");
        }
        Err(failure)
    }

    async fn run(
        &self,
        (request, call): (&Request, &Call),
        ask: &Ask,
        outlet: &mut Outlet<'_>,
        read: &mut Option<(Receipt, Option<Digested>)>,
    ) -> Result<Done, Failure> {
        let mut answer = self.engine.query_as(request, call.caller.as_deref()).await?;
        let written = async {
            let buffer = Arc::clone(outlet.buffer());
            let mut encoder = Encoder::new(ask.format, &answer.schema(), buffer)?;
            while let Some(batch) = answer.next().await {
                encoder.write(&batch?)?;
                outlet.drain().await?;
            }
            let receipt = answer.receipt();
            let about =
                About { now_micros: call.now_micros, question: ask.question.clone(), export: None };
            let statement = answer.statement(about).map(Box::new);
            encoder.finish(&receipt, statement.as_deref())?;
            outlet.drain().await?;
            Ok::<_, QueryError>((receipt, statement))
        };
        let written = written.await;
        *read = Some((answer.whole_receipt(), answer.digest()));
        match written {
            Ok((receipt, statement)) => outlet.end(receipt, statement).await,
            Err(error) => Err(Failure::from(error).with(answer.receipt())),
        }
    }
}

/// Time that is kept for giving the answer away.
fn margin(time_left: Duration) -> Duration {
    MARGIN_MIN.max(time_left / 20)
}

/// Longest time for an entry of the trail: a queue answers in milliseconds.
const TRAIL_TIME_MAX: Duration = Duration::from_secs(5);

const MARGIN_MIN: Duration = Duration::from_millis(500);

/// Lambda's limit for a response: 6 MB, which are 6 × 1,048,576 bytes.
const INLINE_BYTES_MAX: usize = 6 * 1_048_576;

/// As long as the longest file of an archive.
const RESULT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const URL_LASTS: Duration = Duration::from_secs(3_600);

/// What S3 allows at most.
const URL_LASTS_MAX: Duration = Duration::from_secs(7 * 86_400);
