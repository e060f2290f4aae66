//! Rows worked out by hand: which records are copies of which, what counts as a privilege, and which
//! denials are held against which change of a policy.

use meshledger_tests::laptop::Laptop;
use meshledger_tests::records;
use serde_json::{Value, json};

use crate::incidents::{Audit, lines, policy_change, privileged};

const SECOND: i64 = 1_000_000;
/// 2026-11-02T10:00:00Z
const TEN: i64 = 1_793_613_600 * SECOND;

fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap_or("-")
}

/// A record of the callee's proxy, with some of its words replaced.
fn changed(id: &str, pairs: &[(&str, &str)]) -> String {
    let mut record = records::good(id);
    for (old, new) in pairs {
        assert!(record.contains(old), "{record} has no {old}");
        record = record.replace(old, new);
    }
    record
}

/// A connection that lasted so long.
fn tcp(id: &str, duration: &str) -> String {
    changed(
        id,
        &[
            (r#""method":"GET""#, r#""method":null"#),
            (r#""path":"/reviews/7?lang=en""#, r#""path":null"#),
            (r#""protocol":"HTTP/1.1""#, r#""protocol":null"#),
            (r#""response_code":200"#, r#""response_code":0"#),
            (r#""response_code_details":"via_upstream""#, r#""response_code_details":null"#),
            (r#""duration":15"#, duration),
            (&format!(r#""request_id":"{id}""#), r#""request_id":null"#),
        ],
    )
}

/// A line of some program's log.
fn log(line: &str) -> String {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": "1793613600000000000",
        "body": {"stringValue": line},
    }]}]}]})
    .to_string()
}

fn kind_id_and_copies(row: &Value) -> String {
    let id = text(row, "request_id").split('-').next().unwrap();
    let id = if id.is_empty() { "-" } else { id };
    format!("{} {id} {}", text(row, "event_kind"), row["copies"])
}

const DISTINCT: &[&str] = &[
    "api_call b0000000 2",
    "http_request another 1",
    "http_request once 3",
    // Another port, another query, another status, the caller's side, another moment.
    "http_request once 1",
    "http_request once 1",
    "http_request once 1",
    "http_request once 1",
    "http_request once 1",
    // The stage before.
    "log b0000000 1",
    "log - 2",
    "log - 1",
    "tcp_connection - 2",
    "tcp_connection - 1",
];

#[test]
fn copies_of_a_sender_are_one_record_and_what_differs_is_not() {
    let laptop = Laptop::new();
    let ingest = |name: &str, lines: &[&str]| {
        let summary = laptop.ingest_bytes(name, lines.join("\n") + "\n");
        assert_eq!(summary["rejects"], 0, "{summary}");
    };
    let plain = records::good("once-more");
    let connection = tcp("tcp", r#""duration":7"#);
    let audit = Audit { id: 1, at_micros: TEN, ..Audit::default() }.event();
    let mut received = audit.clone();
    received["stage"] = json!("RequestReceived");
    let _ = received.as_object_mut().unwrap().remove("responseStatus");
    let (audit, received) = (audit.to_string(), received.to_string());
    let (up, down) = (log("up"), log("down"));
    ingest("first", &[&plain, &connection, &audit, &received, &up, &down]);
    // The same records in other units: copies.
    ingest("second", &[&plain, &audit]);
    ingest("third", &[&connection, &up, &plain]);
    // Other records, however alike.
    let others = [
        changed("once-more", &[("10.1.7.9:43612", "10.1.7.9:43613")]),
        changed("once-more", &[("?lang=en", "?lang=de")]),
        changed("once-more", &[(r#""response_code":200"#, r#""response_code":503"#)]),
        changed(
            "once-more",
            &[("inbound|9080||", "outbound|9080||reviews.shop.svc.cluster.local")],
        ),
        changed("once-more", &[("10:15:30.123Z", "10:15:30.124Z")]),
        records::good("another"),
        tcp("tcp2", r#""duration":8"#),
    ];
    ingest("fourth", &others.iter().map(String::as_str).collect::<Vec<_>>());
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 6 + 2 + 3 + 7);
    let rows = laptop.query(
        "SELECT event_kind, request_id, src_port, url_query, http_status, reporter, duration_us, \
         attributes, copies FROM mesh_events_distinct \
         ORDER BY event_kind, request_id, copies DESC, event_time, src_port, url_query, http_status, \
         reporter, duration_us, attributes",
    );
    let found: Vec<String> = rows.iter().map(kind_id_and_copies).collect();
    assert_eq!(found, DISTINCT, "{rows:#?}");
    let copies = laptop.number("SELECT sum(copies) FROM mesh_events_distinct");
    assert_eq!(copies, laptop.events(), "every event is a copy of one row");
    // The row shown has the place of one of the copies, and when the first was received.
    let place = "SELECT segment, segment_row, ingest_time, attributes FROM mesh_events_distinct \
                 WHERE request_id = 'once-more' AND copies = 3";
    let copies = "SELECT segment, segment_row, first_value(ingest_time) OVER (ORDER BY ingest_time) \
                  AS ingest_time, attributes FROM mesh_events WHERE request_id = 'once-more' \
                  AND src_port = 43612 AND url_query = 'lang=en' AND http_status = 200 \
                  AND reporter = 'destination' AND event_time = '2026-11-02T10:15:30.123Z' \
                  ORDER BY segment, segment_row LIMIT 1";
    assert_eq!(laptop.query(place), laptop.query(copies));
}

/// Of each request of [`privileged`], in its order: the privilege, or - if it is none.
const PRIVILEGES: &str = "
exec alice@example.com allow
exec bob deny
exec alice@example.com allow
debug_container alice@example.com allow
tunnel alice@example.com allow
tunnel alice@example.com allow
secret_read alice@example.com allow
secret_read system:serviceaccount:ci:deployer allow
secret_change alice@example.com allow
role_change alice@example.com allow
role_change alice@example.com allow
token_issued alice@example.com allow
- serviceaccount created
- serviceaccount deleted
certificate_approved alice@example.com allow
admission_change alice@example.com allow
impersonation alice@example.com allow
cluster_admin alice@example.com allow
cluster_admin carol allow
- log read
- log read, refused
- telemetry
- envoyfilter
- namespace
- deployment
- not authenticated
- admission
- pod
";

#[test]
fn each_privilege_is_named_and_nothing_else_is_one() {
    let laptop = Laptop::new();
    let asked = privileged(0, TEN);
    let events: Vec<Value> = asked.iter().map(Audit::event).collect();
    let _ = laptop.ingest_bytes("audit.jsonl", lines(&events));
    let _ = laptop.seal();
    let expected: Vec<(usize, String)> = PRIVILEGES
        .trim()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('-'))
        .map(|(place, line)| (place, line.to_owned()))
        .collect();
    assert_eq!(PRIVILEGES.trim().lines().count(), asked.len(), "a line a request");
    let rows = laptop.query("SELECT * FROM mesh_privilege_use ORDER BY event_time");
    let found: Vec<(usize, String)> = rows
        .iter()
        .map(|row| {
            let place = text(row, "request_id").rsplit('-').next().unwrap().parse().unwrap();
            let privilege = text(row, "privilege").replace(' ', "_");
            (place, format!("{privilege} {} {}", text(row, "who"), text(row, "decision")))
        })
        .collect();
    assert_eq!(found, expected);
    let row = |place: usize| {
        let name = format!("b0000000-0000-4000-8000-{place:012}");
        rows.iter().find(|row| row["request_id"] == *name).unwrap()
    };
    // A shell says its command, a list of secrets no name, one who acts as another both names.
    assert_eq!(row(0)["target"], "pods/exec shop/cart-0");
    assert_eq!(row(0)["url_query"], "command=sh&stdin=true&tty=true");
    assert_eq!(row(7)["target"], "secrets shop/(all)");
    assert_eq!(row(7)["who_is"], "service_account");
    assert_eq!(row(16)["acted_as"], "system:serviceaccount:shop:cart");
    assert_eq!(row(16)["who_is"], Value::Null);
    assert_eq!(row(17)["allowed_by"], crate::incidents::ADMIN_BINDING);
    assert_eq!(row(1)["allowed_by"], Value::Null);
}

/// `count` requests from `at` on, a second apart, that the callee's proxy denied for this reason.
fn denials(from_micros: i64, count: i64, service: &str, details: &str) -> String {
    let one = |number: i64| {
        let at = common::date::rfc3339(from_micros + number * SECOND, 3);
        let record = records::at(&format!("{service}-{from_micros}-{number}"), &at);
        let denied =
            format!(r#""response_code_details":"rbac_access_denied_matched_policy[{details}]""#);
        record
            .replace(r#""response_code_details":"via_upstream""#, &denied)
            .replace(r#""response_code":200"#, r#""response_code":403"#)
            .replace("reviews.shop.svc", service)
            + "\n"
    };
    (0..count).map(one).collect()
}

/// Link, changed object, policy of the denials, service, denials before and after, seconds after,
/// candidates.
const IMPACT: &[&str] = &[
    "names it|authorizationpolicies shop/deny-admin|shop/deny-admin|reviews.shop|1|5|7.0|1",
    "same namespace|authorizationpolicies shop/allow-web|(none)|reviews.shop|0|4|3.0|2",
    "mesh-wide|authorizationpolicies istio-system/default|(none)|reviews.shop|0|4|10.0|2",
];

#[test]
fn denials_are_held_against_the_changes_after_which_they_began() {
    let laptop = Laptop::new();
    let at = |minutes: i64, seconds: i64| TEN + (minutes * 60 + seconds) * SECOND;
    let change = |id, at, policy| policy_change(id, at, "update", policy);
    let deny_admin = ("shop", "deny-admin", "DENY");
    let refused = Audit {
        id: 6,
        at_micros: at(0, 4),
        verb: "update",
        api: "security.istio.io/v1",
        resource: "authorizationpolicies",
        name: "deny-admin",
        code: 403,
        ..Audit::default()
    };
    let changes = vec![
        change(1, at(0, 0), &deny_admin),
        // Of another policy: what names deny-admin is not its doing.
        change(2, at(0, 2), &("shop", "other", "DENY")),
        // For the whole mesh, in another namespace, in the namespace.
        change(3, at(60, 0), &("istio-system", "default", "ALLOW")),
        change(4, at(60, 5), &("payments", "default", "ALLOW")),
        change(5, at(60, 7), &("shop", "allow-web", "ALLOW")),
        // Refused, so it changed nothing.
        refused.event(),
        // Denials go on as before.
        change(7, at(120, 0), &("web", "steady", "DENY")),
    ];
    let _ = laptop.ingest_bytes("audit.jsonl", lines(&changes));
    // The webhook sent the first change again.
    let _ = laptop.ingest_bytes("again.jsonl", format!(" {}", lines(&changes[..1])));
    let named = "ns[shop]-policy[deny-admin]-rule[0]";
    let steady = "ns[web]-policy[steady]-rule[0]";
    let traffic = [
        denials(at(-10, 0), 1, "reviews.shop.svc", named),
        denials(at(0, 7), 5, "reviews.shop.svc", named),
        denials(at(60, 10), 4, "reviews.shop.svc", "none"),
        denials(at(100, 0), 3, "cart.web.svc", steady),
        denials(at(121, 0), 3, "cart.web.svc", steady),
        // Too few.
        denials(at(61, 0), 2, "users.users.svc", "none"),
        // Outside of the window of half an hour.
        denials(at(40, 0), 9, "reviews.shop.svc", named),
    ];
    let _ = laptop.ingest_bytes("traffic.jsonl", traffic.concat());
    let _ = laptop.seal();
    let ask = laptop.command("query").args(["--format", "json", "--question", "policy_impact"]);
    let rows = ask.run().expect(0).json_lines();
    let found: Vec<String> = rows
        .iter()
        .map(|row| {
            let policy =
                text(row, "policy").replace("rbac_access_denied_matched_policy[none]", "none");
            let service = text(row, "service").split(".svc").next().unwrap();
            format!(
                "{}|{}|{policy}|{service}|{}|{}|{}|{}",
                text(row, "link"),
                text(row, "changed"),
                row["denials_before"],
                row["denials_after"],
                row["seconds_after"],
                row["candidates"]
            )
        })
        .collect();
    assert_eq!(found, IMPACT, "{rows:#?}");
    assert_eq!(rows[0]["changed_by"], "alice@example.com");
    assert_eq!(rows[0]["first_denial"], "2026-11-02T10:00:07.000000Z");
    assert_eq!(rows[0]["last_denial"], "2026-11-02T10:00:11.000000Z");
    assert_eq!(rows[0]["callers"], 1);
}
