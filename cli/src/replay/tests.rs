//! An archive on disk whose quarantine holds what was read as the wrong format.

use std::io::Cursor;

use archive::{Location, StoreOptions};
use common::commit::Genesis;

use super::*;
use crate::ingest::{Ingestor, Summary};

/// A line that Envoy writes as text.
fn line(number: usize) -> String {
    format!(
        "[2025-11-02T10:15:30.123Z] \"GET /{number} HTTP/1.1\" 200 - via_upstream - \"-\" 0 6 2 1 \
         \"-\" \"curl/8\" \"11111111-2222-4333-8444-555555555555\" \"reviews:9080\" \
         \"127.0.0.1:18080\" app 127.0.0.1:47770 127.0.0.1:18001 203.0.113.9:0 - ok-route\n"
    )
}

/// An archive with so many lines in quarantine, of as many files, and one line nobody understands.
async fn archive(folder: &tempfile::TempDir, lines: usize, files: usize) -> Archive {
    let url = folder.path().join("a").to_string_lossy().into_owned();
    let location = Location::parse(&url, None).unwrap();
    let table_id = host::doors::new_table_id().unwrap();
    let genesis = Genesis { table_id, timestamp_millis: 1_793_577_600_000, fence: true };
    let created = Archive::create(&location, &StoreOptions::default(), &genesis).await.unwrap();
    let ingestor = Ingestor::new(&created.archive, u64::MAX, Interrupt::fixed(false));
    for file in 0..files {
        let mut log: String = (0..lines).map(|number| line(file * lines + number)).collect();
        log.push_str(&format!("nonsense {file}\n"));
        let config = SourceConfig {
            format: SourceFormat::K8sAuditV1,
            cluster: Some("east".to_owned()),
            transport: "file".to_owned(),
            transport_ref: Some(format!("{file}.log")),
            redaction: Rules::default(),
        };
        let mut summary = Summary::default();
        ingestor.ingest("x", Cursor::new(log.into_bytes()), config, &mut summary).await.unwrap();
        assert_eq!(summary.rejects, lines as u64 + 1);
    }
    created.archive
}

async fn run(archive: &Archive, wanted: Wanted) -> Report {
    let (report, failed) = replay(archive, wanted, Interrupt::fixed(false)).await;
    assert!(failed.is_none(), "{failed:?}");
    report
}

async fn rows(archive: &Archive) -> u64 {
    let snapshot = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    snapshot.files.iter().map(|file| file.entry.rows).sum()
}

fn counts(understood: u64, still_not_understood: u64, already_replayed: u64) -> Counts {
    let tried = understood + still_not_understood;
    Counts { tried, understood, still_not_understood, already_replayed, pieces: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_understood_now_is_archived_once_and_the_rest_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder, 1_100, 2).await;
    let dry = run(&archive, Wanted { is_dry_run: true, ..Wanted::default() }).await;
    assert_eq!((dry.all, dry.events, dry.deliveries), (counts(2_200, 2, 0), 2_200, 0));
    assert_eq!(rows(&archive).await, 0);
    let first = run(&archive, Wanted::default()).await;
    // Each file has a source of its own, and a delivery at most 1,000 units.
    assert_eq!((first.all, first.events, first.deliveries), (counts(2_200, 2, 0), 2_200, 4));
    assert!(first.stored_bytes > 0);
    assert_eq!(rows(&archive).await, 2_200);
    let again = run(&archive, Wanted::default()).await;
    assert_eq!((again.all, again.events, again.deliveries), (counts(0, 2, 2_200), 0, 0));
    let _ = maintain_fn::seal(
        &archive.sealer(),
        host::doors::now_micros().unwrap(),
        maintain_fn::SealOptions::default(),
    )
    .await
    .unwrap();
    let sealed = run(&archive, Wanted::default()).await;
    assert_eq!((sealed.all, sealed.deliveries), (counts(0, 2, 2_200), 0));
    assert_eq!(rows(&archive).await, 2_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_at_the_same_time_add_each_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder, 300, 3).await;
    let replays = (0..4).map(|_| run(&archive, Wanted::default()));
    let reports = futures::future::join_all(replays).await;
    let understood: u64 = reports.iter().map(|report| report.all.understood).sum();
    assert_eq!(understood, 900, "{reports:?}");
    assert_eq!(rows(&archive).await, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_wanted_is_tried_and_an_interrupted_run_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder, 10, 1).await;
    let (report, failed) = replay(&archive, Wanted::default(), Interrupt::fixed(true)).await;
    assert!(report.interrupted && failed.is_none());
    assert_eq!(report.all, Counts::default());
    let other = Wanted { reason: Some("not_utf8".to_owned()), ..Wanted::default() };
    assert_eq!(run(&archive, other).await.all, Counts::default());
    let wrong = Wanted { format: Some(SourceFormat::K8sAuditV1), ..Wanted::default() };
    assert_eq!(run(&archive, wrong).await.all, counts(0, 11, 0));
    let right = Wanted { format: Some(SourceFormat::EnvoyText), ..Wanted::default() };
    assert_eq!(run(&archive, right).await.all, counts(10, 1, 0));
}
