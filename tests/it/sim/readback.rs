//! What an answer shows, record by record: slow and obvious, and no part of the product.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use archive::memory::{Bucket, Place};
use archive::{Snapshot, SnapshotFile, SnapshotQuarantine};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use common::manifest::FileEntry;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The records of files that were decoded before. A file's name contains the digest of its bytes,
/// so its records never change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readback(Arc<Mutex<BTreeMap<String, Records>>>);

/// Of events, `segment_row` and name; of rejects, the unit's id and name.
type Records = Arc<Vec<(String, String)>>;

impl Readback {
    /// The names of all records that a snapshot shows: rows, then rejects.
    pub(crate) fn names(
        &self,
        bucket: &Bucket,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for file in &snapshot.files {
            let records = self.records(bucket, &file.entry.path, ["segment_row", "request_id"])?;
            if records.len() as u64 != file.entry.rows {
                return Err(format!("{}: {} rows", file.entry.path, records.len()));
            }
            names.extend(records.iter().filter(|(row, _)| counts(file, row)).map(name));
        }
        for file in &snapshot.quarantine {
            let records = self.records(bucket, &file.entry.path, ["unit", "record"])?;
            names.extend(records.iter().filter(|(unit, _)| counts_reject(file, unit)).map(name));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The names of the rows in these files.
    pub(crate) fn names_of(&self, bucket: &Bucket, files: &[FileEntry]) -> Vec<String> {
        let records =
            |file: &FileEntry| self.records(bucket, &file.path, ["segment_row", "request_id"]);
        files
            .iter()
            .flat_map(|file| records(file).unwrap().iter().map(name).collect::<Vec<_>>())
            .collect()
    }

    fn records(&self, bucket: &Bucket, path: &str, columns: [&str; 2]) -> Result<Records, String> {
        if let Some(records) = self.0.lock().unwrap().get(path) {
            return Ok(Arc::clone(records));
        }
        let bytes = bucket.get(Place::Archive, path).ok_or(format!("{path} is not there"))?;
        let records = Arc::new(decode(bytes, columns));
        self.0.lock().unwrap().insert(path.to_owned(), Arc::clone(&records));
        Ok(records)
    }
}

fn name((_, name): &(String, String)) -> String {
    name.clone()
}

fn counts(file: &SnapshotFile, row: &str) -> bool {
    let row: u64 = row.parse().unwrap();
    file.kept_rows.as_ref().is_none_or(|kept| kept.iter().any(|range| range.contains(&row)))
}

fn counts_reject(file: &SnapshotQuarantine, unit: &str) -> bool {
    file.kept_units.as_ref().is_none_or(|kept| kept.iter().any(|id| id.to_string() == unit))
}

fn decode(bytes: Bytes, columns: [&str; 2]) -> Vec<(String, String)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let reader = builder.with_projection(mask).build().unwrap();
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let [keys, names] = columns.map(|column| texts(&batch, column));
        records.extend(keys.into_iter().zip(names));
    }
    records
}

/// A column as text; what has no value is nothing.
fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array = batch.column_by_name(column).unwrap();
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return numbers.values().iter().map(ToString::to_string).collect();
    }
    if let Some(bytes) = array.as_binary_opt::<i32>() {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        return bytes.iter().map(|bytes| text(bytes.unwrap_or_default())).collect();
    }
    let strings = array.as_string::<i32>();
    strings.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}
