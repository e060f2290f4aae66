//! Linkerd's proxy: its access log, as JSON and in Apache's form, and its own log, as JSON and in
//! the plain form.
//!
//! One happening gives several lines, as a denial its verdict, its failed request and its access
//! line. Each becomes a row; nothing is folded, since no id joins them.
//! Source: linkerd/linkerd2-proxy, as collected in the format reference, section 4; the rules are
//! those of `tests/data/linkerd/README.md`.

mod access;
mod identity;
mod keys;
mod log;
mod plain;
#[cfg(test)]
mod tests;
mod verdict;

use std::borrow::Cow;

use super::event::{Context, Event, Events, Row};
use super::fields as f;
use super::json::{Kind, Scanner};
use super::ztunnel::values::{self, Attributes, Doubt, REPEATED, is_absent, text};
use super::{leftovers, time};
use crate::reject::{Reason, Reject};
use access::{Access, Apache};
use keys as k;
use log::{Around, Line};

/// Text of column `source_format` for access lines in JSON.
pub const SOURCE_FORMAT_ACCESS_JSON: &str = "linkerd_access_json";

/// Text of column `source_format` for access lines in Apache's form.
pub const SOURCE_FORMAT_ACCESS_APACHE: &str = "linkerd_access_apache";

/// Text of column `source_format` for the proxy's log in JSON.
pub const SOURCE_FORMAT_LOG_JSON: &str = "linkerd_log_json";

/// Text of column `source_format` for the proxy's log in the plain form.
pub const SOURCE_FORMAT_LOG_PLAIN: &str = "linkerd_log_plain";

/// The keys of a JSON line, and the columns that hold values of access lines: what it takes to
/// rebuild one.
pub(crate) const HELD: (&[&str], &[leftovers::Direct]) = (k::NAMES, access::DIRECT);

/// Parses Linkerd's lines, one at a time.
#[derive(Debug)]
pub struct LinkerdParser {
    scanner: Scanner,
    fields: Scanner,
    span: Scanner,
    attributes: Attributes,
}

/// A line of text in its parts.
#[derive(Debug, Clone, Copy)]
pub(in crate::parse) enum TextLine<'a> {
    /// Of the proxy's log.
    Plain(plain::Parts<'a>),
    /// Of the access log.
    Apache(Apache<'a>),
}

/// Which of the JSON formats a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Access,
    Log,
}

impl Default for LinkerdParser {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkerdParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(k::NAMES),
            fields: Scanner::new(k::field::NAMES),
            span: Scanner::new(k::span::NAMES),
            attributes: Attributes::default(),
        }
    }

    /// Whether a record looks like a line of Linkerd's proxy, of any form. Records it says no to
    /// may still be taken where the source is configured.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        if values::is_json(record) { self.detects_json(record) } else { Self::detects_text(record) }
    }

    /// Whether a JSON record looks like a line of the access log or the proxy's log.
    pub fn detects_json(&mut self, record: &[u8]) -> bool {
        (values::may_have_key(record, b"\"client.addr\"")
            || values::may_have_key(record, b"\"fields\""))
            && self.scanner.scan(record, false).is_ok()
            && self.shape(record, false).is_some()
    }

    /// The scanner of JSON records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    /// As [`Self::detects_json`], of the record scanned last.
    pub(in crate::parse) fn detects_scanned(&self, record: &[u8]) -> bool {
        self.shape(record, false).is_some()
    }

    /// Whether a line of text is one of the access log in Apache's form, or of the proxy's log in
    /// the plain form.
    pub fn detects_text(record: &[u8]) -> bool {
        Self::split_text(record, false).is_some()
    }

    /// A line of text in its parts. Where the source is configured, its time may be any text.
    pub(in crate::parse) fn split_text(record: &[u8], forced: bool) -> Option<TextLine<'_>> {
        match plain::Parts::split(record) {
            Some(parts) => Some(TextLine::Plain(parts)),
            None => apache(record, forced).map(TextLine::Apache),
        }
    }

    /// Appends the record's one event to `events`.
    ///
    /// # Errors
    /// A reject, if the record is no line of Linkerd's proxy or has no time, as a plain line that
    /// nothing stands around. Nothing is appended then.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if values::is_json(record) {
            return self.parse_json(record, context, events);
        }
        match Self::split_text(record, context.forced) {
            Some(line) => self.parse_line(&line, record, context, events),
            None => {
                let expected = "expected an uptime or an access line";
                let detail = format!("{expected}, found other text");
                Err(Reject::new(Reason::UnknownFormat, detail))
            }
        }
    }

    /// As [`Self::parse`], of a line of text in its parts.
    ///
    /// # Errors
    /// If it has no time.
    pub(in crate::parse) fn parse_line(
        &mut self,
        line: &TextLine<'_>,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        match line {
            TextLine::Plain(parts) => self.parse_plain(parts, record, context, events),
            TextLine::Apache(line) => self.parse_apache(line, record, context, events),
        }
    }

    /// The format of the record scanned last.
    fn shape(&self, record: &[u8], forced: bool) -> Option<Shape> {
        let has = |key: usize| self.scanner.slot(key).kind != Kind::Missing;
        if has(k::CLIENT_ADDR) && has(k::URI) {
            return Some(Shape::Access);
        }
        let fields = self.scanner.slot(k::FIELDS);
        let target = text(self.scanner.slot(k::TARGET), record);
        let is_log = fields.kind == Kind::Nested
            && fields.bytes(record).starts_with(b"{")
            && (forced || target.is_some_and(|target| target.starts_with(b"linkerd")));
        is_log.then_some(Shape::Log)
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
        let shape = self.shape(record, context.forced).ok_or_else(|| {
            let expected = "expected client.addr and uri, or fields and a target of linkerd";
            Reject::new(Reason::UnknownFormat, format!("{expected}, found another object"))
        })?;
        let source_format = match shape {
            Shape::Access => SOURCE_FORMAT_ACCESS_JSON,
            Shape::Log => SOURCE_FORMAT_LOG_JSON,
        };
        let own = text(self.scanner.slot(k::TIMESTAMP), record);
        let own = own.as_deref().and_then(time::parse_rfc3339);
        let time = values::event_time(own, context).ok_or_else(|| no_time(source_format))?;
        match shape {
            Shape::Access => {
                let event = begin(events, time, source_format);
                Access::of_json(&self.scanner, record).fill(event);
                values::envelope(event, context);
                leftovers::finish(event, &self.scanner, record, access::DIRECT, context);
            }
            Shape::Log => {
                let fields = self.scanner.slot(k::FIELDS).bytes(record);
                self.fields.scan(fields, context.seen())?;
                let spans = self.scanner.slot(k::SPANS);
                let spans = if spans.kind == Kind::Nested { spans.bytes(record) } else { b"" };
                let value = |key: usize| text(self.scanner.slot(key), record);
                let line = Line {
                    level: value(k::LEVEL),
                    target: value(k::TARGET),
                    message: text(self.fields.slot(k::field::MESSAGE), fields),
                    fields: std::array::from_fn(|key| text(self.fields.slot(key), fields)),
                    around: Around::of_json(spans, &mut self.span, context.seen()),
                };
                let event = begin(events, time, source_format);
                line.fill(event);
                values::envelope(event, context);
                if self.fields.repeated() {
                    event.text(f::PARSE_STATUS, b"ambiguous");
                    event.text(f::PARSE_ERROR, REPEATED);
                }
                // Every column comes from inside `fields`, which `attributes` has whole.
                leftovers::finish(event, &self.scanner, record, &[], context);
            }
        }
        Ok(())
    }

    fn parse_plain(
        &mut self,
        parts: &plain::Parts<'_>,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        // An uptime is no time.
        let time =
            values::event_time(None, context).ok_or_else(|| no_time(SOURCE_FORMAT_LOG_PLAIN))?;
        let mut fields = [const { None }; k::field::COUNT];
        let mut doubt = Doubt::default();
        let mut reading = plain::Fields::of(parts.fields);
        for (key, value) in reading.by_ref() {
            if let Some(field) = fields.get_mut(key) {
                doubt.repeated |= field.is_some();
                *field = Some(value);
            }
        }
        doubt.partial = reading.broken;
        let some = |text| Some(Cow::Borrowed(text)).filter(|text: &Cow<'_, [u8]>| !is_absent(text));
        let line = Line {
            level: some(parts.level),
            target: some(parts.target),
            message: some(parts.message),
            // Absent values count only now, so that a key is seen to stand twice.
            fields: fields.map(|value| value.filter(|value: &Cow<'_, [u8]>| !is_absent(value))),
            around: Around::of_text(parts.spans),
        };
        let event = begin(events, time, SOURCE_FORMAT_LOG_PLAIN);
        line.fill(event);
        values::envelope(event, context);
        let attributes = &mut self.attributes;
        attributes.clear();
        attributes.add(b"uptime", parts.uptime);
        let named: [(&[u8], &[u8]); 5] = [
            (b"level", parts.level),
            (b"threadId", parts.thread),
            (b"spans", parts.spans),
            (b"target", parts.target),
            (b"message", parts.message),
        ];
        for (key, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            attributes.add(key, value);
        }
        for (key, value) in plain::Fields::of(parts.fields) {
            let name = k::field::NAMES.get(key).copied().unwrap_or_default();
            let known = (key, name.as_bytes());
            attributes.add_unless_held(known, &value, event, PLAIN_DIRECT);
        }
        attributes.finish(event, record, context, doubt);
        Ok(())
    }

    fn parse_apache(
        &mut self,
        line: &Apache<'_>,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let time = values::event_time(time::parse_rfc3339(line.time), context)
            .ok_or_else(|| no_time(SOURCE_FORMAT_ACCESS_APACHE))?;
        let (access, whole) = line.read();
        let event = begin(events, time, SOURCE_FORMAT_ACCESS_APACHE);
        access.fill(event);
        values::envelope(event, context);
        self.attributes.clear();
        self.attributes.add(b"timestamp", line.time);
        if let Some(uri) = &access.uri {
            let known = (k::URI, &b"uri"[..]);
            self.attributes.add_unless_held(known, uri, event, access::DIRECT);
        }
        let doubt = Doubt { partial: !whole, repeated: false };
        self.attributes.finish(event, record, context, doubt);
        Ok(())
    }
}

/// Fields of a plain line whose values need not stand in `attributes` again.
const PLAIN_DIRECT: &[leftovers::Direct] = &[
    (k::field::ERROR, f::DECISION_REASON),
    (k::field::PATH, f::URL_PATH),
    (k::field::CLIENT_IP, f::SRC_IP),
];

/// A line in Apache's form. Other programs write lines that begin alike, so unless the source is
/// configured the time must be one.
fn apache(record: &[u8], forced: bool) -> Option<Apache<'_>> {
    Apache::split(record).filter(|line| forced || time::parse_rfc3339(line.time).is_some())
}

/// Begins an event and writes what is the same for all of a format.
fn begin<'e>(
    events: &'e mut Events,
    time: (i64, &'static str),
    source_format: &'static str,
) -> &'e mut Event {
    let event = events.begin();
    let (micros, source) = time;
    event.int64(f::EVENT_TIME, micros);
    event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
    event.text(f::MESH, b"linkerd");
    event.text(f::SOURCE_FORMAT, source_format.as_bytes());
    event
}

fn no_time(source_format: &'static str) -> Reject {
    let detail = "expected a time in RFC 3339 in the line or around it, found none";
    Reject { format_guess: Some(source_format), ..Reject::new(Reason::NoEventTime, detail) }
}
