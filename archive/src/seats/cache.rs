//! What a reader has learnt, kept between questions about held units.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use common::UnitId;
use common::layout::INBOX_PREFIX;
use common::manifest::Manifest;
use futures::{StreamExt, TryStreamExt, stream};

use super::Reader;
use crate::error::ArchiveError;
use crate::held::{Held, RunName};
use crate::log::Log;
use crate::opening::Marks;
use crate::snapshot::{Waiting, read_waiting};
use crate::store::{READS_AT_ONCE, Store};

/// The log, its held units, the units of the inbox by key, and its manifests.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    pub(crate) log: Log,
    pub(crate) held: Held,
    pub(crate) inbox: Arc<Known>,
    waiting: HashMap<String, HashSet<UnitId>>,
}

/// Manifests that waited when the inbox was listed last, by key, each with the stamp that the
/// listing gave it: what was refused and delivered again has another one.
pub(crate) type Known = HashMap<String, (String, Arc<Manifest>)>;

/// Most bytes of manifests that are kept, as they are stored: some thousand usual ones.
pub(crate) const KNOWN_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Cache {
    /// Brings the held units to the end of a log that is not shorter than the one known.
    /// Runs of the held index that were listed already need not be listed again.
    pub(crate) async fn learn(
        &mut self,
        store: &Store,
        log: &Log,
        runs: Option<Vec<RunName>>,
    ) -> Result<(), ArchiveError> {
        self.log = log.clone();
        // After an error nothing is known, and the next question reads it all again.
        self.held = std::mem::take(&mut self.held).extend_by(store, log, runs).await?;
        Ok(())
    }
}

impl Reader {
    /// Whether each unit is held or waits in the inbox. What was read for earlier questions is
    /// not read again.
    ///
    /// # Errors
    /// If the log, a manifest or the inbox can not be read.
    pub async fn held(&self, units: &[UnitId]) -> Result<Vec<bool>, ArchiveError> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let mut cache = self.cache.lock().await;
        // The inbox first, the log second: what vanishes from the inbox in between is in the log.
        let is_known = cache.log.version().is_some();
        let marks = async { if is_known { Marks::default() } else { self.marks().await } };
        let (listed, marks) = futures::join!(self.places.work.list(INBOX_PREFIX, None), marks);
        let listed = listed?;
        let known = std::mem::take(&mut cache.waiting);
        let (old, new): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|object| known.contains_key(&object.key));
        let read: Vec<(String, Waiting)> = stream::iter(new)
            .map(|object| async move {
                let waiting = read_waiting(&self.places.work, &object.key).await?;
                Ok::<_, ArchiveError>((object.key, waiting))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let mut known = known;
        for object in old {
            if let Some(units) = known.remove(&object.key) {
                cache.waiting.insert(object.key, units);
            }
        }
        for (key, waiting) in read {
            // A manifest that can not be read holds nothing: it will be refused.
            if let Waiting::Manifest(manifest) = waiting {
                cache.waiting.insert(key, manifest.units.iter().map(|unit| unit.id).collect());
            }
        }
        let log = match is_known {
            true => Log::load(&self.places.archive, &cache.log).await?,
            false => self.newest_log(marks).await?,
        };
        cache.learn(&self.places.archive, &log, None).await?;
        let is_held = |unit: &UnitId| {
            cache.held.contains(unit) || cache.waiting.values().any(|units| units.contains(unit))
        };
        Ok(units.iter().map(is_held).collect())
    }
}
