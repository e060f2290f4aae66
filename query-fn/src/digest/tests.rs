//! Digests against the vectors of docs/receipts.md, and what may and may not change them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray, ListArray,
    NullArray, RecordBatch, RecordBatchOptions, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};

use super::*;

fn batch(columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let fields = columns.iter().enumerate();
    let fields: Vec<Field> = fields
        .map(|(n, column)| Field::new(format!("c{n}"), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).unwrap()
}

fn digest_of(batches: &[RecordBatch], is_ordered: bool) -> String {
    let mut digest = RowsDigest::new(&batches[0].schema(), is_ordered).unwrap();
    for batch in batches {
        digest.add(batch).unwrap();
    }
    let digested = digest.finish().unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(digested.rows, u64::try_from(rows).unwrap());
    digested.root.to_hex()
}

/// The digest of one column, in any order.
fn one(column: impl Into<ArrayRef>) -> String {
    let column = column.into();
    let rows = column.len();
    digest_of(&[batch(vec![column], rows)], false)
}

fn array(values: impl arrow::array::Array + 'static) -> ArrayRef {
    Arc::new(values)
}

fn utc(values: Vec<i64>) -> ArrayRef {
    array(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn list(items: ArrayRef, lengths: &[usize]) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    array(ListArray::new(field, offsets, items, None))
}

#[test]
fn the_vectors_of_the_page() {
    let page = include_str!("../../../docs/receipts.md");
    let vector = |number: usize| {
        let lines = page.lines().skip_while(|line| !line.starts_with("| answer | digest |"));
        let line = lines.skip(2).nth(number).unwrap();
        line.split('`').nth_back(1).unwrap().to_owned()
    };
    let numbers = |values: Vec<i64>| batch(vec![array(Int64Array::from(values))], 3);
    let none = batch(vec![array(Int64Array::from(Vec::<i64>::new()))], 0);
    assert_eq!(digest_of(std::slice::from_ref(&none), false), vector(0));
    assert_eq!(digest_of(&[none], true), vector(0));
    assert_eq!(one(array(Int64Array::from(vec![1]))), vector(1));
    assert_eq!(digest_of(&[numbers(vec![2, 1, 2])], false), vector(2));
    assert_eq!(digest_of(&[numbers(vec![1, 2, 2])], true), vector(3));
    assert_eq!(digest_of(&[numbers(vec![2, 1, 2])], true), vector(4));
    assert_ne!(vector(3), vector(4));
    let texts = array(StringViewArray::from(vec!["deny", ""]));
    let statuses = array(Int32Array::from(vec![Some(403), None]));
    assert_eq!(digest_of(&[batch(vec![texts, statuses], 2)], false), vector(5));
    let columns = vec![
        utc(vec![1_793_614_531_004_321]),
        list(array(StringArray::from(vec![Some("UAEX"), None])), &[2]),
        array(Float64Array::from(vec![-0.0])),
        array(BooleanArray::from(vec![true])),
        array(Date32Array::from(vec![20_759])),
    ];
    assert_eq!(digest_of(&[batch(columns, 1)], true), vector(6));
    let money = Decimal128Array::from(vec![-150]).with_precision_and_scale(10, 2).unwrap();
    let columns = vec![
        array(money),
        array(BinaryArray::from(vec![&b"\x00\xff"[..]])),
        array(UInt64Array::from(vec![u64::MAX])),
        array(TimestampSecondArray::from(vec![-1])),
    ];
    assert_eq!(digest_of(&[batch(columns, 1)], false), vector(7));
}

#[test]
fn neither_kinds_of_arrays_nor_batches_nor_order_change_a_digest() {
    let words = ["allow", "deny", "", "a text of more than twelve bytes", "deny"];
    let plain = one(array(StringArray::from(words.to_vec())));
    let mut reversed = words;
    reversed.reverse();
    for other in [
        array(LargeStringArray::from(words.to_vec())),
        array(StringViewArray::from(words.to_vec())),
        array(words.into_iter().collect::<DictionaryArray<Int32Type>>()),
        array(StringArray::from(reversed.to_vec())),
    ] {
        assert_eq!(one(Arc::clone(&other)), plain, "{}", other.data_type());
    }
    let whole = batch(vec![array(StringArray::from(words.to_vec()))], 5);
    for length in 1..5 {
        let slices: Vec<RecordBatch> =
            (0..5).step_by(length).map(|begin| whole.slice(begin, length.min(5 - begin))).collect();
        assert_eq!(digest_of(&slices, false), plain, "batches of {length}");
        assert_eq!(digest_of(&slices, true), digest_of(std::slice::from_ref(&whole), true));
    }
    assert_ne!(digest_of(&[whole], true), plain, "these hashes are not in this order");
    // Slices of lists, whose items begin elsewhere.
    let items = array(StringArray::from(vec!["a", "b", "c", "d"]));
    let lists = batch(vec![list(items, &[1, 0, 2, 1])], 4);
    let halves = [lists.slice(0, 2), lists.slice(2, 2)];
    assert_eq!(digest_of(&halves, true), digest_of(&[lists], true));
    // Widths of numbers; what is no number; moments of other units and zones.
    assert_eq!(one(array(Int8Array::from(vec![-3]))), one(array(Int64Array::from(vec![-3]))));
    assert_eq!(
        one(array(Float32Array::from(vec![-f32::NAN, 1.5]))),
        one(array(Float64Array::from(vec![1.5, f64::from_bits(0x7ff8_0000_0000_0001)])))
    );
    let nanos = TimestampNanosecondArray::from(vec![1_000_999]).with_timezone("+02:00");
    assert_eq!(one(array(nanos)), one(utc(vec![1_000])));
    let money = |value, scale| {
        one(array(Decimal128Array::from(vec![value]).with_precision_and_scale(9, scale).unwrap()))
    };
    assert_ne!(money(15, 1), money(150, 2), "the scale is a part of the type");
}

#[test]
fn different_rows_have_different_digests() {
    let texts = |values: Vec<Option<&str>>| array(StringArray::from(values));
    let pair = |a: &str, b: &str| {
        digest_of(&[batch(vec![texts(vec![Some(a)]), texts(vec![Some(b)])], 1)], false)
    };
    let fields = || vec![Field::new("x", DataType::Utf8, true)];
    let structs = |value| array(StructArray::new(fields().into(), vec![texts(vec![value])], None));
    let no_struct = StructArray::new_null(fields().into(), 1);
    let all = [
        one(texts(vec![Some("")])),
        one(texts(vec![None])),
        one(texts(vec![None, None])),
        one(texts(vec![Some("a")])),
        one(texts(vec![Some("a"), Some("a")])),
        one(texts(vec![Some("a"), Some("a"), Some("a")])),
        pair("ab", "c"),
        pair("a", "bc"),
        pair("", "abc"),
        one(list(texts(vec![]), &[0])),
        one(list(texts(vec![None]), &[1])),
        one(list(texts(vec![Some("")]), &[1])),
        one(list(texts(vec![Some("a"), Some("b")]), &[1, 1])),
        one(list(texts(vec![Some("a"), Some("b")]), &[2, 0])),
        one(list(texts(vec![Some("a"), Some("b")]), &[2])),
        one(structs(None)),
        one(structs(Some(""))),
        one(array(BinaryArray::from(vec![&b"a"[..]]))),
        one(array(Int64Array::from(vec![97]))),
        one(array(UInt64Array::from(vec![97]))),
        one(array(Float64Array::from(vec![97.0]))),
        one(array(Date32Array::from(vec![97]))),
        one(array(BooleanArray::from(vec![true]))),
        one(utc(vec![97])),
        one(array(TimestampMicrosecondArray::from(vec![97]))),
    ];
    for (n, digest) in all.iter().enumerate() {
        assert!(!all[..n].contains(digest), "digest {n} is there already");
    }
    // NULL is NULL, whatever it is of; then the type of the column tells.
    assert_eq!(one(array(NullArray::new(1))), one(texts(vec![None])));
    assert_eq!(one(array(no_struct)), one(texts(vec![None])));
}

#[test]
fn what_has_no_encoding_is_refused_before_any_row() {
    let runs = DataType::RunEndEncoded(
        Arc::new(Field::new("ends", DataType::Int32, false)),
        Arc::new(Field::new("values", DataType::Utf8, true)),
    );
    for kind in [runs.clone(), DataType::List(Arc::new(Field::new("item", runs, true)))] {
        let schema = Schema::new(vec![Field::new("odd", kind, true)]);
        let error = RowsDigest::new(&schema, false).unwrap_err();
        assert_eq!(error.code(), Code::Refused);
        assert!(error.to_string().contains("column odd"), "{error}");
    }
}

#[test]
fn types_are_named_as_the_page_has_them() {
    let list = |inner| DataType::List(Arc::new(Field::new("item", inner, true)));
    let pair = vec![
        Field::new("a \"b\"", DataType::Utf8View, true),
        Field::new("n", DataType::UInt8, true),
    ];
    for (kind, name) in [
        (DataType::Int32, "Int32"),
        (DataType::Float16, "Float16"),
        (DataType::LargeUtf8, "Utf8"),
        (DataType::FixedSizeBinary(4), "Binary"),
        (DataType::Decimal256(40, -2), "Decimal(40, -2)"),
        (DataType::Date64, "Date"),
        (DataType::Timestamp(arrow::datatypes::TimeUnit::Second, None), "Timestamp(s)"),
        (list(list(DataType::Utf8View)), "List(List(Utf8))"),
        (DataType::Struct(pair.into()), "Struct(\"a \\\"b\\\"\": Utf8, \"n\": UInt8)"),
        (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "Utf8"),
    ] {
        assert_eq!(type_name(&kind).as_deref(), Some(name), "{kind}");
    }
}
