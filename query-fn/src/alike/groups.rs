//! Groups of a batch, found once for each kind of row.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::aggregates::{
    AggregateExec, AggregateMode, aggregate_expressions, evaluate_many,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::kinds::{Sorter, is_sortable};

type Plan = Arc<dyn ExecutionPlan>;

/// The first half of an aggregation, such that each kind of row finds its group once; all else as
/// it is.
pub(super) fn looked_at_once(node: Transformed<Plan>) -> Result<Transformed<Plan>> {
    let Some(aggregate) = node.data.downcast_ref::<AggregateExec>() else { return Ok(node) };
    if !fits(aggregate) {
        return Ok(node);
    }
    let partial = Arc::new(aggregate.clone());
    let metrics = ExecutionPlanMetricsSet::new();
    Ok(Transformed::yes(Arc::new(AlikeExec { partial, metrics }) as Plan))
}

/// Whether groups are of columns that can be sorted, one of them a text, and nothing depends on the
/// order of rows.
fn fits(aggregate: &AggregateExec) -> bool {
    let groups = aggregate.group_expr();
    let schema = aggregate.input_schema();
    let kind = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>()?;
        schema.fields().get(column.index()).map(|field| field.data_type().clone())
    };
    let kinds: Option<Vec<_>> = groups.expr().iter().map(|(expr, _)| kind(expr)).collect();
    let Some(kinds) = kinds else { return false };
    *aggregate.mode() == AggregateMode::Partial
        && groups.is_single()
        && !groups.has_grouping_set()
        && kinds.iter().all(is_sortable)
        && kinds.iter().any(arrow::datatypes::DataType::is_string)
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty()
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.aggr_expr().iter().all(|function| {
            function.groups_accumulator_supported() && function.order_bys().is_empty()
        })
}

/// The first half of an aggregation.
#[derive(Debug, Clone)]
struct AlikeExec {
    /// As the engine would run it.
    partial: Arc<AggregateExec>,
    metrics: ExecutionPlanMetricsSet,
}

impl AlikeExec {
    /// As the engine would run it over another input.
    fn over(&self, inputs: Vec<Plan>) -> Result<Plan> {
        let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        (Arc::clone(&self.partial) as Plan).replace_children(inputs, anew)
    }
}

impl DisplayAs for AlikeExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlikeExec: ")?;
        self.partial.fmt_as(kind, f)
    }
}

impl ExecutionPlan for AlikeExec {
    fn name(&self) -> &'static str {
        "AlikeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.partial.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        self.partial.children()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.partial.apply_expressions(visit)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        looked_at_once(Transformed::no(self.over(children)?)).map(|plan| plan.data)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.partial.input().execute(partition, Arc::clone(&context))?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let folding = Folding::begin(&self.partial, partition, &context)?;
        let given = stream::once(fold(folding, input, self.clone(), context)).try_flatten();
        let given = given.inspect_ok(move |batch| metrics.output_rows().add(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), given)))
    }
}

/// Folds the input, and hands over to the engine what is left of it where that is not worth it.
async fn fold(
    mut folding: Folding,
    mut input: SendableRecordBatchStream,
    whole: AlikeExec,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let schema = whole.schema();
    let mut is_left = false;
    while let Some(batch) = input.next().await {
        folding.add(&batch?)?;
        if folding.has_given_up() {
            is_left = true;
            break;
        }
    }
    let batches = folding.finish(&context)?;
    let folded = stream::iter(batches.into_iter().map(Ok));
    if !is_left {
        return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, folded)));
    }
    let rest: Plan = Arc::new(Rest::new(input));
    let rest = whole.over(vec![rest])?.execute(0, context)?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, folded.chain(rest))))
}

/// The groups so far.
struct Folding {
    groups_by: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    groups: Box<dyn GroupValues>,
    schema: arrow::datatypes::SchemaRef,
    sorter: Sorter,
    reservation: MemoryReservation,
    is_full: bool,
    batches: u32,
    differed: u32,
}

impl Folding {
    fn begin(aggregate: &AggregateExec, partition: usize, context: &TaskContext) -> Result<Self> {
        let functions = aggregate.aggr_expr();
        let groups_schema = aggregate.group_expr().group_schema(&aggregate.input_schema())?;
        let name = format!("AlikeExec[{partition}]");
        let accumulators = functions.iter().map(|function| function.create_groups_accumulator());
        Ok(Self {
            groups_by: aggregate.group_expr().input_exprs(),
            arguments: aggregate_expressions(functions, aggregate.mode(), 0)?,
            filters: aggregate.filter_expr().to_vec(),
            accumulators: accumulators.collect::<Result<_>>()?,
            groups: new_group_values(groups_schema, &GroupOrdering::None)?,
            schema: aggregate.schema(),
            sorter: Sorter::new(),
            reservation: MemoryConsumer::new(name).register(context.memory_pool()),
            is_full: false,
            batches: 0,
            differed: 0,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let columns = self.groups_by.iter().map(|expr| expr.evaluate(batch)?.into_array(rows));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let of_rows = self.of_rows(&columns)?;
        let arguments = evaluate_many(&self.arguments, batch)?;
        let count = self.groups.len();
        for ((accumulator, arguments), filter) in
            self.accumulators.iter_mut().zip(&arguments).zip(&self.filters)
        {
            let filter = match filter {
                Some(filter) => Some(filter.evaluate(batch)?.into_array(rows)?),
                None => None,
            };
            let filter = filter.as_ref().map(|filter| filter.as_boolean());
            accumulator.update_batch(arguments, &of_rows, filter, count)?;
        }
        let held = self.accumulators.iter().map(|accumulator| accumulator.size());
        let held = held.fold(self.groups.size(), usize::saturating_add);
        // Where there is no room, the engine has ways to go on.
        let room = self.reservation.try_resize(held.saturating_add(self.sorter.bytes()));
        self.is_full = room.is_err() || count > GROUPS_MAX;
        Ok(())
    }

    /// The group of each row.
    fn of_rows(&mut self, columns: &[ArrayRef]) -> Result<Vec<usize>> {
        let mut groups = Vec::new();
        self.batches = self.batches.saturating_add(1);
        let Some(kinds) = self.sorter.kinds(columns) else {
            self.differed = self.differed.saturating_add(1);
            self.groups.intern(columns, &mut groups)?;
            return Ok(groups);
        };
        let firsts = UInt32Array::from(kinds.firsts);
        let few = columns.iter().map(|column| take(column, &firsts, None));
        let few = few.collect::<std::result::Result<Vec<_>, _>>()?;
        self.groups.intern(&few, &mut groups)?;
        let group = |kind: &u32| {
            let group = usize::try_from(*kind).ok().and_then(|kind| groups.get(kind));
            group.copied().ok_or_else(|| {
                DataFusionError::Internal(format!("no group for the rows of kind {kind}"))
            })
        };
        kinds.of_rows.iter().map(group).collect()
    }

    /// Whether the engine does better with what is left.
    const fn has_given_up(&self) -> bool {
        self.is_full || self.batches >= BATCHES_MIN && self.differed > self.batches / 2
    }

    /// The groups, and what was made of their rows, as the second half takes them.
    fn finish(mut self, context: &TaskContext) -> Result<Vec<RecordBatch>> {
        if self.groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = self.groups.emit(EmitTo::All)?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let whole = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let rows = context.session_config().batch_size().max(1);
        let starts = (0..whole.num_rows()).step_by(rows);
        Ok(starts.map(|at| whole.slice(at, rows.min(whole.num_rows() - at))).collect())
    }
}

/// What is left of an input, to be read once.
struct Rest {
    stream: Mutex<Option<SendableRecordBatchStream>>,
    properties: Arc<PlanProperties>,
}

impl Rest {
    fn new(stream: SendableRecordBatchStream) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(stream.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { stream: Mutex::new(Some(stream)), properties: Arc::new(properties) }
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl DisplayAs for Rest {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

impl ExecutionPlan for Rest {
    fn name(&self) -> &'static str {
        "Rest"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Plan>) -> Result<Plan> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| DataFusionError::Internal("an input was read twice".to_owned()))
    }
}

/// Batches after which it may be given up.
const BATCHES_MIN: u32 = 16;

/// Groups from which on the engine may stop to group in the first half, which saves more.
const GROUPS_MAX: usize = 100_000;
