//! A real shipper, for real: an Envoy that allows, denies and fails requests, and logs them to
//! files and over OTLP/HTTP into `serve`. What must come out of SQL is written here by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::venv;
use meshledger_tests::python::script;
use meshledger_tests::server::Server;
use serde_json::{Map, Value};

/// What each request of `capture_envoy.py` must become, for each line it makes:
///
/// request | decision, who decided, the rule | HTTP status, gRPC status | failed TLS handshake:
/// side, reason | caller: how it is known, who it is
///
/// A rule stands as namespace/name/index of Istio's form, a caller in the mesh as its account in
/// the namespace `shop`.
const EXPECTED: &str = "
allowed                                         | allow rbac shop/reviews-viewer/0 | 200 - | - | -
allowed, POST                                   | allow rbac shop/reviews-viewer/0 | 200 - | - | -
allowed, HEAD                                   | allow rbac shop/reviews-viewer/0 | 200 - | - | -
allowed, HTTP/2                                 | allow rbac shop/reviews-viewer/0 | 200 - | - | -
the application says 403                        | allow rbac shop/reviews-viewer/0 | 403 - | - | -
redirected by the proxy                         | allow rbac shop/reviews-viewer/0 | 301 - | - | -
answered by the proxy                           | error proxy -                    | 418 - | - | -
shadow denial, allowed                          | allow rbac shop/reviews-viewer/0 | 200 - | - | -
delayed, allowed                                | allow rbac shop/reviews-viewer/0 | 200 - | - | -
JWT allowed                                     | allow rbac shop/reviews-viewer/0 | 200 - | - | jwt alice@example.com
JWT missing                                     | deny jwt -                       | 401 - | - | -
JWT expired                                     | deny jwt -                       | 401 - | - | -
JWT not yet valid                               | deny jwt -                       | 401 - | - | -
JWT of another issuer                           | deny jwt -                       | 401 - | - | -
JWT for another audience                        | deny jwt -                       | 403 - | - | -
JWT with a forged signature                     | deny jwt -                       | 401 - | - | -
JWT malformed                                   | deny jwt -                       | 401 - | - | -
JWT where none is needed                        | deny rbac shop/deny-admin/0      | 403 - | - | jwt alice@example.com
RBAC denied by a policy                         | deny rbac shop/deny-admin/0      | 403 - | - | -
RBAC no policy allowed                          | deny rbac -                      | 403 - | - | -
RBAC denied, HTTP/2                             | deny rbac shop/deny-admin/0      | 403 - | - | -
gRPC allowed                                    | allow rbac shop/reviews-viewer/0 | 200 0 | - | -
gRPC not found                                  | allow rbac shop/reviews-viewer/0 | 200 5 | - | -
gRPC denied                                     | deny rbac shop/deny-grpc/1       | 200 7 | - | -
ext_authz allowed                               | allow rbac shop/reviews-viewer/0 | 200 - | - | -
ext_authz denied                                | deny ext_authz -                 | 403 - | - | -
ext_authz error                                 | deny ext_authz_error -           | 403 - | - | -
ext_authz timeout                               | deny ext_authz_error -           | 403 - | - | -
ext_authz denied, gRPC over HTTP/2              | deny ext_authz -                 | 200 7 | - | -
rate limit, first                               | allow rbac shop/reviews-viewer/0 | 200 - | - | -
rate limit, second                              | deny rate_limit -                | 429 - | - | -
CSRF denied                                     | deny csrf -                      | 403 - | - | -
fault injected                                  | error proxy -                    | 503 - | - | -
timeout                                         | error proxy -                    | 504 - | - | -
upstream closed                                 | error proxy -                    | 503 - | - | -
upstream refused                                | error proxy -                    | 503 - | - | -
client went away                                | error proxy -                    | -   - | - | -
malformed HTTP/1                                | error proxy -                    | 400 - | - | -
malformed authority                             | error proxy -                    | 400 - | - | -
malformed HTTP/2 path                           | error proxy -                    | -   - | - | -
HTTP/1.0                                        | error proxy -                    | 426 - | - | -
user agent with quotes                          | allow rbac shop/reviews-viewer/0 | 200 - | - | -
user agent forges fields                        | allow rbac shop/reviews-viewer/0 | 200 - | - | -
user agent ends in quote and space, HTTP/2      | allow rbac shop/reviews-viewer/0 | 200 - | - | -
user agent begins with space and quote, HTTP/2  | allow rbac shop/reviews-viewer/0 | 200 - | - | -
path with quotes                                | allow rbac shop/reviews-viewer/0 | 200 - | - | -
user agent in UTF-8                             | allow rbac shop/reviews-viewer/0 | 200 - | - | -
user agent in Latin-1                           | allow rbac shop/reviews-viewer/0 | 200 - | - | -
empty user agent                                | allow rbac shop/reviews-viewer/0 | 200 - | - | -
the address comes from a header                 | allow rbac shop/reviews-viewer/0 | 200 - | - | -
mTLS allowed                                    | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
mTLS allowed, HTTP/2, forwarded                 | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
mTLS denied by a policy                         | deny rbac shop/deny-admin/0      | 403 - | - | mtls productpage
mTLS gRPC denied                                | deny rbac shop/deny-grpc/1       | 200 7 | - | mtls productpage
mTLS and JWT                                    | allow rbac shop/reviews-viewer/0 | 200 - | - | jwt alice@example.com
no client certificate                           | error mtls - | - - | downstream no_client_cert        | -
no client certificate, TLS 1.2                  | error mtls - | - - | downstream no_client_cert        | -
unknown CA                                      | error mtls - | - - | downstream unknown_ca            | unverified productpage
expired certificate                             | error mtls - | - - | downstream cert_expired          | unverified productpage
certificate not yet valid                       | error mtls - | - - | downstream cert_expired          | unverified productpage
revoked certificate                             | error mtls - | - - | downstream cert_revoked          | unverified productpage
plaintext into TLS                              | error mtls - | - - | downstream plaintext_on_tls_port | -
plaintext HTTP/2 into TLS                       | error mtls - | - - | downstream plaintext_on_tls_port | -
not HTTP and not TLS                            | error mtls - | - - | downstream plaintext_on_tls_port | -
old TLS version                                 | error mtls - | - - | downstream version_mismatch      | -
client rejects our certificate                  | error mtls - | - - | downstream other                 | -
plaintext into a strict port                    | deny mtls -  | - - | downstream no_filter_chain       | -
TLS without Istio's ALPN into a strict port     | deny mtls -  | - - | downstream no_filter_chain       | -
strict, allowed                                 | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
permissive, plaintext                           | allow rbac shop/reviews-viewer/0 | 200 - | - | -
permissive, plaintext HTTP/2                    | allow rbac shop/reviews-viewer/0 | 200 - | - | -
permissive, TLS with an odd server name         | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
permissive, no client certificate               | error mtls - | - - | downstream no_client_cert        | -
server name with quotes and spaces              | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
outbound allowed                                | allow rbac shop/reviews-viewer/0 | 200 - | - | mtls productpage
outbound allowed                                | allow none -                     | 200 - | - | -
outbound denied by the server's policy          | deny rbac shop/deny-admin/0      | 403 - | - | mtls productpage
outbound denied by the server's policy          | allow none -                     | 403 - | - | -
outbound: unknown CA                            | error mtls - | 503 - | upstream unknown_ca            | -
outbound: unknown CA                            | error mtls - | -   - | downstream unknown_ca          | -
outbound: wrong SAN                             | error mtls - | 503 - | upstream san_mismatch          | -
outbound: wrong SAN                             | error mtls - | -   - | downstream cert_verify_failed  | -
outbound: expired server certificate            | error mtls - | 503 - | upstream cert_expired          | -
outbound: not TLS                               | error mtls - | 503 - | upstream plaintext_on_tls_port | -
outbound: handshake never answered              | error proxy -                    | 503 - | - | -
outbound: our certificate rejected              | error mtls - | 503 - | upstream unknown_ca            | -
outbound: our certificate rejected              | error mtls - | -   - | downstream unknown_ca          | unverified productpage
outbound: retried                               | error mtls - | 503 - | upstream unknown_ca            | -
outbound: retried                               | error mtls - | -   - | downstream unknown_ca          | -
outbound: retried                               | error mtls - | -   - | downstream unknown_ca          | -
outbound: no endpoint                           | error proxy -                    | 503 - | - | -
outbound: no cluster                            | error proxy -                    | 503 - | - | -
outbound: no route                              | error proxy -                    | 404 - | - | -
TCP allowed                                     | allow none -                     | - -   | - | mtls productpage
TCP denied, no policy matched                   | deny rbac -                      | - -   | - | mtls orders
TCP, no client certificate                      | error mtls - | - - | downstream no_client_cert        | -
TCP, no client certificate                      | error mtls - | - - | downstream no_client_cert        | -
TCP denied by a policy                          | deny rbac shop/deny_all/0        | - -   | - | -
TCP upstream refused                            | error proxy -                    | - -   | - | -
";

/// The rows of each request, each as a line of the table without the request, in any order: two
/// sides of a call log in the order they come to it.
type Rows = BTreeMap<String, Vec<String>>;

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn expected() -> Rows {
    let mut rows = Rows::new();
    for line in EXPECTED.trim().lines() {
        let (request, row) = line.split_once('|').unwrap();
        rows.entry(squeezed(request)).or_default().push(squeezed(row));
    }
    sorted(rows)
}

fn sorted(mut rows: Rows) -> Rows {
    for all in rows.values_mut() {
        all.sort();
    }
    rows
}

/// A TCP proxy connects to its upstream while the client still shakes hands. Which comes first
/// decides what a failed handshake leaves in the default format.
const RACES: &str = "TCP, no client certificate";

/// What of it the default format can tell: it has no caller, no gRPC status, no rule that allowed
/// and no reason of a handshake that failed on the server's side. docs/sources.md says so.
fn expected_by_default(requests: &[String], lines: &[Value]) -> Rows {
    let mut rows = expected();
    for (request, all) in &mut rows {
        for row in all.iter_mut() {
            let mut cells = row.split(" | ").map(str::to_owned).collect::<Vec<_>>();
            if cells[0].starts_with("allow rbac") {
                cells[0] = "allow none -".to_owned();
            }
            let (status, _) = cells[1].split_once(' ').unwrap();
            cells[1] = format!("{status} -");
            if cells[2].starts_with("downstream") && !cells[2].ends_with("no_filter_chain") {
                cells[0] = "error proxy -".to_owned();
                cells[2] = "-".to_owned();
            }
            cells[3] = "-".to_owned();
            *row = cells.join(" | ");
        }
        if request == RACES {
            // Where the proxy had chosen an upstream, no flag tells of the failure.
            let made = requests.iter().zip(lines).filter(|(request, _)| *request == RACES);
            for (row, (_, line)) in all.iter_mut().zip(made) {
                if line["upstream_host"].is_string() {
                    *row = row.replace("error proxy -", "allow none -");
                }
            }
        }
    }
    sorted(rows)
}

/// The request whose header is no UTF-8.
const LATIN_1: &str = "user agent in Latin-1";

const COLUMNS: &str = "decision, decision_source, policy_namespace, policy_name, \
    policy_rule_index, http_status, grpc_status, tls_failure, tls_failure_side, \
    tls_failure_reason, principal, principal_source";

fn text(row: &Value, column: &str) -> String {
    match &row[column] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A row as the table writes it.
fn shown(row: &Value) -> String {
    let rule = match &row["policy_name"] {
        Value::Null => "-".to_owned(),
        _ => ["policy_namespace", "policy_name", "policy_rule_index"]
            .map(|column| text(row, column))
            .join("/"),
    };
    let tls = match text(row, "tls_failure").as_str() {
        "true" => format!("{} {}", text(row, "tls_failure_side"), text(row, "tls_failure_reason")),
        _ => "-".to_owned(),
    };
    let who = text(row, "principal").replace("spiffe://cluster.local/ns/shop/sa/", "");
    let who = match &*who {
        "-" => "-".to_owned(),
        who => format!("{} {who}", text(row, "principal_source")),
    };
    let (decision, source) = (text(row, "decision"), text(row, "decision_source"));
    let (http, grpc) = (text(row, "http_status"), text(row, "grpc_status"));
    format!("{decision} {source} {rule} | {http} {grpc} | {tls} | {who}")
}

/// Which request made which line, in order.
fn requests(out: &Path) -> Vec<String> {
    let made: Value =
        serde_json::from_slice(&fs::read(out.join("requests.json")).unwrap()).unwrap();
    let mut all = Vec::new();
    for one in made.as_array().unwrap() {
        let lines = usize::try_from(one["lines"].as_u64().unwrap()).unwrap();
        all.extend(vec![one["request"].as_str().unwrap().to_owned(); lines]);
    }
    all
}

#[track_caller]
fn check(what: &str, requests: &[String], rows: &[Value], expected: &Rows) {
    assert_eq!(rows.len(), requests.len(), "{what} has another number of rows");
    let mut found = Rows::new();
    for (request, row) in requests.iter().zip(rows) {
        found.entry(request.clone()).or_default().push(shown(row));
    }
    let found = sorted(found);
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(request, rows)| found.get(*request) != Some(rows))
        .map(|(request, rows)| {
            format!("{request}\n  expected {rows:?}\n  found    {:?}", found.get(request))
        })
        .collect();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    assert_eq!(found.len(), expected.len(), "{what} has requests that nobody expected");
}

/// Archives one of Envoy's files, of which so many lines are rejects; returns its rows in the order
/// of its lines.
fn archived(out: &Path, file: &str, rejects: u64) -> (Laptop, Vec<Value>) {
    let laptop = Laptop::new();
    let summary = laptop.ingest([out.join(file)]).run().expect(0).json();
    assert_eq!(summary["rejects"], rejects, "{file}: {summary}");
    let sql = format!("SELECT {COLUMNS} FROM mesh_events ORDER BY segment_row");
    let rows = laptop.query(&sql);
    (laptop, rows)
}

/// Columns that differ by the way a record comes, and not by what happened.
const WAY: [&str; 6] =
    ["segment", "segment_row", "ingest_time", "transport", "transport_ref", "source_format"];

/// What OTLP forces. All its values are texts, and what is absent is "-": so `attributes` and
/// `raw` hold other texts, no key set is complete, and a token's list of groups is no list.
const FORCED: [&str; 4] = ["attributes", "raw", "record_shape", "user_groups"];

/// What OTLP adds: the resource names the node, and with it the emitter, which beside the callee is
/// the callee. And the reader says where it took a text for Latin-1, which Envoy itself does for a
/// file.
const ADDED: [(&str, &str); 5] = [
    ("parse_error", "a text was no UTF-8 and is read as Latin-1"),
    ("k8s_pod", "reviews-v1-5c9f"),
    ("k8s_namespace", "shop"),
    ("dst_workload", "reviews-v1-5c9f"),
    ("dst_namespace", "shop"),
];

fn without(row: &Value, columns: &[&str]) -> Map<String, Value> {
    let mut row = row.as_object().unwrap().clone();
    row.retain(|column, _| !columns.contains(&column.as_str()));
    row
}

/// An order that does not depend on the way.
const BY_TIME: &str = "ORDER BY event_time, request_id, connection_id";

/// Both ways of the same records must agree in all other columns.
fn agree(by_file: &Laptop, by_otlp: &Laptop) {
    let sql = format!("SELECT * FROM mesh_events {BY_TIME}");
    let (files, otlp) = (by_file.query(&sql), by_otlp.query(&sql));
    assert_eq!(files.len(), otlp.len());
    let ignored = [&WAY[..], &FORCED].concat();
    let mut differences = BTreeMap::<String, Vec<String>>::new();
    for (file, otlp) in files.iter().zip(&otlp) {
        let (file, otlp) = (without(file, &ignored), without(otlp, &ignored));
        for column in file.keys() {
            let is_added = ADDED.contains(&(column, otlp[column].as_str().unwrap_or_default()));
            if file[column] != otlp[column] && !(is_added && file[column].is_null()) {
                let shown = format!("{} by file, {} by OTLP", file[column], otlp[column]);
                differences.entry(column.clone()).or_default().push(shown);
            }
        }
    }
    assert!(differences.is_empty(), "the two ways differ: {differences:#?}");
}

#[test]
fn a_real_envoy_by_file_and_by_otlp_becomes_the_right_rows() {
    let by_otlp = Laptop::new();
    let server = Server::start(
        &by_otlp,
        &["--batch-milliseconds", "200", "--seal-every-seconds", "1", "--cluster", "east"],
    );
    let out = by_otlp.path("envoy");
    let captured = script("capture_envoy.py")
        .args([venv().join("bin/envoy"), out.clone()])
        .args(["--free-ports", "--otlp-port", &server.port().to_string()])
        .run()
        .expect(0);
    let _ = server.stop();
    let requests = requests(&out);

    let expected = expected();
    let (full, rows) = archived(&out, "full.jsonl", 0);
    check("full.jsonl", &requests, &rows, &expected);
    let (_, rows) = archived(&out, "extended.jsonl", 0);
    check("extended.jsonl", &requests, &rows, &expected);
    let lines: Vec<Value> = fs::read_to_string(out.join("default.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut by_default = expected_by_default(&requests, &lines);
    let (_, rows) = archived(&out, "default.jsonl", 0);
    check("default.jsonl", &requests, &rows, &by_default);
    // As text, Envoy writes the bytes of a header as they came; a line that is no UTF-8 is kept in
    // quarantine.
    let (_, rows) = archived(&out, "text.log", 1);
    by_default.remove(LATIN_1).unwrap();
    let in_text: Vec<String> =
        requests.iter().filter(|request| *request != LATIN_1).cloned().collect();
    check("text.log", &in_text, &rows, &by_default);

    // Which request made which record is known for the file; sorted by time, both are the same.
    let by_time = |columns: &str| format!("SELECT {columns} FROM mesh_events {BY_TIME}");
    let lines = full.query(&by_time("segment_row"));
    let line = |row: &Value| usize::try_from(row["segment_row"].as_u64().unwrap()).unwrap();
    let requests: Vec<String> = lines.iter().map(|row| requests[line(row)].clone()).collect();
    let rows = by_otlp.query(&by_time(COLUMNS));
    assert_eq!(rows.len(), requests.len(), "{}", captured.report());
    check("OTLP", &requests, &rows, &expected);
    agree(&full, &by_otlp);
    assert_eq!(by_otlp.number("SELECT count(*) FROM mesh_quarantine"), 0);
    let transports = by_otlp.query("SELECT DISTINCT transport, source_format FROM mesh_events");
    assert_eq!(transports.len(), 1, "{transports:?}");
    assert_eq!(text(&transports[0], "transport"), "otlp_http");
    assert_eq!(text(&transports[0], "source_format"), "envoy_otlp");

    let shadow = "SELECT shadow_decision, shadow_policy_rule FROM mesh_events \
        WHERE url_path = '/dry' AND decision = 'allow'";
    for laptop in [&full, &by_otlp] {
        let rows = laptop.query(shadow);
        assert_eq!(rows.len(), 1);
        assert_eq!(text(&rows[0], "shadow_decision"), "deny");
        assert_eq!(text(&rows[0], "shadow_policy_rule"), "ns[shop]-policy[would-deny]-rule[0]");
        let _ = laptop.seal();
        laptop.verify_ok();
    }
}
