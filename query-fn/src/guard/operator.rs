//! Operators as functions, so that they can be guarded like functions.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

/// `a || b`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Joined(Signature);

impl Joined {
    pub(super) fn new() -> Self {
        Self(Signature::user_defined(Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &'static str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let sides: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(sides.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = kinds else { return Err(two(kinds.len())) };
        let coercer = BinaryTypeCoercer::new(left, &Operator::StringConcat, right);
        let (left, right) = coercer.get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let [left, right] = kinds else { return Err(two(kinds.len())) };
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return Err(two(args.args.len())) };
        let is_constant =
            matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let sides = [left, right].map(|side| side.clone().into_array(rows));
        let [left, right] = sides;
        let (left, right) = (left?, right?);
        let schema = Schema::new(vec![
            Field::new("a", left.data_type().clone(), true),
            Field::new("b", right.data_type().clone(), true),
        ]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![left, right])?;
        let sides: [Arc<dyn PhysicalExpr>; 2] =
            [Arc::new(Column::new("a", 0)), Arc::new(Column::new("b", 1))];
        let [left, right] = sides;
        let joined = BinaryExpr::new(left, Operator::StringConcat, right).evaluate(&batch)?;
        match joined {
            ColumnarValue::Array(array) if is_constant => {
                let value = datafusion::scalar::ScalarValue::try_from_array(&array, 0)?;
                Ok(ColumnarValue::Scalar(value))
            }
            other => Ok(other),
        }
    }
}

fn two(found: usize) -> DataFusionError {
    DataFusionError::Plan(format!("|| joins two values, found {found}"))
}
