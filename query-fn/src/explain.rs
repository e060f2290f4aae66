//! Why each file of each scan was read or not: what a receipt says if it is asked for.
//!
//! What is said of a file that was left out rests on its commit alone: the condition that drops
//! it, and what the commit says of the columns the condition is about. What is said of row groups
//! and pages is what the reader counted, file by file; which of several conditions excluded a row
//! group, nobody knows.

use archive::snapshot::Snapshot;
use common::date::rfc3339;
use common::manifest::FileEntry;
use common::schema::{COLUMNS, ColumnType, EVENT_DATE};
use common::stats::StatValue;
use object_store::path::Path;
use serde::Serialize;

use crate::meter::Meter;
use crate::prune::{EVENT_TIME, Verdict};
use crate::scans::{Condition, ScanRecord, Scans, Table, Work, shortened, wide};

/// What became of the files of each scan, in the order in which the scans were planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruning {
    /// The scans.
    pub scans: Vec<ScanPruning>,
}

/// What became of the files of one scan. A table that a query names twice is scanned twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScanPruning {
    /// The table.
    pub table: &'static str,
    /// What the scan was asked for: all of these hold. As SQL, long ones cut short.
    pub conditions: Vec<String>,
    /// Files of the table.
    pub files_total: u64,
    /// Files with this outcome.
    pub files_read: u64,
    /// Files with this outcome.
    pub files_pruned_partition: u64,
    /// Files with this outcome.
    pub files_pruned_statistics: u64,
    /// Files with this outcome.
    pub files_pruned_row_groups: u64,
    /// Files with this outcome.
    pub files_not_needed: u64,
    /// How many files each condition dropped: a file counts for the first that does it alone.
    pub pruned_by: Vec<PrunedBy>,
    /// Files, at most a hundred in all scans: those that were read come first.
    pub files: Vec<FilePruning>,
    /// Files not in that list.
    pub files_left_out: u64,
}

/// A condition, and what it was good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrunedBy {
    /// The condition.
    pub condition: String,
    /// Files it dropped.
    pub files: u64,
}

/// What became of one file in one scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilePruning {
    /// Key below the archive's URL.
    pub path: String,
    /// Rows in the file.
    pub rows: u64,
    /// Its length.
    pub file_bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The condition that drops the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What the commit says of the columns of that condition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// What became of its row groups, if they were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_groups: Option<RowGroups>,
    /// Bytes that the query read of the file, in all scans together.
    pub bytes_read_by_query: u64,
    /// Requests for the file, in all scans together.
    pub requests_by_query: u64,
}

/// What became of a file in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Rows of it were looked at, or would have been, had the answer not been complete before.
    Read,
    /// Its row groups were looked at, and their statistics or bloom filters exclude each of them.
    PrunedRowGroups,
    /// It could match, but the answer was complete without it: a LIMIT, the newest rows, a number
    /// known from the commit.
    NotNeeded,
    /// What its commit says of its columns excludes every row.
    PrunedStatistics,
    /// Its date does not match.
    PrunedPartition,
}

/// What a commit says of a column of one file. Texts are cut short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// The column.
    pub column: String,
    /// No value is smaller; `None` if not known, or all are NULL.
    pub min: Option<String>,
    /// No value is larger.
    pub max: Option<String>,
    /// Rows in which it is NULL; `None` if not known.
    pub nulls: Option<u64>,
}

/// What became of the row groups of a file in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowGroups {
    /// Excluded by their statistics.
    pub pruned_statistics: u64,
    /// Excluded by a bloom filter.
    pub pruned_bloom: u64,
    /// Not needed: the answer was complete without them.
    pub not_needed: u64,
    /// Read at least in part, unless the answer was complete before.
    pub read: u64,
    /// Rows of those whose pages the page index excludes.
    pub rows_pruned_page_index: u64,
}

impl Pruning {
    pub(crate) fn of(scans: &Scans, snapshot: &Snapshot, meter: &Meter) -> Self {
        let planned = scans.planned();
        let listed_max = (FILES_LISTED_MAX / planned.len().max(1)).max(1);
        let scans =
            planned.iter().map(|record| Explained { record, snapshot, meter }.scan(listed_max));
        Self { scans: scans.collect() }
    }

    /// Halves the lists of files. False if there is nothing left to leave out.
    pub(crate) fn halve(&mut self) -> bool {
        let mut is_shorter = false;
        for scan in self.scans.iter_mut().filter(|scan| !scan.files.is_empty()) {
            let left = scan.files.len() / 2;
            scan.files_left_out += wide(scan.files.len() - left);
            scan.files.truncate(left);
            is_shorter = true;
        }
        is_shorter
    }
}

/// A scan and what is known around it.
struct Explained<'a> {
    record: &'a ScanRecord,
    snapshot: &'a Snapshot,
    meter: &'a Meter,
}

impl Explained<'_> {
    fn scan(&self, listed_max: usize) -> ScanPruning {
        let mut work = self.record.work_by_file();
        for (file, excluded) in self.record.excluded() {
            let _ = work.insert(self.location(*file).to_string(), *excluded);
        }
        let outcomes: Vec<(Outcome, usize)> = (0..self.record.verdicts().len())
            .map(|file| (self.outcome(file, work.get(self.location(file).as_ref())), file))
            .collect();
        let count = |wanted| wide(outcomes.iter().filter(|(found, _)| *found == wanted).count());
        let mut listed = outcomes.clone();
        listed.sort_unstable();
        listed.truncate(listed_max);
        let files: Vec<FilePruning> = listed
            .into_iter()
            .map(|(outcome, file)| self.file(file, outcome, work.get(self.location(file).as_ref())))
            .collect();
        let conditions = self.record.why().map_or(&[][..], |why| &why.conditions);
        ScanPruning {
            table: self.record.table().name(),
            conditions: conditions.iter().map(|condition| condition.text.clone()).collect(),
            files_total: wide(outcomes.len()),
            files_read: count(Outcome::Read),
            files_pruned_partition: count(Outcome::PrunedPartition),
            files_pruned_statistics: count(Outcome::PrunedStatistics),
            files_pruned_row_groups: count(Outcome::PrunedRowGroups),
            files_not_needed: count(Outcome::NotNeeded),
            pruned_by: self
                .record
                .dropped_by()
                .into_iter()
                .map(|(condition, files)| PrunedBy { condition: condition.text.clone(), files })
                .collect(),
            files_left_out: wide(outcomes.len() - files.len()),
            files,
        }
    }

    fn outcome(&self, file: usize, work: Option<&Work>) -> Outcome {
        match self.record.verdicts()[file] {
            Verdict::Partition => Outcome::PrunedPartition,
            Verdict::Statistics => Outcome::PrunedStatistics,
            Verdict::Kept => match work {
                Some(work) if work.row_groups_seen > 0 => {
                    let pruned = work.row_groups_pruned_statistics + work.row_groups_pruned_bloom;
                    if work.row_groups_read() > 0 {
                        Outcome::Read
                    } else if pruned == work.row_groups_seen {
                        Outcome::PrunedRowGroups
                    } else {
                        Outcome::NotNeeded
                    }
                }
                _ => Outcome::NotNeeded,
            },
        }
    }

    fn file(&self, file: usize, outcome: Outcome, work: Option<&Work>) -> FilePruning {
        let location = self.location(file);
        let spent = self.meter.spent(&location);
        let (rows, file_bytes) = match self.record.table() {
            Table::Events => {
                let entry = &self.snapshot.files[file].entry;
                (entry.rows, entry.bytes)
            }
            Table::Quarantine => {
                let entry = &self.snapshot.quarantine[file].entry;
                (entry.rows, entry.bytes)
            }
        };
        let condition = self.record.blamed(file);
        let bounds = match (condition, self.record.table()) {
            (Some(condition), Table::Events) => {
                self.bounds(&self.snapshot.files[file].entry, condition)
            }
            _ => Vec::new(),
        };
        let looked_at = work.filter(|work| work.row_groups_seen > 0);
        FilePruning {
            path: location.to_string(),
            rows,
            file_bytes,
            outcome,
            condition: condition.map(|condition| condition.text.clone()),
            bounds,
            row_groups: looked_at.map(|work| RowGroups {
                pruned_statistics: work.row_groups_pruned_statistics,
                pruned_bloom: work.row_groups_pruned_bloom,
                not_needed: work.row_groups_needless,
                read: work.row_groups_read(),
                rows_pruned_page_index: work.rows_pruned_page_index,
            }),
            bytes_read_by_query: spent.bytes,
            requests_by_query: spent.requests,
        }
    }

    /// As the store and the reader's counters name the file.
    fn location(&self, file: usize) -> Path {
        match self.record.table() {
            Table::Events => Path::from(self.snapshot.files[file].entry.path.as_str()),
            Table::Quarantine => Path::from(self.snapshot.quarantine[file].entry.path.as_str()),
        }
    }

    fn bounds(&self, entry: &FileEntry, condition: &Condition) -> Vec<Bounds> {
        let columns = condition.columns.iter().take(COLUMNS_LISTED_MAX);
        columns.map(|column| bounds_of(entry, column)).collect()
    }
}

fn bounds_of(entry: &FileEntry, column: &str) -> Bounds {
    let both = |min: Option<String>, max: Option<String>, nulls| Bounds {
        column: column.to_owned(),
        min,
        max,
        nulls,
    };
    if column == EVENT_DATE {
        let date = entry.event_date.to_string();
        return both(Some(date.clone()), Some(date), Some(0));
    }
    if column == EVENT_TIME {
        let moment = |micros| Some(rfc3339(micros, 6));
        let (min, max) = (entry.event_time_micros_min, entry.event_time_micros_max);
        return both(moment(min), moment(max), Some(0));
    }
    let kind = COLUMNS.iter().find(|known| known.name == column).map(|known| known.kind);
    let shown = |value: &Option<StatValue>| match value.as_ref()? {
        StatValue::Bool(flag) => Some(flag.to_string()),
        StatValue::Int(micros) if kind == Some(ColumnType::Timestamp) => Some(rfc3339(*micros, 6)),
        StatValue::Int(number) => Some(number.to_string()),
        StatValue::Text(text) => Some(shortened(text, BOUND_CHARS_MAX)),
    };
    match entry.stats.get(column) {
        Some(stats) => both(shown(&stats.min), shown(&stats.max), Some(stats.nulls)),
        None => both(None, None, None),
    }
}

/// Files named in one report: as many as a person looks through. Counts tell of the rest.
const FILES_LISTED_MAX: usize = 100;

/// Columns of one condition whose bounds are shown.
const COLUMNS_LISTED_MAX: usize = 8;

/// Longest bound shown.
const BOUND_CHARS_MAX: usize = 64;
