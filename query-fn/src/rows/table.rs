//! Aligned columns for people. The first rows decide the widths; memory is bounded by them.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::EncoderOptions;

use super::hazard::push_visible;
use super::text::{Texts, json_options};
use super::{RowsError, Views, written_columns, written_schema};

pub(super) struct TableWriter<W> {
    schema: SchemaRef,
    headers: Vec<String>,
    options: EncoderOptions,
    /// Rows seen before the widths were decided.
    sample: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    rows: u64,
    sink: W,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(schema: &SchemaRef, sink: W) -> Self {
        let headers = schema.fields().iter().map(|field| visible(field.name())).collect();
        Self {
            schema: written_schema(schema, Views::Keep),
            headers,
            options: json_options(),
            sample: Vec::new(),
            widths: None,
            rows: 0,
            sink,
        }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        for row in self.cells(batch)? {
            self.rows += 1;
            match &self.widths {
                Some(widths) => {
                    let line = self.line(widths, &row);
                    self.sink.write_all(line.as_bytes())?;
                }
                None => {
                    self.sample.push(row);
                    if self.sample.len() >= SAMPLE_ROWS {
                        self.start()?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, RowsError> {
        if self.widths.is_none() {
            self.start()?;
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        writeln!(self.sink, "({} {rows})", self.rows)?;
        Ok(self.sink)
    }

    /// Decides the widths, writes the header and the sample.
    fn start(&mut self) -> Result<(), RowsError> {
        let mut widths: Vec<usize> = self.headers.iter().map(|h| h.chars().count()).collect();
        for row in &self.sample {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = self.line(&widths, &self.headers);
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        text.push_str(&rules.join("-+-"));
        text.push('\n');
        for row in std::mem::take(&mut self.sample) {
            text.push_str(&self.line(&widths, &row));
        }
        self.widths = Some(widths);
        self.sink.write_all(text.as_bytes())?;
        Ok(())
    }

    fn cells(&self, batch: &RecordBatch) -> Result<Vec<Vec<String>>, RowsError> {
        let columns = written_columns(batch, Views::Keep)?;
        let mut rows = vec![Vec::with_capacity(columns.len()); batch.num_rows()];
        let mut value = String::new();
        for (field, column) in self.schema.fields().iter().zip(&columns) {
            let mut texts = Texts::new(field, column.as_ref(), &self.options)?;
            for (row, cells) in rows.iter_mut().enumerate() {
                if texts.is_null(row) {
                    cells.push("NULL".to_owned());
                } else {
                    texts.read(row, &mut value)?;
                    cells.push(visible(&value));
                }
            }
        }
        Ok(rows)
    }

    /// One line; numbers to the right, no blanks at its end.
    fn line(&self, widths: &[usize], cells: &[String]) -> String {
        let mut line = String::new();
        for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if i > 0 {
                line.push_str(" | ");
            }
            let pad = width.saturating_sub(cell.chars().count());
            let is_number =
                self.schema.fields().get(i).is_some_and(|field| field.data_type().is_numeric());
            if is_number {
                line.push_str(&" ".repeat(pad));
            }
            line.push_str(cell);
            if !is_number {
                line.push_str(&" ".repeat(pad));
            }
        }
        line.truncate(line.trim_end_matches(' ').len());
        line.push('\n');
        line
    }
}

fn visible(text: &str) -> String {
    let mut out = String::new();
    push_visible(text, CELL_CHARS_MAX, &mut out);
    out
}

/// Rows that decide the widths.
const SAMPLE_ROWS: usize = 1_000;

/// Longest cell shown, in characters: paths, SPIFFE ids and policies fit.
const CELL_CHARS_MAX: usize = 100;
