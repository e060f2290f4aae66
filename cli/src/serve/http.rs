//! HTTP: connections, and what is at which path.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use common::UnitId;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ingest_fn::decompress::Compression;
use ingest_fn::http::request::{self, CODINGS};
use ingest_fn::http::{Accepted, BODY_BYTES_MAX, Body, Head, Media, Reason, Refusal, head, route};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::ask::Asker;
use super::batch::Item;
use super::desk::Desk;
use super::limits::{
    ACCEPT_PAUSE, BODY_TIME, CONNECTIONS_MAX, DRAIN_BYTES_MAX, END_TIME, HEAD_BYTES_MAX, HEAD_TIME,
    IN_HAND_BYTES_MAX, STORE_TIME, TURN_TIME,
};
use crate::interrupt::Interrupt;
use crate::output::complain;

/// Memory is counted in pieces of this size, in bytes.
const PIECE_BYTES: usize = 1024;

/// What all connections share.
pub(crate) struct Service {
    items: UnboundedSender<Item>,
    desk: Arc<Desk>,
    memory: Arc<Semaphore>,
    asker: Asker,
}

impl Service {
    /// One that hands bodies to `items`, and questions to `asker`.
    pub(crate) fn new(
        items: UnboundedSender<Item>,
        (desk, memory): (Arc<Desk>, Arc<Semaphore>),
        asker: Asker,
    ) -> Self {
        Self { items, desk, memory, asker }
    }

    /// Accepts connections until interrupted, then lets those that are at work end.
    pub(crate) async fn run(self, listener: TcpListener, mut interrupt: Interrupt) {
        let service = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let stream = tokio::select! {
                biased;
                () = interrupt.wait() => break,
                accepted = listener.accept() => accepted,
            };
            match stream {
                Ok((stream, _)) => {
                    let work = connection(Arc::clone(&service), stream, interrupt.clone());
                    connections.spawn(async move {
                        work.await;
                        drop(slot);
                    });
                }
                // The connection is gone, or too many files are open: others will end.
                Err(e) => {
                    complain(&format!("a connection could not be accepted: {e}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(END_TIME, all).await.is_err() {
            complain("some connections were still open at the end; they were not answered");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let media = request::media(request.headers()).unwrap_or(Media::Json);
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => return healthy(),
            (_, "/v1/query") => return self.asker.answer(request).await,
            (_, "/healthz") => return refused(&wrong_method("GET"), media),
            _ => {}
        }
        match self.take(request).await {
            Ok((media, accepted)) => response(StatusCode::OK, media, accepted.body(media)),
            Err(refusal) => refused(&refusal, media),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<(Media, Accepted), Refusal> {
        let route = route(request.method(), request.uri().path())?;
        let head = head(route, request.headers())?;
        let key = request::idempotency_key(request.headers())?.map(str::to_owned);
        let mut memory = self.memory(room(head)).await?;
        let received = timeout(BODY_TIME, receive(request.into_body(), head)).await;
        let bytes = received.map_err(|_| {
            let message = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            Refusal::new(Reason::Unavailable, message)
        })??;
        let body = spawn_blocking(move || {
            let export = request::export(head, bytes)?;
            let body = Body::new(head.media, export);
            let unit = body.unit(None, key.as_deref());
            Ok((body, unit))
        });
        let Ok(body) = body.await else {
            return Err(Refusal::new(Reason::Defect, "reading the body ended without an answer"));
        };
        let (body, unit) = body?;
        if body.records == 0 {
            return Ok((head.media, body.accepted_before()));
        }
        // What the body does not need goes back to the others.
        let kept = memory.split(pieces(body.bytes.len())).unwrap_or(memory);
        Ok((head.media, self.archive(body, unit, kept).await?))
    }

    async fn archive(
        &self,
        body: Body,
        unit: UnitId,
        memory: OwnedSemaphorePermit,
    ) -> Result<Accepted, Refusal> {
        let (answer, ticket) = self.desk.wait(unit);
        if let Some(ticket) = ticket {
            // If nobody takes it, the ticket is dropped, which is an answer.
            let _ =
                self.items.send(Item { body, ticket, arrived: Instant::now(), _memory: memory });
        }
        match timeout(STORE_TIME, answer).await {
            Ok(Ok(answer)) => answer,
            _ => {
                let message = format!(
                    "the archive did not answer within {} s; send it again, nothing is added twice",
                    STORE_TIME.as_secs()
                );
                Err(Refusal::new(Reason::Unavailable, message))
            }
        }
    }

    async fn memory(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let pieces = u32::try_from(pieces(bytes)).unwrap_or(u32::MAX);
        let turn = Arc::clone(&self.memory).acquire_many_owned(pieces);
        match timeout(TURN_TIME, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let message = "more requests are in hand than memory allows; send it again later";
                Err(Refusal::new(Reason::TooMany, message))
            }
        }
    }
}

/// The memory that all bodies in hand may take, in pieces.
pub(crate) fn memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(IN_HAND_BYTES_MAX / PIECE_BYTES))
}

/// Pieces that so many bytes take.
pub(crate) const fn pieces(bytes: usize) -> usize {
    bytes.div_ceil(PIECE_BYTES)
}

/// Most memory that a request of this head takes, in bytes.
fn room(head: Head) -> usize {
    let sent = head.length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
    if head.coding == Compression::None { sent } else { sent + BODY_BYTES_MAX }
}

/// Serves one connection until its sender ends it, or the server ends.
async fn connection(service: Arc<Service>, stream: TcpStream, mut interrupt: Interrupt) {
    // Answers are short and nothing follows them.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // An error is a sender that went away or spoke no HTTP: nobody is there to be told.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = interrupt.wait() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Reads a body. One that is too long is read on for a while, so that its sender sees the answer.
async fn receive(mut body: Incoming, head: Head) -> Result<Vec<u8>, Refusal> {
    if head.length.is_some_and(|length| length > DRAIN_BYTES_MAX) {
        return Err(request::too_large());
    }
    let mut bytes = Vec::with_capacity(head.length.unwrap_or(0).min(BODY_BYTES_MAX));
    let mut passed = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            let message = format!("expected the whole body, but the connection broke: {e}");
            Refusal::new(Reason::Malformed, message)
        })?;
        let Some(data) = frame.data_ref() else { continue };
        passed += data.len();
        if passed <= BODY_BYTES_MAX {
            bytes.extend_from_slice(data);
        } else {
            bytes = Vec::new();
            if passed > DRAIN_BYTES_MAX {
                break;
            }
        }
    }
    if passed > BODY_BYTES_MAX { Err(request::too_large()) } else { Ok(bytes) }
}

fn wrong_method(allowed: &str) -> Refusal {
    Refusal::new(Reason::Method, format!("expected the method {allowed}"))
}

fn healthy() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("ok\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn response(status: StatusCode, media: Media, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(media.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn refused(refusal: &Refusal, media: Media) -> Response<Full<Bytes>> {
    let mut response = response(refusal.status(), media, refusal.body(media));
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal.reason {
        Reason::Unsupported => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
        }
        Reason::Method => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        // What is left of the body will not be read.
        Reason::TooLarge => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}
