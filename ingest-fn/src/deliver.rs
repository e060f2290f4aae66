//! From what an event brings to deliveries, stored one after the other within the memory and the
//! time there is; and for each thing what became of it.

mod load;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archive::{Landing, Put, Remedy, Writer};
use bytes::Bytes;
use common::limits::{DELIVERY_PARTS_BYTES_MAX, DELIVERY_UNITS_MAX, PART_BYTES_MAX};
use common::row::RowSeed;
use common::{Sha256Digest, UnitId};

use crate::envelope::{Content, Item, ObjectRef};
use crate::error::IngestError;
use crate::pipeline::{self, DeliveryBuilder, SourceConfig, UnitBytes, UnitOutcome};
use crate::redact::Rules;
use crate::reject::{Reason, Reject};
use crate::sources::{Source, Sources};
use load::Object;

/// The clock and the randomness of whoever runs this.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    /// Microseconds since 1970 UTC.
    pub now_micros: fn() -> Result<i64, String>,
    /// What the salts of a delivery's rows are derived from.
    pub row_seed: fn() -> Result<RowSeed, String>,
}

/// How what comes is read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Clusters and formats by source.
    pub sources: Sources,
    /// What is taken out of records before anything is made of them.
    pub redaction: Rules,
}

/// Stores what events bring.
#[derive(Debug)]
pub struct Deliverer {
    writer: Writer,
    landing: Option<Arc<Landing>>,
    reading: Reading,
    doors: Doors,
    /// Bytes of units held for one delivery.
    bytes_max: usize,
    /// Bytes of row groups held for one delivery.
    segments_bytes_max: usize,
}

/// What became of one thing that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in the archive, as events or in quarantine.
    Archived(UnitOutcome),
    /// There was nothing in it to archive.
    Nothing,
    /// It is not in the archive, for a reason; it has to come again.
    Failed(String),
    /// There was no time for it; it has to come again.
    NotReached,
}

impl Outcome {
    /// Whether it need not come again.
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Archived(_) | Self::Nothing)
    }
}

/// What became of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Of each thing, in order.
    pub outcomes: Vec<Outcome>,
    /// Records that became rows.
    pub events: u64,
    /// Records in quarantine.
    pub rejects: u64,
    /// Bytes of units, decompressed.
    pub bytes: u64,
    /// Deliveries stored.
    pub deliveries: u64,
    /// Of these, the ones that waited in the inbox already.
    pub repeated: u64,
    /// Units that stood twice in the event.
    pub units_twice: u64,
}

/// When a function has to have answered.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

/// Time kept for the answer itself, and for what a busy machine takes.
const MARGIN: Duration = Duration::from_millis(500);

impl Deadline {
    /// So long from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now().checked_add(time).unwrap_or_else(Instant::now))
    }

    /// Time for work.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(MARGIN)
    }

    /// Whether there is time to archive so many bytes, by what is known of this event: `pace` is
    /// the slowest so far, in bytes a second. The first delivery is always tried, or nothing would
    /// ever be done where time is short.
    fn permits(self, bytes: usize, pace: Option<u64>) -> bool {
        let left = self.left();
        let Some(pace) = pace else { return !left.is_zero() };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Twice what it took before: the next may be slower.
        let needed = Duration::from_millis(bytes.saturating_mul(2_000) / pace.max(1));
        left > needed
    }
}

/// A unit whose bytes are at hand.
struct Loaded {
    item: usize,
    id: UnitId,
    sha256: Sha256Digest,
    sent_bytes: u64,
    bytes: Bytes,
    offset_bytes: u64,
    continues_record: bool,
    cut_record: bool,
    /// Why it is kept unread.
    unread: Option<Reject>,
}

/// Units on their way into one delivery.
#[derive(Default)]
struct Batch {
    config: Option<Described>,
    units: Vec<Loaded>,
    bytes: usize,
}

/// What all units of a delivery share.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    source: Source,
    transport: &'static str,
    place: String,
}

/// How far one thing is. It is kept once all of it was read and all units of it are stored.
#[derive(Debug, Default)]
struct Progress {
    is_read: bool,
    units: u64,
    stored: u64,
    sum: UnitOutcome,
    /// Why it is not kept.
    trouble: Option<Outcome>,
    /// Things of which it holds copies.
    copies_of: Vec<usize>,
}

/// One event's work.
struct Work<'a> {
    deliverer: &'a Deliverer,
    deadline: Deadline,
    done: Delivered,
    /// How far each thing is.
    progress: Vec<Progress>,
    /// Units and objects that were seen, and the thing each came with first.
    seen: HashMap<UnitId, usize>,
    batch: Batch,
    /// Bytes a second of the slowest delivery so far.
    pace: Option<u64>,
}

impl Deliverer {
    /// One that stays within `memory_bytes`, which is what the whole process has.
    pub fn new(
        writer: Writer,
        landing: Option<Landing>,
        reading: Reading,
        doors: Doors,
        memory_bytes: usize,
    ) -> Self {
        // The program, an event of 6 MB three times, and what the operating system wants.
        let for_work = memory_bytes.saturating_sub(80 * 1024 * 1024);
        // Units, and about as much again in columns and files.
        let bytes_max = (for_work / 6).clamp(PART_BYTES_MAX, DELIVERY_PARTS_BYTES_MAX);
        let segments_bytes_max = (for_work / 3).max(16 * 1024 * 1024);
        let landing = landing.map(Arc::new);
        Self { writer, landing, reading, doors, bytes_max, segments_bytes_max }
    }

    /// How sources are read.
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Whether objects can be read at all.
    pub const fn has_landing(&self) -> bool {
        self.landing.is_some()
    }

    /// Archives what can be, in order, and says of each thing what became of it. A thing that can
    /// not be archived costs its neighbours nothing.
    pub async fn deliver(
        &self,
        transport: &'static str,
        items: Vec<Item>,
        deadline: Deadline,
    ) -> Delivered {
        let mut work = Work {
            deliverer: self,
            deadline,
            done: Delivered::default(),
            progress: items.iter().map(|_| Progress::default()).collect(),
            seen: HashMap::new(),
            batch: Batch::default(),
            pace: None,
        };
        for (index, item) in items.into_iter().enumerate() {
            if deadline.left().is_zero() {
                break;
            }
            work.item(index, transport, item).await;
        }
        work.flush().await;
        work.end()
    }

    /// Archives one unit whose bytes are records as they are, such as a body.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn deliver_one(
        &self,
        config: SourceConfig,
        id: UnitId,
        bytes: &[u8],
        (sha256, sent_bytes): (Sha256Digest, u64),
    ) -> Result<(UnitOutcome, Put), IngestError> {
        let mut builder = self.builder(config, vec![id])?;
        let outcome = builder.add_unit(whole(bytes, sha256))?;
        let mut delivery = builder.finish()?;
        for unit in &mut delivery.manifest.units {
            unit.bytes = sent_bytes;
        }
        Ok((outcome, pipeline::store(delivery, &self.writer).await?))
    }

    fn builder(
        &self,
        config: SourceConfig,
        ids: Vec<UnitId>,
    ) -> Result<DeliveryBuilder, IngestError> {
        let (now, seed) = (self.doors.now_micros, self.doors.row_seed);
        let received = now().map_err(IngestError::Host)?;
        let seed = seed().map_err(IngestError::Host)?;
        let mut builder = DeliveryBuilder::new(config, ids, received, seed)?;
        builder.keep_segments_below(self.segments_bytes_max);
        Ok(builder)
    }

    fn config(&self, described: &Described) -> SourceConfig {
        SourceConfig {
            format: described.source.format,
            cluster: described.source.cluster.clone(),
            transport: described.transport.to_owned(),
            transport_ref: Some(described.place.clone()).filter(|place| !place.is_empty()),
            redaction: self.reading.redaction.clone(),
        }
    }
}

const fn whole(bytes: &[u8], sha256: Sha256Digest) -> UnitBytes<'_> {
    UnitBytes { bytes, sha256, offset_bytes: 0, continues_record: false, cut_record: false }
}

impl Work<'_> {
    async fn item(&mut self, index: usize, transport: &'static str, item: Item) {
        let Item { place, content, .. } = item;
        let source = self.deliverer.reading.sources.of(&place);
        match content {
            Content::Nothing => {}
            Content::Unit(id, bytes) => {
                let loaded = opened(index, id, bytes, &source);
                self.add(Described { source, transport, place }, loaded).await;
            }
            Content::Unreadable(id, bytes, found) => {
                let reject = Reject::new(Reason::NotDecodable, format!("expected {found}"));
                let loaded = unread(index, id, bytes, reject);
                self.add(Described { source, transport, place }, loaded).await;
            }
            Content::Objects(objects) => {
                for object in objects {
                    if let Err(trouble) = self.object(index, object).await {
                        // The others of this notification come again with it.
                        return self.trouble(index, trouble);
                    }
                }
            }
        }
        if let Some(progress) = self.progress.get_mut(index) {
            progress.is_read = true;
        }
    }

    /// Archives an object, part by part. A small one shares a delivery with its neighbours.
    async fn object(&mut self, index: usize, object: ObjectRef) -> Result<(), Outcome> {
        if self.is_copy(index, object.id()) {
            return Ok(());
        }
        let url = object.url();
        let source = self.deliverer.reading.sources.of(&url);
        let described =
            Described { source, transport: "s3", place: format!("s3://{}", object.bucket) };
        let Some(landing) = &self.deliverer.landing else {
            let wanted = "the function was not told where objects may be read: MESHLEDGER_LANDING";
            return Err(Outcome::Failed(format!("{url}: {wanted}")));
        };
        let parts_max = self.deliverer.bytes_max / PART_BYTES_MAX;
        let mut parts = Object::open(landing, &object, parts_max).await.map_err(failed)?;
        loop {
            // A large one is not begun again and again without an end in sight.
            if !self.deadline.permits(self.deliverer.bytes_max.min(parts.length()), self.pace) {
                return Err(Outcome::NotReached);
            }
            let next = parts.next(index, described.source.format).await.map_err(failed)?;
            if next.is_empty() {
                return Ok(());
            }
            let place = if parts.is_large() { &url } else { &described.place };
            for loaded in next {
                let place = place.clone();
                self.add(Described { place, ..described.clone() }, loaded).await;
            }
            if parts.is_large() {
                self.flush().await;
            }
            if let Some(trouble) = self.progress.get(index).and_then(|one| one.trouble.clone()) {
                return Err(trouble);
            }
        }
    }

    /// Whether a unit or an object came before in this event; the thing it came with now depends
    /// on the one it came with then.
    fn is_copy(&mut self, index: usize, id: UnitId) -> bool {
        let Some(first) = self.seen.insert(id, index) else { return false };
        self.seen.insert(id, first);
        self.done.units_twice += 1;
        if let Some(progress) = self.progress.get_mut(index) {
            progress.copies_of.push(first);
        }
        true
    }

    /// Takes a unit into the delivery in hand, or into the next.
    async fn add(&mut self, described: Described, loaded: Loaded) {
        // The same thing twice in one event is one thing.
        if self.is_copy(loaded.item, loaded.id) {
            return;
        }
        let is_other = self.batch.config.as_ref().is_some_and(|config| *config != described);
        let is_full = self.batch.bytes + loaded.bytes.len() > self.deliverer.bytes_max
            || self.batch.units.len() >= DELIVERY_UNITS_MAX;
        if (is_other || is_full) && !self.batch.units.is_empty() {
            self.flush().await;
        }
        if let Some(progress) = self.progress.get_mut(loaded.item) {
            progress.units += 1;
        }
        self.batch.config = Some(described);
        self.batch.bytes += loaded.bytes.len();
        self.batch.units.push(loaded);
    }

    /// Stores the delivery in hand.
    async fn flush(&mut self) {
        let Batch { config, units, bytes } = std::mem::take(&mut self.batch);
        let Some(described) = config.filter(|_| !units.is_empty()) else { return };
        let things: Vec<usize> = units.iter().map(|unit| unit.item).collect();
        if !self.deadline.permits(bytes, self.pace) {
            return self.all(&things, &Outcome::NotReached);
        }
        let began = Instant::now();
        let config = self.deliverer.config(&described);
        let stored = match self.deliverer.build(config, units) {
            Ok((delivery, outcomes)) => {
                let store = pipeline::store(delivery, &self.deliverer.writer);
                match tokio::time::timeout(self.deadline.left(), store).await {
                    Ok(Ok(put)) => Ok((put, outcomes)),
                    Ok(Err(e)) => Err(failed(e)),
                    // What became of it nobody knows; if it comes again it is there once.
                    Err(_) => Err(Outcome::NotReached),
                }
            }
            Err(e) => Err(failed(e)),
        };
        match stored {
            Ok((put, outcomes)) => self.stored(&things, put, &outcomes, bytes, began.elapsed()),
            Err(outcome) => self.all(&things, &outcome),
        }
    }

    fn stored(
        &mut self,
        things: &[usize],
        put: Put,
        outcomes: &[UnitOutcome],
        bytes: usize,
        took: Duration,
    ) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Small deliveries say little of the pace.
        if bytes >= 1_000_000 {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
            let pace = bytes.saturating_mul(1_000) / millis;
            self.pace = Some(self.pace.map_or(pace, |before| before.min(pace)));
        }
        self.done.deliveries += 1;
        self.done.repeated += u64::from(put == Put::AlreadyThere);
        self.done.bytes += bytes;
        for (&thing, outcome) in things.iter().zip(outcomes) {
            self.done.events += outcome.events;
            self.done.rejects += outcome.rejects;
            if let Some(progress) = self.progress.get_mut(thing) {
                progress.stored += 1;
                progress.sum.events += outcome.events;
                progress.sum.rejects += outcome.rejects;
            }
        }
    }

    fn trouble(&mut self, index: usize, trouble: Outcome) {
        if let Some(progress) = self.progress.get_mut(index) {
            progress.trouble.get_or_insert(trouble);
        }
    }

    fn all(&mut self, things: &[usize], trouble: &Outcome) {
        for &thing in things {
            self.trouble(thing, trouble.clone());
        }
    }

    fn end(mut self) -> Delivered {
        for progress in &self.progress {
            // What it holds copies of came before it, or is itself.
            let outcomes = &self.done.outcomes;
            let of_copies = progress.copies_of.iter().filter_map(|&first| outcomes.get(first));
            let lost = of_copies.into_iter().find(|outcome| !outcome.is_kept()).cloned();
            let outcome = progress.trouble.clone().or(lost).unwrap_or({
                if !progress.is_read || progress.stored < progress.units {
                    Outcome::NotReached
                } else if progress.units == 0 && progress.copies_of.is_empty() {
                    Outcome::Nothing
                } else {
                    Outcome::Archived(progress.sum)
                }
            });
            self.done.outcomes.push(outcome);
        }
        self.done
    }
}

impl Deliverer {
    fn build(
        &self,
        config: SourceConfig,
        units: Vec<Loaded>,
    ) -> Result<(pipeline::Delivery, Vec<UnitOutcome>), IngestError> {
        let ids = units.iter().map(|unit| unit.id).collect();
        let mut builder = self.builder(config, ids)?;
        let mut outcomes = Vec::with_capacity(units.len());
        let mut sent = Vec::with_capacity(units.len());
        for unit in units {
            let bytes = UnitBytes {
                bytes: &unit.bytes,
                sha256: unit.sha256,
                offset_bytes: unit.offset_bytes,
                continues_record: unit.continues_record,
                cut_record: unit.cut_record,
            };
            outcomes.push(match &unit.unread {
                Some(reject) => builder.add_unit_unread(bytes, reject)?,
                None => builder.add_unit(bytes)?,
            });
            sent.push(unit.sent_bytes);
            // Each unit's bytes go as soon as its rows are there.
        }
        let mut delivery = builder.finish()?;
        for (unit, bytes) in delivery.manifest.units.iter_mut().zip(sent) {
            unit.bytes = bytes;
        }
        Ok((delivery, outcomes))
    }
}

/// A unit that came by message, opened; or kept as it is, with the reason.
fn opened(item: usize, id: UnitId, bytes: Vec<u8>, source: &Source) -> Loaded {
    let decoded = match crate::payload::decode_as(&bytes, source.format) {
        Ok(decoded) => match decoded.bytes {
            Cow::Owned(decoded) => Some(decoded),
            Cow::Borrowed(_) => None,
        },
        Err(reject) => return unread(item, id, bytes, reject),
    };
    let decoded = decoded.unwrap_or(bytes);
    let sha256 = Sha256Digest::of(&decoded);
    let sent_bytes = u64::try_from(decoded.len()).unwrap_or(u64::MAX);
    Loaded {
        item,
        id,
        sha256,
        sent_bytes,
        bytes: decoded.into(),
        offset_bytes: 0,
        continues_record: false,
        cut_record: false,
        unread: None,
    }
}

fn unread(item: usize, id: UnitId, bytes: Vec<u8>, reject: Reject) -> Loaded {
    Loaded {
        item,
        id,
        sha256: Sha256Digest::of(&bytes),
        sent_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        bytes: bytes.into(),
        offset_bytes: 0,
        continues_record: false,
        cut_record: false,
        unread: Some(reject),
    }
}

fn failed(error: IngestError) -> Outcome {
    let hint = match &error {
        IngestError::Archive(error) if error.remedy() == Remedy::Retry => "; it may pass",
        _ => "",
    };
    Outcome::Failed(format!("{error}{hint}"))
}
