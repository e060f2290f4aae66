//! The query trail: each query becomes an event of the archive itself.
//!
//! The query function may not write to the archive, so an entry goes where records are taken in:
//! a queue of the ingest function, or the intake of the same process. From there on it is a record
//! like any other, and sealed like any other. `entry` is what is told, `literals` takes values out
//! of SQL, `sqs` is the queue.
//!
//! An entry causes no query, so it causes no other entry.

mod entry;
mod literals;
mod sqs;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

pub use self::entry::{Asked, Entry};
pub use self::sqs::Queue;

/// Where entries go.
pub trait Intake: Send + Sync {
    /// Hands over an entry, which is a line of JSON: once it is taken, it will be archived. Else
    /// the error says why not.
    fn put(&self, entry: String) -> BoxFuture<'_, Result<(), String>>;
}

/// What becomes of SQL in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Literals {
    /// It stays as it was sent.
    #[default]
    Kept,
    /// Texts and numbers in it become `?`, and comments go.
    Redacted,
}

/// What becomes of a query whose entry is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// It is answered, and the loss is counted and logged.
    #[default]
    Counted,
    /// It fails with `TRAIL`: what is not on the trail is not answered.
    Fails,
}

/// Writes the trail.
#[derive(Clone)]
pub struct Trail {
    intake: Arc<dyn Intake>,
    literals: Literals,
    loss: Loss,
    lost: Arc<Lost>,
}

/// What was lost so far.
#[derive(Debug, Default)]
struct Lost {
    entries: AtomicU64,
    /// Why the last one was.
    why: Mutex<Option<String>>,
}

impl Trail {
    /// A trail by way of an intake.
    pub fn new(intake: Arc<dyn Intake>, literals: Literals, loss: Loss) -> Self {
        Self { intake, literals, loss, lost: Arc::default() }
    }

    /// Entries that were lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.entries.load(Ordering::Relaxed)
    }

    /// Why the last one was lost; told once.
    pub fn trouble(&self) -> Option<String> {
        self.lost.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts an entry.
    ///
    /// # Errors
    /// If it is lost and that fails the query.
    pub async fn put(&self, entry: &Entry<'_>) -> Result<(), String> {
        let Err(why) = self.intake.put(entry.line(self.literals)).await else { return Ok(()) };
        self.lose(&why)
    }

    /// Counts an entry that is lost.
    ///
    /// # Errors
    /// If that fails the query.
    pub(crate) fn lose(&self, why: &str) -> Result<(), String> {
        let _ = self.lost.entries.fetch_add(1, Ordering::Relaxed);
        let mut last = self.lost.why.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(why.to_owned());
        drop(last);
        match self.loss {
            Loss::Counted => Ok(()),
            Loss::Fails => Err(why.to_owned()),
        }
    }
}
