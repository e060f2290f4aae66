//! Receipts: statements of answers, checked by asking again, and by a program that was written from
//! docs/receipts.md alone.

use std::fs;
use std::path::{Path, PathBuf};

use common::Sha256Digest;
use meshledger_tests::cli::{Output, Program, ml};
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::paths::{fixture, repository};
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::tamper::{copy_tree, files_below, flip_byte};
use serde_json::{Value, json};

use crate::scene::Scene;

const TAMPERING: i32 = 1;
const USAGE: i32 = 3;
const STORAGE: i32 = 5;
const QUERY: i32 = 6;
const LIMIT: i32 = 7;
const DIFFERENT: i32 = 8;
const EXPIRED: i32 = 9;

/// An archive with a ledger, of records of several meshes.
struct Signed {
    laptop: Laptop,
    key: PathBuf,
    policy: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let laptop = Laptop::empty();
        let Signing { key, policy } = laptop.begin_ledger("archive.example/mesh");
        let signed = Self { laptop, key, policy };
        let files = ["envoy/captured-default.jsonl", "envoy/captured-extended.jsonl"].map(fixture);
        let _ = signed.laptop.ingest(files).run().expect(0);
        signed.seal();
        signed.add("late", 20);
        signed
    }

    fn add(&self, name: &str, count: usize) {
        let _ = self.laptop.ingest_bytes(name, lines(name, count));
        self.seal();
    }

    fn seal(&self) {
        let _ = self.laptop.seal_with(&self.key).run().expect(0);
    }

    fn query(&self, receipt: &Path) -> Program {
        let query = self.laptop.command("query").args(["--format", "json", "--policy"]);
        query.args([&self.policy]).args(["--receipt"]).args([receipt])
    }

    /// The statement of an answer, in a file of this name.
    fn receipt(&self, name: &str, arguments: &[&str]) -> (PathBuf, Value) {
        let path = self.laptop.path(name);
        let _ = self.query(&path).args(arguments).run().expect(0);
        let statement = read(&path);
        (path, statement)
    }

    fn recheck(&self, receipt: &Path) -> Program {
        let recheck = self.laptop.command("recheck").args(["--json", "--policy"]);
        recheck.args([&self.policy]).args([receipt])
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A statement with its own digest computed again, as who edits with care does it.
fn write_resealed(path: &Path, mut statement: Value) {
    let _ = statement.as_object_mut().unwrap().remove("statement_sha256");
    let digest = Sha256Digest::of(statement.to_string().as_bytes()).to_string();
    statement["statement_sha256"] = json!(digest);
    fs::write(path, statement.to_string()).unwrap();
}

#[track_caller]
fn verdict(output: &Output, expected: &str) -> Value {
    let told = output.json();
    assert_eq!(told["verdict"], expected, "{}", output.report());
    assert_eq!(told["equal"], expected == "equal", "{}", output.report());
    told
}

/// Questions that DuckDB understands too, and whether they order their rows.
const QUESTIONS: &[(&str, &[&str], bool)] = &[
    ("SELECT decision, count(*) AS n FROM mesh_events GROUP BY decision", &[], false),
    ("SELECT * FROM mesh_events WHERE decision = $d", &["--param", "d=deny"], false),
    (
        "SELECT event_time, event_date, src_ip, http_status, response_flags, mtls, duration_us \
         FROM mesh_events ORDER BY event_time DESC, segment, segment_row",
        &[],
        true,
    ),
    (
        "SELECT avg(duration_us) AS mean, sum(duration_us / 8.0) AS total FROM mesh_events",
        &[],
        false,
    ),
    (
        "SELECT segment, segment_row FROM mesh_events WHERE event_time >= $since AND segment_row > $n \
         ORDER BY segment, segment_row LIMIT 9",
        &["--param", "since:timestamp=2000-01-01T00:00:00Z", "--param", "n:integer=3"],
        true,
    ),
    ("SELECT request_id FROM mesh_events WHERE request_id = 'nobody'", &[], false),
];

#[test]
fn a_receipt_states_the_rows_that_duckdb_has_and_stays_equal_while_the_archive_grows() {
    let signed = Signed::new();
    let mut receipts = Vec::new();
    for (n, (sql, parameters, is_ordered)) in QUESTIONS.iter().enumerate() {
        let (path, statement) =
            signed.receipt(&format!("{n}.receipt"), &[&[*sql], *parameters].concat());
        assert_eq!(statement["sql"], *sql);
        assert_eq!(statement["result"]["ordered"], *is_ordered, "{sql}");
        assert_eq!(
            (&statement["archive"]["version"], &statement["ledger"]["size"]),
            (&2.into(), &3.into())
        );
        let note = fs::read_to_string(signed.laptop.archive_path().join("_ledger/checkpoint"));
        assert_eq!(statement["ledger"]["checkpoint"], note.unwrap());
        receipts.push(path);
    }
    signed.add("later", 30);
    for (path, (sql, ..)) in receipts.iter().zip(QUESTIONS) {
        let judged =
            script("receipt.py").args([path]).args(["duckdb", signed.laptop.archive(), sql]).run();
        assert_eq!(judged.code, Some(0), "{sql}: {}", judged.report());
        let checked = signed.recheck(path).run().expect(0);
        let told = verdict(&checked, "equal");
        assert_eq!(told["ledger_size"], json!({"then": 3, "now": 4}));
        assert_eq!(told["version"], 2);
        let policy = fs::read_to_string(&signed.policy).unwrap();
        assert!(policy.contains(told["signed_by"].as_str().unwrap()), "{told}");
    }
    // In sentences, without a policy, from standard input, hashing files.
    let text = fs::read(&receipts[0]).unwrap();
    let recheck = signed.laptop.command("recheck").args(["--policy", "none", "--full", "-"]);
    let said = recheck.stdin(text).run().expect(0).text();
    for words in ["Equal: version 2", "has 4 commits now", "Nobody's signature", "its SHA-256"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // The twin: another answer has another digest.
    let (_, later) = signed.receipt("later.receipt", &[QUESTIONS[0].0]);
    assert_ne!(later["result"]["digest"], read(&receipts[0])["result"]["digest"]);
}

#[test]
fn threads_and_hashing_change_no_digest() {
    let signed = Signed::new();
    // Without its LIMIT's tie-breakers the engine would be free to choose.
    let sql = "SELECT decision, http_status FROM mesh_events ORDER BY decision LIMIT 21";
    let mut digests = Vec::new();
    for more in
        [&["--threads", "1"][..], &["--threads", "2"], &["--threads", "8"], &["--strict=full"]]
    {
        let name = format!("{}.receipt", digests.len());
        let (path, statement) = signed.receipt(&name, &[&[sql], more].concat());
        assert_eq!(statement["files_hashed"], more.contains(&"--strict=full"));
        digests.push(statement["result"]["digest"].clone());
        for threads in ["1", "8"] {
            let _ = signed.recheck(&path).args(["--threads", threads]).run().expect(0);
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[test]
fn every_named_question_can_have_a_receipt() {
    let signed = Signed::new();
    let mut asked = 0;
    for file in files_below(&repository().join("sql/investigations")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let sql = fs::read_to_string(&file).unwrap();
        let mut arguments = vec!["--question".to_owned(), name.clone()];
        for line in sql.lines() {
            if let Some(names) = line.strip_prefix("-- one_of:") {
                let first = names.split(',').next().unwrap().trim();
                arguments.extend(["--param".to_owned(), format!("{first}=x")]);
            }
            let Some(param) = line.strip_prefix("-- param:") else { continue };
            let words: Vec<&str> = param.split_whitespace().collect();
            if words.get(2) != Some(&"=") {
                let value = match words[1] {
                    "timestamp" => "2026-11-02T10:00:00Z",
                    "integer" => "1",
                    _ => "x",
                };
                arguments.extend(["--param".to_owned(), format!("{}={value}", words[0])]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (path, statement) = signed.receipt(&format!("{name}.receipt"), &arguments);
        assert_eq!((&statement["question"], &statement["sql"]), (&json!(name), &json!(sql)));
        let _ = script("receipt.py").args([&path]).run().expect(0);
        let checked = signed.recheck(&path).run();
        assert_eq!(checked.code, Some(0), "{name}: {}", checked.report());
        asked += 1;
    }
    assert!(asked >= 14, "{asked}");
}

/// Every place of a JSON value that holds no further ones, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, inner)| places(inner, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(n, inner)| places(inner, &format!("{at}/{n}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn an_edited_receipt_is_found_out_unless_it_edits_a_mere_claim() {
    let signed = Signed::new();
    let sql = "SELECT decision, count(*) AS n FROM mesh_events WHERE decision <> $d GROUP BY 1 ORDER BY 1";
    let (path, statement) = signed.receipt("a.receipt", &[sql, "--param", "d=error"]);
    let edited = signed.laptop.path("edited.receipt");
    let mut all = Vec::new();
    places(&statement, "", &mut all);
    assert!(all.len() >= 25, "{all:?}");
    for place in all.iter().filter(|place| *place != "/statement_sha256") {
        let mut changed = statement.clone();
        let slot = changed.pointer_mut(place).unwrap();
        *slot = match (&*slot, place.as_str()) {
            (_, "/sql") => json!(sql.replace("<>", "=")),
            (_, "/result/columns/0/type") => json!("Binary"),
            (_, "/result/digest") => json!(Sha256Digest::of(b"another").to_string()),
            (_, "/parameters/0/value") => json!("deny"),
            // The version that has nothing.
            (_, "/archive/version") => json!(0),
            (_, "/created_at") => json!("2000-01-01T00:00:00.000000Z"),
            (Value::String(text), _) => json!(format!("{text}x")),
            (Value::Number(number), _) => json!(number.as_u64().unwrap() + 1),
            (Value::Bool(value), _) => json!(!value),
            (Value::Null, "/question") => json!("denied_by_policy"),
            (Value::Null, _) => json!(5),
            (other, _) => panic!("{place}: {other}"),
        };
        // Without care.
        fs::write(&edited, changed.to_string()).unwrap();
        let _ = verdict(&signed.recheck(&edited).run().expect(DIFFERENT), "malformed");
        // With care: only claims, with which nothing is compared, may say anything.
        write_resealed(&edited, changed);
        let output = signed.recheck(&edited).run();
        let is_claim = ["/created_at", "/program", "/question", "/files_hashed", "/limits/"];
        let is_claim = is_claim.iter().any(|claim| place.starts_with(claim));
        // A parameter that the query does not have, or of no type.
        let is_no_question = ["/parameters/0/name", "/parameters/0/type"].contains(&place.as_str());
        let expected = if is_claim {
            0
        } else if is_no_question {
            QUERY
        } else {
            DIFFERENT
        };
        assert_eq!(output.code, Some(expected), "{place}: {}", output.report());
    }
    let told = verdict(&signed.recheck(&path).run().expect(0), "equal");
    assert_eq!(told["statement_sha256"], statement["statement_sha256"]);
    // What differs is named.
    let mut changed = statement;
    changed["result"]["rows"] = json!(7);
    write_resealed(&edited, changed);
    let said = signed.laptop.command("recheck").args([&edited]).run().expect(DIFFERENT).text();
    assert!(said.contains("rows: expected 7, found 2"), "{said}");
    for no_statement in ["", "{}", "[1]", "not JSON"] {
        fs::write(&edited, no_statement).unwrap();
        let _ = verdict(&signed.recheck(&edited).run().expect(DIFFERENT), "malformed");
    }
}

#[test]
fn what_can_have_no_receipt_is_refused_and_leaves_no_file() {
    let signed = Signed::new();
    let path = signed.laptop.path("no.receipt");
    let says = |arguments: &[&str], code: i32, words: &str| {
        let _ = signed.query(&path).args(arguments).run().expect(code).says(words);
        assert!(!path.exists(), "{arguments:?} left a file");
    };
    says(&["SELECT count(*) FROM mesh_events WHERE event_time < now()"], QUERY, "now() depends on");
    says(&["SELECT random() FROM mesh_events"], QUERY, "random()");
    says(&["EXPLAIN SELECT 1"], QUERY, "about this program");
    says(&["SELECT stddev(duration_us) FROM mesh_events"], QUERY, "could not be had again");
    says(&["SELECT request_id FROM mesh_events", "--rows-max", "3"], LIMIT, "rows");
    says(&["SELECT nothing FROM mesh_events"], QUERY, "nothing");
    // A file that is there stays as it is, and is found before anything is asked.
    fs::write(&path, "mine").unwrap();
    let _ = signed.query(&path).args(["SELECT 1 / 0"]).run().expect(USAGE).says("is there already");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let nowhere = signed.laptop.path("no/such/folder/a.receipt");
    let _ = signed.query(&nowhere).args(["SELECT 1"]).run().expect(STORAGE);
    // Without a ledger there is nothing to rest on.
    let plain = Laptop::new();
    let _ = plain.ingest_bytes("a", lines("a", 3));
    let _ = plain.seal();
    let query = plain.command("query").args(["SELECT 1", "--receipt"]).args([plain.path("r")]);
    let _ = query.run().expect(QUERY).says("signed ledger");
    assert!(!plain.path("r").exists());
    // What waits is no part of a statement's answer.
    let _ = signed.laptop.ingest_bytes("waiting", lines("waiting", 9));
    let (_, statement) = signed.receipt("sealed.receipt", &["SELECT request_id FROM mesh_events"]);
    let sealed = signed.laptop.number("SELECT count(*) AS n FROM mesh_events") - 9;
    assert_eq!(statement["result"]["rows"], sealed);
}

#[test]
fn the_forms_of_the_receipt_that_is_shown_stay_as_they_were() {
    let signed = Signed::new();
    let sql = "SELECT count(*) AS n FROM mesh_events";
    let ask =
        |more: &[&str]| signed.laptop.command("query").args(["--format", "json", sql]).args(more);
    let shown = ask(&["--receipt", "json"]).run().expect(0);
    let receipt: Value = serde_json::from_str(shown.stderr.trim()).unwrap();
    assert_eq!((&receipt["mode"], &receipt["version"]), (&"fresh".into(), &2.into()));
    assert_eq!(ask(&["--receipt", "none"]).run().expect(0).stderr, "");
    assert_eq!(ask(&["--receipt", "inline"]).run().expect(0).json_lines().len(), 2);
    assert!(ask(&["--receipt", "text"]).run().expect(0).stderr.contains("from version 2"));
    // Both: the statement in a file, and the receipt in a form.
    let path = signed.laptop.path("json");
    let both = ask(&["--receipt-format", "json", "--receipt"]).args([&path]).run().expect(0);
    let receipt: Value = serde_json::from_str(both.stderr.trim()).unwrap();
    assert_eq!(receipt["mode"], "strict", "a statement implies it");
    assert_eq!(read(&path)["type"], "mesh-archive-answer/v1");
    let _ =
        ask(&["--policy"]).args([&signed.policy]).run().expect(USAGE).says("--strict or --receipt");
}

#[test]
fn another_history_is_told_from_another_answer() {
    let (signed, other) = (Signed::new(), Signed::new());
    let sql = "SELECT count(*) AS n FROM mesh_events";
    let (early, _) = signed.receipt("early.receipt", &[sql]);
    let kept = signed.laptop.path("kept");
    copy_tree(&signed.laptop.archive_path(), &kept);
    signed.add("more", 5);
    let (late, _) = signed.receipt("late.receipt", &[sql]);
    // Of another archive, by either policy.
    for policy in [&signed.policy, &other.policy] {
        let recheck = other.laptop.command("recheck").args(["--json", "--policy"]);
        let output = recheck.args([policy]).args([&early]).run();
        let is_own = policy == &other.policy;
        if is_own {
            let told = verdict(&output.expect(DIFFERENT), "other_history");
            assert_eq!(told["signed_by"], Value::Null, "{told}");
        } else {
            // The archive's own checkpoint is none that this policy accepts.
            assert!([Some(DIFFERENT), Some(STORAGE)].contains(&output.code), "{}", output.report());
        }
    }
    // The archive as it was before: the later statement shows that it was cut back.
    let archive = signed.laptop.archive_path();
    fs::remove_dir_all(&archive).unwrap();
    copy_tree(&kept, &archive);
    let told = verdict(&signed.recheck(&late).run().expect(DIFFERENT), "other_history");
    assert!(told["differences"][0]["found"].as_str().unwrap().contains("3 commits"), "{told}");
    assert!(told["signed_by"].is_string(), "{told}");
    let said = signed.laptop.command("recheck").args(["--policy"]).args([&signed.policy]);
    let said = said.args([&late]).run().expect(DIFFERENT).text();
    assert!(said.contains("evidence that the ledger was rewritten or cut back"), "{said}");
    let _ = verdict(&signed.recheck(&early).run().expect(0), "equal");
}

/// A scene's query and its recheck, with the scene's policy.
fn receipt_of(scene: &Scene, name: &str, sql: &str) -> PathBuf {
    let path = scene.folder().join(name);
    let query = ml(["query", "--format", "json", "--archive"]).args([scene.archive()]);
    let query = query.args(["--policy"]).args([scene.policy()]).args(["--receipt"]).args([&path]);
    let _ = query.args([sql]).run().expect(0);
    path
}

fn recheck_of(scene: &Scene, receipt: &Path) -> Program {
    let recheck = ml(["recheck", "--json", "--archive"]).args([scene.archive()]);
    recheck.args(["--policy"]).args([scene.policy()]).args([receipt])
}

#[test]
fn a_rewritten_history_is_evidence_even_if_the_right_key_signed_it() {
    let scene = Scene::rich();
    let receipt = receipt_of(&scene, "a.receipt", "SELECT principal FROM mesh_events");
    let _ = verdict(&recheck_of(&scene, &receipt).run().expect(0), "equal");
    // Who holds the key makes another history of it, in which a commit was made at another time.
    let text = fs::read_to_string(scene.commit(3)).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let stamp = first["commitInfo"]["timestamp"].as_i64().unwrap();
    let text = text.replace(&stamp.to_string(), &(stamp + 1).to_string());
    fs::write(scene.commit(3), text).unwrap();
    scene.forge();
    let told = verdict(&recheck_of(&scene, &receipt).run().expect(DIFFERENT), "other_history");
    assert!(told["signed_by"].is_string(), "{told}");
}

#[test]
fn files_that_expired_are_told_from_files_that_were_lost_or_changed() {
    let scene = Scene::rich();
    let sql = "SELECT principal, event_time FROM mesh_events";
    let receipt = receipt_of(&scene, "a.receipt", sql);
    let (first, third) = (scene.added(1), scene.added(3));
    // A commit lets files go, and somebody who may has signed that; they are still there.
    scene.expire(&first);
    scene.forge();
    let last = scene.commits() - 1;
    let _ = verdict(&recheck_of(&scene, &receipt).run().expect(0), "equal");
    let after = receipt_of(&scene, "after.receipt", sql);
    // Now they are gone, and that is that commit's doing.
    let bytes = fs::read(&first[0]).unwrap();
    first.iter().for_each(|file| fs::remove_file(file).unwrap());
    let told = verdict(&recheck_of(&scene, &receipt).run().expect(EXPIRED), "expired");
    let removed = &told["removed_by"][0];
    assert_eq!((&removed["version"], &removed["operation"]), (&last.into(), &"expire".into()));
    assert_eq!(removed["files"], first.len(), "{told}");
    let text = ml(["recheck", "--archive"]).args([scene.archive()]).args([&receipt]);
    let text = text.run().expect(EXPIRED).text();
    assert!(
        text.contains("NO LONGER POSSIBLE") && text.contains(&format!("commit {last} (expire)")),
        "{text}"
    );
    // A later answer never rested on them.
    let _ = verdict(&recheck_of(&scene, &after).run().expect(0), "equal");
    // A file that nobody let go is no expiry, also beside files that expired.
    let kept = fs::read(&third[0]).unwrap();
    fs::remove_file(&third[0]).unwrap();
    for receipt in [&receipt, &after] {
        let told = verdict(&recheck_of(&scene, receipt).run().expect(TAMPERING), "lost");
        let name = third[0].file_name().unwrap().to_str().unwrap();
        assert!(told["files"][0].as_str().unwrap().ends_with(name), "{told}");
    }
    let said = ml(["recheck", "--archive"]).args([scene.archive()]).args([&after]).run();
    assert!(said.expect(TAMPERING).text().contains("FILE_MISSING"));
    // A file that was changed is an error of the archive, as for every strict query.
    fs::write(&third[0], &kept).unwrap();
    fs::write(&first[0], &bytes).unwrap();
    flip_byte(&third[0], i64::try_from(kept.len() / 2).unwrap());
    let _ = recheck_of(&scene, &after).args(["--full"]).run().expect(STORAGE).says("SHA-256");
    fs::write(&third[0], &kept[..kept.len() - 1]).unwrap();
    let _ = recheck_of(&scene, &after).run().expect(STORAGE).says("bytes");
    fs::write(&third[0], &kept).unwrap();
    let _ = verdict(&recheck_of(&scene, &after).run().expect(0), "equal");
}
