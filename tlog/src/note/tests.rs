use super::*;

/// The example of Go's `sumdb/note`, made by another implementation.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PRIVATE: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn note() -> String {
    format!("{TEXT}\n{LINE}")
}

fn signer(name: &str, algorithm: Algorithm, seed: u8) -> SeedSigner {
    SeedSigner::new(name, algorithm, [seed; 32]).unwrap()
}

#[test]
fn a_note_of_another_implementation_is_checked_and_made_again() {
    let key: VerifierKey = KEY.parse().unwrap();
    assert_eq!((key.to_string(), key.name()), (KEY.to_owned(), "PeterNeumann"));
    let read = Note::parse(note().as_bytes()).unwrap();
    assert_eq!((&*read.text, read.to_text()), (TEXT, note()));
    assert_eq!(read.signed_by(&key).unwrap(), Some(Signed { time_seconds: None }));
    let signer = SeedSigner::from_private_text(PRIVATE).unwrap();
    assert_eq!((signer.public(), signer.to_private_text()), (&key, PRIVATE.to_owned()));
    assert_eq!(signer.sign(TEXT, 0).to_line(), LINE, "Ed25519 signs the same text the same way");
    assert!(!format!("{signer:?}").contains("AYEKFALV"), "a private key is not printed");
}

#[test]
fn any_other_bit_of_text_or_signature_is_refused() {
    let key: VerifierKey = KEY.parse().unwrap();
    let note = note();
    for at in 0..note.len() {
        for bit in [1, 0x20] {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= bit;
            let signed = Note::parse(&bytes).and_then(|note| note.signed_by(&key));
            assert!(!matches!(signed, Ok(Some(_))), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn unknown_keys_are_passed_over_and_a_wrong_signature_of_a_known_one_spoils_the_note() {
    let (mine, other) = (signer("a", Algorithm::Ed25519, 1), signer("b", Algorithm::Ed25519, 2));
    let sign = |signer: &SeedSigner| signer.sign("text\n", 0);
    let of = |signatures: Vec<Signature>| Note { text: "text\n".to_owned(), signatures };
    let judge = |note: &Note| note.signed_by(mine.public()).map(|signed| signed.is_some());
    assert_eq!(judge(&of(vec![sign(&other), sign(&mine)])), Ok(true));
    assert_eq!(judge(&of(vec![sign(&other)])), Ok(false));
    // Its name with another key id, its key id with another name: unknown keys both.
    let renamed = Signature { name: "c".to_owned(), ..sign(&mine) };
    let numbered = Signature { key_id: [0; 4], ..sign(&mine) };
    assert_eq!(judge(&of(vec![renamed, numbered])), Ok(false));
    // Same name and id, but not its signature.
    let forged = Signature { bytes: sign(&other).bytes, ..sign(&mine) };
    assert!(judge(&of(vec![forged.clone()])).is_err());
    assert!(judge(&of(vec![sign(&mine), forged])).is_err());
    let cut = Signature { bytes: sign(&mine).bytes[..63].to_vec(), ..sign(&mine) };
    assert!(judge(&of(vec![cut])).is_err());
}

#[test]
fn a_witness_signs_its_time_with_the_text() {
    let witness = signer("w.example", Algorithm::CosignatureV1, 3);
    let signature = witness.sign("o\n1\nroot\n", 1_679_315_147);
    assert_eq!(signature.bytes[..8], 1_679_315_147u64.to_be_bytes());
    let mut note = Note { text: "o\n1\nroot\n".to_owned(), signatures: vec![signature] };
    let signed = note.signed_by(witness.public()).unwrap();
    assert_eq!(signed, Some(Signed { time_seconds: Some(1_679_315_147) }));
    note.signatures[0].bytes[7] ^= 1;
    assert!(note.signed_by(witness.public()).is_err(), "another time");
    note.signatures[0].bytes.truncate(7);
    assert!(note.signed_by(witness.public()).is_err(), "no time");
    // The same key as a log's has another id.
    let log = signer("w.example", Algorithm::Ed25519, 3);
    assert_ne!(log.public().key_id(), witness.public().key_id());
    assert!(log.public().is_same_key(witness.public()));
}

#[test]
fn p_256_signatures_in_der_are_checked() {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let start = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let spki = [&start[..], pair.public_key().as_ref()].concat();
    let key = VerifierKey::new("kms.example", Algorithm::EcdsaP256, &spki).unwrap();
    assert_eq!(key.key_id(), ring::digest::digest(&ring::digest::SHA256, &spki).as_ref()[..4]);
    assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
    let bytes = pair.sign(&random, b"text\n").unwrap().as_ref().to_vec();
    let signature = Signature { name: "kms.example".to_owned(), key_id: key.key_id(), bytes };
    let mut note = Note { text: "text\n".to_owned(), signatures: vec![signature] };
    assert!(note.signed_by(&key).unwrap().is_some());
    note.text = "test\n".to_owned();
    assert!(note.signed_by(&key).is_err());
    for wrong in [&spki[..90], &spki[1..], &[&start[..], &[2; 65]].concat()] {
        assert!(VerifierKey::new("kms.example", Algorithm::EcdsaP256, wrong).is_err());
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let many = LINE.repeat(SIGNATURES_MAX + 1);
    for text in [
        String::new(),
        "\n".to_owned(),
        TEXT.to_owned(),
        format!("{TEXT}{LINE}"),
        format!("{TEXT}\n"),
        format!("{TEXT}\n\n"),
        format!("{TEXT}\n{}", LINE.trim_end()),
        format!("{TEXT}\n{LINE}\n"),
        format!("{TEXT}\n{LINE}text\n"),
        note().replace('\n', "\r\n"),
        note().replace("cryptography", "crypto\tgraphy"),
        note().replace("\u{2014} ", "- "),
        note().replace("\u{2014} PeterNeumann", "\u{2014} Peter+Neumann"),
        note().replace("\u{2014} PeterNeumann", "\u{2014} Peter Neumann"),
        note().replace("\u{2014} PeterNeumann", "\u{2014} "),
        note().replace("x08g", "x08"),
        format!("{TEXT}\n\u{2014} a AAAA\n"),
        format!("{TEXT}\n\u{2014} a AAAAAA==\n"),
        format!("{TEXT}\n{many}"),
        "a\n".repeat(1_000_000) + "\n" + LINE,
    ] {
        let error = Note::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 500 && !error.contains('\n'), "{error}");
    }
    assert!(Note::parse(b"\xff\n\n").is_err());
    let most = LINE.repeat(SIGNATURES_MAX);
    assert_eq!(Note::parse(format!("{TEXT}\n{most}").as_bytes()).unwrap().signatures.len(), 64);
    // A text may have empty lines; the last one ends it.
    assert_eq!(Note::parse(format!("a\n\nb\n\n{LINE}").as_bytes()).unwrap().text, "a\n\nb\n");
}

#[test]
fn what_is_no_key_is_refused() {
    for text in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+BRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+",
        " +c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text}");
    }
    for text in [&PRIVATE[8..], &PRIVATE[..60], &PRIVATE.replace("c74f20a3", "c74f20a4")] {
        let error = SeedSigner::from_private_text(text).unwrap_err().to_string();
        assert!(!error.contains("AYEKFALV"), "{error}");
    }
    assert!(SeedSigner::new("a b", Algorithm::Ed25519, [0; 32]).is_err());
    assert!(SeedSigner::new("a", Algorithm::EcdsaP256, [0; 32]).is_err());
}
