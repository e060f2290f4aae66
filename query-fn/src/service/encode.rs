//! Batches as the bytes of an answer, with the receipt where the form has a place for it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use serde_json::json;

use super::ask::Format;
use super::reply::{RECEIPT_BYTES_MAX, receipt_text};
use crate::error::{Code, QueryError};
use crate::receipt::Receipt;
use crate::rows::{self, Destination, RowWriter, RowsError, unique_names};
use crate::statement::Statement;

/// Bytes that were written and not taken away yet.
#[derive(Debug, Default)]
pub(super) struct Buffer(Mutex<Vec<u8>>);

impl Buffer {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

struct Sink(Arc<Buffer>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one answer.
pub(super) struct Encoder {
    format: Format,
    rows: RowWriter<Sink>,
    buffer: Arc<Buffer>,
}

/// Name of the receipt in the metadata of a Parquet file.
const RECEIPT_KEY: &str = "meshledger.receipt";

/// Name of the statement there.
const STATEMENT_KEY: &str = "meshledger.statement";

impl Encoder {
    pub(super) fn new(
        format: Format,
        schema: &SchemaRef,
        buffer: Arc<Buffer>,
    ) -> Result<Self, QueryError> {
        let form = match format {
            Format::Json => {
                let columns: Vec<_> = unique_names(schema)
                    .into_iter()
                    .zip(schema.fields())
                    .map(
                        |(name, field)| json!({"name": name, "type": type_name(field.data_type())}),
                    )
                    .collect();
                let columns = rows::ascii_json(&json!(columns).to_string());
                buffer.add(format!("{{\"columns\":{columns},\n\"rows\":[\n").as_bytes());
                rows::Format::JsonElements
            }
            Format::Ndjson => rows::Format::JsonLines,
            Format::Csv => rows::Format::Csv,
            Format::Arrow => rows::Format::Arrow,
            Format::Parquet => rows::Format::Parquet,
        };
        let sink = Sink(Arc::clone(&buffer));
        let rows = RowWriter::new(form, schema, Destination::Program, sink).map_err(unwritten)?;
        Ok(Self { format, rows, buffer })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.rows.write(batch).map_err(unwritten)
    }

    pub(super) fn finish(
        mut self,
        receipt: &Receipt,
        statement: Option<&Statement>,
    ) -> Result<(), QueryError> {
        let receipt = receipt_text(receipt, RECEIPT_BYTES_MAX);
        self.rows.note(RECEIPT_KEY, &receipt);
        let statement = statement.map(|one| rows::ascii_json(&json!(one).to_string()));
        if let Some(statement) = &statement {
            self.rows.note(STATEMENT_KEY, statement);
        }
        let beside = statement.map_or_else(String::new, |one| format!(",\"statement\":{one}"));
        let (format, buffer) = (self.format, self.buffer);
        self.rows.finish().map_err(unwritten)?;
        match format {
            Format::Json => {
                buffer.add(format!("\n],\n\"receipt\":{receipt}{beside}}}\n").as_bytes())
            }
            Format::Ndjson => {
                buffer.add(format!("{{\"receipt\":{receipt}{beside}}}\n").as_bytes());
            }
            Format::Csv | Format::Arrow | Format::Parquet => {}
        }
        Ok(())
    }
}

fn unwritten(error: RowsError) -> QueryError {
    QueryError::new(Code::Execution, error.to_string())
}

/// What a column holds, in words that do not depend on the engine.
fn type_name(kind: &DataType) -> String {
    let name = match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Boolean => "boolean",
        DataType::Timestamp(_, Some(_)) => "timestamp",
        DataType::Timestamp(_, None) => "local_timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Null => "null",
        DataType::Struct(_) => "struct",
        DataType::Map(..) => "map",
        DataType::Dictionary(_, values) => return type_name(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("list of {}", type_name(item.data_type()));
        }
        kind if kind.is_integer() => "integer",
        kind if kind.is_floating() => "double",
        kind if kind.is_numeric() => "decimal",
        _ => "other",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    #[test]
    fn types_have_names_of_their_own() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (kind, name) in [
            (DataType::Utf8View, "text"),
            (DataType::UInt64, "integer"),
            (DataType::Float64, "double"),
            (DataType::Decimal128(10, 2), "decimal"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp"),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "local_timestamp"),
            (DataType::Date32, "date"),
            (list, "list of text"),
            (words, "text"),
            (DataType::Null, "null"),
        ] {
            assert_eq!(type_name(&kind), name, "{kind}");
        }
    }
}
