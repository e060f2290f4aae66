//! Questions over HTTP: a body in, an answer out.

use std::time::Duration;

use bytes::Bytes;
use host::{HostError, doors};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use ingest_fn::http::auth::Doorkeeper;
use query_fn::service::{Call, HttpRequest, REQUEST_BYTES_MAX, Service};
use query_fn::trail::Trail;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::limits::{BODY_TIME, QUERY_TIME, QUESTIONS_READ_MAX, TURN_TIME};

/// Answers questions.
pub(crate) struct Asker {
    service: Service,
    door: Doorkeeper,
    /// Whose bodies are read.
    readers: Semaphore,
}

impl Asker {
    /// Answers whom the door lets in.
    pub(crate) fn new(service: Service, door: Doorkeeper) -> Self {
        Self { service, door, readers: Semaphore::new(QUESTIONS_READ_MAX) }
    }

    /// The same, which tells a trail of each query.
    pub(crate) fn trailed(self, trail: Option<Trail>) -> Self {
        Self { service: self.service.trailed(trail), ..self }
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let caller = match self.door.sender(None, &head.headers) {
            Ok(caller) => caller,
            Err(_) => return unauthenticated(),
        };
        let Ok(Ok(reading)) = timeout(TURN_TIME, self.readers.acquire()).await else {
            return unavailable();
        };
        // A byte more than is read says that there is too much.
        let body = Limited::new(body, REQUEST_BYTES_MAX + 1).collect();
        let body = match timeout(BODY_TIME, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => Bytes::from(vec![b' '; REQUEST_BYTES_MAX + 1]),
            Err(_) => return unavailable(),
        };
        drop(reading);
        let Ok(call) = call(QUERY_TIME, Some(caller)) else { return unavailable() };
        let request = HttpRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            content_type: text(&head.headers, &CONTENT_TYPE),
            content_encoding: text(&head.headers, &CONTENT_ENCODING),
            body: &body,
        };
        let answer = self.service.http(request, call).await;
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// What is known of a call: its time, and a name that nobody can guess.
///
/// # Errors
/// If the machine gives neither time nor randomness.
pub(crate) fn call(time_left: Duration, caller: Option<String>) -> Result<Call, HostError> {
    Ok(Call { time_left, now_micros: doors::now_micros()?, id: doors::new_name()?, caller })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn unauthenticated() -> Response<Full<Bytes>> {
    let text = "expected Authorization: Bearer with a secret that --callers has the digest of";
    let body = json!({"error": {"code": "UNAUTHENTICATED", "message": text}}).to_string();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn unavailable() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
