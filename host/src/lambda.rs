//! A function's life: invocations in, answers out, one after the other, until it is told to end.
//! The only file that names the Lambda runtime.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode};
use lambda_runtime::{
    Diagnostic, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, service_fn,
};
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::doors;
use crate::error::HostError;

/// One call of the function.
#[derive(Debug)]
pub struct Invocation {
    /// The event, as it came.
    pub event: Box<RawValue>,
    /// What AWS calls this call by; a retry has another.
    pub request_id: String,
    /// How long there is until the function would be killed.
    pub time_left: Duration,
}

/// An answer.
pub enum Reply {
    /// JSON, at most what one answer may have: 6 MB.
    Json(Vec<u8>),
    /// An HTTP answer whose body is sent as it is made, to a URL with response streaming.
    Stream {
        /// Status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body. An error in it ends the answer, visibly.
        body: BoxStream<'static, Result<Bytes, FunctionError>>,
    },
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) => write!(f, "Json({} bytes)", text.len()),
            Self::Stream { status, .. } => write!(f, "Stream({status})"),
        }
    }
}

/// A call that failed: whoever sent the event has to send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// Stable name of the error, as AWS shows it.
    pub kind: &'static str,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for FunctionError {}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.kind.to_owned(), error_message: error.message }
    }
}

/// What a function answers with.
pub type Outcome = Result<Reply, FunctionError>;

/// How long an invocation in hand may still take once the process is told to end: what AWS gives.
const END_TIME: Duration = Duration::from_millis(1_700);

/// How long an answer takes to be sent once it is there.
const SEND_TIME: Duration = Duration::from_millis(100);

/// Runs a function until it is told to end. `begin` makes it, once, from its settings: a function
/// that can not begin says why and ends, so that nothing is taken that could not be kept.
pub fn run<B, F, H, A>(begin: B) -> ExitCode
where
    B: FnOnce() -> F,
    F: Future<Output = Result<H, HostError>>,
    H: Fn(Invocation) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(HostError::from).and_then(|runtime| {
        let ended = runtime.block_on(async { serve(begin().await?).await });
        // What blocks a thread is not waited for: the time to end is over.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log(&format!("this function can not begin: {e}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve<H, A>(handler: H) -> Result<(), HostError>
where
    H: Fn(Invocation) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    // Locked while an invocation is in hand.
    let hand = Arc::new(Mutex::new(()));
    let mut end = signal(SignalKind::terminate())?;
    let in_hand = Arc::clone(&hand);
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (handler, hand) = (handler.clone(), Arc::clone(&in_hand));
        async move {
            let _in_hand = hand.lock().await;
            let LambdaEvent { payload, context } = event;
            let time_left = time_left(context.deadline)?;
            let request_id = context.request_id;
            let reply = handler(Invocation { event: payload, request_id, time_left }).await?;
            response(reply)
        }
    });
    let running = lambda_runtime::run(service);
    tokio::pin!(running);
    let silent =
        |e| HostError::Io(std::io::Error::other(format!("the runtime API does not answer: {e}")));
    tokio::select! {
        ended = &mut running => return ended.map_err(silent),
        _ = end.recv() => {}
    }
    // What is in hand goes on, and its answer is still sent; no other is taken in hand, since the
    // lock stays held. What was not answered comes again, and is archived once.
    let last = async {
        let _ended = tokio::time::timeout(END_TIME, hand.lock()).await;
        tokio::time::sleep(SEND_TIME).await;
    };
    tokio::select! {
        ended = &mut running => ended.map_err(silent),
        () = last => Ok(()),
    }
}

fn time_left(deadline_millis: u64) -> Result<Duration, FunctionError> {
    let now_micros =
        doors::now_micros().map_err(|e| FunctionError { kind: "Host", message: e.to_string() })?;
    let now_micros = u64::try_from(now_micros).unwrap_or(0);
    let left = deadline_millis.saturating_mul(1_000).saturating_sub(now_micros);
    Ok(Duration::from_micros(left))
}

type Body = BoxStream<'static, Result<Bytes, FunctionError>>;

fn response(reply: Reply) -> Result<FunctionResponse<Box<RawValue>, Body>, FunctionError> {
    let defect = |message: String| FunctionError { kind: "Defect", message };
    match reply {
        Reply::Json(text) => {
            let text = String::from_utf8(text).map_err(|e| defect(e.to_string()))?;
            let json = RawValue::from_string(text).map_err(|e| defect(e.to_string()))?;
            Ok(FunctionResponse::BufferedResponse(json))
        }
        Reply::Stream { status, headers, body } => {
            let status = StatusCode::from_u16(status).map_err(|e| defect(e.to_string()))?;
            let mut prelude = MetadataPrelude { status_code: status, ..MetadataPrelude::default() };
            for (name, value) in headers {
                let name: HeaderName =
                    name.parse().map_err(|_| defect(format!("header {name}")))?;
                let value = HeaderValue::from_str(&value).map_err(|e| defect(e.to_string()))?;
                prelude.headers.append(name, value);
            }
            let response = StreamResponse { metadata_prelude: prelude, stream: body };
            Ok(FunctionResponse::StreamingResponse(response))
        }
    }
}

/// Writes a line to the function's log. A log that can not be written is nobody's to be told.
pub fn log(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
