//! Row roots from decoded rows: slow, obvious, and the judge of the fast way in `encode`.
//!
//! Verification, proofs and tests go this way: from the columns of a file, one row at a time.
//! What the bytes are is in `common::row` and `docs/format.md` 20.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use common::Sha256Digest;
use common::row::{self, Group, RowKey, SALT_BYTES, Salts};
use common::schema::{COLUMNS, Column, ColumnType, column_index};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use tlog::Hash;
use tlog::tree::Tree;

use crate::error::ArchiveError;

/// Footer key that holds a segment's row key.
pub const ROW_KEY: &str = "meshledger.row_key";

/// One row as it is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CanonicalRow {
    /// Fields of the shared group.
    pub shared: Vec<u8>,
    /// Fields of the own group.
    pub own: Vec<u8>,
}

impl CanonicalRow {
    /// The row's leaf, with the salt of its place in its segment.
    pub fn leaf(&self, salt: [u8; SALT_BYTES]) -> Hash {
        row::leaf(salt, Sha256Digest::of(&self.shared), &self.own)
    }
}

/// The rows of one batch, as they are hashed.
///
/// Columns count by their names, whatever their order; a column that is not there is NULL in
/// every row, as one is that came into the format later.
#[derive(Debug, Clone)]
pub struct CanonicalRows {
    /// The columns that are hashed, by their index in [`COLUMNS`], in ascending order.
    columns: Vec<(usize, Group, ArrayRef)>,
    rows: usize,
}

impl CanonicalRows {
    /// The rows of a batch.
    ///
    /// # Errors
    /// If a column is not of the table, stands twice, or has another type.
    pub fn of(batch: &RecordBatch) -> Result<Self, ArchiveError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let Some(index) = column_index(field.name()) else {
                return Err(wrong(field.name(), "a column of mesh_events", "another"));
            };
            check_type(&COLUMNS[index], array.data_type())?;
            if let Some(group) = row::group(index) {
                columns.push((index, group, array.clone()));
            }
        }
        columns.sort_by_key(|(index, ..)| *index);
        if let Some(twice) = columns.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(wrong(COLUMNS[twice[0].0].name, "each column once", "two"));
        }
        Ok(Self { columns, rows: batch.num_rows() })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One row, counting from 0 in the batch; `None` behind the last.
    pub fn row(&self, row: usize) -> Option<CanonicalRow> {
        if row >= self.rows {
            return None;
        }
        let mut canonical = CanonicalRow::default();
        for (index, group, array) in &self.columns {
            if array.is_null(row) {
                continue;
            }
            let bytes = match group {
                Group::Shared => &mut canonical.shared,
                Group::Own => &mut canonical.own,
            };
            push_value(bytes, *index, array, row);
        }
        Some(canonical)
    }
}

/// Appends one value that is not NULL; `check_type` has seen its column.
fn push_value(bytes: &mut Vec<u8>, index: usize, array: &dyn Array, row: usize) {
    match COLUMNS[index].kind {
        ColumnType::Utf8 => {
            let text = match array.as_string_view_opt() {
                Some(texts) => texts.value(row),
                None => array.as_string::<i32>().value(row),
            };
            row::push_text(bytes, index, text.as_bytes());
        }
        ColumnType::Int32 => {
            let number = array.as_primitive::<Int32Type>().value(row);
            row::push_number(bytes, index, number.into());
        }
        ColumnType::Int64 => {
            row::push_number(bytes, index, array.as_primitive::<Int64Type>().value(row));
        }
        ColumnType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            row::push_number(bytes, index, micros);
        }
        ColumnType::Boolean => row::push_bool(bytes, index, array.as_boolean().value(row)),
        ColumnType::ListUtf8 => {
            let items = array.as_list::<i32>().value(row);
            let views = items.as_string_view_opt().into_iter().flat_map(|items| items.iter());
            let texts = items.as_string_opt::<i32>().into_iter().flat_map(|items| items.iter());
            let items = views.chain(texts).flatten().map(str::as_bytes);
            row::push_list(bytes, index, items);
        }
    }
}

/// Refuses a column that does not have the type of the table, or a list with NULL in it: nothing
/// may be left out of the hash unseen.
fn check_type(column: &Column, found: &DataType) -> Result<(), ArchiveError> {
    let fits = match (column.kind, found) {
        (ColumnType::Utf8, DataType::Utf8 | DataType::Utf8View)
        | (ColumnType::Int32, DataType::Int32)
        | (ColumnType::Int64, DataType::Int64)
        | (ColumnType::Boolean, DataType::Boolean)
        | (ColumnType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
        (ColumnType::ListUtf8, DataType::List(item)) => {
            matches!(item.data_type(), DataType::Utf8 | DataType::Utf8View) && !item.is_nullable()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(wrong(column.name, &format!("the type {}", column.kind.arrow()), &found.to_string()))
}

fn wrong(place: &str, expected: &str, found: &str) -> ArchiveError {
    let message = format!("column {place}: expected {expected}, found {found}");
    ParquetError::General(message).into()
}

/// Hashes the rows of a segment in the order of `segment_row`, batch by batch. It keeps no rows.
#[derive(Debug)]
pub struct RowHasher {
    salts: Salts,
    tree: Tree,
}

impl RowHasher {
    /// A hasher that has seen no row.
    pub fn new(key: RowKey) -> Self {
        Self { salts: Salts::new(key), tree: Tree::default() }
    }

    /// Adds the next rows, and says what their leaves are.
    ///
    /// # Errors
    /// As of [`CanonicalRows::of`].
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<Hash>, ArchiveError> {
        let rows = CanonicalRows::of(batch)?;
        let leaves = (0..rows.len()).filter_map(|row| rows.row(row));
        let leaves: Vec<Hash> = leaves.map(|row| row.leaf(self.salts.next_salt())).collect();
        self.tree.extend(leaves.iter().copied());
        Ok(leaves)
    }

    /// How many rows were added.
    pub const fn rows(&self) -> u64 {
        self.tree.size()
    }

    /// The row root of the rows added so far.
    pub fn root(&self) -> Sha256Digest {
        Sha256Digest::from_bytes(*self.tree.root().as_bytes())
    }
}

/// The row root of a file, by its rows and the key in its footer.
///
/// # Errors
/// If the file can not be decoded, has columns of another table, or no row key.
pub fn row_root(file: Bytes) -> Result<Sha256Digest, ArchiveError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mut hasher =
        RowHasher::new(row_key(reader.metadata().file_metadata().key_value_metadata())?);
    for batch in reader.build()? {
        let _ = hasher.push(&batch?)?;
    }
    Ok(hasher.root())
}

/// The row key in a footer's key-value metadata.
///
/// # Errors
/// If it is missing, stands twice or is not a key. The error does not show it.
pub fn row_key(metadata: Option<&Vec<KeyValue>>) -> Result<RowKey, ArchiveError> {
    let pairs = metadata.into_iter().flatten().filter(|pair| pair.key == ROW_KEY);
    let values: Vec<Option<&str>> = pairs.map(|pair| pair.value.as_deref()).collect();
    match values[..] {
        [Some(text)] => Ok(text.parse()?),
        _ => {
            let message = format!("footer: expected {ROW_KEY} once, found {}", values.len());
            Err(ParquetError::General(message).into())
        }
    }
}

#[cfg(test)]
mod tests;
