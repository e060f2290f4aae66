//! Joins repeat the rows of one side for those of the other, a batch at a time. Texts that are
//! views are shared; others, and lists, are written out, so that one long value becomes thousands.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
    SymmetricHashJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::forecast::bytes_of;
use super::{Room, same_properties};

type Plan = Arc<dyn ExecutionPlan>;

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
            Arc::new(WidthGuard { input: Arc::clone(child), columns: columns.into(), room })
        })
        .collect();
    if is_new {
        return node.replace_children(children, same_properties()).map(Transformed::yes);
    }
    Ok(Transformed::no(node))
}

fn repeats_rows(node: &Plan) -> bool {
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

/// Lets rows through, unless one of them is too wide to be repeated on each row of a batch.
#[derive(Debug)]
struct WidthGuard {
    input: Plan,
    columns: Arc<[usize]>,
    room: Room,
}

impl DisplayAs for WidthGuard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WidthGuard")
    }
}

impl ExecutionPlan for WidthGuard {
    fn name(&self) -> &'static str {
        "WidthGuard"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, columns: Arc::clone(&self.columns), room: self.room }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size().max(1);
        let row_bytes_max = (self.room.for_repeated() / rows).max(ROW_BYTES_MIN);
        let columns = Arc::clone(&self.columns);
        let stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let checked = stream.map(move |batch| {
            let batch = batch?;
            check(&batch, &columns, row_bytes_max)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, checked)))
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
