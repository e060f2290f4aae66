//! Looks for objects that nobody names, and checks the held index.

use std::collections::BTreeSet;

use common::held;
use common::layout::{
    self, DATA_PREFIX, INDEX_PREFIX, LEDGER_PREFIX, MANIFESTS_PREFIX, Place, QUARANTINE_PREFIX,
    REFUSED_PREFIX,
};
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::Manifest;
use common::{DeliveryId, Sha256Digest};
use futures::{StreamExt, TryStreamExt, stream};

use super::finding::{Code, Finding, Findings};
use super::history::{History, unreadable};
use super::{Progress, Stage};
use crate::background;
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::store::{LIST_PAGE_COUNT, Listed};

/// What a key that breaks a listing means: the page it is on is lost, and there is no next one.
pub(super) const REST_NOT_EXAMINED: &str = "the listing fails at this object, so others were not \
     examined; remove it and run verify again";

/// Unknown objects examined at once.
const READS_MAX: usize = 8;

/// Where an archive has objects, the log aside.
const PREFIXES: [&str; 5] =
    [DATA_PREFIX, QUARANTINE_PREFIX, MANIFESTS_PREFIX, INDEX_PREFIX, LEDGER_PREFIX];

/// Checks every object below the archive's prefixes.
pub(super) async fn check(
    reader: &Reader,
    history: &History,
    findings: &mut Findings,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), ArchiveError> {
    let store = reader.store();
    let mut runs = BTreeSet::new();
    let mut done = 0;
    for prefix in PREFIXES {
        let mut after: Option<String> = None;
        loop {
            let page = match store.list_page(prefix, after.as_deref()).await {
                Err(ArchiveError::Key { key, .. }) => {
                    let object = store.object_url(prefix);
                    let finding = Finding::new(Code::Stray, object);
                    findings.push(
                        finding
                            .differs("objects of an archive only", key)
                            .detail(format!("below {prefix} {REST_NOT_EXAMINED}")),
                    );
                    break;
                }
                page => page?,
            };
            let is_last = page.len() < LIST_PAGE_COUNT;
            after = page.last().map(|object| object.key.clone());
            done += u64::try_from(page.len()).unwrap_or(u64::MAX);
            progress(Progress {
                stage: Stage::Strays,
                done,
                total: done,
                bytes_done: 0,
                bytes_total: 0,
            });
            for object in &page {
                if let Place::Held(first, last, _) = layout::parse(&object.key) {
                    runs.insert((first, last));
                }
            }
            let found: Vec<Option<Finding>> = stream::iter(page)
                .map(|object| async move { check_object(reader, history, object).await })
                .buffered(READS_MAX)
                .try_collect()
                .await?;
            findings.extend(found.into_iter().flatten());
            if is_last {
                break;
            }
        }
    }
    let last = history.version_without_gap();
    let due = last.into_iter().flat_map(|last| (0..=last).flat_map(held::runs_due));
    for (first, last) in due.filter(|span| !runs.contains(span)) {
        findings.push(
            Finding::incomplete(Code::HeldIndex, store.object_url(layout::HELD_PREFIX))
                .differs(format!("a run over versions {first} to {last}"), "none")
                .detail("the next seal writes it; without it, answers take longer"),
        );
    }
    Ok(())
}

async fn check_object(
    reader: &Reader,
    history: &History,
    object: Listed,
) -> Result<Option<Finding>, ArchiveError> {
    if history.files.contains_key(&object.key) {
        return Ok(None);
    }
    match layout::parse(&object.key) {
        Place::Data(_, digest) | Place::Quarantine(digest) => {
            check_unnamed_file(reader, &object.key, digest).await
        }
        Place::Manifest(delivery) if history.sealed.contains(&delivery) => Ok(None),
        Place::Manifest(delivery) => check_unnamed_manifest(reader, history, delivery).await,
        Place::Held(first, last, digest) => {
            check_run(reader, history, &object.key, (first, last), digest).await
        }
        // Looked at with the ledger.
        Place::Checkpoint | Place::Signature(..) | Place::Tile(_) => Ok(None),
        Place::Commit(_) | Place::Unknown => {
            let url = reader.store().object_url(&object.key);
            let finding = Finding::new(Code::Stray, url);
            Ok(Some(finding.differs("objects of an archive only", "an object nobody names")))
        }
    }
}

async fn check_unnamed_file(
    reader: &Reader,
    key: &str,
    named: Sha256Digest,
) -> Result<Option<Finding>, ArchiveError> {
    let url = reader.store().object_url(key);
    let found = match reader.store().digest(key).await {
        Ok(Some(found)) => found.sha256.to_string(),
        Ok(None) => return Ok(None),
        Err(e) => unreadable(e)?,
    };
    Ok(Some(if found == named.to_string() {
        Finding::incomplete(Code::Orphan, url)
            .differs("a manifest that names it", "none")
            .detail("an interrupted ingest or a repeated delivery left it; no query reads it")
    } else {
        Finding::new(Code::Stray, url).differs(format!("SHA-256 {named}"), found)
    }))
}

/// A manifest under `manifests/` that no commit names. A sealer that crashed or lost a race
/// leaves one, but then it waits still, or was refused, or others hold its units.
async fn check_unnamed_manifest(
    reader: &Reader,
    history: &History,
    delivery: DeliveryId,
) -> Result<Option<Finding>, ArchiveError> {
    let key = layout::manifest_key(delivery);
    let url = reader.store().object_url(&key);
    let bytes = match reader.store().get_bounded(&key, MANIFEST_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) => {
            let finding = Finding::new(Code::Stray, url);
            return Ok(Some(finding.differs("a manifest", unreadable(e)?)));
        }
    };
    let name = key.clone();
    let parsed = background::run(&url, move || Manifest::from_bytes(&name, &bytes)).await;
    let manifest = match parsed {
        Ok(Ok(manifest)) if manifest.delivery == delivery => manifest,
        Ok(Ok(other)) => {
            let finding = Finding::new(Code::Stray, url);
            return Ok(Some(finding.differs(format!("delivery {delivery}"), other.delivery)));
        }
        Ok(Err(error)) => return Ok(Some(Finding::new(Code::Stray, url).format(&error))),
        Err(e) => return Ok(Some(Finding::new(Code::Stray, url).differs("a manifest", e))),
    };
    let refused = format!("{REFUSED_PREFIX}{delivery}-");
    // With a commit missing or unreadable, which is reported, that one may be its own.
    let is_explained = !history.is_complete()
        || history.waiting.contains(&delivery)
        || manifest.units.iter().all(|unit| history.holds(&unit.id))
        || reader
            .work()
            .list(REFUSED_PREFIX, None)
            .await?
            .iter()
            .any(|o| o.key.starts_with(&refused));
    if is_explained {
        return Ok(Some(
            Finding::incomplete(Code::Orphan, url)
                .differs("a commit that names it", "none")
                .detail("an interrupted seal left it; the next one finishes or forgets it"),
        ));
    }
    let times = manifest.files.iter().map(|f| (f.event_time_micros_min, f.event_time_micros_max));
    Ok(Some(
        Finding::new(Code::Gap, url)
            .version(history.version().map(|last| last.saturating_add(1)))
            .times(times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
            .differs("a commit that names it, or its manifest in the inbox", "neither")
            .detail("the end of the log was removed, or the inbox was emptied by hand"),
    ))
}

async fn check_run(
    reader: &Reader,
    history: &History,
    key: &str,
    (first, last): (u64, u64),
    named: Sha256Digest,
) -> Result<Option<Finding>, ArchiveError> {
    let finding = || Finding::new(Code::HeldIndex, reader.store().object_url(key));
    if history.version_without_gap().is_none_or(|end| last > end) {
        let found = history.version_without_gap().map_or("none".to_owned(), |v| v.to_string());
        return Ok(Some(
            finding()
                .version(history.version_without_gap().map(|end| end.saturating_add(1)))
                .differs(format!("a log up to version {last}"), found)
                .detail("a run is written after its last version: the end of the log is gone"),
        ));
    }
    if !held::runs_due(last).contains(&(first, last)) {
        return Ok(Some(
            finding().differs("a run over 16, 256, … versions", format!("{first} to {last}")),
        ));
    }
    // Never read whole: who made it long may not have any memory for it.
    let found = match reader.store().digest(key).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(e) => return Ok(Some(finding().differs("a readable run", unreadable(e)?))),
    };
    if found.sha256 != named {
        return Ok(Some(finding().differs(format!("SHA-256 {named}"), found.sha256)));
    }
    let mut units = BTreeSet::new();
    for version in history.versions.range(first..=last).map(|(_, units)| units) {
        match version {
            Some(of_version) => units.extend(of_version.iter().copied()),
            // Reported where it was found; the run can not be judged.
            None => return Ok(None),
        }
    }
    if found.sha256 == Sha256Digest::of(&held::encode(&units)) {
        return Ok(None);
    }
    Ok(Some(
        finding()
            .version(Some(first))
            .differs(
                format!("the {} units of its manifests", units.len()),
                format!("{} bytes, not those", found.bytes),
            )
            .detail("delete the run: the next seal writes it anew; and find out who changed it"),
    ))
}
