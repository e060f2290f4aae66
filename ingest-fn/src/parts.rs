//! Long input cut at record boundaries into parts: the units of files and streams.
//!
//! The cuts depend on the bytes alone, so the same file again gives the same units.

use std::io::Read;

use common::digest::Sha256Digest;
use common::ids::UnitId;
use common::limits::PART_BYTES_MAX;

use crate::error::IngestError;

/// One part of a stream. Its bytes are in the buffer the reader was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of the previous part's id and this part's digest.
    pub id: UnitId,
    /// SHA-256 of the part's bytes.
    pub sha256: Sha256Digest,
    /// Where the part begins in the decoded stream.
    pub offset_bytes: u64,
    /// The part begins inside a record too long for one part.
    pub continues_record: bool,
    /// The part's last record is cut off, to be continued by the next part.
    pub cut_record: bool,
}

/// Reads a stream part by part.
#[derive(Debug)]
pub struct PartReader<R> {
    reader: R,
    part_bytes_max: usize,
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

    /// Cuts into smaller parts. Part ids depend on the size, so only tests use another than the
    /// format's.
    pub fn with_part_bytes_max(reader: R, part_bytes_max: usize) -> Self {
        Self {
            reader,
            part_bytes_max: part_bytes_max.max(1),
            rest: Vec::new(),
            previous: UnitId::STREAM_START,
            offset_bytes: 0,
            inside_record: false,
            ended: false,
            failed: None,
        }
    }

    /// Replaces `buffer` by the next part's bytes. `None` at the end.
    ///
    /// When reading fails, what was read before and ends in a whole record comes first as a
    /// part; the error comes with the next call.
    ///
    /// # Errors
    /// What the reader said, with the offset.
    pub fn next_part(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Part>, IngestError> {
        buffer.clear();
        buffer.append(&mut self.rest);
        self.fill(buffer);
        let cut = match self.failed {
            None if self.ended => buffer.len(),
            // A record boundary, or the whole buffer where one record fills it.
            None => last_boundary(buffer).unwrap_or(buffer.len()),
            Some(_) => last_boundary(buffer).unwrap_or(0),
        };
        if cut == 0 {
            return match self.failed.take() {
                Some(source) => Err(IngestError::Input { offset_bytes: self.offset_bytes, source }),
                None => Ok(None),
            };
        }
        self.rest.extend_from_slice(&buffer[cut..]);
        buffer.truncate(cut);
        let sha256 = Sha256Digest::of(buffer);
        let part = Part {
            id: UnitId::of_part(self.previous, sha256),
            sha256,
            offset_bytes: self.offset_bytes,
            continues_record: self.inside_record,
            cut_record: buffer.last() != Some(&b'\n') && !self.ended,
        };
        self.previous = part.id;
        self.offset_bytes += cut as u64;
        self.inside_record = part.cut_record;
        Ok(Some(part))
    }

    /// Reads until the buffer is full, the stream ends or reading fails.
    fn fill(&mut self, buffer: &mut Vec<u8>) {
        if self.failed.is_some() {
            return;
        }
        let wanted = self.part_bytes_max.saturating_sub(buffer.len());
        buffer.reserve(wanted);
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
