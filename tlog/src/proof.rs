//! Proof files, C2SP tlog-proof: one entry's inclusion in a checkpoint, checked with nothing else
//! at hand.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::Checkpoint;
use crate::error::TlogError;
use crate::hash::Hash;
use crate::note::Note;
use crate::policy::Policy;
use crate::tree::verify_inclusion;

/// The first line.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes in an inclusion proof: one for each level of a tree of 2^64 leaves.
const HASHES_MAX: usize = 64;

/// Longest proof file, in bytes: room for a record of 8 MiB in base64 with its row's other fields.
pub const PROOF_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What the application adds; nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Which entry.
    pub index: u64,
    /// The siblings from the leaf to the root.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, as it was published.
    pub checkpoint: Note,
}

impl Proof {
    /// The file.
    pub fn to_text(&self) -> String {
        let extra = self.extra.as_ref().map(|extra| format!("extra {}\n", STANDARD.encode(extra)));
        let hashes: String = self.hashes.iter().map(|hash| format!("{hash}\n")).collect();
        let (extra, note) = (extra.unwrap_or_default(), self.checkpoint.to_text());
        format!("{FIRST_LINE}\n{extra}index {}\n{hashes}\n{note}", self.index)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let wrong = |expected: &str, found: &str| TlogError::format("proof file", expected, found);
        if bytes.len() > PROOF_BYTES_MAX {
            let expected = format!("at most {PROOF_BYTES_MAX} bytes");
            return Err(wrong(&expected, &format!("{} bytes", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| wrong("UTF-8", &e.to_string()))?;
        let (proof, note) = text.split_once("\n\n").ok_or_else(|| wrong("a blank line", "none"))?;
        let mut lines = proof.split('\n').peekable();
        let first = lines.next().unwrap_or_default();
        if first != FIRST_LINE {
            return Err(wrong(FIRST_LINE, first));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| {
            let encoded = line.strip_prefix("extra ").unwrap_or(line);
            STANDARD.decode(encoded).map_err(|_| wrong("extra <base64>", line))
        });
        let line = lines.next().unwrap_or_default();
        let index = line.strip_prefix("index ").and_then(|digits| digits.parse::<u64>().ok());
        let index = index.filter(|index| format!("index {index}") == line);
        let index = index.ok_or_else(|| wrong("index <number>", line))?;
        let hashes: Vec<Hash> = lines
            .take(HASHES_MAX + 1)
            .map(|line| Hash::from_base64("proof file", line))
            .collect::<Result<_, _>>()?;
        if hashes.len() > HASHES_MAX {
            return Err(wrong(&format!("at most {HASHES_MAX} hashes"), "more"));
        }
        let checkpoint = Note::parse(note.as_bytes())?;
        Ok(Self { extra: extra.transpose()?, index, hashes, checkpoint })
    }

    /// Checks that the entry is in the tree of the checkpoint, and returns that; whose word the
    /// checkpoint is remains open.
    ///
    /// # Errors
    /// If it is no checkpoint, or the proof does not lead to its root.
    pub fn includes(&self, entry: &[u8]) -> Result<Checkpoint, TlogError> {
        let checkpoint = Checkpoint::parse(&self.checkpoint.text)?;
        let Checkpoint { size, root, .. } = checkpoint;
        verify_inclusion(Hash::of_leaf(entry), self.index, size, root, &self.hashes)?;
        Ok(checkpoint)
    }

    /// Checks that the entry is in the log, by a policy's rules, and returns the checkpoint.
    ///
    /// # Errors
    /// If the policy does not accept the checkpoint, or the proof does not lead to its root.
    pub fn verify(&self, entry: &[u8], policy: &Policy) -> Result<Checkpoint, TlogError> {
        let _ = policy.accept(&self.checkpoint)?;
        self.includes(entry)
    }
}

#[cfg(test)]
mod tests;
