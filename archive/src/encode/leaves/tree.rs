//! The tree over a segment's rows.

use common::batch::Batch;
use tlog::Hash;

/// Bytes of a node's message: a one, and two hashes.
const NODE_BYTES: usize = 65;

/// The tree of RFC 6962 over leaves that come many at a time, so that the nodes of a level can be
/// hashed side by side. It keeps one hash a level.
#[derive(Debug, Default)]
pub(super) struct WideTree {
    /// Of each level, from the leaves up, the hashes that have no parent yet: one at most, while
    /// nothing is added.
    levels: Vec<Vec<[u8; 32]>>,
    batch: Batch,
    parents: Vec<[u8; 32]>,
}

impl WideTree {
    pub(super) fn extend(&mut self, leaves: &[[u8; 32]]) {
        self.parents.clear();
        self.parents.extend_from_slice(leaves);
        for level in 0.. {
            if self.parents.is_empty() {
                return;
            }
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.append(&mut self.parents);
            let (pairs, _) = hashes.as_chunks::<2>();
            for [left, right] in pairs {
                let bytes = self.batch.bytes();
                if let Some(node) = bytes.room(NODE_BYTES).first_chunk_mut::<NODE_BYTES>() {
                    node[0] = 1;
                    node[1..33].copy_from_slice(left);
                    node[33..].copy_from_slice(right);
                }
                bytes.advance(NODE_BYTES);
                self.batch.end();
            }
            let whole = pairs.len() * 2;
            hashes.drain(..whole);
            self.batch.digests(&mut self.parents);
        }
    }

    pub(super) fn root(&self) -> Hash {
        let edge = self.levels.iter().flatten().map(|hash| Hash::from_bytes(*hash));
        edge.reduce(|right, left| Hash::of_children(left, right)).unwrap_or_else(Hash::of_no_leaves)
    }
}

#[cfg(test)]
mod tests {
    use tlog::tree::Tree;

    use super::*;

    #[test]
    fn a_tree_of_many_at_a_time_is_that_of_one_by_one() {
        let leaf = |number: u32| *Hash::of_leaf(&number.to_le_bytes()).as_bytes();
        for step in [1, 2, 3, 7, 64, 513] {
            let (mut wide, mut tree) = (WideTree::default(), Tree::default());
            assert_eq!(wide.root(), tree.root());
            for start in (0..1200).step_by(step) {
                let end = start + u32::try_from(step).unwrap();
                let leaves: Vec<[u8; 32]> = (start..end).map(leaf).collect();
                wide.extend(&leaves);
                tree.extend(leaves.into_iter().map(Hash::from_bytes));
                assert_eq!(wide.root(), tree.root(), "{end} leaves, {step} at a time");
                assert!(wide.levels.iter().all(|level| level.len() <= 1));
            }
        }
    }
}
