//! What is looked up is looked for in the ends of files, before one is scanned.

use datafusion::parquet::file::properties::WriterPropertiesBuilder;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use object_store::throttle::{ThrottleConfig, ThrottledStore};

use super::*;
use crate::explain::Outcome;
use crate::request::Caps;

impl Fixture {
    /// Files of so many days, whose commits say nothing of ids.
    async fn silent(days: i64) -> Self {
        let mut fixture = Self::new().await;
        for day in DAY + 3..DAY + days {
            fixture.add_day(day).await;
        }
        for file in &mut fixture.snapshot.files {
            file.entry.stats.clear();
        }
        fixture
    }

    /// Spoils the header of each bloom filter.
    async fn spoil_filters(&self) {
        for file in &self.snapshot.files {
            let path = file.entry.path.as_str();
            let got = self.store.get(&path.into()).await.unwrap();
            let bytes = got.bytes().await.unwrap();
            let mut spoiled = bytes.to_vec();
            let reader = SerializedFileReader::new(bytes).unwrap();
            for group in reader.metadata().row_groups() {
                for at in group.columns().iter().filter_map(|chunk| chunk.bloom_filter_offset()) {
                    spoiled[usize::try_from(at).unwrap()] = 0xff;
                }
            }
            self.put(path, spoiled).await;
        }
    }

    /// Asks an engine that lives on.
    async fn ask_engine(
        &self,
        core: &Core,
        request: &Request,
    ) -> Result<(String, Receipt), QueryError> {
        let source = self.source(core, Arc::new(Grant::everything())).await?;
        let statement = core.parse(request)?;
        let mut answer = core.answer(request, statement, source, Instant::now()).await?;
        let batches = answer.collect().await?;
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        Ok((text, answer.receipt()))
    }
}

fn rows_of(day: i64, ids: &[i64]) -> String {
    ids.iter().map(|i| format!("{day},{i}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_files_only_those_that_may_have_an_id_are_scanned() {
    for (days, requests_a_file) in [(3, 1), (40, 2)] {
        let fixture = Fixture::silent(days).await;
        let files = u64::try_from(days).unwrap();
        let day = DAY + days - 2;
        let none = String::new();
        for (condition, expected, left) in [
            (format!("request_id = 'req-{day}-42'"), rows_of(day, &[42]), 1),
            (format!("'req-{day}-42' = request_id AND segment_row < 50"), rows_of(day, &[42]), 1),
            (
                format!("request_id IN ('req-{day}-7', 'x', 'req-{day}-99')"),
                rows_of(day, &[7, 99]),
                1,
            ),
            // Within the bounds of a row group, and nowhere.
            (format!("request_id = 'req-{day}-421'"), none.clone(), 0),
            ("request_id = 'req'".to_owned(), none.clone(), 0),
            // Statistics of other columns count, too.
            (format!("request_id = 'req-{day}-42' AND segment_row > 1000"), none.clone(), 0),
            // A condition on more than the file's columns excludes nothing, and costs nothing.
            (
                format!(
                    "request_id = 'req-{day}-42' AND (event_date = '2026-11-02' OR segment_row = 42)"
                ),
                rows_of(day, &[42]),
                1,
            ),
        ] {
            let sql = format!(
                "SELECT split_part(request_id, '-', 2), segment_row FROM mesh_events \
                 WHERE {condition} ORDER BY 2"
            );
            let request = Request { explain_pruning: true, ..Request::new(&sql, Mode::Fresh) };
            let (rows, receipt) = fixture.ask(&request).await.unwrap();
            assert_eq!(rows, expected, "{sql}");
            let scan = &receipt.pruning.as_ref().unwrap().scans[0];
            let outcomes = (scan.files_read, scan.files_pruned_row_groups);
            assert_eq!(outcomes, (left, files - left), "{sql}");
            assert_eq!(
                scan.files.iter().filter(|f| f.outcome == Outcome::Read).count() as u64,
                left
            );
            for file in &scan.files {
                let groups = file.row_groups.unwrap();
                let all = groups.pruned_statistics + groups.pruned_bloom + groups.read;
                assert_eq!((all, file.row_groups.is_some()), (4, true), "{sql}: {file:?}");
            }
            // As if each of them had been opened by the scan.
            assert_eq!((receipt.files_total, receipt.files_read), (files, files), "{sql}");
            assert_eq!(receipt.files_skipped, 0, "{sql}");
            let groups = receipt.row_groups_pruned_statistics + receipt.row_groups_pruned_bloom;
            assert_eq!(groups + receipt.row_groups_read, 4 * files, "{sql}");
            // Files of four row groups have longer ends than others of their rows, which is found out
            // when they are read; few files are read whole.

            assert_eq!(receipt.requests, requests_a_file * files, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_twice_where_nothing_is_known_between_queries() {
    let mut fixture = Fixture::silent(6).await;
    let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20761-42'";
    for (mode, footer_bytes_max) in
        [(Mode::Fresh, 1 << 30), (Mode::Fresh, 0), (Mode::Strict, 1 << 30)]
    {
        fixture.snapshot.mode = mode;
        fixture.limits.footer_bytes_max = footer_bytes_max;
        let core = core(fixture.limits.clone()).unwrap();
        let keeps = mode == Mode::Fresh && footer_bytes_max > 0;
        let request = Request::new(sql, mode);
        let (_, cold) = fixture.ask_engine(&core, &request).await.unwrap();
        assert_eq!((cold.rows_returned, cold.requests), (1, 6), "{mode:?}");
        let (_, warm) = fixture.ask_engine(&core, &request).await.unwrap();
        // What is known of files needs no request; what is left of the one file is read.
        assert_eq!((warm.rows_returned, warm.requests), (1, if keeps { 1 } else { 6 }), "{mode:?}");
        let groups = |receipt: &Receipt| {
            (receipt.row_groups_pruned_statistics, receipt.row_groups_pruned_bloom)
        };
        assert_eq!(groups(&warm), groups(&cold), "{mode:?}");
        assert_eq!(warm.files_read + warm.files_skipped, 6, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_can_not_be_read_excludes_nothing() {
    for days in [3, 20] {
        let fixture = Fixture::silent(days).await;
        let ask = async |id: &str| {
            fixture
                .sql(&format!("SELECT segment_row FROM mesh_events WHERE request_id = '{id}'"))
                .await
        };
        let (rows, receipt) = ask("req-20760-421").await;
        assert!(rows.is_empty() && receipt.row_groups_pruned_bloom > 0, "{receipt:?}");
        fixture.spoil_filters().await;
        let (rows, receipt) = ask("req-20760-421").await;
        assert!(rows.is_empty() && receipt.row_groups_pruned_bloom == 0, "{receipt:?}");
        assert_eq!(ask("req-20760-42").await.0, "42");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_looked_at_is_an_error_of_the_scan() {
    for days in [3, 40] {
        let fixture = Fixture::silent(days).await;
        let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20759-1'";
        let path = fixture.snapshot.files[2].entry.path.clone();
        let length = usize::try_from(fixture.snapshot.files[2].entry.bytes).unwrap();
        fixture.put(&path, vec![0; length]).await;
        assert_eq!(fixture.error(sql).await.code(), Code::Archive);
        fixture.store.delete(&path.as_str().into()).await.unwrap();
        assert_eq!(fixture.error(sql).await.code(), Code::Archive);
    }
}

/// Wherever the limit strikes, it is what the error says.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_at_counts_for_the_limit_of_bytes() {
    let mut fixture = Fixture::silent(40).await;
    let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20760-42'";
    let bytes = fixture.sql(sql).await.1.bytes_read;
    for scan_bytes_max in [1, bytes / 80, bytes / 2, bytes - 1] {
        fixture.limits.scan_bytes_max = Some(scan_bytes_max);
        assert_eq!(fixture.error(sql).await.code(), Code::LimitBytes, "{scan_bytes_max}");
    }
    fixture.limits.scan_bytes_max = Some(bytes);
    assert_eq!(fixture.sql(sql).await.1.rows_returned, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_run_reads_nothing() {
    let mut fixture = Fixture::silent(5).await;
    let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20760-42'";
    let mut core = core(fixture.limits.clone()).unwrap();
    let request = |explain: &str| Request::new(format!("{explain} {sql}"), Mode::Fresh);
    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN FORMAT TREE"] {
        let (text, receipt) = fixture.ask_engine(&core, &request(explain)).await.unwrap();
        assert_eq!(receipt.requests, 0, "{explain}: {text}");
    }
    let note = "files_pruned_row_groups";
    let analyze = request("EXPLAIN ANALYZE");
    let (text, receipt) = fixture.ask_engine(&core, &analyze).await.unwrap();
    assert!(text.contains("files_total=5") && text.contains(&format!("{note}=4")), "{text}");
    assert_eq!(receipt.requests, 5);
    // What it would cost comes before what it costs.
    let caps = Caps { requests: Some(1_000), ..Caps::default() };
    let capped = Request { caps, ..analyze.clone() };
    let (text, receipt) = fixture.ask_engine(&core, &capped).await.unwrap();
    assert!(text.contains("files_total=5") && !text.contains(note), "{text}");
    assert!((1..=10).contains(&receipt.requests), "{receipt:?}");
    let source = fixture.source(&core, Arc::new(Grant::everything())).await.unwrap();
    let needle = request("");
    let statement = core.parse(&needle).unwrap();
    let estimate = core.estimate(&needle, statement, source, Instant::now()).await.unwrap();
    assert_eq!((estimate.files, estimate.estimate_requests), (5, 0));
    // Files that are hashed are read whole: then the scan comes first and only.
    fixture.snapshot.mode = Mode::Strict;
    core.hash_files = true;
    let (text, receipt) = fixture.ask_engine(&core, &analyze).await.unwrap();
    assert!(text.contains("files_total=5") && !text.contains(note), "{text}");
    assert_eq!(receipt.files_read, 5);
}

/// Of a store that does not answer, a query that is out of time waits no longer.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_on_for_a_query_that_is_over() {
    let mut fixture = Fixture::silent(5).await;
    let store = InMemory::new();
    let hour = Duration::from_secs(3_600);
    let throttle = ThrottleConfig { wait_get_per_call: hour, ..ThrottleConfig::default() };
    fixture.store = Arc::new(ThrottledStore::new(store, throttle));
    fixture.limits.time = Duration::from_millis(300);
    fixture.limits.queries_max = 1;
    let core = core(fixture.limits.clone()).unwrap();
    let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20760-42'";
    let request = Request::new(sql, Mode::Fresh);
    for _ in 0..3 {
        // There is one place, which the query before gives up with its last request.
        let asked = tokio::time::timeout(hour / 60, fixture.ask_engine(&core, &request)).await;
        assert_eq!(asked.unwrap().unwrap_err().code(), Code::LimitTime);
    }
}

impl Fixture {
    /// One file of two row groups, in the first of which nobody has an id. Ids and principals have
    /// bloom filters; the commit says nothing of them.
    async fn of_two_groups() -> Self {
        let mut fixture = Self::new().await;
        let schema = file_schema();
        let filters = |properties: WriterPropertiesBuilder, name: &str| {
            properties.set_column_bloom_filter_enabled(ColumnPath::from(name), true)
        };
        let properties =
            ["request_id", "principal"].into_iter().fold(WriterProperties::builder(), filters);
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties.build()))
                .unwrap();
        for (with_ids, principal) in [(false, "q"), (true, "p")] {
            let columns = schema.fields().iter().map(|field| -> ArrayRef {
                let texts = |prefix: &str| {
                    StringArray::from_iter_values((0..ROWS).map(|i| format!("{prefix}-{i}")))
                };
                match field.name().as_str() {
                    "request_id" if with_ids => Arc::new(texts("a")),
                    "request_id" => new_null_array(field.data_type(), 100),
                    "principal" => Arc::new(texts(principal)),
                    _ => column(field, DAY),
                }
            });
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
        }
        let _ = writer.close().unwrap();
        fixture.snapshot.files.truncate(1);
        let entry = &mut fixture.snapshot.files[0].entry;
        (entry.rows, entry.bytes) = (200, u64::try_from(bytes.len()).unwrap());
        entry.stats.clear();
        let path = entry.path.clone();
        fixture.put(&path, bytes).await;
        fixture
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_condition_is_enough_to_exclude_a_row_group_and_so_is_having_no_value() {
    let fixture = Fixture::of_two_groups().await;
    // What is there, what statistics and what bloom filters exclude.
    for (condition, rows, statistics, bloom) in [
        ("request_id = 'a-7' AND principal = 'p-7'", "7", 1, 0),
        ("request_id = 'a-7' AND principal = 'p-8'", "", 1, 0),
        // Of two filters one has the value. Both are within the bounds of the row group.
        ("request_id = 'a-7' AND principal = 'p-421'", "", 1, 1),
        ("request_id = 'a-421' AND principal = 'p-7'", "", 1, 1),
        // Beyond them, and in the other row group there is no id at all.
        ("request_id = 'zz'", "", 2, 0),
        ("request_id = 'a-421'", "", 1, 1),
        ("principal = 'q-9'", "9", 1, 0),
        ("principal IN ('p-421', 'q-421')", "", 0, 2),
    ] {
        let sql = format!("SELECT segment_row FROM mesh_events WHERE {condition}");
        let request = Request { explain_pruning: true, ..Request::new(&sql, Mode::Fresh) };
        let (found, receipt) = fixture.ask(&request).await.unwrap();
        assert_eq!(found, rows, "{sql}");
        let file = &receipt.pruning.as_ref().unwrap().scans[0].files[0];
        let groups = file.row_groups.unwrap();
        let told = (groups.pruned_statistics, groups.pruned_bloom, groups.read);
        assert_eq!(told, (statistics, bloom, 2 - statistics - bloom), "{sql}");
        assert_eq!(file.outcome == Outcome::Read, statistics + bloom < 2, "{sql}");
        // What is known before the scan: there is nothing to ask an end about who is no id.
        let core = core(fixture.limits.clone()).unwrap();
        let analyze = Request::new(format!("EXPLAIN ANALYZE {sql}"), Mode::Fresh);
        let (plan, _) = fixture.ask_engine(&core, &analyze).await.unwrap();
        let is_scanned =
            plan.contains("DataSourceExec") && !plan.contains("files_pruned_row_groups=1");
        let is_looked_up = sql.contains("request_id");
        assert_eq!(is_scanned, statistics + bloom < 2 || !is_looked_up, "{sql}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_some_of_whose_rows_count_the_scan_decides() {
    let mut fixture = Fixture::of_two_groups().await;
    // None of those that have an id.
    fixture.snapshot.files[0].kept_rows = Some(std::iter::once(0..50).collect());
    let sql = "SELECT segment_row FROM mesh_events WHERE request_id = 'a-421'";
    let (_, receipt) = fixture.sql(sql).await;
    // The row group that has ids has no row that counts, and nothing is asked of it.
    let excluded = (receipt.row_groups_pruned_statistics, receipt.row_groups_pruned_bloom);
    assert_eq!((excluded, receipt.row_groups_read), ((1, 0), 0));
}
