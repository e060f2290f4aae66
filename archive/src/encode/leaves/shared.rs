//! Digests of shared fields, each computed once as long as it is known.

use std::hash::{BuildHasher, Hasher};

use common::batch::Batch;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Digests that are known at a time.
const DIGESTS_MAX: usize = 8192;

/// Bytes of fields that are known at a time.
const KNOWN_BYTES_MAX: usize = 1024 * 1024;

/// Fields that are known take at most so many bytes a row: longer ones are not like others.
const KNOWN_FIELD_BYTES_MAX: usize = 16 * 1024;

/// Digests by their numbers, and by what they follow from.
pub(super) struct Shared {
    digests: Vec<[u8; 32]>,
    /// Messages whose digests come behind `digests`.
    waiting: Batch,
    /// The hash of a [`Key`], and its number in `known`.
    table: HashTable<(u64, u32)>,
    hash: FixedState,
    known: Vec<Known>,
    /// Fields that are known.
    bytes: Vec<u8>,
}

/// What a row's shared fields follow from: its kind, and what it set itself, as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) kind: u32,
    pub(super) fields: &'a [u8],
}

#[derive(Debug)]
struct Known {
    kind: u32,
    /// Where the fields lie.
    start: usize,
    end: usize,
    digest: u32,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            digests: Vec::new(),
            waiting: Batch::default(),
            table: HashTable::new(),
            hash: FixedState::with_seed(seed),
            known: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The number of the digest that comes next, of fields that [`Shared::waiting`] takes.
    fn next(&self) -> u32 {
        // There are few: see `DIGESTS_MAX`.
        u32::try_from(self.digests.len() + self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Hashes the fields that `write` appends; returns the number of their digest.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Batch)) -> u32 {
        let number = self.next();
        write(&mut self.waiting);
        self.waiting.end();
        number
    }

    fn hash_of(&self, key: Key<'_>) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u32(key.kind);
        hasher.write(key.fields);
        hasher.finish()
    }

    /// The number of the digest that follows from a key, if that is known.
    pub(super) fn find(&self, key: Key<'_>) -> Option<u32> {
        let hash = self.hash_of(key);
        let known = |number: u32| self.known.get(number as usize);
        let found = self.table.find(hash, |&(known_hash, number)| {
            known_hash == hash
                && known(number).is_some_and(|known| {
                    known.kind == key.kind
                        && self.bytes.get(known.start..known.end) == Some(key.fields)
                })
        });
        found.and_then(|&(_, number)| known(number)).map(|known| known.digest)
    }

    /// Keeps which digest follows from a key that is not known.
    pub(super) fn keep(&mut self, key: Key<'_>, digest: u32) {
        if key.fields.len() > KNOWN_FIELD_BYTES_MAX {
            return;
        }
        let hash = self.hash_of(key);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.fields);
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.push(Known { kind: key.kind, start, end: self.bytes.len(), digest });
        self.table.insert_unique(hash, (hash, number), |&(hash, _)| hash);
    }

    /// Hashes what waits.
    pub(super) fn hash(&mut self) {
        self.waiting.digests(&mut self.digests);
    }

    /// The digest with this number, unless it waits.
    #[inline]
    pub(super) fn digest(&self, number: u32) -> Option<&[u8; 32]> {
        self.digests.get(number as usize)
    }

    pub(super) fn is_full(&self) -> bool {
        self.digests.len() + self.waiting.len() >= DIGESTS_MAX
            || self.bytes.len() + self.waiting.waiting_bytes() >= KNOWN_BYTES_MAX
    }

    /// Forgets all digests, and gives back their memory; none may wait.
    pub(super) fn clear(&mut self) {
        *self = Self { hash: self.hash.clone(), ..Self::new(0) };
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.digests.capacity() * 32
            + self.waiting.memory_bytes()
            + self.table.capacity() * size_of::<(u64, u32)>()
            + self.known.capacity() * size_of::<Known>()
            + self.bytes.capacity()
    }
}
