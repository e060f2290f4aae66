//! Work that is too long, or too exposed to hostile bytes, for the threads that wait on I/O.

use crate::error::ArchiveError;

/// Runs `work` on a thread that may block. A panic in there, as a decoder may be driven to by
/// hostile bytes, comes back as an error.
///
/// # Errors
/// If `work` panics.
pub async fn run<T: Send + 'static>(
    object: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ArchiveError> {
    #[cfg(any(test, feature = "fault"))]
    if here::is_wanted() {
        return here::run(object, work);
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| ArchiveError::Task { object: object.to_owned(), source: Box::new(e) })
}

/// For simulations, in which everything happens on one thread, in an order that a seed decides.
#[cfg(any(test, feature = "fault"))]
pub mod here {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::error::ArchiveError;

    thread_local! {
        static WANTED: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether work that is started on this thread is done on this thread.
    pub fn want(wanted: bool) {
        WANTED.set(wanted);
    }

    pub(super) fn is_wanted() -> bool {
        WANTED.get()
    }

    pub(super) fn run<T>(object: &str, work: impl FnOnce() -> T) -> Result<T, ArchiveError> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            let source = format!("panicked: {}", said.unwrap_or_default()).into();
            ArchiveError::Task { object: object.to_owned(), source }
        })
    }
}
