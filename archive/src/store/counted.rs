//! An object store for a query engine that counts what is read and refuses to write.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Counters, Objects};

/// Counts, then asks the store within.
#[derive(Debug)]
pub(super) struct CountedObjects {
    inner: Objects,
    counters: Arc<Counters>,
}

impl CountedObjects {
    pub(super) fn wrap(inner: Objects, counters: Arc<Counters>) -> Objects {
        Arc::new(Self { inner, counters })
    }
}

impl fmt::Display for CountedObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn refuse() -> Error {
    Error::NotSupported { source: "this view of the archive is read-only".into() }
}

#[async_trait]
impl ObjectStore for CountedObjects {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(refuse())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(refuse())
    }

    // `get_ranges` keeps its provided form, which comes through here for each request it makes.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        if head {
            self.counters.head();
        } else {
            self.counters.get();
        }
        let result = self.inner.get_opts(location, options).await?;
        if !head {
            self.counters.read_bytes(result.range.end.saturating_sub(result.range.start));
        }
        Ok(result)
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(refuse())]).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.list();
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counters.list();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refuse())
    }
}
