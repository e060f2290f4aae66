//! A table that fits a given width: the widest cells are cut in the middle, where the names of
//! services and identities differ least.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::exit::{Exit, Failure};
use crate::output::printable;

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(false)
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S"));

/// Narrowest a column is made to fit.
const COLUMN_CHARS_MIN: usize = 8;

/// Between two columns.
const GAP: &str = "  ";

/// A table being collected; for answers of few rows.
pub(crate) struct Grid {
    headers: Vec<String>,
    is_number: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table with these columns, in this order; columns that an answer lacks are left out.
    pub(crate) fn new() -> Self {
        Self { headers: Vec::new(), is_number: Vec::new(), rows: Vec::new() }
    }

    /// Adds a batch's rows, of the columns named.
    ///
    /// # Errors
    /// If a value can not be shown.
    pub(crate) fn add(&mut self, batch: &RecordBatch, columns: &[&str]) -> Result<(), Failure> {
        let unshown = |e| Failure::new(Exit::Query, format!("a value can not be shown: {e}"));
        let mut formatters = Vec::new();
        self.headers.clear();
        self.is_number.clear();
        for name in columns {
            let Some(column) = batch.column_by_name(name) else { continue };
            self.headers.push((*name).to_owned());
            self.is_number.push(column.data_type().is_numeric());
            let formatter = ArrayFormatter::try_new(column.as_ref(), &OPTIONS).map_err(unshown)?;
            formatters.push((column, formatter));
        }
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(formatters.len());
            for (column, formatter) in &formatters {
                let text = if column.is_null(row) {
                    String::new()
                } else {
                    formatter.value(row).try_to_string().map_err(unshown)?
                };
                cells.push(printable(&text, false));
            }
            self.rows.push(cells);
        }
        Ok(())
    }

    /// The table as text of lines no longer than `chars_max`, if that is possible at all.
    pub(crate) fn text(&self, chars_max: usize) -> String {
        if self.rows.is_empty() {
            return "(no rows)\n".to_owned();
        }
        let widths = self.widths(chars_max);
        let mut text = String::new();
        self.line(&mut text, &widths, &self.headers);
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&mut text, &widths, &rules);
        for row in &self.rows {
            self.line(&mut text, &widths, row);
        }
        text
    }

    /// Widths that fit: the widest column gives way first.
    fn widths(&self, chars_max: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headers.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > chars_max {
            match widths.iter_mut().max() {
                Some(widest) if *widest > COLUMN_CHARS_MIN => *widest -= 1,
                _ => break,
            }
        }
        widths
    }

    fn line(&self, text: &mut String, widths: &[usize], cells: &[String]) {
        let start = text.len();
        for (i, (cell, &width)) in cells.iter().zip(widths).enumerate() {
            let gap = if i == 0 { "" } else { GAP };
            let cell = fit(cell, width);
            // Writing to a String can not fail.
            let _ = if self.is_number.get(i) == Some(&true) {
                write!(text, "{gap}{cell:>width$}")
            } else {
                write!(text, "{gap}{cell:<width$}")
            };
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// Cuts a cell in the middle.
fn fit(cell: &str, chars_max: usize) -> String {
    let chars: Vec<char> = cell.chars().collect();
    if chars.len() <= chars_max {
        return cell.to_owned();
    }
    let kept = chars_max.saturating_sub(1);
    let head = kept / 2;
    let tail = chars.len() - (kept - head);
    chars[..head].iter().chain(['…'].iter()).chain(&chars[tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn wide_cells_are_cut_in_the_middle_and_hostile_text_is_escaped() {
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![7, 1_000])) as ArrayRef),
            ("hidden", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            (
                "name",
                Arc::new(StringArray::from(vec![
                    Some("spiffe://cluster.local/ns/shop/sa/cart"),
                    Some("a\x1b[2J"),
                ])) as ArrayRef,
            ),
        ])
        .unwrap();
        let mut grid = Grid::new();
        grid.add(&batch, &["name", "n", "absent"]).unwrap();
        assert_eq!(
            grid.text(24),
            "name                   n\n\
             ------------------  ----\n\
             spiffe:/…p/sa/cart     7\n\
             a\\u{1b}[2J          1000\n"
        );
        assert_eq!(Grid::new().text(80), "(no rows)\n");
    }
}
