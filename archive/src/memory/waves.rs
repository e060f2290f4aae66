//! A line that counts round trips: it holds every request back until it is told that nobody can
//! ask for more, and then answers all of them at once.
//!
//! Requests that are answered together did not wait for each other, and each of them waited for one
//! of the answers before; so the number of waves is the number of round trips that depend on each
//! other, on a machine of any speed.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::{Answer, Bucket, Line, NoAnswer, Request};

/// The line. Clones are the same line.
#[derive(Clone, Default)]
pub struct Waves(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    bucket: Bucket,
    held_back: Vec<(Request, oneshot::Sender<Result<Answer, NoAnswer>>)>,
    answered: Vec<Vec<Request>>,
}

impl fmt::Debug for Waves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        write!(f, "Waves({} answered, {} wait)", inner.answered.len(), inner.held_back.len())
    }
}

impl Waves {
    /// A line to a bucket.
    pub fn to(bucket: &Bucket) -> Self {
        let inner = Inner { bucket: bucket.clone(), ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// How many requests wait for an answer.
    pub fn wait(&self) -> usize {
        self.inner().held_back.len()
    }

    /// Answers all that was asked until now, as one wave; `false` if nothing was.
    pub fn answer(&self) -> bool {
        let mut inner = self.inner();
        let held_back = std::mem::take(&mut inner.held_back);
        if held_back.is_empty() {
            return false;
        }
        let bucket = inner.bucket.clone();
        inner.answered.push(held_back.iter().map(|(request, _)| request.clone()).collect());
        drop(inner);
        for (request, asker) in held_back {
            // Who does not wait any more has given up.
            let _ = asker.send(Ok(bucket.answer(&request)));
        }
        true
    }

    /// Runs a job that does everything on the thread it is run on, and answers a wave whenever it
    /// can do no more.
    pub async fn run<T>(&self, job: impl Future<Output = T>) -> T {
        tokio::select! {
            done = job => done,
            never = self.answer_always() => match never {},
        }
    }

    async fn answer_always(&self) -> Infallible {
        loop {
            let asked = self.inner().held_back.len();
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            if self.inner().held_back.len() == asked {
                self.answer();
            }
        }
    }

    /// The waves that were answered since the last time this was asked.
    pub fn take(&self) -> Vec<Vec<Request>> {
        std::mem::take(&mut self.inner().answered)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns that other tasks of the thread get to ask for more: far more than tasks wake one another.
const TURNS: usize = 64;

impl Line for Waves {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        let (asker, answer) = oneshot::channel();
        self.inner().held_back.push((request, asker));
        answer.map(|answer| answer.unwrap_or(Err(NoAnswer::TimedOut))).boxed()
    }
}
