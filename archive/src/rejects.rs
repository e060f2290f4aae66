//! Rejects read back from a quarantine file, some at a time, with the source they came from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use common::commit::ManifestRef;
use common::layout;
use common::manifest::Source;
use common::schema::quarantine_schema;
use common::{DeliveryId, Sha256Digest, UnitId};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::background;
use crate::error::ArchiveError;
use crate::held;
use crate::log::{self, Log};
use crate::seats::Reader;
use crate::snapshot::{Snapshot, SnapshotQuarantine, Waiting, read_waiting};

/// Rows decoded at a time: a record may have megabytes.
const BATCH_ROWS: usize = 64;

/// One reject, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReject {
    /// The unit it came with.
    pub unit: UnitId,
    /// Where it begins in its stream.
    pub offset_bytes: u64,
    /// How many rejects of the same unit, offset and length come before it.
    pub earlier: u64,
    /// Why it was not understood.
    pub reason: String,
    /// Its bytes.
    pub record: Bytes,
}

impl StoredReject {
    /// The unit it is when it is replayed.
    pub fn replay_unit(&self) -> UnitId {
        let length_bytes = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        UnitId::of_replay(self.unit, self.offset_bytes, length_bytes, self.earlier)
    }
}

/// The rejects of one quarantine file that count, in order.
pub struct StoredRejects {
    source: Source,
    first: Option<RecordBatch>,
    rest: ParquetRecordBatchReader,
    kept_units: Option<HashSet<UnitId>>,
    numbering: Numbering,
}

/// Counts rejects with the same place and length. Those of one place follow each other.
#[derive(Default)]
struct Numbering {
    place: Option<(UnitId, u64)>,
    by_length: HashMap<usize, u64>,
}

impl Numbering {
    /// How many with this place and length came before.
    fn earlier(&mut self, unit: UnitId, offset_bytes: u64, length_bytes: usize) -> u64 {
        if self.place.replace((unit, offset_bytes)) != Some((unit, offset_bytes)) {
            self.by_length.clear();
        }
        let count = self.by_length.entry(length_bytes).or_default();
        *count += 1;
        *count - 1
    }
}

impl Reader {
    /// Opens a quarantine file of a snapshot; `None` if it has no rows. The file is held in memory
    /// as it is stored, and decoded piece by piece.
    ///
    /// # Errors
    /// If the file, or the manifest it belongs to, can not be read or is not what it should be.
    pub async fn rejects(
        &self,
        snapshot: &Snapshot,
        file: &SnapshotQuarantine,
    ) -> Result<Option<StoredRejects>, ArchiveError> {
        let store = self.store();
        let object = store.object_url(&file.entry.path);
        let Some(bytes) = store.get(&file.entry.path).await? else {
            let expected = "the quarantine file its manifest names".to_owned();
            return Err(ArchiveError::Missing { object, expected });
        };
        let (expected, name) = (file.entry.sha256, object.clone());
        let (first, rest) = background::run(&name, move || {
            let found = Sha256Digest::of(&bytes);
            if found != expected {
                return Err(ArchiveError::Digest { object, expected, found });
            }
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
            let mut rest = builder.with_batch_size(BATCH_ROWS).build()?;
            Ok((rest.next().transpose()?, rest))
        })
        .await??;
        let Some(first) = first else { return Ok(None) };
        let source = self.source(snapshot, file, delivery(&first)?).await?;
        let kept_units = file.kept_units.as_ref().map(|units| units.iter().copied().collect());
        let numbering = Numbering::default();
        Ok(Some(StoredRejects { source, first: Some(first), rest, kept_units, numbering }))
    }

    /// Where the delivery of a quarantine file came from, as its manifest says.
    async fn source(
        &self,
        snapshot: &Snapshot,
        file: &SnapshotQuarantine,
        delivery: DeliveryId,
    ) -> Result<Source, ArchiveError> {
        let commit = match file.sealed_version {
            Some(version) => Some(match snapshot.log.commit(version) {
                Some(commit) => Arc::clone(commit),
                // A snapshot may begin with a Delta checkpoint, which names no manifests.
                None => Arc::new(log::read(self.store(), version).await?),
            }),
            None => None,
        };
        if let Some(commit) = commit
            && let Some(named) = named(&commit.commit.note.manifests, delivery)
        {
            return Ok(held::read_sealed(self.store(), named).await?.source);
        }
        let key = layout::inbox_key(delivery);
        if let Waiting::Manifest(manifest) = read_waiting(self.work(), &key).await? {
            return Ok(manifest.source.clone());
        }
        // It was sealed after the snapshot was taken.
        let log = Log::load(self.store(), &snapshot.log).await?;
        for sealed in log.commits().iter().rev() {
            if let Some(named) = named(&sealed.commit.note.manifests, delivery) {
                return Ok(held::read_sealed(self.store(), named).await?.source);
            }
        }
        let object = self.work().object_url(&key);
        let expected = format!("the manifest of {}", file.entry.path);
        Err(ArchiveError::Missing { object, expected })
    }
}

fn named(manifests: &[ManifestRef], delivery: DeliveryId) -> Option<&ManifestRef> {
    manifests.iter().find(|manifest| manifest.delivery == delivery)
}

impl StoredRejects {
    /// Where all of them came from.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    fn read(&mut self, batch: &RecordBatch) -> Result<Vec<StoredReject>, ArchiveError> {
        let (units, offsets) = (column(batch, "unit")?, column(batch, "offset_bytes")?);
        let (reasons, records) = (column(batch, "reason")?, column(batch, "record")?);
        let (units, reasons) = (units.as_string::<i32>(), reasons.as_string::<i32>());
        let offsets = offsets.as_primitive::<Int64Type>();
        let records = records.as_binary::<i32>();
        let mut rejects = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let unit: UnitId = units.value(row).parse()?;
            if self.kept_units.as_ref().is_some_and(|kept| !kept.contains(&unit)) {
                continue;
            }
            let offset_bytes = u64::try_from(offsets.value(row))
                .map_err(|_| contradiction("an offset in the quarantine is below 0"))?;
            let record = records.value(row);
            rejects.push(StoredReject {
                unit,
                offset_bytes,
                earlier: self.numbering.earlier(unit, offset_bytes, record.len()),
                reason: reasons.value(row).to_owned(),
                record: Bytes::copy_from_slice(record),
            });
        }
        Ok(rejects)
    }
}

impl Iterator for StoredRejects {
    type Item = Result<Vec<StoredReject>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.first.take() {
            Some(batch) => Ok(batch),
            None => self.rest.next()?,
        };
        Some(batch.map_err(ArchiveError::from).and_then(|batch| self.read(&batch)))
    }
}

/// The delivery of a quarantine file: all of its rows are of one.
fn delivery(batch: &RecordBatch) -> Result<DeliveryId, ArchiveError> {
    let column = column(batch, "delivery")?;
    let text = column.as_string::<i32>();
    let first = (!text.is_empty()).then(|| text.value(0));
    Ok(first.ok_or_else(|| contradiction("a quarantine file has no delivery"))?.parse()?)
}

/// A column of the quarantine in the type of the format, without NULL.
fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, ArchiveError> {
    let found = batch.column_by_name(name);
    let found = found.ok_or_else(|| contradiction("a column of the quarantine is missing"))?;
    let column = cast(found, quarantine_schema().field_with_name(name)?.data_type())?;
    if column.null_count() > 0 {
        return Err(contradiction("a column of the quarantine lacks a value"));
    }
    Ok(column)
}

fn contradiction(what: &str) -> ArchiveError {
    ArchiveError::Arrow(ArrowError::InvalidArgumentError(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::snapshot::Mode;

    #[test]
    fn rejects_of_one_place_and_length_are_numbered() {
        let (a, b) = (sample::unit_id("a"), sample::unit_id("b"));
        let mut numbering = Numbering::default();
        let places = [(a, 0, 5), (a, 0, 7), (a, 0, 5), (a, 9, 5), (b, 9, 5), (b, 9, 5)];
        let earlier = places.map(|(unit, offset, length)| numbering.earlier(unit, offset, length));
        assert_eq!(earlier, [0, 0, 1, 0, 0, 1]);
    }

    #[tokio::test]
    async fn rejects_come_back_with_their_source_waiting_or_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        let units = [sample::unit("a", 1, 2), sample::unit("b", 1, 100)];
        let delivery = sample::delivery(&units, 1).unwrap();
        let writer = archive.writer();
        for (path, bytes) in &delivery.files {
            let _ = writer.put_file(path, bytes.clone()).await.unwrap();
        }
        let _ = writer.put_manifest(&delivery.manifest).await.unwrap();
        let reader = archive.reader();
        let mut snapshot = reader.snapshot(Mode::Fresh).await.unwrap();
        let all = |rejects: StoredRejects| -> Vec<StoredReject> {
            rejects.flat_map(|batch| batch.unwrap()).collect()
        };
        let rejects = reader.rejects(&snapshot, &snapshot.quarantine[0]).await.unwrap().unwrap();
        assert_eq!(rejects.source(), &delivery.manifest.source);
        let rejects = all(rejects);
        assert_eq!(rejects.len(), 102);
        let names: HashSet<UnitId> = rejects.iter().map(StoredReject::replay_unit).collect();
        assert_eq!(names.len(), 102, "each has a name of its own");
        snapshot.quarantine[0].kept_units = Some(vec![sample::unit_id("b")]);
        let kept = reader.rejects(&snapshot, &snapshot.quarantine[0]).await.unwrap().unwrap();
        assert_eq!(all(kept), rejects[2..]);
    }

    #[tokio::test]
    async fn a_changed_quarantine_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        let delivery = sample::delivery(&[sample::unit("a", 0, 1)], 1).unwrap();
        for (path, bytes) in &delivery.files {
            let _ = archive.writer().put_file(path, bytes.clone()).await.unwrap();
        }
        let _ = archive.writer().put_manifest(&delivery.manifest).await.unwrap();
        let reader = archive.reader();
        let snapshot = reader.snapshot(Mode::Fresh).await.unwrap();
        let file = &snapshot.quarantine[0];
        let path = folder.path().join("archive").join(&file.entry.path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let Err(error) = reader.rejects(&snapshot, file).await else { panic!("it was read") };
        assert!(matches!(error, ArchiveError::Digest { .. }), "{error}");
    }
}
