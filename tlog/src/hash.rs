//! The hashes of RFC 6962, 2.1: SHA-256 of leaves and of inner nodes, told apart by their first
//! byte.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};

use crate::error::TlogError;

/// A Merkle tree hash: 32 bytes, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Self::BYTES]);

impl Hash {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The hash of a tree without leaves: SHA-256 of nothing.
    pub fn of_no_leaves() -> Self {
        Self::finished(&digest(&SHA256, b""))
    }

    /// The hash of a leaf: SHA-256 of a zero byte and the entry.
    pub fn of_leaf(entry: &[u8]) -> Self {
        Self::of_parts(&[&[0], entry])
    }

    /// The hash of an inner node: SHA-256 of a one byte and its children.
    pub fn of_children(left: Self, right: Self) -> Self {
        Self::of_parts(&[&[1], &left.0, &right.0])
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|part| context.update(part));
        Self::finished(&context.finish())
    }

    fn finished(digest: &ring::digest::Digest) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Wraps 32 bytes that are already a hash.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads standard base64 of exactly 32 bytes. `what` names the text in an error.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_base64(what: &str, text: &str) -> Result<Self, TlogError> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| TlogError::format(what, "base64 of 32 bytes", text))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
