//! AWS Lambda and its event sources on loopback: ministack, which runs a function's real program
//! against a Runtime API. The functions' bucket is elsewhere, on a server that checks signatures.
//!
//! What it does otherwise than AWS: no limit on memory or on the length of events and answers, no
//! sandbox, and it hands each function, as credentials, its account's number and one secret; the
//! S3 server of the tests knows them.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Reply, free_port, send};
use crate::service::Service;
use crate::zip::deployed;

/// The account that functions are in unless a test says otherwise, and so their access key.
pub const ACCOUNT: &str = "000000000000";

/// Longest wait for something that happens by itself, such as a queue's delivery.
const LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked for.
const POLL: Duration = Duration::from_millis(20);

/// A running ministack; ends when the last holder lets go of it, or the test process ends.
pub struct Ministack {
    service: Service,
    _folder: TempDir,
}

/// The one that the tests of this process share while any of them holds it.
static SHARED: Mutex<Weak<Ministack>> = Mutex::new(Weak::new());

/// A function as it shall be.
#[derive(Debug, Clone)]
pub struct Deploy<'a> {
    /// Its name; no other test may have it.
    pub name: &'a str,
    /// The built program, such as `meshledger-maintain-fn`.
    pub program: &'a str,
    /// Variables.
    pub environment: Vec<(&'a str, String)>,
    /// Seconds that a call may take.
    pub timeout: u32,
    /// The account it is in, which is its access key.
    pub account: &'a str,
}

impl<'a> Deploy<'a> {
    /// A function of a program, with 30 s of time, in the usual account.
    pub fn new(name: &'a str, program: &'a str, environment: &[(&'a str, String)]) -> Self {
        Self { name, program, environment: environment.to_vec(), timeout: 30, account: ACCOUNT }
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Invoked {
    /// Status of HTTP.
    pub status: u16,
    /// `Unhandled` and the like, if the function failed.
    pub error: Option<String>,
    /// What the function answered.
    pub payload: Vec<u8>,
    /// The end of its log.
    pub log: String,
}

impl Invoked {
    /// The answer as JSON, demanding that the function did not fail.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.error.is_none() && self.status == 200, "the function failed: {self}");
        self.json()
    }

    /// The error's `errorType`, demanding that the function failed.
    #[track_caller]
    pub fn error_type(&self) -> String {
        assert!(self.error.is_some(), "the function did not fail: {self}");
        self.json()["errorType"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|e| panic!("no JSON ({e}): {self}"))
    }
}

impl std::fmt::Display for Invoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let payload = String::from_utf8_lossy(&self.payload);
        write!(f, "{} {:?}\n{payload}\n-- log\n{}", self.status, self.error, self.log)
    }
}

impl Ministack {
    /// The shared one, started if need be.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        let service = Service::start(folder.path(), free_port(), "ministack", &[]);
        let started = Arc::new(Self { service, _folder: folder });
        *shared = Arc::downgrade(&started);
        started
    }

    /// Its port, for all services.
    pub fn port(&self) -> u16 {
        self.service.port()
    }

    /// A request to a service, in an account, without a signature, which is not asked for.
    #[track_caller]
    fn request(
        &self,
        account: &str,
        service: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        // Which service is meant, and who asks, is read from here.
        let scope = format!("{account}/20261122/us-east-1/{service}/aws4_request");
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let headers = [headers, &[("authorization", authorization.as_str())]].concat();
        send(self.port(), line, &headers, body)
            .unwrap_or_else(|| panic!("ministack gave no answer to {line}"))
    }

    /// A call of a service whose protocol is JSON.
    #[track_caller]
    pub fn call(&self, service: &str, target: &str, message: &Value) -> Value {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        let body = message.to_string();
        let reply = self.request(ACCOUNT, service, "POST /", &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{target}: {}", String::from_utf8_lossy(&reply.body));
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }

    /// Deploys a function.
    #[track_caller]
    pub fn deploy(self: &Arc<Self>, deploy: &Deploy) -> Function {
        let variables: serde_json::Map<String, Value> = deploy
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        let message = json!({
            "FunctionName": deploy.name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": format!("arn:aws:iam::{}:role/{}", deploy.account, deploy.name),
            "Timeout": deploy.timeout,
            "MemorySize": 512,
            "Environment": { "Variables": variables },
            "Code": { "ZipFile": STANDARD.encode(&*deployed(deploy.program)) },
        });
        let headers = [("content-type", "application/json")];
        let line = "POST /2015-03-31/functions";
        let body = message.to_string();
        let made = self.request(deploy.account, "lambda", line, &headers, body.as_bytes());
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        Function {
            ministack: Arc::clone(self),
            name: deploy.name.to_owned(),
            account: deploy.account.to_owned(),
        }
    }

    /// Makes a queue; one whose name ends in `.fifo` keeps an order.
    #[track_caller]
    pub fn queue(self: &Arc<Self>, name: &str, visibility_seconds: u32) -> Queue {
        let mut attributes = json!({ "VisibilityTimeout": visibility_seconds.to_string() });
        if name.ends_with(".fifo") {
            attributes["FifoQueue"] = "true".into();
            attributes["ContentBasedDeduplication"] = "false".into();
        }
        let message = json!({ "QueueName": name, "Attributes": attributes });
        let made = self.call("sqs", "AmazonSQS.CreateQueue", &message);
        let url = made["QueueUrl"].as_str().expect("a queue has a URL").to_owned();
        Queue { ministack: Arc::clone(self), url, name: name.to_owned() }
    }

    /// Makes a stream of Kinesis.
    #[track_caller]
    pub fn stream(self: &Arc<Self>, name: &str, shards: u32) -> Stream {
        let message = json!({ "StreamName": name, "ShardCount": shards });
        self.call("kinesis", "Kinesis_20131202.CreateStream", &message);
        let stream = Stream { ministack: Arc::clone(self), name: name.to_owned() };
        let is_active = || {
            let asked = json!({ "StreamName": name });
            let told = self.call("kinesis", "Kinesis_20131202.DescribeStreamSummary", &asked);
            told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
        };
        assert!(wait_for(LIMIT, is_active), "the stream {name} never became active");
        stream
    }
}

/// A function that was deployed.
pub struct Function {
    ministack: Arc<Ministack>,
    name: String,
    account: String,
}

impl Function {
    /// Calls it and waits.
    #[track_caller]
    pub fn invoke(&self, event: &Value) -> Invoked {
        self.invoke_bytes(event.to_string().as_bytes())
    }

    /// Calls it with any bytes and waits.
    #[track_caller]
    pub fn invoke_bytes(&self, event: &[u8]) -> Invoked {
        let line = format!("POST /2015-03-31/functions/{}/invocations", self.name);
        let headers = [("x-amz-log-type", "Tail"), ("x-amz-invocation-type", "RequestResponse")];
        let reply = self.ministack.request(&self.account, "lambda", &line, &headers, event);
        let log = reply.header("x-amz-log-result").unwrap_or_default();
        let log = STANDARD.decode(log).unwrap_or_default();
        Invoked {
            status: reply.status,
            error: reply.header("x-amz-function-error").map(str::to_owned),
            log: String::from_utf8_lossy(&log).into_owned(),
            payload: reply.body,
        }
    }

    /// Sends it an event without waiting for it.
    #[track_caller]
    pub fn send(&self, event: &Value) {
        let line = format!("POST /2015-03-31/functions/{}/invocations", self.name);
        let headers = [("x-amz-invocation-type", "Event")];
        let body = event.to_string();
        let reply =
            self.ministack.request(&self.account, "lambda", &line, &headers, body.as_bytes());
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    /// Gives it other variables, as a deploy does; its processes end.
    #[track_caller]
    pub fn set_environment(&self, environment: &[(&str, String)]) {
        let variables: serde_json::Map<String, Value> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        let line = format!("PUT /2015-03-31/functions/{}/configuration", self.name);
        let body = json!({ "Environment": { "Variables": variables } }).to_string();
        let reply = self.ministack.request(&self.account, "lambda", &line, &[], body.as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Has it called with what a queue or a stream has. `more` are further settings by AWS's
    /// names.
    #[track_caller]
    pub fn listen_to(&self, arn: &str, batch_size: u32, more: &Value) {
        let mut message = json!({
            "FunctionName": self.name,
            "EventSourceArn": arn,
            "BatchSize": batch_size,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "Enabled": true,
        });
        if arn.contains(":kinesis:") {
            message["StartingPosition"] = "TRIM_HORIZON".into();
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        let line = "POST /2015-03-31/event-source-mappings";
        let body = message.to_string();
        let headers = [("content-type", "application/json")];
        let reply =
            self.ministack.request(&self.account, "lambda", line, &headers, body.as_bytes());
        assert!(matches!(reply.status, 200..=202), "{reply:?}");
    }

    /// Every line of its log, of all its processes.
    #[track_caller]
    pub fn logs(&self) -> Vec<String> {
        let group = format!("/aws/lambda/{}", self.name);
        let message = json!({ "logGroupName": group, "limit": 10_000 });
        let headers = [
            ("x-amz-target", "Logs_20140328.FilterLogEvents"),
            ("content-type", "application/x-amz-json-1.1"),
        ];
        let body = message.to_string();
        let reply =
            self.ministack.request(&self.account, "logs", "POST /", &headers, body.as_bytes());
        // There is no group before the first call.
        if reply.status != 200 {
            return Vec::new();
        }
        let told = reply.json();
        let events = told["events"].as_array().into_iter().flatten();
        events
            .filter_map(|event| event["message"].as_str())
            .flat_map(|message| message.lines().map(str::to_owned))
            .collect()
    }

    /// The lines of its log that are JSON.
    #[track_caller]
    pub fn json_logs(&self) -> Vec<Value> {
        self.logs().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A queue.
pub struct Queue {
    ministack: Arc<Ministack>,
    url: String,
    name: String,
}

impl Queue {
    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{}", self.name)
    }

    /// Its URL, as it is reached by a port of loopback.
    pub fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/{ACCOUNT}/{}", self.name)
    }

    /// Sends a message; with a group and an id to know it by, if the queue keeps an order.
    #[track_caller]
    pub fn send(&self, body: &str, group: Option<(&str, &str)>) -> String {
        let mut message = json!({ "QueueUrl": self.url, "MessageBody": body });
        if let Some((group, id)) = group {
            message["MessageGroupId"] = group.into();
            message["MessageDeduplicationId"] = id.into();
        }
        let sent = self.ministack.call("sqs", "AmazonSQS.SendMessage", &message);
        sent["MessageId"].as_str().expect("a message has an id").to_owned()
    }

    /// Messages that wait, and messages that somebody has in hand.
    #[track_caller]
    pub fn depth(&self) -> (u64, u64) {
        let message = json!({ "QueueUrl": self.url, "AttributeNames": ["All"] });
        let told = self.ministack.call("sqs", "AmazonSQS.GetQueueAttributes", &message);
        let of = |name: &str| {
            let value = told["Attributes"][name].as_str();
            value.and_then(|value| value.parse().ok()).expect("a number of messages")
        };
        (of("ApproximateNumberOfMessages"), of("ApproximateNumberOfMessagesNotVisible"))
    }

    /// Waits until it is empty. False if that does not happen.
    pub fn is_emptied(&self) -> bool {
        wait_for(LIMIT, || self.depth() == (0, 0))
    }
}

/// A stream of Kinesis.
pub struct Stream {
    ministack: Arc<Ministack>,
    name: String,
}

impl Stream {
    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{}", self.name)
    }

    /// Puts a record; returns its sequence number.
    #[track_caller]
    pub fn put(&self, partition: &str, bytes: &[u8]) -> String {
        let message = json!({
            "StreamName": self.name,
            "PartitionKey": partition,
            "Data": STANDARD.encode(bytes),
        });
        let put = self.ministack.call("kinesis", "Kinesis_20131202.PutRecord", &message);
        put["SequenceNumber"].as_str().expect("a record has a number").to_owned()
    }
}

/// Waits until something is so, for a bounded time.
pub fn wait_for(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    let (_sender, nothing) = channel::<()>();
    loop {
        if is_so() {
            return true;
        }
        if begun.elapsed() >= limit {
            return false;
        }
        nothing.recv_timeout(POLL).ok();
    }
}
