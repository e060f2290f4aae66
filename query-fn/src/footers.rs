//! What is known of Parquet files, kept between queries: footers and page indexes.
//!
//! A file's name is its digest, so what a fresh query learnt of it stays true. A strict query
//! trusts no name: it may use only what a strict query learnt of the very version that was
//! sealed, and where the store keeps no versions it learns each footer again.

use std::fmt;
use std::sync::Arc;

use archive::snapshot::{Mode, Snapshot};
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, DefaultParquetFileReaderFactory,
};
use datafusion::execution::cache::cache_manager::CachedFileMetadataEntry;
use datafusion::execution::cache::default_cache::DefaultCache;
use object_store::ObjectStore;
use object_store::path::Path;

/// What opens the files of one query.
pub(crate) type Readers = Arc<dyn ParquetFileReaderFactory>;

type Known = DefaultCache<Path, CachedFileMetadataEntry>;

/// What is known, by mode. The least recently used goes first.
pub(crate) struct Footers {
    fresh: Arc<Known>,
    strict: Arc<Known>,
}

impl Footers {
    /// At most so many bytes, half of them for each mode.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let known = || Arc::new(Known::new(bytes_max / 2));
        Self { fresh: known(), strict: known() }
    }

    /// Bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.fresh.memory_used().saturating_add(self.strict.memory_used())
    }

    /// What opens the files of a snapshot. Files that are hashed for each query are read whole
    /// anyway.
    pub(crate) fn readers(
        &self,
        snapshot: &Snapshot,
        files_hashed: bool,
        store: &Arc<dyn ObjectStore>,
    ) -> Readers {
        let store = Arc::clone(store);
        let known = match snapshot.mode {
            Mode::Fresh => &self.fresh,
            Mode::Strict if !files_hashed && has_versions(snapshot) => &self.strict,
            Mode::Strict => return Arc::new(DefaultParquetFileReaderFactory::new(store)),
        };
        let known = Arc::clone(known);
        Arc::new(CachedParquetFileReaderFactory::new(store, known))
    }
}

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Footers({} bytes)", self.bytes())
    }
}

/// Whether each file is read at the version that was sealed.
fn has_versions(snapshot: &Snapshot) -> bool {
    snapshot.files.iter().all(|file| file.entry.version.is_some())
        && snapshot.quarantine.iter().all(|file| file.entry.version.is_some())
}
