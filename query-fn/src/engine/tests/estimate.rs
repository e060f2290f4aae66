//! What a query would cost, held against what it then reads; tests/it/estimates.rs does so with files
//! as ingest writes them.

use super::*;
use crate::fetch::SMALL_FILE_BYTES;
use crate::prices::Dollars;
use crate::request::Caps;

/// An archive in S3, as far as prices go, with a count of what its store is asked.
struct Priced {
    fixture: Fixture,
    core: Core,
    asked: Arc<Meter>,
}

const SCAN: &str = "SELECT count(principal), count(http_status) FROM mesh_events";

impl Priced {
    async fn new() -> Self {
        Self::over(Fixture::new().await)
    }

    fn over(mut fixture: Fixture) -> Self {
        let asked = Meter::new(Allowance::default());
        let inner = Arc::clone(&fixture.store);
        fixture.store = Arc::new(Metered { inner, meter: Arc::clone(&asked) });
        let limits = Limits { footer_bytes_max: 0, ..fixture.limits.clone() };
        let core = Core::new(limits, Prices::of("s3://bucket/archive")).unwrap();
        Self { fixture, core, asked }
    }

    async fn parts(&self, request: &Request) -> (Statement, Source) {
        let grant = Arc::new(Grant::everything());
        let source = self.fixture.source(&self.core, grant).await.unwrap();
        (self.core.parse(request).unwrap(), source)
    }

    async fn estimate(&self, request: &Request) -> Result<Estimate, QueryError> {
        let (statement, source) = self.parts(request).await;
        self.core.estimate(request, statement, source, Instant::now()).await
    }

    async fn receipt(&self, request: &Request) -> Result<Receipt, QueryError> {
        let (statement, source) = self.parts(request).await;
        let mut answer = self.core.answer(request, statement, source, Instant::now()).await?;
        let _ = answer.collect().await?;
        Ok(answer.receipt())
    }
}

fn request(sql: &str, caps: Caps) -> Request {
    Request { caps, ..Request::new(sql, Mode::Fresh) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_refuses_before_anything_is_read_and_just_enough_is_enough() {
    let priced = Priced::new().await;
    let estimate = priced.estimate(&request(SCAN, Caps::default())).await.unwrap();
    // Three small files, each read whole by one request.
    let bytes: u64 = priced.fixture.snapshot.files.iter().map(|file| file.entry.bytes).sum();
    assert_eq!((estimate.files, estimate.files_total), (3, 3));
    assert_eq!((estimate.bytes, estimate.requests), (Some(bytes), Some(3)));
    assert_eq!((estimate.rows, estimate.files_guessed), (Some(300), 0));
    // 3 × $0.0004 / 1,000.
    assert_eq!(estimate.dollars, Some(Dollars::of_nanos(1_200)));
    assert_eq!(priced.asked.requests(), 0, "nothing is read for it");
    let cap = |bytes, requests, nanos: Option<u64>| Caps {
        bytes,
        requests,
        dollars: nanos.map(Dollars::of_nanos),
    };
    for (enough, too_little, code) in [
        (cap(Some(bytes), None, None), cap(Some(bytes - 1), None, None), Code::LimitBytes),
        (cap(None, Some(3), None), cap(None, Some(2), None), Code::LimitRequests),
        (cap(None, None, Some(1_200)), cap(None, None, Some(1_199)), Code::LimitCost),
    ] {
        let before = priced.asked.requests();
        let refused = priced.receipt(&request(SCAN, too_little)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.to_string().contains("was not run: it would cost about"), "{refused}");
        let refused = priced.estimate(&request(SCAN, too_little)).await.unwrap_err();
        assert_eq!(refused.code(), code, "also where it is only asked");
        assert_eq!(priced.asked.requests(), before, "{code}: nothing was read");
        let receipt = priced.receipt(&request(SCAN, enough)).await.unwrap();
        assert_eq!((receipt.bytes_read, receipt.requests), (bytes, 3));
        assert_eq!(priced.asked.requests(), before + 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_turns_out_to_cost_more_ends_at_the_cap() {
    let priced = Priced::new().await;
    for (caps, code) in [
        (Caps { bytes: Some(100), ..Caps::default() }, Code::LimitBytes),
        (Caps { requests: Some(2), ..Caps::default() }, Code::LimitRequests),
        (Caps { dollars: Some(Dollars::of_nanos(1_199)), ..Caps::default() }, Code::LimitCost),
    ] {
        let request = request(SCAN, caps);
        let (statement, source) = priced.parts(&request).await;
        let started = Instant::now();
        // As if the estimate had said that it costs nothing.
        let prepared =
            priced.core.prepare(&request, statement, source, false, started).await.unwrap();
        let Prepared { evidence, run, limits, limit, .. } = prepared;
        let before = priced.asked.requests();
        let left = (limit, limit.time);
        let mut answer = Answer::start(evidence, run, &limits, started, left).unwrap();
        let error = answer.collect().await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let receipt = answer.receipt();
        assert!(receipt.requests <= 2 && receipt.bytes_read <= caps.bytes.unwrap_or(u64::MAX));
        // A request is refused before it is made, bytes when the length of an answer is known.
        assert!(priced.asked.requests() - before <= 3, "{receipt:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_nothing_costs_nothing_and_what_never_ends_fits_no_cap() {
    let priced = Priced::new().await;
    for sql in [
        "SELECT count(*) FROM mesh_events",
        "EXPLAIN SELECT * FROM mesh_events",
        "SELECT * FROM mesh_events WHERE event_date > '2030-01-01'",
        "SELECT 1",
    ] {
        let estimate = priced.estimate(&request(sql, Caps::default())).await.unwrap();
        let nothing = (0, Some(0), Some(0), Some(0), Some(Dollars::default()));
        let Estimate { files, bytes, requests, rows, dollars, .. } = estimate;
        assert_eq!((files, bytes, requests, rows, dollars), nothing, "{sql}");
        let least = Caps { bytes: Some(1), requests: Some(1), dollars: Some(Dollars::of_nanos(1)) };
        let receipt = priced.receipt(&request(sql, least)).await.unwrap();
        assert_eq!(receipt.requests, 0, "{sql}");
    }
    let again = "WITH RECURSIVE r AS (SELECT 'user-1' AS p UNION ALL SELECT principal FROM mesh_events \
                 JOIN r ON p = principal WHERE http_status = 9) SELECT count(*) FROM r";
    let estimate = priced.estimate(&request(again, Caps::default())).await.unwrap();
    assert_eq!((estimate.files, estimate.bytes, estimate.requests), (3, None, None));
    assert_eq!((estimate.rows, estimate.cpu_millis, estimate.dollars), (None, None, None));
    let much = Dollars::of_nanos(u64::MAX);
    for caps in [
        Caps { bytes: Some(u64::MAX), ..Caps::default() },
        Caps { requests: Some(u64::MAX), ..Caps::default() },
        Caps { dollars: Some(much), ..Caps::default() },
    ] {
        let refused = priced.receipt(&request(again, caps)).await.unwrap_err();
        assert!(refused.to_string().contains("nobody knows"), "{refused}");
    }
    // One that reads the archive once, and then repeats itself without it, is known.
    let once = "WITH RECURSIVE r AS (SELECT max(segment_row) AS n FROM mesh_events UNION ALL \
                SELECT n - 1 FROM r WHERE n > 90) SELECT count(*) FROM r";
    let estimate = priced.estimate(&request(once, Caps::default())).await.unwrap();
    assert_eq!(estimate.requests, Some(3));
    assert_eq!(estimate.files_pruned_partition, 0);
    // What dates and statistics exclude is told.
    let needle = "SELECT decision FROM mesh_events WHERE event_date >= '2026-11-03' \
                  AND request_id = 'req-20761-7'";
    let estimate = priced.estimate(&request(needle, Caps::default())).await.unwrap();
    let Estimate { files, files_pruned_partition, files_pruned_statistics, .. } = estimate;
    assert_eq!((files, files_pruned_partition, files_pruned_statistics), (1, 1, 1));
}

/// Row groups of a long file.
const GROUPS: i32 = 4;

impl Fixture {
    /// A file of four row groups, in each of which a path has so many times 64 characters that do
    /// not repeat. Numbers and times ascend from group to group.
    async fn add_long(&mut self, day: i64, digests: usize) {
        let schema = file_schema();
        let properties = WriterProperties::builder()
            .set_column_bloom_filter_enabled(ColumnPath::from("request_id"), true)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties)).unwrap();
        for group in 0..GROUPS {
            let first = i64::from(group) * ROWS;
            let columns = schema.fields().iter().map(|field| -> ArrayRef {
                let rows = first..first + ROWS;
                let texts = |text: &dyn Fn(i64) -> String| -> ArrayRef {
                    Arc::new(StringArray::from(rows.clone().map(text).collect::<Vec<_>>()))
                };
                match field.name().as_str() {
                    "request_id" => texts(&|i| format!("req-{day}-{i}")),
                    "url_path" => texts(&|i| {
                        let part = |n| Sha256Digest::of(format!("{day} {i} {n}").as_bytes());
                        (0..digests).map(|n| part(n).to_string()).collect()
                    }),
                    "http_status" => Arc::new(Int32Array::from(vec![200 + group; 100])),
                    "segment_row" => Arc::new(Int64Array::from_iter_values(rows)),
                    "event_time" => {
                        let micros = rows.map(|i| day * DAY_MICROS + i * 60_000_000);
                        let times = TimestampMicrosecondArray::from_iter_values(micros);
                        Arc::new(times.with_timezone("UTC"))
                    }
                    _ => column(field, day),
                }
            });
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
        }
        let _ = writer.close().unwrap();
        let sha256 = Sha256Digest::of(&bytes);
        let event_date = EventDate::of_micros(day * DAY_MICROS);
        let mut entry = self.snapshot.files[0].entry.clone();
        entry.path = layout::data_key(event_date, sha256);
        entry.sha256 = sha256;
        entry.bytes = u64::try_from(bytes.len()).unwrap();
        assert!(entry.bytes > SMALL_FILE_BYTES, "{} bytes", entry.bytes);
        entry.rows = 4 * 100;
        entry.segment = SegmentId::of(DeliveryId(sha256), event_date);
        entry.event_date = event_date;
        entry.event_time_micros_min = day * DAY_MICROS;
        entry.event_time_micros_max = day * DAY_MICROS + (4 * ROWS - 1) * 60_000_000;
        entry.stats.clear();
        self.put(&entry.path.clone(), bytes).await;
        self.snapshot.files.push(SnapshotFile { entry, sealed_version: Some(1), kept_rows: None });
    }
}

/// A short file, and long ones whose row groups are near each other and far apart.
async fn several_groups() -> Priced {
    let mut fixture = Fixture::new().await;
    fixture.snapshot.files.truncate(1);
    // Which share the long files among them.
    fixture.limits.threads = 2;
    for (day, digests) in [(DAY + 1, 8), (DAY + 2, 60), (DAY + 3, 400)] {
        fixture.add_long(day, digests).await;
    }
    Priced::over(fixture)
}

/// What a query was said to read and what it then read, each by one that knows nothing: bytes and
/// requests, as the store was asked.
async fn said_and_read(priced: &Priced, sql: &str) -> ([u64; 2], [u64; 2], Receipt) {
    let request = request(sql, Caps::default());
    let estimate = priced.estimate(&request).await.unwrap();
    assert_eq!((estimate.files_sampled, estimate.files_guessed), (3, 0), "{sql}");
    let said = [estimate.bytes.unwrap(), estimate.requests.unwrap()];
    let before = [priced.asked.bytes(), priced.asked.requests()];
    let receipt = priced.receipt(&request).await.unwrap();
    let read = [priced.asked.bytes() - before[0], priced.asked.requests() - before[1]];
    assert_eq!([receipt.bytes_read, receipt.requests], read, "{sql}");
    (said, read, receipt)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_of_several_row_groups_is_what_was_said_to_the_byte_and_the_request() {
    let priced = several_groups().await;
    for sql in [
        "SELECT count(url_path) FROM mesh_events",
        "SELECT decision, url_path FROM mesh_events",
        "SELECT http_status, count(*) FROM mesh_events GROUP BY 1",
        "SELECT * FROM mesh_events",
    ] {
        let (said, read, receipt) = said_and_read(&priced, sql).await;
        assert_eq!(said, read, "{sql}");
        assert_eq!(receipt.row_groups_read, 4 + 3 * 4, "{sql}");
    }
    // Of columns that lie apart, one came along with the end; without it what is between is read.
    let apart = "SELECT count(request_id), max(segment_row) FROM mesh_events";
    let (said, read, _) = said_and_read(&priced, apart).await;
    assert!(said[0] > read[0] && said[1] == read[1], "{said:?}, {read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_row_groups_are_left_out_no_more_is_read_than_was_said() {
    let priced = several_groups().await;
    let day = DAY + 3;
    // The short file, whose groups have the statuses 200 and 403 and rows below 100, comes along.
    for (condition, groups_read) in [
        ("http_status = 203".to_owned(), 4 + 3),
        ("http_status > 202".to_owned(), 4 + 3),
        ("segment_row BETWEEN 100 AND 299".to_owned(), 3 * 2),
        ("event_time >= '2026-11-03T05:00:00Z'".to_owned(), 1 + 2 * 4),
        ("http_status = 200 AND url_path LIKE 'f%'".to_owned(), 3),
        (format!("request_id = 'req-{day}-250'"), 1),
        (format!("request_id = 'req-{day}-250' AND http_status = 202"), 1),
    ] {
        let sql = format!(
            "SELECT count(*), count(url_path), count(raw) FROM mesh_events WHERE {condition}"
        );
        let (said, read, receipt) = said_and_read(&priced, &sql).await;
        assert!(read[0] < said[0] && read[1] < said[1], "{sql}: {said:?}, {read:?}");
        assert_eq!(receipt.row_groups_read, groups_read, "{sql}");
    }
}
