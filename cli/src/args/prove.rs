//! `prove` with its three commands, and `check-proof`.

use std::path::PathBuf;

use archive::prove::RowId;
use clap::{ArgGroup, Args, Subcommand};

use super::Place;

/// `prove`
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  meshledger prove event -a ./audit 60bbe41e8d9779d7b1a80133cb9fcf3f/17 > event.tlog-proof
  meshledger prove event -a ./audit --where \"request_id = '5b0c3f3e-…'\" --out ./proofs
  meshledger prove file -a ./audit 88f6811a… > file.tlog-proof
  meshledger prove consistency -a ./audit ./saved-checkpoint > grown.proof

A proof is checked with nothing but itself and the keys one trusts: `meshledger check-proof`."
)]
pub(crate) struct Prove {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: ProveAction,
}

/// What can be proven.
#[derive(Debug, Subcommand)]
pub(crate) enum ProveAction {
    /// That an event was archived and signed; shows that event alone
    Event(ProveEvent),
    /// That a data file was archived and signed
    File(ProveFile),
    /// That the ledger only grew between two checkpoints
    Consistency(ProveConsistency),
}

/// `prove event`
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").required(true).multiple(true)),
    after_help = "\
Examples:
  meshledger query -a ./audit 'SELECT segment, segment_row, principal FROM mesh_events LIMIT 5'
  meshledger prove event -a ./audit 60bbe41e8d9779d7b1a80133cb9fcf3f/17 > event.tlog-proof
  meshledger prove event -a ./audit --where \"decision = 'deny'\" --out ./proofs

An event is named by its columns segment and segment_row. Several give a file each in --out,
<segment>-<segment_row>.tlog-proof. The file that holds an event is read whole."
)]
pub(crate) struct ProveEvent {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Events by their columns segment and segment_row
    #[arg(value_name = "SEGMENT/ROW", value_parser = row_id, group = "which")]
    pub(crate) events: Vec<RowId>,
    /// Every sealed event for which this SQL condition over mesh_events holds
    #[arg(long = "where", value_name = "CONDITION", group = "which")]
    pub(crate) condition: Option<String>,
    /// Folder for the proofs; without it, the proof of one event goes to standard output
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `prove file`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger prove file -a ./audit data/event_date=2026-11-02/88f6811a….parquet > file.tlog-proof
  meshledger prove file -a ./audit 88f6811ab5d8fc6d3177f9b7609ae0fcebfda187e5046b62d38bb539e88b74d7

The proof shows what the log says of the file, the bounds of its columns among it. Files of
mesh_quarantine have no proofs.")]
pub(crate) struct ProveFile {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The file's key below the archive, or its SHA-256
    #[arg(value_name = "KEY|SHA256")]
    pub(crate) file: String,
    /// Folder for the proof; without it, it goes to standard output
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `prove consistency`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger prove consistency -a ./audit 41 > grown.proof
  meshledger prove consistency -a ./audit 17 41 > grown.proof
  meshledger prove consistency -a ./audit ./checkpoint-of-march > grown.proof

A checkpoint is the size of one that was published, or a file with one, as an auditor keeps it.
Exits 1 if the ledger does not continue it.")]
pub(crate) struct ProveConsistency {
    #[command(flatten)]
    pub(crate) place: Place,
    /// One checkpoint
    #[arg(value_name = "SIZE|FILE")]
    pub(crate) one: String,
    /// The other one [default: the latest]
    #[arg(value_name = "SIZE|FILE")]
    pub(crate) other: Option<String>,
    /// Folder for the proof; without it, it goes to standard output
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `check-proof`
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("trust").required(true)),
    after_help = "\
Examples:
  meshledger check-proof event.tlog-proof --policy ./trust.txt
  meshledger check-proof file.tlog-proof --policy ./trust.txt --file ./88f6811a….parquet
  meshledger check-proof event.tlog-proof --policy ./trust.txt --json
  meshledger check-proof denials.tar --policy ./trust.txt

Needs no network and no archive. Exits 0 if the proof holds and the policy accepts its checkpoint,
1 if not. With --no-policy nobody's signature is checked: then anybody may have made the proof."
)]
pub(crate) struct CheckProof {
    /// The proof, or a tar file of proofs, as `query --proofs` writes it, or - for standard input
    #[arg(value_name = "PROOF|-")]
    pub(crate) proof: PathBuf,
    /// Whose signatures count: a file in C2SP tlog-policy form
    #[arg(long, value_name = "FILE", group = "trust")]
    pub(crate) policy: Option<PathBuf>,
    /// Check everything but signatures
    #[arg(long, group = "trust")]
    pub(crate) no_policy: bool,
    /// A copy of the file that the proof is about, to hash and compare
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads `<segment>/<segment_row>`.
fn row_id(text: &str) -> Result<RowId, String> {
    let wrong = || "expected <segment>/<segment_row>: 32 hex digits, a slash, a number".to_owned();
    let (segment, row) = text.split_once('/').ok_or_else(wrong)?;
    let segment = segment.parse().map_err(|_| wrong())?;
    let row: u64 = row.parse().map_err(|_| wrong())?;
    Ok(RowId { segment, row })
}
