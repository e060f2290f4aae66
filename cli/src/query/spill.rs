//! The folder for what a query can not keep in memory. It ends with the command.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::exit::{Exit, Failure};
use crate::input::reason;
use crate::output::printable;

/// A folder below the one that was named, which only its owner can read. Dropping it removes it
/// with all that is in it; if the process is killed before, it is left.
#[derive(Debug)]
pub(crate) struct SpillFolder(PathBuf);

impl SpillFolder {
    /// Makes one.
    ///
    /// # Errors
    /// If it can not be made.
    pub(crate) fn begin(parent: &Path) -> Result<Self, Failure> {
        let mut builder = Builder::new();
        let _ = builder.prefix(".meshledger-spill-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let _ = builder.permissions(Permissions::from_mode(0o700));
        }
        let made = builder.tempdir_in(parent).map_err(|e| {
            let shown = printable(&parent.display().to_string(), false);
            let text = format!("--spill: no folder can be made in {shown}: {}", reason(&e));
            Failure::new(Exit::Storage, text)
        })?;
        Ok(Self(made.keep()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // A query that was interrupted may still add files while the others are removed.
        for _ in 0..REMOVALS_MAX {
            match fs::remove_dir_all(&self.0) {
                Err(e) if e.kind() != ErrorKind::NotFound => {}
                _ => return,
            }
        }
    }
}

/// Far more than there are threads that could add a file.
const REMOVALS_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_it_and_nobody_else_reads_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SpillFolder::begin(parent.path()).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/part"), "rows").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let nowhere = SpillFolder::begin(&parent.path().join("no/such")).unwrap_err();
        assert_eq!(nowhere.exit(), Exit::Storage);
    }
}
