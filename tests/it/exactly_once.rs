//! Exactly once, by name: what clouds do to deliveries, one test for each, with the real pipeline,
//! the real seal and the real reader over a bucket in memory; then every write with every fault.
//!
//! A seed of `sim.rs` may do all of this at once. These say what it is.

mod hand;

use std::collections::BTreeSet;

use archive::memory::{Action, Bucket, Place, Request};
use archive::sample;
use archive::verify::{Severity, VerifyOptions, verify};
use archive::{Archive, Mode};
use common::layout::{DATA_PREFIX, INBOX_PREFIX, LOG_PREFIX};
use maintain_fn::{Known, SealOptions, SealReport, Signer, seal_again};
use tlog::note::{Algorithm, SeedSigner};

use crate::sim::readback::Readback;
use crate::sim::unit::{Invocation, START_MICROS, Unit, ingest};
use hand::{Fate, Hand, When};

const MORNING: &str = "2026-11-02T10:15:30.123Z";
const DAY_BEFORE: &str = "2026-11-01T23:59:59.999Z";
const LAST_MONTH: &str = "2026-10-30T00:00:00Z";

/// The function as it is, and as it is after a deploy: its deliveries have other bytes.
const BEFORE_DEPLOY: Invocation = Invocation { now_micros: START_MICROS, drawn: 1, release: 1 };
const AFTER_DEPLOY: Invocation =
    Invocation { now_micros: START_MICROS + 9_000_000, drawn: 2, release: 2 };

/// Units `u1`, `u2`, … of one or two events each; every fourth has a reject.
fn units(count: usize) -> Vec<Unit> {
    (1..=count)
        .map(|n| {
            Unit::new(&format!("u{n}"), &[MORNING, MORNING][..1 + n % 2], usize::from(n % 4 == 0))
        })
        .collect()
}

/// These of them, by number from 1 on.
fn of<'a>(units: &'a [Unit], numbers: &[usize]) -> Vec<&'a Unit> {
    numbers.iter().map(|n| &units[n - 1]).collect()
}

fn all(units: &[Unit]) -> Vec<&Unit> {
    units.iter().collect()
}

struct Scene {
    bucket: Bucket,
    /// Every request arrives and is answered.
    archive: Archive,
    signer: Option<SeedSigner>,
}

impl Scene {
    async fn new() -> Self {
        let bucket = Bucket::default();
        let archive = sample::create_in(&bucket).await.unwrap();
        Self { bucket, archive, signer: None }
    }

    async fn signed() -> Self {
        let name = "archive.example/mesh/sample";
        let signer = SeedSigner::new(name, Algorithm::Ed25519, [7; 32]).unwrap();
        Self { signer: Some(signer), ..Self::new().await }
    }

    /// The same bucket at the end of a line that a test holds.
    fn by(&self, hand: &Hand) -> Archive {
        self.bucket.archive(hand.line(), &hand::options(3))
    }

    async fn deliver(&self, units: &[&Unit], invocation: Invocation) {
        ingest(&self.archive, units, invocation).await.unwrap();
    }

    async fn seal(&self) -> SealReport {
        let sealed = self.seal_by(&self.archive).await.unwrap();
        assert!(sealed.manifests_refused.is_empty(), "{sealed:?}");
        sealed
    }

    async fn seal_by(&self, archive: &Archive) -> Result<SealReport, maintain_fn::SealError> {
        let signer = self.signer.as_ref().map(|signer| signer as &dyn Signer);
        let (now, options) = (START_MICROS + 3_600_000_000, SealOptions::default());
        seal_again(&archive.sealer(), signer, &mut Known::default(), now, options).await
    }

    async fn names(&self, mode: Mode) -> Vec<String> {
        let snapshot = self.archive.reader().snapshot(mode).await.unwrap();
        Readback::default().names(&self.bucket, &snapshot).unwrap()
    }

    /// Exactly the records of these units are in a fresh answer.
    async fn shows(&self, units: &[&Unit]) {
        assert_eq!(self.names(Mode::Fresh).await, records(units));
    }

    /// After a seal exactly the records of these units are in the archive, nothing waits, and
    /// nobody could take it for tampered with.
    async fn ends_with(&self, units: &[&Unit]) {
        self.shows(units).await;
        let report = self.seal().await;
        assert!(report.is_complete);
        assert_eq!(self.names(Mode::Strict).await, records(units));
        self.shows(units).await;
        assert_eq!(self.bucket.keys(Place::Work, INBOX_PREFIX), Vec::<String>::new());
        let report =
            verify(&self.archive.reader(), VerifyOptions::default(), &|_| {}).await.unwrap();
        let tampering = report.findings.iter().filter(|f| f.severity == Severity::Tampering);
        assert_eq!(tampering.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    }
}

fn records(units: &[&Unit]) -> Vec<String> {
    let mut names: Vec<String> =
        units.iter().flat_map(|unit| unit.records.iter().cloned()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_same_batch_again_adds_nothing_before_a_seal_or_after_it() {
    let (scene, units) = (Scene::new().await, units(4));
    let batch = all(&units);
    scene.deliver(&batch, BEFORE_DEPLOY).await;
    scene.deliver(&batch, BEFORE_DEPLOY).await;
    scene.shows(&batch).await;
    let _ = scene.seal().await;
    scene.deliver(&batch, BEFORE_DEPLOY).await;
    scene.shows(&batch).await;
    let report = scene.seal().await;
    assert_eq!((report.commits, report.manifests_dropped), (0, 1));
    scene.ends_with(&batch).await;
}

#[tokio::test]
async fn interleaved_batches_of_one_shard_all_count() {
    // Two lanes of a shard: the second is ahead of the first, and no order of numbers is one of
    // arrival.
    let (scene, units) = (Scene::new().await, units(6));
    scene.deliver(&of(&units, &[2, 4, 6]), BEFORE_DEPLOY).await;
    scene.shows(&of(&units, &[2, 4, 6])).await;
    let _ = scene.seal().await;
    scene.deliver(&of(&units, &[1, 3, 5]), BEFORE_DEPLOY).await;
    scene.shows(&all(&units)).await;
    let report = scene.seal().await;
    assert_eq!((report.manifests_sealed, report.manifests_mixed), (1, 0));
    // The lanes become one, and go on from the oldest that somebody is not sure of.
    scene.deliver(&of(&units, &[3, 4, 5, 6]), BEFORE_DEPLOY).await;
    scene.ends_with(&all(&units)).await;
}

#[tokio::test]
async fn a_batch_that_grew_after_a_lost_answer_adds_its_new_units_alone() {
    // {1..100} is archived and nobody hears of it; {1..150} comes.
    for is_sealed_between in [false, true] {
        let (scene, units) = (Scene::new().await, units(150));
        scene.deliver(&all(&units[..100]), BEFORE_DEPLOY).await;
        if is_sealed_between {
            let _ = scene.seal().await;
        }
        scene.deliver(&all(&units), BEFORE_DEPLOY).await;
        scene.shows(&all(&units)).await;
        let report = scene.seal().await;
        // While both wait, whichever has the lower id comes first, and may be the longer one.
        assert_eq!(report.manifests_mixed, u64::from(is_sealed_between), "{report:?}");
        scene.ends_with(&all(&units)).await;
    }
}

#[tokio::test]
async fn sqs_batches_composed_anew_count_each_message_once() {
    let (scene, units) = (Scene::new().await, units(6));
    for batch in [&[3, 1, 2][..], &[2, 5], &[5, 4, 3, 6], &[1], &[6, 2]] {
        scene.deliver(&of(&units, batch), BEFORE_DEPLOY).await;
    }
    scene.shows(&all(&units)).await;
    let _ = scene.seal().await;
    for batch in [&[6, 5, 4, 3, 2, 1][..], &[4, 1]] {
        scene.deliver(&of(&units, batch), BEFORE_DEPLOY).await;
    }
    scene.ends_with(&all(&units)).await;
}

#[tokio::test]
async fn a_retry_after_a_deploy_that_makes_other_bytes_adds_nothing() {
    for is_sealed_between in [false, true] {
        let (scene, units) = (Scene::new().await, units(4));
        let batch = all(&units);
        scene.deliver(&batch, BEFORE_DEPLOY).await;
        let files = scene.bucket.keys(Place::Archive, DATA_PREFIX).len();
        if is_sealed_between {
            let _ = scene.seal().await;
        }
        scene.deliver(&batch, AFTER_DEPLOY).await;
        let both = scene.bucket.keys(Place::Archive, DATA_PREFIX).len();
        assert_eq!(both, 2 * files, "the retry must make other bytes, or this test says nothing");
        scene.ends_with(&batch).await;
    }
}

#[tokio::test]
async fn a_delivery_that_was_sealed_compacted_and_expired_comes_again_and_adds_nothing() {
    let (scene, units) = (Scene::new().await, units(4));
    // With rejects too, which no commit takes out: they stay, and stay once.
    let (first, second) = (of(&units, &[1, 2]), of(&units, &[3, 4]));
    scene.deliver(&first, BEFORE_DEPLOY).await;
    let _ = scene.seal().await;
    scene.deliver(&second, BEFORE_DEPLOY).await;
    let _ = scene.seal().await;
    let chosen = || crate::sim::compact::choose(&scene.archive, true);
    let won = archive::CommitPut::Won;
    let sealed = chosen().await.unwrap().unwrap();
    assert_eq!(sealed.files.len(), 2);
    assert_eq!(sealed.compact(&scene.archive).await.unwrap(), won);
    scene.shows(&all(&units)).await;
    scene.deliver(&first, AFTER_DEPLOY).await;
    scene.shows(&all(&units)).await;
    let report = scene.seal().await;
    assert_eq!((report.commits, report.manifests_dropped), (0, 1));
    let merged = chosen().await.unwrap().unwrap();
    assert_eq!(merged.files.len(), 1);
    assert_eq!(merged.expire(&scene.archive).await.unwrap(), won);
    for key in scene.bucket.keys(Place::Archive, DATA_PREFIX) {
        let gone = Request { place: Place::Archive, key, action: Action::Delete };
        let _ = scene.bucket.answer(&gone);
    }
    // As it was, after a deploy, in other company, and all in one.
    scene.deliver(&first, BEFORE_DEPLOY).await;
    scene.deliver(&second, AFTER_DEPLOY).await;
    scene.deliver(&of(&units, &[2, 3]), AFTER_DEPLOY).await;
    scene.deliver(&all(&units), AFTER_DEPLOY).await;
    let rejects = ["u4!0"];
    assert_eq!(scene.names(Mode::Fresh).await, rejects);
    let report = scene.seal().await;
    assert_eq!((report.commits, report.manifests_dropped), (0, 4), "{report:?}");
    assert_eq!(scene.names(Mode::Strict).await, rejects);
    assert_eq!(scene.names(Mode::Fresh).await, rejects);
}

#[tokio::test]
async fn a_delayed_manifest_that_lands_after_its_inbox_entry_was_cleared_adds_nothing() {
    for is_other_bytes in [false, true] {
        let (scene, units) = (Scene::new().await, units(4));
        let batch = all(&units);
        let hand = Hand::new(&scene.bucket, When::Put(INBOX_PREFIX), Fate::Late);
        let impatient = scene.bucket.archive(hand.line(), &hand::options(1));
        ingest(&impatient, &batch, BEFORE_DEPLOY).await.unwrap_err();
        scene.shows(&[]).await;
        let again = if is_other_bytes { AFTER_DEPLOY } else { BEFORE_DEPLOY };
        scene.deliver(&batch, again).await;
        let _ = scene.seal().await;
        assert_eq!(scene.bucket.keys(Place::Work, INBOX_PREFIX), Vec::<String>::new());
        hand.land();
        assert_eq!(scene.bucket.keys(Place::Work, INBOX_PREFIX).len(), 1);
        scene.shows(&batch).await;
        let report = scene.seal().await;
        assert_eq!((report.commits, report.manifests_dropped), (0, 1));
        scene.ends_with(&batch).await;
    }
}

#[tokio::test]
async fn a_reader_between_commit_and_inbox_deletion_sees_each_unit_once() {
    let (scene, units) = (Scene::new().await, units(4));
    scene.deliver(&all(&units), BEFORE_DEPLOY).await;
    let hand = Hand::new(&scene.bucket, When::Delete, Fate::RequestLost);
    scene.seal_by(&scene.by(&hand)).await.unwrap_err();
    assert_eq!(scene.bucket.keys(Place::Archive, LOG_PREFIX).len(), 2);
    assert_eq!(scene.bucket.keys(Place::Work, INBOX_PREFIX).len(), 1);
    scene.shows(&all(&units)).await;
    scene.ends_with(&all(&units)).await;
}

#[tokio::test]
async fn a_reader_that_lists_before_a_seal_and_loads_after_it_sees_each_unit_once() {
    // It stops before it reads the manifest, or before it loads the log; warm or cold.
    for stop in [When::Get(INBOX_PREFIX), When::List(LOG_PREFIX)] {
        for is_warm in [false, true] {
            let (scene, units) = (Scene::new().await, units(4));
            let (first, second) = (of(&units, &[1]), of(&units, &[2, 3, 4]));
            scene.deliver(&first, BEFORE_DEPLOY).await;
            let _ = scene.seal().await;
            let hand = Hand::idle(&scene.bucket);
            let reader = scene.by(&hand).reader();
            if is_warm {
                let _ = reader.snapshot(Mode::Fresh).await.unwrap();
            }
            scene.deliver(&second, BEFORE_DEPLOY).await;
            hand.at(stop, Fate::Held);
            let read = tokio::spawn(async move { reader.snapshot(Mode::Fresh).await });
            hand.reached().await;
            let _ = scene.seal().await;
            assert_eq!(scene.bucket.keys(Place::Work, INBOX_PREFIX), Vec::<String>::new());
            hand.go();
            let snapshot = read.await.unwrap().unwrap();
            let names = Readback::default().names(&scene.bucket, &snapshot).unwrap();
            assert_eq!(names, records(&all(&units)), "{stop:?}, warm: {is_warm}");
        }
    }
}

#[tokio::test]
async fn two_functions_on_one_delivery_at_once_archive_it_once() {
    // The first stops before each of its writes in turn, and the second overtakes it there.
    let (scene, units) = (Scene::new().await, units(4));
    let hand = Hand::idle(&scene.bucket);
    ingest(&scene.by(&hand), &all(&units), BEFORE_DEPLOY).await.unwrap();
    let writes = hand.writes();
    assert_eq!(writes, 3, "events, rejects, manifest");
    for write in 0..writes {
        for second in [BEFORE_DEPLOY, AFTER_DEPLOY] {
            for is_sealed in [false, true] {
                let scene = Scene::new().await;
                let hand = Hand::new(&scene.bucket, When::Write(write), Fate::Held);
                let (slow, batch) = (scene.by(&hand), units.clone());
                let first = tokio::spawn(async move {
                    ingest(&slow, &batch.iter().collect::<Vec<_>>(), BEFORE_DEPLOY).await
                });
                hand.reached().await;
                scene.deliver(&all(&units), second).await;
                if is_sealed {
                    let _ = scene.seal().await;
                }
                scene.shows(&all(&units)).await;
                hand.go();
                first.await.unwrap().unwrap();
                scene.ends_with(&all(&units)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_409_with_nothing_stored_is_tried_again_and_never_taken_for_success() {
    let units = units(4);
    let batch = all(&units);
    for write in 0..3 {
        for (attempts, is_delivered) in [(1, false), (3, true)] {
            let scene = Scene::new().await;
            let hand = Hand::new(&scene.bucket, When::Write(write), Fate::Conflict);
            let archive = scene.bucket.archive(hand.line(), &hand::options(attempts));
            let delivered = ingest(&archive, &batch, BEFORE_DEPLOY).await;
            assert_eq!(delivered.is_ok(), is_delivered, "{write}: {delivered:?}");
            scene.shows(if is_delivered { &batch } else { &[] }).await;
            if !is_delivered {
                scene.deliver(&batch, AFTER_DEPLOY).await;
            }
            scene.ends_with(&batch).await;
        }
    }
}

#[tokio::test]
async fn a_function_may_stop_after_any_step_and_redelivery_makes_up_for_it() {
    let units = units(4);
    let batch = all(&units);
    let counted = {
        let scene = Scene::new().await;
        let hand = Hand::idle(&scene.bucket);
        ingest(&scene.by(&hand), &batch, BEFORE_DEPLOY).await.unwrap();
        hand.requests()
    };
    assert!(counted >= 3, "{counted}");
    for step in 0..counted {
        // The request it was at when it stopped: never sent, done, or done some time later.
        for fate in [Fate::Held, Fate::Hung, Fate::HungLate] {
            for again in [BEFORE_DEPLOY, AFTER_DEPLOY] {
                let scene = Scene::new().await;
                let hand = Hand::new(&scene.bucket, When::Request(step), fate);
                let (archive, batch_of) = (scene.by(&hand), units.clone());
                let stopped = tokio::spawn(async move {
                    ingest(&archive, &batch_of.iter().collect::<Vec<_>>(), BEFORE_DEPLOY).await
                });
                hand.reached().await;
                stopped.abort();
                assert!(stopped.await.unwrap_err().is_cancelled());
                scene.deliver(&batch, again).await;
                scene.shows(&batch).await;
                let _ = scene.seal().await;
                hand.land();
                scene.ends_with(&batch).await;
            }
        }
    }
}

#[tokio::test]
async fn a_sealer_may_stop_after_any_step_and_the_next_one_makes_up_for_it() {
    let units = units(5);
    for is_signed in [false, true] {
        let prepared = async || {
            let scene = if is_signed { Scene::signed().await } else { Scene::new().await };
            scene.deliver(&of(&units, &[1, 4]), BEFORE_DEPLOY).await;
            let _ = scene.seal().await;
            // One whole delivery, one of which some units are held, one of which all are.
            scene.deliver(&of(&units, &[5]), BEFORE_DEPLOY).await;
            scene.deliver(&of(&units, &[1, 2, 3, 4]), BEFORE_DEPLOY).await;
            scene.deliver(&of(&units, &[4, 1]), BEFORE_DEPLOY).await;
            scene
        };
        let scene = prepared().await;
        let hand = Hand::idle(&scene.bucket);
        let _ = scene.seal_by(&scene.by(&hand)).await.unwrap();
        for step in 0..hand.requests() {
            for fate in [Fate::Held, Fate::Hung, Fate::HungLate] {
                let scene = prepared().await;
                let hand = Hand::new(&scene.bucket, When::Request(step), fate);
                let stopped = tokio::select! {
                    biased;
                    sealed = async { scene.seal_by(&scene.by(&hand)).await } => Some(sealed),
                    () = hand.reached() => None,
                };
                assert!(stopped.is_none(), "{step}: {stopped:?}");
                scene.shows(&all(&units)).await;
                scene.ends_with(&all(&units)).await;
                hand.land();
                scene.ends_with(&all(&units)).await;
            }
        }
    }
}

/// What a source makes of its units: deliveries, and what was archived before.
struct Shape {
    name: &'static str,
    units: Vec<Unit>,
    sealed_before: Vec<Vec<usize>>,
    deliveries: Vec<Vec<usize>>,
}

fn shapes() -> Vec<Shape> {
    let dated = |name: &str, rejects| Unit::new(name, &[MORNING, LAST_MONTH, DAY_BEFORE], rejects);
    vec![
        Shape {
            name: "one unit",
            units: units(1),
            sealed_before: vec![],
            deliveries: vec![vec![1]],
        },
        Shape {
            name: "many units of one shard, some of which came before",
            units: units(8),
            sealed_before: vec![vec![2, 4]],
            deliveries: vec![vec![1, 2, 3, 4, 5, 6, 7, 8]],
        },
        Shape {
            name: "units over several dates with rejects, some of which came before",
            units: vec![dated("u1", 1), dated("u2", 0), dated("u3", 2)],
            sealed_before: vec![vec![3]],
            deliveries: vec![vec![1, 2], vec![2, 3]],
        },
        Shape {
            name: "an object in several parts, several deliveries",
            units: units(5),
            sealed_before: vec![],
            deliveries: vec![vec![1, 2], vec![3, 4], vec![5]],
        },
    ]
}

#[tokio::test]
async fn a_reply_may_be_lost_from_any_write_and_so_may_a_request_and_either_may_be_late() {
    let mut runs = 0;
    for shape in shapes() {
        // A function writes the same whether somebody signs or not.
        for (stage, is_signed) in
            [(Stage::Ingest, false), (Stage::Seal, false), (Stage::Seal, true)]
        {
            let mut write = 0;
            while fault(&shape, is_signed, stage, write).await {
                write += 1;
            }
            assert!(write > 0, "{}: {stage:?} wrote nothing", shape.name);
            runs += write;
        }
    }
    assert!(runs > 60, "{runs} writes");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ingest,
    Seal,
}

/// One line of the fault table: this write of this stage, with every fault, in one who tries
/// again and in one who gives up at once. `false` if the stage has no such write.
async fn fault(shape: &Shape, is_signed: bool, stage: Stage, write: usize) -> bool {
    let everything = all(&shape.units);
    for fate in [Fate::RequestLost, Fate::ReplyLost, Fate::Late] {
        for attempts in [1, 3] {
            let scene = if is_signed { Scene::signed().await } else { Scene::new().await };
            for batch in &shape.sealed_before {
                scene.deliver(&of(&shape.units, batch), BEFORE_DEPLOY).await;
            }
            let _ = scene.seal().await;
            let hand = Hand::new(&scene.bucket, When::Write(write), fate);
            let archive = scene.bucket.archive(hand.line(), &hand::options(attempts));
            let mut acknowledged: BTreeSet<usize> =
                shape.sealed_before.iter().flatten().copied().collect();
            for batch in &shape.deliveries {
                let by = if stage == Stage::Ingest { &archive } else { &scene.archive };
                // An invocation that failed hands nothing on; what comes behind it waits.
                if ingest(by, &of(&shape.units, batch), BEFORE_DEPLOY).await.is_err() {
                    break;
                }
                acknowledged.extend(batch);
            }
            if stage == Stage::Seal {
                let _ = scene.seal_by(&archive).await;
            }
            if hand.writes() <= write {
                return false;
            }
            let what = format!("{}, {stage:?} {write}, {fate:?}, {attempts}", shape.name);
            let names = scene.names(Mode::Fresh).await;
            let kept: Vec<&Unit> = acknowledged.iter().map(|n| &shape.units[n - 1]).collect();
            let shown: BTreeSet<&String> = names.iter().collect();
            assert!(records(&kept).iter().all(|name| shown.contains(name)), "{what}: {names:?}");
            assert_eq!(shown.len(), names.len(), "{what}: {names:?}");
            // The source delivers it all again, after a deploy; then it is sealed, twice, and what
            // was late lands in between.
            for batch in &shape.deliveries {
                scene.deliver(&of(&shape.units, batch), AFTER_DEPLOY).await;
            }
            scene.shows(&everything).await;
            let _ = scene.seal().await;
            hand.land();
            scene.ends_with(&everything).await;
        }
    }
    true
}
