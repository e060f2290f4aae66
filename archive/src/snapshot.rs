//! An immutable view of the archive at one version, with or without what waits in the inbox.
//!
//! An acknowledged event is visible in a fresh snapshot at once, never twice, never briefly gone:
//! the inbox is listed first and the end of the log after, so that what a sealer moves in between
//! is seen in at least one of them, and what is seen in both is held and dropped.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use common::UnitId;
use common::layout::{self, INBOX_PREFIX};
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::{FileEntry, Manifest, QuarantineEntry};
use common::resolve::{Resolution, resolve};
use futures::{StreamExt, TryStreamExt, stream};

use crate::background;
use crate::delta_checkpoint::State;
use crate::error::ArchiveError;
use crate::held::{Held, list_runs};
use crate::log::{Log, SealedCommit};
use crate::opening::Marks;
use crate::seats::cache::{KNOWN_BYTES_MAX, Known};
use crate::seats::{Places, Reader};
use crate::store::{Listed, READS_AT_ONCE, Store};
use crate::strict::{Authentic, SealedThrough};

/// Whether what is not sealed yet counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Sealed and waiting.
    #[default]
    Fresh,
    /// Sealed only.
    Strict,
}

/// An event file of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotFile {
    /// The file.
    pub entry: FileEntry,
    /// Version that sealed it; `None` if it waits.
    pub sealed_version: Option<u64>,
    /// Some if only these ranges of `segment_row` count, ascending and apart: the other rows are
    /// of units held elsewhere.
    pub kept_rows: Option<Vec<Range<u64>>>,
}

/// A quarantine file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotQuarantine {
    /// The file.
    pub entry: QuarantineEntry,
    /// Version that sealed it; `None` if it waits.
    pub sealed_version: Option<u64>,
    /// Some if only the rejects of these units (column `unit`) count.
    pub kept_units: Option<Vec<UnitId>>,
}

/// A view at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Latest version of the log.
    pub version: u64,
    /// Table id.
    pub table_id: String,
    /// What counts.
    pub mode: Mode,
    /// Event files: sealed ones in order of version, then waiting ones.
    pub files: Vec<SnapshotFile>,
    /// Quarantine files, in the same order.
    pub quarantine: Vec<SnapshotQuarantine>,
    /// Waiting manifests that count, wholly or in part.
    pub unsealed_manifests: u64,
    /// Waiting rows that count.
    pub unsealed_rows: u64,
    /// Waiting objects that are no manifest, each with what is wrong. They do not fail a query,
    /// or a single bad object in the inbox would fail all of them for ever; a seal refuses them,
    /// and who shows an answer says that they are there.
    pub unreadable_manifests: Vec<String>,
    /// The log this rests on; the next snapshot reads only what is new. A strict snapshot of an
    /// archive with a ledger does not rest on it, but keeps it for a fresh one that may follow.
    pub log: Log,
    /// What a strict snapshot of an archive with a ledger rests on.
    pub authentic: Option<Arc<Authentic>>,
}

/// What stands in the inbox under a key.
#[derive(Debug)]
pub(crate) enum Waiting {
    Manifest(Arc<Manifest>),
    /// Gone since it was listed: sealed, dropped or refused meanwhile.
    Vanished,
    /// What is wrong with it.
    Unreadable(String),
}

/// What was found in the inbox.
#[derive(Debug, Default)]
struct Inbox {
    /// In ascending order of delivery id.
    manifests: Vec<Arc<Manifest>>,
    /// Those of them that need not be read again.
    known: Known,
    /// Objects that are no manifest, each with what is wrong.
    unreadable: Vec<String>,
    /// Whether one was gone when it was read.
    has_vanished: bool,
}

impl Reader {
    /// A view of the archive as it is now.
    ///
    /// # Errors
    /// If the log is damaged, or a store can not be read.
    pub async fn snapshot(&self, mode: Mode) -> Result<Snapshot, ArchiveError> {
        self.snapshot_from(None, mode).await
    }

    /// A view of the archive as it is now, reading of the log only what `previous` lacks.
    ///
    /// # Errors
    /// If the log is damaged, or a store can not be read.
    pub async fn snapshot_from(
        &self,
        previous: Option<&Snapshot>,
        mode: Mode,
    ) -> Result<Snapshot, ArchiveError> {
        let empty = Log::default();
        let known = previous.map_or(&empty, |snapshot| &snapshot.log);
        if mode == Mode::Strict {
            if let Some(mut snapshot) = self.strict(previous, None).await? {
                snapshot.log = known.clone();
                return Ok(snapshot);
            }
            // What a fresh one began with rests on no signature.
            let known = if known.state().is_some() { &empty } else { known };
            return self.sealed(Log::load(&self.places.archive, known).await?, mode);
        }
        self.fresh(known).await
    }

    /// What is sealed and what waits. What does not depend on each other is asked for at once:
    /// first what waits, and where the log may begin; then the log, what was found waiting, and
    /// the held index; last the held units.
    async fn fresh(&self, known: &Log) -> Result<Snapshot, ArchiveError> {
        let Places { archive: store, work, .. } = &self.places;
        let (known, has_held, inbox) = {
            let cache = self.cache.lock().await;
            let later = if known.version() > cache.log.version() { known } else { &cache.log };
            (later.clone(), cache.held.through().is_some(), Arc::clone(&cache.inbox))
        };
        let is_known = known.version().is_some();
        let marks = async { if is_known { Marks::default() } else { self.marks().await } };
        let (listed, marks) = futures::join!(work.list(INBOX_PREFIX, None), marks);
        let listed = listed?;
        // Only now: a manifest that vanished from the inbox until here was sealed before here.
        let log = async {
            if is_known { Log::load(store, &known).await } else { self.newest_log(marks).await }
        };
        if listed.is_empty() {
            return self.sealed(log.await?, Mode::Fresh);
        }
        let runs = async { if has_held { Ok(None) } else { list_runs(store).await.map(Some) } };
        let (mut log, waiting, runs) = futures::try_join!(log, self.waiting(listed, &inbox), runs)?;
        if waiting.has_vanished {
            // It may have been sealed after the log was listed.
            log = Log::load(store, &log).await?;
        }
        // Held units never run ahead of the log: what is held by a commit that the snapshot lacks
        // would be dropped and briefly gone. A longer log than this one has all that this has.
        let mut cache = self.cache.lock().await;
        if cache.log.version() > log.version() {
            log = cache.log.clone();
        }
        cache.inbox = Arc::new(waiting.known);
        cache.learn(store, &log, runs).await?;
        let mut snapshot = self.sealed(log, Mode::Fresh)?;
        snapshot.unreadable_manifests = waiting.unreadable;
        snapshot.add_waiting(&waiting.manifests, &cache.held);
        Ok(snapshot)
    }

    /// A view of the archive as it was when this version was its latest: nothing of the inbox,
    /// and in mode strict what the signed checkpoint covers of it. Of the log only what
    /// `previous` lacks is read, and nothing behind that version.
    ///
    /// # Errors
    /// [`ArchiveError::NoVersion`] if there is no such version, or, in mode strict, the checkpoint
    /// does not cover it; as [`Self::snapshot_from`] else.
    pub async fn snapshot_at(
        &self,
        previous: Option<&Snapshot>,
        mode: Mode,
        version: u64,
    ) -> Result<Snapshot, ArchiveError> {
        let empty = Log::default();
        let known = previous.map_or(&empty, |snapshot| &snapshot.log);
        if mode == Mode::Strict
            && let Some(mut snapshot) = self.strict(previous, Some(version)).await?
        {
            snapshot.log = known.clone();
            return Ok(snapshot);
        }
        let end = version.saturating_add(1);
        // What a fresh one began with is not what a strict one may begin with.
        let is_of_use = mode == Mode::Fresh || known.state().is_none();
        let known = if is_of_use && known.reaches_back_to(version) { known } else { &empty };
        let log = if known.next_version() >= end {
            known.prefix(end)
        } else {
            Log::load_before(&self.places.archive, known, end).await?
        };
        match log.version() {
            Some(latest) if latest < version => {
                let url = self.places.archive.url().to_owned();
                Err(ArchiveError::NoVersion { url, asked: version, known: "its latest is", latest })
            }
            _ => self.sealed(log, mode),
        }
    }

    /// Reads the manifests that were listed, but for those that are known.
    async fn waiting(&self, listed: Vec<Listed>, known: &Known) -> Result<Inbox, ArchiveError> {
        let work = &self.places.work;
        let read: Vec<(Listed, Waiting)> = stream::iter(listed)
            .map(|object| async move {
                let waiting = match known.get(&object.key) {
                    Some((stamp, manifest)) if object.stamp.as_ref() == Some(stamp) => {
                        Waiting::Manifest(Arc::clone(manifest))
                    }
                    _ => read_waiting(work, &object.key).await?,
                };
                Ok::<_, ArchiveError>((object, waiting))
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let (mut inbox, mut known_bytes) = (Inbox::default(), 0u64);
        for (object, waiting) in read {
            match waiting {
                Waiting::Manifest(manifest) => {
                    known_bytes = known_bytes.saturating_add(object.bytes);
                    if let Some(stamp) = object.stamp.filter(|_| known_bytes <= KNOWN_BYTES_MAX) {
                        inbox.known.insert(object.key, (stamp, Arc::clone(&manifest)));
                    }
                    inbox.manifests.push(manifest);
                }
                Waiting::Vanished => inbox.has_vanished = true,
                Waiting::Unreadable(wrong) => inbox.unreadable.push(wrong),
            }
        }
        inbox.manifests.sort_unstable_by_key(|manifest| manifest.delivery);
        Ok(inbox)
    }

    fn sealed(&self, log: Log, mode: Mode) -> Result<Snapshot, ArchiveError> {
        let Some(version) = log.version() else {
            return Err(ArchiveError::NotAnArchive {
                url: self.places.archive.url().to_owned(),
                expected: layout::commit_key(0),
                found: "no commit".to_owned(),
            });
        };
        let (files, quarantine) = log.state().map(State::snapshot).unwrap_or_default();
        let mut snapshot = Snapshot::of_commits(version, log.table_id(), files, quarantine);
        snapshot.mode = mode;
        snapshot.add_commits(log.commits_behind_state());
        snapshot.log = log;
        Ok(snapshot)
    }
}

impl Snapshot {
    /// What a strict snapshot of an archive with a ledger rests on.
    pub fn sealed_through(&self) -> Option<&SealedThrough> {
        self.authentic.as_ref().map(|authentic| authentic.through())
    }

    /// A strict snapshot of these files.
    pub(crate) fn of_commits(
        version: u64,
        table_id: &str,
        files: Vec<SnapshotFile>,
        quarantine: Vec<SnapshotQuarantine>,
    ) -> Self {
        Self {
            version,
            table_id: table_id.to_owned(),
            mode: Mode::Strict,
            files,
            quarantine,
            unsealed_manifests: 0,
            unsealed_rows: 0,
            unreadable_manifests: Vec::new(),
            log: Log::default(),
            authentic: None,
        }
    }

    /// Adds what commits add, and takes out what they remove.
    pub(crate) fn add_commits(&mut self, commits: &[Arc<SealedCommit>]) {
        // From the end on: a file counts unless a later commit removes it.
        let mut removed: HashSet<&str> = HashSet::new();
        let mut added = Vec::new();
        for sealed in commits.iter().rev() {
            let commit = &sealed.commit;
            let counts = |entry: &&FileEntry| !removed.contains(entry.path.as_str());
            added.extend(commit.adds.iter().rev().filter(counts).map(|entry| SnapshotFile {
                entry: entry.clone(),
                sealed_version: Some(commit.note.version),
                kept_rows: None,
            }));
            removed.extend(commit.removes.iter().map(String::as_str));
        }
        if !removed.is_empty() {
            self.files.retain(|file| !removed.contains(file.entry.path.as_str()));
        }
        self.files.extend(added.into_iter().rev());
        for sealed in commits {
            let quarantine = sealed.commit.note.manifests.iter().flat_map(|m| &m.quarantine);
            self.quarantine.extend(quarantine.map(|entry| SnapshotQuarantine {
                entry: entry.clone(),
                sealed_version: Some(sealed.commit.note.version),
                kept_units: None,
            }));
        }
    }

    fn add_waiting(&mut self, manifests: &[Arc<Manifest>], held: &Held) {
        let resolutions = resolve(manifests, |unit| held.contains(unit));
        for (manifest, resolution) in manifests.iter().zip(resolutions) {
            match resolution {
                Resolution::Drop => {}
                Resolution::Add => {
                    self.unsealed_manifests += 1;
                    for entry in &manifest.files {
                        self.add_file(entry, None);
                    }
                    self.add_quarantine(manifest, None);
                }
                Resolution::Mixed(units) => {
                    self.unsealed_manifests += 1;
                    let kept = kept_rows(manifest, &units);
                    for entry in &manifest.files {
                        match kept.get(entry.path.as_str()) {
                            Some(Kept::All) => self.add_file(entry, None),
                            Some(Kept::Ranges(rows)) => self.add_file(entry, Some(rows.clone())),
                            None => {}
                        }
                    }
                    self.add_quarantine(manifest, Some(&units));
                }
            }
        }
    }

    fn add_file(&mut self, entry: &FileEntry, kept_rows: Option<Vec<Range<u64>>>) {
        let rows = kept_rows.as_ref().map_or(entry.rows, |ranges| {
            ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
        });
        self.unsealed_rows = self.unsealed_rows.saturating_add(rows);
        self.files.push(SnapshotFile { entry: entry.clone(), sealed_version: None, kept_rows });
    }

    fn add_quarantine(&mut self, manifest: &Manifest, kept: Option<&[usize]>) {
        let kept_units = match kept {
            None => None,
            Some(kept) => match kept_rejects(manifest, kept) {
                KeptRejects::None => return,
                KeptRejects::All => None,
                KeptRejects::Units(units) => Some(units),
            },
        };
        self.quarantine.extend(manifest.quarantine.iter().map(|entry| SnapshotQuarantine {
            entry: entry.clone(),
            sealed_version: None,
            kept_units: kept_units.clone(),
        }));
    }
}

/// Which rows of a file count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// All of them: the file counts as it is.
    All,
    /// Only these ranges of `segment_row`, ascending and apart.
    Ranges(Vec<Range<u64>>),
}

/// The files of a mixed manifest of which any row counts, by path.
pub fn kept_rows<'a>(manifest: &'a Manifest, units: &[usize]) -> BTreeMap<&'a str, Kept> {
    let mut kept = BTreeMap::new();
    for file in &manifest.files {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let rows = units
            .iter()
            .filter_map(|&index| manifest.units.get(index))
            .flat_map(|unit| &unit.rows)
            .filter(|range| range.segment == file.segment);
        for row in rows {
            let end = row.first.saturating_add(row.count);
            match ranges.last_mut() {
                Some(last) if last.end == row.first => last.end = end,
                _ => ranges.push(row.first..end),
            }
        }
        if ranges.first() == Some(&(0..file.rows)) {
            kept.insert(file.path.as_str(), Kept::All);
        } else if !ranges.is_empty() {
            kept.insert(file.path.as_str(), Kept::Ranges(ranges));
        }
    }
    kept
}

/// Which rejects of a mixed manifest count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptRejects {
    /// None: no kept unit has rejects.
    None,
    /// All: only kept units have rejects.
    All,
    /// Those of these units.
    Units(Vec<UnitId>),
}

/// Which rejects of a mixed manifest count, if the units at these indexes do.
pub fn kept_rejects(manifest: &Manifest, units: &[usize]) -> KeptRejects {
    let with_rejects = manifest.units.iter().filter(|unit| unit.rejects > 0).count();
    let kept: Vec<UnitId> = units
        .iter()
        .filter_map(|&index| manifest.units.get(index))
        .filter(|unit| unit.rejects > 0)
        .map(|unit| unit.id)
        .collect();
    match kept.len() {
        0 => KeptRejects::None,
        count if count == with_rejects => KeptRejects::All,
        _ => KeptRejects::Units(kept),
    }
}

/// Reads one object of the inbox.
pub(crate) async fn read_waiting(work: &Store, key: &str) -> Result<Waiting, ArchiveError> {
    let object = work.object_url(key);
    let Some(delivery) = layout::parse_inbox(key) else {
        return Ok(Waiting::Unreadable(format!("{object}: expected inbox/<delivery id>.json")));
    };
    let bytes = match work.get_bounded(key, MANIFEST_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Waiting::Vanished),
        Err(e @ ArchiveError::TooLong { .. }) => return Ok(Waiting::Unreadable(e.to_string())),
        Err(e) => return Err(e),
    };
    let name = key.to_owned();
    let parsed = background::run(&object, move || Manifest::from_bytes(&name, &bytes)).await;
    Ok(match parsed {
        Ok(Ok(manifest)) if manifest.delivery == delivery => Waiting::Manifest(Arc::new(manifest)),
        Ok(Ok(manifest)) => {
            let other = manifest.delivery;
            Waiting::Unreadable(format!("{object}: expected delivery {delivery}, found {other}"))
        }
        Ok(Err(wrong)) => Waiting::Unreadable(wrong.to_string()),
        Err(wrong) => Waiting::Unreadable(wrong.to_string()),
    })
}

#[cfg(test)]
mod tests;
