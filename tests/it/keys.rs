//! Keys: where they lie and who holds them, KMS among them, and one after another.

use std::fs;
use std::path::{Path, PathBuf};

use meshledger_tests::cli::Output;
use meshledger_tests::faulty_proxy::FaultyProxy;
use meshledger_tests::laptop::Laptop;
use meshledger_tests::python::script;
use meshledger_tests::records::lines;
use meshledger_tests::service::{Kms, Nonsense};
use meshledger_tests::tamper::files_below;
use serde_json::Value;

const TAMPERING: i32 = 1;
const USAGE: i32 = 3;
const STORAGE: i32 = 5;

fn size(output: &Output) -> u64 {
    output.json()["ledger"]["size"].as_u64().unwrap()
}

#[test]
fn init_alone_makes_a_ledger_and_says_where_its_key_and_policy_lie() {
    use std::os::unix::fs::PermissionsExt;
    let laptop = Laptop::empty();
    let said = laptop.command("init").run().expect(0).text();
    let (key, policy) = laptop.usual_key();
    for path in [&key, &policy] {
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let public = said.lines().find_map(|line| line.trim().strip_prefix("log ")).unwrap();
    assert!(public.starts_with("meshledger.local/archive/"), "{public}");
    assert!(fs::read_to_string(&policy).unwrap().contains(public));
    // Nothing of the key is in the archive or beside it.
    let private = fs::read_to_string(&key).unwrap();
    let seed = &private.trim_end()[private.len() - 41..];
    for place in [laptop.archive_path(), laptop.work_path()] {
        for file in files_below(&place) {
            let bytes = fs::read(&file).unwrap();
            let is_in = bytes.windows(seed.len()).any(|part| part == seed.as_bytes());
            assert!(!is_in, "{}", file.display());
        }
    }
    // The key is found by whatever seals, the policy by whatever verifies.
    let file = laptop.write("a.log", lines("a", 3));
    let _ = laptop.ingest([&file]).args(["--seal"]).run().expect(0);
    let _ = laptop.ingest_bytes("b.log", lines("b", 3));
    let _ = laptop.seal();
    let report = laptop.command("verify").args(["--json"]).run().expect(0);
    assert_eq!(size(&report), 3);
    assert_eq!(report.json()["policy"], policy.to_str().unwrap());
    assert_eq!(report.json()["ledger"]["signed_by"], public);
    let text = laptop.command("verify").run().expect(0).text();
    assert!(text.contains("Trusting the policy beside this archive's key"), "{text}");
    let text = laptop.command("verify").args(["--policy", "none"]).run().expect(0).text();
    assert!(text.contains("no policy was given"), "{text}");
    // Again it changes nothing.
    let said = laptop.command("init").run().expect(0).text();
    assert!(said.contains("exists already") && said.contains("covers 3 commits"), "{said}");
    // Somebody else's machine has no key, and makes none.
    let elsewhere = laptop.path("elsewhere").display().to_string();
    let other = [("XDG_STATE_HOME", elsewhere.clone())];
    let said = laptop.command("init").envs(other.clone()).run().expect(0).text();
    assert!(said.contains("not on this machine"), "{said}");
    assert!(!Path::new(&elsewhere).exists());
    let _ = laptop.command("seal").envs(other).run().expect(STORAGE).says("no key was given");
}

#[test]
fn an_archive_without_a_ledger_is_to_be_had_and_gets_one_later() {
    let laptop = Laptop::empty();
    let said = laptop.command("init").args(["--no-ledger"]).run().expect(0).text();
    assert!(!said.contains("key"), "{said}");
    assert!(!laptop.path("state").exists() && !laptop.archive_path().join("_ledger").exists());
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let _ = laptop.seal();
    laptop.verify_ok();
    let said = laptop.command("init").run().expect(0).text();
    assert!(said.contains("--ledger NAME"), "{said}");
    let said = laptop.command("init").args(["--ledger", "later.example"]).run().expect(0).text();
    assert!(said.contains("covers 2 commits"), "{said}");
    laptop.verify_ok();
    let refused = laptop.command("init").args(["--ledger", "other.example"]).run();
    let _ = refused.expect(USAGE).says("later.example");
    let both = laptop.command("init").args(["--ledger", "a.example", "--no-ledger"]).run();
    let _ = both.expect(USAGE);
}

#[test]
fn a_key_or_policy_in_the_archive_or_its_work_area_is_refused_before_anything_is_stored() {
    let laptop = Laptop::empty();
    for place in [laptop.archive_path(), laptop.work_path()] {
        let key = place.join("ledger.key");
        let init = laptop.command("init").args(["--key"]).args([&key]).run();
        let _ = init.expect(USAGE).says("keep it elsewhere");
    }
    assert!(!laptop.archive_path().exists() && !laptop.work_path().exists());
    let _ = laptop.command("init").run().expect(0);
    let (key, policy) = laptop.usual_key();
    for place in [laptop.archive_path(), laptop.work_path()] {
        let inside = place.join("copy");
        fs::create_dir_all(&place).unwrap();
        fs::copy(&key, &inside).unwrap();
        let seal = laptop.command("seal").args(["--key"]).args([&inside]).run();
        let _ = seal.expect(USAGE).says("keep it elsewhere");
        fs::copy(&policy, &inside).unwrap();
        let verify = laptop.command("verify").args(["--policy"]).args([&inside]).run();
        let _ = verify.expect(USAGE).says("keep it elsewhere");
        fs::remove_file(&inside).unwrap();
    }
}

#[test]
fn the_environment_holds_a_key_or_a_folder_of_keys_and_another_archives_key_is_explained() {
    let laptop = Laptop::signed();
    let (key, _) = laptop.usual_key();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    // A secret's text in a variable, as a function is given it.
    let text = fs::read_to_string(&key).unwrap();
    let secret = [("LEDGER_SECRET", text.clone())];
    let seal = |arguments: &[&str]| laptop.command("seal").args(arguments);
    let _ = seal(&["--key", "env:LEDGER_SECRET"]).envs(secret).run().expect(0);
    let unset = seal(&["--key", "env:LEDGER_SECRET"]).run().expect(USAGE).says("is unset");
    let seed = &text.trim_end()[text.len() - 31..];
    assert!(!unset.stderr.contains(seed));
    let wrong = [("LEDGER_SECRET", text[..text.len() - 9].to_owned())];
    let wrong = seal(&["--key", "env:LEDGER_SECRET"]).envs(wrong).run().expect(USAGE);
    assert!(!wrong.stderr.contains(&seed[..20]), "a key is never printed");
    // Two archives, one variable: the first one's key is not the second one's.
    let other = Laptop::signed();
    let (other_key, _) = other.usual_key();
    let named = [("MESHLEDGER_KEY", other_key.display().to_string())];
    let said = seal(&[]).envs(named).run().expect(USAGE);
    let _ = said.says("MESHLEDGER_KEY").says("a folder of keys").says("--key");
    // Its policy is not taken for this archive's either.
    let named = [("MESHLEDGER_KEY", other_key.display().to_string())];
    let report = laptop.command("verify").args(["--json"]).envs(named).run().expect(0);
    assert_eq!(size(&report), 2);
    // A folder that has both works for both.
    let folder = laptop.path("keys");
    fs::create_dir_all(&folder).unwrap();
    for key in [&key, &other_key] {
        fs::copy(key, folder.join(key.file_name().unwrap())).unwrap();
    }
    for laptop in [&laptop, &other] {
        let _ = laptop.ingest_bytes("b.log", lines("b", 3));
        let elsewhere = laptop.path("elsewhere").display().to_string();
        let named =
            [("MESHLEDGER_KEY", folder.display().to_string()), ("XDG_STATE_HOME", elsewhere)];
        let _ = laptop.command("seal").envs(named).run().expect(0);
        laptop.verify_ok();
    }
    for wrong in ["gcpkms:key", "", "awskms:"] {
        let _ = laptop.command("seal").args(["--key", wrong]).run().expect(USAGE);
    }
}

#[test]
fn of_two_that_begin_a_ledger_at_once_the_loser_leaves_nothing_wrong() {
    for round in 0..8 {
        let laptop = Laptop::empty();
        let _ = laptop.command("init").args(["--no-ledger"]).run().expect(0);
        let begin = |name: &str| {
            let state = laptop.path(name).display().to_string();
            let init = laptop.command("init").envs([("XDG_STATE_HOME", state)]);
            init.args(["--ledger", &format!("{name}.example")]).start()
        };
        let (one, other) = (begin("one"), begin("other"));
        let outcomes = [one.finish(), other.finish()];
        let mut won = 0;
        for (name, outcome) in ["one", "other"].iter().zip(&outcomes) {
            let keys = files_below(&laptop.path(name).join("meshledger/keys"));
            if outcome.code == Some(0) {
                won += 1;
                let policy = keys.iter().find(|path| path.extension().unwrap() == "policy");
                let verify = laptop.command("verify").args(["--json", "--policy"]);
                let report = verify.args([policy.unwrap()]).run().expect(0);
                assert_eq!(size(&report), 1);
            } else {
                assert!([Some(USAGE), Some(STORAGE)].contains(&outcome.code));
                assert!(outcome.report().contains(".example"), "{}", outcome.report());
                assert!(keys.is_empty(), "round {round}: {keys:?}");
            }
        }
        assert_eq!(won, 1, "round {round}: {outcomes:?}");
        let _ = laptop.command("verify").run().expect(0);
    }
}

/// An archive whose ledger a key in KMS signs.
fn init_with_kms(kms: &Kms, scheme: &str, spec: &str) -> (Laptop, String, String) {
    let arn = kms.create_key(spec);
    let key = format!("{scheme}:{arn}");
    let laptop = Laptop::empty();
    let environment = Kms::environment(kms.port());
    let said = laptop.command("init").args(["--key", &key]).envs(environment).run().expect(0);
    assert!(said.text().contains(&key), "{}", said.report());
    (laptop, key, kms.public_key(&arn))
}

#[test]
fn keys_in_kms_sign_and_their_signatures_verify_outside_with_the_key_kms_gives() {
    let kms = Kms::start();
    for (scheme, spec) in [("awskms", "ECC_NIST_EDWARDS25519"), ("awskms-p256", "ECC_NIST_P256")] {
        let (laptop, key, public) = init_with_kms(&kms, scheme, spec);
        for name in ["a", "b"] {
            let file = laptop.write(name, lines(name, 3));
            let ingest = laptop.ingest([&file]).args(["--seal", "--key", &key]);
            let _ = ingest.envs(Kms::environment(kms.port())).run().expect(0);
        }
        // The policy that init wrote; KMS is not asked to verify.
        let report = laptop.command("verify").args(["--json"]).run().expect(0);
        assert_eq!(size(&report), 3);
        assert!(report.json()["policy"].is_string());
        let mut notes = files_below(&laptop.archive_path().join("_ledger/checkpoints"));
        notes.push(laptop.archive_path().join("_ledger/checkpoint"));
        assert_eq!(notes.len(), 4);
        for note in notes {
            let check = script("check_note.py").args([&note]).args([&public]).run();
            let _ = check.expect(0);
        }
    }
}

#[test]
fn when_kms_fails_nothing_is_published_and_the_next_seal_makes_up_for_it() {
    let kms = Kms::start();
    let (laptop, key, _) = init_with_kms(&kms, "awskms", "ECC_NIST_EDWARDS25519");
    let checkpoint = laptop.archive_path().join("_ledger/checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let seal = |key: &str, port: u16| {
        laptop.command("seal").args(["--key", key]).envs(Kms::environment(port)).run()
    };
    let unpublished = |said: Output, words: &str| {
        let said = said.says(words);
        assert_eq!(fs::read(&checkpoint).unwrap(), before, "{}", said.report());
    };
    // Nobody there.
    unpublished(seal(&key, 1).expect(STORAGE), "AWS_ENDPOINT_URL_KMS");
    // Somebody else there: an answer, and no KMS's.
    let nonsense = Nonsense::start();
    for answer in [
        "no json",
        "{}",
        r#"{"PublicKey":"!","KeySpec":"ECC_NIST_EDWARDS25519","KeyUsage":"SIGN_VERIFY","SigningAlgorithms":["ED25519_SHA_512"]}"#,
        r#"{"PublicKey":"AAAA","KeySpec":"ECC_NIST_EDWARDS25519","KeyUsage":"SIGN_VERIFY","SigningAlgorithms":["ED25519_SHA_512"]}"#,
    ] {
        nonsense.answers(200, answer.as_bytes());
        unpublished(seal(&key, nonsense.port()).expect(STORAGE), "GetPublicKey");
    }
    nonsense.answers(200, &vec![b'x'; 100_000]);
    unpublished(seal(&key, nonsense.port()).expect(STORAGE), "longer");
    // A key that signs otherwise, one that is not there, and one that is another's.
    let p256 = kms.create_key("ECC_NIST_P256");
    unpublished(seal(&format!("awskms:{p256}"), kms.port()).expect(STORAGE), "awskms-p256");
    unpublished(seal("awskms:alias/none", kms.port()).expect(STORAGE), "NotFoundException");
    let other = format!("awskms:{}", kms.create_key("ECC_NIST_EDWARDS25519"));
    unpublished(seal(&other, kms.port()).expect(STORAGE), "key rotate");
    // Without TLS only where that is meant.
    let tls = [("AWS_ENDPOINT_URL_KMS", "http://kms.example".to_owned())];
    let refused = laptop.command("seal").args(["--key", &key]).envs(tls).run().expect(USAGE);
    unpublished(refused, "no TLS");
    let _ = seal(&key, kms.port()).expect(0);
    assert_ne!(fs::read(&checkpoint).unwrap(), before);
    let _ = laptop.command("verify").run().expect(0);
}

#[test]
fn a_kms_that_loses_answers_is_asked_again() {
    let kms = Kms::start();
    let (laptop, key, _) = init_with_kms(&kms, "awskms", "ECC_NIST_EDWARDS25519");
    // One request after another, so that the seed says which of them fail.
    let proxy = FaultyProxy::start(kms.port(), 9, 3);
    for at in 0..5 {
        let _ = laptop.ingest_bytes(&format!("{at}.log"), lines(&format!("{at}"), 3));
        let seal =
            laptop.command("seal").args(["--key", &key]).envs(Kms::environment(proxy.port()));
        let _ = seal.run().expect(0);
    }
    assert!(proxy.counts().faults() >= 3, "{:?}", proxy.counts());
    assert_eq!(size(&laptop.command("verify").args(["--json"]).run().expect(0)), 6);
}

#[test]
fn another_key_follows_and_each_policy_says_what_it_may() {
    let laptop = Laptop::signed();
    let (old, policy) = laptop.usual_key();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let _ = laptop.seal();
    let old_policy = laptop.write("old.policy", fs::read(&policy).unwrap());
    let kms = Kms::start();
    let arn = kms.create_key("ECC_NIST_P256");
    let held = format!("awskms-p256:{arn}");
    let environment = || Kms::environment(kms.port());
    let new = laptop.path("new.key");
    let rotate = |from: &str, to: &str| {
        laptop.below(["key", "rotate"]).args(["--key", from, "--to", to]).envs(environment()).run()
    };
    let (old, new) = (old.to_str().unwrap().to_owned(), new.to_str().unwrap().to_owned());
    // File to file, then file to KMS.
    let said = rotate(&old, &new).expect(0).text();
    assert!(said.contains("up to size 2"), "{said}");
    let verify = |policy: &Path| {
        let verify = laptop.command("verify").args(["--json", "--policy"]);
        verify.args([policy]).run()
    };
    let new_policy = laptop.write("kept.policy", fs::read(laptop.path("new.policy")).unwrap());
    assert_eq!(size(&verify(&old_policy).expect(0)), 2);
    assert_eq!(size(&verify(&new_policy).expect(0)), 2);
    let _ = laptop.ingest_bytes("b.log", lines("b", 3));
    let _ = laptop.command("seal").run().expect(STORAGE).says("the key was changed");
    let _ = laptop.command("seal").args(["--key", &new]).run().expect(0);
    assert_eq!(verify(&old_policy).expect(TAMPERING).codes(), ["SIG"]);
    assert_eq!(size(&verify(&new_policy).expect(0)), 3);
    // The policies on this machine followed.
    laptop.verify_ok();
    let again = rotate(&old, &new).expect(0).text();
    assert!(again.contains("was changed before"), "{again}");
    let _ = rotate(&new, &held).expect(0);
    let _ = laptop.ingest_bytes("c.log", lines("c", 3));
    let seal = laptop.command("seal").args(["--key", &held]).envs(environment());
    let _ = seal.run().expect(0);
    assert_eq!(verify(&new_policy).expect(TAMPERING).codes(), ["SIG"]);
    assert_eq!(size(&laptop.command("verify").args(["--json"]).run().expect(0)), 4);
    let shown = laptop.below(["key", "show"]).args(["--key", &held]).envs(environment()).run();
    let shown = laptop.write("shown.policy", shown.expect(0).text());
    assert_eq!(size(&verify(&shown).expect(0)), 4);
    // What a thief of the old key publishes.
    let _ = rotate(&old, &new).expect(STORAGE);
    let statements = files_below(&laptop.archive_path().join("_ledger/statements"));
    assert_eq!(statements.len(), 2);
    // Their names are digests, so that either may be the first.
    let text = |statement: &PathBuf| fs::read_to_string(statement).unwrap();
    let first = statements.iter().find(|statement| text(statement).contains("size 2")).unwrap();
    fs::write(first, text(first).replacen("size 2", "size 3", 1)).unwrap();
    assert!(verify(&shown).expect(TAMPERING).codes().contains(&"ROTATION".to_owned()));
}

#[test]
fn the_report_of_a_seal_names_what_was_signed() {
    let laptop = Laptop::signed();
    let _ = laptop.ingest_bytes("a.log", lines("a", 3));
    let sealed: Value = laptop.seal();
    assert_eq!(sealed["sealed_through"], 1);
    assert!(sealed.get("witnesses").is_none(), "{sealed}");
}
