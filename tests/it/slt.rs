//! The suite of `tests/slt`: statements with the answers they must have, in the format of
//! sqllogictest. Two engines are held against the same files: ours, and DuckDB.
//!
//! The runner is ours: the crate `sqllogictest` would have the whole of DataFusion compiled twice,
//! since it turns on features of libraries that DataFusion stands on. What is read of the format:
//! `statement ok`, `statement error CODE`, `query TYPES [rowsort]`, `skipif` and `onlyif`. Columns
//! are a tab apart. `# param NAME TYPE VALUE` before a record binds a parameter.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::repository;
use meshledger_tests::python::script;
use meshledger_tests::tamper::files_below;
use query_fn::{Param, ParamKind};

use crate::engines::{self, Ours, TOLERANCE};

/// Archives, by the folder of the files that ask them.
const FOLDERS: [&str; 2] = ["captured", "traffic"];

/// The least that the suite must hold.
const ASSERTIONS_MIN: usize = 250;

/// Seed of the generated archive; the expected values are of this one.
const SEED: u64 = 7;
const EVENTS: u64 = 5_000;

fn archive(folder: &str) -> Laptop {
    match folder {
        "captured" => engines::captured(),
        _ => engines::traffic(SEED, EVENTS, "mixed"),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let files = files_below(&repository().join("tests/slt").join(folder));
    assert!(!files.is_empty(), "tests/slt/{folder} is empty");
    files
}

#[derive(Debug, Default)]
struct Record {
    line: usize,
    /// `ok` or `error CODE` of a statement, the types of a query.
    wants: String,
    is_query: bool,
    is_sorted: bool,
    is_for_others: bool,
    params: Vec<(String, Param)>,
    sql: String,
    expected: Vec<String>,
}

fn param(text: &str) -> (String, Param) {
    let mut words = text.splitn(3, ' ');
    let mut word = || words.next().unwrap();
    let (name, kind, value) = (word(), word(), word());
    let kind = match kind {
        "text" => ParamKind::Text,
        "integer" => ParamKind::Integer,
        "timestamp" => ParamKind::Timestamp,
        other => panic!("{other} is no type of a parameter"),
    };
    (name.to_owned(), Param::parse(name, kind, value).unwrap())
}

fn records(path: &Path) -> Vec<Record> {
    #[derive(PartialEq)]
    enum State {
        Head,
        Sql,
        Results,
    }
    let text = fs::read_to_string(path).unwrap();
    let (mut records, mut record, mut state) = (Vec::new(), Record::default(), State::Head);
    for (number, line) in text.lines().chain([""]).enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        match (&state, words[0]) {
            (State::Head, "") => {}
            (State::Head, "#") => {
                if let Some(text) = line.strip_prefix("# param ") {
                    record.params.push(param(text));
                }
            }
            (State::Head, "onlyif") => record.is_for_others |= words[1] != "meshledger",
            (State::Head, "skipif") => record.is_for_others |= words[1] == "meshledger",
            (State::Head, "statement") => {
                record.wants = words[1..].join(" ");
                state = State::Sql;
            }
            (State::Head, "query") => {
                record.wants = words[1].to_owned();
                record.is_sorted = words.get(2) == Some(&"rowsort");
                record.is_query = true;
                state = State::Sql;
            }
            (State::Head, word) => panic!("{}:{}: {word}?", path.display(), number + 1),
            (_, "") => {
                records.push(std::mem::take(&mut record));
                state = State::Head;
            }
            (State::Sql, "----") => state = State::Results,
            (State::Sql, _) => {
                if record.sql.is_empty() {
                    record.line = number + 1;
                }
                record.sql.push_str(line);
                record.sql.push('\n');
            }
            (State::Results, _) => record.expected.push(line.to_owned()),
        }
    }
    records.retain(|record| !record.is_for_others);
    records
}

fn is_same(kind: char, found: &str, expected: &str) -> bool {
    let near = |found: f64, expected: f64| {
        (found - expected).abs() <= TOLERANCE * found.abs().max(expected.abs()).max(1.0)
    };
    found == expected
        || kind == 'R' && matches!((found.parse(), expected.parse()), (Ok(a), Ok(b)) if near(a, b))
}

/// What is wrong with a record; nothing if it holds.
fn check(record: &Record, ours: &Ours) -> Option<String> {
    let answer = ours.ask(&record.sql, &record.params);
    let rows = match (&answer, record.wants.strip_prefix("error ")) {
        (Ok(_), Some(code)) => return Some(format!("an error {code} was expected")),
        (Err(error), Some(code)) => {
            let is_it = error.code().as_str() == code;
            return (!is_it).then(|| format!("{code} was expected, found {error}"));
        }
        (Err(error), None) => return Some(error.to_string()),
        (Ok(rows), None) => rows,
    };
    if !record.is_query {
        return None;
    }
    let mut found: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(engines::Cell::shown).collect()).collect();
    let mut expected: Vec<Vec<String>> =
        record.expected.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    if record.is_sorted {
        found.sort();
        expected.sort();
    }
    let same_row = |found: &Vec<String>, expected: &Vec<String>| {
        found.len() == record.wants.len()
            && found.len() == expected.len()
            && record
                .wants
                .chars()
                .zip(found.iter().zip(expected))
                .all(|(k, (f, e))| is_same(k, f, e))
    };
    let is_held = found.len() == expected.len()
        && found.iter().zip(&expected).all(|(found, expected)| same_row(found, expected));
    let lines = || found.iter().map(|row| row.join("\t")).collect::<Vec<_>>().join("\n");
    (!is_held).then(|| format!("found\n{}\nexpected\n{}", lines(), record.expected.join("\n")))
}

#[test]
fn every_statement_of_the_suite_has_the_answer_written_there() {
    let (mut held, mut wrong) = (0, Vec::new());
    for folder in FOLDERS {
        let laptop = archive(folder);
        let ours = Ours::new(&laptop);
        for file in files(folder) {
            let before = held;
            for record in records(&file) {
                match check(&record, &ours) {
                    None => held += 1,
                    Some(what) => {
                        let at = format!("{}:{}", file.display(), record.line);
                        wrong.push(format!("{at}\n{}{what}\n", record.sql));
                    }
                }
            }
            eprintln!("{}: {} hold", file.display(), held - before);
        }
    }
    assert!(wrong.is_empty(), "{} do not hold\n{}", wrong.len(), wrong.join("\n"));
    assert!(held >= ASSERTIONS_MIN, "the suite has {held} assertions");
}

#[test]
fn duckdb_gives_the_answers_written_there_where_it_has_the_same_sql() {
    for folder in FOLDERS {
        let laptop = archive(folder);
        let peer = script("duckdb_peer.py").args(["slt", laptop.archive()]).args(files(folder));
        let output = peer.run();
        assert_eq!(output.code, Some(0), "{}", output.report());
        eprintln!("{}", output.text());
    }
}

#[test]
fn the_runner_sees_an_answer_that_is_another() {
    let laptop = archive("captured");
    let ours = Ours::new(&laptop);
    let text = "query I\nSELECT 1 + 1\n----\n3\n\nquery II\nSELECT 2\n----\n2\n\nquery I\nSELECT 2\n----\n\
                \nstatement error PLAN\nSELECT 1\n\nstatement error PLAN\nDROP TABLE x\n\nstatement ok\n\
                SELECT x\n\nquery R\nSELECT 0.1 + 0.2\n----\n0.301\n\nquery T rowsort\nVALUES ('b'), \
                ('a')\n----\na\nc\n";
    let file = laptop.write("wrong.slt", text);
    let records = records(&file);
    assert_eq!(records.len(), 8);
    for record in &records {
        assert!(check(record, &ours).is_some(), "{record:?} was taken for right");
    }
    let peer = script("duckdb_peer.py").args(["slt", laptop.archive()]).args([file]);
    let output = peer.run().expect(1);
    assert_eq!(output.text().matches("expected:").count(), 7, "{}", output.report());
}
