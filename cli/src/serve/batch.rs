//! From bodies to deliveries: bodies that come within a short time are archived together, and
//! each is answered once the manifest that names it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::{Archive, Reader, Remedy, Writer};
use common::limits::DELIVERY_UNITS_MAX;
use common::{Sha256Digest, UnitId};
use ingest_fn::IngestError;
use ingest_fn::parse::SourceFormat;
use ingest_fn::pipeline::{self, Delivery, DeliveryBuilder, SourceConfig, UnitBytes, UnitOutcome};
use ingest_fn::reject;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::answer::{Accepted, Media, Reason, Refusal};
use super::desk::Ticket;
use super::limits::{BATCH_BYTES_MAX, BODY_BYTES_MAX, DELIVERIES_MAX};
use super::request::{Export, one_line};
use crate::interrupt::Interrupt;
use crate::output::{complain, printable};
use host::doors;

/// A body to archive.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) media: Media,
    pub(crate) body: Body,
    pub(crate) ticket: Ticket,
    /// The memory it takes, given back when it is dropped.
    pub(crate) _memory: OwnedSemaphorePermit,
}

/// A body as the pipeline takes it.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// SHA-256 and length of the bytes as they came.
    sha256: Sha256Digest,
    sent_bytes: u64,
    records: u64,
}

impl Body {
    /// Takes a request over.
    pub(crate) fn new(media: Media, export: Export) -> Self {
        let Export { bytes, records } = export;
        let sha256 = Sha256Digest::of(&bytes);
        let sent_bytes = bytes.len() as u64;
        let bytes = match media {
            // A line is a record to the pipeline, and a request is one.
            Media::Json => one_line(bytes),
            Media::Protobuf => bytes,
        };
        Self { bytes, sha256, sent_bytes, records }
    }

    /// The unit that it is: that of a file with the same bytes. So a request that is sent again,
    /// or ingested from where its sender kept it, adds nothing.
    pub(crate) fn unit(&self) -> UnitId {
        UnitId::of_part(UnitId::STREAM_START, self.sha256)
    }
}

/// Archives bodies.
pub(crate) struct Batcher {
    reader: Reader,
    writer: Writer,
    config: SourceConfig,
    window: Duration,
    /// Raised by each delivery; whoever seals lowers it.
    waits: Arc<AtomicBool>,
}

impl Batcher {
    /// One that takes together what comes within `window`.
    pub(crate) fn new(
        archive: &Archive,
        config: SourceConfig,
        window: Duration,
        waits: Arc<AtomicBool>,
    ) -> Self {
        Self { reader: archive.reader(), writer: archive.writer(), config, window, waits }
    }

    /// Works until nobody can send any more and all that came is answered. Once interrupted, it
    /// no longer waits for company.
    pub(crate) async fn run(self, mut items: UnboundedReceiver<Item>, mut interrupt: Interrupt) {
        let batcher = Arc::new(self);
        let slots = Arc::new(Semaphore::new(DELIVERIES_MAX));
        let mut deliveries = JoinSet::new();
        while let Some(batch) = collect(&mut items, batcher.window, &mut interrupt).await {
            let (json, protobuf): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|item| item.media == Media::Json);
            // A delivery has one format.
            for (media, batch) in [(Media::Json, json), (Media::Protobuf, protobuf)] {
                if batch.is_empty() {
                    continue;
                }
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                let batcher = Arc::clone(&batcher);
                deliveries.spawn(async move {
                    batcher.deliver(media, batch).await;
                    drop(slot);
                });
            }
            while deliveries.try_join_next().is_some() {}
        }
        while deliveries.join_next().await.is_some() {}
    }

    async fn deliver(&self, media: Media, batch: Vec<Item>) {
        let ids: Vec<UnitId> = batch.iter().map(|item| item.ticket.unit()).collect();
        let held = match self.reader.held(&ids).await {
            Ok(held) => held,
            Err(e) => return refuse(batch, &IngestError::from(e).into()),
        };
        let mut new = Vec::new();
        for (item, held) in batch.into_iter().zip(held) {
            if held {
                // What was rejected of it was told when it came first.
                let accepted = Accepted { records: item.body.records, rejected: 0 };
                item.ticket.answer(&Ok(accepted));
            } else {
                new.push(item);
            }
        }
        if new.is_empty() {
            return;
        }
        if let Err(crowd) = self.archive(media, new, false).await {
            for item in crowd {
                let _ = self.archive(media, vec![item], true).await;
            }
        }
    }

    /// Archives a batch and answers it, or gives it back where its bodies stand in each other's
    /// way; not if it must be archived as it is.
    async fn archive(&self, media: Media, batch: Vec<Item>, must: bool) -> Result<(), Vec<Item>> {
        let config = self.config(media);
        let built = spawn_blocking(move || {
            let built = build(config, &batch);
            (batch, built)
        });
        // A thread that panicked has dropped its tickets, which is an answer.
        let Ok((batch, built)) = built.await else { return Ok(()) };
        let is_one = must || batch.len() == 1;
        let (delivery, outcomes) = match built {
            Ok((delivery, _)) if !is_one && is_crowded(&delivery) => return Err(batch),
            Ok(built) => built,
            Err(_) if !is_one => return Err(batch),
            Err(error) => {
                refuse(batch, &error);
                return Ok(());
            }
        };
        match pipeline::store(delivery, &self.writer).await {
            Ok(_) => {
                self.waits.store(true, Ordering::Release);
                for (item, outcome) in batch.into_iter().zip(outcomes) {
                    item.ticket.answer(&Ok(accepted(item.body.records, outcome)));
                }
            }
            Err(error) => refuse(batch, &error.into()),
        }
        Ok(())
    }

    fn config(&self, media: Media) -> SourceConfig {
        let format = match media {
            Media::Json => SourceFormat::OtlpLog,
            Media::Protobuf => SourceFormat::OtlpProtobuf,
        };
        SourceConfig { format, ..self.config.clone() }
    }
}

/// What comes within the window, up to a delivery's limits; `None` at the end.
async fn collect(
    items: &mut UnboundedReceiver<Item>,
    window: Duration,
    interrupt: &mut Interrupt,
) -> Option<Vec<Item>> {
    let first = items.recv().await?;
    let deadline = Instant::now() + window;
    let mut bytes = first.body.bytes.len();
    let mut batch = vec![first];
    while bytes + BODY_BYTES_MAX <= BATCH_BYTES_MAX && batch.len() < DELIVERY_UNITS_MAX {
        let next = tokio::select! {
            biased;
            next = items.recv() => next,
            () = interrupt.wait() => None,
            () = sleep_until(deadline) => None,
        };
        let Some(item) = next else { break };
        bytes += item.body.bytes.len();
        batch.push(item);
    }
    Some(batch)
}

fn build(config: SourceConfig, batch: &[Item]) -> Result<(Delivery, Vec<UnitOutcome>), Trouble> {
    let ids = batch.iter().map(|item| item.ticket.unit()).collect();
    let mut builder = DeliveryBuilder::new(config, ids, doors::now_micros()?, doors::row_seed()?)?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for Item { body, .. } in batch {
        outcomes.push(builder.add_unit(UnitBytes {
            bytes: &body.bytes,
            sha256: body.sha256,
            offset_bytes: 0,
            continues_record: false,
            cut_record: false,
        })?);
    }
    let mut delivery = builder.finish()?;
    for (unit, item) in delivery.manifest.units.iter_mut().zip(batch) {
        unit.bytes = item.body.sent_bytes;
    }
    Ok((delivery, outcomes))
}

/// Whether records were rejected for the company they came in: together they have more dates than
/// a delivery may have.
fn is_crowded(delivery: &Delivery) -> bool {
    let reason = reject::Reason::TooManyDates.as_str();
    delivery.manifest.quarantine.iter().any(|entry| entry.reasons.contains_key(reason))
}

/// A log record may hold several lines, and a request may be rejected whole.
fn accepted(records: u64, outcome: UnitOutcome) -> Accepted {
    let rejected = if outcome.events == 0 { records } else { outcome.rejects.min(records) };
    Accepted { records, rejected }
}

/// Why a batch was not archived.
struct Trouble {
    message: String,
    /// The same bodies may be archived later.
    may_pass: bool,
}

impl From<IngestError> for Trouble {
    fn from(error: IngestError) -> Self {
        let may_pass = match &error {
            IngestError::Archive(error) => error.remedy() != Remedy::Reject,
            _ => false,
        };
        Self { message: error.to_string(), may_pass }
    }
}

impl From<host::HostError> for Trouble {
    fn from(error: host::HostError) -> Self {
        Self { message: error.to_string(), may_pass: true }
    }
}

/// Tells the senders that nothing was archived, and the operator why.
fn refuse(batch: Vec<Item>, trouble: &Trouble) {
    complain(&format!(
        "{} requests were not archived: {}",
        batch.len(),
        printable(&trouble.message, false)
    ));
    let refusal = if trouble.may_pass {
        let message = "the archive can not be written now, nothing was stored; send it again";
        Refusal::new(Reason::Unavailable, message)
    } else {
        let message = "this request can not be archived, a defect; meshledger's log says why";
        Refusal::new(Reason::Defect, message)
    };
    for item in batch {
        item.ticket.answer(&Err(refusal.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_became_nothing_is_rejected_whole() {
        let outcome = |events, rejects| UnitOutcome { events, rejects };
        assert_eq!(accepted(7, outcome(7, 0)).rejected, 0);
        assert_eq!(accepted(7, outcome(6, 1)).rejected, 1);
        assert_eq!(accepted(7, outcome(0, 1)).rejected, 7);
        assert_eq!(accepted(2, outcome(9, 5)).rejected, 2, "lines of a log record");
    }

    #[test]
    fn a_body_is_the_unit_that_a_file_of_it_would_be() {
        let text = b"{\n\"resourceLogs\":[]}\n".to_vec();
        let body = Body::new(Media::Json, Export { bytes: text.clone(), records: 0 });
        let of_file = UnitId::of_part(UnitId::STREAM_START, Sha256Digest::of(&text));
        assert_eq!(body.unit(), of_file);
        assert_eq!(body.bytes, b"{ \"resourceLogs\":[]} ");
    }
}
