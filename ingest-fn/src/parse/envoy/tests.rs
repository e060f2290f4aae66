//! Records through the parser and back: columns and `attributes` must make the record again.

use std::collections::BTreeMap;

use archive::SegmentEncoder;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use common::DeliveryId;
use common::Sha256Digest;
use common::date::EventDate;
use common::ids::SegmentId;
use common::row::{RowKey, RowSeed};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::*;
use crate::rebuild::{BatchRow, rebuild};

fn batch_of(records: &[&str]) -> RecordBatch {
    let mut parser = EnvoyParser::new();
    let batches: Vec<RecordBatch> =
        (0..).zip(records).map(|(row, record)| batch_of_one(&mut parser, row, record)).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// A record's row, through a file of its own, since a file holds one date.
fn batch_of_one(parser: &mut EnvoyParser, row: i64, record: &str) -> RecordBatch {
    let time = parser.scan(record.as_bytes(), false, true).unwrap_or_else(|reject| {
        panic!("{record}: {reject:?}");
    });
    let date = EventDate::of_micros(time);
    let segment = SegmentId::of(DeliveryId(Sha256Digest::of(b"t")), date);
    let mut rows =
        SegmentEncoder::new(segment, date, RowKey::of_segment(RowSeed::new([5; 32]), segment))
            .unwrap();
    parser.fill(record.as_bytes(), time, &mut rows);
    // What the pipeline adds.
    rows.text(f::SEGMENT, b"s");
    rows.int64(f::SEGMENT_ROW, row);
    rows.int64(f::INGEST_TIME, 0);
    rows.text(f::TRANSPORT, b"file");
    rows.int32(f::SCHEMA_VERSION, 1);
    rows.end_row().unwrap();
    let file = rows.finish().unwrap();
    let bytes = file.bytes;
    // The slow way, which knows nothing of kinds.
    assert_eq!(archive::rows::row_root(bytes.clone()).unwrap(), file.entry.row_root);
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.next().unwrap().unwrap()
}

/// The oracle: serde_json's own reading, with numbers by their text.
fn fields(record: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(record).unwrap()
}

pub(super) fn check_rebuild(records: &[&str], raw_expected: bool) {
    let batch = batch_of(records);
    let raw = batch.column(f::RAW);
    for (row, record) in records.iter().enumerate() {
        assert_eq!(raw.is_valid(row), raw_expected, "raw of {record}");
        let again = rebuild(&BatchRow { batch: &batch, row }).unwrap().record;
        assert_eq!(fields(&again), fields(record), "rebuilt {again}\nfrom {record}");
    }
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let column = batch.column(column).as_string::<i32>();
    column.is_valid(row).then(|| column.value(row))
}

#[test]
fn captured_default_and_extended_records_come_back_without_raw() {
    let default = include_str!("../../../../tests/data/envoy/captured-default.jsonl");
    check_rebuild(&default.lines().collect::<Vec<_>>(), false);
    let extended = include_str!("../../../../tests/data/envoy/captured-extended.jsonl");
    check_rebuild(&extended.lines().collect::<Vec<_>>(), false);
}

#[test]
fn records_of_other_key_sets_keep_their_text() {
    let omit = include_str!("../../../../tests/data/envoy/captured-omit.jsonl");
    check_rebuild(&omit.lines().collect::<Vec<_>>(), true);
}

#[test]
fn odd_values_survive() {
    let base = include_str!("../../../../tests/data/envoy/captured-default.jsonl");
    let base: Value = serde_json::from_str(base.lines().next().unwrap()).unwrap();
    let odd: &[(&str, Value)] = &[
        ("authority", Value::from("-")),
        ("authority", Value::from("")),
        ("authority", Value::from(7)),
        ("bytes_received", Value::from(1.5)),
        ("bytes_received", Value::from("11")),
        ("bytes_sent", Value::from(-1)),
        ("duration", Value::Null),
        ("duration", Value::from(u64::MAX)),
        ("downstream_local_address", Value::Null),
        ("downstream_local_address", Value::from("unix:///tmp/s")),
        ("downstream_local_address", Value::from("10.0.0.1:080")),
        ("downstream_remote_address", Value::from("[2001:db8::7]:3000")),
        ("downstream_remote_address", Value::from("10.0.0.1")),
        ("path", Value::from("/a?")),
        ("path", Value::from("/a?b?c")),
        ("path", Value::Null),
        ("method", Value::from("-")),
        ("protocol", Value::from("http/1.1")),
        ("protocol", Value::from("TCP")),
        ("protocol", Value::Null),
        ("response_code", Value::Null),
        ("response_code", Value::from("200")),
        ("response_flags", Value::Null),
        ("response_flags", Value::from("")),
        ("response_flags", Value::from("UF,,UAEX")),
        ("response_flags", Value::from("UF,URX")),
        ("response_code_details", Value::Null),
        ("connection_termination_details", Value::from("x")),
        ("start_time", Value::from("2026-11-21T13:09:21.089123456Z")),
        ("start_time", Value::from("2026-11-21T13:09:21Z")),
        ("start_time", Value::from("2026-11-21T13:09:21.000+01:00")),
        ("upstream_service_time", Value::from("01")),
        ("upstream_service_time", Value::from(4)),
        ("upstream_transport_failure_reason", Value::from("delayed_connect_error:_refused")),
        ("user_agent", Value::from("a\u{1b}[31m\"\\\u{e9}")),
        ("new_key", serde_json::json!({"a": [1, {"b": null}], "c": 1.0})),
    ];
    let records: Vec<String> = odd
        .iter()
        .map(|(key, value)| {
            let mut record = base.clone();
            record[*key] = value.clone();
            record.to_string()
        })
        .collect();
    check_rebuild(&records.iter().map(String::as_str).collect::<Vec<_>>(), false);
}

#[test]
fn key_order_does_not_matter() {
    let records = include_str!("../../../../tests/data/envoy/captured-extended.jsonl");
    let reversed: Vec<String> = records
        .lines()
        .map(|line| {
            let fields: BTreeMap<String, Value> = fields(line);
            let parts: Vec<String> =
                fields.iter().rev().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
            format!("{{ {} }}", parts.join(" , "))
        })
        .collect();
    let mut in_order = batch_of(&records.lines().collect::<Vec<_>>());
    let mut any_order = batch_of(&reversed.iter().map(String::as_str).collect::<Vec<_>>());
    // Attributes keep the record's own text and order.
    in_order.remove_column(f::ATTRIBUTES);
    any_order.remove_column(f::ATTRIBUTES);
    assert_eq!(in_order, any_order);
}

#[test]
fn a_key_that_stands_twice_is_flagged_and_the_text_kept() {
    let record = r#"{"response_code":200,"response_flags":"-","start_time":"2026-11-21T13:09:21.089Z","method":"GET","method":"DELETE"}"#;
    let batch = batch_of(&[record]);
    assert_eq!(text(&batch, f::HTTP_METHOD, 0), Some("DELETE"));
    assert_eq!(text(&batch, f::PARSE_STATUS, 0), Some("ambiguous"));
    assert_eq!(text(&batch, f::RAW, 0), Some(record));
}

#[test]
fn what_is_no_envoy_record_is_rejected_with_a_reason() {
    let check = |record: &str, forced: bool, reason: Reason| {
        let reject = EnvoyParser::new().scan(record.as_bytes(), false, forced).unwrap_err();
        assert_eq!(reject.reason, reason, "{record}: {}", reject.detail);
    };
    check("", true, Reason::InvalidJson);
    check("[]", true, Reason::InvalidJson);
    check(r#"{"a":1"#, true, Reason::InvalidJson);
    check(r#"{"a":1}x"#, true, Reason::InvalidJson);
    check(r#"{"a":01}"#, true, Reason::InvalidJson);
    check(r#"{"a":nul}"#, true, Reason::InvalidJson);
    check(r#"{"a":[1,}"#, true, Reason::InvalidJson);
    check("{\"a\":\"\u{1}\"}", true, Reason::InvalidJson);
    check(r#"{"a":"\ud800"}"#, true, Reason::InvalidJson);
    check(r#"{"a":1}"#, false, Reason::UnknownFormat);
    check(r#"{"a":1}"#, true, Reason::NoEventTime);
    check(r#"{"start_time":"2026-02-30T00:00:00Z"}"#, true, Reason::NoEventTime);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
    check(&deep, true, Reason::TooDeep);
    let many: Vec<String> = (0..2000).map(|i| format!("\"k{i}\":1")).collect();
    check(&format!("{{{}}}", many.join(",")), true, Reason::TooManyFields);
}
