//! The Merkle tree of RFC 6962: roots, inclusion proofs and consistency proofs.
//!
//! Proofs are made of [`Nodes`], complete subtrees that somebody else keeps, and checked against
//! a root alone.

use std::ops::Range;

use crate::error::TlogError;
use crate::hash::Hash;

/// A complete subtree: the 2^`level` leaves from `index` · 2^`level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height above the leaves, at most 63.
    pub level: u8,
    /// Place among the subtrees of its height.
    pub index: u64,
}

/// Where the hashes of complete subtrees come from.
pub trait Nodes {
    /// The hash of a complete subtree.
    ///
    /// # Errors
    /// If it is not there, or is not part of the tree.
    fn node(&mut self, node: Node) -> Result<Hash, TlogError>;
}

/// A tree that grows at its right edge. It keeps one hash for each one bit of its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// The complete subtrees the leaves are made of, the largest first.
    peaks: Vec<Hash>,
}

impl Tree {
    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            // A size that ends in n ones has n peaks of these heights.
            if let Some(left) = self.peaks.pop() {
                right = Hash::of_children(left, right);
            }
        }
        self.peaks.push(right);
        self.size += 1;
    }

    /// The root, RFC 6962, 2.1.
    pub fn root(&self) -> Hash {
        folded(self.peaks.iter().rev().copied()).unwrap_or_else(Hash::of_no_leaves)
    }
}

impl Extend<Hash> for Tree {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<T: IntoIterator<Item = Hash>>(leaves: T) -> Self {
        let mut tree = Self::default();
        tree.extend(leaves);
        tree
    }
}

/// The root above subtrees that are given from the right to the left; none if there are none.
pub(crate) fn folded(from_the_right: impl IntoIterator<Item = Hash>) -> Option<Hash> {
    from_the_right.into_iter().reduce(|right, left| Hash::of_children(left, right))
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// What `nodes` says.
pub fn root(nodes: &mut impl Nodes, size: u64) -> Result<Hash, TlogError> {
    if size == 0 { Ok(Hash::of_no_leaves()) } else { range_hash(nodes, 0..size) }
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves: the siblings from the leaf to
/// the root (RFC 6962, 2.1.1).
///
/// # Errors
/// If the tree has no such leaf, and what `nodes` says.
pub fn prove_inclusion(
    nodes: &mut impl Nodes,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TlogError> {
    if index >= size {
        return Err(no_such_leaf(index, size));
    }
    let (mut range, mut siblings) = (0..size, Vec::new());
    while range.end - range.start > 1 {
        let middle = split(&range);
        let (inside, sibling) = if index < middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        siblings.push(sibling);
        range = inside;
    }
    siblings.into_iter().rev().map(|sibling| range_hash(nodes, sibling)).collect()
}

/// The consistency proof from the tree of `old` leaves to the tree of `new` leaves (RFC 6962,
/// 2.1.2). Empty if nothing needs to be proven: from no leaves, or to the same size.
///
/// # Errors
/// If the tree shrinks, and what `nodes` says.
pub fn prove_consistency(
    nodes: &mut impl Nodes,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TlogError> {
    if old > new {
        return Err(shrinks(old, new));
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut range, mut siblings) = (0..new, Vec::new());
    // Down to the subtree whose right edge is the old tree's.
    while range.end != old {
        let middle = split(&range);
        let (inside, sibling) = if old <= middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        siblings.push(sibling);
        range = inside;
    }
    if range.start > 0 {
        // It is not the whole old tree, so its hash is no secret of the verifier's.
        siblings.push(range);
    }
    siblings.into_iter().rev().map(|sibling| range_hash(nodes, sibling)).collect()
}

/// Checks an inclusion proof (RFC 9162, 2.1.3.2).
///
/// # Errors
/// If it does not lead from the leaf to the root.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    root: Hash,
    proof: &[Hash],
) -> Result<(), TlogError> {
    if index >= size {
        return Err(no_such_leaf(index, size));
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    let mut siblings = proof.iter();
    while last > 0 {
        // At the right edge a subtree without a sibling goes up as it is.
        if at & 1 == 1 {
            hash = Hash::of_children(next(&mut siblings)?, hash);
        } else if at < last {
            hash = Hash::of_children(hash, next(&mut siblings)?);
        }
        at >>= 1;
        last >>= 1;
    }
    ends(&siblings)?;
    leads_to(root, hash)
}

/// Checks a consistency proof (RFC 9162, 2.1.4.2).
///
/// # Errors
/// If it does not lead to both roots.
pub fn verify_consistency(
    old: (u64, Hash),
    new: (u64, Hash),
    proof: &[Hash],
) -> Result<(), TlogError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(shrinks(old_size, new_size));
    }
    let mut hashes = proof.iter();
    if old_size == 0 {
        ends(&hashes)?;
        leads_to(old_root, Hash::of_no_leaves())?;
        return if new_size == 0 { leads_to(new_root, old_root) } else { Ok(()) };
    }
    if old_size == new_size {
        ends(&hashes)?;
        return leads_to(new_root, old_root);
    }
    // The largest subtree that ends where the old tree ends.
    let alone = old_size.trailing_zeros();
    let (mut at, mut last) = ((old_size - 1) >> alone, (new_size - 1) >> alone);
    let start = if at == 0 { old_root } else { next(&mut hashes)? };
    let (mut old_hash, mut new_hash) = (start, start);
    while last > 0 {
        if at & 1 == 1 {
            let left = next(&mut hashes)?;
            old_hash = Hash::of_children(left, old_hash);
            new_hash = Hash::of_children(left, new_hash);
        } else if at < last {
            new_hash = Hash::of_children(new_hash, next(&mut hashes)?);
        }
        at >>= 1;
        last >>= 1;
    }
    ends(&hashes)?;
    leads_to(old_root, old_hash)?;
    leads_to(new_root, new_hash)
}

/// Remembers which subtrees are asked for, and answers with a hash that means nothing: so that
/// they can be fetched before they are needed.
#[derive(Debug, Default)]
pub struct Wanted(Vec<Node>);

impl Wanted {
    /// What was asked for, in that order.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }
}

impl Nodes for Wanted {
    fn node(&mut self, node: Node) -> Result<Hash, TlogError> {
        self.0.push(node);
        Ok(Hash::from_bytes([0; Hash::BYTES]))
    }
}

/// The hash of a range of leaves that is a subtree of some tree: complete, or at its right edge.
fn range_hash(nodes: &mut impl Nodes, range: Range<u64>) -> Result<Hash, TlogError> {
    let mut subtrees = Vec::new();
    let mut start = range.start;
    while start < range.end {
        // Peaks from the left: each the largest complete subtree that fits.
        let level = (range.end - start).ilog2();
        let index = start >> level;
        // Lossless: the logarithm of 64 bits is below 64.
        subtrees.push(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index });
        start += 1 << level;
    }
    let hashes: Vec<Hash> =
        subtrees.into_iter().rev().map(|node| nodes.node(node)).collect::<Result<_, _>>()?;
    Ok(folded(hashes).unwrap_or_else(Hash::of_no_leaves))
}

/// Where a range of two or more leaves is split: behind the largest power of two below its length.
fn split(range: &Range<u64>) -> u64 {
    let length = range.end - range.start;
    range.start + (1 << (length - 1).ilog2())
}

fn next<'a>(hashes: &mut impl Iterator<Item = &'a Hash>) -> Result<Hash, TlogError> {
    hashes.next().copied().ok_or_else(|| TlogError::Proof {
        expected: "more hashes for a tree of this size".to_owned(),
        found: "the end of the proof".to_owned(),
    })
}

fn ends(hashes: &std::slice::Iter<'_, Hash>) -> Result<(), TlogError> {
    if hashes.len() == 0 {
        return Ok(());
    }
    let found = format!("{} more", hashes.len());
    Err(TlogError::Proof { expected: "the end of the proof".to_owned(), found })
}

fn leads_to(expected: Hash, found: Hash) -> Result<(), TlogError> {
    if expected == found {
        return Ok(());
    }
    Err(TlogError::Proof { expected: format!("root {expected}"), found: format!("root {found}") })
}

fn no_such_leaf(index: u64, size: u64) -> TlogError {
    TlogError::Proof { expected: format!("an index below {size}"), found: index.to_string() }
}

fn shrinks(old: u64, new: u64) -> TlogError {
    TlogError::Proof { expected: format!("a size of at least {old}"), found: new.to_string() }
}

#[cfg(test)]
mod tests;
