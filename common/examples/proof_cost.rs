//! What a proof of an event costs: its bytes, and the time to check it, by the number of commits.
//!
//! `cargo run --release -p meshledger-common --example proof_cost`; figures in bench/RESULTS.md.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures")]

use std::hint::black_box;
use std::time::Instant;

use meshledger_common::date::EventDate;
use meshledger_common::ledger::{Entry, SegmentLeaf};
use meshledger_common::proof::{self, EventProof};
use meshledger_common::row::{self, RowKey, RowSeed, Salts, push_number, push_text};
use meshledger_common::schema::COLUMNS;
use meshledger_common::schema::ColumnType;
use meshledger_common::{DeliveryId, SegmentId, Sha256Digest};
use tlog::note::{Algorithm, Note, SeedSigner};
use tlog::policy::Policy;
use tlog::proof::Proof;
use tlog::tile::Whole;
use tlog::{Checkpoint, Hash};

const ROWS: u64 = 65_536;
const SEGMENTS: u64 = 8;
const BATCHES: u32 = 2_000;
const ROUNDS: u32 = 5;

/// A row of 62 fields and about 900 bytes, as an Istio record becomes.
fn fields() -> (Vec<u8>, Vec<u8>) {
    let (mut shared, mut own) = (Vec::new(), Vec::new());
    for (column, described) in COLUMNS.iter().enumerate().take(90) {
        let bytes = match row::group(column) {
            Some(row::Group::Shared) => &mut shared,
            Some(row::Group::Own) => &mut own,
            None => continue,
        };
        match described.kind {
            ColumnType::Utf8 => push_text(bytes, column, b"some-text-of-21-bytes"),
            ColumnType::Int32 | ColumnType::Int64 => push_number(bytes, column, 200),
            ColumnType::Timestamp => push_number(bytes, column, 1_793_614_531_004_321),
            ColumnType::Boolean | ColumnType::ListUtf8 => {}
        }
        if shared.len() + own.len() > 900 {
            break;
        }
    }
    (shared, own)
}

fn main() {
    let (shared, own) = fields();
    let event_date = EventDate::of_micros(1_793_614_531_004_321);
    let segment = SegmentId::of(DeliveryId(Sha256Digest::of(b"delivery")), event_date);
    let mut salts = Salts::new(RowKey::of_segment(RowSeed::new([7; 32]), segment));
    let digest = Sha256Digest::of(&shared);
    let salts: Vec<_> = (0..ROWS).map(|_| salts.next_salt()).collect();
    let rows = Whole::new(salts.iter().map(|salt| row::leaf(*salt, digest, &own)).collect());
    let root = rows.root_at(ROWS).unwrap();
    let row_root = Sha256Digest::from_bytes(*root.as_bytes());
    let leaf = SegmentLeaf { segment, rows: ROWS, row_root };
    let segments = Whole::new((0..SEGMENTS).map(|_| leaf.leaf()).collect());
    let signer = SeedSigner::new("archive.example/mesh/7f", Algorithm::Ed25519, [1; 32]).unwrap();
    let policy = Policy::of_log(signer.public().clone());
    println!("the row has {} bytes in its fields", shared.len() + own.len());
    println!("| commits | bytes | hashes | check, signature and all | without a policy |");
    for commits in [1, 100, 10_000, 1_000_000_u64] {
        let entry = |version| Entry {
            segments: SEGMENTS,
            segments_root: segments.root_at(SEGMENTS).unwrap(),
            ..Entry::of_commit(version, b"a commit", &[])
        };
        let tree = Whole::new((0..commits).map(|version| entry(version).leaf()).collect());
        let version = commits / 3;
        let row = ROWS / 3;
        let event = EventProof {
            entry: entry(version),
            segment_index: 3,
            segment_path: segments.prove_inclusion(3, SEGMENTS).unwrap(),
            segment: leaf,
            row,
            row_path: rows.prove_inclusion(row, ROWS).unwrap(),
            salt: salts[usize::try_from(row).unwrap()],
            shared: shared.clone(),
            own: own.clone(),
        };
        let root = tree.root_at(commits).unwrap();
        let origin = "archive.example/mesh/7f".to_owned();
        let text = Checkpoint { origin, size: commits, root }.to_text();
        let signatures = vec![signer.sign(&text, 0)];
        let hashes: Vec<Hash> = tree.prove_inclusion(version, commits).unwrap();
        let count = hashes.len() + event.row_path.len() + event.segment_path.len();
        let extra = Some(event.to_text().into_bytes());
        let checkpoint = Note { text, signatures };
        let file = Proof { extra, index: version, hashes, checkpoint }.to_text();
        // The least of many: what else the machine does is not the proof's.
        let time = |policy: Option<&Policy>| {
            let batches = (0..BATCHES).map(|_| {
                let started = Instant::now();
                for _ in 0..ROUNDS {
                    let _ = black_box(proof::check(black_box(file.as_bytes()), policy)).unwrap();
                }
                started.elapsed() / ROUNDS
            });
            batches.min().unwrap()
        };
        let (with, without) = (time(Some(&policy)), time(None));
        println!("| {commits} | {} | {count} | {with:?} | {without:?} |", file.len());
    }
}
