//! Records through the parser, and back: columns and `attributes` must make the record again, or
//! `raw` must hold it.

use serde_json::{Map, Value, json};

use super::*;
use crate::parse::cases::{self, RECEIVED_AT_MICROS};
use crate::parse::event::Event;
use crate::parse::fields as f;

fn parse(record: &[u8], events: &mut Events) -> Result<(), Reject> {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
    KubernetesParser::new().parse(record, &context, events)
}

fn parsed(record: &str) -> Events {
    let mut events = Events::default();
    parse(record.as_bytes(), &mut events).unwrap_or_else(|reject| panic!("{record}: {reject:?}"));
    events
}

fn text(event: &Event, column: usize) -> Option<&str> {
    event.text_of(column).map(|text| std::str::from_utf8(text).unwrap())
}

fn rejected(record: &str) -> Reject {
    let mut events = Events::default();
    events.begin();
    let reject = parse(record.as_bytes(), &mut events).expect_err(record);
    assert_eq!(events.all().len(), 1, "{record}");
    reject
}

/// Every record of the fixtures.
fn records() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/kubernetes/cases.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let record = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        case["record"].as_str().unwrap().to_owned()
    };
    lines.lines().map(record).collect()
}

#[test]
fn every_case_becomes_the_rows_written_by_hand() {
    cases::check("kubernetes", |_| true, |_, record, events| parse(record, events));
}

#[test]
fn every_record_that_is_read_is_detected() {
    let mut parser = KubernetesParser::new();
    for record in records() {
        let reject = parse(record.as_bytes(), &mut Events::default()).err();
        let unknown = reject.is_some_and(|reject| reject.reason == Reason::UnknownFormat);
        assert_eq!(parser.detects(record.as_bytes()), !unknown, "{record}");
    }
    for other in ["", "{}", "x", "{\"auditID\":\"a\"}", "[\"audit\"]", "{\"x\":\"auditID stage\"}"]
    {
        assert!(!parser.detects(other.as_bytes()), "{other}");
    }
}

/// The event's own record from its row, without `raw`; and what stood around it.
fn rebuilt(event: &Event) -> (Map<String, Value>, Option<Value>) {
    let text = text(event, f::ATTRIBUTES).unwrap_or("{}");
    let mut record: Map<String, Value> = serde_json::from_str(text).unwrap();
    let around = record.remove("envelope");
    let direct = [("auditID", f::REQUEST_ID), ("userAgent", f::USER_AGENT), ("verb", f::CHANGE_OP)];
    for (key, column) in direct {
        // Google's entries have no field that a column holds.
        if let Some(value) = event.text_of(column)
            && event.text_of(f::SOURCE_FORMAT) != Some(gke::SOURCE_FORMAT.as_bytes())
            && !record.contains_key(key)
        {
            record.insert(key.to_owned(), json!(std::str::from_utf8(value).unwrap()));
        }
    }
    (record, around)
}

/// A whole record from its rows, serde_json's reading being the judge.
fn check_rebuild(record: &str) {
    let events = parsed(record);
    let events = events.all();
    let raw = text(&events[0], f::RAW);
    let Ok(wanted) = serde_json::from_str::<Value>(record) else {
        return assert_eq!(raw, Some(record));
    };
    if raw == Some(record) {
        return;
    }
    let (first, around) = rebuilt(&events[0]);
    let Some(mut whole) = around else {
        return assert_eq!(Value::Object(first), wanted, "{record}");
    };
    let all = || events.iter().map(|event| Value::Object(rebuilt(event).0));
    if wanted.get("items").is_some() {
        whole["items"] = all().collect();
    } else if wanted.get("logEvents").is_some() {
        let entry = |event| serde_json::from_str::<Value>(text(event, f::RAW).unwrap()).unwrap();
        whole["logEvents"] = events.iter().map(entry).collect();
        for (message, entry) in all().zip(whole["logEvents"].as_array().unwrap()) {
            let logged = serde_json::from_str::<Value>(entry["message"].as_str().unwrap());
            assert!(logged.is_err() || logged.unwrap() == message, "{record}");
        }
    } else {
        whole["properties"]["log"] = all().next().unwrap();
    }
    assert_eq!(whole, wanted, "{record}");
}

#[test]
fn every_record_comes_back_from_its_rows() {
    let mut count = 0;
    for record in records() {
        if parse(record.as_bytes(), &mut Events::default()).is_ok() {
            check_rebuild(&record);
            count += 1;
        }
    }
    assert!(count > 75);
}

#[test]
fn odd_values_come_back() {
    let base = records().swap_remove(1);
    let base: Value = serde_json::from_str(&base).unwrap();
    for (key, value) in [
        ("auditID", json!(7)),
        ("auditID", json!("-")),
        ("userAgent", json!(null)),
        ("userAgent", json!("a\u{1b}\"\\\u{e9}")),
        ("verb", json!("UPDATE")),
        ("verb", json!(["update"])),
        ("sourceIPs", json!(["unix:/x", {"a": 1}, "fe80::1%eth0"])),
        ("user", json!({"groups": ["a", 7, "", "b\n"], "extra": {"accessKeyId": "x"}})),
        ("objectRef", json!("pods")),
        ("responseStatus", json!({"code": -1, "message": 7})),
        ("requestObject", json!([[], 7, null, {"path": 7}])),
        ("responseObject", json!("x")),
        ("annotations", json!([])),
        ("envelope", json!({"a": [1, {"b": null}]})),
        ("newField", json!({"a": [1, {"b": null}], "c": 1.5})),
    ] {
        let mut record = base.clone();
        record[key] = value;
        check_rebuild(&record.to_string());
    }
}

#[test]
fn no_prefix_of_any_record_panics() {
    let mut parser = KubernetesParser::new();
    let mut events = Events::default();
    for record in records() {
        for end in (0..record.len()).filter(|at| at % 7 == 0 || record.len() - at < 64) {
            let part = &record.as_bytes()[..end];
            if std::str::from_utf8(part).is_err() {
                continue;
            }
            for forced in [false, true] {
                events.clear();
                let context = Context { forced, ..Context::default() };
                parser.detects(part);
                let result = parser.parse(part, &context, &mut events);
                assert_eq!(result.is_ok(), !events.all().is_empty());
            }
        }
    }
}

#[test]
fn a_cut_message_costs_no_neighbour() {
    let record = records().into_iter().find(|record| record.contains("DATA_MESSAGE")).unwrap();
    let mut record: Value = serde_json::from_str(&record).unwrap();
    let cut = record["logEvents"][0]["message"].as_str().unwrap()[..300].to_owned();
    record["logEvents"][0]["message"] = json!(cut);
    let record = record.to_string();
    check_rebuild(&record);
    let events = parsed(&record);
    let [broken, whole] = events.all() else { panic!("{events:?}") };
    assert_eq!(text(broken, f::PARSE_STATUS), Some("partial"));
    assert_eq!(text(broken, f::EVENT_KIND), Some("unknown"));
    assert_eq!(text(broken, f::EVENT_TIME_SOURCE), Some("transport"));
    assert_eq!(broken.time_micros(), Some(1_785_578_400_150_000));
    assert_eq!(text(broken, f::K8S_CLUSTER), Some("prod-eu"));
    assert_eq!(text(whole, f::PARSE_STATUS), Some("ok"));
    assert_eq!(text(whole, f::EVENT_KIND), Some("api_call"));
}

#[test]
fn lists_are_taken_whole_or_not_at_all() {
    let item = r#"{"auditID":"a","stage":"Panic","stageTimestamp":"2026-08-01T10:00:00Z"}"#;
    let list = |items: &str| {
        format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{items}]}}"#)
    };
    assert_eq!(parsed(&list(&[item; 3].join(","))).all().len(), 3);
    let reject = rejected(&list(&format!("{item},{{}}")));
    assert_eq!(reject.reason, Reason::NoEventTime);
    assert_eq!(reject.format_guess, Some(SOURCE_FORMAT));
    assert_eq!(rejected(&list(&format!("{item},7"))).reason, Reason::InvalidJson);
    assert_eq!(rejected(&list("")).reason, Reason::UnknownFormat);
    let many = list(&vec![item; 17_000].join(","));
    assert_eq!(rejected(&many).reason, Reason::TooManyFields);
}

#[test]
fn an_envelope_is_not_copied_to_every_event() {
    let item = r#"{"stageTimestamp":"2026-08-01T10:00:00Z"}"#;
    let record = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":"{}","items":[{}]}}"#,
        "x".repeat(100_000),
        [item; 3].join(",")
    );
    check_rebuild(&record);
    let mut context = Context { outer: Some(b"around"), ..Context::default() };
    context.envelope.attributes = br#""a":1"#.to_vec();
    context.envelope.columns = vec![(f::K8S_POD, "p".into()), (f::K8S_NODE, "n".repeat(1000))];
    let mut events = Events::default();
    KubernetesParser::new().parse(record.as_bytes(), &context, &mut events).unwrap();
    let [first, second, _] = events.all() else { panic!("{events:?}") };
    assert!(text(first, f::ATTRIBUTES).unwrap().len() > 100_000);
    assert!(text(first, f::ATTRIBUTES).unwrap().contains(r#""a":1,"envelope":{"kind""#));
    assert_eq!(text(first, f::RAW), Some("around"));
    assert!(first.has(f::K8S_NODE) && first.has(f::K8S_POD));
    assert_eq!(text(second, f::ATTRIBUTES), Some(item));
    assert!(!second.has(f::RAW) && !second.has(f::K8S_NODE) && second.has(f::K8S_POD));
}

#[test]
fn a_time_of_the_envelope_stands_in_for_a_missing_one() {
    let record = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"}"#;
    assert_eq!(rejected(record).reason, Reason::NoEventTime);
    let mut context = Context::default();
    context.envelope.time = Some((7, "cri"));
    context.envelope.columns = vec![(f::K8S_POD, "kube-apiserver".into())];
    let mut events = Events::default();
    KubernetesParser::new().parse(record.as_bytes(), &context, &mut events).unwrap();
    let event = &events.all()[0];
    assert_eq!(event.time_micros(), Some(7));
    assert_eq!(text(event, f::EVENT_TIME_SOURCE), Some("cri"));
    assert_eq!(text(event, f::K8S_POD), Some("kube-apiserver"));
}

#[test]
fn more_annotations_than_are_read_are_flagged() {
    let many: Vec<String> = (0..2000).map(|i| format!("\"a{i}\":\"x\"")).collect();
    let record = format!(
        r#"{{"auditID":"a","stage":"Panic","stageTimestamp":"2026-08-01T10:00:00Z","annotations":{{{}}}}}"#,
        many.join(",")
    );
    assert_eq!(text(&parsed(&record).all()[0], f::PARSE_STATUS), Some("partial"));
    check_rebuild(&record);
}

/// Records of a megabyte that are as bad as the author could make them. None may take time out
/// of proportion; the slowest is printed.
#[test]
fn hostile_records_are_read_in_time() {
    let event = |resource: &str, request: &str, message: &str| {
        format!(
            r#"{{"auditID":"a","stage":"ResponseComplete","verb":"patch","stageTimestamp":"2026-08-01T10:00:00Z","objectRef":{{{resource}}},"responseStatus":{{"code":403,"message":"{message}"}},"requestObject":{request}}}"#
        )
    };
    let policy = r#""apiGroup":"security.istio.io","resource":"x""#;
    let namespace = r#""resource":"namespaces""#;
    let keys = |n: u32, key: fn(u32) -> String| {
        (0..n).map(|i| format!("\"{}\":0", key(i))).collect::<Vec<_>>().join(",")
    };
    // Each level is out of order and holds nearly all of the text.
    let mut deep = format!("\"{}\"", "x".repeat(1_000_000));
    for _ in 0..60 {
        deep = format!(r#"{{"b":{deep},"a":0}}"#);
    }
    let scattered = |i: u32| format!("{:08x}", i.wrapping_mul(2_654_435_761));
    let same_begin = |i: u32| format!("aaaaaaaa{}", 1_000_000 - i);
    let records = [
        event(policy, &deep, ""),
        event(policy, &format!("{{{}}}", keys(80_000, scattered)), ""),
        event(policy, &format!("{{{}}}", keys(60_000, same_begin)), ""),
        event(policy, &format!("[{}]", vec!["{}"; 330_000].join(",")), ""),
        event(policy, "0", &r#"admission webhook \"a\" "#.repeat(42_000)),
        event(policy, "0", &"ValidatingAdmissionPolicy 'a".repeat(36_000)),
        event(
            namespace,
            &format!("[{}]", vec![r#"{"op":"add","path":"/metadata"}"#; 32_000].join(",")),
            "",
        ),
        event(namespace, &format!(r#"[{{"op":"add","path":"{}"}}]"#, "/a~1".repeat(250_000)), ""),
        event(
            namespace,
            &format!(r#"{{{}}}"#, vec![r#""metadata":{"labels":{}}"#; 40_000].join(",")),
            "",
        ),
        format!("2026-08-01T10:00:00Z AUDIT: id=\"a\" {}", "groups=\"\\\"\" ".repeat(80_000)),
        format!("2026-08-01T10:00:00Z AUDIT: id=\"a\" groups=\"{}\"", "\\\"a\\\",".repeat(140_000)),
        format!("2026-08-01T10:00:00Z AUDIT: id=\"a\" {}", "=".repeat(1_000_000)),
    ];
    let mut parser = KubernetesParser::new();
    let mut events = Events::default();
    // The second round finds its buffers as large as they get.
    for round in 0..2 {
        for (index, record) in records.iter().enumerate() {
            events.clear();
            let start = std::time::Instant::now();
            parser.detects(record.as_bytes());
            let detected = start.elapsed();
            parser.parse(record.as_bytes(), &Context::default(), &mut events).unwrap();
            let took = start.elapsed() - detected;
            println!("{round}.{index}: {} bytes, {detected:?} and {took:?}", record.len());
            // Machines and builds differ; what this catches is quadratic.
            assert!(took.as_millis() < 2000, "{index}: {took:?}");
        }
    }
}
