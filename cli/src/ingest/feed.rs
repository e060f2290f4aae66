//! The reading half of an ingestion, on a thread of its own: bytes to parts, parts to deliveries.
//!
//! Whatever the length of the input, it holds the parts of one delivery, and builds one at most
//! while the other half stores the one before: a delivery is begun only once the channel has a
//! place for it, which it has when the other half took the last one out. A delivery has a few
//! parts and not the whole input: a segment is named after all units of its delivery, which of a
//! stream are not known before its end.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use archive::Reader;
use common::UnitId;
use common::limits::DELIVERY_PARTS_BYTES_MAX;
use ingest_fn::IngestError;
use ingest_fn::bounded::Bounded;
use ingest_fn::decompress;
use ingest_fn::parts::{Part, PartReader};
use ingest_fn::pipeline::{Delivery, DeliveryBuilder, SourceConfig};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Permit, Sender};

use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::output::{count, counted};

/// What the reading half hands over.
pub(crate) enum Fed {
    /// A delivery to store.
    Delivery(Box<Delivery>),
    /// Units that are in the archive already.
    Held(Held),
}

/// Units that were skipped.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) units: u64,
    pub(crate) bytes: u64,
}

/// What stopped reading before the end.
pub(crate) struct Stopped {
    /// What went wrong, and where.
    pub(crate) message: String,
    /// Whether it was a limit.
    pub(crate) is_limit: bool,
}

/// Reads one input.
pub(crate) struct Feed {
    pub(crate) reader: Reader,
    pub(crate) runtime: Handle,
    pub(crate) config: SourceConfig,
    pub(crate) decoded_bytes_max: u64,
    pub(crate) interrupt: Interrupt,
    /// Units this run has handed over, which the archive may not know yet.
    pub(crate) seen: Seen,
}

/// Units that this run has handed over; shared by its inputs.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<HashSet<UnitId>>>);

impl Seen {
    fn has(&self, unit: UnitId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&unit)
    }

    fn add(&self, parts: &[Part]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(parts.iter().map(|part| part.id));
    }
}

/// What is said when the limit on decompressed bytes is reached.
const LIMIT: &str = "the limit on decompressed bytes is reached; --decoded-bytes-max raises it";

impl Feed {
    /// Reads to the end, to an error, or until nobody takes deliveries any more. What was read
    /// before an error is handed over.
    ///
    /// # Errors
    /// If the archive fails; errors of the input are part of the result.
    pub(crate) fn run(
        self,
        input: impl Read + Send,
        fed: &Sender<Fed>,
    ) -> Result<Option<Stopped>, Failure> {
        let decoder = match decompress::open(input) {
            Ok((_, decoder)) => decoder,
            Err(e) => return Ok(Some(Stopped { message: e.to_string(), is_limit: false })),
        };
        let mut decoded = Bounded::new(decoder, self.decoded_bytes_max, LIMIT);
        let stopped = self.deliver(&mut decoded, fed)?;
        Ok(stopped.map(|(offset_bytes, source)| {
            let read = counted(decoded.passed_bytes(), "decoded byte", "decoded bytes");
            let archived = count(offset_bytes);
            Stopped {
                // Parts are units, so the last, shorter one of a mended input is another unit.
                message: format!(
                    "{source}, after {read}; archived up to byte {archived}; a mended input \
                     repeats the records of its last part"
                ),
                is_limit: decoded.limit_reached(),
            }
        }))
    }

    /// Returns what stopped it, and where the last whole record before that ends.
    fn deliver(
        &self,
        input: &mut impl Read,
        fed: &Sender<Fed>,
    ) -> Result<Option<(u64, io::Error)>, Failure> {
        let mut parts = PartReader::new(input);
        // One buffer for every part; pages of it that a short input never touches cost nothing.
        let mut buffer = Vec::with_capacity(DELIVERY_PARTS_BYTES_MAX);
        loop {
            if self.interrupt.raised() || fed.is_closed() {
                // Running again reads again what was not handed over.
                return Ok(None);
            }
            let all = match parts.next_parts(&mut buffer) {
                Ok(parts) if parts.is_empty() => return Ok(None),
                Ok(parts) => parts,
                Err(IngestError::Input { offset_bytes, source }) => {
                    return Ok(Some((offset_bytes, source)));
                }
                Err(e) => return Err(e.into()),
            };
            let (held, new) = self.held(all)?;
            let bytes = held.iter().map(|part| part.range.len() as u64).sum();
            let held = Held { units: held.len() as u64, bytes };
            // The place comes before the delivery, or a third one could be alive: one being
            // stored, one in the channel, one waiting to get there. Nobody there means that the
            // run is ending; the parts count as never read.
            if held.units > 0 {
                let Some(place) = self.place(fed) else { return Ok(None) };
                place.send(Fed::Held(held));
            }
            if !new.is_empty() {
                let Some(place) = self.place(fed) else { return Ok(None) };
                self.seen.add(&new);
                place.send(Fed::Delivery(Box::new(self.build(&new, &buffer)?)));
            }
        }
    }

    /// Waits until the channel, which has room for one, is empty; `None` if nobody takes any more.
    fn place<'a>(&self, fed: &'a Sender<Fed>) -> Option<Permit<'a, Fed>> {
        self.runtime.block_on(fed.reserve()).ok()
    }

    fn build(&self, parts: &[Part], buffer: &[u8]) -> Result<Delivery, Failure> {
        let received_at_micros = host::doors::now_micros()?;
        let seed = host::doors::row_seed()?;
        let units = parts.iter().map(|part| part.id).collect();
        let mut builder =
            DeliveryBuilder::new(self.config.clone(), units, received_at_micros, seed)?;
        for part in parts {
            builder.add_unit(part.unit(buffer))?;
        }
        Ok(builder.finish()?)
    }

    /// Tells the parts that the archive has, or that this run has handed over, from new ones.
    fn held(&self, parts: Vec<Part>) -> Result<(Vec<Part>, Vec<Part>), Failure> {
        let ids: Vec<UnitId> = parts.iter().map(|part| part.id).collect();
        let held = self.runtime.block_on(self.reader.held(&ids))?;
        let mut answers = held.into_iter();
        Ok(parts
            .into_iter()
            .partition(|part| answers.next().unwrap_or(false) || self.seen.has(part.id)))
    }
}
