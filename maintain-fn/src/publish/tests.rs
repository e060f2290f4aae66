//! The judge reads folders: the checkpoint, every tile and bundle, every lock and signature are
//! computed again from the commit files, by RFC 6962's definition and nothing of `publish`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use archive::Archive;
use archive::Mode;
use archive::fault::{Fault, Lost, Then};
use archive::sample::{self, delivery, unit};
use async_trait::async_trait;
use common::ledger::Entry;
use tlog::note::{Algorithm, SeedSigner, Signature, VerifierKey};
use tlog::tile::{Of, Tile};

use super::*;
use crate::kit::{NOW_MICROS, copy, deliver, files, findings, key, open};
use crate::sign::SignError;
use crate::{SealOptions, SealReport, seal, seal_again, seal_signed};

pub(crate) async fn run(archive: &Archive, signer: &dyn Signer) -> Result<SealReport, SealError> {
    seal_signed(&archive.sealer(), signer, NOW_MICROS, SealOptions::default()).await
}

/// The subtree of these leaves, as RFC 6962 defines it.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_no_leaves(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_children(defined(left), defined(right))
        }
    }
}

/// Entries by the commit files.
fn entries(folder: &Path) -> Vec<String> {
    (0..)
        .zip(files(&folder.join("archive/_delta_log")))
        .map(|(version, path)| {
            let bytes = fs::read(path).unwrap();
            let commit = Commit::parse(version, &bytes).unwrap();
            Entry::of_commit(version, &bytes, &commit.adds).to_text()
        })
        .collect()
}

/// Everything the ledger has, held against the commits; returns the published size.
pub(crate) fn judge(folder: &Path) -> u64 {
    let key = key();
    let entries = entries(folder);
    let leaves: Vec<Hash> = entries.iter().map(|text| Hash::of_leaf(text.as_bytes())).collect();
    let root_at = |size: u64| defined(&leaves[..usize::try_from(size).unwrap()]);
    let ledger = folder.join("archive/_ledger");
    let read_note = |path: &Path| {
        let note = Note::parse(&fs::read(path).unwrap()).unwrap();
        assert!(note.signed_by(key.public()).unwrap().is_some(), "{}", path.display());
        let head = Checkpoint::parse(&note.text).unwrap();
        assert_eq!((&*head.origin, head.root), (key.public().name(), root_at(head.size)));
        head.size
    };
    let size = fs::exists(ledger.join("checkpoint")).unwrap();
    let size = if size { read_note(&ledger.join("checkpoint")) } else { 0 };
    for path in files(&ledger.join("checkpoints")) {
        let named: u64 =
            path.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(read_note(&path), named);
    }
    for path in files(&folder.join("archive.work/lock")) {
        if path.ends_with("begun") {
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", key.public()));
            continue;
        }
        let locked: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), hex(root_at(locked)));
    }
    let mut found = BTreeMap::new();
    for path in files(&ledger.join("tile")) {
        let name = path.strip_prefix(&ledger).unwrap().to_str().unwrap().to_owned();
        let tile = Tile::parse(&name).unwrap();
        assert_eq!(fs::read(&path).unwrap(), expected(tile, &entries, &leaves), "{name}");
        found.insert(tile, ());
    }
    for tile in Tile::all_between(0, size) {
        assert!(found.contains_key(&tile), "{tile} of size {size}");
    }
    size
}

fn hex(root: Hash) -> String {
    root.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n"
}

/// A tile's bytes, by the words of tlog-tiles.
fn expected(tile: Tile, entries: &[String], leaves: &[Hash]) -> Vec<u8> {
    let index = usize::try_from(tile.index).unwrap() * 256;
    let places = index..index + usize::from(tile.width);
    match tile.of {
        Of::Entries => places
            .flat_map(|place| {
                let entry = entries[place].as_bytes();
                [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], entry].concat()
            })
            .collect(),
        Of::Hashes(level) => {
            let leaves_each = 256usize.pow(level.into());
            let hash = |place| defined(&leaves[place * leaves_each..(place + 1) * leaves_each]);
            places.flat_map(|place| *hash(place).as_bytes()).collect()
        }
    }
}

#[tokio::test]
async fn each_seal_publishes_what_it_committed_before_it_clears_the_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    // Version 0 alone is a history, too.
    let report = run(&archive, &key()).await.unwrap();
    assert_eq!((report.checkpoints, report.sealed_through, judge(folder.path())), (1, Some(0), 1));
    for (size, name) in (2..).zip(["a", "b", "c"]) {
        deliver(&archive, name).await;
        let report = run(&archive, &key()).await.unwrap();
        assert_eq!((report.checkpoints, report.sealed_through), (1, Some(size - 1)));
        assert_eq!(judge(folder.path()), size);
    }
    let report = run(&archive, &key()).await.unwrap();
    assert_eq!((report.commits, report.checkpoints, report.sealed_through), (0, 0, Some(3)));
    // A key that fails: committed, not published, and the inbox keeps what no checkpoint covers.
    deliver(&archive, "d").await;
    let error = run(&archive, &NoKey(key())).await.unwrap_err();
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    assert_eq!(
        (judge(folder.path()), files(&folder.path().join("archive.work/inbox")).len()),
        (4, 1)
    );
    let report = run(&archive, &key()).await.unwrap();
    assert_eq!((report.manifests_dropped, judge(folder.path())), (1, 5));
    assert_eq!(files(&folder.path().join("archive.work/inbox")).len(), 0);
    // Without a key, a ledger that was begun can not be left behind.
    deliver(&archive, "e").await;
    let unsigned = seal(&archive.sealer(), NOW_MICROS, SealOptions::default()).await;
    assert!(matches!(unsigned, Err(SealError::NeedsKey { .. })), "{unsigned:?}");
    assert_eq!(entries(folder.path()).len(), 5);
}

/// A key whose holder does not answer.
pub(crate) struct NoKey(pub(crate) SeedSigner);

#[async_trait]
impl Signer for NoKey {
    fn public(&self) -> &VerifierKey {
        self.0.public()
    }

    async fn sign(&self, _: &str) -> Result<Signature, SignError> {
        Err(SignError { key: self.0.public().to_string(), source: "the vault is closed".into() })
    }
}

#[tokio::test]
async fn every_write_of_a_signed_seal_may_lose_its_request_or_its_reply_or_be_the_last() {
    let made = tempfile::tempdir().unwrap();
    let archive = sample::create(made.path()).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    for name in ["c", "d"] {
        deliver(&archive, name).await;
    }
    let count = Fault::none();
    let folder = tempfile::tempdir().unwrap();
    copy(made.path(), folder.path());
    let report = run(&open(folder.path()).await.with_fault(&count), &key()).await.unwrap();
    assert_eq!((report.commits, report.checkpoints, judge(folder.path())), (1, 1, 4));
    // Two manifests, commit, lock, two tiles, signature, checkpoint, two removals.
    assert_eq!(count.writes(), 10);
    for at in 0..count.writes() {
        for lost in [Lost::Request, Lost::Reply] {
            for then in [Then::Heal, Then::Crash] {
                let place = format!("write {at} lost {lost:?} then {then:?}");
                let folder = tempfile::tempdir().unwrap();
                copy(made.path(), folder.path());
                let sound = open(folder.path()).await;
                let fault = Fault::at_write(at, lost, then);
                let first = run(&sound.with_fault(&fault), &key()).await;
                assert!(then == Then::Heal || first.is_err(), "{place}");
                let size = judge(folder.path());
                let inbox = files(&folder.path().join("archive.work/inbox")).len();
                assert!(size == 4 || inbox == 2, "{place}: what no checkpoint covers waits");
                let again = run(&sound, &key()).await.unwrap();
                assert_eq!((again.sealed_through, judge(folder.path())), (Some(3), 4), "{place}");
                assert_eq!(files(&folder.path().join("archive.work/inbox")).len(), 0, "{place}");
            }
        }
    }
}

#[tokio::test]
async fn the_first_publication_may_stop_at_any_write_and_verify_calls_that_unfinished() {
    let made = tempfile::tempdir().unwrap();
    let _ = sample::create(made.path()).await.unwrap();
    let count = Fault::none();
    let folder = tempfile::tempdir().unwrap();
    copy(made.path(), folder.path());
    let _ = run(&open(folder.path()).await.with_fault(&count), &key()).await.unwrap();
    // The key that begins, lock, tile, bundle, signature, checkpoint.
    assert_eq!(count.writes(), 6);
    for at in 0..count.writes() {
        for lost in [Lost::Request, Lost::Reply] {
            let place = format!("write {at} lost {lost:?}");
            let folder = tempfile::tempdir().unwrap();
            copy(made.path(), folder.path());
            let sound = open(folder.path()).await;
            let fault = Fault::at_write(at, lost, Then::Crash);
            assert!(run(&sound.with_fault(&fault), &key()).await.is_err(), "{place}");
            let found = findings(&sound).await;
            assert!(!found.iter().any(|code| code.starts_with('!')), "{place}: {found:?}");
            let begun = at > 0 || lost == Lost::Reply;
            let published = at == 5 && lost == Lost::Reply;
            assert_eq!(!found.is_empty(), begun && !published, "{place}: {found:?}");
            let _ = run(&sound, &key()).await.unwrap();
            assert_eq!((judge(folder.path()), findings(&sound).await), (1, vec![]), "{place}");
        }
    }
}

#[tokio::test]
async fn a_ledger_that_begins_while_a_sealer_without_a_key_works_stops_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let (sealer, mut known) = (archive.sealer(), Known::default());
    let options = SealOptions::default();
    deliver(&archive, "a").await;
    let sealed = seal_again(&sealer, None, &mut known, NOW_MICROS, options).await.unwrap();
    assert_eq!(sealed.commits, 1);
    let _ = run(&archive, &key()).await.unwrap();
    deliver(&archive, "b").await;
    let refused = seal_again(&sealer, None, &mut known, NOW_MICROS, options).await;
    assert!(matches!(refused, Err(SealError::NeedsKey { .. })), "{refused:?}");
    assert_eq!(judge(folder.path()), 2);
}

/// A sealer that stops for a while once it has locked: others seal twice before it signs.
struct Frozen {
    key: SeedSigner,
    /// Taken by the first signature.
    meanwhile: Mutex<Option<Archive>>,
}

#[async_trait]
impl Signer for Frozen {
    fn public(&self) -> &VerifierKey {
        self.key.public()
    }

    async fn sign(&self, text: &str) -> Result<Signature, SignError> {
        let archive = self.meanwhile.lock().unwrap().take();
        if let Some(archive) = archive {
            for name in ["x", "y"] {
                deliver(&archive, name).await;
                let report = run(&archive, &key()).await.unwrap();
                assert_eq!(report.commits, 1);
            }
        }
        Ok(self.key.sign(text, 0))
    }
}

#[tokio::test]
async fn a_sealer_that_froze_after_the_lock_and_wakes_two_versions_later_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    deliver(&archive, "a").await;
    let frozen = Frozen { key: key(), meanwhile: Mutex::new(Some(open(folder.path()).await)) };
    let report = run(&archive, &frozen).await.unwrap();
    // Its own checkpoint of size 2 came too late; what it found is of size 4, and covers it.
    assert_eq!((report.commits, report.checkpoints, report.sealed_through), (1, 0, Some(3)));
    assert_eq!(judge(folder.path()), 4);
    assert_eq!(files(&folder.path().join("archive.work/inbox")).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_racing_sealers_make_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        deliver(&archive, name).await;
    }
    let racing: Vec<_> = (0..4)
        .map(|n| {
            let sealer = archive.sealer();
            tokio::spawn(async move {
                let options = SealOptions { manifests_per_commit_max: 2, ..SealOptions::default() };
                seal_signed(&sealer, &key(), NOW_MICROS + n * 1_000_000, options).await.unwrap()
            })
        })
        .collect();
    let mut commits = 0;
    for one in racing {
        commits += one.await.unwrap().commits;
    }
    let report = run(&archive, &key()).await.unwrap();
    assert_eq!((report.commits, report.version), (0, Some(commits)));
    assert_eq!(judge(folder.path()), commits + 1);
}

#[tokio::test]
async fn a_commit_that_does_not_follow_from_its_manifests_is_never_signed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    // Somebody with the log at hand adds version 3: the files of version 1 once more, and none of
    // its manifests.
    let log = archive.sealer().log(&Log::default()).await.unwrap();
    let (first, last) = (&log.commits()[1], &log.commits()[2]);
    let mut note = first.commit.note.clone();
    (note.version, note.previous_sha256) = (3, Some(last.sha256));
    for manifests in [Vec::new(), note.manifests.clone()] {
        note.manifests = manifests;
        let bytes = common::commit::seal_bytes(1, &note, &first.commit.adds);
        let path = folder.path().join("archive").join(layout::commit_key(3));
        fs::write(&path, bytes).unwrap();
        deliver(&archive, "c").await;
        let error = run(&archive, &key()).await.unwrap_err();
        assert!(matches!(&error, SealError::Unsigned { version: 3, .. }), "{error}");
        assert_eq!(judge(folder.path()), 3);
        assert_eq!(
            files(&folder.path().join("archive.work/lock")).len(),
            4,
            "three sizes, and who began"
        );
        fs::remove_file(path).unwrap();
    }
    assert_eq!(run(&archive, &key()).await.unwrap().sealed_through, Some(3));
    assert_eq!(judge(folder.path()), 4);
}

#[tokio::test]
async fn a_file_that_was_changed_before_another_sealer_signs_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    deliver(&archive, "a").await;
    // Committed by a sealer that stopped there.
    assert!(run(&archive, &NoKey(key())).await.is_err());
    let data = files(&folder.path().join("archive/data"));
    let mut bytes = fs::read(&data[0]).unwrap();
    bytes[9] ^= 1;
    fs::write(&data[0], &bytes).unwrap();
    let error = run(&archive, &key()).await.unwrap_err();
    assert!(error.to_string().contains("FILE_HASH"), "{error}");
    assert_eq!(judge(folder.path()), 1);
    bytes[9] ^= 1;
    fs::write(&data[0], bytes).unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    assert_eq!(judge(folder.path()), 2);
}

#[tokio::test]
async fn history_that_was_signed_or_locked_can_not_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    let place = |name: &str| folder.path().join("archive").join(name);
    let last = place(&layout::commit_key(2));
    let (commit, checkpoint) = (fs::read(&last).unwrap(), fs::read(place(CHECKPOINT_KEY)).unwrap());
    let refused = async |what: &str| {
        let error = run(&open(folder.path()).await, &key()).await.unwrap_err();
        assert_eq!(error.remedy(), archive::Remedy::Alarm, "{what}: {error}");
    };
    // The last commit is gone; it has other bytes.
    fs::remove_file(&last).unwrap();
    refused("a commit less").await;
    let text = String::from_utf8(commit.clone()).unwrap();
    fs::write(&last, text.replacen("\"timestamp\":", "\"timestamp\": ", 1)).unwrap();
    refused("white space in a commit").await;
    // With the checkpoint taken back as well, the lock still knows.
    let signed = files(&place("_ledger/checkpoints"));
    let older = signed.iter().find(|path| path.to_str().unwrap().contains("0002/")).unwrap();
    fs::copy(older, place(CHECKPOINT_KEY)).unwrap();
    refused("white space and an older checkpoint").await;
    fs::remove_file(place(CHECKPOINT_KEY)).unwrap();
    refused("white space and no checkpoint").await;
    // With the later lock gone as well, the kept signature still knows.
    let lock = folder.path().join("archive.work").join(layout::lock_key(3));
    let locked = fs::read(&lock).unwrap();
    fs::remove_file(&lock).unwrap();
    refused("white space, no checkpoint, a lock less").await;
    fs::copy(older, place(CHECKPOINT_KEY)).unwrap();
    refused("white space, an older checkpoint, a lock less").await;
    // The right history and an older checkpoint: the newer one is published again, by whoever
    // comes new and by whoever published it.
    fs::write(&last, &commit).unwrap();
    fs::write(&lock, locked).unwrap();
    let mut known = Known::default();
    for _ in 0..2 {
        fs::copy(older, place(CHECKPOINT_KEY)).unwrap();
        let options = SealOptions::default();
        let (sealer, key) = (archive.sealer(), key());
        let sealed = seal_again(&sealer, Some(&key), &mut known, NOW_MICROS, options).await;
        assert_eq!(sealed.unwrap().checkpoints, 1);
    }
    assert_eq!(fs::read(place(CHECKPOINT_KEY)).unwrap(), checkpoint);
    assert_eq!(judge(folder.path()), 3);
}

#[tokio::test]
async fn what_a_process_has_signed_it_remembers_when_everything_else_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    let yesterday = tempfile::tempdir().unwrap();
    copy(folder.path(), yesterday.path());
    let (sealer, key, mut known) = (archive.sealer(), key(), Known::default());
    deliver(&archive, "a").await;
    let options = SealOptions::default();
    let _ = seal_again(&sealer, Some(&key), &mut known, NOW_MICROS, options).await.unwrap();
    // Archive, locks and kept signatures of yesterday, and another commit since.
    fs::remove_dir_all(folder.path()).unwrap();
    copy(yesterday.path(), folder.path());
    deliver(&archive, "b").await;
    let other = seal_again(&sealer, Some(&key), &mut known, NOW_MICROS, options).await.unwrap_err();
    assert_eq!(other.remedy(), archive::Remedy::Alarm, "{other}");
    assert_eq!(judge(folder.path()), 1, "nothing was signed");
}

#[tokio::test]
async fn a_missing_or_damaged_tile_costs_reading_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b"] {
        deliver(&archive, name).await;
        let _ = run(&archive, &key()).await.unwrap();
    }
    let at = |name: &str| folder.path().join("archive/_ledger/tile").join(name);
    for (size, name) in (4..).zip(["0/000.p/3", "entries/000.p/4", "0/000.p/5", "entries/000.p/6"])
    {
        let good = fs::read(at(name)).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        if size % 2 == 0 {
            fs::remove_file(at(name)).unwrap()
        } else {
            fs::write(at(name), bad).unwrap()
        };
        deliver(&archive, ["c", "d", "e", "f"][usize::try_from(size - 4).unwrap()]).await;
        let report = run(&archive, &key()).await.unwrap();
        let damage = report.ledger_damage.unwrap();
        assert!(damage.contains(name) || damage.contains("partial tiles"), "{name}: {damage}");
        fs::write(at(name), good).unwrap();
        assert_eq!(judge(folder.path()), size, "{name}");
    }
    assert_eq!(run(&archive, &key()).await.unwrap().ledger_damage, None);
}

#[tokio::test]
async fn without_the_lock_of_what_is_published_nothing_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    let lock = folder.path().join("archive.work").join(layout::lock_key(1));
    fs::remove_file(&lock).unwrap();
    deliver(&archive, "a").await;
    let error = run(&archive, &key()).await.unwrap_err();
    assert!(matches!(&error, SealError::NoLock { .. }), "{error}");
    let root = hex(defined(&[Hash::of_leaf(entries(folder.path())[0].as_bytes())]));
    assert!(error.to_string().contains(root.trim_end()), "{error}");
    // What the message says will do.
    fs::write(&lock, root).unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    assert_eq!(judge(folder.path()), 2);
}

#[tokio::test]
async fn keys_and_checkpoints_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let named = |name: &str, seed| SeedSigner::new(name, Algorithm::Ed25519, [seed; 32]).unwrap();
    let other_table = run(&archive, &named("archive.example/mesh/other", 7)).await.unwrap_err();
    assert!(other_table.to_string().contains("archive.example/mesh/other"), "{other_table}");
    let _ = run(&archive, &key()).await.unwrap();
    let path = folder.path().join("archive").join(CHECKPOINT_KEY);
    let good = fs::read_to_string(&path).unwrap();
    deliver(&archive, "a").await;
    for signer in [named("archive.example/mesh/sample", 8), named("other.example/sample", 7)] {
        let error = run(&archive, &signer).await.unwrap_err();
        assert_eq!(error.remedy(), archive::Remedy::Reconfigure, "{error}");
    }
    for wrong in [
        String::new(),
        "x".repeat(300_000),
        good.replace("\n1\n", "\n2\n"),
        good.replace("\n1\n", "\n18446744073709551615\n"),
        good.replacen('\n', "\r\n", 1),
    ] {
        fs::write(&path, wrong).unwrap();
        let error = run(&archive, &key()).await.unwrap_err();
        assert_eq!(error.remedy(), archive::Remedy::Alarm, "{error}");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(run(&archive, &key()).await.unwrap().sealed_through, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_verification_beside_a_seal_raises_no_false_alarm() {
    use archive::verify::{Severity, VerifyOptions, verify};
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    // Seals whenever it reports progress, five times at most.
    let names = Mutex::new(vec!["a", "b", "c", "d", "e"]);
    let seals = |_| {
        let Some(name) = names.lock().unwrap().pop() else { return };
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                deliver(&archive, name).await;
                let _ = run(&archive, &key()).await.unwrap();
            });
        });
    };
    let options = VerifyOptions {
        policy: Some(tlog::policy::Policy::of_log(key().public().clone())),
        ..VerifyOptions::default()
    };
    let report = verify(&archive.reader(), options.clone(), &seals).await.unwrap();
    assert_eq!(report.ledger.unwrap().size, 1, "as it was when it was looked at");
    // What the log and the manifests say of each other is another matter (verify/strays.rs).
    let of_ledger = |object: &str| object.contains("_ledger/") || object.contains("/lock/");
    let found: Vec<_> = report.findings.iter().filter(|one| of_ledger(&one.object)).collect();
    assert!(found.iter().all(|one| one.severity == Severity::Incomplete), "{found:?}");
    assert!(names.lock().unwrap().len() < 5);
    let report = verify(&archive.reader(), options, &|_| {}).await.unwrap();
    assert_eq!((report.ledger.unwrap().size, report.findings), (judge(folder.path()), vec![]));
}

const HOUR: Duration = Duration::from_secs(3_600);

async fn beat(archive: &Archive, now_micros: i64) -> Result<SealReport, SealError> {
    let options = SealOptions { heartbeat_after: Some(HOUR), ..SealOptions::default() };
    seal_signed(&archive.sealer(), &key(), now_micros, options).await
}

#[tokio::test]
async fn after_an_hour_of_silence_an_empty_commit_is_signed_and_says_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    deliver(&archive, "a").await;
    let report = beat(&archive, NOW_MICROS).await.unwrap();
    assert_eq!((report.commits, report.heartbeats), (1, 0), "a commit is a sign of life");
    let report = beat(&archive, NOW_MICROS + 3_599_000_000).await.unwrap();
    assert_eq!((report.commits, report.heartbeats), (0, 0));
    let later = NOW_MICROS + 3_600_000_000;
    let report = beat(&archive, later).await.unwrap();
    assert_eq!((report.commits, report.heartbeats, report.sealed_through), (0, 1, Some(2)));
    assert_eq!(beat(&archive, later).await.unwrap().heartbeats, 0, "once is enough");
    let log = archive.sealer().log(&Log::default()).await.unwrap();
    let last = &log.commits()[2].commit;
    assert_eq!((last.timestamp_millis, last.adds.len()), (later / 1000, 0));
    // A clock that stood ahead does not silence those after it.
    let ahead = later + 1_000_000 * 3_600_000_000;
    assert_eq!(beat(&archive, ahead).await.unwrap().heartbeats, 1);
    assert_eq!(beat(&archive, later).await.unwrap().heartbeats, 1);
    assert_eq!((judge(folder.path()), findings(&archive).await), (5, vec![]));
    assert_eq!(sample::shown(&archive.reader(), Mode::Strict).await.unwrap(), ["a#0"]);
    // Without a ledger there is nothing to be silent about.
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let options = SealOptions { heartbeat_after: Some(HOUR), ..SealOptions::default() };
    assert_eq!(seal(&archive.sealer(), later, options).await.unwrap().heartbeats, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sealers_that_race_one_makes_the_heartbeat() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let _ = run(&archive, &key()).await.unwrap();
    for (round, size) in (1..4).zip(2..) {
        let racing: Vec<_> = (0..4)
            .map(|n| {
                let archive = archive.clone();
                // Of the same moment they would be the same bytes, and nobody's more than another's.
                let now_micros = NOW_MICROS + round * 4_000_000_000 + n * 1_000_000;
                tokio::spawn(async move { beat(&archive, now_micros).await.unwrap().heartbeats })
            })
            .collect();
        let mut heartbeats = 0;
        for one in racing {
            heartbeats += one.await.unwrap();
        }
        assert_eq!((heartbeats, judge(folder.path())), (1, size));
    }
}

#[tokio::test]
async fn every_write_of_a_heartbeat_may_lose_its_request_or_its_reply_or_be_the_last() {
    // Commit, lock, tile, bundle, signature, checkpoint.
    for at in 0..6 {
        for lost in [Lost::Request, Lost::Reply] {
            for then in [Then::Heal, Then::Crash] {
                let place = format!("write {at} lost {lost:?} then {then:?}");
                let folder = tempfile::tempdir().unwrap();
                let _ = sample::create(folder.path()).await.unwrap();
                let archive = open(folder.path()).await;
                let _ = run(&archive, &key()).await.unwrap();
                let later = NOW_MICROS + 4_000_000_000;
                let fault = Fault::at_write(at, lost, then);
                let first = beat(&archive.with_fault(&fault), later).await;
                assert_eq!(first.is_err(), then == Then::Crash, "{place}");
                let _ = beat(&archive, later).await.unwrap();
                assert_eq!(
                    (judge(folder.path()), findings(&archive).await),
                    (2, vec![]),
                    "{place}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_commit_that_removes_files_is_never_signed() {
    for is_loss in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        deliver(&archive, "a").await;
        let sealer = archive.sealer();
        let _ = seal_signed(&sealer, &key(), NOW_MICROS, SealOptions::default()).await.unwrap();
        let other = delivery(&[unit("b", 1, 0)], 1).unwrap();
        let writer = archive.writer();
        let _ = writer.put_file(&other.files[0].0, other.files[0].1.clone()).await.unwrap();
        let log = sealer.log(&Log::default()).await.unwrap();
        let there = log.commits()[1].commit.adds[0].path.clone();
        let adds = if is_loss { &[][..] } else { &other.manifest.files };
        let bytes = sample::removing_commit(&log, &[&there], adds).unwrap();
        let _ = sealer.put_commit(2, bytes).await.unwrap();
        let sealed = seal_signed(&sealer, &key(), NOW_MICROS, SealOptions::default()).await;
        let Err(SealError::Unsigned { version: 2, reasons, .. }) = sealed else {
            panic!("{sealed:?}");
        };
        assert!(reasons.iter().any(|r| r.contains("a commit that removes nothing")), "{reasons:?}");
        // Strict answers rest on what was signed.
        assert_eq!(sample::shown(&archive.reader(), Mode::Strict).await.unwrap(), ["a#0"]);
    }
}
