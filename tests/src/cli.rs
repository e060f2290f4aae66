//! Runs programs, above all the built `meshledger`, with input, a time limit and captured output.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::paths::profile_dir;

/// Longest run unless a test says otherwise; only a hang takes this long.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// How often a condition is looked at while a program runs.
const POLL: Duration = Duration::from_millis(10);

/// The built command line.
pub fn meshledger() -> PathBuf {
    let path = profile_dir().join("meshledger");
    assert!(
        path.exists(),
        "{} is missing: the tests run the built command line, so build it first \
         (cargo build && cargo test)",
        path.display()
    );
    path
}

/// A program to run.
pub struct Program {
    command: Command,
    stdin: Vec<u8>,
    stdin_stays_open: bool,
    time_limit: Duration,
}

/// `meshledger` with these arguments.
pub fn ml<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Program {
    Program::new(meshledger()).args(arguments)
}

impl Program {
    /// A program without arguments. Of the environment it gets only what programs can not do
    /// without, so that a developer's own settings decide nothing.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        let kept: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| ["PATH", "HOME", "TMPDIR"].iter().any(|kept| name == kept))
            .collect();
        command.env_clear().envs(kept);
        // Keys and policies of archives whose test names no other place: never the developer's own.
        command.env("XDG_STATE_HOME", profile_dir().join("test-state"));
        Self { command, stdin: Vec::new(), stdin_stays_open: false, time_limit: TIME_LIMIT }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// Gives it standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Leaves standard input open after what it was given, until the program has ended: it waits
    /// for more that never comes.
    #[must_use]
    pub fn stdin_stays_open(mut self) -> Self {
        self.stdin_stays_open = true;
        self
    }

    /// Ends the test if it runs longer.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let mut child = self
            .command
            // A group of its own, so that all it started can be ended with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("could not start {shown}: {e}"));
        let (sender, closed) = channel();
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdin = feed(stdin, self.stdin, self.stdin_stays_open);
        let stdout = collect(child.stdout.take().expect("stdout is piped"), sender.clone());
        let stderr = collect(child.stderr.take().expect("stderr is piped"), sender);
        let deadline = Instant::now() + self.time_limit;
        Running { child, shown, _stdin: stdin, stdout, stderr, closed, deadline }
    }
}

/// The thread's result is the pipe, if it stays open: it is closed when the handle is dropped.
fn feed(mut stdin: ChildStdin, bytes: Vec<u8>, stays_open: bool) -> JoinHandle<Option<ChildStdin>> {
    std::thread::spawn(move || {
        // A program may end without reading its input: that is not this thread's concern.
        stdin.write_all(&bytes).ok();
        stays_open.then_some(stdin)
    })
}

fn collect(
    mut pipe: impl Read + Send + 'static,
    closed: std::sync::mpsc::Sender<()>,
) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).ok();
        closed.send(()).ok();
        bytes
    })
}

/// A program that was started.
pub struct Running {
    child: Child,
    shown: String,
    _stdin: JoinHandle<Option<ChildStdin>>,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    closed: Receiver<()>,
    deadline: Instant,
}

impl Running {
    /// Waits for a condition while the program runs. False if the program ended before.
    pub fn wait_for(&mut self, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return condition();
            }
            assert!(Instant::now() < self.deadline, "{} ran too long", self.shown);
            // Ends early if the program closes its output, which is when it ends.
            self.closed.recv_timeout(POLL).ok();
        }
    }

    /// Kills it without a warning, as a power cut would.
    pub fn kill(self) -> Output {
        self.kill_group();
        self.finish()
    }

    fn kill_group(&self) {
        // Fails if it has ended already, which is as good.
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status().ok();
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "could not send {name} to {id}");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        while !(self.stdout.is_finished() && self.stderr.is_finished()) {
            if Instant::now() >= self.deadline {
                self.kill_group();
                let stderr = text(&self.stderr.join().unwrap_or_default());
                panic!("{} ran too long; it had said:\n{stderr}", self.shown);
            }
            self.closed.recv_timeout(POLL).ok();
        }
        let status = self.child.wait().expect("a child can be waited for");
        Output {
            shown: self.shown,
            code: status.code(),
            stdout: self.stdout.join().expect("reading a pipe does not panic"),
            stderr: text(&self.stderr.join().expect("reading a pipe does not panic")),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program came to.
#[derive(Debug)]
pub struct Output {
    shown: String,
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        text(&self.stdout)
    }

    /// Everything, for a failure's message.
    pub fn report(&self) -> String {
        let stdout = self.text();
        let shown: String = stdout.chars().take(4000).collect();
        let (command, code, stderr) = (&self.shown, self.code, &self.stderr);
        format!("{command}\nexit code {code:?}\n-- stdout\n{shown}\n-- stderr\n{stderr}")
    }

    /// Demands an exit code, and that it did not panic.
    #[must_use = "the output is what to look at next"]
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(!self.stderr.contains("panicked at"), "it panicked: {}", self.report());
        assert_eq!(self.code, Some(code), "another exit code: {}", self.report());
        self
    }

    /// Demands that standard error mentions something.
    #[must_use = "the output is what to look at next"]
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        let found = self.stderr.to_lowercase().contains(&words.to_lowercase());
        assert!(found, "standard error does not say {words:?}: {}", self.report());
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("standard output is not JSON ({e}): {}", self.report()))
    }

    /// The codes of what `verify --json` found.
    #[track_caller]
    pub fn codes(&self) -> Vec<String> {
        let report = self.json();
        let findings = report["findings"].as_array().into_iter().flatten();
        findings.filter_map(|finding| finding["code"].as_str().map(str::to_owned)).collect()
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let line = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("{line:?} is not JSON ({e}): {}", self.report()))
        };
        self.text().lines().map(line).collect()
    }
}
