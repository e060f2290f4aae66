//! The rule by which a JSON record comes back from its row: what columns hold exactly stands in
//! the columns alone, everything else in `attributes` as it stood, and where that would not give
//! the record back, its text is kept in `raw`.

use super::event::{Context, Event, Row};
use super::fields as f;
use super::json::{Kind, Scanner, Slot};

/// A top-level key whose value a column may hold exactly: a string in a text column, a whole
/// number or boolean in a column of that type.
pub type Direct = (usize, usize);

/// Writes `attributes` and, if need be, `raw` and `parse_status` of an event whose other columns
/// are set. `direct` pairs key indexes of the scanner with columns.
pub fn finish(
    event: &mut Event,
    scanner: &Scanner,
    record: &[u8],
    direct: &[Direct],
    context: &Context<'_>,
) {
    let mut attributes = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        attributes.push(if attributes.is_empty() { b'{' } else { b',' });
        attributes.extend_from_slice(key);
        attributes.push(b':');
        attributes.extend_from_slice(value);
    };
    let mut phantom = false;
    for key in 0..scanner.len() {
        let slot = scanner.slot(key);
        let column = direct.iter().find(|(direct, _)| *direct == key).map(|(_, column)| *column);
        if slot.kind == Kind::Missing {
            // Rebuilding would take the column for a field that was never there.
            phantom |= column.is_some_and(|column| event.has(column));
        } else if !column.is_some_and(|column| holds(event, column, slot, record)) {
            add(format!("\"{}\"", scanner.name(key)).as_bytes(), slot.json(record));
        }
    }
    for (key, value) in scanner.extras(record) {
        add(key, value);
    }
    let envelope = &context.envelope.attributes;
    if !envelope.is_empty() {
        attributes.push(if attributes.is_empty() { b'{' } else { b',' });
        attributes.extend_from_slice(envelope);
    }
    if !attributes.is_empty() {
        attributes.push(b'}');
        event.text(f::ATTRIBUTES, &attributes);
    }
    if scanner.repeated() {
        event.text(f::PARSE_STATUS, b"ambiguous");
        event.text(f::PARSE_ERROR, b"a key stands twice; the last value was read");
    }
    event.text(f::PARSE_STATUS, b"ok");
    if let Some(outer) = context.outer {
        event.text(f::RAW, outer);
    } else if phantom || scanner.repeated() {
        event.text(f::RAW, record);
    }
}

/// Whether a column gives a field's value back.
fn holds(event: &Event, column: usize, slot: Slot, record: &[u8]) -> bool {
    match slot.kind {
        Kind::Text | Kind::Escaped => {
            slot.text(record).is_some_and(|text| event.text_of(column) == Some(&*text))
        }
        Kind::Number => event
            .int_of(column)
            .is_some_and(|number| number.to_string().as_bytes() == slot.bytes(record)),
        Kind::Bool => event
            .bool_of(column)
            .is_some_and(|value| value.to_string().as_bytes() == slot.bytes(record)),
        Kind::Missing | Kind::Null | Kind::Nested => false,
    }
}
