//! Completion and multi-line editing: names of tables, columns and questions, and SQL words.

use rustyline::completion::Completer;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::line::is_complete;

/// Words of SQL worth completing.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CROSS JOIN",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "RIGHT JOIN",
    "SELECT",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION ALL",
    "USING",
    "WHEN",
    "WHERE",
    "WITH",
];

/// The shell's commands.
const COMMANDS: &[&str] = &["\\?", "\\d", "\\l", "\\q", "\\timing", "\\x"];

/// A question as completion sees it.
#[derive(Debug, Clone)]
pub(crate) struct QuestionName {
    pub(crate) name: String,
    pub(crate) params: Vec<String>,
}

/// Completes what is typed in the shell.
#[derive(Helper, Hinter, Highlighter)]
pub(crate) struct ShellHelper {
    tables: Vec<String>,
    columns: Vec<String>,
    questions: Vec<QuestionName>,
}

impl ShellHelper {
    /// Knows these names, besides SQL's own.
    pub(crate) fn new(
        tables: Vec<String>,
        columns: Vec<String>,
        questions: Vec<QuestionName>,
    ) -> Self {
        Self { tables, columns, questions }
    }

    /// Where the word before the cursor begins, and what it may become.
    fn candidates(&self, before: &str) -> (usize, Vec<String>) {
        if let Some(question) = before.strip_prefix(':') {
            return self.question_candidates(question);
        }
        if before.starts_with('\\') {
            let Some(table) = before.strip_prefix("\\d ") else {
                return (0, starting_with(COMMANDS.iter().copied(), before));
            };
            return (3, starting_with(self.tables.iter().map(String::as_str), table));
        }
        let start = word_start(before);
        let word = &before[start..];
        if word.is_empty() {
            return (start, Vec::new());
        }
        let names = self.tables.iter().chain(&self.columns).map(String::as_str);
        let mut found = starting_with(names, word);
        // Keywords come in the case that was begun.
        let lower = word.chars().all(|c| !c.is_ascii_uppercase());
        found.extend(
            starting_with(KEYWORDS.iter().copied(), word)
                .into_iter()
                .map(|keyword| if lower { keyword.to_ascii_lowercase() } else { keyword }),
        );
        (start, found)
    }

    fn question_candidates(&self, text: &str) -> (usize, Vec<String>) {
        let Some((name, rest)) = text.split_once(' ') else {
            let mut names =
                starting_with(self.questions.iter().map(|question| question.name.as_str()), text);
            if let [only] = names.as_mut_slice() {
                // Nothing but parameters can follow.
                only.push(' ');
            }
            return (1, names);
        };
        let start = 2 + name.len() + rest.rfind(' ').map_or(0, |at| at + 1);
        let word = &text[start - 1..];
        let Some(question) = self.questions.iter().find(|question| question.name == name) else {
            return (start, Vec::new());
        };
        let params = question.params.iter().map(|param| format!("{param}="));
        (start, params.filter(|param| param.starts_with(word) && !rest.contains(param)).collect())
    }
}

fn word_start(before: &str) -> usize {
    before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || *c == '_')
        .last()
        .map_or(before.len(), |(at, _)| at)
}

fn starting_with<'a>(names: impl Iterator<Item = &'a str>, word: &str) -> Vec<String> {
    let matches =
        |name: &&str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    names.filter(matches).map(str::to_owned).collect()
}

impl Completer for ShellHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line.get(..pos).unwrap_or_default()))
    }
}

impl Validator for ShellHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper() -> ShellHelper {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        ShellHelper::new(
            own(&["mesh_events", "mesh_quarantine"]),
            own(&["decision", "decision_source", "url_path"]),
            vec![QuestionName { name: "path_access".to_owned(), params: own(&["path", "host"]) }],
        )
    }

    #[test]
    fn names_and_keywords_complete_where_the_word_begins() {
        let helper = helper();
        let check = |before: &str, start: usize, expected: &[&str]| {
            let (at, found) = helper.candidates(before);
            assert_eq!((at, found.as_slice()), (start, &expected.map_owned()[..]), "{before}");
        };
        check("SELECT dec", 7, &["decision", "decision_source"]);
        check("select * from mesh_q", 14, &["mesh_quarantine"]);
        check("sel", 0, &["select"]);
        check("SEL", 0, &["SELECT"]);
        check("SELECT (url", 8, &["url_path"]);
        check("SELECT ", 7, &[]);
        check("\\t", 0, &["\\timing"]);
        check("\\d mesh_e", 3, &["mesh_events"]);
        check(":pa", 1, &["path_access "]);
        check(":path_access ", 13, &["path=", "host="]);
        check(":path_access path=/x h", 21, &["host="]);
        check(":path_access path=/x p", 21, &[]);
        check(":unknown x", 9, &[]);
        check("SELECT é", 7, &[]);
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }
}
