//! Good files, and files and descriptions that lie in one thing each.

use common::row::{RowKey, RowSeed};
use common::{DeliveryId, SegmentId, Sha256Digest};

use super::*;
use crate::SegmentEncoder;
use crate::encode::EncodedFile;

/// 2026-11-02T10:15:31Z, in microseconds.
const NOON: i64 = 1_793_614_531_000_000;

fn index(name: &str) -> usize {
    column_index(name).unwrap()
}

/// What a test does otherwise than a writer should, for a row.
type Change<'a> = &'a dyn Fn(&mut SegmentEncoder, i64);

/// A file of three row groups and several pages, whose first values of some columns are the
/// smallest, with something set before everything else.
fn file_with(rows: i64, change: Change<'_>) -> EncodedFile {
    let date = EventDate::of_micros(NOON);
    let segment = SegmentId::of(DeliveryId(Sha256Digest::of(b"d")), date);
    let key = RowKey::of_segment(RowSeed::new([9; 32]), segment);
    let mut encoder = SegmentEncoder::new(segment, date, key).unwrap();
    for row in 0..rows {
        change(&mut encoder, row);
        encoder.text(index("segment"), segment.to_string().as_bytes());
        encoder.int64(index("segment_row"), row);
        encoder.int64(index("event_time"), NOON + row % 977);
        encoder.int64(index("ingest_time"), NOON);
        if row % 3 > 0 {
            encoder
                .text(index("principal"), format!("principal-{:03}", 100 + row % 700).as_bytes());
        }
        encoder.text(index("request_id"), format!("request-{row:08}").as_bytes());
        encoder.bool(index("mtls"), row % 2 == 0);
        encoder.bool(index("tls_failure"), false);
        encoder.int32(index("http_status"), 200 + i32::try_from(row % 9).unwrap());
        let flags: &[&[u8]] = if row % 4 == 0 { &[] } else { &[b"UAEX", b"RL"] };
        encoder.list(index("response_flags"), flags.iter().copied());
        for column in COLUMNS.iter().filter(|column| !column.nullable) {
            match column.kind {
                ColumnType::Utf8 => encoder.text(index(column.name), b"x"),
                ColumnType::Int32 => encoder.int32(index(column.name), 1),
                _ => {}
            }
        }
        encoder.end_row().unwrap();
        if row == rows / 3 || row == rows / 2 {
            encoder.close_group().unwrap();
        }
    }
    encoder.finish().unwrap()
}

fn file() -> EncodedFile {
    file_with(40_000, &|_, _| {})
}

fn codes(found: &[RowsWrong]) -> Vec<&str> {
    found.iter().map(|wrong| wrong.code.as_str()).collect()
}

/// The one thing that is wrong: its code, expected and found.
#[track_caller]
fn one(bytes: &Bytes, entry: &FileEntry) -> (Code, String, String) {
    let mut found = check_rows(bytes.clone(), entry);
    assert_eq!(found.len(), 1, "{found:?}");
    let wrong = found.remove(0);
    (wrong.code, wrong.expected, wrong.found)
}

#[test]
fn a_good_file_is_right_as_its_manifest_and_as_its_commit_describe_it() {
    for rows in [1, 2, 40_000] {
        let file = file_with(rows, &|_, _| {});
        assert_eq!(check_rows(file.bytes.clone(), &file.entry), []);
        let committed = as_committed(&file.entry).unwrap();
        assert_eq!(committed == file.entry, rows == 1, "times are rounded");
        assert_eq!(check_rows(file.bytes.clone(), &committed), []);
    }
}

#[test]
fn descriptions_that_lie_are_found() {
    let file = file_with(3000, &|_, _| {});
    let lie = |change: &dyn Fn(&mut FileEntry)| {
        let mut entry = file.entry.clone();
        change(&mut entry);
        assert_ne!(entry, file.entry);
        one(&file.bytes, &entry)
    };
    let code = |change: &dyn Fn(&mut FileEntry)| lie(change).0;
    assert_eq!(code(&|entry| entry.row_root = Sha256Digest::of(b"")), Code::RowRoot);
    let other = SegmentId::of(DeliveryId(Sha256Digest::of(b"e")), file.entry.event_date);
    assert_eq!(code(&|entry| entry.segment = other), Code::FileRows);
    let found = lie(&|entry| entry.event_time_micros_max -= 1);
    assert_eq!(found.0, Code::Stats, "{found:?}");
    let stats = |name: &str, change: &dyn Fn(&mut ColumnStats)| {
        let found = lie(&|entry| change(entry.stats.get_mut(name).unwrap()));
        assert_eq!(found.0, Code::Stats);
        assert!(found.1.contains(name) && found.2.contains(name), "{found:?}");
    };
    stats("principal", &|stats| stats.nulls -= 1);
    stats("principal", &|stats| stats.min = Some(StatValue::Text("principal-101a".into())));
    // Wider than the values is no bound of this format either.
    stats("principal", &|stats| stats.max = Some(StatValue::Text("zzz".into())));
    stats("http_status", &|stats| stats.max = Some(StatValue::Int(207)));
    stats("tls_failure", &|stats| stats.min = Some(StatValue::Bool(true)));
    stats("event_time", &|stats| stats.max = Some(StatValue::Int(NOON)));
    // A bound that is not known is no lie.
    let mut silent = file.entry.clone();
    silent.stats.get_mut("principal").unwrap().max = None;
    let _ = silent.stats.remove("http_status");
    assert_eq!(check_rows(file.bytes.clone(), &silent), []);
    let mut longer = file.entry.clone();
    longer.rows += 1;
    let found = check_rows(file.bytes.clone(), &longer);
    assert!(codes(&found).contains(&"FILE_ROWS"), "{found:?}");
}

#[test]
fn rows_out_of_place_are_found() {
    let wrong = |change: Change<'_>| {
        let file = file_with(3000, change);
        let found = check_rows(file.bytes, &file.entry);
        assert_eq!(codes(&found), ["FILE_ROWS"], "{found:?}");
        found[0].found.clone()
    };
    let segment_row = index("segment_row");
    let found = wrong(&|rows, row| rows.int64(segment_row, if row == 2000 { 2001 } else { row }));
    assert_eq!(found, "segment_row: 2001");
    let segment = index("segment");
    let found = wrong(&|rows, row| {
        if row == 2999 {
            rows.text(segment, b"elsewhere");
        }
    });
    assert_eq!(found, "segment: elsewhere");
}

#[test]
fn a_time_on_another_date_is_found() {
    let file = file_with(3000, &|_, _| {});
    let mut entry = file.entry;
    // As an attacker would describe the file, path and all.
    entry.event_date = EventDate::of_micros(NOON + 86_400_000_000);
    let found = check_rows(file.bytes, &entry);
    assert!(codes(&found).contains(&"FILE_ROWS"), "{found:?}");
}

/// Replaces all of `from` in a range of a file's bytes by `to`, which is as long.
fn patched(bytes: &Bytes, range: std::ops::Range<usize>, from: &[u8], to: &[u8]) -> Bytes {
    assert_eq!(from.len(), to.len());
    let mut patched = bytes.to_vec();
    let mut count = 0;
    for at in range.start..range.end - from.len() {
        if &patched[at..at + from.len()] == from {
            patched[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    assert!(count > 0);
    patched.into()
}

fn metadata(bytes: &Bytes) -> Arc<ParquetMetaData> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options);
    Arc::clone(reader.unwrap().metadata())
}

/// Where the footer begins, and where the indexes of pages do.
fn footer_and_index(bytes: &Bytes) -> (usize, usize) {
    let trailer = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().unwrap());
    let metadata = metadata(bytes);
    let first = metadata.row_groups().iter().flat_map(|group| group.columns());
    let first = first.filter_map(|column| column.column_index_offset()).min().unwrap();
    (trailer - usize::try_from(length).unwrap(), usize::try_from(first).unwrap())
}

#[test]
fn statistics_in_the_footer_that_hide_a_value_are_found() {
    let file = file();
    let (footer, _) = footer_and_index(&file.bytes);
    let lies: [(&[u8], &[u8]); 4] = [
        // The least principal is no longer within the bounds; then the greatest; then what is
        // called exact is no value.
        (b"principal-100", b"principal-1zz"),
        (b"principal-799", b"principal-700"),
        (b"principal-799", b"principal-79~"),
        (b"request-00000000", b"request-00000001"),
    ];
    for (from, to) in lies {
        let bytes = patched(&file.bytes, footer..file.bytes.len(), from, to);
        // Sealed with the lie from the start: the description says what the footer says.
        let mut entry = file.entry.clone();
        entry.stats = crate::encode::file_stats(&metadata(&bytes));
        let found = check_rows(bytes, &entry);
        assert!(found.iter().all(|wrong| wrong.code == Code::Stats), "{found:?}");
        let place = String::from_utf8_lossy(&from[..7]).into_owned();
        assert!(found.iter().any(|wrong| wrong.found.contains(&place)), "{found:?}");
        assert!(found.iter().any(|wrong| wrong.found.contains("row group")), "{found:?}");
    }
}

#[test]
fn bounds_of_pages_and_bloom_filters_that_hide_a_value_are_found() {
    let file = file();
    let (footer, indexes) = footer_and_index(&file.bytes);
    let bytes = patched(&file.bytes, indexes..footer, b"principal-100", b"principal-1zz");
    let (code, expected, found) = one(&bytes, &file.entry);
    assert_eq!(code, Code::Stats);
    assert!(expected.contains("principal-100") && found.contains("in a page"), "{found}");

    let column = index("request_id");
    let chunks = metadata(&file.bytes);
    let chunk = chunks.row_group(1).column(column);
    let start = usize::try_from(chunk.bloom_filter_offset().unwrap()).unwrap();
    let length = usize::try_from(chunk.bloom_filter_length().unwrap()).unwrap();
    let mut bytes = file.bytes.to_vec();
    // The filter's own header stays.
    bytes[start + 64..start + length].fill(0);
    let (code, expected, found) = one(&bytes.into(), &file.entry);
    assert_eq!(code, Code::Stats);
    assert!(expected.starts_with("request_id bloom filter") && found.contains("missing"));
}

#[test]
fn bytes_that_are_no_such_file_are_found() {
    let file = file_with(10, &|_, _| {});
    let half = file.bytes.slice(..file.bytes.len() / 2);
    assert_eq!(one(&half, &file.entry).0, Code::FileRows);
    assert_eq!(one(&Bytes::new(), &file.entry).0, Code::FileRows);
    let (footer, _) = footer_and_index(&file.bytes);
    let other = patched(&file.bytes, footer..file.bytes.len(), b"row_key", b"row_kez");
    assert_eq!(one(&other, &file.entry).0, Code::RowRoot);
}
