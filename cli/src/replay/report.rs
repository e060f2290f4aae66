//! What a replay came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::output::{bytes, count, counted, elapsed, printable};

/// The result of `quarantine replay`; `--json` prints exactly this.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Nothing was written.
    pub(crate) dry_run: bool,
    /// All records together.
    #[serde(flatten)]
    pub(crate) all: Counts,
    /// The same for each reason.
    pub(crate) reasons: BTreeMap<String, Counts>,
    /// Events that the understood records became, or would become.
    pub(crate) events: u64,
    /// Deliveries written.
    pub(crate) deliveries: u64,
    /// Bytes written into the archive.
    pub(crate) stored_bytes: u64,
    /// Whether the user ended the run before its end.
    pub(crate) interrupted: bool,
    /// Wall-clock time.
    pub(crate) seconds: f64,
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Tried again.
    pub(crate) tried: u64,
    /// Of these, understood now.
    pub(crate) understood: u64,
    /// Of these, still not understood.
    pub(crate) still_not_understood: u64,
    /// Not tried: replayed before, or at the same time by somebody else.
    pub(crate) already_replayed: u64,
    /// Not tried: pieces of records that were too long or cut.
    pub(crate) pieces: u64,
}

impl Counts {
    /// One more was tried, and is understood.
    pub(super) fn understood(&mut self) {
        self.tried += 1;
        self.understood += 1;
    }

    /// One more was tried, and is still not understood.
    pub(super) fn still_not(&mut self) {
        self.tried += 1;
        self.still_not_understood += 1;
    }
}

impl Report {
    /// Counts a record of this reason.
    pub(crate) fn count(&mut self, reason: &str, change: impl Fn(&mut Counts)) {
        change(&mut self.all);
        match self.reasons.get_mut(reason) {
            Some(counts) => change(counts),
            None => change(self.reasons.entry(reason.to_owned()).or_default()),
        }
    }

    /// The report in sentences.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let time = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        // Writing to a String can not fail.
        let _ = writeln!(
            text,
            "Tried {} of the quarantine again in {}: {} now understood, {} still not.",
            counted(self.all.tried, "record", "records"),
            elapsed(time),
            count(self.all.understood),
            count(self.all.still_not_understood)
        );
        let skipped = [
            (self.all.already_replayed, "replayed already"),
            (self.all.pieces, "pieces of records that were too long or cut"),
        ];
        for (records, why) in skipped.iter().filter(|(records, _)| *records > 0) {
            let _ = writeln!(text, "Left out {}: {why}.", count(*records));
        }
        if !self.reasons.is_empty() {
            text.push_str("By reason: understood, still not, replayed already, pieces\n");
        }
        for (reason, counts) in &self.reasons {
            let _ = writeln!(
                text,
                "  {:>10} {:>10} {:>10} {:>10}  {}",
                count(counts.understood),
                count(counts.still_not_understood),
                count(counts.already_replayed),
                count(counts.pieces),
                printable(reason, false)
            );
        }
        self.write_end(&mut text);
        text
    }

    fn write_end(&self, text: &mut String) {
        let events = counted(self.events, "event", "events");
        let deliveries = counted(self.deliveries, "delivery", "deliveries");
        let stored = bytes(self.stored_bytes);
        if self.dry_run {
            let _ = writeln!(text, "A dry run: nothing was written; it would be {events}.");
        } else if self.deliveries > 0 {
            let _ = writeln!(text, "Archived {events} in {deliveries}; {stored} stored.");
            text.push_str("Queries see them already; `meshledger seal` commits them.\n");
        } else {
            text.push_str("Nothing was added.\n");
        }
        if self.interrupted {
            text.push_str(
                "Interrupted. What is counted above is done; run the same command again for the \
                 rest, nothing will be there twice.\n",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_became_of_the_records_and_is_safe() {
        let mut report = Report { events: 2, deliveries: 1, ..Report::default() };
        report.count("unknown_format", Counts::understood);
        report.count("later\x1b", Counts::understood);
        report.count("later\x1b", |counts| counts.already_replayed += 1_000);
        report.count("record_too_long", |counts| counts.pieces += 3);
        let text = report.text();
        assert!(text.starts_with(
            "Tried 2 records of the quarantine again in 0 ms: 2 now understood, 0 still not.\n\
             Left out 1,000: replayed already.\n\
             Left out 3: pieces of records that were too long or cut.\n"
        ));
        assert!(text.contains("           1          0      1,000          0  later\\u{1b}\n"));
        assert!(text.contains("Archived 2 events in 1 delivery; 0 B stored.\n"));
        report.dry_run = true;
        assert!(report.text().contains("nothing was written; it would be 2 events"));
        assert!(Report::default().text().ends_with("Nothing was added.\n"));
    }
}
