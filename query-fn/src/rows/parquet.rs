//! A Parquet file, written as it grows: a row group waits in memory, no more.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;

use super::json::unique_names;
use super::{RowsError, Views, written_columns, written_schema};

pub(super) struct ParquetWriter<W: Write + Send> {
    schema: SchemaRef,
    file: ArrowWriter<W>,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn new(schema: &SchemaRef, sink: W) -> Result<Self, RowsError> {
        // Readers find a column by its name.
        let names = unique_names(schema).into_iter();
        let written = written_schema(schema, Views::Copy);
        let fields = written.fields().iter().zip(names);
        let fields = fields.map(|(field, name)| Field::clone(field).with_name(name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(format!("meshledger {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))?;
        Ok(Self { schema, file })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        let columns = written_columns(batch, Views::Copy)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = SchemaRef::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.file.write(&batch)?;
        if self.file.memory_size() >= GROUP_BYTES {
            self.file.flush()?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, key: &str, text: &str) {
        self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), text.to_owned()));
    }

    pub(super) fn finish(self) -> Result<W, RowsError> {
        Ok(self.file.into_inner()?)
    }
}

/// Most rows of a row group.
const GROUP_ROWS: usize = 128 * 1024;

/// Memory at which a row group is written.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
