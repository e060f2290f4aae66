//! From bodies to deliveries: bodies that come within a short time are archived together, and
//! each is answered once the manifest that names it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::{Archive, Reader, Remedy, Writer};
use common::UnitId;
use common::limits::DELIVERY_UNITS_MAX;
use ingest_fn::IngestError;
use ingest_fn::http::{BODY_BYTES_MAX, Body, Media, Reason, Refusal};
use ingest_fn::pipeline::{self, Delivery, DeliveryBuilder, SourceConfig, UnitBytes, UnitOutcome};
use ingest_fn::reject;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::desk::Ticket;
use super::limits::{BATCH_BYTES_MAX, DELIVERIES_MAX};
use super::meters::Meters;
use crate::interrupt::Interrupt;
use crate::output::{complain, printable};
use host::doors;

/// A body to archive.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) body: Body,
    pub(crate) ticket: Ticket,
    /// When all of it was here.
    pub(crate) arrived: Instant,
    /// The memory it takes, given back when it is dropped.
    pub(crate) _memory: OwnedSemaphorePermit,
}

/// Archives bodies.
pub(crate) struct Batcher {
    reader: Reader,
    writer: Writer,
    config: SourceConfig,
    window: Duration,
    /// Raised by each delivery; whoever seals lowers it.
    waits: Arc<AtomicBool>,
    meters: Arc<Meters>,
}

impl Batcher {
    /// One that takes together what comes within `window`.
    pub(crate) fn new(
        archive: &Archive,
        config: SourceConfig,
        window: Duration,
        (waits, meters): (Arc<AtomicBool>, Arc<Meters>),
    ) -> Self {
        Self { reader: archive.reader(), writer: archive.writer(), config, window, waits, meters }
    }

    /// Works until nobody can send any more and all that came is answered. Once interrupted, it
    /// no longer waits for company.
    pub(crate) async fn run(self, mut items: UnboundedReceiver<Item>, mut interrupt: Interrupt) {
        let batcher = Arc::new(self);
        let slots = Arc::new(Semaphore::new(DELIVERIES_MAX));
        let mut deliveries = JoinSet::new();
        while let Some(batch) = collect(&mut items, batcher.window, &mut interrupt).await {
            for (media, batch) in by_media(batch) {
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
            Err(e) => return self.refuse(batch, &IngestError::from(e).into()),
        };
        let mut new = Vec::new();
        for (item, held) in batch.into_iter().zip(held) {
            if held {
                Meters::add(&self.meters.repeated, 1);
                item.ticket.answer(&Ok(item.body.accepted_before()));
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
                self.refuse(batch, &error);
                return Ok(());
            }
        };
        match pipeline::store(delivery, &self.writer).await {
            Ok(_) => {
                self.waits.store(true, Ordering::Release);
                let oldest = batch.first().map(|item| item.arrived.elapsed()).unwrap_or_default();
                let lag = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
                self.meters.lag_millis.store(lag, Ordering::Relaxed);
                for (item, outcome) in batch.into_iter().zip(outcomes) {
                    Meters::add(&self.meters.events, outcome.events);
                    Meters::add(&self.meters.rejects, outcome.rejects);
                    Meters::add(&self.meters.bytes, item.body.sent_bytes);
                    item.ticket.answer(&Ok(item.body.accepted(outcome)));
                }
            }
            Err(error) => self.refuse(batch, &error.into()),
        }
        Ok(())
    }

    fn refuse(&self, batch: Vec<Item>, trouble: &Trouble) {
        Meters::add(&self.meters.failed, u64::try_from(batch.len()).unwrap_or(u64::MAX));
        refuse(batch, trouble);
    }

    fn config(&self, media: Media) -> SourceConfig {
        let transport = media.transport().to_owned();
        SourceConfig { format: media.format(), transport, ..self.config.clone() }
    }
}

/// A delivery has one format.
fn by_media(batch: Vec<Item>) -> Vec<(Media, Vec<Item>)> {
    let mut all: Vec<(Media, Vec<Item>)> = Vec::new();
    for item in batch {
        let media = item.body.media;
        match all.iter_mut().find(|(known, _)| *known == media) {
            Some((_, items)) => items.push(item),
            None => all.push((media, vec![item])),
        }
    }
    all
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
