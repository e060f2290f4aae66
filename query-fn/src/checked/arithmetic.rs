//! `+`, `-`, `*` and the sign of whole numbers, as functions that fail where the result does not
//! fit. They are named as the operators are, so that columns and plans read as before.

use std::sync::Arc;

use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

use super::rewritten;

/// Puts the functions in the operators' places.
#[derive(Debug)]
pub(super) struct Checked;

impl AnalyzerRule for Checked {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, |expr, schema| expr.transform_up(|expr| Ok(checked(expr, schema))))
    }

    fn name(&self) -> &str {
        "checked_arithmetic"
    }
}

fn checked(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (op, args) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if Op::of(op).is_some() && is_whole(&left, schema) && is_whole(&right, schema) =>
        {
            (Op::of(op), vec![*left, *right])
        }
        Expr::Negative(inner) if is_whole(&inner, schema) => (None, vec![*inner]),
        other => return Transformed::no(other),
    };
    let (ops, args) = match op {
        Some(op) => chained(op, args),
        None => (Vec::new(), args),
    };
    let function = ScalarUDF::new_from_impl(Arithmetic::new(ops));
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), args)))
}

/// Takes what stands on the left into the same call: of a call in a call in a call the engine asks
/// the type of each at each, so that a chain of some hundred would be planned for a minute.
fn chained(op: Op, args: Vec<Expr>) -> (Vec<Op>, Vec<Expr>) {
    let (mut ops, mut all) = (Vec::new(), Vec::new());
    for (place, arg) in args.into_iter().enumerate() {
        match arg {
            Expr::ScalarFunction(call) if place == 0 && chain(&call).is_some() => {
                ops.extend(chain(&call).into_iter().flatten().copied());
                all.extend(call.args);
            }
            other => all.push(other),
        }
    }
    ops.push(op);
    (ops, all)
}

/// The operators of a call of ours; `None` of all other calls, and of the sign.
fn chain(call: &ScalarFunction) -> Option<&[Op]> {
    let function = call.func.inner().downcast_ref::<Arithmetic>()?;
    (!function.ops.is_empty()).then_some(&function.ops)
}

fn is_whole(expr: &Expr, schema: &DFSchema) -> bool {
    let of = match expr {
        // All of a chain are of one type.
        Expr::ScalarFunction(call) if chain(call).is_some() => call.args.last().unwrap_or(expr),
        other => other,
    };
    of.get_type(schema).is_ok_and(|kind| kind.is_integer())
}

/// An operator that may outgrow its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Plus,
    Minus,
    Times,
}

impl Op {
    fn of(op: Operator) -> Option<Self> {
        match op {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Times),
            _ => None,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
        }
    }

    fn apply(self, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
        match self {
            Self::Plus => apply(left, right, add),
            Self::Minus => apply(left, right, sub),
            Self::Times => apply(left, right, mul),
        }
    }
}

/// Operators between one argument more, from left to right: `a + b - c`. Without an operator, the
/// sign before the one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    /// The operators one after the other.
    name: String,
    ops: Vec<Op>,
    signature: Signature,
}

impl Arithmetic {
    fn new(ops: Vec<Op>) -> Self {
        let name = if ops.is_empty() {
            "(- )".to_owned()
        } else {
            ops.iter().map(|op| op.sign()).collect()
        };
        let signature = Signature::any(ops.len() + 1, Volatility::Immutable);
        Self { name, ops, signature }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [first, others @ ..] = args else { return internal_err!("no argument") };
        let mut name = first.schema_name().to_string();
        if self.ops.is_empty() {
            return Ok(format!("(- {name})"));
        }
        for (op, other) in self.ops.iter().zip(others) {
            name.push_str(&format!(" {} {}", op.sign(), other.schema_name()));
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [first, others @ ..] if others.iter().all(|other| other == first) => Ok(first.clone()),
            _ => internal_err!("{} of several types: {arg_types:?}", self.name),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let kinds: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(&self.name, self.return_type(&kinds)?, nullable)))
    }

    /// Any number of the arguments' type. By default it would be a range without a type, over which
    /// the engine fails to plan an ORDER BY of what is compared with such a call.
    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        let kind = inputs.iter().map(|input| input.data_type()).find(|kind| !kind.is_null());
        Interval::make_unbounded(&kind.unwrap_or(DataType::Null))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [first, others @ ..] = args.args.as_slice() else {
            return internal_err!("{} was given no argument", self.name);
        };
        if self.ops.is_empty() {
            return match first {
                ColumnarValue::Array(array) => Ok(ColumnarValue::Array(neg(array.as_ref())?)),
                ColumnarValue::Scalar(one) => Ok(ColumnarValue::Scalar(one.arithmetic_negate()?)),
            };
        }
        let steps = self.ops.iter().zip(others);
        steps.into_iter().try_fold(first.clone(), |left, (op, right)| op.apply(&left, right))
    }
}
