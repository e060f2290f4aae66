//! Delta checkpoints: the state of the table at a version in one Parquet file, so that nobody has
//! to read all commits.
//!
//! A Delta checkpoint is derived data. What it must hold follows from the commits, row by row, and
//! is compared so before anybody vouches for it. Bytes may differ between versions of the Parquet
//! library; rows may not.

mod read;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use bytes::Bytes;
use common::Sha256Digest;
use common::commit::{Commit, add_action};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::EnabledStatistics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::encode::base_properties;
use crate::error::ArchiveError;

pub(crate) use read::State;

/// Key of what the file says of itself, in its Parquet metadata.
const ABOUT_KEY: &str = "meshledger.delta_checkpoint";

/// Rows turned into columns at once: with 6 kB of statistics each, 6 MB.
const BATCH_ROWS: usize = 1_000;

/// Encoded bytes after which a row group is closed, since they wait in memory beside the file.
const ROW_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What a Delta checkpoint says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    /// Archive format.
    pub(crate) format: u32,
    /// The version whose state it is.
    pub(crate) version: u64,
    /// SHA-256 of that version's commit.
    pub(crate) commit_sha256: Sha256Digest,
}

/// Longest hint at a Delta checkpoint.
pub(crate) const HINT_BYTES_MAX: u64 = 4096;

/// The hint `_last_checkpoint`: Delta's words, and no others, since other engines heed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Hint {
    /// Version of the Delta checkpoint.
    pub(crate) version: u64,
    /// Actions in it.
    pub(crate) size: u64,
    /// Its length.
    pub(crate) size_in_bytes: u64,
    /// Files of the table in it.
    pub(crate) num_of_add_files: u64,
}

impl Hint {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl About {
    pub(crate) const fn new(version: u64, commit_sha256: Sha256Digest) -> Self {
        Self { format: common::FORMAT, version, commit_sha256 }
    }
}

/// The rows, in their order: the creation of the table, then of each version the files it added
/// and its quarantine files.
pub(crate) fn rows<'a>(
    commits: impl IntoIterator<Item = &'a Commit>,
) -> impl Iterator<Item = Value> {
    commits.into_iter().flat_map(|commit| {
        let version = commit.note.version;
        let created = commit.creation.iter().flat_map(|creation| {
            [json!({"protocol": creation.protocol}), json!({"metaData": creation.metadata})]
        });
        let added = commit.adds.iter().map(move |file| {
            let add = add_action(file, commit.timestamp_millis);
            json!({"add": add, "meshledger": {"version": version}})
        });
        let quarantine = commit.note.manifests.iter().flat_map(|named| &named.quarantine);
        let rejected = quarantine.map(move |entry| {
            json!({"meshledger": {"version": version, "quarantine": json!(entry).to_string()}})
        });
        created.chain(added).chain(rejected)
    })
}

/// Encodes the state after these commits, which begin at version 0. The same commits give the
/// same bytes in every process of this build.
///
/// # Errors
/// If a commit says what the schema has no place for, or the Parquet writer fails.
pub(crate) fn encode<'a>(
    about: About,
    commits: impl IntoIterator<Item = &'a Commit>,
) -> Result<Bytes, ArchiveError> {
    let about = KeyValue::new(ABOUT_KEY.to_owned(), serde_json::to_string(&about)?);
    // No statistics: engines would skip rows by them, and nobody would compare them.
    let properties = base_properties()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![about]))
        .build();
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema(), options)?;
    let mut rows = rows(commits).peekable();
    while rows.peek().is_some() {
        writer.write(&batch(&schema(), rows.by_ref().take(BATCH_ROWS))?)?;
        if writer.in_progress_size() >= ROW_GROUP_BYTES {
            writer.flush()?;
        }
    }
    Ok(writer.into_inner()?.into())
}

/// Rows as columns.
fn batch(
    schema: &SchemaRef,
    rows: impl Iterator<Item = Value>,
) -> Result<RecordBatch, ArchiveError> {
    let rows: Vec<Value> = rows.collect();
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(rows.len().max(1))
        .with_strict_mode(true)
        .build_decoder()?;
    decoder.serialize(&rows)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

/// What a Delta checkpoint must hold, a part at a time.
struct Expected<'a> {
    schema: SchemaRef,
    /// The rows of an earlier one, which come first.
    base: Option<Rows>,
    /// Rows of it that were read and not taken.
    left: Option<RecordBatch>,
    /// The rows of the commits behind it.
    rows: Box<dyn Iterator<Item = Value> + 'a>,
}

impl<'a> Expected<'a> {
    fn new(
        base: Option<&Bytes>,
        commits: impl IntoIterator<Item = &'a Commit> + 'a,
    ) -> Result<Self, ArchiveError> {
        let object = "an earlier Delta checkpoint".to_owned();
        let base = base.map(open).transpose().map_err(|found| ArchiveError::Ledger {
            object,
            expected: "what it was when it was compared".to_owned(),
            found,
        })?;
        let base = base.map(|(_, rows)| rows);
        Ok(Self { schema: schema(), base, left: None, rows: Box::new(rows(commits).fuse()) })
    }

    /// So many rows, or what is left.
    fn take(&mut self, count: usize) -> Result<RecordBatch, ArchiveError> {
        let (mut parts, mut missing) = (Vec::new(), count);
        while missing > 0 {
            let next = self.left.take().map(Ok);
            let Some(found) = next.or_else(|| self.base.as_mut()?.next()) else { break };
            let found = found?;
            let taken = found.num_rows().min(missing);
            parts.push(found.slice(0, taken));
            missing -= taken;
            let more = found.num_rows() - taken;
            self.left = (more > 0).then(|| found.slice(taken, more));
        }
        parts.push(batch(&self.schema, self.rows.by_ref().take(missing))?);
        Ok(concat_batches(&self.schema, &parts)?)
    }
}

/// Compares a Delta checkpoint with what it must hold: the rows of an earlier one, which was
/// compared before, and those of the commits behind it, or those of all commits. Inside: what
/// differs, as expected and found.
///
/// # Errors
/// If the expected rows do not fit the schema, or the earlier one is none any more.
pub(crate) fn compare<'a>(
    bytes: &Bytes,
    about: About,
    base: Option<&Bytes>,
    commits: impl IntoIterator<Item = &'a Commit> + 'a,
) -> Result<Result<(), (String, String)>, ArchiveError> {
    let file = match open(bytes) {
        Ok((found, file)) if found == about => file,
        Ok((found, _)) => {
            let text = |about: &About| format!("{about:?}");
            return Ok(Err((text(&about), text(&found))));
        }
        Err(found) => return Ok(Err(("a Delta checkpoint".to_owned(), found))),
    };
    let mut must = Expected::new(base, commits)?;
    let mut seen: usize = 0;
    for stored in file {
        let stored = match stored {
            Ok(stored) => stored,
            Err(e) => return Ok(Err(("a readable Delta checkpoint".to_owned(), e.to_string()))),
        };
        let count = stored.num_rows();
        let expected = must.take(count)?;
        if expected.num_rows() < count {
            let expected = seen.saturating_add(expected.num_rows());
            return Ok(Err((format!("{expected} rows"), "more".to_owned())));
        }
        if let Some(row) = first_difference(&expected, &stored) {
            let shown = |batch: &RecordBatch| shown(&batch.slice(row, 1));
            let place = seen.saturating_add(row);
            let (expected, found) = (shown(&expected), shown(&stored));
            return Ok(Err((format!("row {place}: {expected}"), found)));
        }
        seen = seen.saturating_add(count);
    }
    match must.take(1)?.num_rows() {
        0 => Ok(Ok(())),
        _ => Ok(Err((format!("more than {seen} rows"), format!("{seen}")))),
    }
}

/// The first row in which two batches of equal length differ.
fn first_difference(expected: &RecordBatch, found: &RecordBatch) -> Option<usize> {
    let (a, b) = (StructArray::from(expected.clone()), StructArray::from(found.clone()));
    if a == b {
        return None;
    }
    (0..a.len()).find(|&row| a.slice(row, 1) != b.slice(row, 1))
}

/// A row for people.
fn shown(row: &RecordBatch) -> String {
    let mut text = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
    let written = writer.write(row).and_then(|()| writer.finish());
    drop(writer);
    let text = String::from_utf8_lossy(&text);
    if written.is_err() { "a row that can not be shown".to_owned() } else { text.trim().to_owned() }
}

/// A Delta checkpoint's rows as they are read.
pub(crate) type Rows = parquet::arrow::arrow_reader::ParquetRecordBatchReader;

/// Opens a Delta checkpoint: exactly the columns and metadata this format has, since another
/// engine may heed what this program would overlook. The error is for people.
fn open(bytes: &Bytes) -> Result<(About, Rows), String> {
    let text = |e: parquet::errors::ParquetError| e.to_string();
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), plain);
    let parquet = builder.map_err(text)?.metadata().clone();
    let file = parquet.file_metadata();
    let about = match file.key_value_metadata().map(Vec::as_slice) {
        Some([one]) if one.key == ABOUT_KEY => one.value.as_deref().unwrap_or_default(),
        _ => return Err(format!("metadata other than {ABOUT_KEY}")),
    };
    let parsed: About = serde_json::from_str(about).map_err(|e| e.to_string())?;
    if serde_json::to_string(&parsed).ok().as_deref() != Some(about) {
        return Err(format!("{ABOUT_KEY} in another form"));
    }
    let expected = ArrowSchemaConverter::new().convert(&schema()).map_err(text)?;
    if file.schema_descr().root_schema() != expected.root_schema() {
        return Err("other columns".to_owned());
    }
    let skips = |column: &ColumnChunkMetaData| {
        column.statistics().is_some()
            || column.column_index_offset().is_some()
            || column.offset_index_offset().is_some()
            || column.bloom_filter_offset().is_some()
    };
    if parquet.row_groups().iter().flat_map(|group| group.columns()).any(skips) {
        return Err("statistics or indexes, by which rows may be skipped".to_owned());
    }
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema());
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options);
    let rows = builder.map_err(text)?.with_batch_size(BATCH_ROWS).build().map_err(text)?;
    Ok((parsed, rows))
}

/// The columns: Delta's, as far as this table has such actions, and one of ours.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let small = |name: &str| Field::new(name, DataType::Int32, true);
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), true)
    };
    let list = |name: &str| {
        let element = Field::new("element", DataType::Utf8, false);
        Field::new(name, DataType::List(Arc::new(element)), true)
    };
    let map = |name: &str| {
        let key = Field::new("key", DataType::Utf8, false);
        let entry = DataType::Struct(Fields::from(vec![key, text("value")]));
        let entries = Field::new("key_value", entry, false);
        Field::new(name, DataType::Map(Arc::new(entries), false), true)
    };
    let protocol = vec![
        small("minReaderVersion"),
        small("minWriterVersion"),
        list("readerFeatures"),
        list("writerFeatures"),
    ];
    let metadata = vec![
        text("id"),
        text("name"),
        text("description"),
        group("format", vec![text("provider"), map("options")]),
        text("schemaString"),
        list("partitionColumns"),
        number("createdTime"),
        map("configuration"),
    ];
    let add = vec![
        text("path"),
        map("partitionValues"),
        number("size"),
        number("modificationTime"),
        Field::new("dataChange", DataType::Boolean, true),
        text("stats"),
        map("tags"),
    ];
    Arc::new(Schema::new(vec![
        group("protocol", protocol),
        group("metaData", metadata),
        group("add", add),
        group("meshledger", vec![number("version"), text("quarantine")]),
    ]))
}

/// A column of a struct, by name.
fn column<'a>(of: &'a StructArray, name: &str) -> Result<&'a ArrayRef, String> {
    of.column_by_name(name).ok_or_else(|| format!("no column {name}"))
}

#[cfg(test)]
mod tests;
