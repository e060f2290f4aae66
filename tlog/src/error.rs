//! What can be wrong with a log's texts, tiles and proofs.

use thiserror::Error;

/// Something of a log is not as its specification wants it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlogError {
    /// A text is not in its format.
    #[error("{what}: expected {expected}, found {found}")]
    Format {
        /// Which text, and where in it.
        what: String,
        /// What should stand there.
        expected: String,
        /// What stands there, cut to a readable length.
        found: String,
    },
    /// Nobody whom the policy trusts has signed.
    #[error("signature: expected {expected}, found {found}")]
    Signature {
        /// Whose signature is wanted.
        expected: String,
        /// What the note has instead.
        found: String,
    },
    /// A proof does not lead to the root it should lead to.
    #[error("proof: expected {expected}, found {found}")]
    Proof {
        /// The root, or the number of hashes.
        expected: String,
        /// What the proof gives.
        found: String,
    },
    /// A tile is not part of the tree.
    #[error("{tile}: expected {expected}, found {found}")]
    Tile {
        /// The tile's path.
        tile: String,
        /// What the tree wants.
        expected: String,
        /// What the tile has.
        found: String,
    },
}

/// Longest piece of a wrong text that an error repeats, in characters.
const FOUND_CHARS_MAX: usize = 80;

impl TlogError {
    /// A text that is not in its format.
    pub(crate) fn format(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl AsRef<str>,
    ) -> Self {
        let found = shown(found.as_ref());
        Self::Format { what: what.into(), expected: expected.into(), found }
    }
}

/// A piece of untrusted text for an error: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(FOUND_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(FOUND_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
