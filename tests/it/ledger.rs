//! The signed ledger, as its owner and an auditor use it; the attacks are in `matrix.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::cli::{Output, Program};
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::paths::fixture;
use meshledger_tests::python::read_archive;
use meshledger_tests::records::lines;
use meshledger_tests::server::Server;
use meshledger_tests::tamper::{copy_tree, delete, edit, flip_byte};
use serde_json::Value;

const TAMPERING: i32 = 1;
const USAGE: i32 = 3;
const NAME: &str = "archive.example/mesh";

/// An archive with a ledger of three commits, and what an auditor was given of it.
struct Signed {
    laptop: Laptop,
    key: PathBuf,
    policy: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let signed = Self::begun();
        for name in ["first", "second"] {
            let _ = signed.laptop.ingest_bytes(name, lines(name, 5));
            let _ = signed.seal().expect(0);
        }
        signed
    }

    /// A ledger that covers version 0.
    fn begun() -> Self {
        let laptop = Laptop::empty();
        let Signing { key, policy } = laptop.begin_ledger(NAME);
        Self { laptop, key, policy }
    }

    fn seal(&self) -> Output {
        self.laptop.seal_with(&self.key).run()
    }

    fn verify(&self) -> Program {
        self.laptop.command("verify").args(["--json", "--policy"]).args([&self.policy])
    }
}

fn report(output: &Output) -> Value {
    output.json()
}

#[test]
fn what_is_sealed_is_signed_and_an_auditor_with_the_policy_sees_it() {
    let signed = Signed::new();
    let good = report(&signed.verify().run().expect(0));
    assert_eq!((&good["ok"], &good["ledger"]["size"]), (&true.into(), &3.into()), "{good}");
    let origin = good["ledger"]["origin"].as_str().unwrap();
    assert_eq!(origin, format!("{NAME}/{}", good["table_id"].as_str().unwrap()));
    let key = good["ledger"]["signed_by"].as_str().unwrap();
    assert!(fs::read_to_string(&signed.policy).unwrap().contains(key), "{key}");
    // Without a policy the tree is checked all the same; whose signature it is, is not.
    let alone = signed.laptop.command("verify").run().expect(0).text();
    assert!(alone.contains("covers 3 commits") && alone.contains("no policy"), "{alone}");
    // init again changes nothing, and finds the key that is there.
    let again = signed.laptop.command("init").args(["--ledger", NAME, "--key"]).args([&signed.key]);
    assert!(again.run().expect(0).text().contains("covers 3 commits"));
    let _ = signed.verify().run().expect(0);
}

#[test]
fn ingest_seals_with_the_key_of_the_environment_and_nobody_seals_without() {
    let signed = Signed::begun();
    let file = signed.laptop.write("a.log", lines("a", 3));
    let key = [("MESHLEDGER_KEY", signed.key.display().to_string())];
    let _ = signed.laptop.ingest([&file]).args(["--seal"]).envs(key).run().expect(0);
    assert_eq!(report(&signed.verify().run().expect(0))["ledger"]["size"], 2);
    let _ = signed.laptop.ingest_bytes("b.log", lines("b", 3));
    // This machine has no key of it in the usual place.
    let refused = signed.laptop.command("seal").run().expect(5).report();
    assert!(refused.contains("no key was given"), "{refused}");
    let other = Signed::begun();
    let refused = signed.laptop.command("seal").args(["--key"]).args([&other.key]).run();
    assert!(refused.expect(USAGE).report().contains("expected a key named"));
    let _ = signed.seal().expect(0);
    assert_eq!(report(&signed.verify().run().expect(0))["ledger"]["size"], 3);
}

fn commit(archive: &Path, version: u64) -> PathBuf {
    archive.join(format!("_delta_log/{version:020}.json"))
}

/// What delta-rs, DuckDB and Polars read is what was ingested.
fn read_elsewhere(laptop: &Laptop) {
    let file = fixture("envoy/captured-default.jsonl");
    let _ = laptop.ingest([&file]).run().expect(0);
    let key = laptop.path("ledger.key");
    let _ = laptop.command("seal").args(["--key"]).args([&key]).run().expect(0);
    read_archive(&laptop.archive_path(), &[("east", &file)]);
}

#[test]
fn after_silence_seal_and_serve_sign_a_heartbeat_that_every_reader_reads_over() {
    for by_serve in [false, true] {
        // An archive that was made long ago, and nothing since.
        let laptop = Laptop::new();
        let made = commit(&laptop.archive_path(), 0);
        edit(&made, "\"timestamp\":1", "\"timestamp\":");
        let key = laptop.path("ledger.key");
        let _ =
            laptop.command("init").args(["--ledger", NAME, "--key"]).args([&key]).run().expect(0);
        if by_serve {
            let server = Server::start(&laptop, &["--key", key.to_str().unwrap()]);
            let _ = server.stop();
        } else {
            let seal = || laptop.command("seal").args(["--heartbeat-after", "60", "--key"]);
            let said = seal().args([&key]).run().expect(0).text();
            assert!(said.contains("version 1 is a heartbeat"), "{said}");
            let said = seal().args([&key]).run().expect(0).text();
            assert!(said.contains("Nothing new") && said.contains("version 1"), "{said}");
        }
        let text = fs::read_to_string(commit(&laptop.archive_path(), 1)).unwrap();
        assert!(
            text.contains("\"operation\":\"heartbeat\"") && text.lines().count() == 1,
            "{text}"
        );
        assert!(!commit(&laptop.archive_path(), 2).exists());
        read_elsewhere(&laptop);
        assert_eq!(laptop.events(), 36);
        let report = laptop.command("verify").args(["--json"]).run().expect(0).json();
        assert_eq!(report["ledger"]["size"], 3, "{report}");
    }
}

#[test]
fn a_commit_that_can_not_be_signed_blocks_until_it_is_repaired_by_name() {
    let signed = Signed::begun();
    let archive = signed.laptop.archive_path();
    let bad = b"{\"add\":{}}\n";
    fs::write(commit(&archive, 1), bad).unwrap();
    let _ = signed.seal().expect(5);
    let named = format!("1:{}", common::Sha256Digest::of(bad));
    let repair = |named: &str| {
        let seal = signed.laptop.command("seal").args(["--repair", named, "--key"]);
        seal.args([&signed.key]).run()
    };
    let wrong = repair(&format!("1:{}", "0".repeat(64))).expect(5).report();
    assert!(wrong.contains("no commit was changed"), "{wrong}");
    assert_eq!(fs::read(commit(&archive, 1)).unwrap(), bad);
    let said = repair(&named).expect(0).text();
    assert!(said.contains(&format!("Commit {named} gave way")), "{said}");
    read_elsewhere(&signed.laptop);
    assert_eq!(report(&signed.verify().run().expect(0))["ledger"]["size"], 3);
    // A tile that is lost comes back; a damaged one is named, and stays until it is deleted.
    let tile = archive.join("_ledger/tile/0/000.p/3");
    let good = fs::read(&tile).unwrap();
    delete(&tile);
    let ledger = || signed.laptop.command("seal").args(["--repair", "--key"]).args([&signed.key]);
    let said = ledger().run().expect(0).text();
    assert!(said.contains("Computed _ledger/tile/0/000.p/3"), "{said}");
    assert_eq!(fs::read(&tile).unwrap(), good);
    flip_byte(&tile, 40);
    let said = ledger().run().expect(5).report();
    assert!(said.contains("DAMAGED"), "{said}");
    delete(&tile);
    let _ = ledger().run().expect(0);
    let _ = signed.verify().run().expect(0);
}

#[test]
fn a_consistent_history_of_another_key_or_table_is_refused_by_the_policy() {
    let (signed, other) = (Signed::new(), Signed::new());
    // The other archive is sound, and its ledger too; this policy does not trust its key.
    let program = other.laptop.command("verify").args(["--json", "--policy"]);
    let found = program.args([&signed.policy]).run().expect(TAMPERING).codes();
    assert!(found.iter().all(|code| code == "SIG"), "{found:?}");
    // Its ledger in the place of ours.
    let ledger = signed.laptop.archive_path().join("_ledger");
    fs::remove_dir_all(&ledger).unwrap();
    copy_tree(&other.laptop.archive_path().join("_ledger"), &ledger);
    let found = signed.verify().run().expect(TAMPERING).codes();
    assert!(["ORIGIN", "SIG"].iter().all(|code| found.contains(&(*code).to_owned())), "{found:?}");
    // No ledger at all, where the policy wants one.
    fs::remove_dir_all(&ledger).unwrap();
    let found = signed.verify().run().expect(TAMPERING).codes();
    assert!(found.contains(&"NOTE".to_owned()), "{found:?}");
}

#[test]
fn a_policy_in_the_archive_or_of_nonsense_is_refused() {
    let signed = Signed::begun();
    let inside = signed.laptop.archive_path().join("trust.txt");
    fs::copy(&signed.policy, &inside).unwrap();
    let nonsense = signed.laptop.write("nonsense.txt", "log nonsense\nquorum none\n");
    let missing = signed.laptop.path("missing.txt");
    for (policy, expected) in
        [(inside, "lies in the archive"), (nonsense, "line 1"), (missing, "No such file")]
    {
        let program = signed.laptop.command("verify").args(["--policy"]).args([&policy]);
        let said = program.run().expect(USAGE).report();
        assert!(said.contains(expected), "{said}");
    }
}
