//! Checks that a commit follows from its manifests: each file it adds is claimed by one of them.

use std::collections::BTreeMap;

use common::commit::{ManifestRef, add_action, parse_add};
use common::layout;
use common::manifest::{FileEntry, Manifest};
use common::{SegmentId, UnitId};

use super::finding::{Code, Finding};
use crate::snapshot::{Kept, KeptRejects, kept_rejects, kept_rows};
use crate::store::Store;

/// The files a commit adds that no manifest has claimed yet.
pub(super) struct Claims<'a> {
    store: &'a Store,
    version: u64,
    adds: BTreeMap<&'a str, &'a FileEntry>,
    /// A manifest could not be read, so that what is left over proves nothing.
    has_given_up: bool,
}

impl<'a> Claims<'a> {
    pub(super) fn new(store: &'a Store, version: u64, adds: &'a [FileEntry]) -> Self {
        let adds = adds.iter().map(|file| (file.path.as_str(), file)).collect();
        Self { store, version, adds, has_given_up: false }
    }

    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }

    /// Lets a manifest claim its files.
    pub(super) fn claim(&mut self, named: &ManifestRef, manifest: &Manifest) -> Vec<Finding> {
        let mut findings = self.claim_quarantine(named, manifest);
        let Some(units) = &named.units_kept else {
            for file in &manifest.files {
                findings.extend(self.claim_whole(file));
            }
            return findings;
        };
        if units.windows(2).any(|pair| pair[0] >= pair[1])
            || units.last().is_none_or(|last| *last >= manifest.units.len())
        {
            findings.push(
                self.finding(Code::ManifestFormat, &layout::manifest_key(named.delivery))
                    .differs("ascending indexes of its units", "units_kept with others"),
            );
            return findings;
        }
        let kept: Vec<UnitId> =
            units.iter().filter_map(|&i| manifest.units.get(i)).map(|unit| unit.id).collect();
        let rows = kept_rows(manifest, units);
        for file in &manifest.files {
            match rows.get(file.path.as_str()) {
                Some(Kept::All) => findings.extend(self.claim_whole(file)),
                Some(Kept::Ranges(ranges)) => {
                    let rows = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
                    findings.extend(self.claim_rewritten(file, &kept, rows));
                }
                None => {}
            }
        }
        findings
    }

    /// What is left: files that the commit adds of its own accord.
    pub(super) fn unclaimed(self) -> Vec<Finding> {
        if self.has_given_up {
            return Vec::new();
        }
        self.adds
            .values()
            .map(|file| {
                self.finding(Code::ManifestFormat, &file.path)
                    .differs("a manifest of this commit that names it", "none")
                    .times(Some((file.event_time_micros_min, file.event_time_micros_max)))
                    .detail("the commit adds rows that no delivery brought")
            })
            .collect()
    }

    fn finding(&self, code: Code, key: &str) -> Finding {
        Finding::new(code, self.store.object_url(key)).version(Some(self.version))
    }

    fn claim_whole(&mut self, file: &FileEntry) -> Option<Finding> {
        let times = Some((file.event_time_micros_min, file.event_time_micros_max));
        let Some(add) = self.adds.remove(file.path.as_str()) else {
            return Some(
                self.finding(Code::ManifestFormat, &file.path)
                    .differs("an add in the commit of its manifest", "none")
                    .times(times)
                    .detail("rows of a sealed delivery are not in the table"),
            );
        };
        let expected = as_committed(file);
        if expected.as_ref() == Some(add) {
            return None;
        }
        let (expected, found) = difference(&expected.unwrap_or_else(|| file.clone()), add);
        Some(
            self.finding(Code::Stats, &file.path)
                .differs(expected, found)
                .times(times)
                .detail("commit and manifest describe the file differently"),
        )
    }

    fn claim_rewritten(&mut self, file: &FileEntry, kept: &[UnitId], rows: u64) -> Option<Finding> {
        let segment = SegmentId::of_kept_units(file.segment, kept);
        let found = self
            .adds
            .values()
            .find(|add| add.segment == segment && add.event_date == file.event_date)
            .map(|add| (add.path.as_str(), add.rows));
        match found {
            Some((path, found)) => {
                self.adds.remove(path);
                (found != rows).then(|| {
                    self.finding(Code::FileRows, path).differs(format!("{rows} rows"), found)
                })
            }
            None => Some(
                self.finding(Code::ManifestFormat, &file.path)
                    .differs(format!("an add with segment {segment} for its new units"), "none")
                    .times(Some((file.event_time_micros_min, file.event_time_micros_max))),
            ),
        }
    }

    fn claim_quarantine(&self, named: &ManifestRef, manifest: &Manifest) -> Vec<Finding> {
        let all = KeptRejects::All;
        let kept = named.units_kept.as_ref().map_or(all, |units| kept_rejects(manifest, units));
        let key = layout::manifest_key(named.delivery);
        let rows = |entries: &[common::manifest::QuarantineEntry]| -> u64 {
            entries.iter().fold(0, |rows, entry| rows.saturating_add(entry.rows))
        };
        let expected = match kept {
            KeptRejects::None => 0,
            KeptRejects::All if named.quarantine == manifest.quarantine => return Vec::new(),
            KeptRejects::All => rows(&manifest.quarantine),
            KeptRejects::Units(units) => manifest
                .units
                .iter()
                .filter(|unit| units.contains(&unit.id))
                .fold(0, |rejects: u64, unit| rejects.saturating_add(unit.rejects)),
        };
        let found = rows(&named.quarantine);
        if expected == found && named.units_kept.is_some() {
            return Vec::new();
        }
        vec![
            self.finding(Code::ManifestFormat, &key)
                .differs(
                    format!("{expected} rejects as in the manifest"),
                    format!("{found} rejects"),
                )
                .detail("the commit names other quarantine files than its manifest"),
        ]
    }
}

/// A file's description as a commit carries it: time bounds in statistics rounded outwards.
pub(super) fn as_committed(file: &FileEntry) -> Option<FileEntry> {
    parse_add(add_action(file, 0)).ok()
}

/// The first thing in which two descriptions differ.
pub(super) fn difference(expected: &FileEntry, found: &FileEntry) -> (String, String) {
    let scalar = |file: &FileEntry| {
        format!(
            "{} bytes, {} rows, segment {}, event time {} to {}, row root {}, SHA-256 {}",
            file.bytes,
            file.rows,
            file.segment,
            file.event_time_micros_min,
            file.event_time_micros_max,
            file.row_root,
            file.sha256
        )
    };
    if scalar(expected) != scalar(found) {
        return (scalar(expected), scalar(found));
    }
    let names = expected.stats.keys().chain(found.stats.keys());
    for name in names {
        let (a, b) = (expected.stats.get(name), found.stats.get(name));
        if a != b {
            return (format!("{name}: {a:?}"), format!("{name}: {b:?}"));
        }
    }
    ("the same description".to_owned(), "another".to_owned())
}
