//! The fixtures of `tests/data/<folder>/cases.jsonl` against a parser: every column but the
//! bookkeeping ones, from expectations written by hand.

use std::collections::BTreeMap;

use common::date::rfc3339;
use common::schema::{COLUMNS, ColumnType};
use serde_json::{Map, Value, json};

use super::event::{Event, Events};
use super::fields as f;
use crate::reject::Reject;

/// When the records of the cases were received: after all of them.
pub(crate) const RECEIVED_AT_MICROS: i64 = 1_900_000_000_000_000;

/// Columns that the cases leave out.
const NOT_EXPECTED: &[usize] = &[
    f::SEGMENT,
    f::SEGMENT_ROW,
    f::INGEST_TIME,
    f::TRANSPORT,
    f::TRANSPORT_REF,
    f::SCHEMA_VERSION,
    f::ATTRIBUTES,
    f::RAW,
    f::RECORD_SHAPE,
    f::PARSE_ERROR,
];

/// Runs every case of a folder that `wanted` takes (by its `source`), and reports all that differ.
pub(crate) fn check(
    folder: &str,
    wanted: impl Fn(&Map<String, Value>) -> bool,
    mut parse: impl FnMut(&str, &[u8], &mut Events) -> Result<(), Reject>,
) {
    let path = format!("{}/../tests/data/{folder}/cases.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let case: Map<String, Value> = serde_json::from_str(line).unwrap();
        if !wanted(&case) {
            continue;
        }
        count += 1;
        let record = record(&case);
        let mut events = Events::default();
        let result = parse(case["source"].as_str().unwrap(), &record, &mut events);
        if let Some(difference) = difference(&case, result, &events) {
            wrong.push(format!("{}: {difference}", case["id"]));
        }
    }
    assert!(count > 0, "no case of {folder} was wanted");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn record(case: &Map<String, Value>) -> Vec<u8> {
    match case.get("record") {
        Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
        None => base64(case["record_base64"].as_str().unwrap()),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let digit = DIGITS.iter().position(|&known| known == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

fn difference(
    case: &Map<String, Value>,
    result: Result<(), Reject>,
    events: &Events,
) -> Option<String> {
    match (case.get("reject"), result) {
        (Some(reason), Err(reject)) => {
            let found = reject.reason.as_str();
            (found != reason).then(|| format!("expected reject {reason}, found {found}"))
        }
        (Some(reason), Ok(())) => Some(format!("expected reject {reason}, found an event")),
        (None, Err(reject)) => {
            Some(format!("found reject {}: {}", reject.reason.as_str(), reject.detail))
        }
        (None, Ok(())) => {
            let expected: Vec<&Value> = match &case["expect"] {
                Value::Array(all) => all.iter().collect(),
                one => vec![one],
            };
            if expected.len() != events.all().len() {
                let found = events.all().len();
                return Some(format!("expected {} events, found {found}", expected.len()));
            }
            let all =
                expected.iter().zip(events.all()).map(|(expected, event)| columns(expected, event));
            let all: Vec<String> = all.flatten().collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
    }
}

/// What differs, column by column.
fn columns(expected: &Value, event: &Event) -> Vec<String> {
    let expected: BTreeMap<&str, &Value> =
        expected.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut wrong = Vec::new();
    for (index, column) in COLUMNS.iter().enumerate() {
        if NOT_EXPECTED.contains(&index) {
            continue;
        }
        let found = found(event, index);
        let wanted = match expected.get(column.name) {
            Some(Value::String(word)) if word == "@ingest_time" => {
                json!(rfc3339(RECEIVED_AT_MICROS, 6))
            }
            Some(value) => (*value).clone(),
            None => Value::Null,
        };
        if found != wanted {
            wrong.push(format!("{} expected {wanted}, found {found}", column.name));
        }
    }
    let unknown = expected.keys().filter(|name| common::schema::column_index(name).is_none());
    wrong.extend(unknown.map(|name| format!("no column {name}")));
    wrong
}

fn found(event: &Event, index: usize) -> Value {
    if !event.has(index) {
        return Value::Null;
    }
    let text = |bytes: &[u8]| json!(String::from_utf8(bytes.to_vec()).unwrap());
    match COLUMNS[index].kind {
        ColumnType::Utf8 => text(event.text_of(index).unwrap()),
        ColumnType::Int32 | ColumnType::Int64 => json!(event.int_of(index).unwrap()),
        ColumnType::Timestamp => json!(rfc3339(event.int_of(index).unwrap(), 6)),
        ColumnType::Boolean => json!(event.bool_of(index).unwrap()),
        ColumnType::ListUtf8 => event.list_of(index).unwrap().into_iter().map(text).collect(),
    }
}
