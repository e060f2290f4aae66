//! Every fixture through the dispatcher: detection, unwrapping and parsing together.

use common::limits::{EVENT_TIME_MICROS_MIN, FUTURE_SKEW_MICROS_MAX};

mod short_way;

use super::*;
use crate::parse::cases::{self, RECEIVED_AT_MICROS};

/// As the pipeline does: parse, then see whether the times are in range.
fn dispatch(
    dispatcher: &mut Dispatcher,
    source: &str,
    record: &[u8],
    events: &mut Events,
) -> Result<(), Reject> {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
    dispatcher.parse(source.parse().unwrap(), record, &context, events)?;
    let latest = RECEIVED_AT_MICROS + FUTURE_SKEW_MICROS_MAX;
    for event in events.all() {
        let time = event.time_micros().unwrap();
        assert!(event.has(f::EVENT_TIME_SOURCE), "a time without a source");
        if time < EVENT_TIME_MICROS_MIN || time > latest {
            return Err(Reject::new(Reason::EventTimeOutOfRange, "out of range"));
        }
    }
    Ok(())
}

fn check(folder: &str) {
    let mut dispatcher = Dispatcher::new();
    cases::check(
        folder,
        |_| true,
        |source, record, events| dispatch(&mut dispatcher, source, record, events),
    );
}

#[test]
fn envoy_text_cases() {
    check("envoy_text");
}

#[test]
fn otlp_cases() {
    check("otlp");
}

#[test]
fn shipper_cases() {
    check("shippers");
}

#[test]
fn ztunnel_cases() {
    check("ztunnel");
}

#[test]
fn linkerd_cases() {
    check("linkerd");
}

#[test]
fn kubernetes_cases() {
    check("kubernetes");
}

#[test]
fn consul_cases() {
    check("consul");
}

#[test]
fn hoop_cases() {
    check("hoop");
}

/// The records of all fixtures with their sources.
fn records() -> Vec<(String, Vec<u8>)> {
    const FOLDERS: [&str; 9] = [
        "envoy_text",
        "otlp",
        "shippers",
        "ztunnel",
        "linkerd",
        "kubernetes",
        "consul",
        "hoop",
        "query_trail",
    ];
    let mut dispatcher = Dispatcher::new();
    let mut records = Vec::new();
    for folder in FOLDERS {
        cases::check(
            folder,
            |_| true,
            |source, record, events| {
                records.push((source.to_owned(), record.to_vec()));
                dispatch(&mut dispatcher, source, record, events)
            },
        );
    }
    records
}

/// What holds for every record, whatever is in it.
fn holds(dispatcher: &mut Dispatcher, source: &str, record: &[u8], events: &mut Events) {
    events.clear();
    events.begin().text(f::MESH, b"of the record before");
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
    let result = dispatcher.parse(source.parse().unwrap(), record, &context, events);
    if result.is_err() {
        assert_eq!(events.all().len(), 1);
        assert!(dispatcher.rejected().is_empty());
    }
    for event in &events.all()[1..] {
        for column in [f::EVENT_TIME, f::EVENT_TIME_SOURCE, f::MESH, f::SOURCE_FORMAT] {
            assert!(event.has(column));
        }
        for column in [f::EVENT_KIND, f::DECISION, f::TLS_FAILURE, f::PARSE_STATUS] {
            assert!(event.has(column));
        }
        if let Some(attributes) = event.text_of(f::ATTRIBUTES) {
            let object = serde_json::from_slice::<serde_json::Value>(attributes);
            assert!(object.is_ok_and(|value| value.is_object()));
        }
        for column in 0..common::schema::COLUMNS.len() {
            assert!(event.text_of(column).is_none_or(|text| std::str::from_utf8(text).is_ok()));
        }
    }
}

#[test]
fn cut_and_damaged_records_never_panic() {
    let mut dispatcher = Dispatcher::new();
    let mut events = Events::default();
    for (source, record) in records() {
        let step = (record.len() / 23).max(1);
        for at in (0..record.len()).step_by(step) {
            for source in [source.as_str(), "auto"] {
                holds(&mut dispatcher, source, &record[..at], &mut events);
                holds(&mut dispatcher, source, &record[at..], &mut events);
                for damage in [&b"\""[..], b"{", b" ", b"\n", b"\xff", b"\\", b""] {
                    let damaged = [&record[..at], damage, &record[at + 1..]].concat();
                    holds(&mut dispatcher, source, &damaged, &mut events);
                }
            }
        }
    }
}

#[test]
fn every_configured_format_takes_any_record_without_a_panic() {
    let mut dispatcher = Dispatcher::new();
    let mut events = Events::default();
    for (_, record) in records() {
        for source in SourceFormat::NAMES {
            holds(&mut dispatcher, source, &record, &mut events);
        }
    }
}

/// Every column of an event but its text, which names its envelope.
fn columns(event: &Event) -> Vec<String> {
    (0..common::schema::COLUMNS.len())
        .filter(|column| *column != f::RAW)
        .map(|column| {
            let text = event.text_of(column).map(<[u8]>::to_vec);
            let list = event.list_of(column);
            format!("{column} {text:?} {list:?} {:?}", event.int_of(column))
        })
        .collect()
}

#[test]
fn the_text_of_one_of_several_gives_the_event_again() {
    let mut dispatcher = Dispatcher::new();
    let mut count = 0;
    for (source, record) in records() {
        let text = String::from_utf8_lossy(&record);
        let holds_several = source == "otlp_protobuf"
            || (source == "auto" && (text.contains("resourceLogs") || text.contains("logEvents")));
        if !holds_several || text.contains("awslogs") {
            continue;
        }
        let mut events = Events::default();
        if dispatch(&mut dispatcher, &source, &record, &mut events).is_err() {
            continue;
        }
        for event in events.all() {
            let mut again = Events::default();
            let raw = event.text_of(f::RAW).unwrap();
            dispatch(&mut dispatcher, "auto", raw, &mut again).unwrap();
            assert_eq!(again.all().len(), 1, "{text}");
            assert_eq!(columns(&again.all()[0]), columns(event), "{text}");
            count += 1;
        }
    }
    assert!(count > 70, "{count}");
}

#[test]
fn a_bad_part_costs_its_neighbours_nothing() {
    let line =
        r#"[2026-11-02T10:15:30.123Z] "GET / HTTP/1.1" 200 - 0 358 15 14 "-" "a" "b" "c" "-""#;
    let mut dispatcher = Dispatcher::new();
    let mut check = |record: &str, good: usize, bad: &[&str]| {
        let mut events = Events::default();
        dispatch(&mut dispatcher, "auto", record.as_bytes(), &mut events).unwrap();
        assert_eq!(events.all().len(), good, "{record}");
        let rejected: Vec<_> = dispatcher.rejected().iter().map(|part| &part.text[..]).collect();
        assert_eq!(rejected, bad.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    };
    check(&format!("{line}\nwhat\n\n{line}\r\n"), 2, &["what"]);
    let cut = "2026-11-02T10:15:31Z stdout P [2026";
    check(&format!("{line}\n{cut}"), 1, &[cut]);
    let quoted = serde_json::Value::from(line);
    let item = |message: &str| format!("{{\"timestamp\":1793614531006,\"message\":{message}}}");
    let (good, bad) = (item(&quoted.to_string()), item("\"what\""));
    let group = |items: &str| {
        format!("{{\"messageType\":\"DATA_MESSAGE\",\"logGroup\":\"g\",\"logEvents\":[{items}]}}")
    };
    check(&group(&format!("{bad},{good}")), 1, &[&bad]);
    let log = |message: &str| format!("{{\"log\":{message},\"stream\":\"x\"}}");
    let (good, bad) = (log(&quoted.to_string()), log("\"what\""));
    check(&format!("[{good},{bad}]"), 1, &[&bad]);
    let record = |time: &str| format!("{{{time}\"body\":{{\"stringValue\":\"x\"}}}}");
    let (good, bad) = (record("\"timeUnixNano\":\"1793614531004112000\","), record(""));
    let request =
        format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{good},{bad}]}}]}}]}}");
    check(&request, 1, &[&bad]);
}

#[test]
fn programs_that_quote_their_users_forge_nothing() {
    let line =
        r#"[2026-11-02T10:15:30.123Z] "GET / HTTP/1.1" 200 - 0 358 15 14 "-" "a" "b" "c" "-""#;
    let mut dispatcher = Dispatcher::new();
    let mut check = |record: String| {
        let mut events = Events::default();
        let reject = dispatch(&mut dispatcher, "auto", record.as_bytes(), &mut events).unwrap_err();
        assert_eq!(reject.reason, Reason::UnknownFormat, "{record}");
    };
    let message = serde_json::json!({ "level": "info", "message": line });
    check(message.to_string());
    check(serde_json::json!({ "log": message.to_string(), "stream": "stdout" }).to_string());
}

#[test]
fn an_empty_list_hides_nothing_beside_it() {
    let mut dispatcher = Dispatcher::new();
    let mut outcome = |record: &str| {
        let mut events = Events::default();
        let result = dispatch(&mut dispatcher, "auto", record.as_bytes(), &mut events);
        assert!(events.all().is_empty() && dispatcher.rejected().is_empty(), "{record}");
        result.map_err(|reject| reject.reason)
    };
    for empty in [
        r#"{"resourceLogs":[]}"#,
        r#"{"requestId":"x","timestamp":1793614531004,"records":[]}"#,
        r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[]}"#,
    ] {
        assert_eq!(outcome(empty), Ok(()), "{empty}");
        let more = empty.replacen('{', r#"{"evil":"data","#, 1);
        assert_eq!(outcome(&more), Err(Reason::UnknownFormat), "{more}");
        let inside = format!("2026-11-02T10:15:31Z stdout F {more}");
        assert_eq!(outcome(&inside), Err(Reason::UnknownFormat), "{inside}");
    }
}

#[test]
fn envelopes_are_taken_off_up_to_a_depth() {
    let mut record = String::from(r#"{"a":1}"#);
    let mut dispatcher = Dispatcher::new();
    for depth in 0..12 {
        let result = dispatch(&mut dispatcher, "auto", record.as_bytes(), &mut Events::default());
        let expected = if depth <= ENVELOPES_MAX { Reason::UnknownFormat } else { Reason::TooDeep };
        assert_eq!(result.unwrap_err().reason, expected, "{depth}");
        record = format!("2026-11-02T10:15:31Z stdout F {record}");
    }
}

/// Records of a megabyte that ask for as much work as they can. Work that grew with the square of
/// the length would take minutes.
#[test]
fn hostile_records_cost_little() {
    let fill = |piece: &str| piece.repeat(1_000_000 / piece.len());
    let head = r#"[2026-11-02T10:15:30.123Z] "GET / HTTP/1.1" 200 -"#;
    let istio = format!("{head} via_upstream - \"");
    let left = format!("{head} via_upstream - \"-\" 0 1 2 3 \"");
    let mut records = vec![
        ("auto", format!("{istio}{}", fill("\" 1 2 3 "))),
        ("auto", format!("{istio}{}", fill("\" 111111111"))),
        ("auto", format!("{istio}{}", fill("\""))),
        ("auto", format!("{left}{}", fill("\" \""))),
        ("auto", format!("{left}{}", fill("\" \"a\" b c d e f"))),
        ("auto", format!("{left}{}", fill("\" \"\" "))),
        ("auto", format!("{left}\" \"h\" {}", fill("x"))),
        ("auto", format!("{head} 0 1 2 3 \"{}", fill("\" \""))),
        ("auto", format!("{head} {}", fill("\u{1}"))),
        ("auto", fill("2026-11-02T10:15:31Z stdout P x\n2026-11-02T10:15:31Z stderr P y\n")),
        ("auto", fill("{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"\"}\n")),
        ("auto", format!("[{}{{}}]", fill("{},"))),
        ("auto", format!("[{{{}", fill("["))),
        ("otlp_protobuf", fill("\n\0")),
        ("otlp_protobuf", fill("\n\x04\x12\x02\x12\0")),
        ("otlp_protobuf", fill("x\x01")),
    ];
    let pod = format!("\"kubernetes\":{{\"pod_name\":\"{}\"}}", "p".repeat(500_000));
    let lines = "[2026-11-02T10:15:30.123Z] \\\"- - -\\\" 200 -\\n".repeat(10_000);
    records.push(("auto", format!("{{{pod},\"log\":\"{lines}\"}}")));
    let mut nested = String::from(&fill("x"));
    for _ in 0..7 {
        nested = serde_json::json!({ "log": nested, "stream": "audit\"auditID" }).to_string();
    }
    records.push(("auto", nested));
    let request = |resource: &str, scopes: &str| {
        format!(
            "{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":[{resource}]}},\"scopeLogs\":[{scopes}]}}]}}"
        )
    };
    let big = format!("{{\"key\":\"{}\"}}", "k".repeat(500_000));
    let record = "{\"timeUnixNano\":\"1793614531004112000\"}";
    let many = vec![record; 12_000].join(",");
    records.push(("auto", request(&big, &format!("{{\"logRecords\":[{many}]}}"))));
    records
        .push(("auto", request(&big, &format!("{}{{}}", "{\"logRecords\":[{}]},".repeat(20_000)))));
    let deep = format!("{}{}", "{\"arrayValue\":{\"values\":[".repeat(14), "]}}".repeat(14));
    let deep = format!("{{\"body\":{deep}}}");
    records.push((
        "auto",
        request("", &format!("{{\"logRecords\":[{}]}}", vec![deep; 2_000].join(","))),
    ));
    let labels = vec!["{\"key\":\"xfcc\"}"; 70_000].join(",");
    let body = format!("{{\"stringValue\":{}}}", serde_json::Value::from(head));
    let labelled = format!("{{\"body\":{body},\"attributes\":[{labels}]}}");
    records.push(("auto", request("", &format!("{{\"logRecords\":[{labelled}]}}"))));
    let items = vec!["{\"message\":\"x\"}"; 30_000].join(",");
    records.push((
        "auto",
        format!("{{\"messageType\":\"{}\",\"logEvents\":[{items}]}}", "m".repeat(500_000)),
    ));
    let mut dispatcher = Dispatcher::new();
    let mut events = Events::default();
    for (index, (source, record)) in records.iter().enumerate() {
        let begin = std::time::Instant::now();
        holds(&mut dispatcher, source, record.as_bytes(), &mut events);
        let took = begin.elapsed();
        println!("{index}: {} bytes in {took:?}", record.len());
        assert!(took.as_secs() < 5, "{}", &record[..80]);
    }
}
