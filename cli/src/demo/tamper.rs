//! What the demo does to a copy of its archive: one byte of one file, changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The byte that was changed.
pub(crate) struct Flipped {
    /// The file, relative to the archive.
    pub(crate) file: PathBuf,
    /// Which byte.
    pub(crate) offset_bytes: u64,
    /// What stood there, and what stands there now.
    pub(crate) bytes: (u8, u8),
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Changes one bit in the middle of the largest event file below `archive`.
pub(crate) fn flip_one_byte(archive: &Path) -> io::Result<Flipped> {
    let mut files = Vec::new();
    list(&archive.join("data"), &mut files)?;
    files.sort();
    let (length, path) = files
        .into_iter()
        .max()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the archive has no event file"))?;
    let offset_bytes = length / 2;
    let mut file = writable(&path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset_bytes))?;
    file.read_exact(&mut byte)?;
    let before = byte[0];
    let after = before ^ 1;
    file.seek(SeekFrom::Start(offset_bytes))?;
    file.write_all(&[after])?;
    let file = path.strip_prefix(archive).unwrap_or(&path).to_owned();
    Ok(Flipped { file, offset_bytes, bytes: (before, after) })
}

/// Bytes of all files below a folder.
pub(crate) fn size(folder: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    Ok(files.iter().map(|(length, _)| length).sum())
}

fn list(folder: &Path, files: &mut Vec<(u64, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push((entry.metadata()?.len(), entry.path()));
        }
    }
    Ok(())
}

/// Opens a file for change, though its mode may forbid writing: whoever tampers can do that.
fn writable(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o200))?;
    }
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_of_the_largest_file_differs_and_the_original_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("a");
        fs::create_dir_all(original.join("data/event_date=2026-11-02")).unwrap();
        fs::write(original.join("data/event_date=2026-11-02/small"), b"12").unwrap();
        fs::write(original.join("data/event_date=2026-11-02/large"), b"12345").unwrap();
        let copied = folder.path().join("b");
        copy(&original, &copied).unwrap();
        assert_eq!(size(&copied).unwrap(), 7);
        let flipped = flip_one_byte(&copied).unwrap();
        assert_eq!(flipped.file, Path::new("data/event_date=2026-11-02/large"));
        assert_eq!((flipped.offset_bytes, flipped.bytes), (2, (b'3', b'2')));
        assert_eq!(fs::read(copied.join(&flipped.file)).unwrap(), b"12245");
        assert_eq!(fs::read(original.join(&flipped.file)).unwrap(), b"12345");
    }
}
