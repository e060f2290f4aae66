//! Which files of a snapshot are no longer there, and which commit, if any, let them go.
//!
//! A file that a commit removed may be gone: that is an end by policy, and it has a place in the
//! log. A file that no commit removed must be there; if it is not, that is for `verify` to report.

use std::collections::BTreeMap;

use common::commit::Operation;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::ArchiveError;
use crate::log::Log;
use crate::seats::Reader;
use crate::snapshot::Snapshot;

/// Files of a snapshot that are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absent {
    /// Those that a later commit removed, by commit.
    pub removed: Vec<Removed>,
    /// Keys of those that none removed, at most [`LOST_MAX`] of them.
    pub lost: Vec<String>,
}

/// What one commit removed of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The commit.
    pub version: u64,
    /// Its sort: `compact` or `expire`.
    pub operation: Operation,
    /// When it was made, by its own word, in milliseconds since 1970 UTC.
    pub timestamp_millis: i64,
    /// How many of the files.
    pub files: u64,
    /// Key of one of them.
    pub example: String,
}

/// Most keys of lost files that are kept.
pub const LOST_MAX: usize = 10;

/// Files asked for at once.
const ASKED_MAX: usize = 32;

impl Reader {
    /// Asks for each file of a snapshot whether it is there; `log` says what became of those that
    /// are not.
    ///
    /// # Errors
    /// If the store can not be asked.
    pub async fn absent(&self, snapshot: &Snapshot, log: &Log) -> Result<Absent, ArchiveError> {
        let events = snapshot.files.iter().map(|file| &file.entry.path);
        let rejects = snapshot.quarantine.iter().map(|file| &file.entry.path);
        let gone: Vec<&String> = stream::iter(events.chain(rejects))
            .map(|path| async move {
                let is_there = self.store().head(path).await?.is_some();
                Ok::<_, ArchiveError>((path, is_there))
            })
            .buffered(ASKED_MAX)
            .try_filter_map(|(path, is_there)| async move { Ok((!is_there).then_some(path)) })
            .try_collect()
            .await?;
        let mut absent = Absent::default();
        if gone.is_empty() {
            return Ok(absent);
        }
        let mut removing: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, sealed) in log.commits().iter().enumerate() {
            if sealed.commit.note.version > snapshot.version {
                removing.extend(sealed.commit.removes.iter().map(|path| (path.as_str(), place)));
            }
        }
        let mut by_commit: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
        for path in gone {
            match removing.get(path.as_str()) {
                Some(place) => by_commit.entry(*place).or_default().push(path),
                None if absent.lost.len() < LOST_MAX => absent.lost.push(path.clone()),
                None => {}
            }
        }
        for (place, paths) in by_commit {
            let Some(sealed) = log.commits().get(place) else { continue };
            absent.removed.push(Removed {
                version: sealed.commit.note.version,
                operation: sealed.commit.note.operation,
                timestamp_millis: sealed.commit.timestamp_millis,
                files: u64::try_from(paths.len()).unwrap_or(u64::MAX),
                example: paths.first().map(|path| (*path).clone()).unwrap_or_default(),
            });
        }
        Ok(absent)
    }
}
