//! Attacks on what readers read while everything that is signed stays intact: strict answers stay
//! right or fail, and what fresh ones do is written out.

use std::fs;
use std::path::{Path, PathBuf};

use common::Sha256Digest;
use meshledger_tests::cli::{Output, Program};
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::python::{read_archive, script};
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::tamper::{add_stray, copy_tree, delete, edit, files_below};
use serde_json::Value;

const NAME: &str = "archive.example/mesh";
/// Rows with the id in question, and all rows.
type Rows = (i64, i64);
const SOUND: Rows = (1, 40);
const ALARM: i32 = 5;

/// Four deliveries of ten rows, sealed one by one. Of version 2 there is a Delta checkpoint, for
/// which commit 3 vouches. `trudy-3` came with version 2, `mallory-3` with version 4.
struct Sealed {
    laptop: Laptop,
    policy: PathBuf,
}

impl Sealed {
    fn new(every: &str) -> Self {
        let laptop = Laptop::empty();
        let Signing { key, policy } = laptop.begin_ledger(NAME);
        for name in ["alice", "trudy", "bob", "mallory"] {
            let _ = laptop.ingest_bytes(name, lines(name, 10));
            let seal = laptop.seal_with(&key).args(["--delta-checkpoint-every", every]);
            let _ = seal.run().expect(0);
        }
        Self { laptop, policy }
    }

    fn ask(&self, sql: &str, strict: bool) -> Program {
        let program = self.laptop.command("query").args(["--format", "json", "--receipt", "json"]);
        let program = if strict {
            program.args(["--strict", "--policy"]).args([&self.policy])
        } else {
            program
        };
        program.args([sql])
    }

    /// The answer to both questions, or what was said instead.
    fn rows(&self, id: &str, strict: bool) -> Result<Rows, String> {
        let number = |sql: &str| -> Result<i64, String> {
            let output = self.ask(sql, strict).run();
            match output.code {
                Some(0) => Ok(output.json_lines()[0]["n"].as_i64().unwrap()),
                Some(ALARM) => Err(output.stderr.clone()),
                _ => panic!("{}", output.report()),
            }
        };
        let with = format!("SELECT count(*) AS n FROM mesh_events WHERE request_id = '{id}'");
        // Of every row, not by the count in the log.
        let all = "SELECT count(http_method) AS n FROM mesh_events";
        Ok((number(&with)?, number(all)?))
    }

    fn archive(&self) -> PathBuf {
        self.laptop.archive_path()
    }
}

fn receipt(output: &Output) -> Value {
    serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap()
}

fn commit(archive: &Path, version: u64) -> PathBuf {
    archive.join(format!("_delta_log/{version:020}.json"))
}

fn delta_checkpoint(archive: &Path, version: u64) -> PathBuf {
    archive.join(format!("_delta_log/{version:020}.checkpoint.parquet"))
}

/// Path of the file that a commit adds.
fn added(archive: &Path, version: u64) -> String {
    let text = fs::read_to_string(commit(archive, version)).unwrap();
    let add: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    add["add"]["path"].as_str().unwrap().to_owned()
}

/// The Delta checkpoint of version 2 without the file of version 2, written elsewhere.
fn without_trudy(archive: &Path, out: &Path) {
    let from = delta_checkpoint(archive, 2);
    let output = script("attack.py")
        .args(["drop-add"])
        .args([&from])
        .args([added(archive, 2)])
        .args([out])
        .run();
    let _ = output.expect(0);
}

/// A checkpoint of version 4 made from that of version 2, under the names other engines know.
fn plant(archive: &Path, names: &[&str]) {
    for name in names {
        without_trudy(archive, &archive.join("_delta_log").join(name));
    }
}

/// What an answer becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// As before.
    Same,
    /// An error that says this.
    Fails(&'static str),
    /// Wrong, as these rows: fresh queries trust what was attacked.
    Fooled(Rows),
}

/// An attack, the id in question, and what strict and fresh answers become.
type Attack = (&'static str, &'static str, Then, Then, fn(&Path));

const LEDGER_SAYS: &str = "expected the commit that the ledger has as entry 4";
const VOUCHED: &str = "expected the Delta checkpoint with SHA-256";

fn narrow(file: &Path, name: &str) {
    let (from, to) =
        (format!(r#"\"request_id\":\"{name}-9\""#), format!(r#"\"request_id\":\"{name}-1\""#));
    edit(file, &from, &to);
}

const ATTACKS: &[Attack] = &[
    // Nobody vouches for the newest commit but the ledger: its successor would name its hash.
    (
        "the newest commit's statistics are narrowed",
        "mallory-3",
        Then::Fails(LEDGER_SAYS),
        Then::Fooled((0, 40)),
        |a| narrow(&commit(a, 4), "mallory"),
    ),
    (
        "its null count is made the number of rows",
        "mallory-3",
        Then::Fails(LEDGER_SAYS),
        Then::Fooled((0, 40)),
        |a| edit(&commit(a, 4), r#"\"request_id\":0"#, r#"\"request_id\":10"#),
    ),
    (
        "its numRecords is 9",
        "mallory-3",
        Then::Fails(LEDGER_SAYS),
        Then::Fails("numRecords"),
        |a| edit(&commit(a, 4), r#"\"numRecords\":10"#, r#"\"numRecords\":9"#),
    ),
    (
        "an older commit's statistics are narrowed",
        "trudy-3",
        // Both start from the Delta checkpoint, for which the ledger vouches.
        Then::Same,
        Then::Same,
        |a| narrow(&commit(a, 2), "trudy"),
    ),
    (
        "a commit behind the Delta checkpoint is narrowed, and it is not the newest",
        "bob-3",
        Then::Fails("expected the commit that the ledger has as entry 3"),
        Then::Fails("one of the two was changed"),
        |a| narrow(&commit(a, 3), "bob"),
    ),
    ("the Delta checkpoint loses a file", "trudy-3", Then::Fails(VOUCHED), Then::Same, |a| {
        let out = a.join("_delta_log/out");
        without_trudy(a, &out);
        fs::rename(out, delta_checkpoint(a, 2)).unwrap();
    }),
    (
        "the Delta checkpoint loses a file, and the hint is gone",
        "trudy-3",
        Then::Fails(VOUCHED),
        Then::Same,
        |a| {
            let out = a.join("_delta_log/out");
            without_trudy(a, &out);
            fs::rename(out, delta_checkpoint(a, 2)).unwrap();
            delete(&a.join("_delta_log/_last_checkpoint"));
        },
    ),
    (
        "the newest commit vouches for a Delta checkpoint that loses a file",
        "trudy-3",
        // Either is refused first: that Delta checkpoint, or that commit.
        Then::Fails("expected the "),
        // The ledger vouches for another one.
        Then::Same,
        |a| {
            let out = a.join("_delta_log/out");
            without_trudy(a, &out);
            let bytes = fs::read(&out).unwrap();
            fs::rename(out, delta_checkpoint(a, 2)).unwrap();
            let (sha256, length) = (Sha256Digest::of(&bytes), bytes.len());
            let named = format!(r#"{{"version":2,"sha256":"{sha256}","bytes":{length}}}"#);
            let to = format!(r#""delta_checkpoint":{named},"manifests":["#);
            edit(&commit(a, 4), r#""manifests":["#, &to);
        },
    ),
    ("the Delta checkpoint is gone", "trudy-3", Then::Fails(VOUCHED), Then::Same, |a| {
        delete(&delta_checkpoint(a, 2));
    }),
    ("a later Delta checkpoint without the file", "trudy-3", Then::Same, Then::Same, |a| {
        plant(a, &["00000000000000000004.checkpoint.parquet"]);
    }),
    ("one of version 2 under a V2 name", "trudy-3", Then::Same, Then::Same, |a| {
        plant(a, &["00000000000000000004.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet"]);
    }),
    ("one in two parts", "trudy-3", Then::Same, Then::Same, |a| {
        plant(
            a,
            &[
                "00000000000000000004.checkpoint.0000000001.0000000002.parquet",
                "00000000000000000004.checkpoint.0000000002.0000000002.parquet",
            ],
        );
    }),
    ("a hint at a checkpoint that is not there", "trudy-3", Then::Same, Then::Same, |a| {
        let hint = br#"{"version":3,"size":5,"sizeInBytes":9,"numOfAddFiles":3}"#;
        add_stray(a, "_delta_log/_last_checkpoint", hint);
    }),
    (
        "an unsigned commit that removes the file",
        "trudy-3",
        Then::Same,
        Then::Fails("an action that may stand here"),
        |a| {
            let text = fs::read_to_string(commit(a, 4)).unwrap();
            let info = text.lines().next().unwrap().replace("\"version\":4", "\"version\":5");
            let remove = format!(
                r#"{{"remove":{{"path":"{}","deletionTimestamp":1,"dataChange":true}}}}"#,
                added(a, 2)
            );
            fs::write(commit(a, 5), format!("{info}\n{remove}\n")).unwrap();
        },
    ),
    ("a compacted log without the file", "trudy-3", Then::Same, Then::Same, |a| {
        let name = "_delta_log/00000000000000000000.00000000000000000004.compacted.json";
        add_stray(a, name, &fs::read(commit(a, 1)).unwrap());
    }),
    ("a version checksum that lies", "trudy-3", Then::Same, Then::Same, |a| {
        let crc = br#"{"tableSizeBytes":1,"numFiles":1,"numMetadata":1,"numProtocol":1}"#;
        add_stray(a, "_delta_log/00000000000000000004.crc", crc);
    }),
    ("a sidecar", "trudy-3", Then::Same, Then::Same, |a| {
        let side = "_delta_log/_sidecars/3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet";
        add_stray(a, side, &fs::read(delta_checkpoint(a, 2)).unwrap());
    }),
    ("a staged commit", "trudy-3", Then::Same, Then::Same, |a| {
        let name = "_delta_log/_staged_commits/\
                    00000000000000000005.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json";
        add_stray(a, name, &fs::read(commit(a, 4)).unwrap());
    }),
];

#[test]
fn strict_answers_stay_right_or_fail_whatever_is_done_to_what_readers_read() {
    let sealed = Sealed::new("2");
    let archive = sealed.archive();
    assert!(delta_checkpoint(&archive, 2).exists());
    let sound = sealed.laptop.path("sound");
    copy_tree(&archive, &sound);
    for (name, id, strict, fresh, attack) in ATTACKS {
        attack(&archive);
        for (mode, expected, is_strict) in [("strict", strict, true), ("fresh", fresh, false)] {
            let found = sealed.rows(id, is_strict);
            let is_so = match (expected, &found) {
                (Then::Same, Ok(rows)) => *rows == SOUND,
                (Then::Fooled(wrong), Ok(rows)) => rows == wrong,
                (Then::Fails(words), Err(said)) => said.contains(words),
                _ => false,
            };
            assert!(is_so, "{name}: {mode} answers {found:?}, expected {expected:?}");
        }
        fs::remove_dir_all(&archive).unwrap();
        copy_tree(&sound, &archive);
    }
    // The twin: without an attack nothing is wrong.
    for id in ["trudy-3", "mallory-3"] {
        assert_eq!(sealed.rows(id, true), Ok(SOUND));
        assert_eq!(sealed.rows(id, false), Ok(SOUND));
    }
}

#[test]
fn without_a_delta_checkpoint_every_commit_is_held_against_the_ledger() {
    let sealed = Sealed::new("0");
    let archive = sealed.archive();
    assert!(!delta_checkpoint(&archive, 2).exists());
    assert_eq!(sealed.rows("trudy-3", true), Ok(SOUND));
    let before = fs::read(commit(&archive, 2)).unwrap();
    narrow(&commit(&archive, 2), "trudy");
    let said = sealed.rows("trudy-3", true).unwrap_err();
    assert!(said.contains("as entry 2") && said.contains("meshledger verify"), "{said}");
    fs::write(commit(&archive, 2), before).unwrap();
    // A Delta checkpoint that nobody vouches for is not looked at, be it right or wrong.
    let other = Sealed::new("2");
    fs::copy(delta_checkpoint(&other.archive(), 2), delta_checkpoint(&archive, 2)).unwrap();
    assert_eq!(sealed.rows("trudy-3", true), Ok(SOUND));
}

#[test]
fn the_receipt_says_through_which_checkpoint_and_what_was_left_out() {
    let sealed = Sealed::new("2");
    let _ = sealed.laptop.ingest_bytes("waiting", lines("waiting", 5));
    let sql = "SELECT count(*) AS n FROM mesh_events";
    let strict = sealed.ask(sql, true).run().expect(0);
    assert_eq!(strict.json_lines()[0]["n"], 40);
    let said = receipt(&strict)["sealed_through"].clone();
    let (version, size) = (&said["version"], &said["size"]);
    assert_eq!((version, size, &said["delta_checkpoint"]), (&4.into(), &5.into(), &2.into()));
    assert_eq!(said["unsealed_manifests_ignored"], 1, "{said}");
    assert_eq!(said["unsealed_commits_ignored"], 0, "{said}");
    assert_eq!(said["witnesses"], Value::Array(Vec::new()));
    let note = fs::read_to_string(sealed.archive().join("_ledger/checkpoint")).unwrap();
    assert_eq!(said["root"].as_str(), note.lines().nth(2));
    let policy = fs::read_to_string(&sealed.policy).unwrap();
    assert!(policy.contains(said["signed_by"].as_str().unwrap()), "{said}");
    // The same in every form of the receipt.
    let query = |more: &[&str]| sealed.laptop.command("query").args(more).args([sql]).run();
    let inline = query(&["--strict", "--format", "json", "--receipt", "inline"]).expect(0);
    let inline = inline.json_lines()[1]["receipt"]["sealed_through"].clone();
    // Nobody's key was checked, since no policy was given.
    assert_eq!((&inline["root"], &inline["signed_by"]), (&said["root"], &Value::Null));
    let text = query(&["--strict"]).expect(0).stderr;
    assert!(text.contains("through version 4") && text.contains("against no policy"), "{text}");
    assert!(text.contains("1 waiting manifest ignored"), "{text}");
    let fresh = sealed.ask(sql, false).run().expect(0);
    assert_eq!(
        (fresh.json_lines()[0]["n"].clone(), &receipt(&fresh)["sealed_through"]),
        (45.into(), &Value::Null)
    );
}

#[test]
fn a_checkpoint_that_the_policy_does_not_accept_answers_nothing() {
    let (sealed, other) = (Sealed::new("2"), Sealed::new("2"));
    let ask = |policy: &Path| {
        let query = sealed.laptop.command("query").args(["--strict", "--policy"]).args([policy]);
        query.args(["SELECT 1 AS n FROM mesh_events"]).run()
    };
    let said = ask(&other.policy).expect(ALARM).stderr;
    assert!(said.contains("a checkpoint that the policy accepts"), "{said}");
    // The other's ledger in the place of this one: its policy accepts it, and it is another's.
    let ledger = sealed.archive().join("_ledger");
    fs::remove_dir_all(&ledger).unwrap();
    copy_tree(&other.archive().join("_ledger"), &ledger);
    let said = ask(&other.policy).expect(ALARM).stderr;
    assert!(said.contains("expected"), "{said}");
    fs::remove_dir_all(&ledger).unwrap();
    let said = ask(&sealed.policy).expect(ALARM).stderr;
    assert!(said.contains("expected a signed checkpoint, found none"), "{said}");
    // A policy in the archive is the archive's word about itself.
    let inside = sealed.archive().join("trust.txt");
    fs::copy(&sealed.policy, &inside).unwrap();
    let said = ask(&inside).expect(3).stderr;
    assert!(said.contains("lies in the archive"), "{said}");
}

#[test]
fn an_older_checkpoint_answers_for_its_own_versions_and_says_so() {
    let sealed = Sealed::new("2");
    let older = files_below(&sealed.archive().join("_ledger/checkpoints/00000000000000000004"));
    fs::copy(&older[0], sealed.archive().join("_ledger/checkpoint")).unwrap();
    assert_eq!(sealed.rows("mallory-3", true), Ok((0, 30)));
    let answer = sealed.ask("SELECT 1 AS n FROM mesh_events LIMIT 1", true).run().expect(0);
    let said = receipt(&answer)["sealed_through"].clone();
    let ignored = &said["unsealed_commits_ignored"];
    assert_eq!((&said["version"], ignored), (&3.into(), &1.into()), "{said}");
}

#[test]
fn a_file_of_another_length_fails_and_with_full_so_does_every_changed_byte() {
    let sealed = Sealed::new("2");
    let file = sealed.archive().join(added(&sealed.archive(), 2));
    let good = fs::read(&file).unwrap();
    let sql = "SELECT count(http_method) AS n FROM mesh_events";
    let ask = |how: &str| {
        let query = sealed.laptop.command("query").args([how, "--format", "json", "--policy"]);
        query.args([&sealed.policy]).args(["--receipt", "json", sql]).run()
    };
    let full = ask("--strict=full").expect(0);
    assert_eq!(
        (full.json_lines()[0]["n"].clone(), &receipt(&full)["files_hashed"]),
        (40.into(), &true.into())
    );
    // Longer: the footer is where it was, and the rows are, too.
    let mut longer = good.clone();
    longer.extend_from_slice(&good);
    fs::write(&file, &longer).unwrap();
    for how in ["--strict", "--strict=full"] {
        let said = ask(how);
        assert!(said.code != Some(0), "{}", said.report());
        assert!(said.stderr.contains("run `meshledger verify`"), "{}", said.report());
    }
    // A bit in a column that the query does not read: only hashing sees it.
    let mut flipped = good.clone();
    flipped[10] ^= 1;
    fs::write(&file, &flipped).unwrap();
    let said = ask("--strict=full");
    assert!(said.code != Some(0) && said.stderr.contains("expected SHA-256"), "{}", said.report());
    fs::write(&file, good).unwrap();
    let _ = ask("--strict=full").expect(0);
}

#[test]
fn both_verifiers_know_delta_checkpoints_and_what_is_done_to_them() {
    let sealed = Sealed::new("2");
    let archive = sealed.archive();
    let judge = |expected: i32, case: &str| {
        let own = sealed.laptop.command("verify").args(["--policy"]).args([&sealed.policy]).run();
        let other = script("verify.py").args([&archive]).args(["--policy"]).args([&sealed.policy]);
        let other = other.run();
        for said in [own, other] {
            assert_eq!(said.code, Some(expected), "{case}: {}", said.report());
            let is_named = said.text().contains("DELTA_CHECKPOINT");
            assert!(is_named || expected == 0, "{case}: {}", said.report());
        }
    };
    judge(0, "as it was sealed");
    let file = delta_checkpoint(&archive, 2);
    let good = fs::read(&file).unwrap();
    let out = archive.join("_delta_log/out");
    without_trudy(&archive, &out);
    fs::rename(&out, &file).unwrap();
    judge(1, "without a file");
    delete(&file);
    judge(1, "gone");
    fs::write(&file, &good).unwrap();
    fs::write(delta_checkpoint(&archive, 4), &good).unwrap();
    judge(1, "an older one as a later one");
    delete(&delta_checkpoint(&archive, 4));
    add_stray(&archive, "_delta_log/_last_checkpoint", b"{}");
    judge(1, "a hint that says nothing");
    delete(&archive.join("_delta_log/_last_checkpoint"));
    judge(0, "without the hint");
}

fn engines(archive: &Path, id: &str) -> Value {
    script("attack.py").args(["count"]).args([archive]).args([id]).run().expect(0).json()
}

#[test]
fn engines_that_know_no_ledger_are_fooled_by_these_attacks() {
    let sealed = Sealed::new("2");
    let archive = sealed.archive();
    let both = |rows: [i64; 2]| serde_json::json!({"deltalake": rows, "duckdb": rows});
    assert_eq!(engines(&archive, "mallory-3"), both([1, 40]));
    let sound = sealed.laptop.path("sound");
    copy_tree(&archive, &sound);
    narrow(&commit(&archive, 4), "mallory");
    // delta-rs leaves out files by the statistics of the first columns only, and this is no such.
    let fooled = serde_json::json!({"deltalake": [1, 40], "duckdb": [0, 40]});
    assert_eq!(engines(&archive, "mallory-3"), fooled);
    fs::remove_dir_all(&archive).unwrap();
    copy_tree(&sound, &archive);
    let out = archive.join("_delta_log/out");
    without_trudy(&archive, &out);
    fs::rename(out, delta_checkpoint(&archive, 2)).unwrap();
    assert_eq!(engines(&archive, "trudy-3"), both([0, 30]));
}

#[test]
fn other_engines_read_the_same_with_a_delta_checkpoint_in_the_place_of_commits() {
    let sealed = Sealed::new("2");
    let archive = sealed.archive();
    let names = ["alice", "trudy", "bob", "mallory"];
    let files = names.map(|name| sealed.laptop.path(name));
    let inputs: Vec<(&str, &Path)> = files.iter().map(|file| ("east", file.as_path())).collect();
    read_archive(&archive, &inputs);
    let _ =
        sealed.laptop.command("verify").args(["--policy"]).args([&sealed.policy]).run().expect(0);
    // The commits that it stands for are hidden: what is read must come from it.
    for version in 0..=2 {
        delete(&commit(&archive, version));
    }
    read_archive(&archive, &inputs);
    // Without the hint they find it by its name.
    delete(&archive.join("_delta_log/_last_checkpoint"));
    read_archive(&archive, &inputs);
}

#[test]
fn on_a_store_with_versions_an_overlay_or_a_delete_marker_is_harmless_and_found() {
    let server = Seaweed::shared();
    let environment = Seaweed::environment(server.port());
    let s3 = |what: &str, place: &str, file: Option<&Path>| {
        let program = script("s3_versions.py").envs(environment.clone()).args([what, place]);
        let _ = program.args(file).run().expect(0);
    };
    s3("enable", "kept", None);
    let laptop = Laptop::remote("s3://kept/versions", environment.clone());
    let Signing { key, .. } = laptop.begin_ledger(NAME);
    for name in ["alice", "trudy"] {
        let _ = laptop.ingest_bytes(name, lines(name, 10));
        let _ = laptop.seal_with(&key).run().expect(0);
    }
    // Ingested again it is already there, and the version is the one that was put first.
    let _ = laptop.ingest_bytes("again", lines("trudy", 10));
    let ask = |how: &[&str]| {
        let sql = "SELECT count(http_method) AS n FROM mesh_events";
        laptop.command("query").args(how).args(["--format", "json", sql]).run()
    };
    let rows = |how: &[&str]| ask(how).expect(0).json_lines()[0]["n"].clone();
    assert_eq!((rows(&["--strict"]), rows(&[])), (20.into(), 20.into()));
    let _ = laptop.command("verify").run().expect(0);
    let stored = "kept/versions/_delta_log/00000000000000000002.json";
    let get = script("s3_versions.py").envs(environment.clone()).args(["get", stored]);
    let add = get.run().expect(0).json_lines()[1]["add"].clone();
    assert!(add["tags"]["ma.s3_version"].as_str().is_some(), "{add}");
    let path = add["path"].as_str().unwrap();
    let rubbish = laptop.write("rubbish", b"PAR1 no rows at all PAR1");
    s3("put", &format!("kept/versions/{path}"), Some(&rubbish));
    assert_eq!(rows(&["--strict"]), 20);
    assert!(ask(&[]).code != Some(0), "a fresh query reads what lies on top");
    let found = laptop.command("verify").args(["--json"]).run().expect(1).json();
    assert_eq!(found["findings"][0]["code"], "OVERLAY", "{found}");
    s3("delete", &format!("kept/versions/{path}"), None);
    assert_eq!(rows(&["--strict"]), 20);
    let found = laptop.command("verify").args(["--json"]).run().expect(1).json();
    assert_eq!(found["findings"][0]["code"], "OVERLAY", "{found}");
    assert_eq!(found["findings"].as_array().unwrap().len(), 1, "{found}");
}
