//! One look at every byte of a record, with wide registers: where its quotes are, and what need
//! not be checked again.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

/// Longest record that is marked, in bytes; longer ones are rare and are read without marks.
const MARKED_BYTES_MAX: usize = 64 * 1024;

/// Bytes looked at in one step.
const STEP: usize = 64;

/// Quotes written in one go, whether or not there are so many.
const WRITTEN: usize = 8;

/// What was seen in a record.
#[derive(Debug)]
pub(crate) struct Marks {
    level: Level,
    /// All bytes are ASCII.
    pub(crate) ascii: bool,
    /// No byte is below 0x20.
    pub(crate) plain: bool,
    positions: Vec<u32>,
    count: usize,
}

impl Marks {
    /// Marks of nothing.
    pub(crate) fn new() -> Self {
        Self { level: Level::new(), ascii: true, plain: true, positions: Vec::new(), count: 0 }
    }

    /// Looks at a record.
    pub(crate) fn look(&mut self, record: &[u8]) {
        self.count = 0;
        if record.len() > MARKED_BYTES_MAX {
            self.ascii = record.is_ascii();
            self.plain = record.iter().all(|&byte| byte >= 0x20);
            return;
        }
        let room = record.len() + STEP + WRITTEN;
        if self.positions.len() < room {
            self.positions.resize(room, 0);
        }
        let level = self.level;
        dispatch!(level, simd => look(simd, self, record));
    }

    /// Where quotes and backslashes are, in order; nothing for a record that is not marked.
    pub(crate) fn quotes(&self) -> &[u32] {
        self.positions.get(..self.count).unwrap_or_default()
    }
}

#[inline(always)]
fn look<S: Simd>(simd: S, marks: &mut Marks, record: &[u8]) {
    let (steps, rest) = record.as_chunks::<STEP>();
    // The rest is filled with spaces, which are nothing special.
    let mut last = [b' '; STEP];
    last[..rest.len()].copy_from_slice(rest);
    let (quote, backslash) = (u8x64::splat(simd, b'"'), u8x64::splat(simd, b'\\'));
    let space = u8x64::splat(simd, 0x20);
    let (mut all, mut least) = (u8x64::splat(simd, 0), u8x64::splat(simd, u8::MAX));
    let (mut count, mut base) = (0, 0u32);
    for step in steps.iter().chain(std::iter::once(&last)) {
        let bytes = u8x64::from_slice(simd, step);
        all |= bytes;
        least = least.min(bytes);
        let mut found = (bytes.simd_eq(quote) | bytes.simd_eq(backslash)).to_bitmask();
        let more = count + found.count_ones() as usize;
        // Writing some too many costs less than asking how many there are.
        while count < more {
            let Some(places) =
                marks.positions.get_mut(count..).and_then(|rest| rest.first_chunk_mut::<WRITTEN>())
            else {
                break;
            };
            for place in places {
                *place = base + found.trailing_zeros();
                found &= found.wrapping_sub(1);
            }
            count += WRITTEN;
        }
        count = more;
        base += 64;
    }
    marks.count = count;
    marks.ascii = all.simd_lt(u8x64::splat(simd, 0x80)).all_true();
    marks.plain = !least.simd_lt(space).any_true();
}

/// Where the object or list ends that `text` begins with, given that it is JSON; the length if it
/// does not end.
pub(crate) fn nested_end(text: &[u8]) -> usize {
    let level = Level::new();
    dispatch!(level, simd => nested_end_in(simd, text))
}

#[inline(always)]
fn nested_end_in<S: Simd>(simd: S, text: &[u8]) -> usize {
    let (steps, rest) = text.as_chunks::<STEP>();
    let mut last = [b' '; STEP];
    last[..rest.len()].copy_from_slice(rest);
    let (quote, backslash) = (u8x64::splat(simd, b'"'), u8x64::splat(simd, b'\\'));
    // Square and curly brackets are one bit apart.
    let (bit, open, close) =
        (u8x64::splat(simd, 0x20), u8x64::splat(simd, b'{'), u8x64::splat(simd, b'}'));
    let (mut depth, mut base) = (0, 0);
    // Whether the step before ended inside a string (all bits), and behind an open escape.
    let (mut inside, mut escape) = (0u64, 0u64);
    for step in steps.iter().chain(std::iter::once(&last)) {
        let bytes = u8x64::from_slice(simd, step);
        let escaped = escaped(bytes.simd_eq(backslash).to_bitmask(), &mut escape);
        let strings = ones_between(bytes.simd_eq(quote).to_bitmask() & !escaped) ^ inside;
        inside = 0u64.wrapping_sub(strings >> 63);
        let brackets = bytes | bit;
        let opens = brackets.simd_eq(open).to_bitmask() & !strings;
        let closes = brackets.simd_eq(close).to_bitmask() & !strings;
        if closes.count_ones() < depth {
            depth = depth + opens.count_ones() - closes.count_ones();
        } else {
            let mut both = opens | closes;
            while both != 0 {
                let lowest = both & both.wrapping_neg();
                depth = if opens & lowest != 0 { depth + 1 } else { depth.saturating_sub(1) };
                if depth == 0 {
                    return (base + lowest.trailing_zeros() as usize + 1).min(text.len());
                }
                both ^= lowest;
            }
        }
        base += STEP;
    }
    text.len()
}

/// Which bytes a backslash escapes. `escape` is 1 if the byte before the first one does, and is
/// set for the next step.
#[inline(always)]
fn escaped(backslashes: u64, escape: &mut u64) -> u64 {
    const EVEN: u64 = u64::from_ne_bytes([0x55; 8]);
    let before = *escape;
    let starts = backslashes & !before;
    let follows = starts << 1 | before;
    // A row of backslashes that begins at an odd place ends at an even one if it is whole: adding
    // carries over each row.
    let odd = starts & !EVEN & !follows;
    let (carried, over) = odd.overflowing_add(starts);
    *escape = u64::from(over);
    (EVEN ^ carried << 1) & follows
}

/// For each bit, whether an odd number of bits are set up to it.
#[inline(always)]
fn ones_between(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_what_a_look_at_each_byte_finds() {
        let mut marks = Marks::new();
        let mut random = 3u64;
        for round in 0..2000 {
            let mut record = Vec::new();
            for _ in 0..round % 300 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let byte = (random >> 56) as u8;
                record.push(match random >> 40 & 7 {
                    0 | 1 => b'"',
                    2 => b'\\',
                    3 if round % 3 == 0 => byte,
                    _ => b'a' + byte % 26,
                });
            }
            marks.look(&record);
            let quotes: Vec<u32> = (0..)
                .zip(&record)
                .filter(|(_, b)| matches!(b, b'"' | b'\\'))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(marks.quotes(), quotes, "{record:?}");
            assert_eq!(marks.ascii, record.is_ascii());
            assert_eq!(marks.plain, record.iter().all(|&byte| byte >= 0x20));
        }
        let mut long = vec![b'"'; MARKED_BYTES_MAX + 1];
        marks.look(&long);
        assert!(marks.quotes().is_empty() && marks.ascii && marks.plain);
        long[70_000 - 10_000] = 0xc3;
        long[5] = 9;
        marks.look(&long);
        assert!(!marks.ascii && !marks.plain);
        marks.look(&[b'"'; 640]);
        assert_eq!(marks.quotes(), (0..640).collect::<Vec<u32>>());
    }
}
