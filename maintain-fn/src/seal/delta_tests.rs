//! Delta checkpoints, as seals write them and vouch for them.

use std::fs;
use std::path::{Path, PathBuf};

use archive::Archive;
use archive::fault::{Fault, Lost, Then};
use archive::sample::{self, NOON_MICROS, delivery, ingest, unit};
use archive::verify::{Code, VerifyOptions, VerifyReport, verify};
use common::commit::{Commit, DeltaCheckpointRef};
use common::layout::{LAST_CHECKPOINT_KEY, commit_key, delta_checkpoint_key};
use common::ledger::Entry;
use tlog::policy::Policy;

use super::*;
use crate::kit::{copy, key, open, place};

/// A Delta checkpoint every second version.
fn options() -> SealOptions {
    SealOptions { delta_checkpoint_every: 2, ..SealOptions::default() }
}

async fn run(archive: &Archive) -> Result<SealReport, SealError> {
    seal_signed(&archive.sealer(), &key(), NOON_MICROS, options()).await
}

async fn deliver(archive: &Archive, name: &'static str, rejects: u64) {
    ingest(archive, &delivery(&[unit(name, 2, rejects)], 1).unwrap()).await.unwrap();
}

/// An archive whose next commit is version `commits` + 1.
async fn sealed(folder: &Path, commits: usize) -> Archive {
    let archive = sample::create(folder).await.unwrap();
    for (n, name) in ["a", "b", "c", "d", "e", "f"].into_iter().take(commits).enumerate() {
        deliver(&archive, name, u64::from(n == 1)).await;
        let _ = run(&archive).await.unwrap();
    }
    archive
}

async fn verified(archive: &Archive) -> VerifyReport {
    let policy = Some(Policy::of_log(key().public().clone()));
    let options = VerifyOptions { policy, ..VerifyOptions::default() };
    verify(&archive.reader(), options, &|_| {}).await.unwrap()
}

async fn codes(archive: &Archive) -> Vec<Code> {
    verified(archive).await.findings.iter().map(|finding| finding.code).collect()
}

/// Version, digest and length that a commit vouches for.
fn vouched(folder: &Path, version: u64) -> Option<(u64, Sha256Digest, u64)> {
    let bytes = fs::read(place(folder, &commit_key(version))).unwrap();
    let commit = Commit::parse(version, &bytes).unwrap();
    let named = commit.note.delta_checkpoint;
    // The ledger says the same.
    let entry = Entry::of_commit(version, &bytes, &commit.adds);
    assert_eq!(entry.delta_checkpoint, named.map(|named| (named.version, named.sha256)));
    named.map(|named| (named.version, named.sha256, named.bytes))
}

fn stored(folder: &Path, version: u64) -> Option<(u64, Sha256Digest, u64)> {
    let bytes = fs::read(place(folder, &delta_checkpoint_key(version))).ok()?;
    Some((version, Sha256Digest::of(&bytes), bytes.len() as u64))
}

#[tokio::test]
async fn the_commit_after_every_second_version_vouches_for_a_delta_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 6).await;
    let all: Vec<_> = (1..=6).map(|version| vouched(folder.path(), version)).collect();
    let (two, four) = (stored(folder.path(), 2), stored(folder.path(), 4));
    assert!(two.is_some() && four.is_some());
    assert_eq!(all, [None, None, two, None, four, None]);
    // Version 6 is due, and is written when there is a commit to vouch for it.
    assert_eq!(stored(folder.path(), 6), None);
    let hint = fs::read_to_string(place(folder.path(), LAST_CHECKPOINT_KEY)).unwrap();
    let bytes = four.unwrap().2;
    let expected =
        format!("{{\"version\":4,\"size\":6,\"sizeInBytes\":{bytes},\"numOfAddFiles\":4}}");
    assert_eq!(hint, expected);
    assert_eq!(codes(&archive).await, []);
}

#[tokio::test]
async fn without_a_ledger_or_with_interval_0_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c"] {
        deliver(&archive, name, 0).await;
        let _ = seal(&archive.sealer(), NOON_MICROS, options()).await.unwrap();
    }
    let off = SealOptions { delta_checkpoint_every: 0, ..options() };
    for name in ["d", "e", "f"] {
        deliver(&archive, name, 0).await;
        let _ = seal_signed(&archive.sealer(), &key(), NOON_MICROS, off).await.unwrap();
    }
    let log = fs::read_dir(place(folder.path(), "_delta_log")).unwrap();
    let json = log.map(|entry| entry.unwrap().path().extension().unwrap().to_owned());
    assert!(json.collect::<Vec<_>>().iter().all(|extension| extension == "json"));
    // From here on they are written, the last one that is due first.
    deliver(&archive, "g", 0).await;
    let report = run(&archive).await.unwrap();
    assert_eq!(report.delta_checkpoint, Some(6));
    assert_eq!(vouched(folder.path(), 7), stored(folder.path(), 6));
    assert_eq!(codes(&archive).await, []);
}

#[tokio::test]
async fn every_write_may_lose_its_request_or_its_reply_or_be_the_last() {
    let made = tempfile::tempdir().unwrap();
    let archive = sealed(made.path(), 2).await;
    deliver(&archive, "x", 0).await;
    let count = Fault::none();
    let folder = tempfile::tempdir().unwrap();
    copy(made.path(), folder.path());
    let report = run(&open(folder.path()).await.with_fault(&count)).await.unwrap();
    assert_eq!(report.delta_checkpoint, Some(2));
    // Manifest, Delta checkpoint, hint, commit, lock, two tiles, signature, checkpoint, removal.
    assert_eq!(count.writes(), 10);
    let expected = stored(folder.path(), 2);
    for at in 0..count.writes() {
        for lost in [Lost::Request, Lost::Reply] {
            for then in [Then::Heal, Then::Crash] {
                let case = format!("write {at} lost {lost:?} then {then:?}");
                let folder = tempfile::tempdir().unwrap();
                copy(made.path(), folder.path());
                let sound = open(folder.path()).await;
                let fault = Fault::at_write(at, lost, then);
                let first = run(&sound.with_fault(&fault)).await;
                assert!(then == Then::Heal || first.is_err(), "{case}");
                // Whatever is there derives right, named or not.
                let left = verified(&sound).await;
                let tampering =
                    left.findings.iter().filter(|one| one.code == Code::DeltaCheckpoint);
                assert_eq!(tampering.count(), 0, "{case}: {:?}", left.findings);
                let _ = run(&sound).await.unwrap();
                assert_eq!(stored(folder.path(), 2), expected, "{case}");
                assert_eq!(vouched(folder.path(), 3), expected, "{case}");
                assert_eq!(codes(&sound).await, [], "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_sealers_vouch_for_the_same_delta_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        deliver(&archive, name, 1).await;
    }
    let racing: Vec<_> = (0..4)
        .map(|n| {
            let sealer = archive.sealer();
            tokio::spawn(async move {
                let options = SealOptions { manifests_per_commit_max: 2, ..options() };
                seal_signed(&sealer, &key(), NOON_MICROS + n * 1_000_000, options).await.unwrap()
            })
        })
        .collect();
    for one in racing {
        let _ = one.await.unwrap();
    }
    let last = run(&archive).await.unwrap().version.unwrap();
    assert!(last >= 4, "{last}");
    let vouched: Vec<_> = (1..=last).filter_map(|v| vouched(folder.path(), v)).collect();
    let due: Vec<_> = (2..last).step_by(2).filter_map(|v| stored(folder.path(), v)).collect();
    assert_eq!(vouched, due);
    assert_eq!(codes(&archive).await, []);
}

#[tokio::test]
async fn one_that_does_not_follow_from_the_commits_is_not_vouched_for_and_sealing_goes_on() {
    let made = tempfile::tempdir().unwrap();
    let _ = sealed(made.path(), 3).await;
    let other = fs::read(place(made.path(), &delta_checkpoint_key(2))).unwrap();
    // Of another archive: other files.
    for wrong in [other, b"PAR1".to_vec(), Vec::new()] {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        for name in ["x", "y"] {
            deliver(&archive, name, 0).await;
            let _ = run(&archive).await.unwrap();
        }
        let planted = place(folder.path(), &delta_checkpoint_key(2));
        fs::write(&planted, &wrong).unwrap();
        deliver(&archive, "z", 0).await;
        let report = run(&archive).await.unwrap();
        assert_eq!((report.sealed_through, report.delta_checkpoint), (Some(3), None));
        let refused = report.delta_checkpoint_refused.unwrap();
        assert!(refused.contains("00002.checkpoint.parquet: expected"), "{refused}");
        assert_eq!(codes(&archive).await, [Code::DeltaCheckpoint]);
        // Once it is gone, the next seal writes it.
        fs::remove_file(planted).unwrap();
        deliver(&archive, "w", 0).await;
        assert_eq!(run(&archive).await.unwrap().delta_checkpoint, Some(2));
        assert_eq!(codes(&archive).await, []);
    }
}

#[tokio::test]
async fn a_commit_that_vouches_for_a_wrong_delta_checkpoint_is_never_signed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 3).await;
    deliver(&archive, "x", 0).await;
    let sample = delivery(&[unit("x", 2, 0)], 1).unwrap();
    let bytes = Bytes::from(sample.manifest.to_bytes().unwrap());
    let log = archive.sealer().log(&Log::default()).await.unwrap();
    let right = archive.sealer().put_delta_checkpoint(&log, 3).await.unwrap().unwrap();
    let _ = archive.sealer().put_manifest(sample.manifest.delivery, bytes.clone()).await.unwrap();
    let mut note = log.commits()[3].commit.note.clone();
    (note.version, note.previous_sha256) = (4, Some(log.commits()[3].sha256));
    note.manifests[0].delivery = sample.manifest.delivery;
    note.manifests[0].sha256 = Sha256Digest::of(&bytes);
    note.manifests[0].bytes = bytes.len() as u64;
    let path = place(folder.path(), &commit_key(4));
    let other = Sha256Digest::of(b"other");
    for (named, is_signed) in [
        (DeltaCheckpointRef { sha256: other, ..right }, false),
        (DeltaCheckpointRef { bytes: 1, ..right }, false),
        (DeltaCheckpointRef { version: 1, ..right }, false),
        (DeltaCheckpointRef { version: 2, ..right }, false),
        (right, true),
    ] {
        note.delta_checkpoint = Some(named);
        fs::write(&path, seal_bytes(1, &note, &sample.manifest.files)).unwrap();
        match run(&archive).await {
            Ok(report) => assert!(is_signed && report.sealed_through == Some(4), "{named:?}"),
            Err(error) => {
                let is_unsigned = matches!(&error, SealError::Unsigned { version: 4, .. });
                assert!(!is_signed && is_unsigned, "{named:?}: {error}");
                assert!(error.to_string().contains("DELTA_CHECKPOINT"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn verify_finds_each_attack_on_a_delta_checkpoint() {
    let made = tempfile::tempdir().unwrap();
    let archive = sealed(made.path(), 6).await;
    // A twin whose log says something else, and its Delta checkpoint: well-formed, and wrong.
    let twin = tempfile::tempdir().unwrap();
    let _ = sealed(twin.path(), 3).await;
    let log = archive.sealer().log(&Log::default()).await.unwrap();
    let _ = archive.sealer().put_delta_checkpoint(&log, 5).await.unwrap().unwrap();
    assert_eq!(codes(&archive).await, [], "one that nobody vouches for, and that is right");
    let hint = place(made.path(), LAST_CHECKPOINT_KEY);
    let at = |version| place(made.path(), &delta_checkpoint_key(version));
    type Attack<'a> = (&'a str, PathBuf, Option<Vec<u8>>);
    let flipped = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let attacks: Vec<Attack<'_>> = vec![
        ("a bit of one that is vouched for", at(4), flipped(&at(4))),
        ("one that is vouched for is gone", at(4), None),
        ("an older one in its place", at(4), Some(fs::read(at(2)).unwrap())),
        ("an older one that nobody vouches for", at(3), Some(fs::read(at(2)).unwrap())),
        ("a bit of one that nobody vouches for", at(5), flipped(&at(5))),
        ("one of a version that is not there", at(9), Some(fs::read(at(4)).unwrap())),
        ("one of version 0 with other rows", at(0), Some(fs::read(at(2)).unwrap())),
        ("no JSON in the hint", hint.clone(), Some(b"{".to_vec())),
        ("a hint at what is not there", hint.clone(), {
            let text = fs::read_to_string(&hint).unwrap();
            Some(text.replace("\"version\":5", "\"version\":3").into_bytes())
        }),
        ("a hint with more words", hint.clone(), {
            let text = fs::read_to_string(&hint).unwrap();
            Some(text.replace('{', "{\"v2Checkpoint\":{},").into_bytes())
        }),
    ];
    for (name, path, bytes) in attacks {
        let before = fs::read(&path).ok();
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let found = codes(&archive).await;
        assert!(!found.is_empty(), "{name}");
        assert!(found.iter().all(|code| *code == Code::DeltaCheckpoint), "{name}: {found:?}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    // A hint that is gone harms nobody.
    fs::remove_file(hint).unwrap();
    assert_eq!(codes(&archive).await, []);
}
