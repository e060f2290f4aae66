//! A file that comes in parts: written under another name, and linked to its own at the end.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::{Folder, Shared, Upload, link_error, sync_folder};
use crate::error::ArchiveError;

/// A file that is not complete. Dropping it removes what was written.
pub(super) struct LocalUpload {
    folder: Arc<Folder>,
    path: PathBuf,
    /// `None` while a part is being written, and after an error.
    file: Option<File>,
    temporary: Temporary,
}

/// A file that is removed when it is no longer needed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // If this fails the file stays as harmless rubbish.
        let _ = fs::remove_file(&self.0);
    }
}

impl LocalUpload {
    pub(super) fn begin(folder: Arc<Folder>, key: &str) -> Result<Self, ArchiveError> {
        let path = folder.path(key)?;
        let (temporary, file) = folder.create_temporary()?;
        Ok(Self { folder, path, file: Some(file), temporary: Temporary(temporary) })
    }

    fn object(&self) -> String {
        self.path.display().to_string()
    }

    fn lost(&self) -> ArchiveError {
        let source = "an earlier part was not written".into();
        ArchiveError::Store { operation: "write", object: self.object(), source }
    }

    /// Syncs the file and gives it its name, which must be free.
    fn link(&self, file: &File) -> Result<(), ArchiveError> {
        file.sync_all().map_err(|e| ArchiveError::io("write", &self.temporary.0, e))?;
        let parent = self.path.parent().unwrap_or(&self.folder.root).to_path_buf();
        self.folder.create_folders(&parent)?;
        match fs::hard_link(&self.temporary.0, &self.path) {
            Ok(()) => sync_folder(&parent),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(ArchiveError::Refused {
                operation: "put",
                object: self.object(),
                hint: "give each result a name of its own",
                source: Box::new(e),
            }),
            Err(e) => Err(link_error(&self.path, e)),
        }
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        let mut file = self.file.take().ok_or_else(|| self.lost())?;
        let temporary = self.temporary.0.clone();
        let written = tokio::task::spawn_blocking(move || {
            let written = file.write_all(&bytes);
            written.map(|()| file).map_err(|e| ArchiveError::io("write", &temporary, e))
        });
        let task = |e| ArchiveError::Task { object: self.object(), source: Box::new(e) };
        self.file = Some(written.await.map_err(task)??);
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> Result<(), ArchiveError> {
        let file = self.file.take().ok_or_else(|| self.lost())?;
        let object = self.object();
        let linked = tokio::task::spawn_blocking(move || self.link(&file));
        linked.await.map_err(|e| ArchiveError::Task { object, source: Box::new(e) })?
    }

    async fn abort(self: Box<Self>) {
        drop(self);
    }
}

impl Folder {
    /// The file's path as a URL, which has no end.
    pub(super) fn shared_url(&self, key: &str) -> Result<Shared, ArchiveError> {
        let path = self.path(key)?;
        let url = Url::from_file_path(&path).map_err(|()| ArchiveError::Location {
            url: path.display().to_string(),
            expected: "an absolute path".to_owned(),
        })?;
        Ok(Shared { url: url.into(), ends: false })
    }
}
