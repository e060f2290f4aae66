//! An archive that somebody made to hurt whoever verifies it: refused with a finding, in bounded
//! memory and time (line 38 of the tamper matrix).

use std::fs;
use std::path::Path;
use std::time::Duration;

use archive::sample::unit;
use meshledger_tests::cli::meshledger;
use meshledger_tests::python::script;
use meshledger_tests::tamper::edit;
use serde_json::Value;
use tlog::Hash;

use crate::scene::{Scene, key, signed, write};

/// Largest memory of a verification of a small archive, whatever was done to it.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// Most computing of a verification of a small archive; a debug build takes a second or two. Not
/// the time it takes, which says more about what else the machine does.
const CPU_SECONDS_MAX: &str = "30";

/// What is done, and the code of a finding that must come of it.
type Attack = (&'static str, &'static str, fn(&Scene));

const ATTACKS: &[Attack] = &[
    ("a checkpoint of a million signature lines", "NOTE", |s| {
        let text = fs::read_to_string(s.checkpoint()).unwrap();
        let line = text.lines().last().unwrap().to_owned() + "\n";
        fs::write(s.checkpoint(), text + &line.repeat(1_000_000)).unwrap();
    }),
    ("a checkpoint of a million lines of text", "NOTE", |s| {
        edit(&s.checkpoint(), "\n\n", &format!("{}\n", "\nline".repeat(1_000_000)));
    }),
    ("a kept signature of a million lines", "NOTE", |s| {
        fs::write(s.kept(3), "line\n".repeat(1_000_000)).unwrap();
    }),
    ("as many signature lines as are read, each of them wrong", "SIG", |s| {
        let note = fs::read_to_string(s.checkpoint()).unwrap();
        let wrong = fs::read_to_string(s.kept(4)).unwrap().lines().last().unwrap().to_owned();
        fs::write(s.checkpoint(), note + &(wrong + "\n").repeat(63)).unwrap();
    }),
    ("a checkpoint of 2^63 commits, rightly signed", "GAP", |s| {
        let note = signed(1 << 63, Hash::of_leaf(b"2^63"), &key());
        fs::write(s.checkpoint(), note).unwrap();
    }),
    ("a checkpoint of 2^64 commits", "NOTE", |s| {
        edit(&s.checkpoint(), "\n17\n", "\n18446744073709551616\n");
    }),
    ("a kept signature over 2^63 commits", "FORK", |s| {
        let note = signed(1 << 63, Hash::of_leaf(b"2^63"), &key());
        write(&s.kept(1 << 63), note.as_bytes());
    }),
    ("a lock of 2^63 commits", "FORK", |s| fs::write(s.lock(1 << 63), "0".repeat(64)).unwrap()),
    ("a lock of a gibibyte", "FORK", |s| holes(&s.lock(3), 1 << 30)),
    ("a commit far ahead of the others", "GAP", |s| {
        fs::copy(s.commit(16), s.commit(9_223_372_036_854_775_807)).unwrap();
    }),
    ("a tile of a gibibyte", "TILE", |s| {
        holes(&s.archive().join("_ledger/tile/0/000.p/17"), 1 << 30);
    }),
    ("a bundle of a gibibyte", "TILE", |s| {
        holes(&s.archive().join("_ledger/tile/entries/000.p/17"), 1 << 30);
    }),
    ("a tile of the highest index", "STRAY", |s| {
        let key = "_ledger/tile/7/x018/x446/x744/x073/x709/x551/615";
        write(&s.archive().join(key), &[0; 8192]);
    }),
    ("a commit of 300 mebibytes", "COMMIT_FORMAT", |s| holes(&s.commit(2), 300 << 20)),
    ("a manifest of 300 mebibytes", "MANIFEST_HASH", |s| {
        holes(&s.named(1).0.remove(0), 300 << 20);
    }),
    ("a run of the held index of a gibibyte", "HELD_INDEX", |s| {
        holes(&s.below("index/held", 1).remove(0), 1 << 30);
    }),
    ("an event file of a gibibyte", "FILE_SIZE", |s| holes(&s.added(1).remove(0), 1 << 30)),
    ("a commit of a million brackets", "COMMIT_FORMAT", |s| {
        let deep =
            format!("{{\"commitInfo\":{}1{}}}\n", "[".repeat(1_000_000), "]".repeat(1_000_000));
        fs::write(s.commit(2), deep).unwrap();
    }),
    ("a commit of a million objects", "COMMIT_FORMAT", |s| {
        let deep = format!("{}1{}\n", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000));
        fs::write(s.commit(2), deep).unwrap();
    }),
    ("a commit of a million lines", "COMMIT_FORMAT", |s| {
        fs::write(s.commit(2), "{}\n".repeat(1_000_000)).unwrap();
    }),
    ("deep statistics in a commit", "COMMIT_FORMAT", |s| {
        let deep = format!("\"stats\":\"{}", "[".repeat(1_000_000));
        edit(&s.commit(1), "\"stats\":\"{", &deep);
    }),
    ("a manifest of a million brackets, waiting", "MANIFEST_FORMAT", |s| {
        let key = format!("inbox/{}.json", "0".repeat(64));
        let deep = format!("{{\"units\":{}", "[".repeat(1_000_000));
        write(&s.work().join(key), deep.as_bytes());
    }),
    ("a waiting manifest with a path out of the archive", "MANIFEST_FORMAT", |s| {
        s.deliver_unit(unit("more", 2, 1), false);
        let inbox = meshledger_tests::tamper::files_below(&s.work().join("inbox"));
        edit(&inbox[0], "data/event_date=", "data/../../../etc/event_date=");
    }),
    ("a key with per cent signs", "STRAY", |s| {
        let name = s.added(1).remove(0).file_name().unwrap().to_str().unwrap().to_owned();
        let key = format!("data/event_date%3D2026-11-02/..%2F..%2Fetc%2F{name}");
        write(&s.archive().join(key), b"PAR1");
    }),
    ("a key that moves the cursor", "STRAY", |s| {
        write(&s.archive().join("data/\u{1b}[2J\u{1b}[31mall is well"), b"x");
    }),
];

#[test]
fn what_is_made_to_hurt_a_verifier_is_a_finding_in_bounded_memory_and_time() {
    let sound = Scene::rich();
    let mut failures = Vec::new();
    for (name, code, attack) in ATTACKS {
        let scene = sound.copy();
        attack(&scene);
        let peak = scene.folder().join("peak");
        let output = script("limited.py")
            .args(["--cpu-seconds", CPU_SECONDS_MAX])
            .args([&peak])
            .args(["--"])
            .args([meshledger()])
            .args(["verify", "--json", "--archive"])
            .args([scene.archive()])
            .args(["--policy"])
            .args([scene.policy()])
            .time_limit(Duration::from_secs(1_200))
            .run();
        let peak: u64 = fs::read_to_string(&peak).unwrap().parse().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let is_named = findings.iter().any(|finding| finding["code"] == *code);
        let is_bounded = peak < MEMORY_BYTES_MAX;
        let is_quiet = output.stdout.len() < 1 << 20 && !output.stdout.contains(&0x1b);
        if !(is_named && is_bounded && is_quiet && matches!(output.code, Some(1 | 2))) {
            let report: String = output.report().chars().take(2_000).collect();
            failures.push(format!("{name}: expected {code}; {peak} bytes: {report}"));
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n\n"));
}

/// A file of this length without any data: it takes no room, and reads as zeros.
fn holes(path: &Path, bytes: u64) {
    fs::write(path, b"").unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}
