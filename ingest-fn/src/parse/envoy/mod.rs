//! Envoy JSON access logs: Istio's default keys, the extended keys we recommend, any order, any
//! subset.
//!
//! What a column holds exactly is in the column alone; everything else stands in `attributes` as
//! it stood in the record, so that the record can be rebuilt. Records of an unknown key set keep
//! their text in `raw`.

mod consul;
mod fill;
mod keys;
mod network;
mod rebuild;
mod record;
#[cfg(test)]
mod tests;
pub mod text;
mod verdict;

use common::event::EventKind;

use crate::parse::event::Row;
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner};
use crate::parse::time;
use crate::reject::{Reason, Reject};
use crate::scan::Marks;
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
    attributes: Vec<u8>,
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
    pub fn fill(&mut self, record: &[u8], event_time_micros: i64, columns: &mut impl Row) {
        let shape = Shape::of(self.scanner.present());
        self.fill_as(record, event_time_micros, shape, Missing::Nothing, columns);
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
        self.attributes.clear();
        let mut fill = fill::Fill {
            scanner: &self.scanner,
            record,
            shape,
            missing,
            columns,
            attributes: &mut self.attributes,
        };
        fill.times(event_time_micros);
        let network = fill.network();
        fill.request();
        let who = fill.identity(network.direction, &mut self.jwt);
        let outcome = fill.verdict(&network, &mut self.rbac);
        fill.principal(&who, &outcome);
        fill.protocol(outcome.kind);
        fill.leftovers();
        columns.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
        columns.text(f::RECORD_SHAPE, shape.as_str().as_bytes());
        if self.scanner.repeated() {
            columns.text(f::PARSE_STATUS, b"ambiguous");
            columns.text(f::PARSE_ERROR, b"a key stands twice; the last value was read");
        } else {
            columns.text(f::PARSE_STATUS, b"ok");
        }
        if shape == Shape::Sparse || self.scanner.repeated() {
            columns.text(f::RAW, record);
        }
        if !self.attributes.is_empty() {
            self.attributes.push(b'}');
            columns.text(f::ATTRIBUTES, &self.attributes);
        }
    }
}

/// What the verdict says that other columns depend on.
struct Outcome {
    kind: EventKind,
    downstream_tls_failed: bool,
}
