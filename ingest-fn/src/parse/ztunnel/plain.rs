//! ztunnel's plain form: `<time>\t<level>\t<scope>\t<message>\t<key=value …>`.

use std::borrow::Cow;

use super::values::unquote;
use super::verdict::{Message, What, what};
use crate::parse::time;

/// The parts of a line.
#[derive(Debug, Clone, Copy)]
pub(in crate::parse) struct Parts<'a> {
    pub(super) time: &'a [u8],
    pub(super) level: &'a [u8],
    /// The program's scope and its spans.
    pub(super) scope: &'a [u8],
    pub(super) message: &'a [u8],
    pub(super) fields: &'a [u8],
}

/// Splits a line; `None` if it is not of the form. Where the source is not configured, only
/// access and state lines are taken: other programs of Istio write the same form.
pub(super) fn split(record: &[u8], forced: bool) -> Option<Parts<'_>> {
    match by_tabs(record) {
        Some(parts) if forced => Some(parts),
        Some(parts) => parts.is_of_ztunnel().then_some(parts),
        None => by_spaces(record),
    }
}

fn by_tabs(record: &[u8]) -> Option<Parts<'_>> {
    let mut rest = record;
    let mut part = || {
        let (part, behind) = rest.split_at_checked(memchr::memchr(b'\t', rest)?)?;
        rest = behind.strip_prefix(b"\t")?;
        Some(part)
    };
    let (time, level, scope, message) = (part()?, part()?, part()?, part()?);
    Some(Parts { time, level, scope, message, fields: rest })
}

/// An access line whose tabs became spaces, as in a copy from a terminal.
fn by_spaces(record: &[u8]) -> Option<Parts<'_>> {
    let (time, rest) = word(record)?;
    let (level, rest) = word(rest)?;
    let (scope, rest) = word(rest)?;
    let (message, fields) = Message::ALL.into_iter().find_map(|(_, text)| {
        let (message, rest) = rest.split_at_checked(text.len())?;
        let ends = rest.is_empty() || rest.starts_with(b" ");
        (message == text && ends).then_some((message, rest))
    })?;
    let parts = Parts { time, level, scope, message, fields: skip_spaces(fields) };
    (scope == b"access" && parts.is_of_ztunnel()).then_some(parts)
}

/// The text up to the next space, and what follows the spaces.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = text.split_at_checked(memchr::memchr(b' ', text)?)?;
    Some((word, skip_spaces(rest)))
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

impl<'a> Parts<'a> {
    fn is_of_ztunnel(&self) -> bool {
        let (program, _) = self.scope();
        let known = match what(program, self.message) {
            What::Log => false,
            What::Access(_) => self.scope == program,
            What::State { .. } => true,
        };
        let is_level = !self.level.is_empty() && self.level.iter().all(u8::is_ascii_lowercase);
        known && is_level && time::parse_rfc3339(self.time).is_some()
    }

    /// The program's scope and the text of the spans behind it.
    pub(super) fn scope(&self) -> (&'a [u8], &'a [u8]) {
        let mut at = 0;
        // `::` belongs to the program's scope; a single colon ends it.
        while let Some(rest) = self.scope.get(at..) {
            let Some(colon) = memchr::memchr(b':', rest) else { break };
            if rest.get(colon + 1) != Some(&b':') {
                let (program, spans) = self.scope.split_at(at + colon);
                return (program, spans.get(1..).unwrap_or_default());
            }
            at += colon + 2;
        }
        (self.scope, b"")
    }
}

/// The fields of a line: `key=value`, one space between them, values bare or quoted.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// Something was no whole field, and reading stopped there.
    pub(super) broken: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { rest: text, broken: false }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let found = field(self.rest);
        let rest = found.as_ref().map_or(&b""[..], |(_, _, rest)| rest);
        // A space promises another field, even at the end: the line may be cut there.
        let more = rest.strip_prefix(b" ").filter(|more| !more.is_empty());
        self.broken = found.is_none() || (more.is_none() && !rest.is_empty());
        self.rest = more.unwrap_or_default();
        found.map(|(key, value, _)| (key, value))
    }
}

/// A key, its value, and the text behind them.
type Field<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

/// A whole field at the begin of a text: key, value, and what follows, which is nothing or a
/// space.
fn field(text: &[u8]) -> Option<Field<'_>> {
    let equals = text.iter().position(|byte| matches!(byte, b'=' | b' ' | b'"'))?;
    let (key, rest) = text.split_at_checked(equals)?;
    let value = rest.strip_prefix(b"=")?;
    if key.is_empty() {
        return None;
    }
    if value.starts_with(b"\"") {
        let (value, rest) = unquote(value)?;
        return (rest.is_empty() || rest.starts_with(b" ")).then_some((key, value, rest));
    }
    let end = memchr::memchr(b' ', value).unwrap_or(value.len());
    let (value, rest) = value.split_at_checked(end)?;
    Some((key, Cow::Borrowed(value), rest))
}
