use arrow::array::AsArray;
use common::ids::UnitId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const RECEIVED_AT_MICROS: i64 = 1_793_700_000_000_000;

const SEED: RowSeed = RowSeed::new([3; 32]);

fn record(time: &str) -> String {
    format!(
        r#"{{"start_time":"{time}","response_code":200,"response_flags":"-","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code_details":"via_upstream","bytes_sent":1}}"#
    )
}

fn deliver(units: &[UnitBytes<'_>]) -> Delivery {
    let mut previous = UnitId::STREAM_START;
    let ids = units.iter().map(|unit| {
        previous = UnitId::of_part(previous, unit.sha256);
        previous
    });
    let config = SourceConfig { transport: "file".to_owned(), ..SourceConfig::default() };
    let mut builder =
        DeliveryBuilder::new(config, ids.collect(), RECEIVED_AT_MICROS, SEED).unwrap();
    for unit in units {
        let _ = builder.add_unit(*unit).unwrap();
    }
    judged(builder)
}

/// Closes a delivery, whose row roots are those of the rows in its files.
fn judged(builder: DeliveryBuilder) -> Delivery {
    let delivery = builder.finish().unwrap();
    for file in &delivery.files {
        assert_eq!(archive::rows::row_root(file.bytes.clone()).unwrap(), file.entry.row_root);
    }
    delivery
}

fn unit(bytes: &[u8], offset_bytes: u64) -> UnitBytes<'_> {
    let sha256 = Sha256Digest::of(bytes);
    UnitBytes { bytes, sha256, offset_bytes, continues_record: false, cut_record: false }
}

/// Offset, reason and bytes of every reject, read back from the quarantine file.
fn rejects(delivery: &Delivery) -> Vec<(i64, String, Vec<u8>)> {
    let mut found = Vec::new();
    for (bytes, _) in &delivery.quarantine {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap().clone();
            let (offset, reason, record) =
                (column("offset_bytes"), column("reason"), column("record"));
            for row in 0..batch.num_rows() {
                found.push((
                    offset.as_primitive::<arrow::datatypes::Int64Type>().value(row),
                    reason.as_string::<i32>().value(row).to_owned(),
                    record.as_binary::<i32>().value(row).to_vec(),
                ));
            }
        }
    }
    found
}

#[test]
fn rejects_keep_every_byte_but_the_newline_and_neighbours_are_archived() {
    let good = record("2026-11-02T10:00:00.000Z");
    let text = format!("\u{feff}{{\"a\":1}}\r\n{good}\r\n\r\nnot json\n{good}");
    let delivery = deliver(&[unit(text.as_bytes(), 0)]);
    let second = text.find("not json").unwrap();
    assert_eq!(
        rejects(&delivery),
        [
            (0, "unknown_format".to_owned(), "\u{feff}{\"a\":1}\r".as_bytes().to_vec()),
            (i64::try_from(second).unwrap(), "unknown_format".to_owned(), b"not json".to_vec()),
        ]
    );
    assert_eq!(delivery.manifest.units[0].events, 2);
    assert_eq!(delivery.manifest.rows(), 2);
}

#[test]
fn each_date_is_a_segment_and_units_know_their_rows() {
    let (first, second) = ("2026-11-02T23:59:59.999Z", "2026-11-03T00:00:00.000Z");
    let one = format!("{}\n{}\n{}\n", record(first), record(second), record(first));
    let two = format!("{}\n", record(first));
    let offset = one.len() as u64;
    let delivery = deliver(&[unit(one.as_bytes(), 0), unit(two.as_bytes(), offset)]);
    let dates: Vec<String> =
        delivery.manifest.files.iter().map(|file| file.event_date.to_string()).collect();
    assert_eq!(dates, ["2026-11-02", "2026-11-03"]);
    let rows = |unit: usize| -> Vec<(u64, u64)> {
        let rows = &delivery.manifest.units[unit].rows;
        rows.iter().map(|range| (range.first, range.count)).collect()
    };
    assert_eq!(rows(0), [(0, 2), (0, 1)]);
    assert_eq!(rows(1), [(2, 1)]);
}

#[test]
fn times_out_of_range_and_dates_beyond_the_limit_are_rejects() {
    let reasons = |text: &str| -> Vec<String> {
        rejects(&deliver(&[unit(text.as_bytes(), 0)])).into_iter().map(|(_, r, _)| r).collect()
    };
    let old = record("1999-12-31T23:59:59.999Z");
    let future = record("2026-11-20T00:00:00.000Z");
    assert_eq!(reasons(&old), ["event_time_out_of_range"]);
    assert_eq!(reasons(&future), ["event_time_out_of_range"]);
    let days: Vec<String> = (0..70)
        .map(|day| record(&format!("2026-{:02}-{:02}T00:00:00.000Z", 1 + day / 28, 1 + day % 28)))
        .collect();
    assert_eq!(reasons(&days.join("\n")), vec!["too_many_dates"; 70 - DELIVERY_DATES_MAX]);
}

#[test]
fn an_event_out_of_range_costs_its_neighbours_nothing() {
    let log = |time: &str| {
        let body = r#"{"stringValue":"hello"}"#;
        format!(r#"{{"timeUnixNano":"{time}","body":{body}}}"#)
    };
    let request = |times: &[&str]| {
        let logs: Vec<String> = times.iter().map(|time| log(time)).collect();
        let logs = logs.join(",");
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{logs}]}}]}}]}}"#)
    };
    let (good, old) = ("1793614531004112000", "1793614531004");
    // The old one alone goes to quarantine, as the record of a request of its own.
    let several = request(&[good, old, good]);
    let plain = record("2026-11-02T10:00:00.000Z");
    let delivery = deliver(&[unit(format!("{several}\n{plain}\n").as_bytes(), 0)]);
    assert_eq!(delivery.manifest.rows(), 3);
    let found = rejects(&delivery);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1.as_str()), (0, "event_time_out_of_range"));
    let text = std::str::from_utf8(&found[0].2).unwrap();
    assert!(text.contains(old) && !text.contains(good), "{text}");
    // Where none is good, the record is kept as it came.
    let none = request(&[old, old]);
    let delivery = deliver(&[unit(none.as_bytes(), 0)]);
    assert_eq!(delivery.manifest.rows(), 0);
    let expected = (0, "event_time_out_of_range".to_owned(), none.into_bytes());
    assert_eq!(rejects(&delivery), [expected]);
}

#[test]
fn an_overlong_record_over_two_units_is_kept_in_pieces() {
    let good = record("2026-11-02T10:00:00.000Z");
    let long = vec![b'x'; RECORD_BYTES_MAX + 1];
    let one = [good.as_bytes(), b"\n", &long].concat();
    let two = [b"yyy\n", good.as_bytes()].concat();
    let delivery = deliver(&[
        UnitBytes { cut_record: true, ..unit(&one, 0) },
        UnitBytes { continues_record: true, ..unit(&two, one.len() as u64) },
    ]);
    let pieces = rejects(&delivery);
    assert!(pieces.iter().all(|(_, reason, _)| reason == "record_too_long"));
    let together: Vec<u8> = pieces.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
    assert_eq!(together, [&long[..], b"yyy"].concat());
    assert_eq!(delivery.manifest.rows(), 2);
}

#[test]
fn a_reject_is_of_its_own_record_alone() {
    // A list of which one part is no log, then records that no dispatcher sees.
    let good = record("2026-11-02T10:00:00.000Z");
    let line = "[2026-11-02T10:00:00.000Z] \"GET /a HTTP/1.1\" 200 -";
    let text = format!("[{good},{{\"a\":1}}]\n{good}\n{line}\n");
    let delivery = deliver(&[unit(text.as_bytes(), 0)]);
    assert_eq!(delivery.manifest.units[0].events, 3);
    assert_eq!(delivery.manifest.units[0].rejects, 1);
    assert_eq!(rejects(&delivery).len(), 1);
}

/// All rows of a delivery, file by file.
fn rows(delivery: &Delivery) -> Vec<arrow::array::RecordBatch> {
    let read = |file: &EncodedFile| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
        reader.with_batch_size(64).build().unwrap().map(Result::unwrap)
    };
    delivery.files.iter().flat_map(read).collect()
}

/// The rows of lines in one format, each of which is read as a row of its own.
fn rows_of(lines: &[String], through_dispatcher: bool) -> Vec<arrow::array::RecordBatch> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let unit = unit(text.as_bytes(), 0);
    let id = UnitId::of_part(UnitId::STREAM_START, unit.sha256);
    let config = SourceConfig { transport: "file".to_owned(), ..SourceConfig::default() };
    let mut builder = DeliveryBuilder::new(config, vec![id], RECEIVED_AT_MICROS, SEED).unwrap();
    builder.only_dispatcher = through_dispatcher;
    let _ = builder.add_unit(unit).unwrap();
    rows(&judged(builder))
}

#[test]
fn text_lines_straight_to_columns_are_the_rows_of_the_dispatcher() {
    let cases = include_str!("../../../tests/data/envoy_text/cases.jsonl");
    let mut lines = Vec::new();
    for case in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let Some(record) = case["record"].as_str() else { continue };
        let is_line = record.starts_with('[') && !record.contains('\n');
        if is_line && record.get(1..5) == Some("2026") {
            lines.push(record.to_owned());
            // The same kind again, and one that differs in a value: an address, a flag, a code.
            lines.push(record.replace(" 200 ", " 503 "));
            lines.push(record.replace("10.", "172."));
            lines.push(record.replacen(" - ", " UF ", 1));
            lines.push(record.replace("GET", "PO\\\"ST"));
        }
    }
    assert!(lines.len() > 50, "{}", lines.len());
    let mut often = lines.clone();
    often.extend(lines.iter().rev().cloned());
    let (straight, slow) = (rows_of(&often, false), rows_of(&often, true));
    assert!(straight.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>() > 100);
    assert_eq!(straight, slow);
}

/// Lines of text of all fixtures, without those that hold several.
fn text_lines() -> Vec<String> {
    let files = [
        include_str!("../../../tests/data/envoy_text/cases.jsonl"),
        include_str!("../../../tests/data/ztunnel/cases.jsonl"),
        include_str!("../../../tests/data/linkerd/cases.jsonl"),
        include_str!("../../../tests/data/kubernetes/cases.jsonl"),
        include_str!("../../../tests/data/shippers/cases.jsonl"),
    ];
    let mut lines = Vec::new();
    for case in files.into_iter().flat_map(str::lines) {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let record = case["record"].as_str().unwrap_or_default();
        if record.len() > 40 && !record.starts_with('{') && !record.contains('\n') {
            lines.push(record.to_owned());
        }
    }
    lines.push(
        "[2026-11-02T00:00:00.047Z] \"GET /wishlists/69259?expand=products HTTP/1.1\" 200 - \
         via_upstream - \"-\" 0 2531 3 3 \"78.47.5.129\" \"Mozilla/5.0 (X11)\" \
         \"6a085a65-f639-4674-a248-800871c60cb2\" \"wishlist.shop.svc.cluster.local:8080\" \
         \"10.0.164.187:8080\" inbound|8080|| 127.0.0.6:36529 10.0.164.187:8080 \
         10.0.10.126:42898 outbound_.8080_._.wishlist.shop.svc.cluster.local default"
            .to_owned(),
    );
    lines
}

/// Lines as they are, with other digits, and damaged; each of them several times.
fn varied(lines: &[String], seed: u64) -> Vec<String> {
    let mut random = seed;
    let mut below = |end: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % end
    };
    let mut all = Vec::new();
    for line in lines {
        for round in 0..12 {
            let mut bytes = line.clone().into_bytes();
            // The date stays, as a delivery has few of them.
            let start = bytes.len().min(48);
            for byte in &mut bytes[start..] {
                if byte.is_ascii_digit() && below(3) == 0 {
                    *byte = b"0123456789"[below(10)];
                }
            }
            if round % 4 == 3 {
                let at = start + below(bytes.len() - start);
                bytes[at] = b"\" -/:=0x\\[]?\t"[below(13)];
                bytes.truncate(if below(3) == 0 { at } else { bytes.len() });
            }
            let Ok(text) = String::from_utf8(bytes) else { continue };
            for _ in 0..2 {
                all.push(text.clone());
            }
        }
    }
    for at in (1..all.len()).rev() {
        all.swap(at, below(at + 1));
    }
    all
}

#[test]
fn lines_by_template_are_the_rows_of_the_dispatcher() {
    let lines = text_lines();
    assert!(lines.len() > 150, "{}", lines.len());
    for seed in 0..8 {
        let varied = varied(&lines, seed);
        let (short, long) = (rows_of(&varied, false), rows_of(&varied, true));
        assert_eq!(short.len(), long.len(), "{seed}");
        for (short, long) in short.iter().zip(&long) {
            for (column, field) in short.schema().fields().iter().enumerate() {
                assert_eq!(short.column(column), long.column(column), "{seed} {}", field.name());
            }
        }
    }
}

#[test]
fn lines_that_come_again_need_no_parser() {
    let lines = text_lines();
    let often: Vec<String> = (0..6).flat_map(|_| lines.iter().cloned()).collect();
    let text: String = often.iter().map(|line| format!("{line}\n")).collect();
    let unit = unit(text.as_bytes(), 0);
    let id = UnitId::of_part(UnitId::STREAM_START, unit.sha256);
    let config = SourceConfig { transport: "file".to_owned(), ..SourceConfig::default() };
    let mut builder = DeliveryBuilder::new(config, vec![id], RECEIVED_AT_MICROS, SEED).unwrap();
    let _ = builder.add_unit(unit).unwrap();
    let (found, tries) = builder.templates.found();
    // A kind is parsed once before it is learned; odd lines and rejects have none.
    assert!(found * 3 > tries && tries > 500, "{found} of {tries}");
}
