//! Answers as files and objects: whole or not at all, in bounded memory, and what others read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Sha256Digest;
use meshledger_tests::cli::{Output, Program, meshledger, ml};
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::paths::fixture;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::tamper::{files_below, flip_byte};
use serde_json::Value;

const TAMPERING: i32 = 1;
const USAGE: i32 = 3;
const STORAGE: i32 = 5;
const QUERY: i32 = 6;
const LIMIT: i32 = 7;
const DIFFERENT: i32 = 8;
const INTERRUPTED: i32 = 130;

/// An archive with a ledger, and a folder for what is exported.
struct Signed {
    laptop: Laptop,
    policy: PathBuf,
    out: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let laptop = Laptop::empty();
        let Signing { key, policy } = laptop.begin_ledger("archive.example/mesh");
        let files = ["envoy/captured-default.jsonl", "envoy/captured-extended.jsonl"].map(fixture);
        let _ = laptop.ingest(files).run().expect(0);
        let _ = laptop.ingest_bytes("more", lines("more", 20));
        let _ = laptop.seal_with(&key).run().expect(0);
        let out = laptop.path("out");
        fs::create_dir(&out).unwrap();
        Self { laptop, policy, out }
    }

    fn query(&self, out: &str, sql: &str) -> Program {
        self.laptop.command("query").args(["--out", out, sql])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// What lies in the folder, without folders.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.out).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Exports with a receipt, and returns its statement.
    fn export(&self, name: &str, sql: &str, more: &[&str]) -> Value {
        let receipt = self.text(&format!("{name}.receipt"));
        let query = self.query(&self.text(name), sql).args(["--receipt", &receipt]).args(more);
        let _ = query.run().expect(0);
        let statement = read(Path::new(&receipt));
        let bytes = fs::read(self.path(name)).unwrap();
        let export = &statement["export"];
        assert_eq!(export["name"], name);
        assert_eq!(export["bytes"], bytes.len());
        assert_eq!(export["sha256"], Sha256Digest::of(&bytes).to_string());
        statement
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Rows of about a kilobyte that hardly repeat, out of nothing.
fn wide(rows: u64) -> String {
    format!(
        "SELECT value, md5(CAST(value AS VARCHAR)) AS digest, repeat(md5(CAST(value AS VARCHAR)), 30) \
         AS pad, value % 7 = 0 AS odd FROM range(0, {rows})"
    )
}

/// Rows of a quarter of a kilobyte that no codec makes shorter.
fn dense(rows: u64) -> String {
    let column = |name: &str| format!("sha512(concat(value, '{name}')) AS {name}");
    let columns = ["a", "b", "c", "d"].map(column).join(", ");
    format!("SELECT value, {columns} FROM range(0, {rows})")
}

#[test]
fn what_is_exported_is_what_duckdb_reads_in_the_archive() {
    let signed = Signed::new();
    let sql = "SELECT * FROM mesh_events ORDER BY event_time, segment, segment_row";
    let (mut files, mut digests) = (Vec::new(), Vec::new());
    for (name, format) in
        [("a.csv", "csv"), ("a.ndjson", "ndjson"), ("a.arrow", "arrow"), ("a.parquet", "parquet")]
    {
        let statement = signed.export(name, sql, &[]);
        assert_eq!(statement["export"]["format"], format);
        digests.push(statement["result"]["digest"].clone());
        files.push(format!("{format}={}", signed.text(name)));
        let receipt = signed.path(&format!("{name}.receipt"));
        if ["arrow", "parquet"].contains(&format) {
            // Whoever has the file can compute the digest of its rows.
            let file = signed.text(name);
            let judged = script("receipt.py").args([&receipt]).args(["rows", &file]).run();
            assert_eq!(judged.code, Some(0), "{name}: {}", judged.report());
        }
        let recheck = signed.laptop.command("recheck").args([&receipt]).args(["--file"]);
        let said = recheck.args([signed.path(name)]).run().expect(0).text();
        assert!(said.contains("The file given is the one that was exported"), "{said}");
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the rows do not depend on the form: {digests:?}");
    let judged = script("read_export.py")
        .args([signed.laptop.archive()])
        .args([signed.path("a.csv.receipt")])
        .args(files)
        .run();
    assert_eq!(judged.code, Some(0), "read differently: {}", judged.report());
    eprintln!("{}", judged.text());
    // A file that is not the one that was exported.
    flip_byte(&signed.path("a.csv"), 100);
    let recheck = signed.laptop.command("recheck").args([signed.path("a.csv.receipt")]);
    let recheck = recheck.args(["--json", "--file"]).args([signed.path("a.csv")]);
    assert_eq!(recheck.run().expect(DIFFERENT).json()["verdict"], "other_file");
}

#[test]
fn the_form_follows_from_the_name_or_the_option() {
    let signed = Signed::new();
    let sql = "SELECT 1 AS n";
    for (name, more, begins) in [
        ("a.csv", &[][..], &b"n\n1\n"[..]),
        ("b.jsonl", &[], b"{\"n\":1}\n"),
        ("c", &["--format", "ndjson"], b"{\"n\":1}\n"),
        ("d.csv", &["--format", "parquet"], b"PAR1"),
    ] {
        let told = signed.query(&signed.text(name), sql).args(more).run().expect(0);
        assert!(told.stdout.is_empty() && told.stderr.contains("Wrote 1 row"), "{}", told.report());
        assert!(fs::read(signed.path(name)).unwrap().starts_with(begins), "{name}");
    }
    let before = signed.names();
    for (name, more, says) in [
        ("e.txt", &[][..], "expected a name that ends in"),
        ("e.csv", &["--format", "table"], "expected a name that ends in"),
        ("e.ndjson", &["--receipt", "inline"], "no --out"),
        ("no/such/e.csv", &[], "can not be written"),
        ("e.csv", &["--proofs", "p.tar"], "segment and segment_row"),
    ] {
        let output = signed.query(&signed.text(name), sql).args(more).run().says(says);
        assert!([Some(USAGE), Some(STORAGE)].contains(&output.code), "{}", output.report());
    }
    // Parquet goes to a pipe as well.
    let piped = signed.laptop.command("query").args(["--format", "parquet", sql]).run().expect(0);
    assert!(piped.stdout.starts_with(b"PAR1") && piped.stdout.ends_with(b"PAR1"));
    assert_eq!(signed.names(), before);
}

#[test]
fn what_fails_leaves_nothing_under_its_name_and_what_was_there_stays() {
    let signed = Signed::new();
    fs::write(signed.path("mine.csv"), "mine").unwrap();
    let mine = signed.text("mine.csv");
    let _ = signed.query(&mine, "SELECT 1").run().expect(USAGE).says("is there already");
    // The last row fails, after megabytes of others; or there are too many; or bytes run out.
    let late = "SELECT value, repeat('x', 1000) AS pad, 1 / (29999 - value) FROM range(0, 30000)";
    let many = wide(30_000);
    let cases = [(late, &[][..], QUERY), (&many, &["--rows-max", "25000"], LIMIT)];
    for (sql, more, code) in cases {
        let failing = signed.query(&mine, sql).args(["--force", "--receipt", &signed.text("r")]);
        let query = failing.args(more).run();
        assert_eq!(query.code, Some(code), "{}", query.report());
    }
    let report = signed.laptop.path("report");
    let full = script("limited.py")
        .args(["--file-bytes", "5000000"])
        .args([&report])
        .args(["--"])
        .args([meshledger()])
        .args(["query", "--archive", signed.laptop.archive(), "--force", "--out", &mine])
        .args([&wide(20_000)])
        .run();
    assert_eq!(full.code, Some(STORAGE), "{}", full.report());
    assert_eq!(signed.names(), ["mine.csv"], "neither rests nor receipts");
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    // A receipt that can not be written is found before.
    let nowhere = signed.text("no/such/r");
    let query = signed.query(&signed.text("b.csv"), "SELECT 1").args(["--receipt", &nowhere]);
    let _ = query.run().expect(STORAGE);
    assert_eq!(signed.names(), ["mine.csv"]);
    // Replaced, in one step, if that is asked for.
    let _ = signed.query(&mine, "SELECT 1 AS n").args(["--force"]).run().expect(0);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "n\n1\n");
    assert_eq!(signed.names(), ["mine.csv"]);
}

#[test]
fn whoever_ends_an_export_half_way_finds_no_part_of_it() {
    let signed = Signed::new();
    for (signal, left) in [("INT", 0), ("TERM", 0), ("KILL", 1)] {
        let name = format!("{signal}.csv");
        let receipt = signed.text("r");
        let query = signed.query(&signed.text(&name), &wide(50_000_000));
        let mut running = query.args(["--receipt", &receipt]).start();
        let begun = running.wait_for(|| {
            let parts = fs::read_dir(&signed.out).unwrap();
            parts
                .filter_map(|part| part.unwrap().metadata().ok())
                .any(|part| part.len() > 2_000_000)
        });
        assert!(begun, "it ended before: {}", running.finish().report());
        running.signal(signal);
        let output = running.finish();
        if signal != "KILL" {
            assert_eq!(output.code, Some(INTERRUPTED), "{}", output.report());
        }
        let names = signed.names();
        assert_eq!(names.len(), left, "{signal}: {names:?}");
        assert!(names.iter().all(|name| name.starts_with(".meshledger-")), "{names:?}");
    }
}

/// Largest resident set of an export, in bytes.
fn peak(signed: &Signed, name: &str, sql: &str, more: &[&str]) -> u64 {
    let report = signed.laptop.path("peak");
    let output = script("limited.py")
        .args([&report])
        .args(["--"])
        .args([meshledger()])
        .args(["query", "--archive", signed.laptop.archive(), "--threads", "1"])
        .args(["--out", &signed.text(name), "--receipt", &signed.text(&format!("{name}.receipt"))])
        .args(more)
        .args([sql])
        .time_limit(Duration::from_secs(900))
        .run();
    assert_eq!(output.code, Some(0), "{}", output.report());
    fs::read_to_string(&report).unwrap().parse().unwrap()
}

#[test]
fn an_export_takes_little_memory_however_many_rows_it_has() {
    let signed = Signed::new();
    // With its receipt: two million digests are sorted as well, in parts of a million.
    for (name, rows) in [("a.csv", 300_000), ("a.parquet", 300_000), ("b.ndjson", 2_100_000)] {
        let sql = match name {
            "a.csv" => wide(rows),
            "a.parquet" => dense(rows),
            _ => format!("SELECT value, 'a word' AS word FROM range(0, {rows})"),
        };
        let small = peak(&signed, &format!("small-{name}"), &wide(1_000), &[]);
        let large = peak(&signed, name, &sql, &["--memory-bytes", "64MiB"]);
        let bytes = fs::metadata(signed.path(name)).unwrap().len();
        eprintln!("{name}: {bytes} bytes in {large} bytes of memory; of 1,000 rows in {small}");
        let more = large.saturating_sub(small);
        let (least, most) =
            if name == "a.csv" { (300_000_000, 100_000_000) } else { (65_000_000, 120_000_000) };
        assert!(bytes > least, "{name} has {bytes} bytes");
        assert!(more < most, "{name}: {more} bytes of memory more than for 1,000 rows");
        let statement = read(&signed.path(&format!("{name}.receipt")));
        assert_eq!(statement["result"]["rows"], rows);
        assert_eq!(statement["export"]["bytes"], bytes);
        fs::remove_file(signed.path(name)).unwrap();
    }
}

/// Rows of a quarter of a kilobyte, in an order that they do not come in.
fn shuffled(rows: u64) -> String {
    format!(
        "SELECT md5(CAST(value AS VARCHAR)) AS digest, value, repeat('a word, ', 24) AS pad \
         FROM range(0, {rows}) ORDER BY digest"
    )
}

#[test]
fn what_is_too_much_to_sort_in_memory_spills_to_the_folder_that_is_named_and_leaves_nothing() {
    let signed = Signed::new();
    let folder = signed.laptop.path("spill");
    fs::create_dir(&folder).unwrap();
    let spill = folder.display().to_string();
    let is_empty = || fs::read_dir(&folder).unwrap().next().is_none();
    let rows: u64 = 2_000_000;
    let sql = shuffled(rows);
    let memory = ["--memory-bytes", "64MiB", "--threads", "1"];
    let query = |more: &[&str]| signed.query(&signed.text("a.csv"), &sql).args(memory).args(more);
    // Whoever names no folder is told of it; and it holds no more than it may.
    let _ = query(&[]).run().expect(LIMIT).says("--spill");
    let bounded = query(&["--spill", &spill, "--spill-bytes-max", "20MB"]).run();
    let _ = bounded.expect(LIMIT).says("spill to disk");
    let nowhere = signed.text("no/such/folder");
    let _ = query(&["--spill", &nowhere]).run().expect(STORAGE).says("--spill");
    assert!(is_empty() && signed.names().is_empty());
    // With room for it, several times what it takes of memory.
    let small = peak(&signed, "small.csv", &shuffled(1_000), &[]);
    let spilling = ["--memory-bytes", "64MiB", "--spill", &spill];
    let large = peak(&signed, "a.csv", &sql, &spilling);
    let bytes = fs::metadata(signed.path("a.csv")).unwrap().len();
    eprintln!("{bytes} bytes sorted in {large} bytes of memory; of 1,000 rows in {small}");
    assert!(bytes > 450_000_000, "{bytes} bytes");
    let more = large.saturating_sub(small);
    assert!(more < 190_000_000, "{more} bytes of memory more than for 1,000 rows");
    assert!(is_empty());
    // In order, and each of them.
    let text = fs::read_to_string(signed.path("a.csv")).unwrap();
    let mut values = vec![false; usize::try_from(rows).unwrap()];
    let mut before = "";
    for line in text.lines().skip(1) {
        let (digest, rest) = line.split_at(32);
        assert!(before < digest, "{before} stands before {digest}");
        before = digest;
        let value: usize = rest.split(',').nth(1).unwrap().parse().unwrap();
        assert!(!std::mem::replace(&mut values[value], true), "{value} comes twice");
    }
    assert!(values.iter().all(|found| *found));
    let statement = read(&signed.path("a.csv.receipt"));
    assert_eq!(statement["result"]["ordered"], true);
    // Who is interrupted leaves nothing there.
    let long = signed.query(&signed.text("b.csv"), &shuffled(50_000_000)).args(spilling);
    let mut running = long.start();
    let spilled = || {
        files_below(&folder).iter().any(|file| file.metadata().is_ok_and(|m| m.len() > 2_000_000))
    };
    assert!(running.wait_for(spilled), "it ended before: {}", running.finish().report());
    running.signal("INT");
    let _ = running.finish().expect(INTERRUPTED);
    assert!(is_empty());
}

fn to_s3(signed: &Signed, port: u16, url: &str, sql: &str) -> Program {
    signed.query(url, sql).envs(Seaweed::environment(port))
}

/// An object's bytes, as another client gets them; none if there is none.
fn object(server: &Seaweed, url: &str) -> Option<Vec<u8>> {
    let path = url.strip_prefix("s3://").unwrap();
    let environment = Seaweed::environment(server.port());
    let output = script("s3_versions.py").envs(environment).args(["get", path]).run();
    if output.stderr.contains("404") {
        return None;
    }
    assert_eq!(output.code, Some(0), "{}", output.report());
    Some(output.stdout)
}

/// Keys of uploads that were begun below a prefix, and not ended.
fn uploads(server: &Seaweed, prefix: &str) -> Vec<String> {
    let environment = Seaweed::environment(server.port());
    let output = script("s3_versions.py").envs(environment).args(["uploads", "audit"]).run();
    let listed = output.expect(0).text();
    listed.lines().filter(|key| key.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn an_export_to_s3_is_there_whole_and_replaces_nothing() {
    let server = Seaweed::shared();
    let signed = Signed::new();
    // One put, and an upload of several parts.
    for rows in [10, 20_000] {
        let url = format!("s3://audit/exports/whole/{rows}.csv");
        let receipt = signed.text(&format!("{rows}.receipt"));
        let query = to_s3(&signed, server.port(), &url, &wide(rows));
        let _ = query.args(["--receipt", &receipt]).run().expect(0);
        let statement = read(Path::new(&receipt));
        let bytes = object(&server, &url).unwrap();
        assert_eq!(statement["export"]["name"], format!("{rows}.csv"));
        assert_eq!(statement["export"]["bytes"], bytes.len());
        assert_eq!(statement["export"]["sha256"], Sha256Digest::of(&bytes).to_string());
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count() as u64, rows + 1);
        // Also if it is asked for: an object is never replaced.
        let again = to_s3(&signed, server.port(), &url, "SELECT 1").args(["--force"]).run();
        let _ = again.expect(STORAGE).says("there already");
        assert!(object(&server, &url).unwrap() == bytes);
    }
    for wrong in ["s3://", "s3://audit", "s3://audit/", "s3:///x.csv"] {
        let _ = to_s3(&signed, server.port(), wrong, "SELECT 1")
            .args(["--format", "csv"])
            .run()
            .expect(USAGE);
    }
    // A query that fails, and one that is interrupted, give up what was put.
    let late = format!("{} WHERE 1 / (39999 - value) < 9", wide(40_000));
    let url = "s3://audit/exports/whole/late.csv";
    let _ = to_s3(&signed, server.port(), url, &late).run().expect(QUERY);
    let url_two = "s3://audit/exports/whole/stopped.csv";
    let mut running = to_s3(&signed, server.port(), url_two, &wide(50_000_000)).start();
    assert!(running.wait_for(|| !uploads(&server, "exports/whole/stopped").is_empty()));
    running.signal("INT");
    let _ = running.finish().expect(INTERRUPTED);
    for url in [url, url_two] {
        assert_eq!(object(&server, url), None);
    }
    assert_eq!(uploads(&server, "exports/whole/"), [""; 0]);
}

#[test]
fn whatever_request_is_lost_an_object_is_whole_or_not_there() {
    let server = Seaweed::shared();
    let signed = Signed::new();
    let sql = wide(20_000);
    let (mut faults, mut done, mut failed) = (0, 0, 0);
    for seed in 1..=12 {
        let proxy = FaultyProxy::start(server.port(), seed, 3);
        let url = format!("s3://audit/exports/lost/{seed}.csv");
        let receipt = signed.text(&format!("{seed}.receipt"));
        let query = to_s3(&signed, proxy.port(), &url, &sql).args(["--receipt", &receipt]);
        let output = query.run();
        faults += proxy.counts().faults();
        let bytes = object(&server, &url);
        match output.code {
            Some(0) => {
                done += 1;
                let export = read(Path::new(&receipt))["export"].clone();
                assert_eq!(export["sha256"], Sha256Digest::of(&bytes.unwrap()).to_string());
            }
            Some(STORAGE) => {
                failed += 1;
                // Only a lost answer can leave it there, and then all of it.
                let rows = bytes.map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
                assert!(rows.is_none_or(|rows| rows == 20_001), "seed {seed}: {rows:?} lines");
                assert!(!Path::new(&receipt).exists());
            }
            _ => panic!("seed {seed}: {}", output.report()),
        }
    }
    eprintln!("{faults} faults, {done} exports done, {failed} failed");
    assert!(faults >= 12 && done >= 1, "{faults} faults, {done} done");
}

fn check_proof(signed: &Signed, proof: &Path) -> Output {
    ml(["check-proof", "--json"]).args([proof]).args(["--policy"]).args([&signed.policy]).run()
}

#[test]
fn proofs_beside_an_export_are_checked_by_others_and_without_the_archive() {
    let signed = Signed::new();
    let sql = "SELECT e.segment, e.segment_row, e.decision, r.value FROM mesh_events e \
               JOIN range(0, 3) r ON e.decision = 'deny' OR r.value = 7";
    let proofs = signed.text("denials.tar");
    let statement = signed.export("denials.csv", sql, &["--proofs", &proofs]);
    let distinct =
        signed.laptop.number("SELECT count(*) AS n FROM mesh_events WHERE decision = 'deny'");
    assert_eq!(statement["result"]["rows"], distinct * 3);
    let stated = &statement["export"]["proofs"];
    let bytes = fs::read(&proofs).unwrap();
    assert_eq!((&stated["name"], &stated["events"]), (&"denials.tar".into(), &distinct.into()));
    assert_eq!(stated["sha256"], Sha256Digest::of(&bytes).to_string());
    // All at once, and one by one by the checker in Python, from files that Python's tarfile took
    // out.
    let told = check_proof(&signed, Path::new(&proofs)).expect(0).json();
    assert_eq!((&told["valid"], &told["valid_proofs"]), (&true.into(), &distinct.into()));
    let folder = signed.laptop.path("taken");
    let take = script("untar.py").args([&proofs]).args([&folder]).run().expect(0);
    assert_eq!(take.text().lines().count(), usize::try_from(distinct).unwrap());
    for name in take.text().lines().take(3) {
        let python = script("check_proof.py").args([folder.join(name)]);
        let python = python.args(["--policy"]).args([&signed.policy]).run().expect(0).json();
        let ours = check_proof(&signed, &folder.join(name)).expect(0).json();
        assert_eq!(ours["event"]["decision"], "deny");
        let id =
            format!("{}-{}.tlog-proof", ours["segment"].as_str().unwrap(), ours["segment_row"]);
        assert_eq!(name, id);
        assert_eq!(python["valid"], true, "{python}");
    }
    // A changed proof is found and named; so is a file that is none.
    let mut changed = bytes.clone();
    // Within the base64 of the first proof's text.
    let at = changed.windows(6).position(|window| window == b"extra ").unwrap() + 200;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let changed_path = signed.laptop.write("changed.tar", &changed);
    let told = check_proof(&signed, &changed_path).expect(TAMPERING).json();
    assert_eq!(
        (&told["invalid_proofs"], &told["valid_proofs"]),
        (&1.into(), &(distinct - 1).into())
    );
    let cut = signed.laptop.write("cut.tar", &bytes[..bytes.len() - 1_024]);
    assert_eq!(check_proof(&signed, &cut).code, Some(4));
    // Without a ledger there is nothing to prove, and nothing is left.
    let plain = Laptop::new();
    let _ = plain.ingest_bytes("a", lines("a", 3));
    let _ = plain.seal();
    let (rows, proofs) = (plain.path("a.csv"), plain.path("a.tar"));
    let query =
        plain.command("query").args(["--out"]).args([&rows]).args(["--proofs"]).args([&proofs]);
    let _ = query.args(["SELECT segment, segment_row FROM mesh_events"]).run().expect(STORAGE);
    assert!(!rows.exists() && !proofs.exists());
}
