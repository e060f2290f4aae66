//! Kinesis: a record is a unit, named by its stream and its shard's number for it.

use std::borrow::Cow;

use common::UnitId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{EnvelopeError, Item, encoded, read};

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    kinesis: Data<'a>,
    #[serde(rename = "eventID")]
    event_id: Cow<'a, str>,
    #[serde(rename = "eventSourceARN")]
    stream: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    sequence_number: Cow<'a, str>,
    #[serde(default)]
    data: Cow<'a, str>,
    /// Seconds.
    approximate_arrival_timestamp: Option<f64>,
}

pub(super) fn items(records: &[&RawValue]) -> Result<Vec<Item>, EnvelopeError> {
    records.iter().enumerate().map(|(index, record)| item(index, record)).collect()
}

fn item(index: usize, record: &RawValue) -> Result<Item, EnvelopeError> {
    let expected = "kinesis.sequenceNumber, eventID and eventSourceARN";
    let Record { kinesis, event_id, stream } = read(record, index, expected)?;
    let id = UnitId::of_transport(&["kinesis", &stream, &event_id]);
    Ok(Item {
        handle: kinesis.sequence_number.into_owned(),
        arrived_micros: kinesis.approximate_arrival_timestamp.and_then(micros),
        content: encoded(id, &kinesis.data),
        place: stream.into_owned(),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "bounded before it is cast")]
fn micros(seconds: f64) -> Option<i64> {
    /// The year 5138.
    const SECONDS_MAX: f64 = 1e11;
    (0.0..SECONDS_MAX).contains(&seconds).then_some((seconds * 1e6) as i64)
}
