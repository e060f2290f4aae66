//! Envoy's records in other clothes: its text format, OpenTelemetry, shippers' envelopes.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write;

use super::call::Call;

/// Envoy's default text format (`out_text.log` of the capture: 232 bytes a line on loopback,
/// where names and paths are short; 350 to 500 here, by the names and user agents of `traffic`).
pub(super) fn envoy_text(out: &mut String, call: &Call<'_>) {
    let text = |key: &str| call.plain(key);
    let _ = write!(
        out,
        "[{}] \"{} {} {}\" {} {} {} {} \"{}\" {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" {} {} {} {} {} {}",
        text("start_time"),
        text("method"),
        text("path"),
        text("protocol"),
        text("response_code"),
        text("response_flags"),
        text("response_code_details"),
        text("connection_termination_details"),
        text("upstream_transport_failure_reason"),
        text("bytes_received"),
        text("bytes_sent"),
        text("duration"),
        text("upstream_service_time"),
        text("x_forwarded_for"),
        text("user_agent"),
        text("request_id"),
        text("authority"),
        text("upstream_host"),
        text("upstream_cluster"),
        text("upstream_local_address"),
        text("downstream_local_address"),
        text("downstream_remote_address"),
        text("requested_server_name"),
        text("route_name"),
    );
}

/// One log record of an export: the text line with its line feed, and the five labels of the
/// capture (`out_otlp.jsonl`), written without blanks as the collector does.
pub(super) fn otlp_json(out: &mut String, call: &Call<'_>) {
    let mut line = String::new();
    envoy_text(&mut line, call);
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    let (seconds, micros) = call.raw("start_us").split_once('.').unwrap_or(("0", "0"));
    let _ = write!(
        out,
        "{{\"timeUnixNano\":\"{seconds}{micros}000\",\"body\":{{\"stringValue\":\"{line}\\n\"}},\"attributes\":["
    );
    let keys = ["duration", "path", "response_code", "response_code_details", "response_flags"];
    for (index, key) in keys.into_iter().enumerate() {
        let value = call.raw(key);
        let value = if value.is_empty() { "-" } else { value };
        let comma = if index == 0 { "" } else { "," };
        let _ =
            write!(out, "{comma}{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}");
    }
    out.push_str("]}");
}

/// Records on their way to one export request.
pub(super) struct Batch {
    records: Vec<String>,
    /// Decides how long the next export is.
    state: u64,
}

impl Batch {
    /// An empty export.
    pub(super) fn new(seed: u64) -> Self {
        Self { records: Vec::new(), state: seed }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &str) {
        self.records.push(record.to_owned());
    }

    /// Whether the export is sent: Envoy flushes at 16 KiB or after a second, which in the capture
    /// made exports of 1 to 17 records.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() as u64 > self.state % 17
    }

    /// Writes the export and begins the next.
    pub(super) fn write(&mut self, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
        let records = self.records.join(",");
        writeln!(
            out,
            "{{\"resourceLogs\":[{{\"resource\":{{}},\"scopeLogs\":[{{\"logRecords\":[{records}]}}]}}]}}"
        )?;
        self.records.clear();
        self.state = self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1) >> 7;
        Ok(())
    }
}

/// Istio's default keys, as Envoy sorts them.
const DEFAULT_KEYS: [&str; 24] = [
    "authority",
    "bytes_received",
    "bytes_sent",
    "connection_termination_details",
    "downstream_local_address",
    "downstream_remote_address",
    "duration",
    "method",
    "path",
    "protocol",
    "request_id",
    "requested_server_name",
    "response_code",
    "response_code_details",
    "response_flags",
    "route_name",
    "start_time",
    "upstream_cluster",
    "upstream_host",
    "upstream_local_address",
    "upstream_service_time",
    "upstream_transport_failure_reason",
    "user_agent",
    "x_forwarded_for",
];

/// Envoy's JSON in Istio's default keys, 880 bytes on average (`traffic`).
fn envoy_json(call: &Call<'_>) -> String {
    let mut out = String::from("{");
    for (index, key) in DEFAULT_KEYS.into_iter().enumerate() {
        let value = call.raw(key);
        let comma = if index == 0 { "" } else { "," };
        let is_number =
            ["bytes_received", "bytes_sent", "duration", "response_code"].contains(&key);
        let _ = match (value.is_empty(), is_number) {
            (true, _) => write!(out, "{comma}\"{key}\":null"),
            (false, true) => write!(out, "{comma}\"{key}\":{value}"),
            (false, false) => write!(out, "{comma}\"{key}\":\"{value}\""),
        };
    }
    out.push('}');
    out
}

/// What the container runtime puts before a line.
pub(super) fn cri_prefix(call: &Call<'_>) -> String {
    format!("{}Z stdout F ", call.time(6))
}

/// Envoy's JSON as a node's log file has it.
pub(super) fn cri_envoy_json(out: &mut String, call: &Call<'_>) {
    out.push_str(&cri_prefix(call));
    out.push_str(&envoy_json(call));
}

/// Envoy's JSON as Fluent Bit's `tail` input and `kubernetes` filter send it: keys as documented
/// by Fluent Bit, with the ids, labels and annotations that a pod of Istio has.
pub(super) fn fluentbit_envoy_json(out: &mut String, call: &Call<'_>) {
    let line = envoy_json(call).replace('\\', "\\\\").replace('"', "\\\"");
    let node = call.raw("node");
    let app = node.rsplitn(3, '-').last().unwrap_or(node);
    let (_, namespace) = call.account("downstream_local_uri_san");
    let own = if call.is_inbound() { "upstream_host" } else { "upstream_local_address" };
    let address = call.raw(own).split(':').next().unwrap_or_default();
    // A pod keeps its ids, so they follow from its name.
    let pod = Call::new(node, 0);
    let (pod_id, container, image) = (pod.uuid(), pod.draw(), 0x51e0_77aa_90cc_1234_u64);
    let _ = write!(
        out,
        "{{\"time\":\"{}Z\",\"stream\":\"stdout\",\"_p\":\"F\",\"log\":\"{line}\",\"kubernetes\":{{\
         \"pod_name\":\"{node}\",\"namespace_name\":\"{namespace}\",\"pod_id\":\"{pod_id}\",\
         \"labels\":{{\"app\":\"{app}\",\"pod-template-hash\":\"{:09x}\",\"security.istio.io/tlsMode\":\"istio\",\
         \"service.istio.io/canonical-name\":\"{app}\",\"service.istio.io/canonical-revision\":\"v1\"}},\
         \"annotations\":{{\"istio.io/rev\":\"default\",\"prometheus.io/path\":\"/stats/prometheus\",\
         \"prometheus.io/port\":\"15020\",\"prometheus.io/scrape\":\"true\"}},\
         \"host\":\"ip-10-0-{}-{}.eu-central-1.compute.internal\",\"pod_ip\":\"{address}\",\
         \"container_name\":\"istio-proxy\",\"docker_id\":\"{container:016x}{container:016x}{container:016x}{container:016x}\",\
         \"container_hash\":\"docker.io/istio/proxyv2@sha256:{image:016x}{image:016x}{image:016x}{image:016x}\",\
         \"container_image\":\"docker.io/istio/proxyv2:1.27.0\"}}}}",
        call.time(6),
        container & 0xf_ffff_ffff,
        container % 4,
        container / 4 % 250,
    );
}
