//! Where fresh snapshots begin, what that costs, and what comes of marks that lie.

use std::sync::Arc;

use archive::background::here;
use archive::memory::{Action, Bucket, Place, Request, Waves};
use archive::sample::{self, NOON_MICROS, delivery, ingest, unit};
use archive::snapshot::Mode;
use archive::{Archive, Snapshot, StoreOptions};
use common::layout::{CHECKPOINT_KEY, LAST_CHECKPOINT_KEY, commit_key, delta_checkpoint_key};

use super::*;
use crate::kit::key_of as key;

/// Names for so many units; samples want names that live for ever.
fn names(count: usize) -> Vec<&'static str> {
    (0..count).map(|n| &*Box::leak(format!("u{n}").into_boxed_str())).collect()
}

struct Scene {
    bucket: Bucket,
    archive: Archive,
    known: Known,
}

impl Scene {
    /// Versions 0 to `commits`, a unit each, the second with a reject.
    async fn sealed(commits: usize, every: u64) -> Self {
        let bucket = Bucket::default();
        let archive = sample::create_in(&bucket).await.unwrap();
        let mut scene = Self { bucket, archive, known: Known::default() };
        for (n, name) in names(commits).into_iter().enumerate() {
            scene.deliver(name, u64::from(n == 1)).await;
            scene.seal(every).await;
        }
        scene
    }

    async fn deliver(&self, name: &'static str, rejects: u64) {
        ingest(&self.archive, &delivery(&[unit(name, 1, rejects)], 1).unwrap()).await.unwrap();
    }

    async fn seal(&mut self, every: u64) {
        let options = SealOptions { delta_checkpoint_every: every, ..SealOptions::default() };
        let (sealer, key) = (self.archive.sealer(), key(7));
        let known = &mut self.known;
        let _ = seal_again(&sealer, Some(&key), known, NOON_MICROS, options).await.unwrap();
    }

    fn remove(&self, object: &str) {
        let (place, key) = (Place::Archive, object.to_owned());
        let _ = self.bucket.answer(&Request { place, key, action: Action::Delete });
    }

    fn replace(&self, object: &str, bytes: impl Into<Bytes>) -> Bytes {
        let there = self.bucket.get(Place::Archive, object).unwrap_or_default();
        self.remove(object);
        let (place, key, action) = (Place::Archive, object.to_owned(), Action::Put(bytes.into()));
        let _ = self.bucket.answer(&Request { place, key, action });
        there
    }

    async fn fresh(&self) -> Result<Snapshot, ArchiveError> {
        self.archive.reader().snapshot(Mode::Fresh).await
    }

    /// A fresh snapshot by a reader that knows nothing, and what it asked, wave by wave.
    async fn waves(&self) -> (Snapshot, Vec<Vec<String>>) {
        let waves = Waves::to(&self.bucket);
        let slow = self.bucket.archive(Arc::new(waves.clone()), &StoreOptions::default());
        here::want(true);
        let snapshot = waves.run(slow.reader().snapshot(Mode::Fresh)).await.unwrap();
        here::want(false);
        let asked = |request: Request| format!("{} {}", request.verb(), request.key);
        let waves = waves.take().into_iter().map(|wave| wave.into_iter().map(asked).collect());
        (snapshot, waves.collect())
    }
}

/// Paths with the versions that sealed them, of events and rejects, in their order.
fn named(snapshot: &Snapshot) -> Vec<(String, Option<u64>)> {
    let events = snapshot.files.iter().map(|file| (file.entry.path.clone(), file.sealed_version));
    let rejects = snapshot.quarantine.iter();
    events.chain(rejects.map(|file| (file.entry.path.clone(), file.sealed_version))).collect()
}

#[tokio::test]
async fn a_fresh_open_takes_three_round_trips() {
    // The Delta checkpoint of version 40 is in commit 41; a run ends with version 31.
    let scene = Scene::sealed(45, 20).await;
    for name in ["x", "y", "z"] {
        scene.deliver(name, 0).await;
    }
    let (snapshot, waves) = scene.waves().await;
    assert_eq!((snapshot.version, snapshot.files.len(), snapshot.unsealed_rows), (45, 48, 3));
    let of =
        |wave: &[String], start: &str| wave.iter().filter(|asked| asked.starts_with(start)).count();
    assert_eq!(
        waves[0],
        ["list inbox/", "get _delta_log/_last_checkpoint", "get _ledger/checkpoint"]
    );
    // The Delta checkpoint, and the tile and the entries that tell whether the ledger vouches for
    // it; commits 32 to 45, of which 32 to 40 name manifests whose units no run has; two lists; and
    // the three manifests that wait.
    let second = ["get _delta_log/", "get _ledger/", "get inbox/"].map(|s| of(&waves[1], s));
    assert_eq!((waves[1].len(), second), (15 + 2 + 2 + 3, [15, 2, 3]), "{waves:?}");
    assert!(waves[1].contains(&"list _delta_log/".to_owned()));
    assert!(waves[1].contains(&"list index/held/".to_owned()));
    // Two runs, and the manifests of 32 to 45.
    let third = [of(&waves[2], "get index/held/"), of(&waves[2], "get manifests/")];
    assert_eq!((waves.len(), waves[2].len(), third), (3, 16, [2, 14]), "{waves:?}");
}

#[tokio::test]
async fn a_short_log_and_an_empty_inbox_take_fewer() {
    let scene = Scene::sealed(9, 20).await;
    let (snapshot, waves) = scene.waves().await;
    assert_eq!((snapshot.version, snapshot.files.len()), (9, 9));
    // Three marks; ten commits and a listing of what comes after them.
    assert_eq!(waves.iter().map(Vec::len).collect::<Vec<_>>(), [3, 11], "{waves:?}");
}

#[tokio::test]
async fn a_fresh_snapshot_behind_a_delta_checkpoint_is_the_one_of_all_commits() {
    let scene = Scene::sealed(10, 4).await;
    let whole = scene.archive.reader().snapshot_at(None, Mode::Fresh, 10).await.unwrap();
    let fresh = scene.fresh().await.unwrap();
    assert_eq!((named(&fresh), &*fresh.table_id), (named(&whole), "sample"));
    let entries = |snapshot: &Snapshot| -> Vec<FileEntry> {
        snapshot.files.iter().map(|file| file.entry.clone()).collect()
    };
    assert_eq!(entries(&fresh), entries(&whole));
    // An earlier version than it begins with is read anew, a later one is not.
    let reader = scene.archive.reader();
    for version in 0..=10 {
        let at = reader.snapshot_at(Some(&fresh), Mode::Fresh, version).await.unwrap();
        let alone = reader.snapshot_at(None, Mode::Fresh, version).await.unwrap();
        assert_eq!((at.version, named(&at)), (version, named(&alone)));
    }
    // Commits that the state has are not needed.
    for version in 0..=8 {
        scene.remove(&commit_key(version));
    }
    assert_eq!(named(&scene.fresh().await.unwrap()), named(&whole));
}

#[tokio::test]
async fn whatever_the_marks_say_a_fresh_snapshot_is_right() {
    let mut scene = Scene::sealed(10, 4).await;
    scene.deliver("waits", 0).await;
    let right = scene.fresh().await.unwrap();
    let is_right = async |scene: &Scene, what: &str| {
        let found = scene.fresh().await.unwrap();
        assert_eq!(named(&found), named(&right), "{what}");
        assert_eq!((found.version, found.unsealed_rows), (10, 1), "{what}");
    };
    let hint = |version: u64| {
        format!("{{\"version\":{version},\"size\":1,\"sizeInBytes\":1,\"numOfAddFiles\":1}}")
    };
    for said in [hint(4), hint(0), hint(7), hint(1_000_000), hint(u64::MAX), "{}".to_owned()] {
        let there = scene.replace(LAST_CHECKPOINT_KEY, said.clone());
        is_right(&scene, &said).await;
        scene.replace(LAST_CHECKPOINT_KEY, there);
    }
    let checkpoint = |size: &str| {
        let there = scene.bucket.get(Place::Archive, CHECKPOINT_KEY).unwrap();
        String::from_utf8(there.to_vec()).unwrap().replacen("\n11\n", &format!("\n{size}\n"), 1)
    };
    for said in [
        checkpoint("3"),
        checkpoint("12"),
        checkpoint("99999999999"),
        checkpoint("18446744073709551615"),
        "none".to_owned(),
    ] {
        let there = scene.replace(CHECKPOINT_KEY, said.clone());
        is_right(&scene, &said).await;
        scene.replace(CHECKPOINT_KEY, there);
    }
    // A Delta checkpoint that is sound and that no commit vouches for, or another than it vouches
    // for, or none.
    let (four, eight) = (delta_checkpoint_key(4), delta_checkpoint_key(8));
    let other = scene.bucket.get(Place::Archive, &four).unwrap();
    let mut flipped = scene.bucket.get(Place::Archive, &eight).unwrap().to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bytes in [other, flipped.into(), Bytes::new()] {
        let there = scene.replace(&eight, bytes);
        is_right(&scene, "another Delta checkpoint").await;
        scene.remove(&eight);
        is_right(&scene, "no Delta checkpoint").await;
        scene.replace(&eight, there);
    }
    scene.remove(LAST_CHECKPOINT_KEY);
    is_right(&scene, "no hint").await;
    scene.remove(CHECKPOINT_KEY);
    is_right(&scene, "no mark at all").await;
    scene.remove(&eight);
    is_right(&scene, "nothing but commits").await;
    // Commits that do not hold are an error, wherever the log begins.
    let there = scene.replace(&commit_key(9), "{}\n");
    assert!(scene.fresh().await.is_err());
    scene.replace(&commit_key(9), there);
    scene.remove(&commit_key(9));
    let error = scene.fresh().await.unwrap_err();
    assert!(matches!(error, ArchiveError::LogGap { missing: 9, next: 10, .. }), "{error}");
    let _ = &mut scene;
}

#[tokio::test]
async fn a_delta_checkpoint_whose_commit_is_not_there_yet_is_not_begun_with() {
    // As a sealer leaves it that stopped between the two.
    let mut scene = Scene::sealed(10, 4).await;
    for name in ["k", "l"] {
        scene.deliver(name, 0).await;
        scene.seal(0).await;
    }
    let sealer = scene.archive.sealer();
    let log = sealer.log(&Log::default()).await.unwrap();
    let _ = sealer.put_delta_checkpoint(&log, 12).await.unwrap().unwrap();
    let (snapshot, waves) = scene.waves().await;
    assert_eq!((snapshot.version, snapshot.files.len()), (12, 12));
    // The ledger knows the one before it: its tile and bundle again, that Delta checkpoint, a
    // listing, the commits behind it.
    let [_, _, tiles, checkpoint, listing, commits] = &waves[..] else { panic!("{waves:?}") };
    assert!(tiles.len() == 2 && tiles.iter().all(|asked| asked.contains("_ledger/tile/")));
    assert_eq!(checkpoint, &[format!("get {}", delta_checkpoint_key(8))]);
    assert_eq!(listing, &["list _delta_log/"]);
    let behind: Vec<String> = (9..=12).map(|n| format!("get {}", commit_key(n))).collect();
    assert_eq!(commits, &behind);
}

#[tokio::test]
async fn units_stay_held_whatever_the_log_begins_with() {
    let scene = Scene::sealed(45, 20).await;
    // Sealed long ago, sealed before the Delta checkpoint and in no run, and sealed behind it.
    for name in ["u1", "u36", "u44"] {
        scene.deliver(name, 0).await;
    }
    scene.deliver("new", 0).await;
    let reader = scene.archive.reader();
    let fresh = reader.snapshot(Mode::Fresh).await.unwrap();
    assert_eq!((fresh.unsealed_rows, fresh.files.len()), (1, 46));
    let ids = ["u1", "u36", "u44", "new", "none"].map(sample::unit_id);
    assert_eq!(reader.held(&ids).await.unwrap(), [true, true, true, true, false]);
    // Without the runs, manifests say it; of them only those of commits before the log begins.
    let runs = scene.bucket.keys(Place::Archive, "index/held/");
    assert_eq!(runs.len(), 2);
    runs.iter().for_each(|run| scene.remove(run));
    let fresh = scene.fresh().await.unwrap();
    assert_eq!((fresh.unsealed_rows, fresh.files.len()), (1, 46));
}
