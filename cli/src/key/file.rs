//! Keys in files: where they lie, how one is made and read.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use archive::Location;
use tlog::note::SeedSigner;

use crate::exit::{Exit, Failure};
use crate::output::printable;
use host::doors;

/// Longest key file, in bytes; a key has about 150.
const KEY_BYTES_MAX: u64 = 4096;

/// The name of an archive's key in a folder of keys.
pub(super) fn name(table_id: &str) -> Option<String> {
    // A table id is anybody's text in somebody else's archive.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_name = !table_id.is_empty() && table_id.len() <= 128 && table_id.bytes().all(is_plain);
    is_name.then(|| format!("{table_id}.key"))
}

/// Where an archive's key lies if nobody says otherwise: not in the archive, since whoever can
/// change that must not be able to sign it.
pub(super) fn usual(table_id: &str) -> Option<PathBuf> {
    Some(doors::state_dir()?.join("keys").join(name(table_id)?))
}

/// Refuses what lies in the archive or its work area: whoever may write there must neither sign
/// it nor say whom to trust.
///
/// # Errors
/// If the file lies there, or would.
pub(crate) fn outside(path: &Path, location: &Location, what: &str) -> Result<(), Failure> {
    let file = real(path);
    let places = [location.archive_url(), location.work_url()];
    let inside = places
        .iter()
        .find(|place| !place.starts_with("s3://") && file.starts_with(real(Path::new(place))));
    match inside {
        None => Ok(()),
        Some(place) => Err(Failure::usage(format!(
            "the {what} {} lies in the archive it is for, {}; keep it elsewhere",
            printable(&path.display().to_string(), false),
            printable(place, false)
        ))),
    }
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let (Ok(found), Ok(rest)) = (fs::canonicalize(ancestor), absolute.strip_prefix(ancestor))
        {
            // What is not there yet has no links, so that going up is what it says.
            return rest.components().fold(found, |path, part| match part {
                Component::ParentDir => path.parent().map(Path::to_path_buf).unwrap_or(path),
                part => path.join(part),
            });
        }
    }
    absolute
}

/// Writes a key unless a file is there: whole or not at all, and on disk before anything is signed
/// with it. Returns whether it was written.
///
/// # Errors
/// If it can not be written.
pub(super) fn write_new(path: &Path, signer: &SeedSigner) -> Result<bool, Failure> {
    let text = format!("{}\n", signer.to_private_text());
    put_new(path, &text).map_err(|e| {
        let shown = printable(&path.display().to_string(), false);
        Failure::new(Exit::Storage, format!("could not write the key {shown}: {e}"))
    })
}

/// Writes a file that only its owner can read, in the place of the one that is there.
pub(super) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let (file, folder) = temporary(path, text)?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}

/// A file beside a path that only its owner can read, on disk; and the folder.
fn temporary<'a>(
    path: &'a Path,
    text: &str,
) -> std::io::Result<(tempfile::NamedTempFile, &'a Path)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok((file, folder))
}

/// Writes a file that only its owner can read, unless one is there.
pub(super) fn put_new(path: &Path, text: &str) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let (file, folder) = temporary(path, text)?;
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

/// Reads a key.
///
/// # Errors
/// If the file can not be read, or holds none. The error does not repeat it.
pub(super) fn read(path: &Path) -> Result<SeedSigner, Failure> {
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
    use tlog::note::Algorithm;

    fn key(seed: u8) -> SeedSigner {
        SeedSigner::new("archive.example/mesh/7f", Algorithm::Ed25519, [seed; 32]).unwrap()
    }

    #[test]
    fn a_key_is_written_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/er/ledger.key");
        assert!(write_new(&file, &key(1)).unwrap());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!write_new(&file, &key(2)).unwrap(), "the one that is there stays");
        assert_eq!(read(&file).unwrap().public(), key(1).public());
        let text = fs::read_to_string(&file).unwrap();
        for wrong in ["", "PRIVATE+KEY+a+b+c", &text[..text.len() - 9], &text.replace('7', "8")] {
            fs::write(&file, wrong).unwrap();
            let Err(error) = read(&file) else { panic!("{wrong:?}") };
            assert!(!error.message().contains(&text[40..60]), "a key is never printed");
        }
        fs::write(&file, "x".repeat(5_000)).unwrap();
        assert!(read(&file).is_err());
        assert!(read(folder.path()).is_err());
        assert!(read(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_table_id_leads_to_no_other_folder() {
        for table_id in ["", "../x", "a/b", ".", "a.b", "a\0", &"a".repeat(200)] {
            assert_eq!(name(table_id), None, "{table_id:?}");
        }
        assert_eq!(name("7f").as_deref(), Some("7f.key"));
    }

    #[test]
    fn what_lies_in_the_archive_or_its_work_area_is_refused_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("audit");
        fs::create_dir_all(&archive).unwrap();
        std::os::unix::fs::symlink(&archive, folder.path().join("link")).unwrap();
        let location = Location::parse(archive.to_str().unwrap(), None).unwrap();
        for (name, is_inside) in [
            ("audit/ledger.key", true),
            ("audit/new/ledger.key", true),
            ("audit.work/ledger.key", true),
            ("link/ledger.key", true),
            ("other/../audit/ledger.key", true),
            ("audit.key", false),
            ("keys/ledger.key", false),
        ] {
            let path = folder.path().join(name);
            assert_eq!(outside(&path, &location, "key").is_err(), is_inside, "{name}");
        }
        let bucket = Location::parse("s3://audit/mesh", None).unwrap();
        assert!(outside(&folder.path().join("a"), &bucket, "key").is_ok());
    }
}
