//! The digest of an answer: one value for all its rows (docs/receipts.md 3).
//!
//! Each row is encoded by its values alone, so that neither batches nor the kinds of arrays they
//! come in matter, and hashed as a leaf of RFC 6962. The digest is the root of the tree over these
//! leaves: in the order of the rows where the query orders them, else in the order of the hashes.
//!
//! Why sorted hashes, and no sum of them: docs/decisions/0014.

mod encode;

use archive::sorted::Sorter;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use common::Sha256Digest;
use tlog::Hash;
use tlog::tree::Tree;

use self::encode::Rows;
pub(crate) use self::encode::type_name;
use crate::error::{Code, QueryError};

/// Takes the rows of an answer. It keeps 32 bytes a row where their order is free, most of them
/// in temporary files, and next to nothing where it is not.
#[derive(Debug)]
pub(crate) struct RowsDigest {
    leaves: Leaves,
    rows: u64,
    /// Encoded rows that are not hashed yet, each after a zero byte.
    waiting: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

#[derive(Debug)]
enum Leaves {
    InOrder(Tree),
    Sorted(Sorter<32>),
}

impl RowsDigest {
    /// For an answer with these columns.
    ///
    /// # Errors
    /// If a column is of a type that has no encoding.
    pub(crate) fn new(schema: &Schema, is_ordered: bool) -> Result<Self, QueryError> {
        for field in schema.fields() {
            if type_name(field.data_type()).is_none() {
                let (name, kind) = (field.name(), field.data_type());
                let text = format!(
                    "the answer can have no digest: column {name} is of type {kind}; cast it or \
                     leave it out"
                );
                return Err(QueryError::new(Code::Refused, text));
            }
        }
        let leaves = match is_ordered {
            true => Leaves::InOrder(Tree::default()),
            false => Leaves::Sorted(Sorter::default()),
        };
        Ok(Self { leaves, rows: 0, waiting: Vec::new(), ends: Vec::new() })
    }

    /// Takes the next rows.
    ///
    /// # Errors
    /// If a temporary file can not be written.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let rows = Rows::of(batch)
            .map_err(|e| QueryError::new(Code::Execution, format!("a value has no digest: {e}")))?;
        for row in 0..batch.num_rows() {
            self.waiting.push(0);
            rows.push(row, &mut self.waiting);
            self.ends.push(self.waiting.len());
            if self.waiting.len() >= WAITING_BYTES_MAX {
                self.hash_waiting()?;
            }
        }
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(0);
        self.hash_waiting()
    }

    /// The digest of all rows.
    ///
    /// # Errors
    /// If a temporary file can not be read.
    pub(crate) fn finish(self) -> Result<Digested, QueryError> {
        let is_ordered = matches!(self.leaves, Leaves::InOrder(_));
        let tree = match self.leaves {
            Leaves::InOrder(tree) => tree,
            Leaves::Sorted(sorter) => {
                let (mut sorted, mut tree) = (sorter.sorted(), Tree::default());
                let mut leaves = sorted.read()?;
                while let Some(leaf) = leaves.next()? {
                    tree.push(Hash::from_bytes(leaf));
                }
                tree
            }
        };
        let root = Sha256Digest::from_bytes(*tree.root().as_bytes());
        Ok(Digested { rows: self.rows, is_ordered, root })
    }

    fn hash_waiting(&mut self) -> Result<(), QueryError> {
        let mut begin = 0;
        let mut messages = Vec::with_capacity(self.ends.len());
        for end in self.ends.drain(..) {
            messages.push(self.waiting.get(begin..end).unwrap_or_default());
            begin = end;
        }
        for leaf in Sha256Digest::of_many(&messages) {
            match &mut self.leaves {
                Leaves::InOrder(tree) => tree.push(Hash::from_bytes(*leaf.as_bytes())),
                Leaves::Sorted(sorter) => sorter.push(*leaf.as_bytes())?,
            }
        }
        self.waiting.clear();
        Ok(())
    }
}

/// What is said of all rows of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digested {
    /// How many.
    pub rows: u64,
    /// Whether their order counts.
    pub is_ordered: bool,
    /// The digest of docs/receipts.md 3.
    pub root: Sha256Digest,
}

/// Encoded rows kept before they are hashed together, in bytes; one may be longer.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
