//! Every object key of an archive, built and parsed. Nothing else builds a key.
//!
//! Keys are relative to the archive URL or, where said so, to the work URL.

use tlog::tile::Tile;

use crate::date::EventDate;
use crate::digest::Sha256Digest;
use crate::ids::DeliveryId;

/// Prefix of the Delta commits.
pub const LOG_PREFIX: &str = "_delta_log/";
/// Where other engines look for the newest Delta checkpoint: a hint, which nobody has to believe.
pub const LAST_CHECKPOINT_KEY: &str = "_delta_log/_last_checkpoint";
/// Prefix of the ledger.
pub const LEDGER_PREFIX: &str = "_ledger/";
/// The latest checkpoint, the one object of an archive that is ever replaced.
pub const CHECKPOINT_KEY: &str = "_ledger/checkpoint";
/// Prefix of what was signed, an object for each signature.
pub const CHECKPOINTS_PREFIX: &str = "_ledger/checkpoints/";
/// Prefix of signed statements, such as that another key signs.
pub const STATEMENTS_PREFIX: &str = "_ledger/statements/";
/// Prefix of the ledger's tiles and bundles.
pub const TILES_PREFIX: &str = "_ledger/tile/";
/// Prefix, in the place of locks, of what a sealer is about to sign.
pub const LOCK_PREFIX: &str = "lock/";
/// Prefix of sealed manifests.
pub const MANIFESTS_PREFIX: &str = "manifests/";
/// Prefix of event files.
pub const DATA_PREFIX: &str = "data/";
/// Prefix of index files.
pub const INDEX_PREFIX: &str = "index/";
/// Prefix of runs of the held index.
pub const HELD_PREFIX: &str = "index/held/";
/// Prefix of quarantine files.
pub const QUARANTINE_PREFIX: &str = "quarantine/";
/// Prefix, under the work URL, of manifests that wait for a seal.
pub const INBOX_PREFIX: &str = "inbox/";
/// Prefix, under the work URL, of manifests that failed a sealer's checks.
pub const REFUSED_PREFIX: &str = "refused/";
/// Prefix, under the work URL, of answers too long to be handed over.
pub const RESULTS_PREFIX: &str = "results/";

/// Key of the commit of a version: `_delta_log/<20 digits>.json`.
pub fn commit_key(version: u64) -> String {
    format!("{LOG_PREFIX}{version:020}.json")
}

/// Key of the Delta checkpoint of a version: `_delta_log/<20 digits>.checkpoint.parquet`.
pub fn delta_checkpoint_key(version: u64) -> String {
    format!("{LOG_PREFIX}{version:020}.checkpoint.parquet")
}

/// Key of an event file: `data/event_date=YYYY-MM-DD/<sha256>.parquet`.
pub fn data_key(date: EventDate, digest: Sha256Digest) -> String {
    format!("{DATA_PREFIX}event_date={date}/{digest}.parquet")
}

/// Key of a quarantine file: `quarantine/<sha256>.parquet`.
pub fn quarantine_key(digest: Sha256Digest) -> String {
    format!("{QUARANTINE_PREFIX}{digest}.parquet")
}

/// Key of a sealed manifest: `manifests/<delivery id>.json`.
pub fn manifest_key(delivery: DeliveryId) -> String {
    format!("{MANIFESTS_PREFIX}{delivery}.json")
}

/// Key, under the work URL, of a waiting manifest: `inbox/<delivery id>.json`.
pub fn inbox_key(delivery: DeliveryId) -> String {
    format!("{INBOX_PREFIX}{delivery}.json")
}

/// Key, under the work URL, of a refused manifest: `refused/<delivery id>-<sha256>.json`; the
/// digest keeps two refused manifests of one delivery apart.
pub fn refused_key(delivery: DeliveryId, digest: Sha256Digest) -> String {
    format!("{REFUSED_PREFIX}{delivery}-{digest}.json")
}

/// Key, under the work URL, of a commit that was never signed and had to give way:
/// `refused/commit-<20 digits>-<sha256>.json`.
pub fn refused_commit_key(version: u64, digest: Sha256Digest) -> String {
    format!("{REFUSED_PREFIX}commit-{version:020}-{digest}.json")
}

/// Key of a run of the held index over versions `first` to `last`:
/// `index/held/<20 digits>-<20 digits>-<sha256>.bin`.
pub fn held_key(first: u64, last: u64, digest: Sha256Digest) -> String {
    format!("{HELD_PREFIX}{first:020}-{last:020}-{digest}.bin")
}

/// Key of a tile or a bundle of the ledger: `_ledger/tile/…`, C2SP tlog-tiles.
pub fn tile_key(tile: Tile) -> String {
    format!("{LEDGER_PREFIX}{tile}")
}

/// Key of a signature over the checkpoint of a size:
/// `_ledger/checkpoints/<20 digits>/<key id, 8 hex digits>`.
pub fn signature_key(size: u64, key_id: [u8; 4]) -> String {
    format!("{CHECKPOINTS_PREFIX}{size:020}/{}", hex::encode(key_id))
}

/// Key of a signed statement: `_ledger/statements/<sha256>`.
pub fn statement_key(digest: Sha256Digest) -> String {
    format!("{STATEMENTS_PREFIX}{digest}")
}

/// Prefix of the signatures over the checkpoint of a size.
pub fn signatures_prefix(size: u64) -> String {
    format!("{CHECKPOINTS_PREFIX}{size:020}/")
}

/// A key behind those of all signatures over the checkpoints of sizes up to this one.
pub fn signatures_end(size: u64) -> String {
    // Key ids are of digits and of letters to f.
    format!("{}g", signatures_prefix(size))
}

/// Key, in the place of locks, of the root that is signed for a size: `lock/<20 digits>`.
pub fn lock_key(size: u64) -> String {
    format!("{LOCK_PREFIX}{size:020}")
}

/// Key, in the place of locks, of the public key that began the ledger.
pub const BEGUN_KEY: &str = "lock/begun";

/// The size a lock's key names.
pub fn parse_lock(key: &str) -> Option<u64> {
    version_of(key.strip_prefix(LOCK_PREFIX)?)
}

/// What an object of the archive URL is, by its key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A Delta commit and its version.
    Commit(u64),
    /// A Delta checkpoint and its version.
    DeltaCheckpoint(u64),
    /// The hint at a Delta checkpoint.
    LastCheckpoint,
    /// A sealed manifest.
    Manifest(DeliveryId),
    /// An event file.
    Data(EventDate, Sha256Digest),
    /// A quarantine file.
    Quarantine(Sha256Digest),
    /// A run of the held index: first version, last version, digest.
    Held(u64, u64, Sha256Digest),
    /// The latest checkpoint.
    Checkpoint,
    /// A signature over the checkpoint of a size, and its key's id.
    Signature(u64, [u8; 4]),
    /// A signed statement, named by its digest.
    Statement(Sha256Digest),
    /// A tile or a bundle of the ledger.
    Tile(Tile),
    /// A name this format does not have.
    Unknown,
}

/// Reads a key of the archive URL.
pub fn parse(key: &str) -> Place {
    parse_known(key).unwrap_or(Place::Unknown)
}

fn parse_known(key: &str) -> Option<Place> {
    if let Some(name) = key.strip_prefix(LOG_PREFIX) {
        if key == LAST_CHECKPOINT_KEY {
            return Some(Place::LastCheckpoint);
        }
        if let Some(version) = name.strip_suffix(".checkpoint.parquet") {
            return version_of(version).map(Place::DeltaCheckpoint);
        }
        return version_of(name.strip_suffix(".json")?).map(Place::Commit);
    }
    if let Some(name) = key.strip_prefix(MANIFESTS_PREFIX) {
        return name.strip_suffix(".json")?.parse().ok().map(Place::Manifest);
    }
    if let Some(name) = key.strip_prefix(DATA_PREFIX) {
        let (date, file) = name.strip_prefix("event_date=")?.split_once('/')?;
        let digest = file.strip_suffix(".parquet")?.parse().ok()?;
        return Some(Place::Data(date.parse().ok()?, digest));
    }
    if let Some(name) = key.strip_prefix(QUARANTINE_PREFIX) {
        return name.strip_suffix(".parquet")?.parse().ok().map(Place::Quarantine);
    }
    if let Some(name) = key.strip_prefix(LEDGER_PREFIX) {
        return parse_ledger(key, name);
    }
    let mut parts = key.strip_prefix(HELD_PREFIX)?.strip_suffix(".bin")?.splitn(3, '-');
    let (first, last) = (version_of(parts.next()?)?, version_of(parts.next()?)?);
    Some(Place::Held(first, last, parts.next()?.parse().ok()?))
}

fn parse_ledger(key: &str, name: &str) -> Option<Place> {
    if key == CHECKPOINT_KEY {
        return Some(Place::Checkpoint);
    }
    if let Some(signature) = key.strip_prefix(CHECKPOINTS_PREFIX) {
        let (size, key_id) = signature.split_once('/')?;
        let size = version_of(size)?;
        let key_id = hex::decode(key_id).ok()?.try_into().ok()?;
        // Whatever is written in another way is another key.
        return (signature_key(size, key_id) == key).then_some(Place::Signature(size, key_id));
    }
    if let Some(digest) = key.strip_prefix(STATEMENTS_PREFIX) {
        return digest.parse().ok().map(Place::Statement);
    }
    Tile::parse(name).ok().map(Place::Tile)
}

/// The delivery a waiting manifest's key names.
pub fn parse_inbox(key: &str) -> Option<DeliveryId> {
    key.strip_prefix(INBOX_PREFIX)?.strip_suffix(".json")?.parse().ok()
}

fn version_of(digits: &str) -> Option<u64> {
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_key_parses_back_and_near_misses_do_not() {
        let digest = Sha256Digest::of(b"x");
        let date = EventDate::of_micros(1_793_614_531_000_000);
        assert_eq!(parse(&commit_key(7)), Place::Commit(7));
        assert_eq!(parse(&delta_checkpoint_key(7)), Place::DeltaCheckpoint(7));
        assert_eq!(parse("_delta_log/_last_checkpoint"), Place::LastCheckpoint);
        assert_eq!(parse(&manifest_key(DeliveryId(digest))), Place::Manifest(DeliveryId(digest)));
        assert_eq!(parse(&data_key(date, digest)), Place::Data(date, digest));
        assert_eq!(parse(&quarantine_key(digest)), Place::Quarantine(digest));
        assert_eq!(parse(&held_key(0, 15, digest)), Place::Held(0, 15, digest));
        let tile = Tile { of: tlog::tile::Of::Hashes(1), index: 1_234, width: 17 };
        assert_eq!(tile_key(tile), "_ledger/tile/1/x001/234.p/17");
        assert_eq!(parse(&tile_key(tile)), Place::Tile(tile));
        assert_eq!(parse(CHECKPOINT_KEY), Place::Checkpoint);
        let signature = signature_key(9, [0xab, 0, 1, 2]);
        assert_eq!(signature, "_ledger/checkpoints/00000000000000000009/ab000102");
        assert_eq!(parse(&signature), Place::Signature(9, [0xab, 0, 1, 2]));
        assert_eq!(parse(&statement_key(digest)), Place::Statement(digest));
        assert!(signature_key(9, [0xff; 4]) < signatures_end(9));
        assert!(signatures_end(9) < signature_key(10, [0; 4]));
        assert_eq!(parse_lock(&lock_key(7)), Some(7));
        assert_eq!(parse_lock(BEGUN_KEY), None);
        assert_eq!(parse_inbox(&inbox_key(DeliveryId(digest))), Some(DeliveryId(digest)));
        for stray in [
            "_delta_log/7.json",
            "_delta_log/7.checkpoint.parquet",
            "_delta_log/00000000000000000007.checkpoint.0000000001.0000000002.parquet",
            "_delta_log/00000000000000000007.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            "_delta_log/00000000000000000000.00000000000000000007.compacted.json",
            "_delta_log/00000000000000000007.crc",
            "_delta_log/_sidecars/a.parquet",
            "_delta_log/_last_checkpoint/",
            "data/event_date=2026-02-30/00.parquet",
            "data/readme.txt",
            "data/event_date=2026-11-02/sub/x.parquet",
            "_ledger/checkpoint/",
            "_ledger/checkpoints/9/ab000102",
            "_ledger/checkpoints/00000000000000000009/AB000102",
            "_ledger/checkpoints/00000000000000000009/ab0001",
            "_ledger/tile/1/1",
            "_ledger/other",
            "",
        ] {
            assert_eq!(parse(stray), Place::Unknown, "{stray}");
        }
    }
}
