//! What a verification finds: stable codes, and what each finding says.

use std::fmt;

use common::FormatError;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something is unfinished, as after a crash; a later run of the same command completes it.
    Incomplete,
    /// Something is not as it was written.
    Tampering,
}

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)+) => {
        /// What sort of finding it is. The texts are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Code { $($(#[$meta])* #[serde(rename = $text)] $variant,)+ }

        impl Code {
            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// There are objects of an archive, but no log.
    NotAnArchive = "NOT_AN_ARCHIVE",
    /// A version of the log is missing.
    Gap = "GAP",
    /// A commit does not follow the format.
    CommitFormat = "COMMIT_FORMAT",
    /// A commit does not continue the one before it.
    Chain = "CHAIN",
    /// A manifest that a commit names is missing.
    ManifestMissing = "MANIFEST_MISSING",
    /// A manifest's bytes are not those its commit names.
    ManifestHash = "MANIFEST_HASH",
    /// A manifest does not follow the format, or its commit does not follow from it.
    ManifestFormat = "MANIFEST_FORMAT",
    /// A file that a manifest names is missing.
    FileMissing = "FILE_MISSING",
    /// A file has another length than its manifest says.
    FileSize = "FILE_SIZE",
    /// A file's bytes are not those its manifest names.
    FileHash = "FILE_HASH",
    /// Another version of a file, or a delete marker, lies over the one that was sealed.
    Overlay = "OVERLAY",
    /// A file holds other rows than its manifest says.
    FileRows = "FILE_ROWS",
    /// The rows of a file do not have the root that is described.
    RowRoot = "ROW_ROOT",
    /// Statistics of commit, manifest and file differ.
    Stats = "STATS",
    /// A unit counts twice.
    UnitTwice = "UNIT_TWICE",
    /// A unit was left out of a commit although no other holds it.
    UnitLost = "UNIT_LOST",
    /// An object that nobody names.
    Stray = "STRAY",
    /// A file that no manifest, or a manifest that no commit names, as a crash leaves it.
    Orphan = "ORPHAN",
    /// A manifest that waits for a seal.
    Unsealed = "UNSEALED",
    /// The checkpoint, or another signed text of the ledger, is missing or is none.
    Note = "NOTE",
    /// A signature is wrong, or nobody signed whom the policy trusts.
    Signature = "SIG",
    /// The ledger is another table's.
    Origin = "ORIGIN",
    /// A commit is not what the ledger says of it.
    Leaf = "LEAF",
    /// A tile or a bundle of the ledger is not what its commits give.
    Tile = "TILE",
    /// Something was signed, or locked to be signed, that is no part of this history.
    Fork = "FORK",
    /// The checkpoint is older than one that was seen.
    Rollback = "ROLLBACK",
    /// The store did not give an object, so that nothing is known of it.
    Unreachable = "UNREACHABLE",
    /// A key signed when it was not its turn, or a statement about keys is not right or missing.
    Rotation = "ROTATION",
    /// Witnesses have not cosigned what the policy wants cosigned.
    Witness = "WITNESS",
    /// A Delta checkpoint is not what the commits give, or not what one of them vouches for.
    DeltaCheckpoint = "DELTA_CHECKPOINT",
    /// The held index does not follow from the manifests.
    HeldIndex = "HELD_INDEX",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What sort.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// URL of the object.
    pub object: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The first version that is affected, if known.
    pub version: Option<u64>,
    /// Event times, first and last in microseconds since 1970 UTC, for which answers can no
    /// longer be trusted, if known.
    pub event_time_micros: Option<(i64, i64)>,
    /// Events of which that is so, if known.
    pub events: Option<u64>,
    /// What it means and what to do, for people.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(code: Code, object: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Tampering,
            object: object.into(),
            expected: String::new(),
            found: String::new(),
            version: None,
            event_time_micros: None,
            events: None,
            detail: String::new(),
        }
    }

    pub(super) fn incomplete(code: Code, object: impl Into<String>) -> Self {
        Self { severity: Severity::Incomplete, ..Self::new(code, object) }
    }

    pub(super) fn differs(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = expected.to_string();
        self.found = found.to_string();
        self
    }

    pub(super) fn format(self, error: &FormatError) -> Self {
        let found = format!("{} at {}", error.found, error.place);
        self.differs(&error.expected, found)
    }

    pub(super) fn version(mut self, version: Option<u64>) -> Self {
        self.version = version;
        self
    }

    pub(super) fn times(mut self, micros: Option<(i64, i64)>) -> Self {
        self.event_time_micros = micros;
        self
    }

    pub(super) fn events(mut self, events: Option<u64>) -> Self {
        self.events = events;
        self
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.object)?;
        if !(self.expected.is_empty() && self.found.is_empty()) {
            write!(f, ": expected {}, found {}", self.expected, self.found)?;
        }
        if !self.detail.is_empty() {
            write!(f, "; {}", self.detail)?;
        }
        Ok(())
    }
}

/// Findings of one severity that are kept; the rest is counted. A place that is not an archive at
/// all must not fill the memory.
const KEPT_MAX: usize = 10_000;

/// Findings as they come.
#[derive(Debug, Default)]
pub(super) struct Findings {
    tampering: Vec<Finding>,
    incomplete: Vec<Finding>,
    omitted: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        let of_its_severity = match finding.severity {
            Severity::Tampering => &mut self.tampering,
            Severity::Incomplete => &mut self.incomplete,
        };
        if of_its_severity.len() < KEPT_MAX {
            of_its_severity.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// How many were found and are not kept.
    pub(super) const fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Worst first, then by version, code and object, so that two runs print alike.
    pub(super) fn sorted(self) -> Vec<Finding> {
        let mut all = self.tampering;
        all.extend(self.incomplete);
        all.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| a.version.unwrap_or(u64::MAX).cmp(&b.version.unwrap_or(u64::MAX)))
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| a.object.cmp(&b.object))
        });
        all
    }
}
