//! The `meshledger` command: reads the command line, runs one command, ends with its exit code.
//!
//! The commands are in `commands/`, one file each. Exit codes are in `exit.rs`; the clock, the
//! environment and randomness come in by `doors.rs`.

mod args;
mod commands;
mod demo;
mod exit;
mod export;
mod ingest;
mod input;
mod interrupt;
mod key;
mod output;
mod progress;
mod query;
mod replay;
mod serve;
mod shell;
mod trail;
mod whole;
mod witness;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Builder;

use crate::args::Cli;
use crate::exit::{Exit, Failure, Outcome};

/// How long threads are waited for at the end.
const SHUTDOWN: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let wrong = e.use_stderr();
            // If even the error can not be shown, the exit code says it.
            let _ = e.print();
            return if wrong { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    exit::finish(run(cli))
}

fn run(cli: Cli) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Storage, format!("no threads could be started: {e}")))?;
    let outcome = runtime.block_on(commands::run(cli.command));
    // A thread that waits for standard input must not keep the process; the others are joined,
    // since glibc may crash on threads that are given up as they end (query-fn/src/workers.rs).
    runtime.shutdown_timeout(SHUTDOWN);
    outcome
}
