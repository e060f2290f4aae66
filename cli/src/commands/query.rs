//! `query`: answers SQL and named questions, once or in a shell.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use archive::{Archive, Mode};
use host::doors;
use query_fn::rows::{Destination, Format};
use query_fn::statement::StatedExport;
use query_fn::{About, Answer, Engine, Receipt, Request};
use tokio::runtime::Handle;

use super::export;
use crate::args::{Query, QueryFormat, ReceiptFormat, ReceiptTo, Strict, TrailKind};
use crate::exit::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::key;
use crate::output::{self, printable};
use crate::query::{self, SpillFolder};
use crate::shell;
use crate::trail::{self, Asking, Scribe};
use crate::whole;

/// Longest SQL text read from a file or standard input; the engine refuses far shorter ones.
const SQL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Runs the command.
pub(crate) async fn run(args: Query) -> Outcome {
    if args.list {
        let mut out = output::stdout();
        query::list_questions(&mut out)?;
        out.flush()?;
        return Ok(Exit::Ok);
    }
    let format = args.format.unwrap_or(QueryFormat::Table);
    if shown(&args) == ReceiptFormat::Inline
        && (format != QueryFormat::Json || args.export.out.is_some())
    {
        return Err(Failure::usage("--receipt inline needs --format json, and no --out"));
    }
    if args.policy.is_some() && !is_strict(&args) {
        return Err(Failure::usage("--policy needs --strict or --receipt FILE"));
    }
    let says_what = args.sql.is_some() || args.file.is_some() || args.question.is_some();
    if !says_what && output::stdin_is_terminal() {
        if statement_path(&args).is_some() || args.export.out.is_some() {
            return Err(Failure::usage("--receipt FILE and --out need SQL or --question"));
        }
        if args.cost.is_set() {
            return Err(Failure::usage("--dry-run and caps need SQL or --question"));
        }
        return interactive(args).await;
    }
    if args.cost.dry_run {
        return super::or_interrupted(dry(args)).await;
    }
    if args.export.out.is_some() {
        return export::run(args, Interrupt::listen()).await;
    }
    super::or_interrupted(once(args)).await
}

async fn interactive(args: Query) -> Outcome {
    if let Some((name, _)) = args.params.first() {
        let name = printable(name, false);
        return Err(Failure::usage(format!("--param {name}: a parameter needs SQL or --question")));
    }
    if args.trail != TrailKind::Off {
        return Err(Failure::usage("--trail needs SQL or --question"));
    }
    let Opened { engine, spill: _spill, .. } = open(&args).await?;
    let (runtime, mode) = (Handle::current(), mode(&args));
    let shell = tokio::task::spawn_blocking(move || shell::run(runtime, engine, mode));
    shell.await.unwrap_or_else(|e| Err(Failure::new(Exit::Query, format!("a defect: {e}"))))
}

async fn once(args: Query) -> Outcome {
    let (request, asked) = (prepare(&args)?, Asking::now()?);
    let Opened { archive, engine, spill: _spill } = open(&args).await?;
    let scribe = scribe(&args, &archive)?;
    let format = form(args.format.unwrap_or(QueryFormat::Table));
    if matches!(format, Format::Arrow | Format::Parquet) && output::stdout_is_terminal() {
        return Err(Failure::usage("this form is no text; send it to a file (--out) or a program"));
    }
    let destination =
        if output::stdout_is_terminal() { Destination::Terminal } else { Destination::Program };
    let mut out = output::stdout();
    let answered = query::answered(&engine, &request, format, destination, &mut out).await;
    if let Some(scribe) = &scribe {
        let question = args.question.as_deref();
        scribe.tell((&request, question), asked, answered.as_ref().map(Some)).await?;
    }
    let answer = answered?;
    write_receipt(&answer.receipt(), shown(&args), &mut out)?;
    write_statement(&args, &answer, None)?;
    Ok(Exit::Ok)
}

/// Says what the query would cost.
async fn dry(args: Query) -> Outcome {
    let is_json = match args.format {
        None | Some(QueryFormat::Table) => false,
        Some(QueryFormat::Json) => true,
        Some(_) => return Err(Failure::usage("--dry-run needs --format table or json")),
    };
    if statement_path(&args).is_some() {
        return Err(Failure::usage("--receipt FILE states an answer, and --dry-run has none"));
    }
    let (request, asked) = (prepare(&args)?, Asking::now()?.dry());
    let Opened { archive, engine, spill: _spill } = open(&args).await?;
    let scribe = scribe(&args, &archive)?;
    let estimated = engine.estimate(&request).await.map_err(Failure::from);
    if let Some(scribe) = &scribe {
        let question = args.question.as_deref();
        scribe.tell((&request, question), asked, estimated.as_ref().map(|_| None)).await?;
    }
    let estimate = estimated?;
    let mut out = output::stdout();
    if is_json {
        writeln!(out, "{}", serde_json::to_string(&estimate).map_err(std::io::Error::from)?)?;
    } else {
        writeln!(out, "{}", query::estimate::text(&estimate))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// The request; and a receipt's file, if one is wanted, is free.
pub(super) fn prepare(args: &Query) -> Result<Request, Failure> {
    let path = statement_path(args);
    if let Some(path) = path {
        whole::must_be_free(path)?;
    }
    let digested = args.trail != TrailKind::Off;
    let caps = args.cost.caps();
    Ok(Request { repeatable: path.is_some(), digested, caps, ..request(args)? })
}

/// Who tells of the query, if it is to be told of.
pub(super) fn scribe(args: &Query, archive: &Archive) -> Result<Option<Scribe>, Failure> {
    trail::settings(args.trail, args.trail_literals)
        .map(|how| Scribe::new(archive, args.trail_queue.as_deref(), how, &args.caller))
        .transpose()
}

/// An archive, and what answers from it.
pub(super) struct Opened {
    pub(super) archive: Archive,
    pub(super) engine: Engine,
    /// The folder that it spills to, if there is one; dropped, it is removed.
    pub(super) spill: Option<SpillFolder>,
}

/// The form of rows that a format stands for.
pub(super) const fn form(format: QueryFormat) -> Format {
    match format {
        QueryFormat::Table => Format::Table,
        QueryFormat::Json => Format::JsonLines,
        QueryFormat::Csv => Format::Csv,
        QueryFormat::Arrow => Format::Arrow,
        QueryFormat::Parquet => Format::Parquet,
    }
}

/// Writes the statement of an answer, if one is wanted: the last thing that is written.
pub(super) fn write_statement(
    args: &Query,
    answer: &Answer,
    export: Option<StatedExport>,
) -> Result<(), Failure> {
    let Some(path) = statement_path(args) else { return Ok(()) };
    let now_micros = doors::now_micros()?;
    let about = About { now_micros, question: args.question.clone(), export };
    let defect = || Failure::new(Exit::Query, "a defect: an answer without a statement");
    let statement = answer.statement(about).ok_or_else(defect)?;
    whole::write_new(path, statement.to_text().as_bytes())
}

/// How the receipt is shown.
pub(super) fn shown(args: &Query) -> ReceiptFormat {
    let by_word = match &args.receipt {
        Some(ReceiptTo::Shown(form)) => Some(*form),
        Some(ReceiptTo::File(_)) | None => None,
    };
    args.receipt_format.or(by_word).unwrap_or(ReceiptFormat::Text)
}

/// Where the statement of the answer goes, if one is wanted.
fn statement_path(args: &Query) -> Option<&Path> {
    match &args.receipt {
        Some(ReceiptTo::File(path)) => Some(path),
        Some(ReceiptTo::Shown(_)) | None => None,
    }
}

/// Whether only what is signed counts: a statement rests on nothing else.
fn is_strict(args: &Query) -> bool {
    args.strict.is_some() || statement_path(args).is_some()
}

/// Opens the archive, and an engine that trusts whom the policy names.
pub(super) async fn open(args: &Query) -> Result<Opened, Failure> {
    let location = super::location(&args.place)?;
    let archive = super::connect(&args.place)?;
    let reader = archive.reader();
    let trust = if args.policy.is_none() && !is_strict(args) {
        None
    } else {
        let table_id = archive.table_id().await?;
        key::trust(args.policy.as_deref(), &location, Some(table_id))?
    };
    let reader = match trust {
        Some(trust) => reader.trusting(trust.policy),
        None => reader,
    };
    let (mut limits, spill) = query::limits(&args.limits)?;
    if args.export.out.is_some() && args.limits.time_seconds.is_none() {
        limits.time = query::UNATTENDED_TIME;
    }
    let engine = Engine::new(reader, limits)?.hashing_files(args.strict == Some(Strict::Full));
    let engine = engine.asked_by(Some(args.caller.clone()));
    let engine = match super::access(args.access.as_deref())? {
        Some(policy) => engine.guarded_by(policy)?,
        None => engine,
    };
    Ok(Opened { archive, engine, spill })
}

fn mode(args: &Query) -> Mode {
    if is_strict(args) { Mode::Strict } else { Mode::Fresh }
}

fn request(args: &Query) -> Result<Request, Failure> {
    Ok(Request { explain_pruning: args.explain_pruning, ..asked(args)? })
}

fn asked(args: &Query) -> Result<Request, Failure> {
    if let Some(name) = &args.question {
        return query::question_request(name, &args.params, mode(args));
    }
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) if sql != "-" => sql.clone(),
        (_, Some(path)) if path != Path::new("-") => read_file(path)?,
        _ => read_text("standard input", std::io::stdin())?,
    };
    query::sql_request(sql, &args.params, mode(args))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let name = printable(&path.to_string_lossy(), false);
    let file = fs::File::open(path)
        .map_err(|e| Failure::new(Exit::Input, format!("{name}: {}", crate::input::reason(&e))))?;
    read_text(&name, file)
}

fn read_text(name: &str, input: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    let read = input.take(SQL_BYTES_MAX).read_to_string(&mut text);
    match read {
        Ok(_) if text.trim().is_empty() => Err(Failure::usage(format!("{name} holds no SQL"))),
        Ok(_) => Ok(text),
        Err(e) => Err(Failure::new(Exit::Input, format!("{name}: {}", crate::input::reason(&e)))),
    }
}

pub(super) fn write_receipt(
    receipt: &Receipt,
    format: ReceiptFormat,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let json = || serde_json::to_string(receipt).map_err(std::io::Error::from);
    if format == ReceiptFormat::Inline {
        writeln!(out, "{{\"receipt\":{}}}", json()?)?;
    }
    // The answer first, then what is said about it.
    out.flush()?;
    match format {
        ReceiptFormat::Text => output::note(&query::receipt::text(receipt)),
        ReceiptFormat::Json => output::note(&json()?),
        ReceiptFormat::Inline | ReceiptFormat::None => {}
    }
    let is_json = matches!(format, ReceiptFormat::Json | ReceiptFormat::Inline);
    if let Some(pruning) = query::pruning::text(receipt).filter(|_| !is_json) {
        output::note(&pruning);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_holds_no_sql_is_refused() {
        let empty = read_text("x", &b"  \n"[..]).unwrap_err();
        assert_eq!(empty.exit(), Exit::Usage);
        let broken = read_text("x", &b"SELECT '\xff'"[..]).unwrap_err();
        assert_eq!(broken.exit(), Exit::Input);
        assert_eq!(read_text("x", &b"SELECT 1"[..]).unwrap(), "SELECT 1");
    }

    #[test]
    fn parameters_of_plain_sql_have_the_type_given() {
        let params = [("a".to_owned(), "x".to_owned()), ("n:integer".to_owned(), "5".to_owned())];
        let request = query::sql_request("SELECT $a, $n".to_owned(), &params, Mode::Fresh).unwrap();
        let expected = [
            ("a".to_owned(), query_fn::Param::Text(Some("x".to_owned()))),
            ("n".to_owned(), query_fn::Param::Integer(Some(5))),
        ];
        assert_eq!(request.params, expected);
        for (name, value) in [("n:integer", "five"), ("n:decimal", "5")] {
            let params = [(name.to_owned(), value.to_owned())];
            assert!(query::sql_request(String::new(), &params, Mode::Fresh).is_err());
        }
    }
}
