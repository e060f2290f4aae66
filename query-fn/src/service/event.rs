//! Where a request comes from: told by the event.

use host::gateway::GatewayRequest;
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
    Http(Box<GatewayRequest>),
}

/// Only what tells the kinds apart.
#[derive(Deserialize)]
struct Shape {
    #[serde(default, rename = "requestContext")]
    context: Option<IgnoredAny>,
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
        let request = GatewayRequest::read(event)
            .map_err(|e| Failure::request(format!("expected {expected}, found {e}")))?;
        Ok(Self::Http(Box::new(request)))
    }
}

fn too_large() -> Failure {
    Failure::too_large(format!(
        "the request is longer than {REQUEST_BYTES_MAX} bytes; give long lists as an IN list of \
         several queries"
    ))
}

impl<'a> HttpRequest<'a> {
    /// The part of a gateway's request that counts here.
    pub(super) fn of(request: &'a GatewayRequest) -> Result<Self, Failure> {
        let wrong = |e| Failure::request(format!("the body is said to be base64, but is not: {e}"));
        Ok(Self {
            method: &request.method,
            path: &request.path,
            content_type: request.header("content-type"),
            content_encoding: request.header("content-encoding"),
            body: request.body.as_deref().map_err(wrong)?,
        })
    }

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
