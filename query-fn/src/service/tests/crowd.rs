//! More queries than may run at once.

use super::*;

/// More rows than are computed ahead of their reader.
const MANY: &str = "SELECT value FROM range(0, 1000000)";

/// An engine on which two run and one waits.
async fn narrow() -> (Kit, Engine) {
    let limits = Limits { queries_max: 2, queries_waiting_max: 1, ..Limits::default() };
    let kit = Kit::new(limits.clone(), Settings::default()).await;
    let engine = Engine::new(kit.archive.reader(), limits).unwrap();
    (kit, engine)
}

fn many() -> Request {
    Request::new(MANY, archive::Mode::Fresh)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_queries_run_a_few_wait_and_more_are_refused() {
    let (_kit, engine) = narrow().await;
    // Nobody reads what they answer, so they do not end.
    let (first, second) = (engine.query(&many()).await.unwrap(), engine.query(&many()).await);
    let mut second = second.unwrap();
    let wait = many();
    let waits = engine.query(&wait);
    futures::pin_mut!(waits);
    assert!(futures::poll!(waits.as_mut()).is_pending());
    let refused = engine.query(&many()).await.err().unwrap();
    assert_eq!(refused.code(), Code::LimitQueries);
    assert!(refused.to_string().contains("2 queries run and 1 wait"), "{refused}");
    // What is no query needs no place.
    let wrong = engine.query(&Request::new("SELEC", archive::Mode::Fresh)).await;
    assert_eq!(wrong.err().unwrap().code(), Code::Syntax);
    assert!(futures::poll!(waits.as_mut()).is_pending());
    drop(first);
    let third = waits.await.unwrap();
    // One that was read to its end has made room, too.
    let rows: usize = second.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 1_000_000);
    let fourth = engine.query(&many()).await.unwrap();
    drop((third, fourth));
    let mut failed = engine.query(&Request::new("SELECT 1 / 0", archive::Mode::Fresh)).await;
    if let Ok(answer) = &mut failed {
        assert_eq!(answer.collect().await.unwrap_err().code(), Code::Execution);
    }
    let both = (engine.query(&many()).await, engine.query(&many()).await);
    assert!(both.0.is_ok() && both.1.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_longer_than_a_query_may_take_is_told_to_come_back() {
    let (_kit, engine) = narrow().await;
    let held = (engine.query(&many()).await.unwrap(), engine.query(&many()).await.unwrap());
    let bounds = Bounds { time: Some(Duration::from_millis(200)), ..Bounds::default() };
    let late = engine.query(&Request { bounds, ..many() }).await.err().unwrap();
    assert_eq!((late.code(), status(late.code())), (Code::LimitQueries, 503));
    assert!(late.to_string().contains("waited 0.2 s for its turn"), "{late}");
    drop(held);
    assert!(engine.query(&many()).await.is_ok());
}
