//! Strings as Go's `%q` writes them.
//! Source: Go's strconv.Quote.

use std::borrow::Cow;

/// A quoted string at the begin of a text: its inside, and the text behind it.
pub(super) fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', inside.get(at..)?)?;
        if inside.get(found) == Some(&b'"') {
            let (inside, rest) = inside.split_at_checked(found)?;
            return Some((inside, rest.get(1..)?));
        }
        at = found + 2;
    }
}

/// The inside of a quoted string with its escapes resolved. What does not come out as UTF-8, or
/// has an escape that Go does not write, stays as it stands.
pub(super) fn unquote(inside: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', inside).is_none() {
        return Cow::Borrowed(inside);
    }
    match resolved(inside).filter(|text| std::str::from_utf8(text).is_ok()) {
        Some(text) => Cow::Owned(text),
        None => Cow::Borrowed(inside),
    }
}

fn resolved(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at_checked(at)?;
        out.extend_from_slice(before);
        let letter = *escape.get(1)?;
        let after = escape.get(2..)?;
        let simple = match letter {
            b'a' => Some(0x07),
            b'b' => Some(0x08),
            b'f' => Some(0x0c),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'v' => Some(0x0b),
            b'\\' | b'"' | b'\'' => Some(letter),
            _ => None,
        };
        rest = match (simple, letter) {
            (Some(byte), _) => {
                out.push(byte);
                after
            }
            (None, b'x') => {
                let (number, after) = hex(after, 2)?;
                out.push(u8::try_from(number).ok()?);
                after
            }
            (None, b'u' | b'U') => {
                let (number, after) = hex(after, if letter == b'u' { 4 } else { 8 })?;
                let mut buffer = [0; 4];
                let text = char::from_u32(number)?.encode_utf8(&mut buffer);
                out.extend_from_slice(text.as_bytes());
                after
            }
            _ => return None,
        };
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn hex(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_ends_at_its_own_quote() {
        assert_eq!(split(br#""a\"b" c"#), Some((&br#"a\"b"#[..], &b" c"[..])));
        assert_eq!(split(br#""a\\" c"#), Some((&br"a\\"[..], &b" c"[..])));
        for other in [&b"a"[..], b"", b"\"", b"\"a", b"\"a\\", b"\"a\\\""] {
            assert_eq!(split(other), None);
        }
    }

    #[test]
    fn escapes_come_out_as_go_means_them() {
        for (inside, expected) in [
            (r#"x\" y"#, "x\" y"),
            (r"\a\n\t\\\x41\u00e9\U0001f600", "\u{7}\n\t\\A\u{e9}\u{1f600}"),
            // No UTF-8, no escape of Go's: as it stands.
            (r"\xff", r"\xff"),
            (r"\q", r"\q"),
            (r"\u12", r"\u12"),
        ] {
            assert_eq!(&*unquote(inside.as_bytes()), expected.as_bytes(), "{inside}");
        }
    }
}
