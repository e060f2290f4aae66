//! An Arrow IPC stream.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use super::{RowsError, Views, written_columns, written_schema};

pub(super) struct IpcWriter<W: Write> {
    schema: SchemaRef,
    stream: StreamWriter<W>,
}

impl<W: Write> IpcWriter<W> {
    pub(super) fn new(schema: &SchemaRef, sink: W) -> Result<Self, RowsError> {
        let schema = written_schema(schema, Views::Copy);
        let stream = StreamWriter::try_new(sink, &schema)?;
        Ok(Self { schema, stream })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        let columns = written_columns(batch, Views::Copy)?;
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch =
            RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)?;
        Ok(self.stream.write(&batch)?)
    }

    pub(super) fn finish(mut self) -> Result<W, RowsError> {
        self.stream.finish()?;
        Ok(self.stream.into_inner()?)
    }
}
