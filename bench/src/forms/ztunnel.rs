//! ztunnel's log, by the lines captured from it (`ztunnel-2026-08`).

use std::fmt::Write as _;

use super::call::Call;

/// Values of an access line, as both forms write them: key, value, whether it is a number or, in
/// the plain form, has no quotes.
struct Line {
    level: &'static str,
    fields: Vec<(&'static str, String, Form)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    /// A text that the plain form writes without quotes.
    Bare,
    Number,
}

/// One connection, of the server's or of the client's proxy. Only calls of which both identities
/// are known make one.
fn line(call: &Call<'_>) -> Option<Line> {
    if !call.is_inbound() {
        return None;
    }
    let is_inbound = call.below(2) == 0;
    let (account, namespace) = call.account("downstream_peer_uri_san");
    let (to_account, to_namespace) = call.account("downstream_local_uri_san");
    let host = call.raw("downstream_local_address");
    let (ip, port) = host.split_once(':').unwrap_or((host, "0"));
    // Pods of the caller: a few for each account.
    let pod = Call::new(call.raw("downstream_remote_address").split(':').next()?, 0);
    let mut fields = vec![
        ("src.addr", call.caller(), Form::Bare),
        ("src.workload", format!("{account}-{:08x}", pod.draw() & 0xffff_ffff), Form::Text),
        ("src.namespace", namespace.to_owned(), Form::Text),
        ("src.identity", call.raw("downstream_peer_uri_san").to_owned(), Form::Text),
        ("src.cluster", "Kubernetes".to_owned(), Form::Text),
        ("dst.addr", format!("{ip}:15008"), Form::Bare),
        ("dst.hbone_addr", format!("{ip}:{port}"), Form::Bare),
    ];
    if !is_inbound {
        let service = format!("{to_account}.{to_namespace}.svc.cluster.local");
        fields.push(("dst.service", service, Form::Text));
    }
    let (sent, received) = (call.number("bytes_sent"), call.number("bytes_received"));
    let (sent, received) = if is_inbound { (sent, received) } else { (received, sent) };
    let direction = if is_inbound { "inbound" } else { "outbound" };
    fields.extend([
        ("dst.workload", call.raw("node").to_owned(), Form::Text),
        ("dst.namespace", to_namespace.to_owned(), Form::Text),
        ("dst.identity", call.raw("downstream_local_uri_san").to_owned(), Form::Text),
        ("dst.cluster", "Kubernetes".to_owned(), Form::Text),
        ("direction", direction.to_owned(), Form::Text),
        ("bytes_sent", sent.to_string(), Form::Number),
        ("bytes_recv", received.to_string(), Form::Number),
        ("duration", format!("{}ms", call.number("duration")), Form::Text),
    ]);
    let denied = call.denied_by().map(|policy| {
        if is_inbound {
            let reason = "connection closed due to policy rejection: explicitly denied by:";
            format!("{reason} {to_namespace}/{policy}")
        } else {
            "http status: 401 Unauthorized".to_owned()
        }
    });
    let failed = (call.raw("response_flags") == "UF")
        .then(|| "connection failed: Connection refused (os error 111)".to_owned());
    let error = denied.or(failed);
    let level = if error.is_some() { "error" } else { "info" };
    fields.extend(error.map(|error| ("error", error, Form::Text)));
    Some(Line { level, fields })
}

/// The JSON form: 455 to 560 bytes a line in the capture, with loopback addresses and identities
/// without a trust domain.
pub(super) fn json(out: &mut String, call: &Call<'_>) {
    let Some(line) = line(call) else { return };
    let (level, time) = (line.level, call.time(3));
    let _ = write!(
        out,
        "{{\"level\":\"{level}\",\"time\":\"{time}Z\",\"scope\":\"access\",\"message\":\"connection complete\""
    );
    for (key, value, form) in line.fields {
        let quote = if form == Form::Number { "" } else { "\"" };
        let _ = write!(out, ",\"{key}\":{quote}{value}{quote}");
    }
    out.push('}');
}

/// The plain form: 380 to 480 bytes a line in the capture.
pub(super) fn text(out: &mut String, call: &Call<'_>) {
    let Some(line) = line(call) else { return };
    let _ = write!(out, "{}Z\t{}\taccess\tconnection complete\t", call.time(3), line.level);
    for (index, (key, value, form)) in line.fields.into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let quote = if form == Form::Text { "\"" } else { "" };
        let _ = write!(out, "{space}{key}={quote}{value}{quote}");
    }
}
