//! What a signed tree head vouches for, as far as a sealer needs it to go on: the tree's right
//! edge, the last bundle, the end of the log, and the units that are held. A log of thousands of
//! commits is taken up with some dozens of requests.
//!
//! Nothing of it is trusted for being there. The tiles must give the signed root; the last commit
//! must be the tree's last leaf; each commit before it is named by the digest in the one after.

use std::collections::BTreeMap;

use bytes::Bytes;
use common::layout;
use futures::future::try_join_all;
use tlog::tile::{Edge, Of, Tile, Tiles, WIDTH, entries};
use tlog::tree::{Node, Nodes, Wanted, prove_consistency};
use tlog::{Checkpoint, Hash, TlogError};

use super::super::Sealer;
use crate::error::ArchiveError;
use crate::held::{Held, Part, cover, list_runs};
use crate::log::Log;

/// What a signed tree head vouches for.
#[derive(Debug)]
pub struct SignedEnd {
    /// The end of the log: what is signed of it as far back as the held units need it, and
    /// whatever was committed since.
    pub log: Log,
    /// The units held by what is signed.
    pub held: Held,
    /// The tree's right edge.
    pub edge: Edge,
    /// The bundle of entries that is not full yet.
    pub bundle: Vec<u8>,
}

/// What a tile is not as it should be.
type Damage = String;

impl Sealer {
    /// Takes up the history that a tree head ends, which this sealer's key has signed, and what
    /// was committed since, but for versions from `end` on. The inner error says which tile is
    /// missing or damaged: then the commits alone can tell the tree.
    ///
    /// # Errors
    /// If the archive can not be read, or its commits are not those that were signed.
    pub async fn signed_end(
        &self,
        head: &Checkpoint,
        end: u64,
    ) -> Result<Result<SignedEnd, Damage>, ArchiveError> {
        let Some(last) = head.size.checked_sub(1) else {
            let (edge, log) = (Edge::default(), self.log_before(&Log::default(), end).await?);
            return Ok(Ok(SignedEnd { log, held: Held::default(), edge, bundle: Vec::new() }));
        };
        let (edge, bundle, leaf) = match self.right_edge(head, last).await? {
            Ok(found) => found,
            Err(damage) => return Ok(Err(damage)),
        };
        let store = self.archive();
        let parts = cover(&list_runs(store).await?, last);
        let first = parts.iter().find_map(Part::version).unwrap_or(last);
        let known =
            if first == 0 { Log::default() } else { Log::end_from(first, self.table_id().await?) };
        let log = self.log_before(&known, end).await?;
        let expected = format!("the commit that was signed, of leaf {leaf}");
        let object = store.object_url(&layout::commit_key(last));
        match log.commit(last).map(|sealed| sealed.entry.leaf()) {
            Some(found) if found == leaf => {}
            Some(found) => {
                let found = format!("one of leaf {found}");
                return Err(ArchiveError::Ledger { object, expected, found });
            }
            None => {
                let found = "nothing".to_owned();
                return Err(ArchiveError::Ledger { object, expected, found });
            }
        }
        let held = Held::of_parts(store, &log, &parts, head.size).await?;
        Ok(Ok(SignedEnd { log, held, edge, bundle }))
    }

    /// The proof that the tree of `old` leaves is the beginning of a signed one, from the tiles.
    /// The inner error says why they do not give it: then the commits alone can.
    ///
    /// # Errors
    /// If the archive can not be read.
    pub async fn consistency(
        &self,
        old: u64,
        head: &Checkpoint,
    ) -> Result<Result<Vec<Hash>, Damage>, ArchiveError> {
        let mut wanted = Wanted::default();
        if let Err(e) = prove_consistency(&mut wanted, old, head.size) {
            return Ok(Err(e.to_string()));
        }
        let read = self.read_tiles(Tile::partial(head.size)).await?;
        let mut tiles = match Tiles::new(head.size, head.root, |tile| bytes_of(&read, tile)) {
            Ok(tiles) => tiles,
            Err(e) => return Ok(Err(e.to_string())),
        };
        for node in wanted.nodes() {
            let missing = match tiles.missing(*node) {
                Ok(missing) => missing,
                Err(e) => return Ok(Err(e.to_string())),
            };
            let read = self.read_tiles(missing.iter().copied()).await?;
            let mut taken =
                missing.into_iter().map(|tile| tiles.take(tile, &bytes_of(&read, tile)?));
            if let Err(e) = taken.try_for_each(|taken| taken) {
                return Ok(Err(e.to_string()));
            }
        }
        Ok(prove_consistency(&mut tiles, old, head.size).map_err(|e| e.to_string()))
    }

    /// The tree's edge, its last bundle if that is not full, and its last leaf, all of them
    /// vouched for by the root.
    async fn right_edge(
        &self,
        head: &Checkpoint,
        last: u64,
    ) -> Result<Result<(Edge, Vec<u8>, Hash), Damage>, ArchiveError> {
        let bundle = Tile::between(Of::Entries, 0, head.size).last().filter(|tile| !tile.is_full());
        let mut read: BTreeMap<Tile, Bytes> =
            self.read_tiles(Tile::partial(head.size).chain(bundle)).await?;
        let mut tiles = match Tiles::new(head.size, head.root, |tile| bytes_of(&read, tile)) {
            Ok(tiles) => tiles,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let node = Node { level: 0, index: last };
        let missing = match tiles.missing(node) {
            Ok(missing) => missing,
            Err(e) => return Ok(Err(e.to_string())),
        };
        read.append(&mut self.read_tiles(missing.iter().copied()).await?);
        let check = || {
            for tile in missing {
                tiles.take(tile, &bytes_of(&read, tile)?)?;
            }
            let leaf = tiles.node(node)?;
            let edge = Edge::resume(head.size, |tile| bytes_of(&read, tile))?;
            let bundle = bundle.map(|tile| checked_bundle(tile, &read, &mut tiles)).transpose()?;
            Ok::<_, TlogError>((edge, bundle.unwrap_or_default(), leaf))
        };
        Ok(check().map_err(|e| e.to_string()))
    }

    async fn read_tiles(
        &self,
        tiles: impl Iterator<Item = Tile> + Send,
    ) -> Result<BTreeMap<Tile, Bytes>, ArchiveError> {
        let reads: Vec<_> = tiles.map(|tile| self.read_tile(tile)).collect();
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn read_tile(&self, tile: Tile) -> Result<Option<(Tile, Bytes)>, ArchiveError> {
        match self.archive().get_tile(tile).await {
            // Damage like any other.
            Err(ArchiveError::TooLong { .. }) => Ok(None),
            bytes => Ok(bytes?.map(|bytes| (tile, bytes))),
        }
    }
}

fn bytes_of(read: &BTreeMap<Tile, Bytes>, tile: Tile) -> Result<Vec<u8>, TlogError> {
    read.get(&tile).map(|bytes| bytes.to_vec()).ok_or_else(|| TlogError::Tile {
        tile: tile.path(),
        expected: "a tile of the ledger".to_owned(),
        found: "nothing, or far too much".to_owned(),
    })
}

/// A bundle, if each of its entries is the leaf that the tree has in its place.
fn checked_bundle(
    tile: Tile,
    read: &BTreeMap<Tile, Bytes>,
    tiles: &mut Tiles,
) -> Result<Vec<u8>, TlogError> {
    let bytes = bytes_of(read, tile)?;
    let first = tile.index * u64::from(WIDTH);
    for (index, entry) in (first..).zip(entries(&bytes, tile.width)?) {
        let (expected, found) = (tiles.node(Node { level: 0, index })?, Hash::of_leaf(entry));
        if expected != found {
            return Err(TlogError::Tile {
                tile: tile.path(),
                expected: format!("entry {index} of leaf {expected}"),
                found: format!("leaf {found}"),
            });
        }
    }
    Ok(bytes)
}
