//! The seat that adds files and waiting manifests. It lists and deletes nothing.

use bytes::Bytes;
use common::Sha256Digest;
use common::layout::{self, Place};
use common::manifest::Manifest;

use super::Places;
use crate::error::ArchiveError;
use crate::store::{Put, Store, Usage};

/// Puts files, then the manifest that names them. Until the manifest is there, the files are
/// orphans that nobody sees; once it is there, the delivery may be acknowledged.
#[derive(Debug, Clone)]
pub struct Writer {
    places: Places,
}

impl Writer {
    pub(super) const fn new(places: Places) -> Self {
        Self { places }
    }

    /// Stores an event file or a quarantine file under its name, which must contain the SHA-256
    /// of its bytes. Already there with these bytes is success.
    ///
    /// # Errors
    /// If name and bytes do not agree, if the object already there has other bytes (as far as
    /// this role may read it), or if the store refuses.
    pub async fn put_file(&self, path: &str, bytes: Bytes) -> Result<Put, ArchiveError> {
        Ok(put_file(&self.places, path, bytes).await?.0)
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
        Ok(put_file(&self.places, path, bytes).await?.1)
    }

    /// Stores a manifest in the inbox. One of this delivery already there is success, whatever
    /// its bytes: it names the same units.
    ///
    /// # Errors
    /// If the manifest contradicts itself or the store refuses.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<Put, ArchiveError> {
        manifest.check()?;
        let bytes = Bytes::from(manifest.to_bytes()?);
        let key = layout::inbox_key(manifest.delivery);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > common::limits::MANIFEST_BYTES_MAX {
            return Err(ArchiveError::TooLong {
                object: self.places.work.object_url(&key),
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                bytes_max: common::limits::MANIFEST_BYTES_MAX,
            });
        }
        self.places.work.put_new(&key, bytes).await
    }

    /// What was asked of the archive's and the work area's store so far: archive first.
    pub fn usage(&self) -> (Usage, Usage) {
        (self.places.archive.usage(), self.places.work.usage())
    }
}

/// Stores a file whose name contains its digest.
pub(super) async fn put_file(
    places: &Places,
    path: &str,
    bytes: Bytes,
) -> Result<(Put, Option<String>), ArchiveError> {
    let store = &places.archive;
    let named = match layout::parse(path) {
        Place::Data(_, digest) | Place::Quarantine(digest) | Place::Held(_, _, digest) => digest,
        _ => {
            let key = path.chars().take(200).collect();
            return Err(ArchiveError::Key { key, expected: "the key of a file named by digest" });
        }
    };
    let found = Sha256Digest::of(&bytes);
    if found != named {
        let object = store.object_url(path);
        return Err(ArchiveError::Digest { object, expected: named, found });
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (put, version) = store.put_versioned(path, bytes).await?;
    if put == Put::AlreadyThere {
        check_there(&store.at_version(version.as_deref()), path, length, named).await?;
    }
    Ok((put, version))
}

/// "Already there" is going to be acknowledged, and the caller may then drop its bytes for ever:
/// so those in the store must be the same.
async fn check_there(
    store: &Store,
    path: &str,
    length: u64,
    named: Sha256Digest,
) -> Result<(), ArchiveError> {
    let object = store.object_url(path);
    match store.digest(path).await {
        Ok(Some(there)) if there.bytes != length => {
            Err(ArchiveError::Length { object, expected: length, found: there.bytes })
        }
        Ok(Some(there)) if there.sha256 != named => {
            Err(ArchiveError::Digest { object, expected: named, found: there.sha256 })
        }
        Ok(None) => {
            let expected = "the file the store said was there".to_owned();
            Err(ArchiveError::Missing { object, expected })
        }
        // A role that may not read has to take the name's word; the sealer hashes it all.
        Ok(Some(_)) | Err(ArchiveError::Refused { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[tokio::test]
    async fn redelivery_notices_a_changed_file() {
        let folder = tempfile::tempdir().unwrap();
        let archive = sample::create(folder.path()).await.unwrap();
        let delivery = sample::delivery(&[sample::unit("a", 1, 0)], 1).unwrap();
        let (path, bytes) = &delivery.files[0];
        let writer = archive.writer();
        assert_eq!(writer.put_file(path, bytes.clone()).await.unwrap(), Put::Created);
        assert_eq!(writer.put_file(path, bytes.clone()).await.unwrap(), Put::AlreadyThere);
        let file = folder.path().join("archive").join(path);
        let mut changed = bytes.to_vec();
        changed[10] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        let error = writer.put_file(path, bytes.clone()).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Digest { .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
        changed.pop();
        std::fs::write(&file, &changed).unwrap();
        let error = writer.put_file(path, bytes.clone()).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Length { .. }), "{error}");
    }
}
