//! The same answers, however rows lie and however many threads there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;

use super::fold::{FREE, GATHERING, OF_FRAMES, OF_PEERS, OF_PLACES, OPEN};
use super::*;
use crate::digest::{Digested, RowsDigest};

const ROWS: u64 = 600;

/// SplitMix64, by Sebastiano Vigna; public domain.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn schema() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("word", DataType::Utf8, true),
        Field::new("few", DataType::Int64, true),
        Field::new("real", DataType::Float64, true),
        Field::new("moment", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("tags", DataType::List(item), true),
    ]))
}

/// Rows of these numbers. All but `id` have many equals; `real` has sums that rounding spoils.
fn rows(ids: &[u64]) -> RecordBatch {
    let of = |id: u64, salt: u64| random(&mut (id * 31 + salt));
    let signed = |number: u64| i64::try_from(number).unwrap();
    let mut tags = ListBuilder::new(StringBuilder::new());
    for id in ids {
        for n in 0..of(*id, 5) % 3 {
            tags.values().append_value(format!("t{n}"));
        }
        tags.append(!of(*id, 6).is_multiple_of(4));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| signed(*id)))),
        Arc::new(StringArray::from_iter(ids.iter().map(|id| {
            let word = of(*id, 1) % 5;
            (word > 0).then(|| format!("w{word}"))
        }))),
        Arc::new(Int64Array::from_iter(
            ids.iter().map(|id| Some(of(*id, 2) % 7).filter(|few| *few < 6).map(signed)),
        )),
        Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| {
            let small = f64::from(u32::try_from(of(*id, 3) % 1_000).unwrap()) / 7.0;
            if of(*id, 7).is_multiple_of(9) { small * 1e17 } else { small }
        }))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(
                ids.iter().map(|id| signed(of(*id, 4) % 40) * 1_000_000),
            )
            .with_timezone("UTC"),
        ),
        Arc::new(tags.finish()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// How the rows lie, and what reads them.
#[derive(Debug, Clone, Copy)]
struct Layout {
    seed: u64,
    parts: usize,
    batch_rows: usize,
    threads: usize,
}

const LAYOUTS: [Layout; 6] = [
    Layout { seed: 1, parts: 1, batch_rows: 8192, threads: 1 },
    Layout { seed: 2, parts: 1, batch_rows: 8192, threads: 2 },
    Layout { seed: 3, parts: 3, batch_rows: 100, threads: 8 },
    Layout { seed: 4, parts: 8, batch_rows: 16, threads: 2 },
    Layout { seed: 5, parts: 5, batch_rows: 1, threads: 1 },
    Layout { seed: 6, parts: 2, batch_rows: 77, threads: 8 },
];

fn session(layout: Layout) -> SessionContext {
    let mut ids: Vec<u64> = (0..ROWS).collect();
    let mut state = layout.seed;
    for index in (1..ids.len()).rev() {
        let with = random(&mut state) % (u64::try_from(index).unwrap() + 1);
        ids.swap(index, usize::try_from(with).unwrap());
    }
    let config = SessionConfig::new()
        .with_target_partitions(layout.threads)
        .with_batch_size(layout.batch_rows)
        .with_information_schema(true);
    let session = SessionContext::new_with_config(config);
    let parts = ids.chunks(ids.len().div_ceil(layout.parts));
    let parts = parts.map(|part| part.chunks(layout.batch_rows).map(rows).collect()).collect();
    let table = MemTable::try_new(schema(), parts).unwrap();
    let _ = session.register_table("t", Arc::new(table)).unwrap();
    session
}

async fn plan(session: &SessionContext, sql: &str) -> Result<(LogicalPlan, bool), QueryError> {
    let statement = crate::plan::parse(sql, 1 << 16)?;
    let asks = asks_for_order(&statement);
    let plan = session.state().statement_to_plan(statement).await;
    Ok((plan.map_err(|e| QueryError::from_engine(&e))?, asks))
}

async fn physical(
    session: &SessionContext,
    sql: &str,
) -> Result<(Arc<dyn ExecutionPlan>, bool), QueryError> {
    let (plan, asks) = plan(session, sql).await?;
    let state = session.state();
    let Repeatable { plan, is_ordered } = repeatable(&state, plan, asks)?;
    let physical = state.query_planner().create_physical_plan(&plan, &state).await;
    Ok((physical.map_err(|e| QueryError::from_engine(&e))?, is_ordered))
}

/// The digest of an answer that is to be had again.
async fn digest(layout: Layout, sql: &str) -> Result<(Digested, bool), QueryError> {
    let session = session(layout);
    let (physical, is_ordered) = physical(&session, sql).await?;
    Ok((digested(&session, physical, is_ordered).await?, is_ordered))
}

async fn digested(
    session: &SessionContext,
    physical: Arc<dyn ExecutionPlan>,
    is_ordered: bool,
) -> Result<Digested, QueryError> {
    let failed = |e| QueryError::from_engine(&e);
    let mut digest = RowsDigest::new(&physical.schema(), is_ordered)?;
    let mut stream = execute_stream(physical, session.task_ctx()).map_err(failed)?;
    while let Some(batch) = stream.try_next().await.map_err(failed)? {
        digest.add(&batch)?;
    }
    digest.finish()
}

/// The digest of the answer that the engine gives by itself.
async fn plain(layout: Layout, sql: &str) -> Digested {
    let session = session(layout);
    let (plan, _) = plan(&session, sql).await.unwrap();
    let physical = session.state().create_physical_plan(&plan).await.unwrap();
    digested(&session, physical, false).await.unwrap()
}

async fn shown(layout: Layout, sql: &str) -> String {
    let session = session(layout);
    let (physical, _) = physical(&session, sql).await.unwrap();
    let batches = collect(physical, session.task_ctx()).await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// Queries whose answers SQL leaves open.
const OPEN_QUERIES: &[&str] = &[
    "SELECT * FROM t LIMIT 10",
    "SELECT word FROM t LIMIT 10",
    "SELECT few, word FROM t ORDER BY few LIMIT 7",
    "SELECT id FROM t ORDER BY word LIMIT 5 OFFSET 3",
    "SELECT id FROM t ORDER BY moment DESC NULLS LAST OFFSET 590",
    "SELECT count(*), min(id) FROM (SELECT * FROM t ORDER BY few LIMIT 20)",
    "SELECT sum(id) FROM (SELECT id FROM t LIMIT 50) AS some",
    "SELECT id FROM t WHERE id IN (SELECT id FROM t ORDER BY word LIMIT 9)",
    "SELECT (SELECT max(id) FROM (SELECT id FROM t LIMIT 3)) AS one",
    "SELECT word, sum(real) FROM t GROUP BY word",
    "SELECT avg(real), sum(real) AS total FROM t",
    "SELECT few, avg(real) FILTER (WHERE id > 100) FROM t GROUP BY few",
    "SELECT id, sum(real) OVER (PARTITION BY word) FROM t",
    "SELECT id, avg(real) OVER (ORDER BY few ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT word, array_agg(id) FROM t GROUP BY word",
    "SELECT word, array_agg(few ORDER BY moment), array_agg(id) FROM t GROUP BY word",
    "SELECT string_agg(word, ',') FROM t WHERE id < 50",
    "SELECT few, first_value(id ORDER BY moment), last_value(real ORDER BY moment) FROM t GROUP BY few",
    "SELECT few, nth_value(id, 3 ORDER BY moment) FROM t GROUP BY few",
    "SELECT DISTINCT ON (few) few, id, word FROM t ORDER BY few, moment",
    "SELECT DISTINCT ON (word) id FROM t",
    "SELECT id, row_number() OVER (ORDER BY moment) AS place FROM t",
    "SELECT id, row_number() OVER (PARTITION BY word) FROM t",
    "SELECT id, rank() OVER w, row_number() OVER w, lag(id) OVER w FROM t WINDOW w AS (PARTITION BY few ORDER BY moment)",
    "SELECT id, first_value(id) OVER (PARTITION BY word ORDER BY moment) FROM t",
    "SELECT id, last_value(id) OVER (ORDER BY few ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) FROM t",
    "SELECT id, sum(few) OVER (ORDER BY moment ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT id, array_agg(id) OVER (PARTITION BY word) FROM t WHERE id < 60",
    "SELECT id, ntile(4) OVER (ORDER BY few) FROM t",
    "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY word ORDER BY few) AS n FROM t) WHERE n = 1",
    "(SELECT id FROM t LIMIT 5) UNION ALL (SELECT few FROM t ORDER BY word LIMIT 5)",
];

/// Queries whose rows SQL settles, some with their order.
const SETTLED_QUERIES: &[(&str, bool)] = &[
    ("SELECT * FROM t", false),
    ("SELECT word, few FROM t ORDER BY few DESC, word", true),
    ("(SELECT id FROM t ORDER BY moment)", true),
    ("SELECT id + 1 AS next FROM t ORDER BY moment, word", true),
    ("SELECT word FROM t ORDER BY moment", true),
    ("SELECT DISTINCT word FROM t ORDER BY word", true),
    ("SELECT word, count(*) AS n FROM t GROUP BY word ORDER BY n DESC", true),
    ("SELECT * FROM (SELECT id FROM t ORDER BY moment) AS x", false),
    (
        "SELECT a.id, b.word FROM t a JOIN t b ON a.few = b.few AND a.word = b.word WHERE a.id < 90",
        false,
    ),
    (
        "SELECT few, count(DISTINCT word), min(moment), max(real), median(real) FROM t GROUP BY few",
        false,
    ),
    ("SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY real) FROM t", false),
    ("SELECT id, rank() OVER (ORDER BY moment), count(*) OVER (ORDER BY moment) FROM t", false),
    ("SELECT few FROM t UNION SELECT id FROM t ORDER BY 1 LIMIT 10", true),
    ("SELECT unnest(tags) AS tag FROM t", false),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n",
        false,
    ),
    ("SELECT value FROM generate_series(1, 9)", false),
    ("VALUES (1), (2)", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_however_rows_lie_and_however_many_threads_there_are() {
    let settled = SETTLED_QUERIES.iter().copied();
    // Of the open ones, those that end in an order of their own.
    let ordered = |sql: &str| {
        sql.starts_with("SELECT") && sql.contains(" ORDER BY ") && {
            let statement = crate::plan::parse(sql, 1 << 16).unwrap();
            asks_for_order(&statement) && !sql.contains("DISTINCT ON")
        }
    };
    let open = OPEN_QUERIES.iter().map(|sql| (*sql, ordered(sql)));
    for (sql, is_ordered) in settled.chain(open) {
        let mut found = BTreeSet::new();
        for layout in LAYOUTS {
            let (digested, ordered) = match digest(layout, sql).await {
                Ok(answered) => answered,
                Err(error) => panic!("{sql}, {layout:?}: {error}"),
            };
            assert_eq!(ordered, is_ordered, "{sql}");
            assert!(digested.rows > 0, "{sql}");
            let _ = found.insert((digested.rows, digested.root));
        }
        assert_eq!(found.len(), 1, "{sql} has {} answers", found.len());
    }
}

/// How often a query is asked until it has a second answer.
const ROUNDS: usize = 50;

/// The twin: by itself the engine gives other answers for other layouts, or from run to run: which
/// of two threads is first is chance.
#[tokio::test(flavor = "multi_thread")]
async fn by_itself_the_engine_answers_open_queries_in_several_ways() {
    let mut same = Vec::new();
    for sql in OPEN_QUERIES {
        let mut found = BTreeSet::new();
        for _ in 0..ROUNDS {
            for layout in LAYOUTS {
                let _ = found.insert(plain(layout, sql).await.root);
            }
            if found.len() > 1 {
                break;
            }
        }
        if found.len() == 1 {
            same.push(sql);
        }
    }
    assert!(same.is_empty(), "these are not open: {same:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_is_what_the_rules_say() {
    for layout in LAYOUTS {
        let first = shown(layout, "SELECT id FROM t LIMIT 3").await;
        assert_eq!(first, "+----+\n| id |\n+----+\n| 0  |\n| 1  |\n| 2  |\n+----+");
        let least = shown(
            layout,
            "SELECT few = lead(few) OVER (ORDER BY few) AS equal, \
             id < lead(id) OVER (ORDER BY few) AS ascends FROM t \
             QUALIFY equal AND NOT ascends",
        );
        assert_eq!(least.await, "++\n++", "{layout:?}");
        // Of 600 rows, 200 of each: added up with rounding, the ones are lost in most orders.
        let sum =
            "SELECT sum(CASE id % 3 WHEN 0 THEN 1e17 WHEN 1 THEN -1e17 ELSE 1e0 END) AS s FROM t";
        assert!(shown(layout, sum).await.contains("| 200.0 |"), "{layout:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_repeated_is_refused_and_says_what_could_be_asked() {
    for (sql, says) in [
        ("SELECT now()", "now() depends on when the query runs"),
        ("SELECT id FROM t WHERE moment < current_timestamp", "now()"),
        ("SELECT current_date", "current_date()"),
        ("SELECT current_time", "current_time()"),
        ("SELECT random()", "random() says something else each time"),
        ("SELECT id FROM t ORDER BY random()", "random()"),
        ("SELECT uuid()", "uuid()"),
        ("SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE random() < 0.5)", "random()"),
        ("WITH x AS (SELECT now() AS n) SELECT n FROM x", "now()"),
        ("SELECT version()", "about this program"),
        ("EXPLAIN SELECT id FROM t", "about this program"),
        ("EXPLAIN ANALYZE SELECT id FROM t", "about this program"),
        ("SELECT count(*) FROM information_schema.tables", "information_schema"),
        (
            "SELECT approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY few) FROM t",
            "percentile_cont",
        ),
        ("SELECT approx_distinct(word) FROM t", "count(DISTINCT …)"),
        ("SELECT approx_median(few) FROM t", "ask for median"),
        ("SELECT stddev(real) FROM t", "stddev() depends on the order"),
        ("SELECT var_samp(real) FROM t", "var() depends on the order"),
        ("SELECT corr(real, few) FROM t", "corr()"),
        ("SELECT any_value(id) FROM t", "any_value()"),
        ("SELECT stddev(real) OVER (PARTITION BY word) FROM t", "stddev()"),
        ("SELECT last_value(id) OVER (ORDER BY few) FROM t", "write a frame of ROWS"),
        ("SELECT nth_value(id, 2) OVER (ORDER BY few) FROM t", "write a frame of ROWS"),
        ("SELECT first_value(id) IGNORE NULLS OVER (ORDER BY few) FROM t", "a frame of ROWS"),
        ("SELECT array_agg(id) OVER (ORDER BY few) FROM t", "a frame of ROWS"),
        ("SELECT sum(DISTINCT real), avg(DISTINCT few), count(*) FROM t", "in a query of its own"),
    ] {
        match digest(LAYOUTS[2], sql).await {
            Ok(_) => panic!("{sql} was answered"),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(error.code(), Code::Refused, "{sql}: {text}");
                assert!(text.contains("could not be had again"), "{sql}: {text}");
                assert!(text.contains(says), "{sql}: {text}");
            }
        }
    }
}

/// A function that a new version brings must be looked at before it is let through: aggregates and
/// windows that are not known are refused, and this test says which those are.
#[test]
fn every_aggregate_and_window_function_was_judged() {
    let session = SessionContext::new();
    let state = session.state();
    let names: BTreeSet<&str> =
        state.aggregate_functions().values().map(|function| function.name()).collect();
    let mut judged: BTreeSet<&str> = FREE.into_iter().chain(GATHERING).collect();
    judged.extend(OPEN.iter().map(|(name, _)| *name));
    assert_eq!(names, judged);
    let names: BTreeSet<&str> =
        state.window_functions().values().map(|function| function.name()).collect();
    let judged: BTreeSet<&str> = OF_PEERS.into_iter().chain(OF_PLACES).chain(OF_FRAMES).collect();
    assert_eq!(names, judged);
    // What depends on time or chance says so; a new such function is seen here.
    let mut restless: Vec<&str> = state
        .scalar_functions()
        .values()
        .filter(|f| f.signature().volatility != datafusion::logical_expr::Volatility::Immutable)
        .map(|f| f.name())
        .collect();
    restless.sort_unstable();
    restless.dedup();
    let known = [
        "current_date",
        "current_time",
        "file_row_index",
        "input_file_name",
        "now",
        "random",
        "uuid",
    ];
    assert_eq!(restless, known);
}
