//! What a query would cost, as a sentence.

use std::time::Duration;

use query_fn::Estimate;

use crate::output::{bytes, count, counted, elapsed};

/// The estimate in a sentence: bytes, requests, files, time, money, and what they rest on.
pub(crate) fn text(estimate: &Estimate) -> String {
    let known = estimate.bytes.zip(estimate.requests).zip(estimate.rows);
    let mut text = match known {
        Some(((read, requests), rows)) => format!(
            "{} {} in {}, {} from {}",
            if estimate.files_guessed == 0 { "at most" } else { "about" },
            bytes(read),
            counted(requests, "request", "requests"),
            counted(rows, "row", "rows"),
            files(estimate)
        ),
        None => format!(
            "nobody knows how much, as a part of the query repeats itself over {}",
            files(estimate)
        ),
    };
    text.push_str(&format!(", version {}", estimate.version));
    if estimate.mode == "strict" {
        text.push_str("; sealed data only");
    }
    if let Some((millis, dollars)) = estimate.cpu_millis.zip(estimate.dollars) {
        text.push_str(&format!(
            "; about {} of a processor to read that; ${dollars} ({})",
            elapsed(Duration::from_millis(millis)),
            estimate.prices.source
        ));
    }
    text.push_str("; the estimate took ");
    text.push_str(&counted(estimate.estimate_requests, "request", "requests"));
    text
}

/// Which files are read.
fn files(estimate: &Estimate) -> String {
    let mut text =
        format!("{} of {}", count(estimate.files), counted(estimate.files_total, "file", "files"));
    let skipped = [
        (estimate.files_pruned_partition, "skipped by date"),
        (estimate.files_pruned_statistics, "skipped by statistics"),
    ];
    let skipped = skipped.iter().filter(|(files, _)| *files > 0);
    let skipped: Vec<String> =
        skipped.map(|(files, why)| format!("{} {why}", count(*files))).collect();
    if !skipped.is_empty() {
        text.push_str(&format!(" ({})", skipped.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use query_fn::{Dollars, Prices};

    use super::*;

    #[test]
    fn the_sentence_says_what_it_would_cost_and_by_which_prices() {
        let prices = Prices {
            source: "list price of somebody",
            get_request: Dollars::of_nanos(400),
            cpu_second: Dollars::default(),
        };
        let estimate = Estimate {
            version: 3,
            table_id: String::new(),
            mode: "strict",
            files_total: 1_014,
            files_pruned_partition: 1_000,
            files_pruned_statistics: 12,
            files: 2,
            rows: Some(5_000),
            bytes: Some(1_200_000),
            requests: Some(14),
            cpu_millis: Some(51),
            dollars: Some(Dollars::of_nanos(5_600)),
            prices,
            files_sampled: 1,
            files_guessed: 0,
            estimate_requests: 4,
            estimate_bytes_read: 70_000,
            elapsed_micros: 12_000,
        };
        assert_eq!(
            text(&estimate),
            "at most 1.20 MB in 14 requests, 5,000 rows from 2 of 1,014 files (1,000 skipped by \
             date, 12 skipped by statistics), version 3; sealed data only; about 51 ms of a \
             processor to read that; $0.0000056 (list price of somebody); the estimate took 4 \
             requests"
        );
        let guessed = Estimate { files_guessed: 1, ..estimate.clone() };
        assert!(text(&guessed).starts_with("about 1.20 MB in 14 requests"));
        let endless = Estimate {
            mode: "fresh",
            rows: None,
            bytes: None,
            requests: None,
            cpu_millis: None,
            dollars: None,
            files_pruned_partition: 0,
            files_pruned_statistics: 0,
            files: 1,
            files_total: 1,
            estimate_requests: 1,
            ..estimate
        };
        assert_eq!(
            text(&endless),
            "nobody knows how much, as a part of the query repeats itself over 1 of 1 file, \
             version 3; the estimate took 1 request"
        );
    }
}
