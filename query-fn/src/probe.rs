//! Which files can not hold a value that is looked up, as their ends say, before any is scanned.
//!
//! A scan opens one file after the other, and asks for one bloom filter after the other. A value of
//! which commits say nothing, such as a random id, may be in any of thousands of files: here many
//! ends are read side by side, and then their filters, and what is left to scan is hardly more than
//! the files that have the value.
//!
//! It judges as a scan does, by the engine's own means, and it may only err towards scanning more:
//! a file of which something can not be read is left to the scan, which says what is wrong with it.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::physical_plan::parquet::BloomFilterStatistics;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::parquet_column;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::schema::types::SchemaDescriptor;
use datafusion::physical_expr::utils::conjunction_opt;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, StreamExt, stream};
use object_store::path::Path;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;

use crate::fetch::{OpenFile, bloom_range, end_bytes};
use crate::footers::Readers;
use crate::prune::{Filters, IN_LIST_COUNT_MAX, Physical};
use crate::read::ScanFile;
use crate::scans::{Work, wide};

/// Looks at files for one scan.
pub(crate) struct Probe {
    files: Readers,
    /// Columns of the files.
    schema: SchemaRef,
    predicate: PruningPredicate,
    /// Columns that are fixed to values.
    columns: Vec<String>,
    /// Room for bloom filters on their way, in KiB.
    room: Semaphore,
}

/// A file to look at.
struct Candidate {
    /// Its place among all of them.
    at: usize,
    path: Path,
    bytes: u64,
    first_bytes: u64,
}

impl Probe {
    /// Prepares to look at files for what the filters ask for; `None` if they fix no column that
    /// has bloom filters to values. Conditions that are about more than a file's columns, or that
    /// the engine can not turn into bounds, exclude nothing.
    pub(crate) fn of(
        files: &Readers,
        filters: &Filters,
        schema: &SchemaRef,
        physical: &Physical<'_>,
    ) -> Option<Self> {
        if !filters.look_up() {
            return None;
        }
        let known = DFSchema::try_from(Arc::clone(schema)).ok()?;
        let conditions = filters.others.iter();
        let usable = conditions.filter_map(|condition| physical(condition.clone(), &known).ok());
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(schema))
            .with_max_in_list_size(IN_LIST_COUNT_MAX)
            .try_build(conjunction_opt(usable)?)
            .ok()?;
        let columns = predicate.literal_columns();
        let room = Semaphore::new(usize::try_from(BLOOM_ROOM_KIB).unwrap_or(1));
        let (files, schema) = (Arc::clone(files), Arc::clone(schema));
        (!columns.is_empty()).then_some(Self { files, schema, predicate, columns, room })
    }

    /// Of each file, what there was to see, if no row of it can match; `None` if some may, or
    /// nobody knows.
    pub(crate) async fn look(
        self,
        candidates: &[ScanFile<'_>],
        threads: usize,
    ) -> Vec<Option<Work>> {
        let mut seen = vec![None; candidates.len()];
        let Some(lookers) = self.files.lookers().cloned() else { return seen };
        // Of many files hardly any is scanned, so that none is worth reading whole.
        let is_one_of_many = candidates.len() > MANY_FILES;
        let threads = threads.max(1);
        let mut shares: Vec<Vec<Candidate>> = (0..threads).map(|_| Vec::new()).collect();
        // Of a file some of whose rows do not count, the scan knows more.
        let whole = candidates.iter().enumerate().filter(|(_, file)| file.kept_rows.is_none());
        for ((at, file), share) in whole.zip((0..threads).cycle()) {
            let first_bytes =
                if is_one_of_many { end_bytes(file.rows) } else { file.first_bytes() };
            let (path, bytes) = (Path::from(file.path), file.bytes);
            if let Some(share) = shares.get_mut(share) {
                share.push(Candidate { at, path, bytes, first_bytes });
            }
        }
        let probe = Arc::new(self);
        let at_once = (FILES_AT_ONCE / threads).max(1);
        let mut tasks = JoinSet::new();
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let _ = tasks.spawn_on(Arc::clone(&probe).look_at(share, at_once), &lookers);
        }
        while let Some(done) = tasks.join_next().await {
            // What a task that failed inside would have said, nobody knows.
            for (at, work) in done.unwrap_or_default() {
                if let Some(place) = seen.get_mut(at) {
                    *place = Some(work);
                }
            }
        }
        seen
    }

    /// Looks at some files; those of which no row can match.
    async fn look_at(self: Arc<Self>, share: Vec<Candidate>, at_once: usize) -> Vec<(usize, Work)> {
        let looks = share.into_iter().map(|candidate| {
            let probe = &self;
            async move { (candidate.at, probe.look_into(&candidate).await) }.boxed()
        });
        let mut looks = stream::iter(looks).buffer_unordered(at_once);
        let mut excluded = Vec::new();
        while let Some((at, looked)) = looks.next().await {
            // What is in memory is seen without waiting.
            consume_budget().await;
            match looked {
                Ok(Some(work)) => excluded.push((at, work)),
                Ok(None) => {}
                // The scan comes upon it too, and says what is wrong; or the query's limit of bytes
                // is used up.
                Err(_) => break,
            }
        }
        excluded
    }

    async fn look_into(&self, candidate: &Candidate) -> Result<Option<Work>> {
        let file = self.files.open(&candidate.path, candidate.bytes);
        let end = file.end(&self.files, candidate.first_bytes, false).await?;
        let (all, after_statistics) =
            (end.metadata.num_row_groups(), self.by_statistics(&end.metadata));
        let rest = wide(after_statistics.len());
        if !self.by_blooms(&file, &end.metadata, after_statistics).await.is_empty() {
            self.files.hold(&file);
            return Ok(None);
        }
        drop(end);
        self.files.close(file);
        Ok(Some(Work::excluded(wide(all).saturating_sub(rest), rest)))
    }

    /// The row groups that statistics do not exclude.
    fn by_statistics(&self, metadata: &ParquetMetaData) -> Vec<usize> {
        let groups = metadata.row_groups();
        let parquet = metadata.file_metadata().schema_descr();
        let statistics = GroupStatistics { schema: &self.schema, parquet, groups };
        let keeps = self.predicate.prune(&statistics).ok();
        let keeps = keeps.filter(|keeps| keeps.len() == groups.len());
        let is_left = |group: &usize| keeps.as_ref().is_none_or(|keeps| keeps[*group]);
        (0..groups.len()).filter(is_left).collect()
    }

    /// The row groups, of these, that bloom filters do not exclude.
    async fn by_blooms(
        &self,
        file: &OpenFile,
        metadata: &ParquetMetaData,
        groups: Vec<usize>,
    ) -> Vec<usize> {
        let filters = self.filters(metadata, &groups);
        let places: Vec<Range<u64>> = filters.iter().map(|filter| filter.place.clone()).collect();
        let length = |place: &Range<u64>| place.end.saturating_sub(place.start);
        let unread = places.iter().filter(|place| !file.is_in_memory(place)).map(length);
        let unread_kib = unread.fold(0, u64::saturating_add).div_ceil(1024);
        // With filters for which there is never room, the scan asks them one by one.
        let Ok(unread_kib) = u32::try_from(unread_kib) else { return groups };
        if unread_kib > BLOOM_ROOM_KIB {
            return groups;
        }
        let _room = match unread_kib {
            0 => None,
            kib => self.room.acquire_many(kib).await.ok(),
        };
        // A filter that can not be read excludes nothing.
        let Ok(read) = file.blooms(&self.files, &places).await else { return groups };
        let excluded: BTreeSet<usize> = filters
            .iter()
            .zip(&read)
            .filter(|(filter, bytes)| self.is_excluded(metadata, filter, bytes))
            .map(|(filter, _)| filter.group)
            .collect();
        groups.into_iter().filter(|group| !excluded.contains(group)).collect()
    }

    /// Where the bloom filters to ask are, of these row groups.
    fn filters(&self, metadata: &ParquetMetaData, groups: &[usize]) -> Vec<Filter<'_>> {
        let parquet = metadata.file_metadata().schema_descr();
        let leaf = |name: &str| parquet_column(parquet, &self.schema, name).map(|(leaf, _)| leaf);
        let columns = self.columns.iter().filter_map(|name| Some((&**name, leaf(name)?)));
        let of_column = |(column, leaf): (_, usize)| {
            groups.iter().filter_map(move |&group| {
                let chunk = metadata.row_groups().get(group)?.columns().get(leaf)?;
                Some(Filter { group, column, leaf, place: bloom_range(chunk)? })
            })
        };
        columns.flat_map(of_column).collect()
    }

    /// Whether a bloom filter excludes its row group.
    fn is_excluded(&self, metadata: &ParquetMetaData, filter: &Filter<'_>, bytes: &[u8]) -> bool {
        let Some(bloom) = Sbbf::from_bytes(bytes).ok().filter(|bloom| bloom.num_blocks() > 0)
        else {
            return false;
        };
        let column = metadata.file_metadata().schema_descr().column(filter.leaf);
        let mut known = BloomFilterStatistics::new();
        known.insert(filter.column, bloom, column.physical_type(), column.type_length());
        self.predicate.prune(&known).is_ok_and(|keeps| keeps == [false])
    }
}

/// A bloom filter of a column in a row group.
struct Filter<'a> {
    group: usize,
    column: &'a str,
    leaf: usize,
    place: Range<u64>,
}

/// What the footer of a file says of its row groups, as the engine takes it.
struct GroupStatistics<'a> {
    schema: &'a SchemaRef,
    parquet: &'a SchemaDescriptor,
    groups: &'a [RowGroupMetaData],
}

impl<'a> GroupStatistics<'a> {
    fn of(&self, column: &Column) -> Option<StatisticsConverter<'a>> {
        StatisticsConverter::try_new(&column.name, self.schema, self.parquet).ok()
    }
}

impl PruningStatistics for GroupStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column)?.row_group_mins(self.groups).ok()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column)?.row_group_maxes(self.groups).ok()
    }

    fn num_containers(&self) -> usize {
        self.groups.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.of(column)?.row_group_null_counts(self.groups).ok()?;
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.groups.iter().map(|group| u64::try_from(group.num_rows()).ok());
        Some(Arc::new(rows.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Files looked at together. Each may be a connection, and a process may have 1,024 files and
/// connections open; their ends take 220 kB each while they are looked at, 56 MB in all.
const FILES_AT_ONCE: usize = 256;

/// Files from which on hardly any is going to be scanned, so that small ones are not read whole.
const MANY_FILES: usize = 16;

/// Bloom filters on their way, in KiB: those of a file of 256 MiB take 8 MiB, and of the usual
/// files all that are looked at together find room.
const BLOOM_ROOM_KIB: u32 = 32 * 1024;
