//! A simulation of functions, sealers and readers over a store with faults. A seed decides the
//! order of every request and what goes wrong with it, so a seed that fails can be looked at.

pub(crate) mod chance;
pub(crate) mod compact;
mod gate;
mod oracle;
pub(crate) mod readback;
mod source;
pub(crate) mod unit;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use world::play;

/// Seeds that every run of the tests plays.
const SEEDS: u64 = 2_000;

/// How many seeds are played, and one that is to be played alone.
#[expect(clippy::disallowed_methods, reason = "how a test is run is its caller's choice")]
fn wanted(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}: expected a number, found {text:?}: {e}")))
}

/// `MESHLEDGER_SIM_SEED=n` plays one seed and prints all that happened in it;
/// `MESHLEDGER_SIM_SEEDS=n` plays so many.
#[test]
fn nothing_is_lost_and_nothing_is_there_twice_whatever_happens() {
    if let Some(seed) = wanted("MESHLEDGER_SIM_SEED") {
        let outcome = play(seed);
        eprintln!("{}{:?}", outcome.trace, outcome.seen);
        assert_eq!(outcome.wrong, None, "seed {seed}");
        return;
    }
    let seeds = wanted("MESHLEDGER_SIM_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let seen: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    let outcome = play(seed);
                    let mut all = seen.lock().unwrap();
                    for (kind, count) in outcome.seen {
                        *all.entry(kind).or_default() += count;
                    }
                    drop(all);
                    if let Some(wrong) = outcome.wrong {
                        failed.lock().unwrap().push((seed, wrong));
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    eprintln!("{seeds} seeds in {:.1} s: {seen:#?}", began.elapsed().as_secs_f64());
    if let Some((seed, wrong)) = failed.into_inner().unwrap().first() {
        panic!("seed {seed}: {wrong}\nreplay it with MESHLEDGER_SIM_SEED={seed}");
    }
    // A simulation in which something never happens proves nothing about it.
    for kind in HAPPENS {
        assert!(seen.contains_key(kind), "in {seeds} seeds there was no {kind:?}");
    }
}

/// What must happen in any two thousand seeds.
const HAPPENS: [&str; 23] = [
    "answer: fresh",
    "answer: strict",
    "answer: the store failed",
    "compaction",
    "crash of a function",
    "crash of a sealer",
    "expiry",
    "freeze",
    "invocation given up",
    "late write done",
    "late write refused",
    "manifest of which all units were held",
    "manifest of which some units were held",
    "query cancelled",
    "race of sealers",
    "read: failed",
    "seal: the store failed",
    "two functions on one delivery",
    "write of a stopped actor that lands later",
    "write: 409, nothing stored",
    "write: delayed past its sender's patience",
    "write: reply lost",
    "write: request lost",
];

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        let (first, second) = (play(seed), play(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.digest(), second.digest());
        assert_ne!(first.digest(), play(seed + 1_000_000).digest());
    }
}
