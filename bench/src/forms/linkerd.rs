//! linkerd2-proxy's access log and log, by the lines captured from it (`linkerd2-proxy-2026-08`).

use std::fmt::Write as _;

use super::call::Call;
use super::mesh;

/// The caller as its certificate names it.
fn identity(call: &Call<'_>) -> String {
    let (account, namespace) = call.account("downstream_peer_uri_san");
    format!("{account}.{namespace}.serviceaccount.identity.linkerd.cluster.local")
}

/// Service and namespace that were called.
fn called<'a>(call: &Call<'a>) -> (&'a str, &'a str) {
    call.account("downstream_local_uri_san")
}

/// Whether the proxy logs the call: it is HTTP, and came to a server.
fn is_logged(call: &Call<'_>) -> bool {
    call.is_inbound() && !call.raw("method").is_empty()
}

/// The path, or the whole URL where proxies spoke HTTP/2 to each other, which meshed ones do.
fn uri(call: &Call<'_>) -> String {
    let path = call.raw("path");
    if call.raw("protocol") == "HTTP/2" {
        format!("http://{}{path}", call.raw("authority"))
    } else {
        path.to_owned()
    }
}

fn version(call: &Call<'_>) -> &'static str {
    if call.raw("protocol") == "HTTP/2" { "HTTP/2.0" } else { "HTTP/1.1" }
}

/// The access log as JSON: 380 bytes a line in the capture, where half of the callers have no
/// identity.
pub(super) fn access_json(out: &mut String, call: &Call<'_>) {
    if !is_logged(call) {
        return;
    }
    let total = call.number("duration") * 1_000_000 + call.below(1_000_000);
    let received = call.number("bytes_received");
    let trace_id = call.raw("traceparent").get(3..35).unwrap_or_default();
    let host = if version(call) == "HTTP/2.0" { "" } else { call.raw("authority") };
    let request_bytes = if received == 0 { String::new() } else { received.to_string() };
    let _ = write!(
        out,
        "{{\"client.addr\":\"{}\",\"client.id\":\"{}\",\"host\":\"{host}\",\"method\":\"{}\",\
         \"processing_ns\":\"{}\",\"request_bytes\":\"{request_bytes}\",\"response_bytes\":\"{}\",\
         \"status\":{},\"timestamp\":\"{}Z\",\"total_ns\":\"{total}\",\"trace_id\":\"{trace_id}\",\
         \"uri\":\"{}\",\"user_agent\":\"{}\",\"version\":\"{}\"}}",
        call.caller(),
        identity(call),
        call.raw("method"),
        total / 4 + call.below(90_000),
        call.raw("bytes_sent"),
        call.raw("response_code"),
        call.time(6),
        uri(call),
        call.raw("user_agent"),
        version(call),
    );
}

/// The access log in Apache's form: 136 bytes a line in the capture, where half of the callers
/// have no identity; 170 with one.
pub(super) fn access_apache(out: &mut String, call: &Call<'_>) {
    if !is_logged(call) {
        return;
    }
    let _ = write!(
        out,
        "{} {} - [{}Z] \"{} {} {}\" {}",
        call.caller(),
        identity(call),
        call.time(6),
        call.raw("method"),
        uri(call),
        version(call),
        call.raw("response_code"),
    );
}

/// One line of the proxy's log.
struct Line {
    level: &'static str,
    target: &'static str,
    message: &'static str,
    /// Key, value, and whether the plain form quotes it.
    fields: Vec<(&'static str, String, bool)>,
    port: String,
    /// Address in the span `rescue`.
    rescue: Option<String>,
}

/// What the log says of a call: with debug lines of the policy, as an audit needs them, a verdict
/// for each request; a failure for each denial and each error of the server.
fn line(call: &Call<'_>) -> Option<Line> {
    if !is_logged(call) {
        return None;
    }
    let (service, namespace) = called(call);
    let local = call.raw("downstream_local_address");
    let port = local.rsplit(':').next().unwrap_or("0").to_owned();
    let caller = call.caller();
    let ip = caller.split(':').next().unwrap_or_default().to_owned();
    let status = call.number("response_code");
    let is_denied = status == 403;
    if (is_denied || status >= 500) && call.below(2) == 0 {
        let reason = if is_denied {
            "unauthorized request on route"
        } else {
            "HTTP request configured to fail with 503 Service Unavailable: injected"
        };
        let error = format!("client {caller}: server: {local}: {reason}");
        let message = if version(call) == "HTTP/2.0" {
            "HTTP/2.0 request failed"
        } else {
            "HTTP/1.1 request failed"
        };
        let path = call.raw("path").split('?').next().unwrap_or_default().to_owned();
        return Some(Line {
            level: "INFO",
            target: "linkerd_app_core::errors::respond",
            message,
            fields: vec![("error", error, false), ("path", path, true)],
            port,
            rescue: Some(caller),
        });
    }
    let text = |value: &str| value.to_owned();
    let mut fields = vec![
        ("server.group", text("policy.linkerd.io"), false),
        ("server.kind", text("server"), false),
        ("server.name", format!("{service}-http"), false),
        ("route.group", text("policy.linkerd.io"), false),
        ("route.kind", text("httproute"), false),
        ("route.name", format!("{service}-{namespace}"), false),
    ];
    let tls = format!(
        "Some(Established {{ client_id: Some(ClientId(Dns(Name(\"{}\")))), negotiated_protocol: None }})",
        identity(call)
    );
    if !is_denied {
        fields.push(("authz.group", text("policy.linkerd.io"), false));
        fields.push(("authz.kind", text("authorizationpolicy"), false));
        fields.push(("authz.name", format!("{service}-callers"), false));
    }
    fields.push(("client.tls", tls, false));
    fields.push(("client.ip", ip, false));
    Some(Line {
        level: if is_denied { "INFO" } else { "DEBUG" },
        target: "linkerd_app_inbound::policy::http",
        message: if is_denied { "Request denied" } else { "Request authorized" },
        fields,
        port,
        rescue: None,
    })
}

/// The proxy's log as JSON: 396 bytes a failure, 540 a denial and 640 an allowed request with an
/// identity in the captures.
pub(super) fn log_json(out: &mut String, call: &Call<'_>) {
    let Some(line) = line(call) else { return };
    let _ = write!(
        out,
        "{{\"timestamp\":\"{}Z\",\"level\":\"{}\",\"fields\":{{\"message\":\"{}\"",
        call.time(3),
        line.level,
        line.message
    );
    for (key, value, _) in line.fields {
        let _ = write!(out, ",\"{key}\":\"{}\"", value.replace('"', "\\\""));
    }
    let _ = write!(
        out,
        "}},\"target\":\"{}\",\"spans\":[{{\"name\":\"inbound\"}},{{\"port\":{},\"name\":\"server\"}}",
        line.target, line.port
    );
    if let Some(address) = line.rescue {
        let _ = write!(out, ",{{\"client.addr\":\"{address}\",\"name\":\"rescue\"}}");
    }
    out.push_str("],\"threadId\":\"ThreadId(1)\"}");
}

/// The proxy's log as text: 244 bytes a line in the capture, 450 for a verdict with an identity.
/// Its lines have no time but that of the container runtime, so they stand in its log.
pub(super) fn log_plain(out: &mut String, call: &Call<'_>) {
    let Some(line) = line(call) else { return };
    out.push_str(&mesh::cri_prefix(call));
    let start: f64 = call.raw("start_us").parse().unwrap_or(0.0);
    let _ = write!(
        out,
        "[{:13.6}s] {:>5} ThreadId(01) inbound:server{{port={}}}",
        start % 1_000_000.0,
        line.level,
        line.port
    );
    if let Some(address) = &line.rescue {
        let _ = write!(out, ":rescue{{client.addr={address}}}");
    }
    let _ = write!(out, ": {}: {}", line.target, line.message);
    for (key, value, is_quoted) in line.fields {
        let quote = if is_quoted { "\"" } else { "" };
        let _ = write!(out, " {key}={quote}{value}{quote}");
        if key == "error" {
            let cause = value.rsplit(": ").next().unwrap_or_default();
            let _ = write!(out, " error.sources=[{cause}]");
        }
    }
}
