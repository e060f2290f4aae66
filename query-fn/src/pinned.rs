//! The files of a strict snapshot, as the commits describe them: of the length they say, one and
//! the same object for all parts a query reads, and, if asked for, with the SHA-256 they say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use archive::snapshot::Snapshot;
use async_trait::async_trait;
use common::Sha256Digest;
use common::digest::Hasher;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::OnceCell;

/// A store of which only the files of one snapshot can be read.
#[derive(Debug)]
pub(crate) struct Pinned {
    inner: Arc<dyn ObjectStore>,
    files: HashMap<Path, Pin>,
    /// Whether each file is hashed before a part of it is used.
    hash_files: bool,
}

/// What a file must be.
#[derive(Debug)]
struct Pin {
    bytes: u64,
    sha256: Sha256Digest,
    /// The version that was sealed, if the store keeps versions. A hash says more: then any
    /// version will do, as in a copy of the archive.
    version: Option<String>,
    /// The entity tag of the object that was read first; none if the store gives none.
    entity_tag: OnceCell<Option<String>>,
}

impl Pinned {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, snapshot: &Snapshot, hash_files: bool) -> Self {
        let events = snapshot.files.iter().map(|file| &file.entry);
        let events = events.map(|entry| (&entry.path, entry.bytes, entry.sha256, &entry.version));
        let rejects = snapshot.quarantine.iter().map(|file| &file.entry);
        let rejects = rejects.map(|entry| (&entry.path, entry.bytes, entry.sha256, &entry.version));
        let files = events.chain(rejects).map(|(path, bytes, sha256, version)| {
            let version = version.clone().filter(|_| !hash_files);
            let pin = Pin { bytes, sha256, version, entity_tag: OnceCell::new() };
            (Path::from(path.as_str()), pin)
        });
        Self { inner, files: files.collect(), hash_files }
    }

    /// Reads a whole file; its entity tag, if it has the SHA-256 it must have.
    async fn hashed(&self, location: &Path, pin: &Pin) -> Result<Option<String>> {
        let result = self.inner.get(location).await?;
        let entity_tag = result.meta.e_tag.clone();
        let (mut hasher, mut stream) = (Hasher::new(), result.into_stream());
        while let Some(chunk) = stream.try_next().await? {
            hasher.update(&chunk);
        }
        match hasher.finish() {
            found if found == pin.sha256 => Ok(entity_tag),
            found => Err(changed(
                location,
                format!("SHA-256 {}", pin.sha256),
                format!("SHA-256 {found}"),
            )),
        }
    }
}

/// The file is not what was sealed.
fn changed(location: &Path, expected: String, found: String) -> Error {
    let text = format!(
        "{location}: expected {expected}, as its commit says, found {found}; run `meshledger verify`"
    );
    Error::Generic { store: "archive", source: text.into() }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Pinned {
    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let Some(pin) = self.files.get(location) else {
            let expected = "a file that a sealed commit names".to_owned();
            return Err(changed(location, expected, "another".to_owned()));
        };
        let entity_tag = if self.hash_files {
            Some(pin.entity_tag.get_or_try_init(|| self.hashed(location, pin)).await?)
        } else {
            pin.entity_tag.get()
        };
        // The parts of one query come from one object, whatever is stored there meanwhile.
        options.version.clone_from(&pin.version);
        options.if_match = entity_tag.cloned().flatten();
        let result = self.inner.get_opts(location, options).await?;
        if result.meta.size != pin.bytes {
            let (expected, found) = (pin.bytes, result.meta.size);
            return Err(changed(location, format!("{expected} bytes"), format!("{found}")));
        }
        let tag = result.meta.e_tag.clone();
        let _ = pin.entity_tag.get_or_init(|| async { tag }).await;
        Ok(result)
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
