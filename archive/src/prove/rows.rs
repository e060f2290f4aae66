//! The rows of a sealed file, as their proofs need them: every leaf, and the rows asked for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::Sha256Digest;
use common::manifest::FileEntry;
use common::row::{RowKey, SALT_BYTES, Salts};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tlog::tile::Whole;

use super::ProveError;
use crate::background;
use crate::error::ArchiveError;
use crate::rows::{CanonicalRow, CanonicalRows, row_key};
use crate::store::Store;

/// Rows decoded at a time: one may have megabytes.
const BATCH_ROWS: usize = 1024;

/// A segment's tree, and some of its rows.
pub(super) struct SealedRows {
    pub(super) tree: Whole,
    key: RowKey,
    rows: BTreeMap<u64, CanonicalRow>,
}

impl SealedRows {
    /// A row that was asked for, with its salt.
    pub(super) fn row(&self, row: u64) -> Result<([u8; SALT_BYTES], CanonicalRow), ProveError> {
        let canonical = self.rows.get(&row).cloned().ok_or_else(|| ProveError::NotThere {
            what: format!("row {row}"),
            size: self.tree.size(),
            hint: "the file has fewer rows",
        })?;
        Ok((Salts::from_row(self.key, row).next_salt(), canonical))
    }
}

/// Reads a file, checks that it is the sealed one, and hashes its rows.
pub(super) async fn read(
    store: &Store,
    file: &FileEntry,
    wanted: BTreeSet<u64>,
) -> Result<SealedRows, ArchiveError> {
    let object = store.object_url(&file.path);
    let wrong = |expected: String, found: String| ArchiveError::Ledger {
        object: store.object_url(&file.path),
        expected,
        found,
    };
    let Some(bytes) = store.get_bounded(&file.path, file.bytes).await? else {
        return Err(ArchiveError::Missing { object, expected: "a sealed file".to_owned() });
    };
    let (expected, root) = (file.sha256, file.row_root);
    let hashed = background::run(&object, move || {
        let found = Sha256Digest::of(&bytes);
        if found == expected { hash(bytes, &wanted).map(Ok) } else { Ok(Err(found)) }
    });
    let sealed = match hashed.await?? {
        Ok(sealed) => sealed,
        Err(found) => return Err(wrong(format!("SHA-256 {expected}"), format!("{found}"))),
    };
    let found = sealed.tree.root_at(sealed.tree.size());
    if found.is_some_and(|found| found.as_bytes() == root.as_bytes()) {
        return Ok(sealed);
    }
    let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
    Err(wrong(format!("row root {root}"), format!("{found} (base64)")))
}

fn hash(bytes: Bytes, wanted: &BTreeSet<u64>) -> Result<SealedRows, ArchiveError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let key = row_key(builder.metadata().file_metadata().key_value_metadata())?;
    let (mut salts, mut leaves, mut rows) = (Salts::new(key), Vec::new(), BTreeMap::new());
    for batch in builder.with_batch_size(BATCH_ROWS).build()? {
        let batch = CanonicalRows::of(&batch?)?;
        for canonical in (0..batch.len()).filter_map(|row| batch.row(row)) {
            let row = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
            leaves.push(canonical.leaf(salts.next_salt()));
            if wanted.contains(&row) {
                let _ = rows.insert(row, canonical);
            }
        }
    }
    Ok(SealedRows { tree: Whole::new(leaves), key, rows })
}
