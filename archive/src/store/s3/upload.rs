//! An S3 object that comes in parts.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::MultipartUpload;

use super::S3Store;
use crate::error::ArchiveError;
use crate::store::Upload;

/// A multipart upload. One that is dropped leaves its parts until the bucket's lifecycle rule
/// removes them; nobody sees them.
pub(super) struct S3Upload {
    store: S3Store,
    key: String,
    /// Never locked: it is only ever reached by whoever owns it. Servers share futures that hold one.
    parts: Mutex<Box<dyn MultipartUpload>>,
}

impl S3Upload {
    pub(super) fn new(store: S3Store, key: &str, parts: Box<dyn MultipartUpload>) -> Self {
        Self { store, key: key.to_owned(), parts: Mutex::new(parts) }
    }

    fn parts(&mut self) -> &mut dyn MultipartUpload {
        &mut **self.parts.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        // One at a time: that is what bounds the memory.
        let put = self.parts().put_part(bytes.into()).await;
        put.map_err(|e| self.store.error("put", &self.key, e))
    }

    async fn complete(mut self: Box<Self>) -> Result<(), ArchiveError> {
        let Err(failed) = self.parts().complete().await else { return Ok(()) };
        let failed = self.store.error("put", &self.key, failed);
        self.abort().await;
        Err(failed)
    }

    async fn abort(mut self: Box<Self>) {
        if let Err(error) = self.parts().abort().await {
            tracing::warn!(key = self.key, %error, "parts of a result could not be given up");
        }
    }
}
