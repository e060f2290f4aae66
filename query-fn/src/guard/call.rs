//! A function behind a guard.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature,
};

use super::forecast::{Argument, bytes_of, of_all, of_row, wide};
use super::stop::Stop;

/// What one call may use.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// Bytes that it may add to a batch.
    pub(super) bytes_max: usize,
    pub(super) stop: Stop,
}

/// A function that makes no more than it may, and stops when it should. It is called with a few
/// rows at a time, so that what was foreseen too high is still made.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Arc<ScalarUDF>,
    budget: Budget,
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Guarded {}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Guarded {
    pub(super) const fn new(inner: Arc<ScalarUDF>, budget: Budget) -> Self {
        Self { inner, budget }
    }

    fn too_long(&self, bytes_max: usize) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "{} would make more than {bytes_max} bytes of one batch of rows",
            self.inner.name()
        ))
    }

    /// Rows from `start` on that may be given to the function at once.
    fn slice(&self, args: &[Argument], start: usize, rows: usize, room: u128) -> Result<usize> {
        let name = self.inner.name();
        if start == 0
            && let Some((bytes, steps)) = of_all(name, args, rows)
            && bytes <= room
            && steps <= SLICE_STEPS
        {
            return Ok(rows);
        }
        let (mut bytes, mut taken, mut end) = (0u128, 0u128, start);
        while end < rows {
            let (made, more) = of_row(name, args, end);
            if end == start && (made > room.saturating_mul(FORECAST_SLACK) || more > STEPS_MAX) {
                return Err(if more > STEPS_MAX {
                    DataFusionError::ResourcesExhausted(format!(
                        "{name} would compute for too long over texts of this length"
                    ))
                } else {
                    self.too_long(self.budget.bytes_max)
                });
            }
            bytes = bytes.saturating_add(made);
            taken = taken.saturating_add(more);
            if end > start && (bytes > room || taken > SLICE_STEPS) {
                break;
            }
            end += 1;
        }
        Ok(end)
    }
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        self.inner.return_type(kinds)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.budget.stop.check()?;
        let rows = args.number_rows;
        let known = args.args.iter().map(Argument::of).collect::<Result<Vec<_>>>()?;
        let is_constant = known.iter().all(Argument::is_scalar);
        let bytes_max = if is_constant {
            CONSTANT_BYTES_MAX.min(self.budget.bytes_max)
        } else {
            self.budget.bytes_max
        };
        // What is as long as the longest argument takes no more than was there before.
        let longest = known.iter().map(|arg| arg.total(wide(rows))).max().unwrap_or(0);
        let room = longest.saturating_add(wide(bytes_max));
        let rows = if is_constant { 1 } else { rows };
        let (mut start, mut made, mut parts) = (0, 0u128, Vec::<ArrayRef>::new());
        loop {
            let left = room.saturating_sub(made);
            let end = self.slice(&known, start, rows, left)?;
            if start == 0 && end >= rows {
                let whole = self.inner.invoke_with_args(args)?;
                let bytes = match &whole {
                    ColumnarValue::Array(array) => wide(bytes_of(array)),
                    ColumnarValue::Scalar(scalar) => wide(scalar.size()),
                };
                return if bytes > room.saturating_add(FORECAST_FLOOR) {
                    Err(self.too_long(bytes_max))
                } else {
                    Ok(whole)
                };
            }
            let part = self.inner.invoke_with_args(part_of(&args, start, end - start))?;
            let part = part.into_array(end - start)?;
            made = made.saturating_add(wide(bytes_of(&part)));
            if made > room.saturating_add(FORECAST_FLOOR) {
                return Err(self.too_long(bytes_max));
            }
            parts.push(part);
            self.budget.stop.check()?;
            start = end;
            if start >= rows {
                break;
            }
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(kinds)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}

fn part_of(args: &ScalarFunctionArgs, start: usize, rows: usize) -> ScalarFunctionArgs {
    let part = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, rows)),
        scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(part).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    }
}

/// Longest value that is made of constants: it becomes a constant of the plan.
const CONSTANT_BYTES_MAX: usize = 1024 * 1024;

/// How far a forecast for one row may be off: some see only what the worst pattern would make.
const FORECAST_SLACK: u128 = 8;

/// Offsets and lengths, which are no part of what was made.
const FORECAST_FLOOR: u128 = 256 * 1024;

/// Steps between two looks at whether anybody still waits: well below a second.
const SLICE_STEPS: u128 = 200_000_000;

/// Steps for one row: some seconds.
const STEPS_MAX: u128 = 20_000_000_000;
