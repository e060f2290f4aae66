//! What a sender is told, in OTLP/HTTP's words.
//! Sources: opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response"; Kubernetes,
//! `apiserver/pkg/util/webhook`, which repeats what has a `Retry-After`.
//!
//! A sender repeats a request after 429, 502, 503 and 504 alone; so these, and only these, say
//! that the same request may be accepted later.

use http::StatusCode;
use serde_json::json;

use super::RETRY_SECONDS;
use super::wire::Message;

/// What a body is, and so how its answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// An OTLP request, `application/json`.
    Json,
    /// An OTLP request, `application/x-protobuf`.
    Protobuf,
    /// What the Kubernetes API server sends to an audit webhook: a list of events, in JSON.
    Audit,
    /// Records, one a line.
    Lines,
}

impl Media {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Audit | Self::Lines => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// A request whose records are in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Log records in it.
    pub records: u64,
    /// Of these, the ones that became no event and are in quarantine.
    pub rejected: u64,
}

impl Accepted {
    /// The message `ExportLogsServiceResponse`, or how many records were understood.
    pub fn body(self, media: Media) -> Vec<u8> {
        let Self { records, rejected } = self;
        if matches!(media, Media::Audit | Media::Lines) {
            let accepted = records.saturating_sub(rejected);
            return json!({"accepted": accepted, "quarantined": rejected}).to_string().into_bytes();
        }
        if rejected == 0 {
            return match media {
                Media::Protobuf => Vec::new(),
                _ => b"{}".to_vec(),
            };
        }
        let message = format!(
            "{rejected} of {records} log records were not understood; they are kept in \
             mesh_quarantine, with the reason"
        );
        match media {
            Media::Json | Media::Audit | Media::Lines => {
                let partial =
                    json!({"rejectedLogRecords": rejected.to_string(), "errorMessage": message});
                json!({"partialSuccess": partial}).to_string().into_bytes()
            }
            Media::Protobuf => {
                let partial = Message::new().varint(1, rejected).text(2, &message);
                Message::new().message(1, &partial).into_bytes()
            }
        }
    }
}

/// Why nothing of a request was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is nothing at this path.
    NotFound,
    /// The path is right and the method is not.
    Method,
    /// The body is not what its head says.
    Malformed,
    /// The body is too long.
    TooLarge,
    /// A media type or coding that is not known.
    Unsupported,
    /// Nobody who may send.
    Unauthenticated,
    /// More is in hand than memory allows.
    TooMany,
    /// The archive can not be written now, or the sender is too slow.
    Unavailable,
    /// Our own fault, which the same request will meet again.
    Defect,
}

/// A request that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of it.
    pub reason: Reason,
    /// What was expected, found, and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal with a sentence that says what was expected, found, and what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self.reason {
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::Malformed => StatusCode::BAD_REQUEST,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
            Reason::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// When to come back, in seconds; `None` if the same request will never be accepted.
    pub fn retry_seconds(&self) -> Option<u64> {
        matches!(self.reason, Reason::TooMany | Reason::Unavailable).then_some(RETRY_SECONDS)
    }

    /// gRPC's number for it.
    const fn code(&self) -> u8 {
        match self.reason {
            Reason::NotFound => 5,
            Reason::Method | Reason::Unsupported => 12,
            Reason::Malformed | Reason::TooLarge => 3,
            Reason::Unauthenticated => 16,
            Reason::TooMany => 8,
            Reason::Unavailable => 14,
            Reason::Defect => 13,
        }
    }

    /// The message `google.rpc.Status`.
    pub fn body(&self, media: Media) -> Vec<u8> {
        match media {
            Media::Json | Media::Audit | Media::Lines => {
                json!({"code": self.code(), "message": self.message}).to_string().into_bytes()
            }
            Media::Protobuf => {
                Message::new().varint(1, self.code().into()).text(2, &self.message).into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_success_is_an_empty_message() {
        let all = Accepted { records: 7, rejected: 0 };
        assert_eq!(all.body(Media::Json), b"{}");
        assert_eq!(all.body(Media::Protobuf), b"");
    }

    #[test]
    fn partial_success_says_how_many_were_rejected() {
        let some = Accepted { records: 300, rejected: 299 };
        let json: serde_json::Value = serde_json::from_slice(&some.body(Media::Json)).unwrap();
        assert_eq!(json["partialSuccess"]["rejectedLogRecords"], "299");
        let text = json["partialSuccess"]["errorMessage"].as_str().unwrap();
        assert!(text.starts_with("299 of 300 log records"), "{text}");
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 120, "so that each length takes one byte, or two: {length}");
        // Field 1 of field 1 is 299, field 2 of it the text.
        let inner = [&[0x08, 0xab, 0x02, 0x12, length][..], text.as_bytes()].concat();
        let outer = [&[0x0a, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
        assert_eq!(some.body(Media::Protobuf), outer);
    }

    #[test]
    fn only_what_may_pass_is_to_be_sent_again() {
        let retried: Vec<u16> = [
            Reason::NotFound,
            Reason::Method,
            Reason::Malformed,
            Reason::TooLarge,
            Reason::Unsupported,
            Reason::Unauthenticated,
            Reason::TooMany,
            Reason::Unavailable,
            Reason::Defect,
        ]
        .into_iter()
        .map(|reason| Refusal::new(reason, ""))
        .filter(|refusal| refusal.retry_seconds().is_some())
        .map(|refusal| refusal.status().as_u16())
        .collect();
        assert_eq!(retried, [429, 503]);
    }

    #[test]
    fn a_refusal_is_a_status_message() {
        let refusal = Refusal::new(Reason::Malformed, "no");
        assert_eq!(refusal.body(Media::Json), br#"{"code":3,"message":"no"}"#);
        assert_eq!(refusal.body(Media::Protobuf), b"\x08\x03\x12\x02no");
    }
}
