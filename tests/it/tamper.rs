//! Every attack on a folder is found, and named; what a crash leaves is told apart from it.

use std::path::{Path, PathBuf};

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::records::{at, lines};
use meshledger_tests::tamper::{
    add_stray, append, copy_tree, delete, edit, files_below, flip_byte, swap, truncate,
};
use serde_json::Value;

const TAMPERING: i32 = 1;
const INCOMPLETE: i32 = 2;

/// A sealed archive of three commits, two dates and some quarantine.
fn sealed() -> Laptop {
    let laptop = Laptop::new();
    let _ = laptop.ingest([fixture("envoy/captured-default.jsonl")]).run().expect(0);
    let _ = laptop.seal();
    let two_days = [
        at("monday", "2026-11-02T10:00:00.000Z"),
        at("tuesday", "2026-11-03T10:00:00.000Z"),
        "no JSON".to_owned(),
    ];
    let _ = laptop.ingest_bytes("two-days.log", two_days.join("\n"));
    let _ = laptop.seal();
    let _ = laptop.ingest_bytes("last.log", lines("last", 10));
    let _ = laptop.seal();
    laptop.verify_ok();
    laptop
}

/// The archive's files whose key has this prefix, at least `least` of them.
fn below(archive: &Path, prefix: &str, least: usize) -> Vec<PathBuf> {
    let found = files_below(&archive.join(prefix));
    assert!(found.len() >= least, "{prefix} holds {found:?}");
    found
}

/// An attack: its name, the exit code it must lead to, and what it does; it gives the files of
/// which a finding must name at least one.
type Attack = (&'static str, i32, fn(&Path) -> Vec<PathBuf>);

const LOG: &str = "_delta_log";

const ATTACKS: &[Attack] = &[
    ("flip the first byte of a data file", TAMPERING, |a| {
        on(&below(a, "data", 3)[0], |f| flip_byte(f, 0))
    }),
    ("flip a byte in a data file's middle", TAMPERING, |a| {
        on(&below(a, "data", 3)[1], |f| flip_byte(f, 200))
    }),
    ("flip the last byte of a data file", TAMPERING, |a| {
        on(&below(a, "data", 3)[2], |f| flip_byte(f, -1))
    }),
    ("cut a data file", TAMPERING, |a| on(&below(a, "data", 3)[0], |f| truncate(f, 1))),
    ("empty a data file", TAMPERING, |a| on(&below(a, "data", 3)[0], |f| truncate(f, u64::MAX))),
    ("lengthen a data file", TAMPERING, |a| on(&below(a, "data", 3)[0], |f| append(f, b"x"))),
    ("remove a data file", TAMPERING, |a| on(&below(a, "data", 3)[0], delete)),
    ("exchange two data files", TAMPERING, |a| {
        let files = below(a, "data", 3);
        swap(&files[0], &files[1]);
        files[..2].to_vec()
    }),
    ("move a data file to another date", TAMPERING, |a| {
        let file = below(a, "data", 3).remove(0);
        let to = a.join("data/event_date=2020-01-01").join(file.file_name().unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(&file, &to).unwrap();
        vec![file, to]
    }),
    ("flip a byte in a manifest", TAMPERING, |a| {
        on(&below(a, "manifests", 3)[1], |f| flip_byte(f, 30))
    }),
    ("remove a manifest", TAMPERING, |a| on(&below(a, "manifests", 3)[0], delete)),
    ("exchange two manifests", TAMPERING, |a| {
        let files = below(a, "manifests", 3);
        swap(&files[0], &files[1]);
        files[..2].to_vec()
    }),
    ("flip a byte in quarantine", TAMPERING, |a| {
        on(&below(a, "quarantine", 1)[0], |f| flip_byte(f, 100))
    }),
    ("remove a quarantine file", TAMPERING, |a| on(&below(a, "quarantine", 1)[0], delete)),
    ("remove the first commit", TAMPERING, |a| on(&below(a, LOG, 4)[0], delete)),
    ("remove a commit in the middle", TAMPERING, |a| on(&below(a, LOG, 4)[2], delete)),
    ("flip a byte in a commit", TAMPERING, |a| on(&below(a, LOG, 4)[1], |f| flip_byte(f, 40))),
    ("exchange two commits", TAMPERING, |a| {
        let files = below(a, LOG, 4);
        swap(&files[1], &files[2]);
        files[1..3].to_vec()
    }),
    ("edit a row count in a commit", TAMPERING, |a| {
        on(&below(a, LOG, 4)[1], |f| edit(f, "numRecords\\\":36", "numRecords\\\":35"))
    }),
    ("change white space in a commit", TAMPERING, |a| {
        on(&below(a, LOG, 4)[1], |f| edit(f, "{\"add\":{", "{\"add\": {"))
    }),
    ("take a file out of a commit", TAMPERING, |a| on(&below(a, LOG, 4)[2], drop_last_line)),
    ("change a commit's time", TAMPERING, |a| {
        // The next commit holds the hash of this one.
        on(&below(a, LOG, 4)[1], |f| edit(f, "\"timestamp\":1", "\"timestamp\":2"))
    }),
    ("add a commit of somebody else's", TAMPERING, |a| {
        let add = b"{\"commitInfo\":{\"timestamp\":1,\"operation\":\"WRITE\"}}\n";
        stray(a, "_delta_log/00000000000000000004.json", add)
    }),
    ("leave a gap in the log", TAMPERING, |a| {
        let files = below(a, LOG, 4);
        let to = files[3].with_file_name("00000000000000000009.json");
        std::fs::rename(&files[3], &to).unwrap();
        vec![files[3].clone(), to]
    }),
    ("put a checkpoint into the log", TAMPERING, |a| {
        stray(a, "_delta_log/00000000000000000002.checkpoint.parquet", b"PAR1")
    }),
    ("put a stray file into the log", TAMPERING, |a| stray(a, "_delta_log/readme.txt", b"hello")),
    ("put a stray file into data", TAMPERING, |a| stray(a, "data/readme.txt", b"hello")),
    ("put a file whose name lies into data", TAMPERING, |a| {
        let name = format!("data/event_date=2026-11-02/{}.parquet", "0".repeat(64));
        stray(a, &name, b"PAR1")
    }),
    ("leave an orphan, as a crash does", INCOMPLETE, |a| {
        // SHA-256 of "orphan", as sha256sum prints it.
        let name = "data/event_date=2026-11-02/\
             88f6811ab5d8fc6d3177f9b7609ae0fcebfda187e5046b62d38bb539e88b74d7.parquet";
        stray(a, name, b"orphan")
    }),
];

fn on(file: &Path, attack: impl FnOnce(&Path)) -> Vec<PathBuf> {
    attack(file);
    vec![file.to_owned()]
}

fn stray(archive: &Path, key: &str, bytes: &[u8]) -> Vec<PathBuf> {
    add_stray(archive, key, bytes);
    vec![archive.join(key)]
}

fn drop_last_line(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let kept = text.trim_end().rsplit_once('\n').expect("a commit has several lines").0;
    std::fs::write(file, format!("{kept}\n")).unwrap();
}

#[test]
fn every_attack_is_found_and_named() {
    let original = sealed();
    let scratch = Laptop::empty();
    let mut missed = Vec::new();
    for (name, code, attack) in ATTACKS {
        let copy = scratch.path("copy");
        std::fs::remove_dir_all(&copy).ok();
        copy_tree(&original.archive_path(), &copy);
        let touched = attack(&copy);
        let verify =
            meshledger_tests::cli::ml(["verify", "--json", "--archive"]).args([&copy]).run();
        assert!(!verify.stderr.contains("panicked"), "{name}: {}", verify.report());
        let report: Value = serde_json::from_slice(&verify.stdout).unwrap_or_default();
        if verify.code != Some(*code) || !names_one_of(&report, &touched) {
            missed.push(format!(
                "{name}: expected exit {code} naming one of {touched:?}: {}",
                verify.report()
            ));
        }
    }
    assert!(missed.is_empty(), "{} attacks were not told:\n{}", missed.len(), missed.join("\n\n"));
}

/// Whether any finding mentions one of the files, by its name.
fn names_one_of(report: &Value, files: &[PathBuf]) -> bool {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let complete = |finding: &Value| {
        ["code", "severity", "object"].iter().all(|field| finding[*field].is_string())
    };
    let text = serde_json::to_string(&findings).unwrap();
    let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
    report["ok"] == false
        && !findings.is_empty()
        && findings.iter().all(complete)
        && files.iter().any(|file| text.contains(&name(file)))
}

#[test]
fn all_findings_are_listed_not_only_the_first() {
    let laptop = sealed();
    let files = below(&laptop.archive_path(), "data", 3);
    for file in &files {
        flip_byte(file, 10);
    }
    delete(&below(&laptop.archive_path(), "manifests", 3)[0]);
    let (output, report) = laptop.verify();
    let text = serde_json::to_string(&report["findings"]).unwrap();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(text.contains(&*name), "{name} is not named: {report}");
    }
    let _ = output.expect(TAMPERING);
    // The same in words.
    let words = laptop.command("verify").run().expect(TAMPERING).report();
    assert!(words.contains(&*files[0].file_name().unwrap().to_string_lossy()), "{words}");
}

#[test]
fn tampering_outweighs_what_is_unfinished() {
    let laptop = sealed();
    let archive = laptop.archive_path();
    let file = below(&archive, "data", 3).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    flip_byte(&file, 3);
    // The untouched bytes, where nobody named them: an orphan.
    let orphan = file.parent().unwrap().with_file_name("event_date=2026-12-01");
    std::fs::create_dir_all(&orphan).unwrap();
    std::fs::write(orphan.join(file.file_name().unwrap()), bytes).unwrap();
    let (output, _) = laptop.verify();
    let _ = output.expect(TAMPERING);
}

#[test]
fn a_query_over_a_changed_file_is_no_answer() {
    let laptop = sealed();
    for file in below(&laptop.archive_path(), "data", 3) {
        truncate(&file, 9);
    }
    let output =
        laptop.command("query").args(["SELECT count(DISTINCT request_id) FROM mesh_events"]);
    let _ = output.run().expect(5);
}

#[test]
fn a_manifest_that_fails_its_checks_is_refused_and_sealing_goes_on() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("good.log", lines("good", 10));
    let inbox = files_below(&laptop.work_path().join("inbox"));
    let _ = laptop.ingest_bytes("bad.log", lines("bad", 10));
    let both = files_below(&laptop.work_path().join("inbox"));
    let bad = both.iter().find(|file| !inbox.contains(file)).expect("a second manifest");
    let manifest: Value = serde_json::from_slice(&std::fs::read(bad).unwrap()).unwrap();
    let path = manifest["files"][0]["path"].as_str().unwrap();
    let data = laptop.archive_path().join(path);
    let untouched = std::fs::read(&data).unwrap();
    flip_byte(&data, 20);
    let sealed = laptop.command("seal").args(["--json"]).run();
    assert!(sealed.report().contains("refused"), "{}", sealed.report());
    assert_eq!(laptop.events(), 10, "the good one is sealed");
    assert!(!files_below(&laptop.work_path().join("refused")).is_empty());
    // Once the file is right again, redelivery succeeds.
    std::fs::write(&data, untouched).unwrap();
    assert_eq!(laptop.ingest_bytes("again.log", lines("bad", 10))["events"], 10);
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 20);
}
