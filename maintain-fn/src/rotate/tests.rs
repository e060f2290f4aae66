//! A rotation whose every write is lost once, and what each key may sign afterwards.

use std::path::Path;

use archive::Archive;
use archive::fault::{Fault, Lost, Then};
use archive::sample::{self, NOON_MICROS};
use archive::verify::{Code, Severity, VerifyOptions, VerifyReport, verify};
use common::layout::{signature_key, statement_key};
use tlog::note::SeedSigner;
use tlog::policy::Policy;

use super::*;
use crate::kit::{deliver, key_of as key, open};
use crate::{SealOptions, SealReport, seal_signed};

async fn seal(archive: &Archive, signer: &SeedSigner) -> Result<SealReport, SealError> {
    seal_signed(&archive.sealer(), signer, NOON_MICROS, SealOptions::default()).await
}

/// An archive of two commits, signed by key 1.
async fn signed(folder: &Path) -> Archive {
    sample::create(folder).await.unwrap();
    let archive = open(folder).await;
    deliver(&archive, "first").await;
    seal(&archive, &key(1)).await.unwrap();
    archive
}

async fn check(archive: &Archive, trusted: &[u8]) -> VerifyReport {
    let logs = trusted.iter().map(|seed| format!("log {}\n", key(*seed).public()));
    let policy = logs.collect::<String>() + "quorum none\n";
    let policy = Some(Policy::parse(&policy).unwrap());
    let options = VerifyOptions { policy, ..VerifyOptions::default() };
    verify(&archive.reader(), options, &|_| {}).await.unwrap()
}

fn codes(report: &VerifyReport) -> Vec<Code> {
    let mut codes: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
    codes.sort_by_key(|code| code.as_str());
    codes
}

#[tokio::test]
async fn after_a_rotation_the_new_key_signs_and_the_old_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = signed(folder.path()).await;
    let sealer = archive.sealer();
    let rotated = rotate(&sealer, &key(1), &key(2)).await.unwrap();
    assert!(rotated.is_new && rotated.rotation.size == 2, "{rotated:?}");
    // The overlap: one checkpoint that both signed.
    for seed in [1, 2] {
        assert_eq!(check(&archive, &[seed]).await.findings, [], "key {seed}");
    }
    deliver(&archive, "second").await;
    let refused = seal(&archive, &key(1)).await.unwrap_err().to_string();
    assert!(refused.contains("seal with the new one"), "{refused}");
    assert!(refused.contains(&key(2).public().to_string()), "{refused}");
    let sealed = seal(&archive, &key(2)).await.unwrap();
    assert_eq!(sealed.sealed_through, Some(2));
    assert_eq!(check(&archive, &[2]).await.findings, []);
    let old = check(&archive, &[1]).await;
    assert_eq!(codes(&old), [Code::Signature], "{:?}", old.findings);
    assert!(old.findings[0].detail.contains(&key(2).public().to_string()));
    // Also once the checkpoint has the new key's signature alone.
    let refused = seal(&archive, &key(1)).await.unwrap_err().to_string();
    assert!(refused.contains("seal with the new one"), "{refused}");
    let refused = seal(&archive, &key(3)).await.unwrap_err().to_string();
    assert!(refused.contains("key rotate"), "{refused}");
    // Again it does nothing; a third key follows the second.
    assert!(!rotate(&sealer, &key(1), &key(2)).await.unwrap().is_new);
    rotate(&sealer, &key(1), &key(3)).await.unwrap_err();
    rotate(&sealer, &key(2), &key(2)).await.unwrap_err();
    rotate(&sealer, &key(2), &key(3)).await.unwrap();
    deliver(&archive, "third").await;
    seal(&archive, &key(3)).await.unwrap();
    assert_eq!(check(&archive, &[3]).await.findings, []);
}

#[tokio::test]
async fn every_write_of_a_rotation_may_lose_its_request_or_its_reply_or_be_the_last() {
    let mut ended = 0;
    for (lost, then) in [
        (Lost::Request, Then::Heal),
        (Lost::Reply, Then::Heal),
        (Lost::Request, Then::Crash),
        (Lost::Reply, Then::Crash),
    ] {
        for at_write in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let archive = signed(folder.path()).await;
            let fault = Fault::at_write(at_write, lost, then);
            let faulty = archive.with_fault(&fault);
            let outcome = rotate(&faulty.sealer(), &key(1), &key(2)).await;
            fault.heal();
            if fault.writes() <= at_write {
                assert!(outcome.is_ok() && at_write >= 3, "{at_write}: {outcome:?}");
                break;
            }
            ended += 1;
            // Whatever was left is no tampering to whoever trusts the key that signs.
            let seen = check(&archive, &[1]).await;
            assert_ne!(seen.worst(), Some(Severity::Tampering), "{at_write}: {seen:?}");
            // Whoever goes on with the old key is let or refused, and harms nothing.
            deliver(&archive, "meanwhile").await;
            let old = seal(&archive, &key(1)).await;
            let seen = check(&archive, &[1, 2]).await;
            assert_ne!(seen.worst(), Some(Severity::Tampering), "{at_write} {old:?}: {seen:?}");
            rotate(&archive.sealer(), &key(1), &key(2)).await.unwrap();
            seal(&archive, &key(1)).await.unwrap_err();
            seal(&archive, &key(2)).await.unwrap();
            assert_eq!(check(&archive, &[2]).await.findings, [], "{at_write} {lost:?} {then:?}");
        }
    }
    assert!(ended >= 12, "{ended}");
}

#[tokio::test]
async fn statements_and_signatures_that_do_not_follow_from_each_other_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let archive = signed(folder.path()).await;
    let sealer = archive.sealer();
    rotate(&sealer, &key(1), &key(2)).await.unwrap();
    deliver(&archive, "second").await;
    seal(&archive, &key(2)).await.unwrap();
    let path = |key: &str| folder.path().join("archive").join(key);
    let (_, head, _) = current(&sealer).await.unwrap();
    let found = async |trusted: &[u8]| codes(&check(&archive, trusted).await);
    assert_eq!(found(&[2]).await, []);

    // The old key signs on.
    let text = head.to_text();
    let late = Note { signatures: vec![key(1).sign(&text, 0)], text };
    let late_file = path(&signature_key(head.size, key(1).public().key_id()));
    std::fs::write(&late_file, late.to_text()).unwrap();
    assert_eq!(found(&[2]).await, [Code::Rotation]);
    // Both keys may say that it was so.
    let again = rotate(&sealer, &key(1), &key(2)).await.unwrap();
    assert_eq!((again.is_new, again.rotation.size), (true, head.size));
    assert_eq!(found(&[2]).await, []);

    // A key that nobody speaks of.
    let text = head.to_text();
    let stranger = Note { signatures: vec![key(9).sign(&text, 0)], text };
    let stranger_file = path(&signature_key(head.size, key(9).public().key_id()));
    std::fs::write(&stranger_file, stranger.to_text()).unwrap();
    assert_eq!(found(&[2]).await, [Code::Rotation, Code::Signature]);
    assert_eq!(found(&[2, 9]).await, [Code::Rotation]);
    std::fs::remove_file(&stranger_file).unwrap();

    // Statements that one of the two did not sign, of another root, under another name.
    let rotation = again.rotation;
    let of = |rotation: &Rotation, seeds: &[u8]| {
        let text = rotation.to_text();
        let signatures = seeds.iter().map(|seed| key(*seed).sign(&text, 0)).collect();
        Note { text, signatures }.to_text()
    };
    let other = Rotation { new: key(8).public().clone(), ..rotation.clone() };
    let root = Rotation { root: tlog::Hash::of_no_leaves(), ..rotation.clone() };
    let size = Rotation { size: 99, ..rotation.clone() };
    for bytes in [of(&other, &[1]), of(&other, &[8]), of(&root, &[1, 2]), of(&size, &[1, 2])] {
        let file = path(&statement_key(common::Sha256Digest::of(bytes.as_bytes())));
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(found(&[2]).await, [Code::Rotation], "{bytes}");
        std::fs::remove_file(&file).unwrap();
    }
    let misnamed = path(&statement_key(common::Sha256Digest::of(b"x")));
    std::fs::write(&misnamed, of(&rotation, &[1, 2])).unwrap();
    assert_eq!(found(&[2]).await, [Code::Rotation]);
    std::fs::remove_file(&misnamed).unwrap();

    // No statement at all: the key that signed before is nobody's.
    std::fs::remove_dir_all(path("_ledger/statements")).unwrap();
    assert!(found(&[2]).await.contains(&Code::Signature));
    assert!(found(&[1, 2]).await.contains(&Code::Rotation));
}
