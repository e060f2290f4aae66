//! What parsers write: rows of `mesh_events`, either straight into a segment or into an [`Event`]
//! that waits for its segment.

use archive::SegmentEncoder;
use common::schema::{COLUMNS, ColumnType};

use super::fields as f;
use super::json::{Quotes, Seen};

/// A row being filled. A column is named by its index in [`COLUMNS`] (`parse::fields`); each is
/// set at most once, and the first value counts. A column not set is NULL.
pub trait Row {
    /// Sets a text column; the text is UTF-8.
    fn text(&mut self, column: usize, value: &[u8]);
    /// Sets a 32-bit column.
    fn int32(&mut self, column: usize, value: i32);
    /// Sets a 64-bit column, or a timestamp column, in microseconds.
    fn int64(&mut self, column: usize, value: i64);
    /// Sets a boolean column.
    fn bool(&mut self, column: usize, value: bool);
    /// Sets a list column.
    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>);
}

impl Row for SegmentEncoder {
    #[inline]
    fn text(&mut self, column: usize, value: &[u8]) {
        Self::text(self, column, value);
    }

    #[inline]
    fn int32(&mut self, column: usize, value: i32) {
        Self::int32(self, column, value);
    }

    #[inline]
    fn int64(&mut self, column: usize, value: i64) {
        Self::int64(self, column, value);
    }

    #[inline]
    fn bool(&mut self, column: usize, value: bool) {
        Self::bool(self, column, value);
    }

    #[inline]
    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        Self::list(self, column, items);
    }
}

/// A value of an [`Event`]; text lies in its buffer.
#[derive(Debug, Clone, Copy)]
enum Value {
    Text(usize, usize),
    Int(i64),
    Bool(bool),
    /// So many of the texts that follow.
    List(usize),
}

/// A value that a column is set to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Text(&'a [u8]),
    Int(i64),
    Bool(bool),
    List(Vec<&'a [u8]>),
}

/// One event in memory. Its buffers are used again for the next one.
#[derive(Debug)]
pub struct Event {
    cells: Vec<(usize, Value)>,
    items: Vec<(usize, usize)>,
    buffer: Vec<u8>,
    /// Which columns are set.
    set: u128,
    /// Where in `cells` the value of a column that is set stands.
    places: [u8; 128],
}

const _: () = assert!(COLUMNS.len() <= 128);

impl Default for Event {
    fn default() -> Self {
        Self { cells: Vec::new(), items: Vec::new(), buffer: Vec::new(), set: 0, places: [0; 128] }
    }
}

impl Event {
    fn clear(&mut self) {
        self.cells.clear();
        self.items.clear();
        self.buffer.clear();
        self.set = 0;
    }

    /// Whether a column is not set yet, which it is from now on: a cell must follow.
    #[inline]
    fn first(&mut self, column: usize) -> bool {
        let bit = 1u128 << (column % 128);
        if self.set & bit != 0 {
            return false;
        }
        self.set |= bit;
        // A column has one cell at most, so there are 128.
        self.places[column % 128] = u8::try_from(self.cells.len()).unwrap_or_default();
        true
    }

    fn keep(&mut self, value: &[u8]) -> (usize, usize) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(value);
        (start, self.buffer.len())
    }

    /// Whether a column is set.
    pub fn has(&self, column: usize) -> bool {
        self.set & (1u128 << (column % 128)) != 0
    }

    #[inline]
    fn value(&self, column: usize) -> Option<Value> {
        if !self.has(column) {
            return None;
        }
        self.cells.get(usize::from(self.places[column % 128])).map(|(_, value)| *value)
    }

    /// Gives a number column that is set another number.
    pub(crate) fn replace_int64(&mut self, column: usize, value: i64) {
        if !self.has(column) {
            return;
        }
        let place = usize::from(self.places[column % 128]);
        if let Some((_, cell @ Value::Int(_))) = self.cells.get_mut(place) {
            *cell = Value::Int(value);
        }
    }

    /// Sets a text column to what `write` appends to a buffer; whatever the buffer holds before
    /// stays as it is. The column is set if `write` says so, and is not set already.
    pub(crate) fn text_with(&mut self, column: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.has(column) {
            return;
        }
        let start = self.buffer.len();
        if write(&mut self.buffer) && self.first(column) {
            self.cells.push((column, Value::Text(start, self.buffer.len())));
        } else {
            self.buffer.truncate(start);
        }
    }

    /// The text a column is set to.
    pub fn text_of(&self, column: usize) -> Option<&[u8]> {
        match self.value(column)? {
            Value::Text(start, end) => self.buffer.get(start..end),
            _ => None,
        }
    }

    /// The number a column is set to.
    pub fn int_of(&self, column: usize) -> Option<i64> {
        match self.value(column)? {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The boolean a column is set to.
    pub fn bool_of(&self, column: usize) -> Option<bool> {
        match self.value(column)? {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The list a column is set to.
    pub fn list_of(&self, column: usize) -> Option<Vec<&[u8]>> {
        let mut before = 0;
        for (index, value) in &self.cells {
            if let Value::List(count) = *value {
                if *index == column {
                    let items = self.items.get(before..before + count)?;
                    return items.iter().map(|&(start, end)| self.buffer.get(start..end)).collect();
                }
                before += count;
            }
        }
        None
    }

    /// The columns that are set, and to what, in the order in which they were.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (usize, Cell<'_>)> {
        self.cells.iter().map(|&(column, value)| (column, self.cell_of(column, value)))
    }

    /// What a column is set to.
    pub(crate) fn cell(&self, column: usize) -> Option<Cell<'_>> {
        self.value(column).map(|value| self.cell_of(column, value))
    }

    fn cell_of(&self, column: usize, value: Value) -> Cell<'_> {
        match value {
            Value::Text(start, end) => Cell::Text(self.buffer.get(start..end).unwrap_or_default()),
            Value::Int(number) => Cell::Int(number),
            Value::Bool(value) => Cell::Bool(value),
            Value::List(_) => Cell::List(self.list_of(column).unwrap_or_default()),
        }
    }

    /// Whether another event has the same values, whatever their order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.set == other.set
            && self.cells().all(|(column, cell)| other.cell(column).as_ref() == Some(&cell))
    }

    /// Event time in microseconds, if it is set.
    pub fn time_micros(&self) -> Option<i64> {
        self.int_of(f::EVENT_TIME)
    }

    /// Copies everything into another row.
    pub fn write(&self, row: &mut impl Row) {
        let mut items = self.items.iter();
        for &(column, value) in &self.cells {
            match value {
                Value::Text(start, end) => {
                    row.text(column, self.buffer.get(start..end).unwrap_or_default());
                }
                Value::Int(number) if COLUMNS[column].kind == ColumnType::Int32 => {
                    row.int32(column, i32::try_from(number).unwrap_or_default());
                }
                Value::Int(number) => row.int64(column, number),
                Value::Bool(value) => row.bool(column, value),
                Value::List(count) => {
                    let list = items.by_ref().take(count);
                    let text = |&(start, end)| self.buffer.get(start..end).unwrap_or_default();
                    row.list(column, list.map(text));
                }
            }
        }
    }
}

impl Row for Event {
    fn text(&mut self, column: usize, value: &[u8]) {
        if self.first(column) {
            let (start, end) = self.keep(value);
            self.cells.push((column, Value::Text(start, end)));
        }
    }

    fn int32(&mut self, column: usize, value: i32) {
        self.int64(column, value.into());
    }

    fn int64(&mut self, column: usize, value: i64) {
        if self.first(column) {
            self.cells.push((column, Value::Int(value)));
        }
    }

    fn bool(&mut self, column: usize, value: bool) {
        if self.first(column) {
            self.cells.push((column, Value::Bool(value)));
        }
    }

    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        if self.first(column) {
            let before = self.items.len();
            for item in items {
                let place = self.keep(item);
                self.items.push(place);
            }
            self.cells.push((column, Value::List(self.items.len() - before)));
        }
    }
}

/// The events of one record, mostly one; buffers are used again for the next record.
#[derive(Debug, Default)]
pub struct Events {
    events: Vec<Event>,
    used: usize,
}

impl Events {
    /// Forgets all events.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Forgets the events behind the first `count`, as when a record turns out to be broken.
    pub fn truncate(&mut self, count: usize) {
        self.used = self.used.min(count);
    }

    /// Begins the next event.
    pub fn begin(&mut self) -> &mut Event {
        if self.used == self.events.len() {
            self.events.push(Event::default());
        }
        let event = &mut self.events[self.used];
        event.clear();
        self.used += 1;
        event
    }

    /// The events, in order.
    pub fn all(&self) -> &[Event] {
        &self.events[..self.used]
    }

    /// The events, in order, to be completed.
    pub fn all_mut(&mut self) -> &mut [Event] {
        &mut self.events[..self.used]
    }
}

/// What is known of a record besides its text.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// When the delivery was received, in microseconds: the last resort for a time.
    pub received_at_micros: i64,
    /// What the shipper or the log line's prefix said.
    pub envelope: Envelope,
    /// The whole text around the record, where there is an envelope: it goes to `raw`.
    pub outer: Option<&'a [u8]>,
    /// The source is configured to have this format, so detection does not apply.
    pub forced: bool,
    /// No byte of the record is below 0x20, so strings need no look for them.
    pub plain: bool,
    /// Where the quotes of the record are, if that is known.
    pub quotes: Quotes<'a>,
    /// The record is UTF-8 and what is to be taken out of it is out: whoever gives it has looked.
    /// Says nothing of what is decoded from it.
    pub looked_at: bool,
}

impl<'a> Context<'a> {
    /// What is known of the record's bytes.
    pub fn seen(&self) -> Seen<'a> {
        Seen { plain: self.plain, quotes: self.quotes }
    }
}

/// What stood around a record: a container runtime's prefix, a shipper's envelope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The innermost time, in microseconds, and where it comes from: `cri`, `shipper`, `transport`.
    pub time: Option<(i64, &'static str)>,
    /// Text columns of the emitter (`k8s_namespace`, `k8s_pod`, …, `cloud_region`).
    pub columns: Vec<(usize, String)>,
    /// Fields of the envelope without a column, as the inside of a JSON object, for `attributes`.
    pub attributes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_gives_back_what_was_set_first() {
        let mut events = Events::default();
        for _ in 0..2 {
            events.clear();
            let event = events.begin();
            event.text(f::MESH, b"istio");
            event.text(f::MESH, b"other");
            event.int32(f::HTTP_STATUS, 200);
            event.bool(f::MTLS, true);
            event.int64(f::DURATION_US, 7);
            event.replace_int64(f::DURATION_US, 8);
            event.replace_int64(f::REQUEST_BYTES, 9);
            event.list(f::USER_GROUPS, [&b"a"[..], b"b"]);
            event.list(f::RESPONSE_FLAGS, [&b"UF"[..]]);
            let mut copy = Event::default();
            event.write(&mut copy);
            for event in [&copy, &events.all()[0]] {
                assert_eq!(event.text_of(f::MESH), Some(&b"istio"[..]));
                assert_eq!(event.int_of(f::HTTP_STATUS), Some(200));
                assert_eq!(event.bool_of(f::MTLS), Some(true));
                assert_eq!(event.int_of(f::DURATION_US), Some(8));
                assert!(!event.has(f::REQUEST_BYTES));
                assert_eq!(event.list_of(f::RESPONSE_FLAGS), Some(vec![&b"UF"[..]]));
                assert_eq!(event.list_of(f::USER_GROUPS), Some(vec![&b"a"[..], b"b"]));
                assert!(!event.has(f::RAW) && event.text_of(f::RAW).is_none());
            }
        }
        assert_eq!(events.all().len(), 1);
    }
}
