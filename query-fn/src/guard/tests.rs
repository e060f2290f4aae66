//! What guards know of functions, and what they foresee.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, Int64Array, StringArray, StringViewArray};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ColumnarValue;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

use super::forecast::{Argument, bytes_of, of_all, of_row};
use super::*;

/// Functions that make no more than their arguments, or something of a fixed size, in one look.
const HARMLESS: &str = "abs acos acosh array_any_value array_avg array_compact array_dims \
    array_distance array_distinct array_element array_empty array_has array_length array_max \
    array_min array_ndims array_normalize array_pop_back array_pop_front array_position \
    array_positions array_product array_remove array_remove_all array_remove_n array_reverse \
    array_slice array_sort array_sum arrow_cast arrow_field arrow_metadata arrow_try_cast \
    arrow_typeof ascii asin asinh atan atan2 atanh bit_length btrim cardinality cast_to_type cbrt \
    ceil character_length chr coalesce contains cos cosh cosine_distance cot current_date \
    current_time date_bin date_part date_trunc degrees digest empty ends_with exp factorial \
    file_row_index find_in_set floor from_unixtime gcd get_field greatest initcap inner_product \
    input_file_name isnan iszero lcm least left ln log log10 log2 lower ltrim make_date make_time \
    map_entries map_extract map_keys map_values md5 nanvl now nullif nvl nvl2 octet_length pi \
    power radians random reverse right round rtrim sha224 sha256 sha384 sha512 signum sin sinh \
    split_part sqrt starts_with strpos substr substr_index tan tanh to_date to_hex to_local_time \
    to_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos \
    to_timestamp_seconds to_unixtime trunc try_cast_to_type union_extract union_tag upper uuid \
    version with_metadata";

#[test]
fn every_function_of_the_engine_is_known() {
    let state = SessionStateBuilder::new_with_default_features().build();
    let there: BTreeSet<&str> = state.scalar_functions().values().map(|f| f.name()).collect();
    let harmless: BTreeSet<&str> = HARMLESS.split_whitespace().collect();
    let guarded: BTreeSet<&str> = GUARDED.iter().copied().collect();
    let unknown: Vec<&&str> =
        there.iter().filter(|f| !harmless.contains(*f) && !guarded.contains(*f)).collect();
    assert!(unknown.is_empty(), "new functions, guarded or harmless: {unknown:?}");
    let gone: Vec<&&str> = guarded.iter().filter(|f| !there.contains(*f)).collect();
    assert!(gone.is_empty(), "guarded, but not there: {gone:?}");
    assert!(harmless.is_disjoint(&guarded));
}

fn array(values: &[&str]) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(StringViewArray::from(values.to_vec())))
}

fn number(number: i64) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))
}

fn args(values: &[ColumnarValue]) -> Vec<Argument> {
    values.iter().map(|value| Argument::of(value).unwrap()).collect()
}

#[test]
fn what_a_call_makes_is_foreseen() {
    let texts = array(&["ab", "abcd"]);
    let repeated = args(&[texts.clone(), number(1_000_000_000)]);
    assert_eq!(of_row("repeat", &repeated, 1).0, 4_000_000_000);
    assert!(of_all("repeat", &repeated, 2).unwrap().0 >= 6_000_000_000);
    let each = ColumnarValue::Array(Arc::new(Int64Array::from(vec![3, -1])) as ArrayRef);
    let repeated = args(&[texts.clone(), each]);
    assert_eq!((of_row("repeat", &repeated, 0).0, of_row("repeat", &repeated, 1).0), (6, 0));
    assert_eq!(of_all("repeat", &repeated, 2), None, "row by row");
    let padded = args(&[texts, number(100)]);
    assert!(of_row("lpad", &padded, 0).0 >= 400);
    let range = args(&[number(1), number(1_000_000_000_000)]);
    assert!(of_row("range", &range, 0).0 > 8_000_000_000_000);
    let far = args(&[number(i64::MIN), number(i64::MAX), number(-1)]);
    assert!(of_row("generate_series", &far, 0).0 > u128::from(u64::MAX));
}

#[test]
fn values_that_are_shared_count_as_often_as_they_are_there() {
    let long = "x".repeat(1_000);
    let plain = StringArray::from(vec![long.as_str(); 50]);
    let shared = ScalarValue::Utf8View(Some(long)).to_array_of_size(50).unwrap();
    assert_eq!(bytes_of(&plain), 50 * 1_008);
    assert_eq!(bytes_of(&shared), 50 * 1_008);
    assert_eq!(bytes_of(&plain.slice(10, 3)), 3 * 1_008);
}

async fn run(sql: &str, memory_bytes: usize) -> Result<String, DataFusionError> {
    let session = SessionContext::new();
    let state = session.state();
    let plan = state.create_logical_plan(sql).await?;
    let room = Room { memory_bytes, threads: 2 };
    let (plan, _) =
        guarded(plan, room, &Stop::default()).map_err(|e| DataFusionError::Plan(e.to_string()))?;
    let plan = state.optimize(&plan)?;
    let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
    let plan = guarded_plan(plan, room, &Stop::default())?;
    let batches = datafusion::physical_plan::collect(plan, state.task_ctx()).await?;
    Ok(arrow::util::pretty::pretty_format_batches(&batches)?.to_string())
}

#[tokio::test]
async fn guarded_calls_answer_as_before_under_their_own_names() {
    for sql in [
        "SELECT 'a' || 'b', concat('a', NULL, 'c'), repeat('ab', 3), lpad('x', 5, '-')",
        "SELECT x || y, NULL || x FROM (VALUES ('a', 'b'), (NULL, 'c')) AS t(x, y)",
        "SELECT array_repeat(value, 3), range(1, value) FROM range(2, 5)",
        "SELECT regexp_replace(x, '(a)(b)', '\\2\\1', 'g') AS r FROM (VALUES ('abab')) AS t(x)",
        "SELECT make_array(1, 2) || 3, array_to_string(make_array('a', 'b'), '-')",
        "SELECT x || '!' AS y, count(*) FROM (VALUES ('a'), ('a')) AS t(x) GROUP BY x || '!'",
    ] {
        let session = SessionContext::new();
        let plain = session.sql(sql).await.unwrap().collect().await.unwrap();
        let plain = arrow::util::pretty::pretty_format_batches(&plain).unwrap().to_string();
        assert_eq!(run(sql, 1 << 30).await.unwrap(), plain, "{sql}");
    }
}

#[tokio::test]
async fn what_would_make_too_much_is_refused_before_it_does() {
    for sql in [
        "SELECT repeat('a', 1000000000)",
        "SELECT max(octet_length(repeat(CAST(value AS VARCHAR), 10000000))) FROM range(1, 100)",
        "SELECT cardinality(range(1, 1000000000000))",
        "SELECT lpad('a', 2147483647)",
    ] {
        let error = run(sql, 64 << 20).await.unwrap_err();
        assert!(
            matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)),
            "{sql}: {error}"
        );
    }
}
