//! The units of a simulation, and how a function makes a delivery of them: the real pipeline.

use std::collections::BTreeMap;
use std::sync::Mutex;

use archive::Archive;
use common::digest::Sha256Digest;
use common::ids::UnitId;
use common::row::RowSeed;
use ingest_fn::IngestError;
use ingest_fn::pipeline::{Delivery, DeliveryBuilder, SourceConfig, UnitBytes, store};
use meshledger_tests::records;

/// 2026-11-02T10:15:31Z, in microseconds: a day after it all records were made.
pub(crate) const START_MICROS: i64 = 1_793_614_531_000_000;

/// What a transport never splits, with the names of its records: `u3#0` is an event, found again
/// by its `request_id`; `u3!0` is a line that nothing understands.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) id: UnitId,
    pub(crate) records: Vec<String>,
    text: String,
}

impl Unit {
    /// A unit with these records, each an id and a time.
    pub(crate) fn of(name: &str, records: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut ids, mut text) = (Vec::new(), String::new());
        for (id, time) in records {
            text.push_str(&(records::at(&id, &time) + "\n"));
            ids.push(id);
        }
        Self { id: UnitId(Sha256Digest::of(name.as_bytes())), records: ids, text }
    }

    /// A unit with an event at each of these times, and so many rejects.
    pub(crate) fn new(name: &str, times: &[&str], rejects: usize) -> Self {
        let mut records: Vec<String> = (0..times.len()).map(|n| format!("{name}#{n}")).collect();
        let mut text: String =
            records.iter().zip(times).map(|(id, time)| records::at(id, time) + "\n").collect();
        for n in 0..rejects {
            let reject = format!("{name}!{n}");
            text.push_str(&format!("{reject}\n"));
            records.push(reject);
        }
        Self { id: UnitId(Sha256Digest::of(name.as_bytes())), records, text }
    }
}

/// What may differ from one invocation to the next although the units are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Invocation {
    /// When it began; the time is part of every row.
    pub(crate) now_micros: i64,
    /// What it drew for its row keys.
    pub(crate) drawn: u64,
    /// The release of the function: another one makes other columns.
    pub(crate) release: usize,
}

/// Deliveries that were made before, by what decides every byte of them: making one takes
/// milliseconds, and thousands of seeds ask for the same ones.
static MADE: Mutex<BTreeMap<(Vec<String>, Invocation), Delivery>> = Mutex::new(BTreeMap::new());

/// Deliveries that are remembered, some ten kilobytes each.
const MADE_MAX: usize = 4_000;

/// Makes a delivery of units, as a function does.
fn delivery(units: &[&Unit], invocation: Invocation) -> Result<Delivery, IngestError> {
    let texts = units.iter().map(|unit| unit.text.clone()).collect();
    let key: (Vec<String>, Invocation) = (texts, invocation);
    if let Some(made) = MADE.lock().unwrap().get(&key) {
        return Ok(again(made));
    }
    let delivery = make(units, invocation)?;
    let mut made = MADE.lock().unwrap();
    if made.len() < MADE_MAX {
        made.insert(key, again(&delivery));
    }
    Ok(delivery)
}

/// The same delivery; its examples of rejects are for reports, and nobody asks for one here.
fn again(made: &Delivery) -> Delivery {
    Delivery {
        manifest: made.manifest.clone(),
        files: made.files.clone(),
        quarantine: made.quarantine.clone(),
        reject_examples: Vec::new(),
    }
}

fn make(units: &[&Unit], invocation: Invocation) -> Result<Delivery, IngestError> {
    let config = SourceConfig {
        transport: "kinesis".to_owned(),
        transport_ref: Some(format!("release {}", invocation.release)),
        ..SourceConfig::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&invocation.drawn.to_be_bytes());
    let ids = units.iter().map(|unit| unit.id).collect();
    let mut builder = DeliveryBuilder::new(config, ids, invocation.now_micros, RowSeed::new(seed))?;
    for unit in units {
        let bytes = unit.text.as_bytes();
        let sha256 = Sha256Digest::of(bytes);
        let unit = UnitBytes {
            bytes,
            sha256,
            offset_bytes: 0,
            continues_record: false,
            cut_record: false,
        };
        let _ = builder.add_unit(unit)?;
    }
    builder.finish()
}

/// What a function does with a delivery: builds it and stores it. When this is `Ok` the delivery
/// is acknowledged.
pub(crate) async fn ingest(
    archive: &Archive,
    units: &[&Unit],
    invocation: Invocation,
) -> Result<(), IngestError> {
    let delivery = delivery(units, invocation)?;
    store(delivery, &archive.writer()).await.map(|_| ())
}
