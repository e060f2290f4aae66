//! The scan over the files that were kept.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use common::date::DAY_MICROS;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use crate::fetch::{Factory, SMALL_FILE_BYTES, Wanted, end_bytes};
use crate::footers::Readers;
use crate::prune::IN_LIST_COUNT_MAX;

/// URL under which a query's session knows the archive's store.
pub(crate) const STORE_URL: &str = "meshledger://archive/";

/// One file to scan.
#[derive(Debug)]
pub(crate) struct ScanFile<'a> {
    /// Key below the archive URL.
    pub(crate) path: &'a str,
    /// Length.
    pub(crate) bytes: u64,
    /// Rows in the file.
    pub(crate) rows: u64,
    /// The rows that count, as ascending, disjoint ranges; `None` for all of them.
    pub(crate) kept_rows: Option<&'a [Range<u64>]>,
    /// Values of the partition columns.
    pub(crate) partition: Vec<ScalarValue>,
    /// Exact bounds of one column (its index, minimum, maximum), if all rows count.
    pub(crate) bounds: Option<(usize, ScalarValue, ScalarValue)>,
}

/// How to scan.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    /// Columns of the files, then those of the partition.
    pub(crate) schema: &'a TableSchema,
    /// Which columns are wanted.
    pub(crate) projection: Option<&'a Vec<usize>>,
    /// How many rows are enough.
    pub(crate) limit: Option<usize>,
    /// Columns of the files that there are filters on, by index.
    pub(crate) filters: Vec<usize>,
    /// Whether to filter while decoding.
    pub(crate) selective: bool,
    /// How many parts to read side by side.
    pub(crate) threads: usize,
    /// What opens the files.
    pub(crate) readers: &'a Readers,
}

impl Scan<'_> {
    /// Plans the scan of files, at least one.
    pub(crate) fn plan(&self, files: &[ScanFile<'_>]) -> Result<Arc<dyn ExecutionPlan>> {
        // Of answers, statistics decide only the number of rows and the bounds of one column.
        // DataFusion would also fill in columns whose exact bounds are equal; values come from
        // the files, so no other exact bounds are given.
        let with_bounds = files.len() <= FILES_WITH_BOUNDS_MAX;
        let wanted = Arc::new(self.wanted());
        let parts = files
            .iter()
            .map(|file| {
                let mut part = self.part(file, with_bounds)?;
                let _ = part.extensions.insert_arc(Arc::clone(&wanted));
                Ok(part)
            })
            .collect::<Result<Vec<PartitionedFile>>>()?;
        let groups = FileGroup::new(parts).split_files(self.threads.max(1));
        let factory: Arc<dyn ParquetFileReaderFactory> =
            Arc::new(Factory(Arc::clone(self.readers)));
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(parquet_options(self.selective))
            .with_parquet_file_reader_factory(factory);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, source.into())
            .with_file_groups(groups)
            .with_statistics(self.statistics(files)?)
            .with_projection_indices(self.projection.cloned())?
            .with_limit(self.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn wanted(&self) -> Wanted {
        let fields = self.schema.file_schema().fields();
        let columns: Arc<[usize]> = match self.projection {
            Some(projection) => {
                projection.iter().copied().filter(|at| *at < fields.len()).collect()
            }
            None => (0..fields.len()).collect(),
        };
        let all = columns.iter().chain(&self.filters);
        let mut names: Vec<String> =
            all.filter_map(|at| fields.get(*at)).map(|field| field.name().clone()).collect();
        names.sort_unstable();
        names.dedup();
        let filters = self.filters.clone().into();
        Wanted { columns, names: names.into(), filters, is_selective: self.selective }
    }

    fn part(&self, file: &ScanFile<'_>, with_bounds: bool) -> Result<PartitionedFile> {
        let first_bytes = file.first_bytes();
        let mut part = PartitionedFile::new(file.path, file.bytes)
            .with_partition_values(file.partition.clone())
            .with_metadata_size_hint(usize::try_from(first_bytes).unwrap_or(usize::MAX));
        if let Some(kept) = file.kept_rows {
            part = part.with_extension(ParquetRowSelection::new(selection(file, kept)?));
        } else if with_bounds && let Some((column, min, max)) = &file.bounds {
            let columns = self.schema.file_schema().fields().len();
            // With room for the partition's column, which the engine adds.
            let mut column_statistics = Vec::with_capacity(columns.saturating_add(1));
            column_statistics.resize(columns, ColumnStatistics::new_unknown());
            let mut statistics = Statistics {
                num_rows: Precision::Exact(count(file.rows)?),
                total_byte_size: Precision::Absent,
                column_statistics,
            };
            if let Some(known) = statistics.column_statistics.get_mut(*column) {
                set_bounds(known, min, max);
            }
            part = part.with_statistics(Arc::new(statistics));
        }
        Ok(part)
    }

    fn statistics(&self, files: &[ScanFile<'_>]) -> Result<Statistics> {
        let mut statistics = Statistics::new_unknown(self.schema.table_schema());
        let rows = files.iter().map(ScanFile::rows_that_count).fold(0, u64::saturating_add);
        statistics.num_rows = Precision::Exact(count(rows)?);
        let bounds: Option<Vec<_>> = files.iter().map(|file| file.bounds.as_ref()).collect();
        let mut bounds = bounds.unwrap_or_default().into_iter();
        if let Some((column, min, max)) = bounds.next() {
            let (mut least, mut most) = (min, max);
            for (_, min, max) in bounds {
                least = if min < least { min } else { least };
                most = if max > most { max } else { most };
            }
            if let Some(known) = statistics.column_statistics.get_mut(*column) {
                if self.filters.is_empty() && self.limit.is_none() {
                    set_bounds(known, least, most);
                } else {
                    set_days(known, least, most);
                }
            }
        }
        Ok(statistics)
    }
}

impl ScanFile<'_> {
    /// How much of its end is read at first.
    pub(crate) fn first_bytes(&self) -> u64 {
        match self.bytes {
            bytes if bytes <= SMALL_FILE_BYTES => bytes,
            _ => end_bytes(self.rows),
        }
    }

    fn rows_that_count(&self) -> u64 {
        match self.kept_rows {
            Some(kept) => kept
                .iter()
                .map(|range| range.end.saturating_sub(range.start))
                .fold(0, u64::saturating_add),
            None => self.rows,
        }
    }
}

fn set_bounds(known: &mut ColumnStatistics, min: &ScalarValue, max: &ScalarValue) {
    known.null_count = Precision::Exact(0);
    known.min_value = Precision::Exact(min.clone());
    known.max_value = Precision::Exact(max.clone());
}

/// Bounds that are no answers, and of whole days: the engine takes `CAST(event_time AS DATE)` back to
/// the beginnings of days, and fails where those lie further apart than the bounds themselves.
fn set_days(known: &mut ColumnStatistics, min: &ScalarValue, max: &ScalarValue) {
    let (
        ScalarValue::TimestampMicrosecond(Some(min), zone),
        ScalarValue::TimestampMicrosecond(Some(max), _),
    ) = (min, max)
    else {
        return;
    };
    let day = |day: i64| {
        let micros = day.saturating_mul(DAY_MICROS);
        Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
    };
    known.null_count = Precision::Exact(0);
    known.min_value = day(min.div_euclid(DAY_MICROS));
    known.max_value = day(max.div_euclid(DAY_MICROS).saturating_add(1));
}

/// The rows that count as the reader selects them; it wants every row of the file named.
fn selection(file: &ScanFile<'_>, kept: &[Range<u64>]) -> Result<RowSelection> {
    let mut selectors = Vec::new();
    let mut next = 0u64;
    for range in kept {
        if range.start < next || range.end < range.start || range.end > file.rows {
            return Err(DataFusionError::Internal(format!(
                "rows {} to {} of {} are out of order or beyond its {} rows",
                range.start, range.end, file.path, file.rows
            )));
        }
        if range.start > next {
            selectors.push(RowSelector::skip(count(range.start - next)?));
        }
        if range.end > range.start {
            selectors.push(RowSelector::select(count(range.end - range.start)?));
        }
        next = range.end;
    }
    if next < file.rows {
        selectors.push(RowSelector::skip(count(file.rows - next)?));
    }
    Ok(RowSelection::from(selectors))
}

fn count(rows: u64) -> Result<usize> {
    usize::try_from(rows)
        .map_err(|_| DataFusionError::Internal(format!("{rows} rows are more than memory has")))
}

/// The table's schema as queries see it: text and bytes as views, which the reader makes without
/// copying and filters and groups fastest; no field metadata, which only the writer needs.
pub(crate) fn view_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Binary => DataType::BinaryView,
            other => other.clone(),
        };
        Field::new(field.name(), kind, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn parquet_options(selective: bool) -> TableParquetOptions {
    let mut options = TableParquetOptions::default();
    options.global.pruning = true;
    options.global.enable_page_index = true;
    options.global.bloom_filter_on_read = true;
    options.global.pushdown_filters = selective;
    options.global.reorder_filters = selective;
    options.global.max_in_list_size = IN_LIST_COUNT_MAX;
    options.global.max_predicate_cache_size = Some(PREDICATE_CACHE_BYTES);
    options
}

/// Memory the reader may use, per file, to keep columns it filtered by; its default is 100 MB.
const PREDICATE_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Most files that get bounds of their own, for pruning while the query runs (the newest rows by
/// time, say). They take about 30 KB a file, as they name all columns.
const FILES_WITH_BOUNDS_MAX: usize = 1_000;
