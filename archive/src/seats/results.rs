//! The seat that puts answers where those who asked can get them.
//!
//! It puts below `results/` of the work area, and that is all: it lists, replaces and deletes
//! nothing, and no archive rests on what it puts. A bucket's lifecycle rule removes results.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::Sha256Digest;
use common::digest::Hasher;
use common::layout::RESULTS_PREFIX;

use crate::error::ArchiveError;
use crate::store::{PART_BYTES_MIN, Put, Shared, Store, Upload, Usage};

/// Puts results.
#[derive(Debug, Clone)]
pub struct Results {
    work: Store,
}

/// A result that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// Where anybody can get it.
    pub shared: Shared,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

/// Bytes put at a time, and so what a result of any length holds of memory.
const PART_BYTES: usize = 8 * 1024 * 1024;
const _: () = assert!(PART_BYTES >= PART_BYTES_MIN);

/// Longest name of a result.
pub const RESULT_NAME_BYTES_MAX: usize = 160;

impl Results {
    pub(super) const fn new(work: Store) -> Self {
        Self { work }
    }

    /// A result of this name, of which nothing was put yet. The name must be given once only and
    /// should be hard to guess.
    ///
    /// # Errors
    /// If the name has other characters than `A-Z a-z 0-9 . _ -`, or too many.
    pub fn begin(&self, name: &str) -> Result<ResultUpload, ArchiveError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || name.len() > RESULT_NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(ArchiveError::Key {
                key: name.chars().take(200).collect(),
                expected: "a result's name: at most 160 of A-Z a-z 0-9 . _ -, a letter or digit first",
            });
        }
        Ok(ResultUpload {
            work: self.work.clone(),
            key: format!("{RESULTS_PREFIX}{name}"),
            waiting: BytesMut::new(),
            upload: None,
            hasher: Hasher::new(),
            bytes: 0,
        })
    }

    /// What was asked of the work area's store so far.
    pub fn usage(&self) -> Usage {
        self.work.usage()
    }
}

/// A result on its way. It is there when [`ResultUpload::finish`] says so, and not before.
pub struct ResultUpload {
    work: Store,
    key: String,
    waiting: BytesMut,
    upload: Option<Box<dyn Upload>>,
    hasher: Hasher,
    bytes: u64,
}

impl std::fmt::Debug for ResultUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResultUpload({}, {} bytes)", self.key, self.bytes)
    }
}

impl ResultUpload {
    /// Bytes that came so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes; puts a part when there are enough.
    ///
    /// # Errors
    /// If the store fails; then the result should be given up.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !bytes.is_empty() {
            // A part is put when more comes, so that the last one is never empty.
            if self.waiting.len() >= PART_BYTES {
                let part = self.waiting.split().freeze();
                self.put_part(part).await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Makes the result an object, and a URL for it that lasts so long.
    ///
    /// # Errors
    /// If the store fails. The result may be there after all, when only the answer was lost;
    /// nobody then has its URL.
    pub async fn finish(mut self, lasts: Duration) -> Result<StoredResult, ArchiveError> {
        let sha256 = std::mem::take(&mut self.hasher).finish();
        let last = self.waiting.split().freeze();
        match self.upload.take() {
            None => self.put_whole(last, sha256).await?,
            Some(mut upload) => {
                self.work.count_part(&last);
                if let Err(error) = upload.part(last).await {
                    upload.abort().await;
                    return Err(error);
                }
                upload.complete().await?;
            }
        }
        let shared = self.work.shared_url(&self.key, lasts).await?;
        Ok(StoredResult { shared, bytes: self.bytes, sha256 })
    }

    /// Gives up what was put.
    pub async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }

    async fn put_part(&mut self, part: Bytes) -> Result<(), ArchiveError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.work.upload(&self.key).await?),
        };
        self.work.count_part(&part);
        upload.part(part).await
    }

    /// A result of one part. Its name is given once, so what is there after a lost answer is this
    /// one; as far as it may be read, it is looked at.
    async fn put_whole(&self, bytes: Bytes, sha256: Sha256Digest) -> Result<(), ArchiveError> {
        if self.work.put_new(&self.key, bytes).await? == Put::Created {
            return Ok(());
        }
        match self.work.digest(&self.key).await {
            Ok(Some(there)) if there.sha256 != sha256 => Err(ArchiveError::Digest {
                object: self.work.object_url(&self.key),
                expected: sha256,
                found: there.sha256,
            }),
            Ok(_) | Err(ArchiveError::Refused { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests;
