//! Objects that come in parts: long ones, of which nobody wants to keep all bytes in memory.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Shared, Store, check_key, length};
use crate::error::ArchiveError;

/// An object of which parts were put. Until it is complete there is no object; one that is
/// dropped leaves at most parts that no reader sees.
#[async_trait]
pub(crate) trait Upload: Send + Sync {
    /// Puts the next part. All but the last have at least [`PART_BYTES_MIN`].
    async fn part(&mut self, bytes: Bytes) -> Result<(), ArchiveError>;
    /// Makes the parts an object.
    async fn complete(self: Box<Self>) -> Result<(), ArchiveError>;
    /// Gives the parts up, as far as the store can be told.
    async fn abort(self: Box<Self>);
}

/// Least bytes of a part that is not the last, as S3 asks.
pub(crate) const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

impl Store {
    /// Begins an object that comes in parts.
    pub(crate) async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, ArchiveError> {
        check_key(key)?;
        self.counters.put();
        self.backend.upload(key).await
    }

    /// Counts a part that was put.
    pub(crate) fn count_part(&self, bytes: &[u8]) {
        self.counters.put();
        self.counters.wrote_bytes(length(bytes));
    }

    /// A URL by which anybody can get the object, for so long.
    pub(crate) async fn shared_url(
        &self,
        key: &str,
        lasts: Duration,
    ) -> Result<Shared, ArchiveError> {
        check_key(key)?;
        self.backend.shared_url(key, lasts).await
    }
}

/// The error of a kind of store that can not do this.
pub(super) fn not_here(operation: &'static str, key: &str) -> ArchiveError {
    ArchiveError::Refused {
        operation,
        object: key.to_owned(),
        hint: "keep results in a folder or in S3",
        source: "this kind of store can not do that".into(),
    }
}
