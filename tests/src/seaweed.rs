//! A real S3 server, SeaweedFS, on loopback.
//!
//! What it needs to be told, each found the hard way: all its ports (it opens eight), telemetry
//! off, more volumes than its default of 8 (a bucket takes several; after that PUT answers 500).
//! That a port answers does not mean that it is ready: the first PUT that succeeds does. On
//! SIGTERM it lives on for minutes, so it is killed; its data is scratch.

use std::fs::{File, read_to_string, write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt, RetryConfig};
use serde_json::json;
use tempfile::TempDir;

use crate::ministack::ACCOUNT;
use crate::paths::venv;

/// The key id and the secret that the server knows.
const ACCESS_KEY: &str = "meshledger-test";
pub(crate) const SECRET_KEY: &str = "not-a-secret";
/// The key id of an identity that may do what the query function must, and no more.
const QUERY_KEY: &str = "meshledger-query";
/// Any region will do, as long as everybody signs for the same.
const REGION: &str = "us-east-1";
/// The bucket; the server makes it at the first PUT of its administrator.
const BUCKET: &str = "audit";
/// A start takes 4 s on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// A running server; ends when the last holder lets go of it, or the test process ends.
pub struct Seaweed {
    port: u16,
    guard: Child,
    // Closing this pipe makes the guard kill the server, even if this process is killed itself.
    lifeline: Option<ChildStdin>,
    folder: TempDir,
}

/// The server that the tests of this process share while any of them holds it.
static SHARED: Mutex<Weak<Seaweed>> = Mutex::new(Weak::new());

impl Seaweed {
    /// The shared server, started if need be.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&started);
        started
    }

    /// A server of one's own that also knows roles: each an access key, and the IAM policy that
    /// says all it may do.
    pub fn with_roles(roles: &[(&str, String)]) -> Self {
        Self::start(roles)
    }

    fn start(roles: &[(&str, String)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let config = folder.path().join("s3.json");
        write(&config, identities(roles)).expect("a scratch file can be written");
        let ports = free_ports();
        let log = File::create(folder.path().join("log")).expect("a scratch file can be written");
        let log_too = log.try_clone().expect("a file handle can be doubled");
        // The shell starts the server, waits for its own standard input to close, and kills it.
        let mut guard = Command::new("sh")
            .args(["-c", r#""$@" </dev/null & server=$!; cat >/dev/null; kill -9 $server"#, "sh"])
            .arg(venv().join("bin/weed"))
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"])
            .args(["-master.volumeSizeLimitMB=64", "-volume.max=200", "-volume.preStopSeconds=0"])
            .args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args(port_options(&ports))
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!("-dir={}", folder.path().display()))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .expect("sh can be started");
        let lifeline = guard.stdin.take();
        let server = Self { port: ports[0], guard, lifeline, folder };
        server.make_bucket(BUCKET);
        server
    }

    /// A bucket as somebody may use it who has this access key; a request is made once.
    pub fn bucket_as(&self, access_key: &str, name: &str) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", self.port))
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name(name)
            .with_access_key_id(access_key)
            .with_secret_access_key(SECRET_KEY)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .expect("the options are complete")
    }

    /// Makes a bucket by writing into it until that succeeds: only then does the server work.
    pub fn make_bucket(&self, name: &str) {
        let store = self.bucket_as(ACCESS_KEY, name);
        let attempts = async {
            let mut turn = tokio::time::interval(Duration::from_millis(100));
            loop {
                turn.tick().await;
                if store.put(&Path::from("ready"), "yes".into()).await.is_ok() {
                    return;
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let ready = runtime.block_on(async { tokio::time::timeout(READY_LIMIT, attempts).await });
        assert!(
            ready.is_ok(),
            "SeaweedFS took no PUT in {READY_LIMIT:?}; its log:\n{}",
            self.log()
        );
    }

    /// The end of the server's log.
    fn log(&self) -> String {
        let log = read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Port of the S3 protocol.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An archive URL that no other test has.
    pub fn archive_url(&self, test: &str) -> String {
        format!("s3://{BUCKET}/{test}")
    }

    /// The one test that the query function's role may ask in.
    pub const QUERY_ROLE_ARCHIVE: &str = "query-role";

    /// The environment of the query function: it reads one test's archive and writes results.
    pub fn query_role(port: u16) -> Vec<(&'static str, String)> {
        Self::environment_as(port, QUERY_KEY)
    }

    /// The environment of a function that reaches this server; its credentials are Lambda's.
    pub fn function_environment(port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// The environment of a role that the server was started with.
    pub fn environment_as(port: u16, access_key: &str) -> Vec<(&'static str, String)> {
        let mut environment = Self::environment(port);
        for (name, value) in &mut environment {
            if *name == "AWS_ACCESS_KEY_ID" {
                access_key.clone_into(value);
            }
        }
        environment
    }

    /// The environment in which the server is reached, directly or by a proxy's port.
    pub fn environment(port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // The guard kills the server and ends; waiting for it keeps the folder until then.
        drop(self.lifeline.take());
        self.guard.wait().ok();
    }
}

/// Who may do what: an administrator, under his own key and under that of the functions' usual
/// account; and the roles.
fn identities(roles: &[(&str, String)]) -> String {
    let credential = |key: &str| json!({ "accessKey": key, "secretKey": SECRET_KEY });
    let all = ["Admin", "Read", "Write", "List", "Tagging"];
    let keys = [credential(ACCESS_KEY), credential(ACCOUNT)];
    let mut identities = vec![json!({ "name": "test", "credentials": keys, "actions": all })];
    let archive = format!("{BUCKET}/{}", Seaweed::QUERY_ROLE_ARCHIVE);
    let query = [
        format!("Read:{archive}/*"),
        format!("Read:{archive}.work/*"),
        format!("List:{BUCKET}"),
        format!("Write:{archive}.work/results/*"),
    ];
    let asks = [credential(QUERY_KEY)];
    identities.push(json!({ "name": QUERY_KEY, "credentials": asks, "actions": query }));
    let mut policies = Vec::new();
    for (key, policy) in roles {
        let credentials = [credential(key)];
        identities.push(json!({ "name": key, "credentials": credentials, "policyNames": [key] }));
        policies.push(json!({ "name": key, "content": policy }));
    }
    json!({ "identities": identities, "policies": policies }).to_string()
}

/// Eight ports that were free a moment ago, chosen while all of them were held, so that they
/// differ.
fn free_ports() -> Vec<u16> {
    let held: Vec<TcpListener> = (0..8)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports"))
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    held.iter().map(port).collect()
}

fn port_options(ports: &[u16]) -> Vec<String> {
    let names = ["s3", "master", "volume", "filer"];
    let plain = names.iter().zip(ports).map(|(name, port)| format!("-{name}.port={port}"));
    let grpc =
        names.iter().zip(&ports[4..]).map(|(name, port)| format!("-{name}.port.grpc={port}"));
    plain.chain(grpc).collect()
}
