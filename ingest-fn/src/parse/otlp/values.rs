//! Values of the OpenTelemetry logs data model, from their JSON form to plain JSON.

use crate::parse::json::escapes::text_of;
use crate::parse::list::Walk;
use crate::parse::quote::push_string;

/// Appends an `AnyValue` as plain JSON: texts, numbers, booleans, lists and objects as they are,
/// bytes as their base64 text, an empty value as `null`. `value` is text a scanner has checked.
pub(crate) fn push_value(value: &[u8], out: &mut Vec<u8>) {
    any_value(&mut Walk::new(value), out);
}

/// The first fields of a list of `KeyValue`, so many at most: names, and values as plain JSON. One
/// without a name is left out.
pub(crate) fn pairs(list: &[u8], count_max: usize) -> Vec<(String, Vec<u8>)> {
    let mut walk = Walk::new(list);
    if !walk.take(b'[') {
        return Vec::new();
    }
    let mut pairs = Vec::with_capacity(8);
    loop {
        // Most values are short.
        let mut value = Vec::with_capacity(32);
        let name = pair(&mut walk, &mut |name, walk| {
            value.clear();
            any_value(walk, &mut value);
            Some(name)
        });
        if let Some(name) = name.and_then(name_of) {
            pairs.push((name, value));
        }
        if pairs.len() == count_max || !walk.take(b',') {
            return pairs;
        }
    }
}

/// The text of a name in quotes.
fn name_of(quoted: &[u8]) -> Option<String> {
    if memchr::memchr(b'\\', quoted).is_some() {
        return String::from_utf8(text_of(quoted)?).ok();
    }
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(inside).ok().map(str::to_owned)
}

/// Appends fields as one JSON object.
pub(crate) fn push_object(pairs: &[(String, Vec<u8>)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

/// Reads one `KeyValue` and hands its name, quotes included, and the place of its value to
/// `read`, which moves behind the value.
fn pair<'a, T>(
    walk: &mut Walk<'a>,
    read: &mut dyn FnMut(&'a [u8], &mut Walk<'a>) -> Option<T>,
) -> Option<T> {
    if walk.peek() != Some(b'{') {
        walk.value();
        return None;
    }
    walk.take(b'{');
    let (mut name, mut waiting, mut result) = (None, None, None);
    // Of several values, against the rules, the first behind a key counts.
    let mut is_read = false;
    while let Some(field) = walk.name() {
        match (field, name) {
            (b"\"key\"", _) if !is_read => {
                name = walk.value().filter(|text| text.starts_with(b"\""));
            }
            (b"\"value\"", Some(name)) if !is_read => {
                walk.peek();
                result = read(name, walk);
                is_read = true;
            }
            (b"\"value\"", None) => {
                walk.peek();
                waiting = Some(*walk);
                walk.value();
            }
            _ => {
                walk.value();
            }
        }
        if !walk.take(b',') {
            break;
        }
    }
    walk.take(b'}');
    match (name, waiting) {
        (Some(name), Some(mut earlier)) if !is_read => read(name, &mut earlier),
        (Some(name), None) if !is_read => read(name, &mut Walk::new(b"{}")),
        _ => result,
    }
}

/// Reads one `AnyValue`. Its depth is bounded by that of the checked text.
fn any_value(walk: &mut Walk<'_>, out: &mut Vec<u8>) {
    let before = out.len();
    if walk.peek() != Some(b'{') {
        walk.value();
        out.extend_from_slice(b"null");
        return;
    }
    walk.take(b'{');
    while let Some(kind) = walk.name() {
        // Of several kinds, against the rules, the first counts.
        if out.len() > before {
            walk.value();
        } else {
            one_kind(kind, walk, out);
        }
        if !walk.take(b',') {
            break;
        }
    }
    walk.take(b'}');
    if out.len() == before {
        out.extend_from_slice(b"null");
    }
}

/// Whether a field's name, in quotes, is a kind of value.
pub(crate) fn is_kind(name: &[u8]) -> bool {
    matches!(
        name,
        b"\"stringValue\""
            | b"\"boolValue\""
            | b"\"intValue\""
            | b"\"doubleValue\""
            | b"\"arrayValue\""
            | b"\"kvlistValue\""
            | b"\"bytesValue\""
    )
}

fn one_kind(kind: &[u8], walk: &mut Walk<'_>, out: &mut Vec<u8>) {
    match kind {
        b"\"arrayValue\"" => values(walk, out, b'[', b']', |walk, out| {
            any_value(walk, out);
            true
        }),
        b"\"kvlistValue\"" => values(walk, out, b'{', b'}', |walk, out| {
            let read = pair(walk, &mut |name, walk| {
                out.extend_from_slice(name);
                out.push(b':');
                any_value(walk, out);
                Some(())
            });
            read.is_some()
        }),
        b"\"intValue\"" => {
            let text = walk.value().unwrap_or_default();
            let digits = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
            let number = digits.filter(|digits| is_integer(digits));
            out.extend_from_slice(number.unwrap_or(text));
        }
        b"\"stringValue\"" | b"\"boolValue\"" | b"\"doubleValue\"" | b"\"bytesValue\"" => {
            out.extend_from_slice(walk.value().unwrap_or_default());
        }
        _ => {
            walk.value();
        }
    }
}

/// Reads `{"values":[…]}`; `one` reads an element and says whether it wrote something.
fn values(
    walk: &mut Walk<'_>,
    out: &mut Vec<u8>,
    open: u8,
    close: u8,
    mut one: impl FnMut(&mut Walk<'_>, &mut Vec<u8>) -> bool,
) {
    out.push(open);
    if walk.peek() != Some(b'{') {
        walk.value();
        out.push(close);
        return;
    }
    walk.take(b'{');
    let mut first = true;
    while let Some(name) = walk.name() {
        if name == b"\"values\"" && walk.peek() == Some(b'[') {
            walk.take(b'[');
            while !matches!(walk.peek(), Some(b']') | None) {
                let before = out.len();
                if !first {
                    out.push(b',');
                }
                if one(walk, out) {
                    first = false;
                } else {
                    out.truncate(before);
                }
                if !walk.take(b',') {
                    break;
                }
            }
            walk.take(b']');
        } else {
            walk.value();
        }
        if !walk.take(b',') {
            break;
        }
    }
    walk.take(b'}');
    out.push(close);
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = digits == b"0" || !digits.starts_with(b"0");
    canonical && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &str) {
        let mut out = Vec::new();
        push_value(value.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{value}");
    }

    #[test]
    fn every_kind_of_value() {
        check(r#"{"stringValue":"a\"b"}"#, r#""a\"b""#);
        check(r#" { "intValue" : "-7" } "#, "-7");
        check(r#"{"intValue":7}"#, "7");
        check(r#"{"intValue":"007"}"#, r#""007""#);
        check(r#"{"boolValue":true}"#, "true");
        check(r#"{"doubleValue":0.5}"#, "0.5");
        check(r#"{"doubleValue":"NaN"}"#, r#""NaN""#);
        check(r#"{"bytesValue":"AAH/"}"#, r#""AAH/""#);
        check("{}", "null");
        check(r#"{"futureValue":[1]}"#, "null");
        check(r#"{"arrayValue":{}}"#, "[]");
        check(
            r#"{"arrayValue":{"values":[{"intValue":"1"},{},{"arrayValue":{"values":[]}}]}}"#,
            "[1,null,[]]",
        );
        check(
            r#"{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}},{"value":{"boolValue":false},"key":"b"},{"key":"c"},{}]}}"#,
            r#"{"a":1,"b":false,"c":null}"#,
        );
        check(
            r#"{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"},"value":{"intValue":"2"},"key":"x"},{"key":"b"}]}}"#,
            r#"{"a":1,"b":null}"#,
        );
        for odd in ["", "[]", "7", "{\"stringValue\"", "{\"arrayValue\":{\"values\":[", "{\"a\""] {
            push_value(odd.as_bytes(), &mut Vec::new());
        }
    }

    #[test]
    fn pairs_by_name() {
        let list = r#"[{"key":"a","value":{"stringValue":"x"}}, 7, {"value":{"intValue":"2"},"key":"b\u0041"},{"key":"c"},{"value":{}}]"#;
        let found = pairs(list.as_bytes(), 9);
        let expected = [("a", "\"x\""), ("bA", "2"), ("c", "null")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(found, expected);
        assert_eq!(pairs(list.as_bytes(), 2).len(), 2);
        assert!([&b"{}"[..], b"[]", b""].iter().all(|list| pairs(list, 9).is_empty()));
    }
}
