//! The named questions: all of them run, and the six main ones count right.
//!
//! What is right is counted here from the generated JSON lines, one slow loop a question.

use std::collections::BTreeMap;
use std::fs;

use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::repository;
use meshledger_tests::tamper::files_below;
use serde_json::Value;

const PEER: &str = "downstream_peer_uri_san";

/// Generated traffic in an archive, and its records as they stand in the files.
struct Traffic {
    laptop: Laptop,
    records: Vec<Value>,
}

impl Traffic {
    fn new() -> Self {
        let laptop = Laptop::new();
        let out = laptop.path("traffic");
        let _ = ml(["generate", "--events", "20000", "--seed", "7", "--format", "mixed", "--out"])
            .args([&out])
            .run()
            .expect(0);
        let mut records = Vec::new();
        for file in files_below(&out) {
            let cluster = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let ingest = laptop.command("ingest").args(["--json", "--cluster", &cluster]);
            assert_eq!(ingest.args([&file]).run().expect(0).json()["rejects"], 0);
            let text = fs::read_to_string(&file).unwrap();
            records.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        assert_eq!(records.len(), 20_000);
        let _ = laptop.seal();
        Self { laptop, records }
    }

    /// The rows that a named question answers.
    fn ask(&self, question: &str, params: &[(&str, &str)]) -> Vec<Value> {
        let params = params
            .iter()
            .flat_map(|(name, value)| ["--param".to_owned(), format!("{name}={value}")]);
        let ask = self.laptop.command("query").args(["--format", "json", "--question", question]);
        ask.args(params).run().expect(0).json_lines()
    }

    fn count(&self, test: impl Fn(&Value) -> bool) -> i64 {
        i64::try_from(self.records.iter().filter(|record| test(record)).count()).unwrap()
    }
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or("")
}

/// Whether the callee's proxy wrote it.
fn inbound(record: &Value) -> bool {
    text(record, "upstream_cluster").starts_with("inbound|")
}

/// `namespace/name` of the policy whose rule denied the request.
fn denying_policy(record: &Value) -> Option<String> {
    let details = text(record, "response_code_details");
    let rule = details.strip_prefix("rbac_access_denied_matched_policy[ns[")?;
    let (namespace, rest) = rule.split_once("]-policy[")?;
    let (name, _) = rest.split_once("]-rule[")?;
    Some(format!("{namespace}/{name}"))
}

fn tls_error(record: &Value, key: &str) -> bool {
    text(record, key).starts_with("TLS_error:|")
}

fn sum(rows: &[Value], column: &str, test: impl Fn(&Value) -> bool) -> i64 {
    rows.iter().filter(|row| test(row)).map(|row| row[column].as_i64().unwrap()).sum()
}

/// Microseconds since 1970, from `seconds.micros`.
fn start_micros(record: &Value) -> i64 {
    text(record, "start_us").replace('.', "").parse().unwrap()
}

#[test]
fn every_named_question_runs() {
    let traffic = Traffic::new();
    let mut asked = 0;
    for file in files_below(&repository().join("sql/investigations")) {
        let header = fs::read_to_string(&file).unwrap();
        let declared: Vec<&str> =
            header.lines().filter_map(|line| line.strip_prefix("-- param: ")).collect();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let mut params = Vec::new();
        for line in &declared {
            let param = line.split(' ').next().unwrap();
            let required = !line.split("  --").next().unwrap().contains('=');
            match (param, required) {
                ("at", true) => params.push((param, "2026-11-02T10:45:00Z")),
                ("principal", true) => params.push((param, "spiffe://*")),
                ("path", true) => params.push((param, "/users/*")),
                ("request_id", _) => params.push((param, "nobody")),
                (_, true) => panic!("{name} demands {param}, which this test must learn"),
                (_, false) => {}
            }
        }
        let all = traffic.ask(name, &params);
        // A window that has no event is asked for without an error too.
        if declared.iter().any(|line| line.starts_with("since ")) {
            params.push(("since", "2020-01-01T00:00:00Z"));
            params.push(("until", "2020-01-02T00:00:00Z"));
            assert_eq!(traffic.ask(name, &params), Vec::<Value>::new(), "{name} in 2020");
        }
        eprintln!("{name}: {} rows", all.len());
        asked += 1;
    }
    assert!(asked >= 6, "six questions are promised, {asked} are there");
}

#[test]
fn denials_by_policy_are_those_of_the_records() {
    let traffic = Traffic::new();
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for policy in traffic.records.iter().filter_map(denying_policy) {
        *expected.entry(policy).or_default() += 1;
    }
    assert!(expected["payments/payments-viewer"] > 0 && expected["shop/frontend-allow"] > 0);
    for (policy, denials) in &expected {
        let name = policy.split_once('/').unwrap().1;
        for spelled in [policy.as_str(), name] {
            let rows = traffic.ask("denied_by_policy", &[("policy", spelled)]);
            assert_eq!(sum(&rows, "denials", |_| true), *denials, "{spelled}: {rows:?}");
        }
    }
    // Without a policy the answer holds each of them, and those that no rule denied besides.
    let rows = traffic.ask("denied_by_policy", &[("limit_rows", "1000")]);
    for (policy, denials) in &expected {
        assert_eq!(sum(&rows, "denials", |row| row["policy"] == **policy), *denials, "{policy}");
    }
    let denied = traffic.count(|record| {
        let details = text(record, "response_code_details");
        ["rbac_access_denied", "jwt_authn_access_denied"].iter().any(|d| details.starts_with(d))
            || text(record, "connection_termination_details").starts_with("rbac_access_denied")
            || details == "filter_chain_not_found"
            || details.ends_with("rate_limited")
            || details.starts_with("ext_authz")
            || text(record, "response_flags").split(',').any(|f| f == "RL" || f == "UAEX")
    });
    assert_eq!(sum(&rows, "denials", |_| true), denied);
}

#[test]
fn tls_failures_are_counted_on_each_side() {
    let traffic = Traffic::new();
    let client = traffic.count(|record| tls_error(record, "upstream_transport_failure_reason"));
    let server = traffic.count(|record| {
        tls_error(record, "downstream_transport_failure_reason")
            || text(record, "response_code_details") == "filter_chain_not_found"
    });
    let expired = traffic.count(|record| {
        text(record, "upstream_transport_failure_reason").contains("certificate_has_expired")
    });
    assert!(client > 0 && server > 0 && expired > 0, "{client}, {server}, {expired}");
    let rows = traffic.ask("tls_failures_by_reason", &[]);
    assert_eq!(sum(&rows, "failures", |row| row["seen_by"] == "client"), client, "{rows:?}");
    assert_eq!(sum(&rows, "failures", |row| row["seen_by"] == "server"), server, "{rows:?}");
    let is_expired = |row: &Value| row["seen_by"] == "client" && row["reason"] == "cert_expired";
    assert_eq!(sum(&rows, "failures", is_expired), expired, "{rows:?}");
}

#[test]
fn the_activity_of_an_identity_is_that_of_its_certificate() {
    let traffic = Traffic::new();
    let identity = "spiffe://prod-eu-1.example/ns/shop/sa/recommendations";
    let rows = traffic.ask("identity_activity", &[("principal", identity), ("limit_rows", "1000")]);
    // Certificates are in the callees' records only.
    let events = traffic.count(|record| text(record, PEER) == identity);
    let denied = traffic.count(|record| {
        let details = text(record, "response_code_details");
        text(record, PEER) == identity && details.starts_with("rbac_access_denied")
    });
    assert!(events > 0 && denied > 0, "{events}, {denied}");
    assert_eq!(sum(&rows, "events", |_| true), events, "{rows:?}");
    assert_eq!(sum(&rows, "events", |row| row["decision"] == "deny"), denied, "{rows:?}");
    assert_eq!(rows[0]["decision"], "deny", "denials come first: {rows:?}");
    // A prefix is every identity of the trust domain.
    let prefix = "spiffe://prod-eu-1.example/ns/shop/";
    let all = traffic.ask(
        "identity_activity",
        &[("principal", &format!("{prefix}*")), ("limit_rows", "100000")],
    );
    let expected =
        traffic.count(|record| inbound(record) && text(record, PEER).starts_with(prefix));
    let found =
        sum(&all, "events", |row| row["seen_by"] == "callee" && row["did"] != "tls_handshake");
    assert_eq!(found, expected);
}

#[test]
fn a_request_is_followed_through_all_its_records() {
    let traffic = Traffic::new();
    let mut records_of: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in &traffic.records {
        if !text(record, "request_id").is_empty() {
            records_of.entry(text(record, "request_id")).or_default().push(record);
        }
    }
    let (id, records) = records_of.iter().max_by_key(|(_, records)| records.len()).unwrap();
    assert!(records.len() > 4, "the longest trail has {} records", records.len());
    let rows = traffic.ask("request_trail", &[("request_id", id)]);
    let sorted = |mut pairs: Vec<(String, i64)>| {
        pairs.sort();
        pairs
    };
    let path = |path: &str| path.split('?').next().unwrap().to_owned();
    let status = |value: &Value| value.as_i64().unwrap();
    let found = rows.iter().map(|row| (path(text(row, "path")), status(&row["status"]))).collect();
    let expected = records.iter().map(|r| (path(text(r, "path")), status(&r["response_code"])));
    assert_eq!(sorted(found), sorted(expected.collect()), "request {id}");
}

#[test]
fn calls_of_a_path_are_counted_once() {
    let traffic = Traffic::new();
    let called = |record: &Value, status: Option<i64>| {
        inbound(record)
            && text(record, "path").split('?').next() == Some("/admin/export")
            && status.is_none_or(|status| record["response_code"] == status)
    };
    let calls = traffic.count(|record| called(record, None));
    assert!(calls > 0);
    let rows = traffic.ask("path_access", &[("path", "/admin/export")]);
    assert_eq!(sum(&rows, "requests", |_| true), calls, "{rows:?}");
    for (decision, status) in [("allow", 200), ("deny", 403)] {
        let expected = traffic.count(|record| called(record, Some(status)));
        assert_eq!(sum(&rows, "requests", |row| row["decision"] == decision), expected, "{rows:?}");
    }
    let below = [("path", "/users/*"), ("limit_rows", "1000")];
    let rows = traffic.ask("path_access", &below);
    let expected = traffic.count(|r| inbound(r) && text(r, "path").starts_with("/users/"));
    assert_eq!(sum(&rows, "requests", |row| row["seen_by"] == "callee"), expected, "{rows:?}");
}

#[test]
fn a_policy_mistake_shows_as_denials_that_began() {
    let traffic = Traffic::new();
    let mistake = "shop/frontend-allow";
    let denials: Vec<&Value> = traffic
        .records
        .iter()
        .filter(|record| denying_policy(record).as_deref() == Some(mistake))
        .collect();
    let first = denials.iter().min_by_key(|record| start_micros(record)).unwrap();
    // Whole milliseconds, so at or before the record's own microseconds.
    let at = text(first, "start_time");
    let at_micros = start_micros(first) / 1000 * 1000;
    let minute = 60_000_000;
    for window_minutes in [30, 240] {
        let end = at_micros + window_minutes * minute;
        let expected = denials.iter().filter(|record| start_micros(record) < end).count();
        let window = window_minutes.to_string();
        let params = [("at", at), ("window_minutes", &window), ("min_events", "1")];
        let rows = traffic.ask("changes_around", &params);
        let began: Vec<&Value> = rows
            .iter()
            .filter(|row| row["change"] == "denials began" && row["subject"] == mistake)
            .collect();
        let [began] = began[..] else { panic!("one line expected: {rows:?}") };
        assert_eq!(began["before_at"], 0, "{began}");
        assert_eq!(began["after_at"], expected, "{began}");
    }
}
