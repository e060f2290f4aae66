//! The store as one query sees it: counted, and bounded in bytes.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What one query asked of the store.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes_max: Option<u64>,
    bytes: AtomicU64,
    requests: AtomicU64,
    exceeded: AtomicBool,
    files: Mutex<HashMap<Path, Spent>>,
}

/// What one query asked of one file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    /// Whether anything of the file was given, be it nothing of an empty range.
    pub(crate) is_read: bool,
}

impl Meter {
    pub(crate) fn new(bytes_max: Option<u64>) -> Arc<Self> {
        Arc::new(Self { bytes_max, ..Self::default() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_max(&self) -> Option<u64> {
        self.bytes_max
    }

    /// Whether a read was refused. The engine skips some failed reads (of a bloom filter, say), so
    /// this flag, not the error that surfaces, tells whether the limit was hit.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// How many files something was read of.
    pub(crate) fn files_read(&self) -> u64 {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(files.values().filter(|spent| spent.is_read).count()).unwrap_or(u64::MAX)
    }

    /// What was asked of a file.
    pub(crate) fn spent(&self, file: &Path) -> Spent {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(file).copied().unwrap_or_default()
    }

    fn note(&self, file: &Path, note: impl FnOnce(&mut Spent)) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match files.get_mut(file) {
            Some(spent) => note(spent),
            None => note(files.entry(file.clone()).or_default()),
        }
    }

    fn refuse(&self) -> Error {
        self.exceeded.store(true, Ordering::Relaxed);
        Error::Generic { store: "meter", source: "the query's limit of bytes is used up".into() }
    }

    /// Counts bytes about to be read; refuses those beyond the limit.
    fn take(&self, bytes: u64) -> Result<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.bytes_max {
            Some(max) if before.saturating_add(bytes) > max => {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(self.refuse())
            }
            _ => Ok(()),
        }
    }
}

/// A store read through a meter.
#[derive(Debug)]
pub(crate) struct Metered {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) meter: Arc<Meter>,
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Stores answer a range that reaches beyond the end with less, which the Parquet reader does not
/// expect.
fn too_short(location: &Path, asked: &Range<u64>, found: u64) -> Error {
    let (start, end) = (asked.start, asked.end);
    let text = format!(
        "{location} should have the bytes {start} to {end}, but it has {found} bytes in all: it was \
         cut short since it was sealed"
    );
    Error::Generic { store: "archive", source: text.into() }
}

fn read_only() -> Error {
    Error::NotSupported { source: "queries do not write".into() }
}

#[async_trait]
impl ObjectStore for Metered {
    // `get_ranges` keeps its provided form: it joins near ranges and comes through here for each
    // request it makes, so what is counted is what was asked.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.meter.exceeded() {
            return Err(self.meter.refuse());
        }
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
        self.meter.note(location, |spent| spent.requests += 1);
        let head = options.head;
        let asked = match &options.range {
            Some(GetRange::Bounded(range)) => Some(range.clone()),
            _ => None,
        };
        let result = self.inner.get_opts(location, options).await?;
        if let Some(asked) = asked
            && asked != result.range
        {
            return Err(too_short(location, &asked, result.meta.size));
        }
        if !head {
            // The body has not been fetched yet, or can still be dropped.
            let bytes = result.range.end.saturating_sub(result.range.start);
            self.meter.take(bytes)?;
            self.meter.note(location, |spent| {
                spent.bytes = spent.bytes.saturating_add(bytes);
                spent.is_read = true;
            });
        }
        Ok(result)
    }

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

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(read_only())]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(Error::NotSupported { source: "queries do not list".into() })]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotSupported { source: "queries do not list".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}
