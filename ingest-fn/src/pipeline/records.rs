//! The records of a unit: where each begins and ends.

use common::limits::RECORD_BYTES_MAX;

use super::UnitBytes;
use crate::parse::SourceFormat;
use crate::parse::shippers::record_length;

/// UTF-8's byte order mark, which some tools put before text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// A record's line as it stood, with what parsers are spared: a byte order mark before it and a
/// carriage return behind it. Quarantine keeps every byte but the newline.
pub(super) fn whole_line<'a>(
    unit: &UnitBytes<'a>,
    offset: usize,
    length: usize,
) -> (usize, &'a [u8]) {
    let marked = unit.offset_bytes == 0
        && offset == BYTE_ORDER_MARK.len()
        && unit.bytes.starts_with(BYTE_ORDER_MARK);
    let start = if marked { 0 } else { offset };
    let end = offset + length;
    let end = end + usize::from(unit.bytes.get(end) == Some(&b'\r'));
    (start, &unit.bytes[start..end])
}

/// Whether a line may be the first piece of one that a container runtime has split: it begins as
/// Docker's JSON does, or a tag that is not `F` stands behind a time and a stream. Others are
/// spared the closer look.
fn may_be_split(text: &[u8]) -> bool {
    /// A time has 35 bytes at most.
    const TIME_BYTES: usize = 64;
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return text.starts_with(b"{\"log\"");
    }
    let near = text.get(..TIME_BYTES).unwrap_or(text);
    let stream = near.iter().position(|&byte| byte == b' ').and_then(|at| text.get(at + 1..));
    stream.is_some_and(|rest| {
        let is_stream = rest.starts_with(b"stdout ") || rest.starts_with(b"stderr ");
        is_stream && rest.get(b"stdout ".len()) != Some(&b'F')
    })
}

/// The records of a unit: offset, bytes without the line end, and whether it is a whole record.
/// Empty lines are no records.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    first_is_rest: bool,
    last_is_cut: bool,
}

impl<'a> Records<'a> {
    /// A unit of protobuf is one record; every other is lines.
    pub(super) fn of(
        unit: &UnitBytes<'a>,
        format: SourceFormat,
    ) -> impl Iterator<Item = (usize, &'a [u8], bool)> {
        let binary = format == SourceFormat::OtlpProtobuf;
        let whole = !unit.continues_record && !unit.cut_record;
        let one = (binary && !unit.bytes.is_empty()).then_some((0, unit.bytes, whole));
        let lines = (!binary).then(|| Self::new(unit));
        one.into_iter().chain(lines.into_iter().flatten())
    }

    fn new(unit: &UnitBytes<'a>) -> Self {
        // A byte order mark at the begin of a stream is no part of its first record.
        let has_mark = unit.offset_bytes == 0 && unit.bytes.starts_with(BYTE_ORDER_MARK);
        Self {
            bytes: unit.bytes,
            at: if has_mark { BYTE_ORDER_MARK.len() } else { 0 },
            first_is_rest: unit.continues_record,
            last_is_cut: unit.cut_record,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, &'a [u8], bool);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let rest = &self.bytes[start..];
            let newline = memchr::memchr(b'\n', rest);
            let mut end = newline.unwrap_or(rest.len());
            let mut newline = usize::from(newline.is_some());
            if may_be_split(rest) {
                // All the pieces of a line that a container runtime has split.
                let pieces = &rest[..rest.len().min(RECORD_BYTES_MAX)];
                let length = record_length(pieces);
                if length > end {
                    end = length;
                    newline = usize::from(rest.get(end) == Some(&b'\n'));
                }
            }
            self.at = start + end + newline;
            let is_rest = std::mem::take(&mut self.first_is_rest);
            let is_cut = newline == 0 && self.last_is_cut;
            let mut record = &rest[..end];
            if !is_cut && record.last() == Some(&b'\r') {
                record = &record[..end - 1];
            }
            if is_rest || is_cut {
                if !record.is_empty() {
                    return Some((start, record, false));
                }
            } else if !record.iter().all(u8::is_ascii_whitespace) {
                return Some((start, record, true));
            }
        }
        None
    }
}
