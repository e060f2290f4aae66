//! JSON text in one form, so that two texts of one value are equal: compact, keys sorted by code
//! point, numbers as written, strings with the shortest escapes (the rules' number 34 in
//! `tests/data/kubernetes/README.md`). A key that stands twice stays twice. Nothing is left out:
//! `metadata.managedFields` is a thing of Kubernetes objects.
//!
//! One pass, whatever the depth: members are written where they stand and moved only if they were
//! out of order.

use std::borrow::Cow;

use crate::parse::list::Walk;

/// The canonical text of a value whose grammar was checked before, at most as deep as records are.
pub(super) fn canonical(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let value = value.trim_ascii();
    match write(&mut Walk::new(value), &mut out) {
        Some(()) => out,
        None => value.to_vec(),
    }
}

fn write(walk: &mut Walk<'_>, out: &mut Vec<u8>) -> Option<()> {
    match walk.peek()? {
        b'{' => return object(walk, out),
        b'[' => return list(walk, out),
        b'"' => out.extend_from_slice(&string(walk.value()?)),
        _ => out.extend_from_slice(walk.value()?),
    }
    Some(())
}

fn list(walk: &mut Walk<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    walk.take(b'[');
    let mut more = !walk.take(b']');
    while more {
        write(walk, out)?;
        more = walk.take(b',');
        if more {
            out.push(b',');
        } else if !walk.take(b']') {
            return None;
        }
    }
    out.push(b']');
    Some(())
}

/// A member of an object: its key, and where it stands in the text.
type Member<'a> = (Cow<'a, [u8]>, std::ops::Range<usize>);

fn object(walk: &mut Walk<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'{');
    let begin = out.len();
    let mut members: Vec<Member<'_>> = Vec::new();
    walk.take(b'{');
    let mut more = !walk.take(b'}');
    while more {
        let name = walk.name()?;
        let from = out.len();
        out.extend_from_slice(&string(name));
        out.push(b':');
        write(walk, out)?;
        members.push((sort_key(name), from..out.len()));
        more = walk.take(b',');
        if more {
            out.push(b',');
        } else if !walk.take(b'}') {
            return None;
        }
    }
    if !members.is_sorted_by(|a, b| a.0 <= b.0) {
        // Stable: of one key the values stay in order.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let texts = members.iter().filter_map(|(_, place)| out.get(place.clone()));
        let sorted = texts.collect::<Vec<_>>().join(&b',');
        out.truncate(begin);
        out.extend_from_slice(&sorted);
    }
    out.push(b'}');
    Some(())
}

/// What stands between the quotes of a string without escapes. That is its text, and its shortest
/// spelling: whatever needs an escape has one.
fn without_escapes(quoted: &[u8]) -> Option<&[u8]> {
    if memchr::memchr(b'\\', quoted).is_some() {
        return None;
    }
    quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// What a key is sorted by: UTF-8 sorts by code point.
fn sort_key(quoted: &[u8]) -> Cow<'_, [u8]> {
    if let Some(text) = without_escapes(quoted) {
        return Cow::Borrowed(text);
    }
    serde_json::from_slice::<String>(quoted)
        .map_or(Cow::Borrowed(quoted), |text| Cow::Owned(text.into_bytes()))
}

/// A string with the shortest escapes, which are serde_json's. Half a surrogate pair is no text,
/// and its escape stays.
fn string(quoted: &[u8]) -> Cow<'_, [u8]> {
    if without_escapes(quoted).is_some() {
        return Cow::Borrowed(quoted);
    }
    serde_json::from_slice::<String>(quoted)
        .and_then(|text| serde_json::to_vec(&text))
        .map_or(Cow::Borrowed(quoted), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form() {
        let check = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8(canonical(text.as_bytes())).unwrap(), expected, "{text}");
        };
        check(" { } ", "{}");
        check(
            r#"{"b":1,"a":[ {"d" : 1.0, "c":1e3 } , null ] }"#,
            r#"{"a":[{"c":1e3,"d":1.0},null],"b":1}"#,
        );
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"a":3,"b":2}"#);
        check(r#"{"\u0061\/":"\u00e9\u0007\u000a\"\\"}"#, "{\"a/\":\"é\\u0007\\n\\\"\\\\\"}");
        check(r#"{"x":"\ud800"}"#, r#"{"x":"\ud800"}"#);
        check(r#"{"\uffff":1,"\ud83d\ude00":2}"#, "{\"\u{ffff}\":1,\"\u{1f600}\":2}");
        check(r#"{"a,b":"{\"","c":"}"}"#, r#"{"a,b":"{\"","c":"}"}"#);
        check(r#"{"m":{"managedFields":[1]}}"#, r#"{"m":{"managedFields":[1]}}"#);
        check(
            r#" [ {"b":{"z":1,"y":[ ]},"a":{}} , "x" ] "#,
            r#"[{"a":{},"b":{"y":[],"z":1}},"x"]"#,
        );
        check("[1 2]", "[1 2]");
    }
}
