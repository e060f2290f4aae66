//! A Runtime API of our own, on loopback: what AWS Lambda says to a function's process and hears
//! from it, byte by byte. For what others' stand-ins do not show: streamed answers and their
//! trailers, SIGTERM at a chosen moment, the time from exec to the first poll, limits.
//! Source: AWS, "Using the Lambda runtime API for custom runtimes".

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::zip::program;

/// Longest that anything may take; only a hang takes this long.
const LIMIT: Duration = Duration::from_secs(90);

/// How often it is looked whether the process has ended.
const POLL: Duration = Duration::from_millis(5);

/// Longest answer that Lambda takes from a function that does not stream: 6 MB and some.
const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024 + 100;

/// What a function says of an invocation, or of its own beginning.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The invocation; empty if it is about the beginning.
    pub request_id: String,
    /// Whether it is an error.
    pub is_error: bool,
    /// Headers, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// What follows the body of a streamed answer.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end as HTTP says it.
    pub is_whole: bool,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("no JSON ({e}): {}", String::from_utf8_lossy(&self.body));
        })
    }

    /// The `errorType` of an error.
    #[track_caller]
    pub fn error_type(&self) -> String {
        assert!(self.is_error, "this is no error: {self:?}");
        self.json()["errorType"].as_str().unwrap_or_default().to_owned()
    }

    /// A streamed HTTP answer: what precedes the body (status, headers), and the body.
    #[track_caller]
    pub fn streamed(&self) -> (Value, &[u8]) {
        assert_eq!(self.header("lambda-runtime-function-response-mode"), Some("streaming"));
        let end = self.body.windows(8).position(|window| window == [0; 8]);
        let end = end.expect("8 zero bytes end what precedes the body");
        let prelude = serde_json::from_slice(&self.body[..end]).expect("it is JSON");
        (prelude, &self.body[end + 8..])
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(String, Vec<u8>, Duration)>,
    answers: VecDeque<Answer>,
    /// Requests for the next invocation so far.
    polls: usize,
    first_poll: Option<Instant>,
    /// Invocations that were handed out.
    given: u64,
    is_ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut state);
        self.changed.notify_all();
        done
    }

    /// Waits until there is something; none if the time is over.
    fn wait<T>(
        &self,
        limit: Duration,
        mut is_there: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = is_there(&mut state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A function's process and the API that it talks to. Killed when it is dropped.
pub struct RuntimeApi {
    shared: Arc<Shared>,
    port: u16,
    child: Child,
    begun: Instant,
    folder: TempDir,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// How long it was waited for.
    pub took: Duration,
}

impl RuntimeApi {
    /// Starts a built program as a function with these variables, and no others but Lambda's own.
    #[track_caller]
    pub fn start(name: &str, environment: &[(&str, String)]) -> Self {
        Self::start_program(program(name).to_str().expect("a path in UTF-8"), environment)
    }

    /// Starts a program at a path.
    #[track_caller]
    pub fn start_program(path: &str, environment: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&served);
                if shared.change(|state| state.is_ended) {
                    return;
                }
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        let folder = TempDir::new().expect("a temporary folder can be made");
        let log = File::create(folder.path().join("log")).expect("a scratch file can be written");
        let log_too = log.try_clone().expect("a file handle can be doubled");
        let begun = Instant::now();
        let child = Command::new(path)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}"))
            .env("AWS_LAMBDA_FUNCTION_NAME", "tested")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/22/[$LATEST]1")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/tested")
            .env("AWS_REGION", "us-east-1")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .unwrap_or_else(|e| panic!("{path} can not be started: {e}"));
        Self { shared, port, child, begun, folder }
    }

    /// The time from exec to the first request for an invocation.
    #[track_caller]
    pub fn first_poll(&mut self) -> Duration {
        let until = Instant::now() + LIMIT;
        loop {
            let first = self.shared.wait(POLL, |state| state.first_poll);
            if let Some(first) = first {
                return first - self.begun;
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "it ended before it asked for work: {}", self.log());
            assert!(Instant::now() < until, "it never asked for work: {}", self.log());
        }
    }

    /// Gives it an event and so much time; returns the invocation's id.
    pub fn give(&self, event: &[u8], time: Duration) -> String {
        self.shared.change(|state| {
            state.given += 1;
            let id = format!("00000000-0000-4000-8000-{:012}", state.given);
            state.waiting.push_back((id.clone(), event.to_vec(), time));
            id
        })
    }

    /// Waits until all that was given was fetched.
    #[track_caller]
    pub fn wait_until_in_hand(&self) {
        let taken = self.shared.wait(LIMIT, |state| state.waiting.is_empty().then_some(()));
        assert!(taken.is_some(), "nobody took the event: {}", self.log());
    }

    /// Waits for what it says next.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        self.answer_within(LIMIT).unwrap_or_else(|| panic!("no answer came: {}", self.log()))
    }

    /// What it says next, if it says it in time.
    pub fn answer_within(&self, limit: Duration) -> Option<Answer> {
        self.shared.wait(limit, |state| state.answers.pop_front())
    }

    /// Gives it an event, with a minute of time, and waits for the answer.
    #[track_caller]
    pub fn call(&self, event: &[u8]) -> Answer {
        let id = self.give(event, Duration::from_secs(60));
        let answer = self.answer();
        assert_eq!(answer.request_id, id, "the answer is to another invocation");
        answer
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "could not send {name} to {id}");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> End {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let took = begun.elapsed();
                return End { code: status.code(), signal: status.signal(), took };
            }
            assert!(begun.elapsed() < LIMIT, "it does not end: {}", self.log());
            self.shared.wait(POLL, |_| None::<()>);
        }
    }

    /// What it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        self.shared.change(|state| state.is_ended = true);
        // Wakes the listener, which ends.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

/// One connection: requests one after the other until it is closed.
fn serve(stream: TcpStream, shared: &Shared) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some((method, path, answer)) = request(&mut input) {
        let is_fine = match (method.as_str(), path.as_str()) {
            ("GET", "/2018-06-01/runtime/invocation/next") => next(shared, &mut out),
            ("POST", path) => said(path, answer, shared, &mut out),
            _ => reply(&mut out, 404, "", b""),
        };
        if !is_fine {
            return;
        }
    }
}

fn next(shared: &Shared, out: &mut TcpStream) -> bool {
    shared.change(|state| {
        state.polls += 1;
        state.first_poll.get_or_insert_with(Instant::now);
    });
    // For as long as the process lives; a function may be frozen for hours.
    let taken = shared.wait(LIMIT * 10, |state| {
        if state.is_ended { Some(None) } else { state.waiting.pop_front().map(Some) }
    });
    // Whoever waits until the event is in hand is told.
    shared.changed.notify_all();
    let Some(Some((id, event, time))) = taken else { return false };
    #[expect(clippy::disallowed_methods, reason = "a deadline is told by the clock")]
    let now = SystemTime::now();
    let now = now.duration_since(UNIX_EPOCH).expect("it is after 1970");
    let head = format!(
        "lambda-runtime-aws-request-id: {id}\r\n\
         lambda-runtime-deadline-ms: {}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:tested\r\n\
         content-type: application/json\r\n",
        (now + time).as_millis()
    );
    reply(out, 200, &head, &event)
}

fn said(path: &str, mut answer: Answer, shared: &Shared, out: &mut TcpStream) -> bool {
    let rest = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    let (id, kind) = match parts[..] {
        ["init", "error"] => ("", "error"),
        ["invocation", id, kind @ ("response" | "error")] => (id, kind),
        _ => return reply(out, 404, "", b""),
    };
    id.clone_into(&mut answer.request_id);
    answer.is_error = kind == "error";
    let is_streamed = answer.header("lambda-runtime-function-response-mode") == Some("streaming");
    if answer.body.len() > ANSWER_BYTES_MAX && !is_streamed {
        // As AWS does: the answer is lost, and whoever called gets this error.
        let told = br#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#;
        let error = Answer { body: told.to_vec(), is_error: true, ..answer };
        shared.change(|state| state.answers.push_back(error));
        return reply(out, 413, "", br#"{"errorType":"RequestEntityTooLarge"}"#);
    }
    shared.change(|state| state.answers.push_back(answer));
    reply(out, 202, "", br#"{"status":"OK"}"#)
}

fn reply(out: &mut TcpStream, status: u16, head: &str, body: &[u8]) -> bool {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\n{head}content-length: {length}\r\n\r\n");
    out.write_all(head.as_bytes()).and_then(|()| out.write_all(body)).is_ok()
}

/// Reads a request: method, path, and the rest as an answer. None at the end of the connection.
fn request(input: &mut BufReader<TcpStream>) -> Option<(String, String, Answer)> {
    let first = line(input)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = fields(input)?;
    let of = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, v)| v.as_str());
    let length: Option<usize> = of("content-length").and_then(|length| length.parse().ok());
    let (mut body, mut trailers, mut is_whole) = (Vec::new(), Vec::new(), true);
    if let Some(length) = length {
        body.resize(length, 0);
        input.read_exact(&mut body).ok()?;
    } else if of("transfer-encoding").is_some_and(|how| how.contains("chunked")) {
        let chunks = chunked(input, &mut body);
        is_whole = chunks.is_some();
        trailers = chunks.unwrap_or_default();
    }
    let request_id = String::new();
    Some((method, path, Answer { request_id, is_error: false, headers, body, trailers, is_whole }))
}

/// Reads a body in chunks; returns its trailers. None if it breaks off.
fn chunked(input: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Option<Vec<(String, String)>> {
    loop {
        let size = line(input)?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return fields(input);
        }
        let begin = body.len();
        body.resize(begin + size, 0);
        input.read_exact(&mut body[begin..]).ok()?;
        line(input)?;
    }
}

fn fields(input: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(input)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(input: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|read| *read > 0)?;
    Some(line.trim_end().to_owned())
}
