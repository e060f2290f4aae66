//! Signed notes, C2SP signed-note: a text, and lines of signatures below it.
//!
//! [`Note`] is what was read, and says nothing of whom to trust; [`VerifierKey`] checks its
//! signatures.

mod key;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::TlogError;

pub use key::{Algorithm, SeedSigner, VerifierKey};

/// Longest note, in bytes. C2SP wants room for sixteen signatures of up to 5 kB.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;

/// Most signatures looked at. C2SP wants at least 16; a policy may name 32 witnesses.
pub const SIGNATURES_MAX: usize = 64;

/// How a line of a signature begins: an em dash and a space.
const SIGNATURE_START: &str = "\u{2014} ";

/// A note, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its last newline.
    pub text: String,
    /// The signatures, in their order.
    pub signatures: Vec<Signature>,
}

/// A signature, as its line has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Short identifier of the key.
    pub key_id: [u8; 4],
    /// What the algorithm made.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// The line, with its newline.
    pub fn to_line(&self) -> String {
        let encoded = STANDARD.encode([&self.key_id[..], &self.bytes].concat());
        format!("{SIGNATURE_START}{} {encoded}\n", self.name)
    }

    fn parse(line: &str) -> Result<Self, TlogError> {
        let wrong = || TlogError::format("signature line", "\u{2014} <key name> <base64>", line);
        let rest = line.strip_prefix(SIGNATURE_START).ok_or_else(wrong)?;
        let (name, encoded) = rest.split_once(' ').ok_or_else(wrong)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| wrong())?;
        let (key_id, bytes) = decoded.split_first_chunk().ok_or_else(wrong)?;
        if !is_key_name(name) || bytes.is_empty() {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// If it is too long, is no UTF-8, has control characters, no blank line before the
    /// signatures, none or too many of these, or a line that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let wrong = |expected: &str, found: String| TlogError::format("note", expected, found);
        if bytes.len() > NOTE_BYTES_MAX {
            let found = format!("{} bytes", bytes.len());
            return Err(wrong(&format!("at most {NOTE_BYTES_MAX} bytes"), found));
        }
        let whole = std::str::from_utf8(bytes).map_err(|e| wrong("UTF-8", e.to_string()))?;
        if let Some(control) = whole.chars().find(|&c| c < ' ' && c != '\n') {
            return Err(wrong("no control characters but newlines", format!("{control:?}")));
        }
        let (before, lines) = whole
            .rsplit_once("\n\n")
            .ok_or_else(|| wrong("a blank line before the signatures", "none".to_owned()))?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or_else(|| wrong("signature lines that end in a newline", lines.to_owned()))?;
        let signatures: Vec<Signature> = lines
            .split('\n')
            .take(SIGNATURES_MAX + 1)
            .map(Signature::parse)
            .collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(wrong(&format!("at most {SIGNATURES_MAX} signatures"), "more".to_owned()));
        }
        Ok(Self { text: format!("{before}\n"), signatures })
    }

    /// The note as it is written.
    pub fn to_text(&self) -> String {
        let lines: String = self.signatures.iter().map(Signature::to_line).collect();
        format!("{}\n{lines}", self.text)
    }

    /// What a key signed of this note: nothing if no line is of this key.
    ///
    /// # Errors
    /// If a line names the key and its signature is wrong: then the note is not to be used at all.
    pub fn signed_by(&self, key: &VerifierKey) -> Result<Option<Signed>, TlogError> {
        let mut found = None;
        for signature in self.signatures.iter().filter(|signature| key.is_of(signature)) {
            found = Some(key.check(&self.text, signature)?);
        }
        Ok(found)
    }
}

/// A signature that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// When, in seconds since 1970, by a cosigner's own word; none for other signatures.
    pub time_seconds: Option<u64>,
}

/// Whether a key may have this name: not empty, no Unicode space, no plus, no control character.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests;
