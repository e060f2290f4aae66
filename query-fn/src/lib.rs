//! SQL answers out of the archive.
//!
//! A request goes one way through these modules: `request` (what was asked), `plan` (refuse all but
//! queries), `gate` (a few at once), `guard` (what expressions may make), `alike` (what is looked at
//! once), `catalog` and `table` (the tables of a snapshot), `prune` (which files can matter), `probe`
//! (which of them may hold an id), `read` (the scan), `fetch` (its requests), `narrow` (what the
//! engine is shown of each file), `access` (who may see what of it), `estimate` and `prices` (what it
//! is going to cost), `scans` and `note` (what became of its files), `answer` (batches within
//! limits), `rows` (batches as text), `receipt` (what the answer rests on), `explain` (why each file
//! was read or not). `repeat` makes plans whose answers can be had again, `digest` and `statement`
//! say what such an answer was, `recheck` asks again. `sql_views` are texts in place of tables,
//! `functions` those of the field, `checked` arithmetic that fails where it would wrap around.
//! `trail` tells the archive who asked what.
//! Nothing here writes to an archive.

mod access;
mod alike;
pub mod answer;
mod catalog;
mod checked;
#[cfg(test)]
mod dice;
mod digest;
pub mod engine;
pub mod error;
pub mod estimate;
pub mod explain;
mod fetch;
mod footers;
mod functions;
mod gate;
mod guard;
mod meter;
mod narrow;
mod note;
mod pinned;
mod plan;
mod pool;
mod prices;
mod probe;
pub mod prune;
pub mod questions;
mod read;
pub mod receipt;
pub mod recheck;
mod repeat;
pub mod request;
pub mod rows;
mod scans;
pub mod service;
pub mod sql_views;
pub mod statement;
mod table;
pub mod trail;
mod views;
mod workers;

pub use access::AccessPolicy;
pub use answer::Answer;
pub use digest::Digested;
pub use engine::Engine;
pub use error::{Code, QueryError};
pub use estimate::Estimate;
pub use prices::{Dollars, Prices};
pub use receipt::Receipt;
pub use recheck::{Recheck, Rechecked, recheck};
pub use request::{Bounds, Caps, Limits, Param, ParamKind, Request, Spill};
pub use statement::{About, Statement};
