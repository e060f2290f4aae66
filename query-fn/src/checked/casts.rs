//! Casts that may fail or lose something stay where they are written. The engine takes a cast off
//! a column that is compared with a constant and casts the constant instead, so that the condition
//! can be held against statistics. That is the same only if each value of the column has one value
//! of the other type to itself: `TRY_CAST(duration_us AS INT) >= 3` would hold for durations that
//! are no INT, of which the cast is NULL. Such casts are kept behind a function that hands on what
//! it is given, through which the engine does not look.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, Filter, LogicalPlan, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::rewritten;

/// Keeps the casts of a plan.
#[derive(Debug)]
pub(super) struct Casts;

impl AnalyzerRule for Casts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, keep_casts)
    }

    fn name(&self) -> &str {
        "kept_casts"
    }
}

/// The same expression, whose types are settled, with its casts kept.
///
/// # Errors
/// If the expression can not be walked, which it always can.
pub(crate) fn keep_casts(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    keep(expr, &|expr| may_lose(expr, schema))
}

/// The same plan, optimized already, in which moments taken for their days are kept as well, but
/// for those that a scan prunes by. Elsewhere the engine would estimate how many rows they leave: it
/// takes the days back to moments that may lie further apart than the first and the last, and
/// fails where more is left than there was.
///
/// # Errors
/// If the plan can not be put together again, which it always can.
pub(crate) fn keep_days(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(Filter { predicate, input, .. })
            if !matches!(*input, LogicalPlan::TableScan(_)) =>
        {
            let predicate = keep(predicate, &|expr| is_coarser(expr, input.schema()))?;
            let filter = Filter::try_new(predicate.data, input)?;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn keep(expr: Expr, is_kept: &dyn Fn(&Expr) -> bool) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        if !is_kept(&expr) {
            return Ok(Transformed::no(expr));
        }
        let function = Arc::new(ScalarUDF::new_from_impl(Kept::default()));
        let call = ScalarFunction::new_udf(function, vec![expr]);
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })
}

/// Whether a moment becomes a day, or a coarser moment.
fn is_coarser(expr: &Expr, schema: &DFSchema) -> bool {
    let (Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field })) = expr else {
        return false;
    };
    match (expr.get_type(schema), field.data_type()) {
        (Ok(DataType::Timestamp(..)), DataType::Date32 | DataType::Date64) => true,
        (Ok(DataType::Timestamp(of, _)), DataType::Timestamp(to, _)) => *to < of,
        _ => false,
    }
}

/// Whether the engine would take off this cast, though not each value has one to itself.
fn may_lose(expr: &Expr, schema: &DFSchema) -> bool {
    let (of, to, is_try) = match expr {
        Expr::Cast(cast) => (cast.expr.as_ref(), Some(cast.field.data_type().clone()), false),
        Expr::TryCast(cast) => (cast.expr.as_ref(), Some(cast.field.data_type().clone()), true),
        // Become casts when the plan is optimized.
        Expr::ScalarFunction(call) => {
            let is_try = match call.func.name() {
                "arrow_cast" | "cast_to_type" => false,
                "arrow_try_cast" | "try_cast_to_type" => true,
                _ => return false,
            };
            let Some(of) = call.args.first() else { return false };
            (of, expr.get_type(schema).ok(), is_try)
        }
        _ => return false,
    };
    // Constants are computed.
    if matches!(of, Expr::Literal(..)) {
        return false;
    }
    match (of.get_type(schema), to) {
        (Ok(from), Some(to)) => is_moved(&from) && is_moved(&to) && loses(&from, &to, is_try),
        _ => true,
    }
}

/// Types between which the engine moves casts and of which not each has room for each other.
fn is_moved(kind: &DataType) -> bool {
    kind.is_integer()
        || kind.is_decimal()
        || matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

fn loses(from: &DataType, to: &DataType, is_try: bool) -> bool {
    use DataType::{Date32, Date64, Timestamp};
    if from == to {
        return false;
    }
    match (from, to) {
        // The engine leaves these where they are.
        (Timestamp(..), Date32 | Date64) | (Date32 | Date64, Timestamp(..)) | (Date64, Date32) => {
            false
        }
        (Date32, Date64) => false,
        (Timestamp(of, from_zone), Timestamp(to, to_zone)) => {
            let is_shifted =
                from_zone.is_none() && to_zone.as_ref().is_some_and(|zone| !is_utc(zone));
            // Of the year 2262 a nanosecond is the last; and a constant between two seconds would
            // be cut to one. Ours are microseconds, which the engine makes nanoseconds of to compare
            // them with constants: those it may compare as they are.
            let is_finer = to > of && (is_try || *of != TimeUnit::Microsecond);
            is_shifted || is_finer
        }
        _ => match (Digits::of(from), Digits::of(to)) {
            (Some(from), Some(to)) => !to.has_room_for(from),
            _ => true,
        },
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z" | "Etc/UTC")
}

/// The numbers that a type holds.
#[derive(Debug, Clone, Copy)]
enum Digits {
    /// From this to that.
    Whole(i128, i128),
    /// So many digits before the point, and behind it.
    Decimal(i16, i16),
}

impl Digits {
    fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Int8 => Self::Whole(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => Self::Whole(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 | DataType::Date32 => Self::Whole(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 | DataType::Date64 | DataType::Timestamp(..) => {
                Self::Whole(i64::MIN.into(), i64::MAX.into())
            }
            DataType::UInt8 => Self::Whole(0, u8::MAX.into()),
            DataType::UInt16 => Self::Whole(0, u16::MAX.into()),
            DataType::UInt32 => Self::Whole(0, u32::MAX.into()),
            DataType::UInt64 => Self::Whole(0, u64::MAX.into()),
            DataType::Decimal32(all, behind)
            | DataType::Decimal64(all, behind)
            | DataType::Decimal128(all, behind) => {
                let behind = i16::from(*behind);
                Self::Decimal(i16::from(*all) - behind, behind)
            }
            _ => return None,
        })
    }

    fn has_room_for(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(least, most), Self::Whole(low, high)) => least <= low && high <= most,
            (Self::Decimal(before, behind), Self::Whole(low, high)) => {
                let reach =
                    u32::try_from(before).ok().and_then(|digits| 10i128.checked_pow(digits));
                behind >= 0 && reach.is_none_or(|reach| -reach < low && high < reach)
            }
            (Self::Decimal(before, behind), Self::Decimal(other_before, other_behind)) => {
                before >= other_before && behind >= other_behind && other_behind >= 0
            }
            (Self::Whole(..), Self::Decimal(..)) => false,
        }
    }
}

/// A function that hands on its argument. It bears the argument's name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kept {
    signature: Signature,
}

impl Default for Kept {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Kept {
    fn name(&self) -> &str {
        "kept"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [cast] = args else { return internal_err!("kept takes one argument") };
        Ok(cast.schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [kind] = arg_types else { return internal_err!("kept takes one argument") };
        Ok(kind.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [field] = args.arg_fields else { return internal_err!("kept takes one argument") };
        Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), field.is_nullable())))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        let [bounds] = inputs else { return internal_err!("kept takes one argument") };
        Ok((*bounds).clone())
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let [order] = inputs else { return internal_err!("kept takes one argument") };
        Ok(order.sort_properties)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = args.args;
        match (args.pop(), args.pop()) {
            (Some(value), None) => Ok(value),
            _ => internal_err!("kept takes one argument"),
        }
    }
}
