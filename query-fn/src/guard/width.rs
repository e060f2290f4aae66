//! Joins repeat the rows of one side for those of the other, a batch at a time. Texts that are
//! views are shared; others, and lists, are written out, so that one long value becomes thousands.

use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::Transformed;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
    SymmetricHashJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;

use super::forecast::bytes_of;
use super::through::{Inspect, Look, Plan, Through};
use super::{Room, same_properties};

/// The node, with a guard before each input whose rows it may repeat.
pub(super) fn guarded(node: Plan, room: Room) -> Result<Transformed<Plan>> {
    if !repeats_rows(&node) {
        return Ok(Transformed::no(node));
    }
    let mut is_new = false;
    let children: Vec<Plan> = node
        .children()
        .into_iter()
        .map(|child| {
            let columns = wide_columns(&child.schema());
            if columns.is_empty() {
                return Arc::clone(child);
            }
            is_new = true;
            Through::plan(child, WidthGuard { columns: columns.into(), room })
        })
        .collect();
    if is_new {
        return node.replace_children(children, same_properties()).map(Transformed::yes);
    }
    Ok(Transformed::no(node))
}

/// Whether a node makes many rows of one.
pub(super) fn repeats_rows(node: &Plan) -> bool {
    node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<SymmetricHashJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
        || node.is::<UnnestExec>()
}

/// Columns whose values are written out when rows are repeated, and can be long.
fn wide_columns(schema: &Schema) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    let wide = fields.filter(|(_, field)| is_wide(field.data_type()));
    wide.map(|(column, _)| column).collect()
}

fn is_wide(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_)
            | DataType::Union(..)
    ) || kind.is_nested()
}

/// Lets no row through that is too wide to be repeated on each row of a batch.
#[derive(Debug)]
struct WidthGuard {
    columns: Arc<[usize]>,
    room: Room,
}

impl Display for WidthGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Inspect for WidthGuard {
    fn name(&self) -> &'static str {
        "WidthGuard"
    }

    fn begin(&self, _: usize, context: &TaskContext) -> Look {
        let rows = context.session_config().batch_size().max(1);
        let row_bytes_max = (self.room.for_repeated() / rows).max(ROW_BYTES_MIN);
        let columns = Arc::clone(&self.columns);
        Box::new(move |batch| check(batch, &columns, row_bytes_max))
    }
}

fn check(batch: &RecordBatch, columns: &[usize], row_bytes_max: usize) -> Result<()> {
    for &column in columns {
        let array = batch.column(column);
        // Seldom more than a look at the sum.
        if bytes_of(array) <= row_bytes_max {
            continue;
        }
        let too_wide = |row: &usize| bytes_of(&array.slice(*row, 1)) > row_bytes_max;
        if (0..array.len()).any(|row| too_wide(&row)) {
            let schema = batch.schema();
            let name = schema.field(column).name();
            return Err(DataFusionError::ResourcesExhausted(format!(
                "a value of {name} has more than {row_bytes_max} bytes, too many to be repeated \
                 for each row it is joined with or unnested to"
            )));
        }
    }
    Ok(())
}

/// A value that may be repeated in any case.
const ROW_BYTES_MIN: usize = 4 * 1024;
