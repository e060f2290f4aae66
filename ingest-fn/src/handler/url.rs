//! A body that was sent to a URL: one unit, one delivery, one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use archive::Put;
use archive::Remedy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host::gateway::GatewayRequest;
use http::{Method, StatusCode};
use serde::Serialize;

use super::{Answer, Handler, Report};
use crate::deliver::Deadline;
use crate::error::IngestError;
use crate::http::{Accepted, Body, Media, Reason, Refusal, Route, head, request, route};
use crate::pipeline::SourceConfig;

/// What a URL's sender is answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    body: String,
    is_base64_encoded: bool,
}

impl Handler {
    /// Answers a request.
    pub(super) async fn request(&self, request: GatewayRequest, deadline: Deadline) -> Answer {
        if request.path == "/healthz" && request.method == "GET" {
            let body = b"ok\n".to_vec();
            let report = Report { transport: "http", ..Report::default() };
            return Answer { json: response(StatusCode::OK, "text/plain", body, None), report };
        }
        let media = request::media(&request.headers).unwrap_or(Media::Json);
        match self.body(request, deadline).await {
            Ok((accepted, media, report)) => {
                let body = accepted.body(media);
                let json = response(StatusCode::OK, media.content_type(), body, None);
                Answer { json, report }
            }
            Err(refusal) => {
                let after = refusal.retry_seconds();
                let body = refusal.body(media);
                let json = response(refusal.status(), media.content_type(), body, after);
                let trouble = Some(refusal.message);
                let report = Report {
                    transport: "http",
                    items: 1,
                    items_failed: 1,
                    trouble,
                    ..Report::default()
                };
                Answer { json, report }
            }
        }
    }

    async fn body(
        &self,
        request: GatewayRequest,
        deadline: Deadline,
    ) -> Result<(Accepted, Media, Report), Refusal> {
        let GatewayRequest { method, path, headers, body, caller } = request;
        // Nobody is told what is where before it is known who asks.
        let sender = self.door.sender(caller.as_deref(), &headers)?;
        let route = route(&method.parse().unwrap_or(Method::GET), &path)?;
        let head = head(route, &headers)?;
        let key = request::idempotency_key(&headers)?;
        let bytes = body.map_err(|e| {
            let message = format!("expected a body in base64, as the event says, found {e}");
            Refusal::new(Reason::Malformed, message)
        })?;
        let export = request::export(head, bytes)?;
        let body = Body::new(head.media, export);
        if body.records == 0 {
            let report =
                Report { transport: head.media.transport(), items: 1, ..Report::default() };
            return Ok((body.accepted_before(), head.media, report));
        }
        let unit = body.unit(Some(&sender), key);
        let config = self.source(route, head.media, &sender);
        let store =
            self.deliverer.deliver_one(config, unit, &body.bytes, (body.sha256, body.sent_bytes));
        let left = deadline.left().max(Duration::from_millis(1));
        let (outcome, put) = match tokio::time::timeout(left, store).await {
            Ok(stored) => stored.map_err(|e| refused(&e))?,
            Err(_) => {
                let message = "there was no time left to store it; send it again, nothing is \
                               added twice";
                return Err(Refusal::new(Reason::Unavailable, message));
            }
        };
        let repeated = put == Put::AlreadyThere;
        let report = Report::of_one(head.media.transport(), outcome, body.sent_bytes, repeated);
        Ok((body.accepted(outcome), head.media, report))
    }

    /// How a body is read: as its path says, unless the settings know better.
    fn source(&self, route: Route, media: Media, sender: &str) -> SourceConfig {
        let path = route.path();
        let source = self.deliverer.reading().sources.of(path);
        let format = if route == Route::Records { source.format } else { media.format() };
        SourceConfig {
            format,
            cluster: source.cluster,
            transport: media.transport().to_owned(),
            transport_ref: Some(sender.to_owned()),
            redaction: self.deliverer.reading().redaction.clone(),
        }
    }
}

fn refused(error: &IngestError) -> Refusal {
    let may_pass = match error {
        IngestError::Archive(error) => error.remedy() != Remedy::Reject,
        IngestError::Host(_) => true,
        _ => false,
    };
    if may_pass {
        let message = "the archive can not be written now, nothing was stored; send it again";
        Refusal::new(Reason::Unavailable, message)
    } else {
        let message = "this request can not be archived, a defect; the function's log says why";
        Refusal::new(Reason::Defect, message)
    }
}

fn response(
    status: StatusCode,
    content_type: &str,
    body: Vec<u8>,
    retry_seconds: Option<u64>,
) -> Vec<u8> {
    let mut headers = BTreeMap::from([("content-type", content_type.to_owned())]);
    if let Some(seconds) = retry_seconds {
        headers.insert("retry-after", seconds.to_string());
    }
    let is_binary = content_type == Media::Protobuf.content_type();
    let body = match String::from_utf8(body) {
        Ok(text) if !is_binary => (text, false),
        Ok(text) => (STANDARD.encode(text), true),
        Err(e) => (STANDARD.encode(e.as_bytes()), true),
    };
    let (body, is_base64_encoded) = body;
    let response = Response { status_code: status.as_u16(), headers, body, is_base64_encoded };
    serde_json::to_vec(&response).unwrap_or_default()
}
