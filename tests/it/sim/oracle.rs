//! What must be true of every answer, in plain sets, with no word of how it comes about.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use archive::Mode;

use super::unit::Unit;

/// What was known when a read began.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    mode: Mode,
    /// Units that were acknowledged.
    acknowledged: BTreeSet<usize>,
    /// Records that a strict answer had shown.
    sealed: BTreeSet<String>,
    /// Records that had been taken out of the table.
    expired: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Known {
    acknowledged: BTreeSet<usize>,
    sealed: BTreeSet<String>,
    /// Records that somebody is taking out of the table: there or not there.
    expiring: BTreeSet<String>,
    expired: BTreeSet<String>,
    broken: Option<String>,
}

/// The judge; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    units: Arc<Vec<Unit>>,
    known: Arc<Mutex<Known>>,
}

impl Oracle {
    pub(super) fn new(units: Arc<Vec<Unit>>) -> Self {
        Self { units, known: Arc::default() }
    }

    /// A function said that these are archived.
    pub(super) fn acknowledge(&self, units: &[usize]) {
        self.known.lock().unwrap().acknowledged.extend(units);
    }

    pub(super) fn begin(&self, mode: Mode) -> Begun {
        let known = self.known.lock().unwrap();
        Begun {
            mode,
            acknowledged: known.acknowledged.clone(),
            sealed: known.sealed.clone(),
            expired: known.expired.clone(),
        }
    }

    /// Somebody is about to take these out of the table.
    pub(super) fn expiring(&self, names: &[String]) {
        self.known.lock().unwrap().expiring.extend(names.iter().cloned());
    }

    /// These were taken out, and must never come back.
    pub(super) fn expired(&self, names: &[String]) {
        self.known.lock().unwrap().expired.extend(names.iter().cloned());
    }

    /// Judges an answer: the names of the records it shows.
    pub(super) fn judge(&self, begun: &Begun, names: &[String]) {
        match self.wrong(begun, names) {
            Some(wrong) => self.broken(wrong),
            None if begun.mode == Mode::Strict => {
                self.known.lock().unwrap().sealed.extend(names.iter().cloned());
            }
            None => {}
        }
    }

    fn wrong(&self, begun: &Begun, names: &[String]) -> Option<String> {
        let mode = begun.mode;
        let shown: BTreeSet<&String> = names.iter().collect();
        if shown.len() != names.len() {
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            return Some(format!("{mode:?}: twice: {twice:?}"));
        }
        if let Some(back) = begun.expired.iter().find(|name| shown.contains(name)) {
            return Some(format!("{mode:?}: {back} was taken out, and is back"));
        }
        let may_lack = self.known.lock().unwrap().expiring.clone();
        let is_gone = |name: &&String| !shown.contains(name) && !may_lack.contains(*name);
        if let Some(gone) = begun.sealed.iter().find(is_gone) {
            return Some(format!("{mode:?}: {gone} was in a strict answer before, and is gone"));
        }
        let mut known = 0;
        for (index, unit) in self.units.iter().enumerate() {
            known += unit.records.iter().filter(|name| shown.contains(name)).count();
            let kept: Vec<&String> =
                unit.records.iter().filter(|name| !may_lack.contains(*name)).collect();
            let there = kept.iter().filter(|name| shown.contains(*name)).count();
            if there != 0 && there != kept.len() {
                return Some(format!("{mode:?}: unit {index} is there in part: {names:?}"));
            }
            let must = mode == Mode::Fresh && begun.acknowledged.contains(&index);
            if must && there != kept.len() {
                return Some(format!("{mode:?}: unit {index} was acknowledged, and is not there"));
            }
        }
        (known != names.len()).then(|| format!("{mode:?}: records nobody sent: {names:?}"))
    }

    /// Judges the end, when everything was delivered and sealed: exactly the records of the
    /// distinct units.
    pub(super) fn judge_end(&self, names: &[String]) {
        let known = self.known.lock().unwrap();
        let sent: BTreeSet<&String> = self.units.iter().flat_map(|unit| &unit.records).collect();
        let shown: BTreeSet<&String> = names.iter().collect();
        let wrong: Vec<&&String> = sent
            .symmetric_difference(&shown)
            .filter(|name| !known.expiring.contains(**name))
            .chain(shown.iter().filter(|name| known.expired.contains(**name)))
            .collect();
        let is_wrong = !wrong.is_empty() || shown.len() != names.len();
        drop(known);
        if is_wrong {
            self.broken(format!("at the end: {wrong:?} of {sent:?}, found {names:?}"));
        }
    }

    /// Notes what must never happen; the first counts.
    pub(super) fn broken(&self, what: String) {
        self.known.lock().unwrap().broken.get_or_insert(what);
    }

    pub(super) fn verdict(&self) -> Option<String> {
        self.known.lock().unwrap().broken.clone()
    }
}
