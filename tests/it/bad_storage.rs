//! Bad places: no archive, half an archive, a full disk, no permission.

use std::fs;
use std::path::Path;

use meshledger_tests::cli::{Output, Program, meshledger, ml};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::tamper::{copy_tree, delete, files_below, truncate};

#[test]
fn a_place_that_is_no_archive_is_said_by_every_command() {
    let laptop = Laptop::empty();
    let file = laptop.write("a.log", lines("a", 1));
    let empty = laptop.path("empty");
    fs::create_dir(&empty).unwrap();
    let photos = laptop.path("photos");
    fs::create_dir_all(photos.join("2026")).unwrap();
    fs::write(photos.join("2026/cat.jpg"), b"meow").unwrap();
    for place in [laptop.path("missing"), empty, photos.clone()] {
        let run = |arguments: &[&str]| {
            ml([arguments[0], "--archive"]).args([&place]).args(&arguments[1..]).run()
        };
        for arguments in [
            &["ingest", file.to_str().unwrap()][..],
            &["seal"],
            &["query", "SELECT count(*) FROM mesh_events"],
            &["verify"],
        ] {
            let _ = run(arguments).expect(5).says("not an archive").says("init");
        }
    }
    assert_eq!(files_below(&photos).len(), 1, "nothing was written into somebody's folder");
}

#[test]
fn an_archive_of_somebody_else_is_not_touched() {
    let laptop = Laptop::empty();
    let log = laptop.archive_path().join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    let commit = "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n";
    fs::write(log.join("00000000000000000000.json"), commit).unwrap();
    let file = laptop.write("a.log", lines("a", 1));
    for output in [
        laptop.command("init").run(),
        laptop.ingest([&file]).run(),
        laptop.command("seal").run(),
        laptop.command("query").args(["SELECT count(*) FROM mesh_events"]).run(),
    ] {
        let output = output.expect(5);
        assert!(!output.stderr.trim().is_empty(), "{}", output.report());
    }
    assert_eq!(files_below(&laptop.archive_path()).len(), 1);
}

#[test]
fn a_half_written_archive_is_an_error_and_never_a_partial_answer() {
    let whole = Laptop::new();
    for number in 0..3 {
        let _ = whole.ingest_bytes("a.log", lines(&number.to_string(), 10));
        let _ = whole.seal();
    }
    let count = "SELECT count(DISTINCT request_id) FROM mesh_events";
    let half = |name: &str, damage: &dyn Fn(&Path)| {
        let copy = whole.path(name);
        copy_tree(&whole.archive_path(), &copy);
        damage(&copy);
        let query = ml(["query", "--archive"]).args([&copy]).args([count]).run().expect(5);
        assert!(!query.stderr.trim().is_empty(), "{name} failed without a reason");
        let verify = ml(["verify", "--archive"]).args([&copy]).run();
        assert!(verify.code != Some(0), "{name}: {}", verify.report());
    };
    let commit = |number: usize| format!("_delta_log/{number:020}.json");
    half("no-first-commit", &|root| delete(&root.join(commit(0))));
    half("gap", &|root| delete(&root.join(commit(2))));
    half("cut-commit", &|root| truncate(&root.join(commit(3)), 20));
    half("empty-commit", &|root| truncate(&root.join(commit(3)), u64::MAX));
    half("no-data", &|root| fs::remove_dir_all(root.join("data")).unwrap());
}

#[test]
fn a_file_where_a_folder_should_be_is_said() {
    let laptop = Laptop::empty();
    fs::write(laptop.archive_path(), b"I am a file").unwrap();
    let output = laptop.command("init").run().expect(5);
    assert!(!output.stderr.trim().is_empty());
    let other = Laptop::new();
    let data = other.archive_path().join("data");
    fs::remove_dir_all(&data).ok();
    fs::write(&data, b"I am a file").unwrap();
    let file = other.write("a.log", lines("a", 5));
    let _ = other.ingest([&file]).run().expect(5);
    fs::remove_file(&data).unwrap();
    // Nothing was acknowledged, so the same command again archives all of it.
    assert_eq!(other.ingest([&file]).run().expect(0).json()["events"], 5);
    let _ = other.seal();
    assert_eq!(other.events(), 5);
}

#[test]
fn a_write_that_fails_half_way_loses_nothing() {
    let laptop = Laptop::new();
    let traffic = laptop.path("traffic");
    let _ = ml(["generate", "--events", "20000", "--clusters", "1", "--out"])
        .args([&traffic])
        .run()
        .expect(0);
    let file = files_below(&traffic).remove(0);
    let report = laptop.path("report");
    // Every write past 100 kB of a file fails, which a data file needs.
    let output = script("limited.py")
        .args(["--file-bytes", "100000"])
        .args([&report])
        .args(["--"])
        .args([meshledger()])
        .args(["ingest", "--archive", laptop.archive()])
        .args([&file])
        .run()
        .expect(5);
    assert!(!output.stderr.trim().is_empty());
    assert_eq!(laptop.events(), 0, "nothing was acknowledged");
    assert_eq!(laptop.ingest([&file]).run().expect(0).json()["events"], 20_000);
    let _ = laptop.seal();
    assert_eq!(laptop.events(), 20_000);
    laptop.verify_ok();
}

/// Runs a script as `sh` in a mount namespace of its own, where it may mount a small disk that is
/// gone with it. A machine that does not allow that fails the test, unless
/// `MESHLEDGER_ALLOW_SKIP=1` says that it may be left out: then none.
fn in_own_mounts(script: &str, arguments: &[&str]) -> Option<Output> {
    // As root a mount namespace is enough; others need a user namespace too.
    let flags = ["-m", "-rm"].into_iter().find(|flags| {
        let probe = [*flags, "sh", "-c", "mount -t tmpfs none /mnt"];
        Program::new("unshare").args(probe).run().code == Some(0)
    });
    let Some(flags) = flags else {
        let reason = "this machine allows no mount in a namespace of one's own (unshare, mount)";
        #[expect(clippy::disallowed_methods, reason = "a person who can not mount says so")]
        let may_skip = std::env::var("MESHLEDGER_ALLOW_SKIP").is_ok_and(|value| value == "1");
        assert!(may_skip, "{reason}; MESHLEDGER_ALLOW_SKIP=1 leaves this test out");
        eprintln!("not tested: {reason}");
        return None;
    };
    let run = Program::new("unshare").args([flags, "sh", "-c", script, "sh"]);
    Some(run.args([meshledger()]).args(arguments).run())
}

#[test]
fn a_full_disk_is_said_and_once_there_is_space_nothing_is_missing() {
    let laptop = Laptop::empty();
    let traffic = laptop.path("traffic");
    let _ = ml(["generate", "--events", "20000", "--clusters", "1", "--out"])
        .args([&traffic])
        .run()
        .expect(0);
    let file = files_below(&traffic).remove(0);
    let disk = laptop.path("disk");
    fs::create_dir(&disk).unwrap();
    let script = r#"
        ml=$1 disk=$2 file=$3
        mount -t tmpfs -o size=16m none "$disk" || exit 90
        "$ml" init --archive "$disk/a" >&2 || exit 91
        dd if=/dev/zero of="$disk/filler" bs=64k 2>/dev/null
        truncate -s -100000 "$disk/filler"
        "$ml" ingest --archive "$disk/a" "$file" >&2
        echo "full $?"
        "$ml" verify --archive "$disk/a" >&2
        echo "verified $?"
        rm "$disk/filler"
        "$ml" ingest --archive "$disk/a" --seal "$file" >&2
        echo "space $?"
        "$ml" query --archive "$disk/a" --receipt none --format csv 'SELECT count(*) AS n FROM mesh_events'
    "#;
    let arguments = [disk.to_str().unwrap(), file.to_str().unwrap()];
    let Some(output) = in_own_mounts(script, &arguments) else { return };
    let text = output.text();
    assert!(text.contains("full 5\n"), "{}", output.report());
    assert!(text.contains("verified 0\n") || text.contains("verified 2\n"), "{}", output.report());
    assert!(text.contains("space 0\nn\n20000"), "{}", output.report());
    let _ = output.expect(0).says("space");
}

#[test]
fn a_place_that_may_not_be_written_is_said_and_can_still_be_read() {
    let laptop = Laptop::new();
    let _ = laptop.ingest_bytes("a.log", lines("a", 5));
    let _ = laptop.seal();
    let file = laptop.write("b.log", lines("b", 5));
    // Read-only even for root, which permission bits are not.
    let script = r#"
        ml=$1 folder=$2 archive=$3 file=$4
        mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit 90
        "$ml" ingest --archive "$archive" "$file" >&2
        echo "ingest $?"
        "$ml" init --archive "$folder/new" >&2
        echo "init $?"
        "$ml" verify --archive "$archive" >&2
        echo "verify $?"
        "$ml" query --archive "$archive" --receipt none --format csv 'SELECT count(*) AS n FROM mesh_events'
    "#;
    let folder = laptop.path("");
    let arguments = [folder.to_str().unwrap(), laptop.archive(), file.to_str().unwrap()];
    let Some(output) = in_own_mounts(script, &arguments) else { return };
    let expected = "ingest 5\ninit 5\nverify 0\nn\n5";
    assert!(output.text().starts_with(expected), "{}", output.report());
    assert!(!output.stderr.contains("panicked"), "{}", output.report());
}
