//! Random files, random conditions, and an oracle that looks at every row.

use std::cmp::Ordering;

use common::date::{DAY_MICROS, EventDate};
use common::ids::{DeliveryId, SegmentId};
use common::schema::table_schema;
use common::stats::{ColumnStats, FileStats};
use common::{Sha256Digest, layout};
use datafusion::prelude::SessionContext;

use super::*;
use crate::dice::Dice;
use crate::read::view_schema;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => panic!("{a:?} against {b:?}"),
    }
}

const START_DAY: i64 = 20_759; // 2026-11-02
const COLUMNS: [&str; 7] = [
    "decision",
    "principal",
    "http_status",
    "duration_us",
    "tls_failure",
    "event_time",
    "event_date",
];
const WORDS: [&str; 7] = ["", "a", "ab", "b", "ba", "zz", "\u{e9}\u{1f512}"];

fn is_nullable(column: usize) -> bool {
    (1..=3).contains(&column)
}

fn random_value(dice: &mut Dice, column: usize) -> Value {
    match column {
        0 | 1 => Value::Text(dice.pick(&WORDS).to_owned()),
        2 | 3 => Value::Int(dice.pick(&[-3, 0, 1, 200, 403, 404, 2_147_483_647])),
        4 => Value::Bool(dice.chance(50)),
        5 => Value::Int(
            START_DAY * DAY_MICROS + i64::try_from(dice.below(9)).unwrap() * 400_000_000_123,
        ),
        _ => Value::Int(START_DAY + i64::try_from(dice.below(5)).unwrap()),
    }
}

fn literal(column: usize, value: &Value) -> String {
    match (column, value) {
        (5, Value::Int(micros)) => format!("TIMESTAMP '{}'", common::date::rfc3339(*micros, 6)),
        (6, Value::Int(day)) => format!("DATE '{}'", EventDate::of_micros(day * DAY_MICROS)),
        (_, Value::Text(text)) => format!("'{text}'"),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Bool(flag)) => flag.to_string(),
    }
}

type Row = Vec<Option<Value>>;

#[derive(Debug, Clone)]
enum Condition {
    Compare(usize, &'static str, Value),
    IsNull(usize, bool),
    In(usize, Vec<Value>, bool),
    Prefix(usize, String),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

impl Condition {
    fn random(dice: &mut Dice, depth: usize) -> Self {
        let inner = |dice: &mut Dice| Box::new(Self::random(dice, depth - 1));
        if depth > 0 && dice.chance(60) {
            return match dice.below(5) {
                0 | 1 => Self::And(inner(dice), inner(dice)),
                2 | 3 => Self::Or(inner(dice), inner(dice)),
                _ => Self::Not(inner(dice)),
            };
        }
        let column = dice.below(COLUMNS.len());
        match dice.below(8) {
            0 => Self::IsNull(column, dice.chance(50)),
            1 => {
                let values = (0..=dice.below(4)).map(|_| random_value(dice, column)).collect();
                Self::In(column, values, dice.chance(40))
            }
            2 => Self::Prefix(dice.below(2), dice.pick(&WORDS).to_owned()),
            _ => {
                let operator = dice.pick(&["=", "<>", "<", "<=", ">", ">="]);
                Self::Compare(column, operator, random_value(dice, column))
            }
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Compare(column, operator, value) => {
                format!("{} {operator} {}", COLUMNS[*column], literal(*column, value))
            }
            Self::IsNull(column, yes) => {
                format!("{} IS {}NULL", COLUMNS[*column], if *yes { "" } else { "NOT " })
            }
            Self::In(column, values, negated) => {
                let values: Vec<String> = values.iter().map(|v| literal(*column, v)).collect();
                let not = if *negated { "NOT " } else { "" };
                format!("{} {not}IN ({})", COLUMNS[*column], values.join(", "))
            }
            Self::Prefix(column, prefix) => format!("{} LIKE '{prefix}%'", COLUMNS[*column]),
            Self::And(a, b) => format!("({}) AND ({})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({}) OR ({})", a.sql(), b.sql()),
            Self::Not(a) => format!("NOT ({})", a.sql()),
        }
    }

    /// SQL's three values.
    fn holds(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Compare(column, operator, value) => {
                let order = compare(row[*column].as_ref()?, value);
                Some(match *operator {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Self::IsNull(column, yes) => Some(row[*column].is_none() == *yes),
            Self::In(column, values, negated) => {
                let value = row[*column].as_ref()?;
                Some(values.iter().any(|v| v == value) != *negated)
            }
            Self::Prefix(column, prefix) => match row[*column].as_ref()? {
                Value::Text(text) => Some(text.starts_with(prefix)),
                _ => panic!("LIKE on text only"),
            },
            Self::And(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(a) => a.holds(row).map(|holds| !holds),
        }
    }
}

fn random_rows(dice: &mut Dice, day: i64) -> Vec<Row> {
    (0..=dice.below(6))
        .map(|_| {
            let mut row: Row = (0..COLUMNS.len())
                .map(|column| {
                    let null = is_nullable(column) && dice.chance(40);
                    (!null).then(|| random_value(dice, column))
                })
                .collect();
            let within = i64::try_from(dice.below(86_400)).unwrap() * 1_000_000 + 7;
            row[5] = Some(Value::Int(day * DAY_MICROS + within));
            row[6] = Some(Value::Int(day));
            row
        })
        .collect()
}

/// What ingest would write about these rows, sometimes with bounds left out or wider.
fn describe(dice: &mut Dice, day: i64, rows: &[Row]) -> FileEntry {
    let bound = |column: usize, greatest: bool| -> Option<Value> {
        let values = rows.iter().filter_map(|row| row[column].clone());
        if greatest { values.max_by(compare) } else { values.min_by(compare) }
    };
    let mut stats = FileStats::new();
    for (column, name) in COLUMNS.iter().enumerate().take(6) {
        if dice.chance(15) {
            continue;
        }
        let mut stat = |greatest: bool| {
            let value = bound(column, greatest)?;
            let outwards = if greatest { 1 } else { -1 };
            let widen = if dice.chance(20) { outwards } else { 0 };
            (!dice.chance(15)).then_some(match value {
                Value::Text(text) if widen > 0 => StatValue::Text(format!("{text}~")),
                Value::Text(text) => StatValue::Text(text),
                Value::Int(number) => StatValue::Int(number + widen),
                Value::Bool(flag) => StatValue::Bool(flag),
            })
        };
        let (min, max) = (stat(false), stat(true));
        let nulls = rows.iter().filter(|row| row[column].is_none()).count();
        stats.insert(
            (*name).to_owned(),
            ColumnStats { min, max, nulls: u64::try_from(nulls).unwrap() },
        );
    }
    let micros = |greatest| match bound(5, greatest) {
        Some(Value::Int(micros)) => micros,
        other => panic!("{other:?}"),
    };
    let sha256 = Sha256Digest::of(format!("{rows:?}").as_bytes());
    let event_date = EventDate::of_micros(day * DAY_MICROS);
    FileEntry {
        path: layout::data_key(event_date, sha256),
        sha256,
        bytes: 1,
        rows: u64::try_from(rows.len()).unwrap(),
        segment: SegmentId::of(DeliveryId(sha256), event_date),
        event_date,
        event_time_micros_min: micros(false),
        event_time_micros_max: micros(true),
        row_root: sha256,
        stats,
        version: None,
    }
}

fn judge(entries: &[FileEntry], sql: &[String]) -> Vec<Verdict> {
    let state = SessionContext::new().state();
    let table = view_schema(&table_schema());
    let schema = DFSchema::try_from(Arc::clone(&table)).unwrap();
    let filters: Vec<Expr> =
        sql.iter().map(|sql| state.create_logical_expr(sql, &schema).unwrap()).collect();
    let physical = |expr: Expr, schema: &DFSchema| state.create_physical_expr(expr, schema);
    let entries: Vec<&FileEntry> = entries.iter().collect();
    prune(&entries, &Filters::of(&filters), &table, &physical).unwrap()
}

#[test]
fn a_pruned_file_never_holds_a_matching_row() {
    let seed = 20_261_102;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut seen = [0usize; 3];
    for case in 0..600 {
        let mut files = Vec::new();
        for _ in 0..12 {
            let day = START_DAY + i64::try_from(dice.below(4)).unwrap();
            let rows = random_rows(&mut dice, day);
            files.push((describe(&mut dice, day, &rows), rows));
        }
        let conditions: Vec<Condition> =
            (0..=dice.below(2)).map(|_| Condition::random(&mut dice, 2)).collect();
        let sql: Vec<String> = conditions.iter().map(Condition::sql).collect();
        let entries: Vec<FileEntry> = files.iter().map(|(entry, _)| entry.clone()).collect();
        for (verdict, (entry, rows)) in judge(&entries, &sql).iter().zip(&files) {
            seen[usize::from(*verdict as u8)] += 1;
            let matches =
                |row: &Row| conditions.iter().all(|condition| condition.holds(row) == Some(true));
            assert!(
                *verdict == Verdict::Kept || !rows.iter().any(matches),
                "case {case}: {verdict:?} for {sql:?}\n{entry:#?}\n{rows:?}"
            );
        }
    }
    // The test means something only if each verdict is frequent.
    assert!(seen.iter().all(|count| *count > 400), "{seen:?}");
}

#[test]
fn a_condition_on_the_date_alone_is_decided_exactly() {
    let mut dice = Dice(7);
    let days = [START_DAY, START_DAY + 1, START_DAY + 2];
    let entries: Vec<FileEntry> = days
        .map(|day| {
            let rows = random_rows(&mut dice, day);
            describe(&mut dice, day, &rows)
        })
        .to_vec();
    let check = |sql: &str, expected: [bool; 3]| {
        let kept = judge(&entries, &[sql.to_owned()]);
        let expected = expected.map(|kept| if kept { Verdict::Kept } else { Verdict::Partition });
        assert_eq!(kept, expected, "{sql}");
    };
    check("event_date = DATE '2026-11-03'", [false, true, false]);
    check("event_date = '2026-11-03'", [false, true, false]);
    check("event_date <> DATE '2026-11-03'", [true, false, true]);
    check("event_date IN (DATE '2026-11-02', DATE '2026-11-04')", [true, false, true]);
    check("event_date BETWEEN DATE '2026-11-03' AND DATE '2027-01-01'", [false, true, true]);
    check("date_part('day', event_date) = 4", [false, false, true]);
    check("event_date > NULL", [false, false, false]);
    check("event_date IS NULL", [false, false, false]);
    check("CAST(event_date AS VARCHAR) LIKE '%-02'", [true, false, false]);
}

#[test]
fn bounds_of_event_time_are_the_exact_ones() {
    let mut dice = Dice(8);
    let rows = random_rows(&mut dice, START_DAY);
    let mut entry = describe(&mut dice, START_DAY, &rows);
    let start = START_DAY * DAY_MICROS;
    (entry.event_time_micros_min, entry.event_time_micros_max) = (start + 1, start + 1_001);
    let rounded = ColumnStats {
        min: Some(StatValue::Int(start)),
        max: Some(StatValue::Int(start + 2_000)),
        nulls: 0,
    };
    entry.stats.insert("event_time".to_owned(), rounded);
    for (sql, verdict) in [
        ("event_time > TIMESTAMP '2026-11-02T00:00:00.001001Z'", Verdict::Statistics),
        ("event_time >= TIMESTAMP '2026-11-02T00:00:00.001001Z'", Verdict::Kept),
        ("event_time >= '2026-11-02T00:00:00.001001Z'", Verdict::Kept),
        ("event_time < '2026-11-02T00:00:00.000001Z'", Verdict::Statistics),
        ("event_time <= '2026-11-02T00:00:00.000001Z'", Verdict::Kept),
        ("event_time >= '2026-11-02T01:00:00.001002+01:00'", Verdict::Statistics),
    ] {
        assert_eq!(judge(std::slice::from_ref(&entry), &[sql.to_owned()]), [verdict], "{sql}");
    }
}

#[test]
fn filters_on_few_values_of_an_id_are_selective_and_ranges_are_not() {
    let state = SessionContext::new().state();
    let table = view_schema(&table_schema());
    let schema = DFSchema::try_from(table).unwrap();
    for (sql, expected) in [
        ("request_id = 'x'", true),
        ("'x' = trace_id", true),
        ("principal IN ('a', 'b')", true),
        ("principal = 'a' OR principal = 'b'", true),
        ("principal = 'a' AND decision = 'deny'", true),
        ("principal = 'a' OR decision = 'deny'", false),
        ("principal NOT IN ('a', 'b')", false),
        ("decision = 'deny'", false),
        ("request_id > 'x'", false),
        ("request_id = trace_id", false),
        ("event_date = DATE '2026-11-02'", false),
    ] {
        let expr = state.create_logical_expr(sql, &schema).unwrap();
        assert_eq!(Filters::of(&[expr]).are_selective(), expected, "{sql}");
    }
}

#[test]
fn needles_are_columns() {
    for name in NEEDLES {
        assert!(common::schema::column_index(name).is_some(), "{name}");
    }
}
