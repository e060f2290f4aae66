//! Messages laid out as SHA-256 takes them.

/// Bytes in a block of SHA-256.
pub const BLOCK_BYTES: usize = 64;

/// A message with its padding (FIPS 180-4, 5.1.1), as it lies in a buffer of whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padded {
    /// Its first block.
    pub first: usize,
    /// How many blocks it takes, at least one.
    pub blocks: usize,
}
