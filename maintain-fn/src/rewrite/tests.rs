use archive::rows::row_root;
use archive::sample::{delivery, unit};

use super::*;

#[test]
fn rewriting_twice_gives_the_same_bytes_and_a_file_that_lies_is_refused() {
    let sample = delivery(&[unit("a", 3, 0), unit("b", 2, 0)], 1).unwrap();
    let (file, bytes) = (&sample.manifest.files[0], &sample.files[0].1);
    let kept = [sample.manifest.units[1].id];
    let once = events(file, bytes.clone(), std::slice::from_ref(&(3..5)), &kept).unwrap();
    let twice = events(file, bytes.clone(), std::slice::from_ref(&(3..5)), &kept).unwrap();
    // The row key too is made of what is there.
    assert_eq!(row_root(once.bytes.clone()).unwrap(), once.entry.row_root);
    assert_eq!((once.bytes, once.entry.rows), (twice.bytes, 2));
    let all = events(file, bytes.clone(), std::slice::from_ref(&(0..5)), &kept).unwrap();
    assert_ne!(all.entry.row_root, file.row_root, "the same rows with other salts");
    let mut longer = file.clone();
    longer.rows = 9;
    assert!(events(&longer, bytes.clone(), std::slice::from_ref(&(3..9)), &kept).is_err());
    let mut garbage = bytes.to_vec();
    garbage.truncate(garbage.len() - 3);
    assert!(events(file, garbage.into(), std::slice::from_ref(&(3..5)), &kept).is_err());
}

#[test]
fn only_rejects_of_kept_units_are_taken() {
    let sample = delivery(&[unit("a", 0, 2), unit("b", 0, 3)], 1).unwrap();
    let bytes = &sample.files[0].1;
    let (_, entry) = rejects(bytes.clone(), &BTreeSet::from([1])).unwrap().unwrap();
    assert_eq!((entry.rows, entry.reasons["not_json"]), (3, 3));
    assert!(rejects(bytes.clone(), &BTreeSet::from([7])).unwrap().is_none());
}
