//! Attacks on a folder: one function each, nothing clever.

use std::fs;
use std::path::{Path, PathBuf};

/// Changes one bit of the byte at `offset`, counted from the end if negative.
pub fn flip_byte(file: &Path, offset: i64) {
    let mut bytes = fs::read(file).expect("the file can be read");
    let length = i64::try_from(bytes.len()).expect("a test file's length fits");
    let place = if offset < 0 { length + offset } else { offset };
    let place = usize::try_from(place).expect("the offset lies in the file");
    bytes[place] ^= 1;
    fs::write(file, bytes).expect("the file can be written");
}

/// Cuts the file's last `bytes`.
pub fn truncate(file: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(file).expect("the file can be opened");
    let length = file.metadata().expect("an open file has a length").len();
    file.set_len(length.saturating_sub(bytes)).expect("the file can be cut");
}

/// Adds bytes at the end.
pub fn append(file: &Path, bytes: &[u8]) {
    let mut all = fs::read(file).expect("the file can be read");
    all.extend_from_slice(bytes);
    fs::write(file, all).expect("the file can be written");
}

/// Removes a file.
pub fn delete(file: &Path) {
    fs::remove_file(file).expect("the file can be removed");
}

/// Exchanges the contents of two files.
pub fn swap(one: &Path, other: &Path) {
    let (first, second) = (fs::read(one), fs::read(other));
    fs::write(one, second.expect("the file can be read")).expect("the file can be written");
    fs::write(other, first.expect("the file can be read")).expect("the file can be written");
}

/// Replaces text in a text file, such as a commit; the text must occur.
pub fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("the file is text");
    assert!(text.contains(from), "{} does not contain {from:?}", file.display());
    fs::write(file, text.replacen(from, to, 1)).expect("the file can be written");
}

/// Puts a file where none belongs.
pub fn add_stray(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join(key);
    let folder = path.parent().expect("a key lies below the root");
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::write(path, bytes).expect("the file can be written");
}

/// Copies a whole tree.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

/// Every file below a folder, sorted; none if it does not exist.
pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
