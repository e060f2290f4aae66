//! The manifest: what one delivery was and which files hold it.
//!
//! It is one JSON object. A sealer and a reader take nothing from it on trust: lengths, digests
//! and row counts are checked against the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::date::EventDate;
use crate::digest::Sha256Digest;
use crate::error::{FormatError, check_format};
use crate::ids::{DeliveryId, SegmentId, UnitId};
use crate::layout;
use crate::stats::FileStats;

/// One delivery, its units and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Archive format: [`crate::FORMAT`].
    pub format: u32,
    /// SHA-256 of the units' ids in order.
    pub delivery: DeliveryId,
    /// Where the units came from.
    pub source: Source,
    /// Who wrote this manifest, and when.
    pub provenance: Provenance,
    /// The units, in delivery order, each once.
    pub units: Vec<Unit>,
    /// The event files, one a segment, in date order.
    pub files: Vec<FileEntry>,
    /// The quarantine files.
    pub quarantine: Vec<QuarantineEntry>,
    /// How many credentials each rule took out of the records; rules that took none are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<String, u64>,
}

/// What a manifest of any format says.
#[derive(Deserialize)]
struct Stated {
    format: Option<u64>,
}

/// Where a delivery's units came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `file`, `stdin`, later `kinesis`, `sqs_s3`, …
    pub transport: String,
    /// File name, object, shard; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport_ref: Option<String>,
    /// Cluster configured for this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Source format configured: `auto` or a `source_format`.
    pub format: String,
}

/// Who wrote a manifest, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Program and version.
    pub writer: String,
    /// When the delivery was received, microseconds since 1970 UTC.
    pub received_at_micros: i64,
}

/// One unit: its identity, its original bytes, and where its records went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The unit's id.
    pub id: UnitId,
    /// SHA-256 of the unit's original bytes, after decompression.
    pub sha256: Sha256Digest,
    /// Length of the unit's original bytes, after decompression.
    pub bytes: u64,
    /// Records that became rows.
    pub events: u64,
    /// Records in quarantine.
    pub rejects: u64,
    /// The unit's rows: at most one contiguous range a segment.
    pub rows: Vec<RowRange>,
}

/// A contiguous range of a segment's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowRange {
    /// The segment.
    pub segment: SegmentId,
    /// First `segment_row`.
    pub first: u64,
    /// Number of rows, at least 1.
    pub count: u64,
}

/// One event file of one segment, as manifests and commits describe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Key below the archive URL; contains date and digest.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
    /// Length of the file.
    pub bytes: u64,
    /// Rows in the file, at least 1.
    pub rows: u64,
    /// The segment whose rows these are.
    pub segment: SegmentId,
    /// The partition.
    pub event_date: EventDate,
    /// Smallest event time, microseconds since 1970 UTC.
    pub event_time_micros_min: i64,
    /// Largest event time, microseconds since 1970 UTC.
    pub event_time_micros_max: i64,
    /// Root over its rows, encoding [`crate::row::ENCODING`].
    pub row_root: Sha256Digest,
    /// Bounds and null counts of the columns that carry statistics.
    pub stats: FileStats,
    /// The version that the store gave to the object when it was put, if it keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One quarantine file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineEntry {
    /// Key below the archive URL.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
    /// Length of the file.
    pub bytes: u64,
    /// Rejected records in the file.
    pub rows: u64,
    /// How many for which reason.
    pub reasons: BTreeMap<String, u64>,
    /// The version that the store gave to the object when it was put, if it keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Longest version id, in bytes: S3's are no longer.
const VERSION_BYTES_MAX: usize = 1024;

/// A version id is visible ASCII, since it goes into requests.
fn check_version(path: &str, version: Option<&str>) -> Result<(), FormatError> {
    let is_id = |text: &str| {
        !text.is_empty()
            && text.len() <= VERSION_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match version.filter(|text| !is_id(text)) {
        None => Ok(()),
        Some(text) => {
            let found: String = text.chars().take(64).collect();
            Err(FormatError::new(path, "a version of 1 to 1,024 visible ASCII characters", found))
        }
    }
}

impl FileEntry {
    /// Checks that path, date and digest agree and the numbers make sense.
    ///
    /// # Errors
    /// Names the first field that contradicts another.
    pub fn check(&self) -> Result<(), FormatError> {
        let expected = layout::data_key(self.event_date, self.sha256);
        if self.path != expected {
            return Err(FormatError::new("file path", expected, &self.path));
        }
        if self.rows == 0 {
            return Err(FormatError::new(&self.path, "at least one row", "0 rows"));
        }
        let day = (
            EventDate::of_micros(self.event_time_micros_min),
            EventDate::of_micros(self.event_time_micros_max),
        );
        if self.event_time_micros_min > self.event_time_micros_max
            || day != (self.event_date, self.event_date)
        {
            let found = format!("{} to {}", self.event_time_micros_min, self.event_time_micros_max);
            return Err(FormatError::new(&self.path, "event times within event_date", found));
        }
        check_version(&self.path, self.version.as_deref())
    }
}

impl QuarantineEntry {
    /// Checks that path and digest agree.
    ///
    /// # Errors
    /// Names the path if it is not the digest's.
    pub fn check(&self) -> Result<(), FormatError> {
        let expected = layout::quarantine_key(self.sha256);
        if self.path != expected {
            return Err(FormatError::new("quarantine path", expected, &self.path));
        }
        check_version(&self.path, self.version.as_deref())
    }
}

impl Manifest {
    /// The manifest's bytes: compact JSON and a newline.
    ///
    /// # Errors
    /// Never for values this crate can hold; the error type is serde's.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest and checks it against itself and its name.
    ///
    /// # Errors
    /// Says which field is missing, unknown or contradicts another.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| {
            // Another format has other members, and that is what is wrong then.
            let stated = serde_json::from_slice::<Stated>(bytes).ok().map(|stated| stated.format);
            let of_format = |format| check_format("format", format).err();
            match stated.and_then(of_format) {
                Some(other) => other.within(name),
                None => FormatError::new(name, "a manifest", e.to_string()),
            }
        })?;
        manifest.check().map_err(|e| e.within(name))?;
        Ok(manifest)
    }

    /// Total rows over all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|f| f.rows).fold(0, u64::saturating_add)
    }

    /// Checks everything a manifest says about itself: the delivery id follows from the units,
    /// no unit twice, files well named, and the units' row ranges tile every segment exactly.
    ///
    /// # Errors
    /// Names the first contradiction.
    pub fn check(&self) -> Result<(), FormatError> {
        check_format("format", Some(self.format.into()))?;
        let derived = DeliveryId::of_units(self.units.iter().map(|u| &u.id));
        if derived != self.delivery {
            return Err(FormatError::new(
                "delivery",
                derived.to_string(),
                self.delivery.to_string(),
            ));
        }
        if self.units.is_empty() {
            return Err(FormatError::new("units", "at least one", "none"));
        }
        let mut ids: Vec<UnitId> = self.units.iter().map(|u| u.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|w| w[0] == w[1]) {
            return Err(FormatError::new("units", "each unit once", format!("{} twice", twice[0])));
        }
        self.files.iter().try_for_each(FileEntry::check)?;
        self.quarantine.iter().try_for_each(QuarantineEntry::check)?;
        self.check_rows()?;
        let rejects = self.units.iter().map(|u| u.rejects).fold(0, u64::saturating_add);
        let stored = self.quarantine.iter().map(|q| q.rows).fold(0, u64::saturating_add);
        if rejects != stored {
            return Err(FormatError::new(
                "quarantine rows",
                rejects.to_string(),
                stored.to_string(),
            ));
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<(), FormatError> {
        let mut next: BTreeMap<SegmentId, u64> = BTreeMap::new();
        for file in &self.files {
            // So a file is of one delivery, and no other can bring its rows again.
            let derived = SegmentId::of(self.delivery, file.event_date);
            if file.segment != derived {
                let (expected, found) = (derived.to_string(), file.segment.to_string());
                return Err(FormatError::new(format!("{} segment", file.path), expected, found));
            }
            if next.insert(file.segment, 0).is_some() {
                return Err(FormatError::new("files", "one file a segment", &file.path));
            }
        }
        for unit in &self.units {
            let mut events = 0u64;
            for range in &unit.rows {
                let place = format!("unit {} rows of segment {}", unit.id, range.segment);
                let Some(expected) = next.get_mut(&range.segment) else {
                    return Err(FormatError::new(place, "a segment of this manifest", "none"));
                };
                if range.first != *expected || range.count == 0 {
                    let found = format!("{} rows from {}", range.count, range.first);
                    return Err(FormatError::new(place, format!("rows from {expected}"), found));
                }
                *expected = expected.saturating_add(range.count);
                events = events.saturating_add(range.count);
            }
            if events != unit.events {
                let place = format!("unit {} events", unit.id);
                return Err(FormatError::new(place, events.to_string(), unit.events.to_string()));
            }
        }
        for file in &self.files {
            let covered = next.get(&file.segment).copied().unwrap_or(0);
            if covered != file.rows {
                return Err(FormatError::new(
                    format!("{} rows", file.path),
                    format!("{covered} (from the units)"),
                    file.rows.to_string(),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_another_format_is_refused_by_name() {
        let unit = UnitId::STREAM_START;
        let manifest = Manifest {
            format: crate::FORMAT,
            delivery: DeliveryId::of_units([&unit]),
            source: Source {
                transport: "file".to_owned(),
                transport_ref: None,
                cluster: None,
                format: "auto".to_owned(),
            },
            provenance: Provenance { writer: "w".to_owned(), received_at_micros: 0 },
            units: vec![Unit {
                id: unit,
                sha256: unit.0,
                bytes: 0,
                events: 0,
                rejects: 0,
                rows: Vec::new(),
            }],
            files: Vec::new(),
            quarantine: Vec::new(),
            redactions: BTreeMap::new(),
        };
        let text = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(Manifest::from_bytes("m", text.as_bytes()).unwrap(), manifest);
        let old = text.replace("\"format\":1,", "\"format\":0,");
        // Its files have fewer members than those of this format, or it has none.
        let with_file = old.replace("\"files\":[]", "\"files\":[{\"path\":\"p\"}]");
        for old in [old, with_file] {
            let error = Manifest::from_bytes("m", old.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("m: format: expected archive format 1, found format 0"));
        }
        let broken = text.replace("\"files\":[]", "\"files\":[{\"path\":\"p\"}]");
        let error = Manifest::from_bytes("m", broken.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("expected a manifest"), "{error}");
    }
}
