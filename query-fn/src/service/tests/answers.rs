//! What is answered.

use arrow::array::{Int64Array, RecordBatch};
use arrow::ipc::reader::StreamReader;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const SQL: &str = "SELECT principal, segment_row AS n, event_time FROM mesh_events ORDER BY 1";

fn principals(batches: &[RecordBatch]) -> Vec<String> {
    let column = |batch: &RecordBatch| {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.unwrap();
        let texts = column.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
        let rows = batch.column(1).as_any().downcast_ref::<Int64Array>().unwrap();
        assert!(rows.values().iter().all(|row| *row == 0));
        texts.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

/// The principals of an answer's bytes, read by a reader of its format.
fn read(format: &str, bytes: &[u8]) -> Vec<String> {
    let text = || std::str::from_utf8(bytes).unwrap();
    let name = |row: &Value| row["principal"].as_str().unwrap().to_owned();
    match format {
        "json" => {
            let answer: Value = serde_json::from_slice(bytes).unwrap();
            let columns = json!([
                {"name": "principal", "type": "text"},
                {"name": "n", "type": "integer"},
                {"name": "event_time", "type": "timestamp"},
            ]);
            assert_eq!(answer["columns"], columns);
            assert_eq!(answer["receipt"]["complete"], true);
            answer["rows"].as_array().unwrap().iter().map(name).collect()
        }
        "ndjson" => {
            let mut lines: Vec<Value> =
                text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let last = lines.pop().unwrap();
            assert_eq!(last["receipt"]["complete"], true);
            lines.iter().map(name).collect()
        }
        "csv" => {
            let mut lines = text().lines();
            assert_eq!(lines.next(), Some("principal,n,event_time"));
            lines.map(|line| line.split(',').next().unwrap().to_owned()).collect()
        }
        "arrow" => {
            let batches = StreamReader::try_new(bytes, None).unwrap();
            principals(&batches.map(Result::unwrap).collect::<Vec<_>>())
        }
        "parquet" => {
            let bytes = Bytes::copy_from_slice(bytes);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            let notes = reader.metadata().file_metadata().key_value_metadata().unwrap();
            let note = notes.iter().find(|note| note.key == "meshledger.receipt").unwrap();
            let receipt: Value = serde_json::from_str(note.value.as_ref().unwrap()).unwrap();
            assert_eq!(receipt["rows_returned"], 3);
            principals(&reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>())
        }
        other => panic!("{other}"),
    }
}

const FORMATS: [(&str, &str); 5] = [
    ("json", "application/json"),
    ("ndjson", "application/x-ndjson"),
    ("csv", "text/csv; charset=utf-8; header=present"),
    ("arrow", "application/vnd.apache.arrow.stream"),
    ("parquet", "application/vnd.apache.parquet"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_format_on_every_way_has_the_rows_and_a_receipt() {
    let kit = Kit::usual().await;
    for (format, media) in FORMATS {
        let request = json!({"sql": SQL, "format": format});
        let direct = kit.direct(&request).await;
        assert_eq!(direct["receipt"]["unsealed_rows"], 1, "{format}");
        let bytes = match (&direct["body"], &direct["body_base64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(text)) => STANDARD.decode(text).unwrap(),
            _ => direct.to_string().into_bytes(),
        };
        assert_eq!(read(format, &bytes), ["a#0", "b#0", "c#0"], "{format}");

        let answer = kit.http(&request).await;
        assert_eq!((answer.status, header(&answer, "content-type")), (200, Some(media)));
        assert_eq!(header(&answer, "meshledger-delivery"), Some("inline"));
        let receipt: Value =
            serde_json::from_str(header(&answer, "meshledger-receipt").unwrap()).unwrap();
        assert_eq!((&receipt["rows_returned"], &receipt["version"]), (&json!(3), &json!(2)));
        assert_eq!(read(format, &answer.body), ["a#0", "b#0", "c#0"], "{format}");

        // As a Function URL gives it on.
        let carried: Value = serde_json::from_slice(&answer.into_gateway_payload()).unwrap();
        assert_eq!(
            (&carried["statusCode"], &carried["headers"]["content-type"]),
            (&json!(200), &json!(media))
        );
        let body = carried["body"].as_str().unwrap();
        let is_base64 = carried["isBase64Encoded"].as_bool().unwrap();
        assert_eq!(is_base64, matches!(format, "arrow" | "parquet"));
        let body = if is_base64 { STANDARD.decode(body).unwrap() } else { body.into() };
        assert_eq!(read(format, &body), ["a#0", "b#0", "c#0"], "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_rows_is_whole_in_every_format() {
    let kit = Kit::usual().await;
    for (format, _) in FORMATS {
        let sql = format!("SELECT * FROM ({SQL}) WHERE n > 0");
        let answer = kit.http(&json!({"sql": sql, "format": format})).await;
        assert_eq!(answer.status, 200);
        if format != "parquet" {
            assert_eq!(read(format, &answer.body), Vec::<String>::new(), "{format}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_the_version_asked_for() {
    let kit = Kit::usual().await;
    let count = |answer: &Value| {
        let counted = &answer["rows"][0]["n"];
        (counted.as_i64(), answer["receipt"]["version"].as_u64())
    };
    let sql = "SELECT count(*) AS n FROM mesh_events";
    for (request, expected) in [
        (json!({"sql": sql}), (3, 2)),
        (json!({"sql": sql, "mode": "strict"}), (2, 2)),
        (json!({"sql": sql, "as_of": 2}), (2, 2)),
        (json!({"sql": sql, "as_of": 1}), (1, 1)),
        (json!({"sql": sql, "as_of": 1, "mode": "strict"}), (1, 1)),
        (json!({"sql": sql, "as_of": 0, "mode": "fresh"}), (0, 0)),
        (json!({"sql": sql}), (3, 2)),
    ] {
        let answer = kit.direct(&request).await;
        assert_eq!(count(&answer), (Some(expected.0), Some(expected.1)), "{request}: {answer}");
    }
    for mode in ["fresh", "strict"] {
        let answer = kit.http(&json!({"sql": sql, "as_of": 3, "mode": mode})).await;
        assert_eq!(answer.status, 400);
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let (code, message) = error(&answer);
        assert_eq!(code, "PARAMETER");
        assert!(
            message.contains("no version 3") && message.contains("its latest is 2"),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_type_of_their_json_or_the_one_they_say() {
    let kit = Kit::usual().await;
    let asked = |parameters: Value, sql: &str| json!({"sql": sql, "parameters": parameters});
    for (parameters, sql, expected) in [
        (
            json!({"who": "b#0"}),
            "SELECT count(*) AS v FROM mesh_events WHERE principal = $who",
            json!(1),
        ),
        (
            json!({"who": "' OR 1=1 --"}),
            "SELECT count(*) AS v FROM mesh_events WHERE principal = $who",
            json!(0),
        ),
        (json!({"n": 7}), "SELECT $n + 1 AS v", json!(8)),
        (json!({"n": i64::MAX}), "SELECT $n AS v", json!(i64::MAX)),
        (json!({"x": null}), "SELECT $x IS NULL AS v", json!(true)),
        (json!({"n": {"type": "integer", "value": "12"}}), "SELECT $n + 1 AS v", json!(13)),
        (json!({"n": {"type": "integer", "value": null}}), "SELECT $n IS NULL AS v", json!(true)),
        (
            json!({"t": {"type": "timestamp", "value": "2026-11-02T10:00:00Z"}}),
            "SELECT $t AS v",
            json!("2026-11-02T10:00:00.000000Z"),
        ),
        (json!({"t": {"type": "text", "value": "2026"}}), "SELECT $t AS v", json!("2026")),
    ] {
        let answer = kit.direct(&asked(parameters.clone(), sql)).await;
        assert_eq!(answer["rows"][0]["v"], expected, "{parameters}: {answer}");
    }
    for (parameters, expected) in [
        (json!({"x": 1.5}), "whole number"),
        (json!({"x": true}), "expected a text, a whole number, null"),
        (json!({"x": [1]}), "expected a text, a whole number, null"),
        (json!({"x": {"value": 1}}), "expected a text, a whole number, null"),
        (json!({"x": {"type": "float", "value": "1"}}), "found float"),
        (json!({"x": {"type": "timestamp", "value": 5}}), "a timestamp, as a text"),
        (json!({"x": u64::MAX}), "whole number of 64 bits"),
        (json!({"y": "1"}), "uses $x"),
        (json!({"x": "1", "y": "1"}), "does not use $y"),
    ] {
        let answer = kit.direct(&asked(parameters, "SELECT $x")).await;
        let (code, message) = error(&answer);
        assert_eq!(code, "PARAMETER", "{answer}");
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_by_name_and_its_header_types_what_it_takes() {
    let kit = Kit::usual().await;
    let ask =
        |question: &str, parameters: Value| json!({"question": question, "parameters": parameters});
    let trail = |parameters: Value| ask("request_trail", parameters);
    let path = |parameters: Value| ask("path_access", parameters);
    let answer = kit.direct(&path(json!({"path": "/x", "since": "2026-01-01T00:00:00Z"}))).await;
    assert!(answer["rows"].is_array(), "{answer}");
    // What is null is as if it were left out.
    let answer = kit.direct(&path(json!({"path": "/x", "since": null}))).await;
    assert!(answer["rows"].is_array(), "{answer}");
    for (request, expected) in [
        (path(json!({})), "needs path"),
        (path(json!({"path": null})), "needs path"),
        (path(json!({"path": "/x", "since": "soon"})), "a date or time like"),
        (
            path(json!({"path": "/x", "since": {"type": "text", "value": "x"}})),
            "expected type timestamp",
        ),
        (path(json!({"path": 5})), "a text, as a text"),
        (path(json!({"path": "/x", "colour": "red"})), "takes no colour"),
        (trail(json!({"request_id": null})), "needs one of"),
        (ask("who_knows", json!({})), "no question is named"),
    ] {
        let (code, message) = error(&kit.direct(&request).await);
        assert_eq!(code, "PARAMETER", "{message}");
        assert!(message.contains(expected), "{request}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_the_inbox_can_not_make_a_receipt_too_long() {
    let kit = Kit::usual().await;
    for i in 0..3_000 {
        let name = format!("{i:04}\u{1b}[2J-é-{}", "x".repeat(60));
        std::fs::write(kit.folder.path().join("archive.work/inbox").join(name), b"x").unwrap();
    }
    let answer = kit.http(&json!({"sql": "SELECT 1 AS one", "format": "csv"})).await;
    let receipt = header(&answer, "meshledger-receipt").unwrap();
    assert!(receipt.len() <= 6_000, "{}", receipt.len());
    assert!(receipt.bytes().all(|b| (0x20..0x7f).contains(&b)), "{receipt}");
    let receipt: Value = serde_json::from_str(receipt).unwrap();
    let named = receipt["unreadable_manifests"].as_array().unwrap().len();
    let left_out = receipt["unreadable_manifests_left_out"].as_u64().unwrap();
    assert_eq!(named as u64 + left_out, 3_000);
    assert!(named > 0);
    let answer = kit.direct(&json!({"sql": "SELECT 1 AS one"})).await;
    let receipt = &answer["receipt"];
    assert!(receipt.to_string().len() <= 64 * 1024);
    assert!(receipt["unreadable_manifests"].as_array().unwrap().len() > named);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_would_cost_is_told_instead_of_its_rows() {
    let kit = Kit::usual().await;
    let ask = |more: Value| {
        let mut request = json!({"sql": "SELECT principal FROM mesh_events"});
        let members = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(members);
        request
    };
    for format in ["json", "csv", "parquet"] {
        let request = ask(json!({"dry_run": true, "format": format, "caps": {"requests": 3}}));
        let over_http = kit.http(&request).await;
        assert_eq!(over_http.status, 200);
        assert_eq!(header(&over_http, "content-type"), Some("application/json"));
        assert_eq!(header(&over_http, "meshledger-receipt"), None);
        let over_http: Value = serde_json::from_slice(&over_http.body).unwrap();
        for told in [over_http, kit.direct(&request).await] {
            assert_eq!(told.as_object().unwrap().len(), 1, "{told}");
            let estimate = &told["estimate"];
            assert_eq!((&estimate["version"], &estimate["mode"]), (&json!(2), &json!("fresh")));
            assert_eq!((&estimate["files"], &estimate["requests"]), (&json!(3), &json!(3)));
            assert_eq!((&estimate["rows"], &estimate["dollars"]), (&json!(3), &json!("0")));
            assert!(estimate["prices"]["source"].is_string(), "{told}");
        }
    }
    let estimate = &kit.direct(&ask(json!({"dry_run": true}))).await["estimate"];
    let answer = kit.direct(&ask(json!({"dry_run": false}))).await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 3);
    for (estimated, read) in [("bytes", "bytes_read"), ("requests", "requests")] {
        assert_eq!(estimate[estimated], answer["receipt"][read], "{estimate} {answer}");
    }
}
