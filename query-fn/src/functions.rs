//! SQL functions of the field, beside those of the engine; `docs/sql.md` has each with examples.
//!
//! A function sees the values of one row and nothing else. NULL in gives NULL out, and so does a
//! value that is not what the function reads: a column of an audit log holds what others wrote, and
//! one odd value must not end a question over years. Each takes time in proportion to its input.

mod accounts;
mod address;
mod decision;
mod json;
mod operators;
mod path;
mod proof;
mod scalar;
mod spiffe;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;

pub(crate) use operators::compares;
use scalar::{Definition, Function};

/// Adds functions and operators to what queries may use.
///
/// # Errors
/// If the engine takes no more functions, which it always does.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for definition in definitions() {
        state.register_udf(function(definition))?;
    }
    state.register_expr_planner(Arc::new(operators::JsonOperators))
}

fn function(definition: &'static Definition) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Function::new(definition)))
}

fn definitions() -> impl Iterator<Item = &'static Definition> {
    let all = [
        spiffe::FUNCTIONS,
        accounts::FUNCTIONS,
        path::FUNCTIONS,
        address::FUNCTIONS,
        decision::FUNCTIONS,
        proof::FUNCTIONS,
        json::FUNCTIONS,
    ];
    all.into_iter().flatten()
}

#[cfg(test)]
mod tests;
