use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::memory::{Action, Answer, Bucket, Line, NoAnswer, Request};
use crate::sample::{self, delivery, ingest, shown, unit, unit_id};
use crate::seats::Archive;

#[tokio::test]
async fn fresh_shows_what_waits_and_strict_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let first = delivery(&[unit("a", 2, 0)], 1).unwrap();
    let second = delivery(&[unit("b", 1, 1)], 1).unwrap();
    ingest(&archive, &first).await.unwrap();
    let _ = sample::seal(&archive, &[&first]).await.unwrap();
    ingest(&archive, &second).await.unwrap();
    let reader = archive.reader();
    assert_eq!(shown(&reader, Mode::Strict).await.unwrap(), ["a#0", "a#1"]);
    assert_eq!(shown(&reader, Mode::Fresh).await.unwrap(), ["a#0", "a#1", "b!0", "b#0"]);
    let fresh = reader.snapshot(Mode::Fresh).await.unwrap();
    assert_eq!((fresh.version, fresh.unsealed_manifests, fresh.unsealed_rows), (1, 1, 1));
    let held = reader.held(&["a", "b", "c"].map(unit_id)).await.unwrap();
    assert_eq!(held, [true, true, false]);
    let _ = sample::seal(&archive, &[&second]).await.unwrap();
    let before = reader.store().usage();
    let warm = reader.snapshot_from(Some(&fresh), Mode::Fresh).await.unwrap();
    assert_eq!((warm.version, warm.unsealed_rows, warm.files.len()), (2, 0, 2));
    assert_eq!(reader.store().usage().since(&before).gets, 1, "only the new commit");
    assert_eq!(reader.held(&["b", "c"].map(unit_id)).await.unwrap(), [true, false]);
}

#[tokio::test]
async fn a_redelivered_or_overlapping_unit_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let sealed = delivery(&[unit("a", 2, 1)], 1).unwrap();
    ingest(&archive, &sealed).await.unwrap();
    let _ = sample::seal(&archive, &[&sealed]).await.unwrap();
    // The same delivery again with other bytes, and one that shares a unit with it.
    ingest(&archive, &delivery(&[unit("a", 2, 1)], 2).unwrap()).await.unwrap();
    let units = [unit("b", 1, 1), unit("a", 2, 1), unit("c", 3, 0)];
    ingest(&archive, &delivery(&units, 2).unwrap()).await.unwrap();
    let expected = ["a!0", "a#0", "a#1", "b!0", "b#0", "c#0", "c#1", "c#2"];
    assert_eq!(shown(&archive.reader(), Mode::Fresh).await.unwrap(), expected);
    let fresh = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    assert_eq!(fresh.files[1].kept_rows, Some(vec![0..1, 3..6]));
    assert_eq!((fresh.unsealed_manifests, fresh.unsealed_rows), (1, 4));
}

#[tokio::test]
async fn a_bad_object_in_the_inbox_is_reported_and_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    ingest(&archive, &delivery(&[unit("a", 1, 0)], 1).unwrap()).await.unwrap();
    let inbox = folder.path().join("archive.work/inbox");
    std::fs::write(inbox.join("readme.txt"), b"hello").unwrap();
    std::fs::write(inbox.join(format!("{}.json", "0".repeat(64))), b"{\"format\":0").unwrap();
    let fresh = archive.reader().snapshot(Mode::Fresh).await.unwrap();
    assert_eq!(fresh.unsealed_rows, 1);
    assert_eq!(fresh.unreadable_manifests.len(), 2, "{:?}", fresh.unreadable_manifests);
}

#[tokio::test]
async fn a_gap_or_a_broken_chain_is_an_error_that_names_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c"] {
        let sample = delivery(&[unit(name, 1, 0)], 1).unwrap();
        ingest(&archive, &sample).await.unwrap();
        let _ = sample::seal(&archive, &[&sample]).await.unwrap();
    }
    let commit = folder.path().join("archive/_delta_log/00000000000000000002.json");
    let bytes = std::fs::read_to_string(&commit).unwrap();
    let snapshot = async |archive: &Archive| archive.reader().snapshot(Mode::Strict).await;
    std::fs::write(&commit, bytes.replacen("1793615000000", "1793615000001", 1)).unwrap();
    let error = snapshot(&archive).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Chain { version: 3, .. }), "{error}");
    std::fs::remove_file(&commit).unwrap();
    let error = snapshot(&archive).await.unwrap_err();
    assert!(matches!(error, ArchiveError::LogGap { missing: 2, next: 3, .. }), "{error}");
    std::fs::write(&commit, bytes).unwrap();
    assert_eq!(snapshot(&archive).await.unwrap().version, 3);
}

#[tokio::test]
async fn a_place_without_an_archive_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let location = sample::location(folder.path()).unwrap();
    let error = Archive::open(&location, &crate::StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, ArchiveError::NotAnArchive { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "opening creates nothing");
}

#[tokio::test]
async fn held_units_are_found_through_runs_and_through_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let names =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    for name in names {
        let sample = delivery(&[unit(name, 1, 0)], 1).unwrap();
        ingest(&archive, &sample).await.unwrap();
        let _ = sample::seal(&archive, &[&sample]).await.unwrap();
    }
    let runs = std::fs::read_dir(folder.path().join("archive/index/held")).unwrap().count();
    assert_eq!(runs, 1, "versions 0 to 15");
    // Manifests of the run's versions are not needed any more to answer.
    for name in &names[..15] {
        let delivery = common::DeliveryId::of_units(&[unit_id(name)]);
        let key = layout::manifest_key(delivery);
        std::fs::remove_file(folder.path().join("archive").join(key)).unwrap();
    }
    let held = archive.reader().held(&names.map(unit_id)).await.unwrap();
    assert_eq!(held, [true; 18]);
    assert_eq!(archive.reader().held(&[unit_id("z")]).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_snapshot_of_an_earlier_version_leaves_out_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c"] {
        let one = delivery(&[unit(name, 1, u64::from(name == "b"))], 1).unwrap();
        ingest(&archive, &one).await.unwrap();
        let _ = sample::seal(&archive, &[&one]).await.unwrap();
    }
    ingest(&archive, &delivery(&[unit("d", 1, 0)], 1).unwrap()).await.unwrap();
    let reader = archive.reader();
    let gets = |snapshot: &Snapshot| (snapshot.version, snapshot.files.len());
    for mode in [Mode::Fresh, Mode::Strict] {
        for (version, files, rejects) in [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1)] {
            let before = reader.store().usage();
            let at = reader.snapshot_at(None, mode, version).await.unwrap();
            assert_eq!(
                (at.mode, gets(&at), at.quarantine.len()),
                (mode, (version, files), rejects)
            );
            assert_eq!((at.unsealed_manifests, at.unsealed_rows), (0, 0), "nothing of the inbox");
            // In mode strict it is asked first whether there is a ledger.
            let extra = u64::from(mode == Mode::Strict);
            let read = reader.store().usage().since(&before).gets;
            assert_eq!(read, version + 1 + extra, "no commit behind it is read");
        }
        let error = reader.snapshot_at(None, mode, 4).await.unwrap_err();
        assert!(matches!(error, ArchiveError::NoVersion { asked: 4, latest: 3, .. }), "{error}");
        let error = reader.snapshot_at(None, mode, u64::MAX).await.unwrap_err();
        assert!(matches!(error, ArchiveError::NoVersion { latest: 3, .. }), "{error}");
    }
    let latest = reader.snapshot(Mode::Fresh).await.unwrap();
    let before = reader.store().usage();
    let at = reader.snapshot_at(Some(&latest), Mode::Fresh, 2).await.unwrap();
    assert_eq!(gets(&at), (2, 2));
    assert_eq!(reader.store().usage().since(&before).requests(), 0, "all of it is known");
    // What is known of an earlier version serves for a later one.
    let at = reader.snapshot_at(Some(&at), Mode::Fresh, 3).await.unwrap();
    assert_eq!(gets(&at), (3, 3));
}

#[tokio::test]
async fn a_removed_file_is_gone_and_its_units_stay_held() {
    let bucket = Bucket::default();
    let archive = sample::create_in(&bucket).await.unwrap();
    let sealer = archive.sealer();
    let samples = ["a", "b", "c"].map(|name| delivery(&[unit(name, 1, 0)], 1).unwrap());
    for sample in &samples {
        ingest(&archive, sample).await.unwrap();
        let _ = sample::seal(&archive, &[sample]).await.unwrap();
    }
    let shows = async |names: &[&str]| {
        for mode in [Mode::Fresh, Mode::Strict] {
            assert_eq!(shown(&archive.reader(), mode).await.unwrap(), names, "{mode:?}");
        }
    };
    let path = |n: usize| samples[n].files[0].0.as_str();
    let commit = async |removes: &[&str], adds: &[FileEntry]| {
        let log = sealer.log(&Log::default()).await.unwrap();
        let bytes = sample::removing_commit(&log, removes, adds).unwrap();
        let put = sealer.put_commit(log.next_version(), bytes).await.unwrap();
        assert_eq!(put, crate::CommitPut::Won);
    };
    shows(&["a#0", "b#0", "c#0"]).await;
    commit(&[path(1)], &[]).await;
    shows(&["a#0", "c#0"]).await;
    // A file in the place of two, with the rows of one of them, to tell it from both.
    let merged = delivery(&[unit("d", 1, 0)], 1).unwrap();
    let _ = archive.writer().put_file(&merged.files[0].0, merged.files[0].1.clone()).await.unwrap();
    commit(&[path(0), path(2)], &merged.manifest.files).await;
    shows(&["d#0"]).await;
    // All of them again: held, by the manifests of the commits that sealed them.
    for sample in &samples {
        ingest(&archive, sample).await.unwrap();
    }
    shows(&["d#0"]).await;
    commit(&[&merged.files[0].0], &[]).await;
    shows(&[]).await;
}

/// Seals what waits when the first manifest is asked for, which is then gone; by then the log was
/// listed.
#[derive(Debug)]
struct Overtaken {
    bucket: Bucket,
    archive: Archive,
    samples: tokio::sync::Mutex<Vec<sample::Sample>>,
    listed: std::sync::atomic::AtomicBool,
}

impl Line for Arc<Overtaken> {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        use std::sync::atomic::Ordering::SeqCst;
        let line = Arc::clone(self);
        async move {
            if request.key.starts_with("inbox/") && matches!(request.action, Action::Get) {
                let samples = std::mem::take(&mut *line.samples.lock().await);
                if !samples.is_empty() {
                    assert!(line.listed.load(SeqCst), "the log is listed while manifests are read");
                    let samples: Vec<&sample::Sample> = samples.iter().collect();
                    let _ = sample::seal(&line.archive, &samples).await.unwrap();
                }
            }
            let is_list = matches!(request.action, Action::List { .. });
            line.listed.fetch_or(is_list && request.key == "_delta_log/", SeqCst);
            Ok(line.bucket.answer(&request))
        }
        .boxed()
    }
}

#[tokio::test]
async fn what_is_sealed_after_the_log_was_listed_and_before_it_was_read_is_not_gone() {
    let bucket = Bucket::default();
    let archive = sample::create_in(&bucket).await.unwrap();
    let samples: Vec<sample::Sample> =
        ["a", "b", "c"].map(|name| delivery(&[unit(name, 1, 0)], 1).unwrap()).into();
    for one in &samples {
        ingest(&archive, one).await.unwrap();
    }
    let samples = tokio::sync::Mutex::new(samples);
    let line = Overtaken { bucket: bucket.clone(), archive, samples, listed: false.into() };
    let overtaken = bucket.archive(Arc::new(Arc::new(line)), &crate::StoreOptions::default());
    let reader = overtaken.reader();
    let snapshot = reader.snapshot(Mode::Fresh).await.unwrap();
    assert_eq!((snapshot.version, snapshot.files.len(), snapshot.unsealed_rows), (1, 3, 0));
}
