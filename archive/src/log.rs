//! The Delta log, loaded: every commit from version 0 on, each checked against the one before.

use std::sync::Arc;

use common::Sha256Digest;
use common::commit::Commit;
use common::layout::{self, LOG_PREFIX, Place};
use common::ledger::Entry;
use common::limits::COMMIT_BYTES_MAX;
use futures::{StreamExt, TryStreamExt, stream};

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

/// All commits; the one at index `n` is version `n`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Log {
    commits: Vec<Arc<SealedCommit>>,
}

/// Commits read at once.
const READS_MAX: usize = 16;

impl Log {
    /// Every commit, from version 0.
    pub fn commits(&self) -> &[Arc<SealedCommit>] {
        &self.commits
    }

    /// The latest version; `None` if nothing was loaded.
    pub fn version(&self) -> Option<u64> {
        self.next_version().checked_sub(1)
    }

    /// The version the next commit will have.
    pub fn next_version(&self) -> u64 {
        u64::try_from(self.commits.len()).unwrap_or(u64::MAX)
    }

    /// The log as it was when it had so many commits.
    #[must_use]
    pub fn prefix(&self, commits: u64) -> Self {
        let count = usize::try_from(commits).unwrap_or(usize::MAX).min(self.commits.len());
        Self { commits: self.commits[..count].to_vec() }
    }

    /// Table id, as version 0 says.
    pub fn table_id(&self) -> &str {
        let genesis = self.commits.first();
        genesis.and_then(|sealed| sealed.commit.table_id.as_deref()).unwrap_or_default()
    }

    /// Loads the log, reading only what `previous` lacks.
    ///
    /// # Errors
    /// If a version is missing or malformed, or does not continue the one before it.
    pub(crate) async fn load(store: &Store, previous: &Self) -> Result<Self, ArchiveError> {
        let mut log = previous.clone();
        let after = log.version().map(layout::commit_key);
        let mut listed: Vec<u64> = Vec::new();
        for object in store.list(LOG_PREFIX, after.as_deref()).await? {
            // Names that are no commit's are no part of the log; `verify` reports them.
            if let Place::Commit(version) = layout::parse(&object.key) {
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
