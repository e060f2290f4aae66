//! The questions that are built into the program, by name.

use std::sync::OnceLock;

use archive::Mode;
use query_fn::Request;
use query_fn::questions::{Question, Questions};

use crate::exit::Failure;

/// All questions.
///
/// # Errors
/// If a text is malformed, a defect of this build that a test finds.
pub(crate) fn questions() -> Result<&'static Questions, Failure> {
    static QUESTIONS: OnceLock<Questions> = OnceLock::new();
    if let Some(questions) = QUESTIONS.get() {
        return Ok(questions);
    }
    let parsed = Questions::built_in()?;
    Ok(QUESTIONS.get_or_init(|| parsed))
}

/// The question of that name.
///
/// # Errors
/// If there is none; names those that share a word with it.
pub(crate) fn question(name: &str) -> Result<&'static Question, Failure> {
    let all = questions()?;
    if let Some(found) = all.iter().find(|question| question.name == name) {
        return Ok(found);
    }
    let shares_a_word =
        |known: &&str| known.split('_').any(|word| name.split('_').any(|other| other == word));
    let close: Vec<&str> =
        all.iter().map(|question| question.name.as_str()).filter(shares_a_word).collect();
    let hint = if close.is_empty() {
        "`meshledger query --list` lists them".to_owned()
    } else {
        format!("is it {}?", close.join(" or "))
    };
    let name = crate::output::printable(name, false);
    Err(Failure::usage(format!("there is no question named '{name}'; {hint}")))
}

/// A request for the question of that name.
///
/// # Errors
/// If there is no such question, or a value is missing, unknown or of the wrong type.
pub(crate) fn question_request(
    name: &str,
    given: &[(String, String)],
    mode: Mode,
) -> Result<Request, Failure> {
    Ok(question(name)?.request(given, mode)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_gets_a_hint() {
        assert!(question("denied_by_policy").is_ok());
        let wrong = question("denied_by_rule").unwrap_err();
        assert!(wrong.message().contains("denied_by_policy"), "{}", wrong.message());
        assert!(question("\x1b[2J").unwrap_err().message().contains("--list"));
    }

    #[test]
    fn a_required_value_must_be_given() {
        let ask = |given: &[(String, String)]| question_request("path_access", given, Mode::Fresh);
        assert!(ask(&[]).unwrap_err().message().contains("needs path"));
        assert!(ask(&[("path".to_owned(), "/x".to_owned())]).is_ok());
    }
}
