//! A request, from its head and its bytes to what the archive is given. Pure.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::answer::{Media, Reason, Refusal};
use super::{BODY_BYTES_MAX, wire};
use crate::decompress::{self, Compression};

/// Content codings that are understood, for `Accept-Encoding`.
pub const CODINGS: &str = "gzip, zstd";

/// Where something can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/v1/logs`: OpenTelemetry logs.
    Logs,
    /// `/v1/audit`: the Kubernetes audit webhook.
    Audit,
    /// `/v1/records`: records of any format, one a line.
    Records,
}

impl Route {
    /// The route at a path.
    pub fn at(path: &str) -> Option<Self> {
        [Self::Logs, Self::Audit, Self::Records].into_iter().find(|route| route.path() == path)
    }

    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Audit => "/v1/audit",
            Self::Records => "/v1/records",
        }
    }
}

/// The route of a request.
///
/// # Errors
/// If nothing is there, or another method is meant.
pub fn route(method: &Method, path: &str) -> Result<Route, Refusal> {
    match Route::at(path) {
        Some(route) if method == Method::POST => Ok(route),
        Some(_) => Err(Refusal::new(Reason::Method, "expected the method POST")),
        None => {
            let message = "expected POST to /v1/logs, /v1/audit or /v1/records";
            Err(Refusal::new(Reason::NotFound, message))
        }
    }
}

/// The header that names a request, so that one which is sent again with other bytes is the same.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest idempotency key, in bytes; a UUID has 36.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// The request's idempotency key, if it has one.
///
/// # Errors
/// If it is no text, or far too long.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(key) = text(headers, IDEMPOTENCY_KEY) else { return Ok(None) };
    let is_key = !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX;
    if is_key && headers.get_all(IDEMPOTENCY_KEY).iter().count() == 1 {
        return Ok(Some(key));
    }
    let message =
        format!("expected one Idempotency-Key of 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters");
    Err(Refusal::new(Reason::Malformed, message))
}

/// What a request's head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the body is.
    pub media: Media,
    /// How it is compressed.
    pub coding: Compression,
    /// Bytes that will come, if the head says so.
    pub length: Option<usize>,
}

/// A body that is an export request.
#[derive(Debug, PartialEq, Eq)]
pub struct Export {
    /// Decompressed, as it was sent otherwise.
    pub bytes: Vec<u8>,
    /// Log records in it.
    pub records: u64,
}

/// The media type of OTLP that a request names; `None` if it names another.
pub fn media(headers: &HeaderMap) -> Option<Media> {
    let value = text(headers, CONTENT_TYPE)?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    [Media::Json, Media::Protobuf].into_iter().find(|media| media.content_type() == essence)
}

/// Reads the head of a request.
///
/// # Errors
/// If the media type or the coding is not known, or the body will be too long.
pub fn head(route: Route, headers: &HeaderMap) -> Result<Head, Refusal> {
    let unsupported = |expected: &str| {
        let found = text(headers, CONTENT_TYPE).unwrap_or("no Content-Type");
        Refusal::new(Reason::Unsupported, format!("expected {expected}, found {found:.100}"))
    };
    let media = match (route, media(headers)) {
        (Route::Logs, Some(media)) => media,
        (Route::Logs, None) => {
            return Err(unsupported("application/x-protobuf or application/json"));
        }
        (Route::Audit, Some(Media::Json)) => Media::Audit,
        (Route::Audit, _) => return Err(unsupported("application/json")),
        // Lines are told by their content, whatever they are called.
        (Route::Records, _) => Media::Lines,
    };
    let coding = text(headers, CONTENT_ENCODING).unwrap_or("identity").trim();
    let coding = match &*coding.to_ascii_lowercase() {
        "" | "identity" => Compression::None,
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => {
            let message =
                format!("expected Content-Encoding {CODINGS} or none, found {coding:.100}");
            return Err(Refusal::new(Reason::Unsupported, message));
        }
    };
    let length = text(headers, CONTENT_LENGTH).and_then(|length| length.trim().parse().ok());
    Ok(Head { media, coding, length })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(&name).iter();
    let value = values.next()?;
    // Two of one header contradict each other.
    if values.next().is_some() { Some("two values") } else { value.to_str().ok() }
}

/// What a body that is too long is told.
pub fn too_large() -> Refusal {
    Refusal::new(
        Reason::TooLarge,
        format!(
            "expected at most {BODY_BYTES_MAX} bytes, as sent and decompressed, found more; set \
             the sender to smaller batches"
        ),
    )
}

/// Decompresses a body and checks that it is an export request.
///
/// # Errors
/// If it is none, or too long.
pub fn export(head: Head, bytes: Vec<u8>) -> Result<Export, Refusal> {
    let bytes = decoded(head.coding, bytes)?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let records = match head.media {
        Media::Json => json_records(&bytes),
        Media::Protobuf => wire::count_records(&bytes),
        Media::Audit => audit_events(&bytes),
        Media::Lines => Ok(lines(&bytes)),
    };
    let records = records.map_err(|found| {
        let expected = match head.media {
            Media::Json => "expected an ExportLogsServiceRequest as JSON",
            Media::Protobuf => "expected an ExportLogsServiceRequest as protobuf",
            Media::Audit => "expected an EventList or an Event of audit.k8s.io as JSON",
            Media::Lines => "expected records, one a line",
        };
        Refusal::new(Reason::Malformed, format!("{expected}; {found}"))
    })?;
    Ok(Export { bytes, records })
}

fn decoded(coding: Compression, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    if coding == Compression::None {
        return Ok(bytes);
    }
    let name = if coding == Compression::Gzip { "gzip" } else { "zstd" };
    let wrong = |found: &str| {
        let message = format!("expected a body in {name}, as Content-Encoding says; {found}");
        Refusal::new(Reason::Malformed, message)
    };
    let (found, reader) = decompress::open(&bytes[..]).map_err(|e| wrong(&e.to_string()))?;
    if found != coding {
        return Err(wrong("found something else"));
    }
    let mut out = Vec::new();
    let limit = BODY_BYTES_MAX as u64 + 1;
    reader.take(limit).read_to_end(&mut out).map_err(|e| wrong(&e.to_string()))?;
    Ok(out)
}

/// Counts the log records of a request in JSON.
fn json_records(bytes: &[u8]) -> Result<u64, String> {
    of_object::<Request>(bytes).map(u64::from)
}

/// Counts the events of an audit webhook's request.
fn audit_events(bytes: &[u8]) -> Result<u64, String> {
    let list: EventList = of_object(bytes)?;
    match (list.kind.as_deref(), list.items) {
        (Some("EventList"), Some(items)) => Ok(items.0),
        (Some("EventList"), None) => Ok(0),
        (Some("Event"), None) => Ok(1),
        (kind, _) => Err(format!("found kind {:.100?}", kind.unwrap_or_default())),
    }
}

/// Lines that are not empty.
fn lines(bytes: &[u8]) -> u64 {
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    u64::try_from(lines.count()).unwrap_or(u64::MAX)
}

fn of_object<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if std::str::from_utf8(bytes).is_err() {
        return Err("found bytes that are no UTF-8".to_owned());
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("found no JSON object".to_owned());
    }
    serde_json::from_slice::<T>(bytes).map_err(|e| e.to_string())
}

#[derive(serde::Deserialize)]
struct EventList {
    kind: Option<String>,
    items: Option<Sum<LogRecord>>,
}

#[derive(serde::Deserialize)]
struct Request {
    #[serde(default, rename = "resourceLogs")]
    all: Sum<ResourceLogs>,
}

#[derive(serde::Deserialize)]
struct ResourceLogs {
    #[serde(default, rename = "scopeLogs")]
    all: Sum<ScopeLogs>,
}

#[derive(serde::Deserialize)]
struct ScopeLogs {
    #[serde(default, rename = "logRecords")]
    all: Sum<LogRecord>,
}

struct LogRecord;

impl From<Request> for u64 {
    fn from(request: Request) -> Self {
        request.all.0
    }
}

impl From<ResourceLogs> for u64 {
    fn from(resource: ResourceLogs) -> Self {
        resource.all.0
    }
}

impl From<ScopeLogs> for u64 {
    fn from(scope: ScopeLogs) -> Self {
        scope.all.0
    }
}

impl From<LogRecord> for u64 {
    fn from(_: LogRecord) -> Self {
        1
    }
}

impl<'de> Deserialize<'de> for LogRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// How many records the elements of a list hold. The list itself is not kept: its elements may be
/// as small as `{}`.
struct Sum<T>(u64, PhantomData<T>);

impl<T> Default for Sum<T> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<'de, T: Deserialize<'de> + Into<u64>> Deserialize<'de> for Sum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

impl<'de, T: Deserialize<'de> + Into<u64>> Visitor<'de> for Sum<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(element) = list.next_element::<T>()? {
            self.0 += element.into();
        }
        Ok(self)
    }
}

/// Makes one line of JSON, of the same length: between tokens a line end means no more than a
/// space, and within a text there is none.
pub fn one_line(mut json: Vec<u8>) -> Vec<u8> {
    for byte in json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    json
}

#[cfg(test)]
mod tests;
