//! The stream as a reader of its lines sees it: parsed with `serde_json`, scanned slowly.

mod incidents;
mod stream;

use serde_json::Value;

use crate::{Config, Format, Generator};

const FORMATS: [Format; 3] = [Format::IstioDefault, Format::Extended, Format::Mixed];

fn small(format: Format) -> Config {
    Config { events: 20_000, format, ..Config::default() }
}

fn bytes(config: Config) -> Vec<u8> {
    let mut generator = Generator::new(config).unwrap();
    let mut out = Vec::new();
    while generator.next_line(&mut out).is_some() {}
    out
}

/// Cluster and record of every line.
fn records(config: Config) -> Vec<(usize, Value)> {
    let mut generator = Generator::new(config).unwrap();
    let (mut out, mut records) = (Vec::new(), Vec::new());
    while let Some(cluster) = generator.next_line(&mut out) {
        assert_eq!(out.pop(), Some(b'\n'));
        let record = serde_json::from_slice(&out)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&out)));
        records.push((cluster, record));
        out.clear();
    }
    records
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or("")
}
