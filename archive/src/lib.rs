//! The archive: the only crate that opens the bucket.
//!
//! Four seats by least privilege; a seat offers only what its role may do. Deliberately not here:
//! clocks, environment, SQL, parsing of events, and the decision when to seal.

pub mod absent;
pub mod background;
mod delta_checkpoint;
pub mod encode;
pub mod error;
#[cfg(any(test, feature = "fault"))]
pub mod fault;
pub mod held;
pub mod location;
pub mod log;
#[cfg(any(test, feature = "fault"))]
pub mod memory;
mod opening;
pub mod options;
pub mod prove;
pub mod rejects;
pub mod rows;
#[cfg(any(test, feature = "fault"))]
pub mod sample;
pub mod seats;
pub mod snapshot;
pub mod sorted;
pub mod store;
mod strict;
pub mod verify;
pub mod web;

pub use encode::{EncodedFile, SegmentEncoder};
pub use error::{ArchiveError, Remedy};
pub use location::Location;
pub use options::StoreOptions;
pub use seats::{
    Archive, CommitPut, Created, Export, Exported, Reader, ResultUpload, Results, Sealer,
    SignedEnd, StoredResult, Writer,
};
pub use snapshot::{Mode, Snapshot, SnapshotFile, SnapshotQuarantine};
pub use store::{Landed, Landing, Put, Shared, Stamped, Store, Swap, Usage};
pub use strict::{Authentic, SealedThrough};
