use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::sample::{self, Sample, delivery, ingest, unit};

/// An archive of two sealed deliveries with two files each, and quarantine in the second.
async fn archive(folder: &Path) -> (Reader, Sample, Sample) {
    let archive = sample::create(folder).await.unwrap();
    let mut two_days = unit("a", 3, 0);
    two_days.times[2] += 2 * common::date::DAY_MICROS;
    let first = delivery(&[two_days], 1).unwrap();
    let second = delivery(&[unit("b", 3, 2)], 1).unwrap();
    for sample in [&first, &second] {
        ingest(&archive, sample).await.unwrap();
        let _ = sample::seal(&archive, &[sample]).await.unwrap();
    }
    (archive.reader(), first, second)
}

async fn findings(reader: &Reader) -> Vec<Finding> {
    let report = verify(reader, VerifyOptions::default(), &|_| {}).await.unwrap();
    report.findings
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn file(folder: &Path, sample: &Sample, index: usize) -> PathBuf {
    folder.join("archive").join(&sample.files[index].0)
}

fn commit(folder: &Path, version: u64) -> PathBuf {
    folder.join("archive").join(common::layout::commit_key(version))
}

fn manifest(folder: &Path, sample: &Sample) -> PathBuf {
    folder.join("archive").join(common::layout::manifest_key(sample.manifest.delivery))
}

#[tokio::test]
async fn a_sound_archive_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, ..) = archive(folder.path()).await;
    let report = verify(&reader, VerifyOptions::default(), &|_| {}).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.version, report.commits, report.manifests), (Some(2), 3, 2));
    assert_eq!((report.files, report.rows), (4, 6));
    assert_eq!(report.worst(), None);
}

type Attack = (&'static str, fn(&Path, &Sample, &Sample), &'static [&'static str]);

#[test]
fn every_attack_is_found_and_named() {
    let attacks: &[Attack] = &[
        ("flip a byte of data", |f, a, _| flip(&file(f, a, 0)), &["FILE_HASH"]),
        ("flip a byte of quarantine", |f, _, b| flip(&file(f, b, 1)), &["FILE_HASH"]),
        ("truncate data", |f, a, _| truncate(&file(f, a, 1)), &["FILE_SIZE"]),
        ("empty data", |f, a, _| fs::write(file(f, a, 1), b"").unwrap(), &["FILE_SIZE"]),
        ("delete data", |f, a, _| fs::remove_file(file(f, a, 0)).unwrap(), &["FILE_MISSING"]),
        ("swap two files", |f, a, b| swap(&file(f, a, 0), &file(f, b, 0)), &["FILE_SIZE"; 2]),
        ("add to data", |f, _, _| plant(f, "data/event_date=2026-11-02/x.parquet"), &["STRAY"]),
        ("add to the log", |f, _, _| plant(f, "_delta_log/readme.txt"), &["STRAY"]),
        (
            "add a hint at a Delta checkpoint",
            |f, _, _| plant(f, "_delta_log/_last_checkpoint"),
            &["DELTA_CHECKPOINT"],
        ),
        ("add to the index", |f, _, _| plant(f, "index/x"), &["STRAY"]),
        ("add a ledger", |f, _, _| plant(f, "_ledger/checkpoint"), &["NOTE"]),
        ("add to the ledger", |f, _, _| plant(f, "_ledger/x"), &["NOTE", "STRAY"]),
        ("flip a manifest", |f, a, _| flip(&manifest(f, a)), &["MANIFEST_HASH"]),
        (
            "delete a manifest",
            |f, a, _| fs::remove_file(manifest(f, a)).unwrap(),
            &["MANIFEST_MISSING"],
        ),
        ("delete a commit", |f, _, _| fs::remove_file(commit(f, 1)).unwrap(), &["GAP"]),
        ("delete the last commit", |f, _, _| fs::remove_file(commit(f, 2)).unwrap(), &["GAP"]),
        (
            "edit a commit's time",
            |f, _, _| edit(&commit(f, 1), "1793615000000", "1793615000001"),
            &["CHAIN"],
        ),
        ("edit statistics", |f, _, _| edit(&commit(f, 2), "b#0", "b#1"), &["STATS"]),
        (
            "edit a row count",
            |f, _, _| edit(&commit(f, 2), "ma.rows\":\"3", "ma.rows\":\"2"),
            &["COMMIT_FORMAT"],
        ),
        (
            "garble a commit",
            |f, _, _| fs::write(commit(f, 1), b"\xff\n").unwrap(),
            &["COMMIT_FORMAT", "CHAIN"],
        ),
        ("drop an add", |f, _, _| drop_last_line(&commit(f, 2)), &["MANIFEST_FORMAT"]),
        ("repeat an add", |f, _, _| repeat_last_line(&commit(f, 2)), &["UNIT_TWICE"]),
        ("link a file", |f, a, _| link(&file(f, a, 0)), &["FILE_MISSING"]),
    ];
    for (name, attack, expected) in attacks {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (reader, first, second) = archive(folder.path()).await;
            attack(folder.path(), &first, &second);
            let found = findings(&reader).await;
            let worst = found.iter().map(|finding| finding.severity).max();
            assert_eq!(worst, Some(Severity::Tampering), "{name}: {found:#?}");
            let tampering: Vec<Finding> =
                found.into_iter().filter(|f| f.severity == Severity::Tampering).collect();
            let mut codes = codes(&tampering);
            codes.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(codes, expected, "{name}: {tampering:#?}");
        });
    }
}

#[tokio::test]
async fn what_a_crash_leaves_is_incomplete_and_no_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, ..) = archive(folder.path()).await;
    let open = sample::create(folder.path()).await.unwrap();
    let orphan = delivery(&[unit("c", 1, 0)], 1).unwrap();
    let (path, bytes) = &orphan.files[0];
    let _ = open.writer().put_file(path, bytes.clone()).await.unwrap();
    let found = findings(&reader).await;
    assert_eq!(codes(&found), ["ORPHAN"]);
    assert_eq!(found[0].severity, Severity::Incomplete);
    // The manifest makes the file known; then a sealer crashes before its commit.
    ingest(&open, &orphan).await.unwrap();
    assert_eq!(codes(&findings(&reader).await), ["UNSEALED"]);
    let bytes = bytes::Bytes::from(orphan.manifest.to_bytes().unwrap());
    open.sealer().put_manifest(orphan.manifest.delivery, bytes).await.unwrap();
    let found = findings(&reader).await;
    assert_eq!(codes(&found), ["ORPHAN", "UNSEALED"]);
    assert!(found.iter().all(|finding| finding.severity == Severity::Incomplete));
    // Its file is checked although it is not sealed.
    flip(&file(folder.path(), &orphan, 0));
    assert_eq!(findings(&reader).await[0].code, Code::FileHash);
}

#[tokio::test]
async fn the_same_unit_sealed_twice_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, ..) = archive(folder.path()).await;
    let open = sample::create(folder.path()).await.unwrap();
    let again = delivery(&[unit("b", 3, 0), unit("d", 1, 0)], 2).unwrap();
    ingest(&open, &again).await.unwrap();
    let _ = sample::seal(&open, &[&again]).await.unwrap();
    let found = findings(&reader).await;
    assert_eq!(codes(&found), ["UNIT_TWICE"]);
    assert_eq!(found[0].version, Some(3));
}

#[tokio::test]
async fn a_held_run_is_derived_again() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, ..) = archive(folder.path()).await;
    let open = sample::create(folder.path()).await.unwrap();
    for name in ["c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"] {
        let sample = delivery(&[unit(name, 1, 0)], 1).unwrap();
        ingest(&open, &sample).await.unwrap();
        let _ = sample::seal(&open, &[&sample]).await.unwrap();
    }
    assert_eq!(findings(&reader).await, []);
    let held = folder.path().join("archive/index/held");
    let run = fs::read_dir(&held).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&run).unwrap();
    assert_eq!(bytes.len(), 15 * 32);
    fs::remove_file(&run).unwrap();
    let found = findings(&reader).await;
    assert_eq!((codes(&found), found[0].severity), (vec!["HELD_INDEX"], Severity::Incomplete));
    // A run that leaves a unit out, well named.
    let forged = &bytes[32..];
    let key = common::layout::held_key(0, 15, common::Sha256Digest::of(forged));
    fs::write(folder.path().join("archive").join(key), forged).unwrap();
    let found = findings(&reader).await;
    assert_eq!((codes(&found), found[0].severity), (vec!["HELD_INDEX"], Severity::Tampering));
}

#[tokio::test]
async fn an_empty_place_is_no_archive_but_data_without_a_log_is_an_attack() {
    let folder = tempfile::tempdir().unwrap();
    let location = sample::location(folder.path()).unwrap();
    let options = crate::StoreOptions::default();
    let nothing = crate::Archive::connect(&location, &options).unwrap().reader();
    let result = verify(&nothing, VerifyOptions::default(), &|_| {}).await;
    assert!(matches!(result, Err(ArchiveError::NotAnArchive { .. })));
    let (reader, ..) = archive(folder.path()).await;
    fs::remove_dir_all(folder.path().join("archive/_delta_log")).unwrap();
    let found = findings(&reader).await;
    assert!(codes(&found).contains(&"NOT_AN_ARCHIVE"), "{found:#?}");
}

#[tokio::test]
async fn a_file_of_garbage_under_its_own_digest_is_found_by_its_footer() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, first, _) = archive(folder.path()).await;
    let entry = first.manifest.files[0].clone();
    let good = fs::read(file(folder.path(), &first, 0)).unwrap();
    let mut hostile = vec![good[..good.len() - 4].to_vec(), b"PAR1".to_vec(), vec![], vec![7; 12]];
    // Every length a footer may claim, and a footer cut and flipped here and there.
    for length in [0u32, 1, 8, 1000, u32::MAX] {
        hostile.push([b"PAR1".as_slice(), &[9; 40], &length.to_le_bytes(), b"PAR1"].concat());
    }
    for at in (good.len() - 3000..good.len() - 8).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x5a;
        hostile.push(bytes);
    }
    for bytes in hostile {
        let digest = common::Sha256Digest::of(&bytes);
        let path = common::layout::data_key(entry.event_date, digest);
        let full = folder.path().join("archive").join(&path);
        fs::write(&full, &bytes).unwrap();
        let mut named = entry.clone();
        named.rows += 1;
        named.path = path;
        named.sha256 = digest;
        named.bytes = bytes.len() as u64;
        let wrong = footer::check_events(reader.store(), &named).await.unwrap();
        assert!(wrong.is_some());
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

fn swap(a: &Path, b: &Path) {
    let (first, second) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    assert_ne!(first.len(), second.len());
    fs::write(a, second).unwrap();
    fs::write(b, first).unwrap();
}

fn plant(folder: &Path, key: &str) {
    let path = folder.join("archive").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"planted").unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn drop_last_line(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let end = text.trim_end().rfind('\n').unwrap();
    fs::write(path, &text[..=end]).unwrap();
}

fn repeat_last_line(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let last = text.lines().last().unwrap().to_owned();
    fs::write(path, format!("{text}{last}\n")).unwrap();
}

fn link(path: &Path) {
    let elsewhere = path.with_extension("moved");
    let outside = path.ancestors().nth(4).unwrap().join("outside");
    fs::rename(path, &elsewhere).unwrap();
    fs::rename(&elsewhere, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, path).unwrap();
}
