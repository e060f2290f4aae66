//! The seat that puts answers where those who asked can get them.
//!
//! It puts below `results/` of the work area, and that is all: it lists, replaces and deletes
//! nothing, and no archive rests on what it puts. A bucket's lifecycle rule removes results.

use std::time::Duration;

use common::Sha256Digest;
use common::layout::RESULTS_PREFIX;

use super::parted::Parted;
use crate::error::ArchiveError;
use crate::store::{Shared, Store, Usage};

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
        Ok(ResultUpload(Parted::new(self.work.clone(), format!("{RESULTS_PREFIX}{name}"), true)))
    }

    /// What was asked of the work area's store so far.
    pub fn usage(&self) -> Usage {
        self.work.usage()
    }
}

/// A result on its way. It is there when [`ResultUpload::finish`] says so, and not before.
#[derive(Debug)]
pub struct ResultUpload(Parted);

impl ResultUpload {
    /// Bytes that came so far.
    pub const fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Takes the next bytes; puts a part when there are enough.
    ///
    /// # Errors
    /// If the store fails; then the result should be given up.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.0.write(bytes).await
    }

    /// Makes the result an object, and a URL for it that lasts so long.
    ///
    /// # Errors
    /// If the store fails. The result may be there after all, when only the answer was lost;
    /// nobody then has its URL.
    pub async fn finish(self, lasts: Duration) -> Result<StoredResult, ArchiveError> {
        let (work, key) = (self.0.store().clone(), self.0.key().to_owned());
        let (sha256, bytes) = self.0.finish().await?;
        let shared = work.shared_url(&key, lasts).await?;
        Ok(StoredResult { shared, bytes, sha256 })
    }

    /// Gives up what was put.
    pub async fn abort(self) {
        self.0.abort().await;
    }
}

#[cfg(test)]
mod tests;
