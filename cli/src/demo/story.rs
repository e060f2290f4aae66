//! How the demo speaks: chapters, sentences, tables; each shown as soon as it is known.

use std::io::Write;

use query_fn::{Engine, Receipt, Request};

use crate::exit::Failure;
use crate::output::{self, Out, heading};
use crate::query::grid::Grid;

/// The narrator.
pub(crate) struct Story {
    out: Out,
    chapters: u32,
}

impl Story {
    /// Speaks on standard output.
    pub(crate) fn new() -> Self {
        Self { out: output::stdout(), chapters: 0 }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str) -> Result<(), Failure> {
        self.chapters += 1;
        let title = heading(&format!("{}. {title}", self.chapters));
        writeln!(self.out, "\n{title}")?;
        Ok(self.out.flush()?)
    }

    /// A paragraph, indented below its chapter.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            writeln!(self.out, "{INDENT}{line}")?;
        }
        Ok(self.out.flush()?)
    }

    /// A line that stands out.
    pub(crate) fn point(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "\n{INDENT}{}", heading(text))?;
        Ok(self.out.flush()?)
    }

    /// Asks, and shows some columns of the answer as a table.
    pub(crate) async fn table(
        &mut self,
        engine: &Engine,
        request: &Request,
        columns: &[&str],
    ) -> Result<Receipt, Failure> {
        let mut answer = engine.query(request).await?;
        let mut grid = Grid::new();
        while let Some(batch) = answer.next().await {
            grid.add(&batch?, columns)?;
        }
        let width = output::stdout_width().unwrap_or(WIDTH_CHARS);
        self.say(&grid.text(width.saturating_sub(INDENT.len())))?;
        Ok(answer.receipt())
    }
}

/// Indent of everything below a chapter's title.
const INDENT: &str = "   ";

/// Width of tables where no terminal says its own.
const WIDTH_CHARS: usize = 120;
