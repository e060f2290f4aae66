//! Locks in a place of their own: what a sealer remembers when archive and work area forget.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::cli::{Output, Program};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::records::lines;
use meshledger_tests::seaweed::Seaweed;
use meshledger_tests::tamper::{copy_tree, files_below};

/// An archive with a ledger whose locks are elsewhere.
struct Elsewhere {
    laptop: Laptop,
    locks: String,
    key: PathBuf,
}

impl Elsewhere {
    fn new(laptop: Laptop, locks: String) -> Self {
        let key = laptop.path("ledger.key");
        let init = laptop.command("init").args(["--ledger", "archive.example/mesh"]);
        let _ = init.args(["--locks", &locks, "--key"]).args([&key]).run().expect(0);
        Self { laptop, locks, key }
    }

    fn seal_with(&self, locks: &str) -> Output {
        self.laptop.command("seal").args(["--locks", locks, "--key"]).args([&self.key]).run()
    }

    fn ingest(&self, name: &str) {
        let _ = self.laptop.ingest_bytes(name, lines(name, 3));
    }

    fn verify(&self, locks: Option<&str>) -> Program {
        let verify = self.laptop.command("verify").args(["--json"]);
        locks.into_iter().fold(verify, |verify, locks| verify.args(["--locks", locks]))
    }
}

fn checkpoint(archive: &Path) -> String {
    fs::read_to_string(archive.join("_ledger/checkpoint")).unwrap()
}

fn replace_tree(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy_tree(from, to);
}

#[test]
fn archive_and_work_area_of_yesterday_are_refused_since_the_locks_remember() {
    let laptop = Laptop::empty();
    let locks = laptop.path("locks").display().to_string();
    let kept = Elsewhere::new(laptop, locks.clone());
    kept.ingest("first");
    let _ = kept.seal_with(&locks).expect(0);
    let (archive, work) = (kept.laptop.archive_path(), kept.laptop.work_path());
    assert!(!work.join("lock").exists(), "locks are elsewhere alone");
    // Of two sizes, and the key that began.
    assert_eq!(files_below(&Path::new(&locks).join("lock")).len(), 3);
    let (old, old_work) = (kept.laptop.path("old"), kept.laptop.path("old.work"));
    copy_tree(&archive, &old);
    copy_tree(&work, &old_work);
    kept.ingest("second");
    let _ = kept.seal_with(&locks).expect(0);
    let _ = kept.verify(Some(&locks)).run().expect(0);
    replace_tree(&old, &archive);
    replace_tree(&old_work, &work);
    let before = checkpoint(&archive);
    // Consistent in itself, and with any locks of yesterday.
    let _ = kept.verify(None).run().expect(0);
    let found = kept.verify(Some(&locks)).run().expect(1).json();
    assert_eq!(found["findings"][0]["code"], "FORK", "{found}");
    kept.ingest("third");
    let refused = kept.seal_with(&locks).expect(5).report();
    assert!(refused.contains("nothing was signed"), "{refused}");
    assert_eq!(checkpoint(&archive), before);
}

#[test]
fn with_another_place_of_locks_nothing_is_signed_until_it_is_meant() {
    let laptop = Laptop::empty();
    let locks = laptop.path("locks").display().to_string();
    let kept = Elsewhere::new(laptop, locks.clone());
    kept.ingest("first");
    let before = checkpoint(&kept.laptop.archive_path());
    let empty = kept.laptop.path("other").display().to_string();
    for wrong in [empty.as_str(), kept.laptop.work_path().to_str().unwrap()] {
        let refused = kept.seal_with(wrong).expect(5).report();
        assert!(refused.contains("is missing: expected root"), "{refused}");
    }
    // A file where the folder should be; the archive itself.
    let file = kept.laptop.write("file", "x").display().to_string();
    let _ = kept.seal_with(&file).expect(5);
    let _ = kept.seal_with(kept.laptop.archive()).expect(3);
    assert_eq!(checkpoint(&kept.laptop.archive_path()), before);
    // Copied, or begun anew by somebody who says so.
    copy_tree(&Path::new(&locks).join("lock"), &Path::new(&empty).join("lock"));
    let _ = kept.seal_with(&empty).expect(0);
    let anew = kept.laptop.path("anew").display().to_string();
    let seal = kept.laptop.command("seal").args(["--repair", "--locks", &anew, "--key"]);
    let said = seal.args([&kept.key]).run().expect(0).text();
    assert!(said.contains("knows now what was signed last"), "{said}");
    kept.ingest("second");
    let _ = kept.seal_with(&anew).expect(0);
    let _ = kept.verify(Some(&anew)).run().expect(0);
}

#[test]
fn locks_in_a_bucket_of_their_own_with_credentials_of_their_own() {
    let server = Seaweed::shared();
    server.make_bucket("locks");
    let environment = Seaweed::environment(server.port());
    let own = |name: &'static str| match name {
        "AWS_ENDPOINT_URL" => "MESHLEDGER_LOCKS_AWS_ENDPOINT_URL",
        "AWS_ALLOW_HTTP" => "MESHLEDGER_LOCKS_AWS_ALLOW_HTTP",
        "AWS_REGION" => "MESHLEDGER_LOCKS_AWS_REGION",
        "AWS_ACCESS_KEY_ID" => "MESHLEDGER_LOCKS_AWS_ACCESS_KEY_ID",
        _ => "MESHLEDGER_LOCKS_AWS_SECRET_ACCESS_KEY",
    };
    // The archive in a folder, so that these variables open the locks alone.
    let laptop = Laptop::empty();
    let archive = laptop.archive().to_owned();
    let only_locks: Vec<_> =
        environment.iter().map(|(name, value)| (own(name), value.clone())).collect();
    let laptop = Laptop::remote(&archive, only_locks);
    let kept = Elsewhere::new(laptop, "s3://locks/folder".to_owned());
    kept.ingest("first");
    let _ = kept.seal_with(&kept.locks).expect(0);
    let _ = kept.verify(Some(&kept.locks)).run().expect(0);
    // The archive in one bucket, its locks in the other, both with the same credentials.
    let laptop = Laptop::remote(&server.archive_url("with-locks"), environment);
    let kept = Elsewhere::new(laptop, "s3://locks/bucket".to_owned());
    kept.ingest("first");
    let _ = kept.seal_with(&kept.locks).expect(0);
    let _ = kept.verify(Some(&kept.locks)).run().expect(0);
    // A bucket that is not there, and one without the right to it.
    kept.ingest("second");
    let refused = kept.seal_with("s3://no-such-bucket/x").expect(5).report();
    assert!(!refused.contains("Sealed"), "{refused}");
    let seal = kept.laptop.command("seal").args(["--locks", &kept.locks, "--key"]);
    let denied = [
        ("MESHLEDGER_LOCKS_AWS_ACCESS_KEY_ID", "meshledger-test"),
        ("MESHLEDGER_LOCKS_AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let denied = denied.map(|(name, value)| (name, value.to_owned()));
    let _ = seal.args([&kept.key]).envs(denied).run().expect(5);
    let sealed = kept.seal_with(&kept.locks).expect(0).text();
    assert!(sealed.contains("covers versions 0 to 2"), "{sealed}");
}
