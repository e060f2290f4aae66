//! `sum` and `avg` of doubles without rounding on the way, so that they do not depend on the order
//! in which values come, nor on how they are shared out among threads.
//!
//! The state is the sum itself, as a fixed-point number with as many bits as it takes.

mod fixed;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use self::fixed::Fixed;

/// The one of these that stands for the engine's function of that name; none for any other.
pub(super) fn exact(name: &str) -> Option<Arc<AggregateUDF>> {
    let what = match name {
        "sum" => What::Sum,
        "avg" => What::Average,
        _ => return None,
    };
    // With the engine's own names, or the names of columns would change.
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
    Some(Arc::new(AggregateUDF::from(ExactDouble { what, signature })))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Sum,
    Average,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactDouble {
    what: What,
    signature: Signature,
}

impl AggregateUDFImpl for ExactDouble {
    fn name(&self) -> &str {
        match self.what {
            What::Sum => "sum",
            What::Average => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return exec_err!("{}(DISTINCT) of doubles beside other aggregates", self.name());
        }
        Ok(Box::new(Adder { what: self.what, sum: Fixed::default(), count: 0 }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, kind| {
            Arc::new(Field::new(format_state_name(arguments.name, name), kind, false))
        };
        Ok(vec![field("sum", DataType::Binary), field("count", DataType::UInt64)])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Adder {
    what: What,
    sum: Fixed,
    count: u64,
}

impl Accumulator for Adder {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in doubles(values)?.iter().flatten() {
            self.sum.add(value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in doubles(values)?.iter().flatten() {
            self.sum.subtract(value);
            self.count = self.count.saturating_sub(1);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::Float64(None));
        }
        let sum = self.sum.to_double();
        Ok(ScalarValue::Float64(Some(match self.what {
            What::Sum => sum,
            // Counts beyond 2^53 do not occur.
            What::Average => sum / self.count as f64,
        })))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.heap_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::Binary(Some(self.sum.to_bytes()));
        Ok(vec![sum, ScalarValue::UInt64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else {
            return exec_err!("expected the two columns of a sum's state, found {}", states.len());
        };
        let sums = sums.as_binary::<i32>();
        let counts = counts.as_primitive::<arrow::datatypes::UInt64Type>();
        for (sum, count) in sums.iter().zip(counts) {
            let (Some(sum), Some(count)) = (sum, count) else { continue };
            let Some(sum) = Fixed::of_bytes(sum) else {
                return exec_err!("expected the state of a sum, found {} bytes", sum.len());
            };
            self.sum.merge(&sum);
            self.count += count;
        }
        Ok(())
    }
}

fn doubles(values: &[ArrayRef]) -> Result<&arrow::array::PrimitiveArray<Float64Type>> {
    match values.first().and_then(|values| values.as_primitive_opt::<Float64Type>()) {
        Some(doubles) => Ok(doubles),
        None => exec_err!("expected a column of doubles"),
    }
}
