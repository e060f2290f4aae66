//! The places of a line that differ from one event to the next, and what may stand in them.
//!
//! What stands in a hole is of a narrow sort that no parser looks into: whether a line is read,
//! and how, does not depend on which port, count, id or path it is. Texts of which that is not
//! sure, as a zero or a port with a meaning, are no holes.

use crate::parse::time::parse_rfc3339;
use crate::parse::ztunnel::values::is_ipv4;

/// What may stand in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// An RFC 3339 time, up to its zone.
    Time,
    /// A port that callers are given: services have lower ones.
    Port,
    /// A count from 1, of nine digits at most.
    Count,
    /// Digits, a point, digits.
    Decimal,
    /// A UUID in lower case.
    Uuid,
    /// An IPv4 address in its one spelling.
    Address,
    /// A path from its slash on, without anything that is quoted, escaped or split.
    Path,
    /// What follows the question mark.
    Query,
    /// The name of a workload.
    Name,
    /// Any text between quotes that neither is empty nor has a backslash.
    Text,
}

/// The lowest port that Linux gives to callers.
const PORT_MIN: i64 = 32_768;

/// Digits of the longest count: it has room for a larger unit.
const COUNT_DIGITS_MAX: usize = 9;

/// A hole in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) class: Class,
    /// The number that stands there, or the time in microseconds; 0 for texts.
    pub(super) value: i64,
}

impl Hole {
    /// A hole of a class that begins at `start`, as far as it goes; `None` if there is none.
    #[inline]
    pub(super) fn at(line: &[u8], start: usize, class: Class) -> Option<Self> {
        let rest = line.get(start..)?;
        let (length, value) = match class {
            Class::Time => time(rest)?,
            Class::Port => port(rest)?,
            Class::Count => count(rest)?,
            Class::Decimal => decimal(rest)?,
            Class::Uuid => uuid(rest)?,
            Class::Address => address(rest)?,
            Class::Path => path(rest)?,
            Class::Query => query(rest)?,
            Class::Name => name(rest)?,
            Class::Text => quoted(rest)?,
        };
        Some(Self { start, end: start + length, class, value })
    }

    /// What lines must have in common of a hole, beside that it is there.
    pub(super) fn form(&self) -> u8 {
        const CLASSES: u8 = 16;
        let length = match self.class {
            Class::Time => self.end - self.start,
            _ => 0,
        };
        // A time has 29 bytes at most.
        self.class as u8 + CLASSES * u8::try_from(length.saturating_sub(19)).unwrap_or_default()
    }

    /// What stands in it.
    pub(super) fn text<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start..self.end).unwrap_or_default()
    }

    /// A text of the same class and form, which tells by its look where it comes from: the hole
    /// number `index`. With another `attempt` it is another one.
    pub(super) fn mark(&self, index: usize, attempt: usize) -> Vec<u8> {
        match self.class {
            Class::Time => {
                let head = format!("2003-04-05T{:02}:{attempt:02}:{:02}", index % 24, 11 + attempt);
                let fraction = b".739517286".iter().take(self.end - self.start - head.len());
                head.bytes().chain(fraction.copied()).collect()
            }
            Class::Port => {
                let number = (4_321 + index * 1_009 + attempt * 7_919) % 32_768;
                format!("{}", 32_768 + number).into()
            }
            Class::Count => format!("{}", 731_905_127 + index * 1_000_003 + attempt * 97).into(),
            Class::Decimal => format!("8{attempt}3{index}.9174{index}").into(),
            Class::Uuid => {
                format!("7e11{attempt:02x}{index:02x}-0d1c-4b2a-8394-5e6f70818293").into()
            }
            Class::Address => format!("192.0.{}.{}", 11 + index * 7 + attempt, 101 + index).into(),
            Class::Path => format!("/qzx{attempt}w{index}").into(),
            Class::Query => format!("qzy{attempt}w{index}").into(),
            Class::Name => format!("qzn{attempt}w{index}").into(),
            Class::Text => format!("qzt{attempt}w{index}").into(),
        }
    }
}

/// A time and the zone behind it, which is no part of the hole.
fn time(text: &[u8]) -> Option<(usize, i64)> {
    let head = text.get(..20)?;
    let mut end = 19;
    if head[19] == b'.' {
        end = 20 + text.get(20..30)?.iter().position(|byte| !byte.is_ascii_digit())?;
    }
    let zone = match text.get(end)? {
        b'Z' => 1,
        b'+' | b'-' => 6,
        _ => return None,
    };
    // Second 60 is another minute when it is printed again.
    let is_usual = head[10] == b'T' && head[17] != b'6' && end != 20;
    let micros = parse_rfc3339(text.get(..end + zone)?)?;
    is_usual.then_some((end, micros))
}

fn digits(text: &[u8], max: usize) -> Option<(usize, i64)> {
    let (mut length, mut value) = (0, 0);
    for byte in text.iter().take(max + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + i64::from(digit);
        length += 1;
    }
    (length > 0 && length <= max).then_some((length, value))
}

fn port(text: &[u8]) -> Option<(usize, i64)> {
    digits(text, 5).filter(|&(_, value)| (PORT_MIN..=65_535).contains(&value))
}

fn count(text: &[u8]) -> Option<(usize, i64)> {
    digits(text, COUNT_DIGITS_MAX).filter(|_| text.first() != Some(&b'0'))
}

fn decimal(text: &[u8]) -> Option<(usize, i64)> {
    let (whole, _) = digits(text, COUNT_DIGITS_MAX)?;
    let (fraction, _) = digits(text.get(whole..)?.strip_prefix(b".")?, COUNT_DIGITS_MAX)?;
    Some((whole + 1 + fraction, 0))
}

fn uuid(text: &[u8]) -> Option<(usize, i64)> {
    const BYTES: usize = 36;
    let text = text.first_chunk::<BYTES>()?;
    let is_right = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.iter().enumerate().all(is_right).then_some((BYTES, 0))
}

fn address(text: &[u8]) -> Option<(usize, i64)> {
    let is_of_it = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let near = text.get(..16).unwrap_or(text);
    let length = near.iter().position(|byte| !is_of_it(byte)).unwrap_or(near.len());
    is_ipv4(text.get(..length)?).then_some((length, 0))
}

fn path(text: &[u8]) -> Option<(usize, i64)> {
    let length = run(text, OF_PATH);
    let begins = text.first() == Some(&b'/') && text.get(1) != Some(&b'/');
    let ends = matches!(text.get(length), Some(b'?' | b' ' | b'"'));
    (begins && ends && length <= TEXT_BYTES_MAX).then_some((length, 0))
}

fn query(text: &[u8]) -> Option<(usize, i64)> {
    let length = run(text, OF_PATH | OF_QUERY);
    let ends = matches!(text.get(length), Some(b' ' | b'"'));
    (length > 0 && ends && length <= TEXT_BYTES_MAX).then_some((length, 0))
}

fn name(text: &[u8]) -> Option<(usize, i64)> {
    let is_of_it = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let length = text.iter().position(|byte| !is_of_it(byte))?;
    // A dash alone is no name.
    let begins = text.first() != Some(&b'-');
    (begins && length > 0 && length <= TEXT_BYTES_MAX).then_some((length, 0))
}

fn quoted(text: &[u8]) -> Option<(usize, i64)> {
    let near = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
    let length = memchr::memchr2(b'"', b'\\', near)?;
    let ends = near.get(length) == Some(&b'"');
    let text = near.get(..length)?;
    // In one go over all bytes, which is faster than to stop at the first one.
    let is_plain = text.iter().fold(u8::MAX, |least, &byte| least.min(byte)) >= 0x20;
    let is_some = length > 0 && text.first() != Some(&b'-');
    (is_some && is_plain && ends).then_some((length, 0))
}

/// Longest text in a hole.
const TEXT_BYTES_MAX: usize = 1024;

const OF_PATH: u8 = 1;
const OF_QUERY: u8 = 2;

/// What a byte may be part of.
static PARTS: [u8; 256] = {
    let (mut parts, mut byte) = ([0; 256], 0);
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let letter = byte as u8;
        if letter.is_ascii_alphanumeric() || matches!(letter, b'/' | b'.' | b'-' | b'_' | b'~') {
            parts[byte] = OF_PATH;
        } else if matches!(letter, b'=' | b'&' | b'%' | b'+' | b',') {
            parts[byte] = OF_QUERY;
        }
        byte += 1;
    }
    parts
};

/// How many bytes at the begin are of such a part.
#[inline]
fn run(text: &[u8], part: u8) -> usize {
    let ends = |byte: &u8| PARTS[usize::from(*byte)] & part == 0;
    text.iter().position(ends).unwrap_or(text.len())
}
