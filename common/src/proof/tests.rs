//! A log made by hand: commits with files, files with rows. Proofs are made here by the library's
//! trees and checked by `check` alone.

use tlog::note::{Algorithm, Note, SeedSigner};
use tlog::tile::Whole;

use super::*;
use crate::commit::{CommitNote, Operation, seal_bytes};
use crate::date::EventDate;
use crate::ids::{DeliveryId, SegmentId};
use crate::row::{RowKey, RowSeed, Salts, push_bool, push_list, push_number, push_text};
use crate::schema::column_index;
use crate::stats::{ColumnStats, FileStats, StatValue};

const ORIGIN: &str = "archive.example/mesh/7f";
const TIME_MICROS: i64 = 1_793_614_531_004_321;

struct Rows {
    salts: Vec<[u8; SALT_BYTES]>,
    /// Shared and own fields.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    tree: Whole,
}

fn index(name: &str) -> usize {
    column_index(name).unwrap()
}

impl Rows {
    /// Rows whose texts begin with `name`; the key is the segment's.
    fn new(name: &str, segment: SegmentId, count: usize) -> Self {
        let key = RowKey::of_segment(RowSeed::new([7; 32]), segment);
        let mut salts = Salts::new(key);
        let salts: Vec<_> = (0..count).map(|_| salts.next_salt()).collect();
        let fields: Vec<_> = (0..count)
            .map(|row| {
                let mut shared = Vec::new();
                push_text(&mut shared, index("mesh"), b"istio");
                push_number(&mut shared, index("http_status"), 403);
                let flags = [&b"UAEX"[..], b""];
                push_list(&mut shared, index("response_flags"), flags.into_iter());
                push_bool(&mut shared, index("tls_failure"), row == 0);
                let mut own = Vec::new();
                let time = TIME_MICROS + i64::try_from(row).unwrap();
                push_number(&mut own, index("event_time"), time);
                push_text(&mut own, index("principal"), format!("{name}-{row}").as_bytes());
                (shared, own)
            })
            .collect();
        let leaves = salts
            .iter()
            .zip(&fields)
            .map(|(salt, (shared, own))| row::leaf(*salt, Sha256Digest::of(shared), own));
        let tree = Whole::new(leaves.collect());
        Self { salts, fields, tree }
    }

    fn root(&self) -> Sha256Digest {
        let root = self.tree.root_at(self.tree.size()).unwrap();
        Sha256Digest::from_bytes(*root.as_bytes())
    }

    fn file(&self, name: &str, segment: SegmentId) -> FileEntry {
        let (sha256, event_date) =
            (Sha256Digest::of(name.as_bytes()), EventDate::of_micros(TIME_MICROS));
        let bound = |text: String| Some(StatValue::Text(text));
        let last = self.fields.len() - 1;
        let principal = ColumnStats {
            min: bound(format!("{name}-0")),
            max: bound(format!("{name}-{last}")),
            nulls: 0,
        };
        FileEntry {
            path: crate::layout::data_key(event_date, sha256),
            sha256,
            bytes: 4,
            rows: self.tree.size(),
            segment,
            event_date,
            event_time_micros_min: TIME_MICROS,
            event_time_micros_max: TIME_MICROS + i64::try_from(last).unwrap(),
            row_root: self.root(),
            stats: FileStats::from([("principal".to_owned(), principal)]),
            version: None,
        }
    }
}

/// A commit with the rows of its files.
struct Committed {
    bytes: Vec<u8>,
    files: Vec<(FileEntry, Rows)>,
    entry: Entry,
}

fn committed(version: u64, files: usize, rows: usize) -> Committed {
    let files: Vec<(FileEntry, Rows)> = (0..files)
        .map(|file| {
            let name = format!("v{version}f{file}");
            let delivery = DeliveryId(Sha256Digest::of(name.as_bytes()));
            let segment = SegmentId::of(delivery, EventDate::of_micros(TIME_MICROS));
            let rows = Rows::new(&name, segment, rows + file);
            (rows.file(&name, segment), rows)
        })
        .collect();
    let note = CommitNote {
        format: crate::FORMAT,
        operation: Operation::Seal,
        version,
        previous_sha256: Some(Sha256Digest::of(b"before")),
        manifests: Vec::new(),
        delta_checkpoint: None,
        refused: None,
    };
    let adds: Vec<FileEntry> = files.iter().map(|(file, _)| file.clone()).collect();
    let bytes = seal_bytes(1_793_614_600_000, &note, &adds);
    let entry = Entry::of_commit(version, &bytes, &adds);
    Committed { bytes, files, entry }
}

struct Log {
    commits: Vec<Committed>,
    tree: Whole,
}

fn signer(seed: u8) -> SeedSigner {
    SeedSigner::new(ORIGIN, Algorithm::Ed25519, [seed; 32]).unwrap()
}

fn witness() -> SeedSigner {
    SeedSigner::new("witness.example", Algorithm::CosignatureV1, [9; 32]).unwrap()
}

impl Log {
    fn new(size: u64) -> Self {
        // Files of 1 row, of several, and commits of no file.
        let commits: Vec<Committed> = (0..size)
            .map(|version| committed(version, usize::try_from(version % 4).unwrap(), 5))
            .collect();
        let tree = Whole::new(commits.iter().map(|commit| commit.entry.leaf()).collect());
        Self { commits, tree }
    }

    fn commit(&self, version: u64) -> &Committed {
        &self.commits[usize::try_from(version).unwrap()]
    }

    fn note(&self, size: u64) -> Note {
        let root = self.tree.root_at(size).unwrap();
        let text = Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_text();
        let stranger = SeedSigner::new("stranger.example", Algorithm::Ed25519, [3; 32]).unwrap();
        let signatures = vec![
            signer(1).sign(&text, 0),
            witness().sign(&text, 1_793_614_700),
            stranger.sign(&text, 0),
        ];
        Note { text, signatures }
    }

    fn outer(&self, version: u64, size: u64, extra: String) -> Proof {
        Proof {
            extra: Some(extra.into_bytes()),
            index: version,
            hashes: self.tree.prove_inclusion(version, size).unwrap(),
            checkpoint: self.note(size),
        }
    }

    fn event(&self, version: u64, file: usize, row: usize) -> EventProof {
        let commit = self.commit(version);
        let (entry, rows) = &commit.files[file];
        let leaves = commit.files.iter().map(|(file, _)| SegmentLeaf::of_file(file).leaf());
        let segments = Whole::new(leaves.collect());
        let at = u64::try_from(row).unwrap();
        let (shared, own) = rows.fields[row].clone();
        EventProof {
            entry: commit.entry,
            segment_index: u64::try_from(file).unwrap(),
            segment_path: segments
                .prove_inclusion(u64::try_from(file).unwrap(), segments.size())
                .unwrap(),
            segment: SegmentLeaf::of_file(entry),
            row: at,
            row_path: rows.tree.prove_inclusion(at, rows.tree.size()).unwrap(),
            salt: rows.salts[row],
            shared,
            own,
        }
    }

    fn prove_event(&self, version: u64, file: usize, row: usize, size: u64) -> String {
        self.outer(version, size, self.event(version, file, row).to_text()).to_text()
    }

    fn file(&self, version: u64, file: usize) -> FileProof {
        let commit = self.commit(version);
        let lines: Vec<&[u8]> = crate::ledger::lines(&commit.bytes).collect();
        let tree = Whole::new(lines.iter().map(|line| Hash::of_leaf(line)).collect());
        let at = u64::try_from(file + 1).unwrap();
        let path = tree.prove_inclusion(at, tree.size()).unwrap();
        let line = std::str::from_utf8(lines[file + 1]).unwrap();
        FileProof::new(commit.entry, (at, path), line).unwrap()
    }

    fn consistency(&self, old: u64, new: u64) -> ConsistencyProof {
        let hashes = self.tree.prove_consistency(old, new).unwrap();
        ConsistencyProof { old: self.note(old), hashes, new: self.note(new) }
    }
}

/// Trusts the log and wants the witness.
fn policy() -> Policy {
    let (log, witness) = (signer(1).public().clone(), witness().public().clone());
    let text = format!("log {}\nwitness w {}\nquorum w\n", log, witness);
    Policy::parse(&text).unwrap()
}

fn is_refused(proof: &str) -> String {
    let refused = check(proof.as_bytes(), Some(&policy())).unwrap_err().to_string();
    assert!(refused.len() < 1_000, "{refused}");
    refused
}

#[test]
fn every_event_is_proven_at_every_size_and_its_columns_come_back() {
    let log = Log::new(7);
    for version in 0..7 {
        let files = log.commit(version).files.iter().enumerate();
        for (file, (entry, rows)) in files {
            for row in 0..rows.fields.len() {
                for size in version + 1..=7 {
                    let text = log.prove_event(version, file, row, size);
                    let proven = check(text.as_bytes(), Some(&policy())).unwrap();
                    assert_eq!(
                        (&*proven.checkpoint.origin, proven.checkpoint.size),
                        (ORIGIN, size)
                    );
                    let accepted = proven.accepted.unwrap();
                    assert_eq!(accepted.witnesses[0].1, 1_793_614_700);
                    let What::Event(event) = proven.what else { panic!("no event") };
                    assert_eq!((event.segment.segment, event.row), (entry.segment, row as u64));
                }
            }
        }
    }
    let event = log.event(3, 2, 4);
    let fields: Vec<(&str, Value)> = event
        .fields()
        .map(|field| field.unwrap())
        .map(|field| (field.column.name, field.value))
        .collect();
    let Value::List(flags) = fields[2].1 else { panic!("{fields:?}") };
    assert_eq!(flags.collect::<Vec<_>>(), ["UAEX", ""]);
    assert_eq!(fields[0], ("mesh", Value::Text("istio")));
    assert_eq!(fields[1], ("http_status", Value::Number(403)));
    assert_eq!(fields[3], ("tls_failure", Value::Boolean(false)));
    assert_eq!(fields[4], ("event_time", Value::Micros(TIME_MICROS + 4)));
    assert_eq!(fields[5], ("principal", Value::Text("v3f2-4")));
}

#[test]
fn a_file_and_the_growth_of_a_ledger_are_proven() {
    let log = Log::new(7);
    for (version, file) in [(1, 0), (3, 0), (3, 2)] {
        let text = log.outer(version, 7, log.file(version, file).to_text()).to_text();
        let What::File(proven) = check(text.as_bytes(), Some(&policy())).unwrap().what else {
            panic!("no file")
        };
        let (entry, _) = &log.commit(version).files[file];
        assert_eq!((&proven.file.path, proven.file.sha256), (&entry.path, entry.sha256));
        assert_eq!((proven.file.bytes, proven.file.rows), (entry.bytes, entry.rows));
    }
    for old in 0..=7 {
        for new in old..=7 {
            let text = log.consistency(old, new).to_text();
            let proven = check(text.as_bytes(), Some(&policy())).unwrap();
            let What::Consistency(older) = proven.what else { panic!("no consistency") };
            assert_eq!((older.size, proven.checkpoint.size), (old, new));
        }
    }
}

#[test]
fn an_event_proof_shows_nothing_of_other_events() {
    let log = Log::new(4);
    let event = log.event(3, 1, 2);
    let shown =
        event.to_text() + &String::from_utf8_lossy(&[&event.shared[..], &event.own].concat());
    assert!(shown.contains("v3f1-2"));
    // Neither other rows, nor the bounds that the commit's lines quote, nor salts.
    for (file, (_, rows)) in log.commit(3).files.iter().enumerate() {
        for row in (0..rows.fields.len()).filter(|&row| (file, row) != (1, 2)) {
            assert!(!shown.contains(&format!("v3f{file}-{row}")));
            assert!(!shown.contains(&hex::encode(rows.salts[row])));
            assert!(!shown.contains(&STANDARD.encode(&rows.fields[row].1)));
        }
    }
    // The file's proof does show them; that is why it is another one.
    assert!(log.file(3, 1).to_text().contains("v3f1-0"));
}

#[test]
fn every_bit_of_a_proof_that_is_flipped_is_refused() {
    let (log, policy) = (Log::new(5), policy());
    let proofs = [
        log.prove_event(3, 1, 2, 5),
        log.outer(3, 5, log.file(3, 1).to_text()).to_text(),
        log.consistency(2, 5).to_text(),
    ];
    for good in proofs {
        let _ = check(good.as_bytes(), Some(&policy)).unwrap();
        // The signature of a key that the policy does not name is nobody's; it comes last.
        let meaningful = good.find("\u{2014} stranger.example").unwrap();
        let old = good.find("\nold ").map_or(0..0, |begin| {
            // So is the one in the older checkpoint, and its witness, whom nobody asks.
            let begin = begin + "\nold ".len();
            let end = begin + good[begin..].find('\n').unwrap();
            let note = log.note(2).to_text();
            let unasked = note.find("\u{2014} witness.example").unwrap();
            begin + unasked / 3 * 4..end
        });
        for at in (0..meaningful).filter(|at| !old.contains(at)) {
            for bit in 0..8 {
                let mut bad = good.clone().into_bytes();
                bad[at] ^= 1 << bit;
                let found = check(&bad, Some(&policy));
                assert!(found.is_err(), "byte {at} bit {bit}: {found:?}");
            }
        }
    }
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let log = Log::new(6);
    let good = log.event(3, 1, 2);
    let refused = |event: EventProof, version: u64, expected: &str| {
        let said = is_refused(&log.outer(version, 6, event.to_text()).to_text());
        assert!(said.contains(expected), "{said}");
    };
    let _ = check(log.outer(3, 6, good.to_text()).to_text().as_bytes(), Some(&policy())).unwrap();
    let other = log.event(3, 1, 3);
    // Another row's content, another index, another salt.
    let EventProof { own, salt, .. } = other.clone();
    refused(EventProof { own, salt, ..good.clone() }, 3, "row to row root");
    refused(EventProof { row: 3, ..good.clone() }, 3, "row to row root");
    refused(EventProof { row: u64::MAX, ..good.clone() }, 3, "an index below 6");
    refused(EventProof { salt: other.salt, ..good.clone() }, 3, "row to row root");
    // The fields of one group in the other.
    let EventProof { shared, own, .. } = good.clone();
    refused(EventProof { shared: own, own: shared, ..good.clone() }, 3, "row to row root");
    // Paths: cut, longer, another's.
    let mut cut = good.clone();
    let _ = cut.row_path.pop();
    refused(cut, 3, "more hashes");
    let mut cut = good.clone();
    let _ = cut.segment_path.pop();
    refused(cut, 3, "segment to entry");
    let mut long = good.clone();
    long.row_path.push(Hash::of_no_leaves());
    refused(long, 3, "the end of the proof");
    // Sizes: of the segment, of the commit, of the log.
    let segment = |rows| SegmentLeaf { rows, ..good.segment };
    refused(EventProof { segment: segment(9), ..good.clone() }, 3, "row to row root");
    // A path that is as long in both trees: the leaf that says the size gives it away.
    refused(EventProof { segment: segment(7), ..good.clone() }, 3, "segment to entry");
    refused(EventProof { segment_index: 0, ..good.clone() }, 3, "segment to entry");
    let entry = Entry { segments: 4, ..good.entry };
    refused(EventProof { entry, segment_index: 1, ..good.clone() }, 3, "entry to checkpoint");
    let mut resized = log.outer(3, 6, good.to_text());
    resized.hashes = log.tree.prove_inclusion(3, 5).unwrap();
    assert!(is_refused(&resized.to_text()).contains("entry to checkpoint"));
    // The same row in another file, with another salt or with the same: another segment.
    let twin = log.event(3, 2, 2);
    let EventProof { segment, segment_index, segment_path, .. } = twin;
    refused(EventProof { segment, ..good.clone() }, 3, "row to row root");
    let moved = EventProof { segment, segment_index, segment_path, ..good.clone() };
    refused(moved, 3, "row to row root");
    // Another entry, at its index and at the other's.
    let elsewhere = log.event(2, 1, 2).entry;
    refused(EventProof { entry: elsewhere, ..good.clone() }, 2, "segment to entry");
    refused(good.clone(), 2, "index 3, which the entry is of");
    // A log that the policy does not know, and no cosignature where one is wanted.
    let mut unsigned = log.outer(3, 6, good.to_text());
    let _ = unsigned.checkpoint.signatures.remove(1);
    assert!(is_refused(&unsigned.to_text()).contains("quorum"));
    let text = log.outer(3, 6, good.to_text()).to_text();
    let stranger = Policy::of_log(signer(2).public().clone());
    assert!(check(text.as_bytes(), Some(&stranger)).is_err());
    assert_eq!(check(text.as_bytes(), None).unwrap().accepted, None);
}

#[test]
fn another_file_and_another_history_are_refused() {
    let log = Log::new(6);
    let good = log.file(3, 1);
    let outer = |file: &FileProof| log.outer(3, 6, file.to_text()).to_text();
    let other = log.file(3, 2);
    let said = is_refused(&outer(&FileProof { line: other.line, ..good.clone() }));
    assert!(said.contains("line to entry"), "{said}");
    let said = is_refused(&outer(&FileProof { line_index: 1, ..good.clone() }));
    assert!(said.contains("line to entry"), "{said}");
    // A line that adds no file.
    let info = crate::ledger::lines(&log.commit(3).bytes).next().unwrap();
    let info = std::str::from_utf8(info).unwrap().to_owned();
    assert!(is_refused(&outer(&FileProof { line: info, ..good })).contains("an add"));
    // A history that forked.
    let mut fork = Log::new(6);
    fork.commits[2] = committed(2, 3, 9);
    fork.tree = Whole::new(fork.commits.iter().map(|commit| commit.entry.leaf()).collect());
    let forked = ConsistencyProof { old: fork.note(3), ..log.consistency(3, 6) };
    assert!(is_refused(&forked.to_text()).contains("older to newer checkpoint"));
    let backwards = ConsistencyProof { old: log.note(6), hashes: Vec::new(), new: log.note(3) };
    assert!(is_refused(&backwards.to_text()).contains("a size of at least 6"));
}

#[test]
fn old_proofs_stay_valid_as_the_log_grows() {
    let (before, after) = (Log::new(3), Log::new(6));
    let old = before.prove_event(2, 1, 3, 3);
    // The old proof needs nothing new, and the old checkpoint is the beginning of the new one.
    let proven = check(old.as_bytes(), Some(&policy())).unwrap();
    let grown = ConsistencyProof { old: before.note(3), ..after.consistency(3, 6) };
    let grown = check(grown.to_text().as_bytes(), Some(&policy())).unwrap();
    assert_eq!(What::Consistency(proven.checkpoint), grown.what);
    assert_eq!(after.prove_event(2, 1, 3, 3), old);
}

#[test]
fn what_is_no_proof_is_refused_without_much_memory() {
    let (log, policy) = (Log::new(5), policy());
    for good in [
        log.prove_event(3, 1, 2, 5),
        log.outer(3, 5, log.file(3, 1).to_text()).to_text(),
        log.consistency(2, 5).to_text(),
    ] {
        // The last line is a signature of nobody's: without it, all else is there.
        let whole = good.rfind('\u{2014}').unwrap();
        for end in (0..good.len()).filter(|&end| end != whole) {
            assert!(check(&good.as_bytes()[..end], Some(&policy)).is_err(), "{end}");
        }
        // Bytes that come, go, and change, many at a time.
        let mut state = 4;
        for _ in 0..2_000 {
            let mut bad = good.clone().into_bytes();
            for _ in 0..1 + next(&mut state) % 4 {
                let at = usize::try_from(next(&mut state)).unwrap() % bad.len();
                match next(&mut state) % 3 {
                    0 => bad[at] = next(&mut state).to_le_bytes()[0],
                    1 => drop(bad.remove(at)),
                    _ => bad.insert(at, next(&mut state).to_le_bytes()[0]),
                }
            }
            let _ = check(&bad, None);
        }
    }
    let text = |event: &EventProof| log.outer(3, 5, event.to_text()).to_text();
    let good = log.event(3, 1, 2);
    let many = EventProof { row_path: vec![Hash::of_no_leaves(); 65], ..good.clone() };
    assert!(is_refused(&text(&many)).contains("at most 64 hashes"));
    let extra = |change: &dyn Fn(String) -> String| {
        is_refused(&log.outer(3, 5, change(good.to_text())).to_text())
    };
    for (from, to) in [
        ("\nrow 2\n", "\nrow 02\n"),
        ("\nrow 2\n", "\nrow +2\n"),
        ("\nrow 2\n", "\nrow 2\nrow 2\n"),
        ("\nsegment-index 1\n", "\nsegment-index 1\n\n"),
        ("\nsalt ", "\nsalt  "),
        ("-proof/v1", "-proof/v2"),
    ] {
        let _ = extra(&|text| text.replacen(from, to, 1));
    }
    let _ = extra(&|text| text + "more\n");
    let _ = extra(&|_| String::new());
    let nothing = Proof { extra: None, ..log.outer(3, 5, String::new()) };
    assert!(is_refused(&nothing.to_text()).contains("extra"));
}

/// SplitMix64, by Sebastiano Vigna; public domain.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn fields_that_no_writer_writes_are_refused() {
    let own = |bytes: &[u8]| Fields::new(row::Group::Own, bytes).find_map(Result::err);
    let shared = |bytes: &[u8]| Fields::new(row::Group::Shared, bytes).find_map(Result::err);
    assert_eq!(own(&[24, 1, b'a', 27, 0]), None);
    for (bytes, expected) in [
        // Descending, twice, of the other group, the place, none, far off.
        (&[27, 0, 24, 0][..], "ascend"),
        (&[24, 0, 24, 0], "ascend"),
        (&[7, 0], "id 7"),
        (&[1, 0], "id 1"),
        (&[0, 0], "id 0"),
        (&[0xff, 1, 0], "id 255"),
        // Numbers that are longer than they need to be, or than 64 bits.
        (&[0x98, 0, 1, b'a'], "as few bytes"),
        (&[24, 0x81, 0, b'a'], "as few bytes"),
        (&[24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], "as few bytes"),
        (&[24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "as few bytes"),
        // Values that are cut off.
        (&[24], "1 bytes more"),
        (&[24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "18446744073709551615 bytes more"),
        (&[24, 2, b'a'], "2 bytes more"),
        (&[3, 0, 0, 0, 0, 0, 0, 0], "8 bytes more"),
        (&[24, 1, 0xff], "UTF-8"),
    ] {
        let refused = own(bytes).unwrap().to_string();
        assert!(refused.contains(expected), "{bytes:?}: {refused}");
    }
    for (bytes, expected) in [
        (&[79, 2][..], "0 or 1"),
        (&[63, 0, 0, 0, 1, 0, 0, 0, 0], "32 bits"),
        (&[75, 2, 1, b'a'], "1 bytes more"),
        (&[75, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "1 bytes more"),
    ] {
        let refused = shared(bytes).unwrap().to_string();
        assert!(refused.contains(expected), "{bytes:?}: {refused}");
    }
}
