//! Records that were not understood: kept byte for byte, with reason and place.

use std::sync::Arc;

use archive::encode::QuarantineEncoder;
use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use bytes::Bytes;
use common::ids::{DeliveryId, UnitId};
use common::manifest::QuarantineEntry;
use common::schema::quarantine_schema;

use crate::error::IngestError;

/// Why a record is in quarantine. The texts are stable: they stand in archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not valid UTF-8.
    NotUtf8,
    /// Not one JSON object.
    InvalidJson,
    /// Nested deeper than the limit.
    TooDeep,
    /// More fields than the limit.
    TooManyFields,
    /// A piece of a record longer than the limit.
    RecordTooLong,
    /// Well-formed, but no format this version knows.
    UnknownFormat,
    /// No event time could be read.
    NoEventTime,
    /// The event time is out of the accepted range.
    EventTimeOutOfRange,
    /// The delivery touches more dates than the limit.
    TooManyDates,
    /// A piece of a line whose rest never came. It is not read: a cut line can be forged.
    IncompleteRecord,
    /// Not one protobuf message of the expected type.
    InvalidProtobuf,
    /// A unit whose compressed or enveloped bytes can not be opened.
    NotDecodable,
    /// A unit that is far longer once it is decompressed than a unit may be.
    DecodedTooLong,
}

impl Reason {
    /// The text stored in column `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::TooManyFields => "too_many_fields",
            Self::RecordTooLong => "record_too_long",
            Self::UnknownFormat => "unknown_format",
            Self::NoEventTime => "no_event_time",
            Self::EventTimeOutOfRange => "event_time_out_of_range",
            Self::TooManyDates => "too_many_dates",
            Self::IncompleteRecord => "incomplete_record",
            Self::InvalidProtobuf => "invalid_protobuf",
            Self::NotDecodable => "not_decodable",
            Self::DecodedTooLong => "decoded_too_long",
        }
    }
}

/// Why one record was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub reason: Reason,
    /// What was expected and found, for people; never the record itself.
    pub detail: String,
    /// The format it looks like.
    pub format_guess: Option<&'static str>,
}

impl Reject {
    /// A reject of no known format.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), format_guess: None }
    }
}

/// Where a reject lies, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectExample {
    /// Position of the unit in its delivery.
    pub unit_index: usize,
    /// Where the record begins in the unit's stream: the part's offset plus the place in it.
    pub offset_bytes: u64,
    /// Length of the record, without its newline.
    pub length_bytes: u64,
    /// The reason's text.
    pub reason: &'static str,
    /// What was expected and found.
    pub detail: String,
}

/// Most examples a delivery reports; the quarantine file has them all.
pub const EXAMPLES_MAX: usize = 20;

/// Bytes of rejected records gathered before they are encoded.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Rejected records gathered before they are encoded.
const BATCH_ROWS_MAX: usize = 16 * 1024;

/// Rejects of one delivery on their way to its quarantine file.
#[derive(Debug)]
pub struct Rejects {
    delivery: DeliveryId,
    transport_ref: Option<String>,
    ingest_time_micros: i64,
    encoder: Option<QuarantineEncoder>,
    batch: Batch,
    examples: Vec<RejectExample>,
}

/// The columns of a quarantine batch being filled; `delivery`, `transport_ref` and `ingest_time`
/// are the same in every row.
#[derive(Debug, Default)]
struct Batch {
    unit: StringBuilder,
    unit_index: Int32Builder,
    offset_bytes: Int64Builder,
    length_bytes: Int64Builder,
    reason: StringBuilder,
    detail: StringBuilder,
    format_guess: StringBuilder,
    record: BinaryBuilder,
    record_bytes: usize,
    rows: usize,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub struct RecordPlace {
    /// The unit.
    pub unit: UnitId,
    /// Position of the unit in its delivery.
    pub unit_index: usize,
    /// First byte of the record, counted from the begin of the unit's stream.
    pub offset_bytes: u64,
}

impl Rejects {
    /// No rejects yet.
    pub fn new(
        delivery: DeliveryId,
        transport_ref: Option<String>,
        ingest_time_micros: i64,
    ) -> Self {
        Self {
            delivery,
            transport_ref,
            ingest_time_micros,
            encoder: None,
            batch: Batch::default(),
            examples: Vec::new(),
        }
    }

    /// Keeps one record.
    ///
    /// # Errors
    /// If the quarantine file can not be encoded.
    pub fn push(
        &mut self,
        place: RecordPlace,
        record: &[u8],
        reject: &Reject,
    ) -> Result<(), IngestError> {
        let batch = &mut self.batch;
        batch.unit.append_value(place.unit.to_string());
        batch.unit_index.append_value(i32::try_from(place.unit_index).unwrap_or(i32::MAX));
        batch.offset_bytes.append_value(i64::try_from(place.offset_bytes).unwrap_or(i64::MAX));
        batch.length_bytes.append_value(i64::try_from(record.len()).unwrap_or(i64::MAX));
        batch.reason.append_value(reject.reason.as_str());
        batch.detail.append_value(&reject.detail);
        batch.format_guess.append_option(reject.format_guess);
        batch.record.append_value(record);
        batch.record_bytes += record.len();
        batch.rows += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(RejectExample {
                unit_index: place.unit_index,
                offset_bytes: place.offset_bytes,
                length_bytes: record.len() as u64,
                reason: reject.reason.as_str(),
                detail: reject.detail.clone(),
            });
        }
        if batch.record_bytes >= BATCH_BYTES_MAX || batch.rows >= BATCH_ROWS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Closes the quarantine file; `None` if nothing was rejected.
    ///
    /// # Errors
    /// If the file can not be encoded.
    pub fn finish(mut self) -> Result<(Option<StoredRejects>, Vec<RejectExample>), IngestError> {
        self.flush()?;
        let file = self.encoder.map(QuarantineEncoder::finish).transpose()?;
        Ok((file, self.examples))
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        if self.batch.rows == 0 {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        let rows = batch.rows;
        let repeated = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
        };
        let transport_ref: ArrayRef = match &self.transport_ref {
            Some(text) => repeated(text),
            None => Arc::new(StringArray::new_null(rows)),
        };
        let ingest_time = TimestampMicrosecondArray::from_value(self.ingest_time_micros, rows)
            .with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            repeated(&self.delivery.to_string()),
            Arc::new(batch.unit.finish()),
            Arc::new(batch.unit_index.finish()),
            Arc::new(batch.offset_bytes.finish()),
            Arc::new(batch.length_bytes.finish()),
            Arc::new(batch.reason.finish()),
            Arc::new(batch.detail.finish()),
            Arc::new(batch.format_guess.finish()),
            transport_ref,
            Arc::new(ingest_time),
            Arc::new(batch.record.finish()),
        ];
        let batch = RecordBatch::try_new(quarantine_schema(), columns)?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => self.encoder.insert(QuarantineEncoder::new()?),
        };
        encoder.write(&batch)?;
        Ok(())
    }
}

/// A quarantine file and its description.
pub type StoredRejects = (Bytes, QuarantineEntry);
