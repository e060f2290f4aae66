//! Webhook payloads, as hoop.dev delivers them through Svix. They have no time of their own.

use common::event::{Decision, DecisionSource, EventKind};

use super::session::Reviews;
use super::{finish, put_principal, put_session};
use crate::parse::consul::values::{self, Object, put};
use crate::parse::event::{Context, Event, Row};
use crate::parse::fields as f;
use crate::parse::json::Scanner;
use crate::parse::leftovers::Direct;
use crate::reject::Reject;

/// The types of a webhook.
pub(super) const TYPES: &[&[u8]] = &[
    b"session.open",
    b"session.close",
    b"microsoftteams.review.create",
    b"dbroles.job.finished",
    b"dbroles.custom.job.finished",
];

/// An exit code that says that the exit code is not known.
const EXIT_UNKNOWN: i64 = -100;

/// Keys of a payload.
pub(super) mod row {
    crate::parse::consul::values::keys! {
        CONNECTION = "connection",
        CONNECTION_TYPE = "connection_type",
        EVENT_TYPE = "event_type",
        EXIT_CODE = "exit_code",
        EXIT_ERR = "exit_err",
        ID = "id",
        INPUT = "input",
        REVIEW = "review",
        USER_EMAIL = "user_email",
        USER_ID = "user_id",
    }
}

/// Values that columns may hold exactly.
pub(super) const DIRECT: &[Direct] = &[
    (row::CONNECTION, f::DST_SERVICE),
    (row::CONNECTION_TYPE, f::NETWORK_PROTOCOL),
    (row::ID, f::SESSION_ID),
    (row::USER_EMAIL, f::USER_EMAIL),
    (row::USER_ID, f::USER_UID),
];

/// Reads webhook payloads.
#[derive(Debug)]
pub(super) struct Webhook {
    row: Scanner,
    review: Reviews,
    decoded: Vec<u8>,
}

impl Webhook {
    pub(super) fn new() -> Self {
        Self { row: Scanner::new(row::NAMES), review: Reviews::new(), decoded: Vec::new() }
    }

    pub(super) fn fill(
        &mut self,
        text: &[u8],
        context: &Context<'_>,
        event: &mut Event,
    ) -> Result<(), Reject> {
        let row = Object::scan(&mut self.row, text, context.seen())?;
        let (reviewed, review) = self.review.of(&row, row::REVIEW, context.seen())?;
        let received = (context.received_at_micros, "ingest");
        let (time_micros, source) = context.envelope.time.unwrap_or(received);
        event.int64(f::EVENT_TIME, time_micros);
        event.text(f::EVENT_TIME_SOURCE, source.as_bytes());
        match row.text(row::EVENT_TYPE).as_deref() {
            Some(b"session.open") => {
                put_session(event, 1);
                open(event, &row, &mut self.decoded);
                reviewed.put(event);
            }
            Some(b"session.close") => {
                put_session(event, 2);
                close(event, &row);
            }
            _ => {
                values::put_class(event, EventKind::Log, 0, 99);
                values::put_decision(event, Decision::Unknown, None);
            }
        }
        finish(event, &row, &[review], DIRECT, context);
        Ok(())
    }
}

fn open(event: &mut Event, row: &Object<'_, '_>, decoded: &mut Vec<u8>) {
    let email = row.text(row::USER_EMAIL);
    put_principal(event, email.as_deref(), false);
    put(event, f::USER_EMAIL, email.as_deref());
    put(event, f::USER_UID, row.text(row::USER_ID).as_deref());
    put(event, f::SESSION_ID, row.text(row::ID).as_deref());
    put(event, f::DST_SERVICE, row.text(row::CONNECTION).as_deref());
    let protocol = row.text(row::CONNECTION_TYPE).map(values::lower);
    put(event, f::NETWORK_PROTOCOL, protocol.as_deref());
    let input = row.text(row::INPUT);
    let is_text = input.is_some_and(|input| {
        decode_base64(&input, decoded).is_some() && std::str::from_utf8(decoded).is_ok()
    });
    put(event, f::STATEMENT, is_text.then_some(decoded.as_slice()));
}

fn close(event: &mut Event, row: &Object<'_, '_>) {
    put(event, f::SESSION_ID, row.text(row::ID).as_deref());
    match row.whole(row::EXIT_CODE) {
        None | Some(0 | EXIT_UNKNOWN) => values::put_decision(event, Decision::Unknown, None),
        Some(_) => {
            values::put_decision(event, Decision::Error, Some(DecisionSource::App));
            put(event, f::DECISION_REASON, row.text(row::EXIT_ERR).as_deref());
        }
    }
}

/// Decodes base64 in the standard alphabet (RFC 4648) into `decoded`; `None` if it is no such
/// text. Padding may be missing, but not partly.
fn decode_base64(text: &[u8], decoded: &mut Vec<u8>) -> Option<()> {
    decoded.clear();
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        _ => text,
    };
    if digits.len() % 4 == 1 {
        return None;
    }
    let (mut held, mut bits) = (0u32, 0u32);
    for &byte in digits {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(digit)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., byte] = (held >> bits).to_be_bytes();
            decoded.push(byte);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_by_the_vectors_of_its_rfc() {
        let mut decoded = Vec::new();
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ] {
            assert!(decode_base64(text.as_bytes(), &mut decoded).is_some(), "{text}");
            assert_eq!(decoded, expected.as_bytes(), "{text}");
        }
        for text in ["!!!", "Z", "Zg=", "Zg===", "=", "====", "Zm9v\n", "Zm=v", "Zm9_"] {
            assert!(decode_base64(text.as_bytes(), &mut decoded).is_none(), "{text}");
        }
    }
}
