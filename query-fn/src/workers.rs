//! The threads that run plans.
//!
//! Expressions are evaluated by recursion, and a runtime's own threads have 2 MiB of stack: too
//! little for the deepest expression [`crate::plan`] lets through in a build without optimisation.
//! Threads of its own also keep a long query from holding up the caller's other work.

use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Code, QueryError};

/// Stack of one thread; memory is taken only as far as it is used. Four times what overflowed.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// How long threads are waited for when nobody needs them any more.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// A runtime that runs plans; stops without keeping its owner waiting when dropped.
#[derive(Debug)]
pub(crate) struct Workers(Option<Runtime>);

impl Workers {
    /// Starts `threads` threads.
    pub(crate) fn new(threads: usize) -> Result<Self, QueryError> {
        Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("meshledger-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|e| {
                let text = format!("could not start threads to run queries: {e}; try again");
                QueryError::new(Code::Execution, text)
            })
    }

    /// Where tasks of a plan are spawned.
    pub(crate) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A plain drop would wait for running plans, which is not allowed inside a task. Giving the
        // threads up (`shutdown_background`) detaches them as they end, and glibc's pthread_detach
        // then reads the memory of a thread that may be gone (its bug 19951): seen as a crash at
        // the end of a process. So another thread waits and joins them.
        if let Some(runtime) = self.0.take() {
            let waiter = std::thread::Builder::new().name("meshledger-stop".to_owned());
            // Without a thread to wait, the runtime is dropped right here, which only a process
            // that can start no threads at all gets to see.
            let _ = waiter.spawn(move || runtime.shutdown_timeout(SHUTDOWN));
        }
    }
}
