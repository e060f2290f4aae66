//! What the sealer may do when somebody asks it, by name, to put the log or the ledger right.
//!
//! It replaces a commit only as long as that still is what was read, and deletes nothing. That no
//! signature covers the commit is for the caller to know.

use bytes::Bytes;
use common::layout::{self, CHECKPOINTS_PREFIX, LOG_PREFIX, MANIFESTS_PREFIX, Place, TILES_PREFIX};
use common::limits::{COMMIT_BYTES_MAX, MANIFEST_BYTES_MAX};
use common::{DeliveryId, Sha256Digest};
use tlog::tile::Tile;

use super::Sealer;
use crate::error::ArchiveError;
use crate::held::list_runs;
use crate::store::{Stamped, Swap};

impl Sealer {
    /// A commit as it is stored, to be replaced.
    ///
    /// # Errors
    /// If it can not be read, or is longer than a commit may be.
    pub async fn commit_stamped(&self, version: u64) -> Result<Option<Stamped>, ArchiveError> {
        self.reader().store().get_stamped(&layout::commit_key(version), COMMIT_BYTES_MAX).await
    }

    /// Puts a commit in the place of one that was never signed, if that is still there.
    ///
    /// # Errors
    /// If the store refuses or the outcome could not be learnt.
    pub async fn replace_commit(
        &self,
        version: u64,
        expected: &Stamped,
        bytes: Bytes,
    ) -> Result<Swap, ArchiveError> {
        self.reader().store().swap(&layout::commit_key(version), Some(expected), bytes).await
    }

    /// Keeps the bytes of a commit that has to give way.
    ///
    /// # Errors
    /// If the work area refuses.
    pub async fn keep_refused_commit(
        &self,
        version: u64,
        bytes: Bytes,
    ) -> Result<(), ArchiveError> {
        let key = layout::refused_commit_key(version, Sha256Digest::of(&bytes));
        let _ = self.reader().work().put_new(&key, bytes).await?;
        Ok(())
    }

    /// Versions of the log from this one on, in ascending order.
    ///
    /// # Errors
    /// If the log can not be listed.
    pub async fn versions_from(&self, version: u64) -> Result<Vec<u64>, ArchiveError> {
        let after = version.checked_sub(1).map(layout::commit_key);
        self.places(LOG_PREFIX, after.as_deref(), |place| match place {
            Place::Commit(version) => Some(version),
            _ => None,
        })
        .await
    }

    /// URLs of the runs of the held index that cover this version or a later one.
    ///
    /// # Errors
    /// If the index can not be listed.
    pub async fn held_runs_from(&self, version: u64) -> Result<Vec<String>, ArchiveError> {
        let store = self.reader().store();
        let runs = list_runs(store).await?.into_iter().filter(|(_, last, _)| *last >= version);
        let key = |(first, last, digest)| layout::held_key(first, last, digest);
        Ok(runs.map(|run| store.object_url(&key(run))).collect())
    }

    /// The deliveries that a sealer, or somebody else, has kept the manifest of.
    ///
    /// # Errors
    /// If manifests can not be listed.
    pub async fn kept_deliveries(&self) -> Result<Vec<DeliveryId>, ArchiveError> {
        self.places(MANIFESTS_PREFIX, None, |place| match place {
            Place::Manifest(delivery) => Some(delivery),
            _ => None,
        })
        .await
    }

    /// Lets a delivery wait again, if its manifest was kept; one that waits already stays.
    ///
    /// # Errors
    /// If the manifest can not be read or the work area refuses.
    pub async fn let_wait(&self, delivery: DeliveryId) -> Result<bool, ArchiveError> {
        let key = layout::manifest_key(delivery);
        let kept = self.reader().store().get_bounded(&key, MANIFEST_BYTES_MAX).await?;
        let Some(bytes) = kept else { return Ok(false) };
        let _ = self.reader().work().put_new(&layout::inbox_key(delivery), bytes).await?;
        Ok(true)
    }

    /// The tiles and bundles that are there.
    ///
    /// # Errors
    /// If the ledger can not be listed.
    pub async fn tiles(&self) -> Result<Vec<Tile>, ArchiveError> {
        self.places(TILES_PREFIX, None, |place| match place {
            Place::Tile(tile) => Some(tile),
            _ => None,
        })
        .await
    }

    /// The sizes of which a signature is kept.
    ///
    /// # Errors
    /// If signatures can not be listed.
    pub async fn signed_sizes(&self) -> Result<Vec<u64>, ArchiveError> {
        self.places(CHECKPOINTS_PREFIX, None, |place| match place {
            Place::Signature(size, _) => Some(size),
            _ => None,
        })
        .await
    }

    /// What the keys below a prefix say, behind a key, as far as `take` wants them.
    async fn places<T>(
        &self,
        prefix: &str,
        after: Option<&str>,
        take: impl Fn(Place) -> Option<T>,
    ) -> Result<Vec<T>, ArchiveError> {
        let listed = self.reader().store().list(prefix, after).await?;
        Ok(listed.iter().filter_map(|object| take(layout::parse(&object.key))).collect())
    }
}
