//! With and without: the engine as it is judges what is looked at once.

use std::collections::BTreeMap;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, DictionaryArray, Int64Array, RecordBatch,
    StringArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::kinds::{Kinds, Sorter};
use super::*;
use crate::dice::Dice;

/// Texts as the reader gives them: views into one dictionary, NULL now and then.
fn texts(dice: &mut Dice, rows: usize, different: usize) -> ArrayRef {
    let values: Vec<String> = (0..different.max(1))
        .map(|number| match number % 3 {
            0 => format!("{number}"),
            _ => format!("service-{number}.shop.svc.cluster.local"),
        })
        .collect();
    let keys: Vec<Option<i32>> = (0..rows)
        .map(|_| (dice.below(9) > 0).then(|| i32::try_from(dice.below(values.len())).unwrap()))
        .collect();
    let keys = arrow::array::Int32Array::from(keys);
    let values: ArrayRef = Arc::new(StringArray::from(values));
    let coded = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
    cast(&coded, &DataType::Utf8View).unwrap()
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8View, true),
        Field::new("other", DataType::Utf8View, true),
        Field::new("day", DataType::Date32, false),
        Field::new("flag", DataType::Boolean, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn batch(dice: &mut Dice, rows: usize, different: usize) -> RecordBatch {
    let flags: BooleanArray =
        (0..rows).map(|_| (dice.below(5) > 0).then(|| dice.below(2) == 0)).collect();
    let numbers: Int64Array = (0..rows)
        .map(|_| (dice.below(7) > 0).then(|| i64::try_from(dice.below(100)).unwrap()))
        .collect();
    let day = i32::try_from(dice.below(3)).unwrap();
    let columns: Vec<ArrayRef> = vec![
        texts(dice, rows, different),
        texts(dice, rows, 5),
        Arc::new(Date32Array::from(vec![20_000 + day; rows])),
        Arc::new(flags),
        Arc::new(numbers),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A kind for each row by looking at all values before it.
fn slow_kinds(columns: &[ArrayRef]) -> Vec<u32> {
    let mut known: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    let text = |column: &ArrayRef, row: usize| {
        format!("{:?}", datafusion::scalar::ScalarValue::try_from_array(column, row).unwrap())
    };
    let rows = columns[0].len();
    let row = |row: usize| columns.iter().map(|column| text(column, row)).collect::<Vec<_>>();
    (0..rows)
        .map(|at| {
            let next = u32::try_from(known.len()).unwrap();
            *known.entry(row(at)).or_insert(next)
        })
        .collect()
}

#[test]
fn rows_of_a_kind_hold_the_same() {
    let mut dice = Dice(11);
    let mut sorter = Sorter::new();
    let mut sorted = 0;
    for _ in 0..200 {
        let different = [1, 3, 40, 4_000][dice.below(4)];
        let rows = 1 + dice.below(1_000);
        let batch = batch(&mut dice, rows, different);
        let from = dice.below(rows);
        let batch = batch.slice(from, rows - from);
        let columns: Vec<ArrayRef> =
            batch.columns().iter().filter(|_| dice.below(2) == 0).cloned().collect();
        let Some(Kinds { of_rows, firsts }) = sorter.kinds(&columns) else { continue };
        sorted += 1;
        let expected = slow_kinds(&columns);
        // Views into one dictionary, and short texts, differ if and only if the values do; the
        // dictionary here has no value twice.
        assert_eq!(of_rows, expected);
        for (kind, first) in (0u32..).zip(&firsts) {
            let found = expected.iter().position(|found| *found == kind).unwrap();
            assert_eq!(usize::try_from(*first).unwrap(), found);
        }
    }
    assert!(sorted > 50, "{sorted} batches were sorted");
}

#[test]
fn texts_that_crowd_one_place_are_left_to_the_engine() {
    // Short texts are their own keys: whoever knows how places are chosen can fill one. Here the
    // first thousand texts that fall into eight places.
    let crowded = kinds::tests::crowded(1_000);
    let texts: ArrayRef =
        Arc::new(StringViewArray::from_iter_values(crowded.iter().cycle().take(8_000)));
    assert!(Sorter::new().kinds(&[texts]).is_none());
}

/// The rows of an answer, sorted, of the plan as it is and of the one that looks at what is alike
/// once, and that plan.
async fn both(
    tables: Vec<Vec<RecordBatch>>,
    sql: &str,
    bytes: usize,
) -> (Result<String>, Result<String>, String) {
    let config = SessionConfig::new().with_target_partitions(2).with_batch_size(1_024);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc().unwrap();
    let session = SessionContext::new_with_config_rt(config, runtime);
    let table = MemTable::try_new(schema(), tables).unwrap();
    let _ = session.register_table("t", Arc::new(table)).unwrap();
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let once = looked_at_once(Arc::clone(&plan)).unwrap();
    let shown = displayable(once.as_ref()).indent(false).to_string();
    let rows = async |plan| {
        let batches = collect(plan, session.task_ctx()).await?;
        let text = pretty_format_batches(&batches)?.to_string();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        Ok(lines.join("\n"))
    };
    (rows(plan).await, rows(once).await, shown)
}

/// Questions whose plans have something to look at once.
const QUESTIONS: &[&str] = &[
    "SELECT name, count(*), sum(n), min(n), max(n), avg(n) FROM t GROUP BY name",
    "SELECT name, other, day, count(n) FILTER (WHERE flag), bool_or(flag) FROM t GROUP BY 1, 2, 3",
    "SELECT day, flag, n, other, count(*) FROM t GROUP BY 1, 2, 3, 4",
    "SELECT DISTINCT name, other FROM t",
    "SELECT other, count(DISTINCT name) FROM t GROUP BY other",
    "SELECT other, count(*) FROM t WHERE name LIKE '%e-1%' GROUP BY other",
    "SELECT name, n FROM t WHERE name ILIKE '%SHOP%' OR other NOT LIKE '1%' AND n > 5",
    "SELECT count(*) FROM t WHERE name ~ 'e-[0-9]*2' AND upper(other) = '3' AND flag",
    "SELECT name FROM t WHERE regexp_like(name, 'e-[12]') IS NOT TRUE AND length(other) = 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_at_once_is_what_is_looked_at_row_by_row() {
    let mut dice = Dice(12);
    for different in [1, 30, 5_000] {
        let table = |dice: &mut Dice| -> Vec<RecordBatch> {
            let rows = |dice: &mut Dice| 1 + dice.below(1_500);
            (0..40)
                .map(|_| {
                    let rows = rows(dice);
                    batch(dice, rows, different)
                })
                .collect()
        };
        let tables = vec![table(&mut dice), table(&mut dice)];
        for sql in QUESTIONS {
            let (expected, found, shown) = both(tables.clone(), sql, usize::MAX).await;
            assert!(found.unwrap() == expected.unwrap(), "{sql}, {different} texts");
            if sql.contains("GROUP BY") || sql.contains("DISTINCT") {
                assert!(shown.contains("AlikeExec"), "{sql}\n{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_the_engine_goes_on_and_no_row_is_lost() {
    let mut dice = Dice(13);
    let tables: Vec<Vec<RecordBatch>> =
        (0..2).map(|_| (0..30).map(|_| batch(&mut dice, 1_000, 200)).collect()).collect();
    let sql = "SELECT name, other, count(*), sum(n) FROM t GROUP BY name, other";
    let expected = both(tables.clone(), sql, usize::MAX).await.0.unwrap();
    let (mut answered, mut refused) = (0, 0);
    for bytes in [100_000, 300_000, 600_000, 1_000_000, 2_000_000, 4_000_000] {
        match both(tables.clone(), sql, bytes).await.1 {
            Ok(found) => {
                assert!(found == expected, "{bytes} bytes");
                answered += 1;
            }
            Err(error) => {
                let error = error.strip_backtrace();
                assert!(error.contains("Resources exhausted"), "{bytes} bytes: {error}");
                refused += 1;
            }
        }
    }
    assert!(answered > 1 && refused > 0, "{answered} answered, {refused} refused");
}

#[test]
fn long_texts_are_as_many_kinds_as_there_are_texts() {
    let mut dice = Dice(14);
    let batch = batch(&mut dice, 1_000, 10);
    let names = batch.column(0).as_string_view();
    assert!(names.iter().flatten().any(|name| name.len() > 12), "long ones are in the buffers");
    let kinds = Sorter::new().kinds(&[Arc::clone(batch.column(0))]).unwrap();
    assert_eq!(kinds.firsts.len(), 11, "ten texts and NULL");
}
