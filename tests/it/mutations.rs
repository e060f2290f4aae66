//! Mutations: any object of a sound archive, changed in any way, is noticed.
//!
//!     MESHLEDGER_MUTATIONS=100000 tests/run.sh mutation      more of them
//!     MESHLEDGER_TEST_SEED=7 MESHLEDGER_MUTATION=1234 …      one alone, as a failure says
//!
//! The verdict is that of `archive::verify` on a folder, called in process; a sample is also shown
//! to the independent verifier. What may be changed unnoticed is written out in [`may_pass`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use archive::verify::{Severity, VerifyOptions, verify};
use archive::{Archive, StoreOptions};
use meshledger_tests::tamper::files_below;
use tlog::policy::Policy;

use crate::scene::{Scene, key};

/// Mutations in a run, if the environment does not say otherwise.
const MUTATIONS: u64 = 2_400;

/// One in so many is shown to the independent verifier too, which takes a process each.
const SHOWN_TO_THE_OTHER: u64 = 24;

/// What is done to an object.
#[derive(Debug)]
enum Mutation {
    Flip {
        bit: u64,
    },
    Cut {
        to: u64,
    },
    Append {
        bytes: u64,
    },
    Remove,
    Exchange {
        with: PathBuf,
    },
    /// A copy of it beside it, under a name that differs in one character.
    Plant {
        at: usize,
        character: char,
    },
}

/// A sound archive, and each of its objects: what is below `.tmp/` is none, and what is below
/// `refused/` is not looked at (format 14.8).
struct Target {
    scene: Scene,
    objects: Vec<PathBuf>,
}

impl Target {
    fn new(scene: Scene) -> Self {
        let mut objects = files_below(&scene.archive());
        objects.extend(files_below(&scene.work()));
        objects.retain(|file| {
            let text = file.to_str().unwrap();
            !text.contains("/.tmp/") && !text.contains("/refused/")
        });
        Self { scene, objects }
    }

    /// Objects by what they are, so that the few are changed as often as the many.
    fn kinds(&self) -> Vec<Vec<&PathBuf>> {
        let mut kinds: Vec<(String, Vec<&PathBuf>)> = Vec::new();
        for object in &self.objects {
            let key = object.strip_prefix(self.scene.folder()).unwrap();
            let kind: PathBuf = key.components().skip(1).take(3).collect();
            let kind = if kind.starts_with("_ledger/tile") {
                kind
            } else {
                kind.iter().next().unwrap().into()
            };
            let kind = kind.display().to_string();
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, objects)) => objects.push(object),
                None => kinds.push((kind, vec![object])),
            }
        }
        kinds.into_iter().map(|(_, objects)| objects).collect()
    }

    /// The mutation of this number: the same one each time for one seed.
    fn mutation(&self, seed: u64, number: u64) -> (PathBuf, Mutation) {
        let mut state = seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95);
        let mut below = |end: usize| usize::try_from(next(&mut state) % end as u64).unwrap();
        let kinds = self.kinds();
        let kind = &kinds[below(kinds.len())];
        let object = kind[below(kind.len())].clone();
        let length = usize::try_from(fs::metadata(&object).unwrap().len()).unwrap();
        let mutation = match below(9) {
            // Most are flips of one bit, which are the hardest to see.
            0..4 if length > 0 => Mutation::Flip { bit: below(length * 8) as u64 },
            4 if length > 0 => Mutation::Cut { to: below(length) as u64 },
            5 => Mutation::Append { bytes: 1 + below(300) as u64 },
            6 => Mutation::Remove,
            7 => {
                let name = object.file_name().unwrap().len();
                let (at, character) = (below(name), "0123456789abcdefx.".chars().nth(below(18)));
                Mutation::Plant { at, character: character.unwrap() }
            }
            _ => Mutation::Exchange { with: self.objects[below(self.objects.len())].clone() },
        };
        (object, mutation)
    }

    /// Applies a mutation; gives the files as they were, or nothing if it changes none.
    fn apply(object: &Path, mutation: &Mutation) -> Option<Vec<(PathBuf, Option<Vec<u8>>)>> {
        let good = fs::read(object).unwrap();
        let mut undo = vec![(object.to_owned(), Some(good.clone()))];
        let mut bad = good.clone();
        match mutation {
            Mutation::Flip { bit } => bad[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8),
            Mutation::Cut { to } => bad.truncate(usize::try_from(*to).unwrap()),
            Mutation::Append { bytes } => bad.extend((0..*bytes).map(|n| n.to_le_bytes()[0])),
            Mutation::Remove => {
                fs::remove_file(object).unwrap();
                return Some(undo);
            }
            Mutation::Exchange { with } => {
                bad = fs::read(with).unwrap();
                undo.push((with.clone(), Some(bad.clone())));
                fs::write(with, &good).unwrap();
            }
            Mutation::Plant { at, character } => {
                let mut name: Vec<char> =
                    object.file_name().unwrap().to_str().unwrap().chars().collect();
                name[*at] = *character;
                let path = object.with_file_name(name.iter().collect::<String>());
                if path.exists() {
                    return None;
                }
                fs::write(&path, &good).unwrap();
                return Some(vec![(path, None)]);
            }
        }
        fs::write(object, &bad).unwrap();
        (bad != good).then_some(undo)
    }
}

/// What may be done without being noticed, and why.
fn may_pass(object: &Path, mutation: &Mutation) -> Option<&'static str> {
    let text = object.to_str().unwrap();
    if !matches!(mutation, Mutation::Remove) {
        return None;
    }
    let is_old_tile = text.contains("/_ledger/tile/") && text.contains(".p/");
    (is_old_tile.then_some("a partial tile that a later one replaced need not be there"))
        .or_else(|| text.contains("/lock/").then_some("locks may lie elsewhere, and be gone"))
        .or_else(|| text.contains("/_ledger/checkpoints/").then_some("kept signatures may be gone"))
        .or_else(|| text.contains("/data/").then_some("only a manifest names it"))
        .or_else(|| text.contains("/quarantine/").then_some("only a manifest names it"))
}

/// The verdict of the real verifier over the real store.
fn worst(scene: &Scene) -> Result<Option<Severity>, String> {
    let location = archive::sample::location(scene.folder()).unwrap();
    let archive = Archive::connect(&location, &StoreOptions::default()).unwrap();
    let options = VerifyOptions {
        policy: Some(Policy::of_log(key().public().clone())),
        files_at_once: std::num::NonZeroUsize::new(1),
        ..VerifyOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(verify(&archive.reader(), options, &|_| {}));
    report.map(|report| report.worst()).map_err(|e| e.to_string())
}

/// How a mutated archive was judged.
#[derive(Default)]
struct Tally {
    done: u64,
    passed: u64,
    shown: u64,
    failures: Vec<String>,
}

/// Does the mutations of these numbers to a copy of its own.
fn mutate(sound: &Scene, seed: u64, numbers: impl Iterator<Item = u64>) -> Tally {
    let target = Target::new(sound.copy());
    let mut tally = Tally::default();
    assert_eq!(worst(&target.scene), Ok(None), "it is sound to begin with");
    for number in numbers {
        let (object, mutation) = target.mutation(seed, number);
        let Some(undo) = Target::apply(&object, &mutation) else { continue };
        let verdict = worst(&target.scene);
        let mut is_right = match &verdict {
            Ok(Some(_)) => true,
            Ok(None) => may_pass(&object, &mutation).is_some(),
            Err(_) => false,
        };
        tally.done += 1;
        tally.passed += u64::from(verdict == Ok(None));
        let mut other = String::new();
        if number % SHOWN_TO_THE_OTHER == 0 {
            let output = target.scene.independent().run();
            let expected = match &verdict {
                Ok(None) => 0,
                Ok(Some(Severity::Tampering)) => 1,
                Ok(Some(Severity::Incomplete)) | Err(_) => 2,
            };
            is_right &= output.code == Some(expected);
            other = format!("; verify.py: {}", output.report());
            tally.shown += 1;
        }
        if !is_right {
            tally.failures.push(format!(
                "MESHLEDGER_TEST_SEED={seed} MESHLEDGER_MUTATION={number}: {mutation:?} of {} gave \
                 {verdict:?}{other}",
                object.strip_prefix(target.scene.folder()).unwrap().display()
            ));
        }
        for (path, bytes) in undo {
            match bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
    }
    assert_eq!(worst(&target.scene), Ok(None), "what was undone is sound again");
    tally
}

#[expect(clippy::disallowed_methods, reason = "how a test is run is its caller's choice")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Mutates copies of an archive on two threads and demands that everything was noticed.
fn nothing_passes(sound: &Scene, count: u64) {
    let seed = from_environment("MESHLEDGER_TEST_SEED").unwrap_or(4);
    let one = from_environment("MESHLEDGER_MUTATION");
    let (first, end) = one.map_or((0, count), |number| (number, number + 1));
    let (started, next) = (Instant::now(), AtomicU64::new(first));
    let work = || {
        let numbers = std::iter::from_fn(|| {
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < end)
        });
        mutate(sound, seed, numbers)
    };
    let tallies = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().unwrap())
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    eprintln!(
        "MESHLEDGER_TEST_SEED={seed}: {} mutations in {:.1?}; {} of what may pass; {} shown to \
         verify.py",
        sum(|t| t.done),
        started.elapsed(),
        sum(|t| t.passed),
        sum(|t| t.shown),
    );
    let failures: Vec<&String> = tallies.iter().flat_map(|tally| &tally.failures).collect();
    assert!(failures.is_empty(), "{} were not noticed: {failures:#?}", failures.len());
}

#[test]
fn any_mutation_of_any_object_is_noticed() {
    let count = from_environment("MESHLEDGER_MUTATIONS").unwrap_or(MUTATIONS);
    nothing_passes(&Scene::rich(), count * 5 / 6);
}

#[test]
fn any_mutation_of_a_log_with_tiles_of_two_levels_is_noticed() {
    let count = from_environment("MESHLEDGER_MUTATIONS").unwrap_or(MUTATIONS);
    nothing_passes(&Scene::long(), count / 6);
}

/// SplitMix64, by Sebastiano Vigna; public domain.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
