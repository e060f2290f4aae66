//! What a query would cost is what it then costs, or more: `query --dry-run` held against receipts.
//! So does tests/it/questions.rs with every question of the collection.

use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::records;
use meshledger_tests::tamper::files_below;
use serde_json::{Value, json};

use crate::questions::over;

/// Longest file that is read whole.
const SMALL_BYTES: u64 = 128 * 1024;

/// Files of both kinds, with a ledger: a few long ones, of which each end can be sampled, and a
/// short one.
fn archive() -> Laptop {
    let laptop = Laptop::signed();
    let traffic = laptop.path("traffic");
    let generate = ml(["generate", "--events", "40000", "--format", "extended", "--out"]);
    let _ = generate.args([&traffic]).run().expect(0);
    let _ = laptop.ingest(files_below(&traffic)).run().expect(0);
    let other = records::at("other-day", "2026-10-01T00:00:00.000Z");
    let _ = laptop.ingest_bytes("other.log", other + "\n");
    let _ = laptop.seal();
    let files = files_below(&laptop.path("archive/data"));
    let long = files.iter().filter(|path| path.metadata().unwrap().len() > SMALL_BYTES);
    let (long, all) = (long.count(), files.len());
    assert!((2..=8).contains(&long) && long < all, "{long} of {all} files are long");
    laptop
}

/// What the query is said to cost, and what it costs: two processes that know nothing.
#[track_caller]
fn estimate_and_receipt(laptop: &Laptop, how: &[&str], sql: &str) -> (Value, Value) {
    let ask = || laptop.command("query").args(how.iter().copied());
    let dry = ask().args(["--dry-run", "--format", "json", sql]).run().expect(0);
    let asked = ask().args(["--format", "csv", "--receipt", "json", sql]).run().expect(0);
    let receipt = asked.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    (dry.json(), serde_json::from_str(receipt).unwrap())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

const MODES: [&[&str]; 3] = [&[], &["--strict"], &["--strict=full"]];

#[test]
fn what_is_read_without_conditions_is_what_was_said_to_the_byte() {
    let laptop = archive();
    for sql in [
        "SELECT count(decision) FROM mesh_events",
        "SELECT decision, count(*), max(event_time) FROM mesh_events GROUP BY 1",
        "SELECT count(url_path), count(raw) FROM mesh_events",
        "SELECT * FROM mesh_events",
        "SELECT count(*) FROM mesh_events",
        "EXPLAIN SELECT * FROM mesh_events",
        "EXPLAIN ANALYZE SELECT count(principal) FROM mesh_events",
    ] {
        for how in MODES {
            let (estimate, receipt) = estimate_and_receipt(&laptop, how, sql);
            let said = [&estimate["files"], &estimate["bytes"], &estimate["requests"]];
            let found = [&receipt["files_read"], &receipt["bytes_read"], &receipt["requests"]];
            // Where files are hashed, no end is looked at before.
            if how == ["--strict=full"] && number(&receipt["requests"]) > 0 {
                assert_eq!(over(&estimate, &receipt), None, "{sql}");
                assert_eq!(said[0], found[0], "{sql}");
            } else {
                assert_eq!(said, found, "{sql} {how:?}: {estimate}\n{receipt}");
            }
            assert_eq!(
                (&estimate["files_guessed"], &estimate["dollars"]),
                (&json!(0), &json!("0"))
            );
        }
    }
    // The caps of the exact numbers let it pass, and a byte or request less does not.
    let sql = "SELECT count(principal) FROM mesh_events";
    let (estimate, receipt) = estimate_and_receipt(&laptop, &[], sql);
    assert_eq!(number(&estimate["files_sampled"]) + 1, number(&estimate["files"]));
    for (cap, member) in [("--cap-bytes", "bytes_read"), ("--cap-requests", "requests")] {
        let enough = number(&receipt[member]);
        let ask = |cap_at: u64| {
            let query = laptop.command("query").args(["--receipt", "json", "--format", "csv"]);
            query.args([cap, &cap_at.to_string(), sql]).run()
        };
        let passed = ask(enough).expect(0);
        assert!(passed.stderr.contains(&format!("\"{member}\":{enough},")), "{}", passed.report());
        let refused = ask(enough - 1).expect(7).says("was not run");
        assert!(refused.stdout.is_empty(), "{}", refused.report());
    }
    let _ = laptop.command("query").args(["--cap-dollars", "0.01", sql]).run().expect(0);
    let sentence = laptop.command("query").args(["--dry-run", sql]).run().expect(0).text();
    assert!(sentence.starts_with("at most ") && sentence.contains("; $0 (a folder"), "{sentence}");
}

#[test]
fn no_query_reads_more_than_was_said() {
    let laptop = archive();
    let mut wrong = Vec::new();
    for sql in [
        "SELECT request_id FROM mesh_events LIMIT 3",
        "SELECT event_time, url_path FROM mesh_events ORDER BY event_time DESC LIMIT 5",
        "SELECT * FROM mesh_events WHERE decision = 'deny'",
        "SELECT * FROM mesh_events WHERE request_id LIKE '%77%'",
        "SELECT request_id FROM mesh_events WHERE request_id = 'other-day'",
        "SELECT * FROM mesh_events WHERE principal = 'nobody' AND http_status = 200",
        "SELECT count(raw) FROM mesh_events WHERE event_time > '2026-11-02T12:00:00Z'",
        "SELECT count(*) FROM mesh_events WHERE http_status >= 500 AND url_path LIKE '%a%'",
        "SELECT count(*) FROM mesh_events a JOIN mesh_events b USING (request_id) \
         WHERE a.decision = 'deny'",
        "SELECT * FROM mesh_events WHERE duration_us = (SELECT max(duration_us) FROM mesh_events)",
        "SELECT count(*) FROM mesh_events WHERE principal IN \
         (SELECT principal FROM mesh_events WHERE decision = 'deny' LIMIT 1)",
        "SELECT count(raw) FROM mesh_events_distinct WHERE decision = 'deny'",
    ] {
        for how in MODES {
            let (estimate, receipt) = estimate_and_receipt(&laptop, how, sql);
            wrong.extend(over(&estimate, &receipt).map(|over| format!("{how:?} {sql}: {over}")));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_dry_run_needs_a_query_and_has_no_rows() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("a.log", records::lines("a", 3));
    let sql = "SELECT request_id FROM mesh_events WHERE transport <> 'query'";
    let ask = |more: &[&str]| laptop.command("query").args(more.iter().copied()).run();
    for wrong in [
        &["--dry-run", "--format", "csv", sql][..],
        &["--dry-run", "--receipt", "a.receipt", sql],
        &["--dry-run", "--out", "a.csv", sql],
        &["--dry-run", "--explain-pruning", sql],
        &["--cap-dollars", "0", sql],
        &["--cap-dollars", "1e9", sql],
        &["--cap-requests", "0", sql],
    ] {
        let _ = ask(wrong).expect(3);
    }
    let _ = ask(&["--dry-run", "DROP TABLE mesh_events"]).expect(6).says("REFUSED");
    let _ = ask(&["--dry-run", "--cap-bytes", "10", sql]).expect(7).says("LIMIT_BYTES");
    // It is on the trail, as what it was.
    let told = ask(&["--dry-run", "--trail", "required", "--format", "json", sql]).expect(0).json();
    assert_eq!((&told["rows"], &told["requests"]), (&json!(3), &json!(1)), "{told}");
    let trail = "SELECT sql, dry_run, outcome, rows_returned FROM query_trail ORDER BY asked_at";
    let _ = ask(&["--trail", "required", sql]).expect(0);
    let rows = laptop.query(trail);
    assert_eq!(
        rows,
        [
            json!({"sql": sql, "dry_run": true, "outcome": "ok", "rows_returned": null}),
            json!({"sql": sql, "dry_run": false, "outcome": "ok", "rows_returned": 3}),
        ]
    );
}
