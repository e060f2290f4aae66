//! JSON compared value by value, by a reader that shares nothing with the parsers: numbers by
//! their text, keys that stand twice in their order, other keys in any.

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Json {
    /// A number, `true`, `false` or `null`, as it stands.
    Word(String),
    /// A string's characters; those of an escaped half of a pair stand for themselves.
    Text(Vec<u32>),
    List(Vec<Json>),
    /// Fields by key; those with the same key in their order.
    Object(Vec<(Vec<u32>, Json)>),
}

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 512;

/// Reads a text that is one JSON value; its fields are sorted, so that equal values are the same.
pub(crate) fn read(text: &str) -> Option<Json> {
    read_in_order(text).map(Json::sorted)
}

/// Reads a text that is one JSON value, with its fields as they stand.
pub(crate) fn read_in_order(text: &str) -> Option<Json> {
    let mut reader = Reader { text: text.as_bytes(), whole: text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(value)
}

impl Json {
    /// The value with its fields, and those of all values in it, sorted by key.
    pub(crate) fn sorted(self) -> Self {
        match self {
            Self::List(all) => Self::List(all.into_iter().map(Self::sorted).collect()),
            Self::Object(fields) => {
                let mut fields: Vec<_> =
                    fields.into_iter().map(|(key, value)| (key, value.sorted())).collect();
                // A stable sort: what stands twice keeps its order.
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Object(fields)
            }
            other => other,
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    whole: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        match self.peek()? {
            b'"' => self.string().map(Json::Text),
            b'[' => self.list(depth).map(Json::List),
            b'{' => self.object(depth).map(Json::Object),
            _ => self.word().map(Json::Word),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Json>> {
        let mut list = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            return Some(list);
        }
        loop {
            list.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Some(list);
            }
            self.take(b',').then_some(())?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Vec<(Vec<u32>, Json)>> {
        let mut fields = Vec::new();
        self.take(b'{');
        if self.take(b'}') {
            return Some(fields);
        }
        loop {
            self.space();
            (self.peek()? == b'"').then_some(())?;
            let key = self.string()?;
            self.take(b':').then_some(())?;
            fields.push((key, self.value(depth + 1)?));
            if self.take(b'}') {
                return Some(fields);
            }
            self.take(b',').then_some(())?;
        }
    }

    fn string(&mut self) -> Option<Vec<u32>> {
        self.at += 1;
        let mut all = Vec::new();
        loop {
            let mut escaped = false;
            for (place, char) in self.whole.get(self.at..)?.char_indices() {
                match char {
                    '"' => {
                        self.at += place + 1;
                        return Some(all);
                    }
                    '\\' => {
                        self.at += place + 1;
                        escaped = true;
                        break;
                    }
                    '\0'..'\u{20}' => return None,
                    _ => all.push(u32::from(char)),
                }
            }
            escaped.then_some(())?;
            self.escape(&mut all)?;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, all: &mut Vec<u32>) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        all.push(match byte {
            b'"' | b'\\' | b'/' => u32::from(byte),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let high = self.hex()?;
                let is_high = (0xd800..0xdc00).contains(&high);
                if is_high && self.text.get(self.at..)?.starts_with(b"\\u") {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    } else {
                        self.at = before;
                        high
                    }
                } else {
                    high
                }
            }
            _ => return None,
        });
        Some(())
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
    }

    fn word(&mut self) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let word = rest.get(..rest.iter().take_while(is_part).count())?;
        self.at += word.len();
        let word = std::str::from_utf8(word).ok()?;
        (matches!(word, "true" | "false" | "null") || is_number(word)).then(|| word.to_owned())
    }
}

/// Whether a text is a number by RFC 8259.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}
