//! Sealing beside serving: now and then, and once at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::Archive;
use maintain_fn::{Known, SealOptions, Signer};
use tokio::sync::Mutex;

use super::meters::Meters;
use crate::commands::seal;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::key::Trust;
use crate::output::{complain, printable};
use crate::witness;
use host::doors;

/// Seals what the server has stored.
pub(crate) struct Seals {
    archive: Archive,
    /// The ledger's key, if there is one.
    signer: Option<Box<dyn Signer>>,
    /// Whose witnesses are asked.
    trust: Option<Trust>,
    /// After how long without a commit an empty one is made.
    heartbeat_after: Option<Duration>,
    /// Raised by each delivery.
    waits: Arc<AtomicBool>,
    meters: Arc<Meters>,
    /// What earlier seals have learnt.
    known: Mutex<Known>,
}

impl Seals {
    pub(crate) fn new(
        archive: &Archive,
        signer: Option<Box<dyn Signer>>,
        trust: Option<Trust>,
        heartbeat_after: Option<Duration>,
        (waits, meters): (Arc<AtomicBool>, Arc<Meters>),
    ) -> Self {
        let archive = archive.clone();
        Self { archive, signer, trust, heartbeat_after, waits, meters, known: Mutex::default() }
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

    /// Whether the log has been silent for so long that an empty commit may be due; the seal asks
    /// again, since another sealer may have made one.
    fn is_silent(&self, known: &Known) -> Result<bool, Failure> {
        match self.heartbeat_after.filter(|_| self.signer.is_some()) {
            Some(after) => Ok(known.is_silent(doors::now_micros()?, after)),
            None => Ok(false),
        }
    }

    fn sealed_now(&self) -> Result<(), Failure> {
        let now_micros = u64::try_from(doors::now_micros()?).unwrap_or(0);
        self.meters.sealed_micros.store(now_micros, Ordering::Relaxed);
        Ok(())
    }

    /// Seals what waits, if something was stored since the last time, or a heartbeat is due.
    ///
    /// # Errors
    /// If the archive fails or something had to be refused; what was committed stays.
    pub(crate) async fn seal(&self) -> Result<(), Failure> {
        // Lowered before the inbox is listed: a delivery stored meanwhile raises it again.
        let mut known = self.known.lock().await;
        if !self.waits.swap(false, Ordering::AcqRel) && !self.is_silent(&known)? {
            // Nothing waits, so nothing is late.
            self.sealed_now()?;
            return Ok(());
        }
        let options =
            SealOptions { heartbeat_after: self.heartbeat_after, ..SealOptions::default() };
        match seal::seal_with(&self.archive, self.signer.as_deref(), &mut known, options).await {
            Ok(report) => {
                self.sealed_now()?;
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
