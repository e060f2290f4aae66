//! The tamper matrix: what somebody may do to a sound archive, what that must be called, and a
//! state like it that is no tampering. The independent verifier judges every copy too.
//!
//! Numbers are the lines of the matrix; a line with several ways has letters. Not here, but tests:
//! lines of row roots, races, crashes and hostile input (`docs/threat-model.md` lists them all).

mod lines;
mod twins;

use std::sync::atomic::{AtomicUsize, Ordering};

use meshledger_tests::tamper::delete;

use self::lines::LINES;
use self::twins::TWINS;
use crate::scene::Scene;

const SOUND: i32 = 0;
const TAMPERING: i32 = 1;
const INCOMPLETE: i32 = 2;

/// A line: its number, what is done, the exit code and a code among the findings, and the state
/// beside it that must not alarm (one of [`TWINS`]).
type Line = (&'static str, &'static str, i32, &'static str, fn(&Scene), &'static str);

/// No alarm: what is done, and how `verify` ends.
type Twin = (&'static str, i32, fn(&Scene));

#[test]
fn every_line_of_the_tamper_matrix_is_found_and_named_by_both_verifiers() {
    let sound = Scene::rich();
    let judge = |(number, name, exit, code, attack, _): &Line| {
        let scene = sound.copy();
        attack(&scene);
        judged(&scene, &format!("line {number}, {name}"), *exit, Some(code))
    };
    let failures = side_by_side(LINES, judge);
    assert!(failures.is_empty(), "{} lines:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_is_like_a_line_of_the_tamper_matrix_and_is_none_gives_no_alarm() {
    for (number, _, _, _, _, twin) in LINES {
        assert!(TWINS.iter().any(|(name, ..)| name == twin), "line {number} has no twin {twin}");
    }
    let sound = Scene::rich();
    let judge = |(name, exit, change): &Twin| {
        let scene = sound.copy();
        change(&scene);
        judged(&scene, name, *exit, None)
    };
    let failures = side_by_side(TWINS, judge);
    assert!(failures.is_empty(), "{} twins:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_needs_a_memory_passes_without_one() {
    let before = Scene::rich();
    // Line 26: yesterday's archive, ledger and locks in the place of today's.
    let today = before.copy();
    today.deliver("more");
    let there = judged(&today, "today's", SOUND, None);
    let back = judged(&before, "line 26, everything put back", SOUND, None);
    // Line 27: another history, signed with the right key, and nothing kept of the first one.
    let fork = today.copy();
    let (mut gone, files) = fork.named(17);
    gone.extend(files.into_iter().chain(fork.added(17)));
    gone.push(fork.commit(17));
    for file in &gone {
        delete(file);
    }
    fork.forge();
    let forked = judged(&fork, "line 27, another history", SOUND, None);
    let failures: Vec<String> = [there, back, forked].into_iter().flatten().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with the two verdicts, if anything is.
fn judged(scene: &Scene, name: &str, exit: i32, code: Option<&str>) -> Option<String> {
    let (verify, other) = (scene.verify().run(), scene.independent().run());
    let named = code.is_none_or(|code| {
        verify.stdout.contains(&b'{') && verify.codes().iter().any(|c| c == code)
    });
    let other_named = code.is_none_or(|code| other.text().contains(&format!(" {code} ")));
    let is_right = verify.code == Some(exit) && other.code == Some(exit) && named && other_named;
    (!is_right).then(|| {
        format!(
            "{name}: expected {exit} {code:?}\n{}\nverify.py: {}",
            verify.report(),
            other.report()
        )
    })
}

/// Runs the cases on two threads; gives what failed.
fn side_by_side<T: Sync>(cases: &[T], judge: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let (next, judge) = (AtomicUsize::new(0), &judge);
    let work = || {
        let mine = std::iter::from_fn(|| cases.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(judge).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
