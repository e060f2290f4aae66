//! RFC 4180, with plain newlines, as the tools of a command line expect.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::EncoderOptions;

use super::text::{Texts, json_options};
use super::{RowsError, Views, written_columns, written_schema};

pub(super) struct CsvWriter<W> {
    schema: SchemaRef,
    options: EncoderOptions,
    sink: W,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(schema: &SchemaRef, mut sink: W) -> Result<Self, RowsError> {
        let mut header = String::new();
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                header.push(',');
            }
            push_field(field.name(), &mut header);
        }
        header.push('\n');
        sink.write_all(header.as_bytes())?;
        Ok(Self { schema: written_schema(schema, Views::Keep), options: json_options(), sink })
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
                    push_field(&value, &mut lines);
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
fn push_field(value: &str, out: &mut String) {
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
