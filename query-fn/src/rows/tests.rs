//! Every form with expected bytes written out.

use arrow::array::{
    BinaryViewArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, Utf8Type};
use arrow::ipc::reader::StreamReader;

use super::hazard::push_visible;
use super::*;

fn write(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    write_to(Destination::Program, format, batches)
}

fn write_to(destination: Destination, format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut sink = Vec::new();
    let mut writer = RowWriter::new(format, &batches[0].schema(), destination, &mut sink).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(writer.finish().unwrap(), u64::try_from(rows).unwrap());
    sink
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(write(format, batches)).unwrap()
}

fn all_types() -> RecordBatch {
    let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    lists.append_value([Some("a,\"b\""), Some("é")]);
    lists.append_null();
    let lists: ListArray = lists.finish();
    let dictionary: DictionaryArray<Int32Type> = vec![Some("d"), None].into_iter().collect();
    let berlin = TimestampNanosecondArray::from(vec![Some(1_793_577_600_000_001_999), None])
        .with_timezone("+01:00");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("x"), None]))),
        ("view", Arc::new(StringViewArray::from(vec![Some(""), Some("two words, \"quoted\"")]))),
        ("int", Arc::new(Int64Array::from(vec![Some(-7), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("real", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN)]))),
        ("dict", Arc::new(dictionary)),
        ("list", Arc::new(lists)),
        ("at", Arc::new(berlin)),
        ("naive", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None]))),
        ("day", Arc::new(arrow::array::Date32Array::from(vec![Some(20_759), None]))),
        ("bytes", Arc::new(BinaryViewArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn one_column(name: &str, values: Vec<&str>) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(values));
    RecordBatch::try_from_iter([(name, column)]).unwrap()
}

#[test]
fn json_lines_carry_every_type() {
    let expected = concat!(
        r#"{"text":"x","view":"","int":-7,"flag":true,"real":0.5,"dict":"d","list":["a,\"b\"","é"],"#,
        r#""at":"2026-11-02T00:00:00.000001Z","naive":"1969-12-31T23:59:59.999999","#,
        r#""day":"2026-11-02","bytes":"00ff"}"#,
        "\n",
        r#"{"text":null,"view":"two words, \"quoted\"","int":null,"flag":null,"real":null,"dict":null,"#,
        r#""list":null,"at":null,"naive":null,"day":null,"bytes":null}"#,
        "\n",
    );
    assert_eq!(text(Format::JsonLines, &[all_types()]), expected);
}

#[test]
fn csv_tells_null_from_empty_and_quotes_what_it_must() {
    let expected = concat!(
        "text,view,int,flag,real,dict,list,at,naive,day,bytes\n",
        "x,\"\",-7,true,0.5,d,\"[\"\"a,\\\"\"b\\\"\"\"\",\"\"é\"\"]\",",
        "2026-11-02T00:00:00.000001Z,1969-12-31T23:59:59.999999,2026-11-02,00ff\n",
        ",\"two words, \"\"quoted\"\"\",,,NaN,,,,,,\n",
    );
    assert_eq!(text(Format::Csv, &[all_types()]), expected);
}

#[test]
fn a_table_is_aligned() {
    let names: ArrayRef = Arc::new(StringViewArray::from(vec![Some("deny"), None, Some("ä")]));
    let counts: ArrayRef = Arc::new(Int32Array::from(vec![1, 2_000, 30]));
    let batch = RecordBatch::try_from_iter([("decision", names), ("n", counts)]).unwrap();
    let expected = "\
decision |    n
---------+-----
deny     |    1
NULL     | 2000
ä        |   30
(3 rows)
";
    assert_eq!(text(Format::Table, &[batch.slice(0, 1), batch.slice(1, 2)]), expected);
    assert_eq!(text(Format::Table, &[batch.slice(0, 0)]), "decision | n\n---------+--\n(0 rows)\n");
}

#[test]
fn nothing_hostile_reaches_a_terminal() {
    let hostile = "\u{1b}[2J\u{9b}31m\u{7}\r\n\t\u{202e}x\u{200b}\u{feff}\u{e0041}\u{7f}";
    let batch = one_column("\u{1b}]0;title\u{7}", vec![hostile]);
    let table = text(Format::Table, std::slice::from_ref(&batch));
    let json = text(Format::JsonLines, &[batch]);
    for shown in [&table, &json] {
        assert!(shown.chars().all(|c| c == '\n' || !is_hazard(c)), "{shown:?}");
    }
    assert!(table.contains("\\u{1b}[2J\\u{9b}31m\\u{7}\\r\\n\\t\\u{202e}x\\u{200b}"), "{table}");
    let read: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
    assert_eq!(read["\u{1b}]0;title\u{7}"], hostile, "JSON loses nothing");
}

#[test]
fn csv_is_exact_for_programs_and_harmless_on_a_terminal() {
    let batch = one_column("\u{1b}n", vec!["\u{1b}[2J\u{9b}31m\u{7}", "a\nb\u{ad},\"c\"", "plain"]);
    let exact = "\u{1b}n\n\u{1b}[2J\u{9b}31m\u{7}\n\"a\nb\u{ad},\"\"c\"\"\"\nplain\n";
    assert_eq!(text(Format::Csv, std::slice::from_ref(&batch)), exact);
    let shown = write_to(Destination::Terminal, Format::Csv, &[batch]);
    let expected = concat!(
        "\\u{1b}n\n",
        "\\u{1b}[2J\\u{9b}31m\\u{7}\n",
        "\"a\\nb\\u{ad},\"\"c\"\"\"\n",
        "plain\n",
    );
    assert_eq!(String::from_utf8(shown).unwrap(), expected);
}

#[test]
fn long_cells_are_cut_and_say_so() {
    let cut = |text: &str, max: usize| {
        let mut out = String::new();
        push_visible(text, max, &mut out);
        out
    };
    assert_eq!(cut("abcde", 5), "abcde");
    assert_eq!(cut("abcdef", 5), "abcd…");
    assert_eq!(cut("éééééé", 5), "éééé…");
    assert_eq!(cut("abc\u{1b}", 5), "abc…");
    let table = text(Format::Table, &[one_column("c", vec![&"x".repeat(1_000_000)])]);
    assert_eq!(table.lines().nth(2).unwrap().chars().count(), 100);
}

#[test]
fn columns_of_one_name_stay_apart_in_json() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let fields = ["a", "a", "a_2"].map(|name| Field::new(name, DataType::Int32, false));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let columns = vec![Arc::clone(&column), Arc::clone(&column), column];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    assert_eq!(text(Format::JsonLines, &[batch]), "{\"a\":1,\"a_3\":1,\"a_2\":1}\n");
}

#[test]
fn arrow_reads_back_with_plain_types() {
    let batch = all_types();
    let bytes = write(Format::Arrow, &[batch.clone(), batch.slice(1, 1)]);
    let read: Vec<RecordBatch> =
        StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    let kind = |name: &str| read[0].schema().field_with_name(name).unwrap().data_type().clone();
    assert_eq!(kind("view"), <Utf8Type as arrow::datatypes::ByteArrayType>::DATA_TYPE);
    assert_eq!(kind("bytes"), DataType::Binary);
    assert_eq!(kind("at"), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(text(Format::JsonLines, &read[..1]), text(Format::JsonLines, &[batch]));
}

#[test]
fn answers_without_columns_or_rows_are_written_in_every_form() {
    let empty = RecordBatch::new_empty(all_types().schema());
    let bare = RecordBatch::new_empty(Arc::new(Schema::empty()));
    for (name, format) in Format::ALL {
        assert_eq!(Format::of_name(name), Some(format));
        write(format, std::slice::from_ref(&empty));
        write(format, std::slice::from_ref(&bare));
    }
    assert_eq!(Format::of_name("xml"), None);
}
