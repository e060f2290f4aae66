//! The fixtures of `tests/data/hoop`, what rows give back of their records, and broken records.

use std::collections::BTreeMap;

use common::limits::EVENT_TIME_MICROS_MIN;
use common::schema::{COLUMNS, ColumnType};
use serde_json::{Map, Value, json};

use super::*;
use crate::parse::cases;
use crate::parse::event::Envelope;

fn context() -> Context<'static> {
    Context { received_at_micros: cases::RECEIVED_AT_MICROS, ..Context::default() }
}

/// A record of a source, as the dispatcher will do it.
fn parse(
    parser: &mut HoopParser,
    source: &str,
    record: &[u8],
    context: &Context<'_>,
    events: &mut Events,
) -> Result<(), Reject> {
    use HoopFormat::{Audit, Inspect, Session, Webhook};
    let forced =
        [Audit, Inspect, Session, Webhook].into_iter().find(|format| format.as_str() == source);
    match forced {
        Some(format) => {
            parser.parse_as(
                format,
                record,
                &Context { forced: true, ..context.clone() },
                events,
            )?;
        }
        None if parser.detects(record) => parser.parse(record, context, events)?,
        None => return Err(Reject::new(Reason::UnknownFormat, "not detected")),
    }
    // The pipeline's part.
    if events.all().iter().any(|event| event.time_micros() < Some(EVENT_TIME_MICROS_MIN)) {
        return Err(Reject::new(Reason::EventTimeOutOfRange, "before 2000"));
    }
    Ok(())
}

/// Source and record of each case.
fn records() -> Vec<(String, String)> {
    let cases = include_str!("../../../../tests/data/hoop/cases.jsonl");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let case = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    cases.lines().map(case).map(|case| (text(&case["source"]), text(&case["record"]))).collect()
}

fn parsed(record: &str) -> Events {
    let mut events = Events::default();
    let mut parser = HoopParser::new();
    assert!(parser.detects(record.as_bytes()), "{record}");
    parser.parse(record.as_bytes(), &context(), &mut events).unwrap();
    events
}

#[test]
fn hoop_every_case() {
    let mut parser = HoopParser::new();
    cases::check(
        "hoop",
        |_| true,
        |source, record, events| parse(&mut parser, source, record, &context(), events),
    );
}

/// A row's record: fields of `attributes`, and what columns hold besides.
fn rebuilt(event: &Event) -> Map<String, Value> {
    let attributes = event.text_of(f::ATTRIBUTES).unwrap_or(b"{}");
    let mut record: Map<String, Value> = serde_json::from_slice(attributes).unwrap();
    let format = event.text_of(f::SOURCE_FORMAT).unwrap();
    use HoopFormat::{Audit, Inspect, Session, Webhook};
    let all = [Audit, Inspect, Session, Webhook];
    let format = all.into_iter().find(|known| known.as_str().as_bytes() == format).unwrap();
    for (name, column) in format.held() {
        let held = match COLUMNS[column].kind {
            _ if !event.has(column) || record.contains_key(name) => continue,
            ColumnType::Utf8 => json!(std::str::from_utf8(event.text_of(column).unwrap()).unwrap()),
            ColumnType::Boolean => json!(event.bool_of(column).unwrap()),
            _ => json!(event.int_of(column).unwrap()),
        };
        record.insert(name.to_owned(), held);
    }
    record
}

#[test]
fn hoop_rows_give_their_records_back() {
    let mut parser = HoopParser::new();
    let mut count = BTreeMap::<bool, usize>::new();
    for (source, record) in records() {
        let mut events = Events::default();
        if parse(&mut parser, &source, record.as_bytes(), &context(), &mut events).is_err() {
            continue;
        }
        let raw = events.all()[0].text_of(f::RAW);
        *count.entry(raw.is_some()).or_default() += 1;
        if let Some(raw) = raw {
            assert_eq!(raw, record.as_bytes());
            continue;
        }
        let mut rows: Vec<Map<String, Value>> = events.all().iter().map(rebuilt).collect();
        let found = match rows[0].remove(PAGE_KEY) {
            Some(Value::Object(mut page)) => {
                page.insert("data".to_owned(), rows.into_iter().map(Value::Object).collect());
                page
            }
            _ => rows.remove(0),
        };
        assert_eq!(Value::Object(found), serde_json::from_str::<Value>(&record).unwrap());
    }
    // Of three records the text is kept: a line with a prefix, an error's reason, a key twice.
    assert_eq!(count, BTreeMap::from([(false, 41), (true, 3)]));
}

#[test]
fn hoop_values_that_columns_do_not_hold_come_back() {
    let base = r#"{"actor_subject":"s","resource_type":"r","created_at":"2026-08-01T10:15:33Z"}"#;
    let odd = [
        ("actor_email", json!("")),
        ("actor_email", json!(7)),
        ("actor_name", json!("é\u{1b}\"\\")),
        ("http_status", json!("403")),
        ("http_status", json!(4.5)),
        ("http_status", json!(-1)),
        ("http_status", json!(i64::MAX)),
        ("http_method", json!("get")),
        ("http_path", json!("/api/x?")),
        ("client_ip", json!("10.0.0.1:80")),
        ("client_ip", json!("not")),
        ("outcome", json!("true")),
        ("outcome", Value::Null),
        ("action", json!("revoke")),
        ("request_payload_redacted", json!([1, {"b": 1.0}])),
        ("request_payload_redacted", json!({"name": ["x"]})),
        ("resource_id", json!("own")),
        ("resource_name", json!("-")),
        ("hoop.other", json!({"a": null})),
    ];
    for (key, value) in odd {
        let mut record: Map<String, Value> = serde_json::from_str(base).unwrap();
        record.insert(key.to_owned(), value);
        let events = parsed(&Value::Object(record.clone()).to_string());
        let event = &events.all()[0];
        assert!(!event.has(f::RAW), "{key}");
        assert_eq!(rebuilt(event), record, "{key}");
    }
}

#[test]
fn hoop_what_surrounds_a_page_stands_once() {
    let row = r#"{"actor_subject":"s","resource_type":"r","created_at":"2026-08-01T10:15:33Z"}"#;
    let page = format!(r#"{{"pages":{{"page":1}},"next":null,"data":[{row},{row}]}}"#);
    let envelope = Envelope {
        columns: vec![(f::K8S_POD, "gateway-0".to_owned())],
        attributes: br#""stream":"stdout""#.to_vec(),
        ..Envelope::default()
    };
    let outer = b"the whole line";
    let around = Context { envelope, outer: Some(outer), ..context() };
    let mut events = Events::default();
    HoopParser::new().parse(page.as_bytes(), &around, &mut events).unwrap();
    let [first, second] = events.all() else { panic!("two rows") };
    assert_eq!(first.text_of(f::RAW), Some(&outer[..]));
    assert!(!second.has(f::RAW));
    let attributes = |event: &Event| -> Value {
        serde_json::from_slice(event.text_of(f::ATTRIBUTES).unwrap()).unwrap()
    };
    let page = json!({"pages": {"page": 1}, "next": null});
    assert_eq!(attributes(first)["hoop.page"], page);
    assert_eq!(attributes(first)["stream"], json!("stdout"));
    assert_eq!(attributes(second), json!({"created_at": "2026-08-01T10:15:33Z"}));
    for event in [first, second] {
        assert_eq!(event.text_of(f::K8S_POD), Some(&b"gateway-0"[..]));
    }
}

#[test]
fn hoop_a_page_with_one_bad_row_gives_none() {
    let good = r#"{"actor_subject":"s","resource_type":"r","created_at":"2026-08-01T10:15:33Z"}"#;
    let mut events = Events::default();
    let mut parser = HoopParser::new();
    parser.parse(good.as_bytes(), &context(), &mut events).unwrap();
    let mut check = |data: &str, expected: Reason| {
        let page = format!(r#"{{"pages":null,"data":{data}}}"#);
        let reject = parser.parse(page.as_bytes(), &context(), &mut events).unwrap_err();
        assert_eq!(reject.reason, expected, "{data}: {}", reject.detail);
        assert_eq!(events.all().len(), 1);
    };
    check(&format!(r#"[{good},{{"actor_subject":"s","resource_type":"r"}}]"#), Reason::NoEventTime);
    check(&format!("[{good},{{}}]"), Reason::UnknownFormat);
    check(&format!("[{good},null]"), Reason::InvalidJson);
    check("[]", Reason::UnknownFormat);
    check("{}", Reason::UnknownFormat);
    let many = vec![good; PAGE_ROWS_MAX + 1].join(",");
    check(&format!("[{many}]"), Reason::TooManyFields);
}

#[test]
fn hoop_a_list_that_stands_twice_is_kept_whole() {
    let row = r#"{"actor_subject":"s","resource_type":"r","created_at":"2026-08-01T10:15:33Z"}"#;
    let page = format!(r#"{{"pages":1,"data":[{row},{row}],"data":[{row}]}}"#);
    let events = parsed(&page);
    let [event] = events.all() else { panic!("one row") };
    assert_eq!(event.text_of(f::RAW), Some(page.as_bytes()));
    assert_eq!(event.text_of(f::PARSE_STATUS), Some(&b"ambiguous"[..]));
}

#[test]
fn hoop_an_unreadable_review_allows_nothing() {
    let decision = |review: &str| {
        let record = format!(
            r#"{{"connection":"c","verb":"exec","status":"open","start_date":"2026-08-01T00:00:00Z","review":{review}}}"#
        );
        let events = parsed(&record);
        String::from_utf8(events.all()[0].text_of(f::DECISION).unwrap().to_vec()).unwrap()
    };
    for none in ["null", "\"\"", "\"-\"", "[]"] {
        assert_eq!(decision(none), "allow", "{none}");
    }
    for odd in
        ["{}", "true", "1", "\"APPROVED\"", "[1]", "{\"status\":1}", "{\"status\":\"approved\"}"]
    {
        assert_eq!(decision(odd), "unknown", "{odd}");
    }
}

#[test]
fn hoop_a_cut_line_is_not_read_from_its_inside() {
    let inside = r#"{"kind":"statement","session_id":"s","timestamp":"2026-08-01T00:00:00Z"}"#;
    let mut parser = HoopParser::new();
    assert!(!parser.detects(format!(r#"{{"a":"b {inside}"#).as_bytes()));
    assert!(parser.detects(format!("x {inside}").as_bytes()));
    assert!(!parser.detects(format!("x {inside} y").as_bytes()));
}

#[test]
fn hoop_a_webhook_takes_the_transports_time() {
    let record = br#"{"event_type":"session.close","id":"s"}"#;
    let envelope = Envelope { time: Some((7, "transport")), ..Envelope::default() };
    let mut events = Events::default();
    let context = Context { envelope, ..context() };
    HoopParser::new().parse(record, &context, &mut events).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.time_micros(), Some(7));
    assert_eq!(event.text_of(f::EVENT_TIME_SOURCE), Some(&b"transport"[..]));
}

#[test]
fn hoop_broken_records_never_panic() {
    let mut parser = HoopParser::new();
    let mut events = Events::default();
    let mut look = |source: &str, record: &str| {
        events.clear();
        let result = parse(&mut parser, "auto", record.as_bytes(), &context(), &mut events);
        assert!(result.is_ok() || events.all().iter().all(|event| event.has(f::EVENT_TIME)));
        let _ = parse(&mut parser, source, record.as_bytes(), &context(), &mut events);
    };
    for (_, record) in records() {
        for (at, char) in record.char_indices() {
            for format in ["hoop_audit", "hoop_session", "hoop_webhook", "hoop_inspect"] {
                look(format, &record[..at]);
            }
            for other in ["", "{", "}", "\"", "\\", "0", "[", "]", ",", "-", "/", "=", "@"] {
                look(
                    "hoop_session",
                    &format!("{}{other}{}", &record[..at], &record[at + char.len_utf8()..]),
                );
            }
        }
    }
}

#[test]
fn keys_of_all_shapes_are_known_and_those_that_tell_them_apart_by_number() {
    assert_eq!(KNOWN.get(..probe::NAMES.len()), Some(probe::NAMES));
    let rows = [audit::row::NAMES, session::row::NAMES, webhook::row::NAMES, inspect::row::NAMES];
    for name in rows.into_iter().flatten() {
        assert!(KNOWN.contains(name), "{name}");
    }
    let mut sorted = KNOWN.to_vec();
    sorted.sort_unstable();
    assert!(sorted.is_sorted_by(|a, b| a < b), "a key twice");
}
