//! What is refused, and that hostile text is refused before it can exhaust anything.

use super::*;

const MAX: usize = 256 * 1024;

fn code(sql: &str) -> Option<Code> {
    parse(sql, MAX).err().map(|error| error.code())
}

const NO_QUERIES: &[&str] = &[
    "INSERT INTO mesh_events VALUES (1)",
    "INSERT INTO mesh_events SELECT * FROM mesh_events",
    "INSERT OVERWRITE mesh_events SELECT * FROM mesh_events",
    "REPLACE INTO mesh_events VALUES (1)",
    "UPDATE mesh_events SET decision = 'allow'",
    "DELETE FROM mesh_events",
    "DELETE FROM mesh_events WHERE decision = 'deny'",
    "TRUNCATE TABLE mesh_events",
    "MERGE INTO mesh_events USING x ON true WHEN MATCHED THEN DELETE",
    "COPY mesh_events TO 'out.parquet'",
    "COPY (SELECT * FROM mesh_events) TO 'out.csv' STORED AS CSV",
    "COPY (SELECT 1) TO 's3://bucket/x' STORED AS PARQUET",
    "COPY mesh_events FROM 'in.csv'",
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT * FROM mesh_events",
    "CREATE OR REPLACE TABLE mesh_events AS SELECT 1",
    "CREATE TEMPORARY TABLE t AS SELECT 1",
    "CREATE VIEW v AS SELECT * FROM mesh_events",
    "CREATE OR REPLACE VIEW mesh_events AS SELECT 1",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'in.csv'",
    "CREATE EXTERNAL TABLE t (a INT) STORED AS PARQUET LOCATION 's3://bucket/x'",
    "CREATE UNBOUNDED EXTERNAL TABLE t STORED AS CSV LOCATION 'x'",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE INDEX i ON mesh_events (decision)",
    "CREATE FUNCTION f(INT) RETURNS INT RETURN $1",
    "CREATE ROLE r",
    "DROP TABLE mesh_events",
    "DROP TABLE IF EXISTS mesh_events",
    "DROP VIEW v",
    "DROP SCHEMA public CASCADE",
    "DROP FUNCTION now",
    "ALTER TABLE mesh_events ADD COLUMN a INT",
    "ALTER TABLE mesh_events RENAME TO x",
    "SET datafusion.execution.target_partitions = 1000000",
    "SET datafusion.catalog.information_schema = false",
    "SET TIME ZONE 'Europe/Berlin'",
    "RESET datafusion.execution.target_partitions",
    "SHOW ALL",
    "SHOW datafusion.execution.target_partitions",
    "SHOW CREATE TABLE mesh_events",
    "SHOW FUNCTIONS LIKE 'x'' UNION SELECT 1'",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "GRANT SELECT ON mesh_events TO r",
    "REVOKE SELECT ON mesh_events FROM r",
    "USE public",
    "KILL 1",
    "CALL f()",
    "ANALYZE TABLE mesh_events",
    "VACUUM",
    "LOCK TABLES mesh_events WRITE",
    "EXPLAIN INSERT INTO mesh_events VALUES (1)",
    "EXPLAIN ANALYZE DELETE FROM mesh_events",
    "EXPLAIN EXPLAIN COPY mesh_events TO 'x'",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "WITH x AS (DELETE FROM mesh_events RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO mesh_events VALUES (1) RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE mesh_events SET decision = '') SELECT 1",
    "WITH x AS (SELECT 1) INSERT INTO mesh_events SELECT * FROM x",
    "SELECT 1; DROP TABLE mesh_events",
    "SELECT 1; SELECT 2",
    "/* SELECT */ DROP TABLE mesh_events -- SELECT",
];

#[test]
fn whatever_is_no_query_is_refused() {
    for sql in NO_QUERIES {
        let code = code(sql);
        // What the parser does not even know is no query either.
        assert!(matches!(code, Some(Code::Refused | Code::Syntax)), "{sql}: {code:?}");
    }
}

#[test]
fn queries_pass() {
    for sql in [
        "SELECT 1",
        "select count(*) from mesh_events;",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL VALUES (2)",
        "VALUES (1), (2)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN VERBOSE SELECT 1",
        "DESCRIBE mesh_events",
        "SHOW TABLES",
        "SHOW COLUMNS FROM mesh_events",
        "SHOW FUNCTIONS",
        "-- a comment\nSELECT 'DROP TABLE x; --'",
        "SELECT * FROM mesh_events WHERE event_time >= $since",
    ] {
        assert_eq!(code(sql), None, "{sql}");
    }
}

#[test]
fn a_refusal_names_the_statement_and_what_is_answered() {
    let text = parse("drop table mesh_events", MAX).unwrap_err().to_string();
    assert_eq!(
        text,
        "REFUSED: DROP is no query; an archive answers SELECT, WITH, VALUES, EXPLAIN, DESCRIBE, SHOW \
         TABLES, SHOW COLUMNS and SHOW FUNCTIONS, and nothing that writes, sets or reads elsewhere"
    );
}

#[test]
fn what_the_engine_would_leave_out_of_account_is_refused() {
    for (clause, sql) in [
        ("EXCEPT ALL", "SELECT 1 EXCEPT ALL SELECT 1"),
        ("INTERSECT ALL", "SELECT 1 INTERSECT ALL SELECT 1"),
        ("EXCEPT ALL", "SELECT 1 UNION SELECT 2 EXCEPT ALL SELECT 1"),
        ("INTERSECT ALL", "SELECT * FROM (SELECT 1 UNION ALL (SELECT 1 INTERSECT ALL SELECT 1))"),
        ("EXCEPT ALL", "WITH x AS (SELECT 1 EXCEPT ALL SELECT 1) SELECT * FROM x"),
        ("EXCEPT ALL", "SELECT 1 WHERE 1 IN (SELECT 1 EXCEPT ALL SELECT 1)"),
        ("EXCEPT ALL", "EXPLAIN SELECT 1 EXCEPT ALL SELECT 1"),
        ("TABLESAMPLE", "SELECT count(*) FROM mesh_events TABLESAMPLE BERNOULLI (10)"),
        ("PREWHERE", "SELECT count(*) FROM mesh_events PREWHERE decision = 'deny'"),
        (
            "WITH ROLLUP, WITH CUBE or WITH TOTALS",
            "SELECT decision, count(*) FROM mesh_events GROUP BY decision WITH ROLLUP",
        ),
        ("FOR UPDATE or FOR SHARE", "SELECT * FROM mesh_events FOR UPDATE"),
        ("CONNECT BY", "SELECT 1 FROM mesh_events START WITH a = 1 CONNECT BY PRIOR a = b"),
        ("WITH ORDINALITY", "SELECT * FROM generate_series(1, 3) WITH ORDINALITY"),
        (
            "IS DISTINCT FROM beside AND or OR without parentheses around it",
            "SELECT 1 FROM mesh_events WHERE mtls IS DISTINCT FROM true AND decision = 'deny'",
        ),
        ("a list of parameters of a function", "SELECT count(0.5)(segment_row) FROM mesh_events"),
    ] {
        let error = parse(sql, MAX).unwrap_err();
        assert_eq!(error.code(), Code::Plan, "{sql}: {error}");
        assert!(
            error.to_string().contains(&format!("{clause} is not supported")),
            "{sql}: {error}"
        );
    }
    for sql in [
        "SELECT 1 EXCEPT SELECT 1",
        "SELECT 1 INTERSECT DISTINCT SELECT 1 UNION ALL SELECT 2",
        "SELECT DISTINCT ON (decision) decision FROM mesh_events ORDER BY decision",
        "SELECT * EXCLUDE (segment) FROM mesh_events",
        "SELECT 1 FROM mesh_events WHERE (mtls IS DISTINCT FROM true) AND decision = 'deny'",
        "SELECT 1 FROM mesh_events WHERE decision = 'deny' AND mtls IS DISTINCT FROM true",
        "SELECT decision, count(*) FROM mesh_events GROUP BY ROLLUP (decision)",
        "SELECT count(*) FILTER (WHERE true) FROM mesh_events AS e JOIN mesh_events AS f USING (segment)",
    ] {
        assert_eq!(code(sql), None, "{sql}");
    }
}

#[test]
fn text_that_is_no_sql_is_a_syntax_error() {
    for sql in ["", ";", "SELEC 1", "SELECT 'open", "SELECT (1", "\u{0}", "🔒"] {
        assert_eq!(code(sql), Some(Code::Syntax), "{sql:?}");
    }
}

#[test]
fn text_too_long_or_too_deep_is_refused() {
    let chain = |unit: &str, count: usize| format!("SELECT {}1", unit.repeat(count));
    assert_eq!(code(&format!("SELECT 1 -- {}", "x".repeat(MAX))), Some(Code::LimitSql));
    for sql in [
        chain("1+", 100_000),
        chain("NOT ", 50_000),
        chain("- ", 100_000),
        format!("SELECT 1{}", "::int".repeat(40_000)),
        format!("SELECT 1 WHERE {} true", "true OR ".repeat(20_000)),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(10_000)),
        format!("SELECT x{}", "[1]".repeat(50_000)),
        format!("SELECT 1 IS NULL{}", " IS NULL".repeat(20_000)),
        format!("SELECT 1 FROM a{}", ", a".repeat(65)),
        format!("SELECT 1 FROM a{}", ", a".repeat(60_000)),
    ] {
        assert_eq!(code(&sql), Some(Code::LimitSql), "{}", &sql[..40]);
    }
    for sql in [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        "(".repeat(100_000),
        format!("SELECT {}1", "(".repeat(60)),
        format!("SELECT {}1{}", "abs(".repeat(60), ")".repeat(60)),
    ] {
        assert_eq!(code(&sql), Some(Code::Syntax), "{}", &sql[..20]);
    }
}

#[test]
fn a_long_list_of_ids_passes() {
    let ids: Vec<String> = (0..6_000).map(|i| format!("'{i:032x}'")).collect();
    let sql = format!("SELECT 1 FROM mesh_events WHERE trace_id IN ({})", ids.join(", "));
    assert!(sql.len() > 200_000, "{}", sql.len());
    assert_eq!(code(&sql), None);
}
