//! The events: a seal or a verification by name, a schedule's, a queue's.

use archive::verify::Depth;
use serde::Deserialize;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Seal what waits.
    Seal,
    /// Verify.
    Verify(Depth),
}

/// What a schedule's event asks for that has no words of its own.
pub type Scheduled = Asks;

/// An event that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody asks, and is told.
    Asks(Asks),
    /// Messages of a queue, by their ids: something waits to be sealed.
    Messages(Vec<String>),
}

impl Event {
    /// What is asked for.
    pub(super) const fn asks(&self) -> Asks {
        match self {
            Self::Asks(asks) => *asks,
            Self::Messages(_) => Asks::Seal,
        }
    }
}

/// The parts of an event that say what it is; services add fields at any time.
#[derive(Debug, Deserialize)]
struct Raw {
    action: Option<String>,
    depth: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "eventSource")]
    event_source: Option<String>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
}

/// What is understood, for those who sent something else.
const EXPECTED: &str = "expected {\"action\":\"seal\"}, {\"action\":\"verify\",\"depth\":\"quick\"}, \
                        an event of a schedule, or messages of SQS";

/// Reads an event.
///
/// # Errors
/// A sentence that says what would be understood.
pub(super) fn read(event: &[u8], scheduled: Scheduled) -> Result<Event, String> {
    let raw: Raw = serde_json::from_slice(event).map_err(|e| format!("{EXPECTED}, found {e}"))?;
    if let Some(action) = &raw.action {
        return match (action.as_str(), raw.depth.as_deref()) {
            ("seal", None) => Ok(Event::Asks(Asks::Seal)),
            ("verify", None | Some("quick")) => Ok(Event::Asks(Asks::Verify(Depth::Quick))),
            ("verify", Some("full")) => Ok(Event::Asks(Asks::Verify(Depth::Full))),
            ("verify", Some("deep")) => Ok(Event::Asks(Asks::Verify(Depth::Deep))),
            (action, depth) => Err(format!(
                "{EXPECTED}, found the action {:?} with the depth {:?}",
                short(action),
                short(depth.unwrap_or("none"))
            )),
        };
    }
    if let Some(records) = raw.records {
        return messages(records);
    }
    match raw.detail_type.as_deref() {
        Some("Scheduled Event") => Ok(Event::Asks(scheduled)),
        // The bucket's own word that something was put into the inbox.
        Some("Object Created") => Ok(Event::Asks(Asks::Seal)),
        Some(other) => Err(format!("{EXPECTED}, found an event of type {:?}", short(other))),
        None => Err(format!("{EXPECTED}, found another object")),
    }
}

/// Enough of it to recognise it.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

fn messages(records: Vec<Record>) -> Result<Event, String> {
    let mut ids = Vec::with_capacity(records.len());
    for record in records {
        match (record.event_source.as_deref(), record.message_id) {
            (Some("aws:sqs"), Some(id)) => ids.push(id),
            (Some("aws:s3"), _) => return Ok(Event::Asks(Asks::Seal)),
            (source, _) => {
                let source = short(source.unwrap_or("nobody"));
                return Err(format!("{EXPECTED}, found a record of {source:?}"));
            }
        }
    }
    Ok(Event::Messages(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Event, String> {
        read(text.as_bytes(), Asks::Seal)
    }

    #[test]
    fn what_is_asked_for_is_told_apart() {
        let seal = Ok(Event::Asks(Asks::Seal));
        assert_eq!(of(r#"{"action":"seal"}"#), seal);
        let quick = Asks::Verify(Depth::Quick);
        assert_eq!(of(r#"{"action":"verify","depth":"quick"}"#), Ok(Event::Asks(quick)));
        assert_eq!(of(r#"{"action":"verify"}"#), Ok(Event::Asks(quick)));
        let scheduled = r#"{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",
            "time":"2026-11-08T16:53:06Z","region":"us-east-1",
            "resources":["arn:aws:events:us-east-1:123456789012:rule/seal"],"detail":{}}"#;
        assert_eq!(of(scheduled), seal);
        assert_eq!(read(scheduled.as_bytes(), quick), Ok(Event::Asks(quick)));
        let queued = r#"{"Records":[
            {"messageId":"m-1","receiptHandle":"r","body":"any","attributes":{},
             "messageAttributes":{},"eventSource":"aws:sqs","awsRegion":"us-east-1"},
            {"messageId":"m-2","body":"","eventSource":"aws:sqs"}]}"#;
        assert_eq!(of(queued), Ok(Event::Messages(vec!["m-1".to_owned(), "m-2".to_owned()])));
        assert_eq!(of(r#"{"Records":[{"eventSource":"aws:s3","s3":{}}]}"#), seal);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for wrong in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"action":"compact"}"#,
            r#"{"action":"verify","depth":"slow"}"#,
            r#"{"action":"seal","depth":"quick"}"#,
            r#"{"detail-type":"AWS API Call via CloudTrail"}"#,
            r#"{"Records":[{"eventSource":"aws:kinesis"}]}"#,
            r#"{"Records":[{"messageId":"m-1"}]}"#,
        ] {
            let error = of(wrong).unwrap_err();
            assert!(error.starts_with("expected {\"action\""), "{wrong}: {error}");
        }
    }
}
