//! Asking: forms of SQL and of answers, receipts, and what is refused.

use std::fs;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::tamper::files_below;
use serde_json::Value;

const BY_DECISION: &str =
    "SELECT decision, count(*) AS n FROM mesh_events GROUP BY decision ORDER BY decision";
/// The captured default records, by the oracle and by counting the file by hand.
const EXPECTED: [(&str, i64); 3] = [("allow", 7), ("deny", 10), ("error", 19)];

fn laptop() -> Laptop {
    let laptop = Laptop::new();
    let _ = laptop.ingest([fixture("envoy/captured-default.jsonl")]).run().expect(0);
    let _ = laptop.seal();
    laptop
}

#[test]
fn the_four_formats_give_the_same_answer() {
    let laptop = laptop();
    let ask = |format: &str| {
        laptop.command("query").args(["--format", format, BY_DECISION]).run().expect(0)
    };
    let json: Vec<(String, i64)> = ask("json")
        .json_lines()
        .iter()
        .map(|row| (row["decision"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap()))
        .collect();
    assert_eq!(json, EXPECTED.map(|(decision, n)| (decision.to_owned(), n)));

    assert_eq!(ask("csv").text(), "decision,n\nallow,7\ndeny,10\nerror,19\n");

    let table = ask("table").text();
    for (decision, n) in EXPECTED {
        let row = |line: &str| line.contains(decision) && line.contains(&n.to_string());
        assert!(table.lines().any(row), "{table}");
    }

    let stream = ask("arrow").stdout;
    let reader = StreamReader::try_new(&stream[..], None).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let counts: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column_by_name("n").unwrap().as_primitive::<Int64Type>().values())
        .copied()
        .collect();
    assert_eq!(counts, EXPECTED.map(|(_, n)| n));
}

#[test]
fn an_answer_without_rows_is_still_an_answer() {
    let laptop = laptop();
    let sql = "SELECT request_id FROM mesh_events WHERE request_id = 'nobody'";
    let ask =
        |format: &str| laptop.command("query").args(["--format", format, sql]).run().expect(0);
    assert_eq!(ask("json").text(), "");
    assert_eq!(ask("csv").text().trim_end(), "request_id");
    let stream = ask("arrow").stdout;
    let reader = StreamReader::try_new(&stream[..], None).unwrap();
    assert_eq!(reader.schema().field(0).name(), "request_id");
}

#[test]
fn sql_comes_from_standard_input_a_file_and_the_collection() {
    let laptop = laptop();
    let expected = laptop.query(BY_DECISION);
    let ask = || laptop.command("query").args(["--format", "json"]);
    let piped = ask().args(["-"]).stdin(BY_DECISION).run().expect(0).json_lines();
    assert_eq!(piped, expected);
    let file = laptop.write("question.sql", format!("-- a comment\n{BY_DECISION};\n"));
    assert_eq!(ask().args(["--file"]).args([file]).run().expect(0).json_lines(), expected);
    let listed = laptop.command("query").args(["--list"]).run().expect(0).text();
    let questions = files_below(&meshledger_tests::paths::repository().join("sql/investigations"));
    assert!(questions.len() >= 6, "six questions are promised: {questions:?}");
    for question in questions.iter().filter(|path| path.extension().is_some_and(|e| e == "sql")) {
        let name = question.file_stem().unwrap().to_string_lossy();
        assert!(listed.contains(&*name), "--list leaves out {name}:\n{listed}");
    }
}

#[test]
fn parameters_are_values_and_never_sql() {
    let laptop = laptop();
    let sql = "SELECT count(*) AS n FROM mesh_events WHERE decision = $what";
    let ask = |value: &str| {
        let what = format!("what={value}");
        laptop.command("query").args(["--format", "json", "--param", &what, sql]).run().expect(0)
    };
    assert_eq!(ask("deny").json()["n"], 10);
    assert_eq!(ask("' OR '1'='1").json()["n"], 0);
    let _ = laptop.command("query").args([sql]).run().expect(6).says("what");
}

#[test]
fn only_queries_are_accepted() {
    let laptop = laptop();
    let before = files_below(&laptop.archive_path());
    let target = laptop.path("stolen.parquet").display().to_string();
    for sql in [
        "DROP TABLE mesh_events",
        "DELETE FROM mesh_events",
        "UPDATE mesh_events SET decision = 'allow'",
        "INSERT INTO mesh_events (segment) VALUES ('x')",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        &format!("COPY mesh_events TO '{target}'"),
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; DROP TABLE mesh_events",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM information_schema.df_settings; SELECT 1",
    ] {
        let output = laptop.command("query").args([sql]).run().expect(6);
        assert!(!output.stderr.trim().is_empty(), "{sql} was refused without a reason");
    }
    for sql in ["", "SELEC 1", "SELECT nosuch FROM mesh_events", "SELECT * FROM nosuch"] {
        let output = laptop.command("query").args([sql]).run();
        assert!(matches!(output.code, Some(3 | 6)), "{}", output.report());
        assert!(!output.stderr.trim().is_empty(), "{sql:?} failed without a reason");
    }
    assert_eq!(files_below(&laptop.archive_path()), before);
    assert!(!laptop.path("stolen.parquet").exists());
}

#[test]
fn the_receipt_says_what_was_read_and_what_was_not() {
    let laptop = laptop();
    // A second day, in a file of its own.
    let other = meshledger_tests::records::at("other-day", "2026-10-01T00:00:00.000Z");
    let _ = laptop.ingest_bytes("other.log", other + "\n");
    let _ = laptop.seal();
    let receipt = |sql: &str| -> Value {
        let run =
            laptop.command("query").args(["--format", "json", "--receipt", "json", sql]).run();
        let output = run.expect(0);
        let line = output.stderr.lines().find(|line| line.starts_with('{'));
        serde_json::from_str(line.expect("a receipt")).unwrap()
    };
    let all = receipt("SELECT request_id FROM mesh_events");
    let day = receipt("SELECT request_id FROM mesh_events WHERE event_date = '2026-10-01'");
    // Two seals, each with the file of one date.
    for (receipt, read, pruned, rows) in [(&all, 2, 0, 37), (&day, 1, 1, 1)] {
        for (field, expected) in [
            ("version", 2),
            ("files_total", 2),
            ("files_read", read),
            ("files_pruned_partition", pruned),
            ("files_pruned_statistics", 0),
            ("files_skipped", 0),
            ("row_groups_read", read),
            ("rows_scanned", rows),
            ("rows_returned", rows),
            ("unsealed_manifests", 0),
            ("unsealed_rows", 0),
        ] {
            assert_eq!(receipt[field], expected, "{field}: {receipt}");
        }
        assert_eq!((&receipt["complete"], &receipt["mode"]), (&true.into(), &"fresh".into()));
        for field in ["bytes_read", "requests", "snapshot_requests", "snapshot_bytes_read"] {
            assert!(receipt[field].as_u64().is_some_and(|number| number > 0), "{field}: {receipt}");
        }
    }
    assert!(day["bytes_read"].as_u64() < all["bytes_read"].as_u64(), "{all}\n{day}");
    let late = laptop.ingest_bytes("late.log", meshledger_tests::records::lines("late", 3));
    assert_eq!(late["events"], 3);
    let fresh = receipt("SELECT request_id FROM mesh_events");
    assert_eq!((&fresh["unsealed_manifests"], &fresh["unsealed_rows"]), (&1.into(), &3.into()));
    assert_eq!((&fresh["version"], &fresh["rows_returned"]), (&2.into(), &40.into()), "{fresh}");
    let text = laptop.command("query").args([BY_DECISION]).run().expect(0).stderr;
    assert!(text.contains("version"), "the receipt in words: {text}");
}

#[test]
fn a_person_is_told_why_each_file_was_read_or_skipped() {
    let laptop = laptop();
    let ask = |more: &[&str], sql: &str| {
        let command = laptop.command("query").args(["--explain-pruning", "--format", "csv"]);
        command.args(more).args([sql]).run().expect(0)
    };
    let sql = "SELECT count(*) AS n FROM mesh_events \
               WHERE event_date > '1999-12-31' AND request_id = 'zzz'";
    let skipped = ask(&[], sql);
    assert_eq!(skipped.text(), "n\n0\n");
    let told = skipped.stderr;
    let all = files_below(&laptop.path("archive/data")).len();
    let first = told.lines().find(|line| line.starts_with("mesh_events: ")).unwrap();
    assert!(first.contains(&format!("read 0 of {all} file")), "{told}");
    assert!(first.contains("skipped by statistics"), "{told}");
    assert!(told.contains("skipped by request_id = 'zzz'"), "{told}");
    let path = told.lines().find(|line| line.starts_with("  skipped data/")).unwrap();
    assert!(path.contains(": request_id = 'zzz'; the file has request_id '"), "{told}");

    let read = ask(&[], BY_DECISION).stderr;
    assert!(read.contains(&format!("mesh_events: read {all} of {all} file")), "{read}");
    assert!(read.lines().any(|line| line.starts_with("  read    data/")), "{read}");

    // In JSON it is a part of the receipt.
    let receipt: Value = {
        let output = ask(&["--receipt", "json"], sql);
        let line = output.stderr.lines().find(|line| line.starts_with('{'));
        serde_json::from_str(line.unwrap()).unwrap()
    };
    let scan = &receipt["pruning"]["scans"][0];
    assert_eq!((&scan["table"], &scan["files_read"]), (&"mesh_events".into(), &0.into()));
    assert_eq!(scan["files"].as_array().unwrap().len(), all);
    assert!(!laptop.command("query").args([sql]).run().expect(0).stderr.contains("skipped data/"));
}

#[test]
fn strict_leaves_out_what_is_not_sealed() {
    let laptop = laptop();
    let _ = laptop.ingest_bytes("more.log", meshledger_tests::records::lines("more", 5));
    assert_eq!(laptop.events(), 41);
    let count = "SELECT count(*) AS n FROM mesh_events";
    let strict = laptop.command("query").args(["--strict", "--format", "json", count]).run();
    assert_eq!(strict.expect(0).json()["n"], 36);
}

#[test]
fn a_limit_is_an_error_and_never_a_part_of_the_answer() {
    let laptop = laptop();
    let sql = "SELECT request_id FROM mesh_events";
    for format in ["json", "csv", "table"] {
        let limited = laptop.command("query").args(["--rows-max", "10", "--format", format, sql]);
        let _ = limited.run().expect(7).says("row");
    }
    let exact = laptop.command("query").args(["--rows-max", "36", "--format", "json", sql]).run();
    assert_eq!(exact.expect(0).json_lines().len(), 36);
    let _ = laptop.command("query").args(["--scan-bytes-max", "1", sql]).run().expect(7);
}

#[test]
fn table_output_never_sends_control_characters_to_the_terminal() {
    let laptop = Laptop::new();
    let record =
        meshledger_tests::records::good("x").replace("curl/8.5.0", "\\u001b[2J\\u0007evil");
    let _ = laptop.ingest_bytes("a.log", record + "\n");
    let sql = "SELECT user_agent FROM mesh_events";
    let table = laptop.command("query").args([sql]).run().expect(0).stdout;
    assert!(!table.contains(&0x1b) && !table.contains(&7), "{}", String::from_utf8_lossy(&table));
    assert_eq!(laptop.query(sql)[0]["user_agent"], "\u{1b}[2J\u{7}evil", "JSON keeps it, escaped");
    assert!(fs::read_dir(laptop.archive_path()).is_ok());
}
