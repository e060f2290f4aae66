//! Proofs: files that show one event, one file, or that a ledger only grew, to whoever has nothing
//! but them and the keys he trusts (`docs/format.md` 21).
//!
//! The outer form is C2SP's tlog-proof: it proves an entry of the ledger. What leads from the
//! entry to the event or the file stands in its `extra`, and every byte of that is checked. A
//! proof may be an attacker's. Deliberately not here: how a proof is made from an archive.

mod consistency;
mod fields;
mod lines;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use tlog::policy::{Accepted, Policy};
use tlog::proof::Proof;
use tlog::tree::verify_inclusion;
use tlog::{Checkpoint, Hash, TlogError};

use crate::commit;
use crate::digest::Sha256Digest;
use crate::error::FormatError;
use crate::ledger::{Entry, SegmentLeaf};
use crate::manifest::FileEntry;
use crate::row::{self, SALT_BYTES};

pub use consistency::ConsistencyProof;
pub use fields::{Field, Fields, Items, Value};
use lines::Lines;

/// First line of what proves an event.
const EVENT_KIND: &str = "mesh-archive-event-proof/v1";

/// First line of what proves a file.
const FILE_KIND: &str = "mesh-archive-file-proof/v1";

/// Why a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Something of the proof is not in its format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file, its checkpoint or a signature is not as it should be.
    #[error(transparent)]
    Tlog(#[from] TlogError),
    /// A path does not lead where it should.
    #[error("{path}: {source}")]
    Path {
        /// From what to what.
        path: &'static str,
        /// What is wrong with it.
        source: TlogError,
    },
}

/// What a proof that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What it is about.
    pub what: What,
    /// The tree head it leads to: the newer one, of two.
    pub checkpoint: Checkpoint,
    /// Who signed it, by the policy; none if none was given, and then nobody's word is behind it.
    pub accepted: Option<Accepted>,
}

/// What a proof is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One event.
    Event(Box<EventProof>),
    /// One file.
    File(Box<FileProof>),
    /// The growth of a ledger from an older tree head.
    Consistency(Checkpoint),
}

/// Checks the bytes of a proof file, whatever it proves.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(bytes: &[u8], policy: Option<&Policy>) -> Result<Proven, ProofError> {
    if bytes.starts_with(consistency::KIND.as_bytes()) {
        return ConsistencyProof::parse(bytes)?.check(policy);
    }
    let proof = Proof::parse(bytes)?;
    let extra = proof.extra.as_deref().ok_or_else(|| {
        FormatError::new(
            "proof file",
            "extra, which leads from the entry to what is proven",
            "none",
        )
    })?;
    let extra = std::str::from_utf8(extra)
        .map_err(|e| FormatError::new("extra", "UTF-8", e.to_string()))?;
    let includes = |entry: &Entry| {
        if entry.version != proof.index {
            let expected = format!("index {}, which the entry is of", entry.version);
            return Err(FormatError::new("proof file", expected, proof.index.to_string()).into());
        }
        let included = proof.includes(entry.to_text().as_bytes());
        included.map_err(|source| ProofError::Path { path: "entry to checkpoint", source })
    };
    let (what, checkpoint) = match extra.split('\n').next().unwrap_or_default() {
        EVENT_KIND => {
            let event = EventProof::parse(extra)?;
            event.check()?;
            let checkpoint = includes(&event.entry)?;
            (What::Event(Box::new(event)), checkpoint)
        }
        FILE_KIND => {
            let file = FileProof::parse(extra)?;
            file.check()?;
            let checkpoint = includes(&file.entry)?;
            (What::File(Box::new(file)), checkpoint)
        }
        other => {
            let expected = format!("{EVENT_KIND} or {FILE_KIND}");
            return Err(FormatError::new("extra", expected, other).into());
        }
    };
    let accepted = policy.map(|policy| policy.accept(&proof.checkpoint)).transpose()?;
    Ok(Proven { what, checkpoint, accepted })
}

/// What leads from an entry to one event. Of other events it has hashes that salts protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    /// The entry of the commit that added the event's segment.
    pub entry: Entry,
    /// Which of the commit's segments.
    pub segment_index: u64,
    /// From the segment to the entry's segments root.
    pub segment_path: Vec<Hash>,
    /// What the entry's segments root says of the segment.
    pub segment: SegmentLeaf,
    /// The event's `segment_row`.
    pub row: u64,
    /// From the row to the row root.
    pub row_path: Vec<Hash>,
    /// The row's salt.
    pub salt: [u8; SALT_BYTES],
    /// The row's fields of the shared group.
    pub shared: Vec<u8>,
    /// The row's fields of the own group.
    pub own: Vec<u8>,
}

impl EventProof {
    /// The text that stands in `extra`.
    pub fn to_text(&self) -> String {
        let Self { segment_index, row, .. } = self;
        [
            format!("{EVENT_KIND}\n{}segment-index {segment_index}\n", self.entry.to_text()),
            lines::path("segment-path", &self.segment_path),
            self.segment.to_text(),
            format!("row {row}\n"),
            lines::path("row-path", &self.row_path),
            format!("salt {}\n", hex::encode(self.salt)),
            format!("shared {}\n", STANDARD.encode(&self.shared)),
            format!("own {}\n", STANDARD.encode(&self.own)),
        ]
        .concat()
    }

    /// Reads exactly what [`Self::to_text`] writes.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut lines = Lines::new("event proof", text);
        lines.kind(EVENT_KIND)?;
        let proof = Self {
            entry: lines.entry("segment-index")?,
            segment_index: lines.number("segment-index")?,
            segment_path: lines.hashes("segment-path")?,
            segment: SegmentLeaf {
                segment: lines.value("segment")?.parse()?,
                rows: lines.number("rows")?,
                row_root: lines.value("row-root")?.parse()?,
            },
            row: lines.number("row")?,
            row_path: lines.hashes("row-path")?,
            salt: lines.salt()?,
            shared: lines.bytes("shared")?,
            own: lines.bytes("own")?,
        };
        lines.is_what_was_written(&proof.to_text())?;
        Ok(proof)
    }

    /// Checks that the row is in the segment, and the segment in the entry's commit; and that the
    /// row's fields can be read.
    ///
    /// # Errors
    /// If one does not follow.
    pub fn check(&self) -> Result<(), ProofError> {
        let leaf = row::leaf(self.salt, Sha256Digest::of(&self.shared), &self.own);
        let row_root = Hash::from_bytes(*self.segment.row_root.as_bytes());
        verify_inclusion(leaf, self.row, self.segment.rows, row_root, &self.row_path)
            .map_err(|source| ProofError::Path { path: "row to row root", source })?;
        let Entry { segments, segments_root, .. } = self.entry;
        let (leaf, path) = (self.segment.leaf(), &self.segment_path);
        verify_inclusion(leaf, self.segment_index, segments, segments_root, path)
            .map_err(|source| ProofError::Path { path: "segment to entry", source })?;
        for field in self.fields() {
            let _ = field?;
        }
        Ok(())
    }

    /// The event's columns that are not NULL, those of the shared group first.
    pub fn fields(&self) -> impl Iterator<Item = Result<Field<'_>, FormatError>> {
        let shared = Fields::new(row::Group::Shared, &self.shared);
        shared.chain(Fields::new(row::Group::Own, &self.own))
    }
}

/// What leads from an entry to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProof {
    /// The entry of the commit that added the file.
    pub entry: Entry,
    /// Which of the commit's lines.
    pub line_index: u64,
    /// From the line to the entry's lines root.
    pub line_path: Vec<Hash>,
    /// The line, without its newline.
    pub line: String,
    /// What the line says of the file.
    pub file: Box<FileFacts>,
}

/// What a commit says of a file, as far as the file itself can be held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its key in the archive.
    pub path: String,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// First and last event time, microseconds since 1970 UTC.
    pub event_time_micros: (i64, i64),
}

impl FileProof {
    /// The proof of a line of a commit.
    ///
    /// # Errors
    /// If the line adds no file.
    pub fn new(
        entry: Entry,
        (line_index, line_path): (u64, Vec<Hash>),
        line: &str,
    ) -> Result<Self, FormatError> {
        let file = commit::parse_add_line(line)?;
        let FileEntry { sha256, bytes, rows, .. } = file;
        let event_time_micros = (file.event_time_micros_min, file.event_time_micros_max);
        let facts = FileFacts { path: file.path, sha256, bytes, rows, event_time_micros };
        Ok(Self { entry, line_index, line_path, line: line.to_owned(), file: Box::new(facts) })
    }

    /// The text that stands in `extra`.
    pub fn to_text(&self) -> String {
        let Self { line_index, line, .. } = self;
        let path = lines::path("line-path", &self.line_path);
        let entry = self.entry.to_text();
        format!("{FILE_KIND}\n{entry}line-index {line_index}\n{path}line {line}\n")
    }

    /// Reads exactly what [`Self::to_text`] writes.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut lines = Lines::new("file proof", text);
        lines.kind(FILE_KIND)?;
        let entry = lines.entry("line-index")?;
        let place = (lines.number("line-index")?, lines.hashes("line-path")?);
        let proof = Self::new(entry, place, lines.value("line")?)?;
        lines.is_what_was_written(&proof.to_text())?;
        Ok(proof)
    }

    /// Checks that the line is in the entry's commit.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self) -> Result<(), ProofError> {
        let Entry { lines, lines_root, .. } = self.entry;
        let leaf = Hash::of_leaf(self.line.as_bytes());
        verify_inclusion(leaf, self.line_index, lines, lines_root, &self.line_path)
            .map_err(|source| ProofError::Path { path: "line to entry", source })
    }
}

#[cfg(test)]
mod tests;
