//! Answers and refusals as hosts give them away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::deliver::{Body, Done};
use super::failure::Failure;
use crate::error::Code;
use crate::estimate::Estimate;
use crate::explain::Pruning;
use crate::receipt::Receipt;
use crate::rows::ascii_json;
use crate::statement::Statement;

/// What a function gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To who invoked it directly: JSON, also of a query that has no answer.
    Payload(Bytes),
    /// To who asked over HTTP.
    Http(HttpAnswer),
    /// To who invoked it directly, and met a defect: an error of the function.
    Defect(String),
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
}

/// How an answer is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As the payload of an invocation.
    Direct,
    /// Over HTTP, inside of a JSON object.
    Buffered,
    /// Over HTTP, as it is.
    Streamed,
}

/// What a request came to.
#[derive(Debug)]
pub(super) enum Told {
    /// The rows.
    Answer(Box<Done>),
    /// What they would cost.
    Estimate(Box<Estimate>),
}

/// Longest receipt in a body.
pub(super) const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// Longest receipt in a header: API Gateway takes 10,240 bytes of headers.
const RECEIPT_HEADER_BYTES_MAX: usize = 6_000;

/// Bytes that are given away at once where an answer is streamed.
const CHUNK_BYTES: usize = 64 * 1024;

/// Whether an answer is short enough to be handed over.
pub(super) fn fits(done: &Done, way: Way, bytes_max: usize) -> bool {
    let bytes = match (way, &done.body) {
        (Way::Streamed, Body::Inline(body)) => body.len(),
        (Way::Direct, _) => payload(done).len(),
        (Way::Buffered | Way::Streamed, _) => {
            HttpAnswer::answered(done.clone()).into_gateway_payload().len()
        }
    };
    bytes <= bytes_max
}

impl Reply {
    /// The reply to a direct invocation.
    pub(super) fn of(answered: Result<Told, Failure>) -> Self {
        match answered {
            Ok(Told::Answer(done)) => Self::Payload(payload(&done)),
            Ok(Told::Estimate(estimate)) => Self::Payload(estimated(&estimate)),
            Err(failure) if failure.is_defect() => Self::Defect(failure.message),
            Err(failure) => Self::Payload(refusal(&failure)),
        }
    }
}

impl HttpAnswer {
    pub(super) fn of(answered: Result<Told, Failure>) -> Self {
        match answered {
            Ok(Told::Answer(done)) => Self::answered(*done),
            Ok(Told::Estimate(estimate)) => Self::json(200, estimated(&estimate)),
            Err(failure) => {
                let mut answer = Self::json(failure.status, refusal(&failure));
                if failure.status == 405 {
                    answer.headers.push(("allow", "POST".to_owned()));
                }
                answer
            }
        }
    }

    fn json(status: u16, body: Bytes) -> Self {
        Self { status, headers: headers("application/json"), body }
    }

    fn answered(done: Done) -> Self {
        let receipt = receipt_text(&done.receipt, RECEIPT_HEADER_BYTES_MAX);
        let (mut answer, delivery) = match done.body {
            Body::Inline(body) => {
                (Self { status: 200, headers: headers(done.format.media()), body }, "inline")
            }
            Body::Stored { .. } => (Self::json(200, payload(&done)), "url"),
        };
        answer.headers.push(("meshledger-delivery", delivery.to_owned()));
        answer.headers.push(("meshledger-receipt", receipt));
        answer
    }

    /// The answer as API Gateway and Function URLs want it unless they stream, in payload format
    /// 2.0.
    pub fn into_gateway_payload(self) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Gateway<'a> {
            status_code: u16,
            headers: Map<String, Value>,
            is_base64_encoded: bool,
            body: &'a str,
        }
        let headers = self.headers.into_iter();
        let headers =
            headers.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        let carried = Carried::of(&self.body);
        let (is_base64_encoded, body) = carried.parts();
        json_bytes(&Gateway { status_code: self.status, headers, is_base64_encoded, body })
    }

    /// The body in pieces, for a host that streams.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut rest = self.body.clone();
        std::iter::from_fn(move || {
            let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

fn headers(media: &str) -> Vec<(&'static str, String)> {
    [("content-type", media), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}

/// Bytes inside of JSON: as a text, or as base64, whichever is shorter.
enum Carried<'a> {
    Text(&'a str),
    Base64(String),
}

impl<'a> Carried<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if escaped_bytes(text) <= bytes.len().div_ceil(3) * 4 => Self::Text(text),
            _ => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// Whether it is base64, and what is carried.
    fn parts(&self) -> (bool, &str) {
        match self {
            Self::Text(text) => (false, text),
            Self::Base64(text) => (true, text),
        }
    }
}

/// Length of a text inside of a JSON string.
fn escaped_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        byte if byte < 0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// The payload of an answer to a direct invocation; over HTTP the body of one that is stored.
fn payload(done: &Done) -> Bytes {
    #[derive(Serialize)]
    struct Wrapped<'a> {
        format: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body_base64: Option<&'a str>,
        receipt: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        statement: Option<&'a Statement>,
    }
    let statement = done.statement.as_deref();
    let receipt = || receipt_value(&done.receipt, RECEIPT_BYTES_MAX);
    match &done.body {
        Body::Inline(body) if done.format.name() == "json" => body.clone(),
        Body::Inline(body) => {
            let carried = Carried::of(body);
            let (is_base64, carried) = carried.parts();
            json_bytes(&Wrapped {
                format: done.format.name(),
                body: (!is_base64).then_some(carried),
                body_base64: is_base64.then_some(carried),
                receipt: receipt(),
                statement,
            })
        }
        Body::Stored { stored, expires_at } => {
            let mut told = json!({
                "result": {
                    "url": stored.shared.url,
                    "expires_at": expires_at,
                    "bytes": stored.bytes,
                    "sha256": stored.sha256.to_string(),
                    "format": done.format.name(),
                },
                "receipt": receipt(),
            });
            if let Some(statement) = statement {
                told["statement"] = json!(statement);
            }
            json_bytes(&told)
        }
    }
}

fn estimated(estimate: &Estimate) -> Bytes {
    json_bytes(&json!({ "estimate": estimate }))
}

fn refusal(failure: &Failure) -> Bytes {
    let mut told = json!({"error": {"code": failure.code, "message": failure.message}});
    if let (Some(receipt), Value::Object(members)) = (&failure.receipt, &mut told) {
        members.insert("receipt".to_owned(), receipt_value(receipt, RECEIPT_BYTES_MAX));
    }
    ascii_json(&told.to_string()).into_bytes().into()
}

fn json_bytes(value: &impl Serialize) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes.into(),
        // Maps with names and texts can always be written.
        Err(error) => {
            let code = Code::Internal.as_str();
            json!({"error": {"code": code, "message": error.to_string()}}).to_string().into()
        }
    }
}

/// A receipt as one line of ASCII JSON of at most so many bytes: what is too much are lists of
/// files, if they were asked for, and names of objects in the inbox that are no manifests, which
/// anybody who may write there can add.
pub(super) fn receipt_text(receipt: &Receipt, bytes_max: usize) -> String {
    ascii_json(&receipt_value(receipt, bytes_max).to_string())
}

fn receipt_value(receipt: &Receipt, bytes_max: usize) -> Value {
    let mut shown = receipt.clone();
    loop {
        let left_out = receipt.unreadable_manifests.len() - shown.unreadable_manifests.len();
        let mut value = json!(shown);
        if let Value::Object(members) = &mut value {
            if left_out > 0 {
                members.insert("unreadable_manifests_left_out".to_owned(), json!(left_out));
            }
            if receipt.pruning.is_some() && shown.pruning.is_none() {
                members.insert("pruning_left_out".to_owned(), json!(true));
            }
        }
        let fits = ascii_json(&value.to_string()).len() <= bytes_max;
        if fits || !shorten(&mut shown) {
            return value;
        }
    }
}

/// Leaves something out. False if there is nothing left that may be.
fn shorten(shown: &mut Receipt) -> bool {
    if shown.pruning.as_mut().is_some_and(Pruning::halve) {
        return true;
    }
    // The conditions of many scans may be too long by themselves.
    if shown.pruning.take().is_some() {
        return true;
    }
    let half = shown.unreadable_manifests.len() / 2;
    let was_empty = shown.unreadable_manifests.is_empty();
    shown.unreadable_manifests.truncate(half);
    !was_empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_inside_of_json_is_exact() {
        let every: String = (0..0x250).filter_map(char::from_u32).collect();
        for text in ["", "plain", "a\"b\\c\nd\re\tf\u{8}\u{c}\u{1}\u{7f}é\u{2028}😀", &every] {
            let written = serde_json::to_string(text).unwrap();
            assert_eq!(escaped_bytes(text) + 2, written.len(), "{text:?}");
        }
    }

    #[test]
    fn bytes_are_carried_in_the_shorter_way() {
        assert_eq!(Carried::of(b"a,b\n").parts(), (false, "a,b\n"));
        assert_eq!(Carried::of(&[0xff, 0]).parts(), (true, "/wA="));
        let hostile = "\u{1}".repeat(99);
        assert!(Carried::of(hostile.as_bytes()).parts().0, "six bytes for one");
    }

    #[test]
    fn a_streamed_body_comes_in_pieces() {
        let body = Bytes::from(vec![7u8; CHUNK_BYTES * 2 + 5]);
        let answer = HttpAnswer { status: 200, headers: Vec::new(), body: body.clone() };
        let chunks: Vec<Bytes> = answer.chunks().collect();
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [65_536, 65_536, 5]);
        assert_eq!(chunks.concat(), body);
    }
}
