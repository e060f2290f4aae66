//! Why files were read or not, in lines for a person.

use query_fn::Receipt;
use query_fn::explain::{Bounds, FilePruning, Outcome, Pruning, RowGroups, ScanPruning};

use crate::output::{bytes, count, counted, printable};

/// The lines, if the receipt says why.
pub(crate) fn text(receipt: &Receipt) -> Option<String> {
    let pruning = receipt.pruning.as_ref()?;
    if pruning.scans.is_empty() {
        return Some("no table of the archive is scanned".to_owned());
    }
    let many = pruning.scans.len() > 1;
    Some(lines(pruning, many).join("\n"))
}

fn lines(pruning: &Pruning, many: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, scan) in (1..).zip(&pruning.scans) {
        let which = if many { format!("scan {number}, ") } else { String::new() };
        lines.push(format!("{which}{}: {}", scan.table, summary(scan)));
        if !scan.conditions.is_empty() {
            lines.push(format!("  where {}", printable(&scan.conditions.join(" AND "), false)));
        }
        for pruned in &scan.pruned_by {
            let files = counted(pruned.files, "file", "files");
            lines.push(format!("  {files} skipped by {}", printable(&pruned.condition, false)));
        }
        lines.extend(scan.files.iter().map(|listed| file(listed, many)));
        if scan.files_left_out > 0 {
            lines.push(format!("  and {} more", counted(scan.files_left_out, "file", "files")));
        }
    }
    lines
}

fn summary(scan: &ScanPruning) -> String {
    let mut text = format!(
        "read {} of {}",
        count(scan.files_read),
        counted(scan.files_total, "file", "files")
    );
    for (files, why) in [
        (scan.files_pruned_partition, "skipped by date"),
        (scan.files_pruned_statistics, "skipped by statistics"),
        (scan.files_pruned_row_groups, "skipped by what is in the file"),
        (scan.files_not_needed, "not needed"),
    ] {
        if files > 0 {
            text.push_str(&format!(", {} {why}", count(files)));
        }
    }
    text
}

fn file(file: &FilePruning, many: bool) -> String {
    let mut text = match file.outcome {
        Outcome::Read => "  read    ".to_owned(),
        _ => "  skipped ".to_owned(),
    };
    text.push_str(&printable(&file.path, false));
    text.push_str(": ");
    text.push_str(&match (file.outcome, &file.condition) {
        (Outcome::Read, _) => counted(file.rows, "row", "rows"),
        (Outcome::PrunedRowGroups, _) => "nothing in it matches".to_owned(),
        (Outcome::NotNeeded, _) => "not needed".to_owned(),
        (_, Some(condition)) => printable(condition, false),
        (_, None) => "all conditions together".to_owned(),
    });
    let has: Vec<String> = file.bounds.iter().map(|known| bounds(known, file.rows)).collect();
    if !has.is_empty() {
        text.push_str(&format!("; the file has {}", has.join(", ")));
    }
    if let Some(groups) = &file.row_groups {
        text.push_str(&row_groups(groups));
    }
    if file.requests_by_query > 0 {
        text.push_str(&format!(
            "; {} in {}{}",
            bytes(file.bytes_read_by_query),
            counted(file.requests_by_query, "request", "requests"),
            if many { " of the whole query" } else { "" }
        ));
    }
    text
}

fn bounds(bounds: &Bounds, rows: u64) -> String {
    let column = &bounds.column;
    let known = match (&bounds.min, &bounds.max) {
        (Some(min), Some(max)) if min == max => format!("'{min}'"),
        (Some(min), Some(max)) => format!("'{min}' to '{max}'"),
        (Some(min), None) => format!("'{min}' or more"),
        (None, Some(max)) => format!("'{max}' or less"),
        (None, None) if bounds.nulls == Some(rows) => "NULL only".to_owned(),
        (None, None) => "values that are not known".to_owned(),
    };
    let nulls = match bounds.nulls {
        Some(nulls) if nulls > 0 && nulls < rows => {
            format!(" and NULL in {}", counted(nulls, "row", "rows"))
        }
        _ => String::new(),
    };
    printable(&format!("{column} {known}{nulls}"), false)
}

fn row_groups(groups: &RowGroups) -> String {
    let all = groups.pruned_statistics + groups.pruned_bloom + groups.not_needed + groups.read;
    let mut text =
        format!("; {} of {}", count(groups.read), counted(all, "row group", "row groups"));
    for (number, why) in [
        (groups.pruned_statistics, "excluded by statistics"),
        (groups.pruned_bloom, "excluded by a bloom filter"),
        (groups.not_needed, "not needed"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {} {why}", count(number)));
        }
    }
    if groups.rows_pruned_page_index > 0 {
        let rows = counted(groups.rows_pruned_page_index, "row", "rows");
        text.push_str(&format!(", {rows} excluded by the page index"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pruned(path: &str, outcome: Outcome) -> FilePruning {
        FilePruning {
            path: path.to_owned(),
            rows: 1_000,
            file_bytes: 50_000,
            outcome,
            condition: None,
            bounds: Vec::new(),
            row_groups: None,
            bytes_read_by_query: 0,
            requests_by_query: 0,
        }
    }

    #[test]
    fn each_file_has_its_reason() {
        let has = |column: &str, min: Option<&str>, max: Option<&str>, nulls| Bounds {
            column: column.to_owned(),
            min: min.map(str::to_owned),
            max: max.map(str::to_owned),
            nulls,
        };
        let scan = ScanPruning {
            table: "mesh_events",
            conditions: vec!["event_date = '2026-11-03'".to_owned(), "principal = 'x'".to_owned()],
            files_total: 1_005,
            files_read: 1,
            files_pruned_partition: 1_000,
            files_pruned_statistics: 2,
            files_pruned_row_groups: 1,
            files_not_needed: 1,
            pruned_by: Vec::new(),
            files: vec![
                FilePruning {
                    row_groups: Some(RowGroups {
                        pruned_statistics: 2,
                        pruned_bloom: 1,
                        not_needed: 0,
                        read: 1,
                        rows_pruned_page_index: 200,
                    }),
                    bytes_read_by_query: 12_300,
                    requests_by_query: 3,
                    ..pruned("a", Outcome::Read)
                },
                pruned("b", Outcome::PrunedRowGroups),
                pruned("c", Outcome::NotNeeded),
                FilePruning {
                    condition: Some("principal = 'x'".to_owned()),
                    bounds: vec![has("principal", Some("a"), Some("f\u{202e}"), Some(3))],
                    ..pruned("d", Outcome::PrunedStatistics)
                },
                FilePruning {
                    condition: Some("principal = 'x'".to_owned()),
                    bounds: vec![has("principal", None, None, Some(1_000))],
                    ..pruned("e", Outcome::PrunedStatistics)
                },
            ],
            files_left_out: 1_000,
        };
        let shown = lines(&Pruning { scans: vec![scan.clone()] }, false);
        assert_eq!(
            shown,
            [
                "mesh_events: read 1 of 1,005 files, 1,000 skipped by date, 2 skipped by \
                 statistics, 1 skipped by what is in the file, 1 not needed",
                "  where event_date = '2026-11-03' AND principal = 'x'",
                "  read    a: 1,000 rows; 1 of 4 row groups, 2 excluded by statistics, 1 excluded \
                 by a bloom filter, 200 rows excluded by the page index; 12.3 kB in 3 requests",
                "  skipped b: nothing in it matches",
                "  skipped c: not needed",
                "  skipped d: principal = 'x'; the file has principal 'a' to 'f\\u{202e}' and NULL \
                 in 3 rows",
                "  skipped e: principal = 'x'; the file has principal NULL only",
                "  and 1,000 files more",
            ]
        );
        let twice = lines(&Pruning { scans: vec![scan.clone(), scan] }, true);
        assert!(twice[0].starts_with("scan 1, mesh_events: read"), "{twice:?}");
        assert!(twice[2].ends_with("12.3 kB in 3 requests of the whole query"), "{twice:?}");
    }
}
