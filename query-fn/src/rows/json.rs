//! One JSON object a line, or one an element of an array.

use std::collections::HashSet;
use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};

use super::hazard::escape_json;
use super::text::{Texts, json_options};
use super::{RowsError, Views, written_columns, written_schema};

pub(super) struct JsonWriter<W> {
    schema: SchemaRef,
    /// Names as JSON, quoted and with the colon.
    names: Vec<Vec<u8>>,
    options: EncoderOptions,
    /// Of an array: whether an object came already, behind which the next one needs a comma.
    comma: Option<bool>,
    sink: W,
}

impl<W: Write> JsonWriter<W> {
    pub(super) fn new(schema: &SchemaRef, sink: W, is_array: bool) -> Self {
        let names = unique_names(schema)
            .into_iter()
            .map(|name| format!("{}:", serde_json::Value::String(name)).into_bytes())
            .collect();
        let schema = written_schema(schema, Views::Keep);
        Self { schema, names, options: json_options(), comma: is_array.then_some(false), sink }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        let columns = written_columns(batch, Views::Keep)?;
        let mut values = Vec::with_capacity(columns.len());
        for (field, column) in self.schema.fields().iter().zip(&columns) {
            values.push(Values::new(field, column.as_ref(), &self.options)?);
        }
        let mut lines = Vec::new();
        for row in 0..batch.num_rows() {
            match &mut self.comma {
                Some(true) => lines.extend_from_slice(b",\n{"),
                Some(first) => {
                    *first = true;
                    lines.push(b'{');
                }
                None => lines.push(b'{'),
            }
            for (i, (name, values)) in self.names.iter().zip(&mut values).enumerate() {
                if i > 0 {
                    lines.push(b',');
                }
                lines.extend_from_slice(name);
                values.push(row, &mut lines)?;
            }
            lines.extend_from_slice(if self.comma.is_some() { b"}".as_slice() } else { b"}\n" });
            if lines.len() > BUFFER_BYTES {
                self.sink.write_all(&escape_json(std::mem::take(&mut lines)))?;
            }
        }
        self.sink.write_all(&escape_json(lines))?;
        Ok(())
    }

    pub(super) fn finish(self) -> W {
        self.sink
    }
}

enum Values<'a> {
    Json(NullableEncoder<'a>),
    /// Of a type JSON has no form for (an interval): its text.
    Text(Texts<'a>),
}

impl<'a> Values<'a> {
    fn new(
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Self, ArrowError> {
        match make_encoder(field, array, options) {
            Ok(encoder) => Ok(Self::Json(encoder)),
            Err(_) => Ok(Self::Text(Texts::plain(array)?)),
        }
    }

    fn push(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Json(encoder) if encoder.is_null(row) => out.extend_from_slice(b"null"),
            Self::Json(encoder) => encoder.encode(row, out),
            Self::Text(texts) if texts.is_null(row) => out.extend_from_slice(b"null"),
            Self::Text(texts) => {
                let mut text = String::new();
                texts.read(row, &mut text)?;
                out.extend_from_slice(serde_json::Value::String(text).to_string().as_bytes());
            }
        }
        Ok(())
    }
}

/// Column names, each once: SQL may name two columns alike, a JSON object may not.
pub(crate) fn unique_names(schema: &SchemaRef) -> Vec<String> {
    let given: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 2;
        while taken.contains(&name) || (number > 2 && given.contains(name.as_str())) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// Bytes gathered before they go to the sink.
const BUFFER_BYTES: usize = 1024 * 1024;
