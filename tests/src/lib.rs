//! The test kit: what the integration tests drive, and what they hold against it.
//!
//! A kit fails by panicking, with a sentence that says what was expected and what to do.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "this crate is used by tests only, and a test fails by panicking"
)]

pub mod cli;
pub mod faulty_proxy;
pub mod laptop;
pub mod ministack;
pub mod otlp;
pub mod paths;
pub mod python;
pub mod records;
pub mod runtime_api;
pub mod seaweed;
pub mod server;
pub mod service;
pub mod tamper;
pub mod zip;
