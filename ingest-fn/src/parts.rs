//! Long input cut at record boundaries into parts: the units of files and streams.
//!
//! The cuts depend on the bytes alone, so the same file again gives the same units.

use std::io::Read;
use std::ops::Range;

use common::digest::Sha256Digest;
use common::ids::UnitId;
use common::limits::{DELIVERY_PARTS_MAX, PART_BYTES_MAX};

use crate::error::IngestError;
use crate::pipeline::UnitBytes;

/// One part of a stream. Its bytes are in the buffer the reader was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of the previous part's id and this part's digest.
    pub id: UnitId,
    /// SHA-256 of the part's bytes.
    pub sha256: Sha256Digest,
    /// Where its bytes lie in the buffer.
    pub range: Range<usize>,
    /// Where the part begins in the decoded stream.
    pub offset_bytes: u64,
    /// The part begins inside a record too long for one part.
    pub continues_record: bool,
    /// The part's last record is cut off, to be continued by the next part.
    pub cut_record: bool,
}

impl Part {
    /// The part as a unit of a delivery; `buffer` is what the reader filled with it.
    pub fn unit<'a>(&self, buffer: &'a [u8]) -> UnitBytes<'a> {
        UnitBytes {
            bytes: &buffer[self.range.clone()],
            sha256: self.sha256,
            offset_bytes: self.offset_bytes,
            continues_record: self.continues_record,
            cut_record: self.cut_record,
        }
    }
}

/// Reads a stream, some parts at a time.
#[derive(Debug)]
pub struct PartReader<R> {
    reader: R,
    part_bytes_max: usize,
    parts_max: usize,
    /// Bytes read beyond the last cut.
    rest: Vec<u8>,
    previous: UnitId,
    offset_bytes: u64,
    inside_record: bool,
    ended: bool,
    /// Why reading failed; it is not tried again, since a decoder asked after an error may pretend
    /// that the stream had ended well.
    failed: Option<std::io::Error>,
}

impl<R: Read> PartReader<R> {
    /// Cuts `reader` into parts of at most [`PART_BYTES_MAX`].
    pub fn new(reader: R) -> Self {
        Self::with_part_bytes_max(reader, PART_BYTES_MAX)
    }

    /// The same, whose first part follows `previous`, so that its parts are another's.
    #[must_use]
    pub fn following(mut self, previous: UnitId) -> Self {
        self.previous = previous;
        self
    }

    /// The same, which reads at most so many parts at a time; they are the same parts.
    #[must_use]
    pub fn at_most(mut self, parts: usize) -> Self {
        self.parts_max = parts.clamp(1, DELIVERY_PARTS_MAX);
        self
    }

    /// All that is left, uncut: what is no lines has no boundaries.
    ///
    /// # Errors
    /// What the reader said; or, with the message given, that there are more than `bytes_max`.
    pub fn read_whole(
        &mut self,
        bytes_max: usize,
        too_long: &'static str,
    ) -> Result<Vec<u8>, IngestError> {
        let offset_bytes = self.offset_bytes;
        let failed = |source| IngestError::Input { offset_bytes, source };
        let mut bytes = std::mem::take(&mut self.rest);
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        self.reader.by_ref().take(limit).read_to_end(&mut bytes).map_err(failed)?;
        self.ended = true;
        if bytes.len() > bytes_max {
            return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, too_long)));
        }
        Ok(bytes)
    }

    /// Whether the last part was handed over.
    pub fn is_at_end(&self) -> bool {
        self.ended && self.rest.is_empty() && self.failed.is_none()
    }

    /// Cuts into smaller parts. Part ids depend on the size, so only tests use another than the
    /// format's.
    pub fn with_part_bytes_max(reader: R, part_bytes_max: usize) -> Self {
        Self {
            reader,
            part_bytes_max: part_bytes_max.max(1),
            parts_max: DELIVERY_PARTS_MAX,
            rest: Vec::new(),
            previous: UnitId::STREAM_START,
            offset_bytes: 0,
            inside_record: false,
            ended: false,
            failed: None,
        }
    }

    /// Replaces `buffer` by the bytes of the next parts, at most [`DELIVERY_PARTS_MAX`] of them;
    /// they are hashed side by side. None at the end.
    ///
    /// When reading fails, what was read before and ends in a whole record comes first, as
    /// parts; the error comes with the next call.
    ///
    /// # Errors
    /// What the reader said, with the offset.
    pub fn next_parts(&mut self, buffer: &mut Vec<u8>) -> Result<Vec<Part>, IngestError> {
        buffer.clear();
        buffer.append(&mut self.rest);
        self.fill(buffer);
        let mut ranges = Vec::new();
        let mut cut = 0;
        while ranges.len() < self.parts_max {
            let length = self.part_length(&buffer[cut..]);
            if length == 0 {
                break;
            }
            ranges.push(cut..cut + length);
            cut += length;
        }
        if ranges.is_empty()
            && let Some(source) = self.failed.take()
        {
            return Err(IngestError::Input { offset_bytes: self.offset_bytes, source });
        }
        self.rest.extend_from_slice(&buffer[cut..]);
        buffer.truncate(cut);
        let bytes: Vec<&[u8]> = ranges.iter().map(|range| &buffer[range.clone()]).collect();
        let digests = Sha256Digest::of_many(&bytes);
        let last = ranges.len().saturating_sub(1);
        let parts = ranges.into_iter().zip(digests).enumerate();
        Ok(parts
            .map(|(number, (range, sha256))| {
                let stream_ends = self.ended && self.rest.is_empty() && number == last;
                self.part(range, sha256, buffer, stream_ends)
            })
            .collect())
    }

    /// How long the part at the begin of `bytes` is; 0 if it can not be cut yet, or not at all.
    fn part_length(&self, bytes: &[u8]) -> usize {
        if let Some(window) = bytes.get(..self.part_bytes_max) {
            // A record boundary, or the whole window where one record fills it.
            return last_boundary(window).unwrap_or(window.len());
        }
        if self.failed.is_some() {
            last_boundary(bytes).unwrap_or(0)
        } else if self.ended {
            bytes.len()
        } else {
            0
        }
    }

    fn part(
        &mut self,
        range: Range<usize>,
        sha256: Sha256Digest,
        buffer: &[u8],
        stream_ends: bool,
    ) -> Part {
        let length = range.len() as u64;
        let ends_in_newline = buffer[range.clone()].last() == Some(&b'\n');
        let part = Part {
            id: UnitId::of_part(self.previous, sha256),
            sha256,
            range,
            offset_bytes: self.offset_bytes,
            continues_record: self.inside_record,
            cut_record: !ends_in_newline && !stream_ends,
        };
        self.previous = part.id;
        self.offset_bytes += length;
        self.inside_record = part.cut_record;
        part
    }

    /// Reads until the buffer is full, the stream ends or reading fails.
    fn fill(&mut self, buffer: &mut Vec<u8>) {
        if self.failed.is_some() {
            return;
        }
        // A byte more than is cut, so that an end right behind the last part is seen as one.
        let bytes_max = self.part_bytes_max.saturating_mul(self.parts_max).saturating_add(1);
        let wanted = bytes_max.saturating_sub(buffer.len());
        buffer.reserve_exact(wanted);
        // Keeps what was read before an error.
        match self.reader.by_ref().take(wanted as u64).read_to_end(buffer) {
            Ok(read) => self.ended |= read < wanted,
            Err(e) => self.failed = Some(e),
        }
    }
}

/// Length up to and with the last newline.
fn last_boundary(bytes: &[u8]) -> Option<usize> {
    memchr::memrchr(b'\n', bytes).map(|at| at + 1)
}

#[cfg(test)]
mod tests;
