//! What is known of the ends of Parquet files, kept between queries: footers, page indexes, and
//! the bloom filters that were read.
//!
//! A file's name is its digest, so what a fresh query learnt of it stays true. A strict query
//! trusts no name: it may use only what a strict query learnt of the very version that was
//! sealed, and where the store keeps no versions it learns each end again.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use archive::snapshot::{Mode, Snapshot};
use bytes::Bytes;
use datafusion::common::HashMap;
use datafusion::execution::cache::Cache;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadata};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::parquet::file::metadata::ParquetMetaData;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use tokio::runtime::Handle;

use crate::fetch::Files;

/// What opens the files of one query.
pub(crate) type Readers = Arc<Files>;

/// The ends of some files, as queries of one mode know them. Both modes share the room.
#[derive(Clone)]
pub(crate) struct Known {
    cache: Arc<DefaultCache<Path, CachedFileMetadataEntry>>,
    mode: Mode,
}

/// What is known. The least recently used goes first, whoever learnt it.
pub(crate) struct Footers {
    fresh: Known,
    strict: Known,
    /// Of what one query learnt for itself alone.
    query_bytes_max: usize,
    /// Threads that look at ends before a scan.
    lookers: Handle,
}

/// What is known of the end of a file.
pub(crate) struct End {
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// Bloom filters that were read, by where they begin.
    blooms: BTreeMap<u64, Bytes>,
}

impl Footers {
    /// At most so many bytes.
    pub(crate) fn new(bytes_max: usize, lookers: Handle) -> Self {
        let query_bytes_max = QUERY_BYTES_MAX.min(bytes_max);
        let fresh = Known::new(bytes_max, Mode::Fresh);
        let strict = Known { mode: Mode::Strict, ..fresh.clone() };
        Self { fresh, strict, query_bytes_max, lookers }
    }

    /// Bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.fresh.cache.memory_used()
    }

    /// What opens the files of a snapshot. A strict query that may not use what others learnt
    /// remembers what it learnt itself: threads and scans come to the same file one after another.
    /// Files that are hashed for each query are read whole anyway, so nobody looks at those that are
    /// not going to be scanned.
    pub(crate) fn readers(
        &self,
        snapshot: &Snapshot,
        files_hashed: bool,
        store: &Arc<dyn ObjectStore>,
    ) -> Readers {
        let known = match snapshot.mode {
            Mode::Fresh => self.fresh.clone(),
            Mode::Strict if !files_hashed && has_versions(snapshot) => self.strict.clone(),
            Mode::Strict => Known::new(self.query_bytes_max, Mode::Strict),
        };
        let lookers = (!files_hashed).then(|| self.lookers.clone());
        Files::new(Arc::clone(store), known, lookers)
    }
}

impl Known {
    /// What queries of a mode know; at most so many bytes.
    pub(crate) fn new(bytes_max: usize, mode: Mode) -> Self {
        Self { cache: Arc::new(DefaultCache::new(bytes_max)), mode }
    }

    /// Where a file's end is kept. No file of an archive has a name that begins so.
    fn place(&self, path: &Path) -> Path {
        match self.mode {
            Mode::Fresh => path.clone(),
            Mode::Strict => Path::from_iter(std::iter::once("~strict".into()).chain(path.parts())),
        }
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

impl End {
    pub(crate) fn new(metadata: Arc<ParquetMetaData>) -> Self {
        Self { metadata, blooms: BTreeMap::new() }
    }

    /// The same with its page index.
    pub(crate) fn with_metadata(&self, metadata: ParquetMetaData) -> Self {
        Self { metadata: Arc::new(metadata), blooms: self.blooms.clone() }
    }

    /// The same, with more bloom filters.
    pub(crate) fn with_blooms(&self, more: impl IntoIterator<Item = (u64, Bytes)>) -> Self {
        let mut blooms = self.blooms.clone();
        blooms.extend(more);
        Self { metadata: Arc::clone(&self.metadata), blooms }
    }

    /// These bytes, if they are of a bloom filter that was read.
    pub(crate) fn bytes(&self, range: &Range<u64>) -> Option<Bytes> {
        let (start, bloom) = self.blooms.range(..=range.start).next_back()?;
        part(*start, bloom, range)
    }

    /// Memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let blooms: usize = self.blooms.values().map(Bytes::len).sum();
        self.metadata.memory_size() + blooms
    }

    /// What is known of a file of this length.
    pub(crate) fn of(known: &Known, path: &Path, bytes: u64) -> Option<Arc<Self>> {
        let entry = known.cache.get(&known.place(path)).filter(|entry| entry.meta.size == bytes)?;
        let kept = entry.file_metadata.as_any().downcast_ref::<Kept>()?;
        Some(Arc::clone(&kept.0))
    }

    /// Keeps what is known of a file.
    pub(crate) fn keep(self: &Arc<Self>, known: &Known, path: &Path, bytes: u64) {
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: Default::default(),
            size: bytes,
            e_tag: None,
            version: None,
        };
        let kept: Arc<dyn FileMetadata> = Arc::new(Kept(Arc::clone(self)));
        let place = known.place(path);
        let _ = known.cache.put(&place, CachedFileMetadataEntry::new(meta, kept));
    }
}

/// Some dozens of files: threads that share one are seldom further apart.
const QUERY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// These bytes, if they are a part of those that begin at `start`.
pub(crate) fn part(start: u64, bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let begin = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(start)?).ok()?;
    (begin <= end && end <= bytes.len()).then(|| bytes.slice(begin..end))
}

/// An end as the cache wants it.
struct Kept(Arc<End>);

impl FileMetadata for Kept {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn memory_size(&self) -> usize {
        self.0.memory_bytes()
    }

    fn extra_info(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}
