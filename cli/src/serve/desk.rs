//! Who waits for which unit: a body that comes a second time while the first is still in hand
//! waits for the same answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::UnitId;
use tokio::sync::oneshot;

use ingest_fn::http::{Accepted, Reason, Refusal};

/// What a request came to.
pub(crate) type Answer = Result<Accepted, Refusal>;

/// The units in hand, each with those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<HashMap<UnitId, Vec<oneshot::Sender<Answer>>>>);

impl Desk {
    /// Waits for a unit. Whoever comes first is given the ticket too, and has it archived.
    pub(crate) fn wait(
        self: &Arc<Self>,
        unit: UnitId,
    ) -> (oneshot::Receiver<Answer>, Option<Ticket>) {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let is_first = !waiting.contains_key(&unit);
        waiting.entry(unit).or_default().push(sender);
        drop(waiting);
        let ticket = is_first.then(|| Ticket { desk: Arc::clone(self), unit, answered: false });
        (receiver, ticket)
    }

    fn answer(&self, unit: UnitId, answer: &Answer) {
        let waiting = self.lock().remove(&unit).unwrap_or_default();
        for sender in waiting {
            // One that went away will ask again.
            let _ = sender.send(answer.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UnitId, Vec<oneshot::Sender<Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to answer all who wait for a unit. Dropped, it answers that nothing was archived.
#[derive(Debug)]
pub(crate) struct Ticket {
    desk: Arc<Desk>,
    unit: UnitId,
    answered: bool,
}

impl Ticket {
    /// The unit.
    pub(crate) const fn unit(&self) -> UnitId {
        self.unit
    }

    /// Answers all who wait.
    pub(crate) fn answer(mut self, answer: &Answer) {
        self.answered = true;
        self.desk.answer(self.unit, answer);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.answered {
            // Somebody else may have the unit in hand by now.
            return;
        }
        let message = "the request was given up before it was archived; send it again";
        self.desk.answer(self.unit, &Err(Refusal::new(Reason::Unavailable, message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Sha256Digest;

    fn unit(text: &str) -> UnitId {
        UnitId::of_part(UnitId::STREAM_START, Sha256Digest::of(text.as_bytes()))
    }

    #[tokio::test]
    async fn all_who_wait_for_a_unit_get_the_one_answer() {
        let desk = Arc::new(Desk::default());
        let (first, ticket) = desk.wait(unit("a"));
        let (second, none) = desk.wait(unit("a"));
        let (other, other_ticket) = desk.wait(unit("b"));
        assert!(none.is_none() && other_ticket.is_some());
        let answer = Ok(Accepted { records: 3, rejected: 1 });
        ticket.unwrap().answer(&answer);
        assert_eq!(first.await.unwrap(), answer);
        assert_eq!(second.await.unwrap(), answer);
        drop(other_ticket);
        assert_eq!(other.await.unwrap().unwrap_err().reason, Reason::Unavailable);
        let (_, again) = desk.wait(unit("a"));
        assert!(again.is_some(), "what was answered is no longer in hand");
    }
}
