//! Quarantined records tried again by the present parsers: which of them become rows, and the
//! deliveries they make.
//!
//! Each record is a unit of its own, named after its place in the archive, so nothing here decides
//! what is there twice: `resolve` does, as for every other unit.

use bytes::Bytes;
use common::digest::Sha256Digest;
use common::ids::UnitId;
use common::row::RowSeed;

use crate::error::IngestError;
use crate::parse::SourceFormat;
use crate::pipeline::{Delivery, DeliveryBuilder, SourceConfig, UnitBytes, UnitOutcome};
use crate::reject::Reason;

/// Text of column `transport` for what was replayed.
pub const TRANSPORT: &str = "replay";

/// Most units in one delivery of replayed records.
pub const UNITS_MAX: usize = 1_000;

/// Bytes of records in one delivery after which it is closed; as much as one part has.
pub const BYTES_MAX: usize = common::limits::PART_BYTES_MAX;

/// Whether records of this reason are tried again. Pieces of records are not: what they are
/// pieces of is not there, and a cut line can be forged.
pub fn is_replayed(reason: &str) -> bool {
    reason != Reason::RecordTooLong.as_str() && reason != Reason::IncompleteRecord.as_str()
}

/// A quarantined record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The unit it is when it is replayed.
    pub id: UnitId,
    /// Where it began in its stream.
    pub offset_bytes: u64,
    /// Its bytes.
    pub record: Bytes,
}

impl Candidate {
    fn unit(&self) -> UnitBytes<'_> {
        UnitBytes {
            bytes: &self.record,
            sha256: Sha256Digest::of(&self.record),
            offset_bytes: self.offset_bytes,
            continues_record: false,
            cut_record: false,
        }
    }
}

/// How many rows each record becomes, read as `format` and redacted by the default rules; 0 if it,
/// or a part of it, is still not understood. Writes nothing.
///
/// # Errors
/// If rows can not be encoded, or there are more than [`UNITS_MAX`] records.
pub fn rows(
    format: SourceFormat,
    candidates: &[&Candidate],
    received_at_micros: i64,
) -> Result<Vec<u64>, IngestError> {
    if candidates.len() > UNITS_MAX {
        return Err(IngestError::TooManyUnits { max: UNITS_MAX });
    }
    let (mut together, mut refused) = (Trial::default(), Trial::default());
    let trial = |trial: &mut Trial, candidate: &Candidate| {
        trial.add(format, candidate, candidates.len(), received_at_micros)
    };
    let mut rows = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mut found = trial(&mut together, candidate)?;
        if found == 0 && together.has_rows {
            // Its neighbours may have taken all the dates that a delivery has.
            if refused.has_rows {
                refused = Trial::default();
            }
            found = trial(&mut refused, candidate)?;
        }
        rows.push(found);
    }
    Ok(rows)
}

/// For rows that are counted and thrown away.
const NO_SEED: RowSeed = RowSeed::new([0; 32]);

/// A delivery that is not stored.
#[derive(Default)]
struct Trial {
    builder: Option<DeliveryBuilder>,
    /// Whether it has rows, and so dates.
    has_rows: bool,
}

impl Trial {
    /// How many rows a record becomes here; `units` is how many records there are at most.
    fn add(
        &mut self,
        format: SourceFormat,
        candidate: &Candidate,
        units: usize,
        received_at_micros: i64,
    ) -> Result<u64, IngestError> {
        let builder = match &mut self.builder {
            Some(builder) => builder,
            None => {
                let config = SourceConfig { format, ..SourceConfig::default() };
                // Nobody sees these names.
                let ids = vec![candidate.id; units];
                self.builder.insert(DeliveryBuilder::new(config, ids, received_at_micros, NO_SEED)?)
            }
        };
        let outcome = builder.add_unit(candidate.unit())?;
        self.has_rows |= outcome.events > 0;
        Ok(if is_understood(outcome) { outcome.events } else { 0 })
    }
}

fn is_understood(outcome: UnitOutcome) -> bool {
    outcome.rejects == 0 && outcome.events > 0
}

/// A delivery of the first of these records, and how many they are: all, or as many as their
/// dates allow. None if the first one is not understood.
///
/// # Errors
/// As [`DeliveryBuilder`].
pub fn delivery(
    config: &SourceConfig,
    candidates: &[Candidate],
    received_at_micros: i64,
    seed: RowSeed,
) -> Result<Option<(Delivery, usize)>, IngestError> {
    let mut count = candidates.len();
    while count > 0 {
        let taken = &candidates[..count];
        let ids = taken.iter().map(|candidate| candidate.id).collect();
        let mut builder = DeliveryBuilder::new(config.clone(), ids, received_at_micros, seed)?;
        let mut fitting = 0;
        for candidate in taken {
            if !is_understood(builder.add_unit(candidate.unit())?) {
                break;
            }
            fitting += 1;
        }
        if fitting == count {
            return Ok(Some((builder.finish()?, count)));
        }
        // A delivery's id covers its units, so one unit fewer is another delivery.
        count = fitting;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_793_614_600_000_000;

    fn candidate(number: u64, record: &str) -> Candidate {
        let id = UnitId::of_replay(UnitId::STREAM_START, number, record.len() as u64, 0);
        Candidate { id, offset_bytes: number, record: Bytes::copy_from_slice(record.as_bytes()) }
    }

    fn envoy(time: &str) -> String {
        format!(
            "[{time}] \"GET /ok HTTP/1.1\" 200 - via_upstream - \"-\" 0 6 2 1 \"-\" \"curl/8\" \
             \"11111111-2222-4333-8444-555555555555\" \"reviews:9080\" \"127.0.0.1:18080\" app \
             127.0.0.1:47770 127.0.0.1:18001 203.0.113.9:0 - ok-route"
        )
    }

    fn config() -> SourceConfig {
        SourceConfig { transport: TRANSPORT.to_owned(), ..SourceConfig::default() }
    }

    #[test]
    fn what_is_understood_as_a_whole_has_rows_and_the_rest_has_none() {
        let good = envoy("2025-11-02T10:15:30.123Z");
        let records = [&good, "nonsense", "", "{\"hello\":1}", &format!("{good}\nnonsense"), &good]
            .map(str::to_owned);
        let candidates: Vec<Candidate> =
            (0..).zip(&records).map(|(number, record)| candidate(number, record)).collect();
        let all: Vec<&Candidate> = candidates.iter().collect();
        assert_eq!(rows(SourceFormat::Auto, &all, NOW).unwrap(), [1, 0, 0, 0, 0, 1]);
        assert_eq!(rows(SourceFormat::K8sAuditV1, &all, NOW).unwrap(), [0; 6]);
    }

    #[test]
    fn records_of_many_dates_become_as_many_deliveries_as_they_need() {
        let day = |day: u64| {
            envoy(&format!("2025-{:02}-{:02}T10:15:30.123Z", day / 28 + 1, day % 28 + 1))
        };
        let candidates: Vec<Candidate> = (0..70).map(|n| candidate(n, &day(n))).collect();
        let all: Vec<&Candidate> = candidates.iter().collect();
        assert_eq!(rows(SourceFormat::Auto, &all, NOW).unwrap(), [1; 70]);
        let (first, count) = delivery(&config(), &candidates, NOW, NO_SEED).unwrap().unwrap();
        assert_eq!((count, first.files.len(), first.quarantine.len()), (64, 64, 0));
        assert_eq!(first.manifest.source.transport, "replay");
        let (rest, count) = delivery(&config(), &candidates[64..], NOW, NO_SEED).unwrap().unwrap();
        assert_eq!((count, rest.files.len()), (6, 6));
        let unit = &rest.manifest.units[0];
        let record = &candidates[64].record;
        assert_eq!((unit.id, unit.bytes), (candidates[64].id, record.len() as u64));
        assert_eq!(unit.sha256, Sha256Digest::of(record));
        assert!(delivery(&config(), &[candidate(0, "nonsense")], NOW, NO_SEED).unwrap().is_none());
    }

    #[test]
    fn pieces_are_not_tried_again() {
        assert!(!is_replayed("record_too_long") && !is_replayed("incomplete_record"));
        assert!(is_replayed("unknown_format") && is_replayed("a reason of a later version"));
    }
}
