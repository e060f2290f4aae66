//! Checks Delta checkpoints: each one that is there, or that a commit vouches for, is derived from
//! the commits again and compared row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use common::Sha256Digest;
use common::commit::{Commit, DeltaCheckpointRef};
use common::layout::{self, LAST_CHECKPOINT_KEY};
use common::limits::FILE_BYTES_MAX;
use futures::{StreamExt, stream};

use super::finding::{Code, Finding, Findings};
use super::unreadable;
use super::walk::Walked;
use crate::background;
use crate::delta_checkpoint::{About, HINT_BYTES_MAX, Hint, compare};
use crate::error::ArchiveError;
use crate::log::{self, Log, SealedCommit};
use crate::seats::Reader;
use crate::store::Store;

/// What of the log is no commit.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Versions of the Delta checkpoints that are there.
    pub(super) checkpoints: BTreeSet<u64>,
    /// Whether there is a hint at one.
    pub(super) has_hint: bool,
}

/// Commits read at once.
const READS_MAX: usize = 16;

/// Checks the Delta checkpoints and the hint. Where there are any, the commits are read once more
/// and kept until the end: as much memory as a snapshot takes.
pub(super) async fn check(
    store: &Store,
    walked: &Walked,
    findings: &mut Findings,
) -> Result<(), ArchiveError> {
    let mut vouched: BTreeMap<u64, Vec<DeltaCheckpointRef>> = BTreeMap::new();
    for named in &walked.vouched {
        vouched.entry(named.version).or_default().push(*named);
    }
    let there = &walked.beside.checkpoints;
    let versions: BTreeSet<u64> = there.iter().chain(vouched.keys()).copied().collect();
    let wanted = versions.last().map_or(0, |last| last.saturating_add(1)).min(walked.size());
    let commits = Arc::new(commits(store, walked, wanted).await?);
    let is_whole = walked.last_without_gap() == walked.last && !walked.is_cut;
    for version in versions {
        let vouched = vouched.get(&version).map(Vec::as_slice).unwrap_or_default();
        let last = usize::try_from(version).ok().and_then(|index| commits.get(index));
        let about = last.map(|last| About::new(version, last.sha256));
        let commits = Arc::clone(&commits);
        let derived = about.map(|about| {
            move |bytes: &Bytes| {
                let until = commits.iter().take_while(|one| one.commit.note.version <= version);
                compare(bytes, about, until.map(|one| &one.commit))
            }
        });
        let found = match one(store, version, vouched, derived).await? {
            None if is_whole && version >= walked.size() => Some(
                Finding::new(Code::DeltaCheckpoint, url(store, version))
                    .differs(
                        format!("a log up to version {version}"),
                        format!("{} versions", walked.size()),
                    )
                    .detail("it is written after its version: the end of the log is gone"),
            ),
            found => found,
        };
        findings.extend(found.map(|finding| finding.version(Some(version))));
    }
    if walked.beside.has_hint {
        findings.extend(check_hint(store, there).await?);
    }
    Ok(())
}

/// The first commits, as far as they are well-formed and those that were walked through.
async fn commits(
    store: &Store,
    walked: &Walked,
    count: u64,
) -> Result<Vec<SealedCommit>, ArchiveError> {
    let mut reads = stream::iter(0..count).map(|version| log::read(store, version));
    let mut reads = std::pin::pin!(reads.by_ref().buffered(READS_MAX));
    let mut commits = Vec::new();
    for leaf in &walked.leaves {
        match reads.next().await {
            Some(Ok(sealed)) if sealed.entry.leaf() == *leaf => commits.push(sealed),
            Some(Err(e)) => {
                // Said where it was walked through, unless the store itself is at fault.
                unreadable(e)?;
                break;
            }
            Some(Ok(_)) | None => break,
        }
    }
    Ok(commits)
}

/// Checks the Delta checkpoint that a commit vouches for, before that commit is signed.
///
/// # Errors
/// If the store can not be read.
pub async fn check_delta_checkpoint(
    reader: &Reader,
    log: &Log,
    commit: &Commit,
) -> Result<Vec<Finding>, ArchiveError> {
    let Some(named) = commit.note.delta_checkpoint else { return Ok(Vec::new()) };
    let state = log.prefix(named.version.saturating_add(1));
    let derived = state.commits().last().map(|last| {
        let about = About::new(last.commit.note.version, last.sha256);
        let state = state.clone();
        move |bytes: &Bytes| {
            compare(bytes, about, state.commits().iter().map(|sealed| &sealed.commit))
        }
    });
    let found = one(reader.store(), named.version, &[named], derived).await?;
    Ok(found.map(|finding| finding.version(Some(named.version))).into_iter().collect())
}

/// What differs between a Delta checkpoint and the commits.
type Compared = Result<Result<(), (String, String)>, ArchiveError>;

/// Checks one Delta checkpoint against who vouches for it, and against what is derived.
async fn one<F>(
    store: &Store,
    version: u64,
    vouched: &[DeltaCheckpointRef],
    derived: Option<F>,
) -> Result<Option<Finding>, ArchiveError>
where
    F: FnOnce(&Bytes) -> Compared + Send + 'static,
{
    let finding = || {
        Finding::new(Code::DeltaCheckpoint, url(store, version)).detail(
            "engines that start from it see other rows than the commits give; it can be written \
             again from the commits",
        )
    };
    let bytes =
        match store.get_bounded(&layout::delta_checkpoint_key(version), FILE_BYTES_MAX).await {
            Ok(Some(bytes)) => bytes,
            // Gone since it was listed, and nobody vouches for it.
            Ok(None) if vouched.is_empty() => return Ok(None),
            Ok(None) => {
                let finding = finding().differs("the file that a commit vouches for", "nothing");
                return Ok(Some(finding));
            }
            Err(e) => return Ok(Some(finding().differs("a readable file", unreadable(e)?))),
        };
    let url = url(store, version);
    let hashed = bytes.clone();
    let sha256 = background::run(&url, move || Sha256Digest::of(&hashed)).await?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let said = |bytes: u64, sha256: Sha256Digest| format!("{bytes} bytes with SHA-256 {sha256}");
    if let Some(other) = vouched.iter().find(|v| (v.bytes, v.sha256) != (length, sha256)) {
        let expected = said(other.bytes, other.sha256);
        return Ok(Some(finding().differs(expected, said(length, sha256))));
    }
    let Some(derived) = derived else { return Ok(None) };
    let compared = match background::run(&url, move || derived(&bytes)).await {
        Ok(compared) => compared?,
        Err(e) => Err(("a Delta checkpoint".to_owned(), e.to_string())),
    };
    Ok(compared.err().map(|(expected, found)| finding().differs(expected, found)))
}

/// The hint must be of the form that is written, and of a Delta checkpoint that is there.
async fn check_hint(
    store: &Store,
    checkpoints: &BTreeSet<u64>,
) -> Result<Option<Finding>, ArchiveError> {
    let expected = "a hint at a Delta checkpoint that is there";
    let found = match store.get_bounded(LAST_CHECKPOINT_KEY, HINT_BYTES_MAX).await {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => match Hint::parse(&bytes) {
            Ok(hint) if checkpoints.contains(&hint.version) => return Ok(None),
            Ok(hint) => format!("one at version {}", hint.version),
            Err(e) => e.to_string(),
        },
        Err(e) => unreadable(e)?,
    };
    let finding = Finding::new(Code::DeltaCheckpoint, store.object_url(LAST_CHECKPOINT_KEY));
    Ok(Some(finding.differs(expected, found).detail("strict queries do not read it; others may")))
}

fn url(store: &Store, version: u64) -> String {
    store.object_url(&layout::delta_checkpoint_key(version))
}
