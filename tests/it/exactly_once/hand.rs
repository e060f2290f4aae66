//! A line to a bucket that a test holds in its hand: one request of many has another fate.

use std::sync::{Arc, Mutex};

use archive::StoreOptions;
use archive::memory::{Action, Answer, Bucket, Line, NoAnswer, Request};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// Which request it is; the first that is like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The request of this number, from 0.
    Request(usize),
    /// The write of this number, from 0.
    Write(usize),
    /// A put below this prefix.
    Put(&'static str),
    /// A get below this prefix.
    Get(&'static str),
    /// A listing of this prefix.
    List(&'static str),
    /// A delete.
    Delete,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never arrives.
    RequestLost,
    /// It is done, and nobody is told.
    ReplyLost,
    /// Nobody is told, and it is done when the test says so.
    Late,
    /// 409, and nothing is done.
    Conflict,
    /// It waits until the test lets it go, if ever.
    Held,
    /// It is done, and its sender waits for ever.
    Hung,
    /// Its sender waits for ever, and it is done when the test says so.
    HungLate,
}

#[derive(Debug, Default)]
struct Seen {
    requests: usize,
    writes: usize,
    next: Option<(When, Fate)>,
    late: Vec<Request>,
}

#[derive(Debug, Clone)]
pub(super) struct Hand {
    bucket: Bucket,
    seen: Arc<Mutex<Seen>>,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl Hand {
    /// Nothing happens until [`Self::at`].
    pub(super) fn idle(bucket: &Bucket) -> Self {
        let (seen, reached, go) = (Arc::default(), Arc::default(), Arc::default());
        Self { bucket: bucket.clone(), seen, reached, go }
    }

    pub(super) fn new(bucket: &Bucket, when: When, fate: Fate) -> Self {
        let hand = Self::idle(bucket);
        hand.at(when, fate);
        hand
    }

    /// This is to happen to the next request that is like that.
    pub(super) fn at(&self, when: When, fate: Fate) {
        self.seen.lock().unwrap().next = Some((when, fate));
    }

    pub(super) fn line(&self) -> Arc<dyn Line> {
        Arc::new(self.clone())
    }

    pub(super) fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }

    pub(super) fn writes(&self) -> usize {
        self.seen.lock().unwrap().writes
    }

    /// Waits until the request is there.
    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets what is held go on.
    pub(super) fn go(&self) {
        self.go.notify_one();
    }

    /// Does what is late.
    pub(super) fn land(&self) {
        let late = std::mem::take(&mut self.seen.lock().unwrap().late);
        for request in late {
            let _ = self.bucket.answer(&request);
        }
    }

    /// The fate of this request, if it is the one.
    fn fate(&self, request: &Request) -> Option<Fate> {
        let mut seen = self.seen.lock().unwrap();
        let (requests, writes) = (seen.requests, seen.writes);
        seen.requests += 1;
        seen.writes += usize::from(request.is_write());
        let (when, fate) = seen.next?;
        let is_it = match when {
            When::Request(number) => number == requests,
            When::Write(number) => request.is_write() && number == writes,
            When::Put(prefix) => {
                matches!(request.action, Action::Put(_)) && request.key.starts_with(prefix)
            }
            When::Get(prefix) => request.verb() == "get" && request.key.starts_with(prefix),
            When::List(prefix) => request.verb() == "list" && request.key == prefix,
            When::Delete => request.action == Action::Delete,
        };
        if !is_it {
            return None;
        }
        seen.next = None;
        if matches!(fate, Fate::Late | Fate::HungLate) {
            seen.late.push(request.clone());
        }
        drop(seen);
        self.reached.notify_one();
        Some(fate)
    }
}

impl Line for Hand {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        let (bucket, go) = (self.bucket.clone(), Arc::clone(&self.go));
        let fate = self.fate(&request);
        Box::pin(async move {
            match fate {
                None => Ok(bucket.answer(&request)),
                Some(Fate::RequestLost | Fate::Late) => Err(NoAnswer::TimedOut),
                Some(Fate::Conflict) => Err(NoAnswer::Conflict),
                Some(Fate::ReplyLost) => {
                    let _ = bucket.answer(&request);
                    Err(NoAnswer::TimedOut)
                }
                Some(Fate::Held) => {
                    go.notified().await;
                    Ok(bucket.answer(&request))
                }
                Some(Fate::Hung) => {
                    let _ = bucket.answer(&request);
                    std::future::pending().await
                }
                Some(Fate::HungLate) => std::future::pending().await,
            }
        })
    }
}

/// So much patience with a write of which nothing is heard.
pub(super) fn options(attempts: u32) -> StoreOptions {
    StoreOptions {
        put_attempts_max: Some(attempts),
        put_pause_millis: Some(0),
        ..StoreOptions::default()
    }
}
