//! Fields of encoding `row/v1`, appended one by one and read back.
//!
//! As `common::row` does it, with one piece of room for each field: a row has twenty of them.

use common::bytes::{Buffer, copy};
use common::row::{self, Group};
use common::schema::{COLUMNS, ColumnType};

/// Text columns, in [`FLAGS`].
pub(super) const TEXT: u8 = 1;
/// 32-bit columns.
pub(super) const INT32: u8 = 2;
/// 64-bit and timestamp columns.
pub(super) const INT64: u8 = 4;
/// Boolean columns.
pub(super) const BOOL: u8 = 8;
/// List columns.
pub(super) const LIST: u8 = 16;
/// Columns of the own group.
pub(super) const OWN: u8 = 32;
/// Columns of the shared group.
pub(super) const SHARED: u8 = 64;

/// Type and group of each column; a column that is not hashed has no flag.
pub(super) static FLAGS: [u8; COLUMNS.len()] = flags();

const fn flags() -> [u8; COLUMNS.len()] {
    let mut flags = [0; COLUMNS.len()];
    let mut column = 0;
    while column < COLUMNS.len() {
        let kind = match COLUMNS[column].kind {
            ColumnType::Utf8 => TEXT,
            ColumnType::Int32 => INT32,
            ColumnType::Int64 | ColumnType::Timestamp => INT64,
            ColumnType::Boolean => BOOL,
            ColumnType::ListUtf8 => LIST,
        };
        flags[column] = match row::group(column) {
            Some(Group::Own) => kind | OWN,
            Some(Group::Shared) => kind | SHARED,
            None => 0,
        };
        column += 1;
    }
    flags
}

/// Numbers below this are one byte of LEB128.
const ONE_BYTE: usize = 0x80;

// Ids are: field ids go from 1.
const _: () = assert!(COLUMNS.len() < ONE_BYTE);

/// The field id of a column.
#[inline]
fn id(column: usize) -> u8 {
    (column + 1).to_le_bytes()[0]
}

/// Appends the field of a text column.
#[inline]
pub(super) fn text(fields: &mut Buffer, column: usize, text: &[u8]) {
    if text.len() >= ONE_BYTE {
        return long_text(fields, column, text);
    }
    let field = fields.room(2 + text.len());
    field[0] = id(column);
    field[1] = text.len().to_le_bytes()[0];
    copy(text, &mut field[2..]);
    fields.advance(2 + text.len());
}

#[inline(never)]
fn long_text(fields: &mut Buffer, column: usize, text: &[u8]) {
    let mut begin = Vec::with_capacity(12);
    begin.push(id(column));
    row::push_leb128(&mut begin, text.len() as u64);
    fields.push(&begin);
    fields.push(text);
}

/// Appends the field of a 32-bit, 64-bit or timestamp column.
#[inline]
pub(super) fn number(fields: &mut Buffer, column: usize, number: i64) {
    if let Some([first, eight @ ..]) = fields.room(9).first_chunk_mut::<9>() {
        *first = id(column);
        *eight = number.to_be_bytes();
        fields.advance(9);
    }
}

/// Appends the field of a boolean column.
#[inline]
pub(super) fn bool(fields: &mut Buffer, column: usize, value: bool) {
    fields.push(&[id(column), value.into()]);
}

/// Appends the field of a list column.
pub(super) fn list<'a>(fields: &mut Buffer, column: usize, items: impl Iterator<Item = &'a [u8]>) {
    let mut field = Vec::new();
    row::push_list(&mut field, column, items);
    fields.push(&field);
}

/// The fields in some bytes, each behind its column. Ends where there are no such fields.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (usize, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let column = usize::from(*self.0.first()?).checked_sub(1)?;
        let flags = *FLAGS.get(column)?;
        let length = if flags & (INT32 | INT64) != 0 {
            9
        } else if flags & BOOL != 0 {
            2
        } else if flags & TEXT != 0 {
            end_of_text(self.0, 1)?
        } else {
            let (items, mut end) = leb128(self.0, 1)?;
            for _ in 0..items {
                end = end_of_text(self.0, end)?;
            }
            end
        };
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((column, field))
    }
}

/// Where a text ends that begins with its length.
#[inline]
fn end_of_text(bytes: &[u8], at: usize) -> Option<usize> {
    let (length, start) = leb128(bytes, at)?;
    start.checked_add(length)
}

/// A number and where it ends.
#[inline]
fn leb128(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((number, at));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_format_and_are_read_back() {
        let long = vec![b'x'; 20_000];
        let lengths = [0, 1, 5, 20, 64, 65, 127, 128, 129, 300, 16_383, 16_384, 20_000];
        for length in lengths {
            let (mut found, mut expected, mut places) = (Buffer::default(), Vec::new(), Vec::new());
            for (column, described) in COLUMNS.iter().enumerate() {
                if row::group(column).is_none() {
                    assert_eq!(FLAGS[column], 0);
                    continue;
                }
                let start = expected.len();
                let value = &long[..length];
                let sum = i64::try_from(length * 1000 + column).unwrap() - 5000;
                let items = || std::iter::repeat_n(value, column % 3);
                match described.kind {
                    ColumnType::Utf8 => {
                        text(&mut found, column, value);
                        row::push_text(&mut expected, column, value);
                    }
                    ColumnType::Int32 | ColumnType::Int64 | ColumnType::Timestamp => {
                        number(&mut found, column, sum);
                        row::push_number(&mut expected, column, sum);
                    }
                    ColumnType::Boolean => {
                        bool(&mut found, column, column % 2 == 0);
                        row::push_bool(&mut expected, column, column % 2 == 0);
                    }
                    ColumnType::ListUtf8 => {
                        list(&mut found, column, items());
                        row::push_list(&mut expected, column, items());
                    }
                }
                places.push((column, start..expected.len()));
            }
            assert_eq!(found.as_slice(), expected);
            let read: Vec<_> = Fields(found.as_slice()).collect();
            let places: Vec<_> =
                places.into_iter().map(|(column, place)| (column, &expected[place])).collect();
            assert_eq!(read, places);
        }
        // What is cut off is no field, nor is a column there is none of.
        let mut cut = Buffer::default();
        text(&mut cut, 30, b"text");
        assert_eq!(Fields(&cut.as_slice()[..5]).count(), 0);
        assert_eq!(Fields(&[0, 0, 0xff, 1]).count(), 0);
        assert_eq!(Fields(&[31, 0xff, 0xff, 0xff]).count(), 0);
    }
}
