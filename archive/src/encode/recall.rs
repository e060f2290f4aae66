//! Columns that follow from a few of a record's values: worked out once for each combination of
//! these values, then known.
//!
//! Records of a mesh are of few kinds: who calls whom, by which method, with which outcome. What
//! is said of such a kind takes more columns than what is said of one request. A row of a known
//! kind takes the codes its columns had the first time.

use std::hash::{BuildHasher, Hasher};

use common::schema::COLUMNS;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::coded::Physical;
use super::{Column, SegmentEncoder};

/// Kinds kept in a row group; further ones are worked out each time.
const KINDS_MAX: usize = 4096;

/// Bytes their keys and notes may take.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Longest key, in bytes. A longer one is of a record that is not like others.
const KEY_BYTES_MAX: usize = 4096;

/// Look-ups after which it is asked whether they pay.
const TRIED: u32 = 4096;

/// What is known of the row group in hand.
#[derive(Default)]
pub(super) struct Recall {
    /// Half of a key's hash, and its kind.
    table: HashTable<(u32, u32)>,
    hash: FixedState,
    kinds: Vec<Kind>,
    /// Keys and notes, one behind the other.
    bytes: Vec<u8>,
    codes: Vec<Code>,
    others: Vec<Other>,
    tries: u32,
    found: u32,
    /// Kinds hardly repeat, or a column's values do not: nothing is looked up any more.
    off: bool,
}

impl std::fmt::Debug for Recall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recall").field("kinds", &self.kinds.len()).finish_non_exhaustive()
    }
}

/// One kind: where its key, its note and its values lie.
#[derive(Debug, Clone, Copy)]
struct Kind {
    start: usize,
    key_end: usize,
    note_end: usize,
    codes: (usize, usize),
    others: (usize, usize),
}

/// A column and its value's code in the row group's dictionary. Small, since every row reads some
/// forty of them.
#[derive(Debug, Clone, Copy)]
struct Code {
    column: u8,
    code: u32,
}

const _: () = assert!(COLUMNS.len() <= 256 && size_of::<Code>() == 8);

/// A column without a dictionary, and its value.
#[derive(Debug)]
enum Other {
    Bool(usize, bool),
    List(usize, Vec<Vec<u8>>),
}

impl Recall {
    pub(super) fn new(seed: u64) -> Self {
        Self { hash: FixedState::with_seed(seed), ..Self::default() }
    }

    /// Forgets everything: codes are of one row group.
    pub(super) fn clear(&mut self) {
        *self = Self { hash: self.hash.clone(), ..Self::default() };
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.codes.capacity() * size_of::<Code>()
            + self.others.capacity() * size_of::<Other>()
            + self.kinds.capacity() * size_of::<Kind>()
            + self.table.capacity() * size_of::<(u32, u32)>()
    }

    fn is_full(&self) -> bool {
        self.kinds.len() >= KINDS_MAX || self.bytes.len() >= BYTES_MAX
    }

    fn hash_of(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    fn find(&mut self, key: &[u8]) -> Option<Kind> {
        self.tries += 1;
        if self.tries >= TRIED {
            self.off = self.found < self.tries / 2;
            (self.tries, self.found) = (0, 0);
        }
        let hash = self.hash_of(key);
        let kind = |number: u32| self.kinds.get(number as usize).copied();
        let known = self.table.find(hash, |&(half, number)| {
            half == low(hash)
                && kind(number)
                    .is_some_and(|kind| self.bytes.get(kind.start..kind.key_end) == Some(key))
        });
        let found = known.and_then(|&(_, number)| kind(number));
        self.found += u32::from(found.is_some());
        found
    }

    /// Keeps a kind whose values begin so far back.
    fn insert(&mut self, key: &[u8], note: &[u8], (codes_start, others_start): (usize, usize)) {
        let hash = self.hash_of(key);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(note);
        let note_end = self.bytes.len();
        let codes = (codes_start, self.codes.len());
        let others = (others_start, self.others.len());
        let Ok(number) = u32::try_from(self.kinds.len()) else { return };
        self.kinds.push(Kind { start, key_end, note_end, codes, others });
        let (kinds, bytes, hasher) = (&self.kinds, &self.bytes, &self.hash);
        self.table.insert_unique(hash, (low(hash), number), |&(_, number)| {
            let mut hasher = hasher.build_hasher();
            if let Some(kind) = kinds.get(number as usize) {
                hasher.write(&bytes[kind.start..kind.key_end]);
            }
            hasher.finish()
        });
    }
}

/// The low half.
fn low(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl SegmentEncoder {
    /// Whether [`SegmentEncoder::recall`] may pay in the row group in hand.
    #[inline]
    pub fn recalls(&self) -> bool {
        !self.recall.off
    }

    /// Sets the columns of the row in hand that were learned under `key`, and appends the note
    /// kept with them; `false` if that is not known in this row group.
    pub fn recall(&mut self, key: &[u8], note: &mut Vec<u8>) -> bool {
        let Some(kind) = self.recall.find(key) else { return false };
        if !self.recall_codes(kind.codes) {
            // A column has given up its dictionary, and with it the codes. What is set already is
            // right, and stays when it is set again.
            self.recall.clear();
            self.recall.off = true;
            return false;
        }
        let others = std::mem::take(&mut self.recall.others);
        for other in others.get(kind.others.0..kind.others.1).unwrap_or_default() {
            match other {
                Other::Bool(column, value) => self.bool(*column, *value),
                Other::List(column, items) => self.list(*column, items.iter().map(Vec::as_slice)),
            }
        }
        self.recall.others = others;
        note.extend_from_slice(&self.recall.bytes[kind.key_end..kind.note_end]);
        true
    }

    fn recall_codes(&mut self, (start, end): (usize, usize)) -> bool {
        let row = self.group_rows;
        let codes = self.recall.codes.get(start..end).unwrap_or_default();
        codes.iter().all(|known| match self.columns.get_mut(usize::from(known.column)) {
            Some(Some(Column::Coded(values))) => values.push_code(row, known.code),
            _ => false,
        })
    }

    /// Sets columns of the row in hand that follow from `key` alone, to be recalled by it.
    pub fn learn<'a>(&'a mut self, key: &'a [u8]) -> Learner<'a> {
        let start = (self.recall.codes.len(), self.recall.others.len());
        let is_kept = !self.recall.off && !self.recall.is_full() && key.len() <= KEY_BYTES_MAX;
        Learner { encoder: self, key, start, is_kept }
    }
}

/// Sets columns of the row in hand, and notes what they are set to.
#[derive(Debug)]
pub struct Learner<'a> {
    encoder: &'a mut SegmentEncoder,
    key: &'a [u8],
    /// Codes and other values kept before.
    start: (usize, usize),
    is_kept: bool,
}

impl Learner<'_> {
    fn coded(
        &mut self,
        column: usize,
        (physical, value): (Physical, &[u8]),
        set: impl FnOnce(&mut SegmentEncoder),
    ) {
        let row = self.encoder.group_rows;
        let code = match self.encoder.column(column) {
            Some(Column::Coded(values)) if self.is_kept && values.is(physical) => {
                values.code(value)
            }
            _ => None,
        };
        let (Some(code), Ok(small)) = (code, u8::try_from(column)) else {
            self.is_kept = false;
            return set(self.encoder);
        };
        if let Some(Column::Coded(values)) = self.encoder.column(column) {
            let _ = values.push_code(row, code);
        }
        self.encoder.recall.codes.push(Code { column: small, code });
    }

    /// As [`SegmentEncoder::text`].
    pub fn text(&mut self, column: usize, value: &[u8]) {
        self.coded(column, (Physical::Text, value), |encoder| encoder.text(column, value));
    }

    /// As [`SegmentEncoder::int32`].
    pub fn int32(&mut self, column: usize, value: i32) {
        let bytes = value.to_le_bytes();
        self.coded(column, (Physical::Int32, &bytes), |encoder| encoder.int32(column, value));
    }

    /// As [`SegmentEncoder::int64`].
    pub fn int64(&mut self, column: usize, value: i64) {
        let bytes = value.to_le_bytes();
        self.coded(column, (Physical::Int64, &bytes), |encoder| encoder.int64(column, value));
    }

    /// As [`SegmentEncoder::bool`].
    pub fn bool(&mut self, column: usize, value: bool) {
        self.encoder.bool(column, value);
        self.encoder.recall.others.push(Other::Bool(column, value));
    }

    /// As [`SegmentEncoder::list`].
    pub fn list<'b>(&mut self, column: usize, items: impl IntoIterator<Item = &'b [u8]>) {
        let items: Vec<Vec<u8>> = items.into_iter().map(<[u8]>::to_vec).collect();
        self.encoder.list(column, items.iter().map(Vec::as_slice));
        self.encoder.recall.others.push(Other::List(column, items));
    }

    /// Keeps what was set, and a note to go with it.
    pub fn finish(self, note: &[u8]) {
        if self.is_kept {
            self.encoder.recall.insert(self.key, note, self.start);
        } else {
            self.encoder.recall.codes.truncate(self.start.0);
            self.encoder.recall.others.truncate(self.start.1);
        }
    }
}
