//! RFC 4180, with plain newlines, as the tools of a command line expect. On a terminal, hazards in
//! values are escaped as in a table; then a reader of CSV would not get the value back.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::EncoderOptions;

use super::hazard::{is_hazard, push_visible};
use super::text::{Texts, json_options};
use super::{Destination, RowsError, Views, written_columns, written_schema};

pub(super) struct CsvWriter<W> {
    schema: SchemaRef,
    options: EncoderOptions,
    destination: Destination,
    sink: W,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(
        schema: &SchemaRef,
        destination: Destination,
        mut sink: W,
    ) -> Result<Self, RowsError> {
        let mut header = String::new();
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                header.push(',');
            }
            push_field(field.name(), destination, &mut header);
        }
        header.push('\n');
        sink.write_all(header.as_bytes())?;
        let schema = written_schema(schema, Views::Keep);
        Ok(Self { schema, options: json_options(), destination, sink })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        let columns = written_columns(batch, Views::Keep)?;
        let mut texts = Vec::with_capacity(columns.len());
        for (field, column) in self.schema.fields().iter().zip(&columns) {
            texts.push(Texts::new(field, column.as_ref(), &self.options)?);
        }
        let (mut lines, mut value) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            for (i, texts) in texts.iter_mut().enumerate() {
                if i > 0 {
                    lines.push(',');
                }
                if !texts.is_null(row) {
                    texts.read(row, &mut value)?;
                    push_field(&value, self.destination, &mut lines);
                }
            }
            lines.push('\n');
            if lines.len() > BUFFER_BYTES {
                self.sink.write_all(lines.as_bytes())?;
                lines.clear();
            }
        }
        self.sink.write_all(lines.as_bytes())?;
        Ok(())
    }

    pub(super) fn finish(self) -> W {
        self.sink
    }
}

/// Quotes what needs it, and the empty text, which is not NULL.
fn push_field(value: &str, destination: Destination, out: &mut String) {
    let mut visible = String::new();
    let value = if destination == Destination::Terminal && value.contains(is_hazard) {
        push_visible(value, usize::MAX, &mut visible);
        visible.as_str()
    } else {
        value
    };
    if !value.is_empty() && !value.contains([',', '"', '\n', '\r']) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for (i, piece) in value.split('"').enumerate() {
        if i > 0 {
            out.push_str("\"\"");
        }
        out.push_str(piece);
    }
    out.push('"');
}

/// Bytes gathered before they go to the sink.
const BUFFER_BYTES: usize = 1024 * 1024;
