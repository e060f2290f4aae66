//! What the scans of one query decided, file by file, and what came of it when they ran.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use common::date::{DAY_MICROS, EventDate, rfc3339};
use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Metric, MetricValue};
use datafusion::scalar::ScalarValue;
use datafusion::sql::unparser::Unparser;

use crate::prune::Verdict;

/// A table of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Events,
    Quarantine,
}

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Events => EVENTS_TABLE,
            Self::Quarantine => QUARANTINE_TABLE,
        }
    }
}

/// The scans of one query, in the order in which they were planned. A query that names a table
/// twice scans it twice, each time with conditions of its own.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scans {
    planned: Arc<Mutex<Vec<Arc<ScanRecord>>>>,
    say_why: bool,
    plan_only: bool,
}

impl Scans {
    /// No scans yet. To say why a file is left out takes a look at each condition by itself.
    pub(crate) fn new(say_why: bool) -> Self {
        Self { say_why, ..Self::default() }
    }

    /// The same of a query that is only planned, for which nothing of a file may be read.
    pub(crate) const fn planned_only(mut self, plan_only: bool) -> Self {
        self.plan_only = plan_only;
        self
    }

    pub(crate) const fn is_planned_only(&self) -> bool {
        self.plan_only
    }

    pub(crate) const fn say_why(&self) -> bool {
        self.say_why
    }

    pub(crate) fn keep(&self, record: ScanRecord) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(record));
    }

    pub(crate) fn planned(&self) -> Vec<Arc<ScanRecord>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many files have this verdict, of a file scanned more than once the one that reads most.
    pub(crate) fn count(&self, verdict: Verdict) -> u64 {
        let planned = self.planned();
        let mut count = 0u64;
        for table in [Table::Events, Table::Quarantine] {
            let mut merged: Vec<Verdict> = Vec::new();
            for record in planned.iter().filter(|record| record.table == table) {
                merged.resize(record.verdicts.len(), Verdict::Partition);
                for (old, new) in merged.iter_mut().zip(&record.verdicts) {
                    *old = (*old).max(*new);
                }
            }
            count = count.saturating_add(wide(merged.iter().filter(|v| **v == verdict).count()));
        }
        count
    }

    /// What all scans did.
    pub(crate) fn work(&self) -> Work {
        let mut work = Work::default();
        for record in self.planned() {
            record.each_metric(|metric| work.add(metric.value()));
            for (_, excluded) in &record.excluded {
                work.row_groups_seen += excluded.row_groups_seen;
                work.row_groups_pruned_statistics += excluded.row_groups_pruned_statistics;
                work.row_groups_pruned_bloom += excluded.row_groups_pruned_bloom;
            }
        }
        work
    }
}

/// Names and values that plans show of a scan.
pub(crate) type Note = Vec<(&'static str, String)>;

/// One scan of a table.
#[derive(Debug)]
pub(crate) struct ScanRecord {
    table: Table,
    /// By file, in the order of the snapshot.
    verdicts: Vec<Verdict>,
    why: Option<Why>,
    /// Files that were looked at before, and of which no row can match.
    excluded: Vec<(usize, Work)>,
    /// Counters of the nodes that read its files.
    metrics: Vec<ExecutionPlanMetricsSet>,
}

/// Why files were left out.
#[derive(Debug)]
pub(crate) struct Why {
    /// What the scan was asked for: all of these hold.
    pub(crate) conditions: Vec<Condition>,
    /// By file, which condition drops it.
    pub(crate) blamed: Vec<Option<usize>>,
}

/// A condition that was pushed down to a scan.
#[derive(Debug)]
pub(crate) struct Condition {
    /// As SQL.
    pub(crate) text: String,
    /// Columns it is about.
    pub(crate) columns: Vec<String>,
}

impl Condition {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut columns: Vec<String> =
            expr.column_refs().into_iter().map(|column| column.name.clone()).collect();
        columns.sort_unstable();
        columns.dedup();
        let plain = expr.clone().transform(|node| {
            Ok(match node {
                // Names without the table's, as in `principal = 'x'`.
                Expr::Column(column) => {
                    Transformed::yes(Expr::Column(Column::from_name(column.name)))
                }
                // Dates and moments without their type.
                Expr::Literal(value, _) => match moment(&value) {
                    Some(text) => Transformed::yes(lit(text)),
                    None => Transformed::no(Expr::Literal(value, None)),
                },
                other => Transformed::no(other),
            })
        });
        let plain = plain.map_or_else(|_| expr.clone(), |plain| plain.data);
        let sql = Unparser::default().with_pretty(true);
        let text =
            sql.expr_to_sql(&plain).map_or_else(|_| plain.to_string(), |sql| sql.to_string());
        Self { text: shortened(&text, CONDITION_CHARS_MAX), columns }
    }
}

fn moment(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Date32(Some(days)) => {
            Some(EventDate::of_micros(i64::from(*days) * DAY_MICROS).to_string())
        }
        ScalarValue::TimestampMicrosecond(Some(micros), Some(zone)) if &**zone == "UTC" => {
            Some(rfc3339(*micros, 6))
        }
        _ => None,
    }
}

impl ScanRecord {
    pub(crate) const fn new(table: Table, verdicts: Vec<Verdict>, why: Option<Why>) -> Self {
        Self { table, verdicts, why, excluded: Vec::new(), metrics: Vec::new() }
    }

    /// Remembers that a file was looked at, and that no row of it can match.
    pub(crate) fn exclude(&mut self, file: usize, work: Work) {
        self.excluded.push((file, work));
    }

    /// Files that are not scanned since no row of them can match, as their ends say.
    pub(crate) fn excluded(&self) -> &[(usize, Work)] {
        &self.excluded
    }

    pub(crate) const fn table(&self) -> Table {
        self.table
    }

    pub(crate) fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    pub(crate) const fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    /// Remembers the counters of the nodes that will read the files. The optimizer replaces nodes,
    /// and hands the counters on.
    pub(crate) fn watch(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            self.metrics.push(scan.data_source().metrics());
        }
        for child in plan.children() {
            self.watch(child);
        }
    }

    /// The condition that drops a file.
    pub(crate) fn blamed(&self, file: usize) -> Option<&Condition> {
        let why = self.why.as_ref()?;
        why.conditions.get((*why.blamed.get(file)?)?)
    }

    /// How many files each condition dropped, those that dropped none left out.
    pub(crate) fn dropped_by(&self) -> Vec<(&Condition, u64)> {
        let Some(why) = &self.why else { return Vec::new() };
        let counted = why.conditions.iter().enumerate().map(|(number, condition)| {
            let dropped = why.blamed.iter().filter(|blamed| **blamed == Some(number));
            (condition, wide(dropped.count()))
        });
        counted.filter(|(_, dropped)| *dropped > 0).collect()
    }

    /// What plans show of the scan, if why matters: names and values.
    pub(crate) fn note(&self) -> Option<Note> {
        self.why.as_ref()?;
        let count = |verdict| self.verdicts.iter().filter(|v| **v == verdict).count();
        let mut note = vec![
            ("files_total", self.verdicts.len().to_string()),
            ("files_pruned_partition", count(Verdict::Partition).to_string()),
            ("files_pruned_statistics", count(Verdict::Statistics).to_string()),
        ];
        if !self.excluded.is_empty() {
            note.push(("files_pruned_row_groups", self.excluded.len().to_string()));
        }
        let dropped = self.dropped_by();
        if !dropped.is_empty() {
            let listed: Vec<String> = dropped
                .iter()
                .map(|(condition, files)| format!("{}: {files}", condition.text))
                .collect();
            note.push(("pruned_by", format!("[{}]", listed.join(", "))));
        }
        Some(note)
    }

    /// What was done with each file that was begun, by path.
    pub(crate) fn work_by_file(&self) -> HashMap<String, Work> {
        let mut work: HashMap<String, Work> = HashMap::new();
        self.each_metric(|metric| {
            let file = metric.labels().iter().find(|label| label.name() == "filename");
            if let Some(file) = file {
                match work.get_mut(file.value()) {
                    Some(work) => work.add(metric.value()),
                    None => work.entry(file.value().to_owned()).or_default().add(metric.value()),
                }
            }
        });
        work
    }

    fn each_metric(&self, mut visit: impl FnMut(&Metric)) {
        for metrics in &self.metrics {
            for metric in metrics.clone_inner().iter() {
                visit(metric);
            }
        }
    }
}

/// Counters of scans.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    /// Row groups that statistics were asked about.
    pub(crate) row_groups_seen: u64,
    pub(crate) row_groups_pruned_statistics: u64,
    pub(crate) row_groups_pruned_bloom: u64,
    /// Row groups that a LIMIT, or what a TopK had found by then, made needless.
    pub(crate) row_groups_needless: u64,
    row_groups_left: u64,
    pub(crate) rows_pruned_page_index: u64,
    pub(crate) rows_scanned: u64,
}

impl Work {
    /// Of a file of which each row group is excluded.
    pub(crate) fn excluded(by_statistics: u64, by_bloom: u64) -> Self {
        Self {
            row_groups_seen: by_statistics.saturating_add(by_bloom),
            row_groups_pruned_statistics: by_statistics,
            row_groups_pruned_bloom: by_bloom,
            ..Self::default()
        }
    }

    fn add(&mut self, value: &MetricValue) {
        match value {
            MetricValue::OutputRows(rows) => self.rows_scanned += wide(rows.value()),
            MetricValue::Count { name, count } if name == "row_groups_pruned_dynamic_filter" => {
                self.row_groups_needless += wide(count.value());
            }
            MetricValue::PruningMetrics { name, pruning_metrics } => {
                let (pruned, left) = (pruning_metrics.pruned(), pruning_metrics.matched());
                let (pruned, left) = (wide(pruned), wide(left));
                match name.as_ref() {
                    "row_groups_pruned_statistics" => {
                        self.row_groups_seen += pruned + left;
                        self.row_groups_pruned_statistics += pruned;
                    }
                    "row_groups_pruned_bloom_filter" => {
                        self.row_groups_pruned_bloom += pruned;
                        self.row_groups_left += left;
                    }
                    "limit_pruned_row_groups" => self.row_groups_needless += pruned,
                    "page_index_rows_pruned" => self.rows_pruned_page_index += pruned,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Row groups read at least in part, if the scan came so far: bloom filters come last of what
    /// can exclude one.
    pub(crate) const fn row_groups_read(&self) -> u64 {
        self.row_groups_left.saturating_sub(self.row_groups_needless)
    }
}

/// A count as receipts and estimates have it.
pub(crate) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Text of at most so many characters, the last of them `…` if it was longer.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Longest text of a condition; a list of ids may have thousands.
const CONDITION_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(shortened("grün", 4), "grün");
        assert_eq!(shortened("grüner", 4), "grü…");
        assert_eq!(shortened("", 4), "");
    }
}
