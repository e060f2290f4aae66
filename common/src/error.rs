//! What can be wrong with bytes that claim to be part of an archive.

use thiserror::Error;

/// Bytes or names that do not follow `docs/format.md`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: expected {expected}, found {found}")]
pub struct FormatError {
    /// Where in the input: an object key, a field path, a line number.
    pub place: String,
    /// What the format asks for there.
    pub expected: String,
    /// What was there instead, shortened.
    pub found: String,
}

impl FormatError {
    /// Builds an error; `found` is cut to 200 characters, since it may be attacker-written.
    pub fn new(
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl AsRef<str>,
    ) -> Self {
        let found = found.as_ref();
        let mut shown: String = found.chars().take(200).map(printable).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self { place: place.into(), expected: expected.into(), found: shown }
    }

    /// The same error, with the outer place in front: `manifest m1: units[3].id`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.place = format!("{outer}: {}", self.place);
        self
    }
}

/// Refuses every archive format but [`crate::FORMAT`]; `None` if none is stated.
///
/// # Errors
/// Says which format was found, and what reads it.
pub fn check_format(place: &str, stated: Option<u64>) -> Result<(), FormatError> {
    if stated == Some(crate::FORMAT.into()) {
        return Ok(());
    }
    let found = match stated {
        Some(format) => format!("format {format}, which the version that wrote it reads"),
        None => "none".to_owned(),
    };
    Err(FormatError::new(place, format!("archive format {}", crate::FORMAT), found))
}

/// Control characters never reach a terminal raw.
fn printable(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}
