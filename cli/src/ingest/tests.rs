//! Inputs into an archive on disk: twice, broken, bounded, interrupted.

use std::collections::BTreeSet;
use std::io::Write;

use archive::{Archive, Location, Mode, StoreOptions};
use common::commit::Genesis;
use common::limits::PART_BYTES_MAX;
use flate2::Compression;
use flate2::write::GzEncoder;
use query_fn::rows::{Destination, Format as Rows};
use query_fn::{Limits, Request};
use traffic::{Config, Generator};

use super::*;
use crate::query;

const EVENTS: u64 = 2_000;

fn log() -> Vec<u8> {
    log_of(EVENTS)
}

fn log_of(events: u64) -> Vec<u8> {
    let mut generator = Generator::new(Config { events, ..Config::default() }).unwrap();
    let mut log = Vec::new();
    while generator.next_line(&mut log).is_some() {}
    log
}

fn gzipped(log: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(log).unwrap();
    encoder.finish().unwrap()
}

async fn archive(folder: &tempfile::TempDir) -> Archive {
    let url = folder.path().join("a").to_string_lossy().into_owned();
    let location = Location::parse(&url, None).unwrap();
    let table_id = host::doors::new_table_id().unwrap();
    let genesis = Genesis { table_id, timestamp_millis: 1_793_577_600_000, fence: true };
    Archive::create(&location, &StoreOptions::default(), &genesis).await.unwrap().archive
}

async fn ingest(ingestor: &Ingestor, input: Vec<u8>) -> Summary {
    let mut summary = Summary::default();
    let config = SourceConfig { transport: "file".to_owned(), ..SourceConfig::default() };
    ingestor.ingest("x.log", std::io::Cursor::new(input), config, &mut summary).await.unwrap();
    summary
}

async fn rows(archive: &Archive) -> u64 {
    let snapshot = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    snapshot.files.iter().map(|file| file.entry.rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_input_again_adds_nothing_however_it_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let first = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false));
    let summary = ingest(&first, log()).await;
    assert_eq!((summary.events, summary.units, summary.units_already_held), (EVENTS, 1, 0));
    assert!(summary.stored_bytes > 0 && summary.errors.is_empty());
    let later = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false));
    for (ingestor, input) in [(&first, log()), (&later, gzipped(&log()))] {
        let again = ingest(ingestor, input).await;
        assert_eq!((again.events, again.units, again.units_already_held), (0, 0, 1));
    }
    assert_eq!(rows(&archive).await, EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_repeats_its_last_part_alone() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let whole = log_of(30_000);
    let newline = |at: usize| whole[..at].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    // Two full parts and a short one; grown, the third is full and a fourth begins.
    let before = &whole[..newline(PART_BYTES_MAX * 5 / 2)];
    assert!(whole.len() > PART_BYTES_MAX * 3 && whole.len() < PART_BYTES_MAX * 4);
    let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let first =
        ingest(&Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false)), before.to_vec()).await;
    assert_eq!((first.units, first.units_already_held, first.events), (3, 0, lines(before)));
    // All parts are one delivery: one file a date.
    let snapshot = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    let dates: BTreeSet<_> = snapshot.files.iter().map(|file| file.entry.event_date).collect();
    assert_eq!(snapshot.files.len(), dates.len());
    let grown =
        ingest(&Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false)), whole.clone()).await;
    let second_cut = newline(newline(PART_BYTES_MAX) + PART_BYTES_MAX);
    let repeated = lines(&whole[second_cut..]);
    assert_eq!((grown.units, grown.units_already_held, grown.events), (2, 2, repeated));
    assert_eq!(rows(&archive).await, first.events + grown.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decodes_before_an_error_is_archived_and_the_error_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let ingestor = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false));
    let mut broken = gzipped(&log());
    broken.truncate(broken.len() / 2);
    let summary = ingest(&ingestor, broken).await;
    assert!(summary.events > 100 && summary.events < EVENTS, "{}", summary.events);
    assert_eq!(summary.rejects, 0);
    assert_eq!(summary.errors.len(), 1);
    assert!(!summary.errors[0].is_limit);
    assert!(summary.errors[0].message.contains("archived up to byte"));
    assert_eq!(rows(&archive).await, summary.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_ends_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let ingestor = Ingestor::new(&archive, 1_000_000, Interrupt::fixed(false));
    let summary = ingest(&ingestor, gzipped(&log())).await;
    assert!(summary.events > 100 && summary.events < EVENTS, "{}", summary.events);
    assert_eq!(summary.errors.len(), 1);
    assert!(summary.errors[0].is_limit, "{}", summary.errors[0].message);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_leaves_what_the_next_one_completes() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let interrupted = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(true));
    let summary = ingest(&interrupted, log()).await;
    assert!(summary.interrupted);
    let whole = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false));
    ingest(&whole, log()).await;
    assert_eq!(rows(&archive).await, EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let ingestor = Ingestor::new(&archive, u64::MAX, Interrupt::fixed(false));
    ingest(&ingestor, log()).await;
    let snapshot = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    let file = folder.path().join("a").join(&snapshot.files[0].entry.path);
    let elsewhere = folder.path().join("elsewhere.parquet");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let engine = query::engine(&archive, Limits::default()).unwrap();
    let sql = "SELECT count(DISTINCT request_id) FROM mesh_events".to_owned();
    let mut answer = Vec::new();
    let request = Request::new(sql, Mode::Fresh);
    let failure = query::answer(&engine, &request, Rows::Csv, Destination::Program, &mut answer)
        .await
        .unwrap_err();
    assert!(failure.message().contains("symbolic link"), "{failure}");
}
