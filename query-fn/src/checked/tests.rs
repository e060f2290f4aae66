//! Whole numbers at the ends of their types; what is expected was worked out by hand.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

/// Each query runs on one thread, and on several with batches of two rows.
fn sessions() -> [SessionContext; 2] {
    [(1, 8192), (4, 2)].map(|(threads, rows)| {
        let config = SessionConfig::new().with_target_partitions(threads).with_batch_size(rows);
        let builder = SessionStateBuilder::new_with_default_features().with_config(config);
        let mut state = plan(builder).build();
        register(&mut state).unwrap();
        SessionContext::new_with_state(state)
    })
}

/// The answer of a query, its names of columns first.
fn answer(session: &SessionContext, sql: &str) -> Result<(Vec<String>, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (names, batches) = runtime.block_on(async {
        let frame = session.sql(sql).await?;
        let names = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
        Ok::<_, datafusion::error::DataFusionError>((names, frame.collect().await?))
    })?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|array| {
                Ok(ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).to_string())
            });
            rows.push(cells.collect::<Result<Vec<_>>>()?.join(","));
        }
    }
    Ok((names, rows.join(";")))
}

#[track_caller]
fn gives(cases: &[(&str, &str)]) {
    for session in sessions() {
        for (sql, expected) in cases {
            let found = answer(&session, sql).map(|(_, rows)| rows);
            let found = found.unwrap_or_else(|e| panic!("{sql}: {}", e.strip_backtrace()));
            assert_eq!(found, *expected, "{sql}");
        }
    }
}

#[track_caller]
fn fails(text: &str, queries: &[&str]) {
    for session in sessions() {
        for sql in queries {
            match answer(&session, sql) {
                Ok((_, rows)) => panic!("{sql} gave {rows}"),
                Err(e) => assert!(e.to_string().contains(text), "{sql}: {}", e.strip_backtrace()),
            }
        }
    }
}

const MAX: &str = "(VALUES (9223372036854775807), (1), (NULL)) AS t(n)";

#[test]
fn arithmetic_that_outgrows_its_type_fails() {
    fails(
        "verflow",
        &[
            "SELECT 9223372036854775807 + 1",
            "SELECT -9223372036854775808 - 1",
            "SELECT 9223372036854775807 * 2",
            "SELECT n + 1 FROM (VALUES (9223372036854775807)) AS t(n)",
            "SELECT -n FROM (VALUES (-9223372036854775808)) AS t(n)",
            &format!("SELECT n + n FROM {MAX}"),
            &format!("SELECT count(*) FROM {MAX} WHERE n * 2 > 0"),
            &format!("SELECT count(*) FROM {MAX} GROUP BY n + 1"),
            &format!("SELECT n FROM {MAX} ORDER BY n + 1"),
            &format!("SELECT max(n + 1) FROM {MAX}"),
            &format!("SELECT lag(n) OVER (ORDER BY n + 1) FROM {MAX}"),
            &format!("SELECT count(*) FROM {MAX} JOIN (VALUES (2)) AS u(m) ON n + 1 = m"),
            &format!("SELECT 1 WHERE EXISTS (SELECT 1 FROM {MAX} WHERE n + 1 > 1)"),
            "SELECT CAST(2147483647 AS INTEGER) * CAST(2 AS INTEGER)",
            "WITH RECURSIVE p AS (SELECT 1 AS n, CAST(1 AS BIGINT) AS x UNION ALL SELECT n + 1, \
             x * 10 FROM p WHERE n < 30) SELECT max(x) FROM p",
        ],
    );
}

#[test]
fn arithmetic_that_fits_is_as_before() {
    gives(&[
        (
            "SELECT 9223372036854775806 + 1, -9223372036854775807 - 1, - (0 - 9223372036854775807)",
            "9223372036854775807,-9223372036854775808,9223372036854775807",
        ),
        (&format!("SELECT n - 1 FROM {MAX} ORDER BY n"), "0;9223372036854775806;NULL"),
        (
            "SELECT x + 1, x * 2, -x FROM (VALUES (1), (NULL)) AS t(x) ORDER BY x",
            "2,2,-1;NULL,NULL,NULL",
        ),
        ("SELECT 1.5 + 1, 7 / 2, 7 % 4", "2.5,3,3"),
        ("SELECT DATE '2026-11-04' - DATE '2026-11-01' IS NOT NULL", "true"),
        ("SELECT TIMESTAMP '2026-11-04 10:00:00' - INTERVAL '1 hour'", "2026-11-04T09:00:00"),
        (
            "SELECT n % 2 + 1 AS k, count(*) FROM (VALUES (1), (2), (3)) AS t(n) GROUP BY n % 2 + 1 ORDER BY k",
            "1,1;2,2",
        ),
        (
            "SELECT a + b, sum(a) FROM (VALUES (1, 2), (1, 2)) AS t(a, b) GROUP BY ROLLUP (a + b) ORDER BY 1",
            "3,2;NULL,2",
        ),
        ("SELECT a FROM (VALUES (1), (2), (3)) AS t(a) ORDER BY a LIMIT 1 + 1", "1;2"),
        ("SELECT a + 1 FROM (VALUES (1)) AS t(a) UNION SELECT 2", "2"),
        (
            "SELECT CASE WHEN n < 5 THEN n * 1000000000000 END FROM (VALUES (1), (9223372036854775807)) AS t(n) ORDER BY n",
            "1000000000000;NULL",
        ),
    ]);
    gives(&[
        (
            "SELECT a + 2 - b * 3 + -a, (a - 2) * 5, a - (2 - b) FROM (VALUES (10, 1)) AS t(a, b)",
            "-1,40,9",
        ),
        (
            "SELECT CAST(7 AS INTEGER) + a * 2 - 1 FROM (VALUES (10), (NULL)) AS t(a) ORDER BY a",
            "26;NULL",
        ),
    ]);
    let session = &sessions()[0];
    let (names, _) =
        answer(session, "SELECT a + 1, -a, sum(a * 2) FROM (VALUES (1)) AS t(a) GROUP BY a")
            .unwrap();
    assert_eq!(names, ["t.a + Int64(1)", "(- t.a)", "sum(t.a * Int64(2))"]);
}

#[test]
fn a_sum_that_outgrows_its_type_fails() {
    fails(
        "outgrew 64 bits: it is 9223372036854775808;",
        &[
            &format!("SELECT sum(n) FROM {MAX}"),
            &format!("SELECT sum(DISTINCT n) FROM {MAX}"),
            &format!("SELECT sum(DISTINCT n), sum(DISTINCT n % 7), count(*) FROM {MAX}"),
            &format!("SELECT n > 0, sum(n) FROM {MAX} GROUP BY 1"),
            &format!("SELECT sum(n) FILTER (WHERE n > 0) FROM {MAX}"),
            &format!("SELECT sum(n) OVER (ORDER BY n) FROM {MAX}"),
            &format!("SELECT sum(n) OVER () FROM {MAX}"),
            &format!(
                "SELECT sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {MAX}"
            ),
            &format!("SELECT 1 FROM {MAX} HAVING sum(n) < 0"),
        ],
    );
}

#[test]
fn a_sum_that_fits_is_exact_whatever_stands_between() {
    // The sum of the first two does not fit; that of all does.
    let turns =
        "(VALUES (1, 9223372036854775807), (1, 1), (1, -5), (2, NULL), (3, 4), (3, 4)) AS t(g, n)";
    gives(&[
        (&format!("SELECT sum(n) FROM {turns} WHERE g = 1"), "9223372036854775803"),
        (
            &format!("SELECT g, sum(n), sum(DISTINCT n) FROM {turns} GROUP BY g ORDER BY g"),
            "1,9223372036854775803,9223372036854775803;2,NULL,NULL;3,8,4",
        ),
        (&format!("SELECT sum(n) FROM {turns} WHERE false"), "NULL"),
        (
            &format!("SELECT sum(n) OVER (PARTITION BY g) FROM {turns} WHERE g <> 2 ORDER BY g, n"),
            "9223372036854775803;9223372036854775803;9223372036854775803;8;8",
        ),
        (
            "SELECT sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1), (2), (3), (NULL)) AS t(n) ORDER BY n",
            "1;3;5;3",
        ),
        (
            "SELECT sum(n), sum(n + 1), arrow_typeof(sum(n)) FROM (VALUES (1), (NULL), (3)) AS t(n)",
            "4,6,Int64",
        ),
        ("SELECT sum(x), arrow_typeof(sum(x)) FROM (VALUES (0.5), (0.25)) AS t(x)", "0.75,Float64"),
        (
            "SELECT sum(x) FROM (VALUES (CAST(9223372036854775807 AS DECIMAL(38, 0))), (CAST(1 AS DECIMAL(38, 0)))) AS t(x)",
            "9223372036854775808",
        ),
        (
            "SELECT sum(r), arrow_typeof(sum(r)) FROM (SELECT row_number() OVER () AS r FROM (VALUES (1), (2), (3)) AS t(n))",
            "6,UInt64",
        ),
    ]);
}

/// What is asked of the numbers 5, 300 and 5,000,000,000, and of which it is true.
const OF_NUMBERS: [(&str, &str); 24] = [
    ("TRY_CAST(n AS INT) >= 3", "5;300"),
    ("3 < TRY_CAST(n AS INT)", "5;300"),
    ("TRY_CAST(n AS INT) <> 5", "300"),
    ("NOT (TRY_CAST(n AS INT) = 5)", "300"),
    ("TRY_CAST(n AS INT) NOT IN (5, 6)", "300"),
    ("TRY_CAST(n AS INT) NOT BETWEEN 0 AND 9", "300"),
    ("(TRY_CAST(n AS INT) > 9) IS UNKNOWN", "5000000000"),
    ("(TRY_CAST(n AS INT) > 9) IS NOT TRUE", "5;5000000000"),
    ("TRY_CAST(n AS INT) IS DISTINCT FROM 5", "300;5000000000"),
    ("TRY_CAST(n AS INT) > 9 OR n = 5", "5;300"),
    ("TRY_CAST(TRY_CAST(n AS SMALLINT) AS TINYINT) > 0", "5"),
    ("CAST(TRY_CAST(n AS TINYINT) AS BIGINT) > 0", "5"),
    ("CAST(TRY_CAST(n AS TINYINT) AS VARCHAR) <> '7'", "5"),
    ("TRY_CAST(n - 10 AS INT UNSIGNED) > 0", "300"),
    ("TRY_CAST(n AS DECIMAL(4, 1)) >= 3", "5;300"),
    ("TRY_CAST(CAST(n AS DECIMAL(12, 2)) AS INT) > 3", "5;300"),
    ("TRY_CAST(CAST(n AS DECIMAL(12, 2)) AS DECIMAL(4, 1)) > 3", "5;300"),
    ("TRY_CAST(n AS DATE) > DATE '1960-01-01'", "5;300"),
    ("arrow_try_cast(n, 'Int8') > 0", "5"),
    ("try_cast_to_type(n, CAST(NULL AS TINYINT)) > 0", "5"),
    ("TRY_CAST(arrow_cast(n * 3, 'Timestamp(s)') AS TIMESTAMP) > TIMESTAMP '1960-01-01'", "5;300"),
    ("CASE TRY_CAST(n AS TINYINT) WHEN 5 THEN false ELSE true END", "300;5000000000"),
    ("coalesce(TRY_CAST(n AS INT), 7) = 7", "5000000000"),
    ("n IN (SELECT n FROM t WHERE TRY_CAST(n AS TINYINT) > 0)", "5"),
];

const NUMBERS: &str = "t AS (SELECT * FROM (VALUES (5), (300), (5000000000)) AS t(n))";

#[test]
fn a_cast_that_does_not_fit_is_null_where_it_is_compared_too() {
    for (condition, expected) in OF_NUMBERS {
        gives(&[
            (&format!("WITH {NUMBERS} SELECT n FROM t WHERE {condition} ORDER BY n"), expected),
            // The same where the engine has nothing to move a cast to.
            (
                &format!(
                    "WITH {NUMBERS}, u AS (SELECT n, {condition} AS c FROM t) SELECT n FROM u \
                     WHERE c ORDER BY n"
                ),
                expected,
            ),
        ]);
    }
    gives(&[
        (
            &format!("WITH {NUMBERS} SELECT TRY_CAST(n AS INT) > 9 FROM t ORDER BY n"),
            "false;true;NULL",
        ),
        (
            &format!(
                "WITH {NUMBERS}, u AS (SELECT n, TRY_CAST(n AS TINYINT) AS m FROM t), v AS (SELECT \
                 * FROM u ORDER BY n LIMIT 9) SELECT u.n FROM u JOIN v ON u.m = v.n WHERE u.m > 0"
            ),
            "5",
        ),
        (
            &format!(
                "WITH {NUMBERS} SELECT TRY_CAST(n AS TINYINT) AS m, count(*) FROM t GROUP BY \
                 TRY_CAST(n AS TINYINT) HAVING TRY_CAST(n AS TINYINT) < 9"
            ),
            "5,1",
        ),
    ]);
}

#[test]
fn a_cast_that_does_not_fit_fails_where_it_is_compared_too() {
    let condition = |condition: &str| format!("WITH {NUMBERS} SELECT n FROM t WHERE {condition}");
    fails(
        "cast",
        &[
            &condition("CAST(n AS INT) >= 3"),
            &condition("n::SMALLINT <> 7"),
            &condition("CAST(n AS INT) NOT IN (5, 6)"),
            &condition("arrow_cast(n, 'Int8') = 5"),
            &condition("cast_to_type(n, CAST(NULL AS TINYINT)) = 5"),
            &condition("CAST(5 - n AS BIGINT UNSIGNED) < 3"),
        ],
    );
    fails("too large to store", &[&condition("CAST(n AS DECIMAL(4, 1)) >= 3")]);
    fails("exceeds", &[&condition("CAST(n * 3 AS TIMESTAMP) > TIMESTAMP '1960-01-01'")]);
}

#[test]
fn a_cast_that_loses_something_is_compared_as_what_it_becomes() {
    gives(&[
        // Fractions are cut off.
        (
            "SELECT d FROM (VALUES (1.0), (1.4), (2.0)) AS t(d) WHERE CAST(CAST(d AS DECIMAL(5, \
             1)) AS INT) = 1 ORDER BY d",
            "1.0;1.4",
        ),
        (
            "SELECT d FROM (VALUES (1.14), (1.1), (1.31)) AS t(d) WHERE CAST(CAST(d AS DECIMAL(5, \
             2)) AS DECIMAL(5, 1)) <= CAST(1.1 AS DECIMAL(5, 1)) ORDER BY d",
            "1.1;1.14",
        ),
        // A second, and a constant half a second later.
        (
            "SELECT n FROM (VALUES (200), (201)) AS t(n) WHERE CAST(n AS TIMESTAMP) >= TIMESTAMP \
             '1970-01-01 00:03:20.5'",
            "201",
        ),
        // Midnight in Tokyo is three in the afternoon in Greenwich.
        (
            "SELECT t FROM (VALUES (TIMESTAMP '2026-11-02 00:00:00')) AS v(t) WHERE t AT TIME ZONE \
             'Asia/Tokyo' < arrow_cast('2026-11-01T20:00:00Z', 'Timestamp(ns, \"Asia/Tokyo\")')",
            "2026-11-02T00:00:00",
        ),
    ]);
}

/// The conditions of a query as they are run.
fn conditions(session: &SessionContext, sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = runtime.block_on(async {
        let plan = session.state().create_logical_plan(sql).await.unwrap();
        session.state().optimize(&plan).unwrap()
    });
    plan.display_indent().to_string()
}

#[test]
fn a_cast_that_loses_nothing_is_taken_off_a_column_as_before() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [("i", DataType::Int32), ("t", micros), ("v", DataType::Utf8View)];
    let columns = columns.map(|(name, kind)| Field::new(name, kind, true));
    let rows = RecordBatch::new_empty(Arc::new(Schema::new(columns.to_vec())));
    let session = &sessions()[0];
    session.register_batch("u", rows).unwrap();
    for (condition, expected) in [
        ("CAST(i AS BIGINT) = 5", "i = Int32(5)"),
        ("TRY_CAST(i AS BIGINT) > 5", "i > Int32(5)"),
        ("i = 5", "i = Int32(5)"),
        ("CAST(i AS DECIMAL(12, 2)) > 5", "i > Int32(5)"),
        ("CAST(i AS VARCHAR) = '5'", "i = Int32(5)"),
        ("CAST(v AS VARCHAR) = '5'", "v = Utf8View(\"5\")"),
        ("t > TIMESTAMP '1970-01-01 00:00:01'", "t > TimestampMicrosecond(1000000,"),
        (
            "CAST(t AS TIMESTAMP) > TIMESTAMP '1970-01-01 00:00:01'",
            "t > TimestampMicrosecond(1000000,",
        ),
        (
            // Without a zone: a second past midnight there.
            "t AT TIME ZONE 'Asia/Tokyo' > TIMESTAMP '1970-01-01 00:00:01'",
            "t > TimestampMicrosecond(-32399000000,",
        ),
        // The engine knows which moments these are.
        ("CAST(t AS DATE) = DATE '2026-11-02'", "CAST(u.t AS Date32) = Date32(\"2026-11-02\")"),
    ] {
        let found = conditions(session, &format!("SELECT 1 FROM u WHERE {condition}"));
        assert!(found.contains(expected) && !found.contains("kept("), "{condition}:\n{found}");
    }
    let found = conditions(session, "SELECT 1 FROM u WHERE CAST(i AS SMALLINT) = 5");
    assert!(found.contains("kept("), "{found}");
}

#[test]
fn a_chain_of_casts_is_planned_and_bears_its_columns_name() {
    let chain = "::INT::BIGINT".repeat(15);
    let sql = format!("SELECT n{chain} FROM (VALUES (5)) AS t(n) WHERE n{chain} > 3");
    let (names, rows) = answer(&sessions()[0], &sql).unwrap();
    assert_eq!((names, rows), (vec!["t.n".to_owned()], "5".to_owned()));
}
