//! Finds out what a record is: takes envelopes off one after the other, and hands what is left to
//! the parser of its format.
//!
//! One record may hold several lines, each of which becomes events of its own or is rejected. A
//! record of which nothing was understood is a reject as a whole; of one that was understood in
//! part, [`Dispatcher::rejected`] has the rest, so that a bad line costs its neighbours nothing.

mod claims;
mod documents;
mod job;
mod lines;
mod logs;
mod parsers;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Read;

use claims::{Claims, Names};
use job::Job;
use parsers::{Found, Parser, Parsers};

use super::SourceFormat;
use super::event::{Context, Event, Events, Row};
use super::fields as f;
use super::json::Quotes;
use super::otlp::protobuf::to_json;
use super::shippers::runtime::Cri;
use super::shippers::{Shippers, keys};
use crate::redact::{Counts, Redactor, Rules};
use crate::reject::{Reason, Reject};
use crate::scan::Marks;

/// Most envelopes around a line; real ones have up to three.
const ENVELOPES_MAX: usize = 8;

/// Most bytes that one record may become by decompression, and by repeating for each of its lines
/// what stands around all of them: a collector's batch is some thousand records, of which each
/// repeats some kilobytes. A function with 512 MB holds that.
const EXPANDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Fewest bytes of a part of a record, as a log record in a batch: shorter ones hold no log.
const PART_BYTES_MIN: usize = 64;

/// Parts that a record of any length may have.
const PARTS_FREE: usize = 256;

/// What a small record may become, beside sixteen times its length.
const EXPANDED_BYTES_FREE: usize = 16 * 1024 * 1024;

/// A part of a record that was not understood, while others were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPart {
    /// Its text, without the envelopes that were taken off.
    pub text: Vec<u8>,
    /// Why it was not understood.
    pub reject: Reject,
}

/// Finds out what a record is and hands it to its parser.
#[derive(Debug)]
pub struct Dispatcher {
    parsers: Parsers,
    shippers: Shippers,
    /// For what is decoded.
    marks: Option<Marks>,
    /// What the names claim that envelopes are told by.
    names: Names,
    /// Which parser had the last record that begins alike, by a hash of the begin.
    expected: [Option<Parser>; EXPECTED],
    #[cfg(test)]
    asks_all: bool,
    rejected: Vec<RejectedPart>,
    redactor: Redactor,
    redactions: Counts,
    /// How many bytes the record in hand may still become.
    expansion_bytes: usize,
    /// How many parts may still be read of the record in hand.
    parts_left: usize,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Dispatcher {
    /// A dispatcher that has seen nothing and redacts nothing.
    pub fn new() -> Self {
        Self::redacting(&Rules::none())
    }

    /// A dispatcher that takes credentials out of what it decodes, before it reads it.
    pub fn redacting(rules: &Rules) -> Self {
        let shippers = Shippers::new();
        Self {
            redactor: Redactor::new(rules),
            redactions: Counts::default(),
            parsers: Parsers::new(),
            names: Names::of(shippers.top()),
            shippers,
            marks: None,
            expected: [None; EXPECTED],
            #[cfg(test)]
            asks_all: false,
            rejected: Vec::new(),
            expansion_bytes: 0,
            parts_left: 0,
        }
    }

    /// Appends the record's events. `format` is what the source is configured to have, `Auto` to
    /// find out after unwrapping. On success [`Dispatcher::rejected`] has the parts of the record
    /// that did not become events.
    ///
    /// # Errors
    /// If no part of the record was understood. Nothing is appended then.
    pub fn parse(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.rejected.clear();
        let bytes = record.len().saturating_mul(16).saturating_add(EXPANDED_BYTES_FREE);
        self.expansion_bytes = bytes.min(EXPANDED_BYTES_MAX);
        self.parts_left = record.len() / PART_BYTES_MIN + PARTS_FREE;
        let before = events.all().len();
        let several = memchr::memchr(b'\n', record).is_some();
        let job = Job::outermost(context, parsers::configured(format).is_some(), several);
        let result = self.bytes(format, record, &job, events);
        if result.is_err() {
            events.truncate(before);
            self.rejected.clear();
        }
        result
    }

    /// How much was redacted so far in what was decoded.
    pub fn redactions(&self) -> Counts {
        self.redactions
    }

    /// The parts of the last record that were not understood, where others were.
    pub fn rejected(&self) -> &[RejectedPart] {
        &self.rejected
    }

    /// As [`Dispatcher::rejected`], which has none then: the next record may be no dispatcher's.
    pub(crate) fn take_rejected(&mut self) -> Vec<RejectedPart> {
        std::mem::take(&mut self.rejected)
    }

    /// A record of any bytes: protobuf, gzip, or text.
    fn bytes(
        &mut self,
        format: SourceFormat,
        bytes: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if bytes.starts_with(GZIP_MAGIC) {
            let text = self.gunzip(bytes)?;
            return self.bytes(format, &text, &job.deeper()?, events);
        }
        if format == SourceFormat::OtlpProtobuf {
            // Protobuf takes half the bytes of JSON.
            self.parts_left += bytes.len() / PART_BYTES_MIN;
            let request = to_json(bytes, self.expansion_bytes, self.parts_left)?;
            self.expand(request.len())?;
            let request = self.redact(&request).into_owned();
            let before = events.all().len();
            self.requests(&request, &job.deeper()?, events)?;
            if events.all().len() == before && self.rejected.is_empty() && !bytes.is_empty() {
                // Bytes that are no request may be one of unknown fields.
                let detail = "expected log records, found none";
                return Err(Reject::new(Reason::InvalidProtobuf, detail));
            }
            return Ok(());
        }
        if job.context.looked_at {
            return self.record(format, bytes, job, events);
        }
        if simdutf8::basic::from_utf8(bytes).is_err() {
            return Err(Reject::new(Reason::NotUtf8, "expected UTF-8, found other bytes"));
        }
        let text = self.redact(bytes);
        self.record(format, &text, job, events)
    }

    fn redact<'a>(&mut self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let (text, counts) = self.redactor.redact(text);
        self.redactions.add(&counts);
        text
    }

    /// A record of text, in as many envelopes as the job still allows.
    fn record(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let record = without_line_end(record);
        match record.trim_ascii_start().first() {
            Some(b'{') => self.object(format, record, job, events),
            Some(b'[') if is_list(record) => self.list(format, record, job, events),
            _ if record.contains(&b'\n') && !job.is_one => self.lines(format, record, job, events),
            _ => self.line(format, record, job, events),
        }
    }

    /// As [`Dispatcher::record`], of a text that was decoded, which nobody has looked at.
    fn decoded(
        &mut self,
        format: SourceFormat,
        payload: &[u8],
        job: Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if self.asks_all() {
            return self.record(format, payload, &job.of(payload), events);
        }
        // What is decoded inside of it makes marks of its own.
        let mut marks = self.marks.take().unwrap_or_else(Marks::new);
        let text = without_line_end(payload);
        marks.look(text);
        let quotes = Quotes::of(text, marks.quotes());
        let result = self.record(format, payload, &job.seen(marks.plain, quotes), events);
        self.marks = Some(marks);
        result
    }

    /// A record that begins like a JSON object.
    fn object(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let place = place_of(record, job);
        if let Some(parser) = self.expected.get(place).copied().flatten() {
            if parsers::accepts(format, parser)
                && self.parsers.is_surely(parser, record, job.context.seen())
            {
                return self.leaf(&Found::Object(parser), format, record, job, events);
            }
            self.expect(place, None);
        }
        if let Err(reject) = self.shippers.scan(record, job.context.seen()) {
            let several = record.contains(&b'\n') && !job.is_one;
            return if several { self.lines(format, record, job, events) } else { Err(reject) };
        }
        let has = |key: usize| self.shippers.has(key);
        if has(keys::RESOURCE_LOGS) {
            return self.requests(record, job, events);
        }
        if has(keys::AWSLOGS) {
            let bytes = self.shippers.awslogs(record)?;
            return self.bytes(format, &bytes, &job.deeper()?, events);
        }
        if has(keys::LOG_EVENTS) && has(keys::MESSAGE_TYPE) {
            return self.log_group(format, record, job, events);
        }
        if has(keys::RECORDS) && has(keys::REQUEST_ID) {
            return self.firehose(format, record, job, events);
        }
        let claims = self.claims(record);
        let found = self.parsers.of_object(record, claims);
        if let Some(parser) = found.filter(|found| parsers::accepts(format, *found)) {
            self.expect(place, Some(parser));
            let found = Found::Object(parser);
            return match self.shippers.merged(record, &job.context) {
                Some(around) => self.leaf(&found, format, record, &job.with(around), events),
                None => self.leaf(&found, format, record, job, events),
            };
        }
        if let Some(docker) = self.shippers.docker(record) {
            return self.docker(format, record, &docker, job, events);
        }
        // A line of the configured format may have a field `message` of its own.
        let mut refused = None;
        if let Some(parser) = parsers::configured(format) {
            match self.leaf(&Found::Unread(parser), format, record, job, events) {
                Ok(()) => return Ok(()),
                Err(reject) => refused = Some(reject),
            }
        }
        if let Some(opened) = self.shippers.open(record, &job.context)? {
            let inner = job.inside(opened.envelope, record)?;
            return self.decoded(format, &opened.payload, inner, events);
        }
        Err(refused
            .unwrap_or_else(|| unknown("a JSON object, but of no format this version reads")))
    }

    /// A line of text.
    fn line(
        &mut self,
        format: SourceFormat,
        line: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if let Some(cri) = Cri::split(line) {
            if cri.partial {
                return Err(incomplete());
            }
            let inner = job.inside(lines::cri_envelope(&cri, job), line)?.of(cri.content);
            return self.record(format, cri.content, &inner, events);
        }
        let found = self.parsers.of_text(line);
        let found = found.map(Found::Text).filter(|found| parsers::accepts(format, found.parser()));
        match found.or(parsers::configured(format).map(Found::Unread)) {
            Some(found) => self.leaf(&found, format, line, job, events),
            None => Err(unknown("text of no format this version reads")),
        }
    }

    /// Whether nothing is guessed, ruled out or remembered: the slow way, against which tests hold
    /// the short one.
    #[cfg(test)]
    fn asks_all(&self) -> bool {
        self.asks_all
    }

    #[cfg(not(test))]
    const fn asks_all(&self) -> bool {
        false
    }

    /// What the record claims that the shippers' scanner has scanned last.
    fn claims(&self, record: &[u8]) -> Claims {
        if self.asks_all() {
            return Claims::ALL;
        }
        self.names.read(self.shippers.top(), record)
    }

    fn expect(&mut self, place: usize, parser: Option<Parser>) {
        if self.asks_all() {
            return;
        }
        if let Some(expected) = self.expected.get_mut(place) {
            *expected = parser;
        }
    }

    /// A record without envelopes, for its parser.
    fn leaf(
        &mut self,
        found: &Found<'_>,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let before = events.all().len();
        let kept;
        let context = if job.context.outer.is_none() && !job.context.envelope.attributes.is_empty()
        {
            // What the envelope adds to `attributes` is no part of the record.
            kept = Context { outer: Some(record), ..job.context.clone() };
            &kept
        } else {
            &job.context
        };
        let unread = Found::Unread(found.parser());
        let found = if self.asks_all() { &unread } else { found };
        let result = self.parsers.parse(found, format, record, context, events);
        match result {
            Ok(()) => complete(events.all_mut().get_mut(before..).unwrap_or_default(), job),
            Err(_) => events.truncate(before),
        }
        result
    }

    /// Accounts for bytes that the record in hand becomes beyond its own.
    fn expand(&mut self, bytes: usize) -> Result<(), Reject> {
        let Some(left) = self.expansion_bytes.checked_sub(bytes) else {
            let detail = "expected at most sixteen times its length after decompression and with \
                          what stands around each line, found more";
            return Err(Reject::new(Reason::RecordTooLong, detail));
        };
        self.expansion_bytes = left;
        Ok(())
    }

    fn gunzip(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Reject> {
        let broken =
            |e: std::io::Error| Reject::new(Reason::UnknownFormat, format!("expected gzip: {e}"));
        let mut text = Vec::new();
        let (_, reader) = crate::decompress::open(bytes).map_err(broken)?;
        let limit = self.expansion_bytes as u64 + 1;
        reader.take(limit).read_to_end(&mut text).map_err(broken)?;
        self.expand(text.len())?;
        self.parts_left += text.len() / PART_BYTES_MIN;
        Ok(text)
    }

    /// Whether another part of the record in hand is read. If there are too many, the list that
    /// holds the part is kept as a reject.
    fn takes_part(&mut self, list: &[u8]) -> bool {
        if let Some(left) = self.parts_left.checked_sub(1) {
            self.parts_left = left;
            return true;
        }
        let detail = format!("expected parts of {PART_BYTES_MIN} bytes on average, found shorter");
        self.reject_part(list, Reject::new(Reason::TooManyFields, detail));
        false
    }

    /// Keeps a part that was not understood.
    fn reject_part(&mut self, text: &[u8], reject: Reject) {
        self.rejected.push(RejectedPart { text: text.to_vec(), reject });
    }

    /// What became of a record of several parts: if no part was understood, the first reject
    /// stands for all.
    fn outcome(
        &mut self,
        events_before: usize,
        rejected_before: usize,
        events: &Events,
    ) -> Result<(), Reject> {
        if events.all().len() > events_before {
            return Ok(());
        }
        let first = self.rejected.drain(rejected_before..).next();
        first.map_or(Ok(()), |part| Err(part.reject))
    }
}

/// Places where it is remembered which parser had a record.
const EXPECTED: usize = 16;

/// Where it is remembered which parser had a record that begins as this one does. That is a guess
/// only, which is checked before it counts.
fn place_of(record: &[u8], job: &Job<'_>) -> usize {
    let begin = record.first_chunk::<8>().map_or(0, |begin| u64::from_le_bytes(*begin));
    let mixed = (begin ^ job.depth() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 60).unwrap_or_default()
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

fn unknown(found: &str) -> Reject {
    Reject::new(Reason::UnknownFormat, found)
}

fn incomplete() -> Reject {
    let detail = "expected a whole line, found a piece whose rest is not there";
    Reject::new(Reason::IncompleteRecord, detail)
}

/// A text without the newline at its end and a carriage return before that.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Whether a text begins like a JSON list of objects. Envoy's text format begins with a bracket
/// too.
fn is_list(text: &[u8]) -> bool {
    let inside = text.trim_ascii_start().strip_prefix(b"[").unwrap_or_default();
    inside.trim_ascii_start().starts_with(b"{")
}

/// Fills what envelopes know, after the line's own values.
fn complete(events: &mut [Event], job: &Job<'_>) {
    for event in events {
        let envelope = &job.context.envelope;
        for (column, value) in &envelope.columns {
            event.text(*column, value.as_bytes());
        }
        if let Some((time, _)) = envelope.time {
            event.int64(f::OBSERVED_TIME, time);
        }
        callee(event);
    }
}

/// Where a proxy beside the callee writes, its own pod is the callee. On the caller's side the
/// emitter may be a gateway, and ztunnel serves a whole node.
fn callee(event: &mut Event) {
    let is_sidecar = event
        .text_of(f::SOURCE_FORMAT)
        .is_some_and(|format| format.starts_with(b"envoy_") || format.starts_with(b"linkerd_"));
    if !is_sidecar || event.text_of(f::REPORTER) != Some(b"destination") {
        return;
    }
    for (from, to) in [(f::K8S_POD, f::DST_WORKLOAD), (f::K8S_NAMESPACE, f::DST_NAMESPACE)] {
        if let Some(value) = event.text_of(from).map(<[u8]>::to_vec) {
            event.text(to, &value);
        }
    }
}
