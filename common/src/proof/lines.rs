//! The lines of a proof's text: a name, a space, a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tlog::Hash;

use crate::error::FormatError;
use crate::ledger::Entry;
use crate::row::SALT_BYTES;

/// Most hashes in a path: one for each level of a tree of 2^64 leaves.
const HASHES_MAX: usize = 64;

/// A path, one hash a line.
pub(super) fn path(name: &str, hashes: &[Hash]) -> String {
    hashes.iter().map(|hash| format!("{name} {hash}\n")).collect()
}

/// Reads lines one after the other.
pub(super) struct Lines<'a> {
    what: &'static str,
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) fn new(what: &'static str, text: &'a str) -> Self {
        Self { what, whole: text, rest: text }
    }

    fn line(&mut self) -> &'a str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line
    }

    fn wrong(&self, expected: impl Into<String>, found: &str) -> FormatError {
        FormatError::new(self.what, expected, found)
    }

    /// The first line.
    pub(super) fn kind(&mut self, kind: &str) -> Result<(), FormatError> {
        let line = self.line();
        if line == kind { Ok(()) } else { Err(self.wrong(kind, line)) }
    }

    /// The entry, which ends before the line of this name.
    pub(super) fn entry(&mut self, next: &str) -> Result<Entry, FormatError> {
        let end = self.rest.find(&format!("\n{next} "));
        let end = end.ok_or_else(|| self.wrong(format!("an entry, then {next} …"), "neither"))?;
        let (entry, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        Entry::parse(entry)
    }

    /// The value of the next line, which has this name.
    pub(super) fn value(&mut self, name: &str) -> Result<&'a str, FormatError> {
        let line = self.line();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or_else(|| self.wrong(format!("{name} …"), line))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<u64, FormatError> {
        let value = self.value(name)?;
        value.parse().map_err(|_| self.wrong(format!("{name} <number>"), value))
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, FormatError> {
        let value = self.value(name)?;
        STANDARD.decode(value).map_err(|_| self.wrong(format!("{name} <base64>"), value))
    }

    pub(super) fn salt(&mut self) -> Result<[u8; SALT_BYTES], FormatError> {
        let value = self.value("salt")?;
        let bytes = hex::decode(value).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| self.wrong("salt <32 lower-case hex digits>", value))
    }

    /// The hashes of the next lines that have this name.
    pub(super) fn hashes(&mut self, name: &str) -> Result<Vec<Hash>, FormatError> {
        let mut hashes = Vec::new();
        while self.rest.starts_with(name) {
            if hashes.len() == HASHES_MAX {
                return Err(self.wrong(format!("at most {HASHES_MAX} hashes"), "more"));
            }
            let value = self.value(name)?;
            let hash = Hash::from_base64(name, value);
            hashes.push(hash.map_err(|_| self.wrong(format!("{name} <base64>"), value))?);
        }
        Ok(hashes)
    }

    /// Nothing may follow, and nothing may be written in another way than it is.
    pub(super) fn is_what_was_written(&self, written: &str) -> Result<(), FormatError> {
        if written == self.whole {
            return Ok(());
        }
        let same = written.bytes().zip(self.whole.bytes()).take_while(|(a, b)| a == b).count();
        Err(self.wrong("each line once, as it is written, and no other", &format!("byte {same}")))
    }
}
