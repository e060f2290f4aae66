//! How many queries run at once, and how many wait for their turn.
//!
//! They share the engine's memory and threads: more at once only makes each of them slower, and
//! lets more of them fail for want of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, QueryError};

/// Lets a few queries in at once.
#[derive(Debug)]
pub(crate) struct Gate {
    slots: Arc<Semaphore>,
    running_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// The right to run, given back when its last clone is dropped. It belongs to whatever computes: a
/// query whose caller has gone computes until its next step.
#[derive(Debug, Clone)]
pub(crate) struct Slot(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

/// One that waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// Lets at least one in.
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        let running_max = running_max.clamp(1, Semaphore::MAX_PERMITS);
        let slots = Arc::new(Semaphore::new(running_max));
        Self { slots, running_max, waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Waits for a turn, first come, first served. Whoever calls bounds the time.
    ///
    /// # Errors
    /// `LIMIT_QUERIES` if as many wait already as may.
    pub(crate) async fn enter(&self) -> Result<Slot, QueryError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Slot(Arc::new(permit)));
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Err(self.full());
        }
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        permit.map(|permit| Slot(Arc::new(permit))).map_err(|_| self.full())
    }

    /// The error of one that waited this long for its turn.
    pub(crate) fn late(&self, waited: Duration) -> QueryError {
        let text = format!(
            "the query waited {} s for its turn, as {} others run; ask again later",
            waited.as_secs_f64(),
            self.running_max
        );
        QueryError::new(Code::LimitQueries, text)
    }

    fn full(&self) -> QueryError {
        let text = format!(
            "{} queries run and {} wait, as many as may; ask again later",
            self.running_max, self.waiting_max
        );
        QueryError::new(Code::LimitQueries, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_few_run_a_few_wait_and_more_are_refused() {
        let gate = Arc::new(Gate::new(2, 1));
        let first = gate.enter().await.unwrap();
        let second = gate.enter().await.unwrap();
        let third = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = gate.enter().await.unwrap_err();
        assert_eq!(refused.code(), Code::LimitQueries);
        assert!(refused.to_string().contains("2 queries run and 1 wait"), "{refused}");
        // A clone keeps the place.
        let clone = first.clone();
        drop(first);
        assert_eq!(gate.enter().await.unwrap_err().code(), Code::LimitQueries);
        drop(clone);
        let third = third.await.unwrap().unwrap();
        drop((second, third));
        // One that gives up waiting makes room for another.
        let both = (gate.enter().await.unwrap(), gate.enter().await.unwrap());
        {
            let waits = gate.enter();
            futures::pin_mut!(waits);
            assert!(futures::poll!(waits.as_mut()).is_pending());
            assert_eq!(gate.waiting.load(Ordering::Relaxed), 1);
        }
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
        drop(both);
        let _ = gate.enter().await.unwrap();
    }
}
