//! Who may see what: rows and columns, by a policy in a file.
//!
//! `policy` reads the file, `mask` says what a masked column shows, `grant` is what one caller may
//! see, `table` puts it below everything a query can say, and `barrier` is the operator that
//! nothing of a query passes.
//!
//! The rule behind all of it: an expression that a caller wrote is evaluated on rows and values
//! that the caller may see, and on no others. Only comparisons of unmasked columns with constants,
//! which can not fail, are evaluated earlier, where they save reading. docs/access.md says what a
//! caller can learn all the same.

mod barrier;
mod grant;
mod mask;
mod policy;
mod table;

pub(crate) use self::grant::{Access, Grant};
pub use self::policy::AccessPolicy;
