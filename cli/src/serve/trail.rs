//! The query trail of a server: an entry is a record that the server sends to itself.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ingest_fn::http::{Body, Export, Media};
use query_fn::trail::Intake;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use super::batch::Item;
use super::desk::{Answer, Desk};
use super::http::pieces;
use super::limits::STORE_TIME;
use crate::output::{complain, printable};

/// Takes entries as `/v1/records` takes records.
pub(crate) struct Inlet {
    pub(crate) items: UnboundedSender<Item>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) memory: Arc<Semaphore>,
    /// Whether a query waits until its entry is stored.
    pub(crate) waits: bool,
}

impl Intake for Inlet {
    fn put(&self, entry: String) -> BoxFuture<'_, Result<(), String>> {
        self.take(entry).boxed()
    }
}

impl Inlet {
    async fn take(&self, entry: String) -> Result<(), String> {
        let bytes = entry.into_bytes();
        let pieces = u32::try_from(pieces(bytes.len())).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(pieces).await;
        let memory = memory.map_err(|e| e.to_string())?;
        let body = Body::new(Media::Lines, Export { bytes, records: 1 });
        let unit = body.unit(Some(SENDER), None);
        let (answer, ticket) = self.desk.wait(unit);
        if let Some(ticket) = ticket {
            let item = Item { body, ticket, arrived: Instant::now(), _memory: memory };
            // If nobody takes it, the ticket is dropped, which is an answer.
            let _ = self.items.send(item);
        }
        if self.waits {
            return stored(answer).await;
        }
        // A batch waits for company; the query need not.
        drop(tokio::spawn(async {
            if let Err(why) = stored(answer).await {
                complain(&format!("an entry of the query trail is lost: {why}"));
            }
        }));
        Ok(())
    }
}

/// The sender of entries, which keeps their units apart from others'.
const SENDER: &str = "query trail";

async fn stored(answer: oneshot::Receiver<Answer>) -> Result<(), String> {
    match timeout(STORE_TIME, answer).await {
        Ok(Ok(Ok(accepted))) if accepted.rejected == 0 => Ok(()),
        Ok(Ok(Ok(_))) => Err("it was not understood, a defect; it is in quarantine".to_owned()),
        Ok(Ok(Err(refusal))) => Err(printable(&refusal.message, false)),
        _ => Err("the archive did not answer".to_owned()),
    }
}
