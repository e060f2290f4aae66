//! Why a seal stopped.

use archive::{ArchiveError, Remedy};
use thiserror::Error;

/// A seal that stopped. What it had done stays done; the next seal goes on from there.
#[derive(Debug, Error)]
pub enum SealError {
    /// The archive could not be read or written.
    #[error("seal: {0}")]
    Archive(#[from] ArchiveError),
    /// A value could not be written as JSON.
    #[error("seal: JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl SealError {
    /// What a caller should do.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Archive(error) => error.remedy(),
            Self::Json(_) => Remedy::Reject,
        }
    }
}
