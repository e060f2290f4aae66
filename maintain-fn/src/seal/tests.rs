use std::fs;
use std::path::Path;

use archive::fault::{Fault, Lost, Then};
use archive::sample::{self, Sample, delivery, ingest, shown, unit};
use archive::{Archive, Mode};

use super::*;
use crate::kit::{NOW_MICROS, copy, findings};

async fn run(archive: &Archive) -> SealReport {
    seal(&archive.sealer(), NOW_MICROS, SealOptions::default()).await.unwrap()
}

async fn rows(archive: &Archive, mode: Mode) -> Vec<String> {
    shown(&archive.reader(), mode).await.unwrap()
}

fn waiting(folder: &Path) -> usize {
    fs::read_dir(folder.join("archive.work/inbox")).unwrap().count()
}

/// A delivery of units a (two records on different days, one reject), b, c.
fn mixed(received_at_micros: i64) -> Sample {
    let mut a = unit("a", 2, 1);
    a.times[1] += 2 * common::date::DAY_MICROS;
    delivery(&[unit("b", 1, 1), a, unit("c", 3, 0)], received_at_micros).unwrap()
}

#[tokio::test]
async fn a_seal_commits_what_waits_and_a_second_one_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    assert_eq!(
        run(&archive).await,
        SealReport { version: Some(0), is_complete: true, ..SealReport::default() }
    );
    for (name, events, rejects) in [("a", 2, 0), ("b", 1, 2), ("c", 0, 0)] {
        ingest(&archive, &delivery(&[unit(name, events, rejects)], 1).unwrap()).await.unwrap();
    }
    let fresh = rows(&archive, Mode::Fresh).await;
    let report = run(&archive).await;
    assert_eq!((report.version, report.commits, report.manifests_sealed), (Some(1), 1, 3));
    assert_eq!((report.files, report.rows, report.rejects), (2, 3, 2));
    assert!(report.is_complete);
    assert_eq!(fresh, ["a#0", "a#1", "b!0", "b!1", "b#0"]);
    assert_eq!(rows(&archive, Mode::Strict).await, fresh);
    assert_eq!(findings(&archive).await, Vec::<String>::new());
    assert_eq!((waiting(folder.path()), run(&archive).await.commits), (0, 0));
}

#[tokio::test]
async fn a_redelivered_manifest_is_dropped_without_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    ingest(&archive, &delivery(&[unit("a", 2, 0)], 1).unwrap()).await.unwrap();
    let _ = run(&archive).await;
    ingest(&archive, &delivery(&[unit("a", 2, 0)], 2).unwrap()).await.unwrap();
    let report = run(&archive).await;
    assert_eq!((report.version, report.commits, report.manifests_dropped), (Some(1), 0, 1));
    assert_eq!(rows(&archive, Mode::Fresh).await, ["a#0", "a#1"]);
    assert_eq!(waiting(folder.path()), 0);
    // Its file has other bytes, which nobody names.
    assert_eq!(findings(&archive).await, ["ORPHAN"]);
}

#[tokio::test]
async fn of_a_mixed_manifest_only_the_new_units_count_as_a_segment_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    ingest(&archive, &delivery(&[unit("c", 3, 0)], 1).unwrap()).await.unwrap();
    let _ = run(&archive).await;
    ingest(&archive, &mixed(2)).await.unwrap();
    let expected = ["a!0", "a#0", "a#1", "b!0", "b#0", "c#0", "c#1", "c#2"];
    assert_eq!(rows(&archive, Mode::Fresh).await, expected);
    let report = run(&archive).await;
    assert_eq!((report.manifests_mixed, report.files, report.rows, report.rejects), (1, 2, 3, 2));
    assert_eq!(rows(&archive, Mode::Strict).await, expected);
    assert_eq!(findings(&archive).await, Vec::<String>::new());
    let snapshot = archive.reader().snapshot(Mode::Strict).await.unwrap();
    let entries: Vec<_> = snapshot.files.iter().map(|f| (&f.entry.segment, f.entry.rows)).collect();
    let original = &mixed(2).manifest.files;
    let kept = ["b", "a"].map(sample::unit_id);
    let rewritten = common::SegmentId::of_kept_units(original[0].segment, &kept);
    // The other day holds only rows of a new unit: its file is taken as it is.
    assert_eq!(entries[1..], [(&rewritten, 2), (&original[1].segment, 1)]);
}

#[tokio::test]
async fn waiting_manifests_that_share_units_count_each_unit_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for units in [vec!["a", "b"], vec!["b", "c"], vec!["c", "a", "d"], vec!["d"]] {
        let units: Vec<_> = units.into_iter().map(|name| unit(name, 2, 1)).collect();
        ingest(&archive, &delivery(&units, 1).unwrap()).await.unwrap();
    }
    let expected =
        ["a!0", "a#0", "a#1", "b!0", "b#0", "b#1", "c!0", "c#0", "c#1", "d!0", "d#0", "d#1"];
    assert_eq!(rows(&archive, Mode::Fresh).await, expected);
    let options = SealOptions { manifests_per_commit_max: 1, ..SealOptions::default() };
    let report = seal(&archive.sealer(), NOW_MICROS, options).await.unwrap();
    assert!(report.commits >= 2 && report.rows == 8 && report.rejects == 4, "{report:?}");
    assert_eq!(rows(&archive, Mode::Strict).await, expected);
    assert!(findings(&archive).await.iter().all(|code| code == "ORPHAN"));
}

#[tokio::test]
async fn every_write_of_a_seal_may_lose_its_request_or_its_reply() {
    let made = tempfile::tempdir().unwrap();
    let archive = sample::create(made.path()).await.unwrap();
    // Fourteen commits, so that the seal's own is the fifteenth and makes a held run due.
    let names = ["c", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];
    for name in names {
        ingest(&archive, &delivery(&[unit(name, 1, 0)], 1).unwrap()).await.unwrap();
        let _ = run(&archive).await;
    }
    ingest(&archive, &mixed(2)).await.unwrap();
    ingest(&archive, &delivery(&[unit("d", 1, 0)], 2).unwrap()).await.unwrap();
    ingest(&archive, &delivery(&[unit("e", 1, 0)], 2).unwrap()).await.unwrap();
    let expected = rows(&archive, Mode::Fresh).await;
    assert_eq!(expected.len(), 14 + 6 - 3 + 3, "{expected:?}");
    let open = async |folder: &Path| {
        let options = archive::StoreOptions {
            put_pause_millis: Some(1),
            put_attempts_max: Some(3),
            ..archive::StoreOptions::default()
        };
        Archive::open(&sample::location(folder).unwrap(), &options).await.unwrap()
    };
    let writes = {
        let folder = tempfile::tempdir().unwrap();
        copy(made.path(), folder.path());
        let none = Fault::none();
        let report = run(&open(folder.path()).await.with_fault(&none)).await;
        assert_eq!((report.version, report.held_runs), (Some(15), 1));
        none.writes()
    };
    // Two manifests, a rewritten file and quarantine, the commit, three removals, the run.
    assert!(writes >= 8, "{writes}");
    for at in 0..writes {
        for lost in [Lost::Request, Lost::Reply] {
            for then in [Then::Heal, Then::Crash] {
                let place = format!("write {at} lost {lost:?} then {then:?}");
                let folder = tempfile::tempdir().unwrap();
                copy(made.path(), folder.path());
                let sound = open(folder.path()).await;
                let fault = Fault::at_write(at, lost, then);
                let faulty = sound.with_fault(&fault).sealer();
                let first = seal(&faulty, NOW_MICROS, SealOptions::default()).await;
                assert!(then == Then::Heal || first.is_err(), "{place}");
                assert_eq!(rows(&sound, Mode::Fresh).await, expected, "{place}");
                let found = findings(&sound).await;
                assert!(!found.iter().any(|code| code.starts_with('!')), "{place}: {found:?}");
                let later = NOW_MICROS + 1_000_000;
                let again = seal(&sound.sealer(), later, SealOptions::default()).await.unwrap();
                assert!(again.is_complete && again.version == Some(15), "{place}: {again:?}");
                assert_eq!(rows(&sound, Mode::Strict).await, expected, "{place}");
                assert_eq!(waiting(folder.path()), 0, "{place}");
                // The redelivered unit's file is all that nobody names.
                assert_eq!(findings(&sound).await, ["ORPHAN"], "{place}");
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_that_fails_its_checks_is_refused_and_redelivery_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let damaged = delivery(&[unit("a", 2, 0)], 1).unwrap();
    ingest(&archive, &damaged).await.unwrap();
    ingest(&archive, &delivery(&[unit("b", 1, 0)], 1).unwrap()).await.unwrap();
    let path = folder.path().join("archive").join(&damaged.files[0].0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] ^= 1;
    fs::write(&path, bytes).unwrap();
    let inbox = folder.path().join("archive.work/inbox");
    fs::write(inbox.join("readme.txt"), b"no manifest").unwrap();
    fs::write(inbox.join(format!("{}.json", "0".repeat(64))), b"{}").unwrap();
    let report = run(&archive).await;
    assert_eq!((report.manifests_sealed, report.manifests_refused.len()), (1, 3));
    assert!(report.is_complete);
    let reasons: Vec<_> = report.manifests_refused.iter().flat_map(|r| &r.reasons).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("FILE_HASH ")), "{reasons:?}");
    assert_eq!(report.manifests_refused.iter().filter(|r| r.is_moved).count(), 2);
    assert_eq!(fs::read_dir(folder.path().join("archive.work/refused")).unwrap().count(), 2);
    assert_eq!(rows(&archive, Mode::Fresh).await, ["b#0"]);
    ingest(&archive, &delivery(&[unit("a", 2, 0)], 2).unwrap()).await.unwrap();
    assert_eq!(run(&archive).await.manifests_sealed, 1);
    assert_eq!(rows(&archive, Mode::Strict).await, ["a#0", "a#1", "b#0"]);
}

#[tokio::test]
async fn a_manifest_left_by_a_crash_is_the_one_that_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let first = delivery(&[unit("a", 2, 0)], 1).unwrap();
    ingest(&archive, &first).await.unwrap();
    let bytes = Bytes::from(first.manifest.to_bytes().unwrap());
    archive.sealer().put_manifest(first.manifest.delivery, bytes).await.unwrap();
    let key = common::layout::inbox_key(first.manifest.delivery);
    archive.sealer().remove_waiting(&key).await.unwrap();
    ingest(&archive, &delivery(&[unit("a", 2, 0)], 2).unwrap()).await.unwrap();
    assert_eq!(run(&archive).await.manifests_sealed, 1);
    assert_eq!(rows(&archive, Mode::Strict).await, ["a#0", "a#1"]);
    assert_eq!(findings(&archive).await, ["ORPHAN"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sealers_that_race_seal_each_delivery_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for name in names {
        ingest(&archive, &delivery(&[unit(name, 1, 0)], 1).unwrap()).await.unwrap();
    }
    ingest(&archive, &mixed(1)).await.unwrap();
    let expected = rows(&archive, Mode::Fresh).await;
    let sealers: Vec<_> = (0..4)
        .map(|n| {
            let sealer = archive.sealer();
            tokio::spawn(async move {
                let options = SealOptions { manifests_per_commit_max: 2, ..SealOptions::default() };
                seal(&sealer, NOW_MICROS + n * 1_000_000, options).await.unwrap()
            })
        })
        .collect();
    let mut commits = 0;
    for sealer in sealers {
        commits += sealer.await.unwrap().commits;
    }
    let report = run(&archive).await;
    assert_eq!((Some(commits), report.commits, waiting(folder.path())), (report.version, 0, 0));
    assert_eq!(rows(&archive, Mode::Strict).await, expected);
    let found = findings(&archive).await;
    assert!(found.iter().all(|code| code == "ORPHAN"), "{found:?}");
}
