//! Whole queries over hand-made snapshots in memory.

use std::time::Duration;

use archive::snapshot::SnapshotFile;
use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use common::date::{DAY_MICROS, EventDate};
use common::ids::{DeliveryId, SegmentId, UnitId};
use common::manifest::FileEntry;
use common::schema::file_schema;
use common::stats::{ColumnStats, FileStats, StatValue};
use common::{Sha256Digest, layout};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::schema::types::ColumnPath;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use super::*;
use crate::receipt::Receipt;
use crate::request::Param;
use crate::rows::{Destination, Format, RowWriter};

mod access;
mod estimate;
mod probe;
mod pruning;
mod rejects;
mod sound;

const DAY: i64 = 20_759; // 2026-11-02
const ROWS: i64 = 100;

/// What answers where nothing has a price.
fn core(limits: Limits) -> Result<Core, QueryError> {
    Core::new(limits, Prices::of("/archive"))
}

struct Fixture {
    snapshot: Snapshot,
    store: Arc<dyn ObjectStore>,
    limits: Limits,
}

/// Row `i` of a file: one event a minute, ids that tell day and row, every fourth denied.
fn column(field: &Field, day: i64) -> ArrayRef {
    let rows = 0..ROWS;
    let texts = |text: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from(rows.clone().map(text).collect::<Vec<_>>()))
    };
    match field.name().as_str() {
        "request_id" => texts(&|i| format!("req-{day}-{i}")),
        "principal" => texts(&|i| format!("user-{}", i % 10)),
        "decision" => texts(&|i| if i % 4 == 0 { "deny" } else { "allow" }.to_owned()),
        "segment_row" => Arc::new(Int64Array::from_iter_values(rows)),
        "http_status" => Arc::new(Int32Array::from_iter(
            rows.map(|i| (i % 2 == 0).then_some(200 + 203 * i32::from(i % 4 == 0))),
        )),
        _ => match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, 100),
            DataType::Utf8 => texts(&|_| "x".to_owned()),
            DataType::Int32 => Arc::new(Int32Array::from_iter_values(rows.map(|_| 1))),
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(rows)),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![false; 100])),
            _ => {
                let micros = rows.map(|i| day * DAY_MICROS + i * 60_000_000);
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
            }
        },
    }
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(25))
        .set_column_bloom_filter_enabled(ColumnPath::from("request_id"), true)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

impl Fixture {
    /// One file a day, for three days.
    async fn new() -> Self {
        let snapshot = Snapshot {
            version: 3,
            table_id: "table".to_owned(),
            mode: Mode::Fresh,
            files: Vec::new(),
            quarantine: Vec::new(),
            unsealed_manifests: 0,
            unsealed_rows: 0,
            unreadable_manifests: Vec::new(),
            log: archive::log::Log::default(),
            authentic: None,
        };
        let limits = Limits { threads: 2, ..Limits::default() };
        let mut fixture = Self { snapshot, store: Arc::new(InMemory::new()), limits };
        for day in DAY..DAY + 3 {
            fixture.add_day(day).await;
        }
        fixture
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.store.put(&key.into(), PutPayload::from(bytes)).await.unwrap();
    }

    async fn add_day(&mut self, day: i64) {
        let schema = file_schema();
        let columns = schema.fields().iter().map(|field| column(field, day)).collect();
        let bytes = parquet(&RecordBatch::try_new(schema, columns).unwrap());
        let sha256 = Sha256Digest::of(&bytes);
        let event_date = EventDate::of_micros(day * DAY_MICROS);
        let text = |min: &str, max: &str| ColumnStats {
            min: Some(StatValue::Text(min.to_owned())),
            max: Some(StatValue::Text(max.to_owned())),
            nulls: 0,
        };
        let stats = FileStats::from([
            ("decision".to_owned(), text("allow", "deny")),
            ("request_id".to_owned(), text(&format!("req-{day}-0"), &format!("req-{day}-99"))),
        ]);
        let entry = FileEntry {
            path: layout::data_key(event_date, sha256),
            sha256,
            bytes: u64::try_from(bytes.len()).unwrap(),
            rows: 100,
            segment: SegmentId::of(DeliveryId(sha256), event_date),
            event_date,
            event_time_micros_min: day * DAY_MICROS,
            event_time_micros_max: day * DAY_MICROS + (ROWS - 1) * 60_000_000,
            row_root: sha256,
            stats,
            version: None,
        };
        self.put(&entry.path.clone(), bytes).await;
        self.snapshot.files.push(SnapshotFile { entry, sealed_version: Some(1), kept_rows: None });
    }

    async fn answer(&self, request: &Request) -> Result<Answer, QueryError> {
        self.start(request, None, "").await
    }

    async fn ask(&self, request: &Request) -> Result<(String, Receipt), QueryError> {
        self.ask_as(request, None, "").await
    }

    async fn start(
        &self,
        request: &Request,
        policy: Option<AccessPolicy>,
        caller: &str,
    ) -> Result<Answer, QueryError> {
        let core = core(self.limits.clone())?;
        let grant = match policy {
            Some(policy) => core.shared.access(policy)?.grant(Some(caller))?,
            None => Arc::new(Grant::everything()),
        };
        grant.check_request(request)?;
        let statement = core.parse(request)?;
        let source = self.source(&core, grant).await?;
        core.answer(request, statement, source, Instant::now()).await
    }

    async fn source(&self, core: &Core, grant: Arc<Grant>) -> Result<Source, QueryError> {
        Ok(Source {
            snapshot: Arc::new(self.snapshot.clone()),
            cost: SnapshotCost::default(),
            store: Arc::clone(&self.store) as Arc<dyn ObjectStore>,
            grant,
            slot: core.gate.enter().await?,
        })
    }

    /// What was read for a caller who is not told so.
    async fn whole_receipt(
        &self,
        request: &Request,
        policy: AccessPolicy,
        caller: &str,
    ) -> Receipt {
        let mut answer = self.start(request, Some(policy), caller).await.unwrap();
        let _ = answer.collect().await.unwrap();
        answer.whole_receipt()
    }

    async fn ask_as(
        &self,
        request: &Request,
        policy: Option<AccessPolicy>,
        caller: &str,
    ) -> Result<(String, Receipt), QueryError> {
        let mut answer = self.start(request, policy, caller).await?;
        let schema: SchemaRef = answer.schema();
        let batches = answer.collect().await?;
        let receipt = answer.receipt();
        assert!(receipt.complete);
        let mut csv = Vec::new();
        let mut writer =
            RowWriter::new(Format::Csv, &schema, Destination::Program, &mut csv).unwrap();
        for batch in &batches {
            writer.write(batch).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), receipt.rows_returned);
        let text = String::from_utf8(csv).unwrap();
        Ok((text.lines().skip(1).collect::<Vec<_>>().join("\n"), receipt))
    }

    async fn sql(&self, sql: &str) -> (String, Receipt) {
        match self.ask(&Request::new(sql, Mode::Fresh)).await {
            Ok(answered) => answered,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    async fn rows(&self, sql: &str) -> String {
        self.sql(sql).await.0
    }

    async fn error(&self, sql: &str) -> QueryError {
        match self.ask(&Request::new(sql, Mode::Fresh)).await {
            Ok((rows, _)) => panic!("{sql}: {rows}"),
            Err(error) => error,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_get_the_right_answers() {
    let fixture = Fixture::new().await;
    for (sql, expected) in [
        ("SELECT count(*) FROM mesh_events", "300"),
        ("SELECT count(*) FROM MESH_EVENTS WHERE Decision = 'deny'", "75"),
        ("SELECT count(http_status), count(*) FROM mesh_events", "150,300"),
        (
            "SELECT event_date, count(*) FROM mesh_events GROUP BY event_date ORDER BY event_date",
            "2026-11-02,100\n2026-11-03,100\n2026-11-04,100",
        ),
        ("SELECT request_id FROM mesh_events WHERE request_id = 'req-20760-42'", "req-20760-42"),
        (
            "SELECT count(*) FROM mesh_events WHERE request_id IN ('req-20760-42', 'req-20761-1', 'no')",
            "2",
        ),
        (
            "SELECT event_time, principal FROM mesh_events ORDER BY event_time DESC LIMIT 2",
            "2026-11-04T01:39:00.000000Z,user-9\n2026-11-04T01:38:00.000000Z,user-8",
        ),
        (
            "SELECT min(event_time), max(event_time) FROM mesh_events",
            "2026-11-02T00:00:00.000000Z,2026-11-04T01:39:00.000000Z",
        ),
        ("SELECT count(*) FROM mesh_events WHERE event_time < '2026-11-03T00:10:00Z'", "110"),
        (
            "SELECT count(*) FROM mesh_events WHERE event_date = '2026-11-03' AND http_status = 403",
            "25",
        ),
        ("SELECT count(*) FROM mesh_events WHERE event_date > '2030-01-01'", "0"),
        (
            "SELECT count(*) FROM mesh_events a JOIN mesh_events b USING (request_id) WHERE a.event_date = '2026-11-02'",
            "100",
        ),
        (
            "SELECT count(*) FROM mesh_events WHERE request_id IN (SELECT request_id FROM mesh_events WHERE http_status = 403)",
            "75",
        ),
        ("SELECT count(*) FROM mesh_quarantine", "0"),
        ("SELECT count(*) FROM information_schema.tables WHERE table_type = 'BASE TABLE'", "2"),
        ("SELECT count(*) FROM generate_series(1, 10)", "10"),
        ("SELECT count(*) FROM range(1, 10)", "9"),
        ("SELECT value FROM (VALUES (1)) AS v(value)", "1"),
        (
            "SELECT arrow_typeof(event_time) FROM mesh_events LIMIT 1",
            "\"Timestamp(µs, \"\"UTC\"\")\"",
        ),
    ] {
        assert_eq!(fixture.rows(sql).await, expected, "{sql}");
    }
}

/// The digests are those of docs/receipts.md 3.5, which Python computed.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_not_be_had_again_has_a_digest_if_that_is_asked_for() {
    let fixture = Fixture::new().await;
    let one = "04e547c09444aa00c460ba995129ea24c2c9285f5845a17ac476781ddd5090fb";
    let three = "6620b5d8a777d96b312acb2487f42f335ff07e46ea187e4c70582c9b99131ab4";
    let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (sql, rows, expected) in [
        ("SELECT 1 AS n WHERE now() > to_timestamp('2000-01-01')", 1, one),
        ("SELECT n FROM (VALUES (1), (2), (2)) v(n)", 3, three),
        // Its order does not count.
        ("SELECT n FROM (VALUES (1), (2), (2)) v(n) ORDER BY n DESC", 3, three),
        ("SELECT 1 AS n WHERE random() > 2", 0, none),
    ] {
        let plain = Request::new(sql, Mode::Fresh);
        let asked = Request { digested: true, ..plain.clone() };
        let mut answer = fixture.answer(&asked).await.unwrap();
        assert_eq!(answer.digest(), None, "{sql}: nothing is read yet");
        let _ = answer.collect().await.unwrap();
        let digest = answer.digest().unwrap();
        assert_eq!((digest.rows, &*digest.root.to_string()), (rows, expected), "{sql}");
        assert!(!digest.is_ordered && answer.statement(crate::About::default()).is_none());
        let mut answer = fixture.answer(&plain).await.unwrap();
        let _ = answer.collect().await.unwrap();
        assert_eq!(answer.digest(), None, "{sql}: nobody asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_can_be_asked() {
    let fixture = Fixture::new().await;
    let tables = fixture.rows("SHOW TABLES").await;
    assert!(tables.contains("meshledger,public,mesh_events,BASE TABLE"), "{tables}");
    assert!(tables.contains("mesh_quarantine"), "{tables}");
    for view in sql_views::VIEWS {
        let name = view.name;
        assert!(tables.contains(&format!("meshledger,public,{name},VIEW")), "{tables}");
        assert!(view.sql.starts_with(&format!("-- view: {name}\n")), "{name}");
        let named = |part: &str| format!("SELECT count(*) FROM {part} WHERE table_name = '{name}'");
        let columns = fixture.rows(&named("information_schema.columns")).await;
        let described = fixture.sql(&format!("DESCRIBE {name}")).await.1.rows_returned;
        assert_eq!(columns, described.to_string());
        assert!(described > 0);
        assert_eq!(fixture.rows(&named("information_schema.views")).await, "1");
        let rows = fixture.rows(&format!("SELECT count(*) FROM {name}")).await;
        for full in [format!("public.{name}"), format!("meshledger.public.{name}")] {
            assert_eq!(fixture.rows(&format!("SELECT count(*) FROM {full}")).await, rows);
        }
    }
    let columns = u64::try_from(common::schema::table_schema().fields().len()).unwrap();
    assert_eq!(fixture.sql("DESCRIBE mesh_events").await.1.rows_returned, columns);
    assert_eq!(fixture.sql("SHOW COLUMNS FROM mesh_events").await.1.rows_returned, columns);
    assert!(fixture.rows("EXPLAIN SELECT * FROM mesh_events").await.contains("DataSourceExec"));
    assert!(
        fixture
            .rows("EXPLAIN ANALYZE SELECT decision FROM mesh_events")
            .await
            .contains("output_rows=300")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_kept_rows_count() {
    let mut fixture = Fixture::new().await;
    fixture.snapshot.files.truncate(1);
    fixture.snapshot.files[0].kept_rows = Some(vec![3..5, 20..30, 99..100]);
    for (sql, expected) in [
        ("SELECT count(*) FROM mesh_events", "13"),
        ("SELECT count(decision) FROM mesh_events", "13"),
        ("SELECT segment_row FROM mesh_events WHERE segment_row < 21 ORDER BY 1", "3\n4\n20"),
        ("SELECT count(*) FROM mesh_events WHERE request_id = 'req-20759-19'", "0"),
        ("SELECT count(*) FROM mesh_events WHERE request_id = 'req-20759-20'", "1"),
        ("SELECT min(event_time) FROM mesh_events", "2026-11-02T00:03:00.000000Z"),
        ("SELECT segment_row FROM mesh_events ORDER BY event_time DESC LIMIT 2", "99\n29"),
        ("SELECT count(*) FROM (SELECT * FROM mesh_events LIMIT 7)", "7"),
        ("SELECT count(*) FROM mesh_events WHERE event_date = '2026-11-02'", "13"),
    ] {
        assert_eq!(fixture.rows(sql).await, expected, "{sql}");
    }
    fixture.snapshot.files[0].kept_rows = Some(Vec::new());
    assert_eq!(fixture.rows("SELECT count(*) FROM mesh_events").await, "0");
    assert_eq!(fixture.rows("SELECT count(decision) FROM mesh_events").await, "0");
    fixture.snapshot.files[0].kept_rows = Some(vec![5..6, 7..101]);
    assert_eq!(fixture.error("SELECT decision FROM mesh_events").await.code(), Code::Execution);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_kept_units_of_quarantine_count() {
    let mut fixture = Fixture::new().await;
    let units: Vec<UnitId> = (0u8..4).map(|i| UnitId(Sha256Digest::of(&[i]))).collect();
    fixture.add_quarantine(&units[..2], None).await;
    fixture.add_quarantine(&units[1..], Some(&units[2..3])).await;
    fixture.add_quarantine(&units[2..], Some(&[])).await;
    assert_eq!(fixture.rows("SELECT count(*) FROM mesh_quarantine").await, "3");
    let counted = "SELECT count(*) FROM mesh_quarantine WHERE unit = ";
    for (unit, expected) in units.iter().zip(["1", "1", "1", "0"]) {
        assert_eq!(fixture.rows(&format!("{counted}'{unit}'")).await, expected);
    }
    assert_eq!(
        fixture.rows("SELECT record, reason FROM mesh_quarantine LIMIT 1").await,
        "7b,no_json"
    );
    assert_eq!(
        fixture.rows("SELECT reason, count(*) FROM mesh_quarantine GROUP BY 1").await,
        "no_json,3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_say_what_was_read_and_why() {
    let fixture = Fixture::new().await;
    let (_, receipt) =
        fixture.sql("SELECT decision FROM mesh_events WHERE event_date = '2026-11-03'").await;
    assert_eq!(
        (receipt.files_total, receipt.files_pruned_partition, receipt.files_read),
        (3, 2, 1)
    );
    assert_eq!((receipt.rows_scanned, receipt.rows_returned), (100, 100));
    assert_eq!((receipt.version, receipt.mode), (3, "fresh"));
    assert!(receipt.bytes_read > 0 && receipt.requests > 0);

    let (_, receipt) =
        fixture.sql("SELECT decision FROM mesh_events WHERE request_id = 'req-20760-42'").await;
    assert_eq!((receipt.files_pruned_statistics, receipt.files_read), (2, 1));
    assert_eq!(receipt.row_groups_pruned_statistics + receipt.row_groups_pruned_bloom, 3);
    assert_eq!((receipt.row_groups_read, receipt.rows_returned), (1, 1));

    let (_, receipt) =
        fixture.sql("SELECT decision FROM mesh_events WHERE request_id = 'req-20760-421'").await;
    assert!(receipt.row_groups_pruned_bloom > 0, "{receipt:?}");
    assert_eq!((receipt.row_groups_read, receipt.rows_scanned), (0, 0));

    let (_, receipt) = fixture.sql("SELECT count(*) FROM mesh_events").await;
    assert_eq!((receipt.files_skipped, receipt.files_read, receipt.bytes_read), (3, 0, 0));

    let (_, receipt) = fixture.sql("SELECT 1").await;
    assert_eq!((receipt.files_total, receipt.rows_returned), (0, 1));
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!(json["complete"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_by_type() {
    let fixture = Fixture::new().await;
    let request = |sql: &str, params: Vec<(&str, Param)>| Request {
        params: params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Request::new(sql, Mode::Fresh)
    };
    let sql = "SELECT count(*) FROM mesh_events WHERE event_time >= $since AND \
               ($principal IS NULL OR principal = $principal) AND http_status = $status";
    let since = Param::Timestamp(Some((DAY + 1) * DAY_MICROS));
    let text = |text: &str| Param::Text(Some(text.to_owned()));
    for (principal, expected) in
        [(Param::Text(None), "50"), (text("user-0"), "10"), (text("' OR '1'='1"), "0")]
    {
        let status = Param::Integer(Some(403));
        let given = vec![("since", since.clone()), ("principal", principal), ("status", status)];
        assert_eq!(fixture.ask(&request(sql, given)).await.unwrap().0, expected);
    }
    let limited = request(
        "SELECT request_id FROM mesh_events LIMIT $n",
        vec![("n", Param::Integer(Some(3)))],
    );
    assert_eq!(fixture.ask(&limited).await.unwrap().1.rows_returned, 3);
    for (sql, given, expected) in [
        ("SELECT $a", vec![], "uses $a, but no value"),
        ("SELECT 1", vec![("a", text("x"))], "does not use $a; its parameters: none"),
        ("SELECT 1 WHERE $b = 1", vec![("b", text("1")), ("b", text("1"))], "more than once"),
    ] {
        let error = fixture.ask(&request(sql, given)).await.unwrap_err();
        assert_eq!(error.code(), Code::Parameter);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hitting_a_limit_is_an_error_of_its_own() {
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b";
    let sort = "SELECT a.value, b.value FROM range(1, 3000) a, range(1, 3000) b ORDER BY a.value * 7 % 13, b.value";
    let scan = "SELECT * FROM mesh_events";
    for (sql, code) in [
        (scan, Code::LimitRows),
        (scan, Code::LimitBytes),
        ("SELECT decision FROM mesh_events WHERE request_id = 'req-20760-42'", Code::LimitBytes),
        (endless, Code::LimitTime),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
            Code::LimitTime,
        ),
        (sort, Code::LimitMemory),
    ] {
        let mut fixture = Fixture::new().await;
        match code {
            Code::LimitRows => fixture.limits.rows_max = Some(299),
            Code::LimitBytes => fixture.limits.scan_bytes_max = Some(1_000),
            Code::LimitTime => fixture.limits.time = Duration::from_millis(300),
            _ => fixture.limits.memory_bytes = 10_000_000,
        }
        let started = Instant::now();
        let error = fixture.error(sql).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(started.elapsed() < Duration::from_secs(60), "{sql}");
        fixture.limits = Limits { rows_max: Some(300), ..Limits::default() };
        if sql == scan {
            assert_eq!(fixture.sql(sql).await.1.rows_returned, 300, "just enough is enough");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_broken_file_is_an_error_not_fewer_rows() {
    let fixture = Fixture::new().await;
    let path = fixture.snapshot.files[1].entry.path.clone();
    fixture.store.delete(&path.as_str().into()).await.unwrap();
    let error = fixture.error("SELECT decision FROM mesh_events").await;
    assert_eq!(error.code(), Code::Archive, "{error}");
    fixture.put(&path, vec![0; 5_000]).await;
    let error = fixture.error("SELECT decision FROM mesh_events").await;
    assert_eq!(error.code(), Code::Archive, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_codes() {
    let fixture = Fixture::new().await;
    for (sql, code) in [
        ("SELECT nope FROM mesh_events", Code::Plan),
        ("SELECT * FROM nope", Code::Plan),
        ("SELECT * FROM 'data.parquet'", Code::Plan),
        ("SELECT * FROM \"data.parquet\"", Code::Plan),
        ("SELECT * FROM read_csv('x')", Code::Plan),
        ("SELECT * FROM parquet_metadata('x')", Code::Plan),
        ("SELECT nope(1)", Code::Plan),
        ("SELECT 1 INTO t", Code::Refused),
        ("SELECT decision + 1 FROM mesh_events", Code::Plan),
        ("SELECT 1 / 0", Code::Execution),
        ("SELECT 1 FROM mesh_events WHERE event_time > 'soon'", Code::Execution),
        ("SELECT CAST(principal AS INT) FROM mesh_events", Code::Execution),
        (
            "SELECT 1 / (date_part('day', event_date) - 3)::int FROM mesh_events WHERE 1 / (date_part('day', event_date) - 3)::int = 1",
            Code::Execution,
        ),
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
    }
}

/// On threads with the stack a server's threads have, in a build without optimisation.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_chains_allowed_do_not_exhaust_the_stack() {
    let mut fixture = Fixture::new().await;
    fixture.limits.time = Duration::from_secs(60);
    for sql in [
        format!("SELECT {}1", "1+".repeat(690)),
        format!("SELECT max({}1) FROM mesh_events", "http_status+".repeat(690)),
        format!(
            "SELECT max(principal) FROM mesh_events WHERE {0}'' > '5' GROUP BY {0}''",
            "principal||".repeat(120)
        ),
        format!(
            "SELECT count(*) FROM mesh_events WHERE {}false",
            "http_status = 1 OR ".repeat(340)
        ),
        format!(
            "SELECT count(*) FROM mesh_events WHERE {}true",
            "http_status + segment_row <> 1 AND ".repeat(220)
        ),
        format!("SELECT {}1", "- ".repeat(40)),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(230)),
        format!(
            "SELECT count(*) FROM (SELECT 1) a0{}",
            (1..60).map(|i| format!(", (SELECT 1) a{i}")).collect::<String>()
        ),
        format!("SELECT {}1{}", "abs(".repeat(20), ")".repeat(20)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(20), " END".repeat(20)),
        format!("SELECT http_status{} FROM mesh_events", "::bigint::int".repeat(170)),
    ] {
        match fixture.ask(&Request::new(sql.as_str(), Mode::Fresh)).await {
            Ok(_) => {}
            Err(error) => panic!("{}: {error}", &sql[..60]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_of_ids_is_answered() {
    let fixture = Fixture::new().await;
    let ids: Vec<String> = (0..6_000).map(|i| format!("'req-20760-{:020}'", i)).collect();
    let sql = format!(
        "SELECT count(*) FROM mesh_events WHERE request_id IN ('req-20760-1', {})",
        ids.join(", ")
    );
    assert_eq!(fixture.rows(&sql).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_answers_over_a_real_archive_and_from_any_task() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("archive").to_str().unwrap().to_owned();
    let location = archive::Location::parse(&url, None).unwrap();
    let genesis = common::commit::Genesis {
        table_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        timestamp_millis: 0,
        fence: true,
    };
    let options = archive::StoreOptions::default();
    let created = archive::Archive::create(&location, &options, &genesis).await.unwrap();
    let engine = Engine::new(created.archive.reader(), Limits::default()).unwrap();
    let receipt = tokio::spawn(async move {
        for mode in [Mode::Fresh, Mode::Strict] {
            let request = Request::new("SELECT count(decision) FROM mesh_events", mode);
            let mut answer = engine.query(&request).await.unwrap();
            let batches: Vec<_> = futures::StreamExt::collect(answer.stream()).await;
            assert_eq!(batches.len(), 1);
        }
        let mut answer = engine.query(&Request::new("SELECT 1", Mode::Strict)).await.unwrap();
        answer.collect().await.unwrap();
        answer.receipt()
    });
    let receipt = receipt.await.unwrap();
    assert_eq!((receipt.version, receipt.mode, receipt.table_id), (0, "strict", genesis.table_id));
    assert!(receipt.snapshot_requests > 0);
}

/// An archive with so many sealed events, each in a file of its own.
async fn archive_of(folder: &std::path::Path, names: &[&'static str]) -> archive::Archive {
    let archive = archive::sample::create(folder).await.unwrap();
    for name in names {
        add(&archive, name, true).await;
    }
    archive
}

async fn add(archive: &archive::Archive, name: &'static str, sealed: bool) {
    let unit = archive::sample::unit(name, 1, 0);
    let one = archive::sample::delivery(&[unit], 1).unwrap();
    archive::sample::ingest(archive, &one).await.unwrap();
    if sealed {
        let _ = archive::sample::seal(archive, &[&one]).await.unwrap();
    }
}

async fn receipt_of(engine: &Engine, mode: Mode) -> Result<Receipt, QueryError> {
    let request = Request::new("SELECT principal FROM mesh_events ORDER BY 1", mode);
    let mut answer = engine.query(&request).await?;
    answer.collect().await?;
    Ok(answer.receipt())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_engine_asks_only_for_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive_of(folder.path(), &["a", "b", "c"]).await;
    let engine = Engine::new(archive.reader(), Limits::default()).unwrap();
    let ask = |mode| {
        let engine = &engine;
        async move {
            let receipt = receipt_of(engine, mode).await.unwrap();
            (receipt.rows_returned, receipt.snapshot_requests, receipt.requests)
        }
    };
    // Lists inbox and log, asks where the log may begin, reads four commits; small files whole.
    assert_eq!(ask(Mode::Fresh).await, (3, 2 + 2 + 4, 3));
    // Nothing is new: two listings, and of each file a column.
    assert_eq!(ask(Mode::Fresh).await, (3, 2, 3));
    assert_eq!(ask(Mode::Fresh).await, (3, 2, 3));
    // A new commit is seen at once, and costs itself and its file.
    add(&archive, "d", true).await;
    assert_eq!(ask(Mode::Fresh).await, (4, 2 + 1, 3 + 1));
    // So is a new delivery.
    add(&archive, "e", false).await;
    let (rows, _, requests) = ask(Mode::Fresh).await;
    assert_eq!((rows, requests), (5, 4 + 1));
    assert_eq!(ask(Mode::Fresh).await.2, 5);
    // Strict knows the log, asks whether there is a ledger, and reads the files again.
    assert_eq!(ask(Mode::Strict).await, (4, 3, 4));
    assert_eq!(ask(Mode::Strict).await, (4, 3, 4));
    // An earlier version of a log that is known needs nothing of it.
    let mut request = Request::new("SELECT principal FROM mesh_events", Mode::Fresh);
    request.as_of = Some(2);
    let mut answer = engine.query(&request).await.unwrap();
    answer.collect().await.unwrap();
    let receipt = answer.receipt();
    assert_eq!((receipt.version, receipt.rows_returned), (2, 2));
    assert_eq!((receipt.snapshot_requests, receipt.requests), (0, 2));
    assert_eq!(ask(Mode::Fresh).await.0, 5, "and the latest one is still known");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_files_takes_no_more_memory_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive_of(folder.path(), &["a", "b", "c", "d", "e", "f"]).await;
    let engine = |footer_bytes_max| {
        let limits = Limits { footer_bytes_max, threads: 1, ..Limits::default() };
        Engine::new(archive.reader(), limits).unwrap()
    };
    let roomy = engine(128 * 1024 * 1024);
    assert_eq!(roomy.footer_bytes(), 0);
    receipt_of(&roomy, Mode::Fresh).await.unwrap();
    let all = roomy.footer_bytes();
    let one = all / 6;
    assert!((10_000..1_000_000).contains(&one), "{one} bytes a file");
    // Room for two files and a half.
    let narrow = engine(one * 5 / 2);
    for _ in 0..3 {
        let receipt = receipt_of(&narrow, Mode::Fresh).await.unwrap();
        assert_eq!(receipt.rows_returned, 6);
        let bytes = narrow.footer_bytes();
        assert!(bytes >= one && bytes <= one * 5 / 2, "{bytes} of {one}");
    }
    let none = engine(0);
    for _ in 0..2 {
        let receipt = receipt_of(&none, Mode::Fresh).await.unwrap();
        assert_eq!((receipt.rows_returned, receipt.requests), (6, 6));
        assert_eq!(none.footer_bytes(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_query_takes_nothing_from_what_a_fresh_one_learnt_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive_of(folder.path(), &["a"]).await;
    let engine = Engine::new(archive.reader(), Limits::default()).unwrap().hashing_files(true);
    receipt_of(&engine, Mode::Fresh).await.unwrap();
    receipt_of(&engine, Mode::Strict).await.unwrap();
    let snapshot = archive.reader().snapshot(Mode::Strict).await.unwrap();
    let file = folder.path().join("archive").join(&snapshot.files[0].entry.path);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // The end of the file is known and need not be read; a strict query hashes it all.
    receipt_of(&engine, Mode::Fresh).await.unwrap();
    let error = receipt_of(&engine, Mode::Strict).await.unwrap_err();
    assert_eq!(error.code(), Code::Archive, "{error}");
    assert!(error.to_string().contains("SHA-256"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_null_makes_not_in_unknown_wherever_it_stands() {
    let fixture = Fixture::new().await;
    // Worked out by hand: x is 1, 2 or NULL.
    let x = "(VALUES (1), (2), (NULL)) AS e(x)";
    let with_null = "(SELECT d.x FROM (VALUES (2), (NULL)) AS d(x))";
    let without = "(SELECT d.x FROM (VALUES (2), (3)) AS d(x))";
    let empty = "(SELECT d.x FROM (VALUES (2), (NULL)) AS d(x) WHERE d.x > 100)";
    for (condition, expected) in [
        (format!("e.x NOT IN {with_null}"), "0"),
        (format!("e.x NOT IN {with_null} OR e.x = 5"), "0"),
        (format!("e.x NOT IN {with_null} OR e.x = 2"), "1"),
        (format!("e.x NOT IN {without} OR e.x = 5"), "1"),
        (format!("e.x NOT IN {empty} OR e.x = 5"), "3"),
        (format!("e.x IN {with_null} OR e.x = 5"), "1"),
        (format!("(e.x IN {with_null}) IS NULL"), "2"),
        (format!("(e.x NOT IN {without}) IS NULL"), "1"),
        (format!("NOT (e.x IN {with_null} AND e.x = 1)"), "1"),
        (format!("NOT (e.x IN {with_null} OR e.x = 1)"), "0"),
        (format!("NOT (e.x NOT IN {with_null})"), "1"),
        (format!("NOT (NOT e.x IN {without} AND e.x = 1)"), "1"),
        (format!("CASE WHEN e.x NOT IN {with_null} THEN true ELSE false END"), "0"),
        (format!("coalesce(e.x IN {with_null}, true)"), "3"),
        (format!("e.x NOT IN {with_null} AND e.x = 1"), "0"),
        (format!("(e.x NOT IN {with_null} AND e.x = 1) OR e.x = 2"), "1"),
    ] {
        let sql = format!("SELECT count(*) FROM {x} WHERE {condition}");
        assert_eq!(fixture.rows(&sql).await, expected, "{condition}");
        let sql =
            format!("SELECT count(*) FROM (SELECT e.x FROM {x} GROUP BY e.x HAVING {condition})");
        assert_eq!(fixture.rows(&sql).await, expected, "HAVING {condition}");
    }
    // Where nothing can be NULL the engine's own join is right, and is left to it.
    let sql = "EXPLAIN SELECT count(*) FROM mesh_events WHERE segment_row NOT IN (SELECT segment_row \
               FROM mesh_events WHERE decision = 'deny') OR decision = 'deny'";
    assert!(fixture.rows(sql).await.contains("HashJoinExec"), "{}", fixture.rows(sql).await);
}
