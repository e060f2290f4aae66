//! What one look at every byte of a record has found, for whoever reads the record or a piece of
//! it: strings end at the next quote, so they need not be searched for their ends.

use super::quote_or_backslash;

/// Where the quotes and backslashes of a record are; nothing is known by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quotes<'a> {
    record: &'a [u8],
    places: &'a [u32],
}

impl<'a> Quotes<'a> {
    /// The places of all of them in order, or none at all if they are not known.
    pub fn of(record: &'a [u8], places: &'a [u32]) -> Self {
        Self { record, places }
    }

    /// Those of a piece, if it lies in the record: nothing is known of a copy.
    #[inline]
    pub(super) fn inside(self, piece: &[u8]) -> Places<'a> {
        let from = piece.as_ptr().addr().wrapping_sub(self.record.as_ptr().addr());
        let is_inside = self.record.len().checked_sub(from).is_some_and(|left| piece.len() <= left);
        let Some(base) = u32::try_from(from).ok().filter(|_| is_inside) else {
            return Places::default();
        };
        let skipped = match base {
            0 => 0,
            _ => self.places.partition_point(|&place| place < base),
        };
        Places { places: self.places.get(skipped..).unwrap_or_default(), base, next: 0 }
    }
}

/// What is known of a text before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// It has no byte below 0x20.
    pub plain: bool,
    /// Where its quotes are.
    pub quotes: Quotes<'a>,
}

impl From<bool> for Seen<'_> {
    fn from(plain: bool) -> Self {
        Self { plain, quotes: Quotes::default() }
    }
}

/// The quotes and backslashes of a text that is read from its begin to its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places<'a> {
    /// Empty if they are not known.
    places: &'a [u32],
    /// Where the text begins in what they are counted from.
    base: u32,
    /// Which of them is expected next.
    pub(super) next: usize,
}

impl<'a> Places<'a> {
    /// Of a text in which these are all.
    pub(super) fn of_all(places: &'a [u32]) -> Self {
        Self { places, base: 0, next: 0 }
    }

    /// Two of them were read, which nobody asked for.
    #[inline]
    pub(super) fn skip_two(&mut self) {
        self.next += 2;
    }

    /// Where the string ends that begins with the quote at `start`: at its first quote or
    /// backslash, the length if there is none.
    #[inline]
    pub(super) fn after(&mut self, bytes: &[u8], start: usize) -> usize {
        let two = self.places.get(self.next..).and_then(|rest| rest.first_chunk::<2>());
        match two {
            // As expected, unless something was read in another way.
            Some(&[open, close]) if open as usize == start + self.base as usize => {
                self.next += 2;
                ((close - self.base) as usize).min(bytes.len())
            }
            _ => self.find(bytes, start + 1),
        }
    }

    /// Where the next quote or backslash is from `at` on; the length if there is none. It is not
    /// found again.
    pub(super) fn find(&mut self, bytes: &[u8], at: usize) -> usize {
        if self.places.is_empty() {
            return quote_or_backslash(bytes, at);
        }
        let from = at + self.base as usize;
        loop {
            match self.places.get(self.next) {
                Some(&place) if (place as usize) < from => self.next += 1,
                Some(&place) => {
                    self.next += 1;
                    return (place as usize - self.base as usize).min(bytes.len());
                }
                None => return bytes.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_found_in_the_record_and_in_its_pieces_and_searched_in_copies() {
        let record = br#"{"a":"b\"c","d":{"e":"f"}}"#;
        let places: Vec<u32> = (0..)
            .zip(record)
            .filter(|(_, byte)| matches!(byte, b'"' | b'\\'))
            .map(|(at, _)| at)
            .collect();
        let quotes = Quotes::of(record, &places);
        for from in 0..record.len() {
            for to in from..=record.len() {
                let copy = record[from..to].to_vec();
                let mut known = quotes.inside(&record[from..to]);
                let mut unknown = quotes.inside(&copy);
                assert!(unknown.places.is_empty());
                let ends_with_all = !known.places.is_empty();
                assert_eq!(ends_with_all, from <= places[places.len() - 1] as usize);
                let mut at = 0;
                while at <= copy.len() {
                    // A place is asked for once.
                    let (expected, found) = if copy.get(at) == Some(&b'"') && at % 2 == 0 {
                        (unknown.after(&copy, at), known.after(&copy, at))
                    } else {
                        (unknown.find(&copy, at), known.find(&copy, at))
                    };
                    assert_eq!(found, expected, "{from}..{to} at {at}");
                    at = found + 1;
                }
            }
        }
    }
}
