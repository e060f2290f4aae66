//! A store in a folder, durable: a write is acknowledged when file and folders are on disk.
//!
//! An object appears whole or not at all: it is written under another name, synced, and then
//! linked to its own name, which fails if that exists. What a crash leaves under `.tmp/` is no
//! object and is never listed.

mod upload;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::Sha256Digest;
use common::digest::Hasher;
use object_store::local::LocalFileSystem;

use super::unlinked::Unlinked;
use super::{
    Backend, Digested, Listed, Objects, PutOnce, Shared, Stamped, TEMPORARY_FOLDER, Upload,
};
use crate::error::ArchiveError;

/// A folder.
#[derive(Debug, Clone)]
pub(super) struct LocalStore {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// Folders whose names are known to be on disk, so that they need no further sync.
    synced: Mutex<HashSet<PathBuf>>,
}

/// Makes names of temporary files unique within this process.
static TEMPORARY_COUNT: AtomicU64 = AtomicU64::new(0);

/// File below the temporary folder that is locked while an object is replaced.
const SWAP_LOCK: &str = "swap.lock";

/// Bytes read at a time when only the digest is wanted.
const CHUNK_BYTES: usize = 1024 * 1024;

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { folder: Arc::new(Folder { root, synced: Mutex::default() }) }
    }

    /// Where the folder is.
    pub(super) fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Refuses a key with a symbolic link on its way.
    pub(super) async fn check_links(&self, key: &str) -> Result<(), ArchiveError> {
        self.run(key, |folder, key| folder.path(key).map(|_| ())).await
    }

    /// Runs file operations where they may block.
    async fn run<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Folder, &str) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let (folder, key) = (Arc::clone(&self.folder), key.to_owned());
        let object = folder.root.join(&key).display().to_string();
        tokio::task::spawn_blocking(move || work(&folder, &key))
            .await
            .map_err(|e| ArchiveError::Task { object, source: Box::new(e) })?
    }
}

#[async_trait]
impl Backend for LocalStore {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        self.run(key, move |folder, key| folder.get(key, bytes_max)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError> {
        self.run(key, move |folder, key| folder.get_range(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        self.run(key, |folder, key| Ok(folder.open(key)?.map(|(_, _, bytes)| bytes))).await
    }

    async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        self.run(key, Folder::digest).await
    }

    async fn put_once(&self, key: &str, bytes: Bytes) -> PutOnce {
        match self.run(key, move |folder, key| folder.put(key, &bytes)).await {
            Ok(true) => PutOnce::Created(None),
            Ok(false) => PutOnce::AlreadyThere,
            Err(error) => PutOnce::Failed(error),
        }
    }

    async fn get_stamped(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Stamped>, ArchiveError> {
        let bytes = self.get(key, bytes_max).await?;
        Ok(bytes.map(|bytes| Stamped { stamp: Sha256Digest::of(&bytes).to_hex(), bytes }))
    }

    async fn swap_once(&self, key: &str, stamp: &str, bytes: Bytes) -> PutOnce {
        let stamp = stamp.to_owned();
        match self.run(key, move |folder, key| folder.swap(key, &stamp, &bytes)).await {
            Ok(true) => PutOnce::Created(None),
            Ok(false) => PutOnce::AlreadyThere,
            Err(error) => PutOnce::Failed(error),
        }
    }

    async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let start_after = start_after.unwrap_or_default().to_owned();
        self.run(prefix, move |folder, prefix| folder.list(prefix, &start_after, count_max)).await
    }

    async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        self.run(key, Folder::delete).await
    }

    async fn take(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        self.run(key, move |folder, key| folder.take(key, bytes_max)).await
    }

    fn objects(&self) -> Result<Objects, ArchiveError> {
        let root = &self.folder.root;
        let local = LocalFileSystem::new_with_prefix(root).map_err(|e| ArchiveError::Refused {
            operation: "open the folder",
            object: root.display().to_string(),
            hint: "the archive's folder must exist and be readable",
            source: Box::new(e),
        })?;
        Ok(Arc::new(Unlinked { inner: local, store: self.clone() }))
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, ArchiveError> {
        let folder = Arc::clone(&self.folder);
        let begun = self.run(key, move |_, key| upload::LocalUpload::begin(folder, key)).await?;
        Ok(Box::new(begun))
    }

    async fn shared_url(&self, key: &str, _lasts: Duration) -> Result<Shared, ArchiveError> {
        self.run(key, Folder::shared_url).await
    }
}

impl Folder {
    /// Path of a key. A symbolic link on the way could lead anywhere, so none is followed; the
    /// root itself may be one, since its owner named it.
    fn path(&self, key: &str) -> Result<PathBuf, ArchiveError> {
        let mut path = self.root.clone();
        for part in key.split('/').filter(|part| !part.is_empty()) {
            path.push(part);
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
                return Err(ArchiveError::Refused {
                    operation: "use",
                    object: path.display().to_string(),
                    hint: "an archive holds no links; put the file itself there",
                    source: "it is a symbolic link".into(),
                });
            }
        }
        Ok(path)
    }

    /// Opens a file: its handle, path and length; `None` if there is none.
    fn open(&self, key: &str) -> Result<Option<(File, PathBuf, u64)>, ArchiveError> {
        let path = self.path(key)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(ArchiveError::io("open", &path, e)),
        };
        let meta = file.metadata().map_err(|e| ArchiveError::io("examine", &path, e))?;
        if meta.is_dir() {
            return Ok(None);
        }
        if !meta.is_file() {
            return Err(ArchiveError::Refused {
                operation: "read",
                object: path.display().to_string(),
                hint: "an archive holds plain files only",
                source: "it is no plain file".into(),
            });
        }
        Ok(Some((file, path, meta.len())))
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let Some((file, path, bytes)) = self.open(key)? else { return Ok(None) };
        read_bounded(file, &path, bytes, bytes_max).map(Some)
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError> {
        let Some((mut file, path, bytes)) = self.open(key)? else { return Ok(None) };
        let read = |e| ArchiveError::io("read", &path, e);
        let start = range.start.min(bytes);
        let count = range.end.min(bytes).saturating_sub(start);
        file.seek(SeekFrom::Start(start)).map_err(read)?;
        let mut content = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        file.take(count).read_to_end(&mut content).map_err(read)?;
        Ok(Some(content.into()))
    }

    fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        let Some((mut file, path, _)) = self.open(key)? else { return Ok(None) };
        let mut hasher = Hasher::new();
        let mut bytes = 0;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(Some(Digested { bytes, sha256: hasher.finish() })),
                Ok(count) => {
                    let read = chunk.get(..count).unwrap_or_default();
                    hasher.update(read);
                    bytes += super::length(read);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(ArchiveError::io("read", &path, e)),
            }
        }
    }

    /// Whether the object was created; `false` if it was there. A crash anywhere in here leaves a
    /// temporary file, or the whole object, or nothing.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<bool, ArchiveError> {
        let path = self.path(key)?;
        let parent = path.parent().unwrap_or(&self.root).to_path_buf();
        let there = fs::symlink_metadata(&path).is_ok();
        let created = !there && {
            self.create_folders(&parent)?;
            let temporary = self.write_temporary(bytes)?;
            let linked = fs::hard_link(&temporary, &path);
            // If this fails the file stays as harmless rubbish; the object is what counts.
            let _ = fs::remove_file(&temporary);
            match linked {
                Ok(()) => true,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
                Err(e) => return Err(link_error(&path, e)),
            }
        };
        // Also if it was there: who put it may not have come to this line yet, and "already
        // there" will be acknowledged just the same.
        if !created {
            self.create_folders(&parent)?;
        }
        sync_folder(&parent)?;
        Ok(created)
    }

    /// Creates what is missing of a folder and makes sure that the names on its path are on disk.
    fn create_folders(&self, folder: &Path) -> Result<(), ArchiveError> {
        if self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
            // It may have been removed since; then the link below says so.
            if folder.is_dir() {
                return Ok(());
            }
        }
        fs::create_dir_all(folder).map_err(|e| ArchiveError::io("create the folder", folder, e))?;
        let above_root = self.root.parent().unwrap_or(&self.root);
        for outer in folder.ancestors().skip(1).take_while(|outer| outer.starts_with(above_root)) {
            match sync_folder(outer) {
                Ok(()) => {}
                // The folder above the archive may be closed to us; then its name was there.
                Err(_) if outer == above_root => {}
                Err(e) => return Err(e),
            }
        }
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf());
        Ok(())
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<PathBuf, ArchiveError> {
        let (path, mut file) = self.create_temporary()?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        match written {
            Ok(()) => Ok(path),
            Err(e) => {
                // A full disk must not stay full of our half-written file.
                let _ = fs::remove_file(&path);
                Err(ArchiveError::io("write", &path, e))
            }
        }
    }

    fn create_temporary(&self) -> Result<(PathBuf, File), ArchiveError> {
        let folder = self.root.join(TEMPORARY_FOLDER);
        fs::create_dir_all(&folder)
            .map_err(|e| ArchiveError::io("create the folder", &folder, e))?;
        loop {
            let count = TEMPORARY_COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{count}", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => return Ok((path, file)),
                // Left by a process that had the same id and crashed.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(ArchiveError::io("create", &path, e)),
            }
        }
    }

    /// Renaming takes the object away from everybody else at once; then there is time to read it.
    fn take(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let path = self.path(key)?;
        let (taken, _) = self.create_temporary()?;
        if let Err(e) = fs::rename(&path, &taken) {
            let _ = fs::remove_file(&taken);
            return match e.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
                _ => Err(ArchiveError::io("remove", &path, e)),
            };
        }
        let bytes = File::open(&taken)
            .and_then(|file| Ok((file.metadata()?.len(), file)))
            .map_err(|e| ArchiveError::io("read", &path, e))
            .and_then(|(bytes, file)| read_bounded(file, &path, bytes, bytes_max));
        let is_kept = bytes.is_err()
            // If another object stands there by now, that one stays.
            && fs::hard_link(&taken, &path).is_err_and(|e| e.kind() != ErrorKind::AlreadyExists);
        if !is_kept {
            let _ = fs::remove_file(&taken);
        }
        sync_folder(path.parent().unwrap_or(&self.root))?;
        bytes.map(Some)
    }

    /// Replaces an object whose digest is still `stamp`. A folder has no conditional rename, so
    /// all who replace here take one lock, which the system drops with the process. A crash leaves
    /// the old object or the new one.
    fn swap(&self, key: &str, stamp: &str, bytes: &[u8]) -> Result<bool, ArchiveError> {
        let path = self.path(key)?;
        let parent = path.parent().unwrap_or(&self.root).to_path_buf();
        let folder = self.root.join(TEMPORARY_FOLDER);
        fs::create_dir_all(&folder)
            .map_err(|e| ArchiveError::io("create the folder", &folder, e))?;
        let lock_path = folder.join(SWAP_LOCK);
        let lock = File::options().create(true).append(true).open(&lock_path);
        let lock = lock.map_err(|e| ArchiveError::io("open", &lock_path, e))?;
        lock.lock().map_err(|e| ArchiveError::io("lock", &lock_path, e))?;
        let there = self.digest(key)?;
        if there.is_none_or(|there| there.sha256.to_hex() != stamp) {
            return Ok(false);
        }
        let temporary = self.write_temporary(bytes)?;
        if let Err(e) = fs::rename(&temporary, &path) {
            let _ = fs::remove_file(&temporary);
            return Err(ArchiveError::io("replace", &path, e));
        }
        sync_folder(&parent)?;
        Ok(true)
    }

    fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            Err(e) => Err(ArchiveError::io("remove", &path, e)),
        }
    }

    fn list(
        &self,
        prefix: &str,
        start_after: &str,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let folder = self.path(prefix)?;
        let mut found = Vec::new();
        walk(&folder, prefix, start_after, count_max, &mut found)?;
        Ok(found)
    }
}

/// Reads a file of so many bytes to its end, if that is no more than allowed.
fn read_bounded(
    file: File,
    path: &Path,
    bytes: u64,
    bytes_max: u64,
) -> Result<Bytes, ArchiveError> {
    let too_long = |bytes: u64| {
        let object = path.display().to_string();
        Err(ArchiveError::TooLong { object, bytes, bytes_max })
    };
    if bytes > bytes_max {
        return too_long(bytes);
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    // One byte more than allowed shows a file that grows while it is read.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|e| ArchiveError::io("read", path, e))?;
    match super::length(&content) {
        found if found > bytes_max => too_long(found),
        _ => Ok(content.into()),
    }
}

/// A hard link that failed. A file system without them says so, or, as exFAT does on Linux, that
/// it is not permitted; a lack of access has another number.
fn link_error(path: &Path, error: std::io::Error) -> ArchiveError {
    const EPERM: i32 = 1;
    if error.kind() != ErrorKind::Unsupported && error.raw_os_error() != Some(EPERM) {
        return ArchiveError::io("link", path, error);
    }
    ArchiveError::Refused {
        operation: "link",
        object: path.display().to_string(),
        hint: "the archive's file system must support hard links, which make writing atomic; \
               exFAT, FAT and some network mounts do not: choose another folder",
        source: Box::new(error),
    }
}

/// Collects the files of a folder in ascending order of key, which is the order S3 lists in.
/// Links are listed but not followed.
fn walk(
    folder: &Path,
    prefix: &str,
    start_after: &str,
    count_max: usize,
    found: &mut Vec<Listed>,
) -> Result<(), ArchiveError> {
    let failed = |e| ArchiveError::io("list", folder, e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    let mut sorted = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        let slash = if is_folder { "/" } else { "" };
        let key = format!("{prefix}{}{slash}", entry.file_name().to_string_lossy());
        let passed = key.as_str() <= start_after && !(is_folder && start_after.starts_with(&key));
        let temporary = prefix.is_empty() && entry.file_name() == TEMPORARY_FOLDER;
        if !passed && !temporary {
            sorted.push((key, is_folder, entry.path()));
        }
    }
    sorted.sort_unstable();
    for (key, is_folder, path) in sorted {
        if found.len() >= count_max {
            return Ok(());
        }
        if is_folder {
            walk(&path, &key, start_after, count_max, found)?;
            continue;
        }
        match fs::symlink_metadata(&path) {
            Ok(meta) => found.push(Listed { key, bytes: meta.len(), stamp: stamp(&meta) }),
            // Removed since the folder was read.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(ArchiveError::io("examine", &path, e)),
        }
    }
    Ok(())
}

/// What tells a file from any other that had its name: when it was written, and where that can be
/// said, which file it is.
fn stamp(meta: &fs::Metadata) -> Option<String> {
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(meta);
    #[cfg(not(unix))]
    let file = 0;
    let written = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{file}-{}-{}", written.as_nanos(), meta.len()))
}

/// Brings the names in a folder to disk.
fn sync_folder(folder: &Path) -> Result<(), ArchiveError> {
    // Only Unix can open a folder to sync it; elsewhere the file system has to be trusted.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|handle| handle.sync_all())
            .map_err(|e| ArchiveError::io("sync the folder", folder, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_hard_links_is_named() {
        let shown = |error| link_error(Path::new("/mnt/stick/x"), error).to_string();
        for error in [std::io::Error::from_raw_os_error(1), ErrorKind::Unsupported.into()] {
            let shown = shown(error);
            assert!(
                shown.contains("must support hard links") && shown.contains("exFAT"),
                "{shown}"
            );
            assert!(shown.contains("/mnt/stick/x") && shown.contains("choose another folder"));
        }
        let denied = shown(ErrorKind::PermissionDenied.into());
        assert!(denied.contains("give this user access"), "{denied}");
    }

    #[test]
    fn taking_returns_what_was_removed_and_keeps_what_it_can_not_read() {
        let root = tempfile::tempdir().unwrap();
        let store = LocalStore::new(root.path().to_owned());
        let folder = &store.folder;
        assert!(folder.put("inbox/a", b"0123").unwrap());
        assert!(matches!(folder.take("inbox/a", 3), Err(ArchiveError::TooLong { .. })));
        assert_eq!(folder.take("inbox/a", 4).unwrap().unwrap(), "0123");
        assert_eq!(folder.take("inbox/a", 4).unwrap(), None);
        assert_eq!(folder.take("nowhere/a", 4).unwrap(), None);
        assert_eq!(fs::read_dir(root.path().join(TEMPORARY_FOLDER)).unwrap().count(), 0);
    }
}
