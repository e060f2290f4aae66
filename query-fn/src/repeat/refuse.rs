//! What can not be part of an answer that is to be had again.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};

use super::{refused, walked};
use crate::error::QueryError;

/// Refuses a plan with a part that says something else each time, or of another machine.
///
/// # Errors
/// `REFUSED`, naming it.
pub(super) fn check(plan: &LogicalPlan) -> std::result::Result<(), QueryError> {
    let walk = plan.apply_with_subqueries(|node| {
        check_node(node)?;
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                check_expression(part)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walk.map(|_| ()).map_err(walked)
}

fn check_node(node: &LogicalPlan) -> Result<()> {
    match node {
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_) => {
            Err(refused("it is about this program, not about the archive"))
        }
        LogicalPlan::TableScan(TableScan { table_name, .. })
            if table_name.schema() == Some("information_schema") =>
        {
            Err(refused("information_schema is about this program, not about the archive"))
        }
        _ => Ok(()),
    }
}

fn check_expression(expression: &Expr) -> Result<()> {
    let (name, volatility) = match expression {
        Expr::ScalarFunction(call) => (call.name(), call.func.signature().volatility),
        Expr::AggregateFunction(call) => (call.func.name(), call.func.signature().volatility),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(f) => (f.name(), f.signature().volatility),
            WindowFunctionDefinition::WindowUDF(f) => (f.name(), f.signature().volatility),
        },
        _ => return Ok(()),
    };
    match volatility {
        Volatility::Volatile => Err(refused(&format!("{name}() says something else each time"))),
        Volatility::Stable => Err(refused(&format!(
            "{name}() depends on when the query runs; write the time down, or give it as a parameter"
        ))),
        Volatility::Immutable if OF_THE_PROGRAM.contains(&name) => {
            Err(refused(&format!("{name}() is about this program, not about the archive")))
        }
        Volatility::Immutable => Ok(()),
    }
}

/// Functions that never change while one version of the program runs.
const OF_THE_PROGRAM: [&str; 1] = ["version"];
