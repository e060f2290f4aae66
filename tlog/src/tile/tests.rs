use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::hash::Hash;
use crate::tree::{Nodes, Tree, Wanted, prove_consistency, prove_inclusion, verify_inclusion};

type Stored = BTreeMap<String, Vec<u8>>;

fn leaf(index: u64) -> Hash {
    Hash::of_leaf(&index.to_be_bytes())
}

/// A log that publishes at every size in `sizes`: each by an edge resumed from what is stored.
fn stored(sizes: impl IntoIterator<Item = u64>) -> (Stored, Edge) {
    let mut stored = Stored::new();
    let mut size = 0;
    let mut edge = Edge::default();
    for next in sizes {
        edge = Edge::resume(size, |tile| Ok::<_, TlogError>(stored[&tile.path()].clone())).unwrap();
        let mut new = Vec::new();
        for index in size..next {
            edge.push(leaf(index), |tile, bytes| new.push((tile, bytes)));
        }
        new.extend(edge.partial());
        let named: Vec<Tile> = new.iter().map(|(tile, _)| *tile).collect();
        for tile in Tile::all_between(size, next).filter(|tile| tile.of != Of::Entries) {
            assert!(named.contains(&tile), "{tile} from {size} to {next}");
        }
        stored.extend(new.into_iter().map(|(tile, bytes)| (tile.path(), bytes)));
        size = next;
        assert_eq!(edge.root(), (0..size).map(leaf).collect::<Tree>().root(), "size {size}");
    }
    (stored, edge)
}

fn get(stored: &Stored, tile: Tile) -> Result<Vec<u8>, TlogError> {
    stored
        .get(&tile.path())
        .cloned()
        .ok_or_else(|| TlogError::format("test", "a tile", tile.path()))
}

/// The proof of a leaf, by a reader that has the root alone.
fn proof(stored: &Stored, size: u64, root: Hash, index: u64) -> Result<Vec<Hash>, TlogError> {
    let mut tiles = Tiles::new(size, root, |tile| get(stored, tile))?;
    let mut wanted = Wanted::default();
    let _ = prove_inclusion(&mut wanted, index, size)?;
    for &node in wanted.nodes() {
        for tile in tiles.missing(node)? {
            tiles.take(tile, &get(stored, tile)?)?;
        }
    }
    prove_inclusion(&mut tiles, index, size)
}

#[test]
fn paths_are_those_of_the_specification() {
    let tile = |of, index, width| Tile { of, index, width };
    for (tile, path) in [
        (tile(Of::Hashes(0), 1_234_067, WIDTH), "tile/0/x001/x234/067"),
        (tile(Of::Hashes(2), 0, 1), "tile/2/000.p/1"),
        (tile(Of::Entries, 273, 112), "tile/entries/273.p/112"),
        (tile(Of::Entries, 1000, WIDTH), "tile/entries/x001/000"),
        (tile(Of::Hashes(1), 999_999, 255), "tile/1/x999/999.p/255"),
    ] {
        assert_eq!(tile.path(), path);
        assert_eq!(Tile::parse(path).unwrap(), tile);
    }
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/8/000",
        "tile/00/000",
        "tile/+0/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/x000",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/-01",
        "tile/0/../000",
        "tile/entries/000/",
        "Tile/0/000",
        "tile/data/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
    ] {
        assert!(Tile::parse(path).is_err(), "{path}");
    }
}

#[test]
fn a_tree_of_70_000_leaves_has_the_tiles_the_specification_counts() {
    let of_level = |level| -> Vec<(u64, u16)> {
        Tile::between(Of::Hashes(level), 0, 70_000).map(|tile| (tile.index, tile.width)).collect()
    };
    assert_eq!(of_level(0).len(), 274);
    assert_eq!(of_level(0).last(), Some(&(273, 112)));
    assert_eq!(of_level(1), [(0, 256), (1, 17)]);
    assert_eq!(of_level(2), [(0, 1)]);
    assert_eq!(of_level(3), []);
    let of_256: Vec<String> = Tile::all_between(0, 256).map(|tile| tile.path()).collect();
    assert_eq!(of_256, ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
    // Nothing new where nothing grew.
    assert_eq!(Tile::all_between(70_000, 70_000).count(), 0);
    let grown: Vec<String> = Tile::all_between(255, 258).map(|tile| tile.path()).collect();
    let expected = [
        "tile/0/000",
        "tile/0/001.p/2",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/2",
    ];
    assert_eq!(grown, expected);
}

#[test]
fn tiles_written_at_any_sizes_give_every_proof() {
    let seed = 256;
    eprintln!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Sizes 0 to 5,000: each in steps of one, of some, and at once.
    let mut random = Vec::new();
    let mut size = 0;
    while size < 5_000 {
        size += rng.next_u64() % 700;
        random.push(size.min(5_000));
    }
    for sizes in [(0..=600).chain([5_000]).collect(), random, vec![5_000]] {
        let (stored, edge) = stored(sizes);
        for _ in 0..40 {
            let index = rng.next_u64() % 5_000;
            let hashes = proof(&stored, 5_000, edge.root(), index).unwrap();
            verify_inclusion(leaf(index), index, 5_000, edge.root(), &hashes).unwrap();
        }
    }
}

#[test]
fn every_size_up_to_5_000_is_read_back_by_the_reader_that_trusts_a_root_alone() {
    let (mut edge, mut tree, mut stored) = (Edge::default(), Tree::default(), Stored::new());
    for size in 1..=5_000 {
        tree.push(leaf(size - 1));
        edge.push(leaf(size - 1), |tile, bytes| {
            stored.insert(tile.path(), bytes);
        });
        stored.extend(edge.partial().map(|(tile, bytes)| (tile.path(), bytes)));
        let index = size * 7 / 11;
        let hashes = proof(&stored, size, tree.root(), index).unwrap();
        verify_inclusion(leaf(index), index, size, tree.root(), &hashes).unwrap();
    }
}

/// 1,259 leaves: the tree with which other readers were shown to take a forged hash.
#[test]
fn a_flipped_bit_in_any_tile_is_never_part_of_a_proof() {
    let size = 1_259;
    let (stored, edge) = stored([size]);
    let paths: Vec<String> = Tile::all_between(0, size)
        .filter(|tile| tile.of != Of::Entries)
        .map(|tile| tile.path())
        .collect();
    assert_eq!(paths.len(), 6);
    for path in paths {
        for byte in (0..stored[&path].len()).step_by(31) {
            let mut forged = stored.clone();
            forged.get_mut(&path).unwrap()[byte] ^= 1;
            let mut refused = 0;
            for index in (0..size).step_by(200) {
                match proof(&forged, size, edge.root(), index) {
                    // The tile was not needed; what was given is right.
                    Ok(hashes) => {
                        verify_inclusion(leaf(index), index, size, edge.root(), &hashes).unwrap();
                    }
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 0, "{path} byte {byte}");
        }
    }
}

#[test]
fn tiles_of_another_length_or_place_are_refused() {
    let (stored, edge) = stored([700]);
    let of = |change: &dyn Fn(&mut Stored)| {
        let mut changed = stored.clone();
        change(&mut changed);
        proof(&changed, 700, edge.root(), 3)
    };
    assert!(of(&|_| {}).is_ok());
    assert!(of(&|all| all.get_mut("tile/0/000").unwrap().truncate(8_191)).is_err());
    assert!(of(&|all| all.get_mut("tile/0/000").unwrap().extend([0; 32])).is_err());
    assert!(of(&|all| all.get_mut("tile/0/002.p/188").unwrap().clear()).is_err());
    assert!(
        of(&|all| {
            let other = all["tile/0/001"].clone();
            all.insert("tile/0/000".to_owned(), other);
        })
        .is_err()
    );
    assert!(proof(&stored, 699, edge.root(), 3).is_err());
    let mut tiles = Tiles::new(700, edge.root(), |tile| get(&stored, tile)).unwrap();
    let second = Tile { of: Of::Hashes(0), index: 1, width: WIDTH };
    assert!(tiles.take(Tile { of: Of::Entries, ..second }, &[]).is_err());
    assert!(tiles.take(Tile { index: 9, ..second }, &stored["tile/0/001"]).is_err());
    // A hash that no taken tile vouches for, and one that no tree of this size has.
    assert!(tiles.node(crate::tree::Node { level: 3, index: 0 }).is_err());
    for (level, index) in [(0, 700), (8, 2), (9, 1), (63, 1), (64, 0), (255, u64::MAX)] {
        assert!(tiles.missing(crate::tree::Node { level, index }).is_err(), "{level} {index}");
    }
    assert!(prove_consistency(&mut tiles, 3, 700).is_err());
}

#[test]
fn bundles_come_back_and_damaged_ones_do_not() {
    let all: Vec<Vec<u8>> = vec![vec![], b"one".to_vec(), vec![7; ENTRY_BYTES_MAX]];
    let mut bundle = Vec::new();
    for entry in &all {
        push_entry(&mut bundle, entry).unwrap();
    }
    assert_eq!(entries(&bundle, 3).unwrap(), all);
    assert_eq!(entries(&[], 0).unwrap().len(), 0);
    assert!(push_entry(&mut bundle, &vec![0; ENTRY_BYTES_MAX + 1]).is_err());
    for (bytes, count) in [
        (&bundle[..], 2),
        (&bundle[..], 4),
        (&bundle[..bundle.len() - 1], 3),
        (&[&bundle[..], &[0]].concat()[..], 3),
        (&[0, 5, 1][..], 1),
        (&[][..], 1),
    ] {
        assert!(entries(bytes, count).is_err());
    }
}

#[test]
fn a_whole_tree_gives_every_tile_and_every_root() {
    let all: Vec<Hash> = (0..70_000).map(leaf).collect();
    let whole = Whole::new(all.clone());
    let (mut edge, mut tree, mut tiles) = (Edge::default(), Tree::default(), Vec::new());
    for (size, &leaf) in (1..).zip(&all) {
        edge.push(leaf, |tile, bytes| tiles.push((tile, bytes)));
        tree.push(leaf);
        if size % 997 == 0 || !(600..=69_990).contains(&size) {
            assert_eq!(whole.root_at(size), Some(tree.root()), "size {size}");
            tiles.extend(edge.partial());
        }
    }
    for (tile, bytes) in tiles {
        assert_eq!(whole.tile(tile), Some(bytes), "{tile}");
    }
    assert_eq!((whole.size(), whole.root_at(70_001)), (70_000, None));
    assert_eq!(whole.root_at(0), Some(Hash::of_no_leaves()));
    for (of, index, width) in [
        (Of::Hashes(0), 273, 113),
        (Of::Hashes(2), 0, 2),
        (Of::Hashes(3), 0, 1),
        (Of::Entries, 0, 1),
    ] {
        assert_eq!(whole.tile(Tile { of, index, width }), None);
    }
    assert_eq!(whole.tile(Tile { of: Of::Hashes(0), index: u64::MAX, width: 1 }), None);
}
