//! Short byte strings, compared and copied without a call: most names and values of a log are
//! short, and a record has a hundred of them.

/// `a == b`.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && same_of_one_length(a, b)
}

/// `text.starts_with(begin)`.
#[inline]
pub fn begins_with(text: &[u8], begin: &[u8]) -> bool {
    text.get(..begin.len()).is_some_and(|text| same_of_one_length(text, begin))
}

#[inline(always)]
fn same_of_one_length(a: &[u8], b: &[u8]) -> bool {
    /// The first and the last bytes; together all, as the length is between N and 2 N.
    #[inline]
    fn ends<const N: usize>(bytes: &[u8]) -> Option<([u8; N], [u8; N])> {
        Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
    }
    match a.len() {
        4..=7 => ends::<4>(a) == ends::<4>(b),
        8..=16 => ends::<8>(a) == ends::<8>(b),
        17..=32 => ends::<16>(a) == ends::<16>(b),
        33..=64 => ends::<32>(a) == ends::<32>(b),
        _ => a == b,
    }
}

/// Copies all of `from` to the beginning of `to`; nothing if there is no room for it.
#[inline(always)]
pub fn copy(from: &[u8], to: &mut [u8]) {
    /// The first and the last bytes, as above.
    #[inline(always)]
    fn ends<const N: usize>(from: &[u8], to: &mut [u8]) {
        let ends = from.first_chunk::<N>().zip(from.last_chunk::<N>());
        if let Some((first, last)) = ends {
            if let Some(to) = to.first_chunk_mut() {
                *to = *first;
            }
            if let Some(to) = to.last_chunk_mut() {
                *to = *last;
            }
        }
    }
    let Some(to) = to.get_mut(..from.len()) else { return };
    match from.len() {
        0 => {}
        1..=3 => {
            // The middle of one byte is that byte, of two the second.
            to[0] = from[0];
            to[from.len() / 2] = from[from.len() / 2];
            to[from.len() - 1] = from[from.len() - 1];
        }
        4..=7 => ends::<4>(from, to),
        8..=16 => ends::<8>(from, to),
        17..=32 => ends::<16>(from, to),
        33..=64 => ends::<32>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Bytes that grow by short pieces: room is asked for once a piece, then written to.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The bytes, and behind them room that holds anything.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// So many bytes behind the last one, which hold anything; [`Buffer::advance`] makes the first
    /// of them part of the buffer.
    #[inline]
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < length {
            self.grow(length);
        }
        &mut self.bytes[self.len..self.len + length]
    }

    #[cold]
    fn grow(&mut self, length: usize) {
        self.bytes.resize((self.len + length).max(2 * self.bytes.len()).max(256), 0);
    }

    /// Appends so many bytes of the room, which was asked for.
    #[inline]
    pub fn advance(&mut self, length: usize) {
        self.len = (self.len + length).min(self.bytes.len());
    }

    /// Appends these bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        copy(bytes, self.room(bytes.len()));
        self.len += bytes.len();
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The bytes, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// How many bytes there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all bytes but the first.
    #[inline]
    pub fn truncate(&mut self, length: usize) {
        self.len = self.len.min(length);
    }

    /// About how much memory it takes.
    pub const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_are_copied() {
        let bytes: Vec<u8> = (1..=200).collect();
        let (mut buffer, mut expected) = (Buffer::default(), Vec::new());
        for length in 0..bytes.len() {
            let mut to = vec![0; length + 3];
            copy(&bytes[..length], &mut to);
            assert_eq!(to, [&bytes[..length], &[0; 3]].concat(), "{length}");
            buffer.push(&bytes[..length]);
            expected.extend_from_slice(&bytes[..length]);
            buffer.room(70).fill(length.to_le_bytes()[0]);
            buffer.advance(2);
            expected.extend_from_slice(&[length.to_le_bytes()[0]; 2]);
            assert_eq!(buffer.as_slice(), expected);
        }
        // Where there is no room, nothing is copied.
        let mut small = [0; 5];
        copy(&bytes[..6], &mut small);
        assert_eq!(small, [0; 5]);
        buffer.truncate(3);
        assert_eq!((buffer.as_slice(), buffer.len()), (&expected[..3], 3));
        buffer.truncate(9);
        assert_eq!(buffer.as_mut_slice().len(), 3);
        buffer.truncate(0);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_difference_anywhere_is_seen() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in 0..bytes.len() {
            let text = &bytes[..length];
            assert!(same(text, &bytes.clone()[..length]) && begins_with(&bytes, text));
            for at in 0..length {
                let mut other = text.to_vec();
                other[at] ^= 1;
                assert!(!same(text, &other) && !begins_with(&bytes, &other), "{at} of {length}");
            }
            assert!(!same(text, &bytes) && !begins_with(text, &bytes), "{length}");
        }
    }
}
