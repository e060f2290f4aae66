//! The manifests that wait, read and checked; what fails its checks is refused.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Instant;

use archive::store::{LIST_PAGE_COUNT, Listed};
use archive::verify::check_manifest_files;
use archive::{ArchiveError, Sealer, background};
use bytes::Bytes;
use common::layout;
use common::manifest::Manifest;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::SealError;
use crate::report::{RefusedManifest, SealReport};

/// Bytes of manifests in memory at once; one is always taken.
const BATCH_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// A waiting manifest that passed its checks.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Its key in the inbox.
    pub(super) key: String,
    pub(super) bytes: Bytes,
    pub(super) manifest: Manifest,
}

/// Takes batches from the inbox and remembers what is no use to look at again.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Keys that can not be sealed and can not be moved.
    skipped: BTreeSet<String>,
}

impl Candidates {
    /// The first manifests of the inbox that pass their checks, in ascending order of delivery
    /// id; empty if there are none.
    pub(super) async fn next(
        &mut self,
        sealer: &Sealer,
        count_max: usize,
        stop_at: Option<Instant>,
        report: &mut SealReport,
    ) -> Result<Vec<Candidate>, SealError> {
        loop {
            let listed = self.list(sealer, count_max, report).await?;
            if listed.is_empty() {
                return Ok(Vec::new());
            }
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            let at_once = cores.saturating_mul(2);
            let is_time_up = || stop_at.is_some_and(|stop_at| Instant::now() >= stop_at);
            let read: Vec<Read> = stream::iter(listed.into_iter().enumerate())
                // The files of a delivery are read to their ends here, which is what takes time.
                .take_while(|(at, _)| ready(*at == 0 || !is_time_up()))
                .map(|(_, object)| read(sealer, object.key))
                .buffered(at_once)
                .try_collect()
                .await?;
            let mut passed = Vec::new();
            for read in read {
                match read {
                    Read::Vanished => {}
                    Read::Passed(candidate) => {
                        let received = candidate.manifest.provenance.received_at_micros;
                        let oldest = report.oldest_received_at_micros.get_or_insert(received);
                        *oldest = received.min(*oldest);
                        passed.push(*candidate);
                    }
                    Read::Wrong { key, bytes, reasons } => {
                        self.refuse_bytes(sealer, key, bytes, reasons, report).await?;
                    }
                }
            }
            if !passed.is_empty() {
                return Ok(passed);
            }
            // All vanished or were refused: there may be more behind them.
        }
    }

    async fn list(
        &mut self,
        sealer: &Sealer,
        count_max: usize,
        report: &mut SealReport,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let mut taken: Vec<Listed> = Vec::new();
        let mut bytes = 0u64;
        let mut after: Option<String> = None;
        loop {
            let page = sealer.waiting(after.as_deref()).await?;
            let is_last = page.len() < LIST_PAGE_COUNT;
            after = page.last().map(|object| object.key.clone());
            for object in page {
                if self.skipped.contains(&object.key) {
                    continue;
                }
                if layout::parse_inbox(&object.key).is_none() {
                    self.skip(object.key, "expected inbox/<delivery id>.json", report);
                    continue;
                }
                bytes = bytes.saturating_add(object.bytes);
                let is_full = taken.len() >= count_max || bytes > BATCH_BYTES_MAX;
                if is_full && !taken.is_empty() {
                    return Ok(taken);
                }
                taken.push(object);
            }
            if is_last {
                return Ok(taken);
            }
        }
    }

    /// Reports an object that stays in the inbox.
    fn skip(&mut self, key: String, reason: &str, report: &mut SealReport) {
        tracing::error!(key, reason, "inbox object can not be sealed");
        let reasons = vec![reason.to_owned()];
        let refused = RefusedManifest { key: key.clone(), reasons, is_moved: false };
        report.manifests_refused.push(refused);
        self.skipped.insert(key);
    }

    /// Moves a manifest to `refused/` and reports why.
    pub(super) async fn refuse(
        &mut self,
        sealer: &Sealer,
        candidate: Candidate,
        reasons: Vec<String>,
        report: &mut SealReport,
    ) -> Result<(), ArchiveError> {
        self.refuse_bytes(sealer, candidate.key, Some(candidate.bytes), reasons, report).await
    }

    async fn refuse_bytes(
        &mut self,
        sealer: &Sealer,
        key: String,
        bytes: Option<Bytes>,
        reasons: Vec<String>,
        report: &mut SealReport,
    ) -> Result<(), ArchiveError> {
        let (Some(delivery), Some(bytes)) = (layout::parse_inbox(&key), bytes) else {
            self.skip(key, &reasons.join("; "), report);
            return Ok(());
        };
        tracing::error!(key, ?reasons, "manifest refused");
        sealer.refuse(&key, delivery, bytes).await?;
        // Should it still be there, another one was delivered meanwhile: leave it to the next
        // seal, or a store that does not delete would keep this one going for ever.
        self.skipped.insert(key.clone());
        report.manifests_refused.push(RefusedManifest { key, reasons, is_moved: true });
        Ok(())
    }

    /// Keeps a manifest for ever. If another manifest of the same delivery is kept already, left
    /// by a sealer that crashed before its commit, that one is the delivery's: it names the same
    /// units. `None` if that one fails its checks, so that the delivery had to be refused.
    pub(super) async fn store_manifest(
        &mut self,
        sealer: &Sealer,
        candidate: Candidate,
        report: &mut SealReport,
    ) -> Result<Option<Candidate>, SealError> {
        let delivery = candidate.manifest.delivery;
        let stored = sealer.put_manifest(delivery, candidate.bytes.clone()).await?;
        if stored == candidate.bytes {
            return Ok(Some(candidate));
        }
        let reasons = match parse(&candidate.key, stored.clone()).await {
            Ok(manifest) => {
                let findings = check_manifest_files(sealer.reader(), &manifest).await?;
                if findings.is_empty() {
                    return Ok(Some(Candidate { bytes: stored, manifest, ..candidate }));
                }
                findings.iter().map(ToString::to_string).collect()
            }
            Err(wrong) => vec![wrong],
        };
        let kept = layout::manifest_key(delivery);
        let mut all = vec![format!("{kept} holds another manifest, left by a crash, that fails")];
        all.extend(reasons);
        self.refuse(sealer, candidate, all, report).await?;
        Ok(None)
    }
}

/// How reading one waiting manifest ended.
enum Read {
    Passed(Box<Candidate>),
    Vanished,
    Wrong { key: String, bytes: Option<Bytes>, reasons: Vec<String> },
}

/// Reads a manifest and checks it and its files.
async fn read(sealer: &Sealer, key: String) -> Result<Read, ArchiveError> {
    let bytes = match sealer.get_waiting(&key).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Read::Vanished),
        Err(e @ ArchiveError::TooLong { .. }) => {
            return Ok(Read::Wrong { key, bytes: None, reasons: vec![e.to_string()] });
        }
        Err(e) => return Err(e),
    };
    let manifest = match parse(&key, bytes.clone()).await {
        Ok(manifest) => manifest,
        Err(wrong) => return Ok(Read::Wrong { key, bytes: Some(bytes), reasons: vec![wrong] }),
    };
    let findings = check_manifest_files(sealer.reader(), &manifest).await?;
    if findings.is_empty() {
        return Ok(Read::Passed(Box::new(Candidate { key, bytes, manifest })));
    }
    let reasons = findings.iter().map(ToString::to_string).collect();
    Ok(Read::Wrong { key, bytes: Some(bytes), reasons })
}

/// Reads a manifest that must be the one its inbox key names.
async fn parse(key: &str, bytes: Bytes) -> Result<Manifest, String> {
    let name = key.to_owned();
    let parsed = background::run(key, move || Manifest::from_bytes(&name, &bytes)).await;
    let manifest = match parsed {
        Ok(parsed) => parsed.map_err(|e| e.to_string())?,
        Err(panicked) => return Err(panicked.to_string()),
    };
    match layout::parse_inbox(key) {
        Some(delivery) if delivery == manifest.delivery => Ok(manifest),
        _ => Err(format!("{key}: it is the manifest of delivery {}", manifest.delivery)),
    }
}
