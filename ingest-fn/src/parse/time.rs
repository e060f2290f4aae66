//! Times as mesh logs write them, to whole microseconds.

use common::date::{days_from_civil, days_in_month, rfc3339};

/// Microseconds since 1970 UTC of an RFC 3339 time with up to nine fractional digits and `Z` or
/// an offset; digits beyond microseconds are cut. `None` if it is no such time.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_at_checked(19)?;
    let two = |at: usize| digits(&head[at..at + 2]);
    let well_formed = head[4] == b'-'
        && head[7] == b'-'
        && matches!(head[10], b'T' | b't')
        && head[13] == b':'
        && head[16] == b':';
    if !well_formed {
        return None;
    }
    let (year, month, day) = (digits(&head[..4])?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = fraction_micros(rest)?;
    let offset = offset_seconds(zone)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 1_000_000 + fraction)
}

/// Microseconds of `seconds.micros` text, as Envoy's `START_TIME(%s.%6f)` prints it.
pub fn parse_unix_seconds(text: &[u8]) -> Option<i64> {
    let dot = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    if dot == 0 || dot > 12 {
        return None;
    }
    let (fraction, rest) = fraction_micros(&text[dot..])?;
    rest.is_empty().then_some(digits(&text[..dot])? * 1_000_000 + fraction)
}

/// Whether `text` is exactly how [`rfc3339`] prints `micros` with milliseconds.
pub fn is_canonical_millis(text: &[u8], micros: i64) -> bool {
    micros % 1000 == 0
        && text.len() == 24
        && text[10] == b'T'
        && text[19] == b'.'
        && text[23] == b'Z'
        // Second 60 is printed as the next minute.
        && text[17] != b'6'
}

/// Whether `text` is exactly the `seconds.micros` form of `micros`, six digits.
pub fn is_canonical_unix(text: &[u8], micros: i64) -> bool {
    micros >= 0 && unix_text(micros).as_bytes() == text
}

/// The `seconds.micros` text of a moment since 1970.
pub fn unix_text(micros: i64) -> String {
    format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}

/// The canonical millisecond text of a moment.
pub fn millis_text(micros: i64) -> String {
    rfc3339(micros, 3)
}

fn digits(text: &[u8]) -> Option<i64> {
    let mut value = 0i64;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
    }
    Some(value)
}

/// Reads an optional `.digits` and returns it as microseconds with what follows.
fn fraction_micros(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = after.iter().position(|b| !b.is_ascii_digit()).unwrap_or(after.len());
    if length == 0 || length > 9 {
        return None;
    }
    let kept = length.min(6);
    let mut micros = digits(&after[..kept])?;
    for _ in kept..6 {
        micros *= 10;
    }
    Some((micros, &after[length..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}
