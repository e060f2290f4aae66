//! One look at a nested value: where it ends, if it is JSON in the usual spelling.
//!
//! Whatever is unusual is left to a slower reader, which also says what is wrong. So this one only
//! ever says yes, and only to what the slower one takes too.

use common::limits::RECORD_DEPTH_MAX;

use super::escapes;
use super::seen::Places;

/// Where the object or list that begins at `start` ends. `None` if it is broken, nested too deep,
/// or has a string with a `\u` escape that is a surrogate. `plain` promises that no byte is below
/// 0x20.
pub(super) fn end(
    bytes: &[u8],
    start: usize,
    plain: bool,
    quotes: &mut Places<'_>,
) -> Option<usize> {
    let mut look = Look { bytes, at: start, plain, quotes };
    // Whether the brackets that are open are of objects, the innermost in the lowest bit.
    let (mut objects, mut depth) = (0u64, 0usize);
    loop {
        // A value comes next.
        match look.next_byte()? {
            open @ (b'{' | b'[') => {
                if depth == RECORD_DEPTH_MAX {
                    return None;
                }
                let is_object = open == b'{';
                let close = if is_object { b'}' } else { b']' };
                look.at += 1;
                if look.next_byte()? == close {
                    look.at += 1;
                    // An empty one is a value that is over.
                    if depth == 0 {
                        return Some(look.at);
                    }
                } else {
                    depth += 1;
                    objects = objects << 1 | u64::from(is_object);
                    if is_object {
                        look.name()?;
                    }
                    continue;
                }
            }
            b'"' => look.string()?,
            b't' => look.literal(b"true")?,
            b'f' => look.literal(b"false")?,
            b'n' => look.literal(b"null")?,
            _ => look.number()?,
        }
        // What follows a value: the next one, or closing brackets.
        loop {
            let is_object = objects & 1 == 1;
            match look.next_byte()? {
                b',' => {
                    look.at += 1;
                    if is_object {
                        look.name()?;
                    }
                    break;
                }
                b'}' if is_object => {}
                b']' if !is_object => {}
                _ => return None,
            }
            look.at += 1;
            objects >>= 1;
            depth -= 1;
            if depth == 0 {
                return Some(look.at);
            }
        }
    }
}

// The brackets that are open are the bits of a number.
const _: () = assert!(RECORD_DEPTH_MAX <= 64);

struct Look<'a, 'q> {
    bytes: &'a [u8],
    at: usize,
    plain: bool,
    quotes: &'a mut Places<'q>,
}

impl Look<'_, '_> {
    /// The next byte that is no white space.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Moves behind a name and its colon.
    #[inline]
    fn name(&mut self) -> Option<()> {
        if self.next_byte()? != b'"' {
            return None;
        }
        self.string()?;
        if self.next_byte()? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Moves behind a string that begins here.
    #[inline]
    fn string(&mut self) -> Option<()> {
        let start = self.at + 1;
        self.at = self.quotes.after(self.bytes, self.at);
        while *self.bytes.get(self.at)? == b'\\' {
            self.at += escapes::length(self.bytes, self.at)?;
            self.at = self.quotes.find(self.bytes, self.at);
        }
        if !self.plain && self.bytes.get(start..self.at)?.iter().any(|&byte| byte < 0x20) {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(text).then(|| self.at += text.len())
    }

    /// Moves behind a number by the grammar of RFC 8259.
    fn number(&mut self) -> Option<()> {
        let digit = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_digit);
        let digits = |mut at: usize| {
            while digit(at) {
                at += 1;
            }
            at
        };
        let some_digits = |at: usize| Some(digits(at)).filter(|&end| end > at);
        let mut at = self.at + usize::from(self.bytes.get(self.at) == Some(&b'-'));
        at = if self.bytes.get(at) == Some(&b'0') { at + 1 } else { some_digits(at)? };
        if self.bytes.get(at) == Some(&b'.') {
            at = some_digits(at + 1)?;
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            at = some_digits(at)?;
        }
        self.at = at;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cursor;
    use super::*;

    /// The slower reader's answer.
    fn slow(bytes: &[u8], plain: bool) -> Option<usize> {
        let mut at = Cursor { bytes, at: 0, plain, quotes: Places::default() };
        at.nested_slowly(0).ok().map(|_| at.at)
    }

    fn end(bytes: &[u8], start: usize, plain: bool) -> Option<usize> {
        super::end(bytes, start, plain, &mut Places::default())
    }

    fn check(text: &[u8]) -> bool {
        let plain = text.iter().all(|&byte| byte >= 0x20);
        let found = end(text, 0, false);
        assert_eq!(end(text, 0, plain), found, "{}", String::from_utf8_lossy(text));
        let quotes: Vec<u32> = (0..)
            .zip(text)
            .filter(|(_, byte)| matches!(byte, b'"' | b'\\'))
            .map(|(at, _)| at)
            .collect();
        let known = super::end(text, 0, plain, &mut Places::of_all(&quotes));
        assert_eq!(known, found, "{}", String::from_utf8_lossy(text));
        if found.is_some() {
            assert_eq!(found, slow(text, false), "{}", String::from_utf8_lossy(text));
        }
        found.is_some()
    }

    const WORDS: [&str; 44] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\"",
        "\"a\":",
        "1",
        "-0",
        "0",
        "01",
        "-",
        "1.5",
        "1.",
        ".5",
        "1e5",
        "1E+07",
        "1e",
        "true",
        "tru",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\"\\n\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"\\",
        "\"",
        "\"\u{1}\"",
        "\"é\"",
        "{}",
        "[]",
        "{\"b\":[1,{\"c\":null}]}",
        "\"long enough for a word\"",
        "[[[[",
        "]]]]",
        "\u{c}",
        "\"a\\\"b\":",
    ];

    #[test]
    fn what_is_taken_is_json_and_ends_there() {
        let mut random = 7u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 40).unwrap_or(0) % below
        };
        let mut taken = 0;
        for round in 0..200_000 {
            let mut text = String::from(if round % 2 == 0 { "{" } else { "[" });
            for _ in 0..next(9) {
                text.push_str(WORDS[next(WORDS.len())]);
            }
            taken += usize::from(check(text.as_bytes()));
        }
        assert!(taken > 5_000, "{taken}");
    }

    #[test]
    fn usual_json_is_taken_and_broken_json_is_not() {
        let whole =
            br#"{"a":[1,-2.5e3,true,false,null,"x\"\\\/\b\f\n\r\t\u00e9",{"b":{}},[]],"c":"" } "#;
        assert_eq!(end(whole, 0, true), Some(whole.len() - 1));
        for at in 0..whole.len() - 2 {
            assert_eq!(end(&whole[..at], 0, true), None, "{at}");
            for byte in [b'"', b'{', b']', b',', b':', b'\\', b'0', b' ', 0x01] {
                let mut text = whole.to_vec();
                text[at] = byte;
                if at > 0 {
                    check(&text);
                }
            }
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for depth in [1, RECORD_DEPTH_MAX - 1, RECORD_DEPTH_MAX, RECORD_DEPTH_MAX + 1] {
            let text = deep(depth);
            assert_eq!(end(text.as_bytes(), 0, true).is_some(), depth <= RECORD_DEPTH_MAX);
            assert_eq!(slow(text.as_bytes(), true).is_some(), depth <= RECORD_DEPTH_MAX);
        }
    }
}
