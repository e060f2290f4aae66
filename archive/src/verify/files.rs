//! Checks files beside the walk through the log: as many at once as there are processors, each in
//! little memory whatever its length.

use std::num::NonZeroUsize;

use bytes::Bytes;
use common::Sha256Digest;
use common::manifest::FileEntry;
use tokio::task::JoinSet;

use super::commits::Budget;
use super::finding::{Code, Finding, Findings};
use super::footer;
use super::history::{Expected, What};
use super::rows::{RowsWrong, check_rows};
use super::{Depth, Unreachable, unreadable};
use crate::background;
use crate::error::ArchiveError;
use crate::store::Store;

/// What was checked.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) files: u64,
    /// Files whose digest was compared.
    pub(super) digests: u64,
    /// Bytes that were read and hashed.
    pub(super) bytes: u64,
    /// Rows that were decoded.
    pub(super) rows: u64,
}

/// File checks that run.
pub(super) struct Pool {
    store: Store,
    depth: Depth,
    at_once: usize,
    running: JoinSet<Checked>,
    /// Bounds the bytes of files that are in memory whole.
    budget: Budget,
    pub(super) counts: Counts,
}

struct Checked {
    counts: Counts,
    outcome: Result<Vec<Finding>, ArchiveError>,
}

impl Pool {
    pub(super) fn new(store: Store, depth: Depth, at_once: Option<NonZeroUsize>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let at_once = at_once.map_or(cores, NonZeroUsize::get);
        Self {
            store,
            depth,
            at_once,
            running: JoinSet::new(),
            budget: Budget::new(),
            counts: Counts::default(),
        }
    }

    /// Starts a check, after waiting for others if there are enough.
    pub(super) async fn add(
        &mut self,
        path: String,
        expected: Expected,
        findings: &mut Findings,
        unreachable: &mut Unreachable,
    ) -> Result<(), ArchiveError> {
        while self.running.len() >= self.at_once {
            self.one(findings, unreachable).await?;
        }
        let (store, depth) = (self.store.clone(), self.depth);
        let room = match depth {
            Depth::Deep => self.budget.take(expected.bytes()).await,
            Depth::Quick | Depth::Full => None,
        };
        self.running.spawn(async move {
            let _room = room;
            let mut counts = Counts { files: 1, ..Counts::default() };
            let outcome = check_file(&store, &path, &expected, depth, &mut counts).await;
            let outcome = outcome.or_else(|e| {
                let found = unreadable(e)?;
                let finding = about(&store, &path, &expected, Code::FileMissing);
                Ok(vec![finding.differs("a readable file", found)])
            });
            Checked { counts, outcome }
        });
        Ok(())
    }

    /// Waits for all.
    pub(super) async fn finish(
        &mut self,
        findings: &mut Findings,
        unreachable: &mut Unreachable,
    ) -> Result<(), ArchiveError> {
        while !self.running.is_empty() {
            self.one(findings, unreachable).await?;
        }
        Ok(())
    }

    async fn one(
        &mut self,
        findings: &mut Findings,
        unreachable: &mut Unreachable,
    ) -> Result<(), ArchiveError> {
        let Some(done) = self.running.join_next().await else { return Ok(()) };
        let object = self.store.url().to_owned();
        let failed = |e| ArchiveError::Task { object, source: Box::new(e) };
        let Checked { counts, outcome } = done.map_err(failed)?;
        self.counts.files += counts.files;
        self.counts.digests += counts.digests;
        self.counts.rows = self.counts.rows.saturating_add(counts.rows);
        self.counts.bytes = self.counts.bytes.saturating_add(counts.bytes);
        match outcome {
            Ok(found) => {
                unreachable.reached();
                findings.extend(found);
            }
            Err(e) => findings.push(unreachable.report(e)?),
        }
        Ok(())
    }
}

fn about(store: &Store, path: &str, expected: &Expected, code: Code) -> Finding {
    let detail = match expected.version {
        Some(_) => "rows of these event times can not be trusted",
        None => "it is not sealed; the next seal refuses its manifest",
    };
    Finding::new(code, store.object_url(path))
        .version(expected.version)
        .times(expected.times())
        .events(expected.events())
        .detail(detail)
}

/// Checks one file. Errors are those of reading it.
pub(super) async fn check_file(
    store: &Store,
    path: &str,
    expected: &Expected,
    depth: Depth,
    counts: &mut Counts,
) -> Result<Vec<Finding>, ArchiveError> {
    let finding = |code| about(store, path, expected, code);
    // What was sealed is a version, whatever lies over it.
    let (newest, version) = (store, expected.object_version());
    let store = &store.at_version(version);
    let found = look(store, path, expected.bytes(), depth, counts).await?;
    let (bytes, sha256) = (expected.bytes(), expected.sha256());
    let (found_bytes, found_sha256, whole) = match found {
        Some(found) => found,
        None if !expected.is_required => return Ok(Vec::new()),
        None if let Some(sealed) = version
            && newest.digest(path).await?.map(|found| found.sha256) == Some(sha256) =>
        {
            let overlay = finding(Code::Overlay).differs(format!("version {sealed}"), "another");
            return Ok(vec![overlay.detail(
                "it has the sealed bytes, as in a copy of the archive; `query --strict=full` \
                 reads it",
            )]);
        }
        None => {
            let missing = finding(Code::FileMissing);
            return Ok(vec![missing.differs(format!("{bytes} bytes"), "nothing")]);
        }
    };
    if found_bytes != bytes {
        let (expected, found) = (format!("{bytes} bytes"), format!("{found_bytes} bytes"));
        return Ok(vec![finding(Code::FileSize).differs(expected, found)]);
    }
    if let Some(found) = found_sha256.filter(|found| *found != sha256) {
        let (expected, found) = (format!("SHA-256 {sha256}"), format!("SHA-256 {found}"));
        return Ok(vec![finding(Code::FileHash).differs(expected, found)]);
    }
    let mut findings: Vec<Finding> = overlay(newest, path, version)
        .await?
        .map(|found| {
            let sealed = version.unwrap_or_default();
            finding(Code::Overlay).differs(format!("version {sealed}"), found).detail(OVERLAY)
        })
        .into_iter()
        .collect();
    if depth == Depth::Quick {
        return Ok(findings);
    }
    let wrong = match &expected.what {
        What::Events(entry) => footer::check_events(store, entry).await?,
        What::Quarantine(entry) => {
            footer::check_quarantine(store, path, entry.bytes, entry.rows).await?
        }
    };
    if let Some((code, expected, found)) = wrong {
        findings.push(finding(code).differs(expected, found));
        return Ok(findings);
    }
    if let (What::Events(entry), Some(bytes)) = (&expected.what, whole) {
        counts.rows = entry.rows;
        findings.extend(deep(store, entry, bytes).await.into_iter().map(|wrong| {
            let RowsWrong { code, expected, found } = wrong;
            finding(code).differs(expected, found)
        }));
    }
    Ok(findings)
}

/// Length and digest of a file, as far as this depth looks, and its bytes if it looks at rows;
/// `None` if there is none.
async fn look(
    store: &Store,
    path: &str,
    bytes: u64,
    depth: Depth,
    counts: &mut Counts,
) -> Result<Option<(u64, Option<Sha256Digest>, Option<Bytes>)>, ArchiveError> {
    let found = match depth {
        Depth::Quick => store.head_digest(path).await?.map(|(bytes, sha256)| (bytes, sha256, None)),
        Depth::Full => {
            let digested = store.digest(path).await?;
            digested.map(|found| (found.bytes, Some(found.sha256), None))
        }
        Depth::Deep => read_whole(store, path, bytes).await?,
    };
    if let Some((bytes, sha256, _)) = &found {
        counts.bytes = if depth == Depth::Quick { 0 } else { *bytes };
        counts.digests = u64::from(sha256.is_some());
    }
    Ok(found)
}

/// What is wrong with the rows of a file, and with what is said of them.
async fn deep(store: &Store, entry: &FileEntry, bytes: Bytes) -> Vec<RowsWrong> {
    let object = store.object_url(&entry.path);
    let described = entry.clone();
    let checked = background::run(&object, move || check_rows(bytes, &described)).await;
    checked.unwrap_or_else(|panicked| {
        let expected = "rows that can be decoded".to_owned();
        vec![RowsWrong { code: Code::FileRows, expected, found: panicked.to_string() }]
    })
}

/// What the reader of an overlay should know.
const OVERLAY: &str = "the sealed version is sound, and strict queries read it; others read what \
                       lies over it, so remove that";

/// What lies over the version that was sealed; nothing if it is the newest, or the store keeps
/// none.
async fn overlay(
    newest: &Store,
    path: &str,
    sealed: Option<&str>,
) -> Result<Option<String>, ArchiveError> {
    if sealed.is_none() || !newest.keeps_versions() {
        return Ok(None);
    }
    let found = newest.version(path).await?;
    Ok(match found {
        Some(found) if Some(found.as_str()) == sealed => None,
        Some(found) => Some(format!("version {found}")),
        None => Some("a delete marker".to_owned()),
    })
}

/// Reads a file whole, if it has the length it should have; else its length is told.
async fn read_whole(
    store: &Store,
    path: &str,
    bytes: u64,
) -> Result<Option<(u64, Option<Sha256Digest>, Option<Bytes>)>, ArchiveError> {
    let whole = match store.get_bounded(path, bytes).await {
        Ok(Some(whole)) => whole,
        Ok(None) => return Ok(None),
        Err(ArchiveError::TooLong { bytes, .. }) => return Ok(Some((bytes, None, None))),
        Err(e) => return Err(e),
    };
    let length = u64::try_from(whole.len()).unwrap_or(u64::MAX);
    let hashed = whole.clone();
    let object = store.object_url(path);
    let sha256 = background::run(&object, move || Sha256Digest::of(&hashed)).await?;
    Ok(Some((length, Some(sha256), Some(whole))))
}
