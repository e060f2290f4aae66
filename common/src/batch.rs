//! Digests of many short messages, hashed side by side where this processor gains by it.
//!
//! Messages are laid out one behind the other as SHA-256 wants them, so that nothing is copied
//! again: whoever makes a message appends it here.

use ring::digest::{SHA256, digest};
use sha2::{Digest, Sha256};
use sha256_lanes::{BLOCK_BYTES, Padded, digests_of_padded};

/// Messages that wait to be hashed.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole blocks, and behind them the message in hand.
    bytes: Vec<u8>,
    messages: Vec<Padded>,
    /// Lengths without padding, in bytes.
    lengths: Vec<usize>,
    /// Where the message in hand begins.
    start: usize,
}

/// Messages longer than this, in bytes, are faster with assembly where they are hashed alone.
const SHORT_BYTES_MAX: usize = 4096;

impl Batch {
    /// The message in hand, and whole messages before it, to append to.
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The message in hand.
    #[inline]
    pub fn message(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Where the message in hand begins in [`Batch::bytes`].
    #[inline]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Forgets the message in hand.
    pub fn forget(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// How many messages wait.
    pub const fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the messages that wait, with their padding.
    pub const fn waiting_bytes(&self) -> usize {
        self.start
    }

    /// About how much memory it takes.
    pub const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.messages.capacity() * (size_of::<Padded>() + size_of::<usize>())
    }

    /// Ends the message in hand; the next one begins.
    #[inline]
    pub fn end(&mut self) {
        let length = self.bytes.len() - self.start;
        // The length in bits takes the last eight bytes of the last block.
        let blocks = (length + 8) / BLOCK_BYTES + 1;
        self.bytes.push(0x80);
        self.bytes.resize(self.start + blocks * BLOCK_BYTES - 8, 0);
        self.bytes.extend_from_slice(&(length as u64).wrapping_mul(8).to_be_bytes());
        self.messages.push(Padded { first: self.start / BLOCK_BYTES, blocks });
        self.lengths.push(length);
        self.start = self.bytes.len();
    }

    /// A message that waits, by its number, to fill in what was not known when it was made.
    pub fn waiting(&mut self, number: usize) -> &mut [u8] {
        let Some((place, length)) = self.messages.get(number).zip(self.lengths.get(number)) else {
            return &mut [];
        };
        let start = place.first * BLOCK_BYTES;
        self.bytes.get_mut(start..start + length).unwrap_or_default()
    }

    /// Appends the digests of the messages that wait, in their order, and forgets them. No message
    /// may be in hand.
    pub fn digests(&mut self, digests: &mut Vec<[u8; 32]>) {
        if !digests_of_padded(&self.bytes[..self.start], &self.messages, digests) {
            for number in 0..self.messages.len() {
                let message = self.waiting(number);
                digests.push(if message.len() < SHORT_BYTES_MAX {
                    Sha256::digest(message).into()
                } else {
                    let mut digest_bytes = [0; 32];
                    digest_bytes.copy_from_slice(digest(&SHA256, message).as_ref());
                    digest_bytes
                });
            }
        }
        self.bytes.clear();
        self.messages.clear();
        self.lengths.clear();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sha256Digest;

    #[test]
    fn digests_are_those_of_the_messages_at_every_length() {
        let source: Vec<u8> = (0..=u8::MAX).cycle().take(6000).collect();
        let mut batch = Batch::default();
        for lengths in [(0..300).collect::<Vec<usize>>(), vec![5000, 0, 4096, 63], vec![]] {
            for &length in &lengths {
                batch.bytes().extend_from_slice(&source[..length]);
                assert_eq!(batch.message(), &source[..length]);
                batch.end();
                batch.bytes().extend_from_slice(b"forgotten");
                batch.forget();
            }
            assert_eq!(batch.len(), lengths.len());
            // One message is changed once it waits.
            if let Some(byte) = batch.waiting(lengths.len() / 2).first_mut() {
                *byte = 0xff;
            }
            let mut found = vec![[1; 32]];
            batch.digests(&mut found);
            for (number, &length) in lengths.iter().enumerate() {
                let mut message = source[..length].to_vec();
                if number == lengths.len() / 2 && length > 0 {
                    message[0] = 0xff;
                }
                let expected = Sha256Digest::of(&message);
                assert_eq!(&found[number + 1], expected.as_bytes(), "{length} bytes");
            }
            assert_eq!(found.len(), lengths.len() + 1);
            assert!(batch.is_empty() && batch.waiting_bytes() == 0);
        }
    }
}
