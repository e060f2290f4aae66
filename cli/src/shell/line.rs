//! What one line, or several up to a semicolon, asks the shell to do. Pure.

use crate::args::param;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// `\q`
    Quit,
    /// `\?`
    Help,
    /// `\l`
    Questions,
    /// `\d`
    Tables,
    /// `\d table`
    Describe(String),
    /// `\timing`
    Timing,
    /// `\x`
    Expanded,
    /// `:question name=value …`
    Ask {
        /// The question's name.
        name: String,
        /// Its parameters.
        params: Vec<(String, String)>,
    },
    /// A query.
    Sql(String),
    /// Not understood, and why.
    Wrong(String),
}

/// Whether the text can be run, or more lines have to come.
pub(crate) fn is_complete(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with(['\\', ':']) || is_word(text) || split(text).1.is_empty()
}

/// Reads what was typed. Several queries may stand on one line.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let text = text.trim();
    if let Some(command) = text.strip_prefix('\\') {
        return vec![parse_command(command)];
    }
    if let Some(question) = text.strip_prefix(':') {
        return vec![parse_question(question)];
    }
    if is_word(text) {
        return vec![if text == "help" { Line::Help } else { Line::Quit }];
    }
    let (mut queries, rest) = split(text);
    if !rest.is_empty() {
        queries.push(rest);
    }
    queries.into_iter().map(Line::Sql).collect()
}

/// What people type into any shell.
fn is_word(text: &str) -> bool {
    matches!(text, "exit" | "quit" | "help")
}

fn parse_command(command: &str) -> Line {
    let mut words = command.trim_end_matches(';').split_whitespace();
    let name = words.next().unwrap_or_default();
    let argument = words.next().map(str::to_owned);
    match (name, argument, words.next()) {
        ("q", None, None) => Line::Quit,
        ("?" | "h", None, None) => Line::Help,
        ("l", None, None) => Line::Questions,
        ("d", None, None) => Line::Tables,
        ("d", Some(table), None) => Line::Describe(table),
        ("timing", None, None) => Line::Timing,
        ("x", None, None) => Line::Expanded,
        _ => Line::Wrong(format!("'\\{command}' is no command; \\? lists them")),
    }
}

fn parse_question(text: &str) -> Line {
    let words = match words(text.trim_end_matches(';')) {
        Ok(words) => words,
        Err(reason) => return Line::Wrong(reason),
    };
    let mut words = words.into_iter();
    let Some(name) = words.next() else {
        return Line::Wrong("a question's name comes after ':'; \\l lists them".to_owned());
    };
    match words.map(|word| param(&word)).collect() {
        Ok(params) => Line::Ask { name, params },
        Err(reason) => Line::Wrong(reason),
    }
}

/// Words at white space; single or double quotes keep it.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the quote {open} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// Where a scan of SQL text stands.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    Quote(char),
    LineComment,
    /// How deep; comments nest in PostgreSQL's SQL.
    BlockComment(usize),
}

/// The queries that end in a semicolon, and what comes after the last one. Semicolons in quotes
/// and comments do not count; comments alone are no query.
fn split(text: &str) -> (Vec<String>, String) {
    let mut queries = Vec::new();
    let mut query = String::new();
    let mut says_something = false;
    let mut inside = Inside::Nothing;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let mut pair = |to: Inside| {
            chars.next();
            to
        };
        query.push(c);
        match (inside, c, next) {
            (Inside::Nothing, ';', _) => {
                query.pop();
                if says_something {
                    queries.push(query.trim().to_owned());
                }
                query.clear();
                says_something = false;
            }
            (Inside::Nothing, '\'' | '"', _) => {
                inside = Inside::Quote(c);
                says_something = true;
            }
            (Inside::Nothing, '-', Some('-')) => inside = Inside::LineComment,
            (Inside::Nothing, '/', Some('*')) => {
                inside = pair(Inside::BlockComment(1));
                query.push('*');
            }
            (Inside::Nothing, _, _) => says_something |= !c.is_whitespace(),
            (Inside::Quote(open), _, _) if c == open => inside = Inside::Nothing,
            (Inside::LineComment, '\n', _) => inside = Inside::Nothing,
            (Inside::BlockComment(depth), '/', Some('*')) => {
                inside = pair(Inside::BlockComment(depth + 1));
                query.push('*');
            }
            (Inside::BlockComment(depth), '*', Some('/')) => {
                inside = pair(match depth {
                    1 => Inside::Nothing,
                    _ => Inside::BlockComment(depth - 1),
                });
                query.push('/');
            }
            _ => {}
        }
    }
    let rest = if says_something { query.trim().to_owned() } else { String::new() };
    (queries, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_recognised() {
        assert_eq!(parse("\\q"), [Line::Quit]);
        assert_eq!(parse("  \\? "), [Line::Help]);
        assert_eq!(parse("\\d mesh_events;"), [Line::Describe("mesh_events".to_owned())]);
        assert_eq!(parse("\\d"), [Line::Tables]);
        assert_eq!(parse("quit"), [Line::Quit]);
        assert!(matches!(parse("\\frob")[0], Line::Wrong(_)));
        assert!(matches!(parse("\\d a b")[0], Line::Wrong(_)));
        assert_eq!(parse("   "), []);
    }

    #[test]
    fn questions_take_quoted_values() {
        let ask = |name: &str, params: &[(&str, &str)]| Line::Ask {
            name: name.to_owned(),
            params: params.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        assert_eq!(parse(":denied_by_policy"), [ask("denied_by_policy", &[])]);
        assert_eq!(
            parse(":path_access path='/a b' host=\"it's\" empty=;"),
            [ask("path_access", &[("path", "/a b"), ("host", "it's"), ("empty", "")])]
        );
        assert!(matches!(parse(":")[0], Line::Wrong(_)));
        assert!(matches!(parse(":q novalue")[0], Line::Wrong(_)));
        assert!(matches!(parse(":q a='open")[0], Line::Wrong(_)));
    }

    #[test]
    fn a_query_ends_at_a_semicolon_that_counts() {
        for open in [
            "SELECT 1",
            "SELECT ';'",
            "SELECT 1 -- done;",
            "SELECT 1 /* ; /* ; */ ; */",
            "SELECT 'it''s;",
            "SELECT \"a;b\"",
            "SELECT 1; SELECT 2",
        ] {
            assert!(!is_complete(open), "{open}");
        }
        for done in ["SELECT 1;", "SELECT ';';", "\\d", ":q a=1", "", "-- only a comment", "exit"] {
            assert!(is_complete(done), "{done}");
        }
        let sql = |text: &str| Line::Sql(text.to_owned());
        assert_eq!(parse("SELECT ';'; ;\nSELECT 2;"), [sql("SELECT ';'"), sql("SELECT 2")]);
        assert_eq!(parse("SELECT 1 -- a;\n;"), [sql("SELECT 1 -- a;")]);
    }
}
