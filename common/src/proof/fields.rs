//! The fields of a row, read back from the bytes that are hashed (`docs/format.md` 20).
//!
//! The bytes may be an attacker's, so nothing is kept but slices of them.

use crate::error::FormatError;
use crate::row::{Group, group};
use crate::schema::{COLUMNS, Column, ColumnType};

/// A column of a row that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column.
    pub column: &'static Column,
    /// Its value.
    pub value: Value<'a>,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
    /// Microseconds since 1970 UTC.
    Micros(i64),
    /// Yes or no.
    Boolean(bool),
    /// A list of texts.
    List(Items<'a>),
}

/// The texts of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        // They were read once when the field was.
        if self.0.is_empty() { None } else { text(&mut self.0).ok() }
    }
}

/// The fields of one group of a row, in ascending order of their ids.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    group: Group,
    rest: &'a [u8],
    /// Field id of the field before.
    last: u64,
}

impl<'a> Fields<'a> {
    /// The fields in these bytes.
    pub const fn new(group: Group, bytes: &'a [u8]) -> Self {
        Self { group, rest: bytes, last: 0 }
    }

    fn field(&mut self) -> Result<Field<'a>, FormatError> {
        let id = leb128(&mut self.rest)?;
        let column = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let column = column.filter(|&column| group(column) == Some(self.group));
        let column = column.and_then(|column| COLUMNS.get(column)).ok_or_else(|| {
            wrong("a column of this group that this version knows", &format!("id {id}"))
        })?;
        if id <= self.last {
            return Err(wrong("field ids that ascend", &format!("{id} after {}", self.last)));
        }
        self.last = id;
        let value = match column.kind {
            ColumnType::Utf8 => Value::Text(text(&mut self.rest)?),
            ColumnType::Int64 => Value::Number(number(&mut self.rest)?),
            ColumnType::Int32 => {
                let number = number(&mut self.rest)?;
                if i32::try_from(number).is_err() {
                    return Err(wrong("a number of 32 bits", &number.to_string()));
                }
                Value::Number(number)
            }
            ColumnType::Timestamp => Value::Micros(number(&mut self.rest)?),
            ColumnType::Boolean => match bytes(&mut self.rest, 1)? {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                other => return Err(wrong("0 or 1", &format!("{other:?}"))),
            },
            ColumnType::ListUtf8 => {
                let count = leb128(&mut self.rest)?;
                let before = self.rest;
                for _ in 0..count {
                    let _ = text(&mut self.rest)?;
                }
                let length = before.len() - self.rest.len();
                Value::List(Items(before.get(..length).unwrap_or_default()))
            }
        };
        Ok(Field { column, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn wrong(expected: &str, found: &str) -> FormatError {
    FormatError::new("fields of the row", expected, found)
}

/// The next bytes.
fn bytes<'a>(rest: &mut &'a [u8], count: u64) -> Result<&'a [u8], FormatError> {
    let split = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
    let (taken, behind) = split
        .ok_or_else(|| wrong(&format!("{count} bytes more"), &format!("{} bytes", rest.len())))?;
    *rest = behind;
    Ok(taken)
}

/// A number as LEB128, without needless bytes.
fn leb128(rest: &mut &[u8]) -> Result<u64, FormatError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = bytes(rest, 1)?.first().copied().unwrap_or_default();
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                break;
            }
            return Ok(number);
        }
    }
    Err(wrong("a number of 64 bits in as few bytes as it needs", "another form"))
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, FormatError> {
    let length = leb128(rest)?;
    std::str::from_utf8(bytes(rest, length)?).map_err(|e| wrong("UTF-8", &e.to_string()))
}

fn number(rest: &mut &[u8]) -> Result<i64, FormatError> {
    let eight = bytes(rest, 8)?.try_into().unwrap_or_default();
    Ok(i64::from_be_bytes(eight))
}
