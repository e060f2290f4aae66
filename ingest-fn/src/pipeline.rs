//! One delivery, from bytes to files and a manifest. Everything but [`store`] is pure.

use std::collections::BTreeMap;

use archive::encode::{Constant, EncodedFile, SegmentEncoder};
use archive::seats::Writer;
use archive::store::Put;
use bytes::Bytes;
use common::date::EventDate;
use common::digest::Sha256Digest;
use common::ids::{DeliveryId, SegmentId, UnitId};
use common::limits::{
    DELIVERY_DATES_MAX, DELIVERY_UNITS_MAX, EVENT_TIME_MICROS_MIN, FUTURE_SKEW_MICROS_MAX,
    RECORD_BYTES_MAX,
};
use common::manifest::{Manifest, Provenance, QuarantineEntry, RowRange, Source, Unit};
use common::schema::SCHEMA_VERSION;

use crate::error::IngestError;
use crate::parse::envoy::EnvoyParser;
use crate::parse::{SourceFormat, fields};
use crate::reject::{Reason, RecordPlace, Reject, RejectExample, Rejects};
use crate::scan::Marks;

/// How one source is read.
#[derive(Debug, Clone, Default)]
pub struct SourceConfig {
    /// The format of its records.
    pub format: SourceFormat,
    /// The cluster it comes from, since no record says so.
    pub cluster: Option<String>,
    /// Text of column `transport`.
    pub transport: String,
    /// Text of column `transport_ref`.
    pub transport_ref: Option<String>,
}

/// One unit's bytes, as a delivery carries them.
#[derive(Debug, Clone, Copy)]
pub struct UnitBytes<'a> {
    /// The unit's original bytes, decompressed.
    pub bytes: &'a [u8],
    /// Their SHA-256.
    pub sha256: Sha256Digest,
    /// Where the unit begins in its stream.
    pub offset_bytes: u64,
    /// The unit begins inside a record that was too long for the unit before.
    pub continues_record: bool,
    /// The unit's last record goes on in the next unit.
    pub cut_record: bool,
}

/// What became of a unit's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnitOutcome {
    /// Records that became rows.
    pub events: u64,
    /// Records, or pieces of overlong records, in quarantine.
    pub rejects: u64,
}

/// A delivery ready to be stored.
#[derive(Debug)]
pub struct Delivery {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its event files, as the manifest names them.
    pub files: Vec<EncodedFile>,
    /// Its quarantine files, as the manifest names them.
    pub quarantine: Vec<(Bytes, QuarantineEntry)>,
    /// A few of its rejects, for reports.
    pub reject_examples: Vec<RejectExample>,
}

/// Memory that the row groups of a delivery may take, in bytes. One date takes far less.
const SEGMENTS_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Segments of a delivery that may take memory to save time.
const SEGMENTS_FEW: usize = 8;

/// Rows that wait in each of the others.
const WAITING_ROWS_OF_MANY: usize = 64;

/// Bytes of records after which memory is looked at.
const LOOK_BYTES: usize = 4 * 1024 * 1024;

/// A record longer than the limit is kept in pieces of this size.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Builds one delivery, unit by unit.
#[derive(Debug)]
pub struct DeliveryBuilder {
    config: SourceConfig,
    received_at_micros: i64,
    delivery: DeliveryId,
    unit_ids: Vec<UnitId>,
    units: Vec<Unit>,
    marks: Marks,
    parser: EnvoyParser,
    segments: BTreeMap<EventDate, Segment>,
    /// Bytes of records since memory was looked at.
    bytes_since_look: usize,
    rejects: Rejects,
}

/// The rows of one date.
#[derive(Debug)]
struct Segment {
    id: SegmentId,
    rows: SegmentEncoder,
    /// Rows before the unit in hand.
    rows_before_unit: u64,
}

impl DeliveryBuilder {
    /// Starts the delivery of exactly these units, which are then added in this order.
    ///
    /// # Errors
    /// If there are too many units.
    pub fn new(
        config: SourceConfig,
        units: Vec<UnitId>,
        received_at_micros: i64,
    ) -> Result<Self, IngestError> {
        if units.len() > DELIVERY_UNITS_MAX {
            return Err(IngestError::TooManyUnits { max: DELIVERY_UNITS_MAX });
        }
        let delivery = DeliveryId::of_units(&units);
        let rejects = Rejects::new(delivery, config.transport_ref.clone(), received_at_micros);
        Ok(Self {
            config,
            received_at_micros,
            delivery,
            unit_ids: units,
            units: Vec::new(),
            marks: Marks::new(),
            parser: EnvoyParser::new(),
            segments: BTreeMap::new(),
            bytes_since_look: 0,
            rejects,
        })
    }

    /// Parses the next unit.
    ///
    /// # Errors
    /// If rows can not be encoded, or more units come than were announced. Records that do not
    /// parse are no error.
    pub fn add_unit(&mut self, unit: UnitBytes<'_>) -> Result<UnitOutcome, IngestError> {
        let index = self.units.len();
        let Some(&id) = self.unit_ids.get(index) else {
            return Err(IngestError::TooManyUnits { max: self.unit_ids.len() });
        };
        for segment in self.segments.values_mut() {
            segment.rows_before_unit = segment.rows.rows();
        }
        let mut outcome = UnitOutcome::default();
        for (offset, record, whole) in Records::new(&unit) {
            let place = RecordPlace {
                unit: id,
                unit_index: index,
                offset_bytes: unit.offset_bytes + offset as u64,
            };
            if whole && record.len() <= RECORD_BYTES_MAX {
                match self.record(record)? {
                    Ok(()) => outcome.events += 1,
                    Err(reject) => {
                        let (offset, line) = whole_line(&unit, offset, record.len());
                        let offset_bytes = unit.offset_bytes + offset as u64;
                        let place = RecordPlace { offset_bytes, ..place };
                        self.rejects.push(place, line, &reject)?;
                        outcome.rejects += 1;
                    }
                }
            } else {
                outcome.rejects += self.overlong(place, record)?;
            }
        }
        self.units.push(Unit {
            id,
            sha256: unit.sha256,
            bytes: unit.bytes.len() as u64,
            events: outcome.events,
            rejects: outcome.rejects,
            rows: self.unit_rows(),
        });
        Ok(outcome)
    }

    fn unit_rows(&self) -> Vec<RowRange> {
        self.segments
            .values()
            .map(|segment| RowRange {
                segment: segment.id,
                first: segment.rows_before_unit,
                count: segment.rows.rows() - segment.rows_before_unit,
            })
            .filter(|range| range.count > 0)
            .collect()
    }

    /// One record to one row, or the reject it is.
    fn record(&mut self, record: &[u8]) -> Result<Result<(), Reject>, IngestError> {
        self.marks.look(record);
        if !self.marks.ascii && simdutf8::basic::from_utf8(record).is_err() {
            return Ok(Err(Reject::new(Reason::NotUtf8, "expected UTF-8, found other bytes")));
        }
        let forced = self.config.format == SourceFormat::EnvoyJson;
        let time = match self.parser.scan_marked(record, &self.marks, forced) {
            Ok(time) => time,
            Err(reject) => return Ok(Err(reject)),
        };
        let latest = self.received_at_micros.saturating_add(FUTURE_SKEW_MICROS_MAX);
        if time < EVENT_TIME_MICROS_MIN || time > latest {
            let range = "expected 2000-01-01 to a day after arrival";
            let detail = format!("{range}, found {} s since 1970", time / 1_000_000);
            return Ok(Err(Reject::new(Reason::EventTimeOutOfRange, detail)));
        }
        let date = EventDate::of_micros(time);
        if !self.segments.contains_key(&date) {
            if self.segments.len() >= DELIVERY_DATES_MAX {
                let detail = format!("expected at most {DELIVERY_DATES_MAX} dates a delivery");
                return Ok(Err(Reject::new(Reason::TooManyDates, detail)));
            }
            let id = SegmentId::of(self.delivery, date);
            let mut rows = SegmentEncoder::new(id, date)?;
            if self.segments.len() >= SEGMENTS_FEW {
                rows.look_up_every(WAITING_ROWS_OF_MANY);
            }
            set_constants(&mut rows, id, &self.config, self.received_at_micros);
            let segment = Segment { id, rows, rows_before_unit: 0 };
            self.segments.insert(date, segment);
        }
        let Some(segment) = self.segments.get_mut(&date) else { return Ok(Ok(())) };
        self.parser.fill(record, time, &mut segment.rows);
        self.bytes_since_look += record.len();
        let row = i64::try_from(segment.rows.rows()).unwrap_or(i64::MAX);
        segment.rows.int64(fields::SEGMENT_ROW, row);
        segment.rows.end_row()?;
        if self.bytes_since_look >= LOOK_BYTES {
            self.bytes_since_look = 0;
            self.bound_memory()?;
        }
        Ok(Ok(()))
    }

    /// Closes row groups, the largest first, while together they take too much memory: records of
    /// many dates fill many segments at once.
    fn bound_memory(&mut self) -> Result<(), IngestError> {
        let mut sizes: Vec<(usize, &mut Segment)> = self
            .segments
            .values_mut()
            .map(|segment| (segment.rows.memory_bytes(), segment))
            .collect();
        let mut all: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        if all <= SEGMENTS_BYTES_MAX {
            return Ok(());
        }
        sizes.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, segment) in sizes {
            if all <= SEGMENTS_BYTES_MAX / 2 {
                break;
            }
            segment.rows.close_group()?;
            all -= bytes;
        }
        Ok(())
    }

    /// Keeps a record that is too long, in pieces; returns how many.
    fn overlong(&mut self, place: RecordPlace, record: &[u8]) -> Result<u64, IngestError> {
        let mut pieces = 0;
        for piece in record.chunks(PIECE_BYTES) {
            let offset_bytes = place.offset_bytes + pieces * PIECE_BYTES as u64;
            let detail = format!(
                "expected at most {RECORD_BYTES_MAX} bytes a record; this is a piece of the \
                 record around byte {}",
                place.offset_bytes
            );
            let reject = Reject::new(Reason::RecordTooLong, detail);
            self.rejects.push(RecordPlace { offset_bytes, ..place }, piece, &reject)?;
            pieces += 1;
        }
        Ok(pieces)
    }

    /// Closes the files and writes the manifest. Units announced but not added are an error.
    ///
    /// # Errors
    /// If a file can not be encoded or the manifest contradicts itself, a defect.
    pub fn finish(mut self) -> Result<Delivery, IngestError> {
        let mut files = Vec::with_capacity(self.segments.len());
        for segment in std::mem::take(&mut self.segments).into_values() {
            files.push(segment.rows.finish()?);
        }
        let (quarantine, reject_examples) = self.rejects.finish()?;
        let quarantine: Vec<_> = quarantine.into_iter().collect();
        let manifest = Manifest {
            format: common::FORMAT,
            delivery: self.delivery,
            source: Source {
                transport: self.config.transport,
                transport_ref: self.config.transport_ref,
                cluster: self.config.cluster,
                format: self.config.format.as_str().to_owned(),
            },
            provenance: Provenance {
                writer: common::WRITER.to_owned(),
                received_at_micros: self.received_at_micros,
            },
            units: self.units,
            files: files.iter().map(|file| file.entry.clone()).collect(),
            quarantine: quarantine.iter().map(|(_, entry)| entry.clone()).collect(),
        };
        manifest.check().map_err(archive::error::ArchiveError::from)?;
        Ok(Delivery { manifest, files, quarantine, reject_examples })
    }
}

/// Sets what all rows of a segment share.
fn set_constants(
    rows: &mut SegmentEncoder,
    segment: SegmentId,
    config: &SourceConfig,
    received_at_micros: i64,
) {
    rows.constant(fields::SEGMENT, Constant::Text(segment.to_string()));
    rows.constant(fields::INGEST_TIME, Constant::Int64(received_at_micros));
    rows.constant(fields::TRANSPORT, Constant::Text(config.transport.clone()));
    rows.constant(fields::SCHEMA_VERSION, Constant::Int32(SCHEMA_VERSION));
    if let Some(cluster) = &config.cluster {
        rows.constant(fields::K8S_CLUSTER, Constant::Text(cluster.clone()));
    }
    if let Some(place) = &config.transport_ref {
        rows.constant(fields::TRANSPORT_REF, Constant::Text(place.clone()));
    }
}

/// UTF-8's byte order mark, which some tools put before text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// A record's line as it stood, with what parsers are spared: a byte order mark before it and a
/// carriage return behind it. Quarantine keeps every byte but the newline.
fn whole_line<'a>(unit: &UnitBytes<'a>, offset: usize, length: usize) -> (usize, &'a [u8]) {
    let marked = unit.offset_bytes == 0
        && offset == BYTE_ORDER_MARK.len()
        && unit.bytes.starts_with(BYTE_ORDER_MARK);
    let start = if marked { 0 } else { offset };
    let end = offset + length;
    let end = end + usize::from(unit.bytes.get(end) == Some(&b'\r'));
    (start, &unit.bytes[start..end])
}

/// The records of a unit: offset, bytes without the line end, and whether it is a whole record.
/// Empty lines are no records.
struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    first_is_rest: bool,
    last_is_cut: bool,
}

impl<'a> Records<'a> {
    fn new(unit: &UnitBytes<'a>) -> Self {
        // A byte order mark at the begin of a stream is no part of its first record.
        let has_mark = unit.offset_bytes == 0 && unit.bytes.starts_with(BYTE_ORDER_MARK);
        Self {
            bytes: unit.bytes,
            at: if has_mark { BYTE_ORDER_MARK.len() } else { 0 },
            first_is_rest: unit.continues_record,
            last_is_cut: unit.cut_record,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, &'a [u8], bool);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let rest = &self.bytes[start..];
            let newline = memchr::memchr(b'\n', rest);
            let end = newline.unwrap_or(rest.len());
            self.at = start + end + usize::from(newline.is_some());
            let is_rest = std::mem::take(&mut self.first_is_rest);
            let is_cut = newline.is_none() && self.last_is_cut;
            let mut record = &rest[..end];
            if !is_cut && record.last() == Some(&b'\r') {
                record = &record[..end - 1];
            }
            if is_rest || is_cut {
                if !record.is_empty() {
                    return Some((start, record, false));
                }
            } else if !record.iter().all(u8::is_ascii_whitespace) {
                return Some((start, record, true));
            }
        }
        None
    }
}

/// Stores a delivery: event files, quarantine files, then the manifest, which makes it count.
///
/// A process that stops before the manifest leaves files that no manifest names; one that stops
/// after it has delivered. "Already there" is success: the names contain the digests, and of two
/// manifests of one delivery the first wins.
///
/// # Errors
/// If the archive could not be written; the delivery is then not acknowledged.
pub async fn store(delivery: Delivery, writer: &Writer) -> Result<Put, IngestError> {
    for file in delivery.files {
        let _ = writer.put_file(&file.entry.path, file.bytes).await?;
    }
    for (bytes, entry) in delivery.quarantine {
        let _ = writer.put_file(&entry.path, bytes).await?;
    }
    Ok(writer.put_manifest(&delivery.manifest).await?)
}

#[cfg(test)]
mod tests;
