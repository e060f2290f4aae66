//! The operators `->` and `->>`, as PostgreSQL has them: `attributes ->> 'k8s.pod.uid'`.
//!
//! The parser binds them more loosely than `=`, `LIKE`, `IN`, `BETWEEN` and `IS NULL`: it reads
//! `a ->> 'b' = 'c'` as `a ->> ('b' = 'c')`. A comparison is no step and no JSON, so what was meant
//! is plain, and the comparison is put around the operator.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    Between, BinaryExpr, InList, InSubquery, Like, ScalarFunction,
};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF};

use super::{function, json};

/// Plans the operators.
#[derive(Debug)]
pub(super) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let name = match expr.op {
            BinaryOperator::Arrow => json::GET_JSON,
            BinaryOperator::LongArrow => json::GET_TEXT,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let Some(definition) = json::named(name) else {
            return Ok(PlannerResult::Original(expr));
        };
        let get = Get { function: function(definition), schema };
        Ok(PlannerResult::Planned(get.outward_of_json(expr.left, expr.right)?))
    }
}

/// One operator that is planned.
struct Get<'a> {
    function: Arc<ScalarUDF>,
    schema: &'a DFSchema,
}

impl Get<'_> {
    /// `a = b ->> c` was read as `(a = b) ->> c`.
    fn outward_of_json(&self, json: Expr, step: Expr) -> Result<Expr> {
        match json {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
                let right = Box::new(self.outward_of_json(*right, step)?);
                Ok(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            json => self.outward_of_step(json, step),
        }
    }

    /// `a ->> b = c` was read as `a ->> (b = c)`.
    fn outward_of_step(&self, json: Expr, step: Expr) -> Result<Expr> {
        let inward = |json, step: Box<Expr>| self.outward_of_step(json, *step).map(Box::new);
        Ok(match step {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
                Expr::BinaryExpr(BinaryExpr { left: inward(json, left)?, op, right })
            }
            Expr::Like(like) => Expr::Like(Like { expr: inward(json, like.expr)?, ..like }),
            Expr::SimilarTo(like) => {
                Expr::SimilarTo(Like { expr: inward(json, like.expr)?, ..like })
            }
            Expr::InList(list) => Expr::InList(InList { expr: inward(json, list.expr)?, ..list }),
            Expr::InSubquery(list) => {
                Expr::InSubquery(InSubquery { expr: inward(json, list.expr)?, ..list })
            }
            Expr::Between(range) => {
                Expr::Between(Between { expr: inward(json, range.expr)?, ..range })
            }
            Expr::IsNull(of) => Expr::IsNull(inward(json, of)?),
            Expr::IsNotNull(of) => Expr::IsNotNull(inward(json, of)?),
            step => self.call(json, step)?,
        })
    }

    fn call(&self, json: Expr, step: Expr) -> Result<Expr> {
        for side in [&json, &step] {
            // What has no type yet, such as a parameter, gets one later.
            let Ok(found) = side.get_type(self.schema) else { continue };
            let is_known = found.is_null() || found.is_string() || found.is_integer();
            if !is_known && found != DataType::Utf8View {
                return plan_err!(
                    "-> and ->> take a JSON text on their left and a key or an index on their \
                     right, found {found} in {side}; put parentheses around what is meant"
                );
            }
        }
        let call = ScalarFunction::new_udf(Arc::clone(&self.function), vec![json, step]);
        Ok(Expr::ScalarFunction(call))
    }
}

/// Whether an operator holds its sides against each other.
pub(crate) fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
            | Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
            | Operator::LikeMatch
            | Operator::ILikeMatch
            | Operator::NotLikeMatch
            | Operator::NotILikeMatch
    )
}
