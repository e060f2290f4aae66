//! Every bound of the format, with unit and reason, and the relations between them.

/// Largest part a long input is cut into, in bytes after decompression. Small, so that a file
/// that grew repeats little, and that the parts of one delivery can be hashed side by side.
pub const PART_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most parts of a file or stream in one delivery: 64 MiB, large enough that a segment compresses
/// well, small enough that a 512 MB function holds one with its columns.
pub const DELIVERY_PARTS_MAX: usize = 8;

/// Most bytes of parts in one delivery.
pub const DELIVERY_PARTS_BYTES_MAX: usize = DELIVERY_PARTS_MAX * PART_BYTES_MAX;

/// Largest single record a parser is given, in bytes. A Kubernetes object is at most 1.5 MB, and
/// an audit event holds two of them and a patch; beyond that a record is quarantined whole.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Deepest nesting of a record. Real records stay below 12.
pub const RECORD_DEPTH_MAX: usize = 64;

/// Most fields a record may have at its top level. Real records stay below 100; the bound keeps
/// the search for duplicate keys cheap.
pub const RECORD_FIELDS_MAX: usize = 1024;

/// Most units in one delivery: a Kinesis batch is at most 10,000 records.
pub const DELIVERY_UNITS_MAX: usize = 10_000;

/// Most event dates one delivery may touch; records of further dates are quarantined, so that a
/// hostile sender can not make one delivery write thousands of files.
pub const DELIVERY_DATES_MAX: usize = 64;

/// How far event time may lie ahead of ingest time, in microseconds: one day covers every clock
/// that is merely wrong about its time zone.
pub const FUTURE_SKEW_MICROS_MAX: i64 = 86_400_000_000;

/// Earliest event time accepted, in microseconds: 2000-01-01, before any service mesh.
pub const EVENT_TIME_MICROS_MIN: i64 = 946_684_800_000_000;

/// Largest manifest a reader loads, in bytes: 10,000 units on 64 dates with rows each, and room.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest commit a reader loads, in bytes.
pub const COMMIT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Most manifests sealed into one commit; keeps a commit near 10 MB and a sealer's run bounded.
pub const SEAL_MANIFESTS_MAX: usize = 1_000;

/// Longest string, in bytes, that file statistics keep as minimum or maximum. A longer one is
/// left out, since cutting a maximum would make it wrong.
pub const STATS_STRING_BYTES_MAX: usize = 256;

/// Largest Parquet file, in bytes, that ingest writes as one PUT; S3 allows 5 GiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const _: () = assert!(RECORD_BYTES_MAX <= PART_BYTES_MAX);
