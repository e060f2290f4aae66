//! `sum` over whole numbers, in 128 bits: no sum of so many rows as there can be comes near those.
//! Only the sum itself must fit its type, so it does not depend on the order of the rows whether
//! there is one. All else is the engine's `sum`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type,
};
use datafusion::common::{exec_err, internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::Sum as EngineSum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};
use datafusion::scalar::ScalarValue;

/// What 64 bits are added up in.
const WIDE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    engine: EngineSum,
}

/// Whether sums of this type are whole numbers.
fn is_whole(of: &DataType) -> bool {
    matches!(of, DataType::Int64 | DataType::UInt64)
}

fn wide_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), WIDE, true))
}

/// The same arguments for a sum of 128 bits.
fn wide<'a>(args: &AccumulatorArgs<'a>, return_field: &FieldRef) -> AccumulatorArgs<'a> {
    AccumulatorArgs {
        return_field: Arc::clone(return_field),
        schema: args.schema,
        ignore_nulls: args.ignore_nulls,
        order_bys: args.order_bys,
        is_reversed: args.is_reversed,
        name: args.name,
        is_distinct: args.is_distinct,
        exprs: args.exprs,
        expr_fields: args.expr_fields,
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.engine.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if !is_whole(args.return_type()) {
            return self.engine.accumulator(args);
        }
        let wide_args = wide(&args, &wide_field(&args.return_field));
        let inner = self.engine.accumulator(wide_args)?;
        Ok(Box::new(Whole { inner, kind: args.return_type().clone() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if !is_whole(args.return_type()) {
            return self.engine.state_fields(args);
        }
        let return_field = wide_field(&args.return_field);
        self.engine.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_whole(args.return_type()) {
            return self.engine.create_groups_accumulator(args);
        }
        let wide_args = wide(&args, &wide_field(&args.return_field));
        let inner = self.engine.create_groups_accumulator(wide_args)?;
        Ok(Box::new(WholeOfGroups { inner, kind: args.return_type().clone() }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if !is_whole(args.return_type()) {
            return self.engine.create_sliding_accumulator(args);
        }
        if args.is_distinct {
            // The engine has it in 64 bits only.
            return not_impl_err!("sum(DISTINCT …) over a frame whose start moves");
        }
        let wide_args = wide(&args, &wide_field(&args.return_field));
        let inner = self.engine.create_sliding_accumulator(wide_args)?;
        Ok(Box::new(Whole { inner, kind: args.return_type().clone() }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.engine.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engine.set_monotonicity(data_type)
    }
}

/// The same numbers in 128 bits.
fn widened(values: &[ArrayRef]) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("sum takes one argument") };
    let wide: Decimal128Array = match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().unary(i128::from),
        DataType::UInt64 => values.as_primitive::<UInt64Type>().unary(i128::from),
        other => return internal_err!("a sum of whole numbers was given {other}"),
    };
    Ok(Arc::new(wide.with_data_type(WIDE)))
}

/// A sum in the type that it is to have.
fn fitting<T: TryFrom<i128>>(sum: i128) -> Result<T> {
    T::try_from(sum).or_else(|_| {
        exec_err!(
            "a sum outgrew 64 bits: it is {sum}; sum(CAST(x AS DECIMAL(38, 0))) has room for it"
        )
    })
}

/// One sum.
#[derive(Debug)]
struct Whole {
    inner: Box<dyn Accumulator>,
    kind: DataType,
}

impl Accumulator for Whole {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&[widened(values)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ScalarValue::Decimal128(sum, ..) = self.inner.evaluate()? else {
            return internal_err!("a sum in 128 bits is of another type");
        };
        Ok(match self.kind {
            DataType::UInt64 => ScalarValue::UInt64(sum.map(fitting).transpose()?),
            _ => ScalarValue::Int64(sum.map(fitting).transpose()?),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&[widened(values)?])
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// A sum a group.
struct WholeOfGroups {
    inner: Box<dyn GroupsAccumulator>,
    kind: DataType,
}

impl GroupsAccumulator for WholeOfGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = widened(values)?;
        self.inner.update_batch(&[values], group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit_to)?;
        let sums = sums.as_primitive::<Decimal128Type>();
        Ok(match self.kind {
            DataType::UInt64 => Arc::new(sums.try_unary::<_, UInt64Type, _>(fitting)?),
            _ => Arc::new(sums.try_unary::<_, Int64Type, _>(fitting)?),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&[widened(values)?], opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
