//! Values of Kubernetes Secrets, wherever in a record they stand: in the object sent, in the
//! object given back, in the annotation that keeps the last object applied.

use memchr::memmem;

use super::scan::{Scan, Work};
use super::values::{open_quote, quote_before, skip_space, string_end};
use super::{Kind, Span};

/// Adds spans for all strings below `data` and `stringData`, and for a JSON patch's values.
pub(super) fn redact(record: &[u8], work: &mut Work) {
    values_of(record, b"ata", &[b"data", b"stringData"], work);
    let is_patch =
        [&b"/data"[..], b"/stringData"].iter().any(|path| memmem::find(record, path).is_some());
    if is_patch {
        values_of(record, b"value", &[b"value"], work);
    }
}

/// Adds spans for what stands behind some keys, all of which end with `ending`.
fn values_of(record: &[u8], ending: &[u8], keys: &[&[u8]], work: &mut Work) {
    let mut done = 0;
    for found in memmem::find_iter(record, ending) {
        let end = found + ending.len();
        if found < done {
            continue;
        }
        let key = keys.iter().find(|key| record[..end].ends_with(key));
        let Some((level, _)) = key.and_then(|key| quote_before(record, end - key.len())) else {
            continue;
        };
        let Some((closing, behind)) = open_quote(record, end) else { continue };
        let colon = skip_space(record, behind);
        if closing != level || record.get(colon) != Some(&b':') {
            continue;
        }
        done = strings(record, skip_space(record, colon + 1), level, work);
    }
}

/// Adds spans for the strings of the value at `from`, but not for keys; returns where it ends.
fn strings(record: &[u8], from: usize, level: u32, work: &mut Work) -> usize {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(&byte) = record.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' | b'\\' => {
                let Some((found, start)) = open_quote(record, at) else { return at };
                if found != level {
                    return at;
                }
                let (end, behind) = string_end(record, start, level);
                at = behind.unwrap_or(record.len());
                let colon = skip_space(record, at);
                if record.get(colon) == Some(&b':') {
                    if is_any_value(&record[start..end]) {
                        // A value of OpenTelemetry's, not of a patch.
                        return at;
                    }
                    at = colon + 1;
                } else {
                    Scan::keep(record, work, Span { start, end, kind: Kind::KubernetesSecret });
                    if depth == 0 {
                        return at;
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    at
}

fn is_any_value(key: &[u8]) -> bool {
    let kinds =
        ["string", "bool", "int", "double", "array", "kvlist", "bytes"].map(|kind| kind.as_bytes());
    key.strip_suffix(b"Value").is_some_and(|kind| kinds.contains(&kind))
}
