//! One JSON object a record, read straight into slots: no tree, no allocation a field.
//!
//! The scanner knows a fixed set of keys. It remembers which key followed which, so that records
//! of one format cost one comparison a key whatever their order; records of another order give
//! the same slots, only slower. It checks the whole record against RFC 8259: unusual nested values
//! through serde_json, everything else here.

pub(in crate::parse) mod escapes;
mod nested;
mod seen;

use std::borrow::Cow;
use std::ops::Range;

use common::bytes::begins_with;
use common::limits::{RECORD_DEPTH_MAX, RECORD_FIELDS_MAX};
use serde::de::IgnoredAny;

use crate::reject::{Reason, Reject};
pub use seen::{Quotes, Seen};

use seen::Places;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key is not in the record.
    Missing,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string without escapes; the slot is its content without quotes.
    Text,
    /// A string with escapes; the slot is its content without quotes, still escaped.
    Escaped,
    /// An object or array.
    Nested,
}

/// A value's kind and place in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What it is.
    pub kind: Kind,
    start: u32,
    end: u32,
}

const MISSING: Slot = Slot::MISSING;

/// Where an unknown key and its value lie, quotes included.
#[derive(Debug, Clone, Copy)]
struct Extra {
    key: (u32, u32),
    value: (u32, u32),
}

/// Keys of one scanner at most: presence is a 64-bit mask.
pub const KEYS_MAX: usize = 64;

/// Names the keys of a scanner: a constant a key, which is its index, and the list of them,
/// `NAMES` unless it is given another name.
macro_rules! keys {
    ($($constant:ident = $name:literal,)+) => {
        $crate::parse::json::keys!(NAMES: $($constant = $name,)+);
    };
    ($names:ident: $($constant:ident = $name:literal,)+) => {
        $crate::parse::json::keys!(@number 0usize; $($constant)+);
        /// The keys, by the indexes above.
        pub(in crate::parse) const $names: &[&str] = &[$($name,)+];
        const _: () = assert!($names.len() <= $crate::parse::json::KEYS_MAX);
    };
    (@number $n:expr; $first:ident $($rest:ident)*) => {
        #[allow(dead_code, reason = "some keys are known only so that a repetition shows")]
        pub(in crate::parse) const $first: usize = $n;
        $crate::parse::json::keys!(@number $n + 1; $($rest)*);
    };
    (@number $n:expr;) => {};
}
pub(in crate::parse) use keys;

/// The keys a scanner knows, at most [`KEYS_MAX`], each with `"key":` ready to compare.
#[derive(Debug)]
pub struct Keys {
    names: &'static [&'static str],
    literals: Vec<Literal>,
    sorted: Vec<u8>,
    /// For each length, the first bytes of names, six bits of each: most keys that are not known
    /// are told by these. Long ones share the last place.
    begins: [u64; LENGTHS],
}

const LENGTHS: usize = 64;

impl Keys {
    /// Prepares a set of distinct keys; that they are few enough is checked where they are listed.
    pub fn new(names: &'static [&'static str]) -> Self {
        let mut sorted: Vec<u8> = (0..=u8::MAX).take(names.len()).collect();
        sorted.sort_by_key(|&i| names[usize::from(i)]);
        let literals = names.iter().map(|name| Literal::of(name)).collect();
        let mut begins = [0; LENGTHS];
        for name in names {
            begins[name.len().min(LENGTHS - 1)] |= begin_of(name.as_bytes());
        }
        Self { names, literals, sorted, begins }
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        if self.begins[key.len().min(LENGTHS - 1)] & begin_of(key) == 0 {
            return None;
        }
        self.sorted
            .binary_search_by(|&i| self.names[usize::from(i)].as_bytes().cmp(key))
            .ok()
            .map(|at| usize::from(self.sorted[at]))
    }
}

/// Words in which nearly every key fits, with its quotes and its colon.
const WORDS: usize = 5;

/// A key as it stands before its value, in quotes, with a colon.
#[derive(Debug)]
struct Literal {
    text: Vec<u8>,
    /// The same in whole words, and which of their bits count: keys of any length are compared
    /// without asking how long they are.
    words: [(u64, u64); WORDS],
}

impl Literal {
    fn of(name: &str) -> Self {
        let text = format!("\"{name}\":").into_bytes();
        let mut words = [(0, 0); WORDS];
        for (word, eight) in words.iter_mut().zip(text.chunks(8)) {
            let of = |byte: fn(u8) -> u8| {
                eight.iter().rev().fold(0u64, |word, &one| word << 8 | u64::from(byte(one)))
            };
            *word = (of(|byte| byte), of(|_| u8::MAX));
        }
        Self { text, words }
    }

    /// Whether a text begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk::<{ 8 * WORDS }>() {
            Some(begin) if self.text.len() <= 8 * WORDS => {
                let (found, _) = begin.as_chunks::<8>();
                let wrong =
                    found.iter().zip(&self.words).fold(0, |wrong, (found, (word, bits))| {
                        wrong | ((u64::from_le_bytes(*found) ^ word) & bits)
                    });
                wrong == 0
            }
            _ => begins_with(text, &self.text),
        }
    }
}

/// A key's first byte as a bit.
#[inline]
fn begin_of(key: &[u8]) -> u64 {
    1 << (key.first().copied().unwrap_or_default() & 63)
}

/// Scans records of known keys, one at a time.
#[derive(Debug)]
pub struct Scanner {
    keys: Keys,
    slots: Vec<Slot>,
    present: u64,
    extras: Vec<Extra>,
    repeated: bool,
    /// A key was spelled with escapes.
    spelled: bool,
    /// For each key (last place: the begin), the two keys that followed it last.
    followers: Vec<[u8; 2]>,
}

/// No key is predicted.
const NO_KEY: u8 = u8::MAX;

impl Scanner {
    /// A scanner for `names`, at most 64.
    pub fn new(names: &'static [&'static str]) -> Self {
        Self {
            keys: Keys::new(names),
            slots: vec![MISSING; names.len()],
            present: 0,
            extras: Vec::new(),
            repeated: false,
            spelled: false,
            followers: vec![[NO_KEY; 2]; names.len() + 1],
        }
    }

    /// Reads one record.
    ///
    /// `record` is valid UTF-8. What is known of it may be as little as whether it is plain, that
    /// is, has no byte below 0x20.
    ///
    /// # Errors
    /// A reject that says what was expected at which byte.
    pub fn scan<'a>(&mut self, record: &[u8], seen: impl Into<Seen<'a>>) -> Result<(), Reject> {
        let Seen { plain, quotes } = seen.into();
        self.scan_at(Cursor { bytes: record, at: 0, plain, quotes: quotes.inside(record) })
    }

    /// As [`Scanner::scan`], knowing where quotes and backslashes are: `quotes` is empty, or holds
    /// the places of all of them in order.
    ///
    /// # Errors
    /// The same.
    pub fn scan_quoted(
        &mut self,
        record: &[u8],
        plain: bool,
        quotes: &[u32],
    ) -> Result<(), Reject> {
        let quotes = Places::of_all(quotes);
        self.scan_at(Cursor { bytes: record, at: 0, plain, quotes })
    }

    #[inline]
    fn scan_at(&mut self, mut at: Cursor<'_>) -> Result<(), Reject> {
        self.begin();
        if u32::try_from(at.bytes.len()).is_err() {
            return Err(Reject::new(Reason::RecordTooLong, "record longer than 4 GiB"));
        }
        at.space();
        at.expect(b'{', "`{` at the begin of the record")?;
        at.space();
        if at.peek() == Some(b'}') {
            at.at += 1;
            return at.end();
        }
        let mut previous = self.slots.len();
        for _ in 0..RECORD_FIELDS_MAX {
            match self.predicted(&at, previous) {
                Some((key, length)) => {
                    at.at += length;
                    at.quotes.skip_two();
                    let slot = match at.simple_value() {
                        Some(slot) => slot,
                        None => at.value()?,
                    };
                    self.store(key, slot);
                    previous = key;
                }
                None => previous = self.unpredicted(&mut at, previous)?,
            }
            if at.peek() != Some(b',') {
                at.space();
            }
            match at.next() {
                Some(b',') => at.space(),
                Some(b'}') => return at.end(),
                _ => return Err(at.wrong("`,` or `}` after a value")),
            }
        }
        let detail = format!("expected at most {RECORD_FIELDS_MAX} fields, found more");
        Err(Reject::new(Reason::TooManyFields, detail))
    }

    /// Takes the place of a scan, for a record whose values were written one by one: forgets the
    /// record before. [`Scanner::put`] then says what each value is.
    pub(in crate::parse) fn begin(&mut self) {
        self.slots.fill(MISSING);
        self.present = 0;
        self.extras.clear();
        self.repeated = false;
        self.spelled = false;
    }

    /// Says what a known key's value is and where it lies in the record, as a scan would.
    pub(in crate::parse) fn put(&mut self, key: usize, kind: Kind, place: Range<usize>) {
        self.store(key, Slot { kind, start: narrow(place.start), end: narrow(place.end) });
    }

    #[inline]
    fn predicted(&self, at: &Cursor<'_>, previous: usize) -> Option<(usize, usize)> {
        self.followers[previous].iter().take_while(|&&key| key != NO_KEY).find_map(|&key| {
            let literal = &self.keys.literals[usize::from(key)];
            literal.begins(at.rest()).then_some((usize::from(key), literal.text.len()))
        })
    }

    /// Reads a field the slow way and returns the key to predict from.
    fn unpredicted(&mut self, at: &mut Cursor<'_>, previous: usize) -> Result<usize, Reject> {
        let key_start = at.at;
        at.expect(b'"', "a key in quotes")?;
        let key = at.string()?;
        self.spelled |= key.kind == Kind::Escaped;
        let key_end = at.at;
        at.space();
        at.expect(b':', "`:` after a key")?;
        let text = key.text(at.bytes).ok_or_else(|| {
            Reject::new(Reason::InvalidJson, "expected a string, found a bad escape")
        })?;
        let value_start = {
            at.space();
            at.at
        };
        let slot = at.value()?;
        let Some(known) = self.keys.find(&text) else {
            let place = |from: usize, to: usize| (narrow(from), narrow(to));
            self.extras
                .push(Extra { key: place(key_start, key_end), value: place(value_start, at.at) });
            return Ok(previous);
        };
        self.store(known, slot);
        let followers = &mut self.followers[previous];
        let known_small = u8::try_from(known).unwrap_or(NO_KEY);
        if followers[0] != known_small {
            followers[1] = followers[0];
            followers[0] = known_small;
        }
        Ok(known)
    }

    fn store(&mut self, key: usize, slot: Slot) {
        let bit = 1u64 << key;
        self.repeated |= self.present & bit != 0;
        self.present |= bit;
        self.slots[key] = slot;
    }

    /// The slot of a known key; of a repeated key the last one.
    #[inline]
    pub fn slot(&self, key: usize) -> Slot {
        self.slots[key]
    }

    /// Which known keys the record has: bit `i` for key `i`.
    pub fn present(&self) -> u64 {
        self.present
    }

    /// Whether a known key came twice.
    pub fn repeated(&self) -> bool {
        self.repeated
    }

    /// Whether a key is spelled with escapes: all others stand in the record as they are.
    pub(in crate::parse) fn has_spelled_keys(&self) -> bool {
        self.spelled
    }

    /// Unknown keys and their values as they stand in the record: key with quotes, value text.
    pub fn extras<'a>(&'a self, record: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.extras.iter().map(|extra| {
            let piece = |(from, to): (u32, u32)| &record[from as usize..to as usize];
            (piece(extra.key), piece(extra.value))
        })
    }

    /// Whether the record has keys that are not known.
    pub fn has_extras(&self) -> bool {
        !self.extras.is_empty()
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of a key, if it is known.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.keys.find(name)
    }

    /// Name of a known key.
    pub fn name(&self, key: usize) -> &'static str {
        self.keys.names[key]
    }

    /// A known key as it stands before its value: in quotes, with a colon.
    pub fn literal(&self, key: usize) -> &[u8] {
        &self.keys.literals[key].text
    }
}

impl Slot {
    /// Of a key that the record does not have.
    pub const MISSING: Self = Self { kind: Kind::Missing, start: 0, end: 0 };

    /// The slot's bytes: a string's content, or the value's text.
    #[inline]
    pub fn bytes(self, record: &[u8]) -> &[u8] {
        &record[self.start as usize..self.end as usize]
    }

    /// The value as it stands in the record, quotes included.
    pub fn json(self, record: &[u8]) -> &[u8] {
        &record[self.place()]
    }

    /// Where it stands, quotes included.
    #[inline]
    pub fn place(self) -> Range<usize> {
        let quote = usize::from(matches!(self.kind, Kind::Text | Kind::Escaped));
        self.start as usize - quote..self.end as usize + quote
    }

    /// A string's content with escapes resolved; `None` if the slot is no string.
    #[inline]
    pub fn text(self, record: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.kind {
            Kind::Text => Some(Cow::Borrowed(self.bytes(record))),
            // Checked while scanning, so it decodes.
            Kind::Escaped => escapes::text_of(self.json(record)).map(Cow::Owned),
            _ => None,
        }
    }
}

/// Where the next quote or backslash is, from `at` on; the length if there is none.
///
/// Strings of a log are short: eight bytes at a time in a general register beat a call.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The top bit of each zero byte; bytes behind the first zero may be marked as well.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// Where the digits that begin at `at` end, found eight at a time.
#[inline]
fn behind_digits(bytes: &[u8], mut at: usize) -> usize {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const ABOVE_NINE: u64 = u64::from_ne_bytes([0x80 - 10; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let values = u64::from_le_bytes(*eight) ^ ZEROS;
        // The top bit of each byte that is no digit; bytes behind the first may be marked as well.
        let others = (values.wrapping_add(ABOVE_NINE) | values) & TOPS;
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[inline]
fn narrow(at: usize) -> u32 {
    // `scan` refuses records longer than u32 can say.
    u32::try_from(at).unwrap_or(u32::MAX)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    plain: bool,
    quotes: Places<'a>,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        byte
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Reject> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(what))
    }

    fn wrong(&self, expected: &str) -> Reject {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("`{}`", char::from(byte)),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        let detail = format!("at byte {}: expected {expected}, found {found}", self.at);
        Reject::new(Reason::InvalidJson, detail)
    }

    fn end(&mut self) -> Result<(), Reject> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("the end of the record")) }
    }

    fn slot(&self, kind: Kind, start: usize, end: usize) -> Slot {
        Slot { kind, start: narrow(start), end: narrow(end) }
    }

    /// Reads what most values are: a string without escapes, a whole number, or `null`. Leaves
    /// everything else, and everything wrong, to [`Cursor::value`].
    #[inline]
    fn simple_value(&mut self) -> Option<Slot> {
        let start = self.at;
        match self.peek()? {
            b'"' if self.plain => {
                let before = self.quotes.next;
                let end = self.quotes.after(self.bytes, start);
                if self.bytes.get(end) != Some(&b'"') {
                    self.quotes.next = before;
                    return None;
                }
                self.at = end + 1;
                Some(self.slot(Kind::Text, start + 1, end))
            }
            b'n' if self.rest().starts_with(b"null") => {
                self.at += 4;
                Some(self.slot(Kind::Null, start, self.at))
            }
            b'1'..=b'9' => {
                let end = behind_digits(self.bytes, start);
                if !matches!(self.bytes.get(end), Some(b',' | b'}')) {
                    return None;
                }
                self.at = end;
                Some(self.slot(Kind::Number, start, end))
            }
            _ => None,
        }
    }

    /// Reads a value; leaves the cursor behind it.
    fn value(&mut self) -> Result<Slot, Reject> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()
            }
            Some(b'n') => self.literal(b"null", Kind::Null),
            Some(b't') => self.literal(b"true", Kind::Bool),
            Some(b'f') => self.literal(b"false", Kind::Bool),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') => {
                let before = self.quotes.next;
                let Some(end) = nested::end(self.bytes, start, self.plain, &mut self.quotes) else {
                    self.quotes.next = before;
                    return self.nested_slowly(start);
                };
                self.at = end;
                Ok(self.slot(Kind::Nested, start, end))
            }
            _ => Err(self.wrong("a value")),
        }
    }

    /// Reads an object or list in any spelling, or says what is wrong with it.
    fn nested_slowly(&mut self, start: usize) -> Result<Slot, Reject> {
        self.skip_nested()?;
        let text = &self.bytes[start..self.at];
        match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(_) => Ok(self.slot(Kind::Nested, start, self.at)),
            Err(e) => {
                let detail = format!("nested value at byte {start}: {e}");
                Err(Reject::new(Reason::InvalidJson, detail))
            }
        }
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Result<Slot, Reject> {
        let start = self.at;
        if !self.rest().starts_with(text) {
            return Err(self.wrong("`null`, `true` or `false`"));
        }
        self.at += text.len();
        Ok(self.slot(kind, start, self.at))
    }

    /// Reads a string whose opening quote is behind the cursor.
    fn string(&mut self) -> Result<Slot, Reject> {
        let start = self.at;
        let (mut escaped, mut usual) = (false, true);
        self.at = self.quotes.after(self.bytes, start - 1);
        loop {
            if self.at == self.bytes.len() {
                return Err(self.wrong("`\"` at the end of a string"));
            }
            if self.bytes[self.at] == b'"' {
                break;
            }
            escaped = true;
            let behind = match escapes::length(self.bytes, self.at) {
                Some(length) => self.at + length,
                None => {
                    usual = false;
                    // The escaped character, whatever it is, does not end the string.
                    (self.at + 2).min(self.bytes.len())
                }
            };
            self.at = self.quotes.find(self.bytes, behind);
        }
        let end = self.at;
        self.at += 1;
        if !self.plain && self.bytes[start..end].iter().any(|&byte| byte < 0x20) {
            let detail = format!("string at byte {start}: control character not escaped");
            return Err(Reject::new(Reason::InvalidJson, detail));
        }
        if !escaped {
            return Ok(self.slot(Kind::Text, start, end));
        }
        let slot = self.slot(Kind::Escaped, start, end);
        if usual {
            return Ok(slot);
        }
        match serde_json::from_slice::<String>(slot.json(self.bytes)) {
            Ok(_) => Ok(slot),
            Err(e) => {
                let detail = format!("string at byte {start}: {e}");
                Err(Reject::new(Reason::InvalidJson, detail))
            }
        }
    }

    /// Reads a number by the grammar of RFC 8259.
    fn number(&mut self) -> Result<Slot, Reject> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        Ok(self.slot(Kind::Number, start, self.at))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Reject> {
        let before = self.at;
        self.digits();
        if self.at == before { Err(self.wrong("a digit")) } else { Ok(()) }
    }

    /// Moves behind a balanced object or array; its grammar is checked by the caller.
    fn skip_nested(&mut self) -> Result<(), Reject> {
        let mut depth = 0usize;
        loop {
            match self.next() {
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(b'"') => {
                    self.string()?;
                }
                Some(_) => {}
                None => return Err(self.wrong("`}` or `]`")),
            }
            if depth > RECORD_DEPTH_MAX {
                let detail = format!("expected at most {RECORD_DEPTH_MAX} levels, found more");
                return Err(Reject::new(Reason::TooDeep, detail));
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
