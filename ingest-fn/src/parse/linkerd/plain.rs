//! The plain form of the proxy log:
//! `[<uptime>s] <LEVEL> ThreadId(<n>) <spans>: <target>: <message> <key=value …>`.
//!
//! Most values stand there as they are, spaces and all, so a field ends where the next known one
//! begins.

use std::borrow::Cow;

use super::keys::field as k;
use crate::parse::ztunnel::values::{outside, unquote};

/// The parts of a line. What is not there is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::parse) struct Parts<'a> {
    /// Seconds since the proxy began, with their unit: no time of day.
    pub(super) uptime: &'a [u8],
    pub(super) level: &'a [u8],
    pub(super) thread: &'a [u8],
    pub(super) spans: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) message: &'a [u8],
    pub(super) fields: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a line; `None` if it does not begin with an uptime.
    pub(super) fn split(record: &'a [u8]) -> Option<Self> {
        let (uptime, rest) = uptime(record)?;
        let (level, rest) = match word(rest) {
            (level @ (b"TRACE" | b"DEBUG" | b"INFO" | b"WARN" | b"ERROR"), rest) => (level, rest),
            _ => (&b""[..], rest),
        };
        let (thread, rest) = match word(rest) {
            (thread, rest) if thread.starts_with(b"ThreadId(") => (thread, rest),
            _ => (&b""[..], rest),
        };
        let rest = rest.trim_ascii_start();
        let (spans, target, text) = target(rest).unwrap_or((b"", b"", rest));
        let begin = first_field(text);
        let (message, fields) = text.split_at_checked(begin)?;
        let fields = fields.strip_prefix(b" ").unwrap_or(fields);
        let message = message.trim_ascii();
        Some(Self { uptime, level, thread, spans, target, message, fields })
    }
}

/// Reads `[<seconds>s]`; gives the seconds with their unit, and what follows the bracket.
pub(super) fn uptime(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = record.strip_prefix(b"[")?;
    let (uptime, rest) = inside.split_at_checked(memchr::memchr(b']', inside)?)?;
    let uptime = uptime.trim_ascii_start();
    let seconds = uptime.strip_suffix(b"s")?;
    let (whole, fraction) = seconds.split_at_checked(memchr::memchr(b'.', seconds)?)?;
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_uptime = are_digits(whole) && are_digits(fraction.strip_prefix(b".")?);
    is_uptime.then_some((uptime, rest.strip_prefix(b"]")?))
}

/// The first word after spaces, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    text.split_at(memchr::memchr(b' ', text).unwrap_or(text.len()))
}

/// Splits at the target, the first word that begins `linkerd` and ends in a colon and a space.
fn target(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut at = 0;
    for word in text.split(|&byte| byte == b' ') {
        let end = at + word.len();
        let is_last = end == text.len();
        if let Some(target) = word.strip_suffix(b":").filter(|_| !is_last)
            && target.starts_with(b"linkerd")
        {
            let spans = text.get(..at)?;
            return Some((spans.strip_suffix(b": ").unwrap_or(spans), target, text.get(end..)?));
        }
        at = end + 1;
    }
    None
}

/// Where the space before the first known field is; the length if there is none.
fn first_field(text: &[u8]) -> usize {
    memchr::memchr_iter(b' ', text)
        .find(|&at| text.get(at + 1..).is_some_and(|rest| known_key(rest).is_some()))
        .unwrap_or(text.len())
}

/// No known key is longer.
const KEY_BYTES_MAX: usize = 16;

/// By the length of a key and the lowest bits of its first byte, which known keys it may be, as
/// bits. Most words are no keys, which this tells.
static KEYS: [[u32; 32]; KEY_BYTES_MAX + 1] = {
    let (mut keys, mut key) = ([[0; 32]; KEY_BYTES_MAX + 1], 0);
    while key < k::COUNT {
        let name = k::NAMES[key].as_bytes();
        keys[name.len()][(name[0] & 31) as usize] |= 1 << key;
        key += 1;
    }
    keys
};

/// The known key that a text begins with, before an equals sign, and the value behind it.
fn known_key(text: &[u8]) -> Option<(usize, &[u8])> {
    let near = text.get(..KEY_BYTES_MAX + 1).unwrap_or(text);
    let end = near.iter().position(|byte| matches!(byte, b'=' | b' '))?;
    let (key, rest) = text.split_at_checked(end)?;
    let mut maybe = KEYS.get(end)?[usize::from(key.first()? & 31)];
    if !rest.starts_with(b"=") {
        return None;
    }
    let number = loop {
        let number = maybe.trailing_zeros() as usize;
        // None has the number 32.
        if common::bytes::same(k::NAMES.get(number)?.as_bytes(), key) {
            break number;
        }
        maybe &= maybe.wrapping_sub(1);
    };
    Some((number, text.get(key.len() + 1..)?))
}

/// The fields of a line, by their numbers.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// A quoted value did not end.
    pub(super) broken: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { rest: text, broken: false }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (usize, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, text) = known_key(self.rest)?;
        let next =
            |rest: &[u8]| rest.strip_prefix(b" ").is_some_and(|rest| known_key(rest).is_some());
        let (value, rest) = text.split_at_checked(outside(text, b' ', next))?;
        self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
        if !value.starts_with(b"\"") {
            return Some((key, Cow::Borrowed(value)));
        }
        // What follows the closing quote is a field unknown here; `raw` has it.
        let unquoted = unquote(value).map(|(value, _)| value);
        self.broken |= unquoted.is_none();
        Some((key, unquoted.unwrap_or(Cow::Borrowed(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_before_the_next_known_key_outside_quotes_and_brackets() {
        let line = b"[  1.5s]  INFO ThreadId(01) inbound:x{a=b c=d}: linkerd_y: It failed error=a: b=c [ d path=1] client.ip=::1 path=\"/x client.ip=2\" new=3";
        let parts = Parts::split(line).unwrap();
        assert_eq!(parts.uptime, b"1.5s");
        assert_eq!((parts.level, parts.thread), (&b"INFO"[..], &b"ThreadId(01)"[..]));
        assert_eq!((parts.spans, parts.target), (&b"inbound:x{a=b c=d}"[..], &b"linkerd_y"[..]));
        assert_eq!(parts.message, b"It failed");
        let fields: Vec<_> = Fields::of(parts.fields).collect();
        let expected: [(usize, &[u8]); 3] = [
            (k::ERROR, b"a: b=c [ d path=1]"),
            (k::CLIENT_IP, b"::1"),
            (k::PATH, b"/x client.ip=2"),
        ];
        assert_eq!(fields, expected.map(|(key, value)| (key, Cow::Borrowed(value))));
    }

    #[test]
    fn known_keys_are_short_enough_to_be_found() {
        for name in k::NAMES.iter().take(k::COUNT) {
            assert!(known_key(format!("{name}=").as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn only_an_uptime_begins_a_line() {
        for other in ["", "[", "[]", "[1s]", "[1.s]", "[.5s]", "[2026-11-02T10:15:31Z]", "x[1.5s]"]
        {
            assert!(Parts::split(other.as_bytes()).is_none(), "{other}");
        }
        let bare = Parts::split(b"[1.5s] hickory_proto: no records").unwrap();
        assert_eq!(bare.message, b"hickory_proto: no records");
    }
}
