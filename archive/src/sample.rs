//! Small deliveries and archives for tests of this crate and the crates above it.
//!
//! A row says in column `principal` which unit and record it is (`a#0`), so that a test can write
//! out which rows must be there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use common::commit::{
    CommitNote, Genesis, ManifestRef, Operation, add_action, empty_bytes, seal_bytes,
};
use common::date::EventDate;
use common::manifest::{FileEntry, Manifest, Provenance, RowRange, Source, Unit};
use common::row::{RowKey, RowSeed};
use common::schema::{COLUMNS, ColumnType, file_schema, quarantine_schema};
use common::{DeliveryId, SegmentId, Sha256Digest, UnitId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::encode::encode_quarantine;
use crate::error::ArchiveError;
use crate::log::Log;
use crate::memory::Bucket;
use crate::seats::{Archive, CommitPut, Reader};
use crate::snapshot::{Mode, Snapshot};
use crate::{Location, SegmentEncoder, StoreOptions};

/// 2026-11-02T10:15:31Z, in microseconds.
pub const NOON_MICROS: i64 = 1_793_614_531_000_000;

/// One unit to be: its name, the event times of its records, and how many rejects it has.
#[derive(Debug, Clone)]
pub struct SampleUnit {
    /// Name; its SHA-256 is the unit's id.
    pub name: &'static str,
    /// Event times, microseconds.
    pub times: Vec<i64>,
    /// Rejected records.
    pub rejects: u64,
}

/// A unit with `events` records a second apart from noon on.
pub fn unit(name: &'static str, events: i64, rejects: u64) -> SampleUnit {
    let times = (0..events).map(|n| NOON_MICROS + n * 1_000_000).collect();
    SampleUnit { name, times, rejects }
}

/// Id of the unit of this name.
pub fn unit_id(name: &str) -> UnitId {
    UnitId(Sha256Digest::of(name.as_bytes()))
}

/// A delivery: its manifest, and its files by path.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The manifest.
    pub manifest: Manifest,
    /// The files it names.
    pub files: Vec<(String, Bytes)>,
}

/// Makes a delivery of units, received at some time: the same units received at another time are
/// the same delivery with other bytes.
///
/// # Errors
/// If the files can not be encoded.
pub fn delivery(units: &[SampleUnit], received_at_micros: i64) -> Result<Sample, ArchiveError> {
    let ids: Vec<UnitId> = units.iter().map(|unit| unit_id(unit.name)).collect();
    let delivery = DeliveryId::of_units(&ids);
    let mut by_date: BTreeMap<EventDate, Vec<(String, i64)>> = BTreeMap::new();
    let mut described = Vec::new();
    for (unit, id) in units.iter().zip(&ids) {
        let mut rows: Vec<RowRange> = Vec::new();
        for (n, &time) in unit.times.iter().enumerate() {
            let date = EventDate::of_micros(time);
            let segment = SegmentId::of(delivery, date);
            let in_segment = by_date.entry(date).or_default();
            match rows.iter_mut().find(|range| range.segment == segment) {
                Some(range) => range.count += 1,
                None => rows.push(RowRange { segment, first: in_segment.len() as u64, count: 1 }),
            }
            in_segment.push((format!("{}#{n}", unit.name), time));
        }
        described.push(Unit {
            id: *id,
            sha256: id.0,
            bytes: unit.name.len() as u64,
            events: unit.times.len() as u64,
            rejects: unit.rejects,
            rows,
        });
    }
    let mut files = Vec::new();
    let mut entries: Vec<FileEntry> = Vec::new();
    for (date, rows) in by_date {
        let segment = SegmentId::of(delivery, date);
        let mut encoder = SegmentEncoder::new(segment, date, row_key(segment, received_at_micros))?;
        encoder.write(&events(segment, &rows, received_at_micros)?)?;
        let encoded = encoder.finish()?;
        files.push((encoded.entry.path.clone(), encoded.bytes));
        entries.push(encoded.entry);
    }
    let mut quarantine = Vec::new();
    if units.iter().any(|unit| unit.rejects > 0) {
        let (bytes, entry) = encode_quarantine(&rejects(delivery, units, received_at_micros)?)?;
        files.push((entry.path.clone(), bytes));
        quarantine.push(entry);
    }
    let manifest = Manifest {
        format: common::FORMAT,
        delivery,
        source: Source {
            transport: "file".to_owned(),
            transport_ref: None,
            cluster: None,
            format: "auto".to_owned(),
        },
        provenance: Provenance { writer: common::WRITER.to_owned(), received_at_micros },
        units: described,
        files: entries,
        quarantine,
        redactions: BTreeMap::new(),
    };
    Ok(Sample { manifest, files })
}

/// The same units received at another time draw other bytes, as everywhere.
fn row_key(segment: SegmentId, received_at_micros: i64) -> RowKey {
    let mut drawn = [1; 32];
    drawn[..8].copy_from_slice(&received_at_micros.to_be_bytes());
    RowKey::of_segment(RowSeed::new(drawn), segment)
}

fn events(
    segment: SegmentId,
    rows: &[(String, i64)],
    received_at_micros: i64,
) -> Result<RecordBatch, ArchiveError> {
    let count = rows.len();
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
    let times = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let columns = COLUMNS.iter().map(|column| -> ArrayRef {
        match (column.name, column.kind) {
            ("segment", _) => texts(&segment.to_string()),
            ("segment_row", _) => Arc::new(Int64Array::from_iter_values((0i64..).take(count))),
            ("event_time", _) => times(rows.iter().map(|(_, time)| *time).collect()),
            ("ingest_time", _) => times(vec![received_at_micros; count]),
            ("principal", _) => {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|(name, _)| name)))
            }
            (_, kind) if column.nullable => new_null_array(&kind.arrow(), count),
            (_, ColumnType::Int32) => Arc::new(Int32Array::from(vec![1; count])),
            (_, ColumnType::Boolean) => Arc::new(BooleanArray::from(vec![false; count])),
            _ => texts("x"),
        }
    });
    Ok(RecordBatch::try_new(file_schema(), columns.collect())?)
}

fn rejects(
    delivery: DeliveryId,
    units: &[SampleUnit],
    received_at_micros: i64,
) -> Result<RecordBatch, ArchiveError> {
    let mut rows: Vec<(i32, String)> = Vec::new();
    for (index, unit) in (0i32..).zip(units) {
        rows.extend((0..unit.rejects).map(|n| (index, format!("{}!{n}", unit.name))));
    }
    let count = rows.len();
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
    let ids = rows.iter().map(|(_, record)| {
        unit_id(record.split_once('!').map_or("", |(name, _)| name)).to_string()
    });
    let nulls = || new_null_array(&arrow::datatypes::DataType::Utf8, count);
    let columns: Vec<ArrayRef> = vec![
        texts(&delivery.to_string()),
        Arc::new(StringArray::from_iter_values(ids)),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(index, _)| *index))),
        Arc::new(Int64Array::from(vec![0; count])),
        Arc::new(Int64Array::from(vec![1; count])),
        texts("not_json"),
        nulls(),
        nulls(),
        nulls(),
        Arc::new(
            TimestampMicrosecondArray::from(vec![received_at_micros; count]).with_timezone("UTC"),
        ),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, record)| record.as_bytes()))),
    ];
    Ok(RecordBatch::try_new(quarantine_schema(), columns)?)
}

/// Where a test's archive is, in a folder of its own.
///
/// # Errors
/// If the folder's path is not UTF-8.
pub fn location(folder: &Path) -> Result<Location, ArchiveError> {
    Location::parse(&folder.join("archive").to_string_lossy(), None)
}

/// Creates an archive in a folder.
///
/// # Errors
/// If the folder can not be written.
pub async fn create(folder: &Path) -> Result<Archive, ArchiveError> {
    Ok(Archive::create(&location(folder)?, &impatient(), &genesis()).await?.archive)
}

/// Creates an archive in a bucket in memory.
///
/// # Errors
/// If it can not be created there.
pub async fn create_in(bucket: &Bucket) -> Result<Archive, ArchiveError> {
    let archive = bucket.archive(Arc::new(bucket.clone()), &impatient());
    Ok(archive.create_here(&genesis()).await?.archive)
}

fn genesis() -> Genesis {
    Genesis { table_id: "sample".to_owned(), timestamp_millis: 1_793_614_000_000, fence: true }
}

fn impatient() -> StoreOptions {
    StoreOptions { put_pause_millis: Some(1), ..StoreOptions::default() }
}

/// Stores a delivery's files and then its manifest, as ingest does.
///
/// # Errors
/// If the archive can not be written.
pub async fn ingest(archive: &Archive, sample: &Sample) -> Result<(), ArchiveError> {
    let writer = archive.writer();
    for (path, bytes) in &sample.files {
        let _ = writer.put_file(path, bytes.clone()).await?;
    }
    let _ = writer.put_manifest(&sample.manifest).await?;
    Ok(())
}

/// Commits whole deliveries that were ingested: a seal without any of its checks.
///
/// # Errors
/// If the archive can not be written.
pub async fn seal(archive: &Archive, samples: &[&Sample]) -> Result<CommitPut, ArchiveError> {
    let sealer = archive.sealer();
    let log = sealer.log(&Log::default()).await?;
    let (mut manifests, mut adds) = (Vec::new(), Vec::new());
    for sample in samples {
        let bytes = Bytes::from(sample.manifest.to_bytes()?);
        let stored = sealer.put_manifest(sample.manifest.delivery, bytes).await?;
        manifests.push(ManifestRef {
            delivery: sample.manifest.delivery,
            sha256: Sha256Digest::of(&stored),
            bytes: stored.len() as u64,
            units_kept: None,
            quarantine: sample.manifest.quarantine.clone(),
        });
        adds.extend(sample.manifest.files.iter().cloned());
    }
    let note = CommitNote {
        format: common::FORMAT,
        operation: Operation::Seal,
        version: log.next_version(),
        previous_sha256: log.commits().last().map(|last| last.sha256),
        delta_checkpoint: None,
        refused: None,
        manifests,
    };
    let bytes = seal_bytes(1_793_615_000_000, &note, &adds);
    let put = sealer.put_commit(note.version, Bytes::from(bytes)).await?;
    for sample in samples {
        sealer.remove_waiting(&common::layout::inbox_key(sample.manifest.delivery)).await?;
    }
    let _ = sealer.write_held_runs(&sealer.log(&log).await?, 0).await?;
    Ok(put)
}

/// Bytes of the next commit, which takes files out of the table: with other files of the same rows
/// in their place, or without. No program writes such commits yet.
///
/// # Errors
/// If the note can not be written.
pub fn removing_commit(
    log: &Log,
    removes: &[&str],
    adds: &[FileEntry],
) -> Result<Bytes, ArchiveError> {
    const TIMESTAMP_MILLIS: i64 = 1_793_616_000_000;
    let is_loss = adds.is_empty();
    let note = CommitNote {
        format: common::FORMAT,
        operation: if is_loss { Operation::Expire } else { Operation::Compact },
        version: log.next_version(),
        previous_sha256: log.commits().last().map(|last| last.sha256),
        delta_checkpoint: None,
        refused: None,
        manifests: Vec::new(),
    };
    let mut bytes = empty_bytes(TIMESTAMP_MILLIS, &note);
    let removes = removes.iter().map(|path| {
        json!({"remove": {
            "path": path, "deletionTimestamp": TIMESTAMP_MILLIS, "dataChange": is_loss,
        }})
    });
    let adds = adds.iter().map(|file| {
        let mut add = add_action(file, TIMESTAMP_MILLIS);
        add["dataChange"] = json!(false);
        json!({ "add": add })
    });
    for action in removes.chain(adds) {
        serde_json::to_writer(&mut bytes, &action)?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

/// Names (`a#0`) of the rows a snapshot shows, sorted, and its rejects (`a!0`) after them. Slow
/// and obvious: decodes every file whole.
///
/// # Errors
/// If a file can not be read.
pub async fn shown(reader: &Reader, mode: Mode) -> Result<Vec<String>, ArchiveError> {
    let snapshot: Snapshot = reader.snapshot(mode).await?;
    let mut names = Vec::new();
    for file in &snapshot.files {
        for batch in batches(reader, &file.entry.path).await? {
            let text =
                |name: &str| batch.column_by_name(name).map(|c| c.as_string::<i32>().clone());
            let rows = batch.column_by_name("segment_row");
            let rows = rows.map(|c| c.as_primitive::<Int64Type>().clone());
            let (Some(principals), Some(rows)) = (text("principal"), rows) else { continue };
            for (name, row) in principals.iter().zip(rows.iter()) {
                let row = row.and_then(|row| u64::try_from(row).ok()).unwrap_or(u64::MAX);
                let counts =
                    file.kept_rows.as_ref().is_none_or(|r| r.iter().any(|r| r.contains(&row)));
                names.extend(name.filter(|_| counts).map(str::to_owned));
            }
        }
    }
    for file in &snapshot.quarantine {
        for batch in batches(reader, &file.entry.path).await? {
            let Some(records) = batch.column_by_name("record") else { continue };
            let Some(units) = batch.column_by_name("unit") else { continue };
            for (record, unit) in records.as_binary::<i32>().iter().zip(units.as_string::<i32>()) {
                let counts = file.kept_units.as_ref().is_none_or(|kept| {
                    kept.iter().any(|kept| Some(kept.to_string().as_str()) == unit)
                });
                let name = String::from_utf8_lossy(record.unwrap_or_default()).into_owned();
                names.extend(counts.then_some(name));
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}

async fn batches(reader: &Reader, path: &str) -> Result<Vec<RecordBatch>, ArchiveError> {
    let bytes = reader.store().get(path).await?.unwrap_or_default();
    let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    Ok(batches.collect::<Result<_, _>>()?)
}
