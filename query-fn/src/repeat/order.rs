//! LIMIT, DISTINCT ON and the outermost ORDER BY, made definite: what is equal by the order that
//! was asked for is in the order of its values, all columns of it, the first one first.
//!
//! Rows that are equal in all columns can not be told apart, so it does not matter which is taken.

use std::sync::Arc;

use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Distinct, Expr, Limit, LogicalPlan, Sort};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as SqlStatement};

use super::{refused, walked};
use crate::error::QueryError;

/// Whether the outermost query has an ORDER BY; parentheses around it do not matter.
pub(crate) fn asks_for_order(statement: &Statement) -> bool {
    fn asks(query: &Query) -> bool {
        match (&query.order_by, query.body.as_ref()) {
            (Some(_), _) => true,
            (None, SetExpr::Query(inner)) => asks(inner),
            _ => false,
        }
    }
    match statement {
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::Query(query) => asks(query),
            _ => false,
        },
        _ => false,
    }
}

/// Makes each LIMIT and DISTINCT ON definite and, if asked for, the order of the rows. Says
/// whether that order is definite now.
///
/// # Errors
/// `REFUSED` for columns of which nothing says what comes first.
pub(super) fn settle(
    plan: LogicalPlan,
    asks_for_order: bool,
) -> std::result::Result<(LogicalPlan, bool), QueryError> {
    let settled = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => settle_limit(limit).map(Transformed::yes),
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let mut keys = on.sort_expr.clone().unwrap_or_else(|| {
                on.on_expr.iter().map(|expression| ascending(expression.clone())).collect()
            });
            add_keys(&mut keys, on.select_expr.iter().map(|one| one.clone().unalias()));
            let on = on.with_sort_expr(keys)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
        }
        other => Ok(Transformed::no(other)),
    });
    let plan = settled.map_err(walked)?.data;
    if !asks_for_order || !leads_to_sort(&plan) {
        return Ok((plan, false));
    }
    Ok((extend(plan).map_err(walked)?, true))
}

fn settle_limit(limit: Limit) -> Result<LogicalPlan> {
    let Limit { skip, fetch, input } = limit;
    let input = Arc::unwrap_or_clone(input);
    let input = if leads_to_sort(&input) {
        extend(input)?
    } else {
        let keys = all_columns(input.schema())?.map(ascending).collect();
        LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input), fetch: None })
    };
    Ok(LogicalPlan::Limit(Limit { skip, fetch, input: Arc::new(input) }))
}

/// Whether the rows of a plan come out of a Sort in its order.
fn leads_to_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_) => plan.inputs().into_iter().all(leads_to_sort),
        _ => false,
    }
}

/// Extends the Sort that a plan's rows come out of.
fn extend(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            let columns: Vec<Expr> = all_columns(sort.input.schema())?.collect();
            add_keys(&mut sort.expr, columns);
            Ok(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Projection(mut projection) => {
            projection.input = Arc::new(extend(Arc::unwrap_or_clone(projection.input))?);
            Ok(LogicalPlan::Projection(projection))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            alias.input = Arc::new(extend(Arc::unwrap_or_clone(alias.input))?);
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        LogicalPlan::Limit(mut limit) => {
            limit.input = Arc::new(extend(Arc::unwrap_or_clone(limit.input))?);
            Ok(LogicalPlan::Limit(limit))
        }
        LogicalPlan::Filter(mut filter) => {
            filter.input = Arc::new(extend(Arc::unwrap_or_clone(filter.input))?);
            Ok(LogicalPlan::Filter(filter))
        }
        other => Ok(other),
    }
}

/// Each column of a plan, as an expression.
pub(super) fn all_columns(schema: &DFSchema) -> Result<impl Iterator<Item = Expr>> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (qualifier, field) in schema.iter() {
        if !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
            let name = field.name();
            let kind = field.data_type();
            return Err(refused(&format!(
                "nothing says which value of column {name} comes first, as its type is {kind}; \
                 cast it or leave it out"
            )));
        }
        columns.push(Expr::Column(Column::from((qualifier, field))));
    }
    Ok(columns.into_iter())
}

pub(super) const fn ascending(expression: Expr) -> SortExpr {
    SortExpr { expr: expression, asc: true, nulls_first: false }
}

/// Adds keys that are not there yet.
pub(super) fn add_keys(keys: &mut Vec<SortExpr>, more: impl IntoIterator<Item = Expr>) {
    for expression in more {
        let is_constant = matches!(expression, Expr::Literal(..));
        if !is_constant && !keys.iter().any(|key| key.expr == expression) {
            keys.push(ascending(expression));
        }
    }
}
