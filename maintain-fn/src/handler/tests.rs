use archive::Mode;
use archive::sample::{self, shown};
use serde_json::from_slice;

use super::*;
use crate::kit::{NOW_MICROS, deliver, key};

const TIME: Duration = Duration::from_secs(30);

fn function(archive: &Archive, key: Key) -> Maintainer {
    let archive = archive.clone();
    let seal = SealOptions { manifests_per_commit_max: 1, ..SealOptions::default() };
    Maintainer::new(Settings { archive, key, policy: None, seal, scheduled: Asks::Seal })
}

fn seed() -> Key {
    Key::Seed(Box::new(key()))
}

async fn ask(function: &Maintainer, event: &str) -> Done {
    function.answer(event.as_bytes(), TIME, NOW_MICROS).await
}

fn json(done: &Done) -> Value {
    from_slice(done.answer.as_ref().unwrap()).unwrap()
}

const QUEUED: &str = r#"{"Records":[{"messageId":"m-1","eventSource":"aws:sqs","body":"{}"},
                         {"messageId":"m-2","eventSource":"aws:sqs","body":"{}"}]}"#;

#[tokio::test]
async fn a_seal_is_done_by_whatever_asks_for_it_and_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let function = function(&archive, seed());
    deliver(&archive, "a").await;
    let done = ask(&function, r#"{"action":"seal"}"#).await;
    let answer = json(&done);
    assert_eq!(answer["manifests_sealed"], 1, "{answer}");
    assert_eq!(answer["sealed_through"], 1, "{answer}");
    assert_eq!(answer["seconds_since_commit"], 0, "{answer}");
    // The sample was received in 1970.
    assert_eq!(answer["seal_age_seconds"], (NOW_MICROS - 1) / 1_000_000, "{answer}");
    let Work::Sealed(sealed) = done.work else { panic!("{done:?}") };
    assert_eq!(sealed.report.rows, 1);

    deliver(&archive, "b").await;
    let done = ask(&function, QUEUED).await;
    assert_eq!(json(&done), json!({"batchItemFailures": []}));
    let Work::Sealed(sealed) = done.work else { panic!("{done:?}") };
    assert_eq!((sealed.report.manifests_sealed, sealed.report.sealed_through), (1, Some(2)));

    let scheduled = r#"{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}"#;
    let done = function.answer(scheduled.as_bytes(), TIME, NOW_MICROS + 90_000_000).await;
    let answer = json(&done);
    assert_eq!(
        (&answer["seal_age_seconds"], &answer["seconds_since_commit"]),
        (&0.into(), &90.into())
    );
    assert_eq!(shown(&archive.reader(), Mode::Strict).await.unwrap(), ["a#0", "b#0"]);
}

#[tokio::test]
async fn a_seal_that_fails_gives_every_message_back_and_is_an_error_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    deliver(&archive, "a").await;
    let _ = ask(&function(&archive, seed()), r#"{"action":"seal"}"#).await;
    // Signed by now; whoever has no key must not go on.
    let function = function(&archive, Key::None);
    let done = ask(&function, r#"{"action":"seal"}"#).await;
    let failed = done.answer.unwrap_err();
    assert_eq!(failed.kind, "Settings");
    assert!(failed.message.contains("no key was given"), "{failed:?}");
    let done = ask(&function, QUEUED).await;
    let again = json!([{"itemIdentifier": "m-1"}, {"itemIdentifier": "m-2"}]);
    assert_eq!(json(&done), json!({ "batchItemFailures": again }));
    assert_eq!(done.failed.unwrap().kind, "Settings");
    let done = ask(&function, r#"{"action":"compact"}"#).await;
    assert_eq!(done.answer.unwrap_err().kind, "Event");
}

#[tokio::test]
async fn a_key_of_another_archive_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let other = SeedSigner::new("archive.example/other", Algorithm::Ed25519, [1; 32]).unwrap();
    let done = ask(&function(&archive, Key::Seed(Box::new(other))), r#"{"action":"seal"}"#).await;
    let failed = done.answer.unwrap_err();
    assert_eq!(failed.kind, "Settings");
    assert!(failed.message.contains("MESHLEDGER_KEY"), "{failed:?}");
}

#[tokio::test]
async fn a_seal_without_time_takes_one_delivery_in_hand_and_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    for name in ["a", "b", "c"] {
        deliver(&archive, name).await;
    }
    let sealer = archive.sealer();
    let stop_at = Some(Instant::now());
    for (sealed, is_complete) in [(1, false), (1, false), (1, false), (0, true)] {
        // Each batch may take all three; the time allows the first alone.
        let options = SealOptions { stop_at, ..SealOptions::default() };
        let report = crate::seal(&sealer, NOW_MICROS, options).await.unwrap();
        assert_eq!((report.manifests_sealed, report.is_complete), (sealed, is_complete));
    }
    assert_eq!(shown(&archive.reader(), Mode::Strict).await.unwrap(), ["a#0", "b#0", "c#0"]);
}

#[tokio::test]
async fn work_that_can_not_end_in_time_says_so_before_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    deliver(&archive, "a").await;
    let function = function(&archive, seed());
    for event in [r#"{"action":"seal"}"#, r#"{"action":"verify"}"#] {
        let done = function.answer(event.as_bytes(), GRACE, NOW_MICROS).await;
        let failed = done.answer.unwrap_err();
        assert_eq!(failed.kind, "OutOfTime", "{failed:?}");
        assert!(failed.message.contains("raise the function's timeout"), "{failed:?}");
    }
    // Whatever was cut off, the same process goes on.
    let answer = json(&ask(&function, r#"{"action":"seal"}"#).await);
    assert_eq!(answer["sealed_through"], 1, "{answer}");
}

#[tokio::test]
async fn two_functions_that_seal_at_once_seal_each_delivery_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let functions = [function(&archive, seed()), function(&archive, seed())];
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        deliver(&archive, name).await;
    }
    let [first, second] = &functions;
    // In two moments: sealers that make the very same commit both have made it.
    let later = NOW_MICROS + 1_000;
    let (first, second) = tokio::join!(
        ask(first, r#"{"action":"seal"}"#),
        second.answer(QUEUED.as_bytes(), TIME, later)
    );
    let mut sealed = 0;
    for done in [first, second] {
        let Work::Sealed(work) = done.work else { panic!("{:?}", done.failed) };
        assert!(work.report.is_complete);
        sealed += work.report.manifests_sealed;
    }
    assert_eq!(sealed, 6);
    let rows: Vec<String> = names.iter().map(|name| format!("{name}#0")).collect();
    assert_eq!(shown(&archive.reader(), Mode::Strict).await.unwrap(), rows);
    let report = json(&ask(&functions[0], r#"{"action":"verify","depth":"full"}"#).await);
    assert_eq!((&report["ok"], &report["version"]), (&true.into(), &6.into()), "{report}");
}

#[tokio::test]
async fn a_verification_counts_tampering_and_what_is_unfinished_apart() {
    let folder = tempfile::tempdir().unwrap();
    let archive = sample::create(folder.path()).await.unwrap();
    let function = function(&archive, Key::None);
    deliver(&archive, "a").await;
    let _ = ask(&function, r#"{"action":"seal"}"#).await;
    deliver(&archive, "b").await;
    let done = ask(&function, r#"{"action":"verify","depth":"quick"}"#).await;
    let Work::Verified(verified) = &done.work else { panic!("{done:?}") };
    let counts = |verified: &Verified| (verified.tampering, verified.incomplete, verified.unsealed);
    assert_eq!(counts(verified), (0, 0, 1));
    assert!(verified.ok && json(&done)["ok"] == true);
    let _ = ask(&function, r#"{"action":"seal"}"#).await;
    let data = folder.path().join("archive/data");
    let file = crate::kit::files(&data).remove(0);
    std::fs::remove_file(file).unwrap();
    let done = ask(&function, r#"{"action":"verify","depth":"quick"}"#).await;
    let Work::Verified(verified) = &done.work else { panic!("{done:?}") };
    assert_eq!(counts(verified), (1, 0, 0), "{verified:?}");
    assert_eq!(json(&done)["findings"][0]["code"], "FILE_MISSING");
}
