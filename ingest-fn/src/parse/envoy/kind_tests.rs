//! Rows whose kind was worked out before, against rows of which everything is worked out.

use archive::SegmentEncoder;
use arrow::array::RecordBatch;
use common::DeliveryId;
use common::Sha256Digest;
use common::date::EventDate;
use common::ids::SegmentId;
use common::row::{RowKey, RowSeed};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

use super::*;
use crate::parse::event::Event;

const TIME: &str = "2026-11-21T13:09:21.089Z";

/// Numbers that look random, from a seed that a failure prints.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a>(&mut self, all: &'a [Value]) -> &'a Value {
        &all[self.below(all.len())]
    }
}

fn new_segment() -> SegmentEncoder {
    let date = EventDate::of_micros(time::parse_rfc3339(TIME.as_bytes()).unwrap());
    let segment = SegmentId::of(DeliveryId(Sha256Digest::of(b"t")), date);
    SegmentEncoder::new(segment, date, RowKey::of_segment(RowSeed::new([5; 32]), segment)).unwrap()
}

/// What the pipeline adds.
fn end(rows: &mut SegmentEncoder, row: i64) {
    rows.text(f::SEGMENT, b"s");
    rows.int64(f::SEGMENT_ROW, row);
    rows.int64(f::INGEST_TIME, 0);
    rows.text(f::TRANSPORT, b"file");
    rows.int32(f::SCHEMA_VERSION, 1);
    rows.end_row().unwrap();
}

fn read(rows: SegmentEncoder) -> Vec<RecordBatch> {
    let file = rows.finish().unwrap();
    let bytes = file.bytes;
    // The slow way, which knows nothing of kinds.
    assert_eq!(archive::rows::row_root(bytes.clone()).unwrap(), file.entry.row_root);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    reader.with_batch_size(1024).build().unwrap().map(Result::unwrap).collect()
}

/// The records' rows, with kinds recalled and with everything worked out each time.
fn both(records: &[String], group: i64) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let (mut recalling, mut plain) = (new_segment(), new_segment());
    let (mut parser, mut other) = (EnvoyParser::new(), EnvoyParser::new());
    for (row, record) in (0..).zip(records) {
        let record = record.as_bytes();
        let time = parser.scan(record, false, true).unwrap();
        parser.fill(record, time, &mut recalling);
        end(&mut recalling, row);
        let time = other.scan(record, false, true).unwrap();
        let shape = Shape::of(other.scanner.present());
        let mut event = Event::default();
        other.fill_as(record, time, shape, Missing::Nothing, &mut event);
        event.write(&mut plain);
        end(&mut plain, row);
        if row % group == group - 1 {
            recalling.close_group().unwrap();
            plain.close_group().unwrap();
        }
    }
    (read(recalling), read(plain))
}

/// Each field of a captured record is now and then another field's value, an odd one or none.
fn records(random: &mut Random, file: &str, count: usize, hardly_repeating: bool) -> Vec<String> {
    let captured: Vec<Map<String, Value>> =
        file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let odd = [
        json!(null),
        json!("-"),
        json!(""),
        json!(0),
        json!(403),
        json!("403"),
        json!(1.5),
        json!(true),
        json!("a,b\u{e9}\"\\"),
        json!("10.0.0.1:080"),
        json!("outbound|80|v1|a.b.svc.cluster.local"),
        json!("UAEX,RL"),
        json!("rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"),
        json!("TLS_error:|1:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"),
        json!("spiffe://cluster.local/ns/shop/sa/web,spiffe://x"),
        json!({"sub": "alice@example.com", "iss": "i", "groups": ["a", "b"]}),
        json!({"enforced_engine_result": "denied", "enforced_effective_policy_id": "p"}),
        json!("TcpConnectionEnd"),
        json!("HTTP/2"),
    ];
    let kinds: Vec<Map<String, Value>> = (0..count / 5 + 1)
        .map(|_| {
            let mut record = captured[random.below(captured.len())].clone();
            let names: Vec<String> = record.keys().cloned().collect();
            for _ in 0..random.below(4) {
                let name = &names[random.below(names.len())];
                if random.below(8) == 0 {
                    let _ = record.remove(name);
                } else {
                    let _ = record.insert(name.clone(), random.of(&odd).clone());
                }
            }
            record
        })
        .collect();
    let text = |number: usize| {
        let mut record = kinds[random.below(kinds.len())].clone();
        for name in OWN {
            if record.contains_key(name) && random.below(3) == 0 {
                let value = match random.below(3) {
                    0 => json!(format!("/v{}?q={}", random.below(9), random.below(9))),
                    _ => random.of(&odd).clone(),
                };
                let _ = record.insert(name.to_owned(), value);
            }
        }
        if hardly_repeating {
            let _ = record.insert("response_code_details".to_owned(), json!(format!("d{number}")));
        }
        if random.below(50) == 0 {
            let _ = record.insert("unknown".to_owned(), json!([1, {"a": "b"}]));
        }
        let _ = record.remove("start_us");
        let _ = record.insert("start_time".to_owned(), json!(TIME));
        let text = Value::Object(record).to_string();
        match text.strip_suffix('}') {
            Some(open) if random.below(60) == 0 => format!("{open},\"method\":\"PUT\"}}"),
            _ => text,
        }
    };
    (0..count).map(text).collect()
}

/// Fields that differ from one request of a kind to the next.
const OWN: [&str; 8] = [
    "path",
    "path_nq",
    "request_id",
    "bytes_sent",
    "jwt_sub",
    "jwt_payload",
    "user_agent",
    "downstream_remote_address",
];

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may be repeated with its seed")]
fn a_row_of_a_known_kind_is_the_row_it_would_be() {
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let files = [
        include_str!("../../../../tests/data/envoy/captured-default.jsonl"),
        include_str!("../../../../tests/data/envoy/captured-extended.jsonl"),
        include_str!("../../../../tests/data/envoy/captured-omit.jsonl"),
    ];
    for seed in seed.map_or(1..7, |seed| seed..seed + 1) {
        let mut random = Random(seed);
        eprintln!("MESHLEDGER_TEST_SEED={seed}");
        for file in files {
            for hardly_repeating in [false, true] {
                let count = 200 + random.below(1500);
                let records = records(&mut random, file, count, hardly_repeating);
                let group = i64::try_from(100 + random.below(900)).unwrap();
                let (recalled, worked_out) = both(&records, group);
                assert_eq!(recalled.len(), worked_out.len());
                for (recalled, worked_out) in recalled.iter().zip(&worked_out) {
                    for (found, expected) in recalled.columns().iter().zip(worked_out.columns()) {
                        assert_eq!(found, expected, "seed {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn kinds_that_hardly_repeat_are_no_longer_looked_up() {
    let file = include_str!("../../../../tests/data/envoy/captured-default.jsonl");
    let mut random = Random(3);
    let mut rows = new_segment();
    let mut parser = EnvoyParser::new();
    for (row, record) in (0..).zip(records(&mut random, file, 9000, true)) {
        let time = parser.scan(record.as_bytes(), false, true).unwrap();
        parser.fill(record.as_bytes(), time, &mut rows);
        end(&mut rows, row);
    }
    assert!(!rows.recalls());
    rows.close_group().unwrap();
    assert!(rows.recalls(), "each row group tries again");
}
