//! Whole numbers that outgrow their type end the query. The engine computes them without looking,
//! so that a sum past 63 bits comes back negative: an answer that is wrong without a word.
//!
//! `+`, `-`, `*` and the sign are planned as functions that look (`arithmetic`), and the engine's
//! `sum` is replaced by one that adds in 128 bits (`sum`). Division and casts look by themselves,
//! if casts are kept where they are written (`casts`).

mod arithmetic;
mod casts;
mod sum;

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan};

pub(crate) use self::casts::{keep_casts, keep_days};

/// Has arithmetic and casts looked after in plans.
pub(crate) fn plan(builder: SessionStateBuilder) -> SessionStateBuilder {
    // Behind the engine's own rules: they give both sides of an operator one type.
    builder
        .with_analyzer_rule(Arc::new(arithmetic::Checked))
        .with_analyzer_rule(Arc::new(casts::Casts))
}

/// The plan with each expression rewritten, of which columns and plans keep the name.
fn rewritten(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        // A scan has no expressions yet; all others have their types from what they read.
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(rewrite(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

/// Puts a `sum` that looks in the place of the engine's.
///
/// # Errors
/// If the engine takes no more functions, which it always does.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udaf(Arc::new(AggregateUDF::new_from_impl(sum::Sum::default()))).map(|_| ())
}

#[cfg(test)]
mod tests;
