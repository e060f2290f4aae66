//! Others who look at the ledger: a witness and two verifiers that others wrote, on archives that
//! were just written, and on forks of them.

use std::fs;
use std::path::PathBuf;

use meshledger_tests::cli::{Output, Program};
use meshledger_tests::laptop::Laptop;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::service::{Nonsense, Witness};
use meshledger_tests::tamper::{copy_tree, edit, files_below, flip_byte};
use serde_json::Value;

const TAMPERING: i32 = 1;
const INCOMPLETE: i32 = 2;
const USAGE: i32 = 3;
const STORAGE: i32 = 5;

/// An archive with a ledger, and its key and policy.
struct Log {
    laptop: Laptop,
    public: String,
    origin: String,
    policy: PathBuf,
}

impl Log {
    fn new() -> Self {
        let laptop = Laptop::signed();
        let (_, policy) = laptop.usual_key();
        let text = fs::read_to_string(&policy).unwrap();
        let public = text.lines().find_map(|line| line.strip_prefix("log ")).unwrap().to_owned();
        let origin = public.split('+').next().unwrap().to_owned();
        Self { laptop, public, origin, policy }
    }

    /// Names witnesses in the policy beside the key, and what is needed of them.
    fn trust(&self, witnesses: &str, quorum: &str) {
        let text = format!("log {}\n{witnesses}quorum {quorum}\n", self.public);
        fs::write(&self.policy, text).unwrap();
    }

    fn witness(&self, name: &str) -> Witness {
        Witness::start(name, &[(&self.origin, &self.public)])
    }

    /// Ingests and seals, and returns the seal.
    fn grow(&self, name: &str) -> Output {
        let _ = self.laptop.ingest_bytes(name, lines(name, 3));
        self.laptop.command("seal").args(["--json"]).run().expect(0)
    }

    fn push(&self) -> Program {
        self.laptop.below(["witness", "push"]).args(["--json"])
    }

    fn verify(&self) -> Output {
        self.laptop.command("verify").args(["--json"]).run()
    }

    /// Where the archive and its work area are kept while others are in their place.
    fn copy(&self, name: &str) -> [PathBuf; 2] {
        let copies = [self.laptop.path(name), self.laptop.path(&format!("{name}.work"))];
        copy_tree(&self.laptop.archive_path(), &copies[0]);
        copy_tree(&self.laptop.work_path(), &copies[1]);
        copies
    }

    fn restore(&self, name: &str) {
        let places = [self.laptop.archive_path(), self.laptop.work_path()];
        for (place, copy) in places.iter().zip([name.to_owned(), format!("{name}.work")]) {
            fs::remove_dir_all(place).unwrap();
            copy_tree(&self.laptop.path(&copy), place);
        }
    }
}

fn findings(output: &Output) -> Vec<(String, String)> {
    let report = output.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|one| (text(&one["severity"]), text(&one["code"]))).collect()
}

fn outcomes(output: &Output) -> Vec<String> {
    let report = output.json();
    let asked = report["witnesses"].as_array().unwrap();
    asked.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_foreign_witness_cosigns_what_grows_and_the_policy_can_ask_for_it() {
    let log = Log::new();
    let (one, two) = (log.witness("one.example/w"), log.witness("two.example/w"));
    log.trust(&format!("{}{}group both all one two\n", one.line("one"), two.line("two")), "both");
    // Nobody has cosigned yet.
    assert_eq!(findings(&log.verify().expect(TAMPERING)), [("tampering".into(), "WITNESS".into())]);
    assert_eq!(outcomes(&log.push().run().expect(0)), ["cosigned", "cosigned"]);
    assert_eq!(outcomes(&log.push().run().expect(0)), ["kept", "kept"]);
    for name in ["a", "b", "c"] {
        let seal = log.grow(name);
        assert_eq!(outcomes(&seal), ["cosigned", "cosigned"], "{}", seal.report());
        let report = log.verify().expect(0).json();
        assert_eq!(
            report["ledger"]["witnesses"],
            serde_json::json!(["one.example/w", "two.example/w"])
        );
    }
    // Each cosignature is an object of its own, and a note.
    let kept = files_below(&log.laptop.archive_path().join("_ledger/checkpoints"));
    assert_eq!(kept.len(), 4 * 3);
    // A witness that does not answer keeps nobody from sealing.
    drop(two);
    let seal = log.grow("d").says("did not cosign").says("asks again");
    assert_eq!(outcomes(&seal), ["cosigned", "failed"]);
    let report = log.verify().expect(INCOMPLETE);
    assert_eq!(findings(&report), [("incomplete".into(), "WITNESS".into())]);
    assert_eq!(report.json()["findings"][0]["version"], 4, "{}", report.report());
    let _ = log.push().run().expect(STORAGE).says("did not cosign");
    // Whoever asks less is content; whoever names no witness can not check their signatures.
    log.trust(&format!("{}{}group any 1 one two\n", one.line("one"), one.line("two")), "any");
    let _ = log.verify().expect(USAGE).says("each key once");
    log.trust("", "none");
    assert!(findings(&log.verify().expect(INCOMPLETE)).iter().all(|(_, code)| code == "SIG"));
}

#[test]
fn a_foreign_witness_refuses_a_fork_and_a_rollback_and_we_say_so_loudly() {
    let log = Log::new();
    let witness = log.witness("witness.example/w");
    log.trust(&witness.line("w"), "w");
    let _ = log.grow("a");
    log.copy("at two");
    for name in ["b", "c"] {
        assert_eq!(outcomes(&log.grow(name)), ["cosigned"]);
    }
    log.copy("at four");
    // Everything taken back: what is there is sound, and older than what the witness saw.
    log.restore("at two");
    let _ = log.verify().expect(0);
    // Its cosignature of that size is there, so nobody is asked; of the next size there is none.
    let refused = log.grow("other b").says("REFUSES").says("taken back");
    assert_eq!(outcomes(&refused), ["refused"]);
    // The same size, another history.
    let refused = log.grow("other c").says("REFUSES");
    assert_eq!(outcomes(&refused), ["refused"]);
    // A greater size.
    let refused = log.grow("other d").says("REFUSES");
    assert_eq!(outcomes(&refused), ["refused"]);
    let pushed = log.push().run().expect(TAMPERING).says("REFUSES").says("another history");
    assert_eq!(outcomes(&pushed), ["refused"]);
    // The fork is signed by the right key, and sound in itself; the quorum ends before it.
    let report = log.verify().expect(INCOMPLETE);
    assert_eq!(findings(&report), [("incomplete".into(), "WITNESS".into())]);
    assert_eq!(report.json()["findings"][0]["version"], 2);
    // The true one goes on.
    log.restore("at four");
    let _ = log.verify().expect(0);
    assert_eq!(outcomes(&log.grow("d")), ["cosigned"]);
    let _ = log.verify().expect(0);
}

#[test]
fn a_witness_that_does_not_know_the_log_or_its_key_is_explained() {
    let (log, other) = (Log::new(), Log::new());
    let stranger = other.witness("witness.example/w");
    log.trust(&stranger.line("w"), "none");
    let said = log.push().run().expect(STORAGE).says("does not know the ledger");
    assert_eq!(outcomes(&said), ["failed"]);
    // It knows the origin, with another key.
    let forged = other.public.replacen(&other.origin, &log.origin, 1);
    assert_ne!(forged, other.public);
    log.trust("", "none");
    let _ = log.push().run().expect(USAGE).says("no witness with a URL");
    let _ = log.push().args(["--policy", "none"]).run().expect(USAGE).says("no policy");
}

#[test]
fn whatever_a_witness_answers_nothing_wrong_is_kept_and_sealing_goes_on() {
    let log = Log::new();
    let true_one = log.witness("witness.example/w");
    let nonsense = Nonsense::start();
    let line = format!("witness w {} http://127.0.0.1:{}\n", true_one.key, nonsense.port());
    log.trust(&line, "none");
    let own = fs::read_to_string(log.laptop.archive_path().join("_ledger/checkpoint")).unwrap();
    let of_log = own.lines().last().unwrap().to_owned() + "\n";
    let forged = of_log.replacen(&log.origin, "witness.example/w", 1);
    let long = "x".repeat(100_000);
    for (number, (status, body, words)) in [
        (200, "", "expected a cosignature"),
        (200, "no signature\n", "expected a cosignature"),
        (200, &*of_log, "others' only"),
        (200, &*forged, "others' only"),
        (200, &*long, "longer"),
        (409, "no size", "expected the size"),
        (409, "18446744073709551616\n", "expected the size"),
        (409, "0\n", "another root at size 0"),
        (409, "99\n", "has seen size 99"),
        (422, "bad", "another history"),
        (403, "bad\u{1b}[31m", "does not trust"),
        (500, "bad", "found 500"),
        (301, "", "found 301"),
    ]
    .into_iter()
    .enumerate()
    {
        nonsense.answers(status, body.as_bytes());
        let seal = log.grow(&format!("{number}")).says(words);
        assert!(!seal.stderr.contains('\u{1b}'), "{}", seal.report());
    }
    let kept = files_below(&log.laptop.archive_path().join("_ledger/checkpoints"));
    assert_eq!(kept.len(), 14, "the log's own signatures only");
    let _ = log.verify().expect(0);
    // A cosignature that somebody plants is not taken for one.
    log.trust(&true_one.line("w"), "w");
    let _ = log.push().run().expect(0);
    let _ = log.verify().expect(0);
    let kept = files_below(&log.laptop.archive_path().join("_ledger/checkpoints"));
    let newest = kept.iter().filter(|file| file.to_str().unwrap().contains("00014/"));
    for file in newest {
        let good = fs::read(file).unwrap();
        flip_byte(file, -20);
        let found = findings(&log.verify().expect(TAMPERING));
        assert!(found.iter().any(|(_, code)| code == "SIG" || code == "NOTE"), "{found:?}");
        fs::write(file, good).unwrap();
    }
    let _ = log.verify().expect(0);
}

/// What the foreign verifiers say of the ledger: aics-tlog, tlog-scales.
fn judged(log: &Log, earlier: Option<&PathBuf>) -> (String, String) {
    let ledger = log.laptop.archive_path().join("_ledger");
    let judge = script("foreign_logs.py").args([&ledger]).args([&log.public]).args(earlier);
    let said = judge.run().expect(0).json();
    let of = |name: &str| said[name].as_str().unwrap().to_owned();
    (of("aics"), of("scales"))
}

#[test]
fn two_foreign_verifiers_accept_an_archive_just_written_and_refuse_a_fork_and_flipped_bits() {
    let log = Log::new();
    for name in ["a", "b"] {
        let _ = log.grow(name);
    }
    let ok = || ("ok".to_owned(), "ok".to_owned());
    log.copy("at three");
    let checkpoint = log.laptop.archive_path().join("_ledger/checkpoint");
    for name in ["c", "d", "e", "f"] {
        let _ = log.grow(name);
    }
    let earlier = log.laptop.path("at three/_ledger/checkpoint");
    assert_eq!(judged(&log, Some(&earlier)), ok());
    let seen = log.laptop.write("seen", fs::read(&checkpoint).unwrap());
    log.copy("sound");
    let refused = |attack: &str, earlier: Option<&PathBuf>| {
        let (aics, scales) = judged(&log, earlier);
        assert!(aics != "ok" && scales != "ok", "{attack}: aics {aics}; scales {scales}");
        log.restore("sound");
        assert_eq!(judged(&log, Some(&seen)), ok());
    };
    let ledger = log.laptop.archive_path().join("_ledger");
    flip_byte(&ledger.join("tile/0/000.p/7"), 40);
    refused("a flipped bit of a tile", None);
    flip_byte(&ledger.join("tile/entries/000.p/7"), 40);
    refused("a flipped bit of an entry", None);
    edit(&checkpoint, "\n7\n", "\n6\n");
    refused("a forged size", None);
    let other = Log::new();
    let signature = fs::read_to_string(other.laptop.archive_path().join("_ledger/checkpoint"));
    let signature = signature.unwrap().lines().last().unwrap().to_owned();
    let own = fs::read_to_string(&checkpoint).unwrap().lines().last().unwrap().to_owned();
    edit(&checkpoint, &own, &signature.replacen(&other.origin, &log.origin, 1));
    refused("another key's signature", None);
    // A fork: the same key signs another history from size 3 on. It is sound in itself; whoever
    // kept a checkpoint of the true one refuses it.
    log.restore("at three");
    for name in ["other c", "other d", "other e", "other f", "other g"] {
        let _ = log.grow(name);
    }
    assert_eq!(judged(&log, Some(&earlier)), ok());
    refused("a fork", Some(&seen));
}
