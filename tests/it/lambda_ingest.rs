//! The ingest function as it is deployed: the built program, run by ministack behind queues and
//! streams, or by our own Runtime API, with an archive on a real S3 server.

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::ministack::{Deploy, Function, Ministack, wait_for};
use meshledger_tests::records::{good, lines};
use meshledger_tests::runtime_api::RuntimeApi;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::server::send;
use serde_json::{Value, json};

const PROGRAM: &str = "meshledger-ingest-fn";

/// Longest wait for what queues and streams do by themselves.
const LIMIT: Duration = Duration::from_secs(90);

type Environment = Vec<(&'static str, String)>;

/// An archive on the server, and the variables of a function that writes to it.
fn archive(server: &Seaweed, name: &str) -> (Laptop, Environment) {
    let laptop = Laptop::remote(&server.archive_url(name), Seaweed::environment(server.port()));
    let _ = laptop.command("init").run().expect(0);
    let mut environment = Seaweed::function_environment(server.port());
    environment.push(("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()));
    (laptop, environment)
}

/// The variables with Lambda's credentials, for a process that we start ourselves.
fn with_credentials(environment: &Environment) -> Environment {
    let credentials = Seaweed::environment(1).into_iter().filter(|(name, _)| name.contains("KEY"));
    environment.iter().cloned().chain(credentials).collect()
}

/// The variables of a function that reaches the server through a proxy.
fn through(proxy: &FaultyProxy, environment: Environment) -> Environment {
    let through = Seaweed::function_environment(proxy.port());
    environment
        .into_iter()
        .map(|(name, value)| {
            let other = through.iter().find(|(other, _)| *other == name);
            (name, other.map_or(value, |(_, other)| other.clone()))
        })
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Sum of a number in the function's log lines.
fn sum(function: &Function, name: &str) -> f64 {
    function.json_logs().iter().filter_map(|line| line[name].as_f64()).sum()
}

/// Demands that verification finds nothing but what a repetition leaves: files of other bytes, that
/// no manifest names, since the first manifest of a delivery counts.
#[track_caller]
fn verify_repeated(laptop: &Laptop) {
    let (output, report) = laptop.verify();
    let findings = report["findings"].as_array().unwrap();
    let is_orphan = |finding: &Value| finding["code"] == "ORPHAN";
    assert!(findings.iter().all(is_orphan), "{}", output.report());
}

fn kinesis(records: &[(u64, &[u8])]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|(sequence, data)| {
            json!({
                "kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": "p",
                            "sequenceNumber": sequence.to_string(),
                            "data": STANDARD.encode(data),
                            "approximateArrivalTimestamp": 1_793_614_531.5},
                "eventSource": "aws:kinesis", "eventVersion": "1.0",
                "eventID": format!("shardId-000000000000:{sequence}"),
                "eventName": "aws:kinesis:record", "awsRegion": "us-east-1",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/r",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/direct",
            })
        })
        .collect();
    json!({ "Records": records })
}

#[test]
fn a_streams_records_are_archived_once_each() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, mut environment) = archive(&server, "ingest-kinesis");
    environment.push(("MESHLEDGER_SOURCES", r#"[{"source":"*","cluster":"east"}]"#.to_owned()));
    let function = stack.deploy(&Deploy::new("ingest-kinesis", PROGRAM, &environment));
    let stream = stack.stream("ingest-kinesis", 2);
    for n in 0..20 {
        let text = lines(&format!("k{n}"), 5);
        let data = if n % 2 == 0 { text } else { gzip(&text) };
        stream.put(&format!("p{n}"), &data);
    }
    // What can not be opened blocks no shard.
    stream.put("p0", &gzip(&lines("x", 50))[..40]);
    stream.put("p0", lines("after", 1).as_slice());
    function.listen_to(&stream.arn(), 7, &json!({ "ParallelizationFactor": 2 }));
    let all = || laptop.events() >= 101;
    assert!(wait_for(LIMIT, all), "{}: {:#?}", laptop.events(), function.logs());
    let distinct = "SELECT count(DISTINCT request_id) FROM mesh_events WHERE k8s_cluster = 'east'";
    assert_eq!((laptop.events(), laptop.number(distinct)), (101, 101));
    assert_eq!(laptop.number("SELECT count(*) FROM mesh_quarantine"), 1);
    assert_eq!(sum(&function, "ItemsFailed"), 0.0, "{:#?}", function.logs());
    let logs = function.json_logs();
    let is_metric = |line: &Value| {
        line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Meshledger"
            && line["Transport"] == "kinesis"
    };
    assert!(logs.iter().any(|line| is_metric(line) && line["Lag"].is_number()), "{logs:#?}");
    laptop.seal();
    laptop.verify_ok();
}

#[test]
fn a_queues_messages_come_again_until_the_archive_can_be_written() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "ingest-sqs");
    let proxy = FaultyProxy::start(server.port(), 7, 3);
    proxy.set_faulty(true);
    let environment = through(&proxy, environment);
    let function = stack.deploy(&Deploy::new("ingest-sqs", PROGRAM, &environment));
    let queue = stack.queue("ingest-sqs", 2);
    for n in 0..30 {
        queue.send(&good(&format!("m{n}")), None);
    }
    function.listen_to(&queue.arn(), 4, &json!({}));
    let all = || laptop.events() >= 30;
    assert!(wait_for(LIMIT, all), "{}: {:#?}", laptop.events(), function.logs());
    assert!(queue.is_emptied(), "{:?}", queue.depth());
    assert!(proxy.counts().faults() > 0, "the test wants faults");
    let distinct = laptop.number("SELECT count(DISTINCT request_id) FROM mesh_events");
    assert_eq!((laptop.events(), distinct), (30, 30));
    laptop.seal();
    laptop.verify_ok();
}

/// A bucket of ministack, which keeps versions and tells a queue what comes.
struct Bucket {
    port: u16,
    name: &'static str,
}

impl Bucket {
    fn make(port: u16, name: &'static str, queue: &str) -> Self {
        let bucket = Self { port, name };
        bucket.put("", b"");
        bucket.put(
            "?versioning",
            b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        );
        let told = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>1</Id><Queue>{queue}</Queue>\
             <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>"
        );
        bucket.put("?notification", told.as_bytes());
        bucket
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let line = format!("PUT /{}{key}", self.name);
        let scope = "000000000000/20261122/us-east-1/s3/aws4_request";
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let reply = send(self.port, &line, &[("authorization", &signed)], bytes).unwrap();
        assert!(reply.status < 300, "{line}: {}", String::from_utf8_lossy(&reply.body));
    }
}

#[test]
fn objects_that_land_are_archived_by_version_when_s3_says_so() {
    let stack = Ministack::shared();
    let queue = stack.queue("ingest-landing", 5);
    // Archive and landing place both in ministack, whose S3 notifies.
    let bucket = Bucket::make(stack.port(), "landing", &queue.arn());
    Bucket { port: stack.port(), name: "archived" }.put("", b"");
    let reached: Environment = vec![
        ("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{}", stack.port())),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ];
    let mut of_laptop = reached.clone();
    of_laptop.extend([
        ("AWS_ACCESS_KEY_ID", "000000000000".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
    ]);
    let laptop = Laptop::remote("s3://archived/mesh", of_laptop);
    let _ = laptop.command("init").run().expect(0);
    let mut environment = reached;
    environment.extend([
        ("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()),
        ("MESHLEDGER_LANDING", "s3://landing/logs".to_owned()),
    ]);
    let function = stack.deploy(&Deploy::new("ingest-landing", PROGRAM, &environment));
    bucket.put("/logs/a%20b%2Bc.log", &lines("plain", 10));
    bucket.put("/logs/b.gz", &gzip(&lines("zipped", 10)));
    bucket.put("/logs/c.zst", &zstd::encode_all(&lines("zstd", 10)[..], 1).unwrap());
    // Overwritten before anybody looks: each version has its own notification.
    bucket.put("/logs/over", &lines("first", 10));
    bucket.put("/logs/over", &lines("second", 10));
    bucket.put("/elsewhere/x", &lines("no", 10));
    function.listen_to(&queue.arn(), 3, &json!({}));
    let all = || laptop.events() >= 50;
    assert!(wait_for(LIMIT, all), "{}: {:#?}", laptop.events(), function.logs());
    let rows = laptop.query(
        "SELECT count(*) AS n, count(DISTINCT request_id) AS d, min(transport) AS t FROM mesh_events",
    );
    assert_eq!(rows, [json!({"n": 50, "d": 50, "t": "s3"})]);
    // What lies elsewhere is not read, and comes again until a dead-letter queue takes it.
    let refused = |line: &Value| {
        line["trouble"].as_str().is_some_and(|text| text.contains("MESHLEDGER_LANDING"))
    };
    assert!(wait_for(LIMIT, || function.json_logs().iter().any(refused)));
}

#[test]
fn every_other_carrier_is_answered_in_its_own_words() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, mut environment) = archive(&server, "ingest-carriers");
    // printf 's3cret' | sha256sum
    let digest = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";
    environment.push(("MESHLEDGER_SECRETS", format!("shipper={digest}")));
    let function = stack.deploy(&Deploy::new("ingest-carriers", PROGRAM, &environment));
    let firehose = json!({
        "invocationId": "i", "region": "us-east-1",
        "deliveryStreamArn": "arn:aws:firehose:us-east-1:1:deliverystream/d",
        "records": [{"recordId": "r1", "approximateArrivalTimestamp": 1,
                     "data": STANDARD.encode(lines("f", 3))}],
    });
    let dropped = json!({"records": [{"recordId": "r1", "result": "Dropped"}]});
    assert_eq!(function.invoke(&firehose).ok(), dropped);
    let payload = json!({
        "messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/g", "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": "1", "timestamp": 1_793_614_531_000_i64, "message": good("c1")}],
    });
    let logs = json!({"awslogs": {"data": STANDARD.encode(gzip(payload.to_string().as_bytes()))}});
    function.invoke(&logs).ok();
    let kafka = json!({
        "eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:us-east-1:1:cluster/c",
        "records": {"t-0": [{"topic": "t", "partition": 0, "offset": 1, "timestamp": 1,
                             "value": STANDARD.encode(good("k1"))}]},
    });
    function.invoke(&kafka).ok();
    let post = |path: &str, secret: &str, body: &[u8]| {
        json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
               "headers": {"authorization": format!("Bearer {secret}"),
                           "content-type": "application/json"},
               "requestContext": {"http": {"method": "POST", "path": path}},
               "body": STANDARD.encode(body), "isBase64Encoded": true})
    };
    let body = lines("h", 4);
    for _ in 0..2 {
        let reply = function.invoke(&post("/v1/records", "s3cret", &body)).ok();
        assert_eq!(reply["statusCode"], 200, "{reply}");
    }
    assert_eq!(function.invoke(&post("/v1/records", "other", &body)).ok()["statusCode"], 401);
    // Twice the same, of each.
    for event in [&firehose, &logs, &kafka] {
        function.invoke(event).ok();
    }
    laptop.seal();
    let rows = laptop.query(
        "SELECT transport, count(*) AS n FROM mesh_events GROUP BY transport ORDER BY transport",
    );
    let expected = [("cloudwatch_logs", 1), ("firehose", 3), ("http", 4), ("kafka", 1)];
    let expected = expected.map(|(transport, n)| json!({"transport": transport, "n": n}));
    assert_eq!(rows, expected);
    verify_repeated(&laptop);
}

#[test]
fn a_retry_after_a_deploy_that_makes_other_bytes_adds_nothing() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "ingest-deploy");
    let function = stack.deploy(&Deploy::new("ingest-deploy", PROGRAM, &environment));
    let event = kinesis(&[(1, &lines("a", 3)), (2, &lines("b", 3))]);
    let ok = json!({"batchItemFailures": []});
    assert_eq!(function.invoke(&event).ok(), ok);
    let mut other = environment;
    other.push(("MESHLEDGER_SOURCES", r#"[{"source":"*","cluster":"west"}]"#.to_owned()));
    function.set_environment(&other);
    assert_eq!(function.invoke(&event).ok(), ok);
    assert_eq!(sum(&function, "DuplicateDeliveries"), 1.0, "{:#?}", function.logs());
    // In other company they are another delivery, of units that are known.
    let more = kinesis(&[(1, &lines("a", 3)), (2, &lines("b", 3)), (3, &lines("c", 3))]);
    assert_eq!(function.invoke(&more).ok(), ok);
    laptop.seal();
    let west = "SELECT count(*) FROM mesh_events WHERE k8s_cluster = 'west'";
    assert_eq!((laptop.events(), laptop.number(west)), (9, 3));
    verify_repeated(&laptop);
}

#[test]
fn batches_that_interleave_are_recomposed_or_come_late_count_each_record_once() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "ingest-batches");
    let functions = ["ingest-batches-1", "ingest-batches-2"]
        .map(|name| stack.deploy(&Deploy::new(name, PROGRAM, &environment)));
    let texts: Vec<Vec<u8>> = (0..9).map(|n| lines(&format!("s{n}-"), 2)).collect();
    let batch = |numbers: &[u64]| {
        let of = |&n: &u64| (n, texts[usize::try_from(n).unwrap()].as_slice());
        kinesis(&numbers.iter().map(of).collect::<Vec<_>>())
    };
    let ok = json!({"batchItemFailures": []});
    // As ParallelizationFactor makes them, at once; and one batch by two functions.
    std::thread::scope(|scope| {
        for (function, numbers) in
            functions.iter().zip([[1, 3, 5], [2, 4, 6]]).chain(functions.iter().zip([[1, 3, 5]; 2]))
        {
            let (batch, ok) = (&batch, &ok);
            scope.spawn(move || assert_eq!(function.invoke(&batch(&numbers)).ok(), *ok));
        }
    });
    // The answer was lost; more comes with what is known.
    assert_eq!(functions[0].invoke(&batch(&[1, 2, 3, 4, 5, 6, 7])).ok(), ok);
    assert_eq!(laptop.events(), 14, "readers see each once before the seal");
    laptop.seal();
    for numbers in [&[1, 3, 5][..], &[7, 8], &[6, 7, 8]] {
        assert_eq!(functions[1].invoke(&batch(numbers)).ok(), ok);
        assert_eq!(laptop.events(), if numbers.len() == 3 && numbers[0] == 1 { 14 } else { 16 });
    }
    laptop.seal();
    let distinct = laptop.number("SELECT count(DISTINCT request_id) FROM mesh_events");
    assert_eq!((laptop.events(), distinct), (16, 16));
    verify_repeated(&laptop);
}

#[test]
fn what_can_not_be_done_is_said_where_it_is_looked_for() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (_laptop, environment) = archive(&server, "ingest-wrong");
    for (name, value) in [
        ("MESHLEDGER_SOURCES", "[{\"source\":\"*\",\"format\":\"xml\"}]"),
        ("MESHLEDGER_LANDING", "landing"),
        ("MESHLEDGER_SECRETS", "shipper=s3cret"),
        ("MESHLEDGER_FIREHOSE_RESULT", "Kept"),
        ("MESHLEDGER_REDACTION", "{"),
        ("AWS_ENDPOINT_URL_S3", "http://example.invalid"),
    ] {
        let mut wrong = with_credentials(&environment);
        wrong.retain(|(set, _)| *set != name && *set != "AWS_ALLOW_HTTP");
        wrong.push((name, value.to_owned()));
        if name != "AWS_ENDPOINT_URL_S3" {
            wrong.push(("AWS_ALLOW_HTTP", "true".to_owned()));
        }
        let process = RuntimeApi::start(PROGRAM, &wrong);
        let log_of = |mut process: RuntimeApi| {
            let end = process.end();
            assert_eq!(end.code, Some(1), "{}", process.log());
            process.log()
        };
        let log = log_of(process);
        let expected = if name == "AWS_ENDPOINT_URL_S3" { "has no TLS" } else { name };
        assert!(log.contains(expected), "{name}: {log}");
        assert!(!log.contains("s3cret"), "{log}");
    }
    let function = stack.deploy(&Deploy::new("ingest-wrong", PROGRAM, &environment));
    assert_eq!(function.invoke(&json!({"hello": 1})).error_type(), "UnknownEvent");
    assert_eq!(function.invoke(&json!([1])).error_type(), "UnknownEvent");
}

#[test]
fn work_that_can_not_finish_is_handed_back_in_time() {
    let server = Seaweed::shared();
    let (laptop, environment) = archive(&server, "ingest-deadline");
    let mut process = RuntimeApi::start(PROGRAM, &with_credentials(&environment));
    let event = kinesis(&[(1, &lines("a", 3))]);
    let _ = process.give(event.to_string().as_bytes(), Duration::from_millis(300));
    let answer = process.answer();
    assert_eq!(answer.json(), json!({"batchItemFailures": [{"itemIdentifier": "1"}]}));
    assert_eq!(laptop.events(), 0);
    let answer = process.call(event.to_string().as_bytes());
    assert_eq!(answer.json(), json!({"batchItemFailures": []}));
    assert_eq!(laptop.events(), 3);
    process.signal("TERM");
    let end = process.end();
    assert_eq!((end.code, end.signal), (Some(0), None), "{}", process.log());
}

/// Takes the processor from a function's process, as a sandbox that is starved does.
fn freeze(function: &str) {
    let variable = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
    let is_it = |folder: &std::path::Path| {
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = processes.filter(|folder| is_it(folder)).collect();
    assert!(!found.is_empty(), "no process of {function} runs");
    for folder in found {
        let id = folder.file_name().unwrap().to_owned();
        let stopped = std::process::Command::new("kill").arg("-STOP").arg(id).status();
        assert!(stopped.is_ok_and(|status| status.success()));
    }
}

#[test]
fn what_lambda_ends_after_it_stored_and_before_it_answered_counts_once() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "ingest-frozen");
    let proxy = FaultyProxy::start(server.port(), 1, 2);
    proxy.set_faulty(false);
    let environment = through(&proxy, environment);
    let deploy = Deploy { timeout: 3, ..Deploy::new("ingest-frozen", PROGRAM, &environment) };
    let function = stack.deploy(&deploy);
    let freeze_when_stored = || proxy.before_reply("/inbox/", || freeze("ingest-frozen"));

    freeze_when_stored();
    let event = kinesis(&[(1, &lines("a", 3))]);
    assert_eq!(function.invoke(&event).error_type(), "Sandbox.Timedout");
    assert_eq!(laptop.events(), 3, "it was stored before it was ended");
    assert_eq!(function.invoke(&event).ok(), json!({"batchItemFailures": []}));
    assert_eq!(laptop.events(), 3);

    freeze_when_stored();
    let queue = stack.queue("ingest-frozen", 4);
    queue.send(&good("m"), None);
    function.listen_to(&queue.arn(), 1, &json!({}));
    assert!(wait_for(LIMIT, || queue.is_emptied()), "{:?}", queue.depth());
    let timed_out = function.logs().iter().filter(|line| line.contains("Task timed out")).count();
    println!("lines of the log that say so: {timed_out}");
    assert_eq!(laptop.events(), 4);
    laptop.seal();
    verify_repeated(&laptop);
}

/// The most memory that a process ever had, in bytes.
fn peak_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Most bytes of data that Lambda hands over at once, as an event of 6 MB has room for in base64.
const EVENT_DATA_BYTES: usize = 4_400_000;

#[test]
fn the_largest_events_stay_below_the_memory_of_the_function() {
    let server = Seaweed::shared();
    // Text that compresses as logs do, and bombs.
    let long: Vec<u8> = (0..).flat_map(|n| lines(&format!("{n}-"), 100)).take(31 << 20).collect();
    let end = long.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let packed = gzip(&long[..end]);
    let bomb = gzip(&vec![b'{'; 40 << 20]);
    let plain: Vec<u8> = lines("plain", 60_000).into_iter().take(EVENT_DATA_BYTES).collect();
    for megabytes in [128_u64, 512, 1_769] {
        let (laptop, mut environment) = archive(&server, &format!("ingest-memory-{megabytes}"));
        environment.push(("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", megabytes.to_string()));
        let mut process = RuntimeApi::start(PROGRAM, &with_credentials(&environment));
        process.first_poll();
        // The operating system ends it, too, should it want more than it has.
        let limit = format!("--data={}", megabytes * 1024 * 1024);
        let bounded = std::process::Command::new("prlimit")
            .args(["--pid", &process.id().to_string(), &limit])
            .status();
        assert!(bounded.is_ok_and(|status| status.success()), "prlimit of util-linux is wanted");
        let fill = EVENT_DATA_BYTES / packed.len().max(1);
        let many: Vec<(u64, &[u8])> =
            (0..fill.max(1) as u64).map(|n| (n, packed.as_slice())).collect();
        let fill = EVENT_DATA_BYTES / bomb.len();
        let bombs: Vec<(u64, &[u8])> =
            (0..fill as u64).map(|n| (100_000 + n, bomb.as_slice())).collect();
        for event in [kinesis(&[(1_000, &plain)]), kinesis(&many), kinesis(&bombs)] {
            let event = event.to_string();
            assert!(event.len() < 6 * 1024 * 1024, "{}", event.len());
            let _ = process.give(event.as_bytes(), Duration::from_secs(300));
            let answer = process.answer_within(Duration::from_secs(300)).unwrap();
            assert_eq!(answer.json(), json!({"batchItemFailures": []}), "{}", process.log());
        }
        let peak = peak_bytes(process.id());
        assert!(peak < megabytes * 1024 * 1024, "{megabytes} MB: {peak} bytes");
        println!("{megabytes} MB: peak {} MB", peak >> 20);
        let kept = laptop.number("SELECT count(*) FROM mesh_quarantine");
        assert_eq!(usize::try_from(kept).unwrap(), bombs.len() + 1);
        assert!(laptop.events() > 100_000);
    }
}
