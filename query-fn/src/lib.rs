//! SQL answers out of the archive.
//!
//! A request goes one way through these modules: `request` (what was asked), `plan` (refuse all but
//! queries), `catalog` and `table` (the tables of a snapshot), `prune` (which files can matter),
//! `read` (the scan), `answer` (batches within limits), `rows` (batches as text), `receipt` (what
//! the answer rests on). `sql_views` are texts in place of tables. Nothing here writes to an archive.

pub mod answer;
mod catalog;
pub mod engine;
pub mod error;
mod footers;
mod meter;
mod pinned;
mod plan;
pub mod prune;
pub mod questions;
mod read;
pub mod receipt;
pub mod request;
pub mod rows;
pub mod service;
pub mod sql_views;
mod table;
mod views;
mod workers;

pub use answer::Answer;
pub use engine::Engine;
pub use error::{Code, QueryError};
pub use receipt::Receipt;
pub use request::{Bounds, Limits, Param, ParamKind, Request, Spill};
