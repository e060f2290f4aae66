//! Ctrl-C and SIGTERM: the first asks a command to end cleanly, the second ends it at once.

use tokio::sync::watch;

use crate::exit::Exit;

/// Whether the user wants this run to end. Clones see the same answer.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens to the process's signals from now on. Call within the runtime.
    pub(crate) fn listen() -> Self {
        let (sender, raised) = watch::channel(false);
        tokio::spawn(async move {
            if !signal().await {
                // Without a handler the operating system's own behaviour stays: the process ends.
                std::future::pending::<()>().await;
            }
            let _ = sender.send(true);
            signal().await;
            crate::output::complain("interrupted again; ending at once");
            std::process::exit(Exit::Interrupted.code().into());
        });
        Self { raised }
    }

    /// One that nobody will raise.
    pub(crate) fn never() -> Self {
        Self { raised: watch::channel(false).1 }
    }

    /// One that is raised already, or that nobody will raise; for tests.
    #[cfg(test)]
    pub(crate) fn fixed(raised: bool) -> Self {
        Self { raised: watch::channel(raised).1 }
    }

    /// Whether it was asked for. Cheap; for threads that work in steps.
    pub(crate) fn raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Returns once it is asked for.
    pub(crate) async fn wait(&mut self) {
        if self.raised.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for one signal; false if none can be waited for.
async fn signal() -> bool {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return false;
        };
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
