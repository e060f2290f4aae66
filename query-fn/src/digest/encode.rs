//! Rows as bytes: each value by its tag and its content, so that different rows never have the
//! same bytes (docs/receipts.md 3.3).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal256Array, Float64Array,
    Int64Array, IntervalMonthDayNanoArray, LargeListArray, RecordBatch, StringViewArray,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType, Decimal256Type, Field, Float64Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, UInt64Type,
};
use arrow::error::ArrowError;

use crate::rows::{Views, written_columns};

/// A type, in the words of docs/receipts.md; none if it has no encoding.
pub(crate) fn type_name(kind: &DataType) -> Option<String> {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    };
    Some(match kind {
        DataType::Null => "Null".to_owned(),
        DataType::Boolean => "Boolean".to_owned(),
        kind if kind.is_integer() || kind.is_floating() => format!("{kind:?}"),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("Decimal({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "Utf8".to_owned(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "Binary".to_owned(),
        DataType::Date32 | DataType::Date64 => "Date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "Time".to_owned(),
        // However it comes, it is written in microseconds and UTC.
        DataType::Timestamp(_, Some(_)) => "Timestamp(us, UTC)".to_owned(),
        DataType::Timestamp(of, None) => format!("Timestamp({})", unit(of)),
        DataType::Duration(of) => format!("Duration({})", unit(of)),
        DataType::Interval(_) => "Interval".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("List({})", type_name(item.data_type())?)
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                type_name(field.data_type()).map(|kind| format!("{:?}: {kind}", field.name()))
            });
            format!("Struct({})", fields.collect::<Option<Vec<_>>>()?.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let of = |index: usize| type_name(fields[index].data_type());
                format!("Map({}, {})", of(0)?, of(1)?)
            }
            _ => return None,
        },
        DataType::Dictionary(_, values) => return type_name(values),
        _ => return None,
    })
}

/// The rows of a batch.
pub(super) struct Rows(Vec<Column>);

impl Rows {
    /// # Errors
    /// If a value is beyond what its type is written as.
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        // The values as every form of the answer writes them: then whoever has the answer can
        // compute its digest.
        let columns = written_columns(batch, Views::Keep)?;
        columns.iter().map(Column::of).collect::<Result<_, _>>().map(Self)
    }

    /// Appends a row.
    pub(super) fn push(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.0 {
            column.push(row, out);
        }
    }
}

/// A column, or what is inside of one.
struct Column {
    array: ArrayRef,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Double(Float64Array),
    Decimal(Decimal256Array, u8),
    Text(StringViewArray),
    Bytes(BinaryViewArray),
    /// Numbers under a tag: days of a date, nanoseconds of a time of day.
    Tagged(u8, Int64Array),
    /// Numbers of so many nanoseconds, under a tag.
    Nanoseconds(u8, i128, Int64Array),
    Interval(IntervalMonthDayNanoArray),
    List(LargeListArray, Box<Column>),
    Struct(Vec<Column>),
    Map(Vec<(usize, usize)>, Box<(Column, Column)>),
}

impl Column {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let to = |kind: &DataType| cast(array, kind);
        let numbers = |first: &DataType| {
            let first = cast(array, first)?;
            Ok::<_, ArrowError>(cast(&first, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        };
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean().clone()),
            kind if kind.is_signed_integer() => Values::Integer(numbers(&DataType::Int64)?),
            kind if kind.is_unsigned_integer() => {
                Values::Unsigned(to(&DataType::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            kind if kind.is_floating() => {
                Values::Double(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => {
                let wide = to(&DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale))?;
                let wide = wide.as_primitive::<Decimal256Type>().clone();
                Values::Decimal(wide, scale.to_be_bytes()[0])
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Text(to(&DataType::Utf8View)?.as_string_view().clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                Values::Bytes(to(&DataType::BinaryView)?.as_binary_view().clone())
            }
            DataType::Date32 | DataType::Date64 => {
                let days = cast(&to(&DataType::Date32)?, &DataType::Int32)?;
                let days = cast(&days, &DataType::Int64)?;
                Values::Tagged(DATE, days.as_primitive::<Int64Type>().clone())
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                Values::Tagged(TIME, numbers(&DataType::Time64(TimeUnit::Nanosecond))?)
            }
            DataType::Timestamp(unit, zone) => {
                let tag = if zone.is_some() { MOMENT } else { LOCAL_MOMENT };
                Values::Nanoseconds(tag, nanoseconds(unit), numbers(array.data_type())?)
            }
            DataType::Duration(unit) => {
                Values::Nanoseconds(DURATION, nanoseconds(unit), numbers(array.data_type())?)
            }
            DataType::Interval(_) => {
                let wide = to(&DataType::Interval(IntervalUnit::MonthDayNano))?;
                Values::Interval(wide.as_primitive::<IntervalMonthDayNanoType>().clone())
            }
            DataType::Dictionary(_, kind) => return Self::of(&to(kind)?),
            _ => Self::nested(array)?,
        };
        Ok(Self { array: Arc::clone(array), values })
    }

    fn nested(array: &ArrayRef) -> Result<Values, ArrowError> {
        Ok(match array.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let item = Arc::new(Field::clone(item));
                let lists = cast(array, &DataType::LargeList(item))?.as_list::<i64>().clone();
                let items = Self::of(lists.values())?;
                Values::List(lists, Box::new(items))
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter().map(Self::of);
                Values::Struct(columns.collect::<Result<_, _>>()?)
            }
            DataType::Map(..) => {
                let maps = array.as_map();
                let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
                let ranges = maps.offsets().windows(2);
                let ranges = ranges.map(|pair| (place(pair[0]), place(pair[1]))).collect();
                let of = (Self::of(maps.keys())?, Self::of(maps.values())?);
                Values::Map(ranges, Box::new(of))
            }
            other => {
                let text = format!("values of type {other} have no encoding");
                return Err(ArrowError::NotYetImplemented(text));
            }
        })
    }

    fn push(&self, row: usize, out: &mut Vec<u8>) {
        if matches!(self.values, Values::Null) || self.array.is_null(row) {
            out.push(NULL);
            return;
        }
        match &self.values {
            Values::Null => out.push(NULL),
            Values::Boolean(values) => out.extend([BOOLEAN, u8::from(values.value(row))]),
            Values::Integer(values) => push_tagged(INTEGER, &values.value(row).to_be_bytes(), out),
            Values::Unsigned(values) => {
                push_tagged(UNSIGNED, &values.value(row).to_be_bytes(), out);
            }
            Values::Double(values) => push_tagged(DOUBLE, &double(values.value(row)), out),
            Values::Decimal(values, scale) => {
                out.extend([DECIMAL, *scale]);
                out.extend_from_slice(&values.value(row).to_be_bytes());
            }
            Values::Text(values) => push_bytes(TEXT, values.value(row).as_bytes(), out),
            Values::Bytes(values) => push_bytes(BYTES, values.value(row), out),
            Values::Tagged(tag, values) => push_tagged(*tag, &values.value(row).to_be_bytes(), out),
            Values::Nanoseconds(tag, each, values) => {
                let nanoseconds = i128::from(values.value(row)) * each;
                push_tagged(*tag, &nanoseconds.to_be_bytes(), out);
            }
            Values::Interval(values) => {
                let value = values.value(row);
                out.push(INTERVAL);
                for part in [value.months.into(), value.days.into(), value.nanoseconds] {
                    out.extend_from_slice(&i64::to_be_bytes(part));
                }
            }
            Values::List(lists, items) => {
                let place = |offset: i64| usize::try_from(offset).unwrap_or(0);
                let offsets = lists.value_offsets();
                let (begin, end) = (place(offsets[row]), place(offsets[row + 1]));
                push_count(LIST, end - begin, out);
                (begin..end).for_each(|index| items.push(index, out));
            }
            Values::Struct(columns) => {
                out.push(STRUCT);
                columns.iter().for_each(|column| column.push(row, out));
            }
            Values::Map(ranges, of) => {
                let (begin, end) = ranges[row];
                push_count(MAP, end - begin, out);
                for index in begin..end {
                    of.0.push(index, out);
                    of.1.push(index, out);
                }
            }
        }
    }
}

const fn nanoseconds(unit: &TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Zero has no sign, and there is one value that is no number: engines differ in them.
fn double(value: f64) -> [u8; 8] {
    let value = if value.is_nan() {
        f64::NAN.copysign(1.0)
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    value.to_bits().to_be_bytes()
}

fn push_tagged(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(content);
}

fn push_bytes(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    push_count(tag, content.len(), out);
    out.extend_from_slice(content);
}

/// A number as LEB128, as in format 20.2.
fn push_count(tag: u8, count: usize, out: &mut Vec<u8>) {
    out.push(tag);
    let mut rest = count;
    while rest > 0x7f {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or(0));
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

const NULL: u8 = 0;
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const UNSIGNED: u8 = 3;
const DOUBLE: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const DATE: u8 = 8;
const TIME: u8 = 9;
const MOMENT: u8 = 10;
const LOCAL_MOMENT: u8 = 11;
const DURATION: u8 = 12;
const INTERVAL: u8 = 13;
const LIST: u8 = 14;
const STRUCT: u8 = 15;
const MAP: u8 = 16;
