//! Repair: what a sealer does only when somebody asks for it by name (decision 0013).
//!
//! A commit that was never signed and can not be gives way to one that adds nothing and says what
//! stood there; its deliveries wait again. Tiles that are missing are computed again. Nothing is
//! deleted, and nothing that was signed or locked is touched.

use std::collections::BTreeSet;

use archive::log::Log;
use archive::{ArchiveError, Sealer, Swap};
use bytes::Bytes;
use common::commit::{Commit, CommitNote, Operation, RefusedCommit, empty_bytes};
use common::layout;
use common::{DeliveryId, Sha256Digest};
use serde::Serialize;
use tlog::Hash;
use tlog::tile::{Of, Tile, WIDTH, Whole, push_entry};

use crate::error::SealError;
use crate::publish::{Known, Signed, agrees, begin, check_commits, signed};
use crate::sign::Signer;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// Commits that gave way, as `<version>:<sha256>`; their bytes are below `refused/`.
    pub commits_refused: Vec<String>,
    /// Deliveries of theirs that wait again.
    pub deliveries_waiting: u64,
    /// Deliveries of theirs whose manifest is nowhere: their sources have to be ingested again.
    pub deliveries_lost: Vec<String>,
    /// Tiles and bundles that were missing and are there now.
    pub tiles_written: Vec<String>,
    /// URLs of tiles and bundles with other bytes than the commits give. A sealer overwrites
    /// nothing: their owner deletes them, and repairs again.
    pub tiles_damaged: Vec<String>,
    /// Whether the place of locks was told what was signed last.
    pub is_lock_written: bool,
}

/// Puts a commit that adds nothing in the place of the commit `version`, which has this digest,
/// was never signed and does not follow from its manifests, and of each one behind it; and lets
/// their deliveries wait again. Asked again after a crash it goes on.
///
/// # Errors
/// If a signature or a lock covers the version, an earlier commit is at fault, the commit is
/// another or sound, or a run of the held index speaks of it: then nothing was changed. And if the
/// archive fails; then the same call goes on.
pub async fn repair_commit(
    sealer: &Sealer,
    signer: &dyn Signer,
    (version, refused): (u64, Sha256Digest),
    now_micros: i64,
) -> Result<RepairReport, SealError> {
    let known = before(sealer, signer, version).await?;
    let mut report = RepairReport::default();
    let object = || sealer.reader().store().object_url(&layout::commit_key(version));
    let wrong = |expected: &str, found: String| SealError::Repair {
        object: object(),
        expected: expected.to_owned(),
        found,
    };
    let Some(there) = sealer.commit_stamped(version).await? else {
        return Err(wrong("a commit", "nothing".to_owned()));
    };
    let found = Sha256Digest::of(there.bytes());
    if found == refused {
        if let Ok(commit) = Commit::parse(version, there.bytes())
            && is_sound(sealer, &known, &commit).await?
        {
            let found = "one that does, and is signed by the next seal".to_owned();
            return Err(wrong("a commit that does not follow from its manifests", found));
        }
    } else if replaced(version, there.bytes(), known.last_sha256()) != Some(refused) {
        return Err(wrong(&format!("SHA-256 {refused}"), found.to_hex()));
    }
    if let Some(run) = sealer.held_runs_from(version).await?.into_iter().next() {
        return Err(SealError::Repair {
            object: run,
            expected: format!("no run of the held index over version {version}"),
            found: "one; delete it first, the next seal writes it anew".to_owned(),
        });
    }
    let mut previous = known.last_sha256();
    for (expected, version) in (version..).zip(sealer.versions_from(version).await?) {
        if expected != version {
            let url = sealer.reader().store().url().to_owned();
            return Err(ArchiveError::LogGap { url, missing: expected, next: version }.into());
        }
        let place = Place { sealer, version, previous, now_micros };
        previous = Some(place.replace(&known.log, &mut report).await?);
    }
    Ok(report)
}

/// What is known of the log before a version, all of which must be sound, and none of the rest
/// signed.
async fn before(sealer: &Sealer, signer: &dyn Signer, version: u64) -> Result<Known, SealError> {
    let Signed { head, roots, .. } = signed(sealer, signer).await?;
    if let Some((object, size, _)) = roots.iter().find(|(_, size, _)| *size > version) {
        return Err(SealError::Repair {
            object: object.clone(),
            expected: format!("no signature and no lock that covers version {version}"),
            found: format!("one over {size} commits"),
        });
    }
    let mut known = Known::default();
    begin(sealer, &head, &mut known, version).await?;
    agrees(sealer, roots, &mut known)?;
    check_commits(sealer, &mut known, head.size).await?;
    if known.log.next_version() == version {
        return Ok(known);
    }
    Err(SealError::Repair {
        object: sealer.reader().store().object_url(&layout::commit_key(version)),
        expected: format!("version {}, which is the next one", known.log.next_version()),
        found: format!("version {version}"),
    })
}

/// Whether a commit continues the log and follows from its manifests.
async fn is_sound(sealer: &Sealer, known: &Known, commit: &Commit) -> Result<bool, SealError> {
    if commit.note.previous_sha256 != known.last_sha256() {
        return Ok(false);
    }
    let findings =
        archive::verify::check_commit(sealer.reader(), commit, &known.held, true).await?;
    Ok(findings.is_empty())
}

/// The digest of the commit in whose place these bytes stand, if they are a repair that continues
/// the log.
fn replaced(version: u64, bytes: &[u8], previous: Option<Sha256Digest>) -> Option<Sha256Digest> {
    let note = Commit::parse(version, bytes).ok()?.note;
    note.refused.filter(|_| note.previous_sha256 == previous).map(|refused| refused.sha256)
}

/// A version whose commit has to give way.
struct Place<'a> {
    sealer: &'a Sealer,
    version: u64,
    /// Digest of the commit before it, as that is now.
    previous: Option<Sha256Digest>,
    now_micros: i64,
}

impl Place<'_> {
    /// Replaces the commit, unless that was done already; returns the digest of what is there then.
    async fn replace(
        &self,
        sound: &Log,
        report: &mut RepairReport,
    ) -> Result<Sha256Digest, SealError> {
        let Self { sealer, version, previous, now_micros } = *self;
        let object = || sealer.reader().store().object_url(&layout::commit_key(version));
        let missing = || ArchiveError::Missing {
            object: object(),
            expected: "the commit that was listed a moment ago".to_owned(),
        };
        let there = sealer.commit_stamped(version).await?.ok_or_else(missing)?;
        let sha256 = Sha256Digest::of(there.bytes());
        if replaced(version, there.bytes(), previous).is_some() {
            return Ok(sha256);
        }
        // Stopped in here: evidence, and deliveries that wait and are held as well, which changes
        // no answer. Asked again, it is all done again, to the same end.
        sealer.keep_refused_commit(version, there.bytes().clone()).await?;
        for delivery in self.deliveries(there.bytes(), sound).await? {
            if sealer.let_wait(delivery).await? {
                report.deliveries_waiting += 1;
            } else {
                report.deliveries_lost.push(delivery.to_string());
            }
        }
        let bytes = u64::try_from(there.bytes().len()).unwrap_or(u64::MAX);
        let note = CommitNote {
            format: common::FORMAT,
            operation: Operation::Repair,
            version,
            previous_sha256: previous,
            delta_checkpoint: None,
            refused: Some(RefusedCommit { sha256, bytes }),
            manifests: Vec::new(),
        };
        let repair = Bytes::from(empty_bytes(now_micros.div_euclid(1000), &note));
        // Stopped behind it, with more to replace: the log does not continue there, which readers
        // say, and asked again it goes on.
        match sealer.replace_commit(version, &there, repair.clone()).await? {
            Swap::Swapped => {
                tracing::warn!(version, %sha256, "commit refused");
                report.commits_refused.push(format!("{version}:{sha256}"));
                Ok(Sha256Digest::of(&repair))
            }
            // Another who repairs was first.
            Swap::Changed => {
                let there = sealer.commit_stamped(version).await?.ok_or_else(missing)?;
                if replaced(version, there.bytes(), previous) == Some(sha256) {
                    return Ok(Sha256Digest::of(there.bytes()));
                }
                Err(SealError::Repair {
                    object: object(),
                    expected: format!("the commit with SHA-256 {sha256}, or what replaced it"),
                    found: format!("SHA-256 {}", Sha256Digest::of(there.bytes())),
                })
            }
        }
    }

    /// The deliveries of a commit; if it can not be read, all that are kept and no sound commit
    /// names.
    async fn deliveries(&self, bytes: &[u8], sound: &Log) -> Result<Vec<DeliveryId>, SealError> {
        if let Ok(commit) = Commit::parse(self.version, bytes) {
            return Ok(commit.note.manifests.iter().map(|named| named.delivery).collect());
        }
        let whole = self.sealer.log_before(&Log::default(), sound.next_version()).await?;
        let named = whole.commits().iter().flat_map(|sealed| &sealed.commit.note.manifests);
        let named: BTreeSet<DeliveryId> = named.map(|named| named.delivery).collect();
        let mut kept = self.sealer.kept_deliveries().await?;
        kept.retain(|delivery| !named.contains(delivery));
        Ok(kept)
    }
}

/// Computes the signed tree from the commits: stores the tiles and bundles that are missing, names
/// those that are damaged, and tells the place of locks what was signed last, if it does not know.
///
/// # Errors
/// If the commits do not give the root that was signed, and if the archive fails.
pub async fn repair_ledger(
    sealer: &Sealer,
    signer: &dyn Signer,
) -> Result<RepairReport, SealError> {
    let Signed { head, roots, lock, .. } = signed(sealer, signer).await?;
    let mut report = RepairReport::default();
    if head.size == 0 {
        return Ok(report);
    }
    let log = sealer.log_before(&Log::default(), head.size).await?;
    let whole = log.tree();
    for (object, size, root) in roots.into_iter().filter(|(_, size, _)| *size <= head.size) {
        let found = whole.root_at(size);
        if found != Some(root) {
            let found = found.unwrap_or_else(Hash::of_no_leaves);
            return Err(SealError::from(ArchiveError::Ledger {
                object,
                expected: format!("root {found} at size {size}, by {} commits", whole.size()),
                found: format!("root {root}"),
            }));
        }
    }
    let there: BTreeSet<Tile> = sealer.tiles().await?.into_iter().collect();
    let mut wanted: BTreeSet<Tile> = Tile::all_between(0, head.size).collect();
    for size in sealer.signed_sizes().await?.into_iter().filter(|size| *size <= head.size) {
        wanted.extend(Tile::all_between(size.saturating_sub(1), size));
    }
    for tile in wanted.union(&there) {
        let Some(bytes) = expected(*tile, &log, &whole) else { continue };
        let key = layout::tile_key(*tile);
        if !there.contains(tile) {
            sealer.put_tile(*tile, bytes).await?;
            report.tiles_written.push(key);
        } else if sealer.digest(&key).await?.map(|found| found.sha256)
            != Some(Sha256Digest::of(&bytes))
        {
            report.tiles_damaged.push(sealer.reader().store().object_url(&key));
        }
    }
    if lock.is_none() {
        let locked = sealer.lock(head.size, head.root).await?;
        report.is_lock_written = locked == head.root;
    }
    Ok(report)
}

/// What a tile or a bundle must be; none if the tree is too small for it.
fn expected(tile: Tile, log: &Log, whole: &Whole) -> Option<Bytes> {
    if tile.of != Of::Entries {
        return whole.tile(tile).map(Bytes::from);
    }
    let first = tile.index.checked_mul(u64::from(WIDTH))?;
    let mut bundle = Vec::new();
    for version in first..first.checked_add(u64::from(tile.width))? {
        let entry = log.commit(version)?.entry.to_text();
        push_entry(&mut bundle, entry.as_bytes()).ok()?;
    }
    Some(bundle.into())
}

#[cfg(test)]
mod tests;
