//! Row roots while rows come: each value is appended to its row's leaf message as it is set, and
//! some hundred messages are hashed at a time (docs/decisions/0012).
//!
//! The judge is `crate::rows`, which hashes one decoded row after the other.

use std::hash::{BuildHasher, Hasher};

use common::Sha256Digest;
use common::batch::Batch;
use common::row::{self, OWN_COLUMNS, RowKey, SALT_BYTES, SHARED_COLUMNS, Salts};
use common::schema::{COLUMNS, ColumnType};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use tlog::Hash;

use super::Constant;

/// Rows hashed together: enough that lanes are full although lengths differ.
const ROWS_MAX: usize = 512;

/// Bytes of their messages after which they are hashed at once.
const BYTES_MAX: usize = 128 * 1024;

/// What stands before a row's own fields in its message: a zero byte, its salt, and the digest of
/// its shared fields. The last two are filled in when the message is hashed.
const HEADER_BYTES: usize = 1 + SALT_BYTES + 32;

/// Digests of shared fields that are known at a time, besides those of kinds.
const DIGESTS_MAX: usize = 8192;

/// Bytes of shared fields that are known at a time.
const KNOWN_BYTES_MAX: usize = 1024 * 1024;

/// Shared fields that are known take at most so many bytes each: longer ones are not like others.
const KNOWN_FIELD_BYTES_MAX: usize = 16 * 1024;

/// Makes the row root of a segment.
pub(super) struct Leaves {
    /// Only measurements go without.
    is_on: bool,
    row: Row,
    /// Leaf messages of the rows that wait, and of the row in hand.
    own: Batch,
    /// For each row that waits, which digest of shared fields it has.
    shared_of_rows: Vec<usize>,
    shared: Shared,
    /// Fields of every row that does not set them.
    constants: Layer,
    /// Fields of the kinds of the row group in hand, by number.
    kinds: Vec<Kind>,
    /// Fields of the kind that is being learned.
    learned: Learned,
    /// Fields in order, on their way to where they belong.
    merged: Vec<u8>,
    salts: Salts,
    salt_bytes: Vec<u8>,
    hashes: Vec<[u8; 32]>,
    tree: WideTree,
}

/// The row in hand.
struct Row {
    /// Columns that have a value: bit `i` for column `i`.
    set: u128,
    /// Those of them that the row's kind set.
    from_kind: u128,
    kind: Option<usize>,
    /// The own fields that the row set itself came in ascending order.
    is_ordered: bool,
    /// All of them are of columns below this one.
    own_end: usize,
    /// The shared fields that the row set itself, in the order in which they came.
    shared: Vec<u8>,
    /// Where the fields that the row set itself lie: in `shared`, or among the messages.
    places: [(usize, usize); 128],
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

#[derive(Debug)]
struct Kind {
    fields: Layer,
    /// Which digest its shared fields have, once that was asked.
    digest: Option<usize>,
}

/// Fields in the order in which they came.
#[derive(Debug, Default)]
struct Learned {
    set: u128,
    bytes: Vec<u8>,
    places: Vec<(usize, usize, usize)>,
}

/// Digests of shared fields, each computed once as long as it is known.
struct Shared {
    digests: Vec<[u8; 32]>,
    /// Messages whose digests come behind `digests`.
    waiting: Batch,
    /// The hash of some fields, and their number in `known`.
    table: HashTable<(u64, usize)>,
    hash: FixedState,
    /// Where fields lie in `bytes`, and which digest they have.
    known: Vec<(usize, usize, usize)>,
    bytes: Vec<u8>,
}

impl Leaves {
    pub(super) fn new(key: RowKey, seed: u64) -> Self {
        let mut leaves = Self {
            is_on: true,
            row: Row {
                set: 0,
                from_kind: 0,
                kind: None,
                is_ordered: true,
                own_end: 0,
                shared: Vec::new(),
                places: [(0, 0); 128],
            },
            own: Batch::default(),
            shared_of_rows: Vec::new(),
            shared: Shared {
                digests: Vec::new(),
                waiting: Batch::default(),
                table: HashTable::new(),
                hash: FixedState::with_seed(seed),
                known: Vec::new(),
                bytes: Vec::new(),
            },
            constants: Layer::default(),
            kinds: Vec::new(),
            learned: Learned::default(),
            merged: Vec::new(),
            salts: Salts::new(key),
            salt_bytes: Vec::new(),
            hashes: Vec::new(),
            tree: WideTree::default(),
        };
        leaves.begin_row();
        leaves
    }

    /// Ends hashing, for measurements of what it costs. No archive takes such a file.
    pub(super) fn switch_off(&mut self) {
        self.is_on = false;
    }

    fn begin_row(&mut self) {
        self.row.set = 0;
        self.row.from_kind = 0;
        self.row.kind = None;
        self.row.is_ordered = true;
        self.row.own_end = 0;
        self.row.shared.clear();
        self.own.bytes().extend_from_slice(&[0; HEADER_BYTES]);
    }

    /// Sets a column of the row in hand, if it has no value and is of this type.
    #[inline]
    fn set(&mut self, column: usize, kind: ColumnType, write: impl FnOnce(&mut Vec<u8>)) {
        let bit = 1 << (column % 128);
        let fits = COLUMNS.get(column).is_some_and(|column| column.kind == kind);
        if !fits || !self.is_on || self.row.set & bit != 0 {
            return;
        }
        self.row.set |= bit;
        let bytes = if OWN_COLUMNS & bit != 0 {
            self.row.is_ordered &= self.row.own_end <= column;
            self.row.own_end = column + 1;
            self.own.bytes()
        } else if SHARED_COLUMNS & bit != 0 {
            &mut self.row.shared
        } else {
            return;
        };
        let start = bytes.len();
        write(bytes);
        self.row.places[column % 128] = (start, bytes.len());
    }

    #[inline]
    pub(super) fn text(&mut self, column: usize, value: &[u8]) {
        self.set(column, ColumnType::Utf8, |bytes| row::push_text(bytes, column, value));
    }

    #[inline]
    pub(super) fn int32(&mut self, column: usize, value: i32) {
        self.set(column, ColumnType::Int32, |bytes| row::push_number(bytes, column, value.into()));
    }

    /// Sets a 64-bit or timestamp column.
    #[inline]
    pub(super) fn int64(&mut self, column: usize, value: i64) {
        let kind = match COLUMNS.get(column) {
            Some(column) if column.kind == ColumnType::Timestamp => ColumnType::Timestamp,
            _ => ColumnType::Int64,
        };
        self.set(column, kind, |bytes| row::push_number(bytes, column, value));
    }

    #[inline]
    pub(super) fn bool(&mut self, column: usize, value: bool) {
        self.set(column, ColumnType::Boolean, |bytes| row::push_bool(bytes, column, value));
    }

    pub(super) fn list<'a>(&mut self, column: usize, items: impl Iterator<Item = &'a [u8]>) {
        self.set(column, ColumnType::ListUtf8, |bytes| row::push_list(bytes, column, items));
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

    /// Sets a column of the kind that is being learned.
    pub(super) fn learn(&mut self, column: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let bit = 1 << (column % 128);
        if self.learned.set & bit == 0 && row::group(column).is_some() {
            self.learned.set |= bit;
            let start = self.learned.bytes.len();
            write(&mut self.learned.bytes);
            self.learned.places.push((column, start, self.learned.bytes.len()));
        }
    }

    /// What was learned is of the row in hand alone.
    pub(super) fn give_up_learning(&mut self) {
        let learned = std::mem::take(&mut self.learned);
        for &(column, start, end) in &learned.places {
            if let Some(described) = COLUMNS.get(column) {
                let field = &learned.bytes[start..end];
                self.set(column, described.kind, |bytes| bytes.extend_from_slice(field));
            }
        }
    }

    /// Keeps what was learned as the next kind, which the row in hand is of.
    pub(super) fn keep_kind(&mut self) {
        let mut learned = std::mem::take(&mut self.learned);
        learned.places.sort_unstable();
        let mut fields = Layer { set: learned.set, ..Layer::default() };
        for &(_, start, end) in &learned.places {
            fields.bytes.extend_from_slice(&learned.bytes[start..end]);
            fields.ends.push(fields.bytes.len());
        }
        self.kinds.push(Kind { fields, digest: None });
        self.set_kind(self.kinds.len() - 1);
        learned.clear();
        self.learned = learned;
    }

    /// The row in hand is of a kind, which sets what the row has not set before.
    #[inline]
    pub(super) fn set_kind(&mut self, kind: usize) {
        if let Some(known) = self.kinds.get(kind) {
            self.row.kind = Some(kind);
            self.row.from_kind = known.fields.set & !self.row.set;
            self.row.set |= known.fields.set;
        }
    }

    /// Ends a row group: kinds are of one, and memory may be why it ends. No row may be in hand.
    pub(super) fn end_group(&mut self) {
        self.own.forget();
        self.hash();
        self.kinds = Vec::new();
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
        self.own.end();
        let shared = self.shared();
        self.shared_of_rows.push(shared);
        if self.own.len() >= ROWS_MAX || self.own.waiting_bytes() >= BYTES_MAX {
            self.hash();
        }
        if self.shared.is_full() {
            self.hash();
            self.shared.clear();
            self.kinds.iter_mut().for_each(|kind| kind.digest = None);
        }
        self.begin_row();
    }

    /// Puts the own fields of the row in hand in order, with those of its kind and the constants.
    fn order_own(&mut self) {
        let mut merged = std::mem::take(&mut self.merged);
        merged.clear();
        self.merge(OWN_COLUMNS, &mut merged);
        let start = self.own.start() + HEADER_BYTES;
        let bytes = self.own.bytes();
        bytes.truncate(start);
        bytes.extend_from_slice(&merged);
        self.merged = merged;
    }

    /// Appends the fields of a group of the row in hand, in order.
    fn merge(&mut self, group: u128, merged: &mut Vec<u8>) {
        let row = &self.row;
        let kind = row.kind.and_then(|kind| self.kinds.get(kind)).map(|kind| &kind.fields);
        let mut columns = (row.set | self.constants.set) & group;
        while columns != 0 {
            let column = columns.trailing_zeros() as usize;
            let bit = columns & columns.wrapping_neg();
            columns ^= bit;
            let field = if row.from_kind & bit != 0 {
                kind.map_or(&[][..], |kind| kind.field(bit))
            } else if row.set & bit == 0 {
                self.constants.field(bit)
            } else {
                let (start, end) = row.places[column];
                let bytes = if bit & OWN_COLUMNS == 0 { &row.shared } else { self.own.bytes() };
                &bytes[start..end]
            };
            merged.extend_from_slice(field);
        }
    }

    /// Which digest the shared fields of the row in hand have.
    #[inline]
    fn shared(&mut self) -> usize {
        let of_kind = match self.row.kind {
            Some(kind) if self.row.shared.is_empty() => self.kinds.get(kind),
            _ => None,
        };
        match of_kind {
            Some(Kind { digest: Some(digest), .. }) => *digest,
            found => self.new_shared(found.is_some()),
        }
    }

    fn new_shared(&mut self, is_of_kind: bool) -> usize {
        let mut merged = std::mem::take(&mut self.merged);
        merged.clear();
        self.merge(SHARED_COLUMNS, &mut merged);
        let digest = match self.row.kind.and_then(|kind| self.kinds.get_mut(kind)) {
            Some(kind) if is_of_kind => *kind.digest.insert(self.shared.push(&merged)),
            _ => self.shared.find(&merged),
        };
        self.merged = merged;
        digest
    }

    /// Hashes the rows that wait; no row may be in hand.
    fn hash(&mut self) {
        self.shared.waiting.digests(&mut self.shared.digests);
        self.salt_bytes.resize(self.shared_of_rows.len() * SALT_BYTES, 0);
        self.salts.next_salts(&mut self.salt_bytes);
        let salts = self.salt_bytes.chunks_exact(SALT_BYTES);
        for ((row, shared), salt) in self.shared_of_rows.drain(..).enumerate().zip(salts) {
            let message = self.own.waiting(row);
            message[1..=SALT_BYTES].copy_from_slice(salt);
            message[1 + SALT_BYTES..HEADER_BYTES].copy_from_slice(&self.shared.digests[shared]);
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
        let kinds = self.kinds.iter().map(|kind| kind.fields.memory_bytes() + size_of::<Kind>());
        let learned = self.learned.bytes.capacity();
        self.own.memory_bytes()
            + self.shared.memory_bytes()
            + kinds.sum::<usize>()
            + self.merged.capacity()
            + self.row.shared.capacity()
            + learned
            + ROWS_MAX * (SALT_BYTES + 32 + size_of::<usize>())
            + size_of::<Self>()
    }

    /// The row root of the rows that ended.
    pub(super) fn root(mut self) -> Sha256Digest {
        self.own.forget();
        self.hash();
        Sha256Digest::from_bytes(*self.tree.root().as_bytes())
    }
}

impl Layer {
    /// The field of the column with this bit, which is set.
    fn field(&self, bit: u128) -> &[u8] {
        let place = (self.set & (bit - 1)).count_ones() as usize;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(place).copied().unwrap_or_default();
        self.bytes.get(start.unwrap_or_default()..end).unwrap_or_default()
    }

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

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

impl Learned {
    fn clear(&mut self) {
        self.set = 0;
        self.bytes.clear();
        self.places.clear();
    }
}

impl Shared {
    /// The number of the digest of these fields, which will be known by it.
    fn push(&mut self, fields: &[u8]) -> usize {
        self.waiting.bytes().extend_from_slice(fields);
        self.waiting.end();
        self.digests.len() + self.waiting.len() - 1
    }

    /// The number of the digest of these fields, which may be known.
    fn find(&mut self, fields: &[u8]) -> usize {
        if fields.len() > KNOWN_FIELD_BYTES_MAX {
            return self.push(fields);
        }
        let mut hasher = self.hash.build_hasher();
        hasher.write(fields);
        let hash = hasher.finish();
        let found = self.table.find(hash, |&(known, number)| {
            let place = self.known.get(number);
            known == hash
                && place.is_some_and(|&(start, end, _)| self.bytes.get(start..end) == Some(fields))
        });
        if let Some(&(_, _, digest)) = found.and_then(|&(_, number)| self.known.get(number)) {
            return digest;
        }
        let digest = self.push(fields);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(fields);
        self.known.push((start, self.bytes.len(), digest));
        self.table.insert_unique(hash, (hash, self.known.len() - 1), |&(hash, _)| hash);
        digest
    }

    fn is_full(&self) -> bool {
        self.digests.len() + self.waiting.len() >= DIGESTS_MAX
            || self.bytes.len() + self.waiting.waiting_bytes() >= KNOWN_BYTES_MAX
    }

    /// Forgets all digests, and gives back their memory; none may wait.
    fn clear(&mut self) {
        self.digests = Vec::new();
        self.waiting = Batch::default();
        self.table = HashTable::new();
        self.known = Vec::new();
        self.bytes = Vec::new();
    }

    fn memory_bytes(&self) -> usize {
        self.digests.capacity() * 32
            + self.waiting.memory_bytes()
            + self.table.capacity() * size_of::<(u64, usize)>()
            + self.known.capacity() * size_of::<(usize, usize, usize)>()
            + self.bytes.capacity()
    }
}

/// The tree of RFC 6962 over leaves that come many at a time, so that the nodes of a level can be
/// hashed side by side. It keeps one hash a level.
#[derive(Debug, Default)]
struct WideTree {
    /// Of each level, from the leaves up, the hashes that have no parent yet: one at most, while
    /// nothing is added.
    levels: Vec<Vec<[u8; 32]>>,
    batch: Batch,
    parents: Vec<[u8; 32]>,
}

impl WideTree {
    fn extend(&mut self, leaves: &[[u8; 32]]) {
        self.parents.clear();
        self.parents.extend_from_slice(leaves);
        for level in 0.. {
            if self.parents.is_empty() {
                return;
            }
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.append(&mut self.parents);
            let (pairs, _) = hashes.as_chunks::<2>();
            for [left, right] in pairs {
                let bytes = self.batch.bytes();
                bytes.push(1);
                bytes.extend_from_slice(left);
                bytes.extend_from_slice(right);
                self.batch.end();
            }
            let whole = pairs.len() * 2;
            hashes.drain(..whole);
            self.batch.digests(&mut self.parents);
        }
    }

    fn root(&self) -> Hash {
        let edge = self.levels.iter().flatten().map(|hash| Hash::from_bytes(*hash));
        edge.reduce(|right, left| Hash::of_children(left, right)).unwrap_or_else(Hash::of_no_leaves)
    }
}

#[cfg(test)]
mod tests {
    use tlog::tree::Tree;

    use super::*;

    #[test]
    fn a_tree_of_many_at_a_time_is_that_of_one_by_one() {
        let leaf = |number: u32| *Hash::of_leaf(&number.to_le_bytes()).as_bytes();
        for step in [1, 2, 3, 7, 64, 513] {
            let (mut wide, mut tree) = (WideTree::default(), Tree::default());
            assert_eq!(wide.root(), tree.root());
            for start in (0..1200).step_by(step) {
                let end = start + u32::try_from(step).unwrap();
                let leaves: Vec<[u8; 32]> = (start..end).map(leaf).collect();
                wide.extend(&leaves);
                tree.extend(leaves.into_iter().map(Hash::from_bytes));
                assert_eq!(wide.root(), tree.root(), "{end} leaves, {step} at a time");
                assert!(wide.levels.iter().all(|level| level.len() <= 1));
            }
        }
    }
}
