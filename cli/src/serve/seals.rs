//! Sealing beside serving: now and then, and once at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::Archive;
use maintain_fn::{SealOptions, Signer};

use crate::commands::seal;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::key::Trust;
use crate::output::{complain, printable};
use crate::witness;

/// Seals what the server has stored.
pub(crate) struct Seals {
    archive: Archive,
    /// The ledger's key, if there is one.
    signer: Option<Box<dyn Signer>>,
    /// Whose witnesses are asked.
    trust: Option<Trust>,
    /// Raised by each delivery.
    waits: Arc<AtomicBool>,
}

impl Seals {
    pub(crate) fn new(
        archive: &Archive,
        signer: Option<Box<dyn Signer>>,
        trust: Option<Trust>,
        waits: Arc<AtomicBool>,
    ) -> Self {
        Self { archive: archive.clone(), signer, trust, waits }
    }

    /// Seals every so often until interrupted. What fails is tried again the next time.
    pub(crate) async fn run(&self, every: Duration, mut interrupt: Interrupt) {
        loop {
            tokio::select! {
                () = interrupt.wait() => return,
                () = tokio::time::sleep(every) => {}
            }
            if let Err(e) = self.seal().await {
                complain(&format!("sealing: {}; tried again later", printable(e.message(), false)));
            }
        }
    }

    /// Seals what waits, if something was stored since the last time.
    ///
    /// # Errors
    /// If the archive fails or something had to be refused; what was committed stays.
    pub(crate) async fn seal(&self) -> Result<(), Failure> {
        // Lowered before the inbox is listed: a delivery stored meanwhile raises it again.
        if !self.waits.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        match seal::seal_with(&self.archive, self.signer.as_deref(), SealOptions::default()).await {
            Ok(report) => {
                witness::ask(&self.archive, self.trust.as_ref()).await;
                if !report.is_complete {
                    self.waits.store(true, Ordering::Release);
                }
                match seal::exit(&report) {
                    Exit::Ok => Ok(()),
                    exit => Err(Failure::new(exit, seal::text(&report))),
                }
            }
            Err(e) => {
                self.waits.store(true, Ordering::Release);
                Err(e)
            }
        }
    }
}
