//! Verification: everything the archive says of itself, checked against the bytes.
//!
//! It never stops at the first finding and takes nothing on trust, its own bytes included: what
//! it reads may be written by an attacker. Whoever can rewrite the whole archive consistently is
//! caught by the ledger's signatures alone, and only where a policy from outside says whose count.

mod claims;
mod commits;
mod files;
mod finding;
mod footer;
mod history;
mod ledger;
mod strays;

use std::num::NonZeroUsize;

use common::commit::Commit;
use common::manifest::Manifest;
use serde::Serialize;
use tlog::policy::Policy;

use crate::error::ArchiveError;
use crate::held::Held;
use crate::seats::Reader;

pub use finding::{Code, Finding, Severity};
pub use ledger::LedgerState;

use finding::Findings;
use history::{Expected, What};

/// How a verification is run.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
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
    /// Reading commits.
    Commits,
    /// Reading manifests.
    Manifests,
    /// Hashing event and quarantine files.
    Files,
    /// Looking for what nobody names.
    Strays,
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
    /// Event and quarantine files hashed.
    pub files: u64,
    /// Event rows in the sealed files.
    pub rows: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// The ledger, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerState>,
    /// Everything that is wrong, worst first.
    pub findings: Vec<Finding>,
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
    let mut findings = Findings::default();
    // The ledger first: what it speaks of is in the log by then.
    let seen = ledger::see(reader).await?;
    let history = history::read(reader, &mut findings, progress).await?;
    let policy = options.policy.as_ref();
    let ledger = ledger::check(reader, seen, &history, policy, &mut findings).await?;
    let counts = files::check(reader, &history, &options, &mut findings, progress).await?;
    strays::check(reader, &history, &mut findings, progress).await?;
    Ok(VerifyReport {
        archive: reader.store().url().to_owned(),
        table_id: history.table_id.clone(),
        version: history.version(),
        commits: history.commits_count(),
        manifests: history.manifests_count,
        unsealed_manifests: history.waiting_count,
        files: counts.files,
        rows: history.rows,
        bytes: counts.bytes,
        ledger,
        findings: findings.sorted(),
    })
}

/// Checks the files of a manifest that is not sealed yet: length, SHA-256, rows, statistics.
///
/// # Errors
/// If a file can not be read.
pub async fn check_manifest_files(
    reader: &Reader,
    manifest: &Manifest,
) -> Result<Vec<Finding>, ArchiveError> {
    let events = manifest.files.iter().map(|f| (&f.path, What::Events(Box::new(f.clone()))));
    let rejects = manifest.quarantine.iter().map(|q| (&q.path, What::Quarantine(q.clone())));
    let mut findings = Vec::new();
    for (path, what) in events.chain(rejects) {
        let expected = Expected { what, version: None, is_required: true };
        findings.extend(files::check_file(reader.store(), path, &expected).await?);
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
    let history = history::of_commit(reader.store(), commit, held_before, &mut findings).await?;
    if files {
        for (path, expected) in history.files.iter().filter(|(_, file)| file.is_required) {
            findings.extend(files::check_file(reader.store(), path, expected).await?);
        }
    }
    Ok(findings.sorted())
}

#[cfg(test)]
mod tests;
