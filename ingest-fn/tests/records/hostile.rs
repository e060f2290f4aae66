//! What a record of a megabyte costs at worst: for each format, a record of which some value is
//! made as large and as odd as it can be.

use std::collections::BTreeMap;

use ingest_fn::parse::SourceFormat;
use ingest_fn::parse::detect::Dispatcher;
use ingest_fn::parse::event::{Context, Events};
use ingest_fn::parse::fields as f;
use ingest_fn::redact::Rules;

use crate::fixtures;
use crate::json::{self, Json};

/// After all times in the fixtures.
const RECEIVED_AT_MICROS: i64 = 1_900_000_000_000_000;

/// CPU time of this thread in milliseconds, as of the last switch, which is brought about here.
fn cpu_millis() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Values of about so many bytes, by the name of their shape.
fn shapes(bytes: usize) -> Vec<(&'static str, String)> {
    let fill = |piece: &str| piece.repeat(bytes / piece.len());
    let quoted = |piece: &str| format!("\"{}\"", fill(piece));
    let list = |piece: &str| {
        let all = fill(&format!("{piece},"));
        format!("[{}{piece}]", all)
    };
    let numbered = |count: usize, value: &str| {
        let fields = (0..count).map(|number| format!("\"k{number}\":{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(50), close.repeat(50));
    vec![
        ("one huge value", quoted("x")),
        ("quotes", quoted("\\\"")),
        ("backslashes", quoted("\\\\")),
        ("escapes", quoted("\\u0001\\u00e9")),
        ("dates", quoted("2026-11-02T10:15:30.123Z ")),
        ("separators", quoted("/,=|;:[]{}()@?&%2F")),
        ("braces in a text", quoted("a{b(c[")),
        ("names in a text", quoted(" client=x src.addr=1 error=\\\"a\\\" verb=")),
        ("deep lists", list(&deep("[", "]"))),
        ("deep objects", list(&deep("{\"a\":", "}"))),
        ("too deep", format!("{}{}", "[".repeat(bytes / 2), "]".repeat(bytes / 2))),
        ("many fields", numbered(bytes / 12, "1")),
        ("one key many times", format!("{{{}\"k\":1}}", fill("\"k\":1,"))),
        ("many objects", list("{\"name\":\"x\",\"key\":\"y\"}")),
        ("many texts", list("\"audit\"")),
    ]
}

/// A record's text around the value at one of its places.
struct Place {
    name: String,
    before: String,
    after: String,
}

fn places(record: &Json) -> Vec<Place> {
    let mut all = Vec::new();
    walk(record, &mut Vec::new(), record, &mut all);
    all
}

fn walk(value: &Json, path: &mut Vec<usize>, record: &Json, all: &mut Vec<Place>) {
    if !path.is_empty() {
        let mut text = String::new();
        let name = show(record, path, &mut text);
        let (before, after) = text.split_once('\u{0}').unwrap();
        all.push(Place { name, before: before.to_owned(), after: after.to_owned() });
    }
    if path.len() < 3
        && let Json::Object(fields) = value
    {
        for (index, (_, value)) in fields.iter().enumerate() {
            path.push(index);
            walk(value, path, record, all);
            path.pop();
        }
    }
}

/// Writes a record with a zero byte instead of the value at a path; gives the path's keys.
fn show(value: &Json, path: &[usize], out: &mut String) -> String {
    let mut name = String::new();
    match (value, path) {
        (_, [usize::MAX]) => out.push('\u{0}'),
        (Json::Object(fields), _) => {
            for (index, (key, value)) in fields.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                show(&Json::Text(key.clone()), &[], out);
                out.push(':');
                match path {
                    [first, rest @ ..] if *first == index => {
                        let key: String = key.iter().filter_map(|&c| char::from_u32(c)).collect();
                        let inner =
                            show(value, if rest.is_empty() { &[usize::MAX] } else { rest }, out);
                        name = format!(".{key}{inner}");
                    }
                    _ => drop(show(value, &[], out)),
                }
            }
            out.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        (Json::List(all), _) => {
            for (index, value) in all.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                show(value, &[], out);
            }
            out.push_str(if all.is_empty() { "[]" } else { "]" });
        }
        (Json::Word(word), _) => out.push_str(word),
        (Json::Text(text), _) => {
            let text: String = text.iter().filter_map(|&c| char::from_u32(c)).collect();
            out.push_str(&serde_json::Value::from(text).to_string());
        }
    }
    name
}

/// One record a format, the one with the most fields.
fn richest() -> BTreeMap<String, Json> {
    let mut all = BTreeMap::<String, (usize, Json)>::new();
    for fixture in fixtures() {
        let Ok(text) = std::str::from_utf8(&fixture.record) else { continue };
        let Some(record) = json::read_in_order(text) else { continue };
        let Some(name) = format_of(&fixture.record) else { continue };
        let count = places(&record).len();
        if count > 1 && all.get(&name).is_none_or(|(known, _)| *known < count) {
            all.insert(name, (count, record));
        }
    }
    all.into_iter().map(|(name, (_, record))| (name, record)).collect()
}

fn format_of(record: &[u8]) -> Option<String> {
    let mut events = Events::default();
    parse(&mut Dispatcher::new(), SourceFormat::Auto, record, &mut events).then_some(())?;
    let format = events.all().first()?.text_of(f::SOURCE_FORMAT)?;
    String::from_utf8(format.to_vec()).ok()
}

fn parse(
    dispatcher: &mut Dispatcher,
    format: SourceFormat,
    record: &[u8],
    events: &mut Events,
) -> bool {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
    events.clear();
    dispatcher.parse(format, record, &context, events).is_ok()
}

/// CPU milliseconds of one reading, the least of some if it is many.
fn cost(dispatcher: &mut Dispatcher, format: SourceFormat, record: &[u8]) -> f64 {
    let mut events = Events::default();
    let mut least = f64::MAX;
    for _ in 0..4 {
        let before = cpu_millis();
        parse(dispatcher, format, record, &mut events);
        least = least.min(cpu_millis() - before);
        if least < BOUND_MILLIS {
            break;
        }
    }
    least
}

const MEGABYTE: usize = 1_000_000;

/// What a megabyte may cost; an optimised build needs far less, and time that grew with the square
/// of the length would be thousands of times this.
const BOUND_MILLIS: f64 = 50.0;

/// Checks a record of one and of two megabytes, made by `make`; gives the milliseconds of one.
fn check(name: &str, format: SourceFormat, mut make: impl FnMut(usize) -> String) -> f64 {
    let mut dispatcher = Dispatcher::new();
    let one = cost(&mut dispatcher, format, make(MEGABYTE).as_bytes());
    if one > BOUND_MILLIS {
        // A slow machine, or a slow build: then it must grow as the length.
        let two = cost(&mut dispatcher, format, make(2 * MEGABYTE).as_bytes());
        assert!(one < 10.0 * BOUND_MILLIS && two < 3.0 * one, "{name}: {one} ms, {two} ms");
    }
    one
}

#[test]
fn a_megabyte_in_a_json_record_costs_little() {
    in_json(3);
}

#[test]
#[ignore = "takes minutes; its figures are in fuzz/README.md"]
fn a_megabyte_in_any_place_of_a_json_record_costs_little() {
    in_json(usize::MAX);
}

/// Every shape in so many places of a record of each JSON format.
fn in_json(places_max: usize) {
    let shapes = [shapes(MEGABYTE), shapes(2 * MEGABYTE)];
    for (format, record) in richest() {
        let parsed: SourceFormat = format.parse().unwrap();
        let mut slowest = (0.0, String::new());
        let places = places(&record);
        let step = places.len().div_ceil(places_max);
        for place in places.iter().step_by(step) {
            for (number, (shape, _)) in shapes[0].iter().enumerate() {
                let name = format!("{format} {} {shape}", place.name);
                let millis = check(&name, parsed, |bytes| {
                    let value = &shapes[usize::from(bytes > MEGABYTE)][number].1;
                    [&place.before, value.as_str(), &place.after].concat()
                });
                if millis > slowest.0 {
                    slowest = (millis, format!("{shape} in {}", place.name));
                }
            }
        }
        println!("{format}: {:.1} ms, {}", slowest.0, slowest.1);
    }
}

#[test]
fn a_megabyte_in_a_line_of_text_costs_little() {
    in_text(1, 3);
}

#[test]
#[ignore = "takes minutes; its figures are in fuzz/README.md"]
fn a_megabyte_in_any_place_of_a_line_of_text_costs_little() {
    in_text(4, 9);
}

/// Lines of text formats, so many of each: so many begins, and what is repeated behind them.
fn in_text(lines_max: usize, begins_max: usize) {
    const PIECES: [&str; 22] = [
        "x",
        " ",
        "\"",
        "\\",
        "\\\"",
        "\" \"",
        "\" 1 2 3 ",
        "=",
        " a=\"\"",
        ":",
        "::",
        ", ",
        "(",
        "{",
        "}",
        "a{b=",
        "[1,",
        "\t",
        " client=",
        "linkerd ",
        "2026-11-02T10:15:30.123Z ",
        "\u{1}",
    ];
    let lines: Vec<(SourceFormat, String)> = fixtures()
        .into_iter()
        .filter(|fixture| !fixture.record.trim_ascii_start().starts_with(b"{"))
        .filter_map(|fixture| {
            Some((fixture.source.parse().unwrap(), String::from_utf8(fixture.record).ok()?))
        })
        .collect();
    let mut slowest = BTreeMap::<String, (f64, String)>::new();
    let mut seen = BTreeMap::<String, usize>::new();
    for (format, line) in &lines {
        let Some(name) = format_of(line.as_bytes()) else { continue };
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count > lines_max {
            continue;
        }
        let ends = line.char_indices().filter(|(_, char)| " \t\"=:{[".contains(*char));
        let mut ends: Vec<usize> = ends.map(|(at, char)| at + char.len_utf8()).collect();
        ends.push(line.len());
        let step = ends.len().div_ceil(begins_max);
        for end in ends.into_iter().step_by(step) {
            for piece in PIECES {
                let shown = format!("{piece:?} behind {:?}", &line[..end]);
                let millis = check(&shown, *format, |bytes| {
                    [&line[..end], &piece.repeat(bytes / piece.len())].concat()
                });
                let worst = slowest.entry(name.clone()).or_default();
                if millis > worst.0 {
                    *worst = (millis, shown);
                }
            }
        }
    }
    for (format, (millis, shown)) in &slowest {
        println!("{format}: {millis:.1} ms, {shown}");
    }
    assert!(slowest.len() >= 5, "{slowest:?}");
}

/// A record of many parts.
struct Many {
    name: &'static str,
    format: SourceFormat,
    before: &'static str,
    piece: fn(usize) -> String,
    between: &'static str,
    after: &'static str,
}

impl Many {
    fn make(&self, bytes: usize) -> String {
        let mut all = self.before.to_owned();
        for number in 0.. {
            all.push_str(&(self.piece)(number));
            if all.len() >= bytes {
                break;
            }
            all.push_str(self.between);
        }
        all + self.after
    }
}

/// Another day for each of ten thousand numbers.
fn day(number: usize) -> String {
    format!("20{:02}-{:02}-{:02}", number / 336 % 30, number / 28 % 12 + 1, number % 28 + 1)
}

fn line(number: usize) -> String {
    let day = day(number);
    format!(r#"[{day}T10:15:30.123Z] "GET / HTTP/1.1" 200 - 0 358 15 14 "-" "a" "b" "c" "-""#)
}

const MANY: [Many; 10] = [
    Many {
        name: "lines of many dates",
        format: SourceFormat::Auto,
        before: "",
        piece: line,
        between: "\n",
        after: "",
    },
    Many {
        name: "an event list of many dates",
        format: SourceFormat::Auto,
        before: r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":["#,
        piece: |number| {
            let time = day(number) + "T10:00:00Z";
            format!(r#"{{"auditID":"a","stage":"Panic","stageTimestamp":"{time}"}}"#)
        },
        between: ",",
        after: "]}",
    },
    Many {
        name: "a page of many dates",
        format: SourceFormat::HoopAudit,
        before: r#"{"pages":{},"data":["#,
        piece: |number| {
            let time = day(number) + "T10:15:33Z";
            format!(r#"{{"actor_subject":"s","resource_type":"r","created_at":"{time}"}}"#)
        },
        between: ",",
        after: "]}",
    },
    Many {
        name: "a list of lines",
        format: SourceFormat::Auto,
        before: "[",
        piece: |number| serde_json::json!({"log": line(number), "stream": "stdout"}).to_string(),
        between: ",",
        after: "]",
    },
    Many {
        name: "log events",
        format: SourceFormat::Auto,
        before: r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":["#,
        piece: |number| {
            serde_json::json!({"timestamp": 1_793_614_531_006_u64, "message": line(number)})
                .to_string()
        },
        between: ",",
        after: "]}",
    },
    Many {
        name: "log records",
        format: SourceFormat::Auto,
        before: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#,
        piece: |_| {
            r#"{"timeUnixNano":"1793614531004112000","body":{"stringValue":"x"}}"#.to_owned()
        },
        between: ",",
        after: "]}]}]}",
    },
    Many {
        name: "attributes of a log record",
        format: SourceFormat::Auto,
        before: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1793614531004112000","attributes":["#,
        piece: |number| format!(r#"{{"key":"k{number}","value":{{"stringValue":"v"}}}}"#),
        between: ",",
        after: "]}]}]}]}",
    },
    Many {
        name: "protobuf of nothing",
        format: SourceFormat::OtlpProtobuf,
        before: "",
        piece: |_| "\n\0".to_owned(),
        between: "",
        after: "",
    },
    Many {
        name: "protobuf of scopes",
        format: SourceFormat::OtlpProtobuf,
        before: "",
        piece: |_| "\n\x04\x12\x02\x12\0".to_owned(),
        between: "",
        after: "",
    },
    Many {
        name: "pieces",
        format: SourceFormat::Auto,
        before: "",
        piece: |_| "2026-11-02T10:15:31Z stdout P x\n2026-11-02T10:15:31Z stderr P y".to_owned(),
        between: "\n",
        after: "",
    },
];

/// Records that ask for much elsewhere: many small parts, many dates, pieces of lines.
#[test]
fn a_megabyte_of_small_parts_costs_little() {
    for many in &MANY {
        let millis = check(many.name, many.format, |bytes| many.make(bytes));
        println!("{}: {millis:.1} ms", many.name);
    }
}

/// The same shapes through redaction, as the pipeline does it first.
#[test]
fn a_megabyte_to_redact_costs_little() {
    let mut redactor = ingest_fn::redact::Redactor::new(&Rules::default());
    let mut slowest = (0.0, String::new());
    for name in ["token", "password", "data", "authorization", "x"] {
        for (shape, value) in shapes(MEGABYTE) {
            let record = format!("{{\"kind\":\"Secret\",\"{name}\":{value}}}");
            let mut least = f64::MAX;
            for _ in 0..3 {
                let before = cpu_millis();
                let _ = redactor.redact(record.as_bytes());
                least = least.min(cpu_millis() - before);
            }
            assert!(least < 10.0 * BOUND_MILLIS, "{shape} in {name}: {least} ms");
            if least > slowest.0 {
                slowest = (least, format!("{shape} in {name}"));
            }
        }
    }
    println!("redaction: {:.1} ms, {}", slowest.0, slowest.1);
}
