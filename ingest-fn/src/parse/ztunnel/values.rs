//! Values as the two proxies written in Rust print them, ztunnel and Linkerd's: addresses, whole
//! numbers, debug text and spans; and what lines of text keep besides their columns.
//!
//! What a value means is not known here.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Slot};
use crate::parse::leftovers::Direct;
use crate::parse::quote::push_string;

pub(in crate::parse) use crate::parse::json::keys;

/// Whether a record can only be JSON: its first byte that is no space is a brace.
pub(in crate::parse) fn is_json(record: &[u8]) -> bool {
    record.trim_ascii_start().starts_with(b"{")
}

/// Whether a JSON record may have a key, told without reading it. `quoted` is the key in quotes;
/// a key of ASCII letters that is written otherwise has a `\u` escape.
pub(in crate::parse) fn may_have_key(record: &[u8], quoted: &[u8]) -> bool {
    memchr::memmem::find(record, quoted).is_some() || memchr::memmem::find(record, b"\\u").is_some()
}

/// The spellings of "absent" that are text.
pub(in crate::parse) fn is_absent(text: &[u8]) -> bool {
    matches!(text, b"" | b"-")
}

/// A JSON value as text; `None` where it is absent in any spelling or no text.
pub(in crate::parse) fn text(slot: Slot, record: &[u8]) -> Option<Cow<'_, [u8]>> {
    slot.text(record).filter(|text| !is_absent(text))
}

/// A JSON value as text, or a bare number as it stands.
pub(in crate::parse) fn text_or_number(slot: Slot, record: &[u8]) -> Option<Cow<'_, [u8]>> {
    match slot.kind {
        Kind::Number => Some(Cow::Borrowed(slot.bytes(record))),
        _ => text(slot, record),
    }
}

/// A whole number: digits without sign or a needless zero, up to 2^63 - 1.
pub(in crate::parse) fn whole_number(text: &[u8]) -> Option<i64> {
    match text {
        [] | [b'0', _, ..] => None,
        _ if text.len() > 19 => None,
        _ => text.iter().try_fold(0i64, |value, &byte| {
            let digit = byte.is_ascii_digit().then(|| i64::from(byte.wrapping_sub(b'0')))?;
            value.checked_mul(10)?.checked_add(digit)
        }),
    }
}

/// Splits `<host>:<port>` at its last colon.
pub(in crate::parse) fn host_port(text: &[u8]) -> Option<(&[u8], u16)> {
    let (host, port) = text.split_at_checked(memchr::memrchr(b':', text)?)?;
    Some((host, u16::try_from(whole_number(port.get(1..)?)?).ok()?))
}

/// An IPv4 address, or an IPv6 address in canonical text.
pub(in crate::parse) fn ip(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_ipv4(text) {
        return Some(Cow::Borrowed(text));
    }
    let address = std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok()?;
    Some(Cow::Owned(address.to_string().into_bytes()))
}

/// Whether a text is an IPv4 address in its one spelling, four numbers up to 255 without needless
/// zeros: what the standard library reads.
pub(in crate::parse) fn is_ipv4(text: &[u8]) -> bool {
    let (mut dots, mut digits, mut number) = (0, 0, 0u32);
    // The longest one has 15 bytes.
    for &byte in text.get(..16).unwrap_or(text) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // A zero has nothing behind it.
            if digits > 0 && number == 0 {
                return false;
            }
            digits += 1;
            number = number * 10 + u32::from(digit);
            if number > 255 {
                return false;
            }
        } else if byte == b'.' && digits > 0 {
            dots += 1;
            (digits, number) = (0, 0);
        } else {
            return false;
        }
    }
    dots == 3 && digits > 0 && text.len() < 16
}

/// An address and a port of `<IPv4>:<port>` or `[<IPv6>]:<port>`.
pub(in crate::parse) fn address(text: &[u8]) -> Option<(Cow<'_, [u8]>, u16)> {
    let (host, port) = host_port(text)?;
    match host.strip_prefix(b"[") {
        Some(rest) => Some((ip(rest.strip_suffix(b"]")?)?, port)),
        // Without brackets nobody can tell where an IPv6 address ends.
        None if host.contains(&b':') => None,
        None => Some((ip(host)?, port)),
    }
}

/// Whether a text is so many hex digits.
pub(in crate::parse) fn is_hex(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a text contains a piece.
pub(in crate::parse) fn contains(text: &[u8], piece: &[u8]) -> bool {
    // Texts and pieces are short: preparing a search would cost more than the search.
    let begins = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(piece));
    piece.first().is_none_or(|&first| memchr::memchr_iter(first, text).any(begins))
}

/// Whether a byte is a quote or a bracket.
const NESTS: [bool; 256] = {
    let (mut nests, mut at) = ([false; 256], 0);
    while at < NESTING.len() {
        nests[NESTING[at] as usize] = true;
        at += 1;
    }
    nests
};

const NESTING: &[u8] = b"\"([{)]}";

/// Where `wanted` first says yes outside quotes and brackets, given what begins there with the
/// byte `first`; the length if it never does.
pub(in crate::parse) fn outside(text: &[u8], first: u8, wanted: impl Fn(&[u8]) -> bool) -> usize {
    let (mut rest, mut depth) = (text, 0usize);
    let is_of_use = |&byte: &u8| byte == first || NESTS[usize::from(byte)];
    while let Some(found) = rest.iter().position(is_of_use) {
        let (Some(begin), Some(behind)) = (rest.get(found..), rest.get(found + 1..)) else { break };
        let byte = begin.first().copied().unwrap_or_default();
        if depth == 0 && byte == first && wanted(begin) {
            return text.len() - begin.len();
        }
        rest = match byte {
            b'"' => behind_quoted(behind),
            _ => behind,
        };
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// What stands behind the quote that ends a quoted text; nothing if none does.
fn behind_quoted(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', text) {
        let is_end = text.get(at) == Some(&b'"');
        text = text.get(at + 1..).unwrap_or_default();
        if is_end {
            return text;
        }
        text = text.get(1..).unwrap_or_default();
    }
    &[]
}

/// Reads Rust's debug text of a string at the begin of `text`; gives its value and what follows
/// the closing quote. `None` if it does not begin with a quote, does not end, or has an escape
/// that Rust does not write.
pub(in crate::parse) fn unquote(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let (head, rest) = inside.split_at_checked(memchr::memchr2(b'"', b'\\', inside)?)?;
    if let Some(rest) = rest.strip_prefix(b"\"") {
        return Some((Cow::Borrowed(head), rest));
    }
    let mut value = head.to_vec();
    let mut rest = rest;
    loop {
        match *rest {
            [b'"', ref after @ ..] => return Some((Cow::Owned(value), after)),
            [b'\\', ref escape @ ..] => rest = unescape(escape, &mut value)?,
            _ => {
                let (head, tail) = rest.split_at_checked(memchr::memchr2(b'"', b'\\', rest)?)?;
                value.extend_from_slice(head);
                rest = tail;
            }
        }
    }
}

/// Reads an escape whose backslash is behind us; gives what follows it.
fn unescape<'a>(escape: &'a [u8], value: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&letter, rest) = escape.split_first()?;
    let byte = match letter {
        b'"' | b'\\' | b'\'' => letter,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => b'\0',
        b'u' => {
            let digits = rest.strip_prefix(b"{")?;
            // A character has six hex digits at most.
            let end = digits.iter().take(7).position(|&byte| byte == b'}')?;
            let (digits, rest) = digits.split_at_checked(end)?;
            let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            let letter = char::from_u32(code)?;
            value.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            return rest.get(1..);
        }
        _ => return None,
    };
    value.push(byte);
    Some(rest)
}

/// The spans of `name{k=v k=v}:name`, in order: name and what stands in the braces.
#[derive(Debug, Clone)]
pub(in crate::parse) struct Spans<'a> {
    rest: &'a [u8],
}

impl<'a> Spans<'a> {
    /// The spans of a text.
    pub(in crate::parse) fn of(text: &'a [u8]) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Spans<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'{', b':', self.rest).unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at_checked(end)?;
        let mut body: &[u8] = b"";
        let mut after = after;
        if let Some(inside) = after.strip_prefix(b"{") {
            let end = outside(inside, b'}', |_| true);
            let (head, tail) = inside.split_at_checked(end)?;
            body = head;
            after = tail.strip_prefix(b"}").unwrap_or(tail);
        }
        self.rest = after.strip_prefix(b":").unwrap_or(after);
        Some((name, body))
    }
}

/// The value of a field `key=value` of a span, quoted or bare; the first one counts. `None` where
/// it is absent in any spelling.
pub(in crate::parse) fn span_field<'a>(body: &'a [u8], key: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut rest = body;
    while !rest.is_empty() {
        let end = outside(rest, b' ', |_| true);
        let (word, after) = rest.split_at_checked(end)?;
        let value = word.strip_prefix(key).and_then(|word| word.strip_prefix(b"="));
        if let Some(value) = value {
            let value = unquote(value).map_or(Cow::Borrowed(value), |(value, _)| value);
            return Some(value).filter(|value| !is_absent(value));
        }
        rest = after.strip_prefix(b" ").unwrap_or(after);
    }
    None
}

/// The event time: the line's own, else that of what stood around it.
pub(in crate::parse) fn event_time(
    own: Option<i64>,
    context: &Context<'_>,
) -> Option<(i64, &'static str)> {
    own.map(|micros| (micros, "payload")).or(context.envelope.time)
}

/// Writes what the envelope knows, after the line's own values.
pub(in crate::parse) fn envelope(event: &mut Event, context: &Context<'_>) {
    for (column, value) in &context.envelope.columns {
        event.text(*column, value.as_bytes());
    }
    if let Some((micros, _)) = context.envelope.time {
        event.int64(f::OBSERVED_TIME, micros);
    }
}

/// How far a line of text was understood.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::parse) struct Doubt {
    /// Reading stopped before the end.
    pub(in crate::parse) partial: bool,
    /// A known key stands twice.
    pub(in crate::parse) repeated: bool,
}

/// The text of `parse_error` for a key that stands twice.
pub(in crate::parse) const REPEATED: &[u8] = b"a key stands twice; the last value was read";

impl Doubt {
    fn write(self, event: &mut Event) {
        // What is missing weighs more than what is there twice.
        if self.partial {
            event.text(f::PARSE_STATUS, b"partial");
            event.text(f::PARSE_ERROR, b"expected fields up to the end, found something else");
        } else if self.repeated {
            event.text(f::PARSE_STATUS, b"ambiguous");
            event.text(f::PARSE_ERROR, REPEATED);
        } else {
            event.text(f::PARSE_STATUS, b"ok");
        }
    }
}

/// Column `attributes` of a line of text, being filled. The buffer is used again.
#[derive(Debug, Default)]
pub(in crate::parse) struct Attributes {
    json: Vec<u8>,
}

impl Attributes {
    /// Forgets everything.
    pub(in crate::parse) fn clear(&mut self) {
        self.json.clear();
    }

    /// Adds a field; its value becomes a JSON string.
    pub(in crate::parse) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.json.push(if self.json.is_empty() { b'{' } else { b',' });
        self.quoted(key);
        self.json.push(b':');
        self.quoted(value);
    }

    /// Adds a known field, unless its column gives the value back.
    pub(in crate::parse) fn add_unless_held(
        &mut self,
        key: (usize, &[u8]),
        value: &[u8],
        event: &Event,
        direct: &[Direct],
    ) {
        let (number, name) = key;
        let held = direct
            .iter()
            .any(|&(key, column)| key == number && event.text_of(column) == Some(value));
        if !held {
            self.add(name, value);
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        match simdutf8::basic::from_utf8(text) {
            Ok(_) => push_string(&mut self.json, text),
            Err(_) => push_string(&mut self.json, String::from_utf8_lossy(text).as_bytes()),
        }
    }

    /// Writes `attributes`, `raw`, `parse_status` and `parse_error` of an event whose other
    /// columns are set. The text itself is always kept: a line can not be put together again.
    pub(in crate::parse) fn finish(
        &mut self,
        event: &mut Event,
        record: &[u8],
        context: &Context<'_>,
        doubt: Doubt,
    ) {
        let around = &context.envelope.attributes;
        if !around.is_empty() {
            self.json.push(if self.json.is_empty() { b'{' } else { b',' });
            self.json.extend_from_slice(around);
        }
        if !self.json.is_empty() {
            self.json.push(b'}');
            event.text(f::ATTRIBUTES, &self.json);
        }
        event.text(f::RAW, context.outer.unwrap_or(record));
        doubt.write(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a walk through debug text stands: inside quotes, and how many brackets deep. JSON is
    /// such a text too.
    #[derive(Debug, Clone, Copy, Default)]
    struct Nesting {
        depth: usize,
        quoted: bool,
        escaped: bool,
    }

    impl Nesting {
        /// Outside all quotes and brackets.
        fn outside(self) -> bool {
            self.depth == 0 && !self.quoted
        }

        /// Goes behind one byte. A closing bracket without an opening one counts nothing.
        fn step(&mut self, byte: u8) {
            if self.quoted {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.quoted = false,
                    _ => {}
                }
                return;
            }
            match byte {
                b'"' => self.quoted = true,
                b'(' | b'[' | b'{' => self.depth += 1,
                b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    #[test]
    fn outside_is_what_a_walk_byte_by_byte_says() {
        let pieces = [
            "a",
            " ",
            "=",
            ", ",
            ",",
            "\"",
            "\\",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "\"x}\\\" \"",
            "é",
        ];
        let mut random = 9u64;
        for _ in 0..50_000 {
            let mut text = String::new();
            for _ in 0..random >> 60 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[usize::try_from(random >> 33).unwrap() % pieces.len()]);
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for wanted in [&b" "[..], b", ", b",", b"}", b"\"", b"(", b" a"] {
                let mut nesting = Nesting::default();
                let slow = text.bytes().enumerate().position(|(at, byte)| {
                    let found = nesting.outside() && text.as_bytes()[at..].starts_with(wanted);
                    nesting.step(byte);
                    found
                });
                let found = outside(text.as_bytes(), wanted[0], |rest| rest.starts_with(wanted));
                assert_eq!(found, slow.unwrap_or(text.len()), "{text:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn debug_text_is_read_as_rust_writes_it() {
        for text in ["", "a", "a\"b\\c", "\n\r\t\0", "\u{1b}[31m", "é", "'", "a=b c"] {
            let written = format!("{text:?} rest");
            let (value, rest) = unquote(written.as_bytes()).unwrap();
            assert_eq!((&*value, rest), (text.as_bytes(), &b" rest"[..]), "{written}");
        }
        for wrong in ["", "a", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u{110000}\"", "\"\\u{1b\""] {
            assert_eq!(unquote(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn spans_end_where_their_braces_do() {
        let text = b"a:b{k=1.2.3.4:5 l=Some(X { k=9 })}:c{k=\"x}:y\"}:d{k=open";
        let spans: Vec<_> =
            Spans::of(text).map(|(name, body)| (name, span_field(body, b"k"))).collect();
        let value = |text: &'static [u8]| Some(Cow::Borrowed(text));
        let expected: [(&[u8], _); 4] = [
            (b"a", None),
            (b"b", value(b"1.2.3.4:5")),
            (b"c", value(b"x}:y")),
            (b"d", value(b"open")),
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn ipv4_addresses_are_those_of_the_standard_library() {
        let mut random = 1u64;
        let mut found = 0;
        for _ in 0..300_000 {
            let mut text = Vec::new();
            for _ in 0..9 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pieces =
                    ["0", "1", "2", "5", "10", "255", "256", ".", ".", ".", "1.", "", "a", "00"];
                let place = usize::try_from(random >> 33).unwrap() % pieces.len();
                text.extend_from_slice(pieces[place].as_bytes());
            }
            let std = std::str::from_utf8(&text).unwrap().parse::<std::net::Ipv4Addr>().is_ok();
            found += usize::from(std);
            assert_eq!(is_ipv4(&text), std, "{}", String::from_utf8_lossy(&text));
        }
        assert!(found > 200, "{found}");
        assert!(is_ipv4(b"255.255.255.255") && !is_ipv4(b"255.255.255.255."));
    }

    #[test]
    fn addresses_with_ports() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let found = address(text.as_bytes());
            let found = found.map(|(ip, port)| (String::from_utf8(ip.to_vec()).unwrap(), port));
            assert_eq!(found, expected.map(|(ip, port)| (ip.to_owned(), port)), "{text}");
        };
        check("10.1.7.9:80", Some(("10.1.7.9", 80)));
        check("[2001:DB8:0:0::7]:45208", Some(("2001:db8::7", 45208)));
        for wrong in ["", ":", "10.1.7.9", "10.1.7.9:", "10.1.7.9:65536", "[::1]", "::1:80", "a:1"]
        {
            check(wrong, None);
        }
    }
}
