//! Fixtures of `tests/data/linkerd`.

use serde_json::{Value, json};

use super::*;
use crate::parse::cases::{self, RECEIVED_AT_MICROS};
use crate::parse::event::Envelope;
use crate::parse::ztunnel::tests::{rebuilt, records, survives_damage, survives_length};

/// Takes a container runtime's prefix off, `<time> <stream> F `: what the dispatcher does.
fn without_prefix(record: &[u8], forced: bool) -> (&[u8], Context<'_>) {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, forced, ..Context::default() };
    let mut parts = record.splitn(4, |&byte| byte == b' ');
    let (time, stream, tag) = (parts.next(), parts.next(), parts.next());
    let micros = time.and_then(time::parse_rfc3339);
    match (micros, stream, tag, parts.next()) {
        (Some(micros), Some(b"stdout" | b"stderr"), Some(b"F"), Some(line)) => {
            let time = Some((micros, "cri"));
            let envelope = Envelope { time, ..Envelope::default() };
            (line, Context { envelope, outer: Some(record), ..context })
        }
        _ => (record, context),
    }
}

#[test]
fn every_case_gives_its_columns() {
    let mut parser = LinkerdParser::new();
    cases::check(
        "linkerd",
        |_| true,
        |source, record, events| {
            let forced = source != "auto";
            let (line, context) = without_prefix(record, forced);
            let detected = parser.detects(line);
            let result = parser.parse(line, &context, events);
            // What is detected is read, but for its time; what is not is not read on `auto`.
            let is_read = !matches!(
                result,
                Err(Reject { reason: Reason::UnknownFormat | Reason::InvalidJson, .. })
            );
            assert!(forced || detected == is_read);
            result
        },
    );
}

#[test]
fn json_records_come_back() {
    let mut parser = LinkerdParser::new();
    let mut count = 0;
    for (source, record) in records("linkerd") {
        let mut events = Events::default();
        let (line, context) = without_prefix(&record, source != "auto");
        // The prefix does not count here.
        let context = Context { outer: None, ..context };
        if values::is_json(line) && parser.parse(line, &context, &mut events).is_ok() {
            let event = &events.all()[0];
            let is_access =
                event.text_of(f::SOURCE_FORMAT) == Some(SOURCE_FORMAT_ACCESS_JSON.as_bytes());
            let direct = if is_access { access::DIRECT } else { &[] };
            let again = rebuilt(event, k::NAMES, direct);
            assert_eq!(again, serde_json::from_slice::<Value>(line).unwrap());
            count += 1;
        }
    }
    assert!(count > 70);
}

#[test]
fn damaged_records_are_read_or_rejected() {
    let mut parser = LinkerdParser::new();
    survives_damage("linkerd", |record, forced, events| {
        let (line, context) = without_prefix(record, forced);
        parser.parse(line, &context, events)
    });
}

fn parse(record: &[u8], context: &Context<'_>) -> Events {
    let mut events = Events::default();
    LinkerdParser::new().parse(record, context, &mut events).unwrap();
    events
}

#[test]
fn the_envelope_names_the_emitter_only() {
    let columns = vec![(f::K8S_POD, "reviews-0".to_owned())];
    let envelope = Envelope { columns, ..Envelope::default() };
    let context = Context { envelope, ..Context::default() };
    let line = br#"10.42.1.9:34650 - - [2026-11-21T15:05:53.2Z] "GET /reviews/1 HTTP/1.1" 200"#;
    let events = parse(line, &context);
    let event = &events.all()[0];
    assert_eq!(event.text_of(f::K8S_POD), Some(&b"reviews-0"[..]));
    // Who the callee is, is said by the dispatcher.
    assert!(!event.has(f::DST_WORKLOAD) && !event.has(f::OBSERVED_TIME));
}

#[test]
fn long_lines_are_read_in_one_pass() {
    let mut parser = LinkerdParser::new();
    let client =
        r#"{"timestamp":"2026-11-21T15:07:01Z","target":"linkerd","fields":{"client.tls":"#;
    let begins = [
        "[1.5s] INFO ThreadId(01) ",
        "[1.5s] INFO ThreadId(01) linkerd_x: Request denied client.tls=",
        "[1.5s] INFO ThreadId(01) linkerd_x: Request denied ",
        "10.42.1.9:34650 - - [2026-11-21T15:05:53.2Z] \"",
        client,
    ];
    survives_length(&begins, |record, events| {
        let envelope = Envelope { time: Some((1, "cri")), ..Envelope::default() };
        parser.parse(record, &Context { envelope, ..Context::default() }, events)
    });
    let uri = "Some(Established { client_id: Some(ClientId(Uri(Url { ".to_owned();
    let _ = identity::tls((uri + &", ".repeat(1 << 19)).as_bytes());
}

#[test]
fn a_plain_line_keeps_its_text_and_what_no_column_holds() {
    let line = b"[     6.4s]  INFO ThreadId(01) inbound:server{port=9080}: linkerd_app_core::errors::respond: HTTP/1.1 request failed error=x \"y\" path=\"/a\" timeout=1s";
    let envelope = Envelope {
        time: Some((7_000_000, "cri")),
        attributes: b"\"stream\":\"stdout\"".to_vec(),
        ..Envelope::default()
    };
    let context = Context { envelope, outer: Some(b"outer"), ..Context::default() };
    let events = parse(line, &context);
    let event = &events.all()[0];
    assert_eq!(event.text_of(f::RAW), Some(&b"outer"[..]));
    let attributes: Value = serde_json::from_slice(event.text_of(f::ATTRIBUTES).unwrap()).unwrap();
    let expected = json!({
        "uptime": "6.4s", "level": "INFO", "threadId": "ThreadId(01)",
        "spans": "inbound:server{port=9080}", "target": "linkerd_app_core::errors::respond",
        "message": "HTTP/1.1 request failed", "timeout": "1s", "stream": "stdout",
    });
    assert_eq!(attributes, expected);
}

#[test]
fn an_access_line_whose_status_is_cut_or_no_number_decides_nothing() {
    for (status, parse_status) in [(" ", "partial"), (" 40x", "partial"), (" 4", "ok")] {
        let line = format!(
            "10.42.1.9:34650 - - [2026-11-21T15:05:53.2Z] \"GET /reviews/1 HTTP/1.1\"{status}"
        );
        let events = parse(line.as_bytes(), &Context::default());
        let event = &events.all()[0];
        assert_eq!(event.text_of(f::DECISION), Some(&b"unknown"[..]), "{status}");
        assert_eq!(event.text_of(f::PARSE_STATUS), Some(parse_status.as_bytes()), "{status}");
    }
}
