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

/// Checks the Delta checkpoints and the hint. Where there are any, the commits are read once more:
/// each Delta checkpoint has the rows of the one before it, which was compared already, and those
/// of the commits between them. So two of them are in memory, and the commits since the last sound
/// one.
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
    let mut sound = Sound::default();
    let is_whole = walked.last_without_gap() == walked.last && !walked.is_cut;
    for version in versions {
        let vouched = vouched.get(&version).map(Vec::as_slice).unwrap_or_default();
        sound.read_to(store, walked, version).await?;
        let derived = sound.about(version).map(|about| {
            let (base, commits) = (sound.base.clone(), Arc::clone(&sound.commits));
            move |bytes: &Bytes| {
                compare(bytes, about, base.as_ref(), commits.iter().map(|one| &one.commit))
            }
        });
        let is_derived = derived.is_some();
        let found = match one(store, version, vouched, derived).await? {
            Ok(Some(bytes)) if is_derived => {
                sound.go_on_from(bytes);
                None
            }
            Ok(_) => None,
            Err(finding) => Some(*finding),
        };
        let found = match found {
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

/// The last Delta checkpoint that was found sound, and the commits behind it.
#[derive(Debug, Default)]
struct Sound {
    base: Option<Bytes>,
    commits: Arc<Vec<SealedCommit>>,
    /// The next version to read.
    next: u64,
    /// Whether a commit is not well-formed, or not the one that was walked through.
    is_cut: bool,
}

impl Sound {
    /// Reads the commits up to a version, as far as there are any that are sound.
    async fn read_to(
        &mut self,
        store: &Store,
        walked: &Walked,
        version: u64,
    ) -> Result<(), ArchiveError> {
        let end = version.saturating_add(1).min(walked.size());
        let wanted = if self.is_cut { 0..0 } else { self.next..end };
        let mut reads = stream::iter(wanted).map(|version| log::read(store, version));
        let mut reads = std::pin::pin!(reads.by_ref().buffered(READS_MAX));
        let commits = Arc::make_mut(&mut self.commits);
        while let Some(read) = reads.next().await {
            let index = usize::try_from(self.next).unwrap_or(usize::MAX);
            match read {
                Ok(sealed) if walked.leaves.get(index) == Some(&sealed.entry.leaf()) => {
                    commits.push(sealed);
                    self.next += 1;
                }
                // Said where it was walked through, unless the store itself is at fault.
                Ok(_) => self.is_cut = true,
                Err(e) => {
                    unreadable(e)?;
                    self.is_cut = true;
                }
            }
            if self.is_cut {
                break;
            }
        }
        Ok(())
    }

    /// What the Delta checkpoint of a version must say of itself; none if that commit is not sound.
    fn about(&self, version: u64) -> Option<About> {
        let last = self.commits.last().filter(|last| last.commit.note.version == version)?;
        Some(About::new(version, last.sha256))
    }

    /// The Delta checkpoint of the last commit is sound: what was before it is not needed again.
    fn go_on_from(&mut self, bytes: Bytes) {
        self.base = Some(bytes);
        self.commits = Arc::default();
    }
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
            compare(bytes, about, None, state.commits().iter().map(|sealed| &sealed.commit))
        }
    });
    let found = one(reader.store(), named.version, &[named], derived).await?.err();
    Ok(found.map(|finding| finding.version(Some(named.version))).into_iter().collect())
}

/// What differs between a Delta checkpoint and the commits.
type Compared = Result<Result<(), (String, String)>, ArchiveError>;

/// Checks one Delta checkpoint against who vouches for it, and against what is derived. Inside: its
/// bytes, unless it is gone; or what is wrong with it.
async fn one<F>(
    store: &Store,
    version: u64,
    vouched: &[DeltaCheckpointRef],
    derived: Option<F>,
) -> Result<Result<Option<Bytes>, Box<Finding>>, ArchiveError>
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
            Ok(None) if vouched.is_empty() => return Ok(Ok(None)),
            Ok(None) => {
                let finding = finding().differs("the file that a commit vouches for", "nothing");
                return Ok(Err(Box::new(finding)));
            }
            Err(e) => {
                return Ok(Err(Box::new(finding().differs("a readable file", unreadable(e)?))));
            }
        };
    let url = url(store, version);
    let hashed = bytes.clone();
    let sha256 = background::run(&url, move || Sha256Digest::of(&hashed)).await?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let said = |bytes: u64, sha256: Sha256Digest| format!("{bytes} bytes with SHA-256 {sha256}");
    if let Some(other) = vouched.iter().find(|v| (v.bytes, v.sha256) != (length, sha256)) {
        let expected = said(other.bytes, other.sha256);
        return Ok(Err(Box::new(finding().differs(expected, said(length, sha256)))));
    }
    let Some(derived) = derived else { return Ok(Ok(Some(bytes))) };
    let compared = bytes.clone();
    let compared = match background::run(&url, move || derived(&compared)).await {
        Ok(compared) => compared?,
        Err(e) => Err(("a Delta checkpoint".to_owned(), e.to_string())),
    };
    Ok(match compared {
        Ok(()) => Ok(Some(bytes)),
        Err((expected, found)) => Err(Box::new(finding().differs(expected, found))),
    })
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
