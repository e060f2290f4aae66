//! What can stop an ingestion. A record that does not parse is no error: it is a reject.

use archive::error::ArchiveError;
use thiserror::Error;

/// Why a delivery could not be archived.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The input could not be read or decompressed.
    #[error("input: at decoded byte {offset_bytes}: {source}")]
    Input {
        /// Decoded bytes read before the error.
        offset_bytes: u64,
        /// What the reader said.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("setting {name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Too many units for one delivery.
    #[error("delivery: expected at most {max} units, found more; send several deliveries")]
    TooManyUnits {
        /// The limit.
        max: usize,
    },
    /// The clock or the randomness of the machine can not be used.
    #[error("this machine: {0}")]
    Host(String),
    /// Rows could not be made into columns; a defect.
    #[error("columns: {0}")]
    Columns(#[from] arrow::error::ArrowError),
    /// The archive refused or failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}
