//! An archive of ten thousand files in memory, behind a line that counts round trips.

use std::sync::Arc;

use archive::memory::{Bucket, Place, Waves};
use archive::sample;
use archive::{Archive, Mode, StoreOptions};
use common::digest::Sha256Digest;
use common::layout::{DATA_PREFIX, INBOX_PREFIX};
use maintain_fn::{Known, SealOptions, seal_again};
use query_fn::{Engine, Limits, Receipt, Request};
use tlog::note::{Algorithm, SeedSigner};
use tokio::runtime::Runtime;

use super::alone::{Counted, run};
use crate::sim::unit::{Invocation, START_MICROS, Unit, ingest};

/// Deliveries of so many days each make the files before the Delta checkpoint.
const DAYS: usize = 50;
const DELIVERIES: usize = 10_000 / DAYS;

/// Deliveries that are sealed one by one behind it, and those that wait.
const LATER: usize = 100;

/// Rows of the large file.
const LARGE_ROWS: usize = 60_000;

/// A question for one row.
pub(super) struct Needle {
    pub(super) id: String,
    /// Begin and end of the time in which it is searched, if that is known.
    pub(super) times: Option<(String, String)>,
    /// Rows that have it.
    pub(super) rows: usize,
}

/// The archive.
pub(super) struct Scene {
    bucket: Bucket,
    waves: Waves,
    runtime: Runtime,
    files: usize,
}

/// An id that is as good as random; those of a file are from one end of all ids to the other, as
/// in a file of thousands.
fn id(delivery: usize, day: usize, row: usize) -> String {
    let digest = Sha256Digest::of(format!("{delivery} {day} {row}").as_bytes()).to_hex();
    match row {
        0 => format!("0{}", &digest[..31]),
        1 => format!("f{}", &digest[..31]),
        _ => digest[..32].to_owned(),
    }
}

/// A time: each delivery has a minute of each of its days to itself.
fn time(delivery: usize, day: usize, row: usize) -> String {
    let (month, day) = (9 + day / 25, 1 + day % 25);
    let (hour, minute) = (delivery / 60, delivery % 60);
    let (second, millis) = (row / 1000 % 60, row % 1000);
    format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn unit(delivery: usize, days: usize, rows: usize) -> Unit {
    let records = (0..days).flat_map(|day| {
        (0..rows).map(move |row| (id(delivery, day, row), time(delivery, day, row)))
    });
    Unit::of(&format!("delivery {delivery}"), records)
}

impl Scene {
    pub(super) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (bucket, files) = runtime.block_on(made());
        let waves = Waves::to(&bucket);
        Self { bucket, waves, runtime, files }
    }

    /// Files that the Delta checkpoint names.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    pub(super) fn commits_behind(&self) -> usize {
        let log = self.bucket.keys(Place::Archive, "_delta_log/");
        let checkpoint = log.iter().position(|key| key.contains(".checkpoint.")).unwrap();
        log[checkpoint + 1..].iter().filter(|key| key.ends_with(".json")).count() - 1
    }

    pub(super) fn waiting(&self) -> usize {
        self.bucket.keys(Place::Work, INBOX_PREFIX).len()
    }

    fn needle(delivery: usize, day: usize, row: usize) -> Needle {
        let times = (time(delivery, day, 0), time(delivery, day, 59_999));
        Needle { id: id(delivery, day, row), times: Some(times), rows: 1 }
    }

    /// A row of the large file, of which nobody knows when it was.
    pub(super) fn large_at_any_time(&self) -> Needle {
        Needle { times: None, ..self.large() }
    }

    /// An id that no row has, between the first and the last of every file.
    pub(super) fn nowhere(&self) -> Needle {
        let digest = Sha256Digest::of(b"nowhere").to_hex();
        Needle { id: format!("7{}", &digest[..31]), times: None, rows: 0 }
    }

    /// A row of one of the ten thousand.
    pub(super) fn early(&self) -> Needle {
        Self::needle(DELIVERIES / 2, DAYS / 3, 1)
    }

    /// A row of the large file, which was sealed last.
    pub(super) fn large(&self) -> Needle {
        Self::needle(DELIVERIES + LATER - 1, 0, LARGE_ROWS / 2)
    }

    /// A row that waits.
    pub(super) fn late(&self) -> Needle {
        Self::needle(DELIVERIES + LATER + LATER / 2, 0, 0)
    }

    pub(super) fn engine(&self, mode: &str) -> Asker {
        let line = Arc::new(self.waves.clone());
        let archive: Archive = self.bucket.archive(line, &StoreOptions::default());
        let limits = Limits { threads: 2, ..Limits::default() };
        let _entered = self.runtime.enter();
        let engine = Arc::new(Engine::new(archive.reader(), limits).unwrap());
        let mode = if mode == "strict" { Mode::Strict } else { Mode::Fresh };
        Asker { engine, mode, receipt: None }
    }

    /// Asks for a needle, and what that took.
    pub(super) fn ask(&self, asker: &mut Asker, needle: &Needle) -> Vec<Counted> {
        let mut sql = format!("SELECT * FROM mesh_events WHERE request_id = '{}'", needle.id);
        if let Some((first, last)) = &needle.times {
            sql.push_str(&format!(
                " AND event_time BETWEEN '{first}' AND '{last}' AND event_date = '{}'",
                &first[..10]
            ));
        }
        let (engine, mode, rows) = (Arc::clone(&asker.engine), asker.mode, needle.rows);
        let (receipt, waves) = run(&self.runtime, &self.waves, async move {
            let mut answer = engine.query(&Request::new(sql, mode)).await.unwrap();
            let batches = answer.collect().await.unwrap();
            assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), rows);
            answer.receipt()
        });
        let requests = receipt.requests + receipt.snapshot_requests;
        let counted: usize = waves.iter().map(Counted::requests).sum();
        assert_eq!(usize::try_from(requests).unwrap(), counted, "the receipt counts all of them");
        asker.receipt = Some(receipt);
        waves
    }
}

/// An engine, and what it said of its last answer.
pub(super) struct Asker {
    engine: Arc<Engine>,
    mode: Mode,
    pub(super) receipt: Option<Receipt>,
}

async fn made() -> (Bucket, usize) {
    let bucket = Bucket::default();
    let archive = sample::create_in(&bucket).await.unwrap();
    let invocation = Invocation { now_micros: START_MICROS, drawn: 1, release: 1 };
    let name = "archive.example/mesh/sample";
    let signer = SeedSigner::new(name, Algorithm::Ed25519, [7; 32]).unwrap();
    let mut known = Known::default();
    let mut seal = async |every: u64| {
        let options = SealOptions { delta_checkpoint_every: every, ..SealOptions::default() };
        let sealer = archive.sealer();
        let now = START_MICROS + 3_600_000_000;
        seal_again(&sealer, Some(&signer), &mut known, now, options).await.unwrap()
    };
    let began = std::time::Instant::now();
    for delivery in 0..DELIVERIES {
        ingest(&archive, &[&unit(delivery, DAYS, 2)], invocation).await.unwrap();
    }
    let files = bucket.keys(Place::Archive, DATA_PREFIX).len();
    eprintln!("{files} files in {:?}", began.elapsed());
    let sealed = seal(0).await;
    eprintln!("sealed in {:?}: {:?}", began.elapsed(), sealed.version);
    let last = sealed.version.unwrap();
    for later in DELIVERIES..DELIVERIES + LATER {
        let rows = if later + 1 == DELIVERIES + LATER { LARGE_ROWS } else { 2 };
        ingest(&archive, &[&unit(later, 1, rows)], invocation).await.unwrap();
        seal(if later == DELIVERIES { last } else { 0 }).await;
    }
    eprintln!("sealed in {:?}", began.elapsed());
    for later in DELIVERIES + LATER..DELIVERIES + 2 * LATER {
        ingest(&archive, &[&unit(later, 1, 2)], invocation).await.unwrap();
    }
    eprintln!("made in {:?}", began.elapsed());
    (bucket, files)
}
