//! Where a fresh snapshot begins: with a Delta checkpoint and the commits behind it, if there is
//! one, so that a log of any length opens in two round trips.
//!
//! Two small objects say where: `_last_checkpoint`, which Delta checkpoint is the newest, and the
//! ledger's checkpoint, how many commits there are at least. The first is a hint: a Delta
//! checkpoint counts only if the ledger vouches for it, by the code that strict snapshots use, and
//! so does a commit behind it. The end of the log is what a listing shows. Whatever does not fit
//! costs a way round, and in the end every commit from version 0 on is read, as if nobody had said
//! anything.

use std::ops::Range;

use bytes::Bytes;
use common::Sha256Digest;
use common::held::RUN_FANOUT;
use common::layout::{self, LAST_CHECKPOINT_KEY};
use common::ledger::is_of_table;
use common::limits::FILE_BYTES_MAX;
use tlog::Checkpoint;

use crate::background;
use crate::delta_checkpoint::{HINT_BYTES_MAX, Hint, State};
use crate::error::ArchiveError;
use crate::log::{self, Log};
use crate::seats::Reader;
use crate::strict::Base;

/// What was said of the log before any of it was read.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Version of the newest Delta checkpoint.
    delta_checkpoint: Option<u64>,
    /// The ledger's checkpoint, if the reader's policy accepts it.
    head: Option<Checkpoint>,
}

/// Commits that are read on the ledger's word, before a listing shows them. It is more than lie
/// behind a Delta checkpoint; who says that there are more is not believed.
const FORETOLD_MAX: u64 = 512;

/// The first version to read, and the end of those that need not wait for a listing, by the
/// version of the newest Delta checkpoint and the number of commits that there are at least.
fn range(delta_checkpoint: Option<u64>, size: u64) -> (u64, u64) {
    let behind = delta_checkpoint.map_or(0, |version| version.saturating_add(1));
    // Runs of the held index end at multiples of their fanout. The units of later versions are
    // asked of manifests, which only commits name.
    let first = behind.min(size - size % RUN_FANOUT);
    let first = if behind - first < RUN_FANOUT { first } else { behind };
    let end = if size.saturating_sub(first) <= FORETOLD_MAX { size } else { first };
    (first, end.max(first))
}

impl Reader {
    /// Asks for both marks at once. One that can not be had or makes no sense is as if it were not
    /// there, and so is a hint where there is no ledger to vouch for what it names.
    pub(crate) async fn marks(&self) -> Marks {
        let hint = self.store().get_bounded(LAST_CHECKPOINT_KEY, HINT_BYTES_MAX);
        let (hint, head) = futures::join!(hint, self.accepted_head());
        let hint = hint.ok().flatten().and_then(|bytes| Hint::parse(&bytes).ok());
        let version = hint.map(|hint| hint.version).filter(|version| *version > 0);
        Marks { delta_checkpoint: version.filter(|_| head.is_some()), head }
    }

    /// The log as it is now, for who wants the state and not the history.
    ///
    /// # Errors
    /// If the log is damaged, or can not be read.
    pub(crate) async fn newest_log(&self, marks: Marks) -> Result<Log, ArchiveError> {
        let Some(head) = marks.head else { return Log::load(self.store(), &Log::default()).await };
        let (first, end) = range(marks.delta_checkpoint, head.size);
        let begun = match marks.delta_checkpoint {
            Some(version) => self.log_by_hint(&head, version, first..end).await,
            None if first < end => self.log_of_foretold(end).await,
            // So many commits that there must be a Delta checkpoint.
            None => self.log_by_ledger(&head).await,
        };
        let begun = match begun {
            Err(error) if !is_of_store(&error) && marks.delta_checkpoint.is_some() => {
                tracing::warn!(%error, "the log can not begin where it was said to");
                self.log_by_ledger(&head).await
            }
            begun => begun,
        };
        match begun {
            Err(error) if !is_of_store(&error) => {
                tracing::warn!(%error, "the log is read from version 0 on");
                Log::load(self.store(), &Log::default()).await
            }
            begun => begun,
        }
    }

    /// The log from version 0 on, of which the commits before `end` are read at once.
    async fn log_of_foretold(&self, end: u64) -> Result<Log, ArchiveError> {
        let store = self.store();
        let listed = log::list(store, end.checked_sub(1), u64::MAX);
        let (commits, listed) = futures::try_join!(log::read_all(store, 0..end), listed)?;
        Log::default().with(store, commits)?.with_listed(store, listed).await
    }

    /// The log behind the Delta checkpoint that is said to be the newest. All of it is read at
    /// once, with what tells whether the ledger vouches for it.
    async fn log_by_hint(
        &self,
        head: &Checkpoint,
        version: u64,
        foretold: Range<u64>,
    ) -> Result<Log, ArchiveError> {
        let store = self.store();
        let listed = log::list(store, foretold.end.checked_sub(1), u64::MAX);
        let ((state, sha256), vouched, commits, listed) = futures::try_join!(
            self.delta_checkpoint(version),
            self.vouched_under(head),
            log::read_all(store, foretold.clone()),
            listed,
        )?;
        let base = Base { version, sha256 };
        if vouched != Some(base) {
            return Err(self.unvouched(base, "the ledger"));
        }
        let log = Log::behind(state, foretold.start).with(store, commits)?;
        self.check(head, base, log.with_listed(store, listed).await?)
    }

    /// The log, if it is of the ledger's table and a commit in it vouches for the Delta checkpoint
    /// that it begins with.
    fn check(&self, head: &Checkpoint, base: Base, log: Log) -> Result<Log, ArchiveError> {
        if !is_of_table(&head.origin, log.table_id()) {
            return Err(ArchiveError::Ledger {
                object: self.store().object_url(&layout::delta_checkpoint_key(base.version)),
                expected: format!("a table whose ledger is {}", head.origin),
                found: format!("table {}", log.table_id()),
            });
        }
        let mut vouching = log.commits().iter().filter_map(|c| c.commit.note.delta_checkpoint);
        match vouching.any(|named| (named.version, named.sha256) == (base.version, base.sha256)) {
            true => Ok(log),
            false => Err(self.unvouched(base, "a commit behind it")),
        }
    }

    fn unvouched(&self, base: Base, who: &str) -> ArchiveError {
        ArchiveError::Ledger {
            object: self.store().object_url(&layout::delta_checkpoint_key(base.version)),
            expected: format!("a Delta checkpoint that {who} vouches for"),
            found: format!("one with SHA-256 {}", base.sha256),
        }
    }

    /// A Delta checkpoint as it is stored, and its SHA-256.
    async fn delta_checkpoint(&self, version: u64) -> Result<(State, Sha256Digest), ArchiveError> {
        let key = layout::delta_checkpoint_key(version);
        let object = self.store().object_url(&key);
        let wrong = |found: String| ArchiveError::Ledger {
            object: object.clone(),
            expected: format!("the Delta checkpoint of version {version}"),
            found,
        };
        let Some(bytes) = self.store().get_bounded(&key, FILE_BYTES_MAX).await? else {
            return Err(wrong("nothing".to_owned()));
        };
        let read = |bytes: Bytes| (State::read(&bytes), Sha256Digest::of(&bytes));
        let (state, digest) = background::run(&object, move || read(bytes)).await?;
        let state = state.map_err(&wrong)?;
        match state.about.version {
            found if found == version => Ok((state, digest)),
            found => Err(wrong(format!("one of version {found}"))),
        }
    }

    /// The log behind the last Delta checkpoint that the ledger vouches for, wherever hints point,
    /// which takes more round trips; if there is none, all of it.
    async fn log_by_ledger(&self, head: &Checkpoint) -> Result<Log, ArchiveError> {
        let store = self.store();
        let Some(base) = self.vouched_under(head).await? else {
            return Log::load(store, &Log::default()).await;
        };
        let begun = Log::behind(self.state_of(base).await?, base.version.saturating_add(1));
        self.check(head, base, Log::load(store, &begun).await?)
    }
}

/// Whether the store failed, and not what it holds.
fn is_of_store(error: &ArchiveError) -> bool {
    use ArchiveError::{Io, Refused, Store};
    matches!(error, Store { .. } | Refused { .. } | Io { .. })
}

#[cfg(test)]
mod tests;
