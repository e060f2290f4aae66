//! Kafka: a record is a unit, named by cluster, topic, partition and offset.

use std::borrow::Cow;
use std::collections::BTreeMap;

use common::UnitId;
use serde::Deserialize;

use super::{Content, EnvelopeError, Item, encoded, of_millis, whole};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    event_source_arn: Option<Cow<'a, str>>,
    bootstrap_servers: Option<Cow<'a, str>>,
    /// By topic and partition.
    records: BTreeMap<Cow<'a, str>, Vec<Record<'a>>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i64,
    offset: i64,
    timestamp: Option<i64>,
    value: Option<Cow<'a, str>>,
}

pub(super) fn items(event: &str) -> Result<Vec<Item>, EnvelopeError> {
    let event: Event<'_> = whole(event)?;
    let cluster = event.event_source_arn.or(event.bootstrap_servers).unwrap_or_default();
    let records = event.records.into_values().flatten();
    let items = records.map(|record| {
        let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
        let id = UnitId::of_transport(&["kafka", &cluster, &record.topic, &partition, &offset]);
        Item {
            handle: format!("{}-{partition}:{offset}", record.topic),
            place: format!("{cluster}/{}", record.topic),
            arrived_micros: of_millis(record.timestamp),
            // A record without a value says that a key was deleted.
            content: record.value.map_or(Content::Nothing, |value| encoded(id, &value)),
        }
    });
    Ok(items.collect())
}
