//! Events in: bytes to parts, parts to records, records to rows or rejects, rows to Parquet and
//! a manifest.
//!
//! Deliberately not here: SQL, listing or deleting anything in the archive, the clock and the
//! environment. `pipeline` reads as the data flow.

pub mod bounded;
pub mod decompress;
pub mod deliver;
pub mod envelope;
pub mod error;
pub mod handler;
pub mod http;
pub mod parse;
pub mod parts;
pub mod payload;
pub mod pipeline;
pub mod rebuild;
pub mod redact;
pub mod reject;
pub mod replay;
mod scan;
pub mod sources;

pub use error::IngestError;
