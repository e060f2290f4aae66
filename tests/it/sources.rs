//! Every source format, from the command line to another engine: the cases of `tests/data/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meshledger_tests::laptop::Laptop;
use meshledger_tests::python::{row_roots, script};

/// Archives each case's record as a file of its own, and has DuckDB's rows compared with the case.
#[track_caller]
fn check(folder: &str) {
    let scratch = Laptop::empty();
    let out = scratch.path("records");
    std::fs::create_dir(&out).unwrap();
    let listing = script("cases.py").args(["inputs", folder]).args([&out]).run().expect(0);
    let mut files: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    let text = listing.text();
    for line in text.lines() {
        let (source, path) = line.split_once('\t').unwrap();
        files.entry(source).or_default().push(path.into());
    }
    assert!(!files.is_empty(), "no case of {folder}");
    for (source, files) in files {
        // An archive a source: two cases may have the same record, which is the same unit.
        let laptop = Laptop::new();
        let run = laptop.command("ingest").args(["--json", "--source", source]).args(files);
        let _ = run.run().expect(0);
        let _ = laptop.seal();
        let output = script("cases.py").args(["check", folder, laptop.archive(), source]).run();
        assert_eq!(output.code, Some(0), "{}", output.report());
        row_roots(&laptop.archive_path());
        laptop.verify_ok();
    }
}

#[test]
fn envoy_text() {
    check("envoy_text");
}

#[test]
fn otlp() {
    check("otlp");
}

#[test]
fn shippers() {
    check("shippers");
}

#[test]
fn ztunnel() {
    check("ztunnel");
}

#[test]
fn linkerd() {
    check("linkerd");
}

#[test]
fn consul() {
    check("consul");
}

#[test]
fn kubernetes() {
    check("kubernetes");
}

#[test]
fn hoop() {
    check("hoop");
}

#[test]
fn query_trail() {
    check("query_trail");
}
