//! A receipt as a sentence.

use std::time::Duration;

use query_fn::Receipt;

use crate::output::{bytes, count, counted, elapsed};

/// The receipt in a sentence: rows, time, version, what was read and what was not.
pub(crate) fn text(receipt: &Receipt) -> String {
    let mut text = format!(
        "{} in {} from version {}: read {} of {}",
        counted(receipt.rows_returned, "row", "rows"),
        elapsed(Duration::from_micros(receipt.elapsed_micros)),
        receipt.version,
        count(receipt.files_read),
        counted(receipt.files_total, "file", "files"),
    );
    let pruned = [
        (receipt.files_pruned_partition, "skipped by date"),
        (receipt.files_pruned_statistics, "skipped by statistics"),
        (receipt.files_skipped, "not needed"),
    ];
    let pruned: Vec<String> = pruned
        .iter()
        .filter(|(files, _)| *files > 0)
        .map(|(files, why)| format!("{} {why}", count(*files)))
        .collect();
    if !pruned.is_empty() {
        text.push_str(&format!(" ({})", pruned.join(", ")));
    }
    text.push_str(&format!(
        ", {} in {}",
        bytes(receipt.bytes_read),
        counted(receipt.requests, "request", "requests")
    ));
    if receipt.unsealed_rows > 0 {
        text.push_str(&format!(
            "; {} not sealed yet",
            counted(receipt.unsealed_rows, "event", "events")
        ));
    }
    if !receipt.unreadable_manifests.is_empty() {
        let unreadable = u64::try_from(receipt.unreadable_manifests.len()).unwrap_or(u64::MAX);
        text.push_str(&format!(
            "; {} left out (`meshledger seal` says why)",
            counted(unreadable, "unreadable manifest", "unreadable manifests")
        ));
    }
    if receipt.mode == "strict" {
        text.push_str("; sealed data only");
    }
    if !receipt.complete {
        text.push_str("; not read to its end");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_was_read_and_what_was_not() {
        let receipt = Receipt {
            complete: true,
            version: 3,
            table_id: String::new(),
            mode: "strict",
            unsealed_manifests: 0,
            unsealed_rows: 0,
            unreadable_manifests: Vec::new(),
            files_total: 1_014,
            files_read: 2,
            files_pruned_partition: 1_000,
            files_pruned_statistics: 12,
            files_skipped: 0,
            row_groups_pruned_statistics: 0,
            row_groups_pruned_bloom: 0,
            row_groups_read: 0,
            rows_pruned_page_index: 0,
            rows_scanned: 5_000,
            rows_returned: 1,
            bytes_read: 1_200_000,
            requests: 14,
            snapshot_requests: 4,
            snapshot_bytes_read: 10_000,
            elapsed_micros: 84_000,
        };
        assert_eq!(
            text(&receipt),
            "1 row in 84 ms from version 3: read 2 of 1,014 files (1,000 skipped by date, 12 \
             skipped by statistics), 1.20 MB in 14 requests; sealed data only"
        );
    }
}
