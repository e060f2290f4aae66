//! Queries: what is made of expressions. Each has an answer that follows from the rows alone: where
//! the order decides what is answered, it is total.

use super::grammar::{EXACT, Grammar, KINDS, Kind, quoted};
use crate::sim::chance::Chance;

/// A query, and whether the order of its rows is a part of the answer.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) shape: &'static str,
    pub(super) sql: String,
    pub(super) is_ordered: bool,
}

/// How deep expressions are.
const DEPTH: usize = 3;

type Shape = fn(&mut Chance) -> (String, bool);

const SHAPES: [(&str, Shape); 12] = [
    ("rows", rows),
    ("groups", groups),
    ("groups", groups),
    ("grouping sets", grouping_sets),
    ("distinct", distinct),
    ("join", join),
    ("join with values", join_with_values),
    ("window", window),
    ("window frame", window_frame),
    ("with", with),
    ("set operation", sets),
    ("subquery", subquery),
];

/// Names of all shapes, each once.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names
}

/// The query of a seed.
pub(super) fn query(seed: u64) -> Query {
    let mut chance = Chance::new(seed, 6);
    let (shape, make) = chance.one_of(&SHAPES);
    let (sql, is_ordered) = make(&mut chance);
    Query { shape, sql, is_ordered }
}

fn expression(chance: &mut Chance, of: &str, kinds: &[Kind]) -> String {
    let kind = chance.one_of(kinds);
    Grammar { chance, of }.expression(kind, DEPTH)
}

/// A whole number of which many can be added up.
fn small(chance: &mut Chance, of: &str) -> String {
    Grammar { chance, of }.small(DEPTH)
}

fn condition(chance: &mut Chance, of: &str) -> String {
    Grammar { chance, of }.condition(DEPTH)
}

/// `WHERE …`, more often than not.
fn filter(chance: &mut Chance, of: &str) -> String {
    if chance.permille(800) { format!(" WHERE {}", condition(chance, of)) } else { String::new() }
}

fn direction(chance: &mut Chance) -> &'static str {
    chance.one_of(&["ASC NULLS FIRST", "ASC NULLS LAST", "DESC NULLS FIRST", "DESC NULLS LAST"])
}

/// Columns with names, `c0` and so on.
fn columns(chance: &mut Chance, of: &str, kinds: &[Kind]) -> String {
    let count = chance.within(1, 4);
    let named: Vec<String> =
        (0..count).map(|i| format!("{} AS c{i}", expression(chance, of, kinds))).collect();
    named.join(", ")
}

fn aggregate(chance: &mut Chance, of: &str) -> String {
    let text = |chance: &mut Chance| expression(chance, of, &[Kind::Text]);
    let number = |chance: &mut Chance| expression(chance, of, &[Kind::Integer]);
    let call = match chance.below(14) {
        0 => "count(*)".to_owned(),
        1 => format!("count({})", expression(chance, of, &KINDS)),
        2 => format!("count(DISTINCT {})", expression(chance, of, &EXACT)),
        3 => format!("sum({})", small(chance, of)),
        4 => format!("avg({})", small(chance, of)),
        5 => format!("min({})", expression(chance, of, &[Kind::Text, Kind::Integer, Kind::Time])),
        6 => format!("max({})", expression(chance, of, &[Kind::Text, Kind::Integer, Kind::Date])),
        7 => format!("sum({})", expression(chance, of, &[Kind::Double])),
        8 => format!("bool_and({})", condition(chance, of)),
        9 => format!("bool_or({})", condition(chance, of)),
        10 => {
            let kind = chance.one_of(&["stddev_pop", "var_pop", "stddev_samp", "var_samp"]);
            format!("{kind}(CAST({of}.duration_us AS DOUBLE))")
        }
        11 => format!("median(CAST({} AS DOUBLE))", number(chance)),
        12 => {
            let at = chance.one_of(&["0.0", "0.5", "1.0"]);
            format!(
                "percentile_cont({at}) WITHIN GROUP (ORDER BY CAST({of}.http_status AS DOUBLE))"
            )
        }
        _ => {
            let value = text(chance);
            return format!("string_agg(DISTINCT left({value}, 3), ',' ORDER BY left({value}, 3))");
        }
    };
    // DuckDB has no FILTER behind WITHIN GROUP.
    if chance.permille(300) && !call.contains("WITHIN") {
        format!("{call} FILTER (WHERE {})", condition(chance, of))
    } else {
        call
    }
}

fn rows(chance: &mut Chance) -> (String, bool) {
    let columns = columns(chance, "e", &KINDS);
    let filter = filter(chance, "e");
    let order = expression(chance, "e", &EXACT);
    let (by, limit) = (direction(chance), chance.within(0, 60));
    let offset = if chance.permille(300) {
        format!(" OFFSET {}", chance.within(0, 20))
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT {columns} FROM mesh_events AS e{filter} ORDER BY {order} {by}, e.segment, \
         e.segment_row LIMIT {limit}{offset}"
    );
    (sql, true)
}

fn aggregates(chance: &mut Chance, of: &str) -> String {
    let count = chance.within(1, 3);
    let mut calls: Vec<String> = Vec::new();
    while calls.len() < count {
        let call = aggregate(chance, of);
        // The engine has one order for all aggregates of a query.
        let is_second =
            |known: &String| call.contains(" ORDER BY ") && known.contains(" ORDER BY ");
        if !calls.iter().any(is_second) {
            calls.push(call);
        }
    }
    let named = calls.iter().enumerate().map(|(i, call)| format!("{call} AS a{i}"));
    named.collect::<Vec<_>>().join(", ")
}

fn groups(chance: &mut Chance) -> (String, bool) {
    let keys: Vec<String> =
        (0..chance.within(0, 3)).map(|_| expression(chance, "e", &EXACT)).collect();
    let aggregates = aggregates(chance, "e");
    let filter = filter(chance, "e");
    if keys.is_empty() {
        return (format!("SELECT {aggregates} FROM mesh_events AS e{filter}"), false);
    }
    let named = keys.iter().enumerate().map(|(i, key)| format!("{key} AS k{i}"));
    let select = named.collect::<Vec<_>>().join(", ");
    let numbers: Vec<String> = (1..=keys.len()).map(|i| i.to_string()).collect();
    let having = if chance.permille(400) {
        format!(" HAVING count(*) {} {}", chance.one_of(&[">", "<"]), chance.within(1, 50))
    } else {
        String::new()
    };
    let is_ordered = chance.permille(500);
    let order = if is_ordered {
        let by: Vec<String> =
            numbers.iter().map(|number| format!("{number} {}", direction(chance))).collect();
        format!(" ORDER BY {} LIMIT {}", by.join(", "), chance.within(1, 100))
    } else {
        String::new()
    };
    let by = numbers.join(", ");
    let sql = format!(
        "SELECT {select}, {aggregates} FROM mesh_events AS e{filter} GROUP BY {by}{having}{order}"
    );
    (sql, is_ordered)
}

fn grouping_sets(chance: &mut Chance) -> (String, bool) {
    let all = ["decision", "reporter", "mtls", "event_date", "dst_namespace", "http_status"];
    let mut keys = all.map(|name| format!("e.{name}"));
    chance.shuffle(&mut keys);
    let [a, b, c, ..] = &keys;
    let sets = match chance.below(3) {
        0 => format!("ROLLUP ({a}, {b}, {c})"),
        1 => format!("CUBE ({a}, {b}, {c})"),
        _ => format!("GROUPING SETS (({a}, {b}), ({c}), ())"),
    };
    let filter = filter(chance, "e");
    let aggregates = aggregates(chance, "e");
    let sql =
        format!("SELECT {a}, {b}, {c}, {aggregates} FROM mesh_events AS e{filter} GROUP BY {sets}");
    (sql, false)
}

fn distinct(chance: &mut Chance) -> (String, bool) {
    let columns = columns(chance, "e", &EXACT);
    (format!("SELECT DISTINCT {columns} FROM mesh_events AS e{}", filter(chance, "e")), false)
}

/// Two conditions that select few rows each, so that a join of both stays small.
fn sides(chance: &mut Chance) -> [String; 2] {
    let few =
        ["decision <> 'allow'", "severity_id >= 2", "http_status >= 400", "decision = 'deny'"];
    let many = ["true", "reporter = 'source'", "http_method = 'GET'"];
    [
        chance.one_of(&few).to_owned(),
        chance.one_of(&[few, [many[0], many[1], many[2], few[0]]].concat()).to_owned(),
    ]
}

fn join(chance: &mut Chance) -> (String, bool) {
    let [left, right] = sides(chance);
    let kind = chance.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let key = chance.one_of(&["request_id", "trace_id", "src_identity", "policy_name"]);
    let more = match chance.below(3) {
        0 => " AND a.segment_row < b.segment_row",
        1 => " AND a.decision IS NOT DISTINCT FROM b.decision",
        _ => "",
    };
    let (a, b) = (expression(chance, "a", &EXACT), expression(chance, "b", &EXACT));
    let sum = small(chance, "b");
    let sql = format!(
        "SELECT {a} AS k0, {b} AS k1, count(*) AS n, sum({sum}) AS s FROM (SELECT * FROM mesh_events \
         WHERE {left}) AS a {kind} (SELECT * FROM mesh_events WHERE {right}) AS b ON a.{key} = \
         b.{key}{more} GROUP BY 1, 2"
    );
    (sql, false)
}

fn join_with_values(chance: &mut Chance) -> (String, bool) {
    let kind = chance.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let texts = ["allow", "deny", "error", "GET", "shop", "destination", "nobody"];
    let mut row = |i: usize| format!("({}, {i})", quoted(chance.one_of(&texts)));
    let values = [row(1), row(2), row(3), "(NULL, 4)".to_owned()].join(", ");
    let name = chance.one_of(&["decision", "http_method", "dst_namespace", "reporter"]);
    let filter = filter(chance, "m");
    let aggregates = aggregates(chance, "e");
    let sql = format!(
        "SELECT t.word, t.i, {aggregates} FROM (SELECT * FROM mesh_events AS m{filter}) AS e {kind} \
         (VALUES {values}) AS t(word, i) ON e.{name} = t.word GROUP BY t.word, t.i"
    );
    (sql, false)
}

fn window_call(chance: &mut Chance) -> String {
    match chance.below(9) {
        0 => "row_number()".to_owned(),
        1 => "rank()".to_owned(),
        2 => "dense_rank()".to_owned(),
        3 => format!("lag({}, {})", expression(chance, "e", &EXACT), chance.within(1, 3)),
        4 => format!("lead({})", expression(chance, "e", &EXACT)),
        5 => format!("first_value({})", expression(chance, "e", &EXACT)),
        6 => format!("ntile({})", chance.within(2, 5)),
        7 => "cume_dist()".to_owned(),
        _ => "count(*)".to_owned(),
    }
}

fn partition(chance: &mut Chance) -> String {
    if chance.permille(700) {
        format!("PARTITION BY {} ", expression(chance, "e", &EXACT))
    } else {
        String::new()
    }
}

fn window(chance: &mut Chance) -> (String, bool) {
    let (call, partition) = (window_call(chance), partition(chance));
    // The engine fails to plan some windows that are ordered by a CASE.
    let kind = chance.one_of(&EXACT);
    let order = Grammar { chance, of: "e" }.leaf(kind);
    let order = format!("{order} {}", direction(chance));
    let filter = filter(chance, "e");
    let keep = chance.within(1, 80);
    let sql = format!(
        "SELECT e.segment, e.segment_row, {call} OVER ({partition}ORDER BY {order}, e.segment, \
         e.segment_row) AS w FROM mesh_events AS e{filter} ORDER BY e.segment_row, e.segment LIMIT {keep}"
    );
    (sql, true)
}

fn window_frame(chance: &mut Chance) -> (String, bool) {
    let number = small(chance, "e");
    let call = chance.one_of(&["sum", "min", "max", "avg", "count"]);
    let partition = partition(chance);
    let frame = match chance.below(4) {
        0 => format!("ROWS BETWEEN {} PRECEDING AND CURRENT ROW", chance.within(0, 5)),
        1 => format!("ROWS BETWEEN UNBOUNDED PRECEDING AND {} FOLLOWING", chance.within(0, 3)),
        2 => format!("ROWS BETWEEN {} FOLLOWING AND UNBOUNDED FOLLOWING", chance.within(0, 3)),
        _ => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
    };
    let filter = filter(chance, "e");
    let sql = format!(
        "SELECT w.c, count(*) AS n, min(w.s) AS low, max(w.s) AS high FROM (SELECT e.decision AS c, \
         {call}({number}) OVER ({partition}ORDER BY e.event_time, e.segment, e.segment_row {frame}) AS s \
         FROM mesh_events AS e{filter}) AS w GROUP BY w.c"
    );
    (sql, false)
}

fn with(chance: &mut Chance) -> (String, bool) {
    let key = expression(chance, "e", &EXACT);
    let (one, two) = (filter(chance, "e"), filter(chance, "e"));
    let kind = chance.one_of(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
    let same = chance.one_of(&["=", "IS NOT DISTINCT FROM"]);
    let sql = format!(
        "WITH a AS (SELECT {key} AS k, count(*) AS n FROM mesh_events AS e{one} GROUP BY 1), b AS \
         (SELECT {key} AS k, count(*) AS n, max(e.duration_us) AS m FROM mesh_events AS e{two} GROUP BY \
         1), c AS (SELECT * FROM b WHERE n > {}) SELECT a.k, a.n, c.n AS other, c.m FROM a {kind} c ON \
         a.k {same} c.k",
        chance.within(0, 20)
    );
    // An outer join on both sides needs an equality to hash by, in both engines.
    if kind == "FULL JOIN" {
        (sql.replace("IS NOT DISTINCT FROM c.k", "= c.k"), false)
    } else {
        (sql, false)
    }
}

fn sets(chance: &mut Chance) -> (String, bool) {
    let kinds: Vec<Kind> = (0..chance.within(1, 3)).map(|_| chance.one_of(&EXACT)).collect();
    let mut side = || {
        let columns: Vec<String> =
            kinds.iter().map(|kind| expression(chance, "e", &[*kind])).collect();
        let columns: Vec<String> =
            columns.iter().enumerate().map(|(i, column)| format!("{column} AS c{i}")).collect();
        format!("SELECT {} FROM mesh_events AS e{}", columns.join(", "), filter(chance, "e"))
    };
    let (a, b) = (side(), side());
    let operator = chance.one_of(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
    (format!("{a} {operator} {b}"), false)
}

fn subquery(chance: &mut Chance) -> (String, bool) {
    let columns = aggregates(chance, "e");
    let inner = filter(chance, "d");
    let key = chance.one_of(&["request_id", "dst_service", "src_identity", "decision_source"]);
    let not = chance.one_of(&["", "NOT "]);
    let test = match chance.below(4) {
        0 => format!("e.{key} {not}IN (SELECT d.{key} FROM mesh_events AS d{inner})"),
        1 => {
            let more = condition(chance, "d");
            format!(
                "{not}EXISTS (SELECT 1 FROM mesh_events AS d WHERE d.{key} = e.{key} AND {more})"
            )
        }
        2 => format!("e.duration_us > (SELECT avg(d.duration_us) FROM mesh_events AS d{inner})"),
        _ => format!(
            "e.response_bytes >= (SELECT max(d.response_bytes) FROM mesh_events AS d WHERE d.{key} = \
             e.{key} AND d.decision = 'deny')"
        ),
    };
    let also = condition(chance, "e");
    let glue = chance.one_of(&["AND", "AND", "OR"]);
    // A subquery below OR is planned as a mark join, which is a path of its own.
    (format!("SELECT {columns} FROM mesh_events AS e WHERE {test} {glue} {also}"), false)
}
