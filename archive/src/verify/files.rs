//! Hashes every file the history names, and compares footers with descriptions.

use std::num::NonZeroUsize;

use futures::{StreamExt, TryStreamExt, stream};

use super::finding::{Code, Finding, Findings};
use super::footer;
use super::history::{Expected, History, What, unreadable};
use super::{Progress, Stage, VerifyOptions};
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::store::Store;

/// What was hashed.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Checks every file. Each one in flight costs about a megabyte, whatever its length.
pub(super) async fn check(
    reader: &Reader,
    history: &History,
    options: &VerifyOptions,
    findings: &mut Findings,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Counts, ArchiveError> {
    let store = reader.store();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let at_once = options.files_at_once.map_or(cores, NonZeroUsize::get);
    let total = u64::try_from(history.files.len()).unwrap_or(u64::MAX);
    let bytes_total =
        history.files.values().fold(0u64, |sum, file| sum.saturating_add(file.bytes()));
    let mut counts = Counts::default();
    let mut checks = stream::iter(&history.files)
        .map(|(path, expected)| async move {
            let finding = match check_file(store, path, expected).await {
                Ok(finding) => finding,
                Err(e) => {
                    let found = unreadable(e)?;
                    Some(
                        about(store, path, expected, Code::FileMissing)
                            .differs("a readable file", found),
                    )
                }
            };
            Ok::<_, ArchiveError>((expected.bytes(), finding))
        })
        .buffer_unordered(at_once);
    while let Some((bytes, finding)) = checks.try_next().await? {
        findings.extend(finding);
        counts.files += 1;
        counts.bytes = counts.bytes.saturating_add(bytes);
        progress(Progress {
            stage: Stage::Files,
            done: counts.files,
            total,
            bytes_done: counts.bytes,
            bytes_total,
        });
    }
    Ok(counts)
}

fn about(store: &Store, path: &str, expected: &Expected, code: Code) -> Finding {
    let detail = match expected.version {
        Some(_) => "rows of these event times can not be trusted",
        None => "it is not sealed; the next seal refuses its manifest",
    };
    Finding::new(code, store.object_url(path))
        .version(expected.version)
        .times(expected.times())
        .detail(detail)
}

/// Checks one file. Errors are those of reading it.
pub(super) async fn check_file(
    store: &Store,
    path: &str,
    expected: &Expected,
) -> Result<Option<Finding>, ArchiveError> {
    let finding = |code| about(store, path, expected, code);
    let (bytes, sha256) = match &expected.what {
        What::Events(entry) => (entry.bytes, entry.sha256),
        What::Quarantine(entry) => (entry.bytes, entry.sha256),
    };
    let found = match store.digest(path).await? {
        Some(found) => found,
        None if !expected.is_required => return Ok(None),
        None => {
            return Ok(Some(
                finding(Code::FileMissing).differs(format!("{bytes} bytes"), "nothing"),
            ));
        }
    };
    if found.bytes != bytes {
        let (expected, found) = (format!("{bytes} bytes"), format!("{} bytes", found.bytes));
        return Ok(Some(finding(Code::FileSize).differs(expected, found)));
    }
    if found.sha256 != sha256 {
        let (expected, found) = (format!("SHA-256 {sha256}"), format!("SHA-256 {}", found.sha256));
        return Ok(Some(finding(Code::FileHash).differs(expected, found)));
    }
    let wrong = match &expected.what {
        What::Events(entry) => footer::check_events(store, entry).await?,
        What::Quarantine(entry) => {
            footer::check_quarantine(store, path, entry.bytes, entry.rows).await?
        }
    };
    Ok(wrong.map(|(code, expected, found)| finding(code).differs(expected, found)))
}
