//! A folder for a query engine, symbolic links refused: object_store's own view would follow them.

use std::fmt;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

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
