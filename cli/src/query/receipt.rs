//! A receipt as a sentence.

use std::time::Duration;

use archive::SealedThrough;
use query_fn::Receipt;

use crate::output::{bytes, count, counted, elapsed, printable};

/// The receipt in a sentence: rows, time, version, what was read and what was not.
pub(crate) fn text(receipt: &Receipt) -> String {
    let mut text = format!(
        "{} in {} from version {}",
        counted(receipt.rows_returned, "row", "rows"),
        elapsed(Duration::from_micros(receipt.elapsed_micros)),
        receipt.version,
    );
    match receipt.restricted {
        true => text.push_str(", of what the access policy shows"),
        false => text.push_str(&read(receipt)),
    }
    if receipt.mode == "strict" {
        text.push_str("; sealed data only");
        text.push_str(&sealed(receipt.sealed_through.as_ref()));
        if receipt.files_hashed {
            text.push_str("; every file it read has its SHA-256");
        }
    }
    if !receipt.complete {
        text.push_str("; not read to its end");
    }
    text
}

/// What was read and what was not.
fn read(receipt: &Receipt) -> String {
    let mut text = format!(
        ": read {} of {}",
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
    text
}

/// Which checkpoint a strict answer rests on, whose signature counted, and what was left out.
fn sealed(through: Option<&SealedThrough>) -> String {
    let Some(through) = through else {
        return ", which no ledger signs".to_owned();
    };
    let mut text = format!(", through version {} of root {}", through.version, through.root);
    match &through.signed_by {
        // The name alone; the key itself is in the receipt as JSON.
        Some(key) => {
            let name = key.split('+').next().unwrap_or_default();
            text.push_str(&format!(", signed by {}", printable(name, false)));
        }
        None => text.push_str(", whose signature was held against no policy"),
    }
    for witness in &through.witnesses {
        text.push_str(&format!(", witnessed by {}", printable(witness, false)));
    }
    let ignored = [
        (through.unsealed_commits_ignored, "unsealed commit", "unsealed commits"),
        (through.unsealed_manifests_ignored, "waiting manifest", "waiting manifests"),
    ];
    for (number, one, many) in ignored.into_iter().filter(|(number, ..)| *number > 0) {
        text.push_str(&format!("; {} ignored", counted(number, one, many)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_was_read_and_what_was_not() {
        let through = SealedThrough {
            version: 3,
            size: 4,
            root: "AAAA".to_owned(),
            origin: String::new(),
            signed_by: Some("mesh+01+AB".to_owned()),
            witnesses: vec!["w.example".to_owned()],
            delta_checkpoint: None,
            unsealed_commits_ignored: 1,
            unsealed_manifests_ignored: 2,
            checkpoint: String::new(),
        };
        let receipt = Receipt {
            sealed_through: Some(through.clone()),
            files_hashed: true,
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
            pruning: None,
            restricted: false,
        };
        assert_eq!(
            text(&receipt),
            "1 row in 84 ms from version 3: read 2 of 1,014 files (1,000 skipped by date, 12 \
             skipped by statistics), 1.20 MB in 14 requests; sealed data only, through version \
             3 of root AAAA, signed by mesh, witnessed by w.example; 1 unsealed commit \
             ignored; 2 waiting manifests ignored; every file it read has its SHA-256"
        );
        let hidden = Receipt { restricted: true, mode: "fresh", ..receipt.clone() };
        let shown = "1 row in 84 ms from version 3, of what the access policy shows";
        assert_eq!(text(&hidden), shown);
        let unsigned = SealedThrough {
            signed_by: None,
            witnesses: Vec::new(),
            unsealed_commits_ignored: 0,
            unsealed_manifests_ignored: 0,
            ..through
        };
        let end = |through| {
            text(&Receipt { sealed_through: through, files_hashed: false, ..receipt.clone() })
        };
        assert!(end(Some(unsigned)).ends_with("whose signature was held against no policy"));
        assert!(end(None).ends_with("sealed data only, which no ledger signs"));
    }
}
