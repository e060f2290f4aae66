//! Rows of `mesh_events` being filled: one growing buffer a column, no allocation a field.
//!
//! A column is untouched until the first non-null value: a record touches about forty of more
//! than a hundred columns, and must not pay for the others.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use common::ids::SegmentId;
use common::schema::{COLUMNS, ColumnType, SCHEMA_VERSION, file_schema};

use crate::error::IngestError;
use crate::parse::fields;

/// Which rows are valid. Nothing is kept until the first null, since most columns that a record
/// fills are filled by every record.
#[derive(Debug, Default)]
struct Valid {
    rows: usize,
    bits: Vec<bool>,
}

impl Valid {
    #[inline]
    fn one(&mut self) {
        self.rows += 1;
        if !self.bits.is_empty() {
            self.bits.push(true);
        }
    }

    fn nulls(&mut self, count: usize) {
        self.bits.resize(self.rows, true);
        self.rows += count;
        self.bits.resize(self.rows, false);
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let bits = std::mem::take(&mut self.bits);
        (!bits.is_empty()).then(|| NullBuffer::new(BooleanBuffer::from(bits)))
    }
}

/// Text, as Arrow keeps it: bytes, ends of the values, which are valid.
#[derive(Debug)]
pub struct TextColumn {
    data: Vec<u8>,
    ends: Vec<i32>,
    valid: Valid,
}

impl Default for TextColumn {
    fn default() -> Self {
        Self { data: Vec::new(), ends: vec![0], valid: Valid::default() }
    }
}

impl TextColumn {
    fn rows(&self) -> usize {
        self.ends.len() - 1
    }

    fn end(&self) -> i32 {
        // A batch holds less than a part of 64 MiB, or one record of 16 MiB, far below 2^31.
        i32::try_from(self.data.len()).unwrap_or(i32::MAX)
    }

    fn pad(&mut self, row: usize) {
        let missing = row.saturating_sub(self.rows());
        if missing > 0 {
            self.ends.resize(self.ends.len() + missing, self.end());
            self.valid.nulls(missing);
        }
    }

    /// Sets the value of `row`, which must be the last row or a new one.
    pub fn set(&mut self, row: usize, value: &[u8]) {
        self.pad(row);
        self.data.extend_from_slice(value);
        self.ends.push(self.end());
        self.valid.one();
    }

    fn finish(&mut self, rows: usize) -> Result<StringArray, IngestError> {
        self.pad(rows);
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let data = std::mem::take(&mut self.data);
        // Capacity of the next batch: about what this one took.
        self.data.reserve(data.len());
        self.ends.reserve(rows);
        let nulls = self.valid.finish();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(StringArray::try_new(offsets, Buffer::from_vec(data), nulls)?)
    }
}

/// Numbers: values and which are valid.
#[derive(Debug)]
pub struct NumberColumn<T> {
    values: Vec<T>,
    valid: Valid,
}

impl<T> Default for NumberColumn<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: Valid::default() }
    }
}

impl<T: Copy + Default> NumberColumn<T> {
    fn pad(&mut self, row: usize) {
        let missing = row.saturating_sub(self.values.len());
        if missing > 0 {
            self.values.resize(row, T::default());
            self.valid.nulls(missing);
        }
    }

    /// Sets the value of `row`, which must be the last row or a new one.
    pub fn set(&mut self, row: usize, value: T) {
        self.pad(row);
        self.values.push(value);
        self.valid.one();
    }
}

/// Lists of text.
#[derive(Debug)]
pub struct ListColumn {
    items: TextColumn,
    ends: Vec<i32>,
    valid: Valid,
}

impl Default for ListColumn {
    fn default() -> Self {
        Self { items: TextColumn::default(), ends: vec![0], valid: Valid::default() }
    }
}

impl ListColumn {
    fn end(&self) -> i32 {
        i32::try_from(self.items.rows()).unwrap_or(i32::MAX)
    }

    fn pad(&mut self, row: usize) {
        let missing = row.saturating_sub(self.ends.len() - 1);
        if missing > 0 {
            self.ends.resize(self.ends.len() + missing, self.end());
            self.valid.nulls(missing);
        }
    }

    /// Sets the list of `row`.
    pub fn set<'a>(&mut self, row: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        self.pad(row);
        for item in items {
            let at = self.items.rows();
            self.items.set(at, item);
        }
        self.ends.push(self.end());
        self.valid.one();
    }

    fn finish(&mut self, rows: usize) -> Result<ListArray, IngestError> {
        self.pad(rows);
        let DataType::List(field) = ColumnType::ListUtf8.arrow() else {
            return Err(IngestError::Columns(arrow::error::ArrowError::SchemaError(
                "expected a list type for a list column".to_owned(),
            )));
        };
        let count = self.items.rows();
        let items = Arc::new(self.items.finish(count)?);
        let ends =
            OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.ends, vec![0])));
        Ok(ListArray::try_new(field, ends, items, self.valid.finish())?)
    }
}

enum Values {
    Text(TextColumn),
    Int32(NumberColumn<i32>),
    Int64(NumberColumn<i64>),
    Time(NumberColumn<i64>),
    Bool(NumberColumn<bool>),
    List(ListColumn),
}

/// Rows being filled. A column is named by its index in [`COLUMNS`]; the constants of
/// [`crate::parse::fields`] are such indexes, checked by a test.
pub struct EventColumns {
    columns: Vec<(Values, bool)>,
    rows: usize,
}

impl std::fmt::Debug for EventColumns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventColumns").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Default for EventColumns {
    fn default() -> Self {
        Self::new()
    }
}

impl EventColumns {
    /// No rows.
    pub fn new() -> Self {
        let columns = COLUMNS.iter().map(|column| {
            let values = match column.kind {
                ColumnType::Utf8 => Values::Text(TextColumn::default()),
                ColumnType::Int32 => Values::Int32(NumberColumn::default()),
                ColumnType::Int64 => Values::Int64(NumberColumn::default()),
                ColumnType::Timestamp => Values::Time(NumberColumn::default()),
                ColumnType::Boolean => Values::Bool(NumberColumn::default()),
                ColumnType::ListUtf8 => Values::List(ListColumn::default()),
            };
            (values, false)
        });
        Self { columns: columns.collect(), rows: 0 }
    }

    /// Finished rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Ends the row in hand; columns not set are NULL in it.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Sets a text column of the row in hand. Each column is set at most once a row.
    pub fn text(&mut self, column: usize, value: &[u8]) {
        let row = self.rows;
        if let (Values::Text(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, value);
        }
    }

    /// Sets a 32-bit column of the row in hand.
    pub fn int32(&mut self, column: usize, value: i32) {
        let row = self.rows;
        if let (Values::Int32(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, value);
        }
    }

    /// Sets a 64-bit column of the row in hand.
    pub fn int64(&mut self, column: usize, value: i64) {
        let row = self.rows;
        if let (Values::Int64(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, value);
        }
    }

    /// Sets a timestamp column (microseconds) of the row in hand.
    pub fn time(&mut self, column: usize, micros: i64) {
        let row = self.rows;
        if let (Values::Time(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, micros);
        }
    }

    /// Sets a boolean column of the row in hand.
    pub fn bool(&mut self, column: usize, value: bool) {
        let row = self.rows;
        if let (Values::Bool(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, value);
        }
    }

    /// Sets a list column of the row in hand.
    pub fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        let row = self.rows;
        if let (Values::List(values), used) = &mut self.columns[column] {
            *used = true;
            values.set(row, items);
        }
    }

    /// Takes the rows as a batch of [`file_schema`] and starts over. `first_row` is the first
    /// row's place in the segment.
    ///
    /// # Errors
    /// If a required column was not set in some row, a defect of a parser.
    pub fn take_batch(
        &mut self,
        segment: SegmentId,
        first_row: u64,
        values: &DeliveryValues<'_>,
    ) -> Result<RecordBatch, IngestError> {
        let rows = std::mem::take(&mut self.rows);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(COLUMNS.len());
        let segment = segment.to_string();
        for (index, ((values_of, used), column)) in self.columns.iter_mut().zip(COLUMNS).enumerate()
        {
            let used = std::mem::take(used);
            let constant = values.column(index, &segment, first_row, rows);
            arrays.push(match constant {
                Some(array) => array,
                None if used => finish(values_of, rows)?,
                None => new_null_array(&column.kind.arrow(), rows),
            });
        }
        Ok(RecordBatch::try_new(file_schema(), arrays)?)
    }
}

/// Values that all rows of a delivery share.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryValues<'a> {
    /// When the delivery was received.
    pub ingest_time_micros: i64,
    /// The configured cluster.
    pub cluster: Option<&'a str>,
    /// How it came.
    pub transport: &'a str,
    /// Where in the transport.
    pub transport_ref: Option<&'a str>,
}

impl DeliveryValues<'_> {
    /// The column at `index` if it is one of these, or says where the rows lie.
    fn column(&self, index: usize, segment: &str, first: u64, rows: usize) -> Option<ArrayRef> {
        let text = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
        };
        Some(match index {
            fields::SEGMENT => text(segment),
            fields::SEGMENT_ROW => {
                let first = i64::try_from(first).unwrap_or(i64::MAX);
                Arc::new(Int64Array::from_iter_values((first..).take(rows)))
            }
            fields::INGEST_TIME => Arc::new(
                TimestampMicrosecondArray::from_value(self.ingest_time_micros, rows)
                    .with_timezone("UTC"),
            ),
            fields::K8S_CLUSTER => text(self.cluster?),
            fields::TRANSPORT => text(self.transport),
            fields::TRANSPORT_REF => text(self.transport_ref?),
            fields::SCHEMA_VERSION => Arc::new(Int32Array::from_value(SCHEMA_VERSION, rows)),
            _ => return None,
        })
    }
}

fn finish(values: &mut Values, rows: usize) -> Result<ArrayRef, IngestError> {
    fn parts<T: Copy + Default>(
        column: &mut NumberColumn<T>,
        rows: usize,
    ) -> (Vec<T>, Option<NullBuffer>) {
        column.pad(rows);
        let next = Vec::with_capacity(rows);
        (std::mem::replace(&mut column.values, next), column.valid.finish())
    }
    Ok(match values {
        Values::Text(column) => Arc::new(column.finish(rows)?),
        Values::List(column) => Arc::new(column.finish(rows)?),
        Values::Int32(column) => {
            let (values, nulls) = parts(column, rows);
            Arc::new(Int32Array::try_new(values.into(), nulls)?)
        }
        Values::Int64(column) => {
            let (values, nulls) = parts(column, rows);
            Arc::new(Int64Array::try_new(values.into(), nulls)?)
        }
        Values::Time(column) => {
            let (values, nulls) = parts(column, rows);
            let array = TimestampMicrosecondArray::try_new(values.into(), nulls)?;
            Arc::new(array.with_timezone("UTC"))
        }
        Values::Bool(column) => {
            let (values, nulls) = parts(column, rows);
            Arc::new(BooleanArray::new(values.into(), nulls))
        }
    })
}
