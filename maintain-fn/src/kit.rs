//! What the tests of sealing, publishing, repairing and rotating have in common.

use std::fs;
use std::path::{Path, PathBuf};

use archive::sample::{self, NOON_MICROS, delivery, ingest, unit};
use archive::verify::{Severity, VerifyOptions, verify};
use archive::{Archive, StoreOptions};
use tlog::note::{Algorithm, SeedSigner};

/// When tests seal: an hour after the samples' events.
pub(crate) const NOW_MICROS: i64 = NOON_MICROS + 3_600_000_000;

/// The key of the sample archive's ledger.
pub(crate) fn key() -> SeedSigner {
    key_of(7)
}

/// A key of the sample archive's ledger, from this seed.
pub(crate) fn key_of(seed: u8) -> SeedSigner {
    SeedSigner::new("archive.example/mesh/sample", Algorithm::Ed25519, [seed; 32]).unwrap()
}

/// Delivers one record.
pub(crate) async fn deliver(archive: &Archive, name: &'static str) {
    ingest(archive, &delivery(&[unit(name, 1, 0)], 1).unwrap()).await.unwrap();
}

/// Opens the sample archive in a folder, with little patience for faults.
pub(crate) async fn open(folder: &Path) -> Archive {
    let options = StoreOptions {
        put_pause_millis: Some(1),
        put_attempts_max: Some(3),
        ..StoreOptions::default()
    };
    Archive::open(&sample::location(folder).unwrap(), &options).await.unwrap()
}

/// All files below a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    all.sort();
    all
}

/// Copies all files below a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

/// Where an object of the sample archive lies.
pub(crate) fn place(folder: &Path, key: &str) -> PathBuf {
    folder.join("archive").join(key)
}

/// Codes of everything a verifier without a policy finds, tampering marked.
pub(crate) async fn findings(archive: &Archive) -> Vec<String> {
    let report = verify(&archive.reader(), VerifyOptions::default(), &|_| {}).await.unwrap();
    let mark = |severity| if severity == Severity::Tampering { "!" } else { "" };
    report.findings.iter().map(|f| format!("{}{}", mark(f.severity), f.code)).collect()
}
