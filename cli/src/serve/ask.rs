//! Questions over HTTP: a body in, an answer out, a few at a time.

use std::time::Duration;

use bytes::Bytes;
use host::doors;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use query_fn::service::{Call, HttpRequest, REQUEST_BYTES_MAX, Service};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::limits::{BODY_TIME, QUERIES_MAX, QUERY_TIME};

/// Answers questions.
pub(crate) struct Asker {
    service: Service,
    slots: Semaphore,
}

impl Asker {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, slots: Semaphore::new(QUERIES_MAX) }
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(_slot) = self.slots.acquire().await else { return unavailable() };
        let (head, body) = request.into_parts();
        // A byte more than is read says that there is too much.
        let body = Limited::new(body, REQUEST_BYTES_MAX + 1).collect();
        let body = match timeout(BODY_TIME, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => Bytes::from(vec![b' '; REQUEST_BYTES_MAX + 1]),
            Err(_) => return unavailable(),
        };
        let Ok(call) = call(QUERY_TIME) else { return unavailable() };
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
pub(crate) fn call(time_left: Duration) -> Result<Call, host::HostError> {
    Ok(Call { time_left, now_micros: doors::now_micros()?, id: doors::new_name()? })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn unavailable() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
