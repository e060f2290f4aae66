//! A store that loses the request or the answer of a chosen write, fails reads, or dies: for
//! tests, which repeat a job once for each write it makes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::ArchiveError;
use crate::store::{Backend, Digested, Listed, Objects, PutOnce, Shared, Stamped, Upload};

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: writes are only counted.
    Nothing,
    /// The request: nothing happens, the caller sees an unknown outcome.
    Request,
    /// The answer: it happens, the caller sees an unknown outcome.
    Reply,
}

/// What happens after the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Everything works again at once, as after a short disturbance.
    Heal,
    /// Nothing works any more, as after a crash, until [`Fault::heal`].
    Crash,
}

/// One fault, shared by the stores it was put around. Puts and deletes count as writes, from 0.
#[derive(Debug)]
pub struct Fault {
    at_write: u64,
    lost: Lost,
    then: Then,
    writes: AtomicU64,
    is_down: AtomicBool,
    reads_fail: AtomicBool,
    /// Reads that are under way.
    reads: AtomicU64,
    /// Times a read began while no other was under way.
    rounds: AtomicU64,
}

/// A read that is under way.
struct Reading<'a>(&'a Fault);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fault {
    /// A fault at the write of this number.
    pub fn at_write(at_write: u64, lost: Lost, then: Then) -> Arc<Self> {
        Arc::new(Self {
            at_write,
            lost,
            then,
            writes: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            reads_fail: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
        })
    }

    /// No fault: counts writes, to learn how many faults there are to try.
    pub fn none() -> Arc<Self> {
        Self::at_write(u64::MAX, Lost::Nothing, Then::Heal)
    }

    /// How many reads had to wait for others to end: a read that begins beside others is of
    /// their round.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Writes seen so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Lets everything work again.
    pub fn heal(&self) {
        self.is_down.store(false, Ordering::SeqCst);
        self.reads_fail.store(false, Ordering::SeqCst);
    }

    /// Makes every read fail until [`Fault::heal`].
    pub fn fail_reads(&self) {
        self.reads_fail.store(true, Ordering::SeqCst);
    }

    pub(crate) fn wrap(self: &Arc<Self>, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(Faulty { inner, fault: Arc::clone(self) })
    }

    async fn read(&self, operation: &'static str, key: &str) -> Result<Reading<'_>, ArchiveError> {
        if self.is_down.load(Ordering::SeqCst) || self.reads_fail.load(Ordering::SeqCst) {
            return Err(broken(operation, key));
        }
        if self.reads.fetch_add(1, Ordering::SeqCst) == 0 {
            self.rounds.fetch_add(1, Ordering::SeqCst);
        }
        let reading = Reading(self);
        // Those that are started beside this one begin before it ends.
        tokio::task::yield_now().await;
        Ok(reading)
    }

    /// What is lost of the write that comes now.
    fn write(&self) -> Lost {
        if self.is_down.load(Ordering::SeqCst) {
            return Lost::Request;
        }
        if self.writes.fetch_add(1, Ordering::SeqCst) != self.at_write {
            return Lost::Nothing;
        }
        self.is_down.store(self.then == Then::Crash, Ordering::SeqCst);
        self.lost
    }
}

fn broken(operation: &'static str, key: &str) -> ArchiveError {
    let source = "fault put in by a test".into();
    ArchiveError::Store { operation, object: key.to_owned(), source }
}

/// A store with a fault around it.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Arc<Fault>,
}

impl Faulty {
    /// A conditional write, or what is left of it.
    async fn put(&self, key: &str, write: impl Future<Output = PutOnce> + Send) -> PutOnce {
        match self.fault.write() {
            Lost::Nothing => write.await,
            Lost::Request => PutOnce::Unknown(broken("put", key)),
            Lost::Reply => match write.await {
                failed @ PutOnce::Failed(_) => failed,
                _ => PutOnce::Unknown(broken("put", key)),
            },
        }
    }
}

#[async_trait]
impl Backend for Faulty {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let _reading = self.fault.read("get", key).await?;
        self.inner.get(key, bytes_max).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError> {
        let _reading = self.fault.read("get", key).await?;
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        let _reading = self.fault.read("head", key).await?;
        self.inner.head(key).await
    }

    async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        let _reading = self.fault.read("get", key).await?;
        self.inner.digest(key).await
    }

    async fn version(&self, key: &str) -> Result<Option<String>, ArchiveError> {
        let _reading = self.fault.read("head", key).await?;
        self.inner.version(key).await
    }

    fn at_version(&self, version: &str) -> Option<Arc<dyn Backend>> {
        let inner = self.inner.at_version(version)?;
        Some(Arc::new(Self { inner, fault: Arc::clone(&self.fault) }))
    }

    async fn put_once(&self, key: &str, bytes: Bytes) -> PutOnce {
        self.put(key, self.inner.put_once(key, bytes)).await
    }

    async fn get_stamped(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Stamped>, ArchiveError> {
        let _reading = self.fault.read("get", key).await?;
        self.inner.get_stamped(key, bytes_max).await
    }

    async fn swap_once(&self, key: &str, stamp: &str, bytes: Bytes) -> PutOnce {
        self.put(key, self.inner.swap_once(key, stamp, bytes)).await
    }

    async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let _reading = self.fault.read("list", prefix).await?;
        self.inner.list_page(prefix, start_after, count_max).await
    }

    async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        match self.fault.write() {
            Lost::Nothing => self.inner.delete(key).await,
            Lost::Request => Err(broken("delete", key)),
            Lost::Reply => {
                self.inner.delete(key).await?;
                Err(broken("delete", key))
            }
        }
    }

    async fn take(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let _reading = self.fault.read("get", key).await?;
        match self.fault.write() {
            Lost::Nothing => self.inner.take(key, bytes_max).await,
            Lost::Request => Err(broken("delete", key)),
            Lost::Reply => {
                self.inner.take(key, bytes_max).await?;
                Err(broken("delete", key))
            }
        }
    }

    fn objects(&self) -> Result<Objects, ArchiveError> {
        self.inner.objects()
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, ArchiveError> {
        let inner = match self.fault.write() {
            Lost::Nothing => self.inner.upload(key).await?,
            Lost::Request => return Err(broken("put", key)),
            Lost::Reply => {
                // Begun, and nobody knows of it.
                drop(self.inner.upload(key).await?);
                return Err(broken("put", key));
            }
        };
        let (key, fault) = (key.to_owned(), Arc::clone(&self.fault));
        Ok(Box::new(FaultyUpload { key, inner, fault }))
    }

    async fn shared_url(&self, key: &str, lasts: Duration) -> Result<Shared, ArchiveError> {
        self.inner.shared_url(key, lasts).await
    }
}

/// An upload with a fault around it: each part, and its end, is a write.
struct FaultyUpload {
    key: String,
    inner: Box<dyn Upload>,
    fault: Arc<Fault>,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        match self.fault.write() {
            Lost::Nothing => self.inner.part(bytes).await,
            Lost::Request => Err(broken("put", &self.key)),
            Lost::Reply => {
                self.inner.part(bytes).await?;
                Err(broken("put", &self.key))
            }
        }
    }

    async fn complete(self: Box<Self>) -> Result<(), ArchiveError> {
        match self.fault.write() {
            Lost::Nothing => self.inner.complete().await,
            Lost::Request => Err(broken("put", &self.key)),
            Lost::Reply => {
                self.inner.complete().await?;
                Err(broken("put", &self.key))
            }
        }
    }

    async fn abort(self: Box<Self>) {
        if self.fault.write() != Lost::Request {
            self.inner.abort().await;
        }
    }
}
