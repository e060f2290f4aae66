//! What the sealer may do about Delta checkpoints: put the one of a version, and point other
//! engines to it.

use bytes::Bytes;
use common::Sha256Digest;
use common::commit::DeltaCheckpointRef;
use common::layout::{self, LAST_CHECKPOINT_KEY};
use common::limits::FILE_BYTES_MAX;

use super::Sealer;
use crate::background;
use crate::delta_checkpoint::{About, HINT_BYTES_MAX, Hint, compare, encode};
use crate::error::ArchiveError;
use crate::log::Log;
use crate::store::Put;

impl Sealer {
    /// Stores the Delta checkpoint of a version, unless one is there, and returns the words by
    /// which a commit vouches for it. Inside: why nobody may, because what is there does not
    /// follow from the commits.
    ///
    /// Stopped after the put: a Delta checkpoint that no commit names. The next call finds it,
    /// compares it, and names it as it is.
    ///
    /// # Errors
    /// If the log has no such version, or the store refuses.
    pub async fn put_delta_checkpoint(
        &self,
        log: &Log,
        version: u64,
    ) -> Result<Result<DeltaCheckpointRef, String>, ArchiveError> {
        let store = self.reader().store();
        let key = layout::delta_checkpoint_key(version);
        let object = store.object_url(&key);
        let (about, state) = state_at(log, version, &object)?;
        let commits = state.clone();
        let encoded = background::run(&object, move || {
            encode(about, commits.commits().iter().map(|sealed| &sealed.commit))
        });
        let bytes = encoded.await??;
        if length(&bytes) > FILE_BYTES_MAX {
            let (found, object) = (length(&bytes), &object);
            return Ok(Err(format!("{object} would have {found} bytes, more than may be stored")));
        }
        let there = match store.put_new(&key, bytes.clone()).await? {
            Put::Created => bytes.clone(),
            Put::AlreadyThere => match store.get_bounded(&key, FILE_BYTES_MAX).await {
                Ok(Some(there)) => there,
                Ok(None) => {
                    let expected = "the Delta checkpoint the store said was there".to_owned();
                    return Err(ArchiveError::Missing { object, expected });
                }
                Err(e @ ArchiveError::TooLong { .. }) => return Ok(Err(e.to_string())),
                Err(e) => return Err(e),
            },
        };
        // Another build's Parquet library may have chosen other bytes for the same rows.
        if there != bytes {
            let (commits, stored) = (state.clone(), there.clone());
            let compared = background::run(&object, move || {
                compare(&stored, about, None, commits.commits().iter().map(|sealed| &sealed.commit))
            });
            if let Err((expected, found)) = compared.await?? {
                return Ok(Err(format!("{object}: expected {expected}, found {found}")));
            }
        }
        if let Err(error) = self.point_to(&state, version, length(&there)).await {
            // Nobody of ours reads it, and the next Delta checkpoint brings the next one.
            tracing::warn!(version, %error, "other engines are not told of the Delta checkpoint");
        }
        let (sha256, bytes) = (Sha256Digest::of(&there), length(&there));
        Ok(Ok(DeltaCheckpointRef { version, sha256, bytes }))
    }

    /// Tells other engines of a Delta checkpoint, unless they know a later one.
    async fn point_to(&self, state: &Log, version: u64, bytes: u64) -> Result<(), ArchiveError> {
        let store = self.reader().store();
        let there = store.get_stamped(LAST_CHECKPOINT_KEY, HINT_BYTES_MAX).await?;
        let known = there.as_ref().and_then(|there| Hint::parse(&there.bytes).ok());
        if known.is_some_and(|known| known.version >= version) {
            return Ok(());
        }
        let adds = state.commits().iter().map(|sealed| sealed.commit.adds.len()).sum::<usize>();
        let adds = u64::try_from(adds).unwrap_or(u64::MAX);
        let hint = Hint {
            version,
            // With the two actions of version 0.
            size: adds.saturating_add(2),
            size_in_bytes: bytes,
            num_of_add_files: adds,
        };
        let hint = Bytes::from(serde_json::to_vec(&hint)?);
        // Changed by another meanwhile: as good a hint.
        let _ = store.swap(LAST_CHECKPOINT_KEY, there.as_ref(), hint).await?;
        Ok(())
    }
}

/// The log up to a version, and what its Delta checkpoint says of itself.
fn state_at(log: &Log, version: u64, object: &str) -> Result<(About, Log), ArchiveError> {
    let state = log.prefix(version.saturating_add(1));
    match state.commits().last() {
        Some(last) if log.first() == 0 && last.commit.note.version == version => {
            Ok((About::new(version, last.sha256), state))
        }
        _ => Err(ArchiveError::Missing {
            object: object.to_owned(),
            expected: format!("a log with version {version}"),
        }),
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
