//! How deep `verify` looks, and what an auditor keeps from one run to the next.

use std::fs;
use std::path::{Path, PathBuf};

use common::Sha256Digest;
use meshledger_tests::cli::{Output, ml};
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::records::lines;
use meshledger_tests::tamper::{copy_tree, delete, files_below, flip_byte, swap, truncate};

const TAMPERING: i32 = 1;
const INCOMPLETE: i32 = 2;
const USAGE: i32 = 3;

/// An archive with a ledger and two sealed deliveries.
fn signed() -> (Laptop, PathBuf) {
    let laptop = Laptop::empty();
    let Signing { key, .. } = laptop.begin_ledger("archive.example/mesh");
    for name in ["first", "second"] {
        grow(&laptop, &key, name);
    }
    (laptop, key)
}

fn grow(laptop: &Laptop, key: &Path, name: &str) {
    let _ = laptop.ingest_bytes(name, lines(name, 5));
    let _ = laptop.seal_with(key).run().expect(0);
}

fn data(laptop: &Laptop) -> Vec<PathBuf> {
    files_below(&laptop.archive_path().join("data"))
}

fn quick(laptop: &Laptop) -> Output {
    laptop.command("verify").args(["--json", "--quick"]).run()
}

#[test]
fn quick_looks_at_everything_but_the_bytes_of_files() {
    let (laptop, _) = signed();
    let report = quick(&laptop).expect(0).json();
    assert_eq!((&report["depth"], &report["bytes"]), (&"quick".into(), &0.into()), "{report}");
    assert_eq!((&report["files"], &report["digests"]), (&2.into(), &0.into()), "{report}");
    let text = laptop.command("verify").args(["--quick"]).run().expect(0).text();
    assert!(text.contains("no file was read"), "{text}");

    // What it can not see, and says that it does not look at.
    let file = &data(&laptop)[0];
    flip_byte(file, 100);
    let _ = quick(&laptop).expect(0);
    let full = laptop.command("verify").args(["--json", "--full"]).run().expect(TAMPERING);
    assert_eq!(full.codes(), ["FILE_HASH"]);
    let full = full.json();
    assert_eq!(full["findings"][0]["events"], 5, "{full}");
    flip_byte(file, 100);

    // What it sees.
    let whole = fs::read(file).unwrap();
    truncate(file, 1);
    assert_eq!(quick(&laptop).expect(TAMPERING).codes(), ["FILE_SIZE"]);
    delete(file);
    assert_eq!(quick(&laptop).expect(TAMPERING).codes(), ["FILE_MISSING"]);
    fs::write(file, whole).unwrap();
    let commit = laptop.archive_path().join("_delta_log/00000000000000000001.json");
    flip_byte(&commit, 40);
    let found = quick(&laptop).expect(TAMPERING).codes();
    assert!(found.contains(&"LEAF".to_owned()), "{found:?}");
    flip_byte(&commit, 40);
    fs::write(file.with_file_name("planted"), b"x").unwrap();
    assert_eq!(quick(&laptop).expect(TAMPERING).codes(), ["STRAY"]);
}

#[test]
fn a_checkpoint_that_was_kept_reveals_a_rollback_and_a_fork() {
    let (laptop, key) = signed();
    let (archive, work) = (laptop.archive_path(), laptop.work_path());
    let (old_archive, old_work) = (laptop.path("old"), laptop.path("old.work"));
    copy_tree(&archive, &old_archive);
    copy_tree(&work, &old_work);
    let kept = laptop.path("kept.checkpoint");
    let since = |laptop: &Laptop| {
        let verify = laptop.command("verify").args(["--json", "--since"]);
        verify.args([&kept]).run()
    };
    let keep = |laptop: &Laptop| {
        let verify = laptop.command("verify").args(["--json", "--keep"]);
        verify.args([&kept]).run()
    };
    let _ = keep(&laptop).expect(0);
    assert_eq!(fs::read(&kept).unwrap(), fs::read(archive.join("_ledger/checkpoint")).unwrap());
    // The same and what follows it are continuations.
    let _ = since(&laptop).expect(0);
    grow(&laptop, &key, "third");
    let _ = since(&laptop).expect(0);
    let _ = keep(&laptop).expect(0);

    // Everything is put back to yesterday, locks included: sound by itself, but not what was seen.
    let replace = |from: &PathBuf, to: &PathBuf| {
        fs::remove_dir_all(to).unwrap();
        copy_tree(from, to);
    };
    replace(&old_archive, &archive);
    replace(&old_work, &work);
    let _ = laptop.command("verify").args(["--json"]).run().expect(0);
    let report = since(&laptop).expect(TAMPERING);
    assert_eq!(report.codes(), ["ROLLBACK"]);
    let report = report.json();
    assert_eq!(report["findings"][0]["version"], 3, "{report}");

    // From there another history is written and signed by the same key.
    grow(&laptop, &key, "forged");
    let _ = laptop.command("verify").args(["--json"]).run().expect(0);
    assert_eq!(since(&laptop).expect(TAMPERING).codes(), ["FORK"]);
    grow(&laptop, &key, "more");
    assert_eq!(since(&laptop).expect(TAMPERING).codes(), ["FORK"]);
    // What is found to be tampered with is not kept as what was seen.
    let before = fs::read(&kept).unwrap();
    let verify = laptop.command("verify").args(["--since"]).args([&kept]);
    let _ = verify.args(["--keep"]).args([&kept]).run().expect(TAMPERING);
    assert_eq!(fs::read(&kept).unwrap(), before);

    // Another archive's ledger is no continuation.
    let (other, _) = signed();
    assert_eq!(since(&other).expect(TAMPERING).codes(), ["ORIGIN"]);
    // Without a ledger there is nothing to compare with.
    fs::remove_dir_all(archive.join("_ledger")).unwrap();
    let found = since(&laptop).expect(TAMPERING).codes();
    assert!(found.contains(&"NOTE".to_owned()), "{found:?}");
}

#[test]
fn a_kept_checkpoint_must_be_signed_by_whom_the_policy_names() {
    let (laptop, _) = signed();
    let (other, _) = signed();
    let kept = laptop.path("kept");
    let _ = laptop.command("verify").args(["--keep"]).args([&kept]).run().expect(0);
    // Again: it shows what there is.
    let Signing { policy, .. } = laptop.begin_ledger("archive.example/mesh");
    let verify = || {
        let verify = laptop.command("verify").args(["--json", "--policy"]).args([&policy]);
        verify.args(["--since"]).args([&kept]).run()
    };
    let _ = verify().expect(0);
    // The same words under another's signature.
    let text = fs::read_to_string(&kept).unwrap();
    let foreign = fs::read_to_string(other.archive_path().join("_ledger/checkpoint")).unwrap();
    let (head, _) = text.split_once("\n\n").unwrap();
    let (_, signature) = foreign.split_once("\n\n").unwrap();
    fs::write(&kept, format!("{head}\n\n{signature}")).unwrap();
    assert_eq!(verify().expect(TAMPERING).codes(), ["SIG"]);
}

#[test]
fn wrong_options_and_files_are_said_clearly() {
    let (laptop, _) = signed();
    let verify = |args: &[&str]| laptop.command("verify").args(args).run();
    let _ = verify(&["--quick", "--full"]).expect(USAGE);
    let _ = verify(&["--since", "/nowhere"]).expect(USAGE).says("--since: ");
    let note = laptop.write("note", "hello\n");
    let since = laptop.command("verify").args(["--since"]).args([&note]).run();
    let _ = since.expect(USAGE).says("can not be used");
    let long = laptop.write("long", vec![b'x'; 2_000_000]);
    let since = laptop.command("verify").args(["--since"]).args([&long]).run();
    let _ = since.expect(USAGE).says("can not be used");
    let keep = verify(&["--keep", "/nowhere/at/all"]);
    let _ = keep.expect(USAGE).says("could not be kept");
    let unsigned = Laptop::new();
    let _ = unsigned.command("verify").args(["--keep", "x"]).run().expect(USAGE).says("no ledger");
}

#[test]
fn what_waits_and_what_is_swapped_is_told_at_any_depth() {
    let (laptop, _) = signed();
    let _ = laptop.ingest_bytes("waiting", lines("waiting", 3));
    let report = quick(&laptop).expect(INCOMPLETE);
    assert_eq!(report.codes(), ["UNSEALED"]);
    let report = report.json();
    assert_eq!(report["unsealed_manifests"], 1, "{report}");
    let files = data(&laptop);
    swap(&files[0], &files[1]);
    let verify = ml(["verify", "--json", "--archive", laptop.archive()]).run();
    assert!(verify.expect(TAMPERING).text().contains("FILE_"));
}

/// Lets the one delivery that waits say of its file what `change` makes of it, all digests and
/// names in keeping: a writer that lies from the start.
fn lie(laptop: &Laptop, change: impl FnOnce(&mut Vec<u8>, &mut String)) {
    let waiting = files_below(&laptop.work_path().join("inbox")).remove(0);
    let mut manifest = fs::read_to_string(&waiting).unwrap();
    let file = data(laptop).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let before = Sha256Digest::of(&bytes).to_hex();
    change(&mut bytes, &mut manifest);
    let after = Sha256Digest::of(&bytes).to_hex();
    assert_ne!(before, after);
    fs::write(file.to_string_lossy().replace(&before, &after), &bytes).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&waiting, manifest.replace(&before, &after)).unwrap();
}

/// Replaces the last of some bytes below `end`.
fn replace_last(bytes: &mut [u8], end: usize, from: &[u8], to: &[u8]) {
    let at = bytes[..end].windows(from.len()).rposition(|found| found == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn statistics_that_were_false_from_the_start_pass_full_and_are_found_deep() {
    // What the file's footer says, and with it manifest, commit and ledger; and what the index of
    // its pages says.
    let in_footer: fn(&mut Vec<u8>, &mut String) = |bytes, manifest| {
        let end = bytes.len();
        replace_last(bytes, end, b"liar-9", b"liar-5");
        assert_eq!(manifest.matches("liar-9").count(), 1);
        *manifest = manifest.replace("liar-9", "liar-5");
    };
    let in_page_index: fn(&mut Vec<u8>, &mut String) = |bytes, _| {
        let length = bytes[bytes.len() - 8..].first_chunk().unwrap();
        let footer = bytes.len() - 8 - usize::try_from(u32::from_le_bytes(*length)).unwrap();
        replace_last(bytes, footer, b"liar-9", b"liar-5");
    };
    for change in [in_footer, in_page_index] {
        let laptop = Laptop::empty();
        let Signing { key, .. } = laptop.begin_ledger("archive.example/mesh");
        let _ = laptop.ingest_bytes("liar", lines("liar", 10));
        lie(&laptop, change);
        let _ = laptop.seal_with(&key).run().expect(0);
        for depth in ["--quick", "--full"] {
            let _ = laptop.command("verify").args([depth]).run().expect(0);
        }
        let deep = laptop.command("verify").args(["--json", "--deep"]).run().expect(TAMPERING);
        let found = deep.codes();
        assert!(!found.is_empty() && found.iter().all(|code| code == "STATS"), "{found:?}");
        let finding = &deep.json()["findings"][0];
        assert_eq!((&finding["version"], &finding["events"]), (&1.into(), &10.into()), "{finding}");
    }
    // Whoever is honest passes.
    let (laptop, _) = signed();
    let report = laptop.command("verify").args(["--json", "--deep"]).run().expect(0).json();
    assert_eq!((&report["depth"], &report["rows"]), (&"deep".into(), &10.into()), "{report}");
}
