//! A Parquet file's footer, read without the file around it. The bytes may be hostile.

use common::FormatError;
use common::manifest::FileEntry;
use common::schema::{COLUMNS, quarantine_schema};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::claims::{as_committed, difference};
use super::finding::Code;
use crate::background;
use crate::encode::{SEGMENT_KEY, file_stats};
use crate::error::ArchiveError;
use crate::rows::row_key;
use crate::store::Store;

/// Bytes fetched at first from the end of a file; most footers fit.
const TAIL_BYTES: u64 = 64 * 1024;

/// Longest footer that is read, in bytes.
const FOOTER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Footer length and magic at the very end.
const TRAILER_BYTES: usize = 8;

/// What is wrong with a file: a code, what was expected and what found.
pub(super) type Wrong = (Code, String, String);

/// Checks an event file's footer against its description.
pub(super) async fn check_events(
    store: &Store,
    entry: &FileEntry,
) -> Result<Option<Wrong>, ArchiveError> {
    let tail = match read_tail(store, &entry.path, entry.bytes).await? {
        Ok(tail) => tail,
        Err(error) => return Ok(Some(wrong_footer(&error.expected, &error.found))),
    };
    let entry = entry.clone();
    let object = store.object_url(&entry.path);
    let checked = background::run(&object, move || match decode(&tail) {
        Ok(metadata) => compare_events(&metadata, &entry),
        Err(found) => Some(wrong_footer("a Parquet footer", &found)),
    });
    Ok(match checked.await {
        Ok(wrong) => wrong,
        Err(panicked) => Some(wrong_footer("a Parquet footer", &panicked.to_string())),
    })
}

/// Checks a quarantine file's footer: how many rows.
pub(super) async fn check_quarantine(
    store: &Store,
    path: &str,
    bytes: u64,
    rows: u64,
) -> Result<Option<Wrong>, ArchiveError> {
    let tail = match read_tail(store, path, bytes).await? {
        Ok(tail) => tail,
        Err(error) => return Ok(Some(wrong_footer(&error.expected, &error.found))),
    };
    let checked = background::run(path, move || match decode(&tail) {
        Ok(metadata) => {
            let columns = metadata.file_metadata().schema_descr().num_columns();
            let expected = quarantine_schema().fields().len();
            if columns != expected {
                return Some(wrong_footer(&format!("{expected} columns"), &columns.to_string()));
            }
            compare_rows(&metadata, rows)
        }
        Err(found) => Some(wrong_footer("a Parquet footer", &found)),
    });
    Ok(match checked.await {
        Ok(wrong) => wrong,
        Err(panicked) => Some(wrong_footer("a Parquet footer", &panicked.to_string())),
    })
}

fn wrong_footer(expected: &str, found: &str) -> Wrong {
    let error = FormatError::new("footer", expected, found);
    (Code::FileRows, error.expected, error.found)
}

/// The last bytes of a file, the whole footer included.
async fn read_tail(
    store: &Store,
    path: &str,
    bytes: u64,
) -> Result<Result<Vec<u8>, FormatError>, ArchiveError> {
    let wrong = |expected: &str, found: String| Ok(Err(FormatError::new(path, expected, found)));
    let tail = store.get_range(path, bytes.saturating_sub(TAIL_BYTES)..bytes).await?;
    let tail = tail.unwrap_or_default();
    let trailer = tail.len().checked_sub(TRAILER_BYTES).and_then(|start| tail.get(start..));
    let Some(&[a, b, c, d, b'P', b'A', b'R', b'1']) = trailer else {
        return wrong("a Parquet footer at the end", format!("{} bytes", tail.len()));
    };
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
    if footer_bytes > FOOTER_BYTES_MAX.min(bytes) {
        return wrong("a footer within the file", format!("one of {footer_bytes} bytes"));
    }
    if footer_bytes <= TAIL_BYTES.min(bytes) {
        return Ok(Ok(tail.to_vec()));
    }
    let whole = store.get_range(path, bytes.saturating_sub(footer_bytes)..bytes).await?;
    Ok(Ok(whole.unwrap_or_default().to_vec()))
}

fn decode(tail: &[u8]) -> Result<ParquetMetaData, String> {
    let trailer = tail.len().saturating_sub(TRAILER_BYTES);
    let length = tail.get(trailer..trailer + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    let length = usize::try_from(length.map_or(0, u32::from_le_bytes)).unwrap_or(usize::MAX);
    let footer = trailer.checked_sub(length).and_then(|start| tail.get(start..trailer));
    let footer = footer.ok_or_else(|| "a footer longer than the file".to_owned())?;
    ParquetMetaDataReader::decode_metadata(footer).map_err(|e| e.to_string())
}

fn compare_rows(metadata: &ParquetMetaData, rows: u64) -> Option<Wrong> {
    let mut found = 0u64;
    for group in metadata.row_groups() {
        found = found.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
    }
    let total = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    if found == rows && total == rows {
        return None;
    }
    let shown = format!("{total} rows, {found} in its row groups");
    Some((Code::FileRows, format!("{rows} rows"), shown))
}

fn compare_events(metadata: &ParquetMetaData, entry: &FileEntry) -> Option<Wrong> {
    let file = metadata.file_metadata();
    let columns = file.schema_descr().columns();
    let names = columns.iter().map(|c| c.path().parts().first().map(String::as_str));
    if !names.eq(COLUMNS.iter().map(|column| Some(column.name))) {
        return Some(wrong_footer("the columns of this format", "others"));
    }
    if metadata.row_groups().iter().any(|group| group.num_columns() != COLUMNS.len()) {
        return Some(wrong_footer("every column in every row group", "fewer"));
    }
    if let Some(wrong) = compare_rows(metadata, entry.rows) {
        return Some(wrong);
    }
    let pairs = file.key_value_metadata().into_iter().flatten();
    let named: Vec<Option<&str>> =
        pairs.filter(|pair| pair.key == SEGMENT_KEY).map(|pair| pair.value.as_deref()).collect();
    let segment = entry.segment.to_string();
    if named != [Some(segment.as_str())] {
        let found = named.first().copied().flatten().unwrap_or("no segment");
        return Some((Code::FileRows, format!("segment {segment}"), found.to_owned()));
    }
    if let Err(error) = row_key(file.key_value_metadata()) {
        return Some(wrong_footer("one row key", &error.to_string()));
    }
    let mut by_footer = entry.clone();
    by_footer.stats = file_stats(metadata);
    if let Some(times) = by_footer.stats.get("event_time")
        && let (Some(common::stats::StatValue::Int(min)), Some(common::stats::StatValue::Int(max))) =
            (&times.min, &times.max)
    {
        by_footer.event_time_micros_min = *min;
        by_footer.event_time_micros_max = *max;
    }
    let expected = as_committed(entry);
    let found = as_committed(&by_footer);
    if expected.is_some() && expected == found {
        return None;
    }
    let (expected, found) =
        difference(&expected.unwrap_or_else(|| entry.clone()), &found.unwrap_or(by_footer));
    Some((Code::Stats, expected, found))
}
