//! The words of the archive: what is written into it and read from it.
//!
//! Deliberately not here: I/O, async, clocks, environment, randomness, Arrow arrays, Parquet,
//! object stores, SQL. Everything in this crate is a value or a pure function over values.

pub mod batch;
pub mod bytes;
pub mod commit;
pub mod date;
pub mod digest;
pub mod error;
pub mod event;
pub mod held;
pub mod ids;
pub mod layout;
pub mod ledger;
pub mod limits;
pub mod manifest;
pub mod proof;
pub mod resolve;
pub mod rotation;
pub mod row;
pub mod schema;
pub mod stats;

pub use digest::Sha256Digest;
pub use error::FormatError;
pub use ids::{DeliveryId, SegmentId, UnitId};

/// Archive format written by this version; `docs/format.md` is its normative description.
pub const FORMAT: u32 = 1;

/// Name and version of this writer, as recorded in manifests and commits.
pub const WRITER: &str = concat!("meshledger/", env!("CARGO_PKG_VERSION"));
