//! SHA-256 digests: 32 bytes, written as 64 lower-case hex digits everywhere.
//!
//! Short inputs go through `sha2`. Long ones, every byte that is ingested or verified among them,
//! go through `ring`, which has assembly for processors without SHA instructions and is about
//! twice as fast there (docs/decisions/0007). Several long ones at once go through
//! `sha256-lanes`, several times as fast again (docs/decisions/0008). Tests hold them against each
//! other.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::FormatError;

/// The SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Hashes `bytes` in one go.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() < SHORT_BYTES_MAX {
            return Self(Sha256::digest(bytes).into());
        }
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Hashes several messages, each by itself, as fast as this processor can; the digests are in
    /// the messages' order.
    pub fn of_many(messages: &[&[u8]]) -> Vec<Self> {
        let mut digests = vec![Self([0; 32]); messages.len()];
        // Lanes are busy together only with messages of about one length.
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_by_key(|&index| messages[index].len());
        for group in order.chunks(sha256_lanes::LANES) {
            let of_group: Vec<&[u8]> = group.iter().map(|&index| messages[index]).collect();
            let found: Vec<Self> = match sha256_lanes::digests(&of_group) {
                Some(digests) => digests.into_iter().map(Self).collect(),
                None => of_group.iter().map(|bytes| Self::of(bytes)).collect(),
            };
            for (&index, digest) in group.iter().zip(found) {
                digests[index] = digest;
            }
        }
        digests
    }

    /// Wraps 32 bytes that are already a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
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

/// Inputs below this length, in bytes, are "short".
const SHORT_BYTES_MAX: usize = 4096;

/// Hashes bytes that arrive in pieces.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(SHA-256)")
    }
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Sha256Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Sha256Digest(digest)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for Sha256Digest {
    type Err = FormatError;

    /// Accepts exactly 64 lower-case hex digits.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::new("sha256", "64 lower-case hex digits", text);
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_libraries_agree_at_every_length_around_the_border() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(SHORT_BYTES_MAX * 3).collect();
        let lengths = (0..200).chain(SHORT_BYTES_MAX - 70..SHORT_BYTES_MAX + 70).chain([12_288]);
        for length in lengths {
            let expected: [u8; 32] = Sha256::digest(&bytes[..length]).into();
            assert_eq!(Sha256Digest::of(&bytes[..length]).as_bytes(), &expected, "{length}");
            let mut pieces = Hasher::new();
            bytes[..length].chunks(37).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish().as_bytes(), &expected, "{length} in pieces");
        }
    }

    #[test]
    fn many_at_once_are_as_one_by_one() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(60_000).collect();
        let lengths = [0, 1, 50_000, 49_990, 63, 64, 50_001, 3, 49_000, 50_000, 48_000, 47_000, 55];
        for count in 0..=lengths.len() {
            let messages: Vec<&[u8]> =
                lengths[..count].iter().map(|&length| &bytes[length % 7..][..length]).collect();
            let expected: Vec<Sha256Digest> =
                messages.iter().map(|bytes| Sha256Digest(Sha256::digest(bytes).into())).collect();
            assert_eq!(Sha256Digest::of_many(&messages), expected, "{count}");
        }
    }

    #[test]
    fn the_published_vector() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256Digest::of(b"abc").to_hex(), expected);
    }
}
