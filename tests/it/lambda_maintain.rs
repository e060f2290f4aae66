//! The maintain function as it is deployed: the built program, run by ministack or by our own
//! Runtime API, sealing an archive on a real S3 server.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::ministack::{Deploy, Ministack, wait_for};
use meshledger_tests::records::lines;
use meshledger_tests::runtime_api::RuntimeApi;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::service::Kms;
use serde_json::{Value, json};

const PROGRAM: &str = "meshledger-maintain-fn";

fn seal() -> Value {
    json!({ "action": "seal" })
}

fn scheduled() -> Value {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-22T16:53:06Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/seal"],
        "detail": {},
    })
}

/// An archive on the server with a ledger, and the variables of a function that seals it.
fn archive(server: &Seaweed, name: &str) -> (Laptop, Vec<(&'static str, String)>) {
    let laptop = Laptop::remote(&server.archive_url(name), Seaweed::environment(server.port()));
    let Signing { key, policy } = laptop.begin_ledger("archive.example/lambda");
    let mut environment = Seaweed::function_environment(server.port());
    environment.extend([
        ("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()),
        ("MESHLEDGER_KEY", "env:LEDGER_KEY".to_owned()),
        ("LEDGER_KEY", std::fs::read_to_string(key).unwrap()),
        ("MESHLEDGER_POLICY", std::fs::read_to_string(policy).unwrap()),
    ]);
    (laptop, environment)
}

/// The same variables with Lambda's credentials, for a process that we start ourselves.
fn with_credentials(environment: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let credentials = Seaweed::environment(1).into_iter().filter(|(name, _)| name.contains("KEY"));
    environment.iter().cloned().chain(credentials).collect()
}

/// Variables of which one is another, or not there.
fn but(
    environment: &[(&'static str, String)],
    name: &'static str,
    value: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut changed: Vec<(&'static str, String)> =
        environment.iter().filter(|(set, _)| *set != name).cloned().collect();
    changed.extend(value.map(|value| (name, value.to_owned())));
    changed
}

/// A server that takes connections and never answers; and who hears of each connection.
fn silence() -> (u16, Receiver<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, connected) = channel();
    std::thread::spawn(move || {
        let mut all: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            all.push(stream);
            sender.send(()).ok();
        }
    });
    (port, connected)
}

#[test]
fn what_was_ingested_is_sealed_however_the_function_is_asked() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "lambda-seal");
    let deploy = Deploy { timeout: 60, ..Deploy::new("maintain-seal", PROGRAM, &environment) };
    let function = stack.deploy(&deploy);

    let _ = laptop.ingest_bytes("a.log", lines("a", 20));
    let report = function.invoke(&seal()).ok();
    assert_eq!((&report["manifests_sealed"], &report["rows"]), (&1.into(), &20.into()), "{report}");
    assert_eq!(report["sealed_through"], 1, "{report}");

    let _ = laptop.ingest_bytes("b.log", lines("b", 20));
    let report = function.invoke(&scheduled()).ok();
    assert_eq!((&report["manifests_sealed"], &report["version"]), (&1.into(), &2.into()));

    let queue = stack.queue("maintain-seal.fifo", 60);
    function.listen_to(&queue.arn(), 10, &json!({}));
    let _ = laptop.ingest_bytes("c.log", lines("c", 20));
    queue.send("something came", Some(("archive", "1")));
    queue.send("something else came", Some(("archive", "2")));
    let sealed = || laptop.number("SELECT count(*) FROM mesh_events") == 60;
    assert!(wait_for(Duration::from_secs(60), || {
        function.json_logs().iter().any(|line| line["CheckpointSize"] == 4.0)
    }));
    assert!(sealed());
    assert!(queue.is_emptied(), "{:?}: {:#?}", queue.depth(), function.logs());

    let report = function.invoke(&json!({ "action": "verify", "depth": "quick" })).ok();
    assert_eq!((&report["ok"], &report["ledger"]["size"]), (&true.into(), &4.into()), "{report}");

    // One line a call, with the numbers in CloudWatch's own form.
    let logs = function.json_logs();
    let sum = |name: &str| logs.iter().filter_map(|line| line[name].as_f64()).sum::<f64>();
    assert_eq!((sum("RowsSealed"), sum("ManifestsSealed")), (60.0, 3.0), "{logs:#?}");
    assert_eq!((sum("VerifyTampering"), sum("VerifyIncomplete"), sum("Failed")), (0.0, 0.0, 0.0));
    assert!(
        logs.iter().all(|line| line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Meshledger")
    );
    laptop.verify_ok();
}

#[test]
fn a_key_in_kms_signs_what_a_function_seals() {
    let (server, stack, kms) = (Seaweed::shared(), Ministack::shared(), Kms::start());
    let key = format!("awskms:{}", kms.create_key("ECC_NIST_EDWARDS25519"));
    let of_kms = |name: &str| name == "AWS_ENDPOINT_URL_KMS";
    let kms = Kms::environment(kms.port()).into_iter().filter(|(name, _)| of_kms(name));
    let kms: Vec<(&'static str, String)> = kms.collect();
    let reached = Seaweed::environment(server.port()).into_iter().chain(kms.clone()).collect();
    let laptop = Laptop::remote(&server.archive_url("lambda-kms"), reached);
    let init = laptop.command("init").args(["--ledger", "archive.example/kms", "--key", &key]);
    let _ = init.run().expect(0);
    let _ = laptop.ingest_bytes("a.log", lines("a", 5));
    let mut environment = Seaweed::function_environment(server.port());
    environment.extend(kms);
    environment
        .extend([("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()), ("MESHLEDGER_KEY", key)]);
    let function = stack.deploy(&Deploy::new("maintain-kms", PROGRAM, &environment));
    let report = function.invoke(&seal()).ok();
    assert_eq!((&report["rows"], &report["sealed_through"]), (&5.into(), &1.into()), "{report}");
    laptop.verify_ok();
}

#[test]
fn two_functions_and_a_queue_seal_at_once_and_each_event_is_there_once() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "lambda-race");
    let functions = ["maintain-race-1", "maintain-race-2"]
        .map(|name| stack.deploy(&Deploy::new(name, PROGRAM, &environment)));
    for round in 0..4 {
        for name in ["x", "y", "z"] {
            let _ = laptop.ingest_bytes(name, lines(&format!("{round}-{name}"), 10));
        }
        std::thread::scope(|scope| {
            let calls = functions.iter().map(|function| scope.spawn(|| function.invoke(&seal())));
            for call in calls.collect::<Vec<_>>() {
                let report = call.join().unwrap().ok();
                assert_eq!(report["is_complete"], true, "{report}");
            }
        });
        assert_eq!(laptop.events(), 30 * (round + 1));
    }
    let ids = "SELECT count(DISTINCT request_id) FROM mesh_events";
    assert_eq!(laptop.number(ids), 120);
    laptop.verify_ok();
}

#[test]
fn a_setting_that_makes_no_sense_ends_the_function_at_its_start_and_is_named() {
    let server = Seaweed::shared();
    let (_laptop, environment) = archive(&server, "lambda-settings");
    let usual = with_credentials(&environment);
    let secret = environment.iter().find(|(name, _)| *name == "LEDGER_KEY").unwrap().1.trim();
    for (name, value) in [
        ("MESHLEDGER_KEY", Some(secret)),
        ("MESHLEDGER_ARCHIVE", None),
        ("MESHLEDGER_ARCHIVE", Some("ftp://archive")),
        ("MESHLEDGER_KEY", Some("/var/task/ledger.key")),
        ("MESHLEDGER_KEY", Some("gcpkms:key")),
        ("MESHLEDGER_KEY", Some("env:UNSET")),
        ("MESHLEDGER_KEY", Some("env:MESHLEDGER_ARCHIVE")),
        ("MESHLEDGER_POLICY", Some("trust me")),
        ("MESHLEDGER_POLICY", Some("env:UNSET")),
        ("MESHLEDGER_HEARTBEAT_MINUTES", Some("often")),
        ("MESHLEDGER_DELTA_CHECKPOINT_EVERY", Some("-1")),
        ("MESHLEDGER_SCHEDULED", Some("compact")),
        ("AWS_ALLOW_HTTP", Some("no")),
    ] {
        let mut process = RuntimeApi::start(PROGRAM, &but(&usual, name, value));
        let end = process.end();
        assert_eq!(end.code, Some(1), "{name}={value:?}: {}", process.log());
        let log = process.log();
        assert!(log.contains("can not begin") && log.contains(name), "{name}={value:?}: {log}");
        // A key is a secret, wherever it was put.
        assert!(
            !log.contains(&secret[secret.len() - 40..]) && !log.contains("KEY+archive"),
            "{log}"
        );
    }
    // The same in a function: the call fails, and its error says why.
    let stack = Ministack::shared();
    let wrong = but(&environment, "MESHLEDGER_KEY", Some("/var/task/ledger.key"));
    let function = stack.deploy(&Deploy::new("maintain-settings", PROGRAM, &wrong));
    let invoked = function.invoke(&seal());
    assert!(invoked.error.is_some(), "{invoked}");
    assert!(invoked.to_string().contains("MESHLEDGER_KEY"), "{invoked}");
    function.set_environment(&environment);
    assert_eq!(function.invoke(&seal()).ok()["sealed_through"], 0);
}

#[test]
fn what_fails_is_a_function_error_of_a_stable_type_and_the_next_call_works() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "lambda-errors");
    let function = stack.deploy(&Deploy::new("maintain-errors", PROGRAM, &environment));
    assert_eq!(function.invoke(&json!({ "action": "compact" })).error_type(), "Event");
    assert_eq!(function.invoke(&json!([1, 2])).error_type(), "Event");
    let long = json!({ "action": "x".repeat(5_000_000) });
    let invoked = function.invoke(&long);
    assert_eq!(invoked.error_type(), "Event");
    assert!(
        invoked.payload.len() < 1_000,
        "an answer does not repeat what came: {}",
        invoked.payload.len()
    );
    let _ = laptop.ingest_bytes("a.log", lines("a", 5));
    assert_eq!(function.invoke(&seal()).ok()["rows"], 5);

    // No archive there, no such key, nobody at the bucket's address.
    let elsewhere = server.archive_url("lambda-errors-nothing");
    function.set_environment(&but(&environment, "MESHLEDGER_ARCHIVE", Some(&elsewhere)));
    let invoked = function.invoke(&seal());
    assert!(invoked.to_string().contains("is not an archive"), "{invoked}");
    assert!(["Settings", "Rejected"].contains(&&*invoked.error_type()), "{invoked}");
    function.set_environment(&but(&environment, "MESHLEDGER_KEY", None));
    assert_eq!(function.invoke(&seal()).error_type(), "Settings");

    // The error of a queue's messages is the list of all of them, whatever the reason.
    let queued = json!({ "Records": [
        { "messageId": "m-1", "eventSource": "aws:sqs", "body": "" },
        { "messageId": "m-2", "eventSource": "aws:sqs", "body": "" },
    ] });
    let again = json!([{ "itemIdentifier": "m-1" }, { "itemIdentifier": "m-2" }]);
    assert_eq!(function.invoke(&queued).ok(), json!({ "batchItemFailures": again }));
    let failed = function.json_logs().into_iter().filter(|line| line["Failed"] == 1.0);
    let kinds: Vec<Value> = failed.map(|line| line["failed"]["kind"].clone()).collect();
    assert!(kinds.len() >= 5 && kinds.contains(&"Event".into()), "{kinds:?}");
}

#[test]
fn a_call_without_enough_time_says_so_itself_and_loses_nothing() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "lambda-time");
    let _ = laptop.ingest_bytes("a.log", lines("a", 5));
    let (port, _connected) = silence();
    let nobody = format!("http://127.0.0.1:{port}");
    let silent = but(&environment, "AWS_ENDPOINT_URL_S3", Some(&nobody));
    let deploy = Deploy { timeout: 2, ..Deploy::new("maintain-time", PROGRAM, &silent) };
    let function = stack.deploy(&deploy);
    let invoked = function.invoke(&seal());
    assert_eq!(invoked.error_type(), "OutOfTime", "{invoked}");
    let invoked = function.invoke(&json!({ "action": "verify" }));
    assert_eq!(invoked.error_type(), "OutOfTime", "{invoked}");
    function.set_environment(&environment);
    assert_eq!(function.invoke(&seal()).ok()["rows"], 5);
    laptop.verify_ok();
}

#[test]
fn an_idle_function_ends_at_once_when_it_is_told_to() {
    let server = Seaweed::shared();
    let (_laptop, environment) = archive(&server, "lambda-idle");
    let mut process = RuntimeApi::start(PROGRAM, &with_credentials(&environment));
    let started = process.first_poll();
    assert_eq!(process.call(br#"{"action":"seal"}"#).json()["sealed_through"], 0);
    process.signal("TERM");
    let end = process.end();
    assert_eq!(end.code, Some(0), "{}", process.log());
    assert!(end.took < Duration::from_secs(1), "{end:?}");
    eprintln!("exec to first poll: {started:?}, end after SIGTERM: {:?}", end.took);
}

#[test]
fn what_is_in_hand_at_sigterm_is_ended_and_answered_or_given_up_in_time() {
    let server = Seaweed::shared();
    let (laptop, environment) = archive(&server, "lambda-term");
    let _ = laptop.ingest_bytes("a.log", lines("a", 500));
    let usual = with_credentials(&environment);
    // A proxy without faults tells when the work has begun.
    let proxy = FaultyProxy::start(server.port(), 1, 6);
    proxy.set_faulty(false);
    let seen = format!("http://127.0.0.1:{}", proxy.port());
    let seen = but(&usual, "AWS_ENDPOINT_URL_S3", Some(&seen));
    let mut process = RuntimeApi::start(PROGRAM, &seen);
    let id = process.give(br#"{"action":"seal"}"#, Duration::from_secs(60));
    assert!(wait_for(Duration::from_secs(60), || proxy.counts().requests > 0));
    process.signal("TERM");
    let answer = process.answer();
    assert_eq!((answer.request_id.as_str(), answer.is_error), (&*id, false), "{answer:?}");
    assert_eq!(answer.json()["rows"], 500);
    assert_eq!(process.end().code, Some(0), "{}", process.log());

    // A bucket that does not answer: the time to end is over before the work is.
    let _ = laptop.ingest_bytes("b.log", lines("b", 5));
    let (port, connected) = silence();
    let nobody = format!("http://127.0.0.1:{port}");
    let silent = but(&usual, "AWS_ENDPOINT_URL_S3", Some(&nobody));
    let mut process = RuntimeApi::start(PROGRAM, &silent);
    process.give(br#"{"action":"seal"}"#, Duration::from_secs(60));
    connected.recv_timeout(Duration::from_secs(60)).unwrap();
    process.signal("TERM");
    let end = process.end();
    assert_eq!(end.code, Some(0), "{}", process.log());
    assert!(end.took < Duration::from_secs(3), "{end:?}");
    assert!(process.answer_within(Duration::ZERO).is_none());
    let mut process = RuntimeApi::start(PROGRAM, &usual);
    let _ = process.first_poll();
    assert_eq!(process.call(br#"{"action":"seal"}"#).json()["rows"], 5);
    laptop.verify_ok();
}

#[test]
fn a_function_that_is_killed_at_any_moment_is_made_up_for_by_the_next_call() {
    let server = Seaweed::shared();
    let (laptop, environment) = archive(&server, "lambda-killed");
    let proxy = FaultyProxy::start(server.port(), 3, 12);
    let troubled = format!("http://127.0.0.1:{}", proxy.port());
    let usual = with_credentials(&environment);
    let troubled = but(&usual, "AWS_ENDPOINT_URL_S3", Some(&troubled));
    let mut killed = 0;
    for (round, millis) in [5, 20, 40, 60, 80, 110, 140, 180].into_iter().enumerate() {
        for name in ["x", "y"] {
            let _ = laptop.ingest_bytes(name, lines(&format!("{round}-{name}"), 10));
        }
        let process = RuntimeApi::start(PROGRAM, if round % 2 == 0 { &usual } else { &troubled });
        process.give(br#"{"action":"seal"}"#, Duration::from_secs(60));
        process.wait_until_in_hand();
        let answered = process.answer_within(Duration::from_millis(millis));
        process.signal("KILL");
        killed += usize::from(answered.is_none());
        assert_eq!(laptop.events(), 20 * (i64::try_from(round).unwrap() + 1));
    }
    assert!(killed >= 3, "only {killed} were killed at work");
    let mut process = RuntimeApi::start(PROGRAM, &usual);
    let _ = process.first_poll();
    assert_eq!(process.call(br#"{"action":"seal"}"#).json()["is_complete"], true);
    assert_eq!(laptop.events(), 160);
    assert_eq!(laptop.number("SELECT count(DISTINCT request_id) FROM mesh_events"), 160);
    laptop.verify_ok();
}

#[test]
fn the_kit_refuses_an_answer_of_more_than_6_megabytes_as_lambda_does() {
    // The function is a few lines of Python: what is tested is what our other tests rest on.
    let body = "x".repeat(7 * 1024 * 1024);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootstrap");
    let script = format!(
        "#!/usr/bin/env python3\nimport os, urllib.request as u\n\
         base = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API'] + '/2018-06-01/runtime/invocation/'\n\
         id = u.urlopen(base + 'next').headers['lambda-runtime-aws-request-id']\n\
         try: u.urlopen(base + id + '/response', data=b'x' * {})\n\
         except Exception as e: print(e)\n",
        body.len()
    );
    std::fs::write(&path, script).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, permissions).unwrap();
    let path_variable = ("PATH", "/usr/bin:/bin:/usr/local/bin".to_owned());
    let mut process = RuntimeApi::start_program(path.to_str().unwrap(), &[path_variable]);
    process.give(b"{}", Duration::from_secs(60));
    let answer = process.answer();
    assert_eq!(answer.error_type(), "Function.ResponseSizeTooLarge");
    let _ = process.end();
    assert!(process.log().contains("413"), "{}", process.log());
}
