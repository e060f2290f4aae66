//! Envoy's text access logs: Istio's layout of 24 slots, Envoy's own of 14, and what can be read
//! of other layouts and of lines that were cut.
//!
//! Envoy does not escape quotes, so whoever sends a header can imitate the fields behind it. A
//! line is therefore read from both ends: the left half up to the first client text, the right
//! half from the last place where it fits. Between them stand four texts of the client. If these
//! can be parted in more than one way, they are not read, and the row says `ambiguous`.

use archive::SegmentEncoder;

use super::EnvoyParser;
use super::keys as k;
use super::record::{LogRecord, Reading, no_line};
use super::verdict::Missing;
use crate::parse::event::{Context, Events, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner};
use crate::parse::quote::push_string;
use crate::parse::{envoy::keys::Shape, time};
use crate::reject::{Reason, Reject};

/// Text of column `source_format`.
pub const SOURCE_FORMAT: &str = "envoy_text";

/// Whether a line is taken for Envoy's without being told: it begins `[<RFC 3339>] "`.
pub fn detects(line: &[u8]) -> bool {
    start(line).is_some_and(|(start, _)| time::parse_rfc3339(start).is_some())
}

impl EnvoyParser {
    /// Appends the event of a text line.
    ///
    /// # Errors
    /// A reject, if not even the request and its answer can be read, or the line has no time.
    pub fn parse_text(
        &mut self,
        line: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let log = LogRecord { source_format: SOURCE_FORMAT, time_micros: None, labels: &[] };
        self.parse_text_logged(line, &log, context, events)
    }

    /// As [`EnvoyParser::parse_text`], for the line of a log record.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn parse_text_logged(
        &mut self,
        line: &[u8],
        log: &LogRecord<'_>,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let Some(read) = Line::read(line) else {
            return Err(no_line("expected `[START] \"METHOD PATH PROTOCOL\" CODE FLAGS`"));
        };
        let own = time::parse_rfc3339(read.start);
        let Some(time_micros) = log.time_micros.or(own) else {
            let detail = "expected START as an RFC 3339 time, found another text";
            let reject = Reject::new(Reason::NoEventTime, detail);
            return Err(Reject { format_guess: Some(log.source_format), ..reject });
        };
        // The values and the keys around them.
        let mut record = Vec::with_capacity(line.len() + 1024);
        read.write(&mut record, &mut self.scanner);
        if !log.labels.is_empty() {
            let ambiguous = read.problem == Some(AMBIGUOUS);
            let fields = self.labels(log, |key| ambiguous && CLIENT_KEYS.contains(&key));
            if !fields.is_empty() {
                record.pop();
                record.push(b',');
                record.extend_from_slice(&fields);
                record.push(b'}');
                self.scanner.scan(&record, true)?;
            }
        }
        let reading = Reading {
            source_format: log.source_format,
            time_micros,
            time_source: None,
            shape: Some(Shape::Sparse),
            missing: read.missing,
            problem: read.problem,
            raw: Some(context.outer.unwrap_or(line)),
        };
        self.event(&record, &reading, context, events.begin());
        Ok(())
    }

    /// Reads a line into the JSON record with the same values; [`EnvoyParser::fill_text`] then
    /// writes its columns. Nothing for a line that [`EnvoyParser::parse_text`] refuses.
    pub(crate) fn read_text(&mut self, line: &[u8], record: &mut Vec<u8>) -> Option<TextRead> {
        let read = Line::read(line)?;
        let time_micros = time::parse_rfc3339(read.start)?;
        record.clear();
        read.write(record, &mut self.scanner);
        Some(TextRead { time_micros, missing: read.missing, problem: read.problem })
    }

    /// Writes the columns of the line read last straight into the row in hand: the row that
    /// [`EnvoyParser::parse_text`] gives, where nothing stands around the line.
    pub(crate) fn fill_text(
        &mut self,
        line: &[u8],
        record: &[u8],
        read: &TextRead,
        rows: &mut SegmentEncoder,
    ) {
        rows.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
        if let Some((status, error)) = read.problem {
            rows.text(f::PARSE_STATUS, status.as_bytes());
            rows.text(f::PARSE_ERROR, error.as_bytes());
        }
        rows.text(f::RAW, line);
        let given = self.begin(record, Shape::Sparse, read.missing, rows);
        if rows.recalls() {
            let mut key = std::mem::take(&mut self.key);
            self.kind_key(record, Shape::Sparse, &given, &mut key);
            // JSON records of the same fields have further columns, and keys without this.
            key.extend_from_slice(b"\0text");
            let before = self.attributes.len();
            if !rows.recall(&key, &mut self.attributes) {
                let mut learner = rows.learn(&key);
                self.kind(record, Shape::Sparse, given, &mut OfText(&mut learner));
                learner.finish(&self.attributes[before..]);
            }
            self.key = key;
        } else {
            self.kind(record, Shape::Sparse, given, &mut OfText(rows));
        }
        self.request(record, read.time_micros, Shape::Sparse, given, &mut OfText(rows));
    }
}

/// What a line says besides its fields.
#[derive(Debug)]
pub(crate) struct TextRead {
    /// Its event time.
    pub(crate) time_micros: i64,
    missing: Missing,
    problem: Option<(&'static str, &'static str)>,
}

/// A row without what is said of JSON records only.
struct OfText<'a, R>(&'a mut R);

impl<R: Row> Row for OfText<'_, R> {
    fn text(&mut self, column: usize, value: &[u8]) {
        if !matches!(column, f::SOURCE_FORMAT | f::RECORD_SHAPE | f::RAW) {
            self.0.text(column, value);
        }
    }

    fn int32(&mut self, column: usize, value: i32) {
        self.0.int32(column, value);
    }

    fn int64(&mut self, column: usize, value: i64) {
        self.0.int64(column, value);
    }

    fn bool(&mut self, column: usize, value: bool) {
        self.0.bool(column, value);
    }

    fn list<'a>(&mut self, column: usize, items: impl IntoIterator<Item = &'a [u8]>) {
        self.0.list(column, items);
    }
}

/// The texts of the client, by which other slots can be imitated.
const CLIENT_KEYS: [usize; 4] = [k::X_FORWARDED_FOR, k::USER_AGENT, k::REQUEST_ID, k::AUTHORITY];

const AMBIGUOUS: (&str, &str) =
    ("ambiguous", "the four texts of the client can not be told apart; they were not read");
const LEFT_HALF: (&str, &str) =
    ("partial", "only the left half was read: the line is cut, or its right half is another");
const HEAD: (&str, &str) = ("partial", "only request, code and flags were read: unknown layout");

/// A line, slot by slot.
struct Line<'a> {
    start: &'a [u8],
    slots: Vec<(usize, &'a [u8])>,
    missing: Missing,
    problem: Option<(&'static str, &'static str)>,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let (start, rest) = start(line)?;
        let (method, rest) = slot(rest)?;
        let (path, rest) = slot(rest)?;
        let (protocol, rest) = slot(rest)?;
        let protocol = protocol.strip_suffix(b"\"").filter(|text| !text.is_empty())?;
        let (code, rest) = slot(rest).filter(|(code, _)| is_number(code))?;
        // The flags may be the last thing in the line.
        let (flags, behind) = match slot(rest) {
            Some((flags, behind)) => (flags, Some(behind)),
            None => (Some(rest).filter(|rest| !rest.is_empty() && !rest.contains(&b' '))?, None),
        };
        let mut slots = Vec::with_capacity(24);
        slots.extend([
            (k::START_TIME, start),
            (k::METHOD, method),
            (k::PATH, path),
            (k::PROTOCOL, protocol),
            (k::RESPONSE_CODE, code),
            (k::RESPONSE_FLAGS, flags),
        ]);
        let mut read = Self { start, slots, missing: Missing::Nothing, problem: None };
        if !behind.is_some_and(|rest| read.istio(rest) || read.plain(rest)) {
            if !are_flags(flags) {
                return None;
            }
            read.missing = Missing::Rest;
            read.problem = Some(HEAD);
        }
        Some(read)
    }

    /// Reads on in Istio's layout, behind the flags; `false` if the line does not have it.
    fn istio(&mut self, rest: &'a [u8]) -> bool {
        let Some((left, rest)) = IstioLeft::read(rest) else { return false };
        self.slots.extend([
            (k::RESPONSE_CODE_DETAILS, left.details),
            (k::CONNECTION_TERMINATION_DETAILS, left.termination),
            (k::UPSTREAM_TRANSPORT_FAILURE_REASON, left.upstream_failure),
        ]);
        self.counts(left.counts);
        match last_anchor(rest, istio_right) {
            Some((client, right)) => {
                self.client(client);
                self.slots.extend(right);
            }
            None => {
                self.missing = Missing::Rest;
                self.problem = Some(LEFT_HALF);
            }
        }
        true
    }

    /// Reads on in Envoy's own layout, behind the flags; `false` if the line does not have it.
    fn plain(&mut self, rest: &'a [u8]) -> bool {
        let Some((counts, rest)) = counts(rest) else { return false };
        let host = |text: &'a [u8]| {
            let host = text.strip_suffix(b"\"").filter(|host| !host.contains(&b'"'))?;
            Some([(k::UPSTREAM_HOST, host)])
        };
        let Some((client, right)) = last_anchor(rest, host) else { return false };
        self.counts(counts);
        self.client(client);
        self.slots.extend(right);
        self.missing = Missing::Details;
        true
    }

    fn counts(&mut self, counts: [&'a [u8]; 4]) {
        let keys = [k::BYTES_RECEIVED, k::BYTES_SENT, k::DURATION, k::UPSTREAM_SERVICE_TIME];
        self.slots.extend(keys.into_iter().zip(counts));
    }

    /// The four texts between the anchors, if they can be parted in one way only.
    fn client(&mut self, client: &'a [u8]) {
        // Overlapping places count as well: of these, nobody can say which parts.
        let places: Vec<usize> = memchr::memchr_iter(b'"', client)
            .filter(|&at| client.get(at..).is_some_and(|rest| rest.starts_with(PART)))
            .take(4)
            .collect();
        let parts = match places[..] {
            [first, second, third] if first + 3 <= second && second + 3 <= third => {
                let piece = |from: usize, to: usize| client.get(from..to).unwrap_or_default();
                [
                    piece(0, first),
                    piece(first + 3, second),
                    piece(second + 3, third),
                    piece(third + 3, client.len()),
                ]
            }
            _ => {
                self.problem = Some(AMBIGUOUS);
                [&b""[..]; 4]
            }
        };
        self.slots.extend(CLIENT_KEYS.into_iter().zip(parts));
    }

    /// Appends the JSON record with the same values, and tells the scanner what it would find.
    fn write(&self, out: &mut Vec<u8>, scanner: &mut Scanner) {
        out.reserve(self.slots.iter().map(|(_, text)| text.len() + 48).sum());
        scanner.begin();
        for (key, text) in &self.slots {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(scanner.literal(*key));
            let start = out.len();
            let (kind, quote) = match *text {
                b"" | b"-" => {
                    out.extend_from_slice(b"null");
                    (Kind::Null, 0)
                }
                text if NUMBERS.contains(key) && is_canonical(text) => {
                    out.extend_from_slice(text);
                    (Kind::Number, 0)
                }
                text => {
                    push_string(out, text);
                    let is_plain = out.len() == start + text.len() + 2;
                    (if is_plain { Kind::Text } else { Kind::Escaped }, 1)
                }
            };
            scanner.put(*key, kind, start + quote..out.len() - quote);
        }
        out.push(b'}');
    }
}

/// Slots that are numbers in the JSON format.
const NUMBERS: [usize; 4] = [k::RESPONSE_CODE, k::BYTES_RECEIVED, k::BYTES_SENT, k::DURATION];

/// What parts two quoted texts.
const PART: &[u8] = b"\" \"";

/// The begin of every layout: the time, and what stands behind the quote that follows it.
fn start(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (start, rest) = slot(line.strip_prefix(b"[")?)?;
    let start = start.strip_suffix(b"]").filter(|start| !start.is_empty())?;
    Some((start, rest.strip_prefix(b"\"")?))
}

/// A slot without quotes: some characters that are no space, and a space behind them.
fn slot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text).filter(|&end| end > 0)?;
    let (slot, rest) = text.split_at_checked(end)?;
    Some((slot, rest.strip_prefix(b" ")?))
}

/// Istio's slots between the flags and the first text of the client.
struct IstioLeft<'a> {
    details: &'a [u8],
    termination: &'a [u8],
    upstream_failure: &'a [u8],
    counts: [&'a [u8]; 4],
}

impl<'a> IstioLeft<'a> {
    fn read(rest: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (details, rest) = slot(rest)?;
        let (termination, rest) = slot(rest)?;
        let rest = rest.strip_prefix(b"\"")?;
        // The failure may hold quotes: it ends at the first one behind which the rest fits.
        memchr::memchr_iter(b'"', rest).find_map(|quote| {
            let (upstream_failure, behind) = rest.split_at_checked(quote)?;
            let (counts, behind) = counts(behind.strip_prefix(b"\" ")?)?;
            Some((Self { details, termination, upstream_failure, counts }, behind))
        })
    }
}

/// Bytes received and sent, duration, upstream time, and the quote that opens the client's texts.
fn counts(rest: &[u8]) -> Option<([&[u8]; 4], &[u8])> {
    let (received, rest) = digits(rest)?;
    let (sent, rest) = digits(rest)?;
    let (duration, rest) = digits_or_dash(rest)?;
    let (upstream, rest) = digits_or_dash(rest)?;
    Some(([received, sent, duration, upstream], rest.strip_prefix(b"\"")?))
}

/// Digits and a space. Reads no further than these, so that trying costs little.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).filter(|&end| end > 0)?;
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits, rest.strip_prefix(b" ")?))
}

fn digits_or_dash(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.strip_prefix(b"- ") {
        Some(rest) => text.get(..1).map(|dash| (dash, rest)),
        None => digits(text),
    }
}

/// The last place that parts two quoted texts and behind which `right` fits: what stands before
/// it, and what `right` read.
fn last_anchor<'a, T>(
    text: &'a [u8],
    right: impl Fn(&'a [u8]) -> Option<T>,
) -> Option<(&'a [u8], T)> {
    memchr::memrchr_iter(b'"', text).find_map(|quote| {
        let (client, behind) = text.split_at_checked(quote)?;
        Some((client, right(behind.strip_prefix(PART)?)?))
    })
}

/// Istio's slots from the upstream host on. The route is all the rest: its name comes from
/// configuration and may hold anything.
fn istio_right(text: &[u8]) -> Option<[(usize, &[u8]); 7]> {
    let (host, rest) = text.split_at_checked(memchr::memchr(b'"', text)?)?;
    let (cluster, rest) = slot(rest.strip_prefix(b"\" ")?)?;
    let (upstream_local, rest) = slot(rest)?;
    let (downstream_local, rest) = slot(rest)?;
    let (downstream_remote, rest) = slot(rest)?;
    let (server_name, route) = slot(rest)?;
    (!route.is_empty()).then_some([
        (k::UPSTREAM_HOST, host),
        (k::UPSTREAM_CLUSTER, cluster),
        (k::UPSTREAM_LOCAL_ADDRESS, upstream_local),
        (k::DOWNSTREAM_LOCAL_ADDRESS, downstream_local),
        (k::DOWNSTREAM_REMOTE_ADDRESS, downstream_remote),
        (k::REQUESTED_SERVER_NAME, server_name),
        (k::ROUTE_NAME, route),
    ])
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Digits that JSON takes for a number.
fn is_canonical(text: &[u8]) -> bool {
    is_number(text) && (text == b"0" || !text.starts_with(b"0"))
}

/// `-`, or letters and digits between commas.
fn are_flags(text: &[u8]) -> bool {
    let is_flag = |flag: &[u8]| !flag.is_empty() && flag.iter().all(u8::is_ascii_alphanumeric);
    text == b"-" || text.split(|&byte| byte == b',').all(is_flag)
}
