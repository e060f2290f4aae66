//! The query trail, from the question to the sealed event that tells of it; and who may ask what
//! over the network.

use std::time::Duration;

use meshledger_tests::cli::Program;
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::ministack::{Deploy, Ministack, wait_for};
use meshledger_tests::paths::{repository, venv};
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::server::{Reply, Server};
use serde_json::{Value, json};

/// Longest wait for what a queue does by itself.
const LIMIT: Duration = Duration::from_secs(90);

const COUNT: &str =
    "SELECT count(*) AS n FROM mesh_events WHERE source_format <> 'meshledger_query'";

/// The trail but for digests, times and versions, in the order of what was asked.
const TRAIL: &str = "SELECT who, sql, mode, rows_returned, outcome, error_code, elapsed_us > 0 AS took, \
                     bytes > 0 AS read_some FROM query_trail ORDER BY asked_at";

fn trail(laptop: &Laptop) -> Vec<Value> {
    laptop.query(TRAIL)
}

#[test]
fn a_query_of_the_function_is_an_event_by_way_of_the_queue() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let name = "query-trail";
    let laptop = Laptop::remote(&server.archive_url(name), Seaweed::environment(server.port()));
    let _ = laptop.command("init").run().expect(0);
    let _ = laptop.ingest_bytes("a.log", lines("a", 20));
    let mut environment = Seaweed::function_environment(server.port());
    environment.push(("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()));
    let queue = stack.queue(name, 5);
    let ingest = stack.deploy(&Deploy::new("trail-ingest", "meshledger-ingest-fn", &environment));
    ingest.listen_to(&queue.arn(), 5, &json!({}));
    // Every request to it fails, in one way or another, when it is switched on.
    let proxy = FaultyProxy::start(stack.port(), 7, 1);
    proxy.set_faulty(false);
    environment.extend([
        ("MESHLEDGER_TRAIL_QUEUE", queue.url(proxy.port())),
        ("MESHLEDGER_TRAIL", "required".to_owned()),
        ("MESHLEDGER_DIRECT_CALLER", "robot".to_owned()),
    ]);
    let function = stack.deploy(&Deploy::new("trail-query", "meshledger-query-fn", &environment));
    let ask = |sql: &str| function.invoke(&json!({ "sql": sql })).ok();
    assert_eq!(ask(COUNT)["rows"], json!([{"n": 20}]), "{:#?}", function.logs());
    assert_eq!(ask("SELEC")["error"]["code"], "SYNTAX");
    let arrived = || trail(&laptop).len() == 2;
    assert!(wait_for(LIMIT, arrived), "{:#?} {:#?}", ingest.logs(), function.logs());
    assert_eq!(
        trail(&laptop),
        [
            json!({"who": "robot", "sql": COUNT, "mode": "fresh", "rows_returned": 1,
                   "outcome": "ok", "error_code": null, "took": true, "read_some": true}),
            json!({"who": "robot", "sql": "SELEC", "mode": "fresh", "rows_returned": null,
                   "outcome": "SYNTAX", "error_code": "SYNTAX", "took": true, "read_some": null}),
        ]
    );
    let of_queue = "SELECT count(*) AS n FROM query_trail WHERE transport = 'sqs' \
         AND sql_sha256 = encode(digest(sql, 'sha256'), 'hex')";
    assert_eq!(laptop.number(of_queue), 2);
    proxy.set_faulty(true);
    assert_eq!(ask(COUNT)["error"]["code"], "TRAIL");
    let best_effort = environment.iter().map(|(name, value)| match *name {
        "MESHLEDGER_TRAIL" => (*name, "best-effort".to_owned()),
        _ => (*name, value.clone()),
    });
    function.set_environment(&best_effort.collect::<Vec<_>>());
    assert_eq!(ask(COUNT)["rows"], json!([{"n": 20}]));
    let lost = |line: &Value| line["TrailLost"].as_f64().unwrap_or_default();
    let counted = || function.json_logs().iter().map(lost).sum::<f64>() == 2.0;
    assert!(wait_for(LIMIT, counted), "{:#?}", function.logs());
    // Sealed like everything else.
    laptop.seal();
    laptop.verify_ok();
}

fn post(server: &Server, secret: Option<&str>, body: &Value) -> Reply {
    let bearer = secret.map(|secret| format!("Bearer {secret}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    server.send("POST /v1/query", &headers, body.to_string().as_bytes())
}

#[test]
fn what_a_server_is_asked_is_in_its_archive() {
    let laptop = Laptop::empty();
    let server = Server::start(&laptop, &["--trail", "required", "--trail-literals", "redact"]);
    assert_eq!(server.send("POST /v1/records", &[], &lines("r", 5)).status, 200);
    let sql = format!("{COUNT} AND request_id <> 'secret' -- mine");
    assert_eq!(post(&server, None, &json!({ "sql": sql })).json()["rows"], json!([{"n": 5}]));
    assert_eq!(post(&server, None, &json!({"sql": "DROP TABLE mesh_events"})).status, 403);
    // What is required is there when the answer is.
    let shown =
        "SELECT count(*) AS n FROM mesh_events WHERE source_format <> ? AND request_id <> ?  ";
    let rows = trail(&laptop);
    assert_eq!(rows[0]["sql"].as_str().unwrap().trim_end(), shown.trim_end());
    assert_eq!((&rows[0]["who"], &rows[1]["outcome"]), (&json!("local"), &json!("REFUSED")));
    // Whoever asks the trail is on it, once.
    let asked = post(&server, None, &json!({"sql": "SELECT count(*) AS n FROM query_trail"}));
    assert_eq!(asked.json()["rows"], json!([{"n": 2}]));
    assert_eq!(trail(&laptop).len(), 3);
    let _ = server.stop();
    laptop.verify_ok();
}

/// printf s3cret | sha256sum
const SECRET: &str = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";

#[test]
fn a_server_shows_each_caller_what_the_policy_says() {
    let laptop = Laptop::empty();
    let policy = laptop.path("access.json");
    let text = json!({"rules": [
        {"name": "ann", "who": ["secret:ann"], "tables": {
            "mesh_events": {"rows": "request_id = 'r-3'", "mask": {"src_ip": "null"}}}},
    ]});
    std::fs::write(&policy, text.to_string()).unwrap();
    let callers = format!("ann={SECRET}");
    let access = policy.to_str().unwrap();
    let arguments = ["--access", access, "--callers", &callers, "--trail", "off"];
    let server = Server::start(&laptop, &arguments);
    assert_eq!(server.send("POST /v1/records", &[], &lines("r", 5)).status, 200);
    let body = json!({"sql": "SELECT count(*) AS n, count(src_ip) AS ips FROM mesh_events"});
    for wrong in [None, Some("s3cre"), Some(SECRET)] {
        let reply = post(&server, wrong, &body);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")));
    }
    let told = post(&server, Some("s3cret"), &body).json();
    assert_eq!(told["rows"], json!([{"n": 1, "ips": 0}]), "{told}");
    assert_eq!(
        (&told["receipt"]["restricted"], &told["receipt"]["files_total"]),
        (&json!(true), &Value::Null)
    );
    let explain = json!({"sql": "EXPLAIN SELECT 1 FROM mesh_events"});
    assert_eq!(post(&server, Some("s3cret"), &explain).json()["error"]["code"], "ACCESS");
    let _ = server.stop();
    // The same policy on the command line, and a caller whom it does not name.
    let sql = "SELECT count(*) AS n FROM mesh_events";
    let ask = |caller: &str| {
        let query = laptop.command("query").args(["--format", "json", "--access", access]);
        query.args(["--as", caller, sql]).run()
    };
    assert!(ask("secret:ann").expect(0).text().contains("{\"n\":1}"));
    let _ = ask("bob").expect(6).says("ACCESS");
    let broken = laptop.path("broken.json");
    std::fs::write(&broken, "{}").unwrap();
    let query = laptop.command("query").args(["--access", broken.to_str().unwrap(), sql]);
    let _ = query.run().expect(3).says("rules");
}

#[test]
fn a_query_on_the_command_line_leaves_an_entry_if_it_is_told_to() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let ask = |more: &[&str], sql: &str| {
        let query = laptop.command("query").args(["--format", "json"]);
        query.args(more.iter().copied()).args([sql]).run()
    };
    let required = ["--trail", "required", "--as", "ann"];
    assert!(ask(&required, COUNT).expect(0).text().contains("{\"n\":3}"));
    let _ = ask(&required, "SELECT nope FROM mesh_events").expect(6);
    let _ = ask(&[], COUNT).expect(0);
    let rows = trail(&laptop);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_eq!((&rows[0]["who"], &rows[0]["rows_returned"]), (&json!("ann"), &json!(1)));
    assert_eq!((&rows[1]["outcome"], &rows[1]["error_code"]), (&json!("PLAN"), &json!("PLAN")));
    // A queue that nobody has: the query fails only where it must.
    let queue = ["--trail-queue", "http://127.0.0.1:1/111122223333/trail"];
    let absent = |how: &'static str| {
        let query = laptop.command("query").envs(Seaweed::environment(1));
        query.args(["--format", "json", "--trail", how]).args(queue).args([COUNT]).run()
    };
    let _ = absent("required").expect(5).says("TRAIL");
    let _ = absent("best-effort").expect(0);
    assert_eq!(trail(&laptop).len(), 2);
}

/// The view over the archive's files, in DuckDB.
const DUCKDB: &str = "
import duckdb, glob, json, sys
archive, view = sys.argv[1:]
con = duckdb.connect()
con.execute(\"SET TimeZone = 'UTC'\")
files = glob.glob(archive + '/data/**/*.parquet', recursive=True)
con.execute('CREATE VIEW mesh_events AS SELECT * FROM read_parquet(' + repr(files) + ', hive_partitioning=true)')
con.execute('CREATE VIEW query_trail AS ' + open(view).read())
cursor = con.execute('SELECT who, sql, sql_sha256, question, mode, dry_run, version, files, bytes, rows_returned, '
                     'result_digest, outcome, error_code, elapsed_us, query_id FROM query_trail ORDER BY asked_at')
names = [column[0] for column in cursor.description]
for row in cursor.fetchall():
    print(json.dumps(dict(zip(names, row))))
";

#[test]
fn the_trail_is_the_same_in_duckdb() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let ask = |arguments: &[&str], code: i32| {
        let query = laptop.command("query").args(["--trail", "required", "--format", "json"]);
        let _ = query.args(arguments.iter().copied()).run().expect(code);
    };
    // Texts that look like members of an entry.
    ask(&[r#"SELECT '"rows":7,"version":9' AS "mode"":""x""" FROM mesh_events"#], 0);
    ask(&["SELECT $p AS p", "--param", r#"p="version":99,"dry_run":true,"mode":"none""#], 0);
    ask(&["--question", "quarantine_summary"], 0);
    ask(&["SELECT nope"], 6);
    ask(&["--dry-run", "SELECT 1"], 0);
    laptop.seal();
    let view = repository().join("sql/views/query_trail.sql").display().to_string();
    let program = Program::new(venv().join("bin/python"));
    let theirs = program.args(["-c", DUCKDB, laptop.archive(), &view]).run().expect(0).json_lines();
    let columns = "who, sql, sql_sha256, question, mode, dry_run, version, files, bytes, rows_returned, \
                   result_digest, outcome, error_code, elapsed_us, query_id";
    let ours = laptop.query(&format!("SELECT {columns} FROM query_trail ORDER BY asked_at"));
    assert_eq!(ours, theirs);
    let of = |name: &str| ours.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("rows_returned"), [json!(3), json!(1), json!(0), Value::Null, Value::Null]);
    assert_eq!(of("version"), [json!(0), json!(0), json!(0), Value::Null, Value::Null]);
    assert_eq!(of("dry_run"), [false, false, false, false, true].map(Value::from));
    assert_eq!(of("mode"), vec![json!("fresh"); 5]);
    assert_eq!(of("question")[2], "quarantine_summary");
}
