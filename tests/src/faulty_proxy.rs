//! A proxy on loopback that answers as a troubled S3 does: now and then 500 or 503, or it closes
//! the connection before the request arrived, or after it did, so that only the reply is lost.
//!
//! It understands just enough HTTP/1.1: one request a connection, bodies with a length. Requests
//! pass unchanged, the header Connection aside, so signatures stay valid.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest exchange; only a server that hangs takes this long.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);

/// What the proxy did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came in.
    pub requests: u64,
    /// Answered 500, not forwarded.
    pub answered_500: u64,
    /// Answered 503, not forwarded.
    pub answered_503: u64,
    /// Closed, not forwarded.
    pub lost_requests: u64,
    /// Forwarded, then closed without the reply.
    pub lost_replies: u64,
}

impl Counts {
    /// Faults of all kinds.
    pub fn faults(&self) -> u64 {
        self.answered_500 + self.answered_503 + self.lost_requests + self.lost_replies
    }
}

#[derive(Default)]
struct State {
    on: AtomicBool,
    requests: AtomicU64,
    answered_500: AtomicU64,
    answered_503: AtomicU64,
    lost_requests: AtomicU64,
    lost_replies: AtomicU64,
    before_reply: Mutex<Option<Watched>>,
}

/// Part of a request's line, and what to do once such a request was answered.
type Watched = (String, Box<dyn FnOnce() + Send>);

impl State {
    fn act_before_reply(&self, request: &[u8]) {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut watched = self.before_reply.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, act)) = watched.take_if(|(text, _)| line.contains(text.as_str())) {
            act();
        }
    }
}

/// A running proxy; ends when dropped.
pub struct FaultyProxy {
    port: u16,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Forward,
    Answer500,
    Answer503,
    LoseRequest,
    LoseReply,
}

/// What becomes of the request of this number: one in `one_in` fails, each way alike often. The
/// same seed gives the same fates.
fn fate(seed: u64, number: u64, one_in: u64) -> Fate {
    // SplitMix64, by Sebastiano Vigna; public domain.
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    if !z.is_multiple_of(one_in) {
        return Fate::Forward;
    }
    match (z / one_in) % 4 {
        0 => Fate::Answer500,
        1 => Fate::Answer503,
        2 => Fate::LoseRequest,
        _ => Fate::LoseReply,
    }
}

impl FaultyProxy {
    /// Starts a proxy to a port of loopback in which one request in `one_in` fails.
    pub fn start(upstream: u16, seed: u64, one_in: u64) -> Self {
        assert!(one_in > 0, "one in none is no rate");
        eprintln!("faulty proxy: seed {seed}, one in {one_in}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State::default());
        state.on.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let exchange = exchange(client, upstream, &state, seed, one_in);
                    // A broken connection is what this proxy is about; the client tells.
                    tokio::time::timeout(EXCHANGE_LIMIT, exchange).await.ok();
                });
            }
        });
        Self { port, state, runtime: Some(runtime) }
    }

    /// The port to talk to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Switches the faults on or off.
    pub fn set_faulty(&self, on: bool) {
        self.state.on.store(on, Ordering::SeqCst);
    }

    /// Once a request is answered whose first line has this text, does this, once, before the
    /// reply is handed on.
    pub fn before_reply(&self, line: &str, act: impl FnOnce() + Send + 'static) {
        let watched: Watched = (line.to_owned(), Box::new(act));
        *self.state.before_reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            requests: read(&self.state.requests),
            answered_500: read(&self.state.answered_500),
            answered_503: read(&self.state.answered_503),
            lost_requests: read(&self.state.lost_requests),
            lost_replies: read(&self.state.lost_replies),
        }
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn exchange(
    mut client: TcpStream,
    upstream: u16,
    state: &State,
    seed: u64,
    one_in: u64,
) -> io::Result<()> {
    let Some(request) = read_request(&mut client).await? else { return Ok(()) };
    let number = state.requests.fetch_add(1, Ordering::SeqCst);
    let fate =
        if state.on.load(Ordering::SeqCst) { fate(seed, number, one_in) } else { Fate::Forward };
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::SeqCst);
    match fate {
        Fate::Answer500 => {
            count(&state.answered_500);
            answer(&mut client, "500 Internal Server Error", "InternalError").await
        }
        Fate::Answer503 => {
            count(&state.answered_503);
            answer(&mut client, "503 Slow Down", "SlowDown").await
        }
        Fate::LoseRequest => {
            count(&state.lost_requests);
            Ok(())
        }
        Fate::LoseReply => {
            // The whole reply is awaited, so the server surely did what was asked.
            forward(upstream, &request).await?;
            count(&state.lost_replies);
            Ok(())
        }
        Fate::Forward => {
            let reply = forward(upstream, &request).await?;
            state.act_before_reply(&request);
            client.write_all(&reply).await?;
            client.shutdown().await
        }
    }
}

/// One request, ready to be sent on with `Connection: close`; none if the client sent nothing.
async fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let head_length = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the request's head is too long"));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let body = bytes.split_off(head_length);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let (head, length) = rewrite_head(&head)?;
    let mut request = head.into_bytes();
    let missing = length.saturating_sub(body.len());
    request.extend_from_slice(&body);
    let mut rest = vec![0; missing];
    client.read_exact(&mut rest).await?;
    request.extend_from_slice(&rest);
    Ok(Some(request))
}

/// The head to send on, and the length of the body that follows it.
fn rewrite_head(head: &str) -> io::Result<(String, usize)> {
    let mut length = 0;
    let mut rewritten = String::new();
    for line in head.trim_end_matches("\r\n").split("\r\n") {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "connection" => continue,
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "transfer-encoding" => return Err(io::Error::other("a body without a length")),
            _ => {}
        }
        rewritten.push_str(line);
        rewritten.push_str("\r\n");
    }
    rewritten.push_str("Connection: close\r\n\r\n");
    Ok((rewritten, length))
}

async fn forward(upstream: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
    server.write_all(request).await?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await?;
    Ok(reply)
}

async fn answer(client: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>from the \
         faulty proxy</Message></Error>"
    );
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    client.write_all(reply.as_bytes()).await?;
    client.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_follow_the_seed_and_the_rate() {
        let fates = |seed| (0..10_000).map(|n| fate(seed, n, 10)).collect::<Vec<_>>();
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        for kind in [Fate::Answer500, Fate::Answer503, Fate::LoseRequest, Fate::LoseReply] {
            let times = fates(1).iter().filter(|fate| **fate == kind).count();
            assert!((150..350).contains(&times), "{kind:?} {times} times in 10,000");
        }
    }

    #[test]
    fn a_head_is_sent_on_with_another_connection_header() {
        let head =
            "PUT /a HTTP/1.1\r\nHost: b\r\nconnection: keep-alive\r\nContent-Length: 12\r\n\r\n";
        let expected =
            "PUT /a HTTP/1.1\r\nHost: b\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        assert_eq!(rewrite_head(head).unwrap(), (expected.to_owned(), 12));
    }
}
