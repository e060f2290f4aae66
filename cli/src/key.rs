//! Keys in files: where they lie, how one is made, which one signs for an archive.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use common::ledger::origin;
use tlog::note::{Algorithm, SeedSigner};

use crate::doors;
use crate::exit::{Exit, Failure};
use crate::output::printable;

/// Longest key file, in bytes; a key has about 150.
const KEY_BYTES_MAX: u64 = 4096;

/// Where an archive's key lies if nobody says otherwise: not in the archive, since whoever can
/// change that must not be able to sign it.
fn default_path(table_id: &str) -> Option<PathBuf> {
    // A table id is anybody's text in somebody else's archive.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_name = !table_id.is_empty() && table_id.len() <= 128 && table_id.bytes().all(is_plain);
    Some(doors::state_dir()?.join("keys").join(format!("{table_id}.key"))).filter(|_| is_name)
}

/// Makes the key of an archive's ledger, called `<name>/<table id>`, or reads the one that is
/// there.
///
/// # Errors
/// If the name can not be one, or the file can not be written or is another's.
pub(crate) fn create(
    name: &str,
    table_id: &str,
    file: Option<&Path>,
) -> Result<(SeedSigner, PathBuf), Failure> {
    let origin = origin(name, table_id).map_err(|e| Failure::usage(e.to_string()))?;
    let path = file.map(Path::to_path_buf).or_else(doors::key_file);
    let path = path.or_else(|| default_path(table_id)).ok_or_else(|| {
        Failure::usage("no home folder is set, so say where the key shall lie: --key FILE")
    })?;
    let seed = doors::random_seed()?;
    let signer = SeedSigner::new(&origin, Algorithm::Ed25519, seed)
        .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    let is_new = write_new(&path, &signer).map_err(|e| {
        let shown = printable(&path.display().to_string(), false);
        Failure::new(Exit::Storage, format!("could not write the key {shown}: {e}"))
    })?;
    if is_new {
        return Ok((signer, path));
    }
    let there = read(&path)?;
    if there.public().name() == origin {
        return Ok((there, path));
    }
    let shown = printable(&path.display().to_string(), false);
    let name = printable(there.public().name(), false);
    Err(Failure::usage(format!(
        "the key {shown} is of another ledger: expected {origin}, found {name}"
    )))
}

/// Writes a key unless a file is there: whole or not at all, and on disk before anything is signed
/// with it. Returns whether it was written.
fn write_new(path: &Path, signer: &SeedSigner) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Only its owner can read a temporary file.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", signer.to_private_text())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e.error),
    }
    for folder in folder.ancestors().filter(|folder| !folder.as_os_str().is_empty()).take(3) {
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

/// The key that signs for an archive: the file that was named, by option or environment, or the
/// one in the usual place. None if no file was named and none is there.
///
/// # Errors
/// If a file can not be read, or holds no key.
pub(crate) fn find(file: Option<&Path>, table_id: &str) -> Result<Option<SeedSigner>, Failure> {
    if let Some(path) = file.map(Path::to_path_buf).or_else(doors::key_file) {
        return read(&path).map(Some);
    }
    match default_path(table_id) {
        Some(path) if path.exists() => read(&path).map(Some),
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<SeedSigner, Failure> {
    let shown = printable(&path.display().to_string(), false);
    let failed = |e: String| Failure::usage(format!("the key {shown} can not be used: {e}"));
    let meta = fs::metadata(path).map_err(|e| failed(e.to_string()))?;
    if !meta.is_file() || meta.len() > KEY_BYTES_MAX {
        return Err(failed("it is no file of a key's length".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    SeedSigner::from_private_text(text.trim_end()).map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/er/ledger.key");
        let (made, path) = create("archive.example/mesh", "7f", Some(&file)).unwrap();
        assert_eq!((made.public().name(), &path), ("archive.example/mesh/7f", &file));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, _) = create("archive.example/mesh", "7f", Some(&file)).unwrap();
        assert_eq!(again.public(), made.public(), "the one that is there stays");
        assert!(create("archive.example/mesh", "80", Some(&file)).is_err());
        assert!(create("archive example", "7f", Some(&file)).is_err());
        let found = find(Some(&file), "7f").unwrap().unwrap();
        assert_eq!(found.public(), made.public());
        let text = fs::read_to_string(&file).unwrap();
        for wrong in ["", "PRIVATE+KEY+a+b+c", &text[..text.len() - 9], &text.replace('7', "8")] {
            fs::write(&file, wrong).unwrap();
            let Err(error) = find(Some(&file), "7f") else { panic!("{wrong:?}") };
            assert!(!error.message().contains(&text[40..60]), "a key is never printed");
        }
        fs::write(&file, "x".repeat(5_000)).unwrap();
        assert!(find(Some(&file), "7f").is_err());
        assert!(find(Some(folder.path()), "7f").is_err());
        assert!(find(Some(&folder.path().join("none")), "7f").is_err());
    }

    #[test]
    fn a_table_id_leads_to_no_other_folder() {
        for table_id in ["", "../x", "a/b", ".", "a.b", "a\0", &"a".repeat(200)] {
            assert_eq!(default_path(table_id), None, "{table_id:?}");
        }
    }
}
