//! The request, as JSON.

use std::fmt;
use std::time::Duration;

use archive::snapshot::Mode;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::Failure;
use super::event::REQUEST_BYTES_MAX;
use crate::error::{Code, QueryError};
use crate::prices::Dollars;
use crate::questions::{QuestionParam, Questions};
use crate::request::{Bounds, Caps, Param, ParamKind, Request};

/// What is asked, and in which form the answer is wanted.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) request: Request,
    /// Name of the question, if it is a named one.
    pub(super) question: Option<String>,
    pub(super) format: Format,
    pub(super) delivery: Delivery,
    /// Whether it is asked what the query would cost, and not for its rows.
    pub(super) dry_run: bool,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Delivery {
    /// Handed over if it is short enough, else by URL.
    #[default]
    Auto,
    /// Handed over, or not at all.
    Inline,
    /// By URL.
    Url,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Json | Self::Ndjson | Self::Csv)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sql: Option<String>,
    question: Option<String>,
    #[serde(default)]
    parameters: Pairs,
    mode: Option<ModeName>,
    as_of: Option<u64>,
    format: Option<Format>,
    limits: Option<LimitsBody>,
    caps: Option<CapsBody>,
    dry_run: Option<bool>,
    delivery: Option<Delivery>,
    receipt: Option<ReceiptKind>,
    explain: Option<Explain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Explain {
    Pruning,
}

/// What the answer's receipt holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReceiptKind {
    /// What the answer rests on and what it cost.
    #[default]
    Plain,
    /// And, beside it, a statement that can be checked by asking again.
    Statement,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Fresh,
    Strict,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    rows: Option<u64>,
    bytes: Option<u64>,
    milliseconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CapsBody {
    bytes: Option<u64>,
    requests: Option<u64>,
    dollars: Option<Value>,
}

/// A parameter that says its type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
    value: Value,
}

/// Members of an object in their order; a name that comes twice is an error.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if pairs.len() >= PARAMETERS_MAX {
                        return Err(A::Error::custom(format!(
                            "expected at most {PARAMETERS_MAX} parameters"
                        )));
                    }
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("parameter {name} was given twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Ask {
    /// Reads a request.
    ///
    /// # Errors
    /// `TOO_LARGE` or `REQUEST`, naming what is wrong; `PARAMETER` for what does not fit a
    /// question.
    pub(super) fn parse(bytes: &[u8], questions: &Questions) -> Result<Self, Failure> {
        if bytes.len() > REQUEST_BYTES_MAX {
            let message = format!(
                "the request has {} bytes, at most {REQUEST_BYTES_MAX} are read",
                bytes.len()
            );
            return Err(Failure::too_large(message));
        }
        let body: Body = serde_json::from_slice(bytes).map_err(|e| {
            Failure::request(format!("expected a request like {EXAMPLE}, found {}", shown(&e)))
        })?;
        let repeatable = body.receipt.unwrap_or_default() == ReceiptKind::Statement;
        let mode = match (body.mode, repeatable) {
            (Some(ModeName::Strict), _) | (None, true) => Mode::Strict,
            (Some(ModeName::Fresh) | None, false) => Mode::Fresh,
            (Some(ModeName::Fresh), true) => {
                let message =
                    "expected mode strict, found fresh: a statement rests on what is signed";
                return Err(Failure::request(message));
            }
        };
        let question = body.question.clone();
        let given = body.parameters.0;
        let request = match (body.sql, body.question) {
            (Some(sql), None) => {
                let params = given.into_iter().map(|(name, value)| {
                    let param = plain(&name, &value)?;
                    Ok((name, param))
                });
                let params = params.collect::<Result<Vec<_>, QueryError>>()?;
                Request { params, ..Request::new(sql, mode) }
            }
            (None, Some(name)) => {
                // What is null is as if it were left out.
                let given: Vec<_> =
                    given.into_iter().filter(|(_, value)| !value.is_null()).collect();
                questions.get(&name)?.request_with(&given, mode, of_question)?
            }
            (Some(_), Some(_)) => {
                return Err(Failure::request("expected sql or question, found both"));
            }
            (None, None) => {
                return Err(Failure::request(format!(
                    "expected a request like {EXAMPLE}, found neither sql nor question"
                )));
            }
        };
        let bounds = bounds(body.limits.unwrap_or_default())?;
        let caps = caps(body.caps.unwrap_or_default())?;
        let explain_pruning = matches!(body.explain, Some(Explain::Pruning));
        let as_of = body.as_of;
        Ok(Self {
            request: Request { as_of, bounds, caps, explain_pruning, repeatable, ..request },
            question,
            format: body.format.unwrap_or_default(),
            delivery: body.delivery.unwrap_or_default(),
            dry_run: body.dry_run.unwrap_or_default(),
        })
    }
}

fn bounds(limits: LimitsBody) -> Result<Bounds, Failure> {
    let all = [limits.rows, limits.bytes, limits.milliseconds];
    if all.into_iter().flatten().any(|limit| limit == 0) {
        return Err(Failure::request("expected limits of at least 1, found 0"));
    }
    Ok(Bounds {
        rows_max: limits.rows,
        scan_bytes_max: limits.bytes,
        time: limits.milliseconds.map(Duration::from_millis),
        deadline: None,
    })
}

fn caps(caps: CapsBody) -> Result<Caps, Failure> {
    if [caps.bytes, caps.requests].into_iter().flatten().any(|cap| cap == 0) {
        return Err(Failure::request("expected caps of at least 1, found 0"));
    }
    let amount = |value: Value| {
        let amount = value.as_str().and_then(Dollars::parse);
        amount.filter(|amount| *amount > Dollars::default()).ok_or_else(|| {
            let found: String = value.to_string().chars().take(100).collect();
            Failure::request(format!(
                "caps.dollars: expected an amount above 0 as a text like \"0.05\", with at most nine \
                 digits behind the point, found {found}"
            ))
        })
    };
    let dollars = caps.dollars.map(amount).transpose()?;
    Ok(Caps { bytes: caps.bytes, requests: caps.requests, dollars })
}

/// A parameter of SQL: its type is that of its JSON, or said.
fn plain(name: &str, value: &Value) -> Result<Param, QueryError> {
    match value {
        Value::String(text) => Ok(Param::Text(Some(text.clone()))),
        Value::Null => Ok(Param::Text(None)),
        Value::Number(number) => {
            number.as_i64().map(|n| Param::Integer(Some(n))).ok_or_else(|| {
                wrong(name, "a whole number of 64 bits, or a text that the SQL casts", value)
            })
        }
        Value::Object(_) => {
            let typed = typed(name, value)?;
            of_kind(name, kind(name, &typed)?, &typed.value)
        }
        Value::Bool(_) | Value::Array(_) => Err(wrong(name, EXPECTED, value)),
    }
}

/// A parameter of a question, whose header says the type.
fn of_question(param: &QuestionParam, value: &Value) -> Result<Param, QueryError> {
    if value.is_object() {
        let typed = typed(&param.name, value)?;
        let kind = kind(&param.name, &typed)?;
        if kind != param.kind {
            let text = format!(
                "parameter {}: expected type {}, found {}",
                param.name,
                param.kind.name(),
                kind.name()
            );
            return Err(QueryError::new(Code::Parameter, text));
        }
        return of_kind(&param.name, kind, &typed.value);
    }
    of_kind(&param.name, param.kind, value)
}

fn of_kind(name: &str, kind: ParamKind, value: &Value) -> Result<Param, QueryError> {
    match value {
        Value::Null => Ok(Param::null(kind)),
        Value::String(text) => Param::parse(name, kind, text),
        Value::Number(number) if kind == ParamKind::Integer => {
            Param::parse(name, kind, &number.to_string())
        }
        _ => Err(wrong(name, &format!("a {}, as a text", kind.name()), value)),
    }
}

fn typed(name: &str, value: &Value) -> Result<Typed, QueryError> {
    Typed::deserialize(value).map_err(|_| wrong(name, EXPECTED, value))
}

fn kind(name: &str, typed: &Typed) -> Result<ParamKind, QueryError> {
    ParamKind::of_name(&typed.kind).ok_or_else(|| {
        let found: String = typed.kind.chars().take(40).collect();
        let text =
            format!("parameter {name}: expected type text, integer or timestamp, found {found}");
        QueryError::new(Code::Parameter, text)
    })
}

fn wrong(name: &str, expected: &str, found: &Value) -> QueryError {
    let found: String = found.to_string().chars().take(100).collect();
    let text = format!("parameter {name}: expected {expected}, found {found}");
    QueryError::new(Code::Parameter, text)
}

/// The parser's words, which may quote the request.
fn shown(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(500).collect()
}

const EXAMPLE: &str = r#"{"sql": "SELECT 1"}"#;
const EXPECTED: &str =
    r#"a text, a whole number, null, or {"type": "timestamp", "value": "2026-11-02T10:00:00Z"}"#;

/// More than any question has.
const PARAMETERS_MAX: usize = 1_000;
