//! Files that appear under their name whole or not at all.
//!
//! A file is written beside its place under another name, and gets its own when it is complete and
//! on disk. If the process is killed before, the other name is left, as rubbish that starts with
//! a dot.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::exit::{Exit, Failure};
use crate::input::reason;
use crate::output::printable;

/// A file that is not complete. Dropping it removes what was written.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    temporary: NamedTempFile,
    /// Whether a file that is there is replaced.
    replaces: bool,
}

impl WholeFile {
    /// Begins a file. What is there under its name stays until it is complete.
    ///
    /// # Errors
    /// If there is a file of this name and it is not to be replaced, or the folder can not be
    /// written.
    pub(crate) fn begin(path: &Path, replaces: bool) -> Result<Self, Failure> {
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(is_there(path));
        }
        let folder = folder(path);
        let mut builder = Builder::new();
        let _ = builder.prefix(".meshledger-").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Less what the user's umask takes away, as any other file.
            let _ = builder.permissions(Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder).map_err(|e| failed(folder, &e))?;
        Ok(Self { path: path.to_owned(), temporary, replaces })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If they can not be written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.temporary.write_all(bytes).map_err(|e| failed(&self.path, &e))
    }

    /// Gives the file its name, once it is on disk.
    ///
    /// # Errors
    /// If it can not be brought to disk, or there is a file of this name by now.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { path, temporary, replaces } = self;
        temporary.as_file().sync_all().map_err(|e| failed(&path, &e))?;
        let named =
            if replaces { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        match named {
            Ok(_) => {}
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => return Err(is_there(&path)),
            Err(e) => return Err(failed(&path, &e.error)),
        }
        let folder = folder(&path);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(folder, &e))
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn is_there(path: &Path) -> Failure {
    let shown = printable(&path.display().to_string(), false);
    Failure::usage(format!("{shown} is there already; name another file"))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let shown = printable(&path.display().to_string(), false);
    Failure::new(Exit::Storage, format!("{shown} can not be written: {}", reason(error)))
}

/// Writes a new file.
///
/// # Errors
/// As [`WholeFile`].
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = WholeFile::begin(path, false)?;
    file.write(bytes)?;
    file.finish()
}

/// Whether a new file could be written here, before much work is done for it.
///
/// # Errors
/// If there is one, or the folder is not there.
pub(crate) fn must_be_free(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(is_there(path));
    }
    let folder = folder(path);
    fs::metadata(folder).map(|_| ()).map_err(|e| failed(folder, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.csv");
        let mut begun = WholeFile::begin(&path, false).unwrap();
        begun.write(b"a,b\n").unwrap();
        assert!(!path.exists());
        drop(begun);
        assert_eq!(names(folder.path()), [""; 0]);
        write_new(&path, b"one").unwrap();
        assert_eq!(names(folder.path()), ["report.csv"]);
        // It is not replaced unless that is asked for, be it there at the begin or at the end.
        assert_eq!(write_new(&path, b"two").unwrap_err().exit(), Exit::Usage);
        assert_eq!(must_be_free(&path).unwrap_err().exit(), Exit::Usage);
        fs::remove_file(&path).unwrap();
        must_be_free(&path).unwrap();
        let late = WholeFile::begin(&path, false).unwrap();
        fs::write(&path, b"another's").unwrap();
        assert_eq!(late.finish().unwrap_err().exit(), Exit::Usage);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        let mut new = WholeFile::begin(&path, true).unwrap();
        new.write(b"new").unwrap();
        new.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["report.csv"]);
        let nowhere = folder.path().join("no/such/report.csv");
        assert_eq!(write_new(&nowhere, b"").unwrap_err().exit(), Exit::Storage);
    }
}
