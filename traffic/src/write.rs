//! Bytes of values: numbers, addresses, times, hexadecimal. No formatting machinery, no
//! allocation beyond the growth of `out`.

use crate::random::{high32, low32};

const DIGIT_PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Two decimal digits of a number below 100.
fn pair(n: u32) -> [u8; 2] {
    let at = (n % 100) as usize * 2;
    [DIGIT_PAIRS[at], DIGIT_PAIRS[at + 1]]
}

/// Decimal, without leading zeros.
pub(crate) fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    while n >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair(low32(n % 100)));
        n /= 100;
    }
    let last = pair(low32(n));
    at -= 1;
    digits[at] = last[1];
    if n >= 10 {
        at -= 1;
        digits[at] = last[0];
    }
    out.extend_from_slice(&digits[at..]);
}

/// IPv4 address and port.
pub(crate) fn address(out: &mut Vec<u8>, address: u32, port: u16) {
    let [a, b, c, d] = address.to_be_bytes();
    for (byte, mark) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b':')] {
        number(out, byte.into());
        out.push(mark);
    }
    number(out, port.into());
}

/// IPv4 address.
pub(crate) fn ip(out: &mut Vec<u8>, address: u32) {
    let [a, b, c, d] = address.to_be_bytes();
    number(out, a.into());
    for byte in [b, c, d] {
        out.push(b'.');
        number(out, byte.into());
    }
}

/// RFC 3339 with milliseconds, UTC.
pub(crate) fn time(out: &mut Vec<u8>, micros: i64) {
    let millis = micros.div_euclid(1_000).unsigned_abs();
    let seconds = low32(millis / 1_000 % 86_400);
    let (year, month, day) = date(low32(millis / 86_400_000));
    let mut text = *b"0000-00-00T00:00:00.000Z";
    text[0..2].copy_from_slice(&pair(year / 100));
    text[2..4].copy_from_slice(&pair(year));
    text[5..7].copy_from_slice(&pair(month));
    text[8..10].copy_from_slice(&pair(day));
    text[11..13].copy_from_slice(&pair(seconds / 3_600));
    text[14..16].copy_from_slice(&pair(seconds / 60 % 60));
    text[17..19].copy_from_slice(&pair(seconds % 60));
    let millis = low32(millis % 1_000);
    text[20..22].copy_from_slice(&pair(millis / 10));
    text[22] = pair(millis)[1];
    out.extend_from_slice(&text);
}

/// Seconds and microseconds since 1970.
pub(crate) fn seconds(out: &mut Vec<u8>, micros: i64) {
    let micros = micros.unsigned_abs();
    number(out, micros / 1_000_000);
    let rest = low32(micros % 1_000_000);
    let mut text = *b".000000";
    text[1..3].copy_from_slice(&pair(rest / 10_000));
    text[3..5].copy_from_slice(&pair(rest / 100));
    text[5..7].copy_from_slice(&pair(rest));
    out.extend_from_slice(&text);
}

/// Year, month and day of a day since 1970, after Howard Hinnant's `civil_from_days`.
fn date(days: u32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    (year, month, day)
}

/// Sixteen hexadecimal digits.
pub(crate) fn hex64(out: &mut Vec<u8>, x: u64) {
    out.extend_from_slice(&hex_digits(x));
}

/// A UUID with its dashes.
pub(crate) fn uuid(out: &mut Vec<u8>, x: u128) {
    let low = u64::try_from(x & u128::from(u64::MAX)).unwrap_or(0);
    let a = hex_digits(u64::try_from(x >> 64).unwrap_or(0));
    let b = hex_digits(low);
    let mut text = [b'-'; 36];
    text[0..8].copy_from_slice(&a[0..8]);
    text[9..13].copy_from_slice(&a[8..12]);
    text[14..18].copy_from_slice(&a[12..16]);
    text[19..23].copy_from_slice(&b[0..4]);
    text[24..36].copy_from_slice(&b[4..16]);
    out.extend_from_slice(&text);
}

fn hex_digits(x: u64) -> [u8; 16] {
    let spread = [spread_nibbles(high32(x)), spread_nibbles(low32(x))];
    let mut text = [0_u8; 16];
    for (eight, word) in text.chunks_exact_mut(8).zip(spread) {
        eight.copy_from_slice(&word.to_be_bytes());
    }
    text
}

/// Eight nibbles to eight lower-case digits at once: each nibble gets its byte, and those above
/// nine get the distance from '9' to 'a' added.
fn spread_nibbles(x: u32) -> u64 {
    let x = u64::from(x);
    let x = (x | x << 16) & 0x0000_FFFF_0000_FFFF;
    let x = (x | x << 8) & 0x00FF_00FF_00FF_00FF;
    let x = (x | x << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    let above_nine = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    x + 0x3030_3030_3030_3030 + above_nine * 0x27
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_no_leading_zero() {
        for n in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1_000, 65_535, 1_234_567_890, u64::MAX] {
            assert_eq!(text(|out| number(out, n)), n.to_string());
        }
    }

    #[test]
    fn times_are_right_across_leap_days() {
        let check = |micros, expected: &str| assert_eq!(text(|out| time(out, micros)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_793_614_530_123_999, "2026-11-02T10:15:30.123Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000Z");
        check(4_102_444_799_999_000, "2099-12-31T23:59:59.999Z");
        assert_eq!(text(|out| seconds(out, 1_793_614_530_000_079)), "1793614530.000079");
    }

    #[test]
    fn addresses_and_ids_are_spelled_as_envoy_does() {
        assert_eq!(text(|out| address(out, 0x0A01_02FE, 0)), "10.1.2.254:0");
        assert_eq!(text(|out| hex64(out, 0x0123_4567_89AB_CDEF)), "0123456789abcdef");
        let id = crate::random::uuid(0x5b0c_3f3e_6c1b_0a7b_0b52_5b7f_d6f0_b1a1);
        assert_eq!(text(|out| uuid(out, id)), "5b0c3f3e-6c1b-4a7b-8b52-5b7fd6f0b1a1");
    }
}
