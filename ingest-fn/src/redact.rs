//! Credentials out of a record's bytes, before anything reads them.
//!
//! Redaction is a pure function of a record's bytes: columns, attributes, raw and quarantine are
//! all made of what it gives back. It knows no format. It looks at the text for places where a
//! credential can begin (`triggers`), decides at each (`scan`), and replaces what lies inside
//! of quotes or separators, so that JSON stays JSON and fields stay apart.
//!
//! Text in text is read as it stands: a quote with 2ⁿ-1 backslashes before it is a quote of level
//! n, so keys are found in a record in a string in a record.

mod kubernetes;
mod names;
mod pieces;
mod scan;
mod triggers;
mod values;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use names::Names;
use scan::{Scan, Work};
use triggers::Triggers;

/// How what is replaced begins; a rule's name and `]` follow.
const MARKER_START: &[u8] = b"[redacted:";

/// Bytes of a record looked at in one go.
const WINDOW: usize = 4096;

/// A record with something redacted is looked at again until nothing is left, but at most so
/// often, or until so many bytes were looked at: in a long broken record each round may bring out
/// but one more, and there time must not grow with their number.
const ROUNDS_MAX: usize = 8;
const ROUNDS_BYTES_MAX: usize = 1024 * 1024;

/// Base64 in base64 is followed this deep.
const DEPTH_MAX: u32 = 2;

macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)+) => {
        /// Which rule redacted something. The names stand in archives, so they are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$meta])* $variant,)+
        }

        impl Kind {
            /// Every rule.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name in the marker and in counts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            const fn marker(self) -> &'static [u8] {
                match self { $(Self::$variant => concat!("[redacted:", $name, "]").as_bytes(),)+ }
            }
        }
    };
}

kinds! {
    /// The value behind `name=`: a query parameter, a field of a text line.
    Parameter = "parameter",
    /// The value of a JSON key or a header.
    Field = "field",
    /// What follows `Bearer`.
    Bearer = "bearer",
    /// What follows `Basic`.
    Basic = "basic",
    /// A JSON web token.
    Jwt = "jwt",
    /// User and password of a URL.
    Userinfo = "userinfo",
    /// A private key in PEM.
    PrivateKey = "private_key",
    /// A value of a Kubernetes Secret.
    KubernetesSecret = "kubernetes_secret",
    /// A token known by how it begins.
    Prefix = "prefix",
}

/// How many redactions there were, by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// Redactions by one rule.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// All redactions.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The rules that redacted something, by name, and how often.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = *self;
        Kind::ALL
            .into_iter()
            .map(move |kind| (kind.as_str(), counts.of(kind)))
            .filter(|&(_, count)| count > 0)
    }

    /// Adds the counts of another record.
    pub fn add(&mut self, other: &Self) {
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine += more;
        }
    }

    fn one(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }
}

/// Rules; Default is the safe set; `Rules::none()` switches it off.
///
/// Names are compared without case and without `-`, `_` and `.`; of a dotted name the last part
/// counts. Write a name with separators where its words meet (`api_key`). One-letter names are
/// only found before `=`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Names whose value behind `=` is redacted.
    pub parameters: Vec<String>,
    /// JSON keys and header names whose value is redacted.
    pub fields: Vec<String>,
    /// Names, of both kinds, that end so.
    pub endings: Vec<String>,
    /// Further names, of both kinds: what a source adds to the default.
    pub more: Vec<String>,
    /// Names never redacted, whatever the lists above say.
    pub spared: Vec<String>,
    /// Beginnings of tokens that tell by themselves what they are; case counts.
    pub prefixes: Vec<String>,
    /// What has a credential's shape: `Bearer` and `Basic`, JSON web tokens, private keys,
    /// userinfo of URLs, OAuth codes, long `key=` values.
    pub shapes: bool,
    /// Values of Kubernetes Secrets and of hoop.dev's connection secrets.
    pub secrets: bool,
}

impl Default for Rules {
    fn default() -> Self {
        let list = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
        Self {
            parameters: list(names::PARAMETERS),
            fields: list(names::FIELDS),
            endings: list(names::ENDINGS),
            more: Vec::new(),
            spared: list(names::SPARED),
            prefixes: list(names::PREFIXES),
            shapes: true,
            secrets: true,
        }
    }
}

impl Rules {
    /// Nothing is redacted.
    pub fn none() -> Self {
        Self {
            parameters: Vec::new(),
            fields: Vec::new(),
            endings: Vec::new(),
            more: Vec::new(),
            spared: Vec::new(),
            prefixes: Vec::new(),
            shapes: false,
            secrets: false,
        }
    }
}

/// Rules made ready: names to compare with, and what to look for. It takes milliseconds.
#[derive(Debug)]
struct Prepared {
    names: Names,
    triggers: Option<Triggers>,
}

/// Sets of rules kept ready in a process: there is one to a source.
const KEPT_MAX: usize = 8;

/// The rules made ready, by this call or an earlier one: each delivery asks twice.
fn prepared(rules: &Rules) -> Arc<Prepared> {
    static KEPT: Mutex<Vec<(Rules, Arc<Prepared>)>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, ready)) = kept.iter().find(|(known, _)| known == rules) {
        return Arc::clone(ready);
    }
    let names = Names::new(rules);
    let triggers = (*rules != Rules::none()).then(|| Triggers::new(&names.needles()));
    let ready = Arc::new(Prepared { names, triggers });
    if kept.len() >= KEPT_MAX {
        let _ = kept.remove(0);
    }
    kept.push((rules.clone(), Arc::clone(&ready)));
    ready
}

/// Redacts records by one set of rules; its buffers are used again.
#[derive(Debug)]
pub struct Redactor {
    prepared: Arc<Prepared>,
    hits: Vec<usize>,
    work: Work,
}

impl Redactor {
    /// Prepares a set of rules.
    pub fn new(rules: &Rules) -> Self {
        Self { prepared: prepared(rules), hits: Vec::new(), work: Work::default() }
    }

    /// The record with every credential replaced by `[redacted:<rule>]`, and how many by which
    /// rule; borrowed and untouched where there is none.
    ///
    /// Of a line that a container runtime has cut in pieces, the whole is looked at.
    pub fn redact<'a>(&mut self, record: &'a [u8]) -> (Cow<'a, [u8]>, Counts) {
        if self.prepared.triggers.is_none() || !pieces::may_be(record) {
            return self.redact_text(record);
        }
        let mut text = Cow::Borrowed(record);
        let mut counts = Counts::default();
        // The lines first: in a piece alone, only the begin of a credential would be seen. What is
        // taken out of the text can make a piece of what was none, so it goes on until nothing is
        // left.
        for _ in 0..ROUNDS_MAX {
            let (lines, in_lines) = self.redact_pieces(&text);
            let text_now = lines.map_or(text, Cow::Owned);
            let (whole, in_text) = self.redact_text(&text_now);
            counts.add(&in_lines);
            counts.add(&in_text);
            text = match whole {
                Cow::Owned(whole) => Cow::Owned(whole),
                Cow::Borrowed(_) => text_now,
            };
            if in_text.total() == 0 {
                break;
            }
        }
        (text, counts)
    }

    /// The record without the credentials of its lines in pieces, if they have any.
    fn redact_pieces(&mut self, record: &[u8]) -> (Option<Vec<u8>>, Counts) {
        let mut counts = Counts::default();
        let mut lines = Vec::new();
        for line in pieces::lines(record) {
            let (text, more) = self.redact_text(&line.text);
            if more.total() > 0 {
                counts.add(&more);
                let text = text.into_owned();
                lines.push((line, text));
            }
        }
        ((!lines.is_empty()).then(|| pieces::replaced(record, &lines)), counts)
    }

    fn redact_text<'a>(&mut self, record: &'a [u8]) -> (Cow<'a, [u8]>, Counts) {
        let (mut text, mut counts) = self.redact_at(record, 0);
        // What is cut out of a broken record can bring together what was apart.
        for _ in 0..if counts.total() > 0 { rounds_max(record) } else { 0 } {
            let (Cow::Owned(again), more) = self.redact_at(&text, 0) else { break };
            text = Cow::Owned(again);
            counts.add(&more);
        }
        (text, counts)
    }

    #[inline]
    fn redact_at<'a>(&mut self, record: &'a [u8], depth: u32) -> (Cow<'a, [u8]>, Counts) {
        let Some(triggers) = &self.prepared.triggers else {
            return (Cow::Borrowed(record), Counts::default());
        };
        self.hits.clear();
        if record.len() <= WINDOW {
            triggers.find(record, 0, record.len(), &mut self.hits);
            if self.hits.is_empty() {
                return (Cow::Borrowed(record), Counts::default());
            }
        }
        self.redact_hits(record, depth)
    }

    fn redact_hits<'a>(&mut self, record: &'a [u8], depth: u32) -> (Cow<'a, [u8]>, Counts) {
        let mut work = std::mem::take(&mut self.work);
        work.clear();
        let prepared = Arc::clone(&self.prepared);
        let mut scan = Scan::new(record, &prepared.names, &mut work);
        if record.len() <= WINDOW {
            self.hits.iter().for_each(|&at| scan.hit(at));
        } else if let Some(triggers) = &prepared.triggers {
            for from in (0..record.len()).step_by(WINDOW) {
                self.hits.clear();
                triggers.find(record, from, WINDOW.min(record.len() - from), &mut self.hits);
                self.hits.iter().for_each(|&at| scan.hit(at));
            }
        }
        scan.finish();
        let inner =
            if depth < DEPTH_MAX { self.redact_base64(record, &work, depth) } else { vec![] };
        let result = if work.spans.is_empty() && inner.is_empty() {
            (Cow::Borrowed(record), Counts::default())
        } else {
            let (text, counts) = replaced(record, &mut work.spans, inner);
            (Cow::Owned(text), counts)
        };
        self.work = work;
        result
    }

    /// What base64 in the record becomes, where something in it is redacted.
    fn redact_base64(&mut self, record: &[u8], work: &Work, depth: u32) -> Vec<Encoded> {
        let mut all = Vec::new();
        for &(start, end) in &work.base64 {
            let Some(text) = crate::parse::shippers::base64::decode(&record[start..end]) else {
                continue;
            };
            if std::str::from_utf8(&text).is_err() {
                continue;
            }
            let (Cow::Owned(text), counts) = self.redact_at(&text, depth + 1) else { continue };
            let mut encoded = Vec::new();
            crate::parse::shippers::base64::encode(&text, &mut encoded);
            all.push(Encoded { start, end, text: encoded, counts });
        }
        all
    }
}

/// How often a record is looked at again.
fn rounds_max(record: &[u8]) -> usize {
    ROUNDS_MAX.max(ROUNDS_BYTES_MAX / record.len().max(1))
}

/// A piece of a record that is replaced by a marker.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    kind: Kind,
}

/// Base64 in a record, and what it becomes.
#[derive(Debug)]
struct Encoded {
    start: usize,
    end: usize,
    text: Vec<u8>,
    counts: Counts,
}

/// The record with spans and base64 replaced. Spans that touch each other become one.
fn replaced(record: &[u8], spans: &mut [Span], encoded: Vec<Encoded>) -> (Vec<u8>, Counts) {
    spans.sort_by_key(|span| span.start);
    let mut counts = Counts::default();
    let mut out = Vec::with_capacity(record.len() + 64);
    let mut at = 0;
    let mut encoded = encoded.into_iter().peekable();
    let mut put_encoded =
        |out: &mut Vec<u8>, at: &mut usize, before: usize, counts: &mut Counts| {
            while let Some(piece) = encoded.next_if(|piece| piece.start < before) {
                if piece.start >= *at && piece.end <= before {
                    out.extend_from_slice(&record[*at..piece.start]);
                    out.extend_from_slice(&piece.text);
                    counts.add(&piece.counts);
                    *at = piece.end;
                }
            }
        };
    let mut rest = spans.iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = first.end;
        while let Some(next) = rest.next_if(|next| next.start < end) {
            end = end.max(next.end);
        }
        put_encoded(&mut out, &mut at, first.start, &mut counts);
        out.extend_from_slice(&record[at..first.start]);
        out.extend_from_slice(first.kind.marker());
        counts.one(first.kind);
        at = end;
    }
    put_encoded(&mut out, &mut at, record.len(), &mut counts);
    out.extend_from_slice(&record[at..]);
    (out, counts)
}

#[cfg(test)]
mod tests;
