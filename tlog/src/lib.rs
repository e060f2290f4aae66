//! Transparency logs as C2SP specifies them, and nothing of Meshledger's own.
//!
//! `tree` is the Merkle tree of RFC 6962 with its proofs, `tile` its storage (tlog-tiles),
//! `note` signed text (signed-note), `checkpoint` a signed tree head (tlog-checkpoint), `policy`
//! whom to trust (tlog-policy), `proof` the file that proves one entry (tlog-proof). Cosignatures
//! of witnesses (tlog-cosignature) are a kind of key in `note`.
//!
//! Deliberately not here: I/O, clocks, randomness, what an entry says, and how far anybody is
//! trusted beyond a policy's words. All input may be an attacker's.

pub mod checkpoint;
pub mod error;
pub mod hash;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use error::TlogError;
pub use hash::Hash;
