//! SQL without the values in it.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

/// The text with `?` for each text and number, and without comments; `None` if it can not be
/// taken apart, so that nobody knows what is a value in it.
pub(super) fn redacted(sql: &str) -> Option<String> {
    // As it was written: escapes are not taken off, so a token's text has its length.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize().ok()?;
    let mut text = String::with_capacity(sql.len());
    for token in tokens {
        match token {
            Token::Whitespace(
                Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_),
            ) => text.push(' '),
            Token::Whitespace(space) => text.push_str(&space.to_string()),
            // Names stay, quoted or not.
            Token::Word(word) => text.push_str(&word.to_string()),
            Token::Placeholder(name) => text.push_str(&name),
            other if is_value(&other) => text.push('?'),
            other => text.push_str(&other.to_string()),
        }
    }
    Some(text)
}

/// Whether a token is a value. What is none of the signs of SQL is taken for one.
const fn is_value(token: &Token) -> bool {
    !matches!(
        token,
        Token::Comma
            | Token::DoubleEq
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq
            | Token::Spaceship
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::LParen
            | Token::RParen
            | Token::Period
            | Token::Colon
            | Token::DoubleColon
            | Token::SemiColon
            | Token::LBracket
            | Token::RBracket
            | Token::LBrace
            | Token::RBrace
            | Token::Ampersand
            | Token::Pipe
            | Token::Caret
            | Token::RArrow
            | Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::ExclamationMark
            | Token::Arrow
            | Token::LongArrow
            | Token::EOF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_and_names_stay() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT ?"),
            ("SELECT \"a b\", t.c FROM t", "SELECT \"a b\", t.c FROM t"),
            (
                "SELECT * FROM t WHERE a = 'it''s' AND b IN (1, 2.5e3) AND c = $p",
                "SELECT * FROM t WHERE a = ? AND b IN (?, ?) AND c = $p",
            ),
            ("SELECT a -- bob's\nFROM t", "SELECT a  FROM t"),
            ("SELECT /* secret 'x' */ a", "SELECT   a"),
            ("SELECT DATE '2026-11-02', X'ff', N'n', E'\\n'", "SELECT DATE ?, ?, ?, ?"),
            ("SELECT a::text || 'x' <> b", "SELECT a::text || ? <> b"),
        ] {
            assert_eq!(redacted(sql).as_deref(), Some(expected), "{sql}");
        }
        assert_eq!(redacted("SELECT 'open"), None);
    }
}
