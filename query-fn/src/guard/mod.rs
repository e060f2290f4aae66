//! Keeps what expressions make within bounds.
//!
//! The engine's memory pool knows what operators hold, but not what an expression makes of a batch:
//! `repeat('a', 1000000000)` asks nobody. So each call of a function that can make its arguments
//! longer, or that can compute for long, is put behind a guard (`call`) that foresees what it makes
//! (`forecast`), takes a few rows at a time, and stops when nobody waits any more. Operators are
//! functions with a sign for a name (`operator`). What remains is width: a long value that is
//! repeated on each row of a batch. It decides how many rows a batch has (`rows`), and may not go
//! into a join at all (`width`). What windows hold is counted in the pool (`window`), and what joins
//! make is stopped (`stop`); these look at batches on their way (`through`).

mod call;
mod forecast;
mod operator;
mod rows;
mod stop;
#[cfg(test)]
mod tests;
mod through;
mod width;
mod window;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use self::call::{Budget, Guarded};
use self::operator::Joined;
pub(crate) use self::rows::{BATCH_ROWS, batch_rows};
pub(crate) use self::stop::{Stop, StopOnDrop, stoppable_joins};
use crate::error::{Code, QueryError};

/// Memory beside the pool, as shares of what operators may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// What operators may hold.
    pub(crate) memory_bytes: usize,
    /// Batches in hand at once.
    pub(crate) threads: usize,
}

impl Room {
    /// Bytes that each of so many calls may add to a batch.
    fn for_call(self, calls: usize) -> usize {
        let all = self.memory_bytes / MADE_SHARE / self.threads.max(1);
        (all / calls.max(1)).max(CALL_BYTES_MIN)
    }

    /// Bytes of the constants in a batch.
    fn for_constants(self) -> usize {
        self.memory_bytes / CONSTANTS_SHARE / self.threads.max(1)
    }

    /// Bytes that one value may become in a batch where rows are repeated.
    fn for_repeated(self) -> usize {
        self.memory_bytes / MADE_SHARE / self.threads.max(1)
    }
}

/// Puts guards before the calls of a plan that is not optimized yet: the optimizer computes what
/// is constant. Returns how many calls there are.
///
/// # Errors
/// `LIMIT_SQL` for more calls than there is memory for, `PLAN` for a cast to a type whose values
/// have a length that the query chooses.
pub(crate) fn guarded(
    plan: LogicalPlan,
    room: Room,
    stop: &Stop,
) -> Result<(LogicalPlan, usize), QueryError> {
    let mut calls = 0usize;
    let counted = visit(&plan, &mut |expr| {
        calls += usize::from(needs_guard(expr));
        refuse_cast(expr)
    });
    counted.map_err(|e| QueryError::from_engine(&e))?;
    if calls > CALLS_MAX {
        let text = format!(
            "the query has {calls} calls of functions that make texts or lists longer, or compute \
             for long; at most {CALLS_MAX} are run"
        );
        return Err(QueryError::new(Code::LimitSql, text));
    }
    if calls == 0 {
        return Ok((plan, 0));
    }
    let budget = Budget { bytes_max: room.for_call(calls), stop: stop.clone() };
    let plan = rewrite(plan, &|expr| guard(expr, &budget));
    Ok((plan.map_err(|e| QueryError::from_engine(&e))?, calls))
}

/// Puts guards into a plan that is about to run.
///
/// # Errors
/// If an operator does not take its input back.
pub(crate) fn guarded_plan(
    plan: Arc<dyn ExecutionPlan>,
    room: Room,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    plan.transform_up(|node| {
        let node = window::guarded(width::guarded(node, room)?)?;
        Ok(stop::stoppable(node, stop))
    })
    .map(|guarded| guarded.data)
}

/// Guards hand on the rows as they are.
const fn same_properties() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep)
}

fn needs_guard(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => GUARDED.contains(&call.func.name()),
        Expr::BinaryExpr(binary) => GUARDED_OPERATORS.contains(&binary.op),
        _ => false,
    }
}

fn guard(expr: Expr, budget: &Budget) -> Expr {
    match expr {
        Expr::ScalarFunction(call) if GUARDED.contains(&call.func.name()) => {
            let func = Arc::new(ScalarUDF::new_from_impl(Guarded::new(call.func, budget.clone())));
            Expr::ScalarFunction(ScalarFunction { func, args: call.args })
        }
        // Patterns that are constants become simpler conditions later, which prune: only what
        // joins texts is guarded here.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let func = Arc::new(ScalarUDF::new_from_impl(Joined::new()));
            let func = Arc::new(ScalarUDF::new_from_impl(Guarded::new(func, budget.clone())));
            Expr::ScalarFunction(ScalarFunction { func, args: vec![*left, *right] })
        }
        other => other,
    }
}

/// A type with a length makes values of that length from nothing.
fn refuse_cast(expr: &Expr) -> Result<(), DataFusionError> {
    let Expr::ScalarFunction(call) = expr else { return Ok(()) };
    if !CASTS.contains(&call.func.name()) {
        return Ok(());
    }
    let kind = match call.args.get(1) {
        Some(Expr::Literal(kind, _)) => kind.try_as_str().flatten().unwrap_or_default(),
        _ => "",
    };
    if kind.contains("FixedSize") || kind.contains("RunEndEncoded") {
        return Err(DataFusionError::Plan(format!(
            "{} to {kind}: values of a fixed size are not made; name a type without a size",
            call.func.name()
        )));
    }
    Ok(())
}

/// Visits each expression of a plan and of its subqueries.
fn visit(
    plan: &LogicalPlan,
    visit: &mut dyn FnMut(&Expr) -> Result<(), DataFusionError>,
) -> Result<(), DataFusionError> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| visit(expr).map(|()| TreeNodeRecursion::Continue))
        })
    })
    .map(|_| ())
}

fn rewrite(
    plan: LogicalPlan,
    change: &dyn Fn(Expr) -> Expr,
) -> Result<LogicalPlan, DataFusionError> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            if !has_guarded(&expr) {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| Ok(Transformed::yes(change(expr))))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

fn has_guarded(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(needs_guard(expr))).unwrap_or(true)
}

/// Functions that can make more of their arguments than they are, or that take longer than a look
/// at each byte. A test sorts every function there is into these and the others.
const GUARDED: &[&str] = &[
    "array_add",
    "array_append",
    "array_concat",
    "array_except",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_prepend",
    "array_repeat",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_resize",
    "array_scale",
    "array_subtract",
    "array_to_string",
    "array_union",
    "arrays_zip",
    "concat",
    "concat_ws",
    "decode",
    "encode",
    "flatten",
    "generate_series",
    "levenshtein",
    "lpad",
    "make_array",
    "map",
    "named_struct",
    "overlay",
    "range",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "rpad",
    "string_to_array",
    "struct",
    "to_char",
    "translate",
];

/// Operators of which the same is true.
const GUARDED_OPERATORS: &[Operator] = &[Operator::StringConcat];

/// Functions that cast to a type they are told.
const CASTS: &[&str] = &["arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"];

/// All calls of a query may make a quarter of what its operators may hold.
const MADE_SHARE: usize = 4;

/// Constants, written out for each row of a batch, may take a sixteenth of it.
const CONSTANTS_SHARE: usize = 16;

/// What a call may add to a batch in any case.
const CALL_BYTES_MIN: usize = 64 * 1024;

/// Most guarded calls in one query: with [`CALL_BYTES_MIN`], and batches that shrink with their
/// number, it bounds what they make together.
const CALLS_MAX: usize = 256;
