//! What is like a line of the tamper matrix, and is none.

use std::fs;

use archive::sample::unit;
use common::date::DAY_MICROS;
use meshledger_tests::tamper::{add_stray, delete, files_below};

use super::lines::{rewritten_original, signature_line, signed_again};
use super::{INCOMPLETE, SOUND, Twin};
use crate::scene::other_key;

pub(super) const NOTHING: &str = "nothing";
pub(super) const AGAIN: &str = "the same bytes again";
pub(super) const MORE: &str = "one more delivery, sealed";
pub(super) const WAITS: &str = "one more delivery that waits";
pub(super) const UNNAMED: &str = "a file that only a manifest names is gone";
pub(super) const ORPHAN: &str = "a file of an ingestion that stopped";
pub(super) const STOPPED: &str = "a seal that stopped before the checkpoint";
pub(super) const COMMITTED: &str = "a seal that stopped after the commit";
pub(super) const OLD: &str = "tiles of smaller trees are gone";
pub(super) const NO_WORK: &str = "the work area is gone";
pub(super) const BESIDE_SIGNED: &str = "the signature of somebody unknown besides";
pub(super) const BESIDE: &str = "files that are no objects";

pub(super) const TWINS: &[Twin] = &[
    ("nothing", SOUND, |_| {}),
    ("the same bytes again", SOUND, |s| {
        for file in files_below(s.folder()) {
            let bytes = fs::read(&file).unwrap();
            delete(&file);
            fs::write(&file, bytes).unwrap();
        }
    }),
    ("one more delivery, sealed", SOUND, |s| s.deliver("more")),
    ("one more delivery that waits", INCOMPLETE, |s| s.deliver_unit(unit("more", 2, 1), false)),
    ("an event of a year ago, sealed today (line 36)", SOUND, |s| {
        let mut old = unit("old", 1, 0);
        old.times[0] -= 365 * DAY_MICROS;
        s.deliver_unit(old, true);
    }),
    ("a file that only a manifest names is gone", SOUND, |s| delete(&rewritten_original(s))),
    ("a file of an ingestion that stopped", INCOMPLETE, |s| {
        // SHA-256 of "orphan", as sha256sum prints it.
        let digest = "88f6811ab5d8fc6d3177f9b7609ae0fcebfda187e5046b62d38bb539e88b74d7";
        let key = format!("data/event_date=2026-11-02/{digest}.parquet");
        add_stray(&s.archive(), &key, b"orphan");
    }),
    ("a seal that stopped before the checkpoint", INCOMPLETE, |s| {
        fs::copy(s.kept(16), s.checkpoint()).unwrap();
    }),
    ("a seal that stopped after the commit", INCOMPLETE, |s| {
        let before = s.copy();
        s.deliver("more");
        for (made, there) in [(s.archive(), before.archive()), (s.work(), before.work())] {
            for file in files_below(&made) {
                let key = file.strip_prefix(&made).unwrap();
                let is_ledger = key.starts_with("_ledger") || key.starts_with("lock");
                if is_ledger && !there.join(key).exists() {
                    delete(&file);
                }
            }
        }
        fs::copy(s.kept(17), s.checkpoint()).unwrap();
    }),
    ("tiles of smaller trees are gone", SOUND, |s| {
        for kind in ["0", "entries"] {
            delete(&s.archive().join(format!("_ledger/tile/{kind}/000.p/1")));
        }
    }),
    ("the work area is gone", SOUND, |s| fs::remove_dir_all(s.work()).unwrap()),
    ("the signature of somebody unknown besides", SOUND, |s| {
        let text = fs::read_to_string(s.checkpoint()).unwrap();
        let line = signature_line(&signed_again(s, &other_key()));
        fs::write(s.checkpoint(), text + &line + "\n").unwrap();
    }),
    ("files that are no objects", SOUND, |s| {
        add_stray(&s.archive(), ".tmp/half-written", b"half");
        add_stray(&s.archive(), "notes/readme.txt", b"hello");
        add_stray(&s.work(), "refused/old.json", b"{}");
    }),
];
