//! What an ingestion came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::output::{bytes, count, counted, elapsed, printable, speed};

/// Places of rejected records that are shown.
const EXAMPLES_MAX: usize = 10;

/// How many of them may have the same reason: each reason is to be seen.
const EXAMPLES_PER_REASON_MAX: usize = 3;

/// The result of `ingest`; `--json` prints exactly this.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Inputs read, at least in part.
    pub(crate) files: u64,
    /// Units archived by this run.
    pub(crate) units: u64,
    /// Units that were in the archive already and were skipped.
    pub(crate) units_already_held: u64,
    /// Records that became events.
    pub(crate) events: u64,
    /// Records that are kept in quarantine.
    pub(crate) rejects: u64,
    /// How many rejects for which reason.
    pub(crate) reject_reasons: BTreeMap<String, u64>,
    /// How many credentials which rule took out.
    pub(crate) redactions: BTreeMap<String, u64>,
    /// Where the first rejects lie.
    pub(crate) reject_examples: Vec<Example>,
    /// Bytes of the units archived or skipped, once decompressed.
    pub(crate) bytes: u64,
    /// Bytes written into the archive.
    pub(crate) stored_bytes: u64,
    /// Inputs that could not be read to their end.
    pub(crate) errors: Vec<InputError>,
    /// Whether the user ended the run before its end.
    pub(crate) interrupted: bool,
    /// Wall-clock time.
    pub(crate) seconds: f64,
    /// Version of the archive after `--seal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sealed_version: Option<u64>,
}

/// Where a rejected record lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Example {
    /// The input.
    pub(crate) source: String,
    /// Where the record begins in the decompressed input.
    pub(crate) offset_bytes: u64,
    /// Its length.
    pub(crate) length_bytes: u64,
    /// Why it was rejected.
    pub(crate) reason: String,
    /// What exactly was wrong.
    pub(crate) detail: String,
}

/// An input that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InputError {
    /// The input.
    pub(crate) source: String,
    /// What went wrong, and where.
    pub(crate) message: String,
    /// Whether a limit ended it.
    #[serde(skip)]
    pub(crate) is_limit: bool,
}

impl Summary {
    /// Adds another run's result.
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.units += other.units;
        self.units_already_held += other.units_already_held;
        self.events += other.events;
        self.rejects += other.rejects;
        for (rule, count) in other.redactions {
            *self.redactions.entry(rule).or_default() += count;
        }
        for (reason, rejects) in other.reject_reasons {
            *self.reject_reasons.entry(reason).or_default() += rejects;
        }
        for example in other.reject_examples {
            self.add_example(example);
        }
        self.bytes += other.bytes;
        self.stored_bytes += other.stored_bytes;
        self.errors.extend(other.errors);
        self.interrupted |= other.interrupted;
    }

    /// Notes where a reject lies, unless enough is known.
    pub(crate) fn add_example(&mut self, example: Example) {
        let alike = self.reject_examples.iter().filter(|known| known.reason == example.reason);
        if alike.count() < EXAMPLES_PER_REASON_MAX && self.reject_examples.len() < EXAMPLES_MAX {
            self.reject_examples.push(example);
        }
    }

    /// The summary in sentences.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let time = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        // Writing to a String can not fail.
        let _ = writeln!(
            text,
            "Read {}, {} in {} ({}).",
            counted(self.files, "input", "inputs"),
            bytes(self.bytes),
            elapsed(time),
            speed(self.bytes, time)
        );
        let _ = writeln!(
            text,
            "Archived {}: {}, {}; {} stored.",
            counted(self.events + self.rejects, "record", "records"),
            counted(self.events, "event", "events"),
            counted(self.rejects, "reject", "rejects"),
            bytes(self.stored_bytes)
        );
        if self.units_already_held > 0 {
            let _ = writeln!(
                text,
                "Skipped {}, in the archive already.",
                counted(self.units_already_held, "part", "parts")
            );
        }
        if !self.redactions.is_empty() {
            let all = self.redactions.values().sum();
            let by_rule: Vec<String> =
                self.redactions.iter().map(|(rule, n)| format!("{} {rule}", count(*n))).collect();
            let _ = writeln!(
                text,
                "Redacted {}: {}.",
                counted(all, "credential", "credentials"),
                by_rule.join(", ")
            );
        }
        self.write_rejects(&mut text);
        for error in &self.errors {
            let _ = writeln!(
                text,
                "Not read to its end: {}: {}",
                printable(&error.source, false),
                printable(&error.message, false)
            );
        }
        if self.interrupted {
            text.push_str(
                "Interrupted. What is counted above is archived; run the same command again for \
                 the rest, nothing will be there twice.\n",
            );
        }
        text
    }

    fn write_rejects(&self, text: &mut String) {
        if self.rejects == 0 {
            return;
        }
        text.push_str("Rejects are kept in mesh_quarantine, by reason:\n");
        for (reason, rejects) in &self.reject_reasons {
            let _ = writeln!(text, "  {:>12}  {reason}", count(*rejects));
        }
        text.push_str("Some of them:\n");
        for example in &self.reject_examples {
            let _ = write!(
                text,
                "  {} at byte {}, {} long: {}",
                printable(&example.source, false),
                count(example.offset_bytes),
                counted(example.length_bytes, "byte", "bytes"),
                example.reason
            );
            let _ = writeln!(text, " ({})", printable(&example.detail, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(offset_bytes: u64) -> Example {
        Example {
            source: "a\x1b.log".to_owned(),
            offset_bytes,
            length_bytes: 1,
            reason: "invalid_json".to_owned(),
            detail: "found \x07".to_owned(),
        }
    }

    #[test]
    fn the_text_says_where_rejects_lie_and_is_safe() {
        let mut summary = Summary { files: 1, events: 1_999, ..Summary::default() };
        let rejects = Summary {
            files: 1,
            rejects: 1,
            units_already_held: 2,
            reject_reasons: [("invalid_json".to_owned(), 1)].into(),
            reject_examples: vec![example(12_001)],
            interrupted: true,
            ..Summary::default()
        };
        summary.add(rejects);
        let text = summary.text();
        assert!(text.starts_with("Read 2 inputs, 0 B in 0 ms"), "{text}");
        assert!(text.contains("Archived 2,000 records: 1,999 events, 1 reject; 0 B stored."));
        assert!(text.contains("Skipped 2 parts, in the archive already."));
        assert!(
            text.contains("a\\u{1b}.log at byte 12,001, 1 byte long: invalid_json (found \\u{7})")
        );
        assert!(text.contains("Interrupted."));
    }

    #[test]
    fn examples_stay_few_and_each_reason_is_seen() {
        let mut summary = Summary::default();
        for offset in 0..30 {
            summary.add_example(example(offset));
        }
        for reason in ["too_deep", "not_utf8"] {
            summary.add_example(Example { reason: reason.to_owned(), ..example(99) });
        }
        let offsets: Vec<u64> =
            summary.reject_examples.iter().map(|example| example.offset_bytes).collect();
        assert_eq!(offsets, [0, 1, 2, 99, 99]);
    }
}
