//! Who may see what. The judge is a second archive that never had what is hidden: whatever a
//! restricted caller asks must get the same answer, error and receipt from both, byte for byte.
//!
//! And each attack is one: without the policy it tells the two archives apart.

use common::row::{RowKey, RowSeed};
use common::schema::{EVENTS_TABLE, column_index};

use super::*;
use crate::access::AccessPolicy;

/// What an archive of the test is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// With rows and values that the policy hides.
    Whole,
    /// Without those rows, and with other values.
    Visible,
}

/// An event of the test.
struct Row {
    day: i64,
    file: u8,
    namespace: &'static str,
    id: &'static str,
    path: &'static str,
    status: i32,
    email: &'static str,
    kind: &'static str,
}

const fn row(
    (day, file): (i64, u8),
    namespace: &'static str,
    id: &'static str,
    path: &'static str,
    status: i32,
    email: &'static str,
) -> Row {
    Row { day, file, namespace, id, path, status, email, kind: "http_request" }
}

/// Hidden rows come first, last, alone in a file and between others.
const ROWS: [Row; 14] = [
    row((0, 0), "vault", "secret-0", "/keys/root", 599, "root@corp.example"),
    row((0, 0), "shop", "open-1", "/cart", 200, "ann@corp.example"),
    row((0, 0), "vault", "secret-2", "12", 0, "ceo@corp.example"),
    row((0, 0), "shop", "open-3", "/pay", 500, "ceo@corp.example"),
    row((0, 0), "shop", "open-4", "7", 403, "bob@corp.example"),
    row((0, 0), "vault", "secret-5", "/keys/zz", 503, "ann@corp.example"),
    row((-1, 1), "vault", "secret-6", "/keys/early", 201, "bob@corp.example"),
    row((1, 2), "shop", "open-7", "/cart", 201, "ann@corp.example"),
    row((1, 2), "shop", "open-8", "/cart/9", 0, "eve@corp.example"),
    row((2, 3), "vault", "secret-9", "/keys/late", 599, "eve@corp.example"),
    row((2, 3), "vault", "secret-10", "/cart", 204, "ceo@corp.example"),
    row((1, 4), "shop", "open-11", "/admin", 403, "ceo@corp.example"),
    Row {
        kind: "policy_change",
        ..row((1, 4), "vault", "secret-12", "/apis", 201, "root@corp.example")
    },
    Row {
        kind: "policy_change",
        ..row((1, 4), "shop", "open-13", "/apis", 201, "ann@corp.example")
    },
];

const POLICY: &str = r#"{
    "rules": [
        {"name": "nobody's", "who": ["somebody-else", "role:none"], "everything": true},
        {"name": "shop", "who": ["jwt:*:ann"], "tables": {
            "mesh_events": {
                "rows": "src_namespace = 'shop' AND http_status / 1 < 700",
                "mask": {"user_email": "null", "segment_row": "null", "jwt_subject": "prefix:3"}
            },
            "mesh_quarantine": {"rows": "reason = 'not_json'"}
        }}
    ],
    "roles": {"none": []}
}"#;

const CALLER: &str = "jwt:https://issuer.example:ann";

fn event(encoder: &mut archive::SegmentEncoder, row: &Row, segment: &str, n: i64, world: World) {
    let at = |name: &str| column_index(name).unwrap();
    let mut texts: Vec<(&str, String)> = vec![
        ("segment", segment.to_owned()),
        ("event_time_source", "payload".to_owned()),
        ("mesh", "istio".to_owned()),
        ("source_format", "envoy_json".to_owned()),
        ("event_kind", row.kind.to_owned()),
        ("decision", if row.status == 403 { "deny" } else { "allow" }.to_owned()),
        ("parse_status", "ok".to_owned()),
        ("transport", "file".to_owned()),
        ("src_namespace", row.namespace.to_owned()),
        ("request_id", row.id.to_owned()),
        ("url_path", row.path.to_owned()),
        ("resource_namespace", row.namespace.to_owned()),
    ];
    // What is masked is other in the world that has only what may be seen, down to its length.
    let secret = match world {
        World::Whole => row.email.to_owned(),
        World::Visible => format!("x{}-{}", n % 2, row.id),
    };
    texts.extend([
        ("user_email", secret.clone()),
        ("principal", secret.clone()),
        ("jwt_subject", format!("sub-{secret}")),
        ("attributes", format!("{{\"who\":\"{secret}\"}}")),
        ("raw", format!("from {secret}")),
    ]);
    for (name, text) in &texts {
        encoder.text(at(name), text.as_bytes());
    }
    let micros = (DAY + row.day) * DAY_MICROS + i64::from(row.status) * 1_000_000;
    encoder.int64(at("segment_row"), n);
    encoder.int64(at("event_time"), micros);
    encoder.int64(at("ingest_time"), DAY * DAY_MICROS);
    encoder.int32(at("http_status"), row.status);
    encoder.int32(at("schema_version"), 1);
    encoder.bool(at("tls_failure"), false);
    encoder.end_row().unwrap();
}

async fn archive_of(world: World) -> Fixture {
    let mut fixture = Fixture::new().await;
    fixture.snapshot.files.clear();
    fixture.limits.threads = 1;
    for file in 0..5u8 {
        let rows: Vec<&Row> = ROWS
            .iter()
            .filter(|row| row.file == file)
            .filter(|row| world == World::Whole || row.namespace == "shop")
            .collect();
        let Some(first) = rows.first() else { continue };
        let date = EventDate::of_micros((DAY + first.day) * DAY_MICROS);
        let segment = SegmentId::of(DeliveryId(Sha256Digest::of(&[file])), date);
        let key = RowKey::of_segment(RowSeed::new([7; 32]), segment);
        let mut encoder = archive::SegmentEncoder::new(segment, date, key).unwrap();
        for (n, row) in (0i64..).zip(rows) {
            event(&mut encoder, row, &segment.to_string(), n, world);
        }
        let encoded = encoder.finish().unwrap();
        fixture.put(&encoded.entry.path, encoded.bytes.to_vec()).await;
        let entry = encoded.entry;
        fixture.snapshot.files.push(SnapshotFile {
            entry,
            sealed_version: Some(1),
            kept_rows: None,
        });
    }
    fixture.snapshot.unsealed_rows = if world == World::Whole { 6 } else { 2 };
    add_rejects(&mut fixture, world).await;
    fixture
}

/// Two rejects that may be seen, without what they hold, and one that may not.
async fn add_rejects(fixture: &mut Fixture, world: World) {
    let all = [("not_json", "{a secret"), ("too_long", "hidden"), ("not_json", "{one more")];
    let rows: Vec<_> =
        all.iter().filter(|(reason, _)| world == World::Whole || *reason == "not_json").collect();
    let column = |name: &str, kind: &DataType| -> Option<ArrayRef> {
        let texts: Vec<String> = match name {
            "reason" => rows.iter().map(|(reason, _)| (*reason).to_owned()).collect(),
            "record" | "detail" if world == World::Visible => vec!["other".to_owned(); rows.len()],
            "record" | "detail" => rows.iter().map(|(_, record)| (*record).to_owned()).collect(),
            _ => return None,
        };
        Some(arrow::compute::cast(&StringArray::from(texts), kind).unwrap())
    };
    fixture.add_rejects(rows.len(), &column, None).await;
}

/// What a caller is told: rows or error, and the receipt without the time it took.
async fn told(fixture: &Fixture, sql: &str, policy: Option<&str>) -> (String, String) {
    match ask(fixture, sql, policy).await {
        Ok((mut rows, receipt)) => {
            // Where rows lie says in which order they come: docs/access.md names it.
            if !sql.contains("ORDER BY") {
                let mut lines: Vec<&str> = rows.split('\n').collect();
                lines.sort_unstable();
                rows = lines.join("\n");
            }
            let mut receipt = serde_json::to_value(&receipt).unwrap();
            let _ = receipt.as_object_mut().unwrap().remove("elapsed_micros");
            (rows, receipt.to_string())
        }
        Err(error) => (error.to_string(), String::new()),
    }
}

async fn ask(
    fixture: &Fixture,
    sql: &str,
    policy: Option<&str>,
) -> Result<(String, Receipt), QueryError> {
    let policy = policy.map(|text| AccessPolicy::parse(text, &|_| None).unwrap());
    fixture.ask_as(&Request::new(sql, Mode::Fresh), policy, CALLER).await
}

/// An attack, and whether it tells the archives apart where nothing is hidden.
type Attack = (&'static str, bool);

const TELLS: bool = true;
const HARMLESS: bool = false;

/// Plain reading, counting, and what is answered from metadata.
const READING: &[Attack] = &[
    ("SELECT * FROM mesh_events ORDER BY request_id", TELLS),
    ("SELECT * FROM mesh_events", TELLS),
    ("SELECT count(*) FROM mesh_events", TELLS),
    ("SELECT count(request_id), count(1) FROM mesh_events", TELLS),
    ("SELECT min(event_time), max(event_time) FROM mesh_events", TELLS),
    ("SELECT min(event_date), max(event_date) FROM mesh_events", TELLS),
    ("SELECT max(http_status), min(http_status), sum(http_status) FROM mesh_events", TELLS),
    ("SELECT DISTINCT src_namespace FROM mesh_events ORDER BY 1", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE src_namespace = 'vault'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE src_namespace <> 'shop' OR TRUE", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE NOT (src_namespace = 'shop')", TELLS),
    ("SELECT * FROM mesh_events WHERE request_id = 'secret-9'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE request_id IN ('secret-0', 'open-1')", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE event_date = '2026-11-04'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE event_time > '2026-11-03T12:00:00Z'", TELLS),
    ("SELECT request_id FROM mesh_events ORDER BY event_time DESC LIMIT 1", TELLS),
    ("SELECT request_id FROM mesh_events ORDER BY event_time LIMIT 3 OFFSET 1", TELLS),
    ("SELECT request_id FROM mesh_events LIMIT 1", TELLS),
    ("SELECT segment_row FROM mesh_events ORDER BY 1", TELLS),
    ("SELECT count(*) FROM meshledger.public.mesh_events", TELLS),
    ("SELECT count(*) FROM \"public\".\"mesh_events\" AS \"e\"", TELLS),
    ("SELECT count(*) FROM mesh_quarantine", TELLS),
    ("SELECT reason, count(*) FROM mesh_quarantine GROUP BY 1 ORDER BY 1", TELLS),
    ("SELECT record, detail FROM mesh_quarantine", TELLS),
    ("SELECT count(*) FROM mesh_quarantine WHERE detail LIKE '%hidden%'", TELLS),
];

/// Subqueries, joins, set operations, windows, views.
const COMBINING: &[Attack] = &[
    ("SELECT (SELECT max(http_status) FROM mesh_events)", TELLS),
    ("SELECT 1 WHERE EXISTS (SELECT 1 FROM mesh_events WHERE src_namespace = 'vault')", TELLS),
    (
        "SELECT count(*) FROM mesh_events a WHERE EXISTS (SELECT 1 FROM mesh_events b \
         WHERE b.url_path = a.url_path AND b.request_id <> a.request_id AND b.event_date > a.event_date)",
        TELLS,
    ),
    (
        "SELECT value FROM (VALUES (599), (200), (503)) AS v(value) \
         WHERE value IN (SELECT http_status FROM mesh_events) ORDER BY 1",
        TELLS,
    ),
    (
        "SELECT value FROM (VALUES (599), (1)) AS v(value) \
         WHERE value NOT IN (SELECT http_status FROM mesh_events) ORDER BY 1",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events a, mesh_events b", TELLS),
    ("SELECT count(*) FROM mesh_events a JOIN mesh_events b USING (url_path)", TELLS),
    (
        "SELECT v.p, e.request_id FROM (VALUES ('/keys/root'), ('/cart')) AS v(p) \
         LEFT JOIN mesh_events e ON e.url_path = v.p ORDER BY 1, 2",
        TELLS,
    ),
    (
        "SELECT v.p, e.request_id FROM mesh_events e \
         FULL JOIN (VALUES ('/keys/late')) AS v(p) ON e.url_path = v.p ORDER BY 1, 2",
        TELLS,
    ),
    (
        "SELECT request_id FROM mesh_events UNION ALL SELECT reason FROM mesh_quarantine ORDER BY 1",
        TELLS,
    ),
    ("SELECT src_namespace FROM mesh_events EXCEPT SELECT 'shop'", TELLS),
    ("SELECT 'vault' INTERSECT SELECT src_namespace FROM mesh_events", TELLS),
    ("WITH mesh AS (SELECT * FROM mesh_events) SELECT count(*) FROM mesh", TELLS),
    (
        "WITH RECURSIVE n AS (SELECT CAST(max(http_status) AS BIGINT) AS i FROM mesh_events \
         UNION ALL SELECT i - 100 FROM n WHERE i > 100) SELECT count(*) FROM n",
        TELLS,
    ),
    (
        "SELECT request_id, row_number() OVER (ORDER BY request_id) FROM mesh_events ORDER BY 1",
        TELLS,
    ),
    (
        "SELECT request_id, lag(request_id) OVER (ORDER BY event_time, request_id) FROM mesh_events ORDER BY 1",
        TELLS,
    ),
    ("SELECT request_id, sum(http_status) OVER () FROM mesh_events ORDER BY 1", TELLS),
    ("SELECT count(*) FROM mesh_policy_changes", TELLS),
    ("SELECT resource_namespace, changed_by FROM mesh_policy_changes ORDER BY 1, 2", TELLS),
    ("SELECT count(*) FROM mesh_policy_changes p JOIN mesh_events e USING (event_date)", TELLS),
    (
        "SELECT src_namespace, count(*) FROM mesh_events GROUP BY ROLLUP(src_namespace) ORDER BY 1, 2",
        TELLS,
    ),
    (
        "SELECT src_namespace, count(*) FROM mesh_events GROUP BY 1 HAVING max(http_status) > 502",
        TELLS,
    ),
    (
        "SELECT array_agg(url_path ORDER BY url_path), string_agg(request_id, ',' ORDER BY request_id) FROM mesh_events",
        TELLS,
    ),
    (
        "SELECT approx_distinct(url_path), median(http_status), round(stddev(http_status), 9) FROM mesh_events",
        TELLS,
    ),
    ("SELECT count(*) FILTER (WHERE http_status = 599) FROM mesh_events", TELLS),
    ("SELECT bit_xor(http_status), regr_count(http_status, http_status) FROM mesh_events", TELLS),
];

/// Errors, and functions that could be evaluated on rows which are hidden.
const FAILING: &[Attack] = &[
    ("SELECT count(*) FROM mesh_events WHERE 1 / (http_status - 599) >= 0", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE 1 / (http_status - 503) >= 0", TELLS),
    ("SELECT 1 / (max(http_status) - 599) FROM mesh_events", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE CAST(url_path AS INT) > 3", TELLS),
    ("SELECT CAST(url_path AS INT) FROM mesh_events ORDER BY request_id DESC", TELLS),
    (
        "SELECT count(*) FROM mesh_events WHERE CASE WHEN src_namespace = 'vault' \
         THEN CAST(url_path AS INT) ELSE 1 END = 1",
        TELLS,
    ),
    (
        "SELECT count(*) FROM mesh_events WHERE src_namespace = 'vault' AND \
         CAST('x' || url_path AS INT) = 1",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE 10 / (extract(day FROM event_date) - 4) > 0", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE arrow_cast(url_path, 'Int8') = 12", TELLS),
    (
        "SELECT repeat(url_path, http_status - 598) FROM mesh_events WHERE length(url_path) = 10 ORDER BY 1",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE random() < 2 AND src_namespace = 'vault'", TELLS),
    (
        "SELECT count(*) FROM mesh_events WHERE event_time < now() + INTERVAL '100 years' \
         AND http_status = 599",
        TELLS,
    ),
    (
        "SELECT count(*) FROM mesh_events WHERE CAST(http_status AS INT) * CAST(4000000 AS INT) > 0",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE path_template(url_path) = '/keys/root'", TELLS),
    ("SELECT nothing_here FROM mesh_events", HARMLESS),
    ("EXPLAIN SELECT * FROM mesh_events", TELLS),
    ("EXPLAIN VERBOSE SELECT count(*) FROM mesh_events", TELLS),
    ("EXPLAIN FORMAT TREE SELECT count(*) FROM mesh_events", TELLS),
    ("EXPLAIN ANALYZE SELECT count(*) FROM mesh_events WHERE src_namespace = 'vault'", TELLS),
    ("EXPLAIN ANALYZE VERBOSE SELECT 1 FROM mesh_policy_changes", TELLS),
    ("DESCRIBE mesh_events", HARMLESS),
    ("SHOW COLUMNS FROM mesh_quarantine", HARMLESS),
    ("SELECT * FROM information_schema.columns ORDER BY 1, 2, 3, 4", HARMLESS),
    ("SELECT * FROM information_schema.views ORDER BY 1, 2, 3", HARMLESS),
    ("SELECT * FROM information_schema.tables ORDER BY 1, 2, 3", HARMLESS),
];

/// Masked columns: what they hold, whether they are equal, sorted, matched, cast or hashed.
const UNMASKING: &[Attack] = &[
    ("SELECT user_email FROM mesh_events ORDER BY request_id", TELLS),
    ("SELECT principal, attributes, raw FROM mesh_events ORDER BY request_id", TELLS),
    ("SELECT jwt_subject FROM mesh_events ORDER BY request_id", TELLS),
    ("SELECT attributes ->> 'who' FROM mesh_events ORDER BY request_id", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email = 'ceo@corp.example'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email IN ('ceo@corp.example', 'x')", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email <> 'ceo@corp.example'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email BETWEEN 'c' AND 'd'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email LIKE 'ceo%'", TELLS),
    (
        "SELECT count(*) FROM mesh_events WHERE user_email ILIKE '%CEO%' OR user_email SIMILAR TO 'ceo.*'",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE regexp_like(user_email, '^ceo')", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE starts_with(user_email, 'ceo')", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE user_email IS NOT NULL", TELLS),
    (
        "SELECT count(*) FROM mesh_events WHERE user_email IS DISTINCT FROM 'ceo@corp.example'",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE substr(user_email, 1, 3) = 'ceo'", TELLS),
    ("SELECT sum(length(user_email)), max(octet_length(raw)) FROM mesh_events", TELLS),
    ("SELECT count(DISTINCT user_email), min(user_email), max(principal) FROM mesh_events", TELLS),
    ("SELECT request_id FROM mesh_events ORDER BY user_email, request_id", TELLS),
    ("SELECT request_id FROM mesh_events ORDER BY user_email DESC, request_id LIMIT 1", TELLS),
    ("SELECT count(*) FROM mesh_events GROUP BY user_email ORDER BY 1", TELLS),
    ("SELECT count(*) OVER (PARTITION BY user_email) FROM mesh_events ORDER BY 1", TELLS),
    ("SELECT count(*) FROM mesh_events a JOIN mesh_events b ON a.user_email = b.user_email", TELLS),
    (
        "SELECT v.e, count(request_id) FROM (VALUES ('ceo@corp.example')) AS v(e) \
         LEFT JOIN mesh_events m ON m.principal = v.e GROUP BY 1",
        TELLS,
    ),
    (
        "SELECT digest(user_email, 'sha256'), md5(principal) FROM mesh_events ORDER BY request_id",
        TELLS,
    ),
    ("SELECT CAST(user_email AS INT) FROM mesh_events", TELLS),
    (
        "SELECT arrow_typeof(user_email), coalesce(user_email, raw, attributes, 'none') FROM mesh_events ORDER BY request_id",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE attributes LIKE '%ceo@%' OR raw LIKE '%ceo@%'", TELLS),
    ("SELECT count(*) FROM mesh_events WHERE jwt_subject = 'sub-ceo@corp.example'", TELLS),
    (
        "SELECT count(*) FROM mesh_events WHERE jwt_subject > 'sub-b' AND jwt_subject < 'sub-d'",
        TELLS,
    ),
    ("SELECT count(*) FROM mesh_events WHERE jwt_subject = 'sub' AND url_path = '/cart'", HARMLESS),
    ("SELECT changed_by FROM mesh_policy_changes WHERE changed_by LIKE 'ann%'", TELLS),
    (
        "SELECT nullif(user_email, 'ceo@corp.example') IS NULL, request_id FROM mesh_events ORDER BY 2",
        TELLS,
    ),
    (
        "SELECT CASE user_email WHEN 'ceo@corp.example' THEN 1 / 0 ELSE 1 END FROM mesh_events",
        TELLS,
    ),
    ("SELECT segment_row, count(*) FROM mesh_events GROUP BY 1 ORDER BY 1", TELLS),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_changes_no_answer_error_or_receipt() {
    let whole = archive_of(World::Whole).await;
    let visible = archive_of(World::Visible).await;
    let all = [READING, COMBINING, FAILING, UNMASKING].concat();
    assert!(all.len() >= 40);
    let mut leaks = Vec::new();
    for (sql, tells) in all {
        let (one, other) =
            (told(&whole, sql, Some(POLICY)).await, told(&visible, sql, Some(POLICY)).await);
        if one != other {
            leaks.push(format!("{sql}\n  whole:   {one:?}\n  visible: {other:?}"));
        }
        let without = |fixture| told(fixture, sql, None);
        let differs = without(&whole).await.0 != without(&visible).await.0;
        if differs != tells {
            leaks.push(format!("{sql}\n  is said to tell the archives apart: {tells}"));
        }
    }
    assert!(leaks.is_empty(), "{} of the attacks:\n{}", leaks.len(), leaks.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_caller_gets_the_rows_and_values_that_may_be_seen() {
    let whole = archive_of(World::Whole).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM mesh_events", "7"),
        ("SELECT count(*) FROM mesh_events WHERE url_path = '/cart'", "2"),
        ("SELECT DISTINCT src_namespace, user_email, jwt_subject FROM mesh_events", "shop,,sub"),
        ("SELECT request_id FROM mesh_events WHERE request_id = 'open-8'", "open-8"),
        ("SELECT min(event_date) FROM mesh_events", "2026-11-02"),
        ("SELECT count(*) FROM mesh_policy_changes", "1"),
        ("SELECT count(*), count(record) FROM mesh_quarantine", "2,0"),
    ] {
        let (rows, receipt) = ask(&whole, sql, Some(POLICY)).await.unwrap();
        assert_eq!(rows, expected, "{sql}");
        assert!(receipt.restricted && receipt.complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_a_restricted_caller_what_is_the_answers_own() {
    let whole = archive_of(World::Whole).await;
    let (_, receipt) = told(&whole, "SELECT request_id FROM mesh_events", Some(POLICY)).await;
    assert_eq!(
        receipt,
        r#"{"complete":true,"files_hashed":false,"mode":"fresh","restricted":true,"#.to_owned()
            + r#""rows_returned":7,"sealed_through":null,"table_id":"table","version":3}"#
    );
    let (_, receipt) = told(&whole, "SELECT request_id FROM mesh_events", None).await;
    assert!(receipt.contains("\"files_total\":5"), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_by_no_rule_sees_nothing() {
    let whole = archive_of(World::Whole).await;
    let policy = || Some(AccessPolicy::parse(POLICY, &|_| None).unwrap());
    let request = Request::new("SELECT 1", Mode::Fresh);
    for caller in ["jwt:https://issuer.example:bob", "", "ann", "jwt:ann:"] {
        let error = whole.ask_as(&request, policy(), caller).await.unwrap_err();
        assert_eq!(error.code(), Code::Access, "{caller}");
    }
    let (_, receipt) = whole.ask_as(&request, policy(), "somebody-else").await.unwrap();
    assert!(!receipt.restricted);
    let bounds = crate::Bounds { scan_bytes_max: Some(1_000), ..crate::Bounds::default() };
    let request =
        Request { bounds, ..Request::new("SELECT count(*) FROM mesh_events", Mode::Fresh) };
    let error = whole.ask_as(&request, policy(), CALLER).await.unwrap_err();
    assert_eq!(error.code(), Code::Access, "bytes read are a measure of what is hidden");
    for caps in [
        crate::Caps { bytes: Some(1 << 40), ..crate::Caps::default() },
        crate::Caps { requests: Some(1 << 40), ..crate::Caps::default() },
        crate::Caps { dollars: crate::Dollars::parse("1000"), ..crate::Caps::default() },
    ] {
        let request =
            Request { caps, ..Request::new("SELECT count(*) FROM mesh_events", Mode::Fresh) };
        let error = whole.ask_as(&request, policy(), CALLER).await.unwrap_err();
        assert_eq!(error.code(), Code::Access, "what it costs is a measure of what is hidden");
        let (_, receipt) = whole.ask_as(&request, policy(), "somebody-else").await.unwrap();
        assert!(receipt.complete, "who may see everything may cap it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_from_whom_something_is_kept_is_told_what_a_query_would_cost() {
    let folder = tempfile::tempdir().unwrap();
    let archive = super::archive_of(folder.path(), &["a", "b"]).await;
    let policy = r#"{"rules": [
        {"name": "a", "who": ["ann"], "tables": {"mesh_events": {"rows": "principal = 'a#0'"}}},
        {"name": "b", "who": ["bob"], "everything": true}]}"#;
    let engine = Engine::new(archive.reader(), Limits::default()).unwrap();
    let engine = engine.guarded_by(AccessPolicy::parse(policy, &|_| None).unwrap()).unwrap();
    let request = Request::new("SELECT principal FROM mesh_events", Mode::Fresh);
    for caller in [None, Some("ann"), Some("carol")] {
        let error = engine.estimate_as(&request, caller).await.unwrap_err();
        assert_eq!(error.code(), Code::Access, "{caller:?}");
    }
    let estimate = engine.estimate_as(&request, Some("bob")).await.unwrap();
    assert_eq!((estimate.files, estimate.rows), (2, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_no_rule_gives_is_closed_and_so_is_what_rests_on_it() {
    let whole = archive_of(World::Whole).await;
    let policy = r#"{"rules": [{"name": "a", "who": ["*"], "tables":
        {"mesh_quarantine": {"rows": "true", "keep": ["record"]}}}]}"#;
    for sql in [
        "SELECT 1 FROM mesh_events",
        "SELECT 1 FROM mesh_policy_changes",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM meshledger.public.mesh_events)",
        "WITH mesh_quarantine AS (SELECT 1 FROM mesh_events) SELECT * FROM mesh_quarantine",
    ] {
        let error = ask(&whole, sql, Some(policy)).await.unwrap_err();
        assert_eq!(error.code(), Code::Access, "{sql}: {error}");
    }
    let sql = "SELECT count(*), count(record), count(detail) FROM mesh_quarantine";
    assert_eq!(ask(&whole, sql, Some(policy)).await.unwrap().0, "3,3,0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_the_same_for_the_same_value_and_needs_the_key() {
    let whole = archive_of(World::Whole).await;
    let policy = r#"{"hash_key": "env:KEY", "rules": [{"name": "a", "who": ["*"], "tables":
        {"mesh_events": {"rows": "true", "mask": {"user_email": "hash"}}}}]}"#;
    let asked = async |key: &'static str| {
        let policy = AccessPolicy::parse(policy, &|_| Some(key.to_owned())).unwrap();
        let sql = "SELECT DISTINCT user_email, principal FROM mesh_events \
                   WHERE request_id IN ('secret-2', 'open-3')";
        whole.ask_as(&Request::new(sql, Mode::Fresh), Some(policy), "x").await.unwrap().0
    };
    // printf ceo@corp.example | openssl dgst -sha256 -hmac 0123456789abcdef
    let expected = "2ab9196271f9f937c7979f1b85970301748a0cd54b8a120d0a465c8d71b2332e";
    assert_eq!(asked("0123456789abcdef").await, format!("{expected},{expected}"));
    assert!(!asked("0123456789abcdeg").await.contains(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_policy_itself_quotes_no_row() {
    let whole = archive_of(World::Whole).await;
    for rows in ["CAST(url_path AS INT) = 7", "request_id = 'open-1' AND CAST(url_path AS INT) = 7"]
    {
        let policy = format!(
            r#"{{"rules": [{{"name": "a", "who": ["*"], "tables": {{"mesh_events": {{"rows": "{rows}"}}}}}}]}}"#
        );
        let error = ask(&whole, "SELECT * FROM mesh_events", Some(&policy)).await.unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("/keys") && !text.contains("/cart"), "{text}");
    }
}

/// Statuses from 200 on are no TINYINT, so that the condition is unknown of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_cast_in_a_condition_does_not_let_through_what_does_not_fit() {
    let whole = archive_of(World::Whole).await;
    let policy = r#"{"rules": [{"name": "a", "who": ["*"], "tables": {"mesh_events":
        {"rows": "TRY_CAST(http_status AS TINYINT) < 100 OR TRY_CAST(http_status AS TINYINT) > 99"}}}]}"#;
    let sql = "SELECT request_id FROM mesh_events ORDER BY request_id";
    assert_eq!(ask(&whole, sql, Some(policy)).await.unwrap().0, "open-8\nsecret-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_depends_on_the_row_alone() {
    let core = core(Limits::default()).unwrap();
    let held = |table: &str, json: &str| {
        let policy = format!(
            r#"{{"rules": [{{"name": "n", "who": ["*"], "tables": {{"{table}": {json}}}}}]}}"#
        );
        core.shared.access(AccessPolicy::parse(&policy, &|_| None).unwrap()).map(|_| ())
    };
    for (rows, expected) in [
        ("random() < 0.5", "depends on more"),
        ("event_time > now()", "depends on more"),
        ("event_date = current_date", "depends on more"),
        ("request_id IN (SELECT request_id FROM mesh_events)", ""),
        ("EXISTS (SELECT 1)", ""),
        ("count(*) > 1", "more than a condition"),
        ("row_number() OVER () = 1", "more than a condition"),
        ("$who = principal", "more than a condition"),
        ("http_status", "expected a condition"),
        ("no_column = 1", "no_column"),
        ("src_namespace =", ""),
    ] {
        let json = format!(r#"{{"rows": "{rows}"}}"#);
        let error = held(EVENTS_TABLE, &json).unwrap_err();
        assert_eq!(error.code(), Code::Parameter);
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("rule \"n\""), "{rows}: {text}");
    }
    for (table, json, expected) in [
        ("mesh_policy_changes", r#"{"rows": "true"}"#, "expected the tables"),
        (EVENTS_TABLE, r#"{"rows": "true", "mask": {"nobody": "null"}}"#, "no column nobody"),
        (EVENTS_TABLE, r#"{"rows": "true", "keep": ["nobody"]}"#, "no column nobody"),
        (EVENTS_TABLE, r#"{"rows": "true", "mask": {"http_status": "prefix:1"}}"#, "null alone"),
        (
            EVENTS_TABLE,
            r#"{"rows": "true", "mask": {"raw": "null"}, "keep": ["raw"]}"#,
            "both masked and kept",
        ),
    ] {
        let text = held(table, json).unwrap_err().to_string();
        assert!(text.contains(expected), "{json}: {text}");
    }
    let good = r#"{"rows": "lower(src_namespace) LIKE 'shop%' AND event_date > '2026-01-01'"}"#;
    assert!(held(EVENTS_TABLE, good).is_ok());
}

/// The conditions of callers save reading where they are harmless, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_query_still_leaves_files_out() {
    let whole = archive_of(World::Whole).await;
    let policy = || AccessPolicy::parse(POLICY, &|_| None).unwrap();
    let read = async |sql: &str| {
        let request = Request::new(sql, Mode::Fresh);
        whole.whole_receipt(&request, policy(), CALLER).await.files_read
    };
    let all = "SELECT count(http_status) FROM mesh_events";
    // Two of five files hold hidden rows alone, which statistics tell.
    assert_eq!(read(all).await, 3);
    let cases = [
        ("event_date = '2026-11-02'", 1),
        ("event_time < '2026-11-02T12:00:00Z'", 1),
        ("request_id = 'a'", 0),
        // Not a comparison of a column with a constant.
        ("abs(http_status) > 9000", 3),
        // Masked.
        ("user_email = 'root@corp.example'", 3),
        ("jwt_subject = 'no'", 3),
    ];
    for (condition, expected) in cases {
        assert_eq!(
            read(&format!("{all} WHERE {condition} OR FALSE")).await,
            expected,
            "{condition}"
        );
    }
}
