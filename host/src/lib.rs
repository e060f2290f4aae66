//! What the machine and the cloud around a process give it: the clock, the environment and
//! randomness ([`doors`]), invocations ([`lambda`]) and where numbers about the work go
//! ([`metrics`]).
//!
//! Deliberately not here: what any of it is used for. Only programs import this crate; libraries
//! are given values.

pub mod doors;
pub mod error;
pub mod lambda;
pub mod metrics;
pub mod settings;

pub use error::HostError;
pub use lambda::{FunctionError, Invocation, Reply};
