//! Files against a model of their rows, read back with the library's reader.

use arrow::array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::*;
use crate::rows::row_root;
use common::DeliveryId;
use common::row::RowSeed;

/// A value of the model.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(String),
    Int(i64),
    Bool(bool),
    List(Vec<String>),
}

/// Numbers that look random, from a seed that a failure prints.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    /// A value for a column, by a habit that the column keeps: constant, few values, hardly
    /// repeating, long, or mostly NULL.
    fn cell(&mut self, index: usize, row: usize) -> Option<Cell> {
        let column = &COLUMNS[index];
        let habit = index % 7;
        if column.nullable && (habit == 6 || (habit == 4 && self.below(3) > 0)) {
            return None;
        }
        let number = match habit {
            0 => 7,
            1 => row / 100 % 3,
            2 => self.below(50),
            3 => self.below(1 << 30),
            _ => self.below(3000),
        };
        Some(match column.kind {
            ColumnType::Utf8 if habit == 5 && number % 97 == 0 => {
                Cell::Text(format!("é{number}").repeat(40 + number % 50))
            }
            ColumnType::Utf8 => Cell::Text("v".repeat(number % 40) + &number.to_string()),
            ColumnType::Boolean => Cell::Bool(number % 3 == 1),
            ColumnType::ListUtf8 => {
                Cell::List((0..number % 4).map(|item| format!("i{item}")).collect())
            }
            _ => Cell::Int(number as i64),
        })
    }
}

fn set(encoder: &mut SegmentEncoder, index: usize, cell: &Cell) {
    match (cell, COLUMNS[index].kind) {
        (Cell::Text(text), _) => encoder.text(index, text.as_bytes()),
        (Cell::Int(number), ColumnType::Int32) => encoder.int32(index, *number as i32),
        (Cell::Int(number), _) => encoder.int64(index, *number),
        (Cell::Bool(value), _) => encoder.bool(index, *value),
        (Cell::List(items), _) => encoder.list(index, items.iter().map(String::as_bytes)),
    }
}

fn segment() -> (SegmentId, EventDate) {
    let date = EventDate::of_micros(0);
    (SegmentId::of(DeliveryId(Sha256Digest::of(b"d")), date), date)
}

fn key() -> RowKey {
    RowKey::of_segment(RowSeed::new([9; 32]), segment().0)
}

/// Closes the file, whose row root is that of its rows.
fn finish(encoder: SegmentEncoder) -> EncodedFile {
    let file = encoder.finish().unwrap();
    assert_eq!(row_root(file.bytes.clone()).unwrap(), file.entry.row_root);
    file
}

/// Rows of the model and the file made of them.
fn encode(seed: u64, rows: usize) -> (Vec<Vec<Option<Cell>>>, EncodedFile) {
    eprintln!("seed {seed}, {rows} rows");
    let mut random = Random(seed);
    let (segment, date) = segment();
    let mut encoder = SegmentEncoder::new(segment, date, key()).unwrap();
    let mut model = Vec::new();
    for row in 0..rows {
        let cells: Vec<_> = (0..COLUMNS.len()).map(|index| random.cell(index, row)).collect();
        for (index, cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                set(&mut encoder, index, cell);
                // A second value in the same row is not taken.
                if random.below(50) == 0 {
                    set(&mut encoder, index, cell);
                }
            }
        }
        encoder.end_row().unwrap();
        model.push(cells);
    }
    (model, finish(encoder))
}

fn cell(batch: &RecordBatch, index: usize, row: usize) -> Option<Cell> {
    let array = batch.column(index);
    array.is_valid(row).then(|| match COLUMNS[index].kind {
        ColumnType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        ColumnType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        ColumnType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        ColumnType::Timestamp => {
            Cell::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        ColumnType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        ColumnType::ListUtf8 => {
            let items = array.as_list::<i32>().value(row);
            let items = items.as_string::<i32>().iter();
            Cell::List(items.map(|item| item.unwrap().to_owned()).collect())
        }
    })
}

fn reader(bytes: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap()
}

#[test]
fn rows_come_back_as_they_went_in() {
    for (seed, rows) in [(1, 1), (2, 9), (3, 1000), (4, PAGE_ROWS), (5, PAGE_ROWS * 2 + 17)] {
        let (model, file) = encode(seed, rows);
        let mut row = 0;
        for batch in reader(&file.bytes).with_batch_size(5000).build().unwrap() {
            let batch = batch.unwrap();
            for of_batch in 0..batch.num_rows() {
                for (index, column) in COLUMNS.iter().enumerate() {
                    let found = cell(&batch, index, of_batch);
                    assert_eq!(found, model[row][index], "{} in row {row}", column.name);
                }
                row += 1;
            }
        }
        assert_eq!((row, file.entry.rows), (rows, rows as u64));
    }
}

#[test]
fn a_row_alone_is_found_by_the_offset_index() {
    let rows = PAGE_ROWS * 2 + 17;
    let (model, file) = encode(6, rows);
    for wanted in [0, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, rows - 1] {
        let selection =
            RowSelection::from_consecutive_ranges(std::iter::once(wanted..wanted + 1), rows);
        let mut batches = reader(&file.bytes).with_row_selection(selection).build().unwrap();
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.num_rows(), 1);
        for (index, expected) in model[wanted].iter().enumerate() {
            assert_eq!(&cell(&batch, index, 0), expected, "{}, row {wanted}", COLUMNS[index].name);
        }
    }
}

#[test]
fn the_column_index_bounds_every_page() {
    let (model, file) = encode(8, PAGE_ROWS * 2 + 17);
    let reader = reader(&file.bytes);
    let metadata = reader.metadata();
    let columns = &metadata.column_index().unwrap()[0];
    let offsets = &metadata.offset_index().unwrap()[0];
    let mut pages_seen = 0;
    for (index, column) in COLUMNS.iter().enumerate() {
        let ColumnIndexMetaData::BYTE_ARRAY(bounds) = &columns[index] else { continue };
        if column.kind != ColumnType::Utf8 {
            continue;
        }
        let firsts: Vec<usize> = offsets[index]
            .page_locations()
            .iter()
            .map(|page| page.first_row_index as usize)
            .collect();
        for (page, &first) in firsts.iter().enumerate() {
            let end = firsts.get(page + 1).copied().unwrap_or(model.len());
            let texts = model[first..end].iter().filter_map(|row| match &row[index] {
                Some(Cell::Text(text)) => Some(text.as_bytes()),
                _ => None,
            });
            let count = texts.clone().count();
            assert_eq!(bounds.null_count(page), Some((end - first - count) as i64));
            assert_eq!(bounds.is_null_page(page), count == 0, "{}", column.name);
            for text in texts {
                assert!(bounds.min_value(page).unwrap() <= text, "{}", column.name);
                assert!(bounds.max_value(page).unwrap() >= text, "{}", column.name);
            }
            pages_seen += 1;
        }
    }
    assert!(pages_seen > 100, "{pages_seen}");
}

#[test]
fn statistics_are_those_of_the_rows() {
    let (model, file) = encode(9, 5000);
    for (index, column) in COLUMNS.iter().enumerate().filter(|(_, column)| column.stats) {
        let stats = &file.entry.stats[column.name];
        let cells: Vec<&Cell> = model.iter().filter_map(|row| row[index].as_ref()).collect();
        assert_eq!(stats.nulls, (model.len() - cells.len()) as u64, "{}", column.name);
        let text = |cell: &&Cell| match cell {
            Cell::Text(text) => StatValue::Text(text.clone()),
            Cell::Int(number) => StatValue::Int(*number),
            Cell::Bool(value) => StatValue::Bool(*value),
            Cell::List(_) => panic!("no statistics of lists"),
        };
        let values = cells.iter().map(text);
        let key = |value: &StatValue| match value {
            StatValue::Text(text) => (text.clone(), 0),
            StatValue::Int(number) => (String::new(), *number),
            StatValue::Bool(value) => (String::new(), i64::from(*value)),
        };
        let short = |value: &StatValue| !matches!(value, StatValue::Text(text) if text.len() > STATS_STRING_BYTES_MAX);
        // A bound too long is left out, never cut.
        assert_eq!(stats.min, values.clone().min_by_key(key).filter(short), "{}", column.name);
        assert_eq!(stats.max, values.max_by_key(key).filter(short), "{}", column.name);
    }
}

#[test]
fn batches_make_the_same_file_as_values() {
    let (_, file) = encode(10, 3000);
    let (segment, date) = segment();
    let mut encoder = SegmentEncoder::new(segment, date, key()).unwrap();
    for batch in reader(&file.bytes).with_batch_size(700).build().unwrap() {
        encoder.write(&batch.unwrap()).unwrap();
    }
    assert_eq!(encoder.finish().unwrap().entry, file.entry);
}

#[test]
fn a_dictionary_that_grows_too_large_gives_way_to_plain_values() {
    let (segment, date) = segment();
    let mut encoder = SegmentEncoder::new(segment, date, key()).unwrap();
    let path = common::schema::column_index("url_path").unwrap();
    let mut random = Random(11);
    let mut expected = Vec::new();
    for row in 0..PAGE_ROWS * 3 {
        // Few values in the first page, then ever new ones of 200 bytes.
        let number = if row < PAGE_ROWS { row % 5 } else { row };
        let value = format!("/{number:0200}");
        let cells: Vec<_> = (0..COLUMNS.len()).map(|index| random.cell(index, row)).collect();
        encoder.text(path, value.as_bytes());
        for (index, column) in COLUMNS.iter().enumerate().filter(|(_, column)| !column.nullable) {
            set(
                &mut encoder,
                index,
                cells[index].as_ref().unwrap_or_else(|| panic!("{}", column.name)),
            );
        }
        encoder.end_row().unwrap();
        expected.push(value);
    }
    let file = finish(encoder);
    let reader = reader(&file.bytes);
    let chunk = reader.metadata().row_group(0).column(path);
    let encodings: Vec<Encoding> = chunk.encodings().collect();
    assert!(encodings.contains(&Encoding::RLE_DICTIONARY) && encodings.contains(&Encoding::PLAIN));
    // Plain pages stay near their limit, so that one row costs little to read.
    let pages = reader.metadata().offset_index().unwrap()[0][path].page_locations().len();
    assert!(pages >= 8, "{pages}");
    let mut found = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let texts = batch.column(path).as_string::<i32>();
        found.extend(texts.iter().map(|text| text.unwrap().to_owned()));
    }
    assert_eq!(found, expected);
}

#[test]
fn a_required_column_without_a_value_is_an_error_that_names_it() {
    let (segment, date) = segment();
    let mut encoder = SegmentEncoder::new(segment, date, key()).unwrap();
    encoder.end_row().unwrap();
    let error = encoder.finish().unwrap_err().to_string();
    assert!(error.contains("segment: expected a value a row, 1 rows have none"), "{error}");
}

#[test]
fn texts_that_hardly_repeat_are_plain_and_known_to_their_filters() {
    let (segment, date) = segment();
    let mut encoder = SegmentEncoder::new(segment, date, key()).unwrap();
    let of = |name| common::schema::column_index(name).unwrap();
    let (request, trace, raw) = (of("request_id"), of("trace_id"), of("raw"));
    let mut random = Random(12);
    let rows = PAGE_ROWS + 500;
    let mut model = Vec::new();
    for row in 0..rows {
        let length = if row % 5000 == 7 { 3 << 20 } else { random.below(700) };
        let text = (random.below(4) > 0).then(|| format!("{row:08}{}", "é".repeat(length / 2)));
        let cells = [Some(format!("request-{row}")), None, text];
        for (column, value) in [request, trace, raw].into_iter().zip(&cells) {
            if let Some(value) = value {
                encoder.text(column, value.as_bytes());
                encoder.text(column, b"a second value");
            }
        }
        for (index, _) in COLUMNS.iter().enumerate().filter(|(_, column)| !column.nullable) {
            set(&mut encoder, index, &random.cell(index, row).unwrap());
        }
        encoder.end_row().unwrap();
        // A page, a long value, the room for both, and the filters.
        assert!(encoder.memory_bytes() < 64 << 20);
        model.push(cells);
    }
    let file = finish(encoder);
    let found = reader(&file.bytes);
    for column in [request, raw] {
        let chunk = found.metadata().row_group(0).column(column);
        assert!(!chunk.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY));
        let texts =
            model.iter().filter_map(|cells| cells[if column == raw { 2 } else { 0 }].as_ref());
        let statistics = chunk.statistics().unwrap();
        let (min, max) = (statistics.min_bytes_opt().unwrap(), statistics.max_bytes_opt().unwrap());
        assert!(min.len() <= STATS_STRING_BYTES_MAX && max.len() <= STATS_STRING_BYTES_MAX);
        assert!(texts.clone().all(|text| min <= text.as_bytes() && text.as_bytes() <= max));
        let is_exact = |bound: &[u8]| texts.clone().any(|text| text.as_bytes() == bound);
        assert!(!statistics.min_is_exact() || is_exact(min));
        assert!(!statistics.max_is_exact() || is_exact(max));
    }
    let pages = found.metadata().offset_index().unwrap()[0][raw].page_locations().len();
    assert!(pages >= 5, "{pages}");
    let filter = found.get_row_group_column_bloom_filter(0, request).unwrap().unwrap();
    assert!((0..rows).all(|row| filter.check(format!("request-{row}").as_bytes())));
    let wrong = (0..10_000).filter(|other| filter.check(format!("other-{other}").as_bytes()));
    assert!(wrong.count() < 300);
    assert!(found.get_row_group_column_bloom_filter(0, raw).unwrap().is_none());
    let mut row = 0;
    for batch in found.build().unwrap() {
        let batch = batch.unwrap();
        for of_batch in 0..batch.num_rows() {
            for (column, value) in [request, trace, raw].into_iter().zip(&model[row]) {
                assert_eq!(cell(&batch, column, of_batch), value.clone().map(Cell::Text));
            }
            row += 1;
        }
    }
    assert_eq!(row, rows);
}
