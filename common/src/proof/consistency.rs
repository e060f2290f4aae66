//! The proof that a ledger only grew between two checkpoints. C2SP has no file for this; ours has
//! the form of a tlog-proof.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tlog::note::{NOTE_BYTES_MAX, Note};
use tlog::policy::Policy;
use tlog::tree::verify_consistency;
use tlog::{Checkpoint, Hash};

use super::lines::Lines;
use super::{ProofError, Proven, What};
use crate::error::FormatError;

/// The first line.
pub(super) const KIND: &str = "mesh-archive-consistency-proof/v1";

/// Longest file: two notes, one in base64, and the hashes.
const BYTES_MAX: usize = NOTE_BYTES_MAX * 2 + NOTE_BYTES_MAX / 2;

/// What shows that one checkpoint's tree is the beginning of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The checkpoint of the smaller tree.
    pub old: Note,
    /// The proof of RFC 6962, 2.1.2.
    pub hashes: Vec<Hash>,
    /// The checkpoint of the larger tree.
    pub new: Note,
}

impl ConsistencyProof {
    /// The file.
    pub fn to_text(&self) -> String {
        let old = STANDARD.encode(self.old.to_text());
        let hashes = super::lines::path("hash", &self.hashes);
        format!("{KIND}\nold {old}\n{hashes}\n{}", self.new.to_text())
    }

    /// Reads exactly what [`Self::to_text`] writes.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let what = "consistency proof";
        let wrong = |expected: &str, found: &str| FormatError::new(what, expected, found);
        if bytes.len() > BYTES_MAX {
            let found = format!("{} bytes", bytes.len());
            return Err(wrong(&format!("at most {BYTES_MAX} bytes"), &found).into());
        }
        let text = std::str::from_utf8(bytes).map_err(|e| wrong("UTF-8", &e.to_string()))?;
        let (proof, new) = text.split_once("\n\n").ok_or_else(|| wrong("a blank line", "none"))?;
        let mut lines = Lines::new(what, proof);
        lines.kind(KIND)?;
        let old = Note::parse(&lines.bytes("old")?)?;
        let hashes = lines.hashes("hash")?;
        let proof = Self { old, hashes, new: Note::parse(new.as_bytes())? };
        Lines::new(what, text).is_what_was_written(&proof.to_text())?;
        Ok(proof)
    }

    /// Checks that both are checkpoints of one log, and the larger tree begins with the smaller.
    /// With a policy its log must have signed both, and its quorum must have cosigned the newer.
    ///
    /// # Errors
    /// If something of this does not hold.
    pub fn check(&self, policy: Option<&Policy>) -> Result<Proven, ProofError> {
        let (old, new) = (Checkpoint::parse(&self.old.text)?, Checkpoint::parse(&self.new.text)?);
        if old.origin != new.origin {
            let expected = format!("two checkpoints of {}", old.origin);
            return Err(FormatError::new("consistency proof", expected, &new.origin).into());
        }
        verify_consistency((old.size, old.root), (new.size, new.root), &self.hashes)
            .map_err(|source| ProofError::Path { path: "older to newer checkpoint", source })?;
        let accepted = policy.map(|policy| {
            let _ = policy.signed(&self.old)?;
            policy.accept(&self.new)
        });
        Ok(Proven {
            what: What::Consistency(old),
            checkpoint: new,
            accepted: accepted.transpose()?,
        })
    }
}
