//! Rows with one line a column, for tables wider than a terminal.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::exit::{Exit, Failure};
use crate::output::printable;

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(false)
    .with_null("NULL")
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6fZ"));

/// Writes a batch; `row` counts rows over all batches.
///
/// # Errors
/// If standard output fails or a value can not be shown.
pub(super) fn write(
    batch: &RecordBatch,
    row: &mut u64,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let unshown = |e| Failure::new(Exit::Query, format!("a value can not be shown: {e}"));
    let schema = batch.schema();
    let names: Vec<String> =
        schema.fields().iter().map(|field| printable(field.name(), false)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &OPTIONS))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unshown)?;
    for index in 0..batch.num_rows() {
        *row += 1;
        writeln!(out, "-- row {row}")?;
        for (name, column) in names.iter().zip(&columns) {
            let value = column.value(index).try_to_string().map_err(unshown)?;
            writeln!(out, "{name:width$} | {}", printable(&value, false))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn every_column_gets_a_line_and_hostile_text_is_escaped() {
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec![Some("a\x1b[2J"), None])) as ArrayRef),
        ])
        .unwrap();
        let mut out = Vec::new();
        let mut row = 0;
        write(&batch, &mut row, &mut out).unwrap();
        assert_eq!(row, 2);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "-- row 1\nn    | 1\nname | a\\u{1b}[2J\n-- row 2\nn    | 2\nname | NULL\n"
        );
    }
}
