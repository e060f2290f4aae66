//! Reads what one commit names, and checks that the commit follows from it.

use std::collections::{BTreeMap, BTreeSet};

use common::commit::{Commit, ManifestRef};
use common::layout;
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::{FileEntry, Manifest, QuarantineEntry};
use common::{DeliveryId, Sha256Digest, UnitId};
use futures::{StreamExt, TryStreamExt, stream};

use super::claims::Claims;
use super::commits::{self, Budget};
use super::finding::{Code, Finding, Findings};
use super::{Unreachable, unreadable};
use crate::background;
use crate::error::ArchiveError;
use crate::held::Held;
use crate::store::Store;

/// Manifests read at once.
const READS_MAX: usize = 16;

/// What a commit and its manifests say there should be.
#[derive(Debug, Default)]
pub(super) struct OfCommit {
    /// Files by path.
    pub(super) files: BTreeMap<String, Expected>,
    /// Deliveries it seals.
    pub(super) deliveries: Vec<DeliveryId>,
    /// Units that count by it.
    pub(super) kept: Vec<UnitId>,
    /// Units it left out.
    pub(super) left_out: Vec<UnitId>,
    /// Whether some manifest could not be read, so that units are missing here.
    pub(super) lacks_units: bool,
}

/// A file that should be there.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) what: What,
    /// The version that names it; `None` if it waits.
    pub(super) version: Option<u64>,
    /// Whether it must be there: not if all its rows were rewritten or are held elsewhere.
    pub(super) is_required: bool,
}

/// What sort of file.
#[derive(Debug, Clone)]
pub(super) enum What {
    Events(Box<FileEntry>),
    Quarantine(QuarantineEntry),
}

impl Expected {
    /// Length the file should have.
    pub(super) fn bytes(&self) -> u64 {
        match &self.what {
            What::Events(entry) => entry.bytes,
            What::Quarantine(entry) => entry.bytes,
        }
    }

    /// SHA-256 the file should have.
    pub(super) fn sha256(&self) -> Sha256Digest {
        match &self.what {
            What::Events(entry) => entry.sha256,
            What::Quarantine(entry) => entry.sha256,
        }
    }

    /// Version of the object that it should be, where the store keeps versions.
    pub(super) fn object_version(&self) -> Option<&str> {
        match &self.what {
            What::Events(entry) => entry.version.as_deref(),
            What::Quarantine(entry) => entry.version.as_deref(),
        }
    }

    /// Event times of its rows.
    pub(super) fn times(&self) -> Option<(i64, i64)> {
        match &self.what {
            What::Events(entry) => Some((entry.event_time_micros_min, entry.event_time_micros_max)),
            What::Quarantine(_) => None,
        }
    }

    /// Its event rows.
    pub(super) fn events(&self) -> Option<u64> {
        match &self.what {
            What::Events(entry) => Some(entry.rows),
            What::Quarantine(_) => None,
        }
    }
}

/// The files of a manifest, by path.
pub(super) fn files_of(
    manifest: &Manifest,
    version: Option<u64>,
    is_required: bool,
) -> impl Iterator<Item = (String, Expected)> {
    let events = manifest
        .files
        .iter()
        .map(|entry| (entry.path.clone(), What::Events(Box::new(entry.clone()))));
    let rejects = manifest
        .quarantine
        .iter()
        .map(|entry| (entry.path.clone(), What::Quarantine(entry.clone())));
    events.chain(rejects).map(move |(path, what)| (path, Expected { what, version, is_required }))
}

/// Reads a commit's manifests and checks that the commit follows from them.
pub(super) async fn of_commit(
    store: &Store,
    commit: Commit,
    findings: &mut Findings,
    unreachable: &mut Unreachable,
) -> Result<OfCommit, ArchiveError> {
    let version = commit.note.version;
    let (times, rows) = (commits::event_times(&commit), commits::event_rows(&commit));
    let mut of_commit = OfCommit::default();
    let mut claims = Claims::new(store, version, &commit.adds);
    let budget = Budget::new();
    let mut manifests = stream::iter(commit.note.manifests.clone())
        .then(|named| {
            let budget = budget.clone();
            async move {
                let room = budget.take(named.bytes).await;
                (named, room)
            }
        })
        .map(|(named, room)| {
            let store = store.clone();
            let object = store.object_url(&layout::manifest_key(named.delivery));
            let read = tokio::spawn(async move {
                let read = read_manifest(&store, &named).await;
                (named, read, room)
            });
            async move { read.await.map_err(|e| ArchiveError::Task { object, source: Box::new(e) }) }
        })
        .buffered(READS_MAX)
        .boxed();
    while let Some((named, read, _room)) = manifests.try_next().await? {
        of_commit.deliveries.push(named.delivery);
        let read = match read {
            Ok(read) => read,
            Err(e) => Err(unreachable.report(e)?),
        };
        match read {
            Err(finding) => {
                of_commit.lacks_units = true;
                claims.give_up();
                findings.push(finding.version(Some(version)).times(times).events(Some(rows)));
            }
            Ok(manifest) => {
                findings.extend(claims.claim(&named, &manifest));
                of_commit.add_units(&named, &manifest);
                for (path, left) in files_of(&manifest, Some(version), false) {
                    of_commit.files.entry(path).or_insert(left);
                }
            }
        }
    }
    findings.extend(claims.unclaimed());
    if !commit.removes.is_empty() {
        findings.push(
            Finding::new(Code::ManifestFormat, store.object_url(&layout::commit_key(version)))
                .version(Some(version))
                .differs(
                    "a commit that removes nothing",
                    format!("{} removes", commit.removes.len()),
                )
                .detail("nobody can sign yet that files may go"),
        );
    }
    of_commit.expect_files(store, commit, findings);
    Ok(of_commit)
}

impl OfCommit {
    fn add_units(&mut self, named: &ManifestRef, manifest: &Manifest) {
        for (index, unit) in manifest.units.iter().enumerate() {
            let is_kept = named.units_kept.as_ref().is_none_or(|kept| kept.contains(&index));
            let list = if is_kept { &mut self.kept } else { &mut self.left_out };
            list.push(unit.id);
        }
    }

    fn expect_files(&mut self, store: &Store, commit: Commit, findings: &mut Findings) {
        let version = Some(commit.note.version);
        for entry in commit.adds {
            self.expect(entry.path.clone(), What::Events(Box::new(entry)), version);
        }
        for entry in commit.note.manifests.into_iter().flat_map(|named| named.quarantine) {
            if let Err(error) = entry.check() {
                let url = store.object_url(&entry.path);
                let finding = Finding::new(Code::CommitFormat, url).format(&error);
                findings.push(finding.version(version));
            }
            self.expect(entry.path.clone(), What::Quarantine(entry), version);
        }
    }

    /// A file that must be there. If a manifest described it already, its words are vouched for
    /// by a digest and stay.
    fn expect(&mut self, path: String, what: What, version: Option<u64>) {
        let expected = Expected { what, version, is_required: true };
        self.files.entry(path).or_insert(expected).is_required = true;
    }
}

/// Checks what one commit takes against what was held before it.
pub(super) async fn check_alone(
    store: &Store,
    commit: &Commit,
    held_before: &Held,
    findings: &mut Findings,
) -> Result<OfCommit, ArchiveError> {
    let mut strict = Unreachable::none();
    let of_commit = of_commit(store, commit.clone(), findings, &mut strict).await?;
    let version = commit.note.version;
    let mut within = BTreeSet::new();
    let finding = |code| {
        Finding::new(code, store.object_url(&layout::commit_key(version))).version(Some(version))
    };
    for unit in &of_commit.kept {
        if held_before.contains(unit) || !within.insert(*unit) {
            findings.push(
                finding(Code::UnitTwice)
                    .differs(format!("unit {unit} in one commit only"), "the unit again"),
            );
        }
    }
    for unit in &of_commit.left_out {
        if !held_before.contains(unit) && !within.contains(unit) {
            findings.push(
                finding(Code::UnitLost)
                    .differs(format!("unit {unit}, or an earlier commit with it"), "neither"),
            );
        }
    }
    Ok(of_commit)
}

/// Reads a sealed manifest; what is wrong with it is a finding.
async fn read_manifest(
    store: &Store,
    named: &ManifestRef,
) -> Result<Result<Manifest, Finding>, ArchiveError> {
    let key = layout::manifest_key(named.delivery);
    let object = store.object_url(&key);
    let bytes = match store.get_bounded(&key, MANIFEST_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let finding = Finding::new(Code::ManifestMissing, object);
            let expected = format!("{} bytes with SHA-256 {}", named.bytes, named.sha256);
            return Ok(Err(finding.differs(expected, "nothing")));
        }
        Err(e) => {
            let finding = Finding::new(Code::ManifestHash, object);
            return Ok(Err(finding.differs("a readable manifest", unreadable(e)?)));
        }
    };
    let found = Sha256Digest::of(&bytes);
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if (found, length) != (named.sha256, named.bytes) {
        let expected = format!("{} bytes with SHA-256 {}", named.bytes, named.sha256);
        let found = format!("{length} bytes with SHA-256 {found}");
        return Ok(Err(Finding::new(Code::ManifestHash, object).differs(expected, found)));
    }
    let parsed = background::run(&object, move || Manifest::from_bytes(&key, &bytes)).await;
    Ok(match parsed {
        Ok(Ok(manifest)) if manifest.delivery == named.delivery => Ok(manifest),
        Ok(Ok(manifest)) => Err(Finding::new(Code::ManifestFormat, object)
            .differs(format!("delivery {}", named.delivery), manifest.delivery)),
        Ok(Err(error)) => Err(Finding::new(Code::ManifestFormat, object).format(&error)),
        Err(e) => Err(Finding::new(Code::ManifestFormat, object).differs("a manifest", e)),
    })
}
