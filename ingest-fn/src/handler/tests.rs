//! Events against an archive in a folder, and what is there afterwards.

use std::io::Write;

use archive::fault::{Fault, Lost, Then};
use archive::store::Shelf;
use archive::{Archive, Landing, sample};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::manifest::Manifest;
use common::row::RowSeed;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::deliver::{Doors, Reading};
use crate::reject::Reason;

const LONG: Duration = Duration::from_secs(60);

struct Scene {
    folder: TempDir,
    archive: Archive,
    shelf: Shelf,
}

/// What all manifests that wait say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Waiting {
    manifests: usize,
    units: usize,
    events: u64,
    rejects: u64,
    reasons: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        Self { folder, archive, shelf: Shelf::default() }
    }

    fn handler(&self) -> Handler {
        self.handler_over(&self.archive, 1_769)
    }

    fn handler_over(&self, archive: &Archive, megabytes: usize) -> Handler {
        let doors = Doors {
            now_micros: || Ok(1_793_700_000_000_000),
            row_seed: || Ok(RowSeed::new([7; 32])),
        };
        let reading = Reading {
            sources: r#"[{"source": "*", "cluster": "east"}]"#.parse().unwrap(),
            redaction: crate::redact::Rules::default(),
        };
        let landing = Landing::over("landing", &self.shelf);
        let memory = megabytes * 1024 * 1024;
        Handler {
            deliverer: Deliverer::new(archive.writer(), Some(landing), reading, doors, memory),
            // printf 's3cret' | sha256sum
            door: Doorkeeper::parse(
                "shipper=1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0",
            )
            .unwrap(),
            firehose: FirehoseResult::Dropped,
        }
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> String {
        self.shelf.put(key, bytes).await.unwrap()
    }

    fn waiting(&self) -> Waiting {
        let inbox = self.folder.path().join("archive.work/inbox");
        let Ok(entries) = std::fs::read_dir(inbox) else { return Waiting::default() };
        let mut all = Waiting::default();
        for entry in entries {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let manifest = Manifest::from_bytes("inbox", &bytes).unwrap();
            all.manifests += 1;
            all.units += manifest.units.len();
            all.events += manifest.units.iter().map(|unit| unit.events).sum::<u64>();
            all.rejects += manifest.units.iter().map(|unit| unit.rejects).sum::<u64>();
            all.reasons.extend(manifest.quarantine.iter().flat_map(|q| q.reasons.keys().cloned()));
        }
        all.reasons.sort();
        all
    }
}

async fn answer(handler: &Handler, event: &Value) -> Value {
    let answer = handler.answer(event.to_string().into(), LONG).await.unwrap();
    serde_json::from_slice(&answer.json).unwrap()
}

fn line(n: usize) -> String {
    format!(
        r#"{{"start_time":"2026-11-02T10:15:{:02}.000Z","response_code":200,"response_flags":"-","method":"GET","path":"/{n}","protocol":"HTTP/1.1","response_code_details":"via_upstream","bytes_sent":1}}"#,
        n % 60
    )
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.map(|n| line(n) + "\n").collect::<String>().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn kinesis(records: &[(u64, &[u8])]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|(sequence, data)| {
            json!({
                "kinesis": {"sequenceNumber": sequence.to_string(),
                            "data": STANDARD.encode(data),
                            "approximateArrivalTimestamp": 1_793_699_999.0},
                "eventSource": "aws:kinesis",
                "eventID": format!("shardId-0:{sequence}"),
                "eventSourceARN": "arn:aws:kinesis:eu-1:1:stream/s",
            })
        })
        .collect();
    json!({ "Records": records })
}

fn queue(bodies: &[(&str, String)]) -> Value {
    let records: Vec<Value> = bodies
        .iter()
        .map(|(id, body)| {
            json!({"messageId": id, "body": body, "eventSource": "aws:sqs",
                   "eventSourceARN": "arn:aws:sqs:eu-1:1:q", "attributes": {}})
        })
        .collect();
    json!({ "Records": records })
}

fn notice(key: &str, tag: &str) -> String {
    json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "landing"}, "object": {"key": key, "eTag": tag}}}]})
    .to_string()
}

#[tokio::test]
async fn a_batch_of_a_shard_is_one_delivery_and_comes_twice_without_harm() {
    let scene = Scene::new().await;
    let handler = scene.handler();
    let zipped = gzip(&lines(0..5));
    let event = kinesis(&[(1, &lines(5..8)), (2, &zipped), (3, b"no record\n")]);
    for repeated in [0, 1] {
        let answer = handler.answer(event.to_string().into(), LONG).await.unwrap();
        assert_eq!(answer.json, br#"{"batchItemFailures":[]}"#);
        assert_eq!((answer.report.events, answer.report.rejects), (8, 1));
        assert_eq!(answer.report.deliveries_repeated, repeated);
        assert_eq!(answer.report.oldest_micros, Some(1_793_699_999_000_000));
    }
    let expected = Waiting {
        manifests: 1,
        units: 3,
        events: 8,
        rejects: 1,
        reasons: vec![Reason::UnknownFormat.as_str().to_owned()],
    };
    assert_eq!(scene.waiting(), expected);
}

#[tokio::test]
async fn poison_is_kept_and_blocks_no_shard() {
    let scene = Scene::new().await;
    let bomb = gzip(&vec![b' '; crate::payload::UNIT_DECODED_BYTES_MAX + 1]);
    let whole = gzip(&lines(0..200));
    let mut event = kinesis(&[
        (1, &bomb),
        (2, &whole[..whole.len() - 20]),
        (3, b"\xff\xfe\n"),
        (4, &lines(0..2)),
    ]);
    event["Records"][3]["kinesis"]["data"] = json!("%%%");
    let found = answer(&scene.handler_over(&scene.archive, 128), &event).await;
    assert_eq!(found, json!({"batchItemFailures": []}));
    let waiting = scene.waiting();
    assert_eq!((waiting.units, waiting.events, waiting.rejects), (4, 0, 4));
    let reasons = ["decoded_too_long", "not_decodable", "not_utf8"];
    assert_eq!(waiting.reasons, reasons.map(str::to_owned));
}

#[tokio::test]
async fn a_failed_write_is_answered_by_the_lowest_number() {
    let scene = Scene::new().await;
    // Two deliveries: the first takes all the memory there is for one.
    let large = lines(0..30_000);
    assert!(large.len() > 4 * 1024 * 1024);
    let event = kinesis(&[(10, &large), (11, &large), (12, &lines(0..3))]);
    let fault = Fault::none();
    let counted = scene.archive.with_fault(&fault);
    answer(&scene.handler_over(&counted, 128), &event).await;
    let writes = fault.writes();
    assert!(writes >= 4, "two deliveries of a file and a manifest: {writes}");
    for at in 0..writes {
        let scene = Scene::new().await;
        let fault = Fault::at_write(at, Lost::Request, Then::Crash);
        let handler = scene.handler_over(&scene.archive.with_fault(&fault), 128);
        let found = answer(&handler, &event).await;
        let failures = found["batchItemFailures"].as_array().unwrap();
        assert_eq!(failures.len(), 1, "the rest follows from the lowest: {found}");
        let number: u64 = failures[0]["itemIdentifier"].as_str().unwrap().parse().unwrap();
        let kept = scene.waiting().units as u64;
        assert_eq!(number, 10 + kept, "what is before it is kept, and nothing behind it");
        fault.heal();
        assert_eq!(answer(&handler, &event).await, json!({"batchItemFailures": []}));
        assert_eq!(scene.waiting().events, 60_003);
    }
}

#[tokio::test]
async fn without_time_nothing_is_begun() {
    let scene = Scene::new().await;
    let event = kinesis(&[(4, &lines(0..2)), (5, &lines(0..2))]).to_string();
    let answer = scene.handler().answer(event.into(), Duration::from_millis(400)).await.unwrap();
    assert_eq!(answer.json, br#"{"batchItemFailures":[{"itemIdentifier":"4"}]}"#);
    assert_eq!(scene.waiting(), Waiting::default());
    assert!(answer.report.trouble.unwrap().contains("no time left"));
}

#[tokio::test]
async fn landed_objects_are_read_whatever_they_are_packed_in() {
    let scene = Scene::new().await;
    let plain = scene.put("a/plain.jsonl", lines(0..3)).await;
    let zipped = scene.put("a/zipped.gz", gzip(&lines(3..7))).await;
    let zstd = zstd::encode_all(&lines(7..12)[..], 1).unwrap();
    let zstd = scene.put("b c/z.zst", zstd).await;
    let empty = scene.put("empty", Vec::new()).await;
    let event = queue(&[
        ("1", notice("a/plain.jsonl", &plain)),
        ("2", notice("a/zipped.gz", &zipped)),
        ("3", notice("b+c/z.zst", &zstd)),
        ("4", notice("empty", &empty)),
        ("5", notice("a/plain.jsonl", &plain)),
        ("6", line(99)),
    ]);
    let handler = scene.handler();
    let answered = handler.answer(event.to_string().into(), LONG).await.unwrap();
    assert_eq!(answered.json, br#"{"batchItemFailures":[]}"#);
    assert_eq!((answered.report.events, answered.report.units_twice), (13, 1));
    // Small objects share a delivery; a message that is a record has one of its own.
    assert_eq!(scene.waiting().manifests, 2);
}

#[tokio::test]
async fn an_object_that_is_gone_or_another_or_elsewhere_costs_its_neighbours_nothing() {
    let scene = Scene::new().await;
    let there = scene.put("there", lines(0..3)).await;
    let old = scene.put("changed", lines(0..1)).await;
    let new = scene.put("changed", lines(1..3)).await;
    assert_ne!(old, new);
    let elsewhere = notice("x", "t").replace("\"landing\"", "\"other\"");
    let both = json!({"Records": [
        serde_json::from_str::<Value>(&notice("there", &there)).unwrap()["Records"][0],
        serde_json::from_str::<Value>(&notice("gone", "x")).unwrap()["Records"][0],
    ]});
    let event = queue(&[
        ("gone", notice("gone", "x")),
        ("stale", notice("changed", &old)),
        ("fresh", notice("changed", &new)),
        ("elsewhere", elsewhere),
        ("there", notice("there", &there)),
        ("both", both.to_string()),
    ]);
    let answered = scene.handler().answer(event.to_string().into(), LONG).await.unwrap();
    let found: Value = serde_json::from_slice(&answered.json).unwrap();
    let failed: Vec<&str> = found["batchItemFailures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["gone", "stale", "elsewhere", "both"]);
    assert_eq!(scene.waiting().events, 5);
    assert!(answered.report.trouble.unwrap().contains("s3://landing/gone"));
}

#[tokio::test]
async fn a_large_object_is_the_same_parts_whatever_memory_there_is() {
    let text = lines(0..120_000);
    assert!(text.len() > 20 * 1024 * 1024);
    let mut seen = Vec::new();
    for megabytes in [128, 1_769] {
        let scene = Scene::new().await;
        let tag = scene.put("large.gz", gzip(&text)).await;
        let event = queue(&[("1", notice("large.gz", &tag))]);
        let handler = scene.handler_over(&scene.archive, megabytes);
        assert_eq!(answer(&handler, &event).await, json!({"batchItemFailures": []}));
        let waiting = scene.waiting();
        assert_eq!((waiting.events, waiting.rejects, waiting.units), (120_000, 0, 3));
        assert_eq!(waiting.manifests, if megabytes == 128 { 3 } else { 1 });
        let inbox = std::fs::read_dir(scene.folder.path().join("archive.work/inbox")).unwrap();
        let mut units: Vec<_> = inbox
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .flat_map(|bytes| Manifest::from_bytes("inbox", &bytes).unwrap().units)
            .map(|unit| (unit.id, unit.sha256))
            .collect();
        units.sort_unstable();
        seen.push(units);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn an_object_that_can_not_be_unpacked_is_kept_behind_what_could() {
    let scene = Scene::new().await;
    let whole = gzip(&lines(0..50_000));
    let tag = scene.put("cut.gz", whole[..whole.len() - 1_000].to_vec()).await;
    let event = queue(&[("1", notice("cut.gz", &tag))]);
    assert_eq!(answer(&scene.handler(), &event).await, json!({"batchItemFailures": []}));
    let waiting = scene.waiting();
    assert!(waiting.events > 10_000, "{waiting:?}");
    assert_eq!((waiting.rejects, waiting.reasons), (1, vec!["not_decodable".to_owned()]));
    // Again, it is nothing new.
    answer(&scene.handler(), &event).await;
    assert_eq!(scene.waiting().rejects, 1);
}

fn firehose(records: &[(&str, &[u8])]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|(id, data)| {
            json!({"recordId": id, "data": STANDARD.encode(data),
                   "approximateArrivalTimestamp": 1})
        })
        .collect();
    json!({"deliveryStreamArn": "arn:aws:firehose:eu-1:1:deliverystream/d", "records": records})
}

#[tokio::test]
async fn firehose_is_told_of_each_record() {
    let scene = Scene::new().await;
    let event = firehose(&[("a", &lines(0..1)), ("b", b"odd\n")]);
    let expected = json!({"records": [{"recordId": "a", "result": "Dropped"},
                                      {"recordId": "b", "result": "Dropped"}]});
    assert_eq!(answer(&scene.handler(), &event).await, expected);
    let mut passing = scene.handler();
    passing.firehose = FirehoseResult::Ok;
    let found = answer(&passing, &event).await;
    assert_eq!(found["records"][1]["result"], "Ok");
    assert_eq!(found["records"][1]["data"], event["records"][1]["data"]);
    assert_eq!(scene.waiting().events, 1);
    // Nothing kept at all: it is asked again. Some kept: the others are told.
    let down = Fault::at_write(0, Lost::Request, Then::Crash);
    let handler = scene.handler_over(&scene.archive.with_fault(&down), 128);
    let other = firehose(&[("c", &lines(1..2))]);
    let error = handler.answer(other.to_string().into(), LONG).await.unwrap_err();
    assert_eq!(error.kind(), "NotArchived");
    let large = lines(0..30_000);
    let down = Fault::at_write(2, Lost::Request, Then::Crash);
    let scene = Scene::new().await;
    let handler = scene.handler_over(&scene.archive.with_fault(&down), 128);
    let found = answer(&handler, &firehose(&[("d", &large), ("e", &large), ("f", b"\n")])).await;
    let results: Vec<&Value> =
        found["records"].as_array().unwrap().iter().map(|record| &record["result"]).collect();
    assert_eq!(results, ["Dropped", "ProcessingFailed", "ProcessingFailed"]);
}

#[tokio::test]
async fn who_knows_only_yes_and_no_is_told_no() {
    let scene = Scene::new().await;
    let down = Fault::at_write(0, Lost::Request, Then::Crash);
    let handler = scene.handler_over(&scene.archive.with_fault(&down), 128);
    let kafka = json!({"eventSource": "aws:kafka", "eventSourceArn": "c", "records": {"t-0": [
        {"topic": "t", "partition": 0, "offset": 1, "value": STANDARD.encode(lines(0..1))}]}});
    let error = handler.answer(kafka.to_string().into(), LONG).await.unwrap_err();
    assert_eq!((error.kind(), error.report().items_failed), ("NotArchived", 1));
    down.heal();
    assert_eq!(answer(&handler, &kafka).await, json!({"batchItemFailures": []}));
    assert_eq!(scene.waiting().events, 1);
    let unknown = handler.answer("{}".into(), LONG).await.unwrap_err();
    assert_eq!(unknown.kind(), "UnknownEvent");
}

fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({"version": "2.0", "rawPath": path, "headers": headers,
           "requestContext": {"http": {"method": "POST", "path": path}},
           "body": STANDARD.encode(body), "isBase64Encoded": true})
}

const KNOWN: (&str, &str) = ("authorization", "Bearer s3cret");

#[tokio::test]
async fn a_body_is_answered_once_it_is_kept_and_the_same_body_adds_nothing() {
    let scene = Scene::new().await;
    let handler = scene.handler();
    let text = [&lines(0..4)[..], b"odd\n"].concat();
    let expected = json!({"accepted": 4, "quarantined": 1}).to_string();
    for body in [text.clone(), gzip(&text)] {
        let coding = if body == text { "identity" } else { "gzip" };
        let event = post("/v1/records", &[KNOWN, ("content-encoding", coding)], &body);
        let found = answer(&handler, &event).await;
        assert_eq!((&found["statusCode"], &found["body"]), (&json!(200), &json!(expected)));
    }
    assert_eq!((scene.waiting().units, scene.waiting().events), (1, 4));
    // A key names a body, whatever is in it; another key another.
    for key in ["one", "one", "two"] {
        let event = post("/v1/records", &[KNOWN, ("idempotency-key", key)], &lines(4..6));
        assert_eq!(answer(&handler, &event).await["statusCode"], 200);
    }
    assert_eq!((scene.waiting().units, scene.waiting().events), (3, 8));
}

#[tokio::test]
async fn each_refusal_says_whether_to_come_again() {
    let scene = Scene::new().await;
    let handler = scene.handler();
    let json_type = ("content-type", "application/json");
    let text = lines(0..1);
    for (event, status) in [
        (post("/v1/records", &[], &text), 401),
        (post("/v1/records", &[("authorization", "Bearer wrong")], &text), 401),
        (post("/nothing", &[KNOWN], &text), 404),
        (post("/v1/logs", &[KNOWN], b"{}"), 415),
        (post("/v1/logs", &[KNOWN, json_type], b"[]"), 400),
        (post("/v1/audit", &[KNOWN, json_type], b"{}"), 400),
        (post("/v1/records", &[KNOWN, ("content-encoding", "gzip")], &text), 400),
        (post("/v1/records", &[KNOWN], &vec![b'x'; crate::http::BODY_BYTES_MAX + 1]), 413),
        (post("/v1/records", &[KNOWN, ("idempotency-key", "")], &text), 400),
        (post("/v1/logs", &[KNOWN, json_type], b"{}"), 200),
    ] {
        let found = answer(&handler, &event).await;
        assert_eq!(found["statusCode"], status, "{found}");
        assert_eq!(found["headers"].get("retry-after"), None, "{found}");
    }
    assert_eq!(scene.waiting(), Waiting::default());
    let down = Fault::at_write(0, Lost::Request, Then::Crash);
    let handler = scene.handler_over(&scene.archive.with_fault(&down), 128);
    let found = answer(&handler, &post("/v1/records", &[KNOWN], &text)).await;
    assert_eq!(
        (&found["statusCode"], &found["headers"]["retry-after"]),
        (&json!(503), &json!("2"))
    );
}

#[tokio::test]
async fn an_audit_webhook_and_otlp_are_read_as_what_they_are() {
    let scene = Scene::new().await;
    let handler = scene.handler();
    let event = |id: usize| {
        json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
               "auditID": format!("00000000-0000-4000-8000-{id:012}"), "stage": "ResponseComplete",
               "requestURI": "/api/v1/namespaces/shop/secrets", "verb": "list",
               "user": {"username": "jane"}, "sourceIPs": ["1.2.3.4"],
               "requestReceivedTimestamp": "2026-11-02T10:15:31.000000Z",
               "stageTimestamp": "2026-11-02T10:15:31.100000Z"})
    };
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {},
                      "items": [event(1), event(2)]});
    let json_type = ("content-type", "application/json");
    let pretty = serde_json::to_vec_pretty(&list).unwrap();
    let found = answer(&handler, &post("/v1/audit", &[KNOWN, json_type], &pretty)).await;
    assert_eq!(found["body"], json!({"accepted": 2, "quarantined": 0}).to_string());
    let record =
        |body: &str| json!({"timeUnixNano": "1793614531000000000", "body": {"stringValue": body}});
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords":
        [record(&line(1)), record("x")]}]}]});
    let body = serde_json::to_vec(&request).unwrap();
    let found = answer(&handler, &post("/v1/logs", &[KNOWN, json_type], &body)).await;
    assert_eq!(found["statusCode"], 200);
    let body: Value = serde_json::from_str(found["body"].as_str().unwrap()).unwrap();
    let rejected = body.pointer("/partialSuccess/rejectedLogRecords").cloned();
    let waiting = scene.waiting();
    assert_eq!(rejected, (waiting.rejects > 0).then(|| json!(waiting.rejects.to_string())));
    assert_eq!(waiting.events + waiting.rejects, 4);
}

/// An event of each carrier, and how many events are in it.
async fn one_of_each(scene: &Scene) -> Vec<(&'static str, Value, u64)> {
    let tag = scene.put("landed.gz", gzip(&lines(0..6))).await;
    let other = scene.put("other", lines(6..9)).await;
    let payload = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/g",
        "logStream": "s", "subscriptionFilters": ["f"],
        "logEvents": [{"id": "1", "timestamp": 1_793_614_531_000_i64, "message": line(1)}]});
    let kafka = json!({"eventSource": "aws:kafka", "eventSourceArn": "c", "records": {"t-0": [
        {"topic": "t", "partition": 0, "offset": 1, "value": STANDARD.encode(lines(0..4))}]}});
    let straight: Value = serde_json::from_str(&notice("other", &other)).unwrap();
    vec![
        ("kinesis", kinesis(&[(1, &lines(0..3)), (2, &[&lines(3..4)[..], b"odd\n"].concat())]), 4),
        ("sqs", queue(&[("a", line(1)), ("b", line(2))]), 2),
        (
            "s3 by sqs",
            queue(&[("1", notice("landed.gz", &tag)), ("2", notice("other", &other))]),
            9,
        ),
        ("s3", straight, 3),
        ("firehose", firehose(&[("r", &lines(0..2))]), 2),
        (
            "logs",
            json!({"awslogs": {"data": STANDARD.encode(gzip(payload.to_string().as_bytes()))}}),
            1,
        ),
        ("kafka", kafka, 4),
        ("http", post("/v1/records", &[KNOWN], &lines(0..5)), 5),
    ]
}

/// Whether whoever brought an event would bring it again.
fn comes_again(answer: Result<Answer, EventError>) -> bool {
    let Ok(answer) = answer else { return true };
    let json: Value = serde_json::from_slice(&answer.json).unwrap();
    let failed = json["batchItemFailures"].as_array().is_some_and(|all| !all.is_empty());
    let told = json["records"].as_array().into_iter().flatten();
    let is_processed = told.into_iter().all(|record| record["result"] != "ProcessingFailed");
    failed || !is_processed || json["statusCode"].as_u64().is_some_and(|status| status != 200)
}

#[tokio::test]
async fn whatever_write_of_whatever_carrier_is_lost_each_thing_is_there_once() {
    let carriers = one_of_each(&Scene::new().await).await.len();
    let mut tried = 0;
    for carrier in 0..carriers {
        let counting = Scene::new().await;
        let (_, event, _) = one_of_each(&counting).await.swap_remove(carrier);
        let fault = Fault::none();
        let handler = counting.handler_over(&counting.archive.with_fault(&fault), 512);
        assert!(!comes_again(handler.answer(event.to_string().into(), LONG).await));
        let expected = counting.waiting();
        for at in 0..fault.writes() {
            for lost in [Lost::Request, Lost::Reply] {
                for then in [Then::Heal, Then::Crash] {
                    let scene = Scene::new().await;
                    let (name, event, events) = one_of_each(&scene).await.swap_remove(carrier);
                    let fault = Fault::at_write(at, lost, then);
                    let handler = scene.handler_over(&scene.archive.with_fault(&fault), 512);
                    let what = format!("{name}, write {at}, {lost:?} lost, then {then:?}");
                    let again = comes_again(handler.answer(event.to_string().into(), LONG).await);
                    if !again {
                        assert_eq!(scene.waiting(), expected, "acknowledged: {what}");
                    }
                    // It is repaired; what comes again, and what comes twice, is there once.
                    fault.heal();
                    for _ in 0..2 {
                        let answered = handler.answer(event.to_string().into(), LONG).await;
                        assert!(!comes_again(answered), "{what}");
                    }
                    assert_eq!(scene.waiting(), expected, "{what}");
                    assert_eq!(expected.events, events, "{what}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= carriers * 8, "a file and a manifest each, four ways: {tried}");
}
