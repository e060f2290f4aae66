//! Reads of a folder that memory answers.
//!
//! A read that may wait for a disk is left to a thread that may wait, and to change threads costs
//! more than to read what the page cache holds. Linux tells the two apart: it opens only what needs
//! no disk (`RESOLVE_CACHED`, Linux 5.12), and reads only what needs none (`RWF_NOWAIT`).

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{ReadWriteFlags, preadv2};

/// Bytes of a file, and what is known of it.
pub(super) struct Cached {
    pub(super) bytes: Bytes,
    pub(super) file_bytes: u64,
    pub(super) modified: SystemTime,
    /// As `object_store` makes one of a file's inode, time and length, so that whoever reads a file
    /// in parts knows it again.
    pub(super) entity_tag: String,
}

/// These bytes of a plain file below a folder, no symbolic link on its way, if they can be had
/// without waiting. `None` says nothing of what is there.
pub(super) fn read(root: &Path, key: &str, range: &Range<u64>) -> Option<Cached> {
    let count = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
    if count > BYTES_MAX {
        return None;
    }
    let (cached, folder) = (ResolveFlags::CACHED, OFlags::PATH | OFlags::DIRECTORY);
    let root = openat2(CWD, root, folder | OFlags::CLOEXEC, Mode::empty(), cached).ok()?;
    let below = cached | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // Not to wait for whoever writes to it, if it is a pipe.
    let plain = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat2(root, key, plain, Mode::empty(), below).ok()?);
    let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    if range.end > meta.len() {
        return None;
    }
    let mut bytes = vec![0; count];
    let mut whole = [IoSliceMut::new(&mut bytes)];
    let read = preadv2(&file, &mut whole, range.start, ReadWriteFlags::NOWAIT).ok()?;
    let (modified, file_bytes) = (meta.modified().ok()?, meta.len());
    let micros = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let entity_tag = format!("{:x}-{micros:x}-{file_bytes:x}", meta.ino());
    (read == count).then(|| Cached { bytes: bytes.into(), file_bytes, modified, entity_tag })
}

/// What is copied within about a millisecond; for more, a change of threads costs nothing.
const BYTES_MAX: usize = 4 * 1024 * 1024;
