//! Our own query trail: one JSON object for each query that somebody asked of an archive.
//!
//! The query function writes it (`query-fn/src/trail`); the form is docs/format.md's, "Query
//! trail". The SQL stands in `statement`, who asked in `principal`, and what no column holds in
//! `attributes`.

use common::event::{Decision, EventKind};
use memchr::memmem::Finder;

use super::consul::values::{self, Object, put};
use super::event::{Context, Event, Events, Row};
use super::fields as f;
use super::json::{Scanner, Seen};
use super::leftovers::{self, Direct};
use crate::reject::{Reason, Reject};

/// Text of column `source_format`.
pub const SOURCE_FORMAT: &str = "meshledger_query";

mod top {
    super::values::keys! {
        MARK = "meshledger_query",
        TIME = "time",
        ID = "id",
        WHO = "who",
        SQL = "sql",
        OUTCOME = "outcome",
        ELAPSED_US = "elapsed_us",
    }
}

/// Top-level keys that columns hold.
pub const DIRECT: &[Direct] = &[
    (top::ID, f::REQUEST_ID),
    (top::WHO, f::PRINCIPAL),
    (top::SQL, f::STATEMENT),
    (top::OUTCOME, f::DECISION_REASON),
    (top::ELAPSED_US, f::DURATION_US),
];

/// Names of keys, and which of them columns hold.
pub const HELD: (&[&str], &[Direct]) = (top::NAMES, DIRECT);

/// Parses entries of the trail, one at a time.
#[derive(Debug)]
pub struct QueryParser {
    mark: Finder<'static>,
    top: Scanner,
}

impl Default for QueryParser {
    fn default() -> Self {
        Self::new()
    }
}

impl QueryParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self { mark: Finder::new("\"meshledger_query\""), top: Scanner::new(top::NAMES) }
    }

    /// Whether a record is an entry: its `meshledger_query` is a version that is known.
    pub fn detects(&mut self, record: &[u8]) -> bool {
        record.trim_ascii_start().first() == Some(&b'{')
            && self.mark.find(record).is_some()
            && self.top.scan(record, Seen::default()).is_ok()
            && self.is_entry(record)
    }

    /// The scanner of records.
    pub(in crate::parse) fn top(&mut self) -> &mut Scanner {
        &mut self.top
    }

    /// As [`Self::detects`], of the record scanned last.
    pub(in crate::parse) fn detects_scanned(&self, record: &[u8]) -> bool {
        self.is_entry(record)
    }

    fn is_entry(&self, record: &[u8]) -> bool {
        Object { scanner: &self.top, text: record }.whole(top::MARK) == Some(VERSION)
    }

    /// Appends the record's event.
    ///
    /// # Errors
    /// A reject, and no event, if the record is no JSON object, no entry (unless the source is
    /// configured to have this format) or has no time.
    pub fn parse(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        if let Err(reject) = self.top.scan(record, context.seen()) {
            return Err(if context.forced { guess(reject) } else { reject });
        }
        self.parse_scanned(record, context, events)
    }

    /// As [`Self::parse`], of a record that was just scanned.
    ///
    /// # Errors
    /// The same, broken JSON aside.
    pub(in crate::parse) fn parse_scanned(
        &mut self,
        record: &[u8],
        context: &Context<'_>,
        events: &mut Events,
    ) -> Result<(), Reject> {
        let entry = Object { scanner: &self.top, text: record };
        if !context.forced && !self.is_entry(record) {
            let detail = format!("expected meshledger_query {VERSION}, found another");
            return Err(Reject::new(Reason::UnknownFormat, detail));
        }
        let time_micros =
            entry.time(top::TIME).ok_or_else(|| values::no_time("time", SOURCE_FORMAT))?;
        let event = events.begin();
        event.int64(f::EVENT_TIME, time_micros);
        fill(&entry, event);
        for (column, value) in &context.envelope.columns {
            event.text(*column, value.as_bytes());
        }
        leftovers::finish(event, &self.top, record, DIRECT, context);
        Ok(())
    }
}

/// The version of the form.
const VERSION: i64 = 1;

/// OCSF's class "Datastore Activity" and its activity "Query".
const OCSF_CLASS: i32 = 6005;
const OCSF_QUERY: i32 = 4;

fn guess(reject: Reject) -> Reject {
    Reject { format_guess: Some(SOURCE_FORMAT), ..reject }
}

fn fill(entry: &Object<'_, '_>, event: &mut Event) {
    event.text(f::EVENT_TIME_SOURCE, b"payload");
    event.text(f::MESH, b"other");
    event.text(f::SOURCE_FORMAT, SOURCE_FORMAT.as_bytes());
    event.bool(f::TLS_FAILURE, false);
    values::put_class(event, EventKind::Statement, OCSF_CLASS, OCSF_QUERY);
    let outcome = entry.text(top::OUTCOME);
    let decision = match outcome.as_deref() {
        Some(b"ok") => Decision::Allow,
        Some(b"ACCESS" | b"REFUSED") => Decision::Deny,
        Some(_) => Decision::Error,
        None => Decision::Unknown,
    };
    values::put_decision(event, decision, None);
    put(event, f::DECISION_REASON, outcome.as_deref());
    put(event, f::REQUEST_ID, entry.text(top::ID).as_deref());
    put(event, f::PRINCIPAL, entry.text(top::WHO).as_deref());
    put(event, f::STATEMENT, entry.text(top::SQL).as_deref());
    if let Some(micros) = entry.whole(top::ELAPSED_US) {
        event.int64(f::DURATION_US, micros);
    }
    if entry.repeated() {
        values::put_ambiguous(event, values::REPEATED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::SourceFormat;
    use crate::parse::cases::{self, RECEIVED_AT_MICROS};
    use crate::parse::detect::Dispatcher;

    const ENTRY: &str = concat!(
        r#"{"meshledger_query":1,"time":"2026-11-02T10:15:31.25Z","id":"q-1","who":"secret:ann","#,
        r#""sql":"SELECT \"a\"\nFROM t","outcome":"ok","elapsed_us":1200,"rows":3}"#
    );

    fn parsed(source: SourceFormat, record: &str) -> Result<Events, Reject> {
        let mut events = Events::default();
        let context = Context::default();
        Dispatcher::new().parse(source, record.as_bytes(), &context, &mut events)?;
        Ok(events)
    }

    #[test]
    fn every_case_has_the_rows_worked_out_by_hand() {
        let mut dispatcher = Dispatcher::new();
        cases::check(
            "query_trail",
            |_| true,
            |source, record, events| {
                let context =
                    Context { received_at_micros: RECEIVED_AT_MICROS, ..Context::default() };
                dispatcher.parse(source.parse().unwrap(), record, &context, events)
            },
        );
    }

    #[test]
    fn an_entry_becomes_a_statement_of_who_asked() {
        for source in [SourceFormat::Auto, SourceFormat::MeshledgerQuery] {
            let events = parsed(source, ENTRY).unwrap();
            let [event] = events.all() else { panic!("expected one event") };
            let text = |column| std::str::from_utf8(event.text_of(column).unwrap()).unwrap();
            assert_eq!(text(f::SOURCE_FORMAT), "meshledger_query");
            assert_eq!(text(f::EVENT_KIND), "statement");
            assert_eq!(text(f::PRINCIPAL), "secret:ann");
            assert_eq!(text(f::REQUEST_ID), "q-1");
            assert_eq!(text(f::STATEMENT), "SELECT \"a\"\nFROM t");
            assert_eq!(text(f::DECISION), "allow");
            assert_eq!(text(f::DECISION_REASON), "ok");
            assert_eq!(event.int_of(f::DURATION_US), Some(1_200));
            assert_eq!(event.int_of(f::EVENT_TIME), Some(1_793_614_531_250_000));
            let kept = r#"{"meshledger_query":1,"time":"2026-11-02T10:15:31.25Z","rows":3}"#;
            assert_eq!(text(f::ATTRIBUTES), kept);
        }
    }

    #[test]
    fn an_outcome_says_whether_it_was_allowed() {
        for (outcome, decision) in
            [("ok", "allow"), ("ACCESS", "deny"), ("REFUSED", "deny"), ("SYNTAX", "error")]
        {
            let record = ENTRY.replace("\"ok\"", &format!("\"{outcome}\""));
            let events = parsed(SourceFormat::Auto, &record).unwrap();
            assert_eq!(events.all()[0].text_of(f::DECISION), Some(decision.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_entry_is_rejected() {
        for record in [
            ENTRY.replace(":1,\"time\"", ":2,\"time\""),
            ENTRY.replace("2026-11-02T", "yesterday "),
            ENTRY.replace("\"meshledger_query\"", "\"meshledger_querx\""),
            r#"{"a":"\"meshledger_query\":1"}"#.to_owned(),
        ] {
            assert!(parsed(SourceFormat::Auto, &record).is_err(), "{record}");
        }
    }
}
