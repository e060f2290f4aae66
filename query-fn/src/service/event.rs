//! Where a request comes from: told by the event.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Failure;

/// Longest request: four times the longest SQL text, for its parameters and what JSON adds.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// A request as an HTTP server sees it.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// `POST`, if it is right.
    pub method: &'a str,
    /// `/v1/query`, or `/` where nothing else is served.
    pub path: &'a str,
    /// The header `content-type`.
    pub content_type: Option<&'a str>,
    /// The header `content-encoding`.
    pub content_encoding: Option<&'a str>,
    /// The body; of one longer than [`REQUEST_BYTES_MAX`] a byte more is enough.
    pub body: &'a [u8],
}

/// What an event holds.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The request itself.
    Direct(&'a [u8]),
    /// A request over HTTP.
    Http(OwnedRequest),
}

/// A request over HTTP, taken out of an event.
#[derive(Debug)]
pub(super) struct OwnedRequest {
    method: String,
    path: String,
    content_type: Option<String>,
    content_encoding: Option<String>,
    body: Vec<u8>,
}

/// Only what tells the kinds apart.
#[derive(Deserialize)]
struct Shape {
    #[serde(default, rename = "requestContext")]
    context: Option<IgnoredAny>,
}

/// Payload version 2.0 of API Gateway, which Function URLs have too; other members do not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gateway {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    raw_path: Option<String>,
    #[serde(default)]
    headers: Option<HashMap<String, String>>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    http: Option<Http>,
    #[serde(default)]
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl<'a> Event<'a> {
    /// Tells a request over HTTP from one as it is. An error is always one over HTTP: what is no
    /// such event is looked at as a request.
    pub(super) fn read(event: &'a [u8]) -> Result<Self, Failure> {
        let shape = serde_json::from_slice::<Shape>(event);
        if !shape.is_ok_and(|shape| shape.context.is_some()) {
            return Ok(Self::Direct(event));
        }
        let expected = "an event of a Function URL, or of an API Gateway with payload version 2.0";
        let gateway: Gateway = serde_json::from_slice(event)
            .map_err(|e| Failure::request(format!("expected {expected}, found {e}")))?;
        let Some(http) = gateway.request_context.http else {
            let version = gateway.version.unwrap_or_else(|| "none".to_owned());
            let message =
                format!("expected {expected}, found payload version {version}; set it to 2.0");
            return Err(Failure::request(message));
        };
        let header = |wanted: &str| {
            let mut headers = gateway.headers.iter().flatten();
            headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.clone())
        };
        let (content_type, content_encoding) = (header("content-type"), header("content-encoding"));
        let body = gateway.body.unwrap_or_default();
        let body = if gateway.is_base64_encoded { decoded(&body)? } else { body.into_bytes() };
        let path = gateway.raw_path.unwrap_or_default();
        let path = below_stage(&path, gateway.request_context.stage.as_deref()).to_owned();
        let method = http.method;
        Ok(Self::Http(OwnedRequest { method, path, content_type, content_encoding, body }))
    }
}

fn decoded(body: &str) -> Result<Vec<u8>, Failure> {
    // A third longer than what it holds.
    if body.len() / 4 * 3 > REQUEST_BYTES_MAX + 3 {
        return Err(too_large());
    }
    let wrong = |e| Failure::request(format!("the body is said to be base64, but is not: {e}"));
    STANDARD.decode(body).map_err(wrong)
}

fn too_large() -> Failure {
    Failure::too_large(format!(
        "the request is longer than {REQUEST_BYTES_MAX} bytes; give long lists as an IN list of \
         several queries"
    ))
}

/// API Gateway puts the name of a stage before the path, unless it is the default one.
fn below_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let below = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    below.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

impl OwnedRequest {
    pub(super) fn borrow(&self) -> HttpRequest<'_> {
        HttpRequest {
            method: &self.method,
            path: &self.path,
            content_type: self.content_type.as_deref(),
            content_encoding: self.content_encoding.as_deref(),
            body: &self.body,
        }
    }
}

impl HttpRequest<'_> {
    /// Whether it can be a query at all.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !matches!(self.path, "" | "/" | "/v1/query") {
            return Err(Failure::not_found("expected POST /v1/query; nothing else is here"));
        }
        if self.method != "POST" {
            let message = format!(
                "expected POST with the query as JSON, found {}",
                self.method.chars().take(20).collect::<String>()
            );
            return Err(Failure::method(message));
        }
        let media = self.content_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !media.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
            let found = media.unwrap_or("none").chars().take(100).collect::<String>();
            let message = format!("expected content-type application/json, found {found}");
            return Err(Failure::media_type(message));
        }
        let coding = self.content_encoding.map(str::trim).unwrap_or_default();
        if !matches!(coding, "" | "identity") {
            return Err(Failure::media_type("the body must not be compressed"));
        }
        if self.body.len() > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        Ok(())
    }
}
