//! The operator between what a policy allows and what a query does with it.
//!
//! It takes no filter, limit, projection or statistics through: the engine's rules ask an operator
//! whether it can, and this one says what the trait says by default, which is no. A test holds it
//! to that, for the engine may change.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;

use super::mask::{Key, Mask};

/// Where a column of the answer comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Output {
    /// A column of the input.
    Shown(usize),
    /// A column of the input, masked.
    Masked(usize, Mask),
    /// Nowhere.
    Null,
}

/// Shows what may be seen of its input.
#[derive(Debug)]
pub(super) struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    output: Arc<[Output]>,
    key: Option<Key>,
    properties: Arc<PlanProperties>,
}

impl BarrierExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        output: Arc<[Output]>,
        key: Option<Key>,
    ) -> Self {
        let parts = input.output_partitioning().partition_count();
        // What is known of the input's order and constants stays below.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(parts),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, schema, output, key, properties: Arc::new(properties) }
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a barrier has one input".to_owned()))?;
        let (schema, output) = (Arc::clone(&self.schema), Arc::clone(&self.output));
        Ok(Arc::new(Self::new(input, schema, output, self.key.clone())))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, output) = (Arc::clone(&self.schema), Arc::clone(&self.output));
        let key = self.key.clone();
        let shown = input.map(move |batch| {
            show(&batch.map_err(|e| unquoted(&e))?, &schema, &output, key.as_ref())
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), shown)))
    }
}

fn show(
    batch: &RecordBatch,
    schema: &SchemaRef,
    output: &[Output],
    key: Option<&Key>,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns = output.iter().zip(schema.fields()).map(|(output, field)| match output {
        Output::Shown(at) => Ok(Arc::clone(batch.column(*at))),
        Output::Masked(at, mask) => mask.apply(batch.column(*at), key),
        Output::Null => Ok(new_null_array(field.data_type(), rows)),
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// An error from below without what it quotes: the policy's condition is evaluated there, on rows
/// that are hidden.
fn unquoted(error: &DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => {
            DataFusionError::ResourcesExhausted(text.clone())
        }
        DataFusionError::ObjectStore(_)
        | DataFusionError::ParquetError(_)
        | DataFusionError::IoError(_) => {
            let text = "a file of the archive could not be read";
            DataFusionError::IoError(std::io::Error::other(text))
        }
        _ => DataFusionError::Execution(
            "the access policy could not be applied to a row; tell whoever keeps the policy"
                .to_owned(),
        ),
    }
}
