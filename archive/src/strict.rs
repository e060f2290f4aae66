//! The log as far as a signed checkpoint covers it, and not an object further.
//!
//! The checkpoint gives size and root. Tiles are used only as far as the root vouches for them;
//! entries, as far as the tiles do; commits and a Delta checkpoint, as far as the entries do. So a
//! log of any length opens with the checkpoint, then its last tiles and entries, then one Delta
//! checkpoint and the few commits after it. Whatever is missing or wrong on that way is an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use common::Sha256Digest;
use common::layout::{self, CHECKPOINT_KEY, INBOX_PREFIX, LEDGER_PREFIX, LOG_PREFIX, Place};
use common::ledger::{Entry, is_of_table};
use common::limits::FILE_BYTES_MAX;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::tile::{Of, Tile, Tiles, WIDTH, entries};
use tlog::tree::{Node, Nodes};
use tlog::{Checkpoint, Hash};

use crate::background;
use crate::delta_checkpoint::State;
use crate::error::ArchiveError;
use crate::log::{self, SealedCommit};
use crate::seats::Reader;
use crate::snapshot::{Snapshot, SnapshotFile, SnapshotQuarantine};
use crate::store::READS_AT_ONCE;

/// What a strict snapshot rests on, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealedThrough {
    /// The last version that the checkpoint covers.
    pub version: u64,
    /// Commits that it covers.
    pub size: u64,
    /// Root of the tree over them, in base64.
    pub root: String,
    /// The ledger's identity.
    pub origin: String,
    /// The key whose signature the policy accepted; none if there is no policy, and so nobody's
    /// signature was checked.
    pub signed_by: Option<String>,
    /// Witnesses of the policy that cosigned.
    pub witnesses: Vec<String>,
    /// Version of the Delta checkpoint that the ledger vouches for and the snapshot starts from.
    pub delta_checkpoint: Option<u64>,
    /// Commits beyond the checkpoint, which were left out.
    pub unsealed_commits_ignored: u64,
    /// Objects in the inbox, which were left out.
    pub unsealed_manifests_ignored: u64,
    /// The checkpoint itself, a signed note: for the statement of an answer, not for receipts.
    #[serde(skip)]
    pub checkpoint: String,
}

/// What was found to be authentic: the next snapshot takes it over as far as its own tree still
/// has it.
#[derive(Debug, Clone)]
pub struct Authentic {
    through: SealedThrough,
    base: Option<Base>,
    /// Table id, by the Delta checkpoint or version 0.
    table_id: String,
    /// The commits after the base, or from version 0.
    commits: Vec<Arc<SealedCommit>>,
}

/// A Delta checkpoint that the ledger vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) version: u64,
    pub(crate) sha256: Sha256Digest,
}

/// Bundles, from the last one back, in which a Delta checkpoint is looked for: more commits than
/// lie between two of them.
const BUNDLES_SEARCHED: u64 = 2;

fn wrong(object: String, expected: impl ToString, found: impl ToString) -> ArchiveError {
    let (expected, found) = (expected.to_string(), found.to_string());
    ArchiveError::Strict { object, expected, found }
}

impl Reader {
    /// What is sealed, by the checkpoint, up to a version, or all of it; `None` if the archive has
    /// no ledger.
    pub(crate) async fn strict(
        &self,
        previous: Option<&Snapshot>,
        at: Option<u64>,
    ) -> Result<Option<Snapshot>, ArchiveError> {
        let Some((head, mut through)) = self.head().await? else { return Ok(None) };
        let (latest, asked) = (through.version, at.unwrap_or(through.version));
        if asked > latest {
            let (url, known) =
                (self.store().url().to_owned(), "the signed checkpoint covers up to");
            return Err(ArchiveError::NoVersion { url, asked, known, latest });
        }
        let end = asked.saturating_add(1);
        let (tail, ignored) = futures::try_join!(self.tail(&head, end), self.ignored(head.size))?;
        (through.unsealed_commits_ignored, through.unsealed_manifests_ignored) = ignored;
        let Tail { mut tree, vouched } = tail;
        through.delta_checkpoint = vouched.map(|base| base.version);
        let from = vouched.map_or(0, |base| base.version + 1);
        self.authenticate(&mut tree, from..end).await?;
        let known =
            previous.and_then(|snapshot| snapshot.authentic.as_ref().map(|a| (a, snapshot)));
        let commits = self.commits(&tree, from..end, known.map(|(known, _)| &**known));
        let (base, commits) = futures::try_join!(self.base(vouched, known), commits)?;
        let (mut table_id, files, quarantine) = base.unwrap_or_default();
        if let Some(id) = commits.first().and_then(|first| first.commit.table_id.clone()) {
            table_id = id;
        }
        if !is_of_table(&head.origin, &table_id) {
            let object = self.store().object_url(CHECKPOINT_KEY);
            return Err(wrong(object, format!("a ledger of table {table_id}"), head.origin));
        }
        let mut snapshot = Snapshot::of_commits(asked, &table_id, files, quarantine);
        snapshot.add_commits(&commits);
        let authentic = Authentic { through, base: vouched, table_id, commits };
        snapshot.authentic = Some(Arc::new(authentic));
        Ok(Some(snapshot))
    }

    /// The tree head that the policy accepts, or, without one, that is there.
    async fn head(&self) -> Result<Option<(Checkpoint, SealedThrough)>, ArchiveError> {
        let store = self.store();
        let object = store.object_url(CHECKPOINT_KEY);
        let Some(bytes) = store.get_note(CHECKPOINT_KEY).await? else {
            let is_begun =
                self.policy.is_some() || !store.list_page(LEDGER_PREFIX, None).await?.is_empty();
            return if is_begun {
                Err(wrong(object, "a signed checkpoint", "none"))
            } else {
                Ok(None)
            };
        };
        self.judge(&bytes).map(Some)
    }

    /// The tree head of a checkpoint, if the policy accepts it.
    fn judge(&self, bytes: &[u8]) -> Result<(Checkpoint, SealedThrough), ArchiveError> {
        let object = self.store().object_url(CHECKPOINT_KEY);
        let note = Note::parse(bytes);
        let checkpoint = note.as_ref().map(Note::to_text).unwrap_or_default();
        let judged = note.and_then(|note| match &self.policy {
            Some(policy) => {
                let accepted = policy.accept(&note)?;
                let names = accepted.witnesses.iter().map(|(key, _)| key.name().to_owned());
                Ok((accepted.checkpoint, Some(accepted.log.to_string()), names.collect()))
            }
            None => Ok((Checkpoint::parse(&note.text)?, None, Vec::new())),
        });
        let expected = match self.policy {
            Some(_) => "a checkpoint that the policy accepts",
            None => "a signed checkpoint",
        };
        let (head, signed_by, witnesses) =
            judged.map_err(|e| wrong(object.clone(), expected, e))?;
        let Some(version) = head.size.checked_sub(1) else {
            return Err(wrong(object, "a checkpoint that covers version 0", "one of no versions"));
        };
        let through = SealedThrough {
            version,
            size: head.size,
            root: head.root.to_string(),
            origin: head.origin.clone(),
            signed_by,
            witnesses,
            delta_checkpoint: None,
            unsealed_commits_ignored: 0,
            unsealed_manifests_ignored: 0,
            checkpoint,
        };
        Ok((head, through))
    }

    /// The tree head for a reader that can do without: none if there is none that the policy
    /// accepts.
    pub(crate) async fn accepted_head(&self) -> Option<Checkpoint> {
        let bytes = self.store().get_note(CHECKPOINT_KEY).await.ok().flatten()?;
        self.judge(&bytes).ok().map(|(head, _)| head)
    }

    /// The last Delta checkpoint that the ledger vouches for.
    pub(crate) async fn vouched_under(
        &self,
        head: &Checkpoint,
    ) -> Result<Option<Base>, ArchiveError> {
        Ok(self.tail(head, head.size).await?.vouched)
    }

    /// How many commits lie beyond the checkpoint, and how many objects in the inbox.
    async fn ignored(&self, size: u64) -> Result<(u64, u64), ArchiveError> {
        let last = layout::commit_key(size.saturating_sub(1));
        let (store, work) = (self.store(), self.work());
        let (log, inbox) =
            futures::try_join!(store.list(LOG_PREFIX, Some(&last)), work.list(INBOX_PREFIX, None))?;
        let commits = log.iter().filter(|object| {
            matches!(layout::parse(&object.key), Place::Commit(version) if version >= size)
        });
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok((count(commits.count()), count(inbox.len())))
    }

    /// A tile or a bundle, which must be there.
    async fn tile(&self, tile: Tile) -> Result<Bytes, ArchiveError> {
        let object = || self.store().object_url(&layout::tile_key(tile));
        match self.store().get_tile(tile).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(wrong(object(), "a tile of the ledger", "nothing")),
            Err(e @ ArchiveError::TooLong { .. }) => Err(wrong(object(), "a tile", e)),
            Err(e) => Err(e),
        }
    }

    async fn tiles(&self, tiles: Vec<Tile>) -> Result<HashMap<Tile, Bytes>, ArchiveError> {
        stream::iter(tiles)
            .map(|tile| async move { Ok((tile, self.tile(tile).await?)) })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The end of the tree, and the last Delta checkpoint of a version before `end` that the
    /// entries around it vouch for.
    async fn tail(&self, head: &Checkpoint, end: u64) -> Result<Tail, ArchiveError> {
        let width = u64::from(WIDTH);
        // Not from the first one on: nobody may have signed this size.
        let last = end.min(head.size).div_ceil(width);
        let first = last.saturating_sub(BUNDLES_SEARCHED).saturating_mul(width);
        let bundles = Tile::between(Of::Entries, first, head.size);
        let bundles: Vec<Tile> = bundles.take_while(|tile| tile.index * width < end).collect();
        // Everything whose place follows from the size is read at once.
        let full = bundles.iter().filter(|bundle| bundle.is_full());
        let full = full.map(|bundle| Tile { of: Of::Hashes(0), ..*bundle });
        let wanted = Tile::partial(head.size).chain(full).chain(bundles.iter().copied());
        let read = self.tiles(wanted.collect()).await?;
        let tree = Tiles::new(head.size, head.root, |tile| {
            Ok::<_, tlog::TlogError>(
                read.get(&tile).map(|bytes| bytes.to_vec()).unwrap_or_default(),
            )
        });
        let object = self.store().object_url(&layout::tile_key(Tile {
            of: Of::Hashes(0),
            index: head.size / width,
            width: 1,
        }));
        let place = object.rsplit_once("/0/").map_or(object.as_str(), |(before, _)| before);
        let tree = tree.map_err(|e| wrong(place.to_owned(), "tiles under the checkpoint", e))?;
        let mut tree = Tree { tiles: tree, read };
        let first = bundles.first().map_or(0, |bundle| bundle.index * width);
        let behind = bundles.last().map_or(0, |last| last.index * width + u64::from(last.width));
        self.authenticate(&mut tree, first..behind).await?;
        let mut vouched = None;
        for bundle in bundles {
            let bytes = tree.read.get(&bundle).cloned().unwrap_or_default();
            vouched = self.vouched(&mut tree, bundle, &bytes, end)?.or(vouched);
        }
        Ok(Tail { tree, vouched })
    }

    /// The last Delta checkpoint of a version before `end` that the entries of a bundle vouch for;
    /// each entry must be the leaf that the tree has.
    fn vouched(
        &self,
        tree: &mut Tree,
        bundle: Tile,
        bytes: &[u8],
        end: u64,
    ) -> Result<Option<Base>, ArchiveError> {
        let object = || self.store().object_url(&layout::tile_key(bundle));
        let entries =
            entries(bytes, bundle.width).map_err(|e| wrong(object(), "a bundle of entries", e))?;
        let mut vouched = None;
        for (version, entry) in (bundle.index * u64::from(WIDTH)..).zip(entries) {
            let leaf = tree.leaf(version).map_err(|e| wrong(object(), "a leaf of the tree", e))?;
            if Hash::of_leaf(entry) != leaf {
                let expected = format!("entry {version} with leaf hash {leaf}");
                return Err(wrong(object(), expected, Hash::of_leaf(entry)));
            }
            let entry = std::str::from_utf8(entry).map_err(|e| e.to_string());
            let entry = entry.and_then(|text| Entry::parse(text).map_err(|e| e.to_string()));
            let entry = entry.map_err(|e| wrong(object(), "an entry of this format", e))?;
            if let Some((of, sha256)) =
                entry.delta_checkpoint.filter(|(of, _)| *of < version.min(end))
            {
                vouched = Some(Base { version: of, sha256 });
            }
        }
        Ok(vouched)
    }

    /// Reads the tiles that are missing for the leaves of these versions.
    async fn authenticate(
        &self,
        tree: &mut Tree,
        versions: std::ops::Range<u64>,
    ) -> Result<(), ArchiveError> {
        let width = u64::from(WIDTH);
        let mut wanted: BTreeMap<(u8, u64), Tile> = BTreeMap::new();
        for tile in versions.start / width..versions.end.div_ceil(width) {
            let node = Node { level: 0, index: (tile * width).max(versions.start) };
            let missing = tree.tiles.missing(node);
            let object = || self.store().object_url(LEDGER_PREFIX);
            for tile in missing.map_err(|e| wrong(object(), "a leaf of the tree", e))? {
                if let Of::Hashes(level) = tile.of {
                    // The highest first, as the tree takes them.
                    wanted.insert((u8::MAX - level, tile.index), tile);
                }
            }
        }
        let unread = wanted.values().filter(|tile| !tree.read.contains_key(tile));
        let read = self.tiles(unread.copied().collect()).await?;
        for tile in wanted.into_values() {
            let bytes = read.get(&tile).or_else(|| tree.read.get(&tile)).cloned();
            tree.tiles.take(tile, &bytes.unwrap_or_default()).map_err(|e| {
                wrong(self.store().object_url(&layout::tile_key(tile)), "a tile of the ledger", e)
            })?;
        }
        Ok(())
    }

    /// The commits of these versions, each of which must be the one its leaf is of.
    async fn commits(
        &self,
        tree: &Tree,
        versions: std::ops::Range<u64>,
        known: Option<&Authentic>,
    ) -> Result<Vec<Arc<SealedCommit>>, ArchiveError> {
        let known: HashMap<u64, &Arc<SealedCommit>> = known
            .into_iter()
            .flat_map(|known| &known.commits)
            .map(|sealed| (sealed.commit.note.version, sealed))
            .collect();
        let mut tree = tree.tiles.clone();
        let mut leaves = Vec::new();
        for version in versions {
            let object = || self.store().object_url(&layout::commit_key(version));
            let leaf = tree.node(Node { level: 0, index: version });
            leaves.push((version, leaf.map_err(|e| wrong(object(), "a leaf of the tree", e))?));
        }
        stream::iter(leaves)
            .map(|(version, leaf)| {
                let known = known.get(&version).filter(|sealed| sealed.entry.leaf() == leaf);
                let known = known.map(|sealed| Arc::clone(sealed));
                async move {
                    match known {
                        Some(sealed) => Ok(sealed),
                        None => self.commit(version, leaf).await.map(Arc::new),
                    }
                }
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn commit(&self, version: u64, leaf: Hash) -> Result<SealedCommit, ArchiveError> {
        let object = self.store().object_url(&layout::commit_key(version));
        let expected = format!("the commit that the ledger has as entry {version}");
        match log::read(self.store(), version).await {
            Ok(sealed) if sealed.entry.leaf() == leaf => Ok(sealed),
            Ok(sealed) => {
                let found = format!("another, with SHA-256 {}", sealed.sha256);
                Err(wrong(object, expected, found))
            }
            Err(e @ (ArchiveError::Store { .. } | ArchiveError::Refused { .. })) => Err(e),
            Err(e) => Err(wrong(object, expected, e)),
        }
    }

    /// The state of the Delta checkpoint to start from.
    async fn base(
        &self,
        vouched: Option<Base>,
        known: Option<(&Arc<Authentic>, &Snapshot)>,
    ) -> Result<Option<Known>, ArchiveError> {
        let Some(base) = vouched else { return Ok(None) };
        if let Some((known, snapshot)) = known.filter(|(known, _)| known.base == Some(base)) {
            let is_of_base = |version: Option<u64>| version.is_some_and(|v| v <= base.version);
            let files = snapshot.files.iter().filter(|file| is_of_base(file.sealed_version));
            let rejected = snapshot.quarantine.iter();
            let rejected = rejected.filter(|entry| is_of_base(entry.sealed_version));
            let table_id = known.table_id.clone();
            return Ok(Some((table_id, files.cloned().collect(), rejected.cloned().collect())));
        }
        let state = self.state_of(base).await?;
        let (files, quarantine) = state.snapshot();
        Ok(Some((state.table_id, files, quarantine)))
    }

    /// The state of a Delta checkpoint that the ledger vouches for.
    pub(crate) async fn state_of(&self, base: Base) -> Result<State, ArchiveError> {
        let key = layout::delta_checkpoint_key(base.version);
        let object = self.store().object_url(&key);
        let expected = format!("the Delta checkpoint with SHA-256 {}", base.sha256);
        let Some(bytes) = self.store().get_bounded(&key, FILE_BYTES_MAX).await? else {
            return Err(wrong(object, expected, "nothing"));
        };
        let read = background::run(&object, move || {
            let found = Sha256Digest::of(&bytes);
            if found != base.sha256 {
                return Err(format!("SHA-256 {found}"));
            }
            State::read(&bytes)
        });
        let state = read.await?.map_err(|found| wrong(object.clone(), &expected, found))?;
        if state.about.version != base.version {
            return Err(wrong(object, expected, format!("one of {}", state.about.version)));
        }
        Ok(state)
    }
}

/// Table id, files and quarantine files of a state.
type Known = (String, Vec<SnapshotFile>, Vec<SnapshotQuarantine>);

impl Authentic {
    /// What it rests on.
    pub(crate) const fn through(&self) -> &SealedThrough {
        &self.through
    }
}

/// The end of a tree.
struct Tail {
    tree: Tree,
    vouched: Option<Base>,
}

/// A tree, and tiles that were read and not looked at yet.
struct Tree {
    tiles: Tiles,
    read: HashMap<Tile, Bytes>,
}

impl Tree {
    fn leaf(&mut self, version: u64) -> Result<Hash, tlog::TlogError> {
        self.tiles.node(Node { level: 0, index: version })
    }
}

/// Whom a reader trusts.
pub(crate) type Trust = Option<Arc<Policy>>;
