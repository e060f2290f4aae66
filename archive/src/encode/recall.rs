//! Columns that follow from a few of a record's values: worked out once for each combination of
//! these values, then known.
//!
//! Records of a mesh are of few kinds: who calls whom, by which method, with which outcome. What
//! is said of such a kind takes more columns than what is said of one request. A row of a known
//! kind takes the codes its columns had the first time; of the row only its kind is noted, and
//! some hundred rows later each column is set for all of them.

use std::hash::{BuildHasher, Hasher};

use common::schema::COLUMNS;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::coded::{NONE, Physical};
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
    /// A key's hash, and its kind.
    table: HashTable<(u64, u32)>,
    hash: FixedState,
    kinds: Vec<Kind>,
    /// Keys and notes, one behind the other.
    bytes: Vec<u8>,
    /// For each column, what each kind sets it to.
    codes: Vec<Codes>,
    lists: Vec<Vec<Vec<u8>>>,
    /// Columns that some kind sets: bit `i` for column `i`.
    columns: u128,
    /// Kinds of rows whose columns wait to be set, column by column.
    rows: Vec<u32>,
    /// Some of these rows are of no known kind.
    has_gaps: bool,
    /// A column's codes of these rows.
    codes_of_rows: Vec<u32>,
    /// The first of these rows.
    first_row: usize,
    /// For each column, up to which row it is set.
    settled: Vec<usize>,
    /// What the kind that is being learned sets.
    learned: Vec<(usize, u32)>,
    tries: u32,
    found: u32,
    /// Kinds hardly repeat: nothing is looked up any more.
    off: bool,
}

impl std::fmt::Debug for Recall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recall").field("kinds", &self.kinds.len()).finish_non_exhaustive()
    }
}

/// What kinds set a column to, by kind: the value's code in the row group's dictionary, a boolean
/// as 0 or 1, or the place of a list in `lists`; [`NONE`] for a kind that does not set it.
#[derive(Debug, Default)]
struct Codes {
    of_kind: Vec<u32>,
    /// They differ, or some kind has none.
    differ: bool,
}

impl Codes {
    /// A kind's code, the first one said counting.
    fn push(&mut self, kind: usize, code: u32) {
        if self.of_kind.len() > kind {
            return;
        }
        self.differ |= self.of_kind.len() != kind || self.of_kind.first().unwrap_or(&code) != &code;
        self.of_kind.resize(kind, NONE);
        self.of_kind.push(code);
    }

    /// The code of each row, by the kinds of the rows.
    fn of_rows(&self, kinds: &[u32], is_every_known: bool, codes: &mut Vec<u32>) {
        codes.clear();
        match self.of_kind.first() {
            Some(&code) if is_every_known && !self.differ => codes.resize(kinds.len(), code),
            _ => codes
                .extend(kinds.iter().map(|&kind| self.of_kind.get(kind as usize).unwrap_or(&NONE))),
        }
    }
}

/// One kind: where its key and its note lie.
#[derive(Debug, Clone, Copy)]
struct Kind {
    start: usize,
    key_end: usize,
    note_end: usize,
}

const _: () = assert!(COLUMNS.len() <= 128);

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
            + self
                .codes
                .iter()
                .map(|codes| codes.of_kind.capacity() * size_of::<u32>())
                .sum::<usize>()
            + self.rows.capacity() * size_of::<u32>()
            + self.kinds.capacity() * size_of::<Kind>()
            + self.table.capacity() * size_of::<(u64, u32)>()
    }

    fn is_full(&self) -> bool {
        self.kinds.len() >= KINDS_MAX || self.bytes.len() >= BYTES_MAX
    }

    fn hash_of(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    fn find(&mut self, key: &[u8]) -> Option<(u32, Kind)> {
        self.tries += 1;
        if self.tries >= TRIED {
            self.off = self.found < self.tries / 2;
            (self.tries, self.found) = (0, 0);
        }
        let hash = self.hash_of(key);
        let kind = |number: u32| self.kinds.get(number as usize).copied();
        let known = self.table.find(hash, |&(known, number)| {
            known == hash
                && kind(number)
                    .is_some_and(|kind| self.bytes.get(kind.start..kind.key_end) == Some(key))
        });
        let found = known.and_then(|&(_, number)| Some((number, kind(number)?)));
        self.found += u32::from(found.is_some());
        found
    }

    /// Notes that a row is of a kind.
    fn wait(&mut self, row: usize, kind: u32) {
        if self.rows.is_empty() {
            self.first_row = row;
            self.has_gaps = false;
        }
        self.has_gaps |= self.rows.len() < row - self.first_row;
        self.rows.resize(row - self.first_row, NONE);
        self.rows.push(kind);
    }

    /// Keeps the kind that was learned, and returns its number.
    fn insert(&mut self, key: &[u8], note: &[u8]) -> u32 {
        let hash = self.hash_of(key);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(note);
        let note_end = self.bytes.len();
        // There are at most `KINDS_MAX`.
        let number = u32::try_from(self.kinds.len()).unwrap_or(NONE);
        self.codes.resize_with(COLUMNS.len(), Codes::default);
        for (column, code) in self.learned.drain(..) {
            self.codes[column].push(self.kinds.len(), code);
            self.columns |= 1 << column;
        }
        self.kinds.push(Kind { start, key_end, note_end });
        self.table.insert_unique(hash, (hash, number), |&(hash, _)| hash);
        number
    }
}

impl SegmentEncoder {
    /// Whether [`SegmentEncoder::recall`] may pay in the row group in hand.
    #[inline]
    pub fn recalls(&self) -> bool {
        !self.recall.off
    }

    /// Sets the columns of the row in hand that were learned under `key`, and appends the note
    /// kept with them; `false` if that is not known in this row group.
    ///
    /// The columns wait for rows to come, so that each is set for many rows in one go.
    pub fn recall(&mut self, key: &[u8], note: &mut Vec<u8>) -> bool {
        let Some((number, kind)) = self.recall.find(key) else { return false };
        self.recall.wait(self.group_rows, number);
        self.leaves.set_kind(number as usize);
        note.extend_from_slice(&self.recall.bytes[kind.key_end..kind.note_end]);
        true
    }

    /// Whether rows wait to set this column.
    #[inline]
    pub(super) fn is_behind(&self, column: usize) -> bool {
        self.recall.columns >> (column % 128) & 1 != 0 && !self.recall.rows.is_empty()
    }

    /// Sets a column of the rows that wait.
    #[cold]
    pub(super) fn catch_up(&mut self, column: usize) {
        let recall = &mut self.recall;
        recall.settled.resize(COLUMNS.len(), 0);
        let end = recall.first_row + recall.rows.len();
        let start = std::mem::replace(&mut recall.settled[column], end).max(recall.first_row);
        let kinds = &recall.rows[start - recall.first_row..];
        let codes = &mut recall.codes_of_rows;
        let of_column = &recall.codes[column];
        let is_every_known = !recall.has_gaps && of_column.of_kind.len() == recall.kinds.len();
        of_column.of_rows(kinds, is_every_known, codes);
        let codes = std::mem::take(codes);
        self.set_known(column, start, &codes);
        self.recall.codes_of_rows = codes;
    }

    /// Sets a column of rows from `row` on to what these codes stand for.
    fn set_known(&mut self, column: usize, row: usize, codes: &[u32]) {
        let is_full = match self.columns.get_mut(column).and_then(Option::as_mut) {
            Some(Column::Coded(values)) => values.push_codes(row, codes),
            Some(Column::Buffered(values)) => {
                let known = (row..).zip(codes).filter(|(_, code)| **code != NONE);
                known.fold(false, |is_full, (row, &code)| {
                    if values.is_bool() {
                        values.bool(row, code != 0);
                        return is_full;
                    }
                    let list = self.recall.lists.get(code as usize).map_or(&[][..], Vec::as_slice);
                    values.list(row, list.iter().map(Vec::as_slice)) | is_full
                })
            }
            None => false,
        };
        if is_full {
            self.full.push(column);
        }
    }

    /// Sets all columns of the rows that wait.
    pub(super) fn catch_up_all(&mut self) {
        for column in 0..COLUMNS.len() {
            if self.is_behind(column) {
                self.catch_up(column);
            }
        }
        self.recall.rows.clear();
    }

    /// Sets columns of the row in hand that follow from `key` alone, to be recalled by it.
    pub fn learn<'a>(&'a mut self, key: &'a [u8]) -> Learner<'a> {
        self.recall.learned.clear();
        self.leaves.begin_learning();
        let lists = self.recall.lists.len();
        let is_kept = !self.recall.off && !self.recall.is_full() && key.len() <= KEY_BYTES_MAX;
        Learner { encoder: self, key, lists, is_kept }
    }
}

/// Sets columns of the row in hand, and notes what they are set to.
#[derive(Debug)]
pub struct Learner<'a> {
    encoder: &'a mut SegmentEncoder,
    key: &'a [u8],
    /// Lists kept before.
    lists: usize,
    is_kept: bool,
}

impl Learner<'_> {
    /// Notes what a column is set to; `false` if that is no longer done.
    fn note(&mut self, column: usize, code: impl FnOnce(&mut Column) -> Option<u32>) -> bool {
        let code = match self.encoder.begun(column) {
            Some(column) if self.is_kept => code(column),
            _ => None,
        };
        match code {
            Some(code) => self.encoder.recall.learned.push((column, code)),
            None => self.give_up(),
        }
        code.is_some()
    }

    /// Sets what was noted, and notes nothing more.
    fn give_up(&mut self) {
        self.is_kept = false;
        let row = self.encoder.group_rows;
        for (column, code) in std::mem::take(&mut self.encoder.recall.learned) {
            let _ = self.encoder.column(column);
            self.encoder.set_known(column, row, &[code]);
        }
        self.encoder.recall.lists.truncate(self.lists);
        self.encoder.leaves.give_up_learning();
    }

    fn code(&mut self, column: usize, physical: Physical, value: &[u8]) -> bool {
        self.note(column, |column| match column {
            Column::Coded(values) if values.is(physical) => values.code(value),
            _ => None,
        })
    }

    /// As [`SegmentEncoder::text`].
    pub fn text(&mut self, column: usize, value: &[u8]) {
        if self.code(column, Physical::Text, value) {
            self.encoder.leaves.learn_text(column, value);
        } else {
            self.encoder.text(column, value);
        }
    }

    /// As [`SegmentEncoder::int32`].
    pub fn int32(&mut self, column: usize, value: i32) {
        if self.code(column, Physical::Int32, &value.to_le_bytes()) {
            self.encoder.leaves.learn_number(column, value.into());
        } else {
            self.encoder.int32(column, value);
        }
    }

    /// As [`SegmentEncoder::int64`].
    pub fn int64(&mut self, column: usize, value: i64) {
        if self.code(column, Physical::Int64, &value.to_le_bytes()) {
            self.encoder.leaves.learn_number(column, value);
        } else {
            self.encoder.int64(column, value);
        }
    }

    /// As [`SegmentEncoder::bool`].
    pub fn bool(&mut self, column: usize, value: bool) {
        if self.note(column, |_| Some(value.into())) {
            self.encoder.leaves.learn_bool(column, value);
        } else {
            self.encoder.bool(column, value);
        }
    }

    /// As [`SegmentEncoder::list`].
    pub fn list<'b>(&mut self, column: usize, items: impl IntoIterator<Item = &'b [u8]>) {
        let items: Vec<Vec<u8>> = items.into_iter().map(<[u8]>::to_vec).collect();
        let place = u32::try_from(self.encoder.recall.lists.len()).ok();
        if self.note(column, |_| place) {
            self.encoder.leaves.learn_list(column, items.iter().map(Vec::as_slice));
            self.encoder.recall.lists.push(items);
        } else {
            self.encoder.list(column, items.iter().map(Vec::as_slice));
        }
    }

    /// Keeps what was set, and a note to go with it.
    pub fn finish(self, note: &[u8]) {
        if self.is_kept {
            let recall = &mut self.encoder.recall;
            let kind = recall.insert(self.key, note);
            recall.wait(self.encoder.group_rows, kind);
            self.encoder.leaves.keep_kind();
        }
    }
}
