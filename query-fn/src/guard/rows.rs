//! How many rows a batch of a query has. A constant is written out for each row of a batch, and so
//! is what a call makes: the more of both, the fewer rows.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;

use super::Room;
use crate::functions::compares;

/// Rows in a batch of an optimized plan with so many guarded calls.
///
/// # Errors
/// If the plan can not be walked.
pub(crate) fn batch_rows(
    plan: &LogicalPlan,
    calls: usize,
    room: Room,
) -> Result<usize, DataFusionError> {
    let mut bytes = 0usize;
    plan.apply_with_subqueries(|node| {
        // The rows of VALUES are what they are.
        if matches!(node, LogicalPlan::Values(_)) {
            return Ok(TreeNodeRecursion::Continue);
        }
        node.apply_expressions(|expr| {
            bytes = bytes.saturating_add(constant_bytes(expr)?);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let by_constants = room.for_constants() / bytes.max(1);
    let by_calls = match calls {
        0 => BATCH_ROWS,
        calls => room.for_call(calls) / CALL_ROW_BYTES,
    };
    Ok(by_constants.min(by_calls).clamp(1, BATCH_ROWS))
}

/// Bytes of the constants in an expression that may be written out for each row. Those that a
/// column is compared with are not.
fn constant_bytes(expr: &Expr) -> Result<usize, DataFusionError> {
    let mut bytes = 0usize;
    expr.apply(|node| {
        Ok(match node {
            Expr::Literal(value, _) => {
                bytes = bytes.saturating_add(width(value));
                TreeNodeRecursion::Continue
            }
            Expr::InList(list) => {
                bytes = bytes.saturating_add(constant_bytes(&list.expr)?);
                TreeNodeRecursion::Jump
            }
            Expr::Like(_) | Expr::SimilarTo(_) => TreeNodeRecursion::Jump,
            Expr::BinaryExpr(binary) if compares(binary.op) => {
                for side in [&binary.left, &binary.right] {
                    if !matches!(**side, Expr::Literal(..)) {
                        bytes = bytes.saturating_add(constant_bytes(side)?);
                    }
                }
                TreeNodeRecursion::Jump
            }
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(bytes)
}

/// Bytes that a constant takes for each row.
fn width(value: &ScalarValue) -> usize {
    value.size().saturating_sub(size_of::<ScalarValue>())
}

/// Rows in a batch, where nothing is said against it.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Bytes of a row for which a call always has room.
const CALL_ROW_BYTES: usize = 1024;
