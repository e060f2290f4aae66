//! Names of units, deliveries and segments, and how each is derived.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::date::EventDate;
use crate::digest::{Hasher, Sha256Digest};
use crate::error::FormatError;

/// Names a unit: what its transport never splits. 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitId(pub Sha256Digest);

impl UnitId {
    /// The id of a part of a file or stream: SHA-256 of the previous part's id and the SHA-256 of
    /// the part's bytes. The first part follows [`UnitId::STREAM_START`]. Chaining the digest
    /// instead of the bytes lets one pass over the bytes serve the id and the manifest.
    pub fn of_part(previous: UnitId, sha256: Sha256Digest) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(previous.0.as_bytes());
        hasher.update(sha256.as_bytes());
        Self(hasher.finish())
    }

    /// The id of a unit that a transport brings, from what its transport calls it: SHA-256 of the
    /// text `meshledger unit` and a zero byte, then of each text of `name` its length (8 bytes,
    /// big-endian) and its bytes. The first text says which kind of name it is, so that no two
    /// transports can mean different units by one id.
    pub fn of_transport(name: &[&str]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"meshledger unit\0");
        for text in name {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Self(hasher.finish())
    }

    /// The id of the unit that a quarantined record is when it is replayed: SHA-256 of the text
    /// `meshledger replay` and a zero byte, the id of the unit it came with, and its offset and
    /// length (8 bytes each, big-endian). It depends on the record's place alone, so a record is
    /// replayed once, whoever does it and in whatever company. Of several rejects with the same
    /// place and length, as the parts of one record may be, `earlier` says how many come before
    /// this one; unless it is 0, it follows (8 bytes, big-endian).
    pub fn of_replay(unit: UnitId, offset_bytes: u64, length_bytes: u64, earlier: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"meshledger replay\0");
        hasher.update(unit.0.as_bytes());
        hasher.update(&offset_bytes.to_be_bytes());
        hasher.update(&length_bytes.to_be_bytes());
        if earlier > 0 {
            hasher.update(&earlier.to_be_bytes());
        }
        Self(hasher.finish())
    }

    /// What the first part of a stream takes as its previous part: 32 zero bytes.
    pub const STREAM_START: UnitId = UnitId(Sha256Digest::from_bytes([0; 32]));
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UnitId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Ok(Self(text.parse()?))
    }
}

/// Names a delivery: the SHA-256 of its units' ids (32 bytes each) in order. 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Sha256Digest);

impl DeliveryId {
    /// Derives the id from the ordered units.
    pub fn of_units<'a>(units: impl IntoIterator<Item = &'a UnitId>) -> Self {
        let mut hasher = Hasher::new();
        for unit in units {
            hasher.update(unit.0.as_bytes());
        }
        Self(hasher.finish())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Ok(Self(text.parse()?))
    }
}

/// Names a segment: the rows of one delivery for one event date. 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId([u8; 16]);

impl SegmentId {
    /// First 16 bytes of SHA-256(delivery id, the date as `YYYY-MM-DD`).
    pub fn of(delivery: DeliveryId, date: EventDate) -> Self {
        Self::derive(&[delivery.0.as_bytes(), date.to_string().as_bytes()])
    }

    /// The segment a sealer writes when only some units of a delivery are new: first 16 bytes of
    /// SHA-256(original segment's 16 bytes, the ids of the units kept, in order).
    pub fn of_kept_units<'a>(
        original: SegmentId,
        kept: impl IntoIterator<Item = &'a UnitId>,
    ) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&original.0);
        for unit in kept {
            hasher.update(unit.0.as_bytes());
        }
        Self::truncated(hasher.finish())
    }

    /// Half of its bits as the seed of a hash table: the same for the same delivery, and nothing
    /// that whoever writes log lines could choose.
    pub fn seed(self) -> u64 {
        let (half, _) = self.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*half)
    }

    /// Wraps 16 bytes that are already an id.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn derive(pieces: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new();
        for piece in pieces {
            hasher.update(piece);
        }
        Self::truncated(hasher.finish())
    }

    fn truncated(digest: Sha256Digest) -> Self {
        let mut id = [0u8; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        Self(id)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SegmentId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("segment", "32 lower-case hex digits", text);
        if text.len() != 32 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut id = [0u8; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| wrong())?;
        Ok(Self(id))
    }
}

impl Serialize for SegmentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SegmentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transports_unit_is_named_as_the_format_says() {
        // docs/format.md, appendix B.12; computed by another program.
        let of = |name: &[&str]| UnitId::of_transport(name).to_string();
        let record = of(&["kinesis", "arn:aws:kinesis:eu-1:1:stream/s", "shardId-000000000000:7"]);
        assert_eq!(record, "a56e6fa227366d534316c51c31163891ee72a0239f4a6787a2973d45695a9bc2");
        let object = of(&["s3 version", "landing", "logs/a b.gz", "v1"]);
        assert_eq!(object, "e302023231a3397cc7ccde4e6a12e446783c2332aea2ff16c41d5ebc95c05880");
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
    }

    #[test]
    fn a_replay_is_named_after_the_records_place_alone() {
        // docs/format.md, appendix B.8.
        let unit = "2184355588a7dc48abd95b934a265a289150ea8da4f70c3c9606dea84628a56d";
        let unit: UnitId = unit.parse().unwrap();
        let first = UnitId::of_replay(unit, 8, 8, 0).to_string();
        assert_eq!(first, "224a59522494d9e2765dc4f1710954c62b2b08e363fd53085378e867aef78d18");
        let second = UnitId::of_replay(unit, 8, 8, 1).to_string();
        assert_eq!(second, "c1a711c0c9f660441c867a2419f48135e27e9a1ce3dbbb82f7808693df73a25d");
    }
}
