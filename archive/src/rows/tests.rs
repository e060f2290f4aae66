//! Rows of batches against rows written out by hand.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{Field, Schema};
use common::schema::file_schema;

use super::*;

fn flags(rows: &[Option<&[&str]>]) -> ArrayRef {
    let item = Field::new("element", DataType::Utf8, false);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    for row in rows {
        for item in row.iter().copied().flatten() {
            lists.values().append_value(item);
        }
        lists.append(row.is_some());
    }
    Arc::new(lists.finish())
}

/// A batch of these columns alone, which a file never is.
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Two rows: one with a value of every type, one with few.
fn two_rows() -> Vec<(&'static str, ArrayRef)> {
    let times = TimestampMicrosecondArray::from(vec![1_793_614_531_004_321, 1]);
    let times = times.with_timezone("UTC");
    vec![
        ("segment_row", Arc::new(Int64Array::from(vec![0, 1])) as ArrayRef),
        ("segment", Arc::new(StringArray::from(vec!["s", "s"]))),
        ("mtls", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("event_time", Arc::new(times)),
        ("mesh", Arc::new(StringArray::from(vec!["istio", ""]))),
        ("http_status", Arc::new(Int32Array::from(vec![Some(403), None]))),
        ("response_flags", flags(&[Some(&["UAEX", ""]), Some(&[])])),
        ("user_groups", flags(&[None, Some(&["a"])])),
        ("url_path", Arc::new(StringArray::from(vec![Some("/caf\u{e9}"), None]))),
        ("url_query", Arc::new(StringArray::from(vec![Some(""), None]))),
        ("user_agent", Arc::new(StringArray::from(vec![Some("a".repeat(200)), None]))),
        ("duration_us", Arc::new(Int64Array::from(vec![Some(-1), None]))),
    ]
}

fn leaves(batch: &RecordBatch) -> Vec<Hash> {
    RowHasher::new(key()).push(batch).unwrap()
}

/// docs/format.md, appendix B.9.
fn key() -> RowKey {
    "cb89c1f963808b5e589d5bcd55dac3a2e51795dbccb38e9d25644043aed3dcf2".parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_row_is_its_fields_in_ascending_order_without_its_place_and_nulls() {
    let rows = CanonicalRows::of(&batch(two_rows())).unwrap();
    // docs/format.md, appendix B.10.
    let first = rows.row(0).unwrap();
    assert_eq!(hex(&first.shared), "0705697374696f3f00000000000001934b020455414558004f01");
    assert_eq!(
        Sha256Digest::of(&first.own).to_hex(),
        "c105471c26c04ef00a19b9970456872a75a6623c286ae821ea80129365f8cd23"
    );
    let second = rows.row(1).unwrap();
    assert_eq!(hex(&second.shared), "07001e0101614b00");
    assert_eq!(hex(&second.own), "030000000000000001");
    assert_eq!(rows.row(2), None);
    let expected = "5fe1ac67401f41a22a4dad50fbbdcb5ebdb47fa95ed05fac7427d45dda3a5dc6";
    assert_eq!(hex(leaves(&batch(two_rows()))[0].as_bytes()), expected);
}

#[test]
fn a_column_that_comes_later_changes_no_leaf() {
    let before = leaves(&batch(two_rows()));
    let mut columns = two_rows();
    let absent: Vec<_> = COLUMNS
        .iter()
        .filter(|column| columns.iter().all(|(name, _)| *name != column.name))
        .collect();
    for column in absent {
        columns.push((column.name, new_null_array(&column.kind.arrow(), 2)));
        assert_eq!(leaves(&batch(columns.clone())), before, "{}", column.name);
    }
    columns.reverse();
    assert_eq!(leaves(&batch(columns)), before);
}

#[test]
fn every_value_and_every_place_counts() {
    let full: Vec<(&str, ArrayRef)> = COLUMNS
        .iter()
        .map(|column| {
            let array: ArrayRef = match column.kind {
                ColumnType::Utf8 => Arc::new(StringArray::from(vec!["a", "b"])),
                ColumnType::Int32 => Arc::new(Int32Array::from(vec![1, 2])),
                ColumnType::Int64 => Arc::new(Int64Array::from(vec![1, 2])),
                ColumnType::Boolean => Arc::new(BooleanArray::from(vec![false, true])),
                ColumnType::Timestamp => {
                    Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC"))
                }
                ColumnType::ListUtf8 => flags(&[Some(&[]), Some(&["a"])]),
            };
            (column.name, array)
        })
        .collect();
    let root = |batch: &RecordBatch| {
        let mut hasher = RowHasher::new(key());
        let _ = hasher.push(batch).unwrap();
        hasher.root()
    };
    let batch_of = |columns: Vec<(&str, ArrayRef)>| {
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(file_schema(), arrays).unwrap()
    };
    let whole = batch_of(full.clone());
    let before = root(&whole);
    for (index, column) in COLUMNS.iter().enumerate() {
        let mut changed = full.clone();
        // Both rows get the second row's value.
        let array = &changed[index].1;
        let twice = arrow::compute::concat(&[&array.slice(1, 1), &array.slice(1, 1)]).unwrap();
        changed[index].1 = twice;
        let is_place = matches!(column.name, "segment" | "segment_row");
        assert_eq!(root(&batch_of(changed)) == before, is_place, "{}", column.name);
    }
    // The order of the rows counts, the batches they come in do not.
    let (first, second) = (whole.slice(0, 1), whole.slice(1, 1));
    let in_order = |batches: [&RecordBatch; 2]| {
        let mut hasher = RowHasher::new(key());
        batches.iter().for_each(|batch| drop(hasher.push(batch).unwrap()));
        (hasher.rows(), hasher.root())
    };
    assert_eq!(in_order([&first, &second]), (2, before));
    assert_ne!(in_order([&second, &first]), (2, before));
}

#[test]
fn what_can_not_be_hashed_whole_is_refused() {
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let refused = |columns: Vec<(&str, ArrayRef)>, expected: &str| {
        let error = CanonicalRows::of(&batch(columns)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(vec![("password", text(vec!["x"]))], "a column of mesh_events");
    refused(vec![("http_status", text(vec!["200"]))], "the type Int32");
    refused(vec![("mesh", text(vec!["x"])), ("mesh", text(vec!["y"]))], "each column once");
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.values().append_null();
    lists.append(true);
    refused(vec![("user_groups", Arc::new(lists.finish()))], "List");
    let pair = |value: &str| KeyValue::new(ROW_KEY.to_owned(), value.to_owned());
    let good = key().to_hex();
    assert_eq!(row_key(Some(&vec![pair(&good)])).unwrap(), key());
    for bad in [vec![], vec![pair(&good), pair(&good)], vec![pair("00")], vec![pair(&good[1..])]] {
        let error = row_key(Some(&bad)).unwrap_err().to_string();
        assert!(!error.contains(&good[1..]), "{error}");
    }
}
