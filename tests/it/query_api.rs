//! The query function's answers, read and fetched by programs that share no code with it.

use std::path::Path;
use std::time::Duration;

use archive::{Archive, ArchiveError, Location, StoreOptions};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::python::script;
use meshledger_tests::seaweed::Seaweed;
use query_fn::questions::Questions;
use query_fn::service::{Call, Reply, Service, Settings};
use query_fn::{Engine, Limits};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Options of a store, from the environment that the command line would get.
fn options(environment: &[(&'static str, String)]) -> StoreOptions {
    let value = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    };
    StoreOptions {
        endpoint: value("AWS_ENDPOINT_URL"),
        region: value("AWS_REGION"),
        access_key_id: value("AWS_ACCESS_KEY_ID"),
        secret_access_key: value("AWS_SECRET_ACCESS_KEY"),
        allow_http: true,
        ..StoreOptions::default()
    }
}

async fn open(url: &str, options: &StoreOptions) -> Archive {
    Archive::open(&Location::parse(url, None).unwrap(), options).await.unwrap()
}

fn service(archive: &Archive, settings: Settings) -> Service {
    let engine = Engine::new(archive.reader(), Limits::default()).unwrap();
    let questions = Questions::built_in().unwrap();
    Service::new(engine, questions, Some(archive.results()), settings)
}

async fn ask(service: &Service, id: &str, request: Value) -> Value {
    let (time_left, id) = (HOUR, id.to_owned());
    let call = Call { time_left, now_micros: 1_793_577_600_000_000, id, caller: None };
    match service.answer(request.to_string().as_bytes(), call).await {
        Reply::Payload(bytes) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("{request}: {other:?}"),
    }
}

/// Has other programs read answers from files: a format and a file each.
fn read_answers(files: &[(&str, &Path)], expected: &Value) {
    let files = files.iter().map(|(format, path)| format!("{format}={}", path.display()));
    let output = script("read_answers.py").args([expected.to_string()]).args(files).run();
    assert_eq!(output.code, Some(0), "read differently: {}", output.report());
    eprintln!("{}", output.text());
}

/// Fetches a result: status, length and SHA-256.
pub(crate) fn fetch(url: &str, after_seconds: u32) -> Value {
    let output = script("fetch.py").args([url.to_owned(), after_seconds.to_string()]).run();
    assert_eq!(output.code, Some(0), "{}", output.report());
    output.json()
}

#[test]
fn other_programs_read_every_format() {
    let laptop = Laptop::new();
    let _ = laptop.ingest([&fixture("envoy/captured-default.jsonl")]).run().expect(0);
    runtime().block_on(async {
        let archive = open(laptop.archive(), &StoreOptions::default()).await;
        let service = service(&archive, Settings::default());
        let sql = "SELECT event_time, src_ip AS who, http_status, decision, \
                   principal IS NULL AS unknown, arrow_cast(raw, 'Binary') AS bytes, \
                   make_array(decision, 'é\"') AS list, segment_row * 1.5 AS real, event_date \
                   FROM mesh_events ORDER BY segment, segment_row";
        let mut files = Vec::new();
        for format in ["json", "ndjson", "csv", "arrow", "parquet"] {
            let request = json!({"sql": sql, "format": format, "delivery": "url"});
            let told = ask(&service, format, request).await;
            let path = told["result"]["url"].as_str().unwrap_or_else(|| panic!("{told}"));
            files.push((format, path.strip_prefix("file://").unwrap().to_owned()));
        }
        let told = ask(&service, "x", json!({"sql": sql})).await;
        let expected = json!({"rows": told["rows"], "columns": told["columns"]});
        assert!(expected["rows"].as_array().unwrap().len() > 20, "{told}");
        let files: Vec<_> = files.iter().map(|(format, path)| (*format, Path::new(path))).collect();
        read_answers(&files, &expected);
    });
}

#[test]
fn a_long_answer_is_fetched_from_s3_by_whoever_has_its_url() {
    let server = Seaweed::shared();
    let environment = Seaweed::environment(server.port());
    let laptop = Laptop::remote(&server.archive_url("query-results"), environment.clone());
    let _ = laptop.command("init").args(["--no-ledger"]).run().expect(0);
    runtime().block_on(async {
        let archive = open(laptop.archive(), &options(&environment)).await;
        let settings = Settings { inline_bytes_max: 50_000, ..Settings::default() };
        let service = service(&archive, settings.clone());
        // One put, and an upload of three parts.
        for (id, rows) in [("short", 100), ("long", 20_000)] {
            let sql = format!("SELECT value, repeat('z', 1000) AS pad FROM range(0, {rows})");
            let told = ask(&service, id, json!({"sql": sql, "format": "ndjson"})).await;
            let result = &told["result"];
            assert_eq!(result["expires_at"], "2026-11-02T01:00:00Z", "{told}");
            let fetched = fetch(result["url"].as_str().unwrap(), 0);
            assert_eq!(fetched["status"], 200, "{fetched}");
            assert_eq!(fetched["sha256"], result["sha256"]);
            assert_eq!(fetched["bytes"], result["bytes"]);
            assert!(fetched["bytes"].as_u64().unwrap() > rows * 1_000);
            assert_eq!(fetched["last_line"]["receipt"]["rows_returned"], rows);
            // Without its signature the URL leads nowhere.
            let bare = result["url"].as_str().unwrap().split('?').next().unwrap();
            assert_eq!(fetch(bare, 0)["status"], 403);
        }
        let settings = Settings { url_lasts: Duration::from_secs(1), ..settings };
        let brief = self::service(&archive, settings);
        let told = ask(&brief, "brief", json!({"sql": "SELECT 1", "delivery": "url"})).await;
        let url = told["result"]["url"].as_str().unwrap();
        assert_eq!(fetch(url, 3)["status"], 403, "it ended");
    });
}

#[test]
fn the_query_function_needs_no_right_to_write_but_below_results() {
    let server = Seaweed::shared();
    let test = Seaweed::QUERY_ROLE_ARCHIVE;
    let environment = Seaweed::environment(server.port());
    let laptop = Laptop::remote(&server.archive_url(test), environment);
    let _ = laptop.command("init").args(["--no-ledger"]).run().expect(0);
    let _ = laptop.ingest([&fixture("envoy/captured-default.jsonl")]).run().expect(0);
    runtime().block_on(async {
        let role = options(&Seaweed::query_role(server.port()));
        let archive = open(laptop.archive(), &role).await;
        let settings = Settings { inline_bytes_max: 10_000, ..Settings::default() };
        let service = service(&archive, settings);
        let told = ask(&service, "role", json!({"sql": "SELECT * FROM mesh_events"})).await;
        assert!(told["receipt"]["rows_returned"].as_u64().unwrap() > 20, "{told}");
        let fetched = fetch(told["result"]["url"].as_str().unwrap(), 0);
        assert_eq!(
            (&fetched["status"], &fetched["sha256"]),
            (&json!(200), &told["result"]["sha256"])
        );
        let many = json!({"sql": "SELECT repeat('z', 1000) FROM range(0, 20000)"});
        let told = ask(&service, "many", many).await;
        assert_eq!(
            fetch(told["result"]["url"].as_str().unwrap(), 0)["sha256"],
            told["result"]["sha256"]
        );
        // What the role can not do, were the seat no fence.
        let bytes = bytes::Bytes::from_static(b"x");
        let path = common::layout::quarantine_key(common::Sha256Digest::of(&bytes));
        let refused = archive.writer().put_file(&path, bytes).await.unwrap_err();
        assert!(matches!(refused, ArchiveError::Refused { .. }), "{refused}");
    });
}

#[test]
fn a_statement_comes_beside_the_receipt_and_is_rechecked() {
    let laptop = Laptop::signed();
    let _ = laptop.ingest([&fixture("envoy/captured-default.jsonl")]).run().expect(0);
    let _ = laptop.seal();
    let mut digests = Vec::new();
    let mut keep = |name: &str, statement: &Value| {
        // As a program would keep it: laid out anew.
        let path = laptop.write(name, serde_json::to_string_pretty(statement).unwrap());
        let checked = laptop.command("recheck").args([&path]).run();
        assert_eq!(checked.code, Some(0), "{name}: {}", checked.report());
        let _ = script("receipt.py").args([&path]).run().expect(0);
        digests.push(statement["result"]["digest"].clone());
    };
    runtime().block_on(async {
        let archive = open(laptop.archive(), &StoreOptions::default()).await;
        let service = service(&archive, Settings::default());
        let sql =
            "SELECT decision, count(*) AS n FROM mesh_events WHERE http_status > $s GROUP BY 1";
        for (format, delivery) in [
            ("json", "auto"),
            ("ndjson", "auto"),
            ("csv", "auto"),
            ("arrow", "inline"),
            ("parquet", "auto"),
            ("json", "url"),
            ("csv", "url"),
        ] {
            let request = json!({
                "sql": sql, "parameters": {"s": 100}, "format": format, "delivery": delivery,
                "receipt": "statement",
            });
            let name = format!("{format}-{delivery}");
            let told = ask(&service, &name, request).await;
            assert_eq!(told["receipt"]["mode"], "strict", "{told}");
            let statement = &told["statement"];
            assert_eq!(statement["created_at"], "2026-11-02T00:00:00.000000Z");
            assert_eq!(
                statement["parameters"],
                json!([{"name": "s", "type": "integer", "value": "100"}])
            );
            keep(&name, statement);
            if format == "ndjson" {
                let body = told["body"].as_str().unwrap();
                let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
                assert_eq!(&last["statement"], statement);
            }
        }
        let question =
            json!({"question": "denied_by_policy", "receipt": "statement", "mode": "strict"});
        let told = ask(&service, "question", question).await;
        assert_eq!(told["statement"]["question"], "denied_by_policy");
        // Without being asked for there is none.
        let told = ask(&service, "plain", json!({"sql": "SELECT 1", "mode": "strict"})).await;
        assert!(told["statement"].is_null() && told["receipt"]["complete"] == true, "{told}");
    });
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}
