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
    let (held, phantom) = held(event, scanner, record, direct);
    event.text_with(f::ATTRIBUTES, |attributes| {
        let start = attributes.len();
        let open = |attributes: &mut Vec<u8>| {
            attributes.push(if attributes.len() == start { b'{' } else { b',' });
        };
        for key in keys_of(scanner.present() & !held) {
            open(attributes);
            attributes.extend_from_slice(scanner.literal(key));
            attributes.extend_from_slice(scanner.slot(key).json(record));
        }
        for (key, value) in scanner.extras(record) {
            open(attributes);
            attributes.extend_from_slice(key);
            attributes.push(b':');
            attributes.extend_from_slice(value);
        }
        let envelope = &context.envelope.attributes;
        if !envelope.is_empty() {
            open(attributes);
            attributes.extend_from_slice(envelope);
        }
        let some = attributes.len() > start;
        if some {
            attributes.push(b'}');
        }
        some
    });
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

/// The keys of a mask, in order.
fn keys_of(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let key = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (key < u64::BITS).then_some(key as usize)
    })
}

/// Which keys of the record stand in columns alone, as a mask; and whether a column is set whose
/// key is missing: rebuilding would take it for a field that was never there.
fn held(event: &Event, scanner: &Scanner, record: &[u8], direct: &[Direct]) -> (u64, bool) {
    let (mut held, mut seen, mut phantom) = (0u64, 0u64, false);
    for &(key, column) in direct {
        let bit = 1u64 << key;
        // Of a key that is named twice the first column counts.
        if seen & bit != 0 {
            continue;
        }
        seen |= bit;
        let slot = scanner.slot(key);
        if slot.kind == Kind::Missing {
            phantom |= event.has(column);
        } else if holds(event, column, slot, record) {
            held |= bit;
        }
    }
    (held, phantom)
}

/// Whether a column gives a field's value back.
fn holds(event: &Event, column: usize, slot: Slot, record: &[u8]) -> bool {
    match slot.kind {
        Kind::Text | Kind::Escaped => {
            slot.text(record).is_some_and(|text| event.text_of(column) == Some(&*text))
        }
        Kind::Number => {
            event.int_of(column).is_some_and(|number| is_printed(number, slot.bytes(record)))
        }
        Kind::Bool => event.bool_of(column).is_some_and(|value| {
            let text: &[u8] = if value { b"true" } else { b"false" };
            text == slot.bytes(record)
        }),
        Kind::Missing | Kind::Null | Kind::Nested => false,
    }
}

/// Whether a text is exactly how a number is printed.
fn is_printed(number: i64, text: &[u8]) -> bool {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let read = match digits {
        [] => None,
        // No sign or zero that printing leaves out.
        [b'0'] => (!negative).then_some(0),
        [b'0', ..] => None,
        _ => digits.iter().try_fold(0u64, |value, &byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        }),
    };
    negative == (number < 0) && read == Some(number.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_number_is_told_from_other_spellings() {
        for number in [0, 1, -1, 9, 10, -10, 65_535, i64::MAX, i64::MIN, i64::MAX - 1] {
            assert!(is_printed(number, number.to_string().as_bytes()), "{number}");
            let others = ["", "-", "-0", "00", "01", "1.0", "1e0", "-01", "99999999999999999999"];
            for text in others {
                assert!(!is_printed(number, text.as_bytes()), "{number} {text}");
            }
            assert!(!is_printed(number, number.wrapping_add(1).to_string().as_bytes()));
        }
    }

    #[test]
    fn keys_come_in_order() {
        for mask in [0, 1, 1 << 63, 0b1010, u64::MAX] {
            let expected: Vec<usize> = (0..64).filter(|key| mask & (1 << key) != 0).collect();
            assert_eq!(keys_of(mask).collect::<Vec<_>>(), expected);
        }
    }
}
