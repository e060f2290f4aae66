//! A function's code as it is deployed: a zip with the built program in it, called `bootstrap`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::paths::profile_dir;

/// Zips made by this process, by the program's name.
static MADE: Mutex<BTreeMap<String, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());

/// A program that cargo built in this profile.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(
        path.exists(),
        "{} is missing: the tests run the built programs, so build them first \
         (`cargo build --workspace`)",
        path.display()
    );
    path
}

/// The zip of a program; made once in a process, of a copy without symbols if `strip` is there.
#[track_caller]
pub fn deployed(name: &str) -> Arc<Vec<u8>> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let zip = made.entry(name.to_owned()).or_insert_with(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let code = stripped(&program(name), &folder.path().join("bootstrap"));
        Arc::new(zipped("bootstrap", &code))
    });
    Arc::clone(zip)
}

fn stripped(program: &Path, copy: &Path) -> Vec<u8> {
    let done = Command::new("strip").arg("-o").arg(copy).arg(program).status();
    let source = if done.is_ok_and(|status| status.success()) { copy } else { program };
    std::fs::read(source).expect("a program that was built can be read")
}

/// A zip of one executable file.
fn zipped(name: &str, bytes: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("less than 4 GB");
    let mut crc = Crc::new();
    crc.update(bytes);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    let packed = encoder.finish().expect("memory can be written");
    // What the local header and the directory's entry have in common: version needed, flags,
    // method, time, date, digest, lengths, the name's length, no extra field.
    let mut common = Vec::new();
    for word in [20_u16, 0, 8, 0, 0x21] {
        common.extend(word.to_le_bytes());
    }
    for long in [crc.sum(), length(&packed), length(bytes)] {
        common.extend(long.to_le_bytes());
    }
    common.extend(u16::try_from(name.len()).expect("a short name").to_le_bytes());
    common.extend([0, 0]);
    let mut zip = [&b"PK\x03\x04"[..], &common, name.as_bytes(), &packed].concat();
    let directory_at = length(&zip);
    // Made on Unix; then comment, disk, and attributes: a regular file that all may execute.
    let mut directory = [&b"PK\x01\x02"[..], &(3_u16 << 8 | 20).to_le_bytes(), &common].concat();
    directory.extend([0; 6]);
    directory.extend((0o100_755_u32 << 16).to_le_bytes());
    directory.extend(0_u32.to_le_bytes());
    directory.extend(name.as_bytes());
    let directory_length = length(&directory);
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend(directory_length.to_le_bytes());
    zip.extend(directory_at.to_le_bytes());
    zip.extend([0, 0]);
    zip
}
