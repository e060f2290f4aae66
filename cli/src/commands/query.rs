//! `query`: answers SQL and named questions, once or in a shell.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use archive::Mode;
use query_fn::rows::{Destination, Format};
use query_fn::{Engine, Receipt, Request};
use tokio::runtime::Handle;

use crate::args::{Query, QueryFormat, ReceiptFormat, Strict};
use crate::exit::{Exit, Failure, Outcome};
use crate::key;
use crate::output::{self, printable};
use crate::query;
use crate::shell;

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
    if args.receipt == ReceiptFormat::Inline && args.format != QueryFormat::Json {
        return Err(Failure::usage("--receipt inline needs --format json"));
    }
    let says_what = args.sql.is_some() || args.file.is_some() || args.question.is_some();
    if !says_what && output::stdin_is_terminal() {
        return interactive(args).await;
    }
    super::or_interrupted(once(args)).await
}

async fn interactive(args: Query) -> Outcome {
    if let Some((name, _)) = args.params.first() {
        let name = printable(name, false);
        return Err(Failure::usage(format!("--param {name}: a parameter needs SQL or --question")));
    }
    let engine = open(&args).await?;
    let (runtime, mode) = (Handle::current(), mode(&args));
    let shell = tokio::task::spawn_blocking(move || shell::run(runtime, engine, mode));
    shell.await.unwrap_or_else(|e| Err(Failure::new(Exit::Query, format!("a defect: {e}"))))
}

async fn once(args: Query) -> Outcome {
    let request = request(&args)?;
    let engine = open(&args).await?;
    let format = match args.format {
        QueryFormat::Table => Format::Table,
        QueryFormat::Json => Format::JsonLines,
        QueryFormat::Csv => Format::Csv,
        QueryFormat::Arrow => Format::Arrow,
    };
    if format == Format::Arrow && output::stdout_is_terminal() {
        return Err(Failure::usage("an Arrow stream is no text; send it to a file or a program"));
    }
    let destination =
        if output::stdout_is_terminal() { Destination::Terminal } else { Destination::Program };
    let mut out = output::stdout();
    let receipt = query::answer(&engine, &request, format, destination, &mut out).await?;
    write_receipt(&receipt, args.receipt, &mut out)?;
    Ok(Exit::Ok)
}

/// Opens the archive, and an engine that trusts whom the policy names.
async fn open(args: &Query) -> Result<Engine, Failure> {
    let location = super::location(&args.place)?;
    let archive = super::open(&args.place).await?;
    let reader = archive.reader();
    let trust = if args.policy.is_none() && args.strict.is_none() {
        None
    } else {
        let table_id = archive.table_id().await?;
        key::trust(args.policy.as_deref(), &location, Some(table_id))?
    };
    let reader = match trust {
        Some(trust) => reader.trusting(trust.policy),
        None => reader,
    };
    let engine = Engine::new(reader, query::limits(&args.limits))?;
    Ok(engine.hashing_files(args.strict == Some(Strict::Full)))
}

fn mode(args: &Query) -> Mode {
    if args.strict.is_some() { Mode::Strict } else { Mode::Fresh }
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

fn write_receipt(
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
