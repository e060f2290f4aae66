//! Queries that a seed makes, over archives that a seed makes: our answers beside DuckDB's on the
//! files that the log names.
//!
//! `MESHLEDGER_DIFF_QUERIES=n` asks so many, `MESHLEDGER_DIFF_SEED=n` begins at another seed. A
//! failure prints the query whole and how to ask it again. What the two engines are known to do
//! otherwise stands in `tests/differences.md`, with a query each that shows it still to be so.

mod grammar;
mod shapes;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::repository;
use query_fn::QueryError;
use shapes::Query;

use crate::engines::{self, Cell, Ours, Rows};

/// Queries that every run of the tests asks.
const QUERIES: u64 = 320;

/// Most differences that may be known.
const DIFFERENCES_MAX: usize = 20;

/// What the engine says of the few queries that it can not plan, which docs/sql.md names: orders and
/// windows by some computed values, where the plan follows and that it does not satisfy the order,
/// and groups by a column and a cast of it.
const UNPLANNED: [&str; 2] =
    ["Error during planning: Plan: [", "Projections require unique expression names"];

/// Of so many queries, at most one may be such.
const PLANNED_OF: usize = 100;

#[expect(clippy::disallowed_methods, reason = "how a test is run is its caller's choice")]
fn wanted(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}: expected a number, found {text:?}: {e}")))
}

/// Generated traffic of two kinds, and the captured records, which have more NULL in them.
fn archives() -> [(&'static str, Laptop); 3] {
    [
        ("mixed traffic of seed 61", engines::traffic(61, 2_000, "mixed")),
        ("extended traffic of seed 62", engines::traffic(62, 1_000, "extended")),
        ("captured records", engines::captured()),
    ]
}

/// An order of rows that does not depend on the last bits of a number.
fn order(a: &[Cell], b: &[Cell]) -> Ordering {
    let key = |row: &[Cell]| {
        let cell = |cell: &Cell| match cell {
            Cell::Float(number) => format!("{:.5e}", if *number == 0.0 { 0.0 } else { *number }),
            other => other.shown(),
        };
        row.iter().map(cell).collect::<Vec<_>>()
    };
    key(a).cmp(&key(b))
}

fn is_same_row(a: &[Cell], b: &[Cell]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
}

/// What is not the same in two answers; nothing if they are.
fn difference(query: &Query, mut ours: Rows, mut theirs: Rows) -> Option<String> {
    if !query.is_ordered {
        ours.sort_by(|a, b| order(a, b));
        theirs.sort_by(|a, b| order(a, b));
    }
    let is_same =
        ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| is_same_row(a, b));
    if is_same {
        return None;
    }
    let line = |row: &Vec<Cell>| row.iter().map(Cell::shown).collect::<Vec<_>>().join("\t");
    let only = |a: &Rows, b: &Rows| {
        let rows = a.iter().filter(|row| !b.iter().any(|other| is_same_row(row, other)));
        rows.take(5).map(line).collect::<Vec<_>>().join("\n")
    };
    Some(format!(
        "{} rows, DuckDB has {}\nonly ours:\n{}\nonly DuckDB's:\n{}",
        ours.len(),
        theirs.len(),
        only(&ours, &theirs),
        only(&theirs, &ours)
    ))
}

fn is_unplanned(error: &QueryError) -> bool {
    let text = error.to_string();
    UNPLANNED.iter().any(|known| text.contains(known))
}

#[test]
fn queries_of_a_seed_have_the_answers_that_duckdb_gives() {
    let first = wanted("MESHLEDGER_DIFF_SEED").unwrap_or(1);
    let count = wanted("MESHLEDGER_DIFF_QUERIES").unwrap_or(QUERIES);
    eprintln!("seeds {first} to {}", first + count - 1);
    let archives = archives();
    let seeds: Vec<u64> = (first..first + count).collect();
    let (mut wrong, mut shapes) = (Vec::new(), BTreeMap::new());
    let (mut filled, mut unplanned) = (0, 0);
    for (number, (name, laptop)) in archives.iter().enumerate() {
        // A seed asks one archive.
        let mine = |seed: &&u64| usize::try_from(**seed % 3).unwrap() == number;
        let asked: Vec<(u64, Query)> =
            seeds.iter().filter(mine).map(|seed| (*seed, shapes::query(*seed))).collect();
        let texts: Vec<String> = asked.iter().map(|(_, query)| query.sql.clone()).collect();
        let ours = Ours::new(laptop);
        for ((seed, query), theirs) in asked.iter().zip(engines::duckdb(laptop, &texts)) {
            *shapes.entry(query.shape).or_insert(0) += 1;
            let what = match (ours.ask(&query.sql, &[]), theirs) {
                (Ok(ours), Ok(theirs)) => {
                    filled += usize::from(!theirs.is_empty());
                    difference(query, ours, theirs)
                }
                (Err(error), Ok(_)) if is_unplanned(&error) => {
                    unplanned += 1;
                    None
                }
                (ours, theirs) => {
                    let (ours, theirs) = (ours.err(), theirs.err());
                    Some(format!("ours: {ours:?}\nDuckDB: {theirs:?}"))
                }
            };
            if let Some(what) = what {
                let again = format!("MESHLEDGER_DIFF_SEED={seed} MESHLEDGER_DIFF_QUERIES=1");
                wrong.push(format!("{again} ({name}, {})\n{}\n{what}\n", query.shape, query.sql));
            }
        }
    }
    eprintln!("{count} queries, {filled} with rows, {unplanned} not planned: {shapes:?}");
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    if count >= QUERIES {
        // Queries that find nothing, or are all of a kind, would show little.
        assert!(filled * 10 > seeds.len() * 6, "only {filled} answers have rows");
        assert!(unplanned * PLANNED_OF <= seeds.len(), "{unplanned} are not planned");
        for name in shapes::names() {
            assert!(shapes.contains_key(name), "no query has the shape {name:?}");
        }
    }
}

/// A known difference as the page has it.
struct Known {
    title: String,
    sql: String,
    ours: String,
    theirs: String,
}

/// Reads headings of the third level, each with a query and a table of both answers.
fn known(page: &str) -> Vec<Known> {
    let part = |section: &str| {
        let (title, rest) = section.split_once('\n').unwrap();
        let (reason, rest) = rest.split_once("```sql\n").unwrap();
        assert!(reason.trim().len() > 40, "{title} is not explained");
        let (sql, rest) = rest.split_once("\n```").unwrap();
        let row = rest.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>();
        let [row] = row[..] else { panic!("{title} needs one row of answers") };
        let cells: Vec<&str> = row.split('`').collect();
        let [_, ours, _, theirs, _] = cells[..] else { panic!("{title}: {row}") };
        let (title, sql) = (title.to_owned(), sql.to_owned());
        Known { title, sql, ours: ours.to_owned(), theirs: theirs.to_owned() }
    };
    page.split("\n### ").skip(1).map(part).collect()
}

#[test]
fn every_known_difference_is_still_one() {
    let page = fs::read_to_string(repository().join("tests/differences.md")).unwrap();
    let known = known(&page);
    assert!((1..=DIFFERENCES_MAX).contains(&known.len()), "{} differences", known.len());
    let laptop = engines::traffic(61, 1_000, "mixed");
    let ours = Ours::new(&laptop);
    let texts: Vec<String> = known.iter().map(|known| known.sql.clone()).collect();
    let shown = |rows: Rows| {
        let row = |row: &Vec<Cell>| row.iter().map(Cell::shown).collect::<Vec<_>>().join(", ");
        rows.iter().map(row).collect::<Vec<_>>().join("; ")
    };
    let mut wrong = Vec::new();
    for (known, theirs) in known.iter().zip(engines::duckdb(&laptop, &texts)) {
        let ours = ours.ask(&known.sql, &[]);
        let ours = ours.map_or_else(|error| format!("error {}", error.code()), shown);
        let theirs = theirs.map_or_else(|_| "error".to_owned(), shown);
        let is_as_written = ours == known.ours && theirs == known.theirs && ours != theirs;
        if !is_as_written {
            wrong.push(format!("{}: ours {ours:?}, DuckDB {theirs:?}", known.title));
        }
    }
    assert!(wrong.is_empty(), "not as written:\n{}", wrong.join("\n"));
}

#[test]
fn a_difference_is_seen_whatever_it_is() {
    let query = |is_ordered| Query { shape: "rows", sql: String::new(), is_ordered };
    let text = |text: &str| Cell::Text(text.to_owned());
    let two = || vec![vec![Cell::Int(1), text("a")], vec![Cell::Float(0.1 + 0.2), Cell::Null]];
    let turned = || two().into_iter().rev().collect::<Rows>();
    assert_eq!(difference(&query(false), two(), turned()), None);
    assert!(difference(&query(true), two(), turned()).is_some());
    let near = vec![vec![Cell::Int(1), text("a")], vec![Cell::Float(0.3), Cell::Null]];
    assert_eq!(difference(&query(true), two(), near), None);
    for other in [
        vec![vec![Cell::Int(1), text("a")]],
        vec![vec![Cell::Int(1), text("a")], vec![Cell::Float(0.3), Cell::Bool(false)]],
        vec![vec![Cell::Int(1), text("a ")], vec![Cell::Float(0.3), Cell::Null]],
        vec![vec![Cell::Int(2), text("a")], vec![Cell::Float(0.3), Cell::Null]],
        vec![vec![Cell::Int(1), text("a")], vec![Cell::Float(0.300_001), Cell::Null]],
        vec![vec![Cell::Int(1), text("a")], vec![Cell::Float(0.3)]],
        vec![vec![Cell::Int(1), text("a")], vec![Cell::Int(1), text("a")]],
    ] {
        assert!(difference(&query(false), two(), other.clone()).is_some(), "{other:?}");
    }
    assert_eq!(shapes::query(9).sql, shapes::query(9).sql);
    assert_ne!(shapes::query(9).sql, shapes::query(10).sql);
}
