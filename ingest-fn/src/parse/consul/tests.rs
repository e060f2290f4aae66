//! The fixtures of `tests/data/consul`, what a row gives back of its record, and broken records.

use serde_json::{Map, Value};

use super::*;
use crate::parse::cases;
use crate::parse::envoy::EnvoyParser;

fn context() -> Context<'static> {
    Context { received_at_micros: cases::RECEIVED_AT_MICROS, ..Context::default() }
}

/// Records by what they look like, as the dispatcher will do it.
fn parse(
    parsers: &mut (ConsulParser, EnvoyParser),
    record: &[u8],
    events: &mut Events,
) -> Result<(), Reject> {
    if parsers.0.detects(record) {
        return parsers.0.parse(record, &context(), events);
    }
    parsers.1.parse(record, &context(), events)
}

fn records() -> Vec<String> {
    let text = include_str!("../../../../tests/data/consul/cases.jsonl");
    let record = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        case["record"].as_str().unwrap().to_owned()
    };
    text.lines().map(record).collect()
}

#[test]
fn consul_every_case() {
    let mut parsers = (ConsulParser::new(), EnvoyParser::new());
    cases::check("consul", |_| true, |_, record, events| parse(&mut parsers, record, events));
}

#[test]
fn consul_a_row_gives_its_record_back() {
    let mut parser = ConsulParser::new();
    let mut count = 0;
    for record in records().iter().filter(|record| record.contains("HTTPEvent")) {
        let mut events = Events::default();
        if parser.parse(record.as_bytes(), &context(), &mut events).is_err() {
            continue;
        }
        let [event] = events.all() else { panic!("one event of {record}") };
        let kept = event.text_of(f::RAW).or(event.text_of(f::ATTRIBUTES)).unwrap();
        let again: Map<String, Value> = serde_json::from_slice(kept).unwrap();
        let expected: Map<String, Value> = serde_json::from_str(record).unwrap();
        assert_eq!(again, expected);
        count += 1;
    }
    assert_eq!(count, 29);
}

#[test]
fn consul_a_second_payload_is_kept_in_raw() {
    let record = r#"{"event_type":"audit","payload":{"type":"HTTPEvent"},"payload":{"type":"HTTPEvent","timestamp":"2026-08-01T00:00:00Z"}}"#;
    let mut events = Events::default();
    ConsulParser::new().parse(record.as_bytes(), &context(), &mut events).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.text_of(f::RAW), Some(record.as_bytes()));
    assert_eq!(event.text_of(f::PARSE_STATUS), Some(&b"ambiguous"[..]));
}

#[test]
fn consul_a_configured_source_needs_no_marks_but_a_time() {
    let forced = Context { forced: true, ..context() };
    let mut parser = ConsulParser::new();
    let mut events = Events::default();
    let mut reason = |record: &str, context: &Context<'_>| {
        let result = parser.parse(record.as_bytes(), context, &mut events);
        result.err().map(|reject| (reject.reason, reject.format_guess))
    };
    let bare = r#"{"created_at":"2026-08-01T00:00:00Z"}"#;
    assert_eq!(reason(bare, &forced), None);
    assert_eq!(reason(bare, &context()), Some((Reason::UnknownFormat, None)));
    assert_eq!(reason("{}", &forced), Some((Reason::NoEventTime, Some(SOURCE_FORMAT))));
    assert_eq!(reason("{", &forced), Some((Reason::InvalidJson, Some(SOURCE_FORMAT))));
}

#[test]
fn consul_broken_records_never_panic() {
    let mut parsers = (ConsulParser::new(), EnvoyParser::new());
    let mut events = Events::default();
    let mut look = |record: &str| {
        events.clear();
        let forced = Context { forced: true, ..context() };
        let _ = parse(&mut parsers, record.as_bytes(), &mut events);
        let before = events.all().len();
        let result = parsers.0.parse(record.as_bytes(), &forced, &mut events);
        assert_eq!(events.all().len() - before, usize::from(result.is_ok()));
    };
    for record in records() {
        for (at, char) in record.char_indices() {
            look(&record[..at]);
            for other in ["", "{", "}", "\"", "\\", "0", "[", "/", "%", "?", ".", ":"] {
                look(&format!("{}{other}{}", &record[..at], &record[at + char.len_utf8()..]));
            }
        }
    }
}
