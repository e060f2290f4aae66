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
    pub(super) of_rows: Vec<u32>,
    /// By kind, its first row.
    pub(super) firsts: Vec<u32>,
}

/// Sorts rows by kind; kept from batch to batch for its memory.
#[derive(Debug)]
pub(super) struct Sorter {
    slots: Box<[Slot; SLOTS]>,
    /// Slots of another stamp are empty.
    stamp: u32,
}

/// A kind, where its key is looked for.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: Key,
    kind: u32,
    stamp: u32,
}

/// What tells rows of a column apart: a value or a view. In two words, which need no padding.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Key(u64, u64);

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
        Self { slots: Box::new([Slot::default(); SLOTS]), stamp: 0 }
    }

    /// Bytes it takes.
    pub(super) const fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
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
            let pairs = kinds.of_rows.iter().zip(&other.of_rows);
            let keys = pairs.map(|(left, right)| Key(u64::from(*left), u64::from(*right)));
            kinds = self.sort(keys, None)?;
        }
        Some(kinds)
    }

    fn of_column(&mut self, column: &ArrayRef) -> Option<Kinds> {
        let nulls = column.nulls();
        let small = |value: i32| Key(u64::from(value.cast_unsigned()), 0);
        let large = |value: i64| Key(value.cast_unsigned(), 0);
        match column.data_type() {
            DataType::Utf8View => {
                self.sort(column.as_string_view().views().iter().map(|view| key(*view)), nulls)
            }
            DataType::BinaryView => {
                self.sort(column.as_binary_view().views().iter().map(|view| key(*view)), nulls)
            }
            DataType::Boolean => {
                let values = column.as_boolean().values().iter();
                self.sort(values.map(|value| Key(u64::from(value), 0)), nulls)
            }
            DataType::Date32 => {
                let values = column.as_primitive::<Date32Type>().values().iter();
                self.sort(values.map(|value| small(*value)), nulls)
            }
            DataType::Int32 => {
                let values = column.as_primitive::<Int32Type>().values().iter();
                self.sort(values.map(|value| small(*value)), nulls)
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>().values().iter();
                self.sort(values.map(|value| large(*value)), nulls)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>().values().iter();
                self.sort(values.map(|value| large(*value)), nulls)
            }
            _ => None,
        }
    }

    fn sort(
        &mut self,
        keys: impl ExactSizeIterator<Item = Key>,
        nulls: Option<&NullBuffer>,
    ) -> Option<Kinds> {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.slots.fill(Slot::default());
            self.stamp = 1;
        }
        let rows = keys.len();
        let mut firsts = Firsts {
            rows: Vec::new(),
            count_max: (rows / ROWS_PER_KIND_MIN).clamp(KINDS_MIN, SLOTS / 2),
        };
        let mut of_rows = Vec::with_capacity(rows);
        let keys = (0u32..).zip(keys);
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => {
                for (row, key) in keys {
                    of_rows.push(self.kind(key, row, &mut firsts)?);
                }
            }
            Some(nulls) => {
                let mut nothing = None;
                for ((row, key), is_some) in keys.zip(nulls) {
                    of_rows.push(match nothing {
                        _ if is_some => self.kind(key, row, &mut firsts)?,
                        Some(kind) => kind,
                        None => *nothing.insert(firsts.begin(row)?),
                    });
                }
            }
        }
        Some(Kinds { of_rows, firsts: firsts.rows })
    }

    /// The kind of a key, a new one if there is none; `None` if there are too many.
    fn kind(&mut self, key: Key, row: u32, firsts: &mut Firsts) -> Option<u32> {
        let slot = self.slots.get(place(key) % SLOTS)?;
        if slot.key == key && slot.stamp == self.stamp {
            return Some(slot.kind);
        }
        self.search(key, row, firsts)
    }

    /// Looks for a key in all of its places; `None` if they are crowded. Short texts are their own
    /// keys, so that whoever writes them could crowd one place.
    #[cold]
    fn search(&mut self, key: Key, row: u32, firsts: &mut Firsts) -> Option<u32> {
        let begin_at = place(key);
        for step in 0..STEPS_MAX {
            let slot = self.slots.get_mut((begin_at + step) % SLOTS)?;
            if slot.stamp != self.stamp {
                let kind = firsts.begin(row)?;
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

/// The first row of each kind, as far as there may be more kinds.
struct Firsts {
    rows: Vec<u32>,
    count_max: usize,
}

impl Firsts {
    /// A new kind, which begins with this row.
    fn begin(&mut self, row: u32) -> Option<u32> {
        if self.rows.len() >= self.count_max {
            return None;
        }
        let kind = u32::try_from(self.rows.len()).ok()?;
        self.rows.push(row);
        Some(kind)
    }
}

/// A view as it is: of a short text the text itself, of a long one its length and where it is.
fn key(view: u128) -> Key {
    let half = |half: u128| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default();
    Key(half(view), half(view >> 64))
}

/// Where a key is looked for first.
fn place(key: Key) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (key.0 ^ key.1.rotate_left(32)).wrapping_mul(ODD);
    usize::try_from(mixed >> (u64::BITS - SLOTS.ilog2())).unwrap_or_default()
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
            place(key(view)) < 8
        };
        (0u64..).map(text).filter(is_near).take(count).collect()
    }
}
