//! Walks over JSON text that a scanner has checked: elements of lists and fields of objects, as
//! they stand. Text that is not as expected ends the walk; nothing here fails.

use super::json::quote_or_backslash;
use crate::scan::nested_end;

/// A place in checked JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// At the begin of a text.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Moves behind `byte` if it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next value as it stands, and moves behind it.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let rest = self.text.get(start..).unwrap_or_default();
                let ends = |byte: &u8| {
                    matches!(byte, b',' | b'}' | b']' | b':') || byte.is_ascii_whitespace()
                };
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        self.text.get(start..self.at).filter(|value| !value.is_empty())
    }

    /// A field's name with its quotes, and moves behind the colon.
    pub(crate) fn name(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let name = self.value()?;
        self.take(b':').then_some(name)
    }

    fn skip_string(&mut self) {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let found = quote_or_backslash(rest, 0);
            let Some(&byte) = rest.get(found) else {
                self.at = self.text.len();
                return;
            };
            self.at += found + 1;
            if byte == b'"' {
                return;
            }
            self.at = (self.at + 1).min(self.text.len());
        }
    }

    fn skip_nested(&mut self) {
        /// Shorter texts are not worth wide registers.
        const SHORT_BYTES: usize = 64;
        match self.text.get(self.at..) {
            Some(rest) if rest.len() > SHORT_BYTES => self.at += nested_end(rest),
            _ => self.skip_nested_bytes(),
        }
    }

    fn skip_nested_bytes(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

/// The elements of a list as they stand; none if the text is no list.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut walk = Walk::new(list);
    let mut more = walk.take(b'[');
    std::iter::from_fn(move || {
        let element = if more && walk.peek() != Some(b']') { walk.value() } else { None };
        more = walk.take(b',');
        element
    })
}

/// Whether a list has no elements; a text that is no list has none.
pub(crate) fn is_empty(list: &[u8]) -> bool {
    let mut walk = Walk::new(list);
    !walk.take(b'[') || matches!(walk.peek(), Some(b']') | None)
}

/// The elements of a list, and whether there is one at most.
pub(crate) fn elements_counted(list: &[u8]) -> (bool, impl Iterator<Item = &[u8]>) {
    let mut rest = elements(list);
    let (first, second) = (rest.next(), rest.next());
    (second.is_none(), first.into_iter().chain(second).chain(rest))
}

/// The fields of an object as they stand: names with their quotes, values; none if the text is no
/// object.
pub(crate) fn fields(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut walk = Walk::new(object);
    let mut more = walk.take(b'{');
    std::iter::from_fn(move || {
        let name = if more { walk.name()? } else { return None };
        let value = walk.value()?;
        more = walk.take(b',');
        Some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: &[&str]) {
        let found: Vec<&str> =
            elements(list.as_bytes()).map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(found, expected, "{list}");
        let (is_only, all) = elements_counted(list.as_bytes());
        assert_eq!((is_only, all.count()), (expected.len() < 2, expected.len()));
        assert_eq!(is_empty(list.as_bytes()), expected.is_empty());
    }

    #[test]
    fn elements_stand_as_they_are() {
        check("[]", &[]);
        check(" [ ] ", &[]);
        check("{\"a\":[1]}", &[]);
        check("[1]", &["1"]);
        check(
            r#" [ 1 , "a,]\"" ,{"x":[1,{}]} , [ ] ,null]"#,
            &["1", r#""a,]\"""#, r#"{"x":[1,{}]}"#, "[ ]", "null"],
        );
    }

    #[test]
    fn fields_stand_as_they_are() {
        let object = br#" { "a" : {"b":1} , "c\"":[2],"d":3}"#;
        let found: Vec<_> = fields(object).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"\"a\"", b"{\"b\":1}"), (br#""c\"""#, b"[2]"), (b"\"d\"", b"3")];
        assert_eq!(found, expected);
        assert_eq!(fields(b"{}").count() + fields(b"[1]").count() + fields(b"{\"a\"").count(), 0);
    }

    #[test]
    fn both_ways_behind_a_bracket_are_one() {
        let mut random = 5u64;
        let pieces =
            ["{", "}", "[", "]", "\"a\\\\\"", "\"\\\"\"", "x", " ", "\"{[\\\"}\"", ",", "é"];
        for _ in 0..20_000 {
            let mut text = String::from("[");
            for _ in 0..random >> 56 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[usize::try_from(random >> 33).unwrap() % pieces.len()]);
                let deep = "[".repeat(usize::from(random >> 20 & 15 == 0) * 9);
                text.push_str(&deep);
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let cut = usize::try_from(random >> 40).unwrap() % (2 * text.len());
            let text = text.as_bytes().get(..=cut).unwrap_or(text.as_bytes());
            let mut walk = Walk::new(text);
            walk.skip_nested_bytes();
            assert_eq!(nested_end(text), walk.at, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn broken_text_ends_the_walk() {
        for text in ["[", "[1", "[\"a", "[\"\\", "[{", "[[[", "[,]", "[1 2]", "\"", "[:", ""] {
            assert!(elements(text.as_bytes()).count() <= 1, "{text}");
        }
    }
}
