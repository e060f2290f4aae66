//! Export requests as protobuf, rewritten in their JSON form.
//! Source: opentelemetry-proto, collector/logs/v1, logs/v1, common/v1, resource/v1.
//!
//! Field by field by the tables below: every field is bounded by the bytes of its message, and
//! messages in messages by a depth. Fields that no table knows are kept as base64 of their bytes,
//! as `unknownField<number>`.
//!
//! Envoy puts header values into texts as clients sent them, UTF-8 or not. A text that is no UTF-8
//! is taken for Latin-1, byte by byte, as Envoy's JSON log does: it costs no neighbour anything.
//! The log records below it get a field [`NOT_UTF8`] that says so.

use std::cell::Cell;

use common::limits::{RECORD_DEPTH_MAX, RECORD_FIELDS_MAX};

use crate::parse::quote::{push_field, push_string};
use crate::parse::shippers::base64;
use crate::reject::{Reason, Reject};

/// How a field is written in JSON.
#[derive(Clone, Copy)]
enum As {
    Text,
    Bool,
    /// A varint as a number: enumerations and 32-bit counts.
    Number,
    /// A varint as signed digits in quotes.
    Int64,
    /// Eight bytes as digits in quotes.
    Fixed64,
    /// Four bytes as a number.
    Fixed32,
    Double,
    Base64,
    Hex,
    Message(&'static Message),
    /// Any number of messages, as a list.
    List(&'static Message),
    /// The same, of resources, scopes or log records.
    Parts(&'static Message),
    Texts,
}

/// A message's fields: number, JSON name, form.
struct Message(&'static [(u64, &'static str, As)]);

static REQUEST: Message = Message(&[(1, "resourceLogs", As::Parts(&RESOURCE_LOGS))]);

static RESOURCE_LOGS: Message = Message(&[
    (1, "resource", As::Message(&RESOURCE)),
    (2, "scopeLogs", As::Parts(&SCOPE_LOGS)),
    (3, "schemaUrl", As::Text),
]);

static RESOURCE: Message = Message(&[
    (1, "attributes", As::List(&KEY_VALUE)),
    (2, "droppedAttributesCount", As::Number),
    (3, "entityRefs", As::List(&ENTITY_REF)),
]);

static ENTITY_REF: Message = Message(&[
    (1, "schemaUrl", As::Text),
    (2, "type", As::Text),
    (3, "idKeys", As::Texts),
    (4, "descriptionKeys", As::Texts),
]);

static SCOPE_LOGS: Message = Message(&[
    (1, "scope", As::Message(&SCOPE)),
    (2, "logRecords", As::Parts(&LOG_RECORD)),
    (3, "schemaUrl", As::Text),
]);

static SCOPE: Message = Message(&[
    (1, "name", As::Text),
    (2, "version", As::Text),
    (3, "attributes", As::List(&KEY_VALUE)),
    (4, "droppedAttributesCount", As::Number),
]);

static LOG_RECORD: Message = Message(&[
    (1, "timeUnixNano", As::Fixed64),
    (2, "severityNumber", As::Number),
    (3, "severityText", As::Text),
    (5, "body", As::Message(&ANY_VALUE)),
    (6, "attributes", As::List(&KEY_VALUE)),
    (7, "droppedAttributesCount", As::Number),
    (8, "flags", As::Fixed32),
    (9, "traceId", As::Hex),
    (10, "spanId", As::Hex),
    (11, "observedTimeUnixNano", As::Fixed64),
    (12, "eventName", As::Text),
]);

static KEY_VALUE: Message = Message(&[(1, "key", As::Text), (2, "value", As::Message(&ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    (1, "stringValue", As::Text),
    (2, "boolValue", As::Bool),
    (3, "intValue", As::Int64),
    (4, "doubleValue", As::Double),
    (5, "arrayValue", As::Message(&ARRAY_VALUE)),
    (6, "kvlistValue", As::Message(&KVLIST_VALUE)),
    (7, "bytesValue", As::Base64),
]);

static ARRAY_VALUE: Message = Message(&[(1, "values", As::List(&ANY_VALUE))]);

static KVLIST_VALUE: Message = Message(&[(1, "values", As::List(&KEY_VALUE))]);

/// Field of a log record in which, or around which, a text is no UTF-8.
pub(super) const NOT_UTF8: &str = "notUtf8";

/// Most fields of one table.
const FIELDS_MAX: usize = 11;

/// The JSON form of an export request: at most about `length_max` bytes, and `parts_max`
/// resources, scopes and log records.
///
/// # Errors
/// If the bytes are not one such message to their end, or there is too much in it.
pub(crate) fn to_json(
    bytes: &[u8],
    length_max: usize,
    parts_max: usize,
) -> Result<Vec<u8>, Reject> {
    let mut out = Vec::with_capacity(bytes.len().min(length_max) * 2);
    let parts_left = Cell::new(parts_max);
    let not_utf8 = Cell::new(false);
    let parts = Parts { left: &parts_left, not_utf8: &not_utf8 };
    write(bytes, &REQUEST, Limits { depth: DEPTH_MAX, length_max, parts }, &mut out)?;
    Ok(out)
}

/// Most levels of messages: as many as JSON, which takes two for one, may have.
const DEPTH_MAX: usize = RECORD_DEPTH_MAX / 2;

/// What a message may still become.
#[derive(Clone, Copy)]
struct Limits<'a> {
    /// Levels of messages below it.
    depth: usize,
    /// Bytes of the whole JSON form.
    length_max: usize,
    parts: Parts<'a>,
}

/// What is counted over all messages.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// Resources, scopes and log records that may follow.
    left: &'a Cell<usize>,
    /// A text was no UTF-8, in the part in hand or in what stands around it.
    not_utf8: &'a Cell<bool>,
}

impl Limits<'_> {
    fn below(self) -> Result<Self, Reject> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(wrong(&format!("expected at most {DEPTH_MAX} levels, found more"))),
        }
    }

    fn take_part(self) -> Result<(), Reject> {
        let Some(left) = self.parts.left.get().checked_sub(1) else {
            let detail = "expected longer log records, found more of them than its bytes hold";
            return Err(Reject::new(Reason::TooManyFields, detail));
        };
        self.parts.left.set(left);
        Ok(())
    }
}

/// A field's content, by its wire type.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Reject> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Eight(self.chunk()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| cut())?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Four(self.chunk()?),
            other => return Err(wrong(&format!("expected wire type 0, 1, 2 or 5, found {other}"))),
        };
        match tag >> 3 {
            0 => Err(wrong("expected field numbers from 1, found 0")),
            number => Ok(Some((number, value))),
        }
    }

    fn varint(&mut self) -> Result<u64, Reject> {
        let mut value = 0u64;
        for place in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or_else(cut)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(wrong("expected a number of at most ten bytes, found more"))
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or_else(cut)?;
        self.0 = rest;
        Ok(*chunk)
    }
}

fn wrong(detail: &str) -> Reject {
    Reject {
        format_guess: Some(super::SOURCE_FORMAT),
        ..Reject::new(Reason::InvalidProtobuf, detail)
    }
}

fn cut() -> Reject {
    wrong("expected more bytes, found the end of a message")
}

/// Writes a message as a JSON object. Of a field that may stand once, the last value counts.
fn write(bytes: &[u8], message: &Message, limits: Limits, out: &mut Vec<u8>) -> Result<(), Reject> {
    let limits = limits.below()?;
    if out.len() > limits.length_max {
        let detail = format!("expected at most {} bytes as JSON, found more", limits.length_max);
        return Err(Reject::new(Reason::RecordTooLong, detail));
    }
    let mut last: [Option<Value<'_>>; FIELDS_MAX] = [None; FIELDS_MAX];
    let mut unknown_count = 0;
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        let known = message.0.iter().position(|(known, ..)| *known == number);
        match known.and_then(|index| last.get_mut(index)) {
            Some(place) => *place = Some(value),
            None => unknown_count += 1,
        }
    }
    if unknown_count > RECORD_FIELDS_MAX {
        let expected = format!("expected at most {RECORD_FIELDS_MAX} unknown fields");
        return Err(Reject::new(Reason::TooManyFields, format!("{expected}, found more")));
    }
    out.push(b'{');
    for ((number, name, form), last) in message.0.iter().zip(last) {
        let Some(last) = last else { continue };
        push_field(out, name, b"");
        match form {
            As::List(item) | As::Parts(item) => list(bytes, *number, out, |value, out| {
                let Value::Bytes(value) = value else { return Err(wrong_type(name)) };
                match form {
                    As::Parts(_) => part(value, item, limits, out),
                    _ => write(value, item, limits, out),
                }
            })?,
            As::Texts => list(bytes, *number, out, |value, out| {
                single(value, name, As::Text, limits.parts, out)
            })?,
            As::Message(inner) => match last {
                Value::Bytes(value) => write(value, inner, limits, out)?,
                _ => return Err(wrong_type(name)),
            },
            form => single(last, name, *form, limits.parts, out)?,
        }
    }
    if unknown_count > 0 {
        unknown(bytes, message, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes a resource, a scope or a log record. What is no UTF-8 in it is none of its neighbours'
/// business.
fn part(bytes: &[u8], item: &Message, limits: Limits, out: &mut Vec<u8>) -> Result<(), Reject> {
    limits.take_part()?;
    let around = limits.parts.not_utf8.get();
    write(bytes, item, limits, out)?;
    if std::ptr::eq(item, &LOG_RECORD) && limits.parts.not_utf8.get() && out.pop().is_some() {
        push_field(out, NOT_UTF8, b"true");
        out.push(b'}');
    }
    limits.parts.not_utf8.set(around);
    Ok(())
}

fn wrong_type(name: &str) -> Reject {
    wrong(&format!("expected the wire type of `{name}`, found another"))
}

/// Writes all values of a repeated field.
fn list<'a>(
    bytes: &'a [u8],
    wanted: u64,
    out: &mut Vec<u8>,
    mut item: impl FnMut(Value<'a>, &mut Vec<u8>) -> Result<(), Reject>,
) -> Result<(), Reject> {
    out.push(b'[');
    let mut first = true;
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            item(value, out)?;
        }
    }
    out.push(b']');
    Ok(())
}

/// Writes a field that is no message.
fn single(
    value: Value<'_>,
    name: &str,
    form: As,
    parts: Parts<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    match (form, value) {
        (As::Text, Value::Bytes(text)) if simdutf8::basic::from_utf8(text).is_ok() => {
            push_string(out, text);
        }
        (As::Text, Value::Bytes(text)) => {
            parts.not_utf8.set(true);
            let latin_1: String = text.iter().map(|&byte| char::from(byte)).collect();
            push_string(out, latin_1.as_bytes());
        }
        (As::Bool, Value::Varint(value)) => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        }
        (As::Number, Value::Varint(value)) => push_text(out, &value.to_string()),
        (As::Int64, Value::Varint(value)) => {
            push_text(out, &format!("\"{}\"", value.cast_signed()));
        }
        (As::Fixed64, Value::Eight(bytes)) => {
            push_text(out, &format!("\"{}\"", u64::from_le_bytes(bytes)));
        }
        (As::Fixed32, Value::Four(bytes)) => push_text(out, &u32::from_le_bytes(bytes).to_string()),
        (As::Double, Value::Eight(bytes)) => {
            let value = f64::from_le_bytes(bytes);
            let text = if value.is_finite() {
                format!("{value:?}")
            } else if value.is_nan() {
                "\"NaN\"".to_owned()
            } else {
                format!("\"{}Infinity\"", if value < 0.0 { "-" } else { "" })
            };
            push_text(out, &text);
        }
        (As::Base64, Value::Bytes(bytes)) => {
            out.push(b'"');
            base64::encode(bytes, out);
            out.push(b'"');
        }
        (As::Hex, Value::Bytes(bytes)) => {
            out.push(b'"');
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
            out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
            out.push(b'"');
        }
        _ => return Err(wrong_type(name)),
    }
    Ok(())
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes the fields that the table does not know, so that nothing is lost.
fn unknown(bytes: &[u8], message: &Message, out: &mut Vec<u8>) -> Result<(), Reject> {
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if message.0.iter().any(|(known, ..)| *known == number) {
            continue;
        }
        push_field(out, &format!("unknownField{number}"), b"\"");
        match value {
            Value::Varint(value) => push_text(out, &value.to_string()),
            Value::Eight(bytes) => base64::encode(&bytes, out),
            Value::Four(bytes) => base64::encode(&bytes, out),
            Value::Bytes(bytes) => base64::encode(bytes, out),
        }
        out.push(b'"');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let json = to_json(bytes, 1 << 20, 9).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn record(fields: &[u8]) -> Vec<u8> {
        field(1, &field(2, &field(2, fields)))
    }

    #[test]
    fn values_by_their_form() {
        let check_record = |fields: &[u8], expected: &str| {
            let whole = format!(
                "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{{expected}}}]}}]}}]}}"
            );
            check(&record(fields), &whole);
        };
        check_record(b"", "");
        check_record(&[0x09, 1, 0, 0, 0, 0, 0, 0, 0], "\"timeUnixNano\":\"1\"");
        check_record(&[0x10, 9], "\"severityNumber\":9");
        check_record(&field(3, b"a\"b"), "\"severityText\":\"a\\\"b\"");
        check_record(&[0x45, 1, 0, 0, 0], "\"flags\":1");
        check_record(&field(9, &[0xab, 1]), "\"traceId\":\"ab01\"");
        check_record(&field(5, &[0x10, 1]), "\"body\":{\"boolValue\":true}");
        check_record(
            &field(5, &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            "\"body\":{\"intValue\":\"-1\"}",
        );
        let double = [&[0x21][..], &f64::NEG_INFINITY.to_le_bytes()].concat();
        check_record(&field(5, &double), "\"body\":{\"doubleValue\":\"-Infinity\"}");
        check_record(&field(5, &field(7, &[0, 1])), "\"body\":{\"bytesValue\":\"AAE=\"}");
        let attributes = [field(6, &field(1, b"a")), field(6, &field(1, b"b"))].concat();
        check_record(&attributes, "\"attributes\":[{\"key\":\"a\"},{\"key\":\"b\"}]");
        check_record(&field(15, b"f"), "\"unknownField15\":\"Zg==\"");
        check(b"", "{}");
    }

    #[test]
    fn a_text_that_is_no_utf8_is_latin_1_and_its_neighbours_are_as_they_were() {
        let text = |bytes: &[u8]| field(5, &field(1, bytes));
        let log = |bytes: &[u8]| field(2, &text(bytes));
        let scope = |inside: &[u8]| field(2, inside);
        let records = [log(b"a"), log(b"caf\xe9"), log("\u{e9}".as_bytes())].concat();
        let body = |text: &str| format!("{{\"body\":{{\"stringValue\":\"{text}\"}}");
        let logs = format!(
            "[{}}},{},\"notUtf8\":true}},{}}}]",
            body("a"),
            body("caf\u{e9}"),
            body("\u{e9}")
        );
        let expected =
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":{logs}}}]}}]}}");
        check(&field(1, &scope(&records)), &expected);
        // A scope's name stands around its own records only; a level tells its log records.
        let named = [field(1, &field(1, &[0xff])), log(b"a"), log(b"b")].concat();
        let both = [scope(&named), scope(&log(b"c"))].concat();
        let json = String::from_utf8(to_json(&field(1, &both), 1 << 20, 9).unwrap()).unwrap();
        assert_eq!(json.matches("\"notUtf8\":true").count(), 2, "{json}");
        assert!(json.ends_with("[{\"body\":{\"stringValue\":\"c\"}}]}]}]}"), "{json}");
        // An empty log record of which nothing is left, too.
        check(
            &field(1, &scope(&[field(1, &field(1, &[0xff])), field(2, b"")].concat())),
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":{\"name\":\"\u{ff}\"},\"logRecords\":[{\"notUtf8\":true}]}]}]}",
        );
    }

    #[test]
    fn broken_messages_are_rejects() {
        let deep = (0..70).fold(Vec::new(), |inner: Vec<u8>, _| {
            let length = u8::try_from(inner.len().min(120)).unwrap();
            [&[0x2a, length][..], &inner[..usize::from(length)]].concat()
        });
        for bytes in [
            &[0x0a][..],
            &[0x0a, 5, 1],
            &[0x08, 1],
            &[0x0b],
            &[0x00],
            &[0xff; 11],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &record(&field(1, b"x")),
        ] {
            assert_eq!(
                to_json(bytes, 1 << 20, 9).unwrap_err().reason,
                Reason::InvalidProtobuf,
                "{bytes:?}"
            );
        }
        let _ = to_json(&record(&deep), 1 << 20, 9);
    }
}
