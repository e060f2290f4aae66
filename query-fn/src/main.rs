//! The query function as AWS Lambda runs it: the library's service between `host`'s doors.

mod config;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use host::lambda::{self, Outcome};
use host::metrics::{Metric, embedded};
use host::{FunctionError, HostError, Invocation, doors};
use meshledger_query_fn::service::{Call, HttpAnswer, Reply, Transport};
use serde_json::json;

use config::Function;

fn main() -> ExitCode {
    lambda::run(|| async {
        let function = Arc::new(config::read_settings()?);
        Ok(move |invocation| answer(Arc::clone(&function), invocation))
    })
}

async fn answer(function: Arc<Function>, invocation: Invocation) -> Outcome {
    let started = Instant::now();
    let Invocation { event, request_id, time_left } = invocation;
    let host = |e: HostError| FunctionError { kind: "Host", message: e.to_string() };
    let now_micros = doors::now_micros().map_err(host)?;
    // Names the result, so it must not be guessed.
    let id = doors::new_name().map_err(host)?;
    // Whoever invokes the function directly is known to AWS, but AWS does not tell the function.
    let caller = function.direct_caller.clone();
    let lost_before = function.service.trail_lost();
    let call = Call { time_left, now_micros, id, caller };
    let reply = function.service.answer(event.get().as_bytes(), call).await;
    let (status, bytes) = match &reply {
        Reply::Payload(json) => (200, json.len()),
        Reply::Http(answer) => (answer.status, answer.body.len()),
        Reply::Defect(_) => (500, 0),
    };
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let metrics = [
        Metric::milliseconds("DurationMillis", took),
        Metric::bytes("AnswerBytes", u64::try_from(bytes).unwrap_or(u64::MAX)),
        Metric::count("Failed", u64::from(status >= 500)),
        Metric::count("TrailLost", function.service.trail_lost().saturating_sub(lost_before)),
    ];
    let mut details = vec![("request_id", json!(request_id)), ("status", json!(status))];
    let trouble = function.service.trail_trouble();
    details.extend(trouble.map(|why| ("trail_trouble", json!(why))));
    lambda::log(&embedded(now_micros, &[("Function", "query")], &metrics, &details));
    match reply {
        Reply::Payload(json) => Ok(lambda::Reply::Json(json.into())),
        Reply::Http(answer) => Ok(over_http(answer, function.transport)),
        Reply::Defect(message) => Err(FunctionError { kind: "Defect", message }),
    }
}

fn over_http(answer: HttpAnswer, transport: Transport) -> lambda::Reply {
    match transport {
        Transport::Buffered => lambda::Reply::Json(answer.into_gateway_payload().into()),
        Transport::Streamed => {
            let body = stream::iter(answer.chunks().map(Ok)).boxed();
            let headers = answer.headers.into_iter();
            let headers = headers.map(|(name, value)| (name.to_owned(), value)).collect();
            lambda::Reply::Stream { status: answer.status, headers, body }
        }
    }
}
