//! Verification: everything the archive says of itself, checked against the bytes.
//!
//! It never stops at the first finding and takes nothing on trust, its own bytes included: what
//! it reads may be written by an attacker. Whoever can rewrite the whole archive consistently is
//! caught by the ledger's signatures alone, and only where a policy from outside says whose count.

mod claims;
mod commits;
mod delta;
mod files;
mod finding;
mod footer;
mod history;
mod inbox;
mod keys;
mod known;
mod ledger;
mod rows;
mod strays;
mod units;
mod walk;

use std::num::NonZeroUsize;

use common::commit::Commit;
use common::manifest::Manifest;
use serde::Serialize;
use tlog::note::Note;
use tlog::policy::Policy;

use crate::error::ArchiveError;
use crate::held::Held;
use crate::seats::Reader;

pub use delta::check_delta_checkpoint;
pub use finding::{Code, Finding, Severity};
pub use ledger::LedgerState;
pub use rows::{RowsWrong, check_rows};

use files::{Counts, Pool};
use finding::Findings;
use known::Known;
use strays::Listing;
use walk::{Walk, Walked};

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// No data file: the ledger, every commit and manifest, the held index; of each file that it
    /// is there, its length, and its SHA-256 where the store kept one that it checked itself.
    Quick,
    /// Also every byte of every file, and its footer.
    #[default]
    Full,
    /// Also every row: row roots, and all statistics against the rows they are of.
    Deep,
}

/// How a verification is run.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// How much is read.
    pub depth: Depth,
    /// A checkpoint that was seen earlier, of which this archive must be a continuation.
    pub since: Option<Note>,
    /// Whom to trust: then a ledger must be there, and signed as it says. Comes from outside the
    /// archive; without it, a ledger is held against its own words alone.
    pub policy: Option<Policy>,
    /// Files hashed at once; the processors there are, if `None`.
    pub files_at_once: Option<NonZeroUsize>,
}

/// What a verification is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading commits, and checking what they name.
    Commits,
    /// Looking for what nobody names.
    Strays,
    /// Computing the ledger again.
    Ledger,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Objects of this stage that are done.
    pub done: u64,
    /// Objects of this stage, as far as known.
    pub total: u64,
    /// Bytes of this stage that are done.
    pub bytes_done: u64,
    /// Bytes of this stage, as far as known.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// URL of the archive.
    pub archive: String,
    /// How much was read.
    pub depth: Depth,
    /// Table id, if version 0 could be read.
    pub table_id: Option<String>,
    /// Latest version found.
    pub version: Option<u64>,
    /// Commits read.
    pub commits: u64,
    /// Sealed manifests read.
    pub manifests: u64,
    /// Waiting manifests found.
    pub unsealed_manifests: u64,
    /// Event and quarantine files looked at.
    pub files: u64,
    /// Of those, files whose SHA-256 was compared: of their bytes, or as the store computed it when
    /// it took them.
    pub digests: u64,
    /// Event rows in the sealed files.
    pub rows: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Rows decoded and hashed.
    pub rows_decoded: u64,
    /// The ledger, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerState>,
    /// Everything that is wrong, worst first.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept, no worse than the worst of them.
    pub findings_omitted: u64,
}

impl VerifyReport {
    /// The worst severity found; `None` if nothing is wrong.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Verifies an archive: its log, manifests, files and index, and that nothing else is there.
///
/// # Errors
/// Only if a store can not be read or there is no archive at all; damage is a finding.
pub async fn verify(
    reader: &Reader,
    options: VerifyOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<VerifyReport, ArchiveError> {
    let (mut findings, mut unreachable) = (Findings::default(), Unreachable::default());
    let store = reader.store();
    // The ledger first: what it speaks of is in the log by then. Then the inbox: what leaves it
    // is in the log too.
    let seen = ledger::see(reader).await?;
    let mut known = Known::default();
    let questions = inbox::look(reader, &mut known).await?;
    let mut pool = Pool::new(store.clone(), options.depth, options.files_at_once);
    let walk = Walk {
        store,
        pool: &mut pool,
        findings: &mut findings,
        unreachable: &mut unreachable,
        progress,
        expected: seen.size(),
    };
    let mut walked = walk.run(known).await?;
    delta::check(store, &walked, &mut findings).await?;
    let mut named = std::mem::take(&mut walked.known.named).sorted();
    let depth = options.depth;
    let listing = Listing { reader, depth, findings: &mut findings, progress };
    let strays = listing.run(&mut named, &mut walked, &questions).await?;
    drop(named);
    let mut units = std::mem::take(&mut walked.known.units).sorted();
    let (end, is_complete) = (walked.last_without_gap(), walked.is_complete());
    let answers = units::check(store, &mut units, end, is_complete, &mut findings)?;
    drop(units);
    let (waiting, late) =
        inbox::check(reader, &questions, &answers, &mut pool, &mut findings, &mut unreachable)
            .await?;
    pool.finish(&mut findings, &mut unreachable).await?;
    strays.judge(reader, &walked, &questions, &answers, late, &mut findings).await?;
    let state = ledger::check(reader, seen, &mut walked, &options, &mut findings, progress).await?;
    Ok(report(reader, &options, &walked, waiting, pool.counts, state, findings))
}

fn report(
    reader: &Reader,
    options: &VerifyOptions,
    walked: &Walked,
    unsealed_manifests: u64,
    counts: Counts,
    ledger: Option<LedgerState>,
    findings: Findings,
) -> VerifyReport {
    VerifyReport {
        archive: reader.store().url().to_owned(),
        depth: options.depth,
        table_id: walked.table_id.clone(),
        version: walked.last,
        commits: walked.commits,
        manifests: walked.manifests,
        unsealed_manifests,
        files: counts.files,
        digests: counts.digests,
        rows: walked.rows,
        bytes: counts.bytes,
        rows_decoded: counts.rows,
        ledger,
        findings_omitted: findings.omitted(),
        findings: findings.sorted(),
    }
}

/// Objects in a row that the store may fail to give before it is taken to be down.
const UNREACHABLE_MAX: u32 = 16;

/// How often in a row the store failed to give what it has.
#[derive(Debug)]
struct Unreachable {
    in_a_row: u32,
    in_a_row_max: u32,
}

impl Default for Unreachable {
    fn default() -> Self {
        Self { in_a_row: 0, in_a_row_max: UNREACHABLE_MAX }
    }
}

impl Unreachable {
    /// No failure is borne.
    const fn none() -> Self {
        Self { in_a_row: 0, in_a_row_max: 0 }
    }

    /// The store answers.
    const fn reached(&mut self) {
        self.in_a_row = 0;
    }

    /// What an error of the store is reported as; the error itself if the store seems to be down,
    /// or if it is one of another sort.
    fn report(&mut self, error: ArchiveError) -> Result<Finding, ArchiveError> {
        let (ArchiveError::Store { object, .. } | ArchiveError::Unknown { object, .. }) = &error
        else {
            return Err(error);
        };
        if self.in_a_row >= self.in_a_row_max {
            return Err(error);
        }
        self.in_a_row += 1;
        Ok(Finding::incomplete(Code::Unreachable, object)
            .differs("an answer of the store", &error)
            .detail("nothing is known of it; run verify again"))
    }
}

/// What an object that can not be read is reported as, unless the store itself is at fault.
fn unreadable(error: ArchiveError) -> Result<String, ArchiveError> {
    match error {
        e @ (ArchiveError::Store { .. } | ArchiveError::Unknown { .. }) => Err(e),
        e => Ok(e.to_string()),
    }
}

/// Checks the files of a manifest that is not sealed yet: length, SHA-256, rows, statistics.
///
/// # Errors
/// If a file can not be read.
pub async fn check_manifest_files(
    reader: &Reader,
    manifest: &Manifest,
) -> Result<Vec<Finding>, ArchiveError> {
    let mut findings = Vec::new();
    for (path, expected) in history::files_of(manifest, None, true) {
        let mut counts = Counts::default();
        let store = reader.store();
        findings
            .extend(files::check_file(store, &path, &expected, Depth::Full, &mut counts).await?);
    }
    Ok(findings)
}

/// Checks a commit by itself, before it is signed: that it follows from its manifests, that each
/// unit it takes was held by no earlier commit and each one it leaves out was, and, if `files` are
/// asked for, that every file is there with its length, SHA-256, rows and statistics.
///
/// # Errors
/// If the store can not be read.
pub async fn check_commit(
    reader: &Reader,
    commit: &Commit,
    held_before: &Held,
    files: bool,
) -> Result<Vec<Finding>, ArchiveError> {
    let mut findings = Findings::default();
    let store = reader.store();
    let of_commit = history::check_alone(store, commit, held_before, &mut findings).await?;
    if files {
        for (path, expected) in of_commit.files.iter().filter(|(_, file)| file.is_required) {
            let mut counts = Counts::default();
            findings
                .extend(files::check_file(store, path, expected, Depth::Full, &mut counts).await?);
        }
    }
    Ok(findings.sorted())
}

#[cfg(test)]
mod tests;
