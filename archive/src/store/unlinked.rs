//! A folder for a query engine, symbolic links refused: object_store's own view would follow them.

use std::fmt;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

#[cfg(target_os = "linux")]
use super::cached;
use super::local::LocalStore;
use crate::error::ArchiveError;

/// Looks for links on the way to an object, then asks the folder.
#[derive(Debug)]
pub(super) struct Unlinked {
    pub(super) inner: LocalFileSystem,
    pub(super) store: LocalStore,
}

impl fmt::Display for Unlinked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn read_only() -> Error {
    Error::NotSupported { source: "this view of the archive is read-only".into() }
}

impl Unlinked {
    /// The answer to a plain request for a range, if it takes no wait for a disk.
    #[cfg(target_os = "linux")]
    fn in_memory(&self, location: &Path, options: &GetOptions) -> Option<GetResult> {
        let GetOptions { range: Some(GetRange::Bounded(range)), head: false, .. } = options else {
            return None;
        };
        let is_plain = options.if_none_match.is_none()
            && options.if_modified_since.is_none()
            && options.if_unmodified_since.is_none()
            && options.version.is_none();
        if !is_plain {
            return None;
        }
        let cached = cached::read(self.store.root(), location.as_ref(), range)?;
        if options.if_match.as_ref().is_some_and(|expected| *expected != cached.entity_tag) {
            return None;
        }
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: cached.modified.into(),
            size: cached.file_bytes,
            e_tag: Some(cached.entity_tag),
            version: None,
        };
        Some(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(cached.bytes)]).boxed()),
            meta,
            range: range.clone(),
            attributes: Attributes::default(),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn in_memory(&self, _: &Path, _: &GetOptions) -> Option<GetResult> {
        None
    }
}

async fn check(store: &LocalStore, location: &Path) -> Result<()> {
    let refused = |e: ArchiveError| Error::Generic { store: "folder", source: Box::new(e) };
    store.check_links(location.as_ref()).await.map_err(refused)
}

#[async_trait]
impl ObjectStore for Unlinked {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(result) = self.in_memory(location, &options) {
            return Ok(result);
        }
        check(&self.store, location).await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(read_only())]).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.store.clone();
        self.inner
            .list(prefix)
            .and_then(move |meta| {
                let store = store.clone();
                async move { check(&store, &meta.location).await.map(|()| meta) }
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await?;
        let objects = listed.objects.iter().map(|meta| &meta.location);
        for location in objects.chain(&listed.common_prefixes) {
            check(&self.store, location).await?;
        }
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}
