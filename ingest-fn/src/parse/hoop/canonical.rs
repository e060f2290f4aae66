//! JSON text in one form, so that two texts of one value are equal: compact, keys sorted by code
//! point, numbers as written, strings with the shortest escapes (the rules' number 34 in
//! `tests/data/kubernetes/README.md`). A key that stands twice stays twice. Nothing is left out:
//! `metadata.managedFields` is a thing of Kubernetes objects.

use crate::parse::list::{Walk, elements};

/// The canonical text of a value whose grammar was checked before, at most as deep as records are.
pub(super) fn canonical(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    write(value.trim_ascii(), &mut out);
    out
}

fn write(value: &[u8], out: &mut Vec<u8>) {
    match value.first() {
        Some(b'{') => object(value, out),
        Some(b'[') => {
            out.push(b'[');
            for (index, element) in elements(value).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(element, out);
            }
            out.push(b']');
        }
        Some(b'"') => out.extend_from_slice(&string(value)),
        _ => out.extend_from_slice(value),
    }
}

fn object(value: &[u8], out: &mut Vec<u8>) {
    let mut fields: Vec<(Vec<u8>, &[u8], &[u8])> = Vec::new();
    let mut walk = Walk::new(value);
    let mut more = walk.take(b'{');
    while more && let Some((name, value)) = walk.name().zip(walk.value()) {
        fields.push((sort_key(name), name, value));
        more = walk.take(b',');
    }
    // Stable: of one key the values stay in order.
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    out.push(b'{');
    for (index, (_, name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&string(name));
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// What a key is sorted by: UTF-8 sorts by code point.
fn sort_key(quoted: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<String>(quoted).map_or_else(|_| quoted.to_vec(), String::into_bytes)
}

/// A string with the shortest escapes, which are serde_json's. Half a surrogate pair is no text,
/// and its escape stays.
fn string(quoted: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<String>(quoted)
        .and_then(|text| serde_json::to_vec(&text))
        .unwrap_or_else(|_| quoted.to_vec())
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
    }
}
