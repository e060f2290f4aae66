//! An object that comes in pieces of any length and is there whole or not at all: what results and
//! exports have in common.

use bytes::{Bytes, BytesMut};
use common::Sha256Digest;
use common::digest::Hasher;

use crate::error::ArchiveError;
use crate::store::{PART_BYTES_MIN, Put, Store, Upload};

/// An object on its way. It is there when [`Parted::finish`] says so, and not before.
pub(super) struct Parted {
    store: Store,
    key: String,
    /// Whether nobody else can have given this key.
    key_is_unique: bool,
    waiting: BytesMut,
    upload: Option<Box<dyn Upload>>,
    parts: u32,
    hasher: Hasher,
    bytes: u64,
}

/// Bytes of the first parts, and so what an object that is not very long holds of memory.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;
const _: () = assert!(PART_BYTES >= PART_BYTES_MIN);

/// S3 takes at most 10,000 parts of an object. So that they suffice for 430 GiB, later ones are
/// longer: how many parts there are of each length, and their bytes.
const PARTS: [(u32, usize); 3] =
    [(1_000, PART_BYTES), (4_000, 4 * PART_BYTES), (5_000, 8 * PART_BYTES)];

/// Bytes of the part of this number, from 0; none if there can be no further part.
fn part_bytes(number: u32) -> Option<usize> {
    let mut end = 0;
    PARTS.into_iter().find_map(|(count, bytes)| {
        end += count;
        (number < end).then_some(bytes)
    })
}

impl std::fmt::Debug for Parted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} bytes", self.key, self.bytes)
    }
}

impl Parted {
    pub(super) fn new(store: Store, key: String, key_is_unique: bool) -> Self {
        let (waiting, hasher) = (BytesMut::new(), Hasher::new());
        Self { store, key, key_is_unique, waiting, upload: None, parts: 0, hasher, bytes: 0 }
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Bytes that came so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes; puts a part when there are enough.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !bytes.is_empty() {
            let Some(part_bytes) = part_bytes(self.parts) else { return Err(self.too_long()) };
            // A part is put when more comes, so that the last one is never empty.
            if self.waiting.len() >= part_bytes {
                let part = self.waiting.split().freeze();
                self.put_part(part).await?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(part_bytes - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn too_long(&self) -> ArchiveError {
        let parts: u32 = PARTS.iter().map(|(count, _)| count).sum();
        ArchiveError::Refused {
            operation: "put",
            object: self.store.object_url(&self.key),
            hint: "write it to a file, or in several objects",
            source: format!(
                "after {} bytes it has {parts} parts, the most there can be",
                self.bytes
            )
            .into(),
        }
    }

    /// Makes it an object, and says its digest and its length.
    ///
    /// # Errors
    /// If the store fails. If only the answer was lost the object is looked at, as far as it may
    /// be read; it may be there although this fails.
    pub(super) async fn finish(mut self) -> Result<(Sha256Digest, u64), ArchiveError> {
        let sha256 = std::mem::take(&mut self.hasher).finish();
        let last = self.waiting.split().freeze();
        match self.upload.take() {
            None => self.put_whole(last, sha256).await?,
            Some(mut upload) => {
                self.store.count_part(&last);
                if let Err(error) = upload.part(last).await {
                    upload.abort().await;
                    return Err(error);
                }
                if let Err(error) = upload.complete().await {
                    self.must_be(sha256, error).await?;
                }
            }
        }
        Ok((sha256, self.bytes))
    }

    /// Gives up what was put.
    pub(super) async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }

    async fn put_part(&mut self, part: Bytes) -> Result<(), ArchiveError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.store.upload(&self.key).await?),
        };
        self.store.count_part(&part);
        self.parts += 1;
        upload.part(part).await
    }

    /// An object of one part. What is there after a lost answer is this one, unless another was
    /// there before; as far as it may be read, it is looked at.
    async fn put_whole(&self, bytes: Bytes, sha256: Sha256Digest) -> Result<(), ArchiveError> {
        if self.store.put_new(&self.key, bytes).await? == Put::Created {
            return Ok(());
        }
        match self.store.digest(&self.key).await {
            Ok(Some(there)) if there.sha256 != sha256 => Err(ArchiveError::Digest {
                object: self.store.object_url(&self.key),
                expected: sha256,
                found: there.sha256,
            }),
            Ok(_) => Ok(()),
            // Who may only put can not look; of a key that is nobody else's it is not needed.
            Err(ArchiveError::Refused { .. }) if self.key_is_unique => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// What failed to become an object may have become one, when the answer was lost.
    async fn must_be(&self, sha256: Sha256Digest, error: ArchiveError) -> Result<(), ArchiveError> {
        match self.store.digest(&self.key).await {
            Ok(Some(there)) if there.sha256 == sha256 => Ok(()),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_parts_as_s3_takes_and_they_grow() {
        assert_eq!(part_bytes(0), Some(8 << 20));
        assert_eq!(part_bytes(999), Some(8 << 20));
        assert_eq!(part_bytes(1_000), Some(32 << 20));
        assert_eq!(part_bytes(9_999), Some(64 << 20));
        assert_eq!(part_bytes(10_000), None);
        let all: usize = PARTS.iter().map(|(count, bytes)| *count as usize * bytes).sum();
        assert!(all > 430 << 30 && PARTS.iter().all(|(_, bytes)| *bytes >= PART_BYTES_MIN));
    }
}
