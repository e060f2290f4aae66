//! A node that hands on the rows of its input as they are and looks at each batch.

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

pub(super) type Plan = Arc<dyn ExecutionPlan>;

/// Looks at the batches of one partition; an error ends the query.
pub(super) type Look = Box<dyn FnMut(&RecordBatch) -> Result<()> + Send>;

/// What is looked for. A plan shows it by its display.
pub(super) trait Inspect: Debug + Display + Send + Sync {
    /// Name of the node.
    fn name(&self) -> &'static str;

    /// Begins a partition, before the input does. What it gives is dropped when the partition ends,
    /// however that is.
    fn begin(&self, partition: usize, context: &TaskContext) -> Look;
}

/// The node.
#[derive(Debug)]
pub(super) struct Through {
    input: Plan,
    inspect: Arc<dyn Inspect>,
}

impl Through {
    pub(super) fn plan(input: &Plan, inspect: impl Inspect + 'static) -> Plan {
        Arc::new(Self { input: Arc::clone(input), inspect: Arc::new(inspect) })
    }
}

impl DisplayAs for Through {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.inspect, f)
    }
}

impl ExecutionPlan for Through {
    fn name(&self) -> &'static str {
        self.inspect.name()
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
        Ok(Arc::new(Self { input, inspect: Arc::clone(&self.inspect) }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut look = self.inspect.begin(partition, &context);
        let stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let looked_at = stream.map(move |batch| {
            let batch = batch?;
            look(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, looked_at)))
    }
}
