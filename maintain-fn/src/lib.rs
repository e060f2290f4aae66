//! Keeping the archive: sealing what waits. Compaction, retention and legal holds come here too.
//!
//! Deliberately not here: clocks (the time comes in), SQL, parsing, and any way to delete data.

pub mod error;
pub mod handler;
pub mod holder;
mod keys;
#[cfg(test)]
mod kit;
pub mod publish;
pub mod repair;
mod report;
mod rewrite;
pub mod rotate;
pub mod seal;
pub mod sign;
pub mod witness;

pub use error::SealError;
pub use handler::{Done, Failed, Maintainer, Work};
pub use holder::{Holder, HolderError};
pub use publish::{Known, Published, publish};
pub use repair::{RepairReport, repair_commit, repair_ledger};
pub use report::{RefusedManifest, SealReport};
pub use rotate::{Rotated, rotate};
pub use seal::{SealOptions, seal, seal_again, seal_signed};
pub use sign::{KmsError, KmsSigner, SignError, Signer};
pub use witness::{Asked, Cosigning};
