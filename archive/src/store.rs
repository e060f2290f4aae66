//! The narrow waist: get, head, list, put-if-absent and delete over a folder or an S3 prefix.
//!
//! Only the files of this module, and `web.rs`, name `object_store`. Conditional writes whose outcome the store
//! does not tell are resolved here, by reading again, so that nobody above has to.

#[cfg(target_os = "linux")]
mod cached;
mod clients;
mod counted;
mod landing;
#[cfg(any(test, feature = "fault"))]
pub(crate) mod lined;
mod local;
mod s3;
mod unlinked;
mod upload;
mod usage;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::{Sha256Digest, layout};
use object_store::ObjectStore;
use tlog::note::NOTE_BYTES_MAX;
use tlog::tile::Tile;

use crate::error::ArchiveError;
use crate::location::{Kind, Target};
use crate::options::StoreOptions;

pub use clients::Clients;
#[cfg(any(test, feature = "fault"))]
pub use landing::Shelf;
pub use landing::{LANDING_READ_BYTES, Landed, Landing};
pub(crate) use s3::aws_credentials;
pub(crate) use upload::{PART_BYTES_MIN, Upload};
pub(crate) use usage::Counters;
pub use usage::Usage;

/// The object store a query engine reads.
pub(crate) type Objects = Arc<dyn ObjectStore>;

/// How a put-if-absent ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was not there; now it is, with these bytes. (After a lost answer this also
    /// covers another writer having stored exactly the same bytes, which nobody can tell apart.)
    Created,
    /// An object with this key was there before; its bytes were not looked at.
    AlreadyThere,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key below the store's URL.
    pub key: String,
    /// Length.
    pub bytes: u64,
    /// What tells it from any other object that had this key, as far as the store says: an S3
    /// entity tag; in a folder, when and where it was written.
    pub(crate) stamp: Option<String>,
}

/// Length and digest of an object that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digested {
    /// Length.
    pub bytes: u64,
    /// SHA-256 of all bytes.
    pub sha256: Sha256Digest,
}

/// What became of a conditional write.
enum Written {
    /// The store said so, with the version it gave to the object, if it keeps versions.
    Now(Option<String>),
    /// The answer was lost; the object was found there.
    Before,
    /// The condition does not hold.
    Not,
}

impl Written {
    const fn put(&self) -> Put {
        match self {
            Self::Now(_) | Self::Before => Put::Created,
            Self::Not => Put::AlreadyThere,
        }
    }
}

/// How one attempt to put ended, as far as the store says.
#[derive(Debug)]
pub(crate) enum PutOnce {
    /// With the version that the store gave to the object, if it keeps versions.
    Created(Option<String>),
    AlreadyThere,
    /// 409, a timeout, a lost connection, 5xx: stored or not.
    Unknown(ArchiveError),
    /// Refused for good: nothing stored.
    Failed(ArchiveError),
}

/// How the replacement of an object ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The object has these bytes now.
    Swapped,
    /// It is not, or no longer, what was expected; nothing was stored.
    Changed,
}

/// An object with what tells it from any other that had its key: for a replacement that must not
/// undo another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The bytes.
    pub bytes: Bytes,
    /// The store's mark of them: an S3 entity tag, in a folder their digest.
    pub(crate) stamp: String,
}

impl Stamped {
    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What a kind of store has to do.
#[async_trait]
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError>;
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError>;
    async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError>;
    async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError>;
    /// Length, and the SHA-256 that the store computed itself when the object came, if it did.
    async fn head_digest(
        &self,
        key: &str,
    ) -> Result<Option<(u64, Option<Sha256Digest>)>, ArchiveError> {
        Ok(self.head(key).await?.map(|bytes| (bytes, None)))
    }
    /// The version of the object that is there now; none if there is none, or the store keeps no
    /// versions.
    async fn version(&self, _: &str) -> Result<Option<String>, ArchiveError> {
        Ok(None)
    }
    /// The same store, of which a version is read; none if it keeps no versions.
    fn at_version(&self, _: &str) -> Option<Arc<dyn Backend>> {
        None
    }
    async fn put_once(&self, key: &str, bytes: Bytes) -> PutOnce;
    async fn get_stamped(&self, key: &str, bytes_max: u64)
    -> Result<Option<Stamped>, ArchiveError>;
    /// Replaces the object if it still has this stamp. `Created` says it does, `AlreadyThere`
    /// that another is there, or none.
    async fn swap_once(&self, key: &str, stamp: &str, bytes: Bytes) -> PutOnce;
    /// At most `count_max` objects below `prefix` after `start_after`, in ascending order of key.
    async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError>;
    /// Absent already is success.
    async fn delete(&self, key: &str) -> Result<(), ArchiveError>;
    /// Removes an object and returns what was removed, as far as the store can do both at once;
    /// here, what was there just before. An error of reading leaves it there.
    async fn take(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let bytes = self.get(key, bytes_max).await?;
        if bytes.is_some() {
            self.delete(key).await?;
        }
        Ok(bytes)
    }
    fn objects(&self) -> Result<Objects, ArchiveError>;
    /// Begins an object that comes in parts and appears whole or not at all.
    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, ArchiveError> {
        Err(upload::not_here("put in parts", key))
    }
    /// A URL by which anybody can get the object, for so long; whether it is there is not asked.
    async fn shared_url(&self, key: &str, _lasts: Duration) -> Result<Shared, ArchiveError> {
        Err(upload::not_here("share", key))
    }
}

/// A URL by which an object can be got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The URL.
    pub url: String,
    /// Whether it ends after the time it was asked for; a folder's path does not.
    pub ends: bool,
}

/// A folder or an S3 prefix. Cheap to clone; clones share their counters.
#[derive(Clone)]
pub struct Store {
    url: Arc<str>,
    backend: Arc<dyn Backend>,
    counters: Arc<Counters>,
    put_attempts_max: u32,
    put_pause: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

impl Store {
    /// Connects; no request is made.
    pub(crate) fn open(target: &Target, options: &StoreOptions) -> Result<Self, ArchiveError> {
        let backend: Arc<dyn Backend> = match &target.kind {
            Kind::Folder(path) => Arc::new(local::LocalStore::new(path.clone())),
            Kind::S3 { bucket, prefix } => {
                Arc::new(s3::S3Store::new(&target.url, bucket, prefix, options)?)
            }
        };
        Ok(Self::of_backend(&target.url, backend, options))
    }

    pub(crate) fn of_backend(url: &str, backend: Arc<dyn Backend>, options: &StoreOptions) -> Self {
        Self {
            url: url.into(),
            backend,
            counters: Arc::default(),
            put_attempts_max: options.put_attempts_max.unwrap_or(PUT_ATTEMPTS_MAX).max(1),
            put_pause: Duration::from_millis(options.put_pause_millis.unwrap_or(PUT_PAUSE_MILLIS)),
        }
    }

    /// The same store with another backend around its own.
    #[cfg(any(test, feature = "fault"))]
    pub(crate) fn wrapped(&self, wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Self {
        Self { backend: wrap(Arc::clone(&self.backend)), ..self.clone() }
    }

    /// This store, of which one version of each object is read, if it keeps versions and one is
    /// named; else itself.
    #[must_use]
    pub(crate) fn at_version(&self, version: Option<&str>) -> Self {
        let backend = version.and_then(|version| self.backend.at_version(version));
        Self { backend: backend.unwrap_or_else(|| Arc::clone(&self.backend)), ..self.clone() }
    }

    /// Whether objects of this store may have versions.
    pub(crate) fn keeps_versions(&self) -> bool {
        self.backend.at_version("").is_some()
    }

    /// The version of the object that is there now; none if there is none, or the store keeps no
    /// versions.
    ///
    /// # Errors
    /// If the store can not be asked.
    pub(crate) async fn version(&self, key: &str) -> Result<Option<String>, ArchiveError> {
        check_key(key)?;
        self.counters.head();
        self.backend.version(key).await
    }

    /// The URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of an object, for messages.
    pub fn object_url(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    /// What was asked of this store so far, by all its clones.
    pub fn usage(&self) -> Usage {
        self.counters.read()
    }

    /// Reads an object of at most [`GET_BYTES_MAX`]; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be read, or the object is longer.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ArchiveError> {
        self.get_bounded(key, GET_BYTES_MAX).await
    }

    /// Reads an object of at most `bytes_max`; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be read, or the object is longer, which is found before it is read.
    pub async fn get_bounded(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, ArchiveError> {
        check_key(key)?;
        self.counters.get();
        let bytes = self.backend.get(key, bytes_max).await?;
        self.counters.read_bytes(bytes.as_ref().map_or(0, |bytes| length(bytes)));
        Ok(bytes)
    }

    /// Reads a signed note; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be read, or the object is longer than a note may be.
    pub(crate) async fn get_note(&self, key: &str) -> Result<Option<Bytes>, ArchiveError> {
        self.get_bounded(key, NOTE_BYTES).await
    }

    /// Reads a signed note that is to be replaced; `None` if it is not there.
    ///
    /// # Errors
    /// As [`Self::get_note`].
    pub(crate) async fn get_stamped_note(
        &self,
        key: &str,
    ) -> Result<Option<Stamped>, ArchiveError> {
        self.get_stamped(key, NOTE_BYTES).await
    }

    /// Reads a tile or a bundle of the ledger; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be read, or the object is longer than such a tile can be.
    pub(crate) async fn get_tile(&self, tile: Tile) -> Result<Option<Bytes>, ArchiveError> {
        self.get_bounded(&layout::tile_key(tile), tile.bytes_max()).await
    }

    /// Reads a part of an object; shorter if the object ends before the range does.
    ///
    /// # Errors
    /// If the store can not be read.
    pub async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, ArchiveError> {
        check_key(key)?;
        self.counters.get();
        let bytes = self.backend.get_range(key, range).await?;
        self.counters.read_bytes(bytes.as_ref().map_or(0, |bytes| length(bytes)));
        Ok(bytes)
    }

    /// Reads an object to its end, keeping only its length and digest: any length, little memory.
    ///
    /// # Errors
    /// If the store can not be read.
    pub async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        check_key(key)?;
        self.counters.get();
        let digested = self.backend.digest(key).await?;
        self.counters.read_bytes(digested.map_or(0, |d| d.bytes));
        Ok(digested)
    }

    /// Length of an object; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be asked.
    pub async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        check_key(key)?;
        self.counters.head();
        self.backend.head(key).await
    }

    /// Length of an object, and the SHA-256 that the store computed itself when the object came,
    /// if it keeps one; `None` if it is not there. Nothing of the object is read.
    ///
    /// # Errors
    /// If the store can not be asked.
    pub async fn head_digest(
        &self,
        key: &str,
    ) -> Result<Option<(u64, Option<Sha256Digest>)>, ArchiveError> {
        check_key(key)?;
        self.counters.head();
        self.backend.head_digest(key).await
    }

    /// One page of a listing: at most [`LIST_PAGE_COUNT`] objects below `prefix` (which ends in a
    /// slash) after the key `start_after`, in ascending order of key. A page that is not full is
    /// the last.
    ///
    /// # Errors
    /// If the store can not be listed.
    pub async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<Vec<Listed>, ArchiveError> {
        self.counters.list();
        self.backend.list_page(prefix, start_after, LIST_PAGE_COUNT).await
    }

    /// Everything below `prefix` after `start_after`, in ascending order of key, page by page.
    ///
    /// # Errors
    /// If the store can not be listed.
    pub async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let mut all: Vec<Listed> = Vec::new();
        let mut after = start_after.map(str::to_owned);
        loop {
            let page = self.list_page(prefix, after.as_deref()).await?;
            let full = page.len() >= LIST_PAGE_COUNT;
            all.extend(page);
            if !full {
                return Ok(all);
            }
            after = all.last().map(|listed| listed.key.clone());
        }
    }

    /// Stores an object unless one with this key is there.
    ///
    /// A 412 is "already there". A 409, a timeout, a lost connection or a 5xx leave the outcome
    /// unknown: the object is read again; if it is there with these bytes, this write (or one that
    /// can not be told from it) succeeded; with other bytes, another was first; if it is absent,
    /// the put is tried again, a bounded number of times.
    ///
    /// # Errors
    /// [`ArchiveError::Unknown`] if the outcome could not be learnt; else the store's refusal.
    pub(crate) async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put, ArchiveError> {
        Ok(self.put_attempts(key, bytes).await?.put())
    }

    /// As [`Self::put_new`], with the version of the object that is there then. After a lost
    /// answer, and if it was there already, the store is asked for it; a role that may only put
    /// does not learn it.
    pub(crate) async fn put_versioned(
        &self,
        key: &str,
        bytes: Bytes,
    ) -> Result<(Put, Option<String>), ArchiveError> {
        match self.put_attempts(key, bytes).await? {
            Written::Now(version) => Ok((Put::Created, version)),
            written => match self.version(key).await {
                Ok(version) => Ok((written.put(), version)),
                Err(ArchiveError::Refused { .. }) => Ok((written.put(), None)),
                Err(e) => Err(e),
            },
        }
    }

    async fn put_attempts(&self, key: &str, bytes: Bytes) -> Result<Written, ArchiveError> {
        check_key(key)?;
        if length(&bytes) > common::limits::FILE_BYTES_MAX {
            return Err(ArchiveError::TooLong {
                object: self.object_url(key),
                bytes: length(&bytes),
                bytes_max: common::limits::FILE_BYTES_MAX,
            });
        }
        self.write(key, None, bytes).await
    }

    /// Writes on a condition: that nothing is there, or still what was expected.
    async fn write(
        &self,
        key: &str,
        expected: Option<&Stamped>,
        bytes: Bytes,
    ) -> Result<Written, ArchiveError> {
        let mut pause = self.put_pause;
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.counters.put();
            let once = match expected {
                None => self.backend.put_once(key, bytes.clone()).await,
                Some(expected) => self.backend.swap_once(key, &expected.stamp, bytes.clone()).await,
            };
            let unknown = match once {
                PutOnce::Created(version) => {
                    self.counters.wrote_bytes(length(&bytes));
                    return Ok(Written::Now(version));
                }
                PutOnce::AlreadyThere => return Ok(Written::Not),
                PutOnce::Failed(error) => return Err(error),
                PutOnce::Unknown(error) => error,
            };
            tracing::warn!(key, attempts, error = %unknown, "outcome unknown, reading again");
            match self.outcome(key, expected, &bytes).await {
                Ok(Some(true)) => {
                    self.counters.wrote_bytes(length(&bytes));
                    return Ok(Written::Before);
                }
                Ok(Some(false)) => return Ok(Written::Not),
                // As before, or still unknown: the same condition again can do no harm.
                Ok(None) | Err(_) => {}
            }
            if attempts >= self.put_attempts_max {
                let object = self.object_url(key);
                return Err(ArchiveError::Unknown { object, attempts, source: Box::new(unknown) });
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            pause = (pause * 2).min(PUT_PAUSE_MAX);
        }
    }

    /// What became of a write: whether these bytes are there, or another's; `None` if all is as it
    /// was before.
    async fn outcome(
        &self,
        key: &str,
        expected: Option<&Stamped>,
        bytes: &Bytes,
    ) -> Result<Option<bool>, ArchiveError> {
        let Some(expected) = expected else { return self.is_stored(key, bytes).await };
        Ok(match self.get_stamped(key, GET_BYTES_MAX).await? {
            Some(there) if there.bytes == bytes => Some(true),
            Some(there) if there.stamp == expected.stamp => None,
            _ => Some(false),
        })
    }

    /// Whether the object there has these bytes; `None` if there is none.
    async fn is_stored(&self, key: &str, bytes: &Bytes) -> Result<Option<bool>, ArchiveError> {
        Ok(self.digest(key).await?.map(|stored| {
            stored.bytes == length(bytes) && stored.sha256 == Sha256Digest::of(bytes)
        }))
    }

    /// Reads an object that is to be replaced; `None` if it is not there.
    ///
    /// # Errors
    /// If the store can not be read, or the object is longer than `bytes_max`.
    pub(crate) async fn get_stamped(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Stamped>, ArchiveError> {
        check_key(key)?;
        self.counters.get();
        let stamped = self.backend.get_stamped(key, bytes_max).await?;
        self.counters.read_bytes(stamped.as_ref().map_or(0, |stamped| length(&stamped.bytes)));
        Ok(stamped)
    }

    /// Replaces an object that is still what was read, or stores it if none was there.
    ///
    /// Where the outcome is unknown the object is read again: with these bytes it is done; as it
    /// was before, the same condition is tried again, which can do no harm; else another was
    /// first.
    ///
    /// # Errors
    /// [`ArchiveError::Unknown`] if the outcome could not be learnt; else the store's refusal.
    pub(crate) async fn swap(
        &self,
        key: &str,
        expected: Option<&Stamped>,
        bytes: Bytes,
    ) -> Result<Swap, ArchiveError> {
        check_key(key)?;
        if !matches!(self.write(key, expected, bytes.clone()).await?, Written::Not) {
            return Ok(Swap::Swapped);
        }
        // It may be this call's own, stored by an attempt that got no answer.
        let is_stored = self.is_stored(key, &bytes).await? == Some(true);
        Ok(if is_stored { Swap::Swapped } else { Swap::Changed })
    }

    /// Removes an object; absent already is success.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        check_key(key)?;
        self.counters.delete();
        self.backend.delete(key).await
    }

    /// Removes an object and returns its bytes; `None` if it is not there. In a folder the bytes
    /// are exactly those removed; S3 can not do both at once, so another object stored between
    /// the two requests is removed unseen.
    pub(crate) async fn take(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, ArchiveError> {
        check_key(key)?;
        self.counters.get();
        let taken = self.backend.take(key, bytes_max).await?;
        self.counters.read_bytes(taken.as_ref().map_or(0, |bytes| length(bytes)));
        if taken.is_some() {
            self.counters.delete();
        }
        Ok(taken)
    }

    /// This store for a query engine: rooted at the URL, read-only, its requests and bytes
    /// counted in [`Store::usage`].
    ///
    /// # Errors
    /// If the folder is not there.
    pub fn reader(&self) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
        Ok(counted::CountedObjects::wrap(self.backend.objects()?, Arc::clone(&self.counters)))
    }
}

/// Small objects (commits, manifests, tiles) read side by side: all that lie behind a Delta
/// checkpoint come in the time of one request, and a process that may open 1,024 files has enough
/// of them for several such readers.
pub(crate) const READS_AT_ONCE: usize = 128;

/// Longest object [`Store::get`] reads, in bytes.
pub const GET_BYTES_MAX: u64 = common::limits::FILE_BYTES_MAX;

/// Objects in one page of a listing; S3's own pages hold 1000.
pub const LIST_PAGE_COUNT: usize = 10_000;

/// Attempts for a put whose outcome stays unknown; with the pauses below about 11 seconds.
const PUT_ATTEMPTS_MAX: u32 = 8;

/// First pause between such attempts, in milliseconds.
const PUT_PAUSE_MILLIS: u64 = 100;

/// Longest pause between such attempts.
const PUT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest signed note.
const NOTE_BYTES: u64 = NOTE_BYTES_MAX as u64;

/// Objects live in memory when their length is asked, so it always fits.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Keys are made by `common::layout`; anything else is a defect or an attack.
fn check_key(key: &str) -> Result<(), ArchiveError> {
    let clean = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0'])
    };
    if key.len() <= 1024 && key.split('/').all(clean) && !key.starts_with(TEMPORARY_FOLDER) {
        return Ok(());
    }
    Err(ArchiveError::Key {
        key: key.chars().take(200).collect(),
        expected: "path parts between single slashes, none of them `.` or `..`",
    })
}

/// Folder of a local store for files that are not complete yet.
const TEMPORARY_FOLDER: &str = ".tmp";

#[cfg(test)]
mod tests;
