//! A column by dictionary: each value is looked up once, when it comes, in its row group's.
//!
//! The library's writer would hash every value of every column a second time. Here a value that
//! repeats its predecessor costs one comparison, and a page of a constant column a few bytes.
//! Where values hardly repeat, they are stored plainly; where that is known before, from the
//! first one on.

use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use common::bytes::same;
use common::limits::STATS_STRING_BYTES_MAX;
use common::schema::Column;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;

use super::chunk::{Bounds, DataPage, DictionaryPage, Encoded, INDEX_BYTES_MAX, statistics};
use super::hybrid;
use super::valid::Valid;

/// Largest dictionary, in bytes; what comes after is stored plainly. The library's own bound.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// Largest page of plain values, in bytes: what a reader decodes for one row of them.
const PLAIN_PAGE_BYTES: usize = 1024 * 1024;

/// Values that wait to be looked up, at most so many bytes of a column and one value.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// So few values are coded in any case.
const FEW_VALUES: usize = 8;

/// No code: a row without a value.
pub(super) const NONE: u32 = u32::MAX;

/// How often a bloom filter may say that a value is there which is not.
const BLOOM_FPP: f64 = 0.01;

/// Compresses pages.
pub(super) type Compressor = zstd::bulk::Compressor<'static>;

/// What the values are, as Parquet stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Physical {
    /// Text: bytes behind their length, in the order of bytes.
    Text,
    /// Four bytes, the lowest first.
    Int32,
    /// Eight bytes, the lowest first.
    Int64,
}

impl Physical {
    /// The number that such bytes are.
    pub(super) fn number(self, bytes: &[u8]) -> i64 {
        match self {
            Self::Text => 0,
            Self::Int32 => bytes.first_chunk().map_or(0, |four| i32::from_le_bytes(*four).into()),
            Self::Int64 => bytes.first_chunk().map_or(0, |eight| i64::from_le_bytes(*eight)),
        }
    }

    /// Whether one value comes before another.
    fn less(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            Self::Text => a < b,
            Self::Int32 | Self::Int64 => self.number(a) < self.number(b),
        }
    }

    /// Smallest and largest of some values.
    fn bounds<'a>(self, mut values: impl Iterator<Item = &'a [u8]>) -> Option<Bounds> {
        let first = values.next()?;
        let (min, max) = values.fold((first, first), |(min, max), value| {
            if self.less(value, min) {
                (value, max)
            } else if self.less(max, value) {
                (min, value)
            } else {
                (min, max)
            }
        });
        Some((min.to_vec(), max.to_vec()))
    }

    /// Appends a value in PLAIN encoding, and says where it lies.
    #[inline]
    fn push(self, plain: &mut Vec<u8>, value: &[u8]) -> (u32, u32) {
        let length = narrow(value.len());
        if self == Self::Text {
            plain.extend_from_slice(&length.to_le_bytes());
        }
        let start = narrow(plain.len());
        plain.extend_from_slice(value);
        (start, length)
    }
}

/// The values of one row group.
#[derive(Debug)]
pub(super) struct CodedChunk {
    physical: Physical,
    /// Rows in finished pages.
    rows: usize,
    /// Rows of the page in hand.
    valid: Valid,
    nulls: usize,
    dictionary: Dictionary,
    values: Values,
    waiting: Waiting,
    /// The value of rows that set none.
    default: Option<Box<[u8]>>,
    /// Codes of values are kept elsewhere.
    is_code_known: bool,
    pages: Vec<DataPage>,
    /// Told of every value, if there is one; the values are plain then.
    bloom: Option<Sbbf>,
}

/// The values of the page in hand.
#[derive(Debug)]
enum Values {
    /// By their codes in the dictionary.
    Coded(Vec<u32>),
    /// As Parquet's PLAIN encoding, once a dictionary does not pay.
    Plain(Vec<u8>),
}

/// Values that wait to be looked up: some hundred at once, so that a column's dictionary is in the
/// cache while it is asked, and that one look-up need not wait for the one before.
#[derive(Debug, Default)]
struct Waiting {
    /// Each value behind its length; a value that repeats its predecessor stands once.
    values: Vec<u8>,
    /// How often each stands for itself.
    repeats: Vec<u32>,
    /// Where the last one begins.
    last: usize,
    /// Look-ups for which values are not compared with their predecessors, which they hardly
    /// repeated.
    uncompared: u8,
}

impl Waiting {
    /// Adds a value.
    #[inline]
    fn push(&mut self, value: &[u8]) {
        if self.uncompared == 0
            && let Some(repeats) = self.repeats.last_mut()
            && same(&self.values[self.last..], value)
        {
            *repeats += 1;
            return;
        }
        let (start, _) = Physical::Text.push(&mut self.values, value);
        self.last = start as usize;
        self.repeats.push(1);
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() + self.repeats.capacity() * size_of::<u32>()
    }

    /// Forgets the values, once they are looked up.
    fn clear(&mut self) {
        let all: usize = self.repeats.iter().map(|&repeats| repeats as usize).sum();
        self.uncompared = match self.uncompared {
            // Now and then comparing is tried again.
            0 if all < 2 * self.repeats.len() => 15,
            left => left.saturating_sub(1),
        };
        self.values.clear();
        self.repeats.clear();
    }
}

impl CodedChunk {
    /// An empty chunk. `seed` keeps whoever writes log lines from choosing values that collide in
    /// the dictionary.
    pub(super) fn new(physical: Physical, seed: u64) -> Self {
        Self {
            physical,
            rows: 0,
            valid: Valid::default(),
            nulls: 0,
            dictionary: Dictionary::new(physical, seed),
            values: Values::Coded(Vec::new()),
            waiting: Waiting::default(),
            default: None,
            is_code_known: false,
            pages: Vec::new(),
            bloom: None,
        }
    }

    /// An empty chunk of texts that hardly repeat, and what is to be told of every one of them.
    pub(super) fn plain(bloom: Option<Sbbf>, seed: u64) -> Self {
        let values = Values::Plain(Vec::new());
        Self { values, bloom, ..Self::new(Physical::Text, seed) }
    }

    /// About how much memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Coded(codes) => codes.capacity() * size_of::<u32>(),
            Values::Plain(plain) => plain.capacity(),
        };
        let pages: usize = self.pages.iter().map(|page| page.bytes.len()).sum();
        // A block of a filter has 32 bytes.
        let bloom = self.bloom.as_ref().map_or(0, |bloom| bloom.num_blocks() * 32);
        values + pages + bloom + self.waiting.memory_bytes() + self.dictionary.memory_bytes()
    }

    /// Whether the values are of this sort.
    #[inline]
    pub(super) fn is(&self, physical: Physical) -> bool {
        self.physical == physical
    }

    /// Sets the value of `row`; returns whether the page in hand is to be finished. A row keeps
    /// its first value.
    #[inline]
    pub(super) fn set(&mut self, row: usize, value: &[u8]) -> bool {
        let next = self.rows + self.valid.rows();
        if row != next {
            if row < next {
                return false;
            }
            self.skip(row - next);
        }
        self.valid.value();
        if let Values::Plain(plain) = &mut self.values
            && self.waiting.repeats.is_empty()
        {
            self.physical.push(plain, value);
            return plain.len() >= PLAIN_PAGE_BYTES;
        }
        self.waiting.push(value);
        self.waiting.values.len() >= WAITING_BYTES_MAX
    }

    /// The code of a value, if values still go by their codes.
    pub(super) fn code(&mut self, value: &[u8]) -> Option<u32> {
        self.look_up_waiting();
        if !matches!(self.values, Values::Coded(_)) {
            return None;
        }
        let code = self.dictionary.code(value);
        if self.dictionary.plain.len() > DICTIONARY_BYTES_MAX {
            self.store_plainly();
            return None;
        }
        self.is_code_known = true;
        Some(code)
    }

    /// Sets the values of rows from `row` on by their codes, [`NONE`] for a row without a value;
    /// returns whether the page in hand is to be finished. A row keeps its first value.
    pub(super) fn push_codes(&mut self, mut row: usize, mut all: &[u32]) -> bool {
        let next = self.rows + self.valid.rows();
        let set = next.saturating_sub(row).min(all.len());
        (row, all) = (row + set, &all[set..]);
        if !all.contains(&NONE) {
            self.push_known(row, all);
        } else if all.iter().any(|&code| code != NONE) {
            for some in all.chunk_by(|&a, &b| (a == NONE) == (b == NONE)) {
                if some.first() != Some(&NONE) {
                    self.push_known(row, some);
                }
                row += some.len();
            }
        }
        matches!(&self.values, Values::Plain(plain) if plain.len() >= PLAIN_PAGE_BYTES)
    }

    /// Sets the values of rows that have none yet.
    fn push_known(&mut self, row: usize, known: &[u32]) {
        if known.is_empty() {
            return;
        }
        self.skip(row - self.rows - self.valid.rows());
        self.look_up_waiting();
        self.valid.values(known.len());
        match &mut self.values {
            Values::Coded(codes) => codes.extend_from_slice(known),
            Values::Plain(plain) => known.iter().for_each(|&code| {
                let _ = self.physical.push(plain, self.dictionary.value(code));
            }),
        }
    }

    /// Bytes the column has so far in the file, about.
    pub(super) fn encoded_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.bytes.len()).sum();
        pages + self.dictionary.plain.len()
    }

    /// Values that came before are coded before.
    #[inline]
    fn look_up_waiting(&mut self) {
        if !self.waiting.repeats.is_empty() {
            let _ = self.look_up();
        }
    }

    /// Gives every row that sets none this value.
    pub(super) fn default_to(&mut self, value: &[u8]) {
        self.default = Some(value.into());
    }

    /// Leaves rows without a value of their own.
    fn skip(&mut self, rows: usize) {
        let Some(default) = self.default.as_deref().filter(|_| rows > 0) else {
            return self.valid.pad(rows);
        };
        self.valid.values(rows);
        self.waiting.push(default);
        if let Some(repeats) = self.waiting.repeats.last_mut() {
            *repeats += u32::try_from(rows - 1).unwrap_or(u32::MAX);
        }
    }

    /// Looks up what waits; returns whether the page in hand is to be finished.
    pub(super) fn look_up(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let values = PlainValues(Physical::Text, &waiting.values);
        for (value, &repeats) in values.zip(&waiting.repeats) {
            match &mut self.values {
                Values::Coded(codes) => {
                    let code = self.dictionary.code(value);
                    match repeats {
                        1 => codes.push(code),
                        _ => codes.resize(codes.len() + repeats as usize, code),
                    }
                    if self.dictionary.plain.len() > DICTIONARY_BYTES_MAX {
                        self.store_plainly();
                    }
                }
                Values::Plain(plain) => {
                    for _ in 0..repeats {
                        self.physical.push(plain, value);
                    }
                }
            }
        }
        self.waiting = waiting;
        self.waiting.clear();
        matches!(&self.values, Values::Plain(plain) if plain.len() >= PLAIN_PAGE_BYTES)
    }

    /// Turns the page in hand to plain values, and all that follow.
    fn store_plainly(&mut self) {
        if let Values::Coded(codes) = &self.values {
            let mut plain = Vec::new();
            for &code in codes {
                self.physical.push(&mut plain, self.dictionary.value(code));
            }
            self.values = Values::Plain(plain);
        }
        if self.pages.is_empty() && !self.is_code_known {
            self.dictionary.clear();
        }
    }

    /// Finishes the page in hand, up to `row`.
    pub(super) fn finish_page(
        &mut self,
        row: usize,
        column: &Column,
        compressor: &mut Compressor,
    ) -> Result<(), ParquetError> {
        self.skip(row - self.rows - self.valid.rows());
        let rows = self.valid.rows();
        if rows == 0 {
            return Ok(());
        }
        let nulls = self.valid.nulls();
        self.look_up();
        if let Values::Coded(codes) = &self.values {
            let values = codes.len();
            let hardly_repeat = self.dictionary.len() * 4 > values * 3;
            if self.pages.is_empty() && hardly_repeat && values > FEW_VALUES {
                self.store_plainly();
            }
        }
        let mut body = Vec::new();
        if column.nullable {
            self.valid.levels(&mut body);
        }
        let (encoding, bounds) = match &mut self.values {
            Values::Coded(codes) => {
                let largest = self.dictionary.len().saturating_sub(1);
                let width = hybrid::bit_width(u32::try_from(largest).unwrap_or(u32::MAX));
                body.push(width);
                hybrid::encode(codes, width, &mut body);
                let bounds = column.stats.then(|| self.dictionary.bounds(codes)).flatten();
                codes.clear();
                (Encoding::RLE_DICTIONARY, bounds)
            }
            Values::Plain(plain) => {
                body.extend_from_slice(plain);
                if let Some(bloom) = &mut self.bloom {
                    PlainValues(self.physical, plain).for_each(|value| bloom.insert(value));
                }
                let bounds = self.physical.bounds(PlainValues(self.physical, plain));
                plain.clear();
                // One long value does not keep its room.
                plain.shrink_to(2 * PLAIN_PAGE_BYTES);
                (Encoding::PLAIN, bounds.map(shortened))
            }
        };
        let uncompressed_bytes = body.len();
        let bytes = compressed(compressor, &body)?;
        self.pages.push(DataPage { bytes, uncompressed_bytes, encoding, rows, nulls, bounds });
        self.nulls += nulls;
        self.rows += rows;
        self.valid.clear();
        Ok(())
    }

    /// Rows without a value, in finished pages.
    pub(super) const fn nulls(&self) -> usize {
        self.nulls
    }

    /// The column, its last page being finished. `index`: pages have bounds of their own; without,
    /// those of its dictionary are found once.
    pub(super) fn close(
        self,
        index: bool,
        bounds_bytes_max: usize,
        compressor: &mut Compressor,
    ) -> Result<Encoded, ParquetError> {
        let is_coded = |page: &DataPage| page.encoding == Encoding::RLE_DICTIONARY;
        let is_any_coded = self.pages.iter().any(is_coded);
        let of_all = (!index && is_any_coded).then(|| self.dictionary.bounds_of_all()).flatten();
        let of_pages = self.pages.iter().filter_map(|page| page.bounds.as_ref()).chain(&of_all);
        let least = self.physical.bounds(of_pages.clone().map(|(min, _)| min.as_slice()));
        let most = self.physical.bounds(of_pages.map(|(_, max)| max.as_slice()));
        let bounds = least.zip(most).map(|((min, _), (_, max))| (min, max));
        let statistics = statistics(self.physical, bounds, self.nulls, bounds_bytes_max);
        let values = self.dictionary.len();
        let dictionary = if values == 0 || !is_any_coded {
            None
        } else {
            let plain = &self.dictionary.plain;
            let bytes = compressed(compressor, plain)?;
            Some(DictionaryPage { bytes, uncompressed_bytes: plain.len(), values })
        };
        let compression = Compression::ZSTD(ZstdLevel::default());
        let bloom = self.bloom.map(|mut bloom| {
            bloom.fold_to_target_fpp(BLOOM_FPP);
            bloom
        });
        Ok(Encoded { compression, dictionary, pages: self.pages, statistics, index, bloom })
    }
}

fn compressed(compressor: &mut Compressor, bytes: &[u8]) -> Result<Bytes, ParquetError> {
    let mut page = compressor.compress(bytes)?;
    // It has room for the worst case, which is as long as the page.
    page.shrink_to_fit();
    Ok(page.into())
}

/// A filter for the values of a row group, as large as all of them could need.
pub(super) fn bloom(values_max: usize) -> Result<Sbbf, ParquetError> {
    Sbbf::new_with_ndv_fpp(values_max as u64, BLOOM_FPP)
}

/// Bounds without what nobody reads of long texts: statistics cut them further, as they would cut
/// the whole.
fn shortened((mut min, mut max): Bounds) -> Bounds {
    const KEPT: usize = STATS_STRING_BYTES_MAX + 1;
    min.truncate(KEPT);
    // A bound that can not be raised is kept as it is.
    if max.get(..INDEX_BYTES_MAX).is_some_and(|begin| begin.iter().any(|&byte| byte < 0x7f)) {
        max.truncate(KEPT);
    }
    (min, max)
}

/// Distinct values, by code in the order in which they came.
struct Dictionary {
    physical: Physical,
    /// The dictionary page.
    plain: Vec<u8>,
    /// Where in it each text lies. Numbers are where their code says.
    places: Vec<(u32, u32)>,
    /// How many there are.
    count: u32,
    codes: Codes,
    hash: FixedState,
}

/// The codes of values.
enum Codes {
    Texts(HashTable<KnownText>),
    /// Numbers with their codes: a look-up touches one place in memory.
    Numbers(HashTable<(i64, u32)>),
}

/// A text by its hash, which tells it from nearly all others, and its place.
struct KnownText {
    hash: u64,
    code: u32,
    start: u32,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("values", &self.count).finish_non_exhaustive()
    }
}

impl Dictionary {
    fn new(physical: Physical, seed: u64) -> Self {
        Self {
            physical,
            plain: Vec::new(),
            places: Vec::new(),
            count: 0,
            codes: match physical {
                Physical::Text => Codes::Texts(HashTable::new()),
                Physical::Int32 | Physical::Int64 => Codes::Numbers(HashTable::new()),
            },
            hash: FixedState::with_seed(seed),
        }
    }

    fn clear(&mut self) {
        let hash = self.hash.clone();
        *self = Self { hash, ..Self::new(self.physical, 0) };
    }

    /// How many values there are.
    const fn len(&self) -> usize {
        self.count as usize
    }

    fn memory_bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Texts(known) => known.capacity() * size_of::<KnownText>(),
            Codes::Numbers(known) => known.capacity() * size_of::<(i64, u32)>(),
        };
        self.plain.capacity() + self.places.capacity() * size_of::<(u32, u32)>() + codes
    }

    fn value(&self, code: u32) -> &[u8] {
        let place = match self.physical {
            Physical::Text => self.places.get(code as usize).copied(),
            Physical::Int32 => Some((code * 4, 4)),
            Physical::Int64 => Some((code * 8, 8)),
        };
        place.map_or(&[], |place| at(&self.plain, place))
    }

    /// The code of a value, new or known.
    #[inline]
    fn code(&mut self, value: &[u8]) -> u32 {
        match &mut self.codes {
            Codes::Texts(known) => {
                let hash = self.hash.hash_one(Text(value));
                let plain = &self.plain;
                let length = narrow(value.len());
                let is_it =
                    |text: &KnownText| text.hash == hash && same_at(plain, text.start, value);
                if let Some(text) = known.find(hash, is_it) {
                    return text.code;
                }
                let (code, start) = (self.count, self.physical.push(&mut self.plain, value).0);
                self.places.push((start, length));
                known.insert_unique(hash, KnownText { hash, code, start }, |text| text.hash);
            }
            Codes::Numbers(known) => {
                let number = self.physical.number(value);
                let hash = self.hash.hash_one(number);
                if let Some(&(_, code)) = known.find(hash, |&(known, _)| known == number) {
                    return code;
                }
                let _ = self.physical.push(&mut self.plain, value);
                let state = &self.hash;
                known.insert_unique(hash, (number, self.count), |(known, _)| state.hash_one(known));
            }
        }
        self.count += 1;
        self.count - 1
    }

    /// Smallest and largest of all values.
    fn bounds_of_all(&self) -> Option<Bounds> {
        self.physical.bounds((0..self.count).map(|code| self.value(code)))
    }

    /// Smallest and largest of the values that these codes name.
    fn bounds(&self, codes: &[u32]) -> Option<Bounds> {
        let mut named = vec![false; self.len()];
        for &code in codes {
            if let Some(named) = named.get_mut(code as usize) {
                *named = true;
            }
        }
        let named = (0..self.count).zip(named).filter(|(_, named)| *named);
        self.physical.bounds(named.map(|(code, _)| self.value(code)))
    }
}

/// Hashes its bytes and nothing else.
struct Text<'a>(&'a [u8]);

impl std::hash::Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

/// Whether this text stands there, behind its length.
#[inline]
fn same_at(plain: &[u8], start: u32, text: &[u8]) -> bool {
    let start = start as usize;
    let length = plain.get(..start).and_then(|before| before.last_chunk::<4>());
    length.is_some_and(|length| u32::from_le_bytes(*length) as usize == text.len())
        && plain.get(start..start + text.len()).is_some_and(|known| same(known, text))
}

#[inline]
fn at(plain: &[u8], (start, length): (u32, u32)) -> &[u8] {
    plain.get(start as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default()
}

/// The length, which a page can not exceed by far.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Values in PLAIN encoding, one after the other.
struct PlainValues<'a>(Physical, &'a [u8]);

impl<'a> Iterator for PlainValues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = match self.0 {
            Physical::Text => {
                let (length, rest) = self.1.split_first_chunk::<4>()?;
                (u32::from_le_bytes(*length) as usize, rest)
            }
            Physical::Int32 => (4, self.1),
            Physical::Int64 => (8, self.1),
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.1 = rest;
        Some(value)
    }
}
