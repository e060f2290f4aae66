//! The query trail of the command line: an entry is archived as `ingest` archives a line, or sent
//! to a queue.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use archive::Archive;
use common::Sha256Digest;
use futures::FutureExt;
use futures::future::BoxFuture;
use host::doors;
use ingest_fn::pipeline::SourceConfig;
use query_fn::trail::{Asked, Entry, Intake, Literals, Loss, Queue, Trail};
use query_fn::{Answer, Request};

use crate::args::{TrailKind, TrailLiterals};
use crate::exit::{Exit, Failure};
use crate::ingest::{Ingestor, Summary};
use crate::interrupt::Interrupt;
use crate::output::{complain, printable};

/// What the options say of values in SQL, and of an entry that is lost; none without a trail.
pub(crate) const fn settings(kind: TrailKind, literals: TrailLiterals) -> Option<(Literals, Loss)> {
    let literals = match literals {
        TrailLiterals::Keep => Literals::Kept,
        TrailLiterals::Redact => Literals::Redacted,
    };
    match kind {
        TrailKind::Off => None,
        TrailKind::BestEffort => Some((literals, Loss::Counted)),
        TrailKind::Required => Some((literals, Loss::Fails)),
    }
}

/// When a query was asked, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    started: Instant,
    time_micros: i64,
    dry_run: bool,
}

impl Asking {
    /// One that is asked now.
    ///
    /// # Errors
    /// If the clock can not be read.
    pub(crate) fn now() -> Result<Self, Failure> {
        Ok(Self { started: Instant::now(), time_micros: doors::now_micros()?, dry_run: false })
    }

    /// The same, not for its rows, but for what it would cost.
    pub(crate) const fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }
}

/// Tells of queries that are asked on the command line.
pub(crate) struct Scribe {
    trail: Trail,
    who: String,
}

impl Scribe {
    /// One that writes by way of a queue, if one is named, else into the archive itself.
    ///
    /// # Errors
    /// If what is named is no queue.
    pub(crate) fn new(
        archive: &Archive,
        queue: Option<&str>,
        (literals, loss): (Literals, Loss),
        who: &str,
    ) -> Result<Self, Failure> {
        let intake: Arc<dyn Intake> = match queue {
            Some(url) => {
                let queue = Queue::new(url, &doors::store_options());
                Arc::new(queue.map_err(|e| Failure::usage(format!("--trail-queue: expected {e}")))?)
            }
            None => Arc::new(Desk { archive: archive.clone() }),
        };
        Ok(Self { trail: Trail::new(intake, literals, loss), who: who.to_owned() })
    }

    /// Tells of a query and what came of it; of one that was not run there is no answer.
    ///
    /// # Errors
    /// If the entry is lost and had to be there.
    pub(crate) async fn tell(
        &self,
        (request, question): (&Request, Option<&str>),
        asking: Asking,
        answered: Result<Option<&Answer>, &Failure>,
    ) -> Result<(), Failure> {
        let Asking { started, time_micros, dry_run } = asking;
        let answer = answered.ok().flatten();
        let receipt = answer.map(Answer::receipt);
        // Of a caller from whom something is kept the receipt says too little.
        let receipt = receipt.as_ref().filter(|receipt| !receipt.restricted);
        let digest = answer.and_then(Answer::digest).map(|digest| digest.root.to_hex());
        let id = Sha256Digest::of(doors::new_name()?.as_bytes()).to_hex();
        let entry = Entry {
            id: &id,
            time_micros,
            who: Some(&self.who),
            asked: Some(Asked { request, question, dry_run }),
            receipt,
            result_digest: digest.as_deref(),
            outcome: answered.err().map_or("ok", Failure::code),
            elapsed_micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        match self.trail.put(&entry).await {
            Ok(()) => {
                if let Some(why) = self.trail.trouble() {
                    complain(&format!("the query is not on the trail: {}", printable(&why, false)));
                }
                Ok(())
            }
            Err(why) => {
                let text = format!("TRAIL: the query is not on the trail, as it had to be: {why}");
                Err(Failure::new(Exit::Storage, text))
            }
        }
    }
}

/// Archives an entry.
struct Desk {
    archive: Archive,
}

impl Intake for Desk {
    fn put(&self, entry: String) -> BoxFuture<'_, Result<(), String>> {
        self.store(entry).boxed()
    }
}

impl Desk {
    async fn store(&self, entry: String) -> Result<(), String> {
        let length = u64::try_from(entry.len()).unwrap_or(u64::MAX);
        // An entry once begun is stored, whatever the user types meanwhile.
        let ingestor = Ingestor::new(&self.archive, length, Interrupt::never());
        let config = SourceConfig { transport: TRANSPORT.to_owned(), ..SourceConfig::default() };
        let mut summary = Summary::default();
        let stored = ingestor.ingest(TRANSPORT, Cursor::new(entry), config, &mut summary).await;
        stored.map_err(|e| e.to_string())?;
        match summary.events {
            1 => Ok(()),
            _ => Err("it was not understood, a defect; it is in quarantine".to_owned()),
        }
    }
}

/// Text of column `transport`.
const TRANSPORT: &str = "query";
