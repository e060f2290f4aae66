//! `x IN (SELECT …)` is unknown where `x` is NULL, or where it is not found and the list has a
//! NULL. The engine keeps to that where the condition stands alone or beside `AND`. Elsewhere it
//! plans a join that knows found and not found only, so that `x NOT IN (SELECT …) OR y` would hold
//! for rows for which it does not. There the condition is written as `= ANY` or `<> ALL`, which
//! means the same and is planned with its unknowns; it compares row by row, so it is slower.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, Join, LogicalPlan, Operator};

/// The same plan, in which no condition on a subquery loses its unknown.
///
/// # Errors
/// If the plan can not be put together again, which it always can.
pub(crate) fn keep_unknown(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Filter(filter) if has_list(&filter.predicate) => {
                let predicate = rewrite(filter.predicate, filter.input.schema(), true)?;
                let filter = Filter::try_new(predicate, filter.input)?;
                Transformed::yes(LogicalPlan::Filter(filter))
            }
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_list) => {
                let filter = join.filter.map(|filter| rewrite(filter, &join.schema, true));
                let filter = filter.transpose()?;
                Transformed::yes(LogicalPlan::Join(Join { filter, ..join }))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(rewritten.data)
}

/// `alone`: whether the condition is one of those that all must hold.
fn rewrite(condition: Expr, schema: &DFSchema, alone: bool) -> Result<Expr> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::And | Operator::Or) =>
        {
            let alone = alone && op == Operator::And;
            let left = Box::new(rewrite(*left, schema, alone)?);
            let right = Box::new(rewrite(*right, schema, alone)?);
            Ok(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        // Of what is asked to be true, unknown is as good as false.
        Expr::InSubquery(list) if alone || !list.negated => Ok(Expr::InSubquery(list)),
        Expr::Not(inner) if alone && matches!(*inner, Expr::InSubquery(_)) => Ok(Expr::Not(inner)),
        other => {
            let rewritten = other.transform_down(|expr| {
                Ok(match expr {
                    Expr::InSubquery(list) if may_be_unknown(&list, schema) => {
                        Transformed::yes(comparison(list))
                    }
                    other => Transformed::no(other),
                })
            })?;
            Ok(rewritten.data)
        }
    }
}

fn comparison(list: InSubquery) -> Expr {
    let (op, quantifier) = if list.negated {
        (Operator::NotEq, SetQuantifier::All)
    } else {
        (Operator::Eq, SetQuantifier::Any)
    };
    Expr::SetComparison(SetComparison::new(list.expr, list.subquery, op, quantifier))
}

fn may_be_unknown(list: &InSubquery, schema: &DFSchema) -> bool {
    let listed = list.subquery.subquery.schema();
    list.expr.nullable(schema).unwrap_or(true)
        || listed.fields().iter().any(|field| field.is_nullable())
}

fn has_list(condition: &Expr) -> bool {
    condition.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_)))).unwrap_or(true)
}
