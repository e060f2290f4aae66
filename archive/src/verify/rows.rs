//! The rows of a file against everything that is said of them, by the file itself and by its
//! description: what `verify --deep` adds to a file whose bytes are the described ones.
//!
//! Statistics are part of what answers rest on: a bound that leaves a value out hides its rows
//! from every query that asks for it. The bytes may be hostile; what is found is reported, never
//! trusted. A file is decoded some rows at a time, and texts are not copied, so that memory does
//! not grow with the file, nor with a value that a dictionary repeats.

mod bounds;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use bytes::Bytes;
use common::date::EventDate;
use common::manifest::FileEntry;
use common::schema::{COLUMNS, ColumnType, column_index, file_schema};
use common::stats::{ColumnStats, FileStats, StatValue};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::claims::{as_committed, difference};
use super::finding::Code;
use crate::error::ArchiveError;
use crate::rows::{RowHasher, row_key};
use bounds::{Claim, PageClaims, Seen, Value, chunk_claim};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Something that is wrong with a file's rows, or with what is said of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsWrong {
    /// `FILE_ROWS`, `ROW_ROOT` or `STATS`.
    pub code: Code,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Decodes a file and checks its rows against its description: that `segment` and `segment_row`
/// are right, that event times are of its date and range, the row root, and that no statistics,
/// of the description, of row groups, of pages or in bloom filters, leave a value out or call
/// exact what is not. Empty if all is well.
///
/// `entry` may come from a manifest or from a commit. The bytes are taken for the described ones:
/// length and SHA-256 are somebody else's. It computes for long, and a hostile file may make the
/// decoder panic: run it in the background, where a panic is a finding.
pub fn check_rows(bytes: Bytes, entry: &FileEntry) -> Vec<RowsWrong> {
    let mut check = Check::new(entry);
    if let Err(error) = check.file(bytes) {
        check.report(Code::FileRows, "", "a file that can be decoded", error.to_string());
    }
    check.found
}

struct Check<'a> {
    entry: &'a FileEntry,
    segment: String,
    /// Rows seen.
    rows: u64,
    /// What the rows of the whole file have in each column.
    seen: Vec<Seen>,
    times: Option<(i64, i64)>,
    found: Vec<RowsWrong>,
    /// What was reported already: once a place and sort is enough.
    reported: BTreeSet<(Code, String)>,
}

/// What is claimed of one column of a row group, and what its rows have.
struct Chunk {
    column: usize,
    claim: Option<Claim>,
    seen: Seen,
    pages: Option<PageClaims>,
    filter: Option<Sbbf>,
}

impl<'a> Check<'a> {
    fn new(entry: &'a FileEntry) -> Self {
        Self {
            entry,
            segment: entry.segment.to_string(),
            rows: 0,
            seen: COLUMNS.iter().map(|_| Seen::default()).collect(),
            times: None,
            found: Vec::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Reports what is wrong at a place, the first time.
    fn report(&mut self, code: Code, place: &str, expected: impl ToString, found: impl ToString) {
        if self.reported.insert((code, place.to_owned())) {
            let of =
                |text: String| if place.is_empty() { text } else { format!("{place}: {text}") };
            let (expected, found) = (of(expected.to_string()), of(found.to_string()));
            self.found.push(RowsWrong { code, expected, found });
        }
    }

    fn file(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        let options = || {
            ArrowReaderOptions::new()
                .with_page_index_policy(PageIndexPolicy::Optional)
                .with_schema(view_schema())
        };
        let builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options())?;
        let metadata = Arc::clone(builder.metadata());
        let mut hasher = match row_key(metadata.file_metadata().key_value_metadata()) {
            Ok(key) => Some(RowHasher::new(key)),
            Err(error) => {
                self.report(Code::RowRoot, "", "one row key", error);
                None
            }
        };
        for group in 0..metadata.num_row_groups() {
            let mut builder =
                ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options())?;
            let mut chunks = self.chunks(&mut builder, &metadata, group)?;
            let reader =
                builder.with_row_groups(vec![group]).with_batch_size(BATCH_ROWS).build()?;
            let mut rows = 0;
            for batch in reader {
                let batch = batch?;
                self.place(&batch)?;
                if let Some(hasher) = &mut hasher {
                    let _ = hasher.push(&batch)?;
                }
                for chunk in &mut chunks {
                    self.values(chunk, &batch, rows)?;
                }
                rows += batch.num_rows();
            }
            for chunk in chunks {
                self.chunk(chunk, rows);
            }
        }
        self.whole(hasher);
        Ok(())
    }

    /// What a row group claims.
    fn chunks(
        &mut self,
        builder: &mut ParquetRecordBatchReaderBuilder<Bytes>,
        metadata: &ParquetMetaData,
        group: usize,
    ) -> Result<Vec<Chunk>, ArchiveError> {
        let mut chunks = Vec::with_capacity(COLUMNS.len());
        for (column, described) in COLUMNS.iter().enumerate() {
            let place = place_of(described.name, "row group", group);
            let chunk = metadata.row_group(group).column(column);
            let claim = match chunk.statistics().map(|it| chunk_claim(described.kind, it)) {
                Some(Err(found)) => {
                    self.report(Code::Stats, &place, "statistics of the column's type", found);
                    None
                }
                Some(Ok(claim)) => Some(claim),
                None => None,
            };
            let pages = match PageClaims::of(metadata, group, column, described.kind) {
                Ok(pages) => pages,
                Err(found) => {
                    self.report(Code::Stats, &place, "a page index of its pages", found);
                    None
                }
            };
            let filter = builder.get_row_group_column_bloom_filter(group, column)?;
            chunks.push(Chunk { column, claim, seen: Seen::default(), pages, filter });
        }
        Ok(chunks)
    }

    /// Checks where the rows of a batch say that they belong.
    fn place(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        let missing = |name: &str| {
            let message = format!("no column {name} of its type");
            ArchiveError::Arrow(arrow::error::ArrowError::SchemaError(message))
        };
        let segments = batch.column_by_name("segment").and_then(|it| it.as_string_view_opt());
        let segments = segments.ok_or_else(|| missing("segment"))?;
        let rows = batch.column_by_name("segment_row");
        let rows = rows.and_then(|it| it.as_primitive_opt::<Int64Type>());
        let rows = rows.ok_or_else(|| missing("segment_row"))?;
        let times = batch.column_by_name("event_time");
        let times = times.and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| missing("event_time"))?;
        for ((segment, row), &time) in segments.iter().zip(rows.iter()).zip(times.values()) {
            let expected = self.rows;
            self.rows = self.rows.saturating_add(1);
            if segment != Some(self.segment.as_str()) {
                let expected = self.segment.clone();
                self.report(Code::FileRows, "segment", expected, segment.unwrap_or("NULL"));
            }
            if row.and_then(|row| u64::try_from(row).ok()) != Some(expected) {
                let found = row.map_or_else(|| "NULL".to_owned(), |row| row.to_string());
                self.report(Code::FileRows, "segment_row", expected, found);
            }
            if EventDate::of_micros(time) != self.entry.event_date {
                let found = format!("{time} in row {expected}");
                self.report(Code::FileRows, "event_time", self.entry.event_date, found);
            }
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        Ok(())
    }

    /// Takes the values of one column of a batch, which begins at `row` of its row group.
    fn values(
        &mut self,
        chunk: &mut Chunk,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<(), ArchiveError> {
        let column = &COLUMNS[chunk.column];
        let Some(array) = batch.column_by_name(column.name) else { return Ok(()) };
        let mut hidden = false;
        for at in 0..array.len() {
            let mut values = 0;
            each_value(column.kind, array, at, |value| {
                values += 1;
                chunk.seen.value(value);
                if let Some(pages) = &mut chunk.pages {
                    pages.value(row + at, value);
                }
                hidden |= chunk.filter.as_ref().is_some_and(|filter| !value.is_in(filter));
            });
            if values == 0 {
                chunk.seen.null();
                if let Some(pages) = &mut chunk.pages {
                    pages.null(row + at);
                }
            }
        }
        if hidden {
            let place = format!("{} bloom filter", column.name);
            self.report(Code::Stats, &place, "every value of its row group", "one is missing");
        }
        Ok(())
    }

    /// What a row group claimed of a column against what its rows have.
    fn chunk(&mut self, chunk: Chunk, rows: usize) {
        let name = COLUMNS[chunk.column].name;
        if let Some(wrong) = chunk.claim.and_then(|claim| claim.contradicts(&chunk.seen)) {
            self.report(Code::Stats, &format!("{name} in a row group"), wrong.0, wrong.1);
        }
        if let Some(wrong) = chunk.pages.and_then(|pages| pages.contradicts(rows)) {
            self.report(Code::Stats, &format!("{name} in a page"), wrong.0, wrong.1);
        }
        self.seen[chunk.column].add(chunk.seen);
    }

    /// What the description says of all rows.
    fn whole(&mut self, hasher: Option<RowHasher>) {
        let entry = self.entry;
        if self.rows != entry.rows {
            self.report(Code::FileRows, "rows", entry.rows, self.rows);
        }
        if let Some(root) = hasher.map(|hasher| hasher.root()).filter(|it| *it != entry.row_root) {
            self.report(Code::RowRoot, "", format!("row root {}", entry.row_root), root);
        }
        let mut by_rows = entry.clone();
        if let Some((first, last)) = self.times {
            (by_rows.event_time_micros_min, by_rows.event_time_micros_max) = (first, last);
        }
        by_rows.stats = self.stats();
        let (expected, found) = (as_committed(&by_rows), as_committed(entry));
        if expected != found {
            let expected = expected.unwrap_or(by_rows);
            let (expected, found) = difference(&expected, &found.unwrap_or_else(|| entry.clone()));
            self.report(Code::Stats, "", format!("{expected} by its rows"), found);
        }
    }

    /// The statistics that are described, as the rows have them.
    fn stats(&self) -> FileStats {
        let mut stats = FileStats::new();
        for (name, described) in &self.entry.stats {
            let Some(column) = column_index(name) else { continue };
            let seen = &self.seen[column];
            let bound = |is_known: bool, value: Option<StatValue>| value.filter(|_| is_known);
            let of_rows = ColumnStats {
                min: bound(described.min.is_some(), seen.min()),
                max: bound(described.max.is_some(), seen.max()),
                nulls: seen.nulls(),
            };
            stats.insert(name.clone(), of_rows);
        }
        stats
    }
}

fn place_of(name: &str, what: &str, number: usize) -> String {
    format!("{name} in {what} {number}")
}

/// Calls `take` with the value of a row, or with each item of a list; not at all for NULL.
fn each_value<'a>(
    kind: ColumnType,
    array: &'a dyn Array,
    row: usize,
    mut take: impl FnMut(Value<'a>),
) {
    if array.is_null(row) {
        return;
    }
    match kind {
        ColumnType::Utf8 => {
            if let Some(texts) = array.as_string_view_opt() {
                take(Value::Text(texts.value(row).as_bytes()));
            }
        }
        ColumnType::Int32 => {
            if let Some(numbers) = array.as_primitive_opt::<Int32Type>() {
                take(Value::Int32(numbers.value(row)));
            }
        }
        ColumnType::Int64 => {
            if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
                take(Value::Int64(numbers.value(row)));
            }
        }
        ColumnType::Timestamp => {
            if let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() {
                take(Value::Int64(times.value(row)));
            }
        }
        ColumnType::Boolean => {
            if let Some(values) = array.as_boolean_opt() {
                take(Value::Bool(values.value(row)));
            }
        }
        ColumnType::ListUtf8 => {
            let Some(lists) = array.as_list_opt::<i32>() else { return };
            let Some(items) = lists.values().as_string_view_opt() else { return };
            let end = |at: usize| usize::try_from(lists.value_offsets()[at]).unwrap_or_default();
            for item in end(row)..end(row + 1) {
                take(Value::Text(items.value(item).as_bytes()));
            }
        }
    }
}

/// The schema of a data file with texts that lie where the decoder put them.
fn view_schema() -> SchemaRef {
    let schema = file_schema();
    let fields = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::List(item) => {
                let item = item.as_ref().clone().with_data_type(DataType::Utf8View);
                DataType::List(Arc::new(item))
            }
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(kind)
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

#[cfg(test)]
mod tests;
