//! Tiles somebody else keeps, used only as far as a root vouches for them.

use std::collections::BTreeMap;

use super::edge::{hashes, peaks};
use super::{HEIGHT, Of, Tile, WIDTH};
use crate::error::TlogError;
use crate::hash::Hash;
use crate::tree::{self, Node, Nodes, Tree, folded};

/// The tiles of a tree whose size and root are known. A tile is taken only once it is shown to be
/// part of that tree: the partial ones all together give the root, each full one gives a hash of
/// the tile above it.
#[derive(Debug, Clone)]
pub struct Tiles {
    size: u64,
    /// By level and index; all of them vouched for.
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Tiles {
    /// Begins with the partial tiles of the tree of `size` leaves: `read` gives their bytes.
    ///
    /// # Errors
    /// What `read` says, and if they do not give `root`.
    pub fn new<E: From<TlogError>>(
        size: u64,
        root: Hash,
        mut read: impl FnMut(Tile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut tiles = BTreeMap::new();
        let mut all_peaks = Vec::new();
        for tile in Tile::partial(size) {
            let Of::Hashes(level) = tile.of else { continue };
            let hashes = hashes(tile, &read(tile)?)?;
            all_peaks.extend(peaks(&hashes));
            tiles.insert((level, tile.index), hashes);
        }
        let found = folded(all_peaks).unwrap_or_else(Hash::of_no_leaves);
        if found != root {
            return Err(E::from(TlogError::Tile {
                tile: format!("the partial tiles of a tree of {size} leaves"),
                expected: format!("root {root}"),
                found: format!("root {found}"),
            }));
        }
        Ok(Self { size, tiles })
    }

    /// The full tiles that must be taken before this subtree's hash is known, the highest first,
    /// which is the order in which [`Self::take`] wants them. Empty if it is known already.
    ///
    /// # Errors
    /// If the tree has no such subtree.
    pub fn missing(&self, node: Node) -> Result<Vec<Tile>, TlogError> {
        let (mut level, mut index, _) = self.place(node)?;
        let mut missing = Vec::new();
        while !self.tiles.contains_key(&(level, index)) {
            missing.push(Tile { of: Of::Hashes(level), index, width: WIDTH });
            level += 1;
            index /= u64::from(WIDTH);
        }
        missing.reverse();
        Ok(missing)
    }

    /// Takes the bytes of a full tile.
    ///
    /// # Errors
    /// If they are not what the tile above says, or that one was not taken before.
    pub fn take(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), TlogError> {
        let wrong = |expected: String, found: String| TlogError::Tile {
            tile: tile.path(),
            expected,
            found,
        };
        let (Of::Hashes(level), true) = (tile.of, tile.is_full() && tile.is_possible()) else {
            return Err(wrong("a full tile of hashes".to_owned(), "another".to_owned()));
        };
        let hashes = hashes(tile, bytes)?;
        let above = self.node(Node { level: (level + 1) * HEIGHT, index: tile.index })?;
        let found = hashes.iter().copied().collect::<Tree>().root();
        if found != above {
            return Err(wrong(format!("hashes under {above}"), format!("hashes under {found}")));
        }
        self.tiles.insert((level, tile.index), hashes);
        Ok(())
    }

    /// The tile of hashes that has this subtree or its parts, and which of the tile's hashes.
    fn place(&self, node: Node) -> Result<(u8, u64, std::ops::Range<usize>), TlogError> {
        let end =
            (node.index.checked_add(1)).and_then(|end| end.checked_mul(1 << node.level.min(63)));
        if node.level > 63 || end.is_none_or(|end| end > self.size) {
            return Err(TlogError::Proof {
                expected: format!("a subtree of the {} leaves", self.size),
                found: format!("subtree {} of level {}", node.index, node.level),
            });
        }
        let (level, above) = (node.level / HEIGHT, node.level % HEIGHT);
        let first = node.index << above;
        let tile = first / u64::from(WIDTH);
        // Lossless: below 256.
        let begin = usize::try_from(first % u64::from(WIDTH)).unwrap_or(usize::MAX);
        Ok((level, tile, begin..begin + (1 << above)))
    }
}

impl Nodes for Tiles {
    fn node(&mut self, node: Node) -> Result<Hash, TlogError> {
        let (level, index, range) = self.place(node)?;
        let hashes = self.tiles.get(&(level, index)).and_then(|hashes| hashes.get(range));
        let hashes = hashes.ok_or_else(|| TlogError::Tile {
            tile: Tile { of: Of::Hashes(level), index, width: WIDTH }.path(),
            expected: "a tile that was taken before".to_owned(),
            found: "none".to_owned(),
        })?;
        Ok(hashes.iter().copied().collect::<Tree>().root())
    }
}

impl Tiles {
    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of a smaller tree, from the tiles that were taken.
    ///
    /// # Errors
    /// If a tile is missing.
    pub fn root_at(&mut self, size: u64) -> Result<Hash, TlogError> {
        tree::root(self, size)
    }
}
