//! An event in, an answer out: what became of each thing in it, in the words that whoever brought
//! it understands. A wrong word would lose things, or bring them for ever.

mod url;

use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use serde::Serialize;
use thiserror::Error;

use crate::deliver::{Deadline, Delivered, Deliverer, Outcome};
use crate::envelope::{self, Batch, Carrier, Envelope, EnvelopeError};
use crate::http::auth::Doorkeeper;
use crate::pipeline::UnitOutcome;

/// What Firehose is told of a record that is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirehoseResult {
    /// It ends here.
    #[default]
    Dropped,
    /// It goes on to where the stream delivers.
    Ok,
}

/// Answers events.
#[derive(Debug)]
pub struct Handler {
    /// Stores what they bring.
    pub deliverer: Deliverer,
    /// Whom a URL listens to.
    pub door: Doorkeeper,
    /// What becomes of Firehose's records.
    pub firehose: FirehoseResult,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// JSON, as AWS expects it.
    pub json: Vec<u8>,
    /// What was done, for those who run this.
    pub report: Report,
}

/// What was done with one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How it came: `kinesis`, `sqs`, …
    pub transport: &'static str,
    /// Things in it.
    pub items: u64,
    /// Of these, the ones that have to come again.
    pub items_failed: u64,
    /// Why the first of them failed.
    pub trouble: Option<String>,
    /// Records that became rows.
    pub events: u64,
    /// Records in quarantine.
    pub rejects: u64,
    /// Bytes of units, decompressed.
    pub bytes: u64,
    /// Deliveries stored.
    pub deliveries: u64,
    /// Of these, the ones that waited in the inbox already.
    pub deliveries_repeated: u64,
    /// Things that stood twice in the event.
    pub units_twice: u64,
    /// When the oldest thing in it was sent, microseconds since 1970 UTC.
    pub oldest_micros: Option<i64>,
}

/// An event that has to come again whole.
#[derive(Debug, Error)]
pub enum EventError {
    /// It is of no known kind.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not all of it could be archived, and its sender knows no answer but yes and no.
    #[error("{failed} of {items} were not archived: {first}; what was, is there once")]
    NotArchived {
        /// Things in it.
        items: usize,
        /// Those that were not.
        failed: usize,
        /// Why.
        first: String,
        /// What was done.
        report: Box<Report>,
    },
}

impl EventError {
    /// Stable name of the error.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "UnknownEvent",
            Self::NotArchived { .. } => "NotArchived",
        }
    }

    /// What was done before it failed.
    pub fn report(&self) -> Report {
        match self {
            Self::Envelope(_) => Report::default(),
            Self::NotArchived { report, .. } => (**report).clone(),
        }
    }
}

impl Handler {
    /// Archives what an event brings.
    ///
    /// # Errors
    /// If the event is of no known kind, or its sender can only be told yes or no and it is no.
    pub async fn answer(&self, event: Box<str>, time_left: Duration) -> Result<Answer, EventError> {
        let deadline = Deadline::within(time_left);
        let sources = &self.deliverer.reading().sources;
        let has_landing = self.deliverer.has_landing();
        let opened = envelope::open(&event, |queue| sources.carries(queue, has_landing))?;
        match opened {
            Envelope::Http(request) => {
                drop(event);
                Ok(self.request(*request, deadline).await)
            }
            Envelope::Batch(batch) => {
                // An event has up to 6 MB, which are wanted for other things now.
                let event = (batch.carrier == Carrier::Firehose).then_some(event);
                self.batch(batch, event.as_deref(), deadline).await
            }
        }
    }

    async fn batch(
        &self,
        batch: Batch,
        event: Option<&str>,
        deadline: Deadline,
    ) -> Result<Answer, EventError> {
        let Batch { carrier, items } = batch;
        let handles: Vec<String> = items.iter().map(|item| item.handle.clone()).collect();
        let oldest_micros = items.iter().filter_map(|item| item.arrived_micros).min();
        let delivered = self.deliverer.deliver(carrier.transport(), items, deadline).await;
        let report = report(carrier.transport(), &delivered, oldest_micros);
        let lost = || handles.iter().zip(&delivered.outcomes).filter(|(_, one)| !one.is_kept());
        let json = match carrier {
            // Everything from the first on comes again.
            Carrier::Kinesis => failures(lost().take(1).map(|(handle, _)| handle)),
            Carrier::Sqs => failures(lost().map(|(handle, _)| handle)),
            Carrier::Firehose if lost().count() < handles.len() || handles.is_empty() => {
                self.firehose(event.unwrap_or_default(), &delivered.outcomes)?
            }
            _ if lost().next().is_none() => failures(std::iter::empty()),
            _ => {
                let failed = lost().count();
                let first = report.trouble.clone().unwrap_or_default();
                let items = handles.len();
                let report = Box::new(report);
                return Err(EventError::NotArchived { items, failed, first, report });
            }
        };
        Ok(Answer { json, report })
    }

    fn firehose(&self, event: &str, outcomes: &[Outcome]) -> Result<Vec<u8>, EnvelopeError> {
        let records = envelope::firehose_records(event)?;
        let records = records.iter().zip(outcomes).map(|(record, outcome)| {
            let result = match (outcome.is_kept(), self.firehose) {
                (false, _) => "ProcessingFailed",
                (true, FirehoseResult::Dropped) => "Dropped",
                (true, FirehoseResult::Ok) => "Ok",
            };
            let data = (result != "Dropped").then_some(record.data.as_ref());
            Transformed { record_id: record.record_id.as_ref(), result, data }
        });
        let answer = Transformation { records: records.collect() };
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    }
}

/// What Firehose is answered.
#[derive(Serialize)]
struct Transformation<'a> {
    records: Vec<Transformed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transformed<'a> {
    record_id: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// What streams and queues are answered, and Kafka for want of anything else.
fn failures<'a>(handles: impl Iterator<Item = &'a String>) -> Vec<u8> {
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = handles
        .map(|handle| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier.clone_from(handle);
            failure
        })
        .collect();
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn report(transport: &'static str, delivered: &Delivered, oldest_micros: Option<i64>) -> Report {
    let lost: Vec<&Outcome> = delivered.outcomes.iter().filter(|one| !one.is_kept()).collect();
    let trouble = lost.first().map(|outcome| match outcome {
        Outcome::Failed(message) => message.clone(),
        _ => "there was no time left; give the function more, or smaller batches".to_owned(),
    });
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Report {
        transport,
        items: count(delivered.outcomes.len()),
        items_failed: count(lost.len()),
        trouble,
        events: delivered.events,
        rejects: delivered.rejects,
        bytes: delivered.bytes,
        deliveries: delivered.deliveries,
        deliveries_repeated: delivered.repeated,
        units_twice: delivered.units_twice,
        oldest_micros,
    }
}

impl Report {
    fn of_one(transport: &'static str, outcome: UnitOutcome, bytes: u64, repeated: bool) -> Self {
        Self {
            transport,
            items: 1,
            events: outcome.events,
            rejects: outcome.rejects,
            bytes,
            deliveries: 1,
            deliveries_repeated: u64::from(repeated),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
