//! JSON strings, written.

/// Appends `text`, which is UTF-8, as a JSON string with the shortest escapes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, behind) = rest.split_at(first_escaped(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(other >> 4), digit(other & 15)]);
            }
        }
        rest = behind;
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Where the first byte stands that needs an escape; the length if there is none.
fn first_escaped(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The top bit of each byte below a small number; bytes behind the first one may be marked too.
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word & TOPS;
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let found = below(word, 0x20)
            | below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| needs_escape(byte)).unwrap_or(rest.len())
}

/// Appends `"name":value`, with a comma before it if `out` already holds a field.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    push_string(out, name.as_bytes());
    out.push(b':');
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_were() {
        let text: String = (0..0x180u32).filter_map(char::from_u32).collect();
        let mut out = Vec::new();
        push_string(&mut out, text.as_bytes());
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        for start in 0..=text.len() {
            let Some(rest) = text.get(start..) else { continue };
            let slow = rest.bytes().position(needs_escape).unwrap_or(rest.len());
            assert_eq!(first_escaped(rest.as_bytes()), slow, "{rest:?}");
        }
        let long = "no escape in here, for more than eight bytes; then \u{1f} and a \"";
        let mut out = Vec::new();
        push_string(&mut out, long.as_bytes());
        assert_eq!(out, serde_json::to_vec(long).unwrap());
        let mut out = b"{".to_vec();
        push_field(&mut out, "a", b"1");
        push_field(&mut out, "b\"", b"\"\"");
        assert_eq!(out, b"{\"a\":1,\"b\\\"\":\"\"");
    }
}
