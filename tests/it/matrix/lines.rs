//! The lines of the tamper matrix.

use std::fs;
use std::path::{Path, PathBuf};

use archive::sample::unit;
use meshledger_tests::tamper::{
    add_stray, append, delete, edit, files_below, flip_byte, swap, truncate,
};
use tlog::note::{Note, SeedSigner};
use tlog::{Checkpoint, Hash};

use super::twins::{
    AGAIN, BESIDE, BESIDE_SIGNED, COMMITTED, MORE, NO_WORK, NOTHING, OLD, ORPHAN, STOPPED, UNNAMED,
    WAITS,
};
use super::{INCOMPLETE, Line, TAMPERING};
use crate::scene::{Scene, key, other_key, signed, write};

pub(super) const LINES: &[Line] = &[
    ("1", "flip a byte of a data page", TAMPERING, "FILE_HASH", |s| flip_byte(&data(s), 60), AGAIN),
    ("2", "flip a byte of a footer", TAMPERING, "FILE_HASH", |s| flip_byte(&data(s), -40), AGAIN),
    (
        "3",
        "flip a byte of the metadata",
        TAMPERING,
        "FILE_HASH",
        |s| {
            let bytes = fs::read(data(s)).unwrap();
            let name = b"meshledger.segment";
            let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
            flip_byte(&data(s), i64::try_from(at).unwrap());
        },
        AGAIN,
    ),
    ("4", "cut a data file", TAMPERING, "FILE_SIZE", |s| truncate(&data(s), 1), AGAIN),
    ("5", "lengthen a data file", TAMPERING, "FILE_SIZE", |s| append(&data(s), b"x"), AGAIN),
    ("6", "empty a data file", TAMPERING, "FILE_SIZE", |s| truncate(&data(s), u64::MAX), AGAIN),
    ("7", "remove a data file", TAMPERING, "FILE_MISSING", |s| delete(&data(s)), UNNAMED),
    (
        "7b",
        "remove a file that a seal wrote",
        TAMPERING,
        "FILE_MISSING",
        |s| {
            delete(&s.added(2).remove(0));
        },
        UNNAMED,
    ),
    (
        "7c",
        "remove a quarantine file",
        TAMPERING,
        "FILE_MISSING",
        |s| {
            delete(&s.named(1).1.remove(0));
        },
        UNNAMED,
    ),
    (
        "7d",
        "flip a byte of a quarantine file",
        TAMPERING,
        "FILE_HASH",
        |s| {
            flip_byte(&s.named(2).1.remove(0), 60);
        },
        AGAIN,
    ),
    (
        "7e",
        "remove a manifest",
        TAMPERING,
        "MANIFEST_MISSING",
        |s| {
            delete(&s.named(1).0.remove(0));
        },
        AGAIN,
    ),
    (
        "7f",
        "flip a byte of a manifest",
        TAMPERING,
        "MANIFEST_HASH",
        |s| {
            flip_byte(&s.named(1).0.remove(0), 30);
        },
        AGAIN,
    ),
    (
        "10",
        "exchange two data files",
        TAMPERING,
        "FILE_HASH",
        |s| {
            let files = s.added(3);
            fs::copy(&files[0], s.folder().join("kept")).unwrap();
            // Of one length, so that nothing but the hash tells.
            let mut bytes = fs::read(&files[1]).unwrap();
            bytes.resize(fs::read(&files[0]).unwrap().len(), 0);
            fs::write(&files[0], bytes).unwrap();
        },
        AGAIN,
    ),
    (
        "10b",
        "exchange two manifests",
        TAMPERING,
        "MANIFEST_HASH",
        |s| {
            let manifests = s.named(3).0;
            swap(&manifests[0], &manifests[1]);
        },
        AGAIN,
    ),
    (
        "11",
        "exchange two paths in a commit",
        TAMPERING,
        "LEAF",
        |s| {
            let names: Vec<String> = s.added(3).iter().map(|path| file_name(path)).collect();
            let text = fs::read_to_string(s.commit(3)).unwrap();
            let text = text.replace(&names[0], "x").replace(&names[1], &names[0]);
            fs::write(s.commit(3), text.replace('x', &names[1])).unwrap();
        },
        MORE,
    ),
    ("12a", "remove the last commit", TAMPERING, "GAP", |s| delete(&s.commit(16)), STOPPED),
    ("12b", "remove a commit in the middle", TAMPERING, "GAP", |s| delete(&s.commit(2)), STOPPED),
    ("12c", "remove the first commit", TAMPERING, "GAP", |s| delete(&s.commit(0)), STOPPED),
    (
        "12d",
        "remove all commits",
        TAMPERING,
        "NOT_AN_ARCHIVE",
        |s| {
            fs::remove_dir_all(s.archive().join("_delta_log")).unwrap();
        },
        STOPPED,
    ),
    (
        "13a",
        "narrow statistics in a commit",
        TAMPERING,
        "LEAF",
        |s| {
            edit(&s.commit(1), "b#2", "a#2");
        },
        MORE,
    ),
    (
        "13b",
        "edit tags in a commit",
        TAMPERING,
        "LEAF",
        |s| {
            edit(&s.commit(1), "\"ma.rows\":\"", "\"ma.rows\":\"1");
        },
        MORE,
    ),
    (
        "13c",
        "edit a partition value in a commit",
        TAMPERING,
        "LEAF",
        |s| {
            edit(&s.commit(1), "\"event_date\":\"2026-11-02\"", "\"event_date\":\"2026-11-03\"");
        },
        MORE,
    ),
    (
        "13d",
        "white space in a commit",
        TAMPERING,
        "LEAF",
        |s| {
            edit(&s.commit(16), "\"timestamp\":", "\"timestamp\": ");
        },
        MORE,
    ),
    (
        "13e",
        "another time in the last commit",
        TAMPERING,
        "LEAF",
        |s| {
            edit(&s.commit(16), "\"timestamp\":1", "\"timestamp\":2");
        },
        MORE,
    ),
    (
        "13f",
        "take a file out of a commit",
        TAMPERING,
        "LEAF",
        |s| {
            let text = fs::read_to_string(s.commit(3)).unwrap();
            let kept = text.trim_end().rsplit_once('\n').unwrap().0.to_owned();
            fs::write(s.commit(3), kept + "\n").unwrap();
        },
        MORE,
    ),
    ("14", "exchange two commits", TAMPERING, "LEAF", |s| swap(&s.commit(1), &s.commit(2)), MORE),
    (
        "15",
        "repeat a commit as the next version",
        TAMPERING,
        "UNSEALED",
        |s| {
            fs::copy(s.commit(16), s.commit(17)).unwrap();
        },
        COMMITTED,
    ),
    (
        "16",
        "a commit of somebody else's",
        TAMPERING,
        "UNSEALED",
        |s| {
            let add = b"{\"commitInfo\":{\"timestamp\":1,\"operation\":\"WRITE\"}}\n";
            fs::write(s.commit(17), add).unwrap();
        },
        COMMITTED,
    ),
    (
        "16b",
        "a commit that removes a file",
        TAMPERING,
        "COMMIT_FORMAT",
        |s| {
            let path = file_name(&data(s));
            let date = "data/event_date=2026-11-02";
            let remove =
                format!("{{\"remove\":{{\"path\":\"{date}/{path}\",\"dataChange\":true}}}}\n");
            fs::write(s.commit(17), remove).unwrap();
        },
        COMMITTED,
    ),
    (
        "19a",
        "a compacted commit",
        TAMPERING,
        "STRAY",
        |s| {
            let key = "_delta_log/00000000000000000000.00000000000000000002.compacted.json";
            add_stray(&s.archive(), key, b"{}\n");
        },
        BESIDE,
    ),
    (
        "19b",
        "a checksum of a version",
        TAMPERING,
        "STRAY",
        |s| {
            add_stray(&s.archive(), "_delta_log/00000000000000000002.crc", b"{}\n");
        },
        BESIDE,
    ),
    (
        "19c",
        "a sidecar",
        TAMPERING,
        "STRAY",
        |s| {
            add_stray(&s.archive(), "_delta_log/_sidecars/0.parquet", b"PAR1");
        },
        BESIDE,
    ),
    (
        "19d",
        "a staged commit",
        TAMPERING,
        "STRAY",
        |s| {
            let id = "3a0d65cd-4056-49b8-937b-95f9e3ee90e5";
            let key = format!("_delta_log/_staged_commits/00000000000000000017.{id}.json");
            add_stray(&s.archive(), &key, b"{}\n");
        },
        BESIDE,
    ),
    (
        "19e",
        "a deletion vector",
        TAMPERING,
        "STRAY",
        |s| {
            let name = "deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin";
            add_stray(&s.archive(), &format!("data/{name}"), b"\x01");
        },
        BESIDE,
    ),
    (
        "19f",
        "a file whose name lies",
        TAMPERING,
        "STRAY",
        |s| {
            let key = format!("data/event_date=2026-11-02/{}.parquet", "0".repeat(64));
            add_stray(&s.archive(), &key, b"PAR1");
        },
        ORPHAN,
    ),
    (
        "19g",
        "a file in another folder of its",
        TAMPERING,
        "STRAY",
        |s| {
            add_stray(&s.archive(), "_ledger/readme", b"hello");
        },
        BESIDE,
    ),
    (
        "25",
        "the older checkpoint again",
        INCOMPLETE,
        "UNSEALED",
        |s| {
            fs::copy(s.kept(4), s.checkpoint()).unwrap();
        },
        NOTHING,
    ),
    (
        "27a",
        "a signature over another root is kept",
        TAMPERING,
        "FORK",
        |s| {
            let root = Hash::of_leaf(b"another history");
            fs::write(s.kept(3), signed(3, root, &key())).unwrap();
        },
        MORE,
    ),
    (
        "27b",
        "a signature over more commits than there are",
        TAMPERING,
        "FORK",
        |s| {
            let root = Hash::of_leaf(b"another history");
            write(&s.kept(20), signed(20, root, &key()).as_bytes());
        },
        MORE,
    ),
    (
        "27c",
        "another root was locked",
        TAMPERING,
        "FORK",
        |s| {
            fs::write(s.lock(2), "0".repeat(64) + "\n").unwrap();
        },
        NO_WORK,
    ),
    (
        "27d",
        "more commits were locked than there are",
        TAMPERING,
        "FORK",
        |s| {
            fs::write(s.lock(18), "0".repeat(64) + "\n").unwrap();
        },
        NO_WORK,
    ),
    (
        "27e",
        "an object of another name among the locks",
        TAMPERING,
        "STRAY",
        |s| {
            add_stray(&s.work(), "lock/2", b"x");
        },
        NO_WORK,
    ),
    ("28a", "flip a bit of a tile", TAMPERING, "TILE", |s| flip_byte(&tile(s, "0", 17), 40), OLD),
    (
        "28b",
        "flip a bit of a tile of a smaller tree",
        TAMPERING,
        "TILE",
        |s| {
            flip_byte(&tile(s, "0", 2), 40);
        },
        OLD,
    ),
    (
        "28c",
        "flip a bit of a bundle",
        TAMPERING,
        "TILE",
        |s| {
            flip_byte(&tile(s, "entries", 17), 40);
        },
        OLD,
    ),
    ("28d", "remove a tile", TAMPERING, "TILE", |s| delete(&tile(s, "0", 17)), OLD),
    ("28e", "remove a bundle", TAMPERING, "TILE", |s| delete(&tile(s, "entries", 17)), OLD),
    ("28f", "lengthen a tile", TAMPERING, "TILE", |s| append(&tile(s, "0", 17), b"x"), OLD),
    (
        "28g",
        "a tile of more commits than there are",
        TAMPERING,
        "STRAY",
        |s| {
            fs::write(tile(s, "0", 18), [0; 576]).unwrap();
        },
        OLD,
    ),
    (
        "28h",
        "a tile under another way to write its number",
        TAMPERING,
        "STRAY",
        |s| {
            let tile = fs::read(tile(s, "0", 17)).unwrap();
            add_stray(&s.archive(), "_ledger/tile/0/x000/000.p/17", &tile);
        },
        OLD,
    ),
    (
        "29a",
        "another key of the same name signs",
        TAMPERING,
        "SIG",
        |s| {
            fs::write(s.checkpoint(), signed_again(s, &other_key())).unwrap();
        },
        BESIDE_SIGNED,
    ),
    (
        "29b",
        "another key with the same key id signs",
        TAMPERING,
        "SIG",
        |s| {
            // As if somebody had searched long for a key with this id.
            let mut note = Note::parse(signed_again(s, &other_key()).as_bytes()).unwrap();
            note.signatures[0].key_id = key().public().key_id();
            fs::write(s.checkpoint(), note.to_text()).unwrap();
        },
        BESIDE_SIGNED,
    ),
    (
        "29c",
        "no signature",
        TAMPERING,
        "NOTE",
        |s| {
            let body = read(s).split("\n\n").next().unwrap().to_owned();
            fs::write(s.checkpoint(), body + "\n\n").unwrap();
        },
        BESIDE_SIGNED,
    ),
    (
        "29d",
        "two signatures of the key, one wrong",
        TAMPERING,
        "SIG",
        |s| {
            let older = fs::read_to_string(s.kept(4)).unwrap();
            fs::write(s.checkpoint(), read(s) + &signature_line(&older) + "\n").unwrap();
        },
        BESIDE_SIGNED,
    ),
    (
        "29e",
        "Windows lines",
        TAMPERING,
        "NOTE",
        |s| {
            fs::write(s.checkpoint(), read(s).replace('\n', "\r\n")).unwrap();
        },
        AGAIN,
    ),
    (
        "29f",
        "no blank line",
        TAMPERING,
        "NOTE",
        |s| {
            edit(&s.checkpoint(), "\n\n", "\n");
        },
        AGAIN,
    ),
    (
        "29g",
        "a size with a zero before it",
        TAMPERING,
        "NOTE",
        |s| {
            edit(&s.checkpoint(), "\n17\n", "\n017\n");
        },
        AGAIN,
    ),
    (
        "29h",
        "an extension line",
        TAMPERING,
        "NOTE",
        |s| {
            edit(&s.checkpoint(), "\n\n", "\nextension\n\n");
        },
        AGAIN,
    ),
    ("29i", "another size", TAMPERING, "SIG", |s| edit(&s.checkpoint(), "\n17\n", "\n16\n"), AGAIN),
    ("29j", "no last newline", TAMPERING, "NOTE", |s| truncate(&s.checkpoint(), 1), AGAIN),
    ("29k", "no checkpoint", TAMPERING, "NOTE", |s| delete(&s.checkpoint()), STOPPED),
    (
        "29l",
        "no ledger",
        TAMPERING,
        "NOTE",
        |s| {
            fs::remove_dir_all(s.archive().join("_ledger")).unwrap();
            fs::remove_dir_all(s.work().join("lock")).unwrap();
        },
        STOPPED,
    ),
    (
        "29m",
        "a kept signature under another key's id",
        TAMPERING,
        "NOTE",
        |s| {
            fs::copy(s.kept(4), s.kept(4).with_file_name("00000000")).unwrap();
        },
        NOTHING,
    ),
    (
        "29n",
        "a kept signature under another size",
        TAMPERING,
        "FORK",
        |s| {
            fs::copy(s.kept(4), s.kept(3)).unwrap();
        },
        NOTHING,
    ),
    (
        "29o",
        "a kept signature that is wrong",
        TAMPERING,
        "SIG",
        |s| {
            let wrong = signature_line(&fs::read_to_string(s.kept(3)).unwrap());
            let text = fs::read_to_string(s.kept(4)).unwrap();
            let right = signature_line(&text);
            fs::write(s.kept(4), text.replace(&right, &wrong)).unwrap();
        },
        NOTHING,
    ),
    (
        "30",
        "the ledger of another table",
        TAMPERING,
        "ORIGIN",
        |s| {
            edit(&s.commit(0), "\"id\":\"sample\"", "\"id\":\"simple\"");
        },
        MORE,
    ),
    (
        "38a",
        "a path out of the archive in a commit",
        TAMPERING,
        "COMMIT_FORMAT",
        |s| {
            let name = file_name(&data(s));
            edit(
                &s.commit(1),
                &format!("data/event_date=2026-11-02/{name}"),
                "data/../../etc/passwd",
            );
        },
        MORE,
    ),
    (
        "38b",
        "an absolute path in a commit",
        TAMPERING,
        "COMMIT_FORMAT",
        |s| {
            let name = file_name(&data(s));
            let url = format!("file:///data/event_date=2026-11-02/{name}");
            edit(&s.commit(1), &format!("data/event_date=2026-11-02/{name}"), &url);
        },
        MORE,
    ),
    (
        "38c",
        "a path with per cent signs in a commit",
        TAMPERING,
        "COMMIT_FORMAT",
        |s| {
            edit(&s.commit(1), "\"data/event_date=2026-11-02/", "\"data/event_date%3D2026-11-02/");
        },
        MORE,
    ),
    (
        "waits a",
        "remove a file of a delivery that waits",
        TAMPERING,
        "FILE_MISSING",
        |s| {
            let before = s.below("data", 1);
            s.deliver_unit(unit("more", 2, 1), false);
            let file = s.below("data", 1).into_iter().find(|file| !before.contains(file));
            delete(&file.unwrap());
        },
        WAITS,
    ),
    (
        "waits b",
        "a waiting manifest with another length of a file",
        TAMPERING,
        "FILE_SIZE",
        |s| {
            s.deliver_unit(unit("more", 2, 1), false);
            let inbox = files_below(&s.work().join("inbox"));
            edit(&inbox[0], "\"bytes\":1", "\"bytes\":2");
        },
        WAITS,
    ),
    (
        "held",
        "flip a byte of a run of the held index",
        TAMPERING,
        "HELD_INDEX",
        |s| {
            flip_byte(&s.below("index/held", 1).remove(0), 5);
        },
        NOTHING,
    ),
    (
        "held b",
        "remove a run of the held index",
        INCOMPLETE,
        "HELD_INDEX",
        |s| {
            delete(&s.below("index/held", 1).remove(0));
        },
        NOTHING,
    ),
    (
        "insider a",
        "false statistics in a commit, signed with the right key",
        TAMPERING,
        "STATS",
        |s| {
            edit(&s.commit(1), "b#2", "a#2");
            s.forge();
        },
        MORE,
    ),
    (
        "insider b",
        "a file taken out of a commit, signed",
        TAMPERING,
        "MANIFEST_FORMAT",
        |s| {
            let text = fs::read_to_string(s.commit(3)).unwrap();
            let kept = text.trim_end().rsplit_once('\n').unwrap().0.to_owned();
            fs::write(s.commit(3), kept + "\n").unwrap();
            s.forge();
        },
        MORE,
    ),
    (
        "insider c",
        "a delivery sealed twice, signed",
        TAMPERING,
        "UNIT_TWICE",
        |s| {
            let text = fs::read_to_string(s.commit(16)).unwrap();
            fs::write(s.commit(17), text.replace("\"version\":16", "\"version\":17")).unwrap();
            s.forge();
        },
        MORE,
    ),
    (
        "insider d",
        "the last commit dropped and the rest signed",
        TAMPERING,
        "GAP",
        |s| {
            delete(&s.commit(16));
            s.forge();
        },
        COMMITTED,
    ),
];

/// An event file that a commit adds.
pub(super) fn data(scene: &Scene) -> PathBuf {
    scene.added(1).remove(0)
}

/// The file of the mixed delivery, which its seal wrote anew.
pub(super) fn rewritten_original(scene: &Scene) -> PathBuf {
    let added: Vec<_> = (1..scene.commits()).flat_map(|version| scene.added(version)).collect();
    let mut others = scene.below("data", 1);
    others.retain(|file| !added.contains(file));
    others.remove(0)
}

pub(super) fn tile(scene: &Scene, kind: &str, width: u64) -> PathBuf {
    scene.archive().join(format!("_ledger/tile/{kind}/000.p/{width}"))
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

pub(super) fn read(scene: &Scene) -> String {
    fs::read_to_string(scene.checkpoint()).unwrap()
}

/// The checkpoint as it stands, signed with this key alone.
pub(super) fn signed_again(scene: &Scene, key: &SeedSigner) -> String {
    let note = Note::parse(read(scene).as_bytes()).unwrap();
    let head = Checkpoint::parse(&note.text).unwrap();
    signed(head.size, head.root, key)
}

/// The last line of a note.
pub(super) fn signature_line(note: &str) -> String {
    note.trim_end().rsplit('\n').next().unwrap().to_owned()
}
