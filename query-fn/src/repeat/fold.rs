//! Aggregates and windows, made definite: those that gather rows get an order by values that
//! leaves nothing open, and sums of doubles are exact.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, NullTreatment, Sort as SortExpr, WindowFunction, WindowFunctionDefinition,
    WindowFunctionParams,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, Window,
    WindowFrameBound, WindowFrameUnits,
};

use super::exact::exact;
use super::order::{add_keys, all_columns};
use super::{refused, walked};
use crate::error::QueryError;

/// Aggregates that depend on nothing but the values, in whatever order.
pub(super) const FREE: [&str; 14] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "grouping",
    "max",
    "median",
    "min",
    "percentile_cont",
    "regr_count",
    "sum",
];

/// Aggregates that gather rows in an order.
pub(super) const GATHERING: [&str; 5] =
    ["array_agg", "first_value", "last_value", "nth_value", "string_agg"];

/// Aggregates that depend on the order of rows in a way that no ORDER BY settles, and what to ask
/// instead.
pub(super) const OPEN: [(&str, &str); 20] = [
    ("any_value", "min"),
    ("approx_distinct", "count(DISTINCT …)"),
    ("approx_median", "median"),
    ("approx_percentile_cont", "percentile_cont"),
    ("approx_percentile_cont_with_weight", "percentile_cont"),
    ("corr", SUMS),
    ("covar_pop", SUMS),
    ("covar_samp", SUMS),
    ("regr_avgx", "avg"),
    ("regr_avgy", "avg"),
    ("regr_intercept", SUMS),
    ("regr_r2", SUMS),
    ("regr_slope", SUMS),
    ("regr_sxx", SUMS),
    ("regr_sxy", SUMS),
    ("regr_syy", SUMS),
    ("stddev", SUMS),
    ("stddev_pop", SUMS),
    ("var", SUMS),
    ("var_pop", SUMS),
];
const SUMS: &str = "sums of the values, their squares and products";

/// Window functions whose value is the same for rows that are equal by the window's ORDER BY.
pub(super) const OF_PEERS: [&str; 4] = ["cume_dist", "dense_rank", "percent_rank", "rank"];

/// Window functions that number rows or look at neighbours, whatever the frame.
pub(super) const OF_PLACES: [&str; 4] = ["lag", "lead", "ntile", "row_number"];

/// Window functions that take a row of the frame.
pub(super) const OF_FRAMES: [&str; 3] = ["first_value", "last_value", "nth_value"];

/// Makes aggregates and windows of an optimized plan definite.
///
/// # Errors
/// `REFUSED`, naming a function for which there is no way, and what could stand in its place.
pub(super) fn settle(plan: LogicalPlan) -> std::result::Result<LogicalPlan, QueryError> {
    let settled = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => settle_aggregate(aggregate).map(Transformed::yes),
        LogicalPlan::Window(window) => settle_window(window).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    });
    settled.map(|settled| settled.data).map_err(walked)
}

fn settle_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let input = Arc::clone(&aggregate.input);
    let gathering: Vec<AggregateFunction> = aggregate
        .aggr_expr
        .iter()
        .filter_map(|expression| match expression.clone().unalias() {
            Expr::AggregateFunction(call) if GATHERING.contains(&call.func.name()) => Some(call),
            _ => None,
        })
        .collect();
    // What is gathered without an order takes that of its neighbours, so that one order serves all.
    let orders = gathering.iter().map(|call| &call.params.order_by);
    let longest: Vec<SortExpr> = orders.max_by_key(|keys| keys.len()).cloned().unwrap_or_default();
    // Rows equal in all that is gathered can not be told apart, and lists that are gathered side
    // by side stay side by side.
    let gathered: Vec<Expr> =
        gathering.iter().flat_map(|call| call.params.args.iter().cloned()).collect();
    let names = NamePreserver::new(&LogicalPlan::Aggregate(aggregate.clone()));
    let settled = aggregate.aggr_expr.iter().map(|expression| {
        let name = names.save(expression);
        let settled = match expression.clone().unalias() {
            Expr::AggregateFunction(mut call) => {
                if GATHERING.contains(&call.func.name()) {
                    order_gathering(&mut call, &longest, &gathered);
                } else {
                    call.func = free(&call.func, &call.params.args, call.params.distinct, &input)?;
                }
                Expr::AggregateFunction(call)
            }
            other => other,
        };
        Ok(name.restore(settled))
    });
    let settled = settled.collect::<Result<Vec<Expr>>>()?;
    let Aggregate { group_expr, schema, .. } = aggregate;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new_with_schema(input, group_expr, settled, schema)?))
}

fn order_gathering(call: &mut AggregateFunction, longest: &[SortExpr], gathered: &[Expr]) {
    let keys = &mut call.params.order_by;
    if call.params.distinct {
        // The order of what is distinct is by that alone.
        add_keys(keys, call.params.args.iter().cloned());
        return;
    }
    if keys.is_empty() {
        keys.extend_from_slice(longest);
    }
    add_keys(keys, gathered.iter().cloned());
}

/// An aggregate that does not depend on the order of rows, or is replaced by one that does not.
fn free(
    function: &Arc<AggregateUDF>,
    arguments: &[Expr],
    is_distinct: bool,
    input: &LogicalPlan,
) -> Result<Arc<AggregateUDF>> {
    let name = function.name();
    if !FREE.contains(&name) {
        return Err(open(name));
    }
    let Some(exact) = exact(name) else { return Ok(Arc::clone(function)) };
    let of_doubles = match arguments {
        [argument] => argument.get_type(input.schema())? == DataType::Float64,
        _ => false,
    };
    if of_doubles && is_distinct {
        let text = format!(
            "{name}(DISTINCT …) of doubles beside other aggregates depends on the order in which \
             rows come; ask for it in a query of its own"
        );
        return Err(refused(&text));
    }
    Ok(if of_doubles { exact } else { Arc::clone(function) })
}

fn open(name: &str) -> datafusion::error::DataFusionError {
    let advice = OPEN.iter().find(|(open, _)| *open == name).map(|(_, instead)| *instead);
    let mut text = format!("{name}() depends on the order in which rows come");
    if let Some(instead) = advice {
        text.push_str(&format!("; ask for {instead}"));
    }
    refused(&text)
}

fn settle_window(window: Window) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&LogicalPlan::Window(window.clone()));
    let Window { input, window_expr, schema } = window;
    let (mut as_they_are, mut extended) = (Vec::new(), Vec::new());
    for expression in window_expr {
        let name = names.save(&expression);
        let Expr::WindowFunction(call) = expression.clone().unalias() else {
            as_they_are.push(expression);
            continue;
        };
        let depends = depends(&call)?;
        let call = settle_call(*call, depends, &input)?;
        let settled = name.restore(Expr::WindowFunction(Box::new(call)));
        if depends { extended.push(settled) } else { as_they_are.push(settled) }
    }
    let add = |plan: LogicalPlan, calls: Vec<Expr>| {
        if calls.is_empty() {
            return Ok(plan);
        }
        Window::try_new(calls, Arc::new(plan)).map(LogicalPlan::Window)
    };
    // The functions of one operator share its order; of two, the columns come in another one.
    let are_two = !as_they_are.is_empty() && !extended.is_empty();
    let plan = add(add(Arc::unwrap_or_clone(input), as_they_are)?, extended)?;
    if !are_two {
        return Ok(plan);
    }
    let columns = schema.iter().map(|field| Expr::Column(Column::from(field))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// Whether a window function depends on how rows lie that the window's ORDER BY does not tell
/// apart.
///
/// # Errors
/// If it does, and nothing can be done about it.
fn depends(call: &WindowFunction) -> Result<bool> {
    let params = &call.params;
    let name = match &call.fun {
        WindowFunctionDefinition::WindowUDF(function) => match function.name() {
            name if OF_PEERS.contains(&name) => return Ok(false),
            name if OF_PLACES.contains(&name) => return Ok(true),
            name if OF_FRAMES.contains(&name) => name,
            name => return Err(open(name)),
        },
        WindowFunctionDefinition::AggregateUDF(function) => match function.name() {
            name if GATHERING.contains(&name) => name,
            // A frame of rows takes some of those that are equal by its order.
            name if params.window_frame.units == WindowFrameUnits::Rows && !is_whole(params) => {
                name
            }
            _ => return Ok(false),
        },
    };
    if may_extend(name, params) {
        return Ok(true);
    }
    let text = format!(
        "{name}() OVER takes one of the rows that are equal by the window's ORDER BY, and nothing \
         says which; write a frame of ROWS"
    );
    Err(refused(&text))
}

fn settle_call(
    mut call: WindowFunction,
    depends: bool,
    input: &LogicalPlan,
) -> Result<WindowFunction> {
    if depends {
        add_keys(&mut call.params.order_by, all_columns(input.schema())?);
    }
    if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun
        && !GATHERING.contains(&function.name())
    {
        let function = free(function, &call.params.args, call.params.distinct, input)?;
        call.fun = WindowFunctionDefinition::AggregateUDF(function);
    }
    Ok(call)
}

/// Whether the window's ORDER BY may become longer without another meaning: a frame of RANGE or
/// GROUPS has all rows that are equal by it.
fn may_extend(name: &str, params: &WindowFunctionParams) -> bool {
    if params.window_frame.units == WindowFrameUnits::Rows || is_whole(params) {
        return true;
    }
    if params.null_treatment == Some(NullTreatment::IgnoreNulls) || params.filter.is_some() {
        return false;
    }
    // The first row of a frame that begins with the partition is in it, whatever its end.
    match name {
        "first_value" => is_open(&params.window_frame.start_bound),
        "last_value" => is_open(&params.window_frame.end_bound),
        _ => false,
    }
}

fn is_whole(params: &WindowFunctionParams) -> bool {
    is_open(&params.window_frame.start_bound) && is_open(&params.window_frame.end_bound)
}

fn is_open(bound: &WindowFrameBound) -> bool {
    bound.is_unbounded()
}
