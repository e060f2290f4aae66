//! Statistics of a file for manifests and commits, from what its footer holds anyway.

use common::limits::STATS_STRING_BYTES_MAX;
use common::schema::{COLUMNS, Column, ColumnType};
use common::stats::{ColumnStats, FileStats, StatValue};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

/// File statistics from the footer: exact bounds only, and only for columns that carry them.
pub fn file_stats(metadata: &ParquetMetaData) -> FileStats {
    COLUMNS
        .iter()
        .enumerate()
        .filter(|(_, column)| column.stats)
        .filter_map(|(leaf, column)| {
            column_stats(metadata, leaf, column).map(|stats| (column.name.to_owned(), stats))
        })
        .collect()
}

fn column_stats(metadata: &ParquetMetaData, leaf: usize, column: &Column) -> Option<ColumnStats> {
    let mut merged: Option<ColumnStats> = None;
    for group in metadata.row_groups() {
        let chunk = group.column(leaf);
        let statistics = chunk.statistics()?;
        let nulls = statistics.null_count_opt()?;
        let rows = u64::try_from(group.num_rows()).ok()?;
        let (min, max) = bounds(statistics, column.kind);
        let part = ColumnStats { min, max, nulls };
        merged = Some(match merged {
            None => part,
            Some(before) => merge(before, part, nulls == rows),
        });
    }
    merged
}

/// Merges two row groups. A bound missing from one is unknown for both, unless the later group is
/// all NULL, which changes nothing.
fn merge(before: ColumnStats, part: ColumnStats, part_all_null: bool) -> ColumnStats {
    let nulls = before.nulls.saturating_add(part.nulls);
    if part_all_null {
        return ColumnStats { nulls, ..before };
    }
    let both = |a: Option<StatValue>,
                b: Option<StatValue>,
                pick_second: fn(&StatValue, &StatValue) -> bool| {
        match (a, b) {
            (Some(a), Some(b)) => Some(if pick_second(&a, &b) { b } else { a }),
            _ => None,
        }
    };
    ColumnStats {
        min: both(before.min, part.min, |a, b| less(b, a)),
        max: both(before.max, part.max, less),
        nulls,
    }
}

fn less(a: &StatValue, b: &StatValue) -> bool {
    match (a, b) {
        (StatValue::Int(a), StatValue::Int(b)) => a < b,
        (StatValue::Bool(a), StatValue::Bool(b)) => a < b,
        (StatValue::Text(a), StatValue::Text(b)) => a < b,
        _ => false,
    }
}

fn bounds(statistics: &Statistics, kind: ColumnType) -> (Option<StatValue>, Option<StatValue>) {
    match (kind, statistics) {
        (ColumnType::Boolean, Statistics::Boolean(s)) => {
            (s.min_opt().map(|v| StatValue::Bool(*v)), s.max_opt().map(|v| StatValue::Bool(*v)))
        }
        (ColumnType::Int32, Statistics::Int32(s)) => (
            s.min_opt().map(|v| StatValue::Int(i64::from(*v))),
            s.max_opt().map(|v| StatValue::Int(i64::from(*v))),
        ),
        (ColumnType::Int64 | ColumnType::Timestamp, Statistics::Int64(s)) => {
            (s.min_opt().map(|v| StatValue::Int(*v)), s.max_opt().map(|v| StatValue::Int(*v)))
        }
        (ColumnType::Utf8, Statistics::ByteArray(s)) => {
            let text = |bytes: Option<&[u8]>, exact: bool| {
                let text = bytes.filter(|_| exact).and_then(|b| std::str::from_utf8(b).ok())?;
                (text.len() <= STATS_STRING_BYTES_MAX).then(|| StatValue::Text(text.to_owned()))
            };
            (text(s.min_bytes_opt(), s.min_is_exact()), text(s.max_bytes_opt(), s.max_is_exact()))
        }
        _ => (None, None),
    }
}
