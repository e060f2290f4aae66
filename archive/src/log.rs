//! The Delta log, loaded: every commit from version 0 on, each checked against the one before.

use std::sync::Arc;

use common::Sha256Digest;
use common::commit::Commit;
use common::layout::{self, LOG_PREFIX, Place};
use common::ledger::Entry;
use common::limits::COMMIT_BYTES_MAX;
use futures::{StreamExt, TryStreamExt, stream};
use tlog::tile::Whole;

use crate::background;
use crate::error::ArchiveError;
use crate::store::Store;

/// A commit as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedCommit {
    /// SHA-256 of the commit's bytes.
    pub sha256: Sha256Digest,
    /// Length of the commit's bytes.
    pub bytes: u64,
    /// What the ledger says of it.
    pub entry: Entry,
    /// The commit.
    pub commit: Commit,
}

/// All commits; the one at index `n` is version `n`. A sealer may know the end alone, and then the
/// first one is a later version. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Version of the first commit here.
    first: u64,
    table_id: String,
    commits: Vec<Arc<SealedCommit>>,
}

/// Commits read at once.
const READS_MAX: usize = 16;

impl Log {
    /// The end of a table's log, from this version on, before any of it is loaded.
    pub(crate) fn end_from(first: u64, table_id: &str) -> Self {
        Self { first, table_id: table_id.to_owned(), commits: Vec::new() }
    }

    /// Every commit, from version 0 unless only the end is known.
    pub fn commits(&self) -> &[Arc<SealedCommit>] {
        &self.commits
    }

    /// Version of the first commit that is known: 0, unless only the end is.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The commit of a version, if it is known.
    pub fn commit(&self, version: u64) -> Option<&Arc<SealedCommit>> {
        self.commits.get(usize::try_from(version.checked_sub(self.first)?).ok()?)
    }

    /// The latest version; `None` if nothing was loaded.
    pub fn version(&self) -> Option<u64> {
        self.next_version().checked_sub(1)
    }

    /// The version the next commit will have.
    pub fn next_version(&self) -> u64 {
        u64::try_from(self.commits.len()).map_or(u64::MAX, |count| self.first.saturating_add(count))
    }

    /// The log as it was when this version was the next one.
    #[must_use]
    pub fn prefix(&self, end: u64) -> Self {
        let count = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let commits = self.commits.iter().take(count).cloned().collect();
        Self { first: self.first, table_id: self.table_id.clone(), commits }
    }

    /// The ledger's tree over the commits, all of which must be known.
    pub fn tree(&self) -> Whole {
        Whole::new(self.commits.iter().map(|sealed| sealed.entry.leaf()).collect())
    }

    /// Table id, as version 0 says.
    pub fn table_id(&self) -> &str {
        &self.table_id
    }

    /// Loads the log, reading only what `previous` lacks.
    ///
    /// # Errors
    /// If a version is missing or malformed, or does not continue the one before it.
    pub(crate) async fn load(store: &Store, previous: &Self) -> Result<Self, ArchiveError> {
        Self::load_before(store, previous, u64::MAX).await
    }

    /// Loads the log as [`Self::load`] does, but no version from `end` on, whatever may be there.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) async fn load_before(
        store: &Store,
        previous: &Self,
        end: u64,
    ) -> Result<Self, ArchiveError> {
        let mut log = previous.clone();
        let after = log.version().map(layout::commit_key);
        let mut listed: Vec<u64> = Vec::new();
        for object in store.list(LOG_PREFIX, after.as_deref()).await? {
            // Names that are no commit's are no part of the log; `verify` reports them.
            if let Place::Commit(version) = layout::parse(&object.key)
                && version < end
            {
                listed.push(version);
            }
        }
        let mut next = log.next_version();
        let mut wanted = Vec::new();
        for version in listed {
            while next < version {
                // A listing that ran beside a writer may lack what is there: ask for it.
                if store.head(&layout::commit_key(next)).await?.is_none() {
                    let url = store.url().to_owned();
                    return Err(ArchiveError::LogGap { url, missing: next, next: version });
                }
                wanted.push(next);
                next += 1;
            }
            wanted.push(version);
            next = version.saturating_add(1);
        }
        let commits: Vec<SealedCommit> = stream::iter(wanted)
            .map(|version| read(store, version))
            .buffered(READS_MAX)
            .try_collect()
            .await?;
        for sealed in commits {
            log.push(store.url(), sealed)?;
        }
        Ok(log)
    }

    /// The log with the next version, whose commit was stored a moment ago.
    ///
    /// # Errors
    /// If it is missing or malformed, or does not continue the one before it.
    pub(crate) async fn with_next(&self, store: &Store) -> Result<Self, ArchiveError> {
        let mut log = self.clone();
        log.push(store.url(), read(store, log.next_version()).await?)?;
        Ok(log)
    }

    fn push(&mut self, url: &str, sealed: SealedCommit) -> Result<(), ArchiveError> {
        if let Some(last) = self.commits.last() {
            let named = sealed.commit.note.previous_sha256;
            if named != Some(last.sha256) {
                return Err(ArchiveError::Chain {
                    url: url.to_owned(),
                    version: sealed.commit.note.version,
                    expected: named.map_or_else(|| "nothing".to_owned(), |d| d.to_string()),
                    found: last.sha256,
                });
            }
        }
        if let Some(table_id) = &sealed.commit.table_id {
            self.table_id.clone_from(table_id);
        }
        self.commits.push(Arc::new(sealed));
        Ok(())
    }
}

/// Reads and parses one commit.
pub(crate) async fn read(store: &Store, version: u64) -> Result<SealedCommit, ArchiveError> {
    let key = layout::commit_key(version);
    let object = store.object_url(&key);
    let Some(bytes) = store.get_bounded(&key, COMMIT_BYTES_MAX).await? else {
        return Err(ArchiveError::Missing { object, expected: "a commit of the log".to_owned() });
    };
    background::run(&object, move || {
        let commit = Commit::parse(version, &bytes)?;
        let entry = Entry::of_commit(version, &bytes, &commit.adds);
        let (sha256, bytes) = (entry.commit_sha256, entry.commit_bytes);
        Ok(SealedCommit { sha256, bytes, entry, commit })
    })
    .await?
}
