//! `quarantine`: its three commands.

use clap::{Args, Subcommand, ValueEnum};
use ingest_fn::parse::SourceFormat;

use super::{Place, source_format};

/// `quarantine`
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  meshledger quarantine list --archive ./audit
  meshledger quarantine show --archive ./audit 2199fc859aca4e3f 51200
  meshledger quarantine replay --archive ./audit --dry-run
  meshledger quarantine replay --archive ./audit

A record that is not understood is kept byte for byte in mesh_quarantine, and stays there."
)]
pub(crate) struct Quarantine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: QuarantineAction,
}

/// What can be done with the quarantine.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineAction {
    /// Count what was not understood, by reason, and list it
    List(QuarantineList),
    /// Show one record
    Show(QuarantineShow),
    /// Let this version's parsers try again
    Replay(QuarantineReplay),
}

/// Format of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Tables for people: the counts, then the records
    Table,
    /// One JSON object a line: kind "count" first, then kind "record"
    Json,
    /// CSV with a header: the records alone
    Csv,
}

/// `quarantine list`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger quarantine list --archive ./audit
  meshledger quarantine list --archive ./audit --reason unknown_format --limit 500
  meshledger quarantine list --archive ./audit --source envoy_json --format csv > rejects.csv

The newest come first. --limit 0 shows the counts alone.")]
pub(crate) struct QuarantineList {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only records with this reason
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Only records that look like this format
    #[arg(long, value_name = "GUESS")]
    pub(crate) source: Option<String>,
    /// Most records listed; the counts are of all
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
    /// How the list is written
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub(crate) format: ListFormat,
}

/// `quarantine show`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger quarantine show --archive ./audit 2199fc859aca4e3f 51200
  meshledger quarantine show --archive ./audit 2199fc859aca4e3f 51200 > record.bin

UNIT and OFFSET are columns of `meshledger quarantine list`. On a terminal whatever could drive it
is escaped; a file or a program gets the record's bytes and nothing else.")]
pub(crate) struct QuarantineShow {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The unit it came with, or the first 8 digits of it or more
    #[arg(value_name = "UNIT", value_parser = unit)]
    pub(crate) unit: String,
    /// Where it begins in its stream, in bytes
    #[arg(value_name = "OFFSET")]
    pub(crate) offset: u64,
    /// Which one, where several parts of a record were rejected
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) number: Option<u32>,
    /// The record's bytes and nothing else, to a terminal too
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `quarantine replay`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger quarantine replay --archive ./audit --dry-run
  meshledger quarantine replay --archive ./audit --reason unknown_format
  meshledger quarantine replay --archive ./audit --source otlp_protobuf --json

What is understood now is archived as events; what is not stays where it is. Without --source a
record is tried as the format its source was configured with, then recognised by itself. A record
is replayed once: running it again, or twice at a time, adds nothing.")]
pub(crate) struct QuarantineReplay {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only records with this reason
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Read all of them as this format
    #[arg(long, value_parser = source_format(), hide_possible_values = true, value_name = "FORMAT")]
    pub(crate) source: Option<SourceFormat>,
    /// Say what would be understood, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a unit's id or the beginning of one.
fn unit(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hex && (8..=64).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("expected 8 to 64 lower-case hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_its_id_or_the_begin_of_it() {
        for good in ["2199fc85", &"a".repeat(64)] {
            assert!(unit(good).is_ok(), "{good}");
        }
        for bad in ["", "2199fc8", "2199FC85", "2199fc8g", &"a".repeat(65)] {
            assert!(unit(bad).is_err(), "{bad}");
        }
    }
}
