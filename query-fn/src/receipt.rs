//! What an answer rests on and what it cost.

use std::sync::Arc;

use archive::SealedThrough;
use archive::snapshot::{Mode, Snapshot};
use datafusion::physical_plan::ExecutionPlan;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::explain::Pruning;
use crate::meter::Meter;
use crate::prune::Verdict;
use crate::request::Request;
use crate::scans::Scans;

/// What an answer rests on and what it cost. Bytes and requests are counted at the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(remote = "Self")]
pub struct Receipt {
    /// Whether the answer was read to its end; if not, the numbers are those so far.
    pub complete: bool,
    /// Version of the archive.
    pub version: u64,
    /// The archive's table id.
    pub table_id: String,
    /// `fresh` or `strict`.
    pub mode: &'static str,
    /// The signed checkpoint that a strict answer rests on; none if it is not strict, or the
    /// archive has no ledger.
    pub sealed_through: Option<SealedThrough>,
    /// Whether each file was hashed before a part of it was used.
    pub files_hashed: bool,
    /// Manifests not yet sealed that the snapshot includes.
    pub unsealed_manifests: u64,
    /// Their rows.
    pub unsealed_rows: u64,
    /// Objects in the inbox that are no manifest; a seal refuses them.
    pub unreadable_manifests: Vec<String>,
    /// Files of the tables the query names.
    pub files_total: u64,
    /// Files of which something was read.
    pub files_read: u64,
    /// Files not read because their date can not match.
    pub files_pruned_partition: u64,
    /// Files not read because the statistics in their commit exclude every row.
    pub files_pruned_statistics: u64,
    /// Files not read although they could match: the answer was complete without them (a LIMIT,
    /// the newest rows, a count known from the commit).
    pub files_skipped: u64,
    /// Row groups not read because their statistics exclude every row.
    pub row_groups_pruned_statistics: u64,
    /// Row groups not read because a bloom filter excludes the value.
    pub row_groups_pruned_bloom: u64,
    /// Row groups read at least in part.
    pub row_groups_read: u64,
    /// Rows not read because the page index excludes their pages.
    pub rows_pruned_page_index: u64,
    /// Rows that left the scans, after what filters were applied while decoding.
    pub rows_scanned: u64,
    /// Rows of the answer handed over.
    pub rows_returned: u64,
    /// Bytes read from data files.
    pub bytes_read: u64,
    /// Requests for data files.
    pub requests: u64,
    /// Requests to load the snapshot. Exact if this engine's store served nothing else meanwhile.
    pub snapshot_requests: u64,
    /// Bytes read to load the snapshot; exact under the same condition.
    pub snapshot_bytes_read: u64,
    /// Microseconds from the request until now, or until the last batch was handed over.
    pub elapsed_micros: u64,
    /// Why each file was read or not, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Pruning>,
    /// Whether an access policy kept something from the caller. What would tell of it is 0 or
    /// empty then, and left out of the JSON.
    pub restricted: bool,
}

/// The name of a mode.
pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Fresh => "fresh",
        Mode::Strict => "strict",
    }
}

/// What a caller is told from whom something is kept. What is new in a receipt is kept from them
/// until somebody has thought about what it tells.
const TOLD_ALWAYS: [&str; 8] = [
    "complete",
    "version",
    "table_id",
    "mode",
    "sealed_through",
    "files_hashed",
    "rows_returned",
    "elapsed_micros",
];

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.restricted {
            return Self::serialize(self, serializer);
        }
        let mut told =
            Self::serialize(self, serde_json::value::Serializer).map_err(S::Error::custom)?;
        if let Some(members) = told.as_object_mut() {
            members.retain(|name, _| name == "restricted" || TOLD_ALWAYS.contains(&name.as_str()));
        }
        told.serialize(serializer)
    }
}

impl Receipt {
    /// Without what tells of rows that the caller may not see.
    fn restrict(self) -> Self {
        Self {
            sealed_through: self.sealed_through.map(|through| SealedThrough {
                unsealed_commits_ignored: 0,
                unsealed_manifests_ignored: 0,
                ..through
            }),
            unsealed_manifests: 0,
            unsealed_rows: 0,
            unreadable_manifests: Vec::new(),
            files_total: 0,
            files_read: 0,
            files_pruned_partition: 0,
            files_pruned_statistics: 0,
            files_skipped: 0,
            row_groups_pruned_statistics: 0,
            row_groups_pruned_bloom: 0,
            row_groups_read: 0,
            rows_pruned_page_index: 0,
            rows_scanned: 0,
            pruning: None,
            bytes_read: 0,
            requests: 0,
            snapshot_requests: 0,
            snapshot_bytes_read: 0,
            restricted: true,
            ..self
        }
    }
}

/// Requests and bytes of loading a snapshot.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SnapshotCost {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// Everything a receipt is made from.
pub(crate) struct Evidence {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) snapshot_cost: SnapshotCost,
    pub(crate) scans: Scans,
    pub(crate) meter: Arc<Meter>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) files_hashed: bool,
    /// Whether it says why each file was read or not.
    pub(crate) explain: bool,
    pub(crate) asked: Asked,
    /// Whether something is kept from the caller.
    pub(crate) restricted: bool,
}

/// What was asked, as far as the answer has to know it.
pub(crate) enum Asked {
    /// Rows.
    Rows,
    /// Rows and their digest.
    Digest,
    /// This, in a way that it can be had again; and whether it orders the rows.
    Repeatable(Box<Request>, bool),
}

/// What the caller's side knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) complete: bool,
    pub(crate) rows_returned: u64,
    pub(crate) elapsed_micros: u64,
}

impl Evidence {
    /// The receipt for the caller.
    pub(crate) fn receipt(&self, progress: Progress) -> Receipt {
        let receipt = self.whole_receipt(progress);
        if self.restricted { receipt.restrict() } else { receipt }
    }

    /// The receipt with everything that was counted, which is not for the caller.
    pub(crate) fn whole_receipt(&self, progress: Progress) -> Receipt {
        let work = self.scans.work();
        let count = |verdict| self.scans.count(verdict);
        let kept = count(Verdict::Kept);
        let files_read = self.meter.files_read();
        Receipt {
            complete: progress.complete,
            version: self.snapshot.version,
            table_id: self.snapshot.table_id.clone(),
            mode: mode_name(self.snapshot.mode),
            sealed_through: self.snapshot.sealed_through().cloned(),
            files_hashed: self.files_hashed,
            unsealed_manifests: self.snapshot.unsealed_manifests,
            unsealed_rows: self.snapshot.unsealed_rows,
            unreadable_manifests: self.snapshot.unreadable_manifests.clone(),
            files_total: kept + count(Verdict::Partition) + count(Verdict::Statistics),
            files_read,
            files_pruned_partition: count(Verdict::Partition),
            files_pruned_statistics: count(Verdict::Statistics),
            files_skipped: kept.saturating_sub(files_read),
            row_groups_pruned_statistics: work.row_groups_pruned_statistics,
            row_groups_pruned_bloom: work.row_groups_pruned_bloom,
            row_groups_read: work.row_groups_read(),
            rows_pruned_page_index: work.rows_pruned_page_index,
            rows_scanned: work.rows_scanned,
            rows_returned: progress.rows_returned,
            bytes_read: self.meter.bytes(),
            requests: self.meter.requests(),
            snapshot_requests: self.snapshot_cost.requests,
            snapshot_bytes_read: self.snapshot_cost.bytes,
            elapsed_micros: progress.elapsed_micros,
            pruning: self.explain.then(|| Pruning::of(&self.scans, &self.snapshot, &self.meter)),
            restricted: self.restricted,
        }
    }
}
