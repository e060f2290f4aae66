//! What is told of each call: one line of the log, which CloudWatch reads as metrics too.

use std::time::Duration;

use host::metrics::{Metric, embedded};
use meshledger_maintain_fn::{Done, Work};
use serde_json::{Value, json};

/// Findings, or refused manifests, that the line names; the answer names more.
const FINDINGS_MAX: usize = 5;

/// The line.
pub(crate) fn line(done: &Done, request_id: &str, took: Duration, now_micros: i64) -> String {
    let (action, mut metrics, about) = match &done.work {
        Work::Sealed(sealed) => {
            let report = &sealed.report;
            let mut metrics = vec![
                Metric::seconds("SealAgeSeconds", sealed.seal_age_seconds),
                Metric::seconds("SecondsSinceCommit", sealed.seconds_since_commit),
                Metric::count("ManifestsSealed", report.manifests_sealed),
                Metric::count("ManifestsRefused", sealed.refused),
                Metric::count("ManifestsDropped", report.manifests_dropped),
                Metric::count("RowsSealed", report.rows),
                Metric::count("SealIncomplete", u64::from(!report.is_complete)),
            ];
            if let Some(through) = report.sealed_through {
                metrics.push(Metric::count("CheckpointSize", through.saturating_add(1)));
            }
            ("seal", metrics, some_of(serde_json::to_value(sealed), "manifests_refused"))
        }
        Work::Verified(verified) => {
            let metrics = vec![
                Metric::count("VerifyTampering", verified.tampering),
                Metric::count("VerifyIncomplete", verified.incomplete),
                Metric::count("VerifyUnsealed", verified.unsealed),
            ];
            ("verify", metrics, some_of(serde_json::to_value(verified), "findings"))
        }
        Work::None => ("none", Vec::new(), Value::Null),
    };
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    metrics.push(Metric::milliseconds("DurationMillis", millis));
    metrics.push(Metric::count("Failed", u64::from(done.failed.is_some())));
    let failed = done.failed.as_ref();
    let failed = failed.map(|failed| json!({"kind": failed.kind, "message": failed.message}));
    let details = [
        ("request_id", json!(request_id)),
        ("action", json!(action)),
        ("report", about),
        ("failed", json!(failed)),
    ];
    embedded(now_micros, &[("Function", "maintain")], &metrics, &details)
}

/// A report of which a list is cut: a line of CloudWatch's has at most 256 KB.
fn some_of(report: serde_json::Result<Value>, list: &str) -> Value {
    let mut report = report.unwrap_or(Value::Null);
    if let Some(Value::Array(all)) = report.get_mut(list) {
        all.truncate(FINDINGS_MAX);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshledger_maintain_fn::handler::Sealed;
    use meshledger_maintain_fn::{Failed, SealReport};

    fn read(done: &Done) -> Value {
        let line = line(done, "r-1", Duration::from_millis(12), 1_793_614_531_000_000);
        assert!(!line.contains('\n'), "one line");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_seal_is_one_line_with_its_metrics() {
        let report = SealReport {
            manifests_sealed: 3,
            rows: 70,
            sealed_through: Some(8),
            ..SealReport::default()
        };
        let sealed = Sealed {
            report,
            refused: 2,
            witnesses: Vec::new(),
            witnesses_failed: None,
            seal_age_seconds: 4,
            seconds_since_commit: 0,
        };
        let work = Work::Sealed(Box::new(sealed));
        let line = read(&Done { answer: Ok(Vec::new()), work, failed: None });
        for (name, value) in [
            ("SealAgeSeconds", 4),
            ("ManifestsSealed", 3),
            ("RowsSealed", 70),
            ("ManifestsRefused", 2),
            ("CheckpointSize", 9),
            ("SealIncomplete", 1),
            ("DurationMillis", 12),
            ("Failed", 0),
        ] {
            assert_eq!(line[name].as_f64(), Some(f64::from(value)), "{name}: {line}");
            let described = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
            assert!(described.iter().any(|metric| metric["Name"] == name), "{name}: {line}");
        }
        assert_eq!((&line["action"], &line["request_id"]), (&"seal".into(), &"r-1".into()));
    }

    #[test]
    fn a_failure_is_counted_and_named() {
        let failed = Failed { kind: "Unavailable", message: "no answer".to_owned() };
        let done = Done { answer: Ok(Vec::new()), work: Work::None, failed: Some(failed) };
        let line = read(&done);
        assert_eq!(line["Failed"].as_f64(), Some(1.0));
        assert_eq!(line["failed"]["kind"], "Unavailable");
    }
}
