use super::*;
use crate::hash::Hash;
use crate::note::SeedSigner;

const LOG: &str = "ledger.example/one";

fn log(seed: u8) -> SeedSigner {
    SeedSigner::new(LOG, Algorithm::Ed25519, [seed; 32]).unwrap()
}

fn witness(seed: u8) -> SeedSigner {
    SeedSigner::new(&format!("w{seed}.example"), Algorithm::CosignatureV1, [seed; 32]).unwrap()
}

fn note(signers: &[&SeedSigner]) -> Note {
    let checkpoint = Checkpoint { origin: LOG.to_owned(), size: 3, root: Hash::of_leaf(b"x") };
    let text = checkpoint.to_text();
    let signatures = signers.iter().map(|signer| signer.sign(&text, 77)).collect();
    Note { text, signatures }
}

/// A policy's text: the log, witnesses w1 to w6, and more lines.
fn policy(more: &str) -> String {
    let mut text = format!("# for auditors\n\nlog {} https://ledger.example\n", log(100).public());
    for seed in 1..=6 {
        text.push_str(&format!("witness\tw{seed}  {}\n", witness(seed).public()));
    }
    text + more
}

#[test]
fn the_quorum_of_the_specifications_example() {
    let text = policy(
        "group X 2 w1 w2 w3\n group Y any w4 w5 w6 \ngroup X-and-Y all X Y\nquorum X-and-Y\n",
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://ledger.example"));
    assert_eq!(policy.witnesses().len(), 6);
    for (witnesses, is_enough) in [
        (&[1, 2, 4][..], true),
        (&[1, 3, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[1, 4, 5, 6], false),
        (&[1, 2, 3], false),
        (&[], false),
        // One who cosigns twice is one; one whom the policy does not know is none.
        (&[1, 1, 4], false),
        (&[1, 9, 4], false),
    ] {
        let all: Vec<SeedSigner> = witnesses.iter().map(|&seed| witness(seed)).collect();
        let signed = log(100);
        let signers: Vec<&SeedSigner> = std::iter::once(&signed).chain(&all).collect();
        let accepted = policy.accept(&note(&signers));
        assert_eq!(accepted.is_ok(), is_enough, "{witnesses:?}: {accepted:?}");
        if let Ok(accepted) = accepted {
            assert_eq!(accepted.log, *signed.public());
            assert!(accepted.witnesses.iter().all(|(_, time)| *time == 77));
        }
    }
}

#[test]
fn a_log_the_policy_does_not_know_is_refused_whoever_cosigned() {
    let policy = Policy::parse(&policy("quorum none\n")).unwrap();
    assert!(policy.accept(&note(&[&log(100)])).is_ok());
    let (other, w) = (log(101), witness(1));
    assert!(policy.accept(&note(&[&other])).is_err(), "right name, wrong key");
    assert!(policy.accept(&note(&[&other, &w])).is_err());
    assert!(policy.accept(&note(&[&w])).is_err());
    // The log's key under another origin: a log signs for its own.
    let mut elsewhere = note(&[]);
    elsewhere.text = elsewhere.text.replace(LOG, "ledger.example/two");
    elsewhere.signatures = vec![log(100).sign(&elsewhere.text, 0)];
    assert!(policy.accept(&elsewhere).is_err());
    // A wrong signature of a known witness spoils the note, though none is needed.
    let mut spoilt = note(&[&log(100), &w]);
    spoilt.signatures[1].bytes[20] ^= 1;
    assert!(policy.accept(&spoilt).is_err());
}

#[test]
fn a_quorum_of_one_witness_and_a_policy_of_a_key_alone() {
    let policy = Policy::parse(&policy("quorum w2\n")).unwrap();
    assert!(policy.accept(&note(&[&log(100), &witness(2)])).is_ok());
    assert!(policy.accept(&note(&[&log(100), &witness(1)])).is_err());
    let alone = Policy::of_log(log(100).public().clone());
    assert!(alone.accept(&note(&[&log(100)])).is_ok());
    assert!(alone.accept(&note(&[&log(101)])).is_err());
}

#[test]
fn what_is_no_policy_is_refused_by_its_line() {
    let key = witness(7).public().clone();
    let lines = policy("").lines().count();
    for more in [
        "".to_owned(),
        "quorum none\nquorum none\n".to_owned(),
        "quorum w9\n".to_owned(),
        "quorum\n".to_owned(),
        "quorum G\ngroup G any w1\n".to_owned(),
        "group G 0 w1\nquorum G\n".to_owned(),
        "group G 3 w1 w2\nquorum G\n".to_owned(),
        "group G 01 w1\nquorum G\n".to_owned(),
        "group G any\nquorum G\n".to_owned(),
        "group G any w1 w1\nquorum G\n".to_owned(),
        "group G any w1\ngroup H any w1\nquorum G\n".to_owned(),
        "group G any G\nquorum G\n".to_owned(),
        "group w1 any w2\nquorum w1\n".to_owned(),
        "group none any w2\nquorum none\n".to_owned(),
        "group G any none\nquorum G\n".to_owned(),
        format!("witness w1 {key}\nquorum none\n"),
        format!("witness w7 {}\nquorum none\n", witness(1).public()),
        format!("witness w7 {}\nquorum none\n", log(7).public()),
        format!("log {}\nquorum none\n", log(100).public()),
        format!("log {key}\nquorum none\n"),
        "log nonsense\nquorum none\n".to_owned(),
        "extra words\nquorum none\n".to_owned(),
        "quorum none\r\n".to_owned(),
        "quorum none # comment\n".to_owned(),
    ] {
        let error = Policy::parse(&policy(&more)).unwrap_err().to_string();
        let is_named = error.contains("one quorum line")
            || (lines..lines + 4).any(|line| error.contains(&format!("line {line}")));
        assert!(is_named, "{more}: {error}");
    }
    assert!(Policy::parse(&"#".repeat(POLICY_BYTES_MAX + 1)).is_err());
    assert!(Policy::parse("quorum none").is_ok(), "logs may be known from elsewhere");
}
