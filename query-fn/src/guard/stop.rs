//! Tells what computes for long that nobody waits any more.

use std::fmt::{self, Display};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::through::{Inspect, Look, Plan, Through};
use super::width::repeats_rows;

/// A flag that is raised once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Raises it.
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Raises it when what is returned is dropped.
    pub(crate) fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// # Errors
    /// If it is raised. Nobody reads this text.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution("the query was ended".to_owned()));
        }
        Ok(())
    }
}

/// Raises a flag at its end.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Stop);

impl StopOnDrop {
    /// Raises it now.
    pub(crate) fn raise(&self) {
        self.0.raise();
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Joins that compare each row with each do not look up while they go through a batch with all the
/// rows they hold: their condition does. For a plan that is optimized: nothing else knows it.
///
/// # Errors
/// If the plan can not be changed.
pub(crate) fn stoppable_joins(plan: LogicalPlan, stop: &Stop) -> Result<LogicalPlan> {
    let changed = plan.transform_up(|node| {
        Ok(match node {
            LogicalPlan::Join(mut join) if join.filter.is_some() => {
                join.filter = join.filter.take().map(|filter| {
                    let func = Arc::new(ScalarUDF::new_from_impl(Holds::new(stop.clone())));
                    Expr::ScalarFunction(ScalarFunction { func, args: vec![filter] })
                });
                Transformed::yes(LogicalPlan::Join(join))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(changed.data)
}

/// The node, if it makes many rows of one behind a look whether the query has ended: what reads them
/// may never wait, and so never hear that nobody waits for it.
pub(super) fn stoppable(node: Transformed<Plan>, stop: &Stop) -> Transformed<Plan> {
    if repeats_rows(&node.data) {
        return Transformed::yes(Through::plan(&node.data, stop.clone()));
    }
    node
}

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Inspect for Stop {
    fn name(&self) -> &'static str {
        "StopGuard"
    }

    fn begin(&self, _: usize, _: &TaskContext) -> Look {
        let stop = self.clone();
        Box::new(move |_| stop.check())
    }
}

/// A truth as it is, unless the query has ended.
#[derive(Debug)]
struct Holds {
    signature: Signature,
    stop: Stop,
}

impl Holds {
    fn new(stop: Stop) -> Self {
        let signature = Signature::exact(vec![DataType::Boolean], Volatility::Immutable);
        Self { signature, stop }
    }
}

impl PartialEq for Holds {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Holds {}

impl Hash for Holds {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl ScalarUDFImpl for Holds {
    fn name(&self) -> &'static str {
        "holds"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.stop.check()?;
        args.args
            .pop()
            .ok_or_else(|| DataFusionError::Internal("a join without a condition".to_owned()))
    }
}
