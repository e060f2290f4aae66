//! The query function as it is deployed: the built program, run by ministack or at our own Runtime
//! API, over an archive on a real S3 server.

use std::time::Duration;

use meshledger_tests::laptop::Laptop;
use meshledger_tests::ministack::{Deploy, Ministack};
use meshledger_tests::records::lines;
use meshledger_tests::runtime_api::RuntimeApi;
use meshledger_tests::seaweed::Seaweed;
use serde_json::{Value, json};

use crate::query_api::fetch;

const PROGRAM: &str = "meshledger-query-fn";

type Environment = Vec<(&'static str, String)>;

const COUNT: &str = "SELECT count(*) AS n FROM mesh_events";

/// Rows of 1,000 bytes, 8,000 of them from 20 events.
const LONG: &str = "SELECT repeat('x', 1000) AS x FROM mesh_events a, mesh_events b, mesh_events c";

/// An archive of 20 events on the server, and the variables of a function that asks it.
fn archive(server: &Seaweed, name: &str) -> (Laptop, Environment) {
    let laptop = Laptop::remote(&server.archive_url(name), Seaweed::environment(server.port()));
    let _ = laptop.command("init").run().expect(0);
    let _ = laptop.ingest_bytes("a.log", lines("a", 20));
    let mut environment = Seaweed::function_environment(server.port());
    environment.push(("MESHLEDGER_ARCHIVE", laptop.archive().to_owned()));
    (laptop, environment)
}

/// The variables, more of them, and Lambda's credentials, for a process that we start ourselves.
fn alone(environment: &Environment, more: &[(&'static str, &str)]) -> Environment {
    let credentials = Seaweed::environment(1).into_iter().filter(|(name, _)| name.contains("KEY"));
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    environment.iter().cloned().chain(credentials).chain(more).collect()
}

fn ask(sql: &str) -> Value {
    json!({ "sql": sql })
}

/// A request as a function URL brings it.
fn post(body: &Value) -> Value {
    json!({"version": "2.0", "rawPath": "/v1/query", "headers": {"content-type": "application/json"},
           "requestContext": {"http": {"method": "POST", "path": "/v1/query"}},
           "body": body.to_string(), "isBase64Encoded": false})
}

#[test]
fn a_question_is_answered_with_its_receipt_whoever_asks() {
    let (server, stack) = (Seaweed::shared(), Ministack::shared());
    let (laptop, environment) = archive(&server, "query-lambda");
    let function = stack.deploy(&Deploy::new("query-lambda", PROGRAM, &environment));
    let answer = function.invoke(&ask(COUNT)).ok();
    assert_eq!(answer["rows"], json!([{"n": 20}]), "{answer}");
    assert_eq!(answer["receipt"]["unsealed_rows"], 20, "{answer}");
    laptop.seal();
    // A warm function sees the next version at once.
    let answer = function.invoke(&ask(COUNT)).ok();
    assert_eq!(
        (&answer["receipt"]["unsealed_rows"], &answer["receipt"]["version"]),
        (&json!(0), &json!(1))
    );
    // A query's own fault is an answer, and no error of the function.
    assert_eq!(function.invoke(&ask("SELEC")).ok()["error"]["code"], "SYNTAX");
    assert_eq!(function.invoke(&ask("DROP TABLE mesh_events")).ok()["error"]["code"], "REFUSED");
    assert_eq!(function.invoke(&json!({"sqll": "x"})).ok()["error"]["code"], "REQUEST");
    let reply = function.invoke(&post(&ask(COUNT))).ok();
    assert_eq!(reply["statusCode"], 200, "{reply}");
    let body: Value = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["rows"], json!([{"n": 20}]));
    assert_eq!(function.invoke(&post(&ask("SELEC"))).ok()["statusCode"], 400);
}

#[test]
fn a_url_that_streams_gets_status_headers_and_body() {
    let server = Seaweed::shared();
    let (_laptop, environment) = archive(&server, "query-stream");
    let variables = alone(&environment, &[("MESHLEDGER_RESPONSE_STREAM", "true")]);
    let mut process = RuntimeApi::start(PROGRAM, &variables);
    let answer = process.call(post(&ask(COUNT)).to_string().as_bytes());
    assert!(answer.is_whole && !answer.is_error, "{}", process.log());
    let (prelude, body) = answer.streamed();
    assert_eq!(prelude["statusCode"], 200, "{prelude}");
    assert!(prelude["headers"]["meshledger-receipt"].is_string(), "{prelude}");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["rows"], json!([{"n": 20}]));
    let answer = process.call(post(&ask("SELEC")).to_string().as_bytes());
    let (prelude, _) = answer.streamed();
    assert_eq!(prelude["statusCode"], 400, "{prelude}");
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0), "{}", process.log());
}

#[test]
fn what_is_too_long_to_hand_over_has_a_url_and_what_takes_too_long_an_error() {
    let server = Seaweed::shared();
    let (_laptop, environment) = archive(&server, "query-long");
    let process = RuntimeApi::start(PROGRAM, &alone(&environment, &[]));
    let refused = process.call(ask(LONG).to_string().as_bytes());
    assert_eq!(refused.json()["error"]["code"], "LIMIT_RESULT", "{}", process.log());
    let endless = "SELECT count(*) FROM mesh_events a, mesh_events b, mesh_events c, mesh_events d, \
                   mesh_events e, mesh_events f, mesh_events g WHERE \
                   length(a.request_id || b.request_id || c.request_id) > length(g.request_id)";
    let _ = process.give(ask(endless).to_string().as_bytes(), Duration::from_secs(2));
    let answer = process.answer_within(Duration::from_secs(30)).unwrap();
    assert_eq!(answer.json()["error"]["code"], "LIMIT_TIME", "{}", process.log());
    let process =
        RuntimeApi::start(PROGRAM, &alone(&environment, &[("MESHLEDGER_RESULTS", "true")]));
    let answer = process.call(ask(LONG).to_string().as_bytes()).json();
    let result = &answer["result"];
    assert_eq!(answer["receipt"]["rows_returned"], 8_000, "{answer}");
    // By a client that others wrote.
    let fetched = fetch(result["url"].as_str().unwrap(), 0);
    assert_eq!(fetched["status"], 200, "{answer}");
    assert_eq!((&fetched["bytes"], &fetched["sha256"]), (&result["bytes"], &result["sha256"]));
}
