//! Where values end. Every end lies before a quote, a separator or a backslash that stays, so
//! that what is left is as well-formed as it was.

use memchr::memchr_iter;

use super::{Kind, MARKER_START};

/// Letters of names, keys and tokens.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The level of the quote whose backslashes begin at `at`, and where the text behind it begins.
pub(super) fn open_quote(record: &[u8], at: usize) -> Option<(u32, usize)> {
    let backslashes = backslashes_from(record, at);
    let quote = at + backslashes;
    let is_quote = record.get(quote) == Some(&b'"') && (backslashes + 1).is_power_of_two();
    is_quote.then(|| ((backslashes + 1).trailing_zeros(), quote + 1))
}

/// The level of the quote that ends right before `at`, and where its backslashes begin.
pub(super) fn quote_before(record: &[u8], at: usize) -> Option<(u32, usize)> {
    let before = record.get(..at)?;
    let before = before.strip_suffix(b"\"")?;
    let backslashes = backslashes_before(before);
    let level = (backslashes + 1).trailing_zeros();
    (backslashes + 1).is_power_of_two().then_some((level, before.len() - backslashes))
}

/// Where the text of a string of some level ends, and where the text behind its quote begins;
/// `None` behind a string without an end.
pub(super) fn string_end(record: &[u8], from: usize, level: u32) -> (usize, Option<usize>) {
    let rest = record.get(from..).unwrap_or_default();
    for quote in memchr_iter(b'"', rest) {
        // Of the backslashes, each level takes half: as many as are odd in a row are of quotes.
        let found = backslashes_before(&rest[..quote]).trailing_ones();
        if found <= level {
            return (from + quote - ((1 << found) - 1), Some(from + quote + 1));
        }
    }
    (record.len(), None)
}

fn backslashes_before(text: &[u8]) -> usize {
    text.iter().rev().take_while(|&&byte| byte == b'\\').count()
}

fn backslashes_from(record: &[u8], at: usize) -> usize {
    let rest = record.get(at..).unwrap_or_default();
    rest.iter().take_while(|&&byte| byte == b'\\').count()
}

/// Behind the white space at `at`.
pub(super) fn skip_space(record: &[u8], at: usize) -> usize {
    let rest = record.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the marker at `at`, if there is one.
pub(super) fn skip_marker(record: &[u8], at: usize) -> usize {
    let rest = record.get(at..).unwrap_or_default();
    if !rest.starts_with(MARKER_START) {
        return at;
    }
    let marker = Kind::ALL.iter().map(|kind| kind.marker()).find(|all| rest.starts_with(all));
    at + marker.map_or(0, <[u8]>::len)
}

/// What else ends a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// A query parameter's: `&` and `#`.
    Query,
    /// The same, written `%26` and `%23`.
    EncodedQuery,
    /// A field's of a text line: commas, semicolons and closing brackets.
    Text,
    /// A header's of a text line: as [`Ends::Text`], but spaces and semicolons belong to it.
    Header,
}

impl Ends {
    fn at(self, byte: u8) -> bool {
        match byte {
            b'"' | b'\'' | b'`' | b'<' | b'>' => true,
            b' ' => self != Self::Header,
            0..=0x1f | 0x7f => true,
            b'&' | b'#' => matches!(self, Self::Query | Self::EncodedQuery),
            b',' | b')' | b'}' | b']' | b'|' => matches!(self, Self::Text | Self::Header),
            b';' => self == Self::Text,
            _ => false,
        }
    }
}

/// Where the value without quotes that begins at `from` ends.
pub(super) fn value_end(record: &[u8], from: usize, ends: Ends) -> usize {
    let mut at = skip_marker(record, from);
    while let Some(&byte) = record.get(at) {
        if byte == b'\\' {
            let Some(behind) = behind_escape(record, at) else { return at };
            at = behind;
        } else if ends.at(byte) || ends == Ends::EncodedQuery && is_encoded_end(record, at) {
            return at;
        } else {
            at += 1;
        }
    }
    record.len()
}

/// Behind the backslashes at `at` and what they escape; `None` if that ends a value.
fn behind_escape(record: &[u8], at: usize) -> Option<usize> {
    let backslashes = backslashes_from(record, at);
    let behind = at + backslashes;
    match *record.get(behind)? {
        b'"' | b'n' | b'r' | b't' => None,
        b'u' => {
            let code = record.get(behind + 1..behind + 5)?;
            let end = [&b"0026"[..], b"003c", b"003e", b"0022", b"0027", b"0020", b"000a"];
            (!end.iter().any(|known| known.eq_ignore_ascii_case(code))).then_some(behind + 5)
        }
        // An odd backslash escapes what follows; pairs are backslashes themselves.
        byte => Some(behind + (backslashes & usize::from(byte.is_ascii()))),
    }
}

fn is_encoded_end(record: &[u8], at: usize) -> bool {
    let Some(mut rest) = record.get(at..).and_then(|rest| rest.strip_prefix(b"%")) else {
        return false;
    };
    while let Some(inner) = rest.strip_prefix(b"25") {
        rest = inner;
    }
    rest.starts_with(b"26") || rest.starts_with(b"23")
}

/// Whether a value hides nothing: none, a marker, or masked by who wrote it; or an identifier of
/// an AWS access key.
pub(super) fn is_spared(value: &[u8]) -> bool {
    const MASKED: &[&str] = &["", "-", "null", "none", "nil", "redacted", "masked"];
    let bare = value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let bare = bare.or_else(|| value.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")));
    let bare = bare.unwrap_or(value);
    let is_key_id = value.len() == 20 && (value.starts_with(b"AKIA") || value.starts_with(b"ASIA"));
    let is_marker = value.starts_with(MARKER_START) && skip_marker(value, 0) == value.len();
    MASKED.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(bare))
        || value.iter().all(|&byte| byte == b'*')
        || is_key_id && value.iter().all(u8::is_ascii_alphanumeric)
        || is_marker
}

/// The bytes a percent-encoded text stands for, encoded once or twice.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    for _ in 0..2 {
        let (mut from, mut to) = (0, 0);
        while let Some(&byte) = out.get(from) {
            let digits = out.get(from + 1..from + 3).filter(|_| byte == b'%');
            let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            from += if code.is_some() { 3 } else { 1 };
            out[to] = code.unwrap_or(byte);
            to += 1;
        }
        out.truncate(to);
    }
    out
}
