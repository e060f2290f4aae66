//! Events inside something else: event lists of the webhook backend, CloudWatch Logs payloads of
//! EKS, log entries of AKS.
//!
//! What stands around an event is kept under `envelope` in the attributes of the record's first
//! event. So a large envelope is not copied to each of many events.

use std::borrow::Cow;

use common::event::{Decision, EventKind};

use super::SOURCE_FORMAT;
use super::audit::{Around, Reader};
use super::call::{Text, fixed, kind, set};
use super::keys::{log_event, properties, top};
use super::read::{self, Doubt, ENVELOPE_KEY, guessed};
use super::walk;
use crate::parse::event::{Context, Events, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner};
use crate::reject::{Reason, Reject};

/// Text of column `source_format` of Azure's entries.
pub(super) const AKS: &str = "aks_audit";

/// Most events of one record. Batches are 400 events by default at the webhook, and 10,000 log
/// events at CloudWatch.
const EVENTS_MAX: usize = 16 * 1024;

/// Longest text, in bytes, that is copied from an envelope to each of its events. Names of
/// clusters and pods and ids of accounts are below 256.
const COPIED_BYTES_MAX: usize = 512;

/// Reads the items of containers; its scanners are used again.
#[derive(Debug)]
pub(super) struct Items {
    item: Scanner,
    log_event: Scanner,
    properties: Scanner,
}

impl Items {
    pub(super) fn new() -> Self {
        Self {
            item: Scanner::new(top::NAMES),
            log_event: Scanner::new(log_event::NAMES),
            properties: Scanner::new(properties::NAMES),
        }
    }

    /// Appends the events of an `EventList` that `outer` has scanned.
    ///
    /// # Errors
    /// A reject if an item is no event with a time. What was appended before stays.
    pub(super) fn list(
        &mut self,
        outer: &Scanner,
        record: &[u8],
        reader: &mut Reader,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let items = read::nested(outer.slot(top::ITEMS), record).unwrap_or_default();
        let mut inner = inner_context(context, &rest(outer, record, top::ITEMS, None));
        let mut doubt = doubt_of(outer, record, &mut inner);
        let mut count = 0;
        for item in walk::elements(items) {
            bounded(count)?;
            self.item.scan(item, context.seen()).map_err(|e| guessed(e, SOURCE_FORMAT))?;
            let around = Around { source_format: SOURCE_FORMAT, doubt, ..Around::default() };
            reader.event(&self.item, item, &around, &inner, events)?;
            count += 1;
            doubt = Doubt::default();
            shrink(&mut inner);
        }
        not_empty(count)
    }

    /// Appends the events of a CloudWatch Logs payload that `outer` has scanned. A message that
    /// is no event, as one that CloudWatch cut, becomes an event of kind `unknown` at the time of
    /// its log entry, so that it does not cost its neighbours.
    ///
    /// # Errors
    /// A reject if an entry has neither an event nor a time. What was appended before stays.
    pub(super) fn cloud_watch<'a>(
        &mut self,
        outer: &Scanner,
        record: &'a [u8],
        reader: &mut Reader,
        context: &Context<'a>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let entries = read::nested(outer.slot(top::LOG_EVENTS), record).unwrap_or_default();
        let mut inner = inner_context(context, &rest(outer, record, top::LOG_EVENTS, None));
        inner.plain = false;
        let doubt = doubt_of(outer, record, &mut inner);
        let group = read::text(outer, top::LOG_GROUP, record);
        let mut around = Around {
            source_format: SOURCE_FORMAT,
            cluster: group.as_deref().and_then(eks_cluster).map(Cow::Borrowed),
            account: read::text(outer, top::OWNER, record).filter(|text| is_short(text)),
            doubt,
            ..Around::default()
        };
        let mut count = 0;
        for entry in walk::elements(entries) {
            bounded(count)?;
            inner.outer = inner.outer.or(Some(entry));
            self.log_event.scan(entry, context.seen()).map_err(|e| guessed(e, SOURCE_FORMAT))?;
            around.doubt.repeated |= self.log_event.repeated();
            around.observed_micros = read::whole(self.log_event.slot(log_event::TIMESTAMP), entry)
                .and_then(|millis| millis.checked_mul(1000));
            self.message(entry, reader, &around, &inner, events)?;
            count += 1;
            around.doubt = Doubt::default();
            shrink(&mut inner);
        }
        not_empty(count)
    }

    /// Appends the event of the log entry scanned last.
    fn message(
        &mut self,
        entry: &[u8],
        reader: &mut Reader,
        around: &Around<'_>,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let message = self.log_event.slot(log_event::MESSAGE).text(entry).unwrap_or_default();
        let result = self
            .item
            .scan(&message, false)
            .and_then(|()| reader.event(&self.item, &message, around, context, events));
        let Err(reject) = result else { return Ok(()) };
        let logged = around.observed_micros.map(|micros| (micros, "transport"));
        let Some(time) = logged.or(context.envelope.time) else {
            return Err(guessed(reject, SOURCE_FORMAT));
        };
        let event = events.begin();
        read::set_time(event, time);
        if let Some(micros) = around.observed_micros {
            event.int64(f::OBSERVED_TIME, micros);
        }
        fixed(event, SOURCE_FORMAT);
        kind(event, EventKind::Unknown, 0, 99);
        event.int32(f::SEVERITY_ID, 1);
        event.text(f::DECISION, Decision::Unknown.as_str().as_bytes());
        event.text(f::PARSE_STATUS, b"partial");
        event.text(f::PARSE_ERROR, reject.detail.as_bytes());
        set(event, f::K8S_CLUSTER, &around.cluster);
        set(event, f::CLOUD_ACCOUNT, &around.account);
        read::complete(event, &self.log_event, entry, &[], context, around.doubt);
        Ok(())
    }

    /// Appends the event of one of Azure's entries that `outer` has scanned.
    ///
    /// # Errors
    /// A reject if `properties.log` is no event with a time; nothing is appended then.
    pub(super) fn aks(
        &mut self,
        outer: &Scanner,
        record: &[u8],
        reader: &mut Reader,
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let mut doubt = Doubt::default();
        let slot = outer.slot(top::PROPERTIES);
        let inside = read::open(&mut self.properties, slot, record, context.seen(), &mut doubt);
        let resource = read::text(outer, top::RESOURCE_ID, record);
        let segment = |name| resource.as_deref().and_then(|id| segment_behind(id, name));
        let mut kept = vec![b'{'];
        kept.extend_from_slice(&rest(&self.properties, inside, properties::LOG, None));
        kept.push(b'}');
        let mut inner = inner_context(context, &rest(outer, record, top::PROPERTIES, Some(&kept)));
        doubt.repeated |= doubt_of(outer, record, &mut inner).repeated;
        let log = self.properties.slot(properties::LOG);
        let event = match log.kind {
            Kind::Nested => Cow::Borrowed(log.bytes(inside)),
            _ => {
                // The event was text, which only the record has as it stood.
                inner.outer = inner.outer.or(Some(record));
                inner.plain = false;
                log.text(inside).unwrap_or_default()
            }
        };
        if doubt.repeated {
            inner.outer = inner.outer.or(Some(record));
        }
        let around = Around {
            source_format: AKS,
            observed_micros: read::micros(outer, top::TIME, record),
            cluster: segment(b"MANAGEDCLUSTERS").map(Cow::Borrowed),
            account: segment(b"SUBSCRIPTIONS").map(Cow::Borrowed),
            pod: read::text(&self.properties, properties::POD, inside),
            doubt,
        };
        self.item.scan(&event, inner.seen()).map_err(|e| guessed(e, AKS))?;
        reader.event(&self.item, &event, &around, &inner, events)
    }
}

/// The context of the first event in a container, whose other fields are `around`.
fn inner_context<'a>(context: &Context<'a>, around: &[u8]) -> Context<'a> {
    let mut inner = context.clone();
    let attributes = &mut inner.envelope.attributes;
    if !attributes.is_empty() {
        attributes.push(b',');
    }
    attributes.extend_from_slice(ENVELOPE_KEY.as_bytes());
    attributes.extend_from_slice(b":{");
    attributes.extend_from_slice(around);
    attributes.push(b'}');
    inner
}

/// Makes the first event's context that of the next ones.
fn shrink(context: &mut Context<'_>) {
    context.envelope.attributes.clear();
    context.envelope.columns.retain(|(_, value)| value.len() <= COPIED_BYTES_MAX);
    context.outer = None;
}

/// What is uncertain about a container; then the first event keeps its text.
fn doubt_of<'a>(outer: &Scanner, record: &'a [u8], inner: &mut Context<'a>) -> Doubt {
    if outer.repeated() {
        inner.outer = inner.outer.or(Some(record));
    }
    Doubt { repeated: outer.repeated(), unread: false }
}

/// The inside of an object without one of its fields, or with another value for it.
fn rest(scanner: &Scanner, record: &[u8], without: usize, instead: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(key);
        out.push(b':');
        out.extend_from_slice(value);
    };
    for key in 0..scanner.len() {
        let slot = scanner.slot(key);
        let value = if key == without { instead } else { Some(slot.json(record)) };
        if let Some(value) = value.filter(|_| slot.kind != Kind::Missing) {
            add(format!("\"{}\"", scanner.name(key)).as_bytes(), value);
        }
    }
    for (key, value) in scanner.extras(record) {
        add(key, value);
    }
    out
}

fn bounded(count: usize) -> Result<(), Reject> {
    if count < EVENTS_MAX {
        return Ok(());
    }
    let detail = format!("expected at most {EVENTS_MAX} events in a record, found more");
    Err(guessed(Reject::new(Reason::TooManyFields, detail), SOURCE_FORMAT))
}

/// A record without events would be in no row, so it is kept in quarantine.
fn not_empty(count: usize) -> Result<(), Reject> {
    if count > 0 {
        return Ok(());
    }
    let detail = "expected at least one event, found an empty list";
    Err(guessed(Reject::new(Reason::UnknownFormat, detail), SOURCE_FORMAT))
}

fn is_short(text: &[u8]) -> bool {
    text.len() <= COPIED_BYTES_MAX
}

/// The cluster in `/aws/eks/<cluster>/cluster`.
fn eks_cluster(group: &[u8]) -> Option<&[u8]> {
    let cluster = group.strip_prefix(b"/aws/eks/")?.strip_suffix(b"/cluster")?;
    (!cluster.is_empty() && cluster.len() <= COPIED_BYTES_MAX).then_some(cluster)
}

/// The segment behind `name`, in any case, of an Azure resource id.
fn segment_behind<'a>(id: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut segments = id.split(|&byte| byte == b'/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next().filter(|segment| !segment.is_empty())
}

/// Whether the payload that `outer` has scanned is the audit log of an EKS cluster.
pub(super) fn is_cloud_watch(outer: &Scanner, record: &[u8]) -> bool {
    let stream: Text<'_> = read::text(outer, top::LOG_STREAM, record);
    read::is(outer, top::MESSAGE_TYPE, record, "DATA_MESSAGE")
        && outer.slot(top::LOG_EVENTS).kind == Kind::Nested
        && stream.is_some_and(|name| name.starts_with(b"kube-apiserver-audit-"))
}

/// Whether the entry that `outer` has scanned is of the audit log of an AKS cluster.
pub(super) fn is_aks(outer: &Scanner, record: &[u8]) -> bool {
    let category = |name| read::is(outer, top::CATEGORY, record, name);
    outer.slot(top::PROPERTIES).kind == Kind::Nested
        && (category("kube-audit") || category("kube-audit-admin"))
}
