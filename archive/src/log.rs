//! The Delta log, loaded: every commit from version 0 on, each checked against the one before; or,
//! for a reader that wants the state alone, a Delta checkpoint and the commits behind it.

use std::sync::Arc;

use common::Sha256Digest;
use common::commit::Commit;
use common::layout::{self, LOG_PREFIX, Place};
use common::ledger::Entry;
use common::limits::COMMIT_BYTES_MAX;
use futures::{StreamExt, TryStreamExt, stream};
use tlog::tile::Whole;

use crate::background;
use crate::delta_checkpoint::State;
use crate::error::ArchiveError;
use crate::store::{READS_AT_ONCE, Store};

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

/// All commits; the one at index `n` is version `n`. A sealer may know the end alone, and so may a
/// reader that began with a Delta checkpoint; then the first one is a later version. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Version of the first commit here.
    first: u64,
    table_id: String,
    commits: Vec<Arc<SealedCommit>>,
    /// The state that a reader began with.
    state: Option<Arc<State>>,
}

impl Log {
    /// The end of a table's log, from this version on, before any of it is loaded.
    pub(crate) fn end_from(first: u64, table_id: &str) -> Self {
        Self { first, table_id: table_id.to_owned(), ..Self::default() }
    }

    /// The log behind a state, before any of it is loaded. It is loaded from version `first` on,
    /// which is the one behind the state or an earlier one.
    pub(crate) fn behind(state: State, first: u64) -> Self {
        let (table_id, commits) = (state.table_id.clone(), Vec::new());
        Self { first, table_id, commits, state: Some(Arc::new(state)) }
    }

    /// The state that takes the place of the commits up to its version; none if every commit is
    /// here, or only the end is known.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_deref()
    }

    /// The commits that the state does not have.
    pub(crate) fn commits_behind_state(&self) -> &[Arc<SealedCommit>] {
        let first = self.state().map_or(self.first, |state| state.about.version.saturating_add(1));
        let known = usize::try_from(first.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.commits.get(known..).unwrap_or_default()
    }

    /// Whether the state at a version, not after the last one, follows from what is here.
    pub(crate) fn reaches_back_to(&self, version: u64) -> bool {
        match self.state() {
            Some(state) => state.about.version <= version,
            None => self.first == 0,
        }
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
        Self { commits, ..self.clone() }
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
        let after = previous.version();
        let listed = list(store, after, end).await?;
        previous.with_listed(store, listed).await
    }

    /// The log with versions that were listed behind its last one.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) async fn with_listed(
        &self,
        store: &Store,
        listed: Vec<u64>,
    ) -> Result<Self, ArchiveError> {
        let mut next = self.next_version();
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
        self.with(store, read_all(store, wanted).await?)
    }

    /// The log with its next versions.
    ///
    /// # Errors
    /// If one does not continue the one before it.
    pub(crate) fn with(
        &self,
        store: &Store,
        commits: Vec<SealedCommit>,
    ) -> Result<Self, ArchiveError> {
        let mut log = self.clone();
        for sealed in commits {
            log.push(store.url(), sealed)?;
        }
        Ok(log)
    }

    /// The log with the commits from an earlier version on, which those that are here hold by
    /// their hashes.
    ///
    /// # Errors
    /// If one is missing or malformed, or is not the one that the next one names.
    pub(crate) async fn back_to(&self, store: &Store, first: u64) -> Result<Self, ArchiveError> {
        let mut log = Self { first, commits: Vec::new(), ..self.clone() };
        for sealed in read_all(store, first..self.first).await? {
            log.push(store.url(), sealed)?;
        }
        for sealed in &self.commits {
            log.push_known(store.url(), Arc::clone(sealed))?;
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
        self.push_known(url, Arc::new(sealed))
    }

    fn push_known(&mut self, url: &str, sealed: Arc<SealedCommit>) -> Result<(), ArchiveError> {
        let version = self.next_version();
        let chain = |named: Option<Sha256Digest>, version: u64, found| ArchiveError::Chain {
            url: url.to_owned(),
            version,
            expected: named.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string()),
            found,
        };
        let of_state = self.state().map(|state| (state.about.version, state.about.commit_sha256));
        let before = match (self.commits.last(), of_state) {
            (Some(last), _) => Some(last.sha256),
            (None, Some((of, sha256))) if of.saturating_add(1) == version => Some(sha256),
            _ => None,
        };
        let named = sealed.commit.note.previous_sha256;
        if let Some(before) = before
            && named != Some(before)
        {
            return Err(chain(named, version, before));
        }
        // Those that the state has as well must lead to it.
        if let Some((of, sha256)) = of_state
            && of == version
            && sealed.sha256 != sha256
        {
            return Err(chain(Some(sha256), version, sealed.sha256));
        }
        if let Some(table_id) = &sealed.commit.table_id {
            self.table_id.clone_from(table_id);
        }
        self.commits.push(sealed);
        Ok(())
    }
}

/// Versions after this one and before `end`, in ascending order, as a listing shows them.
pub(crate) async fn list(
    store: &Store,
    after: Option<u64>,
    end: u64,
) -> Result<Vec<u64>, ArchiveError> {
    let after = after.map(layout::commit_key);
    let listed = store.list(LOG_PREFIX, after.as_deref()).await?;
    // Names that are no commit's are no part of the log; `verify` reports them.
    let versions = listed.iter().filter_map(|object| match layout::parse(&object.key) {
        Place::Commit(version) if version < end => Some(version),
        _ => None,
    });
    Ok(versions.collect())
}

/// Reads commits side by side.
pub(crate) async fn read_all(
    store: &Store,
    versions: impl IntoIterator<Item = u64>,
) -> Result<Vec<SealedCommit>, ArchiveError> {
    stream::iter(versions)
        .map(|version| read(store, version))
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await
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
