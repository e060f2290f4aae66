//! Rows to Parquet bytes, their digest and their statistics; pure.
//!
//! Deliberately not here: where the bytes go. Statistics are taken from what the Parquet writer
//! computed anyway, so that they cost nothing and agree with the footer.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use common::date::EventDate;
use common::digest::Sha256Digest;
use common::ids::SegmentId;
use common::layout;
use common::limits::{PART_BYTES_MAX, STATS_STRING_BYTES_MAX};
use common::manifest::{FileEntry, QuarantineEntry};
use common::schema::{COLUMNS, Column, ColumnType, column_index, file_schema, quarantine_schema};
use common::stats::{ColumnStats, FileStats, StatValue};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;

use crate::error::ArchiveError;

/// Footer key that names the segment of an event file.
pub const SEGMENT_KEY: &str = "meshledger.segment";

/// Footer key that names the archive format.
pub const FORMAT_KEY: &str = "meshledger.format";

/// Rows in one row group: large enough that dictionaries pay, small enough that a reader which
/// wants one row decodes little.
const ROW_GROUP_ROWS_MAX: usize = 256 * 1024;

/// Columns whose values hardly repeat: a dictionary would only be built and thrown away.
const NO_DICTIONARY: &[&str] = &["request_id", "trace_id", "span_id", "correlation_id", "raw"];

/// Columns of integers that grow or stay close: deltas are smaller than dictionary keys.
const DELTA: &[&str] = &["segment_row", "event_time"];

/// Columns that are looked up by exact value among many: their bloom filters tell row groups
/// without the value apart. Filters are folded to the values present.
const BLOOM: &[&str] = &["request_id", "trace_id"];

/// A Parquet file in memory and its description.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The file.
    pub bytes: Bytes,
    /// What manifests and commits say of it.
    pub entry: FileEntry,
}

/// Writes the rows of one segment, in `segment_row` order.
#[derive(Debug)]
pub struct SegmentEncoder {
    writer: ArrowWriter<Vec<u8>>,
    segment: SegmentId,
    date: EventDate,
    rows: u64,
    event_time_micros: Option<(i64, i64)>,
}

impl SegmentEncoder {
    /// An encoder for the rows of `segment`, all of `date`.
    ///
    /// # Errors
    /// If the Parquet writer refuses the schema, which would be a defect.
    pub fn new(segment: SegmentId, date: EventDate) -> Result<Self, ArchiveError> {
        let metadata = vec![
            KeyValue::new(FORMAT_KEY.to_owned(), common::FORMAT.to_string()),
            KeyValue::new(SEGMENT_KEY.to_owned(), segment.to_string()),
        ];
        let properties = event_properties().set_key_value_metadata(Some(metadata)).build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            // Field ids and logical types say all; the Arrow copy would cost kilobytes a file.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), file_schema(), options)?;
        Ok(Self { writer, segment, date, rows: 0, event_time_micros: None })
    }

    /// Adds rows; the batch has [`file_schema`].
    ///
    /// # Errors
    /// If the batch does not fit the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        let index = column_index("event_time").unwrap_or_default();
        let times = batch.column(index).as_primitive_opt::<TimestampMicrosecondType>();
        for &time in times.map(|times| times.values().iter()).into_iter().flatten() {
            let (min, max) = self.event_time_micros.unwrap_or((time, time));
            self.event_time_micros = Some((min.min(time), max.max(time)));
        }
        self.writer.write(batch)?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
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
        let metadata = self.writer.finish()?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        let sha256 = Sha256Digest::of(&bytes);
        let (event_time_micros_min, event_time_micros_max) =
            self.event_time_micros.unwrap_or_default();
        let entry = FileEntry {
            path: layout::data_key(self.date, sha256),
            sha256,
            bytes: bytes.len() as u64,
            rows: self.rows,
            segment: self.segment,
            event_date: self.date,
            event_time_micros_min,
            event_time_micros_max,
            stats: file_stats(&metadata),
        };
        entry.check()?;
        Ok(EncodedFile { bytes, entry })
    }
}

fn base_properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(common::WRITER.to_owned())
        // Level 1 measured smaller and cheaper than 3 on dictionary-encoded columns (bench/).
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_statistics_truncate_length(Some(STATS_STRING_BYTES_MAX))
}

fn event_properties() -> WriterPropertiesBuilder {
    let path = |name: &str| ColumnPath::from(name);
    let mut properties = base_properties();
    for name in NO_DICTIONARY {
        properties = properties.set_column_dictionary_enabled(path(name), false);
    }
    for name in DELTA {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in BLOOM {
        properties = properties
            .set_column_bloom_filter_enabled(path(name), true)
            .set_column_bloom_filter_fpp(path(name), 0.01)
            .set_column_bloom_filter_max_ndv(path(name), ROW_GROUP_ROWS_MAX as u64);
    }
    for column in COLUMNS.iter().filter(|column| !column.stats) {
        properties =
            properties.set_column_statistics_enabled(path(column.name), EnabledStatistics::Chunk);
    }
    properties
}

/// File statistics from the footer: exact bounds only, and only for columns that carry them.
pub fn file_stats(metadata: &ParquetMetaData) -> FileStats {
    COLUMNS
        .iter()
        .enumerate()
        .filter(|(_, column)| column.stats)
        .filter_map(|(leaf, column)| {
            column_stats(metadata, leaf, column).map(|stats| (column.name.to_owned(), stats))
        })
        .collect()
}

fn column_stats(metadata: &ParquetMetaData, leaf: usize, column: &Column) -> Option<ColumnStats> {
    let mut merged: Option<ColumnStats> = None;
    for group in metadata.row_groups() {
        let chunk = group.column(leaf);
        let statistics = chunk.statistics()?;
        let nulls = statistics.null_count_opt()?;
        let rows = u64::try_from(group.num_rows()).ok()?;
        let (min, max) = bounds(statistics, column.kind);
        let part = ColumnStats { min, max, nulls };
        merged = Some(match merged {
            None => part,
            Some(before) => merge(before, part, nulls == rows),
        });
    }
    merged
}

/// Merges two row groups. A bound missing from one is unknown for both, unless the later group is
/// all NULL, which changes nothing.
fn merge(before: ColumnStats, part: ColumnStats, part_all_null: bool) -> ColumnStats {
    let nulls = before.nulls.saturating_add(part.nulls);
    if part_all_null {
        return ColumnStats { nulls, ..before };
    }
    let both = |a: Option<StatValue>,
                b: Option<StatValue>,
                pick_second: fn(&StatValue, &StatValue) -> bool| {
        match (a, b) {
            (Some(a), Some(b)) => Some(if pick_second(&a, &b) { b } else { a }),
            _ => None,
        }
    };
    ColumnStats {
        min: both(before.min, part.min, |a, b| less(b, a)),
        max: both(before.max, part.max, less),
        nulls,
    }
}

fn less(a: &StatValue, b: &StatValue) -> bool {
    match (a, b) {
        (StatValue::Int(a), StatValue::Int(b)) => a < b,
        (StatValue::Bool(a), StatValue::Bool(b)) => a < b,
        (StatValue::Text(a), StatValue::Text(b)) => a < b,
        _ => false,
    }
}

fn bounds(statistics: &Statistics, kind: ColumnType) -> (Option<StatValue>, Option<StatValue>) {
    match (kind, statistics) {
        (ColumnType::Boolean, Statistics::Boolean(s)) => {
            (s.min_opt().map(|v| StatValue::Bool(*v)), s.max_opt().map(|v| StatValue::Bool(*v)))
        }
        (ColumnType::Int32, Statistics::Int32(s)) => (
            s.min_opt().map(|v| StatValue::Int(i64::from(*v))),
            s.max_opt().map(|v| StatValue::Int(i64::from(*v))),
        ),
        (ColumnType::Int64 | ColumnType::Timestamp, Statistics::Int64(s)) => {
            (s.min_opt().map(|v| StatValue::Int(*v)), s.max_opt().map(|v| StatValue::Int(*v)))
        }
        (ColumnType::Utf8, Statistics::ByteArray(s)) => {
            let text = |bytes: Option<&[u8]>, exact: bool| {
                let text = bytes.filter(|_| exact).and_then(|b| std::str::from_utf8(b).ok())?;
                (text.len() <= STATS_STRING_BYTES_MAX).then(|| StatValue::Text(text.to_owned()))
            };
            (text(s.min_bytes_opt(), s.min_is_exact()), text(s.max_bytes_opt(), s.max_is_exact()))
        }
        _ => (None, None),
    }
}

/// Room for the rejects of a whole part that does not compress. Asked for at once, since a buffer
/// that grows by doubling would for a moment hold three times as much; pages that are never
/// touched cost nothing.
const QUARANTINE_CAPACITY_BYTES: usize = PART_BYTES_MAX + PART_BYTES_MAX / 8;

/// Writes the rejects of one delivery, piece by piece.
#[derive(Debug)]
pub struct QuarantineEncoder {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    reasons: BTreeMap<String, u64>,
}

impl QuarantineEncoder {
    /// An empty quarantine file.
    ///
    /// # Errors
    /// If the Parquet writer refuses the schema, which would be a defect.
    pub fn new() -> Result<Self, ArchiveError> {
        let format = KeyValue::new(FORMAT_KEY.to_owned(), common::FORMAT.to_string());
        let properties = base_properties()
            .set_column_dictionary_enabled(ColumnPath::from("record"), false)
            .set_column_statistics_enabled(ColumnPath::from("record"), EnabledStatistics::None)
            .set_key_value_metadata(Some(vec![format]))
            .build();
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let buffer = Vec::with_capacity(QUARANTINE_CAPACITY_BYTES);
        let writer = ArrowWriter::try_new_with_options(buffer, quarantine_schema(), options)?;
        Ok(Self { writer, rows: 0, reasons: BTreeMap::new() })
    }

    /// Adds rejects; the batch has [`quarantine_schema`].
    ///
    /// # Errors
    /// If the batch does not fit the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        let reasons = batch.column_by_name("reason").and_then(|c| c.as_string_opt::<i32>());
        for reason in reasons.into_iter().flat_map(|column| column.iter().flatten()) {
            match self.reasons.get_mut(reason) {
                Some(count) => *count += 1,
                None => drop(self.reasons.insert(reason.to_owned(), 1)),
            }
        }
        self.writer.write(batch)?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    /// Closes the file.
    ///
    /// # Errors
    /// If the Parquet writer fails.
    pub fn finish(mut self) -> Result<(Bytes, QuarantineEntry), ArchiveError> {
        self.writer.finish()?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        let sha256 = Sha256Digest::of(&bytes);
        let entry = QuarantineEntry {
            path: layout::quarantine_key(sha256),
            sha256,
            bytes: bytes.len() as u64,
            rows: self.rows,
            reasons: self.reasons,
        };
        Ok((bytes, entry))
    }
}

/// Encodes the rejects of one delivery that are in one batch of [`quarantine_schema`].
///
/// # Errors
/// If the batch does not fit the schema or the Parquet writer fails.
pub fn encode_quarantine(batch: &RecordBatch) -> Result<(Bytes, QuarantineEntry), ArchiveError> {
    let mut encoder = QuarantineEncoder::new()?;
    encoder.write(batch)?;
    encoder.finish()
}
