//! `serve`: OTLP over HTTP into an archive, as senders do it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::ministack::wait_for;
use meshledger_tests::otlp;
use meshledger_tests::records::{good, lines};
use meshledger_tests::server::{Reply, Server, send};
use meshledger_tests::tamper::files_below;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
/// Quick, and without a seal.
const QUICK: [&str; 4] = ["--batch-milliseconds", "20", "--seal-every-seconds", "0"];
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request of records with these ids.
fn request(ids: &[&str]) -> Vec<u8> {
    otlp::json(ids.iter().map(|id| good(id)))
}

/// Ids of all events, in order.
fn ids(laptop: &Laptop) -> Vec<String> {
    let rows = laptop.query("SELECT request_id FROM mesh_events ORDER BY 1");
    rows.iter().map(|row| row["request_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_encoding_of_a_request_becomes_rows_before_it_is_answered() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &[&QUICK[..], &["--cluster", "east"]].concat());
    let pretty: Value = serde_json::from_slice(&request(&["pretty"])).unwrap();
    let pretty = serde_json::to_vec_pretty(&pretty).unwrap();
    let protobuf = |id: &str| otlp::protobuf([good(id)]);
    let zstd = zstd::encode_all(&request(&["zstd"])[..], 3).unwrap();
    let mut expected = Vec::new();
    for (id, media, coding, body) in [
        ("json", JSON, None, request(&["json"])),
        ("pretty", JSON, None, pretty),
        ("gzip", JSON, Some("gzip"), gzip(&request(&["gzip"]))),
        ("zstd", JSON, Some("zstd"), zstd),
        ("protobuf", PROTOBUF, None, protobuf("protobuf")),
        ("protobuf-gzip", PROTOBUF, Some("gzip"), gzip(&protobuf("protobuf-gzip"))),
    ] {
        let mut headers = vec![media];
        headers.extend(coding.map(|coding| ("content-encoding", coding)));
        let reply = server.export(&headers, &body);
        assert_eq!(reply.header("content-type"), Some(media.1));
        assert_eq!(reply.body, if media == JSON { &b"{}"[..] } else { b"" }, "{reply:?}");
        expected.push(id.to_owned());
        expected.sort();
        assert_eq!(ids(&laptop), expected);
    }
    for (media, empty) in [(JSON, "{}"), (JSON, "{\"resourceLogs\":[]}"), (PROTOBUF, "")] {
        let _ = server.export(&[media], empty.as_bytes());
    }
    assert_eq!(server.send("GET /healthz", &[], b"").body, b"ok\n");
    assert_eq!(server.send("HEAD /healthz", &[], b"").status, 200);
    let _ = server.stop();
    let rows = laptop
        .query("SELECT DISTINCT transport, k8s_cluster, decision, mesh, url_path FROM mesh_events");
    let row = json!({"transport": "otlp_http", "k8s_cluster": "east", "decision": "allow",
        "mesh": "istio", "url_path": "/reviews/7"});
    assert_eq!(rows, [row]);
    assert_eq!(laptop.number("SELECT count(*) FROM mesh_quarantine"), 0);
    let _ = laptop.seal();
    laptop.verify_ok();
}

#[test]
fn what_can_not_be_taken_is_refused_as_otlp_says_and_archives_nothing() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    let gone = ("content-encoding", "gzip");
    let cut = &gzip(&request(&["a"]))[..30];
    for (status, headers, body) in [
        (415, &[][..], &request(&["a"])[..]),
        (415, &[("content-type", "text/plain")], b"hello"),
        (415, &[JSON, ("content-encoding", "br")], b"hello"),
        (400, &[JSON], b""),
        (400, &[JSON], b"hello"),
        (400, &[JSON], b"{\"resourceLogs\":[{\"scopeLogs\":7}]}"),
        (400, &[JSON, gone], b"{}"),
        (400, &[JSON, gone], cut),
        (400, &[PROTOBUF], b"{}"),
        (413, &[JSON], &large),
        (413, &[JSON, gone], &gzip(&large)),
    ] {
        let reply = server.send("POST /v1/logs", headers, body);
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.header("retry-after"), None, "a sender must not come again: {reply:?}");
        if headers.first() == Some(&PROTOBUF) {
            assert_eq!(reply.header("content-type"), Some(PROTOBUF.1));
            assert_eq!(reply.body[..2], [0x08, 3], "{reply:?}");
        } else {
            assert!(reply.json()["message"].as_str().unwrap().contains("expected"), "{reply:?}");
        }
    }
    for (status, line) in
        [(405, "GET /v1/logs"), (405, "POST /healthz"), (404, "POST /v1/traces"), (404, "GET /")]
    {
        assert_eq!(server.send(line, &[JSON], b"{}").status, status, "{line}");
    }
    // What is no HTTP at all does no harm.
    server.connect().write_all(b"\x16\x03\x01\x00\xa5\x01\x00").unwrap();
    let _ = server.export(&[JSON], &request(&["after"]));
    let _ = server.stop();
    assert_eq!(ids(&laptop), ["after"]);
    assert_eq!(laptop.number("SELECT count(*) FROM mesh_quarantine"), 0);
}

#[test]
fn records_that_are_not_understood_are_counted_for_the_sender_and_kept() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    let mut mixed: Value = serde_json::from_slice(&request(&["a", "b"])).unwrap();
    // No time, and no line of which one could be taken.
    mixed["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1] =
        json!({"body": {"stringValue": "?"}});
    let body = mixed.to_string().into_bytes();
    let reply = server.export(&[JSON], &body).json();
    assert_eq!(reply["partialSuccess"]["rejectedLogRecords"], "1", "{reply}");
    assert!(reply["partialSuccess"]["errorMessage"].as_str().unwrap().contains("mesh_quarantine"));
    let none = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{},{}]}]}]}"#;
    let reply = server.export(&[JSON], none).json();
    assert_eq!(reply["partialSuccess"]["rejectedLogRecords"], "3", "{reply}");
    let _ = server.stop();
    assert_eq!(ids(&laptop), ["a"]);
    assert_eq!(laptop.number("SELECT count(*) FROM mesh_quarantine"), 2);
}

#[test]
fn a_text_in_another_encoding_costs_no_record_anything() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    // As Envoy sends a header value in Latin-1.
    let mut body = otlp::protobuf([good("before"), good("caf?"), good("behind")]);
    let at = body.windows(4).position(|window| window == b"caf?").unwrap();
    body[at + 3] = 0xe9;
    assert_eq!(server.export(&[PROTOBUF], &body).body, b"");
    let _ = server.export(&[PROTOBUF], &body);
    let _ = server.stop();
    assert_eq!(ids(&laptop), ["before", "behind", "café"]);
    let _ = laptop.seal();
    laptop.verify_ok();
}

#[test]
fn the_same_body_again_adds_nothing() {
    let laptop = Laptop::new();
    let body = request(&["a", "b"]);
    let server =
        Server::start(&laptop, &["--batch-milliseconds", "300", "--seal-every-seconds", "0"]);
    // At the same time, in one window or two, and in another coding.
    let gzipped = gzip(&body);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (server, body, gzipped) = (&server, &body, &gzipped);
            scope.spawn(move || match number % 2 {
                0 => server.export(&[JSON], body),
                _ => server.export(&[JSON, ("content-encoding", "gzip")], gzipped),
            });
        }
    });
    assert_eq!(ids(&laptop), ["a", "b"]);
    // Later, together with something new.
    std::thread::scope(|scope| {
        scope.spawn(|| server.export(&[JSON], &body));
        scope.spawn(|| server.export(&[JSON], &request(&["c"])));
    });
    let _ = server.stop();
    // To another server, before and after a seal, and as a file.
    for _ in 0..2 {
        let server = Server::start(&laptop, &QUICK);
        let _ = server.export(&[JSON], &body);
        let _ = server.stop();
        let _ = laptop.seal();
    }
    let summary = laptop.ingest_bytes("export.json", &body);
    assert_eq!(summary["units_already_held"], 1, "{summary}");
    assert_eq!(ids(&laptop), ["a", "b", "c"]);
    laptop.verify_ok();
}

#[test]
fn many_senders_at_once_lose_nothing_and_share_deliveries() {
    let laptop = Laptop::new();
    let arguments = ["--batch-milliseconds", "200", "--seal-every-seconds", "1"];
    let server = Server::start(&laptop, &arguments);
    std::thread::scope(|scope| {
        for sender in 0..40 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..5 {
                    let id = format!("{sender}-{number}");
                    let line = good(&id);
                    let _ = match number % 2 {
                        0 => server.export(&[JSON], &otlp::json([line])),
                        _ => server.export(&[PROTOBUF], &otlp::protobuf([line])),
                    };
                }
            });
        }
    });
    let _ = server.stop();
    assert_eq!(ids(&laptop).len(), 200);
    assert_eq!(laptop.seal()["commits"], 0, "it has sealed all of it itself");
    let deliveries = files_below(&laptop.archive_path().join("manifests")).len();
    assert!((2..=60).contains(&deliveries), "{deliveries} deliveries of 200 requests");
    laptop.verify_ok();
}

#[test]
fn sigterm_under_load_keeps_all_that_was_acknowledged_and_ends_well() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &["--batch-milliseconds", "150"]);
    let port = server.port();
    // An idle connection, and one that has begun a request it will finish.
    let mut idle = server.connect();
    let acknowledged = Mutex::new(HashSet::new());
    let ended = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        for sender in 0..16 {
            let (acknowledged, ended) = (&acknowledged, &ended);
            scope.spawn(move || {
                for number in 0.. {
                    let id = format!("{sender}-{number}");
                    let sent = send(port, "POST /v1/logs", &[JSON], &request(&[&id]));
                    match sent {
                        Some(reply) if reply.status == 200 => {
                            acknowledged.lock().unwrap().insert(id);
                        }
                        Some(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                        None => {}
                    }
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while acknowledged.lock().unwrap().len() < 60 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        server.terminate();
        let output = server.finish();
        ended.store(true, Ordering::Relaxed);
        output
    });
    let _ = output.expect(0);
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0, "the idle connection is closed");
    let there: HashSet<String> = ids(&laptop).into_iter().collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= 60, "{} requests were acknowledged", acknowledged.len());
    let lost: Vec<&String> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(laptop.seal()["commits"], 0, "it has sealed at its end");
    laptop.verify_ok();
}

#[test]
fn a_server_that_is_killed_has_kept_what_it_acknowledged() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    for number in 0..10 {
        let _ = server.export(&[JSON], &request(&[&format!("{number}")]));
    }
    let _ = server.kill();
    assert_eq!(ids(&laptop).len(), 10);
    let server = Server::start(&laptop, &["--batch-milliseconds", "20"]);
    let _ = server.export(&[JSON], &request(&["0"]));
    let _ = server.stop();
    assert_eq!(ids(&laptop).len(), 10);
    laptop.verify_ok();
}

#[test]
fn an_archive_that_can_not_be_written_sends_senders_away_for_a_while() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    let _ = server.export(&[JSON], &request(&["a"]));
    let data = laptop.archive_path().join("data");
    let aside = laptop.path("aside");
    fs::rename(&data, &aside).unwrap();
    fs::write(&data, b"in the way").unwrap();
    let reply = server.send("POST /v1/logs", &[JSON], &request(&["b"]));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    fs::remove_file(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    let _ = server.export(&[JSON], &request(&["b"]));
    let output = server.stop().says("requests were not archived");
    assert!(output.stderr.contains("data"), "{}", output.report());
    assert_eq!(ids(&laptop), ["a", "b"]);
}

#[test]
fn more_than_memory_allows_is_told_to_come_again() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    // Each announces the largest body, sends a little of it, and stalls: 128 MiB are spoken for.
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {BODY_BYTES_MAX}\r\n\r\n{{"
    );
    let stalled: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(25);
    let reply = loop {
        // The stalled ones may not have been read yet.
        let reply = server.send("POST /v1/logs", &[JSON], &request(&["early"]));
        if reply.status != 200 || Instant::now() > deadline {
            break reply;
        }
    };
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert_eq!(server.send("GET /healthz", &[], b"").status, 200);
    drop(stalled);
    let _ = server.export(&[JSON], &request(&["late"]));
    let _ = server.stop();
    assert!(ids(&laptop).contains(&"late".to_owned()));
}

#[test]
fn an_address_that_is_taken_is_said() {
    let laptop = Laptop::new();
    let server = Server::start(&laptop, &QUICK);
    let listen = format!("127.0.0.1:{}", server.port());
    let second = laptop.command("serve").args(["--listen", &listen]).run().expect(3);
    let _ = second.says(&listen).says("--listen");
    // And no archive is made where nothing will be served.
    let empty = Laptop::empty();
    let _ = empty.command("serve").args(["--listen", &listen]).run().expect(3);
    assert!(!empty.archive_path().exists());
}

#[test]
fn a_server_makes_the_archive_and_what_is_sent_can_be_asked_for_at_once() {
    let laptop = Laptop::empty();
    // Questions would be events too.
    let server = Server::start(&laptop, &["--trail", "off"]);
    let began = Instant::now();
    let sent = server.send("POST /v1/records", &[], &lines("r", 50));
    assert_eq!((sent.status, sent.json()), (200, json!({"accepted": 50, "quarantined": 0})));
    let ask = |sql: &str| {
        let body = json!({ "sql": sql }).to_string();
        let headers = [("content-type", "application/json")];
        let reply = server.send("POST /v1/query", &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let count = "SELECT count(*) AS n FROM mesh_events";
    assert_eq!(ask(count)["rows"], json!([{"n": 50}]));
    let visible = began.elapsed();
    let sealed = || ask(count)["receipt"]["unsealed_rows"] == 0;
    assert!(wait_for(Duration::from_secs(60), sealed));
    println!("visible after {visible:?}, sealed after {:?}", began.elapsed());
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [{
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
        "auditID": "00000000-0000-4000-8000-000000000001", "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/shop/secrets", "verb": "list",
        "user": {"username": "jane"}, "sourceIPs": ["1.2.3.4"],
        "requestReceivedTimestamp": "2026-11-02T10:15:31.000000Z",
        "stageTimestamp": "2026-11-02T10:15:31.100000Z"}]});
    let headers = [("content-type", "application/json")];
    let body = serde_json::to_vec_pretty(&list).unwrap();
    for _ in 0..2 {
        assert_eq!(server.send("POST /v1/audit", &headers, &body).status, 200);
    }
    let by_transport = "SELECT transport, count(*) AS n FROM mesh_events GROUP BY 1 ORDER BY 1";
    let expected = json!([{"n": 1, "transport": "audit_webhook"}, {"n": 50, "transport": "http"}]);
    assert_eq!(ask(by_transport)["rows"], expected);
    // A key names a body, whatever is in it.
    let key = [("idempotency-key", "7f")];
    for name in ["a", "b"] {
        assert_eq!(server.send("POST /v1/records", &key, &lines(name, 1)).status, 200);
    }
    assert_eq!(ask(count)["rows"], json!([{"n": 52}]));
    for (line, headers, status) in [
        ("GET /v1/records", &[][..], 405),
        ("POST /v1/audit", &[], 415),
        ("POST /v1/nothing", &[], 404),
        ("GET /v1/query", &[], 405),
    ] {
        assert_eq!(server.send(line, headers, b"{}").status, status, "{line}");
    }
    let _ = server.stop();
    laptop.verify_ok();
}

#[test]
fn metrics_go_to_the_collector_that_is_named() {
    let collector = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", collector.local_addr().unwrap().port());
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            // An empty line ends the head.
            while reader.read_line(&mut head).is_ok_and(|read| read > "\r\n".len()) {}
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.unwrap().trim().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            if sender.send((head, serde_json::from_slice::<Value>(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    let folder = Laptop::empty();
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200".to_owned()),
    ];
    let laptop = Laptop::remote(folder.archive(), variables);
    let server = Server::start(&laptop, &[]);
    server.send("POST /v1/records", &[], &[&lines("r", 7)[..], b"odd\n"].concat());
    server.send("POST /v1/records", &[], &[&lines("r", 7)[..], b"odd\n"].concat());
    let value = |request: &Value, name: &str| {
        let metrics =
            request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == name)?;
        let points = metric.get("sum").or(metric.get("gauge")).unwrap()["dataPoints"].clone();
        points[0]["asInt"].as_str().unwrap().parse::<u64>().ok()
    };
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < limit, "no request told of all");
        let (head, request) = heard.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(head.starts_with("POST /v1/metrics "), "{head}");
        let all = [
            value(&request, "meshledger.events.archived"),
            value(&request, "meshledger.records.quarantined"),
            value(&request, "meshledger.units.duplicate"),
        ];
        if all == [Some(7), Some(1), Some(1)] {
            break;
        }
    }
    let _ = server.stop();
}

#[test]
fn more_queries_than_may_run_and_wait_are_told_to_come_back() {
    const AT_ONCE: usize = 8 + 64;
    let laptop = Laptop::empty();
    let server = Server::start(&laptop, &["--trail", "off"]);
    let ask = |sql: &str, milliseconds: u64| {
        let body = json!({"sql": sql, "limits": {"milliseconds": milliseconds}}).to_string();
        server.send("POST /v1/query", &[JSON], body.as_bytes())
    };
    let code = |reply: &Reply| reply.json()["error"]["code"].as_str().unwrap().to_owned();
    // Computes until its time is over.
    let endless =
        "SELECT sum(a.value * b.value % 7) FROM range(0, 1000000) AS a, range(0, 1000000) AS b";
    let (sender, replies) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..=AT_ONCE {
            let sender = sender.clone();
            scope.spawn(move || sender.send(ask(endless, ENDLESS_MILLISECONDS)).unwrap());
        }
        // One too many, whichever came last: as long as the others run and wait, no other is
        // answered.
        let refused = replies.recv().unwrap();
        assert_eq!((refused.status, code(&refused).as_str()), (503, "LIMIT_QUERIES"));
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains("8 queries run and 64 wait"), "{text}");
        // So is a quick one.
        let quick = ask("SELECT 1 AS n", ENDLESS_MILLISECONDS);
        assert_eq!((quick.status, code(&quick).as_str()), (503, "LIMIT_QUERIES"));
        // What is no query needs no place.
        let wrong = ask("SELEC", ENDLESS_MILLISECONDS);
        assert_eq!(code(&wrong), "SYNTAX");
    });
    drop(sender);
    let codes: Vec<String> = replies.iter().map(|reply| code(&reply)).collect();
    assert_eq!(codes.len(), AT_ONCE);
    // Eight ran until their time was over; who waited as long had no turn, or a short one.
    let ran = codes.iter().filter(|code| *code == "LIMIT_TIME").count();
    let waited = codes.iter().filter(|code| *code == "LIMIT_QUERIES").count();
    assert!(ran >= 8 && ran + waited == AT_ONCE, "{codes:?}");
    let answered = || {
        let reply = ask("SELECT 1 AS n", ENDLESS_MILLISECONDS);
        reply.status == 200 && reply.json()["rows"] == json!([{"n": 1}])
    };
    assert!(wait_for(Duration::from_secs(60), answered));
    let _ = server.stop();
}

/// Longer than it takes until as many queries have come as may.
const ENDLESS_MILLISECONDS: u64 = 8_000;
