//! Questions and their answers, as `query`, the shell and the demo share them.

mod collection;
pub(crate) mod estimate;
mod expanded;
pub(crate) mod grid;
pub(crate) mod pruning;
pub(crate) mod receipt;
mod spill;

use std::io::Write;
use std::time::Duration;

use archive::{Archive, Mode};
use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use query_fn::questions::{Question, QuestionParam};
use query_fn::rows::{Destination, Format, RowWriter};
use query_fn::sql_views::VIEWS;
use query_fn::{Answer, Engine, Limits, Param, ParamKind, Receipt, Request, Spill};

use crate::args::QueryLimits;
use crate::exit::Failure;
use crate::output::heading;

pub(crate) use collection::{question, question_request, questions};
pub(crate) use spill::SpillFolder;

/// The tables and views there are, and what a row of each is.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let tables = [
        (EVENTS_TABLE, "one audit event"),
        (QUARANTINE_TABLE, "one record that was not understood, with the reason"),
    ];
    tables.into_iter().chain(VIEWS.iter().map(|view| (view.name, view.row())))
}

/// Longest time of an export or a recheck, unless another is set: nobody waits for it at a prompt.
pub(crate) const UNATTENDED_TIME: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes spilled, unless another limit is set: a hundred times the memory.
const SPILL_BYTES_MAX: u64 = 100 * 1024 * 1024 * 1024;

/// How a person wants to see rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// One line a row.
    Table,
    /// One line a column.
    Expanded,
}

/// The engine's limits, as the options change them, and the folder it spills to, if there is one.
///
/// # Errors
/// If a folder can not be made there.
pub(crate) fn limits(args: &QueryLimits) -> Result<(Limits, Option<SpillFolder>), Failure> {
    let wide = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    if let Some(bytes) = args.memory_bytes {
        limits.memory_bytes = wide(bytes);
    }
    if let Some(seconds) = args.time_seconds {
        limits.time = Duration::from_secs(seconds);
    }
    if let Some(threads) = args.threads {
        limits.threads = wide(threads);
    }
    limits.rows_max = args.rows_max.or(limits.rows_max);
    limits.scan_bytes_max = args.scan_bytes_max.or(limits.scan_bytes_max);
    let folder = args.spill.as_deref().map(SpillFolder::begin).transpose()?;
    limits.spill = folder.as_ref().map(|folder| Spill {
        folder: folder.path().to_owned(),
        bytes_max: args.spill_bytes_max.unwrap_or(SPILL_BYTES_MAX),
    });
    Ok((limits, folder))
}

/// An engine over an archive.
///
/// # Errors
/// If the engine can not be set up.
pub(crate) fn engine(archive: &Archive, limits: Limits) -> Result<Engine, Failure> {
    Ok(Engine::new(archive.reader(), limits)?)
}

/// A request for SQL as typed. A parameter's type stands behind its name, `n:integer`, and is
/// text if none does.
///
/// # Errors
/// If a value is none of its type.
pub(crate) fn sql_request(
    sql: String,
    params: &[(String, String)],
    mode: Mode,
) -> Result<Request, Failure> {
    let mut request = Request::new(sql, mode);
    for (name, value) in params {
        let (name, kind) = name.split_once(':').unwrap_or((name.as_str(), "text"));
        let kind = ParamKind::of_name(kind).ok_or_else(|| {
            Failure::usage(format!("'{kind}' is no type of a parameter: text, integer, timestamp"))
        })?;
        request.params.push((name.to_owned(), Param::parse(name, kind, value)?));
    }
    Ok(request)
}

/// Asks, and writes the whole answer.
///
/// # Errors
/// If the query is refused, fails, or passes a limit; what was written then is no answer.
pub(crate) async fn answer(
    engine: &Engine,
    request: &Request,
    format: Format,
    destination: Destination,
    out: &mut (impl Write + Send),
) -> Result<Receipt, Failure> {
    Ok(answered(engine, request, format, destination, out).await?.receipt())
}

/// Asks, writes the whole answer, and returns it for what it knows of itself.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn answered(
    engine: &Engine,
    request: &Request,
    format: Format,
    destination: Destination,
    out: &mut (impl Write + Send),
) -> Result<Answer, Failure> {
    let answer = engine.query(request).await?;
    write_rows(answer, format, destination, out).await
}

async fn write_rows(
    mut answer: Answer,
    format: Format,
    destination: Destination,
    out: &mut (impl Write + Send),
) -> Result<Answer, Failure> {
    let mut writer = RowWriter::new(format, &answer.schema(), destination, out)?;
    while let Some(batch) = answer.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    Ok(answer)
}

/// Asks, and shows the answer to a person.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn show(
    engine: &Engine,
    request: &Request,
    view: View,
    out: &mut (impl Write + Send),
) -> Result<Receipt, Failure> {
    let mut answer = engine.query(request).await?;
    if view == View::Table {
        let answer = write_rows(answer, Format::Table, Destination::Terminal, out).await?;
        return Ok(answer.receipt());
    }
    let mut row = 0;
    while let Some(batch) = answer.next().await {
        expanded::write(&batch?, &mut row, out)?;
    }
    writeln!(out, "({row} {})", if row == 1 { "row" } else { "rows" })?;
    out.flush()?;
    Ok(answer.receipt())
}

/// Lists the questions with their parameters: first the investigations, then each framework's
/// reports.
///
/// # Errors
/// If standard output fails.
pub(crate) fn list_questions(out: &mut impl Write) -> Result<(), Failure> {
    let mut grouped: Vec<&Question> = questions()?.iter().collect();
    grouped.sort_by_key(|question| question.framework());
    let mut framework = None;
    for question in grouped {
        if question.framework() != framework {
            framework = question.framework();
            writeln!(out, "\n{}\n", heading(&format!("{}:", framework.unwrap_or_default())))?;
        }
        writeln!(out, "{}", heading(&question.name))?;
        writeln!(out, "  {}", question.question)?;
        if let Some(control) = &question.control {
            writeln!(out, "    control          {control}")?;
        }
        for param in &question.params {
            writeln!(out, "    {:16} {:10} {}", param.name, param.kind.name(), about(param))?;
        }
        for (name, values) in &question.values {
            writeln!(out, "    {name:16} one of     {}", values.join(", "))?;
        }
    }
    Ok(())
}

fn about(param: &QuestionParam) -> String {
    match &param.default {
        None => format!("required; {}", param.help),
        Some(Param::Text(Some(text))) => format!("{}; default '{text}'", param.help),
        Some(Param::Integer(Some(number))) => format!("{}; default {number}", param.help),
        Some(_) => param.help.clone(),
    }
}
