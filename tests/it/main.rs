//! The integration tests, as one binary: each binary would link DataFusion again.
//!
//! They run the built command line, so it is built first: `cargo build && cargo test`. What they
//! need beyond Rust, `tests/setup.sh` installs. Network is loopback only.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "these are tests, their helper functions included"
)]

mod bad_input;
mod bad_storage;
mod cli_basics;
mod demo;
mod depths;
mod differential;
mod engines;
mod estimates;
mod evidence;
mod exactly_once;
mod export;
mod hostile;
mod hostile_sql;
mod incidents;
mod investigations;
mod keys;
mod kit;
mod lambda_build;
mod lambda_ingest;
mod lambda_maintain;
mod lambda_query;
mod ledger;
mod locks;
mod matrix;
mod mutations;
mod other_readers;
mod privilege;
mod proofs;
mod quarantine;
mod query_api;
mod query_forms;
mod query_trail;
mod questions;
mod real_envoy;
mod receipts;
mod redaction;
mod s3;
mod scene;
mod serve;
mod sim;
mod slt;
mod sources;
mod sql_page;
mod strict;
mod tamper;
mod tidy;
mod trips;
mod views;
mod witnesses;
