//! Why files were read or not, as receipts and plans say it.

use super::*;
use crate::explain::{Bounds, Outcome, Pruning, ScanPruning};

impl Fixture {
    async fn explained(&self, sql: &str) -> (Pruning, Receipt) {
        let request = Request { explain_pruning: true, ..Request::new(sql, Mode::Fresh) };
        let (_, mut receipt) = match self.ask(&request).await {
            Ok(answered) => answered,
            Err(error) => panic!("{sql}: {error}"),
        };
        (receipt.pruning.take().unwrap(), receipt)
    }

    /// The one scan of a query.
    async fn scan(&self, sql: &str) -> ScanPruning {
        let (mut pruning, _) = self.explained(sql).await;
        assert_eq!(pruning.scans.len(), 1, "{sql}");
        pruning.scans.remove(0)
    }
}

/// Files by outcome: read, pruned by date, by statistics, by what is in them, not needed.
fn files(scan: &ScanPruning) -> [u64; 5] {
    assert_eq!(
        scan.files_total,
        scan.files_left_out + u64::try_from(scan.files.len()).unwrap(),
        "{scan:?}"
    );
    [
        scan.files_read,
        scan.files_pruned_partition,
        scan.files_pruned_statistics,
        scan.files_pruned_row_groups,
        scan.files_not_needed,
    ]
}

fn bounds(column: &str, min: &str, max: &str) -> Bounds {
    let (min, max) = (Some(min.to_owned()), Some(max.to_owned()));
    Bounds { column: column.to_owned(), min, max, nulls: Some(0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_has_its_outcome_and_the_condition_that_drops_it() {
    let fixture = Fixture::new().await;
    let path = |day: usize| fixture.snapshot.files[day].entry.path.as_str();

    let scan = fixture
        .scan(
            "SELECT decision FROM mesh_events \
             WHERE event_date >= '2026-11-03' AND request_id = 'req-20761-7'",
        )
        .await;
    assert_eq!(files(&scan), [1, 1, 1, 0, 0]);
    assert_eq!(scan.table, "mesh_events");
    assert_eq!(scan.conditions, ["event_date >= '2026-11-03'", "request_id = 'req-20761-7'"]);
    let told: Vec<_> =
        scan.files.iter().map(|file| (file.path.as_str(), file.outcome, &file.condition)).collect();
    let (date, id) = (Some(scan.conditions[0].clone()), Some(scan.conditions[1].clone()));
    assert_eq!(
        told,
        [
            (path(2), Outcome::Read, &None),
            (path(1), Outcome::PrunedStatistics, &id),
            (path(0), Outcome::PrunedPartition, &date),
        ]
    );
    assert_eq!(scan.files[1].bounds, [bounds("request_id", "req-20760-0", "req-20760-99")]);
    assert_eq!(scan.files[2].bounds, [bounds("event_date", "2026-11-02", "2026-11-02")]);
    let read = &scan.files[0];
    let groups = read.row_groups.unwrap();
    assert_eq!((groups.read, groups.not_needed), (1, 0));
    assert_eq!(groups.pruned_statistics + groups.pruned_bloom, 3);
    assert!(read.bytes_read_by_query > 0 && read.requests_by_query > 0);
    assert!(scan.files[1..].iter().all(|file| file.requests_by_query == 0));
    let by: Vec<(&str, u64)> =
        scan.pruned_by.iter().map(|by| (by.condition.as_str(), by.files)).collect();
    assert_eq!(by, [(scan.conditions[0].as_str(), 1), (scan.conditions[1].as_str(), 1)]);

    // Within the bounds of one file, but its bloom filters know better.
    let sql = "SELECT decision FROM mesh_events WHERE request_id = 'req-20760-421'";
    let scan = fixture.scan(sql).await;
    assert_eq!(files(&scan), [0, 0, 2, 1, 0]);
    let groups = scan.files[0].row_groups.unwrap();
    assert_eq!((scan.files[0].outcome, groups.read), (Outcome::PrunedRowGroups, 0));
    assert_eq!(groups.pruned_statistics + groups.pruned_bloom, 4);
    assert!(groups.pruned_bloom > 0);

    let scan = fixture.scan("SELECT count(*) FROM mesh_events").await;
    assert_eq!(files(&scan), [0, 0, 0, 0, 3], "the commit knows the number");
    for sql in ["SELECT decision FROM mesh_events WHERE event_date > NULL", "SELECT 1"] {
        let (pruning, _) = fixture.explained(sql).await;
        assert_eq!(pruning.scans, [], "{sql}: no table has to be scanned");
    }
    let (_, receipt) = fixture.sql("SELECT decision FROM mesh_events").await;
    assert_eq!(receipt.pruning, None, "nobody asked");
}

/// The receipt merges what two scans decided of a file: the report must not.
#[tokio::test(flavor = "multi_thread")]
async fn each_scan_of_a_table_is_told_by_itself() {
    let fixture = Fixture::new().await;
    let (pruning, receipt) = fixture
        .explained(
            "SELECT a.request_id FROM mesh_events a JOIN mesh_events b USING (principal) \
             WHERE a.event_date = '2026-11-02' AND b.request_id = 'req-20761-7' \
             ORDER BY 1 LIMIT 1",
        )
        .await;
    let mut told: Vec<[u64; 5]> = pruning.scans.iter().map(files).collect();
    told.sort_unstable();
    assert_eq!(told, [[1, 0, 2, 0, 0], [1, 2, 0, 0, 0]]);
    assert_eq!((receipt.files_total, receipt.files_read), (3, 2));
    let merged = (receipt.files_pruned_partition, receipt.files_pruned_statistics);
    assert_eq!(merged, (0, 1), "one file neither of them reads");
    for scan in &pruning.scans {
        let read: Vec<&str> = scan
            .files
            .iter()
            .filter(|file| file.outcome == Outcome::Read)
            .map(|file| file.path.as_str())
            .collect();
        let day = if scan.files_pruned_partition == 2 { 0 } else { 2 };
        assert_eq!(read, [fixture.snapshot.files[day].entry.path.as_str()]);
    }
    // Both scans read the same file: the cost is that of the query, and says so by its name.
    let (pruning, receipt) = fixture
        .explained(
            "SELECT decision FROM mesh_events WHERE event_date = '2026-11-02' \
             UNION ALL SELECT principal FROM mesh_events WHERE event_date = '2026-11-02'",
        )
        .await;
    for scan in &pruning.scans {
        assert_eq!(scan.files[0].bytes_read_by_query, receipt.bytes_read);
        assert_eq!(scan.files[0].requests_by_query, receipt.requests);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_makes_needless_is_told_apart() {
    let mut fixture = Fixture::new().await;
    fixture.limits.threads = 1;
    let scan = fixture.scan("SELECT segment_row FROM mesh_events LIMIT 3").await;
    assert_eq!(files(&scan)[4], 2, "{scan:?}");
    // Newest first: the bounds of the other files are too old once the newest is read.
    let scan =
        fixture.scan("SELECT segment_row FROM mesh_events ORDER BY event_time DESC LIMIT 3").await;
    assert_eq!((files(&scan)[0], files(&scan)[4]), (1, 2), "{scan:?}");
    assert_eq!(scan.files[0].path, fixture.snapshot.files[2].entry.path);
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_is_read_whole_and_said_to_be() {
    let mut fixture = Fixture::new().await;
    let units: Vec<UnitId> = (0u8..4).map(|i| UnitId(Sha256Digest::of(&[i]))).collect();
    fixture.add_quarantine(&units[..2], None).await;
    fixture.add_quarantine(&units[1..], Some(&units[2..3])).await;
    let scan = fixture.scan("SELECT reason FROM mesh_quarantine").await;
    assert_eq!((scan.table, files(&scan)), ("mesh_quarantine", [2, 0, 0, 0, 0]));
    // Commits say nothing of these files, but their row groups do.
    let scan = fixture.scan("SELECT reason FROM mesh_quarantine WHERE reason = 'x'").await;
    assert_eq!(files(&scan), [0, 0, 0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_bounded_however_many_files_and_values() {
    let mut fixture = Fixture::new().await;
    let file = fixture.snapshot.files[0].clone();
    let long = "\u{1f512}".repeat(300);
    for number in 0..200 {
        let mut file = file.clone();
        file.entry.path = format!("{}-{number}", file.entry.path);
        let stats = file.entry.stats.get_mut("request_id").unwrap();
        (stats.min, stats.max) = (Some(StatValue::Text(long.clone())), None);
        fixture.snapshot.files.push(file);
    }
    let ids: Vec<String> = (0..6_000).map(|i| format!("'req-{i:020}'")).collect();
    let sql = format!(
        "SELECT decision FROM mesh_events WHERE request_id IN ({}) AND request_id < 'req-20759'",
        ids.join(", ")
    );
    let scan = fixture.scan(&sql).await;
    assert_eq!((files(&scan), scan.files_total), ([0, 0, 203, 0, 0], 203));
    assert_eq!((scan.files.len(), scan.files_left_out), (100, 103));
    for text in &scan.conditions {
        assert!(text.chars().count() <= 200, "{text}");
    }
    let listed = scan.files.iter().flat_map(|file| &file.bounds);
    let longest = listed.filter_map(|bounds| bounds.min.as_ref()).map(|min| min.chars().count());
    assert_eq!(longest.max(), Some(64));
    let json = serde_json::to_string(&scan).unwrap();
    assert!(json.len() < 200_000, "{}", json.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_how_many_files_which_condition_drops() {
    let fixture = Fixture::new().await;
    let sql = "SELECT decision FROM mesh_events \
               WHERE event_date >= '2026-11-03' AND request_id = 'req-20761-7'";
    let note = "files_total=3, files_pruned_partition=1, files_pruned_statistics=1, \
                pruned_by=[event_date >= '2026-11-03': 1, request_id = 'req-20761-7': 1]";
    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
        let plan = fixture.rows(&format!("{explain} {sql}")).await;
        assert!(plan.contains(note), "{explain}: {plan}");
        assert!(plan.contains("DataSourceExec: file_groups="), "{explain}: {plan}");
    }
    let analyzed = fixture.rows(&format!("EXPLAIN ANALYZE {sql}")).await;
    assert!(analyzed.contains("row_groups_pruned_statistics=4 total"), "{analyzed}");
    let tree = fixture.rows(&format!("EXPLAIN FORMAT TREE {sql}")).await;
    assert!(tree.contains("files_total: 3"), "{tree}");
    // Nothing is left to scan, and the plan still says why.
    let nothing = "SELECT decision FROM mesh_events WHERE event_date > '2030-01-01'";
    let plan = fixture.rows(&format!("EXPLAIN ANALYZE {nothing}")).await;
    assert!(plan.contains("files_total=3, files_pruned_partition=3"), "{plan}");
    assert_eq!(fixture.rows(nothing).await, "");
    // A note changes no plan: same operators, same answer. With one thread, since what a TopK
    // makes needless hangs on who comes first.
    let limits = Limits { threads: 1, ..Limits::default() };
    let fixture = Fixture { limits, ..fixture };
    for sql in [
        sql,
        nothing,
        "SELECT segment_row FROM mesh_events ORDER BY event_time DESC LIMIT 3",
        "SELECT principal, count(*) FROM mesh_events WHERE http_status = 403 GROUP BY 1 ORDER BY 1",
        "SELECT count(*) FROM mesh_events a JOIN mesh_events b USING (request_id)",
    ] {
        let (_, plain) = fixture.sql(sql).await;
        let (_, mut explained) = fixture.explained(sql).await;
        explained.elapsed_micros = plain.elapsed_micros;
        assert_eq!(explained, plain, "{sql}");
    }
}

/// The engine compared how much of the time between the first and the last event a condition leaves
/// with more time than there is, where the last one came earlier in its day than the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_moment_taken_for_its_day_is_compared_whatever_the_first_and_the_last_moment_are() {
    let mut fixture = Fixture::new().await;
    // As if the first file began at noon; its bounds may be too narrow where nobody answers by them.
    fixture.snapshot.files[0].entry.event_time_micros_min += DAY_MICROS / 2;
    fixture.snapshot.files[0].entry.event_time_micros_max = DAY * DAY_MICROS + DAY_MICROS - 1;
    for sql in [
        "SELECT count(*) FROM mesh_events WHERE CAST(event_time AS DATE) <= event_date",
        "SELECT count(*) FROM (SELECT * FROM mesh_events LIMIT 1000) \
         WHERE CAST(event_time AS DATE) = event_date",
        "SELECT count(*) FROM mesh_events AS a JOIN mesh_events AS b USING (request_id) \
         WHERE a.event_time::date <= a.event_date",
        // Beneath a window nothing is known of the condition, so bounds are exact.
        "SELECT count(*) FROM (SELECT *, row_number() OVER (ORDER BY event_time) AS r \
         FROM mesh_events) WHERE CAST(event_time AS DATE) <= event_date",
        "SELECT count(*) FROM (SELECT *, row_number() OVER () AS r FROM mesh_events) \
         WHERE CAST(event_time AS DATE) >= DATE '2020-01-01' AND r > 0",
        "SELECT count(*) FROM (SELECT *, row_number() OVER () AS r FROM mesh_events) \
         WHERE arrow_cast(event_time, 'Timestamp(s, \"UTC\")') <= CAST(event_date AS TIMESTAMP) \
         + INTERVAL '1 day' AND CAST(event_time AS DATE) = event_date",
    ] {
        assert_eq!(fixture.rows(sql).await, "300", "{sql}");
    }
}
