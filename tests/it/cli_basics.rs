//! What a user does first: init, generate, ingest, seal, ask, verify.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use meshledger_tests::cli::ml;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::paths::fixture;
use meshledger_tests::records::lines;
use meshledger_tests::tamper::files_below;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn help_names_every_command_and_nonsense_exits_3() {
    let help = ml(["--help"]).run().expect(0).text();
    for command in ["init", "generate", "ingest", "seal", "query", "verify", "quarantine", "demo"] {
        assert!(help.contains(command), "--help does not name {command}");
        let text = ml([command, "--help"]).run().expect(0).text();
        let examples = text.split_once("\nExamples:\n").map_or("", |(_, examples)| examples);
        let example = format!("meshledger {command}");
        let shown = examples.lines().any(|line| {
            let rest = line.split_once(&example).map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        assert!(shown, "{command} --help shows no example: {text}");
    }
    let _ = ml(["frobnicate"]).run().expect(3);
    let _ = ml(["seal"]).run().expect(3).says("--archive");
    let _ = ml(["query", "--archive", "a", "--format", "xml", "SELECT 1"]).run().expect(3);
}

#[test]
fn a_second_init_leaves_the_archive_as_it_is() {
    let laptop = Laptop::new();
    let version_0 = laptop.archive_path().join("_delta_log/00000000000000000000.json");
    let before = fs::read(&version_0).unwrap();
    let _ = laptop.command("init").run().expect(0);
    assert_eq!(fs::read(&version_0).unwrap(), before);
    assert_eq!(laptop.events(), 0);
    laptop.verify_ok();
}

#[test]
fn plain_gzip_zstd_glob_and_stdin_all_arrive() {
    let laptop = Laptop::new();
    laptop.write("a.plain.log", lines("plain", 3));
    laptop.write("a.gzip.log", gzip(&lines("gzip", 5)));
    laptop.write("a.zstd.log", zstd::encode_all(&lines("zstd", 7)[..], 3).unwrap());
    // Concatenated members are one stream, as `cat a.gz b.gz` makes it.
    laptop.write("two.gz", [gzip(&lines("first", 2)), gzip(&lines("second", 2))].concat());
    let summary =
        laptop.ingest([laptop.path("a.*.log"), laptop.path("two.gz")]).run().expect(0).json();
    assert_eq!((&summary["files"], &summary["events"]), (&4.into(), &19.into()), "{summary}");
    let piped = laptop.ingest(["-"]).stdin(lines("piped", 11)).run().expect(0).json();
    assert_eq!(piped["events"], 11, "{piped}");
    assert_eq!(laptop.events(), 30, "unsealed events are visible");
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 30);
    let by_transport =
        laptop.query("SELECT transport, count(*) AS n FROM mesh_events GROUP BY 1 ORDER BY 1");
    assert_eq!(by_transport[0]["transport"], "file");
    assert_eq!(
        (&by_transport[1]["transport"], &by_transport[1]["n"]),
        (&"stdin".into(), &11.into())
    );
    laptop.verify_ok();
}

#[test]
fn the_same_bytes_again_add_nothing_and_it_says_so() {
    let laptop = Laptop::new();
    let bytes = fs::read(fixture("envoy/captured-default.jsonl")).unwrap();
    assert_eq!(laptop.ingest_bytes("a.log", &bytes)["events"], 36);
    let _ = laptop.seal();
    // Sealed or waiting, under another name or compressed: the unit is its decoded bytes.
    for again in [bytes.clone(), gzip(&bytes), zstd::encode_all(&bytes[..], 1).unwrap()] {
        let summary = laptop.ingest_bytes("b.log", again);
        assert_eq!((&summary["events"], &summary["units"]), (&0.into(), &0.into()), "{summary}");
        assert_eq!(summary["units_already_held"], 1, "{summary}");
    }
    let said = laptop.command("ingest").args([laptop.path("a.log")]).run().expect(0);
    assert!(said.report().contains("already"), "it does not say so: {}", said.report());
    let _ = laptop.ingest_bytes("c.log", lines("waiting", 4));
    assert_eq!(laptop.ingest_bytes("d.log", lines("waiting", 4))["events"], 0);
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 40);
    laptop.verify_ok();
}

#[test]
fn an_ingestion_killed_at_any_point_is_resumed_by_repeating_it() {
    let source = Laptop::empty();
    let out = source.path("traffic");
    let _ = ml(["generate", "--events", "150000", "--seed", "7", "--format", "default"])
        .args(["--clusters", "1", "--out"])
        .args([&out])
        .run()
        .expect(0);
    let files = files_below(&out);
    assert_eq!(files.len(), 1, "one cluster, one file");
    let bytes = fs::read(&files[0]).unwrap();
    assert!(bytes.len() > 64 << 20, "{} bytes are too few for two parts", bytes.len());
    // Killed as soon as the first data file, then as soon as the first manifest is there.
    for place in ["data", ""] {
        let laptop = Laptop::new();
        let watched =
            if place.is_empty() { laptop.work_path() } else { laptop.archive_path().join(place) };
        // Its input never ends, so it can not have ended by itself.
        let mut running = laptop.ingest(["-"]).stdin(bytes.clone()).stdin_stays_open().start();
        let seen = running.wait_for(|| !files_below(&watched).is_empty());
        let killed = running.kill();
        assert!(seen, "nothing appeared in {}", watched.display());
        assert_eq!(killed.code, None, "it had ended before: {}", killed.report());
        // The same bytes are the same units, be they piped or in a file.
        let summary = laptop.ingest(&files).run().expect(0).json();
        assert_eq!(summary["rejects"], 0, "{summary}");
        let _ = laptop.seal();
        assert_eq!(laptop.events(), 150_000, "killed at {place:?}");
        let identities =
            "SELECT count(*) FROM (SELECT DISTINCT segment, segment_row FROM mesh_events)";
        assert_eq!(laptop.number(identities), 150_000);
        // A file that no manifest came to name is an orphan: unfinished, not tampered with.
        let (output, report) = laptop.verify();
        assert!(matches!(output.code, Some(0 | 2)), "{report}");
    }
}

#[test]
fn an_interrupted_ingestion_exits_130_and_keeps_what_it_acknowledged() {
    let laptop = Laptop::new();
    let out = laptop.path("traffic");
    let _ =
        ml(["generate", "--events", "150000", "--clusters", "1", "--format", "default", "--out"])
            .args([&out])
            .run()
            .expect(0);
    let bytes = fs::read(files_below(&out).remove(0)).unwrap();
    let file = laptop.write("whole.log", &bytes);
    // Its input never ends, so only the signal can end it.
    let piped = &bytes[..bytes.len() - 1000];
    let mut running = laptop.ingest(["-"]).stdin(piped).stdin_stays_open().start();
    let work = laptop.work_path();
    assert!(running.wait_for(|| !files_below(&work).is_empty()), "no manifest appeared");
    running.signal("INT");
    let interrupted = running.finish().expect(130).json();
    let acknowledged = interrupted["events"].as_i64().unwrap();
    assert!((1..150_000).contains(&acknowledged), "{interrupted}");
    assert_eq!(laptop.events(), acknowledged);
    // Again, with the whole input: what was acknowledged is not archived twice.
    let summary = laptop.ingest([&file]).run().expect(0).json();
    assert_eq!(summary["events"], 150_000 - acknowledged, "{summary}");
    assert_eq!(summary["units_already_held"], interrupted["units"], "{summary}");
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 150_000);
    laptop.verify_ok();
}

#[test]
fn generate_gives_the_same_bytes_for_the_same_seed() {
    let laptop = Laptop::empty();
    let generate = |seed: &str, out: &Path| {
        let _ = ml(["generate", "--events", "2000", "--format", "mixed", "--seed", seed, "--out"])
            .args([out])
            .run()
            .expect(0);
        let files = files_below(out);
        let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        (names, files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>())
    };
    let (names, one) = generate("5", &laptop.path("one"));
    assert_eq!(names.len(), 2, "a file for each cluster: {names:?}");
    assert!(names.iter().all(|name| name.to_string_lossy().ends_with(".jsonl")), "{names:?}");
    let records: usize = one.iter().map(|file| file.split(|b| *b == b'\n').count() - 1).sum();
    assert_eq!(records, 2000);
    assert_eq!(generate("5", &laptop.path("two")).1, one);
    assert_ne!(generate("6", &laptop.path("three")).1, one);
    let stdout = ml(["generate", "--events", "2000", "--seed", "5", "--out", "-"]).run().expect(0);
    assert_eq!(stdout.text().lines().count(), 2000);
}

#[test]
fn sealing_nothing_makes_no_version() {
    let laptop = Laptop::new();
    let _ = laptop.seal();
    let _ = laptop.ingest_bytes("a.log", lines("a", 1));
    let _ = laptop.seal();
    let _ = laptop.seal();
    let log = files_below(&laptop.archive_path().join("_delta_log"));
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(files_below(&laptop.work_path().join("inbox")).is_empty(), "the inbox is emptied");
}
