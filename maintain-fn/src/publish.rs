//! Publish: makes the ledger say what the log says, and signs it.
//!
//! The commits elect; the tree follows from them. For a size that is to be signed its root is
//! locked first, for ever, so that no two sealers sign two histories. Then it is signed, the tiles
//! are stored, and the checkpoint is replaced, never by a smaller one. Whoever stops in between
//! leaves what the next one finishes by the same code, because everything before the signature is
//! computed from the commits again.

use std::collections::BTreeSet;

use archive::held::Held;
use archive::log::Log;
use archive::{ArchiveError, Sealer, Stamped, Swap};
use bytes::Bytes;
use common::layout::{self, CHECKPOINT_KEY};
use common::ledger::is_of_table;
use tlog::note::Note;
use tlog::tile::{Edge, Of, Tile, WIDTH, push_entry};
use tlog::{Checkpoint, Hash};

use crate::error::SealError;
use crate::keys;
use crate::sign::Signer;

/// Rounds until another sealer, or a listing that lacks what was just written, is given up on.
const ROUNDS_MAX: usize = 16;

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

/// Publishes a checkpoint that covers the whole log. `checked` says of which versions the files
/// were checked by the caller a moment ago; those of all others are checked here.
///
/// # Errors
/// If the archive or the key's holder fails, which the next call makes up for; and if log, locks
/// and checkpoint contradict each other, which somebody has to look into: then nothing is signed.
pub async fn publish(
    sealer: &Sealer,
    signer: &dyn Signer,
    log: &Log,
    checked: &BTreeSet<u64>,
) -> Result<Published, SealError> {
    let mut log = log.clone();
    let mut signed = 0;
    for _ in 0..ROUNDS_MAX {
        let there = sealer.checkpoint().await?;
        keys::may_sign(sealer, signer.public(), &log, there.as_ref()).await?;
        let head = head(sealer, signer, &log, there.as_ref())?;
        // What was signed is remembered in two places; both must be this history's.
        let mut known_roots = sealer.signed_after(signer.public(), head.size).await?;
        let work = sealer.reader().work();
        let locks = sealer.locks_after(head.size).await?.into_iter();
        known_roots.extend(
            locks.map(|(size, root)| (work.object_url(&layout::lock_key(size)), size, root)),
        );
        let known = known_roots.iter().map(|(_, size, _)| *size).max().unwrap_or(head.size);
        if known > log.next_version() {
            // Others have seen more commits than this log has, as after a listing that ran beside
            // them.
            log = sealer.log(&log).await?;
        }
        let grown = Grown::new(&log, head.size);
        agrees(sealer, &log, &head, known_roots, &grown)?;
        if head.size == log.next_version() {
            return Ok(Published { size: head.size, root: head.root, signed });
        }
        check_commits(sealer, &log, head.size, checked).await?;
        match sign(sealer, signer, there.as_ref(), grown).await? {
            // Another published in between; what it published is looked at like any other.
            Swap::Changed => {}
            Swap::Swapped => signed += 1,
        }
    }
    Err(SealError::Contended { rounds: ROUNDS_MAX })
}

/// The tree head that is published, if this key signed it; that of the empty tree if none is.
fn head(
    sealer: &Sealer,
    signer: &dyn Signer,
    log: &Log,
    there: Option<&Stamped>,
) -> Result<Checkpoint, SealError> {
    let origin = signer.public().name();
    let wrong = |expected: String, found: String| {
        let object = sealer.reader().store().object_url(CHECKPOINT_KEY);
        SealError::from(ArchiveError::Ledger { object, expected, found })
    };
    if !is_of_table(origin, log.table_id()) {
        let expected = format!("a key named <archive>/{}", log.table_id());
        return Err(wrong(expected, format!("key {origin}")));
    }
    let Some(there) = there else {
        let (origin, root) = (origin.to_owned(), Hash::of_no_leaves());
        return Ok(Checkpoint { origin, size: 0, root });
    };
    let note = Note::parse(&there.bytes);
    let signed = note.and_then(|note| {
        let signed = note.signed_by(signer.public())?;
        Ok((Checkpoint::parse(&note.text)?, signed))
    });
    match signed {
        Ok((head, Some(_))) if head.origin == origin => Ok(head),
        Ok((head, _)) => {
            let found = format!("origin {}, not signed by it", head.origin);
            Err(wrong(format!("a checkpoint signed by {}", signer.public()), found))
        }
        Err(e) => Err(wrong("a signed checkpoint".to_owned(), e.to_string())),
    }
}

/// The tree of a log: its roots, and the tiles by which it grew.
struct Grown {
    /// The root at each size from the one that is published on.
    roots: Vec<(u64, Hash)>,
    tiles: Vec<(Tile, Bytes)>,
}

impl Grown {
    /// Computes the whole tree from the log's entries; keeps what is new since `from`.
    fn new(log: &Log, from: u64) -> Self {
        let (mut edge, mut bundle) = (Edge::default(), Vec::new());
        let (mut roots, mut tiles) = (Vec::new(), Vec::new());
        let mut note = |size: u64, edge: &Edge| {
            if size >= from {
                roots.push((size, edge.root()));
            }
        };
        note(0, &edge);
        for commit in log.commits() {
            let entry = commit.entry.to_text();
            edge.push(commit.entry.leaf(), |tile, bytes| tiles.push((tile, bytes)));
            // An entry has some hundreds of bytes, so it fits.
            let _ = push_entry(&mut bundle, entry.as_bytes());
            if edge.size().is_multiple_of(u64::from(WIDTH)) {
                let index = edge.size() / u64::from(WIDTH) - 1;
                let tile = Tile { of: Of::Entries, index, width: WIDTH };
                tiles.push((tile, std::mem::take(&mut bundle)));
            }
            note(edge.size(), &edge);
        }
        tiles.extend(edge.partial());
        if let Some(Tile { index, width, .. }) =
            Tile::partial(edge.size()).find(|tile| tile.of == Of::Hashes(0))
        {
            tiles.push((Tile { of: Of::Entries, index, width }, bundle));
        }
        let new: BTreeSet<Tile> = Tile::all_between(from, edge.size()).collect();
        tiles.retain(|(tile, _)| new.contains(tile));
        let tiles = tiles.into_iter().map(|(tile, bytes)| (tile, bytes.into())).collect();
        Self { roots, tiles }
    }

    fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.iter().find(|(at, _)| *at == size).map(|(_, root)| *root)
    }

    /// The whole tree's size and root.
    fn head(&self) -> (u64, Hash) {
        self.roots.last().copied().unwrap_or((0, Hash::of_no_leaves()))
    }
}

/// The log must give the root that is published, and every root that was locked or signed since.
fn agrees(
    sealer: &Sealer,
    log: &Log,
    head: &Checkpoint,
    known_roots: Vec<(String, u64, Hash)>,
    grown: &Grown,
) -> Result<(), SealError> {
    let store = sealer.reader().store();
    let published = (store.object_url(CHECKPOINT_KEY), head.size, head.root);
    for (object, size, root) in std::iter::once(published).chain(known_roots) {
        match grown.root_at(size) {
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
                    object: store.object_url(layout::LOG_PREFIX),
                    expected: format!("at least {size} commits, which {object} covers"),
                    found: format!("{}", log.next_version()),
                }));
            }
        }
    }
    Ok(())
}

/// Checks the commits that are not covered yet, whoever stored them.
async fn check_commits(
    sealer: &Sealer,
    log: &Log,
    from: u64,
    checked: &BTreeSet<u64>,
) -> Result<(), SealError> {
    let mut held = sealer.held(Held::default(), &log.prefix(from)).await?;
    let start = usize::try_from(from).unwrap_or(usize::MAX);
    let (mut paths, mut deliveries) = (BTreeSet::new(), BTreeSet::new());
    for (index, commit) in log.commits().iter().enumerate() {
        let version = commit.commit.note.version;
        let named = &commit.commit.note.manifests;
        let is_new = commit.commit.adds.iter().all(|file| paths.insert(&file.path))
            && named.iter().all(|manifest| deliveries.insert(manifest.delivery));
        if index < start {
            continue;
        }
        if !is_new {
            let reasons = vec!["it adds a file or seals a delivery a second time".to_owned()];
            return Err(SealError::Unsigned { version, reasons });
        }
        let files = !checked.contains(&version);
        let reader = sealer.reader();
        let mut findings =
            archive::verify::check_commit(reader, &commit.commit, &held, files).await?;
        if files {
            let named = archive::verify::check_delta_checkpoint(reader, log, &commit.commit);
            findings.extend(named.await?);
        }
        if !findings.is_empty() {
            let reasons = findings.iter().map(ToString::to_string).collect();
            return Err(SealError::Unsigned { version, reasons });
        }
        held = sealer.held(held, &log.prefix(version + 1)).await?;
    }
    Ok(())
}

/// Locks, signs, stores, publishes.
async fn sign(
    sealer: &Sealer,
    signer: &dyn Signer,
    there: Option<&Stamped>,
    grown: Grown,
) -> Result<Swap, SealError> {
    let (size, root) = grown.head();
    // Stopped before this: nothing. After: the next one finds the same root here.
    let locked = sealer.lock(size, root).await?;
    if locked != root {
        return Err(SealError::from(ArchiveError::Ledger {
            object: sealer.reader().work().object_url(&layout::lock_key(size)),
            expected: format!("root {root}, by the commits"),
            found: format!("root {locked}"),
        }));
    }
    let origin = signer.public().name().to_owned();
    let text = Checkpoint { origin, size, root }.to_text();
    let signature = signer.sign(&text).await?;
    let key_id = signature.key_id;
    let note = Note { text, signatures: vec![signature] };
    // A signature that its own key does not confirm is never published.
    if note.signed_by(signer.public())?.is_none() {
        return Err(SealError::Tlog(tlog::TlogError::Signature {
            expected: format!("a signature of {}", signer.public()),
            found: "one of another key".to_owned(),
        }));
    }
    for (tile, bytes) in grown.tiles {
        sealer.put_tile(tile, bytes).await?;
    }
    let note = Bytes::from(note.to_text());
    sealer.put_signature(size, key_id, note.clone()).await?;
    Ok(sealer.publish(there, note).await?)
}

#[cfg(test)]
mod tests;
