//! Firehose: a record is a unit. It is named by the Kinesis stream behind it where there is one;
//! else by its content, its time and which of its equals it is, since Firehose names a record anew
//! each time it asks.

use std::borrow::Cow;
use std::collections::HashMap;

use common::UnitId;
use serde::Deserialize;

use super::{EnvelopeError, Item, digest_name, encoded, of_millis, whole};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    delivery_stream_arn: Cow<'a, str>,
    source_kinesis_stream_arn: Option<Cow<'a, str>>,
    records: Vec<Record<'a>>,
}

/// A record, as it is answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
    /// What Firehose calls it, this time.
    #[serde(borrow)]
    pub(crate) record_id: Cow<'a, str>,
    /// Base64.
    #[serde(default)]
    pub(crate) data: Cow<'a, str>,
    approximate_arrival_timestamp: Option<i64>,
    kinesis_record_metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    shard_id: Cow<'a, str>,
    sequence_number: Cow<'a, str>,
    #[serde(default)]
    subsequence_number: u64,
}

/// The records of an event.
pub(crate) fn records(event: &str) -> Result<Vec<Record<'_>>, EnvelopeError> {
    Ok(whole::<Event<'_>>(event)?.records)
}

pub(super) fn items(event: &str) -> Result<Vec<Item>, EnvelopeError> {
    let event: Event<'_> = whole(event)?;
    // Equal records that came at one time, counted.
    let mut seen: HashMap<(String, Option<i64>), u64> = HashMap::new();
    let items = event.records.into_iter().map(|record| {
        let Record { record_id, data, approximate_arrival_timestamp: arrived, .. } = &record;
        let id = match &record.kinesis_record_metadata {
            Some(Metadata { shard_id, sequence_number, subsequence_number }) => {
                let stream = event.source_kinesis_stream_arn.as_deref().unwrap_or_default();
                let part = subsequence_number.to_string();
                UnitId::of_transport(&[
                    "firehose kinesis",
                    &event.delivery_stream_arn,
                    stream,
                    shard_id,
                    sequence_number,
                    &part,
                ])
            }
            None => {
                let name = digest_name(data.as_bytes());
                let earlier = seen.entry((name.clone(), *arrived)).or_default();
                let (nth, time) = (earlier.to_string(), arrived.unwrap_or_default().to_string());
                *earlier += 1;
                let stream = &event.delivery_stream_arn;
                UnitId::of_transport(&["firehose", stream, &name, &time, &nth])
            }
        };
        Item {
            handle: record_id.clone().into_owned(),
            place: event.delivery_stream_arn.clone().into_owned(),
            arrived_micros: of_millis(*arrived),
            content: encoded(id, data),
        }
    });
    Ok(items.collect())
}
