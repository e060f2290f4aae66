//! Judges: the published test vectors, `ct-merkle`, and the recursive definition of RFC 6962.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::Sha256;

use super::*;

/// The sizes the properties are tried at.
const SIZE_MAX: u64 = 5_000;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|index| Hash::of_leaf(&entry(index))).collect()
}

/// RFC 6962, 2.1, as it is written.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_no_leaves(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_children(defined(left), defined(right))
        }
    }
}

/// Every complete subtree, made once.
struct All(Vec<Vec<Hash>>);

impl All {
    fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while levels.last().unwrap().len() > 1 {
            let (pairs, _) = levels.last().unwrap().as_chunks::<2>();
            levels.push(pairs.iter().map(|&[l, r]| Hash::of_children(l, r)).collect());
        }
        Self(levels)
    }
}

impl Nodes for All {
    fn node(&mut self, node: Node) -> Result<Hash, TlogError> {
        Ok(self.0[usize::from(node.level)][usize::try_from(node.index).unwrap()])
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}

#[expect(clippy::disallowed_methods, reason = "the seed of a test")]
fn rng() -> ChaCha8Rng {
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(6962);
    eprintln!("MESHLEDGER_TEST_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn the_published_vectors() {
    // The leaves and roots that Certificate Transparency's own implementations are tested with.
    let entries = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = Tree::default();
    assert_eq!(hex::encode(tree.root().as_bytes()), roots[0]);
    for (entry, root) in entries.iter().zip(&roots[1..]) {
        tree.push(Hash::of_leaf(&hex::decode(entry).unwrap()));
        assert_eq!(hex::encode(tree.root().as_bytes()), *root, "size {}", tree.size());
    }
}

#[test]
fn roots_are_those_of_ct_merkle_and_of_the_definition() {
    let (mut tree, mut judge) = (Tree::default(), MemoryBackedTree::<Sha256, Vec<u8>>::new());
    let mut all = All::new(leaves(SIZE_MAX));
    for size in 0..=SIZE_MAX {
        assert_eq!(tree.root().as_bytes()[..], judge.root().as_bytes()[..], "size {size}");
        assert_eq!(root(&mut all, size).unwrap(), tree.root(), "size {size}");
        if size % 97 == 0 {
            assert_eq!(defined(&leaves(size)), tree.root(), "size {size}");
        }
        tree.push(Hash::of_leaf(&entry(size)));
        judge.push(entry(size));
    }
}

#[test]
fn proofs_are_those_of_ct_merkle_and_nothing_else_is_accepted() {
    let mut rng = rng();
    let (mut tree, mut judge) = (Tree::default(), MemoryBackedTree::<Sha256, Vec<u8>>::new());
    let mut all = All::new(leaves(SIZE_MAX));
    let mut roots = vec![tree.root()];
    for size in 1..=SIZE_MAX {
        tree.push(Hash::of_leaf(&entry(size - 1)));
        judge.push(entry(size - 1));
        roots.push(tree.root());
        let index = if size < 70 { size / 2 } else { rng.next_u64() % size };
        let proof = prove_inclusion(&mut all, index, size).unwrap();
        let theirs = judge.prove_inclusion(usize::try_from(index).unwrap());
        assert_eq!(bytes(&proof), theirs.as_bytes(), "leaf {index} of {size}");
        let leaf = Hash::of_leaf(&entry(index));
        verify_inclusion(leaf, index, size, tree.root(), &proof).unwrap();
        let is_refused = |leaf, index, size, root, proof: &[Hash]| {
            assert!(verify_inclusion(leaf, index, size, root, proof).is_err(), "{index} {size}");
        };
        is_refused(Hash::of_leaf(b"another"), index, size, tree.root(), &proof);
        is_refused(leaf, index, size, Hash::of_no_leaves(), &proof);
        is_refused(leaf, size, size, tree.root(), &proof);
        is_refused(leaf, index, size, tree.root(), &[&proof[..], &[leaf]].concat());
        if let Some((_, shorter)) = proof.split_last() {
            is_refused(leaf, index, size, tree.root(), shorter);
            is_refused(leaf, index ^ 1, size, tree.root(), &proof);
            let mut other = proof.clone();
            let place = usize::try_from(rng.next_u64()).unwrap() % other.len();
            other[place] = leaf;
            is_refused(leaf, index, size, tree.root(), &other);
        }
        consistent(&mut rng, &mut all, &judge, &roots);
    }
}

/// One older size, proven to be the begin of the last one.
fn consistent(
    rng: &mut ChaCha8Rng,
    all: &mut All,
    judge: &MemoryBackedTree<Sha256, Vec<u8>>,
    roots: &[Hash],
) {
    let size = judge.len();
    let old = rng.next_u64() % (size + 1);
    let proof = prove_consistency(all, old, size).unwrap();
    let at = |size: u64| (size, roots[usize::try_from(size).unwrap()]);
    verify_consistency(at(old), at(size), &proof).unwrap();
    if (1..size).contains(&old) {
        let theirs = judge.prove_consistency(usize::try_from(size - old).unwrap());
        assert_eq!(bytes(&proof), theirs.as_bytes(), "{old} to {size}");
        let mut other = proof.clone();
        let place = usize::try_from(rng.next_u64()).unwrap() % other.len();
        other[place] = Hash::of_no_leaves();
        assert!(verify_consistency(at(old), at(size), &other).is_err(), "{old} to {size}");
        assert!(verify_consistency(at(old - 1), at(size), &proof).is_err(), "{old} to {size}");
        assert!(verify_consistency(at(old), at(size), &proof[1..]).is_err(), "{old} to {size}");
        let wrong = (old, Hash::of_no_leaves());
        assert!(verify_consistency(wrong, at(size), &proof).is_err(), "{old} to {size}");
    }
    let longer = [&proof[..], &[Hash::of_no_leaves()]].concat();
    assert!(verify_consistency(at(old), at(size), &longer).is_err(), "{old} to {size}");
    assert!(verify_consistency((size + 1, at(size).1), at(size), &[]).is_err());
}

#[test]
fn what_a_proof_wants_is_known_before_it_is_fetched() {
    let mut wanted = Wanted::default();
    let proof = prove_inclusion(&mut wanted, 70_000, 70_001).unwrap();
    // 70,001 is 2^16 + 2^12 + 2^8 + 2^6 + 2^5 + 2^4 + 1: the last leaf stands beside the others.
    let levels: Vec<u8> = wanted.nodes().iter().map(|node| node.level).collect();
    assert_eq!((levels, proof.len()), (vec![4, 5, 6, 8, 12, 16], 6));
    // Sizes that no archive will have neither overflow nor take long.
    for size in [2, u64::MAX, 1 << 63] {
        let proof = prove_inclusion(&mut Wanted::default(), size - 1, size).unwrap();
        assert!(proof.len() <= 64);
        let _ = prove_consistency(&mut Wanted::default(), size / 2, size).unwrap();
        let root = Hash::of_no_leaves();
        assert!(verify_inclusion(root, size - 1, size, root, &proof).is_err());
    }
}
