//! What is alike is looked at once.
//!
//! Most columns of an audit log repeat a few values: services, decisions, user agents. The reader
//! gives every row of a value that a file's dictionary holds the same view, sixteen bytes that say
//! where it is. So the rows of a batch are sorted by their views (`kinds`), which takes no look at
//! the values, and then each value is grouped (`groups`) or tested (`predicate`) once. Where too
//! many rows differ, the engine goes on as it would have, but that the parts of a LIKE are looked for
//! (`pattern`).

mod groups;
mod kinds;
mod pattern;
mod predicate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

/// Has a plan that is about to run look at what is alike once.
///
/// # Errors
/// If an operator does not take its input or its condition back.
pub(crate) fn looked_at_once(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let node = predicate::looked_at_once(node)?;
        groups::looked_at_once(node)
    })
    .map(|plan| plan.data)
}
