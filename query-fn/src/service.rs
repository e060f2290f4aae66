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
use std::time::Duration;

use archive::Results;

use self::ask::Ask;
use self::deliver::{Done, Outlet};
use self::encode::Encoder;
use self::event::Event;
pub use self::event::{HttpRequest, REQUEST_BYTES_MAX};
pub use self::failure::{Failure, status};
use self::reply::Way;
pub use self::reply::{HttpAnswer, Reply};
use crate::answer::out_of_time;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::questions::Questions;
use crate::request::{Bounds, Request, TimeLimit};
use crate::statement::About;

/// The query function of one archive. It may answer many at once.
pub struct Service {
    engine: Engine,
    questions: Questions,
    results: Option<Results>,
    settings: Settings,
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
        Self { engine, questions, results, settings: Settings { url_lasts, ..settings } }
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
                Reply::Http(HttpAnswer::of(
                    self.over_http(&HttpRequest::of(&request), &call, way).await,
                ))
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
    ) -> Result<Done, Failure> {
        request.check()?;
        self.ask(request.body, call, way).await
    }

    async fn ask(&self, bytes: &[u8], call: &Call, way: Way) -> Result<Done, Failure> {
        let ask = Ask::parse(bytes, &self.questions)?;
        let margin = margin(call.time_left);
        let left = call.time_left.saturating_sub(margin);
        let mut outlet = Outlet::new(self, &ask, call, way)?;
        let bounds = Bounds { deadline: Some(left), ..ask.request.bounds };
        let request = Request { bounds, ..ask.request.clone() };
        let run = self.run(&request, &ask, call.now_micros, &mut outlet);
        let ended = tokio::time::timeout(left, run).await;
        let failure = match ended {
            Ok(Ok(done)) => return Ok(done),
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
        request: &Request,
        ask: &Ask,
        now_micros: i64,
        outlet: &mut Outlet<'_>,
    ) -> Result<Done, Failure> {
        let mut answer = self.engine.query(request).await?;
        let written = async {
            let buffer = Arc::clone(outlet.buffer());
            let mut encoder = Encoder::new(ask.format, &answer.schema(), buffer)?;
            while let Some(batch) = answer.next().await {
                encoder.write(&batch?)?;
                outlet.drain().await?;
            }
            let receipt = answer.receipt();
            let about = About { now_micros, question: ask.question.clone(), export: None };
            let statement = answer.statement(about).map(Box::new);
            encoder.finish(&receipt, statement.as_deref())?;
            outlet.drain().await?;
            Ok::<_, QueryError>((receipt, statement))
        };
        match written.await {
            Ok((receipt, statement)) => outlet.end(receipt, statement).await,
            Err(error) => Err(Failure::from(error).with(answer.receipt())),
        }
    }
}

/// Time that is kept for giving the answer away.
fn margin(time_left: Duration) -> Duration {
    MARGIN_MIN.max(time_left / 20)
}

const MARGIN_MIN: Duration = Duration::from_millis(500);

/// Lambda's limit for a response: 6 MB, which are 6 × 1,048,576 bytes.
const INLINE_BYTES_MAX: usize = 6 * 1_048_576;

/// As long as the longest file of an archive.
const RESULT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const URL_LASTS: Duration = Duration::from_secs(3_600);

/// What S3 allows at most.
const URL_LASTS_MAX: Duration = Duration::from_secs(7 * 86_400);
