//! What can go wrong with an archive, and what a caller should do about it.
//!
//! Deliberately not here: types of the object store; its errors arrive as sources.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use common::{FormatError, Sha256Digest};
use parquet::errors::ParquetError;
use thiserror::Error;

/// A cause from a library below this crate.
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same call may succeed later; nothing is lost by making it again.
    Retry,
    /// The input is at fault; the same input will fail again.
    Reject,
    /// Somebody has to change a setting, a permission, or free space.
    Reconfigure,
    /// The archive contradicts itself; run `verify` and find out who changed it.
    Alarm,
}

/// An error of the archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A URL that names no place this crate can open.
    #[error("archive location {url:?}: expected {expected}")]
    Location {
        /// The URL as given.
        url: String,
        /// What would be understood.
        expected: String,
    },
    /// There is no archive at this place.
    #[error(
        "{url} is not an archive: expected {expected}, found {found}; create one with \
         `meshledger init`, or correct the URL"
    )]
    NotAnArchive {
        /// Where.
        url: String,
        /// The object that makes a place an archive.
        expected: String,
        /// What was there instead.
        found: String,
    },
    /// Bytes or names that do not follow the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The store did not answer, or answered with an error that may pass.
    #[error("could not {operation} {object}: {source}; the store may be unreachable, try again")]
    Store {
        /// What was tried: `get`, `put`, `list`, …
        operation: &'static str,
        /// URL of the object.
        object: String,
        /// The store's own words.
        source: Cause,
    },
    /// The store refused for a reason that will not pass by itself.
    #[error("could not {operation} {object}: {source}; {hint}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// URL or path of the object.
        object: String,
        /// What to change.
        hint: &'static str,
        /// The store's own words.
        source: Cause,
    },
    /// No space is left.
    #[error(
        "could not write {path}: {source}; free space there and run the same command again, \
         nothing was acknowledged"
    )]
    DiskFull {
        /// The file.
        path: String,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The operating system refused a file operation.
    #[error("could not {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: String,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// A conditional write whose outcome could not be learnt within the attempts allowed.
    #[error(
        "the outcome of writing {object} is unknown after {attempts} attempts: {source}; run the \
         same command again, it finds out what was stored"
    )]
    Unknown {
        /// URL of the object.
        object: String,
        /// Attempts made.
        attempts: u32,
        /// The last answer.
        source: Cause,
    },
    /// An object that must be there is not.
    #[error("{object} is missing: expected {expected}; run `meshledger verify`")]
    Missing {
        /// URL of the object.
        object: String,
        /// Who names it.
        expected: String,
    },
    /// An object longer than its kind may be.
    #[error("{object} is too long: expected at most {bytes_max} bytes, found {bytes}")]
    TooLong {
        /// URL of the object.
        object: String,
        /// Its length.
        bytes: u64,
        /// The most that is read.
        bytes_max: u64,
    },
    /// An object's length contradicts its description.
    #[error("{object}: expected {expected} bytes, found {found}; run `meshledger verify`")]
    Length {
        /// URL of the object.
        object: String,
        /// Length as described.
        expected: u64,
        /// Length as stored.
        found: u64,
    },
    /// An object's bytes contradict its digest.
    #[error(
        "{object}: expected SHA-256 {expected}, its bytes hash to {found}; run `meshledger verify`"
    )]
    Digest {
        /// URL of the object.
        object: String,
        /// Digest as named or described.
        expected: Sha256Digest,
        /// Digest of the bytes stored.
        found: Sha256Digest,
    },
    /// A version that was asked for and is not there, or not yet covered by what is signed.
    #[error("{url} has no version {asked} to answer from: {known} {latest}; ask for one up to it")]
    NoVersion {
        /// The archive.
        url: String,
        /// The version asked for.
        asked: u64,
        /// What the latest one is.
        known: &'static str,
        /// The latest there is.
        latest: u64,
    },
    /// A version is absent although a later one is there.
    #[error(
        "{url}: commit of version {missing} is missing while version {next} is there; the log must \
         have no gaps, run `meshledger verify`"
    )]
    LogGap {
        /// The archive.
        url: String,
        /// First absent version.
        missing: u64,
        /// The version found after it.
        next: u64,
    },
    /// A commit does not continue the one before it.
    #[error(
        "{url}: version {version} names {expected} as SHA-256 of version {}, whose bytes hash to \
         {found}; one of the two was changed, run `meshledger verify`", .version.saturating_sub(1)
    )]
    Chain {
        /// The archive.
        url: String,
        /// The later version.
        version: u64,
        /// Digest the later version names.
        expected: String,
        /// Digest of the earlier version.
        found: Sha256Digest,
    },
    /// The ledger contradicts the log or itself.
    #[error(
        "{object}: expected {expected}, found {found}; nothing was signed, run `meshledger verify`"
    )]
    Ledger {
        /// URL of the object.
        object: String,
        /// What log, locks and signatures ask for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// What a strict query may rest on is missing or wrong.
    #[error(
        "{object}: expected {expected}, found {found}; strict queries answer only from what the \
         ledger vouches for, run `meshledger verify`"
    )]
    Strict {
        /// URL of the object.
        object: String,
        /// What checkpoint, tiles and entries ask for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A key that no object of an archive may have.
    #[error("object key {key:?}: expected {expected}")]
    Key {
        /// The key.
        key: String,
        /// What a key looks like.
        expected: &'static str,
    },
    /// Parquet could not be written or read.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// Arrow data could not be handled.
    #[error("Arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// A value could not be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A background task ended without an answer.
    #[error("a background task for {object} ended without an answer: {source}")]
    Task {
        /// What it worked on.
        object: String,
        /// Why.
        source: Cause,
    },
}

/// What is said to be found where nothing is.
pub(crate) const NOTHING_THERE: &str = "nothing there";

impl ArchiveError {
    /// Whether it says that there is no archive because there is nothing at all, so that one could
    /// be made.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotAnArchive { found, .. } if found == NOTHING_THERE)
    }

    /// What a caller should do.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Store { .. } | Self::Unknown { .. } | Self::Task { .. } => Remedy::Retry,
            Self::Key { .. }
            | Self::NoVersion { .. }
            | Self::Parquet(_)
            | Self::Arrow(_)
            | Self::Json(_) => Remedy::Reject,
            Self::Location { .. }
            | Self::NotAnArchive { .. }
            | Self::Refused { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. } => Remedy::Reconfigure,
            Self::Format(_)
            | Self::Missing { .. }
            | Self::TooLong { .. }
            | Self::Length { .. }
            | Self::Digest { .. }
            | Self::LogGap { .. }
            | Self::Ledger { .. }
            | Self::Strict { .. }
            | Self::Chain { .. } => Remedy::Alarm,
        }
    }

    /// Turns an operating system error on a path into the variant that says what to do.
    pub(crate) fn io(
        operation: &'static str,
        path: &std::path::Path,
        source: std::io::Error,
    ) -> Self {
        use std::io::ErrorKind;
        let shown = path.display().to_string();
        let hint = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                return Self::DiskFull { path: shown, source };
            }
            ErrorKind::PermissionDenied => "give this user access to that path, or choose another",
            ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose another path",
            ErrorKind::NotADirectory => {
                "a file stands where a folder is needed; choose another path"
            }
            ErrorKind::Unsupported => {
                "the file system lacks hard links, which make writing atomic; choose another"
            }
            _ => return Self::Io { operation, path: shown, source },
        };
        Self::Refused { operation, object: shown, hint, source: Box::new(source) }
    }
}
