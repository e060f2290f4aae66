//! Fixtures of `tests/data/ztunnel`, and helpers for the tests of both proxies written in Rust.

use common::schema::COLUMNS;
use serde_json::{Map, Value, json};

use super::*;
use crate::parse::cases::{self, RECEIVED_AT_MICROS};
use crate::parse::event::Event;
use crate::parse::fields as f;
use crate::parse::leftovers::Direct;

/// The record that an event of a JSON format gives back: its text, or `attributes` and what the
/// columns hold alone.
pub(in crate::parse) fn rebuilt(event: &Event, names: &[&str], direct: &[Direct]) -> Value {
    if let Some(raw) = event.text_of(f::RAW) {
        return serde_json::from_slice(raw).unwrap();
    }
    let attributes = event.text_of(f::ATTRIBUTES).unwrap_or(b"{}");
    let mut record: Map<String, Value> = serde_json::from_slice(attributes).unwrap();
    for &(key, column) in direct {
        let value = match event.text_of(column) {
            Some(text) => json!(std::str::from_utf8(text).unwrap()),
            None => match (event.int_of(column), event.bool_of(column)) {
                (Some(number), _) => json!(number),
                (_, Some(value)) => json!(value),
                _ => continue,
            },
        };
        record.entry(names[key]).or_insert(value);
    }
    Value::Object(record)
}

/// The records of a folder, each with its `source`.
pub(in crate::parse) fn records(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/../tests/data/{folder}/cases.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let field = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    cases.map(|case| (field(&case, "source"), field(&case, "record").into_bytes())).collect()
}

/// Gives a parser every begin of every record of a folder, and every record with one byte
/// changed. Nothing may panic, and a reject may leave no event.
pub(in crate::parse) fn survives_damage(
    folder: &str,
    mut parse: impl FnMut(&[u8], bool, &mut Events) -> Result<(), Reject>,
) {
    let mut events = Events::default();
    let mut try_both = |record: &[u8]| {
        for forced in [false, true] {
            events.clear();
            let result = parse(record, forced, &mut events);
            assert_eq!(events.all().len(), usize::from(result.is_ok()));
            let is_utf8 = std::str::from_utf8(record).is_ok();
            for event in events.all().iter().filter(|_| is_utf8) {
                // Text that came in as UTF-8 stays UTF-8.
                let texts = (0..COLUMNS.len()).filter_map(|column| event.text_of(column));
                texts.for_each(|text| assert!(std::str::from_utf8(text).is_ok()));
            }
        }
    };
    for (_, record) in records(folder) {
        for end in 0..record.len() {
            try_both(&record[..end]);
        }
        let mut changed = record.clone();
        for at in 0..record.len() {
            for byte in *b"\" {}\\:=\t[," {
                changed[at] = byte;
                try_both(&changed);
            }
            changed[at] = record[at];
        }
    }
}

/// Gives a parser lines of a megabyte that repeat one piece behind each begin. What looks at
/// any byte more than a few times does not come to an end here.
pub(in crate::parse) fn survives_length(
    begins: &[&str],
    mut parse: impl FnMut(&[u8], &mut Events) -> Result<(), Reject>,
) {
    const PIECES: [&str; 16] = [
        "(", "}", "\"", "\\", " ", "=", ":", "a{", "a{}:", ", ", "\t", " client=", " a=\"\"",
        "linkerd ", "::", "[1,",
    ];
    let mut events = Events::default();
    for begin in begins {
        for piece in PIECES {
            let line = [begin, piece.repeat((1 << 20) / piece.len()).as_str()].concat();
            events.clear();
            let _ = parse(line.as_bytes(), &mut events);
        }
    }
}

fn context(forced: bool) -> Context<'static> {
    Context { received_at_micros: RECEIVED_AT_MICROS, forced, ..Context::default() }
}

fn parse(record: &[u8], forced: bool) -> Result<Events, Reject> {
    let mut events = Events::default();
    ZtunnelParser::new().parse(record, &context(forced), &mut events)?;
    Ok(events)
}

#[test]
fn every_case_gives_its_columns() {
    let mut parser = ZtunnelParser::new();
    cases::check(
        "ztunnel",
        |_| true,
        |source, record, events| {
            let forced = source != "auto";
            let detected = parser.detects(record);
            let result = parser.parse(record, &context(forced), events);
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
    let mut parser = ZtunnelParser::new();
    let mut count = 0;
    for (source, record) in records("ztunnel") {
        let mut events = Events::default();
        let forced = source != "auto";
        if values::is_json(&record) && parser.parse(&record, &context(forced), &mut events).is_ok()
        {
            let event = &events.all()[0];
            let is_access =
                !matches!(event.text_of(f::EVENT_KIND).unwrap(), b"authz_decision" | b"log");
            let direct = if is_access { fill::ACCESS } else { &[] };
            let again = rebuilt(event, k::NAMES, direct);
            assert_eq!(again, serde_json::from_slice::<Value>(&record).unwrap());
            count += 1;
        }
    }
    assert!(count > 50);
}

#[test]
fn most_json_records_need_no_raw() {
    for (_, record) in records("ztunnel").into_iter().take(14) {
        let events = parse(&record, false).unwrap();
        assert!(!events.all()[0].has(f::RAW), "{}", String::from_utf8_lossy(&record));
    }
}

#[test]
fn damaged_records_are_read_or_rejected() {
    let mut parser = ZtunnelParser::new();
    survives_damage("ztunnel", |record, forced, events| {
        parser.parse(record, &context(forced), events)
    });
}

#[test]
fn text_keeps_its_line_and_what_no_column_holds() {
    let line = "2026-11-02T10:15:31Z\tinfo\taccess\tconnection complete\tsrc.addr=10.1.7.9:1 \
                src.workload=\"a\" zone=\"e\\\"u\" src.workload=\"b\"";
    let events = parse(line.as_bytes(), false).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.text_of(f::RAW), Some(line.as_bytes()));
    let attributes: Value = serde_json::from_slice(event.text_of(f::ATTRIBUTES).unwrap()).unwrap();
    let expected = json!({
        "level": "info", "scope": "access", "message": "connection complete",
        "src.addr": "10.1.7.9:1", "src.workload": "a", "zone": "e\"u",
    });
    assert_eq!(attributes, expected);
    assert_eq!(event.text_of(f::SRC_WORKLOAD), Some(&b"b"[..]));
}

#[test]
fn a_line_cut_behind_a_space_says_nothing_of_its_verdict() {
    let line = b"2026-11-02T10:15:31Z\terror\taccess\tconnection complete\tdirection=\"inbound\" ";
    let events = parse(line, false).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.text_of(f::DECISION), Some(&b"unknown"[..]));
    assert_eq!(event.text_of(f::PARSE_STATUS), Some(&b"partial"[..]));
}

#[test]
fn the_time_around_a_line_without_one_counts() {
    let around = Context {
        envelope: crate::parse::event::Envelope {
            time: Some((5_000_000, "cri")),
            columns: vec![(f::K8S_POD, "ztunnel-x".to_owned())],
            attributes: b"\"stream\":\"stdout\"".to_vec(),
        },
        outer: Some(b"outer"),
        ..context(false)
    };
    let line = br#"{"level":"info","scope":"access","message":"connection complete"}"#;
    let mut events = Events::default();
    ZtunnelParser::new().parse(line, &around, &mut events).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.time_micros(), Some(5_000_000));
    assert_eq!(event.text_of(f::EVENT_TIME_SOURCE), Some(&b"cri"[..]));
    assert_eq!(event.int_of(f::OBSERVED_TIME), Some(5_000_000));
    assert_eq!(event.text_of(f::K8S_POD), Some(&b"ztunnel-x"[..]));
    assert_eq!(event.text_of(f::RAW), Some(&b"outer"[..]));
}

#[test]
fn long_lines_are_read_in_one_pass() {
    let mut parser = ZtunnelParser::new();
    let begins = [
        "2026-11-02T10:15:31Z\tinfo\tstate:",
        "2026-11-02T10:15:31Z\tinfo\tstate:inbound{\tdeny policy match\t",
        "2026-11-02T10:15:31Z\tinfo\taccess\tconnection complete\t",
        "2026-11-02T10:15:31Z\tinfo\taccess\tconnection complete\terror=\"",
        "2026-11-02T10:15:31Z info access connection complete ",
    ];
    survives_length(&begins, |record, events| parser.parse(record, &context(true), events));
}
