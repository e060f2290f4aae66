//! Bad records: each is counted and kept with its reason, and its neighbours are archived.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use meshledger_tests::cli::{Program, meshledger};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::python::script;
use meshledger_tests::records::{at, good, lines};

/// Largest memory of an ingestion, however long the input.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// And of one whose rows can not be compressed and go to as many dates as a delivery may touch: the
/// files of two deliveries are as long as their input. Measured: 246 to 279 MB.
const INTERLEAVED_BYTES_MAX: u64 = 320 << 20;

/// Ingests a good record, the bad bytes, a good record; demands that nothing is lost: both good
/// ones are events, and the bad bytes are `rejects` rejects with this reason, byte for byte.
#[track_caller]
fn between_good_ones(bad: &[u8], rejects: i64, reason: &str) {
    let laptop = Laptop::new();
    let (before, after) = (good("before"), good("after"));
    let input = [before.as_bytes(), bad, after.as_bytes(), b""].join(&b'\n');
    let summary = laptop.ingest_bytes("input.log", input);
    assert_eq!(summary["events"], 2, "{summary}");
    assert_eq!(summary["rejects"], rejects, "{summary}");
    let offset = before.len() + 1;
    if rejects > 0 {
        let example = &summary["reject_examples"][0];
        assert_eq!(example["reason"], reason, "{summary}");
        assert_eq!(example["offset_bytes"], offset, "{summary}");
    }
    let _ = laptop.seal();
    let ids = laptop.query("SELECT request_id FROM mesh_events ORDER BY request_id");
    let ids: Vec<&str> = ids.iter().filter_map(|row| row["request_id"].as_str()).collect();
    assert_eq!(ids, ["after", "before"]);
    let kept = "SELECT coalesce(sum(length_bytes), 0) AS n FROM mesh_quarantine";
    assert_eq!(
        laptop.number(kept),
        if rejects > 0 { i64::try_from(bad.len()).unwrap() } else { 0 }
    );
    laptop.verify_ok();
}

#[test]
fn truncated_json_is_rejected() {
    between_good_ones(&good("x").as_bytes()[..200], 1, "invalid_json");
}

#[test]
fn bytes_that_are_not_utf8_are_rejected() {
    let bad = good("x").replace("curl", "\u{1}").into_bytes();
    let bad: Vec<u8> = bad.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    between_good_ones(&bad, 1, "not_utf8");
}

#[test]
fn what_is_no_object_or_no_known_format_is_rejected() {
    for text in ["[]", "42", "null", "\"text\"", "true", "{} {}"] {
        between_good_ones(
            text.as_bytes(),
            1,
            if text == "{} {}" { "invalid_json" } else { NO_OBJECT },
        );
    }
    between_good_ones(b"{\"hello\":\"world\"}", 1, "unknown_format");
}

/// Reason for JSON that is no object, and so may be text of any sort.
const NO_OBJECT: &str = "unknown_format";

#[test]
fn deep_nesting_is_rejected_and_never_overflows_the_stack() {
    for depth in [1_000, 1_000_000] {
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        between_good_ones(nested.as_bytes(), 1, "too_deep");
    }
    let inside = good("x").replace(
        "\"method\"",
        &format!("\"deep\":{}1{},\"method\"", "{\"a\":".repeat(500), "}".repeat(500)),
    );
    between_good_ones(inside.as_bytes(), 1, "too_deep");
}

#[test]
fn empty_lines_are_no_records() {
    between_good_ones(b"\r\n   \n\t\n", 0, "");
}

#[test]
fn times_out_of_range_are_rejected() {
    for time in ["1969-12-31T23:59:59.999Z", "1999-12-31T23:59:59.999Z", "9999-12-31T23:59:59Z"] {
        between_good_ones(at("x", time).as_bytes(), 1, "event_time_out_of_range");
    }
    for time in ["", "-", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-02"]
    {
        between_good_ones(at("x", time).as_bytes(), 1, "no_event_time");
    }
}

#[test]
fn wrong_types_and_duplicate_keys_lose_nothing() {
    // Whether such a record is an event or a reject is the parser's choice; it may not be lost,
    // and what its columns can not hold must be found again in attributes, raw or quarantine.
    let cases = [
        good("x").replace("\"duration\":15", "\"duration\":\"marker-77\""),
        good("x").replace("\"response_code\":200", "\"response_code\":{\"marker-77\":1}"),
        good("x").replace("\"method\":\"GET\"", "\"method\":[\"marker-77\"]"),
        good("x").replace("\"bytes_sent\":358", "\"bytes_sent\":1e400,\"m\":\"marker-77\""),
        good("x").replace(
            "\"bytes_sent\":358",
            "\"bytes_sent\":99999999999999999999,\"m\":\"marker-77\"",
        ),
        good("x")
            .replace("\"duration\":15", "\"duration\":9223372036854775807,\"m\":\"marker-77\""),
        good("x").replace("\"method\":\"GET\"", "\"method\":\"GET\",\"method\":\"marker-77\""),
        good("x").replace("\"path\":", "\"path\":\"marker-77\",\"path\":"),
        good("x").replace("reviews:9080", "\\ud800 marker-77"),
        good("x").replace("reviews:9080", "\\u0000 marker-77"),
    ];
    for record in cases {
        let laptop = Laptop::new();
        let summary = laptop
            .ingest_bytes("input.log", [good("before"), record.clone(), good("after")].join("\n"));
        let (events, rejects) = (&summary["events"], &summary["rejects"]);
        assert_eq!(events.as_i64().unwrap() + rejects.as_i64().unwrap(), 3, "{summary}");
        let _ = laptop.seal();
        let good_ones = "SELECT count(*) FROM mesh_events WHERE request_id IN ('before', 'after')";
        assert_eq!(laptop.number(good_ones), 2);
        let events = laptop.query("SELECT * FROM mesh_events");
        let rejected = laptop.query("SELECT encode(record, 'base64') AS b FROM mesh_quarantine");
        let found = serde_json::to_string(&events).unwrap().contains("marker-77");
        assert!(found || rejected.len() == 1, "{record} was lost: {events:?}");
        laptop.verify_ok();
    }
}

#[test]
fn more_dates_than_one_delivery_may_touch_are_rejected_not_lost() {
    let laptop = Laptop::new();
    let records: Vec<String> = (0..100)
        .map(|day| at(&day.to_string(), &format!("20{:02}-06-15T12:00:00.000Z", day % 26)))
        .chain((0..100).map(|day| {
            at(
                &format!("d{day}"),
                &format!("2025-{:02}-{:02}T12:00:00Z", day / 28 + 1, day % 28 + 1),
            )
        }))
        .collect();
    let summary = laptop.ingest_bytes("dates.log", records.join("\n"));
    let (events, rejects) =
        (summary["events"].as_i64().unwrap(), summary["rejects"].as_i64().unwrap());
    assert_eq!(events + rejects, 200, "{summary}");
    assert!(rejects > 0, "100 + 26 dates are more than 64: {summary}");
    let _ = laptop.seal();
    assert_eq!(laptop.events(), events);
    assert!(laptop.number("SELECT count(DISTINCT event_date) FROM mesh_events") <= 64);
}

#[test]
fn an_empty_input_is_no_error() {
    let laptop = Laptop::new();
    for bytes in [&b""[..], b"\n\n\n", b"\xef\xbb\xbf"] {
        let summary = laptop.ingest_bytes("empty.log", bytes);
        assert_eq!((&summary["events"], &summary["rejects"]), (&0.into(), &0.into()), "{summary}");
    }
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 0);
    laptop.verify_ok();
}

#[test]
fn a_last_line_without_a_newline_is_a_record() {
    let laptop = Laptop::new();
    assert_eq!(laptop.ingest_bytes("a.log", good("only"))["events"], 1);
}

/// Runs an ingestion and gives its exit code, summary and peak memory.
fn measured(laptop: &Laptop, arguments: &[&str]) -> (Option<i32>, serde_json::Value, u64) {
    let report = laptop.path("peak");
    let output = script("limited.py")
        .args([&report])
        .args(["--"])
        .args([meshledger()])
        .args(["ingest", "--json", "--archive", laptop.archive()])
        .args(arguments)
        .time_limit(Duration::from_secs(600))
        .run();
    let peak = std::fs::read_to_string(&report).unwrap().parse().unwrap();
    assert!(!output.stderr.contains("panicked at"), "{}", output.report());
    (output.code, output.json(), peak)
}

#[test]
fn a_line_of_100_megabytes_is_kept_in_pieces_and_in_bounded_memory() {
    let laptop = Laptop::new();
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000_000));
    let input = [good("before"), huge.clone(), good("after")].join("\n");
    let file = laptop.write("huge.log", input);
    let (code, summary, peak) = measured(&laptop, &[file.to_str().unwrap()]);
    assert_eq!((code, &summary["events"]), (Some(0), &2.into()), "{summary}");
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes at most");
    let _ = laptop.seal();
    let kept =
        "SELECT sum(length_bytes) AS n FROM mesh_quarantine WHERE reason = 'record_too_long'";
    assert_eq!(laptop.number(kept), i64::try_from(huge.len()).unwrap());
    laptop.verify_ok();
}

#[test]
fn a_gzip_bomb_ends_at_the_limit_and_in_bounded_memory() {
    let laptop = Laptop::new();
    // 2 GiB of one record, 2 MB compressed.
    let record = format!("{}\n", good("same")).repeat(1000);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..2_300 {
        encoder.write_all(record.as_bytes()).unwrap();
    }
    let file = laptop.write("bomb.gz", encoder.finish().unwrap());
    let (code, summary, peak) =
        measured(&laptop, &["--decoded-bytes-max", "200MB", file.to_str().unwrap()]);
    assert_eq!(code, Some(7), "{summary}");
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes at most");
    let events = summary["events"].as_i64().unwrap();
    let most = i64::try_from(200_000_000 / good("same").len()).unwrap();
    assert!((1..=most).contains(&events), "{summary}");
    assert_eq!(laptop.events(), events, "what it says it archived is there");
}

#[test]
fn long_input_takes_bounded_memory() {
    let laptop = Laptop::new();
    let out = laptop.path("traffic");
    let _ = meshledger_tests::cli::ml(["generate", "--events", "400000", "--clusters", "1"])
        .args(["--format", "default", "--out"])
        .args([&out])
        .run()
        .expect(0);
    let files = meshledger_tests::tamper::files_below(&out);
    let (code, summary, peak) = measured(&laptop, &[files[0].to_str().unwrap()]);
    assert_eq!((code, &summary["events"]), (Some(0), &400_000.into()), "{summary}");
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes at most");
}

/// Numbers that nothing compresses. SplitMix64, by Sebastiano Vigna; public domain.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        eprintln!("noise: seed {seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[test]
fn rejects_without_end_take_bounded_memory() {
    let laptop = Laptop::new();
    let (lines, words) = (150_000, 125);
    let mut noise = Noise::new(21);
    let mut input = Vec::with_capacity(lines * (words * 8 + 2));
    for _ in 0..lines {
        input.push(0xff); // no byte of UTF-8
        for _ in 0..words {
            input.extend(
                noise.next().to_le_bytes().map(|byte| if byte == b'\n' { 0 } else { byte }),
            );
        }
        input.push(b'\n');
    }
    let file = laptop.write("noise.log", &input);
    // Noise of this length has something that looks like a credential.
    let (code, summary, peak) = measured(&laptop, &["--redaction", "none", file.to_str().unwrap()]);
    eprintln!("{peak} bytes at most");
    assert_eq!((code, &summary["events"]), (Some(0), &0.into()), "{summary}");
    assert_eq!(summary["reject_reasons"]["not_utf8"], lines, "{summary}");
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes at most");
    // Each line but its newline.
    let kept = laptop.number("SELECT sum(length_bytes) AS n FROM mesh_quarantine");
    assert_eq!(kept, i64::try_from(input.len() - lines).unwrap());
}

#[test]
fn interleaved_dates_take_bounded_memory() {
    let laptop = Laptop::new();
    let mut noise = Noise::new(22);
    let events = 110_000;
    let mut input = String::new();
    for number in 0..events {
        let (month, day) = (number % 64 / 28 + 1, number % 64 % 28 + 1);
        let time = format!("2025-{month:02}-{day:02}T12:00:00.123Z");
        let long: String = (0..32).map(|_| format!("{:016x}", noise.next())).collect();
        let record = at(&format!("{:016x}", noise.next()), &time).replace("curl/8.5.0", &long);
        input.push_str(&record);
        input.push('\n');
    }
    assert!(input.len() > 128 << 20, "{} bytes are too few", input.len());
    let file = laptop.write("dates.log", &input);
    let (code, summary, peak) = measured(&laptop, &[file.to_str().unwrap()]);
    eprintln!("{peak} bytes at most");
    assert_eq!((code, &summary["rejects"]), (Some(0), &0.into()), "{summary}");
    assert!(peak < INTERLEAVED_BYTES_MAX, "{peak} bytes at most");
    assert_eq!(laptop.events(), events);
    assert_eq!(laptop.number("SELECT count(DISTINCT event_date) FROM mesh_events"), 64);
}

#[test]
fn broken_compression_is_said_and_what_came_before_is_kept() {
    let laptop = Laptop::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&lines("zipped", 20_000)).unwrap();
    let whole = encoder.finish().unwrap();
    let cut = laptop.write("cut.gz", &whole[..whole.len() / 2]);
    let mut flipped = whole.clone();
    let end = flipped.len() - 6; // in the checksum
    flipped[end] ^= 1;
    let flipped = laptop.write("flipped.gz", flipped);
    let zstd = zstd::encode_all(&lines("zstd", 20_000)[..], 3).unwrap();
    let cut_zstd = laptop.write("cut.zst", &zstd[..zstd.len() / 2]);
    for (file, name) in [(cut, "cut.gz"), (flipped, "flipped.gz"), (cut_zstd, "cut.zst")] {
        let before = laptop.events();
        let output = laptop.ingest([&file]).run().expect(4);
        assert!(output.report().contains(name), "it does not name the file: {}", output.report());
        let summary = output.json();
        assert_eq!(summary["errors"].as_array().map(Vec::len), Some(1), "{summary}");
        let added = summary["events"].as_i64().unwrap();
        assert_eq!(laptop.events(), before + added, "what it says it archived is there");
    }
}

#[test]
fn inputs_that_can_not_be_read_are_said_and_the_others_are_archived() {
    let laptop = Laptop::new();
    let file = laptop.write("good.log", lines("good", 3));
    let folder = laptop.path("folder");
    std::fs::create_dir(&folder).unwrap();
    // Reading one's own memory at 0 fails with an input/output error, for root too.
    let broken = std::path::PathBuf::from("/proc/self/mem");
    for (number, bad) in [laptop.path("missing.log"), folder, broken].into_iter().enumerate() {
        let output = laptop.ingest([&bad, &file]).run().expect(4);
        assert!(output.report().contains(&*bad.to_string_lossy()), "{}", output.report());
        assert_eq!(output.json()["units_already_held"], i64::from(number > 0));
        assert_eq!(laptop.events(), 3);
    }
    let nothing = laptop.path("*.nothing");
    let _ = laptop.ingest([nothing]).run().expect(4);
}

#[test]
fn standard_input_that_is_closed_is_an_empty_input() {
    let laptop = Laptop::new();
    let closed = r#"exec "$0" ingest --json --archive "$1" - <&-"#;
    let output =
        Program::new("sh").args(["-c", closed]).args([meshledger()]).args([laptop.archive()]).run();
    assert!(!output.stderr.contains("panicked"), "{}", output.report());
    assert!(matches!(output.code, Some(0 | 4)), "{}", output.report());
}
