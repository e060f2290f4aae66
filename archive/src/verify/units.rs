//! One pass over every unit of the archive: each counts once, none is left out that no commit
//! holds, and the runs of the held index follow from them.

use std::collections::{BTreeMap, BTreeSet};

use common::digest::Hasher;
use common::held::{RUN_FANOUT, runs_due};
use common::layout;
use common::{Sha256Digest, UnitId};

use super::finding::{Code, Finding, Findings};
use super::known::{Said, UNIT_BYTES, Unit};
use crate::error::ArchiveError;
use crate::sorted::Sorted;
use crate::store::Store;

/// What the pass found out.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Questions one unit of which no commit names.
    unheld: BTreeSet<u64>,
    /// Runs there must be, by their first and last version: digest and number of units.
    runs: BTreeMap<(u64, u64), (Sha256Digest, u64)>,
}

impl Answers {
    /// Whether commits name every unit of a question.
    pub(super) fn all_held(&self, question: u64) -> bool {
        !self.unheld.contains(&question)
    }

    /// What a run must be: its digest and how many units it has.
    pub(super) fn run(&self, span: (u64, u64)) -> Option<(Sha256Digest, u64)> {
        self.runs.get(&span).copied()
    }
}

/// A run while its units go by.
struct Run {
    hasher: Hasher,
    units: u64,
    /// The unit it took last.
    last: Option<UnitId>,
}

/// Looks at every unit. `end` is the last version up to which the log has no gap; `is_complete`
/// says whether every unit of every commit is among these.
pub(super) fn check(
    store: &Store,
    units: &mut Sorted<UNIT_BYTES>,
    end: Option<u64>,
    is_complete: bool,
    findings: &mut Findings,
) -> Result<Answers, ArchiveError> {
    let due = end.into_iter().flat_map(|end| (0..=end).flat_map(runs_due));
    let begin = |span| (span, Run { hasher: Hasher::new(), units: 0, last: None });
    let mut runs: BTreeMap<(u64, u64), Run> = due.map(begin).collect();
    let mut answers = Answers::default();
    let mut read = units.read()?;
    // The unit in hand, and the first version that counts it or, if none does, `None`.
    let mut hand: Option<(UnitId, Option<u64>, bool)> = None;
    while let Some(record) = read.next()? {
        let Unit { id, said } = Unit::of_record(&record);
        let (kept, is_named) = match hand {
            Some((same, kept, is_named)) if same == id => (kept, is_named),
            _ => (None, false),
        };
        match said {
            Said::Kept(version) => {
                if let Some(first) = kept {
                    findings.push(counts_twice(store, id, first, version));
                }
                take(&mut runs, id, version);
                hand = Some((id, kept.or(Some(version)), true));
            }
            Said::LeftOut(version) => {
                if is_complete && kept.is_none_or(|kept| kept > version) {
                    findings.push(lost(store, id, version));
                }
                take(&mut runs, id, version);
                hand = Some((id, kept, true));
            }
            Said::Asked(question) => {
                if !is_named {
                    answers.unheld.insert(question);
                }
                hand = Some((id, kept, is_named));
            }
        }
    }
    let done = |(span, run): ((u64, u64), Run)| (span, (run.hasher.finish(), run.units));
    answers.runs = runs.into_iter().map(done).collect();
    Ok(answers)
}

/// Gives a unit to the runs over a version.
fn take(runs: &mut BTreeMap<(u64, u64), Run>, id: UnitId, version: u64) {
    let mut span = RUN_FANOUT;
    loop {
        let first = version - version % span;
        // A shorter run that is not due means that no longer one is.
        let Some(run) = runs.get_mut(&(first, first + (span - 1))) else { return };
        if run.last != Some(id) {
            run.hasher.update(id.0.as_bytes());
            run.units += 1;
            run.last = Some(id);
        }
        let Some(next) = span.checked_mul(RUN_FANOUT) else { return };
        span = next;
    }
}

fn counts_twice(store: &Store, unit: UnitId, first: u64, second: u64) -> Finding {
    Finding::new(Code::UnitTwice, store.object_url(&layout::commit_key(second)))
        .version(Some(second))
        .differs(format!("unit {unit} only in version {first}"), "the unit again")
        .detail("its rows count twice")
}

fn lost(store: &Store, unit: UnitId, version: u64) -> Finding {
    Finding::new(Code::UnitLost, store.object_url(&layout::commit_key(version)))
        .version(Some(version))
        .differs(format!("unit {unit}, or an earlier commit with it"), "neither")
        .detail("rows that were acknowledged are not in the archive")
}
