//! Every record comes back from its row: the fixtures, and records made of them by changing
//! values, numbers, keys and their order. The judge is `json.rs`, which shares nothing with the
//! parsers.

use std::collections::BTreeMap;

use archive::rows::row_root;
use common::digest::Sha256Digest;
use common::ids::UnitId;
use common::row::RowSeed;
use ingest_fn::parse::detect::Dispatcher;
use ingest_fn::parse::event::{Context, Events};
use ingest_fn::parse::{SourceFormat, fields as f};
use ingest_fn::pipeline::{DeliveryBuilder, SourceConfig, UnitBytes};
use ingest_fn::rebuild::{BatchRow, Columns, rebuild};
use ingest_fn::redact::Rules;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::json::{self, Json};
use crate::{checks, fixtures};

/// After all times in the fixtures.
const RECEIVED_AT_MICROS: i64 = 1_900_000_000_000_000;

/// Nobody is to be kept from guessing here.
const SEED: RowSeed = RowSeed::new([3; 32]);

/// Numbers as JSON allows them and few programs write them.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1.0e5",
    "1e400",
    "-1",
    "1E+2",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "200.0",
    "2e2",
    "-0.0e-0",
    "123456789012345678901234567890",
    "007e1",
    "1.00",
];

/// Texts that stand for absence, look like something else, or need escapes.
const TEXTS: [&str; 20] = [
    "",
    "-",
    "null",
    "a\"b\\c/d",
    "\u{e9}\u{1f600}\u{1b}[31m",
    "\u{0}\u{7f}\u{2028}",
    "0",
    "007",
    " ",
    " x ",
    "10.0.0.1:80",
    "[::1]:080",
    "2026-11-02T10:15:30.123Z",
    "2026-11-02T10:15:30.123456789+01:00",
    "UF,,URX",
    "true",
    "GET",
    "audit.k8s.io/v1",
    "{}",
    "-,-",
];

/// Keys that envelopes, lists and `attributes` use, and keys that need escapes.
const KEYS: [&str; 24] = [
    "envelope",
    "hoop.page",
    "attributes",
    "raw",
    "x",
    "",
    "a\"b",
    "\u{e9}",
    "log",
    "stream",
    "date",
    "time",
    "kubernetes",
    "message",
    "fields",
    "data",
    "items",
    "pages",
    "properties",
    "request_id",
    "verb",
    "status",
    "trace_id",
    "\u{1}",
];

/// Pseudo-random numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn text(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

/// A value that stands nowhere in the fixtures.
fn odd(random: &mut Random, depth: usize) -> Json {
    match random.below(if depth > 2 { 7 } else { 9 }) {
        0..3 => Json::Word(random.of(&NUMBERS).trim_start_matches("00").to_owned()),
        3..6 => Json::Text(text(random.of(&TEXTS))),
        6 => Json::Word(random.of(&["null", "true", "false"]).to_owned()),
        7 => Json::List((0..random.below(3)).map(|_| odd(random, depth + 1)).collect()),
        _ => Json::Object(
            (0..random.below(3))
                .map(|_| (text(random.of(&KEYS)), odd(random, depth + 1)))
                .collect(),
        ),
    }
}

/// Changes something in a value, mostly near the top.
fn change(value: &mut Json, random: &mut Random, depth: usize) {
    let deeper = depth < 5 && random.below(3) > 0;
    match value {
        Json::Object(fields) if !fields.is_empty() && deeper => {
            let at = random.below(fields.len());
            change(&mut fields[at].1, random, depth + 1);
        }
        Json::List(all) if !all.is_empty() && deeper => {
            let at = random.below(all.len());
            change(&mut all[at], random, depth + 1);
        }
        Json::Object(fields) if !fields.is_empty() && (depth == 0 || random.below(2) > 0) => {
            change_fields(fields, random);
        }
        Json::Text(text) if random.below(3) == 0 => match random.below(3) {
            0 => text.push(u32::from('.')),
            1 => text.iter_mut().for_each(|char| {
                *char = char::from_u32(*char).map_or(*char, |c| u32::from(c.to_ascii_uppercase()));
            }),
            _ => text.truncate(random.below(text.len() + 1)),
        },
        _ => *value = odd(random, 0),
    }
}

/// Changes the fields of an object: a value, a key twice, a key more or less, their order.
fn change_fields(fields: &mut Vec<(Vec<u32>, Json)>, random: &mut Random) {
    let at = random.below(fields.len());
    match random.below(7) {
        0 => fields[at].1 = odd(random, 0),
        1 => {
            let (key, value) = fields[at].clone();
            let value = if random.below(2) == 0 { value } else { odd(random, 0) };
            fields.insert(random.below(fields.len() + 1), (key, value));
        }
        2 => fields.insert(at, (text(random.of(&KEYS)), odd(random, 0))),
        3 => drop(fields.remove(at)),
        4 => {
            for place in (1..fields.len()).rev() {
                fields.swap(place, random.below(place + 1));
            }
        }
        5 => {
            let other = random.below(fields.len());
            fields[at].1 = fields[other].1.clone();
        }
        _ => {
            let value = odd(random, 0);
            let key = text(random.of(&KEYS));
            fields.push((key.clone(), value));
            let again = odd(random, 0);
            fields.push((key, again));
        }
    }
}

/// The text of a value, with white space and escapes that mean nothing here and there.
fn write(value: &Json, random: &mut Random, out: &mut String) {
    let space = |random: &mut Random, out: &mut String| {
        if random.below(24) == 0 {
            out.push_str(random.of(&[" ", "  ", "\t"]));
        }
    };
    space(random, out);
    match value {
        Json::Word(word) => out.push_str(word),
        Json::Text(text) => write_text(text, random, out),
        Json::List(all) => {
            for (index, value) in all.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write(value, random, out);
            }
            out.push_str(if all.is_empty() { "[]" } else { "]" });
        }
        Json::Object(fields) => {
            for (index, (key, value)) in fields.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                space(random, out);
                write_text(key, random, out);
                space(random, out);
                out.push(':');
                write(value, random, out);
            }
            out.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
    }
    space(random, out);
}

fn write_text(text: &[u32], random: &mut Random, out: &mut String) {
    out.push('"');
    let odd = random.below(8) == 0;
    for &code in text {
        let char = char::from_u32(code);
        let escaped = code < 0x20 || (odd && code < 0x1_0000 && random.below(6) == 0);
        match char {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('/') if odd => out.push_str("\\/"),
            Some(char) if !escaped => out.push(char),
            _ => out.push_str(&format!("\\u{code:04x}")),
        }
    }
    out.push('"');
}

/// The rows of one record, from files as an archive has them: what they give back, and whether
/// that is `raw`.
fn archived(format: SourceFormat, record: &[u8]) -> Vec<(String, bool)> {
    let id = UnitId::of_part(UnitId::STREAM_START, Sha256Digest::of(record));
    let config = SourceConfig { format, redaction: Rules::none(), ..SourceConfig::default() };
    let mut builder = DeliveryBuilder::new(config, vec![id], RECEIVED_AT_MICROS, SEED).unwrap();
    let sha256 = Sha256Digest::of(record);
    let (continues_record, cut_record) = (false, false);
    let unit = UnitBytes { bytes: record, sha256, offset_bytes: 0, continues_record, cut_record };
    builder.add_unit(unit).unwrap();
    let mut rows = Vec::new();
    for file in builder.finish().unwrap().files {
        assert_eq!(row_root(file.bytes.clone()).unwrap(), file.entry.row_root);
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let found = rebuild(&BatchRow { batch: &batch, row }).expect("it comes back");
                rows.push((found.record, found.is_raw));
            }
        }
    }
    rows
}

/// What the rows of a record give back, in memory.
fn in_memory(format: SourceFormat, record: &[u8]) -> Vec<(String, bool)> {
    let context = Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
    let mut events = Events::default();
    if Dispatcher::new().parse(format, record, &context, &mut events).is_err() {
        return Vec::new();
    }
    let found = events.all().iter().map(|event| rebuild(event).expect("it comes back"));
    found.map(|found| (found.record, found.is_raw)).collect()
}

#[test]
fn every_fixture_comes_back_from_its_archived_row() {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for fixture in fixtures() {
        let format: SourceFormat = fixture.source.parse().unwrap();
        let rows = archived(format, &fixture.record);
        // Times out of range are rejects of the pipeline.
        let memory = in_memory(format, &fixture.record);
        if !rows.is_empty() {
            let (mut a, mut b) = (rows.clone(), memory);
            a.sort();
            b.sort();
            assert_eq!(a, b, "{}", fixture.name);
        }
        checks::read(&fixture.record, format);
        let name = fixture.name.split([' ', '-']).next().unwrap().to_owned();
        let (count, raw) = counts.entry(name).or_default();
        *count += rows.len();
        *raw += rows.iter().filter(|(_, is_raw)| *is_raw).count();
    }
    for (name, (rows, raw)) in &counts {
        println!("{name}: {rows} rows, {raw} with raw");
    }
}

/// How many records are made; more with the fuzzer.
const MADE: usize = 3_000;

#[test]
fn records_made_of_fixtures_come_back() {
    #[allow(clippy::disallowed_methods, reason = "a seed to repeat a run with")]
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20_261_102);
    println!("MESHLEDGER_TEST_SEED={seed}");
    let mut random = Random(seed);
    let bases: Vec<(SourceFormat, Json)> = fixtures()
        .iter()
        .filter_map(|fixture| {
            let text = std::str::from_utf8(&fixture.record).ok()?;
            let value = json::read_in_order(text)?;
            Some((fixture.source.parse().unwrap(), value))
        })
        .collect();
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    let mut wrong = Vec::new();
    for number in 0..MADE {
        let (format, mut record) = bases[random.below(bases.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut record, &mut random, 0);
        }
        let mut text = String::new();
        write(&record, &mut random, &mut text);
        let shown = std::panic::catch_unwind(|| {
            let outcome = checks::read(text.as_bytes(), format);
            if number % 16 == 0 {
                let (mut a, mut b) =
                    (archived(format, text.as_bytes()), in_memory(format, text.as_bytes()));
                a.sort();
                b.sort();
                assert!(a.is_empty() || a == b, "{a:?} {b:?}");
            }
            outcome
        });
        let Ok(outcome) = shown else {
            wrong.push(format!("{format:?} {text}"));
            continue;
        };
        for event in outcome.events() {
            let name = Columns::text(event, f::SOURCE_FORMAT).unwrap();
            let (rows, raw) = counts.entry(name.to_owned()).or_default();
            *rows += 1;
            *raw += usize::from(event.has(f::RAW));
        }
    }
    for (name, (rows, raw)) in &counts {
        println!("{name}: {rows} rows, {raw} with raw");
    }
    assert!(wrong.is_empty(), "{} of {MADE}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts.len() >= 12, "{counts:?}");
}

#[test]
fn rows_of_one_delivery_are_those_of_each_record_alone() {
    let mut random = Random(7);
    let mut lines: Vec<Vec<u8>> = fixtures()
        .into_iter()
        .map(|fixture| fixture.record)
        .filter(|record| record.starts_with(b"{") && !record.contains(&b'\n'))
        .filter(|record| !record.windows(8).any(|word| word == b"\"stream\""))
        .collect();
    for _ in 0..3 {
        for place in (1..lines.len()).rev() {
            lines.swap(place, random.below(place + 1));
        }
        for some in lines.chunks(200) {
            checks::in_files(&some.join(&b'\n'));
        }
    }
}
