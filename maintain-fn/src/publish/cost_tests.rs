//! What a seal asks of the store, counted exactly: `bench/RESULTS.md` shows the same figures.

use std::fs;
use std::path::Path;

use archive::sample;
use archive::{Archive, Usage};
use common::commit::{CommitNote, Operation, seal_bytes};
use common::layout;
use tlog::tile::{Of, Tile, WIDTH};

use super::*;
use crate::kit::{NOW_MICROS, deliver, key, open, place};
use crate::{SealOptions, SealReport, seal_again};

async fn run(archive: &Archive, known: &mut Known, delta_checkpoint_every: u64) -> SealReport {
    let key = key();
    let options = SealOptions { delta_checkpoint_every, ..SealOptions::default() };
    seal_again(&archive.sealer(), Some(&key), known, NOW_MICROS, options).await.unwrap()
}

/// A log of so many commits, the last five of them with a delivery each, the others empty; all of
/// it signed, and every run of the held index there.
async fn log_of(folder: &Path, commits: u64) {
    let archive = sample::create(folder).await.unwrap();
    let path = |version| folder.join("archive").join(layout::commit_key(version));
    let mut previous = Sha256Digest::of(&fs::read(path(0)).unwrap());
    for version in 1..commits.saturating_sub(5) {
        let note = CommitNote {
            format: common::FORMAT,
            operation: Operation::Seal,
            version,
            previous_sha256: Some(previous),
            delta_checkpoint: None,
            refused: None,
            manifests: Vec::new(),
        };
        let bytes = seal_bytes(1, &note, &[]);
        previous = Sha256Digest::of(&bytes);
        fs::write(path(version), bytes).unwrap();
    }
    let mut known = Known::default();
    while run(&archive, &mut known, 0).await.held_runs > 0 {}
    while known.log.next_version() < commits {
        deliver(&archive, format!("last {}", known.log.next_version()).leak()).await;
        let _ = run(&archive, &mut known, 0).await;
    }
}

fn usage(archive: &Archive) -> Usage {
    let reader = archive.reader();
    let (a, b) = (reader.store().usage(), reader.work().usage());
    Usage {
        gets: a.gets + b.gets,
        heads: a.heads + b.heads,
        lists: a.lists + b.lists,
        puts: a.puts + b.puts,
        deletes: a.deletes + b.deletes,
        ..Usage::default()
    }
}

/// Seals deliveries and returns gets, lists, puts and deletes.
async fn cost(folder: &Path, known: &mut Known, waiting: u64) -> [u64; 4] {
    cost_with(folder, known, waiting, 0).await
}

async fn cost_with(folder: &Path, known: &mut Known, waiting: u64, every: u64) -> [u64; 4] {
    let archive = open(folder).await;
    let next = known.log.next_version();
    for number in 0..waiting {
        deliver(&archive, format!("{next} {waiting} {every} {number}").leak()).await;
    }
    let before = usage(&archive);
    let report = run(&archive, known, every).await;
    assert_eq!((report.manifests_sealed, report.checkpoints), (waiting, 1));
    let used = usage(&archive).since(&before);
    assert_eq!(used.heads, 0);
    [used.gets, used.lists, used.puts, used.deletes]
}

#[tokio::test]
async fn a_seal_costs_five_requests_a_delivery_and_fourteen_more() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 5).await;
    let mut known = Known::default();
    let _ = run(&open(folder.path()).await, &mut known, 0).await;
    for waiting in [1, 10, 100, 1_000] {
        let [gets, lists, puts, deletes] = cost(folder.path(), &mut known, waiting).await;
        // A delivery of one file: its manifest, the file's bytes and footer; the manifest kept;
        // its inbox entry. Besides: checkpoint, its lock, the commit as it is stored; inbox (at
        // the end once more), signatures, locks, log; commit, lock, tile, bundle, signature,
        // checkpoint.
        assert_eq!([gets, lists, puts, deletes], [3 * waiting + 3, 5, waiting + 6, waiting]);
    }
}

#[tokio::test]
async fn a_long_log_costs_a_process_that_goes_on_nothing_and_a_new_one_some_dozens_of_requests() {
    // What a new process asks beyond one that goes on. Reads: the tiles at the edge and the bundle;
    // at 300 and 5,000 commits the runs of held units; the commits since the last run, and their
    // manifests. Lists: the runs, and once more to see whether one is due.
    for (commits, more) in [(5, [11, 1, 0, 0]), (300, [23, 2, 0, 0]), (5_000, [28, 2, 0, 0])] {
        let folder = tempfile::tempdir().unwrap();
        log_of(folder.path(), commits).await;
        let mut known = Known::default();
        let cold = cost(folder.path(), &mut known, 1).await;
        let warm = cost(folder.path(), &mut known, 1).await;
        eprintln!("{commits} commits: cold {cold:?}, warm {warm:?}");
        assert_eq!(warm, [6, 5, 7, 1], "{commits}");
        let beyond: Vec<u64> = cold.iter().zip(warm).map(|(cold, warm)| cold - warm).collect();
        assert_eq!(beyond, more, "{commits}");
    }
}

#[tokio::test]
async fn a_delta_checkpoint_costs_a_read_of_every_commit_once() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 345).await;
    let mut known = Known::default();
    // The one of version 300, which a commit has to name, and the commits behind it, in case one
    // does.
    let first = cost_with(folder.path(), &mut known, 1, 100).await;
    let warm = cost_with(folder.path(), &mut known, 2, 100).await;
    let cold = cost_with(folder.path(), &mut Known::default(), 3, 100).await;
    eprintln!("first {first:?}, warm {warm:?}, cold {cold:?}");
    assert!((301..400).contains(&first[0]), "{first:?}");
    assert_eq!(warm, [9, 5, 8, 2]);
    assert!(cold[0] < 50, "{cold:?}");
}

#[tokio::test]
async fn a_witness_gets_its_proof_from_a_few_tiles() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 300).await;
    let archive = open(folder.path()).await;
    let sealer = archive.sealer();
    let there = sealer.checkpoint().await.unwrap().unwrap();
    let head = Checkpoint::parse(&Note::parse(&there.bytes).unwrap().text).unwrap();
    let tree = sealer.log(&Log::default()).await.unwrap().tree();
    for old in [1, 2, 100, 255, 256, 257, 299, 300] {
        let before = usage(&archive);
        let proof = sealer.consistency(old, &head).await.unwrap().unwrap();
        assert_eq!(proof, tree.prove_consistency(old, head.size).unwrap(), "{old}");
        assert!(usage(&archive).since(&before).requests() <= 4, "{old}");
    }
    assert!(sealer.consistency(301, &head).await.unwrap().is_err());
    let full = layout::tile_key(Tile { of: Of::Hashes(0), index: 0, width: WIDTH });
    fs::write(place(folder.path(), &full), vec![7; 32 * 256]).unwrap();
    let damage = sealer.consistency(100, &head).await.unwrap().unwrap_err();
    assert!(damage.contains("tile"), "{damage}");
}
