//! Reading what scanners found: texts that are there, whole numbers, nested objects, times.

use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner, Seen, Slot};
use crate::parse::leftovers::{self, Direct};
use crate::parse::time;
use crate::reject::{Reason, Reject};

use super::call::Text;
use super::walk;

/// What makes the reading of a record uncertain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// A known key stands twice in an object that was read.
    pub(super) repeated: bool,
    /// An object has too many fields to be read to its end.
    pub(super) unread: bool,
}

/// A text that is there: not one of the marks of absence, nor of another type.
pub(super) fn text<'a>(scanner: &Scanner, key: usize, record: &'a [u8]) -> Text<'a> {
    scanner.slot(key).text(record).filter(|text| !walk::is_absent(text))
}

/// Whether a text field has this value.
pub(super) fn is(scanner: &Scanner, key: usize, record: &[u8], value: &str) -> bool {
    scanner.slot(key).text(record).is_some_and(|text| &*text == value.as_bytes())
}

/// The JSON text of an object or list.
pub(super) fn nested(slot: Slot, record: &[u8]) -> Option<&[u8]> {
    (slot.kind == Kind::Nested).then(|| slot.bytes(record))
}

/// Scans a nested object and returns its text; what is no object reads like an empty one.
pub(super) fn open<'a>(
    scanner: &mut Scanner,
    slot: Slot,
    record: &'a [u8],
    seen: Seen<'_>,
    doubt: &mut Doubt,
) -> &'a [u8] {
    let object = nested(slot, record).filter(|text| walk::is_object(text)).unwrap_or(b"{}");
    doubt.unread |= scanner.scan(object, seen).is_err();
    doubt.repeated |= scanner.repeated();
    object
}

/// A whole number, in quotes or not.
pub(super) fn whole(slot: Slot, record: &[u8]) -> Option<i64> {
    let number = match slot.kind {
        Kind::Number | Kind::Text => slot.bytes(record),
        _ => return None,
    };
    let first = *number.first()?;
    let text = std::str::from_utf8(number).ok()?;
    text.parse().ok().filter(|_| first != b'+')
}

/// A time in RFC 3339, in microseconds.
pub(super) fn micros(scanner: &Scanner, key: usize, record: &[u8]) -> Option<i64> {
    time::parse_rfc3339(&scanner.slot(key).text(record)?)
}

/// Sets the event's time: the record's, else the envelope's. Returns whether there is one.
pub(super) fn time_or_reject(
    payload: Option<i64>,
    expected: &str,
    guess: &'static str,
    context: &Context<'_>,
) -> Result<(i64, &'static str), Reject> {
    payload.map(|micros| (micros, "payload")).or(context.envelope.time).ok_or_else(|| {
        let detail = format!("expected {expected} in RFC 3339, found no time");
        guessed(Reject::new(Reason::NoEventTime, detail), guess)
    })
}

/// A reject of a record that looks like a format.
pub(super) fn guessed(reject: Reject, guess: &'static str) -> Reject {
    Reject { format_guess: Some(guess), ..reject }
}

/// Writes event time and its source.
pub(super) fn set_time(event: &mut Event, (micros, source): (i64, &str)) {
    event.int64(f::EVENT_TIME, micros);
    event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
}

/// Key in `attributes` of what stood around an event in its record.
pub(super) const ENVELOPE_KEY: &str = "\"envelope\"";

/// Writes what is left of an event: the envelope's columns, then attributes, raw text and status.
pub(super) fn complete(
    event: &mut Event,
    scanner: &Scanner,
    record: &[u8],
    direct: &[Direct],
    context: &Context<'_>,
    doubt: Doubt,
) {
    for (column, value) in &context.envelope.columns {
        event.text(*column, value.as_bytes());
    }
    if doubt.repeated || scanner.repeated() {
        event.text(f::PARSE_STATUS, b"ambiguous");
        event.text(f::PARSE_ERROR, b"a key stands twice; the last value was read");
    } else if doubt.unread {
        event.text(f::PARSE_STATUS, b"partial");
        event.text(f::PARSE_ERROR, b"a nested object has too many fields; the first were read");
    }
    if scanner.extras(record).any(|(key, _)| key == ENVELOPE_KEY.as_bytes()) {
        // Its place in `attributes` may be taken by the envelope.
        event.text(f::RAW, context.outer.unwrap_or(record));
    }
    leftovers::finish(event, scanner, record, direct, context);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_may_be_quoted() {
        for (value, expected) in [
            ("200", Some(200)),
            ("\"200\"", Some(200)),
            ("-1", Some(-1)),
            ("\"+200\"", None),
            ("200.0", None),
            ("2e2", None),
            ("\"\"", None),
            ("true", None),
            ("99999999999999999999", None),
        ] {
            let record = format!("{{\"n\":{value}}}");
            let mut scanner = Scanner::new(&["n"]);
            scanner.scan(record.as_bytes(), false).unwrap();
            assert_eq!(whole(scanner.slot(0), record.as_bytes()), expected, "{value}");
        }
    }
}
