//! Strict snapshots: what they rest on, what they cost, and what they refuse.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use archive::fault::Fault;
use archive::sample::{self, NOON_MICROS, delivery, ingest, shown, unit};
use archive::snapshot::Mode;
use archive::{Archive, Reader, Snapshot};
use common::commit::Commit;
use common::layout::{CHECKPOINT_KEY, commit_key, delta_checkpoint_key};
use tlog::policy::Policy;

use super::*;
use crate::kit::{key_of as key, place};

fn policy(seed: u8) -> Policy {
    Policy::of_log(key(seed).public().clone())
}

async fn seal_every(archive: &Archive, every: u64) {
    let options = SealOptions { delta_checkpoint_every: every, ..SealOptions::default() };
    let _ = seal_signed(&archive.sealer(), &key(7), NOON_MICROS, options).await.unwrap();
}

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// Versions 0 to `commits`, a unit each, the second with a reject.
async fn sealed(folder: &Path, commits: usize, every: u64) -> Archive {
    let archive = sample::create(folder).await.unwrap();
    for (n, name) in NAMES.into_iter().take(commits).enumerate() {
        let rejects = u64::from(n == 1);
        ingest(&archive, &delivery(&[unit(name, 1, rejects)], 1).unwrap()).await.unwrap();
        seal_every(&archive, every).await;
    }
    archive
}

fn rows(commits: usize) -> Vec<String> {
    let mut rows: Vec<String> =
        NAMES.iter().take(commits).map(|name| format!("{name}#0")).collect();
    rows.insert(1, "b!0".to_owned());
    rows
}

fn trusting(archive: &Archive) -> Reader {
    archive.reader().trusting(policy(7))
}

/// Paths with the versions that sealed them, of events and rejects.
fn named(snapshot: &Snapshot) -> BTreeSet<(String, Option<u64>)> {
    let events = snapshot.files.iter().map(|file| (file.entry.path.clone(), file.sealed_version));
    let rejects = snapshot.quarantine.iter();
    events.chain(rejects.map(|file| (file.entry.path.clone(), file.sealed_version))).collect()
}

#[tokio::test]
async fn with_a_delta_checkpoint_a_snapshot_is_the_one_without() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 6, 4).await;
    let reader = trusting(&archive);
    let strict = reader.snapshot(Mode::Strict).await.unwrap();
    let through = strict.sealed_through().unwrap();
    assert_eq!((through.version, through.size, through.delta_checkpoint), (6, 7, Some(4)));
    assert_eq!(through.signed_by, Some(key(7).public().to_string()));
    assert_eq!((strict.version, &*strict.table_id), (6, "sample"));
    assert_eq!(shown(&reader, Mode::Strict).await.unwrap(), rows(6));
    // Fresh reads every commit.
    let fresh = reader.snapshot(Mode::Fresh).await.unwrap();
    assert_eq!(named(&strict), named(&fresh));
    assert_eq!(strict.files.len(), 6);
    let entries = |snapshot: &Snapshot| -> Vec<FileEntry> {
        snapshot.files.iter().map(|file| file.entry.clone()).collect()
    };
    assert_eq!(entries(&strict), entries(&fresh));
    // Without a policy it is the checkpoint's own word.
    let alone = archive.reader().snapshot(Mode::Strict).await.unwrap();
    assert_eq!(
        (alone.sealed_through().unwrap().signed_by.clone(), named(&alone)),
        (None, named(&strict))
    );
    // Commits before the Delta checkpoint are not needed.
    for version in 0..=4 {
        fs::remove_file(place(folder.path(), &commit_key(version))).unwrap();
    }
    assert_eq!(named(&reader.snapshot(Mode::Strict).await.unwrap()), named(&strict));
}

#[tokio::test]
async fn a_later_snapshot_reads_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 6, 4).await;
    let reader = trusting(&archive);
    let mut known = reader.snapshot(Mode::Strict).await.unwrap();
    for (commits, gets) in [
        // Checkpoint, tile and bundle.
        (6, 3),
        // And commit 7.
        (7, 4),
        // Commit 8, which is the next Delta checkpoint's, and 9, which vouches for it: the Delta
        // checkpoint and commit 9.
        (9, 5),
    ] {
        while fs::metadata(place(folder.path(), &commit_key(commits))).is_err() {
            let next = (1..).find(|v| fs::metadata(place(folder.path(), &commit_key(*v))).is_err());
            let next = usize::try_from(next.unwrap()).unwrap();
            let one = delivery(&[unit(NAMES[next - 1], 1, 0)], 1).unwrap();
            ingest(&archive, &one).await.unwrap();
            seal_every(&archive, 4).await;
        }
        let before = reader.store().usage();
        let later = reader.snapshot_from(Some(&known), Mode::Strict).await.unwrap();
        let usage = reader.store().usage().since(&before);
        assert_eq!((usage.gets, usage.lists, usage.heads), (gets, 1, 0), "{commits}");
        assert_eq!(named(&later), named(&reader.snapshot(Mode::Strict).await.unwrap()));
        assert_eq!(
            (later.version, later.files.len()),
            (commits, usize::try_from(commits).unwrap())
        );
        known = later;
    }
    // A fresh one after it, and a strict one after that.
    let fresh = reader.snapshot_from(Some(&known), Mode::Fresh).await.unwrap();
    let strict = reader.snapshot_from(Some(&fresh), Mode::Strict).await.unwrap();
    assert_eq!((named(&fresh), named(&strict)), (named(&known), named(&known)));
}

/// Rounds of reads that wait for one another, and requests of the archive's store.
async fn rounds(archive: &Archive) -> (u64, u64, u64) {
    let fault = Fault::none();
    let reader = trusting(&archive.with_fault(&fault));
    let before = reader.store().usage();
    let snapshot = reader.snapshot(Mode::Strict).await.unwrap();
    assert!(!snapshot.files.is_empty());
    let usage = reader.store().usage().since(&before);
    (fault.rounds(), usage.gets, usage.lists)
}

#[tokio::test]
async fn a_strict_open_takes_three_rounds_of_requests() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 9, 4).await;
    // The checkpoint; its tile, its bundle and the two listings, one of them in the work area; the
    // Delta checkpoint of version 8 and commit 9.
    assert_eq!(rounds(&archive).await, (3, 5, 1));
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 7, 4).await;
    assert_eq!(rounds(&archive).await, (3, 7, 1));
}

#[tokio::test]
async fn a_log_of_many_tiles_opens_in_as_many_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 1, 0).await;
    // Commits without files, as nobody needs more of them here.
    let mut log = archive.sealer().log(&Log::default()).await.unwrap();
    let mut note = log.commits()[1].commit.note.clone();
    let mut previous = log.commits()[1].sha256;
    for version in 2..=530 {
        let delivery = delivery(&[unit("a", 0, 0)], 1).unwrap();
        (note.version, note.previous_sha256) = (version, Some(previous));
        note.manifests[0].delivery = delivery.manifest.delivery;
        note.delta_checkpoint = None;
        if version == 520 {
            log = archive.sealer().log(&log).await.unwrap();
            let put = archive.sealer().put_delta_checkpoint(&log, 510).await.unwrap();
            note.delta_checkpoint = Some(put.unwrap());
        }
        let bytes = seal_bytes(1, &note, &[]);
        previous = Sha256Digest::of(&bytes);
        fs::write(place(folder.path(), &commit_key(version)), bytes).unwrap();
    }
    sign_as_it_is(folder.path(), &archive).await;
    // Tile 0 of level 1 and tile 2 of level 0 are partial; tile 1 of level 0 is full and read in
    // the same round, as are two bundles. Commits 511 to 530 fit a round.
    assert_eq!(rounds(&archive).await, (3, 1 + 5 + 1 + 20, 1));
    // What is authenticated by a full tile is refused like anything else.
    let tile = place(folder.path(), "_ledger/tile/0/001");
    let sound = fs::read(&tile).unwrap();
    let mut wrong = sound.clone();
    wrong[8_000] ^= 1;
    fs::write(&tile, wrong).unwrap();
    let error = trusting(&archive).snapshot(Mode::Strict).await.unwrap_err().to_string();
    assert!(error.contains("_ledger/tile/0/001: expected a tile"), "{error}");
    fs::write(&tile, sound).unwrap();
    // The same without a Delta checkpoint: every commit is held against its leaf.
    let last = place(folder.path(), &commit_key(520));
    let text = fs::read_to_string(&last).unwrap();
    let commit = Commit::parse(520, text.as_bytes()).unwrap();
    let note = CommitNote { delta_checkpoint: None, ..commit.note };
    fs::write(&last, seal_bytes(1, &note, &[])).unwrap();
    let error = trusting(&archive).snapshot(Mode::Strict).await.unwrap_err().to_string();
    assert!(error.contains("00520.json: expected the commit that the ledger has"), "{error}");
}

/// Signs the log as it stands, whatever it says: by hand, since no sealer would.
async fn sign_as_it_is(folder: &Path, archive: &Archive) {
    use tlog::tile::{Edge, Of, Tile, WIDTH, push_entry};
    let log = archive.sealer().log(&Log::default()).await.unwrap();
    let (mut edge, mut tiles, mut entries) = (Edge::default(), Vec::new(), Vec::new());
    for sealed in log.commits() {
        edge.push(sealed.entry.leaf(), |tile, bytes| tiles.push((tile, bytes)));
        entries.push(sealed.entry.to_text());
    }
    tiles.extend(edge.partial());
    for (index, some) in (0..).zip(entries.chunks(usize::from(WIDTH))) {
        let mut bundle = Vec::new();
        some.iter().for_each(|entry| push_entry(&mut bundle, entry.as_bytes()).unwrap());
        let width = u16::try_from(some.len()).unwrap();
        tiles.push((Tile { of: Of::Entries, index, width }, bundle));
    }
    for (tile, bytes) in tiles {
        let path = place(folder, &format!("_ledger/{tile}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let (size, root) = (edge.size(), edge.root());
    let origin = "archive.example/mesh/sample".to_owned();
    let text = tlog::Checkpoint { origin, size, root }.to_text();
    let signatures = vec![key(7).sign(&text, 0)];
    let note = tlog::note::Note { text, signatures }.to_text();
    fs::write(place(folder, CHECKPOINT_KEY), note).unwrap();
}

#[tokio::test]
async fn what_is_not_sealed_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 3, 0).await;
    let one = delivery(&[unit("x", 1, 0)], 1).unwrap();
    ingest(&archive, &one).await.unwrap();
    let two = delivery(&[unit("y", 1, 0)], 1).unwrap();
    ingest(&archive, &two).await.unwrap();
    // Committed, not signed.
    let _ = sample::seal(&archive, &[&one]).await.unwrap();
    let strict = trusting(&archive).snapshot(Mode::Strict).await.unwrap();
    let through = strict.sealed_through().unwrap();
    let ignored = (through.unsealed_commits_ignored, through.unsealed_manifests_ignored);
    assert_eq!((strict.version, through.size, ignored), (3, 4, (1, 1)));
    assert_eq!(shown(&trusting(&archive), Mode::Strict).await.unwrap(), rows(3));
    let all = shown(&trusting(&archive), Mode::Fresh).await.unwrap();
    assert_eq!(all.len(), rows(3).len() + 2);
}

#[tokio::test]
async fn whatever_is_missing_or_wrong_is_named_and_nothing_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 6, 4).await;
    let sound = named(&trusting(&archive).snapshot(Mode::Strict).await.unwrap());
    let checkpoint = "_ledger/checkpoint".to_owned();
    let (base, five) = (delta_checkpoint_key(4), commit_key(5));
    let (tile, bundle) = ("_ledger/tile/0/000.p/7", "_ledger/tile/entries/000.p/7");
    for key in [&checkpoint, &base, &five, &commit_key(6), &tile.to_owned(), &bundle.to_owned()] {
        let path = place(folder.path(), key);
        let good = fs::read(&path).unwrap();
        let middle = good.len() / 2;
        let flipped = good.iter().enumerate().map(|(n, b)| if n == middle { b ^ 1 } else { *b });
        let mut longer = good.clone();
        longer.push(b'\n');
        for bytes in [None, Some(Vec::new()), Some(flipped.collect()), Some(longer)] {
            match &bytes {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let error = trusting(&archive).snapshot(Mode::Strict).await.unwrap_err();
            let text = error.to_string();
            let object = if key == tile { "_ledger/tile" } else { key };
            assert!(text.contains(object) && text.contains("verify"), "{key}: {text}");
            assert_eq!(error.remedy(), archive::Remedy::Alarm, "{text}");
            fs::write(&path, &good).unwrap();
        }
    }
    // A commit that is well-formed and continues the one before it.
    let own = place(folder.path(), &commit_key(6));
    let good = fs::read_to_string(&own).unwrap();
    let other = good.replacen("\"timestamp\":1", "\"timestamp\":2", 1);
    assert!(other != good && Commit::parse(6, other.as_bytes()).is_ok());
    fs::write(&own, other).unwrap();
    let error = trusting(&archive).snapshot(Mode::Strict).await.unwrap_err().to_string();
    assert!(error.contains("00006.json: expected the commit that the ledger has"), "{error}");
    fs::write(&own, good).unwrap();
    assert_eq!(named(&trusting(&archive).snapshot(Mode::Strict).await.unwrap()), sound);
}

#[tokio::test]
async fn a_ledger_of_another_key_or_table_or_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 3, 0).await;
    let stranger = archive.reader().trusting(policy(8));
    let error = stranger.snapshot(Mode::Strict).await.unwrap_err().to_string();
    assert!(error.contains("_ledger/checkpoint: expected a checkpoint that the policy"), "{error}");
    // No checkpoint: with a policy, or with anything left of the ledger, that is an attack.
    fs::remove_file(place(folder.path(), CHECKPOINT_KEY)).unwrap();
    for reader in [trusting(&archive), archive.reader()] {
        let error = reader.snapshot(Mode::Strict).await.unwrap_err().to_string();
        assert!(error.contains("expected a signed checkpoint, found none"), "{error}");
    }
    fs::remove_dir_all(place(folder.path(), "_ledger")).unwrap();
    assert!(trusting(&archive).snapshot(Mode::Strict).await.is_err());
    // Without a policy nothing is left to tell it from an archive that never had one.
    let bare = archive.reader().snapshot(Mode::Strict).await.unwrap();
    assert_eq!((bare.sealed_through(), bare.files.len()), (None, 3));
}

#[tokio::test]
async fn a_strict_snapshot_of_an_earlier_version_rests_on_the_same_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sealed(folder.path(), 9, 4).await;
    let reader = trusting(&archive);
    let latest = reader.snapshot(Mode::Strict).await.unwrap();
    for version in 0..=9u64 {
        let at = reader.snapshot_at(None, Mode::Strict, version).await.unwrap();
        let fresh = reader.snapshot_at(None, Mode::Fresh, version).await.unwrap();
        assert_eq!((at.version, named(&at)), (version, named(&fresh)));
        let through = at.sealed_through().unwrap();
        assert_eq!((through.version, through.size), (9, 10), "the checkpoint is the latest one");
        // The last Delta checkpoint up to it, not one behind it.
        let base = (version >= 4).then_some(if version >= 8 { 8 } else { 4 });
        assert_eq!(through.delta_checkpoint, base, "{version}");
        let warm = reader.snapshot_at(Some(&latest), Mode::Strict, version).await.unwrap();
        assert_eq!(named(&warm), named(&at));
    }
    // What was never signed has no strict snapshot, though it is there.
    let unsigned = delivery(&[unit("z", 1, 0)], 1).unwrap();
    ingest(&archive, &unsigned).await.unwrap();
    let _ = sample::seal(&archive, &[&unsigned]).await.unwrap();
    assert_eq!(reader.snapshot_at(None, Mode::Fresh, 10).await.unwrap().version, 10);
    let error = reader.snapshot_at(None, Mode::Strict, 10).await.unwrap_err();
    assert!(matches!(error, ArchiveError::NoVersion { latest: 9, .. }), "{error}");
    // A commit that was changed is found, also behind the version asked for in its bundle.
    let key = place(folder.path(), &commit_key(1));
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, text.replacen("\"east\"", "\"west\"", 1) + "\n").unwrap();
    let error = reader.snapshot_at(None, Mode::Strict, 2).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Strict { .. }), "{error}");
    reader.snapshot_at(None, Mode::Strict, 7).await.unwrap();
}
