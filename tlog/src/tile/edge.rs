//! The right edge of a tree in tiles: what a log that grows has to keep.

use super::{HEIGHT, LEVEL_MAX, Of, Tile, WIDTH};
use crate::error::TlogError;
use crate::hash::Hash;
use crate::tree::{Tree, folded};

/// The tiles of a tree that are not full yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    size: u64,
    /// The hashes of each level's last tile, fewer than [`WIDTH`] each.
    levels: [Vec<Hash>; LEVEL_MAX as usize + 1],
}

impl Edge {
    /// Takes up a tree where it was left: `read` gives the bytes of its partial tiles. What it
    /// gives is not trusted before [`Self::root`] was compared.
    ///
    /// # Errors
    /// What `read` says, and if a tile has another length.
    pub fn resume<E: From<TlogError>>(
        size: u64,
        mut read: impl FnMut(Tile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut edge = Self { size, ..Self::default() };
        for tile in Tile::partial(size) {
            let hashes = hashes(tile, &read(tile)?)?;
            if let Of::Hashes(level) = tile.of
                && let Some(mine) = edge.levels.get_mut(usize::from(level))
            {
                *mine = hashes;
            }
        }
        Ok(edge)
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `full` is given each tile that becomes full by it, lowest level first.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(Tile, Vec<u8>)) {
        let mut hash = leaf;
        for (level, hashes) in (0u8..).zip(&mut self.levels) {
            hashes.push(hash);
            if hashes.len() < usize::from(WIDTH) {
                break;
            }
            let in_level = self.size >> (HEIGHT * level);
            let index = in_level / u64::from(WIDTH);
            full(Tile { of: Of::Hashes(level), index, width: WIDTH }, bytes(hashes));
            hash = hashes.drain(..).collect::<Tree>().root();
        }
        self.size += 1;
    }

    /// The tiles that are not full, lowest level first.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        Tile::partial(self.size)
            .zip(self.levels.iter().filter(|hashes| !hashes.is_empty()))
            .map(|(tile, hashes)| (tile, bytes(hashes)))
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        folded(self.levels.iter().flat_map(|hashes| peaks(hashes)))
            .unwrap_or_else(Hash::of_no_leaves)
    }
}

/// The hashes of a tile's bytes.
pub(super) fn hashes(tile: Tile, bytes: &[u8]) -> Result<Vec<Hash>, TlogError> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::BYTES }>();
    if !rest.is_empty() || hashes.len() != usize::from(tile.width) {
        return Err(TlogError::Tile {
            tile: tile.path(),
            expected: format!("{} hashes of {} bytes", tile.width, Hash::BYTES),
            found: format!("{} bytes", bytes.len()),
        });
    }
    Ok(hashes.iter().map(|&bytes| Hash::from_bytes(bytes)).collect())
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}

/// The complete subtrees above the hashes of a partial tile, from the right to the left.
pub(super) fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let (mut rest, mut peaks) = (hashes, Vec::new());
    while !rest.is_empty() {
        let (before, last) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
        peaks.push(last.iter().copied().collect::<Tree>().root());
        rest = before;
    }
    peaks
}
