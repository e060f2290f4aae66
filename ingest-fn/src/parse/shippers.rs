//! Envelopes: what container runtimes, log shippers and cloud services put around a line.
//!
//! Nothing here knows what a line means. An envelope is taken off into its payload, a time,
//! columns of the emitter, and fields for `attributes`; the dispatcher goes on with the payload.

pub(crate) mod base64;
pub(crate) mod cloud;
pub(crate) mod keys;
pub(crate) mod runtime;

use std::borrow::Cow;

use self::keys as k;
use super::event::{Context, Envelope};
use super::fields as f;
use super::json::{Kind, Scanner, Seen, Slot};
use super::list::fields;
use super::quote::push_field;
use super::time;
use crate::reject::{Reason, Reject};

pub(crate) use runtime::piece_of;
pub use runtime::record_length;

/// Reads the top of JSON records, for envelopes and for the marks of formats.
#[derive(Debug)]
pub(crate) struct Shippers {
    top: Scanner,
    pod: Scanner,
    item: Scanner,
}

/// A payload, and the envelope it stood in, with those around that one.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) envelope: Envelope,
}

/// A line as Docker writes it.
#[derive(Debug)]
pub(crate) struct Docker<'a> {
    pub(crate) log: Cow<'a, [u8]>,
    pub(crate) stream: Vec<u8>,
    pub(crate) time_micros: Option<i64>,
    /// Its fields but the log, as the inside of a JSON object.
    pub(crate) fields: Vec<u8>,
}

/// Fields of `kubernetes` and the columns they fill; the names of Fluent Bit, then Vector's.
const POD: &[(&str, usize)] = &[
    ("namespace_name", f::K8S_NAMESPACE),
    ("pod_name", f::K8S_POD),
    ("container_name", f::K8S_CONTAINER),
    ("host", f::K8S_NODE),
    ("pod_namespace", f::K8S_NAMESPACE),
    ("pod_node_name", f::K8S_NODE),
];

const POD_NAMES: &[&str] =
    &["namespace_name", "pod_name", "container_name", "host", "pod_namespace", "pod_node_name"];

impl Shippers {
    pub(crate) fn new() -> Self {
        Self {
            top: Scanner::new(k::NAMES),
            pod: Scanner::new(POD_NAMES),
            item: Scanner::new(cloud::ITEM_NAMES),
        }
    }

    /// Reads the top of a record, about which the other functions then answer.
    pub(crate) fn scan(&mut self, record: &[u8], seen: Seen<'_>) -> Result<(), Reject> {
        self.top.scan(record, seen)
    }

    /// The scanner of the top of records.
    pub(crate) fn top(&self) -> &Scanner {
        &self.top
    }

    /// Whether the record has a key.
    pub(crate) fn has(&self, key: usize) -> bool {
        self.top.present() & (1 << key) != 0
    }

    fn slot(&self, key: usize) -> Slot {
        self.top.slot(key)
    }

    /// An object or a list that a key holds.
    pub(crate) fn nested<'a>(&self, key: usize, record: &'a [u8]) -> Option<&'a [u8]> {
        let slot = self.slot(key);
        (slot.kind == Kind::Nested).then(|| slot.bytes(record))
    }

    fn text<'a>(&self, key: usize, record: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        self.slot(key).text(record)
    }

    /// The fields of the record but for some keys, as they stand, as the inside of an object.
    fn fields(&self, record: &[u8], but: &[usize]) -> Vec<u8> {
        let left_out: usize = but.iter().map(|&key| self.slot(key).bytes(record).len()).sum();
        // Braces come around it.
        let mut fields = Vec::with_capacity(record.len().saturating_sub(left_out) + 2);
        for key in (0..self.top.len()).filter(|key| self.has(*key) && !but.contains(key)) {
            push_field(&mut fields, self.top.name(key), self.slot(key).json(record));
        }
        for (name, value) in self.top.extras(record) {
            if !fields.is_empty() {
                fields.push(b',');
            }
            fields.extend_from_slice(name);
            fields.push(b':');
            fields.extend_from_slice(value);
        }
        fields
    }

    /// The record as Docker's, if it has Docker's fields and no others.
    pub(crate) fn docker<'a>(&self, record: &'a [u8]) -> Option<Docker<'a>> {
        const ALLOWED: u64 = 1 << k::LOG | 1 << k::STREAM | 1 << k::TIME | 1 << k::ATTRS;
        const NEEDED: u64 = 1 << k::LOG | 1 << k::STREAM | 1 << k::TIME;
        let present = self.top.present();
        if present & !ALLOWED != 0
            || present & NEEDED != NEEDED
            || self.top.extras(record).next().is_some()
        {
            return None;
        }
        let stream = self.text(k::STREAM, record)?.into_owned();
        if !matches!(&stream[..], b"stdout" | b"stderr") {
            return None;
        }
        Some(Docker {
            log: self.text(k::LOG, record)?,
            stream,
            time_micros: self.text(k::TIME, record).and_then(|text| time::parse_rfc3339(&text)),
            fields: self.fields(record, &[k::LOG]),
        })
    }

    /// The payload of a shipper's record; `None` if it is none.
    ///
    /// # Errors
    /// If the shipper says that the line in it is a piece.
    pub(crate) fn open<'a>(
        &mut self,
        record: &'a [u8],
        context: &Context<'_>,
    ) -> Result<Option<Opened<'a>>, Reject> {
        let Some((key, payload)) = self.payload(record) else { return Ok(None) };
        let is = |key: usize, value: &[u8]| self.slot(key).bytes(record) == value;
        if is(k::LOGTAG, b"P") || is(k::P, b"P") || is(k::PARTIAL, b"true") {
            let detail = "expected a whole line, found a piece that its shipper did not join";
            return Err(Reject::new(Reason::IncompleteRecord, detail));
        }
        let written = [k::TIME, k::TIMESTAMP, k::AT_TIMESTAMP]
            .iter()
            .find_map(|&key| time::parse_rfc3339(&self.text(key, record)?));
        let time = written.or_else(|| self.date(record)).map(|time| (time, "shipper"));
        let name = if self.has(k::SOURCE_TYPE) { "vector" } else { "fluent_bit" };
        let fields = match key {
            Some(key) => self.fields(record, &[key]),
            // The payload is among the fields of names of their own; `raw` has it.
            None => self.known_fields(record),
        };
        let fields = object(fields);
        let columns = self.emitter(record, context.seen());
        let envelope = inside(&context.envelope, name, time, columns, &fields);
        Ok(Some(Opened { payload, envelope }))
    }

    fn known_fields(&self, record: &[u8]) -> Vec<u8> {
        let mut fields = Vec::new();
        for key in (0..self.top.len()).filter(|key| self.has(*key)) {
            let slot = self.slot(key);
            if slot.kind != Kind::Nested || key == k::KUBERNETES {
                push_field(&mut fields, self.top.name(key), slot.json(record));
            }
        }
        fields
    }

    /// The payload with its key, if that is a known one.
    fn payload<'a>(&self, record: &'a [u8]) -> Option<(Option<usize>, Cow<'a, [u8]>)> {
        const MARKS: &[usize] =
            &[k::KUBERNETES, k::SOURCE_TYPE, k::STREAM, k::LOGTAG, k::P, k::PARTIAL, k::DATE];
        let is_shipped = MARKS.iter().any(|key| self.has(*key));
        // Programs write a `message` of their own, and in it what their users say.
        let keys: &[usize] = if is_shipped { &[k::LOG, k::MESSAGE] } else { &[k::LOG] };
        for &key in keys {
            let slot = self.slot(key);
            match slot.text(record) {
                Some(text) => return Some((Some(key), text)),
                None if is_object(slot, record) => {
                    return Some((Some(key), Cow::Borrowed(slot.bytes(record))));
                }
                None => {}
            }
        }
        if !is_shipped {
            return None;
        }
        let mut objects = fields(record)
            .filter(|(name, value)| *name != b"\"kubernetes\"" && value.starts_with(b"{"))
            .map(|(_, value)| value);
        let only = objects.next()?;
        objects.next().is_none().then_some((None, Cow::Borrowed(only)))
    }

    /// What a shipper added to a payload whose keys stand at the top beside its own.
    pub(crate) fn merged(&mut self, record: &[u8], context: &Context<'_>) -> Option<Envelope> {
        if !self.has(k::KUBERNETES) && !self.has(k::DATE) {
            return None;
        }
        let around = &context.envelope;
        let time = self.date(record).map(|time| (time, "shipper")).or(around.time);
        let mut columns = self.emitter(record, context.seen());
        columns.extend_from_slice(&around.columns);
        Some(Envelope { time, columns, attributes: around.attributes.clone() })
    }

    /// Fluent Bit's `date`: RFC 3339, or seconds since 1970 as decimal digits.
    fn date(&self, record: &[u8]) -> Option<i64> {
        let slot = self.slot(k::DATE);
        match slot.kind {
            Kind::Number => time::parse_unix_seconds(slot.bytes(record)),
            _ => slot.text(record).and_then(|text| time::parse_rfc3339(&text)),
        }
    }

    fn emitter(&mut self, record: &[u8], seen: Seen<'_>) -> Vec<(usize, String)> {
        let Some(pod) = self.nested(k::KUBERNETES, record) else { return Vec::new() };
        if self.pod.scan(pod, seen).is_err() {
            return Vec::new();
        }
        let value = |key: usize| {
            let text = self.pod.slot(key).text(pod)?;
            String::from_utf8(text.into_owned()).ok().filter(|text| !text.is_empty())
        };
        POD.iter()
            .enumerate()
            .filter_map(|(key, (_, column))| Some((*column, value(key)?)))
            .collect()
    }
}

const _: () = assert!(POD.len() == POD_NAMES.len());

fn is_object(slot: Slot, record: &[u8]) -> bool {
    slot.kind == Kind::Nested && slot.bytes(record).starts_with(b"{")
}

fn object(mut fields: Vec<u8>) -> Vec<u8> {
    fields.insert(0, b'{');
    fields.push(b'}');
    fields
}

/// An envelope inside another one: its own time and columns come first.
pub(crate) fn inside(
    around: &Envelope,
    name: &str,
    time: Option<(i64, &'static str)>,
    mut columns: Vec<(usize, String)>,
    fields: &[u8],
) -> Envelope {
    columns.extend_from_slice(&around.columns);
    let mut attributes = around.attributes.clone();
    push_field(&mut attributes, name, fields);
    Envelope { time: time.or(around.time), columns, attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_beside_their_names() {
        for ((name, _), key) in POD.iter().zip(POD_NAMES) {
            assert_eq!(name, key);
        }
    }
}
