//! The same over S3: a real server on loopback, also when it is troubled, also in races.

use std::path::{Path, PathBuf};

use meshledger_tests::cli::ml;
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::paths::fixture;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::tamper::files_below;

/// An archive on the server, reached through a port: the server's own or a proxy's.
fn archive(server: &Seaweed, port: u16, test: &str) -> Laptop {
    let laptop = Laptop::remote(&server.archive_url(test), Seaweed::environment(port));
    // Several laptops write to it, of which none has a key.
    let _ = laptop.command("init").args(["--no-ledger"]).run().expect(0);
    laptop
}

fn generated(laptop: &Laptop, seed: &str) -> Vec<PathBuf> {
    let out = laptop.path("traffic");
    let _ = ml(["generate", "--events", "5000", "--format", "mixed", "--seed", seed, "--out"])
        .args([&out])
        .run()
        .expect(0);
    files_below(&out)
}

/// What delta-rs and Polars read on the server, against the oracle.
fn read_from_s3(server: &Seaweed, laptop: &Laptop, files: &[(&str, &Path)]) {
    let inputs = files.iter().map(|(cluster, path)| format!("{cluster}={}", path.display()));
    let output = script("read_archive.py")
        .envs(Seaweed::environment(server.port()))
        .args([laptop.archive().to_owned()])
        .args(inputs)
        .run();
    assert_eq!(output.code, Some(0), "other engines read something else: {}", output.report());
}

#[test]
fn end_to_end_on_s3() {
    let server = Seaweed::shared();
    let laptop = archive(&server, server.port(), "end-to-end");
    let (default, extended) =
        (fixture("envoy/captured-default.jsonl"), fixture("envoy/captured-extended.jsonl"));
    let summary = laptop.ingest([&default, &extended]).run().expect(0).json();
    assert_eq!(summary["events"], 72, "{summary}");
    assert_eq!(laptop.events(), 72, "unsealed events are visible");
    let _ = laptop.seal();
    assert_eq!(laptop.ingest([&default]).run().expect(0).json()["events"], 0);
    assert_eq!(laptop.events(), 72);
    assert_eq!(laptop.number("SELECT count(*) FROM mesh_events WHERE decision = 'deny'"), 20);
    laptop.verify_ok();
    read_from_s3(&server, &laptop, &[("east", &default), ("east", &extended)]);
}

#[test]
fn a_troubled_server_loses_and_doubles_nothing() {
    let server = Seaweed::shared();
    for seed in [1, 2, 3] {
        let proxy = FaultyProxy::start(server.port(), seed, 6);
        let laptop = archive(&server, proxy.port(), &format!("troubled-{seed}"));
        let files = generated(&laptop, "21");
        for file in &files {
            // A run that gave up is repeated, as its message says; nothing may be there twice.
            // The oracle rebuilds records as they came.
            let once = || laptop.ingest([file]).args(["--redaction", "none"]).run();
            let done = (0..5).any(|_| once().code == Some(0));
            assert!(done, "five runs in a row gave up: {:?}", proxy.counts());
        }
        let sealed = (0..5).any(|_| laptop.command("seal").run().code == Some(0));
        assert!(sealed, "five seals in a row gave up: {:?}", proxy.counts());
        let counts = proxy.counts();
        eprintln!("seed {seed}: {counts:?}");
        assert!(counts.faults() >= 3, "too few faults to prove anything: {counts:?}");
        proxy.set_faulty(false);
        assert_eq!(laptop.events(), 5000);
        let (output, report) = laptop.verify();
        // A run that gave up may leave files that no manifest names.
        assert!(matches!(output.code, Some(0 | 2)), "{report}");
        let inputs: Vec<(&str, &Path)> =
            files.iter().map(|file| ("east", file.as_path())).collect();
        read_from_s3(&server, &laptop, &inputs);
    }
}

#[test]
fn reading_through_a_troubled_server_answers_right_or_not_at_all() {
    let server = Seaweed::shared();
    let laptop = archive(&server, server.port(), "troubled-reader");
    let _ = laptop.ingest_bytes("a.log", lines("a", 500));
    let _ = laptop.seal();
    let proxy = FaultyProxy::start(server.port(), 5, 5);
    let reader = Laptop::remote(laptop.archive(), Seaweed::environment(proxy.port()));
    let mut answered = 0;
    for _ in 0..8 {
        let sql = "SELECT count(DISTINCT request_id) AS n FROM mesh_events";
        let output = reader.command("query").args(["--format", "json", sql]).run();
        if output.code == Some(0) {
            assert_eq!(output.json()["n"], 500, "{}", output.report());
            answered += 1;
        } else {
            let _ = output.expect(5);
        }
    }
    assert!(answered >= 4, "retries should carry most reads through: {answered} of 8");
    assert!(proxy.counts().faults() > 0, "{:?}", proxy.counts());
}

#[test]
fn two_sealers_race_and_every_event_is_there_once() {
    let server = Seaweed::shared();
    let laptop = archive(&server, server.port(), "two-sealers");
    for round in 0..5 {
        for name in ["x", "y", "z"] {
            let _ = laptop.ingest_bytes(name, lines(&format!("{round}-{name}"), 20));
        }
        let sealers: Vec<_> = (0..3).map(|_| laptop.command("seal").start()).collect();
        for sealer in sealers {
            let _ = sealer.finish().expect(0);
        }
        assert_eq!(laptop.events(), 60 * (round + 1));
    }
    laptop.verify_ok();
    let ids = "SELECT count(DISTINCT request_id) FROM mesh_events";
    assert_eq!(laptop.number(ids), 300);
}

#[test]
fn a_ledger_on_s3_is_signed_by_racing_sealers_through_a_troubled_server_and_checked() {
    let server = Seaweed::shared();
    let proxy = FaultyProxy::start(server.port(), 17, 6);
    let laptop = Laptop::remote(&server.archive_url("ledger"), Seaweed::environment(server.port()));
    let Signing { key, policy } = laptop.begin_ledger("archive.example/s3");
    let troubled = Laptop::remote(laptop.archive(), Seaweed::environment(proxy.port()));
    for name in ["a", "b", "c"] {
        let _ = laptop.ingest_bytes(name, lines(name, 20));
        let sealers: Vec<_> = [&laptop, &troubled, &laptop]
            .map(|of| of.command("seal").args(["--json", "--key"]).args([&key]).start())
            .into();
        for sealer in sealers {
            // The troubled one may have had to give up; it is run again below.
            let output = sealer.finish();
            assert!(matches!(output.code, Some(0 | 5)), "{}", output.report());
            assert!(!output.stderr.contains("nothing was signed"), "{}", output.report());
        }
    }
    let _ = laptop.command("seal").args(["--key"]).args([&key]).run().expect(0);
    assert_eq!(laptop.events(), 60);
    let verify = laptop.command("verify").args(["--json", "--policy"]).args([&policy]);
    let report = verify.run().expect(0).json();
    assert_eq!(report["ledger"]["size"], report["commits"], "{report}");
}

#[test]
fn the_store_vouches_for_the_digest_of_a_file_that_nobody_reads() {
    let server = Seaweed::shared();
    let laptop = archive(&server, server.port(), "vouched");
    let _ = laptop.ingest_bytes("a.log", lines("a", 20));
    let _ = laptop.seal();
    let verify = || laptop.command("verify").args(["--quick", "--json"]).run();
    let report = verify().expect(0).json();
    assert_eq!((&report["files"], &report["digests"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(report["bytes"], 0, "{report}");
}

#[test]
fn two_writers_of_the_same_file_archive_it_once() {
    let server = Seaweed::shared();
    let laptop = archive(&server, server.port(), "two-writers");
    let file = laptop.write("same.log", lines("same", 100));
    let others: Vec<PathBuf> =
        (0..3).map(|n| laptop.write(&format!("{n}.log"), lines(&format!("own-{n}"), 10))).collect();
    let writers: Vec<_> =
        others.iter().map(|other| laptop.ingest([&file, other]).args(["--seal"]).start()).collect();
    for writer in writers {
        let _ = writer.finish().expect(0);
    }
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 130);
    assert_eq!(laptop.number("SELECT count(DISTINCT request_id) FROM mesh_events"), 130);
    // Writers who all lost to one may each have left a file that no manifest names; nothing else.
    let output = laptop.command("verify").args(["--json"]).run();
    let report = output.json();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["code"] == "ORPHAN"), "{report}");
    assert_eq!(output.code, Some(if findings.is_empty() { 0 } else { 2 }), "{report}");
}

#[test]
fn wrong_credentials_and_no_server_are_said_clearly() {
    let server = Seaweed::shared();
    let mut wrong = Seaweed::environment(server.port());
    for variable in &mut wrong {
        if variable.0 == "AWS_SECRET_ACCESS_KEY" {
            variable.1 = "wrong".to_owned();
        }
    }
    let laptop = Laptop::remote(&server.archive_url("denied"), wrong);
    let output = laptop.command("init").run().expect(5);
    assert!(!output.stderr.trim().is_empty());
    // Port 1 is never served.
    let nobody = Laptop::remote(&server.archive_url("nobody"), Seaweed::environment(1));
    let output = nobody.command("query").args(["SELECT 1 FROM mesh_events"]).run().expect(5);
    assert!(!output.stderr.trim().is_empty());
    let unmade = Laptop::remote(&server.archive_url("unmade"), Seaweed::environment(server.port()));
    let file = unmade.write("a.log", lines("a", 1));
    let _ = unmade.ingest([file]).run().expect(5).says("not an archive");
}
