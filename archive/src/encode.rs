//! Rows to Parquet bytes, their digest and their statistics; pure.
//!
//! Rows come value by value, since a parser fills about forty of more than a hundred columns and
//! must not pay for the others. Most are looked up in a dictionary as they come (`coded`); the
//! rest is stored plainly, or goes through the library's column writers (`buffered`).
//! Deliberately not here: where the bytes go. Statistics are taken from what the footer holds
//! anyway, so that they cost nothing and agree with it.

mod buffered;
mod chunk;
mod coded;
mod hybrid;
mod leaves;
mod quarantine;
mod recall;
mod stats;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of tests are small")]
mod tests;
mod valid;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use common::date::EventDate;
use common::digest::Sha256Digest;
use common::ids::SegmentId;
use common::layout;
use common::limits::STATS_STRING_BYTES_MAX;
use common::manifest::FileEntry;
use common::row::RowKey;
use common::schema::{COLUMNS, ColumnType, file_schema};
use common::stats::StatValue;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnPath};

pub use quarantine::{QuarantineEncoder, encode_quarantine};
pub use recall::Learner;
pub use stats::file_stats;

use buffered::Buffered;
use chunk::Encoded;
use coded::{CodedChunk, Compressor, Physical};
use leaves::Leaves;
use recall::Recall;

use crate::error::ArchiveError;
use crate::rows::ROW_KEY;

/// Footer key that names the segment of an event file.
pub const SEGMENT_KEY: &str = "meshledger.segment";

/// Footer key that names the archive format.
pub const FORMAT_KEY: &str = "meshledger.format";

/// Rows in one row group: large enough that dictionaries pay, small enough that a reader which
/// wants one row decodes little.
const ROW_GROUP_ROWS_MAX: usize = 256 * 1024;

/// Level of zstd for every page: 1 was measured smaller and cheaper than 3 on columns encoded by
/// dictionary (bench/RESULTS.md). The library's default is the same.
const ZSTD_LEVEL: i32 = 1;

/// Rows whose values are looked up together, unless said otherwise: few enough for the cache.
const WAITING_ROWS: usize = 1024;

/// Rows in one page of a text column; a row group holds a whole number of them.
const PAGE_ROWS: usize = 16 * 1024;

/// Columns whose values hardly repeat: a dictionary would only be built and thrown away.
const NO_DICTIONARY: &[&str] = &["request_id", "trace_id", "span_id", "correlation_id", "raw"];

/// Columns of integers that grow or stay close: deltas are smaller than dictionary keys.
const DELTA: &[&str] = &["segment_row", "event_time"];

/// Columns, of those, that are looked up by exact value among many: their bloom filters tell row groups
/// without the value apart. Filters are folded to the values present.
pub const BLOOM: &[&str] = &["request_id", "trace_id"];

/// A Parquet file in memory and its description.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The file.
    pub bytes: Bytes,
    /// What manifests and commits say of it.
    pub entry: FileEntry,
}

/// Writes the rows of one segment, in `segment_row` order.
///
/// Values are set in the row in hand, each column at most once (the first value counts), until
/// [`SegmentEncoder::end_row`]; a column not set is NULL. A column is named by its index in
/// [`COLUMNS`]; a value of another type than the column's is not stored.
pub struct SegmentEncoder {
    file: SerializedFileWriter<Vec<u8>>,
    schema: SchemaRef,
    descriptions: Vec<ColumnDescPtr>,
    segment: SegmentId,
    date: EventDate,
    /// Finished rows.
    rows: u64,
    /// Finished rows of the row group in hand.
    group_rows: usize,
    /// Its columns that have a value.
    columns: Vec<Option<Column>>,
    /// Why a value could not be taken; the next row's end reports it.
    failure: Option<ParquetError>,
    /// Rows whose values are looked up together.
    waiting_rows: usize,
    /// Rows of the row group in hand after which that is done next.
    look_up_at: usize,
    /// Columns that have enough to be looked at.
    full: Vec<usize>,
    /// Columns with a value in every row that sets none, and the value.
    constants: Vec<(usize, Constant)>,
    /// What rows of a kind have in common.
    recall: Recall,
    /// What the row root is made of.
    leaves: Leaves,
}

/// A value of all rows of a segment that set none.
#[derive(Debug, Clone)]
pub enum Constant {
    /// For a text column.
    Text(String),
    /// For a 32-bit column.
    Int32(i32),
    /// For a 64-bit or timestamp column.
    Int64(i64),
    /// For a 64-bit column by deltas: the row's number in the segment, from 0.
    RowNumber,
}

#[derive(Debug)]
enum Column {
    Coded(Box<CodedChunk>),
    Buffered(Box<Buffered>),
}

impl std::fmt::Debug for SegmentEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentEncoder")
            .field("segment", &self.segment)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl SegmentEncoder {
    /// An encoder for the rows of `segment`, all of `date`; their salts come from `key`.
    ///
    /// # Errors
    /// If the Parquet writer refuses the schema, which would be a defect.
    pub fn new(segment: SegmentId, date: EventDate, key: RowKey) -> Result<Self, ArchiveError> {
        let metadata = vec![
            KeyValue::new(FORMAT_KEY.to_owned(), common::FORMAT.to_string()),
            KeyValue::new(SEGMENT_KEY.to_owned(), segment.to_string()),
            KeyValue::new(ROW_KEY.to_owned(), key.to_hex()),
        ];
        let properties = event_properties().set_key_value_metadata(Some(metadata)).build();
        let schema = file_schema();
        // Field ids and logical types say all; an Arrow copy would cost kilobytes a file.
        let root = ArrowSchemaConverter::new().schema_root("arrow_schema").convert(&schema)?;
        let file =
            SerializedFileWriter::new(Vec::new(), root.root_schema_ptr(), properties.into())?;
        Ok(Self {
            file,
            schema,
            descriptions: root.columns().to_vec(),
            segment,
            date,
            rows: 0,
            group_rows: 0,
            columns: COLUMNS.iter().map(|_| None).collect(),
            failure: None,
            waiting_rows: WAITING_ROWS,
            look_up_at: WAITING_ROWS,
            full: Vec::new(),
            constants: Vec::new(),
            recall: Recall::new(segment.seed()),
            leaves: Leaves::new(key, segment.seed()),
        })
    }

    #[inline]
    fn column(&mut self, index: usize) -> Option<&mut Column> {
        if self.is_behind(index) {
            self.catch_up(index);
        }
        self.begun(index)
    }

    /// A column, whose values of the last rows may wait to be set.
    #[inline]
    fn begun(&mut self, index: usize) -> Option<&mut Column> {
        let column = self.columns.get_mut(index)?;
        if column.is_none() {
            match Self::begin_column(index, self.segment, &self.constants) {
                Ok(begun) => *column = begun,
                Err(e) => self.failure = Some(e),
            }
        }
        column.as_mut()
    }

    #[cold]
    fn begin_column(
        index: usize,
        segment: SegmentId,
        constants: &[(usize, Constant)],
    ) -> Result<Option<Column>, ParquetError> {
        let Some(column) = COLUMNS.get(index) else { return Ok(None) };
        let constant = constants.iter().find(|(column, _)| *column == index);
        let coded = |physical| {
            let mut values = CodedChunk::new(physical, segment.seed());
            match constant {
                Some((_, Constant::Text(text))) if physical == Physical::Text => {
                    values.default_to(text.as_bytes());
                }
                Some((_, Constant::Int32(number))) if physical == Physical::Int32 => {
                    values.default_to(&number.to_le_bytes());
                }
                Some((_, Constant::Int64(number))) if physical == Physical::Int64 => {
                    values.default_to(&number.to_le_bytes());
                }
                _ => {}
            }
            Column::Coded(Box::new(values))
        };
        Ok(Some(match column.kind {
            _ if DELTA.contains(&column.name) => Column::Buffered(Box::new(Buffered::new(column)?)),
            ColumnType::Utf8 if NO_DICTIONARY.contains(&column.name) => {
                let is_looked_up = BLOOM.contains(&column.name);
                let bloom = is_looked_up.then(|| coded::bloom(ROW_GROUP_ROWS_MAX)).transpose()?;
                Column::Coded(Box::new(CodedChunk::plain(bloom, segment.seed())))
            }
            ColumnType::Utf8 => coded(Physical::Text),
            ColumnType::Int32 => coded(Physical::Int32),
            ColumnType::Int64 | ColumnType::Timestamp => coded(Physical::Int64),
            ColumnType::Boolean | ColumnType::ListUtf8 => {
                Column::Buffered(Box::new(Buffered::new(column)?))
            }
        }))
    }

    /// Sets a text column of the row in hand. The text is UTF-8: readers of the file rely on it.
    #[inline]
    pub fn text(&mut self, column: usize, value: &[u8]) {
        self.leaves.text(column, value);
        let row = self.group_rows;
        let is_full = match self.column(column) {
            Some(Column::Coded(values)) => values.is(Physical::Text) && values.set(row, value),
            _ => false,
        };
        if is_full {
            self.full.push(column);
        }
    }

    /// Sets a 32-bit column of the row in hand.
    #[inline]
    pub fn int32(&mut self, column: usize, value: i32) {
        self.leaves.int32(column, value);
        let row = self.group_rows;
        let is_full = match self.column(column) {
            Some(Column::Coded(values)) => {
                values.is(Physical::Int32) && values.set(row, &value.to_le_bytes())
            }
            Some(Column::Buffered(values)) => {
                values.int32(row, value);
                false
            }
            None => false,
        };
        if is_full {
            self.full.push(column);
        }
    }

    /// Sets a 64-bit column of the row in hand, or a timestamp column, in microseconds.
    #[inline]
    pub fn int64(&mut self, column: usize, value: i64) {
        self.leaves.int64(column, value);
        let row = self.group_rows;
        let is_full = match self.column(column) {
            Some(Column::Coded(values)) => {
                values.is(Physical::Int64) && values.set(row, &value.to_le_bytes())
            }
            Some(Column::Buffered(values)) => {
                values.int64(row, value);
                false
            }
            None => false,
        };
        if is_full {
            self.full.push(column);
        }
    }

    /// Gives every row of the segment that sets none a value in a column. It costs nothing a row.
    /// To be said before the first row.
    pub fn constant(&mut self, column: usize, value: Constant) {
        let has_default = COLUMNS.get(column).is_some_and(|column| {
            !DELTA.contains(&column.name) && !NO_DICTIONARY.contains(&column.name)
        });
        if has_default {
            self.leaves.constant(column, &value);
        }
        self.constants.push((column, value));
    }

    /// Begins the constant columns, which then have a value up to the row in hand.
    fn fill_constants(&mut self) {
        let row = self.group_rows;
        let first = self.rows - row as u64;
        for at in 0..self.constants.len() {
            let (column, ref value) = self.constants[at];
            let is_number = matches!(value, Constant::RowNumber);
            if let Some(Column::Buffered(values)) = self.column(column)
                && is_number
            {
                values.number(row, first);
            }
        }
    }

    fn buffered(&mut self, column: usize) -> Option<&mut Buffered> {
        match self.column(column) {
            Some(Column::Buffered(values)) => Some(values),
            _ => None,
        }
    }

    /// Sets a boolean column of the row in hand.
    pub fn bool(&mut self, column: usize, value: bool) {
        self.leaves.bool(column, value);
        let row = self.group_rows;
        if let Some(values) = self.buffered(column) {
            values.bool(row, value);
        }
    }

    /// Sets a list column of the row in hand.
    pub fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        let items: Vec<&[u8]> = items.into_iter().collect();
        self.leaves.list(column, items.iter().copied());
        let row = self.group_rows;
        if self.buffered(column).is_some_and(|values| values.list(row, items)) {
            self.full.push(column);
        }
    }

    /// Ends the row in hand.
    ///
    /// # Errors
    /// If a page can not be encoded, or a column that needs a value has none, a defect.
    pub fn end_row(&mut self) -> Result<(), ArchiveError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        self.leaves.end_row();
        self.rows = self.rows.saturating_add(1);
        self.group_rows += 1;
        while let Some(column) = self.full.pop() {
            let is_full = match self.columns.get_mut(column).and_then(Option::as_mut) {
                Some(Column::Coded(values)) => values.look_up(),
                _ => true,
            };
            if is_full {
                self.finish_page(column, &mut compressor()?)?;
            }
        }
        if self.group_rows >= self.look_up_at {
            self.look_up();
            self.look_up_at = self.group_rows + self.waiting_rows;
        }
        if self.group_rows.is_multiple_of(PAGE_ROWS) {
            self.finish_pages(&mut compressor()?)?;
            if self.group_rows >= ROW_GROUP_ROWS_MAX {
                self.finish_group()?;
            }
        }
        Ok(())
    }

    fn look_up(&mut self) {
        self.catch_up_all();
        for (index, column) in self.columns.iter_mut().enumerate() {
            if let Some(Column::Coded(values)) = column
                && values.look_up()
            {
                self.full.push(index);
            }
        }
    }

    /// Finishes the page in hand of every column.
    fn finish_pages(&mut self, compressor: &mut Compressor) -> Result<(), ParquetError> {
        self.catch_up_all();
        self.fill_constants();
        (0..self.columns.len()).try_for_each(|column| self.finish_page(column, compressor))
    }

    fn finish_page(
        &mut self,
        column: usize,
        compressor: &mut Compressor,
    ) -> Result<(), ParquetError> {
        if self.is_behind(column) {
            self.catch_up(column);
        }
        let row = self.group_rows;
        match self.columns.get_mut(column).and_then(Option::as_mut) {
            Some(Column::Coded(values)) => values.finish_page(row, &COLUMNS[column], compressor),
            Some(Column::Buffered(values)) => values.flush(row, self.schema.field(column)),
            None => Ok(()),
        }
    }

    fn finish_group(&mut self) -> Result<(), ParquetError> {
        let mut compressor = compressor()?;
        self.finish_pages(&mut compressor)?;
        let rows = std::mem::take(&mut self.group_rows);
        self.look_up_at = self.waiting_rows;
        self.recall.clear();
        self.leaves.end_group();
        let bytes = self.columns.iter().flatten().map(|column| match column {
            Column::Coded(values) => values.encoded_bytes(),
            Column::Buffered(_) => 0,
        });
        // Growing step by step would copy it as often.
        let bytes = bytes.sum();
        self.file.inner_mut().reserve(bytes);
        let mut group = self.file.next_row_group()?;
        let none = COLUMNS.iter().map(|_| None).collect();
        let columns = std::mem::replace(&mut self.columns, none);
        for ((index, values), column) in columns.into_iter().enumerate().zip(COLUMNS) {
            let nulls = match &values {
                Some(Column::Coded(values)) => values.nulls(),
                Some(Column::Buffered(values)) => values.nulls(),
                None => rows,
            };
            if nulls > 0 && !column.nullable {
                let name = column.name;
                let message = format!("{name}: expected a value a row, {nulls} rows have none");
                return Err(ParquetError::General(message));
            }
            let encoded = match values {
                Some(Column::Buffered(values)) => {
                    values.close()?.append_to_row_group(&mut group)?;
                    continue;
                }
                Some(Column::Coded(values)) => {
                    values.close(column.stats, STATS_STRING_BYTES_MAX, &mut compressor)?
                }
                None => Encoded::nulls(&self.descriptions[index], rows),
            };
            let (bytes, close) = encoded.close(&self.descriptions[index])?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        Ok(())
    }

    /// Adds rows; the batch has [`file_schema`].
    ///
    /// # Errors
    /// If the batch does not fit the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        if batch.num_columns() != COLUMNS.len() {
            let found = batch.num_columns();
            let message = format!("expected {} columns, found {found}", COLUMNS.len());
            return Err(ParquetError::General(message).into());
        }
        for row in 0..batch.num_rows() {
            for (index, array) in batch.columns().iter().enumerate() {
                if array.is_valid(row) {
                    self.copy(index, array, row)?;
                }
            }
            self.end_row()?;
        }
        Ok(())
    }

    /// Copies one value of a batch.
    fn copy(&mut self, index: usize, array: &dyn Array, row: usize) -> Result<(), ParquetError> {
        let column = &COLUMNS[index];
        let wrong = || {
            let found = array.data_type();
            ParquetError::General(format!("column {}: unexpected type {found}", column.name))
        };
        match column.kind {
            ColumnType::Utf8 => {
                let values = array.as_string_opt::<i32>().ok_or_else(wrong)?;
                self.text(index, values.value(row).as_bytes());
            }
            ColumnType::Int32 => {
                let values = array.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
                self.int32(index, values.value(row));
            }
            ColumnType::Int64 => {
                let values = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
                self.int64(index, values.value(row));
            }
            ColumnType::Timestamp => {
                let values = array.as_primitive_opt::<TimestampMicrosecondType>();
                self.int64(index, values.ok_or_else(wrong)?.value(row));
            }
            ColumnType::Boolean => {
                self.bool(index, array.as_boolean_opt().ok_or_else(wrong)?.value(row));
            }
            ColumnType::ListUtf8 => {
                let items = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
                let items = items.as_string_opt::<i32>().ok_or_else(wrong)?;
                self.list(index, items.iter().flatten().map(str::as_bytes));
            }
        }
        Ok(())
    }

    /// Leaves the row root out, to measure what it costs: no archive takes such a file.
    pub fn measure_without_row_root(&mut self) {
        self.leaves.switch_off();
    }

    /// Looks values up after so many rows, at least one. Fewer take less memory and more time.
    pub fn look_up_every(&mut self, rows: usize) {
        self.waiting_rows = rows.max(1);
        self.look_up_at = self.group_rows + self.waiting_rows;
    }

    /// About how much memory the row group in hand takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let columns = self.columns.iter().flatten().map(|column| match column {
            Column::Coded(values) => values.memory_bytes(),
            Column::Buffered(values) => values.memory_bytes(),
        });
        columns.sum::<usize>() + self.recall.memory_bytes() + self.leaves.memory_bytes()
    }

    /// Closes the row group in hand before it is full, which frees what it takes.
    ///
    /// # Errors
    /// As of [`SegmentEncoder::end_row`].
    pub fn close_group(&mut self) -> Result<(), ArchiveError> {
        if self.group_rows > 0 {
            self.finish_group()?;
        }
        Ok(())
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes the file.
    ///
    /// # Errors
    /// If no row was written, or the Parquet writer fails.
    pub fn finish(mut self) -> Result<EncodedFile, ArchiveError> {
        self.close_group()?;
        let metadata = self.file.finish()?;
        let bytes = Bytes::from(std::mem::take(self.file.inner_mut()));
        let sha256 = Sha256Digest::of(&bytes);
        let stats = file_stats(&metadata);
        let times = stats.get("event_time");
        let bound = |value: Option<&StatValue>| match value {
            Some(StatValue::Int(micros)) => *micros,
            _ => 0,
        };
        let entry = FileEntry {
            path: layout::data_key(self.date, sha256),
            sha256,
            bytes: bytes.len() as u64,
            rows: self.rows,
            segment: self.segment,
            event_date: self.date,
            event_time_micros_min: bound(times.and_then(|times| times.min.as_ref())),
            event_time_micros_max: bound(times.and_then(|times| times.max.as_ref())),
            row_root: self.leaves.root(),
            stats,
            version: None,
        };
        entry.check()?;
        Ok(EncodedFile { bytes, entry })
    }
}

/// Compresses pages. Made when pages are finished and not kept, since its tables are large and a
/// delivery may have 64 segments.
fn compressor() -> Result<Compressor, ParquetError> {
    Ok(Compressor::new(ZSTD_LEVEL)?)
}

pub(crate) fn base_properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(common::WRITER.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_statistics_truncate_length(Some(STATS_STRING_BYTES_MAX))
}

fn event_properties() -> WriterPropertiesBuilder {
    let path = |name: &str| ColumnPath::from(name);
    let mut properties = base_properties();
    for name in DELTA {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED)
            // Deltas are packed to the bit: there is nothing to compress.
            .set_column_compression(path(name), Compression::UNCOMPRESSED);
    }
    for column in COLUMNS.iter().filter(|column| !column.stats) {
        properties =
            properties.set_column_statistics_enabled(path(column.name), EnabledStatistics::Chunk);
    }
    properties
}
