//! Escapes of JSON strings: the usual ones. Surrogates, which make a character only in pairs, are
//! left to serde_json, and so is what is wrong.

use super::quote_or_backslash;

/// How long the escape is that begins at `at`; `None` if it is not a usual one.
#[inline]
pub(super) fn length(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => character(bytes.get(at + 2..)?).map(|_| 6),
        _ => None,
    }
}

/// The character that begins with four hex digits.
fn character(text: &[u8]) -> Option<char> {
    let digits = text.first_chunk::<4>()?;
    let code = digits
        .iter()
        .try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))?;
    // Surrogates are no characters.
    char::from_u32(code)
}

/// The content of a string in quotes, as text. `None` if it is none.
pub(in crate::parse) fn text_of(quoted: &[u8]) -> Option<Vec<u8>> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    usual(inside).or_else(|| serde_json::from_slice::<String>(quoted).ok().map(String::into_bytes))
}

/// A string's content with its escapes resolved, if all of it is usual.
fn usual(content: &[u8]) -> Option<Vec<u8>> {
    // In one go over all bytes, which is faster than to stop at the first one.
    if content.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20 {
        return None;
    }
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    loop {
        let (plain, escape) = rest.split_at_checked(quote_or_backslash(rest, 0))?;
        out.extend_from_slice(plain);
        match escape.first() {
            None => return Some(out),
            Some(b'\\') => {}
            Some(_) => return None,
        }
        let byte = match *escape.get(1)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let found = character(escape.get(2..)?)?;
                out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
                rest = escape.get(6..)?;
                continue;
            }
            _ => return None,
        };
        out.push(byte);
        rest = escape.get(2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_serde_json() {
        let pieces = [
            "a",
            "long enough for more",
            "é",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "\\b",
            "\\f",
            "\\r",
            "\\t",
            "\\u0041",
            "\\u00e9",
            "\\u20AC",
            "\\u0000",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\ude00",
            "\\x",
            "\\u12",
            "\\u+123",
            "\\",
            "\\uD7FF",
            "\\ue000",
            "\\U0041",
            "\"",
            "\n",
            "\u{1f}",
        ];
        let mut random = 11u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 40).unwrap_or(0) % below
        };
        for _ in 0..100_000 {
            let inside: String = (0..next(6)).map(|_| pieces[next(pieces.len())]).collect();
            let quoted = format!("\"{inside}\"");
            let expected = serde_json::from_str::<String>(&quoted).ok().map(String::into_bytes);
            assert_eq!(text_of(quoted.as_bytes()), expected, "{quoted}");
            let mut at = 0;
            let all_usual = loop {
                match memchr::memchr(b'\\', &inside.as_bytes()[at..]) {
                    None => break true,
                    Some(found) => match length(inside.as_bytes(), at + found) {
                        Some(length) => at += found + length,
                        None => break false,
                    },
                }
            };
            // All that serde_json takes is usual, but for characters made of two escapes; and what
            // is usual it takes, unless something else is wrong.
            let wrong = inside.contains(['\n', '\u{1f}'])
                || inside.replace("\\\\", "").replace("\\\"", "").contains('"');
            let is_pair = inside.contains("\\ud83d\\ude00");
            assert!(!all_usual || wrong || expected.is_some(), "{inside}");
            assert!(all_usual || is_pair || expected.is_none(), "{inside}");
        }
        assert_eq!(text_of(b"a"), None);
        assert_eq!(text_of(b"\""), None);
    }
}
