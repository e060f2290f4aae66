//! Which rows of a page have a value.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

use super::hybrid;

/// Rows with and without a value, in runs: a column that a record fills is mostly filled by its
/// neighbours as well.
#[derive(Debug, Default)]
pub(super) struct Valid {
    rows: usize,
    nulls: usize,
    /// Finished runs.
    runs: Vec<(bool, usize)>,
    /// Rows with a value since the last null.
    run: usize,
}

impl Valid {
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    pub(super) const fn nulls(&self) -> usize {
        self.nulls
    }

    #[inline]
    pub(super) const fn value(&mut self) {
        self.rows += 1;
        self.run += 1;
    }

    pub(super) const fn values(&mut self, count: usize) {
        self.rows += count;
        self.run += count;
    }

    pub(super) fn pad(&mut self, nulls: usize) {
        if nulls > 0 {
            if self.run > 0 {
                self.runs.push((true, std::mem::take(&mut self.run)));
            }
            self.rows += nulls;
            self.nulls += nulls;
            match self.runs.last_mut() {
                Some((false, count)) => *count += nulls,
                _ => self.runs.push((false, nulls)),
            }
        }
    }

    fn runs(&self) -> impl Iterator<Item = (bool, usize)> {
        let last = (self.run > 0).then_some((true, self.run));
        self.runs.iter().copied().chain(last)
    }

    /// Starts the next page.
    pub(super) fn clear(&mut self) {
        (self.rows, self.nulls, self.run) = (0, 0, 0);
        self.runs.clear();
    }

    /// For Arrow; nothing if every row has a value.
    pub(super) fn null_buffer(&self) -> Option<NullBuffer> {
        (self.nulls > 0).then(|| {
            let mut bits = BooleanBufferBuilder::new(self.rows);
            for (valid, count) in self.runs() {
                bits.append_n(count, valid);
            }
            NullBuffer::new(bits.finish())
        })
    }

    /// The definition levels of an optional flat column, with their length before them.
    pub(super) fn levels(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        if self.nulls == 0 || self.nulls == self.rows {
            hybrid::run(u32::from(self.nulls == 0), self.rows, 1, out);
        } else {
            let mut bits = BooleanBufferBuilder::new(self.rows);
            for (valid, count) in self.runs() {
                bits.append_n(count, valid);
            }
            hybrid::encode_bits(bits.as_slice(), self.rows, out);
        }
        put_length(out, at);
    }
}

/// Puts the length of what follows the four bytes at `at` into them.
pub(super) fn put_length(out: &mut [u8], at: usize) {
    // A page is far below 4 GiB.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}
