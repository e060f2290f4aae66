//! Ingestion as every command uses it: one input at a time, read on one thread and stored by
//! another, in memory that does not depend on the input's length.

mod feed;
mod summary;

use std::io::Read;

use archive::{Archive, Put, Reader, Writer};
use ingest_fn::pipeline::{self, Delivery, SourceConfig};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub(crate) use summary::{Example, InputError, Summary};

use feed::{Fed, Feed, Seen, Stopped};

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

/// Ingests inputs into one archive.
pub(crate) struct Ingestor {
    reader: Reader,
    writer: Writer,
    decoded_bytes_max: u64,
    interrupt: Interrupt,
    seen: Seen,
}

impl Ingestor {
    /// An ingestor that reads at most so many decoded bytes of one input.
    pub(crate) fn new(archive: &Archive, decoded_bytes_max: u64, interrupt: Interrupt) -> Self {
        // One reader for all inputs: it remembers which units are held.
        let (reader, writer) = (archive.reader(), archive.writer());
        Self { reader, writer, decoded_bytes_max, interrupt, seen: Seen::default() }
    }

    /// Archives one input; `name` is shown to people. Events are in the archive when this
    /// returns, and `summary` says so even if it returns an error.
    ///
    /// # Errors
    /// If the archive fails. An input that can not be read to its end is noted in the summary.
    pub(crate) async fn ingest(
        &self,
        name: &str,
        input: impl Read + Send + 'static,
        config: SourceConfig,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let feed = Feed {
            reader: self.reader.clone(),
            runtime: Handle::current(),
            config,
            decoded_bytes_max: self.decoded_bytes_max,
            interrupt: self.interrupt.clone(),
            seen: self.seen.clone(),
        };
        // Room for one: the reading thread builds it while the one before is stored here.
        let (sender, mut receiver) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || feed.run(input, &sender));
        summary.files += 1;
        let mut interrupt = self.interrupt.clone();
        loop {
            // An interrupt comes before further deliveries, but never into the midst of storing.
            let fed = tokio::select! {
                biased;
                () = interrupt.wait() => {
                    summary.interrupted = true;
                    // The reading thread may hang in a read that nothing ends; leave it behind.
                    return Ok(());
                }
                fed = receiver.recv() => fed,
            };
            match fed {
                Some(Fed::Delivery(delivery)) => self.store(name, *delivery, summary).await?,
                Some(Fed::Held(held)) => {
                    summary.units_already_held += held.units;
                    summary.bytes += held.bytes;
                }
                None => break,
            }
        }
        let stopped = reading.await.map_err(|e| {
            Failure::new(Exit::Storage, format!("reading {name} ended without an answer: {e}"))
        })??;
        if let Some(Stopped { message, is_limit }) = stopped {
            summary.errors.push(InputError { source: name.to_owned(), message, is_limit });
        }
        summary.interrupted |= self.interrupt.raised();
        Ok(())
    }

    async fn store(
        &self,
        name: &str,
        delivery: Delivery,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let gain = gain(name, &delivery);
        let (units, bytes) = (gain.units, gain.bytes);
        match pipeline::store(delivery, &self.writer).await? {
            Put::Created => summary.add(gain),
            // Somebody else archived the same units a moment ago.
            Put::AlreadyThere => {
                summary.units_already_held += units;
                summary.bytes += bytes;
            }
        }
        Ok(())
    }
}

/// What the archive gains by a delivery.
fn gain(name: &str, delivery: &Delivery) -> Summary {
    let manifest = &delivery.manifest;
    let mut gain = Summary::default();
    for unit in &manifest.units {
        gain.units += 1;
        gain.bytes += unit.bytes;
        gain.events += unit.events;
        gain.rejects += unit.rejects;
    }
    gain.redactions.clone_from(&manifest.redactions);
    for entry in &manifest.quarantine {
        gain.stored_bytes += entry.bytes;
        for (reason, rejects) in &entry.reasons {
            *gain.reject_reasons.entry(reason.clone()).or_default() += rejects;
        }
    }
    gain.stored_bytes += manifest.files.iter().map(|file| file.bytes).sum::<u64>();
    for example in &delivery.reject_examples {
        gain.add_example(Example {
            source: name.to_owned(),
            offset_bytes: example.offset_bytes,
            length_bytes: example.length_bytes,
            reason: example.reason.to_owned(),
            detail: example.detail.clone(),
        });
    }
    gain
}

#[cfg(test)]
mod tests;
