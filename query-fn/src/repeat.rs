//! Answers that can be had again: what a plan must be, so that its rows follow from the archive's
//! content and the request alone.
//!
//! SQL leaves much open. Which rows a LIMIT takes among equals, in which order a list is gathered,
//! how a sum of doubles is rounded: each depends on how rows happen to lie in files and how they
//! are shared out among threads. Here such choices are made, always the same way, by the rows'
//! values; and where there is no such way, the query is refused. docs/receipts.md has the rules.
//!
//! `refuse` looks at the plan as it was written, `order` makes LIMIT and ORDER BY definite, and
//! `fold`, once the plan is optimized and has only the columns it needs, aggregates and windows.

mod exact;
mod fold;
mod order;
mod refuse;

use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Code, QueryError};

/// Whether the outermost query of a statement has an ORDER BY.
pub(crate) use order::asks_for_order;

/// A plan whose rows follow from the archive's content and the request alone.
#[derive(Debug)]
pub(crate) struct Repeatable {
    /// The plan, optimized.
    pub(crate) plan: LogicalPlan,
    /// Whether the order of its rows does as well.
    pub(crate) is_ordered: bool,
}

/// Makes a plan repeatable. `asks_for_order` says whether its outermost query has an ORDER BY.
///
/// # Errors
/// `REFUSED`, naming what can not be repeated and what could stand in its place.
pub(crate) fn repeatable(
    state: &SessionState,
    plan: LogicalPlan,
    asks_for_order: bool,
) -> Result<Repeatable, QueryError> {
    refuse::check(&plan)?;
    let (plan, is_ordered) = order::settle(plan, asks_for_order)?;
    let plan = state.optimize(&plan).map_err(|e| QueryError::from_engine(&e))?;
    let plan = fold::settle(plan)?;
    // What a view or the optimizer brought in.
    refuse::check(&plan)?;
    Ok(Repeatable { plan, is_ordered })
}

/// An error of a walk over a plan: our own refusal, or the engine's.
fn walked(error: DataFusionError) -> QueryError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
            Ok(ours) => *ours,
            Err(other) => QueryError::from_engine(&DataFusionError::External(other)),
        },
        other => QueryError::from_engine(&other),
    }
}

/// A refusal, on its way through a walk over a plan.
fn refused(text: &str) -> DataFusionError {
    let text = format!("the answer could not be had again: {text}");
    DataFusionError::External(Box::new(QueryError::new(Code::Refused, text)))
}

#[cfg(test)]
mod tests;
