//! The signed ledger, as its owner, an auditor and an attacker use it.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::cli::{Output, Program};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::records::lines;
use meshledger_tests::tamper::{
    add_stray, append, copy_tree, delete, edit, files_below, flip_byte,
};
use serde_json::Value;

const TAMPERING: i32 = 1;
const INCOMPLETE: i32 = 2;
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
        let key = laptop.path("ledger.key");
        let said = laptop.command("init").args(["--ledger", NAME, "--key"]).args([&key]).run();
        let said = said.expect(0).text();
        // As a user would: the lines that are shown become the policy.
        let lines: String = said
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .fold(String::new(), |all, line| all + line + "\n");
        let policy = laptop.write("trust.txt", &lines);
        Self { laptop, key, policy }
    }

    fn seal(&self) -> Output {
        self.laptop.command("seal").args(["--key"]).args([&self.key]).run()
    }

    fn verify(&self) -> Program {
        self.laptop.command("verify").args(["--json", "--policy"]).args([&self.policy])
    }
}

fn report(output: &Output) -> Value {
    output.json()
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
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
    assert!(alone.contains("covers 3 commits") && alone.contains("no --policy"), "{alone}");
    // init again changes nothing, and finds the key that is there.
    let again = signed.laptop.command("init").args(["--ledger", NAME, "--key"]).args([&signed.key]);
    assert!(again.run().expect(0).text().contains("covers 3 commits"));
    let _ = signed.verify().run().expect(0);
}

#[test]
fn ingest_seals_with_the_key_of_the_environment_and_nobody_seals_without() {
    let signed = Signed::begun();
    let file = signed.laptop.write("a.log", lines("a", 3));
    let key = [("MESHLEDGER_KEY_FILE", signed.key.display().to_string())];
    let _ = signed.laptop.ingest([&file]).args(["--seal"]).envs(key).run().expect(0);
    assert_eq!(report(&signed.verify().run().expect(0))["ledger"]["size"], 2);
    let _ = signed.laptop.ingest_bytes("b.log", lines("b", 3));
    // HOME may have keys of other archives, not of this one.
    let refused = signed.laptop.command("seal").run().expect(5).report();
    assert!(refused.contains("no key was given"), "{refused}");
    let other = Signed::begun();
    let refused = signed.laptop.command("seal").args(["--key"]).args([&other.key]).run();
    assert!(refused.expect(5).report().contains("expected a key named"));
    let _ = signed.seal().expect(0);
    assert_eq!(report(&signed.verify().run().expect(0))["ledger"]["size"], 3);
}

/// An attack, and what it must be called.
type Attack = (&'static str, i32, &'static str, fn(&Path, &Path));

const CHECKPOINT: &str = "_ledger/checkpoint";

fn commit(archive: &Path, version: u64) -> PathBuf {
    archive.join(format!("_delta_log/{version:020}.json"))
}

fn signature(archive: &Path, size: u64) -> PathBuf {
    files_below(&archive.join(format!("_ledger/checkpoints/{size:020}"))).remove(0)
}

const ATTACKS: &[Attack] = &[
    ("remove the last commit", TAMPERING, "GAP", |a, _| delete(&commit(a, 2))),
    ("white space in the last commit", TAMPERING, "LEAF", |a, _| {
        edit(&commit(a, 2), "\"timestamp\":", "\"timestamp\": ");
    }),
    ("another time in the last commit", TAMPERING, "LEAF", |a, _| {
        edit(&commit(a, 2), "\"timestamp\":1", "\"timestamp\":2");
    }),
    ("remove the checkpoint", TAMPERING, "NOTE", |a, _| delete(&a.join(CHECKPOINT))),
    ("another root in the checkpoint", TAMPERING, "SIG", |a, _| {
        fs::copy(signature(a, 2), a.join("two")).unwrap();
        let two = fs::read_to_string(a.join("two")).unwrap();
        let root = two.lines().nth(2).unwrap().to_owned();
        let there = fs::read_to_string(a.join(CHECKPOINT)).unwrap();
        let own = there.lines().nth(2).unwrap().to_owned();
        edit(&a.join(CHECKPOINT), &own, &root);
        delete(&a.join("two"));
    }),
    ("another size in the checkpoint", TAMPERING, "SIG", |a, _| {
        edit(&a.join(CHECKPOINT), "\n3\n", "\n2\n");
    }),
    ("a checkpoint without signatures", TAMPERING, "NOTE", |a, _| {
        let text = fs::read_to_string(a.join(CHECKPOINT)).unwrap();
        let body = text.split("\n\n").next().unwrap().to_owned();
        fs::write(a.join(CHECKPOINT), body + "\n\n").unwrap();
    }),
    ("an extension line", TAMPERING, "NOTE", |a, _| {
        edit(&a.join(CHECKPOINT), "\n\n", "\nextension\n\n");
    }),
    ("a checkpoint in Windows lines", TAMPERING, "NOTE", |a, _| {
        edit(&a.join(CHECKPOINT), "\n3\n", "\r\n3\r\n");
    }),
    ("the older checkpoint again", INCOMPLETE, "UNSEALED", |a, _| {
        fs::copy(signature(a, 2), a.join(CHECKPOINT)).unwrap();
    }),
    ("flip a bit of a tile", TAMPERING, "TILE", |a, _| {
        flip_byte(&a.join("_ledger/tile/0/000.p/3"), 40);
    }),
    ("flip a bit of a tile that was replaced", TAMPERING, "TILE", |a, _| {
        flip_byte(&a.join("_ledger/tile/0/000.p/2"), 40);
    }),
    ("flip a bit of a bundle", TAMPERING, "TILE", |a, _| {
        flip_byte(&a.join("_ledger/tile/entries/000.p/3"), 40);
    }),
    ("remove a tile", TAMPERING, "TILE", |a, _| delete(&a.join("_ledger/tile/0/000.p/3"))),
    ("lengthen a tile", TAMPERING, "TILE", |a, _| append(&a.join("_ledger/tile/0/000.p/3"), b"x")),
    ("a tile of more commits than there are", TAMPERING, "STRAY", |a, _| {
        add_stray(a, "_ledger/tile/0/000.p/4", &[0; 128]);
    }),
    ("a file in the ledger", TAMPERING, "STRAY", |a, _| add_stray(a, "_ledger/readme", b"hello")),
    ("a signature over another root", TAMPERING, "FORK", |a, _| {
        let (two, three) = (signature(a, 2), signature(a, 3));
        let to = two.parent().unwrap().join(three.file_name().unwrap());
        fs::copy(three, to).unwrap();
    }),
    ("a signature under another key's id", TAMPERING, "NOTE", |a, _| {
        let one = signature(a, 1);
        fs::copy(&one, one.with_file_name("00000000")).unwrap();
    }),
    ("another root was locked", TAMPERING, "FORK", |_, w| {
        fs::write(w.join(format!("lock/{:020}", 2)), "0".repeat(64) + "\n").unwrap();
    }),
    ("more commits were locked than there are", TAMPERING, "FORK", |_, w| {
        fs::write(w.join(format!("lock/{:020}", 4)), "0".repeat(64) + "\n").unwrap();
    }),
];

#[test]
fn every_attack_on_the_ledger_is_found_and_named_and_without_it_nothing_is() {
    let signed = Signed::new();
    let (archive, work) = (signed.laptop.archive_path(), signed.laptop.work_path());
    let (sound, sound_work) = (signed.laptop.path("sound"), signed.laptop.path("sound.work"));
    copy_tree(&archive, &sound);
    copy_tree(&work, &sound_work);
    for (name, exit, code, attack) in ATTACKS {
        attack(&archive, &work);
        let found = report(&signed.verify().run().expect(*exit));
        assert!(codes(&found).contains(code), "{name}: {found}");
        fs::remove_dir_all(&archive).unwrap();
        fs::remove_dir_all(&work).unwrap();
        copy_tree(&sound, &archive);
        copy_tree(&sound_work, &work);
    }
    let _ = signed.verify().run().expect(0);
}

#[test]
fn a_consistent_history_of_another_key_or_table_is_refused_by_the_policy() {
    let (signed, other) = (Signed::new(), Signed::new());
    // The other archive is sound, and its ledger too; this policy does not trust its key.
    let program = other.laptop.command("verify").args(["--json", "--policy"]);
    let found = report(&program.args([&signed.policy]).run().expect(TAMPERING));
    assert_eq!(codes(&found), ["SIG"], "{found}");
    // Its ledger in the place of ours.
    let ledger = signed.laptop.archive_path().join("_ledger");
    fs::remove_dir_all(&ledger).unwrap();
    copy_tree(&other.laptop.archive_path().join("_ledger"), &ledger);
    let found = report(&signed.verify().run().expect(TAMPERING));
    assert!(codes(&found).contains(&"ORIGIN") && codes(&found).contains(&"SIG"), "{found}");
    // No ledger at all, where the policy wants one.
    fs::remove_dir_all(&ledger).unwrap();
    let found = report(&signed.verify().run().expect(TAMPERING));
    assert!(codes(&found).contains(&"NOTE"), "{found}");
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

/// SplitMix64, by Sebastiano Vigna; public domain.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the seed of a test")]
fn any_bit_of_any_object_that_is_flipped_is_noticed() {
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let mut state: u64 = seed.unwrap_or(4);
    eprintln!("MESHLEDGER_TEST_SEED={state}");
    let signed = Signed::new();
    let mut files = files_below(&signed.laptop.archive_path());
    files.extend(files_below(&signed.laptop.work_path()));
    files.retain(|file| !file.to_str().unwrap().contains("/.tmp/"));
    assert!(files.len() >= 20, "{files:?}");
    for round in 0..200 {
        // Every object in turn, any of its bits.
        let file = &files[round % files.len()];
        let good = fs::read(file).unwrap();
        let place = next(&mut state) % (good.len() as u64 * 8);
        let mut bad = good.clone();
        bad[usize::try_from(place / 8).unwrap()] ^= 1 << (place % 8);
        fs::write(file, bad).unwrap();
        let output = signed.verify().run();
        assert_ne!(output.code, Some(0), "bit {place} of {}", file.display());
        fs::write(file, good).unwrap();
    }
    let _ = signed.verify().run().expect(0);
}
