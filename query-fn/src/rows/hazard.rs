//! Characters that make a terminal or a reader see something else than what is there.

/// Whether a terminal must not get this character raw: control characters (C0, DEL, C1), line
/// separators, and invisible or direction-changing ones. The one list there is.
pub fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Appends text for a terminal: at most `chars_max` characters, hazards escaped, `…` if cut.
pub(super) fn push_visible(text: &str, chars_max: usize, out: &mut String) {
    let mut chars = 0;
    for c in text.chars() {
        let before = out.len();
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hazard(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        let width = if out.len() - before == c.len_utf8() { 1 } else { out.len() - before };
        if chars + width > chars_max {
            out.truncate(before);
            // The sign needs a place too.
            if chars == chars_max {
                out.pop();
            }
            out.push('…');
            return;
        }
        chars += width;
    }
}

/// Escapes hazards in JSON text, where they can only stand inside of strings. The newlines between
/// lines of JSON stay.
pub(crate) fn escape_json(json: Vec<u8>) -> Vec<u8> {
    // DEL, and the first bytes of the encodings of all other hazards.
    let suspicious = |b: &u8| matches!(b, 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xef | 0xf3);
    if !json.iter().any(suspicious) {
        return json;
    }
    let text = match String::from_utf8(json) {
        Ok(text) => text,
        Err(error) => return error.into_bytes(),
    };
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if c != '\n' && is_hazard(c) {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped.into_bytes()
}

/// JSON text in which all that is not ASCII is escaped: what can be a header, and drives nothing.
pub(crate) fn ascii_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0u16; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
