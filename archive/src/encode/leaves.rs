//! Row roots while rows come: each value is appended to its row's leaf message as it is set, and
//! some hundred messages are hashed at a time (docs/decisions/0012).
//!
//! The judge is `crate::rows`, which hashes one decoded row after the other.

mod fields;
mod shared;
mod tree;

use common::Sha256Digest;
use common::batch::Batch;
use common::bytes::Buffer;
use common::row::{self, OWN_COLUMNS, RowKey, SALT_BYTES, SHARED_COLUMNS, Salts};
use common::schema::{COLUMNS, ColumnType};

use self::fields::{BOOL, FLAGS, Fields, INT32, INT64, LIST, OWN, SHARED, TEXT};
use self::shared::{Key, Shared};
use self::tree::WideTree;
use super::Constant;

/// Rows hashed together: enough that lanes are full although lengths differ.
const ROWS_MAX: usize = 512;

/// Bytes of their messages after which they are hashed at once. A process may have a segment for
/// each of a hundred dates in hand, and room is twice as much; fewer rows at a time cost no more.
const BYTES_MAX: usize = 64 * 1024;

/// What stands before a row's own fields in its message: a zero byte, its salt, and the digest of
/// its shared fields. The last two are filled in when the row ends.
const HEADER_BYTES: usize = 1 + SALT_BYTES + 32;

/// Salts made at a time, in bytes.
const SALTS_BYTES: usize = 64 * SALT_BYTES;

/// No kind, or no digest.
const NONE: u32 = u32::MAX;

/// Makes the row root of a segment.
pub(super) struct Leaves {
    /// Only measurements go without.
    is_on: bool,
    row: Row,
    /// Leaf messages of the rows that wait, and of the row in hand.
    own: Batch,
    /// Rows that wait, each with the digest of shared fields that is missing in its message.
    missing: Vec<(usize, u32)>,
    shared: Shared,
    /// Fields of every row that does not set them.
    constants: Layer,
    kinds: Kinds,
    /// The kind that is being learned.
    learned: Learned,
    /// Own fields in order, on their way to where they belong.
    merged: Buffer,
    salts: Salts,
    /// The next rows' salts, from `salts_used` on.
    salt_bytes: [u8; SALTS_BYTES],
    salts_used: usize,
    hashes: Vec<[u8; 32]>,
    tree: WideTree,
}

/// The row in hand. The own fields that it set itself stand in its message.
#[derive(Debug, Default)]
struct Row {
    /// Columns that have a value: bit `i` for column `i`.
    set: u128,
    /// Those of them that the row's kind set.
    from_kind: u128,
    /// Its kind, or [`NONE`].
    kind: u32,
    /// The own fields that the row set itself came in ascending order.
    is_ordered: bool,
    /// All of them are of columns below this one.
    own_end: usize,
    /// The shared fields that the row set itself, in the order in which they came.
    shared: Buffer,
}

const _: () = assert!(COLUMNS.len() <= 128);

/// Fields in ascending order of column.
#[derive(Debug, Default)]
struct Layer {
    set: u128,
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
}

/// The kinds of the row group in hand, by number. What is asked for each row lies close together.
#[derive(Debug, Default)]
struct Kinds {
    /// Columns that have a value.
    sets: Vec<u128>,
    /// Which digest the shared fields have, or [`NONE`] if that was not asked yet.
    digests: Vec<u32>,
    places: Vec<Place>,
    /// Fields, as they came.
    bytes: Vec<u8>,
}

/// Where the fields of a kind lie.
#[derive(Debug, Clone, Copy)]
struct Place {
    own: usize,
    shared: usize,
    end: usize,
}

/// Fields in the order in which they came.
#[derive(Debug, Default)]
struct Learned {
    set: u128,
    own: Buffer,
    shared: Buffer,
}

impl Leaves {
    pub(super) fn new(key: RowKey, seed: u64) -> Self {
        let mut leaves = Self {
            is_on: true,
            row: Row::default(),
            own: Batch::default(),
            missing: Vec::new(),
            shared: Shared::new(seed),
            constants: Layer::default(),
            kinds: Kinds::default(),
            learned: Learned::default(),
            merged: Buffer::default(),
            salts: Salts::new(key),
            salt_bytes: [0; SALTS_BYTES],
            salts_used: SALTS_BYTES,
            hashes: Vec::new(),
            tree: WideTree::default(),
        };
        leaves.begin_row();
        leaves
    }

    /// Ends hashing, for measurements of what it costs. No archive takes such a file.
    pub(super) fn switch_off(&mut self) {
        self.is_on = false;
        self.row.set = u128::MAX;
    }

    #[inline]
    fn begin_row(&mut self) {
        // Without row roots every column is as if it were set.
        self.row.set = if self.is_on { 0 } else { u128::MAX };
        self.row.from_kind = 0;
        self.row.kind = NONE;
        self.row.is_ordered = true;
        self.row.own_end = 0;
        self.row.shared.truncate(0);
        // What room holds is no matter: all of the header is filled in when the row ends.
        let _ = self.own.bytes().room(HEADER_BYTES);
        self.own.bytes().advance(HEADER_BYTES);
    }

    /// Sets a column of the row in hand, if it has no value and is of this type.
    #[inline]
    fn set(&mut self, column: usize, kind: u8, write: impl FnOnce(&mut Buffer)) {
        let flags = FLAGS.get(column).copied().unwrap_or_default();
        let bit = 1 << (column % 128);
        if flags & kind == 0 || self.row.set & bit != 0 {
            return;
        }
        self.row.set |= bit;
        if flags & OWN != 0 {
            self.row.is_ordered &= self.row.own_end <= column;
            self.row.own_end = column + 1;
            write(self.own.bytes());
        } else {
            write(&mut self.row.shared);
        }
    }

    #[inline]
    pub(super) fn text(&mut self, column: usize, value: &[u8]) {
        self.set(column, TEXT, |bytes| fields::text(bytes, column, value));
    }

    #[inline]
    pub(super) fn int32(&mut self, column: usize, value: i32) {
        self.set(column, INT32, |bytes| fields::number(bytes, column, value.into()));
    }

    /// Sets a 64-bit or timestamp column.
    #[inline]
    pub(super) fn int64(&mut self, column: usize, value: i64) {
        self.set(column, INT64, |bytes| fields::number(bytes, column, value));
    }

    #[inline]
    pub(super) fn bool(&mut self, column: usize, value: bool) {
        self.set(column, BOOL, |bytes| fields::bool(bytes, column, value));
    }

    pub(super) fn list<'a>(&mut self, column: usize, items: impl Iterator<Item = &'a [u8]>) {
        self.set(column, LIST, |bytes| fields::list(bytes, column, items));
    }

    /// Gives every row that does not set a column this value.
    pub(super) fn constant(&mut self, column: usize, value: &Constant) {
        let mut bytes = Vec::new();
        let kind = COLUMNS.get(column).map(|column| column.kind);
        match (value, kind) {
            (Constant::Text(text), Some(ColumnType::Utf8)) => {
                row::push_text(&mut bytes, column, text.as_bytes());
            }
            (Constant::Int32(number), Some(ColumnType::Int32)) => {
                row::push_number(&mut bytes, column, (*number).into());
            }
            (Constant::Int64(number), Some(ColumnType::Int64 | ColumnType::Timestamp)) => {
                row::push_number(&mut bytes, column, *number);
            }
            _ => return,
        }
        if row::group(column).is_some() {
            self.constants.insert(column, &bytes);
        }
    }

    /// Forgets what a kind being learned has set so far.
    pub(super) fn begin_learning(&mut self) {
        self.learned.clear();
    }

    /// Sets a column of the kind that is being learned; the type is the column's.
    fn learn(&mut self, column: usize, write: impl FnOnce(&mut Buffer)) {
        let flags = FLAGS.get(column).copied().unwrap_or_default();
        let bit = 1 << (column % 128);
        if flags == 0 || self.learned.set & bit != 0 || !self.is_on {
            return;
        }
        self.learned.set |= bit;
        write(if flags & OWN != 0 { &mut self.learned.own } else { &mut self.learned.shared });
    }

    pub(super) fn learn_text(&mut self, column: usize, value: &[u8]) {
        self.learn(column, |bytes| fields::text(bytes, column, value));
    }

    pub(super) fn learn_number(&mut self, column: usize, value: i64) {
        self.learn(column, |bytes| fields::number(bytes, column, value));
    }

    pub(super) fn learn_bool(&mut self, column: usize, value: bool) {
        self.learn(column, |bytes| fields::bool(bytes, column, value));
    }

    pub(super) fn learn_list<'a>(&mut self, column: usize, items: impl Iterator<Item = &'a [u8]>) {
        self.learn(column, |bytes| fields::list(bytes, column, items));
    }

    /// What was learned is of the row in hand alone.
    pub(super) fn give_up_learning(&mut self) {
        let learned = std::mem::take(&mut self.learned);
        for bytes in [&learned.own, &learned.shared] {
            for (column, field) in Fields(bytes.as_slice()) {
                self.set(column, !(OWN | SHARED), |bytes| bytes.push(field));
            }
        }
    }

    /// Keeps what was learned as the next kind, which the row in hand is of.
    pub(super) fn keep_kind(&mut self) {
        let number = self.kinds.push(&self.learned);
        self.learned.clear();
        self.set_kind(number);
    }

    /// The row in hand is of a kind, which sets what the row has not set before.
    #[inline]
    pub(super) fn set_kind(&mut self, kind: usize) {
        if let Some(&set) = self.kinds.sets.get(kind) {
            self.row.kind = u32::try_from(kind).unwrap_or(NONE);
            self.row.from_kind = set & !self.row.set;
            self.row.set |= set;
        }
    }

    /// Ends a row group: kinds are of one, and memory may be why it ends. No row may be in hand.
    pub(super) fn end_group(&mut self) {
        self.own.truncate(0);
        self.hash();
        self.kinds = Kinds::default();
        self.shared.clear();
        self.own = Batch::default();
        self.begin_row();
    }

    /// Ends the row in hand.
    #[inline]
    pub(super) fn end_row(&mut self) {
        if !self.is_on {
            return;
        }
        let constant = self.constants.set & !self.row.set;
        if !self.row.is_ordered || (self.row.from_kind | constant) & OWN_COLUMNS != 0 {
            self.order_own();
        }
        let known = match self.kinds.digests.get(self.row.kind as usize) {
            Some(&digest) if self.row.shared.is_empty() => digest,
            _ => NONE,
        };
        let digest = if known == NONE { self.other_shared() } else { known };
        self.fill_header(digest);
        self.own.end();
        if self.own.len() >= ROWS_MAX || self.own.waiting_bytes() >= BYTES_MAX {
            self.hash();
        }
        if known == NONE && self.shared.is_full() {
            self.hash();
            self.shared.clear();
            self.kinds.digests.fill(NONE);
        }
        self.begin_row();
    }

    /// Puts the own fields of the row in hand in order, with those of its kind and the constants.
    fn order_own(&mut self) {
        let message = self.own.message();
        let own = message.get(HEADER_BYTES..).unwrap_or_default();
        let kind = self.kinds.fields(self.row.kind);
        self.row.merge([own, kind.0], OWN_COLUMNS, &self.constants, &mut self.merged);
        self.own.truncate(HEADER_BYTES);
        self.own.bytes().push(self.merged.as_slice());
        self.merged.truncate(0);
    }

    /// Which digest the shared fields of the row in hand have, if they are not its kind's alone or
    /// that was not asked before.
    fn other_shared(&mut self) -> u32 {
        let (row, kinds) = (&self.row, &mut self.kinds);
        let key = Key { kind: row.kind, fields: row.shared.as_slice() };
        let is_of_kind = row.kind != NONE && key.fields.is_empty();
        if !is_of_kind && let Some(known) = self.shared.find(key) {
            return known;
        }
        let layers = [key.fields, kinds.fields(row.kind).1];
        let digest = self.shared.push(|waiting| {
            row.merge(layers, SHARED_COLUMNS, &self.constants, waiting.bytes());
        });
        match kinds.digests.get_mut(row.kind as usize) {
            Some(of_kind) if is_of_kind => *of_kind = digest,
            _ => self.shared.keep(key, digest),
        }
        digest
    }

    /// Fills in the next salt and, if it is known, the digest with this number.
    #[inline]
    fn fill_header(&mut self, digest: u32) {
        if self.salts_used == SALTS_BYTES {
            self.salts.next_salts(&mut self.salt_bytes);
            self.salts_used = 0;
        }
        let salt = &self.salt_bytes[self.salts_used..self.salts_used + SALT_BYTES];
        self.salts_used += SALT_BYTES;
        if let Some(header) = self.own.message_mut().first_chunk_mut::<HEADER_BYTES>() {
            header[0] = 0;
            header[1..=SALT_BYTES].copy_from_slice(salt);
            match self.shared.digest(digest) {
                Some(known) => header[1 + SALT_BYTES..].copy_from_slice(known),
                None => self.missing.push((self.own.len(), digest)),
            }
        }
    }

    /// Hashes the rows that wait; no row may be in hand.
    fn hash(&mut self) {
        self.shared.hash();
        for (row, shared) in self.missing.drain(..) {
            let header = self.own.waiting(row).get_mut(1 + SALT_BYTES..HEADER_BYTES);
            if let Some((header, digest)) = header.zip(self.shared.digest(shared)) {
                header.copy_from_slice(digest);
            }
        }
        self.hashes.clear();
        self.own.digests(&mut self.hashes);
        self.tree.extend(&self.hashes);
        if self.own.memory_bytes() > 4 * BYTES_MAX {
            // A long record must not keep its room for ever.
            self.own = Batch::default();
        }
    }

    /// About how much memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.own.memory_bytes()
            + self.shared.memory_bytes()
            + self.kinds.memory_bytes()
            + self.learned.own.memory_bytes()
            + self.learned.shared.memory_bytes()
            + self.merged.memory_bytes()
            + self.row.shared.memory_bytes()
            + ROWS_MAX * 32
            + size_of::<Self>()
    }

    /// The row root of the rows that ended.
    pub(super) fn root(mut self) -> Sha256Digest {
        self.own.truncate(0);
        self.hash();
        Sha256Digest::from_bytes(*self.tree.root().as_bytes())
    }
}

impl Row {
    /// Appends the fields of a group in order: of those the row set itself, of its kind, and of the
    /// constants.
    fn merge(&self, layers: [&[u8]; 2], group: u128, constants: &Layer, merged: &mut Buffer) {
        let [own, kind] = layers;
        let mut all: [&[u8]; 128] = [&[]; 128];
        for (column, field) in Fields(constants.bytes.as_slice()) {
            all[column % 128] = field;
        }
        for (column, field) in Fields(kind) {
            all[column % 128] = field;
        }
        for (column, field) in Fields(own) {
            all[column % 128] = field;
        }
        let columns = (self.set | constants.set) & group;
        // Half by half, since steps of 64 bits are cheaper.
        for (half, fields) in (0..).zip(all.as_chunks::<64>().0) {
            let mut columns = row::half(columns, half);
            while columns != 0 {
                merged.push(fields[columns.trailing_zeros() as usize]);
                columns &= columns - 1;
            }
        }
    }
}

impl Kinds {
    /// Keeps a kind, and returns its number.
    fn push(&mut self, learned: &Learned) -> usize {
        let own = self.bytes.len();
        self.bytes.extend_from_slice(learned.own.as_slice());
        let shared = self.bytes.len();
        self.bytes.extend_from_slice(learned.shared.as_slice());
        self.places.push(Place { own, shared, end: self.bytes.len() });
        self.sets.push(learned.set);
        self.digests.push(NONE);
        self.sets.len() - 1
    }

    /// Own and shared fields of a kind.
    fn fields(&self, kind: u32) -> (&[u8], &[u8]) {
        let Some(place) = self.places.get(kind as usize) else { return (&[], &[]) };
        (&self.bytes[place.own..place.shared], &self.bytes[place.shared..place.end])
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.places.capacity() * size_of::<Place>()
            + self.sets.capacity() * size_of::<u128>()
            + self.digests.capacity() * size_of::<u32>()
    }
}

impl Layer {
    /// Sets a field; the first value counts.
    fn insert(&mut self, column: usize, field: &[u8]) {
        let bit = 1u128 << (column % 128);
        if self.set & bit != 0 {
            return;
        }
        let place = (self.set & (bit - 1)).count_ones() as usize;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.splice(start..start, field.iter().copied());
        self.ends.insert(place, start);
        self.ends[place..].iter_mut().for_each(|end| *end += field.len());
        self.set |= bit;
    }
}

impl Learned {
    fn clear(&mut self) {
        self.set = 0;
        self.own.truncate(0);
        self.shared.truncate(0);
    }
}
