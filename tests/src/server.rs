//! `meshledger serve` at work, and a small HTTP client to talk to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::cli::{Output, Running};
use crate::laptop::Laptop;

/// Longest that an answer may take; only a hang takes this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// A running server; killed when it is dropped without being stopped.
pub struct Server {
    // In a lock only so that threads may share the server.
    running: Mutex<Option<Running>>,
    port: u16,
}

impl Server {
    /// Starts one on an archive, on a port that is free.
    #[track_caller]
    pub fn start(laptop: &Laptop, arguments: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut running =
            laptop.command("serve").args(["--listen", &listen]).args(arguments).start();
        let is_up = running.wait_for(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        if !is_up {
            panic!("the server ended: {}", running.finish().report());
        }
        Self { running: Mutex::new(Some(running)), port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .unwrap_or_else(|e| panic!("the server does not answer: {e}"));
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a time limit can be set");
        stream
    }

    /// Sends one request; fails if no answer comes.
    #[track_caller]
    pub fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        send(self.port, line, headers, body).expect("the server answers")
    }

    /// Sends an export request and demands that it is accepted.
    #[track_caller]
    pub fn export(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.send("POST /v1/logs", headers, body);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    /// Asks it to end, without waiting.
    pub fn terminate(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().expect("it is running").signal("TERM");
    }

    /// Asks it to end, waits, and demands that it ends well.
    #[track_caller]
    pub fn stop(self) -> Output {
        self.terminate();
        self.finish().expect(0)
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        self.take().expect("it is running").finish()
    }

    /// Kills it without a warning.
    pub fn kill(mut self) -> Output {
        self.take().expect("it is running").kill()
    }

    fn take(&mut self) -> Option<Running> {
        self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.take() {
            let _ = running.kill();
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

/// Sends one request to a port of this machine; `None` if no whole answer comes.
pub fn send(port: u16, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    let mut head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses may stop reading; its answer is what counts.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = answer[end + 4..].to_vec();
    let reply = Reply { status, head, body };
    let is_whole = reply
        .header("content-length")
        .is_none_or(|length| length.parse() == Ok(reply.body.len()) || line.starts_with("HEAD"));
    is_whole.then_some(reply)
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
}
