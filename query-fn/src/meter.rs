//! The store as one query sees it: counted, and bounded in bytes and requests.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::error::{Code, QueryError};
use crate::prices::{Dollars, Prices};
use crate::request::{Caps, Limits};

/// The most that one query may ask of the store.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    bytes: Option<u64>,
    requests: Option<u64>,
    /// Requests that an amount of money buys.
    bought: Option<(u64, Dollars)>,
}

impl Allowance {
    /// What limits and caps allow together.
    pub(crate) fn of(limits: &Limits, caps: &Caps, prices: &Prices) -> Self {
        let bytes = [limits.scan_bytes_max, caps.bytes].into_iter().flatten().min();
        let buys = |dollars| prices.requests_for(dollars).map(|requests| (requests, dollars));
        Self { bytes, requests: caps.requests, bought: caps.dollars.and_then(buys) }
    }

    /// What the next request would pass, if so many were made.
    fn passed_by(&self, requests: u64) -> Option<Code> {
        let over = |most: Option<u64>| most.is_some_and(|most| requests >= most);
        if over(self.requests) {
            return Some(Code::LimitRequests);
        }
        over(self.bought.map(|(requests, _)| requests)).then_some(Code::LimitCost)
    }

    /// The error of a query that has to ask for more.
    fn refusal(&self, code: Code) -> QueryError {
        let narrow = "narrow event_date or event_time";
        let text = match (code, self.bytes, self.requests, self.bought) {
            (Code::LimitBytes, Some(most), ..) => format!(
                "the query has to read more than {most} bytes; {narrow}, select fewer columns, or \
                 raise the byte limit"
            ),
            (Code::LimitRequests, _, Some(most), _) => format!(
                "the query has to make more than {most} requests; {narrow}, or raise the cap"
            ),
            (_, _, _, Some((most, dollars))) => format!(
                "the query has to make more than the {most} requests that ${dollars} pays for; \
                 {narrow}, or raise the cap"
            ),
            _ => "the query has to read more than it may".to_owned(),
        };
        QueryError::new(code, text)
    }
}

/// What one query asked of the store.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    allowance: Allowance,
    bytes: AtomicU64,
    requests: AtomicU64,
    exceeded: OnceLock<Code>,
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
    pub(crate) fn new(allowance: Allowance) -> Arc<Self> {
        Arc::new(Self { allowance, ..Self::default() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The error of a query of which a read was refused. The engine skips some failed reads (of a
    /// bloom filter, say), so this, not the error that surfaces, tells whether a limit was hit.
    pub(crate) fn refusal(&self) -> Option<QueryError> {
        self.exceeded.get().map(|code| self.allowance.refusal(*code))
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

    fn refuse(&self, code: Code) -> Error {
        let _ = self.exceeded.set(code);
        Error::Generic { store: "meter", source: "the query may read no more".into() }
    }

    /// Counts a request about to be made; refuses those beyond the limit, and all after one that was
    /// refused.
    fn ask(&self) -> Result<()> {
        if let Some(code) = self.exceeded.get() {
            return Err(self.refuse(*code));
        }
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.allowance.passed_by(before) {
            Some(code) => {
                self.requests.fetch_sub(1, Ordering::Relaxed);
                Err(self.refuse(code))
            }
            None => Ok(()),
        }
    }

    /// Counts bytes about to be read; refuses those beyond the limit.
    fn take(&self, bytes: u64) -> Result<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.allowance.bytes {
            Some(most) if before.saturating_add(bytes) > most => {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(self.refuse(Code::LimitBytes))
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
        self.meter.ask()?;
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
