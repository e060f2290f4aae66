//! What the machine and the cloud around a process give it: the clock, the environment and
//! randomness ([`doors`]), invocations ([`lambda`]), requests that come through a gateway
//! ([`gateway`]) and where numbers about the work go ([`metrics`]).
//!
//! Deliberately not here: what any of it is used for. Only programs open its doors; libraries are
//! given values, and import no more of it than [`gateway`].

pub mod doors;
pub mod error;
pub mod gateway;
pub mod lambda;
pub mod metrics;
pub mod settings;

pub use error::HostError;
pub use lambda::{FunctionError, Invocation, Reply};
