//! A record of Envoy's as one event in memory, with what stood around it.

use super::keys::{self as k, Shape};
use super::verdict::Missing;
use super::{DETECTED_KEYS_MIN, EnvoyParser, SOURCE_FORMAT};
use crate::parse::event::{Context, Event, Events, Row};
use crate::parse::fields as f;
use crate::parse::json::Scanner;
use crate::reject::{Reason, Reject};

/// The OpenTelemetry log record that carries a record of Envoy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRecord<'a> {
    /// Text of column `source_format`.
    pub(crate) source_format: &'static str,
    /// Its time in microseconds, which counts before the one in the record.
    pub(crate) time_micros: Option<i64>,
    /// Its attributes by name, with their JSON text: those with a name of Envoy's count where the
    /// record itself has no such field.
    pub(crate) labels: &'a [(String, Vec<u8>)],
}

/// How a record was read, beside its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) source_format: &'static str,
    pub(super) time_micros: i64,
    /// A time that is not the record's own: where it comes from.
    pub(super) time_source: Option<&'static str>,
    /// `None` for the shape the keys have.
    pub(super) shape: Option<Shape>,
    pub(super) missing: Missing,
    /// `parse_status` and `parse_error`, unless the record was read as it should.
    pub(super) problem: Option<(&'static str, &'static str)>,
    /// The text for `raw`, where it is kept in any case.
    pub(super) raw: Option<&'a [u8]>,
}

impl EnvoyParser {
    /// Whether a JSON record is taken for Envoy's without being told.
    pub(crate) fn detects(&mut self, record: &[u8]) -> bool {
        self.scanner.scan(record, false).is_ok() && self.looks_like_envoy()
    }

    /// The scanner of records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    /// As [`Self::detects`], of the record scanned last.
    pub(in crate::parse) fn detects_scanned(&self) -> bool {
        self.looks_like_envoy()
    }

    /// Whether a JSON object has the keys of an Envoy record, a time aside.
    pub(crate) fn detects_timeless(&mut self, record: &[u8]) -> bool {
        let has = |present: u64, key: usize| present & (1 << key) != 0;
        self.scanner.scan(record, false).is_ok() && {
            let present = self.scanner.present();
            has(present, k::RESPONSE_CODE)
                && has(present, k::RESPONSE_FLAGS)
                && present.count_ones() >= DETECTED_KEYS_MIN
        }
    }

    /// Appends the event of a JSON record.
    ///
    /// # Errors
    /// A reject, if the record is no JSON object, not Envoy's, or has no time.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.scanner.scan(record, context.seen())?;
        self.parse_scanned(record, context, events)
    }

    /// As [`EnvoyParser::parse`], of a record that was just scanned.
    ///
    /// # Errors
    /// The same, broken JSON aside.
    pub(in crate::parse) fn parse_scanned(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let time_micros = self.identify(record, context.forced)?;
        let reading = Reading {
            source_format: SOURCE_FORMAT,
            time_micros,
            time_source: None,
            shape: None,
            missing: Missing::Nothing,
            problem: None,
            raw: context.outer,
        };
        self.event(record, &reading, context, events.begin());
        Ok(())
    }

    /// Appends the event of an object with Envoy's keys in a log record, which may have the time.
    ///
    /// # Errors
    /// A reject, if neither has a time.
    pub(crate) fn parse_logged(
        &mut self,
        object: &[u8],
        log: &LogRecord<'_>,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.scanner.scan(object, false)?;
        let own = self.event_time(object);
        let envelope = context.envelope.time;
        let (time_micros, time_source) = match (log.time_micros, own, envelope) {
            (Some(time), ..) | (None, Ok(time), _) => (time, None),
            (None, Err(_), Some((time, source))) => (time, Some(source)),
            (None, Err(reject), None) => {
                return Err(Reject { format_guess: Some(log.source_format), ..reject });
            }
        };
        let labels = self.labels(log, |_| false);
        let joined = join(object, &labels);
        self.scanner.scan(&joined, false)?;
        let reading = Reading {
            source_format: log.source_format,
            time_micros,
            time_source,
            shape: Some(Shape::Sparse),
            missing: Missing::Nothing,
            problem: None,
            raw: Some(context.outer.unwrap_or(object)),
        };
        self.event(&joined, &reading, context, events.begin());
        Ok(())
    }

    /// Fields of the log record, as the inside of a JSON object, that the record scanned last
    /// lacks, or which it has only as a place that was not read.
    pub(super) fn labels(&self, log: &LogRecord<'_>, unread: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut fields = Vec::new();
        for (name, value) in log.labels {
            let known = self.scanner.find(name.as_bytes());
            let wanted =
                known.is_some_and(|key| self.scanner.present() & (1 << key) == 0 || unread(key));
            if wanted {
                crate::parse::quote::push_field(&mut fields, name, value);
            }
        }
        fields
    }

    /// Fills the event of the record scanned last.
    pub(super) fn event(
        &mut self,
        record: &[u8],
        reading: &Reading<'_>,
        context: &Context<'_>,
        event: &mut Event,
    ) {
        // The first value counts, so what is known better than from the fields comes before them.
        event.text(f::SOURCE_FORMAT, reading.source_format.as_bytes());
        if let Some(source) = reading.time_source {
            event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
        }
        if let Some((status, error)) = reading.problem {
            event.text(f::PARSE_STATUS, status.as_bytes());
            event.text(f::PARSE_ERROR, error.as_bytes());
        }
        if let Some(raw) = reading.raw {
            event.text(f::RAW, raw);
        }
        let attributes = &context.envelope.attributes;
        let shape = reading.shape.unwrap_or_else(|| Shape::of(self.scanner.present()));
        let mut row = Enveloped { event, attributes, rebuilt: reading.shape.is_none() };
        self.fill_as(record, reading.time_micros, shape, reading.missing, &mut row);
        if !attributes.is_empty() {
            row.text(f::ATTRIBUTES, b"{}");
        }
    }
}

/// An object with more fields at its end.
fn join(object: &[u8], fields: &[u8]) -> Vec<u8> {
    let object = object.trim_ascii_end();
    let Some(inside) = object.strip_suffix(b"}").filter(|_| !fields.is_empty()) else {
        return object.to_vec();
    };
    let inside = inside.trim_ascii_end();
    let mut joined = Vec::with_capacity(inside.len() + fields.len() + 2);
    joined.extend_from_slice(inside);
    if joined.last() != Some(&b'{') {
        joined.push(b',');
    }
    joined.extend_from_slice(fields);
    joined.push(b'}');
    joined
}

/// An event whose `attributes` end with what its envelope said.
struct Enveloped<'a> {
    event: &'a mut Event,
    attributes: &'a [u8],
    /// The record may be rebuilt from its columns, so its shape is of use.
    rebuilt: bool,
}

impl Row for Enveloped<'_> {
    fn text(&mut self, column: usize, value: &[u8]) {
        match column {
            f::ATTRIBUTES if !self.attributes.is_empty() => {
                let joined = join(value, self.attributes);
                self.event.text(column, &joined);
            }
            f::RECORD_SHAPE if !self.rebuilt => {}
            _ => self.event.text(column, value),
        }
    }

    fn int32(&mut self, column: usize, value: i32) {
        self.event.int32(column, value);
    }

    fn int64(&mut self, column: usize, value: i64) {
        self.event.int64(column, value);
    }

    fn bool(&mut self, column: usize, value: bool) {
        self.event.bool(column, value);
    }

    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        self.event.list(column, items);
    }
}

/// A reject of a line that is no record of Envoy's text formats.
pub(super) fn no_line(detail: &str) -> Reject {
    Reject {
        format_guess: Some(super::text::SOURCE_FORMAT),
        ..Reject::new(Reason::UnknownFormat, detail)
    }
}
