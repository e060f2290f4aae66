//! Reads manifests and inbox, checks them against the log, and collects what they name.

use std::collections::{BTreeMap, BTreeSet};

use common::commit::{Commit, ManifestRef};
use common::layout::{self, INBOX_PREFIX};
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::{FileEntry, Manifest, QuarantineEntry};
use common::{DeliveryId, Sha256Digest, UnitId};
use futures::{StreamExt, TryStreamExt, stream};

use super::claims::Claims;
use super::commits::{self, Commits, Logged};
use super::finding::{Code, Finding, Findings};
use super::{Progress, Stage};
use crate::background;
use crate::error::ArchiveError;
use crate::held::Held;
use crate::seats::Reader;
use crate::snapshot::{Waiting, read_waiting};
use crate::store::Store;

/// Manifests read at once.
const READS_MAX: usize = 16;

/// What log, manifests and inbox say there should be.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) table_id: Option<String>,
    /// What the ledger would say of the commits, in the order of their versions.
    pub(super) logged: Vec<Logged>,
    /// Versions found, with the units their manifests name; `None` if a manifest is unreadable.
    pub(super) versions: BTreeMap<u64, Option<BTreeSet<UnitId>>>,
    /// Files by path.
    pub(super) files: BTreeMap<String, Expected>,
    /// Deliveries that a commit names.
    pub(super) sealed: BTreeSet<DeliveryId>,
    /// Deliveries that wait in the inbox.
    pub(super) waiting: BTreeSet<DeliveryId>,
    pub(super) manifests_count: u64,
    pub(super) waiting_count: u64,
    pub(super) rows: u64,
    /// Units that count, with their version.
    kept: Vec<(UnitId, u64)>,
    /// Units a commit left out, with its version.
    left_out: Vec<(UnitId, u64)>,
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

impl History {
    pub(super) fn version(&self) -> Option<u64> {
        self.versions.keys().next_back().copied()
    }

    /// The last version of the run of versions that starts at 0 and has no gap.
    pub(super) fn version_without_gap(&self) -> Option<u64> {
        (0..).zip(self.versions.keys()).take_while(|(n, v)| n == *v).last().map(|(n, _)| n)
    }

    pub(super) fn commits_count(&self) -> u64 {
        u64::try_from(self.versions.len()).unwrap_or(u64::MAX)
    }

    /// Whether every unit of every commit is known.
    pub(super) fn is_complete(&self) -> bool {
        self.versions.values().all(Option::is_some) && self.version_without_gap() == self.version()
    }

    /// Whether some commit's manifests name the unit.
    pub(super) fn holds(&self, unit: &UnitId) -> bool {
        self.versions.values().flatten().any(|units| units.contains(unit))
    }

    fn expect(&mut self, path: &str, expected: Expected, findings: &mut Findings, url: &str) {
        use std::collections::btree_map::Entry;
        match self.files.entry(path.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(expected);
            }
            Entry::Occupied(mut place) => {
                let before = place.get_mut();
                let both_count = before.is_required
                    && expected.is_required
                    && before.version.is_some()
                    && expected.version.is_some();
                if both_count && matches!(expected.what, What::Events(_)) {
                    findings.push(
                        Finding::new(Code::UnitTwice, url)
                            .version(expected.version)
                            .times(expected.times())
                            .differs("one commit that adds it", "two")
                            .detail("its rows count twice"),
                    );
                } else {
                    // A manifest described it already, and its words are vouched for by a digest.
                    before.is_required |= expected.is_required;
                }
            }
        }
    }
}

impl Expected {
    /// Length the file should have.
    pub(super) fn bytes(&self) -> u64 {
        match &self.what {
            What::Events(entry) => entry.bytes,
            What::Quarantine(entry) => entry.bytes,
        }
    }

    /// Event times of its rows.
    pub(super) fn times(&self) -> Option<(i64, i64)> {
        match &self.what {
            What::Events(entry) => Some((entry.event_time_micros_min, entry.event_time_micros_max)),
            What::Quarantine(_) => None,
        }
    }
}

/// Reads everything but the files.
pub(super) async fn read(
    reader: &Reader,
    findings: &mut Findings,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<History, ArchiveError> {
    let store = reader.store();
    let mut history = History::default();
    let Commits { logged, parsed: commits } = commits::read(store, findings, progress).await?;
    history.logged = logged;
    let named = commits.iter().filter_map(|(_, commit)| commit.as_ref());
    let manifests = named.map(|commit| commit.note.manifests.len()).sum::<usize>();
    let total = u64::try_from(manifests).unwrap_or(u64::MAX);
    for (version, commit) in commits {
        let Some(commit) = commit else {
            history.versions.insert(version, None);
            continue;
        };
        add_commit(store, &mut history, commit, findings, &|done| {
            let stage = Stage::Manifests;
            progress(Progress { stage, done, total, bytes_done: 0, bytes_total: 0 });
        })
        .await?;
    }
    check_units(store, &mut history, findings);
    read_inbox(reader, &mut history, findings).await?;
    Ok(history)
}

/// Reads what one commit names, and checks it against what was held before it.
pub(super) async fn of_commit(
    store: &Store,
    commit: &Commit,
    held_before: &Held,
    findings: &mut Findings,
) -> Result<History, ArchiveError> {
    let mut history = History::default();
    add_commit(store, &mut history, commit.clone(), findings, &|_| {}).await?;
    let version = commit.note.version;
    let mut within = BTreeSet::new();
    for (unit, _) in &history.kept {
        if held_before.contains(unit) || !within.insert(*unit) {
            findings.push(
                Finding::new(Code::UnitTwice, store.object_url(&layout::commit_key(version)))
                    .version(Some(version))
                    .differs(format!("unit {unit} in one commit only"), "the unit again"),
            );
        }
    }
    for (unit, _) in &history.left_out {
        if !held_before.contains(unit) && !within.contains(unit) {
            findings.push(
                Finding::new(Code::UnitLost, store.object_url(&layout::commit_key(version)))
                    .version(Some(version))
                    .differs(format!("unit {unit}, or an earlier commit with it"), "neither"),
            );
        }
    }
    Ok(history)
}

/// What an object that can not be read is reported as, unless the store itself is at fault.
pub(super) fn unreadable(error: ArchiveError) -> Result<String, ArchiveError> {
    match error {
        e @ (ArchiveError::Store { .. } | ArchiveError::Unknown { .. }) => Err(e),
        e => Ok(e.to_string()),
    }
}

/// Reads a commit's manifests and checks that the commit follows from them.
async fn add_commit(
    store: &Store,
    history: &mut History,
    commit: Commit,
    findings: &mut Findings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), ArchiveError> {
    let version = commit.note.version;
    let times = commits::event_times(&commit);
    if let Some(table_id) = &commit.table_id {
        history.table_id = Some(table_id.clone());
    }
    let mut claims = Claims::new(store, version, &commit.adds);
    let mut units = Some(BTreeSet::new());
    let named = stream::iter(commit.note.manifests.clone());
    let mut manifests = named
        .map(|named| async move {
            let read = read_manifest(store, &named).await?;
            Ok::<_, ArchiveError>((named, read))
        })
        .buffered(READS_MAX);
    while let Some((named, read)) = manifests.try_next().await? {
        history.manifests_count += 1;
        if !history.sealed.insert(named.delivery) {
            let object = store.object_url(&layout::manifest_key(named.delivery));
            let finding = Finding::new(Code::UnitTwice, object).version(Some(version));
            findings.push(finding.differs("one commit that seals it", "two").times(times));
        }
        progress(history.manifests_count);
        match read {
            Err(finding) => {
                units = None;
                claims.give_up();
                findings.push(finding.version(Some(version)).times(times));
            }
            Ok(manifest) => {
                findings.extend(claims.claim(&named, &manifest));
                if let Some(units) = &mut units {
                    units.extend(manifest.units.iter().map(|unit| unit.id));
                }
                add_units(history, version, &named, &manifest);
                for entry in &manifest.files {
                    let what = What::Events(Box::new(entry.clone()));
                    let left = Expected { what, version: Some(version), is_required: false };
                    history.files.entry(entry.path.clone()).or_insert(left);
                }
                for entry in &manifest.quarantine {
                    let what = What::Quarantine(entry.clone());
                    let left = Expected { what, version: Some(version), is_required: false };
                    history.files.entry(entry.path.clone()).or_insert(left);
                }
            }
        }
    }
    drop(manifests);
    findings.extend(claims.unclaimed());
    history.versions.insert(version, units);
    expect_files(store, history, commit, findings);
    Ok(())
}

fn expect_files(store: &Store, history: &mut History, commit: Commit, findings: &mut Findings) {
    let version = Some(commit.note.version);
    for entry in commit.adds {
        history.rows = history.rows.saturating_add(entry.rows);
        let (path, url) = (entry.path.clone(), store.object_url(&entry.path));
        let what = What::Events(Box::new(entry));
        history.expect(&path, Expected { what, version, is_required: true }, findings, &url);
    }
    for entry in commit.note.manifests.into_iter().flat_map(|named| named.quarantine) {
        let (path, url) = (entry.path.clone(), store.object_url(&entry.path));
        if let Err(error) = entry.check() {
            let finding = Finding::new(Code::CommitFormat, &url).format(&error);
            findings.push(finding.version(version));
        }
        let what = What::Quarantine(entry);
        history.expect(&path, Expected { what, version, is_required: true }, findings, &url);
    }
}

fn add_units(history: &mut History, version: u64, named: &ManifestRef, manifest: &Manifest) {
    for (index, unit) in manifest.units.iter().enumerate() {
        let is_kept = named.units_kept.as_ref().is_none_or(|kept| kept.contains(&index));
        let list = if is_kept { &mut history.kept } else { &mut history.left_out };
        list.push((unit.id, version));
    }
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

/// Every unit counts once: not twice, and none left out that no other commit holds.
fn check_units(store: &Store, history: &mut History, findings: &mut Findings) {
    history.kept.sort_unstable();
    for pair in history.kept.windows(2) {
        if let [(unit, first), (same, second)] = pair
            && unit == same
        {
            findings.push(
                Finding::new(Code::UnitTwice, store.object_url(&layout::commit_key(*second)))
                    .version(Some(*second))
                    .differs(format!("unit {unit} only in version {first}"), "the unit again")
                    .detail("its rows count twice"),
            );
        }
    }
    if !history.is_complete() {
        return;
    }
    for (unit, version) in &history.left_out {
        let start = history.kept.partition_point(|(kept, _)| kept < unit);
        let held = history.kept.get(start).is_some_and(|(kept, at)| kept == unit && at <= version);
        if !held {
            findings.push(
                Finding::new(Code::UnitLost, store.object_url(&layout::commit_key(*version)))
                    .version(Some(*version))
                    .differs(format!("unit {unit}, or an earlier commit with it"), "neither")
                    .detail("rows that were acknowledged are not in the archive"),
            );
        }
    }
}

async fn read_inbox(
    reader: &Reader,
    history: &mut History,
    findings: &mut Findings,
) -> Result<(), ArchiveError> {
    let work = reader.work();
    let mut objects = stream::iter(work.list(INBOX_PREFIX, None).await?)
        .map(|object| async move {
            let read = read_waiting(work, &object.key).await?;
            Ok::<_, ArchiveError>((object.key, read))
        })
        .buffered(READS_MAX);
    while let Some((key, read)) = objects.try_next().await? {
        let object = work.object_url(&key);
        history.waiting.extend(layout::parse_inbox(&key));
        let manifest = match read {
            Waiting::Vanished => continue,
            Waiting::Unreadable(wrong) => {
                findings.push(
                    Finding::incomplete(Code::ManifestFormat, object)
                        .differs("a waiting manifest", wrong)
                        .detail("it is not sealed; the next seal refuses it"),
                );
                continue;
            }
            Waiting::Manifest(manifest) => manifest,
        };
        history.waiting_count += 1;
        let all_held = manifest.units.iter().all(|unit| history.holds(&unit.id));
        let detail = if all_held { "all of it is sealed already" } else { "run `meshledger seal`" };
        findings.push(
            Finding::incomplete(Code::Unsealed, object)
                .differs("a commit that seals it", format!("{} rows waiting", manifest.rows()))
                .detail(detail),
        );
        for entry in &manifest.files {
            let what = What::Events(Box::new(entry.clone()));
            let expected = Expected { what, version: None, is_required: !all_held };
            history.files.entry(entry.path.clone()).or_insert(expected);
        }
        for entry in &manifest.quarantine {
            let what = What::Quarantine(entry.clone());
            let expected = Expected { what, version: None, is_required: !all_held };
            history.files.entry(entry.path.clone()).or_insert(expected);
        }
    }
    Ok(())
}
