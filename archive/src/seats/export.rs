//! A file for somebody, as an S3 object: whole or not at all, and never in the place of another.
//!
//! It is no part of an archive; that it is here is because only this crate puts objects.

use common::Sha256Digest;

use super::parted::Parted;
use crate::error::ArchiveError;
use crate::location::Target;
use crate::options::StoreOptions;
use crate::store::Store;

/// An object on its way. It is there when [`Export::finish`] says so, and not before.
#[derive(Debug)]
pub struct Export(Parted);

/// An object that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

impl Export {
    /// Begins an object of which nothing is put yet.
    ///
    /// # Errors
    /// If the URL is not `s3://bucket/…/name`, or there is an object of this name.
    pub async fn begin(url: &str, options: &StoreOptions) -> Result<Self, ArchiveError> {
        let expected = || ArchiveError::Location {
            url: url.to_owned(),
            expected: "s3://bucket/prefix/name".to_owned(),
        };
        let (folder, name) = url.rsplit_once('/').ok_or_else(expected)?;
        if !folder.starts_with("s3://") || folder.len() <= "s3://".len() || name.is_empty() {
            return Err(expected());
        }
        let store = Store::open(&Target::parse(folder)?, options)?;
        let begun = Self(Parted::new(store, name.to_owned(), false));
        begun.must_be_free().await?;
        Ok(begun)
    }

    /// Takes the next bytes; puts a part when there are enough.
    ///
    /// # Errors
    /// If the store fails; then the object should be given up.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.0.write(bytes).await
    }

    /// Makes it an object. Nobody else may put one of this name meanwhile: one in a single part is
    /// put if there is none; of a longer one this is asked just before.
    ///
    /// # Errors
    /// If there is one, or the store fails. If only the store's answer was lost, and the object
    /// may not be read, it may be there all the same.
    pub async fn finish(self) -> Result<Exported, ArchiveError> {
        if let Err(error) = self.must_be_free().await {
            self.0.abort().await;
            return Err(error);
        }
        let (sha256, bytes) = self.0.finish().await?;
        Ok(Exported { bytes, sha256 })
    }

    /// Gives up what was put.
    pub async fn abort(self) {
        self.0.abort().await;
    }

    async fn must_be_free(&self) -> Result<(), ArchiveError> {
        match self.0.store().head(self.0.key()).await? {
            None => Ok(()),
            Some(bytes) => Err(ArchiveError::Refused {
                operation: "put",
                object: self.0.store().object_url(self.0.key()),
                hint: "name another object",
                source: format!("one of {bytes} bytes is there already").into(),
            }),
        }
    }
}
