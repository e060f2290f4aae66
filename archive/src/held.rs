//! Which units are held: named by the manifest of any commit ever.
//!
//! Read from the runs of the held index where there are some, else from the manifests. Runs are
//! derived data: their names prove their bytes, and `verify` derives them again.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use common::commit::ManifestRef;
use common::held;
use common::layout::{self, HELD_PREFIX, Place};
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::Manifest;
use common::{Sha256Digest, UnitId};
use futures::{StreamExt, TryStreamExt, stream};

use crate::background;
use crate::error::ArchiveError;
use crate::log::Log;
use crate::store::{READS_AT_ONCE, Store};

/// A set of held units, complete for versions 0 to [`Held::through`].
#[derive(Debug, Clone, Default)]
pub struct Held {
    runs: Vec<Run>,
    units: HashSet<UnitId>,
    /// Versions covered: the next one not covered.
    next_version: u64,
}

/// A run in memory as it is stored: sorted ids of 32 bytes.
#[derive(Debug, Clone)]
struct Run(Bytes);

impl Run {
    fn contains(&self, unit: &UnitId) -> bool {
        let (ids, _) = self.0.as_chunks::<32>();
        ids.binary_search(unit.0.as_bytes()).is_ok()
    }
}

impl Held {
    /// Whether the unit is held.
    pub fn contains(&self, unit: &UnitId) -> bool {
        self.units.contains(unit) || self.runs.iter().any(|run| run.contains(unit))
    }

    /// The latest version covered; `None` if none is.
    pub fn through(&self) -> Option<u64> {
        self.next_version.checked_sub(1)
    }

    /// The first version that is not covered.
    pub const fn next_version(&self) -> u64 {
        self.next_version
    }

    /// Extends the set to the end of the log. A set that covers nothing yet starts from the runs.
    ///
    /// # Errors
    /// If a run or manifest can not be read, or contradicts its digest.
    pub(crate) async fn extend(self, store: &Store, log: &Log) -> Result<Self, ArchiveError> {
        self.extend_to(store, log, log.next_version()).await
    }

    /// As [`Self::extend`], where the runs that are there were listed already.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub(crate) async fn extend_by(
        self,
        store: &Store,
        log: &Log,
        runs: Option<Vec<RunName>>,
    ) -> Result<Self, ArchiveError> {
        match (runs, log.version()) {
            (Some(runs), Some(last)) if self.next_version == 0 => {
                Self::of_parts(store, log, &cover(&runs, last), log.next_version()).await
            }
            _ => self.extend(store, log).await,
        }
    }

    /// As [`Self::extend`], to a version that is not covered any more.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub(crate) async fn extend_to(
        mut self,
        store: &Store,
        log: &Log,
        end: u64,
    ) -> Result<Self, ArchiveError> {
        let Some(last) = end.checked_sub(1) else { return Ok(self) };
        if self.next_version > last {
            return Ok(self);
        }
        if self.next_version == 0 {
            let parts = cover(&list_runs(store).await?, last);
            return Self::of_parts(store, log, &parts, end).await;
        }
        let new: Vec<u64> = (self.next_version..=last).collect();
        self.units.extend(units_of_versions(store, log, &new).await?);
        self.next_version = end;
        Ok(self)
    }

    /// The set that these runs and versions are, which end before version `end`.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub(crate) async fn of_parts(
        store: &Store,
        log: &Log,
        parts: &[Part],
        end: u64,
    ) -> Result<Self, ArchiveError> {
        let single: Vec<u64> = parts.iter().filter_map(Part::version).collect();
        let units = units_of_versions(store, log, &single);
        let (runs, units) = futures::try_join!(read_runs(store, parts), units)?;
        Ok(Self { runs, units: units.into_iter().collect(), next_version: end })
    }

    /// Adds the units of the next version's manifests, whose commit was stored a moment ago.
    pub fn add_version(&mut self, units: impl IntoIterator<Item = UnitId>) {
        self.units.extend(units);
        self.next_version = self.next_version.saturating_add(1);
    }
}

/// What a set of held units starts from.
pub(crate) enum Part {
    /// A run of the index.
    Run(RunName),
    /// The manifests of a version that no run covers.
    Version(u64),
}

impl Part {
    pub(crate) const fn version(&self) -> Option<u64> {
        match self {
            Self::Run(_) => None,
            Self::Version(version) => Some(*version),
        }
    }
}

/// The runs and single versions that together are versions 0 to `last`.
pub(crate) fn cover(runs: &[RunName], last: u64) -> Vec<Part> {
    let spans: Vec<(u64, u64)> = runs.iter().map(|run| (run.0, run.1)).collect();
    held::cover(&spans, last)
        .into_iter()
        .map(|(first, _, index)| {
            let run = index.and_then(|index| runs.get(index));
            run.map_or(Part::Version(first), |run| Part::Run(*run))
        })
        .collect()
}

async fn read_runs(store: &Store, parts: &[Part]) -> Result<Vec<Run>, ArchiveError> {
    let mut names = Vec::new();
    for part in parts {
        if let Part::Run(run) = part {
            names.push(*run);
        }
    }
    stream::iter(names)
        .map(|run| async move { read_run(store, &run).await })
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await
}

/// A run's versions and digest, as its name says.
pub(crate) type RunName = (u64, u64, Sha256Digest);

/// Names of the runs that are there, in order.
pub(crate) async fn list_runs(store: &Store) -> Result<Vec<RunName>, ArchiveError> {
    let listed = store.list(HELD_PREFIX, None).await?;
    Ok(listed
        .iter()
        .filter_map(|object| match layout::parse(&object.key) {
            Place::Held(first, last, digest) => Some((first, last, digest)),
            _ => None,
        })
        .collect())
}

async fn read_run(store: &Store, &(first, last, digest): &RunName) -> Result<Run, ArchiveError> {
    let key = layout::held_key(first, last, digest);
    let object = store.object_url(&key);
    let Some(bytes) = store.get(&key).await? else {
        return Err(ArchiveError::Missing { object, expected: "the run just listed".to_owned() });
    };
    let name = object.clone();
    background::run(&name, move || {
        let found = Sha256Digest::of(&bytes);
        if found != digest {
            return Err(ArchiveError::Digest { object, expected: digest, found });
        }
        held::decode(&object, &bytes)?;
        Ok(Run(bytes))
    })
    .await?
}

/// The units named by the manifests of some versions.
pub(crate) async fn units_of_versions(
    store: &Store,
    log: &Log,
    versions: &[u64],
) -> Result<BTreeSet<UnitId>, ArchiveError> {
    // A run may be missing far back, where this log does not reach.
    let longer = match versions.iter().min() {
        Some(first) if *first < log.first() => Some(log.back_to(store, *first).await?),
        _ => None,
    };
    let log = longer.as_ref().unwrap_or(log);
    let commits = versions.iter().filter_map(|version| log.commit(*version));
    let manifests: Vec<ManifestRef> =
        commits.flat_map(|sealed| sealed.commit.note.manifests.iter().cloned()).collect();
    stream::iter(manifests)
        .map(|named| async move { read_sealed(store, &named).await })
        .buffer_unordered(READS_AT_ONCE)
        .try_fold(BTreeSet::new(), |mut units, manifest| async move {
            units.extend(manifest.units.iter().map(|unit| unit.id));
            Ok(units)
        })
        .await
}

/// Reads a sealed manifest and checks it against its commit.
pub(crate) async fn read_sealed(
    store: &Store,
    named: &ManifestRef,
) -> Result<Manifest, ArchiveError> {
    let key = layout::manifest_key(named.delivery);
    let object = store.object_url(&key);
    let Some(bytes) = store.get_bounded(&key, MANIFEST_BYTES_MAX).await? else {
        let expected = "the manifest its commit names".to_owned();
        return Err(ArchiveError::Missing { object, expected });
    };
    let expected = named.sha256;
    let name = object.clone();
    background::run(&name, move || {
        let found = Sha256Digest::of(&bytes);
        if found != expected {
            return Err(ArchiveError::Digest { object, expected, found });
        }
        Ok(Manifest::from_bytes(&key, &bytes)?)
    })
    .await?
}

/// Bytes of the run over versions `first` to `last`, from the shorter runs and manifests there.
///
/// # Errors
/// If a run or manifest can not be read, or contradicts its digest.
pub(crate) async fn derive_run(
    store: &Store,
    log: &Log,
    runs: &[RunName],
    (first, last): (u64, u64),
) -> Result<Vec<u8>, ArchiveError> {
    let mut units = BTreeSet::new();
    let mut single = Vec::new();
    let mut version = first;
    while version <= last {
        let longest = runs
            .iter()
            .filter(|run| run.0 == version && run.1 <= last && (run.0, run.1) != (first, last))
            .max_by_key(|run| run.1);
        if let Some(run) = longest {
            let Run(bytes) = read_run(store, run).await?;
            let (ids, _) = bytes.as_chunks::<32>();
            units.extend(ids.iter().map(|id| UnitId(Sha256Digest::from_bytes(*id))));
        } else {
            single.push(version);
        }
        version = longest.map_or(version, |run| run.1).saturating_add(1);
    }
    units.extend(units_of_versions(store, log, &single).await?);
    Ok(held::encode(&units))
}
