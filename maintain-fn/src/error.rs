//! Why a seal stopped.

use archive::{ArchiveError, Remedy};
use common::Sha256Digest;
use thiserror::Error;
use tlog::{Hash, TlogError};

use crate::sign::SignError;

/// A seal that stopped. What it had done stays done; the next seal goes on from there.
#[derive(Debug, Error)]
pub enum SealError {
    /// The archive could not be read or written.
    #[error("seal: {0}")]
    Archive(#[from] ArchiveError),
    /// The key's holder did not sign.
    #[error("seal: {0}")]
    Sign(#[from] SignError),
    /// A checkpoint or a signature is not as it must be.
    #[error("seal: {0}; nothing was published")]
    Tlog(#[from] TlogError),
    /// The archive has a ledger, which somebody who only commits would leave behind.
    #[error("seal: {checkpoint} is signed, and no key was given; seal with the ledger's key")]
    NeedsKey {
        /// URL of the checkpoint.
        checkpoint: String,
    },
    /// Another key signs this ledger.
    #[error("seal: {object}: expected the key {expected}, found {found}; {hint}")]
    OtherKey {
        /// URL of what says so.
        object: String,
        /// The key that signs.
        expected: String,
        /// The key that was given.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// The place of locks does not know what was signed last.
    #[error(
        "seal: {lock} is missing: expected root {}, which is published; this is not the place \
         of locks that the last sealer had, or its locks were removed. Nothing was signed. Name \
         that place with --locks, or copy its lock/ here; if it is lost for good, `meshledger \
         seal --repair` begins anew", common::ledger::lock_text(*root).trim_end()
    )]
    NoLock {
        /// URL of the lock that should be there.
        lock: String,
        /// The root it should hold.
        root: Hash,
    },
    /// A commit beyond what is signed does not follow from its manifests.
    #[error(
        "seal: version {version} is not signed: {}; find out who stored it, `meshledger verify` \
         says more; `meshledger seal --repair {version}:{sha256}` lets it give way", reasons.join("; ")
    )]
    Unsigned {
        /// The commit's version.
        version: u64,
        /// SHA-256 of its bytes.
        sha256: Sha256Digest,
        /// What is wrong with it, one sentence a fault.
        reasons: Vec<String>,
    },
    /// What was asked to be repaired is not there, or needs no repair, or can not have it.
    #[error("seal --repair: {object}: expected {expected}, found {found}; no commit was changed")]
    Repair {
        /// URL of the object.
        object: String,
        /// What the repair needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Others published all the time.
    #[error("seal: other sealers published {rounds} times in between; run it again")]
    Contended {
        /// Rounds made.
        rounds: usize,
    },
    /// A value could not be written as JSON.
    #[error("seal: JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl SealError {
    /// What a caller should do.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Archive(error) => error.remedy(),
            Self::Sign(_) | Self::Contended { .. } => Remedy::Retry,
            Self::Tlog(_) | Self::Unsigned { .. } => Remedy::Alarm,
            Self::NeedsKey { .. }
            | Self::OtherKey { .. }
            | Self::NoLock { .. }
            | Self::Repair { .. } => Remedy::Reconfigure,
            Self::Json(_) => Remedy::Reject,
        }
    }
}
