//! Quarantined records tried again: read some at a time, parsed, and those that become events now
//! stored, in memory that does not depend on how many there are.

mod report;

use std::sync::Arc;

use archive::{Archive, Mode, Put, Reader, Snapshot, Writer};
use common::UnitId;
use common::manifest::Source;
use ingest_fn::parse::SourceFormat;
use ingest_fn::pipeline::{self, Delivery, SourceConfig};
use ingest_fn::redact::Rules;
use ingest_fn::replay::{self as again, Candidate};
use tokio::runtime::Handle;

pub(crate) use report::{Counts, Report};

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

/// Most sources of which understood records wait to be stored together.
const GROUPS_MAX: usize = 64;

/// What is to be replayed, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Only records with this reason.
    pub(crate) reason: Option<String>,
    /// Read all of them as this format.
    pub(crate) format: Option<SourceFormat>,
    /// Write nothing.
    pub(crate) is_dry_run: bool,
}

/// Tries the quarantine's records again and archives what is understood now. The report counts
/// what was done until a failure, too.
pub(crate) async fn replay(
    archive: &Archive,
    wanted: Wanted,
    interrupt: Interrupt,
) -> (Report, Option<Failure>) {
    let report = Report { dry_run: wanted.is_dry_run, ..Report::default() };
    let replay = Replay {
        reader: archive.reader(),
        writer: archive.writer(),
        runtime: Handle::current(),
        wanted,
        interrupt,
        waiting: Vec::new(),
        waiting_bytes: 0,
        groups: Vec::new(),
        report,
    };
    match tokio::task::spawn_blocking(move || replay.run()).await {
        Ok(outcome) => outcome,
        Err(e) => {
            let message = format!("the replay ended without an answer: {e}");
            (Report::default(), Some(Failure::new(Exit::Storage, message)))
        }
    }
}

/// A replay at work, on a thread of its own.
struct Replay {
    reader: Reader,
    writer: Writer,
    runtime: Handle,
    wanted: Wanted,
    interrupt: Interrupt,
    /// Records to be tried.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// Records to be stored, the source that came first at the front.
    groups: Vec<Group>,
    report: Report,
}

/// A record to be tried.
struct Waiting {
    source: Arc<Source>,
    reason: String,
    candidate: Candidate,
}

/// Understood records of one source, which share what a delivery says of its source.
struct Group {
    config: SourceConfig,
    /// Each with its reason.
    records: Vec<(Candidate, String)>,
    bytes: usize,
}

/// The format as which a record is understood, and how many rows it becomes.
type Found = Option<(SourceFormat, u64)>;

/// Reads the records at these indexes as a format.
fn read(
    format: SourceFormat,
    records: &[Waiting],
    indexes: Vec<usize>,
    now_micros: i64,
    found: &mut [Found],
) -> Result<(), Failure> {
    if indexes.is_empty() {
        return Ok(());
    }
    let candidates: Vec<&Candidate> =
        indexes.iter().map(|&index| &records[index].candidate).collect();
    let rows = again::rows(format, &candidates, now_micros)?;
    for (index, rows) in indexes.into_iter().zip(rows) {
        found[index] = (rows > 0).then_some((format, rows));
    }
    Ok(())
}

impl Replay {
    fn run(mut self) -> (Report, Option<Failure>) {
        let outcome = self.everything();
        self.report.interrupted |= self.interrupt.raised();
        (self.report, outcome.err())
    }

    /// Goes through the quarantine in the order of the snapshot, in which sealed files keep their
    /// places: a run that is repeated, or races, mostly makes the same deliveries.
    fn everything(&mut self) -> Result<(), Failure> {
        let snapshot = self.runtime.block_on(self.reader.snapshot(Mode::Fresh))?;
        for index in 0..snapshot.quarantine.len() {
            if self.interrupt.raised() {
                return Ok(());
            }
            self.file(&snapshot, index)?;
        }
        self.attempt()?;
        while !self.groups.is_empty() {
            self.close(0)?;
        }
        Ok(())
    }

    fn file(&mut self, snapshot: &Snapshot, index: usize) -> Result<(), Failure> {
        let Some(file) = snapshot.quarantine.get(index) else { return Ok(()) };
        let reason = self.wanted.reason.clone();
        let has_wanted = |reason: &String| file.entry.reasons.contains_key(reason);
        if !reason.as_ref().is_none_or(has_wanted) {
            return Ok(());
        }
        let rejects = self.runtime.block_on(self.reader.rejects(snapshot, file))?;
        let Some(rejects) = rejects else { return Ok(()) };
        let source = Arc::new(rejects.source().clone());
        for batch in rejects {
            for reject in batch? {
                if reason.as_ref().is_some_and(|reason| *reason != reject.reason) {
                    continue;
                }
                if !again::is_replayed(&reject.reason) {
                    self.report.count(&reject.reason, |counts| counts.pieces += 1);
                    continue;
                }
                let candidate = Candidate {
                    id: reject.replay_unit(),
                    offset_bytes: reject.offset_bytes,
                    record: reject.record,
                };
                self.waiting_bytes += candidate.record.len();
                let source = Arc::clone(&source);
                self.waiting.push(Waiting { source, reason: reject.reason, candidate });
                let is_full = self.waiting.len() >= again::UNITS_MAX;
                if is_full || self.waiting_bytes >= again::BYTES_MAX {
                    self.attempt()?;
                }
            }
            if self.interrupt.raised() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tries the records that wait.
    fn attempt(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let waiting =
            self.not_replayed(waiting, |waiting| (waiting.candidate.id, &waiting.reason))?;
        let now_micros = host::doors::now_micros()?;
        let found = self.understood(&waiting, now_micros)?;
        for (record, found) in waiting.into_iter().zip(found) {
            match found {
                None => self.report.count(&record.reason, Counts::still_not),
                Some((_, rows)) if self.wanted.is_dry_run => {
                    self.report.count(&record.reason, Counts::understood);
                    self.report.events += rows;
                }
                Some((format, _)) => self.keep(record, format)?,
            }
        }
        Ok(())
    }

    /// The records that were not replayed yet; counts the others.
    fn not_replayed<T>(
        &mut self,
        mut records: Vec<T>,
        name: impl Fn(&T) -> (UnitId, &str),
    ) -> Result<Vec<T>, Failure> {
        let ids: Vec<UnitId> = records.iter().map(|record| name(record).0).collect();
        let mut held = self.runtime.block_on(self.reader.held(&ids))?.into_iter();
        records.retain(|record| {
            let is_held = held.next().unwrap_or(false);
            if is_held {
                self.report.count(name(record).1, |counts| counts.already_replayed += 1);
            }
            !is_held
        });
        Ok(records)
    }

    /// As what each record is understood, if it is.
    fn understood(&self, records: &[Waiting], now_micros: i64) -> Result<Vec<Found>, Failure> {
        let mut found = vec![None; records.len()];
        // What the source was configured with comes first: somebody knew it.
        let first = |record: &Waiting| {
            let configured = || record.source.format.parse().unwrap_or(SourceFormat::Auto);
            self.wanted.format.unwrap_or_else(configured)
        };
        for format in SourceFormat::ALL {
            let indexes = (0..records.len()).filter(|&index| first(&records[index]) == format);
            read(format, records, indexes.collect(), now_micros, &mut found)?;
        }
        if self.wanted.format.is_none() {
            let again = |index: usize| {
                found[index].is_none() && first(&records[index]) != SourceFormat::Auto
            };
            let indexes = (0..records.len()).filter(|&index| again(index)).collect();
            read(SourceFormat::Auto, records, indexes, now_micros, &mut found)?;
        }
        Ok(found)
    }

    /// Puts an understood record to those of its source, and stores them once they are enough.
    fn keep(&mut self, record: Waiting, format: SourceFormat) -> Result<(), Failure> {
        let Waiting { source, reason, candidate } = record;
        let index = self.groups.iter().position(|group| {
            group.config.format == format
                && group.config.cluster == source.cluster
                && group.config.transport_ref == source.transport_ref
        });
        let index = match index {
            Some(index) => index,
            None => {
                if self.groups.len() >= GROUPS_MAX {
                    self.close(0)?;
                }
                let config = SourceConfig {
                    format,
                    cluster: source.cluster.clone(),
                    transport: again::TRANSPORT.to_owned(),
                    transport_ref: source.transport_ref.clone(),
                    // What was not redacted when it came is not spared now.
                    redaction: Rules::default(),
                };
                self.groups.push(Group { config, records: Vec::new(), bytes: 0 });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[index];
        group.bytes += candidate.record.len();
        group.records.push((candidate, reason));
        if group.records.len() >= again::UNITS_MAX || group.bytes >= again::BYTES_MAX {
            self.close(index)?;
        }
        // All groups together hold no more than a few full ones would.
        let bytes: usize = self.groups.iter().map(|group| group.bytes).sum();
        if bytes > 4 * again::BYTES_MAX { self.close(0) } else { Ok(()) }
    }

    /// Stores the records of a group, in the order in which they were found.
    fn close(&mut self, index: usize) -> Result<(), Failure> {
        let Group { config, records, .. } = self.groups.remove(index);
        // They may have waited long, and another replay leaves files that nobody needs if it
        // archives them too.
        let records = self.not_replayed(records, |(candidate, reason)| (candidate.id, reason))?;
        let (candidates, reasons): (Vec<Candidate>, Vec<String>) = records.into_iter().unzip();
        let (mut rest, mut reasons) = (&candidates[..], &reasons[..]);
        while !rest.is_empty() {
            if self.interrupt.raised() {
                return Ok(());
            }
            let now_micros = host::doors::now_micros()?;
            let seed = host::doors::row_seed()?;
            let taken = match again::delivery(&config, rest, now_micros, seed)? {
                Some((delivery, count)) => {
                    self.store(delivery, &reasons[..count])?;
                    count
                }
                None => {
                    self.report.count(&reasons[0], Counts::still_not);
                    1
                }
            };
            (rest, reasons) = (&rest[taken..], &reasons[taken..]);
        }
        Ok(())
    }

    fn store(&mut self, delivery: Delivery, reasons: &[String]) -> Result<(), Failure> {
        let manifest = &delivery.manifest;
        let events: u64 = manifest.units.iter().map(|unit| unit.events).sum();
        let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
        match self.runtime.block_on(pipeline::store(delivery, &self.writer))? {
            Put::Created => {
                for reason in reasons {
                    self.report.count(reason, Counts::understood);
                }
                self.report.events += events;
                self.report.deliveries += 1;
                self.report.stored_bytes += bytes;
            }
            // Another replay archived the same records a moment ago.
            Put::AlreadyThere => {
                for reason in reasons {
                    self.report.count(reason, |counts| counts.already_replayed += 1);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
