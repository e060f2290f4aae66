//! Keeping the archive: sealing what waits. Compaction, retention and legal holds come here too.
//!
//! Deliberately not here: clocks (the time comes in), SQL, parsing, and any way to delete data.

pub mod error;
mod report;
mod rewrite;
pub mod seal;

pub use error::SealError;
pub use report::{RefusedManifest, SealReport};
pub use seal::{SealOptions, seal};
