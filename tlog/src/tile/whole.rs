//! A tree of which every leaf is known: what each tile must be, and the root at each size.

use super::{HEIGHT, Of, Tile, WIDTH};
use crate::error::TlogError;
use crate::hash::Hash;
use crate::tree::{self, Node, Nodes, Tree};

/// A whole tree.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The hashes of each level of tiles, the leaves first.
    levels: Vec<Vec<Hash>>,
}

impl Whole {
    /// The tree of these leaves.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last()
            && last.len() >= usize::from(WIDTH)
        {
            let (full, _) = last.as_chunks::<{ WIDTH as usize }>();
            let above = full.iter().map(|tile| tile.iter().copied().collect::<Tree>().root());
            levels.push(above.collect());
        }
        Self { levels }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        u64::try_from(self.levels.first().map_or(0, Vec::len)).unwrap_or(u64::MAX)
    }

    /// The bytes of a tile of hashes; none if the tree is too small for it, or it is a bundle.
    pub fn tile(&self, tile: Tile) -> Option<Vec<u8>> {
        let Of::Hashes(level) = tile.of else { return None };
        let begin = usize::try_from(tile.index.checked_mul(u64::from(WIDTH))?).ok()?;
        let hashes = self.levels.get(usize::from(level))?;
        let hashes = hashes.get(begin..begin.checked_add(usize::from(tile.width))?)?;
        Some(hashes.iter().flat_map(Hash::as_bytes).copied().collect())
    }

    /// The root when the tree had so many leaves; none if it never had.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size > self.size() { None } else { tree::root(&mut Subtrees(self), size).ok() }
    }

    /// The inclusion proof of a leaf in the tree when it had so many leaves.
    ///
    /// # Errors
    /// If it never had so many, or not this one.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TlogError> {
        tree::prove_inclusion(&mut Subtrees(self), index, size)
    }

    /// The consistency proof between the trees of two sizes.
    ///
    /// # Errors
    /// If it never had so many leaves, or the sizes do not ascend.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TlogError> {
        tree::prove_consistency(&mut Subtrees(self), old, new)
    }
}

struct Subtrees<'a>(&'a Whole);

impl Nodes for Subtrees<'_> {
    fn node(&mut self, node: Node) -> Result<Hash, TlogError> {
        let (level, above) = (node.level / HEIGHT, node.level % HEIGHT);
        let begin = node.index << above;
        let width = 1u16 << above;
        let tile = Tile {
            of: Of::Hashes(level),
            index: begin / u64::from(WIDTH),
            width: u16::try_from(begin % u64::from(WIDTH)).unwrap_or(0) + width,
        };
        let bytes = self.0.tile(tile).ok_or_else(|| TlogError::Tile {
            tile: tile.path(),
            expected: "a tile of the tree".to_owned(),
            found: "none".to_owned(),
        })?;
        let (hashes, _) = bytes.as_chunks::<{ Hash::BYTES }>();
        let hashes = hashes.iter().map(|&bytes| Hash::from_bytes(bytes));
        Ok(hashes.skip(usize::from(tile.width - width)).collect::<Tree>().root())
    }
}
