//! What a cloud hands to the function: an event, and in it what its senders sent, each with the
//! name its transport gives it. Pure.
//! Sources: the events of AWS Lambda's documentation and of the crate `aws_lambda_events`.
//!
//! An event is recognised by its own words. What can not be opened is still a unit, to be kept as
//! it came; only an event of no kind that is known is refused, since nobody could be answered.

mod firehose;
mod kafka;
mod kinesis;
mod logs;
mod notice;
mod sqs;

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use common::{Sha256Digest, UnitId};
use host::gateway::GatewayRequest;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

pub(crate) use firehose::records as firehose_records;
pub use notice::ObjectRef;

/// An event, opened.
#[derive(Debug)]
pub enum Envelope {
    /// Things that were sent, and how the answer is written.
    Batch(Batch),
    /// An HTTP request.
    Http(Box<GatewayRequest>),
}

/// What an event of several things brings.
#[derive(Debug)]
pub struct Batch {
    /// Who brings it.
    pub carrier: Carrier,
    /// In the order of the event.
    pub items: Vec<Item>,
}

/// Who brings an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A Kinesis stream.
    Kinesis,
    /// An SQS queue.
    Sqs,
    /// A Firehose stream that has its records transformed.
    Firehose,
    /// A subscription of CloudWatch Logs.
    CloudWatchLogs,
    /// Kafka, managed or not.
    Kafka,
    /// Notifications of S3, straight or from EventBridge.
    S3,
}

impl Carrier {
    /// Text of column `transport` for what it brings.
    pub const fn transport(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::Sqs => "sqs",
            Self::Firehose => "firehose",
            Self::CloudWatchLogs => "cloudwatch_logs",
            Self::Kafka => "kafka",
            Self::S3 => "s3",
        }
    }
}

/// One thing that was sent.
#[derive(Debug)]
pub struct Item {
    /// What the answer calls it.
    pub handle: String,
    /// Where it was sent: a stream's ARN, a log group.
    pub place: String,
    /// When its transport took it, microseconds since 1970 UTC, as far as it says so.
    pub arrived_micros: Option<i64>,
    /// What it is.
    pub content: Content,
}

/// What one thing is.
#[derive(Debug)]
pub enum Content {
    /// A unit, as it was carried: perhaps compressed, perhaps several records in one.
    Unit(UnitId, Vec<u8>),
    /// A unit that can not be opened, and why.
    Unreadable(UnitId, Vec<u8>, String),
    /// Objects that were put somewhere.
    Objects(Vec<ObjectRef>),
    /// Nothing to archive: a test of the transport, an object that was deleted.
    Nothing,
}

/// Which messages are notifications, and which are records themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Notifications are recognised by their words.
    Either,
    /// Records alone. Whoever writes log lines can not have an object read.
    Records,
}

/// Why an event can not be taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// No event of a known kind.
    #[error("event: expected {EXPECTED}, found {found}")]
    Unknown {
        /// What it is instead.
        found: String,
    },
    /// A record whose sender could not be answered.
    #[error("event: expected {expected} in record {index}, found {found}")]
    Record {
        /// Its place in the event.
        index: usize,
        /// What is missing.
        expected: &'static str,
        /// What the reader said.
        found: String,
    },
}

const EXPECTED: &str = "a batch of Kinesis, SQS, Firehose, CloudWatch Logs, Kafka or S3, or an \
                        HTTP request with payload version 2.0";

/// Members of an event that are looked at.
type Members<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// Opens an event.
///
/// # Errors
/// If it is none of a known kind, or has a record that no answer could name.
pub fn open(event: &str, carries: impl Fn(&str) -> Carries) -> Result<Envelope, EnvelopeError> {
    let unknown = |found: String| EnvelopeError::Unknown { found };
    let members: Members<'_> =
        serde_json::from_str(event).map_err(|e| unknown(format!("no JSON object: {e}")))?;
    let batch = |carrier, items| Envelope::Batch(Batch { carrier, items });
    if let Some(records) = members.get("Records") {
        let records: Vec<&RawValue> = read(records, 0, "a list of records")?;
        let source = records.first().map(|record| source_of(record)).unwrap_or_default();
        return match source.as_ref() {
            "aws:kinesis" => Ok(batch(Carrier::Kinesis, kinesis::items(&records)?)),
            "aws:sqs" => Ok(batch(Carrier::Sqs, sqs::items(&records, carries)?)),
            "aws:s3" => Ok(batch(Carrier::S3, notice::items(event)?)),
            other => Err(unknown(format!("records of {other:.100?}"))),
        };
    }
    if members.contains_key("deliveryStreamArn") {
        return Ok(batch(Carrier::Firehose, firehose::items(event)?));
    }
    if members.contains_key("awslogs") {
        return Ok(batch(Carrier::CloudWatchLogs, vec![logs::item(event)?]));
    }
    if matches!(source_of_event(&members).as_ref(), "aws:kafka" | "SelfManagedKafka") {
        return Ok(batch(Carrier::Kafka, kafka::items(event)?));
    }
    if members.contains_key("requestContext") {
        let request = GatewayRequest::read(event.as_bytes()).map_err(|e| unknown(e.to_string()))?;
        return Ok(Envelope::Http(Box::new(request)));
    }
    if members.contains_key("detail-type") {
        return Ok(batch(Carrier::S3, notice::items(event)?));
    }
    let mut names: Vec<&str> = members.keys().map(AsRef::as_ref).take(8).collect();
    names.sort_unstable();
    Err(unknown(format!("an object with {names:.200?}")))
}

fn source_of<'a>(record: &'a RawValue) -> Cow<'a, str> {
    #[derive(Deserialize)]
    struct Sourced<'a> {
        #[serde(borrow, alias = "eventSource", alias = "EventSource")]
        source: Option<Cow<'a, str>>,
    }
    serde_json::from_str::<Sourced<'a>>(record.get())
        .ok()
        .and_then(|sourced| sourced.source)
        .unwrap_or_default()
}

fn source_of_event<'a>(members: &Members<'a>) -> Cow<'a, str> {
    let text = members.get("eventSource").and_then(|text| serde_json::from_str(text.get()).ok());
    text.unwrap_or_default()
}

/// Reads a value of the event that an answer depends on.
fn read<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    index: usize,
    expected: &'static str,
) -> Result<T, EnvelopeError> {
    let found =
        |e: serde_json::Error| EnvelopeError::Record { index, expected, found: e.to_string() };
    serde_json::from_str(value.get()).map_err(found)
}

/// Reads the whole event as one of its kind.
fn whole<'a, T: Deserialize<'a>>(event: &'a str) -> Result<T, EnvelopeError> {
    serde_json::from_str(event).map_err(|e| EnvelopeError::Unknown { found: e.to_string() })
}

/// Base64 as events have it. Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A unit whose bytes are base64 in the event; one that is not is kept as the text it is.
fn encoded(id: UnitId, text: &str) -> Content {
    match BASE64.decode(text) {
        Ok(bytes) => Content::Unit(id, bytes),
        Err(e) => Content::Unreadable(id, text.as_bytes().to_vec(), format!("base64: {e}")),
    }
}

/// The digest of bytes as a name, where a transport has none.
fn digest_name(bytes: &[u8]) -> String {
    Sha256Digest::of(bytes).to_string()
}

/// Milliseconds as events have them, in microseconds.
fn of_millis(millis: Option<i64>) -> Option<i64> {
    millis.and_then(|millis| millis.checked_mul(1_000))
}

#[cfg(test)]
mod tests;
