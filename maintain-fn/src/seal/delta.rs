//! Which Delta checkpoint the next commit vouches for.

use archive::Sealer;
use common::commit::{CommitNote, DeltaCheckpointRef};

use crate::error::SealError;
use crate::publish::{Known, whole_log};
use crate::report::SealReport;

/// What the next commit says of a Delta checkpoint: the last one that is due, unless a commit names
/// it already. It is written now if it is not there. All that is known is signed.
pub(super) async fn due(
    sealer: &Sealer,
    known: &mut Known,
    every: u64,
    report: &mut SealReport,
) -> Result<Option<DeltaCheckpointRef>, SealError> {
    let last = known.log.version().unwrap_or_default();
    let due = last.checked_div(every).unwrap_or_default().saturating_mul(every);
    // A commit behind it has to say that it was signed: nobody could believe the rest.
    if due == 0 || due <= known.named || is_named(sealer, known, due).await? {
        known.named = known.named.max(due);
        return Ok(None);
    }
    // Each row of it follows from the commits, all of which are read for it.
    let log = whole_log(sealer, &known.log, due).await?;
    match sealer.put_delta_checkpoint(&log, due).await? {
        Ok(named) => Ok(Some(named)),
        Err(wrong) => {
            tracing::warn!(version = due, wrong, "no commit vouches for a Delta checkpoint");
            report.delta_checkpoint_refused = Some(wrong);
            Ok(None)
        }
    }
}

/// Whether a commit behind a version names a Delta checkpoint of it or a later one. Those that a
/// sealer has not read are asked first to last, since it is mostly the first that does.
async fn is_named(sealer: &Sealer, known: &Known, due: u64) -> Result<bool, SealError> {
    let names = |note: &CommitNote| note.delta_checkpoint.is_some_and(|named| named.version >= due);
    let known_after = known.log.commits().iter().map(|sealed| &sealed.commit.note);
    if known_after.filter(|note| note.version > due).any(names) {
        return Ok(true);
    }
    for version in due.saturating_add(1)..known.log.first() {
        if names(&sealer.commit(version).await?.commit.note) {
            return Ok(true);
        }
    }
    Ok(false)
}
