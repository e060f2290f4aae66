//! A sound archive with a ledger and everything that an archive can have, for attacks to begin from.
//!
//! It is made in process, from samples, with a key and times that are written here: the same bytes
//! each time, as far as the archive's own code has no randomness.

use std::fs;
use std::path::{Path, PathBuf};

use archive::Archive;
use archive::log::Log;
use archive::sample::{
    NOON_MICROS, Sample, SampleUnit, create, delivery, ingest, removing_commit, unit,
};
use common::commit::Commit;
use common::date::DAY_MICROS;
use common::layout;
use common::ledger::{Entry, lock_text};
use maintain_fn::{SealOptions, seal, seal_signed};
use meshledger_tests::cli::{Program, ml};
use meshledger_tests::python::script;
use meshledger_tests::tamper::{copy_tree, files_below};
use serde_json::Value;
use tempfile::TempDir;
use tlog::note::{Algorithm, Note, SeedSigner};
use tlog::tile::{Of, Tile, WIDTH, Whole, push_entry};
use tlog::{Checkpoint, Hash};

/// When its seals are made.
const NOW_MICROS: i64 = NOON_MICROS + 3_600_000_000;

/// Name of its ledger; the samples' table id is the last part.
pub(crate) const ORIGIN: &str = "archive.example/mesh/sample";

/// An archive, its work area, and what an auditor was given of it.
pub(crate) struct Scene {
    folder: TempDir,
}

/// The key that seals it.
pub(crate) fn key() -> SeedSigner {
    SeedSigner::new(ORIGIN, Algorithm::Ed25519, [7; 32]).unwrap()
}

/// A key of another seed, with the same name.
pub(crate) fn other_key() -> SeedSigner {
    SeedSigner::new(ORIGIN, Algorithm::Ed25519, [8; 32]).unwrap()
}

impl Scene {
    fn empty() -> Self {
        // In memory where that is possible: many copies are made, and syncing them is not the point.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { TempDir::new() };
        let scene = Self { folder: folder.unwrap() };
        let policy = format!("log {}\nquorum none\n", key().public());
        fs::write(scene.policy(), policy).unwrap();
        scene
    }

    /// Seventeen commits: two dates, quarantine, a delivery of which only a part was new, a run of
    /// the held index, and checkpoints of five sizes.
    pub(crate) fn rich() -> Self {
        let scene = Self::empty();
        let mut two_days = unit("a", 3, 2);
        two_days.times[2] += 2 * DAY_MICROS;
        run(async {
            let archive = create(scene.folder.path()).await.unwrap();
            scene.seal(&archive, &[]).await;
            scene.seal(&archive, &[sample(&[two_days, unit("b", 3, 1)])]).await;
            // Of this one only `c` is new: its rows and its reject are written anew.
            scene.seal(&archive, &[sample(&[unit("b", 3, 1), unit("c", 2, 1)])]).await;
            scene.seal(&archive, &[sample(&[unit("d", 4, 0)]), sample(&[unit("e", 1, 1)])]).await;
            scene.seal(&archive, &empty(13)).await;
        });
        assert_eq!(scene.commits(), 17);
        scene
    }

    /// Three hundred commits, so that there are full tiles of two levels and partial ones.
    pub(crate) fn long() -> Self {
        let scene = Self::empty();
        run(async {
            let archive = create(scene.folder.path()).await.unwrap();
            for sample in [vec![sample(&[unit("a", 2, 1)])], empty(298)].concat() {
                ingest(&archive, &sample).await.unwrap();
            }
            let _ = seal(&archive.sealer(), NOW_MICROS, one_each()).await.unwrap();
            scene.seal(&archive, &[]).await;
        });
        assert_eq!(scene.commits(), 300);
        scene
    }

    /// Another folder with the same objects.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::empty();
        copy_tree(&self.archive(), &copy.archive());
        copy_tree(&self.work(), &copy.work());
        copy
    }

    async fn seal(&self, archive: &Archive, samples: &[Sample]) {
        for sample in samples {
            ingest(archive, sample).await.unwrap();
        }
        let options = if samples.len() > 2 { one_each() } else { SealOptions::default() };
        let report = seal_signed(&archive.sealer(), &key(), NOW_MICROS, options).await.unwrap();
        assert!(report.is_complete, "{report:?}");
    }

    /// Delivers one more unit and seals it.
    pub(crate) fn deliver(&self, name: &'static str) {
        self.deliver_unit(unit(name, 2, 1), true);
    }

    /// Delivers one more unit, sealed or not.
    pub(crate) fn deliver_unit(&self, unit: SampleUnit, is_sealed: bool) {
        run(async {
            let archive = create(self.folder.path()).await.unwrap();
            let one = sample(&[unit]);
            if is_sealed {
                self.seal(&archive, &[one]).await;
            } else {
                ingest(&archive, &one).await.unwrap();
            }
        });
    }

    /// Commits that these files are no part of the table any more, which no program does yet; the
    /// files stay, and nothing is signed.
    pub(crate) fn expire(&self, files: &[PathBuf]) {
        let archive = self.archive();
        let paths = files.iter().map(|file| file.strip_prefix(&archive).unwrap().to_str().unwrap());
        let paths: Vec<&str> = paths.collect();
        run(async {
            let archive = create(self.folder.path()).await.unwrap();
            let sealer = archive.sealer();
            let log = sealer.log(&Log::default()).await.unwrap();
            let bytes = removing_commit(&log, &paths, &[]).unwrap();
            let _ = sealer.put_commit(log.next_version(), bytes).await.unwrap();
        });
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("archive.work")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.path().join("trust.txt")
    }

    pub(crate) fn commits(&self) -> u64 {
        files_below(&self.archive().join("_delta_log")).len().try_into().unwrap()
    }

    pub(crate) fn commit(&self, version: u64) -> PathBuf {
        self.archive().join(layout::commit_key(version))
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.archive().join(layout::CHECKPOINT_KEY)
    }

    /// The signature that was kept for a size.
    pub(crate) fn kept(&self, size: u64) -> PathBuf {
        self.archive().join(layout::signature_key(size, key().public().key_id()))
    }

    pub(crate) fn lock(&self, size: u64) -> PathBuf {
        self.work().join(layout::lock_key(size))
    }

    /// The event files that a version adds.
    pub(crate) fn added(&self, version: u64) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.commit(version)).unwrap();
        let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let paths = actions.filter_map(|action| action["add"]["path"].as_str().map(str::to_owned));
        paths.map(|path| self.archive().join(path)).collect()
    }

    /// The manifests and quarantine files that a version names.
    pub(crate) fn named(&self, version: u64) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let text = fs::read_to_string(self.commit(version)).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let (mut manifests, mut quarantine) = (Vec::new(), Vec::new());
        for named in first["commitInfo"]["meshledger"]["manifests"].as_array().unwrap() {
            let delivery = named["delivery"].as_str().unwrap();
            manifests.push(self.archive().join(format!("manifests/{delivery}.json")));
            for file in named["quarantine"].as_array().into_iter().flatten() {
                quarantine.push(self.archive().join(file["path"].as_str().unwrap()));
            }
        }
        (manifests, quarantine)
    }

    /// Files below a prefix of the archive, at least `least`.
    pub(crate) fn below(&self, prefix: &str, least: usize) -> Vec<PathBuf> {
        let found = files_below(&self.archive().join(prefix));
        assert!(found.len() >= least, "{prefix} holds {found:?}");
        found
    }

    /// `meshledger verify --json` with the policy.
    pub(crate) fn verify(&self) -> Program {
        ml(["verify", "--json", "--archive"])
            .args([self.archive()])
            .args(["--policy"])
            .args([self.policy()])
    }

    /// The verifier that was written from the format page alone.
    pub(crate) fn independent(&self) -> Program {
        script("verify.py").args([self.archive()]).args(["--policy"]).args([self.policy()])
    }

    /// What somebody does who holds the ledger's key and may write everything: each commit names
    /// the one before it again, and the ledger and its locks are made anew over them.
    pub(crate) fn forge(&self) {
        let mut previous: Option<String> = None;
        let mut entries = Vec::new();
        for version in 0..self.commits() {
            let mut text = fs::read_to_string(self.commit(version)).unwrap();
            if let Some(previous) = previous {
                let said: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                let said = &said["commitInfo"]["meshledger"]["previous_sha256"];
                text = text.replace(said.as_str().unwrap(), &previous);
                fs::write(self.commit(version), &text).unwrap();
            }
            previous = Some(common::Sha256Digest::of(text.as_bytes()).to_string());
            let commit = Commit::parse(version, text.as_bytes()).unwrap();
            entries.push(Entry::of_commit(version, text.as_bytes(), &commit.adds));
        }
        let _ = fs::remove_dir_all(self.archive().join("_ledger"));
        let _ = fs::remove_dir_all(self.work().join("lock"));
        let whole = Whole::new(entries.iter().map(Entry::leaf).collect());
        for tile in Tile::all_between(0, whole.size()) {
            let mut bytes = whole.tile(tile).unwrap_or_default();
            if tile.of == Of::Entries {
                let first = usize::try_from(tile.index).unwrap() * usize::from(WIDTH);
                bytes.clear();
                for entry in &entries[first..first + usize::from(tile.width)] {
                    push_entry(&mut bytes, entry.to_text().as_bytes()).unwrap();
                }
            }
            write(&self.archive().join(layout::tile_key(tile)), &bytes);
        }
        let root = whole.root_at(whole.size()).unwrap();
        let note = signed(whole.size(), root, &key());
        write(&self.lock(whole.size()), lock_text(root).as_bytes());
        write(&self.kept(whole.size()), note.as_bytes());
        write(&self.checkpoint(), note.as_bytes());
    }
}

/// A checkpoint that a key signed.
pub(crate) fn signed(size: u64, root: Hash, key: &SeedSigner) -> String {
    let text = Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_text();
    let signatures = vec![key.sign(&text, 0)];
    Note { text, signatures }.to_text()
}

/// Writes a file where it may not be yet.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

fn one_each() -> SealOptions {
    SealOptions { manifests_per_commit_max: 1, ..SealOptions::default() }
}

fn sample(units: &[SampleUnit]) -> Sample {
    delivery(units, NOON_MICROS).unwrap()
}

/// Deliveries of one unit without any record.
fn empty(count: usize) -> Vec<Sample> {
    let name = |n: usize| -> &'static str { format!("nothing {n}").leak() };
    (0..count).map(|n| sample(&[unit(name(n), 0, 0)])).collect()
}
