//! What is at the other end of a line as an object store for a query engine, which only reads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::Objects;
use crate::memory::{Action, Answer, Line, Place, Request};

/// One place at the other end of a line.
#[derive(Debug)]
struct Lined {
    place: Place,
    line: Arc<dyn Line>,
}

/// An object store that sends its requests over a line.
pub(crate) fn objects(place: Place, line: Arc<dyn Line>) -> Objects {
    Arc::new(Lined { place, line })
}

impl fmt::Display for Lined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lined({:?})", self.place)
    }
}

fn failed(text: String) -> Error {
    Error::Generic { store: "memory", source: text.into() }
}

fn refuse() -> Error {
    Error::NotSupported { source: "a query engine only reads objects and parts of them".into() }
}

#[async_trait]
impl ObjectStore for Lined {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let action = match options.range {
            _ if options.head => Action::Head,
            None => Action::Get,
            Some(GetRange::Bounded(range)) => Action::GetRange(range),
            Some(_) => return Err(refuse()),
        };
        let part = match &action {
            Action::GetRange(range) => Some(range.clone()),
            _ => None,
        };
        let request = Request { place: self.place, key: location.to_string(), action };
        let answer = self.line.send(request).await.map_err(|e| failed(e.to_string()))?;
        let (bytes, size) = match answer {
            Answer::Object(Some(bytes)) => (bytes.clone(), length(&bytes)),
            Answer::Part { bytes, of } => (bytes, of),
            Answer::Object(None) => {
                let path = location.to_string();
                return Err(Error::NotFound { path, source: "it is not in the bucket".into() });
            }
            other => return Err(failed(format!("{location}: {other:?}"))),
        };
        let range = part.map_or(0..size, |part| part.start..part.start + length(&bytes));
        Ok(result(location, bytes, size, range))
    }

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

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(refuse())]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(refuse())]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(refuse())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refuse())
    }
}

fn result(location: &Path, bytes: Bytes, size: u64, range: Range<u64>) -> GetResult {
    GetResult {
        payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
        meta: ObjectMeta {
            location: location.clone(),
            last_modified: Default::default(),
            size,
            e_tag: None,
            version: None,
        },
        range,
        attributes: Default::default(),
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
