//! `docs/sql.md`: each example gives what the page says.

use std::fs;

use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::repository;

use crate::engines::{self, Ours};

fn page() -> String {
    fs::read_to_string(repository().join("docs/sql.md")).unwrap()
}

/// The archive that the page tells how to make.
fn archive() -> Laptop {
    let page = page();
    let made = "meshledger generate --events 5000 --days 3 --seed 7 --out ./traffic";
    assert!(page.contains(made), "the page makes another archive");
    engines::traffic(7, 5_000, "mixed")
}

/// Calls and results: rows of tables with a cell of code each.
fn calls(page: &str) -> Vec<(&str, &str)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |")?.split_once("` | `"))
        .collect()
}

/// Queries and their answers as CSV: a block of sql, then one of text.
fn queries(page: &str) -> Vec<(&str, &str)> {
    page.split("```sql\n")
        .skip(1)
        .filter_map(|rest| {
            let (sql, rest) = rest.split_once("```\n")?;
            let (answer, _) = rest.strip_prefix("\n```text\n")?.split_once("```\n")?;
            Some((sql, answer))
        })
        .collect()
}

#[test]
fn every_example_of_the_page_has_the_result_beside_it() {
    let (laptop, page) = (archive(), page());
    let ours = Ours::new(&laptop);
    let calls = calls(&page);
    assert!(calls.len() >= 55, "{} calls were found", calls.len());
    for (call, result) in &calls {
        let rows =
            ours.ask(&format!("SELECT {call}"), &[]).unwrap_or_else(|e| panic!("{call}: {e}"));
        assert_eq!(rows[0][0].shown(), *result, "{call}");
    }
    let queries = queries(&page);
    assert_eq!(queries.len(), page.matches("```sql\n").count(), "a query has no answer beside it");
    assert!(queries.len() >= 9, "{} queries were found", queries.len());
    for (sql, answer) in queries {
        let csv = laptop.command("query").args(["--format", "csv", sql]).run().expect(0).text();
        assert_eq!(csv, answer, "{sql}");
    }
}

#[test]
fn every_function_of_the_field_has_examples_on_the_page() {
    let (laptop, page) = (archive(), page());
    let ours = Ours::new(&laptop);
    let sql = "SELECT DISTINCT routine_name FROM information_schema.routines \
               WHERE regexp_like(routine_name, '^(spiffe|k8s|email|json|ip|cidr|otel|grpc|http|severity|proof|path)_|_denied$')";
    let names = ours.ask(sql, &[]).unwrap();
    assert_eq!(names.len(), 29, "a function was added or removed: {names:?}");
    for name in names {
        let name = name[0].shown();
        let examples = calls(&page).iter().filter(|(call, _)| call.starts_with(&name)).count();
        assert!(examples >= 1, "{name} has no example in docs/sql.md");
    }
}

#[test]
fn a_reference_to_a_proof_is_what_prove_event_takes() {
    let laptop = Laptop::signed();
    let _ = laptop.ingest_bytes("a.log", meshledger_tests::records::lines("proof", 5));
    let _ = laptop.seal();
    let sql = "SELECT proof_ref(segment, segment_row) AS ref, request_id FROM mesh_events \
               ORDER BY segment_row LIMIT 2";
    let (_, policy) = laptop.usual_key();
    for row in laptop.query(sql) {
        let event = row["ref"].as_str().unwrap();
        let prove = laptop.below(["prove", "event"]).args([event]).run().expect(0);
        let proof = laptop.write("event.tlog-proof", prove.stdout);
        let check = meshledger_tests::cli::ml(["check-proof", "--json", "--policy"]);
        let checked = check.args([&policy, &proof]).run().expect(0);
        let request = row["request_id"].as_str().unwrap();
        assert!(checked.text().contains(request), "{event}: {}", checked.report());
    }
}
