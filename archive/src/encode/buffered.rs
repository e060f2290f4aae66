//! Columns that the library encodes: numbers that grow, booleans and lists.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use common::schema::{COLUMNS, Column, ColumnType, column_index, file_schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::valid::Valid;

/// Text of lists buffered before it goes to the library, in bytes.
const TEXT_BYTES: usize = 1024 * 1024;

/// Values on their way to the library's writer of one column of one row group.
pub(super) struct Buffered {
    writer: ArrowColumnWriter,
    /// Rows handed to the writer.
    rows: usize,
    /// Rows waiting.
    valid: Valid,
    nulls: usize,
    values: Values,
}

impl std::fmt::Debug for Buffered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffered").field("rows", &self.rows).finish_non_exhaustive()
    }
}

enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    List(Text, Vec<i32>),
}

/// Text as Arrow keeps it: bytes, and where each value ends.
struct Text {
    data: Vec<u8>,
    ends: Vec<i32>,
}

impl Text {
    fn new() -> Self {
        Self { data: Vec::new(), ends: vec![0] }
    }

    fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.ends.push(self.end());
    }

    fn end(&self) -> i32 {
        // A buffer holds about a megabyte and one record, far below 2^31.
        i32::try_from(self.data.len()).unwrap_or(i32::MAX)
    }

    fn count(&self) -> i32 {
        i32::try_from(self.ends.len() - 1).unwrap_or(i32::MAX)
    }
}

/// For each column that may come here, what makes the library's writers for it.
static FACTORIES: LazyLock<HashMap<&'static str, ArrowRowGroupWriterFactory>> =
    LazyLock::new(|| {
        let properties = Arc::new(super::event_properties().build());
        let factory = |column: &Column| {
            let index = column_index(column.name)?;
            let schema = Arc::new(Schema::new(vec![file_schema().field(index).clone()]));
            let root = ArrowSchemaConverter::new().convert(&schema).ok()?.root_schema_ptr();
            // Nothing is ever written there; the library asks for a file to learn the schema.
            let file = SerializedFileWriter::new(std::io::sink(), root, Arc::clone(&properties));
            Some((column.name, ArrowRowGroupWriterFactory::new(&file.ok()?, schema)))
        };
        COLUMNS.iter().filter_map(factory).collect()
    });

impl Buffered {
    /// # Errors
    /// If the library has no writer for the column, a defect.
    pub(super) fn new(column: &Column) -> Result<Self, ParquetError> {
        let factory = FACTORIES.get(column.name).ok_or_else(|| {
            ParquetError::General(format!("column {}: no writer was prepared", column.name))
        })?;
        let writer = factory.create_column_writers(0)?.pop().ok_or_else(|| {
            ParquetError::General(format!("column {}: the library has no writer", column.name))
        })?;
        let values = match column.kind {
            ColumnType::Int32 => Values::Int32(Vec::new()),
            ColumnType::Int64 | ColumnType::Timestamp => Values::Int64(Vec::new()),
            ColumnType::Boolean => Values::Bool(Vec::new()),
            ColumnType::ListUtf8 => Values::List(Text::new(), vec![0]),
            ColumnType::Utf8 => {
                let message = format!("column {}: text is not the library's", column.name);
                return Err(ParquetError::General(message));
            }
        };
        Ok(Self { writer, rows: 0, valid: Valid::default(), nulls: 0, values })
    }

    /// About how much memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let text = |text: &Text| text.data.capacity() + text.ends.capacity() * size_of::<i32>();
        let values = match &self.values {
            Values::Int32(values) => values.capacity() * size_of::<i32>(),
            Values::Int64(values) => values.capacity() * size_of::<i64>(),
            Values::Bool(values) => values.capacity(),
            Values::List(items, ends) => text(items) + ends.capacity() * size_of::<i32>(),
        };
        values + self.writer.get_estimated_total_bytes()
    }

    /// Makes room for the value of `row`; `false` if it has one already.
    #[inline]
    fn open(&mut self, row: usize) -> bool {
        let Some(waiting) = row.checked_sub(self.rows) else { return false };
        let is_new = waiting >= self.valid.rows();
        if is_new {
            self.pad(waiting);
            self.valid.value();
        }
        is_new
    }

    fn pad(&mut self, waiting: usize) {
        let missing = waiting - self.valid.rows();
        if missing == 0 {
            return;
        }
        self.valid.pad(missing);
        match &mut self.values {
            Values::Int32(values) => values.resize(waiting, 0),
            Values::Int64(values) => values.resize(waiting, 0),
            Values::Bool(values) => values.resize(waiting, false),
            Values::List(items, ends) => ends.resize(waiting + 1, items.count()),
        }
    }

    pub(super) fn int32(&mut self, row: usize, value: i32) {
        if self.open(row)
            && let Values::Int32(values) = &mut self.values
        {
            values.push(value);
        }
    }

    /// Sets a 64-bit number, or a time in microseconds.
    pub(super) fn int64(&mut self, row: usize, value: i64) {
        if self.open(row)
            && let Values::Int64(values) = &mut self.values
        {
            values.push(value);
        }
    }

    /// Numbers the rows up to `row` that have no value yet; `first` is the number of the row
    /// group's first row.
    pub(super) fn number(&mut self, row: usize, first: u64) {
        for row in self.rows + self.valid.rows()..row {
            self.int64(row, i64::try_from(first + row as u64).unwrap_or(i64::MAX));
        }
    }

    /// Whether the values are booleans.
    pub(super) const fn is_bool(&self) -> bool {
        matches!(self.values, Values::Bool(_))
    }

    pub(super) fn bool(&mut self, row: usize, value: bool) {
        if self.open(row)
            && let Values::Bool(values) = &mut self.values
        {
            values.push(value);
        }
    }

    /// Sets the list of `row`; returns whether enough waits.
    pub(super) fn list<'a>(
        &mut self,
        row: usize,
        list: impl IntoIterator<Item = &'a [u8]>,
    ) -> bool {
        if self.open(row)
            && let Values::List(items, ends) = &mut self.values
        {
            for item in list {
                items.push(item);
            }
            ends.push(items.count());
            return items.data.len() >= TEXT_BYTES;
        }
        false
    }

    /// Hands the waiting rows, up to `row`, to the library.
    pub(super) fn flush(&mut self, row: usize, field: &Field) -> Result<(), ParquetError> {
        self.pad(row - self.rows);
        let waiting = self.valid.rows();
        if waiting == 0 {
            return Ok(());
        }
        let array = self.take(field).map_err(ParquetError::from)?;
        for leaf in compute_leaves(field, &array)? {
            self.writer.write(&leaf)?;
        }
        self.nulls += self.valid.nulls();
        self.rows += waiting;
        self.valid.clear();
        Ok(())
    }

    fn take(&mut self, field: &Field) -> Result<ArrayRef, ArrowError> {
        let nulls = self.valid.null_buffer();
        Ok(match &mut self.values {
            Values::Int32(values) => {
                Arc::new(Int32Array::try_new(std::mem::take(values).into(), nulls)?)
            }
            Values::Int64(values) => {
                let values: ScalarBuffer<i64> = std::mem::take(values).into();
                match field.data_type() {
                    DataType::Timestamp(_, zone) => Arc::new(
                        TimestampMicrosecondArray::try_new(values, nulls)?
                            .with_timezone_opt(zone.clone()),
                    ),
                    _ => Arc::new(Int64Array::try_new(values, nulls)?),
                }
            }
            Values::Bool(values) => {
                Arc::new(BooleanArray::new(std::mem::take(values).into(), nulls))
            }
            Values::List(items, ends) => {
                let DataType::List(item) = field.data_type() else {
                    let message = format!("column {}: expected a list type", field.name());
                    return Err(ArrowError::SchemaError(message));
                };
                let items = Arc::new(items.take()?);
                let ends = std::mem::replace(ends, vec![0]);
                let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(ListArray::try_new(Arc::clone(item), ends, items, nulls)?)
            }
        })
    }

    /// Rows without a value that were handed over.
    pub(super) const fn nulls(&self) -> usize {
        self.nulls
    }

    /// The column, everything being handed over.
    pub(super) fn close(self) -> Result<ArrowColumnChunk, ParquetError> {
        self.writer.close()
    }
}

impl Text {
    fn take(&mut self) -> Result<StringArray, ArrowError> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let data = std::mem::take(&mut self.data);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        // Values are checked once more here: a column must never hold what is not UTF-8.
        StringArray::try_new(offsets, Buffer::from_vec(data), None)
    }
}
