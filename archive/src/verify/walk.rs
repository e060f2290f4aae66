//! Walks the log from its first commit to its last, checking each with what it names, and keeps
//! of it what later checks need: 32 bytes a commit in memory, everything else in sorted records.

use common::commit::{Commit, DeltaCheckpointRef};
use common::layout;
use futures::{StreamExt, TryStreamExt, stream};
use tlog::Hash;

use super::commits::{self, Budget, Previous, ReadCommit, Versions};
use super::delta::Beside;
use super::files::Pool;
use super::finding::{Code, Finding, Findings};
use super::history::{self, OfCommit};
use super::known::{Key, Known, Named, Said};
use super::{Progress, Stage, Unreachable};
use crate::error::ArchiveError;
use crate::store::Store;

/// Commits read ahead.
const READS_MAX: usize = 16;

/// What the log said.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) table_id: Option<String>,
    /// Commits read.
    pub(super) commits: u64,
    /// Manifests they name.
    pub(super) manifests: u64,
    /// Event rows they add.
    pub(super) rows: u64,
    /// The latest version there.
    pub(super) last: Option<u64>,
    /// What the ledger would say of versions 0, 1, …, as far as there is no gap.
    pub(super) leaves: Vec<Hash>,
    /// Versions of which not every unit is known, ascending.
    pub(super) unknown: Vec<u64>,
    /// Whether a commit that is there could not be read from the store.
    pub(super) is_cut: bool,
    pub(super) known: Known,
    /// Delta checkpoints that are there.
    pub(super) beside: Beside,
    /// Delta checkpoints that commits vouch for.
    pub(super) vouched: Vec<DeltaCheckpointRef>,
}

impl Walked {
    /// The last version of the run of versions that starts at 0 and has no gap.
    pub(super) fn last_without_gap(&self) -> Option<u64> {
        self.size().checked_sub(1)
    }

    /// How many commits there are without a gap.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.leaves.len()).unwrap_or(u64::MAX)
    }

    /// Whether every unit of every commit is known.
    pub(super) fn is_complete(&self) -> bool {
        self.unknown.is_empty() && self.last_without_gap() == self.last
    }

    /// Whether every unit of these versions is known.
    pub(super) fn knows(&self, first: u64, last: u64) -> bool {
        let from = self.unknown.partition_point(|version| *version < first);
        self.unknown.get(from).is_none_or(|version| *version > last)
    }

    fn take(&mut self, version: u64, of_commit: &OfCommit) -> Result<(), ArchiveError> {
        for (path, expected) in &of_commit.files {
            let Some(key) = Key::of_path(path) else { continue };
            let (counts, times) = (expected.is_required, expected.times());
            self.known.name(Named { key, version, counts, times })?;
        }
        for delivery in &of_commit.deliveries {
            let key = Key::manifest(*delivery);
            self.known.name(Named { key, version, counts: true, times: None })?;
        }
        let kept = of_commit.kept.iter().map(|id| (*id, Said::Kept(version)));
        let left_out = of_commit.left_out.iter().map(|id| (*id, Said::LeftOut(version)));
        for (id, said) in kept.chain(left_out) {
            self.known.unit(id, said)?;
        }
        if of_commit.lacks_units {
            self.unknown.push(version);
        }
        self.manifests += u64::try_from(of_commit.deliveries.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// What a walk works with.
pub(super) struct Walk<'a> {
    pub(super) store: &'a Store,
    /// Checks the files.
    pub(super) pool: &'a mut Pool,
    pub(super) findings: &'a mut Findings,
    pub(super) unreachable: &'a mut Unreachable,
    pub(super) progress: &'a (dyn Fn(Progress) + Sync),
    /// Commits there should be, for the progress.
    pub(super) expected: u64,
}

impl Walk<'_> {
    /// Reads every commit there is.
    pub(super) async fn run(mut self, known: Known) -> Result<Walked, ArchiveError> {
        let mut walked = Walked { known, ..Walked::default() };
        let mut versions = Versions::default();
        let mut previous: Option<Previous> = None;
        let mut listed = 0;
        let budget = Budget::new();
        loop {
            let page = versions.page(self.store, self.findings).await?;
            if page.is_empty() {
                walked.beside = versions.beside;
                return Ok(walked);
            }
            listed += u64::try_from(page.len()).unwrap_or(u64::MAX);
            let store = self.store.clone();
            let mut reads = stream::iter(page)
                .then(|(version, listed)| {
                    let budget = budget.clone();
                    async move { (version, budget.take(listed.bytes).await) }
                })
                .map(|(version, room)| {
                    let store = store.clone();
                    let object = store.object_url(&layout::commit_key(version));
                    let read = tokio::spawn(async move { commits::read(&store, version).await });
                    async move {
                        let failed = |e| ArchiveError::Task { object, source: Box::new(e) };
                        Ok::<_, ArchiveError>((read.await.map_err(failed)?, room))
                    }
                })
                .buffered(READS_MAX)
                .boxed();
            while let Some((read, _room)) = reads.try_next().await? {
                walked.commits += 1;
                (self.progress)(Progress {
                    stage: Stage::Commits,
                    done: walked.commits,
                    total: self.expected.max(listed),
                    bytes_done: self.pool.counts.bytes,
                    bytes_total: 0,
                });
                match read {
                    Ok(Some(read)) => self.commit(read, &mut previous, &mut walked).await?,
                    Ok(None) => {}
                    Err(e) => {
                        walked.is_cut = true;
                        let finding = self.unreachable.report(e)?;
                        self.findings.push(finding);
                    }
                }
            }
        }
    }

    async fn commit(
        &mut self,
        read: ReadCommit,
        previous: &mut Option<Previous>,
        walked: &mut Walked,
    ) -> Result<(), ArchiveError> {
        let ReadCommit { version, entry, parsed } = read;
        walked.last = Some(version);
        if version == walked.size() {
            walked.leaves.push(entry.leaf());
        }
        let sha256 = entry.commit_sha256;
        let commit = match parsed {
            Ok(commit) => commit,
            Err(error) => {
                let object = self.store.object_url(&layout::commit_key(version));
                let finding = Finding::new(Code::CommitFormat, object).format(&error);
                self.findings.push(finding.version(Some(version)));
                *previous = Some(Previous { version, sha256, times: None });
                walked.unknown.push(version);
                return Ok(());
            }
        };
        commits::check_chain(self.store, &commit, *previous, self.findings);
        *previous = Some(Previous { version, sha256, times: commits::event_times(&commit) });
        walked.vouched.extend(commit.note.delta_checkpoint);
        if let Some(table_id) = &commit.table_id {
            walked.table_id = Some(table_id.clone());
        }
        walked.rows = walked.rows.saturating_add(commits::event_rows(&commit));
        self.named(version, commit, walked).await
    }

    /// Checks what a commit names.
    async fn named(
        &mut self,
        version: u64,
        commit: Commit,
        walked: &mut Walked,
    ) -> Result<(), ArchiveError> {
        self.added_twice(version, &commit);
        let of_commit =
            history::of_commit(self.store, commit, self.findings, self.unreachable).await?;
        walked.take(version, &of_commit)?;
        for (path, expected) in of_commit.files {
            self.pool.add(path, expected, self.findings, self.unreachable).await?;
        }
        Ok(())
    }

    /// Reports files that one commit adds twice; those that two commits add are found in the
    /// records of all.
    fn added_twice(&mut self, version: u64, commit: &Commit) {
        let mut paths: Vec<&str> = commit.adds.iter().map(|add| add.path.as_str()).collect();
        paths.sort_unstable();
        for pair in paths.windows(2).filter(|pair| pair[0] == pair[1]) {
            let times = commit.adds.iter().find(|add| add.path == pair[0]);
            let times = times.map(|add| (add.event_time_micros_min, add.event_time_micros_max));
            let url = self.store.object_url(pair[0]);
            self.findings.push(twice(Finding::new(Code::UnitTwice, url), version, times));
        }
    }
}

/// A file that counts twice.
pub(super) fn twice(finding: Finding, version: u64, times: Option<(i64, i64)>) -> Finding {
    finding
        .version(Some(version))
        .times(times)
        .differs("one commit that adds it", "two")
        .detail("its rows count twice")
}

/// Whether the commit of a version is there now, as after a seal beside this verification.
pub(super) async fn is_there_now(store: &Store, version: u64) -> Result<bool, ArchiveError> {
    Ok(store.head(&layout::commit_key(version)).await?.is_some())
}
