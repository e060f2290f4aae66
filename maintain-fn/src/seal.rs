//! Seal: commits waiting manifests to the log, once each, whoever else seals at the same time.
//!
//! A crash anywhere leaves what the next seal finishes by the same code: manifests stored without
//! a commit are stored again as they are, a commit stored with inbox entries left makes them
//! "all held", to be dropped.

mod candidates;
mod delta;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use archive::held::Held;
use archive::log::Log;
use archive::snapshot::{Kept, KeptRejects, kept_rejects, kept_rows};
use archive::{ArchiveError, CommitPut, Sealer, background};
use bytes::Bytes;
use common::commit::{CommitNote, ManifestRef, Operation, empty_bytes, seal_bytes};
use common::layout::CHECKPOINT_KEY;
use common::limits::{FILE_BYTES_MAX, SEAL_MANIFESTS_MAX};
use common::manifest::{FileEntry, Manifest, QuarantineEntry};
use common::resolve::{Resolution, resolve};
use common::{Sha256Digest, UnitId};
use futures::{StreamExt, TryStreamExt, stream};

use self::candidates::{Candidate, Candidates};
use crate::error::SealError;
use crate::publish::{Known, Published, publish, publish_known};
use crate::report::SealReport;
use crate::rewrite;
use crate::sign::Signer;

/// Bounds of one seal.
#[derive(Debug, Clone, Copy)]
pub struct SealOptions {
    /// Most rounds, each of which stores at most one commit; lost races count too.
    pub rounds_max: usize,
    /// Most manifests in one commit, at most [`SEAL_MANIFESTS_MAX`].
    pub manifests_per_commit_max: usize,
    /// Versions from one Delta checkpoint to the next; none are written if 0, or without a ledger.
    pub delta_checkpoint_every: u64,
    /// Of a signed log: how long after the last commit an empty one says that somebody still
    /// seals; never, if absent.
    pub heartbeat_after: Option<Duration>,
    /// From when on no further round is begun and no further manifest looked at; what was taken
    /// in hand is ended. The first manifest is always taken. Never, if absent.
    pub stop_at: Option<Instant>,
}

impl SealOptions {
    /// Whether it is time to take nothing more in hand.
    fn is_time_up(&self) -> bool {
        self.stop_at.is_some_and(|stop_at| Instant::now() >= stop_at)
    }
}

/// A reader that starts from a Delta checkpoint gets at most this many commits, a few at once, of
/// some kilobytes each; and a Delta checkpoint, which names all files, is written rarely enough
/// not to outweigh the commits.
const DELTA_CHECKPOINT_EVERY: u64 = 100;

impl Default for SealOptions {
    fn default() -> Self {
        Self {
            rounds_max: 1_000,
            manifests_per_commit_max: SEAL_MANIFESTS_MAX,
            delta_checkpoint_every: DELTA_CHECKPOINT_EVERY,
            heartbeat_after: None,
            stop_at: None,
        }
    }
}

/// Most files in one commit: with 6 kB of statistics each, about 30 MB.
const COMMIT_FILES_MAX: usize = 5_000;

/// Inbox entries removed at once.
const REMOVALS_MAX: usize = 16;

/// Seals what waits in the inbox: lists it, checks every manifest and file, leaves out what is
/// held, and commits the rest, until the inbox is empty.
///
/// # Errors
/// If the archive can not be read or written. What was committed stays; run it again.
pub async fn seal(
    sealer: &Sealer,
    now_micros: i64,
    options: SealOptions,
) -> Result<SealReport, SealError> {
    seal_again(sealer, None, &mut Known::default(), now_micros, options).await
}

/// Seals as [`seal`] does, and publishes a signed checkpoint over every commit before anything is
/// taken out of the inbox. What an earlier seal committed and did not publish is published first.
///
/// # Errors
/// As [`seal`] and [`publish`].
pub async fn seal_signed(
    sealer: &Sealer,
    signer: &dyn Signer,
    now_micros: i64,
    options: SealOptions,
) -> Result<SealReport, SealError> {
    seal_again(sealer, Some(signer), &mut Known::default(), now_micros, options).await
}

/// Seals as [`seal`] or, with a signer, [`seal_signed`] does, in a process that sealed before and
/// goes on: reads only what is new.
///
/// # Errors
/// As [`seal_signed`].
pub async fn seal_again(
    sealer: &Sealer,
    signer: Option<&dyn Signer>,
    known: &mut Known,
    now_micros: i64,
    options: SealOptions,
) -> Result<SealReport, SealError> {
    let report = run(sealer, signer, known, now_micros, options).await;
    if report.is_err() {
        // What was half learnt is no ground to stand on.
        *known = Known::default();
    }
    report
}

async fn run(
    sealer: &Sealer,
    signer: Option<&dyn Signer>,
    known: &mut Known,
    now_micros: i64,
    options: SealOptions,
) -> Result<SealReport, SealError> {
    let count_max = options.manifests_per_commit_max.clamp(1, SEAL_MANIFESTS_MAX);
    let mut report = SealReport::default();
    let mut candidates = Candidates::default();
    let delta_checkpoint_every = options.delta_checkpoint_every;
    let round = Round { sealer, signer, now_micros, delta_checkpoint_every };
    let mut is_up_to_date = false;
    for done in 0..options.rounds_max.max(1) {
        if done > 0 && options.is_time_up() {
            break;
        }
        // The inbox first, the log second: what another sealer committed and took out of the
        // inbox in between is then seen as held.
        let batch = candidates.next(sealer, count_max, options.stop_at, &mut report).await?;
        if !batch.is_empty() || !is_up_to_date {
            // Also when nothing waits, and before what is held already is dropped from the inbox.
            learn(sealer, signer, known, &mut report).await?;
        }
        let races_lost = report.races_lost;
        if !batch.is_empty() {
            round.run(batch, &mut candidates, known, &mut report).await?;
        } else if !round.is_heartbeat_due(known, options.heartbeat_after)
            || round.heartbeat(known, &mut report).await?
        {
            report.is_complete = true;
            break;
        }
        is_up_to_date = report.races_lost == races_lost;
    }
    report.version = known.log.version();
    report.ledger_damage.clone_from(&known.damage);
    let runs = sealer.write_held_runs(&known.log, known.runs_through).await?;
    report.held_runs = u64::try_from(runs).unwrap_or(u64::MAX);
    if runs == 0 {
        known.runs_through = known.log.next_version();
    }
    Ok(report)
}

/// Brings what is known to the end of the log. With a signer all of it is signed by then; without
/// one, nobody may have begun to sign, which is asked each time, since it can happen at any time.
async fn learn(
    sealer: &Sealer,
    signer: Option<&dyn Signer>,
    known: &mut Known,
    report: &mut SealReport,
) -> Result<(), SealError> {
    if let Some(signer) = signer {
        let published = publish(sealer, signer, known).await?;
        note_published(published, report);
        return Ok(());
    }
    if sealer.checkpoint().await?.is_some() {
        let checkpoint = sealer.reader().store().object_url(CHECKPOINT_KEY);
        return Err(SealError::NeedsKey { checkpoint });
    }
    known.log = sealer.log(&known.log).await?;
    known.held = sealer.held(std::mem::take(&mut known.held), &known.log).await?;
    Ok(())
}

fn note_published(published: Published, report: &mut SealReport) {
    report.checkpoints += published.signed;
    report.sealed_through = published.size.checked_sub(1);
}

/// What one commit takes in.
#[derive(Debug, Default)]
struct Plan {
    manifests: Vec<ManifestRef>,
    adds: Vec<FileEntry>,
    /// Inbox keys that the commit makes superfluous.
    sealed: Vec<String>,
    dropped: Vec<String>,
    mixed: u64,
    /// All units that the manifests name.
    units: Vec<UnitId>,
}

/// One round: at most one commit.
struct Round<'a> {
    sealer: &'a Sealer,
    signer: Option<&'a dyn Signer>,
    now_micros: i64,
    delta_checkpoint_every: u64,
}

impl Round<'_> {
    async fn run(
        &self,
        batch: Vec<Candidate>,
        candidates: &mut Candidates,
        known: &mut Known,
        report: &mut SealReport,
    ) -> Result<(), SealError> {
        let sealer = self.sealer;
        let Some(plan) = plan(sealer, &known.held, batch, candidates, report).await? else {
            return Ok(());
        };
        if !plan.manifests.is_empty() {
            let delta_checkpoint = match self.signer {
                Some(_) => delta::due(sealer, known, self.delta_checkpoint_every, report).await?,
                None => None,
            };
            let note = CommitNote {
                format: common::FORMAT,
                operation: Operation::Seal,
                version: known.log.next_version(),
                previous_sha256: known.last_sha256(),
                delta_checkpoint,
                refused: None,
                manifests: plan.manifests,
            };
            let bytes = seal_bytes(self.now_micros.div_euclid(1000), &note, &plan.adds);
            // Stopped before this: manifests and rewritten files that no commit names, which the
            // next seal stores again, byte for byte. Stopped after: a commit that the next seal
            // publishes, and an inbox of held units.
            if !self.commit(known, note.version, bytes, plan.units, report).await? {
                return Ok(());
            }
            count(report, &note, &plan.adds, plan.mixed);
        }
        report.manifests_dropped += u64::try_from(plan.dropped.len()).unwrap_or(u64::MAX);
        // Stopped in here: the rest is held, and dropped by the next seal.
        stream::iter(plan.sealed.into_iter().chain(plan.dropped))
            .map(|key| async move { sealer.remove_waiting(&key).await })
            .buffer_unordered(REMOVALS_MAX)
            .try_collect::<()>()
            .await?;
        Ok(())
    }

    /// Whether nothing was committed for so long.
    fn is_heartbeat_due(&self, known: &Known, after: Option<Duration>) -> bool {
        let after = after.filter(|_| self.signer.is_some());
        after.is_some_and(|after| known.is_silent(self.now_micros, after))
    }

    /// Commits nothing, so that silence can be told from an end. Another's commit will do as well:
    /// then this one is late, and `false`.
    async fn heartbeat(
        &self,
        known: &mut Known,
        report: &mut SealReport,
    ) -> Result<bool, SealError> {
        let note = CommitNote {
            format: common::FORMAT,
            operation: Operation::Heartbeat,
            version: known.log.next_version(),
            previous_sha256: known.last_sha256(),
            delta_checkpoint: None,
            refused: None,
            manifests: Vec::new(),
        };
        let bytes = empty_bytes(self.now_micros.div_euclid(1000), &note);
        // Stopped before this: nothing. After: a commit that the next seal publishes.
        let is_ours = self.commit(known, note.version, bytes, Vec::new(), report).await?;
        report.heartbeats += u64::from(is_ours);
        Ok(is_ours)
    }

    /// Puts a commit of the next version and publishes it, if there is a key. `false` if another
    /// sealer was first.
    async fn commit(
        &self,
        known: &mut Known,
        version: u64,
        bytes: Vec<u8>,
        units: Vec<UnitId>,
        report: &mut SealReport,
    ) -> Result<bool, SealError> {
        let own = Sha256Digest::of(&bytes);
        let put = self.sealer.put_commit(version, Bytes::from(bytes)).await?;
        let log = match put {
            CommitPut::Won => Some(self.sealer.log_with_next(&known.log).await?),
            CommitPut::Lost => None,
        };
        // Its files were checked in this round, and it follows from its manifests as long as it
        // is the one that was made of them.
        let is_own = |log: &Log| log.commits().last().is_some_and(|last| last.sha256 == own);
        let Some(log) = log.filter(is_own) else {
            report.races_lost += 1;
            return Ok(false);
        };
        known.log = log;
        known.held.add_version(units);
        if let Some(signer) = self.signer {
            note_published(publish_known(self.sealer, signer, known).await?, report);
        }
        Ok(true)
    }
}

fn count(report: &mut SealReport, note: &CommitNote, adds: &[FileEntry], mixed: u64) {
    tracing::info!(version = note.version, manifests = note.manifests.len(), "sealed");
    report.commits += 1;
    report.delta_checkpoint =
        note.delta_checkpoint.map(|named| named.version).or(report.delta_checkpoint);
    report.manifests_sealed += u64::try_from(note.manifests.len()).unwrap_or(u64::MAX);
    report.manifests_mixed += mixed;
    for file in adds {
        report.files += 1;
        report.rows = report.rows.saturating_add(file.rows);
        report.bytes = report.bytes.saturating_add(file.bytes);
    }
    for entry in note.manifests.iter().flat_map(|named| &named.quarantine) {
        report.rejects = report.rejects.saturating_add(entry.rows);
    }
}

/// Resolves a batch and stores all a commit of it needs. `None` if a manifest had to be refused:
/// what the others may take has changed, so the round starts again.
async fn plan(
    sealer: &Sealer,
    held: &Held,
    batch: Vec<Candidate>,
    candidates: &mut Candidates,
    report: &mut SealReport,
) -> Result<Option<Plan>, SealError> {
    let manifests: Vec<Manifest> = batch.iter().map(|c| c.manifest.clone()).collect();
    let resolutions = resolve(&manifests, |unit| held.contains(unit));
    drop(manifests);
    let mut plan = Plan::default();
    for (candidate, resolution) in batch.into_iter().zip(resolutions) {
        if plan.adds.len() >= COMMIT_FILES_MAX {
            break;
        }
        let units = match resolution {
            Resolution::Drop => {
                plan.dropped.push(candidate.key);
                continue;
            }
            Resolution::Add => None,
            Resolution::Mixed(units) => Some(units),
        };
        let key = candidate.key.clone();
        let Some(stored) = candidates.store_manifest(sealer, candidate, report).await? else {
            return Ok(None);
        };
        let taken = match &units {
            None => Ok((stored.manifest.files.clone(), stored.manifest.quarantine.clone())),
            Some(units) => take_kept(sealer, &stored.manifest, units).await?,
        };
        let (adds, quarantine) = match taken {
            Ok(taken) => taken,
            Err(wrong) => {
                candidates.refuse(sealer, stored, vec![wrong], report).await?;
                return Ok(None);
            }
        };
        plan.mixed += u64::from(units.is_some());
        plan.units.extend(stored.manifest.units.iter().map(|unit| unit.id));
        plan.adds.extend(adds);
        plan.manifests.push(ManifestRef {
            delivery: stored.manifest.delivery,
            sha256: Sha256Digest::of(&stored.bytes),
            bytes: u64::try_from(stored.bytes.len()).unwrap_or(u64::MAX),
            units_kept: units,
            quarantine,
        });
        plan.sealed.push(key);
    }
    Ok(Some(plan))
}

type Taken = (Vec<FileEntry>, Vec<QuarantineEntry>);

/// Writes the rows and rejects of the kept units of a mixed manifest, and describes them. A file
/// that only kept units have rows in is taken as it is. The inner error says what is wrong with
/// the manifest's files.
async fn take_kept(
    sealer: &Sealer,
    manifest: &Manifest,
    units: &[usize],
) -> Result<Result<Taken, String>, SealError> {
    let kept: Vec<UnitId> =
        units.iter().filter_map(|&i| manifest.units.get(i)).map(|unit| unit.id).collect();
    let rows = kept_rows(manifest, units);
    let mut adds = Vec::new();
    for file in &manifest.files {
        let ranges = match rows.get(file.path.as_str()) {
            None => continue,
            Some(Kept::All) => {
                adds.push(file.clone());
                continue;
            }
            Some(Kept::Ranges(ranges)) => ranges.clone(),
        };
        let bytes = read(sealer, &file.path).await?;
        let (entry, kept) = (file.clone(), kept.clone());
        let rewritten =
            blocking(&file.path, move || rewrite::events(&entry, bytes, &ranges, &kept)).await;
        match rewritten {
            Ok(mut encoded) => {
                let path = &encoded.entry.path;
                encoded.entry.version = sealer.put_versioned_file(path, encoded.bytes).await?;
                adds.push(encoded.entry);
            }
            Err(wrong) => return Ok(Err(format!("{}: {wrong}", file.path))),
        }
    }
    let quarantine = match kept_rejects(manifest, units) {
        KeptRejects::None => Vec::new(),
        KeptRejects::All => manifest.quarantine.clone(),
        KeptRejects::Units(_) => match take_kept_rejects(sealer, manifest, units).await? {
            Ok(entries) => entries,
            Err(wrong) => return Ok(Err(wrong)),
        },
    };
    Ok(Ok((adds, quarantine)))
}

async fn take_kept_rejects(
    sealer: &Sealer,
    manifest: &Manifest,
    units: &[usize],
) -> Result<Result<Vec<QuarantineEntry>, String>, SealError> {
    let kept: BTreeSet<i32> = units.iter().filter_map(|&i| i32::try_from(i).ok()).collect();
    let mut entries = Vec::new();
    for entry in &manifest.quarantine {
        let bytes = read(sealer, &entry.path).await?;
        let kept = kept.clone();
        match blocking(&entry.path, move || rewrite::rejects(bytes, &kept)).await {
            Ok(None) => {}
            Ok(Some((bytes, mut rewritten))) => {
                rewritten.version = sealer.put_versioned_file(&rewritten.path, bytes).await?;
                entries.push(rewritten);
            }
            Err(wrong) => return Ok(Err(format!("{}: {wrong}", entry.path))),
        }
    }
    let rejects = units.iter().filter_map(|&i| manifest.units.get(i)).map(|unit| unit.rejects);
    let expected = rejects.fold(0, u64::saturating_add);
    let found = entries.iter().map(|entry| entry.rows).fold(0, u64::saturating_add);
    Ok(if expected == found {
        Ok(entries)
    } else {
        Err(format!("quarantine: expected {expected} rejects of the new units, found {found}"))
    })
}

/// Reads a file that was checked a moment ago.
async fn read(sealer: &Sealer, path: &str) -> Result<Bytes, ArchiveError> {
    let store = sealer.reader().store();
    let bytes = store.get_bounded(path, FILE_BYTES_MAX).await?;
    bytes.ok_or_else(|| ArchiveError::Missing {
        object: store.object_url(path),
        expected: "the file that was checked a moment ago".to_owned(),
    })
}

/// Runs a decoder over bytes that may drive it to a panic.
async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, String> {
    match background::run(path, work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

#[cfg(test)]
mod delta_tests;
#[cfg(test)]
mod fresh_tests;
#[cfg(test)]
mod strict_tests;
#[cfg(test)]
mod tests;
