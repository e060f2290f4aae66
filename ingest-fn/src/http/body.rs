//! A body as a unit: its id, and its bytes as the pipeline takes them.

use common::{Sha256Digest, UnitId};

use super::answer::{Accepted, Media};
use super::request::{Export, one_line};
use crate::parse::SourceFormat;
use crate::pipeline::UnitOutcome;

/// A body as the pipeline takes it.
#[derive(Debug)]
pub struct Body {
    /// What it is.
    pub media: Media,
    /// Its bytes; JSON on one line, since a line is a record to the pipeline.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes as they came, decompressed.
    pub sha256: Sha256Digest,
    /// Length of the bytes as they came, decompressed.
    pub sent_bytes: u64,
    /// Records that its sender would count.
    pub records: u64,
}

impl Body {
    /// Takes a request over.
    pub fn new(media: Media, export: Export) -> Self {
        let Export { bytes, records } = export;
        let sha256 = Sha256Digest::of(&bytes);
        let sent_bytes = bytes.len() as u64;
        let bytes = match media {
            Media::Json | Media::Audit => one_line(bytes),
            Media::Protobuf | Media::Lines => bytes,
        };
        Self { media, bytes, sha256, sent_bytes, records }
    }

    /// The unit that it is. With an idempotency key, that key of that sender; else these bytes of
    /// that sender, so that a request which is sent again adds nothing. From nobody in particular
    /// it is the unit of a file with the same bytes.
    pub fn unit(&self, sender: Option<&str>, key: Option<&str>) -> UnitId {
        match (sender, key) {
            (sender, Some(key)) => {
                UnitId::of_transport(&["http key", sender.unwrap_or_default(), key])
            }
            (Some(sender), None) => {
                UnitId::of_transport(&["http", sender, &self.sha256.to_string()])
            }
            (None, None) => UnitId::of_part(UnitId::STREAM_START, self.sha256),
        }
    }

    /// What its sender is told. A log record may hold several lines, and a request may be rejected
    /// whole.
    pub fn accepted(&self, outcome: UnitOutcome) -> Accepted {
        let UnitOutcome { events, rejects } = outcome;
        match self.media {
            Media::Lines => Accepted { records: events + rejects, rejected: rejects },
            Media::Json | Media::Protobuf | Media::Audit => {
                let records = self.records;
                let rejected = if events == 0 { records } else { rejects.min(records) };
                Accepted { records, rejected }
            }
        }
    }

    /// What the sender of a body is told that is in the archive already: what was rejected of it
    /// was told when it came first.
    pub const fn accepted_before(&self) -> Accepted {
        Accepted { records: self.records, rejected: 0 }
    }
}

impl Media {
    /// How the records of such a body are read.
    pub const fn format(self) -> SourceFormat {
        match self {
            Self::Json => SourceFormat::OtlpLog,
            Self::Protobuf => SourceFormat::OtlpProtobuf,
            Self::Audit => SourceFormat::K8sAuditV1,
            Self::Lines => SourceFormat::Auto,
        }
    }

    /// Text of column `transport` for what comes in such a body.
    pub const fn transport(self) -> &'static str {
        match self {
            Self::Json | Self::Protobuf => "otlp_http",
            Self::Audit => "audit_webhook",
            Self::Lines => "http",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(media: Media, text: &[u8], records: u64) -> Body {
        Body::new(media, Export { bytes: text.to_vec(), records })
    }

    #[test]
    fn a_request_that_became_nothing_is_rejected_whole() {
        let outcome = |events, rejects| UnitOutcome { events, rejects };
        let rejected =
            |records, outcome| body(Media::Json, b"", records).accepted(outcome).rejected;
        assert_eq!(rejected(7, outcome(7, 0)), 0);
        assert_eq!(rejected(7, outcome(6, 1)), 1);
        assert_eq!(rejected(7, outcome(0, 1)), 7);
        assert_eq!(rejected(2, outcome(9, 5)), 2, "lines of a log record");
        let lines = body(Media::Lines, b"", 7).accepted(outcome(3, 1));
        assert_eq!(lines, Accepted { records: 4, rejected: 1 });
    }

    #[test]
    fn a_body_of_nobody_in_particular_is_the_unit_that_a_file_of_it_would_be() {
        let text = b"{\n\"resourceLogs\":[]}\n";
        let body = body(Media::Json, text, 0);
        let of_file = UnitId::of_part(UnitId::STREAM_START, Sha256Digest::of(text));
        assert_eq!(body.unit(None, None), of_file);
        assert_eq!(body.bytes, b"{ \"resourceLogs\":[]} ");
    }

    #[test]
    fn what_one_sender_sends_never_stands_in_anothers_way() {
        let body = body(Media::Lines, b"{}", 1);
        let all = [
            body.unit(None, None),
            body.unit(Some("a"), None),
            body.unit(Some("b"), None),
            body.unit(None, Some("k")),
            body.unit(Some("a"), Some("k")),
            body.unit(Some("b"), Some("k")),
            body.unit(Some("a"), Some("l")),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
