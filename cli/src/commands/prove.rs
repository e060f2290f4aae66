//! `prove`: writes proofs that anybody can check without the archive.

use std::fs;
use std::io::Write;
use std::path::Path;

use archive::prove::{ProveError, Prover, RowId};
use archive::{Archive, Mode};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use query_fn::{Limits, Request};
use tlog::Checkpoint;
use tlog::note::{NOTE_BYTES_MAX, Note};

use crate::args::{Prove, ProveAction, ProveConsistency, ProveEvent, ProveFile};
use crate::exit::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{self, counted, printable};
use crate::query;

/// Most events that one call proves; each takes kilobytes of memory until it is written.
const EVENTS_MAX: usize = 10_000;

/// Runs the command.
pub(crate) async fn run(args: Prove) -> Outcome {
    match args.action {
        ProveAction::Event(args) => events(args).await,
        ProveAction::File(args) => file(args).await,
        ProveAction::Consistency(args) => consistency(args).await,
    }
}

async fn events(args: ProveEvent) -> Outcome {
    let archive = super::open(&args.place).await?;
    let mut wanted = args.events;
    if let Some(condition) = &args.condition {
        wanted.extend(found(&archive, condition).await?);
    }
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Err(Failure::usage("no sealed event is meant: the condition holds for none"));
    }
    if args.out.is_none() && wanted.len() > 1 {
        let count = wanted.len();
        return Err(Failure::usage(format!("{count} events have as many proofs: use --out DIR")));
    }
    let prover = Prover::open(&archive.reader()).await?;
    let proofs = prover.events(&wanted).await?;
    let names = wanted.iter().map(|id| format!("{}-{}.tlog-proof", id.segment, id.row));
    let proofs: Vec<(String, String)> = names.zip(proofs).collect();
    write(args.out.as_deref(), &proofs)?;
    let count = counted(u64::try_from(proofs.len()).unwrap_or(u64::MAX), "event", "events");
    told(&format!("Proved {count}"), prover.checkpoint());
    Ok(Exit::Ok)
}

/// The sealed events for which a condition holds.
async fn found(archive: &Archive, condition: &str) -> Result<Vec<RowId>, Failure> {
    let engine = query::engine(archive, Limits::default())?;
    // On lines of its own: a comment in it ends before the bracket.
    let sql = format!(
        "SELECT segment, segment_row FROM mesh_events WHERE (\n{condition}\n) LIMIT {}",
        EVENTS_MAX + 1
    );
    let mut answer = engine.query(&Request::new(sql, Mode::Strict)).await?;
    let mut found = Vec::new();
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::new(Exit::Query, format!("columns of another type than theirs: {e}"))
        };
        let segments = cast(batch.column(0), &DataType::Utf8).map_err(|e| wrong(&e))?;
        let rows = cast(batch.column(1), &DataType::Int64).map_err(|e| wrong(&e))?;
        let segments = segments.as_string::<i32>().iter().flatten();
        for (segment, row) in segments.zip(rows.as_primitive::<Int64Type>().values()) {
            let segment = segment.parse().map_err(|e| wrong(&e))?;
            found.push(RowId { segment, row: u64::try_from(*row).map_err(|e| wrong(&e))? });
        }
    }
    if found.len() > EVENTS_MAX {
        let message = format!("the condition holds for more than {EVENTS_MAX} events; narrow it");
        return Err(Failure::new(Exit::Limit, message));
    }
    Ok(found)
}

async fn file(args: ProveFile) -> Outcome {
    let archive = super::open(&args.place).await?;
    let prover = Prover::open(&archive.reader()).await?;
    let proof = prover.file(&args.file).await?;
    let stem = args.file.rsplit('/').next().unwrap_or_default();
    let name = format!("{}.tlog-proof", stem.trim_end_matches(".parquet"));
    write(args.out.as_deref(), &[(name, proof)])?;
    told("Proved a file", prover.checkpoint());
    Ok(Exit::Ok)
}

async fn consistency(args: ProveConsistency) -> Outcome {
    let archive = super::open(&args.place).await?;
    let prover = Prover::open(&archive.reader()).await?;
    let one = note(&prover, &args.one).await?;
    let latest = prover.checkpoint().size.to_string();
    let other = note(&prover, args.other.as_deref().unwrap_or(&latest)).await?;
    let proof = prover.consistency(one, other)?;
    let name = "consistency.proof".to_owned();
    write(args.out.as_deref(), &[(name, proof)])?;
    told("Proved that the ledger only grew", prover.checkpoint());
    Ok(Exit::Ok)
}

/// A checkpoint by its size, or from a file.
async fn note(prover: &Prover, named: &str) -> Result<Note, Failure> {
    if let Ok(size) = named.parse() {
        return Ok(prover.kept_checkpoint(size).await?);
    }
    let shown = printable(named, false);
    let bytes = input::read_bounded(Path::new(named), NOTE_BYTES_MAX)?;
    let wrong = |e| Failure::new(Exit::Input, format!("{shown} is no signed checkpoint: {e}"));
    Note::parse(&bytes).map_err(wrong)
}

/// Writes proofs into a folder, or the only one to standard output.
fn write(folder: Option<&Path>, proofs: &[(String, String)]) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut out = output::stdout();
        for (_, proof) in proofs {
            out.write_all(proof.as_bytes())?;
        }
        return Ok(out.flush()?);
    };
    let failed = |path: &Path, e: &std::io::Error| {
        let path = printable(&path.display().to_string(), false);
        Failure::new(Exit::Storage, format!("{path} can not be written: {}", input::reason(e)))
    };
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let mut out = output::stdout();
    for (name, proof) in proofs {
        let path = folder.join(name);
        fs::write(&path, proof).map_err(|e| failed(&path, &e))?;
        writeln!(out, "{}", printable(&path.display().to_string(), false))?;
    }
    Ok(out.flush()?)
}

fn told(what: &str, head: &Checkpoint) {
    let size = counted(head.size, "commit", "commits");
    let origin = printable(&head.origin, false);
    output::note(&format!("{what}, by the ledger {origin} with {size}."));
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        let exit = match error {
            ProveError::Archive(error) => return error.into(),
            ProveError::NotThere { .. } => Exit::Usage,
            ProveError::Forked { .. } => Exit::Tampering,
            ProveError::TooLong { .. } => Exit::Limit,
            _ => Exit::Storage,
        };
        Self::new(exit, error.to_string())
    }
}
