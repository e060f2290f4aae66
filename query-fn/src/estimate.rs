//! What a query would cost, known before it runs.
//!
//! Which files it may read is certain: the plan names them. How much of each is what the columns it
//! wants take there. Files whose ends are known say so exactly; of the others a few are sampled,
//! and the rest are taken to be alike. What row groups, pages and bloom filters exclude, and what a
//! LIMIT makes needless, is in the numbers: a query for a needle reads far less.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use archive::snapshot::Snapshot;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::source::DataSourceExec;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use object_store::path::Path;
use serde::Serialize;

use crate::error::{Code, QueryError};
use crate::fetch::{self, OpenFile, ROW_GROUP_ROWS, SMALL_FILE_BYTES, Wanted};
use crate::footers::{End, Readers};
use crate::note;
use crate::prices::{Dollars, Prices};
use crate::prune::Verdict;
use crate::receipt::{Evidence, mode_name};
use crate::request::Caps;
use crate::scans::wide;

/// What a query would cost, if nothing within a file could be skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Version of the archive.
    pub version: u64,
    /// The archive's table id.
    pub table_id: String,
    /// `fresh` or `strict`.
    pub mode: &'static str,
    /// Files of the tables the query names.
    pub files_total: u64,
    /// Files left out because their date can not match.
    pub files_pruned_partition: u64,
    /// Files left out because the statistics in their commit exclude every row.
    pub files_pruned_statistics: u64,
    /// Files that are left; a file that two scans read counts once.
    pub files: u64,
    /// Rows in the files of all scans. None if a part of the query repeats itself, nobody knows how
    /// often.
    pub rows: Option<u64>,
    /// Bytes read from data files; none as above.
    pub bytes: Option<u64>,
    /// Requests for data files; none as above.
    pub requests: Option<u64>,
    /// Milliseconds of one processor for reading and decoding, roughly; what the query makes of the
    /// rows comes on top. None as above.
    pub cpu_millis: Option<u64>,
    /// What requests and computing cost; none as above.
    pub dollars: Option<Dollars>,
    /// What that rests on.
    pub prices: Prices,
    /// Files of which an end was read for this.
    pub files_sampled: u64,
    /// Files of whose ends nobody knows anything, which are taken to be like the others. Only if
    /// there are none, the numbers are upper bounds.
    pub files_guessed: u64,
    /// Requests that the estimate itself took, those for the log included.
    pub estimate_requests: u64,
    /// Bytes that it read.
    pub estimate_bytes_read: u64,
    /// Microseconds that it took.
    pub elapsed_micros: u64,
}

impl Estimate {
    /// The estimate of a query that is planned.
    pub(crate) fn of(evidence: &Evidence, reads: &Reads, prices: &Prices, took: Duration) -> Self {
        let count = |verdict| evidence.scans.count(verdict);
        let (dates, statistics) = (count(Verdict::Partition), count(Verdict::Statistics));
        let millis = reads.cost.map(Cost::cpu_millis);
        let dollars = |cost: Cost| prices.total(cost.requests, cost.cpu_millis());
        let (snapshot, own) = (evidence.snapshot_cost, &evidence.meter);
        Self {
            version: evidence.snapshot.version,
            table_id: evidence.snapshot.table_id.clone(),
            mode: mode_name(evidence.snapshot.mode),
            files_total: count(Verdict::Kept) + dates + statistics,
            files_pruned_partition: dates,
            files_pruned_statistics: statistics,
            files: reads.files,
            rows: reads.cost.map(|cost| cost.rows),
            bytes: reads.cost.map(|cost| cost.bytes),
            requests: reads.cost.map(|cost| cost.requests),
            cpu_millis: millis,
            dollars: reads.cost.map(dollars),
            prices: prices.clone(),
            files_sampled: wide(reads.opened.len()),
            files_guessed: reads.files_guessed,
            estimate_requests: snapshot.requests.saturating_add(own.requests()),
            estimate_bytes_read: snapshot.bytes.saturating_add(own.bytes()),
            elapsed_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Whether the query stays within caps.
    ///
    /// # Errors
    /// `LIMIT_BYTES`, `LIMIT_REQUESTS` or `LIMIT_COST` for the first that it would pass.
    pub(crate) fn check(&self, caps: &Caps) -> Result<(), QueryError> {
        let refuse = |code, found: Option<String>, cap: String| {
            let text = match found {
                Some(found) => format!(
                    "the query was not run: it would cost about {found}, more than the cap of \
                     {cap}; narrow event_date or event_time, select fewer columns, or raise the cap"
                ),
                None => format!(
                    "the query was not run: a part of it repeats itself, so nobody knows whether \
                     it stays below the cap of {cap}; ask without WITH RECURSIVE over the archive, \
                     or limit what is read while it runs"
                ),
            };
            Err(QueryError::new(code, text))
        };
        if let Some(cap) = caps.bytes.filter(|cap| self.bytes.is_none_or(|bytes| bytes > *cap)) {
            let found = self.bytes.map(|bytes| format!("{bytes} bytes"));
            return refuse(Code::LimitBytes, found, format!("{cap} bytes"));
        }
        let over = |cap: &u64| self.requests.is_none_or(|requests| requests > *cap);
        if let Some(cap) = caps.requests.filter(over) {
            let found = self.requests.map(|requests| format!("{requests} requests"));
            return refuse(Code::LimitRequests, found, format!("{cap} requests"));
        }
        let over = |cap: &Dollars| self.dollars.is_none_or(|dollars| dollars > *cap);
        if let Some(cap) = caps.dollars.filter(over) {
            let found = self.dollars.map(|dollars| format!("${dollars}"));
            return refuse(Code::LimitCost, found, format!("${cap}"));
        }
        Ok(())
    }
}

/// What the files of a plan take.
#[derive(Default)]
pub(crate) struct Reads {
    pub(crate) files: u64,
    pub(crate) files_guessed: u64,
    /// None if a scan may run any number of times.
    pub(crate) cost: Option<Cost>,
    /// The files that were sampled: as long as they are held, their ends need not be read again.
    pub(crate) opened: Vec<Arc<OpenFile>>,
}

/// What scans take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
}

impl Cost {
    const fn request(bytes: u64) -> Self {
        Self { rows: 0, bytes, requests: 1 }
    }

    fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.requests = self.requests.saturating_add(other.requests);
    }

    /// Milliseconds of a processor.
    pub(crate) fn cpu_millis(self) -> u64 {
        let reading = self.bytes.div_ceil(CPU_BYTES_PER_MILLI);
        reading.saturating_add(self.requests.saturating_mul(CPU_MICROS_PER_REQUEST).div_ceil(1_000))
    }
}

/// A file as a scan of the plan reads it.
struct Part {
    path: Path,
    bytes: u64,
    first_bytes: u64,
    wanted: Arc<Wanted>,
    /// Whether rows may be left out within a column.
    skips_pages: bool,
    /// Columns by which rows are filtered while decoding, besides those of the query's own
    /// conditions: those of joins, and of the newest rows so far.
    further_filters: usize,
}

/// The scans of a plan.
#[derive(Default)]
struct Plan {
    /// By scan, its files.
    scans: Vec<Vec<Part>>,
    is_endless: bool,
}

impl Plan {
    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            let source = note::without(scan.data_source());
            if let Some(config) = source.downcast_ref::<FileScanConfig>() {
                self.scans.push(parts(config));
            }
        }
        for (number, child) in plan.children().into_iter().enumerate() {
            let before = self.scans.len();
            self.add(child);
            // The second input of a recursion runs again and again.
            let repeats = number > 0 && plan.is::<RecursiveQueryExec>();
            self.is_endless = self.is_endless || repeats && self.scans.len() > before;
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.scans.iter().flatten()
    }
}

/// The files of a scan, each once: a long file may be in the hands of several threads.
fn parts(config: &FileScanConfig) -> Vec<Part> {
    let mut seen = HashSet::new();
    let filter = config.file_source().filter();
    let filtered_by = filter.map_or(0, |filter| collect_columns(&filter).len());
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    let files = files.filter(|file| seen.insert(file.object_meta.location.clone()));
    let parts = files.map(|file| {
        let wanted = file.extensions.get_arc::<Wanted>().unwrap_or_default();
        let hint = file.metadata_size_hint.and_then(|hint| u64::try_from(hint).ok());
        let selected = file.extensions.get_arc::<ParquetRowSelection>().is_some();
        Part {
            path: file.object_meta.location.clone(),
            bytes: file.object_meta.size,
            first_bytes: hint.unwrap_or(SMALL_FILE_BYTES).min(file.object_meta.size),
            skips_pages: selected || filtered_by > 0 || !wanted.filters.is_empty(),
            further_filters: filtered_by.saturating_sub(wanted.filters.len()),
            wanted,
        }
    });
    parts.collect()
}

/// What a plan reads. A few ends of files may be read for it, unless each file is hashed: then one
/// end would cost the whole file.
///
/// # Errors
/// If an end can not be read.
pub(crate) async fn reads(
    plan: &Arc<dyn ExecutionPlan>,
    snapshot: &Snapshot,
    readers: &Readers,
    files_hashed: bool,
) -> Result<Reads, QueryError> {
    let mut planned = Plan::default();
    planned.add(plan);
    let paths: HashSet<&Path> = planned.parts().map(|part| &part.path).collect();
    let files = wide(paths.len());
    if planned.is_endless {
        return Ok(Reads { files, ..Reads::default() });
    }
    let ends = Ends::learn(&planned, readers, files_hashed).await?;
    let rows = rows_by_path(snapshot);
    let (mut cost, mut guessed) = (Cost::default(), HashSet::new());
    for scan in &planned.scans {
        let mut alike = Alike::default();
        for part in scan {
            let rows = rows.get(part.path.as_ref()).copied().unwrap_or(0);
            let (end, data) = ends.cost(part);
            cost.add(Cost { rows, ..end });
            match data {
                Some(data) => {
                    alike.learn(part.bytes, data);
                    cost.add(data);
                }
                None if files_hashed => cost.add(part.whole(rows)),
                None => {
                    alike.guess(part.bytes);
                    let _ = guessed.insert(&part.path);
                }
            }
        }
        cost.add(alike.guessed());
    }
    if files_hashed {
        // Before a part of it is used.
        let whole: HashMap<&Path, u64> =
            planned.parts().map(|part| (&part.path, part.bytes)).collect();
        whole.into_values().for_each(|bytes| cost.add(Cost::request(bytes)));
    }
    let files_guessed = wide(guessed.len());
    let opened = ends.sampled.into_values().map(|sample| sample.file).collect();
    Ok(Reads { files, files_guessed, cost: Some(cost), opened })
}

/// At most so many of the parts, from the shortest file to the longest.
fn spread<'a>(parts: &[&'a Part]) -> Vec<&'a Part> {
    if parts.len() <= SAMPLES_MAX {
        return parts.to_vec();
    }
    let last = parts.len().saturating_sub(1);
    let at = (0..SAMPLES_MAX).map(|sample| sample * last / (SAMPLES_MAX - 1));
    at.filter_map(|at| parts.get(at).copied()).collect()
}

fn rows_by_path(snapshot: &Snapshot) -> HashMap<&str, u64> {
    let events = snapshot.files.iter().map(|file| (file.entry.path.as_str(), file.entry.rows));
    let rejects = snapshot.quarantine.iter();
    let rejects = rejects.map(|file| (file.entry.path.as_str(), file.entry.rows));
    events.chain(rejects).collect()
}

/// A file whose end was read for the estimate.
struct Sample {
    file: Arc<OpenFile>,
    end: Arc<End>,
}

/// What is known of the ends of files.
struct Ends<'a> {
    /// Before the estimate: a query need not read them.
    known: HashMap<&'a Path, Arc<End>>,
    /// By the estimate: in its numbers they are read.
    sampled: HashMap<Path, Sample>,
}

impl<'a> Ends<'a> {
    /// Asks what other queries learnt, and reads a few of the other ends.
    async fn learn(
        planned: &'a Plan,
        readers: &Readers,
        files_hashed: bool,
    ) -> Result<Self, QueryError> {
        let mut known: HashMap<&Path, Arc<End>> = HashMap::new();
        let mut unknown: BTreeMap<(u64, &Path), &Part> = BTreeMap::new();
        for part in planned.parts() {
            match readers.known_end(&part.path, part.bytes) {
                Some(end) => {
                    let _ = known.insert(&part.path, end);
                }
                None if part.bytes > SMALL_FILE_BYTES && !files_hashed => {
                    let _ = unknown.insert((part.bytes, &part.path), part);
                }
                None => {}
            }
        }
        let unknown: Vec<&Part> = unknown.into_values().collect();
        let samples =
            spread(&unknown).into_iter().map(|part| sample(Arc::clone(readers), part).boxed());
        let samples: Vec<BoxFuture<'static, _>> = samples.collect();
        let sampled =
            try_join_all(samples).await.map_err(|e| QueryError::from_engine(&e.into()))?;
        let sampled = sampled.into_iter().collect();
        Ok(Self { known, sampled })
    }

    /// What the request for a file's end costs, and what is read besides, if that is known.
    fn cost(&self, part: &Part) -> (Cost, Option<Cost>) {
        if let Some(end) = self.known.get(&part.path) {
            return (Cost::default(), Some(data(part, end, part.bytes)));
        }
        let end = Cost::request(part.first_bytes);
        if part.bytes <= SMALL_FILE_BYTES {
            // That is all of it.
            return (end, Some(Cost::default()));
        }
        (end, self.sampled.get(&part.path).map(|sample| sample.data(part)))
    }
}

/// Reads the end of a file.
fn sample(
    readers: Readers,
    part: &Part,
) -> impl Future<Output = Result<(Path, Sample), ParquetError>> + Send + use<> {
    let (path, first_bytes) = (part.path.clone(), part.first_bytes);
    let file = readers.open(&path, part.bytes);
    async move {
        let end = file.end(&readers, first_bytes, false).await?;
        Ok((path, Sample { file, end }))
    }
}

impl Sample {
    /// What a scan reads of the file besides the request for its end. A later query, to which the
    /// end is known but not the data that came along with it, may read more bytes.
    fn data(&self, part: &Part) -> Cost {
        let from = self.file.in_memory_from();
        let mut cost = data(part, &self.end, from);
        let first = part.bytes.saturating_sub(part.first_bytes);
        if from < first {
            // The footer was longer than expected, and took a second request.
            cost.add(Cost::request(first - from));
        }
        let later = data(part, &self.end, part.bytes).bytes;
        cost.bytes = cost.bytes.max(later.saturating_sub(part.first_bytes));
        cost
    }
}

impl Part {
    /// All of a file that is not known, besides the request for its end.
    fn whole(&self, rows: u64) -> Cost {
        let groups = rows.div_ceil(ROW_GROUP_ROWS).max(1);
        let filters = wide(self.wanted.filters.len());
        // The page index, and of each row group the columns and the bloom filters.
        let requests = groups.saturating_mul(filters.saturating_mul(2).saturating_add(1));
        let requests = requests.saturating_add(1).saturating_add(apart(self.bytes));
        Cost { rows: 0, bytes: self.bytes, requests }
    }
}

/// The long files of a scan: those whose ends are known, and those that are taken to be like them.
#[derive(Debug, Default)]
struct Alike {
    known_bytes: u64,
    /// What is read of the known ones, besides the requests for their ends.
    data: Cost,
    guessed_bytes: u64,
    guessed: u64,
}

impl Alike {
    fn learn(&mut self, file_bytes: u64, data: Cost) {
        if file_bytes > SMALL_FILE_BYTES {
            self.known_bytes = self.known_bytes.saturating_add(file_bytes);
            self.data.add(data);
        }
    }

    fn guess(&mut self, file_bytes: u64) {
        self.guessed_bytes = self.guessed_bytes.saturating_add(file_bytes);
        self.guessed = self.guessed.saturating_add(1);
    }

    /// What is read of all that are not known.
    fn guessed(&self) -> Cost {
        let share = |of: u64| {
            let share = u128::from(self.guessed_bytes) * u128::from(of);
            u64::try_from(share.div_ceil(u128::from(self.known_bytes.max(1)))).unwrap_or(u64::MAX)
        };
        let requests = share(self.data.requests);
        // One each, if anything is read of them at all.
        let least = if requests > 0 { self.guessed } else { 0 };
        Cost { rows: 0, bytes: share(self.data.bytes), requests: requests.max(least) }
    }
}

/// What a scan reads of a file whose end is known, and of which the bytes beginning at `from` are in
/// memory: the page index and bloom filters, if they are wanted, and the row groups.
fn data(part: &Part, end: &End, from: u64) -> Cost {
    let (mut cost, wanted) = (Cost::default(), &part.wanted);
    let unread = |range: &Range<u64>| range.start < from;
    if !wanted.filters.is_empty()
        && let Some(index) = fetch::unread_index(&end.metadata)
    {
        cost.add(Cost::request(length(&index)));
    }
    for group in end.metadata.row_groups() {
        let of = |columns: &[usize]| fetch::chunks_of(&end.metadata, group, columns);
        let (all, filters) = (of(&wanted.columns), of(&wanted.filters));
        if !wanted.is_selective {
            cost.add(joined(all.into_iter().filter(unread).collect(), part.skips_pages));
        } else if fetch::are_few(&all) {
            cost.add(joined(all.into_iter().filter(unread).collect(), false));
        } else {
            // The columns of the filters first, together if they are short, and then the others.
            let (first, others): (Vec<_>, Vec<_>) =
                all.into_iter().filter(unread).partition(|chunk| filters.contains(chunk));
            let one_by_one = !fetch::are_few(&filters);
            let further = if one_by_one { wide(first.len().saturating_sub(1)) } else { 0 };
            cost.add(joined(first, one_by_one));
            cost.add(joined(others, true));
            cost.requests =
                cost.requests.saturating_add(further).saturating_add(wide(part.further_filters));
        }
        for bloom in fetch::blooms_of(&end.metadata, group, &wanted.filters) {
            if end.bytes(&bloom).is_none() {
                cost.add(Cost::request(length(&bloom)));
            }
        }
    }
    cost
}

/// Ranges as the store asks for them: those that are near each other at once, with what is between.
/// Where pages may be left out, what is between them may be too long for one request.
fn joined(mut ranges: Vec<Range<u64>>, skips_pages: bool) -> Cost {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(COALESCED_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ => all.push(range),
        }
    }
    let mut cost = Cost::default();
    for range in all {
        cost.add(Cost::request(length(&range)));
        if skips_pages {
            cost.requests = cost.requests.saturating_add(apart(length(&range)));
        }
    }
    cost
}

/// How many gaps that are too long for one request may be in so many bytes.
const fn apart(bytes: u64) -> u64 {
    bytes / COALESCED_BYTES
}

const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Bytes between two ranges up to which the store asks for both at once.
const COALESCED_BYTES: u64 = 1024 * 1024;

/// Files whose ends are read for one estimate, side by side. Files of an archive are much alike.
const SAMPLES_MAX: usize = 8;

/// What one processor reads and decodes of compressed bytes in a millisecond, and what a request
/// takes of it.
const CPU_BYTES_PER_MILLI: u64 = 150_000;
const CPU_MICROS_PER_REQUEST: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_as_the_store_joins_them() {
        let far = COALESCED_BYTES + 1;
        let cost = |bytes, requests| Cost { rows: 0, bytes, requests };
        // The gap is one byte too long.
        assert_eq!(joined(vec![10 + far..20 + far, 0..5, 4..10], false), cost(20, 2));
        assert_eq!(joined(vec![9 + far..20 + far, 0..5, 4..10], false), cost(20 + far, 1));
        assert_eq!(joined(vec![9 + far..20 + far, 0..5, 4..10], true), cost(20 + far, 2));
        let long = std::iter::once(0..3 * COALESCED_BYTES).collect();
        assert_eq!(joined(long, true), cost(3 * COALESCED_BYTES, 4));
        assert_eq!(joined(Vec::new(), true), Cost::default());
    }

    #[test]
    fn samples_are_spread_over_the_lengths_of_files() {
        let part = |bytes: u64| Part {
            path: Path::from(format!("{bytes}")),
            bytes,
            first_bytes: 0,
            wanted: Arc::default(),
            skips_pages: false,
            further_filters: 0,
        };
        for (files, expected) in [
            (0, vec![]),
            (3, vec![0, 1, 2]),
            (8, vec![0, 1, 2, 3, 4, 5, 6, 7]),
            (9, vec![0, 1, 2, 3, 4, 5, 6, 8]),
            (64, vec![0, 9, 18, 27, 36, 45, 54, 63]),
        ] {
            let parts: Vec<Part> = (0..files).map(part).collect();
            let parts: Vec<&Part> = parts.iter().collect();
            let sampled: Vec<u64> = spread(&parts).iter().map(|part| part.bytes).collect();
            assert_eq!(sampled, expected, "{files}");
        }
    }
}
