//! The ledger's tree where it grows: its roots and tiles since a size that is published.

use bytes::Bytes;
use common::ledger::Entry;
use std::collections::BTreeSet;
use tlog::Hash;
use tlog::tile::{Edge, Of, Tile, WIDTH, push_entry};

/// A tree that grows. It starts from the right edge of one that was signed, so that whatever it
/// becomes extends that one.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    /// The size from which on roots and tiles are known.
    base: u64,
    /// The roots at that size and those above it.
    roots: Vec<Hash>,
    edge: Edge,
    /// The bundle that is not full.
    bundle: Vec<u8>,
    /// The tiles and bundles that became full since.
    full: Vec<(Tile, Bytes)>,
}

impl Trunk {
    pub(crate) fn new(edge: Edge, bundle: Vec<u8>) -> Self {
        Self { base: edge.size(), roots: vec![edge.root()], edge, bundle, full: Vec::new() }
    }

    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    pub(crate) const fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.roots.last().copied().unwrap_or_else(Hash::of_no_leaves)
    }

    /// The root at a size; none if the tree is smaller, or the size is below the first one known.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        let index = usize::try_from(size.checked_sub(self.base)?).ok()?;
        self.roots.get(index).copied()
    }

    /// Adds the next commit's entry.
    pub(crate) fn push(&mut self, entry: &Entry) {
        self.edge.push(entry.leaf(), |tile, bytes| self.full.push((tile, bytes.into())));
        // An entry is shorter than a kilobyte, so it fits.
        let _ = push_entry(&mut self.bundle, entry.to_text().as_bytes());
        if self.edge.size().is_multiple_of(u64::from(WIDTH)) {
            let index = self.edge.size() / u64::from(WIDTH) - 1;
            let tile = Tile { of: Of::Entries, index, width: WIDTH };
            self.full.push((tile, std::mem::take(&mut self.bundle).into()));
        }
        self.roots.push(self.edge.root());
    }

    /// The tiles and bundles that the tree has and the one of `old` leaves has not.
    pub(crate) fn tiles_since(&self, old: u64) -> Vec<(Tile, Bytes)> {
        let new: BTreeSet<Tile> = Tile::all_between(old, self.size()).collect();
        let partial = self.edge.partial().map(|(tile, bytes)| (tile, Bytes::from(bytes)));
        let mut tiles: Vec<(Tile, Bytes)> = self.full.iter().cloned().chain(partial).collect();
        if let Some(Tile { index, width, .. }) =
            Tile::partial(self.size()).find(|tile| tile.of == Of::Hashes(0))
        {
            let bundle = Bytes::copy_from_slice(&self.bundle);
            tiles.push((Tile { of: Of::Entries, index, width }, bundle));
        }
        tiles.retain(|(tile, _)| new.contains(tile));
        tiles
    }

    /// Forgets what was before the tree's present size, which is published now.
    pub(crate) fn settle(&mut self) {
        self.base = self.size();
        self.roots = vec![self.root()];
        self.full.clear();
    }
}
