//! Times as mesh logs write them, to whole microseconds.

use common::date::{days_from_civil, days_in_month, rfc3339};

/// Microseconds since 1970 UTC of an RFC 3339 time with up to nine fractional digits and `Z` or
/// an offset; digits beyond microseconds are cut. `None` if it is no such time.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        o1,
        o2,
        b'-',
        d1,
        d2,
        b'T' | b't',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
    ] = *head
    else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(o1, o2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = fraction_micros(rest)?;
    let offset = offset_seconds(zone)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 1_000_000 + fraction)
}

/// The number of two digits.
#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
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
    let (mut micros, mut length) = (0, 0);
    for &byte in after {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        length += 1;
        if length <= 6 {
            micros = micros * 10 + i64::from(digit);
        } else if length > 9 {
            return None;
        }
    }
    if length == 0 {
        return None;
    }
    for _ in length..6 {
        micros *= 10;
    }
    Some((micros, &after[length..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_standard_and_nothing_else() {
        let second = 1_793_614_531_000_000;
        for (text, expected) in [
            ("2026-11-02T10:15:31Z", Some(second)),
            ("2026-11-02t10:15:31z", Some(second)),
            ("2026-11-02T10:15:31.1Z", Some(second + 100_000)),
            ("2026-11-02T10:15:31.123456Z", Some(second + 123_456)),
            ("2026-11-02T10:15:31.123456789Z", Some(second + 123_456)),
            ("2026-11-02T10:15:31.000000009Z", Some(second)),
            ("2026-11-02T12:45:31+02:30", Some(second)),
            ("2026-11-02T07:45:31.5-02:30", Some(second + 500_000)),
            ("2026-11-02T10:15:60Z", Some(second + 29_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000)),
        ] {
            assert_eq!(parse_rfc3339(text.as_bytes()), expected, "{text}");
            for cut in 0..text.len() {
                assert_eq!(parse_rfc3339(&text.as_bytes()[..cut]), None, "{text} {cut}");
            }
        }
        for wrong in [
            "2026-11-02T10:15:31.Z",
            "2026-11-02T10:15:31.1234567890Z",
            "2026-11-02T10:15:31,1Z",
            "2026-11-02 10:15:31Z",
            "2026-13-02T10:15:31Z",
            "2026-00-02T10:15:31Z",
            "2026-11-31T10:15:31Z",
            "2026-11-00T10:15:31Z",
            "2023-02-29T00:00:00Z",
            "2026-11-02T24:15:31Z",
            "2026-11-02T10:60:31Z",
            "2026-11-02T10:15:61Z",
            "2026-11-02T10:15:31+24:00",
            "2026-11-02T10:15:31+01:60",
            "2026-11-02T10:15:31+0100",
            "2026-11-02T10:15:31Z ",
            "+026-11-02T10:15:31Z",
            "2026-1:-02T10:15:31Z",
            "2026-11-02T1/:15:31Z",
            "2026-11-02T10:15:31.12a4Z",
        ] {
            assert_eq!(parse_rfc3339(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
