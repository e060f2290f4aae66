//! SHA-256 of eight or sixteen messages at a time, one in each 32-bit lane of a vector register.
//!
//! The one crate here that is not `forbid(unsafe_code)`: calling a function that is compiled for
//! more than the least processor needs `unsafe`, and no library we found offers AVX-512 on
//! processors older than Ice Lake without it. There are three such calls, each right behind the
//! question whether the processor can (docs/decisions/0008).
//!
//! A hash is a chain: one message alone can not use wide registers. Eight independent messages
//! can, and ingest has them: the parts of a delivery. Source of the function: FIPS 180-4.

#[cfg(not(target_arch = "x86_64"))]
mod narrow;
mod padded;
#[cfg(target_arch = "x86_64")]
mod sixteen;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(not(target_arch = "x86_64"))]
pub use narrow::{digests, digests_of_padded};
#[cfg(target_arch = "x86_64")]
pub use wide::{digests, digests_of_padded};

pub use padded::{BLOCK_BYTES, Padded};

/// Messages hashed side by side.
pub const LANES: usize = 8;
