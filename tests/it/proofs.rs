//! Proofs, as their owner makes them and as somebody else checks them: with `check-proof`, with a
//! checker in Python that was written from the format page.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::cli::{Output, Program, ml};
use meshledger_tests::laptop::{Laptop, Signing};
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::tamper::{files_below, flip_byte};
use serde_json::Value;

const NOT_VALID: i32 = 1;
const USAGE: i32 = 3;
const INPUT: i32 = 4;
const STORAGE: i32 = 5;

/// An archive with a ledger of four commits, the last with two files.
struct Signed {
    laptop: Laptop,
    key: PathBuf,
    policy: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let laptop = Laptop::empty();
        let Signing { key, policy } = laptop.begin_ledger("archive.example/mesh");
        let signed = Self { laptop, key, policy };
        for names in [&["first"][..], &["second"], &["third", "fourth"]] {
            signed.add(names);
        }
        signed
    }

    fn add(&self, names: &[&str]) {
        for name in names {
            let _ = self.laptop.ingest_bytes(name, lines(name, 7));
        }
        let _ = self.laptop.seal_with(&self.key).run().expect(0);
    }

    fn prove(&self, what: &str) -> Program {
        ml(["prove", what, "--archive", self.laptop.archive()])
    }

    /// A proof on standard output, in a file.
    fn proof(&self, program: Program, name: &str) -> PathBuf {
        self.laptop.write(name, program.run().expect(0).text())
    }

    /// `<segment>/<segment_row>` of an event.
    fn id(&self, request_id: &str) -> String {
        let sql = format!("SELECT * FROM mesh_events WHERE request_id = '{request_id}'");
        let row = &self.laptop.query(&sql)[0];
        format!("{}/{}", row["segment"].as_str().unwrap(), row["segment_row"])
    }

    fn event(&self, request_id: &str) -> PathBuf {
        let program = self.prove("event").args([self.id(request_id)]);
        self.proof(program, &format!("{request_id}.tlog-proof"))
    }

    fn check(&self, proof: &Path) -> Program {
        ml(["check-proof", "--json"]).args([proof]).args(["--policy"]).args([&self.policy])
    }

    /// What the checker in Python says.
    fn python(&self, proof: &Path) -> Output {
        script("check_proof.py").args([proof]).args(["--policy"]).args([&self.policy]).run()
    }

    /// Both checkers must accept; returns what ours says.
    fn accepted(&self, proof: &Path) -> (Value, Value) {
        (self.check(proof).run().expect(0).json(), self.python(proof).expect(0).json())
    }

    /// Both checkers must refuse.
    fn refused(&self, proof: &Path) -> String {
        let ours = self.check(proof).run().expect(NOT_VALID).json();
        assert_eq!((&ours["valid"], &ours["code"]), (&false.into(), &"PROOF".into()), "{ours}");
        let python = self.python(proof).expect(NOT_VALID).json();
        assert_eq!(python["valid"], false, "{python}");
        ours["problem"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_event_is_proven_without_the_archive_and_shows_what_a_query_shows() {
    let signed = Signed::new();
    let proof = signed.event("second-3");
    let sql = "SELECT * FROM mesh_events WHERE request_id = 'second-3'";
    let row = signed.laptop.query(sql).remove(0);
    // Elsewhere: nothing of the archive is there.
    let away = signed.laptop.path("away");
    fs::rename(signed.laptop.archive_path(), &away).unwrap();
    let (ours, python) = signed.accepted(&proof);
    fs::rename(&away, signed.laptop.archive_path()).unwrap();
    let place = ["segment", "segment_row"];
    let mut shown = ours["event"].clone();
    for name in place {
        assert_eq!(ours[name], row[name], "{ours}");
        shown[name] = row[name].clone();
    }
    shown["event_date"] = row["event_date"].clone();
    let known = |value: &Value| {
        let members = value.as_object().unwrap().iter();
        let members = members.filter(|(name, value)| !value.is_null() && !name.ends_with("_time"));
        members.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(known(&shown), known(&row));
    assert_eq!((&ours["version"], &ours["checkpoint"]["size"]), (&2.into(), &4.into()));
    assert_eq!(
        python["fields"].as_object().unwrap().len(),
        ours["event"].as_object().unwrap().len()
    );
    // 89: request_id.
    assert_eq!(python["fields"]["89"], "second-3");
    // For people.
    let text = ml(["check-proof"]).args([&proof]).args(["--policy"]).args([&signed.policy]);
    let text = text.run().expect(0).text();
    for words in ["Valid: commit 2 added the event", "second-3", "Signed by archive.example/mesh/"]
    {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn an_event_proof_shows_no_other_event() {
    let signed = Signed::new();
    let proof = fs::read_to_string(signed.event("third-3")).unwrap();
    let (shown, hidden) = ("third-3", ["third-0", "third-2", "third-4", "third-6", "fourth-"]);
    let all = signed.python_text(&proof);
    assert!(all.contains(shown));
    for other in hidden {
        assert!(!all.contains(other), "{other}");
    }
    // What the commit says of the file does name others, so it is not in the proof.
    let commit = files_below(&signed.laptop.archive_path().join("_delta_log")).pop().unwrap();
    let commit = fs::read_to_string(commit).unwrap();
    assert!(hidden.iter().any(|other| commit.contains(other)), "{commit}");
    assert!(!all.contains("minValues") && !all.contains("principal\\\""));
}

impl Signed {
    /// Everything that is in a proof, decoded.
    fn python_text(&self, proof: &str) -> String {
        let program = "import base64, sys\n\
            text = sys.stdin.read()\n\
            extra = base64.b64decode(text.split('\\n')[1][6:]).decode()\n\
            print(text, extra)\n\
            for line in extra.split('\\n'):\n\
            \x20   name, _, value = line.partition(' ')\n\
            \x20   if name in ('shared', 'own'):\n\
            \x20       print(base64.b64decode(value))\n";
        let python = meshledger_tests::paths::venv().join("bin/python");
        Program::new(python).args(["-c", program]).stdin(proof).run().expect(0).text()
    }
}

#[test]
fn a_condition_proves_many_events_into_a_folder() {
    let signed = Signed::new();
    let out = signed.laptop.path("proofs");
    let condition = "request_id LIKE 'third-%' OR request_id = 'first-1' -- a comment";
    let said = signed.prove("event").args(["--where", condition, "--out"]).args([&out]);
    let said = said.run().expect(0).says("Proved 8 events");
    let written: Vec<PathBuf> = said.text().lines().map(PathBuf::from).collect();
    assert_eq!((written.len(), files_below(&out).len()), (8, 8));
    for proof in &written {
        let (ours, _) = signed.accepted(proof);
        let name =
            format!("{}-{}.tlog-proof", ours["segment"].as_str().unwrap(), ours["segment_row"]);
        assert_eq!(proof.file_name().unwrap().to_str().unwrap(), name);
    }
    for (arguments, exit, words) in [
        (&["--where", "request_id = 'nobody'"][..], USAGE, "no sealed event"),
        (&["--where", "true"], USAGE, "use --out DIR"),
        (&["--where", "true) OR (1"], 6, ""),
        (&["--where", "true); DROP TABLE mesh_events; --"], 6, ""),
        (&[], USAGE, "required"),
        (&["0123"], USAGE, "expected <segment>/<segment_row>"),
        (&["00000000000000000000000000000000/0"], USAGE, "is not among the 4 commits"),
    ] {
        let _ = signed.prove("event").args(arguments).run().expect(exit).says(words);
    }
    let (segment, _) =
        signed.id("first-1").split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let _ = signed.prove("event").args([format!("{segment}/7")]).run().expect(USAGE).says("7 rows");
}

#[test]
fn a_file_is_proven_and_a_copy_of_it_compared() {
    let signed = Signed::new();
    let data = files_below(&signed.laptop.archive_path().join("data"));
    for file in &data {
        let key = file.strip_prefix(signed.laptop.archive_path()).unwrap();
        let by_key = signed.proof(signed.prove("file").args([key]), "by-key");
        let sha256 = file.file_stem().unwrap();
        let by_digest = signed.proof(signed.prove("file").args([sha256]), "by-digest");
        assert_eq!(fs::read(&by_key).unwrap(), fs::read(&by_digest).unwrap());
        let (ours, python) = signed.accepted(&by_key);
        for member in ["path", "sha256", "bytes", "rows", "version"] {
            assert_eq!(ours[member], python[member], "{member}");
        }
        assert_eq!(ours["path"], key.to_str().unwrap());
        let compare = |copy: &Path| signed.check(&by_key).args(["--file"]).args([copy]).run();
        assert_eq!(compare(file).expect(0).json()["compared"], true);
        let copy = signed.laptop.path("copy");
        fs::copy(file, &copy).unwrap();
        flip_byte(&copy, 100);
        let found = compare(&copy).expect(NOT_VALID).json();
        assert!(found["problem"].as_str().unwrap().contains("found"), "{found}");
    }
    let event = signed.event("first-1");
    let _ = signed.check(&event).args(["--file"]).args([&data[0]]).run().expect(USAGE);
    let _ = signed.prove("file").args(["data/nothing.parquet"]).run().expect(USAGE);
}

#[test]
fn growth_is_proven_from_a_checkpoint_that_somebody_kept() {
    let signed = Signed::new();
    // An auditor's copy of today, and the archive goes on.
    let kept = signed.laptop.path("kept");
    fs::copy(signed.laptop.archive_path().join("_ledger/checkpoint"), &kept).unwrap();
    let old = signed.event("first-1");
    signed.add(&["fifth"]);
    let grown = signed.proof(signed.prove("consistency").args([&kept]), "grown");
    let (ours, python) = signed.accepted(&grown);
    assert_eq!((&ours["old"]["size"], &ours["checkpoint"]["size"]), (&4.into(), &5.into()));
    assert_eq!(python["old"]["size"], 4);
    for (one, other) in [("1", "5"), ("5", "2"), ("3", "3")] {
        let proof = signed.proof(signed.prove("consistency").args([one, other]), "sizes");
        let _ = signed.accepted(&proof);
    }
    // What was proven before is proven still.
    let _ = signed.accepted(&old);
    // A checkpoint that this ledger does not continue.
    let other = Signed::new();
    let foreign = other.laptop.archive_path().join("_ledger/checkpoint");
    let forked = signed.prove("consistency").args([&foreign]).run().expect(NOT_VALID);
    let _ = forked.says("does not continue the checkpoint");
    for size in ["0", "6"] {
        let _ = signed.prove("consistency").args([size]).run().expect(USAGE);
    }
    let nonsense = signed.laptop.write("nonsense", "nonsense");
    let _ = signed.prove("consistency").args([nonsense]).run().expect(INPUT);
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
fn both_checkers_refuse_any_proof_that_was_changed() {
    let seed = std::env::var("MESHLEDGER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let mut state: u64 = seed.unwrap_or(4);
    eprintln!("MESHLEDGER_TEST_SEED={state}");
    let signed = Signed::new();
    let file = files_below(&signed.laptop.archive_path().join("data")).remove(0);
    let proofs = [
        signed.event("third-5"),
        signed.proof(signed.prove("file").args([file.file_stem().unwrap()]), "file"),
        signed.proof(signed.prove("consistency").args(["2"]), "grown"),
    ];
    let bad = signed.laptop.path("bad");
    for proof in &proofs {
        let _ = signed.accepted(proof);
        let good = fs::read(proof).unwrap();
        for _ in 0..25 {
            let place = next(&mut state) % (good.len() as u64 * 8);
            let mut bytes = good.clone();
            bytes[usize::try_from(place / 8).unwrap()] ^= 1 << (place % 8);
            fs::write(&bad, bytes).unwrap();
            let problem = signed.refused(&bad);
            assert!(!problem.is_empty(), "bit {place} of {}", proof.display());
        }
        fs::write(&bad, &good[..good.len() / 2]).unwrap();
        let _ = signed.refused(&bad);
    }
    // Another archive's proof is as good as this one's, and not by this policy.
    let other = Signed::new();
    assert!(signed.refused(&other.event("third-5")).contains("signature"));
    // The end of one proof behind the beginning of another.
    let (one, two) = (
        fs::read_to_string(&proofs[0]).unwrap(),
        fs::read_to_string(signed.event("first-1")).unwrap(),
    );
    let (head, _) = one.split_once("\nindex ").unwrap();
    let (_, tail) = two.split_once("\nindex ").unwrap();
    fs::write(&bad, format!("{head}\nindex {tail}")).unwrap();
    assert!(signed.refused(&bad).contains("index"));
}

#[test]
fn whom_to_trust_must_be_said_and_what_can_not_be_read_is_no_verdict() {
    let signed = Signed::new();
    let proof = signed.event("first-1");
    let check = |arguments: &[&str]| ml(["check-proof"]).args([&proof]).args(arguments).run();
    let _ = check(&[]).expect(USAGE).says("--policy");
    let policy = signed.policy.to_str().unwrap();
    let _ = check(&["--policy", policy, "--no-policy"]).expect(USAGE);
    let alone = check(&["--no-policy"]).expect(0).text();
    assert!(alone.contains("NOBODY'S SIGNATURE WAS CHECKED"), "{alone}");
    assert_eq!(check(&["--no-policy", "--json"]).expect(0).json()["signed_by"], Value::Null);
    let nonsense = signed.laptop.write("nonsense.txt", "log nonsense\nquorum none\n");
    let _ = check(&["--policy", nonsense.to_str().unwrap()]).expect(USAGE).says("line 1");
    let _ = check(&["--policy", "/nowhere"]).expect(USAGE);
    let _ = ml(["check-proof", "/nowhere", "--no-policy"]).run().expect(INPUT);
    let piped = ml(["check-proof", "-", "--no-policy"]).stdin(fs::read(&proof).unwrap());
    let _ = piped.run().expect(0);
    for (name, bytes) in [("empty", Vec::new()), ("long", vec![b'a'; 40 << 20])] {
        let file = signed.laptop.write(name, bytes);
        let _ = ml(["check-proof", "--no-policy"]).args([file]).run().expect(NOT_VALID);
    }
}

#[test]
fn nothing_is_proven_of_what_is_not_signed_or_not_what_was_sealed() {
    let signed = Signed::new();
    let id = signed.id("first-1");
    let _ = signed.laptop.ingest_bytes("waits", lines("waits", 3));
    let waits = signed.prove("event").args([signed.id("waits-1")]).run();
    let _ = waits.expect(USAGE).says("once it is sealed");
    let waits = signed.prove("event").args(["--where", "request_id = 'waits-1'"]).run();
    let _ = waits.expect(USAGE).says("no sealed event");
    // The file was changed, or a commit.
    for file in files_below(&signed.laptop.archive_path().join("data")) {
        flip_byte(&file, 200);
    }
    let _ = signed.prove("event").args([&id]).run().expect(STORAGE);
    let plain = Laptop::new();
    let _ = plain.ingest_bytes("a", lines("a", 3));
    let _ = plain.command("seal").run();
    let row = plain.query("SELECT segment, segment_row FROM mesh_events").remove(0);
    let id = format!("{}/{}", row["segment"].as_str().unwrap(), row["segment_row"]);
    let program = ml(["prove", "event", "--archive", plain.archive()]).args([id]);
    let _ = program.run().expect(STORAGE).says("no signed checkpoint");
}

#[test]
fn programs_of_others_find_the_same_proof() {
    let signed = Signed::new();
    let policy = fs::read_to_string(&signed.policy).unwrap();
    let key = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    let key = signed.laptop.write("log.key", format!("{}\n", key.split(' ').next().unwrap()));
    let file = files_below(&signed.laptop.archive_path().join("data")).remove(0);
    let file = signed.prove("file").args([file.file_stem().unwrap()]);
    let ledger = signed.laptop.archive_path().join("_ledger");
    for proof in [signed.event("first-1"), signed.event("fourth-6"), signed.proof(file, "file")] {
        let agreed = script("foreign_proof.py").args([proof, ledger.clone(), key.clone()]).run();
        assert_eq!(agreed.expect(0).text(), "agreed\n");
    }
}
