//! The seats: what a reader, a writer and a sealer may do, and nothing more.
//!
//! The fourth seat, the custodian, who alone deletes data, comes with retention.

pub(crate) mod cache;
mod delta;
mod export;
mod ledger;
mod parted;
mod repair;
mod results;
mod sealer;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use common::commit::{Commit, Genesis};
use common::layout;
use tlog::policy::Policy;
use tokio::sync::OnceCell;

use crate::error::{ArchiveError, NOTHING_THERE};
use crate::location::Location;
use crate::options::StoreOptions;
use crate::store::{Put, Store};
use crate::strict::Trust;

pub(crate) use cache::Cache;
pub use export::{Export, Exported};
pub use ledger::SignedEnd;
pub use results::{RESULT_NAME_BYTES_MAX, ResultUpload, Results, StoredResult};
pub use sealer::{CommitPut, Sealer};
pub use writer::Writer;

/// An open archive, from which seats are taken.
#[derive(Debug, Clone)]
pub struct Archive {
    places: Places,
}

/// The stores of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) archive: Store,
    pub(crate) work: Store,
    /// Where locks are: the work area, or a place of their own.
    pub(crate) locks: Store,
    /// The table id, once it was read: it is for ever.
    table_id: Arc<OnceCell<String>>,
}

impl Places {
    /// The table id; read once.
    async fn table_id(&self) -> Result<&str, ArchiveError> {
        let read = || read_table_id(&self.archive);
        Ok(self.table_id.get_or_try_init(read).await?)
    }
}

/// What [`Archive::create`] found or made.
#[derive(Debug, Clone)]
pub struct Created {
    /// The archive, open.
    pub archive: Archive,
    /// Whether it was made by this call; `false` if it was there.
    pub is_new: bool,
    /// Its table id.
    pub table_id: String,
}

impl Archive {
    /// Creates an archive: stores version 0 of the log. One that is there already is opened and
    /// left as it is.
    ///
    /// # Errors
    /// If the store refuses, or what is there is no archive of this format.
    pub async fn create(
        location: &Location,
        options: &StoreOptions,
        genesis: &Genesis,
    ) -> Result<Created, ArchiveError> {
        Self::connect(location, options)?.create_here(genesis).await
    }

    pub(crate) async fn create_here(self, genesis: &Genesis) -> Result<Created, ArchiveError> {
        let key = layout::commit_key(0);
        let put = self.places.archive.put_new(&key, Bytes::from(genesis.to_bytes())).await?;
        let table_id = self.table_id().await?.to_owned();
        // After a lost answer `Created` may be another's equal bytes: the same table id, then.
        Ok(Created { archive: self, is_new: put == Put::Created, table_id })
    }

    /// Opens an archive; version 0 must be there.
    ///
    /// # Errors
    /// If there is no archive, or one of another format.
    pub async fn open(location: &Location, options: &StoreOptions) -> Result<Self, ArchiveError> {
        let archive = Self::connect(location, options)?;
        archive.table_id().await?;
        Ok(archive)
    }

    /// Opens a place without asking whether it is a sound archive, which is for `verify` to find
    /// out. No request is made.
    ///
    /// # Errors
    /// If the options do not fit the location.
    pub fn connect(location: &Location, options: &StoreOptions) -> Result<Self, ArchiveError> {
        let archive = Store::open(location.archive(), options)?;
        let work = Store::open(location.work(), options)?;
        let locks = if location.locks() == location.work() {
            work.clone()
        } else {
            Store::open(location.locks(), options.locks.as_deref().unwrap_or(options))?
        };
        let table_id = Arc::default();
        Ok(Self { places: Places { archive, work, locks, table_id } })
    }

    /// The table id, as version 0 says, which is read the first time.
    ///
    /// # Errors
    /// If there is no archive, or one of another format.
    pub async fn table_id(&self) -> Result<&str, ArchiveError> {
        self.places.table_id().await
    }

    /// The seat that reads.
    pub fn reader(&self) -> Reader {
        Reader { places: self.places.clone(), cache: Arc::default(), policy: None }
    }

    /// The seat that adds files and manifests.
    pub fn writer(&self) -> Writer {
        Writer::new(self.places.clone())
    }

    /// The seat that puts long answers where their askers can get them.
    pub fn results(&self) -> Results {
        Results::new(self.places.work.clone())
    }

    /// The seat that seals.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.reader())
    }

    /// An archive in these stores; locks are in the work area.
    #[cfg(any(test, feature = "fault"))]
    pub(crate) fn of_stores(archive: Store, work: Store) -> Self {
        let locks = work.clone();
        Self { places: Places { archive, work, locks, table_id: Arc::default() } }
    }

    /// The same archive, its writes and reads failing as `fault` says.
    #[cfg(any(test, feature = "fault"))]
    #[must_use]
    pub fn with_fault(&self, fault: &Arc<crate::fault::Fault>) -> Self {
        let wrap = |store: &Store| store.wrapped(|inner| fault.wrap(inner));
        let Places { archive, work, locks, .. } = &self.places;
        let (archive, work, locks) = (wrap(archive), wrap(work), wrap(locks));
        Self { places: Places { archive, work, locks, table_id: Arc::default() } }
    }
}

/// The table id, as version 0 says.
async fn read_table_id(store: &Store) -> Result<String, ArchiveError> {
    let key = layout::commit_key(0);
    let not_an_archive = |found: &str| ArchiveError::NotAnArchive {
        url: store.url().to_owned(),
        expected: key.clone(),
        found: found.to_owned(),
    };
    match store.get_bounded(&key, GENESIS_BYTES_MAX).await {
        Ok(Some(bytes)) => {
            let commit = Commit::parse(0, &bytes).map_err(|e| e.within(store.url()))?;
            Ok(commit.table_id.unwrap_or_default())
        }
        Ok(None) => Err(not_an_archive(NOTHING_THERE)),
        Err(ArchiveError::TooLong { .. }) => Err(not_an_archive("a file far too long")),
        Err(e) => Err(e),
    }
}

/// Longest version 0, in bytes: its schema takes about 15 kB.
const GENESIS_BYTES_MAX: u64 = 1024 * 1024;

/// The seat that gets and lists. Clones share what they have learnt about held units.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) places: Places,
    pub(crate) cache: Arc<tokio::sync::Mutex<Cache>>,
    pub(crate) policy: Trust,
}

impl Reader {
    /// The same seat, whose strict snapshots rest on checkpoints that this policy accepts. A
    /// policy comes from outside the archive.
    #[must_use]
    pub fn trusting(self, policy: Policy) -> Self {
        Self { policy: Some(Arc::new(policy)), ..self }
    }

    /// The archive's store; from outside this crate it can only be read.
    pub const fn store(&self) -> &Store {
        &self.places.archive
    }

    /// The work area's store; from outside this crate it can only be read.
    pub const fn work(&self) -> &Store {
        &self.places.work
    }

    /// The store of locks; from outside this crate it can only be read.
    pub const fn locks(&self) -> &Store {
        &self.places.locks
    }
}
