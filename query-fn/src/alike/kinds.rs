//! The rows of a batch by kind: those of one kind hold the same.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

/// Which kind each row is of. Two kinds may hold the same after all, in two places.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// By row, the number of its kind.
    pub(super) of_rows: Vec<usize>,
    /// By kind, its first row.
    pub(super) firsts: Vec<u32>,
}

/// Sorts rows by kind; kept from batch to batch for its memory.
#[derive(Debug)]
pub(super) struct Sorter {
    slots: Vec<Slot>,
    /// Slots of another stamp are empty.
    stamp: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u128,
    kind: usize,
    stamp: u32,
}

/// Whether columns of a type can be sorted.
pub(super) fn is_sortable(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8View
            | DataType::BinaryView
            | DataType::Boolean
            | DataType::Date32
            | DataType::Int32
            | DataType::Int64
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self { slots: vec![Slot::default(); SLOTS], stamp: 0 }
    }

    /// Bytes it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.slots.len().saturating_mul(size_of::<Slot>())
    }

    /// The kinds of rows by all of these columns; `None` if more than a quarter of the rows differ,
    /// for a type that is not sortable, and for no column.
    pub(super) fn kinds(&mut self, columns: &[ArrayRef]) -> Option<Kinds> {
        let (first, others) = columns.split_first()?;
        let mut kinds = self.of_column(first)?;
        for column in others {
            let other = self.of_column(column)?;
            // Of one kind in a column there is nothing to tell apart.
            if other.firsts.len() == 1 {
                continue;
            }
            let (left, right) = (&kinds.of_rows, &other.of_rows);
            let pair = |row: usize| match (left.get(row), right.get(row)) {
                (Some(left), Some(right)) => (wide(*left) << 64) | wide(*right),
                _ => 0,
            };
            kinds = self.sort(left.len(), None, pair)?;
        }
        Some(kinds)
    }

    fn of_column(&mut self, column: &ArrayRef) -> Option<Kinds> {
        let (rows, nulls) = (column.len(), column.nulls());
        match column.data_type() {
            DataType::Utf8View => {
                let views = column.as_string_view().views();
                self.sort(rows, nulls, |row| at(views, row))
            }
            DataType::BinaryView => {
                let views = column.as_binary_view().views();
                self.sort(rows, nulls, |row| at(views, row))
            }
            DataType::Boolean => {
                let values = column.as_boolean().values();
                self.sort(rows, nulls, |row| u128::from(values.value(row)))
            }
            DataType::Date32 => {
                let values = column.as_primitive::<Date32Type>().values();
                self.sort(rows, nulls, |row| u128::from(at(values, row).cast_unsigned()))
            }
            DataType::Int32 => {
                let values = column.as_primitive::<Int32Type>().values();
                self.sort(rows, nulls, |row| u128::from(at(values, row).cast_unsigned()))
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>().values();
                self.sort(rows, nulls, |row| u128::from(at(values, row).cast_unsigned()))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>().values();
                self.sort(rows, nulls, |row| u128::from(at(values, row).cast_unsigned()))
            }
            _ => None,
        }
    }

    fn sort(
        &mut self,
        rows: usize,
        nulls: Option<&NullBuffer>,
        key: impl Fn(usize) -> u128,
    ) -> Option<Kinds> {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.slots.fill(Slot::default());
            self.stamp = 1;
        }
        let kinds_max = (rows / ROWS_PER_KIND_MIN).clamp(KINDS_MIN, SLOTS / 2);
        let mut kinds = Kinds { of_rows: Vec::with_capacity(rows), firsts: Vec::new() };
        let mut nothing: Option<usize> = None;
        let mut last: Option<(u128, usize)> = None;
        for row in 0..rows {
            let kind = if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                match nothing {
                    Some(kind) => kind,
                    None => *nothing.insert(begin(&mut kinds.firsts, row)?),
                }
            } else {
                let key = key(row);
                match last {
                    Some((before, kind)) if before == key => kind,
                    _ => {
                        let kind = self.find(key, row, &mut kinds.firsts)?;
                        last = Some((key, kind));
                        kind
                    }
                }
            };
            if kinds.firsts.len() > kinds_max {
                return None;
            }
            kinds.of_rows.push(kind);
        }
        Some(kinds)
    }

    /// The kind of a key, a new one if there is none; `None` if its place is crowded. Short texts
    /// are their own keys, so that whoever writes them could crowd one place.
    fn find(&mut self, key: u128, row: usize, firsts: &mut Vec<u32>) -> Option<usize> {
        let begin_at = place(key);
        for step in 0..STEPS_MAX {
            let slot = self.slots.get_mut((begin_at + step) % SLOTS)?;
            if slot.stamp != self.stamp {
                let kind = begin(firsts, row)?;
                *slot = Slot { key, kind, stamp: self.stamp };
                return Some(kind);
            }
            if slot.key == key {
                return Some(slot.kind);
            }
        }
        None
    }
}

/// A new kind, which begins with this row.
fn begin(firsts: &mut Vec<u32>, row: usize) -> Option<usize> {
    firsts.push(u32::try_from(row).ok()?);
    firsts.len().checked_sub(1)
}

fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn wide(kind: usize) -> u128 {
    u128::try_from(kind).unwrap_or_default()
}

/// Where a key is looked for first.
fn place(key: u128) -> usize {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let mixed = (key ^ (key >> 64)).wrapping_mul(ODD);
    usize::try_from(mixed >> (128 - SLOTS.ilog2())).unwrap_or_default()
}

/// Twice as many as there may be kinds.
const SLOTS: usize = 4096;

/// Places looked at for a key: at half as many kinds as slots, and without malice, more than enough.
const STEPS_MAX: usize = 64;

/// Rows a kind has at least, on average: else sorting costs more than it saves.
const ROWS_PER_KIND_MIN: usize = 4;

/// Kinds that even a short batch may have.
const KINDS_MIN: usize = 16;

#[cfg(test)]
pub(in crate::alike) mod tests {
    use arrow::array::StringViewArray;

    use super::*;

    /// So many short texts that are all looked for in the same few places.
    pub(in crate::alike) fn crowded(count: usize) -> Vec<String> {
        let text = |number: u64| format!("{number:x}");
        let is_near = |text: &String| {
            let view = StringViewArray::from_iter_values([text]).views()[0];
            place(view) < 8
        };
        (0u64..).map(text).filter(is_near).take(count).collect()
    }
}
