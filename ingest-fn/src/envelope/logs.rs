//! A subscription of CloudWatch Logs: its payload is a unit, named by the ids of its events.

use std::borrow::Cow;

use common::UnitId;
use serde::Deserialize;

use super::{Content, EnvelopeError, Item, digest_name, encoded, of_millis, whole};
use crate::payload;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    awslogs: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    message_type: Cow<'a, str>,
    #[serde(default)]
    owner: Cow<'a, str>,
    #[serde(default)]
    log_group: Cow<'a, str>,
    #[serde(default)]
    log_stream: Cow<'a, str>,
    #[serde(default)]
    log_events: Vec<LogEvent<'a>>,
}

#[derive(Deserialize)]
struct LogEvent<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    timestamp: Option<i64>,
}

pub(super) fn item(event: &str) -> Result<Item, EnvelopeError> {
    let Event { awslogs: Data { data } } = whole(event)?;
    let unnamed = UnitId::of_transport(&["cloudwatch_logs", &digest_name(data.as_bytes())]);
    let item = |place: &str, arrived_micros, content| Item {
        handle: String::new(),
        place: place.to_owned(),
        arrived_micros,
        content,
    };
    let content = encoded(unnamed, &data);
    let Content::Unit(_, bytes) = content else { return Ok(item("", None, content)) };
    let decoded = payload::decode(bytes.as_slice());
    let named = decoded.as_ref().ok().and_then(|decoded| {
        let payload: Payload<'_> = serde_json::from_slice(decoded.bytes.as_ref()).ok()?;
        Some(payload)
    });
    let Some(payload) = named else { return Ok(item("", None, Content::Unit(unnamed, bytes))) };
    if payload.message_type == "CONTROL_MESSAGE" {
        return Ok(item(&payload.log_group, None, Content::Nothing));
    }
    let Payload { owner, log_group, log_stream, log_events, .. } = &payload;
    let mut name = vec!["cloudwatch_logs", owner.as_ref(), log_group, log_stream];
    name.extend(log_events.iter().map(|event| event.id.as_ref()));
    let has_ids = !log_events.is_empty() && log_events.iter().all(|event| !event.id.is_empty());
    let id = if has_ids { UnitId::of_transport(&name) } else { unnamed };
    let newest = log_events.iter().filter_map(|event| event.timestamp).max();
    let place = log_group.clone().into_owned();
    drop(payload);
    Ok(item(&place, of_millis(newest), Content::Unit(id, bytes)))
}
