//! How one query reads Parquet files from a store that answers late: as few requests that wait for
//! each other as can be.
//!
//! The end of a file (footer, page index, and bloom filters as far as they are there) comes in one
//! request, whose length follows from the file's rows. The data of a row group comes in one more,
//! if all that the query can want of it comes in about the time of a request; else the columns it
//! filters by come first, and of the others the pages with rows that are left.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetFileMetrics;
use datafusion::parquet::DecodeResult;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder,
    RowGroupMetaData,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::footers::{End, Known, part};
use crate::narrow::narrowed;

/// Files up to this length are read whole in the request for their end.
pub(crate) const SMALL_FILE_BYTES: u64 = 128 * 1024;

/// What a store sends in about the time that it takes to answer: 30 ms at 90 MB/s are 2.7 MB, and
/// not every connection is that fast.
pub(crate) const EAGER_BYTES_MAX: u64 = 1024 * 1024;

/// What a query may hold of files that it looked at before it scans them: some 150 ends.
const HELD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What a scan wants of each of its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Columns of the file that are read if a row is, by index.
    pub(crate) columns: Arc<[usize]>,
    /// Their names.
    pub(crate) names: Arc<[String]>,
    /// Those of them that there are filters on.
    pub(crate) filters: Arc<[usize]>,
    /// Whether most rows fall to a filter while decoding, so that columns come one after another.
    pub(crate) is_selective: bool,
}

/// The files of one query.
pub(crate) struct Files {
    store: Arc<dyn ObjectStore>,
    /// What was learnt before, by this query or by others.
    known: Known,
    /// Files that somebody holds open.
    open: Mutex<HashMap<Path, Weak<OpenFile>>>,
    /// Files that the query holds open until it ends.
    held: Mutex<Held>,
    /// Threads that look at files before a scan; none if to look at a part is to read all of it.
    lookers: Option<Handle>,
}

/// Files with what is in memory of them.
#[derive(Default)]
struct Held {
    files: HashMap<Path, Arc<OpenFile>>,
    bytes: u64,
}

/// A file of which something is read.
pub(crate) struct OpenFile {
    path: Path,
    bytes: u64,
    end: OnceCell<Mutex<Arc<End>>>,
    /// What was read at its end.
    suffix: Mutex<Option<(u64, Bytes)>>,
}

/// Rows of a row group, as ingest writes them.
pub(crate) const ROW_GROUP_ROWS: u64 = 256 * 1024;

/// Bytes of a file that were read, each with where they begin.
type Read = Vec<(u64, Bytes)>;

/// How many bytes at the end of an event file most likely hold its footer, its page index and, of
/// small files, its bloom filters. Measured on ingested files, and a quarter more: 5 kB for the
/// schema, 10 kB a row group, 2.4 kB a page of every column; filters take up to 2.6 bytes a row
/// and column that has one.
pub(crate) fn end_bytes(rows: u64) -> u64 {
    const PAGE_ROWS: u64 = 16 * 1024;
    let (groups, pages) = (rows.div_ceil(ROW_GROUP_ROWS).max(1), rows.div_ceil(PAGE_ROWS).max(1));
    let blooms = rows.saturating_mul(6).min(64 * 1024);
    (8 * 1024u64)
        .saturating_add(groups.saturating_mul(12 * 1024))
        .saturating_add(pages.saturating_mul(3 * 1024))
        .saturating_add(blooms)
}

impl Files {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        known: Known,
        lookers: Option<Handle>,
    ) -> Arc<Self> {
        let (open, held) = (Mutex::default(), Mutex::default());
        Arc::new(Self { store, known, open, held, lookers })
    }

    /// Threads that look at files before a scan.
    pub(crate) const fn lookers(&self) -> Option<&Handle> {
        self.lookers.as_ref()
    }

    /// A file of this length, which is the same one as long as somebody holds it.
    pub(crate) fn open(&self, path: &Path, bytes: u64) -> Arc<OpenFile> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(path).and_then(Weak::upgrade) {
            return file;
        }
        let file = Arc::new(OpenFile {
            path: path.clone(),
            bytes,
            end: OnceCell::new(),
            suffix: Mutex::default(),
        });
        open.insert(path.clone(), Arc::downgrade(&file));
        file
    }

    /// What was learnt of the end of a file of this length.
    pub(crate) fn known_end(&self, path: &Path, bytes: u64) -> Option<Arc<End>> {
        End::of(&self.known, path, bytes)
    }

    /// Holds a file open until the query ends, so that nothing of it is read twice, as far as
    /// there is room.
    pub(crate) fn hold(&self, file: &Arc<OpenFile>) {
        let bytes = file.memory_bytes();
        let mut held = lock(&self.held);
        let all = held.bytes.saturating_add(bytes);
        if all <= HELD_BYTES_MAX && !held.files.contains_key(&file.path) {
            held.bytes = all;
            let _ = held.files.insert(file.path.clone(), Arc::clone(file));
        }
    }

    /// Forgets a file, unless somebody else holds it open.
    pub(crate) fn close(&self, file: Arc<OpenFile>) {
        let path = file.path.clone();
        drop(file);
        let mut open = lock(&self.open);
        if open.get(&path).is_some_and(|file| file.strong_count() == 0) {
            let _ = open.remove(&path);
        }
    }

    /// Ranges of a file, near ones joined, side by side.
    async fn read(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = self.store.get_ranges(path, ranges).await;
        read.map_err(|e| ParquetError::External(Box::new(e)))
    }
}

impl OpenFile {
    /// Where that begins which is in memory of its end; the file's length if nothing is.
    pub(crate) fn in_memory_from(&self) -> u64 {
        lock(&self.suffix).as_ref().map_or(self.bytes, |(start, _)| *start)
    }

    fn known_end(&self) -> Option<Arc<End>> {
        self.end.get().map(|end| Arc::clone(&lock(end)))
    }

    /// The file's end, of which `first_bytes` are read at first if nobody knows it. The page index
    /// is part of it if it is wanted, or came along.
    pub(crate) async fn end(
        &self,
        files: &Files,
        first_bytes: u64,
        wants_index: bool,
    ) -> Result<Arc<End>> {
        let end = self.end.get_or_try_init(|| async {
            let end = match files.known_end(&self.path, self.bytes) {
                Some(end) => end,
                None => self.read_end(files, first_bytes).await?,
            };
            Ok::<_, ParquetError>(Mutex::new(end))
        });
        let end = end.await?;
        let known = Arc::clone(&lock(end));
        if !wants_index || has_index(&known.metadata) {
            return Ok(known);
        }
        let Some(range) = index_range(&known.metadata) else { return Ok(known) };
        let bytes = self.bytes(files, &range).await?;
        let metadata = with_index(&known.metadata, self.bytes, range, bytes)?;
        Ok(self.learn(files, known.with_metadata(metadata)))
    }

    async fn read_end(&self, files: &Files, first_bytes: u64) -> Result<Arc<End>> {
        let mut start = self.bytes.saturating_sub(first_bytes.max(8));
        let mut suffix = self.read(files, start..self.bytes).await?;
        let metadata = match footer(self.bytes, start, &suffix)? {
            Ok(metadata) => metadata,
            Err(footer_start) => {
                // The page index is before it, and longer by up to that much.
                let footer_bytes = self.bytes.saturating_sub(footer_start);
                let index_bytes = footer_bytes.saturating_mul(4).min(EAGER_BYTES_MAX);
                let from = footer_start.saturating_sub(index_bytes).min(start);
                let more = self.read(files, from..start).await?;
                (start, suffix) = (from, [more, suffix].concat().into());
                footer(self.bytes, start, &suffix)?.map_err(|_| {
                    ParquetError::General("the footer is longer than it says".to_owned())
                })?
            }
        };
        let metadata = match index_range(&metadata) {
            Some(range) => match part(start, &suffix, &range) {
                Some(bytes) => with_index(&metadata, self.bytes, range, bytes)?,
                None => metadata,
            },
            None => metadata,
        };
        let blooms: Vec<(u64, Bytes)> = chunks(metadata.row_groups())
            .filter_map(bloom_range)
            // Copies, or the whole suffix would stay in memory as long as one of them.
            .filter_map(|range| Some((range.start, part(start, &suffix, &range)?)))
            .map(|(start, bytes)| (start, Bytes::copy_from_slice(&bytes)))
            .collect();
        let end = Arc::new(End::new(Arc::new(metadata)).with_blooms(blooms));
        end.keep(&files.known, &self.path, self.bytes);
        *lock(&self.suffix) = Some((start, suffix));
        Ok(end)
    }

    /// Takes over what was learnt of the file's end, also for other queries.
    fn learn(&self, files: &Files, end: End) -> Arc<End> {
        let end = Arc::new(end);
        if let Some(place) = self.end.get() {
            *lock(place) = Arc::clone(&end);
        }
        end.keep(&files.known, &self.path, self.bytes);
        end
    }

    /// Memory that what was read of the file takes.
    fn memory_bytes(&self) -> u64 {
        let suffix = lock(&self.suffix).as_ref().map_or(0, |(_, suffix)| suffix.len());
        let end = self.known_end().map_or(0, |end| end.memory_bytes());
        u64::try_from(suffix.saturating_add(end)).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_in_memory(&self, range: &Range<u64>) -> bool {
        self.in_memory(range).is_some()
    }

    fn in_memory(&self, range: &Range<u64>) -> Option<Bytes> {
        let suffix = lock(&self.suffix);
        let of_suffix = suffix.as_ref().and_then(|(start, bytes)| part(*start, bytes, range));
        drop(suffix);
        of_suffix.or_else(|| self.known_end()?.bytes(range))
    }

    /// A part of the file; a bloom filter is kept with its end.
    async fn bytes(&self, files: &Files, range: &Range<u64>) -> Result<Bytes> {
        if let Some(bytes) = self.in_memory(range) {
            return Ok(bytes);
        }
        let bytes = self.read(files, range.clone()).await?;
        if let Some(end) = self.known_end() {
            let mut blooms = chunks(end.metadata.row_groups()).filter_map(bloom_range);
            if blooms.any(|bloom| bloom == *range) {
                let copy = Bytes::copy_from_slice(&bytes);
                let _ = self.learn(files, end.with_blooms([(range.start, copy)]));
            }
        }
        Ok(bytes)
    }

    /// Bloom filters, those that nobody knows side by side; they are kept with the end.
    pub(crate) async fn blooms(&self, files: &Files, places: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let found: Vec<Option<Bytes>> = places.iter().map(|place| self.in_memory(place)).collect();
        let asked = places.iter().zip(&found).filter(|(_, found)| found.is_none());
        let unread: Vec<Range<u64>> = asked.map(|(place, _)| place.clone()).collect();
        if unread.is_empty() {
            return self.filled(found, Vec::new());
        }
        let read = files.read(&self.path, &unread).await?;
        if let Some(end) = self.known_end() {
            let copies = unread.iter().zip(&read);
            let copies = copies.map(|(at, bytes)| (at.start, Bytes::copy_from_slice(bytes)));
            let _ = self.learn(files, end.with_blooms(copies));
        }
        self.filled(found, read)
    }

    /// What was found, and in its gaps what was read, in that order.
    fn filled(&self, found: Vec<Option<Bytes>>, read: Vec<Bytes>) -> Result<Vec<Bytes>> {
        let mut read = read.into_iter();
        let lost = || ParquetError::General(format!("{}: a part was not read", self.path));
        found.into_iter().map(|found| found.or_else(|| read.next()).ok_or_else(lost)).collect()
    }

    async fn read(&self, files: &Files, range: Range<u64>) -> Result<Bytes> {
        let read = files.store.get_range(&self.path, range).await;
        read.map_err(|e| ParquetError::External(Box::new(e)))
    }

    /// Parts of a row group, and with them what else is going to be wanted of it, which is kept in
    /// `group` in the place of the row group before.
    async fn data(
        &self,
        files: &Files,
        ranges: &[Range<u64>],
        wanted: Option<&Wanted>,
        group: &mut Read,
    ) -> Result<Vec<Bytes>> {
        let find = |range: &Range<u64>| {
            let kept = group.iter().find_map(|(start, bytes)| part(*start, bytes, range));
            kept.or_else(|| self.in_memory(range))
        };
        let found: Vec<Option<Bytes>> = ranges.iter().map(find).collect();
        let asked = ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let mut unread: Vec<Range<u64>> = asked.map(|(range, _)| range.clone()).collect();
        let mut read = Vec::new();
        if !unread.is_empty() {
            let asked = unread.len();
            let ahead = wanted.map_or_else(Vec::new, |wanted| self.ahead(ranges, wanted));
            unread.extend(ahead.into_iter().filter(|range| find(range).is_none()));
            read = files.read(&self.path, &unread).await?;
            if unread.len() > asked {
                *group = unread.iter().map(|range| range.start).zip(read.clone()).collect();
            }
        }
        self.filled(found, read)
    }

    /// The columns that a selective scan is going to want of the row group in which these ranges
    /// lie, if they are few bytes.
    fn ahead(&self, ranges: &[Range<u64>], wanted: &Wanted) -> Vec<Range<u64>> {
        if !wanted.is_selective {
            return Vec::new();
        }
        let (Some(first), Some(end)) = (ranges.first(), self.known_end()) else {
            return Vec::new();
        };
        let group = end.metadata.row_groups().iter().find(|group| {
            let mut chunks = group.columns().iter().map(chunk_range);
            chunks.any(|chunk| chunk.start <= first.start && first.end <= chunk.end)
        });
        let Some(group) = group else { return Vec::new() };
        let choices = [&wanted.columns, &wanted.filters];
        let mut choices = choices.into_iter().map(|of| chunks_of(&end.metadata, group, of));
        choices.find(|chunks| are_few(chunks)).unwrap_or_default()
    }
}

/// Where these columns lie in a row group.
pub(crate) fn chunks_of(
    metadata: &ParquetMetaData,
    group: &RowGroupMetaData,
    columns: &[usize],
) -> Vec<Range<u64>> {
    columns_of(metadata, group, columns).map(chunk_range).collect()
}

/// Where the bloom filters of these columns lie in a row group.
pub(crate) fn blooms_of(
    metadata: &ParquetMetaData,
    group: &RowGroupMetaData,
    columns: &[usize],
) -> Vec<Range<u64>> {
    columns_of(metadata, group, columns).filter_map(bloom_range).collect()
}

/// The chunks of these columns.
fn columns_of<'a>(
    metadata: &'a ParquetMetaData,
    group: &'a RowGroupMetaData,
    columns: &'a [usize],
) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
    let schema = metadata.file_metadata().schema_descr();
    let is_wanted = move |leaf: usize| columns.contains(&schema.get_column_root_idx(leaf));
    let chunks = group.columns().iter().enumerate();
    chunks.filter(move |(leaf, _)| is_wanted(*leaf)).map(|(_, chunk)| chunk)
}

/// Whether they come in about the time of a request.
pub(crate) fn are_few(chunks: &[Range<u64>]) -> bool {
    let bytes = chunks.iter().map(|chunk| chunk.end.saturating_sub(chunk.start));
    bytes.fold(0, u64::saturating_add) <= EAGER_BYTES_MAX
}

/// The footer in the end of a file; inside: where it begins, if that is before these bytes.
fn footer(
    file_bytes: u64,
    start: u64,
    suffix: &Bytes,
) -> Result<std::result::Result<ParquetMetaData, u64>> {
    // The decoder takes this length at its word.
    let length =
        suffix.last_chunk::<8>().map(|[a, b, c, d, ..]| u32::from_le_bytes([*a, *b, *c, *d]));
    if length.is_none_or(|length| u64::from(length).saturating_add(8) > file_bytes) {
        return Err(ParquetError::General("the footer is longer than the file".to_owned()));
    }
    let mut decoder = ParquetMetaDataPushDecoder::try_new(file_bytes)?
        .with_page_index_policy(PageIndexPolicy::Skip);
    decoder.push_range(start..file_bytes, suffix.clone())?;
    match decoder.try_decode()? {
        DecodeResult::Data(metadata) => Ok(Ok(metadata)),
        DecodeResult::NeedsData(ranges) => {
            Ok(Err(ranges.iter().map(|range| range.start).min().unwrap_or_default()))
        }
        DecodeResult::Finished => Err(ParquetError::General("no footer".to_owned())),
    }
}

/// Where a column chunk lies; nowhere, if the footer makes no sense, which is for the decoder to
/// say.
fn chunk_range(column: &ColumnChunkMetaData) -> Range<u64> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (start, length) = (u64::try_from(start), u64::try_from(column.compressed_size()));
    match (start, length) {
        (Ok(start), Ok(length)) => start..start.saturating_add(length),
        _ => 0..0,
    }
}

fn chunks(groups: &[RowGroupMetaData]) -> impl Iterator<Item = &ColumnChunkMetaData> {
    groups.iter().flat_map(RowGroupMetaData::columns)
}

/// Where a column chunk's bloom filter lies, if it has one and says how long it is.
pub(crate) fn bloom_range(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok()?;
    Some(start..start.checked_add(length)?)
}

fn has_index(metadata: &ParquetMetaData) -> bool {
    metadata.column_index().is_some() && metadata.offset_index().is_some()
}

/// Where the page index lies, if there is one and it was not read.
pub(crate) fn unread_index(metadata: &ParquetMetaData) -> Option<Range<u64>> {
    index_range(metadata).filter(|_| !has_index(metadata))
}

/// Where the page index lies, if there is one.
fn index_range(metadata: &ParquetMetaData) -> Option<Range<u64>> {
    let place = |offset: Option<i64>, length: Option<i32>| {
        let start = u64::try_from(offset?).ok()?;
        Some(start..start.checked_add(u64::try_from(length?).ok()?)?)
    };
    let of_chunk = |column: &ColumnChunkMetaData| {
        let of_columns = place(column.column_index_offset(), column.column_index_length());
        let of_offsets = place(column.offset_index_offset(), column.offset_index_length());
        [of_columns, of_offsets]
    };
    let places = chunks(metadata.row_groups()).flat_map(of_chunk).flatten();
    places.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end))
}

fn with_index(
    metadata: &ParquetMetaData,
    file_bytes: u64,
    range: Range<u64>,
    bytes: Bytes,
) -> Result<ParquetMetaData> {
    let decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(file_bytes, metadata.clone())?;
    let mut decoder = decoder.with_page_index_policy(PageIndexPolicy::Optional);
    decoder.push_range(range, bytes)?;
    match decoder.try_decode()? {
        DecodeResult::Data(metadata) => Ok(metadata),
        _ => Err(ParquetError::General("the page index is not where the footer says".to_owned())),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({})", self.store)
    }
}

/// The factory, as the engine wants it: it makes readers that share the files.
#[derive(Debug)]
pub(crate) struct Factory(pub(crate) Arc<Files>);

impl ParquetFileReaderFactory for Factory {
    fn create_reader(
        &self,
        partition_index: usize,
        part: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let path = &part.object_meta.location;
        let hint = metadata_size_hint.and_then(|hint| u64::try_from(hint).ok());
        let file = self.0.open(path, part.object_meta.size);
        if part.range.is_some() {
            // Who reads another part of it may come when this one has left. Each thread but one has
            // its share cut out of such a file, so they are few.
            self.0.hold(&file);
        }
        Ok(Box::new(Reader {
            file,
            files: Arc::clone(&self.0),
            first_bytes: hint.unwrap_or(SMALL_FILE_BYTES),
            wanted: part.extensions.get_arc::<Wanted>(),
            group: Read::new(),
            metrics: ParquetFileMetrics::new(partition_index, path.as_ref(), metrics),
        }))
    }
}

/// One reader of a file.
struct Reader {
    file: Arc<OpenFile>,
    files: Arc<Files>,
    first_bytes: u64,
    wanted: Option<Arc<Wanted>>,
    /// Of the row group in hand, what was read before it was asked for.
    group: Read,
    metrics: ParquetFileMetrics,
}

impl Reader {
    fn count(&self, ranges: &[Range<u64>]) {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start));
        let bytes = usize::try_from(bytes.fold(0, u64::saturating_add)).unwrap_or(usize::MAX);
        self.metrics.bytes_scanned.add(bytes);
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.count(std::slice::from_ref(&range));
        async move { self.file.bytes(&self.files, &range).await }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.count(&ranges);
        let Self { file, files, wanted, group, .. } = self;
        async move { file.data(files, &ranges, wanted.as_deref(), group).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let wants_index = self.wanted.as_deref().is_some_and(|wanted| !wanted.filters.is_empty());
        async move {
            let end = self.file.end(&self.files, self.first_bytes, wants_index).await;
            let end = end.map_err(|e| {
                let path = &self.file.path;
                ParquetError::General(format!("Failed to fetch metadata for file {path}: {e}"))
            })?;
            match self.wanted.as_deref() {
                Some(wanted) => narrowed(&end.metadata, &wanted.names),
                None => Ok(Arc::clone(&end.metadata)),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
