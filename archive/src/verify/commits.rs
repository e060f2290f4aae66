//! Reads the log: every version there, well-formed, and each continuing the one before.

use common::commit::Commit;
use common::layout::{self, DATA_PREFIX, LOG_PREFIX, MANIFESTS_PREFIX, Place};
use common::ledger::Entry;
use common::limits::COMMIT_BYTES_MAX;
use common::{FormatError, Sha256Digest};
use futures::{StreamExt, TryStreamExt, stream};

use super::finding::{Code, Finding, Findings};
use super::history::unreadable;
use super::strays::REST_NOT_EXAMINED;
use super::{Progress, Stage};
use crate::background;
use crate::error::ArchiveError;
use crate::store::Store;

/// Commits read at once.
const READS_MAX: usize = 16;

/// Event times, first and last, in microseconds.
pub(super) type Times = Option<(i64, i64)>;

/// What the ledger would say of a commit as it is stored, and the event times it adds.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) version: u64,
    pub(super) entry: Entry,
    pub(super) times: Times,
}

/// Every commit that is there: what the ledger would say of it, and what it says, unless it is
/// malformed.
#[derive(Debug, Default)]
pub(super) struct Commits {
    pub(super) logged: Vec<Logged>,
    pub(super) parsed: Vec<(u64, Option<Commit>)>,
}

/// Reads every commit there is.
pub(super) async fn read(
    store: &Store,
    findings: &mut Findings,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Commits, ArchiveError> {
    let listed = list_log(store, findings).await?;
    if listed.is_empty() {
        report_no_log(store, findings).await?;
    }
    report_gaps(store, &listed, findings);
    let total = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    let mut reads =
        stream::iter(listed).map(|version| read_commit(store, version)).buffered(READS_MAX);
    let mut previous: Option<(u64, Sha256Digest, Times)> = None;
    let mut commits = Commits::default();
    let mut done = 0;
    while let Some(read) = reads.try_next().await? {
        done += 1;
        progress(Progress { stage: Stage::Commits, done, total, bytes_done: 0, bytes_total: 0 });
        // Gone since it was listed: who removes commits is no friend, but the next run sees it.
        let Some(ReadCommit { version, entry, parsed }) = read else { continue };
        let commit = match parsed {
            Ok(commit) => {
                check_chain(store, &commit, previous, findings);
                Some(commit)
            }
            Err(error) => {
                let object = store.object_url(&layout::commit_key(version));
                let finding = Finding::new(Code::CommitFormat, object).format(&error);
                findings.push(finding.version(Some(version)));
                None
            }
        };
        let times = commit.as_ref().and_then(event_times);
        previous = Some((version, entry.commit_sha256, times));
        commits.logged.push(Logged { version, entry, times });
        commits.parsed.push((version, commit));
    }
    Ok(commits)
}

/// Without a log it is no archive, or somebody took the log away.
async fn report_no_log(store: &Store, findings: &mut Findings) -> Result<(), ArchiveError> {
    let has_data = !store.list_page(DATA_PREFIX, None).await?.is_empty();
    if !has_data && store.list_page(MANIFESTS_PREFIX, None).await?.is_empty() {
        return Err(ArchiveError::NotAnArchive {
            url: store.url().to_owned(),
            expected: layout::commit_key(0),
            found: "nothing there".to_owned(),
        });
    }
    findings.push(
        Finding::new(Code::NotAnArchive, store.object_url(LOG_PREFIX))
            .differs("commits", "none")
            .detail("there are data or manifests, but the log is gone"),
    );
    Ok(())
}

/// A commit as it was read.
struct ReadCommit {
    version: u64,
    entry: Entry,
    parsed: Result<Commit, FormatError>,
}

/// Versions in the log, ascending; anything else there is reported.
async fn list_log(store: &Store, findings: &mut Findings) -> Result<Vec<u64>, ArchiveError> {
    let mut versions = Vec::new();
    let listed = match store.list(LOG_PREFIX, None).await {
        Err(ArchiveError::Key { key, .. }) => {
            findings.push(
                Finding::new(Code::Stray, store.object_url(LOG_PREFIX))
                    .differs("commits only", key)
                    .detail(format!("in the log {REST_NOT_EXAMINED}")),
            );
            return Ok(versions);
        }
        listed => listed?,
    };
    for object in listed {
        match layout::parse(&object.key) {
            Place::Commit(version) => versions.push(version),
            _ => findings.push(
                Finding::new(Code::Stray, store.object_url(&object.key))
                    .differs("nothing but commits", "an object nobody names")
                    .detail("some engines would read it as part of the log"),
            ),
        }
    }
    Ok(versions)
}

fn report_gaps(store: &Store, versions: &[u64], findings: &mut Findings) {
    let mut next = 0;
    for &version in versions {
        if version > next {
            let last = version - 1;
            findings.push(
                Finding::new(Code::Gap, store.object_url(&layout::commit_key(next)))
                    .version(Some(next))
                    .differs(format!("versions {next} to {last}"), "none of them")
                    .detail("a version that was sealed is gone"),
            );
        }
        next = version.saturating_add(1);
    }
}

async fn read_commit(store: &Store, version: u64) -> Result<Option<ReadCommit>, ArchiveError> {
    let key = layout::commit_key(version);
    let object = store.object_url(&key);
    let bytes = match store.get_bounded(&key, COMMIT_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) => {
            return unreadable(e).map(|found| {
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

fn check_chain(
    store: &Store,
    commit: &Commit,
    previous: Option<(u64, Sha256Digest, Times)>,
    findings: &mut Findings,
) {
    let Some((version, sha256, times)) = previous else { return };
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

fn merge(a: Times, b: Times) -> Times {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}
