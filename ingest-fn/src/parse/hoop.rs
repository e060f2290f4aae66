//! hoop.dev: the security audit log, sessions, webhooks, and the lines of hoopinspect.
//!
//! Source of the formats: hoophq/hoop (MIT), as collected in the format reference (section 8); our
//! rules are those of `tests/data/hoop/README.md`. The audit log and sessions come one row an
//! object, or as pages of the API: an object whose `data` lists rows.

mod audit;
mod canonical;
mod inspect;
mod session;
#[cfg(test)]
mod tests;
mod webhook;

use common::event::EventKind;
use common::limits::RECORD_FIELDS_MAX;
use memchr::memmem::Finder;

use super::consul::values::{self, Object};
use super::event::{Context, Event, Events, Row};
use super::fields as f;
use super::json::{Kind, Scanner, Seen};
use super::leftovers::Direct;
use super::list;
use crate::reject::{Reason, Reject};

/// Most rows of a page. The API gives at most 100; the bound keeps memory small.
pub const PAGE_ROWS_MAX: usize = RECORD_FIELDS_MAX;

/// Key of `attributes` under which a page's first row keeps the page's own fields.
pub const PAGE_KEY: &str = "hoop.page";

/// Which of the four shapes a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoopFormat {
    /// A row, or page of rows, of the security audit log.
    Audit,
    /// A session, or an answer that lists sessions.
    Session,
    /// A webhook's payload.
    Webhook,
    /// A line of hoopinspect.
    Inspect,
}

impl HoopFormat {
    /// Every shape.
    pub const ALL: [Self; 4] = [Self::Audit, Self::Session, Self::Webhook, Self::Inspect];

    /// The text of column `source_format`, and the name under which a source is configured.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "hoop_audit",
            Self::Session => "hoop_session",
            Self::Webhook => "hoop_webhook",
            Self::Inspect => "hoop_inspect",
        }
    }

    /// The keys of a row and the columns that may hold them instead of `attributes`: what it takes
    /// to rebuild a record.
    pub fn held(self) -> impl Iterator<Item = (&'static str, usize)> {
        let (names, direct): (&'static [&'static str], &'static [Direct]) = match self {
            Self::Audit => (audit::row::NAMES, audit::DIRECT),
            Self::Session => (session::row::NAMES, session::DIRECT),
            Self::Webhook => (webhook::row::NAMES, webhook::DIRECT),
            Self::Inspect => (inspect::row::NAMES, inspect::DIRECT),
        };
        direct.iter().filter_map(|&(key, column)| Some((*names.get(key)?, column)))
    }

    const fn has_pages(self) -> bool {
        matches!(self, Self::Audit | Self::Session)
    }

    fn guess(self, reject: Reject) -> Reject {
        Reject { format_guess: Some(self.as_str()), ..reject }
    }
}

/// Keys by which shapes are told apart.
mod probe {
    crate::parse::consul::values::keys! {
        ACTOR_SUBJECT = "actor_subject",
        CONNECTION = "connection",
        DATA = "data",
        EVENT_TYPE = "event_type",
        KIND = "kind",
        PAGES = "pages",
        RESOURCE_TYPE = "resource_type",
        SESSION_ID = "session_id",
        START_DATE = "start_date",
        STATUS = "status",
        VERB = "verb",
    }
}

/// Keys of every shape; those of [`probe`] come first, so that they have the same numbers. A record
/// of hoop.dev is told by them without a look-up of each key.
const KNOWN: &[&str] = &[
    "actor_subject",
    "connection",
    "data",
    "event_type",
    "kind",
    "pages",
    "resource_type",
    "session_id",
    "start_date",
    "status",
    "verb",
    "action",
    "actor_email",
    "actor_name",
    "allowed",
    "client_ip",
    "connection_subtype",
    "connection_type",
    "correlation_id",
    "created_at",
    "duration_ns",
    "end_date",
    "error",
    "error_message",
    "exit_code",
    "exit_err",
    "guardrails_info",
    "http",
    "http_method",
    "http_path",
    "http_status",
    "id",
    "identity_type",
    "input",
    "machine_identity_id",
    "message",
    "operation",
    "org_id",
    "outcome",
    "principal",
    "protocol",
    "request_payload_redacted",
    "resource_id",
    "resource_name",
    "review",
    "rule",
    "session_batch_id",
    "statement",
    "timestamp",
    "type",
    "user",
    "user_email",
    "user_id",
    "user_name",
    "labels",
    "metadata",
    "metrics",
    "ai_analysis",
];

const _: () = assert!(KNOWN.len() <= super::json::KEYS_MAX);

/// Parses records of hoop.dev, one at a time.
#[derive(Debug)]
pub struct HoopParser {
    /// A record of any shape has one of these words.
    marks: [Finder<'static>; 4],
    object: Finder<'static>,
    probe: Scanner,
    /// Knows [`KNOWN`].
    top: Scanner,
    rows: Rows,
    /// What the record detected last is.
    found: Option<Found>,
}

/// One reader a shape.
#[derive(Debug)]
struct Rows {
    audit: audit::Audit,
    session: session::Session,
    webhook: webhook::Webhook,
    inspect: inspect::Inspect,
}

/// Where in a record its object begins, and what it is.
#[derive(Debug, Clone, Copy)]
struct Found {
    format: HoopFormat,
    is_page: bool,
    begin: usize,
    /// The source is configured to have this format.
    is_forced: bool,
}

impl Default for HoopParser {
    fn default() -> Self {
        Self::new()
    }
}

impl HoopParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        let marks = ["\"session_id\"", "\"event_type\"", "\"start_date\"", "\"actor_subject\""];
        Self {
            marks: marks.map(Finder::new),
            object: Finder::new("{\"kind\""),
            probe: Scanner::new(probe::NAMES),
            top: Scanner::new(KNOWN),
            rows: Rows {
                audit: audit::Audit::new(),
                session: session::Session::new(),
                webhook: webhook::Webhook::new(),
                inspect: inspect::Inspect::new(),
            },
            found: None,
        }
    }

    /// Whether a record has one of the four shapes, pages and lines with a prefix included.
    /// Records without the words they have in common are not scanned; only broken JSON allocates.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        self.found = None;
        if self.has_marks(record) {
            self.found = self.find(record, None, Seen::default()).unwrap_or_default();
        }
        self.found.is_some()
    }

    fn has_marks(&self, record: &[u8]) -> bool {
        self.marks.iter().any(|mark| mark.find(record).is_some())
    }

    /// The scanner of records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.top
    }

    /// As [`HoopParser::detects`], of the JSON object scanned last.
    pub(in crate::parse) fn detects_scanned(&mut self, record: &[u8], seen: Seen<'_>) -> bool {
        let object = Object { scanner: &self.top, text: record };
        let marks = [probe::SESSION_ID, probe::EVENT_TYPE, probe::START_DATE, probe::ACTOR_SUBJECT];
        // A key that is there as it is named is such a word.
        let has_key = !self.top.has_spelled_keys() && marks.iter().any(|&key| object.has(key));
        let has_marks = has_key || self.has_marks(record);
        let own = shape(&object).filter(|_| has_marks);
        self.found = match own {
            Some(format) => Some(Found { format, is_page: false, begin: 0, is_forced: false }),
            None if has_marks => self.find(record, None, seen).unwrap_or_default(),
            None => None,
        };
        self.found.is_some()
    }

    /// As [`HoopParser::parse`], of the record detected last.
    ///
    /// # Errors
    /// The same.
    pub(in crate::parse) fn parse_found(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let found = self.found.ok_or_else(unknown)?;
        self.read(found, record, context, events).map_err(|reject| found.format.guess(reject))
    }

    /// Appends the record's events: one, or one a row of a page. What surrounds a page (its other
    /// fields, an envelope's attributes and text) stands in its first row alone.
    ///
    /// # Errors
    /// A reject, and no event, if the record has none of the shapes or a row no time.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let found = self.find(record, None, context.seen())?.ok_or_else(unknown)?;
        self.read(found, record, context, events).map_err(|reject| found.format.guess(reject))
    }

    /// As [`HoopParser::parse`], for a source that is configured to have this format: rows and
    /// pages need no marks, hoopinspect lines may be of any kind, webhooks of any type.
    ///
    /// # Errors
    /// A reject, and no event, if the record is no JSON object or a row has no time.
    pub fn parse_as(
        &mut self,
        format: HoopFormat,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        self.find(record, Some(format), context.seen())
            .and_then(|found| found.ok_or_else(unknown))
            .and_then(|found| self.read(found, record, context, events))
            .map_err(|reject| format.guess(reject))
    }

    /// Finds out what a record is; `None` if it has none of the shapes.
    fn find(
        &mut self,
        record: &[u8],
        forced: Option<HoopFormat>,
        seen: Seen<'_>,
    ) -> Result<Option<Found>, Reject> {
        let begin = match record.trim_ascii_start().first() {
            Some(b'{') => Some(0),
            // A line that only contains an object. One that begins like an object and is none was
            // cut, and reading on inside it would take its content for a line.
            _ if forced.is_none_or(|format| format == HoopFormat::Inspect) => {
                self.object.find(record)
            }
            _ => Some(0),
        };
        let Some(begin) = begin else { return Ok(None) };
        let object = record.get(begin..).unwrap_or_default();
        self.probe.scan(object, seen)?;
        self.found_in(begin, object, forced, seen)
    }

    /// As [`HoopParser::find`], of the object scanned last, which begins there in its record.
    fn found_in(
        &mut self,
        begin: usize,
        object: &[u8],
        forced: Option<HoopFormat>,
        seen: Seen<'_>,
    ) -> Result<Option<Found>, Reject> {
        let object = Object { scanner: &self.probe, text: object };
        let own = shape(&object);
        let data = object.array(probe::DATA);
        let has_pages = object.has(probe::PAGES);
        let is_forced = forced.is_some();
        let found = |format, is_page| Found { format, is_page, begin, is_forced };
        match forced {
            Some(format) => {
                let is_page = format.has_pages() && data.is_some() && own != forced;
                return Ok(Some(found(format, is_page)));
            }
            None if begin > 0 => {
                let inspect = own.filter(|own| *own == HoopFormat::Inspect);
                return Ok(inspect.map(|format| found(format, false)));
            }
            None => {}
        }
        if let Some(format) = own {
            return Ok(Some(found(format, false)));
        }
        let Some(first) = data.and_then(first_element) else { return Ok(None) };
        let row = shape(&Object::scan(&mut self.probe, first, seen)?);
        let is_page = |format: &HoopFormat| match format {
            HoopFormat::Audit => has_pages,
            HoopFormat::Session => true,
            HoopFormat::Webhook | HoopFormat::Inspect => false,
        };
        Ok(row.filter(is_page).map(|format| found(format, true)))
    }

    fn read(
        &mut self,
        found: Found,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let before = events.all().len();
        let object = record.get(found.begin..).unwrap_or_default();
        let result = if found.is_page {
            self.page(found, object, context, events)
        } else {
            let event = events.begin();
            if found.begin > 0 && context.outer.is_none() {
                event.text(f::RAW, record);
            }
            self.rows.fill(found.format, object, context, event)
        };
        if result.is_err() {
            events.truncate(before);
        }
        result
    }

    fn page(
        &mut self,
        found: Found,
        page: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let object = Object::scan(&mut self.probe, page, context.seen())?;
        let repeated = object.repeated();
        let rows = object.array(probe::DATA).unwrap_or_default();
        let mut around = context.clone();
        around.envelope.attributes = page_attributes(&object, &context.envelope.attributes);
        // Of a list that stands twice the first one would be lost.
        around.outer = context.outer.or(repeated.then_some(page));
        let mut count = 0;
        for row in list::elements(rows) {
            if count == PAGE_ROWS_MAX {
                let detail = format!("expected at most {PAGE_ROWS_MAX} rows in a page, found more");
                return Err(Reject::new(Reason::TooManyFields, detail));
            }
            let at = |reject: Reject| Reject {
                detail: format!("row {count} of the page: {}", reject.detail),
                ..reject
            };
            let probed = Object::scan(&mut self.probe, row, context.seen()).map_err(at)?;
            if !found.is_forced && shape(&probed) != Some(found.format) {
                let detail = "expected a row like the first, found another shape";
                return Err(at(Reject::new(Reason::UnknownFormat, detail)));
            }
            let event = events.begin();
            if repeated {
                values::put_ambiguous(event, b"a key of the page stands twice");
            }
            self.rows.fill(found.format, row, &around, event).map_err(at)?;
            around.outer = None;
            around.envelope.attributes.clear();
            count += 1;
        }
        if count == 0 {
            return Err(Reject::new(Reason::UnknownFormat, "expected rows in a page, found none"));
        }
        Ok(())
    }
}

impl Rows {
    fn fill(
        &mut self,
        format: HoopFormat,
        row: &[u8],
        context: &Context<'_>,
        event: &mut Event,
    ) -> Result<(), Reject> {
        event.text(f::MESH, b"hoop");
        event.text(f::SOURCE_FORMAT, format.as_str().as_bytes());
        event.bool(f::TLS_FAILURE, false);
        let reporter: &[u8] = match format {
            HoopFormat::Audit => b"control_plane",
            _ => b"gateway",
        };
        event.text(f::REPORTER, reporter);
        match format {
            HoopFormat::Audit => self.audit.fill(row, context, event),
            HoopFormat::Session => self.session.fill(row, context, event),
            HoopFormat::Webhook => self.webhook.fill(row, context, event),
            HoopFormat::Inspect => self.inspect.fill(row, context, event),
        }
    }
}

fn unknown() -> Reject {
    Reject::new(Reason::UnknownFormat, "expected a record of hoop.dev, found another")
}

/// The first element of a list.
fn first_element(elements: &[u8]) -> Option<&[u8]> {
    list::elements(elements).next()
}

/// The shape an object has by itself, that is, unless it is a page.
fn shape(object: &Object<'_, '_>) -> Option<HoopFormat> {
    let has = |keys: &[usize]| keys.iter().all(|&key| object.has(key));
    let is = |key: usize, known: &[&[u8]]| {
        object.has(key) && object.text(key).is_some_and(|text| known.contains(&&*text))
    };
    if object.has(probe::SESSION_ID) && is(probe::KIND, inspect::KINDS) {
        Some(HoopFormat::Inspect)
    } else if is(probe::EVENT_TYPE, webhook::TYPES) {
        Some(HoopFormat::Webhook)
    } else if has(&[probe::ACTOR_SUBJECT, probe::RESOURCE_TYPE]) {
        Some(HoopFormat::Audit)
    } else if has(&[probe::CONNECTION, probe::VERB, probe::STATUS, probe::START_DATE]) {
        Some(HoopFormat::Session)
    } else {
        None
    }
}

/// The fields of a page besides its rows, as the inside of an object, with an envelope's.
fn page_attributes(page: &Object<'_, '_>, envelope: &[u8]) -> Vec<u8> {
    let mut inside = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        if !inside.is_empty() {
            inside.push(b',');
        }
        inside.extend_from_slice(key);
        inside.push(b':');
        inside.extend_from_slice(value);
    };
    for key in (0..page.scanner.len()).filter(|&key| key != probe::DATA) {
        let slot = page.slot(key);
        if slot.kind != Kind::Missing {
            add(format!("\"{}\"", page.scanner.name(key)).as_bytes(), slot.json(page.text));
        }
    }
    for (key, value) in page.scanner.extras(page.text) {
        add(key, value);
    }
    let mut all = Vec::with_capacity(inside.len() + envelope.len() + 16);
    if !inside.is_empty() {
        all.extend_from_slice(format!("\"{PAGE_KEY}\":{{").as_bytes());
        all.extend_from_slice(&inside);
        all.push(b'}');
    }
    if !all.is_empty() && !envelope.is_empty() {
        all.push(b',');
    }
    all.extend_from_slice(envelope);
    all
}

/// Sets who it was. `session` means: whoever logged in at the gateway.
fn put_principal(event: &mut Event, principal: Option<&[u8]>, is_machine: bool) {
    let Some(principal) = principal else { return };
    let kind: &[u8] = match principal {
        _ if is_machine => b"machine",
        _ if principal.starts_with(b"spiffe://") => b"workload",
        _ => b"user",
    };
    event.text(f::PRINCIPAL, principal);
    event.text(f::PRINCIPAL_TYPE, kind);
    event.text(f::PRINCIPAL_SOURCE, b"session");
}

/// A text, if it is an e-mail address: `x@y` without white space, `/` and `:`.
fn address(text: Option<&[u8]>) -> Option<&[u8]> {
    let whole = text?;
    let text = std::str::from_utf8(whole).ok()?;
    let (before, after) = text.split_once('@')?;
    let odd = |c: char| c.is_whitespace() || matches!(c, '/' | ':');
    let is_address =
        !before.is_empty() && !after.is_empty() && !after.contains('@') && !text.contains(odd);
    is_address.then_some(whole)
}

/// Sets time, columns of the envelope, and what is left over, when the row's own columns are set.
fn finish(
    event: &mut Event,
    row: &Object<'_, '_>,
    others: &[Object<'_, '_>],
    direct: &[Direct],
    context: &Context<'_>,
) {
    for (column, value) in &context.envelope.columns {
        event.text(*column, value.as_bytes());
    }
    if row.repeated() || others.iter().any(Object::repeated) {
        values::put_ambiguous(event, values::REPEATED);
    }
    let is_page = |key: &[u8]| {
        key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(PAGE_KEY.as_bytes())
    };
    if row.scanner.extras(row.text).any(|(key, _)| is_page(key)) {
        // Its place in `attributes` may be taken by the page.
        event.text(f::RAW, context.outer.unwrap_or(row.text));
    }
    super::leftovers::finish(event, row.scanner, row.text, direct, context);
}

/// Sets a session's begin (1) or end (2).
fn put_session(event: &mut Event, activity: i32) {
    values::put_class(event, EventKind::Session, 3002, activity);
}
