//! Engines that are not ours read our archives, and agree with an oracle that is not ours either.

use std::path::{Path, PathBuf};

use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::python::{read_archive, row_roots, script};
use meshledger_tests::records::{at, good};
use meshledger_tests::tamper::files_below;

const FIXTURES: [&str; 4] = [
    "envoy/captured-default.jsonl",
    "envoy/captured-extended.jsonl",
    "envoy/captured-omit.jsonl",
    "envoy/written-edges.jsonl",
];

#[test]
fn the_judge_sees_every_sort_of_difference() {
    let file = fixture(FIXTURES[0]);
    let output = script("self_test.py").args([file]).run();
    assert_eq!(output.code, Some(0), "{}", output.report());
}

#[test]
fn fixtures_read_alike_in_every_engine() {
    let laptop = Laptop::new();
    let files = FIXTURES.map(fixture);
    // One commit each, so that the log has several versions, with clusters of their own.
    for (number, file) in files.iter().enumerate() {
        let cluster = format!("c{number}");
        let _ = laptop.command("ingest").args(["--cluster", &cluster]).args([file]).run().expect(0);
        let _ = laptop.seal();
    }
    let named: Vec<(&str, &Path)> =
        ["c0", "c1", "c2", "c3"].into_iter().zip(files.iter().map(PathBuf::as_path)).collect();
    read_archive(&laptop.archive_path(), &named);
    row_roots(&laptop.archive_path());
    laptop.verify_ok();
}

#[test]
fn the_judge_of_row_roots_sees_another_root() {
    let laptop = Laptop::new();
    let _ = laptop.ingest([fixture(FIXTURES[0])]).run().expect(0);
    let _ = laptop.seal();
    row_roots(&laptop.archive_path());
    let commit = laptop.archive_path().join("_delta_log/00000000000000000001.json");
    let text = std::fs::read_to_string(&commit).unwrap();
    let (before, root) = text.split_once("\"ma.row_root\":\"").unwrap();
    let digit = if root.starts_with('0') { "1" } else { "0" };
    let changed = format!("{before}\"ma.row_root\":\"{digit}{}", &root[1..]);
    std::fs::write(&commit, changed).unwrap();
    let output = script("row_roots.py").args([laptop.archive_path()]).run();
    assert_eq!(output.code, Some(1), "{}", output.report());
    assert!(output.text().contains("1 row roots differ"), "{}", output.report());
}

#[test]
fn generated_traffic_reads_alike_in_every_engine() {
    for (seed, format) in [("11", "default"), ("12", "extended"), ("13", "mixed")] {
        eprintln!("seed {seed}, format {format}");
        let laptop = Laptop::new();
        let out = laptop.path("traffic");
        let _ = ml(["generate", "--events", "10000", "--days", "3"])
            .args(["--seed", seed, "--format", format, "--out"])
            .args([&out])
            .run()
            .expect(0);
        let files = files_below(&out);
        let clusters: Vec<String> =
            files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into()).collect();
        for (cluster, file) in clusters.iter().zip(&files) {
            // The oracle rebuilds records as they came.
            let as_came = ["--json", "--redaction", "none", "--cluster", cluster];
            let run = laptop.command("ingest").args(as_came).args([file]);
            let summary = run.run().expect(0).json();
            assert_eq!(summary["rejects"], 0, "{summary}");
        }
        let _ = laptop.seal();
        assert_eq!(laptop.events(), 10_000);
        let named: Vec<(&str, &Path)> =
            clusters.iter().map(String::as_str).zip(files.iter().map(PathBuf::as_path)).collect();
        read_archive(&laptop.archive_path(), &named);
        row_roots(&laptop.archive_path());
    }
}

#[test]
fn rejects_between_records_change_nothing_for_other_engines() {
    let laptop = Laptop::new();
    let text = std::fs::read_to_string(fixture(FIXTURES[0])).unwrap();
    let broken: String =
        text.lines().flat_map(|line| [line, "\n", "{\"half\":", "\n", "\n"]).collect();
    let file = laptop.write("broken.log", &broken);
    let summary = laptop.ingest([&file]).run().expect(0).json();
    assert_eq!((&summary["events"], &summary["rejects"]), (&36.into(), &36.into()), "{summary}");
    let _ = laptop.seal();
    read_archive(&laptop.archive_path(), &[("east", &file)]);
}

#[test]
fn quarantine_holds_every_reject_byte_for_byte() {
    let laptop = Laptop::new();
    let odd: [Vec<u8>; 10] = [
        b"plain text".to_vec(),
        b"\xff\xfe not UTF-8 \x80".to_vec(),
        b"{\"half\":".to_vec(),
        b"{\"half\":\"\\ud800\"}".to_vec(),
        b"{\"hello\":1.50}".to_vec(),
        b"[1, 2]".to_vec(),
        good("deep")
            .replace(
                "\"method\"",
                &format!("\"d\":{}{},\"method\"", "[".repeat(65), "]".repeat(65)),
            )
            .into(),
        format!("{{{}\"z\":0}}", (0..1024).map(|n| format!("\"k{n}\":0,")).collect::<String>())
            .into(),
        at("untimed", "yesterday").into(),
        at("early", "1999-12-31T23:59:59.999Z").into(),
    ];
    let mut input = b"\xef\xbb\xbf".to_vec();
    for (number, odd) in odd.iter().enumerate() {
        input.extend(good(&format!("good-{number}")).into_bytes());
        input.extend(if number % 2 == 0 { &b"\r\n \t\n"[..] } else { b"\n" });
        input.extend(odd);
        input.extend(if number % 3 == 0 { &b"\r\n"[..] } else { b"\n" });
    }
    let file = laptop.write("odd.log", input);
    let summary = laptop.ingest([&file]).run().expect(0).json();
    assert_eq!((&summary["events"], &summary["rejects"]), (&10.into(), &10.into()), "{summary}");
    let _ = laptop.seal();
    read_archive(&laptop.archive_path(), &[("east", &file)]);
}
