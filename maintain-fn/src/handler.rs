//! The maintain function: what it is asked for, and what it answers. Pure of Lambda: an event is
//! bytes, the time comes in, and an answer goes out with what is known of the work.
//!
//! Two of these may run at once, and will: a queue and a schedule do not know of each other. What
//! keeps them apart is the conditional write of a commit, nothing here.

mod event;

use std::time::{Duration, Instant};

use archive::verify::{Code, Depth, Finding, Severity, VerifyOptions, VerifyReport, verify};
use archive::{Archive, ArchiveError, Remedy, StoreOptions};
use common::ledger::is_of_table;
use serde::Serialize;
use serde_json::{Value, json};
use tlog::note::{Algorithm, SeedSigner};
use tlog::policy::Policy;
use tokio::sync::{Mutex, OnceCell};

use crate::error::SealError;
use crate::holder::{self, HolderError};
use crate::publish::Known;
use crate::report::SealReport;
use crate::seal::{SealOptions, seal_again};
use crate::sign::{KmsSigner, Signer};
use crate::witness::{self, Asked};

pub use event::{Asks, Scheduled};
use event::{Event, read};

/// Of the time that is left this much, or half if that is less, is kept for ending what was taken
/// in hand.
const RESERVE_MAX: Duration = Duration::from_secs(60);

/// So long before the function would be killed it says itself that the time was too short.
const GRACE: Duration = Duration::from_millis(500);

/// Findings, and refused manifests, that an answer names; the counts are of all.
const FINDINGS_MAX: usize = 100;

/// The key that signs, as far as settings can say it.
#[derive(Debug)]
pub enum Key {
    /// Nobody signs.
    None,
    /// A seed, from a variable.
    Seed(Box<SeedSigner>),
    /// A key in AWS KMS, which is asked when the first seal needs it.
    Kms {
        /// Its id, alias or ARN.
        key: String,
        /// How it signs.
        algorithm: Algorithm,
        /// How AWS is reached.
        options: Box<StoreOptions>,
        /// Where KMS is asked, if not at AWS.
        endpoint: Option<String>,
    },
}

/// What a maintain function is told once.
#[derive(Debug)]
pub struct Settings {
    /// The archive. Not looked at yet.
    pub archive: Archive,
    /// Who signs.
    pub key: Key,
    /// Whom to trust, and who is asked to cosign.
    pub policy: Option<Policy>,
    /// Bounds of a seal; when to stop is known by the event.
    pub seal: SealOptions,
    /// What an event of a schedule without words of its own asks for.
    pub scheduled: Scheduled,
}

/// The maintain function.
pub struct Maintainer {
    settings: Settings,
    /// The key in KMS, once it was asked for.
    kms: OnceCell<KmsSigner>,
    /// What earlier calls of this process have learnt.
    known: Mutex<Known>,
}

/// What a call came to.
#[derive(Debug)]
pub struct Done {
    /// The JSON to answer; an error if whoever sent the event shall know that it failed.
    pub answer: Result<Vec<u8>, Failed>,
    /// What was done.
    pub work: Work,
    /// What went wrong, also where the answer is a list of messages to send again.
    pub failed: Option<Failed>,
}

/// What was done, for those who watch.
#[derive(Debug)]
pub enum Work {
    /// Nothing: the event was none, or the work failed.
    None,
    /// A seal.
    Sealed(Box<Sealed>),
    /// A verification.
    Verified(Box<Verified>),
}

/// A seal.
#[derive(Debug, Serialize)]
pub struct Sealed {
    /// What it did, of the refused manifests some.
    #[serde(flatten)]
    pub report: SealReport,
    /// How many manifests were refused.
    pub refused: u64,
    /// Witnesses that were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<Asked>,
    /// Why none could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses_failed: Option<String>,
    /// How long the oldest delivery had waited that this seal found; 0 if nothing waited.
    pub seal_age_seconds: u64,
    /// Seconds since the last commit, by its own word.
    pub seconds_since_commit: u64,
}

/// A verification.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Nothing is wrong; what waits for a seal aside.
    pub ok: bool,
    /// Findings that say that something is not as it was written.
    pub tampering: u64,
    /// Findings that say that something is unfinished.
    pub incomplete: u64,
    /// Findings that say that something waits for a seal, as is usual.
    pub unsealed: u64,
    /// The report, its findings cut to some.
    #[serde(flatten)]
    pub report: VerifyReport,
}

/// A call that failed. Its kind is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Stable name.
    pub kind: &'static str,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl Failed {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn settings(message: impl Into<String>) -> Self {
        Self::new("Settings", message)
    }

    fn out_of_time(work: &str, time_left: Duration) -> Self {
        Self::new(
            "OutOfTime",
            format!(
                "{work} did not end in the {} s there were; what it stored stays and the next call \
                 goes on from there; if this happens again, raise the function's timeout",
                time_left.as_secs()
            ),
        )
    }
}

const fn kind_of(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Retry => "Unavailable",
        Remedy::Reject => "Rejected",
        Remedy::Reconfigure => "Settings",
        Remedy::Alarm => "Tampering",
    }
}

impl From<ArchiveError> for Failed {
    fn from(error: ArchiveError) -> Self {
        Self::new(kind_of(error.remedy()), error.to_string())
    }
}

impl From<SealError> for Failed {
    fn from(error: SealError) -> Self {
        Self::new(kind_of(error.remedy()), error.to_string())
    }
}

impl From<HolderError> for Failed {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::Archive(error) => error.into(),
            HolderError::Kms(_) | HolderError::Web(_) => {
                Self::new("Unavailable", error.to_string())
            }
            HolderError::Checkpoint(_) => Self::new("Tampering", error.to_string()),
            _ => Self::settings(error.to_string()),
        }
    }
}

impl Maintainer {
    /// A function of these settings. Nothing is read yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, kms: OnceCell::new(), known: Mutex::default() }
    }

    /// Does what an event asks for, in the time that is left.
    pub async fn answer(&self, event: &[u8], time_left: Duration, now_micros: i64) -> Done {
        let event = match read(event, self.settings.scheduled) {
            Ok(event) => event,
            Err(wrong) => {
                let failed = Failed::new("Event", wrong);
                return Done {
                    answer: Err(failed.clone()),
                    work: Work::None,
                    failed: Some(failed),
                };
            }
        };
        let limit = time_left.saturating_sub(GRACE);
        let started = Instant::now();
        let (what, work) = match event.asks() {
            Asks::Seal => ("the seal", {
                let work = tokio::time::timeout(limit, self.seal(started, limit, now_micros));
                work.await.map(|done| done.map(|sealed| Work::Sealed(Box::new(sealed))))
            }),
            Asks::Verify(depth) => ("the verification", {
                let work = tokio::time::timeout(limit, self.verify(depth));
                work.await.map(|done| done.map(|report| Work::Verified(Box::new(report))))
            }),
        };
        let work = work.unwrap_or_else(|_| Err(Failed::out_of_time(what, time_left)));
        done(&event, work)
    }

    async fn seal(
        &self,
        started: Instant,
        limit: Duration,
        now_micros: i64,
    ) -> Result<Sealed, Failed> {
        let mut known = self.known.lock().await;
        let signer = self.signer().await?;
        let sealer = self.settings.archive.sealer();
        let stop_at = started.checked_add(limit.saturating_sub(RESERVE_MAX.min(limit / 2)));
        let options = SealOptions { stop_at, ..self.settings.seal };
        // A call that runs out of time stops anywhere in here. Then what was learnt stays behind:
        // it must not be half of something.
        let mut learnt = std::mem::take(&mut *known);
        let mut report = seal_again(&sealer, signer, &mut learnt, now_micros, options).await?;
        let since = learnt.since_last_commit(now_micros).unwrap_or_default();
        *known = learnt;
        drop(known);
        let policy = self.settings.policy.as_ref().filter(|_| signer.is_some());
        let time = limit.saturating_sub(started.elapsed()).saturating_sub(GRACE);
        let asked = match policy {
            None => Ok(Vec::new()),
            Some(policy) => tokio::time::timeout(time, witness::ask(&sealer, policy))
                .await
                .unwrap_or_else(|_| Err("there was no time left to ask".to_owned())),
        };
        let (witnesses, witnesses_failed) = match asked {
            Ok(asked) => (asked, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let refused = u64::try_from(report.manifests_refused.len()).unwrap_or(u64::MAX);
        report.manifests_refused.truncate(FINDINGS_MAX);
        let waited = report.oldest_received_at_micros.map(|at| now_micros.saturating_sub(at));
        let waited = waited.and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default();
        Ok(Sealed {
            seal_age_seconds: waited / 1_000_000,
            seconds_since_commit: since.as_secs(),
            witnesses,
            witnesses_failed,
            refused,
            report,
        })
    }

    async fn signer(&self) -> Result<Option<&dyn Signer>, Failed> {
        let signer: &dyn Signer = match &self.settings.key {
            Key::None => return Ok(None),
            Key::Seed(seed) => &**seed,
            Key::Kms { key, algorithm, options, endpoint } => {
                let open = || self.open_kms(key, *algorithm, options, endpoint.as_deref());
                self.kms.get_or_try_init(open).await?
            }
        };
        let (name, table_id) = (signer.public().name(), self.settings.archive.table_id().await?);
        if !is_of_table(name, table_id) {
            let (name, id) = (name.escape_debug(), table_id.escape_debug());
            return Err(Failed::settings(format!(
                "MESHLEDGER_KEY: expected a key named <archive>/{id}, found one of another \
                 archive, {name}"
            )));
        }
        Ok(Some(signer))
    }

    async fn open_kms(
        &self,
        key: &str,
        algorithm: Algorithm,
        options: &StoreOptions,
        endpoint: Option<&str>,
    ) -> Result<KmsSigner, Failed> {
        let origin = holder::origin(&self.settings.archive.sealer()).await?;
        let origin = origin.ok_or_else(|| {
            Failed::settings(
                "MESHLEDGER_KEY: a key in KMS has no name, and the archive has no ledger yet: \
                 begin it with meshledger init --ledger NAME --key …",
            )
        })?;
        Ok(holder::in_kms(key, algorithm, &origin, options.clone(), endpoint).await?)
    }

    async fn verify(&self, depth: Depth) -> Result<Verified, Failed> {
        let policy = self.settings.policy.clone();
        let options = VerifyOptions { depth, policy, ..VerifyOptions::default() };
        let mut report = verify(&self.settings.archive.reader(), options, &|_| ()).await?;
        let (mut tampering, mut incomplete, mut unsealed) = (0, 0, 0);
        for finding in &report.findings {
            let Finding { severity, code, .. } = finding;
            match (severity, code) {
                (Severity::Tampering, _) => tampering += 1,
                (Severity::Incomplete, Code::Unsealed) => unsealed += 1,
                (Severity::Incomplete, _) => incomplete += 1,
            }
        }
        match report.worst() {
            Some(Severity::Tampering) => tampering += report.findings_omitted,
            _ => incomplete += report.findings_omitted,
        }
        report.findings.truncate(FINDINGS_MAX);
        let ok = tampering == 0 && incomplete == 0;
        Ok(Verified { ok, tampering, incomplete, unsealed, report })
    }
}

/// What a call came to, said in the way that the event's sender understands.
fn done(event: &Event, work: Result<Work, Failed>) -> Done {
    let (work, failed) = match work {
        Ok(work) => (work, None),
        Err(failed) => (Work::None, Some(failed)),
    };
    let answer = match (event, &failed) {
        (Event::Messages(ids), failed) => {
            // One group, one order: if one can not be done, none was.
            let again: &[String] = if failed.is_some() { ids } else { &[] };
            let again: Vec<Value> = again.iter().map(|id| json!({"itemIdentifier": id})).collect();
            bytes(&json!({ "batchItemFailures": again }))
        }
        (Event::Asks(_), Some(failed)) => Err(failed.clone()),
        (Event::Asks(_), None) => match &work {
            Work::Sealed(sealed) => bytes(sealed),
            Work::Verified(verified) => bytes(verified),
            Work::None => bytes(&json!({})),
        },
    };
    Done { answer, work, failed }
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(value).map_err(|e| Failed::new("Defect", e.to_string()))
}

#[cfg(test)]
mod tests;
