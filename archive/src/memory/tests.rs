use std::collections::BTreeSet;

use super::*;
use crate::sample;
use crate::snapshot::Mode;

fn request(key: &str, action: Action) -> Request {
    Request { place: Place::Archive, key: key.to_owned(), action }
}

fn listed(
    bucket: &Bucket,
    prefix: &str,
    start_after: Option<&str>,
    count_max: usize,
) -> Vec<String> {
    let start_after = start_after.map(str::to_owned);
    match bucket.answer(&request(prefix, Action::List { start_after, count_max })) {
        Answer::Listed(listed) => listed.into_iter().map(|listed| listed.key).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn writes_hold_their_conditions_and_listings_their_order() {
    let bucket = Bucket::default();
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let put = |key, bytes: &Bytes| bucket.answer(&request(key, Action::Put(bytes.clone())));
    assert_eq!(put("a/b", &one), Answer::Done);
    assert_eq!(put("a/b", &two), Answer::ConditionFailed);
    assert_eq!(bucket.get(Place::Archive, "a/b"), Some(one.clone()));
    assert_eq!(bucket.get(Place::Work, "a/b"), None);
    let swap = |stamp: &Bytes, bytes: &Bytes| {
        let action = Action::Swap { stamp: tag(stamp), bytes: bytes.clone() };
        bucket.answer(&request("a/b", action))
    };
    assert_eq!(swap(&two, &two), Answer::ConditionFailed);
    assert_eq!(swap(&one, &two), Answer::Done);
    assert_eq!(bucket.get(Place::Archive, "a/b"), Some(two.clone()));
    for key in ["a/d", "a/c", "ab", "b"] {
        assert_eq!(put(key, &one), Answer::Done);
    }
    assert_eq!(listed(&bucket, "a/", None, 10), ["a/b", "a/c", "a/d"]);
    assert_eq!(listed(&bucket, "a/", Some("a/b"), 1), ["a/c"]);
    let range = bucket.answer(&request("a/c", Action::GetRange(1..9)));
    assert_eq!(range, Answer::Part { bytes: Bytes::from_static(b"ne"), of: 3 });
    assert_eq!(bucket.answer(&request("a/c", Action::Delete)), Answer::Done);
    assert_eq!(bucket.answer(&request("a/c", Action::Delete)), Answer::Done);
    assert_eq!(listed(&bucket, "a/", None, 10), ["a/b", "a/d"]);
    assert_eq!(
        bucket.answer(&request("a/c", Action::Swap { stamp: tag(&one), bytes: one.clone() })),
        Answer::ConditionFailed
    );
}

#[tokio::test]
async fn an_archive_in_memory_is_one() {
    let bucket = Bucket::default();
    let archive = sample::create_in(&bucket).await.unwrap();
    let delivery = sample::delivery(&[sample::unit("a", 2, 1)], 1).unwrap();
    sample::ingest(&archive, &delivery).await.unwrap();
    let rows = ["a!0", "a#0", "a#1"];
    assert_eq!(sample::shown(&archive.reader(), Mode::Fresh).await.unwrap(), rows);
    let _ = sample::seal(&archive, &[&delivery]).await.unwrap();
    assert_eq!(sample::shown(&archive.reader(), Mode::Strict).await.unwrap(), rows);
    assert_eq!(bucket.keys(Place::Work, "inbox/"), Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_for_an_answer_is_a_wave_later() {
    let bucket = Bucket::default();
    let waves = Waves::to(&bucket);
    let ask = |key: &'static str| waves.send(request(key, Action::Get));
    let chain = async {
        ask("a").await.unwrap();
        tokio::task::yield_now().await;
        futures::join!(ask("b"), ask("c"))
    };
    let (chained, alone) = waves.run(async { futures::join!(chain, ask("d")) }).await;
    assert_eq!((chained.0, alone), (Ok(Answer::Object(None)), Ok(Answer::Object(None))));
    let keys = |wave: Vec<Request>| wave.into_iter().map(|request| request.key).collect();
    let answered: Vec<BTreeSet<String>> = waves.take().into_iter().map(keys).collect();
    let expected = [["a", "d"], ["b", "c"]].map(|wave| wave.map(str::to_owned));
    assert_eq!(answered, expected.map(BTreeSet::from));
    assert!(!waves.answer(), "nobody waits");
    // The archive over it is the one in the bucket.
    let archive = sample::create_in(&bucket).await.unwrap();
    let delivery = sample::delivery(&[sample::unit("a", 2, 0)], 1).unwrap();
    sample::ingest(&archive, &delivery).await.unwrap();
    let slow = bucket.archive(Arc::new(waves.clone()), &StoreOptions::default());
    crate::background::here::want(true);
    let snapshot = waves.run(slow.reader().snapshot(Mode::Fresh)).await.unwrap();
    crate::background::here::want(false);
    assert_eq!(snapshot.unsealed_rows, 2);
}
