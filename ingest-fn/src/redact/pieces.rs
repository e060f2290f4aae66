//! A line that a container runtime has cut in pieces: what it cut may be a credential.

use std::ops::Range;

use crate::parse::shippers::piece_of;

/// A line in pieces: where they lie in the record, and what they are together.
#[derive(Debug)]
pub(super) struct InPieces {
    places: Vec<Range<usize>>,
    pub(super) text: Vec<u8>,
}

/// Whether a record may be of several lines by a container runtime: it begins with a time, or as
/// Docker's JSON does, and has a newline in it.
pub(super) fn may_be(record: &[u8]) -> bool {
    (record.first().is_some_and(u8::is_ascii_digit) || record.starts_with(b"{\"log\""))
        && memchr::memchr(b'\n', record).is_some()
}

/// The lines of a record that are in several pieces, their end not come yet among them.
pub(super) fn lines(record: &[u8]) -> Vec<InPieces> {
    let mut open: Vec<(&[u8], InPieces)> = Vec::new();
    let mut whole = Vec::new();
    let mut start = 0;
    for line in record.split(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(piece) = piece_of(text) {
            let begun = open.iter().position(|(stream, _)| *stream == piece.stream);
            let at = begun.unwrap_or_else(|| {
                let none = InPieces { places: Vec::new(), text: Vec::new() };
                open.push((piece.stream, none));
                open.len() - 1
            });
            if let Some((_, pieces)) = open.get_mut(at) {
                pieces.text.extend_from_slice(&text[piece.content.clone()]);
                pieces.places.push(start + piece.content.start..start + piece.content.end);
            }
            if !piece.partial {
                whole.push(open.swap_remove(at).1);
            }
        }
        start += line.len() + 1;
    }
    whole.extend(open.into_iter().map(|(_, pieces)| pieces));
    whole.retain(|pieces| pieces.places.len() > 1);
    whole
}

/// The record with other texts for some of its lines in pieces. The last piece has all of the
/// text, the others none: where it was cut is where the credential was.
pub(super) fn replaced(record: &[u8], lines: &[(InPieces, Vec<u8>)]) -> Vec<u8> {
    let mut edits: Vec<(&Range<usize>, &[u8])> = Vec::new();
    for (pieces, text) in lines {
        let Some((last, others)) = pieces.places.split_last() else { continue };
        edits.extend(others.iter().map(|place| (place, &[][..])));
        edits.push((last, text));
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = Vec::with_capacity(record.len() + 64);
    let mut at = 0;
    for (place, text) in edits {
        out.extend_from_slice(&record[at..place.start]);
        out.extend_from_slice(text);
        at = place.end;
    }
    out.extend_from_slice(&record[at..]);
    out
}
