//! The rows of kept units as a segment of their own, when the other units of a delivery are held.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use archive::encode::QuarantineEncoder;
use archive::rows::row_key;
use archive::{ArchiveError, EncodedFile, SegmentEncoder};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use common::manifest::{FileEntry, QuarantineEntry};
use common::schema::{file_schema, quarantine_schema};
use common::{SegmentId, UnitId};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Copies the rows at `ranges` of a segment into a new one, numbered from 0. The same input
/// always gives the same bytes, so a seal that is run again finds its own file.
///
/// # Errors
/// If the file is not what its manifest says.
pub(crate) fn events(
    file: &FileEntry,
    bytes: Bytes,
    ranges: &[Range<u64>],
    kept: &[UnitId],
) -> Result<EncodedFile, ArchiveError> {
    let segment = SegmentId::of_kept_units(file.segment, kept);
    let mut positions = ranges.iter().flat_map(|range| range.clone());
    let mut next_row = 0i64;
    let ranges = ranges.iter().map(|range| Ok(index(range.start)?..index(range.end)?));
    let ranges: Vec<Range<usize>> = ranges.collect::<Result<_, ArchiveError>>()?;
    let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), index(file.rows)?);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let key = row_key(reader.metadata().file_metadata().key_value_metadata())?;
    let mut encoder = SegmentEncoder::new(segment, file.event_date, key.of_rewritten(segment))?;
    let reader = reader.with_batch_size(BATCH_ROWS).with_row_selection(selection).build()?;
    for batch in reader {
        let batch = renumber(&batch?, segment, &mut positions, &mut next_row)?;
        encoder.write(&batch)?;
    }
    if positions.next().is_some() {
        return Err(contradiction("the file has fewer rows than its manifest says"));
    }
    encoder.finish()
}

fn renumber(
    batch: &RecordBatch,
    segment: SegmentId,
    positions: &mut impl Iterator<Item = u64>,
    next_row: &mut i64,
) -> Result<RecordBatch, ArchiveError> {
    let rows = batch.num_rows();
    let stored =
        batch.column_by_name("segment_row").and_then(|c| c.as_primitive_opt::<Int64Type>());
    let stored = stored.ok_or_else(|| contradiction("no column segment_row of 64-bit integers"))?;
    for row in stored.values() {
        if positions.next() != u64::try_from(*row).ok() {
            return Err(contradiction("rows are not in the order of segment_row"));
        }
    }
    let first = *next_row;
    *next_row = first.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
    let segments: ArrayRef = Arc::new(StringArray::from(vec![segment.to_string(); rows]));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..*next_row));
    conform(batch, &file_schema(), |name| match name {
        "segment" => Some(Arc::clone(&segments)),
        "segment_row" => Some(Arc::clone(&numbers)),
        _ => None,
    })
}

/// Copies the rejects of the units at these indexes; `None` if there are none.
///
/// # Errors
/// If the file is not what its manifest says.
pub(crate) fn rejects(
    bytes: Bytes,
    kept: &BTreeSet<i32>,
) -> Result<Option<(Bytes, QuarantineEntry)>, ArchiveError> {
    let mut encoder = QuarantineEncoder::new()?;
    let mut rows = 0;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS).build()?;
    for batch in reader {
        let batch = conform(&batch?, &quarantine_schema(), |_| None)?;
        let units = batch.column_by_name("unit_index");
        let units = units.and_then(|column| column.as_primitive_opt::<Int32Type>());
        let units =
            units.ok_or_else(|| contradiction("no column unit_index of 32-bit integers"))?;
        let is_kept: BooleanArray =
            units.iter().map(|unit| Some(unit.is_some_and(|unit| kept.contains(&unit)))).collect();
        let batch = filter_record_batch(&batch, &is_kept)?;
        rows += batch.num_rows();
        encoder.write(&batch)?;
    }
    if rows == 0 { Ok(None) } else { encoder.finish().map(Some) }
}

/// The batch with exactly this schema: columns by name, replaced where `replace` says so. Parquet
/// gives back the same types, but not the same names and metadata inside lists.
fn conform(
    batch: &RecordBatch,
    schema: &SchemaRef,
    replace: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch, ArchiveError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if let Some(column) = replace(field.name()) {
            columns.push(column);
            continue;
        }
        let column = batch.column_by_name(field.name());
        let column = column.ok_or_else(|| contradiction("a column of the format is missing"))?;
        columns.push(if column.data_type() == field.data_type() {
            Arc::clone(column)
        } else {
            cast(column, field.data_type())?
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn index(row: u64) -> Result<usize, ArchiveError> {
    usize::try_from(row).map_err(|_| contradiction("more rows than this machine can count"))
}

fn contradiction(what: &str) -> ArchiveError {
    ArchiveError::Arrow(ArrowError::InvalidArgumentError(what.to_owned()))
}

#[cfg(test)]
mod tests;
