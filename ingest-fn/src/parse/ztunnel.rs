//! ztunnel, the proxy of Istio's ambient mode: its log, as JSON and in the plain form.
//!
//! Access lines are one a connection, state lines one a verdict of a policy; every other line is
//! kept as a log line. The format is unstable by its makers' word, so everything is read by key.
//! Source: istio/ztunnel, as collected in the format reference, section 3; the rules are those of
//! `tests/data/ztunnel/README.md`.

mod fill;
mod keys;
mod plain;
#[cfg(test)]
pub(in crate::parse) mod tests;
pub(in crate::parse) mod values;
mod verdict;

use std::borrow::Cow;

use super::event::{Context, Events};
use super::istio::Direction;
use super::json::{Kind, Scanner, Slot};
use super::{leftovers, time};
use crate::reject::{Reason, Reject};
use fill::{Line, Span};
use keys as k;
pub(in crate::parse) use plain::Parts;
use values::{Attributes, Doubt, Spans, is_absent, span_field, text, text_or_number};

/// Text of column `source_format` for JSON lines.
pub const SOURCE_FORMAT_JSON: &str = "ztunnel_json";

/// Text of column `source_format` for plain lines.
pub const SOURCE_FORMAT_TEXT: &str = "ztunnel_text";

/// The keys of a JSON line, and the columns that hold values of access lines: what it takes to
/// rebuild one.
pub(crate) const HELD: (&[&str], &[leftovers::Direct]) = (k::NAMES, fill::ACCESS);

/// Parses ztunnel's lines, one at a time.
#[derive(Debug)]
pub struct ZtunnelParser {
    scanner: Scanner,
    span: Scanner,
    attributes: Attributes,
}

impl Default for ZtunnelParser {
    fn default() -> Self {
        Self::new()
    }
}

impl ZtunnelParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(k::NAMES),
            span: Scanner::new(k::span::NAMES),
            attributes: Attributes::default(),
        }
    }

    /// Whether a record looks like a line of ztunnel, of either form. Records it says no to may
    /// still be taken where the source is configured.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        if values::is_json(record) { self.detects_json(record) } else { Self::detects_text(record) }
    }

    /// Whether a JSON record looks like a line of ztunnel.
    pub fn detects_json(&mut self, record: &[u8]) -> bool {
        values::may_have_key(record, b"\"scope\"")
            && self.scanner.scan(record, false).is_ok()
            && self.is_of_ztunnel(record, false)
    }

    /// The scanner of JSON records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    /// As [`Self::detects_json`], of the record scanned last.
    pub(in crate::parse) fn detects_scanned(&self, record: &[u8]) -> bool {
        self.is_of_ztunnel(record, false)
    }

    /// Whether a line of text is an access or state line in the plain form.
    pub fn detects_text(record: &[u8]) -> bool {
        Self::split_text(record).is_some()
    }

    /// The parts of a line of text, if [`Self::detects_text`].
    pub(in crate::parse) fn split_text(record: &[u8]) -> Option<Parts<'_>> {
        plain::split(record, false)
    }

    /// Appends the record's one event to `events`.
    ///
    /// # Errors
    /// A reject, if the record is no line of ztunnel or has no time. Nothing is appended then.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if values::is_json(record) {
            self.parse_json(record, context, events)
        } else {
            self.parse_text(record, context, events)
        }
    }

    /// Whether the record scanned last has the keys of a log line, and unless the source is
    /// configured a scope that no other program of Istio writes.
    fn is_of_ztunnel(&self, record: &[u8], forced: bool) -> bool {
        let is_text = |slot: Slot| match slot.kind {
            Kind::Text => !is_absent(slot.bytes(record)),
            Kind::Escaped => true,
            _ => false,
        };
        let scope = self.scanner.slot(k::SCOPE);
        [k::LEVEL, k::MESSAGE, k::SCOPE].iter().all(|&key| is_text(self.scanner.slot(key)))
            && (forced
                || scope.text(record).is_some_and(|scope| {
                    matches!(&*scope, b"access" | b"ztunnel") || scope.starts_with(b"ztunnel::")
                }))
    }

    fn parse_json(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.scanner.scan(record, context.seen())?;
        self.parse_scanned(record, context, events)
    }

    /// As [`Self::parse`], of a JSON record that was just scanned.
    ///
    /// # Errors
    /// The same, broken JSON aside.
    pub(in crate::parse) fn parse_scanned(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if !self.is_of_ztunnel(record, context.forced) {
            let detail = "expected level, message and a scope of ztunnel, found another object";
            return Err(Reject::new(Reason::UnknownFormat, detail));
        }
        let value = |key: usize| text(self.scanner.slot(key), record);
        let own = value(k::TIME).as_deref().and_then(time::parse_rfc3339);
        let time = values::event_time(own, context)
            .ok_or_else(|| no_time("time in RFC 3339", SOURCE_FORMAT_JSON))?;
        let nested = |key: usize| {
            let slot = self.scanner.slot(key);
            (slot.kind == Kind::Nested).then(|| slot.bytes(record))
        };
        let connection = [(k::INBOUND, Direction::Inbound), (k::OUTBOUND, Direction::Outbound)]
            .into_iter()
            .find_map(|(key, direction)| {
                let inside = nested(key)?;
                self.span.scan(inside, context.seen()).ok()?;
                let value = |key: usize| text(self.span.slot(key), inside);
                Some((direction, Span { id: value(k::span::ID), peer: value(k::span::PEER) }))
            });
        let proxied = nested(k::PROXY).and_then(|inside| {
            self.span.scan(inside, context.seen()).ok()?;
            text(self.span.slot(k::span::WL), inside)
        });
        let line = Line {
            source_format: SOURCE_FORMAT_JSON,
            time,
            level: value(k::LEVEL).unwrap_or_default(),
            scope: value(k::SCOPE).unwrap_or_default(),
            message: value(k::MESSAGE).unwrap_or_default(),
            fields: std::array::from_fn(|key| match key {
                k::BYTES_SENT | k::BYTES_RECV => text_or_number(self.scanner.slot(key), record),
                _ => value(key),
            }),
            connection,
            proxied,
            partial: false,
        };
        let event = events.begin();
        line.fill(event, context);
        leftovers::finish(event, &self.scanner, record, line.direct(), context);
        Ok(())
    }

    fn parse_text(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let parts = plain::split(record, context.forced).ok_or_else(|| {
            let expected = "expected time, level, scope, message and fields between tabs";
            Reject::new(Reason::UnknownFormat, format!("{expected}, found other text"))
        })?;
        self.parse_parts(&parts, record, context, events)
    }

    /// As [`Self::parse`], of a line of text in its parts.
    ///
    /// # Errors
    /// If it has no time.
    pub(in crate::parse) fn parse_parts(
        &mut self,
        parts: &Parts<'_>,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let time = values::event_time(time::parse_rfc3339(parts.time), context)
            .ok_or_else(|| no_time("a time in RFC 3339 at the begin", SOURCE_FORMAT_TEXT))?;
        let mut fields = [const { None }; k::FIELDS];
        let mut doubt = Doubt::default();
        let mut reading = plain::Fields::of(parts.fields);
        for (key, value) in reading.by_ref() {
            if let Some(field) = field_number(key).and_then(|number| fields.get_mut(number)) {
                doubt.repeated |= field.is_some();
                *field = Some(value);
            }
        }
        doubt.partial = reading.broken;
        // Absent values count only now, so that a key is seen to stand twice.
        let fields = fields.map(|value| value.filter(|value: &Cow<'_, [u8]>| !is_absent(value)));
        let (scope, spans) = parts.scope();
        let find = |wanted: &[u8]| Spans::of(spans).find(|(name, _)| *name == wanted);
        let connection = [Direction::Inbound, Direction::Outbound].into_iter().find_map(|way| {
            let (_, body) = find(way.as_str().as_bytes())?;
            Some((way, Span { id: span_field(body, b"id"), peer: span_field(body, b"peer") }))
        });
        let line = Line {
            source_format: SOURCE_FORMAT_TEXT,
            time,
            level: Cow::Borrowed(parts.level),
            scope: Cow::Borrowed(scope),
            message: Cow::Borrowed(parts.message),
            fields,
            connection,
            proxied: find(b"proxy").and_then(|(_, body)| span_field(body, b"wl")),
            partial: doubt.partial,
        };
        let event = events.begin();
        line.fill(event, context);
        let attributes = &mut self.attributes;
        attributes.clear();
        attributes.add(b"level", parts.level);
        attributes.add(b"scope", parts.scope);
        attributes.add(b"message", parts.message);
        for (key, value) in plain::Fields::of(parts.fields) {
            match field_number(key) {
                Some(number) => {
                    attributes.add_unless_held((number, key), &value, event, line.direct());
                }
                None => attributes.add(key, &value),
            }
        }
        attributes.finish(event, record, context, doubt);
        Ok(())
    }
}

/// Which field a key of the plain form is.
fn field_number(key: &[u8]) -> Option<usize> {
    k::NAMES.iter().take(k::FIELDS).position(|name| common::bytes::same(name.as_bytes(), key))
}

fn no_time(expected: &str, source_format: &'static str) -> Reject {
    Reject {
        format_guess: Some(source_format),
        ..Reject::new(Reason::NoEventTime, format!("expected {expected}, found none"))
    }
}
