//! Archives of random rows, really written, sealed and opened, in files of many small row groups
//! and pages; and their rows, read back by the library's plain reader.

use std::ops::Range;
use std::sync::Arc;

use archive::encode::file_stats;
use archive::sample::{self, SampleUnit};
use archive::{SegmentEncoder, Snapshot};
use arrow::array::new_null_array;
use common::row::{RowKey, RowSeed};
use common::schema::COLUMNS as TABLE_COLUMNS;
use datafusion::parquet::file::properties::EnabledStatistics;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::parquet::record::Field as Stored;
use datafusion::parquet::schema::types::Type;

use super::super::*;
use super::grammar::{COLUMNS, Class, DAYS, EVENT_DATE, EVENT_TIME, START_DAY, random_value};
use super::judge::Value;
use crate::dice::Dice;

/// An archive, and what stands in it.
pub(super) struct World {
    pub(super) _folder: tempfile::TempDir,
    pub(super) snapshot: Snapshot,
    pub(super) store: Arc<dyn ObjectStore>,
    /// The rows that count.
    pub(super) rows: Vec<Row>,
}

/// A row as it stands in a file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Which file of the snapshot, and which row group of it.
    pub(super) file: usize,
    pub(super) group: usize,
    pub(super) id: Id,
    /// Values of [`COLUMNS`].
    pub(super) cells: Vec<Option<Value>>,
}

/// Segment and row.
pub(super) type Id = (String, i64);

type Cells = Vec<Option<Value>>;

/// Rows of one file: values repeat within runs, so that row groups and pages differ.
fn random_rows(dice: &mut Dice, count: usize, day: i64) -> Vec<Cells> {
    // A few values a column, some columns all NULL.
    let pools: Vec<Vec<Option<Value>>> = (0..COLUMNS.len())
        .map(|column| {
            let nullable = COLUMNS[column].2;
            if nullable && dice.chance(8) {
                return vec![None];
            }
            let values = 1 + dice.below(4);
            let mut pool: Vec<Option<Value>> =
                (0..values).map(|_| Some(random_value(dice, column, day))).collect();
            if nullable && dice.chance(50) {
                pool.push(None);
            }
            pool
        })
        .collect();
    let mut row: Cells = pools.iter().map(|pool| dice.pick(pool)).collect();
    (0..count)
        .map(|_| {
            for (column, pool) in pools.iter().enumerate() {
                if dice.chance(25) {
                    row[column] = dice.pick(pool);
                }
            }
            row[EVENT_DATE] = Some(Value::Date(day));
            row.clone()
        })
        .collect()
}

/// The rows as a file of the table has them.
fn batch(rows: &[Cells], segment: &str) -> RecordBatch {
    let schema = file_schema();
    let count = rows.len();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let known = COLUMNS.iter().position(|(name, ..)| name == field.name());
        let cells = known.map(|column| rows.iter().map(move |row| row[column].clone()));
        match (field.name().as_str(), cells, field.data_type()) {
            ("segment", ..) => Arc::new(StringArray::from(vec![segment; count])),
            ("segment_row", ..) => Arc::new(Int64Array::from_iter_values((0i64..).take(count))),
            (_, Some(cells), DataType::Utf8) => Arc::new(StringArray::from_iter(cells.map(text))),
            (_, Some(cells), DataType::Boolean) => {
                Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
                    Some(Value::Bool(flag)) => Some(flag),
                    _ => None,
                })))
            }
            (_, Some(cells), DataType::Int32) => Arc::new(Int32Array::from_iter(
                cells.map(|cell| int(cell).map(|number| i32::try_from(number).unwrap())),
            )),
            (_, Some(cells), DataType::Int64) => Arc::new(Int64Array::from_iter(cells.map(int))),
            (_, Some(cells), _) => {
                Arc::new(TimestampMicrosecondArray::from_iter(cells.map(int)).with_timezone("UTC"))
            }
            (_, None, kind) if field.is_nullable() => new_null_array(kind, count),
            (_, None, DataType::Utf8) => Arc::new(StringArray::from(vec!["x"; count])),
            (_, None, DataType::Int32) => Arc::new(Int32Array::from(vec![1; count])),
            (_, None, kind) => panic!("{}: {kind}", field.name()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn text(cell: Option<Value>) -> Option<String> {
    match cell {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn int(cell: Option<Value>) -> Option<i64> {
    match cell {
        Some(Value::Int(number)) => Some(number),
        Some(Value::Time(nanos)) => Some(i64::try_from(nanos / 1_000).unwrap()),
        _ => None,
    }
}

/// A file of small row groups and pages, whose statistics are cut short somewhere.
fn small_groups(dice: &mut Dice, batch: &RecordBatch) -> Vec<u8> {
    let page_rows = 1 + dice.below(5);
    let cut = dice.pick(&[1, 2, 3, 8, 64]);
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(3 + dice.below(12)))
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows)
        .set_statistics_truncate_length(Some(cut))
        .set_column_index_truncate_length(Some(dice.pick(&[1, 2, 8, 64])))
        .set_dictionary_enabled(dice.chance(50));
    for name in ["request_id", "principal", "session_id", "http_status", "duration_us"] {
        properties =
            properties.set_column_bloom_filter_enabled(ColumnPath::from(name), dice.chance(70));
    }
    for (name, ..) in COLUMNS {
        let level = dice.pick(&[
            EnabledStatistics::Page,
            EnabledStatistics::Page,
            EnabledStatistics::Chunk,
            EnabledStatistics::None,
        ]);
        properties = properties.set_column_statistics_enabled(ColumnPath::from(name), level);
    }
    let mut bytes = Vec::new();
    let schema = batch.schema();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// The file as ingest encodes it.
fn as_ingest(batch: &RecordBatch, segment: SegmentId, date: EventDate) -> Vec<u8> {
    let key = RowKey::of_segment(RowSeed::new([1; 32]), segment);
    let mut encoder = SegmentEncoder::new(segment, date, key).unwrap();
    encoder.write(batch).unwrap();
    encoder.finish().unwrap().bytes.to_vec()
}

impl World {
    pub(super) async fn random(dice: &mut Dice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        for number in 0..2 + dice.below(3) {
            let name: &'static str = format!("unit-{number}").leak();
            let days: Vec<i64> = (0..DAYS).filter(|_| dice.chance(60)).collect();
            let days = if days.is_empty() { vec![0] } else { days };
            let mut times = Vec::new();
            for day in days {
                let start = (START_DAY + day) * DAY_MICROS;
                times.extend(std::iter::repeat_n(start, 1 + dice.below(45)));
            }
            let unit = SampleUnit { name, times, rejects: 0 };
            let mut delivery = sample::delivery(&[unit], 1).unwrap();
            for (entry, file) in delivery.manifest.files.iter_mut().zip(&mut delivery.files) {
                let day = i64::from(entry.event_date.days());
                let rows = random_rows(dice, usize::try_from(entry.rows).unwrap(), day);
                let batch = batch(&rows, &entry.segment.to_string());
                let bytes = if dice.chance(20) {
                    as_ingest(&batch, entry.segment, entry.event_date)
                } else {
                    small_groups(dice, &batch)
                };
                describe(entry, &rows, &bytes);
                *file = (entry.path.clone(), bytes.into());
            }
            sample::ingest(&archive, &delivery).await.unwrap();
            if dice.chance(70) {
                let _ = sample::seal(&archive, &[&delivery]).await.unwrap();
            }
        }
        let mut snapshot = archive.reader().snapshot(Mode::Fresh).await.unwrap();
        for file in &mut snapshot.files {
            forget(dice, &mut file.entry);
            if dice.chance(20) {
                file.kept_rows = Some(some_ranges(dice, file.entry.rows));
            }
        }
        let store = archive.reader().store().reader().unwrap();
        let mut rows = Vec::new();
        for (number, file) in snapshot.files.iter().enumerate() {
            let path = folder.path().join("archive").join(&file.entry.path);
            let read = read_back(number, std::fs::read(path).unwrap(), file.entry.event_date);
            let counts = |row: &Row| match &file.kept_rows {
                Some(kept) => kept.iter().any(|r| r.contains(&u64::try_from(row.id.1).unwrap())),
                None => true,
            };
            rows.extend(read.into_iter().filter(counts));
        }
        Self { _folder: folder, snapshot, store, rows }
    }
}

/// What ingest says of a file, from its footer.
fn describe(entry: &mut FileEntry, rows: &[Cells], bytes: &[u8]) {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    let times: Vec<i64> = rows.iter().filter_map(|row| int(row[EVENT_TIME].clone())).collect();
    entry.sha256 = Sha256Digest::of(bytes);
    entry.path = layout::data_key(entry.event_date, entry.sha256);
    entry.bytes = u64::try_from(bytes.len()).unwrap();
    entry.stats = file_stats(reader.metadata());
    entry.event_time_micros_min = *times.iter().min().unwrap();
    entry.event_time_micros_max = *times.iter().max().unwrap();
}

/// Other writers know less.
fn forget(dice: &mut Dice, entry: &mut FileEntry) {
    entry.stats.retain(|_, _| dice.chance(90));
    for stats in entry.stats.values_mut() {
        if dice.chance(10) {
            stats.min = None;
        }
        if dice.chance(10) {
            stats.max = None;
        }
    }
}

fn some_ranges(dice: &mut Dice, rows: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for row in 0..rows {
        if dice.chance(60) {
            match ranges.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => ranges.push(row..row + 1),
            }
        }
    }
    ranges
}

/// All rows of a file, by the reader that knows neither Arrow nor indexes nor filters.
fn read_back(file: usize, bytes: Vec<u8>, date: EventDate) -> Vec<Row> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let wanted = |name: &str| {
        name == "segment"
            || name == "segment_row"
            || COLUMNS.iter().any(|(known, ..)| *known == name)
    };
    let all = reader.metadata().file_metadata().schema();
    let fields = all.get_fields().iter().filter(|field| wanted(field.name())).cloned().collect();
    let projection = Type::group_type_builder(all.name()).with_fields(fields).build().unwrap();
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let part = reader.get_row_group(group).unwrap();
        for row in part.get_row_iter(Some(projection.clone())).unwrap() {
            let row = row.unwrap();
            let find = |wanted: &str| {
                row.get_column_iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
            };
            let id = match (find("segment"), find("segment_row")) {
                (Some(Stored::Str(segment)), Some(Stored::Long(row))) => (segment.clone(), *row),
                other => panic!("{other:?}"),
            };
            let cells = COLUMNS.iter().map(|(name, class, _)| match (class, find(name)) {
                (Class::Date, None) => Some(Value::Date(i64::from(date.days()))),
                (_, Some(stored)) => stored_value(stored),
                (_, None) => panic!("{name} is missing"),
            });
            rows.push(Row { file, group, id, cells: cells.collect() });
        }
    }
    rows
}

fn stored_value(stored: &Stored) -> Option<Value> {
    Some(match stored {
        Stored::Null => return None,
        Stored::Str(text) => Value::Text(text.clone()),
        Stored::Int(number) => Value::Int(i64::from(*number)),
        Stored::Long(number) => Value::Int(*number),
        Stored::Bool(flag) => Value::Bool(*flag),
        Stored::TimestampMicros(micros) => Value::Time(i128::from(*micros) * 1_000),
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_columns_are_those_of_the_table() {
    for (name, class, nullable) in COLUMNS {
        if class == Class::Date {
            continue;
        }
        let column = TABLE_COLUMNS.iter().find(|column| column.name == name).unwrap();
        assert_eq!(column.nullable, nullable, "{name}");
    }
}
