//! Named questions: SQL texts whose header says what they ask, what they take, what they cost.
//!
//! ```sql
//! -- question: Who was denied, and by which policy?
//! -- name: denied_by_policy
//! -- param: since timestamp = '2026-11-02T00:00:00Z'  -- from when on
//! -- param: principal text = NULL                     -- only this one
//! -- cost: reads the columns named below, of the days asked for
//! SELECT … WHERE event_time >= $since AND ($principal IS NULL OR principal = $principal)
//! ```
//! A parameter without `=` must be given. A line `-- one_of: request_id, trace_id` says that at
//! least one of these must be, since an answer without any would look like "nothing found". A line
//! `-- values: who: workload, principal` says which values a parameter may have, for the same
//! reason. A report for auditors cites its control: `-- control: PCI DSS 4.0.1, 10.2.1.4`.

use std::collections::BTreeSet;

use archive::snapshot::Mode;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Code, QueryError};
use crate::request::{Param, ParamKind, Request};

mod collection;

/// A named question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Name, lower case with underscores.
    pub name: String,
    /// The question as an auditor asks it.
    pub question: String,
    /// What it takes, in the header's order.
    pub params: Vec<QuestionParam>,
    /// Parameters of which at least one must be given; none if any may be left out.
    pub one_of: Vec<String>,
    /// Parameters that may have certain values only, besides NULL.
    pub values: Vec<(String, Vec<String>)>,
    /// The control that it is a report for: framework, comma, identifier.
    pub control: Option<String>,
    /// What it reads, in words.
    pub cost: Option<String>,
    /// The SQL, header included.
    pub sql: String,
}

/// A parameter of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionParam {
    /// Name without the `$`.
    pub name: String,
    /// Type.
    pub kind: ParamKind,
    /// Value if none is given; `None` if one must be given.
    pub default: Option<Param>,
    /// What it means.
    pub help: String,
}

/// All named questions.
#[derive(Debug, Clone, Default)]
pub struct Questions(Vec<Question>);

impl Questions {
    /// Reads question texts; `place` (a file name) is for messages.
    ///
    /// # Errors
    /// Names the place and line that is wrong, or a name used twice.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, QueryError> {
        let mut questions: Vec<Question> = Vec::new();
        for (place, text) in texts {
            let question = Question::parse(place, text)?;
            if questions.iter().any(|known| known.name == question.name) {
                return Err(wrong(place, &format!("a new name, found {} again", question.name)));
            }
            questions.push(question);
        }
        questions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self(questions))
    }

    /// The questions of `sql/investigations` and the reports of `sql/compliance`, which are built
    /// into the program.
    ///
    /// # Errors
    /// If a text is malformed, a defect of this build that a test finds.
    pub fn built_in() -> Result<Self, QueryError> {
        Self::parse(collection::TEXTS.iter().copied())
    }

    /// The question with this name.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn get(&self, name: &str) -> Result<&Question, QueryError> {
        self.0.iter().find(|question| question.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|q| q.name.as_str()).collect();
            let text = format!("no question is named {name:?}; there are: {}", names.join(", "));
            QueryError::new(Code::Parameter, text)
        })
    }

    /// All questions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Question> {
        self.0.iter()
    }
}

impl Question {
    /// Reads one question text.
    ///
    /// # Errors
    /// Names the place and line that is wrong.
    pub fn parse(place: &str, text: &str) -> Result<Self, QueryError> {
        let mut header = Header::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let Some(comment) = line.strip_prefix("--") else {
                break;
            };
            if let Some((key, value)) = key_and_value(comment) {
                header.take(key, value, &format!("{place} line {}", number + 1))?;
            }
        }
        let name = header.name.ok_or_else(|| wrong(place, "a line `-- name: …`"))?;
        let question = header.question.ok_or_else(|| wrong(place, "a line `-- question: …`"))?;
        if !is_name(&name) {
            return Err(wrong(place, &format!("a name of a-z, 0-9 and _, found {name:?}")));
        }
        let parsed = Self {
            name,
            question,
            params: header.params,
            one_of: header.one_of.as_deref().map(list).unwrap_or_default(),
            values: header.values,
            control: header.control,
            cost: header.cost,
            sql: text.to_owned(),
        };
        parsed.check_params(place)?;
        parsed.check_values(place)?;
        Ok(parsed)
    }

    /// The framework of its control, as in `PCI DSS 4.0.1`.
    pub fn framework(&self) -> Option<&str> {
        self.control.as_deref()?.split_once(", ").map(|(framework, _)| framework)
    }

    /// A request for this question with values as people write them.
    ///
    /// # Errors
    /// If a value is missing, unknown, given twice or of the wrong type.
    pub fn request(&self, given: &[(String, String)], mode: Mode) -> Result<Request, QueryError> {
        self.request_with(given, mode, |param, text| Param::parse(&param.name, param.kind, text))
    }

    /// A request for this question, each value being read by `read`.
    ///
    /// # Errors
    /// As [`Question::request`].
    pub(crate) fn request_with<V>(
        &self,
        given: &[(String, V)],
        mode: Mode,
        read: impl Fn(&QuestionParam, &V) -> Result<Param, QueryError>,
    ) -> Result<Request, QueryError> {
        for (i, (name, _)) in given.iter().enumerate() {
            if !self.params.iter().any(|param| param.name == *name) {
                let text = format!("{} takes no {name}; it takes: {}", self.name, self.usage());
                return Err(QueryError::new(Code::Parameter, text));
            }
            if given[..i].iter().any(|(earlier, _)| earlier == name) {
                let text = format!("parameter {name} was given more than once");
                return Err(QueryError::new(Code::Parameter, text));
            }
        }
        let is_given = |name: &String| given.iter().any(|(given, _)| given == name);
        if !self.one_of.is_empty() && !self.one_of.iter().any(is_given) {
            let text = format!("{} needs one of {}", self.name, self.one_of.join(", "));
            return Err(QueryError::new(Code::Parameter, text));
        }
        let mut params = Vec::with_capacity(self.params.len());
        for param in &self.params {
            let value = match given.iter().find(|(name, _)| *name == param.name) {
                Some((_, value)) => self.allowed(param, read(param, value)?)?,
                None => param.default.clone().ok_or_else(|| {
                    let text =
                        format!("{} needs {}; it takes: {}", self.name, param.name, self.usage());
                    QueryError::new(Code::Parameter, text)
                })?,
            };
            params.push((param.name.clone(), value));
        }
        Ok(Request { params, ..Request::new(self.sql.clone(), mode) })
    }

    /// The value, if it is one that the parameter may have.
    fn allowed(&self, param: &QuestionParam, value: Param) -> Result<Param, QueryError> {
        let values = self.values.iter().find(|(name, _)| *name == param.name);
        let Some((_, values)) = values else {
            return Ok(value);
        };
        match &value {
            Param::Text(Some(text)) if !values.contains(text) => {
                let text = format!(
                    "{}: expected one of {}, found {text:?}",
                    param.name,
                    values.join(", ")
                );
                Err(QueryError::new(Code::Parameter, text))
            }
            _ => Ok(value),
        }
    }

    fn usage(&self) -> String {
        let one = |param: &QuestionParam| format!("{} ({})", param.name, param.kind.name());
        let all: Vec<String> = self.params.iter().map(one).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    /// The parameters declared are those used, each once.
    fn check_params(&self, place: &str) -> Result<(), QueryError> {
        let tokens = Tokenizer::new(&GenericDialect {}, &self.sql)
            .tokenize()
            .map_err(|e| wrong(place, &format!("SQL, found {e}")))?;
        let used: BTreeSet<&str> = tokens
            .iter()
            .filter_map(|token| match token {
                Token::Placeholder(name) => Some(name.trim_start_matches('$')),
                _ => None,
            })
            .collect();
        let declared: BTreeSet<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
        if declared.len() != self.params.len() {
            return Err(wrong(place, "each parameter declared once"));
        }
        if let Some(unknown) = self.one_of.iter().find(|name| !declared.contains(name.as_str())) {
            return Err(wrong(place, &format!("declared names in one_of, found {unknown}")));
        }
        match used.symmetric_difference(&declared).next() {
            Some(name) => {
                let expected = format!("${name} both in a `-- param:` line and in the SQL");
                Err(wrong(place, &expected))
            }
            None => Ok(()),
        }
    }

    /// What may have certain values is a declared text, and its default is one of them; a control
    /// names its framework.
    fn check_values(&self, place: &str) -> Result<(), QueryError> {
        for (name, values) in &self.values {
            let param = self.params.iter().find(|param| param.name == *name);
            let fits = param.is_some_and(|param| match &param.default {
                None | Some(Param::Text(None)) => param.kind == ParamKind::Text,
                Some(Param::Text(Some(text))) => values.contains(text),
                Some(_) => false,
            });
            if !fits {
                let expected = format!("{name} in values: a declared text, by default one of them");
                return Err(wrong(place, &expected));
            }
        }
        if self.control.is_some() && self.framework().is_none() {
            return Err(wrong(place, "`-- control: <framework>, <identifier>`"));
        }
        Ok(())
    }
}

/// What the header of a text says, as far as it is read.
#[derive(Default)]
struct Header {
    name: Option<String>,
    question: Option<String>,
    control: Option<String>,
    cost: Option<String>,
    params: Vec<QuestionParam>,
    one_of: Option<String>,
    values: Vec<(String, Vec<String>)>,
}

impl Header {
    fn take(&mut self, key: &str, value: &str, at: &str) -> Result<(), QueryError> {
        match key {
            "name" => set(&mut self.name, value, at),
            "question" => set(&mut self.question, value, at),
            "control" => set(&mut self.control, value, at),
            "cost" => set(&mut self.cost, value, at),
            "one_of" => set(&mut self.one_of, value, at),
            "param" => {
                self.params.push(parse_param(at, value)?);
                Ok(())
            }
            "values" => {
                let (name, values) =
                    value.split_once(':').ok_or_else(|| wrong(at, "`values: <name>: <values>`"))?;
                self.values.push((name.trim().to_owned(), list(values)));
                Ok(())
            }
            _ => {
                let expected = "question, name, control, param, one_of, values or cost";
                Err(wrong(at, &format!("{expected}, found {key}")))
            }
        }
    }
}

/// What stands between commas.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

/// `key: value` of a comment, if its first word is directly followed by a colon.
fn key_and_value(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let key = key.trim();
    is_name(key).then(|| (key, value.trim()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn set(slot: &mut Option<String>, value: &str, at: &str) -> Result<(), QueryError> {
    if value.is_empty() || slot.is_some() {
        return Err(wrong(at, "one value, once"));
    }
    *slot = Some(value.to_owned());
    Ok(())
}

/// Reads `since timestamp = '2026-11-02T00:00:00Z'  -- from when on`.
fn parse_param(at: &str, text: &str) -> Result<QuestionParam, QueryError> {
    let expected = "`<name> <text|timestamp|integer> [= <value>] [-- <help>]`";
    let (name, rest) = text.split_once(char::is_whitespace).ok_or_else(|| wrong(at, expected))?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    let (kind, rest) = rest.split_at(end);
    let kind = ParamKind::of_name(kind).ok_or_else(|| wrong(at, expected))?;
    if !is_name(name) {
        return Err(wrong(at, expected));
    }
    let rest = rest.trim_start();
    let (default, rest) = match rest.strip_prefix('=') {
        Some(rest) => {
            let (default, rest) = parse_default(at, name, kind, rest.trim_start())?;
            (Some(default), rest.trim_start())
        }
        None => (None, rest),
    };
    let help = match rest.strip_prefix("--") {
        Some(help) => help.trim(),
        None if rest.is_empty() => "",
        None => return Err(wrong(at, expected)),
    };
    Ok(QuestionParam { name: name.to_owned(), kind, default, help: help.to_owned() })
}

/// Reads `NULL`, a quoted text or a number, and returns what follows it.
fn parse_default<'a>(
    at: &str,
    name: &str,
    kind: ParamKind,
    text: &'a str,
) -> Result<(Param, &'a str), QueryError> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        if word.eq_ignore_ascii_case("null") {
            return Ok((Param::null(kind), rest));
        }
        if kind != ParamKind::Integer {
            return Err(wrong(at, "NULL or a value in single quotes"));
        }
        return Param::parse(name, kind, word).map(|value| (value, rest));
    };
    let mut value = String::new();
    loop {
        let Some((piece, after)) = rest.split_once('\'') else {
            return Err(wrong(at, "a closing quote"));
        };
        value.push_str(piece);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Param::parse(name, kind, &value).map(|value| (value, after)),
        }
    }
}

fn wrong(at: &str, expected: &str) -> QueryError {
    QueryError::new(Code::Parameter, format!("{at}: expected {expected}"))
}

#[cfg(test)]
mod tests;
