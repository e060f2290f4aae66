//! Batches as text or Arrow, written one by one into any sink.
//!
//! Values come from logs, so from whoever could make a proxy log something. A table is made for
//! terminals: control characters and invisible ones are escaped in it, and long cells are cut.
//! JSON escapes them too, without loss. CSV and Arrow carry values as they are, unless the CSV is
//! for a terminal.

mod arrow_ipc;
mod csv;
mod hazard;
mod json;
mod parquet;
mod table;
mod text;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use datafusion::parquet::errors::ParquetError;
use thiserror::Error;

pub use hazard::is_hazard;
pub(crate) use hazard::{ascii_json, escape_json};
pub(crate) use json::unique_names;

/// A form an answer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// One JSON object a line; NULL is `null`, lists are arrays.
    JsonLines,
    /// The same objects as the elements of an array, whose brackets are left to the caller.
    JsonElements,
    /// RFC 4180 with a header and plain newlines; NULL is nothing, an empty text is `""`, lists are JSON.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// The forms of the command line with their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("table", Self::Table),
        ("json", Self::JsonLines),
        ("csv", Self::Csv),
        ("arrow", Self::Arrow),
    ];

    /// The form with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// Who gets the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A file or a program: values exactly as they are, as far as the form allows.
    Program,
    /// A terminal: what could drive it is escaped in every form but Arrow, which is no text.
    Terminal,
}

/// Why rows could not be written.
#[derive(Debug, Error)]
pub enum RowsError {
    /// The sink failed; a closed pipe has the kind `BrokenPipe`.
    #[error("could not write the answer: {0}")]
    Io(#[from] std::io::Error),
    /// A value has no such form.
    #[error("could not write a value of the answer: {0}")]
    Value(#[from] ArrowError),
    /// A value has no place in a Parquet file.
    #[error(
        "could not write the answer as Parquet: {0}; cast the column, or ask for another format"
    )]
    Parquet(#[from] ParquetError),
}

/// Writes an answer's batches in one form.
pub struct RowWriter<W: Write + Send> {
    form: Form<W>,
    rows: u64,
}

enum Form<W: Write + Send> {
    Table(table::TableWriter<W>),
    Json(json::JsonWriter<W>),
    Csv(csv::CsvWriter<W>),
    Arrow(arrow_ipc::IpcWriter<W>),
    // It is ten times as long as the others.
    Parquet(Box<parquet::ParquetWriter<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// Starts an answer with these columns.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn new(
        format: Format,
        schema: &SchemaRef,
        destination: Destination,
        sink: W,
    ) -> Result<Self, RowsError> {
        let form = match format {
            Format::Table => Form::Table(table::TableWriter::new(schema, sink)),
            Format::JsonLines => Form::Json(json::JsonWriter::new(schema, sink, false)),
            Format::JsonElements => Form::Json(json::JsonWriter::new(schema, sink, true)),
            Format::Csv => Form::Csv(csv::CsvWriter::new(schema, destination, sink)?),
            Format::Arrow => Form::Arrow(arrow_ipc::IpcWriter::new(schema, sink)?),
            Format::Parquet => Form::Parquet(Box::new(parquet::ParquetWriter::new(schema, sink)?)),
        };
        Ok(Self { form, rows: 0 })
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// If the sink fails or a value has no such form.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        self.rows = self.rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(0));
        match &mut self.form {
            Form::Table(writer) => writer.write(batch),
            Form::Json(writer) => writer.write(batch),
            Form::Csv(writer) => writer.write(batch),
            Form::Arrow(writer) => writer.write(batch),
            Form::Parquet(writer) => writer.write(batch),
        }
    }

    /// Adds a note on the answer, if the form has a place for one behind the rows: a Parquet file
    /// has it in its metadata.
    pub fn note(&mut self, key: &str, text: &str) {
        if let Form::Parquet(writer) = &mut self.form {
            writer.note(key, text);
        }
    }

    /// Writes what is left and says how many rows there were. An answer that failed is not
    /// finished: drop the writer instead.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn finish(self) -> Result<u64, RowsError> {
        let mut sink = match self.form {
            Form::Table(writer) => writer.finish()?,
            Form::Json(writer) => writer.finish(),
            Form::Csv(writer) => writer.finish(),
            Form::Arrow(writer) => writer.finish()?,
            Form::Parquet(writer) => writer.finish()?,
        };
        sink.flush()?;
        Ok(self.rows)
    }
}

/// Whether text and bytes may stay views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Views {
    Keep,
    /// As plain arrays: more readers know them, and a view of few rows can hold on to the bytes
    /// of many.
    Copy,
}

/// The type a value is written as: moments with a zone in UTC and microseconds.
fn written_type(kind: &DataType, views: Views) -> DataType {
    let inner = |field: &FieldRef| -> FieldRef {
        let kind = written_type(field.data_type(), views);
        Arc::new(Field::clone(field).with_data_type(kind))
    };
    match kind {
        DataType::Timestamp(_, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::Utf8View if views == Views::Copy => DataType::Utf8,
        DataType::BinaryView if views == Views::Copy => DataType::Binary,
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

fn written_schema(schema: &SchemaRef, views: Views) -> SchemaRef {
    let field = |field: &FieldRef| {
        Field::new(field.name(), written_type(field.data_type(), views), field.is_nullable())
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

pub(crate) fn written_columns(
    batch: &RecordBatch,
    views: Views,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let written = |column: &ArrayRef| {
        let kind = written_type(column.data_type(), views);
        if kind == *column.data_type() {
            Ok(Arc::clone(column))
        } else {
            arrow::compute::cast(column, &kind)
        }
    };
    batch.columns().iter().map(written).collect()
}

#[cfg(test)]
mod tests;
