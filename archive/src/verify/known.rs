//! What log, manifests and inbox say there should be, as records that can be sorted: which
//! objects somebody names, and which commit holds a unit.

use common::date::EventDate;
use common::layout::{self, DATA_PREFIX, Place};
use common::{DeliveryId, Sha256Digest, UnitId};

use crate::error::ArchiveError;
use crate::sorted::Sorter;

/// Length of a [`Named`] as a record.
pub(super) const NAMED_BYTES: usize = 75;

/// Length of a [`Unit`] as a record.
pub(super) const UNIT_BYTES: usize = 41;

/// An object that somebody names, in the order in which a store lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// 0 data, 1 quarantine, 2 manifests.
    kind: u8,
    /// The date as the path has it, zeros behind it.
    date: [u8; 12],
    digest: [u8; 32],
}

impl Key {
    fn data(date: EventDate, digest: Sha256Digest) -> Self {
        let mut bytes = [0; 12];
        for (to, from) in bytes.iter_mut().zip(date.to_string().bytes()) {
            *to = from;
        }
        Self { kind: 0, date: bytes, digest: *digest.as_bytes() }
    }

    pub(super) const fn manifest(delivery: DeliveryId) -> Self {
        Self { kind: 2, date: [0; 12], digest: *delivery.0.as_bytes() }
    }

    /// The key of a path; `None` if it is another sort of object.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match layout::parse(path) {
            Place::Data(date, digest) => Some(Self::data(date, digest)),
            Place::Quarantine(digest) => {
                Some(Self { kind: 1, date: [0; 12], digest: *digest.as_bytes() })
            }
            Place::Manifest(delivery) => Some(Self::manifest(delivery)),
            _ => None,
        }
    }

    /// The path of the object.
    pub(super) fn path(&self) -> String {
        let digest = Sha256Digest::from_bytes(self.digest);
        match self.kind {
            0 => {
                let date = String::from_utf8_lossy(&self.date);
                let date = date.trim_end_matches('\0');
                format!("{DATA_PREFIX}event_date={date}/{digest}.parquet")
            }
            1 => layout::quarantine_key(digest),
            _ => layout::manifest_key(DeliveryId(digest)),
        }
    }

    pub(super) const fn is_quarantine(&self) -> bool {
        self.kind == 1
    }

    /// The delivery, if it is a manifest's.
    pub(super) fn delivery(&self) -> Option<DeliveryId> {
        (self.kind == 2).then(|| DeliveryId(Sha256Digest::from_bytes(self.digest)))
    }
}

/// That somebody names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) key: Key,
    /// The commit that does; of a waiting manifest's files the highest number there is.
    pub(super) version: u64,
    /// Whether its rows count by that commit, so that it must not be named so twice.
    pub(super) counts: bool,
    /// Event times of its rows.
    pub(super) times: Option<(i64, i64)>,
}

/// The version of what waits.
pub(super) const WAITING: u64 = u64::MAX;

impl Named {
    fn to_record(self) -> [u8; NAMED_BYTES] {
        let (first, last) = self.times.unwrap_or((i64::MAX, i64::MIN));
        let mut record = [0; NAMED_BYTES];
        let parts: [&[u8]; 7] = [
            &[self.key.kind],
            &self.key.date,
            &self.key.digest,
            &self.version.to_be_bytes(),
            &[u8::from(self.counts), 0, 0, 0, 0, 0],
            &first.to_be_bytes(),
            &last.to_be_bytes(),
        ];
        for (to, from) in record.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        record
    }

    pub(super) fn of_record(record: &[u8; NAMED_BYTES]) -> Self {
        let eight = |at: usize| -> [u8; 8] { part(record, at) };
        let times = (i64::from_be_bytes(eight(59)), i64::from_be_bytes(eight(67)));
        Self {
            key: Key { kind: record[0], date: part(record, 1), digest: part(record, 13) },
            version: u64::from_be_bytes(eight(45)),
            counts: record[53] == 1,
            times: (times.0 <= times.1).then_some(times),
        }
    }
}

/// What is said of a unit, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// It counts by the commit of this version.
    Kept(u64),
    /// The commit of this version left it out, as held by another.
    LeftOut(u64),
    /// The question of this number wants to know whether any commit names it.
    Asked(u64),
}

/// That somebody speaks of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) id: UnitId,
    pub(super) said: Said,
}

impl Unit {
    fn to_record(self) -> [u8; UNIT_BYTES] {
        let (sort, number) = match self.said {
            Said::Kept(version) => (0, version),
            Said::LeftOut(version) => (1, version),
            Said::Asked(question) => (2, question),
        };
        let mut record = [0; UNIT_BYTES];
        record[..32].copy_from_slice(self.id.0.as_bytes());
        record[32] = sort;
        record[33..].copy_from_slice(&number.to_be_bytes());
        record
    }

    pub(super) fn of_record(record: &[u8; UNIT_BYTES]) -> Self {
        let number = u64::from_be_bytes(part(record, 33));
        let said = match record[32] {
            0 => Said::Kept(number),
            1 => Said::LeftOut(number),
            _ => Said::Asked(number),
        };
        Self { id: UnitId(Sha256Digest::from_bytes(part(record, 0))), said }
    }
}

/// A part of a record.
fn part<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    record.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) named: Sorter<NAMED_BYTES>,
    pub(super) units: Sorter<UNIT_BYTES>,
}

impl Known {
    pub(super) fn name(&mut self, named: Named) -> Result<(), ArchiveError> {
        self.named.push(named.to_record())
    }

    pub(super) fn unit(&mut self, id: UnitId, said: Said) -> Result<(), ArchiveError> {
        self.units.push(Unit { id, said }.to_record())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_sort_as_a_store_lists() {
        let digest = |text: &str| Sha256Digest::of(text.as_bytes());
        let mut paths: Vec<String> = Vec::new();
        for (n, micros) in [(0, 0), (1, 1_793_614_531_000_000), (2, 1_793_624_531_000_000)] {
            let date = EventDate::of_micros(micros);
            paths.push(layout::data_key(date, digest(&n.to_string())));
            paths.push(layout::data_key(date, digest(&(n + 10).to_string())));
            paths.push(layout::quarantine_key(digest(&n.to_string())));
        }
        let rank = |path: &str| (u8::from(path.starts_with('q')), path.to_owned());
        paths.sort_by_key(|path| rank(path));
        let keys: Vec<Key> = paths.iter().map(|path| Key::of_path(path).unwrap()).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().map(Key::path).collect::<Vec<_>>(), paths);
        for (key, times) in keys.into_iter().zip([None, Some((-5, 7)), Some((3, 3))]) {
            let named = Named { key, version: 300, counts: times.is_some(), times };
            assert_eq!(Named::of_record(&named.to_record()), named);
        }
        let all = [Said::Kept(9), Said::LeftOut(3), Said::Asked(0)];
        let units = all.map(|said| Unit { id: UnitId(digest("u")), said });
        let records = units.map(Unit::to_record);
        assert!(records.is_sorted());
        assert_eq!(records.each_ref().map(Unit::of_record), units);
        let delivery = DeliveryId(digest("d"));
        assert_eq!(Key::manifest(delivery).delivery(), Some(delivery));
        assert_eq!(Key::of_path("_delta_log/x"), None);
    }
}
