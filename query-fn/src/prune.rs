//! Which files can hold rows a query asks for. Pure: it sees descriptions of files, never files.
//!
//! It may only err towards reading more: a file is dropped only if no row of it can match.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use archive::encode::BLOOM;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use common::manifest::FileEntry;
use common::schema::EVENT_DATE;
use common::stats::StatValue;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::scalar::ScalarValue;

/// What became of a file, in ascending order of how much of it may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Dropped: its date does not match.
    Partition,
    /// Dropped: the bounds and null counts in its commit exclude every row.
    Statistics,
    /// Kept: some row may match.
    Kept,
}

/// A query's filters over one table, sorted by what can decide them.
#[derive(Debug, Default)]
pub struct Filters {
    /// Conditions on `event_date` alone; decided exactly, file by file.
    pub partition: Vec<Expr>,
    /// All others; statistics may exclude them.
    pub others: Vec<Expr>,
}

impl Filters {
    /// Sorts filters, all of which must hold.
    pub fn of(filters: &[Expr]) -> Self {
        let mut sorted = Self::default();
        for filter in filters.iter().flat_map(split_conjunction) {
            if is_partition_filter(filter) {
                sorted.partition.push(filter.clone());
            } else {
                sorted.others.push(filter.clone());
            }
        }
        sorted
    }

    /// All conditions: those on the date, then the others.
    pub fn all(&self) -> impl Iterator<Item = &Expr> {
        self.partition.iter().chain(&self.others)
    }

    /// Whether some condition fixes a needle column to a few values, so that hardly any row of
    /// hardly any row group matches and it pays to filter while decoding (engine.md 6).
    pub fn are_selective(&self) -> bool {
        self.others.iter().any(|filter| is_needle(filter, &NEEDLES))
    }

    /// Whether some condition fixes a column that has bloom filters to a few values, so that it
    /// pays to ask those of all files before one is scanned.
    pub(crate) fn look_up(&self) -> bool {
        self.others.iter().any(|filter| is_needle(filter, BLOOM))
    }

    /// The columns of a file that there are conditions on, by index.
    pub(crate) fn columns(&self, file: &Schema) -> Vec<usize> {
        let named = self.others.iter().flat_map(|filter| filter.column_refs());
        let columns: BTreeSet<usize> =
            named.filter_map(|column| file.index_of(&column.name).ok()).collect();
        columns.into_iter().collect()
    }
}

/// Whether an expression can be decided exactly by the date of a file.
pub fn is_partition_filter(expr: &Expr) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty()
        && columns.iter().all(|column| column.name == EVENT_DATE)
        && !expr.is_volatile()
        && !has_subquery(expr)
}

/// Makes a physical expression over a schema; the session knows the functions.
pub type Physical<'a> =
    dyn Fn(Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> + Sync + 'a;

/// Judges every file.
///
/// # Errors
/// If a condition on the date fails to evaluate, as it would over the rows.
pub fn prune(
    files: &[&FileEntry],
    filters: &Filters,
    table: &SchemaRef,
    physical: &Physical<'_>,
) -> Result<Vec<Verdict>, DataFusionError> {
    let dates = matching_dates(files, &filters.partition, physical)?;
    let mut verdicts: Vec<Verdict> = files
        .iter()
        .map(|file| match &dates {
            Some(dates) if !dates.contains(&file.event_date.days()) => Verdict::Partition,
            _ => Verdict::Kept,
        })
        .collect();
    let left: Vec<usize> = (0..files.len()).filter(|&i| verdicts[i] == Verdict::Kept).collect();
    let candidates: Vec<&FileEntry> = left.iter().map(|&i| files[i]).collect();
    let possible = possible(&candidates, &filters.others, table, physical);
    for (&i, keep) in left.iter().zip(possible) {
        if !keep {
            verdicts[i] = Verdict::Statistics;
        }
    }
    Ok(verdicts)
}

/// For each dropped file, the first condition that drops it by itself, as an index into
/// [`Filters::all`]. `None` for files that were kept, and where no condition does it alone.
pub fn blame(
    files: &[&FileEntry],
    verdicts: &[Verdict],
    filters: &Filters,
    table: &SchemaRef,
    physical: &Physical<'_>,
) -> Vec<Option<usize>> {
    let mut blamed = vec![None; files.len()];
    let open = |blamed: &[Option<usize>], verdict| -> Vec<usize> {
        (0..files.len()).filter(|&i| verdicts[i] == verdict && blamed[i].is_none()).collect()
    };
    for (number, condition) in filters.all().enumerate() {
        let is_partition = number < filters.partition.len();
        let left =
            open(&blamed, if is_partition { Verdict::Partition } else { Verdict::Statistics });
        let candidates: Vec<&FileEntry> = left.iter().map(|&i| files[i]).collect();
        let condition = std::slice::from_ref(condition);
        let keeps: Vec<bool> = if candidates.is_empty() {
            continue;
        } else if is_partition {
            // One that fails by itself, though not beside the others, is blamed for nothing.
            match matching_dates(&candidates, condition, physical) {
                Ok(Some(dates)) => {
                    candidates.iter().map(|file| dates.contains(&file.event_date.days())).collect()
                }
                _ => continue,
            }
        } else {
            possible(&candidates, condition, table, physical)
        };
        for (&i, _) in left.iter().zip(&keeps).filter(|(_, keeps)| !**keeps) {
            blamed[i] = Some(number);
        }
    }
    blamed
}

/// The dates, among those of the files, for which all conditions hold; `None` without conditions.
fn matching_dates(
    files: &[&FileEntry],
    conditions: &[Expr],
    physical: &Physical<'_>,
) -> Result<Option<HashSet<i32>>, DataFusionError> {
    let Some(condition) = conjunction(conditions.iter().cloned()) else {
        return Ok(None);
    };
    let distinct: BTreeSet<i32> = files.iter().map(|file| file.event_date.days()).collect();
    let schema = Arc::new(Schema::new(vec![Field::new(EVENT_DATE, DataType::Date32, false)]));
    let condition = physical(condition, &DFSchema::try_from(Arc::clone(&schema))?)?;
    let dates = Date32Array::from_iter_values(distinct.iter().copied());
    let batch = RecordBatch::try_new(schema, vec![Arc::new(dates)])?;
    let holds = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
    let holds = arrow::compute::cast(&holds, &DataType::Boolean)?;
    let holds = holds.as_boolean();
    // NULL is not true: such a date matches nothing.
    let matching =
        distinct.iter().enumerate().filter(|(i, _)| holds.is_valid(*i) && holds.value(*i));
    Ok(Some(matching.map(|(_, &days)| days).collect()))
}

/// For each file, whether some row may match all conditions. Conditions the engine can not turn
/// into bounds exclude nothing.
fn possible(
    files: &[&FileEntry],
    conditions: &[Expr],
    table: &SchemaRef,
    physical: &Physical<'_>,
) -> Vec<bool> {
    let all = || vec![true; files.len()];
    let Ok(schema) = DFSchema::try_from(Arc::clone(table)) else {
        return all();
    };
    let usable =
        conditions.iter().filter_map(|condition| physical(condition.clone(), &schema).ok());
    let Some(predicate) = datafusion::physical_expr::utils::conjunction_opt(usable) else {
        return all();
    };
    let built = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(table))
        .with_max_in_list_size(IN_LIST_COUNT_MAX)
        .try_build(predicate);
    let statistics = CommitStatistics { files, table };
    match built.and_then(|predicate| predicate.prune(&statistics)) {
        Ok(possible) if possible.len() == files.len() => possible,
        _ => all(),
    }
}

/// What commits say about files, in the form the engine prunes by.
struct CommitStatistics<'a> {
    files: &'a [&'a FileEntry],
    table: &'a SchemaRef,
}

#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

impl CommitStatistics<'_> {
    fn bounds(&self, column: &Column, side: Side) -> Option<ArrayRef> {
        let field = self.table.field_with_name(&column.name).ok()?;
        let values = self.files.iter().map(|file| {
            bound(file, field, side).or_else(|| ScalarValue::try_new_null(field.data_type()).ok())
        });
        ScalarValue::iter_to_array(values.collect::<Option<Vec<_>>>()?).ok()
    }
}

/// A bound of one column of one file, typed as the column; `None` if not known.
fn bound(file: &FileEntry, field: &Field, side: Side) -> Option<ScalarValue> {
    if field.name() == EVENT_DATE {
        return Some(ScalarValue::Date32(Some(file.event_date.days())));
    }
    if field.name() == EVENT_TIME {
        // The statistics of a commit are rounded to milliseconds; these are exact.
        let micros = match side {
            Side::Min => file.event_time_micros_min,
            Side::Max => file.event_time_micros_max,
        };
        return scalar(&StatValue::Int(micros), field.data_type());
    }
    let column = file.stats.get(field.name())?;
    let value = match side {
        Side::Min => column.min.as_ref(),
        Side::Max => column.max.as_ref(),
    };
    scalar(value?, field.data_type())
}

fn scalar(value: &StatValue, kind: &DataType) -> Option<ScalarValue> {
    match (value, kind) {
        (StatValue::Text(text), DataType::Utf8) => Some(ScalarValue::Utf8(Some(text.clone()))),
        (StatValue::Text(text), DataType::Utf8View) => {
            Some(ScalarValue::Utf8View(Some(text.clone())))
        }
        (StatValue::Bool(flag), DataType::Boolean) => Some(ScalarValue::Boolean(Some(*flag))),
        (StatValue::Int(number), DataType::Int32) => {
            i32::try_from(*number).ok().map(|number| ScalarValue::Int32(Some(number)))
        }
        (StatValue::Int(number), DataType::Int64) => Some(ScalarValue::Int64(Some(*number))),
        (StatValue::Int(micros), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            Some(ScalarValue::TimestampMicrosecond(Some(*micros), zone.clone()))
        }
        _ => None,
    }
}

impl PruningStatistics for CommitStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, Side::Min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, Side::Max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let field = self.table.field_with_name(&column.name).ok()?;
        let counts = self.files.iter().map(|file| {
            if field.is_nullable() {
                file.stats.get(field.name()).map(|s| s.nulls)
            } else {
                Some(0)
            }
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|node| {
        Ok(matches!(
            node,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    })
    .unwrap_or(true)
}

/// Whether a condition fixes one of these columns to a few values.
fn is_needle(expr: &Expr, needles: &[&str]) -> bool {
    let column = |expr: &Expr| matches!(expr, Expr::Column(column) if needles.contains(&column.name.as_str()));
    let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq => {
                column(&binary.left) && literal(&binary.right)
                    || column(&binary.right) && literal(&binary.left)
            }
            // The optimizer writes short IN lists so.
            Operator::Or => is_needle(&binary.left, needles) && is_needle(&binary.right, needles),
            Operator::And => is_needle(&binary.left, needles) || is_needle(&binary.right, needles),
            _ => false,
        },
        Expr::InList(list) => !list.negated && column(&list.expr) && list.list.iter().all(literal),
        _ => false,
    }
}

/// The column whose exact bounds a file's description carries.
pub(crate) const EVENT_TIME: &str = "event_time";

/// Longest IN list turned into bounds; the library's 20 is less than "these 200 request ids".
pub(crate) const IN_LIST_COUNT_MAX: usize = 256;

/// Columns of which one value is a needle: ids, and who.
const NEEDLES: [&str; 16] = [
    "request_id",
    "trace_id",
    "span_id",
    "correlation_id",
    "connection_id",
    "session_id",
    "credential_id",
    "principal",
    "user_name",
    "user_email",
    "user_uid",
    "jwt_subject",
    "src_ip",
    "peer_cert_sha256",
    "resource_uid",
    "segment",
];

#[cfg(test)]
mod tests;
