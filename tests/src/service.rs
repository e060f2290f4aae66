//! Programs of others that serve on loopback while a test runs.

use std::fs::{File, read_to_string};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::paths::venv;
use crate::seaweed::SECRET_KEY;
use crate::server::{free_port, send};

/// Longest start.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How often it is tried.
const POLL: Duration = Duration::from_millis(50);

/// A running program; ends with its holder, or with the test process.
pub(crate) struct Service {
    port: u16,
    guard: Child,
    // Closing this pipe makes the guard kill the program, even if this process is killed itself.
    lifeline: Option<ChildStdin>,
}

impl Service {
    pub(crate) fn start(folder: &Path, port: u16, command: &str, arguments: &[&str]) -> Self {
        let log = File::create(folder.join("log")).expect("a scratch file can be written");
        let log_too = log.try_clone().expect("a file handle can be doubled");
        let mut guard = Command::new("sh")
            .args(["-c", r#""$@" </dev/null & server=$!; cat >/dev/null; kill -9 $server"#, "sh"])
            .arg(venv().join("bin").join(command))
            .args(arguments)
            .envs([("BIND_HOST", "127.0.0.1"), ("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
            .env("GATEWAY_PORT", port.to_string())
            // What ministack's functions sign their requests to the bucket with.
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env_remove("WITNESS_SEED_HEX")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .expect("sh can be started");
        let lifeline = guard.stdin.take();
        let (_sender, nothing) = channel::<()>();
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = read_to_string(folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < READY_LIMIT, "{command} does not listen; its log:\n{log}");
            nothing.recv_timeout(POLL).ok();
        }
        Self { port, guard, lifeline }
    }
}

impl Service {
    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        self.guard.wait().ok();
    }
}

/// A stand-in for AWS KMS that makes real signatures: ministack.
pub struct Kms {
    service: Service,
    _folder: TempDir,
}

impl Kms {
    /// Starts one.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let service = Service::start(folder.path(), free_port(), "ministack", &[]);
        Self { service, _folder: folder }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// Makes a call as AWS's tools do, without a signature, which this server does not ask for.
    #[track_caller]
    pub fn call(&self, operation: &str, message: &serde_json::Value) -> serde_json::Value {
        let target = format!("TrentService.{operation}");
        let headers = [("x-amz-target", &*target), ("content-type", "application/x-amz-json-1.1")];
        let reply = send(self.port(), "POST /", &headers, message.to_string().as_bytes())
            .expect("it answers");
        assert_eq!(reply.status, 200, "{reply:?}");
        if reply.body.is_empty() { serde_json::Value::Null } else { reply.json() }
    }

    /// Makes a key and returns its ARN.
    #[track_caller]
    pub fn create_key(&self, spec: &str) -> String {
        let message = serde_json::json!({ "KeySpec": spec, "KeyUsage": "SIGN_VERIFY" });
        let made = self.call("CreateKey", &message);
        made["KeyMetadata"]["Arn"].as_str().expect("a key has an ARN").to_owned()
    }

    /// The public key in DER, base64, as the server gives it.
    #[track_caller]
    pub fn public_key(&self, key: &str) -> String {
        let given = self.call("GetPublicKey", &serde_json::json!({ "KeyId": key }));
        given["PublicKey"].as_str().expect("a public key").to_owned()
    }

    /// The environment in which KMS is reached at a port.
    pub fn environment(port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_KMS", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
        ]
    }
}

/// A C2SP witness that others wrote: aics-witness.
pub struct Witness {
    service: Service,
    /// Its public key.
    pub key: String,
    _folder: TempDir,
}

impl Witness {
    /// Starts one that knows these logs, each an origin and its public key.
    #[track_caller]
    pub fn start(name: &str, logs: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let run = |arguments: &[&str]| {
            let output = Command::new(venv().join("bin/aics-witness"))
                .args(arguments)
                .env_remove("WITNESS_SEED_HEX")
                .current_dir(folder.path())
                .output()
                .expect("aics-witness can be started");
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let key = run(&["init", "--name", name, "--listen", &listen]);
        for (origin, key) in logs {
            run(&["add-log", "--origin", origin, "--vkey", key]);
        }
        let service = Service::start(folder.path(), port, "aics-witness", &["serve"]);
        Self { service, key, _folder: folder }
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.service.port)
    }

    /// The line of a policy that names it.
    pub fn line(&self, name: &str) -> String {
        format!("witness {name} {} {}\n", self.key, self.url())
    }
}

/// A server that answers every request with the same bytes.
pub struct Nonsense {
    port: u16,
    answer: Arc<Mutex<(u16, Vec<u8>)>>,
}

impl Nonsense {
    /// Starts one; it ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let answer = Arc::new(Mutex::new((200, Vec::new())));
        let shared = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request);
                let (status, body) = shared.lock().expect("nobody panics with it").clone();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Odd\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
            }
        });
        Self { port, answer }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it answers from now on.
    pub fn answers(&self, status: u16, body: &[u8]) {
        *self.answer.lock().expect("nobody panics with it") = (status, body.to_vec());
    }
}
