//! What a user of `invoke` types.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ingest_fn::redact::Rules;

use super::{Key, Place, Policy, redaction};

/// `invoke`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger invoke ingest kinesis-event.json --archive ./audit
  meshledger invoke query question.json --archive ./audit
  echo '{\"action\": \"seal\"}' | meshledger invoke maintain - --archive ./audit

Runs a function on one event, as AWS Lambda would, and prints its answer. Objects that an event
names are read from the places given with --landing. What a function does with each event is in
docs/operations.md.")]
pub(crate) struct Invoke {
    /// Which function
    pub(crate) function: Function,
    /// The event, as JSON; `-` for standard input
    #[arg(value_name = "EVENT.json")]
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How long the function has
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout_seconds: u64,
    /// How much memory the ingest function has
    #[arg(long, value_name = "MEGABYTES", default_value_t = 1_769)]
    pub(crate) memory_megabytes: usize,
    /// Where landed objects may be read: s3://bucket/prefix, comma between several
    #[arg(long, value_name = "PLACES")]
    pub(crate) landing: Option<String>,
    /// Clusters and formats of sources, as MESHLEDGER_SOURCES has them
    #[arg(long, value_name = "RULES.json")]
    pub(crate) sources: Option<PathBuf>,
    /// Credentials to take out of records: default, none, or a file of rules (docs/redaction.md)
    #[arg(long, value_name = "RULES", default_value = "default", value_parser = redaction)]
    pub(crate) redaction: Rules,
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) policy: Policy,
}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Function {
    /// Events in
    Ingest,
    /// Answers out
    Query,
    /// Sealing and verifying
    Maintain,
}
