//! The interactive shell: reads lines, asks, shows tables; keeps a private history.

mod complete;
mod line;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use archive::Mode;
use common::schema::{COLUMNS, EVENT_DATE, EVENTS_TABLE};
use query_fn::sql_views::{self, VIEWS};
use query_fn::{Engine, Request};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Handle;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, heading, printable};
use crate::query::{self, View};
use host::doors;

use complete::{QuestionName, ShellHelper};
use line::Line;

const HISTORY_LINES_MAX: usize = 2_000;

const HELP: &str = "\
  SELECT …;                 a query; it may take several lines and ends with a semicolon
  :name param=value …       a question from the collection; Tab completes it
  \\l                        list the questions
  \\d                        list the tables
  \\d TABLE                  list a table's columns
  \\x                        one line a column instead of one a row, on or off
  \\timing                   show what each answer cost, on or off
  \\?                        this help
  \\q                        leave (Ctrl-D too)
  Ctrl-C cancels a query; Ctrl-R searches the history.
";

type Input = Editor<ShellHelper, FileHistory>;

/// The shell's state.
struct Shell {
    runtime: Handle,

    engine: Engine,
    mode: Mode,
    view: View,
    timing: bool,
}

/// Runs the shell until the user leaves it. Call on a thread that may block.
pub(crate) fn run(runtime: Handle, engine: Engine, mode: Mode) -> Outcome {
    let mut input = editor()?;
    let history = history_file();
    if let Some(path) = &history {
        // A history that can not be read is an empty one.
        let _ = input.load_history(path);
    }
    let url = engine.archive_url().to_owned();
    let mut shell = Shell { runtime, engine, mode, view: View::Table, timing: true };
    let mut out = output::stdout();
    writeln!(out, "{}", heading(&format!("Meshledger: {}", printable(&url, false))))?;
    writeln!(out, "The table is mesh_events; \\? helps, \\l lists questions, \\q leaves.")?;
    out.flush()?;
    loop {
        match input.readline("meshledger> ") {
            Ok(text) => {
                if text.trim().is_empty() {
                    continue;
                }
                // A history that can not grow is no reason to stop.
                let _ = input.add_history_entry(text.trim_end());
                if let Some(path) = &history {
                    let _ = input.append_history(path);
                }
                if !shell.obey(&text)? {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(e) => {
                return Err(Failure::new(Exit::Storage, format!("the terminal failed: {e}")));
            }
        }
    }
    Ok(Exit::Ok)
}

impl Shell {
    /// Does what was typed; false to leave. Only a terminal that is gone is an error.
    fn obey(&mut self, text: &str) -> Result<bool, Failure> {
        let mut out = output::stdout();
        for line in line::parse(text) {
            match line {
                Line::Quit => return Ok(false),
                Line::Help => out.write_all(HELP.as_bytes())?,
                Line::Questions => query::list_questions(&mut out)?,
                Line::Tables => tables(&mut out)?,
                Line::Describe(table) => describe(&mut out, &table)?,
                Line::Timing => {
                    self.timing = !self.timing;
                    writeln!(
                        out,
                        "Costs are {}.",
                        if self.timing { "shown" } else { "not shown" }
                    )?;
                }
                Line::Expanded => {
                    self.view = if self.view == View::Table { View::Expanded } else { View::Table };
                    let now = if self.view == View::Table { "row" } else { "column" };
                    writeln!(out, "One line a {now}.")?;
                }
                Line::Ask { name, params } => {
                    let request = query::question_request(&name, &params, self.mode);
                    self.ask(request, &mut out)?;
                }
                Line::Sql(sql) => self.ask(Ok(Request::new(sql, self.mode)), &mut out)?,
                Line::Wrong(reason) => writeln!(out, "{}", printable(&reason, false))?,
            }
        }
        out.flush()?;
        Ok(true)
    }

    fn ask(
        &mut self,
        request: Result<Request, Failure>,
        out: &mut (impl Write + Send),
    ) -> Result<(), Failure> {
        let answered = request.and_then(|request| {
            let answering = query::show(&self.engine, &request, self.view, out);
            self.runtime.block_on(async {
                tokio::select! {
                    answered = answering => answered.map(Some),
                    _ = tokio::signal::ctrl_c() => Ok(None),
                }
            })
        });
        match answered {
            Ok(Some(receipt)) if self.timing => {
                writeln!(out, "{}", query::receipt::text(&receipt))?
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                writeln!(out, "Cancelled.")?;
                self.renew()?;
            }
            // A terminal that is gone.
            Err(failure) if failure.message().is_empty() => return Err(failure),
            Err(failure) => {
                writeln!(out, "{}", printable(failure.message(), true))?;
                if failure.exit() == Exit::Limit {
                    self.renew()?;
                }
            }
        }
        Ok(())
    }

    /// An engine of new threads: those of a query that was stopped may still be in a long step.
    fn renew(&mut self) -> Result<(), Failure> {
        self.engine = self.engine.limited(self.engine.limits().clone())?;
        Ok(())
    }
}

fn tables(out: &mut impl Write) -> std::io::Result<()> {
    for (name, row) in query::tables() {
        writeln!(out, "  {name:28} {row}")?;
    }
    Ok(())
}

fn describe(out: &mut impl Write, table: &str) -> std::io::Result<()> {
    if let Some(view) = VIEWS.iter().find(|view| view.name == table) {
        return describe_view(out, view);
    }
    if table != EVENTS_TABLE {
        return writeln!(
            out,
            "Only {EVENTS_TABLE} and views are described here; `SELECT * FROM {} LIMIT 0;` shows the \
             columns.",
            printable(table, false)
        );
    }
    for column in COLUMNS {
        let null = if column.nullable { "" } else { "NOT NULL" };
        writeln!(out, "  {:24} {:26} {null:9} {}", column.name, column.kind.sql(), column.doc)?;
    }
    writeln!(out, "  {EVENT_DATE:24} {:26} NOT NULL  UTC date of event_time; the partition", "DATE")
}

fn describe_view(out: &mut impl Write, view: &sql_views::View) -> std::io::Result<()> {
    writeln!(out, "  {}\n  A row is {}.\n  Cost: {}.", view.question(), view.row(), view.cost())?;
    for (name, says) in view.own_columns() {
        writeln!(out, "  {name:24} {says}")?;
    }
    writeln!(
        out,
        "  `DESCRIBE {};` has all columns; the others are those of {EVENTS_TABLE}.",
        view.name
    )
}

fn editor() -> Result<Input, Failure> {
    let failed =
        |e: ReadlineError| Failure::new(Exit::Storage, format!("the terminal failed: {e}"));
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)
        .map_err(failed)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let mut input = Input::with_config(config).map_err(failed)?;
    let columns = COLUMNS.iter().map(|column| column.name).chain([EVENT_DATE]);
    let names = query::questions()?.iter().map(|question| QuestionName {
        name: question.name.clone(),
        params: question.params.iter().map(|param| param.name.clone()).collect(),
    });
    input.set_helper(Some(ShellHelper::new(
        query::tables().map(|(name, _)| name.to_owned()).collect(),
        columns.map(str::to_owned).collect(),
        names.collect(),
    )));
    Ok(input)
}

/// The history file, which only this user may read: queries name people.
fn history_file() -> Option<PathBuf> {
    let folder = doors::state_dir()?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).ok()?;
    let path = folder.join("history");
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path).ok()?;
    Some(path)
}
