//! Clauses that the parser reads, since some dialect has them, and that the engine then leaves out
//! of account without a word, or takes for something else. An answer to another question than the
//! one that was asked is worse than none, so these are refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, GroupByExpr, Query, Select, SetExpr, SetOperator,
    SetQuantifier, Statement, TableFactor, Visit, Visitor,
};

/// The first such clause of a statement.
pub(super) fn clause(statement: &Statement) -> Option<&'static str> {
    match statement.visit(&mut Clauses) {
        ControlFlow::Break(clause) => Some(clause),
        ControlFlow::Continue(()) => None,
    }
}

struct Clauses;

/// Breaks off at the first clause that is there.
fn first(clauses: &[(bool, &'static str)]) -> ControlFlow<&'static str> {
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => ControlFlow::Break(clause),
        None => ControlFlow::Continue(()),
    }
}

impl Visitor for Clauses {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<&'static str> {
        first(&[
            (!query.locks.is_empty(), "FOR UPDATE or FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML, FOR JSON or FOR BROWSE"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
        ])?;
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { continue };
            // The engine keeps or drops all copies of a row at once.
            let counts = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            first(&[
                (counts && *op == SetOperator::Intersect, "INTERSECT ALL"),
                (counts && matches!(op, SetOperator::Except | SetOperator::Minus), "EXCEPT ALL"),
            ])?;
            bodies.extend([left.as_ref(), right.as_ref()]);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<&'static str> {
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        first(&[
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!modifiers.is_empty(), "WITH ROLLUP, WITH CUBE or WITH TOTALS"),
            (select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE"),
            (select.exclude.is_some(), "EXCLUDE behind the list of columns"),
        ])
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<&'static str> {
        match factor {
            TableFactor::Table {
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => first(&[
                (sample.is_some(), "TABLESAMPLE"),
                (version.is_some(), "a version of a table"),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION"),
                (json_path.is_some(), "a path behind a table"),
                (!with_hints.is_empty() || !index_hints.is_empty(), "a hint for a table"),
            ]),
            TableFactor::Derived { sample, .. } => first(&[(sample.is_some(), "TABLESAMPLE")]),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
        match expr {
            Expr::Function(function) => {
                let has = !matches!(function.parameters, FunctionArguments::None);
                first(&[(has, "a list of parameters of a function")])
            }
            // The parser takes all that follows for the other side: `a IS DISTINCT FROM b AND c` is
            // `a IS DISTINCT FROM (b AND c)` to it, and would be another condition.
            Expr::IsDistinctFrom(_, other) | Expr::IsNotDistinctFrom(_, other) => {
                let joins =
                    |op: &BinaryOperator| matches!(op, BinaryOperator::And | BinaryOperator::Or);
                let has = matches!(&**other, Expr::BinaryOp { op, .. } if joins(op));
                first(&[(has, "IS DISTINCT FROM beside AND or OR without parentheses around it")])
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
