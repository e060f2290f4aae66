//! The seat that seals: get, list, put on the log, manifests, index and rewritten files, delete
//! in the inbox. It can delete no data.

use bytes::Bytes;
use common::held;
use common::layout::{self, INBOX_PREFIX};
use common::limits::MANIFEST_BYTES_MAX;
use common::{DeliveryId, Sha256Digest};

use super::{Reader, writer};
use crate::error::ArchiveError;
use crate::held::{Held, derive_run, list_runs};
use crate::log::{self, Log, SealedCommit};
use crate::store::{Digested, Listed, Put};

/// Who won a version of the log.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPut {
    /// The commit stored at this version has our bytes.
    Won,
    /// Another's commit is there: load the log again and start over.
    Lost,
}

/// Held runs written in one call: the rest is for the next one.
const RUNS_WRITTEN_MAX: usize = 64;

/// The seat that seals.
#[derive(Debug, Clone)]
pub struct Sealer {
    reader: Reader,
}

impl Sealer {
    pub(super) const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The same archive from the reader's seat.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The archive's table id.
    ///
    /// # Errors
    /// If there is no archive, or one of another format.
    pub async fn table_id(&self) -> Result<&str, ArchiveError> {
        self.reader.places.table_id().await
    }

    /// One page of the inbox, in ascending order of key, after the key `start_after`.
    ///
    /// # Errors
    /// If the work area can not be listed.
    pub async fn waiting(&self, start_after: Option<&str>) -> Result<Vec<Listed>, ArchiveError> {
        self.reader.places.work.list_page(INBOX_PREFIX, start_after).await
    }

    /// Bytes of a waiting manifest; `None` if it is gone.
    ///
    /// # Errors
    /// If it can not be read, or is longer than a manifest may be.
    pub async fn get_waiting(&self, key: &str) -> Result<Option<Bytes>, ArchiveError> {
        self.reader.places.work.get_bounded(key, MANIFEST_BYTES_MAX).await
    }

    /// Loads the log, reading only what `previous` lacks.
    ///
    /// # Errors
    /// If a version is missing or malformed, or does not continue the one before it.
    pub async fn log(&self, previous: &Log) -> Result<Log, ArchiveError> {
        Log::load(&self.reader.places.archive, previous).await
    }

    /// Loads the log as [`Self::log`] does, but no version from `end` on.
    ///
    /// # Errors
    /// As [`Self::log`].
    pub async fn log_before(&self, previous: &Log, end: u64) -> Result<Log, ArchiveError> {
        Log::load_before(&self.reader.places.archive, previous, end).await
    }

    /// One commit, by itself.
    ///
    /// # Errors
    /// If it can not be read, or is none.
    pub async fn commit(&self, version: u64) -> Result<SealedCommit, ArchiveError> {
        log::read(&self.reader.places.archive, version).await
    }

    /// The log with the commit of the next version, which was stored a moment ago.
    ///
    /// # Errors
    /// If it can not be read, or does not continue the log.
    pub async fn log_with_next(&self, log: &Log) -> Result<Log, ArchiveError> {
        log.with_next(&self.reader.places.archive).await
    }

    /// Extends a set of held units to a version, which is not covered any more.
    ///
    /// # Errors
    /// If a run or manifest can not be read, or contradicts its digest.
    pub async fn held_before(
        &self,
        previous: Held,
        log: &Log,
        version: u64,
    ) -> Result<Held, ArchiveError> {
        previous.extend_to(&self.reader.places.archive, log, version).await
    }

    /// Extends a set of held units to the end of the log.
    ///
    /// # Errors
    /// If a run or manifest can not be read, or contradicts its digest.
    pub async fn held(&self, previous: Held, log: &Log) -> Result<Held, ArchiveError> {
        previous.extend(&self.reader.places.archive, log).await
    }

    /// Length and digest of a file of the archive; `None` if it is not there.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn digest(&self, path: &str) -> Result<Option<Digested>, ArchiveError> {
        self.reader.places.archive.digest(path).await
    }

    /// Stores a file of rewritten rows under its name. Already there is success.
    ///
    /// # Errors
    /// If name and bytes do not agree, or the store refuses.
    pub async fn put_file(&self, path: &str, bytes: Bytes) -> Result<Put, ArchiveError> {
        Ok(writer::put_file(&self.reader.places, path, bytes).await?.0)
    }

    /// As [`Self::put_file`], with the version that the store gave to the object, if it keeps
    /// versions.
    ///
    /// # Errors
    /// As [`Self::put_file`].
    pub async fn put_versioned_file(
        &self,
        path: &str,
        bytes: Bytes,
    ) -> Result<Option<String>, ArchiveError> {
        Ok(writer::put_file(&self.reader.places, path, bytes).await?.1)
    }

    /// Keeps a manifest for ever. The first one of a delivery wins; returns the bytes that are
    /// stored now, which differ from `bytes` only if an earlier sealer crashed after storing
    /// another manifest of the same delivery.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn put_manifest(
        &self,
        delivery: DeliveryId,
        bytes: Bytes,
    ) -> Result<Bytes, ArchiveError> {
        let store = &self.reader.places.archive;
        let key = layout::manifest_key(delivery);
        match store.put_new(&key, bytes.clone()).await? {
            Put::Created => Ok(bytes),
            Put::AlreadyThere => {
                let there = store.get_bounded(&key, MANIFEST_BYTES_MAX).await?;
                there.ok_or_else(|| ArchiveError::Missing {
                    object: store.object_url(&key),
                    expected: "the manifest the store said was there".to_owned(),
                })
            }
        }
    }

    /// Puts a commit if its version is free: this elects the winner among sealers.
    ///
    /// # Errors
    /// If the store refuses or the outcome could not be learnt. Then nothing may be deleted.
    pub async fn put_commit(&self, version: u64, bytes: Bytes) -> Result<CommitPut, ArchiveError> {
        let store = &self.reader.places.archive;
        let key = layout::commit_key(version);
        if store.put_new(&key, bytes.clone()).await? == Put::Created {
            return Ok(CommitPut::Won);
        }
        // A request repeated below us after a lost answer finds its own object.
        let object = store.object_url(&key);
        let expected = "the commit the store said was there".to_owned();
        let there = store.digest(&key).await?.ok_or(ArchiveError::Missing { object, expected })?;
        let own = there.sha256 == Sha256Digest::of(&bytes);
        Ok(if own { CommitPut::Won } else { CommitPut::Lost })
    }

    /// Writes the runs of the held index that are due by the end of the log and not there, and
    /// returns how many. `since` is a version up to which none was missing: with none due since,
    /// nothing is asked.
    ///
    /// # Errors
    /// If a manifest can not be read or the store refuses; the archive is complete without runs.
    pub async fn write_held_runs(&self, log: &Log, since: u64) -> Result<usize, ArchiveError> {
        let store = &self.reader.places.archive;
        let Some(last) = log.version() else { return Ok(0) };
        if (since..=last).all(|version| held::runs_due(version).is_empty()) {
            return Ok(0);
        }
        let mut runs = list_runs(store).await?;
        let mut written = 0;
        for span in (0..=last).flat_map(held::runs_due) {
            if runs.iter().any(|run| (run.0, run.1) == span) {
                continue;
            }
            if written >= RUNS_WRITTEN_MAX {
                break;
            }
            let bytes = Bytes::from(derive_run(store, log, &runs, span).await?);
            let digest = Sha256Digest::of(&bytes);
            let _ = self.put_file(&layout::held_key(span.0, span.1, digest), bytes).await?;
            runs.push((span.0, span.1, digest));
            written += 1;
        }
        Ok(written)
    }

    /// Moves a waiting manifest to `refused/`, so that redelivery can succeed.
    ///
    /// Another sealer may have moved it already, and a good one been delivered since. That one
    /// stays, or is put back if it came between looking and removing. What remains: in a folder,
    /// a crash just between removing and putting back, which leaves it under `.tmp/`; on S3, a
    /// redelivery between the last reading and the delete, two requests, is removed unseen. Both
    /// need two sealers that refuse the same manifest at once; `verify` then reports the files
    /// as orphans, and the same input delivered again adds them.
    ///
    /// # Errors
    /// If the work area refuses.
    pub async fn refuse(
        &self,
        key: &str,
        delivery: DeliveryId,
        bytes: Bytes,
    ) -> Result<(), ArchiveError> {
        let work = &self.reader.places.work;
        let digest = Sha256Digest::of(&bytes);
        let _ = work.put_new(&layout::refused_key(delivery, digest), bytes).await?;
        match work.digest(key).await? {
            Some(there) if there.sha256 == digest => {}
            _ => return Ok(()),
        }
        self.remove_refused(key, digest).await
    }

    /// Removes a manifest, and puts it back if it is not the refused one any more.
    async fn remove_refused(&self, key: &str, refused: Sha256Digest) -> Result<(), ArchiveError> {
        let work = &self.reader.places.work;
        let taken = work.take(key, MANIFEST_BYTES_MAX).await?;
        if let Some(taken) = taken.filter(|taken| Sha256Digest::of(taken) != refused) {
            tracing::warn!(key, "a manifest delivered again while its forerunner was refused");
            let _ = work.put_new(key, taken).await?;
        }
        Ok(())
    }

    /// Removes a manifest from the inbox, after a commit holds its units.
    ///
    /// # Errors
    /// If the work area refuses. The manifest is held and will be dropped by the next seal.
    pub async fn remove_waiting(&self, key: &str) -> Result<(), ArchiveError> {
        if layout::parse_inbox(key).is_none() {
            let key = key.to_owned();
            return Err(ArchiveError::Key { key, expected: "a key of the inbox" });
        }
        self.reader.places.work.delete(key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[tokio::test]
    async fn refusing_never_loses_a_manifest_delivered_again() {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        let sample = sample::delivery(&[sample::unit("a", 1, 0)], 1).unwrap();
        sample::ingest(&archive, &sample).await.unwrap();
        let delivery = sample.manifest.delivery;
        let key = layout::inbox_key(delivery);
        let sealer = archive.sealer();
        let good = sealer.get_waiting(&key).await.unwrap().unwrap();
        let bad = Bytes::from_static(b"bad");
        // It was delivered again before the refusal looked.
        sealer.refuse(&key, delivery, bad.clone()).await.unwrap();
        assert_eq!(sealer.get_waiting(&key).await.unwrap().unwrap(), good);
        // It was delivered again after the refusal looked.
        sealer.remove_refused(&key, Sha256Digest::of(&bad)).await.unwrap();
        assert_eq!(sealer.get_waiting(&key).await.unwrap().unwrap(), good);
        sealer.refuse(&key, delivery, good).await.unwrap();
        assert_eq!(sealer.get_waiting(&key).await.unwrap(), None);
    }
}
