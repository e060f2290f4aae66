//! Work that is too long, or too exposed to hostile bytes, for the threads that wait on I/O.

use crate::error::ArchiveError;

/// Runs `work` on a thread that may block. A panic in there, as a decoder may be driven to by
/// hostile bytes, comes back as an error.
pub(crate) async fn run<T: Send + 'static>(
    object: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| ArchiveError::Task { object: object.to_owned(), source: Box::new(e) })
}
