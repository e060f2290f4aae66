use std::fs;
use std::path::Path;

use archive::fault::{Fault, Lost, Then};
use archive::sample::{self, Sample, delivery, ingest, shown, unit};
use archive::{Archive, Mode};
use common::commit::{ManifestRef, seal_bytes};

use super::*;
use crate::kit::{NOW_MICROS, copy, deliver, files, findings, key, open};
use crate::publish::tests::{NoKey, judge, run};

fn commit_path(folder: &Path, version: u64) -> std::path::PathBuf {
    folder.join("archive").join(layout::commit_key(version))
}

fn digest(folder: &Path, version: u64) -> Sha256Digest {
    Sha256Digest::of(&fs::read(commit_path(folder, version)).unwrap())
}

async fn repair(
    archive: &Archive,
    version: u64,
    refused: Sha256Digest,
) -> Result<RepairReport, SealError> {
    repair_commit(&archive.sealer(), &key(), (version, refused), NOW_MICROS).await
}

/// Commits a delivery as a sealer with wrong words does: without its files.
async fn commit_wrongly(archive: &Archive, sample: &Sample) {
    let sealer = archive.sealer();
    let log = sealer.log(&Log::default()).await.unwrap();
    let bytes = Bytes::from(sample.manifest.to_bytes().unwrap());
    let stored = sealer.put_manifest(sample.manifest.delivery, bytes).await.unwrap();
    let note = CommitNote {
        format: common::FORMAT,
        operation: Operation::Seal,
        version: log.next_version(),
        previous_sha256: log.commits().last().map(|last| last.sha256),
        delta_checkpoint: None,
        refused: None,
        manifests: vec![ManifestRef {
            delivery: sample.manifest.delivery,
            sha256: Sha256Digest::of(&stored),
            bytes: stored.len() as u64,
            units_kept: None,
            quarantine: Vec::new(),
        }],
    };
    let bytes = Bytes::from(seal_bytes(1, &note, &[]));
    let _ = sealer.put_commit(note.version, bytes).await.unwrap();
    sealer.remove_waiting(&layout::inbox_key(sample.manifest.delivery)).await.unwrap();
}

/// Versions 1 and 2 are signed; version 3 lacks the rows of its delivery, version 4 is sound but
/// for what it continues, and version 5 waits.
async fn wrong(folder: &Path) {
    let archive = sample::create(folder).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    let (c, d) =
        (delivery(&[unit("c", 2, 0)], 1).unwrap(), delivery(&[unit("d", 1, 0)], 1).unwrap());
    for sample in [&c, &d] {
        ingest(&archive, sample).await.unwrap();
    }
    commit_wrongly(&archive, &c).await;
    let _ = sample::seal(&archive, &[&d]).await.unwrap();
    deliver(&archive, "e").await;
    let error = run(&archive, &key()).await.unwrap_err();
    assert!(matches!(&error, SealError::Unsigned { version: 3, .. }), "{error}");
}

/// Whatever happened: one history without a gap, all of it signed, each row once.
async fn ends_well(folder: &Path, place: &str) {
    let archive = open(folder).await;
    let _ = run(&archive, &key()).await.unwrap();
    assert_eq!(judge(folder), 6, "{place}");
    let rows = shown(&archive.reader(), Mode::Strict).await.unwrap();
    assert_eq!(rows, ["a#0", "b#0", "c#0", "c#1", "d#0", "e#0"], "{place}");
    assert_eq!(findings(&archive).await, Vec::<String>::new(), "{place}");
    assert_eq!(files(&folder.join("archive.work/inbox")).len(), 0, "{place}");
}

#[tokio::test]
async fn a_commit_that_does_not_rederive_gives_way_when_named_and_its_deliveries_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    wrong(folder).await;
    let archive = open(folder).await;
    let (third, fourth) = (digest(folder, 3), digest(folder, 4));
    let before = fs::read(commit_path(folder, 3)).unwrap();
    for (version, named, expected) in [
        (3, fourth, "expected SHA-256"),
        (2, digest(folder, 2), "no signature and no lock"),
        (4, fourth, "version 3 is not signed"),
        (5, third, "version 3 is not signed"),
    ] {
        let error = repair(&archive, version, named).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{version}: {error}");
    }
    assert_eq!(digest(folder, 3), third, "nothing was changed");
    let report = repair(&archive, 3, third).await.unwrap();
    assert_eq!(report.commits_refused, [format!("3:{third}"), format!("4:{fourth}")]);
    assert_eq!((report.deliveries_waiting, report.deliveries_lost.len()), (2, 0));
    let evidence = layout::refused_commit_key(3, third);
    assert_eq!(fs::read(folder.join("archive.work").join(evidence)).unwrap(), before);
    ends_well(folder, "repaired").await;
    let error = repair(&archive, 3, third).await.unwrap_err();
    assert!(error.to_string().contains("no signature and no lock"), "{error}");
}

#[tokio::test]
async fn every_write_of_a_repair_may_lose_its_request_or_its_reply_or_be_the_last() {
    let made = tempfile::tempdir().unwrap();
    wrong(made.path()).await;
    let named = digest(made.path(), 3);
    // For each of two commits: evidence, a delivery that waits, the commit.
    for at in 0..6 {
        for lost in [Lost::Request, Lost::Reply] {
            for then in [Then::Heal, Then::Crash] {
                let place = format!("write {at} lost {lost:?} then {then:?}");
                let folder = tempfile::tempdir().unwrap();
                copy(made.path(), folder.path());
                let sound = open(folder.path()).await;
                let fault = Fault::at_write(at, lost, then);
                let first = repair(&sound.with_fault(&fault), 3, named).await;
                assert_eq!(first.is_err(), then == Then::Crash, "{place}");
                let _ = repair(&sound, 3, named).await.unwrap();
                ends_well(folder.path(), &place).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_repair_at_once_one_replaces_each_commit() {
    let made = tempfile::tempdir().unwrap();
    wrong(made.path()).await;
    let named = digest(made.path(), 3);
    for round in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        copy(made.path(), folder.path());
        let racing: Vec<_> = (0..4)
            .map(|n| {
                let folder = folder.path().to_owned();
                tokio::spawn(async move {
                    let sealer = open(&folder).await.sealer();
                    let now_micros = NOW_MICROS + n * 1_000_000;
                    repair_commit(&sealer, &key(), (3, named), now_micros).await
                })
            })
            .collect();
        let mut refused = Vec::new();
        for one in racing {
            refused.extend(one.await.unwrap().unwrap().commits_refused);
        }
        assert_eq!(refused.len(), 2, "round {round}: {refused:?}");
        ends_well(folder.path(), &format!("round {round}")).await;
    }
}

#[tokio::test]
async fn a_commit_that_is_none_gives_way_and_what_no_other_names_waits_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let archive = sample::create(folder).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    let c = delivery(&[unit("c", 2, 0)], 1).unwrap();
    ingest(&archive, &c).await.unwrap();
    commit_wrongly(&archive, &c).await;
    fs::write(commit_path(folder, 3), b"{\"add\":{}}\n").unwrap();
    assert!(run(&archive, &key()).await.is_err());
    let report = repair(&archive, 3, digest(folder, 3)).await.unwrap();
    assert_eq!(report.deliveries_waiting, 1);
    for name in ["d", "e"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    ends_well(folder, "no commit").await;
}

#[tokio::test]
async fn what_is_sound_or_locked_or_in_the_held_index_is_not_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let archive = sample::create(folder).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    // Sound: committed by a sealer that signs nothing.
    let a = delivery(&[unit("a", 1, 0)], 1).unwrap();
    ingest(&archive, &a).await.unwrap();
    let _ = sample::seal(&archive, &[&a]).await.unwrap();
    let error = repair(&archive, 1, digest(folder, 1)).await.unwrap_err();
    assert!(error.to_string().contains("signed by the next seal"), "{error}");
    // Locked, by a sealer whose key failed.
    assert!(run(&archive, &NoKey(key())).await.is_err());
    let error = repair(&archive, 1, digest(folder, 1)).await.unwrap_err();
    assert!(error.to_string().contains("/lock/"), "{error}");
    let _ = run(&archive, &key()).await.unwrap();
    let b = delivery(&[unit("b", 1, 0)], 1).unwrap();
    ingest(&archive, &b).await.unwrap();
    commit_wrongly(&archive, &b).await;
    let run_key = layout::held_key(0, 15, Sha256Digest::of(b""));
    let path = folder.join("archive").join(run_key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"").unwrap();
    let error = repair(&archive, 2, digest(folder, 2)).await.unwrap_err();
    assert!(error.to_string().contains("delete it first"), "{error}");
    fs::remove_file(path).unwrap();
    assert_eq!(repair(&archive, 2, digest(folder, 2)).await.unwrap().commits_refused.len(), 1);
}

#[tokio::test]
async fn tiles_that_are_missing_are_computed_again_and_damaged_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let archive = sample::create(folder).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    let (sealer, key) = (archive.sealer(), key());
    let sound = repair_ledger(&sealer, &key).await.unwrap();
    assert_eq!(sound, RepairReport::default());
    let tiles = files(&folder.join("archive/_ledger/tile"));
    assert_eq!(tiles.len(), 6, "a tile and a bundle of each size: {tiles:?}");
    let lock = folder.join("archive.work").join(layout::lock_key(3));
    let locked = fs::read(&lock).unwrap();
    for tile in tiles.iter().chain([&lock]) {
        fs::remove_file(tile).unwrap();
    }
    let report = repair_ledger(&sealer, &key).await.unwrap();
    assert_eq!((report.tiles_written.len(), report.is_lock_written), (6, true));
    assert_eq!((fs::read(&lock).unwrap(), judge(folder)), (locked, 3));
    // A bit flipped: it stays as it is, and is named, until its owner deletes it.
    let good = fs::read(&tiles[0]).unwrap();
    let mut bad = good.clone();
    bad[9] ^= 1;
    fs::write(&tiles[0], &bad).unwrap();
    let report = repair_ledger(&sealer, &key).await.unwrap();
    assert_eq!((report.tiles_written.len(), report.tiles_damaged.len()), (0, 1));
    assert_eq!(fs::read(&tiles[0]).unwrap(), bad);
    fs::remove_file(&tiles[0]).unwrap();
    assert_eq!(repair_ledger(&sealer, &key).await.unwrap().tiles_written.len(), 1);
    assert_eq!(fs::read(&tiles[0]).unwrap(), good);
    // Commits that do not give the signed root give no tiles.
    fs::remove_file(&tiles[0]).unwrap();
    let last = commit_path(folder, 2);
    let text = fs::read_to_string(&last).unwrap();
    fs::write(&last, text.replacen("\"timestamp\":", "\"timestamp\": ", 1)).unwrap();
    let error = repair_ledger(&sealer, &key).await.unwrap_err();
    assert_eq!(error.remedy(), archive::Remedy::Alarm, "{error}");
    assert!(!tiles[0].exists());
}
