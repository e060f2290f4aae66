//! What stands at a place where a credential can begin, and where it ends.
//!
//! Places come in order. Whatever is read ahead is either redacted, and then skipped, or read
//! only as far as it stays in one word, which is then skipped too: no byte is read more than a
//! few times.

use memchr::{memchr2_iter, memchr3, memmem};

use super::kubernetes;
use super::names::{Name, Names};
use super::values::{
    Ends, is_spared, is_word, open_quote, percent_decoded, quote_before, skip_marker, skip_space,
    string_end, value_end,
};
use super::{Kind, Span};

/// Longest name before `=`, as it stands.
const NAME_BYTES_MAX: usize = 96;

/// What was found in a record.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) spans: Vec<Span>,
    /// Strings in base64 that may have a record in them.
    pub(super) base64: Vec<(usize, usize)>,
}

impl Work {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.base64.clear();
    }
}

/// One record being looked at.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    record: &'a [u8],
    names: &'a Names,
    work: &'a mut Work,
    /// The end of the last word looked at.
    seen: usize,
    /// The end of what is redacted.
    covered: usize,
    /// The end of what followed a scheme and was no credential.
    no_credential: usize,
    /// The last `@`, and whether userinfo ends there.
    at_sign: Option<(usize, bool)>,
    /// The value of the last `code=` that no `state=` went before.
    code: Option<Span>,
    /// Behind the last `state=`, or what is known to be in its query.
    state: Option<usize>,
    /// A Kubernetes Secret is mentioned.
    is_secret: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(record: &'a [u8], names: &'a Names, work: &'a mut Work) -> Self {
        Self {
            record,
            names,
            work,
            seen: 0,
            covered: 0,
            no_credential: 0,
            at_sign: None,
            code: None,
            state: None,
            is_secret: false,
        }
    }

    /// Looks at the next place.
    pub(super) fn hit(&mut self, at: usize) {
        if at < self.covered {
            return;
        }
        match self.record.get(at) {
            Some(b'=') => self.parameter(at, at + 1, false),
            Some(b'@') => self.userinfo(at),
            Some(b'%' | b'5') => match encoded_equals(self.record, at + 1) {
                Some(start) => self.parameter(start, at + 3, true),
                None => self.word_at(at),
            },
            Some(_) => self.word_at(at),
            None => {}
        }
    }

    /// Looks at what only the whole record tells.
    pub(super) fn finish(self) {
        if self.is_secret && self.names.secrets {
            kubernetes::redact(self.record, self.work);
        }
    }

    /// Keeps a span, unless it hides nothing.
    pub(super) fn keep(record: &[u8], work: &mut Work, span: Span) -> bool {
        let Some(value) = record.get(span.start..span.end) else { return false };
        let is_kept = !is_spared(value);
        if is_kept {
            work.spans.push(span);
        }
        is_kept
    }

    fn redact(&mut self, kind: Kind, start: usize, end: usize) {
        Self::keep(self.record, self.work, Span { start, end, kind });
        self.covered = self.covered.max(end);
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.record.get(at..).unwrap_or_default()
    }

    /// `name=value`, the name's end and the value's begin given.
    fn parameter(&mut self, name_end: usize, value: usize, encoded: bool) {
        let Some((name, in_query)) = name_before(self.record, name_end, self.names) else { return };
        let ends = match (encoded, in_query) {
            (true, _) => Ends::EncodedQuery,
            (_, true) => Ends::Query,
            _ => Ends::Text,
        };
        if self.names.is_parameter(&name) {
            let (start, end) = self.parameter_value(value, ends);
            self.redact(Kind::Parameter, start, end);
        } else if self.names.shapes {
            match name.bytes() {
                Names::LONG_KEY if is_long_key(self.rest(value)) => {
                    self.redact(Kind::Parameter, value, value_end(self.record, value, ends));
                }
                b"code" => self.code(value),
                b"state" => {
                    let code = self.code.take().filter(|code| self.same_query(code.end, value));
                    if let Some(code) = code {
                        Self::keep(self.record, self.work, code);
                    }
                    self.state = Some(value);
                }
                _ => {}
            }
        }
    }

    /// The value behind `=`, in quotes or not.
    fn parameter_value(&self, at: usize, ends: Ends) -> (usize, usize) {
        let spaced = at + usize::from(self.record.get(at) == Some(&b' '));
        if self.record.get(spaced) == Some(&b'\'') {
            return (spaced + 1, apostrophe_end(self.record, spaced + 1));
        }
        match open_quote(self.record, spaced) {
            Some((_, start)) if self.closes(start) => (at, at),
            Some((level, start)) => (start, string_end(self.record, start, level).0),
            None => (at, value_end(self.record, at, ends)),
        }
    }

    /// Whether the quote before `at` closes a JSON string: more JSON is behind it, and no value.
    fn closes(&self, at: usize) -> bool {
        self.record.get(at).is_none_or(|byte| {
            byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'}' | b']' | b'\\')
        })
    }

    /// OAuth sends its code along with a state; alone, `code` is anything.
    fn code(&mut self, start: usize) {
        let length = self
            .rest(start)
            .iter()
            .take_while(|&&byte| is_word(byte) || byte == b'%' || byte == b'/');
        let end = start + length.count();
        let span = Span { start, end, kind: Kind::Parameter };
        match self.state {
            Some(state) if self.same_query(state, start) => {
                self.redact(Kind::Parameter, start, end);
                self.state = Some(end);
            }
            _ => {
                self.state = None;
                self.code = Some(span);
            }
        }
    }

    fn same_query(&self, from: usize, to: usize) -> bool {
        self.record
            .get(from..to)
            .is_some_and(|between| memchr3(b'"', b' ', b'\n', between).is_none())
    }

    /// `scheme://user:password@`
    fn userinfo(&mut self, at: usize) {
        if !self.names.shapes {
            return;
        }
        let (last, goes_on) = match self.at_sign {
            Some((last, is_userinfo)) => (last + 1, is_userinfo),
            None => (0, false),
        };
        let before = &self.record[last..at];
        let length = before.iter().rev().take_while(|&&byte| is_authority(byte)).count();
        let start = at - length;
        let is_after = |text: &[u8]| self.record[..start].ends_with(text);
        // A password may have an `@` in it: the last one counts.
        let is_more = goes_on && start == last;
        let is_userinfo = is_more || length > 0 && (is_after(b"://") || is_after(b":\\/\\/"));
        if is_userinfo {
            let start = if is_more { last - 1 } else { start };
            if let Some(span) =
                self.work.spans.last_mut().filter(|span| is_more && span.end == start)
            {
                span.end = at;
                self.covered = at;
            } else {
                self.redact(Kind::Userinfo, start, at);
            }
        }
        self.at_sign = Some((at, is_userinfo));
    }

    /// The word around a place.
    fn word_at(&mut self, at: usize) {
        if at < self.seen {
            return;
        }
        let before = &self.record[self.seen..at];
        let start = at - before.iter().rev().take_while(|&&byte| is_word(byte)).count();
        let end = at + self.rest(at).iter().take_while(|&&byte| is_word(byte)).count();
        self.seen = end.max(at + 1);
        // `\n` and `%20` may stand right before a word, and look like letters of it.
        self.word(start, end);
        let stripped = start + escape_length(self.record, start, end);
        if stripped > start && self.covered <= start {
            self.word(stripped, end);
        }
    }

    fn word(&mut self, start: usize, end: usize) {
        let word = &self.record[start..end];
        if self.names.shapes && self.shape(word, start, end) {
            return;
        }
        let is_prefixed =
            |prefix: &Vec<u8>| word.starts_with(prefix) && word.len() >= prefix.len() + 8;
        if self.names.prefixes.iter().any(is_prefixed) {
            return self.redact(Kind::Prefix, start, end);
        }
        let opening = quote_before(self.record, start);
        let quoted = opening.and_then(|(level, _)| {
            open_quote(self.record, end).filter(|(closing, _)| *closing == level)
        });
        self.note_secret(word, quoted.is_some());
        if self.names.secrets && matches!(word, b"envvar" | b"filesystem") {
            return self.hoop_secret(start, end);
        }
        if let (b"data" | b"input", Some((level, behind))) = (word, quoted) {
            return self.base64(level, behind);
        }
        let Some(name) = self.names.may_be(word).then(|| Name::new(word)).flatten() else { return };
        if !self.names.is_field(&name) {
            return;
        }
        match quoted {
            Some((level, behind)) => self.key(level, behind),
            None => self.text_field(&name, end),
        }
    }

    /// What tells by itself what it is; returns whether the word is such.
    fn shape(&mut self, word: &[u8], start: usize, end: usize) -> bool {
        if word.starts_with(b"eyJ") {
            if is_jwt(word) {
                self.redact(Kind::Jwt, start, end);
            }
            return true;
        }
        if word.ends_with(b"-----BEGIN") {
            let start = end - b"-----BEGIN".len();
            if let Some(end) = private_key_end(self.record, end) {
                self.redact(Kind::PrivateKey, start, end);
            }
            return true;
        }
        let kind = if word.eq_ignore_ascii_case(b"bearer") {
            Kind::Bearer
        } else if word.eq_ignore_ascii_case(b"basic") {
            Kind::Basic
        } else {
            return false;
        };
        let Some(start) = behind_separator(self.record, end) else { return true };
        if start < self.no_credential {
            return true;
        }
        let is_token = |byte: &&u8| is_word(**byte) || matches!(byte, b'~' | b'+' | b'/' | b'=');
        let end = start + self.rest(start).iter().take_while(is_token).count();
        let token = &self.record[start..end];
        let is_credential = if kind == Kind::Basic { is_basic(token) } else { is_bearer(token) };
        if is_credential {
            self.redact(kind, start, end);
        } else {
            self.no_credential = end;
        }
        true
    }

    /// Notes words by which a Kubernetes Secret is called.
    fn note_secret(&mut self, word: &[u8], is_quoted: bool) {
        self.is_secret |= match word {
            b"Secret" | b"SecretList" | b"secrets" => is_quoted,
            _ if word.contains(&b'.') => {
                word.ends_with(b".Secret")
                    || word.ends_with(b".SecretList")
                    || memmem::find(word, b".secrets.").is_some()
            }
            _ => false,
        };
    }

    /// `"envvar:PASS":"…"`, a secret of a connection of hoop.dev.
    fn hoop_secret(&mut self, start: usize, end: usize) {
        if self.record.get(end) != Some(&b':') {
            return;
        }
        let end = end + 1 + self.rest(end + 1).iter().take_while(|&&byte| is_word(byte)).count();
        self.seen = self.seen.max(end);
        let Some((opening, _)) = quote_before(self.record, start) else { return };
        let Some((level, behind)) = open_quote(self.record, end) else { return };
        if level == opening {
            self.key(level, behind);
        }
    }

    /// `"data":"…"`: base64, if it is that.
    fn base64(&mut self, level: u32, behind: usize) {
        let colon = skip_space(self.record, behind);
        if self.record.get(colon) != Some(&b':') {
            return;
        }
        let Some((found, start)) = open_quote(self.record, skip_space(self.record, colon + 1))
        else {
            return;
        };
        let is_digit =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let end = start + self.rest(start).iter().take_while(is_digit).count();
        if found == level && end > start && open_quote(self.record, end).is_some() {
            self.work.base64.push((start, end));
            self.seen = end;
        }
    }

    /// The value of a key, or of a pair `"name":"authorization","value":"…"`.
    fn key(&mut self, level: u32, behind: usize) {
        let at = skip_space(self.record, behind);
        match self.record.get(at) {
            Some(b':') => self.value(level, skip_space(self.record, at + 1)),
            Some(b',') => {
                let Some(value) = self.member(level, skip_space(self.record, at + 1), b"value")
                else {
                    return;
                };
                let any = Some(value).filter(|&at| self.record.get(at) == Some(&b'{'));
                let any = any.map(|at| skip_space(self.record, at + 1));
                let any = any.and_then(|at| self.member(level, at, b"stringValue"));
                self.value(level, any.unwrap_or(value));
            }
            _ => {}
        }
    }

    /// Where the value of the key at `at` begins, if it is `name`.
    fn member(&self, level: u32, at: usize, name: &[u8]) -> Option<usize> {
        let (opening, start) = open_quote(self.record, at)?;
        let end = start + self.rest(start).starts_with(name).then_some(name.len())?;
        let (closing, behind) = open_quote(self.record, end)?;
        let colon = skip_space(self.record, behind);
        let is_member =
            opening == level && closing == level && self.record.get(colon) == Some(&b':');
        is_member.then(|| skip_space(self.record, colon + 1))
    }

    /// A string, or a list of strings.
    fn value(&mut self, level: u32, at: usize) {
        if self.record.get(at) != Some(&b'[') {
            self.string(level, at);
            return;
        }
        let mut at = skip_space(self.record, at + 1);
        while let Some(behind) = self.string(level, at) {
            at = skip_space(self.record, behind);
            if self.record.get(at) != Some(&b',') {
                return;
            }
            at = skip_space(self.record, at + 1);
        }
    }

    /// Redacts the string at `at`, if there is one, and returns where it ends.
    fn string(&mut self, level: u32, at: usize) -> Option<usize> {
        let (found, start) = open_quote(self.record, at)?;
        if found != level {
            return None;
        }
        let (end, behind) = string_end(self.record, start, level);
        self.redact(Kind::Field, start, end);
        behind
    }

    /// `Authorization: …`, `password: Some("…")`, `PASSWORD '…'`
    fn text_field(&mut self, name: &Name, end: usize) {
        let is_header = self.names.is_header(name);
        let Some(rest) = self.rest(end).strip_prefix(b":") else {
            if is_header && self.rest(end).starts_with(b" '") {
                let start = end + 2;
                self.redact(Kind::Field, start, apostrophe_end(self.record, start));
            }
            return;
        };
        let mut at = end + 1 + usize::from(rest.first() == Some(&b' '));
        for wrapper in [&b"Some("[..], b"["] {
            let is_wrapped =
                self.rest(at).starts_with(wrapper) && skip_marker(self.record, at) == at;
            at += if is_wrapped { wrapper.len() } else { 0 };
        }
        if let Some((level, start)) = open_quote(self.record, at) {
            // An opening quote stands behind a space.
            if at > end + 1 && !self.closes(start) {
                let (end, _) = string_end(self.record, start, level);
                self.redact(Kind::Field, start, end);
            }
        } else if is_header {
            let is_long = matches!(
                name.bytes(),
                b"authorization" | b"proxyauthorization" | b"cookie" | b"setcookie"
            );
            let ends = if is_long { Ends::Header } else { Ends::Text };
            self.redact(Kind::Field, at, value_end(self.record, at, ends));
        }
    }
}

/// Where `%` of `%3D` is, encoded once or more, if `at` is at its 3.
fn encoded_equals(record: &[u8], at: usize) -> Option<usize> {
    let mut before = record.get(..at)?;
    if !matches!(record.get(at + 1), Some(b'd' | b'D')) {
        return None;
    }
    for _ in 0..4 {
        if let Some(name) = before.strip_suffix(b"%") {
            return Some(name.len());
        }
        before = before.strip_suffix(b"25")?;
    }
    None
}

/// The name that ends at `end`, and whether it is one of a query.
fn name_before(record: &[u8], end: usize, names: &Names) -> Option<(Name, bool)> {
    let before = record.get(..end)?;
    let before = before.strip_suffix(b" ").unwrap_or(before);
    let is_name = |byte: &&u8| is_word(**byte) || **byte == b'%';
    let length = before.iter().rev().take(NAME_BYTES_MAX + 1).take_while(is_name).count();
    if length == 0 || length > NAME_BYTES_MAX {
        return None;
    }
    let start = before.len() - length;
    if !names.may_be(before) {
        return None;
    }
    let stripped = start + escape_length(record, start, before.len());
    let mut in_query = matches!(record[..start].last(), Some(b'?' | b'&'))
        || stripped > start && matches!(&record[start..stripped], b"u0026" | b"u003f" | b"u003F");
    let name = &before[stripped..];
    if !name.contains(&b'%') {
        return Some((Name::new(name)?, in_query));
    }
    let decoded = percent_decoded(name);
    let letters = decoded.iter().rev().take_while(|&&byte| is_word(byte)).count();
    let (around, name) = decoded.split_at(decoded.len() - letters);
    in_query |= matches!(around.last(), Some(b'?' | b'&'));
    Some((Name::new(name)?, in_query))
}

/// How many letters at `start` belong to the escape before it: `\n`, `\u0026`, `%20`.
fn escape_length(record: &[u8], start: usize, end: usize) -> usize {
    let word = &record[start..end];
    let is_hex = |length: usize| {
        word.get(..length).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match (record[..start].last(), word.first()) {
        (Some(b'\\'), Some(b'u')) => {
            let digits = word.get(1..5).is_some_and(|all| all.iter().all(u8::is_ascii_hexdigit));
            if digits { 5 } else { 0 }
        }
        (Some(b'\\'), Some(b'n' | b'r' | b't' | b'b' | b'f')) => 1,
        (Some(b'%'), _) if is_hex(2) => 2,
        _ => 0,
    }
}

/// Behind the space, `+` or `%20` that parts a scheme from its credential.
fn behind_separator(record: &[u8], at: usize) -> Option<usize> {
    let rest = record.get(at..)?;
    [&b" "[..], b"+", b"%20"]
        .iter()
        .find(|separator| rest.starts_with(separator))
        .map(|separator| at + separator.len())
}

/// Where a text in apostrophes ends.
fn apostrophe_end(record: &[u8], from: usize) -> usize {
    let rest = record.get(from..).unwrap_or_default();
    from + memchr3(b'\'', b'"', b'\\', rest).unwrap_or(rest.len())
}

/// Where a private key in PEM ends whose `-----BEGIN` ends at `at`; one that was cut ends with
/// its string.
fn private_key_end(record: &[u8], at: usize) -> Option<usize> {
    const ENDING: &[u8] = b"PRIVATE KEY-----";
    let rest = record.get(at..)?;
    let head = &rest[..rest.len().min(48)];
    let label = memmem::find(head, ENDING)?;
    if !head[..label].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ') {
        return None;
    }
    let start = at + label + ENDING.len();
    let key = record.get(start..)?;
    for found in memchr2_iter(b'"', b'-', key) {
        if key[found] == b'"' {
            let backslashes = key[..found].iter().rev().take_while(|&&byte| byte == b'\\').count();
            return Some(start + found - backslashes);
        }
        let Some(label) = key[found..].strip_prefix(b"-----END ") else { continue };
        let tail = memmem::find(&label[..label.len().min(48)], ENDING);
        let tail = tail.map_or(0, |tail| tail + ENDING.len());
        return Some(start + found + b"-----END ".len() + tail);
    }
    Some(record.len())
}

/// Three parts of base64url; the last may be empty, where nothing is signed.
fn is_jwt(word: &[u8]) -> bool {
    let mut parts = word.split(|&byte| byte == b'.');
    let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    header.len() >= 10 && payload.len() >= 4 && parts.next().is_some()
}

/// A token, and not the next word of a sentence or a parameter of a challenge.
fn is_bearer(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|&&byte| byte == b'=').count();
    let body = &token[..token.len() - padding];
    let has = |is: fn(&u8) -> bool| body.iter().any(is);
    let is_mixed = has(u8::is_ascii_digit)
        || has(u8::is_ascii_lowercase) && body.iter().skip(1).any(u8::is_ascii_uppercase);
    body.len() >= 8 && !body.contains(&b'=') && (is_mixed || body.len() >= 20)
}

/// Base64 of a text with a colon.
fn is_basic(token: &[u8]) -> bool {
    let text = crate::parse::shippers::base64::decode(token);
    text.is_some_and(|text| text.contains(&b':') && std::str::from_utf8(&text).is_ok())
}

/// At least twenty letters and digits mixed, and no UUID, which mostly is an identifier.
fn is_long_key(rest: &[u8]) -> bool {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = rest.iter().take_while(is_letter).count();
    let key = &rest[..length];
    let is_uuid = length == 36 && [8, 13, 18, 23].iter().all(|&dash| key[dash] == b'-');
    length >= 20
        && !is_uuid
        && key.iter().any(u8::is_ascii_digit)
        && key.iter().any(u8::is_ascii_alphabetic)
}

fn is_authority(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'/' | b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>' | b'[' | b']' | b'\''
        )
        || !byte.is_ascii()
}
