//! One delivery, from bytes to files and a manifest. Everything but [`store`] is pure.

mod records;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use archive::encode::{Constant, EncodedFile, SegmentEncoder};
use archive::seats::Writer;
use archive::store::Put;
use bytes::Bytes;
use common::date::EventDate;
use common::digest::Sha256Digest;
use common::ids::{DeliveryId, SegmentId, UnitId};
use common::limits::{
    DELIVERY_DATES_MAX, DELIVERY_UNITS_MAX, EVENT_TIME_MICROS_MIN, FUTURE_SKEW_MICROS_MAX,
    RECORD_BYTES_MAX,
};
use common::manifest::{Manifest, Provenance, QuarantineEntry, RowRange, Source, Unit};
use common::row::{RowKey, RowSeed};
use common::schema::SCHEMA_VERSION;

use crate::error::IngestError;
use crate::parse::detect::{Dispatcher, RejectedPart};
use crate::parse::envoy::{EnvoyParser, text};
use crate::parse::event::{Context, Event, Events};
use crate::parse::json::Quotes;
use crate::parse::template::{Look, Templates};
use crate::parse::{SourceFormat, fields};
use crate::redact::{Counts, Redactor, Rules};
use crate::reject::{Reason, RecordPlace, Reject, RejectExample, Rejects};
use crate::scan::Marks;
use records::{Records, whole_line};

/// How one source is read.
#[derive(Debug, Clone, Default)]
pub struct SourceConfig {
    /// The format of its records.
    pub format: SourceFormat,
    /// The cluster it comes from, since no record says so.
    pub cluster: Option<String>,
    /// Text of column `transport`.
    pub transport: String,
    /// Text of column `transport_ref`.
    pub transport_ref: Option<String>,
    /// What is taken out of its records before anything is made of them.
    pub redaction: Rules,
}

/// One unit's bytes, as a delivery carries them.
#[derive(Debug, Clone, Copy)]
pub struct UnitBytes<'a> {
    /// The unit's original bytes, decompressed.
    pub bytes: &'a [u8],
    /// Their SHA-256.
    pub sha256: Sha256Digest,
    /// Where the unit begins in its stream.
    pub offset_bytes: u64,
    /// The unit begins inside a record that was too long for the unit before.
    pub continues_record: bool,
    /// The unit's last record goes on in the next unit.
    pub cut_record: bool,
}

/// What became of a unit's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnitOutcome {
    /// Records that became rows.
    pub events: u64,
    /// Records, or pieces of overlong records, in quarantine.
    pub rejects: u64,
}

/// A delivery ready to be stored.
#[derive(Debug)]
pub struct Delivery {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its event files, as the manifest names them.
    pub files: Vec<EncodedFile>,
    /// Its quarantine files, as the manifest names them.
    pub quarantine: Vec<(Bytes, QuarantineEntry)>,
    /// A few of its rejects, for reports.
    pub reject_examples: Vec<RejectExample>,
}

/// Memory that the row groups of a delivery may take, in bytes. One date takes far less.
const SEGMENTS_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Segments of a delivery that may take memory to save time.
const SEGMENTS_FEW: usize = 8;

/// Rows that wait in each of the others.
const WAITING_ROWS_OF_MANY: usize = 64;

/// Bytes of records after which memory is looked at.
const LOOK_BYTES: usize = 4 * 1024 * 1024;

/// A record longer than the limit is kept in pieces of this size.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Builds one delivery, unit by unit.
#[derive(Debug)]
pub struct DeliveryBuilder {
    config: SourceConfig,
    received_at_micros: i64,
    delivery: DeliveryId,
    unit_ids: Vec<UnitId>,
    units: Vec<Unit>,
    marks: Marks,
    parser: EnvoyParser,
    templates: Templates,
    /// An Envoy text line as JSON.
    text_record: Vec<u8>,
    /// Every record takes the long way, against which tests hold the short ones.
    #[cfg(test)]
    only_dispatcher: bool,
    /// Records since the last plain Envoy JSON record.
    not_envoy: u32,
    redactor: Redactor,
    redactions: Counts,
    dispatcher: Dispatcher,
    events: Events,
    /// Events of the record in hand that can not be written, and why.
    refused: Vec<RejectedPart>,
    segments: Segments,
    /// Bytes of records since memory was looked at.
    bytes_since_look: usize,
    segments_bytes_max: usize,
    rejects: Rejects,
}

/// The rows of one date.
#[derive(Debug)]
struct Segment {
    id: SegmentId,
    rows: SegmentEncoder,
    /// Rows before the unit in hand.
    rows_before_unit: u64,
}

/// The segments of a delivery, by date.
#[derive(Debug)]
struct Segments {
    delivery: DeliveryId,
    received_at_micros: i64,
    seed: RowSeed,
    by_date: BTreeMap<EventDate, Segment>,
    has_row_roots: bool,
}

impl Segments {
    /// Whether a date has room beside those that are there, and beside new ones.
    fn has_room(&self, date: EventDate, new_dates: &[EventDate]) -> bool {
        self.by_date.contains_key(&date)
            || new_dates.contains(&date)
            || self.by_date.len() + new_dates.len() < DELIVERY_DATES_MAX
    }

    /// The segment of a date, begun if need be.
    fn of(&mut self, date: EventDate, config: &SourceConfig) -> Result<&mut Segment, IngestError> {
        let count = self.by_date.len();
        Ok(match self.by_date.entry(date) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let id = SegmentId::of(self.delivery, date);
                let mut rows = SegmentEncoder::new(id, date, RowKey::of_segment(self.seed, id))?;
                if count >= SEGMENTS_FEW {
                    rows.look_up_every(WAITING_ROWS_OF_MANY);
                }
                if !self.has_row_roots {
                    rows.measure_without_row_root();
                }
                set_constants(&mut rows, id, config, self.received_at_micros);
                entry.insert(Segment { id, rows, rows_before_unit: 0 })
            }
        })
    }
}

impl DeliveryBuilder {
    /// Starts the delivery of exactly these units, which are then added in this order. The seed was
    /// drawn for this delivery alone.
    ///
    /// # Errors
    /// If there are too many units.
    pub fn new(
        config: SourceConfig,
        units: Vec<UnitId>,
        received_at_micros: i64,
        seed: RowSeed,
    ) -> Result<Self, IngestError> {
        if units.len() > DELIVERY_UNITS_MAX {
            return Err(IngestError::TooManyUnits { max: DELIVERY_UNITS_MAX });
        }
        let delivery = DeliveryId::of_units(&units);
        let redactor = Redactor::new(&config.redaction);
        let dispatcher = Dispatcher::redacting(&config.redaction);
        let of_tables = SegmentId::of(delivery, EventDate::of_micros(received_at_micros)).seed();
        let rejects = Rejects::new(delivery, config.transport_ref.clone(), received_at_micros);
        Ok(Self {
            config,
            received_at_micros,
            delivery,
            unit_ids: units,
            units: Vec::new(),
            marks: Marks::new(),
            parser: EnvoyParser::new(),
            templates: Templates::new(of_tables),
            text_record: Vec::new(),
            #[cfg(test)]
            only_dispatcher: false,
            not_envoy: 0,
            redactor,
            redactions: Counts::default(),
            dispatcher,
            events: Events::default(),
            refused: Vec::new(),
            segments: Segments {
                delivery,
                received_at_micros,
                seed,
                by_date: BTreeMap::new(),
                has_row_roots: true,
            },
            bytes_since_look: 0,
            segments_bytes_max: SEGMENTS_BYTES_MAX,
            rejects,
        })
    }

    /// Keeps the row groups in less memory than usual, in bytes. To be said before the first unit.
    pub const fn keep_segments_below(&mut self, bytes: usize) {
        if bytes < self.segments_bytes_max {
            self.segments_bytes_max = bytes;
        }
    }

    /// Leaves row roots out, to measure what they cost: no archive takes such files. To be said
    /// before the first unit.
    pub fn measure_without_row_roots(&mut self) {
        self.segments.has_row_roots = false;
    }

    /// Parses the next unit.
    ///
    /// # Errors
    /// If rows can not be encoded, or more units come than were announced. Records that do not
    /// parse are no error.
    pub fn add_unit(&mut self, unit: UnitBytes<'_>) -> Result<UnitOutcome, IngestError> {
        let index = self.units.len();
        let Some(&id) = self.unit_ids.get(index) else {
            return Err(IngestError::TooManyUnits { max: self.unit_ids.len() });
        };
        for segment in self.segments.by_date.values_mut() {
            segment.rows_before_unit = segment.rows.rows();
        }
        let mut outcome = UnitOutcome::default();
        for (offset, record, whole) in Records::of(&unit, self.config.format) {
            let place = RecordPlace {
                unit: id,
                unit_index: index,
                offset_bytes: unit.offset_bytes + offset as u64,
            };
            if whole && record.len() <= RECORD_BYTES_MAX {
                let (text, redactions) = self.redact(record);
                self.redactions.add(&redactions);
                match self.record(&text)? {
                    Ok(rows) => {
                        outcome.events += rows;
                        let refused = std::mem::take(&mut self.refused);
                        for part in self.dispatcher.take_rejected().into_iter().chain(refused) {
                            self.rejects.push(place, &part.text, &part.reject)?;
                            outcome.rejects += 1;
                        }
                    }
                    Err(reject) => {
                        // The whole record is kept, and with it its parts.
                        let _ = self.dispatcher.take_rejected();
                        let (offset, line) = whole_line(&unit, offset, record.len());
                        let offset_bytes = unit.offset_bytes + offset as u64;
                        let place = RecordPlace { offset_bytes, ..place };
                        let (line, _) = self.redact(line);
                        self.rejects.push(place, &line, &reject)?;
                        outcome.rejects += 1;
                    }
                }
            } else {
                outcome.rejects += self.overlong(place, record)?;
            }
        }
        self.units.push(Unit {
            id,
            sha256: unit.sha256,
            bytes: unit.bytes.len() as u64,
            events: outcome.events,
            rejects: outcome.rejects,
            rows: self.unit_rows(),
        });
        Ok(outcome)
    }

    /// Keeps the next unit as it came, since it can not be opened: in pieces, with one reason.
    ///
    /// # Errors
    /// As [`Self::add_unit`].
    pub fn add_unit_unread(
        &mut self,
        unit: UnitBytes<'_>,
        reject: &Reject,
    ) -> Result<UnitOutcome, IngestError> {
        let index = self.units.len();
        let Some(&id) = self.unit_ids.get(index) else {
            return Err(IngestError::TooManyUnits { max: self.unit_ids.len() });
        };
        let mut rejects = 0;
        let mut offset_bytes = unit.offset_bytes;
        for piece in unit.bytes.chunks(PIECE_BYTES) {
            let place = RecordPlace { unit: id, unit_index: index, offset_bytes };
            self.rejects.push(place, piece, reject)?;
            offset_bytes = offset_bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            rejects += 1;
        }
        let bytes = u64::try_from(unit.bytes.len()).unwrap_or(u64::MAX);
        self.units.push(Unit {
            id,
            sha256: unit.sha256,
            bytes,
            events: 0,
            rejects,
            rows: Vec::new(),
        });
        Ok(UnitOutcome { events: 0, rejects })
    }

    /// A record without its credentials. Bytes that are no text are redacted once they are text
    /// (the dispatcher), and stand as they came where they never become text.
    fn redact<'a>(&mut self, record: &'a [u8]) -> (Cow<'a, [u8]>, Counts) {
        if self.config.format == SourceFormat::OtlpProtobuf {
            return (Cow::Borrowed(record), Counts::default());
        }
        self.redactor.redact(record)
    }

    fn unit_rows(&self) -> Vec<RowRange> {
        self.segments
            .by_date
            .values()
            .map(|segment| RowRange {
                segment: segment.id,
                first: segment.rows_before_unit,
                count: segment.rows.rows() - segment.rows_before_unit,
            })
            .filter(|range| range.count > 0)
            .collect()
    }

    /// One record to its rows, mostly one, or the reject it is; returns how many rows.
    fn record(&mut self, record: &[u8]) -> Result<Result<u64, Reject>, IngestError> {
        self.bytes_since_look += record.len();
        if self.bytes_since_look >= LOOK_BYTES {
            self.bytes_since_look = 0;
            self.bound_memory()?;
        }
        if self.config.format != SourceFormat::OtlpProtobuf {
            self.marks.look(record);
            if !self.marks.ascii && simdutf8::basic::from_utf8(record).is_err() {
                return Ok(Err(Reject::new(Reason::NotUtf8, "expected UTF-8, found other bytes")));
            }
            if self.takes_short_ways()
                && let Look::Known(time, kind) = self.template_of(record)
            {
                return self.templated(record, time, kind);
            }
            if self.takes_short_ways()
                && self.is_envoy_text(record)
                && let Some(read) = self.parser.read_text(record, &mut self.text_record)
            {
                return self.envoy_text(record, &read);
            }
            if self.takes_short_ways() && self.try_envoy() {
                if let Ok(time) = self.parser.scan_marked(record, &self.marks, false)
                    && !self.parser.has_unknown_keys()
                {
                    self.not_envoy = 0;
                    return self.envoy(record, time);
                }
                self.not_envoy = self.not_envoy.wrapping_add(1);
            }
        }
        self.other(record)
    }

    #[cfg(test)]
    const fn takes_short_ways(&self) -> bool {
        !self.only_dispatcher
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests forbid them")]
    const fn takes_short_ways(&self) -> bool {
        true
    }

    /// Whether to look first if a record is plain Envoy JSON, which then goes straight from bytes
    /// to columns. Every other way gives the same row for such a record, only slower, so among
    /// records of other formats it is tried now and then.
    fn try_envoy(&mut self) -> bool {
        const OTHERS_IN_A_ROW: u32 = 8;
        let wanted = matches!(self.config.format, SourceFormat::Auto | SourceFormat::EnvoyJson);
        if wanted && self.not_envoy >= OTHERS_IN_A_ROW {
            self.not_envoy = self.not_envoy.wrapping_add(1);
            return self.not_envoy.is_multiple_of(32);
        }
        wanted
    }

    /// Whether a record that was looked at is a line of Envoy's text format and nothing else, which
    /// goes straight to columns as well. Control characters, line ends among them, are left to the
    /// dispatcher.
    fn is_envoy_text(&self, record: &[u8]) -> bool {
        matches!(self.config.format, SourceFormat::Auto | SourceFormat::EnvoyText)
            && self.marks.plain
            && text::detects(record)
    }

    /// Looks for the template of a line of text, and learns it once it is known to be of use.
    fn template_of(&mut self, record: &[u8]) -> Look {
        let found = self.templates.look(record);
        let Look::Learnable(kind) = found else { return found };
        let format = self.config.format;
        let context = context(record, format, &self.marks, self.received_at_micros);
        let (dispatcher, events) = (&mut self.dispatcher, &mut self.events);
        let found = self.templates.learn(record, kind, |line, event| {
            events.clear();
            let parsed = dispatcher.parse(format, line, &context, events);
            match events.all_mut() {
                [one] if parsed.is_ok() && dispatcher.take_rejected().is_empty() => {
                    std::mem::swap(one, event);
                    true
                }
                _ => false,
            }
        });
        // What was learned from is no part of the record.
        let _ = dispatcher.take_rejected();
        found
    }

    /// A line of text whose template is known.
    fn templated(
        &mut self,
        line: &[u8],
        time: i64,
        kind: usize,
    ) -> Result<Result<u64, Reject>, IngestError> {
        let date = match self.date_at(time, &[]) {
            Ok(date) => date,
            Err(reject) => return Ok(Err(reject)),
        };
        let segment = self.segments.of(date, &self.config)?;
        self.templates.write(line, kind, &mut segment.rows);
        segment.rows.end_row()?;
        Ok(Ok(1))
    }

    /// An Envoy text line that was read.
    fn envoy_text(
        &mut self,
        line: &[u8],
        read: &text::TextRead,
    ) -> Result<Result<u64, Reject>, IngestError> {
        let date = match self.date_at(read.time_micros, &[]) {
            Ok(date) => date,
            Err(reject) => return Ok(Err(reject)),
        };
        let segment = self.segments.of(date, &self.config)?;
        self.parser.fill_text(line, &self.text_record, read, &mut segment.rows);
        segment.rows.end_row()?;
        Ok(Ok(1))
    }

    /// An Envoy JSON record that was scanned.
    fn envoy(&mut self, record: &[u8], time: i64) -> Result<Result<u64, Reject>, IngestError> {
        let date = match self.date_at(time, &[]) {
            Ok(date) => date,
            Err(reject) => return Ok(Err(reject)),
        };
        let segment = self.segments.of(date, &self.config)?;
        self.parser.fill(record, time, &mut segment.rows);
        segment.rows.end_row()?;
        Ok(Ok(1))
    }

    /// A record of any format, with all of its events.
    fn other(&mut self, record: &[u8]) -> Result<Result<u64, Reject>, IngestError> {
        let format = self.config.format;
        let context = context(record, format, &self.marks, self.received_at_micros);
        self.events.clear();
        let parsed = self.dispatcher.parse(format, record, &context, &mut self.events);
        if let Err(reject) = parsed {
            return Ok(Err(reject));
        }
        let events = std::mem::take(&mut self.events);
        let outcome = self.write(&events);
        self.events = events;
        outcome
    }

    /// Writes the events of a record. One that can not be written costs its neighbours nothing:
    /// its text is a reject of its own, unless it has none or is all there is.
    fn write(&mut self, events: &Events) -> Result<Result<u64, Reject>, IngestError> {
        if let [event] = events.all() {
            return match self.date_of(event, &mut Vec::new()) {
                Ok(date) => self.write_one(event, date).map(|()| Ok(1)),
                Err(reject) => Ok(Err(reject)),
            };
        }
        let mut new_dates = Vec::new();
        let dates: Vec<Result<EventDate, Reject>> =
            events.all().iter().map(|event| self.date_of(event, &mut new_dates)).collect();
        let refused = || dates.iter().filter_map(|date| date.as_ref().err());
        if let Some(first) = refused().next() {
            let texts = events.all().iter().zip(&dates).filter(|(_, date)| date.is_err());
            let texts: Option<Vec<Vec<u8>>> = texts.map(|(event, _)| own_text(event)).collect();
            let Some(texts) = texts.filter(|texts| texts.len() < events.all().len()) else {
                return Ok(Err(first.clone()));
            };
            let part = |(text, reject): (_, &Reject)| RejectedPart { text, reject: reject.clone() };
            self.refused.extend(texts.into_iter().zip(refused()).map(part));
        }
        let mut rows = 0;
        for (event, date) in events.all().iter().zip(&dates) {
            let Ok(date) = date else { continue };
            self.write_one(event, *date)?;
            rows += 1;
        }
        Ok(Ok(rows))
    }

    fn write_one(&mut self, event: &Event, date: EventDate) -> Result<(), IngestError> {
        let segment = self.segments.of(date, &self.config)?;
        event.write(&mut segment.rows);
        Ok(segment.rows.end_row()?)
    }

    /// The date of an event that can be written beside those of this record before it, which began
    /// these dates.
    fn date_of(&self, event: &Event, new_dates: &mut Vec<EventDate>) -> Result<EventDate, Reject> {
        let Some(time) = event.time_micros() else {
            return Err(Reject::new(Reason::NoEventTime, "expected an event time, found none"));
        };
        let date = self.date_at(time, new_dates)?;
        if !self.segments.by_date.contains_key(&date) && !new_dates.contains(&date) {
            new_dates.push(date);
        }
        Ok(date)
    }

    /// The date of a time that can be archived, and has room beside new dates.
    fn date_at(&self, time: i64, new_dates: &[EventDate]) -> Result<EventDate, Reject> {
        self.check_time(time)?;
        let date = EventDate::of_micros(time);
        if self.segments.has_room(date, new_dates) { Ok(date) } else { Err(too_many_dates()) }
    }

    fn check_time(&self, time: i64) -> Result<(), Reject> {
        let latest = self.received_at_micros.saturating_add(FUTURE_SKEW_MICROS_MAX);
        if time < EVENT_TIME_MICROS_MIN || time > latest {
            let range = "expected 2000-01-01 to a day after arrival";
            let detail = format!("{range}, found {} s since 1970", time / 1_000_000);
            return Err(Reject::new(Reason::EventTimeOutOfRange, detail));
        }
        Ok(())
    }

    /// Closes row groups, the largest first, while together they take too much memory: records of
    /// many dates fill many segments at once.
    fn bound_memory(&mut self) -> Result<(), IngestError> {
        let mut sizes: Vec<(usize, &mut Segment)> = self
            .segments
            .by_date
            .values_mut()
            .map(|segment| (segment.rows.memory_bytes(), segment))
            .collect();
        let mut all: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        if all <= self.segments_bytes_max {
            return Ok(());
        }
        sizes.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, segment) in sizes {
            if all <= self.segments_bytes_max / 2 {
                break;
            }
            segment.rows.close_group()?;
            all -= bytes;
        }
        Ok(())
    }

    /// Keeps a record that is too long, in pieces; returns how many.
    fn overlong(&mut self, place: RecordPlace, record: &[u8]) -> Result<u64, IngestError> {
        let mut pieces = 0;
        for piece in record.chunks(PIECE_BYTES) {
            let offset_bytes = place.offset_bytes + pieces * PIECE_BYTES as u64;
            let detail = format!(
                "expected at most {RECORD_BYTES_MAX} bytes a record; this is a piece of the \
                 record around byte {}",
                place.offset_bytes
            );
            let reject = Reject::new(Reason::RecordTooLong, detail);
            let (piece, redactions) = self.redact(piece);
            self.redactions.add(&redactions);
            self.rejects.push(RecordPlace { offset_bytes, ..place }, &piece, &reject)?;
            pieces += 1;
        }
        Ok(pieces)
    }

    /// Closes the files and writes the manifest. Units announced but not added are an error.
    ///
    /// # Errors
    /// If a file can not be encoded or the manifest contradicts itself, a defect.
    pub fn finish(mut self) -> Result<Delivery, IngestError> {
        let mut files = Vec::with_capacity(self.segments.by_date.len());
        for segment in std::mem::take(&mut self.segments.by_date).into_values() {
            files.push(segment.rows.finish()?);
        }
        let (quarantine, reject_examples) = self.rejects.finish()?;
        let quarantine: Vec<_> = quarantine.into_iter().collect();
        self.redactions.add(&self.dispatcher.redactions());
        let redactions = self.redactions.named().map(|(rule, n)| (rule.to_owned(), n)).collect();
        let manifest = Manifest {
            format: common::FORMAT,
            delivery: self.delivery,
            source: Source {
                transport: self.config.transport,
                transport_ref: self.config.transport_ref,
                cluster: self.config.cluster,
                format: self.config.format.as_str().to_owned(),
            },
            provenance: Provenance {
                writer: common::WRITER.to_owned(),
                received_at_micros: self.received_at_micros,
            },
            units: self.units,
            files: files.iter().map(|file| file.entry.clone()).collect(),
            quarantine: quarantine.iter().map(|(_, entry)| entry.clone()).collect(),
            redactions,
        };
        manifest.check().map_err(archive::error::ArchiveError::from)?;
        Ok(Delivery { manifest, files, quarantine, reject_examples })
    }
}

/// What is known of a record that was looked at.
fn context<'a>(
    record: &'a [u8],
    format: SourceFormat,
    marks: &'a Marks,
    received_at_micros: i64,
) -> Context<'a> {
    Context {
        received_at_micros,
        plain: marks.plain,
        quotes: Quotes::of(record, marks.quotes()),
        looked_at: format != SourceFormat::OtlpProtobuf,
        ..Context::default()
    }
}

/// Sets what all rows of a segment share.
fn set_constants(
    rows: &mut SegmentEncoder,
    segment: SegmentId,
    config: &SourceConfig,
    received_at_micros: i64,
) {
    rows.constant(fields::SEGMENT, Constant::Text(segment.to_string()));
    rows.constant(fields::INGEST_TIME, Constant::Int64(received_at_micros));
    rows.constant(fields::TRANSPORT, Constant::Text(config.transport.clone()));
    rows.constant(fields::SCHEMA_VERSION, Constant::Int32(SCHEMA_VERSION));
    rows.constant(fields::SEGMENT_ROW, Constant::RowNumber);
    if let Some(cluster) = &config.cluster {
        // A record that names its cluster knows better.
        rows.constant(fields::K8S_CLUSTER, Constant::Text(cluster.clone()));
    }
    if let Some(place) = &config.transport_ref {
        rows.constant(fields::TRANSPORT_REF, Constant::Text(place.clone()));
    }
}

/// The text of an event of several, as it was or as it is made again; none if it has more than
/// its own record in it, or can not be made again.
fn own_text(event: &Event) -> Option<Vec<u8>> {
    let again = crate::rebuild::rebuild(event).filter(|again| again.around.is_none())?;
    Some(again.record.into_bytes())
}

fn too_many_dates() -> Reject {
    let detail = format!("expected at most {DELIVERY_DATES_MAX} dates a delivery");
    Reject::new(Reason::TooManyDates, detail)
}

/// Stores a delivery: event files, quarantine files, then the manifest, which makes it count.
///
/// A process that stops before the manifest leaves files that no manifest names; one that stops
/// after it has delivered. "Already there" is success: the names contain the digests, and of two
/// manifests of one delivery the first wins.
///
/// # Errors
/// If the archive could not be written; the delivery is then not acknowledged.
pub async fn store(mut delivery: Delivery, writer: &Writer) -> Result<Put, IngestError> {
    for file in delivery.files {
        let version = writer.put_versioned_file(&file.entry.path, file.bytes).await?;
        let mut named = delivery.manifest.files.iter_mut();
        if let Some(entry) = named.find(|entry| entry.path == file.entry.path) {
            entry.version = version;
        }
    }
    for (bytes, entry) in delivery.quarantine {
        let version = writer.put_versioned_file(&entry.path, bytes).await?;
        let mut named = delivery.manifest.quarantine.iter_mut();
        if let Some(named) = named.find(|named| named.path == entry.path) {
            named.version = version;
        }
    }
    Ok(writer.put_manifest(&delivery.manifest).await?)
}

#[cfg(test)]
mod tests;
