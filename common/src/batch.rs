//! Digests of many short messages, hashed side by side where this processor gains by it.
//!
//! Messages are laid out one behind the other as SHA-256 wants them, so that nothing is copied
//! again: whoever makes a message appends it here.

use ring::digest::{SHA256, digest};
use sha2::{Digest, Sha256};
use sha256_lanes::{BLOCK_BYTES, Padded, digests_of_padded};

use crate::bytes::Buffer;

/// Messages that wait to be hashed.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole blocks, and behind them the message in hand.
    bytes: Buffer,
    messages: Vec<Padded>,
    /// Where the message in hand begins.
    start: usize,
}

/// Messages longer than this, in bytes, are faster with assembly where they are hashed alone.
const SHORT_BYTES_MAX: usize = 4096;

/// The length in bits takes the last bytes of the last block.
const LENGTH_BYTES: usize = 8;

/// Padding takes at most so many bytes: all that a block and a length can hold.
const PADDING_BYTES_MAX: usize = BLOCK_BYTES + LENGTH_BYTES;

impl Batch {
    /// Whole messages, and behind them the message in hand, to append to.
    #[inline]
    pub const fn bytes(&mut self) -> &mut Buffer {
        &mut self.bytes
    }

    /// The message in hand.
    #[inline]
    pub fn message(&self) -> &[u8] {
        self.bytes.as_slice().get(self.start..).unwrap_or_default()
    }

    /// The message in hand, to be changed.
    #[inline]
    pub fn message_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice().get_mut(self.start..).unwrap_or_default()
    }

    /// Forgets the message in hand, but for its first bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start + length);
    }

    /// How many messages wait.
    #[inline]
    pub const fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the messages that wait, with their padding.
    #[inline]
    pub const fn waiting_bytes(&self) -> usize {
        self.start
    }

    /// About how much memory it takes.
    pub const fn memory_bytes(&self) -> usize {
        self.bytes.memory_bytes() + self.messages.capacity() * size_of::<Padded>()
    }

    /// Ends the message in hand; the next one begins.
    #[inline]
    pub fn end(&mut self) {
        let length = self.bytes.len() - self.start;
        let blocks = (length + LENGTH_BYTES) / BLOCK_BYTES + 1;
        let padding = blocks * BLOCK_BYTES - length;
        let room = self.bytes.room(PADDING_BYTES_MAX);
        if let Some(room) = room.first_chunk_mut::<PADDING_BYTES_MAX>() {
            *room = [0; PADDING_BYTES_MAX];
            room[0] = 0x80;
        }
        let bits = (length as u64).wrapping_mul(8).to_be_bytes();
        room[padding - LENGTH_BYTES..padding].copy_from_slice(&bits);
        self.bytes.advance(padding);
        self.messages.push(Padded { first: self.start / BLOCK_BYTES, blocks });
        self.start = self.bytes.len();
    }

    /// A message that waits, by its number, to fill in what was not known when it was made.
    #[inline]
    pub fn waiting(&mut self, number: usize) -> &mut [u8] {
        let Some(place) = self.messages.get(number) else { return &mut [] };
        let start = place.first * BLOCK_BYTES;
        let end = start + place.blocks * BLOCK_BYTES;
        let message = self.bytes.as_mut_slice().get_mut(start..end).unwrap_or_default();
        let bits = message.last_chunk().map_or(0, |bits| u64::from_be_bytes(*bits));
        let length = usize::try_from(bits / 8).unwrap_or_default();
        message.get_mut(..length).unwrap_or_default()
    }

    /// Appends the digests of the messages that wait, in their order, and forgets them. No message
    /// may be in hand.
    pub fn digests(&mut self, digests: &mut Vec<[u8; 32]>) {
        let whole = &self.bytes.as_slice()[..self.start];
        if !digests_of_padded(whole, &self.messages, digests) {
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
        self.bytes.truncate(0);
        self.messages.clear();
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
                batch.bytes().push(&source[..length]);
                assert_eq!(batch.message(), &source[..length]);
                batch.end();
                batch.bytes().push(b"forgotten");
                batch.truncate(4);
                assert_eq!(batch.message(), b"forg");
                batch.truncate(0);
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
