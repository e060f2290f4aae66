//! Reads the log: every version there, well-formed, and each continuing the one before.

use std::sync::Arc;

use common::commit::Commit;
use common::layout::{self, DATA_PREFIX, LOG_PREFIX, MANIFESTS_PREFIX, Place};
use common::ledger::Entry;
use common::limits::COMMIT_BYTES_MAX;
use common::{FormatError, Sha256Digest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::delta::Beside;
use super::finding::{Code, Finding, Findings};
use super::strays::REST_NOT_EXAMINED;
use crate::background;
use crate::error::{ArchiveError, NOTHING_THERE};
use crate::store::{LIST_PAGE_COUNT, Listed, Store};

/// Event times, first and last, in microseconds.
pub(super) type Times = Option<(i64, i64)>;

/// Bounds the bytes of objects that are read ahead: whoever is to be checked first has taken its
/// share first, so nobody waits for one behind it.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    /// Kilobytes in memory at once; one object is always taken.
    const KILOBYTES_MAX: u32 = 128 * 1024;

    pub(super) fn new() -> Self {
        let permits = usize::try_from(Self::KILOBYTES_MAX).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// Waits for room for so many bytes; it is given back when the answer is dropped.
    pub(super) async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kilobytes = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        // It is closed never.
        Arc::clone(&self.0).acquire_many_owned(kilobytes.min(Self::KILOBYTES_MAX)).await.ok()
    }
}

/// A commit as it was read.
pub(super) struct ReadCommit {
    pub(super) version: u64,
    pub(super) entry: Entry,
    pub(super) parsed: Result<Commit, FormatError>,
}

/// The versions there are, page by page, ascending; anything else in the log is reported.
#[derive(Debug, Default)]
pub(super) struct Versions {
    after: Option<String>,
    is_done: bool,
    /// The version that should be next.
    next: u64,
    is_any: bool,
    /// What else of the log is there.
    pub(super) beside: Beside,
}

impl Versions {
    /// The next page of commits; empty after the last.
    pub(super) async fn page(
        &mut self,
        store: &Store,
        findings: &mut Findings,
    ) -> Result<Vec<(u64, Listed)>, ArchiveError> {
        let mut versions = Vec::new();
        while versions.is_empty() && !self.is_done {
            let page = match store.list_page(LOG_PREFIX, self.after.as_deref()).await {
                Err(ArchiveError::Key { key, .. }) => {
                    findings.push(
                        Finding::new(Code::Stray, store.object_url(LOG_PREFIX))
                            .differs("commits only", key)
                            .detail(format!("in the log {REST_NOT_EXAMINED}")),
                    );
                    Vec::new()
                }
                page => page?,
            };
            self.is_done = page.len() < LIST_PAGE_COUNT;
            self.after = page.last().map(|object| object.key.clone());
            for object in page {
                match layout::parse(&object.key) {
                    Place::Commit(version) => versions.push((version, object)),
                    Place::DeltaCheckpoint(version) => {
                        self.beside.checkpoints.insert(version);
                    }
                    Place::LastCheckpoint => self.beside.has_hint = true,
                    _ => findings.push(
                        Finding::new(Code::Stray, store.object_url(&object.key))
                            .differs("commits and Delta checkpoints only", "an object nobody names")
                            .detail("some engines would read it as part of the log"),
                    ),
                }
            }
        }
        self.report_gaps(store, &versions, findings);
        if !self.is_any && versions.is_empty() {
            report_no_log(store, findings).await?;
        }
        self.is_any = true;
        Ok(versions)
    }

    fn report_gaps(&mut self, store: &Store, page: &[(u64, Listed)], findings: &mut Findings) {
        for &(version, _) in page {
            if let Some(last) = version.checked_sub(1).filter(|last| *last >= self.next) {
                let next = self.next;
                findings.push(
                    Finding::new(Code::Gap, store.object_url(&layout::commit_key(next)))
                        .version(Some(next))
                        .differs(format!("versions {next} to {last}"), "none of them")
                        .detail("a version that was sealed is gone"),
                );
            }
            self.next = version.saturating_add(1);
        }
    }
}

/// Without a log it is no archive, or somebody took the log away.
async fn report_no_log(store: &Store, findings: &mut Findings) -> Result<(), ArchiveError> {
    let has_data = !store.list_page(DATA_PREFIX, None).await?.is_empty();
    if !has_data && store.list_page(MANIFESTS_PREFIX, None).await?.is_empty() {
        return Err(ArchiveError::NotAnArchive {
            url: store.url().to_owned(),
            expected: layout::commit_key(0),
            found: NOTHING_THERE.to_owned(),
        });
    }
    findings.push(
        Finding::new(Code::NotAnArchive, store.object_url(LOG_PREFIX))
            .differs("commits", "none")
            .detail("there are data or manifests, but the log is gone"),
    );
    Ok(())
}

/// Reads one commit. `None`: gone since it was listed; who removes commits is no friend, but the
/// next run sees it. An error is one of the store.
pub(super) async fn read(store: &Store, version: u64) -> Result<Option<ReadCommit>, ArchiveError> {
    let key = layout::commit_key(version);
    let object = store.object_url(&key);
    let bytes = match store.get_bounded(&key, COMMIT_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) => {
            return super::unreadable(e).map(|found| {
                let parsed = Err(FormatError::new(key, "a commit", found));
                Some(ReadCommit { version, entry: Entry::of_commit(version, b"", &[]), parsed })
            });
        }
    };
    let read = {
        let bytes = bytes.clone();
        background::run(&object, move || {
            let parsed = Commit::parse(version, &bytes);
            let adds = parsed.as_ref().map_or(&[][..], |commit| &commit.adds);
            ReadCommit { version, entry: Entry::of_commit(version, &bytes, adds), parsed }
        })
    };
    Ok(Some(match read.await {
        Ok(read) => read,
        Err(e) => {
            let parsed = Err(FormatError::new(key, "a commit", e.to_string()));
            ReadCommit { version, entry: Entry::of_commit(version, &bytes, &[]), parsed }
        }
    }))
}

/// What the next commit is held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Previous {
    pub(super) version: u64,
    pub(super) sha256: Sha256Digest,
    pub(super) times: Times,
}

/// Checks that a commit continues the one before it.
pub(super) fn check_chain(
    store: &Store,
    commit: &Commit,
    previous: Option<Previous>,
    findings: &mut Findings,
) {
    let Some(Previous { version, sha256, times }) = previous else { return };
    let named = commit.note.previous_sha256;
    if version.checked_add(1) != Some(commit.note.version) || named == Some(sha256) {
        return;
    }
    let named = named.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
    findings.push(
        Finding::new(Code::Chain, store.object_url(&layout::commit_key(version)))
            .version(Some(version))
            .times(merge(times, event_times(commit)))
            .differs(format!("SHA-256 {named}"), sha256)
            .detail("this commit or the next was changed after it was sealed"),
    );
}

/// First and last event time of the files a commit adds.
pub(super) fn event_times(commit: &Commit) -> Times {
    commit.adds.iter().fold(None, |times, file| {
        merge(times, Some((file.event_time_micros_min, file.event_time_micros_max)))
    })
}

/// Event rows of the files a commit adds.
pub(super) fn event_rows(commit: &Commit) -> u64 {
    commit.adds.iter().fold(0, |rows, file| rows.saturating_add(file.rows))
}

fn merge(a: Times, b: Times) -> Times {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}
