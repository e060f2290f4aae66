//! A request, from its head and its bytes to what the archive is given. Pure.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use ingest_fn::decompress::{self, Compression};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::answer::{Media, Reason, Refusal};
use super::limits::BODY_BYTES_MAX;
use super::wire;

/// Content codings that are understood, for `Accept-Encoding`.
pub(crate) const CODINGS: &str = "gzip, zstd";

/// What a request's head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) media: Media,
    pub(crate) coding: Compression,
    /// Bytes that will come, if the head says so.
    pub(crate) length: Option<usize>,
}

/// A body that is an export request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// Decompressed, as it was sent otherwise.
    pub(crate) bytes: Vec<u8>,
    /// Log records in it.
    pub(crate) records: u64,
}

/// The media type a request names; `None` if it names another.
pub(crate) fn media(headers: &HeaderMap) -> Option<Media> {
    let value = text(headers, CONTENT_TYPE)?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    [Media::Json, Media::Protobuf].into_iter().find(|media| media.content_type() == essence)
}

/// Reads the head of a request to `/v1/logs`.
///
/// # Errors
/// If the media type or the coding is not known, or the body will be too long.
pub(crate) fn head(headers: &HeaderMap) -> Result<Head, Refusal> {
    let Some(media) = media(headers) else {
        let found = text(headers, CONTENT_TYPE).unwrap_or("no Content-Type");
        return Err(Refusal::new(
            Reason::Unsupported,
            format!("expected application/x-protobuf or application/json, found {found:.100}"),
        ));
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
pub(crate) fn too_large() -> Refusal {
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
pub(crate) fn export(head: Head, bytes: Vec<u8>) -> Result<Export, Refusal> {
    let bytes = decoded(head.coding, bytes)?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let records = match head.media {
        Media::Json => json_records(&bytes),
        Media::Protobuf => wire::count_records(&bytes),
    };
    let records = records.map_err(|found| {
        let expected = match head.media {
            Media::Json => "expected an ExportLogsServiceRequest as JSON",
            Media::Protobuf => "expected an ExportLogsServiceRequest as protobuf",
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
    if std::str::from_utf8(bytes).is_err() {
        return Err("found bytes that are no UTF-8".to_owned());
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("found no JSON object".to_owned());
    }
    serde_json::from_slice::<Request>(bytes).map(u64::from).map_err(|e| e.to_string())
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
pub(crate) fn one_line(mut json: Vec<u8>) -> Vec<u8> {
    for byte in json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    json
}

#[cfg(test)]
mod tests;
