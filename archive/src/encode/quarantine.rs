//! Records that were not understood, to Parquet bytes.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use common::digest::Sha256Digest;
use common::layout;
use common::limits::DELIVERY_PARTS_BYTES_MAX;
use common::manifest::QuarantineEntry;
use common::schema::quarantine_schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::ColumnPath;

use super::{FORMAT_KEY, base_properties};
use crate::error::ArchiveError;

/// Room for the rejects of a whole delivery of parts that do not compress. Asked for at once,
/// since a buffer that grows by doubling would for a moment hold three times as much; pages that
/// are never touched cost nothing.
const QUARANTINE_CAPACITY_BYTES: usize = DELIVERY_PARTS_BYTES_MAX + DELIVERY_PARTS_BYTES_MAX / 8;

/// Compressed bytes after which a row group is closed: few, since they wait in memory beside the
/// file, which may be as large as its delivery.
const ROW_GROUP_BYTES: usize = 2 * 1024 * 1024;

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
        // The library keeps a row group's pages beside the file until the group is closed.
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
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
            version: None,
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
