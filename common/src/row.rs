//! A row as bytes that are hashed, encoding `row/v1` (`docs/format.md` 20).
//!
//! A row's fields fall into two groups. What hardly changes from row to row is hashed once for
//! many rows; a leaf takes the digest of it, and the other fields as they are. Salts keep a leaf
//! from telling anything to whoever guesses at the row. Deliberately not here: where a row's
//! values come from.

use std::fmt;
use std::str::FromStr;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use tlog::Hash;

use crate::digest::{Hasher, Sha256Digest};
use crate::error::FormatError;
use crate::ids::SegmentId;
use crate::schema::COLUMNS;

/// Name of the encoding, as commits give it.
pub const ENCODING: &str = "row/v1";

/// Bytes of a row's salt.
pub const SALT_BYTES: usize = 16;

/// What stands before what a row key is derived from.
const KEY_CONTEXT: &[u8] = b"meshledger row key v1\n";

/// Field ids that are a row's place and not its content: `segment` and `segment_row`.
const PLACE: &[i32] = &[1, 2];

/// Field ids of the shared group. Fixed for ever: another list is another encoding.
///
/// Whatever differs from request to request or from person to person is not here: its
/// combinations with the others would be too many to keep.
#[rustfmt::skip]
const SHARED: &[i32] = &[
    4, 6, 7, 8, 9, 10, // how it was obtained, when it was received, what it is
    11, 12, 13, // OCSF
    14, 15, 16, 17, 18, 19, 20, 21, 22, 23, // the decision and its policy
    25, 26, 30, 32, // sort of principal, its groups, who issued its token
    36, 37, 40, 41, 42, 43, // identities, the caller
    44, 45, 46, 47, 48, 49, // the callee
    50, 51, 52, 53, 55, 56, 57, 58, // the emitter, but not its pod
    59, 62, 63, 64, 65, // sort of request and response
    72, 73, 74, 75, // route, upstream, flags
    76, 77, 78, 79, 80, 81, 82, 84, 85, 86, // TLS
    92, 93, 94, 95, 96, 103, 104, // sort of change
    108, 110, 111, 112, 114, // how it was read, where it came from
];

const _: () = assert!(COLUMNS.len() <= 128);

/// Columns of the shared group: bit `i` for the column at index `i` of [`COLUMNS`].
pub const SHARED_COLUMNS: u128 = columns_of(SHARED);

/// Columns of the own group, as in [`SHARED_COLUMNS`]: all that are in no list.
pub const OWN_COLUMNS: u128 = columns_of_all() & !SHARED_COLUMNS & !columns_of(PLACE);

/// A column's field id is its index and one (a test of the schema says so).
const fn columns_of(ids: &[i32]) -> u128 {
    let (mut columns, mut at) = (0, 0);
    while at < ids.len() {
        columns |= 1 << (ids[at] - 1);
        at += 1;
    }
    columns
}

const fn columns_of_all() -> u128 {
    if COLUMNS.len() == 128 { u128::MAX } else { (1 << COLUMNS.len()) - 1 }
}

/// Columns 0 to 63 of a set as above, or 64 to 127.
#[inline]
pub const fn half(columns: u128, half: usize) -> u64 {
    let eights = columns.to_le_bytes();
    match eights.as_chunks::<8>().0 {
        [low, _] if half == 0 => u64::from_le_bytes(*low),
        [_, high] => u64::from_le_bytes(*high),
        _ => 0,
    }
}

/// The group a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Hardly changes from row to row: hashed by itself, and the digest goes into the leaf.
    Shared,
    /// Goes into the leaf as it is.
    Own,
}

/// The group of the column at this index of [`COLUMNS`]; none for a column that is a row's place,
/// or that this version does not know.
pub const fn group(column: usize) -> Option<Group> {
    if column >= COLUMNS.len() {
        return None;
    }
    let bit = 1 << column;
    if SHARED_COLUMNS & bit != 0 {
        Some(Group::Shared)
    } else if OWN_COLUMNS & bit != 0 {
        Some(Group::Own)
    } else {
        None
    }
}

/// Appends a number as unsigned LEB128, without needless bytes.
#[inline]
pub fn push_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Appends the field id of the column at this index of [`COLUMNS`].
#[inline]
fn push_id(bytes: &mut Vec<u8>, column: usize) {
    push_leb128(bytes, column as u64 + 1);
}

#[inline]
fn push_item(bytes: &mut Vec<u8>, text: &[u8]) {
    push_leb128(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}

/// Appends the field of a text column, named by its index in [`COLUMNS`].
#[inline]
pub fn push_text(bytes: &mut Vec<u8>, column: usize, text: &[u8]) {
    push_id(bytes, column);
    push_item(bytes, text);
}

/// Appends the field of a 32-bit, 64-bit or timestamp column.
#[inline]
pub fn push_number(bytes: &mut Vec<u8>, column: usize, number: i64) {
    push_id(bytes, column);
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// Appends the field of a boolean column.
#[inline]
pub fn push_bool(bytes: &mut Vec<u8>, column: usize, value: bool) {
    push_id(bytes, column);
    bytes.push(value.into());
}

/// Appends the field of a list column.
pub fn push_list<'a>(bytes: &mut Vec<u8>, column: usize, items: impl Iterator<Item = &'a [u8]>) {
    let items: Vec<&[u8]> = items.collect();
    push_id(bytes, column);
    push_leb128(bytes, items.len() as u64);
    items.into_iter().for_each(|item| push_item(bytes, item));
}

/// A row's leaf hash: of its salt, the SHA-256 of its shared fields, and its own fields.
pub fn leaf(salt: [u8; SALT_BYTES], shared: Sha256Digest, own: &[u8]) -> Hash {
    let mut entry = Vec::with_capacity(SALT_BYTES + 32 + own.len());
    entry.extend_from_slice(&salt);
    entry.extend_from_slice(shared.as_bytes());
    entry.extend_from_slice(own);
    Hash::of_leaf(&entry)
}

/// Random bytes drawn for one delivery, from which the row keys of its segments are derived. It is
/// stored nowhere.
#[derive(Clone, Copy)]
pub struct RowSeed([u8; 32]);

impl RowSeed {
    /// Takes bytes that nobody else knows.
    pub const fn new(drawn: [u8; 32]) -> Self {
        Self(drawn)
    }
}

/// Does not show the bytes.
impl fmt::Debug for RowSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowSeed")
    }
}

/// What the salts of a segment come from. It stands in the segment's file and nowhere else: once
/// the file is gone, leaf hashes that remain tell nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowKey([u8; 32]);

impl RowKey {
    /// The key of a segment of the delivery for which these bytes were drawn.
    pub fn of_segment(seed: RowSeed, segment: SegmentId) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(KEY_CONTEXT);
        hasher.update(&seed.0);
        hasher.update(segment.as_bytes());
        Self(*hasher.finish().as_bytes())
    }

    /// The key of a segment that holds some rows of this one's: the same whenever it is written.
    pub fn of_rewritten(self, segment: SegmentId) -> Self {
        Self::of_segment(RowSeed(self.0), segment)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// Does not show the key.
impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey")
    }
}

impl FromStr for RowKey {
    type Err = FormatError;

    /// Accepts exactly 64 lower-case hex digits. An error does not show the text.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let found = format!("{} bytes of other text", text.len());
        let digest: Result<Sha256Digest, _> = text.parse();
        let digest =
            digest.map_err(|_| FormatError::new("row key", "64 lower-case hex digits", found))?;
        Ok(Self(*digest.as_bytes()))
    }
}

/// The salts of a segment's rows, in the order of `segment_row`: the key stream of ChaCha20
/// (RFC 8439) with a nonce of zeros, 16 bytes a row.
pub struct Salts(ChaCha20Rng);

impl fmt::Debug for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salts")
    }
}

impl Salts {
    /// The salts from row 0 on.
    pub fn new(key: RowKey) -> Self {
        Self(ChaCha20Rng::from_seed(key.0))
    }

    /// The salts from a row on.
    pub fn from_row(key: RowKey, row: u64) -> Self {
        const SALT_WORDS: u128 = SALT_BYTES as u128 / 4;
        let mut salts = Self::new(key);
        salts.0.set_word_pos(u128::from(row) * SALT_WORDS);
        salts
    }

    /// The next row's salt.
    #[inline]
    pub fn next_salt(&mut self) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        self.0.fill_bytes(&mut salt);
        salt
    }

    /// The salts of the next rows, one behind the other; `salts` holds a whole number of them.
    pub fn next_salts(&mut self, salts: &mut [u8]) {
        self.0.fill_bytes(salts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::EventDate;
    use crate::ids::DeliveryId;
    use crate::schema::column_index;

    fn index(name: &str) -> usize {
        column_index(name).unwrap()
    }

    #[test]
    fn every_column_but_the_place_is_in_one_group() {
        for (column, described) in COLUMNS.iter().enumerate() {
            let place = PLACE.contains(&described.field_id);
            let shared = SHARED.contains(&described.field_id);
            let expected = match (place, shared) {
                (true, false) => None,
                (false, true) => Some(Group::Shared),
                (false, false) => Some(Group::Own),
                (true, true) => panic!("{} is in two lists", described.name),
            };
            assert_eq!(group(column), expected, "{}", described.name);
        }
        assert!(SHARED.is_sorted() && SHARED.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(group(COLUMNS.len()), None);
    }

    #[test]
    fn salts_are_the_key_stream_of_rfc_8439() {
        // Appendix A.1, test vectors 1 (block 0) and 2 (block 1): the key is zeros.
        let stream = hex::decode(concat!(
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        ))
        .unwrap();
        let key = RowKey([0; 32]);
        let mut salts = Salts::new(key);
        for (row, expected) in (0..).zip(stream.chunks(SALT_BYTES)) {
            assert_eq!(salts.next_salt(), expected, "{row}");
            assert_eq!(Salts::from_row(key, row).next_salt(), expected, "{row}");
        }
        let mut many = [0; 128];
        Salts::new(key).next_salts(&mut many);
        assert_eq!(many, stream[..]);
        // Far on, one by one and at once.
        let mut salts = Salts::new(key);
        let far = (0..10_001).map(|_| salts.next_salt()).last().unwrap();
        assert_eq!(Salts::from_row(key, 10_000).next_salt(), far);
    }

    /// docs/format.md, appendix B.9 to B.11.
    #[test]
    fn the_vectors_of_the_format() {
        let unit = "2184355588a7dc48abd95b934a265a289150ea8da4f70c3c9606dea84628a56d";
        let first = "2199fc859aca4e3f981b0e264f6deeedc6921b87633a5785db997b0fd0dd5ab0";
        let units = [first.parse().unwrap(), unit.parse().unwrap()];
        let date = EventDate::of_micros(1_793_614_531_004_321);
        let segment = SegmentId::of(DeliveryId::of_units(&units), date);
        assert_eq!(segment.to_string(), "47688d02c2cb34b1fe00c7f32a3f02c9");
        let mut drawn = [0; 32];
        (0..).zip(&mut drawn).for_each(|(number, byte)| *byte = number);
        let key = RowKey::of_segment(RowSeed::new(drawn), segment);
        assert_eq!(key.to_hex(), KEY);
        let rewritten = "4751aed01b6c6f10d8486ae44704d895".parse().unwrap();
        assert_eq!(key.of_rewritten(rewritten).to_hex(), REWRITTEN_KEY);
        assert_eq!(KEY.parse::<RowKey>().unwrap(), key);

        let mut shared = Vec::new();
        push_text(&mut shared, index("mesh"), b"istio");
        push_number(&mut shared, index("http_status"), 403);
        let flags = ["UAEX", ""];
        push_list(&mut shared, index("response_flags"), flags.iter().map(|flag| flag.as_bytes()));
        push_bool(&mut shared, index("mtls"), true);
        let mut own = Vec::new();
        push_number(&mut own, index("event_time"), 1_793_614_531_004_321);
        push_text(&mut own, index("url_path"), "/caf\u{e9}".as_bytes());
        push_text(&mut own, index("url_query"), b"");
        push_text(&mut own, index("user_agent"), &[b'a'; 200]);
        push_number(&mut own, index("duration_us"), -1);
        let mut salts = Salts::new(key);
        let leaves: Vec<String> = [(&shared[..], &own[..]), (&shared, &[]), (&[], &[])]
            .into_iter()
            .map(|(shared, own)| {
                let salt = salts.next_salt();
                hex::encode(leaf(salt, Sha256Digest::of(shared), own).as_bytes())
            })
            .collect();
        assert_eq!(hex::encode(&shared), SHARED_BYTES);
        assert_eq!(Sha256Digest::of(&own).to_hex(), OWN_SHA256);
        assert_eq!(leaves, LEAVES);
    }

    const KEY: &str = "cb89c1f963808b5e589d5bcd55dac3a2e51795dbccb38e9d25644043aed3dcf2";
    const REWRITTEN_KEY: &str = "83f8e8597afd81d2063705e3eeb527bfc2108644e79f57d1b93d43136e27a33b";
    const SHARED_BYTES: &str = "0705697374696f3f00000000000001934b020455414558004f01";
    const OWN_SHA256: &str = "c105471c26c04ef00a19b9970456872a75a6623c286ae821ea80129365f8cd23";
    const LEAVES: [&str; 3] = [
        "5fe1ac67401f41a22a4dad50fbbdcb5ebdb47fa95ed05fac7427d45dda3a5dc6",
        "047240125c9cdebfc8555a953ac219948866045ae20999df5aae57048ce1f72b",
        "3d92b3835e307c9bf0ed36cf93d8fbff066a9f77277a89408a0d16aaf735bd72",
    ];

    #[test]
    fn values_that_look_alike_are_not() {
        let text = |column: &str, text: &str| {
            let mut bytes = Vec::new();
            push_text(&mut bytes, index(column), text.as_bytes());
            bytes
        };
        let path_and_query =
            |path: &str, query: &str| [text("url_path", path), text("url_query", query)].concat();
        let list = |items: &[&str]| {
            let mut bytes = Vec::new();
            let items = items.iter().map(|item| item.as_bytes());
            push_list(&mut bytes, index("user_groups"), items);
            bytes
        };
        let number = |column: &str, number: i64| {
            let mut bytes = Vec::new();
            push_number(&mut bytes, index(column), number);
            bytes
        };
        let mut flag = Vec::new();
        push_bool(&mut flag, index("mtls"), true);
        let different = [
            path_and_query("ab", "c"),
            path_and_query("a", "bc"),
            path_and_query("abc", ""),
            text("url_path", "abc"),
            text("url_query", "abc"),
            // NULL, and what is not.
            Vec::new(),
            text("url_path", ""),
            text("url_path", "NULL"),
            // 1 and true.
            flag,
            number("http_status", 1),
            number("grpc_status", 1),
            number("http_status", -1),
            // Lists.
            list(&[]),
            list(&[""]),
            list(&["", ""]),
            list(&["ab"]),
            list(&["a", "b"]),
            text("user_groups", "ab"),
        ];
        let salt = [7; SALT_BYTES];
        let leaf_of = |own: &Vec<u8>| leaf(salt, Sha256Digest::of(b""), own);
        for (at, row) in different.iter().enumerate() {
            for other in &different[at + 1..] {
                assert_ne!(row, other);
                assert_ne!(leaf_of(row), leaf_of(other));
            }
        }
        // The border between the groups, and the salt.
        let whole = leaf(salt, Sha256Digest::of(b""), &different[0]);
        assert_ne!(leaf(salt, Sha256Digest::of(&different[0]), b""), whole);
        assert_ne!(leaf([8; SALT_BYTES], Sha256Digest::of(b""), &different[0]), whole);
    }
}
