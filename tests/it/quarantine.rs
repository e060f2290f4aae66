//! What was not understood: listed, shown, and tried again, as a user would.

use meshledger_tests::cli::{Output, ml};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::records::good;
use serde_json::{Value, json};

/// A line that Envoy writes as text. `number` becomes its path, by which a test finds it again.
fn text(number: usize) -> String {
    format!(
        "[2026-11-02T10:15:30.123Z] \"GET /{number} HTTP/1.1\" 200 - via_upstream - \"-\" 0 6 2 1 \
         \"-\" \"curl/8\" \"11111111-2222-4333-8444-555555555555\" \"reviews:9080\" \
         \"127.0.0.1:18080\" app 127.0.0.1:47770 127.0.0.1:18001 203.0.113.9:0 - ok-route"
    )
}

/// Archives bytes as a format that they do not have, so that all of them are rejects.
#[track_caller]
fn ingest_wrongly(laptop: &Laptop, name: &str, bytes: impl AsRef<[u8]>) -> Value {
    let file = laptop.write(name, bytes);
    let summary = laptop.ingest([file]).args(["--source", "k8s_audit_v1"]).run().expect(0).json();
    assert_eq!(summary["events"], 0, "{summary}");
    summary
}

fn quarantine(laptop: &Laptop, action: &str, arguments: &[&str]) -> Output {
    ml(["quarantine", action, "--archive", laptop.archive()]).args(arguments).run()
}

#[track_caller]
fn replay(laptop: &Laptop, arguments: &[&str]) -> Value {
    quarantine(laptop, "replay", &[&["--json"][..], arguments].concat()).expect(0).json()
}

/// `[tried, understood, still not, already replayed]`
fn outcome(report: &Value) -> Value {
    let names = ["tried", "understood", "still_not_understood", "already_replayed"];
    names.iter().map(|name| report[name].clone()).collect()
}

#[test]
fn the_list_counts_by_reason_and_names_the_newest_first() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("a.log", b"{\"hello\":\"world\"}\n\xff\xfe\nnonsense\n");
    let _ = laptop.ingest_bytes("b.log", [&good("x"), "\x1b[2Jmore nonsense"].join("\n"));
    let _ = laptop.seal();
    let lines = quarantine(&laptop, "list", &["--format", "json"]).expect(0).json_lines();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let counts = of("count");
    assert_eq!(counts[0]["reason"], "unknown_format", "{counts:?}");
    assert_eq!((&counts[0]["records"], counts.len()), (&json!(3), 2), "{counts:?}");
    let records = of("record");
    assert_eq!(records.len(), 4);
    assert!(records[0]["transport_ref"].as_str().unwrap().ends_with("b.log"), "{records:?}");
    let offsets: Vec<i64> =
        records[1..].iter().map(|record| record["offset_bytes"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [0, 18, 21]);

    let one = quarantine(&laptop, "list", &["--reason", "not_utf8", "--format", "csv"]).expect(0);
    assert_eq!(one.text().lines().count(), 2, "{}", one.report());
    assert!(one.text().starts_with("unit,offset_bytes,length_bytes,reason,"), "{}", one.report());
    let table = quarantine(&laptop, "list", &["--limit", "1"]).expect(0).says("row");
    assert!(table.text().contains("not_utf8") && table.text().contains("(1 row)"));
    let none = quarantine(&laptop, "list", &["--source", "hoop_audit", "--limit", "0"]).expect(0);
    assert!(none.text().contains("(0 rows)"), "{}", none.report());
}

#[test]
fn a_record_is_shown_byte_for_byte() {
    let laptop = Laptop::new();
    let bad = b"\x1b[2J \xff\xfe\x00 caf\xc3\xa9\r";
    let input = [good("x").as_bytes(), b"\n", bad, b"\n", good("y").as_bytes()].concat();
    let _ = laptop.ingest_bytes("a.log", input);
    let lines = quarantine(&laptop, "list", &["--format", "json"]).expect(0).json_lines();
    let record = lines.last().unwrap();
    let unit = record["unit"].as_str().unwrap();
    let offset = record["offset_bytes"].to_string();
    let cases: [(&str, &[&str]); 3] =
        [(unit, &[]), (unit, &["--raw"]), (&unit[..8], &["--number", "1"])];
    for (unit, more) in cases {
        let arguments = [&[unit, offset.as_str()][..], more].concat();
        let shown = quarantine(&laptop, "show", &arguments).expect(0);
        assert_eq!(shown.stdout, bad, "{}", shown.report());
    }
    let _ = quarantine(&laptop, "show", &[unit, "1"]).expect(3).says("no record");
    let _ = quarantine(&laptop, "show", &[unit, &offset, "--number", "2"]).expect(3);
    let _ = quarantine(&laptop, "show", &["UNIT", "0"]).expect(3);
}

#[test]
fn a_replay_archives_what_is_understood_now_and_nothing_twice() {
    let laptop = Laptop::new();
    let lines: Vec<String> = (0..5).map(text).collect();
    let input = format!("\u{feff}{}\r\nnonsense\n{}\n", lines[0], lines[1..].join("\n"));
    let summary = ingest_wrongly(&laptop, "a.log", input);
    assert_eq!(summary["rejects"], 6);
    let before = laptop.query("SELECT * FROM mesh_quarantine ORDER BY offset_bytes");

    let files = || meshledger_tests::tamper::files_below(laptop.path("").as_path());
    let there = files();
    let dry = replay(&laptop, &["--dry-run"]);
    assert_eq!(outcome(&dry), json!([6, 5, 1, 0]), "{dry}");
    assert_eq!((&dry["events"], &dry["dry_run"]), (&json!(5), &json!(true)));
    assert_eq!((files(), laptop.events()), (there, 0), "a dry run writes nothing");

    let report = replay(&laptop, &[]);
    assert_eq!(outcome(&report), json!([6, 5, 1, 0]), "{report}");
    assert_eq!(laptop.events(), 5);
    assert_eq!(outcome(&replay(&laptop, &[])), json!([1, 0, 1, 5]), "what waits is held");
    let _ = laptop.seal();
    assert_eq!(outcome(&replay(&laptop, &[])), json!([1, 0, 1, 5]), "what is sealed is held");
    assert_eq!(laptop.seal()["commits"], 0);

    let rows = laptop.query(
        "SELECT url_path, transport, transport_ref, k8s_cluster, source_format, count(*) AS n \
         FROM mesh_events GROUP BY 1, 2, 3, 4, 5 ORDER BY 1",
    );
    let file = laptop.path("a.log").display().to_string();
    let expected: Vec<Value> = (0..5)
        .map(|number| {
            json!({"url_path": format!("/{number}"), "transport": "replay", "transport_ref": file,
                   "k8s_cluster": "east", "source_format": "envoy_text", "n": 1})
        })
        .collect();
    assert_eq!(rows, expected);
    let after = laptop.query("SELECT * FROM mesh_quarantine ORDER BY offset_bytes");
    assert_eq!(after, before, "the quarantine keeps what was replayed");
    laptop.verify_ok();
}

#[test]
fn a_replay_tries_what_it_is_told_to() {
    let laptop = Laptop::new();
    let too_long = format!("{{\"a\":\"{}\"}}", "x".repeat(9_000_000));
    let _ = ingest_wrongly(&laptop, "a.log", [&text(1), "\u{1}", &too_long].join("\n"));
    let list = quarantine(&laptop, "list", &["--format", "json"]).expect(0).json_lines();
    let reason = list.iter().find(|line| line["offset_bytes"] == 0).unwrap()["reason"].clone();
    let none = replay(&laptop, &["--reason", "not_utf8"]);
    assert_eq!(outcome(&none), json!([0, 0, 0, 0]), "{none}");
    let wrong = replay(&laptop, &["--source", "hoop_audit"]);
    assert_eq!(outcome(&wrong), json!([2, 0, 2, 0]), "{wrong}");
    assert!(wrong["reasons"]["record_too_long"]["pieces"].as_i64() > Some(0), "{wrong}");
    let right = replay(&laptop, &["--reason", reason.as_str().unwrap()]);
    assert_eq!(right["understood"], 1, "{right}");
    assert_eq!(laptop.events(), 1);
    let _ = quarantine(&laptop, "replay", &["--source", "syslog"]).expect(3);
    let told = quarantine(&laptop, "replay", &[]).expect(0).text();
    assert!(told.contains("Left out 1: replayed already."), "{told}");
    assert!(told.contains("Nothing was added."), "{told}");
}

#[test]
fn replays_at_the_same_time_add_each_record_once() {
    let laptop = Laptop::new();
    for name in ["a", "b", "c"] {
        let numbers = 0..700;
        let lines: Vec<String> =
            numbers.map(|number| text(number).replace("curl/8", name)).collect();
        let _ = ingest_wrongly(&laptop, name, lines.join("\n"));
    }
    let arguments = ["quarantine", "replay", "--json", "--archive", laptop.archive()];
    let running: Vec<_> = (0..3).map(|_| ml(arguments).start()).collect();
    let reports: Vec<Value> =
        running.into_iter().map(|running| running.finish().expect(0).json()).collect();
    assert_eq!(laptop.events(), 2_100, "{reports:?}");
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 2_100);
    assert_eq!(
        laptop.number("SELECT count(DISTINCT user_agent || url_path) FROM mesh_events"),
        2_100
    );
    assert_eq!(replay(&laptop, &[])["already_replayed"], 2_100);
    // Of those that came second a file may be left, as of every repeated delivery.
    let (output, report) = laptop.verify();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["code"] == "ORPHAN"), "{}", output.report());
}

#[test]
fn a_changed_quarantine_file_is_not_replayed() {
    let laptop = Laptop::new();
    let _ = ingest_wrongly(&laptop, "a.log", text(1));
    let folder = laptop.archive_path().join("quarantine");
    let file = meshledger_tests::tamper::files_below(&folder).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let _ = quarantine(&laptop, "replay", &[]).expect(5).says("SHA-256");
    assert_eq!(laptop.events(), 0);
}
