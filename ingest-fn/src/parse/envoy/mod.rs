//! Envoy JSON access logs: Istio's default keys, the extended keys we recommend, any order, any
//! subset.
//!
//! What a column holds exactly is in the column alone; everything else stands in `attributes` as
//! it stood in the record, so that the record can be rebuilt. Records of an unknown key set keep
//! their text in `raw`.

mod consul;
mod fill;
mod keys;
#[cfg(test)]
mod kind_tests;
mod network;
mod rebuild;
mod record;
#[cfg(test)]
mod tests;
pub mod text;
mod verdict;

use archive::SegmentEncoder;
use archive::encode::Learner;
use common::event::EventKind;

use crate::parse::event::Row;
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner};
use crate::parse::time;
use crate::reject::{Reason, Reject};
use crate::scan::Marks;
use fill::Given;
use keys::Shape;
use verdict::Missing;

pub(crate) use rebuild::rebuild;
pub(crate) use record::LogRecord;

/// Text of column `source_format`.
pub const SOURCE_FORMAT: &str = "envoy_json";

/// Known keys a record must have, code, flags and a time among them, to be taken for Envoy's when
/// the format is not configured. With empty values omitted, a TCP record keeps eight.
const DETECTED_KEYS_MIN: u32 = 8;

/// Parses Envoy JSON records, one at a time.
#[derive(Debug)]
pub struct EnvoyParser {
    scanner: Scanner,
    rbac: Scanner,
    jwt: Scanner,
    /// Fields for `attributes`, each behind a comma.
    attributes: Vec<u8>,
    /// What the kind of the record in hand depends on.
    key: Vec<u8>,
}

impl Default for EnvoyParser {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvoyParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(keys::NAMES),
            rbac: Scanner::new(keys::rbac::NAMES),
            jwt: Scanner::new(keys::jwt::NAMES),
            attributes: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Reads a record and returns its event time in microseconds; [`EnvoyParser::fill`] then
    /// writes its columns. `forced` takes the record for Envoy's whatever keys it has.
    ///
    /// # Errors
    /// A reject, if the record is no JSON object, not Envoy's, or has no time.
    pub fn scan(&mut self, record: &[u8], plain: bool, forced: bool) -> Result<i64, Reject> {
        self.scanner.scan(record, plain)?;
        self.identify(record, forced)
    }

    /// As [`EnvoyParser::scan`], with a look at the record taken before.
    pub(crate) fn scan_marked(
        &mut self,
        record: &[u8],
        marks: &Marks,
        forced: bool,
    ) -> Result<i64, Reject> {
        self.scanner.scan_quoted(record, marks.plain, marks.quotes())?;
        self.identify(record, forced)
    }

    /// Whether the record scanned last has keys beyond Envoy's, as a shipper adds them.
    pub(crate) fn has_unknown_keys(&self) -> bool {
        self.scanner.has_extras()
    }

    /// The event time of the record scanned last, if it is one of Envoy's.
    fn identify(&self, record: &[u8], forced: bool) -> Result<i64, Reject> {
        if !forced && !self.looks_like_envoy() {
            return Err(Reject::new(
                Reason::UnknownFormat,
                "a JSON object, but not with the keys of a format this version reads",
            ));
        }
        let envoy = |reject: Reject| Reject { format_guess: Some(SOURCE_FORMAT), ..reject };
        self.event_time(record).map_err(envoy)
    }

    fn looks_like_envoy(&self) -> bool {
        let has = |key: usize| self.scanner.present() & (1 << key) != 0;
        has(keys::RESPONSE_CODE)
            && has(keys::RESPONSE_FLAGS)
            && (has(keys::START_TIME) || has(keys::START_US))
            && self.scanner.present().count_ones() >= DETECTED_KEYS_MIN
    }

    fn event_time(&self, record: &[u8]) -> Result<i64, Reject> {
        let read = |key: usize, parse: fn(&[u8]) -> Option<i64>| {
            let slot = self.scanner.slot(key);
            match slot.kind {
                Kind::Text => parse(slot.bytes(record)),
                _ => None,
            }
        };
        read(keys::START_US, time::parse_unix_seconds)
            .or_else(|| read(keys::START_TIME, time::parse_rfc3339))
            .ok_or_else(|| {
                let expected = "expected start_time in RFC 3339 or start_us as seconds.micros";
                Reject::new(Reason::NoEventTime, format!("{expected}, found neither"))
            })
    }

    /// Writes the columns of the record scanned last into the row in hand. The columns that are
    /// the same for a whole delivery are the pipeline's.
    ///
    /// The result is that of any other row; what records of a kind have in common is only worked
    /// out once.
    pub fn fill(&mut self, record: &[u8], event_time_micros: i64, rows: &mut SegmentEncoder) {
        let shape = Shape::of(self.scanner.present());
        let given = self.begin(record, shape, Missing::Nothing, rows);
        if rows.recalls() {
            let mut key = std::mem::take(&mut self.key);
            self.kind_key(record, shape, &given, &mut key);
            let before = self.attributes.len();
            if !rows.recall(&key, &mut self.attributes) {
                let mut learner = rows.learn(&key);
                self.kind(record, shape, given, &mut learner);
                learner.finish(&self.attributes[before..]);
            }
            self.key = key;
        } else {
            self.kind(record, shape, given, rows);
        }
        self.request(record, event_time_micros, shape, given, rows);
    }

    /// As [`EnvoyParser::fill`], for a record of that shape whose source leaves out something.
    fn fill_as(
        &mut self,
        record: &[u8],
        event_time_micros: i64,
        shape: Shape,
        missing: Missing,
        columns: &mut impl Row,
    ) {
        let given = self.begin(record, shape, missing, columns);
        self.kind(record, shape, given, columns);
        self.request(record, event_time_micros, shape, given, columns);
    }

    /// Writes what a token says, and says what the record's kind depends on beside its values.
    fn begin(
        &mut self,
        record: &[u8],
        shape: Shape,
        missing: Missing,
        columns: &mut impl Row,
    ) -> Given {
        self.attributes.clear();
        let repeated = self.scanner.repeated();
        let given = Given { missing, repeated, has_path: false, has_subject: false };
        let mut fill = fill::Fill {
            scanner: &self.scanner,
            record,
            shape,
            given,
            columns,
            attributes: &mut self.attributes,
            visible: keys::FULL_KEYS,
        };
        let has_path = [keys::PATH, keys::PATH_NQ].iter().any(|&key| fill.text(key).is_some());
        Given { has_path, has_subject: fill.token(&mut self.jwt), ..given }
    }

    /// All that the record's kind depends on, as one text.
    fn kind_key(&self, record: &[u8], shape: Shape, given: &Given, key: &mut Vec<u8>) {
        let flags = [given.repeated, given.has_path, given.has_subject];
        let flags = flags.iter().fold(0, |bits, &flag| bits << 1 | u8::from(flag));
        key.clear();
        key.extend_from_slice(&[shape as u8, given.missing as u8, flags]);
        let keys = match shape {
            Shape::Default => &keys::OF_KIND[..keys::DEFAULT_OF_KIND],
            _ => keys::OF_KIND,
        };
        // Values that stand side by side are taken in one piece, and with it the keys in between:
        // there is room for nothing else. No JSON has a zero byte in it.
        let (mut from, mut to) = (0, 0);
        for &of_kind in keys {
            let place = self.scanner.slot(of_kind).place();
            if place.start != to + 1 + self.scanner.literal(of_kind).len() || to == 0 {
                key.extend_from_slice(&record[from..to]);
                key.push(0);
                from = place.start;
            }
            to = place.end;
        }
        key.extend_from_slice(&record[from..to]);
    }

    /// Writes the columns that follow from the record's kind alone.
    fn kind(&mut self, record: &[u8], shape: Shape, given: Given, columns: &mut impl Row) {
        let mut fill = fill::Fill {
            scanner: &self.scanner,
            record,
            shape,
            given,
            columns,
            attributes: &mut self.attributes,
            visible: keys::OF_KIND_MASK,
        };
        let network = fill.network();
        fill.request_kind();
        let peer = fill.identity(network.direction);
        let outcome = fill.verdict(&network, &mut self.rbac);
        fill.principal(peer.as_deref(), &outcome);
        fill.protocol(outcome.kind);
        fill.leftovers_of_kind();
        columns.text(f::EVENT_TIME_SOURCE, b"payload");
        columns.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
        columns.text(f::RECORD_SHAPE, shape.as_str().as_bytes());
        if given.repeated {
            columns.text(f::PARSE_STATUS, b"ambiguous");
            columns.text(f::PARSE_ERROR, b"a key stands twice; the last value was read");
        } else {
            columns.text(f::PARSE_STATUS, b"ok");
        }
    }

    /// Writes the columns of this one request, and what no column holds.
    fn request(
        &mut self,
        record: &[u8],
        event_time_micros: i64,
        shape: Shape,
        given: Given,
        columns: &mut impl Row,
    ) {
        let mut fill = fill::Fill {
            scanner: &self.scanner,
            record,
            shape,
            given,
            columns,
            attributes: &mut self.attributes,
            visible: keys::FULL_KEYS,
        };
        // In the order of columns, as far as may be: then the row's bytes need not be put in order
        // to be hashed.
        fill.times(event_time_micros);
        fill.caller();
        fill.request();
        fill.upstream_local();
        fill.leftovers();
        if shape == Shape::Sparse || given.repeated {
            columns.text(f::RAW, record);
        }
        if let Some(first) = self.attributes.first_mut() {
            *first = b'{';
            self.attributes.push(b'}');
            columns.text(f::ATTRIBUTES, &self.attributes);
        }
    }
}

impl Row for Learner<'_> {
    fn text(&mut self, column: usize, value: &[u8]) {
        Self::text(self, column, value);
    }

    fn int32(&mut self, column: usize, value: i32) {
        Self::int32(self, column, value);
    }

    fn int64(&mut self, column: usize, value: i64) {
        Self::int64(self, column, value);
    }

    fn bool(&mut self, column: usize, value: bool) {
        Self::bool(self, column, value);
    }

    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        Self::list(self, column, items);
    }
}

/// What the verdict says that other columns depend on.
struct Outcome {
    kind: EventKind,
    downstream_tls_failed: bool,
}
