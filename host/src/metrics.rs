//! Numbers about the work, for those who run it: CloudWatch's embedded metric format where a
//! function's log is read by CloudWatch, OpenTelemetry elsewhere.
//! Sources: CloudWatch, "Embedded metric format specification"; opentelemetry-proto,
//! collector/metrics/v1 and metrics/v1, JSON encoding.

use serde_json::{Map, Value, json};

/// The namespace all metrics are in.
pub const NAMESPACE: &str = "Meshledger";

/// Units of a metric, by CloudWatch's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `Count`
    Count,
    /// `Bytes`
    Bytes,
    /// `Milliseconds`
    Milliseconds,
    /// `Seconds`
    Seconds,
}

impl Unit {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
        }
    }
}

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Name, in CloudWatch's manner (`EventsArchived`).
    pub name: &'static str,
    /// Unit.
    pub unit: Unit,
    /// Value.
    pub value: f64,
}

impl Metric {
    /// A count.
    pub fn count(name: &'static str, value: u64) -> Self {
        Self::of(name, Unit::Count, value)
    }

    /// A number of bytes.
    pub fn bytes(name: &'static str, value: u64) -> Self {
        Self::of(name, Unit::Bytes, value)
    }

    /// A time in milliseconds.
    pub fn milliseconds(name: &'static str, value: u64) -> Self {
        Self::of(name, Unit::Milliseconds, value)
    }

    /// A time in seconds.
    pub fn seconds(name: &'static str, value: u64) -> Self {
        Self::of(name, Unit::Seconds, value)
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
    fn of(name: &'static str, unit: Unit, value: u64) -> Self {
        Self { name, unit, value: value as f64 }
    }
}

/// One line in the embedded metric format. The dimensions name a series, so they are few and have
/// few values; `details` are searchable and no dimensions.
pub fn embedded(
    now_micros: i64,
    dimensions: &[(&str, &str)],
    metrics: &[Metric],
    details: &[(&str, Value)],
) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let described: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": metric.unit.as_str()}))
        .collect();
    let mut line = Map::new();
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": described});
    let about = json!({
        "Timestamp": now_micros.div_euclid(1_000),
        "CloudWatchMetrics": [directive],
    });
    line.insert("_aws".to_owned(), about);
    for (name, value) in dimensions {
        line.insert((*name).to_owned(), json!(value));
    }
    for metric in metrics {
        line.insert(metric.name.to_owned(), json!(metric.value));
    }
    for (name, value) in details {
        line.insert((*name).to_owned(), value.clone());
    }
    Value::Object(line).to_string()
}

/// A number since the process began, or of now, by OpenTelemetry's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Name (`meshledger.events.archived`).
    pub name: &'static str,
    /// Unit, as UCUM has it (`{event}`, `By`, `s`).
    pub unit: &'static str,
    /// Value.
    pub value: u64,
    /// Whether it only ever grows.
    pub is_sum: bool,
}

/// A request to a metrics collector, as JSON: sums since `began_micros`, and what is now.
pub fn otlp(service: &str, began_micros: i64, now_micros: i64, readings: &[Reading]) -> String {
    let nanos = |micros: i64| (i128::from(micros) * 1_000).to_string();
    let metrics: Vec<Value> = readings
        .iter()
        .map(|reading| {
            let point = json!({
                "asInt": reading.value.to_string(),
                "startTimeUnixNano": nanos(began_micros),
                "timeUnixNano": nanos(now_micros),
            });
            let mut metric = json!({"name": reading.name, "unit": reading.unit});
            if reading.is_sum {
                // 2 is cumulative.
                metric["sum"] =
                    json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]});
            } else {
                metric["gauge"] = json!({"dataPoints": [point]});
            }
            metric
        })
        .collect();
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [name]},
        "scopeMetrics": [{"scope": {"name": common::WRITER}, "metrics": metrics}],
    }]})
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_cloudwatch_looks_for() {
        let metrics = [Metric::count("EventsArchived", 7), Metric::milliseconds("Lag", 1_500)];
        let details = [("request_id", json!("r-1"))];
        let line = embedded(1_793_614_531_000_999, &[("Source", "kinesis")], &metrics, &details);
        assert!(!line.contains('\n'), "one line");
        let line: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_793_614_531_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Meshledger",
                    "Dimensions": [["Source"]],
                    "Metrics": [
                        {"Name": "EventsArchived", "Unit": "Count"},
                        {"Name": "Lag", "Unit": "Milliseconds"},
                    ],
                }],
            },
            "Source": "kinesis",
            "EventsArchived": 7.0,
            "Lag": 1500.0,
            "request_id": "r-1",
        });
        assert_eq!(line, expected);
    }
}
