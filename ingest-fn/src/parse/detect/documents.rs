//! Documents of several items: CloudWatch Logs subscriptions, Firehose requests, JSON lists.

use serde::de::IgnoredAny;

use super::job::Job;
use super::{Dispatcher, unknown};
use crate::parse::SourceFormat;
use crate::parse::event::Events;
use crate::parse::list::{elements, elements_counted, fields, is_empty};
use crate::parse::shippers::cloud::Document;
use crate::parse::shippers::inside;
use crate::reject::{Reason, Reject};

/// What stands around the items of a document; all of it also stands around none.
const AROUND_ITEMS: &[&str] = &[
    "records",
    "requestId",
    "timestamp",
    "logEvents",
    "logGroup",
    "logStream",
    "messageType",
    "owner",
    "subscriptionFilters",
];

/// A list without items is neither an event nor a reject.
///
/// # Errors
/// If there is something around it that is not known to stand there, and would be lost.
pub(super) fn check_empty(object: &[u8], around: &[&str]) -> Result<(), Reject> {
    let is_known = |name: &[u8]| {
        let inside = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        around.iter().any(|known| inside == Some(known.as_bytes()))
    };
    if fields(object).all(|(name, _)| is_known(name)) {
        return Ok(());
    }
    Err(unknown("expected records in a list, found none, and fields beside it that are not known"))
}

impl Dispatcher {
    /// The events of a CloudWatch Logs subscription.
    pub(super) fn log_group(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if self.shippers.is_control(record) {
            return Ok(());
        }
        let document = self.shippers.log_group(record);
        self.items(record, &document, job, events, |dispatcher, item, outer, job, events| {
            let (message, time, fields) = dispatcher.shippers.log_event(item)?;
            let time = time.map(|time| (time, "transport"));
            let around = &job.context.envelope;
            let fields = document.object(&fields);
            let columns = document.columns.clone();
            let envelope = inside(around, "cloudwatch", time, columns, &fields);
            let inner = job.in_envelope(envelope, Some(outer))?.of(&message);
            dispatcher.record(format, &message, &inner, events)
        })
    }

    /// The records of a Firehose request.
    pub(super) fn firehose(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let document = self.shippers.firehose(record);
        self.items(record, &document, job, events, |dispatcher, item, _, job, events| {
            let bytes = dispatcher.shippers.data(item)?;
            let time = document.time_micros.map(|time| (time, "transport"));
            let around = &job.context.envelope;
            let envelope = inside(around, "firehose", time, Vec::new(), &document.object(b""));
            let inner = job.in_envelope(envelope, None)?;
            dispatcher.bytes(format, &bytes, &inner, events)
        })
    }

    /// A JSON list of records, as some shippers send to an HTTP endpoint.
    pub(super) fn list(
        &mut self,
        format: SourceFormat,
        record: &[u8],
        job: &Job<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if let Err(e) = serde_json::from_slice::<IgnoredAny>(record) {
            return Err(Reject::new(Reason::InvalidJson, format!("a list: {e}")));
        }
        let (events_before, rejected_before) = (events.all().len(), self.rejected.len());
        for item in elements(record) {
            if !self.takes_part(record) {
                break;
            }
            let result = self
                .expand(job.envelope_bytes())
                .and_then(|()| self.record(format, item, &job.one_of(), events));
            if let Err(reject) = result {
                self.reject_part(item, reject);
            }
        }
        self.outcome(events_before, rejected_before, events)
    }

    /// Hands each item of a document to `read`, with a document of this item alone.
    fn items(
        &mut self,
        record: &[u8],
        document: &Document<'_>,
        job: &Job<'_>,
        events: &mut Events,
        mut read: impl FnMut(&mut Self, &[u8], &[u8], &Job<'_>, &mut Events) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        if !document.items.starts_with(b"[") {
            let detail = format!("expected a list `{}`, found none", document.items_key);
            return Err(unknown(&detail));
        }
        if is_empty(document.items) {
            return check_empty(record, AROUND_ITEMS);
        }
        let (events_before, rejected_before) = (events.all().len(), self.rejected.len());
        let (is_only, all) = elements_counted(document.items);
        for item in all {
            if !self.takes_part(document.items) {
                break;
            }
            let around = if is_only { 0 } else { job.envelope_bytes() + 2 * document.fields.len() };
            let result = self.expand(around).and_then(|()| {
                if is_only {
                    let outer = job.context.outer.unwrap_or(record);
                    return read(self, item, outer, job, events);
                }
                read(self, item, &document.alone(item), job, events)
            });
            if let Err(reject) = result {
                self.reject_part(item, reject);
            }
        }
        self.outcome(events_before, rejected_before, events)
    }
}
