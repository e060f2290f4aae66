//! What the user typed: every command with its options and examples. No environment, no I/O.

mod cost;
mod export;
mod invoke;
mod key;
mod prove;
mod quarantine;
mod recheck;
mod serve;

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use common::Sha256Digest;
use ingest_fn::parse::SourceFormat;
use ingest_fn::redact::Rules;
use maintain_fn::SealOptions;

use crate::exit::EXIT_CODES_HELP;

pub(crate) use cost::Cost;
pub(crate) use export::{Export, Place as ExportPlace};
pub(crate) use invoke::{Function, Invoke};
pub(crate) use key::{
    Key, KeyAction, KeyCommand, KeyRotate, KeyShow, Policy, Witness, WitnessAction,
};
pub(crate) use prove::{CheckProof, Prove, ProveAction, ProveConsistency, ProveEvent, ProveFile};
pub(crate) use quarantine::{
    ListFormat, Quarantine, QuarantineAction, QuarantineList, QuarantineReplay, QuarantineShow,
};
pub(crate) use recheck::{ReceiptTo, Recheck, receipt_to};
pub(crate) use serve::{Serve, TrailKind, TrailLiterals};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "meshledger",
    version,
    about = "A tamper-evident archive for service-mesh audit events: Parquet on object storage, answers in SQL",
    after_help = EXIT_CODES_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command a file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an archive
    Init(Init),
    /// Write realistic mesh traffic with hidden incidents, for trying things out
    Generate(Generate),
    /// Archive audit events from files or standard input
    Ingest(Ingest),
    /// Archive what is sent over HTTP, and answer questions: the whole system in one process
    Serve(Serve),
    /// Run a function on one event, as AWS Lambda would
    Invoke(Invoke),
    /// Commit what was ingested
    Seal(Seal),
    /// Ask questions in SQL
    Query(Query),
    /// Ask again what a receipt says was asked, and compare the answers
    Recheck(Recheck),
    /// Check that the archive holds exactly what was written
    Verify(Verify),
    /// Write a proof of an event, a file or the ledger's growth, to be checked anywhere
    Prove(Prove),
    /// Check a proof, without network and archive
    CheckProof(CheckProof),
    /// Show or change the key that signs the ledger
    Key(KeyCommand),
    /// Have witnesses cosign the ledger
    Witness(Witness),
    /// List, show and try again what was not understood
    Quarantine(Quarantine),
    /// See everything at work on a temporary archive, in under a minute
    Demo(Demo),
}

/// Where the archive is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Archive: a folder or s3://bucket/prefix [default: $MESHLEDGER_ARCHIVE]
    #[arg(short, long, value_name = "URL")]
    pub(crate) archive: Option<String>,
    /// Where manifests wait for a seal [default: the archive's URL with ".work" appended]
    #[arg(long, value_name = "URL")]
    pub(crate) work: Option<String>,
    /// Where a sealer remembers what it signs, best in another account [default:
    /// $MESHLEDGER_LOCKS, else the work URL]
    #[arg(long, value_name = "URL")]
    pub(crate) locks: Option<String>,
}

/// `init`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger init --archive ./audit
  meshledger init --archive s3://acme-audit/mesh --work s3://acme-work/mesh
  meshledger init --archive ./audit --ledger archive.example.com/mesh
  meshledger init --archive s3://acme-audit/mesh --key awskms:alias/meshledger

A new archive gets a signed ledger, and its key a file, unless --key names another holder. Beside
the key lies a policy, for whoever verifies. An archive that exists already is left as it is.")]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Let other Delta Lake writers into the table; only for tools that refuse the fenced one
    #[arg(long)]
    pub(crate) no_fence: bool,
    /// Name of the signed ledger, such as archive.example.com/mesh [default: meshledger.local/ and
    /// the archive's last name]
    #[arg(long, value_name = "NAME")]
    pub(crate) ledger: Option<String>,
    /// Make an archive without a ledger: nothing is signed
    #[arg(long, conflicts_with_all = ["ledger", "key"])]
    pub(crate) no_ledger: bool,
    #[command(flatten)]
    pub(crate) key: Key,
}

/// Format of generated records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenerateFormat {
    /// Istio's default access log
    Default,
    /// Every field that matters to an audit: identities, certificates, policies
    Extended,
    /// Default from outbound proxies and gateways, extended from inbound ones
    Mixed,
}

/// `generate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger generate --events 500000 --out ./traffic
  meshledger generate --events 100000 --format extended --out - | meshledger ingest -a ./audit -

The same options give the same bytes on every machine.")]
pub(crate) struct Generate {
    /// Records to write
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    pub(crate) events: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub(crate) seed: u64,
    /// Days to spread them over
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) days: u32,
    /// First day, UTC
    #[arg(long, default_value = "2026-11-02", value_name = "YYYY-MM-DD")]
    pub(crate) start: String,
    /// How records are written
    #[arg(long, value_enum, default_value_t = GenerateFormat::Mixed)]
    pub(crate) format: GenerateFormat,
    /// Services of the mesh
    #[arg(long, default_value_t = 40, value_name = "N")]
    pub(crate) services: u32,
    /// Namespaces per cluster
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) namespaces: u32,
    /// Clusters of the mesh
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) clusters: u32,
    /// Folder that gets one <cluster>.jsonl a cluster, or - for one stream on standard output
    #[arg(short, long, value_name = "DIR|-")]
    pub(crate) out: PathBuf,
    /// Overwrite files that exist
    #[arg(long)]
    pub(crate) force: bool,
}

/// Reads the name of a source format.
fn source_format() -> impl TypedValueParser<Value = SourceFormat> {
    PossibleValuesParser::new(SourceFormat::NAMES).try_map(|name| name.parse::<SourceFormat>())
}

/// Longest file of redaction rules, in bytes.
const RULES_BYTES_MAX: u64 = 1024 * 1024;

/// Reads redaction rules: `default`, `none`, or a file of them.
fn redaction(text: &str) -> Result<Rules, String> {
    match text {
        "default" => return Ok(Rules::default()),
        "none" => return Ok(Rules::none()),
        _ => {}
    }
    let expected = "expected default, none, or a file of rules as docs/redaction.md tells them";
    let mut bytes = Vec::new();
    std::fs::File::open(text)
        .and_then(|file| file.take(RULES_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|e| format!("{expected}; {e}"))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("{expected}; {e}"))
}

/// `ingest`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger ingest --archive ./audit --cluster east access.log access.log.1.gz
  meshledger ingest --archive ./audit --cluster west 'logs/2026-*/*.json.zst' --seal
  kubectl logs -n shop deploy/cart -c istio-proxy | meshledger ingest --archive ./audit -

Files may be plain, gzip or zstd and of any length. Records that are not understood are kept too,
with the reason; the summary says where they lie. The same file again adds nothing, so a run that
was interrupted is resumed by repeating it. A file that has grown repeats its last part.")]
pub(crate) struct Ingest {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Cluster that the records come from
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Format of the records; without it each record is recognised by itself (docs/sources.md)
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = source_format())]
    pub(crate) source: SourceFormat,
    /// Credentials to take out of records: default, none, or a file of rules (docs/redaction.md)
    #[arg(long, value_name = "RULES", default_value = "default", value_parser = redaction)]
    pub(crate) redaction: Rules,
    /// Seal afterwards
    #[arg(long)]
    pub(crate) seal: bool,
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Most bytes that one input may have once decompressed, against gzip bombs
    #[arg(long, default_value = "1TiB", value_parser = size, value_name = "SIZE")]
    pub(crate) decoded_bytes_max: u64,
    /// Files, globs, or - for standard input
    #[arg(required = true, value_name = "FILE|GLOB|-")]
    pub(crate) inputs: Vec<OsString>,
}

/// `seal`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger seal --archive ./audit
  meshledger seal --archive ./audit --heartbeat-after 60
  meshledger seal --archive ./audit --repair
  meshledger seal --archive ./audit --json")]
pub(crate) struct Seal {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Versions from one Delta checkpoint to the next, of an archive with a ledger; 0 writes none
    #[arg(long, default_value_t = SealOptions::default().delta_checkpoint_every, value_name = "N")]
    pub(crate) delta_checkpoint_every: u64,
    /// In a signed archive: if nothing waits and the last commit is so old, commit an empty one
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) heartbeat_after: Option<u32>,
    /// First compute tiles of the ledger that are missing; or, with VERSION:SHA256, let that commit
    /// give way, which was never signed and does not follow from its manifests, and those behind it
    #[arg(
        long,
        value_name = "VERSION:SHA256",
        num_args = 0..=1,
        default_missing_value = "",
        value_parser = repair
    )]
    pub(crate) repair: Option<Repair>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// The ledger's tiles and the place of locks.
    Ledger,
    /// A commit, by its version and the SHA-256 of its bytes.
    Commit(u64, Sha256Digest),
}

fn repair(text: &str) -> Result<Repair, String> {
    if text.is_empty() {
        return Ok(Repair::Ledger);
    }
    let expected = "expected VERSION:SHA256 of the commit, as in 12:3f…, 64 hex digits";
    let (version, sha256) = text.split_once(':').ok_or(expected)?;
    let version = version.parse().map_err(|_| expected)?;
    Ok(Repair::Commit(version, sha256.parse().map_err(|_| expected)?))
}

/// Format of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// A table for people
    Table,
    /// One JSON object a line
    #[value(alias = "ndjson")]
    Json,
    /// CSV with a header
    Csv,
    /// Arrow IPC stream
    Arrow,
    /// Parquet file
    Parquet,
}

/// Form of the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReceiptFormat {
    /// A sentence on standard error
    Text,
    /// One JSON line on standard error
    Json,
    /// With --format json: a last line {"receipt": …} in the answer
    Inline,
    /// None
    None,
}

/// How strict a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strict {
    /// What a signed checkpoint covers, and the statistics in it; files by their length
    Sealed,
    /// And each file's SHA-256, before a part of it is used: files are read whole
    Full,
}

/// `query`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger query -a ./audit 'SELECT decision, count(*) FROM mesh_events GROUP BY 1'
  meshledger query -a ./audit --list
  meshledger query -a ./audit --question request_trail --param request_id=5b0c3f3e-…
  meshledger query -a ./audit --format csv --file report.sql > report.csv
  meshledger query -a ./audit --param who=cart \"SELECT count(*) FROM mesh_events WHERE src_service = $who\"
  meshledger query -a ./audit --receipt denials.receipt --question denied_by_policy
  meshledger query -a ./audit --out s3://acme-reports/nov.parquet --receipt nov.receipt --file nov.sql
  meshledger query -a s3://acme-audit/mesh --dry-run --question denied_by_policy
  meshledger query -a ./audit                    (interactive; \\? shows its commands)

Only queries are accepted. An answer that would pass a limit is an error, never a part of it.
The receipt says which version answered, and what was read and skipped for it. --receipt FILE writes
a statement of the answer that `meshledger recheck` asks again (docs/receipts.md).")]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) place: Place,
    /// SQL, or - to read it from standard input; without it, an interactive shell
    #[arg(value_name = "SQL|-", conflicts_with_all = ["file", "question"])]
    pub(crate) sql: Option<String>,
    /// Read the SQL from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "question")]
    pub(crate) file: Option<PathBuf>,
    /// Ask a question from the collection (see --list)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) question: Option<String>,
    /// List the questions with their parameters
    #[arg(long)]
    pub(crate) list: bool,
    /// Value of $name in the SQL; repeatable. Text, unless the type is given, as in n:integer=5 or
    /// t:timestamp=2026-11-02T10:00:00Z; a question knows the types of its own
    #[arg(short, long = "param", value_parser = param, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<(String, String)>,
    /// How the answer is written [default: table; with --out, by its name]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<QueryFormat>,
    /// A new file for a statement of the answer, which anybody can check by asking again; implies
    /// --strict. Or how the receipt is shown: text, json, inline or none, as --receipt-format
    #[arg(long, value_parser = receipt_to, value_name = "FILE|HOW")]
    pub(crate) receipt: Option<ReceiptTo>,
    /// How the receipt is shown [default: text]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) receipt_format: Option<ReceiptFormat>,
    /// Say of each file why it was read or skipped: in the receipt, or below it
    #[arg(long)]
    pub(crate) explain_pruning: bool,
    /// Read only what the signed ledger vouches for; with =full, also hash each file that is read
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, value_name = "HOW")]
    #[arg(default_missing_value = "sealed")]
    pub(crate) strict: Option<Strict>,
    /// Whose signatures count for --strict and --receipt: a file in C2SP tlog-policy form, kept
    /// outside the archive
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Show only what an access policy gives to --as (docs/access.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) access: Option<PathBuf>,
    /// Who asks, as the access policy and the trail name callers
    #[arg(long = "as", value_name = "CALLER", default_value = "local")]
    pub(crate) caller: String,
    /// Whether the query becomes an event, for the view query_trail. required: it fails if its
    /// entry can not be stored
    #[arg(long, value_enum, default_value_t = TrailKind::Off, value_name = "HOW")]
    pub(crate) trail: TrailKind,
    /// Whether texts and numbers in the SQL stay in the trail
    #[arg(long, value_enum, default_value_t = TrailLiterals::Keep, value_name = "HOW")]
    pub(crate) trail_literals: TrailLiterals,
    /// Send the entry to this SQS queue instead of storing it in the archive
    #[arg(long, value_name = "URL")]
    pub(crate) trail_queue: Option<String>,
    #[command(flatten)]
    pub(crate) export: Export,
    #[command(flatten)]
    pub(crate) cost: Cost,
    #[command(flatten)]
    pub(crate) limits: QueryLimits,
}

/// Limits of one query.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct QueryLimits {
    /// Most memory
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) memory_bytes: Option<u64>,
    /// Longest time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_seconds: Option<u64>,
    /// Most rows in the answer
    #[arg(long, value_name = "N")]
    pub(crate) rows_max: Option<u64>,
    /// Most bytes read from the archive
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) scan_bytes_max: Option<u64>,
    /// Threads to use [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Option<u64>,
    /// Folder for what sorting and grouping can not keep in memory. It holds events in the clear
    /// until the query ends
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spill: Option<PathBuf>,
    /// Most bytes in it [default: 100 GiB]
    #[arg(long, value_parser = size, value_name = "SIZE", requires = "spill")]
    pub(crate) spill_bytes_max: Option<u64>,
}

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger verify --archive ./audit
  meshledger verify --archive s3://acme-audit/mesh --json
  meshledger verify --archive ./audit --policy ./trust.txt
  meshledger verify --archive ./audit --quick --since ./last.checkpoint --keep ./last.checkpoint

Reads every byte unless it is told otherwise. Exits 0 if all is well, 1 on tampering, 2 if something is unfinished.")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) depth: VerifyDepth,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// A checkpoint kept from an earlier run, which this archive must continue
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
    /// Keep the checkpoint that was verified in this file, for --since; not if tampering was found
    #[arg(long, value_name = "FILE")]
    pub(crate) keep: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much `verify` reads.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct VerifyDepth {
    /// Read no data file: ledger, commits, manifests, and which files are there
    #[arg(long)]
    pub(crate) quick: bool,
    /// Read every byte of every file (the default)
    #[arg(long)]
    pub(crate) full: bool,
    /// Also decode every row: row roots, and statistics against the rows they are of
    #[arg(long)]
    pub(crate) deep: bool,
}

/// `demo`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger demo
  meshledger demo --keep ./demo --events 2000000

Needs no account, no network and no other file. Without --keep nothing is left behind.")]
pub(crate) struct Demo {
    /// Keep the archive in this new folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Generated events
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    pub(crate) events: u64,
    /// Seed of the generated day
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub(crate) seed: u64,
}

/// Parses a number of bytes: `1048576`, `64MB` (decimal), `64MiB` (binary), `1.5GB` is refused.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let scale: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("unknown unit '{unit}'; use for example 64MB or 64MiB")),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| "expected a whole number, for example 64MB".to_owned())?;
    match number.checked_mul(scale) {
        Some(0) | None => Err("expected a size from 1 byte to 16 EiB".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

/// Parses `name=value` or `name:type=value`; the value may hold anything, further equals signs
/// too.
pub(crate) fn param(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected name=value".to_owned());
    };
    let plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !word.starts_with(|c: char| c.is_ascii_digit())
    };
    let (bare, kind) = name.split_once(':').unwrap_or((name, "text"));
    if !plain(bare) || !plain(kind) {
        return Err(format!("'{name}' is no parameter name: letters, digits and _ only"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("meshledger"), "{}", command.get_name());
            for below in command.get_subcommands() {
                let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("meshledger"), "{}", below.get_name());
            }
        }
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let Command::Ingest(ingest) = parse("meshledger ingest -a A a.log -").unwrap() else {
            panic!("not ingest");
        };
        assert_eq!(ingest.decoded_bytes_max, 1 << 40);
        assert_eq!(ingest.source, SourceFormat::Auto);
        assert_eq!(ingest.inputs, ["a.log", "-"]);
        let Command::Seal(seal) = parse("meshledger seal -a A --repair --json").unwrap() else {
            panic!("not seal");
        };
        assert_eq!((seal.repair, seal.json), (Some(Repair::Ledger), true));
        let Command::Query(query) = parse("meshledger query -a A -p a=1 -p b=x=y -").unwrap()
        else {
            panic!("not query");
        };
        assert_eq!((query.sql.as_deref(), query.strict), (Some("-"), None));
        for (option, strict) in [("--strict", Strict::Sealed), ("--strict=full", Strict::Full)] {
            let Command::Query(query) = parse(&format!("meshledger query {option} SQL")).unwrap()
            else {
                panic!("not query");
            };
            assert_eq!((query.sql.as_deref(), query.strict), (Some("SQL"), Some(strict)));
        }
        let Command::Query(query) = parse("meshledger query -a A -p a=1 -p b=x=y -").unwrap()
        else {
            panic!("not query");
        };
        assert_eq!(query.format, None);
        assert_eq!(query.params[1], ("b".to_owned(), "x=y".to_owned()));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "meshledger query -a A --file f.sql --question q",
            "meshledger query -a A --question q SELECT",
            "meshledger query -a A --format xml SELECT",
            "meshledger query -a A --param novalue SELECT",
            "meshledger query -a A --receipt-format ./file SELECT",
            "meshledger query -a A --proofs a.tar SELECT",
            "meshledger query -a A --force SELECT",
            "meshledger recheck -a A",
            "meshledger query -a A --time-seconds 0 SELECT",
            "meshledger ingest -a A",
            "meshledger ingest -a A --source syslog f",
            "meshledger quarantine",
            "meshledger quarantine list -a A --format arrow",
            "meshledger quarantine show -a A 2199fc85",
            "meshledger quarantine show -a A xyz 0",
            "meshledger quarantine replay -a A --source syslog",
            "meshledger seal -a A --repair 3",
            "meshledger seal -a A --repair 3:ab",
            "meshledger seal -a A --heartbeat-after 0",
            "meshledger frobnicate",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn sizes_take_decimal_and_binary_units() {
        for (text, bytes) in [
            ("17", 17),
            ("64kB", 64_000),
            ("64KiB", 65_536),
            ("1TiB", 1 << 40),
            ("2 GB", 2_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1.5GB", "-1", "0", "20000000000GB", "5 apples", "٣MB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parameter_names_are_plain() {
        assert_eq!(param("path=/a=b"), Ok(("path".to_owned(), "/a=b".to_owned())));
        assert_eq!(param("empty="), Ok(("empty".to_owned(), String::new())));
        assert_eq!(param("n:integer=5"), Ok(("n:integer".to_owned(), "5".to_owned())));
        for text in ["novalue", "=x", "a:=1", ":integer=1", "a b=1", "1a=2", "a;b=1"] {
            assert!(param(text).is_err(), "{text}");
        }
    }
}
