//! The views: what of a filter goes through them to the files, what they are in `schema.sql`, and the
//! rows of `mesh_policy_changes` as worked out by hand and as DuckDB has them.

use std::fs;

use common::schema::{COLUMNS, schema_sql};
use meshledger_tests::cli::Program;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::{repository, venv};
use query_fn::sql_views::VIEWS;
use serde_json::{Value, json};

use crate::incidents::Incidents;
use crate::questions::Desk;

const VIEW: &str = "sql/views/mesh_policy_changes.sql";

/// A request to the Kubernetes API for an AuthorizationPolicy in namespace `shop`.
struct Call<'a> {
    id: u32,
    at: &'a str,
    user: &'a str,
    verb: &'a str,
    name: &'a str,
    code: u32,
    sent: Value,
    answered: Value,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            id: 0,
            at: "",
            user: "alice@example.com",
            verb: "update",
            name: "deny-admin",
            code: 200,
            sent: Value::Null,
            answered: Value::Null,
        }
    }
}

impl Call<'_> {
    fn event(&self) -> Value {
        let level = match (self.sent.is_null(), self.answered.is_null()) {
            (true, true) => "Metadata",
            (_, true) => "Request",
            _ => "RequestResponse",
        };
        let at = format!("{}.000000Z", self.at);
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": level,
            "auditID": format!("a0000000-0000-4000-8000-{:012}", self.id),
            "stage": "ResponseComplete",
            "requestURI": "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies",
            "verb": self.verb,
            "user": {"username": self.user},
            "sourceIPs": ["203.0.113.9"],
            "objectRef": {
                "resource": "authorizationpolicies",
                "namespace": "shop",
                "name": self.name,
                "apiGroup": "security.istio.io",
                "apiVersion": "v1",
            },
            "responseStatus": {"metadata": {}, "code": self.code},
            "requestReceivedTimestamp": at,
            "stageTimestamp": at,
        });
        for (key, value) in [("requestObject", &self.sent), ("responseObject", &self.answered)] {
            if !value.is_null() {
                event[key] = value.clone();
            }
        }
        event
    }
}

/// A policy as a client sends it and as the archive keeps it: keys in order.
fn policy(name: &str, action: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"action": action},
    })
}

fn intention(id: u32, at: &str, operation: &str, endpoint: &str) -> Value {
    json!({
        "created_at": format!("{at}.000000Z"),
        "event_type": "audit",
        "payload": {
            "id": format!("c0000000-0000-4000-8000-{id:012}"),
            "version": "1",
            "type": "HTTPEvent",
            "timestamp": format!("{at}.000000Z"),
            "auth": {"accessor_id": "08f05787-3609-8001-65b4-922e5d52e84c", "description": "ops"},
            "request": {"operation": operation, "endpoint": endpoint, "remote_addr": "10.1.7.20:64015"},
            "response": {"status": "200"},
            "stage": "OperationComplete",
        },
    })
}

/// One policy's life: created, patched, an update refused, updated, deleted, created again.
fn first_day() -> Vec<Value> {
    let patch = json!({"spec": {"action": "AUDIT"}});
    let call = |call: Call<'_>| call.event();
    vec![
        call(Call {
            id: 1,
            at: "2026-08-01T10:00:00",
            verb: "create",
            code: 201,
            sent: policy("deny-admin", "DENY"),
            ..Call::default()
        }),
        call(Call {
            id: 2,
            at: "2026-08-01T10:01:00",
            user: "bob",
            verb: "patch",
            sent: patch.clone(),
            ..Call::default()
        }),
        call(Call {
            id: 3,
            at: "2026-08-01T10:02:00",
            user: "bob",
            code: 403,
            sent: policy("deny-admin", "NEVER"),
            ..Call::default()
        }),
        call(Call {
            id: 4,
            at: "2026-08-01T10:03:00",
            sent: policy("deny-admin", "sent"),
            answered: policy("deny-admin", "ALLOW"),
            ..Call::default()
        }),
        // Of this one only patches are known.
        call(Call {
            id: 20,
            at: "2026-08-01T10:04:00",
            name: "old",
            verb: "patch",
            sent: patch.clone(),
            ..Call::default()
        }),
        call(Call {
            id: 21,
            at: "2026-08-01T10:05:00",
            name: "old",
            verb: "patch",
            sent: json!({"spec": {"action": "DENY"}}),
            ..Call::default()
        }),
        intention(
            30,
            "2026-08-01T11:00:00",
            "PUT",
            "/v1/connect/intentions/exact?source=web&destination=db",
        ),
        intention(31, "2026-08-01T11:01:00", "DELETE", "/v1/config/service-intentions/db"),
        intention(
            32,
            "2026-08-01T11:02:00",
            "PUT",
            "/v1/connect/intentions/exact?source=web&destination=db",
        ),
    ]
}

fn second_day() -> Vec<Value> {
    let call = |call: Call<'_>| call.event();
    vec![
        call(Call {
            id: 5,
            at: "2026-08-02T10:00:00",
            sent: policy("deny-admin", "DENY2"),
            ..Call::default()
        }),
        call(Call { id: 6, at: "2026-08-02T10:01:00", verb: "delete", ..Call::default() }),
        call(Call {
            id: 7,
            at: "2026-08-02T10:02:00",
            verb: "create",
            code: 201,
            ..Call::default()
        }),
        call(Call {
            id: 8,
            at: "2026-08-02T10:03:00",
            sent: policy("deny-admin", "DENY3"),
            ..Call::default()
        }),
        // Deleted with a finalizer: the answer is the object.
        call(Call {
            id: 22,
            at: "2026-08-02T10:04:00",
            name: "old",
            verb: "delete",
            answered: policy("old", "DENY"),
            ..Call::default()
        }),
    ]
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn archive() -> Laptop {
    let laptop = Laptop::new();
    let ingest = |name: &str, text: String| {
        let summary = laptop.ingest_bytes(name, text);
        assert_eq!(summary["rejects"], 0, "{summary}");
    };
    // The later day comes first, and a sender that got no answer sends a request again.
    ingest("day2.jsonl", lines(&second_day()));
    let _ = laptop.seal();
    ingest("day1.jsonl", lines(&first_day()));
    ingest("again.jsonl", format!(" {}", lines(&first_day()[1..2])));
    let _ = laptop.seal();
    laptop
}

/// Time, who, operation, applied, content, how the before is known, its time, copies; the action of
/// the policy before and after.
const EXPECTED: &str = "
10:00 alice@example.com deny-admin create true  after_only  absent   -     1 -     DENY
10:01 bob               deny-admin patch  true  patch_only  complete 10:00 2 DENY  -
10:02 bob               deny-admin update false after_only  outdated 10:00 1 DENY  NEVER
10:03 alice@example.com deny-admin update true  after_only  outdated 10:00 1 DENY  ALLOW
10:04 alice@example.com old        patch  true  patch_only  unknown  -     1 -     -
10:05 alice@example.com old        patch  true  patch_only  patch    10:04 1 AUDIT -
11:00 08f05787-3609-8001-65b4-922e5d52e84c db update true none unknown - 1 - -
11:01 08f05787-3609-8001-65b4-922e5d52e84c db delete true none unknown - 1 - -
11:02 08f05787-3609-8001-65b4-922e5d52e84c db update true none absent  - 1 - -
10:00 alice@example.com deny-admin update true  after_only  complete 10:03 1 ALLOW DENY2
10:01 alice@example.com deny-admin delete true  none        complete 10:00 1 DENY2 -
10:02 alice@example.com deny-admin create true  none        absent   -     1 -     -
10:03 alice@example.com deny-admin update true  after_only  unknown  -     1 -     DENY3
10:04 alice@example.com old        delete true  full        recorded 10:04 1 DENY  -
";

fn as_line(row: &Value) -> String {
    let text = |column: &str| match &row[column] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let time = |column: &str| text(column).get(11..16).unwrap_or("-").to_owned();
    let action = |column: &str| {
        let object = row[column].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap());
        object
            .map_or("-".to_owned(), |object| object["spec"]["action"].as_str().unwrap().to_owned())
    };
    [
        time("event_time"),
        text("changed_by"),
        text("resource_name"),
        text("change_op"),
        text("change_applied"),
        text("change_content"),
        text("before_known"),
        time("before_time"),
        text("copies"),
        action("object_before"),
        action("object_after"),
    ]
    .join(" ")
}

#[test]
fn policy_changes_know_what_was_there_before() {
    let laptop = archive();
    let rows = laptop.query("SELECT * FROM mesh_policy_changes ORDER BY event_time, segment_row");
    let found: Vec<String> = rows.iter().map(as_line).collect();
    let expected: Vec<String> = EXPECTED
        .trim()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(found, expected, "{}", found.join("\n"));
    let patch = rows[1]["patch"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(patch).unwrap(), json!({"spec": {"action": "AUDIT"}}));
}

/// The view's text in DuckDB, over the same Parquet files.
const DUCKDB: &str = "
import duckdb, json, sys
connection = duckdb.connect()
connection.execute(\"SET TimeZone = 'UTC'\")
files = sys.argv[1] + '/data/*/*.parquet'
connection.execute(f\"CREATE VIEW mesh_events AS SELECT * FROM read_parquet('{files}', hive_partitioning = true, hive_types = {{'event_date': DATE}})\")
view = open(sys.argv[2]).read()
texts = ', '.join(f'CAST({name} AS VARCHAR) AS {name}'
                  for name in ('event_time', 'event_date', 'before_time'))
rows = connection.execute(f'SELECT * REPLACE ({texts}) FROM ({view}) AS changes ORDER BY changes.event_time, segment_row')
names = [column[0] for column in rows.description]
for row in rows.fetchall():
    print(json.dumps(dict(zip(names, row))))
";

#[test]
fn policy_changes_are_the_same_in_duckdb() {
    let laptop = archive();
    let view = repository().join(VIEW).display().to_string();
    let program = Program::new(venv().join("bin/python"));
    let output = program.args(["-c", DUCKDB, laptop.archive(), &view]).run().expect(0);
    let same_times = |mut row: Value| {
        for column in ["event_time", "before_time"] {
            if let Some(text) = row[column].as_str() {
                row[column] = text.replace(' ', "T")[..19].into();
            }
        }
        row
    };
    let theirs: Vec<Value> = output.json_lines().into_iter().map(same_times).collect();
    let sql = "SELECT * FROM mesh_policy_changes ORDER BY event_time, segment_row";
    let ours: Vec<Value> = laptop.query(sql).into_iter().map(same_times).collect();
    assert_eq!(ours.len(), 14);
    assert_eq!(ours, theirs);
}

#[test]
fn what_names_an_object_prunes_and_what_names_a_day_does_not() {
    let laptop = archive();
    let count = |filter: &str| {
        laptop.number(&format!("SELECT count(*) AS n FROM mesh_policy_changes WHERE {filter}"))
    };
    assert_eq!(count("event_date = DATE '2026-08-02'"), 5);
    assert_eq!(count("event_date = DATE '2026-08-02' AND before_known = 'complete'"), 2);
    assert_eq!(count("resource_name = 'db'"), 3);
    let plan = |filter: &str| {
        let sql =
            format!("EXPLAIN SELECT copies, before_known FROM mesh_policy_changes WHERE {filter}");
        laptop.query(&sql).iter().map(Value::to_string).collect::<String>()
    };
    let files = |plan: &str| plan.matches(".parquet").count();
    // What was before may be of any day, so all days are read; an object is looked for.
    let everything = files(&plan("TRUE"));
    assert!(everything >= 2);
    assert_eq!(files(&plan("event_date = DATE '2026-08-02'")), everything);
    assert!(files(&plan("resource_name = 'db'")) < everything);
}

/// Views whose filters go through, each with what it takes from `mesh_events`, and the filters.
const SEEN_THROUGH: &[(&str, &str, &[&str])] = &[
    ("mesh_events_distinct", "TRUE", NEEDLES),
    ("mesh_denials", "decision = 'deny'", NEEDLES),
    ("mesh_would_be_denials", "shadow_decision = 'deny'", NEEDLES),
    ("mesh_tls_failures", "tls_failure", &TIMES_AND_NAMES),
    ("mesh_privilege_use", "event_kind IN ('api_call', 'policy_change', 'session')", &OF_APIS),
    ("mesh_capture", "TRUE", &OF_SOURCES),
    ("mesh_capture_minutes", "event_kind <> 'tls_handshake'", &OF_SOURCES),
    ("mesh_service_edges", CALLS, &OF_DAYS),
    ("mesh_service_authentication", CALLS, &OF_DAYS),
];
const CALLS: &str = "event_kind IN ('http_request', 'tcp_connection')";
const DAY: &str = "event_date = DATE '2026-11-03'";
const TIME: &str = "event_time >= TIMESTAMP '2026-11-03T01:00:00Z'";
const CLUSTER: &str = "k8s_cluster = 'prod-us-1'";
const NEEDLES: &[&str] = &[
    DAY,
    TIME,
    CLUSTER,
    "request_id = 'b0000000-0000-4000-8000-000000001001'",
    "trace_id = '00000000000000000000000000000000'",
    "principal = 'alice@example.com'",
    "src_identity = 'spiffe://prod-us-1.example/ns/shop/sa/frontend'",
    "src_ip = '203.0.113.9'",
    "dst_service = 'legacy.shop.svc.cluster.local'",
    "resource_name = 'frontend-allow'",
    "reporter = 'control_plane'",
];
const TIMES_AND_NAMES: [&str; 5] = [
    DAY,
    TIME,
    CLUSTER,
    "tls_failure_reason = 'cert_revoked'",
    "src_identity = 'spiffe://prod-us-1.example/ns/shop/sa/frontend'",
];
const OF_APIS: [&str; 6] = [
    DAY,
    TIME,
    CLUSTER,
    "user_name = 'alice@example.com'",
    "resource_type = 'pods/exec'",
    "resource_name = 'db-password'",
];
const OF_SOURCES: [&str; 4] =
    [DAY, CLUSTER, "source_format = 'ztunnel_text'", "reporter = 'control_plane'"];
/// Which side is counted is decided over all clusters, so a filter on one has to wait.
const OF_DAYS: [&str; 1] = [DAY];

/// What a receipt says of files that were left out: by their date, by their statistics.
fn left_out(receipt: &Value) -> (u64, u64) {
    let number = |key: &str| receipt[key].as_u64().unwrap();
    (number("files_pruned_partition"), number("files_pruned_statistics"))
}

#[test]
fn a_filter_on_a_view_leaves_out_the_files_that_it_leaves_out_of_the_table() {
    let incidents = Incidents::new();
    let desk = Desk::new(&incidents.laptop);
    let total = desk.receipt("SELECT segment_row FROM mesh_events")["files_total"].clone();
    let total = total.as_u64().unwrap();
    for (view, condition, filters) in SEEN_THROUGH {
        // Folding holds what is asked for.
        let columns = if *view == "mesh_events_distinct" { "decision, copies" } else { "*" };
        let whole = left_out(&desk.receipt(&format!("SELECT {columns} FROM {view}")));
        let of_table = |filter: &str| {
            left_out(&desk.receipt(&format!(
                "SELECT segment_row FROM mesh_events WHERE {condition} AND {filter}"
            )))
        };
        assert_eq!(whole, of_table("TRUE"), "{view}");
        for filter in *filters {
            let seen =
                left_out(&desk.receipt(&format!("SELECT {columns} FROM {view} WHERE {filter}")));
            assert_eq!(seen, of_table(filter), "{view} WHERE {filter}");
            let (left, before) = (seen.0 + seen.1, whole.0 + whole.1);
            assert!(
                left > before && left <= total,
                "{view} WHERE {filter}: {left} of {total} files"
            );
        }
        // What is no column of the key is asked of the rows.
        let rows = desk.receipt(&format!("SELECT {columns} FROM {view} LIMIT 3"));
        assert_eq!(rows["rows_returned"], 3, "{view}");
    }
    // The four scans of this one count together: a file is left out if all four leave it out.
    let all = "SELECT * FROM mesh_security_events";
    let before = left_out(&desk.receipt(all));
    for filter in [DAY, TIME] {
        let seen = left_out(&desk.receipt(&format!("{all} WHERE {filter}")));
        assert!(seen.0 + seen.1 > before.0 + before.1, "{filter}: {seen:?}, {before:?}");
    }
    let denials = "SELECT segment_row FROM mesh_events WHERE decision = 'deny' AND";
    let kind = left_out(&desk.receipt(&format!("{all} WHERE kind = 'denial' AND {DAY}")));
    assert_eq!(
        kind,
        left_out(&desk.receipt(&format!("{denials} {DAY}"))),
        "the other three are not read"
    );
}

/// The SQL name of an engine's type.
fn sql_type(engines: &str) -> &'static str {
    match engines {
        "Utf8" | "Utf8View" => "VARCHAR",
        "Int32" => "INTEGER",
        "Int64" | "UInt64" => "BIGINT",
        "Float64" => "DOUBLE",
        "Boolean" => "BOOLEAN",
        "Date32" => "DATE",
        other if other.starts_with("Timestamp(") => "TIMESTAMP WITH TIME ZONE",
        other if other.starts_with("List(") => "VARCHAR[]",
        other => panic!("a column of a view has the type {other}"),
    }
}

/// The part of `sql/schema.sql` that is about views: their columns as the engine has them, in the
/// words of their headers, or of the column of `mesh_events` that has the name.
fn views_in_schema(laptop: &Laptop) -> String {
    let mut text = String::from("\n-- Views, as comments; their SQL is in sql/views.\n");
    for view in VIEWS {
        text.push_str(&format!("--\n-- {}: a row is {}\n", view.name, view.row()));
        let sql = format!(
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_name = '{}' ORDER BY ordinal_position",
            view.name
        );
        let rows = laptop.query(&sql);
        let mut own = 0;
        for row in &rows {
            let (name, kind) =
                (row["column_name"].as_str().unwrap(), row["data_type"].as_str().unwrap());
            let of_view = view.own_columns().find(|(column, _)| *column == name);
            own += usize::from(of_view.is_some());
            let of_table = COLUMNS.iter().find(|column| column.name == name);
            let date = ("event_date", "UTC date of event_time");
            let doc = of_view.map(|(_, doc)| doc).or(of_table.map(|column| column.doc));
            let doc = doc.or((name == date.0).then_some(date.1));
            let doc = doc.unwrap_or_else(|| panic!("{} does not say what {name} is", view.name));
            text.push_str(&format!("--     {name} {} -- {doc}\n", sql_type(kind)));
        }
        assert_eq!(own, view.own_columns().count(), "{} explains what it does not have", view.name);
    }
    text
}

#[test]
fn the_views_in_the_schema_are_those_of_the_engine() {
    let written = fs::read_to_string(repository().join("sql/schema.sql")).unwrap();
    let expected = schema_sql() + &views_in_schema(&Laptop::new());
    let generated = std::env::temp_dir().join("meshledger-schema.sql");
    if written != expected {
        fs::write(&generated, &expected).unwrap();
        panic!("sql/schema.sql is not what is generated: see {}", generated.display());
    }
}

/// Makes the tables and views of `sql/` in an empty DuckDB, and lists the columns.
const SCHEMA: &str = "
import duckdb, json, sys
connection = duckdb.connect()
connection.execute(open(sys.argv[1] + '/schema.sql').read())
for name in sys.argv[2:]:
    connection.execute(f'CREATE VIEW {name} AS ' + open(f'{sys.argv[1]}/views/{name}.sql').read())
    columns = connection.execute(f'DESCRIBE {name}').fetchall()
    print(json.dumps([name, [column[0] for column in columns]]))
";

#[test]
fn the_schema_and_the_views_are_sql_that_duckdb_takes() {
    let program = Program::new(venv().join("bin/python"));
    let folder = repository().join("sql").display().to_string();
    let names = VIEWS.iter().map(|view| view.name);
    let output = program.args(["-c", SCHEMA, &folder]).args(names).run().expect(0);
    let laptop = Laptop::new();
    for line in output.json_lines() {
        let name = line[0].as_str().unwrap();
        let sql = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{name}' \
             ORDER BY ordinal_position"
        );
        let ours: Vec<Value> =
            laptop.query(&sql).iter().map(|row| row["column_name"].clone()).collect();
        assert!(!ours.is_empty());
        assert_eq!(line[1], json!(ours), "{name}");
    }
}
