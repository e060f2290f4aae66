//! What a seal did.

use serde::Serialize;

/// What one call of [`crate::seal`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SealReport {
    /// Latest version of the log when the seal ended.
    pub version: Option<u64>,
    /// Commits this seal stored, heartbeats aside.
    pub commits: u64,
    /// Commits this seal stored that add nothing and say that somebody seals.
    pub heartbeats: u64,
    /// Times another sealer was first and this one started again.
    pub races_lost: u64,
    /// Manifests sealed, wholly or in part.
    pub manifests_sealed: u64,
    /// Of those, the ones with units that were held already, whose new rows were rewritten.
    pub manifests_mixed: u64,
    /// Manifests of which every unit was held already.
    pub manifests_dropped: u64,
    /// Manifests that failed their checks; redelivery can still succeed.
    pub manifests_refused: Vec<RefusedManifest>,
    /// Event files added.
    pub files: u64,
    /// Event rows added.
    pub rows: u64,
    /// Rejected records added to the quarantine.
    pub rejects: u64,
    /// Bytes of the event files added.
    pub bytes: u64,
    /// Runs of the held index written.
    pub held_runs: u64,
    /// Checkpoints this seal signed and published.
    pub checkpoints: u64,
    /// Latest version a published checkpoint covers; absent where no key signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_through: Option<u64>,
    /// Version of the Delta checkpoint that a commit of this seal vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_checkpoint: Option<u64>,
    /// What is wrong with a Delta checkpoint that was there and does not follow from the commits:
    /// nobody vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_checkpoint_refused: Option<String>,
    /// The tile of the ledger that is missing or damaged, so that every commit had to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_damage: Option<String>,
    /// When the oldest delivery that waited was received, by its manifest's word, in microseconds
    /// since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_received_at_micros: Option<i64>,
    /// Whether the inbox was empty at the end, refused objects aside.
    pub is_complete: bool,
}

/// A manifest that was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedManifest {
    /// Its key in the inbox.
    pub key: String,
    /// What is wrong, one sentence a fault.
    pub reasons: Vec<String>,
    /// Whether it was moved to `refused/`; an object without a delivery's name stays where it is.
    pub is_moved: bool,
}
