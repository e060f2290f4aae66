//! Publish: makes the ledger say what the log says, and signs it.
//!
//! The commits elect; the tree follows from them. It grows from the right edge of the tree that
//! was signed last, which the signed root vouches for, so it can only extend that one. For a size
//! that is to be signed its root is locked first, for ever, so that no two sealers sign two
//! histories. Then it is signed, the tiles are stored, and the checkpoint is replaced, never by a
//! smaller one. Whoever stops in between leaves what the next one finishes by the same code,
//! because everything before the signature is computed from the commits again.
//!
//! Deliberately not here: whether a commit that is signed already is as it was. That is what the
//! signature is for, and `verify` checks it; only the last one is looked at again.

mod trunk;

use std::time::Duration;

use archive::held::Held;
use archive::log::Log;
use archive::verify::Finding;
use archive::{ArchiveError, Sealer, Stamped, Swap};
use bytes::Bytes;
use common::Sha256Digest;
use common::commit::Commit;
use common::layout::{self, CHECKPOINT_KEY};
use futures::future::try_join_all;
use tlog::note::Note;
use tlog::tile::Edge;
use tlog::{Checkpoint, Hash};

use crate::error::SealError;
use crate::keys;
use crate::sign::{Signer, confirmed};
use trunk::Trunk;

/// Rounds until another sealer, or a listing that lacks what was just written, is given up on.
const ROUNDS_MAX: usize = 16;

/// What a sealer has learnt of an archive, so that its next seal reads only what is new. Worth
/// nothing after an error: begin again with an empty one.
#[derive(Debug, Default)]
pub struct Known {
    /// The log; of a signed one, perhaps only its end.
    pub(crate) log: Log,
    /// The units held; of a signed log, those of what was signed or has been checked since.
    pub(crate) held: Held,
    /// The version up to which no run of the held index is missing.
    pub(crate) runs_through: u64,
    /// A version whose Delta checkpoint, or a later one, some commit is known to name.
    pub(crate) named: u64,
    /// The tree of the log, if it is signed.
    trunk: Option<Trunk>,
    /// The checkpoint as it was read last, unless it was replaced since.
    seen: Option<Seen>,
    /// Why the tree had to be computed from the commits.
    pub(crate) damage: Option<String>,
}

/// A checkpoint as it was read: its object, and what it says.
#[derive(Debug)]
struct Seen {
    there: Option<Stamped>,
    head: Checkpoint,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// How many commits the checkpoint covers.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Checkpoints this call signed and published.
    pub signed: u64,
}

/// Publishes a checkpoint that covers the whole log, after checking what it did not cover.
///
/// # Errors
/// If the archive or the key's holder fails, which the next call makes up for; and if log, locks
/// and checkpoint contradict each other, which somebody has to look into: then nothing is signed.
pub async fn publish(
    sealer: &Sealer,
    signer: &dyn Signer,
    known: &mut Known,
) -> Result<Published, SealError> {
    known.seen = None;
    publish_known(sealer, signer, known).await
}

/// As [`publish`], but takes the checkpoint to be the one that was read last: for a commit that
/// was made since by this sealer itself. Another that was published meanwhile is noticed.
pub(crate) async fn publish_known(
    sealer: &Sealer,
    signer: &dyn Signer,
    known: &mut Known,
) -> Result<Published, SealError> {
    for _ in 0..ROUNDS_MAX {
        let seen = match known.seen.take() {
            Some(seen) => seen,
            None => see(sealer, signer, known).await?,
        };
        let trunk = known.grown();
        let published = Published { size: trunk.size(), root: trunk.root(), signed: 1 };
        if seen.head.size == published.size {
            trunk.settle();
            known.held = sealer.held(std::mem::take(&mut known.held), &known.log).await?;
            known.seen = Some(seen);
            return Ok(Published { signed: 0, ..published });
        }
        check_commits(sealer, known, seen.head.size).await?;
        match sign(sealer, signer, &seen, known.grown()).await? {
            // Another published in between; what it published is looked at like any other.
            Swap::Changed => {}
            Swap::Swapped => {
                known.grown().settle();
                return Ok(published);
            }
        }
    }
    Err(SealError::Contended { rounds: ROUNDS_MAX })
}

impl Known {
    /// Whether the last known commit, by its own word, was made so long before or after `now`. A
    /// commit from the future is no sign of life: a clock that stood ahead once would silence all
    /// the others.
    pub fn is_silent(&self, now_micros: i64, after: Duration) -> bool {
        self.apart_from_last_commit(now_micros).is_some_and(|apart| apart >= after)
    }

    /// How long ago the last known commit was made, by its own word; no time at all if that lies
    /// ahead. None if no commit is known.
    pub fn since_last_commit(&self, now_micros: i64) -> Option<Duration> {
        let last = self.log.commits().last()?.commit.timestamp_millis;
        let is_ahead = last > now_micros.div_euclid(1000);
        if is_ahead { Some(Duration::ZERO) } else { self.apart_from_last_commit(now_micros) }
    }

    fn apart_from_last_commit(&self, now_micros: i64) -> Option<Duration> {
        let last = self.log.commits().last()?.commit.timestamp_millis;
        Some(Duration::from_millis(now_micros.div_euclid(1000).abs_diff(last)))
    }

    /// SHA-256 of the last known commit.
    pub(crate) fn last_sha256(&self) -> Option<Sha256Digest> {
        self.log.commits().last().map(|last| last.sha256)
    }

    /// The tree of all that is known of the log.
    fn grown(&mut self) -> &mut Trunk {
        let trunk = self.trunk.get_or_insert_with(|| Trunk::new(Edge::default(), Vec::new()));
        while let Some(sealed) = self.log.commit(trunk.size()) {
            trunk.push(&sealed.entry);
        }
        trunk
    }
}

/// Reads checkpoint, locks and kept signatures, and then the log, which has all that these speak
/// of. All of it must be one history.
async fn see(sealer: &Sealer, signer: &dyn Signer, known: &mut Known) -> Result<Seen, SealError> {
    let Signed { there, head, mut roots, lock } = signed(sealer, signer).await?;
    if lock.is_none() && head.size > 0 {
        return Err(SealError::NoLock { lock: sealer.lock_url(head.size), root: head.root });
    }
    if let Some(trunk) = known.trunk.as_ref().filter(|trunk| trunk.base() > head.size) {
        // Somebody took an older checkpoint out again. What this process signed stays signed.
        roots.push(("what this process published".to_owned(), trunk.base(), trunk.root()));
        *known = Known::default();
    }
    if known.trunk.is_some() {
        known.log = sealer.log(&known.log).await?;
    } else {
        begin(sealer, &head, known, u64::MAX).await?;
    }
    agrees(sealer, roots, known)?;
    Ok(Seen { there, head })
}

/// What was signed and what was about to be.
pub(crate) struct Signed {
    there: Option<Stamped>,
    pub(crate) head: Checkpoint,
    /// The roots of the checkpoint's size and greater ones, with the objects that say them.
    pub(crate) roots: Vec<(String, u64, Hash)>,
    /// The root that is locked for the checkpoint's size.
    pub(crate) lock: Option<Hash>,
}

/// Reads checkpoint, locks and kept signatures.
pub(crate) async fn signed(sealer: &Sealer, signer: &dyn Signer) -> Result<Signed, SealError> {
    let there = sealer.checkpoint().await?;
    let head = keys::head(sealer, signer.public(), there.as_ref()).await?;
    let mut roots = sealer.signed_after(signer.public(), head.size).await?;
    let locks = sealer.locks_from(head.size).await?;
    let lock = locks.first().filter(|(_, size, _)| *size == head.size).map(|(_, _, root)| *root);
    roots.extend(locks);
    let checkpoint = sealer.reader().store().object_url(CHECKPOINT_KEY);
    roots.push((checkpoint, head.size, head.root));
    Ok(Signed { there, head, roots, lock })
}

/// Takes up the history that was signed: from the tiles or, if one of them is missing or damaged,
/// from all the commits.
pub(crate) async fn begin(
    sealer: &Sealer,
    head: &Checkpoint,
    known: &mut Known,
    log_end: u64,
) -> Result<(), SealError> {
    let damage = match sealer.signed_end(head, log_end).await? {
        Ok(end) => {
            known.trunk = Some(Trunk::new(end.edge, end.bundle));
            (known.log, known.held) = (end.log, end.held);
            return Ok(());
        }
        Err(damage) => damage,
    };
    tracing::error!(damage, "the ledger's tiles can not be used, so every commit is read");
    known.log = sealer.log_before(&Log::default(), log_end).await?;
    known.damage = Some(damage);
    let mut trunk = Trunk::new(Edge::default(), Vec::new());
    let signed = usize::try_from(head.size).unwrap_or(usize::MAX);
    known.log.commits().iter().take(signed).for_each(|sealed| trunk.push(&sealed.entry));
    trunk.settle();
    known.trunk = Some(trunk);
    let end = head.size.min(known.log.next_version());
    known.held = sealer.held_before(Held::default(), &known.log, end).await?;
    Ok(())
}

/// The log must give the root that is published and every root that was locked or signed since.
pub(crate) fn agrees(
    sealer: &Sealer,
    roots: Vec<(String, u64, Hash)>,
    known: &mut Known,
) -> Result<(), SealError> {
    let trunk = known.grown();
    for (object, size, root) in roots {
        match trunk.root_at(size) {
            Some(found) if found == root => {}
            Some(found) => {
                return Err(SealError::from(ArchiveError::Ledger {
                    object,
                    expected: format!("root {found} at size {size}, by the commits"),
                    found: format!("root {root}"),
                }));
            }
            None => {
                return Err(SealError::from(ArchiveError::Ledger {
                    object: sealer.reader().store().object_url(layout::LOG_PREFIX),
                    expected: format!("at least {size} commits, which {object} covers"),
                    found: format!("{}", trunk.size()),
                }));
            }
        }
    }
    Ok(())
}

/// Checks the commits that are neither signed nor checked yet, whoever stored them.
pub(crate) async fn check_commits(
    sealer: &Sealer,
    known: &mut Known,
    from: u64,
) -> Result<(), SealError> {
    let log = known.log.clone();
    let reader = sealer.reader();
    let mut held = std::mem::take(&mut known.held);
    let from = from.max(held.next_version());
    held = sealer.held_before(held, &log, from).await?;
    for version in from..log.next_version() {
        let Some(sealed) = log.commit(version) else { continue };
        let mut findings =
            archive::verify::check_commit(reader, &sealed.commit, &held, true).await?;
        findings.extend(check_delta_checkpoint(sealer, &log, &sealed.commit).await?);
        if !findings.is_empty() {
            let reasons = findings.iter().map(ToString::to_string).collect();
            return Err(SealError::Unsigned { version, sha256: sealed.sha256, reasons });
        }
        held = sealer.held_before(held, &log, version + 1).await?;
    }
    known.held = held;
    Ok(())
}

/// What is wrong with the Delta checkpoint that another's commit vouches for; nothing if it names
/// none.
async fn check_delta_checkpoint(
    sealer: &Sealer,
    log: &Log,
    commit: &Commit,
) -> Result<Vec<Finding>, SealError> {
    let Some(named) = commit.note.delta_checkpoint else { return Ok(Vec::new()) };
    let log = whole_log(sealer, log, named.version).await?;
    Ok(archive::verify::check_delta_checkpoint(sealer.reader(), &log, commit).await?)
}

/// The log from its beginning, at least up to a version; all that is known of it, if that begins
/// there.
pub(crate) async fn whole_log(sealer: &Sealer, log: &Log, through: u64) -> Result<Log, SealError> {
    if log.first() == 0 {
        return Ok(log.clone());
    }
    Ok(sealer.log_before(&Log::default(), through.saturating_add(1)).await?)
}

/// Locks, signs, stores, publishes.
async fn sign(
    sealer: &Sealer,
    signer: &dyn Signer,
    seen: &Seen,
    trunk: &Trunk,
) -> Result<Swap, SealError> {
    let (size, root) = (trunk.size(), trunk.root());
    // Stopped before this: nothing. After: the next one finds the same root here.
    let locked = sealer.lock(size, root).await?;
    if locked != root {
        return Err(SealError::from(ArchiveError::Ledger {
            object: sealer.lock_url(size),
            expected: format!("root {root}, by the commits"),
            found: format!("root {locked}"),
        }));
    }
    let origin = signer.public().name().to_owned();
    let text = Checkpoint { origin, size, root }.to_text();
    let signature = signer.sign(&text).await?;
    let key_id = signature.key_id;
    let note = Note { text, signatures: vec![signature] };
    confirmed(&note, signer.public())?;
    let mut puts = Vec::new();
    for (tile, bytes) in trunk.tiles_since(seen.head.size) {
        puts.push(sealer.put_tile(tile, bytes));
    }
    try_join_all(puts).await?;
    let note = Bytes::from(note.to_text());
    sealer.put_signature(size, key_id, note.clone()).await?;
    Ok(sealer.publish(seen.there.as_ref(), note).await?)
}

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
pub(crate) mod tests;
