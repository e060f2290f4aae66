//! What an entry says; docs/format.md, "Query trail", is its form.

use common::Sha256Digest;
use common::date::rfc3339;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Literals;
use super::literals::redacted;
use crate::receipt::{Receipt, mode_name};
use crate::request::{Param, Request};

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request,
    /// The question's name, if the SQL is one's of the collection.
    pub question: Option<&'a str>,
    /// Whether it was asked what the query would cost, and not for its rows.
    pub dry_run: bool,
}

/// One query.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Names the query; never the same for two.
    pub id: &'a str,
    /// When it began, microseconds since 1970 UTC.
    pub time_micros: i64,
    /// Who asked, if somebody knows.
    pub who: Option<&'a str>,
    /// None if the request was none.
    pub asked: Option<Asked<'a>>,
    /// What was read for it, if it began.
    pub receipt: Option<&'a Receipt>,
    /// Digest of its rows.
    pub result_digest: Option<&'a str>,
    /// `ok`, or the code of its error.
    pub outcome: &'a str,
    /// Microseconds from the request to its answer.
    pub elapsed_micros: u64,
}

/// Longest SQL and longest parameters in an entry, in bytes. A message of SQS has 256 KiB, and
/// JSON may take six bytes for one.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Written in this order. The members that are objects or hold free text are texts, so that the
/// view `query_trail` finds the others by their names.
#[derive(Serialize)]
struct Line<'a> {
    meshledger_query: u8,
    time: String,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql_bytes: Option<usize>,
    literals: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restricted: Option<bool>,
    outcome: &'a str,
    elapsed_us: u64,
}

impl Entry<'_> {
    /// The entry as a line of JSON, without its end.
    pub(super) fn line(&self, literals: Literals) -> String {
        let sql = self.asked.map(|asked| asked.request.sql.as_str());
        let shown = match literals {
            Literals::Kept => sql.map(str::to_owned),
            // A question's text is public.
            Literals::Redacted if self.asked.is_some_and(|asked| asked.question.is_some()) => {
                sql.map(str::to_owned)
            }
            Literals::Redacted => sql.and_then(redacted),
        };
        let mode = self.asked.map(|asked| mode_name(asked.request.mode));
        let receipt = self.receipt;
        let line = Line {
            meshledger_query: 1,
            time: rfc3339(self.time_micros, 6),
            id: self.id,
            who: self.who,
            sql: shown.as_deref().map(cut),
            sql_sha256: sql.map(|sql| Sha256Digest::of(sql.as_bytes()).to_string()),
            sql_bytes: sql.map(str::len),
            literals: match literals {
                Literals::Kept => "kept",
                Literals::Redacted => "redacted",
            },
            question: self.asked.and_then(|asked| asked.question),
            parameters: self.asked.and_then(|asked| parameters(asked.request, literals)),
            mode,
            dry_run: self.asked.is_some_and(|asked| asked.dry_run).then_some(true),
            version: receipt.map(|receipt| receipt.version),
            files: receipt.map(|receipt| receipt.files_read),
            bytes: receipt.map(|receipt| receipt.bytes_read),
            rows: receipt.map(|receipt| receipt.rows_returned),
            result_digest: self.result_digest,
            restricted: receipt.map(|receipt| receipt.restricted),
            outcome: self.outcome,
            elapsed_us: self.elapsed_micros,
        };
        // A struct of texts and numbers can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The parameters as the text of a JSON object.
fn parameters(request: &Request, literals: Literals) -> Option<String> {
    if request.params.is_empty() {
        return None;
    }
    let value = |param: &Param| match (literals, param) {
        (Literals::Redacted, _) => json!("?"),
        (_, Param::Text(text)) => json!(text),
        (_, Param::Timestamp(micros)) => json!(micros.map(|micros| rfc3339(micros, 6))),
        (_, Param::Integer(number)) => json!(number),
    };
    let all = request.params.iter().map(|(name, param)| (name.clone(), value(param)));
    let all = Value::Object(all.collect::<Map<_, _>>()).to_string();
    Some(cut(&all).to_owned())
}

/// What of a text goes into an entry.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use archive::snapshot::Mode;

    use super::*;

    fn entry<'a>(request: &'a Request, question: Option<&'a str>) -> Entry<'a> {
        Entry {
            id: "q-1",
            time_micros: 1_793_614_531_000_000,
            who: Some("secret:ann"),
            asked: Some(Asked { request, question, dry_run: false }),
            receipt: None,
            result_digest: None,
            outcome: "SYNTAX",
            elapsed_micros: 12,
        }
    }

    fn read(entry: &Entry<'_>, literals: Literals) -> Value {
        let line = entry.line(literals);
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn an_entry_has_the_digest_of_what_was_sent_whatever_it_shows() {
        let sql = "SELECT 'bob'\nFROM mesh_events";
        let mut request = Request::new(sql, Mode::Strict);
        request.params.push(("p".to_owned(), Param::Text(Some("carol".to_owned()))));
        let kept = read(&entry(&request, None), Literals::Kept);
        assert_eq!(kept["sql"], sql);
        assert_eq!(kept["parameters"], r#"{"p":"carol"}"#);
        assert_eq!(kept["time"], "2026-11-02T10:15:31.000000Z");
        assert_eq!((&kept["who"], &kept["mode"]), (&json!("secret:ann"), &json!("strict")));
        let redacted = read(&entry(&request, None), Literals::Redacted);
        assert_eq!(redacted["sql"], "SELECT ?\nFROM mesh_events");
        assert_eq!(redacted["parameters"], r#"{"p":"?"}"#);
        // printf 'SELECT '\''bob'\''\nFROM mesh_events' | sha256sum
        let digest = "17784f1cc2117be8c014f2595733c374bbdab332dd8aec3cf51b0b09dff17fcc";
        for entry in [&kept, &redacted] {
            assert_eq!(entry["sql_sha256"], digest);
            assert_eq!(entry["sql_bytes"], sql.len());
        }
        assert_eq!(read(&entry(&request, Some("q")), Literals::Redacted)["sql"], sql);
        let broken = Request::new("SELECT 'open", Mode::Fresh);
        assert_eq!(read(&entry(&broken, None), Literals::Redacted)["sql"], Value::Null);
    }

    #[test]
    fn an_entry_fits_a_message_whatever_was_asked() {
        let mut request = Request::new("\u{1}".repeat(300_000), Mode::Fresh);
        request.params.push(("p".to_owned(), Param::Text(Some("\u{1}".repeat(300_000)))));
        let line = entry(&request, None).line(Literals::Kept);
        assert!(line.len() < 256 * 1024, "{}", line.len());
        let request = Request::new("é".repeat(20_000), Mode::Fresh);
        assert_eq!(read(&entry(&request, None), Literals::Kept)["sql"], "é".repeat(8_192));
    }
}
