//! Notifications of S3: which object came, and which of its versions.
//! Sources: Amazon S3 user guide, "Event message structure" and "EventBridge event message
//! structure"; Amazon SNS, "Message format".

use std::borrow::Cow;

use common::UnitId;
use serde::Deserialize;

use super::{Content, EnvelopeError, Item, whole};

/// An object that came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Its bucket.
    pub bucket: String,
    /// Its key, as it is.
    pub key: String,
    /// Its version, if the bucket keeps them. Another object may have the key by now.
    pub version: Option<String>,
    /// Its entity tag, without quotes.
    pub e_tag: Option<String>,
}

impl ObjectRef {
    /// The id that the parts of the object follow: of its version, or of its bytes' tag.
    pub fn id(&self) -> UnitId {
        let Self { bucket, key, version, e_tag } = self;
        match (version, e_tag) {
            (Some(version), _) => UnitId::of_transport(&["s3 version", bucket, key, version]),
            (None, Some(tag)) => UnitId::of_transport(&["s3 tag", bucket, key, tag]),
            (None, None) => UnitId::of_transport(&["s3", bucket, key]),
        }
    }

    /// The URL, for messages and provenance.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// What a message is, as far as objects are concerned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It says which objects came.
    Objects(Vec<ObjectRef>),
    /// It is about objects, and none came: a test, a deletion.
    Nothing,
    /// It is SNS's envelope of a text that is about no objects.
    Message(String),
    /// It is about no objects.
    None,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<Record<'a>>>,
    /// Of a test event.
    #[serde(rename = "Event")]
    event: Option<Cow<'a, str>>,
    #[serde(rename = "Service")]
    service: Option<Cow<'a, str>>,
    // SNS
    #[serde(rename = "Type")]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "TopicArn")]
    topic: Option<Cow<'a, str>>,
    #[serde(rename = "Message")]
    message: Option<Cow<'a, str>>,
    // EventBridge
    source: Option<Cow<'a, str>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<Cow<'a, str>>,
    detail: Option<Detail<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_source: Option<Cow<'a, str>>,
    #[serde(default)]
    event_name: Cow<'a, str>,
    s3: Option<Entity<'a>>,
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    bucket: Bucket<'a>,
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(rename = "versionId", alias = "version-id")]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "eTag", alias = "etag")]
    e_tag: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    bucket: Option<Bucket<'a>>,
    object: Option<Object<'a>>,
}

/// How often a message may be in another.
const DEPTH_MAX: usize = 2;

/// What a message is. Whatever is not wholly a notification is none.
pub(super) fn of_message(body: &str) -> Notice {
    of_nested(body, DEPTH_MAX)
}

fn of_nested(body: &str, depth: usize) -> Notice {
    if !body.trim_start().starts_with('{') {
        return Notice::None;
    }
    let Ok(read) = serde_json::from_str::<Body<'_>>(body) else { return Notice::None };
    if let Some(records) = read.records {
        let all_s3 = records.iter().all(|r| r.event_source.as_deref() == Some("aws:s3"));
        if records.is_empty() || !all_s3 {
            return Notice::None;
        }
        return of_records(records);
    }
    if read.event.as_deref() == Some("s3:TestEvent") && read.service.is_some() {
        return Notice::Nothing;
    }
    if let (Some("Notification"), Some(_), Some(message)) =
        (read.kind.as_deref(), read.topic.as_deref(), read.message)
    {
        let inner = if depth > 0 { of_nested(&message, depth - 1) } else { Notice::None };
        return match inner {
            Notice::None => Notice::Message(message.into_owned()),
            inner => inner,
        };
    }
    if read.source.as_deref() == Some("aws.s3") && read.detail_type.is_some() {
        return of_bridge(read.detail_type.as_deref(), read.detail);
    }
    Notice::None
}

fn of_records(records: Vec<Record<'_>>) -> Notice {
    let mut objects = Vec::new();
    for record in records {
        let name = record.event_name.trim_start_matches("s3:");
        let Some(Entity { bucket, object }) = record.s3 else { return Notice::None };
        if name.starts_with("ObjectCreated") {
            // Keys come as in a form: `+` is a space, `%2B` a plus.
            let Some(key) = unescaped(&object.key) else { return Notice::None };
            objects.push(reference(&bucket, &object, key));
        }
    }
    if objects.is_empty() { Notice::Nothing } else { Notice::Objects(objects) }
}

fn of_bridge(kind: Option<&str>, detail: Option<Detail<'_>>) -> Notice {
    if kind != Some("Object Created") {
        return Notice::Nothing;
    }
    let Some(Detail { bucket: Some(bucket), object: Some(object) }) = detail else {
        return Notice::None;
    };
    // EventBridge does not escape keys.
    let key = object.key.clone().into_owned();
    Notice::Objects(vec![reference(&bucket, &object, key)])
}

fn reference(bucket: &Bucket<'_>, object: &Object<'_>, key: String) -> ObjectRef {
    let some = |text: &Option<Cow<'_, str>>| {
        text.as_deref().filter(|text| !text.is_empty() && *text != "null").map(str::to_owned)
    };
    ObjectRef {
        bucket: bucket.name.clone().into_owned(),
        key,
        version: some(&object.version),
        e_tag: some(&object.e_tag).map(|tag| tag.trim_matches('"').to_owned()),
    }
}

/// A key as it is, from a form's encoding; none if it is no encoding, or not of a text.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                let mut decoded = [0];
                hex::decode_to_slice(digits, &mut decoded).ok()?;
                bytes.extend_from_slice(&decoded);
                rest = behind;
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// An event that is itself a notification.
pub(super) fn items(event: &str) -> Result<Vec<Item>, EnvelopeError> {
    let content = match of_message(event) {
        Notice::Objects(objects) => Content::Objects(objects),
        Notice::Nothing => Content::Nothing,
        Notice::Message(_) | Notice::None => {
            let found = match whole::<Body<'_>>(event) {
                Ok(_) => "a notification without bucket and key, or of another service".to_owned(),
                Err(e) => e.to_string(),
            };
            return Err(EnvelopeError::Unknown { found });
        }
    };
    let (handle, place) = (String::new(), "s3".to_owned());
    Ok(vec![Item { handle, place, arrived_micros: None, content }])
}
