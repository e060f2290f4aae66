//! The ingest function: events of a cloud in, an archive's files and manifests out.

mod config;

use std::process::ExitCode;
use std::sync::Arc;

use host::lambda::{self, Outcome};
use host::metrics::{Metric, embedded};
use host::{FunctionError, Invocation, Reply, doors};
use ingest_fn::handler::{Handler, Report};
use serde_json::json;

fn main() -> ExitCode {
    lambda::run(|| async {
        let handler = Arc::new(config::handler()?);
        Ok(move |invocation| answer(Arc::clone(&handler), invocation))
    })
}

async fn answer(handler: Arc<Handler>, invocation: Invocation) -> Outcome {
    let Invocation { event, request_id, time_left } = invocation;
    match handler.answer(event.into(), time_left).await {
        Ok(answer) => {
            log(&answer.report, &request_id);
            Ok(Reply::Json(answer.json))
        }
        Err(error) => {
            let mut report = error.report();
            report.trouble.get_or_insert_with(|| error.to_string());
            log(&report, &request_id);
            Err(FunctionError { kind: error.kind(), message: error.to_string() })
        }
    }
}

/// One line an invocation: numbers for CloudWatch, and what went wrong for people.
fn log(report: &Report, request_id: &str) {
    let Ok(now_micros) = doors::now_micros() else { return };
    let lag = report.oldest_micros.map(|oldest| now_micros.saturating_sub(oldest).max(0) / 1_000);
    let mut metrics = vec![
        Metric::count("EventsArchived", report.events),
        Metric::count("RecordsQuarantined", report.rejects),
        Metric::count("ItemsFailed", report.items_failed),
        Metric::count("DuplicateDeliveries", report.deliveries_repeated),
        Metric::count("DuplicateUnits", report.units_twice),
        Metric::bytes("BytesDecoded", report.bytes),
    ];
    let lag = lag.and_then(|millis| u64::try_from(millis).ok());
    metrics.extend(lag.map(|millis| Metric::milliseconds("Lag", millis)));
    let mut details = vec![
        ("request_id", json!(request_id)),
        ("items", json!(report.items)),
        ("deliveries", json!(report.deliveries)),
    ];
    details.extend(report.trouble.as_ref().map(|trouble| ("trouble", json!(trouble))));
    let transport = if report.transport.is_empty() { "unknown" } else { report.transport };
    lambda::log(&embedded(now_micros, &[("Transport", transport)], &metrics, &details));
}
