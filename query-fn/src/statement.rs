//! The statement of an answer: what was asked, of what, and what came of it, so that anybody who
//! can read the archive can ask again and compare (docs/receipts.md).

use std::time::Duration;

use arrow::datatypes::Schema;
use common::Sha256Digest;
use common::date::rfc3339;
use common::ledger::is_of_table;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tlog::Checkpoint;
use tlog::note::Note;
use tlog::policy::Policy;

use crate::digest::{Digested, type_name};
use crate::error::{Code, QueryError};
use crate::request::{Limits, Param, ParamKind, Request};
use crate::rows::escape_json;

/// What stands at the begin of every statement of this form.
pub const STATEMENT_TYPE: &str = "mesh-archive-answer/v1";

/// How the rows of an answer are digested.
pub const DIGEST_ALGORITHM: &str = "mesh-archive-rows/v1";

/// Longest statement that is read, in bytes: an SQL text of the greatest length, each byte of it
/// escaped, and as much for its parameters.
pub const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The statement of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was made, by its maker's clock.
    pub created_at: String,
    /// Program and version that made it.
    pub program: String,
    /// The SQL, as it was asked.
    pub sql: String,
    /// Name of the question whose SQL it is, if it is a named one's.
    pub question: Option<String>,
    /// Parameters, by name.
    pub parameters: Vec<StatedParameter>,
    /// What it was asked of.
    pub archive: StatedArchive,
    /// What the archive rests on.
    pub ledger: StatedLedger,
    /// Whether each file was hashed before a part of it was used.
    pub files_hashed: bool,
    /// Within which the answer was had; they never change an answer.
    pub limits: StatedLimits,
    /// What came of it.
    pub result: StatedResult,
    /// The file that the rows were written to, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<StatedExport>,
    /// SHA-256 over all other members (docs/receipts.md 2.3).
    pub statement_sha256: Sha256Digest,
}

/// A parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedParameter {
    /// Name, without the `$`.
    pub name: String,
    /// `text`, `integer` or `timestamp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value as a text; none if it is NULL.
    pub value: Option<String>,
}

/// Which archive, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedArchive {
    /// Its table id.
    pub table_id: String,
    /// The version that answered.
    pub version: u64,
}

/// The ledger, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedLedger {
    /// Its identity.
    pub origin: String,
    /// Commits that it covered.
    pub size: u64,
    /// Root of the tree over them, in base64.
    pub root: String,
    /// The signed checkpoint that says so.
    pub checkpoint: String,
}

/// Limits of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedLimits {
    /// Most memory for operators, in bytes.
    pub memory_bytes: u64,
    /// Most rows.
    pub rows: Option<u64>,
    /// Most bytes read.
    pub bytes: Option<u64>,
    /// Longest time.
    pub milliseconds: u64,
}

/// The rows, by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedResult {
    /// Columns, in their order.
    pub columns: Vec<StatedColumn>,
    /// How many rows.
    pub rows: u64,
    /// Whether the query orders them, and the digest their order.
    pub ordered: bool,
    /// [`DIGEST_ALGORITHM`].
    pub digest_algorithm: String,
    /// The digest.
    pub digest: Sha256Digest,
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedColumn {
    /// Name.
    pub name: String,
    /// Type (docs/receipts.md 3.2).
    #[serde(rename = "type")]
    pub kind: String,
}

/// A file that the rows were written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedExport {
    /// Its name, without the folder.
    pub name: String,
    /// `csv`, `ndjson`, `arrow` or `parquet`.
    pub format: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// The file with proofs of the events beside it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<StatedProofs>,
}

/// A file with proofs of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedProofs {
    /// Its name, without the folder.
    pub name: String,
    /// How many events it proves.
    pub events: u64,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
}

/// What a statement says beside what the engine knows.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The wall clock, in microseconds since 1970 UTC.
    pub now_micros: i64,
    /// Name of the question, if it is a named one.
    pub question: Option<String>,
    /// The file that the rows were written to, if they were.
    pub export: Option<StatedExport>,
}

/// What the engine knows of an answer that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Known<'a> {
    pub(crate) request: &'a Request,
    pub(crate) limits: &'a Limits,
    pub(crate) table_id: &'a str,
    pub(crate) version: u64,
    pub(crate) through: &'a archive::SealedThrough,
    pub(crate) files_hashed: bool,
    pub(crate) result: StatedResult,
}

impl Statement {
    pub(crate) fn of(known: Known<'_>, about: About) -> Self {
        let Known { request, limits, through, .. } = known;
        let statement = Self {
            kind: STATEMENT_TYPE.to_owned(),
            created_at: rfc3339(about.now_micros, 6),
            program: common::WRITER.to_owned(),
            sql: request.sql.clone(),
            question: about.question,
            parameters: request.params.iter().map(StatedParameter::of).collect(),
            archive: StatedArchive { table_id: known.table_id.to_owned(), version: known.version },
            ledger: StatedLedger {
                origin: through.origin.clone(),
                size: through.size,
                root: through.root.clone(),
                checkpoint: through.checkpoint.clone(),
            },
            files_hashed: known.files_hashed,
            limits: StatedLimits {
                memory_bytes: u64::try_from(limits.held_bytes_max()).unwrap_or(u64::MAX),
                rows: limits.rows_max,
                bytes: limits.scan_bytes_max,
                milliseconds: millis(limits.time),
            },
            result: known.result,
            export: about.export,
            statement_sha256: Sha256Digest::of(b""),
        };
        statement.sealed()
    }

    /// With the digest that its other members have.
    fn sealed(self) -> Self {
        Self { statement_sha256: self.members_sha256(), ..self }
    }

    /// The same, of an answer whose rows were written to a file.
    #[must_use]
    pub fn with_export(self, export: StatedExport) -> Self {
        Self { export: Some(export), ..self }.sealed()
    }

    /// SHA-256 over all members but the last one, as JSON without white space, names ascending.
    fn members_sha256(&self) -> Sha256Digest {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Value::Object(members) = &mut value {
            let _ = members.remove("statement_sha256");
        }
        Sha256Digest::of(value.to_string().as_bytes())
    }

    /// As it is written: JSON for people and programs, with a newline at the end. What could drive
    /// a terminal is escaped.
    pub fn to_text(&self) -> String {
        // Texts and numbers can always be written.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        String::from_utf8(escape_json(text)).unwrap_or_default()
    }

    /// Reads a statement and checks what it says of itself.
    ///
    /// # Errors
    /// What is not as it was written.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStatement> {
        let wrong = |text: String| MalformedStatement(text);
        if bytes.len() > STATEMENT_BYTES_MAX {
            let found = bytes.len();
            return Err(wrong(format!(
                "expected at most {STATEMENT_BYTES_MAX} bytes, found {found}"
            )));
        }
        let statement: Self = serde_json::from_slice(bytes).map_err(|e| wrong(shown(&e)))?;
        let expected = [
            ("type", STATEMENT_TYPE, &statement.kind),
            ("digest_algorithm", DIGEST_ALGORITHM, &statement.result.digest_algorithm),
        ];
        for (member, expected, found) in expected {
            if expected != found {
                return Err(wrong(format!("{member}: expected {expected}, found {found}")));
            }
        }
        let (stated, found) = (statement.statement_sha256, statement.members_sha256());
        if stated != found {
            return Err(wrong(format!(
                "statement_sha256: expected {found}, as its other members give, found {stated}: \
                 something in it was changed"
            )));
        }
        statement.ledger.check(&statement.archive).map_err(wrong)?;
        Ok(statement)
    }

    /// The question it states, of the version it was asked of.
    ///
    /// # Errors
    /// If a parameter is none.
    pub fn request(&self) -> Result<Request, QueryError> {
        let params = self.parameters.iter().map(|one| {
            let kind = ParamKind::of_name(&one.kind).ok_or_else(|| {
                let text = format!(
                    "parameter {}: expected type text, integer or timestamp, found {}",
                    one.name, one.kind
                );
                QueryError::new(Code::Parameter, text)
            })?;
            let value = match &one.value {
                Some(text) => Param::parse(&one.name, kind, text)?,
                None => Param::null(kind),
            };
            Ok::<_, QueryError>((one.name.clone(), value))
        });
        Ok(Request {
            params: params.collect::<Result<_, _>>()?,
            as_of: Some(self.archive.version),
            repeatable: true,
            ..Request::new(self.sql.clone(), archive::Mode::Strict)
        })
    }
}

/// Why something is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedStatement(String);

impl StatedLedger {
    /// The checkpoint says what is said of it, and is of the archive and its version.
    fn check(&self, archive: &StatedArchive) -> Result<(), String> {
        let note = Note::parse(self.checkpoint.as_bytes());
        let head = note.and_then(|note| Checkpoint::parse(&note.text));
        let head = head.map_err(|e| format!("ledger.checkpoint: {e}"))?;
        let stated = (&*self.origin, self.size, &*self.root);
        let root = head.root.to_string();
        if stated != (&*head.origin, head.size, &*root) {
            return Err(format!(
                "ledger: expected what its checkpoint says, {} of size {} and root {root}, found \
                 {} of size {} and root {}",
                head.origin, head.size, self.origin, self.size, self.root
            ));
        }
        if !is_of_table(&self.origin, &archive.table_id) {
            let (origin, id) = (&self.origin, &archive.table_id);
            return Err(format!("ledger: expected one of table {id}, found {origin}"));
        }
        if archive.version >= self.size {
            let (version, size) = (archive.version, self.size);
            return Err(format!("archive.version: expected one below {size}, found {version}"));
        }
        Ok(())
    }

    /// The key that signed the checkpoint, if a policy knows it and the signature is right.
    pub fn signed_by(&self, policy: &Policy) -> Option<String> {
        let note = Note::parse(self.checkpoint.as_bytes()).ok()?;
        policy.signed(&note).ok().map(|(_, key)| key.to_string())
    }
}

impl StatedParameter {
    fn of((name, value): &(String, Param)) -> Self {
        let (kind, value) = match value {
            Param::Text(text) => (ParamKind::Text, text.clone()),
            Param::Integer(number) => (ParamKind::Integer, number.map(|n| n.to_string())),
            Param::Timestamp(micros) => {
                (ParamKind::Timestamp, micros.map(|micros| rfc3339(micros, 6)))
            }
        };
        Self { name: name.clone(), kind: kind.name().to_owned(), value }
    }
}

impl StatedResult {
    pub(crate) fn of(schema: &Schema, digested: Digested) -> Self {
        let columns = schema.fields().iter().map(|field| StatedColumn {
            name: field.name().clone(),
            kind: type_name(field.data_type()).unwrap_or_default(),
        });
        Self {
            columns: columns.collect(),
            rows: digested.rows,
            ordered: digested.is_ordered,
            digest_algorithm: DIGEST_ALGORITHM.to_owned(),
            digest: digested.root,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The parser's words, which may quote what it read.
fn shown(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(500).collect()
}

#[cfg(test)]
mod tests;
