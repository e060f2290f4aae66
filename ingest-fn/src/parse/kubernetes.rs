//! Kubernetes audit events: as the apiserver writes them, one a line or in lists, and as EKS, AKS
//! and GKE hand them on.
//!
//! Every form becomes a `call`, from which the columns are filled in one place. A record may hold
//! several events. What changed is read only from objects that the record has: what was before a
//! change mostly stands in the event before it, and is looked up when reading, not here.

mod audit;
mod call;
mod canon;
mod change;
mod gke;
mod goquote;
mod keys;
mod legacy;
mod managed;
mod policy;
mod read;
#[cfg(test)]
mod tests;
mod verdict;
mod walk;
mod who;

use memchr::memmem::Finder;

use crate::parse::event::{Context, Events};
use crate::parse::json::Scanner;
use crate::reject::{Reason, Reject};
use audit::{Around, Reader};
use keys::{payload, top};
use managed::Items;

/// Text of column `source_format` of events of `audit.k8s.io`.
pub const SOURCE_FORMAT: &str = "k8s_audit_v1";

/// Text of column `source_format` of Azure's entries.
pub(crate) const SOURCE_FORMAT_AKS: &str = managed::AKS;

/// Text of column `source_format` of Google's entries.
pub(crate) const SOURCE_FORMAT_GKE: &str = gke::SOURCE_FORMAT;

/// Key of `attributes` under which the first event of a list, or an entry's, keeps what stood
/// around it.
pub(crate) const AROUND_KEY: &str = "envelope";

/// The keys of an event, and the columns that hold values: what it takes to rebuild one.
pub(crate) const HELD: (&[&str], &[crate::parse::leftovers::Direct]) = (top::NAMES, audit::DIRECT);

/// Parses Kubernetes audit records, one at a time.
#[derive(Debug)]
pub struct KubernetesParser {
    top: Scanner,
    payload: Scanner,
    items: Items,
    reader: Reader,
    /// Words of which every record has one.
    words: [Finder<'static>; 2],
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Event,
    List,
    CloudWatch,
    Aks,
    Gke,
}

impl Default for KubernetesParser {
    fn default() -> Self {
        Self::new()
    }
}

impl KubernetesParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self {
            top: Scanner::new(top::NAMES),
            payload: Scanner::new(payload::NAMES),
            items: Items::new(),
            reader: Reader::new(),
            // `auditID`, `audit.k8s.io/`, `kube-apiserver-audit-`, `kube-audit`; and Google's.
            words: [Finder::new("audit"), Finder::new("protoPayload")],
        }
    }

    /// Whether a record is one of the forms read here. Of a record that breaks off, what stands
    /// before the break decides.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        if !is_json(record) {
            return legacy::split(record).is_some();
        }
        if !self.has_words(record) {
            return false;
        }
        // Keys read before an error are enough to tell.
        let _ = self.top.scan(record, false);
        self.form(record).is_some()
    }

    fn has_words(&self, record: &[u8]) -> bool {
        self.words.iter().any(|word| word.find(record).is_some())
    }

    /// Time and fields of a line of text; `None` if it is no audit line.
    pub(in crate::parse) fn split_text(line: &[u8]) -> Option<(i64, &[u8])> {
        legacy::split(line)
    }

    /// Appends the event of a line of text that was split.
    pub(in crate::parse) fn parse_line(
        &mut self,
        (micros, fields): (i64, &[u8]),
        line: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) {
        legacy::parse(line, micros, fields, &mut self.reader.canon, context, events);
    }

    /// The scanner of JSON records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.top
    }

    /// As [`Self::detects`], of the JSON record scanned last.
    pub(in crate::parse) fn detects_scanned(&self, record: &[u8]) -> bool {
        self.has_words(record) && self.form(record).is_some()
    }

    /// Appends a record's events to `events`.
    ///
    /// # Errors
    /// A reject, if the record is none of the forms read here or has no time; nothing is appended
    /// then.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if !is_json(record)
            && let Some((micros, fields)) = legacy::split(record)
        {
            self.parse_line((micros, fields), record, context, events);
            return Ok(());
        }
        if let Err(reject) = self.top.scan(record, context.seen()) {
            let format_guess = self.form(record).map(Form::source_format);
            return Err(Reject { format_guess, ..reject });
        }
        self.parse_scanned(record, context, events)
    }

    /// As [`Self::parse`], of a JSON record that was just scanned.
    ///
    /// # Errors
    /// The same, broken JSON aside.
    pub(in crate::parse) fn parse_scanned(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let form = self.form(record);
        let form = form.or(context.forced.then_some(Form::Event)).ok_or_else(|| {
            let detail = "expected an audit event of Kubernetes, found other keys";
            Reject::new(Reason::UnknownFormat, detail)
        })?;
        let before = events.all().len();
        let Self { top, payload, items, reader, .. } = self;
        let result = match form {
            Form::Event => {
                let around = Around { source_format: SOURCE_FORMAT, ..Around::default() };
                reader.event(top, record, &around, context, events)
            }
            Form::List => items.list(top, record, reader, context, events),
            Form::CloudWatch => items.cloud_watch(top, record, reader, context, events),
            Form::Aks => items.aks(top, record, reader, context, events),
            Form::Gke => gke::parse(top, record, payload, reader, context, events),
        };
        if result.is_err() {
            events.truncate(before);
        }
        result
    }

    /// What the record scanned last is.
    fn form(&self, record: &[u8]) -> Option<Form> {
        let text = |key| read::text(&self.top, key, record);
        let is = |key, value| read::is(&self.top, key, record, value);
        let versioned =
            || text(top::API_VERSION).is_some_and(|version| version.starts_with(b"audit.k8s.io/"));
        if is(top::KIND, "EventList") && versioned() {
            return Some(Form::List);
        }
        if (is(top::KIND, "Event") && versioned())
            || (text(top::AUDIT_ID).is_some() && text(top::STAGE).is_some())
        {
            return Some(Form::Event);
        }
        if managed::is_cloud_watch(&self.top, record) {
            Some(Form::CloudWatch)
        } else if managed::is_aks(&self.top, record) {
            Some(Form::Aks)
        } else if gke::is_gke(&self.top, record) {
            Some(Form::Gke)
        } else {
            None
        }
    }
}

impl Form {
    const fn source_format(self) -> &'static str {
        match self {
            Self::Event | Self::List | Self::CloudWatch => SOURCE_FORMAT,
            Self::Aks => managed::AKS,
            Self::Gke => gke::SOURCE_FORMAT,
        }
    }
}

fn is_json(record: &[u8]) -> bool {
    record.trim_ascii_start().first() == Some(&b'{')
}
