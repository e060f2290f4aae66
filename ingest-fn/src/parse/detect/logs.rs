//! OpenTelemetry log records: what their body is, and what becomes of it.

use std::borrow::Cow;

use super::documents::check_empty;
use super::job::Job;
use super::{Dispatcher, complete, without_line_end};
use crate::parse::SourceFormat;
use crate::parse::envoy::{self, LogRecord, text};
use crate::parse::event::{Envelope, Event, Events, Row};
use crate::parse::fields as f;
use crate::parse::list::elements_counted;
use crate::parse::otlp::values::push_object;
use crate::parse::otlp::{self, Body, LevelKind, Record};
use crate::parse::quote::push_field;
use crate::reject::{Reason, Reject};

/// What stands around the log records of one scope.
#[derive(Debug, Default)]
struct Group<'a> {
    resource: Cow<'a, [(String, Vec<u8>)]>,
    /// Resource and scope as the inside of an object, for `attributes`.
    about: Vec<u8>,
    /// A request of one log record, up to that record.
    head: Vec<u8>,
    /// The request has one log record.
    is_only: bool,
}

impl Dispatcher {
    /// An export request in its JSON form.
    pub(super) fn requests(
        &mut self,
        request: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let (events_before, rejected_before) = (events.all().len(), self.rejected.len());
        let top = otlp::level(LevelKind::Request, request)?;
        if top.list.is_empty() {
            return check_empty(request, &["resourceLogs"]);
        }
        let (is_only, all) = elements_counted(top.list);
        for resource_logs in all {
            if !self.takes_part(top.list) {
                break;
            }
            let group = Group { head: top.head.clone(), is_only, ..Group::default() };
            if let Err(reject) = self.resource(request, resource_logs, group, job, events) {
                self.reject_part(resource_logs, reject);
            }
        }
        self.outcome(events_before, rejected_before, events)
    }

    /// The log records of one resource; the group is that of the request.
    fn resource(
        &mut self,
        request: &[u8],
        text: &[u8],
        mut group: Group<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let level = otlp::level(LevelKind::Resource, text)?;
        if level.list.is_empty() {
            return Ok(());
        }
        let resource = level.about.map_or(Ok(Vec::new()), otlp::attributes)?;
        group.resource = Cow::Owned(resource);
        if !group.resource.is_empty() {
            let mut object = Vec::new();
            push_object(&group.resource, &mut object);
            push_field(&mut group.about, "resource", &object);
        }
        self.expand(group.head.len() + level.head.len())?;
        group.head.extend_from_slice(&level.head);
        let (is_only, all) = elements_counted(level.list);
        group.is_only &= is_only;
        for scope_logs in all {
            if !self.takes_part(level.list) {
                break;
            }
            if let Err(reject) = self.scope(request, scope_logs, &group, job, events) {
                self.reject_part(scope_logs, reject);
            }
        }
        Ok(())
    }

    /// The log records of one scope; the group is that of the resource.
    fn scope(
        &mut self,
        request: &[u8],
        text: &[u8],
        around: &Group<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let level = otlp::level(LevelKind::Scope, text)?;
        if level.list.is_empty() {
            return Ok(());
        }
        self.expand(around.about.len() + around.head.len() + level.head.len())?;
        let mut about = around.about.clone();
        if let Some(scope) = level.about {
            push_field(&mut about, "scope", scope);
        }
        let head = [&around.head[..], &level.head].concat();
        let (is_only, all) = elements_counted(level.list);
        let is_only = is_only && around.is_only;
        let group = Group { resource: Cow::Borrowed(&around.resource[..]), about, head, is_only };
        for record in all {
            if !self.takes_part(level.list) {
                break;
            }
            if let Err(reject) = self.log_record(request, record, &group, job, events) {
                self.reject_part(record, reject);
            }
        }
        Ok(())
    }

    fn log_record(
        &mut self,
        request: &[u8],
        text: &[u8],
        group: &Group<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let record = otlp::read(text)?;
        let alone;
        let outer = if group.is_only {
            job.context.outer.unwrap_or(request)
        } else {
            self.expand(job.envelope_bytes() + group.about.len() + group.head.len())?;
            alone = [&group.head, text, b"]}]}]}"].concat();
            &alone
        };
        let around = &job.context.envelope;
        let mut columns = record.emitter(&group.resource);
        columns.extend_from_slice(&around.columns);
        let own = record.attributes(&group.about);
        let mut attributes = Vec::with_capacity(around.attributes.len() + own.len() + 16);
        attributes.extend_from_slice(&around.attributes);
        push_field(&mut attributes, "otlp", &own);
        let observed = record.observed_micros.map(|time| (time, "shipper")).or(around.time);
        let envelope = Envelope { time: observed, columns, attributes };
        let mut inner = job.in_envelope(envelope, Some(outer))?;
        inner.context.forced = false;
        inner.is_one = true;
        let before = events.all().len();
        if !self.body(&record, &inner, events)? {
            self.plain_record(&record, &inner, events)?;
        }
        for event in events.all_mut().get_mut(before..).unwrap_or_default() {
            for (column, id) in [(f::TRACE_ID, &record.trace_id), (f::SPAN_ID, &record.span_id)] {
                if let Some(id) = id {
                    event.text(column, id);
                }
            }
        }
        Ok(())
    }

    /// Reads the body, or the attributes, as a record of a known format; `false` if they are none.
    fn body(
        &mut self,
        record: &Record<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<bool, Reject> {
        let body = match &record.body {
            Body::Text(text) => without_line_end(text),
            Body::Object(object) => object,
            Body::None | Body::Other(_) => b"",
        };
        if self.envoy_body(record, body, job, events)? {
            return Ok(true);
        }
        if body.is_empty() {
            return Ok(false);
        }
        let before = events.all().len();
        match self.record(SourceFormat::Auto, body, &lined(job, record).of(body), events) {
            Ok(()) => {
                retime(events.all_mut().get_mut(before..).unwrap_or_default(), record);
                Ok(true)
            }
            Err(reject) => match reject.reason {
                Reason::UnknownFormat
                | Reason::InvalidJson
                | Reason::TooDeep
                | Reason::TooManyFields => Ok(false),
                _ => Err(reject),
            },
        }
    }

    /// Reads the body, or the attributes, as a record that Envoy sent, or a collector read from
    /// Envoy's file; `false` if they are none.
    fn envoy_body(
        &mut self,
        record: &Record<'_>,
        body: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<bool, Reject> {
        let from_file = record.is_from_file();
        let in_file;
        let job = if from_file {
            in_file = lined(job, record);
            &in_file
        } else {
            job
        };
        let log = LogRecord {
            source_format: if from_file { envoy::SOURCE_FORMAT } else { otlp::ENVOY_FORMAT },
            time_micros: record.time_micros.filter(|_| !from_file),
            labels: if from_file { &[] } else { &record.labels },
        };
        let parser = &mut self.parsers.envoy;
        let before = events.all().len();
        let result = if !from_file && text::detects(body) {
            parser.parse_text_logged(body, &log, &job.context, events)
        } else if body.trim_ascii_start().starts_with(b"{") && parser.detects_timeless(body) {
            parser.parse_logged(body, &log, &job.context, events)
        } else if record.has("response_code") && record.has("response_flags") {
            let object = record.object();
            if !parser.detects_timeless(&object) {
                return Ok(false);
            }
            let log = LogRecord { labels: &[], ..log };
            parser.parse_logged(&object, &log, &job.context, events)
        } else {
            return Ok(false);
        };
        match result {
            Ok(()) => {
                let new = events.all_mut().get_mut(before..).unwrap_or_default();
                complete(new, job);
                retime(new, record);
                Ok(true)
            }
            Err(reject) if reject.reason == Reason::UnknownFormat => Ok(false),
            Err(reject) => Err(reject),
        }
    }

    /// A log record of no other format.
    fn plain_record(
        &mut self,
        record: &Record<'_>,
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let envelope = &job.context.envelope;
        let own = record.time_micros.map(|time| (time, "payload"));
        let Some((time, source)) = own.or(envelope.time) else {
            let expected = "expected timeUnixNano or observedTimeUnixNano";
            let reject = Reject::new(Reason::NoEventTime, format!("{expected}, found neither"));
            return Err(Reject { format_guess: Some(otlp::SOURCE_FORMAT), ..reject });
        };
        let event = events.begin();
        event.int64(f::EVENT_TIME, time);
        event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
        record.fill(event);
        let mut attributes = b"{".to_vec();
        if let Some(body) = record.body_json() {
            push_field(&mut attributes, "body", &body);
            attributes.push(b',');
        }
        attributes.extend_from_slice(&envelope.attributes);
        attributes.push(b'}');
        event.text(f::ATTRIBUTES, &attributes);
        if let Some(outer) = job.context.outer {
            event.text(f::RAW, outer);
        }
        complete(std::slice::from_mut(event), job);
        Ok(())
    }
}

/// The job of a line in a log record: its observed time is the collector's, else the record's.
fn lined<'a>(job: &Job<'a>, record: &Record<'_>) -> Job<'a> {
    let observed = record.observed_micros.or(record.time_micros).map(|time| (time, "shipper"));
    let around = &job.context.envelope;
    job.with(Envelope { time: observed.or(around.time), ..around.clone() })
}

/// Sets the time of events that have none of their own: the log record's comes before the
/// observed one.
fn retime(events: &mut [Event], record: &Record<'_>) {
    let Some(time_micros) = record.time_micros else { return };
    for event in events {
        let is_observed = event.time_micros() == record.observed_micros;
        if is_observed && event.text_of(f::EVENT_TIME_SOURCE) == Some(b"shipper") {
            event.replace_int64(f::EVENT_TIME, time_micros);
        }
    }
}
