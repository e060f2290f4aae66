//! What a query would cost, held against what it then reads; tests/it/estimates.rs does so with files
//! as ingest writes them.

use super::*;
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
        let mut fixture = Fixture::new().await;
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
