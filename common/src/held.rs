//! The held index: which units the manifests of all commits ever named.
//!
//! A run is the sorted, distinct unit ids (32 bytes each, nothing else) of the manifests of the
//! versions `first` to `last`. Runs are derived data: a reader without one reads the manifests.

use std::collections::BTreeSet;

use crate::Sha256Digest;
use crate::error::FormatError;
use crate::ids::UnitId;

/// Versions merged into one run of the next level.
pub const RUN_FANOUT: u64 = 16;

/// Longest run, in versions: 16 to the fourth power.
const RUN_VERSIONS_MAX: u64 = RUN_FANOUT * RUN_FANOUT * RUN_FANOUT * RUN_FANOUT;

/// The runs a sealer writes after sealing `version`, shortest first, as (first, last) versions:
/// one of 16 versions after each 16, one of 256 after each 256, and so on.
pub fn runs_due(version: u64) -> Vec<(u64, u64)> {
    let mut due = Vec::new();
    let mut span = RUN_FANOUT;
    while span <= RUN_VERSIONS_MAX && (version + 1).is_multiple_of(span) {
        due.push((version + 1 - span, version));
        span *= RUN_FANOUT;
    }
    due
}

/// Picks, from the runs that exist, a cover of versions 0 to `through`: at each version the
/// longest run that starts there and does not pass `through`. Versions without a run come back
/// singly as `None`, to be read from their manifests.
pub fn cover(runs: &[(u64, u64)], through: u64) -> Vec<(u64, u64, Option<usize>)> {
    let mut picked = Vec::new();
    let mut version = 0;
    while version <= through {
        let best = runs
            .iter()
            .enumerate()
            .filter(|(_, (first, last))| *first == version && *last <= through)
            .max_by_key(|(_, (_, last))| *last);
        let (last, index) = best.map_or((version, None), |(i, (_, last))| (*last, Some(i)));
        picked.push((version, last, index));
        version = last + 1;
    }
    picked
}

/// Bytes of a run: the ids sorted, each once.
pub fn encode(ids: &BTreeSet<UnitId>) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.0.as_bytes()).collect()
}

/// Reads a run.
///
/// # Errors
/// If the length is no multiple of 32 or the ids are not strictly ascending.
pub fn decode(name: &str, bytes: &[u8]) -> Result<BTreeSet<UnitId>, FormatError> {
    let (ids, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(FormatError::new(name, "a multiple of 32 bytes", bytes.len().to_string()));
    }
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(FormatError::new(name, "ids in ascending order", hex::encode(pair[1])));
    }
    Ok(ids.iter().map(|id| UnitId(Sha256Digest::from_bytes(*id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_every_version_once() {
        let mut runs = Vec::new();
        for version in 0..600 {
            runs.extend(runs_due(version));
            let cover = cover(&runs, version);
            let mut next = 0;
            for (first, last, _) in &cover {
                assert_eq!(*first, next);
                next = last + 1;
            }
            assert_eq!(next, version + 1);
            assert!(cover.len() < 3 * 16, "{version}: {}", cover.len());
        }
    }

    #[test]
    fn a_run_reads_back_and_disorder_is_refused() {
        let ids: BTreeSet<UnitId> = (0u8..9).map(|i| UnitId(Sha256Digest::of(&[i]))).collect();
        let bytes = encode(&ids);
        assert_eq!(decode("run", &bytes).unwrap(), ids);
        let mut swapped = bytes[32..].to_vec();
        swapped.extend_from_slice(&bytes[..32]);
        assert!(decode("run", &swapped).is_err());
        assert!(decode("run", &bytes[1..]).is_err());
    }
}
