//! SQS: a message is a unit, named by its queue and its id, which is the same however often it
//! comes. Or it is a notification of objects, as S3 sends it, through SNS or EventBridge or not.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use common::UnitId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::notice::{self, Notice};
use super::{BASE64, Carries, Content, EnvelopeError, Item, of_millis, read};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(default)]
    body: Cow<'a, str>,
    #[serde(rename = "eventSourceARN")]
    queue: Cow<'a, str>,
    #[serde(default)]
    attributes: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

pub(super) fn items(
    records: &[&RawValue],
    carries: impl Fn(&str) -> Carries,
) -> Result<Vec<Item>, EnvelopeError> {
    let read = records.iter().enumerate().map(|(index, record)| {
        let message: Message<'_> = read(record, index, "messageId and eventSourceARN")?;
        let carries = carries(&message.queue);
        Ok(item(message, carries))
    });
    read.collect()
}

fn item(message: Message<'_>, carries: Carries) -> Item {
    let Message { message_id, body, queue, attributes } = message;
    let sent = attributes.get("SentTimestamp").and_then(|millis| millis.parse().ok());
    let id = UnitId::of_transport(&["sqs", &queue, &message_id]);
    let record = |text: &str| Content::Unit(id, packed(text));
    let content = match carries {
        Carries::Records => record(&body),
        Carries::Either => match notice::of_message(&body) {
            Notice::Objects(objects) => Content::Objects(objects),
            Notice::Nothing => Content::Nothing,
            Notice::Message(inner) => record(&inner),
            Notice::None => record(&body),
        },
    };
    Item {
        handle: message_id.into_owned(),
        place: queue.into_owned(),
        arrived_micros: of_millis(sent),
        content,
    }
}

/// A body's bytes. A queue carries text alone, so what is compressed comes as base64: of gzip or
/// zstd, which begin like no log line.
fn packed(text: &str) -> Vec<u8> {
    let is_packed = ["H4sI", "KLUv/"].iter().any(|begin| text.starts_with(begin));
    let packed = is_packed.then(|| BASE64.decode(text.trim_end()).ok()).flatten();
    packed.unwrap_or_else(|| text.as_bytes().to_vec())
}
