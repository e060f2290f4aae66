//! Formats are guessed by the record before and ruled out by names of fields, and strings are read
//! by the quotes that one look has found. Whatever the record and whatever came before it, the
//! outcome is that of asking every format in its order and searching every string for its end.

use super::*;
use crate::parse::json::Quotes;
use crate::scan::Marks;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % end.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A seed, which the environment may give to repeat a run with.
fn seed() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a seed to repeat a run with")]
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_102);
    println!("MESHLEDGER_TEST_SEED={seed}");
    seed | 1
}

/// All that a record comes to.
fn outcome(dispatcher: &mut Dispatcher, source: &str, record: &[u8], marks: &Marks) -> String {
    let context = Context {
        received_at_micros: RECEIVED_AT_MICROS,
        plain: marks.plain,
        quotes: Quotes::of(record, marks.quotes()),
        ..Context::default()
    };
    let mut events = Events::default();
    let result = dispatcher.parse(source.parse().unwrap(), record, &context, &mut events);
    let raws = events.all().iter().map(|event| event.text_of(f::RAW).map(<[u8]>::to_vec));
    let rows: Vec<_> = events.all().iter().map(columns).zip(raws).collect();
    format!("{result:?} {rows:?} {:?}", dispatcher.rejected())
}

struct Both {
    short: Dispatcher,
    slow: Dispatcher,
    events: usize,
}

impl Both {
    fn new() -> Self {
        let slow = Dispatcher { asks_all: true, ..Dispatcher::new() };
        Self { short: Dispatcher::new(), slow, events: 0 }
    }

    fn check(&mut self, source: &str, record: &[u8]) {
        // Every byte may be one below 0x20, and no quote is known.
        let mut marks = Marks::new();
        marks.plain = false;
        let slow = outcome(&mut self.slow, source, record, &marks);
        marks.look(record);
        // The second time the record itself is what came before.
        for _ in 0..2 {
            let short = outcome(&mut self.short, source, record, &marks);
            assert_eq!(short, slow, "{source}: {}", String::from_utf8_lossy(record));
        }
        self.events += usize::from(slow.starts_with("Ok"));
    }
}

#[test]
fn of_records_whole_and_damaged() {
    let mut random = Random(seed());
    let mut both = Both::new();
    let records = records();
    for (source, record) in &records {
        both.check(source, record);
    }
    for _ in 0..60_000 {
        let (source, record) = random.of(&records);
        let source =
            if random.below(8) == 0 { *random.of(&SourceFormat::NAMES) } else { source.as_str() };
        let mut record = record.clone();
        if record.is_empty() || record.len() > 20_000 {
            continue;
        }
        match random.below(5) {
            0 => record.truncate(random.below(record.len())),
            1 => {
                let at = random.below(record.len());
                record[at] ^= 1 << random.below(8);
            }
            2 => {
                let (_, other) = random.of(&records);
                let (at, from) = (random.below(record.len()), random.below(other.len()));
                record.truncate(at);
                record.extend_from_slice(&other[from..]);
            }
            3 => with_fields_of(&mut record, &random.of(&records).1),
            _ => {}
        }
        both.check(source, &record);
    }
    assert!(both.events > 20_000, "{}", both.events);
}

/// Puts the fields of another object behind the record's own, as if both had been merged.
fn with_fields_of(record: &mut Vec<u8>, other: &[u8]) {
    if record.ends_with(b"}") && other.starts_with(b"{") && other.len() > 2 {
        record.pop();
        record.push(b',');
        record.extend_from_slice(&other[1..]);
    }
}

/// Names by which formats and envelopes are told, and values that they ask for.
const NAMES: [&str; 39] = [
    "apiVersion",
    "kind",
    "auditID",
    "stage",
    "category",
    "properties",
    "protoPayload",
    "event_type",
    "payload",
    "level",
    "message",
    "scope",
    "time",
    "client.addr",
    "uri",
    "fields",
    "target",
    "timestamp",
    "session_id",
    "actor_subject",
    "resource_type",
    "start_date",
    "connection",
    "verb",
    "status",
    "data",
    "pages",
    "response_flags",
    "response_code",
    "start_time",
    "kubernetes",
    "date",
    "log",
    "stream",
    "sc\\u006fpe",
    "p\\u0061yload",
    "actor_subj\\u0065ct",
    "other",
    "records",
];
const VALUES: [&str; 22] = [
    "\"audit.k8s.io/v1\"",
    "\"Event\"",
    "\"EventList\"",
    "\"ResponseComplete\"",
    "\"kube-audit\"",
    "{\"serviceName\":\"k8s.io\"}",
    "\"audit\"",
    "{\"type\":\"HTTPEvent\"}",
    "\"info\"",
    "\"access\"",
    "\"ztunnel::proxy\"",
    "\"2026-11-02T10:15:30.123Z\"",
    "{\"message\":\"x\"}",
    "\"linkerd_app\"",
    "[{\"session_id\":\"1\",\"kind\":\"session.start\"}]",
    "\"session.open\"",
    "200",
    "\"-\"",
    "null",
    "{\"log\":{}}",
    "{\"pod_name\":\"p\"}",
    "\"a\\u0062\"",
];

#[test]
fn of_objects_with_names_of_many_formats() {
    let mut random = Random(seed());
    let mut both = Both::new();
    for _ in 0..40_000 {
        let fields: Vec<String> = (0..1 + random.below(9))
            .map(|_| format!("\"{}\":{}", random.of(&NAMES), random.of(&VALUES)))
            .collect();
        let mut record = format!("{{{}}}", fields.join(","));
        if random.below(4) == 0 {
            record = serde_json::json!({ "log": record, "stream": "stdout" }).to_string();
        }
        both.check("auto", record.as_bytes());
    }
    assert!(both.events > 100, "{}", both.events);
}
