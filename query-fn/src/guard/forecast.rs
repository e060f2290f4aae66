//! How much a call will make, before it is made.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// Bytes that values take once each of them is written out, whatever they share.
pub(super) fn bytes_of(array: &dyn Array) -> usize {
    let span = |first: i64, last: i64| usize::try_from(last.saturating_sub(first)).unwrap_or(0);
    let nested = |values: &ArrayRef, first: i64, last: i64| {
        let start = usize::try_from(first).unwrap_or(0);
        bytes_of(&values.slice(start, span(first, last)))
    };
    let ends = |offsets: &[i32]| match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (i64::from(*first), i64::from(*last)),
        _ => (0, 0),
    };
    let own = array.len().saturating_mul(8);
    let values = match array.data_type() {
        DataType::Utf8 => {
            let (first, last) = ends(array.as_string::<i32>().value_offsets());
            span(first, last)
        }
        DataType::Binary => {
            let (first, last) = ends(array.as_binary::<i32>().value_offsets());
            span(first, last)
        }
        DataType::LargeUtf8 => offsets_span(array.as_string::<i64>().value_offsets()),
        DataType::LargeBinary => offsets_span(array.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => lengths(array.as_string_view().views()),
        DataType::BinaryView => lengths(array.as_binary_view().views()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, last) = ends(list.value_offsets());
            nested(list.values(), first, last)
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            match (list.value_offsets().first(), list.value_offsets().last()) {
                (Some(first), Some(last)) => nested(list.values(), *first, *last),
                _ => 0,
            }
        }
        DataType::FixedSizeList(..) => bytes_of(array.as_fixed_size_list().values()),
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|column| bytes_of(column)).fold(0, usize::saturating_add)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, last) = ends(map.value_offsets());
            let start = usize::try_from(first).unwrap_or(0);
            bytes_of(&map.entries().slice(start, span(first, last)))
        }
        kind => kind.primitive_width().map_or_else(
            || array.get_array_memory_size(),
            |width| width.saturating_mul(array.len()),
        ),
    };
    values.saturating_add(own)
}

fn offsets_span(offsets: &[i64]) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => usize::try_from(last - first).unwrap_or(0),
        _ => 0,
    }
}

/// A view's lowest 32 bits are its length.
fn lengths(views: &[u128]) -> usize {
    views.iter().map(|view| length(*view)).fold(0, usize::saturating_add)
}

fn length(view: u128) -> usize {
    usize::try_from(view & u128::from(u32::MAX)).unwrap_or(usize::MAX)
}

/// One argument of a call, row by row.
pub(super) struct Argument {
    /// One row, if the value is the same for all.
    array: ArrayRef,
    is_scalar: bool,
}

impl Argument {
    pub(super) fn of(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self { array: Arc::clone(array), is_scalar: false },
            ColumnarValue::Scalar(scalar) => {
                Self { array: scalar.to_array_of_size(1)?, is_scalar: true }
            }
        })
    }

    pub(super) const fn is_scalar(&self) -> bool {
        self.is_scalar
    }

    /// Bytes in all rows.
    pub(super) fn total(&self, rows: u128) -> u128 {
        let bytes = wide(bytes_of(&self.array));
        if self.is_scalar { bytes.saturating_mul(rows) } else { bytes }
    }

    const fn at(&self, row: usize) -> usize {
        if self.is_scalar { 0 } else { row }
    }

    /// Bytes in one row.
    fn bytes(&self, row: usize) -> u128 {
        let row = self.at(row);
        if self.array.is_null(row) {
            return 0;
        }
        wide(match self.array.data_type() {
            DataType::Utf8 => self.array.as_string::<i32>().value(row).len(),
            DataType::LargeUtf8 => self.array.as_string::<i64>().value(row).len(),
            DataType::Utf8View => self.array.as_string_view().value(row).len(),
            DataType::Binary => self.array.as_binary::<i32>().value(row).len(),
            DataType::BinaryView => self.array.as_binary_view().value(row).len(),
            _ => bytes_of(&self.array.slice(row, 1)),
        })
    }

    /// Elements of a list in one row.
    fn elements(&self, row: usize) -> u128 {
        let row = self.at(row);
        if self.array.is_null(row) {
            return 0;
        }
        match self.array.data_type() {
            DataType::List(_) => wide(self.array.as_list::<i32>().value(row).len()),
            DataType::LargeList(_) => wide(self.array.as_list::<i64>().value(row).len()),
            _ => self.bytes(row),
        }
    }

    /// The number in one row; none of NULL, and of what is no number.
    fn number(&self, row: usize) -> Option<i128> {
        let row = self.at(row);
        if self.array.is_null(row) {
            return None;
        }
        let one = self.array.slice(row, 1);
        let one = arrow::compute::cast(&one, &DataType::Int64).ok()?;
        one.is_valid(0).then(|| i128::from(one.as_primitive::<Int64Type>().value(0)))
    }

    /// An interval in nanoseconds, a month being 28 days.
    fn interval_nanos(&self, row: usize) -> u128 {
        let row = self.at(row);
        let nanos = match self.array.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) if self.array.is_valid(row) => {
                let value = self.array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let days = i128::from(value.months) * 28 + i128::from(value.days);
                days * DAY_NANOS + i128::from(value.nanoseconds)
            }
            _ => 1,
        };
        nanos.unsigned_abs().max(1)
    }
}

/// One row of a call; or all of them, by the sums of the first argument, where all others are the
/// same for each row: what is foreseen grows evenly with the first.
struct Row<'a> {
    args: &'a [Argument],
    row: usize,
    first: Option<u128>,
}

impl Row<'_> {
    fn bytes(&self, n: usize) -> u128 {
        match self.first {
            Some(first) if n == 0 => first,
            _ => self.args.get(n).map_or(0, |arg| arg.bytes(self.row)),
        }
    }

    /// Elements of a list; each takes some bytes.
    fn elements(&self, n: usize) -> u128 {
        match self.first {
            Some(first) if n == 0 => first,
            _ => self.args.get(n).map_or(0, |arg| arg.elements(self.row)),
        }
    }

    fn count(&self, n: usize) -> u128 {
        least_zero(self.args.get(n).and_then(|arg| arg.number(self.row)))
    }

    fn all(&self) -> u128 {
        let each = (0..self.args.len()).map(|n| self.bytes(n));
        each.fold(16, u128::saturating_add)
    }
}

/// Most bytes that a call can make of one row, and the steps it takes beyond a look at each byte.
pub(super) fn of_row(name: &str, args: &[Argument], row: usize) -> (u128, u128) {
    let row = Row { args, row, first: None };
    (bytes_made(name, &row), steps(name, &row))
}

/// The same for all rows at once, where that is easily said.
pub(super) fn of_all(name: &str, args: &[Argument], rows: usize) -> Option<(u128, u128)> {
    let rows = wide(rows);
    if let Some(factor) = evenly(name) {
        let all = args.iter().map(|arg| arg.total(rows));
        let all = all.fold(rows.saturating_mul(16), u128::saturating_add);
        return Some((all.saturating_mul(factor), rows));
    }
    let (first, others) = args.split_first()?;
    if name == "range" || name == "generate_series" || !others.iter().all(Argument::is_scalar) {
        return None;
    }
    let of = |first| {
        let row = Row { args, row: 0, first: Some(first) };
        (bytes_made(name, &row), steps(name, &row))
    };
    let (least, whole) = (of(0), of(first.total(rows)));
    let sum = |least: u128, whole: u128| whole.saturating_add(least.saturating_mul(rows));
    Some((sum(least.0, whole.0), sum(least.1, whole.1)))
}

/// How many times its arguments a call makes at most, if that is all there is to say.
fn evenly(name: &str) -> Option<u128> {
    match name {
        "translate" | "encode" | "decode" | "overlay" => Some(4),
        "||" | "array_add" | "array_append" | "array_concat" | "array_except"
        | "array_intersect" | "array_prepend" | "array_scale" | "array_subtract"
        | "array_union" | "arrays_zip" | "concat" | "flatten" | "make_array" | "map"
        | "named_struct" | "struct" => Some(2),
        _ => None,
    }
}

fn bytes_made(name: &str, row: &Row<'_>) -> u128 {
    let (bytes, count) = (|n| row.bytes(n), |n| row.count(n));
    match name {
        "repeat" => bytes(0).saturating_mul(count(1)),
        // A character has at most four bytes.
        "lpad" | "rpad" => bytes(0).saturating_add(count(1).saturating_mul(4)),
        "array_repeat" => bytes(0).saturating_add(16).saturating_mul(count(1)),
        "array_resize" => {
            bytes(0).saturating_add(count(1).saturating_mul(bytes(2).saturating_add(16)))
        }
        "replace" => {
            let times = bytes(0).saturating_add(1) / bytes(1).max(1);
            bytes(0).saturating_add(times.saturating_add(1).saturating_mul(bytes(2)))
        }
        // Each character may be a match, and each reference in the replacement the whole text.
        "regexp_replace" => {
            bytes(0).saturating_add(1).saturating_mul(bytes(2).saturating_mul(2).saturating_add(1))
        }
        // A group for every second character of the pattern, each the whole text.
        "regexp_match" => bytes(0).saturating_mul(bytes(1) / 2 + 1).saturating_add(16),
        // The longest item, a full date, takes two characters to ask for.
        "to_char" => bytes(1).saturating_mul(40).saturating_add(16),
        "string_to_array" => bytes(0).saturating_add(1).saturating_mul(24),
        "array_to_string" => {
            let each = bytes(1).saturating_add(bytes(2)).saturating_add(24);
            row.all().saturating_mul(2).saturating_add(row.elements(0).saturating_mul(each))
        }
        "concat_ws" => row.all().saturating_add(bytes(0).saturating_mul(wide(row.args.len()))),
        "array_replace" | "array_replace_n" | "array_replace_all" => {
            row.all().saturating_add(row.elements(0).saturating_mul(bytes(2)))
        }
        "range" | "generate_series" => series(row.args, row.row).saturating_mul(16),
        // What makes no text or list.
        "regexp_like" | "regexp_count" | "regexp_instr" | "levenshtein" | "array_has_all"
        | "array_has_any" => 8,
        _ => row.all().saturating_mul(evenly(name).unwrap_or(2)),
    }
}

fn steps(name: &str, row: &Row<'_>) -> u128 {
    match name {
        "levenshtein" => {
            row.bytes(0).saturating_add(1).saturating_mul(row.bytes(1).saturating_add(1))
        }
        "array_has_all" | "array_has_any" => row.elements(0).saturating_mul(row.elements(1)),
        "regexp_like" | "regexp_count" | "regexp_instr" | "regexp_match" | "regexp_replace" => {
            // One that is not the same for all rows is compiled again, which is the most of it.
            let compiled = row.args.get(1).is_some_and(|pattern| !pattern.is_scalar());
            let once = if compiled { PATTERN_STEPS } else { 0 };
            let bytes = row.bytes(0).saturating_add(1);
            bytes.saturating_mul(PATTERN_BYTE_STEPS).saturating_add(once)
        }
        _ => 1,
    }
}

/// Values between two bounds.
fn series(args: &[Argument], row: usize) -> u128 {
    let number = |n: usize| args.get(n).and_then(|arg| arg.number(row));
    let (start, end) = if args.len() == 1 { (Some(0), number(0)) } else { (number(0), number(1)) };
    let (Some(start), Some(end)) = (start, end) else { return 0 };
    let span = end.abs_diff(start).saturating_add(1);
    let Some(step) = args.get(2) else { return span };
    match (step.array.data_type(), args[0].array.data_type()) {
        (DataType::Interval(_), DataType::Timestamp(unit, _)) => {
            let nanos = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            span.saturating_mul(nanos) / step.interval_nanos(row) + 1
        }
        // Dates go by whole days at least.
        (DataType::Interval(_), _) => span,
        _ => span / step.number(row).map_or(1, i128::unsigned_abs).max(1) + 1,
    }
}

fn least_zero(number: Option<i128>) -> u128 {
    number.and_then(|number| u128::try_from(number).ok()).unwrap_or(0)
}

pub(super) fn wide(bytes: usize) -> u128 {
    u128::try_from(bytes).unwrap_or(u128::MAX)
}

const DAY_NANOS: i128 = 86_400_000_000_000;

/// What a byte of text may cost a pattern made to be slow, against a plain comparison.
const PATTERN_BYTE_STEPS: u128 = 1_000;

/// Compiling a pattern, against a plain comparison.
const PATTERN_STEPS: u128 = 10_000_000;
