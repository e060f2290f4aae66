//! A bucket in memory with S3's conditional writes: for tests, which decide what becomes of every
//! single request.
//!
//! A request goes over a [`Line`], which may lose it, lose its answer, hold it back or carry it
//! out long after nobody waits any more. The bucket itself never fails: like S3 it answers one
//! request after the other, and what it has answered it has.

mod waves;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use common::Sha256Digest;
use futures::future::BoxFuture;

use crate::error::ArchiveError;
use crate::options::StoreOptions;
use crate::seats::Archive;
use crate::store::{Backend, Digested, Listed, Objects, PutOnce, Stamped, Store, lined};

pub use waves::Waves;

/// Where an object is. Locks are in the work area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The archive.
    Archive,
    /// Its work area.
    Work,
}

/// One request to the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// Key below that place; of a listing, its prefix.
    pub key: String,
    /// What is asked.
    pub action: Action,
}

/// What is asked of the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The bytes of an object.
    Get,
    /// A part of them.
    GetRange(Range<u64>),
    /// Whether an object is there, its length and digest.
    Head,
    /// So many objects after this key, in order.
    List {
        /// Where to go on; nothing for the first page.
        start_after: Option<String>,
        /// The most that are wanted.
        count_max: usize,
    },
    /// Stores an object if none is there (`If-None-Match: *`).
    Put(Bytes),
    /// Replaces an object that still has this entity tag (`If-Match`).
    Swap {
        /// The entity tag.
        stamp: String,
        /// The new bytes.
        bytes: Bytes,
    },
    /// Removes an object.
    Delete,
}

impl Request {
    /// Whether it may change what is stored.
    pub const fn is_write(&self) -> bool {
        matches!(self.action, Action::Put(_) | Action::Swap { .. } | Action::Delete)
    }

    /// The action's name.
    pub const fn verb(&self) -> &'static str {
        match self.action {
            Action::Get | Action::GetRange(_) => "get",
            Action::Head => "head",
            Action::List { .. } => "list",
            Action::Put(_) => "put",
            Action::Swap { .. } => "swap",
            Action::Delete => "delete",
        }
    }
}

/// What the bucket answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The object, or that it is not there.
    Object(Option<Bytes>),
    /// The part that was asked for.
    Part {
        /// The part.
        bytes: Bytes,
        /// Length of the whole object.
        of: u64,
    },
    /// The objects.
    Listed(Vec<Listed>),
    /// The write is done.
    Done,
    /// The write's condition does not hold, so nothing was written: 412.
    ConditionFailed,
}

/// Why there is no answer. What became of the request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nothing came in time.
    TimedOut,
    /// 409: another request on this key was under way.
    Conflict,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "timed out, put in by a test",
            Self::Conflict => "409 Conflict, put in by a test",
        })
    }
}

impl std::error::Error for NoAnswer {}

/// What carries requests to a bucket and answers back.
pub trait Line: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and waits for its answer. Who drops this gives up waiting; what becomes of
    /// the request is the line's business.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>>;
}

type Stored = BTreeMap<(Place, String), Bytes>;

/// The bucket. Clones are the same bucket; as a [`Line`] it is one that never fails.
#[derive(Debug, Clone, Default)]
pub struct Bucket(Arc<Mutex<Stored>>);

impl Bucket {
    /// Carries out one request.
    pub fn answer(&self, request: &Request) -> Answer {
        let mut objects = self.objects();
        let id = (request.place, request.key.clone());
        match &request.action {
            Action::Get | Action::Head => Answer::Object(objects.get(&id).cloned()),
            Action::GetRange(range) => {
                let part = |bytes: &Bytes| {
                    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
                    let bytes_of = at(range.start).min(at(range.end))..at(range.end);
                    Answer::Part { bytes: bytes.slice(bytes_of), of: length(bytes) }
                };
                objects.get(&id).map_or(Answer::Object(None), part)
            }
            Action::List { start_after, count_max } => {
                let prefix = &request.key;
                let after = start_after.as_deref().unwrap_or_default();
                let listed = objects
                    .range((request.place, prefix.clone())..)
                    .take_while(|((place, key), _)| {
                        *place == request.place && key.starts_with(prefix.as_str())
                    })
                    .filter(|((_, key), _)| key.as_str() > after)
                    .take(*count_max)
                    .map(|((_, key), bytes)| Listed {
                        key: key.clone(),
                        bytes: length(bytes),
                        stamp: Some(tag(bytes)),
                    });
                Answer::Listed(listed.collect())
            }
            Action::Put(_) if objects.contains_key(&id) => Answer::ConditionFailed,
            Action::Put(bytes) => {
                objects.insert(id, bytes.clone());
                Answer::Done
            }
            Action::Swap { stamp, bytes } => match objects.get_mut(&id) {
                Some(there) if tag(there) == *stamp => {
                    *there = bytes.clone();
                    Answer::Done
                }
                _ => Answer::ConditionFailed,
            },
            Action::Delete => {
                objects.remove(&id);
                Answer::Done
            }
        }
    }

    /// The keys of a place below a prefix, in order.
    pub fn keys(&self, place: Place, prefix: &str) -> Vec<String> {
        let objects = self.objects();
        let keys = objects.keys().filter(|(there, key)| *there == place && key.starts_with(prefix));
        keys.map(|(_, key)| key.clone()).collect()
    }

    /// An object's bytes; nothing if it is not there.
    pub fn get(&self, place: Place, key: &str) -> Option<Bytes> {
        self.objects().get(&(place, key.to_owned())).cloned()
    }

    /// The archive in this bucket, every request to which goes over this line. No request is made.
    pub fn archive(&self, line: Arc<dyn Line>, options: &StoreOptions) -> Archive {
        let store = |place, url| {
            let backend = OverLine { place, line: Arc::clone(&line) };
            Store::of_backend(url, Arc::new(backend), options)
        };
        Archive::of_stores(
            store(Place::Archive, "memory://archive"),
            store(Place::Work, "memory://archive.work"),
        )
    }

    fn objects(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line for Bucket {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        let answer = self.answer(&request);
        Box::pin(async move { Ok(answer) })
    }
}

/// The entity tag of an object: equal bytes have equal ones, as on S3.
fn tag(bytes: &Bytes) -> String {
    Sha256Digest::of(bytes).to_hex()
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// One place of a bucket at the other end of a line.
#[derive(Debug)]
struct OverLine {
    place: Place,
    line: Arc<dyn Line>,
}

impl OverLine {
    async fn send(&self, key: &str, action: Action) -> Result<Answer, ArchiveError> {
        let request = Request { place: self.place, key: key.to_owned(), action };
        let verb = request.verb();
        self.line.send(request).await.map_err(|source| ArchiveError::Store {
            operation: verb,
            object: key.to_owned(),
            source: Box::new(source),
        })
    }

    async fn object(&self, key: &str, action: Action) -> Result<Option<Bytes>, ArchiveError> {
        match self.send(key, action).await? {
            Answer::Object(object) => Ok(object),
            Answer::Part { bytes, .. } => Ok(Some(bytes)),
            other => Err(nonsense(key, &other)),
        }
    }

    async fn write(&self, key: &str, action: Action) -> PutOnce {
        match self.send(key, action).await {
            Ok(Answer::Done) => PutOnce::Created(None),
            Ok(Answer::ConditionFailed) => PutOnce::AlreadyThere,
            Ok(other) => PutOnce::Failed(nonsense(key, &other)),
            Err(unknown) => PutOnce::Unknown(unknown),
        }
    }
}

/// An answer to another question: the test's line is at fault.
fn nonsense(key: &str, answer: &Answer) -> ArchiveError {
    ArchiveError::Refused {
        operation: "ask for",
        object: key.to_owned(),
        hint: "the line of this test must answer what was asked",
        source: format!("{answer:?}").into(),
    }
}

#[async_trait]
impl Backend for OverLine {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        match self.object(key, Action::Get).await? {
            Some(bytes) if length(&bytes) > bytes_max => Err(ArchiveError::TooLong {
                object: key.to_owned(),
                bytes: length(&bytes),
                bytes_max,
            }),
            object => Ok(object),
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError> {
        self.object(key, Action::GetRange(range)).await
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        Ok(self.object(key, Action::Head).await?.map(|bytes| length(&bytes)))
    }

    async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        let object = self.object(key, Action::Get).await?;
        let digest = |bytes| Digested { bytes: length(&bytes), sha256: Sha256Digest::of(&bytes) };
        Ok(object.map(digest))
    }

    async fn head_digest(
        &self,
        key: &str,
    ) -> Result<Option<(u64, Option<Sha256Digest>)>, ArchiveError> {
        let object = self.object(key, Action::Head).await?;
        Ok(object.map(|bytes| (length(&bytes), Some(Sha256Digest::of(&bytes)))))
    }

    async fn put_once(&self, key: &str, bytes: Bytes) -> PutOnce {
        self.write(key, Action::Put(bytes)).await
    }

    async fn get_stamped(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Stamped>, ArchiveError> {
        let object = self.get(key, bytes_max).await?;
        Ok(object.map(|bytes| Stamped { stamp: tag(&bytes), bytes }))
    }

    async fn swap_once(&self, key: &str, stamp: &str, bytes: Bytes) -> PutOnce {
        self.write(key, Action::Swap { stamp: stamp.to_owned(), bytes }).await
    }

    async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let start_after = start_after.map(str::to_owned);
        match self.send(prefix, Action::List { start_after, count_max }).await? {
            Answer::Listed(listed) => Ok(listed),
            other => Err(nonsense(prefix, &other)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        self.send(key, Action::Delete).await.map(|_| ())
    }

    fn objects(&self) -> Result<Objects, ArchiveError> {
        Ok(lined::objects(self.place, Arc::clone(&self.line)))
    }
}

#[cfg(test)]
mod tests;
