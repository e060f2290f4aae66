//! Paths of requests with their variable parts taken out.

use std::borrow::Cow;

use super::scalar::{Body, Definition, Kind, Takes};

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[Definition {
    name: "path_template",
    takes: Takes::Exactly(&[("path", Kind::Text)]),
    body: Body::Text(|row| Some(path_template(row.text(0)?))),
    says: "A path without query, with {} for each segment that is an id: a number, date, numbered name, UUID, hex id, long token or e-mail address",
    rewrite: None,
}];

fn path_template(path: &str) -> Cow<'_, str> {
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    let is_short = path.split('/').nth(SEGMENTS_MAX).is_none();
    if is_short && !path.split('/').any(|segment| template(segment).is_some()) {
        return Cow::Borrowed(path);
    }
    let mut text = String::with_capacity(path.len());
    for (i, segment) in path.split('/').take(SEGMENTS_MAX).enumerate() {
        if i > 0 {
            text.push('/');
        }
        match template(segment) {
            Some(suffix) => {
                text.push_str("{}");
                text.push_str(suffix);
            }
            None => text.push_str(segment),
        }
    }
    if !is_short {
        text.push_str("/...");
    }
    Cow::Owned(text)
}

/// What stays behind the `{}` of a segment with an id in it; `None` if the segment stays whole.
fn template(segment: &str) -> Option<&str> {
    if is_id(segment) || is_address(segment) {
        return Some("");
    }
    // `8812.json`, `8812:cancel`: the kind of file, and the verb, are no part of the id.
    let cut = segment.rfind(['.', ':'])?;
    let (stem, suffix) = segment.split_at(cut);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    (is_word(&suffix[1..]) && is_id(stem)).then_some(suffix)
}

fn is_id(text: &str) -> bool {
    is_number(text) || is_slug(text) || is_uuid(text) || is_hex(text) || is_token(text)
}

/// Digits, with signs between them: numbers, dates, times, addresses. With eight digits or more
/// also the letters of `2026-11-02T10:00:00Z`.
fn is_number(text: &str) -> bool {
    let digits = count(text, |byte| byte.is_ascii_digit());
    let is_sign = |byte: u8| matches!(byte, b'-' | b'+' | b'.' | b',' | b':' | b'_');
    let is_time = |byte: u8| digits >= TIME_DIGITS_MIN && matches!(byte, b'T' | b'Z');
    let fits = |byte: u8| byte.is_ascii_digit() || is_sign(byte) || is_time(byte);
    digits > 0 && !text.starts_with(['T', 'Z']) && text.bytes().all(fits)
}

/// A name with the number of what it names: `cast-iron-pan-4871`.
fn is_slug(text: &str) -> bool {
    let number = text.rsplit_once(['-', '_']).map_or("", |(_, number)| number);
    number.len() >= SLUG_DIGITS_MIN && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    let is_dash = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    let fits = |(i, byte): (usize, u8)| {
        if is_dash(i) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// Hex digits that are no word: there are words of eight such letters, and none of sixteen.
fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let has_number = count(digits, |byte| byte.is_ascii_digit()) > 0;
    let bytes_min = if has_number { HEX_BYTES_MIN } else { TOKEN_BYTES_MIN };
    digits.len() >= bytes_min && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A run of letters and digits that is long and has digits among its letters. Words that are
/// joined by dashes are runs of their own.
fn is_token(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = count(run, |byte| byte.is_ascii_digit());
        run.len() >= TOKEN_BYTES_MIN && digits >= TOKEN_DIGITS_MIN && digits < run.len()
    })
}

/// An e-mail address or a user of a domain; `@scope` is the name of a package.
fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty())
}

fn count(text: &str, test: impl Fn(u8) -> bool) -> usize {
    text.bytes().filter(|byte| test(*byte)).count()
}

/// Segments that are kept; what comes behind says no more about what was called.
const SEGMENTS_MAX: usize = 64;

/// Digits of a date.
const TIME_DIGITS_MIN: usize = 8;

/// Fewer digits are a version, a region or a step: `us-east-1`.
const SLUG_DIGITS_MIN: usize = 3;

/// Shortest hex id, as of a commit or a span: shorter ones are words too often.
const HEX_BYTES_MIN: usize = 8;

/// Shortest token: 80 bits in base32.
const TOKEN_BYTES_MIN: usize = 16;

/// A name may end in a version; tokens have more digits than one.
const TOKEN_DIGITS_MIN: usize = 2;
