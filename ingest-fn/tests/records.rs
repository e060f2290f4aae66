//! Records through the public doors: rows that come back, inputs that were once found, and what
//! hostile records cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

#[path = "../../fuzz/src/checks.rs"]
mod checks;
#[path = "records/come_back.rs"]
mod come_back;
#[path = "records/hostile.rs"]
mod hostile;
#[path = "../../fuzz/src/json.rs"]
mod json;

use std::io::Read;

use serde_json::{Map, Value};

/// A record of the fixtures.
struct Fixture {
    /// Where it stands, for messages.
    name: String,
    /// The source it is configured to come from.
    source: String,
    record: Vec<u8>,
}

const FOLDERS: [&str; 8] =
    ["envoy_text", "otlp", "shippers", "ztunnel", "linkerd", "kubernetes", "consul", "hoop"];

const ENVOY_FILES: [&str; 7] = [
    "captured-default",
    "captured-extended",
    "captured-omit",
    "captured2-default",
    "captured2-extended",
    "captured2-full",
    "written-edges",
];

/// Every record of the fixtures.
fn fixtures() -> Vec<Fixture> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
    let mut all = Vec::new();
    for file in ENVOY_FILES {
        let text = std::fs::read_to_string(format!("{data}/envoy/{file}.jsonl")).unwrap();
        all.extend((1..).zip(text.lines()).map(|(number, line)| Fixture {
            name: format!("{file} {number}"),
            source: "auto".to_owned(),
            record: line.as_bytes().to_vec(),
        }));
    }
    for folder in FOLDERS {
        let text = std::fs::read_to_string(format!("{data}/{folder}/cases.jsonl")).unwrap();
        for line in text.lines() {
            let case: Map<String, Value> = serde_json::from_str(line).unwrap();
            let field = |name: &str| case.get(name).and_then(Value::as_str).map(str::to_owned);
            all.push(Fixture {
                name: field("id").unwrap(),
                source: field("source").unwrap(),
                record: match field("record") {
                    Some(text) => text.into_bytes(),
                    None => base64(&field("record_base64").unwrap()),
                },
            });
        }
    }
    all
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let digit = DIGITS.iter().position(|&known| known == byte).unwrap();
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

/// Inputs the fuzzer found, packed by `fuzz/fuzz.py`: each behind its length in four bytes.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/../fuzz/corpora/{target}.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, mut reader) = ingest_fn::decompress::open(file).unwrap();
    let mut packed = Vec::new();
    reader.read_to_end(&mut packed).unwrap();
    let mut inputs = Vec::new();
    let mut rest = &packed[..];
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (input, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        rest = behind;
    }
    inputs
}

#[test]
fn what_the_fuzzer_found_stays_found() {
    let threads = checks::TARGETS.map(|(name, check)| {
        std::thread::spawn(move || {
            let inputs = kept(name);
            assert!(inputs.len() > 20, "{name} has {} inputs", inputs.len());
            inputs.iter().for_each(|input| check(input));
            println!("{name}: {} inputs", inputs.len());
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
