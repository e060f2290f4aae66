//! What all functions have in common: arguments of one row in, one value out.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListBuilder, StringBuilder,
    StringViewArray, StringViewBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// A function: what it is called, takes and gives.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) body: Body,
    /// One sentence, shown by `SHOW FUNCTIONS` and `information_schema.routines`.
    pub(super) says: &'static str,
    /// What it is the same as, if the engine can do more with that: prune files by it, above all.
    pub(super) rewrite: Option<Rewrite>,
}

/// The expression that a call with these arguments is the same as.
pub(super) type Rewrite = fn(&[Expr]) -> Option<Expr>;

/// Arguments, by name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// So many, of these types.
    Exactly(&'static [(&'static str, Kind)]),
    /// A JSON text, then any number of steps into it.
    JsonAndSteps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
}

/// Computes the value of one row; `None` is NULL.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Text(for<'a> fn(&Row<'a>) -> Option<Cow<'a, str>>),
    Integer(fn(&Row<'_>) -> Option<i64>),
    Double(fn(&Row<'_>) -> Option<f64>),
    Boolean(fn(&Row<'_>) -> Option<bool>),
    Texts(for<'a> fn(&Row<'a>) -> Option<Vec<Cow<'a, str>>>),
}

/// The arguments of one row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    columns: &'a [Column],
    index: usize,
}

impl<'a> Row<'a> {
    /// An argument that is a text; `None` if it is NULL.
    pub(super) fn text(&self, argument: usize) -> Option<&'a str> {
        let column = self.columns.get(argument)?;
        let Values::Texts(values) = &column.values else { return None };
        let index = column.index(self.index);
        values.is_valid(index).then(|| values.value(index))
    }

    /// An argument that is a number; `None` if it is NULL.
    pub(super) fn integer(&self, argument: usize) -> Option<i64> {
        let column = self.columns.get(argument)?;
        let Values::Integers(values) = &column.values else { return None };
        let index = column.index(self.index);
        values.is_valid(index).then(|| values.value(index))
    }

    /// How many arguments there are.
    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }
}

/// The values of one argument: of each row, or one for all rows.
#[derive(Debug)]
struct Column {
    values: Values,
    is_scalar: bool,
}

#[derive(Debug)]
enum Values {
    Texts(StringViewArray),
    Integers(Int64Array),
}

impl Column {
    fn new(value: &ColumnarValue) -> Result<Self> {
        let (array, is_scalar) = match value {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let values = match array.data_type() {
            DataType::Int64 => Values::Integers(array.as_primitive::<Int64Type>().clone()),
            DataType::Utf8View => Values::Texts(array.as_string_view().clone()),
            DataType::Utf8 | DataType::LargeUtf8 => {
                Values::Texts(cast(&array, &DataType::Utf8View)?.as_string_view().clone())
            }
            other => return internal_err!("a function of one row was given {other}"),
        };
        Ok(Self { values, is_scalar })
    }

    fn index(&self, row: usize) -> usize {
        if self.is_scalar { 0 } else { row }
    }
}

impl Body {
    fn data_type(self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8View,
            Self::Integer(_) => DataType::Int64,
            Self::Double(_) => DataType::Float64,
            Self::Boolean(_) => DataType::Boolean,
            Self::Texts(_) => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        }
    }

    fn evaluate(self, columns: &[Column], rows: usize) -> ArrayRef {
        let rows = (0..rows).map(|index| Row { columns, index });
        match self {
            Self::Text(value) => {
                let mut builder = StringViewBuilder::with_capacity(rows.len());
                rows.for_each(|row| builder.append_option(value(&row)));
                Arc::new(builder.finish())
            }
            Self::Integer(value) => Arc::new(rows.map(|row| value(&row)).collect::<Int64Array>()),
            Self::Double(value) => Arc::new(rows.map(|row| value(&row)).collect::<Float64Array>()),
            Self::Boolean(value) => Arc::new(rows.map(|row| value(&row)).collect::<BooleanArray>()),
            Self::Texts(value) => {
                let mut builder = ListBuilder::new(StringBuilder::new());
                for row in rows {
                    let list = value(&row);
                    builder.append_option(list.map(|texts| texts.into_iter().map(Some)));
                }
                Arc::new(builder.finish())
            }
        }
    }
}

/// A definition in the engine's terms.
#[derive(Debug)]
pub(super) struct Function {
    definition: &'static Definition,
    signature: Signature,
    documentation: Documentation,
}

impl Function {
    pub(super) fn new(definition: &'static Definition) -> Self {
        let kind = |kind: Kind| match kind {
            Kind::Text => DataType::Utf8View,
            Kind::Integer => DataType::Int64,
        };
        let (types, names): (TypeSignature, Vec<&str>) = match definition.takes {
            Takes::Exactly(arguments) => (
                TypeSignature::Exact(arguments.iter().map(|(_, of)| kind(*of)).collect()),
                arguments.iter().map(|(name, _)| *name).collect(),
            ),
            Takes::JsonAndSteps => {
                (TypeSignature::Variadic(vec![DataType::Utf8View]), vec!["json", "step, ..."])
            }
        };
        let syntax = format!("{}({})", definition.name, names.join(", "));
        let documentation = names
            .iter()
            .fold(Documentation::builder(SECTION, definition.says, syntax), |builder, name| {
                builder.with_argument(*name, "")
            })
            .build();
        let signature = Signature::new(types, Volatility::Immutable);
        Self { definition, signature, documentation }
    }
}

/// There is one function of a name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.definition.body.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        // What is rewritten has a value for each value; all others have NULL for an odd one.
        let nullable = self.definition.rewrite.is_none()
            || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.definition.body.data_type(), nullable)))
    }

    /// Any value of its type. By default it would be a range without a type, over which the engine
    /// fails to plan an ORDER BY of what is compared with such a call.
    fn evaluate_bounds(&self, _: &[&Interval]) -> Result<Interval> {
        Interval::make_unbounded(&self.definition.body.data_type())
    }

    fn is_strict(&self) -> bool {
        self.definition.rewrite.is_none()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        let is_scalar = columns.iter().all(|column| column.is_scalar);
        let rows = if is_scalar { 1 } else { args.number_rows };
        let array = self.definition.body.evaluate(&columns, rows);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let rewritten = self.definition.rewrite.and_then(|rewrite| rewrite(&args));
        Ok(rewritten.map_or(ExprSimplifyResult::Original(args), ExprSimplifyResult::Simplified))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

const SECTION: DocSection =
    DocSection { include: true, label: "Audit Functions", description: None };
